/* Who may read and write topics over HTTP, what a program may say of it, and what goes wrong before it runs. */
#include "app/topics_http.h"

#define WITH_KEY  "Authorization: Bearer sesame\r\n"
#define WRONG_KEY "Authorization: Bearer open\r\n"
#define NOT_KEY   "{\"error\":\"this is not the publish key\"}"

static const char *const news[] = {"news/*", NULL};

/* A request for an upgrade. */
static int ask_upgrade(const char *path, const char *fields)
{
    int fd = client_connect(url);
    client_ask(fd, path, fields);
    return fd;
}

static int upgrade_status(const char *path, const char *fields)
{
    int fd = ask_upgrade(path, fields), status = client_read_head(fd);
    close(fd);
    return status;
}

/* ------------------------------------------------------------------------------------------------- patterns and key */

static void access__refuses_to_read_what_is_not_listed(void **state)
{
    (void)state;
    const char *refusal = "{\"error\":\"the topic \\\"old\\\" may not be read here\"}";
    serve_topics("/topics/*", &(weft_topics_options){.subscribe = news});
    expect_answer(ask("GET /topics/old", "", NULL), 403, refusal);
    assert_int_equal(n_lines("Content-Type: application/json"), 1);
    expect_answer(ask("GET /topics/old?session=new", "", NULL), 403, refusal);
    expect_answer(ask("GET /topics/old", ACCEPT_EVENTS, NULL), 403, refusal);
    expect_answer(ask("GET /topics/old", ACCEPT_LINES, NULL), 403, refusal);
    expect_answer(ask_upgrade("/topics/old", ""), 403, refusal);
    assert_int_equal(app->workers->hub.topics.n_entries, 0);
    assert_int_equal(status_of("GET /topics/news/today", "", NULL), 200);
    close(sse_open("/topics/news/today", ACCEPT_EVENTS));
    client_leave(client_open(url, "/topics/news/today"));
}

static void access__refuses_to_write_what_is_not_listed(void **state)
{
    (void)state;
    serve_topics("/topics/*", &(weft_topics_options){.publish = news});
    expect_answer(ask("POST /topics/old", "", "x"), 403,
                  "{\"error\":\"the topic \\\"old\\\" may not be published to here\"}");
    assert_int_equal(status_of("POST /topics/%FF", "", "x"), 400); /* a name that is none cannot be told */
    assert_int_equal(status_of("POST /topics/news/today", "", "x"), 201);
    assert_int_equal(app->workers->hub.topics.n_entries, 1);
    int fd = client_open(url, "/topics/old"), other = client_open(url, "/topics/old");
    client_send_text(fd, "x");
    client_expect_close(fd, 1008);
    assert_string_equal(client_bytes + 2, "this client may not publish to the topic");
    client_send_close(fd, 1008, "");
    client_expect_end(fd);
    client_leave(other); /* it got nothing */
}

static void access__refuses_a_wrong_key_everywhere(void **state)
{
    (void)state;
    static const char *const lines[] = {"GET /topics/t", "GET /topics/t?session=new", "GET /topics", "HEAD /topics/t"};
    serve_topics("/topics/*", &(weft_topics_options){.publish = everything, .publish_key = "sesame"});
    for (size_t i = 0; i < N_OF(lines); i++) {
        int fd = ask(lines[i], WRONG_KEY, NULL);
        assert_int_equal(client_read_head(fd), 401);
        assert_true(client_head_has("WWW-Authenticate: Bearer"));
        close(fd);
    }
    expect_answer(ask("GET /topics/t", WRONG_KEY ACCEPT_EVENTS, NULL), 401, NOT_KEY);
    expect_answer(ask("POST /topics/t", WRONG_KEY, "x"), 401, NOT_KEY);
    assert_int_equal(n_lines("WWW-Authenticate: Bearer"), 1);
    expect_answer(ask("POST /topics", WRONG_KEY "Content-Type: application/json\r\n", "[]"), 401, NOT_KEY);
    expect_answer(ask_upgrade("/topics/t", WRONG_KEY), 401, NOT_KEY);
    assert_int_equal(app->workers->hub.topics.n_entries, 0);
}

static int never(const weft_access *access, void *user)
{
    (void)access;
    (void)user;
    return 0;
}

