/* Request bodies: collected or in pieces, refused, too slow, broken off. */
#include "http/fixture.h"

enum { MAX_BODY = 1000, LARGE_BODY = 300000 };

static uint64_t kept; /* the exchange that awaits its answer */

/* ---- the program ---- */

static int answer(exchange *e, str body)
{
    return exchange_answer(e, &(http_answer){.status = 200, .type = STR("text/plain"), .body = body});
}

static void happened_with(const char *what, str text)
{
    size_t shown = text.len < 40 ? text.len : 40;
    happened("%s%.*s%s ", what, (int)shown, shown ? text.at : "", shown < text.len ? "..." : "");
}

/* Answers with the body. */
static void serve_echo(exchange *e, const weft_request *request, void *user)
{
    (void)user;
    str body = weft_request_body(request);
    happened_with("echo:", body);
    assert_int_equal(weft_request_param(request, "none").len, 0);
    answer(e, body);
}

static void serve_later(exchange *e, const weft_request *request, void *user)
{
    (void)user;
    happened_with("later:", weft_request_body(request));
    kept = e->id;
}

static size_t n_streamed;      /* bytes */
static char streamed[1 << 20]; /* the first of them */

/* What a streamed route does besides noting; NULL: nothing. */
static void (*in_serve)(exchange *e);
static void (*in_body)(exchange *e, str piece);
static void (*in_gone)(exchange *e);

static void serve_streamed(exchange *e, const weft_request *request, void *user)
{
    (void)user;
    assert_null(weft_request_body(request).at);
    happened("serve ");
    n_streamed = 0;
    kept = e->id;
    if (in_serve)
        in_serve(e);
    assert_true(str_equal(weft_request_header(request, "Host"), STR("a"))); /* it lives on, whatever was answered */
}

static void take_body(exchange *e, str piece, void *user)
{
    (void)user;
    assert_int_equal(e->id, kept);
    if (!piece.at)
        happened_with("end:", (str){streamed, n_streamed});
    else
        assert_true(piece.len > 0 && n_streamed + piece.len <= sizeof streamed);
    memcpy(streamed + n_streamed, piece.len ? piece.at : "", piece.len);
    n_streamed += piece.len;
    if (in_body)
        in_body(e, piece);
}

static void note_gone(exchange *e, void *user)
{
    (void)user;
    assert_int_equal(e->id, kept);
    happened("gone ");
    if (in_gone)
        in_gone(e);
}

static void answer_ok(exchange *e)
{
    assert_int_equal(answer(e, STR("ok")), 0);
}

static void answer_at_the_end(exchange *e, str piece)
{
    if (!piece.at)
        answer_ok(e);
}

static void answer_at_once(exchange *e, str piece)
{
    (void)piece;
    answer_ok(e);
}

static int start(void **state)
{
    (void)state;
    kept = 0;
    in_serve = NULL;
    in_body = answer_at_the_end;
    in_gone = NULL;
    if (start_server())
        return -1;
    add_route("/now", (route_spec){.method = "GET", .serve = serve_echo});
    add_route("/echo", (route_spec){.method = "POST", .serve = serve_echo, .max_body_bytes = MAX_BODY});
    add_route("/large", (route_spec){.method = "POST", .serve = serve_echo, .max_body_bytes = LARGE_BODY});
    add_route("/later",
              (route_spec){.method = "POST", .serve = serve_later, .max_body_bytes = MAX_BODY, .gone = note_gone});
    add_route("/pieces", (route_spec){.method = "*",
                                      .serve = serve_streamed,
                                      .body = take_body,
                                      .gone = note_gone,
                                      .max_body_bytes = LARGE_BODY});
    return 0;
}

static int stop(void **state)
{
    (void)state;
    in_gone = NULL;
    stop_server();
    return 0;
}

/* ---- requests ---- */

