/* A topic as a resource (docs/topics.md): what is published, and how it reaches who listens. Bytes as they are on the
 * wire. */
#include "app/topics_http.h"

/* ------------------------------------------------------------------------------------------------------- publishing */

static void topics__are_published_to_by_post(void **state)
{
    (void)state;
    serve_open_topics();
    expect_answer(ask("POST /topics/t", "", "hello"), 201, "{\"id\":\"E-1\",\"subscribers\":0}");
    assert_int_equal(n_lines("Content-Type: application/json"), 1);
    int fd = client_open(url, "/topics/t");
    let_loops_hear(); /* how many there are */
    expect_answer(ask("POST /topics/t", "", "again"), 201, "{\"id\":\"E-2\",\"subscribers\":1}");
    client_expect_text(fd, "again");
    client_leave(fd);
}

static void topics__count_polls_that_wait_as_subscribers(void **state)
{
    (void)state;
    serve_open_topics();
    int waiting = ask("GET /topics/t?since=start&wait=20", "", NULL);
    CLIENT_UNTIL(hub_find_topic(&app->workers->hub, STR("t")) &&
                 hub_find_topic(&app->workers->hub, STR("t"))->n_waiters == 1);
    expect_answer(ask("POST /topics/t", "", "hello"), 201, "{\"id\":\"E-1\",\"subscribers\":1}");
    expect_answer(
        waiting, 200,
        "{\"messages\":[{\"id\":\"E-1\",\"type\":\"text\",\"data\":\"hello\"}],\"cursor\":\"E-1\",\"gap\":false}");
}

/* What a body of that Content-Type becomes; a status in place of a message when it is refused. */
typedef struct {
    const char *type; /* NULL: none */
    const char *body;
    const char *message; /* as in a poll, or what the refusal says */
} kind_vector;

#define NOT_UTF8 "the body is not UTF-8, as its Content-Type says"
#define NOT_JSON "the body is not one valid JSON value, nested no deeper than 64"

static const kind_vector kinds[] = {
    {NULL, "hello", "\"type\":\"text\",\"data\":\"hello\""},
    {NULL, "", "\"type\":\"text\",\"data\":\"\""},
    {NULL, "gr\303\274n \"x\"\n", "\"type\":\"text\",\"data\":\"gr\303\274n \\\"x\\\"\\n\""},
    {NULL, "\377", "\"type\":\"binary\",\"data\":\"/w==\""},
    {"application/x-www-form-urlencoded", "a=b&c", "\"type\":\"text\",\"data\":\"a=b&c\""},
    {"application/x-www-form-urlencoded", "\377\376", "\"type\":\"binary\",\"data\":\"//4=\""},
    {"Application/X-WWW-Form-URLencoded; charset=utf-8", "x", "\"type\":\"text\",\"data\":\"x\""},
    {"text/plain", "x", "\"type\":\"text\",\"data\":\"x\""},
    {"TEXT/html;charset=utf-8", "<p>", "\"type\":\"text\",\"data\":\"<p>\""},
    {"text/plain", "{\"a\":1}", "\"type\":\"text\",\"data\":\"{\\\"a\\\":1}\""},
    {"text/plain", "\377", NOT_UTF8},
    {"application/json", " { \"EUR\" : [ 3 ] }\n", "\"type\":\"json\",\"data\":{\"EUR\":[3]}"},
    {"application/json", "null", "\"type\":\"json\",\"data\":null"},
    {"application/JSON ; charset=utf-8", "\"s\"", "\"type\":\"json\",\"data\":\"s\""},
    {"application/geo+json", "{}", "\"type\":\"json\",\"data\":{}"},
    {"application/json", "{\"a\":1,}", NOT_JSON},
    {"application/json", "1 2", NOT_JSON},
    {"application/json", "", NOT_JSON},
    {"application/json", "\"\377\"", NOT_JSON},
    {"application/octet-stream", "hi", "\"type\":\"binary\",\"data\":\"aGk=\""},
    {"image/png", "", "\"type\":\"binary\",\"data\":\"\""},
    {"application/jsonish", "{}", "\"type\":\"binary\",\"data\":\"e30=\""},
    {"+json", "{}", "\"type\":\"binary\",\"data\":\"e30=\""},
    {"textual", "a", "\"type\":\"binary\",\"data\":\"YQ==\""},
};

