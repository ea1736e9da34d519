#include "http/fixture.h"

enum { N_WAITING = 32, N_HANDED = 64 };

/* ---- the program ---- */

static uint64_t waiting[N_WAITING]; /* exchanges of /later and /chat, oldest first */
static size_t n_waiting;
static int n_results; /* answers that went wrong */

static void note_request(const weft_request *request)
{
    str method = weft_request_method(request), path = weft_request_path(request), query = weft_request_query(request);
    happened("%.*s %.*s%s%.*s;", (int)method.len, method.at, (int)path.len, path.at, query.len ? "?" : "",
             (int)query.len, query.at);
}

static int answer(exchange *e, int status, str body)
{
    http_answer a = {.status = status, .type = STR("text/plain"), .body = body};
    int error = exchange_answer(e, &a);
    n_results += error != 0;
    return error;
}

/* Answers with the query, or "ok". */
static void serve_now(exchange *e, const weft_request *request, void *user)
{
    (void)user;
    note_request(request);
    str query = weft_request_query(request);
    answer(e, 200, query.len ? query : STR("ok"));
}

static void serve_later(exchange *e, const weft_request *request, void *user)
{
    (void)user;
    note_request(request);
    assert_true(n_waiting < N_WAITING);
    waiting[n_waiting++] = e->id;
}

static void serve_refused(exchange *e, const weft_request *request, void *user)
{
    (void)user;
    note_request(request);
    n_results += exchange_refuse(e, 403, STR("")) != 0;
}

static void serve_status(exchange *e, const weft_request *request, void *user)
{
    (void)user;
    answer(e, (int)strtol(weft_request_param(request, "status").at, NULL, 10), STR("body"));
}

static void serve_fields(exchange *e, const weft_request *request, void *user)
{
    (void)user;
    (void)request;
    n_results += exchange_add_field(e, STR("X-One"), STR("1")) != 0;
    n_results += exchange_add_field(e, STR("Set-Cookie"), STR("a=b")) != 0;
    answer(e, 200, STR(""));
}

/* A head of more than the cork holds. */
static void serve_many_fields(exchange *e, const weft_request *request, void *user)
{
    static char value[10000];
    (void)user;
    (void)request;
    memset(value, 'v', sizeof value);
    for (int i = 0; i < 20; i++)
        n_results += exchange_add_field(e, STR("X-Large"), (str){value, sizeof value}) != 0;
    answer(e, 200, STR("ok"));
}

static char large[20000];

static void serve_large(exchange *e, const weft_request *request, void *user)
{
    (void)user;
    (void)request;
    memset(large, 'l', sizeof large);
    answer(e, 200, (str){large, sizeof large});
}

static exchange *exchange_waiting(size_t i)
{
    return find_exchange(waiting[i]);
}

#define GET_NOW "GET /now HTTP/1.1\r\nHost: a\r\n\r\n"
#define LATER   "GET /later HTTP/1.1\r\nHost: a\r\n\r\n"
#define UPGRADE                                                                                                        \
    "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"      \
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

static void serve_on(const char *pattern, const char *method, void (*serve)(exchange *, const weft_request *, void *))
{
    add_route(pattern, (route_spec){.method = method, .serve = serve, .max_body_bytes = 1000});
}

static int start(void **state)
{
    (void)state;
    n_waiting = 0;
    n_results = 0;
    if (start_server())
        return -1;
    serve_on("/now", "GET", serve_now);
    serve_on("/later", "GET", serve_later);
    serve_on("/refused", "GET", serve_refused);
    serve_on("/fields", "GET", serve_fields);
    serve_on("/many-fields", "GET", serve_many_fields);
    serve_on("/status/:status", "GET", serve_status);
    serve_on("/large", "GET", serve_large);
    serve_on("/form", "POST", serve_now);
    serve_on("/form-later", "POST", serve_later);
    serve_on(":8080/port", "GET", serve_now);
    serve_on("/chat", NULL, serve_later);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    http_server_abort(&the_server);
    for (size_t i = 0; i < n_waiting; i++)
        assert_null(exchange_waiting(i));
    stop_server();
    return n_results;
}

/* ---- answers ---- */

