/*
 * Compressed messages as a server takes them: frames decoded, payloads inflated within a limit. The pieces that the input comes in, and the room that it
 * is inflated into, make no difference; no more than the limit and one byte is ever written.
 *
 * The first byte chooses the limit and whether the context is kept, the second how the input is cut, the rest is what comes from the network.
 */
#include "base/buf.h"
#include "proto/ws_compress.h"
#include "proto/ws_decoder.h"
#include "proto/ws_inflate.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TOO_FAR = 1009, BAD = 1007 };

typedef struct {
    ws_decoder decoder;
    ws_inflater *inflater;
    size_t limit, room, message_len;
    bool keeps_context, any;
    buf seen; /* all messages, one behind the other */
    int code; /* of the failure */
} side;

static void check(bool holds)
{
    if (!holds)
        abort();
}

/* Inflates a piece into blocks of exactly the room that is told. */
static void inflate_piece(side *s, str in)
{
    ws_inflate_status status = WS_INFLATE_FULL;
    while (status == WS_INFLATE_FULL && !s->code) {
        size_t room = s->limit + 1 - s->message_len < s->room ? s->limit + 1 - s->message_len : s->room, n;
        char *out = malloc(room);
        const char *before = in.at;
        check(out);
        status = ws_inflate(s->inflater, &in, out, room, &n);
        check(n <= room && in.at >= before);
        check(status != WS_INFLATE_DONE || in.len == 0);
        check(status != WS_INFLATE_FULL || n == room);
        check(buf_put(&s->seen, out, n) == 0);
        free(out);
        s->message_len += n;
        if (s->message_len > s->limit)
            s->code = TOO_FAR;
        else if (status == WS_INFLATE_BAD)
            s->code = BAD;
    }
}

static void take_compressed(side *s, const ws_event *event)
{
    s->any |= event->bytes.len > 0;
    if (event->bytes.len)
        inflate_piece(s, event->bytes);
    if (s->code || !event->last)
        return;
    if (s->any)
        inflate_piece(s, ws_inflate_tail());
    if (!s->code && s->any && !ws_inflater_is_whole(s->inflater))
        s->code = BAD;
    if (!s->keeps_context)
        ws_inflater_reset(s->inflater);
    s->message_len = 0;
    s->any = false;
    check(buf_put(&s->seen, "|", 1) == 0);
}

/* Decodes all that a copy of exactly these bytes holds; the number consumed. */
static size_t decode(side *s, const uint8_t *data, size_t len)
{
    char *copy = malloc(len ? len : 1);
    size_t at = 0;
    ws_event event;
    check(copy);
    if (len)
        memcpy(copy, data, len);
    while (!s->code && (ws_decoder_next(&s->decoder, copy + at, len - at, &event), event.type != WS_MORE)) {
        at += event.consumed;
        if (event.type == WS_FAIL)
            s->code = event.code;
        else if (event.type == WS_DATA && event.compressed)
            take_compressed(s, &event);
    }
    free(copy);
    return at;
}

static void run(side *s, const uint8_t *data, size_t len, size_t max_piece)
{
    uint32_t seed = (uint32_t)max_piece;
    size_t start = 0, end = 0;
    while (end < len && !s->code) {
        seed = seed * 1664525 + 1013904223;
        size_t more = 1 + (seed >> 16) % max_piece;
        end += more < len - end ? more : len - end;
        start += decode(s, data + start, end - start);
    }
}

static void begin(side *s, uint8_t how, size_t room)
{
    static const size_t limits[] = {10, 1000, 65536, 1 << 20};
    *s = (side){.limit = limits[how >> 1 & 3], .room = room, .keeps_context = how & 1};
    s->inflater = ws_inflater_new(how & 8 ? 9 : 15);
    check(s->inflater);
    ws_decoder_init(&s->decoder, WS_SERVER, s->limit);
    ws_decoder_allow_deflate(&s->decoder);
}

static void end(side *s)
{
    ws_inflater_free(s->inflater);
    buf_done(&s->seen);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    side whole, cut;
    if (size < 2 || !ws_compress_available())
        return 0;
    begin(&whole, data[0], 1 << 20);
    begin(&cut, data[0], 1 + data[1] % 97);
    run(&whole, data + 2, size - 2, size);
    run(&cut, data + 2, size - 2, 1 + (size_t)data[1]);
    bool small_window = data[0] & 8; /* what refers past it is a fault only once that has left the room */
    check(whole.code == cut.code || small_window ||
          (whole.code && cut.code)); /* cut finer, another may be seen first */
    if (!whole.code && !cut.code)
        check(whole.seen.len == cut.seen.len &&
              (!whole.seen.len || !memcmp(whole.seen.at, cut.seen.at, whole.seen.len)));
    end(&whole);
    end(&cut);
    return 0;
}
