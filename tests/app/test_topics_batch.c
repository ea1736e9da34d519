/* The path above topics (docs/topics.md): several messages at once, and the list. */
#include "app/topics_http.h"
#include "proto/json.h"

#define JSON_TYPE  "Content-Type: application/json\r\n"
#define LINES_TYPE "Content-Type: application/x-ndjson\r\n"
#define WITH_KEY   "Authorization: Bearer sesame\r\n"

static uint64_t n_published(const char *name)
{
    const topic *t = hub_find_topic(&app->workers->hub, str_from(name));
    return t ? t->head : 0;
}

/* ---------------------------------------------------------------------------------------------------------- batches */

static void expect_kept(const char *name, const char *messages)
{
    char line[128];
    snprintf(line, sizeof line, "GET /topics/%s?since=start", name);
    assert_int_equal(status_of(line, "", NULL), 200);
    assert_non_null(strstr(plain(client_bytes), messages));
}

static void batch__publishes_an_array(void **state)
{
    (void)state;
    serve_open_topics();
    expect_answer(ask("POST /topics", JSON_TYPE,
                      "[{\"topic\":\"a\",\"data\":\"one\"},"
                      "{\"topic\":\"b\",\"kind\":\"json\",\"data\":{ \"n\" : 2 },\"event\":\"e\"},"
                      "{\"topic\":\"c\",\"kind\":\"binary\",\"data\":\"AAE=\"}]"),
                  201,
                  "{\"published\":[{\"id\":\"E-1\",\"subscribers\":0},{\"id\":\"E-1\",\"subscribers\":0},"
                  "{\"id\":\"E-1\",\"subscribers\":0}]}");
    expect_kept("a", "[{\"id\":\"E-1\",\"type\":\"text\",\"data\":\"one\"}]");
    expect_kept("b", "[{\"id\":\"E-1\",\"event\":\"e\",\"type\":\"json\",\"data\":{\"n\":2}}]");
    expect_kept("c", "[{\"id\":\"E-1\",\"type\":\"binary\",\"data\":\"AAE=\"}]");
}

static void batch__publishes_a_line_each(void **state)
{
    (void)state;
    serve_open_topics();
    expect_answer(ask("POST /topics", LINES_TYPE,
                      "{\"topic\":\"a\",\"data\":\"one\"}\r\n"
                      "\n  \n"
                      " {\"topic\":\"a\",\"data\":[2]} \n"
                      "{\"topic\":\"a\",\"data\":null}"),
                  201,
                  "{\"published\":[{\"id\":\"E-1\",\"subscribers\":0},{\"id\":\"E-2\",\"subscribers\":0},"
                  "{\"id\":\"E-3\",\"subscribers\":0}]}");
    expect_kept("a",
                "[{\"id\":\"E-1\",\"type\":\"text\",\"data\":\"one\"},"
                "{\"id\":\"E-2\",\"type\":\"json\",\"data\":[2]},{\"id\":\"E-3\",\"type\":\"json\",\"data\":null}]");
}

static void batch__keeps_the_order(void **state)
{
    (void)state;
    serve_open_topics();
    int a = client_open(url, "/topics/a"), b = sse_open("/topics/b", ACCEPT_EVENTS);
    let_loops_hear(); /* how many there are */
    expect_answer(ask("POST /topics", JSON_TYPE,
                      "[{\"topic\":\"a\",\"data\":\"1\"},{\"topic\":\"b\",\"data\":\"2\"},"
                      "{\"topic\":\"a\",\"data\":\"3\"}]"),
                  201,
                  "{\"published\":[{\"id\":\"E-1\",\"subscribers\":1},{\"id\":\"E-1\",\"subscribers\":1},"
                  "{\"id\":\"E-2\",\"subscribers\":1}]}");
    client_expect_text(a, "1");
    client_expect_text(a, "3");
    sse_expect_message(b, "data: 2\n\n");
    client_leave(a);
    close(b);
}

