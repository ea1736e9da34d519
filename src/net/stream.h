/**
 * A connected socket as a sink: TCP or Unix, with or without TLS between it and the system calls.
 *
 * Reading: one recv for each readiness, into the loop's buffer (or where the owner's `room` says). Bytes that the owner does not consume are
 * kept in a chunk and put in front of the next ones, so that a parser always sees its input in one piece.
 *
 * Writing: a queue of spans. Small writes are copied into the loop's cork, where those of one stream and turn lie in one piece; others refer to
 * chunks. The stream being read is flushed before the next recv, all others at the end of the turn: one sendmsg a stream a turn. What the
 * socket does not take is kept by reference, after bytes in the cork or in the receive buffer were copied out.
 */
#ifndef WEFT_NET_STREAM_H
#define WEFT_NET_STREAM_H

#include "net/net.h"
#include "net/sink.h"
#include "net/tls_session.h"

typedef struct {
    const char *at;
    size_t len;
    chunk *owner; /* NULL: in the receive buffer, valid until the flush that follows the data event */
} span;

struct write_queue {
    size_t block_bytes;
    uint32_t first, n, cap; /* spans[first..n) are queued */
    uint32_t settled;       /* those before it lie in memory of their own: see queue_settle() */
    span spans[];
};

/** A file that goes out behind the queue. */
typedef struct {
    int fd;
    off_t offset;
    uint64_t left;
} stream_file;

/** What most streams have none of for most of the time: it comes from the loop's pool, and goes back when it is empty. */
typedef struct {
    stream *stream;
    stream_file *file;  /* NULL for none; its bytes count as queued */
    tls_session *tls;   /* NULL for none */
    chunk *unread;      /* received, not consumed; NULL for none */
    list_node waiting;  /* in net->stalled or lingering */
    uint32_t since_ms;  /* low bits of the clock: stalled or lingering since */
    int unacknowledged; /* bytes that the system held then, when stalled */
    size_t block_bytes;
} stream_more;

/** Idle ones are many: what is in here each of them has. */
struct stream {
    sink base;
    union {
        loop_source source;
        struct { /* in the source's room for its owner */
            char in_front[offsetof(loop_source, owners)];
            bool paused : 1, notify : 1, feed : 1, lost : 1, stalled : 1, ending : 1, lingering : 1, read_closed : 1;
            bool is_unix : 1, closed : 1, dirty : 1;
        };
    };
    net *net;
    write_queue *queue; /* NULL when nothing is queued */
    stream_more *more;  /* NULL for none of it */
};

/** What a stream's sink does. */
extern const sink_ops stream_sink_ops;

/** Takes the descriptor (non-blocking), on failure too. Nothing is read before stream_start(). NULL when there is no memory. */
stream *stream_new(net *n, int fd, bool is_unix);

/** From now on the stream speaks TLS, as the server. Before it starts. 0 or -ENOMEM. */
int stream_secure(stream *s, tls_context *c);

/** Reading begins; events and owner must be set. 0 or -errno (the stream is then closed, without `gone`). */
int stream_start(stream *s);

/** The remote address of a descriptor, as text: `127.0.0.1:80`, `[::1]:80`, `unix`. The length without the NUL. */
size_t stream_address(int fd, char *ret_text, size_t room);

#endif