#define POST(path)     "POST " path " HTTP/1.1\r\nHost: a\r\n"
#define LENGTH(n)      "Content-Length: " n "\r\n"
#define CHUNKED        "Transfer-Encoding: chunked\r\n"
#define EXPECT         "Expect: 100-continue\r\n"
#define ECHO_HELLO     POST("/echo") LENGTH("5") "\r\nhello"
#define ECHO_CHUNKED   POST("/echo") CHUNKED "\r\n3\r\nhel\r\n2;a=\"b\"\r\nlo\r\n0\r\nTrailer: x\r\n\r\n"
#define PIECES_HELLO   POST("/pieces") LENGTH("5") "\r\nhello"
#define PIECES_CHUNKED POST("/pieces") CHUNKED "\r\n3\r\nhel\r\n2;a=\"b\"\r\nlo\r\n0\r\nTrailer: x\r\n\r\n"
#define GET_NOW        "GET /now HTTP/1.1\r\nHost: a\r\n\r\n"
#define NOTHING        OK_HEAD "0\r\n\r\n"
#define HELLO          OK_HEAD "5\r\n\r\nhello"
#define CONTINUE       "HTTP/1.1 100 Continue\r\n\r\n"

static const char *const with_bodies[] = {ECHO_HELLO, ECHO_CHUNKED};
static const char *const in_pieces[] = {PIECES_HELLO, PIECES_CHUNKED};

/* ---- collected ---- */

static void incoming__comes_whole_with_its_head(void **state)
{
    (void)state;
    client *c = open_client();
    for (size_t i = 0; i < N_OF(with_bodies); i++) {
        put(c, with_bodies[i]);
        turn();
        check_happened("echo:hello ");
        gets_and_stays(c, HELLO);
    }
}

static void incoming__comes_byte_by_byte(void **state)
{
    (void)state;
    client *c = open_client();
    for (size_t i = 0; i < N_OF(with_bodies); i++) {
        put_slowly(c, with_bodies[i]);
        check_happened("echo:hello ");
        gets_and_stays(c, HELLO);
    }
}

/* With requests in front and behind, without and with bodies. */
static void check_cut(client *c, const char *all, size_t cut)
{
    put_bytes(c, all, cut);
    turn();
    put(c, all + cut);
    gets_and_stays(c, NOTHING HELLO HELLO HELLO NOTHING);
    check_happened("echo: echo:hello echo:hello echo:hello echo: ");
}

static void incoming__is_cut_anywhere_between_neighbours(void **state)
{
    (void)state;
    static const char all[] = GET_NOW ECHO_CHUNKED ECHO_HELLO ECHO_CHUNKED GET_NOW;
    client *c = open_client();
    for (size_t cut = 1; cut < strlen(all); cut++)
        check_cut(c, all, cut);
}

static void incoming__pipelined_is_answered_in_order(void **state)
{
    (void)state;
    client *c = open_client();
    put(c, POST("/later") LENGTH("3") "\r\n1st" POST("/later") CHUNKED "\r\n3\r\n2nd\r\n0\r\n\r\n" ECHO_HELLO);
    gets_and_stays(c, "");
    check_happened("later:1st ");
    answer(find_exchange(kept), STR("one"));
    gets_and_stays(c, OK_HEAD "3\r\n\r\none");
    check_happened("later:2nd ");
    answer(find_exchange(kept), STR("two"));
    gets_and_stays(c, OK_HEAD "3\r\n\r\ntwo" HELLO);
}

static void incoming__may_be_empty(void **state)
{
    (void)state;
    client *c = open_client();
    put(c, POST("/echo") LENGTH("0") "\r\n" POST("/echo") CHUNKED "\r\n0\r\n\r\n" POST("/echo") "\r\n" GET_NOW);
    gets_and_stays(c, NOTHING NOTHING NOTHING NOTHING);
}

/* Larger than the receive buffer of a turn and than what a socket holds. */
static void incoming__is_collected_up_to_the_limit(void **state)
{
    (void)state;
    static char body[LARGE_BODY + 1];
    client *c = open_client();
    put(c, POST("/large") LENGTH("300000") "\r\n");
    for (size_t i = 0; i < LARGE_BODY; i += 10000) {
        memset(body + i, 'a' + (int)(i / 10000 % 26), 10000);
        put_bytes(c, body + i, 10000);
        turn();
    }
    receive(c);
    const char *start_of_body = strstr(c->got, "\r\n\r\n");
    assert_non_null(start_of_body);
    assert_string_equal(start_of_body + 4, body);
}

