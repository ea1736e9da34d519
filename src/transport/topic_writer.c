#include "transport/topic_writer.h"

#include "base/mem.h"
#include "hub/links.h"
#include "hub/message.h"
#include <errno.h>

/* What the topic's home had no room for. */
typedef struct {
    peer *peer;
    blob *body;
    timer retry;
} unsent;

typedef struct {
    peer_handler handler;
    const topics_route *route;
    unsent *unsent; /* NULL: nothing */
    bool has_key;
    uint8_t name_len;
    char name[];
} writer;

static writer *writer_of(const peer *p)
{
    return CONTAINER(p->handler, writer, handler);
}

/* ----------------------------------------------------------------------------------------------------- without room */

static void unsent_free(unsent *u)
{
    hub *h = u->peer->hub;
    loop_cancel(h->loop, &u->retry);
    blob_unref(&h->loop->blocks, u->body);
    mem_free(u);
}

/* The peer may be gone afterwards. */
static void fail(peer *p, int error)
{
    if (error == WEFT_E_CLOSED)
        peer_close(p, 1001, STR("the server is going away"));
    else if (error == WEFT_E_FULL)
        peer_close(p, 1013, STR("the server has too much to do"));
    else
        peer_close(p, 1011, STR("the message could not be published"));
}

static void retry(timer *t)
{
    unsent *u = CONTAINER(t, unsent, retry);
    peer *p = u->peer;
    writer *w = writer_of(p);
    int error = hub_publish(p->hub, (str){w->name, w->name_len}, blob_ref(u->body), 0, NULL);
    if (error == WEFT_E_FULL) {
        loop_arm(p->hub->loop, &u->retry, WRITER_RETRY_MS, retry);
        return;
    }
    w->unsent = NULL;
    unsent_free(u);
    if (error)
        fail(p, error);
    else
        peer_stop_reading(p, PAUSED_BY_ASKED, false);
}

/* Takes the blob. */
static void publish_later(peer *p, blob *body)
{
    unsent *u = mem_zero(sizeof *u);
    if (!u) {
        blob_unref(&p->hub->loop->blocks, body);
        fail(p, -ENOMEM);
        return;
    }
    u->peer = p;
    u->body = body;
    writer_of(p)->unsent = u;
    peer_stop_reading(p, PAUSED_BY_ASKED, true);
    loop_arm(p->hub->loop, &u->retry, WRITER_RETRY_MS, retry);
}

/* ------------------------------------------------------------------------------------------------------- publishing */

/* To a topic of another loop. Takes the blob. */
static void publish_away(peer *p, str name, blob *body)
{
    blob *kept = blob_ref(body);
    int error = hub_publish(p->hub, name, body, 0, NULL);
    if (error == WEFT_E_FULL) {
        publish_later(p, kept);
        return;
    }
    blob_unref(&p->hub->loop->blocks, kept);
    if (error)
        fail(p, error);
}

static void publish(peer *p, str name, const weft_message *message)
{
    hub *h = p->hub;
    blob *body;
    int error = message_blob(&h->loop->blocks, message, hub_knows_text(h, message->data), &body);
    if (!error && hub_is_away(h, name))
        publish_away(p, name, body);
    else if (!error)
        error = hub_publish(h, name, body, 0, NULL);
    if (error)
        fail(p, error);
}

static void writer_receive(peer *p, const weft_message *message)
{
    const writer *w = writer_of(p);
    hub *h = p->hub;
    access_asker asker = {.peer = p, .has_key = w->has_key};
    char copy[TOPIC_MAX_NAME_BYTES]; /* the writer goes with its peer, which the program or the fan-out may end */
    str name = {copy, w->name_len};
    memcpy(copy, w->name, name.len);
    bool allowed = access_allowed(&w->route->access, &asker, name, true);
    if (p->leaving)
        return;
    if (allowed) {
        publish(p, name, message);
        return;
    }
    h->limit = limit_count(&h->net->limits, LIMIT_ACCESS);
    peer_close(p, 1008, STR("this client may not publish to the topic"));
}

/* ------------------------------------------------------------------------------------------------------------- life */

/* What it has still to publish is tried once more; without room for it it is counted as refused. */
static void writer_left(peer *p)
{
    writer *w = writer_of(p);
    unsent *u = w->unsent;
    if (u) {
        int error = hub_publish(p->hub, (str){w->name, w->name_len}, blob_ref(u->body), 0, NULL);
        p->hub->counts.n_refused += error != 0;
        unsent_free(u);
    }
    mem_free(w);
}

static const peer_handler_ops writing = {.receive = writer_receive, .left = writer_left};

int topic_writer_attach(peer *p, const topics_route *route, str name, bool has_key)
{
    size_t bytes = offsetof(writer, name) + name.len;
    writer *w = mem_new(bytes > sizeof *w ? bytes : sizeof *w);
    if (!w)
        return -ENOMEM;
    *w = (writer){.route = route, .has_key = has_key, .name_len = (uint8_t)name.len};
    w->handler.ops = &writing;
    memcpy(w->name, name.at, name.len);
    p->handler = &w->handler;
    return 0;
}
