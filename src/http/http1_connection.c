#include "http/forwarded.h"
#include "http/http1_private.h"

#include "base/mem.h"
#include "proto/ws_handshake.h"
#include <errno.h>

/* ------------------------------------------------------------------------------------------------------------ life */

static loop *loop_of(const http1_connection *c)
{
    return c->server->net->loop;
}

static void drop_head(http1_connection *c)
{
    pool_put(&loop_of(c)->blocks, c->head, c->head_block_bytes);
    c->head = NULL;
}

void http1_let_go(http1_connection *c)
{
    if (c->server->serving == c)
        c->server->serving = NULL;
    if (c->exchange)
        exchange_free(c->exchange);
    drop_head(c);
    http1_incoming_free(c);
    http1_move_cancel(c);
    loop_cancel(loop_of(c), &c->deadline);
    loop_undefer(loop_of(c), &c->task);
    list_remove(&c->siblings);
    c->server->n_connections--;
    slabs_put(&loop_of(c)->places, c, sizeof *c);
}

/* One line for each connection, when it ends. */
static void log_close(const http1_connection *c)
{
    const logger *log = c->server->net->log;
    char address[64] = "", words[LOG_QUOTED_BYTES];
    str why = str_from(c->why);
    if (!log_wanted(log))
        return;
    c->sink->ops->address(c->sink, address, sizeof address);
    while (why.len && why.at[why.len - 1] == '\n')
        why.len--;
    log_quote(why, words);
    log_line(log, WEFT_LOG_INFO, "event=close transport=http address=%s status=%d reason=\"%s\"%s%s", address,
             c->status, words, c->limit ? " limit=" : "", c->limit ? limit_name((limit_id)(c->limit - 1)) : "");
}

void http1_end(http1_connection *c)
{
    log_close(c);
    c->sink->ops->end(c->sink);
    http1_let_go(c);
}

void http1_abort(http1_connection *c)
{
    log_close(c);
    c->sink->ops->abort(c->sink);
    http1_let_go(c);
}

void http1_exchange_gone(http1_connection *c)
{
    exchange *e = c->exchange;
    if (!e)
        return;
    c->exchange = NULL;
    if (e->route && e->route->spec.gone) {
        exchange_close(e); /* the program may try to answer even now */
        e->route->spec.gone(e, e->route->spec.user);
    }
    exchange_free(e);
}

void http1_stop_reading(http1_connection *c)
{
    if (c->paused)
        return;
    c->paused = true;
    c->sink->ops->pause(c->sink, true);
}

void http1_go_on_reading(http1_connection *c)
{
    if (!c->paused)
        return;
    c->paused = false;
    c->sink->ops->pause(c->sink, false);
}

static void close_idle(http1_connection *c, limit_id limit)
{
    c->why = "idle";
    http1_reached(c, limit);
    http1_end(c);
}

/* A connection is not idle while the client takes an answer: the sink judges how long that may last. */
static void idle_deadline(timer *t)
{
    http1_connection *c = CONTAINER(t, http1_connection, deadline);
    if (c->sink->queued) {
        loop_arm(loop_of(c), t, c->server->idle_timeout_ms, idle_deadline);
        return;
    }
    close_idle(c, LIMIT_IDLE_TIMEOUT);
}

void http1_await_request(http1_connection *c)
{
    loop_arm_roughly(loop_of(c), &c->deadline, c->server->idle_timeout_ms, idle_deadline);
}

void http1_next_request(http1_connection *c)
{
    if (address_use_is_proxy(c->sink->use))
        addresses_speak_for_nobody(c->server->net->addresses, loop_of(c)->now_ms, c->sink->use);
    http1_await_request(c);
    http1_go_on_reading(c);
    c->sink->ops->rebind(c->sink); /* feeds what waits unread, or the end that came meanwhile */
}

/* --------------------------------------------------------------------------------------------- who may ask for what */

static str host_of(const http1_head *head, const char *at)
{
    if (head->authority_len)
        return (str){at + head->authority_at, head->authority_len};
    return http1_find(head, at, "Host");
}

