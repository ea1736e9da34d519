#include "base/mem.h"
#include "hub/presence_private.h"
#include <errno.h>

enum { MOST_NAMES = 512 }; /* in one note to a home */

/* ------------------------------------------------------------------------------------------------------------- a
 * home */

static uint64_t bit_of(const mirror_link *l)
{
    return UINT64_C(1) << l->number;
}

static bool has(const member *m, const mirror_link *l)
{
    return !list_linked(&m->leaving) && m->loops & bit_of(l);
}

int presence_attach(topic *t, mirror_link *l)
{
    int error = t->presence ? 0 : presence_start(t);
    if (error)
        return error;
    error = presence_watch_from(t->presence, l);
    if (error)
        presence_free_unused(t);
    return error;
}

void presence_tell_again(topic *t, const mirror_link *l)
{
    presence *s = t->presence;
    watcher *w = s ? presence_find_watcher(s, l->mirror) : NULL;
    if (w)
        presence_put_behind(s, w);
}

static void take_away(presence *s, member *m, const mirror_link *l)
{
    m->loops &= ~bit_of(l);
    if (!m->n_peers && !m->loops)
        presence_begin_leave(s, m);
}

void presence_detach(topic *t, mirror_link *l)
{
    presence *s = t->presence;
    watcher *w = s ? presence_find_watcher(s, l->mirror) : NULL;
    if (!w)
        return;
    presence_watcher_free(s, w);
    for (map_entry *e = NULL; (e = map_next(&s->members, e)) != NULL;)
        if (has(CONTAINER(e, member, entry), l))
            take_away(s, CONTAINER(e, member, entry), l);
    presence_free_soon(s);
}

/* Without memory for it the mirror misses the name in the whole list, and tells of it again. */
static void merge_joined(presence *s, const mirror_link *l, str name)
{
    member *m = presence_add(s, name);
    if (!m) {
        presence_tell_again(s->topic, l);
        return;
    }
    presence_end_leave(m);
    m->loops |= bit_of(l);
    if (!m->present)
        presence_set_present(s, m, true);
}

static void merge_left(presence *s, const mirror_link *l, str name)
{
    member *m = presence_find(s, name);
    if (m && has(m, l))
        take_away(s, m, l);
}

/* A name with its length in front. */
static str next_name(str *rest)
{
    str name = {rest->at + 1, (uint8_t)rest->at[0]};
    rest->at += 1 + name.len;
    rest->len -= 1 + name.len;
    return name;
}

void presence_merge(topic *t, mirror_link *l, str changes)
{
    presence *s = t->presence;
    while (s && changes.len) {
        bool came = changes.at[0];
        changes.at++;
        changes.len--;
        if (came)
            merge_joined(s, l, next_name(&changes));
        else
            merge_left(s, l, next_name(&changes));
    }
}

static size_t names_bytes(const str *names, size_t n)
{
    size_t bytes = n;
    for (size_t i = 0; i < n; i++)
        bytes += names[i].len;
    return bytes;
}

static uint8_t *put_name(uint8_t *at, str name)
{
    *at++ = (uint8_t)name.len;
    memcpy(at, name.at, name.len);
    return at + name.len;
}

int presence_send(mirror_link *l, const presence_change *change)
{
    const reach *r = l->topic->hub->reach;
    size_t n_joined = change->joined ? change->n_joined : 0, n_left = change->left ? change->n_left : 0;
    size_t bytes = names_bytes(change->joined, n_joined) + names_bytes(change->left, n_left);
    presence_note *n = (presence_note *)hub_note_new(r->links, sizeof *n + bytes, mirror_take_presence, NULL);
    if (!n)
        return -ENOMEM;
    n->mirror = l->mirror;
    n->count = change->count;
    n->n_joined = n_joined;
    n->n_left = n_left;
    n->whole = change->whole;
    n->bytes = bytes;
    uint8_t *at = n->names;
    for (size_t i = 0; i < n_joined; i++)
        at = put_name(at, change->joined[i]);
    for (size_t i = 0; i < n_left; i++)
        at = put_name(at, change->left[i]);
    int error = reach_push(r, l->number, &n->base);
    if (error)
        mem_free(n);
    return error;
}

/* ----------------------------------------------------------------------------------------------------------- a
 * mirror */

void presence_leave_mirror(presence *s, member *m)
{
    presence_note_untold(s, m);
    if (!m->known && !m->at_home) /* nobody else ever knew */
        presence_set_present(s, m, false);
}

