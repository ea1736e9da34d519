#include "files_fixture.h"
#include "http/http_date.h"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

enum { NOBODY = 65534 };

/* -------------------------------------------------------------------------------------------------------------- paths */

static const struct {
    const char *target;
    int status;
    int walking; /* the status without openat2(), where that differs */
    const char *body;
} path_cases[] = {
    {"/a.txt", 200, 0, "0123456789"},
    {"/", 200, 0, "home"},
    {"/index.html", 200, 0, "home"},
    {"/empty.txt", 200, 0, ""},
    {"/with%20space.txt", 200, 0, "space"},
    {"/%C3%BC%3F%23%25.txt", 200, 0, "escaped"},
    {"/a.txt?query=1", 200, 0, "0123456789"},
    {"http://a/a.txt", 200, 0, "0123456789"},
    {"/sub/", 200, 0, "index of sub"},
    {"/sub/page.html", 200, 0, "page"},
    {"/sub/deep/leaf.txt", 200, 0, "leaf"},
    {"/sub/deep/../page.html", 200, 0, "page"},
    {"/sub/./page.html", 200, 0, "page"},
    {"/assets/a.txt", 200, 0, "0123456789"},
    {"/assets/", 200, 0, "home"},
    {"/assets/sub/", 200, 0, "index of sub"},
    {"/assets/../a.txt", 200, 0, "0123456789"},
    /* not there */
    {"/missing", 404, 0, "not found\n"},
    {"/missing/", 404, 0, "not found\n"},
    {"/A.TXT", 404, 0, NULL},
    {"/a.txt/", 404, 0, NULL},
    {"/a.txt/more", 404, 0, NULL},
    {"/bare/", 404, 0, NULL},
    {"/odd/", 404, 0, NULL},
    {"/sub//page.html", 404, 0, NULL},
    {"//a.txt", 404, 0, NULL},
    {"//", 404, 0, NULL},
    {"/assets//a.txt", 404, 0, NULL},
    {"/assets//etc/passwd", 404, 0, NULL},
    {"//etc/passwd", 404, 0, NULL},
    /* out of the directory by the path */
    {"/../secret.txt", 400, 0, NULL},
    {"/sub/../../secret.txt", 400, 0, NULL},
    {"/%2e%2e/secret.txt", 400, 0, NULL},
    {"/.%2E/secret.txt", 400, 0, NULL},
    {"/..%2fsecret.txt", 400, 0, NULL},
    {"/sub/..%2F..%2Fsecret.txt", 400, 0, NULL},
    {"/%2e%2e%2fsecret.txt", 400, 0, NULL},
    {"/%252e%252e/secret.txt", 404, 0, NULL},
    {"/..%5csecret.txt", 404, 0, NULL},
    {"/sub/..%5c..%5csecret.txt", 404, 0, NULL},
    {"/%c0%ae%c0%ae/secret.txt", 404, 0, NULL},
    {"/a.txt%00", 400, 0, NULL},
    {"/a.txt%00.html", 400, 0, NULL},
    {"/assets/../../secret.txt", 400, 0, NULL},
    {"/assets/%2e%2e/%2e%2e/secret.txt", 400, 0, NULL},
    {"/%2fetc/passwd", 400, 0, NULL},
    /* out of it by a link, and links that stay */
    {"/in", 200, 404, "0123456789"},
    {"/in-dir/page.html", 200, 404, "page"},
    {"/in-and-up", 200, 404, "0123456789"},
    {"/out", 404, 0, NULL},
    {"/sub/up", 404, 0, NULL},
    {"/out-dir/secret.txt", 404, 0, NULL},
    {"/out-dir/", 404, 0, NULL},
    {"/out-dir", 404, 0, NULL},
    {"/out-dir/root/a.txt", 404, 0, NULL},
    {"/out-and-in", 404, 0, NULL},
    {"/absolute", 404, 0, NULL},
    {"/absolute-in", 404, 0, NULL},
    {"/magic", 404, 0, NULL},
    {"/loop", 404, 0, NULL},
    {"/loop/x", 404, 0, NULL},
    {"/dangling", 404, 0, NULL},
    /* hidden */
    {"/.secret", 404, 0, NULL},
    {"/%2esecret", 404, 0, NULL},
    {"/.git/config", 404, 0, NULL},
    {"/.git/", 404, 0, NULL},
    {"/.git", 404, 0, NULL},
    {"/sub/.hidden", 404, 0, NULL},
    {"/...", 404, 0, NULL},
    {"/assets/.secret", 404, 0, NULL},
    /* no regular file */
    {"/fifo", 404, 0, NULL},
    {"/socket", 404, 0, NULL},
};

