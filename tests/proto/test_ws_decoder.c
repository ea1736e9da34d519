#include "base/buf.h"
#include "proto/ws_decoder.h"
#include "support/check.h"
#include "support/guard.h"
#include <stdio.h>

static const uint8_t mask[4] = {0x37, 0xfa, 0x21, 0x3d};

/* ------------------------------------------------------------------------------------------------------- feeding a decoder
 * A run feeds input in pieces as a connection would: what was not consumed stands before what is new. Events become text, so
 * that results compare: T(...) and B(...) for messages, T!(...) and B!(...) for compressed ones, ping(...), pong(...), close(code reason). */

typedef struct {
    ws_decoder decoder;
    str input;
    size_t start, end; /* the decoder has been shown input up to `end`, and has consumed it up to `start` */
    buf seen;
    int fail_code; /* 0 while nothing is wrong */
    const char *fail_reason;
} run;

static void run_init(run *r, ws_role role, uint64_t max_message_bytes, str input)
{
    *r = (run){.input = input};
    ws_decoder_init(&r->decoder, role, max_message_bytes);
}

static void note_data(run *r, const ws_event *event)
{
    assert_true(event->opcode == WS_TEXT || event->opcode == WS_BINARY);
    if (event->first)
        buf_printf(&r->seen, "%c%s(", event->opcode == WS_TEXT ? 'T' : 'B', event->compressed ? "!" : "");
    buf_put_str(&r->seen, event->bytes);
    if (event->last)
        buf_put_text(&r->seen, ")");
}

static void note_control(run *r, const ws_event *event)
{
    if (event->opcode == WS_CLOSE)
        buf_printf(&r->seen, "close(%d ", event->code);
    else
        buf_put_text(&r->seen, event->opcode == WS_PING ? "ping(" : "pong(");
    buf_put_str(&r->seen, event->bytes);
    buf_put_text(&r->seen, ")");
}

static void note_failure(run *r, const ws_event *event)
{
    r->fail_code = event->code;
    r->fail_reason = event->reason;
    assert_non_null(event->reason);
    assert_in_range(strlen(event->reason), 1, WS_MAX_REASON_BYTES);
}

static void check_event(const ws_event *event, const char *at, size_t len)
{
    assert_in_range(event->consumed, 0, len);
    assert_int_equal(event->consumed == 0, event->type == WS_MORE);
    if (event->type == WS_FAIL)
        assert_int_equal(event->consumed, len);
    if (event->type == WS_DATA || event->type == WS_CONTROL) {
        assert_true(event->bytes.at >= at);
        assert_true(event->bytes.at + event->bytes.len == at + event->consumed);
    }
}

/* What ws_decoder_whole() takes, in a copy, is what ws_decoder_next() then says of the same bytes; what it does not take it leaves as it was. */
static void check_whole(const guard *copy, size_t len, bool taken, ws_opcode opcode, str data, const char *at,
                        const ws_event *event)
{
    if (!taken) {
        assert_true(len == 0 || memcmp(copy->at, at, len) == 0);
        return;
    }
    assert_int_equal(event->type, WS_DATA);
    assert_true(event->first && event->last && !event->compressed);
    assert_int_equal(opcode, event->opcode);
    assert_int_equal(data.at - copy->at, event->bytes.at - at);
    assert_int_equal(data.len, event->bytes.len);
    assert_true(data.len == 0 || memcmp(data.at, event->bytes.at, data.len) == 0);
}

static void take_event(run *r, char *at, size_t len, ws_event *event)
{
    guard copy = guard_copy(at, len), before = guard_copy(at, len);
    ws_opcode opcode = WS_CONTINUATION;
    str data = {NULL, 0};
    bool taken = ws_decoder_whole(&r->decoder, copy.at, len, &opcode, &data);
    ws_decoder_next(&r->decoder, at, len, event);
    check_event(event, at, len);
    check_whole(&copy, len, taken, opcode, data, taken ? at : before.at, event);
    guard_free(copy);
    guard_free(before);
    if (event->type == WS_DATA)
        note_data(r, event);
    else if (event->type == WS_CONTROL)
        note_control(r, event);
    else if (event->type == WS_FAIL)
        note_failure(r, event);
    r->start += event->consumed;
}

/* Shows up to n more bytes, in a copy that ends at an unreadable page. False when the run is over. */
static bool run_feed(run *r, size_t n)
{
    size_t more = r->input.len - r->end < n ? r->input.len - r->end : n;
    if (r->fail_code || more == 0)
        return false;
    r->end += more;
    guard copy = guard_copy(r->input.at + r->start, r->end - r->start);
    char *at = copy.at;
    size_t len = r->end - r->start;
    ws_event event;
    do {
        take_event(r, at, len, &event);
        at += event.consumed;
        len -= event.consumed;
    } while (event.type != WS_MORE && event.type != WS_FAIL);
    if (event.type == WS_MORE) {
        assert_in_range(len, 0, 130);
        assert_memory_equal(at, r->input.at + r->start, len);
    }
    guard_free(copy);
    return true;
}

static void run_feed_all(run *r, size_t piece)
{
    while (run_feed(r, piece))
        ;
}

static void run_done(run *r)
{
    buf_done(&r->seen);
}

static void check_seen(const run *r, str expected)
{
    assert_int_equal(r->fail_code, 0);
    assert_int_equal(r->start, r->input.len);
    assert_int_equal(r->seen.len, expected.len);
    assert_memory_equal(r->seen.at, expected.at, expected.len);
    assert_int_equal(ws_decoder_expects(&r->decoder), 0);
}

/* Long inputs are split where something happens: around their beginning and their end. */
static bool worth_splitting(size_t len, size_t at)
{
    return len < 1000 || at < 20 || len - at < 20;
}

/* Whole, split in two at every byte, and one byte at a time. */
static void check_good(ws_role role, str input, str expected)
{
    for (size_t split = 1; split <= input.len; split++) {
        if (!worth_splitting(input.len, split))
            continue;
        run r;
        run_init(&r, role, 1 << 20, input);
        run_feed(&r, split);
        run_feed_all(&r, input.len);
        check_seen(&r, expected);
        run_done(&r);
    }
    run r;
    run_init(&r, role, 1 << 20, input);
    run_feed_all(&r, input.len < 1000 ? 1 : 61);
    check_seen(&r, expected);
    run_done(&r);
}