static void post_kind(const kind_vector *v, const char *path)
{
    char line[64], fields[128] = "", expected[512];
    if (v->type)
        snprintf(fields, sizeof fields, "Content-Type: %s\r\n", v->type);
    snprintf(line, sizeof line, "POST %s", path);
    if (v->message[0] != '"') {
        snprintf(expected, sizeof expected, "{\"error\":\"%s\"}", v->message);
        expect_answer(ask(line, fields, v->body), 400, expected);
        return;
    }
    expect_answer(ask(line, fields, v->body), 201, "{\"id\":\"E-1\",\"subscribers\":0}");
    snprintf(line, sizeof line, "GET %s?since=start", path);
    snprintf(expected, sizeof expected, "{\"messages\":[{\"id\":\"E-1\",%s}],\"cursor\":\"E-1\",\"gap\":false}",
             v->message);
    expect_answer(ask(line, "", NULL), 200, expected);
}

static void topics__take_a_body_for_what_its_type_says(void **state)
{
    (void)state;
    serve_open_topics();
    for (size_t i = 0; i < N_OF(kinds); i++) {
        char path[32];
        snprintf(path, sizeof path, "/topics/%zu", i);
        post_kind(&kinds[i], path);
    }
}

static void topics__name_the_event(void **state)
{
    (void)state;
    char longest[256], fields[512], expected[1024];
    memset(longest, 'e', 255);
    longest[255] = '\0';
    serve_open_topics();
    assert_int_equal(status_of("POST /topics/t", "Weft-Event: pri\"ce\r\n", "3"), 201);
    snprintf(fields, sizeof fields, "weft-event: %s\r\n", longest);
    assert_int_equal(status_of("POST /topics/t", fields, "4"), 201);
    assert_int_equal(status_of("POST /topics/t", "Weft-Event:\r\n", "5"), 201);
    snprintf(expected, sizeof expected,
             "{\"messages\":[{\"id\":\"E-1\",\"event\":\"pri\\\"ce\",\"type\":\"text\",\"data\":\"3\"},"
             "{\"id\":\"E-2\",\"event\":\"%s\",\"type\":\"text\",\"data\":\"4\"},"
             "{\"id\":\"E-3\",\"type\":\"text\",\"data\":\"5\"}],\"cursor\":\"E-3\",\"gap\":false}",
             longest);
    expect_answer(ask("GET /topics/t?since=start", "", NULL), 200, expected);
}

static void topics__refuse_an_event_that_is_none(void **state)
{
    (void)state;
    char too_long[257], fields[512];
    memset(too_long, 'e', 256);
    too_long[256] = '\0';
    snprintf(fields, sizeof fields, "Weft-Event: %s\r\n", too_long);
    const char *refusal = "{\"error\":\"the event's name (field: Weft-Event) is not at most 255 bytes of UTF-8\"}";
    serve_open_topics();
    expect_answer(ask("POST /topics/t", fields, "x"), 400, refusal);
    expect_answer(ask("POST /topics/t", "Weft-Event: \377\r\n", "x"), 400, refusal);
}

static void topics__take_messages_up_to_the_limit(void **state)
{
    (void)state;
    char body[1002];
    memset(body, 'x', sizeof body);
    serve_topics("/topics/*", &(weft_topics_options){.publish = everything, .max_message_bytes = 1000});
    assert_int_equal(answered(ask_bytes("POST /topics/t", "", body, 1000)), 201);
    assert_int_equal(answered(ask_bytes("POST /topics/t", "", body, 1001)), 413);
    assert_string_equal(client_bytes, "the message is too large (option: max_message_bytes)\n");
    assert_int_equal(answered(ask_bytes("POST /topics", "Content-Type: application/json\r\n", body, 1001)), 413);
    int fd = client_open(url, "/topics/t");
    client_send(fd, CLIENT_FIN | CLIENT_TEXT, body, 1000);
    assert_int_equal(client_receive(fd).len, 1000);
    client_send(fd, CLIENT_FIN | CLIENT_TEXT, body, 1001);
    client_expect_close(fd, 1009);
    client_expect_end(fd);
}

