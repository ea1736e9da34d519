#include "loop/slots.h"
#include "support/check.h"
#include <stdbool.h>
#include <string.h>

enum { LOOP = 7, MANY = 5000 };

static slots table;
static int values[MANY];

static int start(void **state)
{
    (void)state;
    return slots_init(&table, LOOP);
}

static int stop(void **state)
{
    (void)state;
    slots_done(&table);
    return 0;
}

static uint32_t slot_of(uint64_t handle)
{
    return (uint32_t)(handle >> 32) & (SLOTS_MAX - 1);
}

static uint64_t put(void *value)
{
    uint64_t handle = slots_put(&table, SLOT_PEER, value);
    assert_true(handle);
    return handle;
}

static void slots__finds_what_was_put(void **state)
{
    (void)state;
    static uint64_t handles[MANY];
    for (int i = 0; i < MANY; i++)
        handles[i] = put(&values[i]);
    for (int i = 0; i < MANY; i++) {
        assert_ptr_equal(slots_get(&table, handles[i], SLOT_PEER), &values[i]);
        assert_int_equal(handle_loop(handles[i]), LOOP);
        assert_int_equal(slot_of(handles[i]), i);
    }
}

static void slots__handle_is_never_0(void **state)
{
    (void)state;
    for (int i = 0; i < 1000; i++) {
        slots fresh;
        assert_int_equal(slots_init(&fresh, 0), 0);
        assert_true((uint32_t)slots_put(&fresh, SLOT_PEER, &values[0]) != 0);
        slots_done(&fresh);
    }
}

static void slots__begins_anywhere(void **state)
{
    (void)state;
    slots other;
    assert_int_equal(slots_init(&other, LOOP), 0);
    assert_true(other.first_generation != table.first_generation); /* by chance once in 2^31 runs */
    slots_done(&other);
}

static void slots__nobody_is_found_by_a_wrong_handle(void **state)
{
    (void)state;
    assert_null(slots_get(&table, 0, SLOT_PEER));
    assert_null(slots_get(&table, (uint64_t)LOOP << 56 | table.first_generation, SLOT_PEER));
    uint64_t handle = put(&values[0]);
    assert_null(slots_get(&table, 0, SLOT_PEER));
    assert_null(slots_get(&table, UINT64_MAX, SLOT_PEER));
    for (int bit = 0; bit < 64; bit++) /* another generation, slot or loop */
        assert_null(slots_get(&table, handle ^ (uint64_t)1 << bit, SLOT_PEER));
    assert_null(slots_get(&table, handle, SLOT_TIMER));
    assert_null(slots_get(&table, handle, SLOT_CLOSING));
    assert_null(slots_get(&table, handle, SLOT_EXCHANGE));
    assert_null(slots_get(&table, handle, SLOT_FREE));
    assert_non_null(slots_get(&table, handle, SLOT_PEER));
}

static void slots__handle_is_stale_when_removed(void **state)
{
    (void)state;
    uint64_t old = put(&values[0]);
    slots_remove(&table, old);
    for (slot_kind kind = SLOT_FREE; kind <= SLOT_TIMER; kind++)
        assert_null(slots_get(&table, old, kind));
    for (int i = 0; i < 100; i++) {
        uint64_t handle = put(&values[1]);
        assert_int_equal(slot_of(handle), slot_of(old));
        assert_null(slots_get(&table, old, SLOT_PEER));
        assert_ptr_equal(slots_get(&table, handle, SLOT_PEER), &values[1]);
        slots_remove(&table, handle);
        assert_null(slots_get(&table, handle, SLOT_PEER));
    }
}

static void slots__are_used_again_oldest_first(void **state)
{
    (void)state;
    static const uint32_t order[] = {3, 0, 4, 1};
    uint64_t handles[5];
    for (int i = 0; i < 5; i++)
        handles[i] = put(&values[i]);
    for (size_t i = 0; i < N_OF(order); i++)
        slots_remove(&table, handles[order[i]]);
    assert_int_equal(slot_of(put(&values[0])), 3);
    slots_remove(&table, handles[2]);
    assert_int_equal(slot_of(put(&values[0])), 0);
    assert_int_equal(slot_of(put(&values[0])), 4);
    assert_int_equal(slot_of(put(&values[0])), 1);
    assert_int_equal(slot_of(put(&values[0])), 2);
    assert_int_equal(slot_of(put(&values[0])), 5); /* and only then a new one */
}

static void slots__retire_when_their_generation_wraps(void **state)
{
    (void)state;
    table.first_generation = UINT32_MAX - 1;
    uint64_t handle = put(&values[0]);
    slots_remove(&table, handle);
    handle = put(&values[1]);
    assert_int_equal(slot_of(handle), 0);
    assert_int_equal((uint32_t)handle, UINT32_MAX);
    slots_remove(&table, handle);
    for (slot_kind kind = SLOT_FREE; kind <= SLOT_TIMER; kind++) {
        assert_null(slots_get(&table, handle, kind));
        assert_null(slots_get(&table, handle & ~(uint64_t)UINT32_MAX, kind)); /* generation 0 */
    }
    for (uint32_t i = 1; i < 10; i++)
        assert_int_equal(slot_of(put(&values[i])), i);
}

