#include "base/map.h"
#include "support/check.h"
#include "support/guard.h"
#include <errno.h>
#include <stdio.h>

typedef struct {
    map_entry entry; /* first, so that a map_entry is an item */
    char name[24];
    size_t n_seen;
} item;

enum { N_ITEMS = 5000 };

static item *items_new(size_t n)
{
    item *items = calloc(n, sizeof *items);
    assert_non_null(items);
    for (size_t i = 0; i < n; i++) {
        int len = snprintf(items[i].name, sizeof items[i].name, "topic/%zu", i);
        items[i].entry.key = (str){items[i].name, (size_t)len};
    }
    return items;
}

static map map_of(item *items, size_t n)
{
    map m;
    assert_int_equal(map_init(&m), 0);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(map_put(&m, &items[i].entry), 0);
    return m;
}

/* The 15-byte message is the paper's (appendix A); the others were computed with OpenSSL's SIPHASH MAC. All with the
 * paper's key 00..0f and the message 00, 01, 02, … */
static void siphash__agrees_with_published_vectors(void **state)
{
    (void)state;
    static const struct {
        size_t len;
        uint64_t hash;
    } vectors[] = {
        {0, 0x726fdb47dd0e0e31},  {1, 0x74f839c593dc67fd},  {2, 0x0d6c8009d9a94f5a},  {7, 0xab0200f58b01d137},
        {8, 0x93f5f5799a932462},  {9, 0x9e0082df0ba9e4b0},  {15, 0xa129ca6149be45e5}, {16, 0x3f2acc7f57c29bdb},
        {17, 0x699ae9f52cbe4794}, {31, 0x32d892fad841c342}, {63, 0x958a324ceb064572},
    };
    uint8_t secret[16], message[64];
    for (size_t i = 0; i < sizeof message; i++)
        message[i] = (uint8_t)i;
    memcpy(secret, message, sizeof secret);
    for (size_t i = 0; i < N_OF(vectors); i++) {
        guard copy = guard_copy(message, vectors[i].len);
        assert_true(siphash(secret, copy.at, vectors[i].len) == vectors[i].hash);
        guard_free(copy);
    }
}

static void siphash__every_byte_of_key_and_message_counts(void **state)
{
    (void)state;
    uint8_t secret[16] = {0}, message[40] = {0};
    uint64_t hash = siphash(secret, message, sizeof message);
    for (size_t i = 0; i < sizeof message; i++) {
        message[i] = 1;
        assert_true(siphash(secret, message, sizeof message) != hash);
        message[i] = 0;
    }
    for (size_t i = 0; i < sizeof secret; i++) {
        secret[i] = 1;
        assert_true(siphash(secret, message, sizeof message) != hash);
        secret[i] = 0;
    }
    assert_true(siphash(secret, message, sizeof message - 1) != hash);
}

static void map__each_has_a_secret_of_its_own(void **state)
{
    (void)state;
    map a, b;
    assert_int_equal(map_init(&a), 0);
    assert_int_equal(map_init(&b), 0);
    assert_memory_not_equal(a.secret, b.secret, sizeof a.secret);
    map_done(&a);
    map_done(&b);
}

static void map__empty_finds_nothing(void **state)
{
    (void)state;
    map m;
    assert_int_equal(map_init(&m), 0);
    assert_null(map_get(&m, STR("topic")));
    assert_null(map_get(&m, (str){NULL, 0}));
    assert_null(map_next(&m, NULL));
    map_done(&m);
    assert_null(map_get(&m, STR("topic")));
    map_done(&m);
}

static void map__finds_what_was_put_and_only_that(void **state)
{
    (void)state;
    item *items = items_new(N_ITEMS);
    map m = map_of(items, N_ITEMS);
    assert_int_equal(m.n_entries, N_ITEMS);
    for (size_t i = 0; i < N_ITEMS; i++) {
        guard key = guard_copy(items[i].name, items[i].entry.key.len);
        assert_ptr_equal(map_get(&m, (str){key.at, items[i].entry.key.len}), &items[i].entry);
        guard_free(key);
    }
    assert_null(map_get(&m, STR("topic/")));
    assert_null(map_get(&m, STR("topic/5000")));
    assert_null(map_get(&m, STR("topic/1\0")));
    map_done(&m);
    free(items);
}

static void map__keys_are_bytes(void **state)
{
    (void)state;
    item items[4] = {
        {.entry.key = {NULL, 0}}, {.entry.key = STR("\0")}, {.entry.key = STR("\0\0")}, {.entry.key = STR("a\0b")}};
    map m = map_of(items, N_OF(items));
    for (size_t i = 0; i < N_OF(items); i++)
        assert_ptr_equal(map_get(&m, items[i].entry.key), &items[i].entry);
    assert_ptr_equal(map_get(&m, STR("")), &items[0].entry);
    assert_null(map_get(&m, STR("a")));
    assert_null(map_get(&m, STR("a\0c")));
    map_done(&m);
}

