#include "http/exchange.h"

#include "base/mem.h"
#include "proto/form.h"

#include <errno.h>

exchange *exchange_new(const exchange_home *home, const exchange_ops *ops, void *carrier)
{
    exchange *e = slabs_get(home->places, sizeof *e);
    if (!e)
        return NULL;
    e->home = home;
    e->ops = ops;
    e->carrier = carrier;
    e->id = slots_put(home->table, SLOT_EXCHANGE, e);
    if (!e->id) {
        slabs_put(home->places, e, sizeof *e);
        return NULL;
    }
    return e;
}

void exchange_close(exchange *e)
{
    if (!e->closed)
        slots_remove(e->home->table, e->id);
    e->closed = true;
}

void exchange_free(exchange *e)
{
    if (e->held)
        e->held->forget(e);
    exchange_close(e);
    buf_done(&e->fields);
    slabs_put(e->home->places, e, sizeof *e);
}

/* Fields that frame the message or belong to the handshake: a program that set them could make the answer lie about itself. */
static bool is_reserved(str name)
{
    static const str reserved[] = {
        {"connection", 10},        {"content-length", 14}, {"date", 4},
        {"transfer-encoding", 17}, {"upgrade", 7},         {"trailer", 7},
    };
    for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++)
        if (str_equal_nocase(name, reserved[i]))
            return true;
    return str_begins_nocase(name, STR("sec-websocket-"));
}

bool exchange_field_allowed(str name, str value)
{
    return http1_is_token(name) && http1_is_value(value) && !is_reserved(name);
}

int exchange_add_field(exchange *e, str name, str value)
{
    if (e->started || !exchange_field_allowed(name, value))
        return WEFT_E_INVALID;
    if (buf_reserve(&e->fields, name.len + value.len + 4))
        return -ENOMEM;
    buf_put_str(&e->fields, name);
    buf_put_str(&e->fields, STR(": "));
    buf_put_str(&e->fields, value);
    return buf_put_str(&e->fields, STR("\r\n"));
}

int exchange_answer(exchange *e, const http_answer *answer)
{
    return e->started ? WEFT_E_INVALID : e->ops->answer(e, answer);
}

int exchange_move(exchange *e, const weft_request *request, unsigned place)
{
    return e->started || e->held || !e->ops->move ? WEFT_E_INVALID : e->ops->move(e, request, place);
}

int exchange_start(exchange *e, const http_answer *answer)
{
    return e->started || e->held ? WEFT_E_INVALID : e->ops->start(e, answer, -1);
}

int exchange_write_taken(exchange *e, str bytes)
{
    if (!e->started)
        return WEFT_E_INVALID;
    int error = bytes.len ? e->ops->write(e, bytes) : 0;
    if (error || e->ops->queued(e) < EXCHANGE_MAX_QUEUED_BYTES)
        return error;
    e->want_drain = true;
    return WEFT_QUEUED;
}

int exchange_write(exchange *e, str bytes)
{
    if (!e->started || e->ops->queued(e) < EXCHANGE_MAX_QUEUED_BYTES)
        return exchange_write_taken(e, bytes);
    e->want_drain = true;
    return WEFT_E_FULL;
}

int exchange_end(exchange *e)
{
    return e->started ? e->ops->end(e) : WEFT_E_INVALID;
}

static bool names_any_origin(const char *const *allowed)
{
    for (; allowed && *allowed; allowed++)
        if (strcmp(*allowed, "*") == 0)
            return true;
    return false;
}

int exchange_allow_origin(exchange *e, str origin, const char *const *allowed)
{
    if (names_any_origin(allowed))
        return origin.at ? buf_put_str(&e->fields, STR("Access-Control-Allow-Origin: *\r\n")) : 0;
    e->vary_origin = true;
    if (!origin.at)
        return 0;
    int error = buf_put_str(&e->fields, STR("Access-Control-Allow-Origin: ")) | buf_put_str(&e->fields, origin);
    if (e->route && e->route->spec.no_credentials)
        return error | buf_put_str(&e->fields, STR("\r\n"));
    return error | buf_put_str(&e->fields, STR("\r\nAccess-Control-Allow-Credentials: true\r\n"));
}

