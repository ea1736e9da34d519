#include "base/mem.h"
#include "hub/message.h"
#include "proto/envelope.h"
#include "proto/json.h"
#include "proto/json_read.h"
#include "proto/json_text.h"
#include "transport/topic_resource.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

enum {
    BATCH_MAX_MESSAGES = 10000,
    TEXT_BYTES = 1024,    /* of a sentence with a topic's name in it, each byte of which may be escaped */
    PUBLISHED_BYTES = 96, /* of one in the answer */
};

typedef struct {
    str topic; /* in the batch's text */
    blob *body;
} batch_message;

/* Several messages of one request, on their way. */
typedef struct {
    exchange *exchange; /* NULL once it has been refused */
    hub *hub;
    const topics_route *route;
    access_asker asker;
    char *text; /* a copy of the body, as reading it writes to it */
    buf messages;
} batch;

static size_t n_messages(const batch *b)
{
    return b->messages.len / sizeof(batch_message);
}

static batch_message *message_at(const batch *b, size_t i)
{
    return (batch_message *)(void *)b->messages.at + i;
}

static void batch_done(batch *b)
{
    for (size_t i = 0; i < n_messages(b); i++)
        blob_unref(&b->hub->loop->blocks, message_at(b, i)->body);
    buf_done(&b->messages);
    mem_free(b->text);
}

/* --------------------------------------------------------------------------------------------------------- refusals */

static void refuse(batch *b, int status, const char *sentence)
{
    topics_refuse(b->exchange, status, sentence);
    b->exchange = NULL;
}

static void refuse_error(batch *b, int error)
{
    topics_refuse_error(b->exchange, b->hub, error);
    b->exchange = NULL;
}

/* The message that comes next is wrong. Its topic is named when it can be one. */
static void refuse_message(batch *b, int status, str name, const char *problem)
{
    char body[3 * TEXT_BYTES], error[TEXT_BYTES], topic_text[TEXT_BYTES], sentence[TEXT_BYTES / 2];
    int sentence_len = snprintf(sentence, sizeof sentence, "message %zu: %s", n_messages(b), problem);
    int error_len = (int)json_text_put(error, (str){sentence, (size_t)sentence_len});
    int topic_len = topic_name_valid(name) ? (int)json_text_put(topic_text, name) : 0;
    int len = snprintf(body, sizeof body, "{\"error\":%.*s,\"index\":%zu%s%.*s}", error_len, error, n_messages(b),
                       topic_len ? ",\"topic\":" : "", topic_len, topic_text);
    http_answer answer = {.status = status, .type = STR("application/json"), .body = {body, (size_t)len}};
    exchange_answer(b->exchange, &answer);
    b->exchange = NULL;
}

/* ---------------------------------------------------------------------------------------------------------- reading */

static const char *problem_of(const envelope *read)
{
    if (!topic_name_valid(read->topic))
        return "topic has to be 1 to 255 bytes of UTF-8 without control characters";
    if (!topic_event_valid(read->event))
        return "event has to be at most 255 bytes without CR, LF or NUL";
    return NULL;
}

/* 0 or -ENOMEM. */
static int keep(batch *b, const envelope *read)
{
    weft_message message = {.kind = read->kind, .data = read->data, .event = read->event};
    batch_message kept = {.topic = read->topic};
    int error = message_blob(&b->hub->loop->blocks, &message, true, &kept.body);
    if (error)
        return error;
    error = buf_put(&b->messages, &kept, sizeof kept);
    if (error)
        blob_unref(&b->hub->loop->blocks, kept.body);
    return error;
}

/* A value that json_check() has accepted. */
static void take(batch *b, str value)
{
    char denial[TOPIC_DENIAL_BYTES];
    envelope read;
    int error = envelope_read_item((char *)(uintptr_t)value.at, value.len, &read);
    const char *problem = error ? read.problem : problem_of(&read);
    if (n_messages(b) == BATCH_MAX_MESSAGES) {
        refuse(b, 400, "a batch has at most 10000 messages");
    } else if (problem) {
        refuse_message(b, 400, read.topic, problem);
    } else if (!access_allowed(&b->route->access, &b->asker, read.topic, true)) {
        topic_resource_denial(read.topic, true, denial);
        exchange_blame(b->exchange, LIMIT_ACCESS);
        refuse_message(b, 403, read.topic, denial);
    } else if ((error = keep(b, &read))) {
        refuse_error(b, error);
    }
}

