/**
 * Counted bytes of one loop: what a write queue refers to and what a message is collected in. The count is a plain
 * integer, so a chunk never leaves its loop (a blob does).
 */
#ifndef WEFT_BASE_CHUNK_H
#define WEFT_BASE_CHUNK_H

#include "base/blob.h"
#include "base/pool.h"
#include <assert.h>

typedef struct {
    size_t block_bytes; /* for the pool */
    size_t cap, len;    /* of bytes[]; whoever fills the chunk moves len */
    blob *body;         /* a reference held for as long as the chunk lives; NULL for none */
    uint32_t refs;
    bool shared; /* holds the bytes of many who do not know each other: a cork */
    char bytes[];
} chunk;

/** One reference, len 0, cap at least `bytes`. NULL when there is no memory. */
static inline chunk *chunk_new(pool *p, size_t bytes)
{
    size_t block_bytes;
    chunk *c = pool_get(p, sizeof *c + bytes, &block_bytes);
    if (!c)
        return NULL;
    c->block_bytes = block_bytes;
    c->cap = block_bytes - sizeof *c;
    c->len = 0;
    c->body = NULL;
    c->refs = 1;
    c->shared = false;
    return c;
}

static inline chunk *chunk_ref(chunk *c)
{
    c->refs++;
    return c;
}

/** NULL is fine. */
static inline void chunk_unref(pool *p, chunk *c)
{
    if (!c)
        return;
    assert(c->refs > 0);
    if (--c->refs == 0) {
        blob_unref(p, c->body);
        pool_put(p, c, c->block_bytes);
    }
}

static inline size_t chunk_room(const chunk *c)
{
    return c->cap - c->len;
}

#endif
