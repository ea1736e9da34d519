#include "serve_socketio.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_NAME = 255 }; /* bytes of a namespace, a topic, a room */

/* In the order of the setting's words. */
typedef enum { RELAY_NOTHING, RELAY_NAMESPACE, RELAY_ROOM } relay;

typedef struct {
    char room[MAX_NAME + 1]; /* with RELAY_ROOM */
} visitor;

static relay relay_of(const settings *s)
{
    return (relay)settings_number(s, SET_SOCKETIO_RELAY);
}

static const char *path_of(const settings *s)
{
    const char *said = settings_text(s, SET_SOCKETIO);
    if (strcmp(said, "off") == 0)
        return NULL;
    return strcmp(said, "on") == 0 ? "/socket.io/" : said;
}

/* --------------------------------------------------------------------------------------------------- names and patterns */

/* What the one star of a pattern stands for in a name; {NULL, 0} when the name does not match. Without a star: the empty end of an equal name. */
static weft_str star_in(weft_str pattern, const char *name)
{
    weft_str none = {NULL, 0};
    size_t len = strlen(name);
    const char *star = memchr(pattern.at, '*', pattern.len);
    size_t before = star ? (size_t)(star - pattern.at) : pattern.len, behind = star ? pattern.len - before - 1 : 0;
    if (len < before + behind || (!star && len != before) || memcmp(name, pattern.at, before) != 0)
        return none;
    if (behind && memcmp(name + len - behind, star + 1, behind) != 0)
        return none;
    return (weft_str){name + before, len - before - behind};
}

/* The two sides of NAMESPACE=TOPIC. */
static weft_str bridge_namespace(const char *bridge)
{
    return (weft_str){bridge, strcspn(bridge, "=")};
}

static const char *bridge_topic(const char *bridge)
{
    return bridge + strcspn(bridge, "=") + 1;
}

static bool has_star(weft_str text)
{
    return memchr(text.at, '*', text.len) != NULL;
}

/* The topic that a bridge with a star has for a namespace. False: it has none, or its name is too long. */
static bool starred_topic(const char *bridge, const char *name, char ret_topic[MAX_NAME + 1])
{
    weft_str pattern = bridge_namespace(bridge),
             star = has_star(pattern) ? star_in(pattern, name) : (weft_str){NULL, 0};
    const char *topic = bridge_topic(bridge);
    int before = (int)strcspn(topic, "*");
    if (!star.at)
        return false;
    int len =
        snprintf(ret_topic, MAX_NAME + 1, "%.*s%.*s%s", before, topic, (int)star.len, star.at, topic + before + 1);
    return len <= MAX_NAME;
}

/* ------------------------------------------------------------------------------------------------------------- sockets */

static bool read_room(weft_peer peer, char ret_room[MAX_NAME + 1])
{
    weft_str room = weft_json_member(weft_socketio_auth(peer), "room");
    return room.len && weft_json_text(room, ret_room, MAX_NAME + 1) > 0;
}

/* The library has the namespace "/" in any case; of the others only those that were added. */
static bool opens_root(weft_str pattern)
{
    size_t n = 1;
    while (n < pattern.len && pattern.at[n] == '*')
        n++;
    return n == pattern.len;
}

static bool is_root_open(const settings *s)
{
    for (const char *const *one = settings_list(s, SET_SOCKETIO_NAMESPACE); *one; one++)
        if (opens_root(weft_str_of(*one)))
            return true;
    for (const char *const *one = settings_list(s, SET_SOCKETIO_BRIDGE); *one; one++)
        if (opens_root(bridge_namespace(*one)))
            return true;
    return false;
}

static void admit(weft_peer peer)
{
    const settings *s = weft_user(peer);
    char room[MAX_NAME + 1];
    if (strcmp(weft_socketio_namespace_of(peer), "/") == 0 && !is_root_open(s))
        weft_socketio_refuse(peer, "Invalid namespace", NULL);
    else if (relay_of(s) == RELAY_ROOM && !read_room(peer, room))
        weft_socketio_refuse(peer, "a room is needed, as in io({ auth: { room: 'kitchen' } })", NULL);
    else
        weft_socketio_admit(peer);
}

/* Namespaces without a star are bridged by the library. */
static void join(weft_peer peer)
{
    const settings *s = weft_user(peer);
    visitor *v = weft_data(peer);
    char topic[MAX_NAME + 1];
    int error = 0;
    if (relay_of(s) == RELAY_ROOM && read_room(peer, v->room))
        error = weft_socketio_join(peer, v->room);
    for (const char *const *one = settings_list(s, SET_SOCKETIO_BRIDGE); *one && !error; one++)
        if (starred_topic(*one, weft_socketio_namespace_of(peer), topic))
            error = weft_subscribe(peer, topic, NULL);
    if (error)
        weft_close(peer, 1008, weft_strerror(error));
}

