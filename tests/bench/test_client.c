#include "bench/client.h"
#include "bench/worker.h"
#include "proto/ws_handshake.h"
#include "support/check.h"
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum { PATIENCE_S = 20, MESSAGE_BYTES = 16 };

static bench_plan plan;
static bench_worker worker;
static bench_client *client;
static int listener, server = -1;
static buf story; /* what the scenario was told, and what was counted */

/* What bench/worker.c would be. */

uint64_t bench_now_ns(void)
{
    static uint64_t now;
    return now += 1000;
}

void bench_worker_count_ready(bench_client *c)
{
    assert_true(c->is_ready);
    buf_put_text(&story, "counted ");
}

void bench_worker_count_lost(bench_client *c, const char *why)
{
    buf_printf(&story, "%s(%s) ", c->is_ready ? "gone" : "failed", why);
}

/* ---------------------------------------------------------------------------------------------------------- the scenario */

static void (*at_message)(bench_client *c), (*at_lost)(bench_client *c);

static void on_ready(bench_client *c)
{
    (void)c;
    buf_put_text(&story, "ready ");
}

static void on_message(bench_client *c, str payload)
{
    buf_put_text(&story, "[");
    buf_put_str(&story, payload);
    buf_put_text(&story, "] ");
    if (at_message)
        at_message(c);
}

static void on_read(bench_client *c)
{
    static uint64_t last_ns;
    assert_true(c->worker->now_ns > last_ns);
    last_ns = c->worker->now_ns;
    buf_put_text(&story, "read ");
}

static void on_lost(bench_client *c, const char *why)
{
    assert_false(c->is_ready);
    assert_non_null(why);
    buf_put_text(&story, "lost ");
    if (at_lost)
        at_lost(c);
}

static const bench_scenario scenario = {.ready = on_ready, .message = on_message, .read = on_read, .lost = on_lost};

/* ------------------------------------------------------------------------------------------------------------- the stage */

static int set_up(void **state)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    (void)state;
    listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(listener, 16), 0);
    getsockname(listener, (struct sockaddr *)&address, &size);
    plan = (bench_plan){.message_bytes = MESSAGE_BYTES, .event = "e", .source_len = sizeof address};
    plan.target = (bench_target){.address_len = size, .host = "h", .path = "/"};
    memcpy(&plan.target.address, &address, sizeof address);
    worker = (bench_worker){.plan = &plan};
    at_message = at_lost = NULL;
    return loop_init(&worker.loop, NULL) || bench_lines_init(&worker.lines, &worker.loop, false);
}

static int tear_down(void **state)
{
    (void)state;
    bench_client_free(client);
    client = NULL;
    bench_lines_done(&worker.lines);
    loop_done(&worker.loop);
    buf_done(&story);
    close(listener);
    if (server >= 0)
        close(server);
    server = -1;
    return 0;
}

static void step(void)
{
    assert_int_equal(loop_step(&worker.loop, 0), 0);
}

#define UNTIL(condition)                                                                                               \
    do {                                                                                                               \
        time_t end = time(NULL) + PATIENCE_S;                                                                          \
        while (!(condition)) {                                                                                         \
            step();                                                                                                    \
            assert_true(time(NULL) < end);                                                                             \
        }                                                                                                              \
    } while (0)

/* What was told; forgotten with that. */
static const char *told(void)
{
    static char text[16 * 1024];
    assert_true(story.len < sizeof text);
    memcpy(text, story.len ? story.at : "", story.len);
    text[story.len] = '\0';
    story.len = 0;
    return text;
}

static bool was_told(const char *what)
{
    return story.len && memmem(story.at, story.len, what, strlen(what));
}

static void accept_server(void)
{
    if (server >= 0)
        close(server);
    server = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
    assert_true(server >= 0);
}

static void end_server(void)
{
    close(server);
    server = -1;
}

static void open_client(const bench_protocol *protocol)
{
    client = bench_client_new(&worker, protocol, &scenario, 3);
    assert_int_equal(bench_client_open(client), 0);
    accept_server();
    UNTIL(client->link.is_up);
}

