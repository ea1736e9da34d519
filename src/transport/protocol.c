#include "transport/protocol.h"

#include "http/conditions.h"
#include "hub/rate.h"
#include "proto/json.h"
#include "transport/poll.h"
#include "transport/protocol_talk.h"
#include "transport/topic_resource.h"
#include "weft_js.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

enum {
    LEASE_MS = 30000,
    DEFAULT_WAIT_MS = 25000,
    ENVELOPE_ROOM_BYTES = 4096, /* of an envelope, around twice its data: escapes and base64 make it longer */
};

/* ------------------------------------------------------------------------------------------------------------- set-up */

static void attach(peer *p, const weft_request *request, const void *owner);

static size_t envelope_limit(size_t data_bytes)
{
    return data_bytes < (SIZE_MAX - ENVELOPE_ROOM_BYTES) / 2 ? 2 * data_bytes + ENVELOPE_ROOM_BYTES : SIZE_MAX;
}

static int init_websocket(topics_route *route)
{
    static const char *const subprotocols[] = {"weft.v1", NULL};
    size_t most = envelope_limit(route->options.max_message_bytes);
    websocket_route *carrier = topics_route_websocket(route, subprotocols, most);
    if (!carrier)
        return -ENOMEM;
    carrier->encoding = &encoding_envelope;
    carrier->format = WIRE_ENVELOPE_WEBSOCKET;
    carrier->needs = "this path speaks weft.v1, which a client offers in Sec-WebSocket-Protocol\n";
    carrier->attach = attach;
    return 0;
}

int protocol_init(topics_route *route)
{
    const weft_topics_options *o = &route->options;
    route->events = (http_stream_kind){
        .rules = route->rules,
        .encoding = &encoding_envelope_sse,
        .format = WIRE_ENVELOPE_SSE,
        .transport = WEFT_TRANSPORT_SSE,
        .keep_alive_ms = o->keep_alive_ms,
        .retry_ms = o->retry_ms,
    };
    route->polls = (poll_session_kind){
        .rules = route->rules,
        .encoding = &encoding_envelope,
        .format = WIRE_ENVELOPE,
        .list = "envelopes",
        .lease_ms = LEASE_MS,
        .max_wait_ms = o->max_wait_ms,
        .default_wait_ms = DEFAULT_WAIT_MS,
        .route = route,
    };
    return init_websocket(route);
}

/* -------------------------------------------------------------------------------------------------------------- carriers */

static void attach(peer *p, const weft_request *request, const void *owner)
{
    const topics_route *route = owner;
    if (talk_begin(p, route, access_look(&route->access, request) == ACCESS_KEY, (str){NULL, 0}))
        peer_abort(p);
}

void protocol_upgrade(exchange *e, const weft_request *request, void *user)
{
    const topics_route *route = user;
    if (access_look(&route->access, request) == ACCESS_WRONG_KEY)
        topics_refuse_key(e);
    else
        websocket_serve(e, request, route->websocket);
}

static void open_stream(exchange *e, const topics_route *route, bool has_key)
{
    if (topics_refuse_session(e))
        return;
    peer *p = http_stream_open(e, &route->events, (str){NULL, 0});
    if (p && talk_begin_session(p, route, has_key))
        peer_abort(p);
}

static void open_polls(exchange *e, const weft_request *request, const topics_route *route, bool has_key)
{
    if (topics_refuse_session(e))
        return;
    peer *p = poll_session_new(e->context, &route->polls, request, (str){NULL, 0});
    int error = p ? talk_begin(p, route, has_key, poll_session_id(p)) : -ENOMEM;
    if (!error) {
        poll_session_begin(p, e);
        return;
    }
    if (p)
        peer_abort(p);
    topics_refuse(e, 503, "the server is out of memory");
}

static bool wants_events(const weft_request *request)
{
    str list = weft_request_header(request, "Accept"), element;
    while (http1_list_next(&list, &element))
        if (str_equal_nocase(topic_media_type(element), STR("text/event-stream")))
            return true;
    return false;
}

static void get_polls(exchange *e, const weft_request *request, const topics_route *route, bool has_key)
{
    char room[POLL_ASKED_BYTES];
    str id = poll_asked(request, "session", room);
    if (e->head_only) {
        exchange_add_field(e, STR("Allow"), STR("GET, POST"));
        topics_refuse(e, 405, "a poll changes its session, and so cannot be asked for by HEAD");
    } else if (!id.at) {
        topics_refuse(e, 400, "a poll names its session, or asks for one: session=new");
    } else if (str_equal(id, STR("new"))) {
        open_polls(e, request, route, has_key);
    } else {
        poll_session_poll(e->context, &route->polls, e, request);
    }
}

