/* Streams under TLS: the client is OpenSSL in the test's memory, so that the test decides which byte arrives when. */
#include "base/mem.h"
#include "net/stream.h"
#include "net/stream_private.h"
#include "support/certificates.h"
#include "support/check.h"
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    PATIENCE_MS = 20000,
    LOG_BYTES = 4096,
    N_SCRATCH = 21 << 20,
};

static loop the_loop;
static net the_net;
static char log_text[LOG_BYTES];
static test_certificate server_certificate;
static tls_context *context;

static void keep_log(weft_log_level level, const char *line, void *user)
{
    size_t len = strlen(log_text);
    (void)level, (void)user;
    snprintf(log_text + len, sizeof log_text - len, "%s\n", line);
}

static const logger the_log = {.fn = keep_log};

static char pattern(size_t at)
{
    uint32_t x = (uint32_t)at * 2654435761u;
    return (char)(x >> 24 ^ x >> 13);
}

static char *patterned(size_t len)
{
    static char bytes[N_SCRATCH];
    static bool made;
    assert_true(len <= sizeof bytes);
    for (size_t i = 0; !made && i < sizeof bytes; i++)
        bytes[i] = pattern(i);
    made = true;
    return bytes;
}

/* ------------------------------------------------------------------------------------------ the stream under test */

typedef struct owner owner;
struct owner {
    sink *sink;
    int fd;                                         /* the client's end; -1 closed */
    SSL *ssl;                                       /* the client */
    size_t (*data)(owner *o, char *at, size_t len); /* NULL: all is consumed */
    void (*event)(owner *o);
    char *room;
    size_t room_len, n_in_room;
    buf got;
    char events[256];
    size_t n_events;
    int error;
    bool eof; /* the server's close_notify has come */
    bool cut; /* the socket has ended */
};

static owner owners[2];
static owner *const one = &owners[0];

static void happened(owner *o, char letter)
{
    if (o->n_events + 1 < sizeof o->events)
        o->events[o->n_events++] = letter;
}

static size_t owner_data(void *p, char *at, size_t len)
{
    owner *o = p;
    assert_non_null(o->sink);
    happened(o, 'd');
    if (o->data)
        return o->data(o, at, len);
    assert_int_equal(buf_put(&o->got, at, len), 0);
    return len;
}

static stream *stream_under(const owner *o)
{
    return CONTAINER(o->sink, stream, base);
}

static char *owner_room(void *p, size_t *ret_len)
{
    owner *o = p;
    assert_false(stream_under(o)->paused);
    *ret_len = o->room_len;
    return o->room;
}

static void owner_eof(void *p)
{
    happened(p, 'e');
    if (((owner *)p)->event)
        ((owner *)p)->event(p);
}

static void owner_sent(void *p)
{
    happened(p, 's');
}

static void owner_gone(void *p, int error)
{
    owner *o = p;
    happened(o, 'g');
    o->error = error;
    o->sink = NULL;
}

static const sink_events scripted = {owner_data, owner_room, owner_eof, owner_sent, owner_gone};

static void turn(void)
{
    assert_int_equal(loop_step(&the_loop, 0), 0);
}

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* --------------------------------------------------------------------------------------------------- the client */

static int client_version; /* 0: any */
static SSL_CTX *client_ctx;

static void client_new(owner *o)
{
    o->ssl = SSL_new(client_ctx);
    SSL_set_connect_state(o->ssl);
    SSL_set_bio(o->ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    if (client_version) {
        SSL_set_min_proto_version(o->ssl, client_version);
        SSL_set_max_proto_version(o->ssl, client_version);
    }
}

static int open_stream(owner *o)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    o->fd = fds[1];
    stream *s = stream_new(&the_net, fds[0], true);
    if (!s)
        return -ENOMEM;
    if (stream_secure(s, context)) {
        s->base.ops->abort(&s->base);
        return -ENOMEM;
    }
    o->sink = &s->base;
    sink_bind(&s->base, &scripted, o);
    int error = stream_start(s);
    if (error)
        o->sink = NULL;
    return error;
}

static void open_both(owner *o)
{
    client_new(o);
    assert_int_equal(open_stream(o), 0);
}

/* What the client has to say goes to the socket, `step` bytes and a turn at a time (0: all at once, without a turn). False when not all fitted. */
static bool client_push(owner *o, size_t step)
{
    static char bytes[64 * 1024];
    BIO *out = SSL_get_wbio(o->ssl);
    for (int len; (len = BIO_read(out, bytes, step ? (int)step : (int)sizeof bytes)) > 0;) {
        ssize_t sent = send(o->fd, bytes, (size_t)len, MSG_NOSIGNAL);
        if (sent != len) {
            assert_true(sent <= 0);
            return false;
        }
        if (step)
            turn();
    }
    return true;
}

