#include "transport/poll_queue.h"

#include "support/check.h"

static pool blocks;
static poll_queue queue;

static void append(const char *text)
{
    char *at = poll_queue_room(&queue, &blocks, strlen(text));
    assert_non_null(at);
    memcpy(at, text, strlen(text));
}

static chunk *image_of(const char *text, size_t room)
{
    chunk *image = chunk_new(&blocks, strlen(text) + room);
    assert_non_null(image);
    memcpy(image->bytes, text, strlen(text));
    image->len = strlen(text);
    return image;
}

/* The queue holds this, and is empty afterwards. */
static void check_and_drop(const char *expected)
{
    char bytes[8192];
    assert_in_range(queue.bytes, 0, sizeof bytes - 1);
    poll_queue_put(&queue, bytes);
    bytes[queue.bytes] = '\0';
    assert_string_equal(bytes, expected);
    poll_queue_drop(&queue, &blocks);
    assert_int_equal(queue.bytes, 0);
    assert_null(queue.items);
    pool_done(&blocks);
}

static void poll_queue__puts_commas_between_values(void **state)
{
    (void)state;
    check_and_drop("");
    append("1");
    check_and_drop("1");
    append("1");
    append("[2,3]");
    append("\"four\"");
    check_and_drop("1,[2,3],\"four\"");
}

static void poll_queue__refers_to_what_is_shared(void **state)
{
    (void)state;
    chunk *image = image_of("image", 0);
    append("1");
    assert_int_equal(poll_queue_refer(&queue, &blocks, (str){image->bytes + 1, 3}, image), 0);
    append("2");
    assert_int_equal(image->refs, 2);
    check_and_drop("1,mag,2");
    assert_int_equal(image->refs, 1);
    chunk_unref(&blocks, image);
    pool_done(&blocks);
}

static void poll_queue__does_not_touch_what_is_shared(void **state)
{
    (void)state;
    chunk *image = image_of("image", 100);
    assert_int_equal(poll_queue_refer(&queue, &blocks, (str){image->bytes, image->len}, image), 0);
    append("mine");
    assert_int_equal(image->len, 5);
    check_and_drop("image,mine");
    chunk_unref(&blocks, image);
    pool_done(&blocks);
}

static void poll_queue__copies_small_ones_behind_many(void **state)
{
    (void)state;
    enum { N_REFERRED = 64, N_VALUES = 1000 };
    char expected[N_VALUES * 2];
    chunk *image = image_of("i", 0);
    for (size_t i = 0; i < N_VALUES; i++) {
        assert_int_equal(poll_queue_refer(&queue, &blocks, (str){image->bytes, image->len}, image), 0);
        memcpy(expected + i * 2, "i,", 2);
    }
    expected[sizeof expected - 1] = '\0';
    assert_int_equal(image->refs, 1 + N_REFERRED);
    check_and_drop(expected);
    chunk_unref(&blocks, image);
    pool_done(&blocks);
}

static int fill(void)
{
    chunk *image = chunk_new(&blocks, 5);
    int result = image ? 0 : -1;
    for (int i = 0; !result && i < 100; i++) {
        memcpy(image->bytes, "image", 5);
        result = poll_queue_refer(&queue, &blocks, (str){image->bytes, 5}, image);
        if (!result && !poll_queue_room(&queue, &blocks, 600))
            result = -1;
    }
    poll_queue_drop(&queue, &blocks);
    if (image)
        assert_int_equal(image->refs, 1);
    chunk_unref(&blocks, image);
    pool_done(&blocks);
    return result;
}

static void poll_queue__takes_all_or_nothing_without_memory(void **state)
{
    (void)state;
    check_failing_allocations(fill);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(poll_queue__puts_commas_between_values),
        cmocka_unit_test(poll_queue__refers_to_what_is_shared),
        cmocka_unit_test(poll_queue__does_not_touch_what_is_shared),
        cmocka_unit_test(poll_queue__copies_small_ones_behind_many),
        cmocka_unit_test(poll_queue__takes_all_or_nothing_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
