#include "proto/forwarded.h"

#include "proto/http1_grammar.h"

static str from(str s, size_t n)
{
    return (str){s.at + n, s.len - n};
}

static void skip_space(str *rest)
{
    while (rest->len && (*rest->at == ' ' || *rest->at == '\t'))
        *rest = from(*rest, 1);
}

/* A white-space-padded separator. */
static bool take_separator(str *rest, char separator)
{
    str after = *rest;
    skip_space(&after);
    if (!after.len || *after.at != separator)
        return false;
    *rest = from(after, 1);
    skip_space(rest);
    return true;
}

static bool take_token(str *rest, str *ret)
{
    size_t n = http1_span(*rest, HTTP1_TCHAR);
    *ret = (str){rest->at, n};
    *rest = from(*rest, n);
    return n > 0;
}

static bool take_quoted(str *rest, str *ret)
{
    size_t i = 1;
    while (i < rest->len && rest->at[i] != '"')
        i += rest->at[i] == '\\' ? 2 : 1;
    if (i >= rest->len)
        return false;
    *ret = (str){rest->at + 1, i - 1};
    *rest = from(*rest, i + 1);
    return true;
}

static bool keep_once(str *slot, str value)
{
    if (slot->at)
        return false;
    *slot = value;
    return true;
}

static bool take_pair(str *rest, forwarded_element *element)
{
    str name, value;
    if (!take_token(rest, &name) || !rest->len || *rest->at != '=')
        return false;
    *rest = from(*rest, 1);
    bool quoted = rest->len && *rest->at == '"';
    if (quoted ? !take_quoted(rest, &value) : !take_token(rest, &value))
        return false;
    if (str_equal_nocase(name, STR("for")))
        return keep_once(&element->client, value);
    return !str_equal_nocase(name, STR("proto")) || keep_once(&element->proto, value);
}

int forwarded_next(str *rest, forwarded_element *ret_element)
{
    forwarded_element element = {{NULL, 0}, {NULL, 0}};
    skip_space(rest);
    while (take_separator(rest, ',')) /* empty elements (RFC 9110 §5.6.1) */
        continue;
    if (!rest->len)
        return 0;
    do {
        if (!take_pair(rest, &element))
            return WEFT_E_INVALID;
    } while (take_separator(rest, ';'));
    skip_space(rest);
    if (rest->len && *rest->at != ',')
        return WEFT_E_INVALID;
    *ret_element = element;
    return 1;
}
