#include "app/admin_client.h"

/* How an application ends, with every kind of client. (What a WebSocket alone sees is in test_app.c.) */

enum { MANY = 1000, FEW = 60 };

static int clients[MANY];
static uint64_t stopped_at_ms;

/* An application with this deadline instead of the fixture's. */
static void restart_with(uint32_t drain_timeout_ms)
{
    weft_free(app);
    app = weft_new(&(weft_options){.drain_timeout_ms = drain_timeout_ms});
}

static void stop(void)
{
    stopped_at_ms = client_now_ms();
    weft_stop(app);
}

static bool stopped(void)
{
    return weft_step(app, 0) == 0;
}

static uint64_t passed_ms(void)
{
    return client_now_ms() - stopped_at_ms;
}

static void serve_topics(void)
{
    static const char *const all[] = {"*", NULL};
    static const weft_topic_options ring = {.ring_messages = 4096, .ring_bytes = 64 << 20};
    weft_topics_options options = {.publish = all, .open = on_open, .close = on_close, .max_queued_bytes = 64 << 10};
    assert_int_equal(weft_topic_configure(app, "*", &ring), 0);
    assert_int_equal(weft_topics(app, "/topics/:topic", &options), 0);
    have_admin();
    begin();
}

static int ask(const char *method, const char *path, const char *fields)
{
    char request[512];
    int fd = client_connect(url);
    snprintf(request, sizeof request, "%s %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n", method, path, fields);
    client_write_text(fd, request);
    return fd;
}

/* A stream whose beginning has come. */
static int listen_to(const char *type)
{
    char accept[64], byte;
    snprintf(accept, sizeof accept, "Accept: %s\r\n", type);
    int fd = ask("GET", "/topics/t", accept);
    assert_int_equal(client_read_head(fd), 200);
    while (client_read(fd, &byte, 1) == 1 && !(byte == '\n' && client_wait(fd, POLLIN, 0) == 0))
        continue;
    return fd;
}

/* All that comes until the end of the stream, which must be clean. */
static const char *read_rest(int fd)
{
    ssize_t len = client_read(fd, client_bytes, CLIENT_MAX_BYTES);
    assert_true(len >= 0);
    client_bytes[len] = '\0';
    close(fd);
    return client_bytes;
}

static int poll_topic(const char *query)
{
    char path[128];
    snprintf(path, sizeof path, "/topics/t?%s", query);
    return ask("GET", path, "");
}

/* The session that an answer in client_bytes tells of. */
static const char *session_of_answer(void)
{
    static char query[128];
    const char *id = strstr(client_bytes, "\"session\":\"");
    assert_non_null(id);
    snprintf(query, sizeof query, "session=%.*s&ack=1&wait=30", (int)strcspn(id + 11, "\""), id + 11);
    return query;
}

static void answers_close(int fd)
{
    client_expect_close(fd, 1001);
    client_send_close(fd, 1001, "");
    client_expect_end(fd);
}

/* ---------------------------------------------------------------------------------------------------------- every kind */

static void drain__ends_every_kind_of_client_in_its_way(void **state)
{
    (void)state;
    serve_topics();
    int idle = client_connect(url);
    int socket_fd = client_open(url, "/topics/t"), events_fd = listen_to("text/event-stream");
    int lines_fd = listen_to("application/x-ndjson"), poll_fd = poll_topic("since=start&wait=30");
    int session_fd = poll_topic("session=new");
    assert_int_equal(client_read_answer(session_fd, NULL), 200);
    close(session_fd);
    session_fd = poll_topic(session_of_answer());
    int post_fd = ask("POST", "/topics/t", "Content-Length: 5\r\nExpect: 100-continue\r\n");
    assert_int_equal(client_read_head(post_fd), 100);
    METRIC_BECOMES("weft_connections{transport=\"http\"}", 4); /* idle, both polls and the POST */
    look();
    stop();
    answers_close(socket_fd);
    assert_string_equal(look(), "close:1001:the server is going away close:1001:the server is going away "
                                "close:1001:the server is going away close:1001:the server is going away ");
    const char *rest = read_rest(events_fd);
    assert_non_null(strstr(rest, "\r\nretry: "));
    assert_non_null(strstr(rest, "\r\n0\r\n\r\n"));
    assert_string_equal(read_rest(lines_fd), "0\r\n\r\n");
    assert_int_equal(client_read_answer(poll_fd, "Connection: close"), 200);
    assert_memory_equal(client_bytes, "{\"messages\":[]", 14);
    client_expect_end(poll_fd);
    assert_int_equal(client_read_answer(session_fd, "Connection: close"), 200);
    assert_memory_equal(client_bytes, "{\"session\":\"", 12);
    client_expect_end(session_fd);
    assert_string_equal(read_rest(idle), "");
    assert_false(stopped());
    client_write_text(post_fd, "hello");
    assert_int_equal(client_read_answer(post_fd, "Connection: close"), 201);
    client_expect_end(post_fd);
    CLIENT_UNTIL(stopped());
    assert_true(passed_ms() < 4000);
}