/* Each byte arrives alone. */
static int ask_slowly(const char *request)
{
    int fd = client_connect(url);
    for (; *request; request++) {
        client_write(fd, request, 1);
        assert_int_equal(weft_step(app, 1000), 1); /* until it is there */
    }
    return fd;
}

static void topics__may_be_asked_byte_by_byte(void **state)
{
    (void)state;
    serve_open_topics();
    assert_int_equal(answered(ask_slowly("POST /topics/t HTTP/1.1\r\nHost: localhost\r\nWeft-Event: e\r\n"
                                         "Content-Length: 5\r\n\r\nhello")),
                     201);
    assert_int_equal(
        answered(ask_slowly("POST /topics HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                            "Transfer-Encoding: chunked\r\n\r\n"
                            "1d\r\n[{\"topic\":\"t\",\"data\":[1, 2]}]\r\n0\r\n\r\n")),
        201);
    assert_int_equal(answered(ask_slowly("GET /topics/t?since=start HTTP/1.1\r\nHost: localhost\r\n\r\n")), 200);
    assert_non_null(strstr(client_bytes, "\"event\":\"e\",\"type\":\"text\",\"data\":\"hello\""));
    assert_non_null(strstr(client_bytes, "\"type\":\"json\",\"data\":[1,2]"));
}

/* ------------------------------------------------------------------------------------------------------------ names */

static void topics__have_the_rest_of_the_path_for_a_name(void **state)
{
    (void)state;
    static const char *const names[][2] = {
        {"t", "t"},
        {"a/b/c", "a/b/c"},
        {"a//b/", "a//b/"},
        {"two%20words", "two words"},
        {"gr%C3%BCn", "gr\303\274n"},
        {"%22%5C", "\"\\"},
        {"a+b", "a+b"},
        {"100%25", "100%"},
        {"*", "*"},
        {"a%3Fb%26c=d", "a?b&c=d"},
    };
    serve_open_topics();
    for (size_t i = 0; i < N_OF(names); i++) {
        char line[128];
        snprintf(line, sizeof line, "POST /topics/%s", names[i][0]);
        assert_int_equal(status_of(line, "", "x"), 201);
        assert_non_null(hub_find_topic(&app->workers->hub, str_from(names[i][1])));
    }
    assert_int_equal(app->workers->hub.topics.n_entries, N_OF(names));
}

#define NO_NAME "{\"error\":\"a topic's name is 1 to 255 bytes of UTF-8 without control characters\"}"

static void topics__refuse_names_that_are_none(void **state)
{
    (void)state;
    char too_long[257], names[][300] = {"", "a%01b", "a%0Ab", "%7F", "%C2%80", "%FF", "%C3", ""};
    memset(too_long, 'n', 256);
    too_long[256] = '\0';
    snprintf(names[N_OF(names) - 1], sizeof *names, "%s", too_long);
    serve_open_topics();
    for (size_t i = 0; i < N_OF(names); i++) {
        char line[512];
        snprintf(line, sizeof line, "POST /topics/%s", names[i]);
        expect_answer(ask(line, "", "x"), 400, NO_NAME);
        snprintf(line, sizeof line, "GET /topics/%s", names[i]);
        expect_answer(ask(line, "", NULL), 400, NO_NAME);
        expect_answer(ask(line, ACCEPT_EVENTS, NULL), 400, NO_NAME);
        int fd = client_connect(url);
        client_ask(fd, line + 4, "");
        expect_answer(fd, 400, NO_NAME);
    }
    assert_int_equal(app->workers->hub.topics.n_entries, 0);
}

/* The longest name, and one whose every byte has to be escaped in what is said of it. */
static void topics__have_names_of_255_bytes(void **state)
{
    (void)state;
    char line[1024] = "POST /topics/", quotes[3 * 255 + 1], expected[1024], *to = expected;
    for (size_t i = 0; i < 255; i++)
        memcpy(quotes + 3 * i, "%22", 4);
    strcat(line, quotes);
    serve_topics("/topics/*", NULL);
    to += sprintf(to, "{\"error\":\"the topic \\\"");
    for (size_t i = 0; i < 255; i++)
        to += sprintf(to, "\\\"");
    sprintf(to, "\\\" may not be published to here\"}");
    expect_answer(ask(line, "", "x"), 403, expected);
}

