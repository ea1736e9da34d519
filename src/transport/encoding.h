/**
 * How a message is written for a kind of client, whatever carries it: the encodings of docs/topics.md and
 * docs/weft.v1.md. A carrier (a WebSocket, an endless answer, a poll) puts its framing around it.
 */
#ifndef WEFT_TRANSPORT_ENCODING_H
#define WEFT_TRANSPORT_ENCODING_H

#include "base/buf.h"
#include "hub/presence.h"
#include "proto/message.h"

typedef struct encoding encoding;

struct encoding {
    const char *type; /* Content-Type of a stream */
    bool events;      /* a stream of it is one of Server-Sent Events: it has comments, and fields of its own */
    str keep_alive;   /* what may be sent into silence, whole; empty where streams do not have it */
    size_t (*len)(const message_text *m);
    size_t (*put)(char *at, const message_text *m); /* the same number */
    /** Tells where a subscription begins, so that a client that is cut off before its first message does not come back without a cursor. NULL: it
     * cannot be told. */
    int (*begin)(buf *to, str cursor);
    /** Tells of a gap; it goes on after the cursor. Into a fresh buffer; 0 or -ENOMEM. NULL: it is told in another way
     * (polls). */
    int (*gap)(buf *to, str topic, str cursor);
};

extern const encoding encoding_sse;          /* Server-Sent Events */
extern const encoding encoding_line;         /* a JSON object and LF */
extern const encoding encoding_object;       /* a JSON object, for polls */
extern const encoding encoding_envelope;     /* a weft.v1 envelope */
extern const encoding encoding_envelope_sse; /* as an event */

/** A published message as an encoding is given it. `id` has room for CURSOR_BYTES and lives as long as the result is
 * used. */
message_text encoding_message(const topic *t, uint64_t offset, char *id);

/** What a carrier has around a message: `before` bytes of room, the message in the encoding, `behind` bytes of room. */
typedef struct {
    const encoding *encoding;
    wire format;
    size_t before, behind;
    void (*finish)(char *payload, size_t len); /* writes into the room on both sides; NULL: nothing to write */
} encoding_frame;

/** The shared image of a message. Built when it is not there yet, and kept for the next subscriber: the topic holds the
 * reference. NULL: no memory (nor is there any for 4 GiB, which no chunk's size could tell). */
chunk *encoding_image(topic *t, uint64_t offset, const encoding_frame *frame);

#endif
