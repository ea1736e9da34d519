/**
 * The numbers of an application for Prometheus (text format 0.0.4). Everything is counted where it happens, so a page costs the same for ten peers and
 * for a hundred thousand.
 */
#ifndef WEFT_APP_METRICS_H
#define WEFT_APP_METRICS_H

#include "app/tally.h"
#include "base/buf.h"

/** Appends the page: what the workers have counted, and what is told of the application as a whole. 0, or -ENOMEM with a part of it appended. */
int metrics_put(const weft *app, const tally *t, buf *page);

#endif
