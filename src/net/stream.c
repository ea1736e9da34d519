#include "net/stream_private.h"

#include "base/mem.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_RECEIVES = 8 }; /* of one large frame in one turn */

/* --------------------------------------------------------------------------------------------------- life and death */

void stream_unhook(stream *s)
{
    net *n = s->net;
    s->closed = true;
    loop_unwatch(n->loop, &s->source);
    s->base.use = NULL;
    stream_forget_queued(s);
    n->n_streams--;
    stream_stop_waiting(s);
    stream_join_dirty(s); /* to be freed */
}

void stream_close(stream *s)
{
    net *n = s->net;
    address_use *use = s->base.use;
    if (s->closed)
        return;
    stream_unhook(s);
    close(s->source.fd);
    addresses_leave(n->addresses, n->loop->now_ms, use);
}

void stream_free(stream *s)
{
    s->net->n_kept--;
    stream_queue_free(s);
    stream_file_free(s);
    stream_unread_free(s);
    stream_tls_free(s);
    slabs_put(&s->net->loop->places, s, sizeof *s);
}

stream_more *stream_more_of(stream *s)
{
    size_t block_bytes;
    if (s->more)
        return s->more;
    stream_more *more = pool_get(&s->net->loop->blocks, sizeof *more, &block_bytes);
    if (more)
        *more = (stream_more){.stream = s, .block_bytes = block_bytes};
    return s->more = more;
}

void stream_tidy(stream *s)
{
    stream_more *more = s->more;
    if (!more || more->file || more->tls || more->unread || list_linked(&more->waiting))
        return;
    s->more = NULL;
    pool_put(&s->net->loop->blocks, more, more->block_bytes);
}

int stream_wait_in(stream *s, list_node *list)
{
    if (!stream_more_of(s))
        return -ENOMEM;
    list_remove(&s->more->waiting);
    list_append(list, &s->more->waiting);
    s->more->since_ms = (uint32_t)s->net->loop->now_ms;
    return 0;
}

void stream_stop_waiting(stream *s)
{
    if (!s->more)
        return;
    list_remove(&s->more->waiting);
    stream_tidy(s);
}

void stream_unread_free(stream *s)
{
    if (!stream_unread(s))
        return;
    chunk_unref(&s->net->loop->blocks, s->more->unread);
    s->more->unread = NULL;
    stream_tidy(s);
}

/* The connection is lost: tells the owner, unless it has let go. */
void stream_fail(stream *s, int error)
{
    if (s->closed)
        return;
    const sink_events *events = s->ending ? NULL : s->base.events;
    stream_close(s);
    if (events)
        events->gone(s->base.owner, error);
}

/* ----------------------------------------------------------------------------------------------------------- reading */

int stream_watch(stream *s)
{
    uint32_t events = EPOLLERR; /* always told, and keeps a paused stream in epoll, so that a reset is seen */
    if (!s->read_closed && (!s->paused || s->ending))
        events |= EPOLLIN;
    if (s->stalled)
        events |= EPOLLOUT;
    return loop_watch(s->net->loop, &s->source, events);
}

/* Keeps what the owner did not consume. `at` may lie in what is unread itself. */
static int keep_unread(stream *s, const char *at, size_t len)
{
    pool *blocks = &s->net->loop->blocks;
    if (len == 0) {
        stream_unread_free(s);
        return 0;
    }
    if (!stream_more_of(s))
        return -ENOMEM;
    chunk *kept = s->more->unread;
    if (kept && at >= kept->bytes && at <= kept->bytes + kept->cap) {
        memmove(kept->bytes, at, len);
        kept->len = len;
        return 0;
    }
    if (!kept || kept->cap < len) {
        kept = chunk_new(blocks, len);
        if (!kept)
            return -ENOMEM;
        chunk_unref(blocks, s->more->unread);
        s->more->unread = kept;
    }
    memcpy(kept->bytes, at, len);
    kept->len = len;
    return 0;
}

void stream_feed(stream *s, char *at, size_t len)
{
    net *n = s->net;
    n->reading = s;
    while (len && !s->paused && !s->ending && !s->closed) {
        void *owner = s->base.owner;
        size_t consumed = s->base.events->data(owner, at, len);
        assert(consumed <= len);
        at += consumed;
        len -= consumed;
        if (consumed == 0 && s->base.owner == owner)
            break;
    }
    n->reading = NULL;
    if (s->closed)
        return;
    if (s->ending)
        len = 0;
    /* the answers may point into the bytes that keep_unread() moves: they go first; and only then is the owner told, who may resume or end */
    bool progress = false;
    if (!s->stalled)
        progress = stream_send(s);
    else if (s->queue && stream_settle(s))
        stream_fail(s, -ENOMEM);
    if ((len || stream_unread(s)) && !s->closed && keep_unread(s, at, len))
        stream_fail(s, -ENOMEM);
    if (progress)
        stream_tell_sent(s);
}

