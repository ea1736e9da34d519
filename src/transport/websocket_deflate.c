#include "transport/websocket_deflate.h"

#include "base/mem.h"
#include <stdatomic.h>

enum { N_BITS = WS_DEFLATE_MAX_BITS + 1 };

/* What the connections of one loop share. */
struct deflate_stock {
    ws_compressor *compressors[N_BITS][2]; /* by window bits, and whether a message may end its stream */
    ws_inflater *spare;
    uint64_t n_compressed;
};

typedef struct deflate_stock deflate_stock;

/* ------------------------------------------------------------------------------------------------------------ agreement */

/* Of all loops and applications. Relaxed: it is a number and guards nothing. */
static atomic_size_t reserved_bytes;

static bool reserve(const hub *h, websocket_deflate *d, size_t bytes)
{
    size_t before = atomic_fetch_add_explicit(&reserved_bytes, bytes, memory_order_relaxed);
    if (before + bytes <= h->deflate_budget) {
        d->reserved_bytes += bytes;
        return true;
    }
    atomic_fetch_sub_explicit(&reserved_bytes, bytes, memory_order_relaxed);
    d->over_budget = true;
    return false;
}

static bool has_stock(hub *h)
{
    if (!h->deflate)
        h->deflate = mem_zero(sizeof *h->deflate);
    return h->deflate;
}

websocket_deflate *websocket_deflate_new(hub *h, const weft_websocket_options *options, const ws_deflate_offer *offer)
{
    ws_deflate_room room = {false, false};
    websocket_deflate *d = has_stock(h) ? mem_zero(sizeof *d) : NULL;
    if (!d)
        return NULL;
    ws_deflate asked = ws_deflate_agree(offer, &(ws_deflate_room){true, true});
    if (options->deflate_context && !asked.server_no_context)
        room.own_context = reserve(h, d, ws_compressor_bytes(asked.server_bits));
    if (options->deflate_context && !asked.client_no_context)
        room.peer_context = reserve(h, d, ws_inflater_bytes(asked.client_bits));
    d->agreed = ws_deflate_agree(offer, &room);
    return d;
}

void websocket_deflate_free(hub *h, websocket_deflate *d)
{
    if (!d)
        return;
    websocket_deflate_return(h, d);
    ws_inflater_free(d->inflater);
    ws_compressor_free(d->own);
    atomic_fetch_sub_explicit(&reserved_bytes, d->reserved_bytes, memory_order_relaxed);
    mem_free(d);
}

void websocket_deflate_done(hub *h)
{
    deflate_stock *stock = h->deflate;
    if (!stock)
        return;
    for (int bits = 0; bits < N_BITS; bits++)
        for (int i = 0; i < 2; i++)
            ws_compressor_free(stock->compressors[bits][i]);
    ws_inflater_free(stock->spare);
    mem_free(stock);
    h->deflate = NULL;
}

uint64_t websocket_deflate_count(const hub *h)
{
    return h->deflate ? h->deflate->n_compressed : 0;
}

/* ---------------------------------------------------------------------------------------------------------- compressing */

/* A stream may end with the message where nobody goes on with it. Python's websockets, for one, would lose all that follows. */
static bool may_end(const websocket_deflate *d)
{
    return d->agreed.server_no_context && d->agreed.server_bits == WS_DEFLATE_MAX_BITS;
}

/* NULL: no memory. */
static ws_compressor *shared_compressor(const hub *h, const websocket_deflate *d)
{
    ws_compressor **place = &h->deflate->compressors[d->agreed.server_bits][may_end(d)];
    if (!*place)
        *place = ws_compressor_new((ws_compressor_kind){d->agreed.server_bits, false, may_end(d)});
    return *place;
}

static ws_compressor *own_compressor(websocket_deflate *d)
{
    if (!d->own)
        d->own = ws_compressor_new((ws_compressor_kind){d->agreed.server_bits, true, false});
    return d->own;
}

/* With a reference to a chunk that may be much too large. */
static bool make_frame(hub *h, ws_compressor *c, ws_opcode opcode, str payload, websocket_frame *ret)
{
    pool *blocks = &h->loop->blocks;
    chunk *room = c ? chunk_new(blocks, WS_MAX_HEADER_BYTES + payload.len + WS_COMPRESS_ROOM_BYTES) : NULL;
    if (!room)
        return false;
    h->deflate->n_compressed++;
    char header[WS_MAX_HEADER_BYTES], *body = room->bytes + WS_MAX_HEADER_BYTES;
    size_t len = ws_compress(c, payload, body);
    if (!len) {
        chunk_unref(blocks, room);
        return false;
    }
    size_t n = ws_header_put(&(ws_header){.opcode = opcode, .fin = true, .rsv1 = true, .len = len}, header);
    memcpy(body - n, header, n);
    *ret = (websocket_frame){room, {body - n, n + len}};
    return true;
}

bool websocket_deflate_frame(hub *h, websocket_deflate *d, ws_opcode opcode, str payload, websocket_frame *ret_frame)
{
    ws_compressor *c = d->agreed.server_no_context ? shared_compressor(h, d) : own_compressor(d);
    return make_frame(h, c, opcode, payload, ret_frame);
}

/* An empty one says that there is nothing to gain, so that nobody tries again. NULL: no memory. */
static chunk *make_image(hub *h, const websocket_deflate *d, ws_opcode opcode, str payload)
{
    pool *blocks = &h->loop->blocks;
    websocket_frame frame;
    ws_compressor *c = shared_compressor(h, d);
    bool smaller = c && make_frame(h, c, opcode, payload, &frame);
    chunk *image = chunk_new(blocks, smaller ? frame.bytes.len : 0);
    if (smaller && image) {
        memcpy(image->bytes, frame.bytes.at, frame.bytes.len);
        image->len = frame.bytes.len;
    }
    if (smaller)
        chunk_unref(blocks, frame.owner);
    return image;
}

chunk *websocket_deflate_image(websocket_deflate *d, topic *t, uint64_t offset, wire format, ws_opcode opcode,
                               str payload)
{
    uint32_t variant = (uint32_t)format << 8 | (uint32_t)d->agreed.server_bits << 1 | may_end(d);
    chunk *image = topic_variant_image(t, offset, variant);
    if (!image) {
        image = make_image(t->hub, d, opcode, payload);
        if (!image || topic_keep_variant(t, offset, variant, image))
            return NULL;
    }
    if (!image->len)
        return NULL;
    if (d->own)
        ws_compressor_forget(d->own);
    return image;
}

/* ------------------------------------------------------------------------------------------------------------ inflating */

ws_inflater *websocket_deflate_inflater(hub *h, websocket_deflate *d)
{
    deflate_stock *stock = h->deflate;
    if (d->inflater)
        return d->inflater;
    if (!d->agreed.client_no_context) {
        d->inflater = ws_inflater_new(d->agreed.client_bits);
    } else if (stock->spare) {
        d->inflater = stock->spare;
        stock->spare = NULL;
    } else {
        d->inflater = ws_inflater_new(WS_DEFLATE_MAX_BITS);
    }
    return d->inflater;
}

void websocket_deflate_return(hub *h, websocket_deflate *d)
{
    deflate_stock *stock = h->deflate;
    d->inflating = false;
    if (!d->agreed.client_no_context || !d->inflater)
        return;
    if (stock->spare) {
        ws_inflater_free(d->inflater);
    } else {
        ws_inflater_reset(d->inflater);
        stock->spare = d->inflater;
    }
    d->inflater = NULL;
}
