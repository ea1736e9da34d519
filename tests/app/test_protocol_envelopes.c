/* What can be said in weft.v1, on each of its carriers, and what the server says to it. */
#include "app/protocol_client.h"

#define NOT_A_NAME "1 to 255 bytes of UTF-8 without control characters\"}"

static int renew(const weft_options *options)
{
    weft_free(app);
    app = weft_new(options);
    return app ? 0 : -1;
}

/* ---------------------------------------------------------------------------------------------------- ids and errors */

static void envelopes__ids_are_repeated_as_they_are(void **state)
{
    (void)state;
    static const char *const ids[] = {
        "0",
        "-1.50e+3",
        "12345678901234567890123456789012345678901234567890123456789012.4",
        "\"\"",
        "\"a\\u0062\\\"\\\\\"",
        "\"\u00e9\u2028\"",
        "\"12345678901234567890123456789012345678901234567890123456789012\"",
    };
    serve_open_protocol();
    speaker s = joined();
    for (size_t i = 0; i < N_OF(ids); i++) {
        char envelope[256], answer[256];
        snprintf(envelope, sizeof envelope, "{\"id\" : %s ,\"type\":\"unsubscribe\",\"topic\":\"t\"}", ids[i]);
        snprintf(answer, sizeof answer, "{\"type\":\"unsubscribed\",\"id\":%s,\"topic\":\"t\"}", ids[i]);
        check(&s, envelope, answer);
    }
    check(&s, "{\"type\":\"unsubscribe\",\"topic\":\"t\"}", "{\"type\":\"unsubscribed\",\"topic\":\"t\"}");
    check(&s, "{\"type\":\"ping\",\"id\":1,\"id\":2}", "{\"type\":\"pong\",\"id\":2}");
    hang_up(&s);
}

static void envelopes__ids_that_cannot_be_repeated_are_refused(void **state)
{
    (void)state;
    static const char *const ids[] = {
        "null", "true", "[1]", "{}", "\"123456789012345678901234567890123456789012345678901234567890123\"",
    };
    serve_open_protocol();
    speaker s = joined();
    for (size_t i = 0; i < N_OF(ids); i++) {
        char envelope[256];
        snprintf(envelope, sizeof envelope, "{\"type\":\"ping\",\"id\":%s}", ids[i]);
        check_error(&s, envelope, "", "invalid");
        assert_string_equal(member("message"), "id has to be a number or a string, and no longer than 64 bytes");
    }
    hang_up(&s);
}

static void envelopes__wrong_ones_are_told_why(void **state)
{
    (void)state;
    static const struct {
        const char *said, *why;
    } wrong[] = {
        {"{\"id\":7}", "type is missing"},
        {"{\"id\":7,\"type\":1}", "type has to be a string"},
        {"{\"id\":7,\"type\":\"\"}", "there is no such type of envelope"},
        {"{\"id\":7,\"type\":\"Ping\"}", "there is no such type of envelope"},
        {"{\"id\":7,\"type\":\"subscribed\"}", "there is no such type of envelope"},
        {"{\"id\":7,\"type\":\"subscribe\"}", "topic is missing"},
        {"{\"id\":7,\"type\":\"subscribe\",\"topic\":1}", "topic has to be a string"},
        {"{\"id\":7,\"type\":\"subscribe\",\"topic\":\"t\",\"since\":5}", "since has to be a string"},
        {"{\"id\":7,\"type\":\"subscribe\",\"topic\":\"t\",\"presence\":1}", "presence has to be true or false"},
        {"{\"id\":7,\"type\":\"unsubscribe\"}", "topic is missing"},
        {"{\"id\":7,\"type\":\"presence\"}", "topic is missing"},
        {"{\"id\":7,\"type\":\"publish\",\"topic\":\"t\"}", "data is missing"},
        {"{\"id\":7,\"type\":\"publish\",\"data\":0}", "topic is missing"},
        {"{\"id\":7,\"type\":\"publish\",\"topic\":\"t\",\"data\":0,\"kind\":\"xml\"}",
         "kind has to be text, json or binary"},
        {"{\"id\":7,\"type\":\"publish\",\"topic\":\"t\",\"data\":0,\"kind\":\"text\"}", "data has to be a string"},
        {"{\"id\":7,\"type\":\"publish\",\"topic\":\"t\",\"data\":\"\\ud800\"}", "data holds half of a surrogate pair"},
        {"{\"id\":7,\"type\":\"publish\",\"topic\":\"t\",\"data\":\"=\",\"kind\":\"binary\"}", "data has to be base64"},
        {"{\"id\":7,\"type\":\"publish\",\"topic\":\"t\",\"data\":0,\"event\":1}", "event has to be a string"},
        {"{\"id\":7,\"type\":\"publish\",\"topic\":\"t\",\"data\":0,\"event\":\"a\\n\"}",
         "an event is at most 255 bytes of UTF-8 without CR, LF or NUL"},
        {"{\"id\":7,\"type\":\"hello\",\"name\":1}", "name has to be a string"},
        {"{\"id\":7,\"type\":\"hello\",\"name\":\"\"}", "a name is 1 to 255 bytes of UTF-8 without control characters"},
        {"{\"id\":7,\"type\":\"hello\",\"name\":\"\\u0000\"}",
         "a name is 1 to 255 bytes of UTF-8 without control characters"},
    };
    serve_open_protocol();
    speaker s = joined();
    for (size_t i = 0; i < N_OF(wrong); i++) {
        check_error(&s, wrong[i].said, "7", "invalid");
        assert_string_equal(member("message"), wrong[i].why);
    }
    assert_int_equal(app->workers->hub.topics.n_entries, 0);
    expect_no_more(&s);
    hang_up(&s);
}