static str without_port(str host)
{
    size_t i = host.len;
    while (i && host.at[i - 1] >= '0' && host.at[i - 1] <= '9')
        i--;
    return i && host.at[i - 1] == ':' ? (str){host.at, i - 1} : host;
}

/* A name that a stranger's DNS can point at this machine is not one of its names. */
static bool host_served(const http_site *site, str host)
{
    static const char *const local[] = {"localhost", "127.0.0.1", "[::1]", NULL};
    str name = without_port(host);
    if (!site->loopback || !host.at)
        return true;
    for (const char *const *one = local; *one; one++)
        if (str_equal_nocase(name, str_from(*one)))
            return true;
    for (const char *const *one = site->hosts; one && *one; one++)
        if (strcmp(*one, "*") == 0 || str_equal_nocase(name, str_from(*one)))
            return true;
    return false;
}

static bool only_reads(str method)
{
    return str_equal(method, STR("GET")) || str_equal(method, STR("HEAD")) || str_equal(method, STR("OPTIONS"));
}

/* Where a request stands on its way to a route. */
typedef struct {
    http1_connection *connection;
    const http1_head *head;
    const char *at;
    str method, path, origin;
    bool cross_origin; /* a page of another origin asks */
    route_match match;
} inquiry;

/* 0, or the status to refuse with. `path` has room for HTTP1_MAX_LINE_BYTES + 1. */
static int inquire(http1_connection *c, const http1_head *head, const char *at, char *path, inquiry *q)
{
    str raw = {at + head->path_at, head->path_len}, host = host_of(head, at);
    *q = (inquiry){.connection = c, .head = head, .at = at, .method = http1_method(head, at)};
    if (!host_served(c->site, host))
        return 421;
    if (str_equal(q->method, STR("CONNECT")))
        return 501;                 /* whatever a route answered would be taken for a tunnel */
    if (str_equal(raw, STR("*"))) { /* OPTIONS * asks about the server, not about a path */
        q->path = raw;
        return 0;
    }
    int64_t len = http1_decode_path(raw, path);
    if (len < 0)
        return 400;
    q->path = (str){path, (size_t)len};
    q->origin = http1_find(head, at, "Origin");
    q->cross_origin = !ws_origin_allowed(q->origin, host, NULL);
    q->match = router_find(c->server->routes, c->site->port, q->method, ws_handshake_wanted(head, at), q->path);
    return 0;
}

static bool origin_listed(const inquiry *q, const http_route *route)
{
    return route->spec.origins && ws_origin_allowed(q->origin, (str){NULL, 0}, route->spec.origins);
}

/* A page of another origin may not write unless the route names it, and not even read what is pushed. (The WebSocket transport
 * judges its own requests.) */
static bool origin_refused(const inquiry *q)
{
    const http_route *route = q->match.found;
    return q->cross_origin && route->spec.method && (route->spec.guards_reads || !only_reads(q->method)) &&
           !origin_listed(q, route);
}

/* ------------------------------------------------------------------------------------------------- answers of our own */

static void add_allow(exchange *e, const inquiry *q)
{
    char methods[ROUTER_METHODS_BYTES];
    const http1_connection *c = q->connection;
    router_methods(c->server->routes, c->site->port, q->path, methods);
    exchange_add_field(e, STR("Allow"), str_from(methods));
}

static void answer_text(exchange *e, int status, str text)
{
    exchange_answer(e, &(http_answer){.status = status, .type = STR("text/plain; charset=utf-8"), .body = text});
}

/* The Fetch standard's question before a page's request: what may other origins do here? */
static void answer_preflight(exchange *e, const inquiry *q, const http_route *route)
{
    str fields = http1_find(q->head, q->at, "Access-Control-Request-Headers");
    char methods[ROUTER_METHODS_BYTES];
    router_methods(q->connection->server->routes, q->connection->site->port, q->path, methods);
    if (origin_listed(q, route)) {
        exchange_allow_origin(e, q->origin, route->spec.origins);
        exchange_add_field(e, STR("Access-Control-Allow-Methods"), str_from(methods));
        if (fields.len)
            exchange_add_field(e, STR("Access-Control-Allow-Headers"), fields);
        exchange_add_field(e, STR("Access-Control-Max-Age"), STR("600"));
    }
    exchange_answer(e, &(http_answer){.status = 204});
}

