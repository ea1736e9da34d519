/* HTTP/1 connections that go to the loop that a request names, with two loops that take turns by hand; plain, and under TLS with OpenSSL as the client. */
#include "http/http1_private.h"
#include "net/stream.h"
#include "support/certificates.h"
#include "support/check.h"
#include <dirent.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

enum { N_WORKERS = 2, N_CLIENTS = 8, BIG_BYTES = 300000, MANY_TURNS = 2000, N_ROUNDS = 150 };

typedef struct {
    loop loop;
    net net;
    slots table;
    http_server http;
    pthread_t thread;
    bool ending;
} worker;

static worker workers[N_WORKERS];
static http_servers all;
static router routes;
static const http_site site = {.port = 80};
static tls_context *context;
static SSL_CTX *client_context;
static test_certificate certificate;
static int tls_version; /* 0: plain */
static char big[BIG_BYTES];
static _Atomic uint64_t moved_id; /* the handle of the exchange that was moved last */
static _Atomic unsigned n_gone, n_moves;
static void (*behind_move)(worker *w); /* what else happens in the turn of a move */

static worker *here(const exchange *e)
{
    return e->context;
}

/* ---- the program ---- */

/* True when the request lives here, by the last letter of its path; else it goes there, or is refused. */
static bool lives_here(exchange *e, const weft_request *request)
{
    worker *w = here(e);
    str path = weft_request_path(request);
    unsigned number = (unsigned)(path.at[path.len - 1] - '0');
    if (number < N_WORKERS && &workers[number] == w)
        return true;
    uint64_t id = e->id;
    int error = exchange_move(e, request, number < N_WORKERS ? workers[number].loop.index : number);
    if (error) {
        exchange_refuse(e, error == -ENOMEM ? 503 : 404, STR("not moved\n"));
        return false;
    }
    moved_id = id;
    n_moves++;
    if (behind_move)
        behind_move(w);
    return false;
}

static void answer(exchange *e, str body)
{
    const worker *w = here(e);
    buf text = {0};
    exchange_add_field(e, STR("Loop"), w == workers ? STR("0") : STR("1"));
    buf_put_str(&text, body);
    exchange_answer(e, &(http_answer){.status = 200, .body = buf_str(&text)});
    buf_done(&text);
}

static void serve(exchange *e, const weft_request *request, void *user)
{
    (void)user;
    if (lives_here(e, request))
        answer(e, weft_request_method(request).at[0] == 'P' ? request->body : STR("ok"));
}

static void serve_big(exchange *e, const weft_request *request, void *user)
{
    (void)request, (void)user;
    exchange_answer(e, &(http_answer){.status = 200, .body = {big, sizeof big}});
}

static buf pieces; /* of the body that comes just now */

static void serve_stream(exchange *e, const weft_request *request, void *user)
{
    (void)user;
    if (lives_here(e, request))
        pieces.len = 0;
}

static void serve_piece(exchange *e, str piece, void *user)
{
    (void)user;
    if (piece.at)
        buf_put_str(&pieces, piece);
    else
        answer(e, buf_str(&pieces));
}

static void gone(exchange *e, void *user)
{
    (void)e, (void)user;
    n_gone++;
}

static size_t echo(void *owner, char *at, size_t len)
{
    sink *s = owner;
    s->ops->write(s, &(sink_piece){.body = {at, len}});
    return len;
}

static void echo_eof(void *owner)
{
    sink *s = owner;
    s->ops->end(s);
}

static void echo_sent(void *owner)
{
    (void)owner;
}

static void echo_gone(void *owner, int error)
{
    (void)owner, (void)error;
}

static const sink_events echoes = {echo, NULL, echo_eof, echo_sent, echo_gone};

static void upgrade(exchange *e, const weft_request *request, void *user)
{
    (void)user;
    if (!lives_here(e, request))
        return;
    sink *s;
    str head = here(e) == workers ? STR("HTTP/1.1 101 Switching Protocols\r\nLoop: 0\r\n\r\n")
                                  : STR("HTTP/1.1 101 Switching Protocols\r\nLoop: 1\r\n\r\n");
    if (e->ops->switch_protocol(e, head, &s))
        return;
    sink_bind(s, &echoes, s);
    s->ops->rebind(s);
}

