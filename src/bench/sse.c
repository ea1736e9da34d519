#include "bench/answers.h"
#include "bench/events.h"
#include "bench/request.h"

typedef struct {
    bench_response response;
    bench_events events;
} sse;

static void start(bench_client *client)
{
    buf *out = bench_link_out(&client->link);
    if (bench_request_put(out, "GET", client->target, STR("")) ||
        buf_put_text(out, "Accept: text/event-stream\r\nCache-Control: no-store\r\n\r\n"))
        bench_client_fail(client, "out of memory");
    else
        bench_link_flush(&client->link);
}

static const char *read_head(bench_client *client, str head)
{
    sse *state = bench_client_state(client);
    if (state->response.status != 200)
        return bench_response_unwanted(state->response.status);
    if (!str_begins_nocase(bench_response_field(head, "content-type"), STR("text/event-stream")))
        return "answered with something else than an event stream";
    bench_client_ready(client);
    return NULL;
}

static const char *read_piece(bench_client *client, str piece)
{
    sse *state = bench_client_state(client);
    bench_event event;
    int got = 0;
    while (client->link.is_up && (got = bench_events_next(&state->events, &piece, &event)) == 1) {
        if (str_equal(event.type, STR("weft-gap")))
            return "told of a gap: the server keeps too few messages";
        bench_client_message(client, event.data);
    }
    return bench_answers_problem(got);
}

static const char *read_end(bench_client *client)
{
    (void)client;
    return "ended by the server";
}

static size_t feed(bench_client *client, char *at, size_t len)
{
    static const bench_answers answers = {read_head, read_piece, read_end};
    sse *state = bench_client_state(client);
    return bench_answers_feed(&answers, client, &state->response, (str){at, len});
}

static void done(bench_client *client)
{
    sse *state = bench_client_state(client);
    bench_events_done(&state->events);
}

const bench_protocol bench_sse = {
    .name = "Server-Sent Events",
    .state_bytes = sizeof(sse),
    .start = start,
    .feed = feed,
    .done = done,
};