/* In the kernel's queue, not yet accepted. */
static void drain__serves_requests_that_had_come(void **state)
{
    (void)state;
    serve_topics();
    int fds[20];
    for (size_t i = 0; i < N_OF(fds); i++)
        fds[i] = poll_topic("since=start");
    stop();
    for (size_t i = 0; i < N_OF(fds); i++) {
        assert_int_equal(client_read_answer(fds[i], "Connection: close"), 200);
        client_expect_end(fds[i]);
    }
    CLIENT_UNTIL(stopped());
}

/* ------------------------------------------------------------------------------------------------------ for operators */

static void drain__is_seen_by_operators_until_the_last_has_gone(void **state)
{
    (void)state;
    serve_topics();
    int admin_fd = admin_connect(), fd = client_open(url, "/topics/t");
    struct sockaddr_storage where;
    const char *admin_url = weft_admin_listening(app, 0);
    assert_int_equal(ask_ready(admin_fd), 200);
    stop();
    client_expect_close(fd, 1001);
    assert_int_equal(ask_ready(admin_fd), 503);
    assert_string_equal(client_bytes, "draining\n");
    int fresh = admin_connect();
    assert_int_equal(ask_ready(fresh), 503);
    client_get(fresh, "/health/live");
    assert_int_equal(client_read_answer(fresh, NULL), 200);
    assert_int_equal(metric("weft_open_sockets"), 1);
    assert_int_equal(scraped_value("weft_disconnects_total{code=\"1001\"}"), 1);
    assert_false(stopped());
    client_send_close(fd, 1001, "");
    client_expect_end(fd);
    CLIENT_UNTIL(stopped());
    client_steps = NULL;
    client_expect_end(admin_fd);
    client_expect_end(fresh);
    socklen_t len = client_address(admin_url, &where);
    int late = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(late, (const struct sockaddr *)&where, len), -1);
    close(late);
}

static void drain__does_not_wait_for_operators(void **state)
{
    (void)state;
    serve_topics();
    int quiet = admin_connect(), half = admin_connect();
    client_write_text(half, "GET /metrics HTTP/1.1\r\n");
    scrape();
    stop();
    CLIENT_UNTIL(stopped());
    assert_true(passed_ms() < 2000);
    client_expect_end(quiet);
    client_expect_end(half);
}

/* Whenever a client has been told, the answer to a question asked after that is 503. */
static void drain__ready_says_so_before_anybody_is_told(void **state)
{
    (void)state;
    serve_topics();
    int admin_fd = admin_connect();
    for (int i = 0; i < FEW; i++)
        clients[i] = client_open(url, "/topics/t");
    look();
    stop();
    client_get(admin_fd, "/health/ready"); /* is there with the signal, and may be answered in the turn before */
    client_steps = NULL;
    while (!client_wait(admin_fd, POLLIN, 0)) {
        assert_string_equal(look(), "");
        weft_step(app, 0);
    }
    bool told = *look();
    assert_int_equal(client_read_answer(admin_fd, NULL), told ? 503 : 200);
    client_steps = app;
    assert_int_equal(ask_ready(admin_fd), 503);
    for (int i = 0; i < FEW; i++)
        answers_close(clients[i]);
    CLIENT_UNTIL(stopped());
    close(admin_fd);
}

