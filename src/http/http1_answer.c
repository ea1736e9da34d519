#include "http/http1_private.h"

#include "base/mem.h"
#include "http/http_date.h"
#include <errno.h>
#include <time.h>
#include <unistd.h>

enum {
    MAX_DIGITS = 20,         /* of 64 bits */
    FIXED_HEAD_BYTES = 256,  /* all of a head but what programs put there */
    USUAL_HEAD_BYTES = 1024, /* on the stack */
};

static str http_date(http_server *server)
{
    uint64_t now_s = server->net->loop->now_ms / 1000;
    if (!server->date[0] || now_s != server->date_at_s) {
        http_date_put(time(NULL), server->date);
        server->date_at_s = now_s;
    }
    return str_from(server->date);
}

static bool status_has_body(int status)
{
    return status >= 200 && status != 204 && status != 304;
}

/* What the head of an answer says. */
typedef struct {
    const http_answer *what;
    str fields;
    int64_t length; /* of the body; negative: not known */
    bool close, minor_0, vary_origin;
} answer_head;

/* The head is written where head_room() bytes are known to fit. */

static char *put_number(char *at, uint64_t number)
{
    char digits[MAX_DIGITS];
    size_t n = 0;
    do
        digits[n++] = (char)('0' + number % 10);
    while (number /= 10);
    while (n)
        *at++ = digits[--n];
    return at;
}

static size_t head_room(const answer_head *h)
{
    return FIXED_HEAD_BYTES + h->what->type.len + h->fields.len;
}

static char *put_framing(char *at, const answer_head *h)
{
    if (!status_has_body(h->what->status))
        return at;
    if (h->length >= 0)
        return put_number(str_put(at, STR("\r\nContent-Length: ")), (uint64_t)h->length);
    return h->minor_0 ? at : str_put(at, STR("\r\nTransfer-Encoding: chunked"));
}

static char *put_connection(char *at, const answer_head *h)
{
    if (h->what->offer_websocket)
        return str_put(at, STR("\r\nUpgrade: websocket\r\nConnection: Upgrade, close"));
    if (h->close)
        return str_put(at, STR("\r\nConnection: close"));
    return h->minor_0 ? str_put(at, STR("\r\nConnection: keep-alive")) : at;
}

static char *put_head(char *at, http_server *server, const answer_head *h)
{
    at = put_number(str_put(at, STR("HTTP/1.1 ")), (uint64_t)h->what->status);
    at = str_put(str_put(at, STR(" ")), str_from(http1_phrase(h->what->status)));
    at = str_put(str_put(at, STR("\r\nDate: ")), http_date(server));
    if (h->what->type.len)
        at = str_put(str_put(at, STR("\r\nContent-Type: ")), h->what->type);
    at = put_connection(put_framing(at, h), h);
    if (h->vary_origin)
        at = str_put(at, STR("\r\nVary: Origin"));
    return str_put(str_put(str_put(at, STR("\r\n")), h->fields), STR("\r\n"));
}

static int write_answer(http1_connection *c, const answer_head *h, str body, chunk *owner)
{
    char usual[USUAL_HEAD_BYTES];
    char *at = head_room(h) <= sizeof usual ? usual : mem_new(head_room(h));
    if (!at)
        return -ENOMEM;
    str head = {at, (size_t)(put_head(at, c->server, h) - at)};
    int error = c->sink->ops->write(c->sink, &(sink_piece){.head = head, .body = body, .owner = owner});
    if (at != usual)
        mem_free(at);
    return error;
}

/* c->limit is set. */
static void refuse(http1_connection *c, int status, str reason)
{
    bool started = c->exchange && c->exchange->started;
    c->status = (uint16_t)status;
    c->why = reason.at;
    http_answer answer = {.status = status, .type = STR("text/plain; charset=utf-8")};
    answer_head head = {.what = &answer, .fields = STR(""), .length = (int64_t)reason.len, .close = true};
    http1_exchange_gone(c);
    if (started || write_answer(c, &head, c->head_only ? (str){NULL, 0} : reason,
                                NULL)) /* in the middle of an answer there is nothing to say */
        http1_abort(c);
    else
        http1_end(c);
}

/* The limit that a client has reached whose request could not even be served; none when it broke other rules. */
static void count_refusal(http1_connection *c, int status)
{
    c->limit = 0;
    if (status == 408)
        http1_reached(c, c->incoming ? LIMIT_BODY_RATE : LIMIT_HEAD_TIMEOUT);
    else if (status == 414)
        http1_reached(c, LIMIT_LINE_BYTES);
    else if (status == 431)
        http1_reached(c, LIMIT_HEAD_BYTES);
}

void http1_refuse(http1_connection *c, int status, str reason)
{
    count_refusal(c, status);
    refuse(c, status, reason);
}

void http1_refuse_body(http1_connection *c, const http_route *route)
{
    bool is_message = route->spec.body_is_message;
    http1_reached(c, is_message ? LIMIT_MESSAGE_BYTES : LIMIT_BODY_BYTES);
    refuse(c, 413,
           is_message ? STR("the message is too large (option: max_message_bytes)\n")
                      : STR("the request body is too large (option: max_body_bytes)\n"));
}

int http1_say_continue(http1_connection *c)
{
    return c->sink->ops->write(c->sink, &(sink_piece){.head = STR("HTTP/1.1 100 Continue\r\n\r\n")});
}

