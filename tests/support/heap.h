/**
 * How much of malloc's memory is in use. Of slabs the places count that are: a page is taken as a whole, and touched as it is used.
 */
#ifndef WEFT_TESTS_HEAP_H
#define WEFT_TESTS_HEAP_H

#include "base/slabs.h"
#include "loop/slots.h"
#include <malloc.h>

enum {
    HEAP_MAPPED_BYTES = 32 << 20, /* what is smaller is not mapped by itself, so that a page is what it says */
    HEAP_HANDLE_BYTES =
        sizeof(slot) + sizeof(uint32_t), /* in tables that are large from the beginning, and not counted else */
};

/** First in main(). */
static inline void heap_begin(void)
{
    mallopt(M_MMAP_THRESHOLD, HEAP_MAPPED_BYTES);
}

static inline size_t heap_bytes(const slabs *s)
{
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd + s->used_bytes - s->n_pages * (SLABS_PAGE_BYTES + 16);
}

#endif
