/**
 * Socket.IO 5 above Engine.IO.
 *
 *     socketio_route.c       a route: its namespaces' options
 *     socketio_client.c      one connection: reads packets, collects attachments, finds the socket they are for
 *     socketio_socket.c      a socket in a namespace, which is a peer: how it is let in, and how it leaves
 *     socketio_owed.c        the acknowledgements that its client waits for
 *     socketio_acks.c        what sockets wait for
 *     socketio_namespace.c   the namespaces of a loop: their sockets
 *     socketio_room.c        rooms, and who is meant by some of them
 *     socketio_emit.c        packets: to one socket, and encoded once for many
 *     socketio_log.c         what recovery needs: the packets of late, the sockets that may come back
 *     socketio_log_record.c  likewise, when such a socket goes to another loop
 *     socketio_bridge.c      a room and a topic as one channel
 *     socketio_loops.c       what travels when there are several loops (socketio_loops.h)
 *     socketio_return.c      likewise: who comes back on another loop than before
 *
 *  route ── of each loop: namespaces by name ── sockets[] ──▶ client ──▶ engineio_session
 *                              │  rooms by name ── members[] ──▶ socket
 *                              └─ log (with recovery)
 *
 * A route is shared and does not change while it runs. All else belongs to one loop: a client and its sockets, and a namespace, which is there once on each loop that
 * has sockets in it.
 */
#ifndef WEFT_TRANSPORT_SOCKETIO_H
#define WEFT_TRANSPORT_SOCKETIO_H

#include "hub/links.h"
#include "proto/socketio.h"
#include "transport/engineio.h"

typedef struct socketio_route socketio_route;
typedef struct socketio_namespace socketio_namespace;
typedef struct socketio_client socketio_client;
typedef struct socketio_socket socketio_socket;
typedef struct socketio_room socketio_room;
typedef struct socketio_log socketio_log;
typedef struct socketio_acks socketio_acks;
typedef struct socketio_bridge socketio_bridge;
typedef struct socketio_loops socketio_loops;

enum { SOCKETIO_ID_BYTES = SESSION_RANDOM_CHARS }; /* of a socket's id, and of its pid: base64url, 120 random bits */

/** Callbacks of the namespaces whose name matches. */
typedef struct socketio_rules socketio_rules;
struct socketio_rules {
    socketio_rules *next;
    char *pattern; /* owned */
    peer_rules peer;
    void (*gate)(weft_peer);
    void (*event)(weft_peer, const weft_socketio_event *);
};

/** What a route has on one loop. */
typedef struct {
    map namespaces;        /* that exist there */
    socketio_loops *loops; /* what reaches the others (socketio_loops.h); NULL: there are none */
} socketio_local;

struct socketio_route {
    engineio_route engine; /* first */
    socketio_route *next;  /* of the application's */
    char *path;
    socketio_rules *rules, **rules_end;
    socketio_bridge *bridges;
    uint32_t connect_timeout_ms, recovery_ms;
    size_t recovery_messages, recovery_bytes;
    socketio_local *locals; /* of each loop, by the number of its hub */
    socketio_local alone;   /* what they are with one loop */
    uint32_t n_locals;
    uint32_t refs; /* one for each path that it serves, one of the application */
};

static inline socketio_local *socketio_local_of(const socketio_route *route, const hub *h)
{
    return __builtin_expect(h->reach != NULL, 0) ? &route->locals[h->reach->number] : route->locals;
}

/** A connection, in all its namespaces. */
struct socketio_client {
    engineio_session engine;  /* first */
    socketio_socket *sockets; /* in its namespaces; most have one */
    union {
        struct socketio_deadline *deadline;     /* of its first CONNECT, until it has joined */
        struct socketio_collection *collecting; /* then: a binary packet whose attachments are coming; NULL for none */
    };
    loop_task task;     /* ends it when it is doomed, and frees it when it has ended and no socket is left */
    uint16_t n_sockets; /* those that have left and are not freed yet too */
    uint8_t doom;       /* what it ends with at the end of this turn, an engineio_end and one more; 0: it lives */
    uint8_t limit;      /* that it is doomed for, a limit_id and one more; 0: for none */
    bool cut : 1;       /* doomed to be cut, not closed */
    bool joined : 1, ended : 1;
    bool
        dismissed : 1; /* a socket of its was sent away: what is under way to that one still is not against the rules */
};

