/**
 * Socket.IO 5: stock clients of npm's `socket.io-client` 4 connect, and find the server that they know.
 *
 * A client's socket in one namespace is a peer. A client that joins three namespaces over its one connection is three peers.
 *
 *     static void event(weft_peer peer, const weft_socketio_event *event)
 *     {
 *         weft_socketio_event push = {.name = weft_str_of("pushMsg"), .args = event->args};
 *         if (weft_socketio_event_is(event, "sendMsg"))
 *             weft_socketio_broadcast(weft_of(peer), NULL, &push);
 *     }
 *
 * Arguments are JSON text: an array of them, `["Jude",{"age":7}]`. Nothing needs a tree of values; who wants one takes <weft/json.h>. Binary arguments
 * are *attachments*: they stand beside the text, and in their places it has {"_placeholder":true,"num":N}.
 *
 * Included by <weft.h>.
 */
#include <weft.h> /* outside the guard: it includes this file in its turn */

#ifndef WEFT_SOCKETIO_H
#define WEFT_SOCKETIO_H

#include <string.h>
#include <weft/engineio.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    WEFT_SOCKETIO_MAX_ATTACHMENTS = 10, /* of one event */
    WEFT_SOCKETIO_MAX_ROOM_BYTES = 255,
};

/** The place of one acknowledgement that a client waits for; zero: it waits for none. */
typedef struct {
    weft_peer peer;
    uint64_t id; /* one more than the packet's */
} weft_socketio_ack;

/** An event, from a client or to one. Borrowed. */
typedef struct {
    weft_str name; /* decoded UTF-8 */
    weft_str args; /* a JSON array; {NULL, 0} when sending: no arguments */
    const weft_str *attachments;
    size_t n_attachments;
    weft_socketio_ack ack; /* received: what weft_socketio_acknowledge() takes; ignored when sending */
    int is_volatile;       /* sending: may be dropped where the client cannot take it at once */
} weft_socketio_event;

/** Callbacks and limits of a route, or of a namespace. */
typedef struct {
    void *user;        /* weft_user(peer) */
    size_t peer_bytes; /* zeroed storage for each peer: weft_data(peer); 0 */
    /* The HTTP request that begins a connection, whatever namespaces are joined over it: as in weft_engineio_options */
    void (*request)(weft_exchange exchange, const weft_request *request, void *user);
    /* A client wants to join: weft_socketio_admit() or weft_socketio_refuse(), now or later; NULL admits. Its storage is there already. `close` does not
     * come for one that was not admitted. Not asked for one that is recovered. */
    void (*gate)(weft_peer peer);
    void (*open)(weft_peer peer);
    void (*event)(weft_peer peer, const weft_socketio_event *event);
    /* What comes when `event` is NULL: `event` is the name, the data JSON, the array of arguments; attachments are not told. */
    void (*message)(weft_peer peer, const weft_message *message);
    void (*drain)(weft_peer peer);
    void (*close)(weft_peer peer, int code, weft_str reason); /* exactly once; the reason as in <weft/engineio.h> */

    /* The rest is the route's: of a namespace's own options it is ignored. */
    uint32_t connect_timeout_ms; /* 45,000 without joining any namespace: gone */
    int no_client_files;         /* nonzero: socket.io.js and the like are not served below the path */
    /* Connection state recovery: a client that lost its connection and is back within this time is the same socket in the same rooms, and gets what it
     * missed; 0: off. What is kept for that, for each namespace: */
    uint32_t recovery_ms;
    size_t recovery_messages; /* 10,000 */
    size_t recovery_bytes;    /* 16 MiB */
    weft_engineio_settings engine;
} weft_socketio_options;

/** Socket.IO on a path that ends in a slash ("/socket.io/"): the options' callbacks are those of the namespace "/". */
static inline int weft_socketio(weft *app, const char *path, const weft_socketio_options *options);

/** A further namespace of the route on that path: its name ("/admin"), or a pattern in which `*` stands for any bytes ("/game-" + `*`; each is made when its
 * first client comes and goes with its last). The first that matches counts. */
static inline int weft_socketio_namespace(weft *app, const char *path, const char *name,
                                          const weft_socketio_options *options);

