#include "base/texts.h"
#include "support/check.h"
#include <errno.h>
#include <string.h>

static void texts__copies_are_deep(void **state)
{
    (void)state;
    char one[] = "one", empty[] = "";
    const char *list[] = {one, empty, "three", NULL};
    const char *const *copy;
    assert_int_equal(texts_copy(list, &copy), 0);
    one[0] = 'x';
    list[1] = list[2] = "gone";
    assert_string_equal(copy[0], "one");
    assert_string_equal(copy[1], "");
    assert_string_equal(copy[2], "three");
    assert_null(copy[3]);
    texts_free(copy);
}

static void texts__nothing_and_none_differ(void **state)
{
    (void)state;
    static const char *const none[] = {NULL};
    const char *const *copy = none;
    assert_int_equal(texts_copy(NULL, &copy), 0);
    assert_null(copy);
    assert_int_equal(texts_copy(none, &copy), 0);
    assert_non_null(copy);
    assert_null(copy[0]);
    texts_free(copy);
    texts_free(NULL);
}

static int copy_and_free(void)
{
    static const char *const list[] = {"one", "two", "three", NULL};
    const char *const *copy;
    int error = texts_copy(list, &copy);
    if (error) {
        assert_int_equal(error, -ENOMEM);
        assert_null(copy);
        return error;
    }
    assert_string_equal(copy[2], "three");
    texts_free(copy);
    return 0;
}

static void texts__copied_without_memory_leak_nothing(void **state)
{
    (void)state;
    check_failing_allocations(copy_and_free);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts__copies_are_deep),
        cmocka_unit_test(texts__nothing_and_none_differ),
        cmocka_unit_test(texts__copied_without_memory_leak_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
