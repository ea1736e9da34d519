#include "proto/form.h"

#include "proto/http1_grammar.h"

bool form_next(str *rest, str *ret_name, str *ret_value)
{
    str piece = {NULL, 0};
    while (piece.len == 0)
        if (!str_split(rest, '&', &piece))
            return false;
    const char *end = piece.at + piece.len;
    const char *equals = memchr(piece.at, '=', piece.len);
    const char *value = equals ? equals + 1 : end;
    *ret_name = (str){piece.at, (size_t)((equals ? equals : end) - piece.at)};
    *ret_value = (str){value, (size_t)(end - value)};
    return true;
}

/* Takes the byte that the front of *raw, which is not empty, stands for. */
static char take_byte(str *raw)
{
    int escaped = http1_escape(*raw);
    size_t n = escaped < 0 ? 1 : 3;
    char byte = escaped >= 0 ? (char)escaped : raw->at[0] == '+' ? ' ' : raw->at[0];
    *raw = (str){raw->at + n, raw->len - n};
    return byte;
}

size_t form_decode(str raw, char *dst)
{
    size_t n = 0;
    while (raw.len)
        dst[n++] = take_byte(&raw);
    return n;
}

bool form_equal(str raw, str text)
{
    size_t n = 0;
    while (raw.len && n < text.len)
        if (take_byte(&raw) != text.at[n++])
            return false;
    return raw.len == 0 && n == text.len;
}

str form_find(str form, str name)
{
    str raw_name, value;
    while (form_next(&form, &raw_name, &value))
        if (form_equal(raw_name, name))
            return value;
    return (str){NULL, 0};
}
