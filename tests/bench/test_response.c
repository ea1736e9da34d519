#include "bench/response.h"

#include "base/buf.h"
#include "support/check.h"
#include "support/guard.h"

#include <stdio.h>

/** What a connection's bytes say, as text: "HEAD 200 DATA <hello> DONE ", with content joined; "BAD reason" at last. */
static buf said;
static bool in_data;

static void say(const char *text)
{
    if (in_data)
        buf_put_text(&said, "> ");
    in_data = false;
    buf_put_text(&said, text);
}

static void say_event(const bench_response *response, bench_response_event event, str piece)
{
    char text[64];
    switch (event) {
    case BENCH_RESPONSE_HEAD:
        snprintf(text, sizeof text, "HEAD %u%s%s%s ", response->status, response->closes ? " closes" : "",
                 response->is_open ? " open" : "", response->has_length ? " length" : "");
        say(text);
        assert_memory_equal(piece.at, "HTTP/1.", 7);
        assert_memory_equal(piece.at + piece.len - 4, "\r\n\r\n", 4);
        return;
    case BENCH_RESPONSE_DATA:
        assert_true(piece.len > 0);
        if (!in_data)
            buf_put_text(&said, "DATA <");
        in_data = true;
        buf_put_str(&said, piece);
        return;
    case BENCH_RESPONSE_DONE:
        say("DONE ");
        return;
    default:
        say("BAD ");
        buf_put_text(&said, response->reason);
    }
}

/** Takes all it can of the front of *rest, which lies at an unreadable page. False when it is bad. */
static bool take(bench_response *response, buf *rest)
{
    guard input = guard_copy(rest->at, rest->len);
    bench_response_event event;
    size_t at = 0;
    do {
        size_t consumed = 0;
        str piece = {NULL, 0};
        event = bench_response_next(response, input.at + at, rest->len - at, &consumed, &piece);
        assert_true(consumed <= rest->len - at);
        if (piece.len) {
            assert_true(piece.at >= input.at + at);
            assert_true(piece.at + piece.len <= input.at + at + consumed);
        }
        at += consumed;
        if (event != BENCH_RESPONSE_MORE)
            say_event(response, event, piece);
    } while (event > 0 && (event != BENCH_RESPONSE_DONE || response->status != 101));
    memmove(rest->at, rest->at + at, rest->len - at);
    rest->len -= at;
    guard_free(input);
    return event >= 0;
}

/** Hands the bytes in, the first `first` and then `piece` at a time. */
static const char *read_pieces(str bytes, size_t first, size_t piece, bench_response *response)
{
    buf rest = {0};
    bench_response_init(response);
    said.len = 0;
    in_data = false;
    bool good = true;
    for (size_t at = 0, n = first; good && at < bytes.len; n = piece) {
        n = n < bytes.len - at ? n : bytes.len - at;
        buf_put(&rest, bytes.at + at, n);
        at += n;
        good = take(response, &rest);
    }
    say("");
    buf_put(&said, "", 1);
    if (!good)
        assert_int_equal(bench_response_next(response, "H", 1, &(size_t){0}, &(str){0}), BENCH_RESPONSE_BAD);
    buf_done(&rest);
    return said.at;
}

/** Whole, cut once at each place, and byte by byte. */
static void check_str(str bytes, const char *expected)
{
    bench_response response;
    for (size_t cut = 0; cut <= bytes.len; cut++)
        assert_string_equal(read_pieces(bytes, cut ? cut : 1, cut ? bytes.len : 1, &response), expected);
    buf_done(&said);
}

static void check(const char *bytes, const char *expected)
{
    check_str(str_from(bytes), expected);
}

#define OK "HTTP/1.1 200 OK\r\n"

static void response__content_of_a_length(void **state)
{
    (void)state;
    check(OK "Content-Length: 5\r\n\r\nhello", "HEAD 200 length DATA <hello> DONE ");
    check(OK "content-length:0\r\n\r\n", "HEAD 200 length DONE ");
    check(OK "CONTENT-LENGTH: \t 005 \t\r\n\r\nhello", "HEAD 200 length DATA <hello> DONE ");
    check(OK "Content-Length: 6\r\n\r\nhello", "HEAD 200 length DATA <hello> ");
}

