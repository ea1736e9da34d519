/**
 * A client of SSE and HTTP streams for tests of the public API: it reads the body event by event, or line by line,
 * whatever chunks they stand in.
 */
#ifndef WEFT_TESTS_APP_STREAM_CLIENT_H
#define WEFT_TESTS_APP_STREAM_CLIENT_H

#include "app/fixture.h"

#define SSE_TYPE  "Content-Type: text/event-stream"
#define LINE_TYPE "Content-Type: application/x-ndjson"

/** The callbacks of the fixture that these routes have. */
#define RECORDED_STREAM .open = on_open, .drain = on_drain, .close = on_close

enum { STREAM_FDS = 4096 };

/* What has come of the chunk that a connection is in, and was not read yet: a chunk may hold several events. */
static struct {
    char *bytes;
    size_t at, len;
} stream_rest[STREAM_FDS];

static inline void stream_forget_rest(int fd)
{
    assert_in_range(fd, 0, STREAM_FDS - 1);
    free(stream_rest[fd].bytes);
    memset(&stream_rest[fd], 0, sizeof stream_rest[fd]);
}

/** Sends a request; `fields` are whole lines or "". */
static inline int stream_ask(const char *method, const char *path, const char *fields)
{
    char request[2048];
    int fd = client_connect(url);
    stream_forget_rest(fd);
    snprintf(request, sizeof request, "%s %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n", method, path, fields);
    client_write_text(fd, request);
    return fd;
}

/* The next chunk. False when the connection ends before it is whole. */
static inline bool stream_fetch_chunk(int fd)
{
    char size[16], end[2];
    size_t n = 0;
    while (n < 2 || memcmp(size + n - 2, "\r\n", 2) != 0) {
        assert_true(n < sizeof size);
        if (client_read(fd, size + n, 1) != 1)
            return false;
        n++;
    }
    size_t len = strtoul(size, NULL, 16);
    stream_forget_rest(fd);
    stream_rest[fd].bytes = malloc(len + 1);
    assert_non_null(stream_rest[fd].bytes);
    if (client_read(fd, stream_rest[fd].bytes, len) != (ssize_t)len || client_read(fd, end, 2) != 2)
        return false;
    assert_memory_equal(end, "\r\n", 2);
    stream_rest[fd].bytes[len] = '\0';
    stream_rest[fd].len = len;
    return true;
}

/* Of the event or line that begins there; all when none ends in it. */
static inline size_t stream_block_len(const char *at, size_t len)
{
    bool line = *at == '{' || *at == '\n';
    const char *end = memmem(at, len, "\n\n", line ? 1 : 2);
    return end ? (size_t)(end - at) + (line ? 1 : 2) : len;
}

/** Reads one event or line to `at`, with a NUL behind it, whatever it is: its length, 0 for the end of the stream, -1 when the connection ends before it is
 * whole. */
static inline ssize_t stream_read_any(int fd, char *at, size_t room)
{
    if (stream_rest[fd].at == stream_rest[fd].len && !stream_fetch_chunk(fd)) {
        stream_forget_rest(fd);
        return -1;
    }
    const char *from = stream_rest[fd].bytes + stream_rest[fd].at;
    size_t len = stream_block_len(from, stream_rest[fd].len - stream_rest[fd].at);
    assert_true(len < room);
    memcpy(at, from, len);
    at[len] = '\0';
    stream_rest[fd].at += len;
    if (stream_rest[fd].at == stream_rest[fd].len)
        stream_forget_rest(fd);
    return (ssize_t)len;
}

/** A block that gives an event stream its first id, and is no event. */
static inline bool stream_begins_with_id(const char *text)
{
    const char *end = strstr(text, "\n\n");
    return strncmp(text, "id: ", 4) == 0 && end && end == strchr(text, '\n');
}

/** The same, past the id that an event stream begins with. */
static inline ssize_t stream_read(int fd, char *at, size_t room)
{
    ssize_t len;
    do
        len = stream_read_any(fd, at, room);
    while (len > 0 && stream_begins_with_id(at));
    return len;
}

/** The next event or line is this. */
static inline void stream_expect(int fd, const char *text)
{
    assert_int_not_equal(stream_read(fd, client_bytes, sizeof client_bytes), -1);
    assert_string_equal(client_bytes, text);
}

/** The end of the stream, and a clean one of the connection. */
static inline void stream_expect_end(int fd)
{
    char byte;
    stream_expect(fd, "");
    assert_int_equal(client_read(fd, &byte, 1), 0);
    close(fd);
}

/** The next event tells when to come back: the time. */
static inline unsigned long stream_read_retry(int fd)
{
    char *end;
    assert_true(stream_read(fd, client_bytes, sizeof client_bytes) > 0);
    assert_memory_equal(client_bytes, "retry: ", 7);
    unsigned long ms = strtoul(client_bytes + 7, &end, 10);
    assert_string_equal(end, "\n\n");
    return ms;
}

/** The beginning of an event stream up to its first event. */
static inline void sse_expect_begin(int fd)
{
    assert_int_equal(client_read_head(fd), 200);
    assert_true(client_head_has(SSE_TYPE));
    stream_expect(fd, ":\n\n");
    assert_in_range(stream_read_retry(fd), 2000, 3999);
}

static inline int sse_open(const char *path, const char *fields)
{
    int fd = stream_ask("GET", path, fields);
    sse_expect_begin(fd);
    return fd;
}

/** The same of a stream of lines. */
static inline int line_open(const char *path, const char *fields)
{
    int fd = stream_ask("GET", path, fields);
    assert_int_equal(client_read_head(fd), 200);
    assert_true(client_head_has(LINE_TYPE));
    stream_expect(fd, "\n");
    return fd;
}

/** The cursor in the event or line that was read last. */
static inline const char *stream_cursor(void)
{
    static char place[64];
    const char *at = strstr(client_bytes, "id: ");
    const char *from = at ? at + 4 : strstr(client_bytes, "\"id\":\"");
    if (!from)
        fail_msg("there is no cursor in: %s", client_bytes);
    from += at ? 0 : 6;
    size_t len = strspn(from, "0123456789abcdef-");
    assert_in_range(len, 14, 40);
    snprintf(place, sizeof place, "%.*s", (int)len, from);
    return place;
}

/** The next event is a topic's, with this text behind its id; its cursor. */
static inline const char *sse_expect_message(int fd, const char *rest)
{
    assert_true(stream_read(fd, client_bytes, sizeof client_bytes) > 0);
    const char *place = stream_cursor();
    char whole[4096];
    snprintf(whole, sizeof whole, "id: %s\n%s", place, rest);
    assert_string_equal(client_bytes, whole);
    return place;
}

/** One route and begins. */
static inline void serve_sse(const weft_sse_options *options)
{
    assert_int_equal(weft_sse(app, "/", options), 0);
    begin();
}

static inline void serve_lines(const weft_stream_options *options)
{
    assert_int_equal(weft_stream(app, "/", options), 0);
    begin();
}

/** The client goes, and the server has seen it. */
static inline void stream_leave(int fd)
{
    close(fd);
    CLIENT_UNTIL(strstr(events, "close:"));
}

#endif
