#include "http/http1_connection.h"

#include "base/mem.h"
#include "proto/ws_handshake.h"
#include <errno.h>
#include <time.h>

enum {
    MAX_PIPELINED_BYTES = HTTP1_MAX_HEAD_BYTES, /* kept unread while an answer is awaited; then reading stops */
    MAX_UNSENT_BYTES = 64 * 1024,               /* of answers that the client does not take; then no request is read */
};

typedef struct {
    http_server *server;
    sink *sink;
    list_node all;
    timer deadline;
    http1_head *head; /* of the request being read; NULL between requests */
    size_t head_block_bytes;
    exchange *exchange; /* waits for its answer */
    uint16_t port;
    bool keep_alive; /* of the exchange */
    bool minor_0;    /* HTTP/1.0 */
    bool paused;
    bool served; /* a request was answered here before */
} http1_connection;

static const exchange_ops http1_exchange_ops;

/* ------------------------------------------------------------------------------------------------------------ life */

static void drop_head(http1_connection *c)
{
    pool_put(&c->server->net->loop->blocks, c->head, c->head_block_bytes);
    c->head = NULL;
}

static void connection_free(http1_connection *c)
{
    if (c->exchange)
        exchange_free(c->exchange);
    drop_head(c);
    loop_cancel(c->server->net->loop, &c->deadline);
    list_remove(&c->all);
    mem_free(c);
}

static void connection_end(http1_connection *c)
{
    c->sink->ops->end(c->sink);
    connection_free(c);
}

static void connection_abort(http1_connection *c)
{
    c->sink->ops->abort(c->sink);
    connection_free(c);
}

/* --------------------------------------------------------------------------------------------------------- answers */

static str http_date(http_server *server)
{
    uint64_t now_s = server->net->loop->now_ms / 1000;
    if (!server->date[0] || now_s != server->date_at_s) {
        time_t now = time(NULL);
        struct tm parts;
        gmtime_r(&now, &parts);
        strftime(server->date, sizeof server->date, "%a, %d %b %Y %H:%M:%S GMT", &parts);
        server->date_at_s = now_s;
    }
    return str_from(server->date);
}

static bool status_has_body(int status)
{
    return status >= 200 && status != 204 && status != 304;
}

typedef struct {
    const http_answer *what;
    str fields;
    bool head_only, close, minor_0;
} answer_plan;

static int put_head(http_server *server, buf *out, const answer_plan *plan)
{
    const http_answer *a = plan->what;
    int error = buf_printf(out, "HTTP/1.1 %d %s\r\n", a->status, http1_phrase(a->status));
    error |= buf_put_str(out, STR("Date: ")) | buf_put_str(out, http_date(server));
    if (a->type.len)
        error |= buf_put_str(out, STR("\r\nContent-Type: ")) | buf_put_str(out, a->type);
    if (status_has_body(a->status))
        error |= buf_printf(out, "\r\nContent-Length: %zu", a->body.len);
    if (a->offer_websocket)
        error |= buf_put_str(out, STR("\r\nUpgrade: websocket\r\nConnection: Upgrade, close"));
    else if (plan->close)
        error |= buf_put_str(out, STR("\r\nConnection: close"));
    else if (plan->minor_0)
        error |= buf_put_str(out, STR("\r\nConnection: keep-alive"));
    error |= buf_put_str(out, STR("\r\n")) | buf_put_str(out, plan->fields);
    return error | buf_put_str(out, STR("\r\n"));
}

static int send_answer(http1_connection *c, const answer_plan *plan)
{
    buf head = {0};
    bool body = !plan->head_only && status_has_body(plan->what->status);
    sink_piece piece = {.body = body ? plan->what->body : (str){NULL, 0}};
    int error = buf_reserve(&head, 256 + plan->fields.len);
    if (!error)
        error = put_head(c->server, &head, plan);
    piece.head = buf_str(&head);
    if (!error)
        error = c->sink->ops->write(c->sink, &piece);
    buf_done(&head);
    return error ? -ENOMEM : 0;
}

static void idle_deadline(timer *t)
{
    connection_end(CONTAINER(t, http1_connection, deadline));
}

static void go_on_reading(http1_connection *c)
{
    if (!c->paused)
        return;
    c->paused = false;
    c->sink->ops->pause(c->sink, false);
}