static void batch__may_be_empty(void **state)
{
    (void)state;
    serve_open_topics();
    expect_answer(ask("POST /topics", JSON_TYPE, "[]"), 201, "{\"published\":[]}");
    expect_answer(ask("POST /topics", LINES_TYPE, ""), 201, "{\"published\":[]}");
    expect_answer(ask("POST /topics", LINES_TYPE, "\n\r\n"), 201, "{\"published\":[]}");
    expect_answer(ask("POST /topics", LINES_TYPE, NULL), 201, "{\"published\":[]}");
}

static void batch__decodes_what_is_escaped(void **state)
{
    (void)state;
    serve_open_topics();
    assert_int_equal(status_of("POST /topics", JSON_TYPE,
                               "[{\"topic\":\"gr\\u00fcn\\/x\",\"event\":\"\\\"\",\"data\":\"a\\nb\\u0000\"}]"),
                     201);
    expect_kept("gr%C3%BCn/x", "[{\"id\":\"E-1\",\"event\":\"\\\"\",\"type\":\"text\",\"data\":\"a\\nb\\u0000\"}]");
}

/* A second message that is wrong in some way, and what is said of it. */
static const struct {
    int status;
    const char *message, *error, *topic;
} wrong[] = {
    {400, "5", "it is not a JSON object", NULL},
    {400, "[]", "it is not a JSON object", NULL},
    {400, "{}", "topic is missing", NULL},
    {400, "{\"topic\":1,\"data\":1}", "topic has to be a string", NULL},
    {400, "{\"topic\":\"b\"}", "data is missing", "b"},
    {400, "{\"topic\":\"b\",\"kind\":\"xml\",\"data\":1}", "kind has to be text, json or binary", "b"},
    {400, "{\"topic\":\"b\",\"kind\":\"text\",\"data\":1}", "data has to be a string", "b"},
    {400, "{\"topic\":\"b\",\"kind\":\"binary\",\"data\":\"A\"}", "data has to be base64", "b"},
    {400, "{\"topic\":\"b\",\"data\":\"\\ud800\"}", "data holds half of a surrogate pair", "b"},
    {400, "{\"topic\":\"\",\"data\":1}", "topic has to be 1 to 255 bytes of UTF-8 without control characters", NULL},
    {400, "{\"topic\":\"a\\nb\",\"data\":1}", "topic has to be 1 to 255 bytes of UTF-8 without control characters",
     NULL},
    {400, "{\"topic\":\"b\",\"event\":\"x\\ny\",\"data\":1}", "event has to be at most 255 bytes without CR, LF or NUL",
     "b"},
    {403, "{\"topic\":\"secret \\\" \\\\\",\"data\":1}",
     "the topic \\\"secret \\\" \\\\\\\" may not be published to here", "secret \\\" \\\\"},
};

static void batch__publishes_nothing_when_one_is_wrong(void **state)
{
    (void)state;
    static const char *const some[] = {"a", "b", "c", NULL};
    serve_topics("/topics/*", &(weft_topics_options){.publish = some});
    for (size_t i = 0; i < N_OF(wrong); i++) {
        char body[512], expected[512], named[128] = "";
        const char *message = wrong[i].message;
        if (wrong[i].topic)
            snprintf(named, sizeof named, ",\"topic\":\"%s\"", wrong[i].topic);
        snprintf(expected, sizeof expected, "{\"error\":\"message 1: %s\",\"index\":1%s}", wrong[i].error, named);
        snprintf(body, sizeof body, "[{\"topic\":\"a\",\"data\":1},%s,{\"topic\":\"c\",\"data\":1}]", message);
        expect_answer(ask("POST /topics", JSON_TYPE, body), wrong[i].status, expected);
        snprintf(body, sizeof body, "{\"topic\":\"a\",\"data\":1}\n\n%s\n{\"topic\":\"c\",\"data\":1}", message);
        expect_answer(ask("POST /topics", LINES_TYPE, body), wrong[i].status, expected);
    }
    assert_int_equal(app->workers->hub.topics.n_entries, 0);
}

