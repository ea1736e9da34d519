/**
 * Engine.IO 4: the transport below Socket.IO, by itself. Clients of npm's `engine.io-client` are peers whose connection may
 * change from polls to a WebSocket while they stay who they are.
 *
 * Included by <weft.h>.
 */
#include <weft.h> /* outside the guard: it includes this file in its turn */

#ifndef WEFT_ENGINEIO_H
#define WEFT_ENGINEIO_H

#ifdef __cplusplus
extern "C" {
#endif

/** A cookie that the answer to a handshake sets to the session's id. */
typedef struct {
    const char *name;       /* "io"; NULL: no cookie is set */
    const char *attributes; /* what follows it; NULL: "Path=/; HttpOnly; SameSite=Lax" */
} weft_engineio_cookie;

/** How clients may connect. The names are those of the options of npm's `engine.io`. */
typedef struct {
    uint32_t ping_interval_ms;     /* 25,000 */
    uint32_t ping_timeout_ms;      /* 20,000 more without a pong: gone */
    uint32_t upgrade_timeout_ms;   /* 10,000 from the probe to the upgrade */
    size_t max_http_buffer_size;   /* 1,000,000: of a message, and of a POST; 413, or 1009 on a WebSocket */
    size_t max_queued_bytes;       /* 1 MiB */
    const char *const *transports; /* NULL-terminated: "polling", "websocket"; NULL: both */
    int no_upgrades;               /* nonzero: who begins with polls stays with them */
    int deflate;                   /* nonzero: WebSockets are compressed, as in weft_websocket_options */
    size_t deflate_min_bytes;      /* smaller messages go as they are; 1024 */
    weft_engineio_cookie cookie;
    const char *const
        *origins;       /* NULL-terminated; pages of other origins that may come (CORS), as in weft_route_options */
    int no_credentials; /* nonzero: pages of other origins are let in without their cookies */
    uint32_t accept_timeout_ms;                 /* 10,000 for weft_accept() or weft_reject(); then 503 */
    int keep_request;                           /* nonzero: weft_peer_request() answers for as long as the peer lives */
    size_t max_messages_per_s, max_bytes_per_s; /* of one peer, as in weft_websocket_options */
} weft_engineio_settings;

typedef struct {
    void *user;        /* weft_user(peer) */
    size_t peer_bytes; /* zeroed storage for each peer: weft_data(peer); 0 */
    /* A handshake: weft_accept() or weft_reject() (the client is told 403 and code 4 with the text, "Forbidden" without one), now or later; NULL accepts */
    void (*request)(weft_exchange exchange, const weft_request *request, void *user);
    void (*open)(weft_peer peer);
    void (*message)(weft_peer peer, const weft_message *message); /* TEXT or BINARY */
    void (*drain)(weft_peer peer);
    void (*close)(weft_peer peer, int code, weft_str reason); /* exactly once; the reason is one of those below */
    weft_engineio_settings engine;
} weft_engineio_options;

/* Why a client is gone, as `engine.io` and `socket.io` say it: "transport close", "transport error", "ping timeout", "parse error", "forced close" (by this
 * program), "server shutting down"; of Socket.IO also "client namespace disconnect", "server namespace disconnect". The code is 1000 for what one side
 * asked for, 1001 when the server stops, 1002 for a parse error, 1006 for the rest. */

/** Engine.IO 4 on a path that ends in a slash ("/engine.io/"): npm's `engine.io-client` connects. weft_send() of TEXT and JSON is a text message. */
static inline int weft_engineio(weft *app, const char *path, const weft_engineio_options *options);

/** The request that the peer is here by. In `message`, of an Engine.IO peer on polls: the POST that brought it. Else the handshake: in the callbacks up to
 * and with `open` (of Socket.IO: of its first namespace), later only with keep_request. NULL otherwise. Borrowed until the callback returns. On its loop. */
WEFT_API const weft_request *weft_peer_request(weft_peer peer);

/** The n-th header of a request (from 0), in the order they came; 0 past the last. */
WEFT_API int weft_request_header_at(const weft_request *request, size_t n, weft_str *ret_name, weft_str *ret_value);

WEFT_API int weft_engineio_sized(weft *app, const char *path, const weft_engineio_options *options, size_t size);

static inline int weft_engineio(weft *app, const char *path, const weft_engineio_options *options)
{
    return weft_engineio_sized(app, path, options, sizeof *options);
}

#ifdef __cplusplus
}
#endif

#endif
