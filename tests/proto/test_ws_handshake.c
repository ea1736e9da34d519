#include "proto/ws_handshake.h"
#include "support/check.h"
#include "support/guard.h"

#include <errno.h>

#define KEY          "dGhlIHNhbXBsZSBub25jZQ=="
#define ACCEPT       "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
#define REQUEST_LINE "GET /chat HTTP/1.1\r\n"
#define HOST         "Host: server.example.com\r\n"
#define UPGRADE      "Upgrade: websocket\r\nConnection: Upgrade\r\n"
#define KEY_FIELD    "Sec-WebSocket-Key: " KEY "\r\n"
#define VERSION      "Sec-WebSocket-Version: 13\r\n"
#define GOOD_FIELDS  HOST UPGRADE KEY_FIELD VERSION
#define PROTOCOL     "Sec-WebSocket-Protocol: "

/* A head whose bytes end at an unreadable page. */
typedef struct {
    guard copy;
    http1_head head;
} request;

static void request_init(request *r, const char *text)
{
    size_t len = 0;
    *r = (request){.copy = guard_copy(text, strlen(text))};
    assert_int_equal(http1_head_feed(&r->head, r->copy.at, strlen(text), &len), HTTP1_DONE);
    assert_int_equal(len, strlen(text));
}

static void request_done(request *r)
{
    guard_free(r->copy);
}

static void check_str(str got, const char *expected)
{
    if (!expected) {
        assert_null(got.at);
        assert_int_equal(got.len, 0);
        return;
    }
    assert_int_equal(got.len, strlen(expected));
    assert_memory_equal(got.at, expected, got.len);
}

/* ------------------------------------------------------------------------------------------------------------- the request */

static void ws_handshake__reads_the_request_of_the_rfc(void **state)
{
    (void)state;
    request r;
    ws_handshake handshake;
    /* RFC 6455 §1.2 */
    request_init(&r, "GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: http://example.com\r\n"
                     "Sec-WebSocket-Protocol: chat, superchat\r\nSec-WebSocket-Version: 13\r\n\r\n");
    assert_true(ws_handshake_wanted(&r.head, r.copy.at));
    ws_handshake_read(&r.head, r.copy.at, &handshake);
    assert_int_equal(handshake.status, 0);
    assert_null(handshake.reason);
    check_str(handshake.key, KEY);
    check_str(handshake.subprotocols, "chat, superchat");
    check_str(handshake.origin, "http://example.com");
    check_str(handshake.host, "server.example.com");
    request_done(&r);
}

static void ws_handshake__reads_a_bare_request(void **state)
{
    (void)state;
    request r;
    ws_handshake handshake;
    request_init(&r, REQUEST_LINE GOOD_FIELDS "\r\n");
    ws_handshake_read(&r.head, r.copy.at, &handshake);
    assert_int_equal(handshake.status, 0);
    check_str(handshake.subprotocols, NULL);
    check_str(handshake.origin, NULL);
    request_done(&r);
}

/* RFC 9112 §3.2.2: the Host field of an absolute-form request is ignored. */
static void ws_handshake__takes_the_host_of_an_absolute_target(void **state)
{
    (void)state;
    request r;
    ws_handshake handshake;
    request_init(&r, "GET ws://localhost:3000/ws/chat HTTP/1.1\r\n" GOOD_FIELDS "\r\n");
    ws_handshake_read(&r.head, r.copy.at, &handshake);
    assert_int_equal(handshake.status, 0);
    check_str(handshake.host, "localhost:3000");
    request_done(&r);
}

