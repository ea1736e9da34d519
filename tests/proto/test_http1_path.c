#include "proto/http1.h"
#include "support/check.h"
#include "support/guard.h"

/* Both sides end at an unreadable page; the output has the room that the contract asks for and no more. */
static void check_path(const char *raw, const char *expected)
{
    size_t raw_len = strlen(raw);
    guard in = guard_copy(raw, raw_len);
    char room[256] = {0};
    assert_true(raw_len < sizeof room);
    guard out = guard_copy(room, raw_len + 1);
    int64_t len = http1_decode_path((str){in.at, raw_len}, out.at);
    if (expected) {
        assert_int_equal(len, strlen(expected));
        assert_memory_equal(out.at, expected, strlen(expected));
    } else {
        assert_int_equal(len, WEFT_E_INVALID);
    }
    guard_free(in);
    guard_free(out);
}

static void http1_decode_path__decodes_escapes(void **state)
{
    (void)state;
    check_path("", "/");
    check_path("/", "/");
    check_path("/a/b.c", "/a/b.c");
    check_path("/a%20b", "/a b");
    check_path("/%41%6a%4A", "/AjJ");
    check_path("/%c3%A9", "/\xc3\xa9");
    check_path("/%25%32%35", "/%25"); /* once only */
    check_path("/%5C%0a%3f", "/\\\n?");
    check_path("/a+b", "/a+b");
    check_path("/a[0]/[", "/a[0]/[");
    check_path("//", "//");
    check_path("//a//b/", "//a//b/");
}

static void http1_decode_path__removes_dot_segments(void **state)
{
    (void)state;
    check_path("/.", "/");
    check_path("/./", "/");
    check_path("/./a", "/a");
    check_path("/a/.", "/a/");
    check_path("/a/./b", "/a/b");
    check_path("/a/..", "/");
    check_path("/a/../", "/");
    check_path("/a/../b", "/b");
    check_path("/a/b/..", "/a/");
    check_path("/a/b/../c", "/a/c");
    check_path("/a/b/../../c", "/c");
    check_path("/a/b/c/./../../g", "/a/g"); /* RFC 3986 §5.2.4 */
    check_path("/a//../b", "/a/b");
    check_path("//..", "/");
    check_path("/%2e/a", "/a");
    check_path("/a/%2E%2e/b", "/b");
    check_path("/a/.%2e", "/");
    check_path("/...", "/...");
    check_path("/.a/..b/c.", "/.a/..b/c.");
    check_path("/%252e%252e", "/%2e%2e");
}

static void http1_decode_path__refuses_to_climb_above_the_root(void **state)
{
    (void)state;
    check_path("/..", NULL);
    check_path("/../", NULL);
    check_path("/../a", NULL);
    check_path("/./..", NULL);
    check_path("/a/../..", NULL);
    check_path("/a/../../b", NULL);
    check_path("/%2e%2e/etc/passwd", NULL);
    check_path("/a/%2e%2e/%2e./b", NULL);
}

static void http1_decode_path__refuses_what_no_path_has(void **state)
{
    (void)state;
    check_path("a", NULL);
    check_path("*", NULL);
    check_path("../a", NULL);
    check_path("/%", NULL);
    check_path("/%4", NULL);
    check_path("/%4x", NULL);
    check_path("/%x4", NULL);
    check_path("/a%2Fb", NULL);
    check_path("/a%2fb", NULL);
    check_path("/..%2f", NULL);
    check_path("/a%00", NULL);
    check_path("/a?b", NULL);
    check_path("/a#b", NULL);
    check_path("/a b", NULL);
    check_path("/a\\b", NULL);
    check_path("/\x01", NULL);
    check_path("/\xc3\xa9", NULL);
    char nul;
    assert_int_equal(http1_decode_path((str){"\0", 1}, &nul), WEFT_E_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(http1_decode_path__decodes_escapes),
        cmocka_unit_test(http1_decode_path__removes_dot_segments),
        cmocka_unit_test(http1_decode_path__refuses_to_climb_above_the_root),
        cmocka_unit_test(http1_decode_path__refuses_what_no_path_has),
    };
    return cmocka_run_group_tests_name("http1_path", tests, NULL, NULL);
}
