#include "transport/encoding.h"

#include "base/base64.h"
#include "proto/json_text.h"
#include "proto/sse.h"
#include <errno.h>

/* ------------------------------------------------------------------------------------------------------------- gaps */

/* What is different between the encodings: all before the topic's name, and behind the cursor. */
typedef struct {
    str start, end;
} gap_words;

static int put_string(buf *to, str text)
{
    if (buf_reserve(to, json_text_len(text)))
        return -ENOMEM;
    to->len += json_text_put(to->at + to->len, text);
    return 0;
}

static int put_gap(buf *to, const gap_words *words, str name, str place)
{
    int error = buf_put_str(to, words->start) | put_string(to, name);
    error |= buf_put_str(to, STR(",\"cursor\":")) | put_string(to, place);
    return error | buf_put_str(to, words->end);
}

/* ---------------------------------------------------------------------------------------------------------- objects */

static size_t line_len(const message_text *m)
{
    return message_object_len(m) + 1;
}

static size_t line_put(char *at, const message_text *m)
{
    size_t n = message_object_put(at, m);
    at[n] = '\n';
    return n + 1;
}

static int line_gap(buf *to, str name, str place)
{
    static const gap_words words = {STR("{\"gap\":true,\"topic\":"), STR("}\n")};
    return put_gap(to, &words, name, place);
}

const encoding encoding_line = {
    .type = "application/x-ndjson",
    .keep_alive = STR("\n"),
    .len = line_len,
    .put = line_put,
    .gap = line_gap,
};

const encoding encoding_object = {
    .type = "application/json",
    .len = message_object_len,
    .put = message_object_put,
};

static int envelope_gap(buf *to, str name, str place)
{
    static const gap_words words = {STR("{\"type\":\"gap\",\"topic\":"), STR("}")};
    return put_gap(to, &words, name, place);
}

const encoding encoding_envelope = {
    .type = "application/json",
    .len = message_envelope_len,
    .put = message_envelope_put,
    .gap = envelope_gap,
};

/* ----------------------------------------------------------------------------------------------------------- events */

enum { EVENT_END_BYTES = 2 }; /* of an event's last line and of the empty one behind it */

static sse_event event_of(const message_text *m)
{
    sse_event event = {.id = m->id, .event = m->event, .data = m->data};
    if (m->kind == WEFT_BINARY) {
        event.data = (str){NULL, 0}; /* its base64 is put in its place: text of one line */
        if (!event.event.len)
            event.event = STR("binary");
    }
    return event;
}

/* Where the data of an event with empty data belongs, which ends at `end`. */
static char *event_data(char *end)
{
    return end - EVENT_END_BYTES;
}

static size_t end_event(const char *start, char *at)
{
    memset(at, '\n', EVENT_END_BYTES);
    return (size_t)(at + EVENT_END_BYTES - start);
}

static size_t events_len(const message_text *m)
{
    sse_event event = event_of(m);
    return sse_event_len(&event) + (m->kind == WEFT_BINARY ? base64_encoded_len(m->data.len) : 0);
}

static size_t events_put(char *at, const message_text *m)
{
    sse_event event = event_of(m);
    size_t n = sse_event_put(at, &event);
    if (m->kind != WEFT_BINARY)
        return n;
    char *data = event_data(at + n);
    base64_encode(m->data.at, m->data.len, data);
    return end_event(at, data + base64_encoded_len(m->data.len));
}

/* Its cursor is the event's id too, so that a client that is cut off right behind it does not come back with the old
 * one. */
static int events_gap(buf *to, str name, str place)
{
    static const gap_words words = {STR("\nevent: weft-gap\ndata: {\"topic\":"), STR("}\n\n")};
    int error = buf_put_str(to, STR("id: ")) | buf_put_str(to, place);
    return error | put_gap(to, &words, name, place);
}

/* An id without data is kept by the client, and is no event for it. */
static int events_begin(buf *to, str place)
{
    return buf_put_str(to, STR("id: ")) | buf_put_str(to, place) | buf_put_str(to, STR("\n\n"));
}

const encoding encoding_sse = {
    .type = "text/event-stream",
    .events = true,
    .begin = events_begin,
    .keep_alive = STR(":\n\n"),
    .len = events_len,
    .put = events_put,
    .gap = events_gap,
};

static const sse_event empty_event;

/* JSON text has no raw line ends: an envelope is one line. It is no place to come back to, so the event has no id. */
static size_t envelope_event_len(const message_text *m)
{
    return sse_event_len(&empty_event) + message_envelope_len(m);
}

static size_t envelope_event_put(char *at, const message_text *m)
{
    char *data = event_data(at + sse_event_put(at, &empty_event));
    return end_event(at, data + message_envelope_put(data, m));
}

static int envelope_event_gap(buf *to, str name, str place)
{
    static const gap_words words = {STR("data: {\"type\":\"gap\",\"topic\":"), STR("}\n\n")};
    return put_gap(to, &words, name, place);
}

const encoding encoding_envelope_sse = {
    .type = "text/event-stream",
    .events = true,
    .keep_alive = STR(":\n\n"),
    .len = envelope_event_len,
    .put = envelope_event_put,
    .gap = envelope_event_gap,
};

/* ----------------------------------------------------------------------------------------------- published messages */

message_text encoding_message(const topic *t, uint64_t offset, char *id)
{
    const blob *body = topic_message_at(t, offset)->body;
    return (message_text){
        .topic = topic_name(t),
        .id = {id, cursor_put(topic_cursor_of(t, offset), id)},
        .event = blob_event(body),
        .data = blob_data(body),
        .kind = body->kind,
    };
}

static chunk *make_image(pool *blocks, const message_text *m, const encoding_frame *frame)
{
    size_t len = frame->encoding->len(m);
    chunk *image = len <= UINT32_MAX ? chunk_new(blocks, frame->before + len + frame->behind) : NULL;
    if (!image)
        return NULL;
    char *payload = image->bytes + frame->before;
    frame->encoding->put(payload, m);
    if (frame->finish)
        frame->finish(payload, len);
    image->len = frame->before + len + frame->behind;
    return image;
}

chunk *encoding_image(topic *t, uint64_t offset, const encoding_frame *frame)
{
    char id[CURSOR_BYTES];
    chunk *image = topic_image(t, offset, frame->format);
    if (image)
        return image;
    message_text m = encoding_message(t, offset, id);
    image = make_image(&t->hub->loop->blocks, &m, frame);
    if (image)
        topic_keep_image(t, offset, frame->format, image);
    return image;
}
