/**
 * A token bucket: so many per second on average, and ten times that at once after a rest. It is filled by what comes and leaks with time.
 */
#ifndef WEFT_BASE_BUCKET_H
#define WEFT_BASE_BUCKET_H

#include <stdint.h>

enum { BUCKET_BURST_S = 10 };

/* Larger rates would overflow, and are none. */
#define BUCKET_MAX_PER_S ((uint64_t)1 << 40)

/** Zeroed is empty. */
typedef struct {
    uint64_t level; /* thousandths */
    uint64_t at_ms; /* when it stood there */
} bucket;

static inline uint64_t bucket_rate(uint64_t per_s)
{
    return per_s < BUCKET_MAX_PER_S ? per_s : BUCKET_MAX_PER_S;
}

/** Lets it leak up to now. per_s is not 0, and the clock never goes back. */
static inline void bucket_leak(bucket *b, uint64_t per_s, uint64_t now_ms)
{
    uint64_t rate = bucket_rate(per_s), passed_ms = now_ms - b->at_ms;
    b->level = b->level / rate < passed_ms ? 0 : b->level - rate * passed_ms;
    b->at_ms = now_ms;
}

/** n more have come. */
static inline void bucket_fill(bucket *b, uint64_t n)
{
    b->level += (n < BUCKET_MAX_PER_S ? n : BUCKET_MAX_PER_S) * 1000;
}

/** Milliseconds until no more than a burst is in it; 0: now. */
static inline uint64_t bucket_wait_ms(const bucket *b, uint64_t per_s)
{
    uint64_t rate = bucket_rate(per_s), burst = rate * BUCKET_BURST_S * 1000;
    return b->level <= burst ? 0 : (b->level - burst + rate - 1) / rate;
}

#endif
