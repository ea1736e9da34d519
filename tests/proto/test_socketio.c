#include "proto/socketio.h"

#include "base/buf.h"
#include "proto/json.h"
#include "support/check.h"
#include "support/guard.h"

#include <stdio.h>

static const char *const type_names[] = {"connect",       "disconnect",   "event",     "ack",
                                         "connect_error", "binary_event", "binary_ack"};

static void put_field(buf *b, const char *name, str value)
{
    if (!value.at)
        return;
    buf_put_text(b, name);
    buf_put_str(b, value);
}

/** All that was read, as one line: what is not there does not stand in it. */
static buf described(const socketio_packet *p)
{
    buf b = {0};
    buf_put_text(&b, type_names[p->type]);
    if (p->n_attachments)
        buf_printf(&b, " %u", p->n_attachments);
    put_field(&b, " ", p->nsp);
    if (p->has_id)
        buf_printf(&b, " id=%llu", (unsigned long long)p->id);
    put_field(&b, " name=", p->name);
    put_field(&b, " args=", p->args);
    return b;
}

static bool is_inside(str slice, const char *text, size_t len)
{
    return slice.at >= text && slice.at + slice.len <= text + len;
}

/** What was read lies in the text, or is what stands for nothing. */
static void check_slices(const socketio_packet *p, const char *text, size_t len)
{
    assert_true(is_inside(p->nsp, text, len) || str_equal(p->nsp, STR("/")));
    assert_true(is_inside(p->name, text, len) || !p->name.at);
    assert_true(is_inside(p->args, text, len) || !p->args.at || str_equal(p->args, STR("[]")));
}

static void check_whole(str text, str expected)
{
    guard copy = guard_copy(text.at, text.len);
    socketio_packet packet;
    memset(&packet, 0xee, sizeof packet); /* nothing of what was there before counts */
    copy.at[-1] = '#';
    const char *problem = socketio_read(copy.at, text.len, &packet);
    if (problem)
        print_error("refused: %.*s\nfor its: %s\n", (int)text.len, text.at, problem);
    assert_null(problem);
    check_slices(&packet, copy.at, text.len);
    buf seen = described(&packet);
    if (!str_equal(buf_str(&seen), expected))
        print_error("read:     %.*s\nexpected: %.*s\n", (int)seen.len, seen.at, (int)expected.len, expected.at);
    assert_true(str_equal(buf_str(&seen), expected));
    assert_int_equal(copy.at[-1], '#');
    buf_done(&seen);
    guard_free(copy);
}

/** Where the JSON begins, if there is any. */
static size_t payload_start(str text)
{
    size_t i = 0;
    while (i < text.len && text.at[i] != '[' && text.at[i] != '{' && text.at[i] != '"')
        i++;
    return i;
}

/** Cut within the JSON it is refused for that. Cut in front of it, it may be a packet, but none with anything in it. */
static void check_cut(str text)
{
    size_t start = payload_start(text), end = text.len;
    while (end > start && (text.at[end - 1] == ' ' || text.at[end - 1] == '\n'))
        end--;
    for (size_t len = 0; len < end; len++) {
        guard copy = guard_copy(text.at, len);
        socketio_packet packet;
        const char *problem = socketio_read(copy.at, len, &packet);
        if (len > start) {
            assert_string_equal(problem, "JSON");
        } else if (!problem) {
            check_slices(&packet, copy.at, len);
            assert_null(packet.name.at);
            assert_true(!packet.args.at || str_equal(packet.args, STR("[]")));
        }
        guard_free(copy);
    }
}

static void check(str text, const char *expected)
{
    check_whole(text, str_from(expected));
    check_cut(text);
}

static void check_refused(str text, const char *expected)
{
    guard copy = guard_copy(text.at, text.len);
    socketio_packet packet, before;
    memset(&packet, 0xee, sizeof packet);
    before = packet;
    copy.at[-1] = '#';
    const char *problem = socketio_read(copy.at, text.len, &packet);
    if (!problem || strcmp(problem, expected) != 0)
        print_error("%.*s is refused for %s, not for %s\n", (int)text.len, text.at, problem, expected);
    assert_non_null(problem);
    assert_string_equal(problem, expected);
    assert_memory_equal(&packet, &before, sizeof packet);
    assert_int_equal(copy.at[-1], '#');
    guard_free(copy);
}

