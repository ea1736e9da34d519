/* What becomes of the clients of SSE and streams: who may come, and how they go. */
#include "app/app.h"
#include "app/stream_client.h"

static int results[40];

static void say_and_close(weft_peer who)
{
    on_open(who);
    weft_subscribe(who, "t", NULL);
    weft_send_text(who, "direct");
    weft_publish_text(app, "t", "published");
    weft_close(who, 1000, NULL);
}

/* -------------------------------------------------------------------------------------------------------- lifetimes */

static void sse__ends_cleanly_when_the_program_closes(void **state)
{
    (void)state;
    serve_sse(&(weft_sse_options){.open = say_and_close, .close = on_close});
    for (int i = 0; i < 2; i++) {
        int fd = stream_ask("GET", "/", "");
        if (i)
            client_write_text(fd, "unread by anybody"); /* would make a careless close a reset */
        sse_expect_begin(fd);
        stream_expect(fd, "data: direct\n\n");
        sse_expect_message(fd, "data: published\n\n");
        stream_expect_end(fd);
        assert_string_equal(look(), "open close:1000: ");
    }
}

static void close_with_reason(void)
{
    results[0] = weft_close(latest, 4000, "enough");
    results[1] = weft_close(latest, 4000, "again");
    results[2] = weft_send_text(latest, "late");
    results[3] = weft_subscribe(latest, "t", NULL);
    results[4] = weft_ping(latest, (weft_str){NULL, 0});
    results[5] = weft_abort(latest);
}

static void sse__is_gone_for_the_program_once_closed(void **state)
{
    (void)state;
    serve_lines(&(weft_stream_options){RECORDED_STREAM});
    int fd = line_open("/", "");
    on_loop(close_with_reason);
    assert_int_equal(results[0], 0);
    for (int i = 1; i <= 5; i++)
        assert_int_equal(results[i], WEFT_E_CLOSED);
    stream_expect_end(fd);
    assert_string_equal(look(), "open close:4000:enough ");
}

static void abort_latest(void)
{
    results[0] = weft_send_text(latest, "never sent");
    results[1] = weft_abort(latest);
}

static void sse__is_cut_when_the_program_aborts(void **state)
{
    (void)state;
    serve_sse(&(weft_sse_options){RECORDED_STREAM});
    int fd = sse_open("/", "");
    on_loop(abort_latest);
    assert_int_equal(results[1], 0);
    client_expect_end(fd);
    assert_string_equal(look(), "open close:1006: ");
}

static void close_at_once(weft_peer who)
{
    on_open(who);
    weft_close(who, 1000, NULL);
}

static void say_once(weft_peer who)
{
    weft_send_text(who, "once");
}

static void abort_at_once(weft_peer who)
{
    on_open(who);
    weft_send_text(who, "x");
    weft_abort(who);
}

static void sse__may_end_in_open(void **state)
{
    (void)state;
    assert_int_equal(weft_sse(app, "/abort", &(weft_sse_options){.open = abort_at_once, .close = on_close}), 0);
    serve_sse(&(weft_sse_options){.open = close_at_once, .close = on_close});
    int fd = sse_open("/", "");
    stream_expect_end(fd);
    assert_string_equal(look(), "open close:1000: ");
    fd = stream_ask("GET", "/abort", "");
    client_expect_end(fd);
    assert_string_equal(look(), "open close:1006: ");
}

/* A client that ends its side has gone, and one that is lost. */
static void sse__ends_when_the_client_goes(void **state)
{
    (void)state;
    serve_sse(&(weft_sse_options){RECORDED_STREAM});
    int fd = sse_open("/", "");
    shutdown(fd, SHUT_WR);
    CLIENT_UNTIL(strstr(events, "close:"));
    stream_expect_end(fd);
    assert_string_equal(look(), "open close:1006: ");
    fd = sse_open("/", "");
    client_reset(fd);
    CLIENT_UNTIL(strstr(events, "close:"));
    assert_string_equal(look(), "open close:1006: ");
}

typedef struct {
    char text[100];
    uint64_t number;
} own_data;

