#include "demo.h"

#include "certificate.h"
#include "demo_page.h"
#include "demo_pages.h"
#include "demo_push.h"
#include "demo_socketio.h"
#include "log.h"
#include "options.h"
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
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
    bool tls;
    char *page; /* the chat page with the real port of the announcement channel */
    size_t page_len;
    char etag[24]; /* of the page */
    demo_waiting waiting;
    demo_room room;
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

static const char *take_tls(const char *value, void *settings)
{
    (void)value;
    ((demo *)settings)->tls = true;
    return NULL;
}

static const option options[] = {
    {.name = "port",
     .value = "N",
     .help = "the page and the broadcast program; 3000 (0: a free one)",
     .take = take_page_port},
    {.name = "ws-port", .value = "N", .help = "the announcement channel; 8080 (0: a free one)", .take = take_ws_port},
    {.name = "tls",
     .help = "over https and wss, with a certificate made at the start that nobody trusts",
     .take = take_tls},
};

enum { N_OPTIONS = sizeof options / sizeof *options };

static const char about[] = "usage: weft demo [OPTIONS]\n\n"
                            "Serves the example programs to this machine: an announcement chat with its\n"
                            "page, a broadcast, polls, Server-Sent Events, and a chat room, a progress bar\n"
                            "and a broadcast over Socket.IO.\n\n";

/* ------------------------------------------------------------------------------------------------------------ programs */

static const char *const any_origin[] = {"*", NULL};

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

/* Where a peer comes from, as it was told when it came: when it leaves, the connection may be gone. */
typedef struct {
    char address[sizeof((weft_peer_info *)NULL)->address];
} visitor;

static void remember_address(weft_peer peer)
{
    visitor *v = weft_data(peer);
    weft_peer_info who;
    bool known = weft_peer_about(peer, &who) == 0 && *who.address;
    snprintf(v->address, sizeof v->address, "%s", known ? who.address : "somebody");
}

static void print_peer(weft_peer peer, const char *what)
{
    const visitor *v = weft_data(peer);
    printf("%s %s\n", v->address, what);
    fflush(stdout);
}

static void join_announcements(weft_peer peer)
{
    remember_address(peer);
    print_peer(peer, "connected");
    weft_send_data(peer, WEFT_BINARY, welcome, strlen(welcome));
    weft_subscribe(peer, "announcements", NULL);
}

/* Controls, C1 ones too, and what turns the direction of the line or breaks it: a terminal would obey. */
static bool is_control(uint32_t character)
{
    return character < 0x20 || (character >= 0x7F && character < 0xA0) || character == 0x200E || character == 0x200F ||
           (character >= 0x2028 && character <= 0x202E) || (character >= 0x2066 && character <= 0x2069);
}

/* Whether n bytes of UTF-8 may say this value. */
static bool is_character(uint32_t value, size_t n_bytes)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    return value >= least[n_bytes] && value <= 0x10FFFF && (value < 0xD800 || value > 0xDFFF);
}

/* Bytes of the character that `at` begins with; 0 when it begins with none (not UTF-8), or with one not to be printed. */
static size_t printable(const char *at, size_t len)
{
    unsigned char first = (unsigned char)at[0];
    if (first < 0x80)
        return !is_control(first);
    size_t n = first < 0xC0 || first > 0xF7 ? 0 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
    if (n == 0 || n > len)
        return 0;
    uint32_t character = first & (0x7Fu >> n);
    for (size_t i = 1; i < n; i++) {
        if ((at[i] & 0xC0) != 0x80)
            return 0;
        character = character << 6 | (at[i] & 0x3F);
    }
    return is_character(character, n) && !is_control(character) ? n : 0;
}

/* What a stranger sends: its beginning, with a dot for each byte that is not to be printed. */
static void print_message(weft_peer peer, weft_str data)
{
    char line[LOGGED_BYTES + 64] = "said ";
    size_t taken = 0, len = strlen(line);
    while (taken < data.len) {
        size_t n = printable(data.at + taken, data.len - taken), step = n ? n : 1;
        if (taken + step > LOGGED_BYTES)
            break;
        memcpy(line + len, n ? data.at + taken : ".", step);
        taken += step;
        len += step;
    }
    line[len] = '\0';
    if (taken < data.len)
        snprintf(line + len, sizeof line - len, "... (%zu bytes)", data.len);
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
    .peer_bytes = sizeof(visitor),
    .open = join_announcements,
    .message = announce,
    .close = leave_announcements,
    .origins = any_origin,
};

/* The page for a browser, a JSON answer for anything else. */
static void serve_front(weft_exchange exchange, const weft_request *request, void *user)
{
    const demo *d = user;
    weft_str accepted = weft_request_header(request, "Accept");
    weft_header(exchange, "Vary", "Accept");
    weft_header(exchange, "Cache-Control", "no-cache");
    if (accepted.len && memmem(accepted.at, accepted.len, "text/html", strlen("text/html")))
        demo_page_answer(exchange, request, d->etag, "text/html; charset=utf-8", (weft_str){d->page, d->page_len});
    else
        weft_answer(exchange, 200, "application/json", demo_answer, strlen(demo_answer));
}

