#include "transport/poll.h"

#include "net/stream_private.h"
#include "transport/poll_fixture.h"
#include <sys/resource.h>

/* --------------------------------------------------------------------------------------------------- where to begin */

static void poll__gives_the_cursor_at_once_without_a_place(void **state)
{
    (void)state;
    client *c = open_client();
    ask(c, "/poll/t");
    gets_messages(c, "", cursor_at("t", 0));
    publish("t", "one");
    ask(c, "/poll/t");
    gets_messages(c, "", cursor_at("t", 1));
    ask(c, "/poll/t?wait=25");
    gets_messages(c, "", cursor_at("t", 1));
}

static void poll__gives_all_that_is_kept(void **state)
{
    (void)state;
    client *c = open_client();
    char messages[1024];
    ask(c, "/poll/t?since=start");
    gets_messages(c, "", cursor_at("t", 0));
    publish("t", "a \"b\"\n");
    assert_int_equal(publish_message("t", WEFT_JSON, "price", STR("{\"EUR\":3}")), 0);
    assert_int_equal(publish_message("t", WEFT_BINARY, NULL, STR("\0\1")), 0);
    snprintf(messages, sizeof messages,
             "{\"id\":\"%s\",\"type\":\"text\",\"data\":\"a \\\"b\\\"\\n\"},"
             "{\"id\":\"%s\",\"event\":\"price\",\"type\":\"json\",\"data\":{\"EUR\":3}},"
             "{\"id\":\"%s\",\"type\":\"binary\",\"data\":\"AAE=\"}",
             cursor_at("t", 1), cursor_at("t", 2), cursor_at("t", 3));
    ask(c, "/poll/t?since=start");
    gets_messages(c, messages, cursor_at("t", 3));
    ask(c, "/poll/t?wait=1&since=%%73tart"); /* at once */
    gets_messages(c, messages, cursor_at("t", 3));
}

static void poll__gives_what_came_after_a_cursor(void **state)
{
    (void)state;
    client *c = open_client();
    publish("t", "one");
    publish("t", "two");
    ask(c, "/poll/t?since=%s", cursor_at("t", 0));
    char both[512];
    snprintf(both, sizeof both, "%s,%s", object("t", 1, "one"), object("t", 2, "two"));
    gets_messages(c, both, cursor_at("t", 2));
    ask(c, "/poll/t?since=%s", cursor_at("t", 1));
    gets_messages(c, object("t", 2, "two"), cursor_at("t", 2));
    ask(c, "/poll/t?since=%s", cursor_at("t", 2));
    gets_messages(c, "", cursor_at("t", 2));
}

static void poll__takes_the_place_of_a_field(void **state)
{
    (void)state;
    char field[128];
    client *c = open_client();
    publish("t", "one");
    publish("t", "two");
    snprintf(field, sizeof field, "Last-Event-ID: %s\r\n", cursor_at("t", 1));
    ask_saying(c, field, "/poll/t?since=start");
    gets_messages(c, object("t", 2, "two"), cursor_at("t", 2));
}

static void poll__tells_a_gap(void **state)
{
    (void)state;
    client *c = open_client();
    char longer[POLL_ASKED_BYTES + 2] = "";
    memset(longer, 'f', sizeof longer - 1);
    const char *foreign[] = {"0123456789ab-1", "", "x", "start1", longer};
    publish("few", "one");
    for (size_t i = 0; i < N_OF(foreign); i++) {
        ask(c, "/poll/few?wait=25&since=%s", foreign[i]);
        gets_gap(c, object("few", 1, "one"), cursor_at("few", 1));
    }
    ask(c, "/poll/few?since=%s", cursor_at("few", 2)); /* nobody was given that one */
    gets_gap(c, object("few", 1, "one"), cursor_at("few", 1));
    publish("few", "two");
    publish("few", "three");
    ask(c, "/poll/few?since=%s", cursor_at("few", 0));
    char kept[512];
    snprintf(kept, sizeof kept, "%s,%s", object("few", 2, "two"), object("few", 3, "three"));
    gets_gap(c, kept, cursor_at("few", 3));
    ask(c, "/poll/few?since=%s", cursor_at("few", 1));
    gets_messages(c, kept, cursor_at("few", 3));
}

