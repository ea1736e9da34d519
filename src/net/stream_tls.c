#include "net/stream_private.h"

#include "base/mem.h"
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    SEND_BYTES = 64 * 1024,    /* so much is encrypted for one system call; a record more at most */
    CONTROL_BYTES = 64 * 1024, /* of what TLS itself has to say, to a peer that does not read it */
    HANDSHAKE_BYTE = 22,       /* what TLS begins with */
};

static const char not_tls[] =
    "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 27\r\n"
    "Connection: close\r\n\r\nthis address speaks https:\n";

/* ---------------------------------------------------------------------------------------------------------------- life */

int stream_secure(stream *s, tls_context *c)
{
    net *n = s->net;
    if (!n->tls)
        n->tls = tls_buffers_new();
    if (n->tls && stream_more_of(s))
        s->more->tls = tls_session_new(c, n->tls);
    return stream_tls(s) ? 0 : -ENOMEM;
}

static void free_unsent(stream *s)
{
    chunk_unref(&s->net->loop->blocks, s->more->tls->unsent);
    s->more->tls->unsent = NULL;
}

void stream_tls_free(stream *s)
{
    if (!stream_tls(s))
        return;
    free_unsent(s);
    tls_session_free(s->more->tls);
    s->more->tls = NULL;
    stream_tidy(s);
}

static void log_tls(stream *s, weft_log_level level, const char *reason)
{
    char address[64];
    if (!log_wanted(s->net->log))
        return;
    s->base.ops->address(&s->base, address, sizeof address);
    log_line(s->net->log, level, "event=tls address=%s reason=\"%s\"", address, reason);
}

/* ------------------------------------------------------------------------------------------------------------- writing */

bool stream_tls_silent(const stream *s)
{
    return !s->more->tls->unsent;
}

/* What of `plain` bytes is still here when so much of their ciphertext is; not 0 before the last of it has gone. */
static size_t share_left(size_t plain, size_t left, size_t all)
{
    return (size_t)(((uint64_t)plain * left + all - 1) / all);
}

static void count_plain(stream *s, size_t n_plain)
{
    stream_count_gone(s, s->more->tls->n_plain - n_plain);
    s->more->tls->n_plain = n_plain;
}

/* The number of bytes taken, 0 when the socket is full; -1: the connection is lost. */
static ssize_t send_some(stream *s, const char *at, size_t len)
{
    for (;;) {
        ssize_t sent = send(s->source.fd, at, len, MSG_NOSIGNAL);
        s->net->n_sends++;
        if (sent >= 0)
            return sent;
        if (errno == EAGAIN)
            return 0;
        if (errno != EINTR) {
            stream_fail(s, -errno);
            return -1;
        }
    }
}

static void stall(stream *s, bool progress)
{
    if (stream_stall(s, progress))
        stream_fail(s, -ENOMEM);
}

/* Sends ciphertext that was kept. False when some is left, or the connection is lost. */
static bool send_unsent(stream *s)
{
    tls_session *t = s->more->tls;
    if (!t->unsent)
        return true;
    size_t left = t->unsent->len - t->unsent_at;
    ssize_t sent = send_some(s, t->unsent->bytes + t->unsent_at, left);
    if (sent < 0)
        return false;
    t->unsent_at += (size_t)sent;
    count_plain(s, share_left(t->n_plain, left - (size_t)sent, left));
    if ((size_t)sent < left) {
        stall(s, sent > 0);
        return false;
    }
    free_unsent(s);
    return true;
}

/* Keeps ciphertext behind what was kept before. */
static int keep_unsent(stream *s, const char *at, size_t len)
{
    tls_session *t = s->more->tls;
    pool *blocks = &s->net->loop->blocks;
    size_t kept = t->unsent ? t->unsent->len - t->unsent_at : 0;
    if (!t->unsent || chunk_room(t->unsent) < len) {
        chunk *larger = chunk_new(blocks, kept + len);
        if (!larger)
            return -ENOMEM;
        if (kept)
            memcpy(larger->bytes, t->unsent->bytes + t->unsent_at, kept);
        larger->len = kept;
        chunk_unref(blocks, t->unsent);
        t->unsent = larger;
        t->unsent_at = 0;
    }
    memcpy(t->unsent->bytes + t->unsent->len, at, len);
    t->unsent->len += len;
    return 0;
}

