#include "http/http1_private.h"

#include "base/mem.h"
#include <errno.h>

enum {
    RATE_WINDOW_S = 10,
};

static http1_connection *connection_of(timer *t)
{
    return CONTAINER(t, http1_connection, deadline);
}

/* A body may take long, but not trickle; each window counts for itself, so that a burst buys no hours. */
static void check_rate(timer *t)
{
    http1_connection *c = connection_of(t);
    http1_incoming *in = c->incoming;
    if ((in->decoder.total_bytes - in->checked_bytes) / RATE_WINDOW_S < c->server->min_body_bytes_per_s) {
        http1_refuse(c, 408, STR("the request body came too slowly (option: min_body_bytes_per_s)\n"));
        return;
    }
    in->checked_bytes = in->decoder.total_bytes;
    loop_arm(c->server->net->loop, t, RATE_WINDOW_S * 1000, check_rate);
}

int http1_incoming_begin(http1_connection *c, const http1_incoming *what, const char *at)
{
    loop *l = c->server->net->loop;
    http1_incoming *in = mem_new(sizeof *in);
    if (!in)
        return -ENOMEM;
    *in = *what;
    if (!in->streamed && buf_put(&in->bytes, at, in->head_len)) {
        mem_free(in);
        return -ENOMEM;
    }
    if (in->streamed)
        in->head = NULL; /* the caller serves it now */
    c->incoming = in;
    loop_arm(l, &c->deadline, RATE_WINDOW_S * 1000, check_rate);
    return 0;
}

void http1_incoming_free(http1_connection *c)
{
    http1_incoming *in = c->incoming;
    if (!in)
        return;
    c->incoming = NULL;
    pool_put(&c->server->net->loop->blocks, in->head, in->head_block_bytes);
    buf_done(&in->bytes);
    mem_free(in);
}

/* All is there: the request is served as if it had come in one piece. */
static void serve_collected(http1_connection *c)
{
    http1_incoming in = *c->incoming;
    pool *blocks = &c->server->net->loop->blocks;
    mem_free(c->incoming);
    c->incoming = NULL;
    loop_cancel(c->server->net->loop, &c->deadline);
    if (http1_new_exchange(c, in.head, in.bytes.at)) {
        weft_request request = {
            .head = in.head,
            .bytes = in.bytes.at,
            .route = in.route,
            .body = {in.bytes.at + in.head_len, in.bytes.len - in.head_len},
            .collected = true,
            .sink = c->sink,
        };
        http1_serve(c, &request);
    }
    pool_put(blocks, in.head, in.head_block_bytes);
    buf_done(&in.bytes);
}

static void stream_piece(http1_connection *c, str piece)
{
    const http_route *route = c->incoming->route;
    if (!piece.at) {
        loop_cancel(c->server->net->loop, &c->deadline);
        http1_incoming_free(c);
    }
    if (c->exchange)
        route->spec.body(c->exchange, piece, route->spec.user);
}

/* A piece, or {NULL, 0} for the end. 0 or -ENOMEM. */
static int take_piece(http1_connection *c, str piece)
{
    if (c->incoming->streamed) {
        stream_piece(c, piece);
        return 0;
    }
    if (piece.at)
        return buf_put_str(&c->incoming->bytes, piece);
    serve_collected(c);
    return 0;
}

size_t http1_incoming_data(http1_connection *c, const char *at, size_t len)
{
    size_t done = 0;
    http_server *server = c->server;
    server->serving = c;
    while (server->serving && c->incoming) {
        size_t consumed;
        str piece = {NULL, 0};
        http1_body_result result = http1_body_next(&c->incoming->decoder, at + done, len - done, &consumed, &piece);
        done += consumed;
        if (result == HTTP1_BODY_MORE)
            break;
        if (result == HTTP1_BODY_BAD) {
            http1_body_decoder bad = c->incoming->decoder;
            if (bad.status == 413)
                http1_refuse_body(c, c->incoming->route);
            else
                http1_refuse(c, bad.status, str_from(bad.reason));
            return len;
        }
        if (take_piece(c, piece)) {
            http1_exchange_gone(c);
            http1_abort(c);
            return len;
        }
    }
    server->serving = NULL;
    return done;
}
