/* announcements: greets with a binary frame of JSON; every message received goes to every connection, byte for byte, as a
 * binary frame. */
#include <stdio.h>
#include <string.h>
#include <weft.h>

static const char welcome[] = "{\"system\":true,\"text\":\"你已连接公告频道\"}";

static void join(weft_peer peer)
{
    weft_send_data(peer, WEFT_BINARY, welcome, strlen(welcome));
    weft_subscribe(peer, "announcements", NULL);
}

static void announce(weft_peer peer, const weft_message *message)
{
    weft_message bytes = {.kind = WEFT_BINARY, .data = message->data};
    weft_publish(weft_of(peer), "announcements", &bytes, NULL);
}

static const char *const any_origin[] = {"*", NULL};

static const weft_websocket_options channel = {
    .open = join,
    .message = announce,
    .origins = any_origin,
};

int main(int argc, char **argv)
{
    weft *app = weft_new(NULL);
    weft_websocket(app, "/", &channel);
    weft_listen(app, argc > 1 ? argv[1] : "http://127.0.0.1:8080", NULL);
    if (!weft_error(app))
        printf("listening on %s\n", weft_listening(app, 0));
    fflush(stdout);

    int error = weft_run_until_signal(app);
    if (error)
        fprintf(stderr, "announcements: %s\n", weft_error(app));
    weft_free(app);
    return error ? 1 : 0;
}
