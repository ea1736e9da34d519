/**
 * HTTP/1 request heads: a linear, resumable parser as strict as RFC 9112, and the facts that follow from a head.
 *
 * The caller keeps the head's bytes contiguous from its first byte and hands in the same bytes, with more behind them,
 * until the parser says DONE or BAD. Each byte is looked at a bounded number of times whatever the pieces. Nothing is
 * allocated or copied: fields are offsets into the caller's bytes, so these may move between calls.
 */
#ifndef WEFT_PROTO_HTTP1_H
#define WEFT_PROTO_HTTP1_H

#include "base/str.h"

enum {
    HTTP1_MAX_FIELDS = 100,           /* more: 431 */
    HTTP1_MAX_HEAD_BYTES = 16 * 1024, /* request line and fields with the empty line; more: 431 */
    HTTP1_MAX_LINE_BYTES = 8 * 1024,  /* request line without CRLF; more: 414 */
};

typedef enum {
    HTTP1_BAD = -1,
    HTTP1_MORE = 0,
    HTTP1_DONE = 1,
} http1_result;

typedef struct {
    uint16_t name_at, name_len, value_at, value_len; /* the value without white space around it */
} http1_field;

typedef enum {
    HTTP1_NO_BODY,
    HTTP1_LENGTH, /* content_length bytes follow, may be 0 */
    HTTP1_CHUNKED,
} http1_body;

/** Zeroed is the state before the first byte. */
typedef struct {
    /* where the parser stands */
    uint32_t scanned; /* no line end before this offset is unknown */
    uint32_t line_at; /* start of the line being read */
    bool has_line;    /* the request line is behind us */
    uint8_t seen;     /* what the fields have said so far; http1.c knows the bits */

    /* the request line */
    uint16_t method_at, method_len;
    uint16_t target_at, target_len; /* as sent */
    /* Undecoded; "*" for asterisk-form. Length 0 means "/" in absolute-form and no path in CONNECT. */
    uint16_t path_at, path_len;
    uint16_t query_at, query_len; /* without '?' */
    /* Of absolute-form (with its port) and of CONNECT; it counts instead of Host (RFC 9112 §3.2.2). Length 0: none. */
    uint16_t authority_at, authority_len;
    uint8_t minor; /* HTTP/1.minor: 0, or 1 for that and anything higher (RFC 9110 §2.5) */

    /* the fields, and what follows from them; valid when DONE */
    uint16_t n_fields;
    http1_body body;
    uint64_t content_length;
    bool keep_alive;      /* RFC 9112 §9.3 */
    bool upgrade;         /* 1.1 and Connection names "upgrade": the Upgrade field counts */
    bool expect_continue; /* Expect: 100-continue, from a 1.1 client */
    http1_field fields[HTTP1_MAX_FIELDS];

    /* valid when BAD */
    uint16_t status;    /* 400, 414, 417, 431, 501 (a Transfer-Encoding we do not know), 505 */
    const char *reason; /* static; one sentence in lower case without a full stop: "line ends in a bare LF" */
} http1_head;

/**
 * Reads on. DONE: the head is complete and *ret_len is its length (an empty line before the request line is skipped and
 * counted). MORE: hand in more. BAD: head->status and head->reason say why, and nothing more may be fed.
 *
 * Refused with 400 unless said otherwise, as soon as the line that decides is complete (a first byte that cannot begin
 * a method needs no line, nor does a limit):
 *  - any bare CR or LF, NUL and other control characters; white space where RFC 9112 has none (before the colon,
 *    leading, obs-fold); an empty or non-token method or field name; a field line without a colon
 *  - a target of no known form (`*` is for OPTIONS, host:port for CONNECT, absolute URIs for http, https, ws and wss
 *    without user information) or with bytes outside RFC 3986 (fragments too); what browsers leave raw is allowed: [ ]
 *    in a path, [ \ ] ^ ` { | } and a "%" without two hexadecimal digits in a query
 *  - text that is no version; a version that is not HTTP/1.x (505)
 *  - Host missing (1.1), repeated, empty, or not a valid uri-host[:port]
 *  - Content-Length that is not one decimal number below 2^63, or repeated, even with the same value, or with
 *    Transfer-Encoding; Transfer-Encoding in 1.0, or with anything after `chunked`; another coding than that (501)
 *  - Expect with anything but 100-continue (417); a limit of this file (414, 431)
 */
http1_result http1_head_feed(http1_head *head, const char *at, size_t len, size_t *ret_len);

/** The pieces of a DONE head; `at` is where its bytes are now. */
static inline str http1_method(const http1_head *head, const char *at)
{
    return (str){at + head->method_at, head->method_len};
}

static inline str http1_name(const http1_head *head, const char *at, size_t i)
{
    return (str){at + head->fields[i].name_at, head->fields[i].name_len};
}

static inline str http1_value(const http1_head *head, const char *at, size_t i)
{
    return (str){at + head->fields[i].value_at, head->fields[i].value_len};
}

/** The first field of that name, in any case; {NULL, 0} when there is none. */
str http1_find(const http1_head *head, const char *at, const char *name);

/** How many fields have that name. */
size_t http1_count(const http1_head *head, const char *at, const char *name);

/** True when a comma-separated list, in one or several fields of that name, has the token (case-insensitive, RFC 9110
 * §5.6.1). */
bool http1_has_token(const http1_head *head, const char *at, const char *name, const char *token);

/** The next element of a comma-separated list (empty ones are skipped, white space trimmed); false at the end. Quoted
 * strings are kept whole. */
bool http1_list_next(str *rest, str *ret_element);

/**
 * Decodes percent-escapes of a path and removes dot segments, escaped ones too (RFC 3986 §5.2.4), into `ret_path` with
 * room for raw.len + 1 bytes; no NUL is written. Refused are "%2F" and "%00", a bad escape, a byte that no path has, a
 * path that does not begin with a slash ("*" too), and one that climbs above the root. The length, or WEFT_E_INVALID
 * (what ret_path holds is then undefined). An empty raw path gives "/".
 */
int64_t http1_decode_path(str raw, char *ret_path);

/** The first cookie of that name in a Cookie field's value (RFC 6265 §4.2.1), as sent: quotes belong to it. {NULL, 0}
 * when there is none. */
str http1_cookie(str value, str name);

/** True when the bytes are a token (RFC 9110 §5.6.2) of at least one character. */
bool http1_is_token(str s);

/** True when the bytes can be a field's value: no CR, LF, NUL or other control character but tab. */
bool http1_is_value(str s);

/** The standard phrase of a status (RFC 9110 §15), "Unknown" for others. Static. */
const char *http1_phrase(int status);

#endif
