#include "proto/engineio.h"
#include "support/check.h"
#include "support/guard.h"

static const char *const type_names[] = {"open", "close", "ping", "pong", "message", "upgrade", "noop"};

/** Writes a packet's type, and its data behind a colon, or behind an equals sign when it is binary. */
static size_t describe(const engineio_packet *packet, char *ret)
{
    assert_true(packet->type <= ENGINEIO_NOOP);
    size_t n = strlen(type_names[packet->type]);
    memcpy(ret, type_names[packet->type], n);
    ret[n++] = packet->binary ? '=' : ':';
    memcpy(ret + n, packet->data.at, packet->data.len);
    return n + packet->data.len;
}

static void check_read(str text, str expected)
{
    guard copy = guard_copy(text.at, text.len);
    engineio_packet packet;
    char seen[256];
    memset(&packet, 0xee, sizeof packet);
    assert_true(engineio_read((str){copy.at, text.len}, &packet));
    assert_true(packet.data.at >= copy.at && packet.data.at + packet.data.len <= copy.at + text.len);
    assert_true(str_equal((str){seen, describe(&packet, seen)}, expected));
    guard_free(copy);
}

static void check_refused(str text)
{
    guard copy = guard_copy(text.at, text.len);
    engineio_packet packet, before;
    memset(&packet, 0xee, sizeof packet);
    before = packet;
    assert_false(engineio_read((str){copy.at, text.len}, &packet));
    assert_memory_equal(&packet, &before, sizeof packet);
    guard_free(copy);
}

static void engineio__reads_every_type(void **state)
{
    (void)state;
    check_read(STR("0{\"sid\":\"a\"}"), STR("open:{\"sid\":\"a\"}"));
    check_read(STR("1"), STR("close:"));
    check_read(STR("2probe"), STR("ping:probe"));
    check_read(STR("3probe"), STR("pong:probe"));
    check_read(STR("42[\"hey\"]"), STR("message:2[\"hey\"]"));
    check_read(STR("4"), STR("message:"));
    check_read(STR("4\xe2\x82\xac\0b"), STR("message:\xe2\x82\xac\0b"));
    check_read(STR("5"), STR("upgrade:"));
    check_read(STR("6"), STR("noop:"));
}

static void engineio__refuses_what_has_no_type(void **state)
{
    (void)state;
    check_refused(STR(""));
    for (int c = 0; c < 256; c++) {
        char text[] = {(char)c, 'a'};
        if ((c < '0' || c > '6') && c != 'b')
            check_refused((str){text, sizeof text});
    }
}

static void engineio__decodes_base64_in_place(void **state)
{
    (void)state;
    check_read(STR("b"), STR("message="));
    check_read(STR("bAQIDBA=="), STR("message=\x01\x02\x03\x04"));
    check_read(STR("b+/+/"), STR("message=\xfb\xff\xbf"));
}

/* As Node's Buffer.from(text, 'base64') does. */
static void engineio__decodes_base64_leniently(void **state)
{
    (void)state;
    check_read(STR("bAQIDBA"), STR("message=\x01\x02\x03\x04"));
    check_read(STR("bAQIDBA="), STR("message=\x01\x02\x03\x04"));
    check_read(STR("bAQI"), STR("message=\x01\x02"));
    check_read(STR("bA"), STR("message="));
    check_read(STR("b-_-_"), STR("message=\xfb\xff\xbf"));
    check_read(STR("bAQ ID"), STR("message=\x01\x02\x03"));
    check_read(STR("bAQID\nBA==\n"), STR("message=\x01\x02\x03\x04"));
    check_read(STR("bAQ\r\nID\r\n"), STR("message=\x01\x02\x03"));
    check_read(STR("b\n"), STR("message="));
    check_read(STR("bAQ=ID"), STR("message=\x01"));
    check_read(STR("b===="), STR("message="));
    check_read(STR("b!!!!"), STR("message="));
    check_read(STR("bAQI\xff\x80"
                   "D"),
               STR("message=\x01\x02\x03"));
}

/** All packets of a payload, a bar behind each, and END or BAD. */
static void check_payload(str text, str expected)
{
    guard copy = guard_copy(text.at, text.len);
    engineio_payload payload = {.at = copy.at, .len = text.len};
    engineio_packet packet;
    engineio_status status;
    char seen[256];
    size_t n = 0;
    while ((status = engineio_next(&payload, &packet)) == ENGINEIO_PACKET) {
        n += describe(&packet, seen + n);
        seen[n++] = '|';
    }
    memcpy(seen + n, status == ENGINEIO_END ? "END" : "BAD", 3);
    if (!str_equal((str){seen, n + 3}, expected))
        print_error("read: %.*s\nexpected: %.*s\n", (int)n + 3, seen, (int)expected.len, expected.at);
    assert_true(str_equal((str){seen, n + 3}, expected));
    for (int i = 0; i < 3; i++) /* it stays as it is */
        assert_int_equal(engineio_next(&payload, &packet), status);
    guard_free(copy);
}

static void engineio__takes_a_payload_apart(void **state)
{
    (void)state;
    check_payload(STR("4hello"), STR("message:hello|END"));
    check_payload(STR("4a\x1e"
                      "2\x1e"
                      "bAQID\x1e"
                      "4b"),
                  STR("message:a|ping:|message=\x01\x02\x03|message:b|END"));
    check_payload(STR("1\x1e"
                      "1"),
                  STR("close:|close:|END"));
    check_payload(STR("b\x1e"
                      "b\n"),
                  STR("message=|message=|END"));
}