static void access__opens_everything_with_the_key(void **state)
{
    (void)state;
    static const char *const nothing[] = {NULL};
    serve_topics("/topics/*", &(weft_topics_options){.subscribe = nothing, .publish_key = "sesame", .allow = never});
    assert_int_equal(status_of("GET /topics/t", "", NULL), 403);
    assert_int_equal(status_of("POST /topics/t", "", "x"), 403);
    assert_int_equal(status_of("GET /topics/t", WITH_KEY, NULL), 200);
    assert_int_equal(status_of("POST /topics/t", WITH_KEY, "x"), 201);
    close(sse_open("/topics/t", WITH_KEY ACCEPT_EVENTS));
    int fd = ask_upgrade("/topics/t", WITH_KEY);
    client_expect_accepted(fd);
    client_send_text(fd, "as it has the key");
    client_expect_text(fd, "as it has the key");
    client_leave(fd);
}

/* ----------------------------------------------------------------------------------------------- the program's word */

static int answer;

static int allow(const weft_access *access, void *user)
{
    assert_ptr_equal(user, &answer);
    assert_true(!access->peer.id != !access->request);
    happened("%s:%.*s:%s ", access->publish ? "write" : "read", (int)access->topic.len, access->topic.at,
             access->peer.id ? "peer" : "request");
    if (access->request) {
        weft_str by = weft_request_query_value(access->request, "by");
        happened("by:%.*s ", (int)by.len, by.len ? by.at : "");
    } else {
        assert_int_equal(access->peer.id, latest.id);
    }
    return answer;
}

static void serve_asking(void)
{
    serve_topics("/topics/*",
                 &(weft_topics_options){.user = &answer, .publish = everything, .allow = allow, .open = on_open});
}

static void access__asks_the_program(void **state)
{
    (void)state;
    serve_asking();
    answer = 0;
    assert_int_equal(status_of("GET /topics/a/b?by=me", "", NULL), 403);
    assert_string_equal(look(), "read:a/b:request by:me ");
    assert_int_equal(status_of("GET /topics/t", ACCEPT_EVENTS, NULL), 403);
    assert_string_equal(look(), "read:t:request by: ");
    assert_int_equal(status_of("POST /topics/t?by=you", "", "x"), 403);
    assert_string_equal(look(), "write:t:request by:you ");
    assert_int_equal(upgrade_status("/topics/t", ""), 403);
    assert_string_equal(look(), "read:t:request by: ");
    answer = 1;
    assert_int_equal(status_of("GET /topics/t", "", NULL), 200);
    assert_int_equal(status_of("POST /topics/t", "", "x"), 201);
    assert_string_equal(look(), "read:t:request by: write:t:request by: ");
}

static void access__asks_the_program_about_each_message(void **state)
{
    (void)state;
    answer = 1;
    serve_asking();
    int fd = client_open(url, "/topics/t");
    client_send_text(fd, "one");
    client_expect_text(fd, "one");
    assert_string_equal(look(), "read:t:request by: open write:t:peer ");
    answer = 0;
    client_send_text(fd, "two");
    client_expect_close(fd, 1008);
    assert_string_equal(look(), "write:t:peer ");
    close(fd);
}

static void (*in_allow)(weft_peer who);

static int allow_meanwhile(const weft_access *access, void *user)
{
    (void)user;
    if (access->peer.id) {
        in_allow(access->peer);
        happened("%c ", access->topic.at[0]); /* is still there */
    }
    return 1;
}

static void abort_it(weft_peer who)
{
    weft_abort(who);
}

static void close_it(weft_peer who)
{
    weft_close(who, 4000, "enough");
}

static void publish_more(weft_peer who)
{
    weft_publish_text(weft_of(who), "t", "before it");
}

/* Whatever the program does to the peer that asks. */
static void access__lets_the_program_do_what_it_likes(void **state)
{
    (void)state;
    serve_topics("/topics/*", &(weft_topics_options){.publish = everything, .allow = allow_meanwhile});
    int fd = client_open(url, "/topics/t");
    in_allow = publish_more;
    client_send_text(fd, "x");
    client_expect_text(fd, "before it");
    client_expect_text(fd, "x");
    in_allow = close_it;
    client_send_text(fd, "y");
    client_expect_close(fd, 4000);
    close(fd);
    in_allow = abort_it;
    fd = client_open(url, "/topics/t");
    client_send_text(fd, "z");
    client_expect_end(fd);
    assert_string_equal(look(), "t t t ");
    assert_int_equal(hub_find_topic(&app->workers->hub, STR("t"))->head, 2);
}

/* ---------------------------------------------------------------------------------------------------------- origins */

#define FROM(origin) "Origin: " origin "\r\n"