static void map__removes_one_and_keeps_the_rest(void **state)
{
    (void)state;
    item *items = items_new(N_ITEMS);
    map m = map_of(items, N_ITEMS);
    for (size_t i = 0; i < N_ITEMS; i += 2)
        map_remove(&m, &items[i].entry);
    assert_int_equal(m.n_entries, N_ITEMS / 2);
    for (size_t i = 0; i < N_ITEMS; i++)
        assert_ptr_equal(map_get(&m, items[i].entry.key), i % 2 ? &items[i].entry : NULL);
    for (size_t i = 0; i < N_ITEMS; i += 2)
        assert_int_equal(map_put(&m, &items[i].entry), 0);
    for (size_t i = N_ITEMS; i-- > 0;)
        map_remove(&m, &items[i].entry);
    assert_int_equal(m.n_entries, 0);
    assert_null(map_next(&m, NULL));
    map_done(&m);
    free(items);
}

static void map__walk_meets_every_entry_once(void **state)
{
    (void)state;
    item *items = items_new(N_ITEMS);
    map m = map_of(items, N_ITEMS);
    size_t n = 0;
    for (map_entry *e = map_next(&m, NULL); e; e = map_next(&m, e), n++)
        ((item *)e)->n_seen++;
    assert_int_equal(n, N_ITEMS);
    for (size_t i = 0; i < N_ITEMS; i++)
        assert_int_equal(items[i].n_seen, 1);
    map_done(&m);
    free(items);
}

static void map__may_be_emptied_during_a_walk(void **state)
{
    (void)state;
    item *items = items_new(100);
    map m = map_of(items, 100);
    size_t n = 0;
    for (map_entry *e = map_next(&m, NULL), *next; e; e = next, n++) {
        next = map_next(&m, e);
        map_remove(&m, e);
    }
    assert_int_equal(n, 100);
    assert_int_equal(m.n_entries, 0);
    map_done(&m);
    free(items);
}

static void map__keeps_its_load_at_one_or_less(void **state)
{
    (void)state;
    item *items = items_new(N_ITEMS);
    map m;
    assert_int_equal(map_init(&m), 0);
    uint64_t before = mem_count();
    for (size_t i = 0; i < N_ITEMS; i++) {
        assert_int_equal(map_put(&m, &items[i].entry), 0);
        assert_true(m.n_entries <= m.n_buckets);
        assert_true((m.n_buckets & (m.n_buckets - 1)) == 0);
    }
    assert_true(m.n_buckets < 2 * N_ITEMS);
    assert_true(mem_count() - before <= 13);
    map_done(&m);
    free(items);
}

static void map__spreads_names_over_the_buckets(void **state)
{
    (void)state;
    item *items = items_new(N_ITEMS);
    map m = map_of(items, N_ITEMS);
    for (size_t i = 0; i < m.n_buckets; i++) {
        size_t length = 0;
        for (map_entry *e = m.buckets[i]; e; e = e->next)
            length++;
        assert_true(length < 16); /* by chance once in more runs than there will be */
    }
    map_done(&m);
    free(items);
}

static void map__failed_put_changes_nothing(void **state)
{
    (void)state;
    item *items = items_new(100);
    map m;
    assert_int_equal(map_init(&m), 0);
    size_t n = 0;
    mem_fail_from(2); /* the first table is granted, its growth is not */
    while (map_put(&m, &items[n].entry) == 0)
        n++;
    assert_true(n > 0 && n < 100);
    assert_int_equal(map_put(&m, &items[n].entry), -ENOMEM);
    mem_fail_from(0);
    assert_int_equal(m.n_entries, n);
    assert_null(map_get(&m, items[n].entry.key));
    for (size_t i = 0; i < n; i++)
        assert_ptr_equal(map_get(&m, items[i].entry.key), &items[i].entry);
    assert_int_equal(map_put(&m, &items[n].entry), 0);
    assert_ptr_equal(map_get(&m, items[n].entry.key), &items[n].entry);
    map_done(&m);
    free(items);
}

static int fill(void)
{
    item *items = items_new(200);
    map m;
    int error = 0;
    assert_int_equal(map_init(&m), 0);
    for (size_t i = 0; i < 200 && !error; i++)
        error = map_put(&m, &items[i].entry);
    map_done(&m);
    free(items);
    return error;
}

static void map__survives_any_failed_allocation(void **state)
{
    (void)state;
    check_failing_allocations(fill);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(siphash__agrees_with_published_vectors),
        cmocka_unit_test(siphash__every_byte_of_key_and_message_counts),
        cmocka_unit_test(map__each_has_a_secret_of_its_own),
        cmocka_unit_test(map__empty_finds_nothing),
        cmocka_unit_test(map__finds_what_was_put_and_only_that),
        cmocka_unit_test(map__keys_are_bytes),
        cmocka_unit_test(map__removes_one_and_keeps_the_rest),
        cmocka_unit_test(map__walk_meets_every_entry_once),
        cmocka_unit_test(map__may_be_emptied_during_a_walk),
        cmocka_unit_test(map__keeps_its_load_at_one_or_less),
        cmocka_unit_test(map__spreads_names_over_the_buckets),
        cmocka_unit_test(map__failed_put_changes_nothing),
        cmocka_unit_test(map__survives_any_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
