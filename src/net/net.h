/**
 * What the streams of one loop share: the receive buffer, the cork, and the lists of streams that wait for something.
 */
#ifndef WEFT_NET_NET_H
#define WEFT_NET_NET_H

#include "base/chunk.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/log.h"
#include "loop/loop.h"
#include "net/addresses.h"
#include "net/tls_session.h"

typedef struct stream stream;
typedef struct write_queue write_queue;

enum {
    NET_RECEIVE_BYTES = 512 * 1024, /* one recv at most; measured: 512 KiB beats 64 and 256 at large messages */
    NET_CORK_BYTES = 64 * 1024,
    NET_COPY_BELOW_BYTES = 2048,  /* bodies smaller than this are copied rather than sent from where they lie */
    NET_TICK_MS = 1000,           /* how exact the two deadlines below are */
    NET_WRITE_TIMEOUT_MS = 30000, /* a peer that takes nothing for so long is gone, when nobody says another time */
    NET_HANDSHAKE_US = 4000,      /* of one turn, for TLS handshakes; then those that are left wait for the next */
    NET_LINGER_MS = 2000,         /* how long a closed connection waits for the peer's own end */
};

typedef struct {
    loop *loop;
    const logger *log;
    char *received;     /* the receive buffer */
    tls_buffers *tls;   /* NULL until there is a stream with TLS */
    stream *reading;    /* the stream whose data event is running */
    chunk *message;     /* the chunk that holds the message being delivered, if it is one */
    write_queue *spare; /* an empty one, for the next stream that writes; NULL for none */
    chunk *cork;        /* small writes of this turn, of all streams, one behind the other */
    stream **dirty;     /* streams to flush, to feed, or (closed) to free at the end of the turn; has room for all */
    uint32_t n_dirty, cap_dirty;
    uint32_t n_flushed;  /* of those, the ones in front that had their turn */
    uint32_t n_kept;     /* streams whose memory is not free yet */
    list_node stalled;   /* the socket took not all; longest first */
    list_node lingering; /* ended by us, waiting for the peer's end; oldest first */
    loop_task flush;
    timer tick;
    uint32_t write_timeout_ms;
    addresses *addresses;         /* whom connections come from; one for all loops of an application */
    addresses own_addresses;      /* that, unless it is another's */
    limits limits;                /* that clients have reached */
    uint64_t handshake_turn;      /* which turn it is, by loop->n_wakes */
    uint64_t handshake_us;        /* and the time that it gave to handshakes */
    size_t n_streams;             /* all that have a descriptor */
    uint64_t queued_bytes;        /* of all of them */
    uint64_t n_sends, n_receives; /* system calls, for tests and metrics */
} net;

/** 0 or -errno. The logger is borrowed. */
int net_init(net *n, loop *l, const logger *log);

/** From now on connections are counted with those of `first`, which outlives this one. Before there is a connection. */
void net_share_addresses(net *n, const net *first);

/** No stream may be left but lingering and dead ones, which are closed. */
void net_done(net *n);

/** Closes every lingering and stalled stream now. */
void net_cut_lingering(net *n);

#endif