/** A socket. Born when its client wants to join; in the namespace's list, and open for the program, once it was admitted. */
struct socketio_socket {
    peer peer;                /* first */
    socketio_socket *same;    /* in its namespace, the next one in the same bucket of ids */
    socketio_client *client;  /* lives as long */
    socketio_socket *sibling; /* the client's next one */
    socketio_namespace *nsp;
    struct socketio_membership *rooms; /* that it is in; NULL for none */
    socketio_acks *acks;               /* that it waits for; NULL for none */
    union {
        char *auth;                 /* until it is settled; NULL: the client sent none */
        struct socketio_owed *owed; /* from then on: what its client waits for; NULL for none */
    };
    union {
        uint32_t place;     /* in nsp->sockets */
        uint32_t n_refused; /* before: loops that do not know it */
    };
    uint32_t mark; /* the namespace's round that it was last met in */
    uint16_t n_rooms;
    char id[SOCKETIO_ID_BYTES + 1]; /* and a NUL, as programs get it */
    bool admitted : 1, recovered : 1;
    bool returning : 1; /* other loops were asked whether they know it */
    bool settled : 1;   /* `open` was called, and what it may ask for is gone */
    bool owes_acks : 1; /* it has left, and those who wait for its acks have yet to be told */

    /* There only with recovery: */
    uint64_t logged;             /* the log's offset when it joined */
    char pid[SOCKETIO_ID_BYTES]; /* private */
};

typedef struct {
    socketio_room *room;
    uint32_t place; /* in its members */
} socketio_place;
struct socketio_membership {
    socketio_place at[1];
};

/** A room exists while somebody is in it. */
struct socketio_room {
    map_entry entry; /* keyed by the name */
    socketio_socket **members;
    uint32_t n, cap;
    char name[];
};

struct socketio_namespace {
    map_entry entry; /* keyed by the name */
    socketio_route *route;
    const socketio_rules *rules;
    hub *hub;
    socketio_socket **sockets;
    uint32_t n_sockets, cap_sockets;
    uint32_t n_clients; /* sockets that are not admitted yet too: it goes with its last */
    uint32_t round;     /* of marking, for unions and exceptions */
    map rooms;
    socketio_socket **by_id; /* those that are open, in cap_sockets buckets: random ids need no hash */
    socketio_log *log;       /* NULL: no recovery */
    timer linger;            /* with recovery: when it goes, nobody being there who could come back */
    uint64_t next_ack;       /* of all its sockets, so that a late answer is never taken for one to another question */
    char name[];
};

/* socketio_route.c */

const char *socketio_options_problem(const weft_socketio_options *options);
socketio_route *socketio_route_new(const char *path, const weft_socketio_options *options); /* NULL: no memory */
int socketio_route_add(socketio_route *route, const char *pattern,
                       const weft_socketio_options *options); /* a namespace; 0 or -ENOMEM */
socketio_route *socketio_route_ref(socketio_route *route);
void socketio_route_free(void *route); /* drops a reference */

/** Makes it one of an application with so many loops, before it runs. 0, -ENOMEM or -errno. */
int socketio_route_spread(socketio_route *route, unsigned n);

/** The server stops: connections of this loop in which no socket is open have nobody who is told. */
void socketio_route_drain(const socketio_route *route, const hub *h);

/** Cuts every connection of this loop; what waits for some to come back goes. The loop still has to turn. */
void socketio_route_cut(const socketio_route *route, const hub *h);

/** True while a connection is there. */
bool socketio_route_busy(const socketio_route *route, const hub *h);

/* socketio_client.c */

extern const engineio_layer socketio_layer;

/** Ends the connection at the end of this turn, and all its sockets with that reason. Until then it is read no more. */
void socketio_client_close(socketio_client *c, engineio_end why);

/** The same, but what is queued is dropped. */
void socketio_client_abort(socketio_client *c, engineio_end why);

/** Likewise, for a limit that it has reached: counted, and named in the log. */
void socketio_client_limit(socketio_client *c, limit_id limit, engineio_end why);

/** The server sends all its sockets away, and ends the connection. */
void socketio_client_dismiss(socketio_client *c);

/** It can be sent something. */
static inline bool socketio_client_lives(const socketio_client *c)
{
    return !c->ended && !c->doom;
}