/* An escaped slash would look like one only behind the router; NUL is refused with it. */
static void topics__refuse_an_escaped_slash(void **state)
{
    (void)state;
    serve_open_topics();
    assert_int_equal(status_of("POST /topics/a%2Fb", "", "x"), 400);
    assert_int_equal(status_of("POST /topics/a%00b", "", "x"), 400);
}

static void topics__are_named_by_a_parameter(void **state)
{
    (void)state;
    assert_int_equal(weft_topics(app, "/rooms/:topic/log", &(weft_topics_options){.publish = everything}), 0);
    serve_topics("/t/:topic", &(weft_topics_options){.publish = everything});
    assert_int_equal(status_of("POST /t/a%20b", "", "x"), 201);
    assert_int_equal(status_of("POST /rooms/attic/log", "", "x"), 201);
    assert_int_equal(status_of("POST /t/a/b", "", "x"), 404);
    assert_int_equal(status_of("GET /rooms/attic", "", NULL), 404);
    assert_int_equal(status_of("GET /t", "", NULL), 403); /* the list */
    assert_non_null(hub_find_topic(&app->workers->hub, STR("a b")));
    assert_non_null(hub_find_topic(&app->workers->hub, STR("attic")));
}

static void topics__may_be_at_the_root(void **state)
{
    (void)state;
    serve_topics("/:topic", &(weft_topics_options){.publish = everything});
    assert_int_equal(status_of("POST /t", "", "x"), 201);
    assert_int_equal(status_of("POST /", "Content-Type: application/json\r\n", "[{\"topic\":\"t\",\"data\":1}]"), 201);
    assert_int_equal(hub_find_topic(&app->workers->hub, STR("t"))->head, 2);
}

static void topics__are_named_by_the_options(void **state)
{
    (void)state;
    serve_topics("/api/prices", &(weft_topics_options){.topic = "prices/all", .publish = everything});
    assert_int_equal(status_of("POST /api/prices", "", "x"), 201);
    assert_non_null(hub_find_topic(&app->workers->hub, STR("prices/all")));
    assert_int_equal(status_of("GET /api", "", NULL), 404);
}

static void topics__are_served_on_one_port_when_told(void **state)
{
    (void)state;
    char path[64];
    begin();
    assert_int_equal(teardown_app(state), 0);
    setup_app(state);
    assert_int_equal(weft_listen(app, "http://127.0.0.1:0", NULL), 0);
    assert_int_equal(weft_listen(app, "http://127.0.0.1:0", NULL), 0);
    snprintf(path, sizeof path, "%s/topics/*", strrchr(weft_listening(app, 0), ':'));
    assert_int_equal(weft_topics(app, path, &(weft_topics_options){.publish = everything}), 0);
    assert_int_equal(weft_step(app, 0), 1);
    client_steps = app;
    url = weft_listening(app, 0);
    assert_int_equal(status_of("POST /topics/t", "", "x"), 201);
    assert_int_equal(status_of("GET /topics", "", NULL), 403);
    url = weft_listening(app, 1);
    assert_int_equal(status_of("POST /topics/t", "", "x"), 404);
    assert_int_equal(status_of("GET /topics", "", NULL), 404);
}

/* ---------------------------------------------------------------------------------------------------- who gets what */

enum { N_SENT = 4 };

static char ids[N_SENT][64];

static void publish_four(void)
{
    static const char *const sent[N_SENT][2] = {
        {"", "one"},
        {"Content-Type: application/json\r\nWeft-Event: price\r\n", "{ \"EUR\": 3 }"},
        {"Content-Type: application/octet-stream\r\n", "\001\002"},
        {"Weft-Event: last\r\n", "a\nb"},
    };
    for (size_t i = 0; i < N_SENT; i++) {
        assert_int_equal(status_of("POST /topics/t", sent[i][0], sent[i][1]), 201);
        snprintf(ids[i], sizeof ids[i], "%s", member("id"));
    }
}