static void batch__is_refused_when_it_is_none(void **state)
{
    (void)state;
    const char *no_array = "{\"error\":\"a batch in application/json is one valid JSON array\"}";
    const char *no_type =
        "{\"error\":\"a batch is application/json, an array, or application/x-ndjson, a message a line\"}";
    serve_open_topics();
    expect_answer(ask("POST /topics", JSON_TYPE, "{\"topic\":\"a\",\"data\":1}"), 400, no_array);
    expect_answer(ask("POST /topics", JSON_TYPE, "[{\"topic\":\"a\",\"data\":1}"), 400, no_array);
    expect_answer(ask("POST /topics", JSON_TYPE, ""), 400, no_array);
    expect_answer(ask("POST /topics", JSON_TYPE, NULL), 400, no_array);
    expect_answer(ask("POST /topics", JSON_TYPE, "[] []"), 400, no_array);
    expect_answer(ask("POST /topics", LINES_TYPE, "{\"topic\":\"a\",\"data\":1}\n{\"topic\""), 400,
                  "{\"error\":\"message 1: the line is not one valid JSON value\",\"index\":1}");
    expect_answer(ask("POST /topics", "", "[]"), 400, no_type);
    expect_answer(ask("POST /topics", "Content-Type: text/plain\r\n", "[]"), 400, no_type);
    assert_int_equal(n_published("a"), 0);
}

/* n messages to the topic "a", as an array. */
static char *many(size_t n)
{
    static const char one[] = "{\"topic\":\"a\",\"data\":1},";
    char *text = malloc(n * sizeof one + 2), *to = text;
    assert_non_null(text);
    *to++ = '[';
    for (size_t i = 0; i < n; i++, to += sizeof one - 1)
        memcpy(to, one, sizeof one - 1);
    to[-1] = ']';
    *to = '\0';
    return text;
}

static void batch__has_ten_thousand_messages_at_most(void **state)
{
    (void)state;
    serve_open_topics();
    char *most = many(10000), *more = many(10001);
    expect_answer(ask("POST /topics", JSON_TYPE, more), 400, "{\"error\":\"a batch has at most 10000 messages\"}");
    assert_int_equal(n_published("a"), 0);
    assert_int_equal(status_of("POST /topics", JSON_TYPE, most), 201);
    assert_int_equal(n_published("a"), 10000);
    assert_non_null(strstr(plain(client_bytes), "{\"id\":\"E-9999\",\"subscribers\":0},"
                                                "{\"id\":\"E-10000\",\"subscribers\":0}]}"));
    free(most);
    free(more);
}

static int setup_limited(void **state)
{
    (void)state;
    events[0] = '\0';
    app = weft_new(&(weft_options){.max_topics = 2});
    return app ? 0 : -1;
}

#define TOO_MANY "{\"error\":\"there are 2 topics already, and may not be more (option: max_topics)\"}"

/* Whether the topics of a batch find room is known before the first of it is published. */
static void batch__publishes_nothing_over_the_limit_of_topics(void **state)
{
    (void)state;
    serve_open_topics();
    const char *three = "[{\"topic\":\"a\",\"data\":1},{\"topic\":\"b\",\"data\":1},{\"topic\":\"c\",\"data\":1}]";
    expect_answer(ask("POST /topics", JSON_TYPE, three), 503, TOO_MANY);
    assert_int_equal(n_published("a") + n_published("b") + n_published("c"), 0);
    assert_null(app->workers->hub.limit);
    assert_int_equal(
        status_of("POST /topics", JSON_TYPE, "[{\"topic\":\"a\",\"data\":1},{\"topic\":\"b\",\"data\":1}]"), 201);
    expect_answer(ask("POST /topics", JSON_TYPE, "[{\"topic\":\"a\",\"data\":1},{\"topic\":\"c\",\"data\":1}]"), 503,
                  TOO_MANY);
    assert_int_equal(n_published("a"), 1);
}

