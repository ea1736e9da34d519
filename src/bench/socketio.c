/* Socket.IO 5 over a WebSocket: https://socket.io/docs/v4/socket-io-protocol. Each text begins with Engine.IO's type, a message's goes on with Socket.IO's. */
#include "proto/socketio.h"
#include "base/mem.h"
#include "bench/websocket.h"
#include "bench/worker.h"

enum { OPENING, CONNECTING, CONNECTED };

typedef struct {
    bench_websocket_state ws; /* first */
    int phase;
    char *head; /* 42["event"," */
    size_t head_len;
} state;

static state *state_of(bench_client *client)
{
    return bench_client_state(client);
}

static bool fail(bench_client *client, const char *why)
{
    bench_client_fail(client, why);
    return false;
}

static void send_text(bench_client *client, str text)
{
    bench_websocket_send(client, STR(""), text, STR(""));
}

static bool opened(bench_client *client)
{
    (void)client;
    return true;
}

/* 0{"sid":...}: asks for the namespace "/". */
static bool take_open(bench_client *client)
{
    if (state_of(client)->phase != OPENING)
        return fail(client, "sent a second open packet");
    state_of(client)->phase = CONNECTING;
    uint32_t n_closed = client->link.n_closed;
    send_text(client, STR("40"));
    return client->link.n_closed == n_closed;
}

static bool take_connect(bench_client *client)
{
    if (state_of(client)->phase != CONNECTING)
        return fail(client, "sent a connect packet that was not asked for");
    state_of(client)->phase = CONNECTED;
    return bench_client_ready(client);
}

/* Events of other names are a server's own affair. */
static bool take_event(bench_client *client, str text)
{
    const state *s = state_of(client);
    static const str tail = {"\"]", 2};
    if (text.len >= s->head_len + tail.len && memcmp(text.at, s->head, s->head_len) == 0 &&
        memcmp(text.at + text.len - tail.len, tail.at, tail.len) == 0)
        return bench_client_message(client, (str){text.at + s->head_len, text.len - s->head_len - tail.len});
    size_t name_end = s->head_len - 2; /* up to and with the quotes of its name */
    if (text.len >= name_end && memcmp(text.at, s->head, name_end) == 0)
        return fail(client, "sent an event that is not one string");
    return true;
}

/* 4 and a packet of Socket.IO. */
static bool take_packet(bench_client *client, str text)
{
    switch (text.len > 1 ? text.at[1] : '\0') {
    case '0':
        return take_connect(client);
    case '1':
        return fail(client, "disconnected by the server");
    case '2':
        return state_of(client)->phase == CONNECTED ? take_event(client, text)
                                                    : fail(client, "sent an event too early");
    case '3':
        return true;
    case '4':
        return fail(client, "refused by the namespace");
    case '5':
    case '6':
        return fail(client, "sent a binary packet");
    default:
        return fail(client, "sent what is no packet of Socket.IO");
    }
}

/* 2, or 2 and something that goes back. */
static bool take_ping(bench_client *client, str text)
{
    uint32_t n_closed = client->link.n_closed;
    bench_tally_add(&client->worker->tally->n_heartbeats, 1);
    bench_websocket_send(client, STR("3"), (str){text.at + 1, text.len - 1}, STR(""));
    return client->link.n_closed == n_closed;
}

static bool take_text(bench_client *client, str text)
{
    char type = text.len ? *text.at : '\0';
    if (state_of(client)->phase == OPENING && type != '0')
        return fail(client, "did not begin with an open packet");
    switch (type) {
    case '4':
        return take_packet(client, text);
    case '2':
        return take_ping(client, text);
    case '0':
        return take_open(client);
    case '1':
        return fail(client, "closed by the server");
    case '3':
    case '6':
        return true;
    default:
        return fail(client, "sent what is no packet of Engine.IO");
    }
}

static void start(bench_client *client)
{
    static const bench_websocket_user user = {
        .query = "EIO=4&transport=websocket", .open = opened, .message = take_text};
    state *s = state_of(client);
    const socketio_head head = {
        .type = SOCKETIO_EVENT, .nsp = STR("/"), .name = str_from(client->worker->plan->event), .has_args = true};
    s->head = mem_new(1 + socketio_head_len(&head) + 1);
    if (!s->head) {
        bench_client_fail(client, "out of memory");
        return;
    }
    s->head[0] = '4';
    s->head_len = 1 + socketio_head_put(s->head + 1, &head);
    s->head[s->head_len++] = '"';
    bench_websocket_start(client, &user);
}

static void send_message(bench_client *client, str payload)
{
    const state *s = state_of(client);
    bench_websocket_send(client, (str){s->head, s->head_len}, payload, STR("\"]"));
}

static void done(bench_client *client)
{
    bench_websocket_done(client);
    mem_free(state_of(client)->head);
    state_of(client)->head = NULL;
}

const bench_protocol bench_socketio = {
    .name = "Socket.IO",
    .state_bytes = sizeof(state),
    .start = start,
    .feed = bench_websocket_feed,
    .send = send_message,
    .done = done,
};
