#include "bench/link.h"
#include "base/mem.h"
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <signal.h>
#include <unistd.h>

enum {
    READ_BYTES = 512 * 1024,
    LARGE_BYTES =
        64 * 1024, /* what is left over, or wanted, beyond this is not copied to the front of the read buffer */
};

const char bench_link_ended[] = "ended by the server";

/* -------------------------------------------------------------------------------------------------------- the shared part */

static SSL_CTX *new_tls(void)
{
    SSL_CTX *tls = SSL_CTX_new(TLS_client_method());
    if (!tls)
        return NULL;
    SSL_CTX_set_verify(tls, SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_mode(tls,
                     SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    /* Many servers end without a close_notify; whether a message is cut short is seen by its own length. */
    SSL_CTX_set_options(tls, SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_read_ahead(tls, 1); /* or each record takes two reads */
    return tls;
}

int bench_lines_init(bench_lines *lines, loop *l, bool tls)
{
    *lines = (bench_lines){.loop = l, .read_buffer_bytes = READ_BYTES};
    lines->read_buffer = mem_new(READ_BYTES);
    if (!lines->read_buffer)
        return -ENOMEM;
    if (!tls)
        return 0;
    signal(SIGPIPE, SIG_IGN); /* OpenSSL writes with write() */
    lines->tls = new_tls();
    if (lines->tls)
        return 0;
    ERR_clear_error();
    bench_lines_done(lines);
    return WEFT_E_INVALID;
}

void bench_lines_done(bench_lines *lines)
{
    SSL_CTX_free(lines->tls);
    mem_free(lines->read_buffer);
    *lines = (bench_lines){0};
}

/* ----------------------------------------------------------------------------------------------------------- what is told */

static const char *words_of(int error)
{
    switch (error) {
    case ECONNREFUSED:
        return "refused";
    case ECONNRESET:
    case EPIPE:
        return "reset by the server";
    case ETIMEDOUT:
        return "not answered in time";
    case EHOSTUNREACH:
    case ENETUNREACH:
        return "not reachable";
    default: {
        const char *words = strerrordesc_np(error);
        return words ? words : "failed";
    }
    }
}

static const char *tls_words(void)
{
    const char *words = ERR_reason_error_string(ERR_peek_error()); /* static, in OpenSSL's own memory */
    ERR_clear_error();
    return words ? words : "failed in TLS";
}

static void tell_down(bench_link *link, const char *why)
{
    link->is_down = true;
    loop_unwatch(link->lines->loop, &link->source);
    loop_undefer(link->lines->loop, &link->flush);
    link->handler->down(link, why);
}

/* Closed, or closed and opened anew, or down, since it was closed that often. */
static bool is_over(const bench_link *link, uint32_t n_closed)
{
    return link->n_closed != n_closed || link->is_down;
}

/* ------------------------------------------------------------------------------------------------------- bytes and OpenSSL */

/* What an SSL_… call that gave `result` means: -EAGAIN, 0 for the end, -errno, or -EPROTO with an error in OpenSSL's queue. */
static ssize_t tls_result(const SSL *ssl, int result)
{
    int system_error = errno;
    switch (SSL_get_error(ssl, result)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        return -EAGAIN;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    case SSL_ERROR_SYSCALL:
        return system_error ? -system_error : 0;
    default:
        return -EPROTO;
    }
}

/* All that OpenSSL has read, which epoll does not know of; when that fills the room there may be more. */
static ssize_t tls_receive(SSL *ssl, char *at, size_t room)
{
    size_t got = 0;
    do {
        size_t left = room - got;
        ERR_clear_error();
        errno = 0;
        int n = SSL_read(ssl, at + got, left < INT32_MAX ? (int)left : INT32_MAX);
        if (n <= 0)
            return got ? (ssize_t)got : tls_result(ssl, n);
        got += (size_t)n;
    } while (got < room && SSL_has_pending(ssl));
    return (ssize_t)got;
}

static ssize_t receive_some(bench_link *link, char *at, size_t room)
{
    if (link->ssl)
        return tls_receive(link->ssl, at, room);
    ssize_t n = recv(link->source.fd, at, room, 0);
    return n < 0 ? -errno : n;
}

static ssize_t tls_send(SSL *ssl, const char *at, size_t len)
{
    size_t sent = 0;
    while (sent < len) {
        size_t left = len - sent;
        ERR_clear_error();
        errno = 0;
        int n = SSL_write(ssl, at + sent, left < INT32_MAX ? (int)left : INT32_MAX);
        if (n <= 0)
            return sent ? (ssize_t)sent : tls_result(ssl, n);
        sent += (size_t)n;
    }
    return (ssize_t)sent;
}

static ssize_t send_some(bench_link *link, const char *at, size_t len)
{
    if (link->ssl)
        return tls_send(link->ssl, at, len);
    ssize_t n = send(link->source.fd, at, len, MSG_NOSIGNAL);
    return n < 0 ? -errno : n;
}

/* ------------------------------------------------------------------------------------------------------------------ writing */

static void watch(bench_link *link)
{
    int error = loop_watch(link->lines->loop, &link->source, link->is_full ? EPOLLIN | EPOLLOUT : EPOLLIN);
    if (error)
        tell_down(link, words_of(-error));
}

/* Each byte is moved at most once for each that has gone out. */
static void forget_sent(bench_link *link)
{
    buf *out = &link->out;
    size_t left = bench_link_unsent(link);
    if (left > link->out_at)
        return;
    if (left)
        memmove(out->at, out->at + link->out_at, left);
    out->len = left;
    link->out_at = 0;
}

void bench_link_send(bench_link *link)
{
    size_t left = bench_link_unsent(link);
    if (!link->is_up || link->is_down || !left)
        return;
    ssize_t n = send_some(link, link->out.at + link->out_at, left);
    if (n == -EAGAIN || n == -EINTR)
        n = 0;
    if (n < 0) {
        /* What the server said before it went may still be read, and then that it has gone. */
        bool may_read = !link->ssl && (n == -EPIPE || n == -ECONNRESET);
        if (!may_read)
            tell_down(link, n == -EPROTO ? tls_words() : words_of((int)-n));
        return;
    }
    link->lines->n_written_bytes += (uint64_t)n;
    link->out_at += (size_t)n;
    forget_sent(link);
    link->is_full = (size_t)n < left;
    watch(link);
}

static void run_flush(loop_task *task)
{
    bench_link_send(CONTAINER(task, bench_link, flush));
}

void bench_link_flush(bench_link *link)
{
    if (link->is_up && !link->is_full && !link->is_down)
        loop_defer(link->lines->loop, &link->flush);
}

/* ------------------------------------------------------------------------------------------------------------------ reading */

/* Hands `len` bytes to the reader. False when the link is over; else *ret_left are left at the end. */
static bool hand_over(bench_link *link, char *at, size_t len, size_t *ret_left)
{
    uint32_t n_closed = link->n_closed;
    link->wanted = 0;
    size_t taken = link->handler->bytes(link, at, len);
    if (is_over(link, n_closed))
        return false;
    *ret_left = len - taken;
    return true;
}

/* What has come lies in the read buffer, `len` bytes with the rest in front of them. */
static void take_buffered(bench_link *link, size_t len)
{
    size_t left, had = link->rest.len;
    char *at = link->lines->read_buffer;
    if (len < link->wanted) {
        left = len - had;
    } else {
        link->rest.len = 0;
        if (!hand_over(link, at, len, &left))
            return;
    }
    if (left && buf_put(&link->rest, at + len - left, left))
        tell_down(link, words_of(ENOMEM));
}

/* The same with what was received where the rest lies. */
static void take_rest(bench_link *link)
{
    buf *rest = &link->rest;
    size_t left, len = rest->len;
    if (len < link->wanted || !hand_over(link, rest->at, len, &left))
        return;
    if (left && left < len)
        memmove(rest->at, rest->at + len - left, left);
    rest->len = left;
}

/* Copies the rest in front of what comes; the room behind it. */
static char *room_in_buffer(bench_link *link, size_t *ret_room)
{
    bench_lines *lines = link->lines;
    if (link->rest.len)
        memcpy(lines->read_buffer, link->rest.at, link->rest.len);
    *ret_room = lines->read_buffer_bytes - link->rest.len;
    return lines->read_buffer + link->rest.len;
}

/* Room for what is wanted and no more, so that what comes behind it begins anew in the read buffer. NULL: no memory. */
static char *room_in_rest(bench_link *link, size_t *ret_room)
{
    buf *rest = &link->rest;
    bool is_known = link->wanted > rest->len;
    size_t more = is_known ? link->wanted - rest->len : LARGE_BYTES;
    if (buf_reserve(rest, more))
        return NULL;
    *ret_room = is_known ? more : rest->cap - rest->len;
    return rest->at + rest->len;
}

/* One read. True when there may be more that epoll does not know of. */
static bool receive_once(bench_link *link)
{
    bool into_rest = link->wanted > LARGE_BYTES || link->rest.len > LARGE_BYTES;
    size_t room;
    char *at = into_rest ? room_in_rest(link, &room) : room_in_buffer(link, &room);
    ssize_t n = at ? receive_some(link, at, room) : -ENOMEM;
    if (n == -EAGAIN || n == -EINTR)
        return false;
    if (n <= 0) {
        tell_down(link, n == 0 ? bench_link_ended : n == -EPROTO ? tls_words() : words_of((int)-n));
        return false;
    }
    bool is_filled = link->ssl && (size_t)n == room;
    link->lines->n_read_bytes += (uint64_t)n;
    if (into_rest) {
        link->rest.len += (size_t)n;
        take_rest(link);
    } else {
        take_buffered(link, link->rest.len + (size_t)n);
    }
    return is_filled;
}

static void receive(bench_link *link)
{
    uint32_t n_closed = link->n_closed;
    while (receive_once(link) && !is_over(link, n_closed))
        ;
}

/* --------------------------------------------------------------------------------------------------------------- connecting */

/* True when the handshake is done. */
static bool step_tls(bench_link *link)
{
    ERR_clear_error();
    errno = 0;
    int result = SSL_do_handshake(link->ssl);
    if (result == 1)
        return true;
    ssize_t n = tls_result(link->ssl, result);
    if (n != -EAGAIN) {
        tell_down(link, n == 0 ? bench_link_ended : n == -EPROTO ? tls_words() : words_of((int)-n));
        return false;
    }
    link->is_full = SSL_want_write(link->ssl);
    watch(link);
    return false;
}

static bool step_connect(bench_link *link)
{
    int error = 0;
    socklen_t size = sizeof error;
    if (getsockopt(link->source.fd, SOL_SOCKET, SO_ERROR, &error, &size))
        error = errno;
    if (error)
        tell_down(link, words_of(error));
    link->is_connected = !error;
    return !error;
}

static void step_up(bench_link *link)
{
    uint32_t n_closed = link->n_closed;
    if (!link->is_connected && !step_connect(link))
        return;
    if (link->ssl && !step_tls(link))
        return;
    link->is_up = true;
    link->is_full = false;
    watch(link);
    if (!is_over(link, n_closed))
        link->handler->up(link);
}

static void source_ready(loop_source *source, uint32_t events)
{
    bench_link *link = CONTAINER(source, bench_link, source);
    uint32_t n_closed = link->n_closed;
    if (!link->is_up) {
        step_up(link);
        return;
    }
    if (events & EPOLLOUT)
        bench_link_send(link);
    if (events & ~(uint32_t)EPOLLOUT && !is_over(link, n_closed))
        receive(link);
}

static SSL *new_ssl(const bench_lines *lines, const bench_target *target, int fd)
{
    SSL *ssl = SSL_new(lines->tls);
    bool is_name = target->name[strspn(target->name, "0123456789.")] && !strchr(target->name, ':');
    if (ssl && SSL_set_fd(ssl, fd) == 1 && (!is_name || SSL_set_tlsext_host_name(ssl, target->name) == 1)) {
        SSL_set_connect_state(ssl);
        return ssl;
    }
    SSL_free(ssl);
    ERR_clear_error();
    return NULL;
}

/* A socket that has begun to connect, or -errno. */
static int begin_connect(const bench_target *target, const struct sockaddr_storage *source, socklen_t source_len)
{
    int on = 1, error = 0;
    int fd = socket(target->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (source) { /* the port is chosen in connect(), where all those are free that go elsewhere */
        setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
        error = bind(fd, (const struct sockaddr *)source, source_len) ? errno : 0;
    }
    if (!error && connect(fd, (const struct sockaddr *)&target->address, target->address_len))
        error = errno;
    if (error == 0 || error == EINPROGRESS)
        return fd;
    close(fd);
    return -error;
}

int bench_link_open(bench_link *link, bench_lines *lines, const bench_target *target,
                    const struct sockaddr_storage *source, socklen_t source_len, const bench_link_handler *handler)
{
    int fd = begin_connect(target, source, source_len);
    if (fd < 0)
        return fd;
    *link = (bench_link){
        .source = {.ready = source_ready, .fd = fd},
        .flush = {.run = run_flush},
        .lines = lines,
        .handler = handler,
        .n_closed = link->n_closed,
    };
    int error = 0;
    if (target->tls && !(link->ssl = new_ssl(lines, target, fd)))
        error = -ENOMEM;
    else
        error = loop_watch(lines->loop, &link->source, EPOLLOUT);
    if (error)
        bench_link_close(link);
    return error;
}

void bench_link_close(bench_link *link)
{
    if (!link->lines)
        return;
    loop_unwatch(link->lines->loop, &link->source);
    loop_undefer(link->lines->loop, &link->flush);
    SSL_free(link->ssl);
    close(link->source.fd);
    buf_done(&link->out);
    buf_done(&link->rest);
    *link = (bench_link){.n_closed = link->n_closed + 1};
}
