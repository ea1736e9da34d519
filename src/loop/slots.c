#include "loop/slots.h"

#include "base/mem.h"
#include "loop/loop.h"
#include <assert.h>
#include <errno.h>
#include <sys/random.h>

int slots_init(slots *table, uint8_t place)
{
    *table = (slots){.first_free = SLOTS_MAX, .last_free = SLOTS_MAX, .place = place};
    if (getrandom(&table->first_generation, sizeof table->first_generation, 0) != sizeof table->first_generation)
        return -EIO;
    table->first_generation |= 1; /* so that the handle of loop 0, slot 0 is not 0 */
    return 0;
}

void slots_done(slots *table)
{
    if (table->loop)
        loop_cancel(table->loop, &table->look);
    mem_free(table->at);
    mem_free(table->due_ms);
    table->at = NULL;
    table->due_ms = NULL;
    table->n = table->cap = 0;
}

/* From the beginning so large that malloc maps it: what is not used is not touched, and growing moves pages where it would leave holes behind. */
enum { FIRST_SLOTS = 32768 };

static int grow(slots *table)
{
    uint32_t cap = table->cap ? table->cap * 2 : FIRST_SLOTS;
    if (table->cap >= SLOTS_MAX)
        return -EMFILE;
    slot *at = mem_resize(table->at, cap * sizeof *at);
    if (!at)
        return -ENOMEM;
    table->at = at;
    uint32_t *due_ms = mem_resize(table->due_ms, cap * sizeof *due_ms);
    if (!due_ms)
        return -ENOMEM;
    table->due_ms = due_ms;
    table->cap = cap;
    return 0;
}

static uint32_t take(slots *table)
{
    uint32_t i = table->first_free;
    if (i != SLOTS_MAX) {
        table->first_free = table->at[i].kind_next;
        if (table->first_free == SLOTS_MAX)
            table->last_free = SLOTS_MAX;
        return i;
    }
    if (table->n == table->cap && grow(table))
        return SLOTS_MAX;
    table->at[table->n].generation = table->first_generation;
    return table->n++;
}

uint64_t slots_put(slots *table, slot_kind kind, void *value)
{
    assert(value && kind != SLOT_FREE);
    uint32_t i = take(table);
    if (i == SLOTS_MAX)
        return 0;
    slot *s = &table->at[i];
    s->value = value;
    s->kind_next = kind;
    table->due_ms[i] = 0;
    return (uint64_t)table->place << 56 | (uint64_t)i << 32 | s->generation;
}

void slots_remove(slots *table, uint64_t handle)
{
    uint32_t i = handle_slot(handle);
    assert(i < table->n && table->at[i].generation == (uint32_t)handle && table->at[i].value);
    slot *s = &table->at[i];
    s->value = NULL;
    table->due_ms[i] = 0;
    if (++s->generation == 0)
        return; /* every generation was used once: the slot retires */
    s->kind_next = SLOTS_MAX;
    if (table->last_free == SLOTS_MAX)
        table->first_free = i;
    else
        table->at[table->last_free].kind_next = i;
    table->last_free = i;
}

void slots_each(slots *table, slot_kind kind, void (*fn)(void *value, void *user), void *user)
{
    for (uint32_t i = 0; i < table->n; i++)
        if (table->at[i].value && table->at[i].kind_next == (uint32_t)kind)
            fn(table->at[i].value, user);
}

void *slots_next(const slots *table, slot_kind kind, uint32_t *at)
{
    while (*at < table->n) {
        const slot *s = &table->at[(*at)++];
        if (s->value && s->kind_next == (uint32_t)kind)
            return s->value;
    }
    return NULL;
}
