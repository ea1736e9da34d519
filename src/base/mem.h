/**
 * Allocation that can fail and be counted: the only place that calls malloc, so that tests can make the n-th allocation
 * fail and see how many a path needs. Counters are one set a thread.
 */
#ifndef WEFT_BASE_MEM_H
#define WEFT_BASE_MEM_H

#include <stddef.h>
#include <stdint.h>

/** NULL when there is no memory. Sizes of 0 are served as 1. Bytes are not initialised. */
void *mem_new(size_t bytes);

/** The same, zeroed. */
void *mem_zero(size_t bytes);

/** Not initialised, at a multiple of `alignment`, a power of two. */
void *mem_aligned(size_t alignment, size_t bytes);

/** As realloc; on failure NULL and `old` stays valid. */
void *mem_resize(void *old, size_t bytes);

/** A NUL-terminated copy; NULL when there is no memory. */
char *mem_copy_text(const char *at, size_t len);

/** NULL is fine. */
void mem_free(void *block);

/** Allocations that this thread has made so far (resizes count, failures count). */
uint64_t mem_count(void);

/** From now on the n-th allocation of this thread fails, and all after it (n == 1: the next); 0: none fails. */
void mem_fail_from(uint64_t n);

#endif
