#include "proto/message.h"

#include "base/base64.h"
#include "proto/json_text.h"

static const char *kind_name(weft_kind kind)
{
    return kind == WEFT_TEXT ? "text" : kind == WEFT_JSON ? "json" : "binary";
}

static size_t data_len(const message_text *message)
{
    switch (message->kind) {
    case WEFT_TEXT:
        return json_text_len(message->data);
    case WEFT_JSON:
        return message->data.len;
    default:
        return base64_encoded_len(message->data.len) + 2;
    }
}

static char *put_str(char *at, str s)
{
    if (s.len)
        memcpy(at, s.at, s.len);
    return at + s.len;
}

static char *put_data(char *at, const message_text *message)
{
    str data = message->data;
    switch (message->kind) {
    case WEFT_TEXT:
        return at + json_text_put(at, data);
    case WEFT_JSON:
        return put_str(at, data);
    default:
        *at++ = '"';
        base64_encode(data.at, data.len, at);
        at += base64_encoded_len(data.len);
        *at++ = '"';
        return at;
    }
}

/** What is different between the object and the envelope. */
typedef struct {
    str start;
    str kind;
    bool has_topic;
} layout;

static const layout object_layout = {STR("{"), STR("\"type\":\""), false};
static const layout envelope_layout = {STR("{\"type\":\"message\","), STR("\"kind\":\""), true};

static const str topic_head = STR("\"topic\":"), id_head = STR("\"id\":"), event_head = STR("\"event\":");
static const str data_head = STR("\",\"data\":");

static size_t member_len(str head, str text)
{
    return text.len ? head.len + json_text_len(text) + 1 : 0;
}

static char *put_member(char *at, str head, str text)
{
    if (text.len == 0)
        return at;
    at = put_str(at, head);
    at += json_text_put(at, text);
    *at++ = ',';
    return at;
}

static size_t layout_len(const layout *l, const message_text *message)
{
    size_t n = l->start.len + l->kind.len + strlen(kind_name(message->kind)) + data_head.len;
    if (l->has_topic)
        n += member_len(topic_head, message->topic);
    n += member_len(id_head, message->id) + member_len(event_head, message->event);
    return n + data_len(message) + 1;
}

static size_t layout_put(const layout *l, char *at, const message_text *message)
{
    char *start = at;
    at = put_str(at, l->start);
    if (l->has_topic)
        at = put_member(at, topic_head, message->topic);
    at = put_member(at, id_head, message->id);
    at = put_member(at, event_head, message->event);
    at = put_str(at, l->kind);
    at = put_str(at, str_from(kind_name(message->kind)));
    at = put_str(at, data_head);
    at = put_data(at, message);
    *at++ = '}';
    return (size_t)(at - start);
}

size_t message_object_len(const message_text *message)
{
    return layout_len(&object_layout, message);
}

size_t message_object_put(char *at, const message_text *message)
{
    return layout_put(&object_layout, at, message);
}

size_t message_envelope_len(const message_text *message)
{
    return layout_len(&envelope_layout, message);
}

size_t message_envelope_put(char *at, const message_text *message)
{
    return layout_put(&envelope_layout, at, message);
}
