#include "base/mem.h"
#include "base/texts.h"
#include "proto/ws_compress.h"
#include "proto/ws_handshake.h"
#include "transport/undecided.h"
#include "transport/websocket_route.h"
#include <errno.h>

/* A request that the program has not decided on yet. */
typedef struct {
    undecided base;
    const websocket_route *route;
    ws_deflate_offer offer;
    bool offered_deflate;
    char key[24];        /* a valid key has this length */
    char subprotocols[]; /* offered, comma-separated, NUL-terminated */
} undecided_upgrade;

/* ------------------------------------------------------------------------------------------------------------ options */

static void default_size(size_t *value, size_t fallback)
{
    if (!*value)
        *value = fallback;
}

static void default_ms(uint32_t *value, uint32_t fallback)
{
    if (!*value)
        *value = fallback;
}

static void fill_defaults(weft_websocket_options *o)
{
    default_size(&o->max_message_bytes, 1 << 20);
    default_size(&o->max_queued_bytes, 1 << 20);
    default_size(&o->deflate_min_bytes, 64);
    default_ms(&o->ping_interval_ms, 25000);
    default_ms(&o->ping_timeout_ms, 20000);
    default_ms(&o->close_timeout_ms, 5000);
    default_ms(&o->accept_timeout_ms, 10000);
}

const char *websocket_options_problem(const weft_websocket_options *options)
{
    for (const char *const *one = options->subprotocols; one && *one; one++)
        if (!http1_is_token(str_from(*one)))
            return "has a subprotocol that is not a token (RFC 6455 §4.1)";
    return NULL;
}

websocket_route *websocket_route_new(const weft_websocket_options *options)
{
    websocket_route *route = mem_zero(sizeof *route);
    if (!route)
        return NULL;
    weft_websocket_options *o = &route->options;
    *o = *options;
    o->subprotocols = o->origins = NULL;
    if (texts_copy(options->subprotocols, &o->subprotocols) || texts_copy(options->origins, &o->origins)) {
        websocket_route_free(route);
        return NULL;
    }
    fill_defaults(o);
    route->rules = (peer_rules){
        .user = o->user,
        .peer_bytes = o->peer_bytes,
        .open = o->open,
        .message = o->message,
        .drain = o->drain,
        .pong = o->pong,
        .close = o->close,
        .max_queued_bytes = o->max_queued_bytes,
        .max_messages_per_s = o->max_messages_per_s,
        .max_bytes_per_s = o->max_bytes_per_s,
    };
    return route;
}

void websocket_route_free(void *route)
{
    websocket_route *r = route;
    texts_free(r->options.subprotocols);
    texts_free(r->options.origins);
    mem_free(r);
}

/* ----------------------------------------------------------------------------------------------------------- deciding */

static bool offered(str list, str name)
{
    str one;
    while (http1_list_next(&list, &one))
        if (str_equal(one, name))
            return true;
    return false;
}

/* The first of the route's that the client offers. */
static str preferred(const websocket_route *route, str list)
{
    for (const char *const *one = route->options.subprotocols; one && *one; one++)
        if (offered(list, str_from(*one)))
            return str_from(*one);
    return (str){NULL, 0};
}

typedef struct {
    const websocket_route *route;
    hub *hub;
    str key;
    str subprotocol;
    const ws_deflate_offer *offer; /* NULL: none, or it is not taken */
    const weft_request *request;   /* NULL when it was decided later */
} acceptance;

/* The first offer of permessage-deflate that can be taken, if the route wants one. */
static bool read_offer(const websocket_route *route, const weft_request *request, ws_deflate_offer *ret)
{
    const http1_head *head = request->head;
    if (!route->options.deflate || !ws_compress_available())
        return false;
    for (size_t i = 0; i < head->n_fields; i++)
        if (str_equal_nocase(http1_name(head, request->bytes, i), STR("Sec-WebSocket-Extensions")) &&
            ws_deflate_read_offer(http1_value(head, request->bytes, i), ret))
            return true;
    return false;
}

static int put_extension(buf *head, const ws_deflate_offer *offer, const ws_deflate *agreed)
{
    char value[WS_DEFLATE_FIELD_BYTES];
    size_t len = ws_deflate_put_answer(offer, agreed, value);
    return buf_put_str(head, STR("Sec-WebSocket-Extensions: ")) | buf_put(head, value, len) |
           buf_put_str(head, STR("\r\n"));
}

static int put_head(buf *head, const acceptance *a, const exchange *e, const ws_deflate *agreed)
{
    int error = ws_put_accepted(head, a->key, a->subprotocol);
    if (!error && agreed)
        error = put_extension(head, a->offer, agreed);
    if (!error)
        error = buf_put_str(head, buf_str(&e->fields));
    return error ? error : buf_put_str(head, STR("\r\n"));
}

