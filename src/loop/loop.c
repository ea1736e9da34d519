#include "loop/loop.h"
#include "base/mem.h"
#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <string.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { NS_PER_MS = 1000000 };

/* Places of loops. They outlive every loop, so that a stale handle finds a closed inbox and not freed memory. */
static struct {
    inbox box;
    bool taken; /* under places_lock */
    /* Who stepped it last: the address of that thread's `loop_entered`. Relaxed, like `loop`: a thread can only find itself, whose
     * own stores it sees; and nobody else runs a loop that was not started. */
    _Atomic(const void *) driver;
    _Atomic(loop *) loop;
} places[LOOP_MAX];

static pthread_mutex_t places_lock = PTHREAD_MUTEX_INITIALIZER;

_Thread_local loop *loop_entered;

loop *loop_driven(unsigned index)
{
    assert(index < LOOP_MAX);
    const void *driver = atomic_load_explicit(&places[index].driver, memory_order_relaxed);
    return driver == &loop_entered ? atomic_load_explicit(&places[index].loop, memory_order_relaxed) : NULL;
}

loop *loop_unstarted(unsigned index)
{
    assert(index < LOOP_MAX);
    const void *driver = atomic_load_explicit(&places[index].driver, memory_order_relaxed);
    return driver ? NULL : atomic_load_explicit(&places[index].loop, memory_order_relaxed);
}

inbox *loop_inbox(unsigned index)
{
    assert(index < LOOP_MAX);
    return &places[index].box;
}

/* ---- clock ---- */

static uint64_t monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 * NS_PER_MS + (uint64_t)now.tv_nsec;
}

uint64_t loop_clock_us(void)
{
    return monotonic_ns() / 1000;
}

/* Rounded down, while loop_arm() rounds up: so no timer is early by a part of a millisecond. */
static uint64_t monotonic_ms(void)
{
    return monotonic_ns() / NS_PER_MS;
}

/* When the next turn should come for timers and tasks; UINT64_MAX: never. */
static uint64_t next_ms(const loop *l)
{
    if (!list_empty(&l->tasks))
        return 0;
    uint64_t wait_ms = wheel_wait_ms(&l->wheel);
    return wait_ms == UINT64_MAX ? UINT64_MAX : l->wheel.now_ms + wait_ms;
}

/* Keeps the timerfd at the time of the next turn, for whoever waits on loop_fd() instead of in loop_step(). */
static void set_clock(loop *l)
{
    uint64_t at_ms = next_ms(l);
    if (!l->clock_source.watched || at_ms == l->clock_at_ms)
        return;
    struct itimerspec at = {0}; /* which disarms; setting the time also takes back readiness */
    if (at_ms != UINT64_MAX) {
        at.it_value.tv_sec = (time_t)(at_ms / 1000);
        at.it_value.tv_nsec = (long)(at_ms % 1000) * NS_PER_MS + 1; /* at 0 too it must be a time */
    }
    timerfd_settime(l->clock_source.fd, TFD_TIMER_ABSTIME, &at, NULL);
    l->clock_at_ms = at_ms;
}

static void clock_ready(loop_source *source, uint32_t events)
{
    (void)events;
    uint64_t count;
    ssize_t got = read(source->fd, &count, sizeof count);
    (void)got;
    CONTAINER(source, loop, clock_source)->clock_at_ms = UINT64_MAX;
}

static int start_clock(loop *l)
{
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (fd < 0)
        return -errno;
    l->clock_source = (loop_source){.ready = clock_ready, .fd = fd};
    l->clock_at_ms = UINT64_MAX;
    int error = loop_watch(l, &l->clock_source, EPOLLIN);
    if (error)
        close(fd);
    return error;
}

int loop_fd(loop *l)
{
    if (!l->clock_source.watched) {
        int error = start_clock(l);
        if (error)
            return error;
        set_clock(l);
    }
    return l->epoll_fd;
}

/* ---- other inboxes ---- */

int loop_push(inbox *box, note *n)
{
    loop *l = loop_entered;
    bool wake = false;
    if (!l)
        return inbox_push(box, n);
    int error = inbox_push_quietly(box, n, &wake);
    if (wake && l->n_to_wake == LOOP_MAX)
        inbox_wake(box);
    else if (wake)
        l->to_wake[l->n_to_wake++] = box;
    return error;
}

static void wake_others(loop *l)
{
    while (l->n_to_wake)
        inbox_wake(l->to_wake[--l->n_to_wake]);
}

/* ---- sources ---- */

