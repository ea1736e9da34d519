#include "app/loops_topics.h"

/* ---- every way to publish, every way to read ---- */

static void reach_each(way_to_say way, unsigned from)
{
    for (unsigned to = 0; to < n_loops; to++) {
        const char *name = fresh_name("kept");
        reader readers[N_WAYS_TO_READ];
        sayer s = sayer_new(way, from, name);
        for (int r = 0; r < N_WAYS_TO_READ; r++)
            readers[r] = reader_new((way_to_read)r, to, s.name, "start");
        sayer_says(&s, "one");
        sayer_says(&s, "two");
        for (int r = 0; r < N_WAYS_TO_READ; r++) {
            reader_expects(&readers[r], "one");
            reader_expects(&readers[r], "two");
            reader_leaves(&readers[r]);
        }
        sayer_leaves(&s);
    }
}

static void topics__reach_every_reader_from_every_loop(void **state)
{
    (void)state;
    serve_loops_of_topics();
    for (int way = 0; way < N_WAYS_TO_SAY; way++)
        for (unsigned from = 0; from < n_loops; from++)
            reach_each((way_to_say)way, from);
}

/* ---- one order ---- */

enum { N_ROUNDS = 12 };

/* The number of a cursor. */
static unsigned long number_of(const char *id)
{
    return strtoul(strchr(id, '-') + 1, NULL, 10);
}

static void topics__have_one_order_on_every_transport(void **state)
{
    (void)state;
    sayer sayers[4];
    reader readers[N_WAYS_TO_READ * 4];
    char order[4 * N_ROUNDS][128];
    unsigned n_readers = 0, n_sayers = n_loops, n = n_sayers * N_ROUNDS;
    serve_loops_of_topics();
    char name[64];
    snprintf(name, sizeof name, "%s", fresh_name("kept"));
    for (unsigned l = 0; l < n_loops; l++)
        for (int r = 0; r < N_WAYS_TO_READ; r++)
            readers[n_readers++] = reader_new((way_to_read)r, l, name, "start");
    for (unsigned l = 0; l < n_sayers; l++)
        sayers[l] = sayer_new(SAY_WEBSOCKET, l, name);
    for (unsigned i = 0; i < N_ROUNDS; i++)
        for (unsigned l = 0; l < n_sayers; l++) {
            char text[32];
            snprintf(text, sizeof text, "%u %u", l, i);
            sayer_says(&sayers[l], text);
        }
    for (unsigned r = 0; r < n_readers; r++) {
        unsigned next[4] = {0};
        for (unsigned i = 0; i < n; i++) {
            unsigned from, number;
            reader_reads(&readers[r]);
            assert_int_equal(sscanf(readers[r].data, "%u %u", &from, &number), 2);
            assert_int_equal(number, next[from]++);
            if (*readers[r].id)
                assert_int_equal(number_of(readers[r].id), i + 1);
            if (r == 0)
                snprintf(order[i], sizeof order[i], "%s", readers[r].data);
            assert_string_equal(readers[r].data, order[i]);
        }
        assert_false(readers[r].gap);
        reader_leaves(&readers[r]);
    }
    for (unsigned l = 0; l < n_sayers; l++)
        sayer_leaves(&sayers[l]);
}

/* ---- coming back ---- */

static void topics__are_resumed_on_any_loop(void **state)
{
    (void)state;
    serve_loops_of_topics();
    for (int way = READ_EVENTS; way < N_WAYS_TO_READ; way++) {
        char name[64];
        snprintf(name, sizeof name, "%s", fresh_name("kept"));
        sayer s = sayer_new(SAY_POST, 0, name);
        char at[64] = "start";
        for (unsigned i = 0; i < 2 * n_loops; i++) {
            char missed[32], live[32];
            snprintf(missed, sizeof missed, "missed %u", i);
            snprintf(live, sizeof live, "live %u", i);
            s.loop_number = (i + 1) % n_loops;
            sayer_says(&s, missed);
            reader r = reader_new((way_to_read)way, i % n_loops, name, at);
            reader_expects(&r, missed);
            sayer_says(&s, live);
            reader_expects(&r, live);
            assert_false(r.gap);
            snprintf(at, sizeof at, "%s", r.since);
            reader_leaves(&r);
        }
    }
}

