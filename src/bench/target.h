/**
 * What is measured, from its URL: ws, wss, http, https, tcp and tls, each with a host, a port and a path.
 */
#ifndef WEFT_BENCH_TARGET_H
#define WEFT_BENCH_TARGET_H

#include "base/str.h"
#include <sys/socket.h>

typedef enum {
    BENCH_TCP,  /* bytes alone: messages of the same length come back */
    BENCH_HTTP, /* http, ws */
} bench_wire;

typedef struct {
    bench_wire wire;
    bool websocket; /* ws, wss */
    bool tls;       /* wss, https, tls */
    char host
        [256]; /* as it stands in the URL, brackets included: what Host says, with the port unless it is the scheme's own */
    char name[256];  /* without port and brackets: what TLS asks for */
    char path[1024]; /* with the query; "/" when there is none */
    struct sockaddr_storage address;
    socklen_t address_len;
} bench_target;

/** Reads a URL and looks its host up; of several addresses the first counts that takes a connection, or else the first. 0, or WEFT_E_INVALID with
 * *ret_problem, a static half-sentence that follows the URL: "has no host". */
int bench_target_read(const char *url, bench_target *ret_target, const char **ret_problem);

#endif
