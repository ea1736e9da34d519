#include "bench/latency.h"
#include "support/check.h"

#include <string.h>

static bench_latency latency;

static int start(void **state)
{
    (void)state;
    memset(&latency, 0, sizeof latency);
    return 0;
}

static void latency__empty_is_zero(void **state)
{
    (void)state;
    assert_int_equal(bench_latency_at(&latency, 50), 0);
    assert_int_equal(bench_latency_at(&latency, 100), 0);
}

static void latency__one_value_is_every_percentile(void **state)
{
    (void)state;
    bench_latency_add(&latency, 1234567);
    for (int percent = 0; percent <= 100; percent += 10)
        assert_int_equal(bench_latency_at(&latency, percent), 1234567);
}

/* From a microsecond to an hour: what is told is at least what was, and at most 1 part in 64 (or the microsecond) more. */
static void latency__is_exact_to_one_part_in_64(void **state)
{
    (void)state;
    for (uint64_t ns = 1000; ns < UINT64_C(3600) * 1000000000; ns = ns * 21 / 20 + 7) {
        start(NULL);
        bench_latency_add(&latency, ns);
        bench_latency_add(&latency, UINT64_C(3600) * 1000000000);
        uint64_t told = bench_latency_at(&latency, 50);
        assert_true(told >= ns && told <= ns + ns / 64 + 1000);
    }
}

static void latency__percentiles_count(void **state)
{
    (void)state;
    for (uint64_t us = 1; us <= 1000; us++)
        bench_latency_add(&latency, us * 1000);
    assert_in_range(bench_latency_at(&latency, 50), 500 * 1000, 509 * 1000);
    assert_in_range(bench_latency_at(&latency, 99), 990 * 1000, 1000 * 1000);
    assert_int_equal(bench_latency_at(&latency, 100), 1000 * 1000);
    assert_int_equal(latency.least_ns, 1000);
    assert_int_equal(latency.most_ns, 1000 * 1000);
}

static void latency__longer_than_an_hour_is_in_the_last_bucket(void **state)
{
    (void)state;
    bench_latency_add(&latency, UINT64_MAX);
    assert_int_equal(latency.counts[BENCH_LATENCY_BUCKETS - 1], 1);
    assert_int_equal(bench_latency_at(&latency, 100), bench_latency_bucket_ns(BENCH_LATENCY_BUCKETS - 1));
}

static void latency__buckets_ascend(void **state)
{
    (void)state;
    for (unsigned i = 1; i < BENCH_LATENCY_BUCKETS; i++)
        assert_true(bench_latency_bucket_ns(i) > bench_latency_bucket_ns(i - 1));
}

static void latency__merged_is_as_if_added_to_one(void **state)
{
    (void)state;
    static bench_latency one, other, both;
    memset(&one, 0, sizeof one);
    for (uint64_t i = 1; i < 5000; i++) {
        bench_latency_add(i % 3 ? &one : &other, i * i * 100);
        bench_latency_add(&both, i * i * 100);
    }
    bench_latency_merge(&latency, &one);
    bench_latency_merge(&latency, &other);
    bench_latency_merge(&latency, &(bench_latency){0});
    assert_memory_equal(&latency, &both, sizeof both);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(latency__empty_is_zero, start),
        cmocka_unit_test_setup(latency__one_value_is_every_percentile, start),
        cmocka_unit_test_setup(latency__is_exact_to_one_part_in_64, start),
        cmocka_unit_test_setup(latency__percentiles_count, start),
        cmocka_unit_test_setup(latency__longer_than_an_hour_is_in_the_last_bucket, start),
        cmocka_unit_test_setup(latency__buckets_ascend, start),
        cmocka_unit_test_setup(latency__merged_is_as_if_added_to_one, start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
