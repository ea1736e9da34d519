#include "proto/json_read.h"

#include "proto/json_text.h"

static void drop(str *rest, size_t n)
{
    *rest = (str){rest->at + n, rest->len - n};
}

static void skip_space(str *rest)
{
    while (rest->len && json_is_space(rest->at[0]))
        drop(rest, 1);
}

static str trim(str value)
{
    skip_space(&value);
    while (value.len && json_is_space(value.at[value.len - 1]))
        value.len--;
    return value;
}

json_value_type json_type(str value)
{
    skip_space(&value);
    switch (value.at[0]) {
    case '{':
        return JSON_OBJECT;
    case '[':
        return JSON_ARRAY;
    case '"':
        return JSON_STRING;
    case 't':
        return JSON_TRUE;
    case 'f':
        return JSON_FALSE;
    case 'n':
        return JSON_NULL;
    default:
        return JSON_NUMBER;
    }
}

static bool opens(char c)
{
    return c == '{' || c == '[';
}

static bool closes(char c)
{
    return c == '}' || c == ']';
}

str json_begin(str value)
{
    value = trim(value);
    return opens(value.at[0]) ? (str){value.at + 1, value.len - 2} : (str){NULL, 0};
}

/** The length of the number or the word that `rest` begins with. */
static size_t bare_len(str rest)
{
    size_t i = 0;
    while (i < rest.len && rest.at[i] != ',' && !json_is_space(rest.at[i]))
        i++;
    return i;
}

/** The length of the object or the array that `rest` begins with. */
static size_t nested_len(str rest)
{
    size_t i = 0, depth = 0;
    do {
        char c = rest.at[i];
        i = c == '"' ? json_string_end(rest, i) : i + 1;
        depth += opens(c);
        depth -= closes(c);
    } while (depth);
    return i;
}

static str take(str *rest, size_t n)
{
    str taken = {rest->at, n};
    drop(rest, n);
    return taken;
}

static str take_value(str *rest)
{
    char c = rest->at[0];
    return take(rest, c == '"' ? json_string_end(*rest, 0) : opens(c) ? nested_len(*rest) : bare_len(*rest));
}

/** Takes the colon or comma that comes next, if one does. */
static void skip_separator(str *rest)
{
    skip_space(rest);
    if (rest->len)
        drop(rest, 1);
    skip_space(rest);
}

bool json_next_element(str *rest, str *ret_value)
{
    skip_space(rest);
    if (rest->len == 0)
        return false;
    *ret_value = take_value(rest);
    skip_separator(rest);
    return true;
}

bool json_next_member(str *rest, str *ret_name, str *ret_value)
{
    skip_space(rest);
    if (rest->len == 0)
        return false;
    *ret_name = json_string_raw(take_value(rest));
    skip_separator(rest);
    *ret_value = take_value(rest);
    skip_separator(rest);
    return true;
}

str json_string_raw(str value)
{
    value = trim(value);
    return (str){value.at + 1, value.len - 2};
}

static uint32_t hex_value(char digit)
{
    return (uint32_t)(digit <= '9' ? digit - '0' : (digit | 0x20) - 'a' + 10);
}

/** Takes \uXXXX. */
static uint32_t take_unit(str *raw)
{
    uint32_t unit = 0;
    for (size_t i = 2; i < 6; i++)
        unit = unit << 4 | hex_value(raw->at[i]);
    drop(raw, 6);
    return unit;
}

/** Takes the other half of the surrogate pair that `high` begins; 0 when there is none. */
static uint32_t take_low_half(str *raw, uint32_t high)
{
    if (high >= 0xdc00 || raw->len < 6 || raw->at[0] != '\\' || raw->at[1] != 'u')
        return 0;
    uint32_t low = take_unit(raw);
    return low >= 0xdc00 && low <= 0xdfff ? 0x10000 + ((high & 0x3ff) << 10 | (low & 0x3ff)) : 0;
}

static size_t put_utf8(char *dst, uint32_t code)
{
    if (code < 0x80) {
        dst[0] = (char)code;
        return 1;
    }
    size_t n = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const uint8_t lead_bits[] = {[2] = 0xc0, [3] = 0xe0, [4] = 0xf0};
    dst[0] = (char)(lead_bits[n] | code >> 6 * (n - 1));
    for (size_t i = 1; i < n; i++)
        dst[i] = (char)(0x80 | (code >> 6 * (n - 1 - i) & 0x3f));
    return n;
}

static char short_escape(char letter)
{
    switch (letter) {
    case 'b':
        return '\b';
    case 'f':
        return '\f';
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    default:
        return letter; /* quote, backslash, slash */
    }
}

/** Takes an escape, or two that are a surrogate pair, and writes what it stands for, never longer than itself; the
 * number of bytes, 0 for half of a pair. */
static size_t take_escape(str *raw, char *dst)
{
    if (raw->at[1] != 'u') {
        *dst = short_escape(raw->at[1]);
        drop(raw, 2);
        return 1;
    }
    uint32_t code = take_unit(raw);
    if (code < 0xd800 || code > 0xdfff)
        return put_utf8(dst, code);
    code = take_low_half(raw, code);
    return code ? put_utf8(dst, code) : 0;
}

int64_t json_decode(str raw, char *dst)
{
    char *end = dst;
    while (raw.len) {
        str plain = take(&raw, json_plain_run(raw.at, raw.len));
        if (end != plain.at)
            memmove(end, plain.at, plain.len);
        end += plain.len;
        if (raw.len == 0)
            break;
        size_t n = take_escape(&raw, end);
        if (n == 0)
            return WEFT_E_UTF8;
        end += n;
    }
    return end - dst;
}

int64_t json_string_decode(str value, char *dst)
{
    return json_decode(json_string_raw(value), dst);
}

/** True when what `raw`, which has escapes, stands for is `text`. */
static bool escaped_is(str raw, str text)
{
    while (raw.len) {
        char bytes[4] = {raw.at[0]};
        size_t n = 1;
        if (raw.at[0] == '\\')
            n = take_escape(&raw, bytes);
        else
            drop(&raw, 1);
        if (n == 0 || n > text.len || memcmp(bytes, text.at, n) != 0)
            return false;
        drop(&text, n);
    }
    return text.len == 0;
}

bool json_name_is(str raw, const char *text)
{
    if (raw.len == 0)
        return *text == '\0';
    if (raw.at[0] != *text && raw.at[0] != '\\') /* most are not, and show it here */
        return false;
    str expected = str_from(text);
    return memchr(raw.at, '\\', raw.len) ? escaped_is(raw, expected) : str_equal(raw, expected);
}