/* What no topic can be called is refused before anybody is asked about it. */
static int never_asked(const weft_access *access, void *user)
{
    (void)user;
    happened("asked:%zu ", access->topic.len);
    return 1;
}

static void envelopes__topics_without_a_name_are_refused(void **state)
{
    (void)state;
    static const char *const types[] = {"subscribe", "unsubscribe", "presence", "publish"};
    char name[257] = "", envelope[512];
    serve_protocol(&(weft_topics_options){.publish = everything, .allow = never_asked});
    speaker s = joined();
    memset(name, 'n', 256);
    const char *const names[] = {"", "a\\u0000", "\\u0085", name};
    for (size_t i = 0; i < N_OF(types) * N_OF(names); i++) {
        snprintf(envelope, sizeof envelope, "{\"id\":\"x\",\"type\":\"%s\",\"topic\":\"%s\",\"data\":0}", types[i % 4],
                 names[i / 4]);
        check_error(&s, envelope, "\"x\"", "invalid");
        assert_non_null(strstr(client_bytes, "a topic is " NOT_A_NAME));
    }
    expect_events("");
    name[255] = '\0';
    subscribe_to(&s, name);
    expect_events("asked:255 ");
    hang_up(&s);
}

static void envelopes__what_is_no_envelope_is_told_so(void **state)
{
    (void)state;
    static const char *const texts[] = {"null", "1", "\"ping\"", " true "};
    serve_open_protocol();
    speaker s = joined();
    for (size_t i = 0; i < N_OF(texts); i++)
        check(&s, texts[i], "{\"type\":\"error\",\"code\":\"invalid\",\"message\":\"it is not a JSON object\"}");
    hang_up(&s);
}

static void envelopes__text_that_is_not_json_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "{", "{\"type\":\"ping\"} {}", "{'type':'ping'}", "\xEF\xBB\xBF{}"};
    serve_open_protocol();
    speaker s = joined();
    for (size_t i = 0; i < N_OF(texts); i++) {
        if (by == BY_WEBSOCKET) {
            check(&s, texts[i], "{\"type\":\"error\",\"code\":\"invalid\",\"message\":\"it is not a JSON object\"}");
        } else {
            assert_int_equal(post_status(&s, texts[i], strlen(texts[i])), 400);
            assert_string_equal(client_bytes, "{\"error\":\"the body is not JSON, or nests deeper than 64\"}");
        }
    }
    expect_no_more(&s);
    hang_up(&s);
}

static void envelopes__unknown_members_are_ignored(void **state)
{
    (void)state;
    serve_open_protocol();
    speaker s = joined();
    check(&s, " {\"topic\":[{}],\"x\":{\"type\":\"publish\"},\"type\":\"pi\\u006eg\",\"since\":false}\n",
          "{\"type\":\"pong\"}");
    say(&s, "{\"type\":\"pong\"}");
    say(&s, "{\"type\":\"hello\"}");
    expect_no_more(&s);
    hang_up(&s);
}

