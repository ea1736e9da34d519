/**
 * What the tests of static files share: a directory with something of everything, a server for it, and a client that asks for one thing at a time.
 */
#ifndef WEFT_TESTS_HTTP_FILES_FIXTURE_H
#define WEFT_TESTS_HTTP_FILES_FIXTURE_H

#include "http/files.h"
#include "http/http1_connection.h"
#include "net/stream.h"
#include "support/check.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    LONG_AGO_S = 784111777, /* Sun, 06 Nov 1994 08:49:37 GMT */
    BIG_BYTES = 32 << 20,
    TURNS_WITHOUT_NEWS = 3,
};

/* ------------------------------------------------------------------------------------------------------ the directory */

static char tree[] = "/tmp/weft-files-XXXXXX"; /* holds `secret.txt`, and `root`, which is served */
static int root;

static inline void put_file_at(const char *name, const char *text, int64_t modified_s)
{
    int fd = openat(root, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    const struct timespec times[2] = {{.tv_sec = modified_s}, {.tv_sec = modified_s}};
    assert_int_equal(futimens(fd, times), 0);
    close(fd);
}

static inline void put_file(const char *name, const char *text)
{
    put_file_at(name, text, LONG_AGO_S);
}

static inline void put_folder(const char *name)
{
    assert_int_equal(mkdirat(root, name, 0755), 0);
}

static inline void put_link(const char *name, const char *to)
{
    assert_int_equal(symlinkat(to, root, name), 0);
}

static inline void put_socket(const char *path)
{
    struct sockaddr_un where = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(where.sun_path, sizeof where.sun_path, "%s", path);
    assert_int_equal(bind(fd, (struct sockaddr *)&where, sizeof where), 0);
    close(fd);
}

static inline void put_big(void)
{
    int fd = openat(root, "big.bin", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_int_equal(ftruncate(fd, BIG_BYTES), 0);
    const struct timespec times[2] = {{.tv_sec = LONG_AGO_S},
                                      {.tv_sec = LONG_AGO_S}}; /* the server's clock may lag behind the system's */
    assert_int_equal(futimens(fd, times), 0);
    close(fd);
}

static inline void put_links(void)
{
    char inside[64];
    snprintf(inside, sizeof inside, "%s/root/a.txt", tree);
    put_link("in", "a.txt");
    put_link("in-dir", "sub");
    put_link("in-and-up", "sub/../a.txt");
    put_link("out", "../secret.txt");
    put_link("out-dir", "..");
    put_link("out-and-in", "../root/a.txt");
    put_link("sub/up", "../../secret.txt");
    put_link("absolute", "/etc/passwd");
    put_link("absolute-in", inside);
    put_link("magic", "/proc/self/root/etc/passwd");
    put_link("loop", "loop");
    put_link("dangling", "nothing");
}

static inline void put_hidden(void)
{
    put_file(".secret", "hidden");
    put_folder(".git");
    put_file(".git/config", "hidden");
    put_file(".git/index.html", "hidden");
    put_file("sub/.hidden", "hidden");
    put_file("...", "hidden");
}

static inline void put_codings(void)
{
    put_file("app.js", "as it is");
    put_file("app.js.br", "brotli");
    put_file("app.js.gz", "gzip it is");
    put_file("zip.css", "as it is");
    put_file("zip.css.gz", "gzip");
    put_file("stale.js", "new");
    put_file_at("stale.js.br", "old", LONG_AGO_S - 1);
    put_file("folder.js", "as it is");
    put_folder("folder.js.br");
    put_file("twin.js", "the same bytes");
    assert_int_equal(linkat(root, "twin.js", root, "twin.js.gz", 0), 0);
    put_file("sub/index.html.gz", "gzip of sub");
}

static inline void put_plain(void)
{
    put_file("index.html", "home");
    put_file("a.txt", "0123456789");
    put_file("empty.txt", "");
    put_file("with space.txt", "space");
    put_file("ü?#%.txt", "escaped");
    put_folder("sub");
    put_file("sub/index.html", "index of sub");
    put_file("sub/page.html", "page");
    put_folder("sub/deep");
    put_file("sub/deep/leaf.txt", "leaf");
    put_folder("bare");
    put_folder("odd");
    put_folder("odd/index.html");
    put_folder("a:b");
    put_folder("ü & x");
    put_file("unreadable.txt", "unreadable");
    assert_int_equal(fchmodat(root, "unreadable.txt", 0, 0), 0);
    assert_int_equal(mkfifoat(root, "fifo", 0644), 0);
}

static inline int make_tree(void **state)
{
    (void)state;
    char path[64];
    umask(022);
    if (!mkdtemp(tree))
        return -1;
    snprintf(path, sizeof path, "%s/root", tree);
    assert_int_equal(mkdir(path, 0755), 0);
    root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(root >= 0);
    put_plain();
    put_codings();
    put_hidden();
    put_links();
    put_file("../secret.txt", "secret");
    put_big();
    snprintf(path, sizeof path, "%s/root/socket", tree);
    put_socket(path);
    return 0;
}

static inline int drop_tree(void **state)
{
    (void)state;
    char command[64];
    close(root);
    snprintf(command, sizeof command, "rm -r %s", tree);
    return system(command);
}

/* --------------------------------------------------------------------------------------------------------- the server */

static loop the_loop;
static net the_net;
static slots the_table;
static router the_routes;
static http_server the_server;
static const http_site the_site = {.port = 80};
static files *the_files;
static int descriptors_before;
static bool walking; /* without openat2() */

static inline int count_descriptors(void)
{
    DIR *folder = opendir("/proc/self/fd");
    int n = 0;
    assert_non_null(folder);
    while (readdir(folder))
        n++;
    closedir(folder);
    return n;
}

static inline void keep(void *user)
{
    (void)user;
}

static inline void add_route(const char *pattern, void (*serve)(exchange *, const weft_request *, void *), bool owned)
{
    route_spec spec = {.method = "GET", .serve = serve, .user = the_files, .free_user = owned ? files_close : keep};
    const char *problem;
    assert_int_equal(route_parse(pattern, &spec, &problem), 0);
    assert_int_equal(router_add(&the_routes, &spec), 0);
}

static inline int start_with(const weft_files_options *options)
{
    char path[64];
    snprintf(path, sizeof path, "%s/root", tree);
    if (loop_init(&the_loop, &the_loop))
        return -1;
    loop_done(&the_loop); /* leaves its inbox behind, for the next loop: that is no leak */
    descriptors_before = count_descriptors();
    if (loop_init(&the_loop, &the_loop) || net_init(&the_net, &the_loop, NULL) || slots_init(&the_table, 0))
        return -1;
    assert_int_equal(files_open(path, options, &the_files), 0);
    assert_false(the_files->walk); /* the kernel that runs the tests has openat2() */
    the_files->walk = walking;
    router_init(&the_routes);
    add_route("/*", files_serve, true);
    add_route("/assets/*", files_serve, false);
    add_route("/assets", files_add_slash, false);
    http_server_init(&the_server, &the_net, &the_table, &the_routes, &the_net);
    return 0;
}

static inline int start(void **state)
{
    (void)state;
    walking = false;
    return start_with(&(weft_files_options){0});
}

static inline int start_walking(void **state)
{
    (void)state;
    walking = true;
    return start_with(&(weft_files_options){0});
}

/* Whatever has happened, no descriptor is left. */
static inline int stop(void **state)
{
    (void)state;
    http_server_abort(&the_server);
    net_done(&the_net);
    assert_int_equal(the_net.n_streams, 0);
    slots_done(&the_table);
    router_done(&the_routes);
    loop_done(&the_loop);
    assert_int_equal(count_descriptors(), descriptors_before);
    return 0;
}

/* --------------------------------------------------------------------------------------------------------- the client */

static struct {
    int status;   /* 0: none came */
    char *fields; /* lines, the first one's CRLF in front */
    char *body;
    size_t body_len;
    bool ended;
} got;

static char received[BIG_BYTES + 65536];
static size_t n_received;

/* -1 when there is no memory for the connection. */
static inline int connect_client(void)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    stream *s = stream_new(&the_net, fds[0], true);
    if (!s || http1_connection_open(&the_server, &s->base, &the_site) || stream_start(s)) {
        close(fds[1]);
        return -1;
    }
    return fds[1];
}

static inline void turn(void)
{
    assert_int_equal(loop_step(&the_loop, 0), 0);
}

static inline void put(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Reads until the end or until nothing more comes. */
static inline void receive(int fd)
{
    got.ended = false;
    for (int quiet = 0; quiet < TURNS_WITHOUT_NEWS && !got.ended;) {
        turn();
        assert_true(n_received < sizeof received - 1);
        ssize_t n = recv(fd, received + n_received, sizeof received - 1 - n_received, 0);
        quiet = n > 0 ? 0 : quiet + 1;
        got.ended = n == 0 || (n < 0 && errno != EAGAIN);
        n_received += n > 0 ? (size_t)n : 0;
    }
    received[n_received] = '\0';
}

/* Takes an answer apart; the head ends in NUL afterwards. */
static inline void take_apart(char *at)
{
    char *end = strstr(at, "\r\n\r\n");
    got.status = 0;
    if (!end)
        return;
    end[2] = '\0';
    assert_memory_equal(at, "HTTP/1.1 ", 9);
    got.status = (int)strtol(at + 9, NULL, 10);
    got.fields = strstr(at, "\r\n");
    got.body = end + 4;
    got.body_len = n_received - (size_t)(got.body - received);
}

static inline void ask_with(int fd, const char *method, const char *target, const char *fields)
{
    static char request[20000];
    int n = snprintf(request, sizeof request, "%s %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n%s\r\n", method,
                     target, fields ? fields : "");
    assert_true(n < (int)sizeof request);
    put(fd, request);
    n_received = 0;
    receive(fd);
    close(fd);
    turn(); /* the server's side closes */
    turn();
    take_apart(received);
}

static inline void ask(const char *method, const char *target, const char *fields)
{
    int fd = connect_client();
    assert_true(fd >= 0);
    ask_with(fd, method, target, fields);
    assert_true(got.ended);
    if (!got.status)
        fail_msg("%s %s: no answer", method, target);
}

static inline void get(const char *target, const char *fields)
{
    ask("GET", target, fields);
}

/* The value of the one field of that name; NULL for none. Valid until the next call. */
static inline const char *field(const char *name)
{
    static char value[1024];
    char line[64];
    snprintf(line, sizeof line, "\r\n%s: ", name);
    const char *at = strstr(got.fields, line);
    if (!at)
        return NULL;
    at += strlen(line);
    assert_null(strstr(at, line));
    snprintf(value, sizeof value, "%.*s", (int)strcspn(at, "\r"), at);
    return value;
}

static inline void check_field(const char *where, const char *name, const char *expected)
{
    const char *value = field(name);
    if (!value != !expected || (value && strcmp(value, expected) != 0))
        fail_msg("%s: %s is %s, not %s", where, name, value ? value : "missing", expected ? expected : "missing");
}

/* `body` NULL: any. */
static inline void check_answer(const char *where, int status, const char *body)
{
    if (got.status != status)
        fail_msg("%s: %d, not %d", where, got.status, status);
    if (body && (got.body_len != strlen(body) || memcmp(got.body, body, got.body_len) != 0))
        fail_msg("%s: \"%s\", not \"%s\"", where, got.body, body);
}

/* The text with each $ replaced. */
static inline const char *filled(const char *text, const char *in_place)
{
    static char result[2048];
    size_t n = 0;
    result[0] = '\0';
    for (; text && *text; text++) {
        int len = *text == '$' ? snprintf(result + n, sizeof result - n, "%s", in_place)
                               : snprintf(result + n, sizeof result - n, "%c", *text);
        n += (size_t)len;
        assert_true(n < sizeof result);
    }
    return result;
}

#endif
