#include "base/mem.h"
#include "hub/mirror_private.h"
#include <errno.h>

enum { MOST_IN_A_NOTE = 256 }; /* messages: a note with few waits for little room */

/* -------------------------------------------------------------------------------------------------------------
 * mirrors */

static mirror_link *find_link(const topic *t, uint64_t id)
{
    mirror_link *l = t ? t->links : NULL;
    while (l && l->mirror != id)
        l = l->next;
    return l;
}

/* The link that a mirror's note is about; NULL: it is forgotten. */
static mirror_link *link_of(const hub *h, const mirror_note *n)
{
    return find_link(hub_find_topic(h, mirror_note_name(n)), n->mirror);
}

void home_forget(mirror_link *l)
{
    topic *t = l->topic;
    mirror_link **at = &t->links;
    while (*at != l)
        at = &(*at)->next;
    *at = l->next;
    list_remove(&l->behind);
    presence_detach(t, l);
    mem_free(l);
}

uint32_t home_count(const topic *t)
{
    uint32_t count = 0;
    for (const mirror_link *l = t->links; l; l = l->next)
        count += l->n_subscribers;
    return count;
}

/* -------------------------------------------------------------------------------------------------------------
 * sending */

bool home_is_behind(const topic *t)
{
    const mirror_link *l = t->links;
    while (l && !list_linked(&l->behind))
        l = l->next;
    return l;
}

static bool has_all(const mirror_link *l)
{
    return l->answered && l->sent >= l->topic->head;
}

static void fill(messages_note *n, const mirror_link *l)
{
    const topic *t = l->topic;
    n->mirror = l->mirror;
    n->epoch = t->epoch;
    n->ready_at = l->ready_at;
    n->n_asked = l->n_asked;
    for (size_t i = 0; i < n->n; i++) {
        const topic_message *message = topic_message_at(t, n->from + i);
        n->messages[i] = (sent_message){blob_ref(message->body), message->except, message->at_ms};
    }
}

/* As many as one note takes, from the oldest that it has not got and that is still there. 0, WEFT_E_FULL, WEFT_E_CLOSED
 * or -ENOMEM. */
static int send_some(mirror_link *l)
{
    const topic *t = l->topic;
    uint64_t from = l->sent > t->first ? l->sent : t->first;
    size_t count = t->head - from < MOST_IN_A_NOTE ? (size_t)(t->head - from) : MOST_IN_A_NOTE;
    size_t bytes = sizeof(messages_note) + count * sizeof(sent_message);
    const reach *r = t->hub->reach;
    if (!reach_has_room(r, l->number, bytes)) /* or all that is behind would be copied in vain every REACH_RETRY_MS */
        return WEFT_E_FULL;
    messages_note *n = (messages_note *)hub_note_new(r->links, bytes, mirror_take_messages, mirror_lost_messages);
    if (!n)
        return -ENOMEM;
    n->from = from;
    n->n = count;
    fill(n, l);
    int error = reach_push(r, l->number, &n->base);
    if (error) {
        hub_note_free(&n->base);
        return error;
    }
    l->sent = from + count;
    l->answered = true;
    return 0;
}

/* All that it has not got; without room or memory it is behind. False: its loop has ended, and it is forgotten. */
static bool send_all(mirror_link *l)
{
    reach *r = l->topic->hub->reach;
    int error = 0;
    while (!error && !has_all(l))
        error = send_some(l);
    list_remove(&l->behind);
    if (error == WEFT_E_CLOSED) {
        home_forget(l);
        return false;
    }
    if (error) {
        list_append(&r->behind, &l->behind);
        reach_retry(r);
    }
    return true;
}

void home_send(topic *t)
{
    for (mirror_link *l = t->links, *next; l; l = next) {
        next = l->next;
        if (!list_linked(&l->behind))
            send_all(l);
    }
}

