#include "base/bucket.h"
#include "support/check.h"

/* How many of n events pass at the given times, each refused when it would have to wait. */
static unsigned passing(bucket *b, uint64_t per_s, unsigned n, uint64_t now_ms)
{
    unsigned passed = 0;
    for (unsigned i = 0; i < n; i++) {
        bucket more;
        bucket_leak(b, per_s, now_ms);
        more = *b;
        bucket_fill(&more, 1);
        if (bucket_wait_ms(&more, per_s))
            continue;
        *b = more;
        passed++;
    }
    return passed;
}

static void bucket__takes_a_burst_and_then_the_rate(void **state)
{
    (void)state;
    bucket b = {0};
    uint64_t now_ms = 12345;
    assert_int_equal(passing(&b, 5, 1000, now_ms), 50);
    assert_int_equal(passing(&b, 5, 1000, now_ms + 199), 0);
    assert_int_equal(passing(&b, 5, 1000, now_ms + 200), 1);
    assert_int_equal(passing(&b, 5, 1000, now_ms + 1200), 5);
    assert_int_equal(passing(&b, 5, 1000, now_ms + 1000000), 50); /* a rest fills up no more than one burst */
}

static void bucket__says_how_long_to_wait(void **state)
{
    (void)state;
    bucket b = {0};
    bucket_leak(&b, 4, 1000);
    bucket_fill(&b, 40);
    assert_int_equal(bucket_wait_ms(&b, 4), 0);
    bucket_fill(&b, 1);
    assert_int_equal(bucket_wait_ms(&b, 4), 250);
    bucket_leak(&b, 4, 1249);
    assert_int_equal(bucket_wait_ms(&b, 4), 1);
    bucket_leak(&b, 4, 1250);
    assert_int_equal(bucket_wait_ms(&b, 4), 0);
}

/* A message may be far larger than the bucket, and a rate as large as there are numbers. */
static void bucket__overflows_nowhere(void **state)
{
    (void)state;
    static const uint64_t rates[] = {1, 1000, BUCKET_MAX_PER_S - 1, BUCKET_MAX_PER_S, UINT64_MAX};
    for (size_t i = 0; i < N_OF(rates); i++) {
        bucket b = {0};
        bucket_leak(&b, rates[i], UINT64_MAX / 2);
        for (int k = 0; k < 10; k++)
            bucket_fill(&b, UINT64_MAX);
        assert_true(b.level >= BUCKET_MAX_PER_S * 10);
        bucket_leak(&b, rates[i], UINT64_MAX / 2 + 1);
        assert_true(bucket_wait_ms(&b, rates[i]) <= BUCKET_MAX_PER_S * 10000);
        bucket_leak(&b, rates[i], UINT64_MAX);
        assert_int_equal(b.level, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bucket__takes_a_burst_and_then_the_rate),
        cmocka_unit_test(bucket__says_how_long_to_wait),
        cmocka_unit_test(bucket__overflows_nowhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