/* Must fail with the code, however it is split, as soon as `n_needed` bytes are there and not before; what was seen until then
 * is the same but for the last piece. */
static void check_bad(ws_role role, uint64_t max_message_bytes, str input, int code, size_t n_needed)
{
    run whole, bytewise;
    run_init(&whole, role, max_message_bytes, input);
    run_feed_all(&whole, input.len);
    run_init(&bytewise, role, max_message_bytes, input);
    run_feed_all(&bytewise, 1);
    assert_int_equal(whole.fail_code, code);
    assert_int_equal(bytewise.fail_code, code);
    assert_int_equal(bytewise.end, n_needed);
    assert_in_range(whole.seen.len, 0, bytewise.seen.len);
    if (whole.seen.len)
        assert_memory_equal(whole.seen.at, bytewise.seen.at, whole.seen.len);
    for (size_t split = 1; split < input.len; split++) {
        run r;
        run_init(&r, role, max_message_bytes, input);
        run_feed(&r, split);
        assert_int_equal(r.fail_code, split >= n_needed ? code : 0);
        run_feed_all(&r, input.len);
        assert_string_equal(r.fail_reason, whole.fail_reason);
        run_done(&r);
    }
    run_done(&whole);
    run_done(&bytewise);
}

/* ------------------------------------------------------------------------------------------------------------- making frames */

typedef struct {
    uint8_t first;
    str payload; /* at == NULL ends a list of frames */
} frame;

/* Appends a frame as RFC 6455 §5.2 draws it, without the encoder under test, and returns its header's length. */
static size_t put_frame(buf *out, uint8_t first, str payload, const uint8_t *key)
{
    size_t n_length = payload.len < 126 ? 0 : payload.len < 65536 ? 2 : 8;
    uint8_t marker = n_length == 0 ? (uint8_t)payload.len : n_length == 2 ? 126 : 127;
    uint8_t header[2] = {first, marker | (key ? 0x80 : 0)};

    assert_int_equal(buf_put(out, header, 2), 0);
    for (size_t i = n_length; i-- > 0;)
        buf_put(out, &(char){(char)(payload.len >> 8 * i)}, 1);
    if (key)
        buf_put(out, key, 4);
    for (size_t i = 0; i < payload.len; i++)
        buf_put(out, &(char){(char)(payload.at[i] ^ (key ? key[i % 4] : 0))}, 1);
    return 2 + n_length + (key ? 4 : 0);
}

static const uint8_t *key_of(ws_role role)
{
    return role == WS_SERVER ? mask : NULL;
}

typedef struct {
    frame frames[8];
    const char *expected;
} good_script;

static void check_good_scripts(const good_script *scripts, size_t n)
{
    for (ws_role role = WS_SERVER; role <= WS_CLIENT; role++)
        for (size_t i = 0; i < n; i++) {
            buf input = {0};
            for (const frame *f = scripts[i].frames; f->payload.at; f++)
                put_frame(&input, f->first, f->payload, key_of(role));
            check_good(role, buf_str(&input), str_from(scripts[i].expected));
            buf_done(&input);
        }
}

/* The last frame is the wrong one: in its n-th header byte, or when that is 0 in its n-th payload byte, both counted from 1. */
typedef struct {
    frame frames[4];
    int code;
    size_t header_byte, payload_byte;
} bad_script;

static void check_bad_scripts(const bad_script *scripts, size_t n)
{
    for (ws_role role = WS_SERVER; role <= WS_CLIENT; role++)
        for (size_t i = 0; i < n; i++) {
            buf input = {0};
            size_t at = 0, header = 0;
            for (const frame *f = scripts[i].frames; f->payload.at; f++) {
                at = input.len;
                header = put_frame(&input, f->first, f->payload, key_of(role));
            }
            at += scripts[i].header_byte ? scripts[i].header_byte : header + scripts[i].payload_byte;
            check_bad(role, 1 << 20, buf_str(&input), scripts[i].code, at);
            buf_done(&input);
        }
}

/* ----------------------------------------------------------------------------------------------------------- what is accepted */

/* RFC 6455 §5.7. */
static void ws_decoder__reads_the_examples_of_the_rfc(void **state)
{
    (void)state;
    check_good(WS_CLIENT, STR("\x81\x05Hello"), STR("T(Hello)"));
    check_good(WS_SERVER, STR("\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"), STR("T(Hello)"));
    check_good(WS_CLIENT, STR("\x01\x03Hel\x80\x02lo"), STR("T(Hello)"));
    check_good(WS_CLIENT, STR("\x89\x05Hello"), STR("ping(Hello)"));
    check_good(WS_SERVER, STR("\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"), STR("pong(Hello)"));
}

/* RFC 6455 §5.7 has 256 bytes and 64 KiB; the lengths around each change of form are here too. */
static void ws_decoder__reads_every_length_form(void **state)
{
    (void)state;
    static const size_t lens[] = {0, 1, 31, 32, 125, 126, 127, 256, 65535, 65536, 65537};
    for (ws_role role = WS_SERVER; role <= WS_CLIENT; role++)
        for (size_t i = 0; i < N_OF(lens); i++) {
            buf input = {0}, expected = {0};
            buf_put_text(&expected, "B(");
            for (size_t k = 0; k < lens[i]; k++)
                buf_put(&expected, &(char){(char)(k * 7)}, 1);
            put_frame(&input, 0x82, (str){expected.at + 2, lens[i]}, key_of(role));
            buf_put_text(&expected, ")");
            check_good(role, buf_str(&input), buf_str(&expected));
            buf_done(&input);
            buf_done(&expected);
        }
}

static void ws_decoder__reads_messages(void **state)
{
    (void)state;
    static const good_script scripts[] = {
        {{{0x81, STR("")}}, "T()"},
        {{{0x82, STR("")}}, "B()"},
        {{{0x81, STR("a")}, {0x82, STR("\xff\xfe")}, {0x81, STR("bc")}}, "T(a)B(\xff\xfe)T(bc)"},
        {{{0x82, STR("\xc3")}, {0x81, STR("ok")}}, "B(\xc3)T(ok)"},
        {{{0x81, STR("just some text that is longer than one block of thirty-two bytes")}, {0x81, STR("x")}},
         "T(just some text that is longer than one block of thirty-two bytes)T(x)"},
    };
    check_good_scripts(scripts, N_OF(scripts));
}

