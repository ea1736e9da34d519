/**
 * Places of a few sizes for what a loop has very many of: no header in front of each, as malloc's blocks have, and those of a size close together.
 *
 * Places of a size stand in pages of 256 KiB; a page with none in use is freed, but for the last of its size with room. What is larger than SLABS_MOST_BYTES comes
 * from mem_new(). Not thread-safe: a place goes back to where it came from. Under the address sanitizer every place is a block of its own, so that it sees
 * late uses and leaks as well as it can.
 */
#ifndef WEFT_BASE_SLABS_H
#define WEFT_BASE_SLABS_H

#include "base/list.h"
#include <stdint.h>

enum {
    SLABS_MOST_BYTES = 512,
    SLABS_STEP_BYTES = 8,          /* sizes are rounded up to it */
    SLABS_PAGE_BYTES = 256 * 1024, /* of addresses: memory is touched as it is used, from the front */
};

/** Zeroed is empty. */
typedef struct {
    list_node *with_room[SLABS_MOST_BYTES / SLABS_STEP_BYTES]; /* pages of each size, in a ring */
    size_t n_pages;
    size_t used_bytes; /* of places in use */
} slabs;

/** Zeroed memory. NULL: there is none. */
void *slabs_get(slabs *s, size_t bytes);

/** Takes it back, with the size that it was asked for with. NULL is fine. */
void slabs_put(slabs *s, void *place, size_t bytes);

/** Frees the pages that have nothing in use. */
void slabs_trim(slabs *s);

#endif
