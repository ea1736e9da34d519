#include "http_client.h"

#include "settings.h"
#include "values.h"
#include <errno.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum {
    CONNECT_MS = 10000,
    REQUEST_MS = 30000,
    MAX_HEAD = 64 << 10,
    MAX_BODY = 1 << 20,
    READ_BYTES = 16 << 10,
    MAX_PREFIX = 1024,
};

struct http_client {
    char url[ADDRESS_BYTES];
    char path[MAX_PREFIX]; /* in front of each request's, without a slash at its end */
    char problem[256];
    int fd; /* -1: not connected */
    int64_t deadline_ms;
    bool answered; /* a head has come on this connection, or the beginning of one */
    bool ends;     /* the connection cannot carry another request */

    /* What has come: [at, len) is unread. */
    char *in;
    size_t at, len, room;

    char *body; /* of the last answer */
    size_t body_len;
};

/* ---------------------------------------------------------------------------------------------------------------- life */

http_client *http_client_new(const char *url)
{
    static const char scheme[] = "http://";
    http_client *c = grow(NULL, sizeof *c);
    *c = (http_client){.fd = -1};
    size_t prefix = strncasecmp(url, scheme, strlen(scheme)) == 0 ? strlen(scheme) : 0;
    size_t len = prefix ? prefix + strcspn(url + prefix, "/") : strlen(url);
    size_t path = strlen(url) - len;
    while (path && url[len + path - 1] == '/')
        path--;
    char *authority = copy_text(url, len);
    bool good = complete_address(authority, c->url) && strncmp(c->url, "https:", strlen("https:")) != 0 &&
                path < sizeof c->path && !strpbrk(url + len, " ?#\r\n");
    free(authority);
    if (!good) {
        free(c);
        return NULL;
    }
    memcpy(c->path, url + len, path);
    return c;
}

static void disconnect(http_client *c)
{
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    c->at = c->len = 0;
    c->ends = false;
}

void http_client_free(http_client *c)
{
    if (!c)
        return;
    disconnect(c);
    free(c->in);
    free(c->body);
    free(c);
}

const char *http_client_problem(const http_client *c)
{
    return c->problem;
}

const char *http_client_url(const http_client *c)
{
    return c->url;
}

/* The first problem of a request is the one to tell. */
__attribute__((format(printf, 2, 3))) static int fail(http_client *c, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    if (!*c->problem)
        vsnprintf(c->problem, sizeof c->problem, format, arguments);
    va_end(arguments);
    return -1;
}

/* ---------------------------------------------------------------------------------------------------------------- time */

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* What of the events has come; 0 when time is up. */
static int wait_for(const http_client *c, short events)
{
    for (;;) {
        int64_t left = c->deadline_ms - now_ms();
        struct pollfd one = {.fd = c->fd, .events = events};
        int n = poll(&one, 1, left > 0 ? (int)left : 0);
        if (n >= 0)
            return n ? one.revents : 0;
        if (errno != EINTR)
            return 0;
    }
}

/* ------------------------------------------------------------------------------------------------------------- connect */

static int connect_to(http_client *c, int family, const struct sockaddr *address, socklen_t len)
{
    int error = 0, on = 1;
    socklen_t size = sizeof error;
    c->fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0)
        return errno;
    if (family != AF_UNIX)
        setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(c->fd, address, len) != 0)
        error = errno;
    if (error == EINPROGRESS && !wait_for(c, POLLOUT))
        error = ETIMEDOUT;
    else if (error == EINPROGRESS && getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0)
        error = errno;
    if (error)
        disconnect(c);
    return error;
}

static int connect_unix(http_client *c)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", c->url + strlen("unix:"));
    return connect_to(c, AF_UNIX, (const struct sockaddr *)&address, sizeof address);
}

/* The addresses of a name one after the other; the last one's error. */
static int connect_tcp(http_client *c)
{
    char host[ADDRESS_BYTES], port[8];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV}, *found = NULL;
    split_address(c->url, host, port);
    int unknown = getaddrinfo(host, port, &hints, &found), error = 0;
    if (unknown) {
        fail(c, "%s", gai_strerror(unknown));
        return EHOSTUNREACH;
    }
    for (const struct addrinfo *one = found; one; one = one->ai_next) {
        c->deadline_ms = now_ms() + CONNECT_MS;
        error = connect_to(c, one->ai_family, one->ai_addr, one->ai_addrlen);
        if (!error)
            break;
    }
    freeaddrinfo(found);
    return error;
}

