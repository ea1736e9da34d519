/**
 * Clients that have no connection of their own, or whose input comes on others: found again by an id of 120 random
 * bits.
 */
#ifndef WEFT_TRANSPORT_SESSIONS_H
#define WEFT_TRANSPORT_SESSIONS_H

#include "hub/topic.h"

enum { SESSION_ID_BYTES = 20 }; /* base64url */

/** Embedded in its owner; zeroed is no session yet. */
typedef struct {
    map_entry entry;
    peer *peer; /* NULL: there is more to it than one peer, or less */
    const void
        *route; /* a session is known on the route that it was opened on, and on no other; NULL: not in the map */
    char id[SESSION_ID_BYTES];
} session;

/** A new id. 0 or -errno. */
int session_make_id(char ret_id[SESSION_ID_BYTES]);

/** Gives it an id. 0 or -errno. */
int session_add(hub *h, session *s, peer *p, const void *route);

/** The same with an id that is set already, and that no other has. 0 or -ENOMEM. */
int session_put(hub *h, session *s, peer *p, const void *route);

/** True when no more may come without a connection of their own (max_sessions). */
static inline bool sessions_are_full(const hub *h)
{
    return h->sessions.n_entries - h->n_connected_sessions >= h->max_sessions;
}

/** Nobody finds it any more. Not added, or removed already, is fine. */
void session_remove(hub *h, session *s);

/** The session of that id on that route; NULL when there is none. */
session *session_find(const hub *h, str id, const void *route);

#endif
