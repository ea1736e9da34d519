#include "hub/cursor.h"
#include "support/check.h"
#include "support/guard.h"

/* From memory that ends where the text does, so that a look beyond it crashes. */
static since read_guarded(const char *at, size_t len)
{
    guard g = guard_copy(at, len);
    since s = since_read((str){g.at, len});
    guard_free(g);
    return s;
}

static void assert_foreign(const char *at, size_t len)
{
    since s = read_guarded(at, len);
    assert_int_equal(s.from, SINCE_CURSOR);
    assert_int_equal(s.at.epoch, 0);
    assert_int_equal(s.at.number, 0);
}

static const uint64_t numbers[] = {
    0, 1, 9, 10, 99, 100, 4294967295, 4294967296, UINT64_C(999999999999999999), UINT64_C(9999999999999999999)};
static const uint64_t epochs[] = {1, 0xf, 0xabcdef012345, 0x800000000000, 0xffffffffffff};

static void cursor__comes_back_as_it_was_put(void **state)
{
    (void)state;
    for (size_t e = 0; e < N_OF(epochs); e++) {
        for (size_t n = 0; n < N_OF(numbers); n++) {
            char text[CURSOR_BYTES];
            size_t len = cursor_put((cursor){epochs[e], numbers[n]}, text);
            since s = read_guarded(text, len);
            assert_int_equal(s.from, SINCE_CURSOR);
            assert_true(s.at.epoch == epochs[e] && s.at.number == numbers[n]);
        }
    }
}

static void cursor__is_put_as_it_is_documented(void **state)
{
    (void)state;
    char text[CURSOR_BYTES];
    assert_int_equal(cursor_put((cursor){0x5f1d07a3c2be, 42}, text), 15);
    assert_memory_equal(text, "5f1d07a3c2be-42", 15);
    assert_int_equal(cursor_put((cursor){1, 0}, text), 14);
    assert_memory_equal(text, "000000000001-0", 14);
    assert_int_equal(cursor_put((cursor){0xffffffffffff, UINT64_MAX}, text), CURSOR_BYTES);
    assert_memory_equal(text, "ffffffffffff-18446744073709551615", CURSOR_BYTES);
}

/* Whatever is read as a place is the text that would be put for it: with any byte changed it is another, or none. */
static void cursor__one_place_has_one_text(void **state)
{
    (void)state;
    static const char *const texts[] = {"5f1d07a3c2be-0", "5f1d07a3c2be-42", "000000000001-9999999999999999999"};
    for (size_t t = 0; t < N_OF(texts); t++) {
        size_t len = strlen(texts[t]);
        for (size_t at = 0; at < len; at++) {
            for (int byte = 0; byte < 256; byte++) {
                char text[CURSOR_BYTES], again[CURSOR_BYTES];
                memcpy(text, texts[t], len);
                text[at] = (char)byte;
                since s = since_read((str){text, len});
                if (!s.at.epoch)
                    continue;
                assert_int_equal(cursor_put(s.at, again), len);
                assert_memory_equal(again, text, len);
            }
        }
    }
}

static void since__malformed_texts_are_foreign(void **state)
{
    (void)state;
    static const str bad[] = {
        STR(""),
        STR("0"),
        STR("-"),
        STR("-0"),
        STR("5f1d07a3c2be"),
        STR("5f1d07a3c2be-"),
        STR("5f1d07a3c2be42"),
        STR("5f1d07a3c2be_42"),
        STR("5f1d07a3c2b-42"),   /* an epoch too short */
        STR("5f1d07a3c2bea-42"), /* too long */
        STR("5F1D07A3C2BE-42"),
        STR("5f1d07a3c2bE-42"),
        STR("5f1d07a3c2bg-42"),
        STR("5f1d07a3c2be-00"),
        STR("5f1d07a3c2be-042"),
        STR("5f1d07a3c2be-4 "),
        STR(" 5f1d07a3c2be-4"),
        STR("5f1d07a3c2be-+4"),
        STR("5f1d07a3c2be--4"),
        STR("5f1d07a3c2be-4a"),
        STR("5f1d07a3c2be-4\0"),
        STR("5f1d07a3c2be-4\0001"),
        STR("5f1d07a3\0c2b-42"),
        STR("\0"),
        STR("5f1d07a3c2be-10000000000000000000"), /* 20 digits */
        STR("5f1d07a3c2be-18446744073709551616"), /* what would be 0 again */
        STR("5f1d07a3c2be-18446744073709551658"), /* and 42 */
        STR("5f1d07a3c2be-99999999999999999999999999999999999999"),
        STR("5f1d07a3c2be-00000000000000000000"),
        STR("Start"),
        STR("start "),
        STR("star"),
        STR("start\0"),
        STR("now"),
    };
    for (size_t i = 0; i < N_OF(bad); i++)
        assert_foreign(bad[i].at, bad[i].len);
}

/* No topic has the epoch 0, so this is foreign to all of them, however well it reads. */
static void since__epoch_0_is_foreign(void **state)
{
    (void)state;
    since s = since_read(STR("000000000000-7"));
    assert_int_equal(s.from, SINCE_CURSOR);
    assert_int_equal(s.at.epoch, 0);
}

static void since__nothing_is_now_and_start_is_start(void **state)
{
    (void)state;
    assert_int_equal(since_read((str){NULL, 0}).from, SINCE_NOW);
    assert_int_equal(read_guarded("start", 5).from, SINCE_START);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cursor__comes_back_as_it_was_put), cmocka_unit_test(cursor__is_put_as_it_is_documented),
        cmocka_unit_test(cursor__one_place_has_one_text),   cmocka_unit_test(since__malformed_texts_are_foreign),
        cmocka_unit_test(since__epoch_0_is_foreign),        cmocka_unit_test(since__nothing_is_now_and_start_is_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
