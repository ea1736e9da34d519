/**
 * Agreeing on permessage-deflate (RFC 7692): what stands in Sec-WebSocket-Extensions, for both roles. Text only; ws_compress.h and ws_inflate.h do what was
 * agreed on.
 *
 * Each field is read once from front to back. What does not follow the grammar of RFC 6455 §9.1 ends the field: nothing behind it is an offer.
 */
#ifndef WEFT_PROTO_WS_DEFLATE_H
#define WEFT_PROTO_WS_DEFLATE_H

#include "base/str.h"
#include <stdbool.h>

enum {
    WS_DEFLATE_MIN_BITS = 9, /* zlib cannot deflate with less */
    WS_DEFLATE_MAX_BITS = 15,
    WS_DEFLATE_FIELD_BYTES = 160, /* the longest value below */
};

/** What a client offers. */
typedef struct {
    bool server_no_context, client_no_context;
    uint8_t server_bits;    /* 8 to 15; 0: not said */
    uint8_t client_bits;    /* likewise */
    bool client_bits_taken; /* the answer may say client_max_window_bits */
} ws_deflate_offer;

/** What holds for a connection. Windows of 2 to the power of so many bytes: 8 to 15, of ours 9 to 15. */
typedef struct {
    bool server_no_context, client_no_context;
    uint8_t server_bits, client_bits;
} ws_deflate;

/** What a server may keep of a connection beyond one message. */
typedef struct {
    bool own_context;  /* of what it sends */
    bool peer_context; /* of what it receives */
} ws_deflate_room;

/**
 * The first offer in a field's value that a server can accept. False when there is none: no permessage-deflate, or each with a parameter that is unknown,
 * repeated, out of its range or with a value where none belongs (RFC 7692 §7.1), or that asks for a server window of 8 bits.
 */
bool ws_deflate_read_offer(str field, ws_deflate_offer *ret_offer);

/** A server's answer to an offer that ws_deflate_read_offer() gave: never more than was offered. */
ws_deflate ws_deflate_agree(const ws_deflate_offer *offer, const ws_deflate_room *room);

/** The answer's value, without a NUL; its length. */
size_t ws_deflate_put_answer(const ws_deflate_offer *offer, const ws_deflate *agreed,
                             char ret_value[WS_DEFLATE_FIELD_BYTES]);

/** A client's offer, likewise. */
size_t ws_deflate_put_offer(const ws_deflate_offer *offer, char ret_value[WS_DEFLATE_FIELD_BYTES]);

/** A client reads the answer to its one offer. False when it must fail the connection: the answer is another extension or several, is wrong in itself,
 * or leaves what was offered. With client_bits of 8, which zlib cannot deflate with, a client sends its messages uncompressed. */
bool ws_deflate_read_answer(str field, const ws_deflate_offer *offer, ws_deflate *ret_agreed);

#endif
