/*
 * weft-conformance engineio-client: the server that the tests of npm's engine.io-client talk to. It knows a few words, takes no more than
 * 100 bytes, and refuses who has `deny` in the query.
 */
#include "suites.h"
#include <stdio.h>
#include <string.h>
#include <time.h>

static void set_cookies(weft_exchange exchange)
{
    char last[96];
    time_t now = time(NULL);
    strftime(last, sizeof last, "4=4; Expires=%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&now, &(struct tm){0}));
    weft_header(exchange, "Set-Cookie", "1=1; Max-Age=86400");
    weft_header(exchange, "Set-Cookie", "2=2; Path=/; HttpOnly; Secure; SameSite=Strict");
    weft_header(exchange, "Set-Cookie", "3=3; Max-Age=0");
    weft_header(exchange, "Set-Cookie", last);
}

static void decide(weft_exchange exchange, const weft_request *request, void *user)
{
    (void)user;
    if (weft_request_query_value(request, "deny").at) {
        weft_reject(exchange, 403, NULL);
        return;
    }
    set_cookies(exchange);
    weft_accept(exchange, NULL);
}

static void greet(weft_peer peer)
{
    weft_send_text(peer, "hi");
}

/* A name in lower case, as node has it, and a value without what JSON would escape: enough for what the suite looks at. */
static int put_header(char *at, size_t room, weft_str name, weft_str value)
{
    char lower[64], quoted[1024];
    size_t i;
    for (i = 0; i < name.len && i + 1 < sizeof lower; i++)
        lower[i] = (char)(name.at[i] >= 'A' && name.at[i] <= 'Z' ? name.at[i] | 0x20 : name.at[i]);
    lower[i] = '\0';
    if (weft_json_quote(value, quoted, sizeof quoted) < 0)
        return 0;
    return snprintf(at, room, "\"%s\":%s", lower, quoted);
}

static void send_headers(weft_peer peer)
{
    char text[16384] = "{";
    const weft_request *request = weft_peer_request(peer);
    weft_str name, value;
    size_t len = 1;
    for (size_t n = 0; weft_request_header_at(request, n, &name, &value) && len < sizeof text - 2048; n++) {
        if (len > 1)
            text[len++] = ',';
        len += (size_t)put_header(text + len, sizeof text - len, name, value);
    }
    text[len++] = '}';
    weft_send_data(peer, WEFT_TEXT, text, len);
}

static int is(const weft_message *message, const char *word)
{
    return message->kind == WEFT_TEXT && message->data.len == strlen(word) &&
           memcmp(message->data.at, word, message->data.len) == 0;
}

static void answer(weft_peer peer, const weft_message *message)
{
    if (is(message, "give binary"))
        weft_send_data(peer, WEFT_BINARY, "\0\1\2\3\4", 5);
    else if (is(message, "give utf8"))
        weft_send_text(peer, "пойду спать всем спокойной ночи");
    else if (is(message, "sendHeaders"))
        send_headers(peer);
    else
        weft_send(peer, message);
}

void add_engineio_client(weft *app)
{
    static const weft_engineio_options options = {
        .request = decide,
        .open = greet,
        .message = answer,
        .engine = {.ping_interval_ms = 500, .max_http_buffer_size = 100},
    };
    weft_engineio(app, "/engine.io/", &options);
}
