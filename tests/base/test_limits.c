#include "base/limits.h"
#include "support/check.h"
#include <string.h>

static void limits__each_has_a_name_of_its_own(void **state)
{
    (void)state;
    for (int i = 0; i < N_LIMITS; i++) {
        assert_non_null(limit_name((limit_id)i));
        for (int k = 0; k < i; k++)
            assert_string_not_equal(limit_name((limit_id)i), limit_name((limit_id)k));
    }
}

static void limits__are_counted_each_for_itself(void **state)
{
    (void)state;
    limits l = {0};
    assert_string_equal(limit_count(&l, LIMIT_BODY_BYTES), "max_body_bytes");
    limit_count(&l, LIMIT_BODY_BYTES);
    limit_count(&l, LIMIT_HOSTS);
    assert_int_equal(l.n[LIMIT_BODY_BYTES], 2);
    assert_int_equal(l.n[LIMIT_HOSTS], 1);
    assert_int_equal(l.n[LIMIT_ORIGINS], 0);
}

static void limits__are_told_once_a_minute(void **state)
{
    (void)state;
    static const uint64_t starts[] = {1, 5000000};
    for (size_t i = 0; i < N_OF(starts); i++) {
        limits l = {0};
        assert_true(limit_tell(&l, LIMIT_HOSTS, starts[i]));
        assert_false(limit_tell(&l, LIMIT_HOSTS, starts[i]));
        assert_false(limit_tell(&l, LIMIT_HOSTS, starts[i] + LIMIT_TELL_MS - 1));
        assert_true(limit_tell(&l, LIMIT_ORIGINS, starts[i]));
        assert_true(limit_tell(&l, LIMIT_HOSTS, starts[i] + LIMIT_TELL_MS + 1));
        assert_false(limit_tell(&l, LIMIT_HOSTS, starts[i] + LIMIT_TELL_MS + 2));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(limits__each_has_a_name_of_its_own),
        cmocka_unit_test(limits__are_counted_each_for_itself),
        cmocka_unit_test(limits__are_told_once_a_minute),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