/* The connection is ready for the next request, or for the end that came meanwhile: the sink tells either. */
static void next_request(http1_connection *c)
{
    loop_arm(c->server->net->loop, &c->deadline, HTTP_IDLE_TIMEOUT_MS, idle_deadline);
    go_on_reading(c);
    c->sink->ops->rebind(c->sink);
}

static int connection_answer(exchange *e, const http_answer *answer)
{
    http1_connection *c = e->carrier;
    bool close = answer->close || !c->keep_alive || c->server->draining;
    answer_plan plan = {answer, buf_str(&e->fields), e->head_only, close, c->minor_0};
    int error = send_answer(c, &plan);
    c->exchange = NULL;
    exchange_free(e);
    c->served = true;
    if (error)
        connection_abort(c);
    else if (close)
        connection_end(c);
    else
        next_request(c);
    return error;
}

static int connection_switch(exchange *e, str head, sink **ret_sink)
{
    http1_connection *c = e->carrier;
    sink *s = c->sink;
    int error = s->ops->write(s, &(sink_piece){.head = head});
    if (error) {
        connection_abort(c);
        return error;
    }
    if (c->paused)
        s->ops->pause(s, false);
    connection_free(c);
    *ret_sink = s;
    return 0;
}

static const exchange_ops http1_exchange_ops = {connection_answer, connection_switch};

/* Answers what never became an exchange, and closes. */
static void refuse(http1_connection *c, int status, str text)
{
    http_answer answer = {.status = status, .type = STR("text/plain; charset=utf-8"), .body = text};
    answer_plan plan = {.what = &answer, .fields = STR(""), .close = true};
    if (send_answer(c, &plan))
        connection_abort(c);
    else
        connection_end(c);
}

static void head_deadline(timer *t)
{
    http1_connection *c = CONTAINER(t, http1_connection, deadline);
    if (c->head)
        refuse(c, 408, STR("the request head took more than 10 s\n"));
    else
        connection_end(c);
}

/* -------------------------------------------------------------------------------------------------------- requests */

static void not_found(exchange *e, const route_match *match)
{
    http_answer answer = {.status = 404, .type = STR("text/plain; charset=utf-8"), .body = STR("not found\n")};
    if (match->other_method) {
        answer.status = 405;
        answer.body = STR("this path takes GET and HEAD only\n");
        exchange_add_field(e, STR("Allow"), STR("GET, HEAD"));
    } else if (match->needs_upgrade) {
        answer.status = 426;
        answer.body = STR("this path speaks WebSocket only\n");
        answer.close = answer.offer_websocket = true;
    }
    exchange_answer(e, &answer);
}

static bool has_body(const http1_head *head)
{
    return head->body == HTTP1_CHUNKED || (head->body == HTTP1_LENGTH && head->content_length);
}

/* Serves c->exchange, which may be answered, and the connection gone, afterwards. */
static void route_request(http1_connection *c, const http1_head *head, const char *at, bool upgrade)
{
    char path[HTTP1_MAX_LINE_BYTES + 1];
    str raw = {at + head->path_at, head->path_len};
    route_match match = {0};
    if (str_equal(raw, STR("*"))) { /* OPTIONS * asks about the server, not about a path */
        not_found(c->exchange, &match);
        return;
    }
    int64_t path_len = http1_decode_path(raw, path);
    if (path_len < 0) {
        exchange_refuse(c->exchange, 400, STR("malformed path\n"));
        return;
    }
    weft_request request = {.head = head, .bytes = at, .path = {path, (size_t)path_len}, .sink = c->sink};
    match = router_find(c->server->routes, c->port, http1_method(head, at), upgrade, request.path);
    request.route = match.found;
    if (match.found)
        match.found->spec.serve(c->exchange, &request, match.found->spec.user);
    else
        not_found(c->exchange, &match);
}

/* The head is complete: `at` holds its bytes. The connection may be gone afterwards. */
static void dispatch(http1_connection *c, const http1_head *head, const char *at)
{
    exchange *e = exchange_new(c->server->table, &c->server->net->loop->blocks, &http1_exchange_ops, c);
    if (!e) {
        connection_abort(c);
        return;
    }
    bool upgrade = ws_handshake_wanted(head, at);
    c->exchange = e;
    e->context = c->server->context;
    e->head_only = str_equal(http1_method(head, at), STR("HEAD"));
    c->minor_0 = head->minor == 0;
    c->keep_alive = head->keep_alive && !has_body(head) && !upgrade; /* a refused upgrade ends the connection */
    loop_cancel(c->server->net->loop, &c->deadline);
    route_request(c, head, at, upgrade);
}