/* What was kept while the stream was paused, or for another owner; then the end, if it has come. */
void stream_feed_unread(stream *s)
{
    s->feed = false;
    if (stream_unread(s))
        stream_feed(s, s->more->unread->bytes, s->more->unread->len);
    if (s->read_closed && !s->closed && !s->ending && !(s->paused && stream_unread(s))) {
        if (stream_tls(s))
            s->more->tls->eof_waits = false;
        s->base.events->eof(s->base.owner);
    }
}

void stream_eof(stream *s)
{
    s->read_closed = true;
    if (s->lingering) {
        stream_close(s);
        return;
    }
    if (stream_watch(s)) {
        stream_fail(s, -ENOMEM);
        return;
    }
    if (!s->ending)
        s->base.events->eof(s->base.owner);
    if (!s->closed && !s->stalled)
        stream_flush(s);
}

char *stream_receive_room(stream *s, size_t *ret_kept, size_t *ret_room)
{
    net *n = s->net;
    *ret_kept = 0;
    const chunk *unread = stream_unread(s);
    if (unread) {
        *ret_kept = unread->len;
        memcpy(n->received, unread->bytes, unread->len);
    } else if (s->base.events->room && !s->ending) {
        char *room = s->base.events->room(s->base.owner, ret_room);
        if (room)
            return room;
    }
    *ret_room = NET_RECEIVE_BYTES - *ret_kept;
    return n->received + *ret_kept;
}

/* A handshake takes as long as hundreds of messages. So that a crowd of newcomers does not hold up everybody else, a turn has so much time for them
 * and no more: their sockets stay readable, and epoll tells of them again. */
static bool receive_handshake(stream *s)
{
    net *n = s->net;
    if (n->handshake_turn != n->loop->n_wakes) {
        n->handshake_turn = n->loop->n_wakes;
        n->handshake_us = 0;
    }
    if (n->handshake_us >= NET_HANDSHAKE_US)
        return false;
    uint64_t began_us = loop_clock_us();
    bool more = stream_tls_receive(s);
    n->handshake_us += loop_clock_us() - began_us;
    return more;
}

/* What the owner will look at when the bytes are there: it comes while recv() is under way. */
static void prefetch_owner(const stream *s)
{
    enum { OWNER_BYTES = 320, LINE = 64 };
    for (uintptr_t i = 0; i < OWNER_BYTES; i += LINE)
        __builtin_prefetch((const void *)((uintptr_t)s->base.owner + i));
}

/* True when the buffer was filled, so that there is probably more. */
static bool receive_once(stream *s)
{
    if (stream_tls(s))
        return s->more->tls->established ? stream_tls_receive(s) : receive_handshake(s);
    size_t kept, room;
    prefetch_owner(s);
    char *at = stream_receive_room(s, &kept, &room);
    assert(room > 0);
    ssize_t received = recv(s->source.fd, at, room, 0);
    s->net->n_receives++;
    if (received > 0) {
        if (!s->ending)
            stream_feed(s, at - kept, kept + (size_t)received);
        return (size_t)received == room;
    }
    if (received == 0)
        stream_eof(s);
    else if (errno != EAGAIN && errno != EINTR)
        stream_fail(s, -errno);
    return false;
}

/* One recv a turn; but a large frame, of which the first part has just come, is taken on while it is in the cache: its buffer is then free again
 * for the next connection. */
static void stream_receive(stream *s)
{
    size_t room;
    for (int i = 0; i < MAX_RECEIVES && receive_once(s); i++)
        if (s->closed || s->ending || s->paused || stream_unread(s) || !s->base.events->room ||
            !s->base.events->room(s->base.owner, &room))
            return;
}

static void stream_hung_up(stream *s, uint32_t events)
{
    int error = 0;
    socklen_t len = sizeof error;
    if (s->paused && !s->ending && !s->read_closed && !(events & EPOLLERR)) {
        loop_unwatch(s->net->loop, &s->source); /* the last bytes of a Unix socket are still to be read, some day */
        return;
    }
    getsockopt(s->source.fd, SOL_SOCKET, SO_ERROR, &error, &len);
    stream_fail(s, error ? -error : -ECONNRESET);
}

static void stream_ready(loop_source *source, uint32_t events)
{
    stream *s = CONTAINER(source, stream, source);
    if (events & EPOLLOUT)
        stream_flush(s);
    if (events & EPOLLIN && s->feed && !s->closed)
        stream_feed_unread(s); /* resumed between two turns: what is unread comes before the end of the stream */
    if (s->closed)
        return;
    if (events & EPOLLIN && s->paused && !s->ending) {
        if (stream_watch(s))
            stream_fail(s, -ENOMEM);
    } else if (events & EPOLLIN && source->watched & EPOLLIN) {
        stream_receive(s);
    } else if (events & (EPOLLERR | EPOLLHUP)) {
        stream_hung_up(s, events);
    }
}

