#include "http/http1_private.h"

#include "base/mem.h"
#include "net/stream_move.h"
#include <errno.h>
#include <stdio.h>

/*
 * A connection leaves at the end of the turn in which a route sent its request elsewhere: by then all that came with the request has been decrypted, what
 * answers others has gone out as far as the socket took it, and the stream keeps what it did not consume, from the request's head on. Until then the
 * connection is paused, with no exchange, head or body.
 */
struct http1_move {
    note base;
    loop_task leave;
    list_node siblings;           /* server->moving, until it leaves */
    http1_connection *connection; /* likewise */
    const http_servers *servers;
    unsigned place;
    buf front; /* what was consumed of the request already, as it would come anew; freed when it has left */
    const http_site *site;
    uint16_t status;
    bool continued, head_only;
    stream_parcel parcel;
};

enum {
    MAX_SIZE_BYTES = 20, /* of a chunk's size line, in hexadecimal */
    MOVE_MAX_COUNTED_BYTES =
        4 << 20, /* larger ones count as this in an inbox: else the largest would never find room */
};

static void free_move(http1_move *m)
{
    buf_done(&m->front);
    mem_free(m);
}

/* -------------------------------------------------------------------------------------------------------------- going */

/* The body as one chunk. */
static int put_chunked(buf *front, str body)
{
    char size[MAX_SIZE_BYTES];
    int len = snprintf(size, sizeof size, "%zx\r\n", body.len);
    if (body.len && (buf_put(front, size, (size_t)len) || buf_put_str(front, body) || buf_put_str(front, STR("\r\n"))))
        return -ENOMEM;
    return buf_put_str(front, STR("0\r\n\r\n"));
}

/* A request whose body was collected is no longer in the stream: it is written down anew. 0 or -ENOMEM. */
static int put_collected(buf *front, const weft_request *request)
{
    if (!request->collected)
        return 0;
    if (buf_put(front, request->bytes, request->head->line_at))
        return -ENOMEM;
    return request->head->body == HTTP1_CHUNKED ? put_chunked(front, request->body) : buf_put_str(front, request->body);
}

static bool is_elsewhere(const http1_connection *c, unsigned place)
{
    const http_servers *all = c->server->all;
    return all && place < LOOP_MAX && all->at[place] && all->at[place] != c->server;
}

static void leave(loop_task *task);

int http1_move_to(exchange *e, const weft_request *request, unsigned place)
{
    http1_connection *c = e->carrier;
    http_server *server = c->server;
    if (server->serving != c || c->sink->ops != &stream_sink_ops || !is_elsewhere(c, place))
        return WEFT_E_INVALID;
    http1_move *m = mem_zero(sizeof *m);
    if (!m || put_collected(&m->front, request)) {
        if (m)
            free_move(m);
        return -ENOMEM;
    }
    m->leave.run = leave;
    m->connection = c;
    m->servers = server->all;
    m->place = place;
    m->site = c->site;
    m->head_only = c->head_only;
    m->continued = c->incoming && c->incoming->continued;
    list_append(&server->moving, &m->siblings);
    loop_defer(server->net->loop, &m->leave);
    c->moving = true;
    c->exchange = NULL;
    exchange_free(e);
    http1_incoming_free(c);
    loop_cancel(server->net->loop, &c->deadline);
    http1_stop_reading(c);
    return 0;
}

void http1_move_cancel(http1_connection *c)
{
    if (!c->moving)
        return;
    list_node *node = list_first(&c->server->moving);
    while (CONTAINER(node, http1_move, siblings)->connection != c)
        node = node->next;
    http1_move *m = CONTAINER(node, http1_move, siblings);
    list_remove(node);
    loop_undefer(c->server->net->loop, &m->leave);
    free_move(m);
    c->moving = false;
}

/* ------------------------------------------------------------------------------------------------------------ arriving */

/* The connection on the loop that it has come to, or come back to; NULL when it is gone. */
static http1_connection *take_up(http_server *server, http1_move *m)
{
    stream *s = stream_arrive(server->net, &m->parcel);
    http1_connection *c = s ? http1_connection_new(server, &s->base, m->site) : NULL;
    if (!c)
        return NULL;
    c->status = m->status;
    c->continued = m->continued;
    c->head_only = m->head_only;
    http1_await_request(c);
    int error = stream_start(s);
    if (error)
        s->base.events->gone(c, error);
    return error ? NULL : c;
}

static void arrive(note *n, void *loop_owner)
{
    http1_move *m = CONTAINER(n, http1_move, base);
    (void)loop_owner;
    take_up(m->servers->at[m->place], m);
}

static void drop(note *n)
{
    stream_parcel_done(&CONTAINER(n, http1_move, base)->parcel);
}

/* The other loop has ended, or has too much waiting: the client may ask again. */
static void bring_back(http_server *server, http1_move *m)
{
    http1_connection *c = take_up(server, m);
    if (c)
        http1_refuse(c, 503, STR("the server is busy\n"));
    mem_free(m);
}

static size_t counted_bytes(const http1_move *m)
{
    size_t bytes = sizeof *m + stream_parcel_bytes(&m->parcel);
    return bytes < MOVE_MAX_COUNTED_BYTES ? bytes : MOVE_MAX_COUNTED_BYTES;
}

static void leave(loop_task *task)
{
    http1_move *m = CONTAINER(task, http1_move, leave);
    http1_connection *c = m->connection;
    http_server *server = c->server;
    list_remove(&m->siblings);
    c->moving = false;
    if (stream_leave(CONTAINER(c->sink, stream, base), buf_str(&m->front), &m->parcel)) {
        free_move(m);
        http1_refuse(c, 503, STR("out of memory\n"));
        return;
    }
    buf_done(&m->front);
    m->status = c->status;
    m->base = (note){.bytes = counted_bytes(m), .run = arrive, .drop = drop};
    http1_let_go(c);
    if (inbox_push(loop_inbox(m->place), &m->base))
        bring_back(server, m);
}
