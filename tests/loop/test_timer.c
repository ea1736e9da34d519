#include "loop/timer.h"
#include "support/check.h"
#include <stdlib.h>
#include <string.h>
#include <time.h>

static timer_wheel wheel;
static uint64_t n_fired;

/* A timer and what the naive model knows of it. */
typedef struct {
    timer t;
    bool armed;
    uint64_t due_ms;  /* the later of its time and the clock when it was armed */
    uint64_t advance; /* the number of the advance during or after which it was armed */
} entry;

static void count_fired(timer *t)
{
    assert_false(timer_armed(t));
    n_fired++;
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static uint64_t random_state;

static uint64_t random_below(uint64_t limit)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state % limit;
}

/* As often short as long: a random number of a random number of bits. */
static uint64_t random_span(unsigned max_bits)
{
    return random_below(UINT64_C(1) << random_below(max_bits + 1));
}

/* ---- one rule at a time ---- */

static void timer__is_four_words(void **state)
{
    (void)state;
    assert_int_equal(sizeof(timer), 4 * sizeof(void *));
}

static void timer__never_fires_early(void **state)
{
    (void)state;
    for (unsigned bits = 0; bits < 36; bits++) {
        uint64_t at_ms = 1000 + (UINT64_C(1) << bits);
        timer t = {0};
        wheel_init(&wheel, 1000);
        wheel_arm(&wheel, &t, at_ms, count_fired);
        assert_int_equal(wheel_advance(&wheel, at_ms - 1), 0);
        assert_true(timer_armed(&t));
        assert_int_equal(wheel_wait_ms(&wheel), 1);
        assert_int_equal(wheel_advance(&wheel, at_ms), 1);
        assert_false(timer_armed(&t));
        assert_int_equal(wheel.n_armed, 0);
    }
}

static void timer__in_the_past_fires_in_the_next_advance(void **state)
{
    (void)state;
    timer past = {0}, now = {0};
    wheel_init(&wheel, 500);
    wheel_arm(&wheel, &past, 3, count_fired);
    wheel_arm(&wheel, &now, 500, count_fired);
    assert_int_equal(wheel_wait_ms(&wheel), 0);
    assert_int_equal(wheel_advance(&wheel, 500), 2);
    assert_int_equal(wheel_wait_ms(&wheel), UINT64_MAX);
}

static void timer__clock_does_not_go_back(void **state)
{
    (void)state;
    timer t = {0};
    wheel_init(&wheel, 500);
    wheel_arm(&wheel, &t, 510, count_fired);
    assert_int_equal(wheel_advance(&wheel, 400), 0);
    assert_int_equal(wheel.now_ms, 500);
    assert_int_equal(wheel_advance(&wheel, 510), 1);
}

static void timer__cancelled_does_not_fire(void **state)
{
    (void)state;
    timer t[3] = {0};
    wheel_init(&wheel, 0);
    wheel_cancel(&wheel, &t[0]);
    for (int i = 0; i < 3; i++)
        wheel_arm(&wheel, &t[i], 70, count_fired);
    wheel_cancel(&wheel, &t[1]);
    wheel_cancel(&wheel, &t[1]);
    assert_int_equal(wheel.n_armed, 2);
    assert_int_equal(wheel_advance(&wheel, 100), 2);
    wheel_arm(&wheel, &t[0], 5, count_fired);
    wheel_arm(&wheel, &t[1], 5, count_fired);
    wheel_cancel(&wheel, &t[1]);
    wheel_arm(&wheel, &t[2], 5, count_fired);
    assert_int_equal(wheel_advance(&wheel, 100), 2);
}

static void timer__a_wheel_of_cancelled_timers_waits_for_ever(void **state)
{
    (void)state;
    for (unsigned bits = 0; bits < 36; bits++) {
        timer a = {0}, b = {0};
        wheel_init(&wheel, 7);
        wheel_arm(&wheel, &a, 7 + (UINT64_C(1) << bits), count_fired);
        wheel_arm(&wheel, &b, 7 + (UINT64_C(1) << bits), count_fired);
        wheel_cancel(&wheel, &a);
        assert_true(wheel_wait_ms(&wheel) <= UINT64_C(1) << bits);
        wheel_cancel(&wheel, &b);
        assert_int_equal(wheel_wait_ms(&wheel), UINT64_MAX);
    }
}

static void timer__armed_again_moves(void **state)
{
    (void)state;
    timer t = {0};
    wheel_init(&wheel, 0);
    wheel_arm(&wheel, &t, 10, count_fired);
    wheel_arm(&wheel, &t, 5000, count_fired);
    assert_int_equal(wheel.n_armed, 1);
    assert_int_equal(wheel_advance(&wheel, 4999), 0);
    wheel_arm(&wheel, &t, 5001, count_fired);
    assert_int_equal(wheel_advance(&wheel, 5000), 0);
    assert_int_equal(wheel_advance(&wheel, 5001), 1);
}

