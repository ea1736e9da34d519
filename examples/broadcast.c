/* broadcast: every text message goes to every connection, its sender too, as text. */
#include <stdio.h>
#include <weft.h>

static void join(weft_peer peer)
{
    weft_subscribe(peer, "everybody", NULL);
}

static void pass_on(weft_peer peer, const weft_message *message)
{
    if (message->kind == WEFT_TEXT)
        weft_publish(weft_of(peer), "everybody", message, NULL);
}

static const char *const any_origin[] = {"*", NULL};

static const weft_websocket_options broadcast = {
    .open = join,
    .message = pass_on,
    .origins = any_origin,
};

int main(int argc, char **argv)
{
    weft *app = weft_new(NULL);
    weft_websocket(app, "/", &broadcast);
    weft_listen(app, argc > 1 ? argv[1] : "http://127.0.0.1:3000", NULL);
    if (!weft_error(app))
        printf("listening on %s\n", weft_listening(app, 0));
    fflush(stdout);

    int error = weft_run_until_signal(app);
    if (error)
        fprintf(stderr, "broadcast: %s\n", weft_error(app));
    weft_free(app);
    return error ? 1 : 0;
}