/* What came over the socket goes to the client. */
static void client_pull(owner *o)
{
    static char bytes[64 * 1024];
    for (ssize_t len; !o->cut && (len = recv(o->fd, bytes, sizeof bytes, MSG_DONTWAIT)) != 0;) {
        if (len < 0) {
            o->cut = errno != EAGAIN;
            return;
        }
        assert_int_equal(BIO_write(SSL_get_rbio(o->ssl), bytes, (int)len), len);
    }
    o->cut = true;
}

/* A step of the handshake; true when it is done. */
static bool client_shake(owner *o)
{
    ERR_clear_error();
    bool done = SSL_do_handshake(o->ssl) == 1;
    return client_push(o, 0) && done;
}

static bool client_handshake(owner *o)
{
    for (uint64_t until = now_ms() + PATIENCE_MS; !client_shake(o);) {
        turn();
        client_pull(o);
        if (o->cut || !o->sink || SSL_get_error(o->ssl, -1) == SSL_ERROR_SSL)
            return false;
        assert_true(now_ms() < until);
    }
    turn();
    return true;
}

static void connect_both(owner *o)
{
    open_both(o);
    assert_true(client_handshake(o));
    turn();
    assert_true(stream_under(o)->more->tls->established);
}

static void client_puts(owner *o, const char *text)
{
    assert_int_equal(SSL_write(o->ssl, text, (int)strlen(text)), strlen(text));
    assert_true(client_push(o, 0));
}

/* Reads `want` bytes while the loop turns; fewer when the server ends. */
static size_t client_reads(owner *o, char *into, size_t want)
{
    size_t n = 0;
    for (uint64_t until = now_ms() + PATIENCE_MS; n < want;) {
        size_t got = 0;
        ERR_clear_error();
        if (SSL_read_ex(o->ssl, into + n, want - n, &got) == 1) {
            n += got;
            continue;
        }
        int error = SSL_get_error(o->ssl, 0);
        o->eof = error == SSL_ERROR_ZERO_RETURN;
        if (error != SSL_ERROR_WANT_READ || o->cut)
            break;
        assert_true(now_ms() < until);
        turn();
        client_pull(o);
    }
    return n;
}

static void client_gets(owner *o, const char *text)
{
    char got[512];
    assert_int_equal(client_reads(o, got, strlen(text)), strlen(text));
    assert_memory_equal(got, text, strlen(text));
}

/* close_notify, and then the end of the socket. */
static void client_gets_end(owner *o)
{
    char byte;
    assert_int_equal(client_reads(o, &byte, 1), 0);
    assert_true(o->eof);
    for (uint64_t until = now_ms() + PATIENCE_MS; !o->cut; turn(), client_pull(o))
        assert_true(now_ms() < until);
}

/* --------------------------------------------------------------------------------------------------------- fixture */

static void make_context(const weft_listen_options *options)
{
    char problem[TLS_PROBLEM_BYTES];
    assert_int_equal(tls_context_new(options, &the_log, &context, problem), 0);
}

static int start(void **state)
{
    (void)state;
    weft_certificate pair = {server_certificate.certificate_file, server_certificate.key_file};
    memset(owners, 0, sizeof owners);
    owners[0].fd = owners[1].fd = -1;
    *log_text = '\0';
    client_version = 0;
    make_context(&(weft_listen_options){.certificates = &pair, .n_certificates = 1});
    if (loop_init(&the_loop, &the_loop))
        return -1;
    return net_init(&the_net, &the_loop, &the_log);
}

static int stop(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_OF(owners); i++) {
        owner *o = &owners[i];
        if (o->sink)
            o->sink->ops->abort(o->sink);
        if (o->fd >= 0)
            close(o->fd);
        SSL_free(o->ssl);
        buf_done(&o->got);
    }
    net_done(&the_net);
    assert_int_equal(the_net.n_streams, 0);
    assert_int_equal(the_net.queued_bytes, 0);
    loop_done(&the_loop);
    tls_context_free(context);
    context = NULL;
    return 0;
}

static int start_all(void **state)
{
    (void)state;
    certificate_make(&server_certificate, &(certificate_wish){.name = "server", .names = "DNS:localhost,IP:127.0.0.1"});
    client_ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_verify(client_ctx, SSL_VERIFY_PEER, NULL);
    return SSL_CTX_load_verify_file(client_ctx, server_certificate.certificate_file) == 1 ? 0 : -1;
}

static int stop_all(void **state)
{
    (void)state;
    SSL_CTX_free(client_ctx);
    certificate_done(&server_certificate);
    certificates_forget();
    return 0;
}

/* ----------------------------------------------------------------------------------------------- what owners write */

static void put(owner *o, const char *at, size_t len)
{
    assert_int_equal(o->sink->ops->write(o->sink, &(sink_piece){.body = {at, len}}), 0);
}

static void put_text(owner *o, const char *text)
{
    put(o, text, strlen(text));
}

static void end(owner *o)
{
    o->sink->ops->end(o->sink);
    o->sink = NULL;
}

static size_t echo(owner *o, char *at, size_t len)
{
    put(o, at, len);
    return len;
}

