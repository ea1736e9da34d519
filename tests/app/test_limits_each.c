/* Each limit of base/limits.h is reached through a socket, by a test of its name: it alone is counted, once, where operators see it, and the log names
 * it once. (What a client is answered, and what goes on meanwhile, is in test_limits.c and in the tests of what is limited.) */
#include "app/app.h"
#include "http/http1_private.h"
#include "proto/ws_compress.h"

#include "app/admin_client.h"
#include <sys/resource.h>

static char lines[1 << 16];
static bool reached[N_LIMITS]; /* by a test that has run */

static void keep_line(weft_log_level level, const char *line, void *user)
{
    size_t len = strlen(lines);
    (void)level, (void)user;
    snprintf(lines + len, sizeof lines - len, "%s\n", line);
}

static int begin_test(void **state)
{
    (void)state;
    lines[0] = events[0] = '\0';
    app = NULL;
    return 0;
}

static void make_app(weft_options options)
{
    options.log = keep_line;
    app = weft_new(&options);
    assert_non_null(app);
    have_admin();
}

static size_t count(const char *what)
{
    size_t n = 0;
    for (const char *at = lines; (at = strstr(at, what)); at++)
        n++;
    return n;
}

/* In the log a name stands with quotes or without. */
static size_t count_named(limit_id limit)
{
    char plain[64], quoted[64];
    snprintf(plain, sizeof plain, " limit=%s", limit_name(limit));
    snprintf(quoted, sizeof quoted, " limit=\"%s\"", limit_name(limit));
    return count(plain) + count(quoted);
}

/** The limit was reached once, and no other. */
static void expect_reached(limit_id limit)
{
    CLIENT_UNTIL(app->workers->net.limits.n[limit] && count_named(limit));
    scrape();
    for (int i = 0; i < N_LIMITS; i++) {
        char series[128];
        snprintf(series, sizeof series, "weft_limit_reached_total{limit=\"%s\"}", limit_name((limit_id)i));
        assert_int_equal(scraped_value(series), i == (int)limit);
    }
    assert_int_equal(count_named(limit), 1);
    assert_int_equal(count("limit="), 1);
    reached[limit] = true;
}

/* ---------------------------------------------------------------------------------------------------------- connections */

static void answer_now(weft_exchange asking, const weft_request *request, void *user)
{
    (void)request, (void)user;
    weft_answer(asking, 200, "text/plain", "hello", 5);
}

/* What it answers is larger than what a connection may have unsent. */
static void answer_much(weft_exchange asking, const weft_request *request, void *user)
{
    static char much[4 << 20];
    (void)request, (void)user;
    weft_answer(asking, 200, "text/plain", much, sizeof much);
}

static void serve_page(void)
{
    assert_int_equal(weft_get(app, "/", answer_now, NULL), 0);
    begin();
}

static int connect_from(const char *of)
{
    struct sockaddr_storage where;
    struct sockaddr_in own = {.sin_family = AF_INET};
    socklen_t len = client_address(url, &where);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(inet_pton(AF_INET, of, &own.sin_addr), 1);
    assert_int_equal(bind(fd, (const struct sockaddr *)&own, sizeof own), 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&where, len), 0);
    return fd;
}

static void expect_status(int fd, const char *request, int status)
{
    client_write_text(fd, request);
    assert_int_equal(client_read_answer(fd, NULL), status);
    close(fd);
}

#define GET_PAGE "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"

static void max_address_connections__is_counted_and_told(void **state)
{
    (void)state;
    make_app((weft_options){.max_address_connections = 1});
    serve_page();
    scrape(); /* operators come from an address too, but not to this net */
    app->workers->net.addresses->count_loopback = true;
    int fd = connect_from("127.0.0.2"), more = connect_from("127.0.0.2");
    assert_int_equal(client_read_answer(more, "Retry-After: 1"), 503);
    expect_reached(LIMIT_ADDRESS_CONNECTIONS);
    close(more);
    close(fd);
}

