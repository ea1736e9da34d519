/**
 * Weft: realtime for the web. One application serves routes; its peers are clients on any transport; a message published to a
 * topic reaches every subscribed peer once and in order.
 *
 *  - Configure (routes, listeners, topic options) before weft_run(); a mistake sticks to the application and comes out of
 *    weft_run() as a result and of weft_error() as a sentence.
 *  - Handles (weft_peer, weft_exchange, weft_timer) are checked values: a call on one that is gone answers WEFT_E_CLOSED and
 *    can never crash.
 *  - Option structs are zero-initialisable; zero means the default that stands beside the field. They are copied when
 *    registered, so they may be `static const` or temporary.
 *  - "On the loop" means on the thread that runs the application, or that stepped it last. With several loops
 *    (weft_options.loops) each has a thread, and a peer, an exchange or a timer belongs to one of them.
 *  - Callbacks run on that thread, never on the stack of a weft_ call. Those of one peer never overlap and
 *    come as: open, message*, close. With several loops callbacks of different peers run at the same time: what they share
 *    is the program's to guard.
 *  - Borrowed bytes (weft_message, weft_request, reasons) are valid until the callback returns.
 */
#ifndef WEFT_H
#define WEFT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define WEFT_API __attribute__((visibility("default")))
#else
#define WEFT_API
#endif

#define WEFT_VERSION "0.1.0"

typedef struct weft weft; /* one application: routes, topics, loops */

/* clang-format off */
typedef struct { uint64_t id; } weft_peer;      /* one client on any transport; {0} is nobody */
typedef struct { uint64_t id; } weft_exchange;  /* one HTTP request that waits for its answer */
typedef struct { uint64_t id; } weft_timer;     /* one timer; {0} is none */
/* clang-format on */

/** What was asked. Borrowed: gone when the callback returns. */
typedef struct weft_request weft_request;

/** Borrowed bytes; need not end in NUL. */
typedef struct {
    const char *at;
    size_t len;
} weft_str;

/* ------------------------------------------------------------------------------------------------------------- results
 * 0 or more is good, negative is an error: -errno above -4096, WEFT_E_* below. Outputs are untouched on failure. */

enum {
    WEFT_QUEUED = 1,     /* taken whole; the peer's queue is now at or over its limit: wait for `drain` */
    WEFT_E_FULL = -5000, /* not taken: the queue (or the loop's inbox) was at its limit before the call, or the peer has
                                   yet to be sent what was published to it before */
    WEFT_E_CLOSED = -5001,      /* the peer, exchange or application is gone */
    WEFT_E_THREAD = -5002,      /* this call belongs on the peer's loop */
    WEFT_E_UTF8 = -5003,        /* TEXT that is not UTF-8 */
    WEFT_E_JSON = -5004,        /* JSON that is not one valid value, or nests deeper than 64 */
    WEFT_E_TOO_LARGE = -5005,   /* over a limit that the call's description names */
    WEFT_E_INVALID = -5006,     /* an argument that can never be right, or a call at the wrong time */
    WEFT_E_UNSUPPORTED = -5007, /* this transport cannot do that */
};

/** The meaning of a result, in words, for WEFT_E_* and -errno alike. Never NULL; static. Any thread. */
WEFT_API const char *weft_strerror(int result);

/* ------------------------------------------------------------------------------------------------------------ messages */

typedef enum {
    WEFT_TEXT = 1, /* UTF-8 */
    WEFT_JSON,     /* one JSON value in UTF-8 (RFC 8259) */
    WEFT_BINARY,   /* any bytes */
} weft_kind;

typedef struct {
    weft_kind kind;
    weft_str data;
    weft_str event;  /* optional name */
    weft_str topic;  /* set on what a topic delivers */
    weft_str cursor; /* likewise */
} weft_message;

/* --------------------------------------------------------------------------------------------------------- application */

typedef enum {
    WEFT_LOG_ERROR = 1,
    WEFT_LOG_WARNING,
    WEFT_LOG_INFO,
    WEFT_LOG_DEBUG,
} weft_log_level;

/** One line of log, without a newline; `line` is borrowed. May come from any thread of the application. */
typedef void (*weft_log_fn)(weft_log_level level, const char *line, void *user);