static void topics__are_refused_over_their_limit(void **state)
{
    (void)state;
    serve_open_topics();
    assert_int_equal(status_of("POST /topics/a", "", "x"), 201);
    assert_int_equal(status_of("POST /topics/b", "", "x"), 201);
    expect_answer(ask("POST /topics/c", "", "x"), 503, TOO_MANY);
    expect_answer(ask("GET /topics/c", "", NULL), 503, TOO_MANY);
    expect_answer(ask("GET /topics/c?session=new", "", NULL), 503, TOO_MANY);
    expect_answer(ask("GET /topics/c", ACCEPT_EVENTS, NULL), 503, TOO_MANY);
    expect_answer(ask("GET /topics/c", ACCEPT_LINES, NULL), 503, TOO_MANY);
    int fd = client_connect(url);
    client_ask(fd, "/topics/c", "");
    expect_answer(fd, 503, TOO_MANY);
    assert_int_equal(status_of("POST /topics/a", "", "x"), 201);
    assert_null(app->workers->hub.limit); /* it would be told of whoever leaves next */
}

/* The program is shown the body as it came, though batches are decoded where they stand. */
static int see_body(const weft_access *access, void *user)
{
    (void)user;
    weft_str body = weft_request_body(access->request);
    happened("%.*s:%.*s ", (int)access->topic.len, access->topic.at, (int)body.len, body.at);
    return access->topic.at[0] != 'n';
}

static void batch__asks_the_program_about_each_topic(void **state)
{
    (void)state;
    serve_topics("/topics/*", &(weft_topics_options){.publish = everything, .allow = see_body});
    const char *body = "[{\"topic\":\"\\u0061\",\"data\":\"\\n\"},{\"topic\":\"b\",\"data\":1}]";
    char expected[256];
    snprintf(expected, sizeof expected, "a:%s b:%s ", body, body);
    assert_int_equal(status_of("POST /topics", JSON_TYPE, body), 201);
    assert_string_equal(look(), expected);
    assert_int_equal(
        status_of("POST /topics", JSON_TYPE, "[{\"topic\":\"a\",\"data\":1},{\"topic\":\"n\",\"data\":1}]"), 403);
    assert_int_equal(n_published("a"), 1);
}

static void batch__needs_the_key_where_nobody_may_write(void **state)
{
    (void)state;
    const char *body = "[{\"topic\":\"a\",\"data\":1}]";
    serve_topics("/topics/*", &(weft_topics_options){.publish_key = "sesame"});
    expect_answer(ask("POST /topics", JSON_TYPE, body), 403,
                  "{\"error\":\"message 0: the topic \\\"a\\\" may not be published to here\",\"index\":0,"
                  "\"topic\":\"a\"}");
    expect_answer(ask("POST /topics", JSON_TYPE "Authorization: Bearer x\r\n", body), 401,
                  "{\"error\":\"this is not the publish key\"}");
    assert_int_equal(n_lines("WWW-Authenticate: Bearer"), 1);
    assert_int_equal(status_of("POST /topics", JSON_TYPE WITH_KEY, body), 201);
}

/* ------------------------------------------------------------------------------------------------------------- list */

static void list__is_for_whoever_has_the_key(void **state)
{
    (void)state;
    serve_topics("/topics/*", &(weft_topics_options){.publish = everything, .publish_key = "sesame"});
    expect_answer(ask("GET /topics", "", NULL), 403,
                  "{\"error\":\"the list of topics is for whoever has the key (option: publish_key)\"}");
    expect_answer(ask("GET /topics", "Authorization: Basic x\r\n", NULL), 401,
                  "{\"error\":\"this is not the publish key\"}");
    assert_int_equal(n_lines("WWW-Authenticate: Bearer"), 1);
    expect_answer(ask("GET /topics", WITH_KEY, NULL), 200, "{\"topics\":[]}");
    assert_int_equal(n_lines("Content-Type: application/json"), 1);
}

