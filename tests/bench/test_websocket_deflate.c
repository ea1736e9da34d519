#include "proto/ws_compress.h"
#include "proto/ws_inflate.h"
#include "scripted_websocket.h"

static bench_client *open_deflating(const char *answer)
{
    char fields[200];
    snprintf(fields, sizeof fields, "Sec-WebSocket-Extensions: permessage-deflate%s\r\n", answer);
    scripted_plan.deflate = true;
    bench_client *client = scripted_open_websocket(fields);
    assert_non_null(
        strstr(scripted_request, "\r\nSec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"));
    scripted_plan.deflate = false;
    return client;
}

/* Whole, cut in two at each place, and byte by byte. */
static void check_answer(const char *fields, const char *expected)
{
    size_t len = strlen(OPENED) + strlen(fields) + 60;
    for (size_t cut = 0; cut <= len; cut++) {
        bench_client *client = scripted_open(&bench_websocket);
        scripted_answer(client, OPENED, fields, STR(""), cut);
        assert_string_equal(scripted_said(), expected);
        scripted_free(client);
    }
}

static void deflate__must_be_agreed_on(void **state)
{
    (void)state;
    scripted_plan.deflate = true;
    check_answer("", "lost: answered without permessage-deflate\n");
    check_answer("Sec-WebSocket-Extensions: x-webkit-deflate-frame\r\n",
                 "lost: answered with other extensions than were offered\n");
    check_answer("Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=16\r\n",
                 "lost: answered with other extensions than were offered\n");
    check_answer("Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover\r\n", "ready\n");
    scripted_plan.deflate = false;
}

/* A compressed message in frames of at most `piece` bytes. */
static void put_compressed(buf *frames, ws_compressor *c, str message, size_t piece)
{
    char *packed = malloc(message.len + WS_COMPRESS_ROOM_BYTES);
    size_t len = ws_compress(c, message, packed), done = 0;
    assert_true(len > 0);
    do {
        size_t n = len - done < piece ? len - done : piece;
        ws_header header = {
            .opcode = done ? WS_CONTINUATION : WS_TEXT, .fin = done + n == len, .rsv1 = !done, .len = n};
        buf_reserve(frames, WS_MAX_HEADER_BYTES + n);
        frames->len += ws_header_put(&header, frames->at + frames->len);
        buf_put(frames, packed + done, n);
        done += n;
    } while (done < len);
    free(packed);
}

static const char twice[] = "message after message after message after message after message";

static void deflate__inflates_what_comes(void **state)
{
    static const struct {
        const char *answer;
        ws_compressor_kind kind;
    } cases[] = {
        {"", {.window_bits = 15, .context = true}},
        {"; server_no_context_takeover", {.window_bits = 15, .may_end = true}},
        {"; server_max_window_bits=9", {.window_bits = 9, .context = true}},
    };
    (void)state;
    for (size_t i = 0; i < N_OF(cases); i++) {
        ws_compressor *c = ws_compressor_new(cases[i].kind);
        buf frames = {0};
        put_compressed(&frames, c, str_from(twice), 1000);
        put_compressed(&frames, c, str_from(twice), 5); /* refers back to the first, where there is a context */
        buf_put(&frames, "\x81\x05plain", 7);
        for (size_t cut = 0; cut < frames.len; cut++) {
            bench_client *client = open_deflating(cases[i].answer);
            scripted_feed(client, frames.at, cut);
            scripted_feed(client, frames.at + cut, frames.len - cut);
            char expected[500];
            snprintf(expected, sizeof expected, "message: %s\nmessage: %s\nmessage: plain\n", twice, twice);
            assert_string_equal(scripted_said(), expected);
            scripted_free(client);
        }
        buf_done(&frames);
        ws_compressor_free(c);
    }
}

static void deflate__what_is_no_deflate_loses_the_client(void **state)
{
    (void)state;
    bench_client *client = open_deflating("");
    scripted_feed(client, "\xc1\x02\xff\xff", 4);
    assert_string_equal(scripted_said(), "lost: sent what is not DEFLATE\n");
    scripted_free(client);
}

