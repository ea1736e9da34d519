#include "base/chunk.h"
#include "support/check.h"

static void chunk__begins_empty_with_the_room_asked_for(void **state)
{
    (void)state;
    pool p = {0};
    for (size_t bytes = 0; bytes < 20000; bytes += 1 + bytes / 10) {
        chunk *c = chunk_new(&p, bytes);
        assert_non_null(c);
        assert_int_equal(c->len, 0);
        assert_int_equal(c->refs, 1);
        assert_null(c->body);
        assert_true(chunk_room(c) >= bytes);
        memset(c->bytes, 'x', c->cap); /* all of it is ours, or the address sanitizer says so */
        chunk_unref(&p, c);
    }
    pool_done(&p);
}

static void chunk__room_shrinks_as_it_fills(void **state)
{
    (void)state;
    chunk *c = chunk_new(NULL, 100);
    size_t cap = c->cap;
    memcpy(c->bytes, "abc", 3);
    c->len += 3;
    assert_int_equal(chunk_room(c), cap - 3);
    c->len = cap;
    assert_int_equal(chunk_room(c), 0);
    chunk_unref(NULL, c);
    chunk_unref(NULL, NULL);
}

static void chunk__lives_until_its_last_reference(void **state)
{
    (void)state;
    pool p = {0};
    chunk *c = chunk_new(&p, 10);
    size_t block_bytes = c->block_bytes;
    assert_ptr_equal(chunk_ref(c), c);
    chunk_unref(&p, c);
    assert_int_equal(p.kept_bytes, 0);
    chunk_unref(&p, c);
    assert_int_equal(p.kept_bytes, block_bytes);
    pool_done(&p);
}

static void chunk__holds_its_body_as_long_as_it_lives(void **state)
{
    (void)state;
    pool p = {0};
    blob *body = blob_new(&p, WEFT_TEXT, STR(""), STR("body"));
    chunk *c = chunk_new(&p, 10);
    c->body = blob_ref(body);
    blob_unref(&p, body);
    chunk_ref(c);
    chunk_unref(&p, c);
    assert_true(str_equal(blob_data(c->body), STR("body")));
    chunk_unref(&p, c); /* with the blob's last reference: the leak checker would find it */
    pool_done(&p);
}

static int make_and_drop(void)
{
    pool p = {0};
    chunk *small = chunk_new(&p, 10), *large = chunk_new(&p, 10000);
    int result = small && large ? 0 : -1;
    chunk_unref(&p, small);
    chunk_unref(&p, large);
    pool_done(&p);
    return result;
}

static void chunk__survives_any_failed_allocation(void **state)
{
    (void)state;
    check_failing_allocations(make_and_drop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chunk__begins_empty_with_the_room_asked_for),
        cmocka_unit_test(chunk__room_shrinks_as_it_fills),
        cmocka_unit_test(chunk__lives_until_its_last_reference),
        cmocka_unit_test(chunk__holds_its_body_as_long_as_it_lives),
        cmocka_unit_test(chunk__survives_any_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