static void files__serves_what_is_in_its_directory_and_nothing_else(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_OF(path_cases); i++) {
        bool other = walking && path_cases[i].walking;
        get(path_cases[i].target, NULL);
        check_answer(path_cases[i].target, other ? path_cases[i].walking : path_cases[i].status,
                     other ? NULL : path_cases[i].body);
        assert_null(strstr(got.body, "secret\n"));
        assert_null(strstr(got.body, "root:"));
    }
}

/* Names and paths longer than the system takes. */
static void files__knows_no_file_of_an_impossible_name(void **state)
{
    static const size_t lengths[] = {255, 256, 300, 4000, 4085, 4090, 4094, 4095, 4096, 4097, 4100, 8000};
    static char target[9000];
    (void)state;
    for (size_t i = 0; i < N_OF(lengths); i++) {
        memset(target, 'n', lengths[i]);
        target[0] = '/';
        target[lengths[i]] = '\0';
        get(target, NULL);
        check_answer("long name", 404, NULL);
        for (size_t k = 0; k < lengths[i]; k += 2)
            target[k] = '/';
        get(target, NULL);
        check_answer("long path", 404, NULL);
        target[lengths[i] - 1] = '/';
        get(target, NULL);
        check_answer("long path to an index", 404, NULL);
    }
}

static void files__refuses_what_may_not_be_read(void **state)
{
    (void)state;
    bool is_root = geteuid() == 0; /* whom no permission stops */
    assert_true(!is_root || seteuid(NOBODY) == 0);
    get("/unreadable.txt", NULL);
    assert_true(!is_root || seteuid(0) == 0);
    check_answer("unreadable", 403, "this file may not be read\n");
}

static const struct {
    const char *target, *location; /* NULL: 404 */
} redirect_cases[] = {
    {"/sub", "sub/"},
    {"/sub?", "sub/"},
    {"/sub?a=1&b=%20/x//y", "sub/?a=1&b=%20/x//y"},
    {"/sub/deep", "deep/"},
    {"/bare", "bare/"},
    {"/odd/index.html", "index.html/"},
    {"/a:b", "a%3Ab/"},
    {"/%C3%BC%20&%20x", "%C3%BC%20%26%20x/"},
    {"/assets", "assets/"},
    {"/assets?q", "assets/?q"},
    {"/assets/sub", "sub/"},
    {"/sub/../sub", "sub/"},
    {"http://a/sub", "sub/"},
    {"//sub", NULL},
    {"//evil.example", NULL},
    {"//evil.example/sub", NULL},
    {"//evil.example/..", NULL},
    {"/%5cevil.example", NULL},
};

static void files__sends_the_client_into_a_directory(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_OF(redirect_cases); i++) {
        const char *target = redirect_cases[i].target;
        get(target, NULL);
        check_answer(target, redirect_cases[i].location ? 308 : 404, NULL);
        check_field(target, "Location", redirect_cases[i].location);
        check_field(target, "Cache-Control", redirect_cases[i].location ? "no-cache" : NULL);
    }
}

