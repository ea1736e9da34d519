/**
 * permessage-deflate on connections (RFC 7692): what one of them has agreed to and keeps, and what all those of a loop share.
 *
 * A connection that has nothing to remember between two messages owns no state of zlib's: compressors are shared by all that agreed to the same
 * parameters, and an inflater is lent for as long as a message is under way. What is kept for one connection counts against the budget of the process.
 */
#ifndef WEFT_TRANSPORT_WEBSOCKET_DEFLATE_H
#define WEFT_TRANSPORT_WEBSOCKET_DEFLATE_H

#include "base/utf8.h"
#include "hub/topic.h"
#include "proto/ws_compress.h"
#include "proto/ws_deflate.h"
#include "proto/ws_frame.h"
#include "proto/ws_inflate.h"

typedef struct {
    ws_deflate agreed;
    bool over_budget;      /* it was given less than it asked for */
    bool inflating;        /* bytes of a message have come */
    utf8_state utf8;       /* of the text being inflated */
    size_t reserved_bytes; /* of the budget */
    ws_compressor *own;    /* NULL: nothing has been sent by it yet, or it keeps no context */
    ws_inflater *inflater; /* its own, or lent for the message under way */
} websocket_deflate;

/** Answers an offer, as far as the route and the budget allow. NULL: no memory, and then nothing is agreed. */
websocket_deflate *websocket_deflate_new(hub *h, const weft_websocket_options *options, const ws_deflate_offer *offer);

/** NULL is fine. */
void websocket_deflate_free(hub *h, websocket_deflate *d);

/** Frees what the connections of a loop have shared; none is left. */
void websocket_deflate_done(hub *h);

/** How many messages a loop has compressed. */
uint64_t websocket_deflate_count(const hub *h);

/** A frame, and the chunk that it lies in. */
typedef struct {
    chunk *owner;
    str bytes;
} websocket_frame;

/** A frame of this connection's own, with a reference to its chunk. False: the message would not be smaller, or there is no memory; it goes as it is. */
bool websocket_deflate_frame(hub *h, websocket_deflate *d, ws_opcode opcode, str payload, websocket_frame *ret_frame);

/** The image of a topic's message that all share who agreed to the same parameters; the topic holds it. `format` is that of the payload. NULL: as
 * above. The connection must then be sent it. */
chunk *websocket_deflate_image(websocket_deflate *d, topic *t, uint64_t offset, wire format, ws_opcode opcode,
                               str payload);

/** An inflater for a message that begins or goes on. NULL: no memory. */
ws_inflater *websocket_deflate_inflater(hub *h, websocket_deflate *d);

/** The message has ended. */
void websocket_deflate_return(hub *h, websocket_deflate *d);

#endif
