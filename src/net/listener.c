#include "net/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    ACCEPTS_A_TURN = 64, /* so that a flood of connects does not starve the connections that are there */
    DEFAULT_BACKLOG = 4096,
    RETRY_MS = 50,
};

static const char *unix_path(const address *a)
{
    return a->at.ss_family == AF_UNIX ? ((const struct sockaddr_un *)&a->at)->sun_path : NULL;
}

static void set_option(int fd, int level, int name)
{
    int one = 1;
    setsockopt(fd, level, name, &one, sizeof one); /* none of them is worth failing for */
}

/* A file left behind by a process that died: nobody answers there. One that is too busy to answer (EAGAIN) lives. */
static void remove_stale_socket(const address *a)
{
    struct stat status;
    const char *path = unix_path(a);
    if (lstat(path, &status) || !S_ISSOCK(status.st_mode))
        return;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    if (connect(fd, (const struct sockaddr *)&a->at, a->len) && errno == ECONNREFUSED)
        unlink(path);
    close(fd);
}

static int bind_and_listen(int fd, const address *where, const weft_listen_options *options)
{
    int backlog = options && options->backlog ? options->backlog : DEFAULT_BACKLOG;
    if (where->at.ss_family == AF_UNIX) {
        remove_stale_socket(where);
    } else {
        set_option(fd, SOL_SOCKET, SO_REUSEADDR);
        set_option(fd, IPPROTO_TCP, TCP_NODELAY); /* accepted sockets inherit it */
        if (where->at.ss_family == AF_INET6)
            set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY);
        if (options && options->reuse_port)
            set_option(fd, SOL_SOCKET, SO_REUSEPORT);
    }
    if (bind(fd, (const struct sockaddr *)&where->at, where->len))
        return -errno;
    int error = 0;
    if (unix_path(where) && options && options->unix_mode && chmod(unix_path(where), (mode_t)options->unix_mode))
        error = -errno;
    if (!error && listen(fd, backlog))
        error = -errno;
    if (error && unix_path(where))
        unlink(unix_path(where)); /* bind() has just made it */
    return error;
}

int listener_open(listener *l, const address *where, const weft_listen_options *options)
{
    *l = (listener){.source.fd = -1, .reserve_fd = -1, .where = *where};
    int fd = socket(where->at.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    int error = bind_and_listen(fd, where, options);
    if (error) {
        close(fd);
        return error;
    }
    if (!unix_path(where)) {
        l->where.len = sizeof l->where.at;
        getsockname(fd, (struct sockaddr *)&l->where.at, &l->where.len);
    }
    address_url(&l->where, l->url);
    l->source.fd = fd;
    l->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return 0;
}

static int accept_one(const listener *l, struct sockaddr_storage *ret_from)
{
    socklen_t len = sizeof *ret_from;
    ret_from->ss_family = AF_UNSPEC;
    return accept4(l->source.fd, (struct sockaddr *)ret_from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

static void listener_retry(timer *t)
{
    listener *l = CONTAINER(t, listener, retry);
    if (loop_watch(l->net->loop, &l->source, EPOLLIN))
        loop_arm(l->net->loop, t, RETRY_MS, listener_retry);
}

/* Says 503, as far as the socket takes it at once, and hangs up: with what has come read away, as an end with unread bytes is a reset, which eats the
 * answer on some systems. A handshake first would cost what is to be saved. */
static void turn_away(const listener *l, int fd)
{
    static const char busy[] = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n"
                               "Connection: close\r\n\r\n";
    if (!l->where.tls && send(fd, busy, sizeof busy - 1, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
        shutdown(fd, SHUT_WR);
    (void)!recv(fd, l->net->received, NET_RECEIVE_BYTES, MSG_DONTWAIT);
    close(fd);
}

/* No descriptor is left. Answers one waiting client through the reserve; without one, waits a little rather than spin. */
static void shed(listener *l)
{
    net *n = l->net;
    struct sockaddr_storage from;
    int fd = -1;
    const char *limit = limit_count(&n->limits, LIMIT_DESCRIPTORS);
    if (limit_tell(&n->limits, LIMIT_DESCRIPTORS, n->loop->now_ms))
        log_line(n->log, WEFT_LOG_WARNING, "event=shed reason=\"out of file descriptors\" limit=\"%s\"", limit);
    if (l->reserve_fd >= 0) {
        close(l->reserve_fd);
        fd = accept_one(l, &from);
    }
    if (fd >= 0) {
        turn_away(l, fd);
        l->n_shed++;
    }
    l->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        loop_unwatch(l->net->loop, &l->source);
        loop_arm(l->net->loop, &l->retry, RETRY_MS, listener_retry);
    }
}

/* Its address has too many connections, or makes them too fast. */
static void refuse(listener *l, int fd, const struct sockaddr_storage *from, const admission *why)
{
    net *n = l->net;
    l->n_refused++;
    char text[IP_TEXT_BYTES];
    ip_address ip;
    if (why->error != WEFT_E_FULL || !ip_of_socket(from, &ip)) {
        close(fd); /* no memory even to count it */
        return;
    }
    const char *limit = limit_count(&n->limits, why->limit);
    ip_put(&ip, text);
    if (why->tell)
        log_line(n->log, WEFT_LOG_WARNING, "event=refuse address=%s status=503 limit=%s", text, limit);
    turn_away(l, fd);
}

static void take(listener *l, int fd, const struct sockaddr_storage *from)
{
    address_use *use;
    admission admitted = addresses_admit(l->net->addresses, l->net->loop->now_ms, from, &use);
    if (admitted.error) {
        refuse(l, fd, from, &admitted);
        return;
    }
    l->n_accepted++;
    l->accepted(l, fd, use);
}

/* Takes up to `most` connections; true when there may be more. */
static bool accept_some(listener *l, int most)
{
    for (int i = 0; i < most; i++) {
        struct sockaddr_storage from;
        int fd = accept_one(l, &from);
        if (fd >= 0) {
            take(l, fd, &from);
            continue;
        }
        switch (errno) {
        case EAGAIN:
            return false;
        case EMFILE:
        case ENFILE:
        case ENOBUFS:
        case ENOMEM:
            shed(l);
            return false;
        default: /* ECONNABORTED and the network errors that accept(2) passes on: this connection's own trouble */
            break;
        }
    }
    return true;
}

static void listener_ready(loop_source *source, uint32_t events)
{
    (void)events;
    accept_some(CONTAINER(source, listener, source), ACCEPTS_A_TURN);
}

int listener_start(listener *l, net *n, listener_accepted_fn accepted, void *owner)
{
    l->net = n;
    l->accepted = accepted;
    l->owner = owner;
    l->source.ready = listener_ready;
    return loop_watch(n->loop, &l->source, EPOLLIN);
}

void listener_close(listener *l)
{
    if (l->source.fd < 0)
        return;
    if (l->net) {
        if (!timer_armed(&l->retry))
            accept_some(l, DEFAULT_BACKLOG);
        loop_cancel(l->net->loop, &l->retry);
        loop_unwatch(l->net->loop, &l->source);
    }
    close(l->source.fd);
    if (l->reserve_fd >= 0)
        close(l->reserve_fd);
    if (unix_path(&l->where))
        unlink(unix_path(&l->where));
    l->source.fd = l->reserve_fd = -1;
}