typedef struct {
    void *user;                /* weft_app_user() */
    weft_log_fn log;           /* NULL: the library says nothing */
    void *log_user;            /* handed to log */
    uint32_t drain_timeout_ms; /* how long weft_stop() waits for peers to leave; 5000 */
    size_t max_topics;         /* that exist at a time; 100,000 */
    size_t max_subscriptions;  /* of one peer; 1000, at most 65,535 */
    size_t max_sessions;       /* of clients without a WebSocket: by polls, and of weft.v1 by SSE; 100,000; then 503 */

    /* Who may connect. Addresses of loopback and Unix sockets have no limits of their own. */
    size_t max_address_connections;    /* of one address (an IPv6 /64); 1024; more are answered with 503 */
    size_t max_address_connects_per_s; /* likewise, on average; bursts of ten times that; 256 */
    /* NULL-terminated addresses and networks ("10.0.0.0/8", "::1", "unix") whose Forwarded or X-Forwarded-For tells who the client is, and whose
     * X-Forwarded-Proto tells how it came; NULL: nobody's. The limits then hold for whom they speak. */
    const char *const *trusted_proxies;
    uint32_t head_timeout_ms;    /* for a whole request head; 10,000; then 408 */
    uint32_t idle_timeout_ms;    /* between two requests; 60,000 */
    uint32_t write_timeout_ms;   /* a client that takes nothing for so long is gone; 30,000 */
    size_t min_body_bytes_per_s; /* averaged over 10 s; 1024; then 408 */
    size_t deflate_budget_bytes; /* of compressors and decompressors with a context of their own; 64 MiB */
    unsigned loops;              /* that serve, each on a thread of its own; 1, at most 64 */
} weft_options;

/** A new application; NULL when there is no memory. Options may be NULL. Every call below takes a NULL application. */
static inline weft *weft_new(const weft_options *options);

/** Ends and frees the application and all its peers (each `close` callback runs first). Refused (WEFT_E_INVALID) inside a
 * callback and while weft_run() runs. NULL is fine. */
WEFT_API int weft_free(weft *app);

/** A certificate chain (the server's own first) and its private key, PEM files. */
typedef struct {
    const char *certificate, *key;
} weft_certificate;

typedef enum {
    WEFT_CLIENT_CERTIFICATE_OFF = 0,
    WEFT_CLIENT_CERTIFICATE_OPTIONAL,
    WEFT_CLIENT_CERTIFICATE_REQUIRED,
} weft_client_certificate;

typedef struct {
    int backlog;    /* connections that the kernel holds for us; 4096 */
    int unix_mode;  /* permissions of a Unix socket's file, as 0660; 0 leaves the umask's */
    int reuse_port; /* nonzero: SO_REUSEPORT, so that several processes can share the address */
    /* NULL-terminated: names that a loopback listener serves besides localhost, 127.0.0.1 and [::1], so that no page can reach it under a name
     * of its own (421 else); "*": any; NULL: none. Other listeners serve every name. */
    const char *const *hosts;

    /* For https://. The files are read again by weft_reload_tls(). */
    const weft_certificate *certificates; /* the first is for names that no other has; an array of n_certificates */
    size_t n_certificates;
    const char *client_ca;                      /* PEM file: who signs clients' certificates; NULL: the system's */
    weft_client_certificate client_certificate; /* whether clients are asked for one */
    const char *ciphers; /* TLS 1.2, as OpenSSL names them; NULL: those of today with forward secrecy */
    int tls_1_3_only;
} weft_listen_options;

/** Reads the certificates of all listeners again: 0, or what is wrong with one of them (weft_error() is untouched; a line is logged), and then nothing has
 * changed. Live connections stay as they are. Any thread; in weft_run_until_signal() SIGHUP does it too, where
 * there is an https:// listener. */
WEFT_API int weft_reload_tls(weft *app);

/** Listens on `http://HOST:PORT` or `https://HOST:PORT` (a name, IPv4, or IPv6 in brackets; port 0: the kernel picks) or `unix:PATH`. The socket is
 * bound at once. Options may be NULL.
 * Errors: WEFT_E_INVALID for an address that cannot be read, -EADDRINUSE and the like from the system; both stick. */
static inline int weft_listen(weft *app, const char *url, const weft_listen_options *options);

/** The address of the n-th listening socket (from 0; a name may have several addresses) as a URL with its real port; NULL past the last. Lives
 * as long as the application. */
WEFT_API const char *weft_listening(const weft *app, size_t n);

/** Runs until weft_stop(), with threads of its own for all loops but one. Takes no signal. Returns 0, or the first configuration error. */
WEFT_API int weft_run(weft *app);

/** weft_run(), and while it runs SIGTERM and SIGINT are weft_stop() (a second one ends at once). */
WEFT_API int weft_run_until_signal(weft *app);

