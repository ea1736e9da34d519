#include "bench/latency.h"

/* Microseconds below 64 have a bucket each; above, each doubling has 64 of them. The last doubling holds an hour. */
static unsigned bucket_of(uint64_t us)
{
    if (us < BENCH_LATENCY_SUB)
        return (unsigned)us;
    unsigned shift = 63U - (unsigned)__builtin_clzll(us) - 6U;
    unsigned bucket = shift * BENCH_LATENCY_SUB + (unsigned)(us >> shift);
    return bucket < BENCH_LATENCY_BUCKETS ? bucket : BENCH_LATENCY_BUCKETS - 1;
}

/* The longest time of a bucket. */
static uint64_t end_us(unsigned bucket)
{
    if (bucket < BENCH_LATENCY_SUB)
        return bucket;
    unsigned shift = bucket / BENCH_LATENCY_SUB - 1;
    uint64_t first = BENCH_LATENCY_SUB + bucket % BENCH_LATENCY_SUB;
    return ((first + 1) << shift) - 1;
}

void bench_latency_add(bench_latency *latency, uint64_t ns)
{
    if (latency->n++ == 0 || ns < latency->least_ns)
        latency->least_ns = ns;
    if (ns > latency->most_ns)
        latency->most_ns = ns;
    latency->sum_ns += ns;
    latency->counts[bucket_of(ns / 1000)]++;
}

void bench_latency_merge(bench_latency *latency, const bench_latency *other)
{
    if (!other->n)
        return;
    if (!latency->n || other->least_ns < latency->least_ns)
        latency->least_ns = other->least_ns;
    if (other->most_ns > latency->most_ns)
        latency->most_ns = other->most_ns;
    latency->n += other->n;
    latency->sum_ns += other->sum_ns;
    for (unsigned i = 0; i < BENCH_LATENCY_BUCKETS; i++)
        latency->counts[i] += other->counts[i];
}

uint64_t bench_latency_at(const bench_latency *latency, double percent)
{
    double wanted = (double)latency->n * percent / 100;
    uint64_t n = 0;
    for (unsigned i = 0; latency->n && i < BENCH_LATENCY_BUCKETS; i++) {
        n += latency->counts[i];
        if (n && (double)n >= wanted) {
            uint64_t ns = bench_latency_bucket_ns(i);
            return ns < latency->most_ns ? ns : latency->most_ns;
        }
    }
    return latency->most_ns;
}

uint64_t bench_latency_bucket_ns(unsigned bucket)
{
    return end_us(bucket) * 1000 + 999;
}