static void server_says(const char *text)
{
    assert_int_equal(send(server, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* ---------------------------------------------------------------------------------------------------------------- stories */

static void client__becomes_ready_and_tells_its_messages(void **state)
{
    (void)state;
    open_client(&bench_plain);
    assert_string_equal(told(), "counted ready ");
    server_says("message number 1message number 2");
    UNTIL(was_told("] read"));
    assert_string_equal(told(), "[message number 1] [message number 2] read ");
}

static void client__plain_messages_come_in_any_pieces(void **state)
{
    static const char two[] = "message number 1message number 2";
    (void)state;
    open_client(&bench_plain);
    for (size_t cut = 1; cut < sizeof two - 1; cut++) {
        uint64_t before = worker.lines.n_read_bytes;
        told();
        send(server, two, cut, 0);
        UNTIL(worker.lines.n_read_bytes == before + cut);
        send(server, two + cut, sizeof two - 1 - cut, 0);
        UNTIL(worker.lines.n_read_bytes == before + sizeof two - 1);
        assert_true(was_told("[message number 1] "));
        assert_true(was_told("[message number 2] read "));
    }
}

static void client__sends_when_it_is_ready_and_not_before(void **state)
{
    char bytes[64];
    (void)state;
    client = bench_client_new(&worker, &bench_plain, &scenario, 3);
    bench_client_send(client, STR("never opened"));
    assert_int_equal(bench_client_open(client), 0);
    bench_client_send(client, STR("too early"));
    accept_server();
    UNTIL(client->is_ready);
    bench_client_send(client, STR("message number 1"));
    step();
    assert_int_equal(recv(server, bytes, sizeof bytes, 0), MESSAGE_BYTES);
    assert_memory_equal(bytes, "message number 1", MESSAGE_BYTES);
}

static void client__is_lost_when_the_server_ends(void **state)
{
    (void)state;
    open_client(&bench_plain);
    told();
    server_says("message number 1mess");
    end_server();
    UNTIL(was_told("lost"));
    assert_string_equal(told(), "[message number 1] read gone(ended by the server) lost ");
    bench_client_send(client, STR("nowhere to go"));
    step();
    assert_string_equal(told(), "");
}

static void client__is_lost_when_it_is_refused(void **state)
{
    (void)state;
    close(listener);
    listener = socket(AF_INET, SOCK_STREAM, 0);
    client = bench_client_new(&worker, &bench_plain, &scenario, 3);
    assert_int_equal(bench_client_open(client), 0);
    assert_string_equal(told(), "");
    UNTIL(was_told("lost"));
    assert_string_equal(told(), "failed(refused) lost ");
}

static void open_again(bench_client *c)
{
    at_lost = at_message = NULL;
    bench_client_close(c);
    assert_int_equal(bench_client_open(c), 0);
}

static void client__may_be_opened_anew_when_it_is_lost(void **state)
{
    (void)state;
    open_client(&bench_plain);
    at_lost = open_again;
    end_server();
    UNTIL(was_told("lost"));
    accept_server();
    UNTIL(client->is_ready);
    server_says("message number 2");
    UNTIL(was_told("] read"));
    assert_string_equal(told(), "counted ready gone(ended by the server) lost counted ready [message number 2] read ");
}

static void client__may_be_opened_anew_by_a_message(void **state)
{
    (void)state;
    open_client(&bench_plain);
    at_message = open_again;
    server_says("message number 1message number 2");
    UNTIL(was_told("]"));
    accept_server();
    UNTIL(client->is_ready);
    server_says("message number 3");
    UNTIL(was_told("] read"));
    assert_string_equal(told(), "counted ready [message number 1] counted ready [message number 3] read ");
}

static void client__says_nothing_when_it_is_closed(void **state)
{
    (void)state;
    open_client(&bench_plain);
    told();
    server_says("message number 1");
    bench_client_close(client);
    bench_client_close(client);
    step();
    assert_string_equal(told(), "");
    assert_false(client->is_ready);
}

static void client__leaves_from_its_sources_in_turn(void **state)
{
    (void)state;
    plan.n_sources = 2;
    for (uint32_t i = 0; i < 2; i++) {
        struct sockaddr_in *source = (struct sockaddr_in *)&plan.sources[i];
        source->sin_family = AF_INET;
        source->sin_addr.s_addr = htonl(0x7f000209 + i);
    }
    for (uint32_t number = 0; number < 4; number++) {
        struct sockaddr_in peer;
        socklen_t size = sizeof peer;
        bench_client *one = bench_client_new(&worker, &bench_plain, &scenario, number);
        assert_int_equal(bench_client_open(one), 0);
        int fd = accept(listener, (struct sockaddr *)&peer, &size);
        assert_int_equal(ntohl(peer.sin_addr.s_addr), 0x7f000209 + number % 2);
        close(fd);
        bench_client_free(one);
    }
}

/* --------------------------------------------------------------------------------------- a protocol that makes the link anew */

typedef struct {
    int n_starts;
    void *held;
} patient_state;

static bool may_end;
static int n_done;

static void patient_start(bench_client *c)
{
    patient_state *s = bench_client_state(c);
    if (!s->held)
        s->held = mem_new(1);
    buf_printf(&story, "start%d ", ++s->n_starts);
    bench_client_ready(c);
}

static size_t patient_feed(bench_client *c, char *at, size_t len)
{
    (void)at;
    if (*at == 'x')
        bench_client_fail(c, "wrong");
    return len;
}

static bool patient_ended(bench_client *c)
{
    assert_true(c->is_ready);
    return may_end;
}

static void patient_done(bench_client *c)
{
    mem_free(((patient_state *)bench_client_state(c))->held);
    n_done++;
}

static const bench_protocol patient = {
    .state_bytes = sizeof(patient_state),
    .start = patient_start,
    .feed = patient_feed,
    .ended = patient_ended,
    .done = patient_done,
};

static void client__goes_on_where_the_protocol_lets_the_server_end(void **state)
{
    (void)state;
    n_done = 0;
    may_end = true;
    open_client(&patient);
    end_server();
    UNTIL(!client->link.is_up);
    accept_server();
    UNTIL(client->link.is_up);
    assert_string_equal(told(), "start1 counted ready start2 ");
    assert_int_equal(n_done, 0);
    may_end = false;
    end_server();
    UNTIL(was_told("lost"));
    assert_string_equal(told(), "gone(ended by the server) lost ");
    assert_int_equal(n_done, 1);
    assert_int_equal(bench_client_open(client), 0);
    accept_server();
    UNTIL(client->link.is_up);
    assert_string_equal(told(), "start1 counted ready ");
}

static void client__goes_on_after_no_other_end(void **state)
{
    struct linger none = {.l_onoff = 1};
    (void)state;
    may_end = true;
    open_client(&patient);
    told();
    setsockopt(server, SOL_SOCKET, SO_LINGER, &none, sizeof none);
    end_server();
    UNTIL(was_told("lost"));
    assert_string_equal(told(), "gone(reset by the server) lost ");
}

static void client__is_lost_when_it_cannot_go_on(void **state)
{
    (void)state;
    n_done = 0;
    may_end = true;
    open_client(&patient);
    plan.n_sources = 1; /* none of ours */
    ((struct sockaddr_in *)&plan.sources[0])->sin_family = AF_INET;
    ((struct sockaddr_in *)&plan.sources[0])->sin_addr.s_addr = htonl(0xc0000201);
    told();
    end_server();
    UNTIL(was_told("lost"));
    assert_string_equal(told(), "gone(not to be connected anew) lost ");
    assert_int_equal(n_done, 1);
}

static void client__is_lost_when_its_protocol_says_so(void **state)
{
    (void)state;
    n_done = 0;
    open_client(&patient);
    told();
    server_says("x");
    UNTIL(was_told("lost"));
    assert_string_equal(told(), "gone(wrong) lost ");
    assert_int_equal(n_done, 1);
    bench_client_free(client);
    client = NULL;
    assert_int_equal(n_done, 1);
}

/* ---------------------------------------------------------------------------------------------------------------- memory */

/* The server's part of the handshake, as soon as all of the request is there. */
static void answer_handshake(void)
{
    /* Two fragments, a compressed message (RFC 7692 §7.2.3.1), and the beginning of another. */
    static const char frames[] = "\x01\x03one\x80\x03two\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00\x81\x04hal";
    char request[1024], answer[512], value[WS_ACCEPT_LEN];
    ssize_t n = recv(server, request, sizeof request - 1, MSG_PEEK);
    request[n > 0 ? n : 0] = '\0';
    const char *key = strstr(request, "Sec-WebSocket-Key: ");
    if (!key || !strstr(request, "\r\n\r\n"))
        return;
    recv(server, request, sizeof request - 1, 0);
    ws_accept_value((str){key + strlen("Sec-WebSocket-Key: "), WS_KEY_LEN}, value);
    snprintf(answer, sizeof answer,
             "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
             "Sec-WebSocket-Accept: %.*s\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
             WS_ACCEPT_LEN, value);
    server_says(answer);
    assert_int_equal(send(server, frames, sizeof frames - 1, 0), sizeof frames - 1);
}

static int open_websocket(void)
{
    story.len = 0;
    client = bench_client_new(&worker, &bench_websocket, &scenario, 0);
    if (!client || bench_client_open(client)) {
        bench_client_free(client);
        client = NULL;
        return -1;
    }
    accept_server();
    UNTIL(was_told("lost") || was_told("[Hello] read") || (answer_handshake(), false));
    bool good = !was_told("lost");
    if (good)
        assert_string_equal(told(), "counted ready [onetwo] [Hello] read ");
    bench_client_free(client);
    client = NULL;
    return good ? 0 : -1;
}

static void client__is_lost_when_any_allocation_fails(void **state)
{
    (void)state;
    assert_int_equal(buf_reserve(&story, 4096), 0);
    if (!bench_can_deflate())
        return;
    plan.deflate = true;
    check_failing_allocations(open_websocket);
}

/* -------------------------------------------------------------------------------------------------------------- protocols */

static void protocol__follows_from_the_plan(void **state)
{
    static const struct {
        bench_plan plan;
        const bench_protocol *protocol;
    } cases[] = {
        {{.mode = BENCH_ECHO, .target = {.wire = BENCH_TCP}}, &bench_plain},
        {{.mode = BENCH_ECHO, .target = {.wire = BENCH_HTTP, .websocket = true}}, &bench_websocket},
        {{.mode = BENCH_ECHO, .target = {.wire = BENCH_HTTP, .websocket = true}, .socketio = true}, &bench_socketio},
        {{.mode = BENCH_ECHO, .target = {.wire = BENCH_HTTP}}, &bench_http_post},
        {{.mode = BENCH_REQUEST, .target = {.wire = BENCH_HTTP}}, &bench_http_get},
        {{.mode = BENCH_FANOUT, .target = {.wire = BENCH_HTTP}}, &bench_websocket},
        {{.mode = BENCH_FANOUT, .target = {.wire = BENCH_HTTP}, .via = BENCH_VIA_SSE}, &bench_sse},
        {{.mode = BENCH_IDLE, .target = {.wire = BENCH_HTTP}, .via = BENCH_VIA_STREAM}, &bench_stream},
        {{.mode = BENCH_IDLE, .target = {.wire = BENCH_HTTP}, .via = BENCH_VIA_POLL}, &bench_poll},
        {{.mode = BENCH_IDLE, .target = {.wire = BENCH_TCP}}, &bench_plain},
        {{.mode = BENCH_CONNECT, .target = {.wire = BENCH_HTTP, .websocket = true}}, &bench_websocket},
    };
    (void)state;
    for (size_t i = 0; i < N_OF(cases); i++)
        assert_ptr_equal(bench_protocol_of(&cases[i].plan), cases[i].protocol);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(client__becomes_ready_and_tells_its_messages),
        CASE(client__plain_messages_come_in_any_pieces),
        CASE(client__sends_when_it_is_ready_and_not_before),
        CASE(client__is_lost_when_the_server_ends),
        CASE(client__is_lost_when_it_is_refused),
        CASE(client__may_be_opened_anew_when_it_is_lost),
        CASE(client__may_be_opened_anew_by_a_message),
        CASE(client__says_nothing_when_it_is_closed),
        CASE(client__leaves_from_its_sources_in_turn),
        CASE(client__goes_on_where_the_protocol_lets_the_server_end),
        CASE(client__goes_on_after_no_other_end),
        CASE(client__is_lost_when_it_cannot_go_on),
        CASE(client__is_lost_when_its_protocol_says_so),
        CASE(client__is_lost_when_any_allocation_fails),
        cmocka_unit_test(protocol__follows_from_the_plan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
