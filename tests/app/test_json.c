#include "support/check.h"

#include <string.h>
#include <weft/json.h>

static weft_socketio_event event_of(const char *args)
{
    return (weft_socketio_event){.args = {args, args ? strlen(args) : 0}};
}

static void arguments__are_an_array_of_values(void **state)
{
    (void)state;
    const weft_socketio_event event = event_of("[\"Jude\",{\"age\":7},[],null,\"a\\u0000b\"]");
    json_t *args = weft_json_arguments(&event);
    const char *name;
    int age;
    json_t *list, *nothing, *nul;
    assert_non_null(args);
    assert_int_equal(json_unpack(args, "[s{s:i}ooo]", &name, "age", &age, &list, &nothing, &nul), 0);
    assert_string_equal(name, "Jude");
    assert_int_equal(age, 7);
    assert_int_equal(json_array_size(list), 0);
    assert_true(json_is_null(nothing));
    assert_int_equal(json_string_length(nul), 3);
    json_decref(args);
}

static void arguments__of_an_event_without_any_are_an_empty_array(void **state)
{
    (void)state;
    const weft_socketio_event event = {0};
    json_t *args = weft_json_arguments(&event);
    assert_true(json_is_array(args));
    assert_int_equal(json_array_size(args), 0);
    json_decref(args);
}

static void arguments__with_an_integer_too_large_are_reals(void **state)
{
    (void)state;
    const weft_socketio_event event = event_of("[100000000000000000000,1]");
    json_t *args = weft_json_arguments(&event);
    assert_non_null(args);
    assert_true(json_is_real(json_array_get(args, 0)));
    assert_true(json_is_real(json_array_get(args, 1)));
    json_decref(args);
}

static void arguments__that_jansson_cannot_hold_are_none(void **state)
{
    (void)state;
    static const char *const args[] = {"[\"\\ud83d\"]", "[1e999]", "[1", ""};
    for (size_t i = 0; i < N_OF(args); i++) {
        const weft_socketio_event event = event_of(args[i]);
        assert_null(weft_json_arguments(&event));
    }
}

/** To nobody: what is wrong with the arguments is seen first. */
static void sending__wants_an_array_or_nothing(void **state)
{
    (void)state;
    json_t *object = json_object(), *array = json_pack("[s]", "x");
    weft *app = weft_new(NULL);
    weft_socketio_ack ack = {{0}, 0};
    assert_int_equal(weft_json_emit((weft_peer){0}, "hi", object), WEFT_E_INVALID);
    assert_int_equal(weft_json_emit((weft_peer){0}, "hi", array), WEFT_E_CLOSED);
    assert_int_equal(weft_json_emit((weft_peer){0}, "hi", NULL), WEFT_E_CLOSED);
    assert_int_equal(weft_json_acknowledge(ack, object), WEFT_E_INVALID);
    assert_true(weft_json_acknowledge(ack, array) < 0);
    assert_int_equal(weft_json_broadcast(app, NULL, "hi", object), WEFT_E_INVALID);
    assert_int_equal(weft_json_broadcast(app, NULL, "hi", array), WEFT_E_INVALID); /* no Socket.IO here */
    assert_int_equal(weft_socketio(app, "/socket.io/", &(weft_socketio_options){0}), 0);
    assert_int_equal(weft_json_broadcast(app, NULL, "hi", array), 0);
    assert_int_equal(weft_json_broadcast(app, NULL, "hi", NULL), 0);
    assert_int_equal(json_array_size(array), 1); /* still ours */
    json_decref(object);
    json_decref(array);
    weft_free(app);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arguments__are_an_array_of_values),
        cmocka_unit_test(arguments__of_an_event_without_any_are_an_empty_array),
        cmocka_unit_test(arguments__with_an_integer_too_large_are_reals),
        cmocka_unit_test(arguments__that_jansson_cannot_hold_are_none),
        cmocka_unit_test(sending__wants_an_array_or_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
