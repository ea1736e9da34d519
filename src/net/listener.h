/**
 * A listening socket on a loop: accepts what comes and hands on descriptors. Out of descriptors it sheds instead of spinning: a reserve
 * descriptor is given up for as long as it takes to answer 503 and hang up. So is answered, too, who has too many connections already.
 */
#ifndef WEFT_NET_LISTENER_H
#define WEFT_NET_LISTENER_H

#include "net/address.h"
#include "net/net.h"

typedef struct listener listener;

/** A fresh connection, non-blocking; the callee owns the descriptor, and the use of its address (see addresses_admit()). */
typedef void (*listener_accepted_fn)(listener *l, int fd, address_use *use);

struct listener {
    loop_source source;
    net *net;
    listener_accepted_fn accepted;
    void *owner;
    address where; /* with the real port */
    char url[ADDRESS_URL_BYTES];
    int reserve_fd;                 /* given up to shed when descriptors run out; -1 for none */
    timer retry;                    /* armed while accepting has to wait */
    uint64_t n_accepted, n_refused; /* for metrics; the latter those of addresses with too many */
    uint64_t n_shed;
};

/** Binds and listens (on failure nothing is left open). 0 or -errno. A Unix socket's file that nobody listens on is replaced. */
int listener_open(listener *l, const address *where, const weft_listen_options *options);

/** Begins to accept on the loop. 0 or -errno. */
int listener_start(listener *l, net *n, listener_accepted_fn accepted, void *owner);

/** Accepts what is queued in the kernel, stops, closes, removes a Unix socket's file. Not started and closed already are fine. */
void listener_close(listener *l);

#endif