/** Stops: listeners close, requests under way are answered, peers are told (1001), what is queued and what a lagging subscription has yet to get is sent,
 * for at most drain_timeout_ms. More than a hundred clients are told one after the other over the first half of that time, so that they do not all come back
 * in the same instant. A second call ends at once. Any thread, any signal handler. */
WEFT_API void weft_stop(weft *app);

/** For use inside somebody else's loop: a descriptor that is readable when weft_step() has work. Configuration errors as
 * from weft_run(); several loops are one. */
WEFT_API int weft_fd(weft *app);

/** One turn of the loop; waits at most timeout_ms (-1: until there is work) first. 1: go on; 0: stopped; negative: error,
 * WEFT_E_INVALID inside a callback. */
WEFT_API int weft_step(weft *app, int timeout_ms);

/** The first configuration error, as a sentence that names the setting; NULL when there is none. */
WEFT_API const char *weft_error(const weft *app);

WEFT_API void *weft_app_user(const weft *app);

/** Runs fn(app, user) on the loop, in a later turn; with several loops on the thread of weft_run(). Any thread. */
WEFT_API int weft_post(weft *app, void (*fn)(weft *app, void *user), void *user);

/** A listener for operators, on a loopback address or a Unix socket unless its options say `"*"` among hosts: /health/live (200 while the loop turns),
 * /health/ready (200, 503 from weft_stop() on) and /metrics (Prometheus text, docs/server.md), and nothing else; these are on no other listener. It answers
 * until the last connection of the others has gone. Errors as from weft_listen(). */
static inline int weft_admin(weft *app, const char *url, const weft_listen_options *options);

/** As weft_listening(), of the listeners for operators, which that does not name. */
WEFT_API const char *weft_admin_listening(const weft *app, size_t n);

/* ------------------------------------------------------------------------------------------------------------ requests
 * All borrowed from the request; an absent thing is {NULL, 0}. */

WEFT_API weft_str weft_request_method(const weft_request *request);                  /* as sent: `GET` */
WEFT_API weft_str weft_request_path(const weft_request *request);                    /* percent-decoded: `/chat` */
WEFT_API weft_str weft_request_query(const weft_request *request);                   /* as sent, without the `?` */
WEFT_API weft_str weft_request_param(const weft_request *request, const char *name); /* `:name` of the route's path */
WEFT_API weft_str weft_request_header(const weft_request *request,
                                      const char *name); /* the first of that name, any case */
WEFT_API weft_str weft_request_cookie(const weft_request *request, const char *name);
WEFT_API weft_str weft_request_address(const weft_request *request); /* `127.0.0.1:5000`, `[::1]:5000`, `unix` */
WEFT_API int weft_request_secure(const weft_request *request);       /* nonzero: over TLS, here or at a trusted proxy */
WEFT_API weft_str
weft_request_client_subject(const weft_request *request); /* of its certificate, RFC 2253; when it gave a good one */
WEFT_API weft_str weft_request_body(const weft_request *request); /* whole; not of streamed bodies */

/** The first value of that name in the query, or in a form body (application/x-www-form-urlencoded), decoded. */
WEFT_API weft_str weft_request_query_value(const weft_request *request, const char *name);
WEFT_API weft_str weft_request_form_value(const weft_request *request, const char *name);
WEFT_API weft_str weft_request_subprotocols(const weft_request *request); /* the first field of them */

/* -------------------------------------------------------------------------------------------------------------- routes
 * A path is literal (`/chat`), has parameters (`/rooms/:room`, one segment each), or ends in a wildcard (`/static/` + `*`).
 * Literal beats parameter beats wildcard, segment by segment. With a port in front (`:8080/chat`) the route exists only on listeners of that port. */

typedef void (*weft_http_fn)(weft_exchange exchange, const weft_request *request, void *user);

/** Calls fn for GET and HEAD on the path; it answers now or later. */
WEFT_API int weft_get(weft *app, const char *path, weft_http_fn fn, void *user);

typedef struct {
    void *user;
    weft_http_fn request; /* answers, now or later; with the whole body, or before it when it is streamed */
    /* The body as it comes, instead of whole; after its last piece once with {NULL, 0}. */
    void (*body)(weft_exchange exchange, weft_str piece, void *user);
    void (*drain)(weft_exchange exchange,
                  void *user); /* weft_answer_write() may go on: the queue has fallen to half its limit */
    void (*gone)(weft_exchange exchange, void *user); /* the client has gone before it was answered whole */
    size_t max_body_bytes;                            /* 1 MiB; a larger one is answered with 413 */
    const char *const
        *origins; /* NULL-terminated; pages of other origins that may ask (CORS): NULL: none; "*": any, without
                                   credentials; a host may begin with "*." for its subdomains */
} weft_route_options;