/* The exchange is gone afterwards. What `a` points at lives until the switch. */
static int accept_exchange(exchange *e, const acceptance *a)
{
    buf head = {0};
    sink *s;
    websocket *ws = websocket_new(a->hub, a->route, a->subprotocol);
    const ws_deflate *agreed = ws && a->offer ? websocket_agree(ws, a->offer) : NULL;
    int error = ws ? put_head(&head, a, e, agreed) : -ENOMEM;
    if (error)
        exchange_refuse(e, 500, (str){NULL, 0});
    else
        error = e->ops->switch_protocol(e, buf_str(&head), &s);
    buf_done(&head);
    if (!error) {
        websocket_start(ws, s);
        if (a->route->attach)
            a->route->attach(websocket_peer(ws), a->request, a->route->owner);
    } else if (ws)
        websocket_discard(ws);
    return error;
}

static int upgrade_accept(exchange *e, const char *subprotocol, bool plain)
{
    undecided_upgrade *u = e->held_state;
    str list = str_from(u->subprotocols);
    acceptance a = {
        .route = u->route,
        .hub = e->context,
        .key = {u->key, sizeof u->key},
        .subprotocol = str_from(subprotocol),
        .offer = u->offered_deflate && !plain ? &u->offer : NULL,
    };
    if (!subprotocol)
        a.subprotocol = preferred(u->route, list);
    else if (!offered(list, a.subprotocol))
        return WEFT_E_INVALID;
    return accept_exchange(e, &a);
}

static const held_ops undecided_ops = {.accept = upgrade_accept, .forget = undecided_forget};

/* All Sec-WebSocket-Protocol fields as one list. 0 or -ENOMEM. */
static int join_subprotocols(const weft_request *request, buf *list)
{
    for (size_t i = 0; i < request->head->n_fields; i++) {
        if (!str_equal_nocase(http1_name(request->head, request->bytes, i), STR("Sec-WebSocket-Protocol")))
            continue;
        if (list->len && buf_put_str(list, STR(", ")))
            return -ENOMEM;
        if (buf_put_str(list, http1_value(request->head, request->bytes, i)))
            return -ENOMEM;
    }
    return 0;
}

/* Waits for the program. False when there is no memory. */
static bool hold(exchange *e, const weft_request *request, const websocket_route *route, str key, str subprotocols)
{
    undecided_upgrade *u =
        undecided_new(e, sizeof *u + subprotocols.len + 1, &undecided_ops, route->options.accept_timeout_ms);
    if (!u)
        return false;
    u->route = route;
    u->offered_deflate = read_offer(route, request, &u->offer);
    memcpy(u->key, key.at, sizeof u->key);
    if (subprotocols.len)
        memcpy(u->subprotocols, subprotocols.at, subprotocols.len);
    return true;
}

/* RFC 6455 §4.2.2: what was wrong with the handshake. */
static void refuse_handshake(exchange *e, const ws_handshake *handshake)
{
    buf_put_str(&e->fields, STR("Sec-WebSocket-Version: 13\r\n"));
    if (handshake->status == 405)
        buf_put_str(&e->fields, STR("Allow: GET\r\n"));
    exchange_refuse(e, handshake->status, str_from(handshake->reason));
}

/* The origins of a route of topics come besides the page's own, as with its other carriers. */
static bool origin_allowed(const websocket_route *route, const ws_handshake *handshake)
{
    if (ws_origin_allowed(handshake->origin, handshake->host, route->options.origins))
        return true;
    return route->attach && ws_origin_allowed(handshake->origin, handshake->host, NULL);
}

void websocket_serve(exchange *e, const weft_request *request, void *user)
{
    const websocket_route *route = user;
    ws_handshake handshake;
    buf list = {0};
    ws_handshake_read(request->head, request->bytes, &handshake);
    if (handshake.status) {
        refuse_handshake(e, &handshake);
        return;
    }
    if (!origin_allowed(route, &handshake)) {
        exchange_blame(e, LIMIT_ORIGINS);
        exchange_refuse(e, 403, STR("this origin may not connect here (option: origins)\n"));
        return;
    }
    if (join_subprotocols(request, &list)) {
        exchange_refuse(e, 500, STR("out of memory\n"));
    } else if (route->needs && !preferred(route, buf_str(&list)).len) {
        exchange_refuse(e, 400, str_from(route->needs));
    } else if (!route->options.request) {
        ws_deflate_offer offer;
        acceptance a = {
            .route = route,
            .hub = e->context,
            .key = handshake.key,
            .subprotocol = preferred(route, buf_str(&list)),
            .offer = read_offer(route, request, &offer) ? &offer : NULL,
            .request = request,
        };
        accept_exchange(e, &a);
    } else if (hold(e, request, route, handshake.key, buf_str(&list))) {
        route->options.request((weft_exchange){e->id}, request, route->options.user);
    } else {
        exchange_refuse(e, 500, STR("out of memory\n"));
    }
    buf_done(&list);
}