/* A connection that can take a request. One that is readable between two requests has ended. */
static int connected(http_client *c)
{
    struct pollfd one = {.fd = c->fd, .events = POLLIN};
    if (c->fd >= 0 && !c->ends && c->at == c->len && poll(&one, 1, 0) == 0)
        return 0;
    disconnect(c);
    c->deadline_ms = now_ms() + CONNECT_MS;
    int error = strncmp(c->url, "unix:", 5) == 0 ? connect_unix(c) : connect_tcp(c);
    return error ? fail(c, "no connection: %s", strerror(error)) : 0;
}

/* ---------------------------------------------------------------------------------------------------------------- send */

/* Skips what has been taken. */
static void advance(struct iovec parts[2], size_t n)
{
    for (int i = 0; i < 2; i++) {
        size_t taken = n < parts[i].iov_len ? n : parts[i].iov_len;
        parts[i].iov_base = (char *)parts[i].iov_base + taken;
        parts[i].iov_len -= taken;
        n -= taken;
    }
}

/* Until all is sent, or the server has answered before that (as 413 is), or has gone: its answer may lie here even so. */
static int send_parts(http_client *c, struct iovec parts[2])
{
    while (parts[0].iov_len + parts[1].iov_len) {
        struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
        int events = wait_for(c, POLLIN | POLLOUT);
        if (!events)
            return fail(c, "it took too long to take the message");
        ssize_t n = events & POLLIN ? -1 : sendmsg(c->fd, &message, MSG_NOSIGNAL);
        if (n >= 0) {
            advance(parts, (size_t)n);
        } else if (events & POLLIN || (errno != EAGAIN && errno != EINTR)) {
            c->ends = true;
            return 0;
        }
    }
    return 0;
}

static int send_request(http_client *c, const http_post *post)
{
    char *head;
    bool local = strncmp(c->url, "unix:", 5) == 0;
    int len = asprintf(&head, "POST %s%s HTTP/1.1\r\nHost: %s\r\nContent-Length: %zu\r\n%s\r\n", c->path, post->path,
                       local ? "localhost" : c->url + strlen("http://"), post->len, post->fields);
    if (len < 0)
        return fail(c, "%s", strerror(ENOMEM));
    struct iovec parts[2] = {{head, (size_t)len}, {(void *)(uintptr_t)post->body, post->len}};
    int error = send_parts(c, parts);
    free(head);
    return error;
}

/* ------------------------------------------------------------------------------------------------------------- receive */

/* Reads more behind what is there. 1, 0 at the end of the connection, -1. */
static int fill(http_client *c)
{
    if (c->at) {
        memmove(c->in, c->in + c->at, c->len - c->at);
        c->len -= c->at;
        c->at = 0;
    }
    if (c->room - c->len < READ_BYTES)
        c->in = grow(c->in, c->room = c->len + READ_BYTES);
    for (;;) {
        if (!wait_for(c, POLLIN))
            return fail(c, "it did not answer in time");
        ssize_t n = recv(c->fd, c->in + c->len, c->room - c->len, 0);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            continue;
        if (n < 0)
            return fail(c, "no answer: %s", strerror(errno));
        c->len += (size_t)n;
        c->answered |= n > 0;
        return n > 0;
    }
}

static int cut_short(http_client *c, int filled)
{
    if (filled < 0)
        return -1;
    return fail(c, c->answered ? "its answer is cut short" : "it ended the connection without an answer");
}

/* The next line, NUL-terminated without its end; the bytes stay until the next fill. */
static int take_line(http_client *c, char **ret_line)
{
    for (size_t seen = 0;;) {
        char *end = c->len > c->at + seen ? memchr(c->in + c->at + seen, '\n', c->len - c->at - seen) : NULL;
        if (end) {
            *ret_line = c->in + c->at;
            c->at = (size_t)(end - c->in) + 1;
            *end = '\0';
            if (end > *ret_line && end[-1] == '\r')
                end[-1] = '\0';
            return 0;
        }
        seen = c->len - c->at;
        if (seen > MAX_HEAD)
            return fail(c, "its answer has a line of over 64 KiB");
        int filled = fill(c);
        if (filled <= 0)
            return cut_short(c, filled);
    }
}

