#include "bench/answers.h"
#include "bench/body.h"
#include "bench/pushed.h"
#include "bench/request.h"
#include "bench/worker.h"
#include "proto/json_read.h"

/* A first poll that is not answered for so long is one that the server holds until there is a message, and the client is ready. */
enum { HELD_AFTER_MS = 500 };

/* What a client passes back of the last answer; known by the first that has content. */
typedef enum {
    UNKNOWN,
    CURSOR,     /* {"messages":[…],"cursor":C}, and ?since=C (Weft) */
    VALIDATORS, /* the message itself; Last-Modified and ETag, and If-Modified-Since and If-None-Match (Nchan) */
} poll_style;

typedef struct {
    bench_response response;
    bench_body body;
    buf query;  /* of the next request */
    buf fields; /* of the next request, whole lines */
    buf room;   /* for what a message says with escapes */
    timer held; /* the first request, or the connection behind its last answer */
    poll_style style;
    bool has_answer; /* on this connection */
} long_poll;

static bench_client *client_of(timer *t)
{
    char *state = (char *)t - offsetof(long_poll, held);
    return (bench_client *)(state - offsetof(bench_client, state));
}

static int put_request(const long_poll *state, const bench_target *target, buf *out)
{
    str query = state->query.len ? buf_str(&state->query) : STR("wait=25");
    if (bench_request_put(out, "GET", target, query) || buf_put_str(out, buf_str(&state->fields)))
        return -ENOMEM;
    return buf_put_text(out, "\r\n");
}

static const char *ask(bench_client *client)
{
    const long_poll *state = bench_client_state(client);
    if (put_request(state, client->target, bench_link_out(&client->link)))
        return "out of memory";
    bench_link_flush(&client->link);
    return NULL;
}

static void held(timer *t)
{
    bench_client_ready(client_of(t));
}

static void ending(timer *t)
{
    bench_client_reopen(client_of(t));
}

static void start(bench_client *client)
{
    long_poll *state = bench_client_state(client);
    bench_response_init(&state->response);
    bench_body_clear(&state->body);
    state->has_answer = false;
    loop_cancel(&client->worker->loop, &state->held);
    const char *problem = ask(client);
    if (problem)
        bench_client_fail(client, problem);
    else if (!client->is_ready)
        loop_arm(&client->worker->loop, &state->held, HELD_AFTER_MS, held);
}

/* ---------------------------------------------------------------------------------------------------------- answers */

static int put_validators(buf *fields, str modified, str etag)
{
    fields->len = 0;
    if (modified.at &&
        (buf_put_text(fields, "If-Modified-Since: ") || buf_put_str(fields, modified) || buf_put_text(fields, "\r\n")))
        return -ENOMEM;
    if (etag.at &&
        (buf_put_text(fields, "If-None-Match: ") || buf_put_str(fields, etag) || buf_put_text(fields, "\r\n")))
        return -ENOMEM;
    return 0;
}

/* What is no news is asked for again: 204 and 304, and 408, with which Nchan ends a poll that has waited for long. */
static const char *read_head(bench_client *client, str head)
{
    long_poll *state = bench_client_state(client);
    unsigned status = state->response.status;
    if (status != 200 && status != 204 && status != 304 && status != 408)
        return bench_response_unwanted(status);
    if (state->response.is_open)
        return "answered a poll without saying where the answer ends";
    if (status != 200 || state->style == CURSOR)
        return NULL;
    return bench_answers_problem(put_validators(&state->fields, bench_response_field(head, "last-modified"),
                                                bench_response_field(head, "etag")));
}

static const char *read_piece(bench_client *client, str piece)
{
    long_poll *state = bench_client_state(client);
    return bench_answers_problem(bench_body_add(&state->body, piece));
}

/* Of RFC 3986 §2.3; what else a cursor has is percent-encoded. */
static bool is_unreserved(char c)
{
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '-' || c == '.' || c == '_' ||
           c == '~';
}

