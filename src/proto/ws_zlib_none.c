/* The build has no zlib: permessage-deflate is never agreed on, and so nothing but the first of these is ever called. */
#include "proto/ws_compress.h"
#include "proto/ws_inflate.h"

bool ws_compress_available(void)
{
    return false;
}

ws_compressor *ws_compressor_new(ws_compressor_kind kind)
{
    (void)kind;
    return NULL;
}

void ws_compressor_free(ws_compressor *c)
{
    (void)c;
}

size_t ws_compress(ws_compressor *c, str message, char *out)
{
    (void)c, (void)message, (void)out;
    return 0;
}

void ws_compressor_forget(ws_compressor *c)
{
    (void)c;
}

size_t ws_compressor_bytes(uint8_t window_bits)
{
    (void)window_bits;
    return 0;
}

ws_inflater *ws_inflater_new(uint8_t window_bits)
{
    (void)window_bits;
    return NULL;
}

void ws_inflater_free(ws_inflater *z)
{
    (void)z;
}

void ws_inflater_reset(ws_inflater *z)
{
    (void)z;
}

ws_inflate_status ws_inflate(ws_inflater *z, str *in, char *out, size_t room, size_t *ret_len)
{
    (void)z, (void)in, (void)out, (void)room, (void)ret_len;
    return WS_INFLATE_BAD;
}

bool ws_inflater_is_whole(const ws_inflater *z)
{
    (void)z;
    return false;
}

size_t ws_inflater_bytes(uint8_t window_bits)
{
    (void)window_bits;
    return 0;
}