static void timer__beyond_the_wheel_is_clamped_to_about_two_years(void **state)
{
    (void)state;
    const uint64_t day_ms = 24 * 3600 * 1000;
    timer t = {0};
    wheel_init(&wheel, 123456789);
    wheel_arm(&wheel, &t, UINT64_MAX, count_fired);
    assert_true(wheel_wait_ms(&wheel) < UINT64_MAX);
    assert_int_equal(wheel_advance(&wheel, 123456789 + 700 * day_ms), 0);
    assert_int_equal(wheel_advance(&wheel, 123456789 + 800 * day_ms), 1);
}

static void timer__fires_over_the_seam_of_the_top_level(void **state)
{
    (void)state;
    const uint64_t seam = UINT64_C(1) << 36;
    timer t[3] = {0};
    wheel_init(&wheel, seam - 2);
    wheel_arm(&wheel, &t[0], seam - 1, count_fired);
    wheel_arm(&wheel, &t[1], seam, count_fired);
    wheel_arm(&wheel, &t[2], seam + (seam / 2), count_fired);
    assert_int_equal(wheel_advance(&wheel, seam - 1), 1);
    assert_int_equal(wheel_wait_ms(&wheel), 1);
    assert_int_equal(wheel_advance(&wheel, seam), 1);
    assert_int_equal(wheel_advance(&wheel, seam + (seam / 2) - 1), 0);
    assert_int_equal(wheel_advance(&wheel, seam + (seam / 2)), 1);
}

/* Whoever sleeps for wheel_wait_ms() wakes at most once a level before the timer. */
static void timer__is_reached_in_a_few_waits(void **state)
{
    (void)state;
    random_state = 11;
    for (int i = 0; i < 1000; i++) {
        uint64_t at_ms = 77 + random_span(35);
        timer t = {0};
        wheel_init(&wheel, 77);
        wheel_arm(&wheel, &t, at_ms, count_fired);
        int n_waits = 0;
        for (; timer_armed(&t); n_waits++) {
            wheel_advance(&wheel, wheel.now_ms + wheel_wait_ms(&wheel));
            assert_true(wheel.now_ms <= at_ms);
        }
        assert_int_equal(wheel.now_ms, at_ms);
        assert_true(n_waits <= WHEEL_LEVELS);
    }
}

/* ---- from inside fire() ---- */

static void arm_for_now(timer *t)
{
    n_fired++;
    wheel_arm(&wheel, t, n_fired % 2 ? wheel.now_ms : 0, arm_for_now);
}

static void timer__armed_for_now_by_fire_waits_for_the_next_advance(void **state)
{
    (void)state;
    timer t = {0};
    n_fired = 0;
    wheel_init(&wheel, 0);
    wheel_arm(&wheel, &t, 10, arm_for_now);
    assert_int_equal(wheel_advance(&wheel, 100), 1);
    assert_int_equal(wheel_advance(&wheel, 100), 1);
    assert_int_equal(wheel_advance(&wheel, 101), 1);
    assert_int_equal(n_fired, 3);
}

enum { CROWD = 5 };

static timer *crowd[CROWD];

static void free_the_others(timer *t)
{
    n_fired++;
    for (int i = 0; i < CROWD; i++) {
        if (crowd[i] != t)
            wheel_cancel(&wheel, crowd[i]);
        mem_free(crowd[i]);
    }
}

static void timer__fire_may_free_all_that_are_due_with_it(void **state)
{
    (void)state;
    n_fired = 0;
    wheel_init(&wheel, 0);
    for (int i = 0; i < CROWD; i++) {
        crowd[i] = mem_zero(sizeof *crowd[i]);
        assert_non_null(crowd[i]);
        wheel_arm(&wheel, crowd[i], 20, free_the_others);
    }
    assert_int_equal(wheel_advance(&wheel, 30), 1);
    assert_int_equal(n_fired, 1);
    assert_int_equal(wheel.n_armed, 0);
}

/* ---- against a model ---- */

enum { N_ENTRIES = 48 };

static struct {
    entry entries[N_ENTRIES];
    uint64_t now_ms;
    uint64_t n_advances;
    uint64_t last_due_ms; /* of the advance under way */
    bool in_advance;
} model;

static void model_fired(timer *t);

static void model_arm(entry *e)
{
    uint64_t at_ms = model.now_ms + random_span(35);
    if (random_below(5) == 0) {
        uint64_t back_ms = random_span(20);
        at_ms = back_ms < model.now_ms ? model.now_ms - back_ms : 0;
    }
    wheel_arm(&wheel, &e->t, at_ms, model_fired);
    e->armed = true;
    e->due_ms = at_ms > model.now_ms ? at_ms : model.now_ms;
    e->advance = model.n_advances;
}

static void model_cancel(entry *e)
{
    wheel_cancel(&wheel, &e->t);
    e->armed = false;
}

static void model_change(void)
{
    entry *e = &model.entries[random_below(N_ENTRIES)];
    if (random_below(3))
        model_arm(e);
    else
        model_cancel(e);
}

