/**
 * Whom connections come from: how many each address has and how fast it makes them, and for whom a trusted proxy speaks.
 *
 * An IPv6 address counts as its /64, which is what one customer gets. Loopback, Unix sockets and trusted proxies are not counted. An address
 * is remembered for a minute after its last connection went, less long when very many are, and forgotten when another comes or goes; so memory is bounded by
 * the connections that there are. The table's hash is keyed: nobody can aim at one bucket.
 *
 * One table serves all loops, so that a client has one share of the server and not one of each loop. A lock guards it that is taken when somebody who is
 * counted connects, asks through a proxy, or goes; never for loopback.
 *
 * A connection holds an address_use. That of a proxy's connection is its own, and carries the address of the client whose request is served just
 * now, which is counted instead: by the number at a time, not by how fast they come, as requests are no connections.
 */
#ifndef WEFT_NET_ADDRESSES_H
#define WEFT_NET_ADDRESSES_H

#include "base/limits.h"
#include "base/list.h"
#include "base/map.h"
#include "net/networks.h"
#include <pthread.h>

typedef struct address_use address_use;

enum {
    ADDRESSES_CONNECTIONS = 1024,
    ADDRESSES_CONNECTS_PER_S = 256,
    ADDRESSES_KEPT_MS = 60000,  /* after its last connection an address is remembered for so long */
    ADDRESSES_MAX_KEPT = 16384, /* of those; the oldest goes first */
};

typedef struct {
    size_t max_connections,
        max_connects_per_s; /* of one address; this and the next two do not change once somebody connects */
    networks proxies;
    bool count_loopback;  /* for tests: loopback is like any other */
    pthread_mutex_t lock; /* of all below, and of what counts one address */
    map counted;          /* addresses that have, or just had, a connection */
    list_node unused;     /* those without, longest first */
    size_t n_unused;
    uint64_t now_ms; /* the latest time that somebody told: loops look at the clock at different moments */
} addresses;

/** 0 or -errno. The defaults hold, and nobody is a proxy. */
int addresses_init(addresses *a);

/** No connection may be left. */
void addresses_done(addresses *a);

/** What came of somebody who connects, or asks through a proxy. */
typedef struct {
    int error; /* 0; WEFT_E_FULL: over `limit`; -ENOMEM */
    limit_id limit;
    bool tell; /* the log has not heard of it in the last minute */
} admission;

/* Any thread may call what follows, with the clock of its loop. A use belongs to the loop of its connection. */

/** Counts a fresh connection; *ret_use is to be given to addresses_leave() when it closes, and is NULL when it is not counted. */
admission addresses_admit(addresses *a, uint64_t now_ms, const struct sockaddr_storage *from, address_use **ret_use);

/** NULL is fine. */
void addresses_leave(addresses *a, uint64_t now_ms, address_use *use);

/** True for the connection of a trusted proxy. NULL is none. */
bool address_use_is_proxy(const address_use *use);

/** A client as a proxy names it. */
typedef struct {
    ip_address ip;
    int port; /* -1: not told */
} named_client;

/** A proxy's connection carries a request of this client now, which counts as one of its connections until the next call. NULL: the proxy does not say
 * whose, and it counts as the proxy's own, on loopback too; so nobody gets around the limit by hiding behind it. */
admission addresses_speak_for(addresses *a, uint64_t now_ms, address_use *proxy, const named_client *who);

/** Its request has been answered. */
void addresses_speak_for_nobody(addresses *a, uint64_t now_ms, address_use *proxy);

/** The client for whom it speaks, as `192.0.2.1:5000`, `[2001:db8::1]` (without a port when none was told); "" when it is its own. */
const char *address_use_client(const address_use *use);

#endif
