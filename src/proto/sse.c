#include "proto/sse.h"

#include <assert.h>
#include <endian.h>

bool sse_name_valid(str name)
{
    for (size_t i = 0; i < name.len; i++)
        if (name.at[i] == '\r' || name.at[i] == '\n' || name.at[i] == '\0')
            return false;
    return true;
}

/** The high bit of each byte that ends a line; only the lowest is certain, as subtractions borrow from the bytes above. */
static uint64_t end_bits(const char *at)
{
    const uint64_t ones = 0x0101010101010101, highs = 0x8080808080808080;
    uint64_t word;
    memcpy(&word, at, sizeof word);
    uint64_t cr = le64toh(word) ^ ones * '\r', lf = le64toh(word) ^ ones * '\n';
    return (((cr - ones) & ~cr) | ((lf - ones) & ~lf)) & highs;
}

/** Bytes up to the first CR or LF, or all. */
static size_t line_len(const char *at, size_t len)
{
    size_t i = 0;
    while (len - i >= 16 && !(end_bits(at + i) | end_bits(at + i + 8)))
        i += 16;
    while (i < len && at[i] != '\r' && at[i] != '\n')
        i++;
    return i;
}

/** Takes the first line, and what ends it, off the front of *rest; false when it was the last. */
static bool take_line(str *rest, str *ret_line)
{
    size_t n = line_len(rest->at, rest->len);
    *ret_line = (str){rest->at, n};
    if (n == rest->len)
        return false;
    bool crlf = rest->at[n] == '\r' && n + 1 < rest->len && rest->at[n + 1] == '\n';
    size_t used = n + (crlf ? 2 : 1);
    *rest = (str){rest->at + used, rest->len - used};
    return true;
}

/** `name` ends in a colon and a space: without it the receiver would take away a space that the value begins with. */
static size_t field_len(str name, str value)
{
    return name.len + value.len + 1;
}

static char *put_field(char *at, str name, str value)
{
    memcpy(at, name.at, name.len);
    at += name.len;
    if (value.len)
        memcpy(at, value.at, value.len);
    at += value.len;
    *at++ = '\n';
    return at;
}

size_t sse_event_len(const sse_event *event)
{
    size_t n = 1;
    if (event->id.len)
        n += field_len(STR("id: "), event->id);
    if (event->event.len)
        n += field_len(STR("event: "), event->event);
    str rest = event->data, line;
    for (bool more = true; more;) {
        more = take_line(&rest, &line);
        n += field_len(STR("data: "), line);
    }
    return n;
}

size_t sse_event_put(char *at, const sse_event *event)
{
    assert(sse_name_valid(event->id) && sse_name_valid(event->event));
    char *start = at;
    if (event->id.len)
        at = put_field(at, STR("id: "), event->id);
    if (event->event.len)
        at = put_field(at, STR("event: "), event->event);
    str rest = event->data, line;
    for (bool more = true; more;) {
        more = take_line(&rest, &line);
        at = put_field(at, STR("data: "), line);
    }
    *at++ = '\n';
    return (size_t)(at - start);
}
