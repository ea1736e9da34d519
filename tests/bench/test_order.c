#include "bench/order.h"
#include "support/check.h"

static bench_order order;
static uint64_t n_skipped;

static int start(void **state)
{
    (void)state;
    order = (bench_order){0};
    return 0;
}

static bench_place take(uint64_t number)
{
    return bench_order_take(&order, number, &n_skipped);
}

static void order__one_after_the_other(void **state)
{
    (void)state;
    for (uint64_t n = 0; n < 1000; n++) {
        assert_int_equal(take(n), BENCH_IN_ORDER);
        assert_int_equal(n_skipped, 0);
    }
    assert_int_equal(order.next, 1000);
}

static void order__the_same_again_is_doubled(void **state)
{
    (void)state;
    take(0);
    assert_int_equal(take(0), BENCH_DOUBLED);
    take(1);
    assert_int_equal(take(0), BENCH_DOUBLED);
    assert_int_equal(take(1), BENCH_DOUBLED);
    assert_int_equal(take(2), BENCH_IN_ORDER);
}

static void order__a_gap_says_how_many_were_skipped(void **state)
{
    (void)state;
    take(0);
    assert_int_equal(take(4), BENCH_IN_ORDER);
    assert_int_equal(n_skipped, 3);
    assert_int_equal(take(5), BENCH_IN_ORDER);
    assert_int_equal(n_skipped, 0);
}

static void order__the_first_may_be_skipped(void **state)
{
    (void)state;
    assert_int_equal(take(2), BENCH_IN_ORDER);
    assert_int_equal(n_skipped, 2);
    assert_int_equal(take(0), BENCH_LATE);
    assert_int_equal(take(1), BENCH_LATE);
    assert_int_equal(take(1), BENCH_DOUBLED);
}

static void order__late_once_then_doubled(void **state)
{
    (void)state;
    take(0);
    take(3);
    assert_int_equal(take(1), BENCH_LATE);
    assert_int_equal(n_skipped, 0);
    assert_int_equal(take(1), BENCH_DOUBLED);
    assert_int_equal(take(2), BENCH_LATE);
    assert_int_equal(take(4), BENCH_IN_ORDER);
    assert_int_equal(n_skipped, 0);
}

/* For every gap up to beyond what is remembered. */
static void order__late_is_remembered_for_so_many(void **state)
{
    (void)state;
    for (uint64_t gap = 1; gap < 200; gap++) {
        start(NULL);
        take(0);
        take(gap + 1);
        assert_int_equal(n_skipped, gap);
        assert_int_equal(take(0), BENCH_DOUBLED);
        assert_int_equal(take(1), gap < BENCH_ORDER_MEMORY ? BENCH_LATE : BENCH_DOUBLED);
        assert_int_equal(take(gap + 1), BENCH_DOUBLED);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(order__one_after_the_other, start),
        cmocka_unit_test_setup(order__the_same_again_is_doubled, start),
        cmocka_unit_test_setup(order__a_gap_says_how_many_were_skipped, start),
        cmocka_unit_test_setup(order__the_first_may_be_skipped, start),
        cmocka_unit_test_setup(order__late_once_then_doubled, start),
        cmocka_unit_test_setup(order__late_is_remembered_for_so_many, start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
