#include "app/call.h"
#include "hub/ask.h"
#include "hub/message.h"
#include "hub/presence.h"
#include "hub/timers.h"
#include <errno.h>

int weft_subscribe(weft_peer handle, const char *name, const char *from)
{
    int error;
    peer *p = call_here(handle.id, SLOT_PEER, &error);
    if (error)
        return error;
    if (!name)
        return WEFT_E_INVALID;
    if (p->leaving)
        return WEFT_E_CLOSED;
    error = hub_subscribe(p->hub, p, str_from(name), since_read(str_from(from)), NULL);
    if (!error)
        hub_serve(p->hub, p);
    else if (error == WEFT_E_TOO_LARGE)
        peer_refused(p);
    return error;
}

const char *weft_since(weft_peer handle)
{
    const peer *p = call_here(handle.id, SLOT_PEER, NULL);
    return p && !p->leaving ? peer_text(p) : NULL;
}

int weft_identify(weft_peer handle, const char *name)
{
    int error;
    peer *p = call_here(handle.id, SLOT_PEER, &error);
    if (error)
        return error;
    if (p->leaving)
        return WEFT_E_CLOSED;
    if (p->n_subscriptions || !name)
        return WEFT_E_INVALID;
    error = peer_identify(p, str_from(name));
    if (!error)
        p->named = true;
    return error;
}

/* What presence_list() calls for weft_presence(). */
typedef struct {
    void (*fn)(const char *name, void *user);
    void *user;
} lister;

static void list_name(str name, void *user)
{
    const lister *to = user;
    char text[PRESENCE_NAME_BYTES + 1];
    memcpy(text, name.at, name.len);
    text[name.len] = '\0';
    to->fn(text, to->user);
}

size_t weft_presence(weft *app, const char *name, void (*fn)(const char *name, void *user), void *user)
{
    const worker *w = app && name ? worker_driven(app) : NULL;
    if (!w)
        return 0;
    const topic *t = hub_find_topic(&w->hub, str_from(name));
    return t ? presence_list(t, fn ? list_name : NULL, &(lister){fn, user}) : 0;
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

int weft_publish_sized(weft *app, const char *name, const weft_message *message, const weft_publish_options *options,
                       size_t size)
{
    weft_publish_options known = {0};
    str name_text = str_from(name);
    blob *body;
    if (!app)
        return -ENOMEM;
    if (!message || !topic_name_valid(name_text))
        return WEFT_E_INVALID;
    if (options)
        memcpy(&known, options, size < sizeof known ? size : sizeof known);
    worker *here = worker_here(app);
    if (here && here->state == WORKER_STOPPED)
        return WEFT_E_CLOSED;
    bool utf8 = here && hub_knows_text(&here->hub, message->data);
    int error = message_blob(here ? &here->loop.blocks : NULL, message, utf8, &body);
    if (error)
        return error;
    if (here)
        return hub_publish(&here->hub, name_text, body, known.except.id, NULL);
    return hub_links_publish(&app->links, NULL, name_text, body, known.except.id);
}

int weft_publish_text(weft *app, const char *name, const char *text)
{
    return weft_publish(app, name, &(weft_message){.kind = WEFT_TEXT, .data = str_from(text)}, NULL);
}

/* ------------------------------------------------------------------------------------------------------- posts, timers */

static int run_post(worker *w, const call *c)
{
    c->fn(w->app, c->user);
    return 0;
}

int weft_post(weft *app, void (*fn)(weft *app, void *user), void *user)
{
    if (!app)
        return -ENOMEM;
    if (!fn)
        return WEFT_E_INVALID;
    return call_push(app->workers->loop.box, &(call_spec){.run = run_post, .fn = fn, .user = user});
}

static weft_timer start_timer(weft *app, const timer_spec *spec)
{
    if (!app || !spec->fn)
        return (weft_timer){0};
    worker *w = worker_driven(app);
    return w ? hub_timer_start(&w->hub, NULL, spec) : (weft_timer){0};
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
    worker *w = call_worker_unstarted(handle.id);
    int error;
    if (w)
        return hub_timer_cancel(&w->hub, handle);
    if (!call_here(handle.id, SLOT_TIMER, &error))
        return error;
    return hub_timer_cancel(&call_worker(handle.id)->hub, handle);
}
