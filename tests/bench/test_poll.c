#include "scripted.h"

#define ANSWER(length) "HTTP/1.1 200 OK\r\nContent-Length: " length "\r\n\r\n"
#define EMPTY          ANSWER("41") "{\"messages\":[],\"cursor\":\"5f-1\",\"gap\":0}  "
#define NCHAN          "HTTP/1.1 200 OK\r\nLast-Modified: Fri, 20 Nov 2026 17:00:00 GMT\r\nEtag: 3\r\n"

#define FIRST        "GET /topics/t?wait=25 HTTP/1.1\r\nHost: 127.0.0.1:3000\r\n\r\n"
#define NEXT(cursor) "GET /topics/t?wait=25&since=" cursor " HTTP/1.1\r\nHost: 127.0.0.1:3000\r\n\r\n"
#define NCHAN_NEXT                                                                                                     \
    "GET /topics/t?wait=25 HTTP/1.1\r\nHost: 127.0.0.1:3000\r\n"                                                       \
    "If-Modified-Since: Fri, 20 Nov 2026 17:00:00 GMT\r\nIf-None-Match: 3\r\n\r\n"

/** A script in all pieces: what becomes of it and what is asked. */
static void check(const char *script, const char *said, const char *sent)
{
    size_t len = strlen(script);
    for (size_t cut = 0; cut <= len; cut++) {
        bench_client *client = scripted_open(&bench_poll);
        assert_string_equal(scripted_sent(client), FIRST);
        scripted_play(client, script, cut ? cut : 1, cut ? len : 1);
        assert_string_equal(scripted_said(), said);
        assert_string_equal(scripted_sent(client), sent);
        scripted_free(client);
    }
}

static void poll__goes_on_from_the_cursor(void **state)
{
    (void)state;
    check(EMPTY, "ready\n", NEXT("5f-1"));
    check(
        EMPTY ANSWER("70") "{\"messages\":[{\"id\":\"5f-2\",\"data\":\"a\"},{\"data\":\"b\\n\"}],\"cursor\":\"5f-3\"}",
        "ready\nmessage: a\nmessage: b\n\n", NEXT("5f-1") NEXT("5f-3"));
}

static void poll__escapes_the_cursor(void **state)
{
    (void)state;
    check(ANSWER("46") "{\"messages\":[],\"cursor\":\"a b&c\\/d%\\u00e4-._~\"}", "ready\n",
          NEXT("a%20b%26c%2Fd%25%C3%A4-._~"));
}

static void poll__goes_on_behind_chunks(void **state)
{
    (void)state;
    check("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
          "f\r\n{\"messages\":[{\"\r\n"
          "1c\r\ndata\":\"a\"}],\"cursor\":\"5f-4\"}\r\n"
          "0\r\n\r\n",
          "ready\nmessage: a\n", NEXT("5f-4"));
}

static void poll__goes_on_from_validators(void **state)
{
    (void)state;
    check(NCHAN "Content-Length: 5\r\n\r\nhello", "ready\nmessage: hello\n", NCHAN_NEXT);
    check(NCHAN "Content-Length: 5\r\n\r\nhello" NCHAN "Content-Length: 8\r\n\r\n{\"a\":\"\"}",
          "ready\nmessage: hello\nmessage: {\"a\":\"\"}\n", NCHAN_NEXT NCHAN_NEXT);
}

static void poll__asks_again_when_there_is_nothing_new(void **state)
{
    (void)state;
    check("HTTP/1.1 304 Not Modified\r\n\r\n", "ready\n", FIRST);
    check("HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 408 Request Timeout\r\nContent-Length: 4\r\n\r\nlate", "ready\n",
          FIRST FIRST);
    check(EMPTY "HTTP/1.1 304 Not Modified\r\n\r\n", "ready\n", NEXT("5f-1") NEXT("5f-1"));
    check(NCHAN "Content-Length: 1\r\n\r\nx"
                "HTTP/1.1 304 Not Modified\r\n\r\n",
          "ready\nmessage: x\n", NCHAN_NEXT NCHAN_NEXT);
}

static void poll__other_answers_lose_the_client(void **state)
{
    (void)state;
    check("HTTP/1.1 404 Nope\r\n", "", "");
    check("HTTP/1.1 404 Nope\r\n\r\n", "lost: answered 404 Not Found\n", "");
    check("HTTP/1.1 200 OK\r\n\r\n", "lost: answered a poll without saying where the answer ends\n", "");
    check("HTTP/1.1 404 Nope\r\nContent-Length: 0\r\n\r\n", "lost: answered 404 Not Found\n", "");
    check(ANSWER("5") "hello",
          "ready\nlost: answered a poll with nothing to go on from: no cursor, no Last-Modified, no ETag\n", "");
    check(ANSWER("15") "{\"messages\":[]}",
          "ready\nlost: answered a poll with nothing to go on from: no cursor, no Last-Modified, no ETag\n", "");
    check(EMPTY ANSWER("2") "{}", "ready\nlost: answered a poll without messages and cursor\n", NEXT("5f-1"));
    check(EMPTY ANSWER("41") "{\"messages\":[],\"cursor\":\"a\",\"gap\":true}  ",
          "ready\nlost: told of a gap: the server keeps too few messages\n", NEXT("5f-1"));
    check(ANSWER("29") "{\"messages\":[1],\"cursor\":\"a\"}",
          "ready\nlost: answered a poll with messages that are none\n", "");
}

