#include "scripted.h"

#define HEAD      "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
#define OPEN_HEAD "HTTP/1.0 200 OK\r\nContent-Type: Text/Event-Stream; charset=utf-8\r\n\r\n"

static void sse__asks_for_an_event_stream(void **state)
{
    (void)state;
    bench_client *client = scripted_open(&bench_sse);
    assert_string_equal(scripted_sent(client), "GET /topics/t HTTP/1.1\r\nHost: 127.0.0.1:3000\r\n"
                                               "Accept: text/event-stream\r\nCache-Control: no-store\r\n\r\n");
    scripted_free(client);
}

static void sse__is_ready_when_the_stream_begins(void **state)
{
    (void)state;
    scripted_check(&bench_sse, HEAD, "ready\n");
    scripted_check(&bench_sse, OPEN_HEAD, "ready\n");
}

static void sse__each_event_is_a_message(void **state)
{
    (void)state;
    scripted_check(&bench_sse,
                   HEAD "6\r\nid: 1\n\r\n"
                        "1d\r\nid: 2\ndata: one\n\ndata: two\n\n\n\r\n",
                   "ready\nmessage: one\nmessage: two\n");
    scripted_check(&bench_sse, OPEN_HEAD ":\n\nretry: 3000\n\ndata:one\r\n\r\nevent: e\rdata: two\r\r",
                   "ready\nmessage: one\nmessage: two\n");
}

static void sse__an_event_in_several_chunks_is_one_message(void **state)
{
    (void)state;
    scripted_check(&bench_sse,
                   HEAD "8\r\ndata: on\r\n"
                        "9\r\ne\ndata: t\r\n"
                        "4\r\nwo\n\n\r\n",
                   "ready\nmessage: one\ntwo\n");
}

static void sse__a_gap_loses_the_client(void **state)
{
    (void)state;
    scripted_check(&bench_sse, OPEN_HEAD "event: weft-gap\ndata: {}\n\ndata: a\n\n",
                   "ready\nlost: told of a gap: the server keeps too few messages\n");
}

static void sse__what_is_no_event_stream_loses_the_client(void **state)
{
    (void)state;
    scripted_check(&bench_sse, "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\ndata: a\n\n",
                   "lost: answered with something else than an event stream\n");
    scripted_check(&bench_sse, "HTTP/1.1 200 OK\r\n\r\n", "lost: answered with something else than an event stream\n");
    scripted_check(&bench_sse, "HTTP/1.1 404 Nope\r\nContent-Type: text/event-stream\r\n\r\n",
                   "lost: answered 404 Not Found\n");
    scripted_check(&bench_sse, "SSH-2.0-OpenSSH_9.2\r\n", "lost: status line is not of HTTP/1\n");
}

static void sse__the_end_of_the_stream_loses_the_client(void **state)
{
    (void)state;
    scripted_check(&bench_sse, HEAD "9\r\ndata: a\n\n\r\n0\r\n\r\n", "ready\nmessage: a\nlost: ended by the server\n");
    bench_client *client = scripted_open(&bench_sse);
    scripted_play(client, OPEN_HEAD, 1000, 1000);
    assert_false(scripted_end(client));
    scripted_free(client);
}

static void sse__may_be_closed_by_a_message(void **state)
{
    (void)state;
    bench_client *client = scripted_open(&bench_sse);
    scripted_closes_at_message = true;
    scripted_play(client, OPEN_HEAD "data: a\n\ndata: b\n\n", 1000, 1000);
    assert_string_equal(scripted_said(), "ready\nmessage: a\n");
    scripted_free(client);
}

static void sse__without_memory_the_client_is_lost(void **state)
{
    (void)state;
    scripted_check_memory(&bench_sse, OPEN_HEAD "event: e\ndata: a\ndata: b\n\n", 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sse__asks_for_an_event_stream),
        cmocka_unit_test(sse__is_ready_when_the_stream_begins),
        cmocka_unit_test(sse__each_event_is_a_message),
        cmocka_unit_test(sse__an_event_in_several_chunks_is_one_message),
        cmocka_unit_test(sse__a_gap_loses_the_client),
        cmocka_unit_test(sse__what_is_no_event_stream_loses_the_client),
        cmocka_unit_test(sse__the_end_of_the_stream_loses_the_client),
        cmocka_unit_test(sse__may_be_closed_by_a_message),
        cmocka_unit_test(sse__without_memory_the_client_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