void home_retry(reach *r)
{
    list_node now, *node;
    list_init(&now);
    while ((node = list_first(&r->behind)) != NULL) {
        list_remove(node);
        list_append(&now, node);
    }
    while ((node = list_first(&now)) != NULL) {
        mirror_link *l = CONTAINER(node, mirror_link, behind);
        topic *t = topic_hold(l->topic);
        send_all(l);
        topic_release(t);
    }
}

/* ----------------------------------------------------------------------------------------------------- coming and
 * going */

/* Without memory or room it asks again. */
static void refuse(const reach *r, unsigned number, uint64_t id, int error, uint64_t head)
{
    refused_note *n = (refused_note *)hub_note_new(r->links, sizeof *n, mirror_take_refusal, NULL);
    if (!n)
        return;
    n->mirror = id;
    n->error = error;
    n->head = head;
    if (reach_push(r, number, &n->base))
        mem_free(n);
}

/* Before what was published here since the mirror asked, as far as the ring keeps it: a loop looks at its sockets before
 * its inbox, so that may be by somebody who knew of the mirror's client already. */
static uint64_t head_when_asked(const topic *t, const mirror_note *n)
{
    uint64_t head = t->head;
    for (uint64_t at = t->head; at-- > t->first && topic_message_at(t, at)->serial / 2 > n->n_own;)
        if (topic_message_at(t, at)->serial % 2)
            head = at;
    return head;
}

static int attach(topic *t, const mirror_note *n)
{
    mirror_link *l = mem_zero(sizeof *l);
    if (!l)
        return -ENOMEM;
    *l = (mirror_link){
        .next = t->links,
        .topic = t,
        .mirror = n->mirror,
        .sent = t->first,
        .ready_at = head_when_asked(t, n),
        .n_asked = n->n_asked,
        .number = n->number,
    };
    int error = t->options.presence ? presence_attach(t, l) : 0;
    if (error) {
        mem_free(l);
        return error;
    }
    t->links = l;
    topic_wanted(t);
    send_all(l);
    return 0;
}

/* One question after the other: a mirror that hears nothing asks again. */
static void answer_again(mirror_link *l, const mirror_note *n)
{
    if (n->asks_names)
        presence_tell_again(l->topic, l);
    if (!has_all(l))
        return;
    l->ready_at = l->topic->head;
    l->n_asked = n->n_asked;
    l->answered = false;
    send_all(l);
}

void home_take_attach(hub *h, hub_note *base)
{
    const mirror_note *n = (const mirror_note *)base;
    topic *t;
    int error = hub_topic(h, mirror_note_name(n), &t);
    if (!error) {
        topic_hold(t);
        mirror_link *known = find_link(t, n->mirror);
        if (known)
            answer_again(known, n);
        else
            error = attach(t, n);
        topic_release(t);
    }
    h->limit = NULL; /* is told there */
    if (error)
        refuse(h->reach, n->number, n->mirror, error, 0);
}

void home_take_detach(hub *h, hub_note *base)
{
    mirror_link *l = link_of(h, (const mirror_note *)base);
    if (!l)
        return;
    topic *t = topic_hold(l->topic);
    home_forget(l);
    topic_release(t);
}

void home_take_count(hub *h, hub_note *base)
{
    const mirror_note *n = (const mirror_note *)base;
    mirror_link *l = link_of(h, n);
    if (l)
        l->n_subscribers = n->n_subscribers;
}

void home_take_names(hub *h, hub_note *base)
{
    const mirror_note *n = (const mirror_note *)base;
    mirror_link *l = link_of(h, n);
    if (l)
        presence_merge(l->topic, l, (str){n->name + n->name_len, n->more_bytes});
}

void home_end(topic *t)
{
    while (t->links) {
        mirror_link *l = t->links;
        unsigned number = l->number;
        uint64_t id = l->mirror;
        if (has_all(l) || send_all(l)) {
            home_forget(l);
            refuse(t->hub->reach, number, id, WEFT_E_CLOSED, t->head);
        }
    }
}
