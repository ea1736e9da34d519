#include "proto/http1.h"

#include <stdio.h>

#include "http1_vectors.h"
#include "support/check.h"
#include "support/guard.h"

enum { UNTOUCHED = 77 };

typedef struct {
    http1_head head;
    http1_result result;
    size_t len;     /* ret_len */
    size_t n_bytes; /* that had been handed in when the verdict fell */
} verdict;

static verdict start(void)
{
    verdict v;
    memset(&v, 0, sizeof v); /* the padding too, as heads are compared bytewise */
    v.len = UNTOUCHED;
    return v;
}

static void feed(verdict *v, const char *at, size_t len)
{
    v->result = http1_head_feed(&v->head, at, len, &v->len);
    v->n_bytes = len;
    assert_int_equal(v->head.status != 0, v->result == HTTP1_BAD);
    if (v->result != HTTP1_DONE)
        assert_int_equal(v->len, UNTOUCHED);
}

static verdict whole(str bytes)
{
    verdict v = start();
    feed(&v, bytes.at, bytes.len);
    return v;
}

static verdict whole_at_guard_page(str bytes)
{
    guard g = guard_copy(bytes.at, bytes.len);
    verdict v = whole((str){g.at, bytes.len});
    guard_free(g);
    return v;
}

static verdict byte_by_byte(str bytes)
{
    verdict v = start();
    for (size_t n = 0; n <= bytes.len && v.result == HTTP1_MORE; n++)
        feed(&v, bytes.at, n);
    return v;
}

/* Each prefix lies elsewhere than the one before and ends at the unreadable page; what lay there is gone. */
static verdict byte_by_byte_moved(str bytes)
{
    guard g = guard_copy(bytes.at, bytes.len);
    char *end = g.at + bytes.len;
    verdict v = start();
    for (size_t n = 0; n <= bytes.len && v.result == HTTP1_MORE; n++) {
        memset(g.at, '#', bytes.len);
        if (n)
            memcpy(end - n, bytes.at, n);
        feed(&v, end - n, n);
    }
    guard_free(g);
    return v;
}

static verdict in_two_pieces(str bytes, size_t cut)
{
    verdict v = start();
    feed(&v, bytes.at, cut);
    if (v.result == HTTP1_MORE)
        feed(&v, bytes.at, bytes.len);
    return v;
}

static verdict with_another_behind(str bytes)
{
    static const char next[] = "GET /next HTTP/1.1\r\n";
    char *both = malloc(bytes.len + sizeof next);
    memcpy(both, bytes.at, bytes.len);
    memcpy(both + bytes.len, next, sizeof next);
    verdict v = whole((str){both, bytes.len + sizeof next - 1});
    free(both);
    return v;
}

static void assert_same(const verdict *a, const verdict *b)
{
    assert_int_equal(a->result, b->result);
    assert_int_equal(a->len, b->len);
    assert_int_equal(a->head.status, b->head.status);
    assert_ptr_equal(a->head.reason, b->head.reason);
    if (a->result == HTTP1_DONE)
        assert_memory_equal(&a->head, &b->head, sizeof a->head);
}

static void check_verdict(const vector *expected, const verdict *got)
{
    if (expected->status == 0) {
        assert_int_equal(got->result, HTTP1_DONE);
        assert_int_equal(got->len, expected->bytes.len);
        return;
    }
    assert_int_equal(got->result, HTTP1_BAD);
    assert_int_equal(got->head.status, expected->status);
    assert_non_null(strstr(got->head.reason, expected->reason));
}

static void check_in_every_way(const vector *expected)
{
    str bytes = expected->bytes;
    verdict once = whole(bytes), guarded = whole_at_guard_page(bytes);
    verdict bytewise = byte_by_byte(bytes), moved = byte_by_byte_moved(bytes);
    check_verdict(expected, &once);
    assert_same(&once, &guarded);
    assert_same(&once, &bytewise);
    assert_same(&once, &moved);
    assert_int_equal(bytewise.n_bytes, moved.n_bytes);
    if (expected->status == 0) {
        verdict pipelined = with_another_behind(bytes);
        assert_same(&once, &pipelined);
        assert_int_equal(bytewise.n_bytes, bytes.len);
    }
}

