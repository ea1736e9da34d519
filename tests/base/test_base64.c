#include "base/base64.h"
#include "support/check.h"
#include "support/guard.h"

/* RFC 4648 §10, and one value for every position of the alphabet's ends. */
static const struct {
    str bytes, text;
} vectors[] = {
    {STR(""), STR("")},
    {STR("f"), STR("Zg==")},
    {STR("fo"), STR("Zm8=")},
    {STR("foo"), STR("Zm9v")},
    {STR("foob"), STR("Zm9vYg==")},
    {STR("fooba"), STR("Zm9vYmE=")},
    {STR("foobar"), STR("Zm9vYmFy")},
    {STR("\0\0\0"), STR("AAAA")},
    {STR("\xff\xff\xff"), STR("////")},
    {STR("\xfb\xef\xbe"), STR("++++")},
    {STR("\0"), STR("AA==")},
    {STR("\xff"), STR("/w==")},
    {STR("\xff\xff"), STR("//8=")},
};

/** Both buffers end at an unreadable page, so that one byte too many in or out crashes. */
static void check_encode(str bytes, str text)
{
    assert_int_equal(base64_encoded_len(bytes.len), text.len);
    guard in = guard_copy(bytes.at, bytes.len), out = guard_copy(text.at, text.len);
    memset(out.at, 0, text.len);
    base64_encode(in.at, bytes.len, out.at);
    assert_memory_equal(out.at, text.at, text.len);
    guard_free(in);
    guard_free(out);
}

static int64_t decode(str text, char *ret_bytes)
{
    size_t room = text.len / 4 * 3;
    char zeros[512] = {0};
    assert_true(room <= sizeof zeros);
    guard in = guard_copy(text.at, text.len), out = guard_copy(zeros, room);
    int64_t n = base64_decode((str){in.at, text.len}, out.at);
    if (n > 0) {
        assert_true((size_t)n <= room);
        memcpy(ret_bytes, out.at, (size_t)n);
    }
    guard_free(in);
    guard_free(out);
    return n;
}

static void base64__encodes_the_vectors(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_OF(vectors); i++)
        check_encode(vectors[i].bytes, vectors[i].text);
}

static void base64__decodes_the_vectors(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_OF(vectors); i++) {
        char bytes[16];
        assert_int_equal(decode(vectors[i].text, bytes), vectors[i].bytes.len);
        assert_memory_equal(bytes, vectors[i].bytes.at, vectors[i].bytes.len);
    }
}

static void base64__brings_back_every_length(void **state)
{
    (void)state;
    for (size_t len = 0; len < 300; len++) {
        char bytes[300], text[400], back[300];
        for (size_t i = 0; i < len; i++)
            bytes[i] = (char)(i * 167 + len);
        base64_encode(bytes, len, text);
        assert_int_equal(decode((str){text, base64_encoded_len(len)}, back), len);
        assert_memory_equal(back, bytes, len);
    }
}

static void base64__rejects_wrong_shapes(void **state)
{
    (void)state;
    static const str wrong[] = {
        STR("Z"),      STR("Zg"),       STR("Zg="),  STR("Zm8"),      STR("Zm9vY"),        STR("Zg==="),
        STR("="),      STR("=="),       STR("==="),  STR("===="),     STR("Z==="),         STR("=g=="),
        STR("Zg=v"),   STR("Z=g="),     STR("=Zg="), STR("Zg==Zg=="), STR("Zm8=Zm9v"),     STR("Zm9v===="),
        STR("Zm9v\n"), STR("Zm9v\r\n"), STR(" Zm9"), STR("Zm 9"),     STR("Zm9v\0\0\0\0"),
    };
    for (size_t i = 0; i < N_OF(wrong); i++) {
        char bytes[16];
        assert_int_equal(decode(wrong[i], bytes), WEFT_E_INVALID);
    }
}

static bool in_alphabet(int c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' || c == '/';
}

static void base64__rejects_characters_outside_the_alphabet(void **state)
{
    (void)state;
    for (size_t at = 0; at < 8; at++) {
        for (int c = 0; c < 256; c++) {
            char text[] = "AAAAAAAA", bytes[6];
            text[at] = (char)c;
            bool good = in_alphabet(c) || (c == '=' && at == 7);
            assert_int_equal(decode((str){text, 8}, bytes), !good ? WEFT_E_INVALID : c == '=' ? 5 : 6);
        }
    }
}

/* Of the 64 characters that may stand before the padding those are right whose bits beyond the last byte are zero. */
static void base64__rejects_unused_bits(void **state)
{
    (void)state;
    int n_one = 0, n_two = 0;
    for (int c = 0; c < 256; c++) {
        char one[] = "A?==", two[] = "AA?=", bytes[3];
        one[1] = two[2] = (char)c;
        n_one += decode((str){one, 4}, bytes) == 1;
        n_two += decode((str){two, 4}, bytes) == 2;
    }
    assert_int_equal(n_one, 64 / 16);
    assert_int_equal(n_two, 64 / 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(base64__encodes_the_vectors),
        cmocka_unit_test(base64__decodes_the_vectors),
        cmocka_unit_test(base64__brings_back_every_length),
        cmocka_unit_test(base64__rejects_wrong_shapes),
        cmocka_unit_test(base64__rejects_characters_outside_the_alphabet),
        cmocka_unit_test(base64__rejects_unused_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