static void ws_handshake__knows_who_wants_one(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool wanted;
    } cases[] = {
        {REQUEST_LINE GOOD_FIELDS "\r\n", true},
        {REQUEST_LINE HOST "Upgrade: WebSocket\r\nConnection: keep-alive, upgrade\r\n\r\n", true},
        {REQUEST_LINE HOST "upgrade: h2c, websocket\r\nconnection: keep-alive\r\nconnection: UPGRADE\r\n\r\n", true},
        {REQUEST_LINE HOST "Upgrade: websocket\r\n\r\n", false},
        {REQUEST_LINE HOST "Upgrade: websocket\r\nConnection: close\r\n\r\n", false},
        {REQUEST_LINE HOST "Connection: Upgrade\r\n\r\n", false},
        {REQUEST_LINE HOST "Upgrade: h2c\r\nConnection: Upgrade\r\n\r\n", false},
        {REQUEST_LINE HOST "Upgrade: websockets\r\nConnection: Upgrade\r\n\r\n", false},
        {REQUEST_LINE HOST KEY_FIELD VERSION "\r\n", false},
        {"GET /chat HTTP/1.0\r\n" GOOD_FIELDS "\r\n", false},
        /* Refused, but asked for. */
        {"POST /chat HTTP/1.1\r\n" GOOD_FIELDS "\r\n", true},
    };
    for (size_t i = 0; i < N_OF(cases); i++) {
        request r;
        request_init(&r, cases[i].text);
        assert_int_equal(ws_handshake_wanted(&r.head, r.copy.at), cases[i].wanted);
        request_done(&r);
    }
}

typedef struct {
    const char *text;
    int status;
} read_case;

static void check_reads(const read_case *cases, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        request r;
        ws_handshake handshake;
        request_init(&r, cases[i].text);
        assert_true(ws_handshake_wanted(&r.head, r.copy.at));
        memset(&handshake, 0x5a, sizeof handshake);
        ws_handshake_read(&r.head, r.copy.at, &handshake);
        assert_int_equal(handshake.status, cases[i].status);
        assert_int_equal(handshake.reason != NULL, cases[i].status != 0);
        if (cases[i].status) {
            check_str(handshake.key, NULL);
            check_str(handshake.subprotocols, NULL);
            check_str(handshake.origin, NULL);
            check_str(handshake.host, NULL);
        }
        request_done(&r);
    }
}

static void ws_handshake__refuses_other_methods(void **state)
{
    (void)state;
    static const read_case cases[] = {
        {"POST /chat HTTP/1.1\r\n" GOOD_FIELDS "\r\n", 405},
        {"HEAD /chat HTTP/1.1\r\n" GOOD_FIELDS "\r\n", 405},
        {"get /chat HTTP/1.1\r\n" GOOD_FIELDS "\r\n", 405},
        {"POST /chat HTTP/1.1\r\n" HOST UPGRADE "Content-Length: 3\r\n\r\n", 405},
    };
    check_reads(cases, N_OF(cases));
}

static void ws_handshake__refuses_a_body(void **state)
{
    (void)state;
    static const read_case cases[] = {
        {REQUEST_LINE GOOD_FIELDS "Content-Length: 1\r\n\r\n", 400},
        {REQUEST_LINE GOOD_FIELDS "Transfer-Encoding: chunked\r\n\r\n", 400},
        {REQUEST_LINE GOOD_FIELDS "Content-Length: 0\r\n\r\n", 0},
    };
    check_reads(cases, N_OF(cases));
}

#define WITH_VERSION(fields) REQUEST_LINE HOST UPGRADE KEY_FIELD fields "\r\n"

static void ws_handshake__judges_versions(void **state)
{
    (void)state;
    static const read_case cases[] = {
        {WITH_VERSION("sec-websocket-version: 13\r\n"), 0},
        {WITH_VERSION("Sec-WebSocket-Version:   13  \r\n"), 0},
        {WITH_VERSION("Sec-WebSocket-Version: 0\r\n"), 426},
        {WITH_VERSION("Sec-WebSocket-Version: 8\r\n"), 426},
        {WITH_VERSION("Sec-WebSocket-Version: 14\r\n"), 426},
        {WITH_VERSION("Sec-WebSocket-Version: 255\r\n"), 426},
        {WITH_VERSION(""), 400},
        {WITH_VERSION("Sec-WebSocket-Version:\r\n"), 400},
        {WITH_VERSION("Sec-WebSocket-Version: 013\r\n"), 400},
        {WITH_VERSION("Sec-WebSocket-Version: 256\r\n"), 400},
        {WITH_VERSION("Sec-WebSocket-Version: 1300\r\n"), 400},
        {WITH_VERSION("Sec-WebSocket-Version: 13a\r\n"), 400},
        {WITH_VERSION("Sec-WebSocket-Version: +13\r\n"), 400},
        {WITH_VERSION("Sec-WebSocket-Version: 13, 8\r\n"), 400},
        {WITH_VERSION(VERSION VERSION), 400},
        {WITH_VERSION(VERSION "Sec-WebSocket-Version: 8\r\n"), 400},
        /* Who speaks another version need not have a key. */
        {REQUEST_LINE HOST UPGRADE "Sec-WebSocket-Version: 8\r\n\r\n", 426},
    };
    check_reads(cases, N_OF(cases));
}