/* --------------------------------------------------------------------------------------------------------------- start */

/* Two pages with the same ETag are the same page (FNV-1a, 64 bits). */
static void make_etag(demo *d)
{
    unsigned long long hash = 0xcbf29ce484222325;
    for (size_t i = 0; i < d->page_len; i++)
        hash = (hash ^ (unsigned char)d->page[i]) * 0x100000001b3;
    snprintf(d->etag, sizeof d->etag, "\"%016llx\"", hash);
}

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
    make_etag(d);
    return 0;
}

/* Listens on a port of this machine; the real port as text in ret_port. */
static void listen_local(weft *app, const memory_certificate *made, long port, size_t nth, char ret_port[8])
{
    char url[64];
    weft_certificate pair = {made->certificate, made->key};
    bool tls = *made->key;
    snprintf(url, sizeof url, "%s://127.0.0.1:%ld", tls ? "https" : "http", port);
    weft_listen(app, url, &(weft_listen_options){.certificates = &pair, .n_certificates = tls});
    const char *real = weft_listening(app, nth);
    snprintf(ret_port, 8, "%s", real ? strrchr(real, ':') + 1 : "");
}

static void add_routes(weft *app, demo *d, const char *port, const char *ws_port)
{
    char path[16];
    snprintf(path, sizeof path, ":%s/", port);
    weft_get(app, path, serve_front, d);
    weft_websocket(app, path, &broadcast);
    demo_push_add(app, port, &d->waiting);
    demo_socketio_add(app, port, &d->room);
    snprintf(path, sizeof path, ":%s/", ws_port);
    weft_websocket(app, path, &announcements);
}

/* Runs on the loop: who reads the addresses can connect, and SIGTERM already drains. */
static void print_addresses(weft *app, void *user)
{
    const char *page = weft_listening(app, 0), *channel = weft_listening(app, 1);
    (void)user;
    page += strlen("http"); /* "s" remains, or not */
    channel += strlen("http");
    printf("weft demo: open to this machine and to web pages of any origin; Ctrl-C ends it\n"
           "  http%s/  announcement chat: open it in two browsers\n"
           "  ws%s/    broadcast: all texts to everybody, as text\n"
           "  ws%s/    announcements: all messages to everybody, as binary\n"
           "  http%s/poll       a JSON answer at once\n"
           "  http%s/longpoll   the same, every two seconds\n"
           "  http%s/events     Server-Sent Events, one a second\n"
           "  http%s/chatroom   Socket.IO: a chat room\n"
           "  http%s/progress   Socket.IO: how far some work is\n"
           "  http%s/sendmsg    Socket.IO: a broadcast\n",
           page, page, channel, page, page, page, page, page, page);
    fflush(stdout);
}

static int start(weft *app, demo *d)
{
    char port[8], ws_port[8];
    const char *problem;
    memory_certificate made = {0};
    if (d->tls && !certificate_in_memory(NULL, &made, &problem))
        return -ENOMEM;
    listen_local(app, &made, d->port, 0, port);
    if (!weft_error(app))
        listen_local(app, &made, d->ws_port, 1, ws_port);
    if (weft_error(app))
        return 0; /* weft_run_until_signal() says it */
    if (make_page(d, ws_port))
        return -ENOMEM;
    add_routes(app, d, port, ws_port);
    return weft_post(app, print_addresses, NULL);
}

static int complain(const weft *app, int error)
{
    const char *name = weft_listening(app, 0) ? "ws-port" : "port";
    fprintf(stderr, "weft demo: %s", weft_error(app) ? weft_error(app) : weft_strerror(error));
    if (error == -EADDRINUSE)
        fprintf(stderr, "; --%s N takes another port, --%s 0 a free one", name, name);
    fputc('\n', stderr);
    return EXIT_FAILED;
}

static int serve(demo *d)
{
    signal(SIGPIPE, SIG_IGN); /* it serves on when nobody reads what it prints */
    weft *app = weft_new(&(weft_options){.log = write_log});
    int error = start(app, d);
    if (!error)
        error = weft_run_until_signal(app);
    int status = error ? complain(app, error) : 0;
    weft_free(app);
    free(d->page);
    demo_room_done(&d->room);
    return status;
}

int run_demo(char **argv)
{
    demo d = {.port = DEFAULT_PORT, .ws_port = DEFAULT_WS_PORT};
    if (options_ask_help(argv))
        return options_help(about, options, N_OPTIONS);
    int error = options_read("weft demo", options, N_OPTIONS, argv, &d);
    return error ? error : serve(&d);
}
