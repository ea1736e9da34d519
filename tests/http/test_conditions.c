#include "files_fixture.h"

/* --------------------------------------------------------------------------------------------------------- conditions */

#define LONG_AGO "Sun, 06 Nov 1994 08:49:37 GMT"
#define BEFORE   "Sun, 06 Nov 1994 08:49:36 GMT"
#define AFTER    "Sun, 06 Nov 1994 08:49:38 GMT"

/* $ is the file's tag. */
static const struct {
    const char *fields;
    int status;
} condition_cases[] = {
    {"If-None-Match: $\r\n", 304},
    {"If-None-Match: W/$\r\n", 304},
    {"If-None-Match: *\r\n", 304},
    {"If-None-Match: \"a\", $\r\n", 304},
    {"If-None-Match: \"a,b\" ,, W/$,\r\n", 304},
    {"If-None-Match: \"a\"\r\nIf-None-Match: $\r\n", 304},
    {"If-None-Match: \"a\"\r\n", 200},
    {"If-None-Match: \"a\", W/\"b\"\r\n", 200},
    {"If-None-Match: \r\n", 200},
    {"If-None-Match: nonsense\r\n", 200},
    {"If-None-Match: w/$\r\n", 200},
    {"If-None-Match: W/\r\n", 200},
    {"If-Modified-Since: " LONG_AGO "\r\n", 304},
    {"If-Modified-Since: " AFTER "\r\n", 304},
    {"If-Modified-Since: " BEFORE "\r\n", 200},
    {"If-Modified-Since: Sunday, 06-Nov-94 08:49:37 GMT\r\n", 304},
    {"If-Modified-Since: Sun Nov  6 08:49:37 1994\r\n", 304},
    {"If-Modified-Since: Sun Nov  6 08:49:36 1994\r\n", 200},
    {"If-Modified-Since: yesterday\r\n", 200},
    {"If-Modified-Since: " AFTER "\r\nIf-Modified-Since: " AFTER "\r\n", 200},
    {"If-None-Match: \"a\"\r\nIf-Modified-Since: " AFTER "\r\n", 200}, /* §13.1.3 */
    {"If-None-Match: $\r\nIf-Modified-Since: " BEFORE "\r\n", 304},
    {"If-Match: $\r\n", 200},
    {"If-Match: *\r\n", 200},
    {"If-Match: \"a\", $\r\n", 200},
    {"If-Match: W/$\r\n", 412}, /* strong comparison */
    {"If-Match: \"a\"\r\n", 412},
    {"If-Match: \r\n", 412},
    {"If-Unmodified-Since: " LONG_AGO "\r\n", 200},
    {"If-Unmodified-Since: " AFTER "\r\n", 200},
    {"If-Unmodified-Since: " BEFORE "\r\n", 412},
    {"If-Unmodified-Since: never\r\n", 200},
    {"If-Match: $\r\nIf-Unmodified-Since: " BEFORE "\r\n", 200}, /* §13.1.4 */
    {"If-Match: \"a\"\r\nIf-None-Match: $\r\n", 412},            /* §13.2.2 */
    {"If-Match: $\r\nIf-None-Match: $\r\n", 304},
    {"If-None-Match: $\r\nRange: bytes=0-1\r\n", 304},
    {"If-Match: \"a\"\r\nRange: bytes=0-1\r\n", 412},
    {"If-Match: $\r\nRange: bytes=0-1\r\n", 206},
};

static void conditions__are_answered(void **state)
{
    char etag[128];
    (void)state;
    get("/a.txt", NULL);
    snprintf(etag, sizeof etag, "%.100s", field("ETag"));
    for (size_t i = 0; i < N_OF(condition_cases); i++) {
        const char *fields = filled(condition_cases[i].fields, etag);
        int status = condition_cases[i].status;
        get("/a.txt", fields);
        check_answer(fields, status, status == 200 ? "0123456789" : status == 304 ? "" : NULL);
        check_field(fields, "ETag", status < 400 ? etag : NULL);
        check_field(fields, "Last-Modified", status < 300 ? LONG_AGO : NULL);
        check_field(fields, "Cache-Control", status < 400 ? "no-cache" : NULL);
    }
    get("/missing", "If-Match: \"a\"\r\n"); /* §13.2.1: conditions are asked only of what is there */
    check_answer("missing", 404, NULL);
    get("/missing", "If-None-Match: *\r\n");
    check_answer("missing", 404, NULL);
}