/** Serves the browser's client elsewhere than below a route: the one file that the path names ("/socket.io.js"; `socket.io.min.js`, `socket.io.esm.min.js`,
 * `socket.io.msgpack.min.js`, and each with `.map`), or all of them below a path that ends in a slash. They are there when Weft was built with npm's
 * `socket.io-client`; else the answer is 404, and says so. */
WEFT_API int weft_socketio_files(weft *app, const char *path);

/* ------------------------------------------------------------------------------------------------------------------ a socket
 * On its loop, unless said otherwise. */

/** The JSON object that the client sent with its wish to join ("{}" without one): in `gate` (and until it is decided) and `open`; {NULL, 0} later. */
WEFT_API weft_str weft_socketio_auth(weft_peer peer);

/** Lets it in. Any thread. WEFT_E_INVALID when it is in already. Until then nothing can be sent to it, and weft_close() refuses it with the reason. */
WEFT_API int weft_socketio_admit(weft_peer peer);

/** Keeps it out: its `connect_error` has the message, and `data` when that is not NULL (JSON text, else WEFT_E_JSON). Any thread. */
WEFT_API int weft_socketio_refuse(weft_peer peer, const char *message, const char *data);

WEFT_API const char *weft_socketio_id(weft_peer peer); /* the socket's, as its client knows it; NULL for other peers */
WEFT_API const char *weft_socketio_namespace_of(weft_peer peer); /* "/" */
WEFT_API int weft_socketio_recovered(weft_peer peer);            /* nonzero: it was here before, and is in its rooms */

/** Emits to one socket: the name, and the arguments as a JSON array, or NULL for none. Any thread. Results as weft_send(). */
WEFT_API int weft_socketio_emit(weft_peer peer, const char *name, const char *args);

/** The same with attachments, or volatile. Any thread. */
WEFT_API int weft_socketio_emit_event(weft_peer peer, const weft_socketio_event *event);

/** What became of an acknowledgement: 0 with `answer` (its name is empty), -ETIMEDOUT, or WEFT_E_CLOSED when the socket left before. */
typedef void (*weft_socketio_ack_fn)(weft_peer peer, int result, const weft_socketio_event *answer, void *user);

/** Emits and asks for an acknowledgement: fn is called exactly once, unless this fails. timeout_ms 0: it may take for ever. */
WEFT_API int weft_socketio_call(weft_peer peer, const weft_socketio_event *event, uint32_t timeout_ms,
                                weft_socketio_ack_fn fn, void *user);

/** Acknowledges what a client asked that for, at once or later, with arguments as weft_socketio_emit(); once: WEFT_E_INVALID after that, and where none is waited
 * for. Of those that a program never gives, the latest 4096 of a socket are remembered. Any thread. */
WEFT_API int weft_socketio_acknowledge(weft_socketio_ack ack, const char *args);
WEFT_API int weft_socketio_acknowledge_event(weft_socketio_ack ack, const weft_socketio_event *answer);

/** 0 also when it is in already. A socket is in a room of its own, named by its id. */
WEFT_API int weft_socketio_join(weft_peer peer, const char *room);
WEFT_API int weft_socketio_leave(weft_peer peer, const char *room);

/** Calls fn for each room the socket is in, and returns how many there are. fn may be NULL. */
WEFT_API size_t weft_socketio_rooms(weft_peer peer, void (*fn)(const char *room, void *user), void *user);

/** Ends the whole connection, with all its namespaces, as weft_close() ends the one socket. Any thread. */
WEFT_API int weft_socketio_disconnect(weft_peer peer);

/* -------------------------------------------------------------------------------------------------------------- many sockets */

/** Who is meant: the sockets in any of the rooms (each once), or all of the namespace; without those in one of `except`, and without `sender`. Zeroed: all
 * sockets of "/" on the application's only Socket.IO route. */
typedef struct {
    const char *path;          /* of the route; NULL: the first */
    const char *nsp;           /* NULL: "/" */
    const char *const *rooms;  /* NULL-terminated, at most 64; NULL: all */
    const char *const *except; /* likewise; NULL: none */
    weft_peer sender;          /* {0}: nobody */
} weft_socketio_target;

