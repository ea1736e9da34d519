/**
 * The numbers of an application for Prometheus (text format 0.0.4). Everything is counted where it happens, so a page costs the same for ten peers and
 * for a hundred thousand.
 */
#ifndef WEFT_APP_METRICS_H
#define WEFT_APP_METRICS_H

#include "app/app.h"
#include "base/buf.h"

/** Appends the page. 0, or -ENOMEM with a part of it appended. */
int metrics_put(const weft *app, buf *page);

#endif
