/* A stream over a scripted sink, and a clock that stands still until a test puts it forward: what it writes, and
 * when. */
#include "transport/http_stream.h"

#include "support/check.h"
#include <errno.h>
#include <stdio.h>
#include <time.h>

static uint64_t clock_ns = 1000000000000;

int clock_gettime(clockid_t id, struct timespec *ret_now)
{
    (void)id;
    *ret_now = (struct timespec){(time_t)(clock_ns / 1000000000), (long)(clock_ns % 1000000000)};
    return 0;
}

static loop the_loop;
static net the_net;
static slots table;
static exchange_home home;
static hub the_hub;
static const topic_rule *no_rules;
static sink wire_sink;
static exchange *the_exchange;
static char
    wire_log[2048]; /* what the sink, or the exchange, was told: "[text]" for a piece, "{image}" for one by reference */
static int n_rebinds, n_writes_left; /* n_writes_left: then there is no memory; negative: there is */
static bool no_head;

__attribute__((format(printf, 1, 2))) static void log_wire(const char *format, ...)
{
    size_t len = strlen(wire_log);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(wire_log + len, sizeof wire_log - len, format, arguments);
    va_end(arguments);
}

static void expect_wire(const char *expected)
{
    assert_string_equal(wire_log, expected);
    wire_log[0] = '\0';
}

/* ---- the sink ---- */

static int wire_write(sink *s, const sink_piece *piece)
{
    (void)s;
    if (n_writes_left == 0)
        return -ENOMEM;
    n_writes_left -= n_writes_left > 0;
    if (piece->in_chunk) {
        assert_non_null(piece->owner);
        assert_int_equal(piece->head.len, 0);
        log_wire("{%.*s}", (int)piece->body.len, piece->body.at);
    } else {
        log_wire("[%.*s%.*s]", (int)piece->head.len, piece->head.at, (int)piece->body.len,
                 piece->body.len ? piece->body.at : "");
    }
    return 0;
}

static void wire_pause(sink *s, bool paused)
{
    (void)s;
    log_wire("pause:%d ", paused);
}

static void wire_rebind(sink *s)
{
    (void)s;
    n_rebinds++;
}

static void wire_notify(sink *s)
{
    (void)s;
}

static void wire_end(sink *s)
{
    (void)s;
    log_wire("end ");
}

static void wire_abort(sink *s)
{
    (void)s;
    log_wire("abort ");
}

static size_t wire_address(sink *s, char *ret_text, size_t room)
{
    (void)s;
    return (size_t)snprintf(ret_text, room, "somewhere");
}

static bool wire_secure(const sink *s)
{
    (void)s;
    return false;
}

static size_t wire_client_subject(const sink *s, char *ret_text, size_t room)
{
    (void)s;
    (void)ret_text;
    (void)room;
    return 0;
}

static const sink_ops wire_ops = {.secure = wire_secure,
                                  .client_subject = wire_client_subject,
                                  .write = wire_write,
                                  .pause = wire_pause,
                                  .rebind = wire_rebind,
                                  .notify = wire_notify,
                                  .end = wire_end,
                                  .abort = wire_abort,
                                  .address = wire_address};

/* ---- the exchange ---- */

static int carry_answer(exchange *e, const http_answer *answer)
{
    log_wire("answer:%d ", answer->status);
    exchange_free(e);
    return 0;
}

static int carry_take_body(exchange *e, const http_answer *answer, sink **ret_sink)
{
    (void)answer;
    exchange_free(e);
    if (no_head)
        return -ENOMEM;
    *ret_sink = &wire_sink;
    return 0;
}

static const exchange_ops carrier_ops = {.answer = carry_answer, .take_body = carry_take_body};

/* ---- the stage ---- */

static void on_open(weft_peer who)
{
    (void)who;
    log_wire("open ");
}

static void on_close(weft_peer who, int code, weft_str reason)
{
    (void)who;
    log_wire("close:%d:%.*s ", code, (int)reason.len, reason.at);
}

enum { KEEP_ALIVE_MS = 1000 };

static const http_stream_kind sse_kind = {
    .rules = {.open = on_open, .close = on_close, .max_queued_bytes = 1000},
    .encoding = &encoding_sse,
    .format = WIRE_SSE,
    .transport = WEFT_TRANSPORT_SSE,
    .keep_alive_ms = KEEP_ALIVE_MS,
    .retry_ms = WEFT_NEVER,
};

static const http_stream_kind line_kind = {
    .rules = {.open = on_open, .close = on_close, .max_queued_bytes = 1000},
    .encoding = &encoding_line,
    .format = WIRE_LINE,
    .transport = WEFT_TRANSPORT_STREAM,
    .keep_alive_ms = WEFT_NEVER,
    .retry_ms = 1, /* means nothing for lines */
};

