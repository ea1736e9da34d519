#include "bench/websocket_deflate.h"
#include "base/buf.h"
#include "base/mem.h"
#include "proto/ws_compress.h"
#include "proto/ws_inflate.h"

struct bench_deflate {
    ws_deflate agreed;
    ws_inflater *own; /* NULL: the server keeps no context */
};

const ws_deflate_offer bench_deflate_offer = {.client_bits_taken = true};

/* What the connections of a process share: made when it is needed, freed with the last of them. */
static struct {
    size_t n_users;
    ws_compressor *compressors[2][WS_DEFLATE_MAX_BITS + 1]; /* the server keeps a context, or not; by their bits */
    ws_inflater *inflater;
    buf plain, packed; /* of what is sent */
    buf unpacked;      /* of what came: borrowed while its receiver sends */
} shared;

static void shared_free(void)
{
    for (int keeps = 0; keeps < 2; keeps++)
        for (int bits = 0; bits <= WS_DEFLATE_MAX_BITS; bits++) {
            ws_compressor_free(shared.compressors[keeps][bits]);
            shared.compressors[keeps][bits] = NULL;
        }
    ws_inflater_free(shared.inflater);
    shared.inflater = NULL;
    buf_done(&shared.plain);
    buf_done(&shared.packed);
    buf_done(&shared.unpacked);
}

bench_deflate *bench_deflate_new(const ws_deflate *agreed)
{
    bench_deflate *deflate = mem_zero(sizeof *deflate);
    if (!deflate)
        return NULL;
    deflate->agreed = *agreed;
    shared.n_users++;
    if (!agreed->server_no_context && !(deflate->own = ws_inflater_new(agreed->server_bits))) {
        bench_deflate_free(deflate);
        return NULL;
    }
    return deflate;
}

void bench_deflate_free(bench_deflate *deflate)
{
    if (!deflate)
        return;
    ws_inflater_free(deflate->own);
    mem_free(deflate);
    if (--shared.n_users == 0)
        shared_free();
}

/* NULL: no memory, or a window that zlib cannot deflate with. */
static ws_compressor *compressor_of(const bench_deflate *deflate)
{
    uint8_t bits = deflate->agreed.client_bits;
    bool keeps = !deflate->agreed.client_no_context;
    ws_compressor **place = &shared.compressors[keeps][bits];
    if (!*place && bits >= WS_DEFLATE_MIN_BITS)
        *place = ws_compressor_new((ws_compressor_kind){.window_bits = bits, .may_end = !keeps});
    return *place;
}

bool bench_deflate_pack(bench_deflate *deflate, const str parts[3], str *ret_packed)
{
    ws_compressor *compressor = compressor_of(deflate);
    shared.plain.len = shared.packed.len = 0;
    for (int i = 0; i < 3; i++)
        if (buf_put_str(&shared.plain, parts[i]))
            return false;
    if (!compressor || buf_reserve(&shared.packed, shared.plain.len + WS_COMPRESS_ROOM_BYTES))
        return false;
    *ret_packed = (str){shared.packed.at, ws_compress(compressor, buf_str(&shared.plain), shared.packed.at)};
    return ret_packed->len > 0;
}

static ws_inflater *inflater_of(bench_deflate *deflate)
{
    if (deflate->own)
        return deflate->own;
    if (shared.inflater)
        ws_inflater_reset(shared.inflater);
    else
        shared.inflater = ws_inflater_new(WS_DEFLATE_MAX_BITS); /* larger than the other side's window is fine */
    return shared.inflater;
}

/* A piece goes behind what is there already. */
static const char *inflate_piece(ws_inflater *inflater, str in, size_t max_bytes)
{
    enum { ROOM_BYTES = 4096 };
    buf *plain = &shared.unpacked;
    ws_inflate_status status = WS_INFLATE_FULL;
    while (status == WS_INFLATE_FULL) {
        size_t n;
        if (plain->len > max_bytes)
            return "sent a message that is too large";
        if (buf_reserve(plain, ROOM_BYTES))
            return "out of memory";
        status = ws_inflate(inflater, &in, plain->at + plain->len, plain->cap - plain->len, &n);
        plain->len += n;
    }
    return status == WS_INFLATE_DONE ? NULL : status == WS_INFLATE_BAD ? "sent what is not DEFLATE" : "out of memory";
}

const char *bench_deflate_unpack(bench_deflate *deflate, str packed, size_t max_bytes, str *ret_plain)
{
    ws_inflater *inflater = inflater_of(deflate);
    shared.unpacked.len = 0;
    if (!inflater)
        return "out of memory";
    const char *problem = inflate_piece(inflater, packed, max_bytes);
    if (!problem && packed.len)
        problem = inflate_piece(inflater, ws_inflate_tail(), max_bytes);
    if (!problem && packed.len && !ws_inflater_is_whole(inflater))
        problem = "sent what is not DEFLATE";
    *ret_plain = buf_str(&shared.unpacked);
    return problem;
}
