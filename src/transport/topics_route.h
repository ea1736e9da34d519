/**
 * What weft_topics() and weft_protocol() were given: options, deep-copied, with defaults, and what the carriers need
 * of them.
 */
#ifndef WEFT_TRANSPORT_TOPICS_ROUTE_H
#define WEFT_TRANSPORT_TOPICS_ROUTE_H

#include "transport/access.h"
#include "transport/http_stream.h"
#include "transport/poll_session.h"
#include "transport/websocket_route.h"

enum { TOPICS_ANSWER_MS = 10000 }; /* for which a request waits for what another loop has to say */

typedef struct {
    weft_topics_options options;
    access_rules access;
    peer_rules rules;
    websocket_route *websocket;
    http_stream_kind events, lines; /* the kinds of streams */
    poll_session_kind polls;        /* of sessions by polls */
    uint32_t refs;                  /* one for each path that it serves */
} topics_route;

/** What is wrong with the options, as a half-sentence; NULL for nothing. Static. */
const char *topics_options_problem(const weft_topics_options *options);

/** Its WebSockets, whose owner it is: with the options that it shares with the other carriers. `subprotocols` may be NULL. NULL: no memory. */
websocket_route *topics_route_websocket(topics_route *route, const char *const *subprotocols, size_t max_message_bytes);

/** One reference. NULL: no memory. Whoever makes one sets up its carriers. */
topics_route *topics_route_new(const weft_topics_options *options);

static inline topics_route *topics_route_ref(topics_route *route)
{
    route->refs++;
    return route;
}

/** Drops a reference: a route_spec's `free_user`. */
void topics_route_free(void *route);

/** Answers with `{"error":"…"}`. */
void topics_refuse(exchange *e, int status, const char *sentence);

/** 503 with Retry-After: it may go better in a second. */
void topics_refuse_for_now(exchange *e, const char *sentence);

/** 401: another key than ours was sent. */
void topics_refuse_key(exchange *e);

/** Answers 503 when there are as many sessions as there may be; true when it did. */
bool topics_refuse_session(exchange *e);

/** The refusal that a hub's error stands for: 400 for the name, 503 for a limit or memory, or a loop that has no room or
 * has ended. */
void topics_refuse_error(exchange *e, hub *h, int error);

#endif
