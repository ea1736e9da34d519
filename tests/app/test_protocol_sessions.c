/* The sessions of weft.v1: POSTs to them, polls of them, and how they end. */
#include "app/protocol_client.h"

#define PING      "{\"type\":\"ping\"}"
#define NOT_THERE "{\"error\":\"there is no such session, or it is over\"}"

/* ---------------------------------------------------------------------------------------------------------------- POSTs */

static void sessions__answers_a_post_with_nothing(void **state)
{
    (void)state;
    static const char *const types[] = {"", "Content-Type: text/plain\r\n", "Content-Type: application/json\r\n"};
    serve_open_protocol();
    speaker s = joined();
    for (size_t i = 0; i < N_OF(types); i++) {
        s.fields = types[i];
        assert_int_equal(post_status(&s, PING, strlen(PING)), 204);
        assert_string_equal(client_bytes, "");
        s.fields = "";
        expect(&s, "{\"type\":\"pong\"}");
    }
    hang_up(&s);
}

static void sessions__takes_arrays_in_their_order(void **state)
{
    (void)state;
    serve_open_protocol();
    speaker s = joined();
    say(&s, " [ ] ");
    say(&s,
        " [{\"type\":\"subscribe\",\"topic\":\"\\u0074\",\"id\":1} ,7,[" PING "],\n{\"type\":\"x\",\"id\":2},"
        "{\"type\":\"publish\",\"topic\":\"t\",\"id\":3,\"data\":[1, 2]},{\"type\":\"unsubscribe\",\"topic\":\"t\"}]");
    expect(&s, "{\"type\":\"subscribed\",\"id\":1,\"topic\":\"t\",\"cursor\":\"E-0\",\"gap\":false}");
    expect(&s, "{\"type\":\"error\",\"code\":\"invalid\",\"message\":\"it is not a JSON object\"}");
    expect(&s, "{\"type\":\"error\",\"code\":\"invalid\",\"message\":\"it is not a JSON object\"}");
    expect(&s, "{\"type\":\"error\",\"id\":2,\"code\":\"invalid\",\"message\":\"there is no such type of envelope\"}");
    expect(&s, "{\"type\":\"message\",\"topic\":\"t\",\"id\":\"E-1\",\"kind\":\"json\",\"data\":[1,2]}");
    expect(&s, "{\"type\":\"published\",\"id\":3,\"cursor\":\"E-1\"}");
    expect(&s, "{\"type\":\"unsubscribed\",\"topic\":\"t\"}");
    expect_no_more(&s);
    hang_up(&s);
}

/* What a subscription asks for of the past comes before what is published next, in one breath or not. */
static void sessions__serves_the_past_before_it_goes_on(void **state)
{
    (void)state;
    serve_open_protocol();
    speaker s = joined();
    publish_to("t", "old");
    say(&s, "[{\"type\":\"subscribe\",\"topic\":\"t\",\"id\":1,\"since\":\"start\"},"
            "{\"type\":\"publish\",\"topic\":\"t\",\"id\":2,\"data\":\"new\"}]");
    expect(&s, "{\"type\":\"subscribed\",\"id\":1,\"topic\":\"t\",\"cursor\":\"E-0\",\"gap\":false}");
    expect(&s, "{\"type\":\"message\",\"topic\":\"t\",\"id\":\"E-1\",\"kind\":\"text\",\"data\":\"old\"}");
    expect(&s, "{\"type\":\"message\",\"topic\":\"t\",\"id\":\"E-2\",\"kind\":\"text\",\"data\":\"new\"}");
    expect(&s, "{\"type\":\"published\",\"id\":2,\"cursor\":\"E-2\"}");
    hang_up(&s);
}

/* What came to a session for a POST is there for whoever keeps its connection too. */
static void sessions__takes_post_after_post_on_a_connection(void **state)
{
    (void)state;
    char request[512];
    serve_open_protocol();
    speaker s = joined();
    int fd = client_connect(url);
    int len =
        snprintf(request, sizeof request,
                 "POST /weft?session=%s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 15\r\n\r\n" PING, s.session);
    for (int i = 0; i < 3; i++)
        client_write(fd, request, (size_t)len);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(client_read_head(fd), 204);
        expect(&s, "{\"type\":\"pong\"}");
    }
    close(fd);
    hang_up(&s);
}