static size_t take_line(owner *o, char *at, size_t len)
{
    const char *newline = memchr(at, '\n', len);
    size_t n = newline ? (size_t)(newline - at) + 1 : 0;
    assert_int_equal(buf_put(&o->got, at, n), 0);
    return n;
}

static void got(const owner *o, const char *text)
{
    assert_int_equal(o->got.len, strlen(text));
    if (o->got.len)
        assert_memory_equal(o->got.at, text, o->got.len);
}

/* ------------------------------------------------------------------------------------------------------- handshakes */

static void tls__shakes_hands_and_carries_both_ways(void **state)
{
    (void)state;
    static const int versions[] = {TLS1_3_VERSION, TLS1_2_VERSION};
    for (size_t i = 0; i < N_OF(versions); i++) {
        owner *o = &owners[i];
        client_version = versions[i];
        connect_both(o);
        assert_int_equal(SSL_version(o->ssl), versions[i]);
        client_puts(o, "hello");
        turn();
        got(o, "hello");
        put_text(o, "hi");
        client_gets(o, "hi");
        assert_true(o->sink->ops->secure(o->sink));
    }
}

static void tls__shakes_hands_byte_by_byte(void **state)
{
    (void)state;
    static const int versions[] = {TLS1_3_VERSION, TLS1_2_VERSION};
    for (size_t i = 0; i < N_OF(versions); i++) {
        owner *o = &owners[i];
        client_version = versions[i];
        open_both(o);
        while (!client_shake(o) || SSL_in_init(o->ssl)) {
            client_push(o, 1);
            turn();
            client_pull(o);
            assert_false(o->cut);
        }
        SSL_write(o->ssl, "one", 3);
        client_push(o, 1);
        got(o, "one");
    }
}

/* They share what stands between OpenSSL and a socket: neither gets what is the other's, and one that leaves takes nothing along. */
static void tls__handshakes_may_overlap(void **state)
{
    (void)state;
    owner *two = &owners[1];
    open_both(one);
    open_both(two);
    while (!client_shake(one) | !client_shake(two)) {
        client_push(one, 1);
        client_push(two, 1);
        turn();
        client_pull(one);
        client_pull(two);
        assert_false(one->cut || two->cut);
    }
    client_puts(one, "from one");
    client_puts(two, "from two");
    turn();
    got(one, "from one");
    got(two, "from two");
    put_text(one, "to one");
    put_text(two, "to two");
    client_gets(two, "to two");
    client_gets(one, "to one");
}

static void tls__one_that_leaves_in_its_handshake_is_missed_by_nobody(void **state)
{
    (void)state;
    owner *two = &owners[1];
    open_both(one);
    open_both(two);
    client_shake(one);
    client_shake(two);
    turn();
    close(one->fd);
    one->fd = -1;
    turn();
    assert_string_equal(one->events, "g");
    assert_true(client_handshake(two));
    client_puts(two, "here");
    turn();
    got(two, "here");
    put_text(two, "there");
    client_gets(two, "there");
}

/* Records that came together, the last one in pieces: what is not whole waits, and nothing that is whole does. */
static void tls__takes_records_that_come_together(void **state)
{
    (void)state;
    enum { N_RECORDS = 40, RECORD_BYTES = 700 };
    static char bytes[64 * 1024];
    connect_both(one);
    for (size_t i = 0; i < N_RECORDS; i++)
        assert_int_equal(SSL_write(one->ssl, patterned(N_RECORDS * RECORD_BYTES) + i * RECORD_BYTES, RECORD_BYTES),
                         RECORD_BYTES);
    int len = BIO_read(SSL_get_wbio(one->ssl), bytes, sizeof bytes), first = len - 10;
    assert_int_equal(send(one->fd, bytes, (size_t)first, MSG_NOSIGNAL), first);
    turn();
    assert_int_equal(one->got.len, (N_RECORDS - 1) * RECORD_BYTES);
    assert_int_equal(send(one->fd, bytes + first, 10, MSG_NOSIGNAL), 10);
    turn();
    assert_int_equal(one->got.len, N_RECORDS * RECORD_BYTES);
    assert_memory_equal(one->got.at, patterned(N_RECORDS * RECORD_BYTES), one->got.len);
}

