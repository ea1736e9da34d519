/**
 * Engine.IO 4 packets (socketio/engine.io-protocol): as the text of a WebSocket frame, and joined in the payload of a poll.
 *
 *     WebSocket text     4hello          binary messages are binary frames, without a type
 *     poll's payload     4hello 1E 2 1E bAQIDBA==
 */
#ifndef WEFT_PROTO_ENGINEIO_H
#define WEFT_PROTO_ENGINEIO_H

#include "base/str.h"

typedef enum {
    ENGINEIO_OPEN,
    ENGINEIO_CLOSE,
    ENGINEIO_PING,
    ENGINEIO_PONG,
    ENGINEIO_MESSAGE,
    ENGINEIO_UPGRADE,
    ENGINEIO_NOOP,
} engineio_type;

enum { ENGINEIO_SEPARATOR = 0x1e };

typedef struct {
    engineio_type type;
    bool binary; /* of a message */
    str data;    /* borrowed from what was read */
} engineio_packet;

/** Reads the text of one frame. False: it is no packet. A message in base64 (`bAQIDBA==`), which clients send in text frames when they are told to keep to text,
 * is decoded in place, as leniently as Node decodes it: the text has to be writable. */
bool engineio_read(str text, engineio_packet *ret);

typedef enum {
    ENGINEIO_PACKET,
    ENGINEIO_END, /* all was taken */
    ENGINEIO_BAD, /* what comes next is no packet; nothing behind it is to be read */
} engineio_status;

/** A payload on its way through. Base64 is decoded in place. An empty payload is bad. */
typedef struct {
    char *at;
    size_t len;
    bool begun;
} engineio_payload;

engineio_status engineio_next(engineio_payload *payload, engineio_packet *ret);

/** Bytes of a message in a payload, without a separator: type or `b`, and the data, base64 when it is binary. */
size_t engineio_payload_len(bool binary, size_t data_len);

/** Writes it; the number of bytes. */
size_t engineio_payload_put(char *at, bool binary, str data);

/** What the open packet says. */
typedef struct {
    str sid;
    bool may_upgrade; /* to a WebSocket */
    uint32_t ping_interval_ms, ping_timeout_ms;
    size_t max_payload;
} engineio_handshake;

enum { ENGINEIO_HANDSHAKE_BYTES = 256 }; /* with a sid of at most 64 bytes without anything that JSON escapes */

/** Writes the open packet, `0{"sid":…}`; the number of bytes. */
size_t engineio_handshake_put(const engineio_handshake *handshake, char ret_text[ENGINEIO_HANDSHAKE_BYTES]);

#endif
