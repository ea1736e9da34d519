#include "transport/protocol_talk.h"

#include "base/mem.h"
#include "hub/message.h"
#include "hub/rate.h"
#include "proto/envelope.h"
#include "proto/json.h"
#include "proto/json_read.h"
#include "proto/json_text.h"
#include "transport/topic_resource.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

enum { REFUSAL_BYTES = 160 };

/* What hangs on a peer that speaks weft.v1. */
typedef struct {
    peer_handler handler;
    const topics_route *route;
    bool has_key;
} speaker;

/* One whose client speaks by requests of its own, and has to be found by them. */
typedef struct {
    speaker base;
    session session;
} found_speaker;

static speaker *speaker_of(const peer *p)
{
    return CONTAINER(p->handler, speaker, handler);
}

/* ------------------------------------------------------------------------------------------------------------- saying */

/* An envelope being written. After -ENOMEM the rest does nothing, and say() closes the peer. */
typedef struct {
    buf text;
    int error;
} saying;

static void put(saying *s, str text)
{
    if (!s->error)
        s->error = buf_put_str(&s->text, text);
}

static void put_string(saying *s, str text)
{
    size_t len = json_text_len(text);
    if (!s->error)
        s->error = buf_reserve(&s->text, len);
    if (!s->error)
        s->text.len += json_text_put(s->text.at + s->text.len, text);
}

/* A member behind others: ,"name":"text". */
static void put_member(saying *s, str name, str text)
{
    put(s, name);
    put_string(s, text);
}

/* {"type":"…" and the id of what is answered. */
static saying begin(str type, str id)
{
    saying s = {0};
    put(&s, STR("{\"type\":"));
    put_string(&s, type);
    if (id.len) {
        put(&s, STR(",\"id\":"));
        put(&s, id);
    }
    return s;
}

static void put_cursor(saying *s, cursor at)
{
    char text[CURSOR_BYTES];
    put_member(s, STR(",\"cursor\":"), (str){text, cursor_put(at, text)});
}

static void put_count(saying *s, size_t count)
{
    if (!s->error)
        s->error = buf_printf(&s->text, ",\"count\":%zu", count);
}

/* Ends the envelope and sends it, behind what was published to the peer before; that may end it. A peer whose queue it fills is not read from until
 * that drains. */
static int say(peer *p, saying *s)
{
    put(s, STR("}"));
    int error = s->error;
    if (!error)
        hub_catch_up(p->hub, p);
    if (!error && !p->leaving) {
        error = p->ops->say(p, buf_str(&s->text));
        if (!error)
            peer_queued_result(p);
    }
    buf_done(&s->text);
    return error;
}

/* In answer to what the client sent: without memory it is closed. */
static void answer(peer *p, saying *s)
{
    if (say(p, s))
        peer_abort(p);
}

static void refuse(peer *p, str id, str code, const char *message)
{
    saying s = begin(STR("error"), id);
    put_member(&s, STR(",\"code\":"), code);
    put_member(&s, STR(",\"message\":"), str_from(message));
    answer(p, &s);
}

static void refuse_limit(peer *p, str id)
{
    const hub *h = p->hub;
    char sentence[REFUSAL_BYTES];
    if (peer_refused(p) == LIMIT_TOPICS)
        snprintf(sentence, sizeof sentence, "there are %zu topics already, and may not be more (option: max_topics)",
                 h->max_topics);
    else
        snprintf(sentence, sizeof sentence, "a client may subscribe to at most %u topics (option: max_subscriptions)",
                 (unsigned)h->max_subscriptions);
    refuse(p, id, STR("too-many"), sentence);
}

/* What the hub said no to. */
static void refuse_error(peer *p, str id, int error)
{
    if (error == WEFT_E_TOO_LARGE)
        refuse_limit(p, id);
    else
        refuse(p, id, STR("failed"), "the server is out of memory");
}

/* ----------------------------------------------------------------------------------------------------------- presence */

static void put_names(saying *s, str member, const str *names, size_t n)
{
    put(s, member);
    for (size_t i = 0; i < n; i++) {
        put(s, i ? STR(",") : STR(""));
        put_string(s, names[i]);
    }
    put(s, STR("]"));
}

/* What a watcher is told: whole lists, changes, or above a number of names just how many there are. */
static int tell_presence(peer *p, topic *t, const presence_change *change)
{
    saying s = begin(STR("presence"), (str){NULL, 0});
    put_member(&s, STR(",\"topic\":"), topic_name(t));
    put_count(&s, change->count);
    if (change->whole) {
        put_names(&s, STR(",\"members\":["), change->joined, change->n_joined);
    } else if (change->count <= PRESENCE_MAX_LISTED) {
        put_names(&s, STR(",\"joined\":["), change->joined, change->n_joined);
        put_names(&s, STR(",\"left\":["), change->left, change->n_left);
    }
    return say(p, &s);
}

typedef struct {
    saying *saying;
    bool more;
} lister;

