/*
 * For measurements, with the options of npm's server: the event `echo` comes back with its arguments (weft-conformance socketio-echo), or goes to every other
 * client (socketio-others).
 */
#include "suites.h"

static void send_back(weft_peer peer, const weft_socketio_event *event)
{
    weft_socketio_emit_event(peer, event);
}

void add_socketio_echo(weft *app)
{
    static const weft_socketio_options options = {.event = send_back};
    weft_socketio(app, "/socket.io/", &options);
}

static void send_to_others(weft_peer peer, const weft_socketio_event *event)
{
    weft_socketio_broadcast(weft_of(peer), &(weft_socketio_target){.sender = peer}, event);
}

void add_socketio_others(weft *app)
{
    static const weft_socketio_options options = {.event = send_to_others};
    weft_socketio(app, "/socket.io/", &options);
}
