/**
 * Server-Sent Events (WHATWG HTML §9.2): one event as the lines of an event stream.
 *
 * Room is the caller's: ask for the length, then put.
 */
#ifndef WEFT_PROTO_SSE_H
#define WEFT_PROTO_SSE_H

#include "base/str.h"

/** `id` and `event` are sse_name_valid() and left out when empty. `data` is UTF-8. */
typedef struct {
    str id, event, data;
} sse_event;

/** True when it may be an id or the name of an event: no CR, LF or NUL. */
bool sse_name_valid(str name);

size_t sse_event_len(const sse_event *event);

/**
 * Writes `id: …`, `event: …`, a `data: …` for each line of the data, and the empty line that ends an event; the number
 * of bytes, which is sse_event_len(). CR, LF and CRLF end a line alike, and arrive as LF: the format has no other.
 * Data that ends in one ends in an empty line. Empty data is one line `data: `: a receiver adds LF to what it collects
 * for each such line and drops only an event for which it has collected nothing (§9.2.6), so this one arrives, empty.
 */
size_t sse_event_put(char *at, const sse_event *event);

#endif
