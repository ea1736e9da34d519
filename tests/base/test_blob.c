#include "base/blob.h"
#include "support/check.h"
#include "support/guard.h"
#include <pthread.h>

static void blob__holds_copies_of_event_and_data(void **state)
{
    (void)state;
    pool p = {0};
    guard event = guard_copy("news", 4), data = guard_copy("{\"a\":1}", 7);
    blob *b = blob_new(&p, WEFT_JSON, (str){event.at, 4}, (str){data.at, 7});
    guard_free(event);
    guard_free(data);
    assert_non_null(b);
    assert_int_equal(b->kind, WEFT_JSON);
    assert_true(str_equal(blob_event(b), STR("news")));
    assert_true(str_equal(blob_data(b), STR("{\"a\":1}")));
    blob_unref(&p, b);
    pool_done(&p);
}

static void blob__may_be_empty(void **state)
{
    (void)state;
    blob *b = blob_new(NULL, WEFT_BINARY, (str){NULL, 0}, (str){NULL, 0});
    assert_non_null(b);
    assert_int_equal(blob_event(b).len, 0);
    assert_int_equal(blob_data(b).len, 0);
    blob_unref(NULL, b);
    blob_unref(NULL, NULL);
}

static void blob__holds_every_length(void **state)
{
    (void)state;
    pool p = {0};
    char bytes[600];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)(i * 31);
    for (size_t len = 0; len <= 300; len++) {
        blob *b = blob_new(&p, WEFT_BINARY, (str){bytes, len / 3}, (str){bytes + 300, len});
        assert_non_null(b);
        assert_true(str_equal(blob_event(b), (str){bytes, len / 3}));
        assert_true(str_equal(blob_data(b), (str){bytes + 300, len}));
        blob_unref(&p, b);
    }
    pool_done(&p);
}

static void blob__lives_until_its_last_reference(void **state)
{
    (void)state;
    pool p = {0};
    blob *b = blob_new(&p, WEFT_TEXT, STR(""), STR("once"));
    assert_ptr_equal(blob_ref(b), b);
    blob_ref(b);
    blob_unref(&p, b);
    blob_unref(&p, b);
    assert_int_equal(p.kept_bytes, 0);
    assert_true(str_equal(blob_data(b), STR("once")));
    size_t block_bytes = b->block_bytes;
    blob_unref(&p, b);
    assert_int_equal(p.kept_bytes, block_bytes);
    pool_done(&p);
}

static void blob__goes_back_to_the_pool_of_the_last_holder(void **state)
{
    (void)state;
    pool theirs = {0};
    blob *b = blob_new(NULL, WEFT_TEXT, STR("e"), STR("data"));
    size_t block_bytes = b->block_bytes;
    blob_unref(&theirs, b);
    assert_int_equal(theirs.kept_bytes, block_bytes);
    blob *again = blob_new(&theirs, WEFT_TEXT, STR("f"), STR("more"));
    assert_ptr_equal(again, b);
    blob_unref(NULL, again);
    pool_done(&theirs);
}

typedef struct {
    blob *shared; /* with a reference for this thread */
    int n_changed, n_last;
} holder;

static void *ref_and_unref(void *of)
{
    pool p = {0};
    holder *h = of;
    for (int i = 0; i < 10000; i++) {
        blob_ref(h->shared);
        h->n_changed += !str_equal(blob_data(h->shared), STR("shared"));
        blob_unref(&p, h->shared);
    }
    blob_unref(&p, h->shared);
    h->n_last = p.kept_bytes > 0;
    pool_done(&p);
    return NULL;
}

static void blob__is_freed_once_by_whichever_thread_is_last(void **state)
{
    (void)state;
    enum { N_THREADS = 4 };
    for (int round = 0; round < 5; round++) {
        blob *b = blob_new(NULL, WEFT_TEXT, STR(""), STR("shared"));
        pthread_t threads[N_THREADS];
        holder holders[N_THREADS] = {{.shared = b}};
        int n_changed = 0, n_last = 0;
        for (int i = 1; i < N_THREADS; i++)
            holders[i].shared = blob_ref(b);
        for (int i = 0; i < N_THREADS; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, ref_and_unref, &holders[i]), 0);
        for (int i = 0; i < N_THREADS; i++) {
            assert_int_equal(pthread_join(threads[i], NULL), 0);
            n_changed += holders[i].n_changed;
            n_last += holders[i].n_last;
        }
        assert_int_equal(n_changed, 0);
        assert_int_equal(n_last, 1);
    }
}

static void blob__refuses_lengths_that_would_wrap(void **state)
{
    (void)state;
    assert_null(blob_new(NULL, WEFT_TEXT, (str){"", SIZE_MAX / 2}, (str){"", SIZE_MAX / 2 + 2}));
    assert_null(blob_new(NULL, WEFT_TEXT, STR(""), (str){"", SIZE_MAX - 8}));
}

static int make_and_drop(void)
{
    pool p = {0};
    blob *small = blob_new(&p, WEFT_TEXT, STR("event"), STR("data"));
    char bytes[1000] = {0};
    blob *large = blob_new(&p, WEFT_BINARY, STR(""), (str){bytes, sizeof bytes});
    int result = small && large ? 0 : -1;
    blob_unref(&p, small);
    blob_unref(&p, large);
    pool_done(&p);
    return result;
}

static void blob__survives_any_failed_allocation(void **state)
{
    (void)state;
    check_failing_allocations(make_and_drop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blob__holds_copies_of_event_and_data),
        cmocka_unit_test(blob__may_be_empty),
        cmocka_unit_test(blob__holds_every_length),
        cmocka_unit_test(blob__lives_until_its_last_reference),
        cmocka_unit_test(blob__goes_back_to_the_pool_of_the_last_holder),
        cmocka_unit_test(blob__is_freed_once_by_whichever_thread_is_last),
        cmocka_unit_test(blob__refuses_lengths_that_would_wrap),
        cmocka_unit_test(blob__survives_any_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