/** Serves one method, or "*" for all, on a path. HEAD is served by GET's route, OPTIONS by Weft where no route does. A method that no route of the
 * path serves gets 405. Requests that write (all methods but GET, HEAD and OPTIONS) from a page of another origin, unless allowed, get 403. */
static inline int weft_route(weft *app, const char *method, const char *path, const weft_route_options *options);

typedef struct {
    void *user;        /* weft_user(peer) */
    size_t peer_bytes; /* zeroed storage for each peer: weft_data(peer); 0 */
    /* weft_accept() or weft_reject(), now or later; NULL accepts */
    void (*request)(weft_exchange exchange, const weft_request *request, void *user);
    void (*open)(weft_peer peer);
    void (*message)(weft_peer peer, const weft_message *message);
    /* after WEFT_QUEUED or WEFT_E_FULL, during which the peer is not read from: its queue has fallen to half its limit */
    void (*drain)(weft_peer peer);
    /* answers to weft_ping(); the time is that since the latest one, 0 for a pong that nobody asked for */
    void (*pong)(weft_peer peer, weft_str payload, uint32_t round_trip_us);
    void (*close)(weft_peer peer, int code, weft_str reason); /* exactly once; 1006 when no close frame came */
    const char *const *subprotocols; /* NULL-terminated, in order of preference; the first that the client offers */
    const char *const *origins;      /* NULL-terminated; NULL: the page's own origin; "*": any */
    size_t max_message_bytes;        /* 1 MiB; a larger message fails the connection with 1009 */
    size_t max_queued_bytes;         /* 1 MiB */
    uint32_t ping_interval_ms;       /* 25,000 without a byte from the peer; WEFT_NEVER: no pings */
    uint32_t ping_timeout_ms;        /* 20,000 more without one: gone (1006); WEFT_NEVER: pinged, never dropped */
    uint32_t close_timeout_ms;       /* 5,000 for the peer's close frame */
    uint32_t accept_timeout_ms;      /* 10,000 for weft_accept() or weft_reject(); then 503 */

    int deflate; /* nonzero: permessage-deflate (RFC 7692) for clients that offer it; a build without zlib has none */
    size_t deflate_min_bytes; /* smaller messages go as they are; 64 */
    int deflate_context; /* nonzero: a compressor of its own for each client that wants one, as long as deflate_budget_bytes lasts */
    size_t
        max_messages_per_s; /* of one peer, on average; bursts of ten times that; then it is not read from until it has
                                    waited; 0: no limit */
    size_t max_bytes_per_s; /* likewise, of payload */
} weft_websocket_options;

#define WEFT_NEVER UINT32_MAX

/** WebSocket (RFC 6455) on a path. Plain GET routes may share it. */
static inline int weft_websocket(weft *app, const char *path, const weft_websocket_options *options);

typedef struct {
    void *user;        /* weft_user(peer) */
    size_t peer_bytes; /* zeroed storage for each peer: weft_data(peer); 0 */
    /* weft_accept() (without a subprotocol) or weft_reject(), now or later; NULL accepts. A rejection with 204 tells an EventSource not
     * to come again. */
    void (*request)(weft_exchange exchange, const weft_request *request, void *user);
    void (*open)(weft_peer peer); /* weft_since() tells what the client has already */
    void (*drain)(weft_peer peer);
    void (*close)(weft_peer peer, int code, weft_str reason); /* exactly once; 1006 when the client went */
    const char *const
        *origins; /* NULL-terminated; pages of other origins that may listen (CORS), as in weft_route_options */
    size_t max_queued_bytes; /* 1 MiB */
    uint32_t keep_alive_ms;  /* 15,000 without a byte sent: a comment (SSE) or an empty line; WEFT_NEVER: none */
    uint32_t
        retry_ms; /* SSE: clients come back after once to twice this, each told its own time; 2,000; WEFT_NEVER: not told */
    uint32_t accept_timeout_ms; /* 10,000 for weft_accept() or weft_reject(); then 503 */
} weft_sse_options;
typedef weft_sse_options weft_stream_options;

/** Server-Sent Events (WHATWG HTML §9.2) for GET on a path: each client is a peer that is only sent to. TEXT and JSON are the event's data (line
 * ends of any kind arrive as LF), BINARY its base64 with the event name "binary" unless the message has its own. What a topic delivers has its
 * cursor as `id`, so that a client of one topic comes back with it: weft_subscribe(peer, topic, weft_since(peer)). */