static void poll__tells_a_gap_at_once_when_nothing_is_kept(void **state)
{
    (void)state;
    client *c = open_client();
    ask(c, "/poll/none?wait=25&since=0123456789ab-1");
    gets_gap(c, "", cursor_at("none", 0));
    publish("none", "one");
    ask(c, "/poll/none?wait=25&since=%s", cursor_at("none", 0));
    gets_gap(c, "", cursor_at("none", 1));
}

static void poll__makes_the_topic_so_that_its_cursor_means_something(void **state)
{
    (void)state;
    client *c = open_client();
    assert_null(hub_find_topic(&the_hub, STR("new/one")));
    ask(c, "/poll/new/one");
    receive(c);
    assert_non_null(hub_find_topic(&the_hub, STR("new/one")));
    c->n_got = 0;
    publish("new/one", "hello");
    ask(c, "/poll/new/one?since=%s", cursor_at("new/one", 0));
    gets_messages(c, object("new/one", 1, "hello"), cursor_at("new/one", 1));
}

static void poll__refuses_a_topic_in_words(void **state)
{
    (void)state;
    client *c = open_client();
    ask(c, "/poll/%%01");
    gets_error(c, 400, "a topic's name is 1 to 255 bytes of UTF-8 without control characters");
    ask(c, "/poll/");
    gets_error(c, 400, "a topic's name is 1 to 255 bytes of UTF-8 without control characters");
    for (unsigned i = 0; i < MAX_TOPICS; i++) {
        char name[16];
        snprintf(name, sizeof name, "t%u", i);
        publish(name, "kept");
    }
    ask(c, "/poll/other?wait=25&since=start");
    gets_error(c, 503, "there are 20 topics already, and may not be more (option: max_topics)");
}

/* ---------------------------------------------------------------------------------------------------------- waiting */

static void poll__waits_for_a_message(void **state)
{
    (void)state;
    client *c = open_client();
    ask(c, "/poll/t?wait=25&since=%s", cursor_at("t", 0));
    gets_nothing(c);
    assert_int_equal(topic_named("t")->n_waiters, 1);
    publish("t", "one");
    gets_messages(c, object("t", 1, "one"), cursor_at("t", 1));
    assert_int_equal(topic_named("t")->n_waiters, 0);
    ask(c, "/poll/t?wait=25&since=%s", cursor_at("t", 1));
    gets_nothing(c);
    publish("t", "two"); /* a burst is one answer */
    publish("t", "three");
    char both[512];
    snprintf(both, sizeof both, "%s,%s", object("t", 2, "two"), object("t", 3, "three"));
    gets_messages(c, both, cursor_at("t", 3));
}

static void poll__waits_for_a_topic_that_keeps_nothing(void **state)
{
    (void)state;
    client *c = open_client();
    ask(c, "/poll/none?wait=25&since=start");
    gets_nothing(c);
    publish("none", "one");
    publish("none", "two");
    char both[512];
    snprintf(both, sizeof both, "%s,%s", object("none", 1, "one"), object("none", 2, "two"));
    gets_messages(c, both, cursor_at("none", 2));
    assert_true(topic_named("none")->first == topic_named("none")->head);
}

static void poll__tells_a_gap_to_one_that_was_woken_too_late(void **state)
{
    (void)state;
    client *c = open_client();
    ask(c, "/poll/none?wait=25&since=start");
    gets_nothing(c);
    for (int i = 0; i < TOPIC_RING_MESSAGES + 5; i++)
        publish("none", "x");
    receive(c);
    assert_non_null(strstr(c->got, "\"gap\":true}"));
    assert_non_null(strstr(c->got, object("none", 6, "x")));
    assert_null(strstr(c->got, object("none", 5, "x")));
    c->n_got = 0;
    c->got[0] = '\0';
}

static void poll__answers_with_nothing_when_its_time_is_over(void **state)
{
    (void)state;
    client *c = open_client();
    publish("t", "one");
    ask_saying(c, "If-None-Match: *\r\n", "/poll/t?wait=25&since=%s", cursor_at("t", 1));
    gets_nothing(c);
    pass(24000);
    gets_nothing(c);
    pass(1100);
    gets_messages(c, "", cursor_at("t", 1));
    assert_int_equal(topic_named("t")->n_waiters, 0);
}

