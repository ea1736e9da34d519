#include "net/stream.h"

#include "base/mem.h"
#include <arpa/inet.h>
#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    N_IOV = 64,                /* spans sent by one system call */
    FIRST_SPANS = 4,           /* room of a fresh queue */
    FILE_TURN_BYTES = 1 << 20, /* of a file, to one stream in one turn */
    MAX_RECEIVES = 8,          /* of one large frame in one turn */
    REFERENCE_BYTES = 512,     /* smaller images are copied where references would pile up */
    SETTLE_BYTES = 1024,       /* least size of a chunk for bytes that the socket did not take */
};

static const sink_ops stream_sink_ops;

static stream *stream_of(sink *s)
{
    return CONTAINER(s, stream, base);
}

/* --------------------------------------------------------------------------------------------------- life and death */

/* Leaves the loop and closes the descriptor; the memory goes at the end of the turn, as the stack may still use it. */
static void stream_close(stream *s)
{
    net *n = s->net;
    if (s->closed)
        return;
    s->closed = true;
    loop_unwatch(n->loop, &s->source);
    close(s->source.fd);
    n->n_streams--;
    list_remove(&s->dirty);
    list_remove(&s->waiting);
    list_append(&n->dead, &s->waiting);
    loop_defer(n->loop, &n->flush);
}

static void queue_free(stream *s)
{
    write_queue *q = s->queue;
    if (!q)
        return;
    for (uint32_t i = q->first; i < q->n; i++)
        chunk_unref(&s->net->loop->blocks, q->spans[i].owner);
    pool_put(&s->net->loop->blocks, q, q->block_bytes);
    s->queue = NULL;
    s->base.queued = 0;
}

static void file_free(stream *s)
{
    if (!s->file)
        return;
    close(s->file->fd);
    mem_free(s->file);
    s->file = NULL;
}

static void unread_free(stream *s)
{
    chunk_unref(&s->net->loop->blocks, s->unread);
    s->unread = NULL;
}

/* The connection is lost: tells the owner, unless it has let go. */
static void stream_fail(stream *s, int error)
{
    if (s->closed)
        return;
    const sink_events *events = s->ending ? NULL : s->base.events;
    stream_close(s);
    if (events)
        events->gone(s->base.owner, error);
}

static void free_dead(net *n)
{
    for (list_node *node; (node = list_first(&n->dead));) {
        stream *s = CONTAINER(node, stream, waiting);
        list_remove(node);
        queue_free(s);
        file_free(s);
        unread_free(s);
        mem_free(s);
    }
}

/* ----------------------------------------------------------------------------------------------------------- writing */

static void mark_dirty(stream *s)
{
    if (list_linked(&s->dirty) || s->closed)
        return;
    list_append(&s->net->dirty, &s->dirty);
    loop_defer(s->net->loop, &s->net->flush);
}

/* Makes room for one more span. */
static int queue_reserve(stream *s)
{
    write_queue *q = s->queue;
    if (q && q->n < q->cap)
        return 0;
    pool *blocks = &s->net->loop->blocks;
    uint32_t live = q ? q->n - q->first : 0;
    size_t block_bytes;
    write_queue *larger =
        pool_get(blocks, sizeof *larger + (live ? live * 2 : FIRST_SPANS) * sizeof(span), &block_bytes);
    if (!larger)
        return -ENOMEM;
    larger->block_bytes = block_bytes;
    larger->cap = (uint32_t)((block_bytes - sizeof *larger) / sizeof(span));
    larger->first = 0;
    larger->settled = q && q->settled > q->first ? q->settled - q->first : 0;
    larger->n = live;
    if (live)
        memcpy(larger->spans, q->spans + q->first, live * sizeof(span));
    if (q)
        pool_put(blocks, q, q->block_bytes);
    s->queue = larger;
    return 0;
}

static int queue_push(stream *s, const char *at, size_t len, chunk *owner)
{
    if (queue_reserve(s))
        return -ENOMEM;
    s->queue->spans[s->queue->n++] = (span){at, len, owner ? chunk_ref(owner) : NULL};
    s->base.queued += len;
    return 0;
}

