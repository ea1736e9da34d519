#include "bench/link.h"
#include "support/certificates.h"
#include "support/check.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum { PATIENCE_S = 20 };

static loop the_loop;
static bench_lines lines;
static bench_target target;
static bench_link the_link;
static int listener, server = -1; /* the server's end */

/* What the link has told. */
static buf got;
static const char *down_why;
static int n_up, n_down, n_bytes;
static size_t (*reader)(bench_link *link, char *at, size_t len);

static void on_up(bench_link *link)
{
    assert_ptr_equal(link, &the_link);
    n_up++;
}

static size_t take_all(bench_link *link, char *at, size_t len)
{
    (void)link;
    assert_int_equal(buf_put(&got, at, len), 0);
    return len;
}

static size_t on_bytes(bench_link *link, char *at, size_t len)
{
    assert_true(len > 0);
    n_bytes++;
    return reader(link, at, len);
}

static void on_down(bench_link *link, const char *why)
{
    (void)link;
    n_down++;
    down_why = why;
}

static const bench_link_handler handler = {.up = on_up, .bytes = on_bytes, .down = on_down};

static char pattern(size_t at)
{
    return (char)(at * 2654435761u >> 13);
}

/* ------------------------------------------------------------------------------------------------------------- the stage */

static void step(void)
{
    assert_int_equal(loop_step(&the_loop, 0), 0);
}

#define UNTIL(condition)                                                                                               \
    do {                                                                                                               \
        time_t end = time(NULL) + PATIENCE_S;                                                                          \
        while (!(condition)) {                                                                                         \
            step();                                                                                                    \
            assert_true(time(NULL) < end);                                                                             \
        }                                                                                                              \
    } while (0)

static void open_listener(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(listener, 16), 0);
    getsockname(listener, (struct sockaddr *)&address, &size);
    target = (bench_target){.address_len = size, .name = "weft.test"};
    memcpy(&target.address, &address, sizeof address);
}

static int set_up(void **state)
{
    (void)state;
    down_why = NULL;
    n_up = n_down = n_bytes = 0;
    got.len = 0;
    reader = take_all;
    the_link = (bench_link){0};
    open_listener();
    return loop_init(&the_loop, NULL) || bench_lines_init(&lines, &the_loop, true);
}

static int tear_down(void **state)
{
    (void)state;
    bench_link_close(&the_link);
    bench_link_close(&the_link);
    bench_lines_done(&lines);
    loop_done(&the_loop);
    buf_done(&got);
    close(listener);
    if (server >= 0)
        close(server);
    server = -1;
    return 0;
}

static void begin(void)
{
    assert_int_equal(bench_link_open(&the_link, &lines, &target, NULL, 0, &handler), 0);
    assert_int_equal(n_up + n_down, 0);
}

static void begin_and_accept(void)
{
    begin();
    server = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
    assert_true(server >= 0);
}

static void connect_both(void)
{
    begin_and_accept();
    UNTIL(n_up);
}