static void incoming__of_a_get_is_read_too(void **state)
{
    (void)state;
    client *c = open_client();
    put(c, "GET /pieces HTTP/1.1\r\nHost: a\r\n" LENGTH("5") "\r\nhello" GET_NOW);
    gets_and_stays(c, OK NOTHING);
    check_happened("serve end:hello echo: ");
}

/* ---- 100-continue ---- */

static void incoming__is_asked_for_when_a_route_takes_it(void **state)
{
    (void)state;
    static const char *const heads[] = {POST("/echo") EXPECT LENGTH("5") "\r\n", POST("/echo") EXPECT CHUNKED "\r\n"};
    static const char *const rests[] = {"hello", "5\r\nhello\r\n0\r\n\r\n"};
    client *c = open_client();
    for (size_t i = 0; i < N_OF(heads); i++) {
        put(c, heads[i]);
        gets_and_stays(c, CONTINUE);
        put(c, rests[i]);
        gets_and_stays(c, HELLO);
    }
    put(c, POST("/pieces") EXPECT LENGTH("5") "\r\n");
    gets_and_stays(c, CONTINUE);
    put(c, "hello");
    gets_and_stays(c, OK);
}

static void incoming__is_not_asked_for_once_it_comes(void **state)
{
    (void)state;
    client *c = open_client();
    put(c, POST("/echo") EXPECT LENGTH("5") "\r\nh");
    gets_and_stays(c, "");
    put(c, "ello" POST("/echo") EXPECT LENGTH("5") "\r\nhello" POST("/echo") EXPECT CHUNKED "\r\n5");
    gets_and_stays(c, HELLO HELLO);
    put(c, "\r\nhello\r\n0\r\n\r\n" POST("/echo") EXPECT LENGTH("0") "\r\n" POST("/echo") EXPECT "\r\n");
    gets_and_stays(c, HELLO NOTHING NOTHING);
}

static void incoming__is_not_asked_for_in_http_1_0(void **state)
{
    (void)state;
    client *c = open_client();
    put(c, "POST /echo HTTP/1.0\r\n" EXPECT LENGTH("5") "\r\n");
    gets_and_stays(c, "");
    put(c, "hello");
    gets_and_end(c, OK_HEAD "5\r\nConnection: close\r\n\r\nhello");
}

static void incoming__is_not_asked_for_when_it_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *request;
        int status;
    } cases[] = {
        {POST("/nowhere") EXPECT LENGTH("5") "\r\n", 404},
        {POST("/now") EXPECT LENGTH("5") "\r\n", 405},
        {POST("/echo") EXPECT LENGTH("1001") "\r\n", 413},
        {POST("/echo") EXPECT LENGTH("5") "Origin: http://b\r\n\r\n", 403},
    };
    for (size_t i = 0; i < N_OF(cases); i++) {
        client *c = open_client();
        put(c, cases[i].request);
        gets_status_and_end(c, cases[i].status);
    }
}

/* ---- refused ---- */

static void incoming__that_is_too_large_is_refused_unread(void **state)
{
    (void)state;
    static const char *const requests[] = {
        POST("/echo") LENGTH("1001") "\r\n",
        POST("/echo") LENGTH("1001") "\r\nhello",
        POST("/echo") LENGTH("9223372036854775807") "\r\n",
        POST("/pieces") LENGTH("300001") "\r\n",
        POST("/echo") CHUNKED "\r\n3e9\r\n",
        POST("/echo") CHUNKED "\r\n5\r\nhello\r\n3e4\r\n",
        POST("/echo") CHUNKED "\r\nffffffffffffffff\r\n",
        "GET /now HTTP/1.1\r\nHost: a\r\n" LENGTH("1") "\r\nx", /* its limit is 0 */
    };
    for (size_t i = 0; i < N_OF(requests); i++) {
        client *c = open_client();
        put(c, requests[i]);
        put(c, GET_NOW);
        gets_status_and_end(c, 413);
        check_happened("");
    }
}

static void incoming__of_the_greatest_size_is_taken(void **state)
{
    (void)state;
    char request[3000];
    client *c = open_client();
    snprintf(request, sizeof request,
             POST("/echo") LENGTH("1000") "\r\n%01000d" POST("/echo") CHUNKED "\r\n3e8\r\n%01000d\r\n", 1, 2);
    put(c, request);
    put(c, "0\r\n\r\n" GET_NOW);
    receive(c);
    assert_false(c->ended);
    assert_non_null(strstr(c->got, "0001HTTP/1.1 200"));
    assert_non_null(strstr(c->got, "0002HTTP/1.1 200"));
}