static void access__keeps_pages_of_other_origins_out(void **state)
{
    (void)state;
    static const char *const friends[] = {"https://friend.example", NULL};
    serve_topics("/topics/*", &(weft_topics_options){.publish = everything, .origins = friends});
    static const char *const lines[] = {"GET /topics/t", "GET /topics/t?session=new", "GET /topics"};
    for (size_t i = 0; i < N_OF(lines); i++)
        assert_int_equal(status_of(lines[i], FROM("https://evil.example"), NULL), 403);
    assert_int_equal(status_of("GET /topics/t", FROM("https://evil.example") ACCEPT_EVENTS, NULL), 403);
    assert_int_equal(status_of("POST /topics/t", FROM("https://evil.example"), "x"), 403);
    assert_int_equal(status_of("POST /topics", FROM("https://evil.example"), "[]"), 403);
    assert_int_equal(upgrade_status("/topics/t", FROM("https://evil.example")), 403);
    assert_int_equal(app->workers->hub.n_peers, 0);

    assert_int_equal(status_of("GET /topics/t", FROM("https://friend.example"), NULL), 200);
    assert_int_equal(n_lines("Access-Control-Allow-Origin: https://friend.example"), 1);
    assert_int_equal(status_of("POST /topics/t", FROM("https://friend.example"), "x"), 201);
    assert_int_equal(n_lines("Access-Control-Allow-Origin: https://friend.example"), 1);
    assert_int_equal(status_of("POST /topics/t", FROM("https://friend.example") "Content-Type: text/plain\r\n", "\377"),
                     400);
    assert_int_equal(n_lines("Access-Control-Allow-Origin: https://friend.example"), 1); /* it may read why */
    assert_int_equal(upgrade_status("/topics/t", FROM("https://friend.example")), 101);
    int fd = ask("GET /topics/t", FROM("https://friend.example") ACCEPT_EVENTS, NULL);
    assert_int_equal(client_read_head(fd), 200);
    assert_true(client_head_has("Access-Control-Allow-Origin: https://friend.example"));
    close(fd);
    assert_int_equal(status_of("GET /topics/t", FROM("http://localhost"), NULL), 200); /* its own */
}

static void access__tells_browsers_what_pages_may_ask(void **state)
{
    (void)state;
    static const char *const anybody[] = {"*", NULL};
    serve_topics("/topics/*", &(weft_topics_options){.publish = everything, .origins = anybody});
    assert_int_equal(status_of("OPTIONS /topics/t",
                               FROM("https://any.example") "Access-Control-Request-Method: POST\r\n"
                                                           "Access-Control-Request-Headers: "
                                                           "authorization,weft-event,content-type\r\n",
                               NULL),
                     204);
    assert_int_equal(n_lines("Access-Control-Allow-Origin: *"), 1);
    assert_int_equal(n_lines("Access-Control-Allow-Headers: authorization,weft-event,content-type"), 1);
    assert_int_equal(n_lines("Access-Control-Allow-Methods: GET, HEAD, POST, OPTIONS"), 1);
    assert_int_equal(status_of("GET /topics/t", FROM("https://any.example"), NULL), 200);
    assert_int_equal(n_lines("Access-Control-Allow-Origin: *"), 1);
}

/* ------------------------------------------------------------------------------------------------------ configuring */

static void check_refused(const char *path, const weft_topics_options *options, const char *sentence)
{
    weft *one = weft_new(NULL);
    assert_non_null(one);
    assert_int_equal(weft_topics(one, path, options), WEFT_E_INVALID);
    assert_string_equal(weft_error(one), sentence);
    weft_free(one);
}

static void options__say_what_is_wrong_with_them(void **state)
{
    (void)state;
    static const char *const empty[] = {"a", "", NULL}, *const control[] = {"a\n", NULL};
    check_refused("/topics", NULL,
                  "the path \"/topics\" names no topic (:topic, or * at its end), and the options have none");
    check_refused("/t/:name", &(weft_topics_options){.publish = everything},
                  "the path \"/t/:name\" names no topic (:topic, or * at its end), and the options have none");
    check_refused("/t", &(weft_topics_options){.topic = ""},
                  "the path \"/t\" has a topic that is not 1 to 255 bytes of UTF-8 without control characters");
    check_refused("/t/*", &(weft_topics_options){.subscribe = empty},
                  "the path \"/t/*\" has a subscribe pattern that is not 1 to 255 bytes of UTF-8 without control "
                  "characters");
    check_refused(
        "/t/*", &(weft_topics_options){.publish = control},
        "the path \"/t/*\" has a publish pattern that is not 1 to 255 bytes of UTF-8 without control characters");
    check_refused("/t/*", &(weft_topics_options){.publish_key = ""},
                  "the path \"/t/*\" has a publish_key that is empty, begins or ends with a space, or holds control "
                  "characters");
    check_refused("/t/*", &(weft_topics_options){.publish_key = "key "},
                  "the path \"/t/*\" has a publish_key that is empty, begins or ends with a space, or holds control "
                  "characters");
    check_refused("/t/*", &(weft_topics_options){.publish_key = "k\ney"},
                  "the path \"/t/*\" has a publish_key that is empty, begins or ends with a space, or holds control "
                  "characters");
    check_refused("t/*", NULL, "the path \"t/*\" does not begin with a slash");
    check_refused(NULL, NULL, "the path \"\" is missing");
    check_refused(":99999/t/*", NULL, "the path \":99999/t/*\" has a port that is not a number from 1 to 65535");
}

