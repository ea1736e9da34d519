#include "transport/topics_route.h"

#include "base/mem.h"
#include "base/texts.h"
#include "proto/json_text.h"
#include <errno.h>
#include <stdio.h>

enum {
    MESSAGE_BYTES = 1 << 20,
    QUEUED_BYTES = 1 << 20,
    MAX_WAIT_MS = 60000,
    KEEP_ALIVE_MS = 15000,
    RETRY_MS = 2000,
    PING_INTERVAL_MS = 25000,
    PING_TIMEOUT_MS = 20000,
    SENTENCE_BYTES = 1024, /* of JSON: a topic's name takes half of that at most, with each byte escaped */
};

/* ---------------------------------------------------------------------------------------------------------- options */

static bool are_patterns(const char *const *list)
{
    for (; list && *list; list++)
        if (!topic_name_valid(str_from(*list)))
            return false;
    return true;
}

/* A field's value loses the spaces around it on its way. */
static bool can_be_sent(str key)
{
    return key.len && http1_is_value(key) && str_same(str_trim(key), key);
}

const char *topics_options_problem(const weft_topics_options *options)
{
    if (options->topic && !topic_name_valid(str_from(options->topic)))
        return "has a topic that is not 1 to 255 bytes of UTF-8 without control characters";
    if (!are_patterns(options->subscribe))
        return "has a subscribe pattern that is not 1 to 255 bytes of UTF-8 without control characters";
    if (!are_patterns(options->publish))
        return "has a publish pattern that is not 1 to 255 bytes of UTF-8 without control characters";
    if (options->publish_key && !can_be_sent(str_from(options->publish_key)))
        return "has a publish_key that is empty, begins or ends with a space, or holds control characters";
    return NULL;
}

static void default_size(size_t *value, size_t fallback)
{
    if (!*value)
        *value = fallback;
}

static void default_ms(uint32_t *value, uint32_t fallback)
{
    if (!*value)
        *value = fallback;
}

static void fill_defaults(weft_topics_options *o)
{
    default_size(&o->max_message_bytes, MESSAGE_BYTES);
    default_size(&o->max_queued_bytes, QUEUED_BYTES);
    default_ms(&o->max_wait_ms, MAX_WAIT_MS);
    default_ms(&o->keep_alive_ms, KEEP_ALIVE_MS);
    default_ms(&o->retry_ms, RETRY_MS);
    default_ms(&o->ping_interval_ms, PING_INTERVAL_MS);
    default_ms(&o->ping_timeout_ms, PING_TIMEOUT_MS);
}

/* 0 or -ENOMEM. */
static int copy_text(const char *text, const char **ret_copy)
{
    *ret_copy = text ? mem_copy_text(text, strlen(text)) : NULL;
    return text && !*ret_copy ? -ENOMEM : 0;
}

/* What the options point at, also when only some of it could be copied. 0 or -ENOMEM. */
static int copy_options(const weft_topics_options *from, weft_topics_options *to)
{
    *to = *from;
    int error = copy_text(from->topic, &to->topic);
    error |= copy_text(from->publish_key, &to->publish_key);
    error |= texts_copy(from->subscribe, &to->subscribe);
    error |= texts_copy(from->publish, &to->publish);
    return error | texts_copy(from->origins, &to->origins);
}

websocket_route *topics_route_websocket(topics_route *route, const char *const *subprotocols, size_t max_message_bytes)
{
    const weft_topics_options *o = &route->options;
    weft_websocket_options options = {
        .user = o->user,
        .peer_bytes = o->peer_bytes,
        .open = o->open,
        .close = o->close,
        .subprotocols = subprotocols,
        .origins = o->origins,
        .max_message_bytes = max_message_bytes,
        .max_queued_bytes = o->max_queued_bytes,
        .ping_interval_ms = o->ping_interval_ms,
        .ping_timeout_ms = o->ping_timeout_ms,
        .deflate = o->deflate,
        .max_messages_per_s = o->max_messages_per_s,
        .max_bytes_per_s = o->max_bytes_per_s,
    };
    route->websocket = websocket_route_new(&options);
    if (route->websocket)
        route->websocket->owner = route;
    return route->websocket;
}

