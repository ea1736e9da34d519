#include "net/stream_move.h"

#include "base/mem.h"
#include "net/stream_private.h"
#include <errno.h>
#include <unistd.h>

/* ------------------------------------------------------------------------------------------------------------- leaving */

static size_t spans_bytes(const stream *s)
{
    size_t bytes = 0;
    for (uint32_t i = s->queue ? s->queue->first : 0; s->queue && i < s->queue->n; i++)
        bytes += s->queue->spans[i].len;
    return bytes;
}

static void append(chunk *to, const char *at, size_t len)
{
    if (len)
        memcpy(to->bytes + to->len, at, len);
    to->len += len;
}

/* The spans refer to chunks that others of this loop refer to as well: only their bytes can go. 0 or -ENOMEM. */
static int copy_queue(const stream *s, chunk **ret_copy)
{
    size_t bytes = spans_bytes(s);
    *ret_copy = bytes ? chunk_new(&s->net->loop->blocks, bytes) : NULL;
    if (!bytes)
        return 0;
    if (!*ret_copy)
        return -ENOMEM;
    for (uint32_t i = s->queue->first; i < s->queue->n; i++)
        append(*ret_copy, s->queue->spans[i].at, s->queue->spans[i].len);
    return 0;
}

/* What is unread lies in a chunk that is the stream's alone, and can go as it is. 0 or -ENOMEM. */
static int put_in_front(stream *s, str front)
{
    size_t kept = stream_unread(s) ? s->more->unread->len : 0;
    if (!front.len)
        return 0;
    chunk *both = stream_more_of(s) ? chunk_new(&s->net->loop->blocks, front.len + kept) : NULL;
    if (!both) {
        stream_tidy(s);
        return -ENOMEM;
    }
    append(both, front.at, front.len);
    append(both, kept ? s->more->unread->bytes : NULL, kept);
    chunk_unref(&s->net->loop->blocks, s->more->unread);
    s->more->unread = both;
    return 0;
}

int stream_leave(stream *s, str front, stream_parcel *ret_parcel)
{
    chunk *queued;
    assert(s != s->net->reading && !s->ending);
    if (s->closed || s->lost)
        return WEFT_E_CLOSED;
    if (copy_queue(s, &queued))
        return -ENOMEM;
    if (put_in_front(s, front)) {
        chunk_unref(&s->net->loop->blocks, queued);
        return -ENOMEM;
    }
    assert(!stream_unread(s) || s->more->unread->refs == 1);
    if (stream_tls(s))
        tls_session_leave(s->more->tls);
    *ret_parcel = (stream_parcel){
        .fd = s->source.fd,
        .addresses = s->net->addresses,
        .use = s->base.use,
        .tls = stream_tls(s),
        .unread = stream_unread(s),
        .queued = queued,
        .file = stream_file_of(s),
        .is_unix = s->is_unix,
        .read_closed = s->read_closed,
    };
    if (s->more) {
        s->more->tls = NULL;
        s->more->unread = NULL;
        s->more->file = NULL;
    }
    stream_unhook(s);
    return 0;
}

size_t stream_parcel_bytes(const stream_parcel *p)
{
    size_t bytes = (p->unread ? p->unread->cap : 0) + (p->queued ? p->queued->cap : 0);
    return bytes + (p->tls && p->tls->unsent ? p->tls->unsent->cap : 0);
}

/* ------------------------------------------------------------------------------------------------------------ arriving */

/* 0 or -ENOMEM. */
static int queue_again(stream *s, chunk *queued)
{
    if (!queued)
        return 0;
    int error = stream_write(&s->base, &(sink_piece){.body = {queued->bytes, queued->len}, .owner = queued});
    chunk_unref(&s->net->loop->blocks, queued);
    return error;
}

/* 0 or -ENOMEM. */
static int secure_again(stream *s)
{
    net *n = s->net;
    if (!stream_tls(s))
        return 0;
    stream_count_queued(s, s->more->tls->n_plain);
    if (!n->tls)
        n->tls = tls_buffers_new();
    if (!n->tls)
        return -ENOMEM;
    tls_session_arrive(s->more->tls, n->tls);
    return 0;
}

stream *stream_arrive(net *n, stream_parcel *p)
{
    stream *s = stream_new(n, p->fd, p->is_unix);
    if (s && !stream_more_of(s))
        stream_close(s);
    if (!s || s->closed) {
        p->fd = -1; /* it is closed */
        stream_parcel_done(p);
        return NULL;
    }
    s->base.use = p->use;
    s->more->tls = p->tls;
    s->more->unread = p->unread;
    s->read_closed = p->read_closed;
    int error = secure_again(s);
    error = queue_again(s, p->queued) ? -ENOMEM : error;
    s->more->file = p->file;
    stream_count_queued(s, p->file ? p->file->left : 0);
    if (error) {
        stream_close(s);
        return NULL;
    }
    s->feed = p->unread || s->read_closed;
    stream_tidy(s);
    stream_mark_dirty(s);
    return s;
}

void stream_parcel_done(stream_parcel *p)
{
    if (p->fd >= 0)
        close(p->fd);
    if (p->file) {
        close(p->file->fd);
        mem_free(p->file);
    }
    if (p->tls) {
        chunk_unref(NULL, p->tls->unsent);
        tls_session_free(p->tls);
    }
    chunk_unref(NULL, p->unread);
    chunk_unref(NULL, p->queued);
    addresses_leave(p->addresses, 0, p->use);
}
