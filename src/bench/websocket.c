#include "bench/websocket.h"
#include "base/base64.h"
#include "bench/worker.h"
#include <sys/random.h>

static bench_websocket_state *state_of(bench_client *client)
{
    return bench_client_state(client);
}

/* xorshift32: masks need to differ from each other, here nobody guesses them. */
static uint32_t next_random(bench_websocket_state *ws)
{
    ws->random ^= ws->random << 13;
    ws->random ^= ws->random >> 17;
    ws->random ^= ws->random << 5;
    return ws->random;
}

/* ------------------------------------------------------------------------------------------------------------- handshake */

/* What comes between the path and what a protocol adds to the query; NULL when that is there already. */
static const char *query_mark(const char *path, const char *query)
{
    const char *has = strchr(path, '?');
    if (!query || strstr(path, query))
        return NULL;
    return has ? "&" : "?";
}

static int put_request(bench_client *client, str key)
{
    const bench_target *target = client->target;
    const char *query = state_of(client)->user->query, *mark = query_mark(target->path, query);
    char offer[WS_DEFLATE_FIELD_BYTES];
    size_t offer_len = client->worker->plan->deflate ? ws_deflate_put_offer(&bench_deflate_offer, offer) : 0;
    const str parts[] = {
        STR("GET "),
        str_from(target->path),
        str_from(mark),
        str_from(mark ? query : NULL),
        STR(" HTTP/1.1\r\nHost: "),
        str_from(target->host),
        STR("\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "),
        key,
        offer_len ? STR("\r\nSec-WebSocket-Extensions: ") : STR(""),
        {offer, offer_len},
        STR("\r\n\r\n"),
    };
    int error = 0;
    for (size_t i = 0; !error && i < sizeof parts / sizeof *parts; i++)
        error = buf_put_str(bench_link_out(&client->link), parts[i]);
    return error;
}

void bench_websocket_start(bench_client *client, const bench_websocket_user *user)
{
    bench_websocket_state *ws = state_of(client);
    char nonce[16 + sizeof ws->random], key[WS_KEY_LEN];
    ws->user = user;
    ws_decoder_init(&ws->decoder, WS_CLIENT, BENCH_MAX_MESSAGE_BYTES);
    bench_response_init(&ws->response);
    if (getrandom(nonce, sizeof nonce, 0) != sizeof nonce) {
        bench_client_fail(client, "without a random key");
        return;
    }
    base64_encode(nonce, 16, key);
    memcpy(&ws->random, nonce + 16, sizeof ws->random);
    ws->random |= 1;
    if (ws_accept_value((str){key, sizeof key}, ws->accept) || put_request(client, (str){key, sizeof key}))
        bench_client_fail(client, "out of memory");
    else
        bench_link_flush(&client->link);
}

/* The answer to what was offered. NULL, or what is wrong. */
static const char *agree_extensions(bench_client *client, str head)
{
    bench_websocket_state *ws = state_of(client);
    str answer = bench_response_field(head, "Sec-WebSocket-Extensions");
    ws_deflate agreed;
    if (!client->worker->plan->deflate)
        return answer.at ? "answered with an extension that was not offered" : NULL;
    if (!answer.at)
        return "answered without permessage-deflate";
    if (!ws_deflate_read_answer(answer, &bench_deflate_offer, &agreed))
        return "answered with other extensions than were offered";
    ws->deflate = bench_deflate_new(&agreed);
    if (!ws->deflate)
        return "out of memory";
    ws_decoder_allow_deflate(&ws->decoder);
    return NULL;
}

/* RFC 6455 §4.1: what a client checks. NULL, or what is wrong. */
static const char *check_answer(bench_client *client, str head)
{
    const bench_websocket_state *ws = state_of(client);
    if (ws->response.status != 101)
        return bench_response_unwanted(ws->response.status);
    if (!str_equal_nocase(bench_response_field(head, "Upgrade"), STR("websocket")))
        return "answered without Upgrade: websocket";
    if (!bench_response_has_token(head, "Connection", "upgrade"))
        return "answered without Connection: upgrade";
    if (!str_equal(bench_response_field(head, "Sec-WebSocket-Accept"), (str){ws->accept, sizeof ws->accept}))
        return "answered with a wrong Sec-WebSocket-Accept";
    if (bench_response_field(head, "Sec-WebSocket-Protocol").at)
        return "answered with a subprotocol that was not offered";
    return agree_extensions(client, head);
}

