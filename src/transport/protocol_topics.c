#include "hub/ask.h"
#include "hub/message.h"
#include "transport/protocol_private.h"
#include <errno.h>
#include <stdio.h>

/* ----------------------------------------------------------------------------------------------------------- presence */

static void put_names(saying *s, str member, const str *names, size_t n)
{
    saying_put(s, member);
    for (size_t i = 0; i < n; i++) {
        saying_put(s, i ? STR(",") : STR(""));
        saying_put_string(s, names[i]);
    }
    saying_put(s, STR("]"));
}

/* What a watcher is told: whole lists, changes, or above a number of names just how many there are. */
int talk_tell_presence(peer *p, topic *t, const presence_change *change)
{
    saying s = saying_begin(STR("presence"), (str){NULL, 0});
    saying_put_member(&s, STR(",\"topic\":"), topic_name(t));
    saying_put_count(&s, change->count);
    if (change->whole) {
        put_names(&s, STR(",\"members\":["), change->joined, change->n_joined);
    } else if (change->count <= PRESENCE_MAX_LISTED) {
        put_names(&s, STR(",\"joined\":["), change->joined, change->n_joined);
        put_names(&s, STR(",\"left\":["), change->left, change->n_left);
    }
    return talk_say(p, &s);
}

typedef struct {
    saying *saying;
    bool more;
} lister;

static void list_name(str name, void *user)
{
    lister *l = user;
    saying_put(l->saying, l->more ? STR(",") : STR(""));
    saying_put_string(l->saying, name);
    l->more = true;
}

static void say_presence(peer *p, str id, str name, const topic *t)
{
    saying s = saying_begin(STR("presence"), id);
    saying_put_member(&s, STR(",\"topic\":"), name);
    size_t count = t ? presence_list(t, NULL, NULL) : 0;
    saying_put_count(&s, count);
    if (count <= PRESENCE_MAX_LISTED) {
        saying_put(&s, STR(",\"members\":["));
        if (t)
            presence_list(t, list_name, &(lister){&s, false});
        saying_put(&s, STR("]"));
    }
    talk_answer(p, &s);
}

/* ------------------------------------------------------------------------------------------------------------ waiting */

/* What is asked of a topic, now or once others have been answered: then `slot` is what kept it, else NULL. */
typedef struct {
    envelope_type type;
    str topic, id;
    since from;
    bool presence;
    asked *slot;
} question;

static bool begin_question(peer *p, const question *q);

/* What waited behind an answer of the topic, until another loop has to be asked again. */
static void go_on(peer *p, str name)
{
    for (asked *a; !p->leaving && (a = asked_of(p, name)) != NULL && a->waits;) {
        asked_take(a); /* the peer may leave meanwhile */
        question q = {a->type, asked_topic(a), asked_id(a), a->from, a->presence, a};
        if (begin_question(p, &q))
            return;
        asked_free(a);
    }
}

/* It has been answered. */
static void end_asked(asked *a)
{
    peer *p = a->peer;
    go_on(p, asked_topic(a));
    asked_free(a);
    asked_read_on(p);
}

/* The one that waits for another loop; NULL: no memory. It stands in front of what is behind it in its topic. */
static asked *keep(peer *p, const question *q)
{
    asked *a = q->slot;
    if (!a)
        a = asked_new(p, &(envelope){.type = q->type, .topic = q->topic, .id = q->id, .presence = q->presence}, 0);
    if (!a)
        return NULL;
    a->waits = false;
    a->from = q->from;
    if (!(q->slot ? asked_put_first(a) : asked_put(a)))
        return a;
    if (!q->slot)
        asked_free(a);
    return NULL;
}

/* -------------------------------------------------------------------------------------------------------- subscribing */

static void say_subscribed(peer *p, str id, bool watches, const subscribed *done)
{
    saying s = saying_begin(STR("subscribed"), id);
    saying_put_member(&s, STR(",\"topic\":"), topic_name(done->topic));
    saying_put_cursor(&s, done->at);
    saying_put(&s, done->gap ? STR(",\"gap\":true") : STR(",\"gap\":false"));
    talk_answer(p, &s);
    if (!p->leaving && watches && presence_watch(done->topic, p))
        peer_abort(p);
    if (!p->leaving)
        hub_serve(p->hub, p);
}

static void subscribing_done(subscribing *pending, int error, const subscribed *done)
{
    asked *a = CONTAINER(pending, asked, subscribing);
    peer *p = a->peer;
    asked_take(a);
    if (!p->leaving && error)
        talk_refuse_error(p, asked_id(a), error);
    else if (!p->leaving)
        say_subscribed(p, asked_id(a), a->presence, done);
    end_asked(a);
}

/* True when it is pending; else it was answered. */
static bool await_subscription(peer *p, const question *q)
{
    asked *a = keep(p, q);
    int error = a ? 0 : -ENOMEM;
    if (a) {
        a->subscribing = (subscribing){.done = subscribing_done};
        error = hub_subscribe_await(p->hub, p, q->topic, q->from, &a->subscribing);
    }
    if (!error)
        return true;
    if (a)
        asked_take(a);
    talk_refuse_error(p, q->id, error);
    if (!q->slot)
        asked_free(a);
    return false;
}

static bool subscribe(peer *p, const question *q)
{
    subscribed done;
    hub_catch_up(p->hub, p); /* or a topic that it has already would not stand where the answer says */
    if (p->leaving)
        return false;
    int error = hub_subscribe(p->hub, p, q->topic, q->from, &done);
    if (error == HUB_PENDING)
        return await_subscription(p, q);
    if (error)
        talk_refuse_error(p, q->id, error);
    else
        say_subscribed(p, q->id, q->presence, &done);
    return false;
}

