#include "base/utf8.h"
#include "hub/ask.h"
#include "hub/message.h"
#include "transport/topic_resource.h"
#include <inttypes.h>
#include <stdio.h>

/* What a body is. What says that it is text has to be; what only may be is looked at. */
static weft_kind kind_of(str type, str body)
{
    if (topic_media_is_json(type))
        return WEFT_JSON;
    if (str_begins_nocase(type, STR("text/")))
        return WEFT_TEXT;
    if (type.len && !str_equal_nocase(type, STR("application/x-www-form-urlencoded")))
        return WEFT_BINARY;
    return utf8_valid(body.at, body.len) ? WEFT_TEXT : WEFT_BINARY;
}

static void refuse_message(exchange *e, int error)
{
    if (error == WEFT_E_UTF8)
        topics_refuse(e, 400, "the body is not UTF-8, as its Content-Type says");
    else if (error == WEFT_E_JSON)
        topics_refuse(e, 400, "the body is not one valid JSON value, nested no deeper than 64");
    else if (error == WEFT_E_INVALID) /* a field's value has no CR, LF or NUL in any case */
        topics_refuse(e, 400, "the event's name (field: Weft-Event) is not at most 255 bytes of UTF-8");
    else
        topics_refuse_error(e, e->context, error);
}

static void answer_published(exchange *e, const publication *done)
{
    char body[128], id[CURSOR_BYTES];
    int id_len = (int)cursor_put(done->at, id);
    int len =
        snprintf(body, sizeof body, "{\"id\":\"%.*s\",\"subscribers\":%" PRIu32 "}", id_len, id, done->n_subscribers);
    exchange_answer(e, &(http_answer){.status = 201, .type = STR("application/json"), .body = {body, (size_t)len}});
}

/* ------------------------------------------------------------------------------------- topics at home on another loop */

static void take_answer(hub *h, uint64_t id, uint64_t number, int error, const publication *done)
{
    exchange *e = slots_get(h->table, id, SLOT_EXCHANGE);
    (void)number;
    if (e && error)
        topics_refuse_error(e, h, error);
    else if (e)
        answer_published(e, done);
}

static void no_answer(exchange *e)
{
    topics_refuse(e, 503, "the server has too much to do: the message may have been published, or not");
}

/* There is nothing to free. */
static void forget(exchange *e)
{
    (void)e;
}

static const held_ops asking_ops = {.forget = forget, .late = no_answer, .answers_half = true};

static void await_answer(exchange *e)
{
    e->held = &asking_ops;
    e->ops->wait(e, TOPICS_ANSWER_MS);
}

void topic_resource_post(exchange *e, const weft_request *request, void *user)
{
    hub *h = e->context;
    str name = topic_resource_enter(e, request, user, true);
    weft_message message = {.data = request->body, .event = weft_request_header(request, "Weft-Event")};
    publication done;
    blob *body;
    if (!name.at)
        return;
    message.kind = kind_of(topic_media_type(weft_request_header(request, "Content-Type")), message.data);
    int error = message_blob(&h->loop->blocks, &message, false, &body);
    if (error) {
        refuse_message(e, error);
        return;
    }
    hub_count_in(&h->counts, HUB_HTTP, message.data.len);
    error = hub_publish_ask(h, name, body, 0, &(publish_asker){.id = e->id, .answer = take_answer}, &done);
    if (error == HUB_PENDING)
        await_answer(e);
    else if (error)
        topics_refuse_error(e, h, error);
    else
        answer_published(e, &done);
}