static void topics__tell_a_gap_on_any_loop(void **state)
{
    (void)state;
    serve_loops_of_topics();
    for (unsigned l = 0; l < n_loops; l++) {
        char line[LINE_BYTES];
        const char *name = fresh_name("kept");
        sayer s = sayer_new(SAY_POST, 0, name);
        sayer_says(&s, "one");
        at_loop(l);
        snprintf(line, sizeof line, "GET /topics/%s?since=0123456789ab-7&wait=25", s.name);
        assert_int_equal(status_of(line, "", NULL), 200);
        assert_non_null(strstr(client_bytes, "\"data\":\"one\""));
        assert_non_null(strstr(client_bytes, "\"gap\":true}"));
        reader session_reader = reader_new(READ_SESSION, l, s.name, "0123456789ab-7");
        reader_expects(&session_reader, "one");
        assert_true(session_reader.gap);
        reader_leaves(&session_reader);
        reader protocol_reader = reader_new(READ_PROTOCOL, l, s.name, "0123456789ab-7");
        reader_expects(&protocol_reader, "one");
        assert_true(protocol_reader.gap);
        reader_leaves(&protocol_reader);
    }
}

/* ---- polls ---- */

static void polls__give_the_cursor_without_a_place(void **state)
{
    (void)state;
    char line[LINE_BYTES], id[64];
    serve_loops_of_topics();
    for (unsigned l = 0; l < n_loops; l++) {
        const char *name = fresh_name("kept");
        sayer s = sayer_new(SAY_POST, 0, name);
        sayer_says(&s, "one");
        snprintf(id, sizeof id, "%s", member("id"));
        at_loop(l);
        snprintf(line, sizeof line, "GET /topics/%s?wait=25", s.name);
        assert_int_equal(status_of(line, "", NULL), 200);
        assert_string_equal(plain(client_bytes), "{\"messages\":[],\"cursor\":\"E-1\",\"gap\":false}");
        assert_string_equal(member("cursor"), id);
    }
}

static void polls__know_what_a_client_has(void **state)
{
    (void)state;
    char line[LINE_BYTES], fields[LINE_BYTES];
    serve_loops_of_topics();
    for (unsigned l = 0; l < n_loops; l++) {
        const char *name = fresh_name("kept");
        sayer s = sayer_new(SAY_POST, 0, name);
        sayer_says(&s, "one");
        snprintf(line, sizeof line, "GET /topics/%s?since=%s", s.name, member("id"));
        snprintf(fields, sizeof fields, "If-None-Match: \"x\", W/\"%s\"\r\n", member("id"));
        for (int again = 0; again < 2; again++) { /* the second one finds the topic ready */
            at_loop(l);
            assert_int_equal(status_of(line, fields, NULL), 304);
        }
        sayer_says(&s, "two");
        at_loop(l);
        assert_int_equal(status_of(line, fields, NULL), 200);
        assert_non_null(strstr(client_bytes, "two"));
    }
}

static void polls__end_with_nothing(void **state)
{
    (void)state;
    char line[LINE_BYTES];
    serve_loops_of_topics();
    for (unsigned l = 0; l < n_loops; l++) {
        at_loop(l);
        snprintf(line, sizeof line, "GET /topics/%s?since=start&wait=0.05", name_at("kept", (l + 1) % n_loops));
        assert_int_equal(status_of(line, "", NULL), 200);
        assert_string_equal(plain(client_bytes), "{\"messages\":[],\"cursor\":\"E-0\",\"gap\":false}");
    }
}

static void polls__are_answered_by_head(void **state)
{
    (void)state;
    char line[LINE_BYTES];
    serve_loops_of_topics();
    at_loop(0);
    snprintf(line, sizeof line, "HEAD /topics/%s?since=start", name_at("kept", 1));
    int fd = ask(line, "", NULL);
    assert_int_equal(client_read_head(fd), 200);
    assert_non_null(strstr(client_bytes, "\r\nETag: \""));
    close(fd);
}

