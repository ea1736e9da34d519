/**
 * Where a transport's bytes go and where they come from, whatever carries them: a TCP or Unix stream (also under TLS) after an HTTP/1 upgrade,
 * the chunked body of an HTTP/1 answer, or the DATA frames of one HTTP/2 stream. A transport sees only this.
 *
 * Downwards (sink_ops) nothing blocks and nothing calls back; what is written in a turn goes out together at its end. Upwards
 * (sink_events) the owner is told. A sink belongs to its owner until sink_end(), sink_abort() or the event `gone`; after any of these the owner
 * must forget it.
 */
#ifndef WEFT_NET_SINK_H
#define WEFT_NET_SINK_H

#include "base/chunk.h"
#include "base/str.h"

typedef struct sink sink;
typedef struct address_use address_use;

/** What one write takes: `head` is always copied. `body` is kept by a reference to `owner` when there is one; else it is copied, or, where it
 * lies in the buffer that this very sink is being read from, sent from where it lies. */
typedef struct {
    str head;
    str body;
    chunk *owner;
    bool in_chunk; /* body stands inside an HTTP/1 chunk of its own (proto/http1_chunk.h): such a sink takes it whole */
    bool room_in_front; /* the head.len bytes before body are the caller's and free: the head may be put there */
} sink_piece;

enum { SINK_APPEND_BYTES = 2048 };

typedef struct {
    int (*write)(sink *s, const sink_piece *piece); /* 0 or -ENOMEM (then nothing was taken and the caller aborts) */
    /** Room for so many bytes behind what is queued, SINK_APPEND_BYTES at most, which the caller fills at once: what is small costs least this way. NULL: no memory. */
    char *(*append)(sink *s, size_t len);
    /** The bytes of a file, behind what is queued; the descriptor is closed when they are out, or on failure. Nothing may be written before that. */
    int (*write_file)(sink *s, int fd, uint64_t offset, uint64_t length);
    void (*pause)(sink *s, bool paused); /* stop or go on reading; no data event while paused */
    void (*rebind)(sink *s);             /* events and owner have changed: hand over what waits, the end too */
    void (*notify)(sink *s);             /* one `sent` event, the next time that queued bytes have gone out */
    void (*end)(sink *s);                /* after what is queued: end of stream, then a clean close */
    void (*abort)(sink *s);              /* at once, queued bytes are dropped */
    size_t (*address)(sink *s, char *ret_text, size_t room); /* the client's, as weft_request_address() */
    bool (*secure)(const sink *s);                           /* over TLS */
    /** The subject of the client's certificate; its length without the NUL, 0 for none. Nothing is written when that is `room` or more. */
    size_t (*client_subject)(const sink *s, char *ret_text, size_t room);
} sink_ops;

typedef struct {
    /** Bytes came. Returns how many were consumed (these may have been changed); the rest is kept and comes again in front of what follows. With
     * something consumed and something left it is called again at once, unless the sink was paused. */
    size_t (*data)(void *owner, char *at, size_t len);
    /** Optional: where the next bytes should be put, and how many at most; NULL: anywhere. They come as data at that address. */
    char *(*room)(void *owner, size_t *ret_len);
    /** The other side will send nothing more. Told again after a rebind. */
    void (*eof)(void *owner);
    /** Asked for by notify. Must only mark and defer. */
    void (*sent)(void *owner);
    /** The sink is no more: -ECONNRESET, -ETIMEDOUT (nothing could be written for too long), … */
    void (*gone)(void *owner, int error);
} sink_events;

struct sink {
    const sink_ops *ops;
    const sink_events *events;
    void *owner;
    size_t queued;    /* bytes written and not yet taken by the system */
    address_use *use; /* whom it counts for (net/addresses.h); NULL: nobody */
};

static inline void sink_bind(sink *s, const sink_events *events, void *owner)
{
    s->events = events;
    s->owner = owner;
}

#endif
