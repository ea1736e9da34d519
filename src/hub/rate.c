#include "hub/rate.h"

#include "base/bucket.h"
#include "base/mem.h"
#include "hub/topic.h"
#include <errno.h>

struct peer_rate {
    peer *peer;
    timer clock;                          /* armed while it waits */
    bucket messages, bytes;               /* leak together, once a turn */
    uint64_t messages_per_s, bytes_per_s; /* what is not limited has a limit that nobody reaches */
};

int peer_rate_init(peer *p)
{
    const peer_rules *rules = p->rules;
    if (!rules->max_messages_per_s && !rules->max_bytes_per_s)
        return 0;
    peer_rate *r = peer_extra_of(p) ? mem_zero(sizeof *r) : NULL;
    if (!r)
        return -ENOMEM;
    r->peer = p;
    r->messages_per_s = rules->max_messages_per_s ? rules->max_messages_per_s : BUCKET_MAX_PER_S;
    r->bytes_per_s = rules->max_bytes_per_s ? rules->max_bytes_per_s : BUCKET_MAX_PER_S;
    p->extra->rate = r;
    return 0;
}

void peer_rate_done(peer *p)
{
    if (!p->extra || !p->extra->rate)
        return;
    loop_cancel(p->hub->loop, &p->extra->rate->clock);
    mem_free(p->extra->rate);
    p->extra->rate = NULL;
}

static void go_on(timer *t)
{
    peer_stop_reading(CONTAINER(t, peer_rate, clock)->peer, PAUSED_BY_RATE, false);
}

/* Nothing is read until the slower one of the two has leaked. */
static void stop(peer_rate *r, uint64_t of_messages_ms, uint64_t of_bytes_ms)
{
    bool by_bytes = of_bytes_ms > of_messages_ms;
    if (!timer_armed(&r->clock))
        peer_reached(r->peer, by_bytes ? LIMIT_BYTE_RATE : LIMIT_MESSAGE_RATE);
    peer_stop_reading(r->peer, PAUSED_BY_RATE, true);
    loop_arm(r->peer->hub->loop, &r->clock, (by_bytes ? of_bytes_ms : of_messages_ms) + RATE_PAUSE_MS, go_on);
}

void peer_rate_count(peer *p, size_t bytes)
{
    peer_rate *r = p->extra->rate;
    uint64_t now_ms = p->hub->loop->now_ms;
    if (r->messages.at_ms != now_ms) {
        bucket_leak(&r->messages, r->messages_per_s, now_ms);
        bucket_leak(&r->bytes, r->bytes_per_s, now_ms);
    }
    bucket_fill(&r->messages, 1);
    bucket_fill(&r->bytes, bytes);
    uint64_t of_messages_ms = bucket_wait_ms(&r->messages, r->messages_per_s);
    uint64_t of_bytes_ms = bucket_wait_ms(&r->bytes, r->bytes_per_s);
    if (__builtin_expect(of_messages_ms || of_bytes_ms, 0))
        stop(r, of_messages_ms, of_bytes_ms);
}

uint64_t peer_rate_wait_ms(const peer *p)
{
    const peer_rate *r = p->extra ? p->extra->rate : NULL;
    uint64_t now_ms = p->hub->loop->now_ms;
    return r && timer_armed(&r->clock) && r->clock.at_ms > now_ms ? r->clock.at_ms - now_ms : 0;
}