/* The peer leaves after each number of bytes: nothing is left behind, the owner is told once. */
static void tls__survives_a_cut_after_every_byte(void **state)
{
    (void)state;
    static char hello[16 * 1024], last[16 * 1024];
    for (int at = 0, len_hello = 1; at < len_hello; at++) {
        memset(owners, 0, sizeof owners);
        open_both(one);
        SSL_do_handshake(one->ssl);
        len_hello = BIO_read(SSL_get_wbio(one->ssl), hello, sizeof hello);
        assert_int_equal(send(one->fd, hello, (size_t)at, 0), at);
        turn();
        close(one->fd);
        turn();
        assert_string_equal(one->events, "g");
        SSL_free(one->ssl);
        turn();
        assert_int_equal(the_net.n_streams, 0);
    }
    for (int at = 0, len_last = 1; at < len_last; at++) {
        memset(owners, 0, sizeof owners);
        open_both(one);
        client_shake(one);
        turn();
        client_pull(one);
        assert_int_equal(SSL_do_handshake(one->ssl), 1);
        SSL_write(one->ssl, "request", 7);
        len_last = BIO_read(SSL_get_wbio(one->ssl), last, sizeof last);
        assert_int_equal(send(one->fd, last, (size_t)at, 0), at);
        turn();
        close(one->fd);
        turn();
        assert_string_equal(one->events, "g");
        SSL_free(one->ssl);
        turn();
        assert_int_equal(the_net.n_streams, 0);
    }
    memset(owners, 0, sizeof owners);
    owners[0].fd = owners[1].fd = -1;
}

static void tls__answers_the_request_behind_a_handshake_in_one_send(void **state)
{
    (void)state;
    open_both(one);
    one->data = echo;
    client_shake(one);
    turn();
    client_pull(one);
    assert_int_equal(SSL_do_handshake(one->ssl), 1);
    client_puts(one, "request");
    uint64_t n_sends = the_net.n_sends;
    turn();
    assert_int_equal(the_net.n_sends, n_sends + 1); /* tickets and answer */
    client_gets(one, "request");
}

static void tls__refuses_what_is_too_old(void **state)
{
    (void)state;
    open_both(one);
    SSL_set_security_level(one->ssl, 0);
    SSL_set_min_proto_version(one->ssl, TLS1_VERSION);
    SSL_set_max_proto_version(one->ssl, TLS1_1_VERSION);
    SSL_set_cipher_list(one->ssl, "ALL:@SECLEVEL=0");
    assert_false(client_handshake(one));
    assert_string_equal(one->events, "g");
    assert_int_equal(one->error, -EPROTO);
    assert_non_null(strstr(log_text, "event=tls address="));
    assert_non_null(strstr(log_text, "unsupported protocol"));
}

static void tls__has_no_cipher_without_forward_secrecy(void **state)
{
    (void)state;
    client_version = TLS1_2_VERSION;
    open_both(one);
    SSL_set_cipher_list(one->ssl, "AES128-SHA:ECDHE-ECDSA-AES128-SHA");
    assert_false(client_handshake(one));
    assert_non_null(strstr(log_text, "no shared cipher"));
}

static void tls__tells_a_plain_http_client_where_it_is(void **state)
{
    (void)state;
    char answer[512] = "";
    assert_int_equal(open_stream(one), 0);
    assert_true(send(one->fd, "GET / HTTP/1.1\r\n\r\n", 18, 0) == 18);
    assert_true(send(one->fd, patterned(TLS_RECEIVE_BYTES), TLS_RECEIVE_BYTES, 0) > 0); /* more than is read */
    turn();
    assert_string_equal(one->events, "g");
    ssize_t len = recv(one->fd, answer, sizeof answer - 1, 0);
    assert_true(len > 0);
    assert_memory_equal(answer, "HTTP/1.1 400 Bad Request\r\n", 26);
    const char *body = strstr(answer, "\r\n\r\n") + 4;
    char length[64];
    snprintf(length, sizeof length, "Content-Length: %zu\r\n", strlen(body));
    assert_non_null(strstr(answer, length));
    assert_int_equal(recv(one->fd, answer, sizeof answer, 0), 0); /* an end, no reset */
    assert_non_null(strstr(log_text, "plain HTTP"));
}

static void tls__tells_the_client_why_by_an_alert_that_arrives(void **state)
{
    (void)state;
    open_both(one);
    SSL_set_alpn_protos(one->ssl, (const unsigned char *)"\x02h9\x02h8", 6);
    assert_false(client_handshake(one));
    assert_string_equal(one->events, "g");
    client_pull(one);
    SSL_do_handshake(one->ssl);
    assert_int_equal(ERR_GET_REASON(ERR_peek_error()), SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL);
    assert_non_null(strstr(log_text, "no application protocol"));
}

static void tls__agrees_on_http_1_1(void **state)
{
    (void)state;
    const unsigned char *protocol;
    unsigned len;
    open_both(one);
    SSL_set_alpn_protos(one->ssl, (const unsigned char *)"\x02h2\x08http/1.1", 12);
    assert_true(client_handshake(one));
    SSL_get0_alpn_selected(one->ssl, &protocol, &len);
    assert_int_equal(len, 8);
    assert_memory_equal(protocol, "http/1.1", 8);
}

static void tls__refuses_to_renegotiate(void **state)
{
    (void)state;
    client_version = TLS1_2_VERSION;
    connect_both(one);
    client_puts(one, "x");
    turn();
    assert_int_equal(SSL_renegotiate(one->ssl), 1);
    SSL_do_handshake(one->ssl);
    client_push(one, 0);
    turn();
    assert_string_equal(one->events, "dg");
    assert_non_null(strstr(log_text, "renegotiate"));
}