topics_route *topics_route_new(const weft_topics_options *options)
{
    topics_route *route = mem_zero(sizeof *route);
    if (!route)
        return NULL;
    weft_topics_options *o = &route->options;
    route->refs = 1;
    if (copy_options(options, o)) {
        topics_route_free(route);
        return NULL;
    }
    fill_defaults(o);
    route->access = (access_rules){
        .subscribe = o->subscribe,
        .publish = o->publish,
        .key = o->publish_key,
        .allow = o->allow,
        .user = o->user,
    };
    route->rules = (peer_rules){
        .user = o->user,
        .peer_bytes = o->peer_bytes,
        .open = o->open,
        .close = o->close,
        .max_queued_bytes = o->max_queued_bytes,
        .max_messages_per_s = o->max_messages_per_s,
        .max_bytes_per_s = o->max_bytes_per_s,
    };
    return route;
}

void topics_route_free(void *user)
{
    topics_route *route = user;
    weft_topics_options *o = &route->options;
    if (--route->refs)
        return;
    if (route->websocket)
        websocket_route_free(route->websocket);
    mem_free((char *)(uintptr_t)o->topic);
    mem_free((char *)(uintptr_t)o->publish_key);
    texts_free(o->subscribe);
    texts_free(o->publish);
    texts_free(o->origins);
    mem_free(route);
}

/* --------------------------------------------------------------------------------------------------------- refusals */

void topics_refuse(exchange *e, int status, const char *sentence)
{
    char body[SENTENCE_BYTES] = "{\"error\":";
    str text = str_from(sentence);
    size_t len = strlen(body);
    if (json_text_len(text) + len + 1 > sizeof body)
        text = str_from(http1_phrase(status));
    len += json_text_put(body + len, text);
    body[len++] = '}';
    exchange_answer(e, &(http_answer){.status = status, .type = STR("application/json"), .body = {body, len}});
}

void topics_refuse_for_now(exchange *e, const char *sentence)
{
    exchange_add_field(e, STR("Retry-After"), STR("1"));
    topics_refuse(e, 503, sentence);
}

void topics_refuse_key(exchange *e)
{
    exchange_add_field(e, STR("WWW-Authenticate"), STR("Bearer"));
    exchange_blame(e, LIMIT_KEY);
    topics_refuse(e, 401, "this is not the publish key");
}

bool topics_refuse_session(exchange *e)
{
    const hub *h = e->context;
    char sentence[128];
    if (!sessions_are_full(h))
        return false;
    snprintf(sentence, sizeof sentence, "there are %zu sessions already, and may not be more (option: max_sessions)",
             h->max_sessions);
    exchange_blame(e, LIMIT_SESSIONS);
    topics_refuse(e, 503, sentence);
    return true;
}

void topics_refuse_error(exchange *e, hub *h, int error)
{
    char sentence[128];
    h->limit = NULL; /* is told here, and not with whoever leaves next */
    if (error == WEFT_E_INVALID) {
        topics_refuse(e, 400, "a topic's name is 1 to 255 bytes of UTF-8 without control characters");
    } else if (error == WEFT_E_TOO_LARGE) {
        snprintf(sentence, sizeof sentence, "there are %zu topics already, and may not be more (option: max_topics)",
                 h->max_topics);
        exchange_blame_counted(e, LIMIT_TOPICS); /* by the hub */
        topics_refuse(e, 503, sentence);
    } else if (error == WEFT_E_FULL) {
        topics_refuse_for_now(e, "the server has too much to do");
    } else if (error == WEFT_E_CLOSED) {
        topics_refuse_for_now(e, "the server is stopping");
    } else {
        topics_refuse(e, 503, "the server is out of memory");
    }
}