static int put_cursor(buf *query, str cursor)
{
    int error = buf_put_text(query, "wait=25&since=");
    while (cursor.len && !error) {
        size_t n = 0;
        while (n < cursor.len && is_unreserved(cursor.at[n]))
            n++;
        error = n ? buf_put(query, cursor.at, n) : buf_printf(query, "%%%02X", (unsigned char)*cursor.at);
        n = n ? n : 1;
        cursor = (str){cursor.at + n, cursor.len - n};
    }
    return error;
}

/* True for an answer to go on from. */
static bool is_answer(const bench_pushed *answer)
{
    return answer->cursor.at && json_type(answer->cursor) == JSON_STRING && answer->messages.at &&
           json_type(answer->messages) == JSON_ARRAY;
}

static const char *read_cursor(long_poll *state, str value)
{
    str cursor;
    int error = bench_pushed_text(value, &state->room, &cursor);
    state->query.len = state->fields.len = 0;
    return bench_answers_problem(error ? error : put_cursor(&state->query, cursor));
}

static const char *read_messages(bench_client *client, str messages)
{
    long_poll *state = bench_client_state(client);
    str rest = json_begin(messages), one, message;
    while (client->link.is_up && json_next_element(&rest, &one)) {
        str data = bench_pushed_inside(one).data;
        if (!data.at)
            return "answered a poll with messages that are none";
        int error = bench_pushed_text(data, &state->room, &message);
        if (error)
            return bench_answers_problem(error);
        bench_client_message(client, message);
    }
    return NULL;
}

static const char *read_content(bench_client *client, str content)
{
    long_poll *state = bench_client_state(client);
    bench_pushed answer;
    if (state->style != VALIDATORS && bench_pushed_read(content, &answer) && is_answer(&answer)) {
        state->style = CURSOR;
        if (answer.is_gap)
            return "told of a gap: the server keeps too few messages";
        const char *problem = read_cursor(state, answer.cursor);
        return problem ? problem : read_messages(client, answer.messages);
    }
    if (state->style == CURSOR)
        return "answered a poll without messages and cursor";
    if (state->fields.len == 0)
        return "answered a poll with nothing to go on from: no cursor, no Last-Modified, no ETag";
    state->style = VALIDATORS;
    bench_client_message(client, content);
    return NULL;
}

static const char *read_end(bench_client *client)
{
    long_poll *state = bench_client_state(client);
    const char *problem = NULL;
    state->has_answer = true;
    loop_cancel(&client->worker->loop, &state->held);
    if (!client->is_ready)
        bench_client_ready(client);
    if (client->link.is_up && state->response.status == 200)
        problem = read_content(client, bench_body_str(&state->body));
    if (problem || !client->link.is_up)
        return problem;
    bench_body_clear(&state->body);
    if (!state->response.closes)
        return ask(client);
    loop_arm(&client->worker->loop, &state->held, BENCH_ANSWERS_ENDING_MS,
             ending); /* it is asked when the connection is there anew */
    return NULL;
}

static size_t feed(bench_client *client, char *at, size_t len)
{
    static const bench_answers answers = {read_head, read_piece, read_end};
    long_poll *state = bench_client_state(client);
    return bench_answers_feed_body(&answers, client, &state->response, &state->body, (str){at, len});
}

/* A server may end a connection when it has waited for long, or has answered so many times. One that ends each of them without an answer is broken. */
static bool ended(bench_client *client)
{
    const long_poll *state = bench_client_state(client);
    return state->has_answer && bench_response_may_end(&state->response);
}

static void done(bench_client *client)
{
    long_poll *state = bench_client_state(client);
    loop_cancel(&client->worker->loop, &state->held);
    bench_body_done(&state->body);
    buf_done(&state->query);
    buf_done(&state->fields);
    buf_done(&state->room);
}

const bench_protocol bench_poll = {
    .name = "long polls",
    .state_bytes = sizeof(long_poll),
    .start = start,
    .feed = feed,
    .ended = ended,
    .done = done,
};