/* The cork with room for len bytes; NULL when there is no memory. */
static chunk *cork_with_room(net *n, size_t len)
{
    if (n->cork && n->cork->refs == 1)
        n->cork->len = 0;
    if (n->cork && chunk_room(n->cork) >= len)
        return n->cork;
    chunk *fresh = chunk_new(&n->loop->blocks, NET_CORK_BYTES);
    if (!fresh)
        return NULL;
    fresh->shared = true;
    chunk_unref(&n->loop->blocks, n->cork);
    n->cork = fresh;
    return fresh;
}

static int push_copy(stream *s, str bytes)
{
    chunk *copy = chunk_new(&s->net->loop->blocks, bytes.len);
    if (!copy)
        return -ENOMEM;
    memcpy(copy->bytes, bytes.at, bytes.len);
    copy->len = bytes.len;
    int error = queue_push(s, copy->bytes, bytes.len, copy);
    chunk_unref(&s->net->loop->blocks, copy);
    return error;
}

/* Copies small bytes into the cork; the last span grows when it ends where the cork does. */
static int push_small(stream *s, str bytes)
{
    if (bytes.len > NET_CORK_BYTES) /* a head to which a program added many fields */
        return push_copy(s, bytes);
    chunk *cork = cork_with_room(s->net, bytes.len);
    if (!cork)
        return -ENOMEM;
    char *at = cork->bytes + cork->len;
    write_queue *q = s->queue;
    span *last = q && q->n > q->first ? &q->spans[q->n - 1] : NULL;
    if (last && last->owner == cork && last->at + last->len == at) {
        last->len += bytes.len;
        s->base.queued += bytes.len;
    } else if (queue_push(s, at, bytes.len, cork)) {
        return -ENOMEM;
    }
    memcpy(at, bytes.at, bytes.len);
    cork->len += bytes.len;
    return 0;
}

static bool in_receive_buffer(const net *n, str bytes)
{
    return bytes.at >= n->received && bytes.at + bytes.len <= n->received + NET_RECEIVE_BYTES;
}

static bool in_message(const net *n, str bytes)
{
    return n->message && bytes.at >= n->message->bytes && bytes.at + bytes.len <= n->message->bytes + n->message->len;
}

/* A reference to a small image is cheaper than its bytes, but not when it waits for long, or in thousands: a span and its chunk are far larger
 * than what counts as queued. */
static bool small_and_many(const stream *s, str body)
{
    const write_queue *q = s->queue;
    return body.len < REFERENCE_BYTES && (s->stalled || (q && q->n - q->first >= N_IOV));
}

static int push_body(stream *s, str body, chunk *owner)
{
    net *n = s->net;
    if (owner && !small_and_many(s, body))
        return queue_push(s, body.at, body.len, owner);
    if (body.len < NET_COPY_BELOW_BYTES)
        return push_small(s, body);
    if (in_message(n, body))
        return queue_push(s, body.at, body.len, n->message);
    if (s == n->reading && in_receive_buffer(n, body))
        return queue_push(s, body.at, body.len, NULL);
    return push_copy(s, body);
}

/* Puts the head where the caller has left room for it, so that both are one span. */
static str join_in_front(const sink_piece *piece)
{
    char *front = (char *)(uintptr_t)piece->body.at - piece->head.len;
    memcpy(front, piece->head.at, piece->head.len);
    return (str){front, piece->head.len + piece->body.len};
}

static bool stays_in_place(const stream *s, str body)
{
    const net *n = s->net;
    return body.len >= NET_COPY_BELOW_BYTES && (in_message(n, body) || (s == n->reading && in_receive_buffer(n, body)));
}

static int stream_write(sink *base, const sink_piece *piece)
{
    stream *s = stream_of(base);
    str body = piece->body;
    assert(!s->file);
    if (piece->room_in_front && stays_in_place(s, body))
        body = join_in_front(piece);
    else if (piece->head.len && push_small(s, piece->head))
        return -ENOMEM;
    if (body.len && push_body(s, body, piece->owner))
        return -ENOMEM;
    if (s != s->net->reading)
        mark_dirty(s);
    return 0;
}