/* A slot that retires between others must not break the list of free ones. */
static void slots__go_on_without_those_that_retired(void **state)
{
    (void)state;
    uint64_t handles[4];
    for (int i = 0; i < 4; i++)
        handles[i] = put(&values[i]);
    slots_remove(&table, handles[0]);
    table.at[1].generation = UINT32_MAX;
    slots_remove(&table, handles[1] | UINT32_MAX);
    slots_remove(&table, handles[2]);
    assert_int_equal(slot_of(put(&values[0])), 0);
    assert_int_equal(slot_of(put(&values[0])), 2);
    assert_int_equal(slot_of(put(&values[0])), 4);
}

static void slots__put_without_memory_is_0(void **state)
{
    (void)state;
    mem_fail_from(1);
    assert_true(slots_put(&table, SLOT_PEER, &values[0]) == 0);
    mem_fail_from(0);
    uint64_t first = put(&values[0]);
    while (table.n < table.cap)
        put(&values[1]);
    mem_fail_from(1);
    assert_true(slots_put(&table, SLOT_PEER, &values[2]) == 0);
    slots_remove(&table, first); /* a freed slot needs none */
    uint64_t again = put(&values[3]);
    mem_fail_from(0);
    assert_ptr_equal(slots_get(&table, again, SLOT_PEER), &values[3]);
    uint32_t n = table.n;
    assert_int_equal(slot_of(put(&values[4])), n);
}

static void slots__steady_use_allocates_nothing(void **state)
{
    (void)state;
    slots_remove(&table, put(&values[0]));
    uint64_t before = mem_count();
    for (int i = 0; i < 100000; i++)
        slots_remove(&table, put(&values[0]));
    assert_int_equal(mem_count(), before);
    assert_int_equal(table.n, 1);
}

static uint64_t handles[MANY];
static bool seen[MANY];

static void see(void *value, void *user)
{
    size_t i = (size_t)((int *)value - values);
    assert_ptr_equal(user, &table);
    assert_false(seen[i]);
    seen[i] = true;
}

static void slots_each__calls_for_each_of_the_kind(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++)
        handles[i] = slots_put(&table, i % 3 ? SLOT_PEER : SLOT_TIMER, &values[i]);
    for (int i = 0; i < 100; i += 10)
        slots_remove(&table, handles[i]);
    memset(seen, 0, sizeof seen);
    slots_each(&table, SLOT_TIMER, see, &table);
    for (int i = 0; i < 100; i++)
        assert_int_equal(seen[i], i % 3 == 0 && i % 10 != 0);
}

/* Each call removes itself and the one that stands opposite. */
static void remove_pair(void *value, void *user)
{
    int i = (int)((int *)value - values);
    ++*(int *)user;
    slots_remove(&table, handles[i]);
    slots_remove(&table, handles[99 - i]);
}

static void slots_each__may_remove_any(void **state)
{
    (void)state;
    int n = 0;
    for (int i = 0; i < 100; i++)
        handles[i] = put(&values[i]);
    slots_each(&table, SLOT_PEER, remove_pair, &n);
    assert_int_equal(n, 50);
    slots_each(&table, SLOT_PEER, remove_pair, &n);
    assert_int_equal(n, 50);
}

/* What a walk in pieces comes by while slots are taken and given back around it. */
static void slots_next__walks_in_pieces(void **state)
{
    (void)state;
    uint64_t taken[6];
    uint32_t at = 0;
    assert_null(slots_next(&table, SLOT_PEER, &at));
    for (int i = 0; i < 6; i++)
        taken[i] = slots_put(&table, i == 2 ? SLOT_TIMER : SLOT_PEER, &values[i]);
    assert_ptr_equal(slots_next(&table, SLOT_PEER, &at), &values[0]);
    assert_ptr_equal(slots_next(&table, SLOT_PEER, &at), &values[1]);
    slots_remove(&table, taken[0]);
    slots_remove(&table, taken[3]);
    assert_ptr_equal(slots_next(&table, SLOT_PEER, &at), &values[4]);
    put(&values[7]); /* where 0 was, behind the walk */
    assert_ptr_equal(slots_next(&table, SLOT_PEER, &at), &values[5]);
    assert_null(slots_next(&table, SLOT_PEER, &at));
    at = 0;
    assert_ptr_equal(slots_next(&table, SLOT_PEER, &at), &values[7]);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        CASE(slots__finds_what_was_put),
        CASE(slots__handle_is_never_0),
        CASE(slots__begins_anywhere),
        CASE(slots__nobody_is_found_by_a_wrong_handle),
        CASE(slots__handle_is_stale_when_removed),
        CASE(slots__are_used_again_oldest_first),
        CASE(slots__retire_when_their_generation_wraps),
        CASE(slots__go_on_without_those_that_retired),
        CASE(slots__put_without_memory_is_0),
        CASE(slots__steady_use_allocates_nothing),
        CASE(slots_each__calls_for_each_of_the_kind),
        CASE(slots_each__may_remove_any),
        CASE(slots_next__walks_in_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
