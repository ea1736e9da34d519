#include "base/str.h"
#include "proto/ws_frame.h"
#include "support/check.h"
#include "support/guard.h"

typedef bool mask_function(char *dst, const char *src, size_t len, const uint8_t mask[4], size_t offset);

static mask_function *const functions[] = {ws_mask, ws_mask_portable};

enum { MAX_LEN = 5000 };

static const uint8_t mask[4] = {0x37, 0xfa, 0x21, 0x3d};
static char source[MAX_LEN], expected[MAX_LEN];

/* RFC 6455 §5.3 to the letter. */
static bool model(char *dst, const char *src, size_t len, const uint8_t key[4], size_t offset)
{
    uint8_t seen = 0;
    for (size_t i = 0; i < len; i++) {
        dst[i] = (char)((uint8_t)src[i] ^ key[(offset + i) % 4]);
        seen |= (uint8_t)dst[i];
    }
    return seen < 0x80;
}

static int fill_source(void **state)
{
    (void)state;
    uint32_t x = 1;
    for (size_t i = 0; i < MAX_LEN; i++) {
        x = x * 1664525 + 1013904223;
        source[i] = (char)(x >> 24);
    }
    return 0;
}

static void check_in_place(mask_function *function, size_t len, size_t offset)
{
    bool ascii = model(expected, source, len, mask, offset);
    guard copy = guard_copy(source, len);
    assert_int_equal(function(copy.at, copy.at, len, mask, offset), ascii);
    assert_memory_equal(copy.at, expected, len);
    guard_free(copy);
}

/* At every alignment, with bytes around that must stay. */
static void check_elsewhere(mask_function *function, size_t len, size_t offset, size_t shift)
{
    char dst[MAX_LEN + 80];
    bool ascii = model(expected, source + shift, len, mask, offset);
    memset(dst, '#', sizeof dst);
    assert_int_equal(function(dst + 8 + shift, source + shift, len, mask, offset), ascii);
    assert_memory_equal(dst + 8 + shift, expected, len);
    for (size_t i = 0; i < 8 + shift; i++)
        assert_int_equal(dst[i], '#');
    for (size_t i = 8 + shift + len; i < len + 80; i++)
        assert_int_equal(dst[i], '#');
}

/* RFC 6455 §5.7. */
static void ws_mask__unmasks_the_hello_of_the_rfc(void **state)
{
    (void)state;
    for (size_t f = 0; f < N_OF(functions); f++) {
        char text[5];
        functions[f](text, "\x7f\x9f\x4d\x51\x58", 5, mask, 0);
        assert_memory_equal(text, "Hello", 5);
    }
}

static void ws_mask__equals_the_rfc_byte_for_byte(void **state)
{
    (void)state;
    for (size_t f = 0; f < N_OF(functions); f++)
        for (size_t len = 0; len < 400; len++)
            for (size_t offset = 0; offset < 5; offset++)
                check_in_place(functions[f], len, offset);
}

static void ws_mask__equals_the_rfc_at_every_alignment(void **state)
{
    (void)state;
    for (size_t f = 0; f < N_OF(functions); f++)
        for (size_t len = 0; len < 200; len++)
            for (size_t shift = 0; shift < 33; shift++)
                check_elsewhere(functions[f], len, len + shift, shift);
}

static void ws_mask__equals_the_rfc_on_long_payloads(void **state)
{
    (void)state;
    static const size_t lens[] = {511, 512, 513, 1024, 4095, 4096, 4097, MAX_LEN - 33};
    for (size_t f = 0; f < N_OF(functions); f++)
        for (size_t i = 0; i < N_OF(lens); i++)
            for (size_t offset = 0; offset < 4; offset++) {
                check_in_place(functions[f], lens[i], offset);
                check_elsewhere(functions[f], lens[i], offset, 1);
            }
}

static void ws_mask__undoes_itself_in_any_pieces(void **state)
{
    (void)state;
    for (size_t f = 0; f < N_OF(functions); f++)
        for (size_t split = 0; split <= 150; split++) {
            char text[150];
            functions[f](text, source, sizeof text, mask, 0);
            functions[f](text, text, split, mask, 0);
            functions[f](text + split, text + split, sizeof text - split, mask, split);
            assert_memory_equal(text, source, sizeof text);
        }
}

/* One byte that is not ASCII, wherever it stands, must show. */
static void ws_mask__tells_ascii_from_the_rest(void **state)
{
    (void)state;
    for (size_t f = 0; f < N_OF(functions); f++)
        for (size_t len = 1; len < 300; len++) {
            char masked[300], text[300];
            memset(text, 'a', len);
            model(masked, text, len, mask, 0);
            assert_int_equal(functions[f](text, masked, len, mask, 0), true);
            for (size_t wide = 0; wide < len; wide++) {
                masked[wide] ^= (char)0x80;
                assert_int_equal(functions[f](text, masked, len, mask, 0), false);
                masked[wide] ^= (char)0x80;
            }
        }
}

static void ws_mask__takes_nothing(void **state)
{
    (void)state;
    for (size_t f = 0; f < N_OF(functions); f++)
        assert_true(functions[f](NULL, NULL, 0, mask, 3));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ws_mask__unmasks_the_hello_of_the_rfc),
        cmocka_unit_test(ws_mask__equals_the_rfc_byte_for_byte),
        cmocka_unit_test(ws_mask__equals_the_rfc_at_every_alignment),
        cmocka_unit_test(ws_mask__equals_the_rfc_on_long_payloads),
        cmocka_unit_test(ws_mask__undoes_itself_in_any_pieces),
        cmocka_unit_test(ws_mask__tells_ascii_from_the_rest),
        cmocka_unit_test(ws_mask__takes_nothing),
    };
    return cmocka_run_group_tests(tests, fill_source, NULL);
}
