/**
 * Publications that travel to the home of their topic, and questions that hubs have for each other: where a publication
 * got its place, and which topics there are.
 *
 * Who asks is a handle (of a peer, or an exchange) and a number, to be looked up when the answer comes: it may be gone.
 * An answer comes on the loop that asked. When the loop that was asked ends, or has no room in an inbox of one that is
 * ending, none may come: a client's request keeps a deadline of its own.
 */
#ifndef WEFT_HUB_ASK_H
#define WEFT_HUB_ASK_H

#include "hub/links.h"

/** Publishes from any thread, by way of the topic's home: 0 (handed over), WEFT_E_FULL (its inbox), WEFT_E_CLOSED or
 * -ENOMEM. The name is valid. Takes the reference to the blob, on failure too; `blocks` is the calling loop's, or NULL.
 * Order holds for each (thread, topic). */
int hub_links_publish(const hub_links *links, pool *blocks, str name, blob *body, uint64_t except);

typedef struct {
    uint64_t id;
    uint64_t number; /* which of its publications */
    /** 0 and the place, or an error of hub_publish() (h->limit names the setting), or WEFT_E_CLOSED. */
    void (*answer)(hub *h, uint64_t id, uint64_t number, int error, const publication *done);
} publish_asker;

/** Publishes, for somebody who wants to know the place: 0 and *ret_done when the topic is at home here; HUB_PENDING,
 * and then the asker is answered once; or an error of hub_publish(). Takes the reference to the blob, on failure too.
 * The name is valid. */
int hub_publish_ask(hub *h, str name, blob *body, uint64_t except, const publish_asker *asker, publication *ret_done);

/** One topic of the list. */
typedef struct {
    str name;
    cursor at;              /* of its newest message */
    uint64_t n_messages;    /* kept */
    uint32_t n_subscribers; /* on all loops, waiting polls too */
} topic_entry;

/** What the topic's line says. */
topic_entry topic_describe(const topic *t);

typedef struct {
    uint64_t id;
    uint64_t number;
    /** Several times: some of the topics (borrowed; maybe none), in no order, each topic once. `last`: that is all;
     * *then* an error (-ENOMEM, WEFT_E_CLOSED) says that topics of some loop are missing. */
    void (*part)(hub *h, uint64_t id, uint64_t number, const topic_entry *entries, size_t n, bool last, int error);
} list_asker;

/** Every topic of the application. Those that are at home here are told within this call, and with one loop that is
 * all. 0, or -ENOMEM, and then nothing was told. */
int hub_list_topics(hub *h, const list_asker *asker);

#endif
