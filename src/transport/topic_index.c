#include "base/mem.h"
#include "hub/ask.h"
#include "proto/json_text.h"
#include "transport/topic_resource.h"
#include <errno.h>
#include <inttypes.h>

enum { ENTRY_BYTES = 2 * TOPIC_MAX_NAME_BYTES + 256 }; /* a name has nothing but quotes and backslashes to escape */

/* A list on its way: each loop tells of the topics that are at home on it. */
typedef struct {
    buf text;
    int error; /* for what was told so far */
} listing;

/* 0 or -ENOMEM. */
static int put_topic(buf *list, const topic_entry *t)
{
    char name[ENTRY_BYTES], place[CURSOR_BYTES];
    int name_len = (int)json_text_put(name, t->name);
    int place_len = (int)cursor_put(t->at, place);
    return buf_printf(
        list, "%s{\"topic\":%.*s,\"subscribers\":%" PRIu32 ",\"messages\":%" PRIu64 ",\"cursor\":\"%.*s\"}",
        list->at[list->len - 1] == '}' ? "," : "", name_len, name, t->n_subscribers, t->n_messages, place_len, place);
}

static void finish(exchange *e, listing *l)
{
    buf text = l->text; /* the listing goes with the exchange */
    int error = l->error ? l->error : buf_put_str(&text, STR("]}"));
    l->text = (buf){0};
    if (error)
        topics_refuse_error(e, e->context, error);
    else
        exchange_answer(e, &(http_answer){.status = 200, .type = STR("application/json"), .body = buf_str(&text)});
    buf_done(&text);
}

static void take_part(hub *h, uint64_t id, uint64_t number, const topic_entry *entries, size_t n, bool last, int error)
{
    exchange *e = slots_get(h->table, id, SLOT_EXCHANGE);
    (void)number;
    if (!e)
        return;
    listing *l = e->held_state;
    for (size_t i = 0; i < n && !l->error; i++)
        l->error = put_topic(&l->text, &entries[i]);
    if (error && !l->error)
        l->error = error;
    if (last)
        finish(e, l);
}

static void forget(exchange *e)
{
    listing *l = e->held_state;
    buf_done(&l->text);
    mem_free(l);
}

static void is_late(exchange *e)
{
    topics_refuse_for_now(e, "the server has too much to do");
}

static const held_ops listing_ops = {.forget = forget, .late = is_late, .answers_half = true};

/* 0 or -ENOMEM. */
static int begin_list(exchange *e)
{
    listing *l = mem_zero(sizeof *l);
    int error = l ? buf_put_str(&l->text, STR("{\"topics\":[")) : -ENOMEM;
    if (error) {
        mem_free(l);
        return error;
    }
    e->held = &listing_ops;
    e->held_state = l;
    return 0;
}

/* With one loop it is answered before this returns. */
static void serve_list(exchange *e, hub *h)
{
    uint64_t id = e->id;
    int error = begin_list(e);
    if (!error)
        error = hub_list_topics(h, &(list_asker){.id = id, .part = take_part});
    if (error)
        topics_refuse_error(e, h, error);
    else if (slots_get(h->table, id, SLOT_EXCHANGE))
        e->ops->wait(e, TOPICS_ANSWER_MS);
}

void topic_index_get(exchange *e, const weft_request *request, void *user)
{
    access_asker asker;
    if (!topic_resource_asker(e, request, user, &asker))
        return;
    if (asker.has_key) {
        serve_list(e, e->context);
        return;
    }
    exchange_blame(e, LIMIT_KEY);
    topics_refuse(e, 403, "the list of topics is for whoever has the key (option: publish_key)");
}
