#include "hub/timers.h"

#include "base/mem.h"
#include "hub/topic.h"
#include "loop/slots.h"

typedef struct program_timer program_timer;

struct program_timer {
    timer clock;
    hub *hub;
    peer *peer;                  /* NULL: the application's */
    program_timer *next, **link; /* of the same peer; link: what points at this one */
    uint64_t id;
    timer_spec spec;
};

static void timer_free(program_timer *t)
{
    loop_cancel(t->hub->loop, &t->clock);
    if (t->link)
        *t->link = t->next;
    if (t->next)
        t->next->link = t->link;
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

static void link_to_peer(program_timer *t, peer *p)
{
    t->next = p->extra->timers;
    t->link = &p->extra->timers;
    p->extra->timers = t;
    if (t->next)
        t->next->link = &t->next;
}

weft_timer hub_timer_start(hub *h, peer *p, const timer_spec *spec)
{
    program_timer *t = p && !peer_extra_of(p) ? NULL : mem_new(sizeof *t);
    if (!t)
        return (weft_timer){0};
    *t = (program_timer){.hub = h, .peer = p, .spec = *spec};
    t->id = slots_put(h->table, SLOT_TIMER, t);
    if (!t->id) {
        mem_free(t);
        return (weft_timer){0};
    }
    if (p)
        link_to_peer(t, p);
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
    while (p->extra && p->extra->timers)
        timer_free(p->extra->timers);
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
