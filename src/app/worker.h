/**
 * What one loop of an application has: a network, handles, peers, topics, HTTP connections, and the thread that drives it.
 *
 * Worker 0 belongs to the thread that calls weft_run() or weft_step(). It listens, serves the operators, looks at signals, and says when all end; the
 * others begin and end inside weft_run(). What the program has configured is shared by all and does not change while they run. What belongs to a worker is
 * touched by its own thread alone, but for the inbox of its loop and the atomics below.
 */
#ifndef WEFT_APP_WORKER_H
#define WEFT_APP_WORKER_H

#include "app/drain.h"
#include "base/histogram.h"
#include "http/http1_connection.h"
#include "hub/topic.h"
#include <pthread.h>
#include <stdatomic.h>

typedef enum {
    WORKER_RUNNING,
    WORKER_DRAINING,
    WORKER_STOPPED,
} worker_state;

/** What inbox_signal() tells a worker. */
enum {
    SIGNAL_STOP = 1,   /* weft_stop() was called; weft.n_stops says how often */
    SIGNAL_RELOAD = 2, /* SIGHUP; worker 0 alone */
    SIGNAL_ENDED = 4,  /* to worker 0: another's thread has ended, maybe with an `error` */
    SIGNAL_END = 8,    /* to the others: whoever has still come is cut, and the thread ends */
};

struct worker {
    weft *app;
    unsigned number; /* its place in weft.workers */
    worker_state state;
    bool alone; /* it runs, and there is no other: nothing follows from a turn without a signal */
    loop loop;
    net net;
    slots table;
    hub hub;
    http_server http;
    drain drain;
    timer clock;            /* for `lag`; armed where there is an admin listener */
    histogram lag;          /* how late the clock fired, which is how late everything else does */
    uint64_t n_undelivered; /* calls from other threads whose peer or exchange was gone, or full */
    bool ending;            /* SIGNAL_END has come */
    bool started;           /* there is a thread to join; worker 0's */
    pthread_t thread;

    /* Relaxed, all four: the first two only spread connections, `left` is looked at again and again, and `error` is ordered by the SIGNAL_ENDED behind it. */
    atomic_size_t n_arriving; /* connections handed to it that it has not seen yet */
    atomic_size_t n_streams;  /* as net.n_streams, once a turn */
    atomic_bool left;         /* it drains, and nobody is there */
    atomic_int error;         /* that ended its thread; 0: none */
};

/** Before anything runs. 0 or -errno, and then nothing is left. */
int worker_init(worker *w, weft *app, unsigned number);

/** Nobody may be there, and no thread of it run. */
void worker_done(worker *w);

/** True while a connection or a peer is there. */
bool worker_is_busy(const worker *w);

/** What follows from a turn whose result is *ret_error: signals, the end of a drain. As worker_turn(). */
bool worker_follow(worker *w, int *ret_error);

/** One turn; false when the worker has stopped, now or before, or *ret_error is set. */
static inline bool worker_turn(worker *w, int timeout_ms, int *ret_error)
{
    if (w->state == WORKER_STOPPED)
        return false;
    int error = loop_step(&w->loop, timeout_ms);
    if (w->alone && !error && !w->loop.signalled)
        return true;
    *ret_error = error;
    return worker_follow(w, ret_error);
}

/** The application's worker whose turn this thread runs; NULL: none. */
worker *worker_here(const weft *app);

/** The same, and also between two turns, or before the first: what may be called on a loop alone is done on this one. NULL: this thread drives none of the
 * application's. */
worker *worker_driven(const weft *app);

/** Starts the threads of all but the first. 0 or -errno: then none runs. */
int workers_start(weft *app);

/** Ends and joins them. Not started is fine. */
void workers_end(weft *app);

/** Tells all but the first. */
void workers_signal(weft *app, unsigned flags);

#endif