static void check_data(weft_peer who)
{
    weft_peer_info info;
    own_data *data = weft_data(who);
    on_open(who);
    happened("%d %d %d %d ", data->number == 0 && data->text[99] == 0, weft_user(who) == results, weft_of(who) == app,
             ((uintptr_t)data & 15) == 0);
    data->number = 7;
    data->text[99] = 'x';
    assert_int_equal(weft_peer_about(who, &info), 0);
    happened("%d:%.10s:%s ", (int)info.transport, info.address, info.subprotocol);
}

static void about_latest(void)
{
    weft_peer_info info;
    const own_data *data = weft_data(latest);
    assert_int_equal(weft_peer_about(latest, &info), 0);
    happened("%d:%d:%d:%d ", (int)info.messages_out, (int)info.bytes_out, (int)info.messages_in, (int)data->number);
}

static void about_in_close(weft_peer who, int code, weft_str reason)
{
    weft_peer_info info;
    (void)code;
    (void)reason;
    assert_int_equal(weft_peer_about(who, &info), 0);
    happened("close:%.10s:%d ", info.address, (int)weft_queued(who));
}

static void sse__knows_its_peer(void **state)
{
    (void)state;
    weft_sse_options options = {
        .open = check_data, .close = about_in_close, .user = results, .peer_bytes = sizeof(own_data)};
    assert_int_equal(weft_stream(app, "/lines", &options), 0);
    serve_sse(&options);
    int fd = sse_open("/", "");
    weft_send_text(latest, "12345");
    on_loop(about_latest);
    stream_leave(fd);
    assert_string_equal(look(), "open 1 1 1 1 2:127.0.0.1:: 1:5:0:7 close:127.0.0.1::0 ");
    stream_leave(line_open("/lines", ""));
    assert_string_equal(look(), "open 1 1 1 1 3:127.0.0.1:: close:127.0.0.1::0 ");
}

static void timer_sends(weft_peer who, void *user)
{
    weft_send_text(who, user);
}

static void start_timer(weft_peer who)
{
    static char later[] = "later";
    weft_peer_after(who, 5, timer_sends, later);
}

static void sse__has_timers(void **state)
{
    (void)state;
    serve_sse(&(weft_sse_options){.open = start_timer});
    int fd = sse_open("/", "");
    stream_expect(fd, "data: later\n\n");
    close(fd);
}

/* ---------------------------------------------------------------------------------------------- the program decides */

static weft_exchange asked;

static void on_request(weft_exchange which, const weft_request *request, void *user)
{
    weft_str who = weft_request_query_value(request, "who");
    asked = which;
    happened("request:%.*s%s ", (int)who.len, who.at, user == results ? "!" : "");
}

#define DECIDED .user = results, RECORDED_STREAM

static void note_since(weft_peer who)
{
    const char *from = weft_since(who);
    on_open(who);
    happened("since:%s ", from ? from : "none");
}

static void accept_now(weft_exchange which, const weft_request *request, void *user)
{
    on_request(which, request, user);
    results[0] = weft_header(which, "X-Room", "attic");
    results[1] = weft_accept(which, NULL);
    results[2] = weft_accept(which, NULL);
    results[3] = weft_reject(which, 403, NULL);
    results[4] = weft_header(which, "X-Room", "cellar");
}

static void sse__is_accepted_inside_the_request(void **state)
{
    (void)state;
    serve_sse(&(weft_sse_options){.request = accept_now, .user = results, .open = note_since, .close = on_close});
    int fd = stream_ask("GET", "/?who=me&since=there", "");
    assert_int_equal(client_read_head(fd), 200);
    assert_true(client_head_has("X-Room: attic"));
    assert_null(strstr(client_bytes, "cellar"));
    stream_expect(fd, ":\n\n");
    assert_int_equal(results[0] | results[1], 0);
    for (int i = 2; i <= 4; i++)
        assert_int_equal(results[i], WEFT_E_CLOSED);
    stream_leave(fd);
    assert_string_equal(look(), "request:me! open since:there close:1006: ");
}

/* An undecided request; its connection. */
static int ask(const char *method, const char *path)
{
    look();
    int fd = stream_ask(method, path, "");
    CLIENT_UNTIL(strstr(events, "request"));
    return fd;
}

static void accept_badly_then_well(void)
{
    results[0] = weft_accept(asked, "a-subprotocol");
    results[1] = weft_answer_start(asked, 200, NULL);
    results[2] = weft_reject(asked, 200, NULL);
    results[3] = weft_reject(asked, 399, NULL);
    results[4] = weft_reject(asked, 600, NULL);
    results[5] = weft_accept(asked, NULL);
}