static void ws_decoder__joins_fragments(void **state)
{
    (void)state;
    static const good_script scripts[] = {
        {{{0x01, STR("a")}, {0x00, STR("b")}, {0x80, STR("c")}, {0x81, STR("d")}}, "T(abc)T(d)"},
        {{{0x02, STR("a")}, {0x80, STR("")}}, "B(a)"},
        {{{0x01, STR("")}, {0x80, STR("")}}, "T()"},
        {{{0x01, STR("")}, {0x00, STR("")}, {0x00, STR("x")}, {0x80, STR("")}, {0x82, STR("y")}}, "T(x)B(y)"},
        {{{0x02, STR("\xff")}, {0x00, STR("\xc3")}, {0x80, STR("\x80")}, {0x81, STR("t")}}, "B(\xff\xc3\x80)T(t)"},
    };
    check_good_scripts(scripts, N_OF(scripts));
}

static void ws_decoder__takes_control_frames_between_fragments(void **state)
{
    (void)state;
    static const good_script scripts[] = {
        {{{0x89, STR("")}, {0x8a, STR("")}}, "ping()pong()"},
        {{{0x01, STR("a")}, {0x89, STR("p")}, {0x80, STR("b")}}, "T(aping(p)b)"},
        {{{0x01, STR("\xe2\x82")}, {0x8a, STR("\xff")}, {0x80, STR("\xac")}}, "T(\xe2\x82pong(\xff)\xac)"},
        {{{0x02, STR("")}, {0x89, STR("1")}, {0x00, STR("x")}, {0x89, STR("2")}, {0x80, STR("")}},
         "B(ping(1)xping(2))"},
        {{{0x01, STR("a")}, {0x88, STR("\x03\xe8")}}, "T(aclose(1000 )"},
    };
    check_good_scripts(scripts, N_OF(scripts));
}

static void ws_decoder__takes_control_frames_of_125_bytes(void **state)
{
    (void)state;
    char payload[WS_MAX_CONTROL_BYTES];
    for (size_t i = 0; i < sizeof payload; i++)
        payload[i] = (char)(0x80 + i);
    for (ws_role role = WS_SERVER; role <= WS_CLIENT; role++) {
        buf input = {0}, text = {0};
        put_frame(&input, 0x89, (str){payload, sizeof payload}, key_of(role));
        buf_put_text(&text, "ping(");
        buf_put(&text, payload, sizeof payload);
        buf_put_text(&text, ")");
        check_good(role, buf_str(&input), buf_str(&text));
        buf_done(&input);
        buf_done(&text);
    }
}

static void ws_decoder__reads_close_frames(void **state)
{
    (void)state;
    static const good_script scripts[] = {
        {{{0x88, STR("")}}, "close(1005 )"},
        {{{0x88, STR("\x03\xe8")}}, "close(1000 )"},
        {{{0x88, STR("\x03\xe9gone")}}, "close(1001 gone)"},
        {{{0x88, STR("\x13\x87\xe2\x82\xac")}}, "close(4999 \xe2\x82\xac)"},
    };
    check_good_scripts(scripts, N_OF(scripts));
}

static void ws_decoder__accepts_utf8_split_anywhere(void **state)
{
    (void)state;
    static const char text[] = "h\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80 \xed\x9f\xbf\xf4\x8f\xbf\xbf";
    buf expected = {0};
    buf_printf(&expected, "T(%s)", text);
    for (ws_role role = WS_SERVER; role <= WS_CLIENT; role++)
        for (size_t split = 0; split < sizeof text; split++) {
            buf input = {0};
            put_frame(&input, 0x01, (str){text, split}, key_of(role));
            put_frame(&input, 0x80, (str){text + split, sizeof text - 1 - split}, key_of(role));
            check_good(role, buf_str(&input), buf_str(&expected));
            buf_done(&input);
        }
    buf_done(&expected);
}

static void ws_decoder__unmasks_with_any_mask(void **state)
{
    (void)state;
    static const uint8_t masks[][4] = {
        {0, 0, 0, 0}, {0xff, 0xff, 0xff, 0xff}, {1, 0, 0, 0}, {0, 0, 0, 0x80}, {1, 2, 3, 4}};
    static const char text[] = "The quick brown fox jumps over the lazy dog, 0123456789.";
    for (size_t i = 0; i < N_OF(masks); i++)
        for (size_t len = 0; len < sizeof text; len++) {
            buf input = {0}, expected = {0};
            put_frame(&input, 0x81, (str){text, len}, masks[i]);
            buf_put_text(&expected, "T(");
            buf_put(&expected, text, len);
            buf_put_text(&expected, ")");
            check_good(WS_SERVER, buf_str(&input), buf_str(&expected));
            buf_done(&input);
            buf_done(&expected);
        }
}

/* Reproducible, and good enough to vary a test. */
static uint32_t next_random(uint32_t *seed)
{
    *seed = *seed * 1664525 + 1013904223;
    return *seed >> 16;
}

/* A message of a few fragments with pings between, onto the wire and into the transcript that is expected of it. */
static void put_random_message(buf *wire, buf *expected, uint32_t *seed, bool masked)
{
    static const size_t lens[] = {0, 1, 5, 33, 126, 300};
    size_t n_frames = 1 + next_random(seed) % 4;

    buf_put_text(expected, "B(");
    for (size_t i = 0; i < n_frames; i++) {
        char payload[300];
        uint8_t key[4];
        str bytes = {payload, lens[next_random(seed) % N_OF(lens)]};
        for (size_t k = 0; k < bytes.len; k++)
            payload[k] = (char)next_random(seed);
        for (size_t k = 0; k < 4; k++)
            key[k] = (uint8_t)next_random(seed);
        put_frame(wire, (uint8_t)((i + 1 == n_frames ? 0x80 : 0) | (i ? 0 : 2)), bytes, masked ? key : NULL);
        buf_put_str(expected, bytes);
        if (i + 1 < n_frames && next_random(seed) % 2) {
            put_frame(wire, 0x89, STR("ping"), masked ? key : NULL);
            buf_put_text(expected, "ping(ping)");
        }
    }
    buf_put_text(expected, ")");
}