/* To everybody in the namespace: through its topic, which has them for subscribers, unless the event has binary arguments, which no topic could carry. */
static int relay_to_namespace(weft_peer peer, const weft_socketio_event *event)
{
    const settings *s = weft_user(peer);
    const char *name = weft_socketio_namespace_of(peer);
    char topic[MAX_NAME + 1];
    const weft_message message = {.kind = WEFT_JSON, .data = event->args, .event = event->name};
    for (const char *const *one = settings_list(s, SET_SOCKETIO_BRIDGE); *one && !event->n_attachments; one++)
        if (starred_topic(*one, name, topic))
            return weft_publish(weft_of(peer), topic, &message, NULL);
    const weft_socketio_target everybody = {.path = path_of(s), .nsp = name};
    return weft_socketio_broadcast(weft_of(peer), &everybody, event);
}

static int relay_to_room(weft_peer peer, const weft_socketio_event *event)
{
    const visitor *v = weft_data(peer);
    const char *const rooms[] = {v->room, NULL};
    const weft_socketio_target room = {
        .path = path_of(weft_user(peer)), .nsp = weft_socketio_namespace_of(peer), .rooms = rooms};
    return *v->room ? weft_socketio_broadcast(weft_of(peer), &room, event) : WEFT_E_INVALID;
}

/* Whoever asks for an acknowledgement gets it, without arguments, when the event has been passed on. */
static void pass_on(weft_peer peer, const weft_socketio_event *event)
{
    relay to = relay_of(weft_user(peer));
    if (to == RELAY_NOTHING)
        return;
    int error = to == RELAY_ROOM ? relay_to_room(peer, event) : relay_to_namespace(peer, event);
    if (!error && event->ack.id)
        weft_socketio_acknowledge(event->ack, NULL);
}

/* ------------------------------------------------------------------------------------------------------- configuration */

static void add_namespace(weft *app, const char *path, weft_str pattern, const weft_socketio_options *options)
{
    char *name = copy_text(pattern.at, pattern.len);
    if (strcmp(name, "/") != 0)
        weft_socketio_namespace(app, path, name, options);
    free(name);
}

static void add_bridge(weft *app, const char *path, const char *bridge)
{
    weft_str name = bridge_namespace(bridge);
    if (has_star(name))
        return;
    char *nsp = copy_text(name.at, name.len);
    weft_socketio_bridge(app, &(weft_socketio_target){.path = path, .nsp = nsp}, bridge_topic(bridge));
    free(nsp);
}

static weft_socketio_options options_of(const settings *s)
{
    weft_socketio_options options = {
        .user = (settings *)s,
        .peer_bytes = relay_of(s) == RELAY_ROOM ? sizeof(visitor) : 0,
        .gate = admit,
        .open = join,
        .event = pass_on,
        .recovery_ms = (uint32_t)settings_number(s, SET_SOCKETIO_RECOVERY),
        .engine =
            {
                .origins = settings_list(s, SET_ORIGIN),
                .max_http_buffer_size = settings_number(s, SET_MAX_MESSAGE),
                .deflate = settings_number(s, SET_DEFLATE) != 0,
                .max_messages_per_s = settings_number(s, SET_MAX_MESSAGES_PER_S),
                .max_bytes_per_s = settings_number(s, SET_MAX_BYTES_PER_S),
            },
    };
    if (!*options.engine.origins)
        options.engine.origins = NULL;
    return options;
}

void serve_socketio_add(weft *app, const settings *s)
{
    const char *path = path_of(s);
    if (!path)
        return;
    const weft_socketio_options options = options_of(s);
    const char *const *bridges = settings_list(s, SET_SOCKETIO_BRIDGE);
    weft_socketio(app, path, &options);
    for (const char *const *one = settings_list(s, SET_SOCKETIO_NAMESPACE); *one; one++)
        add_namespace(app, path, weft_str_of(*one), &options);
    for (const char *const *one = bridges; *one; one++)
        add_namespace(app, path, bridge_namespace(*one), &options);
    for (const char *const *one = bridges; *one; one++)
        add_bridge(app, path, *one);
}

void serve_socketio_print(const settings *s)
{
    static const char *const whereto[] = {"nobody", "their namespace", "their room"};
    const char *path = path_of(s);
    if (!path)
        return;
    printf("  socket.io: %s; namespaces:", path);
    for (const char *const *one = settings_list(s, SET_SOCKETIO_NAMESPACE); *one; one++)
        printf(" %s", *one);
    for (const char *const *one = settings_list(s, SET_SOCKETIO_BRIDGE); *one; one++)
        printf(" %s", *one);
    printf("; clients emit to %s\n", whereto[relay_of(s)]);
}
