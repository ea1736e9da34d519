#include "base/mem.h"
#include "hub/presence_private.h"
#include <assert.h>
#include <errno.h>

/* --------------------------------------------------------------------------------------------------------- watching */

watcher *presence_find_watcher(const presence *s, uint64_t id)
{
    map_entry *entry = map_get(&s->watching, (str){(const char *)&id, sizeof id});
    return entry ? CONTAINER(entry, watcher, entry) : NULL;
}

void presence_watcher_free(presence *s, watcher *w)
{
    list_remove(&w->node);
    map_remove(&s->watching, &w->entry);
    mem_free(w);
}

/* When watchers may be told again. */
static uint64_t next_round_ms(const presence *s)
{
    return s->told_ms + (presence_count(s) > PRESENCE_MAX_LISTED ? PRESENCE_COUNT_MS : PRESENCE_TELL_MS);
}

static void tell_due(timer *clock);

void presence_tell_at(presence *s, uint64_t at_ms)
{
    uint64_t from_ms = presence_now_ms(s);
    if (timer_armed(&s->tell_clock) && s->tell_clock.at_ms <= at_ms)
        return;
    loop_arm_roughly(s->topic->hub->loop, &s->tell_clock, at_ms > from_ms ? at_ms - from_ms : 0, tell_due);
}

void presence_put_behind(presence *s, watcher *w)
{
    w->listed = false;
    list_remove(&w->node);
    list_append(&s->behind, &w->node);
    presence_tell_at(s, next_round_ms(s));
}

/* `id` is where it stands in its owner. */
static watcher *watcher_new(presence *s, const uint64_t *id)
{
    watcher *w = mem_zero(sizeof *w);
    if (!w)
        return NULL;
    w->entry.key = (str){(const char *)id, sizeof *id};
    if (map_put(&s->watching, &w->entry)) {
        mem_free(w);
        return NULL;
    }
    return w;
}

int presence_watch(topic *t, peer *p)
{
    presence *s = t->presence;
    if (!s || !p->handler || !p->handler->ops->presence)
        return 0;
    watcher *w = presence_find_watcher(s, p->id);
    if (!w)
        w = watcher_new(s, &p->id);
    if (!w)
        return -ENOMEM;
    w->peer = p;
    presence_put_behind(s, w);
    return 0;
}

int presence_watch_from(presence *s, mirror_link *l)
{
    watcher *w = watcher_new(s, &l->mirror);
    if (!w)
        return -ENOMEM;
    w->link = l;
    presence_put_behind(s, w);
    return 0;
}

/* ---------------------------------------------------------------------------------------------------------- telling */