static void ws_decoder__reads_any_stream_in_any_pieces(void **state)
{
    (void)state;
    for (uint32_t round = 0; round < 60; round++) {
        uint32_t seed = round;
        ws_role role = round % 2 ? WS_CLIENT : WS_SERVER;
        buf wire = {0}, expected = {0};
        for (int i = 0; i < 10; i++)
            put_random_message(&wire, &expected, &seed, role == WS_SERVER);
        run r;
        run_init(&r, role, 1 << 20, buf_str(&wire));
        while (run_feed(&r, 1 + next_random(&seed) % 90))
            ;
        check_seen(&r, buf_str(&expected));
        run_done(&r);
        buf_done(&wire);
        buf_done(&expected);
    }
}

/* ----------------------------------------------------------------------------------------------------------- what is refused */

/* What one byte says, with nothing behind it: RFC 6455 §5.2, §5.4, §5.5. */
static bool first_byte_good(uint8_t byte, bool in_message)
{
    switch (byte) {
    case 0x00:
    case 0x80:
        return in_message;
    case 0x01:
    case 0x81:
    case 0x02:
    case 0x82:
        return !in_message;
    case 0x88:
    case 0x89:
    case 0x8a:
        return true;
    default:
        return false;
    }
}

static void ws_decoder__judges_every_first_byte(void **state)
{
    (void)state;
    for (int in_message = 0; in_message < 2; in_message++)
        for (int byte = 0; byte < 256; byte++) {
            ws_decoder decoder;
            ws_event event;
            ws_decoder_init(&decoder, WS_CLIENT, 100);
            if (in_message)
                ws_decoder_next(&decoder, (char[]){0x02, 0}, 2, &event);
            ws_decoder_next(&decoder, &(char){(char)byte}, 1, &event);
            bool good = first_byte_good((uint8_t)byte, in_message);
            assert_int_equal(event.type, good ? WS_MORE : WS_FAIL);
            if (!good)
                assert_int_equal(event.code, WS_CODE_PROTOCOL_ERROR);
        }
}

static void ws_decoder__judges_every_second_byte(void **state)
{
    (void)state;
    static const uint8_t firsts[] = {0x81, 0x82, 0x01, 0x88, 0x89, 0x8a};
    for (ws_role role = WS_SERVER; role <= WS_CLIENT; role++)
        for (size_t i = 0; i < N_OF(firsts); i++)
            for (int byte = 0; byte < 256; byte++) {
                ws_decoder decoder;
                ws_event event;
                uint8_t len7 = byte & 0x7f;
                bool control = firsts[i] >= 0x88;
                bool good = (byte >= 0x80) == (role == WS_SERVER) && !(control && len7 > 125) &&
                            !(firsts[i] == 0x88 && len7 == 1);
                ws_decoder_init(&decoder, role, 1 << 20);
                ws_decoder_next(&decoder, (char[]){(char)firsts[i], (char)byte}, 2, &event);
                assert_int_equal(event.type == WS_FAIL, !good);
                if (!good)
                    assert_int_equal(event.code, WS_CODE_PROTOCOL_ERROR);
            }
}

static void ws_decoder__rejects_masked_server_frame(void **state)
{
    (void)state;
    check_bad(WS_CLIENT, 100, STR("\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"), 1002, 2);
    check_bad(WS_CLIENT, 100, STR("\x89\x80\x37\xfa\x21\x3d"), 1002, 2);
}

static void ws_decoder__rejects_unmasked_client_frame(void **state)
{
    (void)state;
    check_bad(WS_SERVER, 100, STR("\x81\x05Hello"), 1002, 2);
    check_bad(WS_SERVER, 100, STR("\x88\x00"), 1002, 2);
}

static void ws_decoder__rejects_frames_out_of_order(void **state)
{
    (void)state;
    static const bad_script scripts[] = {
        {{{0x80, STR("a")}}, 1002, 1, 0},
        {{{0x00, STR("a")}}, 1002, 1, 0},
        {{{0x81, STR("a")}, {0x80, STR("b")}}, 1002, 1, 0},
        {{{0x01, STR("a")}, {0x81, STR("b")}}, 1002, 1, 0},
        {{{0x02, STR("")}, {0x01, STR("b")}}, 1002, 1, 0},
        {{{0x01, STR("a")}, {0x89, STR("")}, {0x82, STR("b")}}, 1002, 1, 0},
        {{{0x01, STR("a")}, {0x80, STR("b")}, {0x80, STR("c")}}, 1002, 1, 0},
    };
    check_bad_scripts(scripts, N_OF(scripts));
}

static void ws_decoder__rejects_broken_control_frames(void **state)
{
    (void)state;
    char long_payload[126] = {0};
    const bad_script scripts[] = {
        {{{0x09, STR("")}}, 1002, 1, 0},
        {{{0x0a, STR("x")}}, 1002, 1, 0},
        {{{0x08, STR("")}}, 1002, 1, 0},
        {{{0x89, {long_payload, sizeof long_payload}}}, 1002, 2, 0},
        {{{0x01, STR("a")}, {0x8a, {long_payload, sizeof long_payload}}}, 1002, 2, 0},
        {{{0x88, STR("x")}}, 1002, 2, 0},
        {{{0x88, STR("\x03\xe7")}}, 1002, 0, 2},
        {{{0x88, STR("\x03\xed")}}, 1002, 0, 2},
        {{{0x88, STR("\x03\xe8\xff")}}, 1007, 0, 3},
        {{{0x88, STR("\x03\xe8\xe2\x82")}}, 1007, 0, 4},
    };
    check_bad_scripts(scripts, N_OF(scripts));
}

static void ws_decoder__judges_every_close_code(void **state)
{
    (void)state;
    for (int code = 0; code < 65536; code++) {
        ws_decoder decoder;
        ws_event event;
        bool good = (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) || (code >= 3000 && code <= 4999);
        ws_decoder_init(&decoder, WS_CLIENT, 100);
        ws_decoder_next(&decoder, (char[]){(char)0x88, 2, (char)(code >> 8), (char)code}, 4, &event);
        assert_int_equal(event.type, good ? WS_CONTROL : WS_FAIL);
        assert_int_equal(event.code, good ? code : WS_CODE_PROTOCOL_ERROR);
    }
}