static void list_name(str name, void *user)
{
    lister *l = user;
    put(l->saying, l->more ? STR(",") : STR(""));
    put_string(l->saying, name);
    l->more = true;
}

static void take_presence(peer *p, const envelope *e)
{
    const topic *t = hub_find_topic(p->hub, e->topic);
    saying s = begin(STR("presence"), e->id);
    put_member(&s, STR(",\"topic\":"), e->topic);
    size_t count = t ? presence_list(t, NULL, NULL) : 0;
    put_count(&s, count);
    if (count <= PRESENCE_MAX_LISTED) {
        put(&s, STR(",\"members\":["));
        if (t)
            presence_list(t, list_name, &(lister){&s, false});
        put(&s, STR("]"));
    }
    answer(p, &s);
}

/* ------------------------------------------------------------------------------------------------------------- topics */

/* Asks the program, who may close the peer meanwhile; it has no speaker then. */
static bool allowed(peer *p, const envelope *e, bool publish)
{
    const speaker *who = speaker_of(p);
    return access_allowed(&who->route->access, &(access_asker){.peer = p, .has_key = who->has_key}, e->topic, publish);
}

static void take_subscribe(peer *p, const envelope *e)
{
    subscribed done;
    hub_catch_up(p->hub, p); /* or a topic that it has already would not stand where the answer says */
    if (p->leaving)
        return;
    int error = hub_subscribe(p->hub, p, e->topic, since_read(e->since), &done);
    if (error) {
        refuse_error(p, e->id, error);
        return;
    }
    saying s = begin(STR("subscribed"), e->id);
    put_member(&s, STR(",\"topic\":"), e->topic);
    put_cursor(&s, done.at);
    put(&s, done.gap ? STR(",\"gap\":true") : STR(",\"gap\":false"));
    answer(p, &s);
    if (!p->leaving && e->presence && presence_watch(done.topic, p))
        peer_abort(p);
    if (!p->leaving)
        hub_serve(p->hub, p);
}

static void take_unsubscribe(peer *p, const envelope *e)
{
    hub_unsubscribe(p->hub, p, e->topic);
    saying s = begin(STR("unsubscribed"), e->id);
    put_member(&s, STR(",\"topic\":"), e->topic);
    answer(p, &s);
}

/* 0 and *ret_done, or an error. */
static int publish(peer *p, const envelope *e, publication *ret_done)
{
    blob *body;
    weft_message message = {.kind = e->kind, .data = e->data, .event = e->event};
    int error = message_blob(&p->hub->loop->blocks, &message, true, &body);
    return error ? error : hub_publish(p->hub, e->topic, body, 0, ret_done);
}

static void refuse_data(peer *p, const envelope *e, size_t limit)
{
    char sentence[REFUSAL_BYTES];
    peer_reached(p, LIMIT_MESSAGE_BYTES);
    snprintf(sentence, sizeof sentence, "the data is %zu bytes, and may be %zu (option: max_message_bytes)",
             e->data.len, limit);
    refuse(p, e->id, STR("too-large"), sentence);
}

static void confirm(peer *p, const envelope *e, cursor at)
{
    saying s = begin(STR("published"), e->id);
    put_cursor(&s, at);
    answer(p, &s);
}

static void take_publish(peer *p, const envelope *e)
{
    publication done;
    size_t limit = speaker_of(p)->route->options.max_message_bytes;
    if (e->data.len > limit) {
        refuse_data(p, e, limit);
    } else if (!topic_event_valid(e->event)) {
        refuse(p, e->id, STR("invalid"), "an event is at most 255 bytes of UTF-8 without CR, LF or NUL");
    } else {
        int error = publish(p, e, &done);
        if (error)
            refuse_error(p, e->id, error);
        else if (e->id.len && !p->leaving)
            confirm(p, e, done.at);
    }
}

static const char *why_not_named(const peer *p)
{
    if (p->named)
        return "the server has given this client its name";
    if (p->n_subscriptions || p->listed)
        return "a name is said before the first subscribe";
    return "a name is 1 to 255 bytes of UTF-8 without control characters";
}

static void take_hello(peer *p, const envelope *e)
{
    if (!e->name.at)
        return;
    int error = p->named ? WEFT_E_INVALID : peer_identify(p, e->name);
    if (error == WEFT_E_INVALID)
        refuse(p, e->id, STR("invalid"), why_not_named(p));
    else if (error)
        refuse_error(p, e->id, error);
}

/* ----------------------------------------------------------------------------------------------------------- envelopes */

static void take_allowed(peer *p, const envelope *e)
{
    if (e->type == ENVELOPE_PUBLISH)
        take_publish(p, e);
    else if (e->type == ENVELOPE_SUBSCRIBE)
        take_subscribe(p, e);
    else
        take_presence(p, e);
}