static inline int weft_sse(weft *app, const char *path, const weft_sse_options *options);

/** HTTP streaming for GET on a path: an answer that does not end, one JSON object a line (application/x-ndjson):
 * {"id":cursor,"event":name,"type":"text"|"json"|"binary","data":…}, without what a message has not. */
static inline int weft_stream(weft *app, const char *path, const weft_stream_options *options);

/** What somebody wants to do with a topic. Borrowed. */
typedef struct {
    weft_str topic;
    weft_peer peer;              /* {0} for a request that is no peer: a poll, a POST */
    const weft_request *request; /* NULL when a connected peer asks */
    int publish;                 /* nonzero: write, else read */
} weft_access;

typedef struct {
    void *user;        /* weft_user(peer) */
    size_t peer_bytes; /* zeroed storage for each peer: weft_data(peer); 0 */
    void (*open)(weft_peer peer);
    void (*close)(weft_peer peer, int code, weft_str reason); /* exactly once; 1006 when the client went */
    /* nonzero: allowed, as far as the two lists below allow it; NULL: they alone decide. Must not answer the request. */
    int (*allow)(const weft_access *access, void *user);
    const char *topic;            /* the topic of a path that names none */
    const char *const *subscribe; /* NULL-terminated patterns of topics that clients may read; NULL: all */
    const char *const *publish;   /* likewise, that they may write; NULL: none */
    const char
        *publish_key; /* whoever says `Authorization: Bearer KEY` may read and write all, and list; NULL: nobody */
    const char *const *origins; /* NULL-terminated; pages of other origins that may come, as in weft_route_options */
    size_t max_message_bytes;   /* 1 MiB; 413, or 1009 on WebSocket */
    size_t max_queued_bytes;    /* 1 MiB */
    uint32_t max_wait_ms;       /* 60,000; a long poll hangs no longer than this, whatever it asks for */
    uint32_t keep_alive_ms;     /* 15,000 without a byte on a stream; WEFT_NEVER: none */
    uint32_t retry_ms;          /* as in weft_sse_options; 2,000 */
    uint32_t ping_interval_ms, ping_timeout_ms; /* as in weft_websocket_options */
    int deflate;                                /* nonzero: WebSockets are compressed, as there */
    /* Likewise; a POST to a session is answered with 429 meanwhile. Messages posted without a session are not counted. */
    size_t max_messages_per_s, max_bytes_per_s;
} weft_topics_options;

/** A topic as a resource, on a path that names it (`/topics/:topic`, or `/topics/` + `*` for names with slashes) or whose options do. GET speaks
 * what the client asks for: WebSocket, `text/event-stream`, `application/x-ndjson`, else a poll (`?since=CURSOR`, long with `&wait=SECONDS`).
 * POST publishes the body. The path above a topic that is named by its last part (`/topics`) takes batches by POST, and tells
 * whoever has the key the topics by GET. docs/topics.md describes each. */
static inline int weft_topics(weft *app, const char *path, const weft_topics_options *options);

/** Many topics on one connection, for weft.js: the protocol weft.v1 over WebSocket, SSE with POST, or long polls with POST. The browser module itself
 * is served on the path with `.js` behind it. docs/weft.v1.md describes it. `topic` of the options is not used. */
static inline int weft_protocol(weft *app, const char *path, const weft_topics_options *options);

typedef struct {
    const char *index;         /* what a directory's own path shows; "index.html" */
    const char *cache_control; /* "no-cache": kept, and asked for again each time, which costs a 304; "": none */
} weft_files_options;

/** Serves the files below a directory, for GET and HEAD, on every path below `path` ("/", "/assets") that no more specific route serves. With
 * validators, ranges, and NAME.br or NAME.gz in place of NAME where it is there, not older, and wanted. Never: a name that begins with a dot, what
 * lies below one or outside the directory, what is not a regular file (404); what may not be read (403). Options may be NULL.
 * Errors: -ENOENT and the like for a directory that cannot be opened, WEFT_E_INVALID; both stick. */
static inline int weft_files(weft *app, const char *path, const char *directory, const weft_files_options *options);

/* ----------------------------------------------------------------------------------------------------------- exchanges
 * Any thread, unless said otherwise. WEFT_E_CLOSED when the client is gone or the exchange has been answered. */

