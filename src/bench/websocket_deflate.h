/**
 * permessage-deflate of a load generator's connections (RFC 7692): offered as browsers offer it, `permessage-deflate; client_max_window_bits`.
 *
 * What goes out is compressed without a look at earlier messages, which is always legal and costs the generator least: all connections share a
 * compressor. What comes in is inflated with the context that the server keeps; connections whose server keeps none share an inflater.
 */
#ifndef WEFT_BENCH_WEBSOCKET_DEFLATE_H
#define WEFT_BENCH_WEBSOCKET_DEFLATE_H

#include "proto/ws_deflate.h"

typedef struct bench_deflate bench_deflate;

extern const ws_deflate_offer bench_deflate_offer;

/** For one connection. NULL: no memory. */
bench_deflate *bench_deflate_new(const ws_deflate *agreed);

/** NULL is fine. */
void bench_deflate_free(bench_deflate *deflate);

/** The payload as it goes into a frame with RSV1; borrowed until the next is packed for any connection. False: it goes as it is. */
bool bench_deflate_pack(bench_deflate *deflate, const str parts[3], str *ret_packed);

/** A whole message; *ret_plain is borrowed until the next is unpacked for any connection. NULL, or what is wrong (static). */
const char *bench_deflate_unpack(bench_deflate *deflate, str packed, size_t max_bytes, str *ret_plain);

#endif