static void files__serve_get_and_head_only(void **state)
{
    (void)state;
    ask("POST", "/a.txt", "Content-Length: 0\r\n");
    check_answer("POST", 405, NULL);
    check_field("POST", "Allow", "GET, HEAD, OPTIONS");
    ask("DELETE", "/missing", NULL);
    check_answer("DELETE", 405, NULL);
}

/* ------------------------------------------------------------------------------------------------------------- answers */

static void files__describes_a_file(void **state)
{
    (void)state;
    get("/a.txt", NULL);
    check_field("a.txt", "Content-Type", "text/plain; charset=utf-8");
    check_field("a.txt", "Content-Length", "10");
    check_field("a.txt", "Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT");
    check_field("a.txt", "Cache-Control", "no-cache");
    check_field("a.txt", "Accept-Ranges", "bytes");
    check_field("a.txt", "X-Content-Type-Options", "nosniff");
    check_field("a.txt", "Content-Encoding", NULL);
    check_field("a.txt", "Vary", NULL);
    check_field("a.txt", "Content-Range", NULL);
    const char *etag = field("ETag");
    assert_true(etag[0] == '"' && etag[strlen(etag) - 1] == '"' && strlen(etag) > 10);
    assert_int_equal(strspn(etag + 1, "0123456789abcdef-"), strlen(etag) - 2);
    get("/empty.txt", NULL);
    check_field("empty.txt", "Content-Length", "0");
    get("/", NULL);
    check_field("/", "Content-Type", "text/html; charset=utf-8");
    get("/big.bin", NULL);
    check_field("big.bin", "Content-Type", "application/octet-stream");
    assert_int_equal(got.body_len, BIG_BYTES);
}

/* The same head as GET's, and nothing behind it. */
static void files__answers_head(void **state)
{
    static const char *const targets[] = {"/a.txt", "/", "/empty.txt", "/app.js", "/missing", "/sub", "/big.bin"};
    char expected[2048];
    (void)state;
    for (size_t i = 0; i < N_OF(targets); i++) {
        get(targets[i], "Accept-Encoding: br\r\n");
        int status = got.status;
        snprintf(expected, sizeof expected, "%s", strstr(got.fields, "\r\nContent-Type"));
        ask("HEAD", targets[i], "Accept-Encoding: br\r\n");
        check_answer(targets[i], status, "");
        assert_string_equal(strstr(got.fields, "\r\nContent-Type"), expected);
    }
    ask("HEAD", "/a.txt", "Range: bytes=0-1\r\n"); /* RFC 9110 §14.2: for GET only */
    check_answer("HEAD with a range", 200, "");
    check_field("HEAD with a range", "Content-Length", "10");
    ask("HEAD", "/a.txt", "If-None-Match: *\r\n");
    check_answer("HEAD with a condition", 304, "");
}

static void files__serves_one_request_after_the_other(void **state)
{
    (void)state;
    int fd = connect_client();
    put(fd, "GET /a.txt HTTP/1.1\r\nHost: a\r\n\r\nHEAD /a.txt HTTP/1.1\r\nHost: a\r\n\r\n"
            "GET /missing HTTP/1.1\r\nHost: a\r\n\r\nGET /big.bin HTTP/1.1\r\nHost: a\r\n\r\n"
            "GET /empty.txt HTTP/1.1\r\nHost: a\r\n\r\nGET /sub/ HTTP/1.1\r\nHost: a\r\n\r\n");
    n_received = 0;
    receive(fd);
    assert_false(got.ended);
    take_apart(received);
    assert_memory_equal(got.body, "0123456789HTTP/1.1 200 OK\r\n", 27);
    take_apart(got.body + 10);
    assert_memory_equal(got.body, "HTTP/1.1 404 Not Found\r\n", 24);
    take_apart(got.body);
    assert_memory_equal(got.body, "not found\nHTTP/1.1 200 OK\r\n", 27);
    take_apart(got.body + 10);
    assert_memory_equal(got.body + BIG_BYTES, "HTTP/1.1 200 OK\r\n", 17);
    take_apart(got.body + BIG_BYTES);
    assert_memory_equal(got.body, "HTTP/1.1 200 OK\r\n", 17);
    take_apart(got.body);
    assert_string_equal(got.body, "index of sub");
    close(fd);
}

