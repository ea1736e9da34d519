#include "bench/answers.h"
#include "bench/body.h"
#include "bench/pushed.h"
#include "bench/request.h"

typedef struct {
    bench_response response;
    buf line; /* the beginning of a line whose end has not come */
    buf room; /* for what a message says with escapes */
} stream;

static void start(bench_client *client)
{
    buf *out = bench_link_out(&client->link);
    if (bench_request_put(out, "GET", client->target, STR("")) ||
        buf_put_text(out, "Accept: application/x-ndjson\r\nCache-Control: no-store\r\n\r\n"))
        bench_client_fail(client, "out of memory");
    else
        bench_link_flush(&client->link);
}

static const char *read_head(bench_client *client, str head)
{
    stream *state = bench_client_state(client);
    (void)head;
    if (state->response.status != 200)
        return bench_response_unwanted(state->response.status);
    bench_client_ready(client);
    return NULL;
}

/* An object carries a message, as Weft's; any other line is one, as Nchan's; an empty line says that the server is still there. */
static const char *read_line(bench_client *client, str line)
{
    stream *state = bench_client_state(client);
    if (line.len && line.at[line.len - 1] == '\r')
        line.len--;
    if (line.len == 0)
        return NULL;
    str message = line;
    bench_pushed pushed;
    if (bench_pushed_read(line, &pushed)) {
        if (pushed.is_gap)
            return "told of a gap: the server keeps too few messages";
        int error = pushed.data.at ? bench_pushed_text(pushed.data, &state->room, &message) : 0;
        if (error)
            return bench_answers_problem(error);
    }
    bench_client_message(client, message);
    return NULL;
}

static int keep(stream *state, str piece)
{
    return piece.len > BENCH_BODY_MAX_BYTES - state->line.len ? -EMSGSIZE : buf_put_str(&state->line, piece);
}

/* Up to the next line end, or all of it. */
static const char *read_next(bench_client *client, str *piece)
{
    stream *state = bench_client_state(client);
    const char *lf = memchr(piece->at, '\n', piece->len);
    str line = {piece->at, lf ? (size_t)(lf - piece->at) : piece->len};
    *piece = (str){piece->at + line.len + (lf != NULL), piece->len - line.len - (lf != NULL)};
    if (!lf || state->line.len) {
        int error = keep(state, line);
        if (error || !lf)
            return bench_answers_problem(error);
        line = buf_str(&state->line);
        state->line.len = 0; /* the bytes stay until the next line is kept */
    }
    return read_line(client, line);
}

static const char *read_piece(bench_client *client, str piece)
{
    const char *problem = NULL;
    while (piece.len && !problem && client->link.is_up)
        problem = read_next(client, &piece);
    return problem;
}

static const char *read_end(bench_client *client)
{
    (void)client;
    return "ended by the server";
}

static size_t feed(bench_client *client, char *at, size_t len)
{
    static const bench_answers answers = {read_head, read_piece, read_end};
    stream *state = bench_client_state(client);
    return bench_answers_feed(&answers, client, &state->response, (str){at, len});
}

static void done(bench_client *client)
{
    stream *state = bench_client_state(client);
    buf_done(&state->line);
    buf_done(&state->room);
}

const bench_protocol bench_stream = {
    .name = "a stream of lines",
    .state_bytes = sizeof(stream),
    .start = start,
    .feed = feed,
    .done = done,
};
