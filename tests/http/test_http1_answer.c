/* Answers that are streamed or come out of a file, and whether the connection goes on behind them. */
#include "http/fixture.h"
#include <sys/mman.h>

enum { MIB = 1 << 20 };

static uint64_t kept; /* the exchange that was served last */
static void (*in_drain)(exchange *e);
static char bytes[2 * MIB];

/* ---- the program ---- */

static void serve_kept(exchange *e, const weft_request *request, void *user)
{
    str method = weft_request_method(request);
    (void)user;
    happened("%.*s ", (int)method.len, method.at);
    kept = e->id;
}

static void serve_now(exchange *e, const weft_request *request, void *user)
{
    (void)request;
    (void)user;
    happened("now ");
    exchange_answer(e, &(http_answer){.status = 200, .type = STR("text/plain"), .body = STR("ok")});
}

static void note_drain(exchange *e, void *user)
{
    (void)user;
    assert_int_equal(e->id, kept);
    assert_true(e->ops->queued(e) <= EXCHANGE_MAX_QUEUED_BYTES / 2);
    happened("drain ");
    if (in_drain)
        in_drain(e);
}

static void note_gone(exchange *e, void *user)
{
    (void)user;
    assert_int_equal(e->id, kept);
    assert_null(find_exchange(kept));
    happened("gone ");
}

static int start(void **state)
{
    (void)state;
    kept = 0;
    in_drain = NULL;
    if (start_server())
        return -1;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)('a' + (i * 2654435761u >> 20) % 26);
    add_route("/now", (route_spec){.method = "GET", .serve = serve_now});
    add_route("/kept", (route_spec){.method = "GET", .serve = serve_kept, .drain = note_drain, .gone = note_gone});
    add_route("/plain", (route_spec){.method = "GET", .serve = serve_kept});
    return 0;
}

static int stop(void **state)
{
    (void)state;
    stop_server();
    return 0;
}

#define GET(path)    "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"
#define GET_OLD      "GET /kept HTTP/1.0\r\n\r\n"
#define CHUNKED_HEAD "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"

static exchange *ask(client *c, const char *request)
{
    put(c, request);
    turn();
    exchange *e = find_exchange(kept);
    assert_non_null(e);
    return e;
}

static int begin_status(exchange *e, int status)
{
    return exchange_start(e, &(http_answer){.status = status, .type = STR("text/plain")});
}

static void begin(exchange *e)
{
    assert_int_equal(begin_status(e, 200), 0);
}

static void write_text(exchange *e, const char *text)
{
    assert_int_equal(exchange_write(e, str_from(text)), 0);
}

static void finish(exchange *e)
{
    uint64_t id = e->id;
    assert_int_equal(exchange_end(e), 0);
    assert_null(find_exchange(id));
}

/* ---- streamed ---- */

static void streamed__is_chunked(void **state)
{
    (void)state;
    client *c = open_client();
    exchange *e = ask(c, GET("/kept"));
    begin(e);
    gets_and_stays(c, CHUNKED_HEAD);
    write_text(e, "hello");
    gets_and_stays(c, "5\r\nhello\r\n");
    write_text(e, "");
    gets_and_stays(c, "");
    write_text(e, "sixteen bytes...");
    write_text(e, "!");
    gets_and_stays(c, "10\r\nsixteen bytes...\r\n1\r\n!\r\n");
    finish(e);
    gets_and_stays(c, "0\r\n\r\n");
    put(c, GET("/now"));
    gets_and_stays(c, OK);
    check_happened("GET now ");
}

static void streamed__goes_out_at_once_when_it_is_short(void **state)
{
    (void)state;
    client *c = open_client();
    exchange *e = ask(c, GET("/kept"));
    uint64_t n_sends = the_net.n_sends;
    begin(e);
    write_text(e, "hello");
    finish(e);
    turn();
    assert_int_equal(the_net.n_sends - n_sends, 1);
    gets_and_stays(c, CHUNKED_HEAD "5\r\nhello\r\n0\r\n\r\n");
}

