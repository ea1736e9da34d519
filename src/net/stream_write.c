#include "net/stream_private.h"

#include "base/mem.h"
#include <errno.h>
#include <linux/sockios.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    N_IOV = 64,            /* spans sent by one system call */
    FIRST_SPANS = 4,       /* room of a fresh queue */
    REFERENCE_BYTES = 512, /* smaller images are copied where references would pile up */
    SPARE_BYTES = 256,     /* of a queue that is kept for the next stream that writes */
    SETTLE_BYTES = 1024,   /* least size of a chunk for bytes that the socket did not take */
};

void stream_forget_queued(stream *s)
{
    stream_count_gone(s, s->base.queued);
}

void stream_queue_free(stream *s)
{
    write_queue *q = s->queue;
    if (!q)
        return;
    for (uint32_t i = q->first; i < q->n; i++)
        chunk_unref(&s->net->loop->blocks, q->spans[i].owner);
    s->queue = NULL;
    stream_forget_queued(s);
    if (s->net->spare || q->block_bytes > SPARE_BYTES) {
        pool_put(&s->net->loop->blocks, q, q->block_bytes);
        return;
    }
    q->first = q->n = q->settled = 0;
    s->net->spare = q;
}

void stream_file_free(stream *s)
{
    stream_file *file = stream_file_of(s);
    if (!file)
        return;
    close(file->fd);
    mem_free(file);
    s->more->file = NULL;
    stream_tidy(s);
}

void stream_join_dirty(stream *s)
{
    net *n = s->net;
    if (s->dirty)
        return;
    if (n->n_dirty == n->cap_dirty) { /* no stream stands twice in what is behind those that had their turn */
        n->n_dirty -= n->n_flushed;
        memmove(n->dirty, n->dirty + n->n_flushed, n->n_dirty * sizeof *n->dirty);
        n->n_flushed = 0;
    }
    s->dirty = true;
    n->dirty[n->n_dirty++] = s;
    loop_defer(n->loop, &n->flush);
}

void stream_mark_dirty(stream *s)
{
    if (!s->closed)
        stream_join_dirty(s);
}

