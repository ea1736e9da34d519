#include "app/app.h"
#include "app/fixture.h"

/* Each test sends an attack; then it asks the answer, the counter, and the line of log that names the limit. */

static char lines[1 << 16];

static void keep_line(weft_log_level level, const char *line, void *user)
{
    size_t len = strlen(lines);
    (void)level, (void)user;
    snprintf(lines + len, sizeof lines - len, "%s\n", line);
}

static size_t count(const char *what)
{
    size_t n = 0;
    for (const char *at = lines; (at = strstr(at, what)); at++)
        n++;
    return n;
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
}

static uint64_t reached(limit_id limit)
{
    return app->workers->net.limits.n[limit];
}

/** Exactly once, and of all limits this one alone. */
static void expect_reached(limit_id limit)
{
    for (int i = 0; i < N_LIMITS; i++)
        assert_int_equal(reached((limit_id)i), i == (int)limit);
}

/* ---- clients with addresses of their own ---- */

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

/** It is served, and stays. */
static void expect_served(int fd)
{
    client_get(fd, "/");
    assert_int_equal(client_read_answer(fd, NULL), 200);
}

static void expect_turned_away(int fd)
{
    assert_int_equal(client_read_answer(fd, "Retry-After: 1"), 503);
    client_expect_end(fd);
}

static void tell_address(weft_exchange asking, const weft_request *request, void *user)
{
    (void)user;
    weft_str seen = weft_request_address(request);
    char text[128];
    int len =
        snprintf(text, sizeof text, "%.*s%s", (int)seen.len, seen.at, weft_request_secure(request) ? " secure" : "");
    weft_answer(asking, 200, "text/plain", text, (size_t)len);
}

static void serve_addresses(void)
{
    assert_int_equal(weft_get(app, "/", tell_address, NULL), 0);
    assert_int_equal(weft_websocket(app, "/socket", &(weft_websocket_options){RECORDED}), 0);
    begin();
}

/* ---- connection exhaustion ---- */

static void connection_exhaustion__an_address_holds_so_many(void **state)
{
    (void)state;
    int fds[3];
    make_app((weft_options){.max_address_connections = 3});
    app->workers->net.addresses->count_loopback = true;
    serve_addresses();
    for (size_t i = 0; i < N_OF(fds); i++)
        expect_served(fds[i] = connect_from("127.0.0.2"));
    for (int i = 0; i < 5; i++)
        expect_turned_away(connect_from("127.0.0.2"));
    assert_int_equal(reached(LIMIT_ADDRESS_CONNECTIONS), 5);
    assert_int_equal(count("event=refuse address=127.0.0.2 status=503 limit=max_address_connections"), 1);
    int other = connect_from("127.0.0.3");
    expect_served(other);
    close(fds[0]);
    CLIENT_UNTIL(app->workers->net.n_streams == 3);
    expect_served(fds[0] = connect_from("127.0.0.2"));
    expect_turned_away(connect_from("127.0.0.2"));
    for (size_t i = 0; i < N_OF(fds); i++)
        close(fds[i]);
    close(other);
}

/* What nobody has been told yet counts, too, and whatever the connection becomes. */
static void connection_exhaustion__silent_ones_and_peers_count(void **state)
{
    (void)state;
    make_app((weft_options){.max_address_connections = 2});
    app->workers->net.addresses->count_loopback = true;
    serve_addresses();
    int silent = connect_from("127.0.0.2"), opened = connect_from("127.0.0.2");
    client_ask(opened, "/socket", "");
    client_expect_accepted(opened);
    expect_turned_away(connect_from("127.0.0.2"));
    client_leave(opened);
    CLIENT_UNTIL(app->workers->net.n_streams == 1);
    opened = connect_from("127.0.0.2");
    expect_served(opened);
    close(silent);
    close(opened);
}

