/* Streams that go from one loop to another, with two loops that take turns by hand; plain, and under TLS with OpenSSL as the client. */
#include "net/stream_move.h"
#include "net/stream_private.h"
#include "support/certificates.h"
#include "support/check.h"
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum { N_LOOPS = 2, MANY_BYTES = 3 << 20, MANY_TURNS = 20000 };

static loop loops[N_LOOPS];
static net nets[N_LOOPS];
static tls_context *context;
static SSL_CTX *client_context;
static test_certificate certificate;
static int tls_version; /* 0: plain */

/* ---- both ends of one connection ---- */

static struct {
    sink *sink; /* NULL: gone, or given up */
    size_t at;  /* the loop that it is on */
    int fd;     /* the client's end; -1 closed */
    SSL *ssl;   /* the client's; NULL: plain */
    buf got;    /* by the server */
    buf back;   /* by the client */
    char events[32];
    bool by_line; /* consumes whole lines alone */
    bool ended;   /* the client has seen the end */
} c;

static void happened(const char *letter)
{
    strncat(c.events, letter, sizeof c.events - strlen(c.events) - 1);
}

static size_t owner_data(void *p, char *at, size_t len)
{
    assert_ptr_equal(p, &nets[c.at]);
    const char *newline = memrchr(at, '\n', len);
    size_t n = !c.by_line ? len : newline ? (size_t)(newline - at) + 1 : 0;
    assert_int_equal(buf_put(&c.got, at, n), 0);
    return n;
}

static void owner_eof(void *p)
{
    assert_ptr_equal(p, &nets[c.at]);
    happened("e");
}

static void owner_sent(void *p)
{
    assert_ptr_equal(p, &nets[c.at]);
    happened("s");
}

static void owner_gone(void *p, int error)
{
    (void)error;
    assert_ptr_equal(p, &nets[c.at]);
    happened("g");
    c.sink = NULL;
}

static const sink_events events = {owner_data, NULL, owner_eof, owner_sent, owner_gone};

static stream *the_stream(void)
{
    return CONTAINER(c.sink, stream, base);
}

static void turn(void)
{
    for (size_t i = 0; i < N_LOOPS; i++)
        assert_int_equal(loop_step(&loops[i], 0), 0);
}

static int take_up(stream *s)
{
    c.sink = &s->base;
    sink_bind(c.sink, &events, &nets[c.at]);
    return stream_start(s);
}

static int try_to_move(str front)
{
    stream_parcel parcel;
    int error = stream_leave(the_stream(), front, &parcel);
    if (error)
        return error;
    c.sink = NULL;
    c.at = 1 - c.at;
    stream *s = stream_arrive(&nets[c.at], &parcel);
    return s ? take_up(s) : -ENOMEM;
}

static void move(void)
{
    assert_int_equal(try_to_move(STR("")), 0);
}

/* ---- the client ---- */

static void push(const char *at, size_t len)
{
    assert_int_equal(send(c.fd, at, len, MSG_NOSIGNAL), len);
}

/* What is on its way to the server when the client says this: ciphertext under TLS. */
static str wire(const char *at, size_t len)
{
    static char bytes[1 << 20];
    if (!c.ssl)
        return (str){at, len};
    assert_int_equal(SSL_write(c.ssl, at, (int)len), len);
    int n = BIO_read(SSL_get_wbio(c.ssl), bytes, sizeof bytes);
    assert_true(n > 0);
    return (str){bytes, (size_t)n};
}

static void client_puts(const char *text)
{
    str bytes = wire(text, strlen(text));
    push(bytes.at, bytes.len);
}

static void read_back(void)
{
    static char bytes[64 * 1024];
    ssize_t n = recv(c.fd, bytes, sizeof bytes, MSG_DONTWAIT);
    c.ended = n == 0 || (n < 0 && errno != EAGAIN);
    if (n > 0 && c.ssl)
        assert_int_equal(BIO_write(SSL_get_rbio(c.ssl), bytes, (int)n), n);
    else if (n > 0)
        assert_int_equal(buf_put(&c.back, bytes, (size_t)n), 0);
    size_t got = 0;
    ERR_clear_error();
    while (c.ssl && SSL_is_init_finished(c.ssl) && SSL_read_ex(c.ssl, bytes, sizeof bytes, &got) == 1)
        assert_int_equal(buf_put(&c.back, bytes, got), 0);
}