/* Appends n bytes of the input to the body. */
static int take_body(http_client *c, size_t n)
{
    if (n > MAX_BODY || c->body_len > MAX_BODY - n)
        return fail(c, "its answer is larger than 1 MiB");
    c->body = grow(c->body, c->body_len + n + 1);
    while (n) {
        size_t here = c->len - c->at < n ? c->len - c->at : n;
        int filled = here ? 1 : fill(c);
        if (filled <= 0)
            return cut_short(c, filled);
        memcpy(c->body + c->body_len, c->in + c->at, here);
        c->body_len += here;
        c->at += here;
        n -= here;
    }
    c->body[c->body_len] = '\0';
    return 0;
}

typedef struct {
    int status;
    bool chunked, has_length;
    uint64_t length;
} answer_head;

static int take_status(http_client *c, answer_head *head)
{
    char *line;
    int minor;
    if (take_line(c, &line))
        return -1;
    *head = (answer_head){0};
    if (sscanf(line, "HTTP/1.%1d %3d", &minor, &head->status) != 2 || head->status < 100)
        return fail(c, "it does not speak HTTP/1.1");
    c->ends |= minor == 0;
    return 0;
}

static int take_field(http_client *c, answer_head *head, char *line)
{
    char *value = strchr(line, ':');
    if (!value)
        return fail(c, "its answer is not HTTP");
    *value++ = '\0';
    value += strspn(value, " \t");
    if (strcasecmp(line, "Content-Length") == 0) {
        head->has_length = read_count(value, &head->length);
        if (!head->has_length)
            return fail(c, "its answer has a wrong length");
    } else if (strcasecmp(line, "Transfer-Encoding") == 0) {
        head->chunked = strcasecmp(value, "chunked") == 0;
        if (!head->chunked)
            return fail(c, "its answer has an unknown encoding");
    } else if (strcasecmp(line, "Connection") == 0) {
        c->ends |= strcasestr(value, "close") != NULL;
    }
    return 0;
}

/* The head of the answer; interim ones (100, 103) are skipped. */
static int take_head(http_client *c, answer_head *head)
{
    do {
        size_t bytes = 0;
        char *line;
        if (take_status(c, head))
            return -1;
        while (!take_line(c, &line) && *line) {
            bytes += strlen(line);
            if (bytes > MAX_HEAD)
                return fail(c, "its answer has a head of over 64 KiB");
            if (take_field(c, head, line))
                return -1;
        }
    } while (!*c->problem && head->status < 200);
    return *c->problem ? -1 : 0;
}

static int take_chunks(http_client *c)
{
    char *line, *end;
    for (;;) {
        if (take_line(c, &line))
            return -1;
        unsigned long long n = strtoull(line, &end, 16);
        if (end == line || *line == '-')
            return fail(c, "its answer has a wrong chunk");
        if (n == 0)
            break;
        if (take_body(c, n < SIZE_MAX ? (size_t)n : SIZE_MAX) || take_line(c, &line))
            return -1;
    }
    do { /* trailers */
        if (take_line(c, &line))
            return -1;
    } while (*line);
    return 0;
}

/* A body that ends with the connection. */
static int take_rest(http_client *c)
{
    int filled = 1;
    c->ends = true;
    while (filled > 0) {
        if (take_body(c, c->len - c->at))
            return -1;
        filled = fill(c);
    }
    return filled;
}

static int take_answer(http_client *c, http_answer *ret_answer)
{
    answer_head head;
    c->body_len = 0;
    if (take_head(c, &head))
        return -1;
    if (head.status == 204 || head.status == 304)
        head = (answer_head){.status = head.status, .has_length = true};
    int error = head.chunked      ? take_chunks(c)
                : head.has_length ? take_body(c, head.length < SIZE_MAX ? (size_t)head.length : SIZE_MAX)
                                  : take_rest(c);
    if (!error)
        error = take_body(c, 0); /* there is one, with its NUL */
    if (!error)
        *ret_answer = (http_answer){.status = head.status, .body = c->body, .len = c->body_len};
    return error;
}

int http_client_post(http_client *c, const http_post *post, http_answer *ret_answer)
{
    *c->problem = '\0';
    if (connected(c))
        return -1;
    c->answered = false;
    c->deadline_ms = now_ms() + REQUEST_MS;
    int error = send_request(c, post);
    if (!error)
        error = take_answer(c, ret_answer);
    if (error)
        disconnect(c);
    return error;
}