static void connection_exhaustion__an_address_connects_so_fast(void **state)
{
    (void)state;
    make_app((weft_options){.max_address_connects_per_s = 1});
    app->workers->net.addresses->count_loopback = true;
    serve_addresses();
    for (int i = 0; i < 10; i++) {
        int fd = connect_from("127.0.0.2");
        expect_served(fd);
        close(fd);
    }
    expect_turned_away(connect_from("127.0.0.2"));
    assert_int_equal(reached(LIMIT_ADDRESS_CONNECTS), 1);
    assert_int_equal(count("event=refuse address=127.0.0.2 status=503 limit=max_address_connects_per_s"), 1);
    int other = connect_from("127.0.0.3");
    expect_served(other);
    close(other);
}

/* An army: each gets its share, none more, and who is honest is served. */
static void connection_exhaustion__of_many_addresses_leaves_room_for_others(void **state)
{
    (void)state;
    enum { N_ATTACKERS = 40, EACH = 6, SHARE = 4 };
    static int fds[N_ATTACKERS * EACH];
    make_app((weft_options){.max_address_connections = SHARE});
    app->workers->net.addresses->count_loopback = true;
    serve_addresses();
    for (int i = 0; i < N_ATTACKERS * EACH; i++) {
        char of[32];
        snprintf(of, sizeof of, "127.0.1.%d", 1 + i % N_ATTACKERS);
        fds[i] = connect_from(of);
    }
    CLIENT_UNTIL(app->workers->net.n_streams + reached(LIMIT_ADDRESS_CONNECTIONS) == N_ATTACKERS * EACH);
    assert_int_equal(app->workers->net.n_streams, N_ATTACKERS * SHARE);
    assert_int_equal(app->workers->net.addresses->counted.n_entries, N_ATTACKERS);
    assert_int_equal(count("limit=max_address_connections"), N_ATTACKERS);
    int honest = connect_from("127.0.2.1");
    expect_served(honest);
    close(honest);
    for (int i = 0; i < N_ATTACKERS * EACH; i++)
        close(fds[i]);
}

static void connection_exhaustion__does_not_concern_this_machine(void **state)
{
    (void)state;
    int fds[8];
    make_app((weft_options){.max_address_connections = 1, .max_address_connects_per_s = 1});
    serve_addresses();
    for (size_t i = 0; i < N_OF(fds); i++)
        expect_served(fds[i] = client_connect(url));
    for (size_t i = 0; i < N_OF(fds); i++)
        close(fds[i]);
    assert_int_equal(reached(LIMIT_ADDRESS_CONNECTIONS) + reached(LIMIT_ADDRESS_CONNECTS), 0);
}

/* ---- forwarded-address spoofing ---- */

static void ask(int fd, const char *fields)
{
    char request[512];
    snprintf(request, sizeof request, "GET / HTTP/1.1\r\nHost: localhost\r\n%s\r\n", fields);
    client_write_text(fd, request);
}

/** The address that the program sees; without its port when the answer is compared up to that. */
static void expect_seen(int fd, const char *fields, const char *seen)
{
    ask(fd, fields);
    assert_int_equal(client_read_answer(fd, NULL), 200);
    assert_memory_equal(client_bytes, seen, strlen(seen));
}

static void forwarded_spoofing__nobody_is_believed_by_default(void **state)
{
    (void)state;
    make_app((weft_options){0});
    serve_addresses();
    int fd = client_connect(url);
    expect_seen(fd, "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\n", "127.0.0.1:");
    expect_seen(fd, "Forwarded: for=6.6.6.6;proto=https\r\n", "127.0.0.1:");
    assert_null(strstr(client_bytes, "secure"));
    close(fd);
}