/** Says yes to a request for a WebSocket (or an SSE or HTTP stream, which have no subprotocol), with a subprotocol that the client offered (WEFT_E_INVALID else) or NULL for the route's own
 * choice. */
WEFT_API int weft_accept(weft_exchange exchange, const char *subprotocol);

/** The same without compression, whatever the route allows: for a client whose messages mix secrets with what others choose (their size would tell of the
 * secret). */
WEFT_API int weft_accept_plain(weft_exchange exchange, const char *subprotocol);

/** Says no: 400 to 599 (204 to an EventSource that shall not come again), with a plain text (NULL: the status's standard phrase). The connection is closed after it. */
WEFT_API int weft_reject(weft_exchange exchange, int status, const char *text);

/** Adds a header to the answer that is still to come; also to that of weft_accept(). WEFT_E_INVALID for a name or value with bytes
 * that HTTP forbids, and for the fields that Weft writes itself (Content-Length, Connection, Upgrade, Sec-WebSocket-…). */
WEFT_API int weft_header(weft_exchange exchange, const char *name, const char *value);

/** Answers, whole: status 200 to 599; `type` is the Content-Type or NULL; the body is copied. */
WEFT_API int weft_answer(weft_exchange exchange, int status, const char *type, const void *body, size_t len);

/** Answers with JSON text, which is checked: WEFT_E_JSON leaves the exchange unanswered. */
WEFT_API int weft_answer_json(weft_exchange exchange, int status, const char *json);

/** Begins an answer of unknown length, which weft_answer_write() goes on with and weft_answer_end() ends. */
WEFT_API int weft_answer_start(weft_exchange exchange, int status, const char *type);

/** 0, WEFT_QUEUED (the queue is at or over 1 MiB now: wait for the route's `drain`), WEFT_E_FULL (it was before), WEFT_E_INVALID (not
 * started). */
WEFT_API int weft_answer_write(weft_exchange exchange, const void *bytes, size_t len);
WEFT_API int weft_answer_end(weft_exchange exchange);

/* --------------------------------------------------------------------------------------------------------------- peers */

/** Sends one message. From another thread 0 means handed over. On any result the bytes are the caller's again.
 * 0 · WEFT_QUEUED · WEFT_E_FULL · WEFT_E_CLOSED · WEFT_E_UTF8 · WEFT_E_JSON · WEFT_E_INVALID · -ENOMEM (the peer is then closed) */
WEFT_API int weft_send(weft_peer peer, const weft_message *message);
WEFT_API int weft_send_text(weft_peer peer, const char *text);
WEFT_API int weft_send_data(weft_peer peer, weft_kind kind, const void *data, size_t len);

/** Sends a ping with at most 125 bytes; the answer comes as `pong`. Any thread. */
WEFT_API int weft_ping(weft_peer peer, weft_str payload);

/** Closes after what is queued (what a lagging subscription has yet to be sent is not): code 1000-1003, 1007-1014 or 3000-4999, reason at most 123 bytes of UTF-8 or NULL. Code 0: a close
 * frame without one. Any thread. */
WEFT_API int weft_close(weft_peer peer, int code, const char *reason);

/** Cuts the connection; nothing more is sent. `close` follows with 1006. Any thread. */
WEFT_API int weft_abort(weft_peer peer);

/** Stops and goes on reading from the peer. On its loop. */
WEFT_API int weft_pause(weft_peer peer);
WEFT_API int weft_resume(weft_peer peer);

/** Bytes that wait to be sent (a browser's bufferedAmount). On its loop; else 0. */
WEFT_API size_t weft_queued(weft_peer peer);

/** On the peer's loop; else NULL. */
WEFT_API weft *weft_of(weft_peer peer);
WEFT_API void *weft_user(weft_peer peer);
WEFT_API void *weft_data(weft_peer peer);

typedef enum {
    WEFT_TRANSPORT_WEBSOCKET = 1,
    WEFT_TRANSPORT_SSE,
    WEFT_TRANSPORT_STREAM,
    WEFT_TRANSPORT_LONG_POLL,
    WEFT_TRANSPORT_ENGINEIO,
    WEFT_TRANSPORT_SOCKETIO,
} weft_transport;

typedef struct {
    weft_transport transport;
    char address[64];      /* as weft_request_address(), NUL-terminated */
    char subprotocol[64];  /* "" when none was agreed */
    uint64_t connected_ms; /* since open */
    uint64_t messages_in, messages_out;
    uint64_t bytes_in, bytes_out; /* of messages, without framing */
    char client_subject[256];     /* as weft_request_client_subject(); "" without one, and for one that is longer */
} weft_peer_info;

