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

/** What a route is. The functions get `user`; body, drain and gone may be NULL. */
typedef struct {
    char *pattern;      /* owned, without the port */
    uint16_t port;      /* 0: all */
    const char *method; /* owned by user or static: "GET", "*" for all; NULL for an upgrade to WebSocket */
    void (*serve)(exchange *e, const weft_request *request, void *user);
    void (*body)(exchange *e, str piece,
                 void *user); /* the body comes in pieces, {NULL, 0} after the last, and `serve` before it */
    void (*drain)(exchange *e, void *user); /* a streamed answer may go on */
    void (*gone)(exchange *e, void *user);  /* the client has gone before its answer was whole */
    size_t max_body_bytes;
    bool body_is_message;       /* the setting behind max_body_bytes is called max_message_bytes */
    const char *const *origins; /* owned by user: as weft_route_options has it */
    bool no_credentials;        /* they come without their cookies */
    bool guards_reads;          /* pages of other origins that are not listed get 403 for GET and HEAD too */
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

enum { ROUTER_METHODS_BYTES = 256 };

void router_init(router *r);
void router_done(router *r);

/** Reads a pattern `[:port]/path`. 0, WEFT_E_INVALID with *ret_problem (a half-sentence), or -ENOMEM. On success ret_spec->pattern and ->port
 * are set. */
int route_parse(const char *pattern, route_spec *ret_spec, const char **ret_problem);

/** Adds a route; takes pattern and user of the spec, on failure too. 0 or -ENOMEM. */
int router_add(router *r, const route_spec *spec);

/** HEAD is served by GET's route. */
route_match router_find(const router *r, uint16_t port, str method, bool upgrade, str path);

/** The methods that routes serve on a path, as an Allow field has them: "GET, HEAD, POST, OPTIONS". Cut off where the room ends. */
void router_methods(const router *r, uint16_t port, str path, char ret_methods[ROUTER_METHODS_BYTES]);

/** What `:name` stands for in a path that the pattern matches; {NULL, 0} for a name that the pattern has not. "*" is the wildcard's part. */
str route_param(const http_route *r, str path, const char *name);

#endif