/* Until the client has so many bytes, or the end. */
static void client_reads(size_t want)
{
    for (int i = 0; i < MANY_TURNS && c.back.len < want && !c.ended; i++) {
        turn();
        read_back();
    }
    assert_int_equal(c.back.len, want);
}

static void client_sees_end(void)
{
    for (int i = 0; i < MANY_TURNS && !c.ended; i++) {
        turn();
        read_back();
    }
    assert_true(c.ended);
}

static void shake_hands(void)
{
    c.ssl = SSL_new(client_context);
    SSL_set_connect_state(c.ssl);
    SSL_set_bio(c.ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_min_proto_version(c.ssl, tls_version);
    SSL_set_max_proto_version(c.ssl, tls_version);
    for (int i = 0; i < 20; i++) {
        char bytes[16 * 1024];
        SSL_do_handshake(c.ssl);
        for (int n; (n = BIO_read(SSL_get_wbio(c.ssl), bytes, sizeof bytes)) > 0;)
            push(bytes, (size_t)n);
        turn();
        read_back();
    }
    assert_true(SSL_is_init_finished(c.ssl) && the_stream()->more->tls->established);
}

static void open_both(void)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    c.fd = fds[1];
    c.at = 0;
    stream *s = stream_new(&nets[0], fds[0], true);
    assert_non_null(s);
    if (tls_version)
        assert_int_equal(stream_secure(s, context), 0);
    assert_int_equal(take_up(s), 0);
    if (tls_version)
        shake_hands();
}

static void close_both(void)
{
    if (c.sink)
        c.sink->ops->abort(c.sink);
    if (c.fd > 0)
        close(c.fd);
    SSL_free(c.ssl);
    buf_done(&c.got);
    buf_done(&c.back);
    memset(&c, 0, sizeof c);
    turn();
    for (size_t i = 0; i < N_LOOPS; i++) {
        assert_int_equal(nets[i].n_streams, 0);
        assert_int_equal(nets[i].queued_bytes, 0);
    }
}

