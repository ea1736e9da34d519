#include "proto/ws_compress.h"

#include "base/mem.h"
#include "proto/ws_quick.h"
#include "proto/ws_zlib.h"

/* Without a context most of the time of a small message would go into clearing tables that are made for large ones: zlib's hash takes
 * 2 to the power of (memory level + 8) bytes, libdeflate's 128 KiB. */
enum {
    SMALL_BYTES = 512,         /* up to this size zlib with small tables is sooner done than libdeflate */
    SMALL_WINDOW_BYTES = 4096, /* and up to this one than zlib with large ones */
    SMALL_BITS = 12,
    SMALL_MEMORY_LEVEL = 5,
    FAST_LEVEL = 1,
    CONTEXT_MEMORY_LEVEL = 8,
    TAIL_BYTES = 4, /* 00 00 ff ff, with which every flush ends and no message does */
};

struct ws_compressor {
    ws_compressor_kind kind;
    bool forgotten;          /* begin anew with the next message */
    z_stream *small, *large; /* NULL: not needed yet; with a context there is the large one only */
    ws_quick *quick;
};

bool ws_compress_available(void)
{
    return true;
}

ws_compressor *ws_compressor_new(ws_compressor_kind kind)
{
    ws_compressor *c = mem_zero(sizeof *c);
    if (c)
        c->kind = kind;
    return c;
}

static void free_stream(z_stream *z)
{
    if (z)
        deflateEnd(z);
    mem_free(z);
}

void ws_compressor_free(ws_compressor *c)
{
    if (!c)
        return;
    free_stream(c->small);
    free_stream(c->large);
    ws_quick_free(c->quick);
    mem_free(c);
}

static z_stream *new_stream(int level, int bits, int memory_level)
{
    z_stream *z = ws_zlib_new();
    if (z && deflateInit2(z, level, Z_DEFLATED, -bits, memory_level, Z_DEFAULT_STRATEGY) == Z_OK)
        return z;
    mem_free(z);
    return NULL;
}

/* The stream for a message of so many bytes. NULL: no memory. */
static z_stream *stream_for(ws_compressor *c, size_t len)
{
    int bits = c->kind.window_bits;
    bool small = !c->kind.context && (len <= SMALL_WINDOW_BYTES || bits <= SMALL_BITS);
    z_stream **place = small ? &c->small : &c->large;
    if (*place)
        return *place;
    if (c->kind.context)
        *place = new_stream(Z_DEFAULT_COMPRESSION, bits, CONTEXT_MEMORY_LEVEL);
    else if (small)
        *place = new_stream(FAST_LEVEL, bits < SMALL_BITS ? bits : SMALL_BITS, SMALL_MEMORY_LEVEL);
    else
        *place = new_stream(FAST_LEVEL, bits, CONTEXT_MEMORY_LEVEL);
    return *place;
}

/* The stream is not to be gone on with after a 0. */
static size_t flush_message(z_stream *z, str message, char *out)
{
    z->next_in = (Bytef *)(uintptr_t)message.at;
    z->avail_in = (uInt)message.len;
    z->next_out = (Bytef *)out;
    z->avail_out = (uInt)(message.len + WS_COMPRESS_ROOM_BYTES);
    deflate(z, Z_SYNC_FLUSH);
    if (!z->avail_out) /* zlib might have more to say */
        return 0;
    size_t len = (size_t)((char *)z->next_out - out) - TAIL_BYTES;
    return len < message.len ? len : 0;
}

static size_t compress_stream(ws_compressor *c, str message, char *out)
{
    z_stream *z = stream_for(c, message.len);
    if (!z)
        return 0;
    if (!c->kind.context || c->forgotten)
        deflateReset(z);
    size_t len = flush_message(z, message, out);
    c->forgotten = !len; /* the other side will not have seen it */
    return len;
}

/* The stream's end and an empty block's beginning (RFC 7692 §7.2.3.4). */
static size_t compress_quickly(ws_compressor *c, str message, char *out)
{
    size_t len = ws_quick_compress(c->quick, message, out, message.len - 2);
    if (!len)
        return 0;
    out[len] = '\0';
    return len + 1;
}

static bool is_quick(ws_compressor *c, size_t len)
{
    if (!c->kind.may_end || c->kind.context || c->kind.window_bits < 15 || len <= SMALL_BYTES)
        return false;
    if (!c->quick)
        c->quick = ws_quick_new();
    return c->quick;
}

size_t ws_compress(ws_compressor *c, str message, char *out)
{
    if (message.len < 2 || message.len > UINT32_MAX / 2)
        return 0;
    return is_quick(c, message.len) ? compress_quickly(c, message, out) : compress_stream(c, message, out);
}

void ws_compressor_forget(ws_compressor *c)
{
    c->forgotten = true;
}

size_t ws_compressor_bytes(uint8_t window_bits)
{
    enum { STATE_BYTES = 8192 };
    return STATE_BYTES + ((size_t)1 << (window_bits + 2)) + ((size_t)1 << (CONTEXT_MEMORY_LEVEL + 9));
}