static void expect_four_on_websocket(int fd)
{
    client_expect_text(fd, "one");
    client_expect_text(fd, "{\"EUR\":3}");
    client_expect(fd, CLIENT_BINARY, "\001\002");
    client_expect_text(fd, "a\nb");
}

static void expect_four_events(int fd)
{
    static const char *const rest[N_SENT] = {
        "data: one\n\n",
        "event: price\ndata: {\"EUR\":3}\n\n",
        "event: binary\ndata: AQI=\n\n",
        "event: last\ndata: a\ndata: b\n\n",
    };
    for (size_t i = 0; i < N_SENT; i++)
        assert_string_equal(sse_expect_message(fd, rest[i]), ids[i]);
}

static const char *const objects[N_SENT] = {
    "\"type\":\"text\",\"data\":\"one\"}",
    "\"event\":\"price\",\"type\":\"json\",\"data\":{\"EUR\":3}}",
    "\"type\":\"binary\",\"data\":\"AQI=\"}",
    "\"event\":\"last\",\"type\":\"text\",\"data\":\"a\\nb\"}",
};

static void expect_four_lines(int fd)
{
    char line[256];
    for (size_t i = 0; i < N_SENT; i++) {
        snprintf(line, sizeof line, "{\"id\":\"%s\",%s\n", ids[i], objects[i]);
        stream_expect(fd, line);
    }
}

/* The messages from the n-th on, as a poll lists them. */
static const char *list_from(size_t n)
{
    static char list[1024];
    char *to = list + sprintf(list, "[");
    for (size_t i = n; i < N_SENT; i++)
        to += sprintf(to, "%s{\"id\":\"%s\",%s", i > n ? "," : "", ids[i], objects[i]);
    sprintf(to, "]");
    return list;
}

static void expect_poll(int fd, size_t from)
{
    char whole[2048];
    snprintf(whole, sizeof whole, "{\"messages\":%s,\"cursor\":\"%s\",\"gap\":false}", list_from(from),
             ids[N_SENT - 1]);
    assert_int_equal(answered(fd), 200);
    assert_string_equal(client_bytes, whole);
}

/* Who listens before anything is published, in each way that there is, gets the same. */
static void topics__bring_everybody_the_same_in_the_same_order(void **state)
{
    (void)state;
    char line[256];
    serve_open_topics();
    int websocket = client_open(url, "/topics/t"), sse = sse_open("/topics/t", ACCEPT_EVENTS),
        lines = line_open("/topics/t", ACCEPT_LINES);
    assert_int_equal(status_of("GET /topics/t", "", NULL), 200);
    char began[64];
    snprintf(began, sizeof began, "%s", member("cursor"));
    assert_int_equal(status_of("GET /topics/t?session=new&wait=20", "", NULL), 200);
    char session[64];
    snprintf(session, sizeof session, "%s", member("session"));
    snprintf(line, sizeof line, "GET /topics/t?wait=20&since=%s", began);
    int waiting = ask(line, "", NULL);
    CLIENT_UNTIL(hub_find_topic(&app->workers->hub, STR("t"))->n_waiters == 1);

    publish_four();

    expect_four_on_websocket(websocket);
    expect_four_events(sse);
    expect_four_lines(lines);
    assert_int_equal(answered(waiting), 200); /* it was woken by the first */
    snprintf(line, sizeof line, "{\"messages\":[{\"id\":\"%s\",%s],\"cursor\":\"%s\",\"gap\":false}", ids[0],
             objects[0], ids[0]);
    assert_string_equal(client_bytes, line);
    snprintf(line, sizeof line, "GET /topics/t?since=%s", ids[0]);
    expect_poll(ask(line, "", NULL), 1);
    snprintf(line, sizeof line, "GET /topics/t?since=%s", began);
    expect_poll(ask(line, "", NULL), 0);

    snprintf(line, sizeof line, "GET /topics/t?session=%s&ack=1&wait=20", session);
    assert_int_equal(status_of(line, "", NULL), 200);
    char whole[2048];
    snprintf(whole, sizeof whole, "{\"session\":\"%s\",\"seq\":2,\"messages\":%s,\"cursor\":\"%s\",\"gap\":false}",
             session, list_from(0), ids[N_SENT - 1]);
    assert_string_equal(client_bytes, whole);
    client_leave(websocket);
    close(sse);
    close(lines);
}

