/**
 * Several hubs of one application, each on a stage of its own, that one thread steps by hand: what happens between two
 * loops happens in the order in which the test turns them.
 */
#ifndef WEFT_TESTS_HUB_SEVERAL_H
#define WEFT_TESTS_HUB_SEVERAL_H

#define N_STAGES 4
#include "hub/scripted.h"

#include "hub/ask.h"
#include "hub/mirror_private.h"
#include "hub/presence.h"

static hub_links links;
static bool ended[N_STAGES];

static inline void on(unsigned i)
{
    current = &stages[i];
}

static inline hub *hub_of_owner(void *owner)
{
    return owner ? &((scripted_stage *)owner)->hub : NULL;
}

static inline int several_init(unsigned n)
{
    int error = hub_links_init(&links, n, hub_of_owner);
    for (unsigned i = 0; i < n && !error; i++) {
        on(i);
        ended[i] = false;
        error = stage_init();
        if (!error)
            error = hub_link(&stage.hub, &links, i);
    }
    on(0);
    return error;
}

static inline void turn_on(unsigned i)
{
    scripted_stage *before = current;
    on(i);
    if (!ended[i])
        turn();
    current = before;
}

/* Until everything has arrived everywhere, without time passing. */
static inline void settle(void)
{
    for (int round = 0; round < 6; round++)
        for (unsigned i = 0; i < links.n; i++)
            turn_on(i);
}

static inline void pass_all(uint64_t ms)
{
    pass_ms(ms);
    settle();
}

/* Mirrors go before the topics that they are of; what leaves is told first. */
static inline void several_done(void)
{
    for (unsigned i = 0; i < links.n; i++) {
        on(i);
        for (client *c = stage.clients; c; c = c->next)
            if (c->line)
                peer_abort(&c->line->peer);
    }
    settle();
    pass_all(PRESENCE_LEAVE_MS);
    for (int i = 0; i < 5; i++)
        pass_all(MIRROR_LINGER_MS);
    for (unsigned i = 0; i < links.n; i++) {
        if (ended[i])
            continue;
        on(i);
        for (topic *t = NULL; (t = hub_next_topic(&stage.hub, t)) != NULL;)
            assert_true(!t->mirror && !t->links);
        assert_false(hub_owes(&stage.hub));
    }
    for (unsigned i = 0; i < links.n; i++) {
        on(i);
        if (!ended[i])
            stage_done();
    }
    on(0);
}

static inline void lose_clients(void)
{
    for (client *c = stage.clients; c; c = c->next)
        if (c->line)
            peer_abort(&c->line->peer);
    if (stage.clients)
        turn();
    for (client *c = stage.clients, *next; c; c = next) {
        next = c->next;
        free(c);
    }
    stage.clients = NULL;
}

/* One loop ends while the others go on. What is on its way to it is dropped when it has no clients. */
static inline void end_stage(unsigned i)
{
    on(i);
    lose_clients();
    loop_refuse_notes(&stage.loop);
    hub_done(&stage.hub);
    slots_done(&stage.table);
    loop_done(&stage.loop);
    ended[i] = true;
}

static inline void configure_all(const char *pattern, weft_topic_options options)
{
    for (unsigned i = 0; i < links.n; i++) {
        on(i);
        configure(pattern, options);
    }
    on(0);
}

/* A topic's name that begins so and is at home on that hub; stays until it is asked for again. */
static inline const char *named_at(unsigned home, const char *prefix)
{
    static char names[N_STAGES][64];
    for (unsigned i = 0;; i++) {
        snprintf(names[home], sizeof names[home], "%s%u", prefix, i);
        if (hub_links_home(&links, str_from(names[home])) == home)
            return names[home];
    }
}

static inline client *guest_on(unsigned i)
{
    on(i);
    return guest();
}

/* Whatever it was on before. */
static inline int publish_on(unsigned i, const char *name, const char *text)
{
    scripted_stage *before = current;
    on(i);
    int error = publish(name, text);
    current = before;
    return error;
}

static inline topic *topic_on(unsigned i, const char *name)
{
    return hub_find_topic(&stages[i].hub, str_from(name));
}

/* ---- an inbox without room ---- */

typedef struct {
    note base;
} plug;

static inline void plug_run(note *n, void *owner)
{
    (void)n;
    (void)owner;
}

/* Until its loop turns there is room for so many bytes at most. */
static inline void fill_inbox_but(unsigned i, size_t left)
{
    inbox *box = links.boxes[i];
    size_t room = INBOX_MAX_BYTES - atomic_load(&box->bytes);
    if (room < sizeof(plug) + left)
        return;
    plug *p = mem_new(sizeof *p);
    assert_non_null(p);
    *p = (plug){{.bytes = room - left, .run = plug_run}};
    assert_int_equal(inbox_push(box, &p->base), 0);
}

static inline void fill_inbox(unsigned i)
{
    fill_inbox_but(i, 0);
}

/* ---- questions ---- */

typedef struct {
    int calls, error;
    publication done;
    const char *limit;
} answered;

static answered answers[8];

static inline void take_answer(hub *h, uint64_t id, uint64_t number, int error, const publication *done)
{
    assert_int_equal(id, 77);
    assert_ptr_equal(h, &stage.hub);
    answered *a = &answers[number];
    a->calls++;
    a->error = error;
    a->done = *done;
    a->limit = h->limit;
}

static inline int ask_publish(unsigned i, const char *name, uint64_t number, publication *ret_done)
{
    on(i);
    answers[number] = (answered){0};
    blob *body = blob_new(&stage.loop.blocks, WEFT_TEXT, (str){NULL, 0}, STR("m"));
    publish_asker asker = {.id = 77, .number = number, .answer = take_answer};
    return hub_publish_ask(&stage.hub, str_from(name), body, 0, &asker, ret_done);
}

static struct {
    size_t n;
    uint64_t messages;
    uint32_t subscribers;
    int last, error;
} seen;

static inline void take_part(hub *h, uint64_t id, uint64_t number, const topic_entry *entries, size_t n, bool last,
                             int error)
{
    (void)h;
    assert_int_equal(id, 5);
    assert_int_equal(number, 6);
    for (size_t i = 0; i < n; i++) {
        assert_true(topic_name_valid(entries[i].name));
        seen.messages += entries[i].n_messages;
        seen.subscribers += entries[i].n_subscribers;
    }
    seen.n += n;
    seen.last += last;
    seen.error = error;
}

static inline void ask_list(unsigned i)
{
    on(i);
    memset(&seen, 0, sizeof seen);
    assert_int_equal(hub_list_topics(&stage.hub, &(list_asker){.id = 5, .number = 6, .part = take_part}), 0);
}

#endif