static void poll__does_not_wait_unless_asked(void **state)
{
    (void)state;
    client *c = open_client();
    static const char *const short_ones[] = {"", "&wait=0", "&wait=0.0"};
    for (size_t i = 0; i < N_OF(short_ones); i++) {
        ask(c, "/poll/t?since=start%s", short_ones[i]);
        gets_messages(c, "", cursor_at("t", 0));
    }
}

static void poll__refuses_a_wait_that_is_no_number(void **state)
{
    (void)state;
    static const char *const wrong[] = {"",    "x",   "-1",  "%2B1", "1.",    ".5",
                                        "1,5", "1e3", "25s", "0x10", "1.5.5", "%2025"};
    client *c = open_client();
    for (size_t i = 0; i < N_OF(wrong); i++) {
        ask(c, "/poll/t?since=start&wait=%s", wrong[i]);
        gets_error(c, 400, "wait is a number of seconds, as 25 or 0.5");
    }
    assert_null(hub_find_topic(&the_hub, STR("t")));
}

static void tell_wait(exchange *e, const weft_request *request, void *user)
{
    (void)user;
    char text[32];
    int len = snprintf(text, sizeof text, "%ld", (long)poll_wait_ms(request, MAX_WAIT_MS));
    exchange_answer(e, &(http_answer){.status = 200, .type = STR("text/plain"), .body = {text, (size_t)len}});
}

static void poll__reads_seconds(void **state)
{
    (void)state;
    static const struct {
        const char *query;
        const char *ms;
    } waits[] = {{"", "0"},
                 {"?wait=25", "25000"},
                 {"?wait=0.5", "500"},
                 {"?wait=1.25", "1250"},
                 {"?wait=0.0019", "1"},
                 {"?wait=007", "7000"},
                 {"?wait=%32%35", "25000"},
                 {"?wait=60.001", "60000"},
                 {"?wait=99999999999999999999999999", "60000"},
                 {"?wait=0.99999999999999999999999999", "999"}};
    client *c = open_client();
    add_route("/wait", (route_spec){.method = "GET", .serve = tell_wait});
    for (size_t i = 0; i < N_OF(waits); i++) {
        char expected[256];
        snprintf(expected, sizeof expected, OK_HEAD "%zu\r\n\r\n%s", strlen(waits[i].ms), waits[i].ms);
        ask(c, "/wait%s", waits[i].query);
        gets_and_stays(c, expected);
    }
}

/* ------------------------------------------------------------------------------------------------------- the answer */

static void gets_304(client *c, const char *at)
{
    char expected[256];
    snprintf(expected, sizeof expected,
             "HTTP/1.1 304 Not Modified\r\nVary: Accept\r\nCache-Control: no-cache\r\nETag: \"%s\"\r\n\r\n", at);
    gets_and_stays(c, expected);
}

static void poll__answers_304_when_nothing_is_new(void **state)
{
    (void)state;
    char match[128], old[128];
    client *c = open_client();
    publish("t", "one");
    snprintf(match, sizeof match, "If-None-Match: \"x\", W/\"%s\"\r\n", cursor_at("t", 1));
    ask_saying(c, match, "/poll/t?since=%s", cursor_at("t", 1));
    gets_304(c, cursor_at("t", 1));
    ask_saying(c, match, "/poll/t");
    gets_304(c, cursor_at("t", 1));
    ask_saying(c, match, "/poll/t?since=start"); /* all that is kept is what it has */
    gets_304(c, cursor_at("t", 1));
    ask_saying(c, match, "/poll/t?since=start&wait=25"); /* which could not wait for what is there */
    gets_messages(c, object("t", 1, "one"), cursor_at("t", 1));
    ask_saying(c, match, "/poll/t?since=%s", cursor_at("t", 0));
    gets_messages(c, object("t", 1, "one"), cursor_at("t", 1));
    ask_saying(c, match, "/poll/t?since=0123456789ab-1");
    gets_gap(c, object("t", 1, "one"), cursor_at("t", 1));
    publish("t", "two");
    ask_saying(c, match, "/poll/t?since=%s", cursor_at("t", 1));
    gets_messages(c, object("t", 2, "two"), cursor_at("t", 2));
    snprintf(old, sizeof old, "If-None-Match: \"%s\"\r\n", cursor_at("t", 1));
    ask_saying(c, old, "/poll/t?since=%s", cursor_at("t", 2));
    gets_messages(c, "", cursor_at("t", 2));
    ask_saying(c, "If-Modified-Since: Fri, 20 Nov 2026 11:00:00 GMT\r\n", "/poll/t?since=%s", cursor_at("t", 2));
    gets_messages(c, "", cursor_at("t", 2));
}

