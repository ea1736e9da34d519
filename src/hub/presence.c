#include "base/base64.h"
#include "base/mem.h"
#include "hub/presence_private.h"
#include <assert.h>
#include <errno.h>
#include <sys/random.h>

enum { RANDOM_BYTES = 9, RANDOM_CHARACTERS = RANDOM_BYTES / 3 * 4 };

/* ------------------------------------------------------------------------------------------------------------ names */

int peer_identify(peer *p, str name)
{
    bool pending = p->extra && p->extra->pending;
    if (p->n_subscriptions || pending || p->listed || !topic_name_valid(name))
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

int presence_start(topic *t)
{
    presence *s = mem_zero(sizeof *s);
    int error = s ? map_init(&s->members) : -ENOMEM;
    if (!error)
        error = map_init(&s->watching);
    if (error) {
        mem_free(s);
        return error;
    }
    list_node *heads[] = {&s->leaving, &s->untold, &s->changed, &s->gone, &s->watchers, &s->behind, &s->telling};
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

void presence_free(topic *t)
{
    presence *s = t->presence;
    if (!s)
        return;
    assert(!s->watching.n_entries);
    loop_cancel(t->hub->loop, &s->leave_clock);
    loop_cancel(t->hub->loop, &s->tell_clock);
    presence_drop_round(s);
    for (map_entry *entry; (entry = map_next(&s->members, NULL)) != NULL;)
        member_free(s, CONTAINER(entry, member, entry));
    map_done(&s->members);
    map_done(&s->watching);
    mem_free(s);
    t->presence = NULL;
}

void presence_free_unused(topic *t)
{
    if (!t->mirror && !t->presence->n_present && !t->presence->watching.n_entries)
        presence_free(t);
}

bool presence_lingers(const topic *t)
{
    return t->presence && !list_empty(&t->presence->leaving);
}

/* ------------------------------------------------------------------------------------------------- coming and going */

void presence_drop_unused(presence *s, member *m)
{
    bool used = m->n_peers || m->present || m->told || m->at_home || list_linked(&m->changed);
    if (!used)
        member_free(s, m);
}

void presence_set_present(presence *s, member *m, bool present)
{
    m->present = present;
    s->n_present += present ? 1 : -(size_t)1;
    list_remove(&m->changed);
    if (s->watching.n_entries) {
        list_append(&s->changed, &m->changed);
        presence_tell_at(s, presence_now_ms(s) + PRESENCE_TELL_MS);
        return;
    }
    m->told = present;
    presence_drop_unused(s, m);
}

member *presence_find(const presence *s, str name)
{
    map_entry *entry = map_get(&s->members, name);
    return entry ? CONTAINER(entry, member, entry) : NULL;
}

member *presence_add(presence *s, str name)
{
    member *m = presence_find(s, name);
    if (m)
        return m;
    m = mem_zero(sizeof *m + name.len);
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

void presence_end_leave(member *m)
{
    if (!list_linked(&m->leaving))
        return;
    list_remove(&m->leaving); /* back in time */
    m->loops = 0;
}

/* 0 or -ENOMEM. */
static int add_peer(presence *s, str name)
{
    member *m = presence_add(s, name);
    if (!m)
        return -ENOMEM;
    if (!s->topic->mirror)
        presence_end_leave(m);
    if (!m->n_peers++)
        presence_note_untold(s, m);
    if (!m->present)
        presence_set_present(s, m, true);
    return 0;
}

int presence_join(topic *t, peer *p)
{
    if (!t->options.presence || p->rules->carrier)
        return 0;
    str name = peer_identity(p);
    if (!name.at)
        return -ENOMEM;
    int error = t->presence ? 0 : presence_start(t);
    if (error)
        return error;
    error = add_peer(t->presence, name);
    if (error)
        presence_free_unused(t);
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
        if (gone_ms > presence_now_ms(s)) {
            loop_arm_roughly(t->hub->loop, clock, gone_ms - presence_now_ms(s), leave_due);
            break;
        }
        presence_end_leave(m);
        presence_set_present(s, m, false);
    }
    presence_free_unused(t);
    topic_release(t);
}

void presence_begin_leave(presence *s, member *m)
{
    loop *l = s->topic->hub->loop;
    m->left_ms = presence_now_ms(s);
    list_append(&s->leaving, &m->leaving);
    if (!timer_armed(&s->leave_clock))
        loop_arm_roughly(l, &s->leave_clock, PRESENCE_LEAVE_MS, leave_due);
}

void presence_leave(topic *t, peer *p)
{
    presence *s = t->presence;
    if (!s || p->rules->carrier)
        return;
    watcher *w = presence_find_watcher(s, p->id);
    if (w)
        presence_watcher_free(s, w);
    member *m = presence_find(s, peer_identity(p));
    assert(m && m->n_peers);
    if (--m->n_peers)
        return;
    if (t->mirror)
        presence_leave_mirror(s, m);
    else if (!m->loops)
        presence_begin_leave(s, m);
}

void presence_free_soon(presence *s)
{
    if (!timer_armed(&s->leave_clock))
        loop_arm(s->topic->hub->loop, &s->leave_clock, 0, leave_due);
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
    return presence_count(s);
}
