#include "proto/json.h"
#include "proto/socketio.h"
#include "support/check.h"
#include "support/guard.h"

/** Writes what is in front, and the arguments, into a room with no byte to spare. */
static guard put(const socketio_head *head, str args, size_t *ret_len)
{
    size_t len = socketio_head_len(head), more = head->has_args ? args.len - 1 : 0;
    char *room = calloc(1, len + more);
    guard text = guard_copy(room, len + more);
    free(room);
    assert_int_equal(socketio_head_put(text.at, head), len);
    if (head->has_args)
        memcpy(text.at + len, args.at + 1, more);
    *ret_len = len + more;
    return text;
}

static socketio_type plain_type(socketio_type type)
{
    return type == SOCKETIO_BINARY_EVENT ? SOCKETIO_EVENT : type == SOCKETIO_BINARY_ACK ? SOCKETIO_ACK : type;
}

static void check_read_again(guard text, size_t len, const socketio_head *head, str args)
{
    socketio_packet packet;
    assert_null(socketio_read(text.at, len, &packet));
    assert_int_equal(plain_type(packet.type), plain_type(head->type));
    assert_int_equal(packet.n_attachments, head->n_attachments);
    assert_int_equal(packet.type != plain_type(packet.type), head->n_attachments > 0);
    assert_true(str_equal(packet.nsp, head->nsp.len ? head->nsp : STR("/")));
    assert_int_equal(packet.has_id, head->has_id);
    assert_true(!head->has_id || packet.id == head->id);
    assert_true(str_equal(packet.name, head->name));
    assert_true(str_equal(packet.args, head->has_args ? args : STR("[]")));
}

/** The head in front of `args`, {NULL, 0} for none; read again it is the same. */
static void check(socketio_head head, str args, const char *expected)
{
    size_t len;
    head.has_args = args.at != NULL;
    guard text = put(&head, args, &len);
    if (!str_equal((str){text.at, len}, str_from(expected)))
        print_error("written: %.*s\nexpected: %s\n", (int)len, text.at, expected);
    assert_true(str_equal((str){text.at, len}, str_from(expected)));
    check_read_again(text, len, &head, args);
    guard_free(text);
}

#define NONE                                                                                                           \
    (str)                                                                                                              \
    {                                                                                                                  \
        NULL, 0                                                                                                        \
    }

static void socketio_put__writes_events(void **state)
{
    (void)state;
    check((socketio_head){.type = SOCKETIO_EVENT, .nsp = STR("/"), .name = STR("hey")}, STR("[\"Jude\"]"),
          "2[\"hey\",\"Jude\"]");
    check((socketio_head){.type = SOCKETIO_EVENT, .nsp = STR("/"), .name = STR("hey")}, NONE, "2[\"hey\"]");
    check((socketio_head){.type = SOCKETIO_EVENT, .name = STR("hey")}, STR("[1,[]]"), "2[\"hey\",1,[]]");
    check((socketio_head){.type = SOCKETIO_EVENT, .nsp = STR("/admin"), .name = STR("hey")}, STR("[1]"),
          "2/admin,[\"hey\",1]");
    check((socketio_head){.type = SOCKETIO_EVENT, .nsp = STR("/a"), .has_id = true, .id = 12, .name = STR("x")}, NONE,
          "2/a,12[\"x\"]");
    check((socketio_head){.type = SOCKETIO_EVENT, .has_id = true, .id = 0, .name = STR("x")}, NONE, "20[\"x\"]");
    check((socketio_head){.type = SOCKETIO_EVENT, .has_id = true, .id = INT64_MAX, .name = STR("x")}, NONE,
          "29223372036854775807[\"x\"]");
}

static void socketio_put__writes_acknowledgements(void **state)
{
    (void)state;
    check((socketio_head){.type = SOCKETIO_ACK, .has_id = true, .id = 10}, STR("[1]"), "310[1]");
    check((socketio_head){.type = SOCKETIO_ACK, .has_id = true, .id = 9}, NONE, "39[]");
    check((socketio_head){.type = SOCKETIO_ACK, .nsp = STR("/a"), .has_id = true, .id = 1}, STR("[\"x\"]"),
          "3/a,1[\"x\"]");
}

