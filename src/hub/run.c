#include "hub/topic_private.h"

enum {
    RUN_BYTES = 64 * 1024, /* of data: beyond it there is nothing to gain from a copy */
    RUN_MESSAGES = 1024,
};

void runs_drop(hub *h)
{
    for (int i = 0; i < N_WIRES; i++) {
        chunk_unref(&h->loop->blocks, h->runs[i].image);
        h->runs[i] = (topic_run){0};
    }
    h->joined = NULL;
}

/* Counts what is to be joined. False when that is too much. */
static bool measure(const topic *t, topic_run *run)
{
    if (run->end - run->first > RUN_MESSAGES)
        return false;
    for (uint64_t offset = run->first; offset < run->end; offset++) {
        const topic_message *message = topic_message_at(t, offset);
        run->data_len += message->body->data_len;
        run->excepts |= message->except != 0;
    }
    return run->data_len <= RUN_BYTES;
}

/* NULL when one of them has no bytes to join, or there is no memory. */
static chunk *join(topic *t, const topic_run *run, const topic_joint *how, peer *p)
{
    pool *blocks = &t->hub->loop->blocks;
    size_t len = 0;
    for (uint64_t offset = run->first; offset < run->end; offset++) {
        str bytes = how->bytes(p, t, offset);
        if (!bytes.len)
            return NULL;
        len += bytes.len;
    }
    chunk *image = chunk_new(blocks, how->before + len + how->behind);
    if (!image)
        return NULL;
    char *at = image->bytes + how->before;
    for (uint64_t offset = run->first; offset < run->end; offset++)
        at = str_put(at, how->bytes(p, t, offset));
    if (how->finish)
        how->finish(image->bytes + how->before, len);
    image->len = how->before + len + how->behind;
    return image;
}

const topic_run *topic_join(topic *t, uint64_t first, uint64_t end, const topic_joint *how, peer *p)
{
    hub *h = t->hub;
    topic_run *run = &h->runs[how->format];
    assert(t->holds);
    if (h->joined != t)
        runs_drop(h);
    if (run->first == first && run->end == end)
        return run;
    h->joined = t;
    chunk_unref(&h->loop->blocks, run->image);
    *run = (topic_run){.first = first, .end = end};
    if (measure(t, run))
        run->image = join(t, run, how, p);
    return run;
}
