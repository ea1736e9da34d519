#include "proto/http1_chunk.h"

#include <stdio.h>

#include "support/check.h"
#include "support/guard.h"

/** A payload with room for a chunk on both sides, the last byte of which is the last that may be written. */
static guard framed(size_t len)
{
    size_t total = HTTP1_CHUNK_BEFORE + len + HTTP1_CHUNK_BEHIND;
    char *bytes = malloc(total);
    assert_non_null(bytes);
    memset(bytes, '#', total);
    memset(bytes + HTTP1_CHUNK_BEFORE, 'p', len);
    guard g = guard_copy(bytes, total);
    free(bytes);
    return g;
}

static void check_chunk(size_t len)
{
    char head[16];
    size_t head_len = (size_t)snprintf(head, sizeof head, "%zx\r\n", len);
    guard room = framed(len);
    char *payload = room.at + HTTP1_CHUNK_BEFORE;
    str chunk = http1_chunk_wrap(payload, len);
    assert_int_equal(chunk.len, head_len + len + 2);
    assert_ptr_equal(chunk.at, payload - head_len);
    assert_memory_equal(chunk.at, head, head_len);
    assert_memory_equal(chunk.at + head_len + len, "\r\n", 2);
    for (const char *at = room.at; at < chunk.at; at++)
        assert_int_equal(*at, '#');
    for (size_t i = 0; i < len; i++)
        assert_int_equal(payload[i], 'p');
    assert_int_equal(http1_chunk_head_len(len), head_len);
    assert_true(str_same(http1_chunk_around((str){payload, len}), chunk));
    guard_free(room);
}

static void http1_chunk__has_the_shortest_size(void **state)
{
    (void)state;
    for (size_t len = 1; len <= 300; len++)
        check_chunk(len);
    for (unsigned bits = 8; bits <= 20; bits += 4)
        for (size_t len = ((size_t)1 << bits) - 2; len <= ((size_t)1 << bits) + 2; len++)
            check_chunk(len);
}

/** Sizes that nobody wants to fill: memory that is written to at both ends of the payload only. */
static void http1_chunk__goes_up_to_eight_digits(void **state)
{
    static const size_t sizes[] = {0xffffff, 0x1000000, 0xfffffff, 0x10000000, 0x89abcdef, 0xffffffff};
    enum { TOTAL_MARGIN = HTTP1_CHUNK_BEFORE + HTTP1_CHUNK_BEHIND };
    (void)state;
    for (size_t i = 0; i < N_OF(sizes); i++) {
        char *map = mmap(NULL, sizes[i] + TOTAL_MARGIN, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        assert_ptr_not_equal(map, MAP_FAILED);
        char head[16], *payload = map + HTTP1_CHUNK_BEFORE;
        size_t head_len = (size_t)snprintf(head, sizeof head, "%zx\r\n", sizes[i]);
        str chunk = http1_chunk_wrap(payload, sizes[i]);
        assert_true(chunk.at >= map);
        assert_int_equal(chunk.len, head_len + sizes[i] + 2);
        assert_memory_equal(chunk.at, head, head_len);
        assert_memory_equal(payload + sizes[i], "\r\n", 2);
        assert_true(str_same(http1_chunk_around((str){payload, sizes[i]}), chunk));
        munmap(map, sizes[i] + TOTAL_MARGIN);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(http1_chunk__has_the_shortest_size),
        cmocka_unit_test(http1_chunk__goes_up_to_eight_digits),
    };
    return cmocka_run_group_tests_name("http1_chunk", tests, NULL, NULL);
}
