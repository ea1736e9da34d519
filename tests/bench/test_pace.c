#include "bench/pace.h"
#include "bench/worker.h"
#include "support/check.h"

static loop l;
static bench_pace pace;
static uint64_t n_beats, last_ns, stop_at;

static void beat(bench_pace *p, uint64_t due_ns)
{
    assert_ptr_equal(p, &pace);
    assert_true(due_ns > last_ns);
    last_ns = due_ns;
    if (++n_beats == stop_at)
        bench_pace_stop(p);
}

static void start(double per_second)
{
    n_beats = last_ns = stop_at = 0;
    assert_int_equal(loop_init(&l, NULL), 0);
    assert_int_equal(bench_pace_start(&pace, &l, per_second, beat), 0);
}

static void finish(void)
{
    bench_pace_stop(&pace);
    loop_done(&l);
}

static void wait_until(uint64_t at_ns)
{
    while (bench_now_ns() < at_ns)
        ;
}

static void pace__beats_by_the_clock(void **state)
{
    (void)state;
    start(2000);
    uint64_t end_ns = pace.from_ns + 50000000;
    while (n_beats < 100)
        assert_int_equal(loop_step(&l, 1000), 0);
    assert_true(bench_now_ns() >= end_ns);
    assert_int_equal(last_ns, end_ns);
    finish();
}

/* Late by 20 beats, it makes up for them, and each knows when it was due. */
static void pace__catches_up(void **state)
{
    (void)state;
    start(1000);
    wait_until(pace.from_ns + 20500000);
    assert_int_equal(loop_step(&l, 1000), 0);
    assert_true(n_beats >= 20);
    assert_int_equal(last_ns, pace.from_ns + n_beats * 1000000);
    finish();
}

static void pace__end_makes_up_for_what_was_due_before(void **state)
{
    (void)state;
    start(1e6);
    wait_until(pace.from_ns + 20000000);
    assert_int_equal(bench_pace_end(&pace, pace.from_ns + 10000000), 0);
    assert_int_equal(n_beats, 10000);
    assert_int_equal(bench_pace_end(&pace, UINT64_MAX), 0);
    assert_int_equal(n_beats, 10000);
    finish();
}

/* What nobody could do in time does not take all of it, and is told. */
static void pace__end_tells_what_was_too_much(void **state)
{
    (void)state;
    start(1e9);
    uint64_t n_over = bench_pace_end(&pace, pace.from_ns + 1000000000);
    assert_in_range(n_over, 900000000, 999999999);
    assert_int_equal(n_beats + n_over, 1000000000);
    finish();
}

static void pace__may_be_stopped_by_a_beat(void **state)
{
    (void)state;
    start(1e6);
    stop_at = 3;
    wait_until(pace.from_ns + 1000000);
    assert_int_equal(loop_step(&l, 1000), 0);
    assert_int_equal(n_beats, 3);
    finish();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pace__beats_by_the_clock),
        cmocka_unit_test(pace__catches_up),
        cmocka_unit_test(pace__end_makes_up_for_what_was_due_before),
        cmocka_unit_test(pace__end_tells_what_was_too_much),
        cmocka_unit_test(pace__may_be_stopped_by_a_beat),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
