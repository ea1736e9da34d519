/**
 * Timers by the million: a hierarchical wheel of 1 ms ticks (six levels of 64 slots, about two years ahead). Arming and
 * cancelling are constant time and never allocate; a timer is 32 bytes inside whatever waits for it.
 *
 * A timer never fires early, and fires in the first wheel_advance() at or after its time, in order of time (timers of
 * the same tick in any order).
 */
#ifndef WEFT_LOOP_TIMER_H
#define WEFT_LOOP_TIMER_H

#include <stdbool.h>
#include <stdint.h>

typedef struct timer timer;
typedef struct timer_wheel timer_wheel;

typedef void (*timer_fn)(timer *t);

/** Zeroed is a timer that is not armed. Its memory must not move or go while it is armed. */
struct timer {
    timer *next, **link; /* link: what points at us; NULL when not armed */
    timer_fn fire;
    uint64_t at_ms;
};

enum { WHEEL_LEVELS = 6, WHEEL_SLOTS = 64 };

/* A timer stands at the level of the highest base-64 digit in which its time differs from now_ms, in the slot of its
 * own digit there. So every timer of a level is due before every timer of the next, and the slot of now_ms itself is
 * empty at every level. */
struct timer_wheel {
    uint64_t now_ms;
    uint64_t n_armed;
    timer *due, **due_end;           /* for the next advance, in order of time */
    timer *firing;                   /* what the advance under way has still to fire */
    uint64_t occupied[WHEEL_LEVELS]; /* a bit a slot */
    timer *slots[WHEEL_LEVELS][WHEEL_SLOTS];
};

/** An empty wheel. It must not move afterwards: timers point into it. */
void wheel_init(timer_wheel *wheel, uint64_t now_ms);

/** Arms, or moves, a timer: fire(t) runs at the first advance to at_ms or later. A time in the past is the next
 * advance, even one to the same now. Times beyond the wheel are clamped to its end. */
void wheel_arm(timer_wheel *wheel, timer *t, uint64_t at_ms, timer_fn fire);

/** Not armed is fine. */
void wheel_cancel(timer_wheel *wheel, timer *t);

static inline bool timer_armed(const timer *t)
{
    return t->link;
}

/** Moves the clock (never backwards) and fires what is due. A timer is disarmed before it fires; fire() may arm, cancel
 * and free any timer, its own too, but not advance the wheel. A timer armed from fire() for now or earlier fires in the
 * next advance, so that this one ends. Returns how many fired. */
uint64_t wheel_advance(timer_wheel *wheel, uint64_t now_ms);

/** Milliseconds from wheel->now_ms after which wheel_advance() should be called: 0 when something is due; never later
 * than the first timer, sometimes earlier (a slot of a higher level has to be spread); UINT64_MAX with no timer. */
uint64_t wheel_wait_ms(const timer_wheel *wheel);

#endif