static void sse__is_accepted_later(void **state)
{
    (void)state;
    serve_sse(&(weft_sse_options){
        .request = on_request, .user = results, .open = note_since, .close = on_close, .accept_timeout_ms = 60000});
    int fd = ask("GET", "/");
    client_write_text(fd, "what comes meanwhile");
    on_loop(accept_badly_then_well);
    for (int i = 0; i < 5; i++)
        assert_int_equal(results[i], WEFT_E_INVALID);
    assert_int_equal(results[5], 0);
    sse_expect_begin(fd);
    weft_send_text(latest, "hello");
    stream_expect(fd, "data: hello\n\n");
    stream_leave(fd);
    assert_string_equal(look(), "request:! open since:none close:1006: ");
}

static void accept_asked(void)
{
    results[0] = weft_accept(asked, NULL);
}

static void sse__is_accepted_from_another_thread(void **state)
{
    (void)state;
    serve_lines(&(weft_stream_options){.request = on_request, DECIDED});
    int fd = ask("GET", "/");
    elsewhere(accept_asked);
    assert_int_equal(results[0], 0);
    assert_int_equal(client_read_head(fd), 200);
    stream_expect(fd, "\n");
    stream_leave(fd);
    assert_string_equal(look(), "request:! open close:1006: ");
}

static void sse__is_rejected_with_any_status_and_text(void **state)
{
    (void)state;
    static const struct {
        int status;
        const char *text, *line, *body;
    } cases[] = {
        {400, NULL, "Connection: close", "Bad Request"},
        {403, "not today\n", "X-Reason: mood", "not today\n"},
        {599, "odd", "Content-Type: text/plain; charset=utf-8", "odd"},
        {204, NULL, "Connection: close", ""},
        {204, "no body has this", "X-Reason: mood", ""},
    };
    serve_sse(&(weft_sse_options){.request = on_request, DECIDED});
    for (size_t i = 0; i < N_OF(cases); i++) {
        int fd = ask("GET", "/");
        assert_int_equal(weft_header(asked, "X-Reason", "mood"), 0);
        assert_int_equal(weft_reject(asked, cases[i].status, cases[i].text), 0);
        assert_int_equal(client_read_head(fd), cases[i].status);
        assert_true(client_head_has(cases[i].line));
        if (cases[i].status == 204)
            assert_null(strstr(client_bytes, "Content-"));
        size_t len = strlen(cases[i].body);
        assert_int_equal(client_read(fd, client_bytes, len + 1), len); /* and the end */
        assert_memory_equal(client_bytes, cases[i].body, len);
        close(fd);
    }
    assert_string_equal(look(), "request:! "); /* no open, no close */
}

static void sse__is_answered_in_place_of_a_decision(void **state)
{
    (void)state;
    serve_sse(&(weft_sse_options){.request = on_request, DECIDED});
    int fd = ask("GET", "/");
    assert_int_equal(weft_answer(asked, 200, "text/plain", "no stream here", 14), 0);
    assert_int_equal(client_read_answer(fd, "Connection: close"), 200);
    assert_string_equal(client_bytes, "no stream here");
    client_expect_end(fd);
    on_loop(accept_asked);
    assert_int_equal(results[0], WEFT_E_CLOSED);
}

static void sse__lets_the_program_decide_on_head_too(void **state)
{
    (void)state;
    serve_sse(&(weft_sse_options){.request = on_request, DECIDED});
    int fd = ask("HEAD", "/");
    assert_int_equal(weft_accept(asked, NULL), 0);
    assert_int_equal(client_read_head(fd), 200);
    assert_true(client_head_has(SSE_TYPE));
    client_expect_silence(fd, 20);
    close(fd);
    fd = ask("HEAD", "/");
    assert_int_equal(weft_reject(asked, 403, NULL), 0);
    assert_int_equal(client_read_head(fd), 403);
    client_expect_end(fd);
    assert_string_equal(look(), "request:! ");
}

