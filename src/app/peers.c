#include "app/call.h"
#include "base/rare.h"
#include "base/utf8.h"
#include "proto/json.h"
#include "proto/ws_frame.h"
#include <errno.h>

static peer *peer_of(uint64_t id, int *ret_error)
{
    return call_here(id, SLOT_PEER, ret_error);
}

/* ------------------------------------------------------------------------------------------------------------- sending */

static int run_send(worker *w, const call *c)
{
    peer *p = slots_get(&w->table, c->id, SLOT_PEER);
    weft_message message = {.kind = c->body->kind, .data = blob_data(c->body), .event = blob_event(c->body)};
    return p ? peer_send(p, &message) : WEFT_E_CLOSED;
}

/* What can be said without the loop. */
static int check_message(const weft_message *message)
{
    switch (message->kind) {
    case WEFT_TEXT:
        return utf8_valid(message->data.at, message->data.len) ? 0 : WEFT_E_UTF8;
    case WEFT_JSON:
        return json_check(message->data) < 0 ? WEFT_E_JSON : 0;
    case WEFT_BINARY:
        return 0;
    }
    return WEFT_E_INVALID;
}

static RARE int send_elsewhere(weft_peer handle, const weft_message *message)
{
    int error = check_message(message);
    if (error)
        return error;
    blob *body = blob_new(NULL, message->kind, message->event, message->data);
    return body ? call_to_handle(&(call_spec){.run = run_send, .id = handle.id, .body = body}) : -ENOMEM;
}

int weft_send(weft_peer handle, const weft_message *message)
{
    void *p;
    if (!message || !call_str_valid(message->data) || !call_str_valid(message->event))
        return WEFT_E_INVALID;
    if (message->event.len && !topic_event_valid(message->event))
        return WEFT_E_INVALID;
    switch (call_locate(handle.id, SLOT_PEER, &p)) {
    case CALL_HERE:
        return peer_send(p, message);
    case CALL_GONE:
        return WEFT_E_CLOSED;
    case CALL_ELSEWHERE:
        break;
    }
    return send_elsewhere(handle, message);
}

int weft_send_text(weft_peer handle, const char *text)
{
    return weft_send(handle, &(weft_message){.kind = WEFT_TEXT, .data = str_from(text)});
}

int weft_send_data(weft_peer handle, weft_kind kind, const void *data, size_t len)
{
    return weft_send(handle, &(weft_message){.kind = kind, .data = {data, len}});
}

static int ping_here(peer *p, str payload)
{
    if (p->leaving)
        return WEFT_E_CLOSED;
    int error = p->ops->ping(p, payload);
    if (error == -ENOMEM)
        peer_abort(p);
    return error;
}

static int run_ping(worker *w, const call *c)
{
    peer *p = slots_get(&w->table, c->id, SLOT_PEER);
    return p ? ping_here(p, c->a) : WEFT_E_CLOSED;
}

int weft_ping(weft_peer handle, weft_str payload)
{
    if (!call_str_valid(payload))
        return WEFT_E_INVALID;
    if (payload.len > WS_MAX_CONTROL_BYTES)
        return WEFT_E_TOO_LARGE;
    return call_make(&(call_spec){.run = run_ping, .id = handle.id, .a = payload});
}

/* ------------------------------------------------------------------------------------------------------------- closing */

static int run_close(worker *w, const call *c)
{
    peer *p = slots_get(&w->table, c->id, SLOT_PEER);
    return p ? peer_close(p, c->number, c->a) : WEFT_E_CLOSED;
}

int weft_close(weft_peer handle, int code, const char *reason)
{
    str text = str_from(reason);
    if ((code && !ws_code_valid(code)) || (!code && text.len))
        return WEFT_E_INVALID;
    if (text.len > WS_MAX_REASON_BYTES)
        return WEFT_E_TOO_LARGE;
    if (!utf8_valid(text.at, text.len))
        return WEFT_E_UTF8;
    int wire_code = code ? code : WS_CODE_NONE;
    return call_make(&(call_spec){.run = run_close, .id = handle.id, .number = wire_code, .a = text});
}

static int abort_here(peer *p)
{
    if (p->leaving)
        return WEFT_E_CLOSED;
    peer_abort(p);
    return 0;
}

static int run_abort(worker *w, const call *c)
{
    peer *p = slots_get(&w->table, c->id, SLOT_PEER);
    return p ? abort_here(p) : WEFT_E_CLOSED;
}

int weft_abort(weft_peer handle)
{
    return call_make(&(call_spec){.run = run_abort, .id = handle.id});
}

/* --------------------------------------------------------------------------------------------------------- on its loop */

static int set_paused(weft_peer handle, bool paused)
{
    int error;
    peer *p = peer_of(handle.id, &error);
    if (p && p->leaving)
        error = WEFT_E_CLOSED;
    if (!error)
        peer_stop_reading(p, PAUSED_BY_PROGRAM, paused);
    return error;
}

int weft_pause(weft_peer handle)
{
    return set_paused(handle, true);
}

int weft_resume(weft_peer handle)
{
    return set_paused(handle, false);
}

size_t weft_queued(weft_peer handle)
{
    const peer *p = peer_of(handle.id, NULL);
    return p ? p->ops->queued(p) : 0;
}

weft *weft_of(weft_peer handle)
{
    return peer_of(handle.id, NULL) ? call_worker(handle.id)->app : NULL;
}

void *weft_user(weft_peer handle)
{
    const peer *p = peer_of(handle.id, NULL);
    return p ? p->rules->user : NULL;
}

void *weft_data(weft_peer handle)
{
    const peer *p = peer_of(handle.id, NULL);
    return p ? peer_data(p) : NULL;
}

int weft_peer_about_sized(weft_peer handle, weft_peer_info *ret_info, size_t size)
{
    int error;
    const peer *p = peer_of(handle.id, &error);
    if (error)
        return error;
    peer_counts n = peer_counted(p);
    weft_peer_info info = {
        .connected_ms = p->hub->loop->now_ms - p->opened_ms,
        .messages_in = n.messages_in,
        .messages_out = n.messages_out,
        .bytes_in = n.bytes_in,
        .bytes_out = n.bytes_out,
    };
    if (p->extra && p->extra->subject)
        memcpy(info.client_subject, p->extra->subject, strlen(p->extra->subject) + 1);
    p->ops->about(p, &info);
    memset(ret_info, 0, size);
    memcpy(ret_info, &info, size < sizeof info ? size : sizeof info);
    return 0;
}
