/**
 * Presence as its files see it: presence.c knows who comes and goes, presence_watch.c tells it, presence_loops.c joins
 * what several loops know.
 *
 * A home has the union: a name is there while a peer of its loop or a mirror has it. A mirror tells its home the names
 * of its own peers, and is told all as a watcher is, by the rounds of its home; it shows its own peers at once.
 */
#ifndef WEFT_HUB_PRESENCE_PRIVATE_H
#define WEFT_HUB_PRESENCE_PRIVATE_H

#include "hub/mirror_private.h"
#include "hub/presence.h"

/** A name. It is present while a peer has it, and for PRESENCE_LEAVE_MS longer. One that is gone stays here until that
 * was told. */
typedef struct {
    map_entry entry; /* keyed by the name */
    list_node
        leaving; /* in presence->leaving once its last peer has left; on a mirror in ->untold while its home is to know */
    list_node changed; /* in presence->changed since it came or went, or in ->gone while a round tells that it went */
    union {
        uint64_t left_ms; /* while `leaving` */
        uint64_t loops;   /* else: a bit for each other loop whose mirror has it */
    };
    uint32_t n_peers; /* of this loop */
    bool present;
    bool told;    /* as present: so it stands in the list that watchers have */
    bool at_home; /* on a mirror: its home knows that it is here */
    bool known;   /* on a mirror: its home has said that it is there */
    char text[];
} member;

typedef struct {
    map_entry entry;   /* keyed by the peer's id, or the mirror's */
    list_node node;    /* in presence->watchers, behind or telling */
    peer *peer;        /* NULL: */
    mirror_link *link; /* a mirror on another loop */
    bool listed;       /* it has the list as it was told last; else it needs all of it */
} watcher;

struct presence {
    topic *topic;
    map members;
    size_t n_present;
    size_t n_away;     /* on a mirror: how many its home says there are, when these are too many to be listed; else 0 */
    size_t told_count; /* in the last round */
    list_node leaving; /* longest first */
    list_node untold;  /* on a mirror: names that have come or gone */
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

/* presence.c */

static inline uint64_t presence_now_ms(const presence *s)
{
    return s->topic->hub->loop->now_ms;
}

/** How many are present, as far as is known here. */
static inline size_t presence_count(const presence *s)
{
    return s->n_away > s->n_present ? s->n_away : s->n_present;
}

/** The topic has none yet. 0, -ENOMEM or another -errno. */
int presence_start(topic *t);

/** Nobody is there and nobody watches. */
void presence_free_unused(topic *t);

/** The same by a timer, as its lists may be in use. */
void presence_free_soon(presence *s);

void presence_set_present(presence *s, member *m, bool present);
member *presence_find(const presence *s, str name);

/** NULL: no memory. */
member *presence_add(presence *s, str name);

/** It goes when nothing is known or to be told of it. */
void presence_drop_unused(presence *s, member *m);

/** Nobody has the name any more: it is told as gone PRESENCE_LEAVE_MS later. */
void presence_begin_leave(presence *s, member *m);

/** Somebody has it. */
void presence_end_leave(member *m);

/* presence_watch.c */

/** Names are looked at then, or earlier when they are already to be. */
void presence_tell_at(presence *s, uint64_t at_ms);

/** A mirror becomes a watcher. 0 or -ENOMEM. */
int presence_watch_from(presence *s, mirror_link *l);

watcher *presence_find_watcher(const presence *s, uint64_t id);
void presence_watcher_free(presence *s, watcher *w);

/** It is told all names, or how many there are. */
void presence_put_behind(presence *s, watcher *w);

/** What was told in the last round is no longer read. */
void presence_drop_round(presence *s);

/* presence_loops.c */

/** A peer of this loop was the first of its name, or the last: on a mirror its home is to know. */
void presence_note_untold(presence *s, member *m);

/** The last of a name has left a mirror: it is gone when its home says so. */
void presence_leave_mirror(presence *s, member *m);

/** Tells a mirror. 0, or what stopped it; the mirror is then told all another time. */
int presence_send(mirror_link *l, const presence_change *change);

#endif
