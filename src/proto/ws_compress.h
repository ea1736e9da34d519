/**
 * Compressing messages for permessage-deflate (RFC 7692 §7.2.1), with zlib and, where it may be, libdeflate.
 *
 * A compressor that keeps its context belongs to one connection, and refers back to all that it made for it. One that keeps none begins anew with each
 * message, so any number of connections share it.
 */
#ifndef WEFT_PROTO_WS_COMPRESS_H
#define WEFT_PROTO_WS_COMPRESS_H

#include "base/str.h"
#include <stdbool.h>

typedef struct ws_compressor ws_compressor;

/** What the other side has agreed to. */
typedef struct {
    uint8_t window_bits; /* 9 to 15 */
    bool context;        /* kept from message to message */
    bool
        may_end; /* a message may end its stream: legal when the other side keeps no context, and of use with 15 bits */
} ws_compressor_kind;

enum {
    WS_COMPRESS_ROOM_BYTES = 8, /* more than the message, which the output must have room for */
};

/** False in a build without zlib: nothing else here, or in ws_inflate.h, may be called then. */
bool ws_compress_available(void);

/** Memory is taken when it is needed. NULL when there is none. */
ws_compressor *ws_compressor_new(ws_compressor_kind kind);

/** NULL is fine. */
void ws_compressor_free(ws_compressor *c);

/**
 * A message's payload as it goes into frames with RSV1 on the first: its length. `out` has room for WS_COMPRESS_ROOM_BYTES more than the message. 0: it would
 * not be smaller, or there is no memory; send it as it is.
 */
size_t ws_compress(ws_compressor *c, str message, char *out);

/** The other side was sent a compressed message that was not made here: from now on nothing refers to what came before it. */
void ws_compressor_forget(ws_compressor *c);

/** What a compressor that keeps its context takes, at most. */
size_t ws_compressor_bytes(uint8_t window_bits);

#endif