static void check_vectors(const vector *vectors, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        str bytes = vectors[i].bytes;
        verdict v = whole(bytes);
        if ((v.result == HTTP1_DONE) != (vectors[i].status == 0) || v.head.status != vectors[i].status)
            print_error("vector %zu: status %d (%s)\n%.*s\n", i, v.head.status, v.head.reason ? v.head.reason : "-",
                        (int)bytes.len, bytes.at);
        check_in_every_way(&vectors[i]);
        for (size_t cut = 0; cut < bytes.len; cut++) {
            verdict cut_up = in_two_pieces(bytes, cut);
            assert_same(&v, &cut_up);
        }
    }
}

static void http1_head__refuses_bare_lf_and_bare_cr(void **state)
{
    (void)state;
    check_vectors(line_ends, N_OF(line_ends));
}

static void http1_head__refuses_what_cannot_begin_a_method(void **state)
{
    (void)state;
    check_vectors(starts, N_OF(starts));
}

static void http1_head__takes_any_token_as_method(void **state)
{
    (void)state;
    check_vectors(methods, N_OF(methods));
}

static void http1_head__tells_unknown_versions_from_garbage(void **state)
{
    (void)state;
    check_vectors(versions, N_OF(versions));
}

static void http1_head__refuses_targets_outside_rfc3986(void **state)
{
    (void)state;
    check_vectors(targets, N_OF(targets));
    check_vectors(absolute_targets, N_OF(absolute_targets));
    check_vectors(connect_targets, N_OF(connect_targets));
}

static void http1_head__wants_one_valid_host(void **state)
{
    (void)state;
    check_vectors(hosts, N_OF(hosts));
}

static void http1_head__refuses_malformed_field_lines(void **state)
{
    (void)state;
    check_vectors(field_lines, N_OF(field_lines));
}

static void http1_head__refuses_lengths_that_can_be_read_two_ways(void **state)
{
    (void)state;
    check_vectors(lengths, N_OF(lengths));
    check_vectors(codings, N_OF(codings));
}

static void http1_head__refuses_unknown_expectations(void **state)
{
    (void)state;
    check_vectors(expectations, N_OF(expectations));
}

/* --------------------------------------------------------------------------------------------------- early refusal */

static void http1_head__refuses_at_the_first_byte_that_decides(void **state)
{
    static const struct {
        str bytes;
        size_t n_bytes;
    } cases[] = {
        {STR("\x16\x03\x01"), 1},
        {STR("\nGET"), 1},
        {STR("\rG"), 2},
        {STR("\r\n\r\n"), 3},
        {STR("GET / HTTP/1.1\nHost: h\r\n\r\n"), 15},
        {STR("GET / HTTP/2.0\r\nHost: h\r\n\r\n"), 16},
        {STR(OLD_FIELDS("Transfer-Encoding: chunked\r\n")), 44},
        {STR(HOST("") "x"), 23},
    };
    (void)state;
    for (size_t i = 0; i < N_OF(cases); i++) {
        verdict v = byte_by_byte(cases[i].bytes);
        assert_int_equal(v.result, HTTP1_BAD);
        assert_int_equal(v.n_bytes, cases[i].n_bytes);
    }
}

/* A request line of n bytes and the rest of a head behind it. */
static str head_with_line_of(size_t n, const char *rest)
{
    static const char first[] = "GET /", last[] = " HTTP/1.1";
    size_t rest_len = strlen(rest);
    char *at = malloc(n + rest_len + 1);
    memset(at, 'a', n);
    memcpy(at, first, sizeof first - 1);
    memcpy(at + n - (sizeof last - 1), last, sizeof last - 1);
    memcpy(at + n, rest, rest_len + 1);
    return (str){at, n + rest_len};
}

