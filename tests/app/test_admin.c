#include "app/admin_client.h"
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>

/* -------------------------------------------------------------------------------------------------------------- health */

static void admin__is_live_and_ready(void **state)
{
    (void)state;
    have_admin();
    begin();
    int fd = admin_connect();
    client_get(fd, "/health/live");
    assert_int_equal(client_read_answer(fd, "Content-Type: text/plain; charset=utf-8"), 200);
    assert_string_equal(client_bytes, "live\n");
    assert_int_equal(ask_ready(fd), 200);
    assert_string_equal(client_bytes, "ready\n");
    close(fd);
}

static int status_of(const char *where, const char *request)
{
    int fd = client_connect(where);
    client_write_text(fd, request);
    int status = client_read_head(fd);
    close(fd);
    return status;
}

#define TO_LOCALHOST " HTTP/1.1\r\nHost: localhost\r\n"

static void answer_program(weft_exchange exchange, const weft_request *request, void *user)
{
    (void)request;
    (void)user;
    weft_answer(exchange, 200, "text/plain", "the program's", 13);
}

static void admin__routes_are_on_its_listener_alone(void **state)
{
    (void)state;
    assert_int_equal(weft_get(app, "/*", answer_program, NULL), 0);
    have_admin();
    begin();
    const char *admin_url = weft_admin_listening(app, 0);
    assert_int_equal(status_of(admin_url, "GET /" TO_LOCALHOST "\r\n"), 404);
    assert_int_equal(status_of(admin_url, "GET /health" TO_LOCALHOST "\r\n"), 404);
    assert_int_equal(status_of(admin_url, "HEAD /metrics" TO_LOCALHOST "\r\n"), 200);
    assert_int_equal(status_of(admin_url, "POST /metrics" TO_LOCALHOST "Content-Length: 0\r\n\r\n"), 405);
    int fd = client_connect(url);
    client_get(fd, "/metrics");
    assert_int_equal(client_read_answer(fd, NULL), 200);
    assert_string_equal(client_bytes, "the program's");
    close(fd);
    assert_string_not_equal(url, admin_url);
    assert_null(weft_listening(app, 1));
    assert_null(weft_admin_listening(app, 1));
}

static void admin__is_not_there_unless_asked_for(void **state)
{
    (void)state;
    begin();
    assert_int_equal(status_of(url, "GET /metrics" TO_LOCALHOST "\r\n"), 404);
    assert_null(weft_admin_listening(app, 0));
    assert_null(weft_admin_listening(NULL, 0));
}

/* ----------------------------------------------------------------------------------------------------------- addresses */

static void admin__answers_to_names_of_this_machine_only(void **state)
{
    (void)state;
    static const char *const hosts[] = {"ops.example", NULL};
    assert_int_equal(weft_admin(app, "http://127.0.0.1:0", &(weft_listen_options){.hosts = hosts}), 0);
    begin();
    const char *admin_url = weft_admin_listening(app, 0);
    assert_int_equal(status_of(admin_url, "GET /metrics HTTP/1.1\r\nHost: rebound.example\r\n\r\n"), 421);
    assert_int_equal(status_of(admin_url, "GET /metrics HTTP/1.1\r\nHost: ops.example\r\n\r\n"), 200);
    assert_int_equal(status_of(admin_url, "GET /metrics" TO_LOCALHOST "Origin: http://page.example\r\n\r\n"), 403);
}

static void admin__is_for_this_machine_unless_allowed(void **state)
{
    (void)state;
    static const char *const any[] = {"*", NULL}, *const one[] = {"ops.example", NULL};
    assert_int_equal(weft_admin(app, "http://0.0.0.0:0", &(weft_listen_options){.hosts = any}), 0);
    assert_null(weft_error(app));
    assert_int_equal(weft_admin(app, "http://0.0.0.0:0", &(weft_listen_options){.hosts = one}), WEFT_E_INVALID);
    assert_string_equal(weft_error(app),
                        "the admin address \"http://0.0.0.0:0\" can be reached from elsewhere; whoever wants that "
                        "says \"*\" among its hosts");
    assert_int_equal(weft_admin(app, "http://[::]:0", NULL), WEFT_E_INVALID);
    assert_int_equal(weft_run(app), WEFT_E_INVALID);
}