/* One that a transport keeps waiting until the server stops. */
static void held_forget(exchange *e)
{
    (void)e;
}

static void held_drain(exchange *e)
{
    answer(e, STR("drained"));
}

static const held_ops holding = {.forget = held_forget, .drain = held_drain};

static void serve_held(exchange *e, const weft_request *request, void *user)
{
    (void)user;
    if (lives_here(e, request))
        e->held = &holding;
}

/* ---- the client ---- */

typedef struct {
    int fd; /* 0 closed */
    SSL *ssl;
    buf got;
    bool ended;
} client;

static client clients[N_CLIENTS];
static client *const c = &clients[0];

static void turn(void)
{
    for (size_t i = 0; i < N_WORKERS; i++)
        assert_int_equal(loop_step(&workers[i].loop, 0), 0);
}

static void push(const client *from, const char *at, size_t len)
{
    ssize_t sent = send(from->fd, at, len, MSG_NOSIGNAL);
    assert_true(sent == (ssize_t)len || errno == EPIPE);
}

/* What is on its way to the server when the client says this: ciphertext under TLS. */
static str wire(client *from, const char *at, size_t len)
{
    static char bytes[1 << 20];
    if (!from->ssl)
        return (str){at, len};
    assert_int_equal(SSL_write(from->ssl, at, (int)len), len);
    int n = BIO_read(SSL_get_wbio(from->ssl), bytes, sizeof bytes);
    assert_true(n > 0);
    return (str){bytes, (size_t)n};
}

static void puts_bytes(client *from, const char *at, size_t len)
{
    str bytes = wire(from, at, len);
    push(from, bytes.at, bytes.len);
}

static void put(client *from, const char *text)
{
    puts_bytes(from, text, strlen(text));
}

static bool read_some(client *to)
{
    static char bytes[64 * 1024];
    ssize_t n = to->ended ? -1 : recv(to->fd, bytes, sizeof bytes, MSG_DONTWAIT);
    to->ended = to->ended || n == 0 || (n < 0 && errno != EAGAIN);
    if (n > 0 && to->ssl)
        assert_int_equal(BIO_write(SSL_get_rbio(to->ssl), bytes, (int)n), n);
    else if (n > 0)
        assert_int_equal(buf_put(&to->got, bytes, (size_t)n), 0);
    size_t got = 0;
    ERR_clear_error();
    while (to->ssl && SSL_is_init_finished(to->ssl) && SSL_read_ex(to->ssl, bytes, sizeof bytes, &got) == 1)
        assert_int_equal(buf_put(&to->got, bytes, got), 0);
    return n > 0;
}

static void settle(client *to)
{
    for (int quiet = 0; quiet < 6; quiet++) {
        turn();
        if (read_some(to))
            quiet = 0;
    }
}

static void drop_dates(client *to)
{
    for (char *date; to->got.len && (date = memmem(to->got.at, to->got.len, "\r\nDate: ", 8));) {
        size_t rest = to->got.len - (size_t)(date - to->got.at) - 37;
        memmove(date, date + 37, rest);
        to->got.len -= 37;
    }
}

static void gets(client *to, const char *expected)
{
    settle(to);
    drop_dates(to);
    assert_int_equal(buf_put(&to->got, "", 1), 0);
    assert_string_equal(to->got.at, expected);
    to->got.len = 0;
}

static void gets_and_end(client *to, const char *expected)
{
    gets(to, expected);
    assert_true(to->ended);
}