static void http1_head__refuses_a_long_request_line_before_it_ends(void **state)
{
    static const struct {
        size_t line;
        const char *rest;
        int status;
        size_t n_bytes; /* after which the verdict falls; 0: all */
    } cases[] = {
        {HTTP1_MAX_LINE_BYTES, "\r\nHost: h\r\n\r\n", 0, 0},
        {HTTP1_MAX_LINE_BYTES + 1, "\r\nHost: h\r\n\r\n", 414, HTTP1_MAX_LINE_BYTES + 1},
        {HTTP1_MAX_LINE_BYTES + 1, "", 414, HTTP1_MAX_LINE_BYTES + 1},
        {HTTP1_MAX_LINE_BYTES, "\rx\r\n", 414, HTTP1_MAX_LINE_BYTES + 2},
        {HTTP1_MAX_LINE_BYTES, "\n", 400, HTTP1_MAX_LINE_BYTES + 1},
    };
    (void)state;
    for (size_t i = 0; i < N_OF(cases); i++) {
        str bytes = head_with_line_of(cases[i].line, cases[i].rest);
        const vector expected = {bytes, cases[i].status, cases[i].status == 414 ? "too long" : "LF"};
        check_in_every_way(&expected);
        verdict v = byte_by_byte(bytes);
        assert_int_equal(v.n_bytes, cases[i].n_bytes ? cases[i].n_bytes : bytes.len);
        free((char *)bytes.at);
    }
}

/* A head of n bytes in all, filled up by one long field value; it need not end. */
static str head_of(size_t n, const char *end)
{
    static const char first[] = "GET / HTTP/1.1\r\nHost: h\r\na: ";
    size_t end_len = strlen(end);
    char *at = malloc(n + 1);
    memset(at, 'v', n);
    memcpy(at, first, sizeof first - 1);
    memcpy(at + n - end_len, end, end_len + 1);
    return (str){at, n};
}

static void http1_head__refuses_a_long_head_before_it_ends(void **state)
{
    static const struct {
        size_t len;
        const char *end;
        int status;
    } cases[] = {
        {HTTP1_MAX_HEAD_BYTES, "\r\n\r\n", 0},       {HTTP1_MAX_HEAD_BYTES, "\r\nb: c\r\n\r\n", 0},
        {HTTP1_MAX_HEAD_BYTES + 1, "\r\n\r\n", 431}, {HTTP1_MAX_HEAD_BYTES + 2, "\r\n\r\n", 431},
        {HTTP1_MAX_HEAD_BYTES + 4, "\r\n\r\n", 431}, {HTTP1_MAX_HEAD_BYTES + 5, "\r\n\r\n", 431},
        {HTTP1_MAX_HEAD_BYTES + 100, "", 431},       {HTTP1_MAX_HEAD_BYTES, "", 431},
        {HTTP1_MAX_HEAD_BYTES, "\n", 400},           {HTTP1_MAX_HEAD_BYTES + 1, "\n", 431},
    };
    (void)state;
    for (size_t i = 0; i < N_OF(cases); i++) {
        str bytes = head_of(cases[i].len, cases[i].end);
        const vector expected = {bytes, cases[i].status, cases[i].status == 431 ? "too long" : "LF"};
        check_in_every_way(&expected);
        if (cases[i].status == 431)
            assert_int_equal(byte_by_byte(bytes).n_bytes, HTTP1_MAX_HEAD_BYTES);
        free((char *)bytes.at);
    }
}

static void http1_head__refuses_the_field_after_the_last_allowed(void **state)
{
    (void)state;
    for (int n_fields = HTTP1_MAX_FIELDS - 1; n_fields <= HTTP1_MAX_FIELDS + 1; n_fields++) {
        char text[1024] = "GET / HTTP/1.1\r\nHost: h\r\n";
        size_t len = strlen(text);
        for (int i = 1; i < n_fields; i++, len += 5)
            memcpy(text + len, "a:b\r\n", 5);
        memcpy(text + len, "\r\n", 2);
        const vector expected = {{text, len + 2}, n_fields > HTTP1_MAX_FIELDS ? 431 : 0, "too many"};
        check_in_every_way(&expected);
    }
}

/* Time would prove little. Instead the parser is not shown any byte more than twice: all bytes of finished lines, and
 * those of the unfinished line that it has searched, are line feeds until the line's own end comes, which would be refused
 * if it looked. Only what read_start() asks at each call stays: the empty line and the first byte of the method. */
static void check_bytes_shown_twice(str bytes)
{
    size_t n_start = bytes.at[0] == '\r' ? 3 : 1;
    char *shown = malloc(bytes.len);
    verdict v = start();
    for (size_t n = 1; n <= bytes.len && v.result == HTTP1_MORE; n++) {
        memset(shown, '\n', n);
        memcpy(shown, bytes.at, n < n_start ? n : n_start);
        shown[n - 1] = bytes.at[n - 1];
        if (bytes.at[n - 1] == '\n')
            memcpy(shown + v.head.line_at, bytes.at + v.head.line_at, n - v.head.line_at);
        feed(&v, shown, n);
    }
    assert_int_equal(v.result, HTTP1_DONE);
    verdict expected = whole(bytes);
    assert_same(&expected, &v);
    free(shown);
}