static int stream_write_file(sink *base, int fd, uint64_t offset, uint64_t length)
{
    stream *s = stream_of(base);
    assert(!s->file);
    s->file = mem_new(sizeof *s->file);
    if (!s->file) {
        close(fd);
        return -ENOMEM;
    }
    *s->file = (stream_file){fd, (off_t)offset, length};
    s->base.queued += (size_t)length;
    if (s != s->net->reading)
        mark_dirty(s);
    return 0;
}

/* Forgets what was sent. */
static void queue_advance(stream *s, size_t sent)
{
    write_queue *q = s->queue;
    s->base.queued -= sent;
    while (sent) {
        span *first = &q->spans[q->first];
        if (sent < first->len) {
            first->at += sent;
            first->len -= sent;
            return;
        }
        sent -= first->len;
        chunk_unref(&s->net->loop->blocks, first->owner);
        q->first++;
    }
}

static ssize_t send_spans(stream *s, size_t *ret_tried)
{
    const write_queue *q = s->queue;
    uint32_t n = q->n - q->first;
    struct iovec iov[N_IOV];
    *ret_tried = 0;
    if (n > N_IOV)
        n = N_IOV;
    for (uint32_t i = 0; i < n; i++) {
        const span *one = &q->spans[q->first + i];
        iov[i] = (struct iovec){(void *)(uintptr_t)one->at, one->len};
        *ret_tried += one->len;
    }
    s->net->n_sends++;
    if (n == 1)
        return send(s->source.fd, iov[0].iov_base, iov[0].iov_len, MSG_NOSIGNAL);
    return sendmsg(s->source.fd, &(struct msghdr){.msg_iov = iov, .msg_iovlen = n}, MSG_NOSIGNAL);
}

/* The chunk behind the last settled span when `len` bytes fit behind it, else a fresh one. */
static chunk *settle_room(stream *s, span *last, size_t len)
{
    if (last && last->owner->refs == 1 && chunk_room(last->owner) >= len &&
        last->at + last->len == last->owner->bytes + last->owner->len)
        return chunk_ref(last->owner);
    return chunk_new(&s->net->loop->blocks, len < SETTLE_BYTES ? SETTLE_BYTES : len);
}

/* What stays queued must not lie in memory that is used again (the receive buffer) or is far larger than it (the cork): such spans are copied, small
 * ones behind each other. */
static int queue_settle(stream *s)
{
    pool *blocks = &s->net->loop->blocks;
    write_queue *q = s->queue;
    uint32_t end = q->settled > q->first ? q->settled : q->first, i;
    for (i = end; i < q->n; i++) {
        span one = q->spans[i];
        if (one.owner && !one.owner->shared) {
            q->spans[end++] = one;
            continue;
        }
        span *last = end > q->first ? &q->spans[end - 1] : NULL;
        chunk *copy = settle_room(s, last, one.len);
        if (!copy)
            goto fail;
        char *at = copy->bytes + copy->len;
        memcpy(at, one.at, one.len);
        copy->len += one.len;
        chunk_unref(blocks, one.owner);
        if (last && copy == last->owner) {
            last->len += one.len;
            chunk_unref(blocks, copy);
        } else {
            q->spans[end++] = (span){at, one.len, copy};
        }
    }
    q->n = q->settled = end;
    return 0;

fail: /* close the gap, so that each reference stands in the queue once */
    memmove(q->spans + end, q->spans + i, (q->n - i) * sizeof(span));
    q->n -= i - end;
    return -ENOMEM;
}

static int stream_watch(stream *s)
{
    uint32_t events = EPOLLERR; /* always told, and keeps a paused stream in epoll, so that a reset is seen */
    if (!s->read_closed && (!s->paused || s->ending))
        events |= EPOLLIN;
    if (s->stalled)
        events |= EPOLLOUT;
    return loop_watch(s->net->loop, &s->source, events);
}

