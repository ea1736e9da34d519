/**
 * The log of a namespace as its files see it: socketio_log.c, and socketio_log_record.c, by which a socket goes from the log of one loop to that of another.
 */
#ifndef WEFT_TRANSPORT_SOCKETIO_LOG_PRIVATE_H
#define WEFT_TRANSPORT_SOCKETIO_LOG_PRIVATE_H

#include "hub/cursor.h"
#include "transport/socketio.h"

/** With several loops, where a sender was of whom the order said no more than a handle. */
typedef enum {
    NO_STRANGER,
    ELSEWHERE, /* on another loop */
    GONE,      /* here, but not any more when the order came */
} stranger_place;

/** One packet, whom it was for, and when; or one socket that came into a room or left it, which is what makes it known later who was there. Behind it in the same
 * block: the images, the names of rooms and exceptions, and these names' bytes. */
typedef struct {
    uint64_t at_ms;
    size_t block_bytes; /* for the pool */
    size_t bytes;       /* that it counts for */
    chunk **images;     /* none: a socket has moved, or arrived */
    str *rooms, *except;
    uint32_t n_images, n_rooms, n_except;
    bool has_socket;
    bool joined;
    char socket[SOCKETIO_ID_BYTES]; /* that sent the packet and does not get it, or that has moved */
    bool arrived;     /* that socket has come from another loop; the one room is the offset that its client had */
    uint8_t stranger; /* who sent the packet, when that is not known: a stranger_place */
    uint32_t order;   /* with several loops: the number that its namespace's home gave it; 0: none */
} log_entry;

/** A socket that may come back. Behind it: the names of its rooms, each behind a byte that is its length. */
typedef struct {
    map_entry by_pid;
    list_node age;
    uint64_t until_ms;
    uint64_t logged; /* the socket's */
    char id[SOCKETIO_ID_BYTES], pid[SOCKETIO_ID_BYTES];
    uint32_t n_rooms;
    char names[];
} log_kept;

/**
 * Entries have numbers from 1 on, and that of the last packet that a client has got, with the epoch in front of it, is the offset that it knows. Entry n + 1 is at
 * n & (cap - 1). Whoever has not got all of what came before `first` cannot be recovered.
 */
struct socketio_log {
    socketio_namespace *nsp;
    uint64_t epoch;
    log_entry **ring;
    uint32_t cap;         /* a power of two, or 0 */
    uint64_t first, head; /* of the oldest one kept, and of the next */
    size_t n_packets, bytes;
    map kept, present;
    list_node oldest; /* of the kept; those of one log expire in order */
    timer clock;      /* the oldest entry or socket grows too old */
    bool replaying;   /* whoever moves does so for that */
};

static inline loop *loop_of(const socketio_log *l)
{
    return l->nsp->hub->loop;
}

static inline log_entry **entry_at(const socketio_log *l, uint64_t offset)
{
    return &l->ring[offset & (l->cap - 1)];
}

/** Behind all others. NULL: no memory, and everything before is forgotten. */
log_entry *socketio_log_append(socketio_log *l, const socketio_packet_images *images, const socketio_audience *to);

/** Drops what is more than is kept, the oldest first. */
void socketio_log_trim(socketio_log *l);

/** The socket with that pid which may come back; NULL: none. */
log_kept *socketio_log_find_kept(const socketio_log *l, str pid);
void socketio_log_free_kept(socketio_log *l, log_kept *k);

/** True when it can be sent all that it has not got: what comes after *ret_from. */
bool socketio_log_can_send(const socketio_log *l, const log_kept *k, str offset, uint64_t *ret_from);

/** The first n of its rooms again, or no longer. 0 or -ENOMEM. */
int socketio_log_join_rooms(const log_kept *k, uint32_t n, socketio_socket *s, bool join);

/** The client is back before we know that its connection was lost; on another loop: s is NULL. */
void socketio_log_take_over(socketio_log *l, const socketio_socket *s, str pid);

/** True for a packet that was for a socket in the rooms that it is in. */
bool socketio_log_was_for(const log_entry *e, socketio_socket *s);

/** What is done with each packet that was for a socket; its number is that of the entry. 0 or -ENOMEM. */
typedef int (*log_packet_fn)(const log_entry *e, uint64_t number, socketio_socket *s, void *user);

/** Leads a socket, from the rooms that it was in then, through all that has happened since. 0 or -ENOMEM. */
int socketio_log_walk(socketio_log *l, socketio_socket *s, uint64_t from, log_packet_fn packet, void *user);

#endif
