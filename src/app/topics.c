#include "app/call.h"
#include "base/utf8.h"
#include "hub/timers.h"
#include "proto/json.h"
#include <errno.h>

int weft_subscribe(weft_peer handle, const char *name, const char *since)
{
    int error;
    peer *p = call_here(handle.id, SLOT_PEER, &error);
    if (error)
        return error;
    if (since || !name)
        return WEFT_E_INVALID;
    return p->leaving ? WEFT_E_CLOSED : hub_subscribe(p->hub, p, str_from(name));
}

int weft_unsubscribe(weft_peer handle, const char *name)
{
    int error;
    peer *p = call_here(handle.id, SLOT_PEER, &error);
    if (error)
        return error;
    if (!name)
        return WEFT_E_INVALID;
    hub_unsubscribe(p->hub, p, str_from(name));
    return 0;
}

/* ---------------------------------------------------------------------------------------------------------- publishing */

/* Checked, and JSON compacted, once for all who get it. 0 or an error. */
static int make_blob(pool *blocks, const weft_message *message, bool checked, blob **ret_body)
{
    str data = message->data;
    if (!call_str_valid(data) || !call_str_valid(message->event))
        return WEFT_E_INVALID;
    if (message->kind != WEFT_TEXT && message->kind != WEFT_JSON && message->kind != WEFT_BINARY)
        return WEFT_E_INVALID;
    if (message->kind == WEFT_TEXT && !checked && !utf8_valid(data.at, data.len))
        return WEFT_E_UTF8;
    int64_t compact_len = message->kind == WEFT_JSON ? json_check(data) : (int64_t)data.len;
    if (compact_len < 0)
        return WEFT_E_JSON;
    blob *body = blob_new(blocks, message->kind, message->event, data);
    if (!body)
        return -ENOMEM;
    if ((size_t)compact_len < data.len)
        body->data_len = json_compact(blob_data(body), body->bytes + body->event_len);
    *ret_body = body;
    return 0;
}

static int run_publish(weft *app, const call *c)
{
    uint64_t except;
    memcpy(&except, c->b.at, sizeof except);
    return hub_publish(&app->hub, c->a, blob_ref(c->body), except);
}

int weft_publish_sized(weft *app, const char *name, const weft_message *message, const weft_publish_options *options,
                       size_t size)
{
    weft_publish_options known = {0};
    str topic_name = str_from(name);
    blob *body;
    if (!app)
        return -ENOMEM;
    if (!message || !topic_name_valid(topic_name))
        return WEFT_E_INVALID;
    if (options)
        memcpy(&known, options, size < sizeof known ? size : sizeof known);
    bool here = loop_here() == &app->loop;
    if (here && app->state == APP_STOPPED)
        return WEFT_E_CLOSED;
    bool checked = here && hub_knows_text(&app->hub, message->data);
    int error = make_blob(here ? &app->loop.blocks : NULL, message, checked, &body);
    if (error)
        return error;
    if (here)
        return hub_publish(&app->hub, topic_name, body, known.except.id);
    str except = {(const char *)&known.except.id, sizeof known.except.id};
    return call_push(app->loop.box, &(call_spec){.run = run_publish, .body = body, .a = topic_name, .b = except});
}

int weft_publish_text(weft *app, const char *name, const char *text)
{
    return weft_publish(app, name, &(weft_message){.kind = WEFT_TEXT, .data = str_from(text)}, NULL);
}

/* ------------------------------------------------------------------------------------------------------- posts, timers */

static int run_post(weft *app, const call *c)
{
    c->fn(app, c->user);
    return 0;
}

int weft_post(weft *app, void (*fn)(weft *app, void *user), void *user)
{
    if (!app)
        return -ENOMEM;
    if (!fn)
        return WEFT_E_INVALID;
    return call_push(app->loop.box, &(call_spec){.run = run_post, .fn = fn, .user = user});
}

static weft_timer start_timer(weft *app, const timer_spec *spec)
{
    if (!app || !spec->fn)
        return (weft_timer){0};
    if (loop_driven(app->loop.index) != &app->loop && loop_unstarted(app->loop.index) != &app->loop)
        return (weft_timer){0};
    return hub_timer_start(&app->hub, NULL, spec);
}

weft_timer weft_after(weft *app, uint32_t ms, weft_timer_fn fn, void *user)
{
    return start_timer(app, &(timer_spec){.ms = ms, .fn = fn, .user = user});
}

weft_timer weft_every(weft *app, uint32_t ms, weft_timer_fn fn, void *user)
{
    return start_timer(app, &(timer_spec){.ms = ms, .repeat = true, .fn = fn, .user = user});
}

weft_timer weft_peer_after(weft_peer handle, uint32_t ms, weft_peer_timer_fn fn, void *user)
{
    peer *p = call_here(handle.id, SLOT_PEER, NULL);
    if (!p || !fn || p->leaving)
        return (weft_timer){0};
    return hub_timer_start(p->hub, p, &(timer_spec){.ms = ms, .peer_fn = fn, .user = user});
}

int weft_cancel(weft_timer handle)
{
    weft *app = call_app_unstarted(handle.id);
    int error;
    if (app)
        return hub_timer_cancel(&app->hub, handle);
    if (!call_here(handle.id, SLOT_TIMER, &error))
        return error;
    return hub_timer_cancel(&call_app(handle.id)->hub, handle);
}
