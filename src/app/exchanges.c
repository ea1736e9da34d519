#include "app/call.h"
#include "proto/json.h"
#include <errno.h>

/* ------------------------------------------------------------------------------------------------- accept and reject */

static int accept_here(exchange *e, const char *subprotocol, bool plain)
{
    return e->held && e->held->accept ? e->held->accept(e, subprotocol, plain) : WEFT_E_INVALID;
}

static int run_accept(worker *w, const call *c)
{
    exchange *e = slots_get(&w->table, c->id, SLOT_EXCHANGE);
    return e ? accept_here(e, c->b_given ? c->b.at : NULL, c->number) : WEFT_E_CLOSED;
}

int weft_accept(weft_exchange handle, const char *subprotocol)
{
    return call_make(&(call_spec){.run = run_accept, .id = handle.id, .b = str_from(subprotocol)});
}

int weft_accept_plain(weft_exchange handle, const char *subprotocol)
{
    return call_make(&(call_spec){.run = run_accept, .id = handle.id, .number = true, .b = str_from(subprotocol)});
}

/* 204 says no by having nothing to say, not even a type. */
static int reject_here(exchange *e, int status, str text)
{
    if (e->held && e->held->reject)
        return e->held->reject(e, status, text);
    if (status == 204)
        return exchange_answer(e, &(http_answer){.status = status, .close = true});
    return exchange_refuse(e, status, text);
}

static int run_reject(worker *w, const call *c)
{
    exchange *e = slots_get(&w->table, c->id, SLOT_EXCHANGE);
    return e ? reject_here(e, c->number, c->a) : WEFT_E_CLOSED;
}

int weft_reject(weft_exchange handle, int status, const char *text)
{
    if (status != 204 && (status < 400 || status > 599))
        return WEFT_E_INVALID;
    return call_make(&(call_spec){.run = run_reject, .id = handle.id, .number = status, .a = str_from(text)});
}

/* ------------------------------------------------------------------------------------------------------------- answers */

static int run_header(worker *w, const call *c)
{
    exchange *e = slots_get(&w->table, c->id, SLOT_EXCHANGE);
    return e ? exchange_add_field(e, c->a, c->b) : WEFT_E_CLOSED;
}

int weft_header(weft_exchange handle, const char *name, const char *value)
{
    str key = str_from(name), text = str_from(value);
    if (!exchange_field_allowed(key, text))
        return WEFT_E_INVALID;
    return call_make(&(call_spec){.run = run_header, .id = handle.id, .a = key, .b = text});
}

static int answer_here(exchange *e, int status, str type, str body)
{
    return exchange_answer(e, &(http_answer){.status = status, .type = type, .body = body, .close = e->held});
}

static int run_answer(worker *w, const call *c)
{
    exchange *e = slots_get(&w->table, c->id, SLOT_EXCHANGE);
    return e ? answer_here(e, c->number, c->a, c->b) : WEFT_E_CLOSED;
}

int weft_answer(weft_exchange handle, int status, const char *type, const void *body, size_t len)
{
    str content_type = str_from(type), bytes = {body, len};
    if (status < 200 || status > 599 || !http1_is_value(content_type) || (len && !body))
        return WEFT_E_INVALID;
    return call_make(&(call_spec){.run = run_answer, .id = handle.id, .number = status, .a = content_type, .b = bytes});
}

int weft_answer_json(weft_exchange handle, int status, const char *json)
{
    str text = str_from(json);
    if (json_check(text) < 0)
        return WEFT_E_JSON;
    return weft_answer(handle, status, "application/json", text.at, text.len);
}

/* ------------------------------------------------------------------------------------------------------------- streams */

static int start_here(exchange *e, int status, str type)
{
    return exchange_start(e, &(http_answer){.status = status, .type = type});
}

static int run_start(worker *w, const call *c)
{
    exchange *e = slots_get(&w->table, c->id, SLOT_EXCHANGE);
    return e ? start_here(e, c->number, c->a) : WEFT_E_CLOSED;
}

int weft_answer_start(weft_exchange handle, int status, const char *type)
{
    str content_type = str_from(type);
    if (status < 200 || status > 599 || !http1_is_value(content_type))
        return WEFT_E_INVALID;
    return call_make(&(call_spec){.run = run_start, .id = handle.id, .number = status, .a = content_type});
}

static int run_write(worker *w, const call *c)
{
    exchange *e = slots_get(&w->table, c->id, SLOT_EXCHANGE);
    if (!e)
        return WEFT_E_CLOSED;
    return c->travelled ? exchange_write_taken(e, c->a) : exchange_write(e, c->a);
}

int weft_answer_write(weft_exchange handle, const void *bytes, size_t len)
{
    str piece = {bytes, len};
    if (len && !bytes)
        return WEFT_E_INVALID;
    return call_make(&(call_spec){.run = run_write, .id = handle.id, .a = piece});
}

static int run_end(worker *w, const call *c)
{
    exchange *e = slots_get(&w->table, c->id, SLOT_EXCHANGE);
    return e ? exchange_end(e) : WEFT_E_CLOSED;
}

int weft_answer_end(weft_exchange handle)
{
    return call_make(&(call_spec){.run = run_end, .id = handle.id});
}