static void engineio__a_payload_ends_where_it_is_bad(void **state)
{
    (void)state;
    check_payload(STR(""), STR("BAD"));
    assert_int_equal(engineio_next(&(engineio_payload){0}, &(engineio_packet){0}), ENGINEIO_BAD);
    check_payload(STR("\x1e"), STR("BAD"));
    check_payload(STR("4a\x1e"), STR("message:a|BAD"));
    check_payload(STR("\x1e"
                      "4a"),
                  STR("BAD"));
    check_payload(STR("4a\x1e\x1e"
                      "4b"),
                  STR("message:a|BAD"));
    check_payload(STR("4a\x1e"
                      "7\x1e"
                      "4b"),
                  STR("message:a|BAD"));
}

static void engineio__a_payload_cut_anywhere_gives_what_was_whole(void **state)
{
    (void)state;
    static const char text[] = "4one\x1e"
                               "bAQIDBA==\x1e"
                               "2\x1e"
                               "4four";
    for (size_t len = 0; len < sizeof text; len++) {
        guard copy = guard_copy(text, len);
        engineio_payload payload = {.at = copy.at, .len = len};
        engineio_packet packet;
        engineio_status status;
        size_t n = 0;
        while ((status = engineio_next(&payload, &packet)) == ENGINEIO_PACKET)
            n++;
        size_t n_separators = 0;
        for (size_t i = 0; i < len; i++)
            n_separators += text[i] == ENGINEIO_SEPARATOR;
        bool whole = len > 0 && text[len - 1] != ENGINEIO_SEPARATOR;
        assert_int_equal(status, whole ? ENGINEIO_END : ENGINEIO_BAD);
        assert_int_equal(n, n_separators + whole);
        guard_free(copy);
    }
}

static void check_put(bool binary, str data, str expected)
{
    size_t len = engineio_payload_len(binary, data.len);
    assert_int_equal(len, expected.len);
    guard room = guard_copy(expected.at, expected.len);
    memset(room.at, '#', len);
    assert_int_equal(engineio_payload_put(room.at, binary, data), len);
    assert_memory_equal(room.at, expected.at, len);
    engineio_packet packet;
    assert_true(engineio_read((str){room.at, len}, &packet));
    assert_int_equal(packet.type, ENGINEIO_MESSAGE);
    assert_int_equal(packet.binary, binary);
    assert_true(str_equal(packet.data, data));
    guard_free(room);
}

static void engineio__what_is_put_into_a_payload_is_read_again(void **state)
{
    (void)state;
    check_put(false, STR("hello"), STR("4hello"));
    check_put(false, (str){NULL, 0}, STR("4"));
    check_put(true, STR("\x01\x02\x03\x04"), STR("bAQIDBA=="));
    check_put(true, STR("\x01\x02\x03"), STR("bAQID"));
    check_put(true, (str){NULL, 0}, STR("b"));
}

static void engineio__the_open_packet_says_it_all(void **state)
{
    (void)state;
    char text[ENGINEIO_HANDSHAKE_BYTES];
    engineio_handshake handshake = {STR("lv_VI97HAXpY6yYWAAAC"), true, 25000, 20000, 1000000};
    size_t n = engineio_handshake_put(&handshake, text);
    assert_true(str_equal((str){text, n}, STR("0{\"sid\":\"lv_VI97HAXpY6yYWAAAC\",\"upgrades\":[\"websocket\"],"
                                              "\"pingInterval\":25000,\"pingTimeout\":20000,\"maxPayload\":1000000}")));
    handshake = (engineio_handshake){{"sid and more", 3}, false, 1, 2, 3};
    n = engineio_handshake_put(&handshake, text);
    assert_true(
        str_equal((str){text, n},
                  STR("0{\"sid\":\"sid\",\"upgrades\":[],\"pingInterval\":1,\"pingTimeout\":2,\"maxPayload\":3}")));
}

static void engineio__the_longest_open_packet_has_room(void **state)
{
    (void)state;
    char text[ENGINEIO_HANDSHAKE_BYTES], sid[64];
    memset(sid, 's', sizeof sid);
    engineio_handshake handshake = {{sid, sizeof sid}, true, UINT32_MAX, UINT32_MAX, SIZE_MAX};
    size_t n = engineio_handshake_put(&handshake, text);
    assert_true(n < sizeof text && text[n - 1] == '}');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(engineio__reads_every_type),
        cmocka_unit_test(engineio__refuses_what_has_no_type),
        cmocka_unit_test(engineio__decodes_base64_in_place),
        cmocka_unit_test(engineio__decodes_base64_leniently),
        cmocka_unit_test(engineio__takes_a_payload_apart),
        cmocka_unit_test(engineio__a_payload_ends_where_it_is_bad),
        cmocka_unit_test(engineio__a_payload_cut_anywhere_gives_what_was_whole),
        cmocka_unit_test(engineio__what_is_put_into_a_payload_is_read_again),
        cmocka_unit_test(engineio__the_open_packet_says_it_all),
        cmocka_unit_test(engineio__the_longest_open_packet_has_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
