/**
 * How the hubs of one application reach each other. Each runs on a loop of its own; what one wants of another travels
 * as a note through the inbox of that loop. An application with one loop links nothing: hub->reach is NULL, and every
 * topic is at home.
 *
 * A topic is at home on one hub, by a keyed hash of its name: there its messages get their numbers. Any other hub on
 * which somebody wants it keeps a mirror (mirror.h). Notes from one hub to another arrive in the order in which they
 * were taken.
 *
 * Loops end at different times. A note for one that has ended is refused (WEFT_E_CLOSED), or dropped when it was under
 * way; whoever awaits an answer is told so. A place in the table of loops may be taken again by another application, so
 * notes name the one that they are for.
 */
#ifndef WEFT_HUB_LINKS_H
#define WEFT_HUB_LINKS_H

#include "hub/topic.h"
#include <stdatomic.h>

enum {
    HUBS_MAX = 64,      /* of one application: a bit each (presence) */
    REACH_RETRY_MS = 1, /* between two looks for room in an inbox that was full */
};

/** A counter that one loop writes and others read, apart from those of other loops. */
typedef struct {
    _Atomic uint64_t n;
    char apart[64 - sizeof(uint64_t)];
} hub_counter;

/** What the hubs of an application share; it outlives them. Only counters change once the first loop runs. */
typedef struct hub_links {
    unsigned n; /* hubs */
    uint64_t id;
    uint8_t secret[16]; /* that homes are chosen with */
    hub *(*hub_of)(void *loop_owner);
    inbox *boxes[HUBS_MAX];
    hub_counter n_own[HUBS_MAX]; /* publications that no inbox has brought: reach_next_serial() */
    _Atomic size_t n_topics;     /* at home on any of them; relaxed: a limit that publishes nothing */
} hub_links;

/** One hub among its links. */
typedef struct reach {
    hub *hub;
    hub_links *links;
    unsigned number;      /* of this hub */
    bool taking;          /* what is published now has come by way of the inbox */
    list_node behind;     /* mirrors elsewhere that have not got all from their homes here */
    list_node changed;    /* mirrors here that their homes are to be told something of */
    list_node gatherings; /* lists of topics asked for here */
    uint64_t n_gatherings;
    note *unsent, **unsent_end; /* answers whose asker's inbox was full */
    loop_task tell;             /* the homes of `changed`, at the end of the turn */
    timer retry;                /* whatever found no room or no memory */
} reach;

/** `n` hubs, at most HUBS_MAX; hub_of says which hub belongs to the owner of a loop, for every loop of the process that
 * an application of this library has (its own are told by their links), or NULL. 0, or -errno (no randomness). */
int hub_links_init(hub_links *links, unsigned n, hub *(*hub_of)(void *loop_owner));

/** Makes a hub the one of that number, after hub_init() and before any loop of the application runs. One that is alone
 * takes what comes from other threads, and has no reach. 0 or -ENOMEM. */
int hub_link(hub *h, hub_links *links, unsigned number);

/** The hub ends, without topics by now: answers that wait are tried once more. Not linked is fine. */
void hub_unlink(hub *h);

/** The number of the hub on which a topic is at home. */
unsigned hub_links_home(const hub_links *links, str name);

/** True when the topic's home is another hub. */
static inline bool hub_is_away(const hub *h, str name)
{
    return h->reach && hub_links_home(h->reach->links, name) != h->reach->number;
}

/** Of a publication here that is about to be: how many of this hub's own there are then, twice, and one more if it is
 * one of them. Those that come by way of the inbox are none: against a question that comes the same way they have their
 * place already. */
static inline uint64_t reach_next_serial(const reach *r)
{
    _Atomic uint64_t *n = &r->links->n_own[r->number].n;
    uint64_t own = atomic_load_explicit(n, memory_order_relaxed) + !r->taking; /* nobody else writes it */
    if (!r->taking)
        atomic_store_explicit(n, own, memory_order_release); /* to reach_own_of() */
    return 2 * own + !r->taking;
}

/** How many another hub has published of its own. Whoever publishes there after learning of something that this thread
 * does from now on makes one of a larger number. */
static inline uint64_t reach_own_of(const reach *r, unsigned number)
{
    return atomic_load_explicit(&r->links->n_own[number].n, memory_order_acquire); /* of reach_next_serial() */
}

/** True while something of this hub is on its way to another that had no room for it: a loop that ends before loses
 * it. */
bool hub_owes(const hub *h);

/* ---- notes ---- */

typedef struct hub_note hub_note;

/** Begins what travels. */
struct hub_note {
    note base;
    uint64_t links_id;
    hub *(*hub_of)(void *loop_owner);
    void (*take)(hub *h, hub_note *n); /* on the loop of the hub that it was for; the note is freed afterwards */
    inbox *box;                        /* of an answer that waits for room */
    void (*lost)(hub_note *n);         /* instead, on whatever thread; NULL: there is nothing to release */
};

/** A note of so many bytes, all told. NULL: no memory. */
hub_note *hub_note_new(const hub_links *links, size_t bytes, void (*take)(hub *, hub_note *), void (*lost)(hub_note *));

/** One that was not pushed, or never will be: as if it was lost. */
void hub_note_free(hub_note *n);

/** False when a note of so many bytes would find no room, as things stand. */
bool reach_has_room(const reach *r, unsigned number, size_t bytes);

/** 0, or WEFT_E_FULL or WEFT_E_CLOSED, which leave the note with the caller. */
int reach_push(const reach *r, unsigned number, hub_note *n);

/** Pushes an answer, which waits for room when there is none and is freed when nobody will take it. */
void reach_answer(reach *r, inbox *box, hub_note *n);

/** Looks again soon at whatever found no room. */
void reach_retry(reach *r);

#endif
