/**
 * What the public functions of Socket.IO have in common: events that were looked at, and who is meant.
 */
#ifndef WEFT_APP_SOCKETIO_H
#define WEFT_APP_SOCKETIO_H

#include "app/call.h"
#include "app/socketio_routes.h"
#include "transport/socketio_loops.h"

/** An event of a program, fit to be sent: its arguments are compact. */
typedef struct {
    socketio_emission what;
    char *compact; /* the arguments, when they had to be copied for that; NULL: they are the program's */
    size_t block_bytes;
} checked_event;

/** `known`: what needs no second look, and may have white space; NULL: nothing. blocks may be NULL (a thread without a loop). 0, WEFT_E_INVALID,
 * WEFT_E_UTF8, WEFT_E_JSON, WEFT_E_TOO_LARGE (attachments) or -ENOMEM; the output is untouched then. */
int event_check(const weft_socketio_event *event, pool *blocks, const hub_event *known, checked_event *ret);

/** The same for an answer, which has no name. */
int answer_check(const weft_socketio_event *answer, pool *blocks, const hub_event *known, checked_event *ret);

void event_done(pool *blocks, checked_event *event);

/** Hands an event to a loop, with all that it refers to copied. spec->body, ->a and ->number are the event's. As call_push(). */
int event_push(inbox *box, call_spec spec, const socketio_emission *what);

/** What event_push() has sent, on the loop. Borrowed from the call; the attachments lie in `room`. */
socketio_emission event_of(const call *c, weft_str room[SOCKETIO_MAX_ATTACHMENTS]);

enum { TARGET_MAX_ROOMS = 64 };

/** A weft_socketio_target that was looked at. Borrowed from it. */
typedef struct {
    socketio_route *route;
    str nsp;
    str rooms[TARGET_MAX_ROOMS], except[TARGET_MAX_ROOMS];
    uint32_t n_rooms, n_except;
    uint64_t sender;
    bool has_sender_id; /* which socket that is, when it was on the caller's loop */
    char sender_id[SOCKETIO_ID_BYTES];
} checked_target;

/** 0 or WEFT_E_INVALID: there is no such route, or there are too many rooms. */
int target_check(const weft *app, const weft_socketio_target *target, checked_target *ret);

/** Who that is in its namespace. On the loop. */
socketio_audience target_audience(const worker *w, const checked_target *target);

/** The worker on which its namespace is at home: what is meant for many of its sockets goes there. */
worker *target_home(const weft *app, const checked_target *target);

/** Appends it, for another thread; 0 or -ENOMEM. And reads it there. */
int target_put(buf *to, const checked_target *target);
void target_take(str bytes, checked_target *ret);

#endif
