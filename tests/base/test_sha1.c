#include "base/sha1.h"

#include "support/check.h"
#include <openssl/sha.h>
#include <string.h>

static void check(const char *at, size_t len)
{
    uint8_t ours[SHA1_BYTES], theirs[SHA1_BYTES];
    sha1(at, len, ours);
    SHA1((const unsigned char *)at, len, theirs);
    assert_memory_equal(ours, theirs, sizeof ours);
}

/* Of RFC 3174 §7.3 and FIPS 180. */
static void sha1__digests_what_the_standard_does(void **state)
{
    (void)state;
    uint8_t digest[SHA1_BYTES];
    sha1("abc", 3, digest);
    assert_memory_equal(digest, "\xa9\x99\x3e\x36\x47\x06\x81\x6a\xba\x3e\x25\x71\x78\x50\xc2\x6c\x9c\xd0\xd8\x9d", 20);
    sha1("", 0, digest);
    assert_memory_equal(digest, "\xda\x39\xa3\xee\x5e\x6b\x4b\x0d\x32\x55\xbf\xef\x95\x60\x18\x90\xaf\xd8\x07\x09", 20);
    sha1("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56, digest);
    assert_memory_equal(digest, "\x84\x98\x3e\x44\x1c\x3b\xd2\x6e\xba\xae\x4a\xa1\xf9\x51\x29\xe5\xe5\x46\x70\xf1", 20);
}

static void sha1__agrees_with_openssl_at_every_length(void **state)
{
    (void)state;
    char bytes[300];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)(i * 151 + 7);
    for (size_t len = 0; len <= sizeof bytes; len++)
        check(bytes + sizeof bytes - len, len);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sha1__digests_what_the_standard_does),
        cmocka_unit_test(sha1__agrees_with_openssl_at_every_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