static void files__serves_what_is_there_now(void **state)
{
    char etag[128];
    (void)state;
    put_file("changing.txt", "one");
    get("/changing.txt", NULL);
    snprintf(etag, sizeof etag, "%.100s", field("ETag"));
    put_file_at("changing.txt", "two", LONG_AGO_S + 1);
    get("/changing.txt", NULL);
    check_answer("changed", 200, "two");
    assert_string_not_equal(field("ETag"), etag);
    snprintf(etag, sizeof etag, "%.100s", field("ETag"));
    const struct timespec later[2] = {{.tv_sec = LONG_AGO_S + 1}, {.tv_sec = LONG_AGO_S + 1, .tv_nsec = 1}};
    assert_int_equal(utimensat(root, "changing.txt", later, 0), 0);
    get("/changing.txt", NULL);
    assert_string_not_equal(field("ETag"), etag);
    unlinkat(root, "changing.txt", 0);
    get("/changing.txt", NULL);
    check_answer("gone", 404, NULL);
}

static int start_with_options(void **state)
{
    (void)state;
    walking = false;
    return start_with(
        &(weft_files_options){.index = "page.html", .cache_control = "public, max-age=31536000, immutable"});
}

static int start_without_cache_control(void **state)
{
    (void)state;
    walking = false;
    return start_with(&(weft_files_options){.cache_control = ""});
}

static void files__may_say_nothing_of_caches(void **state)
{
    (void)state;
    get("/a.txt", NULL);
    check_answer("a.txt", 200, "0123456789");
    check_field("a.txt", "Cache-Control", NULL);
}

static void files__obeys_its_options(void **state)
{
    (void)state;
    get("/a.txt", NULL);
    check_field("a.txt", "Cache-Control", "public, max-age=31536000, immutable");
    get("/a.txt", "If-None-Match: *\r\n");
    check_field("304", "Cache-Control", "public, max-age=31536000, immutable");
    get("/a.txt", "Range: bytes=10-\r\n");
    check_field("416", "Cache-Control", NULL);
    get("/a.txt", "If-Match: \"x\"\r\n");
    check_field("412", "Cache-Control", NULL);
    get("/sub/", NULL);
    check_answer("index", 200, "page");
    get("/", NULL);
    check_answer("no index", 404, NULL);
    check_field("404", "Cache-Control", NULL);
}

/* A date never belies what may still change in its second, nor lies in the future (RFC 9110 §8.8.2.1). */
static void files__tells_no_date_that_is_not_over(void **state)
{
    static const int64_t ahead_s[] = {0, 1, 100000};
    int64_t told, now;
    (void)state;
    for (size_t i = 0; i < N_OF(ahead_s); i++) {
        int64_t before = time(NULL);
        put_file_at("new.txt", "new", before + ahead_s[i]);
        get("/new.txt", NULL);
        assert_true(http_date_parse(str_from(field("Date")), before, &now));
        assert_true(http_date_parse(str_from(field("Last-Modified")), before, &told));
        assert_true(told <= now && told < time(NULL));
        char fields[128], date[HTTP_DATE_BYTES];
        assert_true(http_date_put(told, date));
        snprintf(fields, sizeof fields, "If-Modified-Since: %s\r\n", date);
        get("/new.txt", fields);
        check_answer("just changed", 200, "new");
    }
    unlinkat(root, "new.txt", 0);
}

/* ------------------------------------------------------------------------------------------------------------- codings */

