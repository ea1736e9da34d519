/* Under the address sanitizer each place is a block of malloc's: what is said of pages holds without it. */
#include "base/slabs.h"
#include "support/check.h"
#include <string.h>

enum { N_PLACES = 20000 };

#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define OWN_BLOCKS
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define OWN_BLOCKS
#endif

static slabs all;
static uint8_t *places[N_PLACES];
static size_t sizes[N_PLACES];

static int start(void **state)
{
    (void)state;
    all = (slabs){0};
    memset(places, 0, sizeof places);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    for (int i = 0; i < N_PLACES; i++)
        slabs_put(&all, places[i], sizes[i]);
    slabs_trim(&all);
    assert_int_equal(all.n_pages, 0);
    assert_int_equal(all.used_bytes, 0);
    return 0;
}

static void get(int i, size_t bytes)
{
    places[i] = slabs_get(&all, bytes);
    sizes[i] = bytes;
    assert_non_null(places[i]);
    assert_int_equal((uintptr_t)places[i] % 8, 0);
    for (size_t k = 0; k < bytes; k++)
        assert_int_equal(places[i][k], 0);
    memset(places[i], i, bytes);
}

static void put(int i)
{
    for (size_t k = 0; k < sizes[i]; k++)
        assert_int_equal(places[i][k], (uint8_t)i);
    slabs_put(&all, places[i], sizes[i]);
    places[i] = NULL;
}

static uint32_t random_below(uint32_t limit)
{
    static uint64_t bits = 88172645463325252;
    bits ^= bits << 13;
    bits ^= bits >> 7;
    bits ^= bits << 17;
    return (uint32_t)(bits % limit);
}

/* Each is written through, and holds what was written. */
static void slabs__give_places_that_nobody_else_has(void **state)
{
    (void)state;
    for (int i = 0; i < 400000; i++) {
        int one = (int)random_below(N_PLACES);
        if (places[one])
            put(one);
        else
            get(one, 1 + random_below(random_below(4) ? 200 : 700));
    }
    for (int i = 0; i < N_PLACES; i++)
        if (places[i])
            put(i);
}

static void slabs__of_nothing_are_empty(void **state)
{
    (void)state;
    slabs_put(&all, NULL, 100);
    slabs_trim(&all);
    get(0, 0);
}

#ifndef OWN_BLOCKS
static void slabs__need_little_more_than_the_places(void **state)
{
    (void)state;
    uint64_t before = mem_count();
    for (int i = 0; i < N_PLACES; i++)
        get(i, 88);
    size_t each = SLABS_PAGE_BYTES / 88;
    assert_int_equal(all.n_pages, (N_PLACES + each - 1) / each);
    assert_int_equal(mem_count() - before, all.n_pages);
    assert_int_equal(all.used_bytes, N_PLACES * 88);
    assert_true(places[1] - places[0] == 88);
}

static void slabs__free_pages_that_nobody_uses(void **state)
{
    (void)state;
    for (int i = 0; i < N_PLACES; i++)
        get(i, 128);
    for (int i = 0; i < N_PLACES; i++)
        put(i);
    assert_int_equal(all.n_pages, 1);
    uint64_t before = mem_count();
    for (int i = 0; i < 1000; i++) { /* around the edge of a page nothing is taken and freed for ever */
        get(0, 128);
        put(0);
    }
    assert_int_equal(mem_count(), before);
}

static void slabs__use_again_what_was_given_back(void **state)
{
    (void)state;
    for (int i = 0; i < N_PLACES; i++)
        get(i, 200);
    size_t n_pages = all.n_pages;
    for (int i = 0; i < N_PLACES; i += 2)
        put(i);
    for (int i = 0; i < N_PLACES; i += 2)
        get(i, 193); /* of the same size, rounded */
    assert_int_equal(all.n_pages, n_pages);
}
#endif

static void slabs__say_when_there_is_no_memory(void **state)
{
    (void)state;
    mem_fail_from(1);
    assert_null(slabs_get(&all, 100));
    assert_null(slabs_get(&all, SLABS_MOST_BYTES + 1));
    mem_fail_from(0);
    assert_int_equal(all.n_pages, 0);
}

#define SLABS_TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SLABS_TEST(slabs__give_places_that_nobody_else_has), SLABS_TEST(slabs__of_nothing_are_empty),
#ifndef OWN_BLOCKS
        SLABS_TEST(slabs__need_little_more_than_the_places), SLABS_TEST(slabs__free_pages_that_nobody_uses),
        SLABS_TEST(slabs__use_again_what_was_given_back),
#endif
        SLABS_TEST(slabs__say_when_there_is_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
