/**
 * How Engine.IO comes to its path, by itself or below Socket.IO.
 */
#ifndef WEFT_APP_ENGINEIO_H
#define WEFT_APP_ENGINEIO_H

#include "app/routes.h"
#include "transport/engineio.h"

/** What is added on a path: for each way in `take` adds a reference to the route, and `free_user` drops it. */
typedef struct {
    const char
        *path; /* ends in a slash; everything below it is served: the last segment means nothing to the reference */
    engineio_route *route;
    void (*take)(engineio_route *route);
    void (*free_user)(void *route);
} engineio_ways;

/** 0 or an error, which sticks. */
int app_add_engineio(weft *app, const engineio_ways *ways);

/** What is wrong with a path, as a half-sentence; NULL for nothing. Static. */
const char *app_engineio_path_problem(const char *path);

#endif