static void options__come_before_the_application_runs(void **state)
{
    (void)state;
    begin();
    assert_int_equal(weft_topics(app, "/topics/*", NULL), WEFT_E_INVALID);
    assert_int_equal(weft_protocol(app, "/weft", NULL), WEFT_E_INVALID);
    assert_int_equal(weft_topics(NULL, "/topics/*", NULL), -ENOMEM);
}

/* They are copied: what they pointed at may go. */
static void options__are_copied(void **state)
{
    (void)state;
    char pattern[] = "news/*", key[] = "sesame", name[] = "t";
    const char *patterns[] = {pattern, NULL};
    weft_topics_options o = {.subscribe = patterns, .publish = patterns, .publish_key = key, .topic = name};
    assert_int_equal(weft_topics(app, "/one", &o), 0);
    o.topic = NULL;
    serve_topics("/topics/*", &o);
    memset(pattern, 'x', sizeof pattern - 1);
    memset(key, 'x', sizeof key - 1);
    memset(name, 'x', sizeof name - 1);
    patterns[0] = NULL;
    assert_int_equal(status_of("POST /topics/news/1", "", "x"), 201);
    assert_int_equal(status_of("POST /one", WITH_KEY, "x"), 201);
    assert_non_null(hub_find_topic(&app->workers->hub, STR("t")));
}

/* A program that was built against an older header knows fewer options. */
static void options__may_be_shorter(void **state)
{
    (void)state;
    weft_topics_options o = {.publish = everything, .publish_key = "unknown to it"};
    assert_int_equal(weft_topics_sized(app, "/topics/*", &o, offsetof(weft_topics_options, publish_key)), 0);
    begin();
    assert_int_equal(status_of("POST /topics/t", "Authorization: Bearer another\r\n", "x"), 201);
}

/* ----------------------------------------------------------------------------------------------------------- memory */

/* An application that cannot be configured says so and leaks nothing. */
static int configure(void)
{
    static const char *const list[] = {"a", "b*", NULL};
    const weft_topics_options o = {
        .subscribe = list, .publish = list, .origins = list, .publish_key = "k", .topic = NULL};
    weft *one = weft_new(NULL);
    if (!one)
        return -ENOMEM;
    int error = weft_topics(one, ":8080/topics/:topic", &o);
    if (!error)
        error = weft_protocol(one, "/weft", &o);
    if (error)
        assert_non_null(weft_error(one));
    weft_free(one);
    return error;
}

static void memory__fails_an_application_in_words(void **state)
{
    (void)state;
    check_failing_allocations(configure);
}

/* What a client may be answered when there is no memory: nothing, 503, 500 by a transport, or 404 by a session that
 * is over already. */
static bool served(int fd, int status)
{
    int got = client_read_head(fd);
    if (got != status && got != 0 && got != 503 && got != 500 && got != 404)
        fail_msg("answered with %d", got);
    close(fd);
    return got == status;
}

