/* What waits for the next poll: packets copied and referred to, as a payload and one by one. */
#include "base/mem.h"
#include "support/check.h"
#include "transport/engineio_queue.h"
#include <errno.h>

static pool blocks;
static engineio_queue queue;

static int setup(void **state)
{
    (void)state;
    blocks = (pool){0};
    queue = (engineio_queue){0};
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    engineio_queue_drop(&queue, &blocks);
    pool_done(&blocks);
    return 0;
}

static void copy(bool binary, const char *packet)
{
    char *at = engineio_queue_room(&queue, &blocks, binary, strlen(packet));
    assert_non_null(at);
    memcpy(at, packet, strlen(packet));
}

/* By reference: the caller's own goes at once. */
static void refer(bool binary, const char *packet)
{
    chunk *owner = chunk_new(&blocks, strlen(packet));
    assert_non_null(owner);
    memcpy(owner->bytes, packet, strlen(packet));
    owner->len = strlen(packet);
    assert_int_equal(engineio_queue_refer(&queue, &blocks, binary, (str){owner->bytes, owner->len}, owner), 0);
    chunk_unref(&blocks, owner);
}

static void expect(const char *payload)
{
    char at[4096];
    assert_int_equal(queue.bytes, strlen(payload));
    engineio_queue_put(&queue, at);
    assert_memory_equal(at, payload, queue.bytes);
}

static void queue__is_empty_when_zeroed(void **state)
{
    (void)state;
    expect("");
    assert_int_equal(queue.n, 0);
    engineio_queue_drop(&queue, &blocks);
}

static void queue__joins_packets_with_separators(void **state)
{
    (void)state;
    copy(false, "4a");
    expect("4a");
    refer(false, "4bc");
    copy(false, "2");
    refer(true, "\1\2\3");
    copy(true, "\4");
    copy(true, "");
    copy(false, "4");
    expect("4a\x1e"
           "4bc\x1e"
           "2\x1e"
           "bAQID\x1e"
           "bBA==\x1e"
           "b\x1e"
           "4");
    assert_int_equal(queue.n, 7);
}

static void queue__keeps_packets_apart_though_they_lie_together(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++)
        copy(false, "4hello");
    for (uint32_t i = 0; i < queue.n; i++) {
        assert_int_equal(queue.items[i].len, 6);
        assert_memory_equal(queue.items[i].at, "4hello", 6);
    }
    assert_ptr_equal(queue.items[1].at, queue.items[0].at + 6);
}

static void queue__copies_behind_what_it_refers_to_without_touching_it(void **state)
{
    (void)state;
    chunk *owner = chunk_new(&blocks, 1000);
    memcpy(owner->bytes, "4shared!", 8);
    owner->len = 8;
    assert_int_equal(engineio_queue_refer(&queue, &blocks, false, (str){owner->bytes, 8}, owner), 0);
    assert_int_equal(owner->refs, 2);
    copy(false, "4mine");
    assert_int_equal(owner->len, 8);
    expect("4shared!\x1e"
           "4mine");
    engineio_queue_drop(&queue, &blocks);
    assert_int_equal(owner->refs, 1);
    chunk_unref(&blocks, owner);
}

static void queue__copies_small_references_once_they_are_many(void **state)
{
    (void)state;
    char large[600];
    memset(large, 'x', sizeof large - 1);
    large[sizeof large - 1] = '\0';
    for (int i = 0; i < 64; i++)
        refer(false, "4a");
    refer(false, "4b");
    assert_true(queue.items[64].own);
    refer(false, large);
    assert_false(queue.items[65].own);
    assert_memory_equal(queue.items[64].at, "4b", 2);
}

static void queue__is_as_it_was_when_there_is_no_memory(void **state)
{
    (void)state;
    chunk *owner = chunk_new(&blocks, 100);
    for (int i = 0; i < 4; i++)
        refer(false, "4a");
    uint32_t n = queue.n, refs = owner->refs;
    pool_done(&blocks);
    while (queue.n < queue.cap)
        refer(false, "4a");
    n = queue.n;
    pool_done(&blocks);
    mem_fail_from(1);
    assert_null(engineio_queue_room(&queue, &blocks, false, 5000));
    assert_int_equal(engineio_queue_refer(&queue, &blocks, false, (str){owner->bytes, 3}, owner), -ENOMEM);
    mem_fail_from(0);
    assert_int_equal(queue.n, n);
    assert_int_equal(owner->refs, refs);
    chunk_unref(&blocks, owner);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(queue__is_empty_when_zeroed, setup, teardown),
        cmocka_unit_test_setup_teardown(queue__joins_packets_with_separators, setup, teardown),
        cmocka_unit_test_setup_teardown(queue__keeps_packets_apart_though_they_lie_together, setup, teardown),
        cmocka_unit_test_setup_teardown(queue__copies_behind_what_it_refers_to_without_touching_it, setup, teardown),
        cmocka_unit_test_setup_teardown(queue__copies_small_references_once_they_are_many, setup, teardown),
        cmocka_unit_test_setup_teardown(queue__is_as_it_was_when_there_is_no_memory, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