/* Bytes that the system holds and the peer has not acknowledged. */
static int unacknowledged(const stream *s)
{
    int bytes = 0;
    ioctl(s->source.fd, SIOCOUTQ, &bytes); /* 0 where the system cannot say */
    return bytes;
}

/* From now on the peer has NET_WRITE_TIMEOUT_MS to take something. */
static void wait_for_peer(stream *s)
{
    net *n = s->net;
    list_remove(&s->waiting);
    list_append(&n->stalled, &s->waiting);
    s->since_ms = (uint32_t)n->loop->now_ms;
    s->unacknowledged = unacknowledged(s);
    if (!timer_armed(&n->tick))
        loop_arm(n->loop, &n->tick, NET_TICK_MS, n->tick.fire);
}

/* The socket is full: keep what is left and wait until it can be written. */
static int stream_stall(stream *s, bool progress)
{
    bool first = !s->stalled;
    s->stalled = true;
    if ((s->queue && queue_settle(s)) || stream_watch(s))
        return -ENOMEM;
    if (first || progress)
        wait_for_peer(s);
    return 0;
}

/* Everything is out and nothing more will be written: FIN, then wait for the peer's, so that no RST can eat what it has yet to read. */
static void stream_linger(stream *s)
{
    net *n = s->net;
    if (s->read_closed || shutdown(s->source.fd, SHUT_WR)) {
        stream_close(s);
        return;
    }
    s->lingering = true;
    s->since_ms = (uint32_t)n->loop->now_ms;
    list_remove(&s->waiting);
    list_append(&n->lingering, &s->waiting);
    if (!timer_armed(&n->tick))
        loop_arm(n->loop, &n->tick, NET_TICK_MS, n->tick.fire);
    if (stream_watch(s))
        stream_close(s);
}

static void stream_flushed(stream *s)
{
    s->stalled = false;
    queue_free(s);
    list_remove(&s->waiting);
    if (s->ending)
        stream_linger(s);
    else if (stream_watch(s))
        stream_fail(s, -ENOMEM);
}

static bool queue_empty(const stream *s)
{
    return !s->queue || s->queue->first == s->queue->n;
}

/* Sends spans until there are none or the socket is full. True when bytes went out. */
static bool send_queue(stream *s)
{
    bool progress = false;
    while (!queue_empty(s)) {
        size_t tried;
        ssize_t sent = send_spans(s, &tried);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && errno != EAGAIN) {
            stream_fail(s, -errno);
            return false;
        }
        if (sent > 0) {
            progress = true;
            queue_advance(s, (size_t)sent);
        }
        if (sent < (ssize_t)tried) {
            if (stream_stall(s, progress))
                stream_fail(s, -ENOMEM);
            break;
        }
    }
    return progress;
}

/* sendfile() knows no MSG_NOSIGNAL: a SIGPIPE of its own is held back and taken away, as it would end a program that only called weft_step(). */
static ssize_t send_file_part(int to, stream_file *file, size_t len)
{
    sigset_t pipe, before, pending;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe, &before);
    bool was_pending = sigpending(&pending) == 0 && sigismember(&pending, SIGPIPE);
    ssize_t sent = sendfile(to, file->fd, &file->offset, len);
    int error = errno;
    if (sent != (ssize_t)len && !was_pending)
        while (sigtimedwait(&pipe, NULL, &(struct timespec){0}) < 0 && errno == EINTR)
            continue;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = error;
    return sent;
}

/* Sends the file without a copy through our memory, at most FILE_TURN_BYTES a turn, so that others get theirs. */
static bool send_file(stream *s)
{
    stream_file *file = s->file;
    uint64_t most = file->left < FILE_TURN_BYTES ? file->left : FILE_TURN_BYTES, sent = 0;
    while (sent < most) {
        ssize_t n = send_file_part(s->source.fd, file, (size_t)(most - sent));
        s->net->n_sends++;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            break;
        if (n <= 0) { /* 0: the file has become shorter than what was announced */
            stream_fail(s, n ? -errno : -EIO);
            return false;
        }
        sent += (uint64_t)n;
    }
    file->left -= sent;
    s->base.queued -= (size_t)sent;
    if (!file->left)
        file_free(s);
    else if (stream_stall(s, sent > 0))
        stream_fail(s, -ENOMEM);
    return sent > 0;
}