/** Fills ret_info. On its loop. */
static inline int weft_peer_about(weft_peer peer, weft_peer_info *ret_info);

/* -------------------------------------------------------------------------------------------------------------- topics
 * A topic is a name of 1-255 bytes of UTF-8 without control characters. It exists while somebody is subscribed, while its history keeps a message,
 * and for a minute after that.
 *
 * Each message of a topic has a number, one above that of the one before. A cursor names a place in it: `EPOCH-NUMBER`, all up to and with that
 * message. The epoch is new whenever numbers would begin again, so a cursor of a topic that was forgotten is known to be one. Clients pass
 * cursors on as they got them. */

/** What happens to a subscription whose peer reads too slowly when the topic's ring has moved past it. */
typedef enum {
    WEFT_SLOW_DEFAULT = 0, /* close; with history: drop_old */
    WEFT_SLOW_CLOSE,       /* close the peer with 1013 */
    WEFT_SLOW_DROP_OLD,    /* go on at the oldest message kept */
    WEFT_SLOW_DROP_NEW,    /* keep what is queued, skip what does not fit */
    WEFT_SLOW_LATEST,      /* jump to the newest message */
} weft_slow_policy;

typedef struct {
    size_t ring_messages; /* kept for subscriptions that lag; 1024 */
    size_t ring_bytes;    /* likewise; 4 MiB */
    weft_slow_policy slow;
    size_t history_messages; /* kept for whoever comes back, or late; 0: none */
    size_t history_bytes;    /* at most, of messages with their overhead; 1 MiB */
    uint32_t history_age_ms; /* at most so old; 300,000; WEFT_NEVER: of any age */
    int presence; /* nonzero: its subscribers can be listed, and comings and goings are told to those who want to know */
} weft_topic_options;

/** Options for topics whose name matches the pattern (`*` stands for any bytes); the first match configured counts. */
static inline int weft_topic_configure(weft *app, const char *pattern, const weft_topic_options *options);

/** The peer gets every message published from now on, and before them, without a seam: since NULL nothing, "start" all that is kept, a cursor what
 * came after it. When some of that is no longer kept, or the cursor is not this topic's, the peer gets what is kept and is told of the gap
 * where its transport can. Subscribing twice is fine, and the second `since` means nothing. While much history is on its way weft_send() answers
 * WEFT_E_FULL. On the peer's loop. WEFT_E_TOO_LARGE past max_topics or max_subscriptions. With several loops the topic may live on another: the subscription
 * then begins a moment later, with nothing missing that this loop publishes behind the call; a peer whose topic has no room is closed (1013), and when the
 * other loop has 16 MiB to do the call is refused (WEFT_E_FULL). */
WEFT_API int weft_subscribe(weft_peer peer, const char *topic, const char *since);

/** The cursor that the client said it has: `Last-Event-ID`, or `since` in the query; NULL when it said none. In `open`. */
WEFT_API const char *weft_since(weft_peer peer);

/** 0 also when the peer was not subscribed. On the peer's loop. */
WEFT_API int weft_unsubscribe(weft_peer peer, const char *topic);

typedef struct {
    weft_peer except; /* one peer that does not get it; {0}: nobody */
} weft_publish_options;

/** Publishes a message to every subscriber. Its bytes are copied before the call returns; `topic` and `cursor` inside the
 * message are ignored. Options may be NULL. Any thread; order holds for each thread and topic. WEFT_E_FULL when the loop that the topic lives on is another's
 * and has 16 MiB to do. */
static inline int weft_publish(weft *app, const char *topic, const weft_message *message,
                               const weft_publish_options *options);
WEFT_API int weft_publish_text(weft *app, const char *topic, const char *text);

/** The name under which topics with presence list the peer, at most 255 bytes of UTF-8; several peers may share one. Without it the peer is listed under a
 * random one. A client of weft.v1 may name itself unless it has been named so. On its loop, before it subscribes. */
WEFT_API int weft_identify(weft_peer peer, const char *name);

/** Calls fn for each name present on a topic, at most 1000, and returns how many there are; 0 for a topic without presence. fn may be NULL. A name
 * that left stays for 5 s, in case it comes back. On a loop; with several of them one on which a peer is subscribed to the topic: others may know nobody. */
WEFT_API size_t weft_presence(weft *app, const char *topic, void (*fn)(const char *name, void *user), void *user);

/* -------------------------------------------------------------------------------------------------------------- timers
 * On a loop's thread, where they then go off, or before it runs; elsewhere {0}. Exact to a few milliseconds, never early. */