static void forwarded_spoofing__others_than_the_proxies_are_not_believed(void **state)
{
    (void)state;
    make_app((weft_options){.trusted_proxies = (const char *const[]){"127.0.0.9", "10.0.0.0/8", NULL}});
    serve_addresses();
    int fd = connect_from("127.0.0.2"), proxy = connect_from("127.0.0.9");
    expect_seen(fd, "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\n", "127.0.0.2:");
    assert_null(strstr(client_bytes, "secure"));
    expect_seen(proxy, "X-Forwarded-For: 198.51.100.7\r\nX-Forwarded-Proto: https\r\n", "198.51.100.7 secure");
    expect_seen(proxy, "X-Forwarded-For: 6.6.6.6, 198.51.100.7, 10.2.3.4\r\n", "198.51.100.7");
    expect_seen(proxy, "Forwarded: for=\"[2001:db8::7]:81\";proto=https\r\n", "[2001:db8::7]:81 secure");
    expect_seen(proxy, "", "127.0.0.9:"); /* of each request anew */
    expect_seen(proxy, "X-Forwarded-For: nonsense\r\n", "127.0.0.9:");
    close(fd);
    close(proxy);
}

/* A proxy that sets the one field passes on the other as the client made it up. */
static void forwarded_spoofing__fields_that_contradict_are_not_believed(void **state)
{
    (void)state;
    make_app((weft_options){.trusted_proxies = (const char *const[]){"127.0.0.1", NULL}});
    serve_addresses();
    int fd = client_connect(url);
    expect_seen(fd, "Forwarded: for=6.6.6.6\r\nX-Forwarded-For: 198.51.100.7\r\n", "127.0.0.1:");
    expect_seen(fd, "Forwarded: for=6.6.6.6\r\nX-Forwarded-For: 198.51.100.7\r\n", "127.0.0.1:");
    assert_int_equal(reached(LIMIT_PROXIES), 2);
    assert_int_equal(count("limit=trusted_proxies"), 1);
    close(fd);
}

static void keep_about(weft_peer who)
{
    weft_peer_info info;
    assert_int_equal(weft_peer_about(who, &info), 0);
    happened("%s ", info.address);
}

/* The address of a peer, and the log's. */
static void forwarded_address__is_that_of_peers(void **state)
{
    (void)state;
    make_app((weft_options){.trusted_proxies = (const char *const[]){"127.0.0.1", NULL}});
    assert_int_equal(weft_websocket(app, "/ws", &(weft_websocket_options){.open = keep_about}), 0);
    assert_int_equal(weft_sse(app, "/sse", &(weft_sse_options){.open = keep_about}), 0);
    assert_int_equal(weft_topics(app, "/topics/:topic", &(weft_topics_options){.open = keep_about}), 0);
    begin();
    int socket = client_connect(url), sse = client_connect(url), polls = client_connect(url);
    client_ask(socket, "/ws", "X-Forwarded-For: 198.51.100.1\r\n");
    client_expect_accepted(socket);
    CLIENT_UNTIL(strcmp(events, "198.51.100.1 ") == 0);
    client_write_text(sse, "GET /sse HTTP/1.1\r\nHost: localhost\r\nForwarded: for=198.51.100.2\r\n\r\n");
    CLIENT_UNTIL(strcmp(events, "198.51.100.1 198.51.100.2 ") == 0);
    client_write_text(polls,
                      "GET /topics/a?session=new HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 198.51.100.3\r\n\r\n");
    CLIENT_UNTIL(strcmp(events, "198.51.100.1 198.51.100.2 198.51.100.3 ") == 0);
    client_leave(socket);
    close(sse);
    CLIENT_UNTIL(count("event=close transport=sse address=198.51.100.2 ") == 1);
    assert_int_equal(count("event=close transport=websocket address=198.51.100.1 "), 1);
    close(polls);
}

/* ---- who comes by a proxy has a share as well ---- */

static int open_through_proxy(const char *client)
{
    char fields[100];
    int fd = client_connect(url);
    snprintf(fields, sizeof fields, "X-Forwarded-For: %s\r\n", client);
    client_ask(fd, "/socket", fields);
    return fd;
}