static void poll__answers_head_like_get_without_a_body(void **state)
{
    (void)state;
    client *c = open_client();
    publish("t", "one");
    char expected[1024] = "";
    const char *whole = answer_of(object("t", 1, "one"), cursor_at("t", 1), false, "");
    memcpy(expected, whole, (size_t)(strstr(whole, "\r\n\r\n") + 4 - whole));
    put(c, "HEAD /poll/t?since=start HTTP/1.1\r\nHost: h\r\n\r\n");
    gets_and_stays(c, expected);
    ask(c, "/poll/t?since=start");
    gets_messages(c, object("t", 1, "one"), cursor_at("t", 1));
}

static size_t count(const char *text, const char *what)
{
    size_t n = 0;
    for (; (text = strstr(text, what)); text++)
        n++;
    return n;
}

static void gets_so_many(client *c, size_t n, const char *at)
{
    char end[128];
    snprintf(end, sizeof end, "],\"cursor\":\"%s\",\"gap\":false}", at);
    receive(c);
    assert_int_equal(count(c->got, "{\"id\":"), n);
    assert_string_equal(c->got + c->n_got - strlen(end), end);
    snprintf(end, sizeof end, "\r\nETag: \"%s\"\r\n", at);
    assert_non_null(strstr(c->got, end));
    c->n_got = 0;
    c->got[0] = '\0';
}

static void poll__gives_a_thousand_messages_at_most(void **state)
{
    (void)state;
    client *c = open_client();
    for (int i = 0; i < 2001; i++)
        publish("t", "x");
    ask(c, "/poll/t?since=start");
    gets_so_many(c, 1000, cursor_at("t", 1000));
    ask(c, "/poll/t?wait=25&since=%s", cursor_at("t", 1000));
    gets_so_many(c, 1000, cursor_at("t", 2000));
    ask(c, "/poll/t?wait=25&since=%s", cursor_at("t", 2000));
    gets_so_many(c, 1, cursor_at("t", 2001));
}

static void poll__gives_a_mebibyte_and_one_message_at_most(void **state)
{
    (void)state;
    static char large[POLL_MAX_BYTES * 5 / 8];
    client *c = open_client();
    memset(large, 'x', sizeof large);
    for (int i = 0; i < 3; i++)
        assert_int_equal(publish_message("t", WEFT_TEXT, NULL, (str){large, sizeof large}), 0);
    ask(c, "/poll/t?since=start");
    gets_so_many(c, 2, cursor_at("t", 2));
    ask(c, "/poll/t?wait=25&since=%s", cursor_at("t", 2));
    gets_so_many(c, 1, cursor_at("t", 3));
}

static void poll__serves_pipelined_ones_in_turn(void **state)
{
    (void)state;
    client *c = open_client();
    const char *zero = cursor_at("t", 0);
    ask(c, "/poll/t?since=%s", zero);
    ask(c, "/poll/t?since=%s&wait=25", zero);
    ask(c, "/poll/t?since=start");
    gets_messages(c, "", zero);
    publish("t", "one");
    char both[2048];
    const char *each = answer_of(object("t", 1, "one"), cursor_at("t", 1), false, "");
    assert_true((size_t)snprintf(both, sizeof both, "%s%s", each, each) < sizeof both);
    gets_and_stays(c, both);
}

static void poll__keeps_answers_of_a_turn_apart(void **state)
{
    (void)state;
    client *a = open_client(), *b = open_second();
    publish("a", "one");
    publish("b", "one");
    ask(a, "/poll/a?since=start");
    ask(b, "/poll/b?since=start");
    turn();
    gets_messages(a, object("a", 1, "one"), cursor_at("a", 1));
    gets_messages(b, object("b", 1, "one"), cursor_at("b", 1));
    ask(a, "/poll/a?since=start");
    ask(b, "/poll/a?since=%s", cursor_at("a", 1));
    gets_messages(a, object("a", 1, "one"), cursor_at("a", 1));
    gets_messages(b, "", cursor_at("a", 1));
    ask(a, "/poll/a?since=start");
    ask(b, "/poll/a?since=0123456789ab-1");
    gets_messages(a, object("a", 1, "one"), cursor_at("a", 1));
    gets_gap(b, object("a", 1, "one"), cursor_at("a", 1));
}