/* A length must be in its shortest form, and that it cannot become so shows before its last byte. */
static void ws_decoder__rejects_lengths_in_the_wrong_form(void **state)
{
    (void)state;
    check_bad(WS_CLIENT, UINT64_MAX, STR("\x82\x7e\x00\x00"), 1002, 4);
    check_bad(WS_CLIENT, UINT64_MAX, STR("\x82\x7e\x00\x7d"), 1002, 4);
    check_bad(WS_CLIENT, UINT64_MAX, STR("\x82\x7f\0\0\0\0\0\0\0\0"), 1002, 8);
    check_bad(WS_CLIENT, UINT64_MAX, STR("\x82\x7f\0\0\0\0\0\0\xff\xff"), 1002, 8);
    check_bad(WS_CLIENT, UINT64_MAX, STR("\x82\x7f\x80\0\0\0\0\0\0\0"), 1002, 3);
    check_bad(WS_CLIENT, UINT64_MAX, STR("\x82\x7f\xff\xff\xff\xff\xff\xff\xff\xff"), 1002, 3);
    check_bad(WS_SERVER, UINT64_MAX,
              STR("\x82\xfe\x00\x7d"
                  "mask"),
              1002, 4);
    check_bad(WS_SERVER, UINT64_MAX,
              STR("\x82\xff\0\0\0\0\0\0\xff\xff"
                  "mask"),
              1002, 8);
    /* A wrong form is a wrong form whatever the limit. */
    check_bad(WS_CLIENT, 10, STR("\x82\x7e\x00\x7d"), 1002, 4);
}

static void ws_decoder__accepts_the_largest_length(void **state)
{
    (void)state;
    ws_decoder decoder;
    ws_event event;
    char header[] = "\x02\x7f\x7f\xff\xff\xff\xff\xff\xff\xff";
    ws_decoder_init(&decoder, WS_CLIENT, UINT64_MAX);
    ws_decoder_next(&decoder, header, 10, &event);
    assert_int_equal(event.type, WS_DATA);
    assert_true(event.first && !event.last);
    assert_true(ws_decoder_expects(&decoder) == INT64_MAX);
}

static void ws_decoder__rejects_large_messages_by_their_header(void **state)
{
    (void)state;
    check_bad(WS_CLIENT, 10, STR("\x82\x0b"), 1009, 2);
    check_bad(WS_CLIENT, 0, STR("\x81\x01"), 1009, 2);
    check_bad(WS_SERVER, 10, STR("\x82\x8b"), 1009, 2);
    check_bad(WS_CLIENT, 999, STR("\x82\x7e\x03\xe8"), 1009, 4);
    check_bad(WS_CLIENT, 999, STR("\x82\x7e\x04\x00"), 1009, 3);
    check_bad(WS_CLIENT, 1 << 20, STR("\x82\x7f\0\0\0\0\0\x10\0\x01"), 1009, 10);
    check_bad(WS_CLIENT, 1 << 20, STR("\x82\x7f\0\0\0\0\x01\0\0\0"), 1009, 7);
    check_bad(WS_CLIENT, 1 << 20, STR("\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff"), 1009, 3);
}

static void ws_decoder__counts_all_fragments_against_the_limit(void **state)
{
    (void)state;
    check_bad(WS_CLIENT, 10,
              STR("\x02\x05"
                  "12345\x00\x05"
                  "67890\x80\x01x"),
              1009, 16);
    check_bad(WS_CLIENT, 10,
              STR("\x02\x05"
                  "12345\x00\x06"),
              1009, 9);
    /* A sum that would not fit 64 bits is over any limit. */
    check_bad(WS_CLIENT, INT64_MAX, STR("\x02\x01x\x00\x7f\x7f\xff\xff\xff\xff\xff\xff\xff"), 1009, 13);
}

static void ws_decoder__takes_messages_up_to_the_limit(void **state)
{
    (void)state;
    static const char *const inputs[] = {"\x82\x0a"
                                         "1234567890",
                                         "\x02\x05"
                                         "12345\x80\x05"
                                         "67890"};
    for (size_t i = 0; i < N_OF(inputs); i++) {
        run r;
        /* Twice, as the first message must not count against the second; and a ping counts against nothing. */
        buf input = {0};
        buf_put_text(&input, inputs[i]);
        buf_put_text(&input, "\x89\x0b"
                             "ping of 11 "
                             "\x82\x0a"
                             "1234567890");
        run_init(&r, WS_CLIENT, 10, buf_str(&input));
        run_feed_all(&r, 3);
        check_seen(&r, STR("B(1234567890)ping(ping of 11 )B(1234567890)"));
        run_done(&r);
        buf_done(&input);
    }
}

static void ws_decoder__rejects_text_at_its_first_wrong_byte(void **state)
{
    (void)state;
    static const bad_script scripts[] = {
        {{{0x81, STR("\x80")}}, 1007, 0, 1},
        {{{0x81, STR("ok\xff and more")}}, 1007, 0, 3},
        {{{0x81, STR("\xc0\xaf")}}, 1007, 0, 1},
        {{{0x81, STR("\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80 edited")}}, 1007, 0, 13},
        {{{0x81, STR("\xf4\x90\x80\x80")}}, 1007, 0, 2},
        {{{0x81, STR("\xe2\x82 \xac")}}, 1007, 0, 3},
        {{{0x01, STR("\xf4")}, {0x80, STR("\x90")}}, 1007, 0, 1},
        {{{0x01, STR("\xe2")}, {0x89, STR("")}, {0x80, STR("ab")}}, 1007, 0, 1},
        {{{0x01, STR("fine")}, {0x00, STR("fine")}, {0x80, STR("wrong \xfe")}}, 1007, 0, 7},
        {{{0x82, STR("\xff")}, {0x81, STR("\xff")}}, 1007, 0, 1},
    };
    check_bad_scripts(scripts, N_OF(scripts));
}

static void ws_decoder__finds_a_wrong_byte_anywhere(void **state)
{
    (void)state;
    for (ws_role role = WS_SERVER; role <= WS_CLIENT; role++)
        for (size_t len = 1; len <= 70; len += 23)
            for (size_t wrong = 0; wrong < len; wrong++) {
                char text[70];
                buf input = {0};
                memset(text, 'x', len);
                text[wrong] = '\xfe';
                size_t header = put_frame(&input, 0x81, (str){text, len}, key_of(role));
                check_bad(role, 1000, buf_str(&input), 1007, header + wrong + 1);
                buf_done(&input);
            }
}