static const struct {
    const char *target, *accepted; /* NULL: no such field */
    const char *body, *coding;
    bool varies;
} coding_cases[] = {
    {"/app.js", "gzip, deflate, br, zstd", "brotli", "br", true},
    {"/app.js", "br", "brotli", "br", true},
    {"/app.js", "BR", "brotli", "br", true},
    {"/app.js", "gzip", "gzip it is", "gzip", true},
    {"/app.js", "x-gzip", "gzip it is", "gzip", true},
    {"/app.js", "deflate", "as it is", NULL, true},
    {"/app.js", "identity", "as it is", NULL, true},
    {"/app.js", "", "as it is", NULL, true},
    {"/app.js", NULL, "as it is", NULL, true},
    {"/app.js", "*", "brotli", "br", true},
    {"/app.js", "br;q=0, *", "gzip it is", "gzip", true},
    {"/app.js", "*, br;q=0", "gzip it is", "gzip", true},
    {"/app.js", "*;q=0", "as it is", NULL, true},
    {"/app.js", "*;q=0, gzip", "gzip it is", "gzip", true},
    {"/app.js", "br;q=0", "as it is", NULL, true},
    {"/app.js", "br;q=0.000, gzip;q=0.0", "as it is", NULL, true},
    {"/app.js", "br;q=0,gzip;q=0.001", "gzip it is", "gzip", true},
    {"/app.js", "br;q=0.5, gzip;q=0.6", "gzip it is", "gzip", true},
    {"/app.js", "gzip;q=0.5, br;q=0.5", "brotli", "br", true},
    {"/app.js", "gzip;q=1.0, br;q=1", "brotli", "br", true},
    {"/app.js", "gzip;q=0.9 , br ; Q=0.901", "brotli", "br", true},
    {"/app.js", "br;q=1.001", "as it is", NULL, true},
    {"/app.js", "br;q=0.5000", "as it is", NULL, true},
    {"/app.js", "br;q=-1", "as it is", NULL, true},
    {"/app.js", "br;q=", "as it is", NULL, true},
    {"/app.js", "br;q=x", "as it is", NULL, true},
    {"/app.js", "br;q=1x", "as it is", NULL, true},
    {"/app.js", "br;q=10", "as it is", NULL, true},
    {"/app.js", "br;Q=0", "as it is", NULL, true},
    {"/app.js", "br ; level=5 ; q=0", "as it is", NULL, true},
    {"/app.js", "brotli", "as it is", NULL, true},
    {"/app.js", "deflate\r\nAccept-Encoding: br", "brotli", "br", true},
    {"/zip.css", "br, gzip", "gzip", "gzip", true},
    {"/zip.css", "br", "as it is", NULL, true},
    {"/stale.js", "br", "new", NULL, false},
    {"/folder.js", "br", "as it is", NULL, false},
    {"/a.txt", "br, gzip", "0123456789", NULL, false},
    {"/sub/", "gzip", "gzip of sub", "gzip", true},
    {"/app.js.br", "br", "brotli", NULL, false}, /* by its own name it is a file like any other */
};

static void files__sends_the_coding_that_is_wanted(void **state)
{
    char fields[256];
    (void)state;
    for (size_t i = 0; i < N_OF(coding_cases); i++) {
        const char *accepted = coding_cases[i].accepted;
        snprintf(fields, sizeof fields, "%s%s%s", accepted ? "Accept-Encoding: " : "", accepted ? accepted : "",
                 accepted ? "\r\n" : "");
        get(coding_cases[i].target, fields);
        check_answer(fields, 200, coding_cases[i].body);
        check_field(fields, "Content-Encoding", coding_cases[i].coding);
        check_field(fields, "Vary", coding_cases[i].varies ? "Accept-Encoding" : NULL);
    }
    get("/app.js", "Accept-Encoding: br\r\n");
    check_field("app.js", "Content-Type", "text/javascript; charset=utf-8");
}

static void copy_tag(const char *target, const char *fields, char ret_tag[128])
{
    get(target, fields);
    snprintf(ret_tag, 128, "%.100s", field("ETag"));
}

