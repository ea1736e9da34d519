#include "base/mem.h"
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static _Thread_local uint64_t n_allocations;
static _Thread_local uint64_t failing_from; /* the first count that fails; 0: none */

static bool granted(void)
{
    n_allocations++;
    return failing_from == 0 || n_allocations < failing_from;
}

void *mem_new(size_t bytes)
{
    return granted() ? malloc(bytes ? bytes : 1) : NULL;
}

void *mem_zero(size_t bytes)
{
    return granted() ? calloc(1, bytes ? bytes : 1) : NULL;
}

void *mem_aligned(size_t alignment, size_t bytes)
{
    void *block;
    return granted() && posix_memalign(&block, alignment, bytes) == 0 ? block : NULL;
}

void *mem_resize(void *old, size_t bytes)
{
    /* realloc(old, 0) may free old and answer NULL, which would read as a failure that left it valid. */
    return granted() ? realloc(old, bytes ? bytes : 1) : NULL;
}

char *mem_copy_text(const char *at, size_t len)
{
    if (len == SIZE_MAX)
        return NULL;
    char *copy = mem_new(len + 1);
    if (!copy)
        return NULL;
    if (len)
        memcpy(copy, at, len);
    copy[len] = '\0';
    return copy;
}

void mem_free(void *block)
{
    free(block);
}

uint64_t mem_count(void)
{
    return n_allocations;
}

void mem_fail_from(uint64_t n)
{
    failing_from = n ? n_allocations + n : 0;
}