static void check_not_there(const char *id)
{
    char line[512];
    snprintf(line, sizeof line, "POST /weft%s%s", id ? "?session=" : "", id ? id : "");
    expect_answer(ask(line, "", PING), 404, NOT_THERE);
    if (!id)
        return;
    snprintf(line, sizeof line, "GET /weft?session=%s&ack=1&wait=0", id);
    expect_answer(ask(line, "", NULL), 404, NOT_THERE);
}

static void sessions__unknown_ones_are_not_there(void **state)
{
    (void)state;
    char text[256] = "";
    serve_open_protocol();
    check_not_there(NULL);
    check_not_there("");
    check_not_there("AAAAAAAAAAAAAAAAAAAA");
    check_not_there("%00");
    memset(text, 'A', 255);
    check_not_there(text);
    expect_answer(ask("POST /weft?session=new", "", PING), 404, NOT_THERE);
}

static void sessions__those_of_another_route_are_unknown(void **state)
{
    (void)state;
    assert_int_equal(weft_protocol(app, "/other", NULL), 0);
    assert_int_equal(weft_topics(app, "/topics/:topic", NULL), 0);
    serve_open_protocol();
    speaker s = joined();
    const char *const paths[] = {"POST /other", "GET /other", "GET /topics/t"};
    for (size_t i = 0; i < N_OF(paths); i++) {
        char line[256];
        snprintf(line, sizeof line, "%s?session=%s&ack=1&wait=0", paths[i], s.session);
        expect_answer(ask(line, "", i ? NULL : PING), 404, NOT_THERE);
    }
    expect_no_more(&s);
    hang_up(&s);
}

static void sessions__ids_may_be_escaped(void **state)
{
    (void)state;
    char line[256];
    serve_open_protocol();
    speaker s = joined();
    int len = snprintf(line, sizeof line, "POST /weft?x=1&session=");
    for (size_t i = 0; i < strlen(s.session); i++)
        len += snprintf(line + len, sizeof line - (size_t)len, "%%%02x", (unsigned char)s.session[i]);
    assert_int_equal(status_of(line, "", PING), 204);
    expect(&s, "{\"type\":\"pong\"}");
    hang_up(&s);
}

static void sessions__a_stream_is_not_polled(void **state)
{
    (void)state;
    serve_open_protocol();
    speaker s = connect_by(BY_EVENTS);
    snprintf(s.seq, sizeof s.seq, "1");
    expect_answer(ask_poll(&s, "0"), 404, NOT_THERE);
    expect_no_more(&s);
    hang_up(&s);
}

static void sessions__end_with_their_stream(void **state)
{
    (void)state;
    char id[24];
    serve_protocol(&(weft_topics_options){.close = on_close});
    speaker s = connect_by(BY_EVENTS);
    snprintf(id, sizeof id, "%s", s.session);
    hang_up(&s);
    CLIENT_UNTIL(events_len());
    assert_string_equal(look(), "close:1006: ");
    check_not_there(id);
    assert_int_equal(app->workers->hub.sessions.n_entries, 0);
}

/* ------------------------------------------------------------------------------------------------------------ no room */

static void serve_small(void)
{
    serve_protocol(&(weft_topics_options){.publish = everything, .max_queued_bytes = 500});
}

/* An array of n pings, the first of them numbered `from`. */
static char *pings(int from, int n)
{
    char *text = malloc((size_t)n * 40 + 3), *at = text;
    assert_non_null(text);
    *at++ = '[';
    for (int i = 0; i < n; i++)
        at += sprintf(at, "%s{\"type\":\"ping\",\"id\":%d}", i ? "," : "", from + i);
    strcpy(at, "]");
    return text;
}

