/**
 * Mirrors as their files see them: mirror.c is the mirror's side, home.c the home's, presence_loops.c the names of
 * both.
 */
#ifndef WEFT_HUB_MIRROR_PRIVATE_H
#define WEFT_HUB_MIRROR_PRIVATE_H

#include "hub/links.h"
#include "hub/mirror.h"
#include "hub/topic_private.h"

/** A mirror as its home knows it. */
struct mirror_link {
    mirror_link *next; /* of the same topic */
    topic *topic;
    list_node behind;       /* in reach->behind while it has not got all */
    uint64_t mirror;        /* its handle on its own loop */
    uint64_t sent;          /* it has been sent all before this offset */
    uint64_t ready_at;      /* the head when it asked last */
    uint32_t n_asked;       /* which question that was */
    uint32_t n_subscribers; /* that it has told of */
    uint8_t number;         /* of its hub */
    bool answered;          /* it has been sent something since it asked, if only that there is nothing */
};

/** From a mirror to its home. */
typedef struct {
    hub_note base;
    uint64_t mirror;
    uint32_t n_subscribers; /* count */
    uint32_t n_asked;       /* attach */
    uint64_t n_own;         /* attach: reach_own_of() the home, when it was asked */
    bool asks_names;        /* attach: those who are there are to be told again */
    uint8_t number;         /* of the mirror's hub */
    uint8_t name_len;
    size_t more_bytes; /* behind the name */
    char name[];
} mirror_note;

static inline str mirror_note_name(const mirror_note *n)
{
    return (str){n->name, n->name_len};
}

/** One message on its way. */
typedef struct {
    blob *body;
    uint64_t except, at_ms;
} sent_message;

/** Messages from a home to a mirror; the first of them says what the topic is. */
typedef struct {
    hub_note base;
    uint64_t mirror;
    uint64_t epoch;
    uint64_t from; /* the offset of the first */
    uint64_t ready_at;
    uint32_t n_asked;
    size_t n;
    sent_message messages[];
} messages_note;

/** A home says no, or ends. */
typedef struct {
    hub_note base;
    uint64_t mirror;
    uint64_t head; /* of one that ends */
    int error;
} refused_note;

/** Who is there, from a home to a mirror. */
typedef struct {
    hub_note base;
    uint64_t mirror;
    size_t count, n_joined, n_left;
    bool whole;
    size_t bytes; /* of the names: a byte of length and the name each */
    uint8_t names[];
} presence_note;

/* home.c */

/** What mirrors tell: the takers of their notes. */
void home_take_attach(hub *h, hub_note *n);
void home_take_detach(hub *h, hub_note *n);
void home_take_count(hub *h, hub_note *n);
void home_take_names(hub *h, hub_note *n);

/** Some mirror has not got all. */
bool home_is_behind(const topic *t);

/** Something was published: it goes to the mirrors that are not behind. */
void home_send(topic *t);

/** Of mirrors, as they have last told. */
uint32_t home_count(const topic *t);

/** Sends on to those that had no room. */
void home_retry(reach *r);

/** A mirror is gone, or its loop; the topic is held. */
void home_forget(mirror_link *l);

/** The hub ends. */
void home_end(topic *t);

/* mirror.c */

/** Makes a new topic a mirror, of zeroed memory that becomes its own, and asks its home: 0, or WEFT_E_FULL,
 * WEFT_E_CLOSED or -ENOMEM, and the topic is gone. */
int mirror_start(topic *t, mirror *m);

/** The topic goes; nobody awaits it. */
void mirror_free(topic *t);

/** The topic's clock: it asks again, or goes. False: it is gone. */
bool mirror_clock(topic *t);

/** When mirror_clock() has something to do. */
uint64_t mirror_due_ms(const topic *t);

/** The home is to be told of the topic's count or names at the end of the turn. */
void mirror_changed(topic *t);

/** Tells the homes of all that have changed. */
void mirrors_tell(reach *r);

/** The hub ends: the home is told. */
void mirror_end(topic *t);

/** For the home of a mirror; a note about it, with room for more behind its name. NULL: no memory. */
mirror_note *mirror_note_new(const topic *t, size_t more_bytes, void (*take)(hub *, hub_note *));

void mirror_take_messages(hub *h, hub_note *n);
void mirror_lost_messages(hub_note *n);
void mirror_take_refusal(hub *h, hub_note *n);
void mirror_take_presence(hub *h, hub_note *n);

/* presence_loops.c */

/** A mirror wants to know who is there. 0, -ENOMEM or another -errno. */
int presence_attach(topic *t, mirror_link *l);

/** It is told all again. */
void presence_tell_again(topic *t, const mirror_link *l);

/** The mirror is gone, and whoever was there only on it. */
void presence_detach(topic *t, mirror_link *l);

/** Names that came to or left a mirror: a byte of what (1: came), one of length, and the name each. */
void presence_merge(topic *t, mirror_link *l, str changes);

/** On a mirror: tells the home what names have come and gone here. 0, or what stopped it. */
int presence_tell_home(topic *t);

/** On a mirror: what the home says. 0 or -ENOMEM, and then it has to say it all again. */
int presence_hear(topic *t, const presence_note *n);

/* ask.c */

/** Of reach->gatherings. */
void gathering_free(list_node *node);

#endif