static void connection_exhaustion__through_a_proxy_ends_at_the_share_of_each(void **state)
{
    (void)state;
    make_app((weft_options){.max_address_connections = 2, .trusted_proxies = (const char *const[]){"127.0.0.1", NULL}});
    serve_addresses();
    int first = open_through_proxy("198.51.100.7"), second = open_through_proxy("198.51.100.7");
    client_expect_accepted(first);
    client_expect_accepted(second);
    int third = open_through_proxy("198.51.100.7"), other = open_through_proxy("198.51.100.8");
    expect_turned_away(third);
    client_expect_accepted(other);
    expect_reached(LIMIT_ADDRESS_CONNECTIONS);
    assert_int_equal(count("address=198.51.100.7 status=503"), 1);
    assert_int_equal(count("limit=max_address_connections"), 1);
    client_leave(first);
    CLIENT_UNTIL(app->workers->net.n_streams == 2);
    first = open_through_proxy("198.51.100.7");
    client_expect_accepted(first);
    close(first);
    close(second);
    close(other);
}

/* A proxy keeps connections for whoever comes next: one that waits is nobody's. */
static void connection_exhaustion__is_not_seen_in_a_proxys_idle_connections(void **state)
{
    (void)state;
    int fds[5];
    make_app((weft_options){.max_address_connections = 1, .trusted_proxies = (const char *const[]){"127.0.0.1", NULL}});
    serve_addresses();
    for (size_t i = 0; i < N_OF(fds); i++)
        expect_seen(fds[i] = client_connect(url), "X-Forwarded-For: 198.51.100.7\r\n", "198.51.100.7");
    for (size_t i = 0; i < N_OF(fds); i++)
        close(fds[i]);
    assert_int_equal(reached(LIMIT_ADDRESS_CONNECTIONS), 0);
}

/* Whoever makes its proxy's word unreadable shares one limit with all who do. */
static void connection_exhaustion__cannot_hide_behind_a_proxy(void **state)
{
    (void)state;
    make_app((weft_options){.max_address_connections = 1, .trusted_proxies = (const char *const[]){"127.0.0.1", NULL}});
    serve_addresses();
    int hidden = open_through_proxy("unknown"), more = open_through_proxy("what");
    client_expect_accepted(hidden);
    expect_turned_away(more);
    int honest = open_through_proxy("198.51.100.7");
    client_expect_accepted(honest);
    close(hidden);
    close(honest);
}

static void trusted_proxies__are_read_when_they_are_set(void **state)
{
    (void)state;
    make_app((weft_options){.trusted_proxies = (const char *const[]){"10.0.0.0/8", "example.com", NULL}});
    assert_non_null(strstr(weft_error(app), "trusted_proxies: \"example.com\""));
    assert_int_equal(weft_run(app), WEFT_E_INVALID);
}

/* ---- slow ones ---- */

static void slow_head__is_answered_at_the_deadline(void **state)
{
    (void)state;
    make_app((weft_options){.head_timeout_ms = 60});
    serve_addresses();
    int fd = client_connect(url);
    client_write_text(fd, "GET / HTTP/1.1\r\nHost: loc");
    assert_int_equal(client_read_answer(fd, "Connection: close"), 408);
    client_expect_end(fd);
    CLIENT_UNTIL(count("status=408") == 1);
    expect_reached(LIMIT_HEAD_TIMEOUT);
    assert_int_equal(count("limit=head_timeout_ms"), 1);
}

static void idle_connection__is_closed_in_silence(void **state)
{
    (void)state;
    make_app((weft_options){.idle_timeout_ms = 60});
    serve_addresses();
    int fd = client_connect(url);
    expect_served(fd);
    client_expect_end(fd);
    expect_reached(LIMIT_IDLE_TIMEOUT);
    assert_int_equal(count("reason=\"idle\" limit=idle_timeout_ms"), 1);
}

static void send_much(weft_peer who)
{
    static char much[4 << 20];
    latest = who;
    weft_send_data(who, WEFT_BINARY, much, sizeof much);
}