static void socketio_put__attachments_make_it_binary(void **state)
{
    (void)state;
    str args = STR("[{\"_placeholder\":true,\"num\":0}]");
    check((socketio_head){.type = SOCKETIO_EVENT, .n_attachments = 1, .name = STR("pic")}, args,
          "51-[\"pic\",{\"_placeholder\":true,\"num\":0}]");
    check((socketio_head){.type = SOCKETIO_BINARY_EVENT, .n_attachments = 10, .nsp = STR("/a"), .name = STR("pic")},
          args, "510-/a,[\"pic\",{\"_placeholder\":true,\"num\":0}]");
    check((socketio_head){.type = SOCKETIO_ACK, .n_attachments = 2, .has_id = true, .id = 3}, args,
          "62-3[{\"_placeholder\":true,\"num\":0}]");
    check((socketio_head){.type = SOCKETIO_BINARY_ACK, .n_attachments = 2, .has_id = true, .id = 3}, NONE, "62-3[]");
}

static void socketio_put__without_attachments_it_is_plain(void **state)
{
    (void)state;
    check((socketio_head){.type = SOCKETIO_BINARY_EVENT, .name = STR("x")}, NONE, "2[\"x\"]");
    check((socketio_head){.type = SOCKETIO_BINARY_ACK, .has_id = true, .id = 3}, STR("[1]"), "33[1]");
}

static void socketio_put__escapes_names(void **state)
{
    (void)state;
    check((socketio_head){.type = SOCKETIO_EVENT, .name = STR("a\"\\\n\x01\xc3\xa9")}, STR("[1]"),
          "2[\"a\\\"\\\\\\n\\u0001\xc3\xa9\",1]");
    check((socketio_head){.type = SOCKETIO_EVENT, .name = STR("\0")}, NONE, "2[\"\\u0000\"]");
    check((socketio_head){.type = SOCKETIO_EVENT, .name = STR("")}, NONE, "2[\"\"]");
}

static void check_plain(socketio_type type, str nsp, str json, const char *expected)
{
    char text[64];
    memset(text, '#', sizeof text);
    size_t n = socketio_plain_put(text, type, nsp, json);
    assert_true(str_equal((str){text, n}, str_from(expected)));
    assert_true(n <= nsp.len + json.len + SOCKETIO_SMALL_BYTES && text[n] == '#');
    socketio_packet packet;
    assert_null(socketio_read(text, n, &packet));
    assert_int_equal(packet.type, type);
    assert_true(str_equal(packet.nsp, nsp.len ? nsp : STR("/")) && str_equal(packet.args, json));
}

static void socketio_put__writes_the_other_types(void **state)
{
    (void)state;
    check_plain(SOCKETIO_CONNECT, STR("/"), STR("{\"sid\":\"a\"}"), "0{\"sid\":\"a\"}");
    check_plain(SOCKETIO_CONNECT, STR("/admin"), STR("{\"sid\":\"a\"}"), "0/admin,{\"sid\":\"a\"}");
    check_plain(SOCKETIO_CONNECT, NONE, NONE, "0");
    check_plain(SOCKETIO_DISCONNECT, STR("/admin"), NONE, "1/admin,");
    check_plain(SOCKETIO_DISCONNECT, STR("/"), NONE, "1");
    check_plain(SOCKETIO_CONNECT_ERROR, STR("/a"), STR("{\"message\":\"no\"}"), "4/a,{\"message\":\"no\"}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(socketio_put__writes_events),
        cmocka_unit_test(socketio_put__writes_acknowledgements),
        cmocka_unit_test(socketio_put__attachments_make_it_binary),
        cmocka_unit_test(socketio_put__without_attachments_it_is_plain),
        cmocka_unit_test(socketio_put__escapes_names),
        cmocka_unit_test(socketio_put__writes_the_other_types),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
