/* Server-Sent Events and streams of lines, as a client sees them byte for byte. */
#include "app/app.h"
#include "app/stream_client.h"

static int results[40];

/* Reads a head and takes its date out. */
static const char *head_without_date(int fd)
{
    assert_int_not_equal(client_read_head(fd), 0);
    char *date = strstr(client_bytes, "Date: ");
    assert_non_null(date);
    const char *rest = strstr(date, "\r\n") + 2;
    memmove(date, rest, strlen(rest) + 1);
    return client_bytes;
}

/* ------------------------------------------------------------------------------------------------------- beginnings */

#define SSE_HEAD                                                                                                       \
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n"        \
    "Cache-Control: no-store, no-transform\r\nX-Accel-Buffering: no\r\n\r\n"
#define LINE_HEAD                                                                                                      \
    "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n"     \
    "Cache-Control: no-store\r\nX-Accel-Buffering: no\r\n\r\n"

static void sse__begins_with_a_head_a_comment_and_a_time_to_return(void **state)
{
    (void)state;
    serve_sse(&(weft_sse_options){RECORDED_STREAM});
    int fd = stream_ask("GET", "/", "Accept: text/event-stream\r\n");
    assert_string_equal(head_without_date(fd), SSE_HEAD);
    stream_expect(fd, ":\n\n");
    assert_in_range(stream_read_retry(fd), 2000, 3999);
    await_event();
    client_expect_silence(fd, 20);
    assert_string_equal(look(), "open ");
    stream_leave(fd);
    assert_string_equal(look(), "close:1006: ");
}

static void stream__begins_with_a_head_and_an_empty_line(void **state)
{
    (void)state;
    serve_lines(&(weft_stream_options){RECORDED_STREAM});
    int fd = stream_ask("GET", "/", "");
    assert_string_equal(head_without_date(fd), LINE_HEAD);
    stream_expect(fd, "\n");
    await_event();
    client_expect_silence(fd, 20);
    assert_string_equal(look(), "open ");
    stream_leave(fd);
    assert_string_equal(look(), "close:1006: ");
}

static void greet(weft_peer who)
{
    on_open(who);
    weft_subscribe(who, "t", "start");
    weft_send_text(who, "hello");
}

/* All that an `open` sends goes out with the head. */
static void sse__begins_in_one_send(void **state)
{
    (void)state;
    serve_sse(&(weft_sse_options){.open = greet});
    int fd = client_connect(url);
    while (!app->workers->net.n_streams)
        weft_step(app, 10);
    uint64_t n_sends = app->workers->net.n_sends;
    client_get(fd, "/");
    sse_expect_begin(fd);
    stream_expect(fd, "data: hello\n\n");
#ifndef WEFT_TEST_TLS /* there the handshake is among them */
    assert_int_equal(app->workers->net.n_sends - n_sends, 1);
#else
    (void)n_sends;
#endif
    close(fd);
}

static void sse__needs_no_options(void **state)
{
    (void)state;
    assert_int_equal(weft_sse(app, "/sse", NULL), 0);
    assert_int_equal(weft_stream(app, "/lines", NULL), 0);
    begin();
    close(sse_open("/sse", ""));
    close(line_open("/lines", ""));
}

static void sse__is_configured_before_it_runs(void **state)
{
    (void)state;
    assert_int_equal(weft_sse(NULL, "/", NULL), -ENOMEM);
    begin();
    assert_int_equal(weft_sse(app, "/late", NULL), WEFT_E_INVALID);
    assert_non_null(strstr(weft_error(app), "weft_sse was called after"));
    assert_int_equal(weft_stream(app, "late", NULL), WEFT_E_INVALID);
}

static void sse__names_a_path_that_is_none(void **state)
{
    (void)state;
    static const char *const origins[] = {"https://page.example", NULL};
    assert_int_equal(weft_stream(app, "late", &(weft_stream_options){.origins = origins}), WEFT_E_INVALID);
    assert_non_null(strstr(weft_error(app), "\"late\""));
}