/* Whoever ends his side behind the request gets the answer all the same. */
static void polls__are_answered_behind_the_end_of_a_request(void **state)
{
    (void)state;
    char line[LINE_BYTES];
    serve_loops_of_topics();
    for (unsigned l = 0; l < n_loops; l++) {
        at_loop(l);
        snprintf(line, sizeof line, "GET /topics/%s?since=start", name_at("kept", (l + 1) % n_loops));
        int fd = ask(line, "", NULL);
        shutdown(fd, SHUT_WR);
        expect_answer(fd, 200, "{\"messages\":[],\"cursor\":\"E-0\",\"gap\":false}");
    }
}

static void posts__are_answered_behind_the_end_of_a_request(void **state)
{
    (void)state;
    char line[LINE_BYTES];
    serve_loops_of_topics();
    for (unsigned l = 0; l < n_loops; l++) {
        at_loop(l);
        snprintf(line, sizeof line, "POST /topics/%s", name_at("kept", (l + 1) % n_loops));
        int fd = ask(line, "", "one");
        shutdown(fd, SHUT_WR);
        expect_answer(fd, 201, "{\"id\":\"E-1\",\"subscribers\":0}");
    }
}

/* ---- counting ---- */

static void posts__count_subscribers_of_all_loops(void **state)
{
    (void)state;
    char line[LINE_BYTES], name[64];
    reader readers[4];
    serve_loops_of_topics();
    snprintf(name, sizeof name, "%s", fresh_name("kept"));
    for (unsigned l = 0; l < n_loops; l++)
        readers[l] = reader_new(READ_PROTOCOL, l, name, "start");
    snprintf(line, sizeof line, "POST /topics/%s", name);
    for (unsigned l = 0; l < n_loops; l++) {
        unsigned long subscribers = 0;
        do {
            at_loop(l);
            assert_int_equal(status_of(line, "", "m"), 201);
            subscribers = strtoul(strstr(client_bytes, "subscribers\":") + 13, NULL, 10);
        } while (subscribers != n_loops);
    }
    for (unsigned l = 0; l < n_loops; l++)
        reader_leaves(&readers[l]);
}

/* ---- the list ---- */

static void list__has_the_topics_of_all_loops(void **state)
{
    (void)state;
    char names[4][64], entry[LINE_BYTES];
    serve_loops_of_topics();
    for (unsigned l = 0; l < n_loops; l++) {
        snprintf(names[l], sizeof names[l], "%s", name_at("kept", l));
        sayer s = sayer_new(SAY_POST, (l + 1) % n_loops, names[l]);
        sayer_says(&s, "one");
        reader r = reader_new(READ_POLL, (l + 2) % n_loops, names[l], "start");
        reader_expects(&r, "one");
        reader_leaves(&r);
    }
    for (unsigned l = 0; l < n_loops; l++) {
        at_loop(l);
        assert_int_equal(status_of("GET /topics", KEY, NULL), 200);
        for (unsigned i = 0; i < n_loops; i++) {
            snprintf(entry, sizeof entry, "{\"topic\":\"%s\",\"subscribers\":0,\"messages\":1,\"cursor\":\"E-1\"}",
                     names[i]);
            const char *found = strstr(plain(client_bytes), entry);
            assert_non_null(found);
            assert_null(strstr(found + 1, entry)); /* its mirrors are no topics of their own */
        }
    }
}

/* ---- batches ---- */

static void batches__reach_topics_of_all_loops(void **state)
{
    (void)state;
    char names[4][64], body[4096];
    serve_loops_of_topics();
    for (unsigned l = 0; l < n_loops; l++) {
        size_t len = 0;
        for (unsigned i = 0; i < n_loops; i++)
            snprintf(names[i], sizeof names[i], "%s", name_at("kept", i));
        for (unsigned i = 0; i < 3 * n_loops; i++)
            len += (size_t)snprintf(body + len, sizeof body - len, "{\"topic\":\"%s\",\"data\":\"%u\"}\n",
                                    names[i % n_loops], i / n_loops);
        at_loop(l);
        assert_int_equal(status_of("POST /topics", LINES_IS, body), 201);
        char expected[4096] = "{\"published\":[";
        for (unsigned i = 0; i < 3 * n_loops; i++)
            snprintf(expected + strlen(expected), 64, "%s{\"id\":\"E-%u\",\"subscribers\":0}", i ? "," : "",
                     i / n_loops + 1);
        strcat(expected, "]}");
        assert_string_equal(plain(client_bytes), expected);
        for (unsigned i = 0; i < n_loops; i++) {
            reader r = reader_new(READ_LINES, (l + i) % n_loops, names[i], "start");
            reader_expects(&r, "0");
            reader_expects(&r, "1");
            reader_expects(&r, "2");
            reader_leaves(&r);
        }
    }
}