static void tls__takes_key_updates(void **state)
{
    (void)state;
    client_version = TLS1_3_VERSION;
    connect_both(one);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(SSL_key_update(one->ssl, SSL_KEY_UPDATE_REQUESTED), 1);
        client_puts(one, "a");
        turn();
        put_text(one, "b");
        client_gets(one, "b");
    }
    got(one, "aaaaa");
}

static void tls__fails_on_a_broken_record(void **state)
{
    (void)state;
    connect_both(one);
    SSL_write(one->ssl, "hello", 5);
    char bytes[256];
    int len = BIO_read(SSL_get_wbio(one->ssl), bytes, sizeof bytes);
    bytes[len - 1] ^= 1;
    assert_int_equal(send(one->fd, bytes, (size_t)len, 0), len);
    turn();
    assert_string_equal(one->events, "g");
    got(one, "");
    assert_non_null(strstr(log_text, "bad record mac"));
}

/* The owner gives up on a handshake that does not come: nothing of what it wanted to say goes out. */
static void tls__ended_before_the_handshake_is_over_closes(void **state)
{
    (void)state;
    char byte;
    assert_int_equal(open_stream(one), 0);
    assert_int_equal(send(one->fd, "\x16\x03\x01", 3, 0), 3);
    turn();
    put_text(one, "HTTP/1.1 408 Request Timeout\r\n\r\n");
    end(one);
    turn();
    assert_int_equal(recv(one->fd, &byte, 1, 0), 0);
    assert_int_equal(the_net.n_streams, 0);
    assert_non_null(strstr(log_text, "the handshake was not finished"));
}

/* --------------------------------------------------------------------------------------------------------- endings */

static void tls__close_notify_is_the_end_and_leaves_the_other_direction(void **state)
{
    (void)state;
    connect_both(one);
    client_puts(one, "bye");
    SSL_shutdown(one->ssl);
    client_push(one, 0);
    turn();
    turn();
    assert_string_equal(one->events, "de");
    put_text(one, "answer");
    turn();
    client_gets(one, "answer");
    end(one);
    client_gets_end(one);
    assert_int_equal(the_net.n_streams, 0);
}

static void tls__an_end_without_close_notify_is_a_loss(void **state)
{
    (void)state;
    connect_both(one);
    client_puts(one, "bye");
    turn();
    shutdown(one->fd, SHUT_WR);
    turn();
    assert_string_equal(one->events, "dg");
    assert_int_equal(one->error, -ECONNRESET);
    assert_non_null(strstr(log_text, "without close_notify"));
}

static void tls__ends_with_close_notify_behind_the_last_byte(void **state)
{
    (void)state;
    connect_both(one);
    uint64_t n_sends = the_net.n_sends;
    put_text(one, "last words");
    end(one);
    turn();
    assert_int_equal(the_net.n_sends, n_sends + 1);
    client_gets(one, "last words");
    client_gets_end(one);
    close(one->fd);
    one->fd = -1;
    turn();
    turn();
    assert_int_equal(the_net.n_streams, 0);
}

static size_t answer_and_end(owner *o, char *at, size_t len)
{
    put(o, at, len);
    end(o);
    return len;
}

static void tls__ended_inside_data_sends_what_was_written(void **state)
{
    (void)state;
    connect_both(one);
    one->data = answer_and_end;
    client_puts(one, "once");
    SSL_write(one->ssl, "more", 4);
    client_push(one, 0);
    turn();
    client_gets(one, "oncemore");
    client_gets_end(one);
    assert_string_equal(one->events, "d");
}

static void tls__aborted_it_says_nothing_more(void **state)
{
    (void)state;
    char byte;
    connect_both(one);
    put_text(one, "unsaid");
    one->sink->ops->abort(one->sink);
    one->sink = NULL;
    turn();
    assert_int_equal(client_reads(one, &byte, 1), 0);
    assert_false(one->eof);
    assert_int_equal(the_net.n_streams, 0);
}

/* --------------------------------------------------------------------------------------------------------- reading */

static void tls__keeps_what_the_owner_does_not_consume(void **state)
{
    (void)state;
    connect_both(one);
    one->data = take_line;
    client_puts(one, "one\ntw");
    turn();
    got(one, "one\n");
    client_puts(one, "o\nthr");
    turn();
    client_puts(one, "ee\n");
    turn();
    got(one, "one\ntwo\nthree\n");
    assert_null(stream_unread(stream_under(one)));
}

static void tls__hands_over_all_records_of_a_receive_at_once(void **state)
{
    (void)state;
    connect_both(one);
    for (int i = 0; i < 10; i++)
        assert_int_equal(SSL_write(one->ssl, "abc", 3), 3);
    client_push(one, 0);
    turn();
    assert_string_equal(one->events, "d");
    assert_int_equal(one->got.len, 30);
}

