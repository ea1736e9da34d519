#include "base/histogram.h"
#include "support/check.h"

static void histogram__bounds_belong_to_their_buckets(void **state)
{
    (void)state;
    for (int i = 0; i < HISTOGRAM_BOUNDS; i++) {
        histogram h = {0};
        uint64_t us = (uint64_t)histogram_bounds_ms[i] * 1000;
        histogram_add(&h, us);
        assert_int_equal(h.n[i], 1);
        histogram_add(&h, us + 1);
        assert_int_equal(h.n[i + 1], 1);
        assert_int_equal(h.sum_us, 2 * us + 1);
    }
}

static void histogram__bounds_ascend_from_1_ms_to_10_s(void **state)
{
    (void)state;
    assert_int_equal(histogram_bounds_ms[0], 1);
    assert_int_equal(histogram_bounds_ms[HISTOGRAM_BOUNDS - 1], 10000);
    for (int i = 1; i < HISTOGRAM_BOUNDS; i++)
        assert_true(histogram_bounds_ms[i] > histogram_bounds_ms[i - 1]);
}

static void histogram__takes_anything(void **state)
{
    (void)state;
    histogram h = {0};
    histogram_add(&h, 0);
    histogram_add(&h, UINT32_MAX);
    assert_int_equal(h.n[0], 1);
    assert_int_equal(h.n[HISTOGRAM_BOUNDS], 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(histogram__bounds_belong_to_their_buckets),
        cmocka_unit_test(histogram__bounds_ascend_from_1_ms_to_10_s),
        cmocka_unit_test(histogram__takes_anything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