static void streamed__ends_with_the_connection_in_http_1_0(void **state)
{
    (void)state;
    static const char *const requests[] = {GET_OLD, "GET /kept HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"};
    for (size_t i = 0; i < N_OF(requests); i++) {
        client *c = open_client();
        exchange *e = ask(c, requests[i]);
        begin(e);
        write_text(e, "hello");
        gets_and_stays(c, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\nhello");
        write_text(e, " world");
        finish(e);
        gets_and_end(c, " world");
    }
}

static void streamed__of_a_head_is_its_head(void **state)
{
    (void)state;
    client *c = open_client();
    for (int i = 0; i < 2; i++) {
        exchange *e = ask(c, "HEAD /kept HTTP/1.1\r\nHost: a\r\n\r\n");
        begin(e);
        write_text(e, "hello");
        gets_and_stays(c, CHUNKED_HEAD);
        finish(e);
        gets_and_stays(c, "");
    }
}

static void streamed__has_no_body_where_none_belongs(void **state)
{
    (void)state;
    static const char *const heads[] = {"HTTP/1.1 204 No Content\r\nContent-Type: text/plain\r\n\r\n",
                                        "HTTP/1.1 304 Not Modified\r\nContent-Type: text/plain\r\n\r\n"};
    client *c = open_client();
    for (int i = 0; i < 2; i++) {
        exchange *e = ask(c, GET("/kept"));
        assert_int_equal(begin_status(e, i ? 304 : 204), 0);
        write_text(e, "hello");
        finish(e);
        gets_and_stays(c, heads[i]);
    }
}

static void streamed__takes_fields_before_it_begins(void **state)
{
    (void)state;
    client *c = open_client();
    exchange *e = ask(c, GET("/kept"));
    assert_int_equal(exchange_add_field(e, STR("X-One"), STR("1")), 0);
    begin(e);
    assert_int_equal(exchange_add_field(e, STR("X-Two"), STR("2")), WEFT_E_INVALID);
    finish(e);
    gets_and_stays(c, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\nX-One: 1\r\n\r\n"
                      "0\r\n\r\n");
}

static void streamed__takes_no_call_at_the_wrong_time(void **state)
{
    (void)state;
    client *c = open_client();
    exchange *e = ask(c, GET("/kept"));
    assert_int_equal(exchange_write(e, STR("x")), WEFT_E_INVALID);
    assert_int_equal(exchange_end(e), WEFT_E_INVALID);
    begin(e);
    assert_int_equal(begin_status(e, 200), WEFT_E_INVALID);
    assert_int_equal(exchange_answer(e, &(http_answer){.status = 200}), WEFT_E_INVALID);
    assert_int_equal(exchange_refuse(e, 403, STR("")), WEFT_E_INVALID);
    finish(e);
    gets_and_stays(c, CHUNKED_HEAD "0\r\n\r\n");
}

static void streamed__may_be_the_last(void **state)
{
    (void)state;
    client *c = open_client();
    exchange *e = ask(c, "GET /kept HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" GET("/now"));
    begin(e);
    gets_and_stays(
        c, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n");
    finish(e);
    gets_and_end(c, "0\r\n\r\n");
    check_happened("GET ");
}

static void streamed__holds_back_what_is_pipelined(void **state)
{
    (void)state;
    client *c = open_client();
    exchange *e = ask(c, GET("/kept") GET("/now") GET("/kept"));
    begin(e);
    write_text(e, "hello");
    gets_and_stays(c, CHUNKED_HEAD "5\r\nhello\r\n");
    check_happened("GET ");
    finish(e);
    check_happened(""); /* not on the stack of whoever ends it */
    gets_and_stays(c, "0\r\n\r\n" OK);
    check_happened("now GET ");
    begin(find_exchange(kept));
    finish(find_exchange(kept));
    gets_and_stays(c, CHUNKED_HEAD "0\r\n\r\n");
}

static void streamed__may_take_its_time(void **state)
{
    (void)state;
    client *c = open_client();
    exchange *e = ask(c, GET("/kept"));
    begin(e);
    turn();
    assert_int_equal(the_loop.wheel.n_armed, 0);
    pass(10 * HTTP_IDLE_TIMEOUT_MS);
    gets_and_stays(c, CHUNKED_HEAD);
    finish(e);
    gets(c, "0\r\n\r\n");
}

/* ---- back-pressure ---- */

static void shrink(const client *c)
{
    int room = 4096;
    setsockopt(c->stream->source.fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
}

/* Reads at least so many bytes, while the loop turns. */
static void read_some(client *c, size_t wanted)
{
    for (size_t until = c->n_got + wanted; c->n_got < until; turn()) {
        ssize_t got = recv(c->fd, c->got + c->n_got, until - c->n_got, 0);
        assert_true(got > 0 || (got < 0 && errno == EAGAIN));
        c->n_got += got > 0 ? (size_t)got : 0;
    }
}

/* Writes until the queue is full; how much was taken. */
static size_t fill(exchange *e)
{
    size_t taken = 0;
    for (int result = 0; result == 0;) {
        assert_true(e->ops->queued(e) < MIB);
        result = exchange_write(e, (str){bytes, 10000});
        assert_true(result == 0 || result == WEFT_QUEUED);
        assert_int_equal(result == WEFT_QUEUED, e->ops->queued(e) >= MIB);
        taken += 10000;
        turn();
    }
    return taken;
}

static void streamed__says_when_its_queue_is_full(void **state)
{
    (void)state;
    client *c = open_client();
    exchange *e = ask(c, GET_OLD);
    shrink(c);
    begin(e);
    size_t taken = fill(e), queued = e->ops->queued(e);
    for (int i = 0; i < 3; i++)
        assert_int_equal(exchange_write(e, STR("x")), WEFT_E_FULL);
    assert_int_equal(e->ops->queued(e), queued);
    assert_int_equal(exchange_end(e), 0); /* which takes no room */
    receive(c);
    assert_true(c->ended);
    assert_int_equal(c->n_got, (size_t)(strstr(c->got, "\r\n\r\n") + 4 - c->got) + taken);
    check_happened("GET ");
}

static void streamed__drains_once_at_half(void **state)
{
    (void)state;
    client *c = open_client();
    exchange *e = ask(c, GET_OLD);
    shrink(c);
    begin(e);
    for (int round = 0; round < 3; round++) {
        fill(e);
        happenings[0] = '\0';
        while (e->ops->queued(e) > MIB / 2) {
            check_happened("");
            read_some(c, 1000);
        }
        turn();
        check_happened("drain ");
        read_some(c, MIB / 4);
        check_happened(""); /* once */
        c->n_got = 0;
    }
}

/* A refused write wants to be told as well, even when that of the write before has been. */
static void streamed__drains_after_a_refused_write(void **state)
{
    (void)state;
    client *c = open_client();
    exchange *e = ask(c, GET_OLD);
    shrink(c);
    begin(e);
    fill(e);
    assert_int_equal(exchange_write(e, STR("x")), WEFT_E_FULL);
    happenings[0] = '\0';
    read_some(c, 3 * MIB / 4);
    check_happened("drain ");
    write_text(e, "x");
}

static void streamed__that_is_never_full_never_drains(void **state)
{
    (void)state;
    client *c = open_client();
    exchange *e = ask(c, GET_OLD);
    shrink(c);
    begin(e);
    assert_int_equal(exchange_write(e, (str){bytes, MIB / 2}), 0);
    turn();
    read_some(c, MIB / 2);
    check_happened("GET ");
}

static size_t n_written;

static void write_on(exchange *e)
{
    int result = 0;
    while (n_written < sizeof bytes && result == 0) {
        size_t n = sizeof bytes - n_written < 77777 ? sizeof bytes - n_written : 77777;
        result = exchange_write(e, (str){bytes + n_written, n});
        assert_true(result >= 0);
        n_written += n;
    }
    if (n_written == sizeof bytes)
        assert_int_equal(exchange_end(e), 0);
}

/* Takes the chunks of a body apart, in place; what follows it. */
static const char *unchunk(char *at, size_t *ret_len)
{
    char *to = at, *from = at;
    for (;;) {
        size_t n = strtoul(from, &from, 16);
        assert_memory_equal(from, "\r\n", 2);
        memmove(to, from + 2, n);
        to += n;
        from += 2 + n;
        assert_memory_equal(from, "\r\n", 2);
        from += 2;
        if (n == 0)
            break;
    }
    *ret_len = (size_t)(to - at);
    return from;
}

static void streamed__brings_all_bytes_over_from_drain_to_drain(void **state)
{
    (void)state;
    size_t len;
    client *c = open_client();
    in_drain = write_on;
    n_written = 0;
    exchange *e = ask(c, GET("/kept") GET("/now"));
    shrink(c);
    begin(e);
    write_on(e);
    receive(c);
    check_happened("GET drain drain now ");
    drop_dates(c);
    assert_memory_equal(c->got, CHUNKED_HEAD, strlen(CHUNKED_HEAD));
    const char *next = unchunk(c->got + strlen(CHUNKED_HEAD), &len);
    assert_string_equal(next, OK);
    assert_int_equal(len, sizeof bytes);
    assert_memory_equal(c->got + strlen(CHUNKED_HEAD), bytes, sizeof bytes);
}

static void streamed__needs_no_drain(void **state)
{
    (void)state;
    client *c = open_client();
    exchange *e = ask(c, GET("/plain"));
    shrink(c);
    begin(e);
    fill(e);
    read_some(c, MIB);
    write_text(e, "x");
    finish(e);
    receive(c);
    assert_string_equal(c->got + c->n_got - strlen("1\r\nx\r\n0\r\n\r\n"), "1\r\nx\r\n0\r\n\r\n");
    check_happened("GET ");
}

/* ---- the client goes ---- */

static void streamed__is_gone_once(void **state)
{
    (void)state;
    for (int full = 0; full < 2; full++) {
        client *c = open_client();
        exchange *e = ask(c, GET("/kept"));
        begin(e);
        if (full)
            fill(e);
        turn();
        leave(c);
        check_happened("GET gone ");
        assert_null(find_exchange(kept));
        assert_true(list_empty(&the_server.connections));
    }
}

static void streamed__that_has_ended_is_never_gone(void **state)
{
    (void)state;
    client *c = open_client();
    exchange *e = ask(c, GET("/kept"));
    begin(e);
    fill(e);
    finish(e);
    turn();
    leave(c);
    check_happened("GET ");
    assert_int_equal(the_net.n_streams, 0);
}

static void streamed__goes_on_for_a_client_that_has_nothing_to_add(void **state)
{
    (void)state;
    client *c = open_client();
    exchange *e = ask(c, GET("/kept") GET("/now"));
    begin(e);
    turn();
    shutdown(c->fd, SHUT_WR);
    gets_and_stays(c, CHUNKED_HEAD);
    write_text(e, "hello");
    finish(e);
    gets_and_end(c, "5\r\nhello\r\n0\r\n\r\n" OK);
    check_happened("GET now ");
}

static void streamed__is_finished_while_the_server_drains(void **state)
{
    (void)state;
    client *c = open_client();
    exchange *e = ask(c, GET("/kept") GET("/now"));
    begin(e);
    turn();
    http_server_drain(&the_server);
    write_text(e, "hello");
    gets_and_stays(c, CHUNKED_HEAD "5\r\nhello\r\n");
    finish(e);
    gets_and_end(c, "0\r\n\r\n");
}

static void streamed__goes_with_the_server(void **state)
{
    (void)state;
    client *c = open_client();
    begin(ask(c, GET("/kept")));
    http_server_abort(&the_server);
    check_happened("GET gone ");
    gets_and_end(c, "");
}

static void streamed__that_lacks_memory_is_cut(void **state)
{
    (void)state;
    client *c = open_client();
    exchange *e = ask(c, GET("/kept"));
    begin(e);
    gets_and_stays(c, CHUNKED_HEAD);
    mem_fail_from(1);
    assert_int_equal(exchange_write(e, (str){bytes, MIB}), -ENOMEM);
    mem_fail_from(0);
    assert_null(find_exchange(kept));
    gets_and_end(c, "");
}

/* ---- files ---- */

/* A file of the test's bytes. */
static int open_file(size_t len)
{
    int fd = memfd_create("answer", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, len), len);
    return fd;
}

/* Answers with a part of a file; the descriptor is the exchange's. */
static void answer_file(exchange *e, int fd, uint64_t offset, uint64_t len)
{
    http_answer what = {.status = 200, .type = STR("text/plain")};
    assert_int_equal(e->ops->start(e, &what, (int64_t)len), 0);
    assert_int_equal(e->ops->write_file(e, fd, offset, len), 0);
    assert_null(find_exchange(kept));
}

#define FILE_HEAD(len) OK_HEAD len "\r\n\r\n"

static void gets_bytes(client *c, const char *head, const char *expected, size_t len)
{
    receive(c);
    drop_dates(c);
    assert_true(c->n_got >= strlen(head) + len);
    assert_memory_equal(c->got, head, strlen(head));
    assert_memory_equal(c->got + strlen(head), expected, len);
    c->n_got -= strlen(head) + len;
    memmove(c->got, c->got + strlen(head) + len, c->n_got + 1);
}

static void file__goes_out_whole(void **state)
{
    (void)state;
    size_t n_descriptors = count_descriptors();
    client *c = open_client();
    answer_file(ask(c, GET("/kept")), open_file(1000), 0, 1000);
    gets_bytes(c, FILE_HEAD("1000"), bytes, 1000);
    answer_file(ask(c, GET("/kept")), open_file(1000), 100, 7);
    gets_bytes(c, FILE_HEAD("7"), bytes + 100, 7);
    put(c, GET("/now"));
    gets_and_stays(c, OK);
    assert_int_equal(count_descriptors(), n_descriptors + 2);
}

/* Whatever its last piece is: with little left of it the next request still waits. */
static void file__goes_out_over_short_writes(void **state)
{
    (void)state;
    client *c = open_client();
    shrink(c);
    answer_file(ask(c, GET("/kept") GET("/now") GET("/kept")), open_file(sizeof bytes), 3, 2050000);
    turn();
    assert_true(c->stream->base.queued > MIB);
    check_happened("GET "); /* the next request waits for the end of the file */
    assert_true(c->stream->paused);
    gets_bytes(c, FILE_HEAD("2050000"), bytes + 3, 2050000);
    gets_and_stays(c, OK);
    check_happened("now GET ");
    answer_file(find_exchange(kept), open_file(10), 0, 10);
    gets_bytes(c, FILE_HEAD("10"), bytes, 10);
}

static void file__waits_behind_an_answer(void **state)
{
    (void)state;
    client *c = open_client();
    shrink(c);
    put(c, GET("/now"));
    turn();
    exchange *e = ask(c, GET("/kept"));
    assert_int_equal(e->ops->start(e, &(http_answer){.status = 200}, 100000 + 5), 0);
    assert_int_equal(exchange_write(e, (str){bytes, 5}), 0);
    assert_int_equal(e->ops->write_file(e, open_file(100005), 5, 100000), 0);
    gets_bytes(c, OK "HTTP/1.1 200 OK\r\nContent-Length: 100005\r\n\r\n", bytes, 100005);
}

static void file__of_a_head_or_of_nothing_is_closed(void **state)
{
    (void)state;
    client *c = open_client();
    size_t n_descriptors = count_descriptors();
    answer_file(ask(c, "HEAD /kept HTTP/1.1\r\nHost: a\r\n\r\n"), open_file(1000), 0, 1000);
    gets_and_stays(c, FILE_HEAD("1000"));
    answer_file(ask(c, GET("/kept")), open_file(0), 0, 0);
    gets_and_stays(c, FILE_HEAD("0"));
    assert_int_equal(count_descriptors(), n_descriptors);
}

/* Who was promised more must not take what follows for it. */
static void file__that_has_become_shorter_cuts_the_connection(void **state)
{
    (void)state;
    size_t n_descriptors = count_descriptors();
    client *c = open_client();
    answer_file(ask(c, GET("/kept") GET("/now")), open_file(1000), 0, 1001);
    gets_bytes(c, FILE_HEAD("1001"), bytes, 1000);
    gets_and_end(c, "");
    check_happened("GET ");
    leave(c);
    assert_int_equal(count_descriptors(), n_descriptors);
}

static void file__may_be_the_last(void **state)
{
    (void)state;
    size_t n_descriptors = count_descriptors();
    client *c = open_client();
    shrink(c);
    answer_file(ask(c, "GET /kept HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" GET("/now")),
                open_file(sizeof bytes), 0, sizeof bytes);
    gets_bytes(c, OK_HEAD "2097152\r\nConnection: close\r\n\r\n", bytes, sizeof bytes);
    gets_and_end(c, "");
    leave(c);
    assert_int_equal(count_descriptors(), n_descriptors);
}

static void abort_all(client *c)
{
    (void)c;
    http_server_abort(&the_server);
    turn();
}

static void file__is_closed_when_the_connection_goes(void **state)
{
    (void)state;
    static void (*const ways[])(client *) = {leave, abort_all};
    for (size_t i = 0; i < N_OF(ways); i++) {
        client *c = open_client();
        size_t n_descriptors = count_descriptors();
        answer_file(ask(c, GET("/kept")), open_file(sizeof bytes), 0, sizeof bytes);
        turn();
        assert_int_equal(count_descriptors(), n_descriptors + 1);
        ways[i](c);
        assert_int_equal(count_descriptors(), n_descriptors - (i ? 1 : 2));
        check_happened("GET ");
    }
}

static void file__goes_out_to_a_client_that_has_nothing_to_add(void **state)
{
    (void)state;
    client *c = open_client();
    shrink(c);
    answer_file(ask(c, GET("/kept") GET("/now")), open_file(sizeof bytes), 0, sizeof bytes);
    turn();
    shutdown(c->fd, SHUT_WR);
    gets_bytes(c, FILE_HEAD("2097152"), bytes, sizeof bytes);
    gets_and_end(c, OK);
}

static void file__goes_out_while_the_server_drains(void **state)
{
    (void)state;
    client *c = open_client();
    shrink(c);
    answer_file(ask(c, GET("/kept")), open_file(sizeof bytes), 0, sizeof bytes);
    turn();
    http_server_drain(&the_server);
    gets_bytes(c, FILE_HEAD("2097152"), bytes, sizeof bytes);
    gets_and_end(c, "");
}

/* A slow client is not an idle one; what it has asked behind the file is answered too. */
static void file__may_take_longer_than_a_connection_may_idle(void **state)
{
    (void)state;
    client *c = open_client();
    shrink(c);
    answer_file(ask(c, GET("/kept") GET("/now")), open_file(sizeof bytes), 0, sizeof bytes);
    turn();
    http1_connection *h = latest_connection();
    loop_arm(&the_loop, &h->deadline, 0, h->deadline.fire);
    turn();
    gets_bytes(c, FILE_HEAD("2097152"), bytes, sizeof bytes);
    gets_and_stays(c, OK);
    pass(HTTP_IDLE_TIMEOUT_MS + 2000);
    gets_and_end(c, "");
}

static void file__that_cannot_be_sent_is_closed(void **state)
{
    (void)state;
    client *c = open_client();
    size_t n_descriptors = count_descriptors();
    exchange *e = ask(c, GET("/kept"));
    int fd = open_file(10);
    assert_int_equal(e->ops->start(e, &(http_answer){.status = 200}, 10), 0);
    mem_fail_from(1);
    assert_int_equal(e->ops->write_file(e, fd, 0, 10), -ENOMEM);
    mem_fail_from(0);
    assert_null(find_exchange(kept));
    turn();
    assert_int_equal(count_descriptors(), n_descriptors - 1);
}

/* ---- whether the connection stays ---- */

static void answers__keep_the_connection_or_say_that_they_do_not(void **state)
{
    (void)state;
    static const struct {
        const char *request, *field;
        bool stays;
    } cases[] = {
        {"GET /now HTTP/1.1\r\nHost: a\r\n\r\n", "", true},
        {"GET /now HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n", "", true},
        {"GET /now HTTP/1.1\r\nHost: a\r\nConnection: CLOSE\r\n\r\n", "Connection: close\r\n", false},
        {"GET /now HTTP/1.1\r\nHost: a\r\nConnection: x, close\r\n\r\n", "Connection: close\r\n", false},
        {"GET /now HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, close\r\n\r\n", "Connection: close\r\n", false},
        {"GET /now HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n", "", true},
        {"GET /now HTTP/1.0\r\n\r\n", "Connection: close\r\n", false},
        {"GET /now HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "Connection: keep-alive\r\n", true},
        {"GET /now HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", "Connection: close\r\n", false},
    };
    for (size_t i = 0; i < N_OF(cases); i++) {
        char expected[200];
        client *c = open_client();
        put(c, cases[i].request);
        snprintf(expected, sizeof expected, OK_HEAD "2\r\n%s\r\nok", cases[i].field);
        gets(c, expected);
        assert_int_equal(c->ended, !cases[i].stays);
    }
}

/* ---- out of memory ---- */

/* A streamed answer, one from a file, a plain one; true when all came. */
static bool play(client *c, int fd)
{
    if (open_client_on(c, 80)) {
        close(fd);
        return false;
    }
    offer(c, GET("/kept") GET("/kept") GET("/now"));
    turn();
    exchange *e = find_exchange(kept);
    if (e && begin_status(e, 200) == 0 && exchange_write(e, (str){bytes, 100000}) == 0 &&
        exchange_write(e, STR("hello")) == 0)
        exchange_end(e);
    turn();
    e = find_exchange(kept);
    if (e && e->ops->start(e, &(http_answer){.status = 200}, 300000) == 0)
        e->ops->write_file(e, fd, 0, 300000);
    else
        close(fd);
    receive(c);
    bool well = !c->ended && c->n_got > 400000 && !strcmp(c->got + c->n_got - 2, "ok");
    if (!well)
        assert_true(c->ended);
    return well;
}

static void answers__each_allocation_that_fails_ends_the_connection(void **state)
{
    for (uint64_t n = 1;; n++) {
        assert_int_equal(start(state), 0); /* so that nothing comes out of a cache */
        size_t n_descriptors = count_descriptors();
        int fd = open_file(300000);
        uint64_t before = mem_count();
        mem_fail_from(n);
        bool well = play(&clients[0], fd);
        uint64_t used = mem_count() - before;
        mem_fail_from(0);
        assert_int_equal(well, used < n);
        leave(&clients[0]);
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
        HTTP_TEST(streamed__is_chunked),
        HTTP_TEST(streamed__goes_out_at_once_when_it_is_short),
        HTTP_TEST(streamed__ends_with_the_connection_in_http_1_0),
        HTTP_TEST(streamed__of_a_head_is_its_head),
        HTTP_TEST(streamed__has_no_body_where_none_belongs),
        HTTP_TEST(streamed__takes_fields_before_it_begins),
        HTTP_TEST(streamed__takes_no_call_at_the_wrong_time),
        HTTP_TEST(streamed__may_be_the_last),
        HTTP_TEST(streamed__holds_back_what_is_pipelined),
        HTTP_TEST(streamed__may_take_its_time),
        HTTP_TEST(streamed__says_when_its_queue_is_full),
        HTTP_TEST(streamed__drains_once_at_half),
        HTTP_TEST(streamed__drains_after_a_refused_write),
        HTTP_TEST(streamed__that_is_never_full_never_drains),
        HTTP_TEST(streamed__brings_all_bytes_over_from_drain_to_drain),
        HTTP_TEST(streamed__needs_no_drain),
        HTTP_TEST(streamed__is_gone_once),
        HTTP_TEST(streamed__that_has_ended_is_never_gone),
        HTTP_TEST(streamed__goes_on_for_a_client_that_has_nothing_to_add),
        HTTP_TEST(streamed__is_finished_while_the_server_drains),
        HTTP_TEST(streamed__goes_with_the_server),
        HTTP_TEST(streamed__that_lacks_memory_is_cut),
        HTTP_TEST(file__goes_out_whole),
        HTTP_TEST(file__goes_out_over_short_writes),
        HTTP_TEST(file__waits_behind_an_answer),
        HTTP_TEST(file__of_a_head_or_of_nothing_is_closed),
        HTTP_TEST(file__that_has_become_shorter_cuts_the_connection),
        HTTP_TEST(file__may_be_the_last),
        HTTP_TEST(file__is_closed_when_the_connection_goes),
        HTTP_TEST(file__goes_out_to_a_client_that_has_nothing_to_add),
        HTTP_TEST(file__goes_out_while_the_server_drains),
        HTTP_TEST(file__may_take_longer_than_a_connection_may_idle),
        HTTP_TEST(file__that_cannot_be_sent_is_closed),
        HTTP_TEST(answers__keep_the_connection_or_say_that_they_do_not),
        cmocka_unit_test(answers__each_allocation_that_fails_ends_the_connection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