static void deflate__connections_that_share_an_inflater_do_not_meet(void **state)
{
    static const ws_deflate agreed = {.server_no_context = true, .server_bits = 15, .client_bits = 15};
    static const char hello[] = "\xf2\x48\xcd\xc9\xc9\x07";
    bench_deflate *one = bench_deflate_new(&agreed), *two = bench_deflate_new(&agreed);
    str plain;
    (void)state;
    assert_string_equal(bench_deflate_unpack(one, (str){hello, 4}, 100, &plain), "sent what is not DEFLATE");
    assert_null(bench_deflate_unpack(two, (str){hello, 7}, 100, &plain));
    assert_true(str_equal(plain, STR("Hello")));
    assert_string_equal(bench_deflate_unpack(one, STR("\xff\xff"), 100, &plain), "sent what is not DEFLATE");
    assert_null(bench_deflate_unpack(two, (str){hello, 7}, 100, &plain));
    assert_string_equal(bench_deflate_unpack(one, (str){hello, 7}, 4, &plain), "sent a message that is too large");
    assert_null(bench_deflate_unpack(one, STR(""), 100, &plain));
    assert_int_equal(plain.len, 0);
    bench_deflate_free(one);
    bench_deflate_free(two);
}

/* What goes out, inflated by a server that keeps a context or not. */
static void check_deflating(const char *answer, const str *messages, size_t n, bool compressed)
{
    bench_client *client = open_deflating(answer);
    ws_inflater *inflater = ws_inflater_new(15);
    for (size_t i = 0; i < n; i++) {
        char plain[20001];
        size_t len = 0, more = 0;
        bench_websocket.send(client, messages[i]);
        buf *out = bench_link_out(&client->link);
        ws_decoder decoder;
        ws_event event;
        ws_decoder_init(&decoder, WS_SERVER, 100000);
        ws_decoder_allow_deflate(&decoder);
        ws_decoder_next(&decoder, out->at, out->len, &event);
        assert_true(event.type == WS_DATA && event.last && event.consumed == out->len);
        assert_int_equal(event.compressed, compressed);
        if (compressed) {
            str tail = ws_inflate_tail();
            ws_inflater_reset(inflater); /* nothing refers to an earlier message */
            assert_true(event.bytes.len < messages[i].len);
            assert_int_equal(ws_inflate(inflater, &event.bytes, plain, sizeof plain, &len), WS_INFLATE_DONE);
            assert_int_equal(ws_inflate(inflater, &tail, plain + len, sizeof plain - len, &more), WS_INFLATE_DONE);
            event.bytes = (str){plain, len + more};
        }
        assert_true(str_equal(event.bytes, messages[i]));
        out->len = 0;
    }
    ws_inflater_free(inflater);
    scripted_free(client);
}

static void deflate__packs_what_goes_out(void **state)
{
    static char large[20000];
    (void)state;
    for (size_t i = 0; i < sizeof large; i++)
        large[i] = "abcdefgh"[(i * i >> 5) % 8];
    const str messages[] = {str_from(twice), str_from(twice), {large, sizeof large}, {large, 2000}};
    check_deflating("", messages, N_OF(messages), true);
    check_deflating("; client_no_context_takeover", messages, N_OF(messages), true);
    check_deflating("; client_max_window_bits=10", messages, N_OF(messages), true);
    check_deflating("; client_max_window_bits=8", messages, N_OF(messages), false);
    check_deflating("", (const str[]){STR("x")}, 1, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(deflate__must_be_agreed_on),
        cmocka_unit_test(deflate__inflates_what_comes),
        cmocka_unit_test(deflate__what_is_no_deflate_loses_the_client),
        cmocka_unit_test(deflate__connections_that_share_an_inflater_do_not_meet),
        cmocka_unit_test(deflate__packs_what_goes_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
