/**
 * A chunk of the chunked coding (RFC 9112 §7.1) around a payload that lies in a buffer with room on both sides: the
 * payload is never copied.
 *
 *      HTTP1_CHUNK_BEFORE bytes        payload                 HTTP1_CHUNK_BEHIND bytes
 *     +-------------+---------+------+-----------------------+------+
 *     | unused      | 1a2     | CRLF | …                     | CRLF |
 *     +-------------+---------+------+-----------------------+------+
 *                    `--- what http1_chunk_wrap() returns --------´
 */
#ifndef WEFT_PROTO_HTTP1_CHUNK_H
#define WEFT_PROTO_HTTP1_CHUNK_H

#include <assert.h>

#include "base/str.h"

enum {
    HTTP1_CHUNK_BEFORE = 10, /* eight hexadecimal digits and CRLF */
    HTTP1_CHUNK_BEHIND = 2,
};

/** Bytes in front of a payload of `len` bytes, 0 < len < 2^32: the digits of the size, and CRLF. */
static inline size_t http1_chunk_head_len(size_t len)
{
    assert(len > 0 && len <= UINT32_MAX);
    return (size_t)(35 - __builtin_clz((unsigned)len)) / 4 + 2;
}

/** The whole chunk around a payload that http1_chunk_wrap() was called for. Reads nothing. */
static inline str http1_chunk_around(str payload)
{
    size_t head_len = http1_chunk_head_len(payload.len);
    return (str){payload.at - head_len, head_len + payload.len + HTTP1_CHUNK_BEHIND};
}

/** Writes the size right in front of the payload, in its shortest form, and the CRLF behind it; the whole chunk.
 * 0 < len < 2^32: an empty chunk would end the body. */
static inline str http1_chunk_wrap(char *payload, size_t len)
{
    str whole = http1_chunk_around((str){payload, len});
    char *at = payload;
    *--at = '\n';
    *--at = '\r';
    for (size_t rest = len; rest; rest >>= 4)
        *--at = "0123456789abcdef"[rest & 15];
    assert(at == whole.at);
    payload[len] = '\r';
    payload[len + 1] = '\n';
    return whole;
}

#endif
