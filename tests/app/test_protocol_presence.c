/* Who is there, as weft.v1 tells it, and the names that clients have. */
#include "app/protocol_client.h"

#define WATCH "{\"type\":\"subscribe\",\"id\":1,\"topic\":\"room\",\"presence\":true}"
#define IS_IN "{\"type\":\"subscribed\",\"id\":1,\"topic\":\"room\",\"cursor\":\"E-0\",\"gap\":false}"
#define NEWS  "{\"type\":\"presence\",\"topic\":\"room\","

/* Says its name, and watches when it is to. */
static speaker named_by(carrier how, const char *name, bool watches)
{
    char envelope[512];
    speaker s = connect_by(how);
    snprintf(envelope, sizeof envelope, "{\"type\":\"hello\",\"name\":\"%s\"}", name);
    say(&s, envelope);
    if (watches)
        check(&s, WATCH, IS_IN);
    else
        subscribe_to(&s, "room");
    return s;
}

static speaker named(const char *name)
{
    return named_by(by, name, false);
}

static speaker watching(const char *name)
{
    return named_by(by, name, true);
}

/* ------------------------------------------------------------------------------------------------------------- watching */

/* All who are there first, behind `subscribed`, then those who come. */
static void presence__tells_who_is_there_and_who_comes(void **state)
{
    (void)state;
    serve_open_protocol();
    speaker s = watching("ann");
    expect(&s, NEWS "\"count\":1,\"members\":[\"ann\"]}");
    speaker other = named("b\\\"ob\\u00e9");
    expect(&s, NEWS "\"count\":2,\"joined\":[\"b\\\"ob\u00e9\"],\"left\":[]}");
    expect_no_more(&other);
    hang_up(&s);
    hang_up(&other);
}

/* Without a name of its own a client is present under the one that hello told it. */
static void presence__lists_the_name_that_hello_told(void **state)
{
    (void)state;
    char whole[128];
    serve_open_protocol();
    speaker s = joined();
    snprintf(whole, sizeof whole, NEWS "\"count\":1,\"members\":[\"%.20s\"]}", member("peer"));
    check(&s, WATCH, IS_IN);
    expect(&s, whole);
    hang_up(&s);
}

static void presence__lists_all_again_for_who_asks_again(void **state)
{
    (void)state;
    serve_open_protocol();
    speaker s = named("ann");
    expect_no_more(&s); /* it does not watch */
    check(&s, WATCH, IS_IN);
    expect(&s, NEWS "\"count\":1,\"members\":[\"ann\"]}");
    check(&s, WATCH, IS_IN);
    expect(&s, NEWS "\"count\":1,\"members\":[\"ann\"]}");
    subscribe_to(&s, "room"); /* it watches still */
    speaker other = named("bob");
    expect(&s, NEWS "\"count\":2,\"joined\":[\"bob\"],\"left\":[]}");
    hang_up(&s);
    hang_up(&other);
}

static void presence__tells_nothing_once_unsubscribed(void **state)
{
    (void)state;
    serve_open_protocol();
    speaker s = watching("ann"), other = watching("bob");
    expect(&s, NEWS "\"count\":1,\"members\":[\"ann\"]}");
    hear(&other);
    hear(&s);
    check(&s, "{\"type\":\"unsubscribe\",\"topic\":\"room\"}", "{\"type\":\"unsubscribed\",\"topic\":\"room\"}");
    speaker third = named("cid");
    expect(&other, NEWS "\"count\":3,\"joined\":[\"cid\"],\"left\":[]}");
    expect_no_more(&s);
    hang_up(&s);
    hang_up(&other);
    hang_up(&third);
}

static void presence__is_nothing_on_other_topics(void **state)
{
    (void)state;
    serve_open_protocol();
    speaker s = joined();
    subscribe_with(&s, "t", ",\"presence\":true");
    check(&s, "{\"type\":\"presence\",\"topic\":\"t\",\"id\":1}",
          "{\"type\":\"presence\",\"id\":1,\"topic\":\"t\",\"count\":0,\"members\":[]}");
    expect_no_more(&s);
    hang_up(&s);
}

/* Who polls goes when its lease is over, which is not waited for. */
static void end(speaker *s)
{
    if (s->by == BY_POLLS)
        weft_abort(peer_handle(session_of(s)->peer));
    hang_up(s);
}

/* On all carriers at once, as it takes its time: 5 s, in which whoever comes back was never away. */
static void presence__tells_who_left(void **state)
{
    (void)state;
    serve_open_protocol();
    speaker watchers[N_CARRIERS], gone[N_CARRIERS];
    static const char *const names[] = {"ann", "bob", "cid"}, *const watching_names[] = {"uma", "vic", "wat"};
    for (carrier how = 0; how < N_CARRIERS; how++) {
        gone[how] = named_by(how, names[how], false);
        watchers[how] = named_by(how, watching_names[how], true);
    }
    for (carrier how = 0; how < N_CARRIERS; how++)
        while (!strstr(hear(&watchers[how]), "\"count\":6"))
            ;
    uint64_t left_ms = client_now_ms();
    for (carrier how = 0; how < N_CARRIERS; how++)
        end(&gone[how]);
    speaker back = named_by(BY_WEBSOCKET, "bob", false);
    for (carrier how = 0; how < N_CARRIERS; how++) {
        expect(&watchers[how], NEWS "\"count\":4,\"joined\":[],\"left\":[\"ann\",\"cid\"]}");
        assert_in_range(client_now_ms() - left_ms, 4900, 10000);
        expect_no_more(&watchers[how]);
        hang_up(&watchers[how]);
    }
    hang_up(&back);
}

