/**
 * Short and long polls of one topic by clients that are no peers. A waiting poll is a few words beside its exchange,
 * and owns no buffer.
 *
 * Polls that ask for the same get the same body: it is built once a turn and shared by reference.
 */
#ifndef WEFT_TRANSPORT_POLL_H
#define WEFT_TRANSPORT_POLL_H

#include "http/exchange.h"
#include "hub/topic.h"

enum {
    POLL_MAX_MESSAGES = 1000,            /* in one answer */
    POLL_MAX_BYTES = 1 << 20,            /* likewise, and one message more */
    POLL_ASKED_BYTES = 3 * CURSOR_BYTES, /* of a query's value that can mean something, percent-encoded throughout */
};

/** A value of the query, decoded into `room`: no allocation fails and makes it look absent. {NULL, 0}: not there.
 * Values longer than the room mean nothing to anybody, and are "-". */
str poll_asked(const weft_request *request, const char *name, char room[POLL_ASKED_BYTES]);

/** `wait` of a request in milliseconds, at most max_ms: 0 for a short poll, -1 when it is no number of seconds ("25",
 * "0.5"). */
int64_t poll_wait_ms(const weft_request *request, uint32_t max_ms);

/**
 * Serves a poll (GET or HEAD): now, or when the topic has something, or when the time is over, and then with no
 * messages. The place is that of Last-Event-ID, else of `since`; without any a poll does not wait. When the server
 * stops it is answered at once. `Vary: Accept` is among its fields: one that waits has no buffer for what the caller
 * adds.
 *
 * The ETag is the cursor. A short poll is answered with 304 when If-None-Match names the topic's cursor, and what was
 * asked for comes after that (or is all that is kept: `since=start`). A long poll never is: nothing new is what it
 * waits for, and an empty answer tells that it may ask again.
 *
 * A topic that is at home on another loop, and not ready on this one, is awaited first: at most TOPICS_ANSWER_MS, and
 * then, or when the server stops, the answer is 503 with Retry-After.
 */
void poll_serve(exchange *e, const weft_request *request, str topic, uint32_t max_wait_ms);

#endif
