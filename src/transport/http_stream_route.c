#include "base/mem.h"
#include "base/texts.h"
#include "transport/http_stream.h"
#include "transport/undecided.h"
#include <errno.h>

struct http_stream_route {
    http_stream_kind kind;
    void (*request)(weft_exchange, const weft_request *, void *);
    const char *const *origins;
    uint32_t accept_timeout_ms;
};

/* A request that the program has not decided on yet. */
typedef struct {
    undecided base;
    const http_stream_route *route;
    bool has_since;
    char since[]; /* NUL-terminated */
} undecided_stream;

/* ---------------------------------------------------------------------------------------------------------- options */

static uint32_t ms_or(uint32_t value, uint32_t fallback)
{
    return value ? value : fallback;
}

http_stream_route *http_stream_route_new(const weft_sse_options *options, weft_transport transport)
{
    const weft_sse_options *o = options;
    bool events = transport == WEFT_TRANSPORT_SSE;
    http_stream_route *route = mem_zero(sizeof *route);
    if (!route)
        return NULL;
    if (texts_copy(o->origins, &route->origins)) {
        mem_free(route);
        return NULL;
    }
    route->request = o->request;
    route->accept_timeout_ms = ms_or(o->accept_timeout_ms, 10000);
    route->kind = (http_stream_kind){
        .encoding = events ? &encoding_sse : &encoding_line,
        .format = events ? WIRE_SSE : WIRE_LINE,
        .transport = transport,
        .keep_alive_ms = ms_or(o->keep_alive_ms, 15000),
        .retry_ms = ms_or(o->retry_ms, 2000),
    };
    route->kind.rules = (peer_rules){
        .user = o->user,
        .peer_bytes = o->peer_bytes,
        .open = o->open,
        .drain = o->drain,
        .close = o->close,
        .max_queued_bytes = o->max_queued_bytes ? o->max_queued_bytes : 1 << 20,
    };
    return route;
}

void http_stream_route_free(void *route)
{
    http_stream_route *r = route;
    texts_free(r->origins);
    mem_free(r);
}

const char *const *http_stream_route_origins(const http_stream_route *route)
{
    return route->origins;
}

/* ---------------------------------------------------------------------------------------------------------- serving */

static int undecided_accept(exchange *e, const char *subprotocol, bool plain)
{
    const undecided_stream *u = e->held_state;
    const http_stream_kind *kind = &u->route->kind;
    (void)plain;
    if (subprotocol)
        return WEFT_E_INVALID;
    if (e->head_only)
        return http_stream_head(e, kind);
    return http_stream_open(e, kind, str_from(u->has_since ? u->since : NULL)) ? 0 : -ENOMEM;
}

static const held_ops undecided_ops = {.accept = undecided_accept, .forget = undecided_forget};

/* Waits for the program. False when there is no memory. */
static bool hold(exchange *e, const http_stream_route *route, str from)
{
    undecided_stream *u = undecided_new(e, sizeof *u + from.len + 1, &undecided_ops, route->accept_timeout_ms);
    if (!u)
        return false;
    u->route = route;
    u->has_since = from.at;
    if (from.len)
        memcpy(u->since, from.at, from.len);
    return true;
}

/* `open` is called at once, so that what it sends goes out with the head. */
static void begin(exchange *e, const http_stream_kind *kind, str from)
{
    peer *p = http_stream_open(e, kind, from);
    if (p)
        peer_open(p);
}

void http_stream_serve(exchange *e, const weft_request *request, void *user)
{
    const http_stream_route *route = user;
    str from = http_stream_since(request);
    if (route->request) {
        if (hold(e, route, from))
            route->request((weft_exchange){e->id}, request, route->kind.rules.user);
        else
            exchange_refuse(e, 500, STR("out of memory\n"));
    } else if (e->head_only) {
        http_stream_head(e, &route->kind);
    } else {
        begin(e, &route->kind, from);
    }
}
