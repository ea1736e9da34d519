#include "scripted.h"

#define GET "GET /topics/t HTTP/1.1\r\nHost: 127.0.0.1:3000\r\n\r\n"
#define POST(length, payload)                                                                                          \
    "POST /topics/t HTTP/1.1\r\nHost: 127.0.0.1:3000\r\n"                                                              \
    "Content-Type: text/plain; charset=utf-8\r\nContent-Length: " length "\r\n\r\n" payload
#define OK(length, body)   "HTTP/1.1 200 OK\r\nContent-Length: " length "\r\n\r\n" body
#define LAST(length, body) "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: " length "\r\n\r\n" body

static void send_text(bench_client *client, const char *text)
{
    client->protocol->send(client, str_from(text));
}

static bench_client *opened(const bench_protocol *protocol, int n_messages)
{
    static const char *const payloads[] = {"one", "two", "three!", "four"};
    bench_client *client = scripted_open(protocol);
    assert_string_equal(scripted_said(), "ready\n");
    assert_string_equal(scripted_sent(client), "");
    for (int i = 0; i < n_messages; i++)
        send_text(client, payloads[i]);
    return client;
}

/** Two requests and what answers them, in all pieces. */
static void check(const bench_protocol *protocol, const char *script, const char *said)
{
    size_t len = strlen(script);
    for (size_t cut = 0; cut <= len; cut++) {
        bench_client *client = opened(protocol, 2);
        scripted_play(client, script, cut ? cut : 1, cut ? len : 1);
        assert_string_equal(scripted_said(), said);
        scripted_free(client);
    }
}

static void http__a_message_is_a_request(void **state)
{
    (void)state;
    bench_client *client = opened(&bench_http_get, 2);
    assert_string_equal(scripted_sent(client), GET GET);
    scripted_free(client);
}

static void http__a_message_is_posted(void **state)
{
    (void)state;
    bench_client *client = opened(&bench_http_post, 3);
    assert_string_equal(scripted_sent(client), POST("3", "one") POST("3", "two") POST("6", "three!"));
    scripted_free(client);
}

static void http__posts_come_with_the_key(void **state)
{
    (void)state;
    scripted_plan.key = "secret";
    bench_client *client = opened(&bench_http_post, 1);
    assert_non_null(strstr(scripted_sent(client), "\r\nAuthorization: Bearer secret\r\n"));
    scripted_free(client);
    client = opened(&bench_http_get, 1);
    assert_string_equal(scripted_sent(client), GET);
    scripted_free(client);
    scripted_plan.key = NULL;
}

static void http__an_answer_is_a_message(void **state)
{
    (void)state;
    check(&bench_http_get, OK("5", "hello"), "message: hello\n");
    check(&bench_http_get, OK("0", "") OK("2", "ab"), "message: \nmessage: ab\n");
    check(&bench_http_post,
          "HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n0\r\n\r\n"
          "HTTP/1.1 204 No Content\r\n\r\n",
          "message: abc\nmessage: \n");
}

static void http__what_is_no_success_loses_the_client(void **state)
{
    (void)state;
    check(&bench_http_get, "HTTP/1.1 500 Oh\r\n\r\n", "lost: answered 500 Internal Server Error\n");
    check(&bench_http_post, OK("1", "a") "HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n",
          "message: a\nlost: answered 403 Forbidden\n");
    check(&bench_http_get, "HTTP/1.1 301 x\r\nContent-Length: 0\r\n\r\n", "lost: answered 301 Moved Permanently\n");
}

static void http__an_answer_too_many_loses_the_client(void **state)
{
    (void)state;
    check(&bench_http_get, OK("0", "") OK("0", "") OK("0", ""),
          "message: \nmessage: \nlost: answered what was not asked\n");
}

static void http__goes_on_over_another_connection(void **state)
{
    (void)state;
    bench_client *client = opened(&bench_http_post, 1);
    scripted_play(client, OK("1", "a"), 1000, 1000);
    assert_true(scripted_end(client)); /* between requests */
    assert_string_equal(scripted_sent(client), "");
    send_text(client, "two");
    assert_string_equal(scripted_sent(client), POST("3", "two"));
    scripted_play(client, OK("1", "b"), 1000, 1000);
    assert_string_equal(scripted_said(), "message: a\nmessage: b\n");
    scripted_free(client);
}

static void http__sends_again_what_a_last_answer_left(void **state)
{
    (void)state;
    bench_client *client = opened(&bench_http_post, 3);
    scripted_sent(client);
    scripted_play(client, OK("1", "a") LAST("1", "b"), 1000, 1000);
    send_text(client, "four");
    assert_string_equal(scripted_sent(client), "");
    assert_true(scripted_end(client));
    assert_string_equal(scripted_sent(client), POST("6", "three!") POST("4", "four"));
    scripted_play(client, OK("1", "c") OK("1", "d"), 1000, 1000);
    assert_string_equal(scripted_said(), "message: a\nmessage: b\nmessage: c\nmessage: d\n");
    scripted_free(client);

    client = opened(&bench_http_get, 2);
    scripted_play(client, LAST("1", "a"), 1000, 1000);
    send_text(client, "");
    assert_true(scripted_end(client));
    assert_string_equal(scripted_sent(client), GET GET);
    scripted_free(client);
}

