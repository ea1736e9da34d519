/**
 * A deadline for each handle, for what there is by the hundred thousand and waits long: four bytes in a flat array beside the table, where a timer
 * inside of each would be 32. Setting and clearing is a store; one timer for all of them looks through the array when the first is due, and at most
 * a thousand times in as many milliseconds as there are handles. So a deadline is never early, and late by a millisecond for each thousand handles.
 */
#ifndef WEFT_LOOP_DEADLINES_H
#define WEFT_LOOP_DEADLINES_H

#include "loop/loop.h"
#include "loop/slots.h"

/** From now on due(value) is called, from the loop, when the deadline of a handle of this kind has come, which it then no longer has. It may do what a
 * timer's callback may. */
void deadlines_begin(slots *table, loop *l, slot_kind kind, void (*due)(void *value));

/** Sets, or moves, the deadline of a handle; its kind was told to deadlines_begin(). At most 24 days ahead. */
void deadline_set(slots *table, uint64_t handle, uint32_t after_ms);

/** None is fine, and so is handle 0. A handle that is removed has none. */
void deadline_clear(slots *table, uint64_t handle);

/** What stands for a value is changed from one handle to another (which may be 0), and the deadline goes along: taken off the old one, 0 for none, and put on the
 * new one. */
uint32_t deadline_take(slots *table, uint64_t handle);
void deadline_put(slots *table, uint64_t handle, uint32_t taken);

#endif