/* Options of an older header: what it does not have is as if it were zero. */
static void sse__takes_options_of_another_size(void **state)
{
    (void)state;
    struct {
        weft_sse_options known;
        char more[64];
    } newer = {.known = {.open = on_open, .retry_ms = WEFT_NEVER}};
    memset(newer.more, 0xff, sizeof newer.more);
    assert_int_equal(weft_sse_sized(app, "/newer", &newer.known, sizeof newer), 0);
    assert_int_equal(weft_sse_sized(app, "/older", &newer.known, offsetof(weft_sse_options, retry_ms)), 0);
    begin();
    int fd = stream_ask("GET", "/newer", "");
    assert_int_equal(client_read_head(fd), 200);
    stream_expect(fd, ":\n\n");
    client_expect_silence(fd, 20);
    close(fd);
    close(sse_open("/older", ""));
}

static void sse__tells_each_client_a_time_of_its_own(void **state)
{
    (void)state;
    enum { N = 40 };
    unsigned long ms[N], n_different = 0;
    serve_sse(&(weft_sse_options){.retry_ms = 1000000});
    for (int i = 0; i < N; i++) {
        int fd = stream_ask("GET", "/", "");
        assert_int_equal(client_read_head(fd), 200);
        stream_expect(fd, ":\n\n");
        ms[i] = stream_read_retry(fd);
        assert_in_range(ms[i], 1000000, 1999999);
        n_different += i > 0 && ms[i] != ms[0];
        close(fd);
    }
    assert_in_range(n_different, N - 3, N - 1);
}

static void sse__answers_head_without_a_stream(void **state)
{
    (void)state;
    assert_int_equal(weft_stream(app, "/lines", &(weft_stream_options){RECORDED_STREAM}), 0);
    serve_sse(&(weft_sse_options){RECORDED_STREAM});
    int fd = stream_ask("HEAD", "/", "");
    assert_string_equal(head_without_date(fd), "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                                               "Transfer-Encoding: chunked\r\nCache-Control: no-store, no-transform\r\n"
                                               "X-Accel-Buffering: no\r\n\r\n");
    client_write_text(fd, "HEAD /lines HTTP/1.1\r\nHost: localhost\r\n\r\n"); /* the connection goes on */
    assert_int_equal(client_read_head(fd), 200);
    assert_true(client_head_has(LINE_TYPE));
    client_expect_silence(fd, 20);
    assert_string_equal(look(), "");
    close(fd);
}

static void sse__serves_get_only(void **state)
{
    (void)state;
    serve_sse(&(weft_sse_options){RECORDED_STREAM});
    int fd = stream_ask("POST", "/", "Content-Length: 0\r\n");
    assert_int_equal(client_read_answer(fd, "Allow: GET, HEAD, OPTIONS"), 405);
    close(fd);
}

/* ------------------------------------------------------------------------------------------------------ old clients */

static void say_and_close(weft_peer who)
{
    on_open(who);
    weft_subscribe(who, "t", NULL);
    weft_send_text(who, "direct");
    weft_publish_text(app, "t", "published");
    weft_close(who, 1000, NULL);
}

/* HTTP/1.0 has no chunks: the body is all up to the end of the connection. */
static void sse__speaks_to_http_1_0_without_chunks(void **state)
{
    (void)state;
    char body[1024];
    serve_sse(&(weft_sse_options){.open = say_and_close, .close = on_close});
    int fd = client_connect(url);
    client_write_text(fd, "GET / HTTP/1.0\r\n\r\n");
    assert_string_equal(head_without_date(fd),
                        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n"
                        "Cache-Control: no-store, no-transform\r\nX-Accel-Buffering: no\r\n\r\n");
    ssize_t len = client_read(fd, body, sizeof body - 1);
    assert_true(len > 0);
    body[len] = '\0';
    assert_memory_equal(body, ":\n\nretry: ", 10);
    const char *rest = strstr(body, "\n\ndata: direct\n\nid: ");
    assert_non_null(rest);
    assert_string_equal(strchr(rest + 19, '\n'), "\ndata: published\n\n");
    close(fd);
    assert_string_equal(look(), "open close:1000: ");
}

/* --------------------------------------------------------------------------------------------------------- messages */