static void max_address_connects_per_s__is_counted_and_told(void **state)
{
    (void)state;
    make_app((weft_options){.max_address_connects_per_s = 1});
    serve_page();
    app->workers->net.addresses->count_loopback = true;
    for (int i = 0; i < 10; i++)
        expect_status(connect_from("127.0.0.2"), GET_PAGE, 200);
    int more = connect_from("127.0.0.2");
    assert_int_equal(client_read_answer(more, "Retry-After: 1"), 503);
    close(more);
    expect_reached(LIMIT_ADDRESS_CONNECTS);
}

static void descriptors__are_counted_and_told(void **state)
{
    (void)state;
    struct rlimit before, none;
    struct sockaddr_storage where;
    make_app((weft_options){0});
    serve_page();
    scrape();
    socklen_t len = client_address(url, &where);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), next = dup(fd);
    close(next); /* the lowest that is free */
    getrlimit(RLIMIT_NOFILE, &before);
    none = before;
    none.rlim_cur = (rlim_t)next;
    setrlimit(RLIMIT_NOFILE, &none);
    assert_int_equal(connect(fd, (const struct sockaddr *)&where, len), 0);
    int status = client_read_head(fd);
    setrlimit(RLIMIT_NOFILE, &before);
    assert_int_equal(status, 503);
    expect_reached(LIMIT_DESCRIPTORS);
    close(fd);
}

static void write_timeout__is_counted_and_told(void **state)
{
    (void)state;
    make_app((weft_options){.write_timeout_ms = 100});
    assert_int_equal(weft_get(app, "/", answer_much, NULL), 0);
    begin();
    int fd = client_connect_small(url, 4096);
    client_write_text(fd, GET_PAGE);
    expect_reached(LIMIT_WRITE_TIMEOUT);
    close(fd);
}

static void trusted_proxies__that_contradict_themselves_are_counted_and_told(void **state)
{
    (void)state;
    make_app((weft_options){.trusted_proxies = (const char *const[]){"127.0.0.1", NULL}});
    serve_page();
    expect_status(client_connect(url),
                  "GET / HTTP/1.1\r\nHost: localhost\r\nForwarded: for=6.6.6.6\r\nX-Forwarded-For: 7.7.7.7\r\n\r\n",
                  200);
    expect_reached(LIMIT_PROXIES);
}

/* ------------------------------------------------------------------------------------------------------------- requests */

static void hold(weft_exchange asking, const weft_request *request, void *user)
{
    (void)asking, (void)request, (void)user;
}

static void serve_requests(void)
{
    static const char *const writable[] = {"a*", NULL};
    weft_topics_options topics = {.publish = writable, .publish_key = "k", .max_message_bytes = 10};
    weft_route_options post = {.request = answer_now, .max_body_bytes = 10000};
    make_app((weft_options){.head_timeout_ms = 60, .idle_timeout_ms = 60, .min_body_bytes_per_s = 100});
    weft_get(app, "/", answer_now, NULL);
    weft_route(app, "POST", "/post", &post);
    weft_websocket(app, "/held", &(weft_websocket_options){.request = hold, .accept_timeout_ms = 50});
    weft_topics(app, "/topics/:topic", &topics);
    begin();
}

/* Such a request is answered so. */
static void refused(const char *request, int status, limit_id limit)
{
    serve_requests();
    expect_status(client_connect(url), request, status);
    expect_reached(limit);
}

#define FIELDS(more) " HTTP/1.1\r\nHost: localhost\r\n" more "\r\n"
#define UPGRADE                                                                                                        \
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "                    \
    "dGhlIHNhbXBsZSBub25jZQ==\r\n"

static void head_timeout__is_counted_and_told(void **state)
{
    (void)state;
    refused("GET / HTTP/1.1\r\nHost: loc", 408, LIMIT_HEAD_TIMEOUT);
}

/* Half a handshake looks like this, too. */
static void head_timeout__of_who_says_nothing_is_counted_and_told(void **state)
{
    (void)state;
    serve_requests();
    int fd = client_connect(url);
    client_expect_end(fd);
    expect_reached(LIMIT_HEAD_TIMEOUT);
}