/* ---- weft.v1 ---- */

/* What a client asks of a topic is answered in its order, though the first question waits for another loop. */
static void protocol__keeps_the_order_of_questions(void **state)
{
    (void)state;
    serve_loops_of_topics();
    for (unsigned l = 0; l < n_loops; l++) {
        char name[64], text[2048];
        snprintf(name, sizeof name, "%s", name_at("room", (l + 1) % n_loops));
        sayer s = sayer_new(SAY_POST, l, name);
        sayer_says(&s, "one");
        poll(NULL, 0, 0);
        at_loop(l);
        speaker c = connect_by(BY_EVENTS); /* which brings them in one go */
        snprintf(text, sizeof text,
                 "[{\"type\":\"hello\",\"name\":\"me\"},"
                 "{\"type\":\"subscribe\",\"id\":1,\"topic\":\"%s\",\"since\":\"start\"},"
                 "{\"type\":\"hello\",\"id\":\"late\",\"name\":\"other\"},"
                 "{\"type\":\"unsubscribe\",\"id\":2,\"topic\":\"%s\"},"
                 "{\"type\":\"subscribe\",\"id\":3,\"topic\":\"%s\"},"
                 "{\"type\":\"presence\",\"id\":4,\"topic\":\"%s\"},"
                 "{\"type\":\"publish\",\"id\":5,\"topic\":\"%s\",\"data\":\"two\"},"
                 "{\"type\":\"unsubscribe\",\"id\":6,\"topic\":\"%s\"},"
                 "{\"type\":\"subscribe\",\"id\":7,\"topic\":\"%s\"}]",
                 name, name, name, name, name, name, name);
        say(&c, text);
        expect_error(&c, "\"late\"", "invalid");
        snprintf(text, sizeof text,
                 "{\"type\":\"subscribed\",\"id\":1,\"topic\":\"%s\",\"cursor\":\"E-0\",\"gap\":false}", name);
        expect(&c, text);
        snprintf(text, sizeof text,
                 "{\"type\":\"message\",\"topic\":\"%s\",\"id\":\"E-1\",\"kind\":\"text\",\"data\":\"one\"}", name);
        expect(&c, text);
        snprintf(text, sizeof text, "{\"type\":\"unsubscribed\",\"id\":2,\"topic\":\"%s\"}", name);
        expect(&c, text);
        snprintf(text, sizeof text,
                 "{\"type\":\"subscribed\",\"id\":3,\"topic\":\"%s\",\"cursor\":\"E-1\",\"gap\":false}", name);
        expect(&c, text);
        int n_presence = 0, n_published = 0, n_messages = 0;
        while (n_presence + n_published + n_messages < 3) {
            hear(&c);
            n_presence += strstr(client_bytes, "\"presence\",\"id\":4,") &&
                          strstr(client_bytes, "\"count\":1,\"members\":[\"me\"]");
            n_messages += strstr(client_bytes, "\"type\":\"message\"") && strstr(client_bytes, "\"data\":\"two\"");
            n_published += strstr(client_bytes, "\"published\",\"id\":5,") != NULL;
            assert_true(n_messages >= n_published);
            assert_null(strstr(client_bytes, "\"id\":6"));
        }
        snprintf(text, sizeof text, "{\"type\":\"unsubscribed\",\"id\":6,\"topic\":\"%s\"}", name);
        expect(&c, text);
        snprintf(text, sizeof text,
                 "{\"type\":\"subscribed\",\"id\":7,\"topic\":\"%s\",\"cursor\":\"E-2\",\"gap\":false}", name);
        expect(&c, text);
        expect_no_more(&c);
        hang_up(&c);
    }
}