static void shake_hands(client *from)
{
    from->ssl = SSL_new(client_context);
    SSL_set_connect_state(from->ssl);
    SSL_set_bio(from->ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_min_proto_version(from->ssl, tls_version);
    SSL_set_max_proto_version(from->ssl, tls_version);
    for (int i = 0; i < 10; i++) {
        char bytes[16 * 1024];
        SSL_do_handshake(from->ssl);
        for (int n; (n = BIO_read(SSL_get_wbio(from->ssl), bytes, sizeof bytes)) > 0;)
            push(from, bytes, (size_t)n);
        turn();
        read_some(from);
    }
    assert_true(SSL_is_init_finished(from->ssl));
}

static void hang_up(client *from)
{
    if (from->fd)
        close(from->fd);
    SSL_free(from->ssl);
    buf_done(&from->got);
    *from = (client){0};
}

static client *open_on(client *from, size_t number)
{
    int fds[2];
    hang_up(from);
    worker *w = &workers[number];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    from->fd = fds[1];
    stream *s = stream_new(&w->net, fds[0], true);
    assert_non_null(s);
    if (tls_version)
        assert_int_equal(stream_secure(s, context), 0);
    assert_int_equal(http1_connection_open(&w->http, &s->base, &site), 0);
    assert_int_equal(stream_start(s), 0);
    if (tls_version)
        shake_hands(from);
    return from;
}

static size_t n_connections(size_t number)
{
    assert_int_equal(workers[number].http.n_connections, workers[number].net.n_streams);
    return workers[number].http.n_connections;
}

/* ---- fixture ---- */

static size_t n_descriptors;

static size_t count_descriptors(void)
{
    size_t n = 0;
    DIR *dir = opendir("/proc/self/fd");
    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
}

static void add_route(const char *pattern, route_spec spec)
{
    const char *problem;
    assert_int_equal(route_parse(pattern, &spec, &problem), 0);
    assert_int_equal(router_add(&routes, &spec), 0);
}

static void add_routes(void)
{
    router_init(&routes);
    add_route("/on/:n", (route_spec){.method = "GET", .serve = serve, .gone = gone});
    add_route("/on/:n", (route_spec){.method = "POST", .serve = serve, .gone = gone, .max_body_bytes = 4 << 20});
    add_route(
        "/stream/:n",
        (route_spec){
            .method = "POST", .serve = serve_stream, .body = serve_piece, .gone = gone, .max_body_bytes = 4 << 20});
    add_route("/big", (route_spec){.method = "GET", .serve = serve_big});
    add_route("/held/:n", (route_spec){.method = "GET", .serve = serve_held, .gone = gone});
    add_route("/up/:n", (route_spec){.serve = upgrade, .gone = gone});
}

static int start(void **state)
{
    char problem[TLS_PROBLEM_BYTES];
    weft_certificate pair = {certificate.certificate_file, certificate.key_file};
    tls_version = *state ? *(const int *)*state : 0;
    n_gone = n_moves = 0;
    behind_move = NULL;
    assert_int_equal(
        tls_context_new(&(weft_listen_options){.certificates = &pair, .n_certificates = 1}, NULL, &context, problem),
        0);
    add_routes();
    for (size_t i = 0; i < N_WORKERS; i++) {
        worker *w = &workers[i];
        if (loop_init(&w->loop, w) || net_init(&w->net, &w->loop, NULL) || slots_init(&w->table, w->loop.index))
            return -1;
        if (i)
            net_share_addresses(&w->net, &workers[0].net);
        http_server_init(&w->http, &w->net, &w->table, &routes, w);
        w->http.all = &all;
        all.at[w->loop.index] = &w->http;
        w->ending = false;
    }
    for (size_t i = 0; i < sizeof big; i++)
        big[i] = (char)('a' + i * 31 % 97 % 26);
    n_descriptors = count_descriptors();
    return 0;
}

static int stop(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_CLIENTS; i++)
        hang_up(&clients[i]);
    for (int i = 0; i < 3; i++)
        turn();
    for (size_t i = 0; i < N_WORKERS; i++) {
        http_server_abort(&workers[i].http);
        net_cut_lingering(&workers[i].net);
        turn();
        assert_int_equal(workers[i].net.n_streams, 0);
        assert_int_equal(workers[i].net.queued_bytes, 0);
        assert_true(list_empty(&workers[i].http.moving));
    }
    assert_int_equal(count_descriptors(), n_descriptors);
    for (size_t i = N_WORKERS; i--;) {
        worker *w = &workers[i];
        all.at[w->loop.index] = NULL;
        net_done(&w->net);
        slots_done(&w->table);
        loop_done(&w->loop);
    }
    router_done(&routes);
    buf_done(&pieces);
    tls_context_free(context);
    return 0;
}