static void model_fired(timer *t)
{
    entry *e = (entry *)t;
    assert_true(model.in_advance && e->armed && !timer_armed(t));
    assert_true(e->advance < model.n_advances);
    assert_true(e->due_ms <= model.now_ms);
    assert_true(e->due_ms >= model.last_due_ms);
    model.last_due_ms = e->due_ms;
    e->armed = false;
    for (uint64_t n = random_below(4); n > 0; n--)
        model_change();
}

static void model_advance(void)
{
    model.now_ms += random_span(36);
    model.n_advances++;
    model.last_due_ms = 0;
    model.in_advance = true;
    wheel_advance(&wheel, model.now_ms);
    model.in_advance = false;
    for (int i = 0; i < N_ENTRIES; i++) {
        const entry *e = &model.entries[i];
        assert_false(e->armed && e->advance < model.n_advances && e->due_ms <= model.now_ms);
    }
}

static void model_compare(void)
{
    uint64_t n_armed = 0, first_ms = UINT64_MAX;
    for (int i = 0; i < N_ENTRIES; i++) {
        const entry *e = &model.entries[i];
        assert_true(e->armed == timer_armed(&e->t));
        n_armed += e->armed;
        if (e->armed && e->due_ms < first_ms)
            first_ms = e->due_ms;
    }
    uint64_t wait_ms = wheel_wait_ms(&wheel);
    assert_int_equal(wheel.now_ms, model.now_ms);
    assert_int_equal(wheel.n_armed, n_armed);
    assert_true((wait_ms == UINT64_MAX) == (n_armed == 0));
    assert_true(n_armed == 0 || wait_ms <= first_ms - model.now_ms);
    assert_true((wait_ms == 0) == (n_armed > 0 && first_ms == model.now_ms));
}

static void timer__agrees_with_a_naive_list(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 300; seed++) {
        random_state = seed * UINT64_C(0x9e3779b97f4a7c15);
        memset(&model, 0, sizeof model);
        model.now_ms = random_below(2) ? random_span(40) : (UINT64_C(1) << 36) - random_span(30);
        wheel_init(&wheel, model.now_ms);
        for (int step = 0; step < 400; step++) {
            if (random_below(4) == 0)
                model_advance();
            else
                model_change();
            model_compare();
        }
    }
}

/* ---- cost ---- */

/* Half a year a jump; a wheel that looked at each tick would take months. */
static void timer__a_long_jump_costs_little(void **state)
{
    (void)state;
    timer t[10] = {0};
    double start = seconds();
    for (int round = 0; round < 1000; round++) {
        wheel_init(&wheel, (uint64_t)round);
        for (uint64_t i = 0; i < N_OF(t); i++)
            wheel_arm(&wheel, &t[i], (i + 1) * 1500000001, count_fired);
        assert_int_equal(wheel_advance(&wheel, UINT64_C(1500000001) * 10), N_OF(t));
    }
    assert_true(seconds() - start < 5);
}

static uint64_t last_fired_ms;

static void check_on_time(timer *t)
{
    assert_true(t->at_ms <= wheel.now_ms && t->at_ms >= last_fired_ms);
    last_fired_ms = t->at_ms;
    n_fired++;
}

static void timer__a_million_take_no_memory_and_little_time(void **state)
{
    (void)state;
    const size_t n = 1000000;
    timer *t = mem_zero(n * sizeof *t);
    assert_non_null(t);
    uint64_t allocations = mem_count();
    double start = seconds();
    random_state = 5;
    n_fired = last_fired_ms = 0;
    wheel_init(&wheel, 0);
    for (size_t i = 0; i < n; i++)
        wheel_arm(&wheel, &t[i], 1 + random_below(3600000), check_on_time);
    for (size_t i = 0; i < n; i += 2)
        wheel_cancel(&wheel, &t[i]);
    for (uint64_t now_ms = 0; now_ms <= 3600000; now_ms += 7)
        wheel_advance(&wheel, now_ms);
    wheel_advance(&wheel, 3600000);
    assert_int_equal(n_fired, n / 2);
    assert_int_equal(wheel.n_armed, 0);
    assert_int_equal(mem_count(), allocations);
    assert_true(seconds() - start < 20);
    mem_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timer__is_four_words),
        cmocka_unit_test(timer__never_fires_early),
        cmocka_unit_test(timer__in_the_past_fires_in_the_next_advance),
        cmocka_unit_test(timer__clock_does_not_go_back),
        cmocka_unit_test(timer__cancelled_does_not_fire),
        cmocka_unit_test(timer__a_wheel_of_cancelled_timers_waits_for_ever),
        cmocka_unit_test(timer__armed_again_moves),
        cmocka_unit_test(timer__beyond_the_wheel_is_clamped_to_about_two_years),
        cmocka_unit_test(timer__fires_over_the_seam_of_the_top_level),
        cmocka_unit_test(timer__is_reached_in_a_few_waits),
        cmocka_unit_test(timer__armed_for_now_by_fire_waits_for_the_next_advance),
        cmocka_unit_test(timer__fire_may_free_all_that_are_due_with_it),
        cmocka_unit_test(timer__agrees_with_a_naive_list),
        cmocka_unit_test(timer__a_long_jump_costs_little),
        cmocka_unit_test(timer__a_million_take_no_memory_and_little_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
