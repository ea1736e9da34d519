#include "proto/json.h"
#include "base/utf8.h"
#include "proto/json_text.h"

typedef enum {
    WANT_VALUE,
    WANT_VALUE_OR_END,
    WANT_KEY,
    WANT_KEY_OR_END,
    WANT_COLON,
    WANT_COMMA_OR_END,
    WANT_NOTHING,
} expectation;

typedef struct {
    str text;
    size_t i;       /* of the next byte */
    size_t n_space; /* insignificant bytes so far */
    expectation want;
    unsigned depth;
    uint64_t objects; /* a bit for each open bracket, the innermost lowest: 1 for an object, 0 for an array */
} scanner;

_Static_assert(JSON_MAX_DEPTH <= 64, "scanner.objects has a bit for each level");

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_hex(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool skip(scanner *s, char c)
{
    if (s->i == s->text.len || s->text.at[s->i] != c)
        return false;
    s->i++;
    return true;
}

static bool skip_digits(scanner *s)
{
    size_t start = s->i;
    while (s->i < s->text.len && is_digit(s->text.at[s->i]))
        s->i++;
    return s->i > start;
}

static void skip_space(scanner *s)
{
    size_t start = s->i;
    while (s->i < s->text.len && json_is_space(s->text.at[s->i]))
        s->i++;
    s->n_space += s->i - start;
}

static bool escape(scanner *s)
{
    if (s->i == s->text.len)
        return false;
    switch (s->text.at[s->i++]) {
    case '"':
    case '\\':
    case '/':
    case 'b':
    case 'f':
    case 'n':
    case 'r':
    case 't':
        return true;
    case 'u':
        for (size_t end = s->i + 4; s->i < end; s->i++)
            if (s->i == s->text.len || !is_hex(s->text.at[s->i]))
                return false;
        return true;
    default:
        return false;
    }
}

static bool string(scanner *s)
{
    if (!skip(s, '"'))
        return false;
    const char *start = s->text.at + s->i;
    s->i += json_ascii_run(start, s->text.len - s->i);
    if (skip(s, '"')) /* as most strings: it is UTF-8 and has no escapes */
        return true;
    for (;;) {
        s->i += json_plain_run(s->text.at + s->i, s->text.len - s->i);
        if (skip(s, '"'))
            return utf8_valid(start, (size_t)(s->text.at + s->i - 1 - start));
        if (!skip(s, '\\') || !escape(s))
            return false;
    }
}

static bool number(scanner *s)
{
    skip(s, '-');
    if (!skip(s, '0') && !skip_digits(s))
        return false;
    if (skip(s, '.') && !skip_digits(s))
        return false;
    if (!skip(s, 'e') && !skip(s, 'E'))
        return true;
    if (!skip(s, '+'))
        skip(s, '-');
    return skip_digits(s);
}

static bool word(scanner *s, str expected)
{
    if (s->text.len - s->i < expected.len || memcmp(s->text.at + s->i, expected.at, expected.len) != 0)
        return false;
    s->i += expected.len;
    return true;
}

static bool open_bracket(scanner *s, bool object)
{
    if (s->depth == JSON_MAX_DEPTH)
        return false;
    s->i++;
    s->depth++;
    s->objects = s->objects << 1 | object;
    s->want = object ? WANT_KEY_OR_END : WANT_VALUE_OR_END;
    return true;
}

static void end_value(scanner *s)
{
    s->want = s->depth ? WANT_COMMA_OR_END : WANT_NOTHING;
}

static bool close_bracket(scanner *s)
{
    if (!skip(s, s->objects & 1 ? '}' : ']'))
        return false;
    s->depth--;
    s->objects >>= 1;
    end_value(s);
    return true;
}

static bool scalar(scanner *s)
{
    switch (s->text.at[s->i]) {
    case '"':
        return string(s);
    case 't':
        return word(s, STR("true"));
    case 'f':
        return word(s, STR("false"));
    case 'n':
        return word(s, STR("null"));
    default:
        return number(s);
    }
}

static bool value(scanner *s)
{
    char c = s->text.at[s->i];
    if (c == '{' || c == '[')
        return open_bracket(s, c == '{');
    if (!scalar(s))
        return false;
    end_value(s);
    return true;
}

static bool key(scanner *s)
{
    s->want = WANT_COLON;
    return string(s);
}

static bool colon(scanner *s)
{
    s->want = WANT_VALUE;
    return skip(s, ':');
}

static bool comma(scanner *s)
{
    s->want = s->objects & 1 ? WANT_KEY : WANT_VALUE;
    return skip(s, ',');
}

/** Takes the token that begins at the next byte, of which there is one. */
static bool token(scanner *s)
{
    switch (s->want) {
    case WANT_VALUE:
        return value(s);
    case WANT_VALUE_OR_END:
        return close_bracket(s) || value(s);
    case WANT_KEY:
        return key(s);
    case WANT_KEY_OR_END:
        return close_bracket(s) || key(s);
    case WANT_COLON:
        return colon(s);
    case WANT_COMMA_OR_END:
        return close_bracket(s) || comma(s);
    case WANT_NOTHING:
        break;
    }
    return false;
}

int64_t json_check(str text)
{
    scanner s = {.text = text};
    for (skip_space(&s); s.i < text.len; skip_space(&s))
        if (!token(&s))
            return WEFT_E_JSON;
    return s.want == WANT_NOTHING ? (int64_t)(text.len - s.n_space) : WEFT_E_JSON;
}

/** The offset of the next white space outside strings. */
static size_t dense_end(str text, size_t i)
{
    while (i < text.len && !json_is_space(text.at[i]))
        i = text.at[i] == '"' ? json_string_end(text, i) : i + 1;
    return i;
}

size_t json_compact(str text, char *dst)
{
    size_t n = 0;
    for (size_t i = 0, end; i < text.len; i = end + 1) {
        end = dense_end(text, i);
        memmove(dst + n, text.at + i, end - i);
        n += end - i;
    }
    return n;
}
