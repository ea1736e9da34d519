#include "transport/protocol_talk.h"

#include "base/mem.h"
#include "hub/rate.h"
#include "proto/json.h"
#include "proto/json_read.h"
#include "transport/protocol_private.h"
#include "transport/topic_resource.h"
#include <errno.h>
#include <inttypes.h>

/* One whose client speaks by requests of its own, and has to be found by them. */
typedef struct {
    speaker base;
    session session;
} found_speaker;

/* ------------------------------------------------------------------------------------------------------------- names */

static bool is_subscribing(const peer *p)
{
    return p->extra && p->extra->pending;
}

static const char *why_not_named(const peer *p)
{
    if (p->named)
        return "the server has given this client its name";
    if (p->n_subscriptions || p->listed || is_subscribing(p))
        return "a name is said before the first subscribe";
    return "a name is 1 to 255 bytes of UTF-8 without control characters";
}

static void take_hello(peer *p, const envelope *e)
{
    if (!e->name.at)
        return;
    int error = p->named ? WEFT_E_INVALID : peer_identify(p, e->name);
    if (error == WEFT_E_INVALID)
        talk_refuse(p, e->id, STR("invalid"), why_not_named(p));
    else if (error)
        talk_refuse_error(p, e->id, error);
}

/* ----------------------------------------------------------------------------------------------------------- envelopes */

/* Asks the program, who may close the peer meanwhile; it has no speaker then. */
static bool allowed(peer *p, const envelope *e, bool publish)
{
    const speaker *who = speaker_of(p);
    return access_allowed(&who->route->access, &(access_asker){.peer = p, .has_key = who->has_key}, e->topic, publish);
}

static void take_topical(peer *p, const envelope *e)
{
    bool writes = e->type == ENVELOPE_PUBLISH;
    char denial[TOPIC_DENIAL_BYTES];
    if (!topic_name_valid(e->topic)) {
        talk_refuse(p, e->id, STR("invalid"), "a topic is 1 to 255 bytes of UTF-8 without control characters");
    } else if (e->type == ENVELOPE_UNSUBSCRIBE) {
        talk_take_topical(p, e);
    } else if (!allowed(p, e, writes)) {
        peer_reached(p, LIMIT_ACCESS);
        topic_resource_denial(e->topic, writes, denial);
        talk_refuse(p, e->id, STR("forbidden"), denial);
    } else if (!p->leaving) {
        talk_take_topical(p, e);
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
        pong = saying_begin(STR("pong"), e->id);
        talk_answer(p, &pong);
        break;
    case ENVELOPE_PONG:
        break;
    case ENVELOPE_UNKNOWN:
        talk_refuse(p, e->id, STR("invalid"), "there is no such type of envelope");
        break;
    default:
        take_topical(p, e);
    }
}

static void take_read(peer *p, const envelope *e, int error)
{
    if (error)
        talk_refuse(p, e->id, STR("invalid"), e->problem);
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
    if (!has_room(p) || peer_rate_wait_ms(p) || talk_asks_too_much(p))
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
        talk_refuse(p, (str){NULL, 0}, STR("invalid"), "an envelope is a text message");
}

static void left(peer *p)
{
    asked_drop(p);
    mem_free(speaker_of(p));
}

static void found_left(peer *p)
{
    found_speaker *who = CONTAINER(speaker_of(p), found_speaker, base);
    session_remove(p->hub, &who->session);
    asked_drop(p);
    mem_free(who);
}

static const peer_handler_ops talking = {.receive = receive, .left = left, .presence = talk_tell_presence};
static const peer_handler_ops talking_found = {.receive = receive, .left = found_left, .presence = talk_tell_presence};

static void hang_on(peer *p, speaker *who, const speaker *what, const peer_handler_ops *ops)
{
    *who = *what;
    who->handler.ops = ops;
    p->handler = &who->handler;
}

static int say_hello(peer *p, const topics_route *route, str session_id)
{
    saying s = saying_begin(STR("hello"), (str){NULL, 0});
    str identity = peer_identity(p);
    uint32_t ping_ms = route->options.ping_interval_ms;
    if (session_id.len)
        saying_put_member(&s, STR(",\"session\":"), session_id);
    if (!identity.len)
        s.error = -ENOMEM;
    saying_put_member(&s, STR(",\"peer\":"), identity);
    if (!s.error && ping_ms != WEFT_NEVER)
        s.error = buf_printf(&s.text, ",\"ping\":%" PRIu32, ping_ms);
    return talk_say(p, &s);
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
