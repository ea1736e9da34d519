#include "hub/topic_private.h"
#include <assert.h>

enum {
    CLOCK_EVERY = 32,   /* waiters between two looks at the clock */
    MOST_AT_ONCE = 512, /* woken in one turn: each costs a system call at its end, which no slice counts */
};

void topic_wait(topic *t, waiter *w)
{
    assert(w->next == t->head && !w->topic);
    topic_wanted(t);
    w->topic = t;
    t->n_waiters++;
    t->hub->counts.n_waiters++;
    list_append(&t->waiters, &w->node);
    topic_count_changed(t);
}

static void forget(waiter *w)
{
    list_remove(&w->node);
    w->topic->n_waiters--;
    w->topic->hub->counts.n_waiters--;
    topic_count_changed(w->topic);
    w->topic = NULL;
}

void topic_stop_waiting(waiter *w)
{
    topic *t = w->topic;
    if (!t)
        return;
    topic_hold(t);
    forget(w);
    topic_release(t);
}

void waiters_note(topic *t)
{
    hub *h = t->hub;
    if (!t->n_waiters || list_linked(&t->waking))
        return;
    list_append(&h->waking, &t->waking);
    if (!timer_armed(&h->wake_slice))
        loop_defer(h->loop, &h->wake);
}

/* Who has come since the publication waits for the next one, behind all others. */
static waiter *next_to_wake(const topic *t)
{
    list_node *node = list_first(&t->waiters);
    waiter *w = node ? CONTAINER(node, waiter, node) : NULL;
    return w && w->next < t->head ? w : NULL;
}

/* What one turn may do. */
typedef struct {
    uint64_t end_us;
    unsigned n; /* woken */
} wake_turn;

static bool is_over(const wake_turn *turn)
{
    return turn->n >= MOST_AT_ONCE || (turn->n % CLOCK_EVERY == 0 && loop_clock_us() >= turn->end_us);
}

/* Until all are woken (true) or the turn is over. */
static bool wake_all(topic *t, wake_turn *turn)
{
    for (waiter *w; (w = next_to_wake(t)) != NULL; turn->n++) {
        if (is_over(turn))
            return false;
        forget(w);
        w->wake(w);
    }
    return true;
}

static void wake_slice(hub *h);

static void next_wake_slice(timer *clock)
{
    wake_slice(CONTAINER(clock, hub, wake_slice));
}

static void wake_slice(hub *h)
{
    wake_turn turn = {.end_us = loop_clock_us() + FANOUT_SLICE_US};
    for (list_node *node; (node = list_first(&h->waking)) != NULL && !is_over(&turn);) {
        topic *t = topic_hold(CONTAINER(node, topic, waking));
        list_remove(&t->waking);
        bool all = wake_all(t, &turn);
        if (!all && !list_linked(&t->waking)) /* a wake may have published, and so listed it */
            list_append(&h->waking, &t->waking);
        topic_release(t);
    }
    if (!list_empty(&h->waking) && !timer_armed(&h->wake_slice))
        loop_arm(h->loop, &h->wake_slice, 0, next_wake_slice);
}

void waiters_wake(loop_task *task)
{
    wake_slice(CONTAINER(task, hub, wake));
}