/* Conditions and ranges are about the bytes that go out. */
static void files__takes_a_coding_for_a_representation_of_its_own(void **state)
{
    char plain[128], br[128], fields[512];
    (void)state;
    copy_tag("/app.js", NULL, plain);
    copy_tag("/app.js", "Accept-Encoding: br\r\n", br);
    assert_string_not_equal(plain, br);
    snprintf(fields, sizeof fields, "Accept-Encoding: br\r\nIf-None-Match: %s\r\n", br);
    get("/app.js", fields);
    check_answer("the same coding", 304, "");
    check_field("the same coding", "Vary", "Accept-Encoding");
    check_field("the same coding", "Content-Encoding", NULL);
    snprintf(fields, sizeof fields, "Accept-Encoding: br\r\nIf-None-Match: %s\r\n", plain);
    get("/app.js", fields);
    check_answer("another coding", 200, "brotli");
    snprintf(fields, sizeof fields, "Accept-Encoding: br\r\nRange: bytes=2-3\r\nIf-Range: %s\r\n", br);
    get("/app.js", fields);
    check_answer("range of a coding", 206, "ot");
    check_field("range of a coding", "Content-Range", "bytes 2-3/6");
    check_field("range of a coding", "Content-Encoding", "br");
    get("/app.js", "Accept-Encoding: br\r\nRange: bytes=6-\r\n");
    check_answer("no range of a coding", 416, NULL);
    check_field("no range of a coding", "Content-Range", "bytes */6");
    check_field("no range of a coding", "Content-Encoding", NULL);
    copy_tag("/twin.js", NULL, plain);
    copy_tag("/twin.js", "Accept-Encoding: gzip\r\n", br);
    assert_string_not_equal(plain, br); /* though it is one file */
}

/* ------------------------------------------------------------------------------------------------ when things go wrong */

static size_t receive_some(int fd, size_t least)
{
    size_t sum = 0;
    while (sum < least) {
        turn();
        ssize_t n = recv(fd, received, sizeof received, 0);
        assert_true(n > 0 || errno == EAGAIN);
        sum += n > 0 ? (size_t)n : 0;
    }
    return sum;
}

static void files__cuts_the_connection_when_a_file_becomes_shorter(void **state)
{
    (void)state;
    int fd = connect_client();
    put(fd, "GET /big.bin HTTP/1.1\r\nHost: a\r\n\r\nGET /a.txt HTTP/1.1\r\nHost: a\r\n\r\n");
    size_t sum = receive_some(fd, 1 << 20);
    int file = openat(root, "big.bin", O_WRONLY | O_CLOEXEC);
    assert_int_equal(ftruncate(file, 4 << 20), 0);
    close(file);
    n_received = 0;
    receive(fd);
    assert_true(got.ended);
    sum += n_received;
    assert_in_range(sum, 4 << 20, (4 << 20) + 1000);
    assert_int_equal(the_net.n_streams, 0);
    close(fd);
    put_big();
}

static void files__lets_go_of_a_file_whose_client_has_gone(void **state)
{
    (void)state;
    int before = count_descriptors();
    int fd = connect_client();
    put(fd, "GET /big.bin HTTP/1.1\r\nHost: a\r\n\r\n");
    receive_some(fd, 1 << 20);
    assert_int_equal(count_descriptors(), before + 3);
    close(fd);
    turn();
    turn();
    assert_int_equal(count_descriptors(), before);
}

static void files__keeps_no_descriptor(void **state)
{
    static const char *const targets[] = {"/a.txt",
                                          "/app.js",
                                          "/missing",
                                          "/sub",
                                          "/bare/",
                                          "/fifo",
                                          "/socket",
                                          "/empty.txt",
                                          "/out",
                                          "/sub/deep/leaf.txt",
                                          "/sub/deep/missing",
                                          "/sub/missing/more",
                                          "/stale.js"};
    static const char *const fields[] = {"",
                                         "Accept-Encoding: gzip\r\n",
                                         "Range: bytes=1-\r\n",
                                         "Range: bytes=100-\r\n",
                                         "If-None-Match: *\r\n",
                                         "If-Match: \"a\"\r\n"};
    (void)state;
    int before = count_descriptors();
    for (size_t i = 0; i < N_OF(targets) * N_OF(fields); i++) {
        ask(i % 2 ? "HEAD" : "GET", targets[i / N_OF(fields)], fields[i % N_OF(fields)]);
        get(targets[i / N_OF(fields)], fields[i % N_OF(fields)]);
        assert_int_equal(count_descriptors(), before);
    }
}