/** The socket in that namespace, or on its way there; NULL for none. */
socketio_socket *socketio_client_socket(const socketio_client *c, str nsp);

/** A socket has come or left, or wants to be read from or not. */
void socketio_client_attach(socketio_client *c, socketio_socket *s);
void socketio_client_detach(socketio_client *c, socketio_socket *s);
void socketio_client_pause(socketio_client *c);

/** One of its sockets was admitted: when that is open, what only `open` may ask for goes. */
void socketio_client_joined(socketio_client *c);

/** A socket that was detached is freed. */
void socketio_client_release(socketio_client *c);

/** Sends a packet that has no arguments. 0 or -ENOMEM, and then it is doomed. */
int socketio_client_say(socketio_client *c, socketio_type type, str nsp, str json);

/* socketio_socket.c */

/** A CONNECT came: makes a socket and asks the gate, or lets it in, or recovers it. -ENOMEM: the caller closes the client. */
int socketio_socket_join(socketio_client *c, str nsp, str auth);

/** Lets it in: the packet goes out, `open` follows. */
int socketio_socket_admit(socketio_socket *s);
int socketio_socket_refuse(socketio_socket *s, str message, str data);

/** Other loops were asked whether they know it: one has given it up, or (NULL) none does. */
void socketio_socket_return(socketio_socket *s, str record, uint32_t order);

/** It leaves: out of its rooms, its acknowledgements are told, `close` follows. The code as engineio_end_code(). `kept`: it may come back. */
void socketio_socket_leave(socketio_socket *s, int code, str reason, bool kept);

/** Its client's connection ends for this. */
void socketio_socket_lose(socketio_socket *s, engineio_end why);

/** The server sends it away, as the reference's disconnect(). */
void socketio_socket_dismiss(socketio_socket *s);

/** Calls `open` if that was not called yet, and lets go of what only that may ask for. */
void socketio_socket_open(socketio_socket *s);

/** Tells the program of an event, or who waits for it of an acknowledgement. */
void socketio_socket_receive(socketio_socket *s, const socketio_packet *packet, const weft_str *attachments);

/** Answers what weft_socketio_auth() asks. */
str socketio_socket_auth(const socketio_socket *s);

/** A socket of a handle's peer; NULL for peers of other transports. */
socketio_socket *socketio_socket_of(peer *p);

/* socketio_owed.c */

enum { SOCKETIO_MAX_OWED = 4096 }; /* of one socket; with more the oldest is not waited for any more */

/** The client waits for an acknowledgement with that id. 0 or -ENOMEM. */
int socketio_owed_add(socketio_socket *s, uint64_t id);

/** True when it does, and it is not given yet. */
bool socketio_owed_has(const socketio_socket *s, uint64_t id);

/** It was given. */
void socketio_owed_take(socketio_socket *s, uint64_t id);

/* socketio_namespace.c */

enum { SOCKETIO_MAX_NAME_BYTES = 255 }; /* of a namespace: nobody knows one with a longer name */

/** The namespace of that name, made when it is not there and rules match. NULL with *ret_error 0: nobody knows it; else -ENOMEM. */
socketio_namespace *socketio_namespace_get(socketio_route *route, hub *h, str name, int *ret_error);

/** One that exists on that loop; NULL when it does not. */
socketio_namespace *socketio_namespace_find(const socketio_route *route, const hub *h, str name);

int socketio_namespace_enter(socketio_namespace *n,
                             socketio_socket *s); /* into the list of those that are open; 0 or -ENOMEM */
void socketio_namespace_exit(socketio_namespace *n, socketio_socket *s); /* out of its list and rooms */

/** The open socket of that id; NULL when there is none. */
socketio_socket *socketio_namespace_by_id(const socketio_namespace *n, str id);

/** Frees it when nobody is there, or, with recovery, when nobody can come back any more. */
void socketio_namespace_settle(socketio_namespace *n);
void socketio_namespace_free(socketio_namespace *n);

/* socketio_room.c */

bool socketio_room_valid(str name);

int socketio_join(socketio_socket *s,
                  str room); /* 0, WEFT_E_INVALID (the name), WEFT_E_TOO_LARGE (too many), -ENOMEM */
void socketio_leave(socketio_socket *s, str room);
void socketio_leave_all(socketio_socket *s);

/** The name of one of its rooms, but its own: from 0 to below s->n_rooms. */
str socketio_room_name(const socketio_socket *s, uint32_t place);

