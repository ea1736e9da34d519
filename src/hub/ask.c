#include "hub/ask.h"

#include "base/mem.h"
#include "hub/mirror_private.h"
#include <assert.h>
#include <errno.h>

enum { MOST_ENTRIES = 1000 }; /* in one note */

/* --------------------------------------------------------------------------------------------------------
 * publications */

/** What a publication has become, for who asked. */
typedef struct {
    hub_note base;
    publish_asker asker;
    publication done;
    int error;
} published_note;

/** One on its way to its home. */
typedef struct {
    hub_note base;
    blob *body;
    uint64_t except;
    published_note *answer; /* NULL: nobody asks */
    uint8_t name_len;
    char name[];
} publish_note;

static void take_published(hub *h, hub_note *base)
{
    const published_note *n = (const published_note *)base;
    h->limit = n->error == WEFT_E_TOO_LARGE ? limit_name(LIMIT_TOPICS) : NULL;
    n->asker.answer(h, n->asker.id, n->asker.number, n->error, &n->done);
    h->limit = NULL;
}

static void take_publish(hub *h, hub_note *base)
{
    publish_note *n = (publish_note *)base;
    published_note *answer = n->answer;
    if (h->reach)
        h->reach->taking = true;
    int error = hub_publish(h, (str){n->name, n->name_len}, n->body, n->except, answer ? &answer->done : NULL);
    if (h->reach)
        h->reach->taking = false;
    h->counts.n_refused += error != 0;
    h->limit = NULL; /* is told there */
    if (!answer)
        return;
    answer->error = error;
    reach_answer(h->reach, answer->base.box, &answer->base);
}

/* The loop ended before it took it. Nobody waits for room here. */
static void lost_publish(hub_note *base)
{
    publish_note *n = (publish_note *)base;
    published_note *answer = n->answer;
    blob_unref(NULL, n->body);
    if (!answer)
        return;
    answer->error = WEFT_E_CLOSED;
    if (inbox_push(answer->base.box, &answer->base.base))
        hub_note_free(&answer->base);
}

/* Takes the blob and the answer, on failure too. */
static int push_publication(const hub_links *links, pool *blocks, str name, publish_note from)
{
    size_t bytes = sizeof(publish_note) + name.len;
    publish_note *n = NULL;
    int error = name.len > TOPIC_MAX_NAME_BYTES ? WEFT_E_INVALID : -ENOMEM;
    if (error == -ENOMEM)
        n = (publish_note *)hub_note_new(links, bytes, take_publish, lost_publish);
    if (n) {
        from.base = n->base;
        *n = from;
        n->base.base.bytes = bytes + ring_message_bytes(from.body);
        n->name_len = (uint8_t)name.len;
        memcpy(n->name, name.at, name.len);
        error = loop_push(links->boxes[hub_links_home(links, name)], &n->base.base);
    }
    if (!error)
        return 0;
    mem_free(n);
    blob_unref(blocks, from.body);
    if (from.answer)
        hub_note_free(&from.answer->base);
    return error;
}

int hub_links_publish(const hub_links *links, pool *blocks, str name, blob *body, uint64_t except)
{
    return push_publication(links, blocks, name, (publish_note){.body = body, .except = except});
}

int hub_publish_ask(hub *h, str name, blob *body, uint64_t except, const publish_asker *asker, publication *ret_done)
{
    const reach *r = h->reach;
    if (!hub_is_away(h, name))
        return hub_publish(h, name, body, except, ret_done);
    published_note *answer = (published_note *)hub_note_new(r->links, sizeof *answer, take_published, NULL);
    if (!answer) {
        blob_unref(&h->loop->blocks, body);
        return -ENOMEM;
    }
    answer->asker = *asker;
    answer->base.box = h->loop->box;
    publish_note from = {.body = body, .except = except, .answer = answer};
    int error = push_publication(r->links, &h->loop->blocks, name, from);
    return error ? error : HUB_PENDING;
}

/* ------------------------------------------------------------------------------------------------------ lists of
 * topics */

/** Somebody who collects what all loops say. */
typedef struct {
    list_node node; /* in reach->gatherings */
    list_asker asker;
    uint64_t number;
    unsigned n_missing; /* hubs that have not said all */
    int error;
} gathering;

/** Topics that are at home on one loop, some of them. The names stand behind the entries. */
typedef struct {
    hub_note base;
    uint64_t number; /* of the gathering */
    size_t n;
    bool last; /* of this loop */
    int error;
    topic_entry entries[];
} entries_note;

typedef struct {
    hub_note base;
    uint64_t number;
    entries_note *last; /* made by who asks, so that it is told in any case */
} list_note;

void gathering_free(list_node *node)
{
    gathering *g = CONTAINER(node, gathering, node);
    list_remove(node);
    mem_free(g);
}

topic_entry topic_describe(const topic *t)
{
    return (topic_entry){
        .name = topic_name(t),
        .at = topic_cursor_before(t, t->head),
        .n_messages = t->head - t->first,
        .n_subscribers = t->n_subscribers + t->n_waiters + home_count(t),
    };
}

