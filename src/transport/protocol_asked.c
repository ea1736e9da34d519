#include "base/mem.h"
#include "transport/protocol_private.h"
#include <errno.h>

/* What other loops have to answer a client. */
typedef struct peer_asked {
    list_node list;
    size_t n, bytes;
} peer_asked;

static peer_asked *asked_by(const peer *p)
{
    return p->extra ? p->extra->asked : NULL;
}

static peer_asked *make_list(peer *p)
{
    peer_extra *extra = peer_extra_of(p);
    if (!extra || extra->asked)
        return extra ? extra->asked : NULL;
    extra->asked = mem_zero(sizeof *extra->asked);
    if (extra->asked)
        list_init(&extra->asked->list);
    return extra->asked;
}

asked *asked_new(peer *p, const envelope *e, size_t more_bytes)
{
    asked *a = mem_zero(sizeof *a + e->topic.len + e->id.len);
    if (!a)
        return NULL;
    a->peer = p;
    a->type = e->type;
    a->presence = e->presence;
    a->from = since_read(e->since);
    a->bytes = sizeof *a + more_bytes;
    a->topic_len = (uint8_t)e->topic.len;
    a->id_len = (uint8_t)e->id.len;
    memcpy(a->text, e->topic.at, e->topic.len);
    if (e->id.len)
        memcpy(a->text + e->topic.len, e->id.at, e->id.len);
    return a;
}

static int put_before(asked *a, bool first)
{
    peer_asked *by = make_list(a->peer);
    if (!by)
        return -ENOMEM;
    list_append(first ? by->list.next : &by->list, &a->node);
    by->n++;
    by->bytes += a->bytes;
    if (by->n >= ASKED_MAX || by->bytes >= ASKED_MAX_BYTES)
        peer_stop_reading(a->peer, PAUSED_BY_ASKED, true);
    return 0;
}

int asked_put(asked *a)
{
    return put_before(a, false);
}

int asked_put_first(asked *a)
{
    return put_before(a, true);
}

void asked_take(asked *a)
{
    peer *p = a->peer;
    peer_asked *by = asked_by(p);
    list_remove(&a->node);
    by->n--;
    by->bytes -= a->bytes;
    if (by->n)
        return;
    mem_free(by);
    p->extra->asked = NULL;
}

void asked_read_on(peer *p)
{
    const peer_asked *by = asked_by(p);
    bool few = !by || (by->n <= ASKED_MAX / 2 && by->bytes <= ASKED_MAX_BYTES / 2);
    if (few && p->stop_reading & PAUSED_BY_ASKED)
        peer_stop_reading(p, PAUSED_BY_ASKED, false);
}

void asked_free(asked *a)
{
    mem_free(a);
}

asked *asked_of(const peer *p, str name)
{
    peer_asked *by = asked_by(p);
    for (list_node *node = by ? by->list.next : NULL; node && node != &by->list; node = node->next)
        if (str_equal(asked_topic(CONTAINER(node, asked, node)), name))
            return CONTAINER(node, asked, node);
    return NULL;
}

void asked_drop(peer *p)
{
    for (peer_asked *by; (by = asked_by(p)) != NULL;) {
        asked *a = CONTAINER(list_first(&by->list), asked, node);
        if (a->type == ENVELOPE_PRESENCE)
            topic_stop_awaiting(&a->awaiter);
        asked_take(a);
        asked_free(a);
    }
}