/** Who is meant, in one namespace. */
typedef struct {
    const str *rooms, *except; /* n_rooms 0: all */
    uint32_t n_rooms, n_except;
    const socketio_socket *sender; /* NULL: nobody */

    /* With several loops: */
    uint32_t order;        /* its number, in the log; 0: it was given none */
    uint64_t away;         /* the handle of the sender, when it may be on another loop; 0: nobody */
    const char *sender_id; /* that socket's; NULL: it is not known */
} socketio_audience;

/** A walk through an audience, each socket once. The socket that fn is called with may leave meanwhile; nobody else may, and none may join. */
void socketio_each(socketio_namespace *n, const socketio_audience *to, void (*fn)(socketio_socket *s, void *user),
                   void *user);

/** True when the socket is of it. */
bool socketio_meant(const socketio_audience *to, socketio_socket *s);

/* socketio_emit.c */

/** A packet as images, made once and sent to many: first its text, then its attachments. */
typedef struct {
    chunk *images[1 + SOCKETIO_MAX_ATTACHMENTS];
    uint32_t n; /* 0: not made */
} socketio_packet_images;

/** What is emitted: checked already (JSON compact, placeholders fit, name is UTF-8). */
typedef struct {
    str name, args; /* args: an array, or {NULL, 0} */
    const weft_str *attachments;
    uint32_t n_attachments;
    bool is_volatile;
} socketio_emission;

enum { SOCKETIO_MAX_EVENT_BYTES = 255 }; /* of the name of an event that is emitted */

/** False for a name that an event cannot have: what the reference keeps for itself, a longer one, no UTF-8. */
bool socketio_name_valid(str name);

/** The images of a packet, with the offset as its last argument unless that is empty. 0 or -ENOMEM. */
int socketio_images_make(const socketio_namespace *n, const socketio_emission *what, str offset,
                         socketio_packet_images *ret);
void socketio_images_drop(pool *blocks, socketio_packet_images *images);

/** 0 or -ENOMEM. */
int socketio_images_send(socketio_client *c, const socketio_packet_images *images);

/** Acknowledges what the client has asked that for: what->name is empty. Results as weft_send(), and WEFT_E_INVALID when it waits for no such acknowledgement. */
int socketio_acknowledge(socketio_socket *s, uint64_t id, const socketio_emission *what);

/** A message that has no event of Socket.IO's yet, and a topic's: peer_ops. */
int socketio_send(peer *p, const weft_message *message);
int socketio_deliver(peer *p, topic *t, uint64_t offset);

/** To one socket. `id`: an acknowledgement is asked for; NULL: none. Results as weft_send(). */
int socketio_emit(socketio_socket *s, const socketio_emission *what, const uint64_t *id);

/** The same, and what comes back is given to fn: exactly once, unless this fails. */
int socketio_call(socketio_socket *s, const socketio_emission *what, uint32_t timeout_ms, weft_socketio_ack_fn fn,
                  void *user);

/** To many. 0 or -ENOMEM. A client whose queue is at its limit is closed (the setting max_queued_bytes), as nothing may be lost to it silently; a volatile one is
 * dropped instead. */
int socketio_broadcast(socketio_namespace *n, const socketio_audience *to, const socketio_emission *what);

/* socketio_acks.c */

/** Remembers what to call; *ret_id is what the packet says. 0 or -ENOMEM. */
int socketio_acks_add(socketio_socket *s, uint32_t timeout_ms, weft_socketio_ack_fn fn, void *user, uint64_t *ret_id);

/** An acknowledgement came: calls who waits for it; nobody is fine. */
void socketio_acks_take(socketio_socket *s, uint64_t id, const weft_socketio_event *answer);

/** The packet was not sent after all: nobody is called. Before the socket leaves for that. */
void socketio_acks_forget(socketio_socket *s, uint64_t id);

/** The socket leaves: all that wait are called with WEFT_E_CLOSED, from the loop, and before its `close` when this comes before peer_leave(). */
void socketio_acks_end(socketio_socket *s);

/* socketio_log.c */

socketio_log *socketio_log_new(socketio_namespace *n); /* NULL: no memory */
void socketio_log_free(socketio_log *l);

/** Room for an offset in a packet's text. */
enum { SOCKETIO_OFFSET_BYTES = 40 };