static void poll__goes_on_over_another_connection(void **state)
{
    (void)state;
    bench_client *client = scripted_open(&bench_poll);
    scripted_sent(client);
    assert_false(scripted_end(client)); /* without a single answer */
    scripted_free(client);

    client = scripted_open(&bench_poll);
    scripted_sent(client);
    scripted_play(client, EMPTY, 1000, 1000);
    assert_string_equal(scripted_sent(client), NEXT("5f-1"));
    assert_true(scripted_end(client));
    assert_string_equal(scripted_sent(client), NEXT("5f-1"));
    assert_string_equal(scripted_said(), "ready\n");
    assert_false(scripted_end(client)); /* and then no other comes */
    scripted_free(client);
}

static void poll__does_not_ask_behind_a_last_answer(void **state)
{
    (void)state;
    bench_client *client = scripted_open(&bench_poll);
    scripted_sent(client);
    scripted_play(
        client,
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 31\r\n\r\n{\"messages\":[],\"cursor\":\"5f-\"}", 1000,
        1000);
    scripted_play(client, " ", 1, 1);
    assert_string_equal(scripted_sent(client), "");
    assert_true(scripted_end(client));
    assert_string_equal(scripted_sent(client), NEXT("5f-"));
    scripted_free(client);
}

static void poll__opens_another_connection_when_the_server_forgets_to_end_one(void **state)
{
    (void)state;
    bench_client *client = scripted_open(&bench_poll);
    scripted_play(client, "HTTP/1.1 304 Not Modified\r\nConnection: close\r\n\r\n", 1000, 1000);
    assert_string_equal(scripted_said(), "ready\n");
    while (scripted_log.len == 0)
        assert_int_equal(loop_step(&scripted_worker.loop, 1000), 0);
    assert_string_equal(scripted_said(), "opened anew\n");
    assert_string_equal(scripted_sent(client), FIRST);
    scripted_free(client);
}

static void poll__an_answer_that_is_cut_short_loses_the_client(void **state)
{
    (void)state;
    bench_client *client = scripted_open(&bench_poll);
    scripted_play(client, EMPTY ANSWER("5") "hell", 1000, 1000);
    assert_false(scripted_end(client));
    scripted_free(client);
}

static void poll__is_ready_when_the_first_is_held(void **state)
{
    (void)state;
    bench_client *client = scripted_open(&bench_poll);
    assert_string_equal(scripted_said(), "");
    while (!client->is_ready)
        assert_int_equal(loop_step(&scripted_worker.loop, 1000), 0);
    assert_string_equal(scripted_said(), "ready\n");
    scripted_play(client, NCHAN "Content-Length: 5\r\n\r\nhello", 1000, 1000);
    assert_string_equal(scripted_said(), "message: hello\n");
    scripted_free(client);
}

static void poll__may_be_closed_by_a_message(void **state)
{
    (void)state;
    bench_client *client = scripted_open(&bench_poll);
    scripted_closes_at_message = true;
    scripted_play(client, ANSWER("56") "{\"messages\":[{\"data\":\"a\"},{\"data\":\"b\"}],\"cursor\":\"5f-1\"}" EMPTY,
                  1000, 1000);
    assert_string_equal(scripted_said(), "ready\nmessage: a\n");
    scripted_free(client);
}

static void poll__without_memory_the_client_is_lost(void **state)
{
    (void)state;
    scripted_check_memory(&bench_poll, EMPTY, 0);
    scripted_check_memory(&bench_poll, NCHAN "Content-Length: 5\r\n\r\nhello", 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(poll__goes_on_from_the_cursor),
        cmocka_unit_test(poll__escapes_the_cursor),
        cmocka_unit_test(poll__goes_on_behind_chunks),
        cmocka_unit_test(poll__goes_on_from_validators),
        cmocka_unit_test(poll__asks_again_when_there_is_nothing_new),
        cmocka_unit_test(poll__other_answers_lose_the_client),
        cmocka_unit_test(poll__goes_on_over_another_connection),
        cmocka_unit_test(poll__does_not_ask_behind_a_last_answer),
        cmocka_unit_test(poll__opens_another_connection_when_the_server_forgets_to_end_one),
        cmocka_unit_test(poll__an_answer_that_is_cut_short_loses_the_client),
        cmocka_unit_test(poll__is_ready_when_the_first_is_held),
        cmocka_unit_test(poll__may_be_closed_by_a_message),
        cmocka_unit_test(poll__without_memory_the_client_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