static void idle_timeout__is_counted_and_told(void **state)
{
    (void)state;
    serve_requests();
    int fd = client_connect(url);
    client_write_text(fd, GET_PAGE);
    assert_int_equal(client_read_answer(fd, NULL), 200);
    client_expect_end(fd);
    expect_reached(LIMIT_IDLE_TIMEOUT);
}

static void request_line__is_counted_and_told(void **state)
{
    static char text[9000];
    (void)state;
    memset(text, 'a', sizeof text - 1);
    memcpy(text, "GET /", 5);
    refused(text, 414, LIMIT_LINE_BYTES);
}

static void request_head__is_counted_and_told(void **state)
{
    static char text[4096];
    (void)state;
    char *end = text + sprintf(text, "GET / HTTP/1.1\r\nHost: localhost\r\n");
    for (int i = 0; i < 101; i++)
        end += sprintf(end, "a: b\r\n");
    refused(text, 431, LIMIT_HEAD_BYTES);
}

static void max_body_bytes__is_counted_and_told(void **state)
{
    (void)state;
    refused("POST /post" FIELDS("Content-Length: 10001\r\n"), 413, LIMIT_BODY_BYTES);
}

/* A window of the rate is ten seconds: here it is over at once. */
static void min_body_bytes_per_s__is_counted_and_told(void **state)
{
    (void)state;
    serve_requests();
    int fd = client_connect(url);
    client_write_text(fd, "POST /post" FIELDS("Content-Length: 10000\r\n") "slow");
    CLIENT_UNTIL(app->workers->http.n_connections == 1);
    let_arrive();
    http1_connection *c = CONTAINER(list_first(&app->workers->http.connections), http1_connection, siblings);
    assert_non_null(c->incoming);
    loop_arm(&app->workers->loop, &c->deadline, 0, c->deadline.fire);
    assert_int_equal(client_read_answer(fd, "Connection: close"), 408);
    close(fd);
    expect_reached(LIMIT_BODY_RATE);
}

static void unsent_answers__are_counted_and_told(void **state)
{
    (void)state;
    make_app((weft_options){0});
    assert_int_equal(weft_get(app, "/", answer_much, NULL), 0);
    begin();
    int fd = client_connect_small(url, 4096);
    for (int i = 0; i < 5; i++)
        client_write_text(fd, GET_PAGE);
    expect_reached(LIMIT_UNSENT_BYTES);
    close(fd);
}

static void accept_timeout__is_counted_and_told(void **state)
{
    (void)state;
    refused("GET /held" FIELDS(UPGRADE), 503, LIMIT_ACCEPT_TIMEOUT);
}