/** The offset of the next packet, as its last argument says it; the number of bytes. */
size_t socketio_log_next(socketio_log *l, char ret_text[SOCKETIO_OFFSET_BYTES]);

/** A packet was sent, with that offset in it: keeps references to its images, and whom it was for. Without memory everything before is forgotten, so that nobody
 * is recovered with a hole. */
void socketio_log_add(socketio_log *l, const socketio_packet_images *images, const socketio_audience *to);

/** A socket has come into a room, or leaves it, but for leaving them all at its end: what it is sent again is what was for it at the time. Without memory as
 * socketio_log_add(). */
void socketio_log_moved(socketio_log *l, const socketio_socket *s, str room, bool joined);

/** A packet could not be sent to whom it was for: everything before is forgotten. */
void socketio_log_forget(socketio_log *l);

/** A socket is in, with its id and pid: its client may come back before its old connection is known to be lost, and takes its place. Without memory it cannot. */
void socketio_log_enter(socketio_log *l, socketio_socket *s);

/** It leaves, whatever for. Not entered is fine. */
void socketio_log_exit(socketio_log *l, const socketio_socket *s);

/** A socket has lost its connection: its rooms and what it is called are kept; before it leaves them. Without memory it will not be recovered. */
void socketio_log_keep(socketio_log *l, const socketio_socket *s);

/** True when a socket is kept that may come back. */
bool socketio_log_awaits(const socketio_log *l);

/** A client asks to be who it was: true when it is, and then the socket has its id, pid and rooms back, and *ret_from is what it has of the log. The socket is not in the
 * namespace yet. The offset is {NULL, 0} for a client that has had no event. When the old connection is still there it is ended. */
bool socketio_log_restore(socketio_log *l, socketio_socket *s, str pid, str offset, uint64_t *ret_from);

/** Sends what it missed, once it is restored and in its room. 0 or -ENOMEM. */
int socketio_log_replay(socketio_log *l, socketio_socket *s, uint64_t from);

/** Gives up a socket for the loop that its client has come to, as socketio_log_restore() would give it back, and appends a record of it: its id, its rooms, and what
 * it missed. False: it cannot be recovered from here. */
bool socketio_log_give_up(socketio_log *l, str pid, str offset, buf *ret);

/** What came of a question to other loops. */
typedef struct {
    str record, pid, offset;
    uint32_t order; /* the last one that the record knows of */
} socketio_arrival;

/** Takes in a socket that another loop has given up. s->logged is the log's head when that loop was asked: what came in by later orders since then is logged once more
 * behind what it missed. True when it is who it was, as after socketio_log_restore(), to be sent all from s->logged on. */
bool socketio_log_take_in(socketio_log *l, socketio_socket *s, const socketio_arrival *arrival);

/** What a socket that is new has: all up to now. */
uint64_t socketio_log_head(const socketio_log *l);

/* socketio_bridge.c */

/** Ties a room (room.len 0: all of the namespace) to a topic. 0 or -ENOMEM. */
int socketio_bridge_add(socketio_route *route, str nsp, str room, str topic);

/** Before weft_run()'s first turn: subscribes the bridges whose namespaces are at home on that loop. 0 or an error. */
int socketio_bridges_start(socketio_route *route, hub *h);

/** Those of that loop; before hub_done(). Not started is fine. */
void socketio_bridges_stop(const socketio_route *route, const hub *h);

/** Forgets them, once they have stopped. */
void socketio_bridges_free(socketio_route *route);

/** The bridge of exactly the rooms of an audience in the namespace of that name, whoever of them is excepted; NULL for none, and while the bridge itself broadcasts.
 * On the namespace's home. */
socketio_bridge *socketio_bridge_find(const socketio_route *route, str nsp, const socketio_audience *to);

/** A broadcast to its room, in place of socketio_broadcast(), which the bridge calls itself: to the audience, if anybody is there, and to the topic, in one order.
 * 0, WEFT_E_INVALID (the name is none that a topic can carry) or -ENOMEM. */
int socketio_bridge_publish(socketio_bridge *b, const socketio_audience *to, const socketio_emission *what);

/** A topic's message as an emission: its event's name or "message"; a JSON array with an event's name as its arguments, else one argument. Writes what is not there
 * into the buffer. 0 or -ENOMEM. */
int socketio_emission_of(const blob *message, buf *room, weft_str *ret_attachment, socketio_emission *ret);

#endif
