/*
 * weft-conformance socketio: Socket.IO at /socket.io/ with a heartbeat each 300 ms. Its namespaces "/" and "/custom" emit `auth` with what the client
 * authorises itself with; in "/" `message` comes back as `message-back`, and `message-with-ack` is acknowledged with its arguments.
 *
 * weft-conformance socketio-broadcast: `sendMsg` goes to everybody as `pushMsg`, its sender too, and is acknowledged.
 *
 * weft-conformance socketio-soak: the same, also in "/visit-" and anything; `join` joins a room, and who is gone is soon forgotten.
 */
#include "suites.h"
#include <stdlib.h>
#include <string.h>

static const char *const any_origin[] = {"*", NULL};

/* An array of one argument. */
static void emit_one(weft_peer peer, const char *name, weft_str argument)
{
    char *args = malloc(argument.len + 3);
    if (!args)
        return;
    args[0] = '[';
    memcpy(args + 1, argument.at, argument.len);
    memcpy(args + 1 + argument.len, "]", 2);
    weft_socketio_emit(peer, name, args);
    free(args);
}

static void tell_auth(weft_peer peer)
{
    emit_one(peer, "auth", weft_socketio_auth(peer));
}

static void echo(weft_peer peer, const weft_socketio_event *event)
{
    weft_socketio_event back = *event;
    back.name = (weft_str){"message-back", 12};
    if (weft_socketio_event_is(event, "message"))
        weft_socketio_emit_event(peer, &back);
    else if (weft_socketio_event_is(event, "message-with-ack"))
        weft_socketio_acknowledge_event(event->ack, event);
}

#define ENGINE                                                                                                         \
    {                                                                                                                  \
        .ping_interval_ms = 300, .ping_timeout_ms = 200, .origins = any_origin                                         \
    }

void add_socketio(weft *app)
{
    static const weft_socketio_options options = {
        .open = tell_auth, .event = echo, .connect_timeout_ms = 1000, .engine = ENGINE};
    static const weft_socketio_options custom = {.open = tell_auth};
    weft_socketio(app, "/socket.io/", &options);
    weft_socketio_namespace(app, "/socket.io/", "/custom", &custom);
}

static void push(weft_peer peer, const weft_socketio_event *event)
{
    weft_socketio_event message = *event;
    message.name = (weft_str){"pushMsg", 7};
    if (!weft_socketio_event_is(event, "sendMsg"))
        return;
    weft_socketio_broadcast(weft_of(peer), NULL, &message);
    if (event->ack.id)
        weft_socketio_acknowledge(event->ack, NULL);
}

static void join_or_push(weft_peer peer, const weft_socketio_event *event)
{
    char room[64];
    if (!weft_socketio_event_is(event, "join"))
        push(peer, event);
    else if (weft_json_text(weft_socketio_argument(event, 0), room, sizeof room) > 0 &&
             weft_socketio_join(peer, room) == 0 && event->ack.id)
        weft_socketio_acknowledge(event->ack, NULL);
}

void add_socketio_soak(weft *app)
{
    static const weft_socketio_options options = {
        .event = join_or_push,
        .connect_timeout_ms = 1000,
        .recovery_ms = 10000,
        .engine = {.ping_interval_ms = 500, .ping_timeout_ms = 2000, .upgrade_timeout_ms = 1000},
    };
    weft_socketio(app, "/socket.io/", &options);
    weft_socketio_namespace(app, "/socket.io/", "/visit-*", &options);
}

void add_socketio_broadcast(weft *app)
{
    static const weft_socketio_options options = {
        .event = push, .recovery_ms = 120000, .engine = {.origins = any_origin}};
    weft_socketio(app, "/socket.io/", &options);
}