static void files__says_when_there_are_no_descriptors(void **state)
{
    struct rlimit limit, low;
    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    int fd = connect_client(), next = dup(fd);
    close(next);
    low = limit;
    low.rlim_cur = (rlim_t)next;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    ask_with(fd, "GET", "/a.txt", NULL);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    check_answer("no descriptors", 503, NULL);
    check_field("no descriptors", "Retry-After", "1");
}

/* What was added before something went wrong does not go out with the refusal. */
static void files__forgets_the_fields_of_half_an_answer(void **state)
{
    (void)state;
    the_files->cache_control[0] = '\n'; /* cannot be added, and comes last */
    get("/app.js", "Accept-Encoding: br\r\n");
    check_answer("half an answer", 503, NULL);
    check_field("half an answer", "ETag", NULL);
    check_field("half an answer", "Retry-After", "1");
}

/* What a client may see with too little memory: all that it asked for, a refusal, or the end of its connection; never half an answer. */
static bool fail_from(uint64_t n, const char *target, const char *fields, int status)
{
    char expected[2048];
    get(target, fields);
    check_answer(target, status, NULL);
    snprintf(expected, sizeof expected, "%s", strstr(got.fields, "\r\nContent-"));
    pool_done(&the_loop.blocks);
    pool_done(&the_loop.blocks); /* what others have warmed */
    uint64_t before = mem_count();
    mem_fail_from(n);
    int fd = connect_client();
    got.status = 0;
    if (fd >= 0)
        ask_with(fd, "GET", target, fields);
    mem_fail_from(0);
    if (got.status == status) {
        assert_string_equal(strstr(got.fields, "\r\nContent-"), expected);
    } else if (got.status) {
        check_answer(target, 503, "too much is open right now\n");
        check_field(target, "Content-Encoding", NULL);
        check_field(target, "ETag", NULL);
        check_field(target, "Location", NULL);
    }
    assert_true(got.status == status || mem_count() - before >= n);
    return mem_count() - before < n;
}

static void files__survives_without_memory(void **state)
{
    static const struct {
        const char *target, *fields;
        int status;
    } cases[] = {
        {"/app.js", "Accept-Encoding: br\r\nRange: bytes=1-\r\n", 206},
        {"/a.txt", "", 200},
        {"/a.txt", "Range: bytes=50-\r\n", 416},
        {"/sub?a-query-that-takes-some-room-in-the-answer", "", 308},
        {"/missing", "", 404},
    };
    (void)state;
    int before = count_descriptors();
    for (size_t i = 0; i < N_OF(cases); i++) {
        uint64_t n = 1;
        while (!fail_from(n, cases[i].target, cases[i].fields, cases[i].status))
            n++;
        assert_in_range(n, 2, 100);
        for (int k = 0; k < TURNS_WITHOUT_NEWS; k++)
            turn();
        assert_int_equal(count_descriptors(), before);
    }
}

/* --------------------------------------------------------------------------------------------------------------- life */

static int open_and_close(void)
{
    files *f = NULL;
    int error = files_open(tree, &(weft_files_options){.index = "home.html"}, &f);
    assert_true(error ? !f : !!f);
    files_close(f);
    assert_true(!error || error == -ENOMEM);
    return error;
}

