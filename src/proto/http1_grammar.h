/**
 * What the characters of an HTTP/1 head may be, and the small grammar checks that several of its parts share. Inside
 * proto only.
 */
#ifndef WEFT_PROTO_HTTP1_GRAMMAR_H
#define WEFT_PROTO_HTTP1_GRAMMAR_H

#include "base/str.h"

enum {
    HTTP1_TCHAR = 1, /* of a token, RFC 9110 §5.6.2 */
    HTTP1_VALUE = 2, /* of a field value, white space and obs-text too, RFC 9110 §5.5 */
    HTTP1_PATH = 4,  /* pchar, "/" or a bracket, without escapes, RFC 3986 §3.3 */
    HTTP1_QUERY = 8, /* pchar, "/", "?", or what browsers leave as it is, a lone "%" too, RFC 3986 §3.4 */
    HTTP1_HOST = 16, /* of a reg-name, without escapes, RFC 3986 §3.2.2 */
    HTTP1_DIGIT = 32,
};

/** The classes of each byte, or-ed. */
extern const uint8_t http1_classes[256];

static inline bool http1_is(char c, unsigned class)
{
    return (http1_classes[(unsigned char)c] & class) != 0;
}

/** How many bytes at the front are of that class. */
static inline size_t http1_span(str s, unsigned class)
{
    size_t n = 0;
    while (n < s.len && http1_is(s.at[n], class))
        n++;
    return n;
}

/** The same, with percent-escapes of two hexadecimal digits among them. */
size_t http1_span_escaped(str s, unsigned class);

/** The value of a hexadecimal digit; -1 when it is none. */
int http1_hex(char c);

/** The byte that the escape at the front stands for; -1 when there is no well-formed one. */
int http1_escape(str s);

/**
 * True for uri-host[:port] (RFC 9110 §4.2). The host may not be empty and is a name, an IPv4 address, or an IPv6
 * address in brackets (IPvFuture, which nobody has defined, is refused); the port is 1-65535, or empty unless it is
 * required.
 */
bool http1_is_authority(str s, bool port_required);

#endif
