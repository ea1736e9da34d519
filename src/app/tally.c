#include "app/tally.h"

#include "app/admin.h"

_Static_assert(sizeof(hub_counts) % sizeof(uint64_t) == 0 && sizeof(histogram) % sizeof(uint64_t) == 0,
               "a tally is added up number by number");

static void count_limits(tally *t, const limits *l)
{
    for (int i = 0; i < N_LIMITS; i++)
        t->limits[i] += l->n[i];
}

/* Where there are several loops a topic may be on many of them: it counts once, with the first. */
static uint64_t count_topics(const worker *w)
{
    if (w->app->n_workers == 1)
        return w->hub.topics.n_entries;
    return w->number ? 0 : atomic_load_explicit(&w->app->links.n_topics, memory_order_relaxed);
}

void tally_count(tally *t, const worker *w)
{
    tally one = {
        .n_loops = 1,
        .n_connections = w->http.n_connections,
        .n_streams = w->net.n_streams,
        .queued_bytes = w->net.queued_bytes,
        .n_topics = count_topics(w),
        .n_turns = w->loop.n_wakes,
        .n_sends = w->net.n_sends,
        .n_receives = w->net.n_receives,
        .n_undelivered = w->n_undelivered + w->hub.counts.n_refused,
        .lag = w->lag,
        .counts = w->hub.counts,
    };
    memcpy(one.dropped, w->hub.dropped, sizeof one.dropped);
    count_limits(&one, &w->net.limits);
    if (!w->number && w->app->admin) /* operators' connections are not counted, but how they are kept in bounds is */
        count_limits(&one, &w->app->admin->net.limits);
    tally_add(t, &one);
}

void tally_add(tally *t, const tally *more)
{
    uint64_t sums[sizeof *t / sizeof(uint64_t)], numbers[sizeof *t / sizeof(uint64_t)];
    memcpy(sums, t, sizeof sums);
    memcpy(numbers, more, sizeof numbers);
    for (size_t i = 0; i < sizeof sums / sizeof *sums; i++)
        sums[i] += numbers[i];
    memcpy(t, sums, sizeof sums);
}