/* -------------------------------------------------------------------------------------------------- the sink's calls */

static void stream_pause(sink *base, bool paused)
{
    stream *s = stream_of(base);
    if (s->paused == paused || s->closed)
        return;
    s->paused = paused;
    if (paused)
        return; /* epoll hears of it when bytes come meanwhile: most pauses are over before */
    if (stream_watch(s)) {
        s->lost = true; /* the owner is told at the end of the turn, not on its own stack */
        stream_mark_dirty(s);
    }
    bool eof_waits = stream_tls(s) && s->more->tls->eof_waits;
    if ((stream_unread(s) || eof_waits) && s != s->net->reading) {
        s->feed = true;
        stream_mark_dirty(s);
    }
}

static void stream_rebind(sink *base)
{
    stream *s = stream_of(base);
    if ((stream_unread(s) || s->read_closed) && s != s->net->reading) {
        s->feed = true;
        stream_mark_dirty(s);
    }
}

static void stream_notify(sink *base)
{
    stream_of(base)->notify = true;
}

static void stream_end(sink *base)
{
    stream *s = stream_of(base);
    if (s->closed || s->ending)
        return;
    s->ending = true;
    if (s != s->net->reading) {
        stream_unread_free(s);
        stream_mark_dirty(s);
    }
}

static void stream_abort(sink *base)
{
    stream *s = stream_of(base);
    s->ending = true;
    stream_close(s);
}

static bool stream_is_secure(const sink *base)
{
    return stream_tls(CONTAINER(base, const stream, base));
}

static size_t stream_client_subject(const sink *base, char *ret_text, size_t room)
{
    const stream *s = CONTAINER(base, const stream, base);
    return stream_tls(s) ? tls_session_subject(s->more->tls, ret_text, room) : 0;
}

static size_t stream_sink_address(sink *base, char *ret_text, size_t room)
{
    const stream *s = stream_of(base);
    const char *client = address_use_client(base->use);
    if (*client)
        return (size_t)snprintf(ret_text, room, "%s", client);
    return stream_address(s->closed ? -1 : s->source.fd, ret_text,
                          room); /* a closed one's number may be another's by now */
}

const sink_ops stream_sink_ops = {
    .write = stream_write,
    .append = stream_append,
    .write_file = stream_write_file,
    .pause = stream_pause,
    .rebind = stream_rebind,
    .notify = stream_notify,
    .end = stream_end,
    .abort = stream_abort,
    .address = stream_sink_address,
    .secure = stream_is_secure,
    .client_subject = stream_client_subject,
};

/* Room for one stream more, so that marking one never fails. 0 or -ENOMEM. */
static int reserve_dirty(net *n)
{
    enum { FIRST = 16384 }; /* so many that malloc maps them: what is not used is not touched */
    uint32_t cap = n->cap_dirty ? n->cap_dirty * 2 : FIRST;
    if (n->n_kept < n->cap_dirty)
        return 0;
    stream **more = mem_resize(n->dirty, cap * sizeof(stream *));
    if (!more)
        return -ENOMEM;
    n->dirty = more;
    n->cap_dirty = cap;
    return 0;
}

stream *stream_new(net *n, int fd, bool is_unix)
{
    stream *s = reserve_dirty(n) ? NULL : slabs_get(&n->loop->places, sizeof *s);
    if (!s) {
        close(fd);
        return NULL;
    }
    *s = (stream){.base.ops = &stream_sink_ops, .source = {.ready = stream_ready, .fd = fd}, .net = n};
    s->is_unix = is_unix;
    n->n_streams++;
    n->n_kept++;
    return s;
}

int stream_start(stream *s)
{
    int error = stream_watch(s);
    if (error)
        stream_close(s);
    return error;
}

size_t stream_address(int fd, char *ret_text, size_t room)
{
    struct sockaddr_storage address = {0};
    socklen_t len = sizeof address;
    char host[INET6_ADDRSTRLEN] = "";
    int n;
    if (getpeername(fd, (struct sockaddr *)&address, &len))
        n = snprintf(ret_text, room, "unknown");
    else if (address.ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)&address;
        n = snprintf(ret_text, room, "%s:%u", inet_ntop(AF_INET, &in->sin_addr, host, sizeof host),
                     ntohs(in->sin_port));
    } else if (address.ss_family == AF_INET6) {
        const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)&address;
        n = snprintf(ret_text, room, "[%s]:%u", inet_ntop(AF_INET6, &in->sin6_addr, host, sizeof host),
                     ntohs(in->sin6_port));
    } else {
        n = snprintf(ret_text, room, "unix");
    }
    return n < 0 ? 0 : (size_t)n < room ? (size_t)n : room - 1;
}
