/**
 * Socket.IO 5 packets (socketio/socket.io-protocol), as they stand in Engine.IO messages: `<type>[<attachments>-][<namespace>,][<ack id>][JSON]`.
 *
 *     2["hey","Jude"]      21["hey"] with an ack       0/admin,{"token":"1"}      51-["pic",{"_placeholder":true,"num":0}] and a binary message
 *
 * What is accepted is what socket.io-parser 4 accepts, a type or an id of ASCII white space (0) and an event without a payload among it, but for
 *
 *  - JSON nested deeper than JSON_MAX_DEPTH, ids of 2^63 and more, and what is not UTF-8, event names with half a surrogate pair among it
 *  - an empty packet, white space beyond ASCII, numbers of attachments in other than decimal digits, and ids with white space between their digits
 *  - namespaces with control characters
 *  - placeholders whose number is not written in digits alone
 */
#ifndef WEFT_PROTO_SOCKETIO_H
#define WEFT_PROTO_SOCKETIO_H

#include "base/str.h"

typedef enum {
    SOCKETIO_CONNECT,
    SOCKETIO_DISCONNECT,
    SOCKETIO_EVENT,
    SOCKETIO_ACK,
    SOCKETIO_CONNECT_ERROR,
    SOCKETIO_BINARY_EVENT,
    SOCKETIO_BINARY_ACK,
} socketio_type;

enum { SOCKETIO_MAX_ATTACHMENTS = 10 };

/** Borrowed from the text that was read. */
typedef struct {
    socketio_type type;
    uint32_t n_attachments; /* of binary packets at least 1 */
    bool has_id;
    uint64_t id; /* of an acknowledgement */
    str nsp;     /* "/" when the packet names none */
    /* Of an event: decoded; of one that has a number for a name, its text; {NULL, 0} when it came without a payload: no listener has that name. */
    str name;
    /* Of events and acknowledgements: a JSON array without the name; "[]" (static: not to be written to) for none. Of the others: the JSON, {NULL, 0} for none. */
    str args;
} socketio_packet;

/**
 * Reads a packet, writing to the text: the name is decoded in place, and the comma behind it becomes the bracket that opens `args`. NULL, or what is wrong
 * (static, one word or two: "type", "attachments", "namespace", "id", "JSON", "payload", "event"). Placeholders are checked against n_attachments: one that is out of
 * range is "placeholder". On failure the text may have been written to.
 */
const char *socketio_read(char *text, size_t len, socketio_packet *ret);

/** True for what the reference's EventEmitter, or its client, keeps for itself: no event is read that has such a name, and a client that is sent one closes its
 * connection. */
bool socketio_name_reserved(str name);

/** What stands in front of the arguments. */
typedef struct {
    socketio_type type;
    uint32_t n_attachments; /* with any the type becomes that of a binary packet, with none that of a plain one */
    str nsp;
    bool has_id;
    uint64_t id;
    str name;      /* of an event; written as a JSON string. Acknowledgements have none */
    bool has_args; /* something follows the name */
} socketio_head;

/** Bytes of the head: up to and with the `[`, or `["name",`; without arguments all of the packet. */
size_t socketio_head_len(const socketio_head *head);

/** Writes it; the number of bytes. What follows are the arguments behind their own `[`:
 *
 *     at += socketio_head_put(at, &head);
 *     if (head.has_args) memcpy(at, args.at + 1, args.len - 1);
 */
size_t socketio_head_put(char *at, const socketio_head *head);

/** The most that a packet of the other types needs around its namespace and its JSON. */
enum { SOCKETIO_SMALL_BYTES = 8 };

/** Writes CONNECT, DISCONNECT or CONNECT_ERROR with JSON or {NULL, 0}; the number of bytes, at most nsp.len + json.len + SOCKETIO_SMALL_BYTES. */
size_t socketio_plain_put(char *at, socketio_type type, str nsp, str json);

/** True when an array of arguments, which json_check() has accepted, has none. */
bool socketio_no_args(str args);

/** Finds placeholders in JSON that json_check() has accepted: true when each is below n_attachments. The reading half does it by itself; programs that emit are
 * held to it by this. */
bool socketio_placeholders_fit(str json, uint32_t n_attachments);

/** The number of an argument that is a placeholder; -1 for any other value. */
int socketio_placeholder(str value);

#endif
