#include "net/net.h"

#include "base/mem.h"
#include "net/stream_private.h"
#include <errno.h>

static void flush_one(stream *s)
{
    if (s->lost)
        stream_fail(s, -ENOMEM);
    else if (s->feed)
        stream_feed_unread(s);
    if (s->closed)
        return;
    if (!s->stalled)
        stream_flush(s);
    else if (s->queue && stream_settle(s))
        stream_fail(s, -ENOMEM);
}

/* One that is closed while it is flushed comes once more, to be freed. */
static void flush_dirty(loop_task *task)
{
    net *n = CONTAINER(task, net, flush);
    while (n->n_flushed < n->n_dirty) {
        stream *s = n->dirty[n->n_flushed++];
        s->dirty = false;
        if (s->closed)
            stream_free(s);
        else
            flush_one(s);
    }
    n->n_flushed = n->n_dirty = 0;
}

static stream *first_of(const list_node *list)
{
    list_node *node = list_first(list);
    return node ? CONTAINER(node, stream_more, waiting)->stream : NULL;
}

static bool older_than(const net *n, const stream *s, uint32_t ms)
{
    return (uint32_t)n->loop->now_ms - s->more->since_ms >= ms;
}

/* A full socket is writable again only when much of it is free: a peer that reads slowly is seen by what it acknowledges. */
static void end_or_go_on(stream *s)
{
    if (stream_unacknowledged(s) < s->more->unacknowledged) {
        stream_wait_for_peer(s);
        return;
    }
    limit_count(&s->net->limits, LIMIT_WRITE_TIMEOUT);
    stream_fail(s, -ETIMEDOUT);
}

static void net_tick(timer *t)
{
    net *n = CONTAINER(t, net, tick);
    stream *s;
    while ((s = first_of(&n->stalled)) && older_than(n, s, n->write_timeout_ms))
        end_or_go_on(s);
    while ((s = first_of(&n->lingering)) && older_than(n, s, NET_LINGER_MS))
        stream_close(s);
    if (!list_empty(&n->stalled) || !list_empty(&n->lingering))
        loop_arm(n->loop, t, NET_TICK_MS, net_tick);
}

int net_init(net *n, loop *l, const logger *log)
{
    *n = (net){
        .loop = l,
        .log = log,
        .flush.run = flush_dirty,
        .tick.fire = net_tick,
        .write_timeout_ms = NET_WRITE_TIMEOUT_MS,
    };
    list_init(&n->stalled);
    list_init(&n->lingering);
    n->addresses = &n->own_addresses;
    int error = addresses_init(n->addresses);
    if (error)
        return error;
    n->received = mem_new(NET_RECEIVE_BYTES);
    return n->received ? 0 : -ENOMEM;
}

void net_share_addresses(net *n, const net *first)
{
    addresses_done(&n->own_addresses);
    n->addresses = first->addresses;
}

void net_cut_lingering(net *n)
{
    for (stream *s; (s = first_of(&n->lingering));)
        stream_close(s);
    for (stream *s; (s = first_of(&n->stalled));)
        stream_fail(s, -ETIMEDOUT);
}

void net_done(net *n)
{
    flush_dirty(&n->flush); /* what was ended just now lingers then */
    net_cut_lingering(n);
    flush_dirty(&n->flush);
    if (n->addresses == &n->own_addresses)
        addresses_done(n->addresses);
    loop_undefer(n->loop, &n->flush);
    loop_cancel(n->loop, &n->tick);
    chunk_unref(&n->loop->blocks, n->cork);
    if (n->spare)
        pool_put(&n->loop->blocks, n->spare, n->spare->block_bytes);
    tls_buffers_free(n->tls);
    n->tls = NULL;
    mem_free(n->dirty);
    n->dirty = NULL;
    mem_free(n->received);
    n->received = NULL;
}
