/**
 * A stream as its files see it: stream.c lives and reads, stream_write.c writes, stream_tls.c does both with TLS in between, net.c does what streams
 * have in common, stream_move.c takes one from loop to loop.
 */
#ifndef WEFT_NET_STREAM_PRIVATE_H
#define WEFT_NET_STREAM_PRIVATE_H

#include "net/stream.h"

enum { STREAM_FILE_TURN_BYTES = 1 << 20 }; /* of a file, to one stream in one turn */

static inline stream *stream_of(sink *s)
{
    return CONTAINER(s, stream, base);
}

/* stream.c */

static inline tls_session *stream_tls(const stream *s)
{
    return s->more ? s->more->tls : NULL;
}

static inline stream_file *stream_file_of(const stream *s)
{
    return s->more ? s->more->file : NULL;
}

static inline chunk *stream_unread(const stream *s)
{
    return s->more ? s->more->unread : NULL;
}

/** What few have, made when there is none. NULL: no memory. */
stream_more *stream_more_of(stream *s);

/** Gives it back if there is nothing left in it. */
void stream_tidy(stream *s);

/** Waits in that list from now on, behind all others, and no longer in another. 0 or -ENOMEM. */
int stream_wait_in(stream *s, list_node *list);
void stream_stop_waiting(stream *s);

/** Frees what was closed. */
void stream_free(stream *s);

/** Leaves the loop, with the descriptor as it is; the memory goes at the end of the turn, as the stack may still use it. */
void stream_unhook(stream *s);

/** The same, and closes the descriptor. */
void stream_close(stream *s);

/** The connection is lost: tells the owner, unless it has let go. */
void stream_fail(stream *s, int error);

/** Asks epoll for what the stream waits for now. 0 or -errno. */
int stream_watch(stream *s);

/** Hands over what was kept while the stream was paused, or for another owner. */
void stream_feed_unread(stream *s);

void stream_unread_free(stream *s);

/** Where the next bytes go: where the owner wants them, or behind what is unread in the loop's buffer. */
char *stream_receive_room(stream *s, size_t *ret_kept, size_t *ret_room);

/** Hands bytes to the owner for as long as it makes progress, keeps the rest, and sends the answers. */
void stream_feed(stream *s, char *at, size_t len);

/** The peer sends nothing more. */
void stream_eof(stream *s);

/* stream_write.c */

/* What waits in all streams together is known at any time, for metrics. */
static inline void stream_count_queued(stream *s, size_t bytes)
{
    s->base.queued += bytes;
    s->net->queued_bytes += bytes;
}

static inline void stream_count_gone(stream *s, size_t bytes)
{
    s->base.queued -= bytes;
    s->net->queued_bytes -= bytes;
}

int stream_write(sink *base, const sink_piece *piece);
char *stream_append(sink *base, size_t len);
int stream_write_file(sink *base, int fd, uint64_t offset, uint64_t length);

/** It will be flushed, or fed, at the end of the turn. */
void stream_mark_dirty(stream *s);

/** The same for one that is closed, to be freed then. */
void stream_join_dirty(stream *s);

/** Sends until all is out or the socket is full. True when bytes went out. */
bool stream_send(stream *s);

/** Gives the `sent` event when it was asked for. */
void stream_tell_sent(stream *s);

/** Both of them. */
void stream_flush(stream *s);

/** What stays queued must not lie in memory that is used again (the receive buffer) or is far larger than it (the cork): such spans are copied, small
 * ones behind each other. 0 or -ENOMEM. */
int stream_settle(stream *s);

/** From now on the peer has net->write_timeout_ms to take something. 0 or -ENOMEM. */
int stream_wait_for_peer(stream *s);

/** Bytes that the system holds and the peer has not acknowledged. */
int stream_unacknowledged(const stream *s);

/** Forgets what was sent. */
void stream_queue_advance(stream *s, size_t sent);

/** The socket is full: keeps what is left and waits until it can be written. 0 or -ENOMEM. */
int stream_stall(stream *s, bool progress);

/** Everything is out and nothing more will be written: FIN, then wait for the peer's, so that no RST can eat what it has yet to read. */
void stream_linger(stream *s);

static inline bool stream_queue_empty(const stream *s)
{
    return !s->queue || s->queue->first == s->queue->n;
}

void stream_queue_free(stream *s);

/** Nothing is queued any more, as far as anybody counts: it is closed. */
void stream_forget_queued(stream *s);
void stream_file_free(stream *s);

/* stream_tls.c */

/** One recv, what it brings, decrypted, and the end. True when there is probably more. */
bool stream_tls_receive(stream *s);

/** Encrypts and sends until all is out or the socket is full. True when bytes of the program went out. */
bool stream_tls_send(stream *s);

/** No ciphertext waits, as of what TLS itself has to say, which counts as queued for nobody. */
bool stream_tls_silent(const stream *s);

void stream_tls_free(stream *s);

#endif
