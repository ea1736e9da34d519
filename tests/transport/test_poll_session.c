#include "transport/poll_session.h"

#include "transport/poll_fixture.h"

enum { QUEUED_BYTES = 100000 };

/* ------------------------------------------------------------------------------------------------------ the program */

static uint64_t latest_id; /* the peer that opened last */
static const char *greeting;
static bool serves_at_once; /* else what came before is queued at the end of the turn */

static peer *latest_peer(void)
{
    return slots_get(&the_table, latest_id, SLOT_PEER);
}

static int send_text(peer *p, const char *text)
{
    return peer_send(p, &(weft_message){.kind = WEFT_TEXT, .data = str_from(text)});
}

static void on_open(weft_peer who)
{
    latest_id = who.id;
    const char *from = peer_text(latest_peer());
    happened("open%s%s;", from ? " " : "", from ? from : "");
    if (greeting)
        send_text(latest_peer(), greeting);
}

static void on_drain(weft_peer who)
{
    (void)who;
    happened("drain;");
}

static void on_close(weft_peer who, int code, weft_str reason)
{
    (void)who;
    happened("close %d %.*s;", code, (int)reason.len, reason.at);
}

#define RULES                                                                                                          \
    {                                                                                                                  \
        .open = on_open, .drain = on_drain, .close = on_close, .max_queued_bytes = QUEUED_BYTES, .peer_bytes = 24      \
    }

static const poll_session_kind objects = {
    .rules = RULES,
    .encoding = &encoding_object,
    .format = WIRE_OBJECT,
    .list = "messages",
    .max_wait_ms = MAX_WAIT_MS,
    .default_wait_ms = 25000,
    .route = &objects,
};

static const poll_session_kind envelopes = {
    .rules = RULES,
    .encoding = &encoding_envelope,
    .format = WIRE_ENVELOPE,
    .list = "envelopes",
    .lease_ms = 30000,
    .max_wait_ms = MAX_WAIT_MS,
    .default_wait_ms = 25000,
    .route = &envelopes,
};

static bool asks_for_new(const weft_request *request)
{
    char room[POLL_ASKED_BYTES];
    return str_equal(poll_asked(request, "session", room), STR("new"));
}

static void serve_objects(exchange *e, const weft_request *request, void *user)
{
    char room[POLL_ASKED_BYTES];
    str from = poll_asked(request, "since", room);
    (void)user;
    if (!asks_for_new(request)) {
        poll_session_poll(&the_hub, &objects, e, request);
        return;
    }
    peer *p = poll_session_new(&the_hub, &objects, request, from);
    if (!p) {
        exchange_refuse(e, 503, (str){NULL, 0});
        return;
    }
    if (hub_subscribe(&the_hub, p, weft_request_param(request, "*"), since_read(from), NULL))
        peer_abort(p);
    else if (serves_at_once)
        hub_serve(&the_hub, p);
    poll_session_begin(p, e);
}

static void serve_envelopes(exchange *e, const weft_request *request, void *user)
{
    (void)user;
    if (!asks_for_new(request)) {
        poll_session_poll(&the_hub, &envelopes, e, request);
        return;
    }
    peer *p = poll_session_new(&the_hub, &envelopes, request, (str){NULL, 0});
    if (!p)
        exchange_refuse(e, 503, (str){NULL, 0});
    else if (p->ops->say(p, STR("{\"type\":\"hello\"}")))
        peer_abort(p);
    if (p)
        poll_session_begin(p, e);
}

static int start_sessions(void **state)
{
    (void)state;
    assert_int_equal(start_hub(), 0);
    greeting = NULL;
    serves_at_once = true;
    latest_id = 0;
    add_route("/objects/*", (route_spec){.method = "GET", .serve = serve_objects});
    add_route("/envelopes", (route_spec){.method = "GET", .serve = serve_envelopes});
    return 0;
}

/* ------------------------------------------------------------------------------------------------------- the client */

static char id[SESSION_ID_BYTES + 1]; /* of the session that was opened last */

static void forget_got(client *c)
{
    c->n_got = 0;
    c->got[0] = '\0';
}

/* What stands behind `before`, so many bytes of it. */
static void take(const char *text, const char *before, char *to, size_t len)
{
    const char *at = strstr(text, before);
    assert_non_null(at);
    assert_true(strlen(at + strlen(before)) >= len);
    memcpy(to, at + strlen(before), len);
    to[len] = '\0';
}