/* OPTIONS where no route serves it. */
static void answer_options(exchange *e, const inquiry *q)
{
    const http1_connection *c = q->connection;
    str wanted = http1_find(q->head, q->at, "Access-Control-Request-Method");
    route_match target = {0};
    if (wanted.len)
        target = router_find(c->server->routes, c->site->port, wanted, false, q->path);
    add_allow(e, q);
    if (target.found && q->origin.at)
        answer_preflight(e, q, target.found);
    else
        exchange_answer(e, &(http_answer){.status = 204});
}

static void answer_unrouted(exchange *e, const inquiry *q)
{
    bool exists = q->match.other_method || q->match.needs_upgrade;
    if (str_equal(q->method, STR("OPTIONS")) && (exists || str_equal(q->path, STR("*")))) {
        answer_options(e, q);
    } else if (q->match.other_method) {
        add_allow(e, q);
        answer_text(e, 405, STR("this path does not take this method\n"));
    } else if (q->match.needs_upgrade) {
        exchange_refuse(e, 426, STR("this path speaks WebSocket only\n"));
    } else {
        answer_text(e, 404, STR("not found\n"));
    }
}

static str refusal(int status)
{
    if (status == 421)
        return STR("this name is not served on a loopback listener (option: hosts)\n");
    return status == 501 ? STR("this is no proxy\n") : STR("malformed path\n");
}

/* -------------------------------------------------------------------------------------------------------- requests */

static bool is_head(const http1_head *head, const char *at)
{
    return str_equal(http1_method(head, at), STR("HEAD"));
}

exchange *http1_new_exchange(http1_connection *c, const http1_head *head, const char *at)
{
    exchange *e = exchange_new(&c->server->home, &http1_exchange_ops, c);
    if (!e) {
        http1_abort(c);
        return NULL;
    }
    c->exchange = e;
    c->minor_0 = head->minor == 0;
    c->keep_alive = head->keep_alive && !ws_handshake_wanted(head, at); /* a refused upgrade ends the connection */
    e->context = c->server->context;
    e->head_only = is_head(head, at);
    if (!c->incoming) /* else it is the body's */
        loop_cancel(loop_of(c), &c->deadline);
    return e;
}

/* A trusted proxy asks for somebody, who has a share of the connections. False: it was refused. */
static bool admit_client(http1_connection *c, weft_request *request)
{
    net *n = c->server->net;
    forwarded from = forwarded_read(request->head, request->bytes, &n->addresses->proxies);
    admission admitted =
        addresses_speak_for(n->addresses, n->loop->now_ms, c->sink->use, from.known ? &from.client : NULL);
    request->secure_at_proxy = from.secure;
    if (from.contradicts && limit_count(&n->limits, LIMIT_PROXIES) &&
        limit_tell(&n->limits, LIMIT_PROXIES, n->loop->now_ms))
        log_line(n->log, WEFT_LOG_WARNING,
                 "event=proxy reason=\"Forwarded and X-Forwarded-For contradict each other\" limit=%s",
                 limit_name(LIMIT_PROXIES));
    if (!admitted.error)
        return true;
    if (admitted.error == WEFT_E_FULL)
        exchange_blame(c->exchange, admitted.limit);
    exchange_add_field(c->exchange, STR("Retry-After"), STR("1"));
    exchange_refuse(c->exchange, 503,
                    admitted.error == WEFT_E_FULL ? STR("too many connections (option: max_address_connections)\n")
                                                  : STR("the server is out of memory\n"));
    return false;
}

