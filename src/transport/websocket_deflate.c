#include "transport/websocket_deflate.h"

#include "base/mem.h"
#include <stdatomic.h>

enum {
    N_BITS = WS_DEFLATE_MAX_BITS + 1,
    MEMO_MAX_BYTES = 16 * 1024, /* of a message whose frame is kept */
};

/* The frame that a shared compressor has made last: a program that sends one message to many peers, one by one, has it compressed once. */
typedef struct {
    chunk *payload, *owner; /* what it was made of, and where it lies; NULL: there is none */
    str frame;
    ws_opcode opcode;
    uint8_t bits;
    bool may_end;
} frame_memo;

/* What the connections of one loop share. */
struct deflate_stock {
    ws_compressor *compressors[N_BITS][2]; /* by window bits, and whether a message may end its stream */
    ws_inflater *spare;
    frame_memo memo;
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

static void memo_drop(const hub *h, frame_memo *memo)
{
    chunk_unref(&h->loop->blocks, memo->payload);
    chunk_unref(&h->loop->blocks, memo->owner);
    *memo = (frame_memo){0};
}

void websocket_deflate_done(hub *h)
{
    deflate_stock *stock = h->deflate;
    if (!stock)
        return;
    memo_drop(h, &stock->memo);
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

static bool memo_is_of(const frame_memo *memo, const websocket_deflate *d, ws_opcode opcode, str payload)
{
    return memo->payload && memo->opcode == opcode && memo->bits == d->agreed.server_bits &&
           memo->may_end == may_end(d) && str_equal((str){memo->payload->bytes, memo->payload->len}, payload);
}

/* Without memory nothing is kept. */
static void memo_keep(hub *h, const websocket_deflate *d, ws_opcode opcode, str payload, const websocket_frame *made)
{
    frame_memo *memo = &h->deflate->memo;
    memo_drop(h, memo);
    chunk *copy = payload.len <= MEMO_MAX_BYTES ? chunk_new(&h->loop->blocks, payload.len) : NULL;
    if (!copy)
        return;
    memcpy(copy->bytes, payload.at, payload.len);
    copy->len = payload.len;
    *memo = (frame_memo){copy, chunk_ref(made->owner), made->bytes, opcode, d->agreed.server_bits, may_end(d)};
}

bool websocket_deflate_frame(hub *h, websocket_deflate *d, ws_opcode opcode, str payload, websocket_frame *ret_frame)
{
    const frame_memo *memo = &h->deflate->memo;
    if (!d->agreed.server_no_context)
        return make_frame(h, own_compressor(d), opcode, payload, ret_frame);
    if (memo_is_of(memo, d, opcode, payload)) {
        *ret_frame = (websocket_frame){chunk_ref(memo->owner), memo->frame};
        return true;
    }
    if (!make_frame(h, shared_compressor(h, d), opcode, payload, ret_frame))
        return false;
    memo_keep(h, d, opcode, payload, ret_frame);
    return true;
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
