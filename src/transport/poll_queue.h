/**
 * What waits for a session's next poll: JSON values, as references to images that many share, or copied. An empty
 * queue owns nothing.
 */
#ifndef WEFT_TRANSPORT_POLL_QUEUE_H
#define WEFT_TRANSPORT_POLL_QUEUE_H

#include "base/chunk.h"
#include "base/str.h"

typedef struct poll_item poll_item;

/** Zeroed is empty. */
typedef struct {
    poll_item *items; /* a block of the pool */
    size_t block_bytes;
    uint32_t n, cap;
    size_t bytes; /* of the values with a comma between them */
} poll_queue;

/** Bytes that belong to a chunk: by reference, unless they are few behind many others. 0 or -ENOMEM. */
int poll_queue_refer(poll_queue *q, pool *blocks, str value, chunk *owner);

/** Room for a value of that length at the end of the queue, in which it counts already; NULL: no memory. */
char *poll_queue_room(poll_queue *q, pool *blocks, size_t len);

/** Writes all of it, commas between values: q->bytes. */
void poll_queue_put(const poll_queue *q, char *at);

void poll_queue_drop(poll_queue *q, pool *blocks);

#endif
