#include "base/pool.h"
#include "support/check.h"
#include <string.h>

static void pool__blocks_are_large_enough_and_waste_a_quarter_at_most(void **state)
{
    (void)state;
    pool p = {0};
    for (size_t bytes = 0; bytes <= POOL_BLOCK_BYTES; bytes += 1 + bytes / 50) {
        size_t got = 0;
        char *block = pool_get(&p, bytes, &got);
        assert_non_null(block);
        assert_true(got >= bytes);
        assert_true(got <= 64 || got - bytes < bytes / 4 + 1);
        memset(block, 0xa5, got);
        pool_put(&p, block, got);
    }
    pool_done(&p);
}

static void pool__has_four_classes_to_each_power_of_two(void **state)
{
    (void)state;
    pool p = {0};
    size_t n_classes = 0;
    for (size_t bytes = 1, expected = 64, step = 16; bytes <= POOL_BLOCK_BYTES; n_classes++) {
        size_t low = 0, high = 0;
        void *first = pool_get(&p, bytes, &low);
        void *last = pool_get(&p, expected, &high);
        assert_int_equal(low, expected);
        assert_int_equal(high, expected);
        pool_put(NULL, first, low);
        pool_put(NULL, last, high);
        bytes = expected + 1;
        expected += step;
        if (expected == 8 * step)
            step *= 2;
    }
    assert_int_equal(n_classes, 4 * (23 - 6) + 1);
    assert_true(n_classes <= POOL_CLASSES);
    pool_done(&p);
}

static void pool__gives_the_last_block_first(void **state)
{
    (void)state;
    pool p = {0};
    size_t size = 0;
    void *a = pool_get(&p, 100, &size);
    void *b = pool_get(&p, 100, &size);
    void *c = pool_get(&p, 100, &size);
    pool_put(&p, a, size);
    pool_put(&p, b, size);
    pool_put(&p, c, size);
    assert_int_equal(p.kept_bytes, 3 * size);
    assert_ptr_equal(pool_get(&p, 97, &size), c);
    assert_ptr_equal(pool_get(&p, 112, &size), b);
    assert_ptr_equal(pool_get(&p, 100, &size), a);
    assert_int_equal(p.kept_bytes, 0);
    pool_put(&p, a, size);
    pool_put(&p, b, size);
    pool_put(&p, c, size);
    pool_done(&p);
}

static void pool__steady_traffic_allocates_nothing(void **state)
{
    (void)state;
    pool p = {0};
    uint64_t before = 0;
    for (size_t round = 0; round < 100; round++) {
        void *blocks[40];
        size_t sizes[40];
        if (round == 1)
            before = mem_count();
        for (size_t i = 0; i < 40; i++)
            assert_non_null((blocks[i] = pool_get(&p, 50 * i, &sizes[i])));
        for (size_t i = 0; i < 40; i++)
            pool_put(&p, blocks[i], sizes[i]);
    }
    assert_int_equal(mem_count(), before);
    pool_done(&p);
}

static void pool__keeps_a_bounded_number_of_bytes(void **state)
{
    (void)state;
    enum { N_BLOCKS = 40, BLOCK_BYTES = 1 << 20 };
    pool p = {0};
    void *blocks[N_BLOCKS];
    size_t size = 0;
    for (size_t i = 0; i < N_BLOCKS; i++)
        assert_non_null((blocks[i] = pool_get(&p, BLOCK_BYTES, &size)));
    for (size_t i = 0; i < N_BLOCKS; i++) {
        pool_put(&p, blocks[i], size);
        assert_true(p.kept_bytes <= POOL_KEPT_BYTES);
    }
    assert_int_equal(p.kept_bytes, POOL_KEPT_BYTES); /* the rest was freed, or the leak checker says so */
    uint64_t before = mem_count();
    for (size_t i = 0; i < N_BLOCKS; i++)
        assert_non_null((blocks[i] = pool_get(&p, BLOCK_BYTES, &size)));
    assert_int_equal(mem_count() - before, N_BLOCKS - POOL_KEPT_BYTES / BLOCK_BYTES);
    for (size_t i = 0; i < N_BLOCKS; i++)
        pool_put(NULL, blocks[i], size);
    pool_done(&p);
}

