#include "demo_socketio.h"

#include "demo_pages.h"
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

enum {
    MAX_NAME = 256,   /* bytes of JSON */
    MAX_KEPT = 16384, /* of one message that the room remembers */
    STEP_MS = 1000,
    STEP_PERCENT = 10,
};

/* Program 3, broadcast: `sendMsg` -> `pushMsg` to everybody. */

static void push(weft_peer peer, const weft_socketio_event *event)
{
    weft_socketio_event same = *event; /* its arguments, binary ones too */
    same.name = weft_str_of("pushMsg");
    weft_socketio_broadcast(weft_of(peer), NULL, &same);
}

/* Program 4, progress: `query` -> `process` with "%0" to "%100", one a second, to that client. */

static void tell_progress(weft_peer peer, void *user)
{
    intptr_t percent = (intptr_t)user;
    char args[16];
    snprintf(args, sizeof args, "[\"%%%d\"]", (int)percent);
    weft_socketio_emit(peer, "process", args);
    if (percent < 100)
        weft_peer_after(peer, STEP_MS, tell_progress, (void *)(percent + STEP_PERCENT));
}

/* Program 5, chat room: `message` with {type: "LOGIN", name} or {type: "CHAT", message}. */

/* The name as the client sent it, JSON with its quotes: it is passed on and never read. */
typedef struct {
    char name[MAX_NAME];
} guest;

/* The oldest goes when there are enough, and one that is large is not kept at all. */
static void remember(demo_room *room, const char *message)
{
    struct timeval now;
    char *kept;
    gettimeofday(&now, NULL);
    if (strlen(message) > MAX_KEPT ||
        asprintf(&kept, "{\"at\":%lld,\"message\":%s}", now.tv_sec * 1000ll + now.tv_usec / 1000, message) < 0)
        return;
    if (room->n == DEMO_KEPT) {
        free(room->said[0]);
        memmove(room->said, room->said + 1, --room->n * sizeof *room->said);
    }
    room->said[room->n++] = kept;
}

/* A message of the room: an object, which everybody gets and the room remembers. */
__attribute__((format(printf, 2, 3))) static void tell_all(weft_peer peer, const char *format, ...)
{
    char *args;
    va_list list;
    va_start(list, format);
    int len = vasprintf(&args, format, list);
    va_end(list);
    if (len < 0)
        return;
    weft_socketio_event message = {.name = weft_str_of("message"), .args = {args, (size_t)len}};
    if (weft_socketio_broadcast(weft_of(peer), NULL, &message) == 0) {
        args[len - 1] = '\0'; /* without the brackets of the array */
        remember(weft_user(peer), args + 1);
    }
    free(args);
}

/* What the room remembers, for whoever comes: an event of this demo's own page, which others do not listen to. */
static void tell_history(weft_peer peer, const demo_room *room)
{
    char *args = NULL;
    size_t len;
    FILE *text = open_memstream(&args, &len);
    if (!text)
        return;
    fputs("[[", text);
    for (size_t i = 0; i < room->n; i++)
        fprintf(text, "%s%s", i ? "," : "", room->said[i]);
    fputs("]]", text);
    if (fclose(text) == 0)
        weft_socketio_emit(peer, "history", args);
    free(args);
}

/* "Ada" and some words: the quote behind the name moves behind the words. */
static void announce(weft_peer peer, const char *type, const char *words)
{
    const guest *who = weft_data(peer);
    tell_all(peer, "[{\"type\":\"%s\",\"message\":%.*s%s\"}]", type, (int)strlen(who->name) - 1, who->name, words);
}

static void log_in(weft_peer peer, weft_str name)
{
    guest *who = weft_data(peer);
    if (name.len < 2 || name.len >= sizeof who->name || *name.at != '"')
        return;
    if (!*who->name)
        tell_history(peer, weft_user(peer));
    memcpy(who->name, name.at, name.len);
    who->name[name.len] = '\0';
    announce(peer, "LOGIN", "加入了聊天");
}

static void say(weft_peer peer, weft_str words)
{
    const guest *who = weft_data(peer);
    if (words.len)
        tell_all(peer, "[{\"type\":\"CHAT\",\"message\":%.*s,\"sender\":%s}]", (int)words.len, words.at,
                 *who->name ? who->name : "null");
}

static bool is(weft_str json, const char *text)
{
    return json.len == strlen(text) && memcmp(json.at, text, json.len) == 0;
}

static void hear(weft_peer peer, weft_str message)
{
    weft_str type = weft_json_member(message, "type");
    if (is(type, "\"LOGIN\""))
        log_in(peer, weft_json_member(message, "name"));
    else if (is(type, "\"CHAT\""))
        say(peer, weft_json_member(message, "message"));
}

static void leave(weft_peer peer, int code, weft_str reason)
{
    const guest *who = weft_data(peer);
    (void)code, (void)reason;
    if (*who->name)
        announce(peer, "LOGOUT", "离开了聊天");
}

/* All of them */

static void take_event(weft_peer peer, const weft_socketio_event *event)
{
    if (weft_socketio_event_is(event, "sendMsg"))
        push(peer, event);
    else if (weft_socketio_event_is(event, "query"))
        tell_progress(peer, (void *)(intptr_t)0);
    else if (weft_socketio_event_is(event, "message"))
        hear(peer, weft_socketio_argument(event, 0));
}

void demo_socketio_add(weft *app, const char *port, demo_room *room)
{
    static const char *const any_origin[] = {"*", NULL};
    const weft_socketio_options options = {
        .user = room,
        .peer_bytes = sizeof(guest),
        .event = take_event,
        .close = leave,
        .engine = {.origins = any_origin},
    };
    weft_socketio(app, "/socket.io/", &options);
    weft_socketio_files(app, "/socket.io.js");
    demo_pages_add(app, port);
}

void demo_room_done(demo_room *room)
{
    while (room->n)
        free(room->said[--room->n]);
}