static void sse__is_refused_when_nobody_decides(void **state)
{
    (void)state;
    serve_sse(&(weft_sse_options){.request = on_request, DECIDED, .accept_timeout_ms = 30});
    uint64_t before_ms = client_now_ms();
    int fd = ask("GET", "/");
    assert_int_equal(client_read_answer(fd, "Connection: close"), 503);
    assert_string_equal(client_bytes, "nobody decided on this request in time (option: accept_timeout_ms)\n");
    client_expect_end(fd);
    assert_true(client_now_ms() - before_ms >= 30);
    on_loop(accept_asked);
    assert_int_equal(results[0], WEFT_E_CLOSED);
    assert_string_equal(look(), "request:! ");
}

static void sse__knows_a_client_that_did_not_wait(void **state)
{
    (void)state;
    serve_sse(&(weft_sse_options){.request = on_request, DECIDED});
    for (int i = 0; i < 3; i++) {
        int fd = ask("GET", "/");
        if (i == 0)
            close(fd);
        else if (i == 1)
            client_reset(fd);
        else
            shutdown(fd, SHUT_WR);
        CLIENT_UNTIL(!app->workers->net.n_streams || !list_empty(&app->workers->net.lingering));
        on_loop(accept_asked);
        assert_int_equal(results[0], WEFT_E_CLOSED);
        if (i == 2)
            client_expect_end(fd);
    }
    assert_string_equal(look(), "request:! "); /* no open, no close */
}

/* The application ends with a request that nobody has decided on. */
static void sse__is_forgotten_with_the_application(void **state)
{
    (void)state;
    serve_sse(&(weft_sse_options){.request = on_request, DECIDED});
    close(ask("GET", "/?since=start"));
    ask("GET", "/?since=start");
}

/* ------------------------------------------------------------------------------------------------- the server stops */

static void sse__is_told_when_to_return_as_the_server_stops(void **state)
{
    (void)state;
    assert_int_equal(weft_sse(app, "/silent", &(weft_sse_options){.retry_ms = WEFT_NEVER}), 0);
    assert_int_equal(weft_stream(app, "/lines", &(weft_stream_options){.close = on_close}), 0);
    serve_sse(&(weft_sse_options){RECORDED_STREAM, .retry_ms = 1000});
    int lines = line_open("/lines", ""), silent = stream_ask("GET", "/silent", ""), fd = stream_ask("GET", "/", "");
    assert_int_equal(client_read_head(silent), 200);
    stream_expect(silent, ":\n\n");
    assert_int_equal(client_read_head(fd), 200);
    stream_expect(fd, ":\n\n");
    unsigned long first = stream_read_retry(fd);
    weft_send_text(latest, "last words");
    weft_stop(app);
    stream_expect(fd, "data: last words\n\n");
    unsigned long second = stream_read_retry(fd);
    assert_in_range(first, 1000, 1999);
    assert_in_range(second, 1000, 1999);
    stream_expect_end(fd);
    stream_expect_end(lines);
    stream_expect_end(silent);
    CLIENT_UNTIL(weft_step(app, 0) == 0);
    assert_non_null(strstr(look(), "close:1001:the server is going away "));
}

/* ---------------------------------------------------------------------------------------------------------- origins */

static void sse__is_not_for_pages_of_other_origins(void **state)
{
    (void)state;
    static const char *const origins[] = {"https://page.example", NULL};
    assert_int_equal(weft_sse(app, "/listed", &(weft_sse_options){RECORDED_STREAM, .origins = origins}), 0);
    assert_int_equal(weft_stream(app, "/lines", NULL), 0);
    serve_sse(&(weft_sse_options){RECORDED_STREAM});
    static const char *const paths[] = {"/", "/lines", "/listed"};
    for (size_t i = 0; i < N_OF(paths); i++) {
        int fd = stream_ask("GET", paths[i], "Origin: https://evil.example\r\nCookie: session=1\r\n");
        assert_int_equal(client_read_answer(fd, "Connection: close"), 403);
        assert_string_equal(client_bytes, "pages of this origin may not read here (option: origins)\n");
        client_expect_end(fd);
    }
    int fd = stream_ask("HEAD", "/", "Origin: https://evil.example\r\n");
    assert_int_equal(client_read_head(fd), 403);
    close(fd);
    assert_string_equal(look(), "");
    close(sse_open("/", "Origin: http://localhost\r\n"));
}