/* Whole, so that the connection can say why; and never is something in a body taken for a request. */
static void incoming__that_nobody_takes_ends_the_connection(void **state)
{
    (void)state;
    static const struct {
        const char *head;
        int status;
    } cases[] = {
        {POST("/nowhere"), 404},
        {POST("/now"), 405},
        {POST("/echo") "Origin: http://b\r\n", 403},
        {"OPTIONS /echo HTTP/1.1\r\nHost: a\r\n", 204},
        {"POST /echo HTTP/1.1\r\nHost: evil.example\r\n", 421},
    };
    static const char *const bodies[] = {LENGTH("31") "\r\n" GET_NOW GET_NOW, LENGTH("500") "\r\n" GET_NOW,
                                         CHUNKED "\r\n1f\r\n" GET_NOW "\r\n0\r\n\r\n" GET_NOW};
    site_of(81)->loopback = true;
    for (size_t i = 0; i < N_OF(cases) * N_OF(bodies); i++) {
        client *c = &clients[0];
        bool loopback = cases[i / N_OF(bodies)].status == 421;
        assert_int_equal(open_client_on(c, loopback ? 81 : 80), 0);
        put(c, cases[i / N_OF(bodies)].head);
        put(c, bodies[i % N_OF(bodies)]);
        gets_status_and_end(c, cases[i / N_OF(bodies)].status);
        check_happened("");
    }
}

static void incoming__that_breaks_the_rules_ends_the_connection(void **state)
{
    (void)state;
    static const char *const bodies[] = {"g\r\n", "5\nhello", "5\r\nhelloX", "5\r\nhello\r\n0\r\nno field\r\n"};
    static const char *const heads[] = {POST("/echo") CHUNKED "\r\n", POST("/pieces") CHUNKED "\r\n"};
    for (size_t i = 0; i < N_OF(bodies) * N_OF(heads); i++) {
        client *c = open_client();
        put(c, heads[i % N_OF(heads)]);
        put(c, bodies[i / N_OF(heads)]);
        put(c, GET_NOW);
        gets_status_and_end(c, 400);
        check_happened(i % N_OF(heads) ? "serve gone " : "");
    }
}

/* ---- too slow ---- */

/* As if a window of its rate were over now. */
static void end_window(void)
{
    http1_connection *h = latest_connection();
    assert_true(timer_armed(&h->deadline));
    loop_arm(&the_loop, &h->deadline, 0, h->deadline.fire);
    wheel_advance(&the_loop.wheel, the_loop.wheel.now_ms + 1);
}

static void incoming__that_never_comes_is_answered_408(void **state)
{
    (void)state;
    static const char *const heads[] = {POST("/echo") LENGTH("5") "\r\n", POST("/echo") CHUNKED "\r\n"};
    for (size_t i = 0; i < N_OF(heads); i++) {
        client *c = open_client();
        put(c, heads[i]);
        turn();
        http1_connection *h = latest_connection();
        assert_in_range(h->deadline.at_ms - the_loop.now_ms, 9000, 10010); /* not looked at before */
        gets_and_stays(c, "");
        end_window();
        gets_status_and_end(c, 408);
        check_happened("");
    }
}

static void incoming__may_take_long_at_1_kib_a_second(void **state)
{
    (void)state;
    static char piece[10240];
    client *c = open_client();
    put(c, POST("/large") LENGTH("300000") "\r\n");
    memset(piece, 'x', sizeof piece);
    for (int n = 0; n < 20; n++) {
        put_bytes(c, piece, sizeof piece);
        turn();
        end_window();
        gets_and_stays(c, "");
    }
    put_bytes(c, piece, sizeof piece - 1);
    turn();
    end_window();
    gets_status_and_end(c, 408);
}