/* With several loops what is done to many goes by way of the namespace's home, one of the loops: all sockets get the broadcasts of a namespace in one order, each loop
 * and other thread has its own in the order of its calls, and who is in a room is looked up on each loop when it gets there. A call on another loop than the home is
 * like one from another thread: 0 says that it was handed over (WEFT_E_FULL: there is no room for it), and what the caller emits to one socket of its own right
 * after it may come first. */

/** Emits to them all, encoded once (by each loop). target NULL: as zeroed. Any thread. 0, WEFT_E_INVALID (no such route), WEFT_E_JSON, WEFT_E_UTF8, -ENOMEM. */
WEFT_API int weft_socketio_broadcast(weft *app, const weft_socketio_target *target, const weft_socketio_event *event);

/** Calls fn for each of them, which may close or move any, and returns how many there are; fn may be NULL. 0, and nobody is called, without memory for the walk. On
 * a loop: of several those that live on this one. */
WEFT_API size_t weft_socketio_sockets(weft *app, const weft_socketio_target *target,
                                      void (*fn)(weft_peer peer, void *user), void *user);

/** Makes them all join or leave a room, or disconnects them from the namespace (whole != 0: closes their connections). Any thread. */
WEFT_API int weft_socketio_sockets_join(weft *app, const weft_socketio_target *target, const char *room);
WEFT_API int weft_socketio_sockets_leave(weft *app, const weft_socketio_target *target, const char *room);
WEFT_API int weft_socketio_sockets_disconnect(weft *app, const weft_socketio_target *target, int whole);

/** Ties a room of a namespace (NULL: all of it) to a topic, before weft_run(): what is published to the topic is emitted there, by its event's name or as
 * "message" (a JSON array that has an event's name is its arguments, anything else is the one argument; BINARY an attachment), and what is broadcast to exactly
 * that room is published to the topic: as JSON, an array; one attachment by itself as BINARY, others in base64. An event whose name no topic can carry (none, more than 255 bytes, a
 * line break) is then WEFT_E_INVALID. path and nsp as in weft_socketio_target. */
WEFT_API int weft_socketio_bridge(weft *app, const weft_socketio_target *room, const char *topic);

/* --------------------------------------------------------------------------------------------------------------- arguments */

/** A string as borrowed bytes, for the fields of an event; NULL is {NULL, 0}. */
static inline weft_str weft_str_of(const char *text)
{
    weft_str bytes = {text, text ? strlen(text) : 0};
    return bytes;
}

/** Nonzero when that is the event's name. */
WEFT_API int weft_socketio_event_is(const weft_socketio_event *event, const char *name);

/** The n-th argument (from 0) as JSON text; {NULL, 0} past the last. */
WEFT_API weft_str weft_socketio_argument(const weft_socketio_event *event, size_t n);

/** The n-th argument's bytes when it is binary; {NULL, 0} else. */
WEFT_API weft_str weft_socketio_attachment(const weft_socketio_event *event, size_t n);

/** Decodes a JSON string ("\"caf\\u00e9\"") into `to`, with a NUL behind it: its length; WEFT_E_JSON when it is no string, WEFT_E_UTF8 for half a surrogate pair,
 * WEFT_E_TOO_LARGE when the room (json.len is always enough) is too small. */
WEFT_API int64_t weft_json_text(weft_str json, char *to, size_t room);

/** The value of an object's member as JSON text; {NULL, 0} when there is none. */
WEFT_API weft_str weft_json_member(weft_str json, const char *name);

/** Writes text as a JSON string into `to`, with a NUL behind it: its length, or what it would be when the room is too small (and then nothing is written);
 * WEFT_E_UTF8. */
WEFT_API int64_t weft_json_quote(weft_str text, char *to, size_t room);

WEFT_API int weft_socketio_sized(weft *app, const char *path, const weft_socketio_options *options, size_t size);
WEFT_API int weft_socketio_namespace_sized(weft *app, const char *path, const char *name,
                                           const weft_socketio_options *options, size_t size);

static inline int weft_socketio(weft *app, const char *path, const weft_socketio_options *options)
{
    return weft_socketio_sized(app, path, options, sizeof *options);
}

static inline int weft_socketio_namespace(weft *app, const char *path, const char *name,
                                          const weft_socketio_options *options)
{
    return weft_socketio_namespace_sized(app, path, name, options, sizeof *options);
}

#ifdef __cplusplus
}
#endif

#endif
