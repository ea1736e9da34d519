#include "scripted.h"

#define HEAD      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
#define OPEN_HEAD "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"

static void stream__asks_for_lines(void **state)
{
    (void)state;
    bench_client *client = scripted_open(&bench_stream);
    assert_string_equal(scripted_sent(client), "GET /topics/t HTTP/1.1\r\nHost: 127.0.0.1:3000\r\n"
                                               "Accept: application/x-ndjson\r\nCache-Control: no-store\r\n\r\n");
    scripted_free(client);
}

static void stream__a_line_of_json_carries_a_message(void **state)
{
    (void)state;
    scripted_check(&bench_stream,
                   OPEN_HEAD "{\"id\":\"5f-1\",\"type\":\"text\",\"data\":\"one\"}\n"
                             "{\"id\":\"5f-2\",\"event\":\"e\",\"type\":\"text\",\"data\":\"t\\\"w\\u006f\"}\r\n"
                             "{\"id\":\"5f-3\",\"type\":\"json\",\"data\":{\"data\":3}}\n"
                             "{\"data\":\"\"}\n"
                             "{\"else\":4}\n",
                   "ready\nmessage: one\nmessage: t\"wo\nmessage: {\"data\":3}\nmessage: \nmessage: {\"else\":4}\n");
}

static void stream__any_other_line_is_a_message(void **state)
{
    (void)state;
    scripted_check(&bench_stream, OPEN_HEAD "one\n\n[1]\r\n{\"data\":\"x\"\n   \n",
                   "ready\nmessage: one\nmessage: [1]\nmessage: {\"data\":\"x\"\nmessage:    \n");
}

static void stream__a_line_in_several_chunks_is_one_message(void **state)
{
    (void)state;
    scripted_check(&bench_stream,
                   HEAD "9\r\n{\"data\":\"\r\n"
                        "1\r\na\r\n"
                        "6\r\nb\"}\nc\n\r\n",
                   "ready\nmessage: ab\nmessage: c\n");
}

static void stream__a_gap_loses_the_client(void **state)
{
    (void)state;
    scripted_check(&bench_stream, OPEN_HEAD "{\"gap\":true,\"topic\":\"t\",\"cursor\":\"5f-9\"}\n{\"data\":\"a\"}\n",
                   "ready\nlost: told of a gap: the server keeps too few messages\n");
    scripted_check(&bench_stream, OPEN_HEAD "{\"gap\":false,\"data\":\"a\"}\n", "ready\nmessage: a\n");
}

static void stream__half_a_surrogate_pair_loses_the_client(void **state)
{
    (void)state;
    scripted_check(&bench_stream, OPEN_HEAD "{\"data\":\"\\ud800\"}\n", "ready\nlost: sent text that is not UTF-8\n");
}

static void stream__other_answers_lose_the_client(void **state)
{
    (void)state;
    scripted_check(&bench_stream, "HTTP/1.1 503 Busy\r\n\r\n", "lost: answered 503 Service Unavailable\n");
    scripted_check(&bench_stream, HEAD "0\r\n\r\n", "ready\nlost: ended by the server\n");
    scripted_check(&bench_stream, HEAD "x\r\n", "ready\nlost: chunk size does not begin with a hexadecimal digit\n");
}

static void stream__may_be_closed_by_a_message(void **state)
{
    (void)state;
    bench_client *client = scripted_open(&bench_stream);
    scripted_closes_at_message = true;
    scripted_play(client, OPEN_HEAD "a\nb\n", 1000, 1000);
    assert_string_equal(scripted_said(), "ready\nmessage: a\n");
    scripted_free(client);
}

static void stream__without_memory_the_client_is_lost(void **state)
{
    (void)state;
    scripted_check_memory(&bench_stream, OPEN_HEAD "{\"data\":\"a\\n\"}\nb\n", 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stream__asks_for_lines),
        cmocka_unit_test(stream__a_line_of_json_carries_a_message),
        cmocka_unit_test(stream__any_other_line_is_a_message),
        cmocka_unit_test(stream__a_line_in_several_chunks_is_one_message),
        cmocka_unit_test(stream__a_gap_loses_the_client),
        cmocka_unit_test(stream__half_a_surrogate_pair_loses_the_client),
        cmocka_unit_test(stream__other_answers_lose_the_client),
        cmocka_unit_test(stream__may_be_closed_by_a_message),
        cmocka_unit_test(stream__without_memory_the_client_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
