#include "transport/engineio_queue.h"

#include "proto/engineio.h"
#include <errno.h>

enum {
    FIRST_ITEMS = 4,
    COPY_CHUNK_BYTES = 512, /* at least, so that small packets lie behind each other */
    REFERENCE_BYTES = 512,  /* smaller ones are copied where references would pile up: a chunk is larger than they */
    MANY_ITEMS = 64,
};

static int reserve(engineio_queue *q, pool *blocks)
{
    if (q->n < q->cap)
        return 0;
    size_t wanted = (q->n ? q->n * 2 : FIRST_ITEMS) * sizeof *q->items;
    engineio_item *more = pool_grow(blocks, q->items, &q->block_bytes, q->n * sizeof *q->items, wanted);
    if (!more)
        return -ENOMEM;
    q->items = more;
    q->cap = (uint32_t)(q->block_bytes / sizeof *more);
    return 0;
}

static size_t payload_len(const engineio_item *item)
{
    return item->binary ? engineio_payload_len(true, item->len) : item->len;
}

/* There is room for it. Takes the reference. */
static void push(engineio_queue *q, const engineio_item *item)
{
    q->bytes += payload_len(item) + (q->n > 0);
    q->items[q->n++] = *item;
}

/* The chunk that the last copy lies in, when so much more fits behind it. */
static chunk *open_chunk(const engineio_queue *q, size_t more)
{
    const engineio_item *last = q->n ? &q->items[q->n - 1] : NULL;
    return last && last->own && chunk_room(last->owner) >= more ? chunk_ref(last->owner) : NULL;
}

char *engineio_queue_room(engineio_queue *q, pool *blocks, bool binary, size_t len)
{
    if (reserve(q, blocks))
        return NULL;
    chunk *owner = open_chunk(q, len);
    if (!owner)
        owner = chunk_new(blocks, len < COPY_CHUNK_BYTES ? COPY_CHUNK_BYTES : len);
    if (!owner)
        return NULL;
    char *at = owner->bytes + owner->len;
    owner->len += len;
    push(q, &(engineio_item){at, len, owner, binary, true});
    return at;
}

int engineio_queue_refer(engineio_queue *q, pool *blocks, bool binary, str packet, chunk *owner)
{
    if (packet.len < REFERENCE_BYTES && q->n >= MANY_ITEMS) {
        char *copy = engineio_queue_room(q, blocks, binary, packet.len);
        if (copy && packet.len)
            memcpy(copy, packet.at, packet.len);
        return copy ? 0 : -ENOMEM;
    }
    if (reserve(q, blocks))
        return -ENOMEM;
    push(q, &(engineio_item){packet.at, packet.len, chunk_ref(owner), binary, false});
    return 0;
}

void engineio_queue_put(const engineio_queue *q, char *at)
{
    for (const engineio_item *item = q->items; item < q->items + q->n; item++) {
        if (item > q->items)
            *at++ = ENGINEIO_SEPARATOR;
        if (item->binary)
            at += engineio_payload_put(at, true, (str){item->at, item->len});
        else if (item->len)
            memcpy(at, item->at, item->len);
        at += item->binary ? 0 : item->len;
    }
}

void engineio_queue_drop(engineio_queue *q, pool *blocks)
{
    for (uint32_t i = 0; i < q->n; i++)
        chunk_unref(blocks, q->items[i].owner);
    pool_put(blocks, q->items, q->block_bytes);
    *q = (engineio_queue){0};
}