static void slow_reader__is_dropped_after_the_write_timeout(void **state)
{
    (void)state;
    make_app((weft_options){.write_timeout_ms = 200});
    assert_int_equal(weft_websocket(app, "/", &(weft_websocket_options){.open = send_much, .close = on_close}), 0);
    begin();
    int fd = client_connect_small(url, 4096);
    client_ask(fd, "/", "");
    client_expect_accepted(fd);
    CLIENT_UNTIL(strcmp(events, "close:1006:write timeout ") == 0);
    assert_int_equal(reached(LIMIT_WRITE_TIMEOUT), 1);
    assert_int_equal(count("reason=\"write timeout\" limit=\"write_timeout_ms\""), 1);
    close(fd);
}

/* ---- message rates ---- */

static unsigned n_messages;
static bool in_order;

static void count_message(weft_peer who, const weft_message *message)
{
    (void)who;
    in_order = in_order && strtoul(message->data.at, NULL, 10) == n_messages;
    n_messages++;
}

static void serve_counted(weft_websocket_options options)
{
    n_messages = 0;
    in_order = true;
    options.message = count_message;
    make_app((weft_options){0});
    serve(&options);
}

static void send_numbers(int fd, unsigned n, size_t bytes)
{
    static char text[4096], frames[1 << 16];
    size_t len = 0;
    for (unsigned i = 0; i < n; i++) {
        memset(text, ' ', sizeof text);
        snprintf(text, 16, "%u", i);
        text[strlen(text)] = ' ';
        len += client_put(frames + len, CLIENT_FIN | CLIENT_TEXT, text, bytes);
        assert_true(len < sizeof frames - 4096);
    }
    client_write(fd, frames, len);
}

/* All in one write: they wait with us, not with the system. */
static void message_flood__is_slowed_down_and_loses_nothing(void **state)
{
    (void)state;
    serve_counted((weft_websocket_options){.max_messages_per_s = 20});
    int fd = client_open(url, "/");
    uint64_t from_ms = client_now_ms();
    send_numbers(fd, 230, 16);
    CLIENT_UNTIL(reached(LIMIT_MESSAGE_RATE) == 1);
    assert_in_range(n_messages, 200, 202);
    CLIENT_UNTIL(n_messages == 230);
    assert_true(in_order);
    assert_true(client_now_ms() - from_ms >= 1400); /* of 1500, by the clock of the turns */
    assert_int_equal(count("event=limit transport=websocket address=127.0.0.1:"), 1);
    assert_int_equal(count("limit=\"max_messages_per_s\""), 1);
    client_leave(fd);
}

static void byte_flood__is_slowed_down_and_loses_nothing(void **state)
{
    (void)state;
    serve_counted((weft_websocket_options){.max_bytes_per_s = 1000});
    int fd = client_open(url, "/");
    uint64_t from_ms = client_now_ms();
    send_numbers(fd, 22, 500);
    CLIENT_UNTIL(reached(LIMIT_BYTE_RATE) == 1);
    assert_in_range(n_messages, 20, 21);
    CLIENT_UNTIL(n_messages == 22);
    assert_true(in_order);
    assert_true(client_now_ms() - from_ms >= 400); /* the last but one was over by half a second */
    assert_int_equal(count("limit=\"max_bytes_per_s\""), 1);
    client_leave(fd);
}

/* One that is slowed down is not silent, and may go at any time. */
static void message_flood__ends_with_its_peer(void **state)
{
    (void)state;
    serve_counted((weft_websocket_options){
        .max_messages_per_s = 1, .ping_interval_ms = 30, .ping_timeout_ms = 30, .close = on_close});
    int fd = client_open(url, "/");
    send_numbers(fd, 100, 16);
    CLIENT_UNTIL(reached(LIMIT_MESSAGE_RATE) == 1);
    let_arrive();
    assert_string_equal(look(), "");
    client_reset(fd);
    CLIENT_UNTIL(strcmp(events, "close:1006: ") == 0);
}