static void http1__answers_now(void **state)
{
    (void)state;
    client *c = open_client();
    put(c, GET_NOW);
    gets_and_stays(c, OK);
    put(c, "GET /now?hello=world HTTP/1.1\r\nHost: a\r\n\r\n");
    gets_and_stays(c, OK_HEAD "11\r\n\r\nhello=world");
    check_happened("GET /now;GET /now?hello=world;");
}

static void http1__says_the_date(void **state)
{
    (void)state;
    client *c = open_client();
    put(c, GET_NOW);
    receive(c);
    const char *date = strstr(c->got, "\r\nDate: ");
    assert_non_null(date);
    assert_memory_equal(date + strlen("\r\nDate: Sun, 06 Nov 1994 08:49:37"), " GMT\r\n", 6);
}

static void http1__answers_later(void **state)
{
    (void)state;
    client *c = open_client();
    put(c, LATER);
    gets_and_stays(c, "");
    assert_int_equal(n_waiting, 1);
    assert_ptr_equal(exchange_waiting(0)->context, &the_net);
    answer(exchange_waiting(0), 200, STR("at last"));
    assert_null(exchange_waiting(0));
    gets_and_stays(c, OK_HEAD "7\r\n\r\nat last");
    put(c, GET_NOW);
    gets_and_stays(c, OK);
}

static void http1__reads_requests_byte_by_byte(void **state)
{
    (void)state;
    client *c = open_client();
    for (int round = 0; round < 2; round++) {
        for (const char *at = GET_NOW; *at; at++) {
            put_bytes(c, at, 1);
            turn();
        }
        gets_and_stays(c, OK);
    }
}

static void http1__reads_requests_cut_anywhere(void **state)
{
    (void)state;
    client *c = open_client();
    const char *two = GET_NOW GET_NOW;
    for (size_t cut = 1; cut < strlen(two); cut++) {
        put_bytes(c, two, cut);
        turn();
        put(c, two + cut);
        gets_and_stays(c, OK OK);
    }
}

static void http1__answers_pipelined_requests_in_order_with_one_send(void **state)
{
    (void)state;
    client *c = open_client();
    char request[100], expected[4000] = "";
    char all[2000] = "";
    for (int i = 0; i < 16; i++) {
        snprintf(request, sizeof request, "GET /now?%d HTTP/1.1\r\nHost: a\r\n\r\n", i);
        strcat(all, request);
        snprintf(expected + strlen(expected), 100, OK_HEAD "%d\r\n\r\n%d", i < 10 ? 1 : 2, i);
    }
    put(c, all);
    turn();
    assert_int_equal(the_net.n_sends, 1);
    gets_and_stays(c, expected);
}

static void http1__serves_one_pipelined_request_at_a_time(void **state)
{
    (void)state;
    client *c = open_client();
    put(c, LATER GET_NOW LATER "GET /now?last HTTP/1.1\r\nHost: a\r\n\r\n");
    gets_and_stays(c, "");
    check_happened("GET /later;");
    answer(exchange_waiting(0), 200, STR("1st"));
    check_happened(""); /* not on the stack of whoever answers */
    gets_and_stays(c, OK_HEAD "3\r\n\r\n1st" OK);
    check_happened("GET /now;GET /later;");
    answer(exchange_waiting(1), 200, STR("3rd"));
    gets_and_stays(c, OK_HEAD "3\r\n\r\n3rd" OK_HEAD "4\r\n\r\nlast");
}

static void http1__answers_head_without_a_body(void **state)
{
    (void)state;
    client *c = open_client();
    put(c, "HEAD /now HTTP/1.1\r\nHost: a\r\n\r\n" GET_NOW);
    gets_and_stays(c, OK_HEAD "2\r\n\r\n" OK);
    put(c, "HEAD /nowhere HTTP/1.1\r\nHost: a\r\n\r\n" GET_NOW);
    gets_and_stays(
        c, "HTTP/1.1 404 Not Found\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 10\r\n\r\n" OK);
}

static void http1__some_statuses_have_no_body(void **state)
{
    (void)state;
    client *c = open_client();
    put(c, "GET /status/204 HTTP/1.1\r\nHost: a\r\n\r\n");
    gets_and_stays(c, "HTTP/1.1 204 No Content\r\nContent-Type: text/plain\r\n\r\n");
    put(c, "GET /status/304 HTTP/1.1\r\nHost: a\r\n\r\n");
    gets_and_stays(c, "HTTP/1.1 304 Not Modified\r\nContent-Type: text/plain\r\n\r\n");
    put(c, "GET /status/500 HTTP/1.1\r\nHost: a\r\n\r\n");
    gets_and_stays(c,
                   "HTTP/1.1 500 Internal Server Error\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\nbody");
}