static void files__opens_and_closes(void **state)
{
    char path[64];
    files *f = NULL;
    (void)state;
    int before = count_descriptors();
    check_failing_allocations(open_and_close);
    assert_int_equal(files_open("/nowhere/at/all", &(weft_files_options){0}, &f), -ENOENT);
    snprintf(path, sizeof path, "%s/root/a.txt", tree);
    assert_int_equal(files_open(path, &(weft_files_options){0}, &f), -ENOTDIR);
    assert_null(f);
    files_close(NULL);
    assert_int_equal(count_descriptors(), before);
}

/* True when files_open() sees that it must walk, on a system whose openat2() gives this error. */
static bool walks_when(int error)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = {N_OF(filter), filter};
    pid_t child = fork(); /* for good, where it is set */
    if (child == 0) {
        files *f = NULL;
        bool set = !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) && !prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
        _exit(set && !files_open(tree, &(weft_files_options){0}, &f) && f->walk ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    return status == 0;
}

static void files__walk_where_there_is_no_openat2(void **state)
{
    (void)state;
    assert_true(walks_when(ENOSYS)); /* Linux before 5.6 */
    assert_true(walks_when(EPERM));  /* a container that does not know it */
    assert_false(walks_when(EINVAL));
}

static void files__knows_bad_options(void **state)
{
    static const char *const bad[] = {"", ".hidden", "a/b", "/", "..", "/etc/passwd"};
    char long_name[300];
    (void)state;
    memset(long_name, 'n', sizeof long_name);
    long_name[256] = '\0';
    assert_null(files_options_problem(&(weft_files_options){0}));
    assert_null(files_options_problem(&(weft_files_options){.index = "home.html", .cache_control = ""}));
    for (size_t i = 0; i < N_OF(bad); i++)
        assert_non_null(files_options_problem(&(weft_files_options){.index = bad[i]}));
    assert_non_null(files_options_problem(&(weft_files_options){.index = long_name}));
    long_name[255] = '\0';
    assert_null(files_options_problem(&(weft_files_options){.index = long_name}));
    assert_non_null(files_options_problem(&(weft_files_options){.cache_control = "a\r\nSet-Cookie: b"}));
}

#define SERVED(f) cmocka_unit_test_setup_teardown(f, start, stop)
#define BOTH_WAYS(f)                                                                                                   \
    SERVED(f),                                                                                                         \
    {                                                                                                                  \
#f "__without_openat2", f, start_walking, stop, NULL                                                           \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH_WAYS(files__serves_what_is_in_its_directory_and_nothing_else),
        BOTH_WAYS(files__knows_no_file_of_an_impossible_name),
        BOTH_WAYS(files__refuses_what_may_not_be_read),
        BOTH_WAYS(files__sends_the_client_into_a_directory),
        SERVED(files__serve_get_and_head_only),
        SERVED(files__describes_a_file),
        SERVED(files__answers_head),
        SERVED(files__serves_one_request_after_the_other),
        SERVED(files__serves_what_is_there_now),
        SERVED(files__tells_no_date_that_is_not_over),
        cmocka_unit_test_setup_teardown(files__obeys_its_options, start_with_options, stop),
        BOTH_WAYS(files__sends_the_coding_that_is_wanted),
        SERVED(files__takes_a_coding_for_a_representation_of_its_own),
        SERVED(files__cuts_the_connection_when_a_file_becomes_shorter),
        SERVED(files__lets_go_of_a_file_whose_client_has_gone),
        BOTH_WAYS(files__keeps_no_descriptor),
        SERVED(files__says_when_there_are_no_descriptors),
        SERVED(files__survives_without_memory),
        SERVED(files__forgets_the_fields_of_half_an_answer),
        cmocka_unit_test_setup_teardown(files__may_say_nothing_of_caches, start_without_cache_control, stop),
        cmocka_unit_test(files__opens_and_closes),
        cmocka_unit_test(files__walk_where_there_is_no_openat2),
        cmocka_unit_test(files__knows_bad_options),
    };
    return cmocka_run_group_tests(tests, make_tree, drop_tree);
}
