#include "hub/presence.h"

#include "base/base64.h"
#include "base/mem.h"
#include "hub/topic_private.h"
#include <assert.h>
#include <errno.h>
#include <sys/random.h>

enum { RANDOM_BYTES = 9, RANDOM_CHARACTERS = RANDOM_BYTES / 3 * 4 };

/* A name. It is present while a peer has it, and for PRESENCE_LEAVE_MS longer. One that is gone stays here until that
 * was told. */
typedef struct {
    map_entry entry;   /* keyed by the name */
    list_node leaving; /* in presence->leaving once its last peer has left */
    list_node changed; /* in presence->changed since it came or went, or in ->gone while a round tells that it went */
    uint64_t left_ms;
    uint32_t n_peers;
    bool present;
    bool told; /* as present: so it stands in the list that watchers have */
    char text[];
} member;

typedef struct {
    map_entry entry; /* keyed by the peer's id */
    list_node node;  /* in presence->watchers, behind or telling */
    peer *peer;
    bool listed; /* it has the list as it was told last; else it needs all of it */
} watcher;

struct presence {
    topic *topic;
    map members;
    size_t n_present;
    list_node leaving; /* longest first */
    list_node changed; /* since the last round */
    list_node gone;    /* what this round refers to */
    map watching;
    list_node watchers;     /* they know what was told last */
    list_node behind;       /* they do not: new, or without room */
    list_node telling;      /* not reached yet by the round under way */
    presence_change change; /* told in this round; joined NULL: only the count, or no memory */
    presence_change whole;  /* the same for those who have no list; joined NULL: not asked for yet */
    bool listed;            /* the last round told names */
    uint64_t told_ms;       /* when it ended */
    timer leave_clock, tell_clock;
};

/* ------------------------------------------------------------------------------------------------------------ names */

int peer_identify(peer *p, str name)
{
    if (p->n_subscriptions || p->listed || !topic_name_valid(name))
        return WEFT_E_INVALID;
    char *text = peer_extra_of(p) ? mem_copy_text(name.at, name.len) : NULL;
    if (!text)
        return -ENOMEM;
    mem_free(p->extra->identity);
    p->extra->identity = text;
    return 0;
}

/* NULL: no memory, or the kernel has no randomness. */
static char *make_name(void)
{
    uint8_t random[RANDOM_BYTES];
    char text[RANDOM_CHARACTERS];
    if (getrandom(random, sizeof random, 0) != sizeof random)
        return NULL;
    base64_encode(random, sizeof random, text);
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = text[i] == '+' ? '-' : text[i] == '/' ? '_' : text[i];
    return mem_copy_text(text, sizeof text);
}

str peer_identity(peer *p)
{
    peer_extra *extra = peer_extra_of(p);
    if (extra && !extra->identity)
        extra->identity = make_name();
    return str_from(extra ? extra->identity : NULL);
}

/* --------------------------------------------------------------------------------------------------- life and death */

static uint64_t now_ms(const presence *s)
{
    return s->topic->hub->loop->now_ms;
}

static int start(topic *t)
{
    presence *s = mem_zero(sizeof *s);
    int error = s ? map_init(&s->members) : -ENOMEM;
    if (!error)
        error = map_init(&s->watching);
    if (error) {
        mem_free(s);
        return error;
    }
    list_node *heads[] = {&s->leaving, &s->changed, &s->gone, &s->watchers, &s->behind, &s->telling};
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
        list_init(heads[i]);
    s->topic = t;
    t->presence = s;
    return 0;
}

static void member_free(presence *s, member *m)
{
    list_remove(&m->leaving);
    list_remove(&m->changed);
    map_remove(&s->members, &m->entry);
    mem_free(m);
}

static void watcher_free(presence *s, watcher *w)
{
    list_remove(&w->node);
    map_remove(&s->watching, &w->entry);
    mem_free(w);
}

/* What the last round told is told: nobody reads its names any more. */
static void drop_round(presence *s)
{
    for (list_node *node; (node = list_first(&s->gone)) != NULL;)
        member_free(s, CONTAINER(node, member, changed));
    mem_free((void *)(uintptr_t)s->change.joined);
    mem_free((void *)(uintptr_t)s->whole.joined);
    s->change = s->whole = (presence_change){0};
}

