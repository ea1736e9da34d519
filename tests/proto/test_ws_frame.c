#include "base/str.h"
#include "proto/ws_frame.h"
#include "support/check.h"

typedef struct {
    ws_header header;
    str bytes;
} vector;

static void check_headers(const vector *vectors, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char bytes[WS_MAX_HEADER_BYTES + 1];
        memset(bytes, 0x5a, sizeof bytes);
        assert_int_equal(ws_header_put(&vectors[i].header, bytes), vectors[i].bytes.len);
        assert_memory_equal(bytes, vectors[i].bytes.at, vectors[i].bytes.len);
        assert_int_equal(bytes[vectors[i].bytes.len], 0x5a);
    }
}

/* RFC 6455 §5.7. */
static void ws_frame__puts_the_headers_of_the_rfc(void **state)
{
    (void)state;
    static const vector vectors[] = {
        {{.opcode = WS_TEXT, .fin = true, .len = 5}, STR("\x81\x05")},
        {{.opcode = WS_TEXT, .fin = true, .len = 5, .masked = true, .mask = {0x37, 0xfa, 0x21, 0x3d}},
         STR("\x81\x85\x37\xfa\x21\x3d")},
        {{.opcode = WS_TEXT, .len = 3}, STR("\x01\x03")},
        {{.opcode = WS_CONTINUATION, .fin = true, .len = 2}, STR("\x80\x02")},
        {{.opcode = WS_PING, .fin = true, .len = 5}, STR("\x89\x05")},
        {{.opcode = WS_PONG, .fin = true, .len = 5, .masked = true, .mask = {0x37, 0xfa, 0x21, 0x3d}},
         STR("\x8a\x85\x37\xfa\x21\x3d")},
        {{.opcode = WS_BINARY, .fin = true, .len = 256}, STR("\x82\x7e\x01\x00")},
        {{.opcode = WS_BINARY, .fin = true, .len = 65536}, STR("\x82\x7f\0\0\0\0\0\x01\0\0")},
    };
    check_headers(vectors, N_OF(vectors));
}

static void ws_frame__puts_the_shortest_length(void **state)
{
    (void)state;
    static const vector vectors[] = {
        {{.opcode = WS_BINARY, .fin = true, .len = 0}, STR("\x82\x00")},
        {{.opcode = WS_BINARY, .fin = true, .len = 125}, STR("\x82\x7d")},
        {{.opcode = WS_BINARY, .fin = true, .len = 126}, STR("\x82\x7e\x00\x7e")},
        {{.opcode = WS_BINARY, .fin = true, .len = 65535}, STR("\x82\x7e\xff\xff")},
        {{.opcode = WS_BINARY, .fin = true, .len = 65536}, STR("\x82\x7f\0\0\0\0\0\x01\0\0")},
        {{.opcode = WS_BINARY, .fin = true, .len = INT64_MAX}, STR("\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff")},
        {{.opcode = WS_BINARY, .fin = true, .len = 0x0102030405060708}, STR("\x82\x7f\1\2\3\4\5\6\7\x08")},
        {{.opcode = WS_BINARY, .fin = true, .len = 0x0102030405060708, .masked = true, .mask = {0xa, 0xb, 0xc, 0xd}},
         STR("\x82\xff\1\2\3\4\5\6\7\x08\x0a\x0b\x0c\x0d")},
    };
    check_headers(vectors, N_OF(vectors));
}

static void ws_frame__puts_flags(void **state)
{
    (void)state;
    static const vector vectors[] = {
        {{.opcode = WS_TEXT, .fin = true, .rsv1 = true}, STR("\xc1\x00")},
        {{.opcode = WS_BINARY, .rsv1 = true}, STR("\x42\x00")},
        {{.opcode = WS_CLOSE, .fin = true, .len = 2}, STR("\x88\x02")},
        /* A mask that is not used is not written. */
        {{.opcode = WS_CONTINUATION, .mask = {1, 2, 3, 4}}, STR("\x00\x00")},
    };
    check_headers(vectors, N_OF(vectors));
}

static void ws_frame__knows_the_close_codes(void **state)
{
    (void)state;
    static const struct {
        int from, to;
    } valid[] = {{1000, 1003}, {1007, 1014}, {3000, 4999}};
    for (int code = -70000; code <= 70000; code++) {
        bool expected = false;
        for (size_t i = 0; i < N_OF(valid); i++)
            expected |= code >= valid[i].from && code <= valid[i].to;
        assert_int_equal(ws_code_valid(code), expected);
    }
}

static void ws_frame__puts_close_payloads(void **state)
{
    (void)state;
    char payload[WS_MAX_CONTROL_BYTES], reason[WS_MAX_REASON_BYTES];
    memset(reason, 'r', sizeof reason);

    assert_int_equal(ws_close_put(1000, NULL, 0, payload), 2);
    assert_memory_equal(payload, "\x03\xe8", 2);
    assert_int_equal(ws_close_put(4999, "bye", 3, payload), 5);
    assert_memory_equal(payload,
                        "\x13\x87"
                        "bye",
                        5);
    assert_int_equal(ws_close_put(1001, reason, sizeof reason, payload), WS_MAX_CONTROL_BYTES);
    assert_memory_equal(payload, "\x03\xe9", 2);
    assert_memory_equal(payload + 2, reason, sizeof reason);
}

static void ws_frame__puts_no_payload_without_a_code(void **state)
{
    (void)state;
    char payload[8] = "before";
    assert_int_equal(ws_close_put(0, "lost", 4, payload), 0);
    assert_int_equal(ws_close_put(WS_CODE_NONE, "lost", 4, payload), 0);
    assert_string_equal(payload, "before");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ws_frame__puts_the_headers_of_the_rfc),
        cmocka_unit_test(ws_frame__puts_the_shortest_length),
        cmocka_unit_test(ws_frame__puts_flags),
        cmocka_unit_test(ws_frame__knows_the_close_codes),
        cmocka_unit_test(ws_frame__puts_close_payloads),
        cmocka_unit_test(ws_frame__puts_no_payload_without_a_code),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