#define WITH_KEY(fields) REQUEST_LINE HOST UPGRADE VERSION fields "\r\n"

static void ws_handshake__judges_keys(void **state)
{
    (void)state;
    static const read_case cases[] = {
        {WITH_KEY(KEY_FIELD), 0},
        {WITH_KEY("sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"), 0},
        {WITH_KEY("Sec-WebSocket-Key: ++//++//++//++//++//+w==\r\n"), 0},
        /* 22 letters that somebody drew: bits are left over, and every other server takes it. */
        {WITH_KEY("Sec-WebSocket-Key: abcdefghijklmnopqrstuv==\r\n"), 0},
        {WITH_KEY(""), 400},
        {WITH_KEY("Sec-WebSocket-Key:\r\n"), 400},
        {WITH_KEY("Sec-WebSocket-Key: SGVsbG8=\r\n"), 400},
        {WITH_KEY("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZTE=\r\n"), 400},
        {WITH_KEY("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZTEy\r\n"), 400},
        {WITH_KEY("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=\r\n"), 400},
        {WITH_KEY("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ\r\n"), 400},
        {WITH_KEY("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZ===\r\n"), 400},
        {WITH_KEY("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=A\r\n"), 400},
        {WITH_KEY("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j_-==\r\n"), 400},
        {WITH_KEY("Sec-WebSocket-Key: dGhlIHNhbX sZSBub25jZQ==\r\n"), 400},
        {WITH_KEY("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZSBhbmQgbW9yZQ==\r\n"), 400},
        {WITH_KEY(KEY_FIELD KEY_FIELD), 400},
    };
    check_reads(cases, N_OF(cases));
}

#define WITH_PROTOCOLS(fields) REQUEST_LINE GOOD_FIELDS fields "\r\n"

static void ws_handshake__judges_subprotocols(void **state)
{
    (void)state;
    static const read_case cases[] = {
        {WITH_PROTOCOLS(PROTOCOL "chat\r\n"), 0},
        {WITH_PROTOCOLS(PROTOCOL "chat,weft.v1 ,\tx\r\n"), 0},
        {WITH_PROTOCOLS(PROTOCOL "chat, ,superchat,\r\n"), 0},
        {WITH_PROTOCOLS(PROTOCOL "chat\r\n" PROTOCOL "superchat\r\n"), 0},
        {WITH_PROTOCOLS(PROTOCOL "chat, Chat\r\n"), 0},
        {WITH_PROTOCOLS(PROTOCOL "\r\n"), 400},
        {WITH_PROTOCOLS(PROTOCOL ", ,\r\n"), 400},
        {WITH_PROTOCOLS(PROTOCOL "chat\r\n" PROTOCOL "\r\n"), 400},
        {WITH_PROTOCOLS(PROTOCOL "my chat\r\n"), 400},
        {WITH_PROTOCOLS(PROTOCOL "chat;v=1\r\n"), 400},
        {WITH_PROTOCOLS(PROTOCOL "\"chat\"\r\n"), 400},
        {WITH_PROTOCOLS(PROTOCOL "chat\r\n" PROTOCOL "a@b\r\n"), 400},
        {WITH_PROTOCOLS(PROTOCOL "chat, superchat, chat\r\n"), 400},
        {WITH_PROTOCOLS(PROTOCOL "chat\r\n" PROTOCOL "superchat, chat\r\n"), 400},
    };
    check_reads(cases, N_OF(cases));
}

/* Comparing each with each is bounded by how many there may be. */
static void ws_handshake__takes_only_so_many_subprotocols(void **state)
{
    (void)state;
    for (int n = WS_MAX_SUBPROTOCOLS; n <= WS_MAX_SUBPROTOCOLS + 1; n++) {
        buf text = {0};
        buf_put_text(&text, REQUEST_LINE GOOD_FIELDS PROTOCOL);
        for (int i = 0; i < n; i++)
            buf_printf(&text, "%sp%d", i ? "," : "", i);
        buf_put(&text, "\r\n\r\n", 5);
        check_reads(&(read_case){text.at, n > WS_MAX_SUBPROTOCOLS ? 400 : 0}, 1);
        buf_done(&text);
    }
}