static void admin__that_is_allowed_answers_to_any_name(void **state)
{
    (void)state;
    static const char *const any[] = {"*", NULL};
    assert_int_equal(weft_admin(app, "http://0.0.0.0:0", &(weft_listen_options){.hosts = any}), 0);
    begin();
    assert_int_equal(status_of(weft_admin_listening(app, 0), "GET /metrics HTTP/1.1\r\nHost: pod-7\r\n\r\n"), 200);
}

static void admin__listens_on_unix_sockets(void **state)
{
    (void)state;
    char folder[] = "/tmp/weft-admin-XXXXXX", admin_url[64], other_url[64];
    struct stat status;
    assert_non_null(mkdtemp(folder));
    snprintf(admin_url, sizeof admin_url, "unix:%s/a", folder);
    snprintf(other_url, sizeof other_url, "unix:%s/b", folder);
    assert_int_equal(weft_admin(app, admin_url, &(weft_listen_options){.unix_mode = 0600}), 0);
    assert_int_equal(weft_admin(app, other_url, NULL), 0);
    begin();
    assert_int_equal(stat(admin_url + 5, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    assert_int_equal(status_of(admin_url, "GET /health/live HTTP/1.1\r\nHost: whatever\r\n\r\n"), 200);
    assert_int_equal(status_of(other_url, "GET /metrics HTTP/1.1\r\nHost: whatever\r\n\r\n"), 200);
    assert_string_equal(weft_admin_listening(app, 1), other_url);
    assert_int_equal(teardown_app(state), 0);
    assert_int_equal(rmdir(folder), 0); /* the sockets have gone */
}

/* What makes weft_admin() fail, and what it then says. */
static const struct {
    const char *url, *sentence;
} mistakes[] = {
    {NULL, "weft_admin needs an address"},
    {"127.0.0.1:9090", "the admin address \"127.0.0.1:9090\" does not begin with "},
    {"http://127.0.0.1:9090/metrics", "the admin address \"http://127.0.0.1:9090/metrics\" has a path"},
    {"unix:/no/such/folder/socket", "cannot listen on unix:/no/such/folder/socket for operators: No such file"},
};

static void admin__mistakes_are_told(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_OF(mistakes); i++) {
        weft *one = weft_new(NULL);
        assert_true(weft_admin(one, mistakes[i].url, NULL) < 0);
        assert_memory_equal(weft_error(one), mistakes[i].sentence, strlen(mistakes[i].sentence));
        weft_free(one);
    }
    assert_int_equal(weft_admin(NULL, "http://127.0.0.1:0", NULL), -ENOMEM);
    begin();
    assert_int_equal(weft_admin(app, "http://127.0.0.1:0", NULL), WEFT_E_INVALID);
    assert_string_equal(weft_error(app), "weft_admin was called after the application began to run");
}

static void admin__takes_a_smaller_struct(void **state)
{
    (void)state;
    weft_listen_options options = {.backlog = 7, .hosts = (const char *const *)(uintptr_t)1};
    assert_int_equal(weft_admin_sized(app, "http://127.0.0.1:0", &options, sizeof options.backlog), 0);
}

/* ---------------------------------------------------------------------------------------------------------------- page */

/* Names are for dashboards and alerts: one that goes, or changes its type, breaks somebody's. */
static const char *const families[] = {
    "weft_connections gauge",
    "weft_waiting_polls gauge",
    "weft_open_sockets gauge",
    "weft_queued_bytes gauge",
    "weft_accepted_connections_total counter",
    "weft_refused_connections_total counter",
    "weft_received_messages_total counter",
    "weft_sent_messages_total counter",
    "weft_received_bytes_total counter",
    "weft_sent_bytes_total counter",
    "weft_topics gauge",
    "weft_subscriptions gauge",
    "weft_published_messages_total counter",
    "weft_resumes_total counter",
    "weft_dropped_messages_total counter",
    "weft_dropped_clients_total counter",
    "weft_disconnects_total counter",
    "weft_limit_reached_total counter",
    "weft_ping_round_trip_seconds histogram",
    "weft_loops gauge",
    "weft_silent_loops gauge",
    "weft_loop_turns_total counter",
    "weft_loop_lag_seconds histogram",
    "weft_system_calls_total counter",
    "weft_undelivered_calls_total counter",
    "weft_missed_messages_total counter",
    "weft_missed_clients_total counter",
    "weft_start_time_seconds gauge",
    "weft_build_info gauge",
};

/* A line that begins so, as a text; "" when it does not. */
static const char *line_after(const char *at, const char *prefix)
{
    static char line[512];
    bool found = strncmp(at, prefix, strlen(prefix)) == 0;
    at += found ? strlen(prefix) : 0;
    snprintf(line, sizeof line, "%.*s", found ? (int)strcspn(at, "\n") : 0, at);
    return line;
}

static void metrics__have_names_that_stay(void **state)
{
    (void)state;
    size_t n = 0;
    have_admin();
    begin();
    scrape();
    for (const char *at = scraped; at; at = strchr(at, '\n')) {
        at += *at == '\n';
        const char *type = line_after(at, "# TYPE ");
        if (!*type)
            continue;
        assert_true(n < N_OF(families));
        assert_string_equal(type, families[n++]);
    }
    assert_int_equal(n, N_OF(families));
}

/* Every series once, behind the HELP and TYPE of its name, and the last line ends. */
static void metrics__are_well_formed(void **state)
{
    (void)state;
    char name[128] = "", series[256], again[260];
    have_admin();
    begin();
    scrape();
    assert_int_equal(scraped[strlen(scraped) - 1], '\n');
    for (const char *at = scraped; *at; at = strchr(at, '\n') + 1) {
        if (*line_after(at, "# HELP ")) {
            snprintf(name, sizeof name, "%.*s", (int)strcspn(at + 7, " "), at + 7);
            assert_memory_equal(strchr(at, '\n') + 1, "# TYPE ", 7);
            assert_memory_equal(strchr(at, '\n') + 8, name, strlen(name));
        } else if (*at != '#') {
            assert_memory_equal(at, name, strlen(name));
            const char *end = strchr(at, '\n');
            while (*end != ' ')
                end--;
            snprintf(series, sizeof series, "%.*s", (int)(end - at), at);
            snprintf(again, sizeof again, "\n%s ", series);
            assert_null(strstr(at + 1, again));
            assert_true(strchr("0123456789", at[strlen(series) + 1]));
        }
    }
}

static void metrics__say_what_runs(void **state)
{
    (void)state;
    double now = (double)time(NULL);
    have_admin();
    begin();
    assert_int_equal(metric("weft_build_info{version=\"" WEFT_VERSION "\"}"), 1);
    assert_true(scraped_value("weft_start_time_seconds") >= now - 60 &&
                scraped_value("weft_start_time_seconds") <= now + 1);
}

/* ------------------------------------------------------------------------------------------------------------- clients */

static void serve_all(void)
{
    static const char *const all[] = {"*", NULL};
    weft_topics_options topics = {.publish = all, .open = on_open, .close = on_close};
    assert_int_equal(weft_topic_configure(app, "*", &(weft_topic_options){.history_messages = 3}), 0);
    assert_int_equal(weft_topics(app, "/topics/:topic", &topics), 0);
    assert_int_equal(
        weft_websocket(app, "/", &(weft_websocket_options){.open = on_open, .message = on_echo, .close = on_close}), 0);
    have_admin();
    begin();
}

static int ask(const char *path, const char *accept)
{
    char request[512];
    int fd = client_connect(url);
    snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: localhost\r\nAccept: %s\r\n\r\n", path, accept);
    client_write_text(fd, request);
    return fd;
}

/* One client of a transport, and what is open to it. */
typedef struct {
    const char *path, *accept, *series;
} visitor;

static const visitor visitors[] = {
    {"/topics/t", "text/event-stream", "weft_connections{transport=\"sse\"}"},
    {"/topics/t", "application/x-ndjson", "weft_connections{transport=\"stream\"}"},
    {"/topics/t?session=new", "application/json", "weft_connections{transport=\"long-poll\"}"},
    {"/topics/t?since=start&wait=30", "application/json", "weft_waiting_polls"},
    {"/topics/t?since=start&wait=30", "application/json", "weft_connections{transport=\"http\"}"},
};

static void metrics__count_clients_by_transport(void **state)
{
    (void)state;
    serve_all();
    for (size_t i = 0; i < N_OF(visitors); i++) {
        assert_int_equal(metric(visitors[i].series), 0);
        int fd = ask(visitors[i].path, visitors[i].accept);
        METRIC_BECOMES(visitors[i].series, 1);
        bool session = strstr(visitors[i].path, "session");
        if (session)
            assert_int_equal(weft_close(latest, 1000, NULL), 0);
        close(fd);
        METRIC_BECOMES(visitors[i].series, 0);
        METRIC_BECOMES("weft_open_sockets", 0);
    }
    assert_int_equal(scraped_value("weft_accepted_connections_total"), N_OF(visitors));
}

static void metrics__count_websockets_and_what_they_send(void **state)
{
    (void)state;
    serve_all();
    int fd = client_open(url, "/");
    client_send_text(fd, "hello");
    client_expect_text(fd, "hello");
    client_send(fd, CLIENT_FIN | CLIENT_BINARY, "123", 3);
    client_expect(fd, CLIENT_BINARY, "123");
    assert_int_equal(metric("weft_connections{transport=\"websocket\"}"), 1);
    assert_int_equal(scraped_value("weft_open_sockets"), 1);
    assert_int_equal(scraped_value("weft_received_messages_total{transport=\"websocket\"}"), 2);
    assert_int_equal(scraped_value("weft_received_bytes_total{transport=\"websocket\"}"), 8);
    assert_int_equal(scraped_value("weft_sent_messages_total{transport=\"websocket\"}"), 2);
    assert_int_equal(scraped_value("weft_sent_bytes_total{transport=\"websocket\"}"), 8);
    client_leave(fd);
    METRIC_BECOMES("weft_connections{transport=\"websocket\"}", 0);
    assert_int_equal(scraped_value("weft_disconnects_total{code=\"1000\"}"), 1);
}

static void metrics__count_what_topics_deliver(void **state)
{
    (void)state;
    assert_int_equal(weft_topic_configure(app, "forgetful", &(weft_topic_options){0}), 0);
    serve_all();
    int events_fd = ask("/topics/t", "text/event-stream"), lines_fd = ask("/topics/t", "application/x-ndjson");
    METRIC_BECOMES("weft_subscriptions", 2);
    assert_int_equal(scraped_value("weft_topics"), 1);
    assert_int_equal(weft_publish_text(app, "t", "four"), 0);
    METRIC_BECOMES("weft_sent_messages_total{transport=\"sse\"}", 1);
    assert_int_equal(scraped_value("weft_sent_messages_total{transport=\"stream\"}"), 1);
    assert_int_equal(scraped_value("weft_sent_bytes_total{transport=\"sse\"}"), 4);
    assert_int_equal(scraped_value("weft_sent_bytes_total{transport=\"stream\"}"), 4);
    assert_int_equal(scraped_value("weft_published_messages_total"), 1);
    assert_int_equal(weft_publish_text(app, "nobody-is-there", "x"), 0);
    METRIC_BECOMES("weft_published_messages_total", 2);
    assert_int_equal(scraped_value("weft_topics"), 2); /* its history is kept */
    assert_int_equal(weft_publish_text(app, "forgetful", "x"), 0);
    METRIC_BECOMES("weft_published_messages_total", 3);
    assert_int_equal(scraped_value("weft_topics"), 2);
    close(events_fd);
    close(lines_fd);
    METRIC_BECOMES("weft_subscriptions", 0);
}

static void metrics__count_posts_and_polls(void **state)
{
    (void)state;
    serve_all();
    int fd = client_connect(url);
    client_write_text(fd, "POST /topics/t HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nfour");
    assert_int_equal(client_read_answer(fd, NULL), 201);
    client_write_text(fd,
                      "POST /topics HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                      "Content-Length: 53\r\n\r\n[{\"topic\":\"t\",\"data\":\"five5\"},{\"topic\":\"t\",\"data\":6}]");
    assert_int_equal(client_read_answer(fd, NULL), 201);
    for (int i = 0; i < 2; i++) {
        client_get(fd, "/topics/t?since=start");
        assert_int_equal(client_read_answer(fd, NULL), 200);
    }
    client_write_text(fd, "HEAD /topics/t?since=start HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_int_equal(client_read_head(fd), 200);
    assert_int_equal(metric("weft_received_messages_total{transport=\"http\"}"), 3);
    assert_int_equal(scraped_value("weft_sent_messages_total{transport=\"http\"}"), 6);
    assert_int_equal(scraped_value("weft_received_bytes_total{transport=\"http\"}") * 2,
                     scraped_value("weft_sent_bytes_total{transport=\"http\"}"));
    close(fd);
}

/* Subscribes from somewhere, as a client of SSE. */
static void visit_from(const char *since)
{
    char path[128];
    snprintf(path, sizeof path, "/topics/t%s%s", *since ? "?since=" : "", since);
    int fd = ask(path, "text/event-stream");
    METRIC_BECOMES("weft_connections{transport=\"sse\"}", 1);
    close(fd);
    METRIC_BECOMES("weft_connections{transport=\"sse\"}", 0);
}

static void metrics__count_how_subscriptions_begin(void **state)
{
    (void)state;
    serve_all();
    visit_from("");
    assert_int_equal(scraped_value("weft_resumes_total{result=\"new\"}"), 1);
    visit_from("start");
    assert_int_equal(scraped_value("weft_resumes_total{result=\"full\"}"), 1);
    visit_from("0123456789ab-7");
    assert_int_equal(scraped_value("weft_resumes_total{result=\"gap\"}"), 1);
    assert_int_equal(scraped_value("weft_resumes_total{result=\"new\"}"), 1);
    assert_int_equal(scraped_value("weft_resumes_total{result=\"full\"}"), 1);
}

/* ---------------------------------------------------------------------------------------------------------------- ends */

static void metrics__count_ends_by_a_bounded_set_of_codes(void **state)
{
    (void)state;
    static const int codes[] = {1000, 1001, 1011, 3000, 4001, 4999};
    serve_all();
    for (size_t i = 0; i < N_OF(codes); i++) {
        int fd = client_open(url, "/");
        client_send_close(fd, codes[i], "");
        client_expect_close(fd, codes[i]);
        client_expect_end(fd);
    }
    client_reset(client_open(url, "/"));
    METRIC_BECOMES("weft_disconnects_total{code=\"1006\"}", 1);
    assert_int_equal(scraped_value("weft_disconnects_total{code=\"1000\"}"), 1);
    assert_int_equal(scraped_value("weft_disconnects_total{code=\"1001\"}"), 1);
    assert_int_equal(scraped_value("weft_disconnects_total{code=\"1011\"}"), 1);
    assert_int_equal(scraped_value("weft_disconnects_total{code=\"other\"}"), 3);
    assert_null(strstr(scraped, "4001"));
}

static void metrics__count_limits_by_name(void **state)
{
    (void)state;
    assert_int_equal(weft_websocket(app, "/", &(weft_websocket_options){.open = on_open, .max_message_bytes = 10}), 0);
    have_admin();
    begin();
    assert_int_equal(metric("weft_limit_reached_total{limit=\"max_message_bytes\"}"), 0);
    int fd = client_open(url, "/");
    client_send_text(fd, "eleven bytes");
    client_expect_close(fd, 1009);
    client_expect_end(fd);
    assert_int_equal(metric("weft_limit_reached_total{limit=\"max_message_bytes\"}"), 1);
    assert_int_equal(scraped_value("weft_disconnects_total{code=\"1009\"}"), 1);
}

/* Takes every descriptor below the limit, so that the server has none for the next client. */
static void metrics__count_who_is_refused(void **state)
{
    (void)state;
    struct rlimit before, none;
    struct sockaddr_storage where;
    have_admin();
    begin();
    scrape();
    socklen_t len = client_address(url, &where);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    getrlimit(RLIMIT_NOFILE, &before);
    none = before;
    none.rlim_cur = (rlim_t)fd + 1;
    for (int lower = dup(fd); lower >= 0 && lower < fd; lower = dup(fd)) /* gaps below it */
        continue;
    setrlimit(RLIMIT_NOFILE, &none);
    assert_int_equal(connect(fd, (const struct sockaddr *)&where, len), 0);
    int status = client_read_head(fd);
    setrlimit(RLIMIT_NOFILE, &before);
    assert_int_equal(status, 503);
    close(fd);
    METRIC_BECOMES("weft_refused_connections_total", 1);
    assert_int_equal(scraped_value("weft_accepted_connections_total"), 0);
}

/* ---------------------------------------------------------------------------------------------------------- slow clients */

/* Publishes messages of 256 KiB to a client that reads half as fast, until the series moves. */
static void overwhelm(weft_slow_policy policy, const char *series)
{
    enum { BYTES = 256 << 10, MOST = 1000 };
    weft_topic_options options = {.slow = policy, .ring_messages = 3};
    static char load[BYTES];
    assert_int_equal(weft_topic_configure(app, "t", &options), 0);
    serve_all();
    int fd = client_connect_small(url, 4096);
    client_ask(fd, "/topics/t", "");
    client_expect_accepted(fd);
    METRIC_BECOMES("weft_subscriptions", 1);
    for (int i = 0; i < MOST && metric(series) == 0; i++) {
        recv(fd, load, BYTES / 2, MSG_DONTWAIT);
        assert_int_equal(weft_publish(app, "t", &(weft_message){.kind = WEFT_BINARY, .data = {load, BYTES}}, NULL), 0);
    }
    assert_true(scraped_value(series) > 0);
    client_reset(fd);
    METRIC_BECOMES("weft_queued_bytes", 0);
}

static void metrics__count_drops_of_the_oldest(void **state)
{
    (void)state;
    overwhelm(WEFT_SLOW_DROP_OLD, "weft_dropped_messages_total{policy=\"drop-old\"}");
}

static void metrics__count_drops_of_the_newest(void **state)
{
    (void)state;
    overwhelm(WEFT_SLOW_DROP_NEW, "weft_dropped_messages_total{policy=\"drop-new\"}");
}

static void metrics__count_jumps_to_the_latest(void **state)
{
    (void)state;
    overwhelm(WEFT_SLOW_LATEST, "weft_dropped_messages_total{policy=\"latest\"}");
}

static void metrics__count_clients_closed_for_being_slow(void **state)
{
    (void)state;
    overwhelm(WEFT_SLOW_CLOSE, "weft_dropped_clients_total");
    assert_int_equal(scraped_value("weft_disconnects_total{code=\"1013\"}"), 1);
}

enum { PIECE_BYTES = 64 << 10 };

static int sent; /* the result of the latest send */
static size_t queued_then;

static void send_piece(void)
{
    static const char bytes[PIECE_BYTES];
    sent = weft_send_data(latest, WEFT_BINARY, bytes, sizeof bytes);
    queued_then = weft_queued(latest);
}

static void metrics__count_what_waits_for_slow_clients(void **state)
{
    (void)state;
    serve_all();
    int fd = client_connect_small(url, 4096), n = 0;
    client_ask(fd, "/", "");
    client_expect_accepted(fd);
    METRIC_BECOMES("weft_connections{transport=\"websocket\"}", 1);
    assert_int_equal(scraped_value("weft_queued_bytes"), 0);
    for (sent = 0; sent == 0; n++)
        on_loop(send_piece);
    assert_int_equal(sent, WEFT_QUEUED);
    double waiting = metric("weft_queued_bytes");
    assert_true(waiting <= queued_then && waiting > (1 << 20) - 4 * PIECE_BYTES);
    for (int i = 0; i < n; i++)
        assert_int_equal(client_receive(fd).len, PIECE_BYTES);
    assert_int_equal(metric("weft_queued_bytes"), 0);
    client_leave(fd);
}

static void poll_session(int fd, const char *session, int ack)
{
    char path[128];
    snprintf(path, sizeof path, "/topics/t?session=%s&ack=%d&wait=0", session, ack);
    client_get(fd, path);
    assert_int_equal(client_read_answer(fd, NULL), 200);
}

static void metrics__count_what_waits_for_polls(void **state)
{
    (void)state;
    serve_all();
    int fd = ask("/topics/t?session=new", "application/json");
    assert_int_equal(client_read_answer(fd, NULL), 200);
    char session[64];
    snprintf(session, sizeof session, "%.*s", (int)strcspn(strstr(client_bytes, "session") + 10, "\""),
             strstr(client_bytes, "session") + 10);
    double before = metric("weft_queued_bytes");
    assert_int_equal(weft_publish_text(app, "t", "this waits for a poll"), 0);
    METRIC_BECOMES("weft_sent_messages_total{transport=\"long-poll\"}", 1);
    assert_true(scraped_value("weft_queued_bytes") > before + 21);
    assert_int_equal(weft_send_text(latest, "and this"), 0);
    METRIC_BECOMES("weft_sent_messages_total{transport=\"long-poll\"}", 2);
    double both = scraped_value("weft_queued_bytes");
    assert_true(both > before + 29);
    poll_session(fd, session, 1); /* its answer is kept until the next poll */
    assert_int_equal(metric("weft_queued_bytes"), both);
    poll_session(fd, session, 2);
    assert_int_equal(metric("weft_queued_bytes"), 0);
    assert_int_equal(weft_publish_text(app, "t", "nobody comes for this"), 0);
    METRIC_BECOMES("weft_sent_messages_total{transport=\"long-poll\"}", 3);
    assert_true(scraped_value("weft_queued_bytes") > 21);
    assert_int_equal(weft_close(latest, 1000, NULL), 0);
    METRIC_BECOMES("weft_queued_bytes", 0);
    close(fd);
}

/* ---------------------------------------------------------------------------------------------------------------- loop */

static void metrics__time_our_own_pings(void **state)
{
    (void)state;
    assert_int_equal(weft_websocket(app, "/", &(weft_websocket_options){RECORDED, .ping_interval_ms = 30}), 0);
    have_admin();
    begin();
    int fd = client_open(url, "/");
    assert_int_equal(weft_ping(latest, (weft_str){"asked", 5}), 0);
    client_expect(fd, CLIENT_PING, "asked");
    client_send(fd, CLIENT_FIN | CLIENT_PONG, "asked", 5);
    client_expect(fd, CLIENT_PING, "");
    assert_int_equal(metric("weft_ping_round_trip_seconds_count"), 0);
    uint64_t from_ms = client_now_ms();
    poll(NULL, 0, 12);
    client_send(fd, CLIENT_FIN | CLIENT_PONG, "", 0);
    METRIC_BECOMES("weft_ping_round_trip_seconds_count", 1);
    double seconds = scraped_value("weft_ping_round_trip_seconds_sum");
    assert_true(seconds >= 0.012 && seconds <= 0.1 + (double)(client_now_ms() - from_ms) / 1000);
    assert_int_equal(scraped_value("weft_ping_round_trip_seconds_bucket{le=\"0.01\"}"), 0);
    assert_int_equal(scraped_value("weft_ping_round_trip_seconds_bucket{le=\"+Inf\"}"), 1);
    close(fd);
}

static void block(weft *ignored, void *user)
{
    (void)ignored;
    (void)user;
    poll(NULL, 0, 350);
}

static void metrics__tell_how_late_the_loop_is(void **state)
{
    (void)state;
    have_admin();
    begin();
    CLIENT_UNTIL(metric("weft_loop_lag_seconds_count") > 0);
    double before = scraped_value("weft_loop_lag_seconds_sum");
    assert_int_equal(weft_post(app, block, NULL), 0);
    CLIENT_UNTIL(metric("weft_loop_lag_seconds_sum") > before + 0.2);
    assert_true(scraped_value("weft_loop_lag_seconds_count") >
                scraped_value("weft_loop_lag_seconds_bucket{le=\"0.2\"}"));
    assert_int_equal(scraped_value("weft_loop_lag_seconds_count"),
                     scraped_value("weft_loop_lag_seconds_bucket{le=\"+Inf\"}"));
}

static void metrics__count_turns_and_system_calls(void **state)
{
    (void)state;
    serve_all();
    int fd = client_open(url, "/");
    scrape();
    double turns = scraped_value("weft_loop_turns_total"),
           waits = scraped_value("weft_system_calls_total{call=\"wait\"}");
    double sends = scraped_value("weft_system_calls_total{call=\"send\"}");
    double receives = scraped_value("weft_system_calls_total{call=\"receive\"}");
    assert_int_equal(metric("weft_system_calls_total{call=\"send\"}"), sends); /* a scrape does not count itself */
    client_send_text(fd, "x");
    client_expect_text(fd, "x");
    assert_int_equal(metric("weft_system_calls_total{call=\"send\"}"), sends + 1);
    assert_int_equal(scraped_value("weft_system_calls_total{call=\"receive\"}"), receives + 1);
    assert_true(scraped_value("weft_loop_turns_total") > turns);
    assert_true(scraped_value("weft_system_calls_total{call=\"wait\"}") > waits);
    close(fd);
}

static void send_to_latest(void)
{
    assert_int_equal(weft_send_text(latest, "too late"), 0);
}

static void metrics__count_calls_that_found_nobody(void **state)
{
    (void)state;
    serve_all();
    client_leave(client_open(url, "/"));
    elsewhere(send_to_latest);
    METRIC_BECOMES("weft_undelivered_calls_total", 1);
}

/* ---------------------------------------------------------------------------------------------------------------- many */

/* A page costs the same for two thousand peers: what they are sent meanwhile goes on. */
static void metrics__of_thousands_are_told_while_messages_flow(void **state)
{
    (void)state;
    enum { N = 2000, ROUNDS = 10 };
    static int clients[N];
    serve_all();
    for (int i = 0; i < N; i++)
        clients[i] = client_open(url, "/topics/t");
    for (int round = 1; round <= ROUNDS; round++) {
        assert_int_equal(weft_publish_text(app, "t", "hello"), 0);
        assert_int_equal(metric("weft_connections{transport=\"websocket\"}"), N);
        assert_int_equal(scraped_value("weft_subscriptions"), N);
    }
    for (int i = 0; i < N; i++)
        for (int round = 0; round < ROUNDS; round++)
            client_expect_text(clients[i], "hello");
    assert_int_equal(metric("weft_sent_messages_total{transport=\"websocket\"}"), N * ROUNDS);
    assert_int_equal(scraped_value("weft_sent_bytes_total{transport=\"websocket\"}"), N * ROUNDS * 5);
    assert_int_equal(scraped_value("weft_queued_bytes"), 0);
    for (int i = 0; i < N; i++)
        close(clients[i]);
    METRIC_BECOMES("weft_connections{transport=\"websocket\"}", 0);
}

/* -------------------------------------------------------------------------------------------------------------- memory */

static int make_with_admin(void)
{
    weft *one = weft_new(NULL);
    int error = weft_admin(one, "http://127.0.0.1:0", NULL);
    assert_true(error == 0 || error == -ENOMEM);
    assert_int_equal(weft_free(one), 0);
    return error;
}

static void admin__without_memory_is_an_error(void **state)
{
    (void)state;
    check_failing_allocations(make_with_admin);
}

static int scrape_without_memory(void)
{
    int fd = admin_connect();
    client_get(fd, "/metrics");
    int status = client_read_head(fd);
    close(fd);
    return status == 200 ? 0 : -ENOMEM;
}

static void metrics__without_memory_cost_one_connection(void **state)
{
    (void)state;
    have_admin();
    begin();
    check_failing_allocations(scrape_without_memory);
    scrape();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ADMIN_TEST(admin__is_live_and_ready),
        ADMIN_TEST(admin__routes_are_on_its_listener_alone),
        ADMIN_TEST(admin__is_not_there_unless_asked_for),
        ADMIN_TEST(admin__answers_to_names_of_this_machine_only),
        ADMIN_TEST(admin__is_for_this_machine_unless_allowed),
        ADMIN_TEST(admin__that_is_allowed_answers_to_any_name),
        ADMIN_TEST(admin__listens_on_unix_sockets),
        ADMIN_TEST(admin__mistakes_are_told),
        ADMIN_TEST(admin__takes_a_smaller_struct),
        ADMIN_TEST(metrics__have_names_that_stay),
        ADMIN_TEST(metrics__are_well_formed),
        ADMIN_TEST(metrics__say_what_runs),
        ADMIN_TEST(metrics__count_clients_by_transport),
        ADMIN_TEST(metrics__count_websockets_and_what_they_send),
        ADMIN_TEST(metrics__count_what_topics_deliver),
        ADMIN_TEST(metrics__count_posts_and_polls),
        ADMIN_TEST(metrics__count_how_subscriptions_begin),
        ADMIN_TEST(metrics__count_ends_by_a_bounded_set_of_codes),
        ADMIN_TEST(metrics__count_limits_by_name),
        ADMIN_TEST(metrics__count_who_is_refused),
        ADMIN_TEST(metrics__count_drops_of_the_oldest),
        ADMIN_TEST(metrics__count_drops_of_the_newest),
        ADMIN_TEST(metrics__count_jumps_to_the_latest),
        ADMIN_TEST(metrics__count_clients_closed_for_being_slow),
        ADMIN_TEST(metrics__count_what_waits_for_slow_clients),
        ADMIN_TEST(metrics__count_what_waits_for_polls),
        ADMIN_TEST(metrics__time_our_own_pings),
        ADMIN_TEST(metrics__tell_how_late_the_loop_is),
        ADMIN_TEST(metrics__count_turns_and_system_calls),
        ADMIN_TEST(metrics__count_calls_that_found_nobody),
        ADMIN_TEST(metrics__of_thousands_are_told_while_messages_flow),
        ADMIN_TEST(admin__without_memory_is_an_error),
        ADMIN_TEST(metrics__without_memory_cost_one_connection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
