#include "transport/poll_queue.h"

#include <errno.h>

enum {
    FIRST_ITEMS = 4,
    COPY_CHUNK_BYTES = 512, /* at least, so that small values lie behind each other */
    REFERENCE_BYTES =
        512, /* smaller values are copied where references would pile up: an item and its chunk are larger than they */
    MANY_ITEMS = 64,
};

/* One value, or several with commas between them. */
struct poll_item {
    const char *at;
    size_t len;
    chunk *owner;
};

static int reserve(poll_queue *q, pool *blocks)
{
    if (q->n < q->cap)
        return 0;
    size_t wanted = (q->n ? q->n * 2 : FIRST_ITEMS) * sizeof *q->items;
    poll_item *more = pool_grow(blocks, q->items, &q->block_bytes, q->n * sizeof *q->items, wanted);
    if (!more)
        return -ENOMEM;
    q->items = more;
    q->cap = (uint32_t)(q->block_bytes / sizeof *more);
    return 0;
}

/* Takes the reference, on failure too. */
static int push(poll_queue *q, pool *blocks, str value, chunk *owner)
{
    if (reserve(q, blocks)) {
        chunk_unref(blocks, owner);
        return -ENOMEM;
    }
    q->bytes += value.len + (q->n > 0);
    q->items[q->n++] = (poll_item){value.at, value.len, owner};
    return 0;
}

int poll_queue_refer(poll_queue *q, pool *blocks, str value, chunk *owner)
{
    if (value.len >= REFERENCE_BYTES || q->n < MANY_ITEMS)
        return push(q, blocks, value, chunk_ref(owner));
    char *copy = poll_queue_room(q, blocks, value.len);
    if (!copy)
        return -ENOMEM;
    memcpy(copy, value.at, value.len);
    return 0;
}

/* True when nobody else has the item's chunk, and the item ends where its chunk does, with so much room behind. */
static bool can_grow(const poll_item *item, size_t more)
{
    const chunk *owner = item->owner;
    return owner->refs == 1 && item->at + item->len == owner->bytes + owner->len && chunk_room(owner) >= more;
}

char *poll_queue_room(poll_queue *q, pool *blocks, size_t len)
{
    poll_item *last = q->n ? &q->items[q->n - 1] : NULL;
    if (last && can_grow(last, len + 1)) {
        chunk *owner = last->owner;
        owner->bytes[owner->len] = ',';
        char *at = owner->bytes + owner->len + 1;
        owner->len += len + 1;
        last->len += len + 1;
        q->bytes += len + 1;
        return at;
    }
    chunk *copy = chunk_new(blocks, len < COPY_CHUNK_BYTES ? COPY_CHUNK_BYTES : len);
    if (!copy)
        return NULL;
    copy->len = len;
    return push(q, blocks, (str){copy->bytes, len}, copy) ? NULL : copy->bytes;
}

void poll_queue_put(const poll_queue *q, char *at)
{
    for (uint32_t i = 0; i < q->n; i++) {
        if (i)
            *at++ = ',';
        memcpy(at, q->items[i].at, q->items[i].len);
        at += q->items[i].len;
    }
}

void poll_queue_drop(poll_queue *q, pool *blocks)
{
    for (uint32_t i = 0; i < q->n; i++)
        chunk_unref(blocks, q->items[i].owner);
    pool_put(blocks, q->items, q->block_bytes);
    *q = (poll_queue){0};
}
