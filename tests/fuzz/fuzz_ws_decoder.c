/*
 * The WebSocket decoder: views stay inside the input, what is not consumed is not touched, and the pieces that the input
 * comes in make no difference to what is decoded.
 *
 * The first byte chooses role and limit, the second how the input is cut, the rest is what comes from the network.
 */
#include "base/buf.h"
#include "proto/ws_decoder.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct {
    buf seen; /* events as text, in which it does not show how a message was cut */
    int code;
    const char *reason;
} outcome;

static void check(bool holds)
{
    if (!holds)
        abort();
}

static void note(outcome *o, const ws_event *event)
{
    if (event->type == WS_FAIL) {
        check(event->reason && event->code);
        o->code = event->code;
        o->reason = event->reason;
        return;
    }
    if (event->type == WS_CONTROL || event->first)
        check(buf_printf(&o->seen, "\n%d %d ", event->opcode, event->code) == 0);
    check(buf_put_str(&o->seen, event->bytes) == 0);
    if (event->last)
        check(buf_put_text(&o->seen, ".") == 0);
}

/* What ws_decoder_whole() takes, in a copy, is what ws_decoder_next() says; what it does not take it leaves as it was. */
static void next(ws_decoder *decoder, char *at, size_t len, ws_event *ret_event)
{
    char *copy = malloc(len ? len : 1);
    ws_opcode opcode;
    str data;
    check(copy);
    if (len)
        memcpy(copy, at, len);
    bool taken = ws_decoder_whole(decoder, copy, len, &opcode, &data);
    check(taken || len == 0 || memcmp(copy, at, len) == 0);
    ws_decoder_next(decoder, at, len, ret_event);
    if (taken) {
        check(ret_event->type == WS_DATA && ret_event->first && ret_event->last && ret_event->opcode == opcode);
        check(ret_event->bytes.len == data.len && ret_event->bytes.at - at == data.at - copy);
        check(data.len == 0 || memcmp(ret_event->bytes.at, data.at, data.len) == 0);
    }
    free(copy);
}

/* Decodes all that a copy of exactly these bytes holds; the number consumed. */
static size_t decode(ws_decoder *decoder, const uint8_t *data, size_t len, outcome *o)
{
    char *copy = malloc(len ? len : 1);
    size_t at = 0;
    ws_event event;
    check(copy);
    if (len)
        memcpy(copy, data, len);
    while (next(decoder, copy + at, len - at, &event), event.type != WS_MORE) {
        check(event.consumed > 0 && event.consumed <= len - at);
        check(event.type == WS_FAIL || event.bytes.at + event.bytes.len == copy + at + event.consumed);
        check(event.bytes.len <= event.consumed);
        note(o, &event);
        at += event.consumed;
    }
    check(event.consumed == 0);
    check(o->code || len - at <= 130);
    check(at == len || memcmp(copy + at, data + at, len - at) == 0);
    free(copy);
    return at;
}

/* Shows the input in pieces of 1 to max_piece bytes, each behind what the last one left over. */
static void run(ws_role role, uint64_t limit, const uint8_t *data, size_t len, size_t max_piece, outcome *o)
{
    ws_decoder decoder;
    uint32_t seed = (uint32_t)max_piece;
    size_t start = 0, end = 0;
    ws_decoder_init(&decoder, role, limit);
    while (end < len && !o->code) {
        seed = seed * 1664525 + 1013904223;
        size_t more = 1 + (seed >> 16) % max_piece;
        end += more < len - end ? more : len - end;
        start += decode(&decoder, data + start, end - start, o);
    }
}

/* Cut finer, a failure may come after more of the message was handed out; all else is equal. */
static void compare(const outcome *whole, const outcome *cut)
{
    check(whole->code == cut->code && whole->reason == cut->reason);
    check(whole->code ? whole->seen.len <= cut->seen.len : whole->seen.len == cut->seen.len);
    check(whole->seen.len == 0 || memcmp(whole->seen.at, cut->seen.at, whole->seen.len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint64_t limits[] = {100, 1000, 1 << 20, UINT64_MAX};
    outcome whole = {0}, cut = {0}, bytewise = {0};
    if (size < 2)
        return 0;
    ws_role role = data[0] & 1 ? WS_CLIENT : WS_SERVER;
    uint64_t limit = limits[data[0] >> 1 & 3];
    ws_decoder decoder;
    ws_decoder_init(&decoder, role, limit);
    decode(&decoder, data + 2, size - 2, &whole);
    run(role, limit, data + 2, size - 2, 1 + (size_t)data[1], &cut);
    run(role, limit, data + 2, size - 2, 1, &bytewise);
    compare(&whole, &cut);
    compare(&whole, &bytewise);
    buf_done(&whole.seen);
    buf_done(&cut.seen);
    buf_done(&bytewise.seen);
    return 0;
}