/* An envelope is one level, and an array around it another. */
static void envelopes__data_nests_as_deep_as_is_said(void **state)
{
    (void)state;
    serve_open_protocol();
    speaker s = joined();
    for (int array = 0; array <= (by != BY_WEBSOCKET); array++) {
        for (int depth = 62; depth <= 64; depth++) {
            char envelope[512];
            int n = snprintf(envelope, sizeof envelope,
                             "%s{\"type\":\"publish\",\"topic\":\"t\",\"id\":1,\"data\":", array ? "[" : "");
            memset(envelope + n, '[', (size_t)depth);
            memset(envelope + n + depth, ']', (size_t)depth);
            snprintf(envelope + n + 2 * depth, 8, "}%s", array ? "]" : "");
            bool good = depth + 1 + array <= 64;
            if (good || by == BY_WEBSOCKET)
                say(&s, envelope);
            else
                assert_int_equal(post_status(&s, envelope, strlen(envelope)), 400);
            if (good)
                assert_memory_equal(hear(&s), "{\"type\":\"published\"", 19);
            else if (by == BY_WEBSOCKET)
                expect_error(&s, "", "invalid");
        }
    }
    expect_no_more(&s);
    hang_up(&s);
}

/* ---------------------------------------------------------------------------------------------------------- subscribing */

#define MESSAGE(number, text)                                                                                          \
    "{\"type\":\"message\",\"topic\":\"t\",\"id\":\"E-" #number "\",\"kind\":\"text\",\"data\":\"" text "\"}"

static void envelopes__subscribes_from_now_on(void **state)
{
    (void)state;
    serve_open_protocol();
    speaker s = joined();
    publish_to("t", "one");
    check(&s, "{\"type\":\"subscribe\",\"topic\":\"t\",\"id\":1}",
          "{\"type\":\"subscribed\",\"id\":1,\"topic\":\"t\",\"cursor\":\"E-1\",\"gap\":false}");
    publish_to("t", "two");
    expect(&s, MESSAGE(2, "two"));
    hang_up(&s);
}

static void publish_five(void)
{
    static const char *const texts[] = {"1", "2", "3", "4", "5"};
    for (size_t i = 0; i < N_OF(texts); i++)
        publish_to("t", texts[i]);
}

static void expect_numbers(speaker *s, int from, int to)
{
    for (int i = from; i <= to; i++) {
        char message[128];
        snprintf(message, sizeof message,
                 "{\"type\":\"message\",\"topic\":\"t\",\"id\":\"E-%d\",\"kind\":\"text\",\"data\":\"%d\"}", i,
                 i > 5 ? i - 5 : i);
        expect(s, message);
    }
}

/* `subscribed` comes first, then what was kept, then what is live. */
static void envelopes__subscribes_from_the_start(void **state)
{
    (void)state;
    serve_open_protocol();
    speaker s = joined();
    publish_five();
    check(&s, "{\"type\":\"subscribe\",\"topic\":\"t\",\"id\":1,\"since\":\"start\"}",
          "{\"type\":\"subscribed\",\"id\":1,\"topic\":\"t\",\"cursor\":\"E-0\",\"gap\":false}");
    publish_five();
    expect_numbers(&s, 1, 10);
    expect_no_more(&s);
    hang_up(&s);
}

static void envelopes__subscribes_from_a_cursor(void **state)
{
    (void)state;
    char at[64], envelope[256];
    serve_open_protocol();
    speaker s = joined();
    publish_to("t", "1");
    say(&s, "{\"type\":\"subscribe\",\"topic\":\"t\",\"id\":1}");
    hear(&s);
    snprintf(at, sizeof at, "%.63s", member("cursor"));
    check(&s, "{\"type\":\"unsubscribe\",\"topic\":\"t\",\"id\":2}",
          "{\"type\":\"unsubscribed\",\"id\":2,\"topic\":\"t\"}");
    publish_to("t", "2");
    publish_to("t", "3");
    snprintf(envelope, sizeof envelope, "{\"type\":\"subscribe\",\"topic\":\"t\",\"id\":3,\"since\":\"%s\"}", at);
    check(&s, envelope, "{\"type\":\"subscribed\",\"id\":3,\"topic\":\"t\",\"cursor\":\"E-1\",\"gap\":false}");
    publish_to("t", "4");
    expect_numbers(&s, 2, 4);
    expect_no_more(&s);
    hang_up(&s);
}