static void ws_decoder__rejects_text_that_ends_inside_a_character(void **state)
{
    (void)state;
    static const bad_script scripts[] = {
        {{{0x81, STR("\xc3")}}, 1007, 0, 1},
        {{{0x81, STR("cut \xf0\x9f\x98")}}, 1007, 0, 7},
        {{{0x01, STR("\xe2\x82")}, {0x80, STR("")}}, 1007, 0, 0},
        {{{0x01, STR("a\xe2")}, {0x80, STR("\x82")}}, 1007, 0, 1},
    };
    check_bad_scripts(scripts, N_OF(scripts));
}

/* Feeds a message of n fragments with `piece` bytes each, the last one final; the fragment it fails at, or 0. */
static size_t fail_at_fragment(size_t n, size_t piece, int *ret_code)
{
    ws_decoder decoder;
    ws_decoder_init(&decoder, WS_CLIENT, 8 << 20);
    for (size_t i = 1; i <= n; i++) {
        char bytes[66] = {(char)((i == 1 ? 0x02 : 0x00) | (i == n ? 0x80 : 0)), (char)piece};
        ws_event event;
        ws_decoder_next(&decoder, bytes, 2 + piece, &event);
        *ret_code = event.code;
        if (event.type == WS_FAIL)
            return i;
        assert_int_equal(event.type, WS_DATA);
        assert_int_equal(event.first, i == 1);
        assert_int_equal(event.last, i == n);
    }
    return 0;
}

static void ws_decoder__rejects_a_flood_of_fragments(void **state)
{
    (void)state;
    int code;
    assert_int_equal(fail_at_fragment(1024, 0, &code), 0);
    assert_int_equal(fail_at_fragment(5000, 0, &code), 1025);
    assert_int_equal(code, WS_CODE_POLICY);
    /* 1 byte each: n > 1024 + n / 16 holds from n == 1093 on. */
    assert_int_equal(fail_at_fragment(1092, 1, &code), 0);
    assert_int_equal(fail_at_fragment(5000, 1, &code), 1093);
    assert_int_equal(code, WS_CODE_POLICY);
}

/* The fragment that brings enough bytes may come with its length cut in two: half a length is no reason to fail. */
static void ws_decoder__waits_for_the_length_before_it_counts(void **state)
{
    (void)state;
    buf input = {0}, payload = {0};
    for (int i = 0; i < 300; i++)
        buf_put(&payload, "x", 1);
    put_frame(&input, 0x02, STR(""), NULL);
    for (int i = 1; i < 1024; i++)
        put_frame(&input, 0x00, STR(""), NULL);
    put_frame(&input, 0x80, buf_str(&payload), NULL);
    run r;
    run_init(&r, WS_CLIENT, 1000, buf_str(&input));
    run_feed_all(&r, 1);
    assert_int_equal(r.fail_code, 0);
    assert_int_equal(r.start, input.len);
    run_done(&r);
    buf_done(&input);
    buf_done(&payload);
}

static void ws_decoder__takes_large_messages_in_small_fragments(void **state)
{
    (void)state;
    int code;
    assert_int_equal(fail_at_fragment((4 << 20) / 64, 64, &code), 0);
    assert_int_equal(fail_at_fragment(100000, 16, &code), 0);
}

static void ws_decoder__counts_fragments_of_each_message_alone(void **state)
{
    (void)state;
    ws_decoder decoder;
    ws_event event;
    ws_decoder_init(&decoder, WS_CLIENT, 1000);
    for (int i = 0; i < 5000; i++) {
        ws_decoder_next(&decoder, (char[]){i % 2 ? (char)0x80 : 0x01, 0}, 2, &event);
        assert_int_equal(event.type, WS_DATA);
        ws_decoder_next(&decoder, (char[]){(char)0x89, 0}, 2, &event);
        assert_int_equal(event.type, WS_CONTROL);
    }
}

/* -------------------------------------------------------------------------------------------------------- how it is called */

static void ws_decoder__says_more_to_nothing(void **state)
{
    (void)state;
    ws_decoder decoder;
    ws_event event;
    char header[] = "\x82\x05";
    ws_decoder_init(&decoder, WS_CLIENT, 1000);
    ws_decoder_next(&decoder, NULL, 0, &event);
    assert_int_equal(event.type, WS_MORE);
    ws_decoder_next(&decoder, header, 2, &event);
    assert_int_equal(event.type, WS_DATA);
    ws_decoder_next(&decoder, NULL, 0, &event);
    assert_int_equal(event.type, WS_MORE);
    assert_int_equal(event.consumed, 0);
}

/* The payload may be read to wherever it belongs and be fed from there. */
static void ws_decoder__takes_the_payload_from_elsewhere(void **state)
{
    (void)state;
    ws_decoder decoder;
    ws_event event;
    char header[] = "\x81\x85\x37\xfa\x21\x3d", payload[] = "\x7f\x9f\x4d\x51\x58",
         extra[] = "\x89\x80"
                   "abcd";
    ws_decoder_init(&decoder, WS_SERVER, 1000);

    ws_decoder_next(&decoder, header, 6, &event);
    assert_int_equal(event.type, WS_DATA);
    assert_int_equal(event.consumed, 6);
    assert_int_equal(event.bytes.len, 0);
    assert_true(event.first && !event.last);
    assert_int_equal(ws_decoder_expects(&decoder), 5);

    ws_decoder_next(&decoder, payload, 2, &event);
    assert_true(!event.first && !event.last);
    assert_int_equal(ws_decoder_expects(&decoder), 3);
    ws_decoder_next(&decoder, payload + 2, 3, &event);
    assert_true(!event.first && event.last);
    assert_int_equal(ws_decoder_expects(&decoder), 0);
    assert_memory_equal(payload, "Hello", 5);

    ws_decoder_next(&decoder, extra, 6, &event);
    assert_int_equal(event.type, WS_CONTROL);
}

static void ws_decoder__expects_nothing_between_fragments(void **state)
{
    (void)state;
    ws_decoder decoder;
    ws_event event;
    char bytes[] = "\x02\x03"
                   "abc";
    ws_decoder_init(&decoder, WS_CLIENT, 1000);
    ws_decoder_next(&decoder, bytes, 5, &event);
    assert_true(event.first && !event.last);
    assert_int_equal(ws_decoder_expects(&decoder), 0);
}