void http1_serve(http1_connection *c, weft_request *request)
{
    char path[HTTP1_MAX_LINE_BYTES + 1];
    exchange *e = c->exchange;
    inquiry q;
    if (address_use_is_proxy(c->sink->use) && !admit_client(c, request))
        return;
    int status = inquire(c, request->head, request->bytes, path, &q);
    const http_route *route = q.match.found;
    request->path = q.path;
    request->route = route;
    if (status) {
        if (status == 421)
            exchange_blame(e, LIMIT_HOSTS);
        exchange_refuse(e, status, refusal(status));
    } else if (!route) {
        answer_unrouted(e, &q);
    } else if (origin_refused(&q)) {
        exchange_blame(e, LIMIT_ORIGINS);
        exchange_refuse(e, 403,
                        only_reads(q.method) ? STR("pages of this origin may not read here (option: origins)\n")
                                             : STR("pages of this origin may not write here (option: origins)\n"));
    } else {
        e->route = route;
        if (route->spec.origins)
            exchange_allow_origin(e, q.cross_origin && origin_listed(&q, route) ? q.origin : (str){NULL, 0},
                                  route->spec.origins);
        route->spec.serve(e, request, route->spec.user);
    }
    request_done(request);
}

static bool has_body(const http1_head *head)
{
    return head->body == HTTP1_CHUNKED || (head->body == HTTP1_LENGTH && head->content_length);
}

/* The server stops: whoever keeps the exchange waiting answers it. The connection may be gone afterwards. */
static void drain_held(http1_connection *c)
{
    exchange *e = c->exchange;
    if (e && e->held && e->held->drain)
        e->held->drain(e);
}

/* A route that takes bodies in pieces is told of the end of one that has none. */
static void tell_end_of_no_body(http1_connection *c)
{
    exchange *e = c->exchange;
    if (e && e->route && e->route->spec.body)
        e->route->spec.body(e, (str){NULL, 0}, e->route->spec.user);
}

/* The head has come, of a request whose body is `body` or still to come (of a route that takes it in pieces, or that will not take it). False: the
 * request goes elsewhere. */
static bool serve_now(http1_connection *c, const http1_head *head, const char *at, str body)
{
    if (!http1_new_exchange(c, head, at))
        return true;
    if (has_body(head) && !body.at)
        c->keep_alive = c->keep_alive && c->incoming;
    weft_request request = {.head = head, .bytes = at, .body = body, .sink = c->sink};
    http_server *server = c->server;
    server->serving = c;
    http1_serve(c, &request);
    if (server->serving && server->draining)
        drain_held(c);
    if (server->serving && !has_body(head))
        tell_end_of_no_body(c);
    bool moving = server->serving && c->moving;
    server->serving = NULL;
    return !moving;
}

/* The route that takes this body; NULL when the request will be refused, and then its body is not read. */
static const http_route *route_for_body(http1_connection *c, const http1_head *head, const char *at)
{
    char path[HTTP1_MAX_LINE_BYTES + 1];
    inquiry q;
    if (inquire(c, head, at, path, &q) || !q.match.found || origin_refused(&q))
        return NULL;
    return q.match.found->spec.method ? q.match.found : NULL;
}

/* Begins to read a body. 0 (see http1_incoming_begin() for the head), or a status to refuse with. */
static int begin_body(http1_connection *c, const http1_incoming *what, const char *at, bool nothing_yet)
{
    size_t ignored;
    str piece;
    http1_incoming in = *what;
    http1_body_init(&in.decoder, in.head, in.route->spec.max_body_bytes);
    if (http1_body_next(&in.decoder, NULL, 0, &ignored, &piece) == HTTP1_BODY_BAD)
        return in.decoder.status;
    in.continued = c->continued || (in.head->expect_continue && nothing_yet);
    if (in.continued && !c->continued && http1_say_continue(c))
        return 503;
    c->continued = false;
    return http1_incoming_begin(c, &in, at) ? 503 : 0;
}

/* The body has come with its head, and its route wants it in one piece. */
static bool body_is_there(const http1_incoming *in, size_t rest)
{
    const http1_head *head = in->head;
    return !in->streamed && head->body == HTTP1_LENGTH && head->content_length <= rest &&
           head->content_length <= in->route->spec.max_body_bytes;
}

