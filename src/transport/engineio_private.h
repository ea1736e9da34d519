/**
 * An Engine.IO session as its files see it.
 */
#ifndef WEFT_TRANSPORT_ENGINEIO_PRIVATE_H
#define WEFT_TRANSPORT_ENGINEIO_PRIVATE_H

#include "proto/engineio.h"
#include "transport/engineio.h"
#include "transport/engineio_queue.h"

typedef struct engineio_posting engineio_posting;
typedef struct engineio_probe engineio_probe;

struct engineio_polls {
    engineio_session *session;
    engineio_queue queue;
    exchange *get;          /* that waits; NULL: none does */
    engineio_posting *post; /* whose answer is owed; NULL for none */
    engineio_probe *probe;  /* NULL: no WebSocket wants to take over */
    char *address;          /* that the handshake came from; NULL without memory */
    loop_task task;         /* answers the GET */
};

/** A WebSocket that wants to take over. */
struct engineio_probe {
    engineio_session *session;
    timer deadline;
    uint8_t n_noops; /* polls that were answered for it */
    bool answered;   /* it was told 3probe: no poll is to wait any more */
    bool committing; /* it has said that it takes over, while a POST, which is older, is under way */
};

/** A request's head that outlives it: what weft_peer_request() reads anew when somebody asks. */
typedef struct engineio_head {
    const http_route *route;
    uint32_t len;
    uint8_t address_len;
    bool secure;
    char bytes[]; /* the head, and the address */
} engineio_head;

static inline loop *engineio_loop(const engineio_session *s)
{
    return s->hub->loop;
}

static inline pool *engineio_blocks(const engineio_session *s)
{
    return &s->hub->loop->blocks;
}

/** One that polls, or may still come back to that. */
static inline bool engineio_polls_carry(const engineio_session *s)
{
    return s->state < ENGINEIO_WEBSOCKET;
}

/* engineio_request.c */

/** The codes of the reference's errors. */
typedef enum {
    ENGINEIO_UNKNOWN_TRANSPORT,
    ENGINEIO_UNKNOWN_SID,
    ENGINEIO_BAD_METHOD,
    ENGINEIO_BAD_REQUEST,
    ENGINEIO_FORBIDDEN,
    ENGINEIO_UNSUPPORTED_VERSION,
} engineio_error;

/** Answers with the code and its message as JSON: 403 when it is forbidden, else 400. An empty text: the reference's. 0 or -ENOMEM. */
int engineio_refuse(exchange *e, engineio_error code, str text);

/** Answers without a body. 0 or -ENOMEM. */
int engineio_answer_empty(exchange *e, int status);

/** Answers with 200, never to be cached. 0 or -ENOMEM. */
int engineio_answer(exchange *e, str type, str body, chunk *owner);

/** The last value of a query's parameter, undecoded; {NULL, 0}: not there. */
str engineio_asked(const weft_request *request, const char *name);

/** Bytes of a request's head. */
static inline size_t engineio_head_len(const weft_request *request)
{
    return request->head->line_at;
}

/** Room that engineio_head_put() needs, and how it fills it. */
size_t engineio_head_room(const weft_request *request);
void engineio_head_put(engineio_head *head, const weft_request *request);

/** Reads it anew, for the session's or for a request that waits. NULL: no memory. Freed by engineio_request_free(), NULL is fine. */
typedef struct engineio_request engineio_request;
engineio_request *engineio_request_new(const engineio_head *head);
const weft_request *engineio_request_read(const engineio_request *r);
void engineio_request_free(engineio_request *r);

/** What engineio_request_of() gave is no longer what it gives; it goes at the end of the turn. */
void engineio_drop_asked(engineio_session *s);

/* engineio_session.c */

/** A new session of the route, registered, without a carrier. NULL: no memory. */
engineio_session *engineio_session_new(hub *h, engineio_route *route);

/** It was not begun after all. */
void engineio_session_discard(engineio_session *s);

/** The open packet. */
size_t engineio_session_open_packet(const engineio_session *s, char *ret_text);

/** Its open packet goes out before or after this; starts the heartbeat, tells the layer. It may have ended afterwards. */
void engineio_session_begin(engineio_session *s, const weft_request *request);

/** A packet of the client. The session may have ended afterwards. */
void engineio_take(engineio_session *s, const engineio_packet *packet);

/** How those are told who still listen. */
typedef enum {
    ENGINEIO_SAY_CLOSE, /* a poll is told that it is closed, a WebSocket is closed */
    ENGINEIO_SAY_NOOP,  /* a poll is let go */
    ENGINEIO_CUT,
} engineio_goodbye;

/** Ends it, unless it has ended. */
void engineio_end_session(engineio_session *s, engineio_end why, engineio_goodbye how);

/** Sends a packet of another type than a message. 0 or -ENOMEM. */
int engineio_say(engineio_session *s, str packet);

/** What was queued has become less. */
void engineio_was_sent(engineio_session *s);

/* engineio_poll.c */

/** 0 or -ENOMEM. */
int engineio_polls_new(engineio_session *s, const weft_request *request);

/** A GET of a session that polls. */
void engineio_poll(engineio_session *s, exchange *e);

/** Room for a packet of that length in the queue; whoever waits is answered at the end of this turn. NULL: no memory. */
char *engineio_polls_room(engineio_session *s, bool binary, size_t len);
int engineio_polls_refer(engineio_session *s, bool binary, str packet, chunk *owner);

/** A probe was answered: nobody waits any more. */
void engineio_polls_let_go(engineio_session *s);

/** Answers whoever waits, and frees them; the session is an ended one, or has a WebSocket and an empty queue. */
void engineio_polls_done(engineio_session *s, engineio_goodbye how);

/** With an empty queue nothing is left behind. */
void engineio_polls_leave_rest(engineio_session *s);

/** A session that was closed between two polls has its last packets left. */
bool engineio_goodbye_waits(const hub *h, const engineio_route *route, str sid);

/** Answers a poll with them; false: there are none. */
bool engineio_goodbye_take(hub *h, const engineio_route *route, str sid, exchange *e);

/* engineio_post.c */

/** A POST of a session that polls; its body follows. */
void engineio_post_begin(engineio_session *s, exchange *e, const weft_request *request);

/** Its answer waits for nothing any more. */
void engineio_post_resume(engineio_posting *post);

/** True when its packets have yet to be told. */
bool engineio_post_is_coming(const engineio_posting *post);

/** The session has let go of it: it is refused, unless its packets are just being told. */
void engineio_post_drop(engineio_posting *post);

/** The head of the POST whose packets are being told; NULL else. */
const engineio_head *engineio_post_head(const engineio_posting *post);

/* engineio_websocket.c */

/** A websocket_route's `attach`. */
void engineio_attach(peer *p, const weft_request *request, const void *owner);

/** The POST that was older than the upgrade has been told. */
void engineio_commit(engineio_session *s);

/** Ends the probe: the session stays on polls. */
void engineio_probe_drop(engineio_session *s);

/** Sends a message, or a packet as it is, on the WebSocket. 0 or -ENOMEM. */
int engineio_websocket_message(engineio_session *s, bool binary, str front, str body);
int engineio_websocket_say(const engineio_session *s, str packet);

/** Closes carrier or probe. */
void engineio_websocket_done(engineio_session *s, engineio_end why, engineio_goodbye how);

#endif