int loop_watch(loop *l, loop_source *source, uint32_t events)
{
    assert(events <= UINT16_MAX);
    if (events == source->watched)
        return 0;
    if (!events) {
        loop_unwatch(l, source);
        return 0;
    }
    struct epoll_event event = {.events = events, .data.ptr = source};
    if (epoll_ctl(l->epoll_fd, source->watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, source->fd, &event))
        return -errno;
    source->watched = (uint16_t)events;
    return 0;
}

/* The owner may free the source after this, so the rest of the batch must forget it. */
void loop_unwatch(loop *l, loop_source *source)
{
    if (!source->watched)
        return;
    epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, source->fd, NULL);
    source->watched = 0;
    for (int i = l->event; i < l->n_events; i++)
        if (l->events[i].data.ptr == source)
            l->events[i].data.ptr = NULL;
}

/* With a thousand connections what is known of one has left the nearer caches since it was last looked at: it comes while another is served. What is
 * around a source is its owner, which may be gone: a prefetch does not mind. */
static void prefetch_source(const loop *l, int i)
{
    enum { BEFORE = 64, LINE = 64 };
    if (i >= l->n_events)
        return;
    uintptr_t at = (uintptr_t)l->events[i].data.ptr - BEFORE; /* of one that was forgotten, nowhere */
    for (int line = 0; line < 3; line++)
        __builtin_prefetch((const void *)(at + (uintptr_t)line * LINE));
}

static void run_sources(loop *l)
{
    while (l->event < l->n_events) {
        prefetch_source(l, l->event + 1);
        struct epoll_event *event = &l->events[l->event++];
        loop_source *source = event->data.ptr;
        if (!source)
            continue;
        /* What is watched may have changed since the kernel was asked; these two are told always. */
        uint32_t events = event->events & (source->watched | EPOLLERR | EPOLLHUP);
        if (events)
            source->ready(source, events);
        wake_others(l);
    }
}

/* ---- inbox ---- */

/* Only remembered, so that the notes come after all sources of the batch. */
static void inbox_ready(loop_source *source, uint32_t events)
{
    (void)events;
    CONTAINER(source, loop, inbox_source)->inbox_ready = true;
}

static void run_notes(loop *l)
{
    if (!l->inbox_ready)
        return;
    l->inbox_ready = false;
    unsigned flags;
    note *waiting = inbox_take(l->box, &flags);
    l->signalled |= flags;
    while (waiting) {
        note *n = waiting;
        waiting = n->next;
        n->run(n, l->owner);
        mem_free(n);
    }
    wake_others(l);
}

static void drop_notes(note *waiting)
{
    while (waiting) {
        note *n = waiting;
        waiting = n->next;
        if (n->drop)
            n->drop(n);
        mem_free(n);
    }
}

/* ---- timers ---- */

void loop_arm(loop *l, timer *t, uint64_t after_ms, timer_fn fire)
{
    uint64_t at_ms = 0;
    if (after_ms) {
        /* Asked anew: the turn may be long under way, or over, and then the timer would be early. */
        uint64_t now_ms = (monotonic_ns() + NS_PER_MS - 1) / NS_PER_MS;
        at_ms = after_ms < UINT64_MAX - now_ms ? now_ms + after_ms : UINT64_MAX;
    }
    wheel_arm(&l->wheel, t, at_ms, fire);
    if (!l->in_step)
        set_clock(l);
}

void loop_arm_roughly(loop *l, timer *t, uint64_t after_ms, timer_fn fire)
{
    wheel_arm(&l->wheel, t, l->now_ms + after_ms, fire);
    if (!l->in_step)
        set_clock(l);
}

void loop_cancel(loop *l, timer *t)
{
    wheel_cancel(&l->wheel, t);
}

static void run_timers(loop *l)
{
    l->now_ms = monotonic_ms();
    wheel_advance(&l->wheel, l->now_ms);
    wake_others(l);
}

/* ---- tasks ---- */

static void defer_before(loop *l, list_node *next, loop_task *task)
{
    if (loop_task_queued(task))
        return;
    list_append(next, &task->node);
    if (!l->in_step)
        set_clock(l);
}

void loop_defer(loop *l, loop_task *task)
{
    defer_before(l, &l->tasks, task);
}

void loop_defer_first(loop *l, loop_task *task)
{
    defer_before(l, l->tasks.next, task);
}

void loop_undefer(loop *l, loop_task *task)
{
    (void)l;
    list_remove(&task->node);
}

/* What is queued now; what these tasks defer stands behind the end of this round and is the next round. */
static void run_round(loop *l)
{
    list_append(&l->tasks, &l->round_end);
    for (list_node *node; (node = list_first(&l->tasks)) != &l->round_end;) {
        loop_task *task = CONTAINER(node, loop_task, node);
        list_remove(node);
        task->run(task);
        wake_others(l);
    }
    list_remove(&l->round_end);
}

