#include "proto/http1.h"
#include "proto/http1_grammar.h"

/* Takes the decoded byte off the front; -1 for a byte that no path has and for an escape that is malformed or refused.
 * An escaped slash would make two segments of one only after routes and rights had been looked up; NUL would cut a
 * file's name. */
static int take_byte(str *raw)
{
    size_t n = 1;
    int byte = (unsigned char)raw->at[0];
    if (byte == '%') {
        byte = http1_escape(*raw);
        n = 3;
        if (byte <= 0 || byte == '/')
            return -1;
    } else if (!http1_is((char)byte, HTTP1_PATH)) {
        return -1;
    }
    *raw = (str){raw->at + n, raw->len - n};
    return byte;
}

/* Decodes up to the next slash or the end. The length, or -1. */
static int64_t take_segment(str *raw, char *ret_segment)
{
    int64_t n = 0;
    while (raw->len && raw->at[0] != '/') {
        int byte = take_byte(raw);
        if (byte < 0)
            return -1;
        ret_segment[n++] = (char)byte;
    }
    return n;
}

int64_t http1_decode_path(str raw, char *ret_path)
{
    size_t len = 0;
    if (raw.len == 0)
        ret_path[len++] = '/';
    while (raw.len) {
        if (raw.at[0] != '/')
            return WEFT_E_INVALID;
        raw = (str){raw.at + 1, raw.len - 1};
        size_t slash = len;
        ret_path[len++] = '/';
        int64_t n = take_segment(&raw, ret_path + len);
        if (n < 0)
            return WEFT_E_INVALID;
        len += (size_t)n;

        /* Looked at decoded, so that "%2e%2e" is a dot segment too, as it is for browsers. */
        str segment = {ret_path + slash + 1, (size_t)n};
        bool up = str_equal(segment, STR(".."));
        if (!up && !str_equal(segment, STR(".")))
            continue;
        if (up && slash == 0)
            return WEFT_E_INVALID;
        len = slash;
        while (up && ret_path[--len] != '/')
            ;
        if (raw.len == 0)
            len++; /* a dot segment at the end leaves the slash before it: "/a/.." is "/" */
    }
    return (int64_t)len;
}