static void ws_handshake__knows_what_is_offered(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        bool offered;
    } cases[] = {{"chat", true}, {"superchat", true}, {"weft.v1", true}, {"Chat", false},
                 {"cha", false}, {"chat2", false},    {"", false},       {"chat, superchat", false}};
    request r;
    request_init(&r, WITH_PROTOCOLS(PROTOCOL "chat, superchat\r\nX-Other: mqtt\r\n" PROTOCOL "weft.v1\r\n"));
    for (size_t i = 0; i < N_OF(cases); i++)
        assert_int_equal(ws_subprotocol_offered(&r.head, r.copy.at, str_from(cases[i].name)), cases[i].offered);
    assert_false(ws_subprotocol_offered(&r.head, r.copy.at, STR("mqtt")));
    request_done(&r);

    request_init(&r, REQUEST_LINE GOOD_FIELDS "\r\n");
    assert_false(ws_subprotocol_offered(&r.head, r.copy.at, STR("chat")));
    request_done(&r);
}

/* -------------------------------------------------------------------------------------------------------------- the answer */

/* RFC 6455 §1.3. */
static void ws_handshake__computes_the_accept_value_of_the_rfc(void **state)
{
    (void)state;
    char value[WS_ACCEPT_LEN + 1] = {0};
    value[WS_ACCEPT_LEN] = '#';
    assert_int_equal(ws_accept_value(STR(KEY), value), 0);
    assert_memory_equal(value, ACCEPT "#", sizeof value);
}

static void ws_handshake__computes_no_value_for_other_keys(void **state)
{
    (void)state;
    char value[WS_ACCEPT_LEN] = "untouched";
    assert_int_equal(ws_accept_value(STR(""), value), WEFT_E_INVALID);
    assert_int_equal(ws_accept_value(STR("dGhlIHNhbXBsZSBub25jZQ="), value), WEFT_E_INVALID);
    assert_int_equal(ws_accept_value(STR(KEY "="), value), WEFT_E_INVALID);
    assert_string_equal(value, "untouched");
}

#define ACCEPTED                                                                                                       \
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " ACCEPT   \
    "\r\n"

static void ws_handshake__puts_the_answer(void **state)
{
    (void)state;
    buf out = {0};
    assert_int_equal(ws_put_accepted(&out, STR(KEY), (str){NULL, 0}), 0);
    check_str(buf_str(&out), ACCEPTED);
    assert_int_equal(ws_put_accepted(&out, STR(KEY), STR("chat")), 0);
    check_str(buf_str(&out), ACCEPTED ACCEPTED "Sec-WebSocket-Protocol: chat\r\n");
    buf_done(&out);
}

/* A name with a line end in it would be a header of the attacker's choice. */
static void ws_handshake__puts_nothing_for_a_bad_subprotocol(void **state)
{
    (void)state;
    buf out = {0};
    buf_put_text(&out, "before");
    assert_int_equal(ws_put_accepted(&out, STR(KEY), STR("chat\r\nSet-Cookie: a=b")), WEFT_E_INVALID);
    assert_int_equal(ws_put_accepted(&out, STR(KEY), STR("two words")), WEFT_E_INVALID);
    assert_int_equal(ws_put_accepted(&out, STR("short"), STR("chat")), WEFT_E_INVALID);
    check_str(buf_str(&out), "before");
    buf_done(&out);
}

static int put_answer(void)
{
    buf out = {0};
    int error = ws_put_accepted(&out, STR(KEY), STR("chat"));
    if (error) {
        assert_int_equal(error, -ENOMEM);
        assert_int_equal(out.len, 0);
    }
    buf_done(&out);
    return error;
}

static void ws_handshake__puts_nothing_without_memory(void **state)
{
    (void)state;
    mem_fail_from(1);
    int error = put_answer();
    mem_fail_from(0);
    assert_int_equal(error, -ENOMEM);
    check_failing_allocations(put_answer);
}

/* -------------------------------------------------------------------------------------------------------------- the origin */

typedef struct {
    const char *origin, *host;
    bool allowed;
} origin_case;