static void response__chunked_content(void **state)
{
    (void)state;
    check(OK "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;a=b\r\n world\r\n0\r\nTrailer: x\r\n\r\n",
          "HEAD 200 DATA <hello world> DONE ");
    check(OK "Transfer-Encoding: Chunked\r\n\r\n0\r\n\r\n", "HEAD 200 DONE ");
    check(OK "Transfer-Encoding: chunked\r\n\r\n5\r\nhelloX",
          "HEAD 200 DATA <hello> BAD chunk data is not followed by CRLF");
}

static void response__content_until_the_end(void **state)
{
    (void)state;
    check(OK "\r\nhello\r\n\r\nHTTP/1.1 200 OK\r\n", "HEAD 200 closes open DATA <hello\r\n\r\nHTTP/1.1 200 OK\r\n> ");
    check("HTTP/1.0 200 OK\r\n\r\nx", "HEAD 200 closes open DATA <x> ");
    check("HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\n\r\nx", "HEAD 200 closes open DATA <x> ");
}

static void response__statuses_without_content(void **state)
{
    (void)state;
    check("HTTP/1.1 204 No Content\r\n\r\n" OK "Content-Length: 1\r\n\r\nx",
          "HEAD 204 DONE HEAD 200 length DATA <x> DONE ");
    check("HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n" OK "Content-Length: 0\r\n\r\n",
          "HEAD 304 DONE HEAD 200 length DONE ");
    check("HTTP/1.1 204 x\r\nTransfer-Encoding: chunked\r\n\r\n" OK "Content-Length: 0\r\n\r\n",
          "HEAD 204 DONE HEAD 200 length DONE ");
}

static void response__several_on_a_connection(void **state)
{
    (void)state;
    check(OK "Content-Length: 1\r\n\r\na" OK "Transfer-Encoding: chunked\r\n\r\n1\r\nb\r\n0\r\n\r\n"
             "HTTP/1.1 404 Not Found\r\nContent-Length: 1\r\nConnection: close\r\n\r\nc",
          "HEAD 200 length DATA <a> DONE HEAD 200 DATA <b> DONE HEAD 404 closes length DATA <c> DONE ");
}

static void response__whether_the_connection_goes_on(void **state)
{
    (void)state;
    check("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", "HEAD 200 closes length DONE ");
    check("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n", "HEAD 200 length DONE ");
    check(OK "Connection: x, Close\r\nContent-Length: 0\r\n\r\n", "HEAD 200 closes length DONE ");
    check("HTTP/1.9 200 OK\r\nContent-Length: 0\r\n\r\n", "HEAD 200 length DONE ");
}

static void response__nothing_follows_the_last(void **state)
{
    (void)state;
    check(OK "Connection: close\r\nContent-Length: 1\r\n\r\nx" OK "Content-Length: 0\r\n\r\n",
          "HEAD 200 closes length DATA <x> DONE ");
    check(OK "Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nwhatever", "HEAD 200 closes DONE ");
    check("HTTP/1.0 204 x\r\n\r\nHTTP", "HEAD 204 closes DONE ");
}

static void response__interim_answers_are_passed_over(void **state)
{
    (void)state;
    check("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nContent-Length: 7\r\nConnection: close\r\n\r\n" OK
          "Content-Length: 1\r\n\r\nx",
          "HEAD 200 length DATA <x> DONE ");
}

static void response__switching_protocols_leaves_what_follows(void **state)
{
    bench_response response;
    size_t consumed;
    str piece, in = STR("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\r\n\x81\x01x");
    (void)state;
    bench_response_init(&response);
    assert_int_equal(bench_response_next(&response, in.at, in.len, &consumed, &piece), BENCH_RESPONSE_HEAD);
    assert_int_equal(consumed, in.len - 3);
    assert_int_equal(response.status, 101);
    in = (str){in.at + consumed, in.len - consumed};
    assert_int_equal(bench_response_next(&response, in.at, in.len, &consumed, &piece), BENCH_RESPONSE_DONE);
    assert_int_equal(consumed, 0);
}

