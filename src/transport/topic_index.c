#include "proto/json_text.h"
#include "transport/topic_resource.h"
#include <inttypes.h>

enum { ENTRY_BYTES = 2 * TOPIC_MAX_NAME_BYTES + 256 }; /* a name has nothing but quotes and backslashes to escape */

/* 0 or -ENOMEM. */
static int put_topic(buf *list, const topic *t)
{
    char name[ENTRY_BYTES], place[CURSOR_BYTES];
    int name_len = (int)json_text_put(name, topic_name(t));
    int place_len = (int)cursor_put(topic_cursor_before(t, t->head), place);
    return buf_printf(list,
                      "%s{\"topic\":%.*s,\"subscribers\":%" PRIu32 ",\"messages\":%" PRIu64 ",\"cursor\":\"%.*s\"}",
                      list->at[list->len - 1] == '}' ? "," : "", name_len, name, t->n_subscribers + t->n_waiters,
                      t->head - t->first, place_len, place);
}

/* 0 or -ENOMEM. */
static int put_topics(buf *list, const hub *h)
{
    int error = buf_put_str(list, STR("{\"topics\":["));
    for (const topic *t = hub_next_topic(h, NULL); t && !error; t = hub_next_topic(h, t))
        error = put_topic(list, t);
    return error ? error : buf_put_str(list, STR("]}"));
}

void topic_index_get(exchange *e, const weft_request *request, void *user)
{
    access_asker asker;
    buf list = {0};
    if (!topic_resource_asker(e, request, user, &asker))
        return;
    if (!asker.has_key) {
        exchange_blame(e, LIMIT_KEY);
        topics_refuse(e, 403, "the list of topics is for whoever has the key (option: publish_key)");
        return;
    }
    int error = put_topics(&list, e->context);
    if (error)
        topics_refuse_error(e, e->context, error);
    else
        exchange_answer(e, &(http_answer){.status = 200, .type = STR("application/json"), .body = buf_str(&list)});
    buf_done(&list);
}