/* How many bytes are behind us; 0 as long as the head is not whole, or when the client is lost. */
static size_t feed_handshake(bench_client *client, const char *at, size_t len)
{
    bench_websocket_state *ws = state_of(client);
    size_t consumed;
    str head;
    bench_response_event event = bench_response_next(&ws->response, at, len, &consumed, &head);
    const char *problem = NULL;
    if (event == BENCH_RESPONSE_MORE)
        return consumed;
    if (event == BENCH_RESPONSE_HEAD)
        problem = check_answer(client, head);
    else
        problem = ws->response.reason;
    if (problem) {
        bench_client_fail(client, problem);
        return 0;
    }
    ws->is_open = true;
    return ws->user->open(client) ? consumed : 0;
}

/* ---------------------------------------------------------------------------------------------------------------- sending */

/* A frame of so many parts. False: no memory. */
static bool put_frame(bench_client *client, ws_opcode opcode, bool compressed, const str *parts, size_t n_parts)
{
    bench_websocket_state *ws = state_of(client);
    buf *out = bench_link_out(&client->link);
    ws_header header = {.opcode = opcode, .fin = true, .rsv1 = compressed, .masked = true};
    uint32_t random = next_random(ws);
    memcpy(header.mask, &random, sizeof header.mask);
    for (size_t i = 0; i < n_parts; i++)
        header.len += parts[i].len;
    if (buf_reserve(out, WS_MAX_HEADER_BYTES + header.len))
        return false;
    out->len += ws_header_put(&header, out->at + out->len);
    for (size_t i = 0, offset = 0; i < n_parts; offset += parts[i++].len) {
        if (parts[i].len)
            ws_mask(out->at + out->len, parts[i].at, parts[i].len, header.mask, offset);
        out->len += parts[i].len;
    }
    bench_link_flush(&client->link);
    return true;
}

void bench_websocket_send(bench_client *client, str head, str payload, str tail)
{
    bench_deflate *deflate = state_of(client)->deflate;
    const str parts[] = {head, payload, tail};
    str packed;
    bool is_put = deflate && bench_deflate_pack(deflate, parts, &packed) ? put_frame(client, WS_TEXT, true, &packed, 1)
                  : head.len                                             ? put_frame(client, WS_TEXT, false, parts, 3)
                             : put_frame(client, WS_TEXT, false, &payload, 1);
    if (!is_put)
        bench_client_fail(client, "out of memory");
}

/* -------------------------------------------------------------------------------------------------------------- receiving */

/* A whole message. False: the client is closed or lost. */
static bool deliver(bench_client *client, str payload, bool compressed)
{
    bench_websocket_state *ws = state_of(client);
    if (compressed) {
        const char *problem = bench_deflate_unpack(ws->deflate, payload, BENCH_MAX_MESSAGE_BYTES, &payload);
        if (problem) {
            bench_client_fail(client, problem);
            return false;
        }
    }
    return ws->user->message(client, payload);
}

static bool take_data(bench_client *client, const ws_event *event)
{
    bench_websocket_state *ws = state_of(client);
    if (event->first && event->last)
        return deliver(client, event->bytes, event->compressed);
    if (buf_put_str(&ws->message, event->bytes)) {
        bench_client_fail(client, "out of memory");
        return false;
    }
    if (!event->last)
        return true;
    str whole = buf_str(&ws->message);
    ws->message.len = 0;
    return deliver(client, whole, event->compressed);
}

static const char *words_of_close(int code)
{
    switch (code) {
    case WS_CODE_NORMAL:
        return "closed by the server with 1000 (normal)";
    case WS_CODE_GOING_AWAY:
        return "closed by the server with 1001 (going away)";
    case WS_CODE_PROTOCOL_ERROR:
        return "closed by the server with 1002 (protocol error)";
    case WS_CODE_INVALID_DATA:
        return "closed by the server with 1007 (invalid data)";
    case WS_CODE_POLICY:
        return "closed by the server with 1008 (policy)";
    case WS_CODE_TOO_LARGE:
        return "closed by the server with 1009 (too large)";
    case WS_CODE_INTERNAL:
        return "closed by the server with 1011 (internal error)";
    case WS_CODE_TRY_LATER:
        return "closed by the server with 1013 (try again later)";
    default:
        return "closed by the server";
    }
}

/* Answers it, and is lost. */
static void take_close(bench_client *client, int code)
{
    uint32_t n_closed = client->link.n_closed;
    char payload[WS_MAX_CONTROL_BYTES];
    str answer = {payload, ws_close_put(code, NULL, 0, payload)};
    if (put_frame(client, WS_CLOSE, false, &answer, 1))
        bench_link_send(&client->link);
    if (client->link.n_closed == n_closed) /* else it was lost in sending */
        bench_client_fail(client, words_of_close(code));
}