/* Far more than a client may have under way. */
static void protocol__takes_many_publications_at_once(void **state)
{
    (void)state;
    enum { N = 2500 };
    char text[LINE_BYTES];
    serve_loops_of_topics();
    const char *name = name_at("live", 1);
    at_loop(0);
    speaker c = connect_by(BY_WEBSOCKET);
    for (int i = 0; i < N; i++) {
        snprintf(text, sizeof text, "{\"type\":\"publish\",\"id\":%d,\"topic\":\"%s\",\"data\":\"x\"}", i, name);
        say(&c, text);
    }
    for (int i = 0; i < N; i++) {
        snprintf(text, sizeof text, "{\"type\":\"published\",\"id\":%d,\"cursor\":\"E-%d\"}", i, i + 1);
        expect(&c, text);
    }
    close(c.fd);
}

static void presence__lists_all_loops(void **state)
{
    (void)state;
    char text[LINE_BYTES], name[64];
    speaker members[4];
    serve_loops_of_topics();
    snprintf(name, sizeof name, "%s", fresh_name("room"));
    at_loop(home_of(name));
    members[0] = connect_by(BY_WEBSOCKET);
    say(&members[0], "{\"type\":\"hello\",\"name\":\"n0\"}");
    subscribe_to(&members[0], name);
    snprintf(text, sizeof text, "{\"type\":\"presence\",\"id\":1,\"topic\":\"%s\"}", name);
    for (unsigned l = 0; l < n_loops; l++) { /* the first that a loop hears of the topic */
        at_loop(l);
        speaker c = connect_by(BY_WEBSOCKET);
        say(&c, text);
        hear(&c);
        assert_non_null(strstr(client_bytes, "\"count\":1,\"members\":[\"n0\"]"));
        close(c.fd);
    }
    for (unsigned l = 1; l < n_loops; l++) {
        char hello[64];
        at_loop((home_of(name) + l) % n_loops);
        members[l] = connect_by(BY_WEBSOCKET);
        snprintf(hello, sizeof hello, "{\"type\":\"hello\",\"name\":\"n%u\"}", l);
        say(&members[l], hello);
        subscribe_to(&members[l], name);
    }
    for (unsigned l = 0; l < n_loops; l++) {
        char all[64];
        snprintf(all, sizeof all, "\"count\":%u,", n_loops);
        do {
            say(&members[l], text);
            hear(&members[l]);
        } while (!strstr(client_bytes, all));
        for (unsigned i = 0; i < n_loops; i++) {
            snprintf(all, sizeof all, "\"n%u\"", i);
            assert_non_null(strstr(client_bytes, all));
        }
    }
    for (unsigned l = 0; l < n_loops; l++)
        close(members[l].fd);
}

static void presence__tells_a_watcher_of_all_loops(void **state)
{
    (void)state;
    char name[64];
    serve_loops_of_topics();
    snprintf(name, sizeof name, "%s", fresh_name("room"));
    at_loop((home_of(name) + 1) % n_loops);
    speaker watcher_there = connect_by(BY_WEBSOCKET);
    subscribe_with(&watcher_there, name, ",\"presence\":true");
    at_loop(home_of(name));
    speaker c = connect_by(BY_WEBSOCKET);
    say(&c, "{\"type\":\"hello\",\"name\":\"newcomer\"}");
    subscribe_to(&c, name);
    do
        hear(&watcher_there);
    while (!strstr(client_bytes, "\"newcomer\""));
    close(c.fd);
    close(watcher_there.fd);
}

/* ---- limits ---- */

static int setup_limited(void **state)
{
    loops_options = (weft_options){.max_topics = 1};
    return setup_loops(state);
}