/* The whole answer; `end` is what comes behind the list. */
static const char *session_answer(unsigned seq, const char *list, const char *values, const char *end)
{
    static char text[1 << 16];
    char body[1 << 15];
    int len = snprintf(body, sizeof body, "{\"session\":\"%s\",\"seq\":%u,\"%s\":[%s]%s}", id, seq, list, values, end);
    assert_true(len > 0 && (size_t)len < sizeof body);
    snprintf(text, sizeof text,
             "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
             "Cache-Control: no-store\r\n\r\n%s",
             len, body);
    return text;
}

static void gets_objects(client *c, unsigned seq, const char *values, const char *place, bool gap)
{
    char end[128];
    snprintf(end, sizeof end, ",\"cursor\":\"%s\",\"gap\":%s", place, gap ? "true" : "false");
    gets_and_stays(c, session_answer(seq, "messages", values, end));
}

static void gets_envelopes(client *c, unsigned seq, const char *values)
{
    gets_and_stays(c, session_answer(seq, "envelopes", values, ""));
}

static void receives_id(client *c)
{
    receive(c);
    take(c->got, "{\"session\":\"", id, SESSION_ID_BYTES);
}

/* A session whose first answer has nothing. */
static client *open_objects(const char *query)
{
    client *c = open_client();
    ask(c, "/objects/t?session=new%s", query);
    receives_id(c);
    gets_objects(c, 1, "", cursor_at("t", (unsigned)topic_named("t")->head), false);
    check_happened("open;");
    return c;
}

static client *open_envelopes(void)
{
    client *c = open_client();
    ask(c, "/envelopes?session=new");
    receives_id(c);
    gets_envelopes(c, 1, "{\"type\":\"hello\"}");
    check_happened("open;");
    return c;
}

static void gets_gone(client *c)
{
    gets_error(c, 404, "there is no such session, or it is over");
}

/* ---------------------------------------------------------------------------------------------------------- opening */

static void poll_session__opens_with_all_that_this_turn_sends(void **state)
{
    (void)state;
    char values[256];
    client *c = open_client();
    greeting = "welcome";
    ask(c, "/envelopes?session=new");
    receives_id(c);
    gets_envelopes(c, 1, "{\"type\":\"hello\"},{\"type\":\"message\",\"kind\":\"text\",\"data\":\"welcome\"}");
    publish("t", "one");
    ask(c, "/objects/t?session=new&since=start");
    receives_id(c);
    snprintf(values, sizeof values, "%s,{\"type\":\"text\",\"data\":\"welcome\"}", object("t", 1, "one"));
    gets_objects(c, 1, values, cursor_at("t", 1), false);
    serves_at_once = false;
    greeting = NULL;
    ask(c, "/objects/t?session=new&since=start");
    receives_id(c);
    gets_objects(c, 1, object("t", 1, "one"), cursor_at("t", 1), false);
    check_happened("open;open start;open start;");
}

