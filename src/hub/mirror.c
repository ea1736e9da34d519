#include "base/mem.h"
#include "hub/mirror_private.h"
#include <assert.h>
#include <errno.h>

enum { MOST_NOTE_BYTES = 512 }; /* of a count */

/* ----------------------------------------------------------------------------------------------------- life and
 * death */

mirror_note *mirror_note_new(const topic *t, size_t more_bytes, void (*take)(hub *, hub_note *))
{
    str name = topic_name(t);
    const reach *r = t->hub->reach;
    size_t bytes = sizeof(mirror_note) + name.len + more_bytes;
    mirror_note *n = (mirror_note *)hub_note_new(r->links, bytes, take, NULL);
    if (!n)
        return NULL;
    n->mirror = t->mirror->id;
    n->number = (uint8_t)r->number;
    n->name_len = (uint8_t)name.len;
    n->more_bytes = more_bytes;
    memcpy(n->name, name.at, name.len);
    return n;
}

/* 0, WEFT_E_FULL, WEFT_E_CLOSED or -ENOMEM; the note is gone in any case. */
static int push_home(const topic *t, mirror_note *n)
{
    if (!n)
        return -ENOMEM;
    int error = reach_push(t->hub->reach, t->mirror->home, &n->base);
    if (error)
        mem_free(n);
    return error;
}

/* The first question attaches it. */
static int ask_home(topic *t)
{
    mirror *m = t->mirror;
    mirror_note *n = mirror_note_new(t, 0, home_take_attach);
    m->asked_ms = t->hub->loop->now_ms;
    m->n_asked++;
    if (n) {
        n->n_asked = m->n_asked;
        n->n_own = reach_own_of(t->hub->reach, m->home);
        n->asks_names = m->asks_names;
    }
    int error = push_home(t, n);
    if (!error)
        m->asks_names = false;
    return error;
}

int mirror_start(topic *t, mirror *m)
{
    hub *h = t->hub;
    t->mirror = m;
    m->topic = t;
    m->home = (uint8_t)hub_links_home(h->reach->links, topic_name(t));
    list_init(&m->awaiters);
    m->id = slots_put(h->table, SLOT_MIRROR, m);
    int error = m->id ? ask_home(t) : -ENOMEM;
    if (error)
        topic_free(t);
    return error;
}

void mirror_free(topic *t)
{
    mirror *m = t->mirror;
    assert(list_empty(&m->awaiters));
    list_remove(&m->changed);
    if (m->id)
        slots_remove(t->hub->table, m->id);
    mem_free(m);
    t->mirror = NULL;
}

/* Nobody is told: whoever awaits it must be gone. */
static int detach(topic *t)
{
    mirror *m = t->mirror;
    int error = m->orphan ? 0 : push_home(t, mirror_note_new(t, 0, home_take_detach));
    return error == WEFT_E_CLOSED ? 0 : error;
}

void mirror_end(topic *t)
{
    detach(t); /* a home that has no room finds out when it next has something for it */
}

/* Whoever awaits it is told, when the topic is gone already: it may ask for it anew. */
static void fail(topic *t, int error)
{
    hub *h = t->hub;
    list_node told, *node;
    list_init(&told);
    while ((node = list_first(&t->mirror->awaiters)) != NULL) {
        list_remove(node);
        list_append(&told, node);
        CONTAINER(node, awaiter, node)->topic = NULL;
    }
    topic_free(t);
    while ((node = list_first(&told)) != NULL) {
        awaiter *a = CONTAINER(node, awaiter, node);
        list_remove(node);
        h->limit = error == WEFT_E_TOO_LARGE ? limit_name(LIMIT_TOPICS) : NULL;
        a->ready(a, NULL, error);
    }
    h->limit = NULL;
}

static bool may_begin(const topic *t, const awaiter *a)
{
    const mirror *m = t->mirror;
    if (a->names && !topic_has_names(t))
        return false;
    return m->orphan || a->question <= m->n_answered || !mirror_is_ahead(t, a->from);
}

