#include "bench/payload.h"
#include "support/check.h"

#include <stdio.h>
#include <stdlib.h>

static const size_t lengths[] = {16, 17, 20, 100, 1024, 65536, 65536 + 16, 65536 + 17, 200000};

static char *message_of(size_t len, uint32_t source, uint64_t number)
{
    char *at = malloc(len); /* of that length, so that a sanitizer sees what is written behind it */
    bench_payload_put(at, len, source, number);
    return at;
}

static void payload__says_its_number(void **state)
{
    (void)state;
    const uint64_t numbers[] = {0, 1, 15, 16, 4711, UINT64_C(0xfffffffff)};
    for (size_t i = 0; i < N_OF(lengths); i++)
        for (size_t n = 0; n < N_OF(numbers); n++) {
            char *at = message_of(lengths[i], 0xa1f, numbers[n]);
            assert_int_equal(bench_payload_check((str){at, lengths[i]}, lengths[i], 0xa1f), numbers[n]);
            free(at);
        }
}

static void payload__begins_with_source_and_number(void **state)
{
    (void)state;
    char *at = message_of(100, 0xa1f, 0x17f);
    assert_memory_equal(at, "000a1f00000017f.", 16);
    free(at);
}

static void payload__any_byte_that_is_changed_is_seen(void **state)
{
    (void)state;
    char *at = message_of(300, 7, 9);
    for (size_t i = 0; i < 300; i++)
        for (int bit = 0; bit < 8; bit++) {
            at[i] = (char)(at[i] ^ 1 << bit);
            uint64_t said = bench_payload_check((str){at, 300}, 300, 7);
            assert_true(said == UINT64_MAX || (i < 15 && said != 9)); /* another number's words may be the same */
            at[i] = (char)(at[i] ^ 1 << bit);
        }
    free(at);
}

static void payload__another_length_or_source_is_wrong(void **state)
{
    (void)state;
    char *at = message_of(100, 7, 9);
    assert_true(bench_payload_check((str){at, 99}, 100, 7) == UINT64_MAX);
    assert_true(bench_payload_check((str){at, 100}, 101, 7) == UINT64_MAX);
    assert_true(bench_payload_check((str){at, 100}, 100, 8) == UINT64_MAX);
    assert_true(bench_payload_check((str){NULL, 0}, 100, 7) == UINT64_MAX);
    assert_true(bench_payload_check((str){at, 15}, 15, 7) == UINT64_MAX);
    free(at);
}

static void payload__stands_in_json_as_it_is(void **state)
{
    (void)state;
    char *at = message_of(200000, 1, 2);
    for (size_t i = 0; i < 200000; i++)
        assert_true(at[i] >= 0x20 && at[i] < 0x7f && at[i] != '"' && at[i] != '\\');
    free(at);
}

static void payload__messages_differ(void **state)
{
    (void)state;
    char *one = message_of(200, 1, 1), *next = message_of(200, 1, 2), *other = message_of(200, 2, 1);
    assert_memory_not_equal(one + 16, next + 16, 184);
    assert_memory_not_equal(one + 16, other + 16, 184);
    free(one);
    free(next);
    free(other);
}

static void payload__says_whose_it_is(void **state)
{
    (void)state;
    char *at = message_of(16, 0xabcdef, 5);
    assert_int_equal(bench_payload_source((str){at, 16}), 0xabcdef);
    assert_int_equal(bench_payload_source((str){at, 15}), UINT32_MAX);
    at[0] = 'g';
    assert_int_equal(bench_payload_source((str){at, 16}), UINT32_MAX);
    at[0] = 'a';
    at[15] = ',';
    assert_int_equal(bench_payload_source((str){at, 16}), UINT32_MAX);
    free(at);
    assert_int_equal(bench_payload_source(STR("")), UINT32_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(payload__says_its_number),
        cmocka_unit_test(payload__begins_with_source_and_number),
        cmocka_unit_test(payload__any_byte_that_is_changed_is_seen),
        cmocka_unit_test(payload__another_length_or_source_is_wrong),
        cmocka_unit_test(payload__stands_in_json_as_it_is),
        cmocka_unit_test(payload__messages_differ),
        cmocka_unit_test(payload__says_whose_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