static int start_stage(void **state)
{
    (void)state;
    wire_log[0] = '\0';
    wire_sink = (sink){.ops = &wire_ops};
    n_rebinds = 0;
    n_writes_left = -1;
    no_head = false;
    home = (exchange_home){&table, &the_loop.blocks, &the_loop.places};
    return loop_init(&the_loop, NULL) || net_init(&the_net, &the_loop, NULL) || slots_init(&table, the_loop.index) ||
           hub_init(&the_hub, &the_net, &table, NULL, &no_rules);
}

static int end_stage(void **state)
{
    (void)state;
    assert_int_equal(the_hub.n_peers, 0);
    hub_done(&the_hub);
    net_done(&the_net);
    slots_done(&table);
    loop_done(&the_loop);
    return 0;
}

static void turn(void)
{
    assert_int_equal(loop_step(&the_loop, 0), 0);
}

static void pass_ms(uint64_t ms)
{
    clock_ns += ms * 1000000;
    turn();
}

static peer *open_stream(const http_stream_kind *kind)
{
    the_exchange = exchange_new(&home, &carrier_ops, NULL);
    the_exchange->context = &the_hub;
    return http_stream_open(the_exchange, kind, (str){NULL, 0});
}

static void client_goes(void)
{
    wire_sink.events->gone(wire_sink.owner, -ECONNRESET);
    turn();
    wire_log[0] = '\0';
}

/* ---- what it writes ---- */

static void http_stream__binds_its_sink_and_begins(void **state)
{
    (void)state;
    assert_non_null(open_stream(&sse_kind));
    assert_int_equal(n_rebinds, 1); /* what waited unread is for it to drop */
    expect_wire("[:\n\n]");
    turn();
    expect_wire("open ");
    client_goes();
}

static void http_stream__delivers_one_image_by_reference(void **state)
{
    (void)state;
    topic *t;
    peer *p = open_stream(&sse_kind), *other = open_stream(&sse_kind);
    assert_int_equal(hub_subscribe(&the_hub, p, STR("t"), (since){0}, NULL), 0);
    assert_int_equal(hub_topic(&the_hub, STR("t"), &t), 0);
    wire_log[0] = '\0';
    blob *body = blob_new(NULL, WEFT_TEXT, (str){NULL, 0}, STR("hello"));
    assert_int_equal(hub_publish(&the_hub, STR("t"), body, 0, NULL), 0);
    the_hub.fan_out.run(&the_hub.fan_out);     /* and not at the end of the turn */
    assert_memory_equal(wire_log, "{id: ", 5); /* and nothing else: one piece */
    assert_string_equal(strchr(wire_log, '\n'), "\ndata: hello\n\n}");
    peer_abort(p);
    peer_abort(other);
    turn();
    wire_log[0] = '\0';
}

static void publish_two(void)
{
    for (int i = 0; i < 2; i++) {
        blob *body = blob_new(NULL, WEFT_TEXT, (str){NULL, 0}, i ? STR("two") : STR("one"));
        assert_int_equal(hub_publish(&the_hub, STR("t"), body, 0, NULL), 0);
    }
}

static void http_stream__delivers_several_in_one_piece(void **state)
{
    (void)state;
    peer *p = open_stream(&sse_kind);
    assert_int_equal(hub_subscribe(&the_hub, p, STR("t"), (since){0}, NULL), 0);
    turn();
    wire_log[0] = '\0';
    publish_two();
    turn();
    assert_memory_equal(wire_log, "{id: ", 5);
    const char *second = strstr(wire_log, "\ndata: one\n\nid: ");
    assert_non_null(second);
    assert_string_equal(strchr(second + 13, '\n'), "\ndata: two\n\n}");
    wire_log[0] = '\0';
    n_writes_left = 0;
    publish_two();
    turn();
    n_writes_left = -1;
    assert_int_equal(the_hub.n_peers, 0); /* it had no memory, and is gone */
}

static void http_stream__says_texts_of_the_protocol_above_it(void **state)
{
    (void)state;
    peer *p = open_stream(&sse_kind);
    wire_log[0] = '\0';
    assert_int_equal(p->ops->say(p, STR("{\"type\":\"pong\"}")), 0);
    assert_int_equal(p->ops->say(p, STR("two\nlines")), 0);
    expect_wire("{data: {\"type\":\"pong\"}\n\n}{data: two\ndata: lines\n\n}");
    client_goes();
    p = open_stream(&line_kind);
    expect_wire("[\n]");
    assert_int_equal(p->ops->say(p, STR("{\"type\":\"pong\"}")), 0);
    expect_wire("[{\"type\":\"pong\"}\n]");
    client_goes();
}

