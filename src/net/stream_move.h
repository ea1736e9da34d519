/**
 * A stream that leaves its loop and goes on on another: what it consists of, packed so that nothing in it belongs to a loop.
 *
 * No byte is lost or comes twice: what was received and not consumed goes along and is handed to the new owner first, what was written and not sent goes
 * out first. A TLS session goes along as it stands, also in the middle of a record.
 */
#ifndef WEFT_NET_STREAM_MOVE_H
#define WEFT_NET_STREAM_MOVE_H

#include "net/stream.h"

typedef struct {
    int fd;
    addresses *addresses; /* that count it, and go on counting */
    address_use *use;
    tls_session *tls;  /* NULL for none */
    chunk *unread;     /* received, not consumed; NULL for none */
    chunk *queued;     /* written, not sent (nor encrypted); NULL for none */
    stream_file *file; /* NULL for none */
    bool is_unix;
    bool read_closed; /* the client sends nothing more */
} stream_parcel;

/** Packs a stream that is not being read just now, and that its owner has not ended; `front` is put in front of what is unread. The owner must forget it: no event
 * comes any more. 0; -ENOMEM or WEFT_E_CLOSED (it is being lost): nothing has changed. */
int stream_leave(stream *s, str front, stream_parcel *ret_parcel);

/** How many bytes travel. */
size_t stream_parcel_bytes(const stream_parcel *p);

/** A stream of what was packed, which is used up, on failure too. The caller binds and starts it in the same turn, at whose end it gets what is unread. NULL when there is
 * no memory: the connection is cut. */
stream *stream_arrive(net *n, stream_parcel *p);

/** Nobody takes it: the connection is cut. Any thread. */
void stream_parcel_done(stream_parcel *p);

#endif
