#include "bench/target.h"
#include "proto/http1_grammar.h"
#include <netdb.h>
#include <stdio.h>
#include <sys/time.h>
#include <unistd.h>

typedef struct {
    str name;
    bench_wire wire;
    bool websocket, tls;
    const char *port; /* when the URL has none; NULL: it must */
} scheme;

static const scheme schemes[] = {
    {{"ws", 2}, BENCH_HTTP, true, false, "80"},    {{"wss", 3}, BENCH_HTTP, true, true, "443"},
    {{"http", 4}, BENCH_HTTP, false, false, "80"}, {{"https", 5}, BENCH_HTTP, false, true, "443"},
    {{"tcp", 3}, BENCH_TCP, false, false, NULL},   {{"tls", 3}, BENCH_TCP, false, true, NULL},
};

static int wrong(const char **ret_problem, const char *problem)
{
    *ret_problem = problem;
    return WEFT_E_INVALID;
}

static const scheme *scheme_of(str *rest)
{
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        size_t n = schemes[i].name.len;
        if (str_begins_nocase(*rest, schemes[i].name) && rest->len >= n + 3 && memcmp(rest->at + n, "://", 3) == 0) {
            *rest = (str){rest->at + n + 3, rest->len - n - 3};
            return &schemes[i];
        }
    }
    return NULL;
}

/* Up to the path, the query or the fragment. */
static str take_authority(str *rest)
{
    size_t n = strcspn(rest->at, "/?#");
    str authority = {rest->at, n};
    *rest = (str){rest->at + n, rest->len - n};
    return authority;
}

/* The last colon, unless it is one of an address in brackets. */
static void split_port(str authority, str *ret_host, str *ret_port)
{
    const char *colon = memrchr(authority.at, ':', authority.len);
    if (!colon || memchr(colon, ']', authority.len - (size_t)(colon - authority.at))) {
        *ret_host = authority;
        *ret_port = (str){NULL, 0};
        return;
    }
    *ret_host = (str){authority.at, (size_t)(colon - authority.at)};
    *ret_port = (str){colon + 1, authority.len - ret_host->len - 1};
}

/* Host, port and how the host is called in TLS. */
static int read_authority(str authority, const scheme *s, bench_target *target, char port[8], const char **ret_problem)
{
    str host, given;
    if (memchr(authority.at, '@', authority.len))
        return wrong(ret_problem, "has a user name, which is not sent");
    split_port(authority, &host, &given);
    if (!host.len)
        return wrong(ret_problem, "has no host");
    if (authority.len >= sizeof target->host)
        return wrong(ret_problem, "has a host that is too long");
    if (!http1_is_authority(authority, false))
        return wrong(ret_problem, "has a host or a port that is none");
    if (!given.len && !s->port)
        return wrong(ret_problem, "has no port");
    snprintf(port, 8, "%.*s", given.len ? (int)given.len : (int)strlen(s->port), given.len ? given.at : s->port);
    bool says_port = !s->port || strcmp(port, s->port) != 0;
    *str_put(target->host, says_port ? authority : host) = '\0';
    bool in_brackets = *host.at == '[';
    *str_put(target->name, (str){host.at + in_brackets, host.len - 2 * (size_t)in_brackets}) = '\0';
    return 0;
}

static int read_path(str path, bench_target *target, const char **ret_problem)
{
    if (memchr(path.at, '#', path.len))
        return wrong(ret_problem, "has a fragment, which is not sent");
    for (size_t i = 0; i < path.len; i++)
        if (path.at[i] <= ' ' || path.at[i] > '~')
            return wrong(ret_problem, "has characters that must be escaped");
    if (target->wire == BENCH_TCP && path.len && !str_equal(path, STR("/")))
        return wrong(ret_problem, "has a path, which TCP has no use for");
    bool begins = path.len && *path.at == '/';
    if (path.len + !begins >= sizeof target->path)
        return wrong(ret_problem, "has a path that is too long");
    char *at = target->path;
    if (!begins)
        *at++ = '/';
    *str_put(at, path) = '\0';
    return 0;
}

static bool answers(const struct addrinfo *address)
{
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct timeval patience = {.tv_sec = 2};
    if (fd < 0)
        return false;
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience); /* of connect() too */
    bool connected = connect(fd, address->ai_addr, address->ai_addrlen) == 0;
    close(fd);
    return connected;
}

/* "localhost" is ::1 first, and many servers listen at 127.0.0.1 alone. */
static const struct addrinfo *choose(const struct addrinfo *found)
{
    for (const struct addrinfo *one = found; found->ai_next && one; one = one->ai_next)
        if (answers(one))
            return one;
    return found;
}

static int look_up(bench_target *target, const char *port, const char **ret_problem)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV}, *found = NULL;
    if (getaddrinfo(target->name, port, &hints, &found))
        return wrong(ret_problem, "has a host that is not known here");
    const struct addrinfo *chosen = choose(found);
    memcpy(&target->address, chosen->ai_addr, chosen->ai_addrlen);
    target->address_len = chosen->ai_addrlen;
    freeaddrinfo(found);
    return 0;
}

int bench_target_read(const char *url, bench_target *ret_target, const char **ret_problem)
{
    bench_target target = {0};
    char port[8];
    str rest = str_from(url);
    const scheme *s = scheme_of(&rest);
    if (!s)
        return wrong(ret_problem, "does not begin with ws://, wss://, http://, https://, tcp:// or tls://");
    target.wire = s->wire;
    target.websocket = s->websocket;
    target.tls = s->tls;
    str authority = take_authority(&rest);
    int error = read_authority(authority, s, &target, port, ret_problem);
    if (!error)
        error = read_path(rest, &target, ret_problem);
    if (!error)
        error = look_up(&target, port, ret_problem);
    if (!error)
        *ret_target = target;
    return error;
}
