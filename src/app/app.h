/**
 * The application: its workers, and what they share: options, routes, listeners.
 */
#ifndef WEFT_APP_APP_H
#define WEFT_APP_APP_H

#include "app/worker.h"
#include "hub/links.h"
#include "net/listener.h"
#include <time.h>

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
    router routes;
    http_servers servers; /* of all workers */
    hub_links links;      /* of their hubs */
    const topic_rule *rules;
    topic_rule **rules_end;
    app_listener *listeners, **listeners_end;
    tls_context *tls_contexts;       /* those of all listeners, the newest first */
    bool began;                      /* to run: from here on nothing of the above changes */
    atomic_bool running;             /* inside weft_run(); relaxed: other threads are only refused by it */
    admin *admin;                    /* NULL: no weft_admin() */
    struct socketio_route *socketio; /* the first; NULL: no weft_socketio() */
    time_t started;                  /* the wall clock's seconds when it was made */
    atomic_uint n_stops;             /* calls of weft_stop(); relaxed: the inbox orders what follows */
    pthread_mutex_t error_lock;      /* of the next two: a call that comes too late may come from any worker */
    int error;                       /* the first configuration error */
    char *error_text;                /* NULL: no memory for it */
    unsigned next_worker;            /* whose turn it is to get a connection, of those that have the fewest */
    unsigned n_workers;
    worker workers[];
};

/** Remembers the first configuration error; returns `error`. */
int app_fail(weft *app, int error, const char *format, ...) __attribute__((format(printf, 3, 4)));

/** Sets what the options limit; what they do not say keeps its default. A proxy that cannot be read sticks. */
void app_apply_limits(weft *app);

/** WEFT_E_INVALID and a sticky error once the application runs; -ENOMEM for NULL; else 0. */
int app_check_configuring(weft *app, const char *call);

#endif