/* Those for whom it is ready now. The topic is held. */
static void wake_awaiters(topic *t)
{
    mirror *m = t->mirror;
    list_node woken, *node;
    list_init(&woken);
    for (list_node *next = m->awaiters.next; (node = next) != &m->awaiters;) {
        next = node->next;
        if (!may_begin(t, CONTAINER(node, awaiter, node)))
            continue;
        list_remove(node);
        list_append(&woken, node);
    }
    t->asked_turn = t->hub->loop->n_wakes;
    while ((node = list_first(&woken)) != NULL) {
        awaiter *a = CONTAINER(node, awaiter, node);
        list_remove(node);
        a->topic = NULL;
        a->ready(a, t, 0);
    }
}

static bool has_asked(const mirror *m)
{
    return m->n_answered != m->n_asked;
}

/* One that has begun goes on with what it has. What the home could not send any more is lost. */
static void lose_home(topic *t, int error, uint64_t head)
{
    if (!t->epoch) {
        fail(t, error);
        return;
    }
    topic_hold(t);
    t->mirror->orphan = true;
    if (head > t->head)
        fanout_lose(t, head);
    t->mirror->ready = true;
    wake_awaiters(t);
    topic_release(t);
}

/* --------------------------------------------------------------------------------------------------------------
 * clock */

/* For an answer, or for who is there. */
static bool is_waiting(const mirror *m)
{
    return !m->orphan && (has_asked(m) || m->asks_names);
}

uint64_t mirror_due_ms(const topic *t)
{
    const mirror *m = t->mirror;
    uint64_t asks_ms = is_waiting(m) ? m->asked_ms + MIRROR_ASK_MS : UINT64_MAX;
    uint64_t goes_ms = t->idling ? t->idle_at_ms + MIRROR_LINGER_MS : UINT64_MAX;
    return asks_ms < goes_ms ? asks_ms : goes_ms;
}

/* True when it is gone. */
static bool leave_home(topic *t)
{
    uint64_t now_ms = t->hub->loop->now_ms;
    if (!t->idling || t->holds || now_ms < t->idle_at_ms + MIRROR_LINGER_MS)
        return false;
    if (t->asked_turn == t->hub->loop->n_wakes || detach(t)) {
        t->idle_at_ms = now_ms; /* once more */
        return false;
    }
    topic_free(t);
    return true;
}

bool mirror_clock(topic *t)
{
    mirror *m = t->mirror;
    if (leave_home(t))
        return false;
    if (!is_waiting(m) || t->hub->loop->now_ms < m->asked_ms + MIRROR_ASK_MS)
        return true;
    if (ask_home(t) != WEFT_E_CLOSED)
        return true;
    bool lives = t->epoch;
    lose_home(t, WEFT_E_CLOSED, t->head);
    return lives;
}

/* -----------------------------------------------------------------------------------------------------------
 * awaiting */

void topic_await(topic *t, since from, awaiter *a)
{
    mirror *m = t->mirror;
    assert(!topic_is_ready(t, from) || (a->names && !topic_has_names(t)));
    assert(!list_linked(&a->node));
    topic_wanted(t);
    a->topic = t;
    a->from = from;
    a->question = m->n_asked + 1;
    list_append(&m->awaiters, &a->node);
    if (!has_asked(m))
        ask_home(t); /* without room or memory later */
    topic_set_clock(t);
}

void topic_stop_awaiting(awaiter *a)
{
    topic *t = a->topic;
    if (!list_linked(&a->node))
        return;
    list_remove(&a->node);
    a->topic = NULL;
    if (!t) /* its topic could not be had, and it was about to hear so */
        return;
    topic_hold(t);
    topic_release(t);
}

/* -----------------------------------------------------------------------------------------------------------
 * messages */

static topic *find_mirror(const hub *h, uint64_t id)
{
    mirror *m = slots_get(h->table, id, SLOT_MIRROR);
    return m ? m->topic : NULL;
}

void mirror_lost_messages(hub_note *base)
{
    messages_note *n = (messages_note *)base;
    for (size_t i = 0; i < n->n; i++)
        blob_unref(NULL, n->messages[i].body);
}

/* What it begins with, and where; or what it has missed. */
static void go_to(topic *t, const messages_note *n)
{
    if (!t->epoch) {
        t->epoch = n->epoch;
        ring_jump(t, n->from);
    }
    assert(t->epoch == n->epoch && n->from >= t->head);
    if (n->from > t->head)
        fanout_lose(t, n->from);
}