static size_t take_line_and_pause(owner *o, char *at, size_t len)
{
    size_t n = take_line(o, at, len);
    if (n)
        o->sink->ops->pause(o->sink, true);
    return n;
}

static void tls__paused_inside_data_keeps_all_that_has_come(void **state)
{
    (void)state;
    connect_both(one);
    one->data = take_line_and_pause;
    client_puts(one, "a\n");
    SSL_write(one->ssl, "b\nc\n", 4);
    SSL_shutdown(one->ssl);
    client_push(one, 0);
    turn();
    turn();
    got(one, "a\n");
    one->sink->ops->pause(one->sink, false);
    turn();
    turn();
    got(one, "a\nb\n");
    assert_null(strchr(one->events, 'e'));
    one->sink->ops->pause(one->sink, false);
    turn();
    turn();
    got(one, "a\nb\nc\n");
    assert_string_equal(one->events, "ddde");
    one->sink->ops->pause(one->sink, false);
    turn();
    turn();
    assert_string_equal(one->events, "ddde"); /* told once */
}

static size_t take_in_place(owner *o, char *at, size_t len)
{
    if (o->room && at == o->room)
        o->n_in_room += len;
    assert_int_equal(buf_put(&o->got, at, len), 0);
    return len;
}

static size_t take_some_in_place_and_pause(owner *o, char *at, size_t len)
{
    take_in_place(o, at, len);
    if (o->n_in_room >= 50000)
        o->sink->ops->pause(o->sink, true);
    return len;
}

static void sends_pattern(owner *o, size_t len)
{
    size_t at = 0;
    for (uint64_t until = now_ms() + PATIENCE_MS; at < len || BIO_pending(SSL_get_wbio(o->ssl)); turn()) {
        size_t n = len - at < 10000 ? len - at : 10000;
        if (n && !BIO_pending(SSL_get_wbio(o->ssl))) {
            assert_int_equal(SSL_write(o->ssl, patterned(len) + at, (int)n), n);
            at += n;
        }
        client_push(o, 0);
        assert_true(now_ms() < until);
    }
    turn();
}

static void tls__decrypts_straight_into_room(void **state)
{
    (void)state;
    static char room[7000];
    connect_both(one);
    one->data = take_in_place;
    one->room = room;
    one->room_len = sizeof room;
    sends_pattern(one, 300000);
    assert_int_equal(one->n_in_room, 300000);
    assert_memory_equal(one->got.at, patterned(300000), 300000);
}

static void tls__paused_while_filling_room_loses_nothing(void **state)
{
    (void)state;
    static char room[7000];
    connect_both(one);
    one->data = take_some_in_place_and_pause;
    one->room = room;
    one->room_len = sizeof room;
    assert_int_equal(SSL_write(one->ssl, patterned(64000), 64000), 64000);
    client_push(one, 0);
    turn();
    assert_true(one->got.len < 64000);
    one->data = take_in_place;
    one->sink->ops->pause(one->sink, false);
    turn();
    turn();
    assert_int_equal(one->got.len, 64000);
    assert_memory_equal(one->got.at, patterned(64000), 64000);
}

/* --------------------------------------------------------------------------------------------------------- writing */

static void tls__sends_what_a_turn_has_queued_as_one_record(void **state)
{
    (void)state;
    char bytes[32];
    connect_both(one);
    client_reads(one, bytes, 0);
    client_pull(one);
    SSL_read(one->ssl, bytes, 1); /* takes the tickets */
    uint64_t n_sends = the_net.n_sends;
    for (int i = 0; i < 10; i++)
        put_text(one, "abc");
    turn();
    assert_int_equal(the_net.n_sends, n_sends + 1);
    client_pull(one);
    assert_int_equal(SSL_read(one->ssl, bytes, sizeof bytes), 30); /* one record: SSL_read gives no more */
}

static void echo_of(owner *o, size_t len)
{
    static char back[N_SCRATCH];
    size_t sent = 0, in = 0;
    for (uint64_t until = now_ms() + PATIENCE_MS; in < len; turn()) {
        size_t n = len - sent < 16000 ? len - sent : 16000, more = 0;
        if (n && !BIO_pending(SSL_get_wbio(o->ssl))) {
            assert_int_equal(SSL_write(o->ssl, patterned(len) + sent, (int)n), n);
            sent += n;
        }
        client_push(o, 0);
        client_pull(o);
        while (SSL_read_ex(o->ssl, back + in, len - in, &more) == 1)
            in += more;
        assert_true(now_ms() < until);
    }
    assert_memory_equal(back, patterned(len), len);
}

static void tls__echoes_all_sizes(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 2, 100, 16383, 16384, 16385, 65536, 100001, 1 << 20, 20 << 20};
    connect_both(one);
    one->data = echo;
    for (size_t i = 0; i < N_OF(sizes); i++)
        echo_of(one, sizes[i]);
    turn();
    assert_int_equal(one->sink->queued, 0);
    assert_null(stream_under(one)->more->tls->unsent);
    assert_null(stream_under(one)->queue);
    assert_null(stream_unread(stream_under(one)));
}