static const weft_message kinds[] = {
    {.kind = WEFT_TEXT, .data = {"one\ntwo\r\n\rthree", 15}},
    {.kind = WEFT_TEXT, .data = {"", 0}, .event = {"named", 5}},
    {.kind = WEFT_TEXT, .data = {"\"quoted\"\x01", 9}},
    {.kind = WEFT_JSON, .data = {" { \"a\" : [ 1, 2 ] } ", 20}},
    {.kind = WEFT_BINARY, .data = {"\xff\x00\x01", 3}},
    {.kind = WEFT_BINARY, .data = {"abcd", 4}, .event = {"e", 1}},
    {.kind = WEFT_BINARY, .data = {NULL, 0}},
};

static const char *const events_of_kinds[] = {
    "data: one\ndata: two\ndata: \ndata: three\n\n",
    "event: named\ndata: \n\n",
    "data: \"quoted\"\x01\n\n",
    "data: {\"a\":[1,2]}\n\n",
    "event: binary\ndata: /wAB\n\n",
    "event: e\ndata: YWJjZA==\n\n",
    "event: binary\ndata: \n\n",
};

static const char *const members_of_kinds[] = {
    "\"type\":\"text\",\"data\":\"one\\ntwo\\r\\n\\rthree\"}\n",
    "\"event\":\"named\",\"type\":\"text\",\"data\":\"\"}\n",
    "\"type\":\"text\",\"data\":\"\\\"quoted\\\"\\u0001\"}\n",
    "\"type\":\"json\",\"data\":{\"a\":[1,2]}}\n",
    "\"type\":\"binary\",\"data\":\"/wAB\"}\n",
    "\"event\":\"e\",\"type\":\"binary\",\"data\":\"YWJjZA==\"}\n",
    "\"type\":\"binary\",\"data\":\"\"}\n",
};

static void send_kinds(void)
{
    for (size_t i = 0; i < N_OF(kinds); i++)
        results[i] = weft_send(latest, &kinds[i]);
}

static void publish_kinds(void)
{
    for (size_t i = 0; i < N_OF(kinds); i++)
        results[i] = weft_publish(app, "t", &kinds[i], NULL);
}

static void check_results(void)
{
    for (size_t i = 0; i < N_OF(kinds); i++)
        assert_int_equal(results[i], 0);
}

static void join(weft_peer who)
{
    on_open(who);
    weft_subscribe(who, "t", NULL);
}

static void sse__carries_every_kind(void **state)
{
    (void)state;
    serve_sse(&(weft_sse_options){.open = join});
    int fd = sse_open("/", ""), other = sse_open("/", "");
    void (*const ways[])(void (*)(void)) = {on_loop, elsewhere};
    for (size_t way = 0; way < N_OF(ways); way++) {
        ways[way](send_kinds);
        check_results();
        for (size_t i = 0; i < N_OF(kinds); i++)
            stream_expect(other, events_of_kinds[i]);
    }
    on_loop(publish_kinds);
    check_results();
    for (size_t i = 0; i < N_OF(kinds); i++) {
        sse_expect_message(fd, events_of_kinds[i]);
        sse_expect_message(other, events_of_kinds[i]);
    }
    close(fd);
    close(other);
}

static void stream__carries_every_kind(void **state)
{
    (void)state;
    serve_lines(&(weft_stream_options){.open = join});
    int fd = line_open("/", "");
    char line[256];
    on_loop(send_kinds);
    on_loop(publish_kinds);
    check_results();
    for (size_t i = 0; i < N_OF(kinds); i++) {
        snprintf(line, sizeof line, "{%s", members_of_kinds[i]);
        stream_expect(fd, line);
    }
    for (size_t i = 0; i < N_OF(kinds); i++) {
        assert_true(stream_read(fd, client_bytes, sizeof client_bytes) > 0);
        snprintf(line, sizeof line, "{\"id\":\"%s\",%s", stream_cursor(), members_of_kinds[i]);
        assert_string_equal(client_bytes, line);
    }
    close(fd);
}

