/**
 * DEFLATE in one go, with libdeflate where the build has it: for messages whose compressor keeps nothing.
 */
#ifndef WEFT_PROTO_WS_QUICK_H
#define WEFT_PROTO_WS_QUICK_H

#include "base/str.h"

typedef struct libdeflate_compressor ws_quick;

/** NULL: no memory, or no libdeflate. */
ws_quick *ws_quick_new(void);

/** NULL is fine. */
void ws_quick_free(ws_quick *q);

/** A whole stream (RFC 1951), which ends with a block that says so; its length, 0 when it does not fit. */
size_t ws_quick_compress(ws_quick *q, str in, char *out, size_t room);

#endif