/* False: the client is lost. */
static bool take_control(bench_client *client, const ws_event *event)
{
    if (event->opcode == WS_CLOSE) {
        take_close(client, event->code);
        return false;
    }
    bool is_fine = event->opcode == WS_PONG || put_frame(client, WS_PONG, false, &event->bytes, 1);
    bench_tally_add(&client->worker->tally->n_heartbeats, event->opcode == WS_PING);
    if (!is_fine)
        bench_client_fail(client, "out of memory");
    return is_fine;
}

/* The length of the frame with its header; 0 as long as that is not there. */
static uint64_t frame_bytes(const uint8_t *at, size_t len)
{
    size_t n_bytes = len < 2 || at[1] < 126 ? 0 : at[1] == 126 ? 2 : 8;
    uint64_t payload = 0;
    if (len < 2 + n_bytes)
        return 0;
    for (size_t i = 0; i < n_bytes; i++)
        payload = payload << 8 | at[2 + i];
    return 2 + n_bytes + (n_bytes ? payload : at[1] & 0x7f);
}

/* Part of a frame: what is wrong about its header is found now, and room is made for all of it. */
static void await_frame(bench_client *client, char *at, size_t len, uint64_t whole)
{
    ws_decoder trial = state_of(client)->decoder;
    ws_event event;
    ws_decoder_next(&trial, at, len < WS_MAX_HEADER_BYTES ? len : WS_MAX_HEADER_BYTES, &event);
    if (event.type == WS_FAIL)
        bench_client_fail(client, event.reason);
    else
        client->link.wanted = (size_t)whole;
}

/* Any frame. Its length with the header; 0: it is not whole, or the client is closed or lost. */
static size_t take_frame(bench_client *client, char *at, size_t len)
{
    uint64_t whole = frame_bytes((const uint8_t *)at, len);
    ws_event event;
    if (!whole || whole > len) {
        await_frame(client, at, len, whole);
        return 0;
    }
    ws_decoder_next(&state_of(client)->decoder, at, (size_t)whole, &event);
    if (event.type == WS_FAIL) {
        bench_client_fail(client, event.reason);
        return 0;
    }
    bool goes_on = event.type == WS_DATA ? take_data(client, &event) : take_control(client, &event);
    return goes_on ? (size_t)whole : 0;
}

/* A text or binary message of one frame, shorter than 126 bytes and not compressed. */
static bool is_short(const bench_websocket_state *ws, const uint8_t *at, size_t len)
{
    return len >= 2 && (at[0] == 0x81 || at[0] == 0x82) && at[1] < 126 && ws->decoder.opcode == WS_CONTINUATION;
}

size_t bench_websocket_feed(bench_client *client, char *at, size_t len)
{
    bench_websocket_state *ws = state_of(client);
    size_t done = 0;
    if (!ws->is_open) {
        done = feed_handshake(client, at, len);
        if (!done || !ws->is_open)
            return done;
    }
    while (done < len) {
        size_t n;
        if (is_short(ws, (const uint8_t *)at + done, len - done)) {
            /* Nearly all there is. Whether it is what was sent is seen sooner than whether it is UTF-8. */
            n = 2 + (size_t)(uint8_t)at[done + 1];
            if (n > len - done)
                break;
            if (!ws->user->message(client, (str){at + done + 2, n - 2}))
                return len;
        } else {
            n = take_frame(client, at + done, len - done);
            if (!n)
                break;
        }
        done += n;
    }
    return done;
}

void bench_websocket_done(bench_client *client)
{
    bench_websocket_state *ws = state_of(client);
    buf_done(&ws->message);
    bench_deflate_free(ws->deflate);
    ws->deflate = NULL;
}

/* ------------------------------------------------------------------------------------------- messages as the scenario's own */

static void start(bench_client *client)
{
    static const bench_websocket_user user = {.open = bench_client_ready, .message = bench_client_message};
    bench_websocket_start(client, &user);
}

static void send_message(bench_client *client, str payload)
{
    bench_websocket_send(client, STR(""), payload, STR(""));
}

const bench_protocol bench_websocket = {
    .name = "WebSocket",
    .state_bytes = sizeof(bench_websocket_state),
    .start = start,
    .feed = bench_websocket_feed,
    .send = send_message,
    .done = bench_websocket_done,
};
