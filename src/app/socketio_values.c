#include "base/utf8.h"
#include "proto/json.h"
#include "proto/json_read.h"
#include "proto/json_text.h"
#include "proto/socketio.h"

/* The walks of proto/json_read.h are for text that was checked. What an event came with was; what a program hands in may be anything, so each of these looks. */

static bool is_json(str json, json_value_type type)
{
    return json.at && json_check(json) >= 0 && json_type(json) == type;
}

int weft_socketio_event_is(const weft_socketio_event *event, const char *name)
{
    return event && name && str_equal(event->name, str_from(name));
}

weft_str weft_socketio_argument(const weft_socketio_event *event, size_t n)
{
    str rest, value = {NULL, 0};
    if (!event || !is_json(event->args, JSON_ARRAY))
        return value;
    rest = json_begin(event->args);
    while (json_next_element(&rest, &value))
        if (n-- == 0)
            return value;
    return (str){NULL, 0};
}

weft_str weft_socketio_attachment(const weft_socketio_event *event, size_t n)
{
    str value = weft_socketio_argument(event, n);
    int number = value.at ? socketio_placeholder(value) : -1;
    if (number < 0 || (size_t)number >= event->n_attachments)
        return (str){NULL, 0};
    str bytes = event->attachments[number];
    return bytes.at ? bytes : STR(""); /* none of nothing */
}

/* Of the escape that `raw` begins with, or of the two that make one character. */
static size_t escape_len(str raw)
{
    if (raw.at[1] != 'u')
        return 2;
    bool high = (raw.at[2] | 0x20) == 'd' && strchr("89abAB", raw.at[3]);
    return high && raw.len >= 12 && raw.at[6] == '\\' && raw.at[7] == 'u' ? 12 : 6;
}

/* The length that json_decode() would give, or WEFT_E_UTF8. */
static int64_t decoded_len(str raw)
{
    int64_t len = 0;
    for (size_t i = 0; i < raw.len;) {
        size_t plain = json_plain_run(raw.at + i, raw.len - i);
        i += plain;
        len += (int64_t)plain;
        if (i == raw.len)
            break;
        char character[12];
        str escape = {raw.at + i, escape_len((str){raw.at + i, raw.len - i})};
        int64_t n = json_decode(escape, character);
        if (n < 0)
            return n;
        i += escape.len;
        len += n;
    }
    return len;
}

int64_t weft_json_text(weft_str json, char *to, size_t room)
{
    if (!is_json(json, JSON_STRING))
        return WEFT_E_JSON;
    int64_t len = decoded_len(json_string_raw(json));
    if (len < 0)
        return len;
    if ((size_t)len >= room)
        return WEFT_E_TOO_LARGE;
    len = json_string_decode(json, to); /* never writes more than it gives */
    to[len] = '\0';
    return len;
}

weft_str weft_json_member(weft_str json, const char *name)
{
    str rest, member, value, found = {NULL, 0};
    if (!name || !is_json(json, JSON_OBJECT))
        return found;
    for (rest = json_begin(json); json_next_member(&rest, &member, &value);)
        if (json_name_is(member, name))
            found = value; /* of a name that comes twice the last counts, as for JSON.parse */
    return found;
}

int64_t weft_json_quote(weft_str text, char *to, size_t room)
{
    if (text.len && (!text.at || !utf8_valid(text.at, text.len)))
        return text.at ? WEFT_E_UTF8 : WEFT_E_INVALID;
    size_t len = json_text_len(text);
    if (len < room) {
        json_text_put(to, text);
        to[len] = '\0';
    }
    return (int64_t)len;
}