/* The same for who comes afterwards and asks for what was kept, or for what came after a message that it has. */
static void topics__bring_who_comes_late_what_is_kept(void **state)
{
    (void)state;
    char path[128], fields[256];
    serve_open_topics();
    publish_four();
    int fd = client_open(url, "/topics/t?since=start");
    expect_four_on_websocket(fd);
    client_leave(fd);
    fd = sse_open("/topics/t?since=start", ACCEPT_EVENTS);
    expect_four_events(fd);
    close(fd);
    fd = line_open("/topics/t?since=start", ACCEPT_LINES);
    expect_four_lines(fd);
    close(fd);
    expect_poll(ask("GET /topics/t?since=start", "", NULL), 0);
    expect_poll(ask("GET /topics/t?since=start&wait=20", "", NULL), 0);

    snprintf(path, sizeof path, "/topics/t?since=%s", ids[1]);
    fd = client_open(url, path);
    client_expect(fd, CLIENT_BINARY, "\001\002");
    client_expect_text(fd, "a\nb");
    client_leave(fd);
    snprintf(fields, sizeof fields, "%sLast-Event-ID: %s\r\n", ACCEPT_EVENTS, ids[2]);
    fd = sse_open("/topics/t?since=start", fields); /* what a browser adds by itself counts */
    assert_string_equal(sse_expect_message(fd, "event: last\ndata: a\ndata: b\n\n"), ids[3]);
    close(fd);
    snprintf(path, sizeof path, "GET /topics/t?session=new&since=%s", ids[2]);
    assert_int_equal(status_of(path, "", NULL), 200);
    assert_non_null(strstr(client_bytes, list_from(3)));
}

static void topics__tell_of_a_gap(void **state)
{
    (void)state;
    serve_open_topics();
    assert_int_equal(status_of("POST /topics/t", "", "kept"), 201);
    int fd = sse_open("/topics/t?since=000000000001-5", ACCEPT_EVENTS);
    expect_chunk(fd, "id: E-0\nevent: weft-gap\ndata: {\"topic\":\"t\",\"cursor\":\"E-0\"}\n\n");
    sse_expect_message(fd, "data: kept\n\n");
    close(fd);
    fd = line_open("/topics/t?since=nonsense", ACCEPT_LINES);
    expect_chunk(fd, "{\"gap\":true,\"topic\":\"t\",\"cursor\":\"E-0\"}\n");
    expect_chunk(fd, "{\"id\":\"E-1\",\"type\":\"text\",\"data\":\"kept\"}\n");
    close(fd);
    expect_answer(
        ask("GET /topics/t?since=nonsense&wait=20", "", NULL), 200,
        "{\"messages\":[{\"id\":\"E-1\",\"type\":\"text\",\"data\":\"kept\"}],\"cursor\":\"E-1\",\"gap\":true}");
    assert_int_equal(status_of("GET /topics/t?session=new&since=nonsense", "", NULL), 200);
    assert_non_null(strstr(plain(client_bytes), "\"data\":\"kept\"}],\"cursor\":\"E-1\",\"gap\":true}"));
    fd = client_open(url, "/topics/t?since=nonsense"); /* it has no way to tell */
    client_expect_text(fd, "kept");
    client_leave(fd);
}

/* ------------------------------------------------------------------------------------------------ what is asked for */