/* The setting min_body_bytes_per_s. */
static void incoming__may_be_as_slow_as_is_set(void **state)
{
    (void)state;
    static char piece[1000];
    client *c = open_client();
    the_server.min_body_bytes_per_s = 100;
    put(c, POST("/large") LENGTH("300000") "\r\n");
    put_bytes(c, piece, sizeof piece);
    turn();
    end_window();
    gets_and_stays(c, "");
    assert_int_equal(the_net.limits.n[LIMIT_BODY_RATE], 0);
    put_bytes(c, piece, sizeof piece - 1);
    turn();
    end_window();
    gets_status_and_end(c, 408);
    assert_int_equal(the_net.limits.n[LIMIT_BODY_RATE], 1);
}

/* What came fast at first does not count later. */
static void incoming__is_looked_at_again(void **state)
{
    (void)state;
    static char piece[200000];
    client *c = open_client();
    put(c, POST("/large") LENGTH("300000") "\r\n");
    put_bytes(c, piece, sizeof piece);
    turn();
    http1_connection *h = latest_connection();
    assert_in_range(h->deadline.at_ms - the_loop.now_ms, 9000, 10010);
    end_window();
    assert_in_range(h->deadline.at_ms - the_loop.now_ms, 9000, 10010);
    pass(10100);
    gets_status_and_end(c, 408);
}

static void incoming__in_pieces_is_judged_too(void **state)
{
    (void)state;
    client *c = open_client();
    put(c, POST("/pieces") LENGTH("5") "\r\nhell");
    turn();
    check_happened("serve ");
    end_window();
    check_happened("gone ");
    assert_null(find_exchange(kept));
    gets_status_and_end(c, 408);
}

static void incoming__that_has_come_is_judged_no_more(void **state)
{
    (void)state;
    in_body = NULL;
    client *c = open_client();
    put(c, PIECES_HELLO);
    gets_and_stays(c, "");
    assert_int_equal(the_loop.wheel.n_armed, 0);
    answer_ok(find_exchange(kept));
    put(c, POST("/later") CHUNKED "\r\n0\r\n\r\n");
    gets_and_stays(c, OK);
    assert_int_equal(the_loop.wheel.n_armed, 0);
}

/* ---- broken off ---- */

static void incoming__that_is_broken_off_ends_the_connection(void **state)
{
    (void)state;
    static const char *const heads[] = {POST("/echo") LENGTH("5") "\r\nhell", POST("/echo") CHUNKED "\r\n5\r\nhello",
                                        POST("/pieces") LENGTH("5") "\r\nhell",
                                        POST("/pieces") CHUNKED "\r\n5\r\nhello"};
    for (size_t i = 0; i < N_OF(heads) * 2; i++) {
        client *c = open_client();
        put(c, heads[i / 2]);
        turn();
        if (i % 2) {
            shutdown(c->fd, SHUT_WR);
            gets_and_end(c, "");
        }
        leave(c);
        check_happened(i / 2 < 2 ? "" : "serve gone ");
        assert_true(list_empty(&the_server.connections));
    }
    assert_int_equal(the_net.n_streams, 0);
}

static void incoming__that_came_whole_is_answered_after_the_clients_end(void **state)
{
    (void)state;
    in_body = NULL;
    client *c = open_client();
    put(c, PIECES_HELLO);
    turn();
    shutdown(c->fd, SHUT_WR);
    gets_and_stays(c, "");
    answer_ok(find_exchange(kept));
    gets_and_end(c, OK);
    check_happened("serve end:hello ");
}

static void incoming__goes_with_the_server(void **state)
{
    (void)state;
    static const char *const heads[] = {POST("/echo") LENGTH("5") "\r\nhell", POST("/pieces") LENGTH("5") "\r\nhell"};
    for (size_t i = 0; i < N_OF(heads); i++) {
        client *c = open_client();
        put(c, heads[i]);
        turn();
        http_server_abort(&the_server);
        gets_and_end(c, "");
    }
    check_happened("serve gone ");
}

static void incoming__under_way_is_taken_while_draining(void **state)
{
    (void)state;
    client *c = open_client();
    put(c, POST("/echo") LENGTH("5") "\r\nhell");
    turn();
    http_server_drain(&the_server);
    gets_and_stays(c, "");
    put(c, "o" GET_NOW);
    gets_and_end(c, OK_HEAD "5\r\nConnection: close\r\n\r\nhello");
}

/* ---- in pieces ---- */