static void check_origins(const origin_case *cases, size_t n, const char *const *allowed)
{
    for (size_t i = 0; i < n; i++) {
        bool got = ws_origin_allowed(str_from(cases[i].origin), str_from(cases[i].host), allowed);
        if (got != cases[i].allowed)
            fail_msg("Origin %s, Host %s", cases[i].origin, cases[i].host);
    }
}

static void ws_origin_allowed__takes_the_same_site(void **state)
{
    (void)state;
    static const origin_case cases[] = {
        {NULL, "a.example", true},
        {"http://a.example", "a.example", true},
        {"https://a.example", "a.example", true},
        {"HTTP://A.Example", "a.eXAMPLE", true},
        {"http://a.example:80", "a.example", true},
        {"http://a.example", "a.example:80", true},
        {"https://a.example", "a.example:443", true},
        {"https://a.example:443", "a.example", true},
        {"http://a.example:3000", "a.example:3000", true},
        {"http://127.0.0.1:3000", "127.0.0.1:3000", true},
        {"http://[::1]", "[::1]", true},
        {"http://[::1]:80", "[::1]", true},
        {"http://[::1]:3000", "[::1]:3000", true},
        {"http://[2001:DB8::1]", "[2001:db8::1]:80", true},
        {"http://a.example", "a.example:", true},
    };
    check_origins(cases, N_OF(cases), NULL);
}

static void ws_origin_allowed__refuses_other_sites(void **state)
{
    (void)state;
    static const origin_case cases[] = {
        {"", "a.example", false},
        {"null", "a.example", false},
        {"null", "null", false},
        {"a.example", "a.example", false},
        {"//a.example", "a.example", false},
        {"://a.example", "a.example", false},
        {"http:/a.example", "a.example", false},
        {"http://", "", false},
        {"http://a.example", "", false},
        {"http://a.example", NULL, false},
        {"http://b.example", "a.example", false},
        {"http://sub.a.example", "a.example", false},
        {"http://a.example", "sub.a.example", false},
        {"http://a.example.", "a.example", false},
        {"http://a.example:3000", "a.example", false},
        {"http://a.example", "a.example:3000", false},
        {"http://a.example", "a.example:443", false},
        {"https://a.example", "a.example:80", false},
        {"http://a.example:0", "a.example:0", false},
        {"http://a.example:65536", "a.example:65536", false},
        {"http://a.example:165536", "a.example:165536", false},
        {"http://a.example:4294967376", "a.example", false},
        {"http://a.example:99999999999999999999", "a.example", false},
        {"http://a.example:x", "a.example:x", false},
        {"http://a.example:80:80", "a.example:80:80", false},
        {"http://a.example/", "a.example", false},
        {"http://a.example/path", "a.example/path", false},
        {"http://user@a.example", "user@a.example", false},
        {"http://user@a.example", "a.example", false},
        {"http://[::1", "[::1", false},
        {"http://[]", "[]", false},
        {"http://[::1]x", "[::1]x", false},
        {"http://[::1]:81", "[::1]", false},
        {"http://[::2]", "[::1]", false},
        {"http://::1", "::1", false},
        {"file://a.example", "a.example", false},
        {"chrome-extension://abcdef", "abcdef", false},
    };
    check_origins(cases, N_OF(cases), NULL);
    assert_false(ws_origin_allowed(STR("http://a.example\0"), STR("a.example"), NULL));
}

static void ws_origin_allowed__takes_the_listed(void **state)
{
    (void)state;
    static const char *const allowed[] = {"https://a.example", "http://localhost:3000",     "https://b.example:443",
                                          "http://[::1]:8080", "chrome-extension://abcdef", NULL};
    static const origin_case cases[] = {
        {NULL, "other.example", true},
        {"https://a.example", "other.example", true},
        {"HTTPS://A.EXAMPLE", "other.example", true},
        {"https://a.example:443", "other.example", true},
        {"https://b.example", "other.example", true},
        {"http://localhost:3000", NULL, true},
        {"http://[::1]:8080", NULL, true},
        {"chrome-extension://abcdef", NULL, true},
        {"http://a.example", "a.example", false},
        {"https://a.example:444", "a.example", false},
        {"http://a.example:443", "a.example", false},
        {"https://sub.a.example", "a.example", false},
        {"https://a.example.evil.example", "a.example", false},
        {"https://evil-a.example", "a.example", false},
        {"http://localhost", NULL, false},
        {"http://localhost:30000", NULL, false},
        {"chrome-extension://abcdeg", NULL, false},
        /* With a list the page's own site has no privilege. */
        {"https://other.example", "other.example", false},
        {"null", "other.example", false},
        {"", "other.example", false},
    };
    check_origins(cases, N_OF(cases), allowed);
}

