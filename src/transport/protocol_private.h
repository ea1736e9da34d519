/**
 * weft.v1 as its files see it: protocol_talk.c takes envelopes, protocol_topics.c does what they ask of topics,
 * protocol_asked.c keeps what another loop has to answer first, protocol_say.c writes envelopes.
 */
#ifndef WEFT_TRANSPORT_PROTOCOL_PRIVATE_H
#define WEFT_TRANSPORT_PROTOCOL_PRIVATE_H

#include "hub/mirror.h"
#include "hub/presence.h"
#include "proto/envelope.h"
#include "transport/protocol_talk.h"

enum { REFUSAL_BYTES = 160 };

/** What hangs on a peer that speaks weft.v1. */
typedef struct {
    peer_handler handler;
    const topics_route *route;
    bool has_key;
} speaker;

static inline speaker *speaker_of(const peer *p)
{
    return CONTAINER(p->handler, speaker, handler);
}

/* ---- protocol_say.c ---- */

/** An envelope being written. After -ENOMEM the rest does nothing, and talk_say() says so. */
typedef struct {
    buf text;
    int error;
} saying;

/** {"type":"…" and the id of what is answered. */
saying saying_begin(str type, str id);

/** As it is. */
void saying_put(saying *s, str text);
void saying_put_string(saying *s, str text);

/** A member behind others: ,"name":"text". */
void saying_put_member(saying *s, str name, str text);
void saying_put_cursor(saying *s, cursor at);
void saying_put_count(saying *s, size_t count);

/** Ends the envelope and sends it, behind what was published to the peer before; that may end it. A peer whose queue it
 * fills is not read from until that drains. 0 or -ENOMEM. */
int talk_say(peer *p, saying *s);

/** In answer to what the client sent: without memory it is closed. */
void talk_answer(peer *p, saying *s);
void talk_refuse(peer *p, str id, str code, const char *message);

/** What the hub said no to. */
void talk_refuse_error(peer *p, str id, int error);

/* ---- protocol_topics.c ---- */

/** An envelope about a topic with a valid name, which the client may read or publish to. */
void talk_take_topical(peer *p, const envelope *e);

/** Tells a client that watches who came and went: a peer_handler_ops's `presence`. */
int talk_tell_presence(peer *p, topic *t, const presence_change *change);

/* ---- protocol_asked.c ---- */

enum {
    ASKED_MAX = 1000, /* of one client, before it is no longer read from */
    ASKED_MAX_BYTES = 1 << 20,
};

/**
 * Something of a client that another loop has to answer first: a subscription to a topic that is not ready here, a
 * publication on its way, a question who is there. What a client asks of one topic keeps its order: all but
 * publications wait until what was asked before has been answered. Whoever asks too much is not read from for a while.
 */
typedef struct {
    list_node node; /* in the peer's, oldest first */
    peer *peer;
    envelope_type type;
    bool waits;    /* behind others of its topic: nothing of it was done yet */
    bool presence; /* subscribe */
    uint8_t topic_len, id_len;
    size_t bytes;
    since from; /* subscribe */
    union {
        subscribing subscribing;
        awaiter awaiter; /* presence */
    };
    char text[]; /* topic and id */
} asked;

/** Not in the list yet; `more_bytes` are what it keeps busy elsewhere. NULL: no memory. */
asked *asked_new(peer *p, const envelope *e, size_t more_bytes);

/** Behind all others, or in front of them. 0 or -ENOMEM. */
int asked_put(asked *a);
int asked_put_first(asked *a);

/** Out of the list, and still there. */
void asked_take(asked *a);

/** After one was taken and answered: who asked too much may be read from again, which may be at once. */
void asked_read_on(peer *p);

/** One that is in no list. NULL is fine. */
void asked_free(asked *a);

/** The oldest of that topic; NULL: none. */
asked *asked_of(const peer *p, str name);

/** The peer leaves; subscriptions are gone already. */
void asked_drop(peer *p);

static inline str asked_topic(const asked *a)
{
    return (str){a->text, a->topic_len};
}

static inline str asked_id(const asked *a)
{
    return (str){a->text + a->topic_len, a->id_len};
}

#endif