/* Sends until all is out or the socket is full. True when bytes went out. */
static bool stream_send(stream *s)
{
    if (s->closed || s->lingering)
        return false;
    bool progress = send_queue(s);
    if (!s->closed && s->file && queue_empty(s))
        progress |= send_file(s);
    if (!s->closed && s->base.queued == 0 && (s->queue || s->stalled || s->ending))
        stream_flushed(s);
    return progress;
}

static void tell_sent(stream *s)
{
    if (!s->notify || s->closed || s->ending)
        return;
    s->notify = false;
    s->base.events->sent(s->base.owner);
}

static void stream_flush(stream *s)
{
    if (stream_send(s))
        tell_sent(s);
}

/* ----------------------------------------------------------------------------------------------------------- reading */

/* Keeps what the owner did not consume. `at` may lie in s->unread itself. */
static int keep_unread(stream *s, const char *at, size_t len)
{
    pool *blocks = &s->net->loop->blocks;
    if (len == 0) {
        unread_free(s);
        return 0;
    }
    if (s->unread && at >= s->unread->bytes && at <= s->unread->bytes + s->unread->cap) {
        memmove(s->unread->bytes, at, len);
        s->unread->len = len;
        return 0;
    }
    if (!s->unread || s->unread->cap < len) {
        chunk *larger = chunk_new(blocks, len);
        if (!larger)
            return -ENOMEM;
        chunk_unref(blocks, s->unread);
        s->unread = larger;
    }
    memcpy(s->unread->bytes, at, len);
    s->unread->len = len;
    return 0;
}

/* Hands bytes to the owner for as long as it makes progress, keeps the rest, and sends the answers. */
static void stream_feed(stream *s, char *at, size_t len)
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
    else if (s->queue && queue_settle(s))
        stream_fail(s, -ENOMEM);
    if (!s->closed && keep_unread(s, at, len))
        stream_fail(s, -ENOMEM);
    if (progress)
        tell_sent(s);
}

/* What was kept while the stream was paused, or for another owner; then the end, if it has come. */
static void feed_unread(stream *s)
{
    s->feed = false;
    if (s->unread)
        stream_feed(s, s->unread->bytes, s->unread->len);
    if (s->read_closed && !s->closed && !s->ending && !(s->paused && s->unread))
        s->base.events->eof(s->base.owner);
}

static void stream_eof(stream *s)
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

/* Where the next bytes go: where the owner wants them, or behind what is unread in the loop's buffer. */
static char *receive_room(stream *s, size_t *ret_kept, size_t *ret_room)
{
    net *n = s->net;
    *ret_kept = 0;
    if (s->unread) {
        *ret_kept = s->unread->len;
        memcpy(n->received, s->unread->bytes, s->unread->len);
    } else if (s->base.events->room && !s->ending) {
        char *room = s->base.events->room(s->base.owner, ret_room);
        if (room)
            return room;
    }
    *ret_room = NET_RECEIVE_BYTES - *ret_kept;
    return n->received + *ret_kept;
}

/* True when the buffer was filled, so that there is probably more. */
static bool receive_once(stream *s)
{
    size_t kept, room;
    char *at = receive_room(s, &kept, &room);
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
        if (s->closed || s->ending || s->paused || s->unread || !s->base.events->room ||
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
        feed_unread(s); /* resumed between two turns: what is unread comes before the end of the stream */
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
        mark_dirty(s);
    }
    if (s->unread && s != s->net->reading) {
        s->feed = true;
        mark_dirty(s);
    }
}

