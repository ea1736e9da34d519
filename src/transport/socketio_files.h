/**
 * The browser's client of Socket.IO, npm's `socket.io-client`: `socket.io.js` and its kin, compiled in where the package was there when Weft was built (the
 * meson option `socketio_client`).
 */
#ifndef WEFT_TRANSPORT_SOCKETIO_FILES_H
#define WEFT_TRANSPORT_SOCKETIO_FILES_H

#include "http/exchange.h"

/** One file that was compiled in (socketio_client.c, which the build makes). */
typedef struct {
    const char *name; /* "socket.io.js", and "socket.io.js.gz" for the same in gzip */
    const char *at, *end;
} socketio_client_file;

/** Ends with a NULL name; empty without the package. */
extern const socketio_client_file socketio_client_files[];
extern const char socketio_client_version[]; /* of the package; "" without it */

/** The names that clients ask for, below a route's path. */
extern const char *const socketio_file_names[]; /* NULL-terminated */

/** True for the last segment of a path that names a client file, there or not. */
bool socketio_files_has(str name);

/** A route_spec's `serve` for GET: the file that the last segment of the path names; 404 for any other name, and, with a sentence on what was missing, when the
 * package was not there. `user` is not looked at. */
void socketio_files_serve(exchange *e, const weft_request *request, void *user);

#endif