static int start_all(void **state)
{
    (void)state;
    certificate_make(&certificate, &(certificate_wish){.name = "server", .names = "DNS:localhost"});
    client_context = SSL_CTX_new(TLS_client_method());
    return SSL_CTX_load_verify_file(client_context, certificate.certificate_file) == 1 ? 0 : -1;
}

static int stop_all(void **state)
{
    (void)state;
    SSL_CTX_free(client_context);
    certificate_done(&certificate);
    certificates_forget();
    return 0;
}

#define GET(path)         "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"
#define POST(path, rest)  "POST " path " HTTP/1.1\r\nHost: a\r\n" rest
#define OK(loop, n, body) "HTTP/1.1 200 OK\r\nContent-Length: " n "\r\nLoop: " loop "\r\n\r\n" body
#define CHUNKED           "Transfer-Encoding: chunked\r\n\r\n"

/* ---- every kind of request ---- */

static const struct {
    const char *asked, *answered;
} requests[] = {
    {GET("/on/1"), OK("1", "2", "ok")},
    {GET("/on/0") GET("/on/1") GET("/on/0"), OK("0", "2", "ok") OK("1", "2", "ok") OK("0", "2", "ok")},
    {GET("/on/1") GET("/on/1") "\r\n" GET("/on/1"), OK("1", "2", "ok") OK("1", "2", "ok") OK("1", "2", "ok")},
    {"HEAD /on/1 HTTP/1.1\r\nHost: a\r\n\r\n" GET("/on/0"),
     "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nLoop: 1\r\n\r\n" OK("0", "2", "ok")},
    {POST("/on/1", "Content-Length: 5\r\n\r\nhello") GET("/on/0"), OK("1", "5", "hello") OK("0", "2", "ok")},
    {POST("/on/1", "Content-Length: 0\r\n\r\n") GET("/on/0"), OK("1", "0", "") OK("0", "2", "ok")},
    {POST("/on/1", CHUNKED "2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nA: b\r\n\r\n") GET("/on/0"),
     OK("1", "5", "hello") OK("0", "2", "ok")},
    {POST("/on/1", CHUNKED "0\r\n\r\n") POST("/on/0", "Content-Length: 2\r\n\r\nhi"),
     OK("1", "0", "") OK("0", "2", "hi")},
    {POST("/stream/1", "Content-Length: 5\r\n\r\nhello") GET("/on/0"), OK("1", "5", "hello") OK("0", "2", "ok")},
    {POST("/stream/1", CHUNKED "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n") POST("/stream/0", "Content-Length: 2\r\n\r\nhi"),
     OK("1", "5", "hello") OK("0", "2", "hi")},
};

static void ask_in_two(const char *asked, size_t cut, size_t *ret_len)
{
    str bytes = wire(c, asked, strlen(asked));
    *ret_len = bytes.len;
    push(c, bytes.at, cut);
    turn();
    turn();
    push(c, bytes.at + cut, bytes.len - cut);
}

static void move__of_any_request_at_every_byte(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_OF(requests); i++)
        for (size_t cut = 0, len = 1; cut <= len; cut++) {
            open_on(c, 0);
            ask_in_two(requests[i].asked, cut, &len);
            gets(c, requests[i].answered);
            put(c, requests[i].asked); /* and all of it once more */
            gets(c, requests[i].answered);
        }
    assert_int_equal(n_gone, 0);
    assert_true(n_moves > 1000);
}

static void move__of_any_request_byte_by_byte(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_OF(requests); i++) {
        open_on(c, 0);
        str bytes = wire(c, requests[i].asked, strlen(requests[i].asked));
        for (size_t at = 0; at < bytes.len; at++) {
            push(c, bytes.at + at, 1);
            turn();
        }
        gets(c, requests[i].answered);
    }
}

#define UPGRADE                                                                                                        \
    "GET /up/1 HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"      \
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

static void move__of_an_upgrade_at_every_byte(void **state)
{
    (void)state;
    for (size_t cut = 0, len = 1; cut <= len; cut++) {
        open_on(c, 0);
        ask_in_two(UPGRADE "and behind it", cut, &len);
        gets(c, "HTTP/1.1 101 Switching Protocols\r\nLoop: 1\r\n\r\nand behind it");
        put(c, "more");
        gets(c, "more");
        hang_up(c);
        turn();
        turn();
    }
}

