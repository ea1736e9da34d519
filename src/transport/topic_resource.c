#include "transport/topic_resource.h"

#include "proto/form.h"
#include "transport/poll.h"
#include "transport/topic_writer.h"
#include <errno.h>
#include <stdio.h>

enum { DEFAULT_WAIT_MS = 25000 }; /* of a session's poll */

/* ------------------------------------------------------------------------------------------------ what is asked for */

static str topic_of(const topics_route *route, const weft_request *request)
{
    if (route->options.topic)
        return str_from(route->options.topic);
    str name = weft_request_param(request, "topic");
    return name.at ? name : weft_request_param(request, "*");
}

str topic_media_type(str field)
{
    const char *end = field.len ? memchr(field.at, ';', field.len) : NULL;
    return str_trim(end ? (str){field.at, (size_t)(end - field.at)} : field);
}

bool topic_media_is_json(str type)
{
    str suffix = STR("+json");
    if (str_equal_nocase(type, STR("application/json")))
        return true;
    return type.len > suffix.len && str_equal_nocase((str){type.at + type.len - suffix.len, suffix.len}, suffix);
}

bool topic_media_is_lines(str type)
{
    static const str names[] = {{"application/x-ndjson", 20},
                                {"application/ndjson", 18},
                                {"application/jsonl", 17},
                                {"application/x-jsonl", 19}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (str_equal_nocase(type, names[i]))
            return true;
    return false;
}

typedef enum {
    WANTS_POLL,
    WANTS_EVENTS,
    WANTS_LINES,
} wanted;

/* The first type of the list that says how: "anything" and a browser's text/html do not. False when there is none. */
static bool wanted_in(str list, wanted *ret)
{
    str element;
    while (http1_list_next(&list, &element)) {
        str type = topic_media_type(element);
        if (str_equal_nocase(type, STR("text/event-stream")))
            *ret = WANTS_EVENTS;
        else if (topic_media_is_lines(type))
            *ret = WANTS_LINES;
        else if (topic_media_is_json(type))
            *ret = WANTS_POLL;
        else
            continue;
        return true;
    }
    return false;
}

static wanted wanted_by(const weft_request *request)
{
    wanted result = WANTS_POLL;
    wanted_in(weft_request_header(request, "Accept"), &result);
    return result;
}

/* ---------------------------------------------------------------------------------------------------------- who may */

bool topic_resource_asker(exchange *e, const weft_request *request, const topics_route *route, access_asker *ret_asker)
{
    access_key key = access_look(&route->access, request);
    if (key == ACCESS_WRONG_KEY) {
        topics_refuse_key(e);
        return false;
    }
    *ret_asker = (access_asker){.request = request, .has_key = key == ACCESS_KEY};
    return true;
}

void topic_resource_denial(str name, bool publish, char ret_sentence[TOPIC_DENIAL_BYTES])
{
    snprintf(ret_sentence, TOPIC_DENIAL_BYTES, "the topic \"%.*s\" may not be %s here", (int)name.len, name.at,
             publish ? "published to" : "read");
}

str topic_resource_enter(exchange *e, const weft_request *request, const topics_route *route, bool publish)
{
    access_asker asker;
    char sentence[TOPIC_DENIAL_BYTES];
    str name = topic_of(route, request);
    if (!topic_resource_asker(e, request, route, &asker))
        return (str){NULL, 0};
    if (!topic_name_valid(name)) {
        topics_refuse_error(e, e->context, WEFT_E_INVALID);
        return (str){NULL, 0};
    }
    if (!access_allowed(&route->access, &asker, name, publish)) {
        topic_resource_denial(name, publish, sentence);
        exchange_blame(e, LIMIT_ACCESS);
        topics_refuse(e, 403, sentence);
        return (str){NULL, 0};
    }
    return name;
}

/* -------------------------------------------------------------------------------------------------------- WebSocket */

/* What came before is queued now. 0 or an error. */
static int begin(peer *p, str name, str from)
{
    int error = hub_subscribe(p->hub, p, name, since_read(from), NULL);
    if (!error)
        hub_serve(p->hub, p);
    return error;
}

static void attach(peer *p, const weft_request *request, const void *owner)
{
    const topics_route *route = owner;
    str name = topic_of(route, request);
    bool has_key = access_look(&route->access, request) == ACCESS_KEY;
    if (topic_writer_attach(p, route, name, has_key) || begin(p, name, http_stream_since(request)))
        peer_abort(p);
}

void topic_resource_upgrade(exchange *e, const weft_request *request, void *user)
{
    const topics_route *route = user;
    topic *t;
    str name = topic_resource_enter(e, request, route, false);
    if (!name.at)
        return;
    int error = hub_topic(e->context, name, &t);
    if (error)
        topics_refuse_error(e, e->context, error);
    else
        websocket_serve(e, request, route->websocket);
}

/* ------------------------------------------------------------------------------------------------ streams and polls */

static void serve_stream(exchange *e, const weft_request *request, const http_stream_kind *kind, str name)
{
    str from = http_stream_since(request);
    exchange_add_field(e, STR("Vary"), STR("Accept"));
    if (e->head_only) {
        http_stream_head(e, kind);
        return;
    }
    peer *p = http_stream_open(e, kind, from);
    if (p && begin(p, name, from))
        peer_abort(p);
}

static void open_session(exchange *e, const weft_request *request, const topics_route *route, str name)
{
    str from = http_stream_since(request);
    if (topics_refuse_session(e))
        return;
    peer *p = poll_session_new(e->context, &route->polls, request, from);
    int error = p ? poll_session_begin_with(p, e, name, since_read(from)) : -ENOMEM;
    if (!error)
        return;
    if (p)
        peer_abort(p);
    topics_refuse_error(e, e->context, error);
}

/* Undecoded; at == NULL for a poll without one. HEAD asks about the topic: it opens no session, and acknowledges
 * nothing. */
static str asked_session(const exchange *e, const weft_request *request)
{
    return e->head_only ? (str){NULL, 0} : form_find(weft_request_query(request), STR("session"));
}

static void serve_session(exchange *e, const weft_request *request, const topics_route *route, str name)
{
    exchange_add_field(e, STR("Vary"), STR("Accept"));
    if (form_equal(asked_session(e, request), STR("new")))
        open_session(e, request, route, name);
    else
        poll_session_poll(e->context, &route->polls, e, request);
}

static void serve_by(exchange *e, const weft_request *request, const topics_route *route, str name)
{
    wanted how = wanted_by(request);
    if (how != WANTS_POLL)
        serve_stream(e, request, how == WANTS_EVENTS ? &route->events : &route->lines, name);
    else if (asked_session(e, request).at)
        serve_session(e, request, route, name);
    else
        poll_serve(e, request, name, route->options.max_wait_ms);
}

void topic_resource_get(exchange *e, const weft_request *request, void *user)
{
    const topics_route *route = user;
    topic *t;
    str name = topic_resource_enter(e, request, route, false);
    if (!name.at)
        return;
    int error = hub_topic(e->context, name, &t);
    if (error)
        topics_refuse_error(e, e->context, error);
    else
        serve_by(e, request, route, name);
}

/* ----------------------------------------------------------------------------------------------------------- set-up */

static int init_websocket(topics_route *route)
{
    websocket_route *carrier = topics_route_websocket(route, NULL, route->options.max_message_bytes);
    if (!carrier)
        return -ENOMEM;
    carrier->format = WIRE_WEBSOCKET;
    carrier->attach = attach;
    return 0;
}

int topic_resource_init(topics_route *route)
{
    const weft_topics_options *o = &route->options;
    route->events = (http_stream_kind){
        .rules = route->rules,
        .encoding = &encoding_sse,
        .format = WIRE_SSE,
        .transport = WEFT_TRANSPORT_SSE,
        .keep_alive_ms = o->keep_alive_ms,
        .retry_ms = o->retry_ms,
    };
    route->lines = route->events;
    route->lines.encoding = &encoding_line;
    route->lines.format = WIRE_LINE;
    route->lines.transport = WEFT_TRANSPORT_STREAM;
    route->lines.retry_ms = WEFT_NEVER; /* nothing in a line could say it */
    route->polls = (poll_session_kind){
        .rules = route->rules,
        .encoding = &encoding_object,
        .format = WIRE_OBJECT,
        .list = "messages",
        .max_wait_ms = o->max_wait_ms,
        .default_wait_ms = DEFAULT_WAIT_MS,
        .route = route,
    };
    return init_websocket(route);
}