/* ------------------------------------------------------------------------------------------------------------- ranges */

/* $ is the file's tag. Content-Range NULL: none. */
static const struct {
    const char *fields;
    int status;
    const char *body, *content_range;
} range_cases[] = {
    {"Range: bytes=0-0\r\n", 206, "0", "bytes 0-0/10"},
    {"Range: bytes=0-4\r\n", 206, "01234", "bytes 0-4/10"},
    {"Range: bytes=5-9\r\n", 206, "56789", "bytes 5-9/10"},
    {"Range: bytes=9-9\r\n", 206, "9", "bytes 9-9/10"},
    {"Range: bytes=0-9\r\n", 206, "0123456789", "bytes 0-9/10"},
    {"Range: bytes=8-10\r\n", 206, "89", "bytes 8-9/10"},
    {"Range: bytes=8-99999999999999999999999\r\n", 206, "89", "bytes 8-9/10"},
    {"Range: bytes=0-18446744073709551615\r\n", 206, "0123456789", "bytes 0-9/10"},
    {"Range: bytes=3-\r\n", 206, "3456789", "bytes 3-9/10"},
    {"Range: bytes=0-\r\n", 206, "0123456789", "bytes 0-9/10"},
    {"Range: bytes=-1\r\n", 206, "9", "bytes 9-9/10"},
    {"Range: bytes=-3\r\n", 206, "789", "bytes 7-9/10"},
    {"Range: bytes=-10\r\n", 206, "0123456789", "bytes 0-9/10"},
    {"Range: bytes=-11\r\n", 206, "0123456789", "bytes 0-9/10"},
    {"Range: bytes=-99999999999999999999999\r\n", 206, "0123456789", "bytes 0-9/10"},
    {"Range: Bytes=000-001\r\n", 206, "01", "bytes 0-1/10"},
    {"Range: bytes=,0-1,\r\n", 206, "01", "bytes 0-1/10"},
    /* nothing of it */
    {"Range: bytes=10-\r\n", 416, "no such range\n", "bytes */10"},
    {"Range: bytes=10-10\r\n", 416, "no such range\n", "bytes */10"},
    {"Range: bytes=100-200\r\n", 416, "no such range\n", "bytes */10"},
    {"Range: bytes=18446744073709551616-\r\n", 416, "no such range\n", "bytes */10"},
    {"Range: bytes=-0\r\n", 416, "no such range\n", "bytes */10"},
    /* no range, or several */
    {"Range: bytes=0-1,3-4\r\n", 200, "0123456789", NULL},
    {"Range: bytes=0-1, -1\r\n", 200, "0123456789", NULL},
    {"Range: bytes=0-1\r\nRange: bytes=3-4\r\n", 200, "0123456789", NULL},
    {"Range: bytes=4-3\r\n", 200, "0123456789", NULL},
    {"Range: bytes=-\r\n", 200, "0123456789", NULL},
    {"Range: bytes=\r\n", 200, "0123456789", NULL},
    {"Range: bytes\r\n", 200, "0123456789", NULL},
    {"Range: \r\n", 200, "0123456789", NULL},
    {"Range: bytes=5\r\n", 200, "0123456789", NULL},
    {"Range: bytes=a-b\r\n", 200, "0123456789", NULL},
    {"Range: bytes=1-b\r\n", 200, "0123456789", NULL},
    {"Range: bytes=1-2x\r\n", 200, "0123456789", NULL},
    {"Range: bytes=--1\r\n", 200, "0123456789", NULL},
    {"Range: bytes=1-2-3\r\n", 200, "0123456789", NULL},
    {"Range: bytes=+1-2\r\n", 200, "0123456789", NULL},
    {"Range: bytes=0x0-1\r\n", 200, "0123456789", NULL},
    {"Range: bytes=1 - 2\r\n", 200, "0123456789", NULL},
    {"Range: bytes =0-1\r\n", 200, "0123456789", NULL},
    {"Range: lines=0-1\r\n", 200, "0123456789", NULL},
    {"Range: bytes:0-1\r\n", 200, "0123456789", NULL},
    /* if it is still the same */
    {"Range: bytes=0-1\r\nIf-Range: $\r\n", 206, "01", "bytes 0-1/10"},
    {"Range: bytes=0-1\r\nIf-Range: W/$\r\n", 200, "0123456789", NULL},
    {"Range: bytes=0-1\r\nIf-Range: \"a\"\r\n", 200, "0123456789", NULL},
    {"Range: bytes=0-1\r\nIf-Range: *\r\n", 200, "0123456789", NULL},
    {"Range: bytes=0-1\r\nIf-Range: " LONG_AGO "\r\n", 206, "01", "bytes 0-1/10"},
    {"Range: bytes=0-1\r\nIf-Range: " AFTER "\r\n", 200, "0123456789", NULL},
    {"Range: bytes=0-1\r\nIf-Range: " BEFORE "\r\n", 200, "0123456789", NULL},
    {"Range: bytes=0-1\r\nIf-Range: nonsense\r\n", 200, "0123456789", NULL},
    {"Range: bytes=0-1\r\nIf-Range: $\r\nIf-Range: $\r\n", 200, "0123456789", NULL},
    {"Range: bytes=10-\r\nIf-Range: \"a\"\r\n", 200, "0123456789", NULL},
    {"If-Range: $\r\n", 200, "0123456789", NULL},
};