/* Few bytes that cause many: the rest is not taken once the queue is full, and the client is told where. */
static void sessions__stops_an_array_when_the_queue_is_full(void **state)
{
    (void)state;
    enum { N = 2000 };
    serve_small();
    speaker s = joined();
    int n_taken = 0, n_refused = 0, heard = 0;
    while (n_taken < N) {
        char *text = pings(n_taken, N - n_taken);
        int status = post_status(&s, text, strlen(text));
        free(text);
        const char *told = strstr(client_bytes, "\"taken\":");
        assert_true(status == 204 || (status == 503 && told));
        assert_true(status == 204 || strstr(client_bytes, "(option: max_queued_bytes)"));
        n_taken = status == 204 ? N : n_taken + (int)strtol(told + 8, NULL, 10);
        n_refused += status == 503;
        assert_true(session_of(&s)->peer->ops->queued(session_of(&s)->peer) < 1000 + 100);
        for (; heard < n_taken; heard++) {
            char pong[64];
            snprintf(pong, sizeof pong, "{\"type\":\"pong\",\"id\":%d}", heard);
            expect(&s, pong);
        }
    }
    assert_in_range(n_refused, N / 60, N / 10);
    hang_up(&s);
}

/* Each answer lists a thousand names. */
static void sessions__bounds_what_is_asked_for_at_once(void **state)
{
    (void)state;
    enum { N = 5000 };
    static const char ask_for[] = "{\"type\":\"presence\",\"topic\":\"room\"}";
    char *text = malloc(N * sizeof ask_for + 2), *at = text;
    serve_protocol(&(weft_topics_options){.max_queued_bytes = 512 << 10});
    assert_non_null(text);
    *at++ = '[';
    for (int i = 0; i < N; i++)
        at += sprintf(at, "%s%s", i ? "," : "", ask_for);
    strcpy(at, "]");
    for (int i = 0; i < 999; i++) {
        speaker one = connect_by(BY_POLLS);
        subscribe_to(&one, "room");
        hang_up(&one);
    }
    speaker s = joined();
    subscribe_to(&s, "room");
    assert_int_equal(post_status(&s, text, strlen(text)), 503);
    const char *told = strstr(client_bytes, "\"taken\":");
    assert_non_null(told);
    assert_in_range(strtol(told + 8, NULL, 10), 60, 80); /* of 15 kB each: 1 MiB */
    free(text);
    hang_up(&s);
}

static void fill(const speaker *s)
{
    char *text = pings(0, 100);
    assert_int_equal(post_status(s, text, strlen(text)), 503);
    free(text);
}

static void sessions__refuse_posts_while_the_queue_is_full(void **state)
{
    (void)state;
    const char *full =
        "{\"error\":\"the client has to fetch what waits for it first (option: max_queued_bytes)\",\"taken\":0}";
    serve_small();
    speaker s = connect_by(BY_POLLS);
    fill(&s);
    assert_int_equal(post_status(&s, PING, strlen(PING)), 503);
    assert_string_equal(client_bytes, full);
    assert_int_equal(answered(ask_poll(&s, "0")), 200); /* which it may not have got */
    fill(&s);
    assert_int_equal(post_status(&s, PING, strlen(PING)), 503);
    assert_string_equal(client_bytes, full);
    snprintf(s.seq, sizeof s.seq, "2");
    poll_again(&s);
    assert_int_equal(post_status(&s, PING, strlen(PING)), 204);
    hang_up(&s);
}

/* What is refused for lack of room has not happened, and may be sent again. */
static void sessions__publishes_nothing_that_it_refuses(void **state)
{
    (void)state;
    const char *publish =
        "[{\"type\":\"publish\",\"topic\":\"t\",\"data\":1},{\"type\":\"publish\",\"topic\":\"t\",\"data\":2}]";
    serve_small();
    speaker s = connect_by(BY_POLLS);
    fill(&s);
    assert_int_equal(post_status(&s, publish, strlen(publish)), 503);
    assert_null(hub_find_topic(&app->workers->hub, STR("t")));
    hang_up(&s);
}

/* --------------------------------------------------------------------------------------------------------------- polls */

static void sessions__gather_what_comes_between_two_polls(void **state)
{
    (void)state;
    serve_open_protocol();
    speaker s = connect_by(BY_POLLS);
    subscribe_to(&s, "t");
    publish_to("t", "1");
    publish_to("t", "2");
    assert_int_equal(answered(ask_poll(&s, "25")), 200);
    assert_non_null(strstr(plain(client_bytes),
                           ",\"seq\":3,\"envelopes\":[{\"type\":\"message\",\"topic\":\"t\",\"id\":\"E-1\","
                           "\"kind\":\"text\",\"data\":\"1\"},{\"type\":\"message\",\"topic\":\"t\",\"id\":"
                           "\"E-2\",\"kind\":\"text\",\"data\":\"2\"}]}"));
    take_poll_answer(&s);
    hang_up(&s);
}