static void pool__does_not_keep_the_largest_blocks(void **state)
{
    (void)state;
    pool p = {0};
    size_t size = 0;
    void *block = pool_get(&p, POOL_BLOCK_BYTES + 1, &size);
    assert_non_null(block);
    assert_int_equal(size, POOL_BLOCK_BYTES + 1);
    pool_put(&p, block, size);
    assert_int_equal(p.kept_bytes, 0);

    block = pool_get(&p, POOL_BLOCK_BYTES, &size);
    assert_int_equal(size, POOL_BLOCK_BYTES);
    pool_put(&p, block, size);
    assert_int_equal(p.kept_bytes, POOL_BLOCK_BYTES);
    pool_done(&p);
}

static void pool__is_usable_after_done(void **state)
{
    (void)state;
    pool p = {0};
    size_t size = 0;
    void *block = pool_get(&p, 1, &size);
    assert_non_null(block);
    pool_put(&p, block, size);
    pool_done(&p);
    assert_int_equal(p.kept_bytes, 0);
    block = pool_get(&p, 1, &size);
    assert_non_null(block);
    pool_put(&p, block, size);
    pool_done(&p);
    pool_done(&p);
}

static void pool__blocks_move_between_pools_and_threads_without_one(void **state)
{
    (void)state;
    pool a = {0}, b = {0};
    size_t size = 0;
    void *block = pool_get(NULL, 1000, &size);
    assert_non_null(block);
    pool_put(&a, block, size);
    assert_ptr_equal(pool_get(&a, 1000, &size), block);
    pool_put(&b, block, size);
    assert_ptr_equal(pool_get(&b, 1000, &size), block);
    pool_put(NULL, block, size);
    pool_put(NULL, NULL, 0);
    pool_put(&a, NULL, 0);
    pool_done(&a);
    pool_done(&b);
}

static void pool__failure_leaves_the_outputs(void **state)
{
    (void)state;
    pool p = {0};
    size_t size = 12345;
    mem_fail_from(1);
    assert_null(pool_get(&p, 10, &size));
    assert_null(pool_get(NULL, 10, &size));
    assert_null(pool_get(&p, POOL_BLOCK_BYTES + 1, &size));
    mem_fail_from(0);
    assert_int_equal(size, 12345);
}

static int use_three_blocks(void)
{
    pool p = {0};
    void *blocks[3] = {0};
    size_t sizes[3];
    int result = 0;
    for (size_t i = 0; i < 3; i++)
        if (!(blocks[i] = pool_get(&p, 100 << i, &sizes[i])))
            result = -1;
    for (size_t i = 0; i < 3; i++)
        if (blocks[i])
            pool_put(&p, blocks[i], sizes[i]);
    pool_done(&p);
    return result;
}

static void pool__grows_a_block_that_is_full(void **state)
{
    (void)state;
    pool p = {0};
    size_t bytes = 0;
    char *block = pool_grow(&p, NULL, &bytes, 0, 64);
    memset(block, 'x', 64);
    block = pool_grow(&p, block, &bytes, 64, 1000);
    assert_true(bytes >= 1000);
    for (int i = 0; i < 64; i++)
        assert_int_equal(block[i], 'x');
    mem_fail_from(1);
    assert_null(pool_grow(&p, block, &bytes, 64, 4000));
    mem_fail_from(0);
    assert_int_equal(block[63], 'x');
    pool_put(&p, block, bytes);
    pool_done(&p);
}

static void pool__survives_any_failed_allocation(void **state)
{
    (void)state;
    check_failing_allocations(use_three_blocks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pool__blocks_are_large_enough_and_waste_a_quarter_at_most),
        cmocka_unit_test(pool__has_four_classes_to_each_power_of_two),
        cmocka_unit_test(pool__gives_the_last_block_first),
        cmocka_unit_test(pool__steady_traffic_allocates_nothing),
        cmocka_unit_test(pool__keeps_a_bounded_number_of_bytes),
        cmocka_unit_test(pool__does_not_keep_the_largest_blocks),
        cmocka_unit_test(pool__is_usable_after_done),
        cmocka_unit_test(pool__blocks_move_between_pools_and_threads_without_one),
        cmocka_unit_test(pool__failure_leaves_the_outputs),
        cmocka_unit_test(pool__grows_a_block_that_is_full),
        cmocka_unit_test(pool__survives_any_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
