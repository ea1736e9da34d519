/* progress: a client of Socket.IO emits `query`, and is told how far its work has come: `process` with "%0", "%10" and so on to "%100", one a second.
 *   const socket = io('http://127.0.0.1:3000');
 *   socket.on('process', (percent) => console.log(percent));
 *   socket.emit('query'); */
#include <stdint.h>
#include <stdio.h>
#include <weft.h>

/* The timer goes with its client: who leaves is told nothing more. */
static void tell(weft_peer peer, void *user)
{
    intptr_t percent = (intptr_t)user;
    char args[16];
    snprintf(args, sizeof args, "[\"%%%d\"]", (int)percent);
    weft_socketio_emit(peer, "process", args);
    if (percent < 100)
        weft_peer_after(peer, 1000, tell, (void *)(percent + 10));
}

static void begin(weft_peer peer, const weft_socketio_event *event)
{
    if (weft_socketio_event_is(event, "query"))
        tell(peer, (void *)(intptr_t)0);
}

static const char *const any_origin[] = {"*", NULL};

static const weft_socketio_options work = {
    .event = begin,
    .engine = {.origins = any_origin},
};

int main(int argc, char **argv)
{
    weft *app = weft_new(NULL);
    weft_socketio(app, "/socket.io/", &work);
    weft_listen(app, argc > 1 ? argv[1] : "http://127.0.0.1:3000", NULL);
    if (!weft_error(app))
        printf("listening on %s\n", weft_listening(app, 0));
    fflush(stdout);

    int error = weft_run_until_signal(app);
    if (error)
        fprintf(stderr, "progress: %s\n", weft_error(app));
    weft_free(app);
    return error ? 1 : 0;
}
