/* hello: logs a connection, logs each message, greets the client. Try it with a browser's console:
 *   ws = new WebSocket("ws://127.0.0.1:8080"); ws.onmessage = e => console.log(e.data); ws.onopen = () => ws.send("hi") */
#include <stdio.h>
#include <weft.h>

static void greet(weft_peer peer)
{
    weft_peer_info who;
    weft_peer_about(peer, &who);
    printf("connected: %s\n", who.address);
    fflush(stdout);
    weft_send_text(peer, "hello, client");
}

static void print_message(weft_peer peer, const weft_message *message)
{
    (void)peer;
    printf("received: %.*s\n", (int)message->data.len, message->data.at);
    fflush(stdout);
}

static void print_close(weft_peer peer, int code, weft_str reason)
{
    (void)peer;
    printf("closed: %d %.*s\n", code, (int)reason.len, reason.at);
    fflush(stdout);
}

static const char *const any_origin[] = {"*", NULL};

static const weft_websocket_options hello = {
    .open = greet,
    .message = print_message,
    .close = print_close,
    .origins = any_origin,
};

int main(int argc, char **argv)
{
    weft *app = weft_new(NULL);
    weft_websocket(app, "/", &hello);
    weft_listen(app, argc > 1 ? argv[1] : "http://127.0.0.1:8080", NULL);
    if (!weft_error(app))
        printf("listening on %s\n", weft_listening(app, 0));
    fflush(stdout);

    int error = weft_run_until_signal(app);
    if (error)
        fprintf(stderr, "hello: %s\n", weft_error(app));
    weft_free(app);
    return error ? 1 : 0;
}
