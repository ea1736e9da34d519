/**
 * What waits for the next poll of an Engine.IO session: packets, each copied or by reference, which can also go out as frames once the session has a
 * WebSocket. An empty queue owns nothing.
 */
#ifndef WEFT_TRANSPORT_ENGINEIO_QUEUE_H
#define WEFT_TRANSPORT_ENGINEIO_QUEUE_H

#include "base/chunk.h"
#include "base/str.h"

typedef struct {
    const char *at; /* text: the packet with its type; binary: the data */
    size_t len;
    chunk *owner;
    bool binary;
    bool own; /* the chunk is this queue's alone */
} engineio_item;

/** Zeroed is empty. */
typedef struct {
    engineio_item *items; /* a block of the pool */
    size_t block_bytes;
    uint32_t n, cap;
    size_t bytes; /* of the payload that it makes */
} engineio_queue;

/** Room for a packet of that length, which counts already; NULL: no memory. */
char *engineio_queue_room(engineio_queue *q, pool *blocks, bool binary, size_t len);

/** A packet that lies in a chunk: by reference, unless it is small behind many others. 0 or -ENOMEM. */
int engineio_queue_refer(engineio_queue *q, pool *blocks, bool binary, str packet, chunk *owner);

/** Writes the payload: q->bytes. */
void engineio_queue_put(const engineio_queue *q, char *at);

void engineio_queue_drop(engineio_queue *q, pool *blocks);

#endif
