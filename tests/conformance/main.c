/*
 * weft-conformance NAME --port N: a server for test suites that nobody here wrote.
 *
 *   ws         WebSocket on any path: every message comes back as it came; messages up to 64 MiB; no pings of its own
 *   broadcast  WebSocket on any path: every message goes to every other connection
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <weft.h>

static const char *const any_origin[] = {"*", NULL};

static void echo(weft_peer peer, const weft_message *message)
{
    weft_send(peer, message);
}

static const weft_websocket_options echo_options = {
    .message = echo,
    .origins = any_origin,
    .max_message_bytes = 64 << 20,
    .ping_interval_ms = WEFT_NEVER,
};

static void join(weft_peer peer)
{
    weft_subscribe(peer, "all", NULL);
}

static void relay(weft_peer peer, const weft_message *message)
{
    weft_publish(weft_of(peer), "all", message, &(weft_publish_options){.except = peer});
}

static const weft_websocket_options broadcast_options = {
    .open = join,
    .message = relay,
    .origins = any_origin,
    .ping_interval_ms = WEFT_NEVER,
};

static const struct {
    const char *name;
    const weft_websocket_options *options;
} suites[] = {
    {"ws", &echo_options},
    {"broadcast", &broadcast_options},
};

static int usage(void)
{
    fprintf(stderr, "usage: weft-conformance ws|broadcast --port N\n");
    return 2;
}

static int serve(const weft_websocket_options *options, const char *port)
{
    char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%s", port);
    weft *app = weft_new(NULL);
    weft_websocket(app, "/*", options);
    weft_listen(app, url, NULL);
    if (!weft_error(app)) {
        printf("ready ws://%s\n", weft_listening(app, 0) + strlen("http://"));
        fflush(stdout);
    }
    int error = weft_run_until_signal(app);
    if (error)
        fprintf(stderr, "weft-conformance: %s\n", weft_error(app));
    weft_free(app);
    return error ? 1 : 0;
}

int main(int argc, char **argv)
{
    if (argc != 4 || strcmp(argv[2], "--port") != 0)
        return usage();
    for (size_t i = 0; i < sizeof suites / sizeof *suites; i++)
        if (strcmp(argv[1], suites[i].name) == 0)
            return serve(suites[i].options, argv[3]);
    return usage();
}
