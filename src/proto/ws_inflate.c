#include "proto/ws_inflate.h"

#include "base/mem.h"
#include "proto/ws_zlib.h"
#include <assert.h>

enum {
    MIN_BITS = 9,
    PIECE_BYTES = 1 << 30, /* zlib counts with 32 bits */
    AFTER_BLOCK = 128,     /* in data_type: between two blocks */
};

struct ws_inflater {
    z_stream z;
};

ws_inflater *ws_inflater_new(uint8_t window_bits)
{
    z_stream *z = ws_zlib_new();
    if (z && inflateInit2(z, -(window_bits < MIN_BITS ? MIN_BITS : window_bits)) == Z_OK)
        return (ws_inflater *)z;
    mem_free(z);
    return NULL;
}

void ws_inflater_free(ws_inflater *z)
{
    if (z)
        inflateEnd(&z->z);
    mem_free(z);
}

void ws_inflater_reset(ws_inflater *z)
{
    inflateReset(&z->z);
}

static uInt at_most(size_t len)
{
    return len < PIECE_BYTES ? (uInt)len : PIECE_BYTES;
}

/* One call of zlib's inflate(). */
static int inflate_some(z_stream *z, str *in, char *out, size_t room, size_t *ret_len)
{
    z->next_in = (const Bytef *)in->at;
    z->avail_in = at_most(in->len);
    z->next_out = (Bytef *)out;
    z->avail_out = at_most(room);
    int result = inflate(z, Z_SYNC_FLUSH);
    size_t used = (size_t)((const char *)z->next_in - in->at);
    *in = (str){in->at + used, in->len - used};
    *ret_len = (size_t)((char *)z->next_out - out);
    return result;
}

ws_inflate_status ws_inflate(ws_inflater *inflater, str *in, char *out, size_t room, size_t *ret_len)
{
    z_stream *z = &inflater->z;
    size_t done = 0;
    assert(room > 0);
    *ret_len = 0;
    while (done < room) {
        size_t n;
        int result = inflate_some(z, in, out + done, room - done, &n);
        done += n;
        *ret_len = done;
        if (result == Z_STREAM_END)
            inflateResetKeep(z); /* another stream may follow, and refer to this one */
        else if (result == Z_MEM_ERROR)
            return WS_INFLATE_NO_MEMORY;
        else if (result != Z_OK && result != Z_BUF_ERROR)
            return WS_INFLATE_BAD;
        if (!in->len && done < room)
            return WS_INFLATE_DONE;
    }
    return WS_INFLATE_FULL;
}

bool ws_inflater_is_whole(const ws_inflater *inflater)
{
    return inflater->z.data_type == AFTER_BLOCK; /* and no bits are left over */
}

size_t ws_inflater_bytes(uint8_t window_bits)
{
    enum { STATE_BYTES = 8192 };
    return STATE_BYTES + ((size_t)1 << window_bits);
}
