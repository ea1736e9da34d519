/**
 * The order in which numbered messages come, from 0 on: which are missing, which come twice, which come late.
 */
#ifndef WEFT_BENCH_ORDER_H
#define WEFT_BENCH_ORDER_H

#include <stdint.h>

/** Zeroed awaits number 0. */
typedef struct {
    uint64_t next; /* one above the highest that has come */
    uint64_t seen; /* bit i: next - 1 - i has come */
} bench_order;

typedef enum {
    BENCH_IN_ORDER, /* the next one, or one after a gap */
    BENCH_LATE,     /* a higher number came before it */
    BENCH_DOUBLED,  /* it has come before; or it is so late that nobody remembers */
} bench_place;

enum { BENCH_ORDER_MEMORY = 64 }; /* numbers below the highest whose coming is remembered */

/** Takes a number. *ret_skipped: how many before it have not come (and count as missing unless they come late). */
static inline bench_place bench_order_take(bench_order *order, uint64_t number, uint64_t *ret_skipped)
{
    *ret_skipped = 0;
    if (number >= order->next) {
        uint64_t skipped = number - order->next;
        order->seen = skipped < BENCH_ORDER_MEMORY - 1 ? order->seen << (skipped + 1) | 1 : 1;
        order->next = number + 1;
        *ret_skipped = skipped;
        return BENCH_IN_ORDER;
    }
    uint64_t back = order->next - 1 - number;
    if (back >= BENCH_ORDER_MEMORY || order->seen >> back & 1)
        return BENCH_DOUBLED;
    order->seen |= UINT64_C(1) << back;
    return BENCH_LATE;
}

#endif
