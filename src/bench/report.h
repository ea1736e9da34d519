/**
 * What a run has shown, for people or as JSON.
 */
#ifndef WEFT_BENCH_REPORT_H
#define WEFT_BENCH_REPORT_H

#include "bench/process.h"
#include "bench/worker.h"

typedef enum {
    BENCH_ENDED_IN_TIME,
    BENCH_ENDED_INTERRUPTED, /* by a signal */
    BENCH_ENDED_STALLED,     /* nothing came for too long */
    BENCH_ENDED_OVER,        /* whoever publishes, or everybody, is gone */
    BENCH_ENDED_BROKEN,      /* one of our own processes ended */
    BENCH_ENDED_SERVER,      /* a process of --pid ended */
} bench_ending;

typedef struct {
    const bench_plan *plan;
    bench_ending ending;
    bench_phase phase;    /* in which it ended */
    int failure, signal;  /* of BENCH_ENDED_BROKEN: see crew.h */
    uint64_t connect_ns;  /* until all were connected */
    uint64_t n_connected; /* then */
    uint64_t warm_up_ns, n_warm_up_heartbeats;
    uint64_t measured_ns; /* 0: it did not come to that */
    bench_usage before, connected, from, to,
        after; /* of the server: memory in before and after, CPU time in all but these two */
    bench_usage own_from, own_to;
    bench_tally sum;
} bench_result;

/** Text, or JSON when the plan says so, on standard output. */
void bench_report_print(const bench_result *result);

/** A sentence on standard error for each thing that is wrong. True when nothing is. */
bool bench_report_complain(const bench_result *result);

/** "1,234,567" */
const char *bench_text_of(uint64_t number, char ret_text[32]);

#endif
