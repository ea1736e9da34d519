/**
 * What workers have counted, copied out of them and added up: for metrics.
 */
#ifndef WEFT_APP_TALLY_H
#define WEFT_APP_TALLY_H

#include "app/app.h"

/** 64-bit numbers and nothing else, so that two can be added. Zeroed is that of no worker. */
typedef struct {
    uint64_t n_loops;
    uint64_t n_connections; /* of HTTP */
    uint64_t n_streams, queued_bytes;
    uint64_t n_topics;
    uint64_t n_turns, n_sends, n_receives;
    uint64_t n_undelivered;
    uint64_t dropped[WEFT_SLOW_LATEST + 1]; /* as hub.dropped */
    uint64_t limits[N_LIMITS];
    histogram lag;
    hub_counts counts;
} tally;

/** Adds what a worker has counted up to now. On its thread. */
void tally_count(tally *t, const worker *w);

void tally_add(tally *t, const tally *more);

#endif
