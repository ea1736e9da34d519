#include "proto/socketio.h"

#include "base/utf8.h"
#include "proto/json.h"
#include "proto/json_read.h"
#include "proto/json_text.h"

/** What JavaScript's Number(), and so the reference, skips around digits, and takes for 0 when there are none. */
static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_binary(socketio_type type)
{
    return type == SOCKETIO_BINARY_EVENT || type == SOCKETIO_BINARY_ACK;
}

static bool is_event(socketio_type type)
{
    return type == SOCKETIO_EVENT || type == SOCKETIO_BINARY_EVENT;
}

static bool is_ack(socketio_type type)
{
    return type == SOCKETIO_ACK || type == SOCKETIO_BINARY_ACK;
}

/** Takes the first n bytes. */
static str take(str *rest, size_t n)
{
    str taken = {rest->at, n};
    *rest = (str){rest->at + n, rest->len - n};
    return taken;
}

/** Takes the digits that come next and the white space around them. False when that is no number below 2^63, or when more
 * digits follow behind the white space. */
static bool take_number(str *rest, uint64_t *ret)
{
    uint64_t number = 0;
    while (rest->len && is_space(*rest->at))
        take(rest, 1);
    for (; rest->len && is_digit(*rest->at); take(rest, 1))
        if (__builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, (uint64_t)(*rest->at - '0'), &number))
            return false;
    while (rest->len && is_space(*rest->at))
        take(rest, 1);
    *ret = number;
    return number <= INT64_MAX && (rest->len == 0 || !is_digit(*rest->at));
}

static const char *read_type(str *rest, socketio_packet *ret)
{
    if (rest->len == 0)
        return "type";
    char c = *take(rest, 1).at;
    if (!is_space(c) && (c < '0' || c > '6'))
        return "type";
    ret->type = is_space(c) ? SOCKETIO_CONNECT : (socketio_type)(c - '0');
    return NULL;
}

static const char *read_attachments(str *rest, socketio_packet *ret)
{
    uint64_t n;
    if (!is_binary(ret->type))
        return NULL;
    if (!take_number(rest, &n) || n < 1 || n > SOCKETIO_MAX_ATTACHMENTS || rest->len == 0 || *take(rest, 1).at != '-')
        return "attachments";
    ret->n_attachments = (uint32_t)n;
    return NULL;
}

static bool has_control(str text)
{
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.at[i] < 0x20 || text.at[i] == 0x7f)
            return true;
    return false;
}

static const char *read_namespace(str *rest, socketio_packet *ret)
{
    if (rest->len == 0 || *rest->at != '/') {
        ret->nsp = STR("/");
        return NULL;
    }
    const char *comma = memchr(rest->at, ',', rest->len);
    ret->nsp = take(rest, comma ? (size_t)(comma - rest->at) : rest->len);
    if (comma)
        take(rest, 1);
    return has_control(ret->nsp) || !utf8_valid(ret->nsp.at, ret->nsp.len) ? "namespace" : NULL;
}

static const char *read_id(str *rest, socketio_packet *ret)
{
    ret->has_id = rest->len && (is_digit(*rest->at) || is_space(*rest->at));
    return ret->has_id && !take_number(rest, &ret->id) ? "id" : NULL;
}

bool socketio_name_reserved(str name)
{
    static const str reserved[] = {
        {"connect", 7},        {"connect_error", 13}, {"disconnect", 10},
        {"disconnecting", 13}, {"newListener", 11},   {"removeListener", 14},
    };
    for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++)
        if (str_equal(name, reserved[i]))
            return true;
    return false;
}

static bool read_name(str value, socketio_packet *ret)
{
    json_value_type type = json_type(value);
    ret->name = value;
    if (type == JSON_NUMBER)
        return true;
    if (type != JSON_STRING)
        return false;
    int64_t n = json_string_decode(value, (char *)value.at);
    ret->name.len = n < 0 ? 0 : (size_t)n;
    return n >= 0 && !socketio_name_reserved(ret->name);
}

static const char *read_event(str array, socketio_packet *ret)
{
    str rest = json_begin(array), name;
    if (!json_next_element(&rest, &name) || !read_name(name, ret))
        return "event";
    if (rest.len == 0)
        return NULL;
    char *bracket = (char *)rest.at - 1; /* a comma, or the space behind it */
    *bracket = '[';
    ret->args = (str){bracket, rest.len + 2};
    return NULL;
}

/** Takes the name off the front of an event's array as most have it: a string without escapes, with something behind it. What is left is an array of its own, so
 * that each byte is looked at once; it is one exactly if the whole was. False: nothing was done, read_event() knows the rest. */
static bool take_usual_name(str *array, socketio_packet *ret)
{
    if (array->len < 2 || array->at[0] != '[' || array->at[1] != '"')
        return false;
    str name = {array->at + 2, json_ascii_run(array->at + 2, array->len - 2)};
    char *comma = (char *)name.at + name.len + 1;
    size_t left = array->len - 2 - name.len;
    if (left < 3 || comma[-1] != '"' || comma[0] != ',' || comma[1] == ']' || json_is_space(comma[1]))
        return false;
    *comma = '[';
    *array = (str){comma, left - 1};
    ret->name = name;
    return true;
}

static bool fits(socketio_type type, json_value_type payload)
{
    switch (type) {
    case SOCKETIO_CONNECT:
        return payload == JSON_OBJECT;
    case SOCKETIO_CONNECT_ERROR:
        return payload == JSON_OBJECT || payload == JSON_STRING;
    case SOCKETIO_DISCONNECT:
        return false;
    default:
        return payload == JSON_ARRAY;
    }
}

static str trimmed(str json)
{
    while (json.len && json_is_space(json.at[json.len - 1]))
        json.len--;
    return json;
}

static const char *read_payload(str json, socketio_packet *ret)
{
    ret->args = is_event(ret->type) || is_ack(ret->type) ? STR("[]") : (str){NULL, 0};
    if (json.len == 0)
        return NULL;
    bool named = is_event(ret->type) && take_usual_name(&json, ret);
    if (json_check(json) < 0)
        return "JSON";
    if (!fits(ret->type, json_type(json)))
        return "payload";
    if (is_binary(ret->type) && !socketio_placeholders_fit(json, ret->n_attachments))
        return "placeholder";
    json = trimmed(json);
    if (is_event(ret->type) && !named)
        return read_event(json, ret);
    ret->args = json;
    return named && socketio_name_reserved(ret->name) ? "event" : NULL;
}

static const char *read_packet(str rest, socketio_packet *ret)
{
    const char *problem = read_type(&rest, ret);
    if (!problem)
        problem = read_attachments(&rest, ret);
    if (!problem)
        problem = read_namespace(&rest, ret);
    if (!problem)
        problem = read_id(&rest, ret);
    return problem ? problem : read_payload(rest, ret);
}

const char *socketio_read(char *text, size_t len, socketio_packet *ret)
{
    socketio_packet packet = {0};
    const char *problem = read_packet((str){text, len}, &packet);
    if (!problem)
        *ret = packet;
    return problem;
}

bool socketio_no_args(str args)
{
    str rest = json_begin(args);
    while (rest.len && json_is_space(*rest.at))
        take(&rest, 1);
    return rest.len == 0;
}