/* --------------------------------------------------------------------------------------------------------------- many */

static int n_told;
static uint64_t spread_ms; /* the time over which they should be told */
static int n_all;

/* Nobody is told ahead of time, however the machine dawdles. */
static void check_told_in_time(void)
{
    uint64_t ms = passed_ms();
    if (ms < spread_ms)
        assert_true((uint64_t)n_told * spread_ms <= ((uint64_t)n_all + 1) * (ms + 1));
}

static void count_told(weft_peer who, int code, weft_str reason)
{
    (void)who;
    (void)reason;
    assert_int_equal(code, 1001);
    n_told++;
    check_told_in_time();
}

static void open_many(int n)
{
    n_all = n;
    n_told = 0;
    for (int i = 0; i < n; i++)
        clients[i] = client_open(url, "/");
}

static void close_all(int n)
{
    for (int i = 0; i < n; i++)
        close(clients[i]);
}

static void drain__tells_many_one_after_the_other(void **state)
{
    (void)state;
    restart_with(2000);
    spread_ms = 1000;
    serve(&(weft_websocket_options){.close = count_told});
    open_many(MANY);
    stop();
    CLIENT_UNTIL(n_told > 0);
    assert_true(passed_ms() < 500);
    CLIENT_UNTIL(n_told >= MANY / 2);
    assert_true(passed_ms() >= 490);
    CLIENT_UNTIL(n_told == MANY);
    assert_true(passed_ms() >= 980 && passed_ms() < 1990);
    client_expect_close(clients[0], 1001);
    close_all(MANY);
    CLIENT_UNTIL(stopped());
}

static void drain__tells_a_few_at_once(void **state)
{
    (void)state;
    spread_ms = 0;
    serve(&(weft_websocket_options){.close = count_told});
    open_many(FEW);
    stop();
    for (int i = 0; i < 3; i++)
        weft_step(app, 0);
    assert_int_equal(n_told, FEW);
    close_all(FEW);
    CLIENT_UNTIL(stopped());
}

/* How many of the clients have something to read. */
static int count_answered(int n)
{
    static struct pollfd all[MANY];
    for (int i = 0; i < n; i++)
        all[i] = (struct pollfd){.fd = clients[i], .events = POLLIN};
    return poll(all, (nfds_t)n, 0);
}

static void drain__answers_many_polls_one_after_the_other(void **state)
{
    (void)state;
    enum { N = 300 };
    restart_with(2000);
    spread_ms = 1000;
    n_all = N;
    n_told = 0;
    serve_topics();
    for (int i = 0; i < N; i++)
        clients[i] = poll_topic("since=start&wait=30");
    METRIC_BECOMES("weft_waiting_polls", N);
    int kept = client_connect(url);
    client_get(kept, "/topics/t?since=start");
    assert_int_equal(client_read_answer(kept, NULL), 200);
    assert_false(client_head_has("Connection: close"));
    stop();
    weft_step(app, 0);
    client_get(kept, "/topics/t?since=start");
    assert_int_equal(client_read_answer(kept, "Connection: close"), 200);
    client_expect_end(kept);
    while (n_told < N) {
        weft_step(app, 5);
        n_told = count_answered(N);
        check_told_in_time();
        assert_true(passed_ms() < 1990);
    }
    assert_true(passed_ms() >= 980);
    close_all(N);
    CLIENT_UNTIL(stopped());
}

