/**
 * The content of an answer put together: a view of the input when it came in one piece, a copy when it did not.
 */
#ifndef WEFT_BENCH_BODY_H
#define WEFT_BENCH_BODY_H

#include <errno.h>

#include "base/buf.h"

enum { BENCH_BODY_MAX_BYTES = 1024 * 1024 * 1024 };

/** Zeroed is empty. */
typedef struct {
    str view;   /* the only piece so far, in the input */
    buf copied; /* all pieces, when there is no view */
} bench_body;

/** The input goes: what is a view of it is copied. 0, -ENOMEM, or -EMSGSIZE when it is over the limit. */
static inline int bench_body_keep(bench_body *body)
{
    str view = body->view;
    body->view = (str){NULL, 0};
    if (view.len > BENCH_BODY_MAX_BYTES - body->copied.len)
        return -EMSGSIZE;
    return buf_put_str(&body->copied, view);
}

/** Takes another piece, never empty. */
static inline int bench_body_add(bench_body *body, str piece)
{
    int error = 0;
    if (body->view.len)
        error = bench_body_keep(body);
    body->view = piece;
    return error || body->copied.len == 0 ? error : bench_body_keep(body);
}

static inline str bench_body_str(const bench_body *body)
{
    return body->view.len ? body->view : buf_str(&body->copied);
}

/** Empty again; room that a large one took is given up, so that thousands of connections do not keep it. */
static inline void bench_body_clear(bench_body *body)
{
    body->view = (str){NULL, 0};
    body->copied.len = 0;
    if (body->copied.cap > 64 * 1024)
        buf_done(&body->copied);
}

static inline void bench_body_done(bench_body *body)
{
    buf_done(&body->copied);
    body->view = (str){NULL, 0};
}

#endif
