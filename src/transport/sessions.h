/**
 * Clients that have no connection of their own, or whose input comes on others: found again by an id of 120 random
 * bits. Behind these it says which loop the session lives on, as the next request may come to any.
 */
#ifndef WEFT_TRANSPORT_SESSIONS_H
#define WEFT_TRANSPORT_SESSIONS_H

#include "http/exchange.h"
#include "hub/topic.h"

enum {
    SESSION_RANDOM_CHARS = 20,
    SESSION_LOOP_CHARS = 2,
    SESSION_ID_BYTES = SESSION_RANDOM_CHARS + SESSION_LOOP_CHARS, /* base64url */
};

/** Embedded in its owner; zeroed is no session yet. */
typedef struct {
    map_entry entry;
    peer *peer; /* NULL: there is more to it than one peer, or less */
    const void
        *route; /* a session is known on the route that it was opened on, and on no other; NULL: not in the map */
    char id[SESSION_ID_BYTES];
} session;

/** A new id, of this hub's loop. 0 or -errno. */
int session_make_id(const hub *h, char ret_id[SESSION_ID_BYTES]);

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

/** The session of that id on that route; NULL when there is none on this loop. */
session *session_find(const hub *h, str id, const void *route);

/** Sends a request that names a session to the loop that this lives on, if that is another. True: it went there, or was refused for want of memory; the exchange is
 * gone. False: look for it here, where a number that somebody made up finds nothing. */
bool session_follow(exchange *e, const weft_request *request, str id);

#endif