static void envelopes__tells_a_gap_with_subscribed(void **state)
{
    (void)state;
    static const char *const strangers[] = {"000000000001-1", "?", ""};
    serve_open_protocol();
    speaker s = joined();
    publish_five();
    for (size_t i = 0; i < N_OF(strangers); i++) {
        char envelope[128];
        snprintf(envelope, sizeof envelope, "{\"type\":\"subscribe\",\"topic\":\"t\",\"id\":1,\"since\":\"%s\"}",
                 strangers[i]);
        check(&s, envelope, "{\"type\":\"subscribed\",\"id\":1,\"topic\":\"t\",\"cursor\":\"E-0\",\"gap\":true}");
        expect_numbers(&s, 1, 5);
        check(&s, "{\"type\":\"unsubscribe\",\"topic\":\"t\"}", "{\"type\":\"unsubscribed\",\"topic\":\"t\"}");
    }
    hang_up(&s);
}

/* Subscribed twice is subscribed once, from where it was. */
static void envelopes__subscribes_once(void **state)
{
    (void)state;
    serve_open_protocol();
    speaker s = joined();
    publish_five();
    subscribe_to(&s, "t");
    check(&s, "{\"type\":\"subscribe\",\"topic\":\"t\",\"id\":1,\"since\":\"start\"}",
          "{\"type\":\"subscribed\",\"id\":1,\"topic\":\"t\",\"cursor\":\"E-5\",\"gap\":false}");
    publish_to("t", "1");
    expect_numbers(&s, 6, 6);
    check(&s, "{\"type\":\"unsubscribe\",\"topic\":\"t\"}", "{\"type\":\"unsubscribed\",\"topic\":\"t\"}");
    publish_to("t", "2");
    expect_no_more(&s);
    hang_up(&s);
}

static void envelopes__carries_many_topics(void **state)
{
    (void)state;
    serve_open_protocol();
    speaker s = joined(), other = joined();
    subscribe_to(&s, "t");
    subscribe_to(&s, "u/\u00e9 *");
    subscribe_to(&other, "u/\u00e9 *");
    publish_to("u/\u00e9 *", "x");
    publish_to("t", "y");
    expect(&s, "{\"type\":\"message\",\"topic\":\"u/\u00e9 *\",\"id\":\"E-1\",\"kind\":\"text\",\"data\":\"x\"}");
    expect(&s, MESSAGE(1, "y"));
    expect(&other, "{\"type\":\"message\",\"topic\":\"u/\u00e9 *\",\"id\":\"E-1\",\"kind\":\"text\",\"data\":\"x\"}");
    expect_no_more(&other);
    hang_up(&s);
    hang_up(&other);
}

/* ----------------------------------------------------------------------------------------------------------- publishing */

static void envelopes__publishes_each_kind(void **state)
{
    (void)state;
    static const struct {
        const char *said, *heard;
    } kinds[] = {
        {"\"data\":\"\"", "\"kind\":\"text\",\"data\":\"\""},
        {"\"data\":\"a\\/\\u0000\\ud83d\\ude00\"", "\"kind\":\"text\",\"data\":\"a/\\u0000\U0001F600\""},
        {"\"data\":[1, \"a\\/\" ,null]", "\"kind\":\"json\",\"data\":[1,\"a\\/\",null]"},
        {"\"data\":null", "\"kind\":\"json\",\"data\":null"},
        {"\"kind\":\"json\",\"data\":\"text\"", "\"kind\":\"json\",\"data\":\"text\""},
        {"\"kind\":\"binary\",\"data\":\"AP/+\"", "\"kind\":\"binary\",\"data\":\"AP/+\""},
        {"\"kind\":\"binary\",\"data\":\"\"", "\"kind\":\"binary\",\"data\":\"\""},
        {"\"event\":\"e\\\"\u00e9\",\"data\":1", "\"event\":\"e\\\"\u00e9\",\"kind\":\"json\",\"data\":1"},
        {"\"event\":\"\",\"data\":1", "\"kind\":\"json\",\"data\":1"},
    };
    serve_open_protocol();
    speaker s = joined(), reader = joined();
    subscribe_to(&reader, "t");
    for (size_t i = 0; i < N_OF(kinds); i++) {
        char text[256];
        snprintf(text, sizeof text, "{\"type\":\"publish\",\"topic\":\"t\",\"id\":\"p\",%s}", kinds[i].said);
        say(&s, text);
        snprintf(text, sizeof text, "{\"type\":\"published\",\"id\":\"p\",\"cursor\":\"E-%zu\"}", i + 1);
        expect(&s, text);
        snprintf(text, sizeof text, "{\"type\":\"message\",\"topic\":\"t\",\"id\":\"E-%zu\",%s}", i + 1,
                 kinds[i].heard);
        expect(&reader, text);
    }
    hang_up(&s);
    hang_up(&reader);
}

