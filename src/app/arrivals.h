/**
 * How connections come to workers: the first one accepts, and hands each to the worker that has the fewest.
 */
#ifndef WEFT_APP_ARRIVALS_H
#define WEFT_APP_ARRIVALS_H

#include "app/app.h"

/** A listener_accepted_fn; the listener is an app_listener's. What cannot be handed over stays here. */
void arrivals_accepted(listener *l, int fd, address_use *use);

#endif
