/**
 * What the protocols over HTTP share: an answer's events, each to whom it concerns.
 */
#ifndef WEFT_BENCH_ANSWERS_H
#define WEFT_BENCH_ANSWERS_H

#include "bench/body.h"
#include "bench/client.h"
#include "bench/response.h"

/* A server ends the connection behind an answer that says "Connection: close", and then it is opened anew. Some forget to when requests were sent ahead (node):
 * when it has not ended so long behind it, it is ended here. Not at once: who ends it keeps its port in TIME_WAIT, and here they would run out. */
enum { BENCH_ANSWERS_ENDING_MS = 100 };

/** Each returns NULL, or why the client is lost: for bench_client_fail(), which is called then. The client may be closed in any of them. */
typedef struct {
    const char *(*head)(bench_client *client, str head);
    const char *(*piece)(bench_client *client, str piece);
    const char *(*end)(bench_client *client);
} bench_answers;

/** What feed() of a protocol does, and returns. */
size_t bench_answers_feed(const bench_answers *answers, bench_client *client, bench_response *response, str input);

/** The same, for protocols that put the content together: what of it is still a view of the input is kept. */
size_t bench_answers_feed_body(const bench_answers *answers, bench_client *client, bench_response *response,
                               bench_body *body, str input);

/** For an error of a buffer: NULL when it is none. */
const char *bench_answers_problem(int error);

#endif