/* A complete head of head_len bytes at `at`, taken off the connection. Returns how many bytes of len are consumed. */
static size_t take_request(http1_connection *c, const http1_incoming *taken, const char *at, size_t len)
{
    http1_incoming in = *taken;
    const http1_head *head = in.head;
    pool *blocks = &loop_of(c)->blocks;
    size_t rest = len - in.head_len;
    str body = {NULL, 0};
    in.route = has_body(head) ? route_for_body(c, head, at) : NULL;
    in.streamed = in.route && in.route->spec.body;
    if (in.route && body_is_there(&in, rest)) {
        body = (str){at + in.head_len, (size_t)head->content_length};
    } else if (in.route) {
        int status = begin_body(c, &in, at, rest == 0);
        if (status) {
            pool_put(blocks, in.head, in.head_block_bytes);
            if (status == 413)
                http1_refuse_body(c, in.route);
            else
                http1_refuse(c, status, STR("out of memory\n"));
            return len;
        }
        if (!in.streamed)
            return in.head_len;
    }
    bool served = serve_now(c, head, at, body);
    pool_put(blocks, in.head, in.head_block_bytes);
    return served ? in.head_len + body.len : 0;
}

static void head_deadline(timer *t)
{
    http1_connection *c = CONTAINER(t, http1_connection, deadline);
    if (c->head)
        http1_refuse(c, 408, STR("the request head took too long (option: head_timeout_ms)\n"));
    else
        close_idle(c, LIMIT_HEAD_TIMEOUT); /* it has never asked, or is in a handshake still */
}

static bool new_head(http1_connection *c)
{
    size_t block_bytes;
    c->head = pool_get(&loop_of(c)->blocks, sizeof *c->head, &block_bytes);
    if (!c->head)
        return false;
    c->head_block_bytes = (uint32_t)block_bytes;
    *c->head = (http1_head){0};
    if (c->served)
        loop_arm_roughly(loop_of(c), &c->deadline, c->server->head_timeout_ms, head_deadline);
    return true;
}

/* It is not lost, and is read from again when its client has taken what waits. */
static void tell_unsent(const http1_connection *c)
{
    net *n = c->server->net;
    char address[64] = "";
    const char *limit = limit_count(&n->limits, LIMIT_UNSENT_BYTES);
    if (!log_wanted(n->log) || !limit_tell(&n->limits, LIMIT_UNSENT_BYTES, n->loop->now_ms))
        return;
    c->sink->ops->address(c->sink, address, sizeof address);
    log_line(n->log, WEFT_LOG_INFO, "event=limit transport=http address=%s limit=\"%s\"", address, limit);
}

/* An answer is awaited, or the client does not take those that it has: what follows stays where it is, within bounds. */
static size_t hold_back(http1_connection *c, size_t len)
{
    if (!c->exchange) {
        if (!c->sending_file)
            tell_unsent(c);
        http1_stop_reading(c);
        c->sink->ops->notify(c->sink);
    } else if (len >= HTTP1_MAX_PIPELINED_BYTES) {
        http1_stop_reading(c);
    }
    return 0;
}

static size_t connection_data(void *owner, char *at, size_t len)
{
    http1_connection *c = owner;
    size_t head_len;
    if (c->incoming)
        return http1_incoming_data(c, at, len);
    if (c->exchange || c->sending_file || c->sink->queued >= HTTP1_MAX_UNSENT_BYTES)
        return hold_back(c, len);
    if (!c->head && !new_head(c)) {
        http1_abort(c);
        return len;
    }
    switch (http1_head_feed(c->head, at, len, &head_len)) {
    case HTTP1_MORE:
        return 0;
    case HTTP1_BAD:
        c->head_only = c->head->has_line && is_head(c->head, at);
        http1_refuse(c, c->head->status, str_from(c->head->reason));
        return len;
    case HTTP1_DONE:
        break;
    }
    http1_incoming taken = {.head = c->head, .head_block_bytes = c->head_block_bytes, .head_len = head_len};
    c->head_only = is_head(c->head, at);
    c->head = NULL;
    return take_request(c, &taken, at, len);
}

/* ----------------------------------------------------------------------------------------------------------- events */

static void connection_task(loop_task *task)
{
    http1_connection *c = CONTAINER(task, http1_connection, task);
    exchange *e = c->exchange;
    if (!e || !e->want_drain)
        return;
    e->want_drain = false;
    if (e->route && e->route->spec.drain)
        e->route->spec.drain(e, e->route->spec.user);
}