/* A publisher that is subscribed gets its message before it is told that it has its place. */
static void envelopes__publishers_hear_themselves_first(void **state)
{
    (void)state;
    serve_open_protocol();
    speaker s = joined();
    subscribe_to(&s, "t");
    say(&s, "{\"type\":\"publish\",\"topic\":\"t\",\"id\":1,\"data\":\"1\"}");
    expect(&s, MESSAGE(1, "1"));
    expect(&s, "{\"type\":\"published\",\"id\":1,\"cursor\":\"E-1\"}");
    hang_up(&s);
}

static void envelopes__publishes_without_an_answer(void **state)
{
    (void)state;
    serve_open_protocol();
    speaker s = joined();
    say(&s, "{\"type\":\"publish\",\"topic\":\"t\",\"data\":\"1\"}");
    expect_no_more(&s);
    check(&s, "{\"type\":\"publish\",\"topic\":\"t\",\"id\":1,\"data\":\"1\"}",
          "{\"type\":\"published\",\"id\":1,\"cursor\":\"E-2\"}");
    hang_up(&s);
}

/* It is the data that counts, as it is published. */
static void envelopes__publishes_up_to_the_limit(void **state)
{
    (void)state;
    serve_protocol(&(weft_topics_options){.publish = everything, .max_message_bytes = 6});
    speaker s = joined();
    check(&s, "{\"type\":\"publish\",\"topic\":\"t\",\"id\":1,\"data\":\"\\u00e9\\u00e9\\u00e9\"}",
          "{\"type\":\"published\",\"id\":1,\"cursor\":\"E-1\"}");
    check(&s, "{\"type\":\"publish\",\"topic\":\"t\",\"id\":1,\"data\":[ 1, 22 ]}",
          "{\"type\":\"published\",\"id\":1,\"cursor\":\"E-2\"}");
    check(&s, "{\"type\":\"publish\",\"topic\":\"t\",\"id\":1,\"kind\":\"binary\",\"data\":\"AAAAAAAA\"}",
          "{\"type\":\"published\",\"id\":1,\"cursor\":\"E-3\"}");
    check(
        &s, "{\"type\":\"publish\",\"topic\":\"t\",\"id\":2,\"data\":\"7 bytes\"}",
        "{\"type\":\"error\",\"id\":2,\"code\":\"too-large\",\"message\":\"the data is 7 bytes, and may be 6 (option: "
        "max_message_bytes)\"}");
    expect_no_more(&s);
    hang_up(&s);
}

/* ------------------------------------------------------------------------------------------------------------- who may */

static void envelopes__may_what_the_patterns_say(void **state)
{
    (void)state;
    static const char *const news[] = {"news/*", NULL}, *const talk[] = {"talk/*", NULL};
    serve_protocol(&(weft_topics_options){.subscribe = news, .publish = talk});
    speaker s = joined();
    check(&s, "{\"type\":\"subscribe\",\"topic\":\"talk/\\\"a\",\"id\":1}",
          "{\"type\":\"error\",\"id\":1,\"code\":\"forbidden\",\"message\":\"the topic \\\"talk/\\\"a\\\" may not be "
          "read "
          "here\"}");
    check(&s, "{\"type\":\"publish\",\"topic\":\"news/a\",\"id\":2,\"data\":0}",
          "{\"type\":\"error\",\"id\":2,\"code\":\"forbidden\",\"message\":\"the topic \\\"news/a\\\" may not be "
          "published to "
          "here\"}");
    check_error(&s, "{\"type\":\"presence\",\"topic\":\"talk/a\",\"id\":3}", "3", "forbidden");
    assert_int_equal(app->workers->hub.topics.n_entries, 0);
    subscribe_to(&s, "news/a");
    assert_memory_equal(plain(hear((say(&s, "{\"type\":\"publish\",\"topic\":\"talk/a\",\"id\":4,\"data\":0}"), &s))),
                        "{\"type\":\"published\",\"id\":4", 26);
    hang_up(&s);
}