static void server_says(const char *text)
{
    assert_int_equal(send(server, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static void put(const char *text)
{
    assert_int_equal(buf_put_text(bench_link_out(&the_link), text), 0);
    bench_link_flush(&the_link);
}

/* ------------------------------------------------------------------------------------------------------------ connecting */

static void link__comes_up_from_the_loop(void **state)
{
    (void)state;
    connect_both();
    assert_true(the_link.is_up);
    assert_int_equal(n_up, 1);
}

static void link__leaves_from_its_source(void **state)
{
    struct sockaddr_storage source = {.ss_family = AF_INET};
    struct sockaddr_in *v4 = (struct sockaddr_in *)&source, peer;
    socklen_t size = sizeof peer;
    (void)state;
    inet_pton(AF_INET, "127.0.3.5", &v4->sin_addr);
    assert_int_equal(bench_link_open(&the_link, &lines, &target, &source, sizeof *v4, &handler), 0);
    server = accept(listener, (struct sockaddr *)&peer, &size);
    assert_int_equal(peer.sin_addr.s_addr, v4->sin_addr.s_addr);
    int late = 0;
    size = sizeof late;
    getsockopt(the_link.source.fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &late, &size);
    assert_int_equal(late, 1);
}

static void link__says_that_it_is_refused(void **state)
{
    (void)state;
    close(listener);
    listener = socket(AF_INET, SOCK_STREAM, 0);
    begin();
    UNTIL(n_down);
    assert_string_equal(down_why, "refused");
    assert_int_equal(n_up, 0);
}

static void link__does_not_begin_from_an_address_that_is_not_ours(void **state)
{
    struct sockaddr_storage source = {.ss_family = AF_INET};
    (void)state;
    inet_pton(AF_INET, "192.0.2.1", &((struct sockaddr_in *)&source)->sin_addr);
    assert_int_equal(bench_link_open(&the_link, &lines, &target, &source, sizeof(struct sockaddr_in), &handler),
                     -EADDRNOTAVAIL);
    step();
    assert_int_equal(n_up + n_down, 0);
}

/* --------------------------------------------------------------------------------------------------------------- reading */

/* Records of a length byte and as many bytes. */
static size_t take_records(bench_link *link, char *at, size_t len)
{
    size_t done = 0;
    while (done < len && len - done > (size_t)(uint8_t)at[done]) {
        size_t n = (size_t)(uint8_t)at[done];
        buf_put(&got, at + done + 1, n);
        buf_put_text(&got, ",");
        done += 1 + n;
    }
    if (done < len)
        link->wanted = 1 + (size_t)(uint8_t)at[done];
    return done;
}

static void link__hands_in_again_what_its_reader_leaves(void **state)
{
    static const char records[] = "\003one\003two\000\005three";
    static const char expected[] = "one,two,,three,";
    (void)state;
    connect_both();
    reader = take_records;
    for (size_t cut = 0; cut < sizeof records; cut++) {
        got.len = 0;
        uint64_t read_before = lines.n_read_bytes;
        for (size_t at = 0; at < sizeof records - 1;) {
            size_t n = cut == 0 ? 1 : at == 0 ? cut : sizeof records - 1 - cut;
            assert_int_equal(send(server, records + at, n, 0), n);
            at += n;
            UNTIL(lines.n_read_bytes - read_before == at);
        }
        assert_int_equal(got.len, strlen(expected));
        assert_memory_equal(got.at, expected, got.len);
        assert_int_equal(the_link.rest.len, 0);
    }
}

static size_t wish;

static size_t take_wish(bench_link *link, char *at, size_t len)
{
    if (len < wish) {
        link->wanted = wish;
        return 0;
    }
    buf_put(&got, at, wish);
    return wish;
}

/* Sends `n` bytes of the pattern while the loop runs. */
static void send_pattern(size_t n)
{
    char piece[4096];
    time_t end = time(NULL) + PATIENCE_S;
    for (size_t at = 0; at < n;) {
        size_t len = n - at < sizeof piece ? n - at : sizeof piece;
        for (size_t i = 0; i < len; i++)
            piece[i] = pattern(at + i);
        ssize_t sent = send(server, piece, len, MSG_NOSIGNAL);
        at += sent > 0 ? (size_t)sent : 0;
        step();
        assert_true(time(NULL) < end);
    }
}

static void check_pattern(const char *at, size_t from, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (at[i] != pattern(from + i))
            fail_msg("byte %zu of %zu is wrong", i, len);
}

static void link__calls_its_reader_again_when_what_it_wants_is_there(void **state)
{
    static const size_t wishes[] = {5000, 65536, 65537, 600000, 3000000};
    (void)state;
    connect_both();
    reader = take_wish;
    for (size_t i = 0; i < N_OF(wishes); i++) {
        wish = wishes[i];
        got.len = 0;
        n_bytes = 0;
        send_pattern(wish);
        UNTIL(got.len == wish);
        assert_true(n_bytes <= 2);
        check_pattern(got.at, 0, wish);
        assert_int_equal(the_link.rest.len, 0);
    }
}

/* What comes behind a large message belongs to the next. */
static void link__reads_one_large_message_after_the_other(void **state)
{
    (void)state;
    connect_both();
    reader = take_wish;
    wish = 100001;
    send_pattern(10 * wish);
    UNTIL(got.len == 10 * wish);
    check_pattern(got.at, 0, got.len);
}

static size_t take_when_whole(bench_link *link, char *at, size_t len)
{
    (void)link;
    return len == wish ? take_all(link, at, len) : 0;
}

/* Takes all but the last hundred bytes, once there is enough. */
static size_t take_most(bench_link *link, char *at, size_t len)
{
    return len < wish ? 0 : take_all(link, at, len - 100);
}

static void link__keeps_the_end_of_what_was_large(void **state)
{
    (void)state;
    connect_both();
    reader = take_most;
    wish = 700000;
    send_pattern(wish);
    UNTIL(got.len == wish - 100);
    assert_int_equal(the_link.rest.len, 100);
    reader = take_all;
    server_says("!");
    UNTIL(got.len == wish + 1);
    check_pattern(got.at, 0, wish);
}

static void link__keeps_more_than_its_buffer_for_a_reader_that_says_nothing(void **state)
{
    (void)state;
    connect_both();
    reader = take_when_whole;
    wish = 1500000;
    send_pattern(wish);
    UNTIL(got.len == wish);
    check_pattern(got.at, 0, wish);
}

static void link__says_that_the_server_has_ended(void **state)
{
    (void)state;
    connect_both();
    server_says("last words");
    close(server);
    server = -1;
    UNTIL(n_down);
    assert_ptr_equal(down_why, bench_link_ended);
    assert_int_equal(got.len, 10);
    for (int i = 0; i < 3; i++)
        step();
    assert_int_equal(n_down, 1);
}

static void link__says_that_it_was_reset(void **state)
{
    struct linger none = {.l_onoff = 1};
    (void)state;
    connect_both();
    setsockopt(server, SOL_SOCKET, SO_LINGER, &none, sizeof none);
    close(server);
    server = -1;
    UNTIL(n_down);
    assert_string_equal(down_why, "reset by the server");
}

static size_t close_and_take(bench_link *link, char *at, size_t len)
{
    (void)at;
    bench_link_close(link);
    return len / 2;
}

static void link__may_be_closed_by_its_reader(void **state)
{
    (void)state;
    connect_both();
    reader = close_and_take;
    server_says("bytes");
    UNTIL(n_bytes);
    step();
    assert_int_equal(n_bytes, 1);
    assert_int_equal(n_down, 0);
    assert_null(the_link.rest.at);
}

static size_t reopen_and_take(bench_link *link, char *at, size_t len)
{
    (void)at;
    bench_link_close(link);
    begin();
    n_up = 0;
    return len / 2;
}

static void link__may_be_opened_anew_by_its_reader(void **state)
{
    (void)state;
    connect_both();
    n_up = 0;
    reader = reopen_and_take;
    server_says("old");
    UNTIL(n_bytes);
    close(server);
    server = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
    UNTIL(n_up);
    reader = take_all;
    server_says("new");
    UNTIL(got.len);
    assert_int_equal(got.len, 3);
    assert_memory_equal(got.at, "new", 3);
}

/* --------------------------------------------------------------------------------------------------------------- writing */

static void link__sends_all_of_a_turn_at_once(void **state)
{
    char bytes[64];
    (void)state;
    connect_both();
    put("one");
    put("two");
    assert_int_equal(recv(server, bytes, sizeof bytes, 0), -1);
    step();
    assert_int_equal(recv(server, bytes, sizeof bytes, 0), 6);
    assert_memory_equal(bytes, "onetwo", 6);
    assert_int_equal(lines.n_written_bytes, 6);
    put("now");
    bench_link_send(&the_link);
    assert_int_equal(recv(server, bytes, sizeof bytes, 0), 3);
}

static size_t drain_server(size_t from)
{
    static char bytes[1 << 16];
    ssize_t n = recv(server, bytes, sizeof bytes, 0);
    if (n > 0)
        check_pattern(bytes, from, (size_t)n);
    return n > 0 ? (size_t)n : 0;
}

static void put_pattern(size_t from, size_t n)
{
    buf *out = bench_link_out(&the_link);
    assert_int_equal(buf_reserve(out, n), 0);
    for (size_t i = 0; i < n; i++)
        out->at[out->len++] = pattern(from + i);
    bench_link_flush(&the_link);
}

static void link__sends_the_rest_when_the_socket_takes_more(void **state)
{
    enum { PIECE = 3000000, N = 5 };
    size_t n_put = 0, n_seen = 0;
    (void)state;
    connect_both();
    for (int i = 0; i < N; i++, n_put += PIECE) {
        put_pattern(n_put, PIECE);
        step();
        n_seen += drain_server(n_seen);
    }
    assert_true(the_link.is_full);
    assert_true(bench_link_unsent(&the_link) > 0);
    UNTIL((n_seen += drain_server(n_seen)) == n_put);
    UNTIL(!the_link.is_full);
    assert_int_equal(bench_link_unsent(&the_link), 0);
    assert_int_equal(the_link.source.watched, EPOLLIN);
}

static void link__reads_while_the_socket_takes_nothing(void **state)
{
    (void)state;
    connect_both();
    put_pattern(0, 20000000);
    step();
    assert_true(the_link.is_full);
    server_says("still there");
    UNTIL(got.len);
    assert_int_equal(got.len, 11);
}

static void link__reads_what_was_said_before_the_server_went(void **state)
{
    (void)state;
    connect_both();
    put("unread"); /* so that its end is a reset */
    step();
    server_says("too large");
    shutdown(server, SHUT_WR);
    put("more");
    UNTIL(n_down);
    assert_int_equal(got.len, 9);
    assert_ptr_equal(down_why, bench_link_ended);
}

/* ------------------------------------------------------------------------------------------------------------------- TLS */

static SSL_CTX *server_context;
static SSL *server_ssl;
static char asked_name[64];

static int tls_set_up(void **state)
{
    static const certificate_wish wish_ = {.name = "server", .names = "DNS:weft.test"};
    test_certificate certificate;
    certificate_make(&certificate, &wish_);
    server_context = SSL_CTX_new(TLS_server_method());
    assert_int_equal(SSL_CTX_use_certificate(server_context, certificate.certificate), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(server_context, certificate.key), 1);
    SSL_CTX_set_mode(server_context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    certificate_done(&certificate);
    int error = set_up(state);
    target.tls = true;
    return error;
}

static int tls_tear_down(void **state)
{
    SSL_free(server_ssl);
    server_ssl = NULL;
    SSL_CTX_free(server_context);
    certificates_forget();
    return tear_down(state);
}

static void tls_connect(void)
{
    begin_and_accept();
    server_ssl = SSL_new(server_context);
    SSL_set_fd(server_ssl, server);
    UNTIL(SSL_accept(server_ssl) == 1);
    const char *name = SSL_get_servername(server_ssl, TLSEXT_NAMETYPE_host_name);
    snprintf(asked_name, sizeof asked_name, "%s", name ? name : "");
    UNTIL(n_up);
}

static void link__speaks_tls_and_asks_for_the_name(void **state)
{
    char bytes[64];
    (void)state;
    tls_connect();
    assert_string_equal(asked_name, "weft.test");
    put("hello");
    int n = 0;
    UNTIL((n = SSL_read(server_ssl, bytes, sizeof bytes)) > 0);
    assert_int_equal(n, 5);
    assert_int_equal(SSL_write(server_ssl, "answer", 6), 6);
    UNTIL(got.len == 6);
    assert_int_equal(SSL_shutdown(server_ssl), 0);
    UNTIL(n_down);
    assert_ptr_equal(down_why, bench_link_ended);
}

static void link__asks_for_no_name_when_it_has_an_address(void **state)
{
    (void)state;
    strcpy(target.name, "127.0.0.1");
    tls_connect();
    assert_string_equal(asked_name, "");
}

/* Many records at once, most of which OpenSSL has read before epoll could know of them. */
static void link__reads_large_messages_over_tls(void **state)
{
    static char bytes[2500000];
    size_t sent = 0;
    (void)state;
    tls_connect();
    reader = take_wish;
    wish = 312500;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = pattern(i);
    time_t end = time(NULL) + PATIENCE_S;
    while (got.len < sizeof bytes) {
        ERR_clear_error();
        int n = sent < sizeof bytes ? SSL_write(server_ssl, bytes + sent, (int)(sizeof bytes - sent)) : 0;
        sent += n > 0 ? (size_t)n : 0;
        step();
        assert_true(time(NULL) < end);
    }
    check_pattern(got.at, 0, got.len);
}

/* Nothing of these is left in the socket when the first has been read. */
static void link__reads_all_records_that_openssl_has_read(void **state)
{
    (void)state;
    tls_connect();
    for (int i = 0; i < 3; i++)
        assert_int_equal(SSL_write(server_ssl, "record", 6), 6);
    UNTIL(got.len == 18);
}

static size_t take_wish_then_all(bench_link *link, char *at, size_t len)
{
    return got.len ? take_all(link, at, len) : take_wish(link, at, len);
}

static void link__reads_what_openssl_has_behind_a_large_message(void **state)
{
    static const char bytes[70010];
    size_t sent = 0;
    (void)state;
    tls_connect();
    reader = take_wish_then_all;
    wish = 70000;
    UNTIL(sent == sizeof bytes ||
          (sent += (size_t)SSL_write(server_ssl, bytes + sent, (int)(sizeof bytes - sent)), false));
    UNTIL(got.len == sizeof bytes);
}

static void link__sends_large_messages_over_tls(void **state)
{
    static char bytes[1 << 16];
    size_t seen = 0;
    (void)state;
    tls_connect();
    put_pattern(0, 8000000);
    time_t end = time(NULL) + PATIENCE_S;
    while (seen < 8000000) {
        step();
        ERR_clear_error();
        int n = SSL_read(server_ssl, bytes, sizeof bytes);
        if (n > 0)
            check_pattern(bytes, seen, (size_t)n);
        seen += n > 0 ? (size_t)n : 0;
        assert_true(time(NULL) < end);
    }
    assert_int_equal(bench_link_unsent(&the_link), 0);
}

static void link__is_down_when_the_server_speaks_no_tls(void **state)
{
    (void)state;
    begin_and_accept();
    server_says("HTTP/1.1 400 Bad Request\r\n\r\n");
    UNTIL(n_down);
    assert_int_equal(n_up, 0);
    assert_non_null(strstr(down_why, "wrong version"));
}

static void link__is_down_when_the_server_ends_in_the_handshake(void **state)
{
    (void)state;
    begin_and_accept();
    shutdown(server, SHUT_RDWR);
    UNTIL(n_down);
    assert_int_equal(n_up, 0);
}

/* ---------------------------------------------------------------------------------------------------------------- memory */

static int leave_something(void)
{
    n_down = n_bytes = 0;
    server_says("\005par");
    UNTIL(n_down || n_bytes);
    return n_down ? -1 : 0;
}

static void link__is_down_when_there_is_no_memory_for_the_rest(void **state)
{
    (void)state;
    connect_both();
    reader = take_records;
    mem_fail_from(1);
    assert_int_equal(leave_something(), -1);
    mem_fail_from(0);
    assert_string_equal(down_why, "Cannot allocate memory");
}

static void lines__need_memory(void **state)
{
    bench_lines others;
    (void)state;
    mem_fail_from(1);
    assert_int_equal(bench_lines_init(&others, &the_loop, false), -ENOMEM);
    mem_fail_from(0);
}

#define CASE(name)     cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define TLS_CASE(name) cmocka_unit_test_setup_teardown(name, tls_set_up, tls_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(link__comes_up_from_the_loop),
        CASE(link__leaves_from_its_source),
        CASE(link__says_that_it_is_refused),
        CASE(link__does_not_begin_from_an_address_that_is_not_ours),
        CASE(link__hands_in_again_what_its_reader_leaves),
        CASE(link__calls_its_reader_again_when_what_it_wants_is_there),
        CASE(link__reads_one_large_message_after_the_other),
        CASE(link__keeps_the_end_of_what_was_large),
        CASE(link__keeps_more_than_its_buffer_for_a_reader_that_says_nothing),
        CASE(link__says_that_the_server_has_ended),
        CASE(link__says_that_it_was_reset),
        CASE(link__may_be_closed_by_its_reader),
        CASE(link__may_be_opened_anew_by_its_reader),
        CASE(link__sends_all_of_a_turn_at_once),
        CASE(link__sends_the_rest_when_the_socket_takes_more),
        CASE(link__reads_while_the_socket_takes_nothing),
        CASE(link__reads_what_was_said_before_the_server_went),
        TLS_CASE(link__speaks_tls_and_asks_for_the_name),
        TLS_CASE(link__asks_for_no_name_when_it_has_an_address),
        TLS_CASE(link__reads_large_messages_over_tls),
        TLS_CASE(link__reads_all_records_that_openssl_has_read),
        TLS_CASE(link__reads_what_openssl_has_behind_a_large_message),
        TLS_CASE(link__sends_large_messages_over_tls),
        TLS_CASE(link__is_down_when_the_server_speaks_no_tls),
        TLS_CASE(link__is_down_when_the_server_ends_in_the_handshake),
        CASE(link__is_down_when_there_is_no_memory_for_the_rest),
        CASE(lines__need_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
