/**
 * A stream as its files see it: stream.c lives and reads, stream_write.c writes, net.c does what streams have in common.
 */
#ifndef WEFT_NET_STREAM_PRIVATE_H
#define WEFT_NET_STREAM_PRIVATE_H

#include "net/stream.h"

static inline stream *stream_of(sink *s)
{
    return CONTAINER(s, stream, base);
}

/* stream.c */

/** Leaves the loop and closes the descriptor; the memory goes at the end of the turn, as the stack may still use it. */
void stream_close(stream *s);

/** The connection is lost: tells the owner, unless it has let go. */
void stream_fail(stream *s, int error);

/** Asks epoll for what the stream waits for now. 0 or -errno. */
int stream_watch(stream *s);

/** Hands over what was kept while the stream was paused, or for another owner. */
void stream_feed_unread(stream *s);

void stream_unread_free(stream *s);

/* stream_write.c */

int stream_write(sink *base, const sink_piece *piece);
int stream_write_file(sink *base, int fd, uint64_t offset, uint64_t length);

/** It will be flushed, or fed, at the end of the turn. */
void stream_mark_dirty(stream *s);

/** Sends until all is out or the socket is full. True when bytes went out. */
bool stream_send(stream *s);

/** Gives the `sent` event when it was asked for. */
void stream_tell_sent(stream *s);

/** Both of them. */
void stream_flush(stream *s);

/** What stays queued must not lie in memory that is used again (the receive buffer) or is far larger than it (the cork): such spans are copied, small
 * ones behind each other. 0 or -ENOMEM. */
int stream_settle(stream *s);

/** From now on the peer has NET_WRITE_TIMEOUT_MS to take something. */
void stream_wait_for_peer(stream *s);

/** Bytes that the system holds and the peer has not acknowledged. */
int stream_unacknowledged(const stream *s);

void stream_queue_free(stream *s);
void stream_file_free(stream *s);

#endif