static bool go_through_everything(void)
{
    char large[20000];
    memset(large, 'x', sizeof large);
    const char *batch = "[{\"topic\":\"a\",\"data\":1},{\"topic\":\"b\",\"data\":\"two\",\"event\":\"e\"}]";
    bool good = served(ask("POST /topics/t", "Weft-Event: e\r\n", "x"), 201);
    good &= served(ask_bytes("POST /topics/t", "", large, sizeof large), 201);
    good &= served(ask("POST /topics/json", "Content-Type: application/json\r\n", "[ 1 ]"), 201);
    good &= served(ask("POST /topics", "Content-Type: application/json\r\n", batch), 201);
    good &=
        served(ask("POST /topics", "Content-Type: application/x-ndjson\r\n", "{\"topic\":\"c\",\"data\":1}\n"), 201);
    good &= served(ask("GET /topics", WITH_KEY, NULL), 200);
    good &= served(ask("GET /topics/t?since=start", "", NULL), 200);
    good &= served(ask("GET /topics/t?session=new&wait=0.01&since=start", "", NULL), 200);
    good &= served(ask("GET /topics/t?since=start", ACCEPT_EVENTS, NULL), 200);
    good &= served(ask("GET /topics/t?since=start", ACCEPT_LINES, NULL), 200);
    good &= served(ask_upgrade("/topics/t?since=start", ""), 101);
    return good;
}

static void check_served(void)
{
    assert_int_equal(status_of("POST /topics/after", "", "x"), 201);
    assert_int_equal(status_of("GET /topics/after?since=start", "", NULL), 200);
    assert_non_null(strstr(client_bytes, "\"data\":\"x\""));
}

/* With a fresh application, so that nothing is kept from the turns before; true when the n-th allocation was not
 * needed. */
static bool fail_from(uint64_t n, void **state)
{
    assert_int_equal(setup_app(state), 0);
    serve_topics("/topics/*", &(weft_topics_options){.publish = everything, .publish_key = "sesame"});
    uint64_t before = mem_count(), began_ms = client_now_ms();
    mem_fail_from(n);
    bool good = go_through_everything();
    bool enough = mem_count() - before < n;
    mem_fail_from(0);
    CLIENT_UNTIL(app->workers->net.n_streams == 0 && app->workers->hub.n_peers == 0);
    assert_true(client_now_ms() - began_ms < 4000); /* who cannot be served is not kept waiting */
    assert_true(good || !enough);
    check_served();
    assert_int_equal(teardown_app(state), 0);
    return enough;
}

static void memory__fails_nobody_but_the_client_that_needs_it(void **state)
{
    uint64_t n = 1;
    while (!fail_from(n, state))
        n++;
    print_message("# %lu allocations failed in turn\n", n - 1);
    assert_in_range(n, 20, 2000);
}

/* The n-th allocation behind the first request fails, and all after it: a batch is published as far as the answer
 * says. */
static void memory__publishes_of_a_batch_what_it_says(void **state)
{
    const char *line = "POST /topics", *type = "Content-Type: application/json\r\n",
               *batch = "[{\"topic\":\"a\",\"data\":1},{\"topic\":\"b\",\"data\":2},{\"topic\":\"c\",\"data\":3}]";
    for (uint64_t n = 1;; n++) {
        assert_int_equal(setup_app(state), 0);
        serve_topics("/topics/*", &(weft_topics_options){.publish = everything});
        int fd = ask(line, type, batch);
        mem_fail_from(n);
        int status = answered(fd);
        mem_fail_from(0);
        unsigned said = status == 201 ? 3 : 0, there = 0;
        const char *first = strstr(client_bytes, "the first ");
        if (status == 503 && first)
            said = (unsigned)strtoul(first + 10, NULL, 10);
        for (const topic *t = hub_next_topic(&app->workers->hub, NULL); t; t = hub_next_topic(&app->workers->hub, t))
            there += (unsigned)t->head;
        if (status) /* else the connection was lost, and nobody knows */
            assert_int_equal(there, said);
        assert_int_equal(teardown_app(state), 0);
        if (status == 201)
            break;
        assert_true(n < 1000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        APP_TEST(access__refuses_to_read_what_is_not_listed),
        APP_TEST(access__refuses_to_write_what_is_not_listed),
        APP_TEST(access__refuses_a_wrong_key_everywhere),
        APP_TEST(access__opens_everything_with_the_key),
        APP_TEST(access__asks_the_program),
        APP_TEST(access__asks_the_program_about_each_message),
        APP_TEST(access__lets_the_program_do_what_it_likes),
        APP_TEST(access__keeps_pages_of_other_origins_out),
        LOOPS_APP_TEST(access__tells_browsers_what_pages_may_ask),
        cmocka_unit_test(options__say_what_is_wrong_with_them),
        APP_TEST(options__come_before_the_application_runs),
        APP_TEST(options__are_copied),
        LOOPS_APP_TEST(options__may_be_shorter),
        cmocka_unit_test(memory__fails_an_application_in_words),
        cmocka_unit_test(memory__fails_nobody_but_the_client_that_needs_it),
        cmocka_unit_test(memory__publishes_of_a_batch_what_it_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