static void sessions__wait_until_something_comes(void **state)
{
    (void)state;
    serve_open_protocol();
    speaker s = connect_by(BY_POLLS);
    subscribe_to(&s, "t");
    int fd = ask_poll(&s, "25");
    client_expect_silence(fd, 50);
    publish_to("t", "1");
    assert_int_equal(answered(fd), 200);
    assert_non_null(strstr(client_bytes, "\"data\":\"1\""));
    take_poll_answer(&s);
    fd = ask_poll(&s, "25");
    client_expect_silence(fd, 20);
    assert_int_equal(post_status(&s, PING, strlen(PING)), 204); /* what it causes comes on the poll that waits */
    assert_int_equal(answered(fd), 200);
    assert_non_null(strstr(client_bytes, "\"envelopes\":[{\"type\":\"pong\"}]"));
    take_poll_answer(&s);
    hang_up(&s);
}

static void sessions__answer_an_idle_poll_in_the_end(void **state)
{
    (void)state;
    serve_open_protocol();
    speaker s = connect_by(BY_POLLS);
    assert_int_equal(answered(ask_poll(&s, "0.05")), 200);
    assert_non_null(strstr(client_bytes, ",\"seq\":2,\"envelopes\":[]}"));
    take_poll_answer(&s);
    hang_up(&s);
}

static void sessions__give_a_lost_answer_again(void **state)
{
    (void)state;
    char lost[512] = "";
    serve_open_protocol();
    speaker s = connect_by(BY_POLLS);
    assert_int_equal(post_status(&s, PING, strlen(PING)), 204);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(answered(ask_poll(&s, "25")), 200);
        if (!i)
            memcpy(lost, client_bytes, strnlen(client_bytes, sizeof lost - 1));
        assert_string_equal(client_bytes, lost);
        assert_int_equal(post_status(&s, PING, strlen(PING)), 204); /* comes with the next */
    }
    assert_non_null(strstr(lost, ",\"seq\":2,\"envelopes\":[{\"type\":\"pong\"}]}"));
    snprintf(s.seq, sizeof s.seq, "2");
    for (int i = 0; i < 3; i++)
        expect(&s, "{\"type\":\"pong\"}");
    hang_up(&s);
}

static void sessions__end_the_older_of_two_polls(void **state)
{
    (void)state;
    serve_open_protocol();
    speaker s = connect_by(BY_POLLS);
    int older = ask_poll(&s, "25");
    client_expect_silence(older, 20);
    int newer = ask_poll(&s, "25");
    assert_int_equal(answered(older), 409);
    assert_int_equal(post_status(&s, PING, strlen(PING)), 204);
    assert_int_equal(answered(newer), 200);
    assert_non_null(strstr(client_bytes, "pong"));
    hang_up(&s);
}

static void sessions__refuse_a_poll_that_makes_no_sense(void **state)
{
    (void)state;
    static const char *const rest[] = {
        "", "&ack=", "&ack=2", "&ack=x", "&ack=1&wait=x", "&ack=-1", "&ack=99999999999999999999"};
    serve_open_protocol();
    speaker s = connect_by(BY_POLLS);
    for (size_t i = 0; i < N_OF(rest); i++) {
        char line[256];
        snprintf(line, sizeof line, "GET /weft?session=%s%s", s.session, rest[i]);
        assert_int_equal(status_of(line, "", NULL), 400);
    }
    expect_no_more(&s);
    hang_up(&s);
}

/* A client that goes while its poll waits is not gone yet. */
static void sessions__outlive_a_poll_that_was_cut(void **state)
{
    (void)state;
    serve_open_protocol();
    speaker s = connect_by(BY_POLLS);
    subscribe_to(&s, "t");
    int fd = ask_poll(&s, "25");
    client_expect_silence(fd, 20);
    client_reset(fd);
    CLIENT_UNTIL(app->workers->net.n_streams == 0);
    publish_to("t", "1");
    expect(&s, "{\"type\":\"message\",\"topic\":\"t\",\"id\":\"E-1\",\"kind\":\"text\",\"data\":\"1\"}");
    hang_up(&s);
}

/* ---------------------------------------------------------------------------------------------------------------- lease */

