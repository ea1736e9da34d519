/**
 * A listening socket on a loop: accepts what comes and hands on descriptors. Out of descriptors it sheds instead of spinning: a reserve
 * descriptor is given up for as long as it takes to answer 503 and hang up.
 */
#ifndef WEFT_NET_LISTENER_H
#define WEFT_NET_LISTENER_H

#include "net/address.h"
#include "net/net.h"

typedef struct listener listener;

/** A fresh connection, non-blocking; the callee owns the descriptor. */
typedef void (*listener_accepted_fn)(listener *l, int fd);

struct listener {
    loop_source source;
    net *net;
    listener_accepted_fn accepted;
    void *owner;
    address where; /* with the real port */
    char url[ADDRESS_URL_BYTES];
    int reserve_fd; /* given up to shed when descriptors run out; -1 for none */
    timer retry;    /* armed while accepting has to wait */
    uint64_t n_shed;
    uint64_t told_ms; /* when the log was last told that descriptors have run out; 0: never */
};

/** Binds and listens (on failure nothing is left open). 0 or -errno. A Unix socket's file that nobody listens on is replaced. */
int listener_open(listener *l, const address *where, const weft_listen_options *options);

/** Begins to accept on the loop. 0 or -errno. */
int listener_start(listener *l, net *n, listener_accepted_fn accepted, void *owner);

/** Accepts what is queued in the kernel, stops, closes, removes a Unix socket's file. Not started and closed already are fine. */
void listener_close(listener *l);

#endif