static void socketio__reads_every_type(void **state)
{
    (void)state;
    check(STR("0{\"token\":\"1\"}"), "connect / args={\"token\":\"1\"}");
    check(STR("0"), "connect /");
    check(STR("1"), "disconnect /");
    check(STR("2[\"hey\",\"Jude\"]"), "event / name=hey args=[\"Jude\"]");
    check(STR("3[\"x\"]"), "ack / args=[\"x\"]");
    check(STR("31[]"), "ack / id=1 args=[]");
    check(STR("4{\"message\":\"no\"}"), "connect_error / args={\"message\":\"no\"}");
    check(STR("4\"no\""), "connect_error / args=\"no\"");
    check(STR("51-[\"pic\",{\"_placeholder\":true,\"num\":0}]"),
          "binary_event 1 / name=pic args=[{\"_placeholder\":true,\"num\":0}]");
    check(STR("62-7[{\"_placeholder\":true,\"num\":1}]"),
          "binary_ack 2 / id=7 args=[{\"_placeholder\":true,\"num\":1}]");
}

static void socketio__a_namespace_ends_at_a_comma_or_with_the_packet(void **state)
{
    (void)state;
    check(STR("0/admin,{\"a\":1}"), "connect /admin args={\"a\":1}");
    check(STR("0/admin,"), "connect /admin");
    check(STR("0/admin"), "connect /admin");
    check(STR("1/admin,"), "disconnect /admin");
    check(STR("2/a/b?c=d,12[\"x\",1]"), "event /a/b?c=d id=12 name=x args=[1]");
    check(STR("2/,[\"x\"]"), "event / name=x args=[]");
    check(STR("2//,[\"x\"]"), "event // name=x args=[]");
    check(STR("2/caf\xc3\xa9,[\"x\"]"), "event /caf\xc3\xa9 name=x args=[]");
    check(STR("53-/a,4[\"x\"]"), "binary_event 3 /a id=4 name=x args=[]");
    check_whole(STR("2/a[\"x\"]"), STR("event /a[\"x\"] args=[]")); /* no comma: all is the name */
}

static void socketio__ids_are_digits(void **state)
{
    (void)state;
    check(STR("20[\"x\"]"), "event / id=0 name=x args=[]");
    check(STR("2007[\"x\"]"), "event / id=7 name=x args=[]");
    check(STR("29007199254740993[\"x\"]"), "event / id=9007199254740993 name=x args=[]");
    check(STR("29223372036854775807[\"x\"]"), "event / id=9223372036854775807 name=x args=[]");
    check(STR("017"), "connect / id=17");
    check(STR("11"), "disconnect / id=1");
    check_refused(STR("29223372036854775808[\"x\"]"), "id");
    check_refused(STR("218446744073709551616[\"x\"]"), "id");
    check_refused(STR("236893488147419103240[\"x\"]"), "id"); /* 2^65 + 8 */
    check_refused(STR("2-1[\"x\"]"), "JSON");
    check_refused(STR("21.5[\"x\"]"), "JSON");
    check_refused(STR("2/a,1,[\"x\"]"), "JSON");
}

static void socketio__white_space_counts_as_the_reference_counts_it(void **state)
{
    (void)state;
    check(STR("2 [\"x\"]"), "event / id=0 name=x args=[]");
    check(STR("2/a,\t\n\v\f\r [\"x\"]"), "event /a id=0 name=x args=[]");
    check(STR("2 12 [\"x\"]"), "event / id=12 name=x args=[]");
    check(STR("2\r1\t[\"x\"]"), "event / id=1 name=x args=[]");
    check(STR(" {\"a\":1}"), "connect / args={\"a\":1}");
    check(STR("\v"), "connect /");
    check(STR("5 1 -[\"x\"]"), "binary_event 1 / name=x args=[]");
    check(STR("2[\"x\"] \n"), "event / name=x args=[]");
    check(STR("0{ } "), "connect / args={ }");
    check_refused(STR("21 2[\"x\"]"), "id");
    check_refused(STR("2[\"x\"]\v"), "JSON");
}

static void socketio__what_has_no_payload_is_accepted(void **state)
{
    (void)state;
    check(STR("2"), "event / args=[]");
    check(STR("2/a"), "event /a args=[]");
    check(STR("2/a,12"), "event /a id=12 args=[]");
    check(STR("3"), "ack / args=[]");
    check(STR("4"), "connect_error /");
    check(STR("51-"), "binary_event 1 / args=[]");
    check(STR("61-/a"), "binary_ack 1 /a args=[]");
}

static void socketio__names_are_decoded_in_place(void **state)
{
    (void)state;
    check(STR("2[\"caf\\u00e9 \\ud83d\\ude00\\n\",1]"), "event / name=caf\xc3\xa9 \xf0\x9f\x98\x80\n args=[1]");
    check(STR("2[\"\xe2\x82\xac\"]"), "event / name=\xe2\x82\xac args=[]");
    check(STR("2[\"\",\"\"]"), "event / name= args=[\"\"]");
    check_whole(STR("2[\"a\\u0000b\"]"), STR("event / name=a\0b args=[]"));
    check_refused(STR("2[\"\\ud800\"]"), "event");
}