/* ------------------------------------------------------------------------------------------------------------- ends */

static void poll__ends_with_its_client(void **state)
{
    (void)state;
    enum { N_TIMES = 10000 };
    size_t before = 0;
    for (int i = 0; i < N_TIMES; i++) {
        if (i == 10) /* what a loop keeps for later is there */
            before = live_bytes();
        client *c = open_client();
        ask(c, "/poll/t?wait=25&since=%s", cursor_at("t", 0));
        turn();
        assert_int_equal(topic_named("t")->n_waiters, 1);
        if (i % 2)
            shutdown(c->fd, SHUT_WR); /* half a close is as good */
        else
            close(c->fd);
        turn();
        assert_int_equal(topic_named("t")->n_waiters, 0);
        if (i % 2 == 0)
            c->fd = -1;
        turn();
    }
    net_cut_lingering(&the_net);
    turn();
    assert_int_equal(live_bytes(), before);
}

static void poll__is_answered_when_the_server_stops(void **state)
{
    (void)state;
    client *waiting = open_client(), *late = open_second();
    char before[128];
    publish("t", "one");
    ask(waiting, "/poll/t?wait=25&since=%s", cursor_at("t", 1));
    snprintf(before, sizeof before, "GET /poll/t?wait=25&since=%s HTTP/1.1\r\n", cursor_at("t", 1));
    put(late, before);
    gets_nothing(waiting);
    gets_nothing(late);
    http_server_drain(&the_server);
    gets_and_end(waiting, answer_of("", cursor_at("t", 1), false, CLOSES));
    put(late, "Host: h\r\n\r\n");
    gets_and_end(late, answer_of("", cursor_at("t", 1), false, CLOSES));
    assert_true(list_empty(&the_server.connections));
}

/* Whatever has no memory is refused, or cut off; nothing is left of it. */
static int go_through_polls(void)
{
    if (publish_message("t", WEFT_TEXT, NULL, STR("one")))
        return -ENOMEM;
    client *c = &clients[0];
    int result = open_client_on(c, 80);
    for (unsigned i = 0; !result && i < 2; i++) {
        static const char *const queries[] = {"?since=start", "?since=start&wait=25"};
        ask(c, "/poll/t%s", queries[i]);
        receive(c);
        result = strstr(c->got, "200 OK") && strstr(c->got, "\"one\"") ? 0 : -ENOMEM;
        c->n_got = 0;
    }
    if (!result) {
        ask(c, "/poll/other?since=start&wait=25");
        receive(c);
        result = publish_message("other", WEFT_TEXT, NULL, STR("two"));
        receive(c);
        if (!result)
            result = strstr(c->got, "200 OK") && strstr(c->got, "\"two\"") ? 0 : -ENOMEM;
    }
    return result;
}

static void poll__does_without_memory(void **state)
{
    uint64_t n = 1;
    for (bool enough = false; !enough; n++) {
        assert_int_equal(start_polls(state), 0);
        uint64_t before = mem_count();
        mem_fail_from(n);
        int result = go_through_polls();
        enough = mem_count() - before < n;
        mem_fail_from(0);
        assert_true(result == 0 || !enough);
        client *c = open_client(); /* nobody else is harmed */
        publish("t", "again");
        ask(c, "/poll/t?since=%s", cursor_at("t", (unsigned)topic_named("t")->head - 1));
        receive(c);
        assert_non_null(strstr(c->got, "\"again\""));
        assert_int_equal(stop_polls(state), 0);
    }
    print_message("# %lu allocations failed in turn\n", n - 2);
    assert_in_range(n, 15, 100);
}

/* -------------------------------------------------------------------------------------------------------- thousands */

enum { N_THOUSANDS = 10000 };

static wire_end wires[N_THOUSANDS];

static void open_waiting_wires(unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        wire_open(&wires[i]);
        wire_ask(&wires[i], "/poll/t?wait=25&since=start");
    }
    assert_int_equal(topic_named("t")->n_waiters, n);
}