static void poll_session__is_known_by_an_id_on_its_own_route(void **state)
{
    (void)state;
    char first[sizeof id];
    client *c = open_objects("");
    assert_int_equal(strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"), SESSION_ID_BYTES);
    assert_true(str_equal(poll_session_id(latest_peer()), str_from(id)));
    memcpy(first, id, sizeof id);
    ask(c, "/envelopes?session=%s&ack=1", id);
    gets_gone(c);
    ask(c, "/objects/t?session=AAAAAAAAAAAAAAAAAAAA&ack=1");
    gets_gone(c);
    ask(c, "/objects/t?session=&ack=1");
    gets_gone(c);
    ask(c, "/objects/t?ack=1");
    gets_gone(c);
    open_objects("");
    assert_string_not_equal(id, first);
    ask(c, "/objects/t?session=%s&ack=1&wait=0", id);
    gets_objects(c, 2, "", cursor_at("t", 0), false);
}

static void leave_at_once(exchange *e, const weft_request *request, void *user)
{
    (void)user;
    peer *p = poll_session_new(&the_hub, &objects, request, (str){NULL, 0});
    peer_abort(p);
    poll_session_begin(p, e);
}

static void poll_session__tells_one_that_left_before_its_answer(void **state)
{
    (void)state;
    client *c = open_client();
    add_route("/leave", (route_spec){.method = "GET", .serve = leave_at_once});
    ask(c, "/leave");
    gets_gone(c);
    assert_int_equal(the_hub.n_peers, 0);
    check_happened("");
}

/* ------------------------------------------------------------------------------------------------------- what comes */

static void poll_session__gets_a_burst_as_one_answer_in_order(void **state)
{
    (void)state;
    char values[1024];
    client *c = open_objects("");
    ask(c, "/objects/t?session=%s&ack=1&wait=25", id);
    gets_nothing(c);
    publish("t", "one");
    send_text(latest_peer(), "two");
    publish("t", "three");
    snprintf(values, sizeof values, "%s,{\"type\":\"text\",\"data\":\"two\"},%s", object("t", 1, "one"),
             object("t", 2, "three"));
    gets_objects(c, 2, values, cursor_at("t", 2), false);
    publish("t", "four"); /* between two polls */
    ask(c, "/objects/t?session=%s&ack=2&wait=25", id);
    gets_objects(c, 3, object("t", 3, "four"), cursor_at("t", 3), false);
    assert_int_equal(latest_peer()->messages_out, 4);
}

static void poll_session__gets_envelopes_of_many_topics(void **state)
{
    (void)state;
    char values[1024];
    client *c = open_envelopes();
    hub_subscribe(&the_hub, latest_peer(), STR("a"), (since){0}, NULL);
    hub_subscribe(&the_hub, latest_peer(), STR("b"), (since){0}, NULL);
    ask(c, "/envelopes?session=%s&ack=1", id);
    gets_nothing(c);
    publish("b", "one");
    publish("a", "two");
    snprintf(values, sizeof values,
             "{\"type\":\"message\",\"topic\":\"b\",\"id\":\"%s\",\"kind\":\"text\",\"data\":\"one\"},"
             "{\"type\":\"message\",\"topic\":\"a\",\"id\":\"%s\",\"kind\":\"text\",\"data\":\"two\"}",
             cursor_at("b", 1), cursor_at("a", 1));
    gets_envelopes(c, 2, values);
}

static void poll_session__tells_a_gap_once(void **state)
{
    (void)state;
    char values[512];
    client *c = open_client();
    publish("few", "one");
    ask(c, "/objects/few?session=new&since=0123456789ab-7");
    receives_id(c);
    gets_objects(c, 1, object("few", 1, "one"), cursor_at("few", 1), true);
    check_happened("open 0123456789ab-7;");
    ask(c, "/objects/few?session=%s&ack=1&wait=0", id);
    gets_objects(c, 2, "", cursor_at("few", 1), false);

    c = open_envelopes();
    since foreign = {.from = SINCE_CURSOR};
    ask(c, "/envelopes?session=%s&ack=1", id);
    gets_nothing(c);
    hub_subscribe(&the_hub, latest_peer(), STR("few"), foreign, NULL);
    snprintf(values, sizeof values,
             "{\"type\":\"gap\",\"topic\":\"few\",\"cursor\":\"%s\"},"
             "{\"type\":\"message\",\"topic\":\"few\",\"id\":\"%s\",\"kind\":\"text\",\"data\":\"one\"}",
             cursor_at("few", 0), cursor_at("few", 1));
    gets_envelopes(c, 2, values);
}

static void poll_session__tells_a_gap_with_nothing_behind_it(void **state)
{
    (void)state;
    client *c = open_client();
    ask(c, "/objects/none?session=new&since=0123456789ab-7");
    receives_id(c);
    gets_objects(c, 1, "", cursor_at("none", 0), true);
    check_happened("open 0123456789ab-7;");
}

static void poll_session__tells_a_gap_at_once(void **state)
{
    (void)state;
    client *c = open_client();
    since foreign = {.from = SINCE_CURSOR};
    ask(c, "/objects/none?session=new");
    receives_id(c);
    gets_objects(c, 1, "", cursor_at("none", 0), false);
    hub_unsubscribe(&the_hub, latest_peer(), STR("none"));
    hub_subscribe(&the_hub, latest_peer(), STR("none"), foreign, NULL);
    turn();
    ask(c, "/objects/none?session=%s&ack=1&wait=25", id);
    gets_objects(c, 2, "", cursor_at("none", 0), true);
    check_happened("open;");
}

static void poll_session__answers_with_what_its_peer_has_yet_to_queue(void **state)
{
    (void)state;
    char values[512];
    client *c = open_envelopes();
    publish("t", "one");
    hub_subscribe(&the_hub, latest_peer(), STR("other"), (since){0}, NULL);
    ask(c, "/envelopes?session=%s&ack=1", id);
    gets_nothing(c);
    publish("other", "two");
    hub_subscribe(&the_hub, latest_peer(), STR("t"), (since){.from = SINCE_START},
                  NULL); /* served at the end of the turn */
    snprintf(values, sizeof values,
             "{\"type\":\"message\",\"topic\":\"other\",\"id\":\"%s\",\"kind\":\"text\",\"data\":\"two\"},"
             "{\"type\":\"message\",\"topic\":\"t\",\"id\":\"%s\",\"kind\":\"text\",\"data\":\"one\"}",
             cursor_at("other", 1), cursor_at("t", 1));
    gets_envelopes(c, 2, values);
}

/* Images are many's: what is sent to one of them alone is not put behind one, though there may be room. */
static void poll_session__writes_into_no_image(void **state)
{
    (void)state;
    enum { N_SIZES = 64 };
    peer *peers[2];
    char ids[2][sizeof id], text[N_SIZES + 1] = "", values[512];
    client *c = NULL;
    for (int i = 0; i < 2; i++) {
        c = open_objects("");
        peers[i] = latest_peer();
        memcpy(ids[i], id, sizeof id);
    }
    for (unsigned n = 1; n <= N_SIZES; n++) {
        text[n - 1] = 'x';
        publish("t", text);
        send_text(peers[0], "a");
        send_text(peers[1], "b");
        for (int i = 0; i < 2; i++) {
            memcpy(id, ids[i], sizeof id);
            snprintf(values, sizeof values, "%s,{\"type\":\"text\",\"data\":\"%c\"}", object("t", n, text), 'a' + i);
            ask(c, "/objects/t?session=%s&ack=%u&wait=0", id, n);
            gets_objects(c, n + 1, values, cursor_at("t", n), false);
        }
    }
}

/* More of them than are kept by reference. */
static void poll_session__keeps_the_order_of_many(void **state)
{
    (void)state;
    static char values[1 << 15];
    size_t len = 0;
    client *c = open_objects("");
    for (unsigned i = 0; i < 200; i++) {
        char text[16];
        snprintf(text, sizeof text, "%u", i);
        if (i % 3 == 0)
            send_text(latest_peer(), text);
        else
            publish("t", text);
        if (i % 3 == 0)
            len += (size_t)snprintf(values + len, sizeof values - len, "%s{\"type\":\"text\",\"data\":\"%u\"}",
                                    i ? "," : "", i);
        else
            len += (size_t)snprintf(values + len, sizeof values - len, ",%s", object("t", i - i / 3, text));
    }
    assert_int_equal(latest_peer()->ops->queued(latest_peer()), len);
    ask(c, "/objects/t?session=%s&ack=1&wait=25", id);
    gets_objects(c, 2, values, cursor_at("t", 133), false);
}

/* -------------------------------------------------------------------------------------------------- acknowledgement */

static void poll_session__repeats_an_answer_that_was_lost(void **state)
{
    (void)state;
    client *c = open_objects("");
    publish("t", "one");
    ask(c, "/objects/t?session=%s&ack=1&wait=25", id);
    gets_objects(c, 2, object("t", 1, "one"), cursor_at("t", 1), false);
    publish("t", "two");
    for (int i = 0; i < 2; i++) {
        ask(c, "/objects/t?session=%s&ack=1&wait=25", id);
        gets_objects(c, 2, object("t", 1, "one"), cursor_at("t", 1), false);
    }
    ask(c, "/objects/t?session=%s&ack=2&wait=25", id);
    gets_objects(c, 3, object("t", 2, "two"), cursor_at("t", 2), false);
}

static void poll_session__refuses_what_it_did_not_say(void **state)
{
    (void)state;
    static const char *const wrong[] = {"",       "&ack=",   "&ack=0",  "&ack=2",
                                        "&ack=x", "&ack=-1", "&ack=1x", "&ack=18446744073709551617"};
    client *c = open_objects(""), *other = open_second();
    ask(c, "/objects/t?session=%s&ack=1&wait=25", id);
    gets_nothing(c);
    for (size_t i = 0; i < N_OF(wrong); i++) {
        ask(other, "/objects/t?session=%s&wait=25%s", id, wrong[i]);
        gets_error(other, 400, "ack is the seq of the last answer that arrived");
    }
    ask(other, "/objects/t?session=%s&ack=1&wait=soon", id);
    gets_error(other, 400, "wait is a number of seconds, as 25 or 0.5");
    publish("t", "one"); /* the one that waits goes on waiting */
    gets_objects(c, 2, object("t", 1, "one"), cursor_at("t", 1), false);
}

static void poll_session__ends_an_older_poll(void **state)
{
    (void)state;
    client *older = open_objects(""), *newer = open_second();
    ask(older, "/objects/t?session=%s&ack=1&wait=25", id);
    gets_nothing(older);
    ask(newer, "/objects/t?session=%s&ack=1&wait=25", id);
    gets_nothing(newer);
    gets_error(older, 409, "a newer poll of this session waits in place of this one");
    publish("t", "one");
    gets_objects(newer, 2, object("t", 1, "one"), cursor_at("t", 1), false);
}

static void poll_session__answers_with_nothing_when_its_time_is_over(void **state)
{
    (void)state;
    client *c = open_objects("");
    ask(c, "/objects/t?session=%s&ack=1&wait=20", id);
    gets_nothing(c);
    pass(19000);
    gets_nothing(c);
    pass(1100);
    gets_objects(c, 2, "", cursor_at("t", 0), false);
    ask(c, "/objects/t?session=%s&ack=2&wait=0", id);
    gets_objects(c, 3, "", cursor_at("t", 0), false);
}

static void poll_session__waits_as_long_as_usual_unless_told(void **state)
{
    (void)state;
    client *c = open_envelopes();
    ask(c, "/envelopes?session=%s&ack=1", id);
    pass(24000);
    gets_nothing(c);
    pass(1100);
    gets_envelopes(c, 2, "");
}

/* ------------------------------------------------------------------------------------------------------------- ends */

static void poll_session__ends_when_its_client_asks_no_more(void **state)
{
    (void)state;
    client *c = open_objects("&wait=10");
    pass(15000);
    gets_nothing(c);
    assert_int_equal(the_hub.n_peers, 1);
    pass(5100);
    turn();
    check_happened("close 1006 the client asked no more;");
    assert_int_equal(the_hub.n_peers, 0);
    ask(c, "/objects/t?session=%s&ack=1&wait=25", id);
    gets_gone(c);
}

static void poll_session__lives_while_a_poll_waits(void **state)
{
    (void)state;
    client *c = open_objects("&wait=5");
    ask(c, "/objects/t?session=%s&ack=1&wait=20", id);
    gets_nothing(c);
    pass(19000);
    gets_nothing(c);
    pass(1100);
    gets_objects(c, 2, "", cursor_at("t", 0), false);
    pass(15000); /* twice 20 s from now on; the clock is 20 s ahead already */
    turn();
    check_happened("");
    pass(5000);
    turn();
    check_happened("close 1006 the client asked no more;");
}

static void poll_session__is_kept_by_a_sign_of_life(void **state)
{
    (void)state;
    open_envelopes();
    peer *p = latest_peer();
    pass(29000);
    turn();
    assert_int_equal(the_hub.n_peers, 1);
    poll_session_touch(p); /* 30 s from now, and not from when the clock was put forward */
    pass(900);
    turn();
    assert_int_equal(the_hub.n_peers, 1);
    pass(1100);
    turn();
    check_happened("close 1006 the client asked no more;");
}

static void poll_session__outlives_a_client_that_went_while_waiting(void **state)
{
    (void)state;
    client *c = open_objects("");
    ask(c, "/objects/t?session=%s&ack=1&wait=25", id);
    gets_nothing(c);
    leave(c);
    publish("t", "one");
    turn();
    c = open_client();
    ask(c, "/objects/t?session=%s&ack=1&wait=25", id);
    gets_objects(c, 2, object("t", 1, "one"), cursor_at("t", 1), false);
    ask(c, "/objects/t?session=%s&ack=2&wait=25", id);
    gets_nothing(c);
    publish("t", "two"); /* queued for one that goes in the same turn */
    leave(c);
    pass(50100);
    turn();
    check_happened("close 1006 the client asked no more;");
}

static void poll_session__gives_what_is_queued_when_it_is_closed(void **state)
{
    (void)state;
    client *c = open_objects("");
    ask(c, "/objects/t?session=%s&ack=1&wait=25", id);
    gets_nothing(c);
    publish("t", "one");
    send_text(latest_peer(), "bye");
    char values[256];
    snprintf(values, sizeof values, "%s,{\"type\":\"text\",\"data\":\"bye\"}", object("t", 1, "one"));
    peer_close(latest_peer(), 1000, STR("enough"));
    gets_objects(c, 2, values, cursor_at("t", 1), false);
    check_happened("close 1000 enough;");
    ask(c, "/objects/t?session=%s&ack=2&wait=25", id);
    gets_gone(c);
}

static void poll_session__is_gone_when_closed_between_polls(void **state)
{
    (void)state;
    client *c = open_objects("");
    publish("t", "one");
    peer_close(latest_peer(), 1000, STR("enough"));
    ask(c, "/objects/t?session=%s&ack=1&wait=25", id);
    gets_gone(c);
    check_happened("close 1000 enough;");
}

static void poll_session__is_gone_when_cut(void **state)
{
    (void)state;
    client *c = open_objects("");
    ask(c, "/objects/t?session=%s&ack=1&wait=25", id);
    gets_nothing(c);
    publish("t", "one");
    peer_abort(latest_peer());
    gets_gone(c);
    check_happened("close 1006 ;");
}

static void poll_session__is_answered_when_the_server_stops(void **state)
{
    (void)state;
    char end[128];
    client *c = open_objects("");
    ask(c, "/objects/t?session=%s&ack=1&wait=25", id);
    gets_nothing(c);
    http_server_drain(&the_server);
    receive(c);
    snprintf(end, sizeof end, "\"seq\":2,\"messages\":[],\"cursor\":\"%s\",\"gap\":false}", cursor_at("t", 0));
    assert_non_null(strstr(c->got, "HTTP/1.1 200 OK\r\n"));
    assert_non_null(strstr(c->got, "\r\nConnection: close\r\n"));
    assert_non_null(strstr(c->got, end));
    assert_true(c->ended);
    forget_got(c);
}

/* ----------------------------------------------------------------------------------------------------------- a peer */

static void poll_session__drains_as_answers_are_acknowledged(void **state)
{
    (void)state;
    static char large[QUEUED_BYTES + 1];
    client *c = open_objects("");
    peer *p = latest_peer();
    memset(large, 'x', sizeof large - 1);
    assert_int_equal(send_text(p, large), WEFT_QUEUED);
    assert_int_equal(send_text(p, "more"), WEFT_E_FULL);
    ask(c, "/objects/t?session=%s&ack=1&wait=25", id);
    receive(c);
    forget_got(c);
    assert_true(p->ops->queued(p) > QUEUED_BYTES); /* it may have to be given again */
    assert_int_equal(send_text(p, "more"), WEFT_E_FULL);
    check_happened("");
    ask(c, "/objects/t?session=%s&ack=2&wait=0", id);
    gets_objects(c, 3, "", cursor_at("t", 0), false);
    check_happened("drain;");
    assert_int_equal(p->ops->queued(p), 0);
    assert_int_equal(send_text(p, "more"), 0);
}

/* Its subscription lags far behind, and is served on with each acknowledgement. */
static void poll_session__is_served_what_it_lags(void **state)
{
    (void)state;
    enum { N_MESSAGES = 500, LEN = 1000 };
    char text[LEN + 1] = "", query[64];
    unsigned received = 0, seq = 1;
    client *c = open_objects("");
    for (unsigned i = 0; i < N_MESSAGES; i++) {
        memset(text, '.', LEN);
        text[snprintf(text, 8, "%u", i)] = '.';
        publish("t", text);
    }
    assert_true(latest_peer()->n_lagging);
    for (; received < N_MESSAGES; seq++) {
        ask(c, "/objects/t?session=%s&ack=%u&wait=25", id, seq);
        receive(c);
        assert_true(c->n_got > 0);
        for (const char *at = c->got; (at = strstr(at, "\"data\":\"")) != NULL; at++)
            assert_int_equal(strtoul(at + 8, NULL, 10), received++);
        snprintf(query, sizeof query, "],\"cursor\":\"%s\",\"gap\":false}", cursor_at("t", received));
        assert_non_null(strstr(c->got, query));
        forget_got(c);
    }
    assert_in_range(seq, 6, 12);
    check_happened("");
}

static void poll_session__is_a_peer_like_any(void **state)
{
    (void)state;
    weft_peer_info info = {0};
    open_objects("");
    peer *p = latest_peer();
    assert_non_null(peer_data(p));
    p->ops->about(p, &info);
    assert_int_equal(info.transport, WEFT_TRANSPORT_LONG_POLL);
    assert_string_equal(info.address, "unix");
    assert_int_equal(p->ops->ping(p, STR("")), WEFT_E_UNSUPPORTED);
    static wire_end other;
    wire_open(&other);
    wire_ask(&other, "/objects/t?session=%s&ack=1&wait=0", id);
    p->ops->about(p, &info);
    assert_string_equal(info.address, "wire"); /* where it was heard of last */
    turn();
}

/* ---------------------------------------------------------------------------------------------- memory, and without */

static void poll_session__leaves_nothing_behind(void **state)
{
    (void)state;
    size_t before = 0;
    for (int i = 0; i < 3000; i++) {
        if (i == 10)
            before = live_bytes();
        client *c = open_objects("");
        publish("none", "x");
        ask(c, "/objects/t?session=%s&ack=1&wait=25", id);
        turn();
        if (i % 3 == 0)
            send_text(latest_peer(), "one");
        if (i % 3 == 1)
            leave(c);
        if (i % 2)
            peer_close(latest_peer(), 1000, STR(""));
        else
            peer_abort(latest_peer());
        turn();
        if (c->fd >= 0)
            leave(c);
        happenings[0] = '\0';
    }
    net_cut_lingering(&the_net);
    turn();
    assert_int_equal(live_bytes(), before);
}

/* True when everything was as it should be. */
static bool go_through_a_session(void)
{
    char text[600];
    client *c = &clients[0];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    if (open_client_on(c, 80))
        return false;
    ask(c, "/objects/t?session=new&since=0123456789ab-7");
    receive(c);
    if (!strstr(c->got, "{\"session\":\""))
        return false;
    take(c->got, "{\"session\":\"", id, SESSION_ID_BYTES);
    forget_got(c);
    if (!latest_peer() || send_text(latest_peer(), "one") || publish_message("t", WEFT_TEXT, NULL, str_from(text)))
        return false;
    ask(c, "/objects/t?session=%s&ack=1&wait=25", id);
    receive(c);
    if (!strstr(c->got, "xxx") || !strstr(c->got, "\"one\""))
        return false; /* the connection may be gone */
    forget_got(c);
    ask(c, "/objects/t?session=%s&ack=2&wait=25", id);
    receive(c);
    if (c->n_got || !latest_peer())
        return false;
    peer_close(latest_peer(), 1000, STR("over"));
    receive(c);
    return strstr(c->got, "\"seq\":3");
}

static void poll_session__does_without_memory(void **state)
{
    uint64_t n = 1;
    for (bool enough = false; !enough; n++) {
        assert_int_equal(start_sessions(state), 0);
        topic_named("t");
        uint64_t before = mem_count();
        mem_fail_from(n);
        bool good = go_through_a_session();
        enough = mem_count() - before < n;
        mem_fail_from(0);
        assert_true(good || !enough);
        while (the_hub.n_peers) {
            slots_each(&the_table, SLOT_PEER, abort_one, NULL);
            turn();
        }
        happenings[0] = '\0';
        open_objects(""); /* nobody else is harmed */
        assert_int_equal(stop_polls(state), 0);
    }
    print_message("# %lu allocations failed in turn\n", n - 2);
    assert_in_range(n, 20, 100);
}

static void poll_session__queues_small_ones_in_little(void **state)
{
    (void)state;
    enum { N_MESSAGES = 1000 };
    client *c = open_client();
    ask(c, "/objects/none?session=new");
    receives_id(c);
    forget_got(c);
    size_t before = live_bytes();
    for (int i = 0; i < N_MESSAGES; i++)
        publish("none", "x");
    turn();
    size_t each = (live_bytes() - before) / N_MESSAGES;
    print_message("# a queued message of %zu bytes takes %zu\n", latest_peer()->ops->queued(latest_peer()) / N_MESSAGES,
                  each);
#if !defined __SANITIZE_THREAD__ /* whose malloc tells nothing of itself */
    assert_in_range(each, 40, 100);
#endif
    check_happened("open;");
}

static void poll_session__costs_little(void **state)
{
    (void)state;
    enum { N_SESSIONS = 1000 };
    client *c = open_objects("");
    size_t before = live_bytes();
    for (int i = 0; i < N_SESSIONS; i++) {
        ask(c, "/objects/t?session=new");
        receive(c);
        ask(c, "/objects/t?session=%.22s&ack=1&wait=0", strstr(c->got, "n\":\"") + 4);
        receive(c);
        forget_got(c);
    }
    print_message("# a session takes %zu bytes of heap between two polls, its last answer with it\n",
                  (live_bytes() - before) / N_SESSIONS);
    assert_int_equal(the_hub.n_peers, N_SESSIONS + 1);
    assert_true((live_bytes() - before) / N_SESSIONS <= 1200);
}

/* ----------------------------------------------------------------------------------------------------- exactly once */

static unsigned next_random(unsigned n)
{
    static uint32_t seed = 20261120;
    seed = seed * 1664525 + 1013904223;
    return (seed >> 8) % n;
}

/* A client that polls in a loop while messages come in bursts; some answers are lost on the way, and asked for
 * again. */
static void poll_session__loses_and_repeats_nothing(void **state)
{
    (void)state;
    enum { N_MESSAGES = 10000 };
    unsigned published = 0, received = 0, n_lost = 0, seq = 1;
    client *c = open_objects("");
    for (bool asked = false; received < N_MESSAGES;) {
        for (unsigned n = next_random(3) ? 0 : next_random(100); n && published < N_MESSAGES; n--) {
            char text[16];
            snprintf(text, sizeof text, "%u", published++);
            publish("t", text);
        }
        if (!asked)
            ask(c, "/objects/t?session=%s&ack=%u&wait=25", id, seq);
        asked = true;
        if (next_random(2))
            turn();
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
        if (!c->n_got && published < N_MESSAGES)
            continue;
        assert_true(c->n_got > 0);
        assert_non_null(strstr(c->got, "\"gap\":false}"));
        for (const char *at = c->got; (at = strstr(at, "\"data\":\"")) != NULL; at++)
            assert_int_equal(strtoul(at + 8, NULL, 10), received++);
        char said[16];
        take(c->got, "\"seq\":", said, 10);
        seq = (unsigned)strtoul(said, NULL, 10);
        forget_got(c);
        asked = false;
    }
    print_message("# %u answers were lost\n", n_lost);
    assert_true(n_lost > 20);
    check_happened("");
}

#define SESSION_TEST(f) cmocka_unit_test_setup_teardown(f, start_sessions, stop_polls)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SESSION_TEST(poll_session__opens_with_all_that_this_turn_sends),
        SESSION_TEST(poll_session__is_known_by_an_id_on_its_own_route),
        SESSION_TEST(poll_session__tells_one_that_left_before_its_answer),
        SESSION_TEST(poll_session__gets_a_burst_as_one_answer_in_order),
        SESSION_TEST(poll_session__gets_envelopes_of_many_topics),
        SESSION_TEST(poll_session__tells_a_gap_once),
        SESSION_TEST(poll_session__tells_a_gap_with_nothing_behind_it),
        SESSION_TEST(poll_session__tells_a_gap_at_once),
        SESSION_TEST(poll_session__answers_with_what_its_peer_has_yet_to_queue),
        SESSION_TEST(poll_session__writes_into_no_image),
        SESSION_TEST(poll_session__keeps_the_order_of_many),
        SESSION_TEST(poll_session__repeats_an_answer_that_was_lost),
        SESSION_TEST(poll_session__refuses_what_it_did_not_say),
        SESSION_TEST(poll_session__ends_an_older_poll),
        SESSION_TEST(poll_session__answers_with_nothing_when_its_time_is_over),
        SESSION_TEST(poll_session__waits_as_long_as_usual_unless_told),
        SESSION_TEST(poll_session__ends_when_its_client_asks_no_more),
        SESSION_TEST(poll_session__lives_while_a_poll_waits),
        SESSION_TEST(poll_session__is_kept_by_a_sign_of_life),
        SESSION_TEST(poll_session__outlives_a_client_that_went_while_waiting),
        SESSION_TEST(poll_session__gives_what_is_queued_when_it_is_closed),
        SESSION_TEST(poll_session__is_gone_when_closed_between_polls),
        SESSION_TEST(poll_session__is_gone_when_cut),
        SESSION_TEST(poll_session__is_answered_when_the_server_stops),
        SESSION_TEST(poll_session__drains_as_answers_are_acknowledged),
        SESSION_TEST(poll_session__is_served_what_it_lags),
        SESSION_TEST(poll_session__is_a_peer_like_any),
        SESSION_TEST(poll_session__leaves_nothing_behind),
        cmocka_unit_test(poll_session__does_without_memory),
        SESSION_TEST(poll_session__queues_small_ones_in_little),
        SESSION_TEST(poll_session__costs_little),
        SESSION_TEST(poll_session__loses_and_repeats_nothing),
    };
    heap_begin();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
