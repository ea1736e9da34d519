/**
 * How long something took, again and again: counts of it in buckets from 1 ms to 10 s, as metrics have them.
 */
#ifndef WEFT_BASE_HISTOGRAM_H
#define WEFT_BASE_HISTOGRAM_H

#include <stdint.h>

enum { HISTOGRAM_BOUNDS = 13 };

/** The upper ends of the buckets, which belong to them. */
extern const uint16_t histogram_bounds_ms[HISTOGRAM_BOUNDS];

/** Zeroed is empty. */
typedef struct {
    uint64_t n[HISTOGRAM_BOUNDS + 1]; /* of each bucket alone; the last is above all bounds */
    uint64_t sum_us;
} histogram;

void histogram_add(histogram *h, uint64_t us);

#endif
