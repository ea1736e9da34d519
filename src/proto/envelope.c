#include "proto/envelope.h"

#include "base/base64.h"
#include "proto/json.h"
#include "proto/json_read.h"

typedef enum {
    TYPE,
    ID,
    TOPIC,
    SINCE,
    PRESENCE,
    NAME,
    KIND,
    EVENT,
    DATA,
    N_MEMBERS,
} member;

static const char *const member_names[N_MEMBERS] = {
    [TYPE] = "type", [ID] = "id",     [TOPIC] = "topic", [SINCE] = "since", [PRESENCE] = "presence",
    [NAME] = "name", [KIND] = "kind", [EVENT] = "event", [DATA] = "data",
};

/** The values of an object's members, at == NULL for those that it has not. */
typedef struct {
    str of[N_MEMBERS];
} values;

static void collect(str object, values *ret)
{
    str rest = json_begin(object), name, value;
    *ret = (values){0};
    while (json_next_member(&rest, &name, &value))
        for (member m = 0; m < N_MEMBERS; m++)
            if (json_name_is(name, member_names[m]))
                ret->of[m] = value;
}

static int refuse(envelope *e, const char *problem)
{
    e->problem = problem;
    return WEFT_E_INVALID;
}

/** A string that may be missing; decoded where it stands, which is in the caller's bytes. */
static int read_string(envelope *e, str value, const char *not_string, const char *not_utf8, str *ret)
{
    if (!value.at)
        return 0;
    if (json_type(value) != JSON_STRING)
        return refuse(e, not_string);
    int64_t n = json_string_decode(value, (char *)value.at);
    if (n < 0)
        return refuse(e, not_utf8);
    *ret = (str){value.at, (size_t)n};
    return 0;
}

#define READ_STRING(e, name, value)                                                                                    \
    read_string(e, value, #name " has to be a string", #name " holds half of a surrogate pair", &(e)->name)

static int read_id(envelope *e, const values *v)
{
    str value = v->of[ID];
    if (!value.at)
        return 0;
    json_value_type type = json_type(value);
    if ((type != JSON_NUMBER && type != JSON_STRING) || value.len > ENVELOPE_MAX_ID_BYTES)
        return refuse(e, "id has to be a number or a string, and no longer than 64 bytes");
    e->id = value;
    return 0;
}

static int read_topic(envelope *e, const values *v)
{
    if (!v->of[TOPIC].at)
        return refuse(e, "topic is missing");
    return READ_STRING(e, topic, v->of[TOPIC]);
}

static int read_hello(envelope *e, const values *v)
{
    return READ_STRING(e, name, v->of[NAME]);
}

static int read_presence(envelope *e, str value)
{
    if (!value.at)
        return 0;
    json_value_type type = json_type(value);
    if (type != JSON_TRUE && type != JSON_FALSE)
        return refuse(e, "presence has to be true or false");
    e->presence = type == JSON_TRUE;
    return 0;
}

static int read_subscribe(envelope *e, const values *v)
{
    int error = read_topic(e, v);
    if (!error)
        error = READ_STRING(e, since, v->of[SINCE]);
    return error ? error : read_presence(e, v->of[PRESENCE]);
}

static bool is_text(str value, const char *text)
{
    return json_type(value) == JSON_STRING && json_name_is(json_string_raw(value), text);
}

/** What the data is by its kind, or by itself when that is not said. */
static int read_kind(envelope *e, const values *v)
{
    str kind = v->of[KIND];
    if (!kind.at)
        e->kind = json_type(v->of[DATA]) == JSON_STRING ? WEFT_TEXT : WEFT_JSON;
    else if (is_text(kind, "text"))
        e->kind = WEFT_TEXT;
    else if (is_text(kind, "json"))
        e->kind = WEFT_JSON;
    else if (is_text(kind, "binary"))
        e->kind = WEFT_BINARY;
    else
        return refuse(e, "kind has to be text, json or binary");
    return 0;
}

static int read_binary(envelope *e, str value)
{
    int error = READ_STRING(e, data, value);
    if (error)
        return error;
    int64_t n = base64_decode(e->data, (char *)e->data.at);
    if (n < 0)
        return refuse(e, "data has to be base64");
    e->data.len = (size_t)n;
    return 0;
}

static int read_data(envelope *e, const values *v)
{
    str value = v->of[DATA];
    if (!value.at)
        return refuse(e, "data is missing");
    int error = read_kind(e, v);
    if (error)
        return error;
    if (e->kind == WEFT_TEXT)
        return READ_STRING(e, data, value);
    if (e->kind == WEFT_BINARY)
        return read_binary(e, value);
    e->data = (str){value.at, json_compact(value, (char *)value.at)};
    return 0;
}

static int read_publish(envelope *e, const values *v)
{
    int error = read_topic(e, v);
    if (!error)
        error = READ_STRING(e, event, v->of[EVENT]);
    return error ? error : read_data(e, v);
}

static int read_nothing(envelope *e, const values *v)
{
    (void)e, (void)v;
    return 0;
}

static const struct {
    const char *name;
    envelope_type type;
    int (*read)(envelope *e, const values *v);
} types[] = {
    {"publish", ENVELOPE_PUBLISH, read_publish},
    {"subscribe", ENVELOPE_SUBSCRIBE, read_subscribe},
    {"unsubscribe", ENVELOPE_UNSUBSCRIBE, read_topic},
    {"presence", ENVELOPE_PRESENCE, read_topic},
    {"ping", ENVELOPE_PING, read_nothing},
    {"pong", ENVELOPE_PONG, read_nothing},
    {"hello", ENVELOPE_HELLO, read_hello},
};

static int read_by_type(envelope *e, const values *v)
{
    str type = v->of[TYPE];
    if (!type.at)
        return refuse(e, "type is missing");
    if (json_type(type) != JSON_STRING)
        return refuse(e, "type has to be a string");
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (json_name_is(json_string_raw(type), types[i].name)) {
            e->type = types[i].type;
            return types[i].read(e, v);
        }
    }
    return 0;
}

static int refuse_text(envelope *ret)
{
    *ret = (envelope){.problem = "it is not a JSON object"};
    return WEFT_E_JSON;
}

int envelope_read(char *at, size_t len, envelope *ret)
{
    return json_check((str){at, len}) < 0 ? refuse_text(ret) : envelope_read_value(at, len, ret);
}

int envelope_read_value(char *at, size_t len, envelope *ret)
{
    str text = {at, len};
    values v;
    if (json_type(text) != JSON_OBJECT)
        return refuse_text(ret);
    *ret = (envelope){0};
    collect(text, &v);
    int error = read_id(ret, &v);
    return error ? error : read_by_type(ret, &v);
}

int envelope_read_item(char *at, size_t len, envelope *ret)
{
    str text = {at, len};
    values v;
    if (json_type(text) != JSON_OBJECT)
        return refuse_text(ret);
    *ret = (envelope){.type = ENVELOPE_PUBLISH};
    collect(text, &v);
    return read_publish(ret, &v);
}