static void hosts__is_counted_and_told(void **state)
{
    (void)state;
    refused("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421, LIMIT_HOSTS);
}

static void origins__is_counted_and_told(void **state)
{
    (void)state;
    refused("GET /held" FIELDS(UPGRADE "Origin: http://evil.example\r\n"), 403, LIMIT_ORIGINS);
}

static void publish_key__is_counted_and_told(void **state)
{
    (void)state;
    refused("POST /topics/b" FIELDS("Authorization: Bearer wrong\r\nContent-Length: 1\r\n") "x", 401, LIMIT_KEY);
}

static void publish__is_counted_and_told(void **state)
{
    (void)state;
    refused("POST /topics/b" FIELDS("Content-Length: 1\r\n") "x", 403, LIMIT_ACCESS);
}

static void max_message_bytes__of_posts_is_counted_and_told(void **state)
{
    (void)state;
    refused("POST /topics/a" FIELDS("Content-Length: 11\r\n"), 413, LIMIT_MESSAGE_BYTES);
}

/* ---------------------------------------------------------------------------------------------------------------- peers */

static void serve_socket(const weft_websocket_options *options)
{
    make_app((weft_options){0});
    serve(options);
}

static void max_message_bytes__is_counted_and_told(void **state)
{
    (void)state;
    serve_socket(&(weft_websocket_options){.max_message_bytes = 100});
    int fd = client_open(url, "/");
    client_send(fd, CLIENT_FIN | CLIENT_BINARY, lines, 101);
    client_expect_close(fd, 1009);
    expect_reached(LIMIT_MESSAGE_BYTES);
    close(fd);
}

static void fragments__are_counted_and_told(void **state)
{
    (void)state;
    serve_socket(&(weft_websocket_options){0});
    int fd = client_open(url, "/");
    client_send(fd, CLIENT_BINARY, "", 0);
    for (int i = 0; i < 1100 && client_try_send(fd, CLIENT_CONTINUATION, "", 0); i++)
        continue;
    client_expect_close(fd, 1008);
    expect_reached(LIMIT_FRAGMENTS);
    close(fd);
}

static int open_small(const char *path)
{
    int fd = client_connect_small(url, 4096);
    client_ask(fd, path, "");
    client_expect_accepted(fd);
    return fd;
}

static void unsent_pongs__are_counted_and_told(void **state)
{
    (void)state;
    char payload[125] = {0}, frame[160];
    int few = 4096;
    serve_socket(&(weft_websocket_options){0});
    setsockopt(app->listeners->next->base.source.fd, SOL_SOCKET, SO_SNDBUF, &few,
               sizeof few); /* or the system takes more, some time */
    int fd = open_small("/");
    size_t len = client_put(frame, CLIENT_FIN | CLIENT_PING, payload, sizeof payload);
    for (int i = 0; !app->workers->net.limits.n[LIMIT_REPLY_BYTES]; i++) {
        assert_true(i < 1000000);
        if (send(fd, frame, len, MSG_DONTWAIT | MSG_NOSIGNAL) < (ssize_t)len)
            weft_step(app, 1);
    }
    expect_reached(LIMIT_REPLY_BYTES);
    close(fd);
}

static void send_much(weft_peer who)
{
    static char much[4 << 20];
    latest = who;
    weft_send_data(who, WEFT_BINARY, much, sizeof much);
}

static void max_queued_bytes__is_counted_and_told(void **state)
{
    (void)state;
    serve_socket(&(weft_websocket_options){.open = send_much});
    int fd = open_small("/");
    expect_reached(LIMIT_QUEUED_BYTES);
    close(fd);
}

static void send_texts(int fd, int n)
{
    for (int i = 0; i < n; i++)
        client_send_text(fd, "a text of 20 bytes..");
}

static void max_messages_per_s__is_counted_and_told(void **state)
{
    (void)state;
    serve_socket(&(weft_websocket_options){.max_messages_per_s = 1});
    int fd = client_open(url, "/");
    send_texts(fd, 12);
    expect_reached(LIMIT_MESSAGE_RATE);
    close(fd);
}

static void max_bytes_per_s__is_counted_and_told(void **state)
{
    (void)state;
    serve_socket(&(weft_websocket_options){.max_bytes_per_s = 20});
    int fd = client_open(url, "/");
    send_texts(fd, 12);
    expect_reached(LIMIT_BYTE_RATE);
    close(fd);
}

static void ping_timeout__is_counted_and_told(void **state)
{
    (void)state;
    serve_socket(&(weft_websocket_options){.ping_interval_ms = 30, .ping_timeout_ms = 30});
    int fd = client_open(url, "/");
    expect_reached(LIMIT_PING_TIMEOUT);
    close(fd);
}

static void close_at_once(weft_peer who)
{
    weft_close(who, 1000, NULL);
}

static void close_timeout__is_counted_and_told(void **state)
{
    (void)state;
    serve_socket(&(weft_websocket_options){.open = close_at_once, .close_timeout_ms = 50});
    int fd = client_open(url, "/");
    client_expect_close(fd, 1000);
    client_expect_end(fd);
    expect_reached(LIMIT_CLOSE_TIMEOUT);
}

static void deflate_budget__is_counted_and_told(void **state)
{
    (void)state;
    reached[LIMIT_DEFLATE_BUDGET] = !ws_compress_available(); /* such a build has nothing to limit */
    if (reached[LIMIT_DEFLATE_BUDGET])
        return;
    make_app((weft_options){.deflate_budget_bytes = 1});
    serve(&(weft_websocket_options){.deflate = 1, .deflate_context = 1});
    int fd = client_connect(url);
    client_ask(fd, "/", "Sec-WebSocket-Extensions: permessage-deflate\r\n");
    client_expect_accepted(fd);
    assert_true(client_head_has("Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; "
                                "client_no_context_takeover"));
    expect_reached(LIMIT_DEFLATE_BUDGET);
    close(fd);
}

/* --------------------------------------------------------------------------------------------------------------- topics */

static void serve_protocol(weft_options options)
{
    static const char *const all[] = {"*", NULL};
    make_app(options);
    assert_int_equal(weft_topics(app, "/topics/:topic", &(weft_topics_options){.publish = all}), 0);
    assert_int_equal(weft_protocol(app, "/weft", &(weft_topics_options){.publish = all}), 0);
    begin();
}

/* What is too large is known when it has come: the frame is larger than its data in any case. */
static void max_message_bytes__of_envelopes_is_counted_and_told(void **state)
{
    (void)state;
    static const char *const all[] = {"*", NULL};
    char text[256];
    make_app((weft_options){0});
    assert_int_equal(weft_protocol(app, "/weft", &(weft_topics_options){.publish = all, .max_message_bytes = 100}), 0);
    begin();
    int fd = client_connect(url);
    client_ask(fd, "/weft", "Sec-WebSocket-Protocol: weft.v1\r\n");
    client_expect_accepted(fd);
    snprintf(text, sizeof text, "{\"type\":\"publish\",\"topic\":\"a\",\"data\":\"%0101d\",\"id\":\"1\"}", 0);
    client_send_text(fd, text);
    while (!strstr(client_bytes, "\"too-large\""))
        assert_int_equal(client_receive(fd).opcode, CLIENT_TEXT);
    expect_reached(LIMIT_MESSAGE_BYTES);
    client_leave(fd);
}

/* A client of weft.v1 that subscribes to a and b; the answer to the second is an error. */
static void subscribe_twice(void)
{
    int fd = client_connect(url);
    client_ask(fd, "/weft", "Sec-WebSocket-Protocol: weft.v1\r\n");
    client_expect_accepted(fd);
    client_send_text(fd, "{\"type\":\"subscribe\",\"topic\":\"a\",\"id\":\"1\"}");
    client_send_text(fd, "{\"type\":\"subscribe\",\"topic\":\"b\",\"id\":\"2\"}");
    while (!strstr(client_bytes, "\"too-many\""))
        assert_int_equal(client_receive(fd).opcode, CLIENT_TEXT);
    client_leave(fd);
}

static void max_topics__of_requests_is_counted_and_told(void **state)
{
    (void)state;
    serve_protocol((weft_options){.max_topics = 1});
    int held = client_connect(url);
    client_write_text(held, "GET /topics/a" FIELDS("Accept: text/event-stream\r\n"));
    assert_int_equal(client_read_head(held), 200);
    expect_status(client_connect(url), "GET /topics/b" FIELDS(""), 503);
    expect_reached(LIMIT_TOPICS);
    close(held);
}

static void max_topics__of_subscriptions_is_counted_and_told(void **state)
{
    (void)state;
    serve_protocol((weft_options){.max_topics = 1});
    subscribe_twice();
    expect_reached(LIMIT_TOPICS); /* and not in the line of the client, who has left */
}

/* What a program publishes has no client; the log tells of it all the same. */
static void max_topics__of_publishing_is_counted_and_told(void **state)
{
    (void)state;
    make_app((weft_options){.max_topics = 1});
    weft_topic_configure(app, "*", &(weft_topic_options){.history_messages = 1});
    begin();
    weft_publish_text(app, "a", "kept");
    weft_publish_text(app, "b", "not taken");
    expect_reached(LIMIT_TOPICS);
}

static void max_subscriptions__is_counted_and_told(void **state)
{
    (void)state;
    serve_protocol((weft_options){.max_subscriptions = 1});
    subscribe_twice();
    expect_reached(LIMIT_SUBSCRIPTIONS);
}

static void subscribe_to_two(weft_peer who)
{
    assert_int_equal(weft_subscribe(who, "a", NULL), 0);
    assert_int_equal(weft_subscribe(who, "b", NULL), WEFT_E_TOO_LARGE);
}

static void max_subscriptions__of_a_program_is_counted_and_told(void **state)
{
    (void)state;
    make_app((weft_options){.max_subscriptions = 1});
    serve(&(weft_websocket_options){.open = subscribe_to_two});
    int fd = client_open(url, "/");
    client_leave(fd);
    expect_reached(LIMIT_SUBSCRIPTIONS);
}

static void subscribe(weft_peer who)
{
    latest = who;
    weft_subscribe(who, "a", NULL);
}

static void ring__is_counted_and_told(void **state)
{
    (void)state;
    static char much[64 << 10];
    make_app((weft_options){0});
    weft_topic_configure(app, "a", &(weft_topic_options){.ring_messages = 4, .slow = WEFT_SLOW_CLOSE});
    assert_int_equal(weft_websocket(app, "/", &(weft_websocket_options){.open = subscribe, .close = on_close}), 0);
    begin();
    int fd = open_small("/");
    CLIENT_UNTIL(latest.id);
    weft_message message = {.kind = WEFT_BINARY, .data = {much, sizeof much}};
    for (int i = 0; !*events; i++) {
        assert_true(i < 10000);
        weft_publish(app, "a", &message, NULL);
        weft_step(app, 0);
    }
    assert_string_equal(look(), "close:1013:too slow for a topic ");
    expect_reached(LIMIT_RING);
    close(fd);
}

static void max_sessions__is_counted_and_told(void **state)
{
    (void)state;
    serve_protocol((weft_options){.max_sessions = 1});
    expect_status(client_connect(url), "GET /topics/a?session=new" FIELDS(""), 200);
    expect_status(client_connect(url), "GET /topics/a?session=new" FIELDS(""), 503);
    expect_reached(LIMIT_SESSIONS);
}

/* --------------------------------------------------------------------------------------------------------------- all */

static void limits__have_a_test_each(void **state)
{
    (void)state;
    for (int i = 0; i < N_LIMITS; i++)
        if (!reached[i])
            fail_msg("no test above has reached %s", limit_name((limit_id)i));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin_test, teardown_admin)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(max_address_connections__is_counted_and_told),
        TEST(max_address_connects_per_s__is_counted_and_told),
        TEST(descriptors__are_counted_and_told),
        TEST(write_timeout__is_counted_and_told),
        TEST(trusted_proxies__that_contradict_themselves_are_counted_and_told),
        TEST(head_timeout__is_counted_and_told),
        TEST(head_timeout__of_who_says_nothing_is_counted_and_told),
        TEST(idle_timeout__is_counted_and_told),
        TEST(request_line__is_counted_and_told),
        TEST(request_head__is_counted_and_told),
        TEST(max_body_bytes__is_counted_and_told),
        TEST(min_body_bytes_per_s__is_counted_and_told),
        TEST(unsent_answers__are_counted_and_told),
        TEST(accept_timeout__is_counted_and_told),
        TEST(hosts__is_counted_and_told),
        TEST(origins__is_counted_and_told),
        TEST(publish_key__is_counted_and_told),
        TEST(publish__is_counted_and_told),
        TEST(max_message_bytes__of_posts_is_counted_and_told),
        TEST(max_message_bytes__is_counted_and_told),
        TEST(fragments__are_counted_and_told),
        TEST(unsent_pongs__are_counted_and_told),
        TEST(max_queued_bytes__is_counted_and_told),
        TEST(max_messages_per_s__is_counted_and_told),
        TEST(max_bytes_per_s__is_counted_and_told),
        TEST(ping_timeout__is_counted_and_told),
        TEST(close_timeout__is_counted_and_told),
        TEST(deflate_budget__is_counted_and_told),
        TEST(max_message_bytes__of_envelopes_is_counted_and_told),
        TEST(max_topics__of_requests_is_counted_and_told),
        TEST(max_topics__of_subscriptions_is_counted_and_told),
        TEST(max_topics__of_publishing_is_counted_and_told),
        TEST(max_subscriptions__is_counted_and_told),
        TEST(max_subscriptions__of_a_program_is_counted_and_told),
        TEST(ring__is_counted_and_told),
        TEST(max_sessions__is_counted_and_told),
        cmocka_unit_test(limits__have_a_test_each),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
