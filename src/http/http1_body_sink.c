#include "http/http1_private.h"

#include "net/stream.h"
#include "proto/http1_chunk.h"
#include <stdio.h>

/* What is written to a stream with these operations is the body of an HTTP/1.1 answer, each piece in a chunk. All else is the stream's own. */

static int write_framed(sink *s, const sink_piece *piece)
{
    char size[24];
    size_t len = piece->head.len + piece->body.len;
    if (!len) /* an empty chunk would end the body */
        return 0;
    size_t size_len = (size_t)snprintf(size, sizeof size, "%zx\r\n", len);
    int error = stream_sink_ops.write(s, &(sink_piece){.head = {size, size_len}});
    if (!error)
        error = stream_sink_ops.write(s, piece);
    return error ? error : stream_sink_ops.write(s, &(sink_piece){.head = STR("\r\n")});
}

static int body_write(sink *s, const sink_piece *piece)
{
    if (!piece->in_chunk)
        return write_framed(s, piece);
    return stream_sink_ops.write(s, &(sink_piece){.body = http1_chunk_around(piece->body), .owner = piece->owner});
}

static int body_write_file(sink *s, int fd, uint64_t offset, uint64_t length)
{
    return stream_sink_ops.write_file(s, fd, offset, length);
}

static void body_pause(sink *s, bool paused)
{
    stream_sink_ops.pause(s, paused);
}

static void body_rebind(sink *s)
{
    stream_sink_ops.rebind(s);
}

static void body_notify(sink *s)
{
    stream_sink_ops.notify(s);
}

/* Without memory for the last chunk the end of the connection has to do: the client sees an answer that was cut. */
static void body_end(sink *s)
{
    stream_sink_ops.write(s, &(sink_piece){.head = STR("0\r\n\r\n")});
    stream_sink_ops.end(s);
}

static void body_abort(sink *s)
{
    stream_sink_ops.abort(s);
}

static size_t body_address(sink *s, char *ret_text, size_t room)
{
    return stream_sink_ops.address(s, ret_text, room);
}

static bool body_secure(const sink *s)
{
    return stream_sink_ops.secure(s);
}

static size_t body_client_subject(const sink *s, char *ret_text, size_t room)
{
    return stream_sink_ops.client_subject(s, ret_text, room);
}

const sink_ops http1_body_sink_ops = {
    .write = body_write,
    .write_file = body_write_file,
    .pause = body_pause,
    .rebind = body_rebind,
    .notify = body_notify,
    .end = body_end,
    .abort = body_abort,
    .address = body_address,
    .secure = body_secure,
    .client_subject = body_client_subject,
};
