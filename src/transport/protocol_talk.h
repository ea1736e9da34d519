/**
 * The envelopes of weft.v1 (docs/weft.v1.md) between a peer and the hub, whatever carries them.
 */
#ifndef WEFT_TRANSPORT_PROTOCOL_TALK_H
#define WEFT_TRANSPORT_PROTOCOL_TALK_H

#include "transport/topics_route.h"

/** Begins to speak weft.v1 with a new peer: sets its handler and says hello. `session_id` for carriers that have one. 0 or -ENOMEM. */
int talk_begin(peer *p, const topics_route *route, bool has_key, str session_id);

/** Finds the peer again by requests of its own: it gets an id, which is the one that hello tells. In place of talk_begin(). */
int talk_begin_session(peer *p, const topics_route *route, bool has_key);

/** Takes one envelope. The text is written to. The peer may be leaving afterwards. */
void talk_take(peer *p, char *at, size_t len);

/** True while so much of what it has sent waits for other loops that it is not listened to. */
static inline bool talk_asks_too_much(const peer *p)
{
    return p->stop_reading & PAUSED_BY_ASKED;
}

/**
 * Takes one envelope that json_check() has accepted, or an array of them one by one, until the peer leaves or its queue is
 * at twice its limit, or too much of it waits for other loops: so what few bytes of a request cause stays as small as that. True when all were taken, or it
 * leaves; *ret_taken is how many of an array were. The text is written to.
 */
bool talk_take_all(peer *p, char *at, size_t len, size_t *ret_taken);

#endif
