/**
 * HTTP/1 message bodies: how the bytes behind a head are framed (RFC 9112 §6, §7). Bytes in, views of them out; no
 * descriptor, no allocation, no copy.
 */
#ifndef WEFT_PROTO_HTTP1_BODY_H
#define WEFT_PROTO_HTTP1_BODY_H

#include "proto/http1.h"

enum {
    HTTP1_MAX_CHUNK_LINE_BYTES = 256, /* a chunk's size with its extensions, without CRLF; more: 400 */
    /* Extensions of the whole body, with a sixteenth of the content so far on top; more: 400. Else a body of one-byte
     * chunks could make us read 256 times what max_bytes says. */
    HTTP1_MAX_EXTENSION_BYTES = 16 * 1024,
    HTTP1_MAX_TRAILER_BYTES = 8 * 1024, /* the trailer section with the empty line that ends it; more: 431 */
};

typedef enum {
    HTTP1_BODY_BAD = -1, /* status and reason say why, and it stays so */
    HTTP1_BODY_MORE = 0, /* hand in what is not consumed again, with more behind it */
    HTTP1_BODY_DATA = 1, /* a piece of content, never empty */
    HTTP1_BODY_DONE = 2, /* the body has ended, and it stays so; what is not consumed belongs to the next request */
} http1_body_result;

typedef struct {
    uint64_t left;            /* of the length, or of the chunk under way */
    uint64_t total_bytes;     /* of content so far */
    uint64_t extension_bytes; /* so far */
    uint64_t max_bytes;
    const char *reason;     /* valid when BAD: a static sentence in lower case without a full stop */
    uint16_t status;        /* likewise: 400, 413 (over max_bytes), 431 (trailers) */
    uint16_t line_scanned;  /* bytes at the front of the input that are known to hold no line end */
    uint16_t trailer_bytes; /* of finished lines of the trailer section */
    uint8_t state;          /* http1_body.c knows what it means */
} http1_body_decoder;

/** For a complete head, which may go then. `max_bytes` is of content: 0 allows an empty body only. */
void http1_body_init(http1_body_decoder *decoder, const http1_head *head, uint64_t max_bytes);

/**
 * Reads on in the `len` bytes at `at` (which may be NULL when there are none) and sets *ret_consumed to how many of them
 * are behind us; with DATA, *ret_piece is content among these. Call again with the rest until MORE, DONE or BAD. The
 * rest may move between calls; with MORE it is less than one line, so shorter than HTTP1_MAX_TRAILER_BYTES. Each byte
 * is looked at a bounded number of times, and content, verdict and bytes consumed in all are the same whatever the
 * pieces.
 *
 * Without a body DONE comes at once, for a Content-Length of 0 too. Chunk extensions are checked and dropped, trailer
 * fields as well. BAD leaves the line or the byte that is wrong unconsumed. Refused with 400 unless said otherwise, as
 * soon as the line that decides is complete (a limit needs no line end):
 *  - content over max_bytes (413): a Content-Length at the first call, a chunk by its size line alone
 *  - a chunk size that is not 1 to 16 hexadecimal digits; extensions outside the grammar of RFC 9112 §7.1.1, and the
 *    white space that it calls bad: no sender may produce it, and readers differ in what they make of it
 *  - a bare CR or LF, or another control character but tab, in any line; chunk data without CRLF behind it
 *  - a trailer that is no field line, is folded, or frames or routes: Content-Length, Transfer-Encoding and Host, which
 *    RFC 9110 §6.5.1 forbids there
 *  - a limit of this file (400, 431)
 */
http1_body_result http1_body_next(http1_body_decoder *decoder, const char *at, size_t len, size_t *ret_consumed,
                                  str *ret_piece);

#endif