/* Sends the records that were made, of so many bytes of the program. False when some are left, or the connection is lost. */
static bool send_out(stream *s, size_t plain)
{
    buf *out = &s->more->tls->shared->out;
    size_t len = out->len;
    ssize_t sent = len ? send_some(s, out->at, len) : 0;
    out->len = 0; /* in any case: others use it next */
    if (sent < 0)
        return false;
    if ((size_t)sent == len)
        return true;
    if (keep_unsent(s, out->at + sent, len - (size_t)sent)) {
        stream_fail(s, -ENOMEM);
        return false;
    }
    s->more->tls->n_plain = share_left(plain, len - (size_t)sent, len);
    stream_count_queued(s, s->more->tls->n_plain);
    stall(s, sent > 0);
    return false;
}

/* The next bytes of the queue for one record: where they lie, or gathered when they lie in pieces. */
static str next_plain(stream *s)
{
    const write_queue *q = s->queue;
    char *gathered = s->more->tls->shared->plain;
    const span *one = &q->spans[q->first];
    if (one->len >= TLS_RECORD_BYTES || q->n - q->first == 1)
        return (str){one->at, one->len < TLS_RECORD_BYTES ? one->len : TLS_RECORD_BYTES};
    size_t len = 0;
    for (uint32_t i = q->first; i < q->n && len < TLS_RECORD_BYTES; i++) {
        size_t room = TLS_RECORD_BYTES - len, n = q->spans[i].len < room ? q->spans[i].len : room;
        memcpy(gathered + len, q->spans[i].at, n);
        len += n;
    }
    return (str){gathered, len};
}

static int encrypt_queue(stream *s)
{
    while (!stream_queue_empty(s) && s->more->tls->shared->out.len < SEND_BYTES) {
        str plain = next_plain(s);
        if (tls_session_write(s->more->tls, plain))
            return -ENOMEM;
        stream_queue_advance(s, plain.len);
    }
    return 0;
}

static int encrypt_file(stream *s)
{
    stream_file *file = stream_file_of(s);
    while (file->left && s->more->tls->shared->out.len < SEND_BYTES) {
        size_t most = file->left < TLS_RECORD_BYTES ? (size_t)file->left : TLS_RECORD_BYTES;
        ssize_t n = pread(file->fd, s->more->tls->shared->plain, most, file->offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) /* 0: the file has become shorter than what was announced */
            return n ? -errno : -EIO;
        if (tls_session_write(s->more->tls, (str){s->more->tls->shared->plain, (size_t)n}))
            return -ENOMEM;
        file->offset += n;
        file->left -= (uint64_t)n;
        stream_count_gone(s, (size_t)n);
    }
    if (!file->left)
        stream_file_free(s);
    return 0;
}

/* Adds what waits to what TLS itself has to say, and close_notify behind the last of it. The number of the program's bytes, or -errno. */
static ssize_t encrypt(stream *s)
{
    size_t before = s->base.queued;
    int error = encrypt_queue(s);
    if (!error && stream_file_of(s) && stream_queue_empty(s))
        error = encrypt_file(s);
    if (error)
        return error;
    if (s->ending && !s->more->tls->ended && s->base.queued == 0)
        tls_session_end(s->more->tls);
    return (ssize_t)(before - s->base.queued);
}

/* True when it is to be called again: all that was encrypted went out. */
static bool send_once(stream *s)
{
    tls_session *t = s->more->tls;
    if (!send_unsent(s))
        return false;
    ssize_t plain = t->established ? encrypt(s) : 0;
    if (plain < 0) {
        t->shared->out.len = 0;
        stream_fail(s, (int)plain);
        return false;
    }
    return t->shared->out.len > 0 && send_out(s, (size_t)plain);
}

bool stream_tls_send(stream *s)
{
    size_t before = s->base.queued, sent = 0;
    if (s->ending && !s->more->tls->established) {
        log_tls(s, WEFT_LOG_INFO, "the handshake was not finished");
        s->more->tls->shared->out.len = 0;
        stream_close(s);
        return false;
    }
    while (send_once(s)) {
        sent = before - s->base.queued;
        if (stream_file_of(s) && sent >= STREAM_FILE_TURN_BYTES) { /* others get theirs */
            stall(s, true);
            break;
        }
    }
    return !s->closed && s->base.queued < before;
}

/* ------------------------------------------------------------------------------------------------------------- reading */