/* Much larger than what is received at once, in pieces or with its head. */
static void move__of_large_bodies(void **state)
{
    (void)state;
    char head[256];
    for (int streamed = 0; streamed < 2; streamed++) {
        open_on(c, 0);
        int len = snprintf(head, sizeof head, "POST /%s/1 HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n",
                           streamed ? "stream" : "on", 3 * BIG_BYTES);
        puts_bytes(c, head, (size_t)len);
        for (size_t i = 0, at = 0; i < 3 * BIG_BYTES / 10000; i++, at = (at + 10000) % BIG_BYTES) {
            puts_bytes(c, big + at, 10000);
            turn();
            read_some(c);
        }
        settle(c);
        assert_non_null(memmem(c->got.at, c->got.len, "\r\nLoop: 1\r\n", 11));
        assert_true(c->got.len > 3 * BIG_BYTES);
        for (size_t i = 0; i < 3; i++)
            assert_memory_equal(c->got.at + c->got.len - (3 - i) * BIG_BYTES, big, BIG_BYTES);
    }
}

/* The client hears "100 Continue" once, wherever its request is served. */
static void move__asks_for_a_body_once(void **state)
{
    (void)state;
    static const char said[] = "HTTP/1.1 100 Continue\r\n\r\n";
    open_on(c, 0);
    put(c, POST("/on/1", "Content-Length: 5\r\nExpect: 100-continue\r\n\r\n"));
    gets(c, said);
    put(c, "hello");
    gets(c, OK("1", "5", "hello"));
    put(c, POST("/stream/0", "Content-Length: 5\r\nExpect: 100-continue\r\n\r\n"));
    gets(c, said);
    put(c, "hello");
    gets(c, OK("0", "5", "hello"));
    put(c, POST("/stream/0", "Content-Length: 5\r\nExpect: 100-continue\r\n\r\n"));
    gets(c, said); /* for the next one it is said anew */
    put(c, "hello");
    gets(c, OK("0", "5", "hello"));
}

/* Answers that the client has not taken are not overtaken. */
static void move__behind_answers_that_wait(void **state)
{
    (void)state;
    open_on(c, 0);
    put(c, GET("/big") GET("/on/1") GET("/big") GET("/on/0") GET("/big") GET("/on/1"));
    for (int i = 0; i < 10; i++)
        turn();
    settle(c);
    drop_dates(c);
    static const char *const ends[] = {OK("1", "2", "ok"), OK("0", "2", "ok"), OK("1", "2", "ok")};
    static const char head[] = "HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n";
    const char *at = c->got.at;
    for (size_t i = 0; i < N_OF(ends); i++) {
        assert_memory_equal(at, head, strlen(head));
        assert_memory_equal(at + strlen(head), big, BIG_BYTES);
        at += strlen(head) + BIG_BYTES;
        assert_memory_equal(at, ends[i], strlen(ends[i]));
        at += strlen(ends[i]);
    }
    assert_int_equal(at - c->got.at, c->got.len);
}

/* ---- the exchange ---- */

static void move__ends_the_exchange_here_and_tells_nobody(void **state)
{
    (void)state;
    open_on(c, 0);
    put(c, GET("/on/1"));
    assert_int_equal(loop_step(&workers[0].loop, 0), 0);
    assert_null(slots_get(&workers[0].table, moved_id, SLOT_EXCHANGE));
    assert_int_equal(n_connections(0), 0);
    assert_int_equal(n_connections(1), 0);
    gets(c, OK("1", "2", "ok"));
    assert_int_equal(n_connections(1), 1);
    assert_int_equal(n_gone, 0);
}

static void move__to_where_nobody_is_changes_nothing(void **state)
{
    (void)state;
    open_on(c, 0);
    put(c, GET("/on/7"));
    gets_and_end(c, "HTTP/1.1 404 Not Found\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 10\r\n"
                    "Connection: close\r\n\r\nnot moved\n");
    workers[0].http.all = NULL;
    open_on(c, 0);
    put(c, GET("/on/1"));
    settle(c);
    assert_memory_equal(c->got.at, "HTTP/1.1 404", 12);
    assert_int_equal(n_moves, 0);
}