static void list__is_for_nobody_without_a_key(void **state)
{
    (void)state;
    serve_open_topics();
    assert_int_equal(status_of("GET /topics", WITH_KEY, NULL), 403);
}

static void list__tells_of_each_topic(void **state)
{
    (void)state;
    serve_topics("/topics/*", &(weft_topics_options){.publish = everything, .publish_key = "sesame"});
    int fd = client_open(url, "/topics/b%22%5C");
    assert_int_equal(status_of("POST /topics/a/x", "", "1"), 201);
    assert_int_equal(status_of("POST /topics/a/x", "", "2"), 201);
    int waiting = ask("GET /topics/c?since=start&wait=20", "", NULL);
    CLIENT_UNTIL(hub_find_topic(&app->workers->hub, STR("c")) &&
                 hub_find_topic(&app->workers->hub, STR("c"))->n_waiters);
    assert_int_equal(status_of("GET /topics", WITH_KEY, NULL), 200);
    const char *list = plain(client_bytes);
    assert_non_null(strstr(list, "{\"topic\":\"a/x\",\"subscribers\":0,\"messages\":2,\"cursor\":\"E-2\"}"));
    assert_non_null(strstr(list, "{\"topic\":\"b\\\"\\\\\",\"subscribers\":1,\"messages\":0,\"cursor\":\"E-0\"}"));
    assert_non_null(strstr(list, "{\"topic\":\"c\",\"subscribers\":1,\"messages\":0,\"cursor\":\"E-0\"}"));
    assert_true(json_check(str_from(client_bytes)) > 0);
    close(waiting);
    client_leave(fd);

    int head = ask("HEAD /topics", WITH_KEY, NULL);
    assert_int_equal(client_read_head(head), 200);
    close(head);
}

static void list__holds_thousands(void **state)
{
    (void)state;
    enum { N = 5000 };
    serve_topics("/topics/*", &(weft_topics_options){.publish_key = "sesame"});
    for (int i = 0; i < N; i++) {
        topic *t;
        char name[32];
        snprintf(name, sizeof name, "topic number %d", i);
        assert_int_equal(hub_topic(&app->workers->hub, str_from(name), &t), 0);
    }
    assert_int_equal(status_of("GET /topics", WITH_KEY, NULL), 200);
    assert_true(json_check(str_from(client_bytes)) > 0);
    size_t n = 0;
    for (const char *at = client_bytes; (at = strstr(at, "\"topic\":")); at++)
        n++;
    assert_int_equal(n, N);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOOPS_APP_TEST(batch__publishes_an_array),
        LOOPS_APP_TEST(batch__publishes_a_line_each),
        LOOPS_APP_TEST(batch__keeps_the_order),
        LOOPS_APP_TEST(batch__may_be_empty),
        LOOPS_APP_TEST(batch__decodes_what_is_escaped),
        APP_TEST(batch__publishes_nothing_when_one_is_wrong),
        APP_TEST(batch__is_refused_when_it_is_none),
        APP_TEST(batch__has_ten_thousand_messages_at_most),
        cmocka_unit_test_setup_teardown(batch__publishes_nothing_over_the_limit_of_topics, setup_limited, teardown_app),
        cmocka_unit_test_setup_teardown(topics__are_refused_over_their_limit, setup_limited, teardown_app),
        APP_TEST(batch__asks_the_program_about_each_topic),
        LOOPS_APP_TEST(batch__needs_the_key_where_nobody_may_write),
        LOOPS_APP_TEST(list__is_for_whoever_has_the_key),
        LOOPS_APP_TEST(list__is_for_nobody_without_a_key),
        APP_TEST(list__tells_of_each_topic),
        APP_TEST(list__holds_thousands),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