/* The first (after == NULL) or the next that is at home here. */
static const topic *next_home(const hub *h, const topic *after)
{
    const topic *t = hub_next_topic(h, after);
    while (t && t->mirror)
        t = hub_next_topic(h, t);
    return t;
}

static void hear_part(gathering *g, hub *h, const entries_note *n)
{
    list_asker asker = g->asker;
    g->n_missing -= n->last;
    if (n->error)
        g->error = n->error;
    bool last = !g->n_missing;
    int error = last ? g->error : 0;
    if (last)
        gathering_free(&g->node);
    asker.part(h, asker.id, asker.number, n->entries, n->n, last, error);
}

static void take_entries(hub *h, hub_note *base)
{
    const entries_note *n = (const entries_note *)base;
    list_node *head = &h->reach->gatherings;
    for (list_node *node = head->next; node != head; node = node->next) {
        gathering *g = CONTAINER(node, gathering, node);
        if (g->number == n->number) {
            hear_part(g, h, n);
            return;
        }
    }
}

/* As many as fit from *at on, which moves behind them. NULL: no memory. */
static entries_note *part_note(const hub *h, const topic **at)
{
    size_t n = 0, bytes = sizeof(entries_note);
    for (const topic *t = *at; t && n < MOST_ENTRIES; t = next_home(h, t), n++)
        bytes += sizeof(topic_entry) + topic_name(t).len;
    entries_note *part = (entries_note *)hub_note_new(h->reach->links, bytes, take_entries, NULL);
    if (!part)
        return NULL;
    char *names = (char *)&part->entries[n];
    for (part->n = n; n; n--, *at = next_home(h, *at)) {
        topic_entry *entry = &part->entries[part->n - n];
        *entry = topic_describe(*at);
        memcpy(names, entry->name.at, entry->name.len);
        entry->name.at = names;
        names += entry->name.len;
    }
    return part;
}

static void take_list(hub *h, hub_note *base)
{
    const list_note *n = (const list_note *)base;
    inbox *box = n->last->base.box;
    for (const topic *t = next_home(h, NULL); t;) {
        entries_note *part = part_note(h, &t);
        if (!part) {
            n->last->error = -ENOMEM;
            break;
        }
        part->number = n->number;
        reach_answer(h->reach, box, &part->base);
    }
    reach_answer(h->reach, box, &n->last->base);
}

/* The loop has ended: there is nothing at home on it. */
static void lost_list(hub_note *base)
{
    entries_note *last = ((list_note *)base)->last;
    last->error = WEFT_E_CLOSED;
    if (inbox_push(last->base.box, &last->base.base))
        hub_note_free(&last->base);
}

static int ask_one(hub *h, unsigned number, uint64_t gathering_number)
{
    const hub_links *links = h->reach->links;
    entries_note *last = (entries_note *)hub_note_new(links, sizeof *last, take_entries, NULL);
    list_note *n = last ? (list_note *)hub_note_new(links, sizeof *n, take_list, lost_list) : NULL;
    int error = -ENOMEM;
    if (n) {
        last->number = n->number = gathering_number;
        last->last = true;
        last->base.box = h->loop->box;
        n->last = last;
        error = reach_push(h->reach, number, &n->base);
    }
    if (!error)
        return 0;
    mem_free(n);
    mem_free(last);
    return error;
}

/* What has no room or no memory is missing, and told so at the end. */
static void ask_others(hub *h, gathering *g)
{
    for (unsigned i = 0; i < h->reach->links->n; i++) {
        int error = i == h->reach->number ? 0 : ask_one(h, i, g->number);
        if (i == h->reach->number || error)
            g->n_missing--;
        if (error)
            g->error = error;
    }
}

static gathering *gathering_new(reach *r, const list_asker *asker)
{
    gathering *g = mem_zero(sizeof *g);
    if (!g)
        return NULL;
    *g = (gathering){.asker = *asker, .number = ++r->n_gatherings, .n_missing = r->links->n};
    list_append(&r->gatherings, &g->node);
    return g;
}

/* Those of this loop, a few at a time: nothing is allocated for them. */
static void tell_own(hub *h, const list_asker *asker, bool last, int error)
{
    topic_entry some[16];
    const topic *t = next_home(h, NULL);
    do {
        size_t n = 0;
        for (; t && n < sizeof some / sizeof *some; t = next_home(h, t))
            some[n++] = topic_describe(t);
        bool end = last && !t;
        asker->part(h, asker->id, asker->number, some, n, end, end ? error : 0);
    } while (t);
}

int hub_list_topics(hub *h, const list_asker *asker)
{
    if (!h->reach) {
        tell_own(h, asker, true, 0);
        return 0;
    }
    gathering *g = gathering_new(h->reach, asker);
    if (!g)
        return -ENOMEM;
    ask_others(h, g);
    bool last = !g->n_missing;
    int error = g->error;
    if (last)
        gathering_free(&g->node);
    tell_own(h, asker, last, error);
    return 0;
}