static void socketio__a_name_may_be_a_number(void **state)
{
    (void)state;
    check(STR("2[1]"), "event / name=1 args=[]");
    check(STR("2[-1.5e3,\"a\"]"), "event / name=-1.5e3 args=[\"a\"]");
    check(STR("2[ 0 , 1 ]"), "event / name=0 args=[1 ]");
}

static void socketio__arguments_get_a_bracket_of_their_own(void **state)
{
    (void)state;
    check(STR("2[\"x\",[],{\"a\":[1,2]},null]"), "event / name=x args=[[],{\"a\":[1,2]},null]");
    check(STR("2[ \"x\" ,\n 1 , 2 ] "), "event / name=x args=[1 , 2 ]");
    check(STR("2[\"x\" ,1]"), "event / name=x args=[1]");
    check(STR("2[ \"x\" ] "), "event / name=x args=[]");
    check(STR("3[ ]"), "ack / args=[ ]");
    check(STR("2[\"x\",\"],[\"]"), "event / name=x args=[\"],[\"]");
}

static void socketio__reserved_names_are_refused(void **state)
{
    (void)state;
    static const char *const reserved[] = {"connect",       "connect_error", "disconnect",
                                           "disconnecting", "newListener",   "removeListener"};
    for (size_t i = 0; i < N_OF(reserved); i++) {
        buf text = {0};
        buf_printf(&text, "2[\"%s\",1]", reserved[i]);
        check_refused(buf_str(&text), "event");
        text.len = 0;
        buf_printf(&text, "51-[\"%s\"]", reserved[i]);
        check_refused(buf_str(&text), "event");
        text.len = 0;
        buf_printf(&text, "3[\"%s\"]", reserved[i]); /* the argument of an acknowledgement may be any */
        assert_null(socketio_read(text.at, text.len, &(socketio_packet){0}));
        buf_done(&text);
    }
    check_refused(STR("2[\"\\u0063onnect\"]"), "event");
    check(STR("2[\"Connect\"]"), "event / name=Connect args=[]");
    check(STR("2[\"connecting\"]"), "event / name=connecting args=[]");
    check(STR("2[\"connec\"]"), "event / name=connec args=[]");
    check_whole(STR("2[\"connect\\u0000\"]"), STR("event / name=connect\0 args=[]"));
}

static void socketio__says_what_is_wrong(void **state)
{
    (void)state;
    static const struct {
        str text;
        const char *problem;
    } refused[] = {
        {STR(""), "type"},
        {STR("7"), "type"},
        {STR("9[\"x\"]"), "type"},
        {STR("/[\"x\"]"), "type"},
        {STR("-1"), "type"},
        {STR("[\"x\"]"), "type"},
        {STR("\0"), "type"},
        {STR("\x08"), "type"},
        {STR("\x0e"), "type"},
        {STR("\xc2\xa0"), "type"},
        {STR("5"), "attachments"},
        {STR("51"), "attachments"},
        {STR("6[\"x\"]"), "attachments"},
        {STR("5-[\"x\"]"), "attachments"},
        {STR("50-[\"x\"]"), "attachments"},
        {STR("511-[\"x\"]"), "attachments"},
        {STR("599999999999999999999-[\"x\"]"), "attachments"},
        {STR("51x-[\"x\"]"), "attachments"},
        {STR("51.0-[\"x\"]"), "attachments"},
        {STR("50x1-[\"x\"]"), "attachments"},
        {STR("5+1-[\"x\"]"), "attachments"},
        {STR("5--1-[\"x\"]"), "attachments"},
        {STR("5/a,1-[\"x\"]"), "attachments"},
        {STR("51 1-[\"x\"]"), "attachments"},
        {STR("21-[\"x\"]"), "JSON"},
        {STR("0/a\n,"), "namespace"},
        {STR("0/\0"), "namespace"},
        {STR("0/\x1f"), "namespace"},
        {STR("0/\x7f,"), "namespace"},
        {STR("0/\xff,"), "namespace"},
        {STR("0/\xc3"), "namespace"},
        {STR("0a,"), "JSON"},
        {STR("0{"), "JSON"},
        {STR("2[\"x\"]1"), "JSON"},
        {STR("2[\"x\",]"), "JSON"},
        {STR("2[\"x\", ]"), "JSON"},
        {STR("2[\"x\",,1]"), "JSON"},
        {STR("2[\"x\",1,]"), "JSON"},
        {STR("2[\"x\",1"), "JSON"},
        {STR("2[\"x\","), "JSON"},
        {STR("2['x']"), "JSON"},
        {STR("2[\"\xff\"]"), "JSON"},
        {STR("2[\"x\",\"\xed\xa0\x80\"]"), "JSON"},
        {STR("2[\"\n\"]"), "JSON"},
        {STR("2NaN"), "JSON"},
        {STR("0[]"), "payload"},
        {STR("0null"), "payload"},
        {STR("0\"a\""), "payload"},
        {STR("0true"), "payload"},
        {STR("1{}"), "payload"},
        {STR("1null"), "payload"},
        {STR("1/a,[]"), "payload"},
        {STR("2{}"), "payload"},
        {STR("2\"x\""), "payload"},
        {STR("2null"), "payload"},
        {STR("3{}"), "payload"},
        {STR("3\"x\""), "payload"},
        {STR("4[]"), "payload"},
        {STR("4null"), "payload"},
        {STR("4false"), "payload"},
        {STR("51-{}"), "payload"},
        {STR("61-\"x\""), "payload"},
        {STR("2[]"), "event"},
        {STR("2[ ]"), "event"},
        {STR("2[null]"), "event"},
        {STR("2[true,\"x\"]"), "event"},
        {STR("2[[\"x\"]]"), "event"},
        {STR("2[{\"a\":1}]"), "event"},
        {STR("51-[]"), "event"},
        {STR("51-[\"x\",{\"_placeholder\":true,\"num\":1}]"), "placeholder"},
        {STR("61-[{\"a\":[{\"_placeholder\":true,\"num\":-1}]}]"), "placeholder"},
        {STR("510-[\"x\",{\"_placeholder\":true,\"num\":10}]"), "placeholder"},
        {STR("51-[\"x\",{\"_placeholder\":true}]"), "placeholder"},
    };
    for (size_t i = 0; i < N_OF(refused); i++)
        check_refused(refused[i].text, refused[i].problem);
}