static void ws_decoder__hands_out_views_into_the_input(void **state)
{
    (void)state;
    ws_decoder decoder;
    ws_event event;
    char bytes[] = "\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
    ws_decoder_init(&decoder, WS_SERVER, 1000);
    ws_decoder_next(&decoder, bytes, 22, &event);
    assert_ptr_equal(event.bytes.at, bytes + 6);
    assert_true(event.first && event.last);
    assert_memory_equal(bytes + 6, "Hello", 5);
    assert_memory_equal(bytes + 11, "\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", 11);
}

static void ws_decoder__flags_what_comes_after_a_close(void **state)
{
    (void)state;
    ws_decoder decoder;
    ws_event event;
    char bytes[] = "\x81\x01"
                   "a\x88\x02\x03\xe8\x81\x01"
                   "b";
    ws_decoder_init(&decoder, WS_CLIENT, 1000);
    ws_decoder_next(&decoder, bytes, 10, &event);
    assert_false(decoder.closed);
    ws_decoder_next(&decoder, bytes + 3, 7, &event);
    assert_int_equal(event.opcode, WS_CLOSE);
    assert_true(decoder.closed);
    ws_decoder_next(&decoder, bytes + 7, 3, &event);
    assert_int_equal(event.type, WS_DATA);
    assert_true(decoder.closed);
}

/* ------------------------------------------------------------------------------------------------- compressed messages */

/* What is seen of a whole input in pieces, or the code of the failure. */
static const char *decode_deflate(ws_role role, bool allowed, str input, size_t piece)
{
    static char text[64];
    run r;
    run_init(&r, role, 1000, input);
    if (allowed)
        ws_decoder_allow_deflate(&r.decoder);
    run_feed_all(&r, piece);
    if (r.fail_code)
        snprintf(text, sizeof text, "%d", r.fail_code);
    else
        snprintf(text, sizeof text, "%.*s", (int)r.seen.len, r.seen.at ? r.seen.at : "");
    run_done(&r);
    return text;
}

/* Not looked at for UTF-8, to the end of the message and no further (RFC 7692 §6). Without deflate RSV1 is refused. */
static void ws_decoder__hands_out_compressed_messages_as_they_are(void **state)
{
    (void)state;
    static const good_script scripts[] = {
        {{{0xc1, {"hello", 5}}}, "T!(hello)"},
        {{{0xc2, {"", 0}}}, "B!()"},
        {{{0xc1, {"\xff\xfe", 2}}, {0x81, {"a", 1}}}, "T!(\xff\xfe)T(a)"},
        {{{0x41, {"\xe2", 1}}, {0x89, {"p", 1}}, {0x00, {"", 0}}, {0x80, {"\x82", 1}}}, "T!(\xe2ping(p)\x82)"},
        {{{0xc1, {"\xe2", 1}}, {0x81, {"\xff", 1}}}, "1007"},
        {{{0x41, {"x", 1}}, {0xc0, {"y", 1}}}, "1002"},
        {{{0x41, {"x", 1}}, {0xc1, {"y", 1}}}, "1002"},
        {{{0x01, {"x", 1}}, {0xc0, {"y", 1}}}, "1002"},
        {{{0xc0, {"y", 1}}}, "1002"},
        {{{0xc9, {"y", 1}}}, "1002"},
        {{{0xca, {"y", 1}}}, "1002"},
        {{{0xc8, {"", 0}}}, "1002"},
        {{{0xe1, {"y", 1}}}, "1002"},
        {{{0xd1, {"y", 1}}}, "1002"},
        {{{0xa1, {"y", 1}}}, "1002"},
        {{{0xc3, {"y", 1}}}, "1002"},
    };
    for (ws_role role = WS_SERVER; role <= WS_CLIENT; role++)
        for (size_t i = 0; i < N_OF(scripts); i++) {
            buf input = {0};
            for (const frame *f = scripts[i].frames; f->payload.at; f++)
                put_frame(&input, f->first, f->payload, key_of(role));
            for (size_t piece = 1; piece <= input.len; piece++)
                assert_string_equal(decode_deflate(role, true, buf_str(&input), piece), scripts[i].expected);
            assert_string_equal(decode_deflate(role, false, buf_str(&input), input.len), "1002");
            buf_done(&input);
        }
}

/* What does not shrink grows a little: an eighth and 64 bytes more than the 1000 that the limit is here. */
static void ws_decoder__leaves_compressed_messages_some_room(void **state)
{
    (void)state;
    static char payload[1200];
    static const struct {
        uint8_t first;
        size_t lens[2];
        bool good;
    } cases[] = {
        {0xc2, {1000}, true},      {0xc2, {1189}, true},     {0xc2, {1190}, false},
        {0x82, {1000}, true},      {0x82, {1001}, false},    {0x42, {1100, 89}, true},
        {0x42, {1100, 90}, false}, {0x02, {900, 100}, true}, {0x02, {900, 101}, false},
    };
    for (size_t i = 0; i < N_OF(cases); i++) {
        buf input = {0};
        put_frame(&input, cases[i].first, (str){payload, cases[i].lens[0]}, mask);
        if (cases[i].lens[1])
            put_frame(&input, 0x80, (str){payload, cases[i].lens[1]}, mask);
        bool failed = strcmp(decode_deflate(WS_SERVER, true, buf_str(&input), 61), "1009") == 0;
        assert_int_equal(failed, !cases[i].good);
        buf_done(&input);
    }
    buf input = {0};
    put_frame(&input, 0xc2, (str){payload, 10}, mask);
    put_frame(&input, 0x82, (str){payload, 1001}, mask); /* the next one has none */
    assert_string_equal(decode_deflate(WS_SERVER, true, buf_str(&input), 61), "1009");
    buf_done(&input);
}

/* ----------------------------------------------------------------------------------------------------------- whole messages */

static bool is_taken(const ws_decoder *decoder, str input)
{
    guard copy = guard_copy(input.at, input.len);
    ws_opcode opcode;
    str data;
    bool taken = ws_decoder_whole(decoder, copy.at, input.len, &opcode, &data);
    guard_free(copy);
    return taken;
}