static void send_badly(void)
{
    results[0] = weft_send_text(latest, "\xff");
    results[1] = weft_send_data(latest, WEFT_JSON, "{", 1);
    results[2] = weft_send(latest, &(weft_message){.kind = WEFT_TEXT, .event = {"a\nb", 3}});
    results[3] = weft_send(latest, &(weft_message){.kind = (weft_kind)7});
    results[4] = weft_ping(latest, (weft_str){"x", 1});
    results[5] = weft_pause(latest);
    results[6] = weft_send_text(latest, "still here");
}

static void resume_latest(void)
{
    results[7] = weft_resume(latest);
}

static void sse__refuses_what_it_cannot_do_and_stays(void **state)
{
    (void)state;
    static const int expected[] = {
        WEFT_E_UTF8, WEFT_E_JSON, WEFT_E_INVALID, WEFT_E_INVALID, WEFT_E_UNSUPPORTED, 0, 0, 0};
    serve_sse(&(weft_sse_options){RECORDED_STREAM});
    int fd = sse_open("/", "");
    on_loop(send_badly);
    stream_expect(fd, "data: still here\n\n");
    on_loop(resume_latest);
    for (size_t i = 0; i < N_OF(expected); i++)
        assert_int_equal(results[i], expected[i]);
    on_loop(send_badly); /* paused, and then the client goes: seen all the same */
    stream_leave(fd);
    assert_string_equal(look(), "open close:1006: ");
}