static void message_flood__of_one_does_not_slow_others(void **state)
{
    (void)state;
    serve_counted((weft_websocket_options){.max_messages_per_s = 1});
    int flooding = client_open(url, "/"), other = client_open(url, "/");
    send_numbers(flooding, 100, 16);
    CLIENT_UNTIL(reached(LIMIT_MESSAGE_RATE) == 1);
    unsigned before = n_messages;
    uint64_t from_ms = client_now_ms();
    client_send_text(other, "x");
    CLIENT_UNTIL(n_messages > before);
    assert_true(client_now_ms() - from_ms < 800);
    close(flooding);
    close(other);
}

/* What a session posts counts as what a socket sends. */
static void message_flood__by_posts_is_refused(void **state)
{
    (void)state;
    char session[64], request[4096], body[3000] = "[";
    make_app((weft_options){0});
    assert_int_equal(weft_protocol(app, "/weft", &(weft_topics_options){.max_messages_per_s = 2}), 0);
    begin();
    int fd = client_connect(url);
    client_get(fd, "/weft?session=new");
    assert_int_equal(client_read_answer(fd, NULL), 200);
    const char *at = strstr(client_bytes, "\"session\":\"");
    assert_non_null(at);
    snprintf(session, sizeof session, "%.22s", at + strlen("\"session\":\""));
    for (int i = 0; i < 30; i++)
        strcat(body, i ? ",{\"type\":\"pong\"}" : "{\"type\":\"pong\"}");
    strcat(body, "]");
    for (int i = 0; i < 2; i++) {
        snprintf(request, sizeof request,
                 "POST /weft?session=%s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %zu\r\n\r\n%s", session,
                 strlen(body), body);
        client_write_text(fd, request);
        assert_int_equal(client_read_answer(fd, "Retry-After: 1"), 429);
        assert_non_null(strstr(client_bytes, i ? "\"taken\":0" : "\"taken\":21"));
    }
    assert_int_equal(reached(LIMIT_MESSAGE_RATE), 1);
    close(fd);
}

static void message_rate__costs_nothing_without_a_limit(void **state)
{
    (void)state;
    serve_counted((weft_websocket_options){.open = on_open});
    int fd = client_open(url, "/");
    send_numbers(fd, 100, 16);
    CLIENT_UNTIL(n_messages == 100);
    peer *p = slots_get(&app->workers->table, latest.id, SLOT_PEER);
    assert_null(p->extra);
    client_leave(fd);
}

/* ---- the others: answer, counter, line ---- */

static void refused(const char *request, int status, limit_id limit)
{
    int fd = client_connect(url);
    if (!client_try_write(fd, request, strlen(request)))
        fail();
    assert_int_equal(client_read_answer(fd, NULL), status);
    close(fd);
    char words[100];
    snprintf(words, sizeof words, "limit=%s", limit_name(limit));
    expect_reached(limit);
    CLIENT_UNTIL(count(words) == 1 || count("limit=\"") == 1);
    app->workers->net.limits = (limits){0};
    lines[0] = '\0';
}

static void hold(weft_exchange asking, const weft_request *request, void *user)
{
    (void)asking, (void)request, (void)user;
}

