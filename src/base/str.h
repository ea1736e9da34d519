/**
 * Borrowed bytes: a pointer and a length into memory that somebody else keeps.
 */
#ifndef WEFT_BASE_STR_H
#define WEFT_BASE_STR_H

#include <stdbool.h>
#include <string.h>
#include <weft.h>

typedef weft_str str;

/** A string literal as a constant expression: STR("GET"). */
#define STR(literal)                                                                                                   \
    (str)                                                                                                              \
    {                                                                                                                  \
        "" literal, sizeof literal - 1                                                                                 \
    }

static inline str str_from(const char *text)
{
    return (str){text, text ? strlen(text) : 0};
}

static inline bool str_equal(str a, str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

/** The very same bytes, not a copy of them. */
static inline bool str_same(str a, str b)
{
    return a.at == b.at && a.len == b.len;
}

static inline unsigned char char_lower(unsigned char c)
{
    return c >= 'A' && c <= 'Z' ? (unsigned char)(c | 0x20) : c;
}

/** Writes the bytes; where the next ones go. */
static inline char *str_put(char *at, str text)
{
    if (text.len) /* an empty one may be {NULL, 0} */
        memcpy(at, text.at, text.len);
    return at + text.len;
}

/** Equal but for the case of ASCII letters. */
static inline bool str_equal_nocase(str a, str b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++)
        if (char_lower((unsigned char)a.at[i]) != char_lower((unsigned char)b.at[i]))
            return false;
    return true;
}

static inline bool str_begins_nocase(str s, str start)
{
    return s.len >= start.len && str_equal_nocase((str){s.at, start.len}, start);
}

/** Without spaces and tabs at both ends. */
static inline str str_trim(str s)
{
    while (s.len && (*s.at == ' ' || *s.at == '\t')) {
        s.at++;
        s.len--;
    }
    while (s.len && (s.at[s.len - 1] == ' ' || s.at[s.len - 1] == '\t'))
        s.len--;
    return s;
}

/** Takes what stands before the first separator off the front of *rest; the separator goes too. False when *rest is
 * used up (at == NULL). An empty string yields one empty piece. */
static inline bool str_split(str *rest, char separator, str *ret_piece)
{
    if (!rest->at)
        return false;
    const char *found = rest->len ? memchr(rest->at, separator, rest->len) : NULL;
    if (!found) {
        *ret_piece = *rest;
        *rest = (str){NULL, 0};
        return true;
    }
    size_t n = (size_t)(found - rest->at);
    *ret_piece = (str){rest->at, n};
    *rest = (str){found + 1, rest->len - n - 1};
    return true;
}

#endif
