/**
 * How long each message took: an HDR-style histogram, exact to 1 part in 64 from 1 us to an hour, of fixed size, that adds up over processes.
 */
#ifndef WEFT_BENCH_LATENCY_H
#define WEFT_BENCH_LATENCY_H

#include <stdint.h>

enum { BENCH_LATENCY_SUB = 64, BENCH_LATENCY_BUCKETS = 64 * 36 };

/** Zeroed is empty. */
typedef struct {
    uint64_t n, sum_ns, least_ns, most_ns;
    uint64_t counts[BENCH_LATENCY_BUCKETS];
} bench_latency;

void bench_latency_add(bench_latency *latency, uint64_t ns);

/** Adds another's counts. */
void bench_latency_merge(bench_latency *latency, const bench_latency *other);

/** The time that `percent` of all (0 to 100) were not slower than, in nanoseconds; 0 when it is empty. Never above the slowest seen. */
uint64_t bench_latency_at(const bench_latency *latency, double percent);

/** The longest time that a bucket counts, in nanoseconds. */
uint64_t bench_latency_bucket_ns(unsigned bucket);

#endif