static void set_lease(const speaker *s, uint32_t ms)
{
    topics_route *route = (topics_route *)(uintptr_t)session_of(s)->route;
    assert_int_equal(route->polls.lease_ms, 30000);
    route->polls.lease_ms = ms;
}

static void sessions__end_when_nobody_asks(void **state)
{
    (void)state;
    char id[24];
    serve_protocol(&(weft_topics_options){.close = on_close});
    speaker s = connect_by(BY_POLLS);
    snprintf(id, sizeof id, "%s", s.session);
    set_lease(&s, 30);
    subscribe_to(&s, "t");
    CLIENT_UNTIL(events_len());
    expect_events("close:1006:the client asked no more ");
    check_not_there(id);
    hang_up(&s);
}

static void sessions__live_on_while_a_poll_waits(void **state)
{
    (void)state;
    serve_protocol(&(weft_topics_options){.close = on_close});
    speaker s = connect_by(BY_POLLS);
    set_lease(&s, 200);
    assert_int_equal(answered(ask_poll(&s, "0.6")), 200);
    expect_events("");
    take_poll_answer(&s);
    hang_up(&s);
}

static void sessions__live_on_by_posts(void **state)
{
    (void)state;
    serve_protocol(&(weft_topics_options){.close = on_close});
    speaker s = connect_by(BY_POLLS);
    set_lease(&s, 1000);
    expect_no_more(&s); /* which begins it */
    for (int i = 0; i < 6; i++) {
        int idle = client_connect(url);
        client_expect_silence(idle, 250);
        close(idle);
        assert_int_equal(post_status(&s, "[]", 2), 204);
    }
    expect_events("");
    expect_no_more(&s);
    hang_up(&s);
}

/* Opening one costs a stranger a request, and us memory for as long as its lease. */
static void sessions__have_a_limit_of_their_number(void **state)
{
    assert_int_equal(teardown_app(state), 0);
    app = weft_new(&(weft_options){.max_sessions = 2});
    serve_open_protocol();
    speaker polls = connect_by(BY_POLLS), on_stream = connect_by(BY_EVENTS);
    const char *full = "{\"error\":\"there are 2 sessions already, and may not be more (option: max_sessions)\"}";
    expect_answer(ask("GET /weft?session=new", "", ""), 503, full);
    expect_answer(ask("GET /weft", "Accept: text/event-stream\r\n", ""), 503, full);
    hang_up(&on_stream);
    let_arrive();
    speaker another = connect_by(BY_POLLS);
    hang_up(&another);
    hang_up(&polls);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_SESSIONS(sessions__answers_a_post_with_nothing),
        ON_SESSIONS_ONE(sessions__takes_arrays_in_their_order),
        ON_SESSIONS(sessions__serves_the_past_before_it_goes_on),
        ON_SESSIONS(sessions__takes_post_after_post_on_a_connection),
        LOOPS_APP_TEST(sessions__unknown_ones_are_not_there),
        ON_SESSIONS(sessions__those_of_another_route_are_unknown),
        ON_SESSIONS(sessions__ids_may_be_escaped),
        APP_TEST(sessions__have_a_limit_of_their_number),
        LOOPS_APP_TEST(sessions__a_stream_is_not_polled),
        APP_TEST(sessions__end_with_their_stream),
        ON_SESSIONS_ONE(sessions__stops_an_array_when_the_queue_is_full),
        ON_SESSIONS(sessions__bounds_what_is_asked_for_at_once),
        LOOPS_APP_TEST(sessions__refuse_posts_while_the_queue_is_full),
        APP_TEST(sessions__publishes_nothing_that_it_refuses),
        LOOPS_APP_TEST(sessions__gather_what_comes_between_two_polls),
        LOOPS_APP_TEST(sessions__wait_until_something_comes),
        LOOPS_APP_TEST(sessions__answer_an_idle_poll_in_the_end),
        LOOPS_APP_TEST(sessions__give_a_lost_answer_again),
        LOOPS_APP_TEST(sessions__end_the_older_of_two_polls),
        LOOPS_APP_TEST(sessions__refuse_a_poll_that_makes_no_sense),
        APP_TEST(sessions__outlive_a_poll_that_was_cut),
        APP_TEST(sessions__end_when_nobody_asks),
        APP_TEST(sessions__live_on_while_a_poll_waits),
        APP_TEST(sessions__live_on_by_posts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
