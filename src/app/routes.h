/**
 * What the calls that add routes and listeners have in common.
 */
#ifndef WEFT_APP_ROUTES_H
#define WEFT_APP_ROUTES_H

#include "app/app.h"

/** Adds a route on a path as the program wrote it. Takes spec.user, on failure too (free_user must be set); NULL means that there was no memory
 * for it. Errors stick. */
int app_add_route(weft *app, const char *path, route_spec spec);

/** Listens for a server on all addresses of one name, on one port, also when the kernel picks it. 0 or an error, which does not stick yet. */
int app_listen_on(weft *app, http_server *server, address *all, int n, const weft_listen_options *options);

/** The address of the n-th listener of a server; NULL past the last. */
const char *app_listening(const weft *app, const http_server *server, size_t n);

#endif
