/**
 * Things that happen so many times a second, by the clock, however late the last one was.
 */
#ifndef WEFT_BENCH_PACE_H
#define WEFT_BENCH_PACE_H

#include "loop/loop.h"

typedef struct bench_pace bench_pace;

/** Zeroed is stopped. */
struct bench_pace {
    loop_source clock; /* a timerfd */
    loop *loop;
    /* Once for each; due_ns (CLOCK_MONOTONIC) is when it ought to have been. */
    void (*beat)(bench_pace *pace, uint64_t due_ns);
    uint64_t from_ns, n_done;
    double period_ns;
};

/** Begins: the first beat is one period from now. 0 or -errno. */
int bench_pace_start(bench_pace *pace, loop *l, double per_second, void (*beat)(bench_pace *pace, uint64_t due_ns));

/** Makes up for what was due before `until_ns`, and stops. How many there were too many of to make up for. Stopped already is fine. */
uint64_t bench_pace_end(bench_pace *pace, uint64_t until_ns);

/** Stops as it is. Stopped already is fine. */
void bench_pace_stop(bench_pace *pace);

#endif