/* What it answers with is for nobody else, and not to be kept: so it need not say what it depends on (Vary). */
void protocol_get(exchange *e, const weft_request *request, void *user)
{
    const topics_route *route = user;
    access_key key = access_look(&route->access, request);
    if (key == ACCESS_WRONG_KEY)
        topics_refuse_key(e);
    else if (!wants_events(request))
        get_polls(e, request, route, key == ACCESS_KEY);
    else if (e->head_only)
        http_stream_head(e, &route->events);
    else
        open_stream(e, route, key == ACCESS_KEY);
}

static void refuse_gone(exchange *e)
{
    topics_refuse(e, 404, "there is no such session, or it is over");
}

/* The client sends faster than it may. */
static void refuse_fast(exchange *e, uint64_t wait_ms, size_t n_taken)
{
    char body[256], seconds[24];
    int len = snprintf(
        body, sizeof body,
        "{\"error\":\"the client sends too fast (options: max_messages_per_s, max_bytes_per_s)\",\"taken\":%zu}",
        n_taken);
    snprintf(seconds, sizeof seconds, "%" PRIu64, (wait_ms + 999) / 1000);
    exchange_add_field(e, STR("Retry-After"), str_from(seconds));
    exchange_answer(e, &(http_answer){.status = 429, .type = STR("application/json"), .body = {body, (size_t)len}});
}

/* There is no room for what the rest would cause. */
static void refuse_rest(exchange *e, const peer *p, size_t n_taken)
{
    char body[256];
    const char *why = talk_asks_too_much(p)
                          ? "the server has too much to do"
                          : "the client has to fetch what waits for it first (option: max_queued_bytes)";
    int len = snprintf(body, sizeof body, "{\"error\":\"%s\",\"taken\":%zu}", why, n_taken);
    exchange_answer(e, &(http_answer){.status = 503, .type = STR("application/json"), .body = {body, (size_t)len}});
}

static void take_text(exchange *e, peer *p, char *text, size_t len)
{
    size_t n_taken;
    bool all = talk_take_all(p, text, len, &n_taken);
    if (p->leaving)
        refuse_gone(e);
    else if (all)
        exchange_answer(e, &(http_answer){.status = 204});
    else if (peer_rate_wait_ms(p))
        refuse_fast(e, peer_rate_wait_ms(p), n_taken);
    else
        refuse_rest(e, p, n_taken);
}

/* What the client sends to a session. The text is copied, as reading it writes to it. */
static void take_post(exchange *e, peer *p, str body)
{
    pool *blocks = &p->hub->loop->blocks;
    size_t block_bytes;
    if (json_check(body) < 0) {
        topics_refuse(e, 400, "the body is not JSON, or nests deeper than 64");
        return;
    }
    char *text = pool_get(blocks, body.len, &block_bytes);
    if (!text) {
        topics_refuse(e, 503, "the server is out of memory");
        return;
    }
    memcpy(text, body.at, body.len);
    take_text(e, p, text, body.len);
    pool_put(blocks, text, block_bytes);
}

void protocol_post(exchange *e, const weft_request *request, void *user)
{
    const topics_route *route = user;
    char room[POLL_ASKED_BYTES];
    str id = poll_asked(request, "session", room);
    if (session_follow(e, request, id))
        return;
    const session *found = id.at ? session_find(e->context, id, route) : NULL;
    if (!found) {
        refuse_gone(e);
        return;
    }
    if (found->peer->ops->transport == WEFT_TRANSPORT_LONG_POLL)
        poll_session_touch(found->peer);
    take_post(e, found->peer, request->body);
}

/* -------------------------------------------------------------------------------------------------------------- module */

void protocol_script(exchange *e, const weft_request *request, void *user)
{
    (void)user;
    representation script = {.etag = str_from(weft_js_etag), .modified_s = INT64_MAX, .size = weft_js_len};
    int status = conditions_check(request, &script);
    exchange_add_field(e, STR("ETag"), script.etag);
    exchange_add_field(e, STR("Cache-Control"), STR("no-cache"));
    http_answer answer = {.status = status, .type = STR("text/javascript; charset=utf-8")};
    if (status == 200)
        answer.body = (str){weft_js, weft_js_len};
    exchange_answer(e, &answer);
}
