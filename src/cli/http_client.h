/**
 * A small HTTP/1.1 client that waits for its answer: POST over TCP or a Unix socket, one connection for many requests.
 *
 * Everything is bounded: 10 s to connect and 30 s a request, 64 KiB of head, 1 MiB of answer.
 */
#ifndef WEFT_CLI_HTTP_CLIENT_H
#define WEFT_CLI_HTTP_CLIENT_H

#include <stddef.h>

typedef struct http_client http_client;

typedef struct {
    const char *path;   /* percent-encoded */
    const char *fields; /* whole lines of the head, with their line ends: checked by the caller */
    const char *body;
    size_t len;
} http_post;

typedef struct {
    int status;
    const char *body; /* with a NUL behind it; until the next request */
    size_t len;
} http_answer;

/** For `http://HOST[:PORT][/PATH]`, what people leave out of that (see values.h), or `unix:PATH`. Nothing is connected yet. NULL for another
 * text. A path stands in front of the path of each request. */
http_client *http_client_new(const char *url);
void http_client_free(http_client *client);

/** Sends a request and waits for the answer; connects first where there is no connection, or the server has ended it meanwhile. A request that
 * may have arrived is never sent again. 0, or -1 with http_client_problem(). */
int http_client_post(http_client *client, const http_post *post, http_answer *ret_answer);

/** Why the last request failed, in words that follow the address. */
const char *http_client_problem(const http_client *client);

/** The address as it was understood. */
const char *http_client_url(const http_client *client);

#endif
