#include "loop/timer.h"
#include <assert.h>
#include <string.h>

enum {
    SLOT_BITS = 6,
    TOP_LEVEL = WHEEL_LEVELS - 1,
    TOP_SHIFT = TOP_LEVEL * SLOT_BITS,
};

/* When a slot begins: its timers are due then, or have to be spread over the levels below. */
typedef struct {
    uint64_t at_ms;
    unsigned level;
} slot_time;

void wheel_init(timer_wheel *wheel, uint64_t now_ms)
{
    memset(wheel, 0, sizeof *wheel);
    wheel->now_ms = now_ms;
    wheel->due_end = &wheel->due;
}

static void insert(timer **link, timer *t)
{
    t->next = *link;
    t->link = link;
    if (t->next)
        t->next->link = &t->next;
    *link = t;
}

/* Clears the occupied bit when `link` is a slot and not the inside of a list. */
static void mark_empty(timer_wheel *wheel, timer **link)
{
    uintptr_t offset = (uintptr_t)link - (uintptr_t)wheel->slots;
    if (offset >= sizeof wheel->slots)
        return;
    size_t slot = offset / sizeof *link;
    wheel->occupied[slot / WHEEL_SLOTS] &= ~(UINT64_C(1) << slot % WHEEL_SLOTS);
}

static void take_out(timer_wheel *wheel, timer *t)
{
    *t->link = t->next;
    if (t->next)
        t->next->link = t->link;
    else if (wheel->due_end == &t->next)
        wheel->due_end = t->link;
    else
        mark_empty(wheel, t->link);
    t->link = NULL;
    wheel->n_armed--;
}

/* Puts a timer that stands nowhere where its time belongs. */
static void place(timer_wheel *wheel, timer *t)
{
    if (t->at_ms <= wheel->now_ms) {
        insert(wheel->due_end, t);
        wheel->due_end = &t->next;
        return;
    }
    unsigned level = (63 - (unsigned)__builtin_clzll(t->at_ms ^ wheel->now_ms)) / SLOT_BITS;
    if (level > TOP_LEVEL)
        level = TOP_LEVEL; /* the top level goes round: a smaller digit than now's is the next time round */
    unsigned slot = t->at_ms >> level * SLOT_BITS & (WHEEL_SLOTS - 1);
    insert(&wheel->slots[level][slot], t);
    wheel->occupied[level] |= UINT64_C(1) << slot;
}

/* The last millisecond that can be told from those one round of the top level before. */
static uint64_t last_ms(const timer_wheel *wheel)
{
    return (((wheel->now_ms >> TOP_SHIFT) + WHEEL_SLOTS) << TOP_SHIFT) - 1;
}

void wheel_arm(timer_wheel *wheel, timer *t, uint64_t at_ms, timer_fn fire)
{
    wheel_cancel(wheel, t);
    uint64_t last = last_ms(wheel);
    t->at_ms = at_ms < last ? at_ms : last;
    t->fire = fire;
    place(wheel, t);
    wheel->n_armed++;
}

void wheel_cancel(timer_wheel *wheel, timer *t)
{
    if (timer_armed(t))
        take_out(wheel, t);
}

static uint64_t rotate_right(uint64_t bits, unsigned by)
{
    return bits >> by | bits << (-by & 63);
}

/* The slot that begins next: the lowest level that has any knows it. */
static bool next_slot(const timer_wheel *wheel, slot_time *ret_next)
{
    for (unsigned level = 0; level < WHEEL_LEVELS; level++) {
        if (!wheel->occupied[level])
            continue;
        uint64_t digits = wheel->now_ms >> level * SLOT_BITS;
        unsigned ahead = (unsigned)__builtin_ctzll(rotate_right(wheel->occupied[level], digits % WHEEL_SLOTS));
        *ret_next = (slot_time){(digits + ahead) << level * SLOT_BITS, level};
        return true;
    }
    return false;
}

/* The clock stands at the beginning of this slot: its timers become due or move to lower levels. */
static void spread(timer_wheel *wheel, unsigned level)
{
    unsigned slot = wheel->now_ms >> level * SLOT_BITS & (WHEEL_SLOTS - 1);
    timer *list = wheel->slots[level][slot];
    wheel->slots[level][slot] = NULL;
    wheel->occupied[level] &= ~(UINT64_C(1) << slot);
    while (list) {
        timer *t = list;
        list = t->next;
        place(wheel, t);
    }
}

/* Steps from one occupied slot to the next, so the time between costs nothing. */
static void move_clock(timer_wheel *wheel, uint64_t now_ms)
{
    slot_time next;
    while (next_slot(wheel, &next) && next.at_ms <= now_ms) {
        wheel->now_ms = next.at_ms;
        spread(wheel, next.level);
    }
    if (wheel->now_ms < now_ms)
        wheel->now_ms = now_ms;
}

/* All that is due is collected before the first call, so what fire() arms for now waits for the next advance; and it is
 * taken from the list one by one, so fire() may cancel any of the others. */
uint64_t wheel_advance(timer_wheel *wheel, uint64_t now_ms)
{
    assert(!wheel->firing);
    move_clock(wheel, now_ms);
    wheel->firing = wheel->due;
    if (wheel->firing)
        wheel->firing->link = &wheel->firing;
    wheel->due = NULL;
    wheel->due_end = &wheel->due;
    uint64_t n_fired = 0;
    for (timer *t; (t = wheel->firing); n_fired++) {
        take_out(wheel, t);
        t->fire(t);
    }
    return n_fired;
}

uint64_t wheel_wait_ms(const timer_wheel *wheel)
{
    if (wheel->due)
        return 0;
    slot_time next;
    return next_slot(wheel, &next) ? next.at_ms - wheel->now_ms : UINT64_MAX;
}