static void http1_head__looks_at_each_byte_a_bounded_number_of_times(void **state)
{
    (void)state;
    str bytes = head_of(HTTP1_MAX_HEAD_BYTES, "\r\nb: c\r\nd: e\r\n\r\n");
    check_bytes_shown_twice(bytes);
    free((char *)bytes.at);
    check_bytes_shown_twice(STR("\r\n" FIELDS("a: b\r\n")));
}

/* ----------------------------------------------------------------------------------------------------------- facts */

static http1_head done(const char *text)
{
    verdict v = whole(str_from(text));
    assert_int_equal(v.result, HTTP1_DONE);
    return v.head;
}

static void assert_text(const char *at, size_t offset, size_t len, const char *expected)
{
    assert_int_equal(len, strlen(expected));
    assert_memory_equal(at + offset, expected, len);
}

static void http1_head__splits_the_target(void **state)
{
    static const struct {
        const char *line, *method, *target, *path, *query, *authority;
        int minor;
    } cases[] = {
        {"GET / HTTP/1.1", "GET", "/", "/", "", "", 1},
        {"GET /a%20b?c=%20&d HTTP/1.0", "GET", "/a%20b?c=%20&d", "/a%20b", "c=%20&d", "", 0},
        {"PUT /? HTTP/1.7", "PUT", "/?", "/", "", "", 1},
        {"GET /a[0]?q=100% HTTP/1.1", "GET", "/a[0]?q=100%", "/a[0]", "q=100%", "", 1},
        {"GET /a??b HTTP/1.1", "GET", "/a??b", "/a", "?b", "", 1},
        {"OPTIONS * HTTP/1.1", "OPTIONS", "*", "*", "", "", 1},
        {"CONNECT h:443 HTTP/1.1", "CONNECT", "h:443", "", "", "h:443", 1},
        {"GET ws://localhost:3000/ws/chat HTTP/1.1", "GET", "ws://localhost:3000/ws/chat", "/ws/chat", "",
         "localhost:3000", 1},
        {"GET http://h?a=b HTTP/1.1", "GET", "http://h?a=b", "", "a=b", "h", 1},
        {"GET HTTPS://[::1] HTTP/1.1", "GET", "HTTPS://[::1]", "", "", "[::1]", 1},
        {"GET wss://h/?x/y HTTP/1.1", "GET", "wss://h/?x/y", "/", "x/y", "h", 1},
    };
    (void)state;
    for (size_t i = 0; i < N_OF(cases); i++) {
        char at[256];
        snprintf(at, sizeof at, "\r\n%s\r\nHost: h\r\n\r\n", cases[i].line);
        http1_head head = done(at);
        str method = http1_method(&head, at);
        assert_text(method.at, 0, method.len, cases[i].method);
        assert_text(at, head.target_at, head.target_len, cases[i].target);
        assert_text(at, head.path_at, head.path_len, cases[i].path);
        assert_text(at, head.query_at, head.query_len, cases[i].query);
        assert_text(at, head.authority_at, head.authority_len, cases[i].authority);
        assert_int_equal(head.minor, cases[i].minor);
    }
}

static void http1_head__knows_whether_the_connection_stays(void **state)
{
    static const struct {
        const char *head;
        bool keep_alive, upgrade;
    } cases[] = {
        {FIELDS(""), true, false},
        {FIELDS("Connection: close\r\n"), false, false},
        {FIELDS("Connection: Keep-Alive\r\n"), true, false},
        {FIELDS("Connection: keep-alive, CLOSE\r\n"), false, false},
        {FIELDS("Connection: close\r\nConnection: keep-alive\r\n"), false, false},
        {FIELDS("Connection: x\r\nconnection: y ,, close\r\n"), false, false},
        {FIELDS("Connection: closed, \"close\"\r\n"), true, false},
        {FIELDS("Connexions: close\r\n"), true, false},
        {FIELDS("Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"), true, true},
        {FIELDS("Connection: UPGRADE\r\nConnection: close\r\n"), false, true},
        {FIELDS("Upgrade: websocket\r\n"), true, false},
        {OLD_FIELDS(""), false, false},
        {OLD_FIELDS("Connection: keep-alive\r\n"), true, false},
        {OLD_FIELDS("Connection: keep-alive, close\r\n"), false, false},
        {OLD_FIELDS("Connection: Upgrade\r\nUpgrade: websocket\r\n"), false, false},
    };
    (void)state;
    for (size_t i = 0; i < N_OF(cases); i++) {
        http1_head head = done(cases[i].head);
        assert_int_equal(head.keep_alive, cases[i].keep_alive);
        assert_int_equal(head.upgrade, cases[i].upgrade);
    }
}