/* -------------------------------------------------------------------------------------------------------------- listing */

static void presence__lists_who_is_there(void **state)
{
    (void)state;
    serve_open_protocol();
    speaker s = joined(), ann = named("ann"), again = named("ann");
    check(&s, "{\"type\":\"presence\",\"topic\":\"room\",\"id\":\"x\"}",
          "{\"type\":\"presence\",\"id\":\"x\",\"topic\":\"room\",\"count\":1,\"members\":[\"ann\"]}");
    check(&s, "{\"type\":\"presence\",\"topic\":\"roomy\"}",
          "{\"type\":\"presence\",\"topic\":\"roomy\",\"count\":0,\"members\":[]}");
    assert_null(hub_find_topic(&app->workers->hub, STR("roomy")));
    speaker bob = named("bob");
    say(&s, "{\"type\":\"presence\",\"topic\":\"room\",\"id\":1}");
    assert_non_null(strstr(hear(&s), ",\"count\":2,\"members\":[\""));
    assert_true(strstr(client_bytes, "\"bob\"") && strstr(client_bytes, "\"ann\""));
    hang_up(&s);
    hang_up(&ann);
    hang_up(&again);
    hang_up(&bob);
}

enum { CROWD = 1000 };

static void join_crowd(weft_peer who)
{
    weft_subscribe(who, "room", NULL);
}

static void presence__counts_a_crowd(void **state)
{
    (void)state;
    serve_protocol(&(weft_topics_options){.open = join_crowd});
    for (int i = 0; i < CROWD; i++)
        assert_int_equal(status_of("GET /weft?session=new", "", NULL), 200);
    speaker s = joined();
    check(&s, "{\"type\":\"presence\",\"topic\":\"room\",\"id\":1}",
          "{\"type\":\"presence\",\"id\":1,\"topic\":\"room\",\"count\":1001}");
    check(&s, WATCH, IS_IN);
    expect(&s, NEWS "\"count\":1001}");
    hang_up(&s);
}

/* ---------------------------------------------------------------------------------------------------------------- names */

static void check_name_refused(speaker *s, const char *why)
{
    check_error(s, "{\"type\":\"hello\",\"id\":9,\"name\":\"other\"}", "9", "invalid");
    assert_string_equal(member("message"), why);
}

static void presence__names_are_said_before_the_first_subscribe(void **state)
{
    (void)state;
    const char *late = "a name is said before the first subscribe";
    serve_open_protocol();
    speaker s = joined();
    say(&s, "{\"type\":\"hello\",\"name\":\"first\"}");
    say(&s, "{\"type\":\"hello\",\"name\":\"ann\"}");
    subscribe_to(&s, "t");
    check_name_refused(&s, late);
    check(&s, WATCH, IS_IN);
    expect(&s, NEWS "\"count\":1,\"members\":[\"ann\"]}");
    check(&s, "{\"type\":\"unsubscribe\",\"topic\":\"t\"}", "{\"type\":\"unsubscribed\",\"topic\":\"t\"}");
    check(&s, "{\"type\":\"unsubscribe\",\"topic\":\"room\"}", "{\"type\":\"unsubscribed\",\"topic\":\"room\"}");
    check_name_refused(&s, late); /* under the old one it was seen */
    hang_up(&s);
}

static void identify(weft_peer who)
{
    assert_int_equal(weft_identify(who, "the program says"), 0);
}

/* A program that knows who its clients are would be fooled else. */
static void presence__names_that_the_program_gave_stay(void **state)
{
    (void)state;
    serve_protocol(&(weft_topics_options){.open = identify});
    speaker s = joined();
    check_name_refused(&s, "the server has given this client its name");
    check(&s, WATCH, IS_IN);
    expect(&s, NEWS "\"count\":1,\"members\":[\"the program says\"]}");
    hang_up(&s);
}

static void presence__names_are_up_to_255_bytes(void **state)
{
    (void)state;
    char name[257] = "", whole[1024];
    serve_open_protocol();
    memset(name, 'n', 256);
    speaker s = joined();
    snprintf(whole, sizeof whole, "{\"type\":\"hello\",\"name\":\"%s\"}", name);
    check_error(&s, whole, "", "invalid");
    hang_up(&s);
    name[255] = '\0';
    s = watching(name);
    snprintf(whole, sizeof whole, NEWS "\"count\":1,\"members\":[\"%s\"]}", name);
    expect(&s, whole);
    hang_up(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_ALL(presence__tells_who_is_there_and_who_comes),
        ON_ALL(presence__lists_the_name_that_hello_told),
        ON_ALL(presence__lists_all_again_for_who_asks_again),
        ON_ALL_ONE(presence__tells_nothing_once_unsubscribed),
        ON_ALL(presence__is_nothing_on_other_topics),
        APP_TEST(presence__tells_who_left),
        ON_ALL_ONE(presence__lists_who_is_there),
        ON_ALL_ONE(presence__counts_a_crowd),
        ON_ALL(presence__names_are_said_before_the_first_subscribe),
        ON_ALL(presence__names_that_the_program_gave_stay),
        ON_ALL(presence__names_are_up_to_255_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