/* ---- ends ---- */

static void end_side(void)
{
    if (c->ssl) {
        char bytes[1024];
        SSL_shutdown(c->ssl);
        int n = BIO_read(SSL_get_wbio(c->ssl), bytes, sizeof bytes);
        push(c, bytes, (size_t)n);
    } else {
        assert_int_equal(shutdown(c->fd, SHUT_WR), 0);
    }
}

static void move__of_a_client_that_has_ended_its_side(void **state)
{
    (void)state;
    for (int turns = 0; turns < 4; turns++) {
        open_on(c, 0);
        put(c, GET("/on/1") GET("/on/0"));
        for (int i = 0; i < turns; i++)
            assert_int_equal(loop_step(&workers[i % 2].loop, 0), 0);
        end_side();
        gets_and_end(c, OK("1", "2", "ok") OK("0", "2", "ok"));
        turn();
        assert_int_equal(n_connections(0) + n_connections(1), 0);
    }
}

/* A body that was collected is no longer unread, so the end follows it at once. */
static void move__of_a_body_and_the_end_behind_it(void **state)
{
    (void)state;
    for (int turns = 0; turns < 4; turns++) {
        open_on(c, 0);
        put(c, GET("/on/1") POST("/on/0", CHUNKED "5\r\nhello\r\n0\r\n\r\n"));
        if (!turns)
            end_side();
        for (int i = 0; i < turns; i++)
            assert_int_equal(loop_step(&workers[i % 2].loop, 0), 0);
        if (turns)
            end_side();
        gets_and_end(c, OK("1", "2", "ok") OK("0", "5", "hello"));
    }
}

static void move__of_a_client_that_leaves(void **state)
{
    (void)state;
    for (int turns = 0; turns < 4; turns++) {
        open_on(c, 0);
        put(c, GET("/held/1"));
        for (int i = 0; i < turns; i++)
            assert_int_equal(loop_step(&workers[i % 2].loop, 0), 0);
        hang_up(c);
        for (int i = 0; i < 4; i++)
            turn();
        assert_int_equal(n_connections(0) + n_connections(1), 0);
    }
}

/* ---- where it cannot go on ---- */

static const char refused[] = "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\n"
                              "Content-Length: 19\r\nConnection: close\r\n\r\nthe server is busy\n";

static void move__to_a_loop_that_has_ended_is_answered(void **state)
{
    (void)state;
    open_on(c, 0);
    loop_refuse_notes(&workers[1].loop);
    put(c, GET("/on/1") GET("/on/0"));
    gets_and_end(c, refused);
    open_on(c, 0);
    put(c, "HEAD /on/1 HTTP/1.1\r\nHost: a\r\n\r\n");
    settle(c);
    assert_memory_equal(c->got.at, "HTTP/1.1 503", 12);
    assert_memory_equal(c->got.at + c->got.len - 4, "\r\n\r\n", 4);
}

static void nothing(note *n, void *owner)
{
    (void)n, (void)owner;
}

static void move__to_a_loop_that_has_too_much_waiting_is_answered(void **state)
{
    (void)state;
    note *n = mem_new(sizeof *n);
    *n = (note){.bytes = INBOX_MAX_BYTES, .run = nothing};
    open_on(c, 0);
    assert_int_equal(inbox_push(loop_inbox(workers[1].loop.index), n), 0);
    put(c, GET("/on/1"));
    assert_int_equal(loop_step(&workers[0].loop, 0), 0);
    gets_and_end(c, refused);
}

static void move__to_a_loop_that_ends_first_cuts(void **state)
{
    (void)state;
    open_on(c, 0);
    put(c, GET("/on/1"));
    assert_int_equal(loop_step(&workers[0].loop, 0), 0);
    loop_refuse_notes(&workers[1].loop);
    settle(c);
    assert_true(c->ended);
    assert_int_equal(c->got.len, 0);
}