static void stream_rebind(sink *base)
{
    stream *s = stream_of(base);
    if ((s->unread || s->read_closed) && s != s->net->reading) {
        s->feed = true;
        mark_dirty(s);
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
        unread_free(s);
        mark_dirty(s);
    }
}

static void stream_abort(sink *base)
{
    stream *s = stream_of(base);
    s->ending = true;
    stream_close(s);
}

static size_t stream_sink_address(sink *base, char *ret_text, size_t room)
{
    return stream_address(stream_of(base)->source.fd, ret_text, room);
}

static const sink_ops stream_sink_ops = {
    .write = stream_write,
    .write_file = stream_write_file,
    .pause = stream_pause,
    .rebind = stream_rebind,
    .notify = stream_notify,
    .end = stream_end,
    .abort = stream_abort,
    .address = stream_sink_address,
};

stream *stream_new(net *n, int fd, bool is_unix)
{
    stream *s = mem_new(sizeof *s);
    if (!s) {
        close(fd);
        return NULL;
    }
    *s = (stream){.base.ops = &stream_sink_ops, .source = {stream_ready, fd, 0}, .net = n, .is_unix = is_unix};
    n->n_streams++;
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

/* ------------------------------------------------------------------------------------------- what streams have in common */

static void flush_dirty(loop_task *task)
{
    net *n = CONTAINER(task, net, flush);
    for (list_node *node; (node = list_first(&n->dirty));) {
        stream *s = CONTAINER(node, stream, dirty);
        list_remove(node);
        if (s->lost)
            stream_fail(s, -ENOMEM);
        else if (s->feed)
            feed_unread(s);
        if (s->closed)
            continue;
        if (!s->stalled)
            stream_flush(s);
        else if (s->queue && queue_settle(s))
            stream_fail(s, -ENOMEM);
    }
    free_dead(n);
}

static bool older_than(const net *n, const stream *s, uint32_t ms)
{
    return (uint32_t)n->loop->now_ms - s->since_ms >= ms;
}

/* A full socket is writable again only when much of it is free: a peer that reads slowly is seen by what it acknowledges. */
static void end_or_go_on(stream *s)
{
    if (unacknowledged(s) < s->unacknowledged)
        wait_for_peer(s);
    else
        stream_fail(s, -ETIMEDOUT);
}

static void net_tick(timer *t)
{
    net *n = CONTAINER(t, net, tick);
    list_node *node;
    while ((node = list_first(&n->stalled)) && older_than(n, CONTAINER(node, stream, waiting), NET_WRITE_TIMEOUT_MS))
        end_or_go_on(CONTAINER(node, stream, waiting));
    while ((node = list_first(&n->lingering)) && older_than(n, CONTAINER(node, stream, waiting), NET_LINGER_MS))
        stream_close(CONTAINER(node, stream, waiting));
    if (!list_empty(&n->stalled) || !list_empty(&n->lingering))
        loop_arm(n->loop, t, NET_TICK_MS, net_tick);
}

int net_init(net *n, loop *l, const logger *log)
{
    *n = (net){.loop = l, .log = log, .flush.run = flush_dirty, .tick.fire = net_tick};
    list_init(&n->dirty);
    list_init(&n->stalled);
    list_init(&n->lingering);
    list_init(&n->dead);
    n->received = mem_new(NET_RECEIVE_BYTES);
    return n->received ? 0 : -ENOMEM;
}

void net_cut_lingering(net *n)
{
    for (list_node *node; (node = list_first(&n->lingering));)
        stream_close(CONTAINER(node, stream, waiting));
    for (list_node *node; (node = list_first(&n->stalled));)
        stream_fail(CONTAINER(node, stream, waiting), -ETIMEDOUT);
}

void net_done(net *n)
{
    flush_dirty(&n->flush); /* what was ended just now lingers then */
    net_cut_lingering(n);
    free_dead(n);
    loop_undefer(n->loop, &n->flush);
    loop_cancel(n->loop, &n->tick);
    chunk_unref(&n->loop->blocks, n->cork);
    mem_free(n->received);
    n->received = NULL;
}
