/*
 * weft-conformance engineio: Engine.IO at /engine.io/ with a heartbeat each 300 ms, whose messages come back as they came.
 */
#include "suites.h"

static const char *const any_origin[] = {"*", NULL};

static void echo(weft_peer peer, const weft_message *message)
{
    weft_send(peer, message);
}

void add_engineio(weft *app)
{
    static const weft_engineio_options options = {
        .message = echo,
        .engine = {.ping_interval_ms = 300, .ping_timeout_ms = 200, .origins = any_origin},
    };
    weft_engineio(app, "/engine.io/", &options);
}
