#include "base/mem.h"
#include "hub/ask.h"
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
    str topic;        /* in the batch's text */
    blob *body;       /* NULL once it is the hub's */
    publication done; /* its place, when it has been published without an error */
    int error;        /* HUB_PENDING while its topic's home is asked */
} batch_message;

/* Several messages of one request, on their way. */
typedef struct {
    exchange *exchange; /* NULL once it has been refused */
    hub *hub;
    const topics_route *route;
    access_asker asker;
    char *text; /* a copy of the body, as reading it writes to it */
    buf messages;
    buf answer;       /* has room for all of it before the first is published */
    size_t n_pending; /* the homes of their topics are asked */
    bool asked;       /* one of them was: the exchange keeps the batch until it ends */
} batch;

static size_t n_messages(const batch *b)
{
    return b->messages.len / sizeof(batch_message);
}

static batch_message *message_at(const batch *b, size_t i)
{
    return (batch_message *)(void *)b->messages.at + i;
}

static void batch_free(batch *b)
{
    for (size_t i = 0; i < n_messages(b); i++)
        blob_unref(&b->hub->loop->blocks, message_at(b, i)->body);
    buf_done(&b->messages);
    buf_done(&b->answer);
    mem_free(b->text);
    mem_free(b);
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

/* Makes the topics that are at home here and not there, so that no limit stops the batch in the middle: they stay until
 * the end of this turn. */
static void make_topics(batch *b)
{
    topic *t;
    int error = 0;
    for (size_t i = 0; !error && i < n_messages(b); i++)
        if (!hub_is_away(b->hub, message_at(b, i)->topic))
            error = hub_topic(b->hub, message_at(b, i)->topic, &t);
    if (error)
        refuse_error(b, error);
}

static bool is_published(const batch_message *m)
{
    return !m->body && !m->error;
}

static size_t n_published(const batch *b)
{
    size_t n = 0;
    for (size_t i = 0; i < n_messages(b); i++)
        n += is_published(message_at(b, i));
    return n;
}

static void put_published(buf *answer, const batch_message *m)
{
    char id[CURSOR_BYTES];
    int id_len = (int)cursor_put(m->done.at, id);
    if (is_published(m))
        buf_printf(answer, "{\"id\":\"%.*s\",\"subscribers\":%" PRIu32 "}", id_len, id, m->done.n_subscribers);
    else
        buf_put_str(answer, STR("null"));
}

/* What became of each. There is room for it. */
static void put_all(const batch *b, buf *answer)
{
    buf_put_str(answer, STR("\"published\":["));
    for (size_t i = 0; i < n_messages(b); i++) {
        buf_put_str(answer, i ? STR(",") : STR(""));
        put_published(answer, message_at(b, i));
    }
    buf_put_str(answer, STR("]}"));
}

static const char *reason_of(int error)
{
    if (error == WEFT_E_TOO_LARGE)
        return "there is no room for another topic (option: max_topics)";
    if (error == WEFT_E_FULL || error == HUB_PENDING)
        return "the server has too much to do";
    return error == WEFT_E_CLOSED ? "the server is stopping" : "the server is out of memory";
}

/* The exchange ends, and with it a batch that it keeps. */
static void answer(batch *b, int status, buf *text)
{
    exchange *e = b->exchange;
    b->exchange = NULL;
    exchange_answer(e, &(http_answer){.status = status, .type = STR("application/json"), .body = buf_str(text)});
}

/* They were published in order, and none behind the one that was not. */
static void refuse_rest(batch *b, int error)
{
    char sentence[128];
    snprintf(sentence, sizeof sentence, "%s: the first %zu of %zu messages were published", reason_of(error),
             n_published(b), n_messages(b));
    refuse(b, 503, sentence);
}

/* Some were published, on any loop, and which ones is told. */
static void refuse_some(batch *b, int error)
{
    buf text = b->answer; /* the batch goes with the exchange */
    b->answer = (buf){0};
    buf_printf(&text, "{\"error\":\"%s: %zu of %zu messages are known to be published\",", reason_of(error),
               n_published(b), n_messages(b));
    put_all(b, &text);
    answer(b, 503, &text);
    buf_done(&text);
}

static void answer_published(batch *b)
{
    buf text = b->answer;
    b->answer = (buf){0};
    buf_put_str(&text, STR("{"));
    put_all(b, &text);
    answer(b, 201, &text);
    buf_done(&text);
}

/* Nothing is awaited any more. */
static void finish(batch *b)
{
    int error = 0;
    for (size_t i = 0; i < n_messages(b) && !error; i++)
        error = message_at(b, i)->error;
    if (!error)
        answer_published(b);
    else if (b->asked)
        refuse_some(b, error);
    else
        refuse_rest(b, error);
}

static void take_answer(hub *h, uint64_t id, uint64_t number, int error, const publication *done)
{
    exchange *e = slots_get(h->table, id, SLOT_EXCHANGE);
    batch *b = e ? e->held_state : NULL;
    if (!b)
        return;
    h->limit = NULL; /* is told here, and not with whoever leaves next */
    message_at(b, number)->error = error;
    message_at(b, number)->done = *done;
    if (--b->n_pending == 0)
        finish(b);
}

static void batch_forget(exchange *e)
{
    batch_free(e->held_state);
}

static void batch_is_late(exchange *e)
{
    finish(e->held_state);
}

static const held_ops batch_ops = {.forget = batch_forget, .late = batch_is_late, .answers_half = true};

static int publish_one(batch *b, size_t i)
{
    batch_message *m = message_at(b, i);
    publish_asker asker = {.id = b->exchange->id, .number = i, .answer = take_answer};
    blob *body = m->body;
    m->body = NULL;
    hub_count_in(&b->hub->counts, HUB_HTTP, body->data_len);
    m->error = hub_publish_ask(b->hub, m->topic, body, 0, &asker, &m->done);
    if (m->error != HUB_PENDING)
        return m->error;
    b->n_pending++;
    b->asked = true;
    return 0;
}

static void publish(batch *b)
{
    int error = buf_reserve(&b->answer, 256 + n_messages(b) * PUBLISHED_BYTES);
    if (error) {
        refuse_error(b, error);
        return;
    }
    for (size_t i = 0; i < n_messages(b) && !error; i++)
        error = publish_one(b, i);
    b->hub->limit = NULL;
    if (!b->n_pending) {
        finish(b);
        return;
    }
    b->exchange->held = &batch_ops;
    b->exchange->held_state = b;
    b->exchange->ops->wait(b->exchange, TOPICS_ANSWER_MS);
}

/* ---------------------------------------------------------------------------------------------------------- serving */

/* What is wrong with it has been answered when its exchange is NULL. */
static void take_text(batch *b, str body, bool lines)
{
    b->text = body.len ? mem_copy_text(body.at, body.len) : NULL;
    if (body.len && !b->text)
        refuse_error(b, -ENOMEM);
    else
        (lines ? read_lines : read_array)(b, (str){b->text, body.len});
    if (b->exchange)
        make_topics(b);
}

static void serve(exchange *e, const topics_route *route, const access_asker *asker, str body, bool lines)
{
    batch *b = mem_zero(sizeof *b);
    if (!b) {
        topics_refuse_error(e, e->context, -ENOMEM);
        return;
    }
    b->exchange = e;
    b->hub = e->context;
    b->route = route;
    b->asker = *asker;
    take_text(b, body, lines);
    if (b->exchange)
        publish(b);
    if (!b->n_pending)
        batch_free(b);
}

void topic_index_post(exchange *e, const weft_request *request, void *user)
{
    access_asker asker;
    str type = topic_media_type(weft_request_header(request, "Content-Type"));
    bool lines = topic_media_is_lines(type);
    if (!topic_resource_asker(e, request, user, &asker))
        return;
    if (lines || topic_media_is_json(type))
        serve(e, user, &asker, request->body, lines);
    else
        topics_refuse(e, 400, "a batch is application/json, an array, or application/x-ndjson, a message a line");
}
