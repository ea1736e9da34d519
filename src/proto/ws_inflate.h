/**
 * Inflating messages of permessage-deflate (RFC 7692 §7.2.2), as they come and into as little room as the caller gives: what a message grows to is his to
 * bound.
 */
#ifndef WEFT_PROTO_WS_INFLATE_H
#define WEFT_PROTO_WS_INFLATE_H

#include "base/str.h"
#include <stdbool.h>

typedef struct ws_inflater ws_inflater;

typedef enum {
    WS_INFLATE_DONE, /* all of the input is used */
    WS_INFLATE_FULL, /* all of the room is used; there may be more */
    WS_INFLATE_BAD, /* this is no DEFLATE, or refers past the window and the room; nothing more may be fed until a reset */
    WS_INFLATE_NO_MEMORY, /* likewise */
} ws_inflate_status;

/** Of 8 to 15 window bits; takes 9 for 8, as zlib deflates with 9 when it is told 8. NULL: no memory. */
ws_inflater *ws_inflater_new(uint8_t window_bits);

/** NULL is fine. */
void ws_inflater_free(ws_inflater *z);

/** Forgets all that it has seen. */
void ws_inflater_reset(ws_inflater *z);

/** A piece of a message: takes from the front of *in, and writes to `out`, which has room for at least one byte; *ret_len says how many. Blocks that end
 * their stream may be anywhere in it (§7.2.3.4). */
ws_inflate_status ws_inflate(ws_inflater *z, str *in, char *out, size_t room, size_t *ret_len);

/** What a sender has left out: fed behind the last piece of a message that has any bytes. */
static inline str ws_inflate_tail(void)
{
    return (str){"\0\0\xff\xff", 4};
}

/** True when what was fed ends with a block: after the tail of every whole message. */
bool ws_inflater_is_whole(const ws_inflater *z);

/** What one takes, at most. */
size_t ws_inflater_bytes(uint8_t window_bits);

#endif