/* In one step: there may be a hundred thousand. */
static void move_all(list_node *from, list_node *to)
{
    if (list_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    list_init(from);
}

/* What the last round told is told: nobody reads its names any more. */
void presence_drop_round(presence *s)
{
    for (list_node *node; (node = list_first(&s->gone)) != NULL;) {
        list_remove(node);
        presence_drop_unused(s, CONTAINER(node, member, changed));
    }
    mem_free((void *)(uintptr_t)s->change.joined);
    mem_free((void *)(uintptr_t)s->whole.joined);
    s->change = s->whole = (presence_change){0};
}

/* Room for the names of all changes: those that joined, behind them those that left. NULL: no memory, or nobody has a
 * list that they would change. */
static str *room_for_changes(const presence *s, size_t *ret_n)
{
    size_t n = 0;
    if (!s->listed || presence_count(s) > PRESENCE_MAX_LISTED)
        return NULL;
    for (const list_node *node = s->changed.next; node != &s->changed; node = node->next)
        n++;
    *ret_n = n;
    return n ? mem_new(2 * n * sizeof(str)) : NULL;
}

static void settle_one(presence_change *c, member *m, str *joined, str *left)
{
    size_t *n = m->present ? &c->n_joined : &c->n_left;
    str *names = m->present ? joined : left;
    if (names)
        names[*n] = m->entry.key;
    ++*n;
    m->told = m->present;
}

/* What has changed becomes what is told; true when there is anything. */
static bool settle(presence *s)
{
    size_t n = 0;
    str *joined = room_for_changes(s, &n), *left = joined ? joined + n : NULL;
    presence_change c = {.count = presence_count(s)};
    for (list_node *node; (node = list_first(&s->changed)) != NULL;) {
        member *m = CONTAINER(node, member, changed);
        list_remove(node);
        if (m->present != m->told)
            settle_one(&c, m, joined, left);
        if (!m->present)
            list_append(&s->gone, node);
    }
    bool any = c.n_joined || c.n_left || (s->topic->mirror && c.count != s->told_count);
    s->told_count = c.count;
    s->change = joined ? c : (presence_change){.count = c.count};
    s->change.joined = joined;
    s->change.left = left;
    return any;
}

static void begin_round(presence *s)
{
    presence_drop_round(s); /* of one whose last watchers went between two slices */
    if (settle(s))
        move_all(&s->watchers, &s->telling);
    move_all(&s->behind, &s->telling);
    s->listed = s->change.count <= PRESENCE_MAX_LISTED;
}

/* All names as they were when the round began. */
static void make_whole(presence *s)
{
    str *names = mem_new(s->change.count * sizeof *names);
    size_t n = 0;
    if (!names)
        return;
    for (map_entry *e = NULL; (e = map_next(&s->members, e)) != NULL;)
        if (CONTAINER(e, member, entry)->told)
            names[n++] = e->key;
    assert(n == s->change.count);
    s->whole = (presence_change){.count = n, .joined = names, .n_joined = n, .whole = true};
}

/* What this watcher has to be told; NULL: no memory to say it. */
static const presence_change *news_for(presence *s, const watcher *w)
{
    if (!s->listed || (w->listed && s->change.joined))
        return &s->change;
    if (!s->whole.joined)
        make_whole(s);
    return s->whole.joined ? &s->whole : NULL;
}

static void move_to(list_node *list, watcher *w, bool listed)
{
    list_remove(&w->node);
    list_append(list, &w->node);
    w->listed = listed;
}

static void tell_mirror(presence *s, watcher *w)
{
    const presence_change *change = news_for(s, w);
    int error = change ? presence_send(w->link, change) : -ENOMEM;
    if (error == WEFT_E_CLOSED)
        home_forget(w->link); /* which frees the watcher */
    else
        move_to(error ? &s->behind : &s->watchers, w, !error && s->listed);
}

/* Memory that is missing for all is no reason to close this one: it is told in the next round. */
static void tell_watcher(presence *s, watcher *w)
{
    peer *p = w->peer;
    bool room = !p->n_lagging && p->ops->queued(p) < p->rules->max_queued_bytes;
    const presence_change *change = room ? news_for(s, w) : NULL;
    move_to(change ? &s->watchers : &s->behind, w, change && s->listed);
    if (change && p->handler->ops->presence(p, s->topic, change))
        peer_abort(p); /* which frees the watcher */
}

static void tell_next(presence *s, watcher *w)
{
    if (w->link)
        tell_mirror(s, w);
    else
        tell_watcher(s, w);
}

/* Each is taken off the list before it is told, so that any of them may leave meanwhile. */
static void tell_slice(presence *s)
{
    uint64_t end_us = loop_clock_us() + PRESENCE_SLICE_US;
    list_node *node;
    do {
        node = list_first(&s->telling);
        if (node)
            tell_next(s, CONTAINER(node, watcher, node));
    } while (node && loop_clock_us() < end_us);
}

static void end_round(presence *s)
{
    presence_drop_round(s);
    s->told_ms = presence_now_ms(s);
    if (!list_empty(&s->changed) || !list_empty(&s->behind))
        presence_tell_at(s, next_round_ms(s));
}

static void tell_due(timer *clock)
{
    presence *s = CONTAINER(clock, presence, tell_clock);
    if (list_empty(&s->telling) && presence_now_ms(s) < next_round_ms(s)) {
        presence_tell_at(s, next_round_ms(s));
        return;
    }
    topic *t = topic_hold(s->topic);
    if (list_empty(&s->telling))
        begin_round(s);
    tell_slice(s);
    if (list_empty(&s->telling))
        end_round(s);
    else
        presence_tell_at(s, presence_now_ms(s));
    topic_release(t);
}
