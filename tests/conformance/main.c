/*
 * weft-conformance NAME --port N [--loops N]: a server for test suites that nobody here wrote. With --tls it serves over
 * TLS, with the certificate that `weft cert --out DIR` has made; with --ping broadcast pings clients that are silent for so long, and
 * drops those that are for twice as long.
 *
 *   ws         WebSocket on any path: every message comes back as it came; messages up to 64 MiB, compressed for
 *              clients that offer it; no pings of its own
 *   ws-context the same, with a compressor and a context for each connection
 *   broadcast  WebSocket on any path: every message goes to every other connection, compressed for clients that offer it
 *   http       any method on any path: 200 with the request's body as it came
 *   engineio, engineio-client, socketio, socketio-broadcast, socketio-soak, socketio-client: in files of their own
 */
#include "suites.h"
#include <limits.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
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
    .deflate = 1,
};

static const weft_websocket_options context_options = {
    .message = echo,
    .origins = any_origin,
    .max_message_bytes = 64 << 20,
    .ping_interval_ms = WEFT_NEVER,
    .deflate = 1,
    .deflate_context = 1,
};

static void join(weft_peer peer)
{
    weft_subscribe(peer, "all", NULL);
}

static void relay(weft_peer peer, const weft_message *message)
{
    weft_publish(weft_of(peer), "all", message, &(weft_publish_options){.except = peer});
}

static uint32_t ping_interval_ms = WEFT_NEVER;

static const weft_websocket_options broadcast_options = {
    .open = join,
    .message = relay,
    .origins = any_origin,
    .deflate = 1,
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

static void add_ws_context(weft *app)
{
    weft_websocket(app, "/*", &context_options);
}

static void add_broadcast(weft *app)
{
    weft_websocket_options options = broadcast_options;
    options.ping_interval_ms = options.ping_timeout_ms = ping_interval_ms;
    weft_websocket(app, "/*", &options);
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
    {"ws-context", "ws", add_ws_context},
    {"broadcast", "ws", add_broadcast},
    {"http", "http", add_http},
    {"engineio", "http", add_engineio},
    {"engineio-client", "http", add_engineio_client},
    {"socketio", "http", add_socketio},
    {"socketio-broadcast", "http", add_socketio_broadcast},
    {"socketio-soak", "http", add_socketio_soak},
    {"socketio-client", "http", add_socketio_client},
    {"socketio-echo", "http", add_socketio_echo},
    {"socketio-others", "http", add_socketio_others},
};

enum { N_SUITES = sizeof suites / sizeof *suites };

static int usage(void)
{
    fprintf(stderr, "usage: weft-conformance ");
    for (size_t i = 0; i < N_SUITES; i++)
        fprintf(stderr, "%s%s", i ? "|" : "", suites[i].name);
    fprintf(stderr, " --port N [--loops N] [--ping MS] [--tls DIR]\n");
    return 2;
}

/* Suites that say `localhost` may mean this one: on the same port, where there is IPv6 and nobody has the port there. */
static bool can_listen_on_ipv6(const char *port)
{
    struct sockaddr_in6 where = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    where.sin6_port = htons((uint16_t)strtoul(port, NULL, 10));
    bool can = fd >= 0 && bind(fd, (const struct sockaddr *)&where, sizeof where) == 0;
    if (fd >= 0)
        close(fd);
    return can;
}

static void listen_on_both(weft *app, char *url, size_t room, const weft_listen_options *options)
{
    weft_listen(app, url, options);
    const char *real = weft_listening(app, 0), *port = real ? strrchr(real, ':') + 1 : NULL;
    if (!port || !can_listen_on_ipv6(port))
        return;
    snprintf(url, room, "%.*s://[::1]:%s", (int)strcspn(real, ":"), real, port);
    weft_listen(app, url, options);
}

static int serve(size_t suite, const char *port, const char *folder, unsigned loops)
{
    char url[64], certificate[PATH_MAX], key[PATH_MAX];
    weft_certificate pair = {certificate, key};
    snprintf(url, sizeof url, "%s://127.0.0.1:%s", folder ? "https" : "http", port);
    snprintf(certificate, sizeof certificate, "%s/cert.pem", folder ? folder : "");
    snprintf(key, sizeof key, "%s/key.pem", folder ? folder : "");
    weft *app = weft_new(&(weft_options){.loops = loops});
    suites[suite].add(app);
    listen_on_both(app, url, sizeof url,
                   &(weft_listen_options){.hosts = any_origin, /* suites ask by all kinds of names */
                                          .certificates = &pair,
                                          .n_certificates = folder != NULL});
    if (!weft_error(app)) {
        printf("ready %s%s\n", suites[suite].scheme, weft_listening(app, 0) + strlen("http")); /* "s" remains, or not */
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
    const char *port = NULL, *folder = NULL, *loops = getenv("WEFT_LOOPS");
    for (int i = 2; i < argc; i++) {
        if (i + 1 < argc && strcmp(argv[i], "--port") == 0)
            port = argv[++i];
        else if (i + 1 < argc && strcmp(argv[i], "--tls") == 0)
            folder = argv[++i];
        else if (i + 1 < argc && strcmp(argv[i], "--loops") == 0)
            loops = argv[++i];
        else if (i + 1 < argc && strcmp(argv[i], "--ping") == 0)
            ping_interval_ms = (uint32_t)strtoul(argv[++i], NULL, 10);
        else
            return usage();
    }
    for (size_t i = 0; port && i < N_SUITES; i++)
        if (strcmp(argv[1], suites[i].name) == 0)
            return serve(i, port, folder, loops ? (unsigned)strtoul(loops, NULL, 10) : 1);
    return usage();
}
