#include "json_text.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_NAME = 64 };

typedef struct {
    char *text;
    size_t len, room;
    bool full; /* something did not fit: nothing behind it is taken either */
} output;

/* One character of Unicode; a dot for controls, surrogates without their other half, and what turns the direction of a line. */
static void put_character(output *out, uint32_t c)
{
    bool control = c < 0x20 || (c >= 0x7F && c < 0xA0) || (c >= 0xD800 && c < 0xE000) || c == 0x200E || c == 0x200F ||
                   (c >= 0x2028 && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069) || c > 0x10FFFF;
    c = control ? '.' : c;
    unsigned char bytes[4];
    size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const unsigned char first[] = {0, 0, 0xC0, 0xE0, 0xF0};
    for (size_t i = n; i-- > 1; c >>= 6)
        bytes[i] = (unsigned char)(0x80 | (c & 0x3F));
    bytes[0] = (unsigned char)(first[n] | c);
    out->full |= out->len + n >= out->room;
    if (out->full)
        return;
    memcpy(out->text + out->len, bytes, n);
    out->len += n;
}

/* The character of UTF-8 at *at, which moves behind it; a byte that begins none is one for itself. */
static uint32_t take_character(const char **at)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    const unsigned char *bytes = (const unsigned char *)*at;
    size_t n = bytes[0] < 0x80                      ? 1
               : bytes[0] < 0xC0 || bytes[0] > 0xF7 ? 0
               : bytes[0] < 0xE0                    ? 2
               : bytes[0] < 0xF0                    ? 3
                                                    : 4;
    uint32_t c = n == 1 ? bytes[0] : n ? bytes[0] & (0x7Fu >> n) : 0;
    for (size_t i = 1; i < n; i++) {
        if ((bytes[i] & 0xC0) != 0x80)
            n = 0;
        else
            c = c << 6 | (bytes[i] & 0x3F);
    }
    bool sound = n && c >= least[n];
    *at += sound ? n : 1;
    return sound ? c : 0;
}

/* Four hexadecimal digits; -1 for others. */
static int32_t take_hex(const char **at)
{
    char digits[5] = "", *end;
    memccpy(digits, *at, '\0', 4);
    long value = strtol(digits, &end, 16);
    if (end != digits + 4 || strspn(digits, "0123456789abcdefABCDEF") != 4)
        return -1;
    *at += 4;
    return (int32_t)value;
}

/* Behind a backslash. False when that is no escape. */
static bool take_escape(const char **at, output *out)
{
    static const char names[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    const char *known = **at ? strchr(names, **at) : NULL;
    if (known) {
        put_character(out, (unsigned char)meanings[known - names]);
        *at += 1;
        return true;
    }
    if (**at != 'u')
        return false;
    *at += 1;
    int32_t c = take_hex(at), low;
    const char *next = *at + 2;
    if (c >= 0xD800 && c < 0xDC00 && (*at)[0] == '\\' && (*at)[1] == 'u' && (low = take_hex(&next)) >= 0xDC00 &&
        low < 0xE000) {
        c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
        *at = next;
    }
    if (c >= 0)
        put_character(out, (uint32_t)c);
    return c >= 0;
}

/* Behind the opening quote, up to and with the closing one. */
static bool take_string(const char **at, output *out)
{
    while (**at && **at != '"') {
        if (**at != '\\') {
            put_character(out, take_character(at));
            continue;
        }
        *at += 1;
        if (!take_escape(at, out))
            return false;
    }
    if (!**at)
        return false;
    *at += 1;
    out->text[out->len] = '\0';
    return true;
}

static void skip_space(const char **at)
{
    *at += strspn(*at, " \t\r\n");
}

/* A value of any kind, up to the comma or brace behind it. */
static bool skip_value(const char **at)
{
    char one[1];
    for (size_t depth = 0;;) {
        output nowhere = {.text = one, .room = sizeof one};
        *at += strcspn(*at, "\"[]{},");
        char c = **at;
        if (!c || (depth == 0 && strchr(",]}", c)))
            return c != '\0';
        *at += 1;
        if (c == '"' && !take_string(at, &nowhere))
            return false;
        depth += c == '[' || c == '{';
        depth -= c == ']' || c == '}';
    }
}

/* `"name":`. False when that is not there. */
static bool take_name(const char **at, char name[MAX_NAME])
{
    output out = {.text = name, .room = MAX_NAME};
    skip_space(at);
    if (**at != '"')
        return false;
    *at += 1;
    if (!take_string(at, &out))
        return false;
    skip_space(at);
    if (**at != ':')
        return false;
    *at += 1;
    skip_space(at);
    return true;
}

bool json_text(const char *json, const char *name, char *ret_text, size_t room)
{
    char given[MAX_NAME];
    skip_space(&json);
    for (bool more = *json == '{'; more; more = *json == ',') {
        json++;
        if (!take_name(&json, given))
            return false;
        if (strcmp(given, name) == 0) {
            output out = {.text = ret_text, .room = room};
            return *json++ == '"' && take_string(&json, &out);
        }
        if (!skip_value(&json))
            return false;
    }
    return false;
}

void plain_text(const char *text, char *ret_text, size_t room)
{
    output out = {.text = ret_text, .room = room};
    while (*text && *text != '\n' && *text != '\r')
        put_character(&out, take_character(&text));
    ret_text[out.len] = '\0';
}
