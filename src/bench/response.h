/**
 * HTTP/1 answers as a client reads them: a resumable parser as strict as RFC 9112. Memory in, events out; no descriptor, no allocation, no copy.
 *
 *     bench_response_init(&response);
 *     for (;;)
 *         switch (bench_response_next(&response, at, len, &consumed, &piece)) { at += consumed; len -= consumed; ... }
 *
 *     HEAD  DATA ... DATA  DONE   HEAD  DONE   HEAD ...
 */
#ifndef WEFT_BENCH_RESPONSE_H
#define WEFT_BENCH_RESPONSE_H

#include "proto/http1_body.h"

enum { BENCH_RESPONSE_MAX_HEAD_BYTES = 16 * 1024 }; /* status line and fields with the empty line */

typedef enum {
    BENCH_RESPONSE_BAD = -1, /* response->reason says why, and it stays so */
    BENCH_RESPONSE_MORE = 0, /* hand in what is not consumed again, with more behind it */
    BENCH_RESPONSE_HEAD = 1, /* status, minor and closes are known; the piece is the head, for bench_response_field() */
    BENCH_RESPONSE_DATA = 2, /* the piece is content, never empty */
    BENCH_RESPONSE_DONE = 3, /* the answer is complete; the next call begins another */
} bench_response_event;

typedef struct {
    uint64_t left; /* of the length that the head says */
    http1_body_decoder chunks;
    const char *reason; /* when BAD: static, as bench_client_fail() takes it: "line ends in a bare LF" */
    uint32_t scanned;   /* bytes at the front of the input that are known to hold no line end */
    uint32_t line_at;   /* where the line begins that is being read */
    uint16_t status;    /* of the answer under way, or the last */
    uint8_t minor;      /* HTTP/1.minor */
    bool closes;        /* the connection ends behind this answer */
    bool has_length;    /* at the HEAD event `left` is the length of the whole content */
    bool is_open;       /* the content has no end but the connection's */
    uint8_t seen;       /* what the fields have said so far */
    uint8_t state;      /* both: response.c knows what they mean */
} bench_response;

/** Before the first byte of a connection. */
void bench_response_init(bench_response *response);

/**
 * Reads on in the `len` bytes at `at` and sets *ret_consumed to how many of them are behind us; with HEAD and DATA, *ret_piece lies among these. Call
 * again with the rest until MORE or BAD. The rest may move between calls. Each byte is looked at a bounded number of times, and the events are the same
 * whatever the pieces, but for where content is cut.
 *
 * What comes behind an answer that ends the connection (`closes`) is dropped: node answers so what it will not do any more (RFC 9112 §9.6).
 * Interim answers (1xx) are passed over, except 101: behind that DONE comes at once, and what follows belongs to the other protocol. Every request is
 * taken to be one whose answer may have content (no HEAD, no CONNECT).
 *
 * Refused, as soon as the line that decides is complete: a status line that is none, or not of HTTP/1; bare CR or LF, folded lines, control characters;
 * a Content-Length that is no number, or comes twice, or beside Transfer-Encoding; another Transfer-Encoding than chunked, or any in HTTP/1.0; a head over
 * the limit; what http1_body_next() refuses.
 */
bench_response_event bench_response_next(bench_response *response, const char *at, size_t len, size_t *ret_consumed,
                                         str *ret_piece);

/** The connection has ended: true when that cuts no answer short. An answer that lasts until then is complete (DONE does not come). */
bool bench_response_may_end(const bench_response *response);

/** The first field of that name, in any case, of a head that HEAD came with; {NULL, 0} when there is none. */
str bench_response_field(str head, const char *name);

/** True when a comma-separated list, in one or several fields of that name, has the token. */
bool bench_response_has_token(str head, const char *name, const char *token);

/** What to fail with when an answer has a status that is not wanted: "answered 404 Not Found". Static. */
const char *bench_response_unwanted(unsigned status);

#endif
