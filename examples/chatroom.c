/* chatroom: a chat over Socket.IO's event `message`. Everybody is told who comes, what is said, and who leaves.
 *   const socket = io('http://127.0.0.1:3000');
 *   socket.on('message', ({ type, message, sender }) => console.log(type, sender, message));
 *   socket.emit('message', { type: 'LOGIN', name: 'Ada' });
 *   socket.emit('message', { type: 'CHAT', message: 'hello' }); */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <weft.h>

/* The name as the client sent it: JSON, "Ada" with its quotes. It is passed on and never read, so nothing has to be unescaped. */
typedef struct {
    char name[256];
} guest;

static int is(weft_str json, const char *text)
{
    return json.len == strlen(text) && memcmp(json.at, text, json.len) == 0;
}

/* Emits `message` with one argument to everybody. */
__attribute__((format(printf, 2, 3))) static void tell_all(weft *app, const char *format, ...)
{
    char *args = NULL;
    size_t len = 0;
    FILE *text = open_memstream(&args, &len);
    if (!text)
        return;
    va_list list;
    va_start(list, format);
    int written = vfprintf(text, format, list);
    va_end(list);
    if (fclose(text) == 0 && written >= 0) {
        weft_socketio_event message = {.name = weft_str_of("message"), .args = {args, len}};
        weft_socketio_broadcast(app, NULL, &message);
    }
    free(args);
}

/* "Ada" and some words: the quote behind the name moves behind the words. */
static void announce(weft_peer peer, const char *type, const char *words)
{
    const guest *who = weft_data(peer);
    tell_all(weft_of(peer), "[{\"type\":\"%s\",\"message\":%.*s%s\"}]", type, (int)strlen(who->name) - 1, who->name,
             words);
}

static void log_in(weft_peer peer, weft_str name)
{
    guest *who = weft_data(peer);
    if (name.len < 2 || name.len >= sizeof who->name || *name.at != '"')
        return;
    memcpy(who->name, name.at, name.len);
    who->name[name.len] = '\0';
    announce(peer, "LOGIN", "加入了聊天");
}

static void say(weft_peer peer, weft_str words)
{
    const guest *who = weft_data(peer);
    if (words.len)
        tell_all(weft_of(peer), "[{\"type\":\"CHAT\",\"message\":%.*s,\"sender\":%s}]", (int)words.len, words.at,
                 *who->name ? who->name : "null");
}

static void hear(weft_peer peer, const weft_socketio_event *event)
{
    weft_str message = weft_socketio_argument(event, 0), type = weft_json_member(message, "type");
    if (!weft_socketio_event_is(event, "message"))
        return;
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

static const char *const any_origin[] = {"*", NULL};

static const weft_socketio_options room = {
    .peer_bytes = sizeof(guest),
    .event = hear,
    .close = leave,
    .engine = {.origins = any_origin},
};

int main(int argc, char **argv)
{
    weft *app = weft_new(NULL);
    weft_socketio(app, "/socket.io/", &room);
    weft_listen(app, argc > 1 ? argv[1] : "http://127.0.0.1:3000", NULL);
    if (!weft_error(app))
        printf("listening on %s\n", weft_listening(app, 0));
    fflush(stdout);

    int error = weft_run_until_signal(app);
    if (error)
        fprintf(stderr, "chatroom: %s\n", weft_error(app));
    weft_free(app);
    return error ? 1 : 0;
}
