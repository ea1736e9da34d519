/**
 * The listener for operators: /health/live, /health/ready and /metrics (weft_admin).
 *
 * It has a network, an HTTP server and routes of its own. So nothing of the program's is reached there, and nothing of it elsewhere; what it does is not
 * counted among what it tells; and a drain, which ends when the application's own network is empty, passes it by.
 */
#ifndef WEFT_APP_ADMIN_H
#define WEFT_APP_ADMIN_H

#include "app/app.h"

struct admin {
    net net;
    http_server http;
    router routes;
    list_node gatherings; /* pages that wait for the numbers of other workers */
    uint64_t n_gatherings;
};

/** An application without one is fine for all of these. */
void admin_start(weft *app);

/** The last connection of the application has gone: closes listeners and connections. Twice is fine. */
void admin_stop(weft *app);

/** Stops it, and frees it. */
void admin_free(weft *app);

/** Answers an operator: not to be cached. */
void admin_answer(exchange *e, int status, str type, str body);

#endif