static void conditions__answer_ranges(void **state)
{
    char etag[128], length[24];
    (void)state;
    get("/a.txt", NULL);
    snprintf(etag, sizeof etag, "%.100s", field("ETag"));
    for (size_t i = 0; i < N_OF(range_cases); i++) {
        const char *fields = filled(range_cases[i].fields, etag);
        get("/a.txt", fields);
        check_answer(fields, range_cases[i].status, range_cases[i].body);
        check_field(fields, "Content-Range", range_cases[i].content_range);
        check_field(fields, "ETag", range_cases[i].status < 400 ? etag : NULL);
        check_field(fields, "Accept-Ranges", range_cases[i].status < 400 ? "bytes" : NULL);
        snprintf(length, sizeof length, "%zu", strlen(range_cases[i].body));
        check_field(fields, "Content-Length", length);
    }
}

static void conditions__answer_ranges_of_nothing(void **state)
{
    (void)state;
    get("/empty.txt", "Range: bytes=0-\r\n");
    check_answer("first", 416, NULL);
    check_field("first", "Content-Range", "bytes */0");
    get("/empty.txt", "Range: bytes=-1\r\n");
    check_answer("last", 200, "");
    get("/empty.txt", "Range: bytes=-0\r\n");
    check_answer("none", 416, NULL);
}

/* Past what fits into 32 bits. */
static void conditions__answer_ranges_of_a_huge_file(void **state)
{
    (void)state;
    int fd = openat(root, "huge.bin", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    assert_int_equal(pwrite(fd, "end", 3, 5LL << 30), 3);
    close(fd);
    get("/huge.bin", "Range: bytes=-5\r\n");
    check_field("huge.bin", "Content-Range", "bytes 5368709118-5368709122/5368709123");
    assert_int_equal(got.body_len, 5);
    assert_memory_equal(got.body, "\0\0end", 5);
    ask("HEAD", "/huge.bin", NULL);
    check_field("huge.bin", "Content-Length", "5368709123");
    unlinkat(root, "huge.bin", 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(conditions__are_answered, start, stop),
        cmocka_unit_test_setup_teardown(conditions__answer_ranges, start, stop),
        cmocka_unit_test_setup_teardown(conditions__answer_ranges_of_nothing, start, stop),
        cmocka_unit_test_setup_teardown(conditions__answer_ranges_of_a_huge_file, start, stop),
    };
    return cmocka_run_group_tests(tests, make_tree, drop_tree);
}