static void response__status_lines(void **state)
{
    static const char *const bad[] = {
        "HTTP/1.1 20 OK\r\n",   "HTTP/1.1 2000 OK\r\n", "HTTP/1.1  200 OK\r\n", "HTTP/1.1\t200 OK\r\n",
        "HTTP/1.x 200 OK\r\n",  "HTTP/1.1 600 OK\r\n",  "HTTP/1.1 099 OK\r\n",  "HTTP/1.1 2xx OK\r\n",
        "HTTP/1.10 200 OK\r\n", "HTTP/1.1 200\tOK\r\n",
    };
    (void)state;
    for (size_t i = 0; i < N_OF(bad); i++)
        check(bad[i], "BAD status line is none");
    check("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", "HEAD 200 length DONE ");
    check("HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", "HEAD 200 length DONE ");
    check("HTTP/1.1 200 \xc3\xa4 b\r\nContent-Length: 0\r\n\r\n", "HEAD 200 length DONE ");
    check("HTTP/1.1 200 O\x01K\r\n", "BAD control character in the status line");
    check("HTTP/1.1 200 O\rK\r\n", "BAD control character in the status line");
    check("HTTP/2 200 OK\r\n", "BAD status line is not of HTTP/1");
    check("\r\nHTTP/1.1 200 OK\r\n", "BAD status line is not of HTTP/1");
    check("http/1.1 200 OK\r\n", "BAD status line is not of HTTP/1");
    check("SSH-2", "BAD status line is not of HTTP/1");
}

static void response__field_lines(void **state)
{
    static const char *const bad[] = {
        OK "Name\r\n",         OK ": value\r\n",    OK "Name : value\r\n",
        OK " Name: value\r\n", OK "A: b\r\n c\r\n", OK "N\x01: v\r\n",
    };
    (void)state;
    for (size_t i = 0; i < N_OF(bad); i++)
        check(bad[i], "BAD field line is none");
    check(OK "A: b\rc\r\n", "BAD control character in a field");
    check_str(STR(OK "A: b\0c\r\n"), "BAD control character in a field");
    check(OK "A: b\n", "BAD line ends in a bare LF");
    check(OK "\n", "BAD line ends in a bare LF");
    check("HTTP/1.1 200 OK\n", "BAD line ends in a bare LF");
    check(OK "A: \r\nB:\r\nContent-Length: 0\r\n\r\n", "HEAD 200 length DONE ");
}

