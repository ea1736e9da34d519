#include "bench/flight.h"
#include "support/check.h"

static void flight__remembers_when_each_went_out(void **state)
{
    (void)state;
    bench_flight flight = {0};
    uint64_t n_skipped;
    assert_int_equal(bench_flight_init(&flight, 16), 0);
    for (uint64_t n = 0; n < 16; n++)
        assert_int_equal(bench_flight_push(&flight, 1000 + n), n);
    for (uint64_t n = 0; n < 10000; n++) {
        assert_int_equal(bench_order_take(&flight.order, n, &n_skipped), BENCH_IN_ORDER);
        assert_int_equal(bench_flight_sent_ns(&flight, n), 1000 + n);
        assert_int_equal(bench_flight_push(&flight, 1016 + n), 16 + n);
    }
    assert_true(flight.mask < 256); /* nothing was lost: no more room was needed */
    bench_flight_done(&flight);
}

/* By the clock there may be any number in flight. */
static void flight__grows(void **state)
{
    (void)state;
    bench_flight flight = {0};
    uint64_t n_skipped;
    assert_int_equal(bench_flight_init(&flight, 1), 0);
    for (uint64_t n = 0; n < 5000; n++)
        assert_int_equal(bench_flight_push(&flight, 7 * n), n);
    for (uint64_t n = 0; n < 5000; n++) {
        bench_order_take(&flight.order, n, &n_skipped);
        assert_int_equal(bench_flight_sent_ns(&flight, n), 7 * n);
    }
    bench_flight_done(&flight);
}

/* A message that is skipped and comes late still has its time, as far back as the order remembers. */
static void flight__keeps_the_times_of_late_ones(void **state)
{
    (void)state;
    bench_flight flight = {0};
    uint64_t n_skipped, next = 0;
    assert_int_equal(bench_flight_init(&flight, 64), 0);
    while (next < 64)
        bench_flight_push(&flight, 5 * next++);
    for (uint64_t n = 1; n < BENCH_ORDER_MEMORY; n++) {
        bench_order_take(&flight.order, n, &n_skipped);
        bench_flight_push(&flight, 5 * next++);
    }
    assert_int_equal(bench_order_take(&flight.order, 0, &n_skipped), BENCH_LATE);
    assert_int_equal(bench_flight_sent_ns(&flight, 0), 0);
    assert_int_equal(bench_flight_sent_ns(&flight, next - 1), 5 * (next - 1));
    bench_flight_done(&flight);
}

static int grow_a_flight(void)
{
    bench_flight flight = {0};
    int error = bench_flight_init(&flight, 1);
    for (uint64_t n = 0; !error && n < 300; n++)
        error = bench_flight_push(&flight, n) == n ? 0 : -1;
    for (uint64_t n = 0; !error && n < 300; n++)
        assert_int_equal(bench_flight_sent_ns(&flight, n), n);
    bench_flight_done(&flight);
    return error;
}

static void flight__out_of_memory_sends_nothing(void **state)
{
    (void)state;
    check_failing_allocations(grow_a_flight);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flight__remembers_when_each_went_out),
        cmocka_unit_test(flight__grows),
        cmocka_unit_test(flight__keeps_the_times_of_late_ones),
        cmocka_unit_test(flight__out_of_memory_sends_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
