/**
 * What a benchmark does: read from the command line once, checked, and constant from then on.
 */
#ifndef WEFT_BENCH_PLAN_H
#define WEFT_BENCH_PLAN_H

#include "bench/target.h"
#include <sys/types.h>

typedef enum {
    BENCH_ECHO,      /* every connection keeps messages in flight and gets each one back */
    BENCH_BROADCAST, /* a connection more sends; all others receive; what comes back to the sender is not looked at */
    BENCH_FANOUT,    /* messages are published by POST; all connections receive them */
    BENCH_IDLE,      /* connections come and stay, and answer heartbeats */
    BENCH_CONNECT,   /* connections come and go */
    BENCH_REQUEST,   /* HTTP requests, each answered */
} bench_mode;

/** How a subscriber of BENCH_FANOUT, or a connection of BENCH_IDLE, listens to an HTTP address. */
typedef enum {
    BENCH_VIA_WEBSOCKET,
    BENCH_VIA_SSE,
    BENCH_VIA_STREAM, /* a JSON object a line */
    BENCH_VIA_POLL,   /* long polling */
} bench_via;

enum { BENCH_MAX_PROCESSES = 256, BENCH_MAX_PIDS = 64, BENCH_MAX_SERVERS = 64, BENCH_MIN_BYTES = 16 };

/** A server beside the first. */
typedef struct {
    bench_target target, publish;
} bench_server;

typedef struct {
    bench_mode mode;
    const char *url; /* of the target, as it was told */
    bench_target target;
    bench_target
        publish;    /* where BENCH_FANOUT POSTs: the target unless it was told; and BENCH_IDLE, when `publishes` */
    bool publishes; /* BENCH_IDLE: POSTs a message now and then, which all connections receive */
    const bench_server *more; /* BENCH_IDLE: connections go to the target and to these in turn, and so does a message */
    uint32_t n_more;
    bench_via via;
    bool socketio;     /* the target speaks Socket.IO over its WebSocket */
    bool deflate;      /* offer permessage-deflate */
    const char *key;   /* of what is POSTed: Authorization: Bearer; NULL: none */
    const char *event; /* of Socket.IO: the name under which messages go out and come back */

    uint32_t n_connections;
    uint32_t n_processes;
    size_t message_bytes; /* at least BENCH_MIN_BYTES */
    uint32_t
        depth; /* messages in flight: a connection's in BENCH_ECHO and BENCH_REQUEST, all in BENCH_BROADCAST and _FANOUT */
    double
        rate; /* messages a second over all connections, sent whether or not the earlier ones came back; 0: as fast as they come back */
    uint32_t connect_at_once; /* handshakes under way, of a process */

    uint64_t warm_up_ms, measure_ms;
    uint64_t patience_ms; /* how long connecting, or the last messages, may take without a sign of life */

    struct sockaddr_storage
        sources[64]; /* local addresses that connections leave from in turn; none: the kernel picks */
    socklen_t source_len;
    uint32_t n_sources;

    pid_t pids[BENCH_MAX_PIDS]; /* processes whose CPU time and memory are charged to the server */
    uint32_t n_pids;
    const int *cpus; /* processes of ours are tied to these in turn */
    uint32_t n_cpus;
    bool json;
    bool progress; /* a line on standard error while it runs */
} bench_plan;

/** The first and all others. */
static inline uint32_t bench_plan_servers(const bench_plan *plan)
{
    return 1 + plan->n_more;
}

static inline const bench_target *bench_plan_target(const bench_plan *plan, uint32_t server)
{
    return server ? &plan->more[server - 1].target : &plan->target;
}

#endif