static void http1_head__knows_what_body_follows(void **state)
{
    static const struct {
        const char *head;
        http1_body body;
        uint64_t length;
        bool expect_continue;
    } cases[] = {
        {FIELDS(""), HTTP1_NO_BODY, 0, false},
        {POST("Content-Length: 0\r\n"), HTTP1_LENGTH, 0, false},
        {POST("Content-Length: 0042 \r\n"), HTTP1_LENGTH, 42, false},
        {POST("Content-Length: 9223372036854775807\r\n"), HTTP1_LENGTH, INT64_MAX, false},
        {OLD_FIELDS("Content-Length: 7\r\n"), HTTP1_LENGTH, 7, false},
        {POST("Transfer-Encoding: Chunked\r\n"), HTTP1_CHUNKED, 0, false},
        {POST("Content-Length: 1\r\nExpect: 100-Continue\r\n"), HTTP1_LENGTH, 1, true},
        {POST("Expect: \r\n"), HTTP1_NO_BODY, 0, false},
        {OLD_FIELDS("Content-Length: 1\r\nExpect: 100-continue\r\n"), HTTP1_LENGTH, 1, false},
    };
    (void)state;
    for (size_t i = 0; i < N_OF(cases); i++) {
        http1_head head = done(cases[i].head);
        assert_int_equal(head.body, cases[i].body);
        assert_int_equal(head.content_length, cases[i].length);
        assert_int_equal(head.expect_continue, cases[i].expect_continue);
    }
}

static void http1_head__leaves_the_next_request_unread(void **state)
{
    static const char first[] = POST("Content-Length: 3\r\n"), both[] = POST("Content-Length: 3\r\n") "abc" FIELDS("");
    (void)state;
    verdict v = whole((str){both, sizeof both - 1});
    assert_int_equal(v.result, HTTP1_DONE);
    assert_int_equal(v.len, sizeof first - 1);
    size_t next = v.len + 3;
    v = whole((str){both + next, sizeof both - 1 - next});
    assert_int_equal(v.result, HTTP1_DONE);
    assert_int_equal(v.len, sizeof both - 1 - next);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(http1_head__refuses_bare_lf_and_bare_cr),
        cmocka_unit_test(http1_head__refuses_what_cannot_begin_a_method),
        cmocka_unit_test(http1_head__takes_any_token_as_method),
        cmocka_unit_test(http1_head__tells_unknown_versions_from_garbage),
        cmocka_unit_test(http1_head__refuses_targets_outside_rfc3986),
        cmocka_unit_test(http1_head__wants_one_valid_host),
        cmocka_unit_test(http1_head__refuses_malformed_field_lines),
        cmocka_unit_test(http1_head__refuses_lengths_that_can_be_read_two_ways),
        cmocka_unit_test(http1_head__refuses_unknown_expectations),
        cmocka_unit_test(http1_head__refuses_at_the_first_byte_that_decides),
        cmocka_unit_test(http1_head__refuses_a_long_request_line_before_it_ends),
        cmocka_unit_test(http1_head__refuses_a_long_head_before_it_ends),
        cmocka_unit_test(http1_head__refuses_the_field_after_the_last_allowed),
        cmocka_unit_test(http1_head__looks_at_each_byte_a_bounded_number_of_times),
        cmocka_unit_test(http1_head__splits_the_target),
        cmocka_unit_test(http1_head__knows_whether_the_connection_stays),
        cmocka_unit_test(http1_head__knows_what_body_follows),
        cmocka_unit_test(http1_head__leaves_the_next_request_unread),
    };
    return cmocka_run_group_tests_name("http1", tests, NULL, NULL);
}
