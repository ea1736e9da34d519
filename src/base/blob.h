/**
 * One published message: immutable, counted, shared between threads. Everything else that carries a message refers to a
 * blob.
 */
#ifndef WEFT_BASE_BLOB_H
#define WEFT_BASE_BLOB_H

#include "base/pool.h"
#include "base/str.h"
#include <stdatomic.h>

typedef struct {
    _Atomic uint32_t refs; /* release on unref, acquire by whoever frees */
    weft_kind kind;
    size_t block_bytes; /* for the pool */
    size_t event_len, data_len;
    char bytes[]; /* event, then data */
} blob;

/** Copies event and data; one reference. p may be NULL (a thread without a loop). NULL when there is no memory. */
blob *blob_new(pool *p, weft_kind kind, str event, str data);

blob *blob_ref(blob *b);

/** p: the pool of the calling loop, or NULL. A NULL blob is fine. */
void blob_unref(pool *p, blob *b);

static inline str blob_event(const blob *b)
{
    return (str){b->bytes, b->event_len};
}

static inline str blob_data(const blob *b)
{
    return (str){b->bytes + b->event_len, b->data_len};
}

#endif
