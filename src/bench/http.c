#include "bench/answers.h"
#include "bench/body.h"
#include "bench/request.h"
#include "bench/worker.h"

/* Requests go out without waiting for the answers to earlier ones. A connection that the server ends is opened anew, and what it has not been sent yet, or
 * has surely not looked at, goes out there: GET in any case, POST only behind an answer that says "Connection: close". */
typedef struct {
    bench_response response;
    bench_body body;
    buf head;        /* of each request; of a POST for payloads of head_for bytes */
    size_t head_for; /* SIZE_MAX: of none yet */
    buf payloads;    /* of POST, from payloads_at: what has no answer, each behind its length */
    size_t payloads_at;
    uint64_t n_open; /* requests without an answer */
    uint64_t n_held; /* of these, the last ones are not on this connection */
    bool has_answer; /* on this connection */
    bool closes;     /* it takes no more requests */
    timer ending;    /* since then */
} http;

static bool posts(const bench_client *client)
{
    return client->protocol == &bench_http_post;
}

/* --------------------------------------------------------------------------------------------------------- requests */

static int put_fields_of_post(const bench_client *client, buf *head, size_t payload_len)
{
    const char *key = client->worker->plan->key;
    if (key && (buf_put_text(head, "Authorization: Bearer ") || buf_put_text(head, key) || buf_put_text(head, "\r\n")))
        return -ENOMEM;
    return buf_printf(head, "Content-Type: text/plain; charset=utf-8\r\nContent-Length: %zu\r\n", payload_len);
}

static int make_head(bench_client *client, size_t payload_len)
{
    http *state = bench_client_state(client);
    state->head.len = 0;
    state->head_for = SIZE_MAX;
    int error = bench_request_put(&state->head, posts(client) ? "POST" : "GET", client->target, STR(""));
    if (!error && posts(client))
        error = put_fields_of_post(client, &state->head, payload_len);
    if (!error)
        error = buf_put_text(&state->head, "\r\n");
    if (!error)
        state->head_for = payload_len;
    return error;
}

static int put_request(bench_client *client, str payload)
{
    http *state = bench_client_state(client);
    buf *out = bench_link_out(&client->link);
    if (state->head_for != payload.len && make_head(client, payload.len))
        return -ENOMEM;
    if (buf_reserve(out, state->head.len + payload.len))
        return -ENOMEM;
    buf_put_str(out, buf_str(&state->head));
    buf_put_str(out, payload);
    bench_link_flush(&client->link);
    return 0;
}

/* Those that were answered go from the front when they are half of what lies there. */
static void drop_answered(http *state)
{
    if (state->payloads_at < state->payloads.len - state->payloads_at)
        return;
    state->payloads.len -= state->payloads_at;
    memmove(state->payloads.at, state->payloads.at + state->payloads_at, state->payloads.len);
    state->payloads_at = 0;
}

static int remember(http *state, str payload)
{
    if (buf_reserve(&state->payloads, sizeof payload.len + payload.len))
        return -ENOMEM;
    buf_put(&state->payloads, &payload.len, sizeof payload.len);
    return buf_put_str(&state->payloads, payload);
}

/* The payload remembered at *at, and *at behind it. */
static str remembered(const http *state, size_t *at)
{
    str payload;
    memcpy(&payload.len, state->payloads.at + *at, sizeof payload.len);
    payload.at = state->payloads.at + *at + sizeof payload.len;
    *at += sizeof payload.len + payload.len;
    return payload;
}

static void send_payload(bench_client *client, str payload)
{
    http *state = bench_client_state(client);
    bool holds = state->closes || !client->link.is_up;
    if (!posts(client))
        payload.len = 0;
    else if (remember(state, payload)) {
        bench_client_fail(client, "out of memory");
        return;
    }
    state->n_open++;
    if (holds)
        state->n_held++;
    else if (put_request(client, payload))
        bench_client_fail(client, "out of memory");
}

/* All that has no answer goes out again. */
static int send_open(bench_client *client)
{
    http *state = bench_client_state(client);
    size_t at = state->payloads_at;
    int error = 0;
    state->n_held = 0;
    for (uint64_t i = 0; i < state->n_open && !error; i++)
        error = put_request(client, posts(client) ? remembered(state, &at) : STR(""));
    return error;
}

static void start(bench_client *client)
{
    http *state = bench_client_state(client);
    bench_response_init(&state->response);
    bench_body_clear(&state->body);
    state->has_answer = state->closes = false;
    loop_cancel(&client->worker->loop, &state->ending);
    if (!client->is_ready) {
        state->head_for = SIZE_MAX;
        bench_client_ready(client);
    } else if (send_open(client)) {
        bench_client_fail(client, "out of memory");
    }
}

/* ---------------------------------------------------------------------------------------------------------- answers */

static const char *read_head(bench_client *client, str head)
{
    http *state = bench_client_state(client);
    (void)head;
    if (state->n_open == state->n_held)
        return "answered what was not asked";
    return state->response.status / 100 == 2 ? NULL : bench_response_unwanted(state->response.status);
}

static const char *read_piece(bench_client *client, str piece)
{
    http *state = bench_client_state(client);
    return bench_answers_problem(bench_body_add(&state->body, piece));
}

static void ending(timer *t)
{
    char *state = (char *)t - offsetof(http, ending);
    bench_client_reopen((bench_client *)(state - offsetof(bench_client, state)));
}

static const char *read_end(bench_client *client)
{
    http *state = bench_client_state(client);
    state->has_answer = true;
    state->n_open--;
    if (posts(client)) {
        remembered(state, &state->payloads_at);
        drop_answered(state);
    }
    if (state->response.closes) {
        state->closes = true;
        state->n_held = state->n_open;
        loop_arm(&client->worker->loop, &state->ending, BENCH_ANSWERS_ENDING_MS, ending);
    }
    bench_client_message(client, bench_body_str(&state->body));
    if (client->link.is_up)
        bench_body_clear(&state->body);
    return NULL;
}

static size_t feed(bench_client *client, char *at, size_t len)
{
    static const bench_answers answers = {read_head, read_piece, read_end};
    http *state = bench_client_state(client);
    return bench_answers_feed_body(&answers, client, &state->response, &state->body, (str){at, len});
}

/* What was sent and has no answer may have been worked on: GET may ask again, as long as connections bring any answers; POST may not. */
static bool ended(bench_client *client)
{
    http *state = bench_client_state(client);
    if (!bench_response_may_end(&state->response))
        return false;
    if (state->response.is_open && state->n_open > state->n_held)
        read_end(client);
    return state->n_open == state->n_held || (!posts(client) && state->has_answer);
}

static void done(bench_client *client)
{
    http *state = bench_client_state(client);
    loop_cancel(&client->worker->loop, &state->ending);
    bench_body_done(&state->body);
    buf_done(&state->head);
    buf_done(&state->payloads);
}

const bench_protocol bench_http_get = {
    .name = "HTTP requests",
    .state_bytes = sizeof(http),
    .start = start,
    .feed = feed,
    .send = send_payload,
    .ended = ended,
    .done = done,
};

const bench_protocol bench_http_post = {
    .name = "HTTP requests that carry the message",
    .state_bytes = sizeof(http),
    .start = start,
    .feed = feed,
    .send = send_payload,
    .ended = ended,
    .done = done,
};
