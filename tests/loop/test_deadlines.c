/* Under a clock that moves when a test says so. */
#include "loop/deadlines.h"
#include "support/check.h"
#include <string.h>
#include <time.h>

enum { MANY = 100000, N_THINGS = 200 };

typedef struct {
    uint64_t handle, due_ms; /* due_ms 0: none */
    unsigned n_due;
} thing;

static loop the_loop;
static slots table;
static thing things[MANY];
static thing *moved_on; /* when its deadline comes it takes another */
static uint64_t clock_ms;
static uint64_t late_ms; /* at most this much is allowed */

int clock_gettime(clockid_t id, struct timespec *ret_now)
{
    (void)id;
    *ret_now = (struct timespec){(time_t)(clock_ms / 1000), (long)(clock_ms % 1000 * 1000000)};
    return 0;
}

static void due(void *value)
{
    thing *t = value;
    t->n_due++;
    assert_true(t->due_ms && clock_ms >= t->due_ms);
    assert_true(clock_ms - t->due_ms <= late_ms);
    t->due_ms = 0;
    if (t == moved_on) {
        t->due_ms = clock_ms + 10;
        deadline_set(&table, t->handle, 10);
    }
}

static int start(void **state)
{
    (void)state;
    clock_ms = (1ull << 32) - 5000; /* the low bits wrap in each test */
    late_ms = 0;
    moved_on = NULL;
    memset(things, 0, sizeof things);
    if (loop_init(&the_loop, NULL) || slots_init(&table, the_loop.index))
        return -1;
    deadlines_begin(&table, &the_loop, SLOT_PEER, due);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    slots_done(&table);
    loop_done(&the_loop);
    return 0;
}

static void put(thing *t)
{
    t->handle = slots_put(&table, SLOT_PEER, t);
    assert_true(t->handle);
}

static void set(thing *t, uint32_t after_ms)
{
    t->due_ms = clock_ms + after_ms;
    t->due_ms += (uint32_t)t->due_ms == 0; /* which stands for none */
    deadline_set(&table, t->handle, after_ms);
}

static void pass(uint64_t ms)
{
    clock_ms += ms;
    assert_int_equal(loop_step(&the_loop, 0), 0);
}

static void deadline__comes_once_at_its_time(void **state)
{
    (void)state;
    put(&things[0]);
    put(&things[1]);
    set(&things[0], 100);
    set(&things[1], 50);
    pass(49);
    assert_int_equal(things[1].n_due, 0);
    pass(1);
    assert_int_equal(things[1].n_due, 1);
    pass(49);
    assert_int_equal(things[0].n_due, 0);
    pass(1);
    assert_int_equal(things[0].n_due, 1);
    pass(10000);
    assert_int_equal(things[0].n_due + things[1].n_due, 2);
    assert_false(timer_armed(&table.look));
}

static void deadline__may_be_set_anew_when_it_comes(void **state)
{
    (void)state;
    put(&things[0]);
    moved_on = &things[0];
    set(&things[0], 10);
    for (int i = 0; i < 10; i++)
        pass(10);
    assert_int_equal(things[0].n_due, 10);
}

static void deadline__goes_with_its_handle(void **state)
{
    (void)state;
    put(&things[0]);
    set(&things[0], 10);
    slots_remove(&table, things[0].handle);
    for (int i = 1; i < 70; i++) /* every slot is used again */
        put(&things[i]);
    pass(1000);
    for (int i = 0; i < 70; i++)
        assert_int_equal(things[i].n_due, 0);
}

static void deadline__goes_along_to_another_handle(void **state)
{
    (void)state;
    thing *t = &things[0];
    put(t);
    set(t, 10);
    uint32_t taken = deadline_take(&table, t->handle);
    slots_remove(&table, t->handle);
    deadline_put(&table, 0, taken);
    deadline_clear(&table, 0);
    put(t);
    deadline_put(&table, t->handle, taken);
    pass(9);
    assert_int_equal(t->n_due, 0);
    pass(1);
    assert_int_equal(t->n_due, 1);
    deadline_put(&table, t->handle, deadline_take(&table, t->handle)); /* none stays none */
    pass(100);
    assert_int_equal(t->n_due, 1);
}

static uint32_t random_below(uint32_t limit)
{
    static uint64_t bits = 88172645463325252;
    bits ^= bits << 13;
    bits ^= bits >> 7;
    bits ^= bits << 17;
    return (uint32_t)(bits % limit);
}

static void change_one(void)
{
    thing *t = &things[random_below(N_THINGS)];
    uint32_t what = random_below(4);
    if (!t->handle) {
        put(t);
    } else if (what == 0) {
        deadline_clear(&table, t->handle);
        t->due_ms = 0;
    } else if (what == 1) {
        slots_remove(&table, t->handle);
        t->handle = t->due_ms = 0;
    } else {
        set(t, random_below(300));
    }
}

static void deadlines__agree_with_a_model(void **state)
{
    (void)state;
    for (int i = 0; i < 20000; i++) {
        change_one();
        uint64_t next_ms = UINT64_MAX;
        for (int k = 0; k < N_THINGS; k++)
            if (things[k].due_ms && things[k].due_ms < next_ms)
                next_ms = things[k].due_ms;
        uint64_t step = random_below(3);
        if (next_ms != UINT64_MAX && clock_ms + step > next_ms)
            step = next_ms - clock_ms;
        pass(step);
        for (int k = 0; k < N_THINGS; k++)
            assert_true(!things[k].due_ms || things[k].due_ms > clock_ms);
    }
}

/* They are looked through no more often than a thousandth of their number says, in milliseconds. */
static void deadlines__of_very_many_are_a_little_late(void **state)
{
    (void)state;
    uint32_t pause_ms = MANY / 1024;
    for (int i = 0; i < MANY; i++)
        put(&things[i]);
    late_ms = pause_ms;
    for (int i = 0; i < MANY; i++)
        set(&things[i], 1000 + (uint32_t)i % 1000);
    unsigned n_looks = 0;
    for (int i = 0; i < 2200; i++) {
        uint64_t before_ms = table.looked_ms;
        pass(1);
        n_looks += table.looked_ms != before_ms;
    }
    assert_in_range(n_looks, 5, 1000 / pause_ms + 3);
    for (int i = 0; i < MANY; i++)
        assert_int_equal(things[i].n_due, 1);
}

#define DEADLINES_TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        DEADLINES_TEST(deadline__comes_once_at_its_time), DEADLINES_TEST(deadline__may_be_set_anew_when_it_comes),
        DEADLINES_TEST(deadline__goes_with_its_handle),   DEADLINES_TEST(deadline__goes_along_to_another_handle),
        DEADLINES_TEST(deadlines__agree_with_a_model),    DEADLINES_TEST(deadlines__of_very_many_are_a_little_late),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