static void http_stream__never_stops_reading(void **state)
{
    (void)state;
    char noise[] = "noise";
    peer *p = open_stream(&sse_kind);
    turn();
    wire_log[0] = '\0';
    peer_stop_reading(p, PAUSED_BY_PROGRAM, true);
    assert_int_equal(wire_sink.events->data(wire_sink.owner, noise, 5), 5);
    peer_stop_reading(p, PAUSED_BY_PROGRAM, false);
    expect_wire("");
    client_goes();
}

/* ---- keep-alive ---- */

static void http_stream__comments_after_so_much_silence(void **state)
{
    (void)state;
    peer *p = open_stream(&sse_kind);
    turn();
    expect_wire("[:\n\n]open ");
    pass_ms(KEEP_ALIVE_MS - 1);
    expect_wire("");
    pass_ms(1);
    expect_wire("[:\n\n]");
    pass_ms(KEEP_ALIVE_MS - 1);
    assert_int_equal(p->ops->say(p, STR("x")), 0);
    expect_wire("{data: x\n\n}");
    pass_ms(KEEP_ALIVE_MS - 1);
    expect_wire("");
    pass_ms(1);
    expect_wire("[:\n\n]");
    client_goes();
    pass_ms(2 * KEEP_ALIVE_MS);
    expect_wire("");
}

/* A client that does not take what is there is not given more. */
static void http_stream__comments_not_behind_what_waits(void **state)
{
    (void)state;
    open_stream(&sse_kind);
    turn();
    wire_log[0] = '\0';
    wire_sink.queued = 1;
    pass_ms(KEEP_ALIVE_MS);
    pass_ms(KEEP_ALIVE_MS);
    expect_wire("");
    wire_sink.queued = 0;
    pass_ms(KEEP_ALIVE_MS);
    expect_wire("[:\n\n]");
    client_goes();
}

static void http_stream__ends_when_it_cannot_comment(void **state)
{
    (void)state;
    open_stream(&sse_kind);
    turn();
    wire_log[0] = '\0';
    n_writes_left = 0;
    pass_ms(KEEP_ALIVE_MS);
    expect_wire("abort close:1006: ");
}

/* ---- no memory ---- */

static void http_stream__ends_when_it_cannot_begin(void **state)
{
    (void)state;
    static http_stream_kind telling;
    telling = sse_kind;
    telling.retry_ms = 1000;
    n_writes_left = 0;
    assert_null(open_stream(&telling));
    expect_wire("abort ");
    n_writes_left = 1;
    assert_null(open_stream(&telling));
    expect_wire("[:\n\n]abort ");
    no_head = true;
    assert_null(open_stream(&telling)); /* the carrier has ended it */
    turn();
    expect_wire(""); /* nobody heard of any of them */
    assert_int_equal(the_hub.n_peers, 0);
}

static void http_stream__is_refused_without_memory_for_a_peer(void **state)
{
    (void)state;
    the_exchange = exchange_new(&home, &carrier_ops, NULL);
    the_exchange->context = &the_hub;
    mem_fail_from(1);
    assert_null(http_stream_open(the_exchange, &sse_kind, (str){NULL, 0}));
    mem_fail_from(0);
    turn();
    expect_wire("answer:500 ");
}

/* ---- ends ---- */

static void http_stream__lets_go_of_its_sink_when_the_peer_leaves(void **state)
{
    (void)state;
    peer *p = open_stream(&sse_kind);
    turn();
    wire_log[0] = '\0';
    assert_int_equal(peer_close(p, 1000, STR("done")), 0);
    assert_int_equal(p->ops->queued(p), 0);
    turn();
    expect_wire("end close:1000:done ");
    p = open_stream(&sse_kind);
    turn();
    wire_log[0] = '\0';
    wire_sink.events->eof(wire_sink.owner);
    turn();
    expect_wire("end close:1006: ");
}

#define STAGE_TEST(f) cmocka_unit_test_setup_teardown(f, start_stage, end_stage)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STAGE_TEST(http_stream__binds_its_sink_and_begins),
        STAGE_TEST(http_stream__delivers_one_image_by_reference),
        STAGE_TEST(http_stream__delivers_several_in_one_piece),
        STAGE_TEST(http_stream__says_texts_of_the_protocol_above_it),
        STAGE_TEST(http_stream__never_stops_reading),
        STAGE_TEST(http_stream__comments_after_so_much_silence),
        STAGE_TEST(http_stream__comments_not_behind_what_waits),
        STAGE_TEST(http_stream__ends_when_it_cannot_comment),
        STAGE_TEST(http_stream__ends_when_it_cannot_begin),
        STAGE_TEST(http_stream__is_refused_without_memory_for_a_peer),
        STAGE_TEST(http_stream__lets_go_of_its_sink_when_the_peer_leaves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
