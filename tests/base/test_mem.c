#include "base/mem.h"
#include "support/check.h"
#include "support/guard.h"
#include <pthread.h>

static void mem__zero_is_zeroed(void **state)
{
    (void)state;
    static const char zeros[4096];
    char *block = mem_zero(sizeof zeros);
    assert_memory_equal(block, zeros, sizeof zeros);
    mem_free(block);
}

static void mem__size_zero_is_a_block(void **state)
{
    (void)state;
    void *a = mem_new(0);
    void *b = mem_zero(0);
    void *c = mem_resize(NULL, 0);
    assert_non_null(a);
    assert_non_null(b);
    assert_non_null(c);
    c = mem_resize(c, 0);
    assert_non_null(c);
    mem_free(a);
    mem_free(b);
    mem_free(c);
    mem_free(NULL);
}

static void mem__refuses_what_no_machine_has(void **state)
{
    (void)state;
    assert_null(mem_copy_text("", SIZE_MAX));
}

static void mem__resize_keeps_the_bytes(void **state)
{
    (void)state;
    char *block = mem_resize(NULL, 4);
    assert_non_null(block);
    memcpy(block, "weft", 4);
    block = mem_resize(block, 100000);
    assert_non_null(block);
    assert_memory_equal(block, "weft", 4);
    mem_free(block);
}

static void mem__copies_text_and_ends_it(void **state)
{
    (void)state;
    guard source = guard_copy("topic", 5);
    char *copy = mem_copy_text(source.at, 5);
    assert_string_equal(copy, "topic");
    mem_free(copy);
    guard_free(source);

    copy = mem_copy_text(NULL, 0);
    assert_string_equal(copy, "");
    mem_free(copy);
}

static void mem__counts_every_attempt(void **state)
{
    (void)state;
    uint64_t before = mem_count();
    void *a = mem_new(1);
    void *b = mem_zero(1);
    a = mem_resize(a, 100);
    char *text = mem_copy_text("x", 1);
    assert_int_equal(mem_count() - before, 4);
    mem_fail_from(1);
    assert_null(mem_new(1));
    mem_fail_from(0);
    assert_int_equal(mem_count() - before, 5);
    mem_free(a);
    mem_free(b);
    mem_free(text);
    assert_int_equal(mem_count() - before, 5);
}

static void mem__fails_from_the_nth_on(void **state)
{
    (void)state;
    mem_fail_from(3);
    void *first = mem_new(8);
    void *second = mem_zero(8);
    assert_non_null(first);
    assert_non_null(second);
    assert_null(mem_new(8));
    assert_null(mem_zero(8));
    assert_null(mem_copy_text("x", 1));
    mem_fail_from(0);
    void *again = mem_new(8);
    assert_non_null(again);
    mem_free(first);
    mem_free(second);
    mem_free(again);
}

static void mem__failed_resize_leaves_the_old_block(void **state)
{
    (void)state;
    char *block = mem_new(4);
    memcpy(block, "weft", 4);
    mem_fail_from(1);
    assert_null(mem_resize(block, 1000));
    mem_fail_from(0);
    assert_memory_equal(block, "weft", 4);
    mem_free(block);
}

static void *count_one(void *ret_count)
{
    void *block = mem_new(1); /* must not be refused by what the main thread asked for */
    *(uint64_t *)ret_count = block ? mem_count() : 0;
    mem_free(block);
    return NULL;
}

static void mem__threads_count_and_fail_alone(void **state)
{
    (void)state;
    uint64_t before = mem_count(), theirs = 0;
    pthread_t thread;
    mem_fail_from(1);
    assert_int_equal(pthread_create(&thread, NULL, count_one, &theirs), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    mem_fail_from(0);
    assert_int_equal(theirs, 1);
    assert_int_equal(mem_count(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mem__zero_is_zeroed),
        cmocka_unit_test(mem__size_zero_is_a_block),
        cmocka_unit_test(mem__refuses_what_no_machine_has),
        cmocka_unit_test(mem__resize_keeps_the_bytes),
        cmocka_unit_test(mem__copies_text_and_ends_it),
        cmocka_unit_test(mem__counts_every_attempt),
        cmocka_unit_test(mem__fails_from_the_nth_on),
        cmocka_unit_test(mem__failed_resize_leaves_the_old_block),
        cmocka_unit_test(mem__threads_count_and_fail_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
