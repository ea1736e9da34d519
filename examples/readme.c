#include <stdio.h>
#include <weft.h>

static void join(weft_peer peer)
{
    weft_subscribe(peer, "room", NULL);
    weft_send_text(peer, "welcome");
}

static void say(weft_peer peer, const weft_message *message)
{
    weft_publish(weft_of(peer), "room", message, NULL); /* reaches everybody in the room, in one order for all */
}

static const weft_websocket_options chat = {
    .open = join,
    .message = say,
    .max_message_bytes = 16 * 1024,
};
static const weft_sse_options feed = {.open = join};

int main(void)
{
    weft *app = weft_new(NULL);

    weft_websocket(app, "/chat", &chat);
    weft_sse(app, "/events", &feed);
    weft_listen(app, "http://127.0.0.1:3000", NULL);

    int error = weft_run_until_signal(app); /* on SIGTERM clients are told first */
    if (error)
        fprintf(stderr, "chat: %s\n", weft_error(app));
    weft_free(app);
    return error ? 1 : 0;
}
