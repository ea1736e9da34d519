/**
 * The WebSocket opening handshake (RFC 6455 §4): what a request head must have, and what is answered.
 */
#ifndef WEFT_PROTO_WS_HANDSHAKE_H
#define WEFT_PROTO_WS_HANDSHAKE_H

#include "base/buf.h"
#include "proto/http1.h"

enum {
    WS_KEY_LEN = 24,
    WS_ACCEPT_LEN = 28,
    WS_MAX_SUBPROTOCOLS = 64, /* that a client may offer: they are compared with each other */
};

typedef struct {
    int status;         /* 0: a valid handshake; else 400, 405 or 426 to refuse it with */
    const char *reason; /* static sentence when refused */
    str key;            /* as sent */
    str subprotocols;   /* the first Sec-WebSocket-Protocol field's value; {NULL, 0} for none */
    str origin;         /* {NULL, 0} for none */
    str host;           /* of the target if it names one, else the Host field (RFC 9112 §3.2.2) */
} ws_handshake;

/** True when the head asks for a WebSocket: HTTP/1.1, Connection names upgrade and Upgrade names websocket. */
bool ws_handshake_wanted(const http1_head *head, const char *at);

/**
 * Reads a head that wants a WebSocket. Refused: a method other than GET (405), a body (400; Content-Length: 0 is none), a
 * missing, repeated or malformed version (400), another version (426), a missing, repeated or malformed Sec-WebSocket-Key (400:
 * it must decode to 16 bytes, whatever the four bits that are left over), subprotocols that are no list of tokens, are more than
 * WS_MAX_SUBPROTOCOLS or name one twice, over all fields (400). When refused, all but status and reason is zero. The views
 * point into the head's bytes.
 */
void ws_handshake_read(const http1_head *head, const char *at, ws_handshake *ret_handshake);

/** Makes a digest for nobody: OpenSSL sets itself up for the first one (2 MB), which is better done before clients wait for it. Any thread. */
void ws_handshake_prepare(void);

/** base64(SHA-1(key + GUID)), without a NUL. 0, or WEFT_E_INVALID when the key is not WS_KEY_LEN long or the digest fails. Any
 * thread. */
int ws_accept_value(str key, char ret_value[WS_ACCEPT_LEN]);

/** True when the client offers this subprotocol (case-sensitive) in any Sec-WebSocket-Protocol field. */
bool ws_subprotocol_offered(const http1_head *head, const char *at, str name);

/** Appends the 101 answer up to and without the empty line, so that more fields may follow. An empty subprotocol is left out. 0,
 * -ENOMEM, or WEFT_E_INVALID as above or when the subprotocol is no token; then nothing is appended. */
int ws_put_accepted(buf *out, str key, str subprotocol);

/**
 * True when the request may come from this page: there is no Origin (not a browser); or allowed is NULL and the origin is http(s)
 * with the host and port of Host (default ports of the origin's scheme filled in); or allowed (NULL-terminated) names the
 * origin or "*". Schemes and hosts without case; an allowed origin may have `*.` in front of its host for any subdomain (the
 * host itself is none). "null" is an origin like any other.
 */
bool ws_origin_allowed(str origin, str host, const char *const *allowed);

#endif