static void unsubscribe(peer *p, const question *q)
{
    hub_unsubscribe(p->hub, p, q->topic);
    saying s = saying_begin(STR("unsubscribed"), q->id);
    saying_put_member(&s, STR(",\"topic\":"), q->topic);
    talk_answer(p, &s);
}

/* ---------------------------------------------------------------------------------------------------- who is there now */

static void presence_ready(awaiter *waiting, topic *t, int error)
{
    asked *a = CONTAINER(waiting, asked, awaiter);
    peer *p = a->peer;
    asked_take(a);
    if (error)
        talk_refuse_error(p, asked_id(a), error);
    else
        say_presence(p, asked_id(a), asked_topic(a), t);
    end_asked(a);
}

/* True when it is awaited; else it was answered. */
static bool ask_presence(peer *p, const question *q)
{
    topic *t = hub_find_topic(p->hub, q->topic);
    int error = hub_is_away(p->hub, q->topic) ? hub_topic(p->hub, q->topic, &t) : 0;
    if (!error && (!t || topic_has_names(t))) {
        say_presence(p, q->id, q->topic, t);
        return false;
    }
    asked *a = error ? NULL : keep(p, q);
    if (!a) {
        talk_refuse_error(p, q->id, error ? error : -ENOMEM);
        return false;
    }
    a->awaiter = (awaiter){.ready = presence_ready, .names = true};
    topic_await(t, (since){.from = SINCE_NOW}, &a->awaiter);
    return true;
}

/* --------------------------------------------------------------------------------------------------------- publishing */

static void refuse_data(peer *p, const envelope *e, size_t limit)
{
    char sentence[REFUSAL_BYTES];
    peer_reached(p, LIMIT_MESSAGE_BYTES);
    snprintf(sentence, sizeof sentence, "the data is %zu bytes, and may be %zu (option: max_message_bytes)",
             e->data.len, limit);
    talk_refuse(p, e->id, STR("too-large"), sentence);
}

static void confirm(peer *p, str id, cursor at)
{
    saying s = saying_begin(STR("published"), id);
    saying_put_cursor(&s, at);
    talk_answer(p, &s);
}

/* What came of a publication. Without an id only errors are told. */
static void told(peer *p, str id, int error, const publication *done)
{
    if (error)
        talk_refuse_error(p, id, error);
    else if (id.len && !p->leaving)
        confirm(p, id, done->at);
}

/* One that is still there has still its questions. */
static void take_published(hub *h, uint64_t id, uint64_t number, int error, const publication *done)
{
    peer *p = slots_get(h->table, id, SLOT_PEER);
    asked *a = (asked *)(uintptr_t)number;
    if (!p || p->leaving)
        return;
    asked_take(a);
    told(p, asked_id(a), error, done);
    end_asked(a);
}

/* By way of its home. Takes the blob. 0 or an error, which is not told yet. */
static int ask_home(peer *p, const envelope *e, blob *body)
{
    publication done;
    asked *a = asked_new(p, e, e->data.len);
    if (!a || asked_put(a)) {
        asked_free(a);
        blob_unref(&p->hub->loop->blocks, body);
        return -ENOMEM;
    }
    publish_asker asker = {.id = p->id, .number = (uintptr_t)a, .answer = take_published};
    int error = hub_publish_ask(p->hub, e->topic, body, 0, &asker, &done);
    if (error == HUB_PENDING)
        return 0;
    asked_take(a);
    asked_free(a);
    asked_read_on(p);
    return error;
}

static void publish(peer *p, const envelope *e)
{
    blob *body;
    publication done;
    weft_message message = {.kind = e->kind, .data = e->data, .event = e->event};
    int error = message_blob(&p->hub->loop->blocks, &message, true, &body);
    bool away = hub_is_away(p->hub, e->topic);
    if (!error)
        error = away ? ask_home(p, e, body) : hub_publish(p->hub, e->topic, body, 0, &done);
    if (error || !away)
        told(p, e->id, error, &done);
}

static void take_publish(peer *p, const envelope *e)
{
    size_t limit = speaker_of(p)->route->options.max_message_bytes;
    if (e->data.len > limit)
        refuse_data(p, e, limit);
    else if (!topic_event_valid(e->event))
        talk_refuse(p, e->id, STR("invalid"), "an event is at most 255 bytes of UTF-8 without CR, LF or NUL");
    else
        publish(p, e);
}

/* ------------------------------------------------------------------------------------------------------------- taking */

/* True when another loop is asked, or has to be; else it was answered. */
static bool begin_question(peer *p, const question *q)
{
    if (q->type == ENVELOPE_SUBSCRIBE)
        return subscribe(p, q);
    if (q->type == ENVELOPE_PRESENCE)
        return ask_presence(p, q);
    unsubscribe(p, q);
    return false;
}

/* Behind what is asked of the same topic already. */
static void wait_behind(peer *p, const envelope *e)
{
    asked *a = asked_new(p, e, 0);
    if (a)
        a->waits = true;
    if (a && !asked_put(a))
        return;
    asked_free(a);
    talk_refuse_error(p, e->id, -ENOMEM);
}

void talk_take_topical(peer *p, const envelope *e)
{
    if (e->type == ENVELOPE_PUBLISH)
        take_publish(p, e);
    else if (asked_of(p, e->topic))
        wait_behind(p, e);
    else
        begin_question(p, &(question){e->type, e->topic, e->id, since_read(e->since), e->presence, NULL});
}