static void take_topical(peer *p, const envelope *e)
{
    bool writes = e->type == ENVELOPE_PUBLISH;
    char denial[TOPIC_DENIAL_BYTES];
    if (!topic_name_valid(e->topic)) {
        refuse(p, e->id, STR("invalid"), "a topic is 1 to 255 bytes of UTF-8 without control characters");
    } else if (e->type == ENVELOPE_UNSUBSCRIBE) {
        take_unsubscribe(p, e);
    } else if (!allowed(p, e, writes)) {
        peer_reached(p, LIMIT_ACCESS);
        topic_resource_denial(e->topic, writes, denial);
        refuse(p, e->id, STR("forbidden"), denial);
    } else if (!p->leaving) {
        take_allowed(p, e);
    }
}

static void take(peer *p, const envelope *e)
{
    saying pong;
    switch (e->type) {
    case ENVELOPE_HELLO:
        take_hello(p, e);
        break;
    case ENVELOPE_PING:
        pong = begin(STR("pong"), e->id);
        answer(p, &pong);
        break;
    case ENVELOPE_PONG:
        break;
    case ENVELOPE_UNKNOWN:
        refuse(p, e->id, STR("invalid"), "there is no such type of envelope");
        break;
    default:
        take_topical(p, e);
    }
}

static void take_read(peer *p, const envelope *e, int error)
{
    if (error)
        refuse(p, e->id, STR("invalid"), e->problem);
    else
        take(p, e);
}

void talk_take(peer *p, char *at, size_t len)
{
    envelope e;
    int error = envelope_read(at, len, &e);
    take_read(p, &e, error);
}

/* What topics send fills a queue once at most: the rest is for answers, so that who is slow to take the one can speak all the same. */
static bool has_room(const peer *p)
{
    return p->ops->queued(p) / 2 < p->rules->max_queued_bytes;
}

/* One of a request's: it counts as a message, as one on a WebSocket does. False: there is no room for its answer, or it comes too soon, and it was not
 * taken. */
static bool take_value(peer *p, str value)
{
    envelope e;
    if (!has_room(p) || peer_rate_wait_ms(p))
        return false;
    peer_count_in(p, value.len);
    int error = envelope_read_value((char *)(uintptr_t)value.at, value.len, &e);
    take_read(p, &e, error);
    return true;
}

bool talk_take_all(peer *p, char *at, size_t len, size_t *ret_taken)
{
    str rest = {at, len}, value;
    *ret_taken = 0;
    if (json_type(rest) != JSON_ARRAY)
        return take_value(p, rest);
    for (rest = json_begin(rest); !p->leaving && json_next_element(&rest, &value); ++*ret_taken)
        if (!take_value(p, value))
            return false;
    return true;
}

/* ---------------------------------------------------------------------------------------------------------------- life */

/* From a carrier that brings messages: a WebSocket. The bytes lie in a buffer of ours, which nobody reads again. */
static void receive(peer *p, const weft_message *message)
{
    if (message->kind == WEFT_TEXT)
        talk_take(p, (char *)(uintptr_t)message->data.at, message->data.len);
    else
        refuse(p, (str){NULL, 0}, STR("invalid"), "an envelope is a text message");
}

static void left(peer *p)
{
    mem_free(speaker_of(p));
}

static void found_left(peer *p)
{
    found_speaker *who = CONTAINER(speaker_of(p), found_speaker, base);
    session_remove(p->hub, &who->session);
    mem_free(who);
}

static const peer_handler_ops talking = {.receive = receive, .left = left, .presence = tell_presence};
static const peer_handler_ops talking_found = {.receive = receive, .left = found_left, .presence = tell_presence};

static void hang_on(peer *p, speaker *who, const speaker *what, const peer_handler_ops *ops)
{
    *who = *what;
    who->handler.ops = ops;
    p->handler = &who->handler;
}

static int say_hello(peer *p, const topics_route *route, str session_id)
{
    saying s = begin(STR("hello"), (str){NULL, 0});
    str identity = peer_identity(p);
    uint32_t ping_ms = route->options.ping_interval_ms;
    if (session_id.len)
        put_member(&s, STR(",\"session\":"), session_id);
    if (!identity.len)
        s.error = -ENOMEM;
    put_member(&s, STR(",\"peer\":"), identity);
    if (!s.error && ping_ms != WEFT_NEVER)
        s.error = buf_printf(&s.text, ",\"ping\":%" PRIu32, ping_ms);
    return say(p, &s);
}

int talk_begin(peer *p, const topics_route *route, bool has_key, str session_id)
{
    speaker *who = mem_new(sizeof *who);
    if (!who)
        return -ENOMEM;
    hang_on(p, who, &(speaker){.route = route, .has_key = has_key}, &talking);
    return say_hello(p, route, session_id);
}

int talk_begin_session(peer *p, const topics_route *route, bool has_key)
{
    found_speaker *who = mem_zero(sizeof *who);
    if (!who)
        return -ENOMEM;
    hang_on(p, &who->base, &(speaker){.route = route, .has_key = has_key}, &talking_found);
    int error = session_add(p->hub, &who->session, p, route);
    return error ? error : say_hello(p, route, (str){who->session.id, sizeof who->session.id});
}
