/**
 * zlib with our allocator, so that tests can make its allocations fail. Inside proto only.
 */
#ifndef WEFT_PROTO_WS_ZLIB_H
#define WEFT_PROTO_WS_ZLIB_H

#include "base/mem.h"
#define ZLIB_CONST
#include <zlib.h>

static inline void *ws_zlib_alloc(void *unused, unsigned n, unsigned bytes)
{
    (void)unused;
    return mem_new((size_t)n * bytes);
}

static inline void ws_zlib_free(void *unused, void *block)
{
    (void)unused;
    mem_free(block);
}

/** A stream to be initialised; mem_free() frees it. NULL: no memory. */
static inline z_stream *ws_zlib_new(void)
{
    z_stream *z = mem_zero(sizeof *z);
    if (z) {
        z->zalloc = ws_zlib_alloc;
        z->zfree = ws_zlib_free;
    }
    return z;
}

#endif
