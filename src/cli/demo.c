#include "demo.h"

#include "demo_page.h"
#include "options.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <weft.h>

enum {
    DEFAULT_PORT = 3000,
    DEFAULT_WS_PORT = 8080,
    LOGGED_BYTES = 200, /* of a message */
};

typedef struct {
    long port, ws_port;
    char *page; /* the chat page with the real port of the announcement channel */
    size_t page_len;
} demo;

/* ------------------------------------------------------------------------------------------------------------- options */

static const char *take_port(const char *value, long *port)
{
    *port = read_number(value, 65535);
    return *port < 0 ? "is not a port from 0 to 65535" : NULL;
}

static const char *take_page_port(const char *value, void *settings)
{
    return take_port(value, &((demo *)settings)->port);
}

static const char *take_ws_port(const char *value, void *settings)
{
    return take_port(value, &((demo *)settings)->ws_port);
}

static const option options[] = {
    {"port", "N", "the page and the broadcast program; 3000 (0: a free one)", take_page_port},
    {"ws-port", "N", "the announcement channel; 8080 (0: a free one)", take_ws_port},
};

enum { N_OPTIONS = sizeof options / sizeof *options };

static int help(void)
{
    printf("usage: weft demo [OPTIONS]\n\n"
           "Serves the example programs to this machine: an announcement chat with its page, and a broadcast.\n\n");
    options_help(options, N_OPTIONS);
    return 0;
}

/* ------------------------------------------------------------------------------------------------------------ programs */

static const char *const any_origin[] = {"*", NULL};

static void print_peer(weft_peer peer, const char *what)
{
    weft_peer_info who;
    if (weft_peer_about(peer, &who) == 0)
        printf("%s %s\n", who.address, what);
    fflush(stdout);
}

/* Program 2, broadcast: every text message to every connection, its sender too, as text. */

static void join_broadcast(weft_peer peer)
{
    weft_subscribe(peer, "broadcast", NULL);
}

static void pass_on(weft_peer peer, const weft_message *message)
{
    if (message->kind == WEFT_TEXT)
        weft_publish(weft_of(peer), "broadcast", message, NULL);
}

static const weft_websocket_options broadcast = {
    .open = join_broadcast,
    .message = pass_on,
    .origins = any_origin,
};

/* Programs 1 and 6, hello and announcements: logs, greets, and relays everything byte for byte as binary. */

static const char welcome[] = "{\"system\":true,\"text\":\"你已连接公告频道\"}";

static void join_announcements(weft_peer peer)
{
    print_peer(peer, "connected");
    weft_send_data(peer, WEFT_BINARY, welcome, strlen(welcome));
    weft_subscribe(peer, "announcements", NULL);
}

/* What a stranger sends is printed without what a terminal would obey. */
static void print_message(weft_peer peer, weft_str data)
{
    char line[LOGGED_BYTES + 16];
    size_t n = data.len < LOGGED_BYTES ? data.len : LOGGED_BYTES;
    int len = snprintf(line, sizeof line, "said ");
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)data.at[i];
        line[len++] = c < 0x20 || c == 0x7F ? '.' : (char)c;
    }
    snprintf(line + len, sizeof line - (size_t)len, "%s", n < data.len ? "..." : "");
    print_peer(peer, line);
}

static void announce(weft_peer peer, const weft_message *message)
{
    weft_message bytes = {.kind = WEFT_BINARY, .data = message->data};
    print_message(peer, message->data);
    weft_publish(weft_of(peer), "announcements", &bytes, NULL);
}

static void leave_announcements(weft_peer peer, int code, weft_str reason)
{
    char what[64];
    (void)reason; /* a stranger's words again */
    snprintf(what, sizeof what, "left (%d)", code);
    print_peer(peer, what);
}

static const weft_websocket_options announcements = {
    .open = join_announcements,
    .message = announce,
    .close = leave_announcements,
    .origins = any_origin,
};

/* The page for a browser, a JSON answer for anything else. */
static void serve_front(weft_exchange exchange, const weft_request *request, void *user)
{
    static const char json[] = "{\"code\":200,\"data\":\"hello world\",\"msg\":\"success\"}";
    const demo *d = user;
    weft_str accepted = weft_request_header(request, "Accept");
    weft_header(exchange, "Vary", "Accept");
    if (accepted.len && memmem(accepted.at, accepted.len, "text/html", strlen("text/html"))) {
        weft_header(exchange, "Cache-Control", "no-cache");
        weft_answer(exchange, 200, "text/html; charset=utf-8", d->page, d->page_len);
    } else {
        weft_answer(exchange, 200, "application/json", json, strlen(json));
    }
}

/* --------------------------------------------------------------------------------------------------------------- start */

/* Puts the port of the announcement channel into the page. 0 or -1 without memory. */
static int make_page(demo *d, const char *ws_port)
{
    static const char mark[] = "name=\"weft-ws-port\" content=\"";
    const char *found = memmem(demo_page, demo_page_len, mark, strlen(mark));
    const char *before = found ? found + strlen(mark) : demo_page + demo_page_len;
    const char *after = found ? strchr(before, '"') : before;
    size_t room = demo_page_len + strlen(ws_port) + 1;
    d->page = malloc(room);
    if (!d->page)
        return -1;
    int len = snprintf(d->page, room, "%.*s%s%s", (int)(before - demo_page), demo_page, found ? ws_port : "", after);
    d->page_len = (size_t)len;
    return 0;
}

/* Listens on a port of this machine; the real port as text in ret_port. */
static void listen_local(weft *app, long port, size_t nth, char ret_port[8])
{
    char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%ld", port);
    weft_listen(app, url, NULL);
    const char *real = weft_listening(app, nth);
    snprintf(ret_port, 8, "%s", real ? strrchr(real, ':') + 1 : "");
}

static void add_routes(weft *app, demo *d, const char *port, const char *ws_port)
{
    char path[16];
    snprintf(path, sizeof path, ":%s/", port);
    weft_get(app, path, serve_front, d);
    weft_websocket(app, path, &broadcast);
    snprintf(path, sizeof path, ":%s/", ws_port);
    weft_websocket(app, path, &announcements);
}

static void print_addresses(const char *port, const char *ws_port)
{
    printf("weft demo: open to this machine only, to pages of any origin. Ctrl-C ends it.\n"
           "  http://127.0.0.1:%s/  announcement chat: open it in two browsers\n"
           "  ws://127.0.0.1:%s/    broadcast: every text message to every connection\n"
           "  ws://127.0.0.1:%s/    announcements: a greeting, and every message to everybody, as binary\n",
           port, port, ws_port);
    fflush(stdout);
}

static int serve(demo *d)
{
    char port[8], ws_port[8];
    weft *app = weft_new(NULL);
    listen_local(app, d->port, 0, port);
    listen_local(app, d->ws_port, 1, ws_port);
    if (!weft_error(app) && make_page(d, ws_port) == 0) {
        add_routes(app, d, port, ws_port);
        print_addresses(port, ws_port);
    }
    int error = weft_run_until_signal(app);
    if (error)
        fprintf(stderr, "weft demo: %s\n", weft_error(app));
    weft_free(app);
    free(d->page);
    return error ? EXIT_FAILED : 0;
}

int run_demo(char **argv)
{
    demo d = {.port = DEFAULT_PORT, .ws_port = DEFAULT_WS_PORT};
    if (*argv && (strcmp(*argv, "--help") == 0 || strcmp(*argv, "-h") == 0))
        return help();
    int error = options_read("weft demo", options, N_OPTIONS, argv, &d);
    return error ? error : serve(&d);
}