static void connection_sent(void *owner)
{
    http1_connection *c = owner;
    if (c->moving)
        return; /* where it goes it is asked for again */
    size_t low = c->sending_file ? 0 : c->exchange ? EXCHANGE_MAX_QUEUED_BYTES / 2 : HTTP1_MAX_UNSENT_BYTES / 2;
    if (c->sink->queued > low) {
        c->sink->ops->notify(c->sink);
        return;
    }
    c->sending_file = false;
    if (c->exchange)
        loop_defer(loop_of(c), &c->task);
    else
        http1_go_on_reading(c);
}

static void connection_eof(void *owner)
{
    http1_connection *c = owner;
    if (c->moving)
        return; /* the stream takes it along */
    c->eof = true;
    if (c->exchange && (!c->exchange->held || c->exchange->held->answers_half) && !c->incoming)
        return; /* the answer goes out, and those to the requests behind it */
    c->why = "closed by the client";
    http1_exchange_gone(c);
    http1_end(c);
}

static void connection_gone(void *owner, int error)
{
    http1_connection *c = owner;
    c->why = error == -ETIMEDOUT ? "write timeout" : "lost";
    c->limit = error == -ETIMEDOUT ? LIMIT_WRITE_TIMEOUT + 1 : 0; /* the stream has counted it */
    http1_exchange_gone(c);
    log_close(c);
    http1_let_go(c);
}

static const sink_events http1_events = {
    .data = connection_data,
    .eof = connection_eof,
    .sent = connection_sent,
    .gone = connection_gone,
};

http1_connection *http1_connection_new(http_server *server, sink *s, const http_site *site)
{
    http1_connection *c = slabs_get(&server->net->loop->places, sizeof *c);
    if (!c) {
        s->ops->abort(s);
        return NULL;
    }
    c->server = server;
    c->sink = s;
    c->site = site;
    c->why = "out of memory"; /* what ends without another word */
    c->task.run = connection_task;
    list_append(&server->connections, &c->siblings);
    server->n_connections++;
    sink_bind(s, &http1_events, c);
    return c;
}

int http1_connection_open(http_server *server, sink *s, const http_site *site)
{
    http1_connection *c = http1_connection_new(server, s, site);
    if (!c)
        return -ENOMEM;
    loop_arm(server->net->loop, &c->deadline, server->head_timeout_ms, head_deadline);
    return 0;
}

void http_server_init(http_server *server, net *n, slots *table, const router *routes, void *context)
{
    *server = (http_server){
        .net = n,
        .table = table,
        .routes = routes,
        .context = context,
        .head_timeout_ms = HTTP_HEAD_TIMEOUT_MS,
        .idle_timeout_ms = HTTP_IDLE_TIMEOUT_MS,
        .min_body_bytes_per_s = HTTP_MIN_BODY_BYTES_PER_S,
    };
    server->home = (exchange_home){table, &n->loop->blocks, &n->loop->places};
    list_init(&server->connections);
    list_init(&server->moving);
}

/* The connection may be gone afterwards. */
static void drain_connection(http1_connection *c)
{
    if (c->exchange || c->head || c->incoming || c->moving) {
        drain_held(c);
        return;
    }
    c->why = "the server stops";
    http1_end(c);
}

void http_server_drain_some(http_server *server, size_t most)
{
    server->draining = true;
    size_t left = most < server->n_connections ? most : server->n_connections;
    for (list_node *node; left && (node = list_first(&server->connections)); left--) {
        list_remove(node); /* behind those that have yet to be looked at */
        list_append(&server->connections, node);
        drain_connection(CONTAINER(node, http1_connection, siblings));
    }
}

void http_server_drain(http_server *server)
{
    http_server_drain_some(server, SIZE_MAX);
}

void http_server_abort(http_server *server)
{
    for (list_node *node; (node = list_first(&server->connections));) {
        http1_connection *c = CONTAINER(node, http1_connection, siblings);
        c->why = "the server stops";
        http1_exchange_gone(c);
        http1_abort(c);
    }
}