static void http1__sends_the_programs_fields(void **state)
{
    (void)state;
    client *c = open_client();
    put(c, "GET /fields HTTP/1.1\r\nHost: a\r\n\r\n");
    gets_and_stays(c, OK_HEAD "0\r\nX-One: 1\r\nSet-Cookie: a=b\r\n\r\n");
}

static void http1__sends_a_head_of_any_size(void **state)
{
    (void)state;
    client *c = open_client();
    put(c, "GET /many-fields HTTP/1.1\r\nHost: a\r\n\r\n" GET_NOW);
    receive(c);
    assert_true(c->n_got > 200000);
    assert_non_null(strstr(c->got, "v\r\n\r\nokHTTP/1.1 200 OK\r\n"));
}

/* ---- whether the connection stays ---- */

static void http1__closes_when_asked_to(void **state)
{
    (void)state;
    client *c = open_client();
    put(c, "GET /now HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" GET_NOW);
    gets_and_end(c, OK_LAST);
    check_happened("GET /now;");
}

static void http1__serves_http_1_0(void **state)
{
    (void)state;
    client *c = open_client();
    put(c, "GET /now HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    gets_and_stays(c, OK_HEAD "2\r\nConnection: keep-alive\r\n\r\nok");
    put(c, "GET /now HTTP/1.0\r\n\r\n");
    gets_and_end(c, OK_LAST);
}

static void http1__a_refusal_closes(void **state)
{
    (void)state;
    client *c = open_client();
    put(c, "GET /refused HTTP/1.1\r\nHost: a\r\n\r\n" GET_NOW);
    gets_and_end(c, "HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 9\r\n"
                    "Connection: close\r\n\r\nForbidden");
}

static void http1__goes_on_behind_a_body(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        "Content-Length: 0\r\n\r\n",
        "Content-Length: 5\r\n\r\nhello",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    };
    for (size_t i = 0; i < N_OF(bodies); i++) {
        client *c = open_client();
        put(c, "POST /form HTTP/1.1\r\nHost: a\r\n");
        put(c, bodies[i]);
        put(c, GET_NOW);
        gets_and_stays(c, OK OK);
        close(c->fd);
    }
    check_happened("POST /form;GET /now;POST /form;GET /now;POST /form;GET /now;");
}

