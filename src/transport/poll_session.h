/**
 * A peer whose carrier is one poll after another (docs/topics.md "Polls", docs/weft.v1.md "Long poll and POST"): what
 * is sent to it waits in a queue of references until a poll takes all of it; that answer is kept until the next poll
 * acknowledges it, and given again when it does not. With no poll waiting for the lease's length it is gone.
 */
#ifndef WEFT_TRANSPORT_POLL_SESSION_H
#define WEFT_TRANSPORT_POLL_SESSION_H

#include "http/exchange.h"
#include "transport/encoding.h"
#include "transport/sessions.h"

/** What all sessions of a route have in common. Outlives them. */
typedef struct {
    peer_rules rules;
    const encoding *encoding; /* one that cannot tell a gap: answers have `cursor` and `gap`, as those of a topic do */
    wire format;              /* of the images, which have nothing around them: WIRE_OBJECT, WIRE_ENVELOPE */
    const char *list;         /* the member of the answer that holds what was sent: "messages", "envelopes" */
    uint32_t lease_ms;        /* 0: twice the `wait` of its last poll */
    uint32_t max_wait_ms;
    uint32_t default_wait_ms; /* for a poll that says none; for the lease of one that says 0, too */
    const void *route;
} poll_session_kind;

/** A new peer, whose session is registered. What is queued to it in this turn is in its first answer. NULL: no memory.
 * `from` is kept for `open` to ask for. */
peer *poll_session_new(hub *h, const poll_session_kind *kind, const weft_request *request, str from);

/** Answers the request that opened it, at the end of this turn, behind `open`, with what is queued. A peer that has
 * left already is told as such. */
void poll_session_begin(peer *p, exchange *e);

/** The same for one whose answers say where a topic stands: subscribes it, and answers when that has been done. A topic
 * that is at home on another loop, and not ready on this one, is awaited for TOPICS_ANSWER_MS at most; then, or when it
 * cannot be had, the request is refused and the peer aborted. 0, or an error of hub_subscribe(), and then the caller
 * answers and aborts. */
int poll_session_begin_with(peer *p, exchange *e, str topic, since from);

/** A later poll: finds the session by the request's `session`, on another loop too, and answers now or later; 404 when there is none. 400
 * for a `wait` that is no number, and for an `ack` that is neither the last answer's nor, while that is kept, the one
 * before; the session goes on. */
void poll_session_poll(hub *h, const poll_session_kind *kind, exchange *e, const weft_request *request);

str poll_session_id(const peer *p);

/** A sign of life that is no poll: the lease begins anew. */
void poll_session_touch(peer *p);

#endif