static void shrink(const owner *o)
{
    int bytes = 4096;
    setsockopt(stream_under(o)->source.fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
}

/* Fills the socket. */
static void stall(owner *o, size_t len)
{
    shrink(o);
    put(o, patterned(len), len);
    turn();
    assert_true(stream_under(o)->stalled);
    assert_true(o->sink->queued > 0);
}

static void client_gets_pattern(owner *o, size_t len)
{
    static char back[N_SCRATCH];
    assert_int_equal(client_reads(o, back, len), len);
    assert_memory_equal(back, patterned(len), len);
}

static void tls__a_full_socket_keeps_the_rest_in_order(void **state)
{
    (void)state;
    connect_both(one);
    stall(one, 1 << 20);
    uint64_t n_sends = the_net.n_sends;
    for (int i = 0; i < 20; i++)
        turn();
    assert_int_equal(the_net.n_sends, n_sends); /* it waits without a system call */
    assert_true(one->sink->queued <= 1 << 20);
    client_gets_pattern(one, 1 << 20);
    turn();
    assert_int_equal(one->sink->queued, 0);
    assert_false(stream_under(one)->stalled);
    assert_null(stream_under(one)->more->tls->unsent);
    put_text(one, "go on");
    client_gets(one, "go on");
}

static void tls__queued_falls_as_the_socket_takes_it(void **state)
{
    (void)state;
    static char back[4096];
    connect_both(one);
    stall(one, 300000);
    size_t before = one->sink->queued, n = 0;
    one->sink->ops->notify(one->sink);
    while (n < 300000) {
        n += client_reads(one, back, sizeof back < 300000 - n ? sizeof back : 300000 - n);
        assert_true(one->sink->queued <= before);
        assert_true(one->sink->queued <= 300000 - n);
        before = one->sink->queued;
    }
    turn();
    assert_int_equal(one->sink->queued, 0);
    assert_string_equal(one->events, "s");
}

static void tls__a_peer_that_takes_nothing_is_given_up(void **state)
{
    (void)state;
    connect_both(one);
    stall(one, 300000);
    stream_under(one)->more->since_ms -= NET_WRITE_TIMEOUT_MS + 1;
    loop_arm(&the_loop, &the_net.tick, 0, the_net.tick.fire);
    turn();
    assert_string_equal(one->events, "g");
    assert_int_equal(one->error, -ETIMEDOUT);
}

static void tls__ended_while_the_socket_is_full_sends_all(void **state)
{
    (void)state;
    connect_both(one);
    stall(one, 300000);
    end(one);
    client_gets_pattern(one, 300000);
    client_gets_end(one);
}

/* A client that asks for answers of TLS itself, and reads none. */
static void tls__hoards_no_answers_of_its_own(void **state)
{
    (void)state;
    client_version = TLS1_3_VERSION;
    connect_both(one);
    stall(one, 100000);
    for (int i = 0; i < 20000 && one->sink; i++) {
        SSL_key_update(one->ssl, SSL_KEY_UPDATE_REQUESTED);
        SSL_do_handshake(one->ssl);
        client_push(one, 0);
        turn();
        if (one->sink && stream_under(one)->more->tls->unsent)
            assert_true(stream_under(one)->more->tls->unsent->cap < 400 * 1024);
    }
}

/* ----------------------------------------------------------------------------------------------------------- files */

static int pattern_file(size_t offset, size_t len)
{
    int fd = memfd_create("file", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, patterned(len), len, (off_t)offset), len);
    return fd;
}

static void tls__sends_a_file_behind_what_is_queued(void **state)
{
    (void)state;
    connect_both(one);
    put_text(one, "head");
    assert_int_equal(one->sink->ops->write_file(one->sink, pattern_file(5, 70000), 5, 70000), 0);
    assert_int_equal(one->sink->queued, 70004);
    client_gets(one, "head");
    client_gets_pattern(one, 70000);
    assert_int_equal(one->sink->queued, 0);
    put_text(one, "and on");
    client_gets(one, "and on");
}

static void tls__sends_a_large_file_in_turns(void **state)
{
    (void)state;
    int room = 8 << 20;
    connect_both(one);
    setsockopt(stream_under(one)->source.fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room);
    assert_int_equal(one->sink->ops->write_file(one->sink, pattern_file(0, 5 << 20), 0, 5 << 20), 0);
    size_t left = 5 << 20;
    for (int i = 0; i < 3; i++) {
        turn();
        assert_true(left - one->sink->queued <= STREAM_FILE_TURN_BYTES + 4 * TLS_RECORD_BYTES);
        left = one->sink->queued;
    }
    client_gets_pattern(one, 5 << 20);
}