static void limits__of_requests_are_answered_counted_and_told(void **state)
{
    (void)state;
    static char text[40000];
    char *end = text;
    make_app((weft_options){.max_topics = 1});
    assert_int_equal(weft_get(app, "/", tell_address, NULL), 0);
    assert_int_equal(
        weft_route(app, "POST", "/post", &(weft_route_options){.request = tell_address, .max_body_bytes = 10}), 0);
    assert_int_equal(weft_websocket(app, "/held", &(weft_websocket_options){.request = hold, .accept_timeout_ms = 50}),
                     0);
    assert_int_equal(weft_websocket(app, "/socket", &(weft_websocket_options){RECORDED}), 0);
    static const char *const writable[] = {"a*", NULL};
    assert_int_equal(
        weft_topics(app, "/topics/:topic",
                    &(weft_topics_options){.publish = writable, .publish_key = "k", .max_message_bytes = 10}),
        0);
    begin();
#define WITH(fields) "Host: localhost\r\n" fields "\r\n"
#define UPGRADE                                                                                                        \
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "                    \
    "dGhlIHNhbXBsZSBub25jZQ==\r\n"
    refused("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421, LIMIT_HOSTS);
    refused("POST /post HTTP/1.1\r\n" WITH("Content-Length: 11\r\n"), 413, LIMIT_BODY_BYTES);
    refused("POST /post HTTP/1.1\r\n" WITH("Transfer-Encoding: chunked\r\n") "b\r\n", 413, LIMIT_BODY_BYTES);
    refused("POST /topics/a HTTP/1.1\r\n" WITH("Content-Length: 11\r\n"), 413, LIMIT_MESSAGE_BYTES);
    refused("POST /post HTTP/1.1\r\n" WITH("Origin: http://evil.example\r\n"), 403, LIMIT_ORIGINS);
    refused("GET /socket HTTP/1.1\r\n" WITH(UPGRADE "Origin: http://evil.example\r\n"), 403, LIMIT_ORIGINS);
    refused("GET /held HTTP/1.1\r\n" WITH(UPGRADE), 503, LIMIT_ACCEPT_TIMEOUT);
    refused("POST /topics/b HTTP/1.1\r\n" WITH("Content-Length: 1\r\n") "x", 403, LIMIT_ACCESS);
    refused("POST /topics/b HTTP/1.1\r\n" WITH("Authorization: Bearer wrong\r\nContent-Length: 1\r\n") "x", 401,
            LIMIT_KEY);
    refused("GET /topics HTTP/1.1\r\n" WITH(""), 403, LIMIT_KEY);
    end += sprintf(end, "GET /");
    memset(end, 'a', 9000);
    refused(text, 414, LIMIT_LINE_BYTES);
    end = text + sprintf(text, "GET / HTTP/1.1\r\nHost: localhost\r\n");
    for (int i = 0; i < 101; i++)
        end += sprintf(end, "a: b\r\n");
    refused(text, 431, LIMIT_HEAD_BYTES);
    end = text + sprintf(text, "GET / HTTP/1.1\r\nHost: localhost\r\na: ");
    memset(end, 'a', 20000);
    end[20000] = '\0';
    refused(text, 431, LIMIT_HEAD_BYTES);
}

static void limits__of_topics_are_answered_counted_and_told(void **state)
{
    (void)state;
    make_app((weft_options){.max_topics = 1});
    assert_int_equal(weft_topics(app, "/topics/:topic", &(weft_topics_options){0}), 0);
    begin();
    int held = client_connect(url), fd = client_connect(url);
    client_write_text(held, "GET /topics/a HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n");
    assert_int_equal(client_read_head(held), 200);
    client_get(fd, "/topics/b");
    assert_int_equal(client_read_answer(fd, NULL), 503);
    client_get(fd, "/topics/c");
    assert_int_equal(client_read_answer(fd, NULL), 503);
    assert_int_equal(count("event=refuse transport=http"), 1); /* a connection that goes on is told of now and then */
    assert_int_equal(count("limit=\"max_topics\""), 1);
    close(fd);
    close(held);
}

static void limits__of_frames_are_answered_counted_and_told(void **state)
{
    (void)state;
    static const char nothing[1] = "";
    make_app((weft_options){0});
    serve(&(weft_websocket_options){.max_message_bytes = 100, RECORDED});
    int fd = client_open(url, "/");
    client_send(fd, CLIENT_FIN | CLIENT_BINARY, lines, 101);
    client_expect_close(fd, 1009);
    client_expect_end(fd);
    assert_int_equal(reached(LIMIT_MESSAGE_BYTES), 1);
    assert_int_equal(count("limit=\"max_message_bytes\""), 1);
    fd = client_open(url, "/");
    client_send(fd, CLIENT_BINARY, nothing, 0);
    for (int i = 0; i < 1100 && client_try_send(fd, CLIENT_CONTINUATION, nothing, 0); i++)
        continue;
    client_expect_close(fd, 1008);
    client_expect_end(fd);
    assert_int_equal(reached(LIMIT_FRAGMENTS), 1);
    assert_int_equal(count("code=1008"), 1);
    assert_int_equal(count("limit=\"fragments\""), 1);
}

static void control_flood__stops_being_read(void **state)
{
    (void)state;
    char payload[125] = {0};
    make_app((weft_options){0});
    serve(&(weft_websocket_options){RECORDED});
    int fd = client_connect_small(url, 4096);
    client_ask(fd, "/", "");
    client_expect_accepted(fd);
    char frame[160];
    size_t len = client_put(frame, CLIENT_FIN | CLIENT_PING, payload, sizeof payload);
    for (int i = 0; !reached(LIMIT_REPLY_BYTES); i++) {
        assert_true(i < 1000000);
        if (send(fd, frame, len, MSG_DONTWAIT | MSG_NOSIGNAL) < (ssize_t)len)
            weft_step(app, 1);
    }
    assert_int_equal(count("limit=\"unsent pongs\""), 1);
    close(fd);
}

static void silent_peer__is_dropped(void **state)
{
    (void)state;
    make_app((weft_options){0});
    serve(&(weft_websocket_options){.ping_interval_ms = 30, .ping_timeout_ms = 30, RECORDED});
    int fd = client_open(url, "/");
    CLIENT_UNTIL(strstr(events, "close:1006:ping timeout "));
    expect_reached(LIMIT_PING_TIMEOUT);
    assert_int_equal(count("limit=\"ping_timeout_ms\""), 1);
    close(fd);
}

static int end_test(void **state)
{
    (void)state;
    client_steps = NULL;
    return weft_free(app);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin_test, end_test)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(connection_exhaustion__an_address_holds_so_many),
        TEST(connection_exhaustion__silent_ones_and_peers_count),
        TEST(connection_exhaustion__an_address_connects_so_fast),
        TEST(connection_exhaustion__of_many_addresses_leaves_room_for_others),
        TEST(connection_exhaustion__does_not_concern_this_machine),
        TEST(forwarded_spoofing__nobody_is_believed_by_default),
        TEST(forwarded_spoofing__others_than_the_proxies_are_not_believed),
        TEST(forwarded_spoofing__fields_that_contradict_are_not_believed),
        TEST(forwarded_address__is_that_of_peers),
        TEST(connection_exhaustion__through_a_proxy_ends_at_the_share_of_each),
        TEST(connection_exhaustion__is_not_seen_in_a_proxys_idle_connections),
        TEST(connection_exhaustion__cannot_hide_behind_a_proxy),
        TEST(trusted_proxies__are_read_when_they_are_set),
        TEST(slow_head__is_answered_at_the_deadline),
        TEST(idle_connection__is_closed_in_silence),
        TEST(slow_reader__is_dropped_after_the_write_timeout),
        TEST(message_flood__is_slowed_down_and_loses_nothing),
        TEST(byte_flood__is_slowed_down_and_loses_nothing),
        TEST(message_flood__ends_with_its_peer),
        TEST(message_flood__of_one_does_not_slow_others),
        TEST(message_flood__by_posts_is_refused),
        TEST(message_rate__costs_nothing_without_a_limit),
        TEST(limits__of_requests_are_answered_counted_and_told),
        TEST(limits__of_topics_are_answered_counted_and_told),
        TEST(limits__of_frames_are_answered_counted_and_told),
        TEST(control_flood__stops_being_read),
        TEST(silent_peer__is_dropped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
