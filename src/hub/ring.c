#include "base/mem.h"
#include "hub/mirror_private.h"
#include <assert.h>
#include <errno.h>

size_t ring_message_bytes(const blob *body)
{
    return sizeof *body + body->event_len + body->data_len;
}

static void drop_variants(topic *t, topic_message *message)
{
    pool *blocks = &t->hub->loop->blocks;
    for (topic_variant *one = message->variants, *next; one; one = next) {
        next = one->next;
        chunk_unref(blocks, one->image);
        pool_put(blocks, one, one->block_bytes);
        t->n_images--;
    }
    message->variants = NULL;
}

static void drop_images(topic *t, topic_message *message)
{
    for (int i = 0; i < N_WIRES; i++) {
        t->n_images -= message->images[i] != NULL;
        chunk_unref(&t->hub->loop->blocks, message->images[i]);
        message->images[i] = NULL;
    }
    if (message->variants)
        drop_variants(t, message);
}

void ring_drop_first(topic *t)
{
    topic_message *message = topic_message_at(t, t->first++);
    t->bytes -= ring_message_bytes(message->body);
    drop_images(t, message);
    blob_unref(&t->hub->loop->blocks, message->body);
}

static int ring_grow(topic *t)
{
    uint32_t cap = t->cap ? t->cap * 2 : 4;
    topic_message *ring = mem_new(cap * sizeof *ring);
    if (!ring)
        return -ENOMEM;
    for (uint64_t i = t->first; i < t->head; i++)
        ring[i & (cap - 1)] = *topic_message_at(t, i);
    mem_free(t->ring);
    t->ring = ring;
    t->cap = cap;
    return 0;
}

int ring_append(topic *t, blob *body, uint64_t except, uint64_t at_ms)
{
    if (t->head - t->first == t->cap && ring_grow(t))
        return -ENOMEM;
    uint64_t serial = t->hub->reach && !t->mirror ? reach_next_serial(t->hub->reach) : 0;
    *topic_message_at(t, t->head++) = (topic_message){.body = body, .except = except, .at_ms = at_ms, .serial = serial};
    t->bytes += ring_message_bytes(body);
    return 0;
}

static void count_image(topic *t, uint64_t offset)
{
    if (!t->n_images++ || offset < t->images_from)
        t->images_from = offset;
}

void topic_keep_image(topic *t, uint64_t offset, wire format, chunk *image)
{
    assert(!topic_image(t, offset, format));
    topic_message_at(t, offset)->images[format] = image;
    count_image(t, offset);
}

int topic_keep_variant(topic *t, uint64_t offset, uint32_t variant, chunk *image)
{
    topic_message *message = topic_message_at(t, offset);
    size_t block_bytes;
    assert(!topic_variant_image(t, offset, variant));
    topic_variant *one = pool_get(&t->hub->loop->blocks, sizeof *one, &block_bytes);
    if (!one) {
        chunk_unref(&t->hub->loop->blocks, image);
        return -ENOMEM;
    }
    *one = (topic_variant){message->variants, image, block_bytes, variant};
    message->variants = one;
    count_image(t, offset);
    return 0;
}

/* Somebody is yet to get what the history may be done with. Whoever ends this releases the topic, and so trims it. */
static bool is_needed(const topic *t)
{
    return t->n_lagging || topic_is_unfinished(t) || list_linked(&t->waking) || (t->links && home_is_behind(t));
}

static uint64_t oldest_expires_ms(const topic *t)
{
    uint32_t age_ms = t->options.history_age_ms;
    return age_ms == WEFT_NEVER ? UINT64_MAX : topic_message_at(t, t->first)->at_ms + age_ms;
}

uint64_t ring_expires_ms(const topic *t)
{
    return t->first == t->head || is_needed(t) ? UINT64_MAX : oldest_expires_ms(t);
}

static bool beyond_history(const topic *t)
{
    const weft_topic_options *o = &t->options;
    return t->head - t->first > o->history_messages || t->bytes > o->history_bytes ||
           oldest_expires_ms(t) <= t->hub->loop->now_ms;
}

void ring_trim(topic *t)
{
    if (is_needed(t))
        return;
    while (t->first < t->head && beyond_history(t))
        ring_drop_first(t);
    if (t->images_from < t->first)
        t->images_from = t->first;
    for (; t->n_images; t->images_from++)
        drop_images(t, topic_message_at(t, t->images_from));
}

static void drop_all(topic *t)
{
    while (t->first < t->head)
        ring_drop_first(t);
}

void ring_jump(topic *t, uint64_t next)
{
    drop_all(t);
    t->first = t->head = next;
}

void ring_free(topic *t)
{
    drop_all(t);
    mem_free(t->ring);
}