static void poll__builds_one_answer_for_all_that_ask_the_same(void **state)
{
    (void)state;
    open_waiting_wires(N_THOUSANDS);
    unsigned n_bodies = 1, n_turns = 0;
    publish("t", "one");
    uint64_t began_us = now_us();
    for (uint32_t left = N_THOUSANDS; left; left = topic_named("t")->n_waiters) {
        turn();
        n_turns++;
        assert_true(left - topic_named("t")->n_waiters <= 1000); /* each costs a system call at the turn's end */
    }
    print_message("# %d waiting polls answered in %u turns, %lu us\n", N_THOUSANDS, n_turns, now_us() - began_us);
    for (unsigned i = 0; i < N_THOUSANDS; i++) {
        assert_int_equal(wires[i].n_answers, 1);
        assert_non_null(wires[i].answered_with);
        n_bodies += i && wires[i].answered_with != wires[i - 1].answered_with;
    }
    assert_in_range(n_bodies, 1, n_turns);
    assert_null(the_hub.polls); /* and keeps it no longer than the turn */
}

static void poll__shares_the_answer_at_its_deadline(void **state)
{
    (void)state;
    open_waiting_wires(100);
    pass(25200);
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(wires[i].n_answers, 1);
        assert_ptr_equal(wires[i].answered_with, wires[0].answered_with);
    }
    turn();
    assert_null(the_hub.polls);
}

static struct {
    timer timer;
    uint64_t due_us, fired_us;
    uint32_t n_waiting;
} witness;

static void witness_fires(timer *t)
{
    (void)t;
    witness.fired_us = now_us();
    witness.n_waiting = topic_named("t")->n_waiters;
}

/* With real sockets: as many as there may be open files for. */
static void poll__leaves_timers_their_time(void **state)
{
    (void)state;
    static int fds[N_THOUSANDS];
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    int n = files.rlim_cur > 2 * N_THOUSANDS + 200 ? N_THOUSANDS : ((int)files.rlim_cur - 200) / 2;
    topic *t = topic_named("t");
    for (int i = 0; i < n; i++) {
        client *c = open_client();
        ask(c, "/poll/t?wait=25&since=start");
        fds[i] = c->fd;
        c->fd = -1;
        if (i % 100 == 99)
            turn();
    }
    while (t->n_waiters < (uint32_t)n)
        turn();
    publish("t", "one");
    witness.n_waiting = 0;
    uint64_t began_us = now_us();
    witness.due_us = began_us + 5000;
    loop_arm(&the_loop, &witness.timer, 5, witness_fires);
    uint64_t longest_us = 0;
    while (t->n_waiters || timer_armed(&witness.timer)) {
        uint64_t turn_us = now_us();
        turn();
        turn_us = now_us() - turn_us;
        longest_us = turn_us > longest_us ? turn_us : longest_us;
    }
    print_message("# %d sockets answered in %lu us, the longest turn %lu us; a timer of 5 ms came %ld us late\n", n,
                  now_us() - began_us, longest_us, (long)(witness.fired_us - witness.due_us));
    assert_true(witness.n_waiting > 0);
    for (int i = 0; i < n; i++) {
        char bytes[512];
        assert_true(recv(fds[i], bytes, sizeof bytes, 0) > 200);
        close(fds[i]);
    }
    turn();
}

#ifndef OWN_MALLOC /* a sanitizer's malloc is larger */
static void poll__waits_in_little_memory(void **state)
{
    (void)state;
    enum { N_WAITING = 1000, MOST_BYTES = 432 };
    static int fds[N_WAITING];
    size_t before = 0;
    for (int i = -1; i < N_WAITING; i++) {
        client *c = open_client();
        ask(c, "/poll/t?wait=25&since=%s", cursor_at("t", 0));
        turn();
        if (i < 0) {
            leave(c);
            before = live_bytes();
            continue;
        }
        fds[i] = c->fd;
        c->fd = -1;
    }
    assert_int_equal(topic_named("t")->n_waiters, N_WAITING);
    size_t each = (live_bytes() - before) / N_WAITING + HEAP_HANDLE_BYTES;
    print_message("# a waiting poll takes %zu bytes of heap: stream %zu, connection %zu, exchange %zu\n", each,
                  sizeof(stream), sizeof(http1_connection), sizeof(exchange));
    assert_in_range(each, 1, MOST_BYTES);
    for (int i = 0; i < N_WAITING; i++)
        close(fds[i]);
}
#endif

/* ----------------------------------------------------------------------------------------------------- exactly once */

static unsigned next_random(unsigned n)
{
    static uint32_t seed = 20261120;
    seed = seed * 1664525 + 1013904223;
    return (seed >> 8) % n;
}