static bool takes_frame(const ws_decoder *decoder, uint8_t first, str payload, const uint8_t *key)
{
    buf input = {0};
    put_frame(&input, first, payload, key);
    bool taken = is_taken(decoder, buf_str(&input));
    input.len -= 1;
    assert_false(is_taken(decoder, buf_str(&input)));
    buf_done(&input);
    return taken;
}

static void ws_decoder__takes_a_whole_message_at_once(void **state)
{
    (void)state;
    static char zeros[65536];
    static const struct {
        uint8_t first;
        size_t len;
        bool taken;
    } cases[] = {
        {0x81, 0, true},    {0x82, 0, true},     {0x82, 1, true},  {0x81, 125, true}, {0x81, 126, true},
        {0x82, 1000, true}, {0x82, 1001, false}, {0x01, 5, false}, {0x80, 5, false},  {0xc1, 5, false},
        {0x91, 5, false},   {0x83, 5, false},    {0x88, 0, false}, {0x89, 5, false},  {0x82, 65535, false},
    };
    ws_decoder server, client, large;
    ws_decoder_init(&server, WS_SERVER, 1000);
    ws_decoder_init(&large, WS_SERVER, UINT64_MAX);
    ws_decoder_init(&client, WS_CLIENT, 1000);
    for (size_t i = 0; i < N_OF(cases); i++)
        assert_int_equal(takes_frame(&server, cases[i].first, (str){zeros, cases[i].len}, mask), cases[i].taken);
    assert_true(takes_frame(&large, 0x82, (str){zeros, 65535}, mask));
    assert_false(takes_frame(&large, 0x82, (str){zeros, 65536}, mask));
    assert_false(takes_frame(&server, 0x82, STR("abc"), NULL));
    assert_false(takes_frame(&client, 0x82, STR("abc"), NULL));
    assert_false(takes_frame(&client, 0x82, STR("abc"), mask));
}

static void ws_decoder__takes_whole_text_that_is_utf8_alone(void **state)
{
    (void)state;
    ws_decoder decoder;
    ws_decoder_init(&decoder, WS_SERVER, 1000);
    assert_true(takes_frame(&decoder, 0x81, STR("gr\xc3\xbc\xc3\x9f dich"), mask));
    assert_false(takes_frame(&decoder, 0x81, STR("a\xffz"), mask));
    assert_false(takes_frame(&decoder, 0x81, STR("cut \xc3"), mask));
    assert_true(takes_frame(&decoder, 0x82, STR("a\xffz"), mask));
}

static void ws_decoder__takes_nothing_whole_inside_a_message(void **state)
{
    (void)state;
    run r;
    run_init(&r, WS_SERVER, 1000, STR("\x01\x82\0\0\0\0ab"));
    run_feed_all(&r, 8);
    assert_false(takes_frame(&r.decoder, 0x82, STR("abc"), mask));
    run_done(&r);
    run_init(&r, WS_SERVER, 1000, STR("\x81\x89\0\0\0\0ab"));
    run_feed_all(&r, 8);
    assert_false(takes_frame(&r.decoder, 0x82, STR("abc"), mask));
    run_done(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ws_decoder__reads_the_examples_of_the_rfc),
        cmocka_unit_test(ws_decoder__reads_every_length_form),
        cmocka_unit_test(ws_decoder__reads_messages),
        cmocka_unit_test(ws_decoder__joins_fragments),
        cmocka_unit_test(ws_decoder__takes_control_frames_between_fragments),
        cmocka_unit_test(ws_decoder__takes_control_frames_of_125_bytes),
        cmocka_unit_test(ws_decoder__reads_close_frames),
        cmocka_unit_test(ws_decoder__accepts_utf8_split_anywhere),
        cmocka_unit_test(ws_decoder__unmasks_with_any_mask),
        cmocka_unit_test(ws_decoder__reads_any_stream_in_any_pieces),
        cmocka_unit_test(ws_decoder__judges_every_first_byte),
        cmocka_unit_test(ws_decoder__judges_every_second_byte),
        cmocka_unit_test(ws_decoder__rejects_masked_server_frame),
        cmocka_unit_test(ws_decoder__rejects_unmasked_client_frame),
        cmocka_unit_test(ws_decoder__rejects_frames_out_of_order),
        cmocka_unit_test(ws_decoder__rejects_broken_control_frames),
        cmocka_unit_test(ws_decoder__judges_every_close_code),
        cmocka_unit_test(ws_decoder__rejects_lengths_in_the_wrong_form),
        cmocka_unit_test(ws_decoder__accepts_the_largest_length),
        cmocka_unit_test(ws_decoder__rejects_large_messages_by_their_header),
        cmocka_unit_test(ws_decoder__counts_all_fragments_against_the_limit),
        cmocka_unit_test(ws_decoder__takes_messages_up_to_the_limit),
        cmocka_unit_test(ws_decoder__rejects_text_at_its_first_wrong_byte),
        cmocka_unit_test(ws_decoder__finds_a_wrong_byte_anywhere),
        cmocka_unit_test(ws_decoder__rejects_text_that_ends_inside_a_character),
        cmocka_unit_test(ws_decoder__rejects_a_flood_of_fragments),
        cmocka_unit_test(ws_decoder__waits_for_the_length_before_it_counts),
        cmocka_unit_test(ws_decoder__takes_large_messages_in_small_fragments),
        cmocka_unit_test(ws_decoder__counts_fragments_of_each_message_alone),
        cmocka_unit_test(ws_decoder__says_more_to_nothing),
        cmocka_unit_test(ws_decoder__takes_the_payload_from_elsewhere),
        cmocka_unit_test(ws_decoder__expects_nothing_between_fragments),
        cmocka_unit_test(ws_decoder__hands_out_views_into_the_input),
        cmocka_unit_test(ws_decoder__flags_what_comes_after_a_close),
        cmocka_unit_test(ws_decoder__hands_out_compressed_messages_as_they_are),
        cmocka_unit_test(ws_decoder__leaves_compressed_messages_some_room),
        cmocka_unit_test(ws_decoder__takes_a_whole_message_at_once),
        cmocka_unit_test(ws_decoder__takes_whole_text_that_is_utf8_alone),
        cmocka_unit_test(ws_decoder__takes_nothing_whole_inside_a_message),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