static void response__framing_that_could_be_read_in_two_ways(void **state)
{
    (void)state;
    check(OK "Content-Length: 5\r\nContent-Length: 5\r\n", "BAD Content-Length is repeated");
    check(OK "Content-Length: 5, 5\r\n", "BAD Content-Length is no number");
    check(OK "Content-Length: -1\r\n", "BAD Content-Length is no number");
    check(OK "Content-Length: 0x5\r\n", "BAD Content-Length is no number");
    check(OK "Content-Length:\r\n", "BAD Content-Length is no number");
    check(OK "Content-Length: 1234567890123456789\r\n", "BAD Content-Length is no number");
    check(OK "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", "BAD Content-Length with Transfer-Encoding");
    check(OK "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", "BAD Content-Length with Transfer-Encoding");
    check(OK "Transfer-Encoding: gzip, chunked\r\n", "BAD Transfer-Encoding is not chunked");
    check(OK "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "BAD Transfer-Encoding is repeated");
    check("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "BAD Transfer-Encoding in HTTP/1.0");
}

static void response__a_head_has_a_limit(void **state)
{
    bench_response response;
    buf bytes = {0};
    (void)state;
    buf_put_text(&bytes, OK "A: ");
    while (bytes.len < BENCH_RESPONSE_MAX_HEAD_BYTES - 4)
        buf_put(&bytes, "x", 1);
    buf_put_text(&bytes, "\r\n\r\n");
    assert_string_equal(read_pieces(buf_str(&bytes), 1000, 1000, &response), "HEAD 200 closes open ");
    bytes.len -= 4;
    buf_put_text(&bytes, "x\r\n\r\n");
    assert_string_equal(read_pieces(buf_str(&bytes), 1000, 1000, &response), "BAD head is too long");
    assert_string_equal(read_pieces(buf_str(&bytes), bytes.len, 1, &response), "BAD head is too long");
    buf_done(&bytes);
    buf_done(&said);
}

static bool may_end_behind(const char *bytes)
{
    bench_response response;
    read_pieces(str_from(bytes), 1, 1, &response);
    buf_done(&said);
    return bench_response_may_end(&response);
}

static void response__where_a_connection_may_end(void **state)
{
    (void)state;
    assert_true(may_end_behind(""));
    assert_true(may_end_behind(OK "Content-Length: 1\r\n\r\na"));
    assert_true(may_end_behind(OK "\r\n"));
    assert_true(may_end_behind(OK "\r\nabc"));
    assert_true(may_end_behind(OK "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"));
    assert_true(may_end_behind(OK "Connection: close\r\nContent-Length: 1\r\n\r\naHTTP/1"));
    assert_false(may_end_behind("H"));
    assert_false(may_end_behind(OK));
    assert_false(may_end_behind(OK "Content-Length: 2\r\n\r\n"));
    assert_false(may_end_behind(OK "Content-Length: 2\r\n\r\na"));
    assert_false(may_end_behind(OK "Transfer-Encoding: chunked\r\n\r\n"));
    assert_false(may_end_behind(OK "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n"));
    assert_false(may_end_behind("x"));
}

static void response__fields_of_a_head(void **state)
{
    str head = STR(OK "Upgrade: websocket\r\nEmpty:\r\nConnection: keep-alive\r\nconnection: foo, UPGRADE\r\n\r\n");
    (void)state;
    assert_true(str_equal(bench_response_field(head, "upgrade"), STR("websocket")));
    assert_true(str_equal(bench_response_field(head, "Connection"), STR("keep-alive")));
    assert_non_null(bench_response_field(head, "empty").at);
    assert_int_equal(bench_response_field(head, "empty").len, 0);
    assert_null(bench_response_field(head, "up").at);
    assert_true(bench_response_has_token(head, "connection", "upgrade"));
    assert_true(bench_response_has_token(head, "connection", "Keep-Alive"));
    assert_false(bench_response_has_token(head, "connection", "fo"));
    assert_null(bench_response_field(STR(OK "\r\n"), "a").at);
}

static void response__says_what_was_not_wanted(void **state)
{
    (void)state;
    const char *text = bench_response_unwanted(404);
    assert_string_equal(bench_response_unwanted(503), "answered 503 Service Unavailable");
    assert_string_equal(text, "answered 404 Not Found");
    assert_string_equal(bench_response_unwanted(599), "answered 599 Unknown");
    assert_string_equal(bench_response_unwanted(100), "answered 100 Continue");
}

/* Whatever comes, in whatever pieces: the same is said, and nothing beyond the input is read. */
static void response__the_same_in_all_pieces_of_random_bytes(void **state)
{
    static const char *const words[] = {
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.0 ",
        "101 ",
        "204 x",
        "100 a\r\n\r\n",
        "\r\n",
        "\r\n\r\n",
        "\r",
        "\n",
        "Content-Length: ",
        "0",
        "7",
        "12",
        "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding:",
        "chunked",
        "Connection: close\r\n",
        "5\r\nhello\r\n",
        "0\r\n\r\n",
        ";a=b",
        "a: b\r\n",
        " ",
        ":",
        "x",
        "\x80",
    };
    uint64_t random = 88172645463325252;
    (void)state;
    for (int round = 0; round < 3000; round++) {
        buf bytes = {0};
        bench_response response;
        if (round % 4)
            buf_put_text(&bytes, words[0]);
        for (int n = 0; n < 12; n++) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            buf_put_text(&bytes, words[random % N_OF(words)]);
        }
        char *whole = strdup(read_pieces(buf_str(&bytes), bytes.len, 1, &response));
        assert_string_equal(read_pieces(buf_str(&bytes), 1, 1, &response), whole);
        assert_string_equal(read_pieces(buf_str(&bytes), 1 + random % 7, 1 + random % 13, &response), whole);
        free(whole);
        buf_done(&bytes);
    }
    buf_done(&said);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(response__content_of_a_length),
        cmocka_unit_test(response__chunked_content),
        cmocka_unit_test(response__content_until_the_end),
        cmocka_unit_test(response__statuses_without_content),
        cmocka_unit_test(response__several_on_a_connection),
        cmocka_unit_test(response__whether_the_connection_goes_on),
        cmocka_unit_test(response__nothing_follows_the_last),
        cmocka_unit_test(response__interim_answers_are_passed_over),
        cmocka_unit_test(response__switching_protocols_leaves_what_follows),
        cmocka_unit_test(response__status_lines),
        cmocka_unit_test(response__field_lines),
        cmocka_unit_test(response__framing_that_could_be_read_in_two_ways),
        cmocka_unit_test(response__a_head_has_a_limit),
        cmocka_unit_test(response__where_a_connection_may_end),
        cmocka_unit_test(response__fields_of_a_head),
        cmocka_unit_test(response__says_what_was_not_wanted),
        cmocka_unit_test(response__the_same_in_all_pieces_of_random_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