static void sse__is_for_listed_origins(void **state)
{
    (void)state;
    static const char *const origins[] = {"https://page.example", NULL}, *const any[] = {"*", NULL};
    assert_int_equal(weft_sse(app, "/any", &(weft_sse_options){.origins = any}), 0);
    serve_sse(&(weft_sse_options){.origins = origins});
    int fd = stream_ask("GET", "/", "Origin: https://page.example\r\n");
    assert_int_equal(client_read_head(fd), 200);
    assert_true(client_head_has("Access-Control-Allow-Origin: https://page.example"));
    assert_true(client_head_has("Access-Control-Allow-Credentials: true"));
    assert_true(client_head_has("Vary: Origin"));
    assert_true(client_head_has(SSE_TYPE));
    close(fd);
    fd = stream_ask("GET", "/any", "Origin: https://evil.example\r\n");
    assert_int_equal(client_read_head(fd), 200);
    assert_true(client_head_has("Access-Control-Allow-Origin: *"));
    assert_false(client_head_has("Access-Control-Allow-Credentials: true"));
    close(fd);
    fd = stream_ask("OPTIONS", "/", "Origin: https://evil.example\r\nAccess-Control-Request-Method: GET\r\n");
    assert_int_equal(client_read_head(fd), 204); /* a question, not a read */
    assert_null(strstr(client_bytes, "Access-Control"));
    close(fd);
}

/* -------------------------------------------------------------------------------------------------------------- log */

static char lines[4096];

static void keep_line(weft_log_level level, const char *line, void *user)
{
    size_t len = strlen(lines);
    (void)user;
    snprintf(lines + len, sizeof lines - len, "%d %s\n", (int)level, line);
}

static int start_logged(void **state)
{
    (void)state;
    lines[0] = '\0';
    app = weft_new(&(weft_options){.log = keep_line});
    return app ? 0 : -1;
}

static void expect_line(const char *start, const char *end)
{
    CLIENT_UNTIL(strstr(lines, "event=close"));
    assert_memory_equal(lines, start, strlen(start));
    assert_non_null(strstr(lines, end));
    assert_ptr_equal(strchr(lines, '\n'), lines + strlen(lines) - 1); /* one line */
    lines[0] = '\0';
}

/* Also for one whose route has no callback that would want to know its address. */
static void sse__logs_the_end_of_each_client(void **state)
{
    (void)state;
    assert_int_equal(weft_stream(app, "/lines", &(weft_stream_options){.open = close_at_once}), 0);
    serve_sse(&(weft_sse_options){.open = say_once});
    int fd = sse_open("/", "");
    client_reset(fd);
    expect_line("3 event=close transport=sse address=127.0.0.1:", "code=1006 reason=\"\" messages_in=0 messages_out=1");
    fd = line_open("/lines", "");
    expect_line("3 event=close transport=stream address=127.0.0.1:", "code=1000 reason=\"\" messages_in=0");
    stream_expect_end(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        APP_TEST(sse__ends_cleanly_when_the_program_closes),
        APP_TEST(sse__is_gone_for_the_program_once_closed),
        APP_TEST(sse__is_cut_when_the_program_aborts),
        APP_TEST(sse__may_end_in_open),
        APP_TEST(sse__ends_when_the_client_goes),
        APP_TEST(sse__knows_its_peer),
        APP_TEST(sse__has_timers),
        APP_TEST(sse__is_accepted_inside_the_request),
        APP_TEST(sse__is_accepted_later),
        APP_TEST(sse__is_accepted_from_another_thread),
        APP_TEST(sse__is_rejected_with_any_status_and_text),
        APP_TEST(sse__is_answered_in_place_of_a_decision),
        APP_TEST(sse__lets_the_program_decide_on_head_too),
        APP_TEST(sse__is_refused_when_nobody_decides),
        APP_TEST(sse__knows_a_client_that_did_not_wait),
        APP_TEST(sse__is_forgotten_with_the_application),
        APP_TEST(sse__is_told_when_to_return_as_the_server_stops),
        APP_TEST(sse__is_not_for_pages_of_other_origins),
        APP_TEST(sse__is_for_listed_origins),
        cmocka_unit_test_setup_teardown(sse__logs_the_end_of_each_client, start_logged, teardown_app),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