static void pieces__come_behind_the_request_and_then_the_end(void **state)
{
    (void)state;
    client *c = open_client();
    for (size_t i = 0; i < N_OF(in_pieces); i++) {
        put(c, in_pieces[i]);
        gets_and_stays(c, OK);
        check_happened("serve end:hello ");
        put_slowly(c, in_pieces[i]);
        gets_and_stays(c, OK);
        check_happened("serve end:hello ");
    }
}

static void pieces__come_as_they_are_sent(void **state)
{
    (void)state;
    client *c = open_client();
    put(c, POST("/pieces") CHUNKED "\r\n5\r\nhe");
    turn();
    check_happened("serve ");
    assert_int_equal(n_streamed, 2);
    put(c, "llo\r\n3\r\n");
    turn();
    assert_int_equal(n_streamed, 5);
    put(c, "you\r\n0\r\n");
    turn();
    assert_int_equal(n_streamed, 8);
    check_happened("");
    put(c, "\r\n");
    turn();
    check_happened("end:helloyou ");
    gets_and_stays(c, OK);
}

static void pieces__are_cut_anywhere_between_neighbours(void **state)
{
    (void)state;
    static const char all[] = GET_NOW PIECES_CHUNKED ECHO_HELLO PIECES_HELLO GET_NOW;
    client *c = open_client();
    for (size_t cut = 1; cut < strlen(all); cut++) {
        put_bytes(c, all, cut);
        turn();
        put(c, all + cut);
        gets_and_stays(c, NOTHING OK HELLO OK NOTHING);
        check_happened("echo: serve end:hello echo:hello serve end:hello echo: ");
    }
}

/* Who answers at the end must be told of it, whatever the request. */
static void pieces__of_nothing_have_an_end(void **state)
{
    (void)state;
    static const char *const requests[] = {POST("/pieces") LENGTH("0") "\r\n", POST("/pieces") "\r\n",
                                           POST("/pieces") CHUNKED "\r\n0\r\n\r\n",
                                           "GET /pieces HTTP/1.1\r\nHost: a\r\n\r\n"};
    client *c = open_client();
    for (size_t i = 0; i < N_OF(requests); i++) {
        put(c, requests[i]);
        put(c, GET_NOW);
        gets_and_stays(c, OK NOTHING);
        check_happened("serve end: echo: ");
    }
    in_serve = answer_ok;
    put(c, requests[0]);
    put(c, GET_NOW);
    gets_and_stays(c, OK NOTHING);
    check_happened("serve echo: ");
}

static void pieces__of_a_large_body_keep_their_order(void **state)
{
    (void)state;
    static char body[LARGE_BODY];
    client *c = open_client();
    put(c, POST("/pieces") LENGTH("300000") "\r\n");
    for (size_t i = 0; i < LARGE_BODY; i++)
        body[i] = (char)(i * 2654435761u >> 24);
    for (size_t i = 0; i < LARGE_BODY; i += 30000) {
        put_bytes(c, body + i, 30000);
        turn();
    }
    gets_and_stays(c, OK);
    assert_int_equal(n_streamed, LARGE_BODY);
    assert_memory_equal(streamed, body, LARGE_BODY);
}

static void pieces__answered_before_the_first_close(void **state)
{
    (void)state;
    in_serve = answer_ok;
    for (size_t i = 0; i < N_OF(in_pieces); i++) {
        client *c = open_client();
        put(c, in_pieces[i]);
        put(c, GET_NOW);
        gets_and_end(c, OK_LAST);
        check_happened("serve ");
    }
}

static void pieces__answered_at_the_first_close(void **state)
{
    (void)state;
    in_body = answer_at_once;
    for (size_t i = 0; i < N_OF(in_pieces); i++) {
        client *c = open_client();
        put(c, in_pieces[i]);
        put(c, GET_NOW);
        gets_and_end(c, OK_LAST);
        check_happened("serve ");
    }
}

static void pieces__answered_between_two_close(void **state)
{
    (void)state;
    in_body = NULL;
    client *c = open_client();
    put(c, POST("/pieces") LENGTH("5") "\r\nhel");
    turn();
    answer_ok(find_exchange(kept));
    offer(c, "lo" GET_NOW);
    gets_and_end(c, OK_LAST);
    check_happened("serve ");
    assert_int_equal(n_streamed, 3);
}

