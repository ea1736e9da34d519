/**
 * What the calls that add routes have in common.
 */
#ifndef WEFT_APP_ROUTES_H
#define WEFT_APP_ROUTES_H

#include "app/app.h"

/** Adds a route on a path as the program wrote it. Takes spec.user, on failure too (free_user must be set); NULL means that there was no memory
 * for it. Errors stick. */
int app_add_route(weft *app, const char *path, route_spec spec);

#endif