static void ws_origin_allowed__takes_listed_subdomains(void **state)
{
    (void)state;
    static const char *const allowed[] = {"https://*.a.example", "http://*.localhost:3000", "http://*.", NULL};
    static const origin_case cases[] = {
        {"https://sub.a.example", NULL, true},
        {"https://deep.sub.a.example", NULL, true},
        {"https://SUB.A.EXAMPLE", NULL, true},
        {"https://sub.a.example:443", NULL, true},
        {"http://app.localhost:3000", NULL, true},
        {"https://a.example", NULL, false},
        {"https://.a.example", NULL, false},
        {"https://evila.example", NULL, false},
        {"https://sub.a.example.evil.example", NULL, false},
        {"http://sub.a.example", NULL, false},
        {"https://sub.a.example:8443", NULL, false},
        {"http://app.localhost", NULL, false},
        {"https://evil.example/.a.example", NULL, false},
        {"https://evil.example?.a.example", NULL, false},
        {"https://evil.example#.a.example", NULL, false},
        {"https://evil.example\\.a.example", NULL, false},
        {"https://evil.example@.a.example", NULL, false},
        {"https://evil.example:80.a.example", NULL, false},
        {"https://evil.example%00.a.example", NULL, false},
        {"http://anything.", NULL, false},
        {"null", NULL, false},
    };
    check_origins(cases, N_OF(cases), allowed);
    assert_false(ws_origin_allowed(STR("https://evil.example\0.a.example"), (str){NULL, 0}, allowed));
}

static void ws_origin_allowed__takes_null_and_any_when_listed(void **state)
{
    (void)state;
    static const char *const null_only[] = {"null", NULL}, *const any[] = {"https://a.example", "*", NULL};
    static const char *const nobody[] = {NULL};
    assert_true(ws_origin_allowed(STR("null"), STR("a.example"), null_only));
    assert_false(ws_origin_allowed(STR("http://a.example"), STR("a.example"), null_only));
    assert_true(ws_origin_allowed(STR("null"), STR("a.example"), any));
    assert_true(ws_origin_allowed(STR("http://evil.example"), STR("a.example"), any));
    assert_false(ws_origin_allowed(STR("http://a.example"), STR("a.example"), nobody));
    assert_true(ws_origin_allowed((str){NULL, 0}, STR("a.example"), nobody));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ws_handshake__reads_the_request_of_the_rfc),
        cmocka_unit_test(ws_handshake__reads_a_bare_request),
        cmocka_unit_test(ws_handshake__takes_the_host_of_an_absolute_target),
        cmocka_unit_test(ws_handshake__knows_who_wants_one),
        cmocka_unit_test(ws_handshake__refuses_other_methods),
        cmocka_unit_test(ws_handshake__refuses_a_body),
        cmocka_unit_test(ws_handshake__judges_versions),
        cmocka_unit_test(ws_handshake__judges_keys),
        cmocka_unit_test(ws_handshake__judges_subprotocols),
        cmocka_unit_test(ws_handshake__takes_only_so_many_subprotocols),
        cmocka_unit_test(ws_handshake__knows_what_is_offered),
        cmocka_unit_test(ws_handshake__computes_the_accept_value_of_the_rfc),
        cmocka_unit_test(ws_handshake__computes_no_value_for_other_keys),
        cmocka_unit_test(ws_handshake__puts_the_answer),
        cmocka_unit_test(ws_handshake__puts_nothing_for_a_bad_subprotocol),
        cmocka_unit_test(ws_handshake__puts_nothing_without_memory),
        cmocka_unit_test(ws_origin_allowed__takes_the_same_site),
        cmocka_unit_test(ws_origin_allowed__refuses_other_sites),
        cmocka_unit_test(ws_origin_allowed__takes_the_listed),
        cmocka_unit_test(ws_origin_allowed__takes_listed_subdomains),
        cmocka_unit_test(ws_origin_allowed__takes_null_and_any_when_listed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