/* What the client sends means nothing, however much it is. */
static void sse__drops_what_the_client_says(void **state)
{
    (void)state;
    static char noise[100000];
    memset(noise, 'G', sizeof noise);
    serve_sse(&(weft_sse_options){RECORDED_STREAM});
    int fd = client_connect(url);
    client_write_text(fd, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\nGET /other HTTP/1.1\r\nHost: localhost\r\n\r\n");
    sse_expect_begin(fd);
    for (int i = 0; i < 20; i++)
        client_write(fd, noise, sizeof noise);
    weft_send_text(latest, "still here");
    stream_expect(fd, "data: still here\n\n");
    await_event();
    client_expect_silence(fd, 20);
    assert_string_equal(look(), "open ");
    close(fd);
}

/* ------------------------------------------------------------------------------------------------------ coming back */

static void come_back(weft_peer who)
{
    const char *from = weft_since(who);
    on_open(who);
    happened("since:%s ", from ? from : "none");
    weft_subscribe(who, "t", from);
}

static void publish_texts(int from, int to)
{
    char text[16];
    for (int i = from; i <= to; i++) {
        snprintf(text, sizeof text, "m%d", i);
        assert_int_equal(weft_publish_text(app, "t", text), 0);
    }
}

static const char *expect_texts(int fd, int from, int to)
{
    char rest[32];
    const char *place = NULL;
    for (int i = from; i <= to; i++) {
        snprintf(rest, sizeof rest, "data: m%d\n\n", i);
        place = sse_expect_message(fd, rest);
    }
    return place;
}

static void serve_history(void (*open)(weft_peer))
{
    static char keep_route[] = "/lines";
    assert_int_equal(weft_topic_configure(app, "*", &(weft_topic_options){.history_messages = 10}), 0);
    assert_int_equal(weft_stream(app, keep_route, &(weft_stream_options){.open = open}), 0);
    serve_sse(&(weft_sse_options){.open = open});
}

/* The field that a browser sends when it comes back. */
static const char *last_event(const char *place)
{
    static char field[600];
    snprintf(field, sizeof field, "Last-Event-ID: %s\r\n", place);
    return field;
}

/* Cut off before its first message, it comes back all the same. */
static void sse__has_a_place_before_its_first_message(void **state)
{
    (void)state;
    char place[64];
    serve_history(come_back);
    int fd = sse_open("/", "");
    assert_true(stream_read_any(fd, client_bytes, sizeof client_bytes) > 0);
    assert_true(stream_begins_with_id(client_bytes));
    snprintf(place, sizeof place, "%s", stream_cursor());
    close(fd);
    publish_texts(1, 2);
    fd = sse_open("/", last_event(place));
    expect_texts(fd, 1, 2);
    close(fd);
    fd = sse_open("/?since=start", "");
    assert_true(stream_read_any(fd, client_bytes, sizeof client_bytes) > 0);
    assert_false(stream_begins_with_id(client_bytes)); /* it says itself where it begins */
    close(fd);
}

static void sse__goes_on_behind_the_last_event(void **state)
{
    (void)state;
    char place[64], path[128];
    serve_history(come_back);
    int fd = sse_open("/", "");
    publish_texts(1, 3);
    snprintf(place, sizeof place, "%s", expect_texts(fd, 1, 3));
    close(fd);
    publish_texts(4, 6);
    look();
    fd = sse_open("/", last_event(place));
    publish_texts(7, 7);
    expect_texts(fd, 4, 7); /* no seam */
    close(fd);
    snprintf(path, sizeof path, "/?since=%s", place);
    fd = sse_open(path, "");
    expect_texts(fd, 4, 7);
    close(fd);
    fd = sse_open("/?since=start", "");
    expect_texts(fd, 1, 7);
    close(fd);
    fd = sse_open("/?since=start", last_event(place)); /* what a page asked for first is old by now */
    expect_texts(fd, 4, 7);
    close(fd);
}

static void stream__goes_on_behind_a_cursor(void **state)
{
    (void)state;
    char path[128];
    serve_history(come_back);
    publish_texts(1, 2);
    int fd = line_open("/lines?since=start", "");
    assert_true(stream_read(fd, client_bytes, sizeof client_bytes) > 0);
    snprintf(path, sizeof path, "/lines?since=%s", stream_cursor());
    close(fd);
    fd = line_open(path, "");
    assert_true(stream_read(fd, client_bytes, sizeof client_bytes) > 0);
    assert_non_null(strstr(client_bytes, "\"data\":\"m2\"}\n"));
    client_expect_silence(fd, 20);
    close(fd);
}

static void expect_since(const char *path, const char *fields, const char *told)
{
    look();
    close(sse_open(path, fields));
    assert_string_equal(strstr(events, "since:"), told);
}

static void sse__tells_open_what_the_client_has(void **state)
{
    (void)state;
    char longest[256], field[512], told[512];
    serve_sse(&(weft_sse_options){.open = come_back});
    memset(longest, 'x', 255);
    longest[255] = '\0';
    expect_since("/", "", "since:none ");
    expect_since("/?since=", "", "since:none ");
    expect_since("/?a=b&since=a%2Bb+c", "", "since:a+b c ");
    expect_since("/?since=query", "Last-Event-ID: \r\n", "since:query ");
    expect_since("/?since=query", "last-event-id: field\r\n", "since:field ");
    expect_since("/?since=a%00b", "", "since:? ");
    snprintf(told, sizeof told, "since:%s ", longest);
    expect_since("/", last_event(longest), told);
    snprintf(field, sizeof field, "%sx", longest);
    expect_since("/", last_event(field), "since:? ");
    assert_null(weft_since(latest)); /* only in open */
}

/* A place of another topic, and one whose successors are gone. */
static void check_gap(int fd, const char *first)
{
    char data[256], rest[256];
    assert_true(stream_read(fd, client_bytes, sizeof client_bytes) > 0);
    snprintf(data, sizeof data, "%.*s", (int)sizeof data - 1, client_bytes);
    const char *place = stream_cursor();
    snprintf(rest, sizeof rest, "id: %s\nevent: weft-gap\ndata: {\"topic\":\"t\",\"cursor\":\"%s\"}\n\n", place, place);
    assert_string_equal(data, rest);
    char before[64];
    snprintf(before, sizeof before, "%s", place);
    const char *next = sse_expect_message(fd, first); /* the one behind that place */
    assert_int_equal(strtol(strchr(next, '-') + 1, NULL, 10), strtol(strchr(before, '-') + 1, NULL, 10) + 1);
}

static void sse__tells_of_a_gap(void **state)
{
    (void)state;
    char place[64];
    serve_history(come_back);
    int fd = sse_open("/", "");
    publish_texts(1, 1);
    snprintf(place, sizeof place, "%s", expect_texts(fd, 1, 1));
    close(fd);
    publish_texts(2, 20);
    fd = sse_open("/", last_event(place));
    check_gap(fd, "data: m11\n\n");
    expect_texts(fd, 12, 20);
    close(fd);
    fd = sse_open("/", last_event("0123456789ab-3"));
    check_gap(fd, "data: m11\n\n");
    close(fd);
    fd = sse_open("/?since=nonsense", "");
    check_gap(fd, "data: m11\n\n");
    close(fd);
}

/* Who was told of a gap and came back at once has missed nothing since. */
static void sse__has_a_gap_behind_it_once(void **state)
{
    (void)state;
    char place[64];
    serve_sse(&(weft_sse_options){.open = come_back});
    int fd = sse_open("/", last_event("foreign"));
    assert_true(stream_read(fd, client_bytes, sizeof client_bytes) > 0);
    assert_non_null(strstr(client_bytes, "event: weft-gap"));
    snprintf(place, sizeof place, "%s", stream_cursor());
    close(fd);
    fd = sse_open("/", last_event(place));
    publish_texts(1, 1);
    expect_texts(fd, 1, 1);
    close(fd);
}

static void stream__tells_of_a_gap(void **state)
{
    (void)state;
    static const char start[] = "{\"gap\":true,\"topic\":\"t\",\"cursor\":\"";
    serve_history(come_back);
    publish_texts(1, 1);
    int fd = line_open("/lines?since=foreign", "");
    assert_true(stream_read(fd, client_bytes, sizeof client_bytes) > 0);
    assert_memory_equal(client_bytes, start, sizeof start - 1);
    assert_string_equal(client_bytes + sizeof start - 1 + strspn(client_bytes + sizeof start - 1, "0123456789abcdef-"),
                        "\"}\n");
    assert_true(stream_read(fd, client_bytes, sizeof client_bytes) > 0);
    assert_non_null(strstr(client_bytes, "\"data\":\"m1\""));
    close(fd);
}

/* ------------------------------------------------------------------------------------------------------- keep-alive */

static void sse__comments_into_silence(void **state)
{
    (void)state;
    assert_int_equal(weft_stream(app, "/lines", &(weft_stream_options){.keep_alive_ms = 30}), 0);
    serve_sse(&(weft_sse_options){.open = on_open, .keep_alive_ms = 30, .retry_ms = WEFT_NEVER});
    uint64_t before_ms = client_now_ms();
    int fd = stream_ask("GET", "/", ""), other = line_open("/lines", "");
    assert_int_equal(client_read_head(fd), 200);
    stream_expect(fd, ":\n\n");
    for (int i = 0; i < 3; i++)
        stream_expect(fd, ":\n\n");
    assert_true(client_now_ms() - before_ms >= 3 * 30);
    stream_expect(other, "\n");
    stream_expect(other, "\n");
    close(fd);
    close(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        APP_TEST(sse__begins_with_a_head_a_comment_and_a_time_to_return),
        APP_TEST(stream__begins_with_a_head_and_an_empty_line),
        APP_TEST(sse__begins_in_one_send),
        APP_TEST(sse__needs_no_options),
        APP_TEST(sse__is_configured_before_it_runs),
        APP_TEST(sse__names_a_path_that_is_none),
        APP_TEST(sse__takes_options_of_another_size),
        APP_TEST(sse__tells_each_client_a_time_of_its_own),
        APP_TEST(sse__answers_head_without_a_stream),
        APP_TEST(sse__serves_get_only),
        APP_TEST(sse__speaks_to_http_1_0_without_chunks),
        APP_TEST(sse__carries_every_kind),
        APP_TEST(stream__carries_every_kind),
        APP_TEST(sse__refuses_what_it_cannot_do_and_stays),
        APP_TEST(sse__drops_what_the_client_says),
        APP_TEST(sse__has_a_place_before_its_first_message),
        APP_TEST(sse__goes_on_behind_the_last_event),
        APP_TEST(stream__goes_on_behind_a_cursor),
        APP_TEST(sse__tells_open_what_the_client_has),
        APP_TEST(sse__tells_of_a_gap),
        APP_TEST(sse__has_a_gap_behind_it_once),
        APP_TEST(stream__tells_of_a_gap),
        APP_TEST(sse__comments_into_silence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
