#include "net/net.h"

#include "base/mem.h"
#include "net/stream_private.h"
#include <errno.h>

static void free_dead(net *n)
{
    for (list_node *node; (node = list_first(&n->dead));) {
        stream *s = CONTAINER(node, stream, waiting);
        list_remove(node);
        stream_queue_free(s);
        stream_file_free(s);
        stream_unread_free(s);
        stream_tls_free(s);
        mem_free(s);
    }
}

static void flush_dirty(loop_task *task)
{
    net *n = CONTAINER(task, net, flush);
    for (list_node *node; (node = list_first(&n->dirty));) {
        stream *s = CONTAINER(node, stream, dirty);
        list_remove(node);
        if (s->lost)
            stream_fail(s, -ENOMEM);
        else if (s->feed)
            stream_feed_unread(s);
        if (s->closed)
            continue;
        if (!s->stalled)
            stream_flush(s);
        else if (s->queue && stream_settle(s))
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
    if (stream_unacknowledged(s) < s->unacknowledged) {
        stream_wait_for_peer(s);
        return;
    }
    limit_count(&s->net->limits, LIMIT_WRITE_TIMEOUT);
    stream_fail(s, -ETIMEDOUT);
}

static void net_tick(timer *t)
{
    net *n = CONTAINER(t, net, tick);
    list_node *node;
    while ((node = list_first(&n->stalled)) && older_than(n, CONTAINER(node, stream, waiting), n->write_timeout_ms))
        end_or_go_on(CONTAINER(node, stream, waiting));
    while ((node = list_first(&n->lingering)) && older_than(n, CONTAINER(node, stream, waiting), NET_LINGER_MS))
        stream_close(CONTAINER(node, stream, waiting));
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
    list_init(&n->dirty);
    list_init(&n->stalled);
    list_init(&n->lingering);
    list_init(&n->dead);
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
    if (n->addresses == &n->own_addresses)
        addresses_done(n->addresses);
    loop_undefer(n->loop, &n->flush);
    loop_cancel(n->loop, &n->tick);
    chunk_unref(&n->loop->blocks, n->cork);
    if (n->spare)
        pool_put(&n->loop->blocks, n->spare, n->spare->block_bytes);
    tls_buffers_free(n->tls);
    n->tls = NULL;
    mem_free(n->received);
    n->received = NULL;
}
