/**
 * Event streams as a client reads them (WHATWG HTML §9.2.6): bytes in pieces in, events out. What an event's data is lies in the input where it can.
 */
#ifndef WEFT_BENCH_EVENTS_H
#define WEFT_BENCH_EVENTS_H

#include "base/buf.h"

enum { BENCH_EVENT_MAX_BYTES = 256 * 1024 * 1024 }; /* of a line, and of an event's data */

/** Zeroed is the state before the first byte. */
typedef struct {
    buf line; /* the beginning of a line whose end has not come */
    buf data; /* of the event under way, what does not lie in this input */
    buf type;
    bool has_begun; /* a byte order mark can come no more */
    bool has_data;  /* the event under way has a data line */
    bool skip_lf;   /* the input ended in a CR: a LF that comes next belongs to it */
    bool told;      /* data and type are the last event's, and go with the next call */
} bench_events;

/** Both borrowed until the next call. */
typedef struct {
    str type; /* empty when there is none */
    str data; /* its lines joined by LF */
} bench_event;

void bench_events_done(bench_events *events);

/** Reads on at the front of *in and takes off what is behind us. 1: an event, call again with the rest. 0: all is taken in. -ENOMEM; -EMSGSIZE when a
 * line or an event is over the limit. */
int bench_events_next(bench_events *events, str *in, bench_event *ret_event);

#endif