static void tls__a_file_that_became_shorter_is_a_loss(void **state)
{
    (void)state;
    connect_both(one);
    assert_int_equal(one->sink->ops->write_file(one->sink, pattern_file(0, 1000), 0, 2000), 0);
    turn();
    assert_string_equal(one->events, "g");
    assert_int_equal(one->error, -EIO);
}

/* ----------------------------------------------------------------------------------------------------- allocations */

static size_t discard(owner *o, char *at, size_t len)
{
    (void)o, (void)at;
    return len;
}

/* What a client does that may be lost. */
static void go_through_all(void)
{
    static char back[200000];
    client_new(one);
    if (open_stream(one))
        return;
    one->data = discard;
    if (!client_handshake(one))
        return;
    SSL_write(one->ssl, "hello", 5);
    client_push(one, 0);
    turn();
    if (!one->sink)
        return;
    shrink(one);
    if (one->sink->ops->write(one->sink, &(sink_piece){.body = {patterned(200000), 200000}})) {
        one->sink->ops->abort(one->sink);
        one->sink = NULL;
        return;
    }
    client_reads(one, back, sizeof back);
    if (one->sink)
        end(one);
}

static void tls__without_memory_only_this_connection_is_lost(void **state)
{
    (void)state;
    connect_both(&owners[1]);
    for (uint64_t n = 1, needed = UINT64_MAX; n <= needed + 1; n++) {
        memset(one, 0, sizeof *one);
        pool_done(&the_loop.blocks);
        uint64_t before = mem_count();
        mem_fail_from(n);
        go_through_all();
        turn();
        bool enough = mem_count() - before < n;
        mem_fail_from(0);
        if (one->sink)
            one->sink->ops->abort(one->sink);
        one->sink = NULL;
        close(one->fd);
        SSL_free(one->ssl);
        buf_done(&one->got);
        for (int i = 0; i < 3; i++)
            turn();
        assert_int_equal(the_net.n_streams, 1);
        client_puts(&owners[1], "x");
        turn();
        put_text(&owners[1], "y");
        client_gets(&owners[1], "y");
        if (enough)
            needed = n - 1;
    }
    memset(one, 0, sizeof *one);
    one->fd = -1;
}

#define TLS_TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TLS_TEST(tls__shakes_hands_and_carries_both_ways),
        TLS_TEST(tls__shakes_hands_byte_by_byte),
        TLS_TEST(tls__handshakes_may_overlap),
        TLS_TEST(tls__one_that_leaves_in_its_handshake_is_missed_by_nobody),
        TLS_TEST(tls__takes_records_that_come_together),
        TLS_TEST(tls__survives_a_cut_after_every_byte),
        TLS_TEST(tls__answers_the_request_behind_a_handshake_in_one_send),
        TLS_TEST(tls__refuses_what_is_too_old),
        TLS_TEST(tls__has_no_cipher_without_forward_secrecy),
        TLS_TEST(tls__tells_a_plain_http_client_where_it_is),
        TLS_TEST(tls__tells_the_client_why_by_an_alert_that_arrives),
        TLS_TEST(tls__agrees_on_http_1_1),
        TLS_TEST(tls__refuses_to_renegotiate),
        TLS_TEST(tls__takes_key_updates),
        TLS_TEST(tls__fails_on_a_broken_record),
        TLS_TEST(tls__ended_before_the_handshake_is_over_closes),
        TLS_TEST(tls__close_notify_is_the_end_and_leaves_the_other_direction),
        TLS_TEST(tls__an_end_without_close_notify_is_a_loss),
        TLS_TEST(tls__ends_with_close_notify_behind_the_last_byte),
        TLS_TEST(tls__ended_inside_data_sends_what_was_written),
        TLS_TEST(tls__aborted_it_says_nothing_more),
        TLS_TEST(tls__keeps_what_the_owner_does_not_consume),
        TLS_TEST(tls__hands_over_all_records_of_a_receive_at_once),
        TLS_TEST(tls__paused_inside_data_keeps_all_that_has_come),
        TLS_TEST(tls__decrypts_straight_into_room),
        TLS_TEST(tls__paused_while_filling_room_loses_nothing),
        TLS_TEST(tls__sends_what_a_turn_has_queued_as_one_record),
        TLS_TEST(tls__echoes_all_sizes),
        TLS_TEST(tls__a_full_socket_keeps_the_rest_in_order),
        TLS_TEST(tls__queued_falls_as_the_socket_takes_it),
        TLS_TEST(tls__a_peer_that_takes_nothing_is_given_up),
        TLS_TEST(tls__ended_while_the_socket_is_full_sends_all),
        TLS_TEST(tls__hoards_no_answers_of_its_own),
        TLS_TEST(tls__sends_a_file_behind_what_is_queued),
        TLS_TEST(tls__sends_a_large_file_in_turns),
        TLS_TEST(tls__a_file_that_became_shorter_is_a_loss),
        TLS_TEST(tls__without_memory_only_this_connection_is_lost),
    };
    return cmocka_run_group_tests(tests, start_all, stop_all);
}
