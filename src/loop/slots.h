/**
 * Handles that cannot dangle: a table from 64-bit handles to what they stand for.
 *
 *   63      56 55              32 31                     0
 *  +----------+------------------+------------------------+
 *  | loop     | slot             | generation             |      0 is nobody
 *  +----------+------------------+------------------------+
 *
 * Generations start at random and go up with each use of a slot; a slot whose generation wraps is retired. Freed slots are used again oldest
 * first, so that a stale handle stays stale for as long as possible.
 */
#ifndef WEFT_LOOP_SLOTS_H
#define WEFT_LOOP_SLOTS_H

#include "loop/timer.h"
#include <stddef.h>
#include <stdint.h>

typedef enum {
    SLOT_FREE,
    SLOT_PEER,
    SLOT_CARRIER, /* a hidden peer: peer_rules.carrier */
    SLOT_CLOSING, /* a peer that is gone for the program, whose connection is still ending */
    SLOT_EXCHANGE,
    SLOT_TIMER,
    SLOT_MIRROR, /* of a topic that is at home on another loop (hub/mirror.h) */
    SLOT_KINDS,
} slot_kind;

enum { SLOTS_MAX = 1 << 24 };

typedef struct {
    void *value;
    uint32_t generation;
    uint32_t kind_next; /* in use: the kind; free: the next free slot */
} slot;

typedef struct {
    slot *at;
    uint32_t *due_ms; /* a deadline for each slot (deadlines.h), low bits of the clock; 0: none */
    uint32_t n, cap;
    uint32_t first_free, last_free; /* SLOTS_MAX: none */
    uint32_t first_generation;
    uint8_t place;      /* of the loop */
    struct loop *loop;  /* NULL: there are no deadlines */
    timer look;         /* at the deadlines */
    uint64_t looked_ms; /* when the latest was */
    void (*due[SLOT_KINDS])(void *value);
} slots;

/** `place` is the loop's in the table of loops. 0 or -errno. The table must not move afterwards. */
int slots_init(slots *table, uint8_t place);
void slots_done(slots *table);

/** A handle for value (not NULL); 0 when there is no memory or no slot. */
uint64_t slots_put(slots *table, slot_kind kind, void *value);

/** The handle must be valid. */
void slots_remove(slots *table, uint64_t handle);

/** Calls fn for every value of the kind; fn may remove any. */
void slots_each(slots *table, slot_kind kind, void (*fn)(void *value, void *user), void *user);

/** The first value of the kind from slot *at on, which moves behind it: for a walk in pieces. NULL at the end. */
void *slots_next(const slots *table, slot_kind kind, uint32_t *at);

static inline uint32_t handle_slot(uint64_t handle)
{
    return (uint32_t)(handle >> 32) & (SLOTS_MAX - 1);
}

static inline unsigned handle_loop(uint64_t handle)
{
    return (unsigned)(handle >> 56);
}

/** What the handle stands for, NULL when it is gone, of another kind or another loop. */
static inline void *slots_get(const slots *table, uint64_t handle, slot_kind kind)
{
    uint32_t i = handle_slot(handle);
    if (handle == 0 || handle_loop(handle) != table->place || i >= table->n)
        return NULL;
    const slot *s = &table->at[i];
    if (s->generation != (uint32_t)handle || s->kind_next != (uint32_t)kind)
        return NULL;
    return s->value;
}

#endif