static void envelopes__publish_nothing_unless_told(void **state)
{
    (void)state;
    serve_protocol(NULL);
    speaker s = joined();
    check_error(&s, "{\"type\":\"publish\",\"topic\":\"t\",\"id\":2,\"data\":0}", "2", "forbidden");
    subscribe_to(&s, "t");
    hang_up(&s);
}

static int verdict;

static int judge(const weft_access *access, void *user)
{
    assert_ptr_equal(user, &verdict);
    assert_null(access->request);
    assert_int_equal(access->peer.id, latest.id);
    happened("%s:%.*s ", access->publish ? "write" : "read", (int)access->topic.len, access->topic.at);
    return verdict;
}

static void envelopes__ask_the_program(void **state)
{
    (void)state;
    serve_protocol(&(weft_topics_options){.publish = everything, .allow = judge, .user = &verdict, .open = on_open});
    speaker s = joined();
    CLIENT_UNTIL(events_len());
    look();
    verdict = 0;
    check_error(&s, "{\"type\":\"subscribe\",\"topic\":\"a\",\"id\":1}", "1", "forbidden");
    check_error(&s, "{\"type\":\"presence\",\"topic\":\"b\",\"id\":2}", "2", "forbidden");
    check_error(&s, "{\"type\":\"publish\",\"topic\":\"c\",\"id\":3,\"data\":0}", "3", "forbidden");
    assert_string_equal(look(), "read:a read:b write:c ");
    verdict = 1;
    subscribe_to(&s, "a");
    check(&s, "{\"type\":\"unsubscribe\",\"topic\":\"a\"}", "{\"type\":\"unsubscribed\",\"topic\":\"a\"}");
    assert_string_equal(look(), "read:a ");
    hang_up(&s);
}

static void (*meanwhile)(weft_peer who);

static int allow_meanwhile(const weft_access *access, void *user)
{
    (void)user;
    meanwhile(access->peer);
    happened("%c ", access->topic.at[0]);
    return access->topic.at[0] != 'n';
}

static void cut_it(weft_peer who)
{
    assert_int_equal(weft_abort(who), 0);
}

static void close_it(weft_peer who)
{
    assert_int_equal(weft_close(who, 4000, "enough"), 0);
}

/* The program may end the client that it is asked about: nothing more is done of what that wanted, nor of what it said behind it. */
static void envelopes__program_may_close_who_asks(void **state)
{
    (void)state;
    static const char *const asked[] = {
        "{\"type\":\"subscribe\",\"topic\":\"y\",\"id\":1,\"presence\":true,\"since\":\"start\"}",
        "{\"type\":\"publish\",\"topic\":\"y\",\"id\":1,\"data\":0}",
        "{\"type\":\"presence\",\"topic\":\"y\",\"id\":1}",
        "{\"type\":\"publish\",\"topic\":\"n\",\"id\":1,\"data\":0}",
    };
    void (*const ends[])(weft_peer) = {cut_it, close_it};
    serve_protocol(&(weft_topics_options){.publish = everything, .allow = allow_meanwhile});
    publish_to("y", "kept");
    for (size_t i = 0; i < N_OF(asked) * N_OF(ends); i++) {
        speaker s = joined();
        char batch[512];
        meanwhile = ends[i % N_OF(ends)];
        if (by == BY_WEBSOCKET) {
            client_send_text(s.fd, asked[i / 2]);
            client_send_text(s.fd, asked[i / 2]);
            int end = client_receive(s.fd).opcode;
            assert_true(meanwhile == cut_it ? end <= 0 : end == CLIENT_CLOSE);
            close(s.fd);
        } else {
            snprintf(batch, sizeof batch, "[%s,%s]", asked[i / 2], asked[i / 2]);
            assert_int_equal(post_status(&s, batch, strlen(batch)), 404);
            hang_up(&s);
        }
        assert_int_equal(strlen(look()), 2); /* asked once */
        CLIENT_UNTIL(app->workers->hub.n_peers == 0 && app->workers->hub.sessions.n_entries == 0);
    }
    const topic *t = hub_find_topic(&app->workers->hub, STR("y"));
    assert_int_equal(t->head, 1);
    assert_int_equal(t->n_subscribers, 0);
    assert_null(hub_find_topic(&app->workers->hub, STR("n")));
}