static void socketio__takes_up_to_ten_attachments(void **state)
{
    (void)state;
    check(STR("510-[\"x\",{\"_placeholder\":true,\"num\":9}]"),
          "binary_event 10 / name=x args=[{\"_placeholder\":true,\"num\":9}]");
    check(STR("5001-[\"x\"]"), "binary_event 1 / name=x args=[]");
    /* To a packet that says nothing of attachments a placeholder is an object like others. */
    check(STR("2[\"x\",{\"_placeholder\":true,\"num\":0}]"), "event / name=x args=[{\"_placeholder\":true,\"num\":0}]");
}

static void socketio__takes_json_as_deep_as_json_may_be(void **state)
{
    (void)state;
    for (size_t depth = JSON_MAX_DEPTH - 1; depth <= JSON_MAX_DEPTH; depth++) {
        char text[3 * JSON_MAX_DEPTH];
        size_t n = (size_t)snprintf(text, sizeof text, "51-[1,");
        memset(text + n, '[', depth);
        memset(text + n + depth, ']', depth + 1);
        n += 2 * depth + 1;
        const char *problem = socketio_read(text, n, &(socketio_packet){0});
        if (depth < JSON_MAX_DEPTH)
            assert_null(problem);
        else
            assert_string_equal(problem, "JSON");
    }
}

static void socketio__knows_arguments_that_are_none(void **state)
{
    (void)state;
    assert_true(socketio_no_args(STR("[]")));
    assert_true(socketio_no_args(STR(" [ \n ] ")));
    assert_false(socketio_no_args(STR("[0]")));
    assert_false(socketio_no_args(STR("[ [] ]")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(socketio__reads_every_type),
        cmocka_unit_test(socketio__a_namespace_ends_at_a_comma_or_with_the_packet),
        cmocka_unit_test(socketio__ids_are_digits),
        cmocka_unit_test(socketio__white_space_counts_as_the_reference_counts_it),
        cmocka_unit_test(socketio__what_has_no_payload_is_accepted),
        cmocka_unit_test(socketio__names_are_decoded_in_place),
        cmocka_unit_test(socketio__a_name_may_be_a_number),
        cmocka_unit_test(socketio__arguments_get_a_bracket_of_their_own),
        cmocka_unit_test(socketio__reserved_names_are_refused),
        cmocka_unit_test(socketio__says_what_is_wrong),
        cmocka_unit_test(socketio__takes_up_to_ten_attachments),
        cmocka_unit_test(socketio__takes_json_as_deep_as_json_may_be),
        cmocka_unit_test(socketio__knows_arguments_that_are_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