static void run_tasks(loop *l)
{
    for (int round = 0; !list_empty(&l->tasks) && round < LOOP_ROUNDS; round++)
        run_round(l);
}

/* ---- lifecycle ---- */

static int take_place(loop *l)
{
    int found = -EMFILE;
    pthread_mutex_lock(&places_lock);
    for (int i = 0; i < LOOP_MAX && found < 0; i++)
        if (!places[i].taken)
            found = i;
    if (found >= 0) {
        places[found].taken = true;
        l->index = (uint8_t)found;
        l->box = &places[found].box;
    }
    pthread_mutex_unlock(&places_lock);
    return found < 0 ? found : 0;
}

static void leave_place(loop *l)
{
    atomic_store_explicit(&places[l->index].loop, NULL, memory_order_relaxed);
    atomic_store_explicit(&places[l->index].driver, NULL, memory_order_relaxed);
    pthread_mutex_lock(&places_lock);
    places[l->index].taken = false;
    pthread_mutex_unlock(&places_lock);
}

/* With a place and an epoll descriptor: opens the inbox and listens to it. */
static int start_inbox(loop *l)
{
    int error = inbox_open(l->box);
    if (error)
        return error;
    l->inbox_source = (loop_source){.ready = inbox_ready, .fd = inbox_fd(l->box)};
    error = loop_watch(l, &l->inbox_source, EPOLLIN);
    if (error)
        drop_notes(inbox_close(l->box));
    return error;
}

int loop_init(loop *l, void *owner)
{
    memset(l, 0, sizeof *l);
    l->owner = owner;
    list_init(&l->tasks);
    l->now_ms = monotonic_ms();
    wheel_init(&l->wheel, l->now_ms);
    int error = take_place(l);
    if (error)
        return error;
    l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (l->epoll_fd < 0) {
        error = -errno;
        goto leave;
    }
    error = start_inbox(l);
    if (error == 0) {
        atomic_store_explicit(&places[l->index].loop, l, memory_order_relaxed);
        return 0;
    }
    close(l->epoll_fd);
leave:
    leave_place(l);
    return error;
}

static loop *enter(loop *l)
{
    assert(!l->in_step);
    loop *outer = loop_entered; /* a callback of one loop may step or end another */
    if (outer)
        wake_others(outer); /* this may be among them */
    if (loop_driven(l->index) != l)
        atomic_store_explicit(&places[l->index].driver, &loop_entered, memory_order_relaxed);
    loop_entered = l;
    l->in_step = true;
    return outer;
}

static void leave(loop *l, loop *outer)
{
    l->in_step = false;
    loop_entered = outer;
}

void loop_refuse_notes(loop *l)
{
    drop_notes(inbox_close(l->box));
}

void loop_done(loop *l)
{
    loop *outer = enter(l);
    loop_refuse_notes(l);
    while (!list_empty(&l->tasks))
        run_round(l);
    leave(l, outer);
    if (l->clock_source.watched)
        close(l->clock_source.fd);
    close(l->epoll_fd);
    pool_done(&l->blocks);
    slabs_trim(&l->places);
    assert(l->places.n_pages == 0);
    leave_place(l);
}

/* ---- the turn ---- */

/* How long to wait: the least of what was asked, the next timer, and nothing at all when tasks are left. */
static int turn_timeout(const loop *l, int timeout_ms)
{
    uint64_t at_ms = next_ms(l);
    if (timeout_ms == 0 || at_ms == UINT64_MAX)
        return timeout_ms;
    uint64_t now_ms = at_ms ? monotonic_ms() : 0;
    uint64_t left_ms = at_ms > now_ms ? at_ms - now_ms : 0;
    uint64_t most_ms = timeout_ms < 0 ? INT_MAX : (uint64_t)timeout_ms;
    return (int)(left_ms < most_ms ? left_ms : most_ms);
}

int loop_step(loop *l, int timeout_ms)
{
    loop *outer = enter(l);
    int error = 0;
    int n = epoll_wait(l->epoll_fd, l->events, LOOP_EVENTS, turn_timeout(l, timeout_ms));
    if (n < 0 && errno != EINTR)
        error = -errno;
    l->n_wakes++;
    l->n_events = n > 0 ? n : 0;
    l->event = 0;
    l->now_ms = monotonic_ms();
    run_sources(l);
    run_notes(l);
    run_timers(l);
    run_tasks(l);
    set_clock(l);
    leave(l, outer);
    return error;
}
