/**
 * One process of a load generator: its share of the connections, on one loop, through the phases of a run.
 *
 * Phases are set by the parent in memory that all processes share, and the same for all: a process that is done with one says so in its tally and waits.
 *
 *     CONNECT ──▶ WARM_UP ──▶ MEASURE ──▶ DRAIN ──▶ END
 *     all its     counts      counts      sends no   closes
 *     clients     nothing                 more; what is
 *     are ready                           in flight comes back
 */
#ifndef WEFT_BENCH_WORKER_H
#define WEFT_BENCH_WORKER_H

#include "bench/client.h"
#include "bench/latency.h"
#include <stdatomic.h>

typedef enum {
    BENCH_PHASE_CONNECT,
    BENCH_PHASE_WARM_UP,
    BENCH_PHASE_MEASURE,
    BENCH_PHASE_DRAIN,
    BENCH_PHASE_END,
} bench_phase;

typedef struct bench_regime bench_regime;

enum {
    BENCH_WHYS = 8,
    BENCH_SPREAD_RING = 64 * 1024, /* messages to all that may be under way */
};

/** Messages to all (see spread.h): the sender is in the first process, and goes on when all processes have what it sent. */
typedef struct {
    uint32_t
        source; /* of the messages; another in each run, so that what a server has kept of an earlier one is known for that */
    int wake_fd; /* eventfd: tells the first process that another has one more message whole; -1: there is no other */
    _Atomic uint64_t n_published;
    _Atomic uint64_t sent_ns[BENCH_SPREAD_RING]; /* when message n went out, at n % BENCH_SPREAD_RING */
} bench_spread_board;

/** What one process has seen; written by it alone, read by the parent for the progress line (relaxed) and for the report (when the process has ended). */
typedef struct {
    _Atomic uint64_t n_ready, n_lost_connections; /* so far, in all phases */
    _Atomic uint64_t n_messages;                  /* that came back, or were delivered, while measuring */
    _Atomic uint64_t n_sent;                      /* while measuring */
    _Atomic uint64_t n_complete;   /* messages to all that all connections of the process have (see spread.h) */
    _Atomic uint64_t n_seen_bytes; /* read so far, in all phases: a sign of life */
    _Atomic uint64_t n_heartbeats; /* answered so far, in all phases */
    int error;                     /* why the process could not go on: -errno or WEFT_E_*; its end makes it readable */
    _Atomic int settled;           /* 1 + the last phase that the process is done with: connected, or drained */
    /* Over the whole run: any of them makes it fail. */
    uint64_t n_missing, n_wrong, n_doubled, n_misordered;
    uint64_t n_foreign;                     /* messages to all that another run has sent: passed over, and no failure */
    uint64_t n_unsent;                      /* by the clock: more were under way than can be kept account of */
    uint64_t n_read_bytes, n_written_bytes; /* while measuring */
    uint64_t handshake_ns;                  /* from the first connect to the last ready */
    uint64_t n_lost_publishers;             /* none of the plan's connections: 0 or 1 */
    char publisher_why[80];
    struct {
        char text[80];
        uint64_t n;
    } whys[BENCH_WHYS];    /* why connections were lost; the last holds all others */
    bench_latency latency; /* of messages; of BENCH_CONNECT: of handshakes */
    bench_latency reach;   /* of messages to all: until the last connection has it */
} bench_tally;

/** Shared by all processes: mapped before they are forked. */
typedef struct {
    _Atomic int phase;    /* bench_phase */
    _Atomic bool is_over; /* a process says: what is left would measure nothing */
    uint32_t n_workers;
    /* What goes out between the two, [from, to), is what is measured: UINT64_MAX until that is known. */
    _Atomic uint64_t measured_from_ns, measured_to_ns;
    bench_spread_board spread;
    bench_tally tallies[];
} bench_board;

struct bench_worker {
    const bench_plan *plan;
    const bench_regime *regime;
    bench_board *board;
    bench_tally *tally;
    uint32_t number;    /* of the process; its clients: number, number + n_processes, ... */
    uint32_t n_clients; /* its share of the plan's */
    uint32_t n_extra;   /* publishers: the process is connected when these are ready too */
    uint32_t n_made;    /* clients opened so far */
    uint32_t n_through; /* of the clients and the extra ones: ready, or lost before they were */
    bench_phase phase;  /* which the scenario knows of */
    loop loop;
    bench_lines lines;
    bench_client **clients; /* n_made of them; NULL where there was no memory */
    uint64_t began_ns;      /* when the first connection was opened */
    uint64_t now_ns;        /* CLOCK_MONOTONIC: set before each read of a client, and before begin() and turn() */
    void *state;            /* the scenario's */
};

/** Closes a connection with a reset, so that its port is free at once. Closed already is fine. */
void bench_worker_reset(bench_client *client);

/** Adds to a count of the own tally: only this process writes it, the parent looks on. */
static inline void bench_tally_add(_Atomic uint64_t *count, uint64_t n)
{
    atomic_store_explicit(count, atomic_load_explicit(count, memory_order_relaxed) + n, memory_order_relaxed);
}

/** The phase now. */
static inline bench_phase bench_worker_phase(const bench_worker *worker)
{
    /* Acquire, paired with bench_crew_begin(): what is measured is known. */
    return (bench_phase)atomic_load_explicit(&worker->board->phase, memory_order_acquire);
}

/** CLOCK_MONOTONIC. */
uint64_t bench_now_ns(void);

/** Runs to the end of the run: what a forked process does. `plan`, `regime`, `board`, `tally`, `number` and `n_clients` are set, all else is zero. 0 or
 * -errno. */
int bench_worker_run(bench_worker *worker);

/** Counts a client that has become ready, before its scenario hears of it. */
void bench_worker_count_ready(bench_client *client);

/** Counts a lost connection and why, before its scenario hears of it; is_ready still says whether it was. */
void bench_worker_count_lost(bench_client *client, const char *why);

/** What went out then is measured. */
static inline bool bench_worker_measures(const bench_worker *worker, uint64_t sent_ns)
{
    return sent_ns >= atomic_load_explicit(&worker->board->measured_from_ns, memory_order_relaxed) &&
           sent_ns < atomic_load_explicit(&worker->board->measured_to_ns, memory_order_relaxed);
}

/** Until when what goes out is measured: while draining. When the run ended before, that is now. */
static inline uint64_t bench_worker_measured_to(const bench_worker *worker)
{
    uint64_t to_ns = atomic_load_explicit(&worker->board->measured_to_ns, memory_order_relaxed);
    return to_ns < worker->now_ns ? to_ns : worker->now_ns;
}

/** Messages that may be under way by the clock, of a process: what is not taken must lie somewhere. At least plan->depth a connection. */
uint64_t bench_worker_most_in_flight(const bench_plan *plan);

#endif