/* The ring of the home has moved past where they were to begin: that is a gap for them. */
static void begin_behind(topic *t)
{
    const mirror *m = t->mirror;
    for (list_node *node = m->awaiters.next; node != &m->awaiters; node = node->next) {
        awaiter *a = CONTAINER(node, awaiter, node);
        if (a->from.from == SINCE_NOW)
            a->from = (since){SINCE_CURSOR, topic_cursor_before(t, m->ready_at)};
    }
}

/* Those who awaited the topic begin at the home's head as it was when it was asked: what was published on this loop
 * since they came lies behind that. */
static void look_if_answered(topic *t, const messages_note *n)
{
    mirror *m = t->mirror;
    if (!has_asked(m))
        return;
    if (m->n_heard == m->n_answered && n->n_asked != m->n_heard) {
        m->n_heard = n->n_asked;
        m->ready_at = n->ready_at;
    }
    if (m->n_heard == m->n_answered || t->head < m->ready_at)
        return;
    m->n_answered = m->n_heard;
    if (!m->ready && t->head > m->ready_at)
        begin_behind(t);
    m->ready = true;
    wake_awaiters(t);
}

static void append(topic *t, const sent_message *sent)
{
    if (!fanout_append(t, sent->body, sent->except, sent->at_ms))
        return;
    blob_unref(&t->hub->loop->blocks, sent->body);
    fanout_lose(t, t->head + 1);
}

/* Whoever came with a cursor ahead is there, or came after the last question. */
static void go_on_awaiting(topic *t)
{
    mirror *m = t->mirror;
    wake_awaiters(t);
    if (list_empty(&m->awaiters) || has_asked(m))
        return;
    ask_home(t);
    topic_set_clock(t);
}

void mirror_take_messages(hub *h, hub_note *base)
{
    const messages_note *n = (const messages_note *)base;
    topic *t = find_mirror(h, n->mirror);
    if (!t) {
        mirror_lost_messages(base);
        return;
    }
    topic_hold(t);
    go_to(t, n);
    look_if_answered(t, n);
    for (size_t i = 0; i < n->n; i++) {
        append(t, &n->messages[i]);
        look_if_answered(t, n);
    }
    if (t->mirror->ready && !list_empty(&t->mirror->awaiters))
        go_on_awaiting(t);
    topic_release(t);
}

/* The home has no room for another topic, or has ended. */
void mirror_take_refusal(hub *h, hub_note *base)
{
    const refused_note *n = (const refused_note *)base;
    topic *t = find_mirror(h, n->mirror);
    if (t)
        lose_home(t, n->error, n->head);
}

/* ------------------------------------------------------------------------------------------------------- telling
 * home */

void mirror_changed(topic *t)
{
    reach *r = t->hub->reach;
    if (list_linked(&t->mirror->changed) || t->mirror->orphan)
        return;
    list_append(&r->changed, &t->mirror->changed);
    loop_defer(r->hub->loop, &r->tell);
}

static int tell_count(topic *t)
{
    mirror *m = t->mirror;
    uint32_t count = t->n_subscribers + t->n_waiters;
    if (count == m->told)
        return 0;
    mirror_note *n = mirror_note_new(t, 0, home_take_count);
    if (n)
        n->n_subscribers = count;
    int error = push_home(t, n);
    if (!error)
        m->told = count;
    return error;
}

static int tell_home(topic *t)
{
    int error = tell_count(t);
    return error ? error : presence_tell_home(t);
}

void mirrors_tell(reach *r)
{
    for (list_node *node = r->changed.next, *next; node != &r->changed; node = next) {
        mirror *m = CONTAINER(node, mirror, changed);
        next = node->next;
        int error = reach_has_room(r, m->home, MOST_NOTE_BYTES) ? tell_home(m->topic) : WEFT_E_FULL;
        if (!error || error == WEFT_E_CLOSED)
            list_remove(node);
    }
    if (!list_empty(&r->changed))
        reach_retry(r);
}

void mirror_take_presence(hub *h, hub_note *base)
{
    const presence_note *n = (const presence_note *)base;
    topic *t = find_mirror(h, n->mirror);
    if (!t)
        return;
    if (presence_hear(t, n)) {
        t->mirror->asks_names = true;
        topic_set_clock(t);
        return;
    }
    t->mirror->has_names = true;
    if (!t->mirror->ready)
        return;
    topic_hold(t);
    wake_awaiters(t);
    topic_release(t);
}