/* The answer is whole. An unread body would be taken for the next request: it ends the connection. */
static int finish(http1_connection *c, int error)
{
    bool close = !c->keep_alive || c->incoming || c->server->draining;
    exchange *e = c->exchange;
    c->exchange = NULL;
    exchange_free(e);
    c->served = true;
    if (error)
        http1_abort(c);
    else if (close)
        http1_end(c);
    else
        http1_next_request(c);
    return error;
}

/* Of a connection that goes on: its last line says it as well, unless this one has. */
static void tell_refusal(http1_connection *c, limit_id limit)
{
    net *n = c->server->net;
    char address[64] = "";
    if (!log_wanted(n->log) || !limit_tell(&n->limits, limit, n->loop->now_ms))
        return;
    c->sink->ops->address(c->sink, address, sizeof address);
    log_line(n->log, WEFT_LOG_INFO, "event=refuse transport=http address=%s status=%d limit=\"%s\"", address, c->status,
             limit_name(limit));
    c->limit = 0;
}

static void note_answer(http1_connection *c, const exchange *e, const http_answer *answer)
{
    c->status = (uint16_t)answer->status;
    c->why = "answered";
    if (answer->close || c->incoming || c->server->draining)
        c->keep_alive = false;
    if (e->blamed && !e->blame_counted)
        http1_reached(c, (limit_id)(e->blamed - 1));
    c->limit = e->blamed;
    if (c->limit && c->keep_alive)
        tell_refusal(c, (limit_id)(e->blamed - 1));
}

static int answer_whole(exchange *e, const http_answer *answer)
{
    http1_connection *c = e->carrier;
    note_answer(c, e, answer);
    answer_head head = {answer,         buf_str(&e->fields), (int64_t)answer->body.len,
                        !c->keep_alive, c->minor_0,          e->vary_origin};
    bool body = !e->head_only && status_has_body(answer->status);
    return finish(c, write_answer(c, &head, body ? answer->body : (str){NULL, 0}, body ? answer->owner : NULL));
}

static int answer_start(exchange *e, const http_answer *answer, int64_t length)
{
    http1_connection *c = e->carrier;
    note_answer(c, e, answer);
    if (length < 0 && c->minor_0)
        c->keep_alive = false; /* the end of the connection is the end of the body (RFC 9112 §6.3) */
    answer_head head = {answer, buf_str(&e->fields), length, !c->keep_alive, c->minor_0, e->vary_origin};
    if (!status_has_body(answer->status))
        e->head_only = true;
    c->chunked = length < 0 && !c->minor_0;
    int error = write_answer(c, &head, (str){NULL, 0}, NULL);
    if (error)
        return finish(c, error);
    e->started = true;
    return 0;
}

static int answer_write(exchange *e, str bytes)
{
    http1_connection *c = e->carrier;
    if (e->head_only)
        return 0;
    const sink_ops *ops = c->chunked ? &http1_body_sink_ops : c->sink->ops;
    int error = ops->write(c->sink, &(sink_piece){.body = bytes});
    if (!error && c->sink->queued >= EXCHANGE_MAX_QUEUED_BYTES)
        c->sink->ops->notify(c->sink);
    return error ? finish(c, error) : 0;
}

static int answer_write_file(exchange *e, int fd, uint64_t offset, uint64_t length)
{
    http1_connection *c = e->carrier;
    if (e->head_only || !length) {
        close(fd);
        return finish(c, 0);
    }
    int error = c->sink->ops->write_file(c->sink, fd, offset, length);
    if (!error) {
        c->sending_file = true;
        c->sink->ops->notify(c->sink);
    }
    return finish(c, error);
}

static int answer_end(exchange *e)
{
    http1_connection *c = e->carrier;
    int error = 0;
    if (c->chunked && !e->head_only)
        error = c->sink->ops->write(c->sink, &(sink_piece){.head = STR("0\r\n\r\n")});
    return finish(c, error);
}

static size_t answer_queued(const exchange *e)
{
    const http1_connection *c = e->carrier;
    return c->sink->queued;
}

/* Nobody reads the connection for another request afterwards, so it says that it will close. */
static int take_body(exchange *e, const http_answer *answer, sink **ret_sink)
{
    http1_connection *c = e->carrier;
    sink *s = c->sink;
    answer_head head = {answer, buf_str(&e->fields), -1, true, c->minor_0, e->vary_origin};
    int error = write_answer(c, &head, (str){NULL, 0}, NULL);
    if (error)
        return finish(c, error);
    if (!c->minor_0)
        s->ops = &http1_body_sink_ops;
    http1_go_on_reading(c);
    http1_let_go(c);
    *ret_sink = s;
    return 0;
}

static int switch_protocol(exchange *e, str head, sink **ret_sink)
{
    http1_connection *c = e->carrier;
    sink *s = c->sink;
    int error = s->ops->write(s, &(sink_piece){.head = head});
    if (error)
        return finish(c, error);
    http1_go_on_reading(c);
    http1_let_go(c);
    *ret_sink = s;
    return 0;
}

static void held_too_long(timer *t)
{
    exchange *e = CONTAINER(t, http1_connection, deadline)->exchange;
    e->held->late(e);
}

/* The connection's own deadline rests while an answer is awaited. */
static void wait_with(exchange *e, uint32_t ms)
{
    http1_connection *c = e->carrier;
    loop_arm(c->server->net->loop, &c->deadline, ms, held_too_long);
}

const exchange_ops http1_exchange_ops = {
    .answer = answer_whole,
    .start = answer_start,
    .write = answer_write,
    .write_file = answer_write_file,
    .end = answer_end,
    .queued = answer_queued,
    .take_body = take_body,
    .switch_protocol = switch_protocol,
    .wait = wait_with,
    .move = http1_move_to,
};