static void read_array(batch *b, str text)
{
    str rest, value;
    if (json_check(text) < 0 || json_type(text) != JSON_ARRAY) {
        refuse(b, 400, "a batch in application/json is one valid JSON array");
        return;
    }
    rest = json_begin(text);
    while (b->exchange && json_next_element(&rest, &value))
        take(b, value);
}

static void read_lines(batch *b, str text)
{
    str line;
    while (b->exchange && str_split(&text, '\n', &line)) {
        if (line.len && line.at[line.len - 1] == '\r')
            line.len--;
        line = str_trim(line);
        if (line.len && json_check(line) < 0)
            refuse_message(b, 400, (str){NULL, 0}, "the line is not one valid JSON value");
        else if (line.len)
            take(b, line);
    }
}

/* ------------------------------------------------------------------------------------------------------- publishing */

/* Makes the topics that are not there, so that no limit stops the batch in the middle: they stay until the end of
 * this turn. */
static void make_topics(batch *b)
{
    topic *t;
    int error = 0;
    for (size_t i = 0; !error && i < n_messages(b); i++)
        error = hub_topic(b->hub, message_at(b, i)->topic, &t);
    if (error)
        refuse_error(b, error);
}

static void put_published(buf *answer, const publication *done)
{
    char id[CURSOR_BYTES];
    int id_len = (int)cursor_put(done->at, id);
    buf_printf(answer, "%s{\"id\":\"%.*s\",\"subscribers\":%" PRIu32 "}", answer->at[answer->len - 1] == '}' ? "," : "",
               id_len, id, done->n_subscribers);
}

static void refuse_rest(batch *b, size_t n_published)
{
    char sentence[128];
    snprintf(sentence, sizeof sentence, "the server is out of memory: the first %zu of %zu messages were published",
             n_published, n_messages(b));
    refuse(b, 503, sentence);
}

/* `answer` has room for all of it. */
static void publish(batch *b, buf *answer)
{
    publication done;
    buf_put_str(answer, STR("{\"published\":["));
    for (size_t i = 0; i < n_messages(b); i++) {
        batch_message *m = message_at(b, i);
        blob *body = m->body;
        m->body = NULL; /* is the hub's */
        hub_count_in(&b->hub->counts, HUB_HTTP, body->data_len);
        if (hub_publish(b->hub, m->topic, body, 0, &done)) {
            refuse_rest(b, i);
            return;
        }
        put_published(answer, &done);
    }
    buf_put_str(answer, STR("]}"));
    exchange_answer(b->exchange,
                    &(http_answer){.status = 201, .type = STR("application/json"), .body = buf_str(answer)});
}

static void publish_all(batch *b)
{
    buf answer = {0};
    int error = buf_reserve(&answer, 64 + n_messages(b) * PUBLISHED_BYTES);
    if (error)
        refuse_error(b, error);
    else
        publish(b, &answer);
    buf_done(&answer);
}

void topic_index_post(exchange *e, const weft_request *request, void *user)
{
    batch b = {.exchange = e, .hub = e->context, .route = user};
    str type = topic_media_type(weft_request_header(request, "Content-Type")), body = request->body;
    bool lines = topic_media_is_lines(type);
    if (!topic_resource_asker(e, request, user, &b.asker))
        return;
    if (!lines && !topic_media_is_json(type)) {
        topics_refuse(e, 400, "a batch is application/json, an array, or application/x-ndjson, a message a line");
        return;
    }
    b.text = body.len ? mem_copy_text(body.at, body.len) : NULL;
    if (body.len && !b.text)
        refuse_error(&b, -ENOMEM);
    else
        (lines ? read_lines : read_array)(&b, (str){b.text, body.len});
    if (b.exchange)
        make_topics(&b);
    if (b.exchange)
        publish_all(&b);
    batch_done(&b);
}