/* A larger queue, or the first. */
static __attribute__((noinline)) int queue_grow(stream *s)
{
    write_queue *q = s->queue;
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

/* Makes room for one more span. */
static inline int queue_reserve(stream *s)
{
    write_queue *q = s->queue;
    if (q && q->n < q->cap)
        return 0;
    if (q || !s->net->spare)
        return queue_grow(s);
    s->queue = s->net->spare;
    s->net->spare = NULL;
    return 0;
}

static int queue_push(stream *s, const char *at, size_t len, chunk *owner)
{
    if (queue_reserve(s))
        return -ENOMEM;
    s->queue->spans[s->queue->n++] = (span){at, len, owner ? chunk_ref(owner) : NULL};
    stream_count_queued(s, len);
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

static int push_copy(stream *s, str head, str body)
{
    size_t len = head.len + body.len;
    chunk *copy = chunk_new(&s->net->loop->blocks, len);
    if (!copy)
        return -ENOMEM;
    str_put(str_put(copy->bytes, head), body);
    copy->len = len;
    int error = queue_push(s, copy->bytes, len, copy);
    chunk_unref(&s->net->loop->blocks, copy);
    return error;
}

/* Room in the cork, as a span of its own. */
static __attribute__((noinline)) char *begin_small(stream *s, size_t len)
{
    chunk *cork = cork_with_room(s->net, len);
    if (!cork)
        return NULL;
    char *at = cork->bytes + cork->len;
    if (queue_push(s, at, len, cork))
        return NULL;
    cork->len += len;
    return at;
}

/* Room in the cork; the last span grows when it ends where the cork does. NULL: no memory. */
static inline char *small_room(stream *s, size_t len)
{
    chunk *cork = s->net->cork;
    write_queue *q = s->queue;
    if (!cork || !q || q->first == q->n || chunk_room(cork) < len)
        return begin_small(s, len);
    char *at = cork->bytes + cork->len;
    span *last = &q->spans[q->n - 1];
    if (last->owner != cork || last->at + last->len != at)
        return begin_small(s, len);
    last->len += len;
    cork->len += len;
    stream_count_queued(s, len);
    return at;
}

/* Copies small bytes into the cork. */
static int push_small(stream *s, str head, str body)
{
    size_t len = head.len + body.len;
    if (len > NET_CORK_BYTES) /* a head to which a program added many fields */
        return push_copy(s, head, body);
    char *at = small_room(s, len);
    if (!at)
        return -ENOMEM;
    str_put(str_put(at, head), body);
    return 0;
}

char *stream_append(sink *base, size_t len)
{
    stream *s = stream_of(base);
    assert(!stream_file_of(s) && len <= SINK_APPEND_BYTES);
    char *at = small_room(s, len);
    if (at && s != s->net->reading)
        stream_mark_dirty(s);
    return at;
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

static bool is_copied(const stream *s, const sink_piece *piece)
{
    str body = piece->body;
    return body.len < NET_COPY_BELOW_BYTES && (!piece->owner || !body.len || small_and_many(s, body));
}

/* One that is not copied for being small. */
static int push_body(stream *s, str body, chunk *owner)
{
    net *n = s->net;
    if (owner)
        return queue_push(s, body.at, body.len, owner);
    if (in_message(n, body))
        return queue_push(s, body.at, body.len, n->message);
    if (s == n->reading && in_receive_buffer(n, body))
        return queue_push(s, body.at, body.len, NULL);
    return push_copy(s, STR(""), body);
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

static int push_piece(stream *s, const sink_piece *piece)
{
    if (piece->head.len + piece->body.len == 0)
        return 0;
    if (is_copied(s, piece))
        return push_small(s, piece->head, piece->body);
    if (piece->room_in_front && stays_in_place(s, piece->body))
        return push_body(s, join_in_front(piece), piece->owner);
    if (piece->head.len && push_small(s, piece->head, STR("")))
        return -ENOMEM;
    return push_body(s, piece->body, piece->owner);
}

int stream_write(sink *base, const sink_piece *piece)
{
    stream *s = stream_of(base);
    assert(!stream_file_of(s));
    if (push_piece(s, piece))
        return -ENOMEM;
    if (s != s->net->reading)
        stream_mark_dirty(s);
    return 0;
}

int stream_write_file(sink *base, int fd, uint64_t offset, uint64_t length)
{
    stream *s = stream_of(base);
    assert(!stream_file_of(s));
    stream_file *file = stream_more_of(s) ? mem_new(sizeof *file) : NULL;
    if (!file) {
        close(fd);
        return -ENOMEM;
    }
    *file = (stream_file){fd, (off_t)offset, length};
    s->more->file = file;
    stream_count_queued(s, (size_t)length);
    if (s != s->net->reading)
        stream_mark_dirty(s);
    return 0;
}

void stream_queue_advance(stream *s, size_t sent)
{
    write_queue *q = s->queue;
    stream_count_gone(s, sent);
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

static __attribute__((noinline)) ssize_t send_many(const stream *s, size_t *ret_tried)
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
    return sendmsg(s->source.fd, &(struct msghdr){.msg_iov = iov, .msg_iovlen = n}, MSG_NOSIGNAL);
}

static inline ssize_t send_spans(stream *s, size_t *ret_tried)
{
    const write_queue *q = s->queue;
    s->net->n_sends++;
    if (q->n - q->first > 1)
        return send_many(s, ret_tried);
    const span *one = &q->spans[q->first];
    *ret_tried = one->len;
    return send(s->source.fd, one->at, one->len, MSG_NOSIGNAL);
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
int stream_settle(stream *s)
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

/* Bytes that the system holds and the peer has not acknowledged. */
int stream_unacknowledged(const stream *s)
{
    int bytes = 0;
    ioctl(s->source.fd, SIOCOUTQ, &bytes); /* 0 where the system cannot say */
    return bytes;
}

/* From now on the peer has net->write_timeout_ms to take something. */
int stream_wait_for_peer(stream *s)
{
    net *n = s->net;
    if (stream_wait_in(s, &n->stalled))
        return -ENOMEM;
    s->more->unacknowledged = stream_unacknowledged(s);
    if (!timer_armed(&n->tick))
        loop_arm(n->loop, &n->tick, NET_TICK_MS, n->tick.fire);
    return 0;
}

int stream_stall(stream *s, bool progress)
{
    bool first = !s->stalled;
    s->stalled = true;
    if ((s->queue && stream_settle(s)) || stream_watch(s))
        return -ENOMEM;
    return first || progress ? stream_wait_for_peer(s) : 0;
}

void stream_linger(stream *s)
{
    net *n = s->net;
    if (s->read_closed || shutdown(s->source.fd, SHUT_WR)) {
        stream_close(s);
        return;
    }
    s->lingering = true;
    if (stream_wait_in(s, &n->lingering)) {
        stream_close(s);
        return;
    }
    if (!timer_armed(&n->tick))
        loop_arm(n->loop, &n->tick, NET_TICK_MS, n->tick.fire);
    if (stream_watch(s))
        stream_close(s);
}

static void stream_flushed(stream *s)
{
    bool stalled = s->stalled;
    s->stalled = false;
    stream_queue_free(s);
    stream_stop_waiting(s);
    if (s->ending)
        stream_linger(s);
    else if (stalled && stream_watch(s))
        stream_fail(s, -ENOMEM);
}

/* Sends spans until there are none or the socket is full. True when bytes went out. */
static bool send_queue(stream *s)
{
    bool progress = false;
    while (!stream_queue_empty(s)) {
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
            stream_queue_advance(s, (size_t)sent);
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

/* Sends the file without a copy through our memory, at most STREAM_FILE_TURN_BYTES a turn, so that others get theirs. */
static bool send_file(stream *s)
{
    stream_file *file = stream_file_of(s);
    uint64_t most = file->left < STREAM_FILE_TURN_BYTES ? file->left : STREAM_FILE_TURN_BYTES, sent = 0;
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
    stream_count_gone(s, (size_t)sent);
    if (!file->left)
        stream_file_free(s);
    else if (stream_stall(s, sent > 0))
        stream_fail(s, -ENOMEM);
    return sent > 0;
}

static bool send_plain(stream *s)
{
    bool progress = send_queue(s);
    if (!s->closed && stream_file_of(s) && stream_queue_empty(s))
        progress |= send_file(s);
    return progress;
}

/* Sends until all is out or the socket is full. True when bytes went out. */
bool stream_send(stream *s)
{
    if (s->closed || s->lingering)
        return false;
    bool progress = stream_tls(s) ? stream_tls_send(s) : send_plain(s);
    if (!s->closed && s->base.queued == 0 && (s->queue || s->stalled || s->ending) &&
        (!stream_tls(s) || stream_tls_silent(s)))
        stream_flushed(s);
    return progress;
}

void stream_tell_sent(stream *s)
{
    if (!s->notify || s->closed || s->ending)
        return;
    s->notify = false;
    s->base.events->sent(s->base.owner);
}

void stream_flush(stream *s)
{
    if (stream_send(s))
        stream_tell_sent(s);
}