/* The Content-Type that an Accept field brings. */
static void expect_type(const char *accept, const char *type)
{
    char fields[256] = "", line[128];
    if (accept)
        snprintf(fields, sizeof fields, "Accept: %s\r\n", accept);
    snprintf(line, sizeof line, "Content-Type: %s", type);
    int fd = ask("GET /topics/t", fields, NULL);
    assert_int_equal(client_read_head(fd), 200);
    if (!client_head_has(line))
        fail_msg("Accept: %s does not bring %s", accept ? accept : "(none)", type);
    assert_true(client_head_has("Vary: Accept"));
    close(fd);

    fd = ask("HEAD /topics/t", fields, NULL); /* the same, and nothing behind it */
    assert_int_equal(client_read_head(fd), 200);
    assert_true(client_head_has(line));
    assert_true(client_head_has("Vary: Accept"));
    client_write_text(fd, "GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_int_equal(client_read_head(fd), 404);
    close(fd);
}

static void topics__speak_what_is_accepted(void **state)
{
    (void)state;
    serve_open_topics();
    expect_type("text/event-stream", "text/event-stream");
    expect_type("Text/Event-Stream; q=0.9", "text/event-stream");
    expect_type("*/*, text/event-stream", "text/event-stream");
    expect_type("application/x-ndjson", "application/x-ndjson");
    expect_type("application/jsonl, */*", "application/x-ndjson");
    expect_type("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "application/json");
    expect_type("application/json", "application/json");
    expect_type("application/json, text/event-stream", "application/json");
    expect_type("*/*", "application/json");
    expect_type("", "application/json");
    expect_type(NULL, "application/json");
    CLIENT_UNTIL(app->workers->hub.n_peers == 0);
}

/* HEAD neither waits nor begins anything. */
static void topics__open_no_session_for_head(void **state)
{
    (void)state;
    serve_open_topics();
    int fd = ask("HEAD /topics/t?session=new", "", NULL);
    assert_int_equal(client_read_head(fd), 200);
    close(fd);
    assert_int_equal(app->workers->hub.n_peers, 0);
}

static void topics__keep_a_poll_of_their_cursor_short(void **state)
{
    (void)state;
    char fields[128];
    serve_open_topics();
    assert_int_equal(status_of("POST /topics/t", "", "x"), 201);
    snprintf(fields, sizeof fields, "If-None-Match: \"%s\"\r\n", member("id"));
    int fd = ask("GET /topics/t", fields, NULL);
    assert_int_equal(client_read_head(fd), 304);
    assert_true(client_head_has("Vary: Accept"));
    close(fd);
}

static void topics__do_not_take_other_methods(void **state)
{
    (void)state;
    serve_open_topics();
    assert_int_equal(status_of("PUT /topics/t", "", "x"), 405);
    assert_int_equal(n_lines("Allow: GET, HEAD, POST, OPTIONS"), 1);
    assert_int_equal(status_of("DELETE /topics", "", NULL), 405);
}

/* -------------------------------------------------------------------------------------------------------- WebSocket */

static void topics__publish_what_a_websocket_sends(void **state)
{
    (void)state;
    serve_open_topics();
    int fd = client_open(url, "/topics/t"), other = client_open(url, "/topics/t"),
        sse = sse_open("/topics/t", ACCEPT_EVENTS);
    client_send_text(fd, "{\"a\": 1}");
    client_send(fd, CLIENT_FIN | CLIENT_BINARY, "\001\002", 2);
    client_expect_text(fd, "{\"a\": 1}"); /* the sender is a subscriber as any */
    client_expect(fd, CLIENT_BINARY, "\001\002");
    client_expect_text(other, "{\"a\": 1}");
    client_expect(other, CLIENT_BINARY, "\001\002");
    sse_expect_message(sse, "data: {\"a\": 1}\n\n");
    sse_expect_message(sse, "event: binary\ndata: AQI=\n\n");
    assert_int_equal(status_of("GET /topics/t?since=start", "", NULL), 200);
    assert_non_null(strstr(client_bytes, "\"type\":\"text\",\"data\":\"{\\\"a\\\": 1}\"}"));
    client_leave(fd);
    client_leave(other);
    close(sse);
}

/* ------------------------------------------------------------------------------------------------------------ peers */

static char user_data[] = "user";

static void note_open(weft_peer who)
{
    weft_peer_info info;
    latest = who;
    char *data = weft_data(who);
    assert_ptr_equal(weft_user(who), user_data);
    assert_int_equal(data[0] + data[99], 0);
    data[0] = data[99] = 1;
    assert_int_equal(weft_peer_about(who, &info), 0);
    happened("open:%d:%s ", info.transport, weft_since(who) ? weft_since(who) : "-");
}

static void expect_opened(const char *as)
{
    CLIENT_UNTIL(strstr(events, "open:"));
    assert_string_equal(look(), as);
}

static void expect_closed(void)
{
    CLIENT_UNTIL(strstr(events, "close:"));
    look();
}

/* Streams, sessions and WebSockets are peers, with all that a peer has; polls are none. */
static void topics__have_peers(void **state)
{
    (void)state;
    serve_topics("/topics/*",
                 &(weft_topics_options){.user = user_data, .peer_bytes = 100, .open = note_open, .close = on_close});
    int fd = client_open(url, "/topics/t");
    expect_opened("open:1:- ");
    client_leave(fd);
    expect_closed();
    fd = sse_open("/topics/t?since=start", ACCEPT_EVENTS);
    expect_opened("open:2:start ");
    close(fd);
    expect_closed();
    fd = line_open("/topics/t", ACCEPT_LINES);
    expect_opened("open:3:- ");
    weft_send_text(latest, "hello");
    expect_chunk(fd, "{\"type\":\"text\",\"data\":\"hello\"}\n");
    close(fd);
    expect_closed();
    assert_int_equal(status_of("GET /topics/t?session=new&wait=0.05", "", NULL), 200);
    expect_opened("open:4:- ");
    expect_closed(); /* its lease is over */
    assert_int_equal(status_of("GET /topics/t", "", NULL), 200);
    assert_string_equal(look(), "");
}

static void topics__forget_a_session_that_is_over(void **state)
{
    (void)state;
    char line[128];
    serve_open_topics();
    assert_int_equal(status_of("GET /topics/t?session=new&wait=0.05", "", NULL), 200);
    snprintf(line, sizeof line, "GET /topics/t?session=%s&ack=1", member("session"));
    CLIENT_UNTIL(app->workers->hub.n_peers == 0);
    expect_answer(ask(line, "", NULL), 404, "{\"error\":\"there is no such session, or it is over\"}");
}

static void unsubscribe(weft_peer who)
{
    weft_unsubscribe(who, "t");
    weft_subscribe(who, "other", NULL);
}

/* What it writes goes to the topic of its path, wherever the program has it listen. */
static void topics__publish_to_the_topic_of_the_path(void **state)
{
    (void)state;
    serve_topics("/topics/*", &(weft_topics_options){.publish = everything, .open = unsubscribe});
    int fd = client_open(url, "/topics/t");
    client_send_text(fd, "x");
    CLIENT_UNTIL(hub_find_topic(&app->workers->hub, STR("t"))->head == 1);
    weft_publish_text(app, "other", "y");
    client_expect_text(fd, "y");
    client_leave(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOOPS_APP_TEST(topics__are_published_to_by_post),
        APP_TEST(topics__may_be_asked_byte_by_byte),
        APP_TEST(topics__count_polls_that_wait_as_subscribers),
        LOOPS_APP_TEST(topics__take_a_body_for_what_its_type_says),
        LOOPS_APP_TEST(topics__name_the_event),
        LOOPS_APP_TEST(topics__refuse_an_event_that_is_none),
        LOOPS_APP_TEST(topics__take_messages_up_to_the_limit),
        APP_TEST(topics__have_the_rest_of_the_path_for_a_name),
        APP_TEST(topics__refuse_names_that_are_none),
        LOOPS_APP_TEST(topics__have_names_of_255_bytes),
        LOOPS_APP_TEST(topics__refuse_an_escaped_slash),
        APP_TEST(topics__are_named_by_a_parameter),
        APP_TEST(topics__may_be_at_the_root),
        APP_TEST(topics__are_named_by_the_options),
        APP_TEST(topics__are_served_on_one_port_when_told),
        APP_TEST(topics__bring_everybody_the_same_in_the_same_order),
        LOOPS_APP_TEST(topics__bring_who_comes_late_what_is_kept),
        LOOPS_APP_TEST(topics__tell_of_a_gap),
        APP_TEST(topics__speak_what_is_accepted),
        APP_TEST(topics__open_no_session_for_head),
        LOOPS_APP_TEST(topics__keep_a_poll_of_their_cursor_short),
        LOOPS_APP_TEST(topics__do_not_take_other_methods),
        LOOPS_APP_TEST(topics__publish_what_a_websocket_sends),
        APP_TEST(topics__have_peers),
        APP_TEST(topics__forget_a_session_that_is_over),
        APP_TEST(topics__publish_to_the_topic_of_the_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