static void limits__of_topics_are_told_from_another_loop(void **state)
{
    (void)state;
    char line[LINE_BYTES], text[1024], name[64];
    const char *refusal = "{\"error\":\"there are 1 topics already, and may not be more (option: max_topics)\"}";
    serve_loops_of_topics();
    sayer s = sayer_new(SAY_POST, 0, name_at("kept", 0));
    sayer_says(&s, "fills it");
    snprintf(name, sizeof name, "%s", name_at("kept", 1));
    at_loop(0);
    snprintf(line, sizeof line, "POST /topics/%s", name);
    expect_answer(ask(line, "", "m"), 503, refusal);
    snprintf(line, sizeof line, "GET /topics/%s", name);
    expect_answer(ask(line, "", NULL), 503, refusal);
    snprintf(line, sizeof line, "GET /topics/%s?since=start&wait=25", name);
    expect_answer(ask(line, "", NULL), 503, refusal);
    snprintf(line, sizeof line, "GET /topics/%s?session=new", name);
    expect_answer(ask(line, "", NULL), 503, refusal);
    snprintf(text, sizeof text, "[{\"topic\":\"%s\",\"data\":1},{\"topic\":\"%s\",\"data\":2}]", s.name, name);
    expect_answer(
        ask("POST /topics", JSON_IS, text), 503,
        "{\"error\":\"there is no room for another topic (option: max_topics): 1 of 2 messages are known to be "
        "published\",\"published\":[{\"id\":\"E-2\",\"subscribers\":0},null]}");
    speaker c = connect_by(BY_WEBSOCKET);
    snprintf(text, sizeof text, "{\"type\":\"subscribe\",\"id\":1,\"topic\":\"%s\"}", name);
    check_error(&c, text, "1", "too-many");
    snprintf(text, sizeof text, "{\"type\":\"publish\",\"id\":2,\"topic\":\"%s\",\"data\":\"\"}", name);
    check_error(&c, text, "2", "too-many");
    snprintf(text, sizeof text, "{\"type\":\"publish\",\"topic\":\"%s\",\"data\":\"\"}", name);
    check_error(&c, text, "", "too-many");
    snprintf(text, sizeof text, "{\"type\":\"presence\",\"id\":3,\"topic\":\"%s\"}", name);
    check_error(&c, text, "3", "too-many");
    expect_no_more(&c);
    close(c.fd);
    snprintf(line, sizeof line, "/topics/%s", name);
    client_expect_close(client_open(url, line), 1013);
}

/* ---- the end ---- */

/* Whoever waits is answered, whatever he waits for. */
static void stopping__answers_polls_on_every_loop(void **state)
{
    (void)state;
    char line[LINE_BYTES];
    int fds[4];
    serve_loops_of_topics();
    const char *name = fresh_name("kept");
    snprintf(line, sizeof line, "GET /topics/%s?since=start&wait=25", name);
    for (unsigned l = 0; l < n_loops; l++) {
        at_loop(l);
        fds[l] = ask(line, "", NULL);
    }
    weft_stop(app);
    for (unsigned l = 0; l < n_loops; l++) {
        int status = answered(fds[l]);
        assert_true(status == 200 || status == 503);
    }
    assert_int_equal(loops_join(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOOPS_TEST(topics__reach_every_reader_from_every_loop),
        LOOPS_TEST(topics__have_one_order_on_every_transport),
        LOOPS_TEST(topics__are_resumed_on_any_loop),
        LOOPS_TEST(topics__tell_a_gap_on_any_loop),
        LOOPS_TEST(polls__give_the_cursor_without_a_place),
        LOOPS_TEST(polls__know_what_a_client_has),
        LOOPS_TEST(polls__end_with_nothing),
        LOOPS_TEST(polls__are_answered_by_head),
        LOOPS_TEST(polls__are_answered_behind_the_end_of_a_request),
        LOOPS_TEST(posts__are_answered_behind_the_end_of_a_request),
        LOOPS_TEST(posts__count_subscribers_of_all_loops),
        LOOPS_TEST(list__has_the_topics_of_all_loops),
        LOOPS_TEST(batches__reach_topics_of_all_loops),
        LOOPS_TEST(protocol__keeps_the_order_of_questions),
        LOOPS_TEST(protocol__takes_many_publications_at_once),
        LOOPS_TEST(presence__lists_all_loops),
        LOOPS_TEST(presence__tells_a_watcher_of_all_loops),
        {"limits__of_topics_are_told_from_another_loop", limits__of_topics_are_told_from_another_loop, setup_limited,
         teardown_loops, (void *)(uintptr_t)&two_loops},
        LOOPS_TEST(stopping__answers_polls_on_every_loop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
