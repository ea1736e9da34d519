/**
 * The routes of Socket.IO that an application has, as its life goes on.
 */
#ifndef WEFT_APP_SOCKETIO_ROUTES_H
#define WEFT_APP_SOCKETIO_ROUTES_H

#include "app/app.h"
#include "transport/socketio.h"

/** The route on a path; NULL: none. path NULL: the first. */
socketio_route *app_socketio_route(const weft *app, const char *path);

/** Before the first turn. 0 or an error. */
int app_socketio_start(weft *app);

/** The server stops: whoever is in no namespace is told; the peers are told by drain.c. */
void app_socketio_drain(const worker *w);

/** Cuts all connections. */
void app_socketio_cut(const worker *w);

/** True while a connection is there, also one without a peer and a stream. */
bool app_socketio_busy(const worker *w);

/** Before the hub goes. */
void app_socketio_stop(weft *app);

/** With the rest of the configuration. */
void app_socketio_free(weft *app);

#endif