static void publish_meanwhile(weft_peer who)
{
    weft_publish_text(weft_of(who), "y", "meanwhile");
    assert_int_equal(weft_subscribe(who, "y", NULL), 0);
}

static void envelopes__program_may_publish_when_asked(void **state)
{
    (void)state;
    serve_protocol(&(weft_topics_options){.publish = everything, .allow = allow_meanwhile});
    speaker s = joined();
    meanwhile = publish_meanwhile;
    say(&s, "{\"type\":\"publish\",\"topic\":\"y\",\"id\":1,\"data\":0}");
    expect(&s, "{\"type\":\"message\",\"topic\":\"y\",\"id\":\"E-2\",\"kind\":\"json\",\"data\":0}");
    expect(&s, "{\"type\":\"published\",\"id\":1,\"cursor\":\"E-2\"}");
    hang_up(&s);
}

/* -------------------------------------------------------------------------------------------------------------- limits */

static void envelopes__subscribes_up_to_the_limit(void **state)
{
    (void)state;
    assert_int_equal(renew(&(weft_options){.max_subscriptions = 2}), 0);
    serve_open_protocol();
    speaker s = joined();
    subscribe_to(&s, "a");
    subscribe_to(&s, "b");
    check(&s, "{\"type\":\"subscribe\",\"topic\":\"c\",\"id\":1}",
          "{\"type\":\"error\",\"id\":1,\"code\":\"too-many\",\"message\":\"a client may subscribe to at most 2 topics "
          "(option: max_subscriptions)\"}");
    subscribe_to(&s, "b");
    check(&s, "{\"type\":\"unsubscribe\",\"topic\":\"a\"}", "{\"type\":\"unsubscribed\",\"topic\":\"a\"}");
    subscribe_to(&s, "c");
    hang_up(&s);
}

static void envelopes__makes_topics_up_to_the_limit(void **state)
{
    (void)state;
    const char *full =
        "{\"type\":\"error\",\"id\":1,\"code\":\"too-many\",\"message\":\"there are 2 topics already, and may "
        "not be more (option: max_topics)\"}";
    assert_int_equal(renew(&(weft_options){.max_topics = 2}), 0);
    serve_open_protocol();
    speaker s = joined();
    subscribe_to(&s, "a");
    subscribe_to(&s, "b");
    check(&s, "{\"type\":\"subscribe\",\"topic\":\"c\",\"id\":1}", full);
    check(&s, "{\"type\":\"publish\",\"topic\":\"c\",\"id\":1,\"data\":0}", full);
    assert_null(app->workers->hub.limit);
    hang_up(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_ALL(envelopes__ids_are_repeated_as_they_are),
        ON_ALL(envelopes__ids_that_cannot_be_repeated_are_refused),
        ON_ALL_ONE(envelopes__wrong_ones_are_told_why),
        ON_ALL(envelopes__topics_without_a_name_are_refused),
        ON_ALL(envelopes__what_is_no_envelope_is_told_so),
        ON_ALL(envelopes__text_that_is_not_json_is_refused),
        ON_ALL(envelopes__unknown_members_are_ignored),
        ON_ALL(envelopes__data_nests_as_deep_as_is_said),
        ON_ALL(envelopes__subscribes_from_now_on),
        ON_ALL(envelopes__subscribes_from_the_start),
        ON_ALL(envelopes__subscribes_from_a_cursor),
        ON_ALL(envelopes__tells_a_gap_with_subscribed),
        ON_ALL(envelopes__subscribes_once),
        ON_ALL(envelopes__carries_many_topics),
        ON_ALL(envelopes__publishes_each_kind),
        ON_ALL(envelopes__publishers_hear_themselves_first),
        ON_ALL(envelopes__publishes_without_an_answer),
        ON_ALL(envelopes__publishes_up_to_the_limit),
        ON_ALL_ONE(envelopes__may_what_the_patterns_say),
        ON_ALL(envelopes__publish_nothing_unless_told),
        ON_ALL_ONE(envelopes__ask_the_program),
        ON_ALL_ONE(envelopes__program_may_close_who_asks),
        ON_ALL(envelopes__program_may_publish_when_asked),
        ON_ALL_ONE(envelopes__subscribes_up_to_the_limit),
        ON_ALL_ONE(envelopes__makes_topics_up_to_the_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
