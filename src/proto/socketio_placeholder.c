#include "proto/json.h"
#include "proto/json_read.h"
#include "proto/json_text.h"
#include "proto/socketio.h"

/** What the members of an object, or the elements of an array, have come to so far. */
typedef struct {
    bool flagged; /* "_placeholder" is true */
    bool fits;    /* "num" is the number of an attachment */
    bool unfit;   /* a placeholder in here does not fit */
} level;

/** The number that `text` begins with; -1 when that is none or not written in digits alone. */
static int whole_number(str text)
{
    int number = 0;
    size_t i = 0;
    for (; i < text.len && text.at[i] >= '0' && text.at[i] <= '9'; i++)
        if (__builtin_mul_overflow(number, 10, &number) || __builtin_add_overflow(number, text.at[i] - '0', &number))
            return -1;
    bool more = i < text.len && (text.at[i] == '.' || (text.at[i] | 0x20) == 'e');
    return i == 0 || more ? -1 : number;
}

/** `value` begins with the member's; of a name that comes twice the last counts, as for JSON.parse. */
static void note_member(level *object, str name, str value, uint32_t n_attachments)
{
    if (json_name_is(name, "_placeholder")) {
        object->flagged = *value.at == 't';
    } else if (json_name_is(name, "num")) {
        int number = whole_number(value);
        object->fits = number >= 0 && (uint32_t)number < n_attachments;
    }
}

static size_t space_end(str json, size_t i)
{
    while (i < json.len && json_is_space(json.at[i]))
        i++;
    return i;
}

/** The offset behind the string at i, whose member is noted when it is a name. */
static size_t string_end(str json, size_t i, level *in, uint32_t n_attachments)
{
    size_t end = json_string_end(json, i), colon = space_end(json, end);
    if (colon == json.len || json.at[colon] != ':')
        return end;
    size_t value = space_end(json, colon + 1);
    note_member(in, (str){json.at + i + 1, end - i - 2}, (str){json.at + value, json.len - value}, n_attachments);
    return end;
}

/** Closes the innermost level. A placeholder that fits is replaced as a whole, with whatever it holds besides. */
static level *close_level(level *inner)
{
    inner[-1].unfit |= inner->flagged ? !inner->fits : inner->unfit;
    return inner - 1;
}

bool socketio_placeholders_fit(str json, uint32_t n_attachments)
{
    level levels[JSON_MAX_DEPTH + 1] = {0}; /* the outermost is what the value stands in */
    level *in = levels;
    for (size_t i = 0; i < json.len;) {
        char c = json.at[i];
        if (c == '"') {
            i = string_end(json, i, in, n_attachments);
            continue;
        }
        if (c == '{' || c == '[')
            *++in = (level){0};
        else if (c == '}' || c == ']')
            in = close_level(in);
        i++;
    }
    return !levels[0].unfit;
}

int socketio_placeholder(str value)
{
    str rest, name, member;
    bool flagged = false;
    int number = -1;
    if (json_type(value) != JSON_OBJECT)
        return -1;
    for (rest = json_begin(value); json_next_member(&rest, &name, &member);) {
        if (json_name_is(name, "_placeholder"))
            flagged = json_type(member) == JSON_TRUE;
        else if (json_name_is(name, "num"))
            number = whole_number(member);
    }
    return flagged ? number : -1;
}
