#include "hub/timers.h"

#include "base/mem.h"
#include "hub/topic.h"
#include "loop/slots.h"

typedef struct {
    timer clock;
    hub *hub;
    peer *peer; /* NULL: the application's */
    list_node siblings;
    uint64_t id;
    timer_spec spec;
} program_timer;

static void timer_free(program_timer *t)
{
    loop_cancel(t->hub->loop, &t->clock);
    list_remove(&t->siblings);
    slots_remove(t->hub->table, t->id);
    mem_free(t);
}

static void timer_fired(timer *clock);

/* Counted from when it was due, so that lateness does not add up; what was missed altogether is skipped. */
static void repeat(program_timer *t)
{
    loop *l = t->hub->loop;
    uint64_t ms = t->spec.ms ? t->spec.ms : 1;
    uint64_t at_ms = t->clock.at_ms + ms;
    wheel_arm(&l->wheel, &t->clock, at_ms > l->now_ms ? at_ms : l->now_ms + ms, timer_fired);
}

static void timer_fired(timer *clock)
{
    program_timer *t = CONTAINER(clock, program_timer, clock);
    timer_spec spec = t->spec;
    hub *h = t->hub;
    peer *p = t->peer;
    if (spec.repeat)
        repeat(t);
    else
        timer_free(t);
    if (!p)
        spec.fn(h->app, spec.user);
    else if (!p->leaving)
        spec.peer_fn(peer_handle(p), spec.user);
}

weft_timer hub_timer_start(hub *h, peer *p, const timer_spec *spec)
{
    program_timer *t = mem_new(sizeof *t);
    if (!t)
        return (weft_timer){0};
    *t = (program_timer){.hub = h, .peer = p, .spec = *spec};
    t->id = slots_put(h->table, SLOT_TIMER, t);
    if (!t->id) {
        mem_free(t);
        return (weft_timer){0};
    }
    if (p)
        list_append(&p->timers, &t->siblings);
    loop_arm(h->loop, &t->clock, spec->ms, timer_fired);
    return (weft_timer){t->id};
}

int hub_timer_cancel(hub *h, weft_timer handle)
{
    program_timer *t = slots_get(h->table, handle.id, SLOT_TIMER);
    if (!t)
        return WEFT_E_CLOSED;
    timer_free(t);
    return 0;
}

void peer_timers_drop(peer *p)
{
    for (list_node *node; (node = list_first(&p->timers));)
        timer_free(CONTAINER(node, program_timer, siblings));
}

static void drop_one(void *value, void *user)
{
    (void)user;
    timer_free(value);
}

void hub_timers_drop(hub *h)
{
    slots_each(h->table, SLOT_TIMER, drop_one, NULL);
}
