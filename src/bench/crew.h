/**
 * The processes of a run: forked before anything is opened, each with a worker, all led through the phases by the parent.
 */
#ifndef WEFT_BENCH_CREW_H
#define WEFT_BENCH_CREW_H

#include "bench/worker.h"

typedef struct {
    const bench_plan *plan;
    bench_board *board; /* stays readable until bench_crew_done() */
    size_t board_bytes;
    uint32_t n; /* processes */
    pid_t pids[BENCH_MAX_PROCESSES];
    bool is_gone[BENCH_MAX_PROCESSES];
    int failure; /* of the first that could not go on: -errno or WEFT_E_*; 0 with a signal */
    int signal;  /* that ended the first that died */
} bench_crew;

/** Shares the connections out and forks. 0 or -errno, and then bench_crew_done() is called all the same. */
int bench_crew_start(bench_crew *crew, const bench_plan *plan);

/** Tells all that a phase begins. */
void bench_crew_begin(bench_crew *crew, bench_phase phase);

/** All are done with a phase. */
bool bench_crew_settled(const bench_crew *crew, bench_phase phase);

/** False when a process has ended before it was told to: see `failure` and `signal`. */
bool bench_crew_is_well(bench_crew *crew);

/** What all have seen so far; valid whole after bench_crew_end(). */
void bench_crew_sum(const bench_crew *crew, bench_tally *ret_sum);

/** Of one count of all tallies, while they run: offsetof(bench_tally, n_ready). */
uint64_t bench_crew_count(const bench_crew *crew, size_t offset);

/** Ends all processes and waits for them. */
void bench_crew_end(bench_crew *crew);

/** Frees the board. */
void bench_crew_done(bench_crew *crew);

#endif
