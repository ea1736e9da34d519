/**
 * The address of a client, kept for when its connection may be gone: eight bytes for one of IPv4, with or without a port, and a text of its own for any other.
 */
#ifndef WEFT_NET_KEPT_ADDRESS_H
#define WEFT_NET_KEPT_ADDRESS_H

#include "base/str.h"
#include <stdint.h>

enum { KEPT_ADDRESS_BYTES = 64 }; /* of any, with the NUL */

/** Zeroed is none. */
typedef struct {
    uintptr_t bits; /* odd: 1 + 2 * has_port + (host << 2) + (port << 34); else a pointer to a text */
} kept_address;

/** Keeps one as sink_ops.address tells it. Without memory there is none. */
kept_address kept_address_new(str text);
void kept_address_free(kept_address kept);

/** The text that was kept, with a NUL; its length. 0: there is none, and nothing is written. */
size_t kept_address_put(kept_address kept, char ret_text[KEPT_ADDRESS_BYTES]);

#endif
