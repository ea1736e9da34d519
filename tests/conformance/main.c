/*
 * weft-conformance NAME --port N: a server for test suites that nobody here wrote.
 *
 *   ws         WebSocket on any path: every message comes back as it came; messages up to 64 MiB; no pings of its own
 *   broadcast  WebSocket on any path: every message goes to every other connection
 *   http       any method on any path: 200 with the request's body as it came
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <weft.h>

static const char *const any_origin[] = {"*", NULL}; /* also: any host */

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

static void echo_body(weft_exchange exchange, const weft_request *request, void *user)
{
    weft_str body = weft_request_body(request);
    (void)user;
    weft_answer(exchange, 200, "application/octet-stream", body.at, body.len);
}

static void add_ws(weft *app)
{
    weft_websocket(app, "/*", &echo_options);
}

static void add_broadcast(weft *app)
{
    weft_websocket(app, "/*", &broadcast_options);
}

static void add_http(weft *app)
{
    weft_route(app, "*", "/*", &(weft_route_options){.request = echo_body, .origins = any_origin});
}

static const struct {
    const char *name, *scheme;
    void (*add)(weft *app);
} suites[] = {
    {"ws", "ws", add_ws},
    {"broadcast", "ws", add_broadcast},
    {"http", "http", add_http},
};

enum { N_SUITES = sizeof suites / sizeof *suites };

static int usage(void)
{
    fprintf(stderr, "usage: weft-conformance ws|broadcast|http --port N [--loops 1]\n");
    return 2;
}

static int serve(size_t suite, const char *port)
{
    char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%s", port);
    weft *app = weft_new(NULL);
    suites[suite].add(app);
    weft_listen(app, url, &(weft_listen_options){.hosts = any_origin}); /* suites ask by all kinds of names */
    if (!weft_error(app)) {
        printf("ready %s://%s\n", suites[suite].scheme, weft_listening(app, 0) + strlen("http://"));
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
    const char *port = NULL;
    for (int i = 2; i < argc; i += 2) {
        if (i + 1 < argc && strcmp(argv[i], "--port") == 0)
            port = argv[i + 1];
        else if (i + 1 >= argc || strcmp(argv[i], "--loops") != 0 || strcmp(argv[i + 1], "1") != 0)
            return usage();
    }
    for (size_t i = 0; port && i < N_SUITES; i++)
        if (strcmp(argv[1], suites[i].name) == 0)
            return serve(i, port);
    return usage();
}