void presence_free(topic *t)
{
    presence *s = t->presence;
    if (!s)
        return;
    assert(!s->watching.n_entries);
    loop_cancel(t->hub->loop, &s->leave_clock);
    loop_cancel(t->hub->loop, &s->tell_clock);
    drop_round(s);
    for (map_entry *entry; (entry = map_next(&s->members, NULL)) != NULL;)
        member_free(s, CONTAINER(entry, member, entry));
    map_done(&s->members);
    map_done(&s->watching);
    mem_free(s);
    t->presence = NULL;
}

bool presence_lingers(const topic *t)
{
    return t->presence && !list_empty(&t->presence->leaving);
}

/* ------------------------------------------------------------------------------------------------- coming and going */

static void tell_due(timer *clock);

/* Names are looked at then, or earlier when they are already to be. */
static void tell_at(presence *s, uint64_t at_ms)
{
    uint64_t from_ms = now_ms(s);
    if (timer_armed(&s->tell_clock) && s->tell_clock.at_ms <= at_ms)
        return;
    loop_arm_roughly(s->topic->hub->loop, &s->tell_clock, at_ms > from_ms ? at_ms - from_ms : 0, tell_due);
}

static void set_present(presence *s, member *m, bool present)
{
    m->present = present;
    s->n_present += present ? 1 : -(size_t)1;
    list_remove(&m->changed);
    if (s->watching.n_entries) {
        list_append(&s->changed, &m->changed);
        tell_at(s, now_ms(s) + PRESENCE_TELL_MS);
        return;
    }
    m->told = present;
    if (!present)
        member_free(s, m);
}

static member *find_member(const presence *s, str name)
{
    map_entry *entry = map_get(&s->members, name);
    return entry ? CONTAINER(entry, member, entry) : NULL;
}

static member *member_new(presence *s, str name)
{
    member *m = mem_zero(sizeof *m + name.len);
    if (!m)
        return NULL;
    memcpy(m->text, name.at, name.len);
    m->entry.key = (str){m->text, name.len};
    if (map_put(&s->members, &m->entry)) {
        mem_free(m);
        return NULL;
    }
    return m;
}

/* 0 or -ENOMEM. */
static int add_peer(presence *s, str name)
{
    member *m = find_member(s, name);
    if (!m)
        m = member_new(s, name);
    if (!m)
        return -ENOMEM;
    m->n_peers++;
    list_remove(&m->leaving); /* back in time */
    if (!m->present)
        set_present(s, m, true);
    return 0;
}

int presence_join(topic *t, peer *p)
{
    if (!t->options.presence || p->rules->carrier)
        return 0;
    str name = peer_identity(p);
    if (!name.at)
        return -ENOMEM;
    int error = t->presence ? 0 : start(t);
    if (error)
        return error;
    error = add_peer(t->presence, name);
    if (error && !t->presence->n_present)
        presence_free(t);
    if (!error)
        p->listed = true;
    return error;
}

/* One clock for all names: they leave in order. */
static void leave_due(timer *clock)
{
    presence *s = CONTAINER(clock, presence, leave_clock);
    topic *t = topic_hold(s->topic);
    list_node *node;
    while ((node = list_first(&s->leaving)) != NULL) {
        member *m = CONTAINER(node, member, leaving);
        uint64_t gone_ms = m->left_ms + PRESENCE_LEAVE_MS;
        if (gone_ms > now_ms(s)) {
            loop_arm_roughly(t->hub->loop, clock, gone_ms - now_ms(s), leave_due);
            break;
        }
        list_remove(node);
        set_present(s, m, false);
    }
    if (!s->n_present)
        presence_free(t);
    topic_release(t);
}

static watcher *find_watcher(const presence *s, const peer *p)
{
    map_entry *entry = map_get(&s->watching, (str){(const char *)&p->id, sizeof p->id});
    return entry ? CONTAINER(entry, watcher, entry) : NULL;
}

void presence_leave(topic *t, peer *p)
{
    presence *s = t->presence;
    if (!s || p->rules->carrier)
        return;
    watcher *w = find_watcher(s, p);
    if (w)
        watcher_free(s, w);
    member *m = find_member(s, peer_identity(p));
    assert(m && m->n_peers);
    if (--m->n_peers)
        return;
    m->left_ms = now_ms(s);
    list_append(&s->leaving, &m->leaving);
    if (!timer_armed(&s->leave_clock))
        loop_arm_roughly(t->hub->loop, &s->leave_clock, PRESENCE_LEAVE_MS, leave_due);
}

