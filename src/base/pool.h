/**
 * Blocks that are used again: a loop's own cache of freed memory, so that steady traffic allocates nothing.
 *
 * Sizes are rounded up to classes (four to each power of two, from 64 bytes). Blocks come from mem_new(), so that a
 * block may be taken on one thread and given back to another loop's pool. Not thread-safe: one pool a loop. A pool
 * keeps at most POOL_KEPT_BYTES; what comes back beyond that is freed, as are blocks larger than POOL_BLOCK_BYTES.
 */
#ifndef WEFT_BASE_POOL_H
#define WEFT_BASE_POOL_H

#include <stddef.h>
#include <stdint.h>

enum {
    POOL_KEPT_BYTES = 16 << 20,
    POOL_BLOCK_BYTES = 8 << 20,
    POOL_CLASSES = 72,
};

typedef struct pool_block pool_block;

typedef struct {
    pool_block *free[POOL_CLASSES];
    size_t kept_bytes;
} pool;

/** Frees what is kept. The pool is empty and usable again. */
void pool_done(pool *p);

/** A block of at least `bytes`, its true size in *ret_bytes (not NULL). NULL when there is no memory. p may be NULL:
 * mem_new(). */
void *pool_get(pool *p, size_t bytes, size_t *ret_bytes);

/** A larger block in place of one that is full: the first `used` bytes are the same, the old one is taken back. NULL when there is no memory, and then
 * nothing has changed; else *bytes is its true size. The block may be NULL. */
void *pool_grow(pool *p, void *block, size_t *bytes, size_t used, size_t wanted);

/** Takes back a block with the size that pool_get() told. p may be NULL: mem_free(). A NULL block is fine. */
void pool_put(pool *p, void *block, size_t bytes);

#endif
