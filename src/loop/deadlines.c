#include "loop/deadlines.h"

enum {
    HANDLES_PER_MS = 1024,   /* of the time between two looks */
    FARTHEST_MS = INT32_MAX, /* so that what is past is told from what is to come in 32 bits */
};

static uint32_t *place_of(const slots *table, uint64_t handle)
{
    return &table->due_ms[handle_slot(handle)];
}

/* The next look is at that time or before, unless the last one is not long ago. */
static void look_by(slots *table, uint64_t at_ms)
{
    uint64_t earliest_ms = table->looked_ms + table->n / HANDLES_PER_MS;
    at_ms = at_ms > earliest_ms ? at_ms : earliest_ms;
    if (timer_armed(&table->look) && table->look.at_ms <= at_ms)
        return;
    uint64_t now_ms = table->loop->now_ms;
    loop_arm_roughly(table->loop, &table->look, at_ms > now_ms ? at_ms - now_ms : 0, table->look.fire);
}

/* Until a time of which the low bits are known; negative when it is past. */
static int32_t left_ms(const slots *table, uint32_t due_ms)
{
    return (int32_t)(due_ms - (uint32_t)table->loop->now_ms);
}

static void look(timer *t)
{
    slots *table = CONTAINER(t, slots, look);
    int32_t least_ms = FARTHEST_MS;
    bool some = false;
    table->looked_ms = table->loop->now_ms;
    for (uint32_t i = 0; i < table->n; i++) {
        uint32_t due_ms = table->due_ms[i];
        int32_t left = due_ms ? left_ms(table, due_ms) : FARTHEST_MS;
        if (due_ms && left <= 0) {
            table->due_ms[i] = 0;
            table->due[table->at[i].kind_next](table->at[i].value);
        } else if (due_ms) {
            some = true;
            least_ms = left < least_ms ? left : least_ms;
        }
    }
    if (some)
        look_by(table, table->loop->now_ms + (uint64_t)least_ms);
}

void deadlines_begin(slots *table, loop *l, slot_kind kind, void (*due)(void *value))
{
    table->loop = l;
    table->look.fire = look;
    table->due[kind] = due;
}

void deadline_set(slots *table, uint64_t handle, uint32_t after_ms)
{
    uint64_t at_ms = (loop_clock_us() + 999) / 1000 + (after_ms < FARTHEST_MS ? after_ms : FARTHEST_MS);
    at_ms += (uint32_t)at_ms == 0; /* which stands for none */
    *place_of(table, handle) = (uint32_t)at_ms;
    look_by(table, at_ms);
}

void deadline_clear(slots *table, uint64_t handle)
{
    if (handle)
        *place_of(table, handle) = 0;
}

uint32_t deadline_take(slots *table, uint64_t handle)
{
    uint32_t taken = *place_of(table, handle);
    *place_of(table, handle) = 0;
    return taken;
}

void deadline_put(slots *table, uint64_t handle, uint32_t taken)
{
    if (!handle || !taken)
        return;
    *place_of(table, handle) = taken;
    int32_t left = left_ms(table, taken);
    look_by(table, table->loop->now_ms + (left > 0 ? (uint64_t)left : 0));
}