size_t presence_list(const topic *t, void (*fn)(str name, void *user), void *user)
{
    const presence *s = t->presence;
    if (!s)
        return 0;
    size_t n = 0;
    for (map_entry *e = NULL; fn && n < PRESENCE_MAX_LISTED && (e = map_next(&s->members, e)) != NULL;) {
        if (!CONTAINER(e, member, entry)->present)
            continue;
        n++;
        fn(e->key, user);
    }
    return s->n_present;
}

/* --------------------------------------------------------------------------------------------------------- watching */

/* When watchers may be told again. */
static uint64_t next_round_ms(const presence *s)
{
    return s->told_ms + (s->n_present > PRESENCE_MAX_LISTED ? PRESENCE_COUNT_MS : PRESENCE_TELL_MS);
}

static void put_behind(presence *s, watcher *w)
{
    w->listed = false;
    list_remove(&w->node);
    list_append(&s->behind, &w->node);
}

static watcher *watcher_new(presence *s, peer *p)
{
    watcher *w = mem_zero(sizeof *w);
    if (!w)
        return NULL;
    w->peer = p;
    w->entry.key = (str){(const char *)&p->id, sizeof p->id};
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
    watcher *w = find_watcher(s, p);
    if (!w)
        w = watcher_new(s, p);
    if (!w)
        return -ENOMEM;
    put_behind(s, w);
    tell_at(s, next_round_ms(s));
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

/* Room for the names of all changes: those that joined, behind them those that left. NULL: no memory, or nobody has a
 * list that they would change. */
static str *room_for_changes(const presence *s, size_t *ret_n)
{
    size_t n = 0;
    if (!s->listed || s->n_present > PRESENCE_MAX_LISTED)
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
    presence_change c = {.count = s->n_present};
    for (list_node *node; (node = list_first(&s->changed)) != NULL;) {
        member *m = CONTAINER(node, member, changed);
        list_remove(node);
        if (m->present != m->told)
            settle_one(&c, m, joined, left);
        if (!m->present)
            list_append(&s->gone, node);
    }
    bool any = c.n_joined || c.n_left;
    s->change = joined ? c : (presence_change){.count = c.count};
    s->change.joined = joined;
    s->change.left = left;
    return any;
}

static void begin_round(presence *s)
{
    drop_round(s); /* of one whose last watchers went between two slices */
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

/* Memory that is missing for all is no reason to close this one: it is told in the next round. */
static void tell_watcher(presence *s, watcher *w)
{
    peer *p = w->peer;
    bool room = !p->n_lagging && p->ops->queued(p) < p->rules->max_queued_bytes;
    const presence_change *change = room ? news_for(s, w) : NULL;
    if (!change) {
        put_behind(s, w);
        return;
    }
    list_remove(&w->node);
    list_append(&s->watchers, &w->node);
    w->listed = s->listed;
    if (p->handler->ops->presence(p, s->topic, change))
        peer_abort(p); /* which frees the watcher */
}

/* Each is taken off the list before it is told, so that any of them may leave meanwhile. */
static void tell_slice(presence *s)
{
    uint64_t end_us = loop_clock_us() + PRESENCE_SLICE_US;
    list_node *node;
    do {
        node = list_first(&s->telling);
        if (node)
            tell_watcher(s, CONTAINER(node, watcher, node));
    } while (node && loop_clock_us() < end_us);
}

static void end_round(presence *s)
{
    drop_round(s);
    s->told_ms = now_ms(s);
    if (!list_empty(&s->changed) || !list_empty(&s->behind))
        tell_at(s, next_round_ms(s));
}

static void tell_due(timer *clock)
{
    presence *s = CONTAINER(clock, presence, tell_clock);
    if (list_empty(&s->telling) && now_ms(s) < next_round_ms(s)) {
        tell_at(s, next_round_ms(s));
        return;
    }
    topic *t = topic_hold(s->topic);
    if (list_empty(&s->telling))
        begin_round(s);
    tell_slice(s);
    if (list_empty(&s->telling))
        end_round(s);
    else
        tell_at(s, now_ms(s));
    topic_release(t);
}