static void http__opens_another_connection_when_the_server_forgets_to_end_one(void **state)
{
    (void)state;
    bench_client *client = opened(&bench_http_post, 3);
    scripted_play(client, LAST("1", "a") "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", 1000, 1000);
    assert_string_equal(scripted_said(), "message: a\n");
    while (scripted_log.len == 0)
        assert_int_equal(loop_step(&scripted_worker.loop, 1000), 0);
    assert_string_equal(scripted_said(), "opened anew\n");
    assert_string_equal(scripted_sent(client), POST("3", "two") POST("6", "three!"));
    scripted_free(client);
}

static void http__keeps_what_is_sent_while_it_connects(void **state)
{
    (void)state;
    bench_client *client = opened(&bench_http_post, 1);
    scripted_sent(client);
    scripted_play(client, OK("1", "a"), 1000, 1000);
    assert_true(client->protocol->ended(client));
    client->link.is_up = false;
    send_text(client, "two");
    client->link.is_up = true;
    client->protocol->start(client);
    assert_string_equal(scripted_sent(client), POST("3", "two"));
    scripted_free(client);
}

static void http__asks_again_but_does_not_post_again(void **state)
{
    (void)state;
    bench_client *client = opened(&bench_http_get, 2);
    assert_false(scripted_end(client)); /* without a single answer */
    scripted_free(client);

    client = opened(&bench_http_get, 3);
    scripted_play(client, OK("1", "a"), 1000, 1000);
    assert_true(scripted_end(client));
    assert_string_equal(scripted_sent(client), GET GET);
    scripted_free(client);

    client = opened(&bench_http_post, 2);
    scripted_play(client, OK("1", "a"), 1000, 1000);
    assert_false(scripted_end(client));
    scripted_free(client);
}

static void http__an_answer_that_is_cut_short_loses_the_client(void **state)
{
    (void)state;
    bench_client *client = opened(&bench_http_get, 2);
    scripted_play(client, OK("1", "a") OK("3", "bc"), 1000, 1000);
    assert_false(scripted_end(client));
    scripted_free(client);
}

static void http__an_answer_may_last_until_the_end(void **state)
{
    (void)state;
    bench_client *client = opened(&bench_http_get, 2);
    scripted_sent(client);
    scripted_play(client, "HTTP/1.0 200 OK\r\n\r\nhello", 1, 1);
    assert_string_equal(scripted_said(), "");
    assert_true(scripted_end(client));
    assert_string_equal(scripted_said(), "message: hello\n");
    assert_string_equal(scripted_sent(client), GET);
    scripted_free(client);
}

static void http__may_be_closed_by_a_message(void **state)
{
    (void)state;
    bench_client *client = opened(&bench_http_post, 2);
    scripted_closes_at_message = true;
    scripted_play(client, OK("1", "a") OK("1", "b"), 1000, 1000);
    assert_string_equal(scripted_said(), "message: a\n");
    scripted_free(client);
}

static void http__hundreds_in_flight(void **state)
{
    char payload[16], expected[64];
    (void)state;
    bench_client *client = opened(&bench_http_post, 0);
    for (int i = 0; i < 500; i++) {
        snprintf(payload, sizeof payload, "%d", i);
        send_text(client, payload);
        if (i >= 100) {
            snprintf(expected, sizeof expected, "message: %d\n", i - 100);
            scripted_play(client, OK("0", ""), 1000, 1000);
        }
    }
    scripted_said();
    scripted_play(client, LAST("0", ""), 1000, 1000);
    scripted_sent(client);
    assert_true(scripted_end(client));
    const char *sent = scripted_sent(client);
    assert_non_null(strstr(sent, "\r\n\r\n401"));
    assert_null(strstr(sent, "\r\n\r\n400"));
    assert_string_equal(sent + strlen(sent) - 7, "\r\n\r\n499");
    scripted_free(client);
}

static void http__without_memory_the_client_is_lost(void **state)
{
    (void)state;
    scripted_check_memory(&bench_http_get, OK("5", "hello"), 1);
    scripted_check_memory(&bench_http_post, OK("5", "hello") OK("0", ""), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(http__a_message_is_a_request),
        cmocka_unit_test(http__a_message_is_posted),
        cmocka_unit_test(http__posts_come_with_the_key),
        cmocka_unit_test(http__an_answer_is_a_message),
        cmocka_unit_test(http__what_is_no_success_loses_the_client),
        cmocka_unit_test(http__an_answer_too_many_loses_the_client),
        cmocka_unit_test(http__goes_on_over_another_connection),
        cmocka_unit_test(http__sends_again_what_a_last_answer_left),
        cmocka_unit_test(http__opens_another_connection_when_the_server_forgets_to_end_one),
        cmocka_unit_test(http__keeps_what_is_sent_while_it_connects),
        cmocka_unit_test(http__asks_again_but_does_not_post_again),
        cmocka_unit_test(http__an_answer_that_is_cut_short_loses_the_client),
        cmocka_unit_test(http__an_answer_may_last_until_the_end),
        cmocka_unit_test(http__may_be_closed_by_a_message),
        cmocka_unit_test(http__hundreds_in_flight),
        cmocka_unit_test(http__without_memory_the_client_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