/* Somebody whose handshake ends while the others are being told. */
static void drain__tells_who_comes_meanwhile(void **state)
{
    (void)state;
    restart_with(1000);
    spread_ms = 500;
    serve(&(weft_websocket_options){.open = on_open, .close = count_told});
    open_many(200);
    n_all = 201;
    int fd = client_connect(url);
    client_write_text(fd, "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n");
    for (int i = 0; i < 3; i++)
        weft_step(app, 1);
    stop();
    CLIENT_UNTIL(n_told == 200);
    client_write_text(fd, "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                          "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
    client_expect_accepted(fd);
    answers_close(fd);
    assert_int_equal(n_told, 201);
    close_all(200);
    CLIENT_UNTIL(stopped());
}

/* ------------------------------------------------------------------------------------------------------------- laggards */

enum { LOADS = 800, LOAD_BYTES = 16 << 10 };

static char load[LOAD_BYTES];

static void publish_loads(void)
{
    for (int i = 0; i < LOADS; i++) {
        int n = snprintf(load, sizeof load, "load %d;", i);
        memset(load + n, '.', sizeof load - (size_t)n);
        assert_int_equal(weft_publish(app, "t", &(weft_message){.kind = WEFT_TEXT, .data = {load, LOAD_BYTES}}, NULL),
                         0);
    }
}

static void expect_load(int fd, int i)
{
    char start[32];
    client_frame frame = client_receive(fd);
    int n = snprintf(start, sizeof start, "load %d;", i);
    assert_int_equal(frame.opcode, CLIENT_TEXT);
    assert_int_equal(frame.len, LOAD_BYTES);
    assert_memory_equal(frame.at, start, n);
}

static int open_slow(void)
{
    int fd = client_connect_small(url, 4096);
    client_ask(fd, "/topics/t", "");
    client_expect_accepted(fd);
    METRIC_BECOMES("weft_subscriptions", 1);
    return fd;
}

static void drain__lets_a_laggard_catch_up(void **state)
{
    (void)state;
    restart_with(20000);
    serve_topics();
    int slow = open_slow(), quick = client_open(url, "/topics/other");
    on_loop(publish_loads);
    look();
    stop();
    answers_close(quick); /* who does not lag is not kept waiting */
    assert_string_equal(look(), "close:1001:the server is going away ");
    for (int i = 0; i < LOADS; i++)
        expect_load(slow, i);
    answers_close(slow);
    CLIENT_UNTIL(stopped());
    assert_true(passed_ms() < 19000);
}

static void drain__cuts_a_laggard_at_the_deadline(void **state)
{
    (void)state;
    restart_with(300);
    serve_topics();
    int slow = open_slow();
    on_loop(publish_loads);
    look();
    stop();
    for (int i = 0; i < 5; i++)
        weft_step(app, 1);
    assert_string_equal(look(), "");
    CLIENT_UNTIL(stopped());
    assert_true(passed_ms() >= 300 && passed_ms() < 3000);
    assert_string_equal(look(), "close:1001:the server is going away ");
    close(slow);
}

/* Nobody can come to fetch the rest. */
static void drain__does_not_wait_for_a_session_that_lags(void **state)
{
    (void)state;
    serve_topics();
    int fd = poll_topic("session=new");
    assert_int_equal(client_read_answer(fd, NULL), 200);
    close(fd);
    on_loop(publish_loads);
    look();
    stop();
    CLIENT_UNTIL(stopped());
    assert_true(passed_ms() < 2000);
    assert_string_equal(look(), "close:1001:the server is going away ");
}

static void drain__stopped_twice_cuts_laggards_too(void **state)
{
    (void)state;
    restart_with(20000);
    serve_topics();
    int slow = open_slow();
    on_loop(publish_loads);
    stop();
    for (int i = 0; i < 5; i++)
        weft_step(app, 1);
    assert_false(stopped());
    weft_stop(app);
    CLIENT_UNTIL(stopped());
    assert_true(passed_ms() < 10000);
    close(slow);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ADMIN_TEST(drain__ends_every_kind_of_client_in_its_way),
        ADMIN_TEST(drain__serves_requests_that_had_come),
        ADMIN_TEST(drain__is_seen_by_operators_until_the_last_has_gone),
        ADMIN_TEST(drain__does_not_wait_for_operators),
        ADMIN_TEST(drain__ready_says_so_before_anybody_is_told),
        ADMIN_TEST(drain__tells_many_one_after_the_other),
        ADMIN_TEST(drain__tells_a_few_at_once),
        ADMIN_TEST(drain__answers_many_polls_one_after_the_other),
        ADMIN_TEST(drain__tells_who_comes_meanwhile),
        ADMIN_TEST(drain__lets_a_laggard_catch_up),
        ADMIN_TEST(drain__cuts_a_laggard_at_the_deadline),
        ADMIN_TEST(drain__does_not_wait_for_a_session_that_lags),
        ADMIN_TEST(drain__stopped_twice_cuts_laggards_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