static bool new_head(http1_connection *c)
{
    c->head = pool_get(&c->server->net->loop->blocks, sizeof *c->head, &c->head_block_bytes);
    if (!c->head)
        return false;
    *c->head = (http1_head){0};
    if (c->served)
        loop_arm(c->server->net->loop, &c->deadline, HTTP_HEAD_TIMEOUT_MS, head_deadline);
    return true;
}

static void stop_reading(http1_connection *c)
{
    if (c->paused)
        return;
    c->paused = true;
    c->sink->ops->pause(c->sink, true);
}

static bool too_much_unsent(const http1_connection *c)
{
    return c->sink->queued >= MAX_UNSENT_BYTES;
}

/* An answer is awaited, or the client does not take those that it has: what follows stays where it is, within bounds. */
static size_t hold_back(http1_connection *c, size_t len)
{
    if (!c->exchange) {
        stop_reading(c);
        c->sink->ops->notify(c->sink);
    } else if (len >= MAX_PIPELINED_BYTES) {
        stop_reading(c);
    }
    return 0;
}

static void connection_sent(void *owner)
{
    http1_connection *c = owner;
    if (c->exchange)
        return; /* its answer goes on reading */
    if (c->sink->queued > MAX_UNSENT_BYTES / 2)
        c->sink->ops->notify(c->sink);
    else
        go_on_reading(c);
}

static size_t connection_data(void *owner, char *at, size_t len)
{
    http1_connection *c = owner;
    if (c->exchange || too_much_unsent(c))
        return hold_back(c, len);
    if (!c->head && !new_head(c)) {
        connection_abort(c);
        return len;
    }
    size_t head_len;
    switch (http1_head_feed(c->head, at, len, &head_len)) {
    case HTTP1_MORE:
        return 0;
    case HTTP1_BAD:
        refuse(c, c->head->status, str_from(c->head->reason));
        return len;
    case HTTP1_DONE:
        break;
    }
    /* taken off the connection, which may be gone when the request has been served */
    pool *blocks = &c->server->net->loop->blocks;
    http1_head *head = c->head;
    size_t block_bytes = c->head_block_bytes;
    c->head = NULL;
    dispatch(c, head, at);
    pool_put(blocks, head, block_bytes);
    return head_len;
}

static void connection_eof(void *owner)
{
    http1_connection *c = owner;
    if (!c->exchange) /* else the answer goes out, and those to the requests behind it */
        connection_end(c);
}

static void connection_gone(void *owner, int error)
{
    (void)error;
    connection_free(owner);
}

static const sink_events http1_events = {
    .data = connection_data,
    .eof = connection_eof,
    .sent = connection_sent,
    .gone = connection_gone,
};

int http1_connection_open(http_server *server, sink *s, uint16_t port)
{
    http1_connection *c = mem_zero(sizeof *c);
    if (!c) {
        s->ops->abort(s);
        return -ENOMEM;
    }
    c->server = server;
    c->sink = s;
    c->port = port;
    list_append(&server->connections, &c->all);
    loop_arm(server->net->loop, &c->deadline, HTTP_HEAD_TIMEOUT_MS, head_deadline);
    sink_bind(s, &http1_events, c);
    return 0;
}

void http_server_init(http_server *server, net *n, slots *table, const router *routes, void *context)
{
    *server = (http_server){.net = n, .table = table, .routes = routes, .context = context};
    list_init(&server->connections);
}

void http_server_drain(http_server *server)
{
    server->draining = true;
    for (list_node *node = server->connections.next, *next; node != &server->connections; node = next) {
        http1_connection *c = CONTAINER(node, http1_connection, all);
        next = node->next;
        if (!c->exchange && !c->head)
            connection_end(c);
    }
}

void http_server_abort(http_server *server)
{
    for (list_node *node; (node = list_first(&server->connections));)
        connection_abort(CONTAINER(node, http1_connection, all));
}