static void pieces__answered_after_the_end_keep_the_connection(void **state)
{
    (void)state;
    in_body = NULL;
    client *c = open_client();
    put(c, PIECES_CHUNKED GET_NOW);
    gets_and_stays(c, "");
    check_happened("serve end:hello ");
    answer_ok(find_exchange(kept));
    gets_and_stays(c, OK NOTHING);
}

static void start_answer(exchange *e)
{
    assert_int_equal(exchange_start(e, &(http_answer){.status = 200}), 0);
}

static void write_back(exchange *e, str piece)
{
    assert_int_equal(piece.at ? exchange_write(e, piece) : exchange_end(e), 0);
}

/* An echo while it comes; the connection was to be closed when the answer began. */
static void pieces__are_answered_while_they_come(void **state)
{
    (void)state;
    in_serve = start_answer;
    in_body = write_back;
    client *c = open_client();
    put(c, POST("/pieces") LENGTH("5") "\r\nhel");
    gets_and_stays(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nhel\r\n");
    put(c, "lo" GET_NOW);
    gets_and_end(c, "2\r\nlo\r\n0\r\n\r\n");
    check_happened("serve end:hello ");
}

/* Nothing can be said in the middle of an answer: what stood there would be taken for a part of it. */
static void pieces__that_break_the_rules_cut_an_answer_short(void **state)
{
    (void)state;
    in_serve = start_answer;
    in_body = write_back;
    client *c = open_client();
    put(c, POST("/pieces") CHUNKED "\r\n3\r\nhel\r\n");
    gets_and_stays(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nhel\r\n");
    put(c, "no size\r\n");
    gets_and_end(c, "");
    check_happened("serve gone ");

    c = open_client();
    put(c, POST("/pieces") CHUNKED "\r\n3\r\nhel\r\n");
    receive(c);
    c->n_got = 0;
    end_window();
    gets_and_end(c, "");
    check_happened("serve gone ");
}

static void answer_again(exchange *e)
{
    assert_null(find_exchange(e->id)); /* it has no handle any more */
}

static void pieces__are_gone_once_and_not_answered_then(void **state)
{
    (void)state;
    in_body = NULL;
    in_gone = answer_again;
    for (int reset = 0; reset < 2; reset++) {
        client *c = open_client();
        put(c, reset ? PIECES_HELLO : POST("/pieces") LENGTH("5") "\r\nhel");
        turn();
        happenings[0] = '\0';
        leave(c);
        check_happened("gone ");
        assert_null(find_exchange(kept));
    }
}

static void pieces__are_never_gone_after_the_answer(void **state)
{
    (void)state;
    in_serve = answer_ok;
    client *c = open_client();
    put(c, POST("/pieces") LENGTH("5") "\r\nhel");
    turn();
    leave(c);
    in_serve = NULL;
    c = open_client();
    put(c, PIECES_HELLO);
    turn();
    leave(c);
    check_happened("serve serve end:hello ");
}

static void cut_all(exchange *e, str piece)
{
    (void)e;
    (void)piece;
    http_server_abort(&the_server);
}

static void lose_memory(exchange *e, str piece)
{
    (void)piece;
    mem_fail_from(1);
    assert_int_equal(exchange_answer(e, &(http_answer){.status = 200, .body = {streamed, 100000}}), -ENOMEM);
    mem_fail_from(0);
}

static void pieces__may_end_the_connection(void **state)
{
    (void)state;
    static void (*const ways[])(exchange *, str) = {cut_all, lose_memory};
    for (size_t i = 0; i < N_OF(ways) * N_OF(in_pieces); i++) {
        in_body = ways[i % N_OF(ways)];
        client *c = open_client();
        put(c, in_pieces[i / N_OF(ways)]);
        put(c, GET_NOW);
        gets_and_end(c, "");
        check_happened(i % N_OF(ways) ? "serve " : "serve gone ");
    }
}

/* ---- out of memory ---- */

/* Bodies of each kind; true when all were answered. */
static bool play(client *c)
{
    static char much[30000];
    if (open_client_on(c, 80))
        return false;
    memset(much, 'm', sizeof much - 1);
    offer(c, POST("/echo") EXPECT LENGTH("5") "\r\n");
    turn();
    offer(c, "hello" ECHO_CHUNKED PIECES_CHUNKED POST("/pieces") EXPECT CHUNKED "\r\n");
    turn();
    offer(c, "5\r\nhello\r\n0\r\n\r\n" POST("/large") LENGTH("29999") "\r\n");
    turn();
    offer(c, much);
    receive(c);
    drop_dates(c);
    static const char expected[] = CONTINUE HELLO HELLO OK CONTINUE OK OK_HEAD "29999\r\n\r\nmmm";
    bool well = !strncmp(c->got, expected, strlen(expected));
    if (!well)
        assert_true(c->ended);
    return well;
}

static void incoming__each_allocation_that_fails_ends_the_connection(void **state)
{
    for (uint64_t n = 1;; n++) {
        assert_int_equal(start(state), 0); /* so that nothing comes out of a cache */
        size_t n_descriptors = count_descriptors();
        uint64_t before = mem_count();
        mem_fail_from(n);
        bool well = play(&clients[0]);
        uint64_t used = mem_count() - before;
        mem_fail_from(0);
        assert_int_equal(well, used < n);
        happenings[0] = '\0';
        if (clients[0].fd >= 0)
            leave(&clients[0]);
        assert_true(list_empty(&the_server.connections));
        net_cut_lingering(&the_net);
        assert_int_equal(count_descriptors(), n_descriptors);
        stop(state);
        if (well)
            break;
    }
}

#define HTTP_TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        HTTP_TEST(incoming__comes_whole_with_its_head),
        HTTP_TEST(incoming__comes_byte_by_byte),
        HTTP_TEST(incoming__is_cut_anywhere_between_neighbours),
        HTTP_TEST(incoming__pipelined_is_answered_in_order),
        HTTP_TEST(incoming__may_be_empty),
        HTTP_TEST(incoming__is_collected_up_to_the_limit),
        HTTP_TEST(incoming__of_a_get_is_read_too),
        HTTP_TEST(incoming__is_asked_for_when_a_route_takes_it),
        HTTP_TEST(incoming__is_not_asked_for_once_it_comes),
        HTTP_TEST(incoming__is_not_asked_for_in_http_1_0),
        HTTP_TEST(incoming__is_not_asked_for_when_it_is_refused),
        HTTP_TEST(incoming__that_is_too_large_is_refused_unread),
        HTTP_TEST(incoming__of_the_greatest_size_is_taken),
        HTTP_TEST(incoming__that_nobody_takes_ends_the_connection),
        HTTP_TEST(incoming__that_breaks_the_rules_ends_the_connection),
        HTTP_TEST(incoming__that_never_comes_is_answered_408),
        HTTP_TEST(incoming__may_take_long_at_1_kib_a_second),
        HTTP_TEST(incoming__may_be_as_slow_as_is_set),
        HTTP_TEST(incoming__is_looked_at_again),
        HTTP_TEST(incoming__in_pieces_is_judged_too),
        HTTP_TEST(incoming__that_has_come_is_judged_no_more),
        HTTP_TEST(incoming__that_is_broken_off_ends_the_connection),
        HTTP_TEST(incoming__that_came_whole_is_answered_after_the_clients_end),
        HTTP_TEST(incoming__goes_with_the_server),
        HTTP_TEST(incoming__under_way_is_taken_while_draining),
        HTTP_TEST(pieces__come_behind_the_request_and_then_the_end),
        HTTP_TEST(pieces__come_as_they_are_sent),
        HTTP_TEST(pieces__are_cut_anywhere_between_neighbours),
        HTTP_TEST(pieces__of_nothing_have_an_end),
        HTTP_TEST(pieces__of_a_large_body_keep_their_order),
        HTTP_TEST(pieces__answered_before_the_first_close),
        HTTP_TEST(pieces__answered_at_the_first_close),
        HTTP_TEST(pieces__answered_between_two_close),
        HTTP_TEST(pieces__answered_after_the_end_keep_the_connection),
        HTTP_TEST(pieces__are_answered_while_they_come),
        HTTP_TEST(pieces__that_break_the_rules_cut_an_answer_short),
        HTTP_TEST(pieces__are_gone_once_and_not_answered_then),
        HTTP_TEST(pieces__are_never_gone_after_the_answer),
        HTTP_TEST(pieces__may_end_the_connection),
        cmocka_unit_test(incoming__each_allocation_that_fails_ends_the_connection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