void exchange_blame(exchange *e, limit_id limit)
{
    e->blamed = (uint8_t)(limit + 1);
    e->blame_counted = false;
}

void exchange_blame_counted(exchange *e, limit_id limit)
{
    exchange_blame(e, limit);
    e->blame_counted = true;
}

int exchange_refuse(exchange *e, int status, str text)
{
    http_answer answer = {
        .status = status,
        .type = STR("text/plain; charset=utf-8"),
        .body = text.len ? text : str_from(http1_phrase(status)),
        .close = true,
        .offer_websocket = status == 426,
    };
    return exchange_answer(e, &answer);
}

/* -------------------------------------------------------------------------------------------------- what was asked */

weft_str weft_request_method(const weft_request *request)
{
    return http1_method(request->head, request->bytes);
}

weft_str weft_request_path(const weft_request *request)
{
    return request->path;
}

weft_str weft_request_query(const weft_request *request)
{
    const http1_head *head = request->head;
    return head->query_len ? (str){request->bytes + head->query_at, head->query_len} : (str){NULL, 0};
}

weft_str weft_request_param(const weft_request *request, const char *name)
{
    return name ? route_param(request->route, request->path, name) : (str){NULL, 0};
}

weft_str weft_request_header(const weft_request *request, const char *name)
{
    return name ? http1_find(request->head, request->bytes, name) : (str){NULL, 0};
}

weft_str weft_request_cookie(const weft_request *request, const char *name)
{
    str cookies = http1_find(request->head, request->bytes, "Cookie");
    return name && cookies.at ? http1_cookie(cookies, str_from(name)) : (str){NULL, 0};
}

weft_str weft_request_address(const weft_request *request)
{
    weft_request *r = (weft_request *)(uintptr_t)request; /* the text is made when somebody wants it */
    if (!r->address_len)
        r->address_len = r->sink->ops->address(r->sink, r->address, sizeof r->address);
    return (str){r->address, r->address_len};
}

weft_str weft_request_body(const weft_request *request)
{
    return request->body;
}

struct request_text {
    struct request_text *next;
    char text[];
};

void request_done(weft_request *request)
{
    for (struct request_text *one = request->texts, *next; one; one = next) {
        next = one->next;
        mem_free(one);
    }
    request->texts = NULL;
}

/* Room that is kept for as long as the request; NULL when there is no memory. */
static char *keep_text(const weft_request *request, size_t room)
{
    weft_request *r = (weft_request *)(uintptr_t)request;
    struct request_text *one = mem_new(sizeof *one + room);
    if (!one)
        return NULL;
    one->next = r->texts;
    r->texts = one;
    return one->text;
}

static str keep_decoded(const weft_request *request, str raw)
{
    char *text = raw.at ? keep_text(request, raw.len + 1) : NULL;
    return text ? (str){text, form_decode(raw, text)} : (str){NULL, 0};
}

int weft_request_secure(const weft_request *request)
{
    return request->secure_at_proxy || request->sink->ops->secure(request->sink);
}

weft_str weft_request_client_subject(const weft_request *request)
{
    size_t len = request->sink->ops->client_subject(request->sink, NULL, 0);
    char *text = len ? keep_text(request, len + 1) : NULL;
    if (!text)
        return (weft_str){NULL, 0};
    request->sink->ops->client_subject(request->sink, text, len + 1);
    return (weft_str){text, len};
}

weft_str weft_request_query_value(const weft_request *request, const char *name)
{
    return keep_decoded(request, form_find(weft_request_query(request), str_from(name)));
}

/* True for the media type with or without parameters. */
static bool is_form(str type)
{
    str form = STR("application/x-www-form-urlencoded");
    if (!str_begins_nocase(type, form))
        return false;
    return type.len == form.len || type.at[form.len] == ';' || type.at[form.len] == ' ';
}

weft_str weft_request_form_value(const weft_request *request, const char *name)
{
    if (!is_form(weft_request_header(request, "Content-Type")))
        return (str){NULL, 0};
    return keep_decoded(request, form_find(request->body, str_from(name)));
}

weft_str weft_request_subprotocols(const weft_request *request)
{
    return weft_request_header(request, "Sec-WebSocket-Protocol");
}