void presence_note_untold(presence *s, member *m)
{
    if (!s->topic->mirror)
        return;
    list_remove(&m->leaving);
    if ((m->n_peers > 0) == m->at_home)
        return;
    list_append(&s->untold, &m->leaving);
    mirror_changed(s->topic);
}

static member *untold(list_node *node)
{
    return CONTAINER(node, member, leaving);
}

/* A note of the first so many names, which take so many bytes. */
static mirror_note *names_note(presence *s, size_t n, size_t bytes)
{
    mirror_note *names = mirror_note_new(s->topic, bytes, home_take_names);
    if (!names)
        return NULL;
    uint8_t *at = (uint8_t *)names->name + names->name_len;
    for (list_node *node = s->untold.next; n--; node = node->next) {
        *at++ = untold(node)->n_peers > 0;
        at = put_name(at, untold(node)->entry.key);
    }
    return names;
}

static void settle(presence *s, size_t n)
{
    while (n--) {
        member *m = untold(list_first(&s->untold));
        list_remove(&m->leaving);
        m->at_home = m->n_peers > 0;
        presence_drop_unused(s, m);
    }
}

static int tell_some(presence *s)
{
    size_t n = 0, bytes = 0;
    for (list_node *node = s->untold.next; node != &s->untold && n < MOST_NAMES; node = node->next, n++)
        bytes += 2 + untold(node)->entry.key.len;
    mirror_note *names = names_note(s, n, bytes);
    if (!names)
        return -ENOMEM;
    int error = reach_push(s->topic->hub->reach, s->topic->mirror->home, &names->base);
    if (error)
        mem_free(names);
    else
        settle(s, n);
    return error;
}

int presence_tell_home(topic *t)
{
    int error = 0;
    while (!error && t->presence && !list_empty(&t->presence->untold))
        error = tell_some(t->presence);
    return error;
}

/* One of this loop's peers may be on its way to the home. */
static void hear_left(presence *s, member *m)
{
    m->known = false;
    if (m->present && !m->n_peers)
        presence_set_present(s, m, false);
}

/* 0 or -ENOMEM. */
static int hear_joined(presence *s, str name)
{
    member *m = presence_add(s, name);
    if (!m)
        return -ENOMEM;
    m->known = true;
    if (!m->present)
        presence_set_present(s, m, true);
    return 0;
}

static void forget_all(presence *s)
{
    for (map_entry *e = NULL; (e = map_next(&s->members, e)) != NULL;)
        CONTAINER(e, member, entry)->known = false;
}

/* Whoever was not in the whole list is not there; but one of this loop, of whom the home is told again. */
static void sweep(presence *s)
{
    for (map_entry *e = map_next(&s->members, NULL), *next; e; e = next) {
        member *m = CONTAINER(e, member, entry);
        next = map_next(&s->members, e);
        if (m->known)
            continue;
        if (m->n_peers && m->at_home) {
            m->at_home = false;
            presence_note_untold(s, m);
        }
        hear_left(s, m);
    }
}

/* There are too many to be listed: those of other loops are no longer known by name. */
static void hear_count(presence *s, size_t count)
{
    for (map_entry *e = map_next(&s->members, NULL), *next; e; e = next) {
        next = map_next(&s->members, e);
        hear_left(s, CONTAINER(e, member, entry));
    }
    s->n_away = count;
    if (s->watching.n_entries)
        presence_tell_at(s, presence_now_ms(s) + PRESENCE_TELL_MS);
}

static int hear_names(presence *s, const presence_note *n)
{
    str rest = {(const char *)n->names, n->bytes};
    int error = 0;
    s->n_away = 0;
    if (n->whole)
        forget_all(s);
    for (size_t i = 0; i < n->n_joined; i++)
        error = hear_joined(s, next_name(&rest)) ? -ENOMEM : error;
    for (size_t i = 0; i < n->n_left; i++) {
        member *m = presence_find(s, next_name(&rest));
        if (m)
            hear_left(s, m);
    }
    if (n->whole)
        sweep(s);
    return error;
}

int presence_hear(topic *t, const presence_note *n)
{
    if (!t->presence && presence_start(t))
        return -ENOMEM;
    if (n->count <= PRESENCE_MAX_LISTED)
        return hear_names(t->presence, n);
    hear_count(t->presence, n->count);
    return 0;
}