/* The end of a connection that went wrong: the peer is told, the owner too, and then the peer has time to read it. */
static void give_up(stream *s, const char *last_words, size_t len)
{
    const sink_events *events = s->ending ? NULL : s->base.events;
    if (s->more->tls->unsent || send_some(s, last_words, len) < 0) {
        stream_fail(s, -EPROTO);
        return;
    }
    s->ending = true;
    s->stalled = false;
    stream_unread_free(s);
    stream_queue_free(s);
    stream_file_free(s);
    stream_forget_queued(s);
    if (events)
        events->gone(s->base.owner, -EPROTO);
    stream_linger(s);
}

static void refuse(stream *s)
{
    buf *out = &s->more->tls->shared->out;
    size_t len = out->len;
    log_tls(s, WEFT_LOG_INFO, tls_session_words(s->more->tls));
    out->len = 0;
    give_up(s, out->at, len);
}

/* RFC 8446 §6.1: without close_notify somebody on the way may have cut it short. */
static void cut_short(stream *s)
{
    log_tls(s, WEFT_LOG_DEBUG,
            s->more->tls->established ? "the client ended without close_notify"
                                      : "the client left during the handshake");
    stream_fail(s, -ECONNRESET);
}

/* close_notify. A paused owner hears of it when it goes on. */
static void end_of_plain(stream *s)
{
    if (!s->paused || s->ending) {
        stream_eof(s);
        return;
    }
    s->read_closed = s->more->tls->eof_waits = true;
    if (stream_watch(s))
        stream_fail(s, -ENOMEM);
}

/* What TLS has to say for what it was given goes out, behind what it has said before. */
static void answer(stream *s)
{
    tls_session *t = s->more->tls;
    buf *out = &t->shared->out;
    if (!s->stalled) {
        stream_flush(s);
        return;
    }
    if ((t->unsent && t->unsent->len + out->len > SEND_BYTES + TLS_RECORD_BYTES + CONTROL_BYTES) ||
        keep_unsent(s, out->at, out->len))
        stream_fail(s, -ENOBUFS);
    out->len = 0;
}

/* While paused nobody says where bytes shall go. */
static char *plain_room(stream *s, size_t *ret_kept, size_t *ret_room)
{
    net *n = s->net;
    if (!s->paused || stream_unread(s))
        return stream_receive_room(s, ret_kept, ret_room);
    *ret_kept = 0;
    *ret_room = NET_RECEIVE_BYTES;
    return n->received;
}

/* Decrypts all that has come, so that no ciphertext has to be kept, and hands it over. */
static tls_status decrypt(stream *s)
{
    tls_status status = TLS_FULL;
    while (status == TLS_FULL && !s->closed && !s->ending) {
        size_t kept, room, len;
        char *at = plain_room(s, &kept, &room);
        assert(room > 0);
        status = tls_session_read(s->more->tls, at, room, &len);
        if (len)
            stream_feed(s, at - kept, kept + len);
    }
    s->more->tls->input = (str){NULL, 0};
    return status;
}

static void take_records(stream *s, str input)
{
    buf *out = &s->more->tls->shared->out;
    s->more->tls->input = input;
    tls_status status = decrypt(s);
    if (s->closed || s->lingering) {
        (void)tls_session_words(s->more->tls); /* forgets what went wrong behind the end */
        out->len = 0;
    } else if (status == TLS_FAILED)
        refuse(s);
    else if (out->len)
        answer(s);
    if (status == TLS_END && !s->closed)
        end_of_plain(s);
    assert(out->len == 0);
}

static bool is_tls(const stream *s, const char *at)
{
    return s->more->tls->began || *at == HANDSHAKE_BYTE;
}

bool stream_tls_receive(stream *s)
{
    tls_session *t = s->more->tls;
    char *at = t->shared->received;
    ssize_t received = recv(s->source.fd, at, TLS_RECEIVE_BYTES, 0);
    s->net->n_receives++;
    if (received > 0 && !s->ending) {
        if (is_tls(s, at)) {
            t->began = true;
            take_records(s, (str){at, (size_t)received});
        } else {
            log_tls(s, WEFT_LOG_INFO, "no TLS came, but perhaps plain HTTP");
            give_up(s, not_tls, sizeof not_tls - 1);
        }
    } else if (received == 0 && !s->ending) {
        cut_short(s);
    } else if (received == 0) {
        stream_eof(s);
    } else if (received < 0 && errno != EAGAIN && errno != EINTR) {
        stream_fail(s, -errno);
    }
    return received == TLS_RECEIVE_BYTES;
}
