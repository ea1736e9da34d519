/* sendmsg: what one client of Socket.IO emits as `sendMsg`, everybody gets as `pushMsg`. In a page:
 *   <script src="http://127.0.0.1:3000/socket.io/socket.io.js"></script>
 *   <script>
 *       const socket = io('http://127.0.0.1:3000');
 *       socket.on('pushMsg', (text) => console.log(text));
 *       socket.emit('sendMsg', 'hello');
 *   </script> */
#include <stdio.h>
#include <weft.h>

static void push(weft_peer peer, const weft_socketio_event *event)
{
    weft_socketio_event same = *event; /* its arguments, binary ones too */
    same.name = weft_str_of("pushMsg");
    if (weft_socketio_event_is(event, "sendMsg"))
        weft_socketio_broadcast(weft_of(peer), NULL, &same);
}

static const char *const any_origin[] = {"*", NULL};

static const weft_socketio_options everybody = {
    .event = push,
    .engine = {.origins = any_origin},
};

int main(int argc, char **argv)
{
    weft *app = weft_new(NULL);
    weft_socketio(app, "/socket.io/", &everybody);
    weft_listen(app, argc > 1 ? argv[1] : "http://127.0.0.1:3000", NULL);
    if (!weft_error(app))
        printf("listening on %s\n", weft_listening(app, 0));
    fflush(stdout);

    int error = weft_run_until_signal(app);
    if (error)
        fprintf(stderr, "sendmsg: %s\n", weft_error(app));
    weft_free(app);
    return error ? 1 : 0;
}
