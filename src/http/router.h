/**
 * From a request's path and method to the route that serves it.
 *
 * A pattern is `/literal`, `/rooms/:room` (a parameter is one segment, not empty) or ends in `*` (the rest of the path, maybe empty); `:8080` in
 * front of it limits it to listeners of that port. Among the routes that match, the most specific one serves: segment by segment a literal beats a
 * parameter beats a wildcard; of two equals the one with a port, then the one added first.
 */
#ifndef WEFT_HTTP_ROUTER_H
#define WEFT_HTTP_ROUTER_H

#include "base/str.h"

typedef struct exchange exchange;
typedef struct http_route http_route;

typedef struct {
    char *pattern;      /* owned, without the port */
    uint16_t port;      /* 0: all */
    const char *method; /* static: "GET"; NULL for an upgrade to WebSocket */
    void (*serve)(exchange *e, const weft_request *request, void *user);
    void *user;
    void (*free_user)(void *user); /* NULL: nothing to free */
} route_spec;

struct http_route {
    http_route *next;
    route_spec spec;
};

typedef struct {
    http_route *first, **end;
} router;

typedef struct {
    const http_route *found; /* NULL when nothing serves it, and then: */
    bool other_method;       /* the path exists, but not for this method */
    bool needs_upgrade;      /* the path exists for WebSocket only */
} route_match;

void router_init(router *r);
void router_done(router *r);

/** Reads a pattern `[:port]/path`. 0, WEFT_E_INVALID with *ret_problem (a half-sentence), or -ENOMEM. On success ret_spec->pattern and ->port
 * are set. */
int route_parse(const char *pattern, route_spec *ret_spec, const char **ret_problem);

/** Adds a route; takes pattern and user of the spec, on failure too. 0 or -ENOMEM. */
int router_add(router *r, const route_spec *spec);

/** HEAD is served by GET's route. */
route_match router_find(const router *r, uint16_t port, str method, bool upgrade, str path);

/** What `:name` stands for in a path that the pattern matches; {NULL, 0} for a name that the pattern has not. "*" is the wildcard's part. */
str route_param(const http_route *r, str path, const char *name);

#endif
