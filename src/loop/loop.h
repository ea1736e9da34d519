/**
 * One thread's event loop: epoll (level-triggered), timers, an inbox, deferred work. Everything else of a loop
 * (network, hub) hangs on it.
 *
 * A turn: wait · sources that are ready · inbox · timers · deferred work until there is none. A source that is
 * unwatched gets no further call, not even for an event of the batch under way; memory that the call stack may still
 * use is freed by a task.
 */
#ifndef WEFT_LOOP_LOOP_H
#define WEFT_LOOP_LOOP_H

#include "base/list.h"
#include "base/pool.h"
#include "base/slabs.h"
#include "loop/inbox.h"
#include "loop/timer.h"
#include <sys/epoll.h>

typedef struct loop loop;
typedef struct loop_source loop_source;
typedef struct loop_task loop_task;

enum {
    LOOP_MAX = 256,     /* loops of one process: 8 bits of a handle */
    LOOP_EVENTS = 1024, /* taken from epoll at once */
    LOOP_ROUNDS = 16,   /* of tasks in one turn; what is left waits for the next, which then does not sleep */
};

/** Something with a descriptor. Embedded in its owner. */
struct loop_source {
    void (*ready)(loop_source *source, uint32_t events); /* EPOLLIN, EPOLLOUT, EPOLLHUP, EPOLLERR */
    int fd;
    uint16_t watched; /* events asked for; 0: not in epoll */
    uint16_t owners;  /* room for its owner, of which there may be very many */
};

/** Work for the end of this turn. Zeroed is not queued. Embedded in its owner. */
struct loop_task {
    list_node node;
    void (*run)(loop_task *task);
};

struct loop {
    int epoll_fd;
    uint8_t index; /* our place in the static table */
    bool in_step;
    bool inbox_ready; /* seen among the sources of this turn */
    uint64_t now_ms;  /* CLOCK_MONOTONIC at the start of the turn and after each batch of sources */
    timer_wheel wheel;
    pool blocks;
    slabs places;
    inbox *box;
    unsigned signalled; /* flags of inbox_signal() not yet looked at by the owner */
    loop_source inbox_source;
    loop_source clock_source; /* timerfd, only once loop_fd() was asked for */
    uint64_t clock_at_ms;     /* when the timerfd goes off; UINT64_MAX: never, or it has */
    list_node round_end;      /* among the tasks while they run */
    list_node tasks;          /* oldest first */
    inbox *to_wake[LOOP_MAX]; /* that notes were pushed to meanwhile */
    unsigned n_to_wake;
    void *owner;         /* whoever built the loop: handed to notes */
    uint64_t n_wakes;    /* epoll_wait calls: which turn this is */
    int event, n_events; /* the batch: next one to look at, and its end */
    struct epoll_event events[LOOP_EVENTS];
};

/** Takes a place in the table. 0 or -errno; -EMFILE when all LOOP_MAX are taken. `owner` is what notes get as their
 * loop. The loop must not move afterwards, and belongs to the thread that steps it. */
int loop_init(loop *l, void *owner);

/** Drops what is left in the inbox, runs tasks until there is none, leaves the table. Sources must have been unwatched
 * by their owners; timers still armed are forgotten. Not inside a turn. */
void loop_done(loop *l);

/** The loop has ended for other threads: what they push is refused from now on, what waits is dropped. Twice is fine. */
void loop_refuse_notes(loop *l);

/** One turn; waits at most timeout_ms (-1: as long as it takes; less when timers or tasks are due). 0 or -errno. */
int loop_step(loop *l, int timeout_ms);

/** CLOCK_MONOTONIC, for measuring what is shorter than a turn. */
uint64_t loop_clock_us(void);

/** An epoll descriptor that is readable when loop_step() has work, timers and tasks included. It stays the loop's.
 * -errno when there is no descriptor for the clock. */
int loop_fd(loop *l);

/** For loop_here() alone. */
extern _Thread_local loop *loop_entered __attribute__((visibility("hidden")));

/** The loop whose turn (or last tasks, in loop_done()) this thread is running; NULL outside. */
static inline loop *loop_here(void)
{
    return loop_entered;
}

/** The loop at a place in the table when this thread was the last to step it, so also between two turns; NULL else. */
loop *loop_driven(unsigned index);

/** The loop at a place in the table as long as nobody has stepped it; NULL else. */
loop *loop_unstarted(unsigned index);

/** The inbox at a place in the table; never NULL for an index below LOOP_MAX. Any thread. */
inbox *loop_inbox(unsigned index);

/** As inbox_push(). From inside a turn the other loop is woken when what pushes is done (the source, all notes, all timers, the task), so that it gets at
 * once all that comes of one read, and not first the first of it. */
int loop_push(inbox *box, note *n);

/** Sets what is watched: adds, changes, or (0) takes away. What is no longer asked for is not told, even if it was
 * already taken. 0 or -errno, and then nothing has changed. */
int loop_watch(loop *l, loop_source *source, uint32_t events);

/** The same as watching 0; the descriptor may be closed afterwards, and ready() is not called again even for events
 * already taken. */
void loop_unwatch(loop *l, loop_source *source);

/** fire(t) runs at the first turn that is at least after_ms later than this call; 0: the next time that timers run. */
void loop_arm(loop *l, timer *t, uint64_t after_ms, timer_fn fire);

/** The same for deadlines of seconds, without a look at the clock: counted from l->now_ms, so early by as long as the turn has taken. */
void loop_arm_roughly(loop *l, timer *t, uint64_t after_ms, timer_fn fire);

/** Not armed is fine. */
void loop_cancel(loop *l, timer *t);

static inline bool loop_task_queued(const loop_task *task)
{
    return list_linked(&task->node);
}

/** Runs task->run at the end of this turn (in the next round of tasks when tasks are running now), oldest first; queued
 * already is fine. The task may be freed or deferred again as soon as it runs. */
void loop_defer(loop *l, loop_task *task);

/** The same before all tasks that are queued. */
void loop_defer_first(loop *l, loop_task *task);

/** Takes a queued task back; not queued is fine. */
void loop_undefer(loop *l, loop_task *task);

#endif