typedef void (*weft_timer_fn)(weft *app, void *user);
typedef void (*weft_peer_timer_fn)(weft_peer peer, void *user);

WEFT_API weft_timer weft_after(weft *app, uint32_t ms, weft_timer_fn fn, void *user);
WEFT_API weft_timer weft_every(weft *app, uint32_t ms, weft_timer_fn fn, void *user);
WEFT_API weft_timer weft_peer_after(weft_peer peer, uint32_t ms, weft_peer_timer_fn fn,
                                    void *user); /* goes with the peer */
WEFT_API int weft_cancel(weft_timer timer);

/* ------------------------------------------------------------------------------------------------------- compatibility
 * Structs may grow at their end: their size as the program knows it goes along, so that a program built against an older
 * header runs with a newer library. Call the functions without _sized. */

WEFT_API weft *weft_new_sized(const weft_options *options, size_t size);
WEFT_API int weft_listen_sized(weft *app, const char *url, const weft_listen_options *options, size_t size);
WEFT_API int weft_admin_sized(weft *app, const char *url, const weft_listen_options *options, size_t size);
WEFT_API int weft_route_sized(weft *app, const char *method, const char *path, const weft_route_options *options,
                              size_t size);
WEFT_API int weft_files_sized(weft *app, const char *path, const char *directory, const weft_files_options *options,
                              size_t size);
WEFT_API int weft_websocket_sized(weft *app, const char *path, const weft_websocket_options *options, size_t size);
WEFT_API int weft_sse_sized(weft *app, const char *path, const weft_sse_options *options, size_t size);
WEFT_API int weft_stream_sized(weft *app, const char *path, const weft_stream_options *options, size_t size);
WEFT_API int weft_topics_sized(weft *app, const char *path, const weft_topics_options *options, size_t size);
WEFT_API int weft_protocol_sized(weft *app, const char *path, const weft_topics_options *options, size_t size);
WEFT_API int weft_topic_configure_sized(weft *app, const char *pattern, const weft_topic_options *options, size_t size);
WEFT_API int weft_publish_sized(weft *app, const char *topic, const weft_message *message,
                                const weft_publish_options *options, size_t size);
WEFT_API int weft_peer_about_sized(weft_peer peer, weft_peer_info *ret_info, size_t size);

static inline weft *weft_new(const weft_options *options)
{
    return weft_new_sized(options, sizeof *options);
}

static inline int weft_listen(weft *app, const char *url, const weft_listen_options *options)
{
    return weft_listen_sized(app, url, options, sizeof *options);
}

static inline int weft_admin(weft *app, const char *url, const weft_listen_options *options)
{
    return weft_admin_sized(app, url, options, sizeof *options);
}

static inline int weft_route(weft *app, const char *method, const char *path, const weft_route_options *options)
{
    return weft_route_sized(app, method, path, options, sizeof *options);
}

static inline int weft_files(weft *app, const char *path, const char *directory, const weft_files_options *options)
{
    return weft_files_sized(app, path, directory, options, sizeof *options);
}

static inline int weft_websocket(weft *app, const char *path, const weft_websocket_options *options)
{
    return weft_websocket_sized(app, path, options, sizeof *options);
}

static inline int weft_sse(weft *app, const char *path, const weft_sse_options *options)
{
    return weft_sse_sized(app, path, options, sizeof *options);
}

static inline int weft_stream(weft *app, const char *path, const weft_stream_options *options)
{
    return weft_stream_sized(app, path, options, sizeof *options);
}

static inline int weft_topics(weft *app, const char *path, const weft_topics_options *options)
{
    return weft_topics_sized(app, path, options, sizeof *options);
}

static inline int weft_protocol(weft *app, const char *path, const weft_topics_options *options)
{
    return weft_protocol_sized(app, path, options, sizeof *options);
}

static inline int weft_topic_configure(weft *app, const char *pattern, const weft_topic_options *options)
{
    return weft_topic_configure_sized(app, pattern, options, sizeof *options);
}

static inline int weft_publish(weft *app, const char *topic, const weft_message *message,
                               const weft_publish_options *options)
{
    return weft_publish_sized(app, topic, message, options, sizeof *options);
}

static inline int weft_peer_about(weft_peer peer, weft_peer_info *ret_info)
{
    return weft_peer_about_sized(peer, ret_info, sizeof *ret_info);
}

#ifdef __cplusplus
}
#endif

#include <weft/socketio.h>

#endif
