/**
 * The application: one loop with its network, peers, topics and routes, and the states it goes through.
 */
#ifndef WEFT_APP_APP_H
#define WEFT_APP_APP_H

#include "app/drain.h"
#include "http/http1_connection.h"
#include "hub/topic.h"
#include "net/listener.h"
#include <stdatomic.h>
#include <time.h>

typedef enum {
    APP_CONFIGURING,
    APP_RUNNING,
    APP_DRAINING,
    APP_STOPPED,
} app_state;

typedef struct app_listener {
    struct app_listener *next;
    listener base;
    http_server *server; /* whose connections it accepts: the application's, or its operators' (admin.h) */
    http_site site;
    tls_context *tls; /* NULL: plain HTTP */
} app_listener;

typedef struct admin admin;

struct weft {
    weft_options options;
    logger log;
    loop loop;
    net net;
    slots table;
    hub hub;
    http_server http;
    router routes;
    const topic_rule *rules;
    topic_rule **rules_end;
    app_listener *listeners, **listeners_end;
    tls_context *tls_contexts; /* those of all listeners, the newest first */
    app_state state;
    atomic_bool running; /* inside weft_run(); relaxed: other threads are only refused by it */
    drain drain;
    admin *admin;                    /* NULL: no weft_admin() */
    struct socketio_route *socketio; /* the first; NULL: no weft_socketio() */
    time_t started;                  /* the wall clock's seconds when it was made */
    atomic_uint n_stops;             /* calls of weft_stop(); relaxed: the inbox orders what follows */
    uint64_t n_undelivered;          /* calls from other threads whose peer or exchange was gone, or full */
    int error;                       /* the first configuration error */
    char *error_text;                /* NULL: no memory for it */
};

/** Remembers the first configuration error; returns `error`. */
int app_fail(weft *app, int error, const char *format, ...) __attribute__((format(printf, 3, 4)));

/** Sets what the options limit; what they do not say keeps its default. A proxy that cannot be read sticks. */
void app_apply_limits(weft *app);

/** WEFT_E_INVALID and a sticky error once the application runs; -ENOMEM for NULL; else 0. */
int app_check_configuring(weft *app, const char *call);

#endif
