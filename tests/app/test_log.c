#include "app/fixture.h"

/* What the library says to the log hook: one line a connection, with the reason and the setting. */

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
    client_steps = app;
    return app ? 0 : -1;
}

static int stop_logged(void **state)
{
    (void)state;
    client_steps = NULL;
    return weft_free(app);
}

static size_t count(const char *what)
{
    size_t n = 0;
    for (const char *at = lines; (at = strstr(at, what)); at++)
        n++;
    return n;
}

static void log__names_the_reason_and_the_limit_of_a_peers_end(void **state)
{
    (void)state;
    serve(&(weft_websocket_options){.max_message_bytes = 4});
    int fd = client_open(url, "/");
    client_send_text(fd, "too long");
    client_expect_close(fd, 1009);
    client_expect_end(fd);
    assert_int_equal(count("event=close transport=websocket address=127.0.0.1:"), 1);
    assert_int_equal(count("code=1009 reason=\"message too large\" limit=\"max_message_bytes\""), 1);
    assert_int_equal(count("\n"), 1);
}

static void subscribe_twice(weft_peer who, const weft_message *message)
{
    (void)message;
    assert_int_equal(weft_subscribe(who, "a", NULL), 0);
    weft_send_text(who, weft_strerror(weft_subscribe(who, "b", NULL)));
}

/* A refusal is told to the program: whoever leaves next does not go because of it. */
static void log__names_no_limit_that_another_call_met(void **state)
{
    (void)state;
    weft_free(app);
    app = weft_new(&(weft_options){.log = keep_line, .max_subscriptions = 1});
    serve(&(weft_websocket_options){.message = subscribe_twice});
    int asking = client_open(url, "/"), leaving = client_open(url, "/");
    client_send_text(asking, "more");
    client_expect_text(asking, weft_strerror(WEFT_E_TOO_LARGE));
    client_send_close(leaving, 1000, "");
    client_expect_close(leaving, 1000);
    client_expect_end(leaving);
    assert_int_equal(count("code=1000"), 1);
    assert_int_equal(count("event=limit transport=websocket address=127.0.0.1:"), 1);
    assert_int_equal(count("limit=\"max_subscriptions\"\n"), 1);
    assert_int_equal(count("limit="), 1);
    close(asking);
}

static void log__is_not_broken_by_a_strangers_words(void **state)
{
    (void)state;
    serve(&(weft_websocket_options){.message = NULL});
    int fd = client_open(url, "/");
    client_send_close(fd, 4000, "a\"b\nc\\d");
    client_expect_close(fd, 4000);
    client_expect_end(fd);
    assert_int_equal(count("code=4000 reason=\"a.b.c.d\" messages_in=0"), 1);
    assert_int_equal(count("\n"), 1);
}

static void log__says_how_an_http_connection_ended(void **state)
{
    (void)state;
    serve(&(weft_websocket_options){.message = NULL});
    int fd = client_connect(url);
    client_write_text(fd, "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n");
    assert_int_equal(client_read_head(fd), 421);
    client_write_text(fd, "");
    CLIENT_UNTIL(count("\n") == 1);
    assert_int_equal(count("3 event=close transport=http address=127.0.0.1:"), 1);
    assert_int_equal(count("status=421"), 1);
    assert_int_equal(count("limit=hosts"), 1);
    close(fd);
    fd = client_connect(url);
    close(fd);
    CLIENT_UNTIL(count("reason=\"closed by the client\"") == 1);
    assert_int_equal(count("\n"), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(log__names_the_reason_and_the_limit_of_a_peers_end, start_logged, stop_logged),
        cmocka_unit_test_setup_teardown(log__names_no_limit_that_another_call_met, start_logged, stop_logged),
        cmocka_unit_test_setup_teardown(log__is_not_broken_by_a_strangers_words, start_logged, stop_logged),
        cmocka_unit_test_setup_teardown(log__says_how_an_http_connection_ended, start_logged, stop_logged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