/* The number after `"data":"`; the place behind it. */
static const char *next_data(const char *at, unsigned *ret_number)
{
    at = strstr(at, "\"data\":\"");
    if (at)
        *ret_number = (unsigned)strtoul(at + 8, NULL, 10);
    return at ? at + 8 : NULL;
}

/* A client that polls in a loop while messages come in bursts; some answers are lost on the way, and asked for
 * again. */
static void poll__loses_and_repeats_nothing(void **state)
{
    (void)state;
    enum { N_MESSAGES = 10000 };
    unsigned published = 0, received = 0, n_lost = 0;
    char at[CURSOR_BYTES + 1];
    client *c = open_client();
    snprintf(at, sizeof at, "%s", cursor_at("t", 0));
    for (bool asked = false; received < N_MESSAGES;) {
        for (unsigned n = next_random(3) ? 0 : next_random(100); n && published < N_MESSAGES; n--) {
            char text[16];
            snprintf(text, sizeof text, "%u", published++);
            publish("t", text);
        }
        if (!asked)
            ask(c, next_random(2) ? "/poll/t?wait=25&since=%s" : "/poll/t?since=%s", at);
        asked = true;
        if (next_random(4) == 0) { /* whatever the answer was */
            close(c->fd);
            c->fd = -1;
            n_lost++;
            asked = false;
            turn();
            c = open_client();
            continue;
        }
        receive(c);
        const char *data = c->got;
        if (!c->n_got && published < N_MESSAGES)
            continue;
        assert_true(c->n_got > 0);
        assert_non_null(strstr(c->got, "\"gap\":false}"));
        for (unsigned number; (data = next_data(data, &number)) != NULL;)
            assert_int_equal(number, received++);
        snprintf(at, sizeof at, "%.*s", (int)strcspn(strstr(c->got, "\"cursor\":\"") + 10, "\""),
                 strstr(c->got, "\"cursor\":\"") + 10);
        assert_string_equal(at, cursor_at("t", received));
        c->n_got = 0;
        c->got[0] = '\0';
        asked = false;
    }
    print_message("# %u answers were lost\n", n_lost);
    assert_true(n_lost > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        POLL_TEST(poll__gives_the_cursor_at_once_without_a_place),
        POLL_TEST(poll__gives_all_that_is_kept),
        POLL_TEST(poll__gives_what_came_after_a_cursor),
        POLL_TEST(poll__takes_the_place_of_a_field),
        POLL_TEST(poll__tells_a_gap),
        POLL_TEST(poll__tells_a_gap_at_once_when_nothing_is_kept),
        POLL_TEST(poll__makes_the_topic_so_that_its_cursor_means_something),
        POLL_TEST(poll__refuses_a_topic_in_words),
        POLL_TEST(poll__waits_for_a_message),
        POLL_TEST(poll__waits_for_a_topic_that_keeps_nothing),
        POLL_TEST(poll__tells_a_gap_to_one_that_was_woken_too_late),
        POLL_TEST(poll__answers_with_nothing_when_its_time_is_over),
        POLL_TEST(poll__does_not_wait_unless_asked),
        POLL_TEST(poll__refuses_a_wait_that_is_no_number),
        POLL_TEST(poll__reads_seconds),
        POLL_TEST(poll__answers_304_when_nothing_is_new),
        POLL_TEST(poll__answers_head_like_get_without_a_body),
        POLL_TEST(poll__gives_a_thousand_messages_at_most),
        POLL_TEST(poll__gives_a_mebibyte_and_one_message_at_most),
        POLL_TEST(poll__serves_pipelined_ones_in_turn),
        POLL_TEST(poll__keeps_answers_of_a_turn_apart),
        POLL_TEST(poll__ends_with_its_client),
        POLL_TEST(poll__is_answered_when_the_server_stops),
        cmocka_unit_test(poll__does_without_memory),
        POLL_TEST(poll__builds_one_answer_for_all_that_ask_the_same),
        POLL_TEST(poll__shares_the_answer_at_its_deadline),
        POLL_TEST(poll__leaves_timers_their_time),
#ifndef OWN_MALLOC
        POLL_TEST(poll__waits_in_little_memory),
#endif
        POLL_TEST(poll__loses_and_repeats_nothing),
    };
    heap_begin();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
