#include "proto/http1_grammar.h"

#include <arpa/inet.h>

#include "proto/http1.h"

enum {
    TOKEN = HTTP1_TCHAR | HTTP1_VALUE,
    QUERY = HTTP1_QUERY | HTTP1_VALUE,
    PCHAR = HTTP1_PATH | QUERY,
    NAME = PCHAR | HTTP1_HOST,
    LETTER = NAME | HTTP1_TCHAR,
};

/* No class has a control character but the tab, so a bare CR or LF and NUL are refused wherever a class is asked for.
 * RFC 3986 has none of [ \ ] ^ ` { | } in a query and no brackets in a path, and wants two digits behind a "%", but
 * browsers follow the WHATWG URL standard, which leaves them as the page wrote them ("?q=100%"); refusing those would
 * break working pages. Raw space, double quote, "<", ">" and "#" browsers escape. In a path a bad escape stays refused:
 * what it means is decided there by whoever decodes it, and routes and files hang on that. */
const uint8_t http1_classes[256] = {
    ['\t'] = HTTP1_VALUE,   [' '] = HTTP1_VALUE,
    ['!'] = LETTER,         ['"'] = HTTP1_VALUE,
    ['#'] = TOKEN,          ['$'] = LETTER,
    ['%'] = TOKEN | QUERY,  ['&'] = LETTER,
    ['\''] = LETTER,        ['('] = NAME,
    [')'] = NAME,           ['*'] = LETTER,
    ['+'] = LETTER,         [','] = NAME,
    ['-'] = LETTER,         ['.'] = LETTER,
    ['/'] = PCHAR,          ['0' ... '9'] = LETTER | HTTP1_DIGIT,
    [':'] = PCHAR,          [';'] = NAME,
    ['<'] = HTTP1_VALUE,    ['='] = NAME,
    ['>'] = HTTP1_VALUE,    ['?'] = QUERY,
    ['@'] = PCHAR,          ['A' ... 'Z'] = LETTER,
    ['['] = PCHAR,          ['\\'] = QUERY,
    [']'] = PCHAR,          ['^'] = TOKEN | QUERY,
    ['_'] = LETTER,         ['`'] = TOKEN | QUERY,
    ['a' ... 'z'] = LETTER, ['{'] = QUERY,
    ['|'] = TOKEN | QUERY,  ['}'] = QUERY,
    ['~'] = LETTER,         [0x80 ... 0xff] = HTTP1_VALUE,
};

int http1_hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    char lower = (char)char_lower((unsigned char)c);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

int http1_escape(str s)
{
    if (s.len < 3 || s.at[0] != '%')
        return -1;
    int high = http1_hex(s.at[1]);
    int low = http1_hex(s.at[2]);
    return high < 0 || low < 0 ? -1 : high << 4 | low;
}

size_t http1_span_escaped(str s, unsigned class)
{
    size_t n = 0;
    for (;;) {
        n += http1_span((str){s.at + n, s.len - n}, class);
        if (http1_escape((str){s.at + n, s.len - n}) < 0)
            return n;
        n += 3;
    }
}

bool http1_is_token(str s)
{
    return s.len > 0 && http1_span(s, HTTP1_TCHAR) == s.len;
}

bool http1_is_value(str s)
{
    return http1_span(s, HTTP1_VALUE) == s.len;
}

static bool is_port(str s)
{
    if (s.len > 5 || http1_span(s, HTTP1_DIGIT) != s.len)
        return false;
    uint32_t port = 0;
    for (size_t i = 0; i < s.len; i++)
        port = port * 10 + (uint32_t)(s.at[i] - '0');
    return port > 0 && port <= UINT16_MAX;
}

static bool is_ipv6(str s)
{
    char text[INET6_ADDRSTRLEN];
    struct in6_addr address;
    if (s.len >= sizeof text || memchr(s.at, '\0', s.len))
        return false;
    memcpy(text, s.at, s.len);
    text[s.len] = '\0';
    return inet_pton(AF_INET6, text, &address) == 1;
}

/* The length of the host at the front, brackets included; 0 when there is no valid one. */
static size_t host_len(str s)
{
    if (s.len == 0)
        return 0;
    if (s.at[0] != '[')
        return http1_span_escaped(s, HTTP1_HOST);
    const char *end = memchr(s.at, ']', s.len);
    if (!end || !is_ipv6((str){s.at + 1, (size_t)(end - s.at) - 1}))
        return 0;
    return (size_t)(end - s.at) + 1;
}

bool http1_is_authority(str s, bool port_required)
{
    size_t n = host_len(s);
    if (n == 0)
        return false;
    if (n == s.len)
        return !port_required;
    if (s.at[n] != ':')
        return false;
    str port = {s.at + n + 1, s.len - n - 1};
    return port.len ? is_port(port) : !port_required;
}
