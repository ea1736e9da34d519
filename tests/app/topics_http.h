/**
 * What the tests of topics over HTTP share: requests as raw bytes, and their answers.
 */
#ifndef WEFT_TESTS_APP_TOPICS_HTTP_H
#define WEFT_TESTS_APP_TOPICS_HTTP_H

#include "app/app.h"
#include "app/stream_client.h"

#include <stdatomic.h>

enum { EPOCH_BYTES = 12, REQUEST_BYTES = 32768 };

static char answer_head[8192]; /* of the answer that was read last; its body is in client_bytes */

static const char *const everything[] = {"*", NULL};

/** Topics keep history, and are at `path`. */
static inline void serve_topics(const char *path, const weft_topics_options *options)
{
    weft_topic_configure(app, "*", &(weft_topic_options){.history_messages = 100});
    if (weft_topics(app, path, options))
        fail_msg("%s", weft_error(app));
    begin();
}

/** Everybody may read and write, at /topics/NAME. */
static inline void serve_open_topics(void)
{
    serve_topics("/topics/*", &(weft_topics_options){.publish = everything});
}

/* ---- several loops ---- */

static atomic_uint n_arrived;

static inline void count_arrival(note *n, void *owner)
{
    (void)n;
    (void)owner;
    atomic_fetch_add(&n_arrived, 1);
}

/** Waits until what this thread has called for has come to all loops, and what these have told each other at the end of that turn. */
static inline void let_loops_hear(void)
{
    for (unsigned round = 1; round <= 3; round++) {
        n_arrived = 0;
        for (unsigned i = 0; i < app->n_workers; i++) {
            note *n = mem_new(sizeof *n);
            *n = (note){.bytes = sizeof *n, .run = count_arrival};
            assert_int_equal(inbox_push(app->workers[i].loop.box, n), 0);
        }
        CLIENT_UNTIL(atomic_load(&n_arrived) == app->n_workers);
    }
}

/* ---- requests and answers ---- */

/** Sends a request; `fields` are whole lines or "". A body has its length told; NULL: none. */
static inline int ask_bytes(const char *line, const char *fields, const char *body, size_t len)
{
    int fd = client_connect(url);
    char *request = malloc(REQUEST_BYTES + len), length[64] = "";
    assert_non_null(request);
    if (body)
        snprintf(length, sizeof length, "Content-Length: %zu\r\n", len);
    int head_len = snprintf(request, REQUEST_BYTES, "%s HTTP/1.1\r\nHost: localhost\r\n%s%s\r\n", line, length, fields);
    assert_in_range(head_len, 1, REQUEST_BYTES - 1);
    if (body)
        memcpy(request + head_len, body, len);
    client_try_write(fd, request, (size_t)head_len + len);
    free(request);
    return fd;
}

static inline int ask(const char *line, const char *fields, const char *body)
{
    return ask_bytes(line, fields, body, body ? strlen(body) : 0);
}

/** Reads an answer of known length; its status. */
static inline int answered(int fd)
{
    int status = client_read_head(fd);
    memcpy(answer_head, client_bytes, strlen(client_bytes) + 1);
    const char *length = status ? strstr(answer_head, "\r\nContent-Length: ") : NULL;
    size_t len = length ? strtoul(length + 18, NULL, 10) : 0;
    assert_true(len <= CLIENT_MAX_BYTES);
    assert_int_equal(client_read(fd, client_bytes, len), len);
    client_bytes[len] = '\0';
    close(fd);
    return status;
}

static inline int status_of(const char *line, const char *fields, const char *body)
{
    return answered(ask(line, fields, body));
}

/** How often the head has this line. */
static inline int n_lines(const char *line)
{
    char whole[512];
    int n = 0;
    snprintf(whole, sizeof whole, "\r\n%s\r\n", line);
    for (const char *at = answer_head; (at = strstr(at, whole)); at++)
        n++;
    return n;
}

/** `text` with each epoch as E, so that it can be compared. Static. */
static inline const char *plain(const char *text)
{
    static char result[CLIENT_MAX_BYTES + 1];
    char *to = result;
    while (*text) {
        if (strspn(text, "0123456789abcdef") == EPOCH_BYTES && text[EPOCH_BYTES] == '-') {
            *to++ = 'E';
            text += EPOCH_BYTES;
        } else {
            *to++ = *text++;
        }
    }
    *to = '\0';
    return result;
}

/** The request is answered with this status and body. */
static inline void expect_answer(int fd, int status, const char *body)
{
    int got = answered(fd);
    assert_string_equal(plain(client_bytes), body);
    assert_int_equal(got, status);
}

/** The value of the first member of that name, a string, in client_bytes. Static. */
static inline const char *member(const char *name)
{
    static char value[512];
    char start[64];
    snprintf(start, sizeof start, "\"%s\":\"", name);
    const char *at = strstr(client_bytes, start);
    assert_non_null(at);
    at += strlen(start);
    snprintf(value, sizeof value, "%.*s", (int)strcspn(at, "\""), at);
    return value;
}

/* ---- streams ---- */

#define ACCEPT_EVENTS "Accept: text/event-stream\r\n"
#define ACCEPT_LINES  "Accept: application/x-ndjson\r\n"

/** The next chunk of a stream is this, with each epoch as E. */
static inline void expect_chunk(int fd, const char *text)
{
    assert_true(stream_read(fd, client_bytes, sizeof client_bytes) > 0);
    assert_string_equal(plain(client_bytes), text);
}

#endif