static void move__to_a_server_that_drains_is_answered_and_the_last(void **state)
{
    (void)state;
    open_on(c, 0);
    http_server_drain(&workers[1].http);
    put(c, GET("/on/1"));
    gets_and_end(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\nLoop: 1\r\n\r\nok");
    open_on(c, 0);
    put(c, GET("/held/1"));
    gets_and_end(c, "HTTP/1.1 200 OK\r\nContent-Length: 7\r\nConnection: close\r\nLoop: 1\r\n\r\ndrained");
}

static void drain_here(worker *w)
{
    http_server_drain(&w->http);
}

static void move__goes_on_when_its_old_server_drains(void **state)
{
    (void)state;
    behind_move = drain_here;
    open_on(c, 0);
    put(c, GET("/on/1"));
    gets(c, OK("1", "2", "ok"));
    assert_false(c->ended);
}

static timer cutting;

static void cut_now(timer *t)
{
    (void)t;
    http_server_abort(&workers[0].http);
}

static void cut_soon(worker *w)
{
    loop_arm(&w->loop, &cutting, 0, cut_now);
}

/* Between the request and the end of its turn. */
static void move__that_is_cut_leaves_nothing_behind(void **state)
{
    (void)state;
    behind_move = cut_soon;
    open_on(c, 0);
    put(c, GET("/on/1"));
    settle(c);
    if (!c->ended) /* the timer came a millisecond later: it had left */
        assert_int_equal(n_connections(1), 1);
    assert_int_equal(n_connections(0), 0);
}

/* ---- deadlines ---- */

static void pass(uint64_t ms)
{
    for (size_t i = 0; i < N_WORKERS; i++)
        wheel_advance(&workers[i].loop.wheel, workers[i].loop.wheel.now_ms + ms);
}

static void move__is_idle_for_so_long(void **state)
{
    (void)state;
    open_on(c, 0);
    put(c, GET("/on/1"));
    gets(c, OK("1", "2", "ok"));
    pass(HTTP_IDLE_TIMEOUT_MS - 2000);
    gets(c, "");
    assert_false(c->ended);
    pass(2000);
    gets_and_end(c, "");
}

static void move__has_so_long_for_the_next_head(void **state)
{
    (void)state;
    open_on(c, 0);
    put(c, GET("/on/1") "GET ");
    gets(c, OK("1", "2", "ok"));
    pass(HTTP_HEAD_TIMEOUT_MS + 100);
    settle(c);
    assert_memory_equal(c->got.at, "HTTP/1.1 408", 12);
    assert_true(c->ended);
}

static void move__of_a_body_that_trickles_ends(void **state)
{
    (void)state;
    open_on(c, 0);
    put(c, POST("/stream/1", "Content-Length: 100000\r\n\r\nslow"));
    settle(c);
    pass(11000);
    settle(c);
    assert_true(c->ended);
    assert_int_equal(workers[1].net.limits.n[LIMIT_BODY_RATE], 1);
}

static void move__of_one_that_waits_has_no_deadline(void **state)
{
    (void)state;
    open_on(c, 0);
    put(c, GET("/held/1"));
    settle(c);
    pass(10 * HTTP_IDLE_TIMEOUT_MS);
    gets(c, "");
    assert_false(c->ended);
}

/* ---- without memory ---- */

/* Whatever fails, the client is answered or cut, and the others are none the worse. */
static void move__without_memory_answers_or_cuts(void **state)
{
    (void)state;
    static const char *const asked[] = {
        GET("/on/1"),
        POST("/on/1", CHUNKED "5\r\nhello\r\n0\r\n\r\n"),
        POST("/stream/1", "Content-Length: 5\r\n\r\nhello"),
    };
    for (size_t i = 0; i < N_OF(asked); i++)
        for (uint64_t n = 1, served = 0; !served; n++) {
            assert_true(n < 100);
            open_on(c, 0);
            str bytes = wire(c, asked[i], strlen(asked[i]));
            push(c, bytes.at, bytes.len);
            mem_fail_from(n);
            for (int j = 0; j < 6; j++)
                turn();
            mem_fail_from(0);
            settle(c);
            served = c->got.len && memcmp(c->got.at, "HTTP/1.1 200", 12) == 0 && !c->ended;
            assert_true(served || c->ended);
        }
}

/* ---- threads ---- */

static void *run(void *p)
{
    worker *w = p;
    while (!w->loop.signalled)
        loop_step(&w->loop, -1);
    return NULL;
}

static void read_blocking(client *to, size_t want)
{
    while (to->got.len < want) {
        struct pollfd waiting = {.fd = to->fd, .events = POLLIN};
        assert_int_equal(poll(&waiting, 1, 20000), 1);
        read_some(to);
        assert_false(to->ended);
        drop_dates(to);
    }
    assert_int_equal(to->got.len, want);
}

static void move__between_threads(void **state)
{
    (void)state;
    static const char *const asked[] = {GET("/on/0"), GET("/on/1"), POST("/on/0", "Content-Length: 5\r\n\r\nhello"),
                                        POST("/on/1", CHUNKED "5\r\nhello\r\n0\r\n\r\n")};
    static const char *const answered[] = {OK("0", "2", "ok"), OK("1", "2", "ok"), OK("0", "5", "hello"),
                                           OK("1", "5", "hello")};
    for (size_t i = 0; i < N_CLIENTS; i++)
        open_on(&clients[i], i % N_WORKERS);
    for (size_t i = 0; i < N_WORKERS; i++)
        assert_int_equal(pthread_create(&workers[i].thread, NULL, run, &workers[i]), 0);
    for (size_t round = 0; round < N_ROUNDS; round++) {
        for (size_t i = 0; i < N_CLIENTS; i++)
            for (size_t j = 0; j <= round % 3; j++)
                put(&clients[i], asked[(round + i + j) % N_OF(asked)]);
        for (size_t i = 0; i < N_CLIENTS; i++) {
            char expected[1000] = "";
            for (size_t j = 0; j <= round % 3; j++)
                strcat(expected, answered[(round + i + j) % N_OF(asked)]);
            read_blocking(&clients[i], strlen(expected));
            assert_memory_equal(clients[i].got.at, expected, strlen(expected));
            clients[i].got.len = 0;
        }
    }
    for (size_t i = 0; i < N_WORKERS; i++)
        inbox_signal(workers[i].loop.box, 1);
    for (size_t i = 0; i < N_WORKERS; i++)
        pthread_join(workers[i].thread, NULL);
    assert_true(n_moves > N_ROUNDS);
}

static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

#define TEST(f)                                                                                                        \
    cmocka_unit_test_setup_teardown(f, start, stop), {#f " tls 1.2", f, start, stop, (void *)(uintptr_t)&versions[0]}, \
    {                                                                                                                  \
#f " tls 1.3", f, start, stop, (void *)(uintptr_t)&versions[1]                                                 \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(move__of_any_request_at_every_byte),
        TEST(move__of_any_request_byte_by_byte),
        TEST(move__of_an_upgrade_at_every_byte),
        TEST(move__of_large_bodies),
        TEST(move__asks_for_a_body_once),
        TEST(move__behind_answers_that_wait),
        TEST(move__ends_the_exchange_here_and_tells_nobody),
        TEST(move__to_where_nobody_is_changes_nothing),
        TEST(move__of_a_client_that_has_ended_its_side),
        TEST(move__of_a_body_and_the_end_behind_it),
        TEST(move__of_a_client_that_leaves),
        TEST(move__to_a_loop_that_has_ended_is_answered),
        TEST(move__to_a_loop_that_has_too_much_waiting_is_answered),
        TEST(move__to_a_loop_that_ends_first_cuts),
        TEST(move__to_a_server_that_drains_is_answered_and_the_last),
        TEST(move__goes_on_when_its_old_server_drains),
        TEST(move__that_is_cut_leaves_nothing_behind),
        TEST(move__is_idle_for_so_long),
        TEST(move__has_so_long_for_the_next_head),
        TEST(move__of_a_body_that_trickles_ends),
        TEST(move__of_one_that_waits_has_no_deadline),
        TEST(move__without_memory_answers_or_cuts),
        TEST(move__between_threads),
    };
    return cmocka_run_group_tests(tests, start_all, stop_all);
}
