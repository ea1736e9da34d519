#include "base/blob.h"
#include <assert.h>

blob *blob_new(pool *p, weft_kind kind, str event, str data)
{
    if (event.len > SIZE_MAX / 4 || data.len > SIZE_MAX / 4)
        return NULL;
    size_t block_bytes;
    blob *b = pool_get(p, sizeof *b + event.len + data.len, &block_bytes);
    if (!b)
        return NULL;
    atomic_init(&b->refs, 1);
    b->kind = kind;
    b->block_bytes = block_bytes;
    b->event_len = event.len;
    b->data_len = data.len;
    if (event.len)
        memcpy(b->bytes, event.at, event.len);
    if (data.len)
        memcpy(b->bytes + event.len, data.at, data.len);
    return b;
}

blob *blob_ref(blob *b)
{
    /* Relaxed: who takes another reference holds one already, so that the blob cannot go meanwhile. */
    atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
    return b;
}

void blob_unref(pool *p, blob *b)
{
    if (!b)
        return;
    uint32_t before = atomic_fetch_sub_explicit(&b->refs, 1, memory_order_release);
    assert(before > 0);
    if (before > 1)
        return;
    /* Acquire, partner of every release above: what other threads read from the blob they have read before the block is
     * used again. A load, since ThreadSanitizer does not understand a fence. */
    (void)atomic_load_explicit(&b->refs, memory_order_acquire);
    pool_put(p, b, b->block_bytes);
}