static void http1__a_body_that_nobody_reads_is_the_end(void **state)
{
    (void)state;
    static char body[40000];
    client *c = open_client();
    put(c, "POST /form-later HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
    put_bytes(c, body, sizeof body);
    gets_status_and_end(c, 413);
    check_happened("");
}

/* ---- nobody serves it ---- */

static void http1__says_why_a_path_is_not_served(void **state)
{
    (void)state;
    client *c = open_client();
    put(c, "GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n");
    gets_and_stays(c, "HTTP/1.1 404 Not Found\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 10\r\n\r\n"
                      "not found\n");
    put(c, "DELETE /now HTTP/1.1\r\nHost: a\r\n\r\n");
    gets_and_stays(c, "HTTP/1.1 405 Method Not Allowed\r\nContent-Type: text/plain; charset=utf-8\r\n"
                      "Content-Length: 36\r\nAllow: GET, HEAD, OPTIONS\r\n\r\nthis path does not take this method\n");
    put(c, "GET /chat HTTP/1.1\r\nHost: a\r\n\r\n" GET_NOW);
    gets_and_end(c, "HTTP/1.1 426 Upgrade Required\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 32\r\n"
                    "Upgrade: websocket\r\nConnection: Upgrade, close\r\n\r\nthis path speaks WebSocket only\n");
}

static void http1__knows_its_port(void **state)
{
    (void)state;
    client *c = open_client();
    put(c, "GET /port HTTP/1.1\r\nHost: a\r\n\r\n");
    receive(c);
    assert_memory_equal(c->got, "HTTP/1.1 404", 12);
    assert_int_equal(open_client_on(&clients[1], 8080), 0);
    put(&clients[1], "GET /port HTTP/1.1\r\nHost: a\r\n\r\n");
    gets_and_stays(&clients[1], OK);
}

static void http1__refuses_bad_heads_and_closes(void **state)
{
    (void)state;
    static char long_line[10000], long_field[20000];
    snprintf(long_line, sizeof long_line, "GET /%09000d HTTP/1.1\r\n", 0);
    snprintf(long_field, sizeof long_field, "GET / HTTP/1.1\r\nHost: a\r\nX: %018000d\r\n\r\n", 0);
    const struct {
        const char *head;
        int status;
    } cases[] = {
        {"GET / HTTP/1.1\r\n\r\n", 400},
        {"GET /now HTTP/1.1\r\nHost: a\r\n folded: b\r\n\r\n", 400},
        {"\x16\x03\x01", 400},
        {"GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET /a%2Fb HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"POST /form HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
        {"POST /form HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501},
        {"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505},
        {long_line, 414},
        {long_field, 431},
    };
    for (size_t i = 0; i < N_OF(cases); i++) {
        client *c = open_client();
        put(c, cases[i].head);
        put(c, GET_NOW);
        gets_status_and_end(c, cases[i].status);
        close(c->fd);
    }
    check_happened("");
}

static void http1__answers_what_came_before_a_bad_head(void **state)
{
    (void)state;
    client *c = open_client();
    put(c, GET_NOW "bad\r\n\r\n");
    receive(c);
    drop_dates(c);
    assert_memory_equal(c->got, OK "HTTP/1.1 400 ", strlen(OK "HTTP/1.1 400 "));
    assert_true(c->ended);
}

/* ---- time ---- */

static void http1__answers_408_when_a_head_takes_too_long(void **state)
{
    (void)state;
    client *c = open_client();
    turn();
    uint64_t opened_ms = the_loop.wheel.now_ms;
    static const char *const pieces[] = {"GET /now HT", "TP/1.1\r\n"};
    for (size_t i = 0; i < N_OF(pieces); i++) { /* neither of them puts it off */
        usleep(100 * 1000);
        put(c, pieces[i]);
        turn();
    }
    wheel_advance(&the_loop.wheel, opened_ms + HTTP_HEAD_TIMEOUT_MS - 50);
    gets_and_stays(c, "");
    wheel_advance(&the_loop.wheel, opened_ms + HTTP_HEAD_TIMEOUT_MS + 50);
    gets_status_and_end(c, 408);
}

static void http1__a_second_head_has_its_time_from_its_first_byte(void **state)
{
    (void)state;
    client *c = open_client();
    put(c, GET_NOW "GET /now");
    gets_and_stays(c, OK);
    pass(HTTP_HEAD_TIMEOUT_MS - 100);
    gets_and_stays(c, "");
    pass(200);
    gets_status_and_end(c, 408);
}

static void http1__closes_a_silent_connection_without_a_word(void **state)
{
    (void)state;
    client *c = open_client();
    pass(HTTP_HEAD_TIMEOUT_MS - 100);
    gets_and_stays(c, "");
    pass(200);
    gets_and_end(c, "");
}

static void http1__closes_an_idle_connection_without_a_word(void **state)
{
    (void)state;
    client *c = open_client();
    put(c, GET_NOW);
    gets_and_stays(c, OK);
    pass(HTTP_IDLE_TIMEOUT_MS - 100);
    gets_and_stays(c, "");
    pass(200);
    gets_and_end(c, "");
}

static void http1__an_answer_may_take_its_time(void **state)
{
    (void)state;
    client *c = open_client();
    put(c, LATER "GET /no");
    turn();
    assert_int_equal(the_loop.wheel.n_armed, 0);
    pass(10 * HTTP_IDLE_TIMEOUT_MS);
    gets_and_stays(c, "");
    answer(exchange_waiting(0), 200, STR("ok"));
    receive(c);
    drop_dates(c);
    assert_memory_equal(c->got, OK, strlen(OK));
}

/* ---- more than is asked for at once ---- */

static void http1__stops_reading_while_too_much_is_pipelined(void **state)
{
    (void)state;
    client *c = open_client();
    static char requests[100000], expected[400000];
    size_t len = 0, n_expected = 0;
    put(c, LATER);
    turn();
    for (int i = 0; len < sizeof requests - 100; i++) {
        len += (size_t)sprintf(requests + len, "GET /now?%06d HTTP/1.1\r\nHost: a\r\n\r\n", i);
        n_expected += (size_t)sprintf(expected + n_expected, OK_HEAD "6\r\n\r\n%06d", i);
    }
    size_t half = len / 2, sent = 0;
    while (sent < half) {
        size_t piece = half - sent < 1000 ? half - sent : 1000;
        if (send(c->fd, requests + sent, piece, MSG_NOSIGNAL) != (ssize_t)piece)
            break;
        sent += piece;
        turn();
    }
    assert_true(c->stream->paused);
    assert_true(c->stream->more->unread->len < 2 * HTTP1_MAX_HEAD_BYTES);
    check_happened("GET /later;");
    answer(exchange_waiting(0), 200, STR("000000"));
    turn();
    assert_false(c->stream->paused);
    happenings[0] = '\0';
    while (sent < len) {
        size_t piece = len - sent < 20000 ? len - sent : 20000;
        put_bytes(c, requests + sent, piece);
        sent += piece;
        receive(c);
        happenings[0] = '\0';
    }
    static char all[sizeof expected + 200];
    snprintf(all, sizeof all, OK_HEAD "6\r\n\r\n000000%s", expected);
    gets_and_stays(c, all);
}

/* A client that asks for much and takes nothing: what is unsent stays bounded, and it all comes once it reads. */
static void http1__serves_no_more_while_answers_are_not_taken(void **state)
{
    (void)state;
    static const char request[] = "GET /large HTTP/1.1\r\nHost: a\r\n\r\n";
    client *c = open_client();
    int bytes = 4096;
    setsockopt(c->stream->source.fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
    for (int i = 0; i < 50; i++) {
        put(c, request);
        turn();
        assert_true(c->stream->base.queued < 128 * 1024);
    }
    assert_true(c->stream->paused);
    size_t total = 0;
    for (int quiet = 0; quiet < 3;) {
        c->n_got = 0;
        ssize_t got = recv(c->fd, c->got, sizeof c->got, 0);
        quiet = got > 0 ? 0 : quiet + 1;
        total += got > 0 ? (size_t)got : 0;
        turn();
    }
    assert_in_range(total, 50 * sizeof large, 50 * (sizeof large + 200));
    put(c, GET_NOW);
    gets_and_stays(c, OK);
}

/* ---- the client's end ---- */

static void http1__answers_a_client_that_has_nothing_more_to_send(void **state)
{
    (void)state;
    client *c = open_client();
    put(c, GET_NOW);
    shutdown(c->fd, SHUT_WR);
    gets_and_end(c, OK);

    c = open_client();
    put(c, LATER);
    shutdown(c->fd, SHUT_WR);
    gets_and_stays(c, "");
    assert_non_null(exchange_waiting(0));
    answer(exchange_waiting(0), 200, STR("ok"));
    gets_and_end(c, OK);
}

/* As `printf … | nc -N` does. */
static void http1__answers_all_that_was_pipelined_before_the_clients_end(void **state)
{
    (void)state;
    client *c = open_client();
    put(c, LATER GET_NOW LATER GET_NOW);
    turn();
    shutdown(c->fd, SHUT_WR);
    gets_and_stays(c, "");
    answer(exchange_waiting(0), 200, STR("ok"));
    gets_and_stays(c, OK OK);
    answer(exchange_waiting(1), 200, STR("ok"));
    gets_and_end(c, OK OK);
}

static void http1__closes_when_the_client_does_between_or_inside_requests(void **state)
{
    (void)state;
    client *c = open_client();
    shutdown(c->fd, SHUT_WR);
    gets_and_end(c, "");
    c = open_client();
    put(c, "GET /now HTTP/1.1\r\nHo");
    turn();
    shutdown(c->fd, SHUT_WR);
    gets_and_end(c, "");
    assert_true(list_empty(&the_server.connections));
}

static void http1__an_exchange_goes_with_its_client(void **state)
{
    (void)state;
    client *c = open_client();
    put(c, LATER GET_NOW);
    turn();
    assert_non_null(exchange_waiting(0));
    close(c->fd);
    c->fd = -1;
    turn();
    turn();
    assert_null(exchange_waiting(0));
    assert_true(list_empty(&the_server.connections));
    assert_int_equal(the_net.n_streams, 0);
}

/* ---- upgrades ---- */

static char handed[N_HANDED]; /* the first bytes of them */
static size_t n_handed;
static sink *taken;

static size_t taken_data(void *owner, char *at, size_t len)
{
    (void)owner;
    size_t room = sizeof handed - 1 - strlen(handed);
    strncat(handed, at, len < room ? len : room);
    n_handed += len;
    return len;
}

static void taken_ended(void *owner)
{
    (void)owner;
    taken->ops->end(taken);
    taken = NULL;
}

static void taken_gone(void *owner, int error)
{
    (void)owner;
    (void)error;
    taken = NULL;
}

static const sink_events taker = {.data = taken_data, .eof = taken_ended, .gone = taken_gone};

static int take_over(exchange *e)
{
    handed[0] = '\0';
    n_handed = 0;
    taken = NULL;
    int error = e->ops->switch_protocol(e, STR("HTTP/1.1 101 Switching Protocols\r\n\r\n"), &taken);
    if (error)
        return error;
    sink_bind(taken, &taker, NULL);
    taken->ops->rebind(taken);
    return 0;
}

static void http1__gives_the_connection_away(void **state)
{
    (void)state;
    client *c = open_client();
    put(c, UPGRADE "early");
    turn();
    assert_int_equal(take_over(exchange_waiting(0)), 0);
    assert_null(exchange_waiting(0));
    assert_true(list_empty(&the_server.connections));
    gets_and_stays(c, "HTTP/1.1 101 Switching Protocols\r\n\r\n");
    assert_string_equal(handed, "early");
    put(c, " late");
    turn();
    assert_string_equal(handed, "early late");
    close(c->fd);
    c->fd = -1;
    turn();
    assert_null(taken);
}

static void http1__gives_away_a_connection_that_was_paused(void **state)
{
    (void)state;
    static char much[20000];
    client *c = open_client();
    put(c, UPGRADE);
    turn();
    memset(much, 'x', sizeof much);
    put_bytes(c, much, sizeof much);
    turn();
    assert_true(c->stream->paused);
    assert_int_equal(take_over(exchange_waiting(0)), 0);
    assert_false(c->stream->paused);
    turn();
    assert_int_equal(n_handed, sizeof much);
    taken->ops->abort(taken);
}

static void http1__tells_the_new_owner_of_an_end_that_came_before(void **state)
{
    (void)state;
    client *c = open_client();
    put(c, UPGRADE "early");
    turn();
    shutdown(c->fd, SHUT_WR);
    turn();
    assert_int_equal(take_over(exchange_waiting(0)), 0);
    gets_and_end(c, "HTTP/1.1 101 Switching Protocols\r\n\r\n");
    assert_string_equal(handed, "early");
    assert_null(taken);
}

static void http1__a_refused_upgrade_closes(void **state)
{
    (void)state;
    client *c = open_client();
    put(c, UPGRADE GET_NOW);
    turn();
    assert_int_equal(exchange_refuse(exchange_waiting(0), 403, STR("no")), 0);
    gets_status_and_end(c, 403);
    check_happened("GET /chat;");
}

static void http1__an_upgrade_that_is_answered_otherwise_closes(void **state)
{
    (void)state;
    client *c = open_client();
    put(c, UPGRADE GET_NOW);
    turn();
    answer(exchange_waiting(0), 200, STR("ok"));
    gets_and_end(c, OK_LAST);
}

/* ---- the server's end ---- */

static void http1__draining_closes_idle_connections_and_marks_last_answers(void **state)
{
    (void)state;
    client *idle = open_client(), *busy = &clients[1];
    assert_int_equal(open_client_on(busy, 80), 0);
    put(idle, GET_NOW);
    put(busy, LATER GET_NOW);
    gets_and_stays(idle, OK);
    http_server_drain(&the_server);
    gets_and_end(idle, "");
    gets_and_stays(busy, "");
    answer(exchange_waiting(0), 200, STR("ok"));
    gets_and_end(busy, OK_LAST);
    check_happened("GET /now;GET /later;");
}

static void http1__draining_some_begins_with_the_oldest(void **state)
{
    (void)state;
    client *first = open_client(), *second = &clients[1];
    assert_int_equal(open_client_on(second, 80), 0);
    turn();
    assert_int_equal(the_server.n_connections, 2);
    http_server_drain_some(&the_server, 0);
    gets_and_stays(first, "");
    http_server_drain_some(&the_server, 1);
    gets_and_end(first, "");
    gets_and_stays(second, "");
    assert_int_equal(the_server.n_connections, 1);
    put(second, GET_NOW);
    gets_and_end(second, OK_LAST);
    assert_int_equal(the_server.n_connections, 0);
    http_server_drain_some(&the_server, 5);
    check_happened("GET /now;");
}

static void http1__draining_some_looks_at_nobody_twice(void **state)
{
    (void)state;
    client *busy = open_client(), *idle = &clients[1];
    put(busy, LATER);
    turn();
    assert_int_equal(open_client_on(idle, 80), 0);
    http_server_drain_some(&the_server, 1);
    gets_and_stays(busy, "");
    gets_and_stays(idle, "");
    http_server_drain_some(&the_server, 1);
    gets_and_end(idle, "");
    answer(exchange_waiting(0), 200, STR("ok"));
    gets_and_end(busy, OK_LAST);
    check_happened("GET /later;");
}

static void http1__draining_lets_a_request_under_way_finish(void **state)
{
    (void)state;
    client *c = open_client();
    put(c, "GET /now HTTP/1.1\r\n");
    turn();
    http_server_drain(&the_server);
    gets_and_stays(c, "");
    put(c, "Host: a\r\n\r\n");
    gets_and_end(c, OK_LAST);
}

static void http1__abort_cuts_everybody(void **state)
{
    (void)state;
    client *c = open_client(), *other = &clients[1];
    assert_int_equal(open_client_on(other, 80), 0);
    put(c, LATER);
    put(other, "GET");
    turn();
    http_server_abort(&the_server);
    assert_null(exchange_waiting(0));
    gets_and_end(c, "");
    gets_and_end(other, "");
    assert_int_equal(the_net.n_streams, 0);
}

/* ---- out of memory ---- */

/* Requests of each kind; true when all were answered. */
static bool play(client *c)
{
    char expected[2000];
    if (open_client_on(c, 80))
        return false;
    put(c, "GET /now HTTP/1.1\r\nHo");
    turn();
    offer(c, "st: a\r\n\r\n" LATER "GET /fields HTTP/1.1\r\nHost: a\r\n\r\n");
    turn();
    if (n_waiting && exchange_waiting(0))
        answer(exchange_waiting(0), 200, STR("ok"));
    turn();
    offer(c, "GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n" UPGRADE);
    turn();
    if (n_waiting == 2 && exchange_waiting(1))
        take_over(exchange_waiting(1));
    receive(c);
    drop_dates(c);
    snprintf(
        expected, sizeof expected, "%s%s%s%s", OK OK, OK_HEAD "0\r\nX-One: 1\r\nSet-Cookie: a=b\r\n\r\n",
        "HTTP/1.1 404 Not Found\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 10\r\n\r\nnot found\n",
        "HTTP/1.1 101 Switching Protocols\r\n\r\n");
    bool well = !strcmp(c->got, expected);
    if (!well)
        assert_true(c->ended || n_results); /* cut, or without a field of the program's, which was told so */
    return well;
}

static void http1__each_allocation_that_fails_ends_the_connection(void **state)
{
    client *c = &clients[0];
    assert_int_equal(start(state), 0); /* its loop is never freed of what it caches, so each round has a fresh one */
    assert_int_equal(stop(state), 0);
    size_t n_descriptors = count_descriptors();
    for (uint64_t n = 1;; n++) {
        assert_int_equal(start(state), 0);
        uint64_t before = mem_count();
        mem_fail_from(n);
        bool well = play(c);
        uint64_t used = mem_count() - before;
        mem_fail_from(0);
        assert_int_equal(well, used < n);
        if (taken)
            taken->ops->abort(taken);
        taken = NULL;
        stop(state);
        assert_int_equal(count_descriptors(), n_descriptors);
        if (well)
            break;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(http1__answers_now, start, stop),
        cmocka_unit_test_setup_teardown(http1__says_the_date, start, stop),
        cmocka_unit_test_setup_teardown(http1__answers_later, start, stop),
        cmocka_unit_test_setup_teardown(http1__reads_requests_byte_by_byte, start, stop),
        cmocka_unit_test_setup_teardown(http1__reads_requests_cut_anywhere, start, stop),
        cmocka_unit_test_setup_teardown(http1__answers_pipelined_requests_in_order_with_one_send, start, stop),
        cmocka_unit_test_setup_teardown(http1__serves_one_pipelined_request_at_a_time, start, stop),
        cmocka_unit_test_setup_teardown(http1__answers_head_without_a_body, start, stop),
        cmocka_unit_test_setup_teardown(http1__some_statuses_have_no_body, start, stop),
        cmocka_unit_test_setup_teardown(http1__sends_the_programs_fields, start, stop),
        cmocka_unit_test_setup_teardown(http1__sends_a_head_of_any_size, start, stop),
        cmocka_unit_test_setup_teardown(http1__closes_when_asked_to, start, stop),
        cmocka_unit_test_setup_teardown(http1__serves_http_1_0, start, stop),
        cmocka_unit_test_setup_teardown(http1__a_refusal_closes, start, stop),
        cmocka_unit_test_setup_teardown(http1__goes_on_behind_a_body, start, stop),
        cmocka_unit_test_setup_teardown(http1__a_body_that_nobody_reads_is_the_end, start, stop),
        cmocka_unit_test_setup_teardown(http1__says_why_a_path_is_not_served, start, stop),
        cmocka_unit_test_setup_teardown(http1__knows_its_port, start, stop),
        cmocka_unit_test_setup_teardown(http1__refuses_bad_heads_and_closes, start, stop),
        cmocka_unit_test_setup_teardown(http1__answers_what_came_before_a_bad_head, start, stop),
        cmocka_unit_test_setup_teardown(http1__answers_408_when_a_head_takes_too_long, start, stop),
        cmocka_unit_test_setup_teardown(http1__a_second_head_has_its_time_from_its_first_byte, start, stop),
        cmocka_unit_test_setup_teardown(http1__closes_a_silent_connection_without_a_word, start, stop),
        cmocka_unit_test_setup_teardown(http1__closes_an_idle_connection_without_a_word, start, stop),
        cmocka_unit_test_setup_teardown(http1__an_answer_may_take_its_time, start, stop),
        cmocka_unit_test_setup_teardown(http1__stops_reading_while_too_much_is_pipelined, start, stop),
        cmocka_unit_test_setup_teardown(http1__serves_no_more_while_answers_are_not_taken, start, stop),
        cmocka_unit_test_setup_teardown(http1__answers_a_client_that_has_nothing_more_to_send, start, stop),
        cmocka_unit_test_setup_teardown(http1__answers_all_that_was_pipelined_before_the_clients_end, start, stop),
        cmocka_unit_test_setup_teardown(http1__closes_when_the_client_does_between_or_inside_requests, start, stop),
        cmocka_unit_test_setup_teardown(http1__an_exchange_goes_with_its_client, start, stop),
        cmocka_unit_test_setup_teardown(http1__gives_the_connection_away, start, stop),
        cmocka_unit_test_setup_teardown(http1__gives_away_a_connection_that_was_paused, start, stop),
        cmocka_unit_test_setup_teardown(http1__tells_the_new_owner_of_an_end_that_came_before, start, stop),
        cmocka_unit_test_setup_teardown(http1__a_refused_upgrade_closes, start, stop),
        cmocka_unit_test_setup_teardown(http1__an_upgrade_that_is_answered_otherwise_closes, start, stop),
        cmocka_unit_test_setup_teardown(http1__draining_closes_idle_connections_and_marks_last_answers, start, stop),
        cmocka_unit_test_setup_teardown(http1__draining_some_begins_with_the_oldest, start, stop),
        cmocka_unit_test_setup_teardown(http1__draining_some_looks_at_nobody_twice, start, stop),
        cmocka_unit_test_setup_teardown(http1__draining_lets_a_request_under_way_finish, start, stop),
        cmocka_unit_test_setup_teardown(http1__abort_cuts_everybody, start, stop),
        cmocka_unit_test(http1__each_allocation_that_fails_ends_the_connection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
