/**
 * Memory that a loop keeps at hand: without it the next allocation is a real one, which a test may let fail.
 */
#ifndef WEFT_TESTS_APP_SPARE_MEMORY_H
#define WEFT_TESTS_APP_SPARE_MEMORY_H

#include "app/app.h"
#include "net/stream.h"

static inline void forget_spare_memory(weft *of)
{
    pool *blocks = &of->workers->loop.blocks;
    net *n = &of->workers->net;
    if (n->spare)
        pool_put(blocks, n->spare, n->spare->block_bytes);
    n->spare = NULL;
    pool_done(blocks);
}

#endif