static void got(const char *text)
{
    assert_int_equal(c.got.len, strlen(text));
    assert_memory_equal(c.got.at ? c.got.at : "", text, c.got.len);
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

static int start(void **state)
{
    char problem[TLS_PROBLEM_BYTES];
    weft_certificate pair = {certificate.certificate_file, certificate.key_file};
    tls_version = *state ? *(const int *)*state : 0;
    assert_int_equal(
        tls_context_new(&(weft_listen_options){.certificates = &pair, .n_certificates = 1}, NULL, &context, problem),
        0);
    for (size_t i = 0; i < N_LOOPS; i++)
        if (loop_init(&loops[i], &nets[i]) || net_init(&nets[i], &loops[i], NULL))
            return -1;
    net_share_addresses(&nets[1], &nets[0]);
    n_descriptors = count_descriptors();
    return 0;
}

static int stop(void **state)
{
    (void)state;
    close_both();
    assert_int_equal(count_descriptors(), n_descriptors);
    for (size_t i = N_LOOPS; i--;) {
        net_done(&nets[i]);
        loop_done(&loops[i]);
    }
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

static char *many(void)
{
    static char bytes[MANY_BYTES];
    static bool made;
    for (size_t i = 0; !made && i < sizeof bytes; i++) {
        uint32_t x = (uint32_t)i * 2654435761u;
        bytes[i] = (char)(x >> 24 ^ x >> 13);
    }
    made = true;
    return bytes;
}

/* ---- what comes ---- */

static const char said[] = "one line\nanother\n\nand the last of them\n";

static void move__after_each_byte_loses_and_doubles_nothing(void **state)
{
    (void)state;
    for (size_t cut = 0, len = 1; cut <= len; cut++) {
        open_both();
        c.by_line = true;
        str bytes = wire(said, strlen(said));
        len = bytes.len;
        push(bytes.at, cut);
        turn();
        move();
        turn();
        push(bytes.at + cut, len - cut);
        turn();
        got(said);
        assert_int_equal(nets[0].n_streams, 0);
        client_puts("there\n");
        turn();
        move(); /* and back */
        turn();
        client_puts("and here\n");
        turn();
        assert_memory_equal(c.got.at + strlen(said), "there\nand here\n", 15);
        close_both();
    }
}

/* Several records, none of them looked at by the owner, and the last one cut. */
static void move__takes_along_what_the_owner_did_not_want_yet(void **state)
{
    (void)state;
    open_both();
    the_stream()->base.ops->pause(c.sink, false);
    c.by_line = true;
    client_puts("no line");
    client_puts(", nor this");
    turn();
    move();
    turn();
    client_puts(", until here\n");
    turn();
    got("no line, nor this, until here\n");
}

static void move__while_paused_goes_on_reading(void **state)
{
    (void)state;
    open_both();
    c.sink->ops->pause(c.sink, true);
    client_puts("waits\n");
    turn();
    got("");
    move();
    turn();
    turn();
    got("waits\n");
}

static void move__puts_in_front_what_was_consumed(void **state)
{
    (void)state;
    open_both();
    c.by_line = true;
    client_puts("third");
    turn();
    assert_int_equal(try_to_move(STR("first\nsecond\n")), 0);
    client_puts(" and fourth\n");
    turn();
    turn();
    got("first\nsecond\nthird and fourth\n");
}

/* Larger than the buffer that a loop receives into. */
static void move__puts_very_much_in_front(void **state)
{
    (void)state;
    open_both();
    assert_int_equal(try_to_move((str){many(), MANY_BYTES}), 0);
    client_puts("!");
    turn();
    turn();
    assert_int_equal(c.got.len, MANY_BYTES + 1);
    assert_memory_equal(c.got.at, many(), MANY_BYTES);
}

/* ---- what goes ---- */

static int write_many(void)
{
    size_t sizes[] = {10, 3000, 100, 100000, 1}, done = 0;
    for (size_t i = 0; done < MANY_BYTES; i++) {
        size_t n = sizes[i % N_OF(sizes)] < MANY_BYTES - done ? sizes[i % N_OF(sizes)] : MANY_BYTES - done;
        assert_int_equal(c.sink->ops->write(c.sink, &(sink_piece){.body = {many() + done, n}}), 0);
        done += n;
    }
    return 0;
}

static void move__takes_along_what_is_to_be_sent(void **state)
{
    (void)state;
    for (int turns = 0; turns < 3; turns++) {
        open_both();
        write_many();
        for (int i = 0; i < turns; i++)
            turn();
        size_t queued = c.sink->queued;
        assert_true(queued > MANY_BYTES / 2);
        move();
        assert_int_equal(nets[0].queued_bytes, 0);
        assert_int_equal(nets[1].queued_bytes, queued);
        assert_int_equal(c.sink->queued, queued);
        c.sink->ops->notify(c.sink);
        for (int i = 0; i < 5; i++) { /* now and then on the way */
            turn();
            read_back();
            move();
        }
        client_reads(MANY_BYTES);
        assert_memory_equal(c.back.at, many(), MANY_BYTES);
        assert_int_equal(c.sink->queued, 0);
        close_both();
    }
}

static void move__ends_behind_what_is_to_be_sent(void **state)
{
    (void)state;
    open_both();
    write_many();
    turn();
    move();
    c.sink->ops->end(c.sink);
    c.sink = NULL;
    client_reads(MANY_BYTES);
    client_sees_end();
    assert_memory_equal(c.back.at, many(), MANY_BYTES);
}

static void move__takes_along_a_file(void **state)
{
    (void)state;
    open_both();
    int fd = memfd_create("many", MFD_CLOEXEC);
    assert_int_equal(write(fd, many(), MANY_BYTES), MANY_BYTES);
    assert_int_equal(c.sink->ops->write_file(c.sink, fd, 0, MANY_BYTES), 0);
    turn();
    assert_true(c.sink->queued > 0);
    move();
    client_reads(MANY_BYTES);
    assert_memory_equal(c.back.at, many(), MANY_BYTES);
    assert_null(stream_file_of(the_stream()));
}

/* ---- ends ---- */

static void client_ends(void)
{
    if (c.ssl) {
        char bytes[1024];
        SSL_shutdown(c.ssl);
        int n = BIO_read(SSL_get_wbio(c.ssl), bytes, sizeof bytes);
        push(bytes, (size_t)n);
    } else {
        assert_int_equal(shutdown(c.fd, SHUT_WR), 0);
    }
}

static void move__tells_of_the_end_once_more(void **state)
{
    (void)state;
    open_both();
    client_puts("last\n");
    client_ends();
    turn();
    turn();
    assert_string_equal(c.events, "e");
    move();
    turn();
    turn();
    assert_string_equal(c.events, "ee"); /* as after a rebind: the new owner has not heard of it */
    got("last\n");
    assert_int_equal(c.sink->ops->write(c.sink, &(sink_piece){.head = STR("bye")}), 0);
    client_reads(3);
    assert_memory_equal(c.back.at, "bye", 3);
}

static void move__tells_of_an_end_that_comes_meanwhile(void **state)
{
    (void)state;
    open_both();
    c.sink->ops->pause(c.sink, true);
    client_puts("last\n");
    client_ends();
    turn();
    turn();
    assert_string_equal(c.events, "");
    move();
    turn();
    turn();
    turn();
    assert_string_equal(c.events, "e");
    got("last\n");
}

static void move__of_one_that_is_lost_ends_where_it_went(void **state)
{
    (void)state;
    open_both();
    c.sink->ops->pause(c.sink, true);
    client_puts("never read\n");
    write_many();
    turn();
    close(c.fd);
    c.fd = -1;
    move();
    turn();
    turn();
    assert_null(c.sink);
    assert_non_null(strchr(c.events, 'g'));
}

static void move__that_nobody_takes_cuts_the_connection(void **state)
{
    (void)state;
    open_both();
    stream_parcel parcel;
    c.by_line = true;
    client_puts("half a");
    write_many();
    turn();
    assert_int_equal(stream_leave(the_stream(), STR("front"), &parcel), 0);
    assert_true(stream_parcel_bytes(&parcel) >= MANY_BYTES / 2);
    c.sink = NULL;
    stream_parcel_done(&parcel);
    client_sees_end();
    assert_true(c.back.len < MANY_BYTES);
}

/* ---- whom it counts for ---- */

static void move__takes_its_address_along(void **state)
{
    (void)state;
    struct sockaddr_in from = {.sin_family = AF_INET};
    struct sockaddr_storage at = {0};
    stream_parcel parcel;
    addresses *a = nets[0].addresses;
    address_use *use, *other;
    a->max_connections = 1;
    assert_int_equal(inet_pton(AF_INET, "192.0.2.1", &from.sin_addr), 1);
    memcpy(&at, &from, sizeof from);
    for (int cut = 0; cut < 2; cut++) {
        open_both();
        assert_int_equal(addresses_admit(a, 0, &at, &use).error, 0);
        c.sink->use = use;
        move();
        turn();
        assert_ptr_equal(c.sink->use, use);
        assert_int_equal(addresses_admit(nets[1].addresses, 0, &at, &other).error, WEFT_E_FULL);
        if (cut) {
            assert_int_equal(stream_leave(the_stream(), STR(""), &parcel), 0);
            stream_parcel_done(&parcel);
            c.sink = NULL;
        }
        close_both();
        assert_int_equal(a->n_unused, 1);
    }
}

/* ---- without memory ---- */

/* It stays whole where it is, or is cut: nothing is left behind. */
static void move__without_memory_stays_or_is_cut(void **state)
{
    (void)state;
    for (uint64_t n = 1, moved = 0; !moved; n++) {
        open_both();
        c.by_line = true;
        client_puts("half ");
        write_many();
        turn();
        stream *before = the_stream();
        mem_fail_from(n);
        int error = try_to_move(STR("front "));
        mem_fail_from(0);
        assert_true(n < 100);
        if (c.sink == &before->base) {
            assert_int_equal(error, -ENOMEM);
            client_puts("a line\n");
            turn();
            got("half a line\n");
            client_reads(MANY_BYTES);
        } else if (error) {
            c.sink = NULL;
            client_sees_end();
        } else {
            moved = 1;
        }
        close_both();
    }
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
        TEST(move__after_each_byte_loses_and_doubles_nothing),
        TEST(move__takes_along_what_the_owner_did_not_want_yet),
        TEST(move__while_paused_goes_on_reading),
        TEST(move__puts_in_front_what_was_consumed),
        TEST(move__puts_very_much_in_front),
        TEST(move__takes_along_what_is_to_be_sent),
        TEST(move__ends_behind_what_is_to_be_sent),
        TEST(move__takes_along_a_file),
        TEST(move__tells_of_the_end_once_more),
        TEST(move__tells_of_an_end_that_comes_meanwhile),
        TEST(move__of_one_that_is_lost_ends_where_it_went),
        TEST(move__that_nobody_takes_cuts_the_connection),
        TEST(move__takes_its_address_along),
        TEST(move__without_memory_stays_or_is_cut),
    };
    return cmocka_run_group_tests(tests, start_all, stop_all);
}
