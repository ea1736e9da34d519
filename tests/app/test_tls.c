/* https:// as a program sees it; tests/app/test_*.c run over it too (WEFT_TEST_TLS). */
#include "app/app.h"
#include "app/fixture.h"
#include "support/tls_relay.h"
#include <signal.h>

static test_certificate authority, anna, live, other;
static weft_listen_options options; /* of the listener */
static weft_certificate pair;
static char log_text[1 << 16];
static char secure[16], subject[512];

static void keep_log(weft_log_level level, const char *line, void *user)
{
    size_t len = strlen(log_text);
    (void)level, (void)user;
    snprintf(log_text + len, sizeof log_text - len, "%s\n", line);
}

static int start_all(void **state)
{
    (void)state;
    pthread_once(&relay_once, relay_make);
    certificate_make(&authority, &(certificate_wish){.name = "authority"});
    certificate_make(&anna, &(certificate_wish){.name = "anna", .names = "DNS:a", .issuer = &authority});
    certificate_make(&other, &(certificate_wish){.name = "other", .names = "DNS:localhost"});
    return 0;
}

static int stop_all(void **state)
{
    (void)state;
    certificate_done(&authority);
    certificate_done(&anna);
    certificate_done(&other);
    return 0;
}

static int start(void **state)
{
    (void)state;
    events[0] = '\0';
    *log_text = '\0';
    *secure = *subject = '\0';
    latest = (weft_peer){0};
    client_secures = relay_secure;
    client_resets = relay_reset;
    live = relay_certificate;
    snprintf(live.certificate_file, sizeof live.certificate_file, "%s", certificates_path("live", ".pem"));
    snprintf(live.key_file, sizeof live.key_file, "%s", certificates_path("live", ".key"));
    certificate_write(&live);
    pair = (weft_certificate){live.certificate_file, live.key_file};
    options = (weft_listen_options){.certificates = &pair, .n_certificates = 1};
    app = weft_new(&(weft_options){.log = keep_log, .head_timeout_ms = 300});
    return app ? 0 : -1;
}

static void begin_tls(void)
{
    if (weft_listen(app, "https://127.0.0.1:0", &options))
        fail_msg("%s", weft_error(app));
    url = weft_listening(app, 0);
    assert_int_equal(weft_step(app, 0), 1);
    client_steps = app;
}

/* ------------------------------------------------------------------------------------------------------- listening */

static void tls__says_what_is_wrong_when_it_listens(void **state)
{
    (void)state;
    weft_certificate wrong = {live.certificate_file, other.key_file};
    assert_int_equal(weft_listen(app, "https://127.0.0.1:0", NULL), WEFT_E_INVALID);
    assert_non_null(strstr(weft_error(app), "certificates"));
    assert_int_equal(weft_free(app), 0);
    app = weft_new(NULL);
    options.certificates = &wrong;
    assert_int_equal(weft_listen(app, "https://127.0.0.1:0", &options), WEFT_E_INVALID);
    assert_non_null(strstr(weft_error(app), live.certificate_file));
    assert_non_null(strstr(weft_error(app), other.key_file));
    assert_null(weft_listening(app, 0));
}

static void tls__names_its_address(void **state)
{
    (void)state;
    begin_tls();
    assert_memory_equal(url, "https://127.0.0.1:", 18);
}

/* ---------------------------------------------------------------------------------------------- what a program sees */

static void remember(const weft_request *request)
{
    weft_str who = weft_request_client_subject(request);
    snprintf(secure, sizeof secure, "%s", weft_request_secure(request) ? "secure" : "plain");
    snprintf(subject, sizeof subject, "%.*s", (int)who.len, who.at ? who.at : "");
    assert_true(who.at || !who.len);
}

static void on_get(weft_exchange which, const weft_request *request, void *user)
{
    (void)user;
    remember(request);
    weft_answer(which, 200, "text/plain", "hi", 2);
}

static weft_peer_info info;

static void on_open_about(weft_peer who)
{
    on_open(who);
    weft_peer_about(who, &info);
}

static void on_close_about(weft_peer who, int code, weft_str reason)
{
    on_close(who, code, reason);
    memset(&info, 0, sizeof info);
    weft_peer_about(who, &info);
}

static void add_routes(void)
{
    weft_get(app, "/get", on_get, NULL);
    weft_websocket(app, "/ws",
                   &(weft_websocket_options){.open = on_open_about, .message = on_echo, .close = on_close_about});
    weft_sse(app, "/sse", &(weft_sse_options){.open = on_open_about, .close = on_close_about});
}

static void tls__is_told_apart_from_plain_http(void **state)
{
    (void)state;
    add_routes();
    assert_int_equal(weft_listen(app, "http://127.0.0.1:0", &options), 0);
    begin_tls();
    int fd = client_connect(weft_listening(app, 0));
    client_get(fd, "/get");
    assert_int_equal(client_read_answer(fd, NULL), 200);
    assert_string_equal(secure, "plain");
    close(fd);
    fd = client_connect(weft_listening(app, 1));
    client_get(fd, "/get");
    assert_int_equal(client_read_answer(fd, NULL), 200);
    assert_string_equal(secure, "secure");
    assert_string_equal(subject, "");
    close(fd);
}

static void show_certificate(const test_certificate *c)
{
    SSL_CTX_use_certificate(relay_ctx, c->certificate);
    SSL_CTX_use_PrivateKey(relay_ctx, c->key);
}

static void show_nothing(void)
{
    SSL_CTX_free(relay_ctx);
    relay_ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_verify(relay_ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_load_verify_file(relay_ctx, relay_certificate.certificate_file);
}

static void tls__tells_a_program_who_the_client_is(void **state)
{
    (void)state;
    add_routes();
    options.client_ca = authority.certificate_file;
    options.client_certificate = WEFT_CLIENT_CERTIFICATE_OPTIONAL;
    begin_tls();
    show_certificate(&anna);
    int fd = client_connect(url);
    client_get(fd, "/get");
    assert_int_equal(client_read_answer(fd, NULL), 200);
    assert_string_equal(subject, "CN=anna");
    close(fd);
    fd = client_open(url, "/ws");
    CLIENT_UNTIL(strstr(events, "open"));
    assert_string_equal(info.client_subject, "CN=anna");
    assert_int_equal(info.transport, WEFT_TRANSPORT_WEBSOCKET);
    client_leave(fd);
    CLIENT_UNTIL(strstr(events, "close"));
    assert_string_equal(info.client_subject, "CN=anna"); /* also when the connection has gone */
    look();
    fd = client_connect(url);
    client_write_text(fd, "GET /sse HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n");
    CLIENT_UNTIL(strstr(events, "open"));
    assert_string_equal(info.client_subject, "CN=anna");
    close(fd);
    CLIENT_UNTIL(strstr(events, "close"));
    show_nothing();
    fd = client_open(url, "/ws");
    CLIENT_UNTIL(strstr(events, "open"));
    assert_string_equal(info.client_subject, "");
    client_leave(fd);
}

static void tls__refuses_who_has_no_certificate_when_one_is_required(void **state)
{
    (void)state;
    char byte;
    add_routes();
    options.client_ca = authority.certificate_file;
    options.client_certificate = WEFT_CLIENT_CERTIFICATE_REQUIRED;
    begin_tls();
    int fd = client_connect(url);
    client_get(fd, "/get");
    assert_true(client_read(fd, &byte, 1) <= 0);
    close(fd);
    assert_string_equal(secure, "");
    CLIENT_UNTIL(strstr(log_text, "event=tls"));
    assert_non_null(strstr(log_text, "peer did not return a certificate"));
}

/* ------------------------------------------------------------------------------------------------- who speaks otherwise */

static int connect_plain(void)
{
    char plain[64];
    snprintf(plain, sizeof plain, "http%s", url + strlen("https"));
    return client_connect(plain);
}

static void tls__answers_plain_http_on_its_port(void **state)
{
    (void)state;
    begin_tls();
    int fd = connect_plain();
    client_get(fd, "/get");
    assert_int_equal(client_read_answer(fd, "Content-Type: text/plain; charset=utf-8"), 400);
    assert_non_null(strstr(client_bytes, "https"));
    client_expect_end(fd);
    CLIENT_UNTIL(app->workers->net.n_streams == 0);
    assert_non_null(strstr(log_text, "event=tls address=127.0.0.1"));
}

static void plain__answers_tls_on_its_port(void **state)
{
    (void)state;
    assert_int_equal(weft_listen(app, "http://127.0.0.1:0", NULL), 0);
    url = weft_listening(app, 0);
    assert_int_equal(weft_step(app, 0), 1);
    client_steps = app;
    int fd = client_connect(url);
    client_write(fd, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11);
    assert_int_equal(client_read_head(fd), 400);
    close(fd);
}

static void tls__half_a_handshake_has_as_long_as_a_head(void **state)
{
    (void)state;
    begin_tls();
    int silent = connect_plain(), half = connect_plain();
    uint64_t began_ms = client_now_ms();
    client_write(half, "\x16\x03\x01\x02\x00\x01\x00\x01", 8);
    client_expect_end(half);
    client_expect_end(silent);
    assert_in_range(client_now_ms() - began_ms, 200, 5000);
    assert_non_null(strstr(log_text, "the handshake was not finished"));
    CLIENT_UNTIL(app->workers->net.n_streams == 0);
    assert_int_equal(app->workers->net.limits.n[LIMIT_HEAD_TIMEOUT], 2);
}

/* ------------------------------------------------------------------------------------------------- many at once */

enum { N_AT_ONCE = 400 };

/* What a client begins with. */
static size_t make_hello(char *at, size_t room)
{
    SSL *ssl = SSL_new(relay_ctx);
    BIO *out = BIO_new(BIO_s_mem());
    SSL_set_bio(ssl, BIO_new(BIO_s_mem()), out);
    SSL_set_connect_state(ssl);
    SSL_do_handshake(ssl);
    ERR_clear_error();
    int len = BIO_read(out, at, (int)room);
    assert_true(len > 0);
    SSL_free(ssl);
    return (size_t)len;
}

/* A handshake is the dearest thing that a stranger can ask for: many at once must not hold up those who have theirs behind them, or need none. */
static void tls__handshakes_leave_time_for_others(void **state)
{
    (void)state;
    static int fds[N_AT_ONCE];
    char hello[2048];
    size_t hello_len = make_hello(hello, sizeof hello);
    weft_free(app);
    app = weft_new(&(weft_options){0});
    assert_int_equal(weft_websocket(app, "/", &(weft_websocket_options){.message = on_echo}), 0);
    assert_int_equal(weft_listen(app, "http://127.0.0.1:0", NULL), 0);
    begin_tls();
    int plain = client_open(url, "/");
    url = weft_listening(app, 1);
    for (size_t i = 0; i < N_AT_ONCE; i++)
        fds[i] = connect_plain();
    CLIENT_UNTIL(app->workers->net.n_streams == N_AT_ONCE + 1);
    for (size_t i = 0; i < N_AT_ONCE; i++)
        client_write(fds[i], hello, hello_len);
    uint64_t sends = app->workers->net.n_sends, began_us = loop_clock_us();
    client_send_text(plain, "hello"); /* it is behind all of them */
    client_expect_text(plain, "hello");
    uint64_t answered = app->workers->net.n_sends - sends - 1;
    print_message("# the echo took %u us; before it %u of %u handshakes were answered\n",
                  (unsigned)(loop_clock_us() - began_us), (unsigned)answered, (unsigned)N_AT_ONCE);
    assert_in_range(answered, 1, N_AT_ONCE / 2);
    for (size_t i = 0; i < N_AT_ONCE; i++) {
        assert_true(client_wait(fds[i], POLLIN, CLIENT_PATIENCE_MS)); /* all are, some time */
        close(fds[i]);
    }
    close(plain);
}

/* ---------------------------------------------------------------------------------------------------------- reload */

static void write_pair(const test_certificate *c)
{
    test_certificate fresh = {.certificate = c->certificate, .key = c->key};
    memcpy(fresh.certificate_file, live.certificate_file, sizeof fresh.certificate_file);
    memcpy(fresh.key_file, live.key_file, sizeof fresh.key_file);
    certificate_write(&fresh);
}

/* The name in the certificate that is served now. */
static const char *served(void)
{
    static char name[64];
    SSL *ssl = SSL_new(relay_ctx);
    SSL_set_verify(ssl, SSL_VERIFY_NONE, NULL);
    int fd = connect_plain();
    SSL_set_fd(ssl, fd);
    SSL_set_connect_state(ssl);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    CLIENT_UNTIL(SSL_do_handshake(ssl) == 1);
    X509_NAME_get_text_by_NID(X509_get_subject_name(SSL_get0_peer_certificate(ssl)), NID_commonName, name, sizeof name);
    SSL_free(ssl);
    close(fd);
    return name;
}

static void echo_once(int fd, const char *text)
{
    client_send_text(fd, text);
    client_expect_text(fd, text);
}

static void tls__serves_fresh_certificates_while_connections_go_on(void **state)
{
    (void)state;
    add_routes();
    begin_tls();
    int fd = client_open(url, "/ws");
    assert_string_equal(served(), "relay");
    write_pair(&other);
    assert_string_equal(served(), "relay"); /* read, not followed */
    client_send_text(fd, "under way");
    assert_int_equal(weft_reload_tls(app), 0);
    client_expect_text(fd, "under way");
    assert_string_equal(served(), "other");
    echo_once(fd, "still here");
    assert_non_null(strstr(log_text, "event=reload"));
    client_leave(fd);
}

static void tls__keeps_the_old_certificate_when_the_new_one_is_wrong(void **state)
{
    (void)state;
    add_routes();
    begin_tls();
    assert_int_equal(truncate(live.certificate_file, 100), 0);
    assert_int_equal(weft_reload_tls(app), WEFT_E_INVALID);
    assert_null(weft_error(app));
    assert_non_null(strstr(log_text, "event=reload"));
    assert_non_null(strstr(log_text, live.certificate_file));
    assert_string_equal(served(), "relay");
}

static void reload_elsewhere(void)
{
    assert_int_equal(weft_reload_tls(app), 0);
}

static void tls__is_reloaded_from_any_thread(void **state)
{
    (void)state;
    begin_tls();
    write_pair(&other);
    elsewhere(reload_elsewhere);
    assert_string_equal(served(), "other");
}

static void *run_until_signal(void *result)
{
    *(int *)result = weft_run_until_signal(app);
    return NULL;
}

static void tls__is_reloaded_by_sighup(void **state)
{
    (void)state;
    pthread_t thread;
    int result = -1;
    signal(SIGHUP, SIG_DFL); /* what nohup has ignored stays ignored */
    begin_tls();
    client_steps = NULL;
    assert_int_equal(pthread_create(&thread, NULL, run_until_signal, &result), 0);
    assert_string_equal(served(), "relay"); /* so it runs, and takes signals */
    write_pair(&other);
    kill(getpid(), SIGHUP);
    CLIENT_UNTIL(strcmp(served(), "other") == 0);
    weft_stop(app);
    pthread_join(thread, NULL);
    assert_int_equal(result, 0);
}

#define TLS_TEST(f) cmocka_unit_test_setup_teardown(f, start, teardown_app)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TLS_TEST(tls__says_what_is_wrong_when_it_listens),
        TLS_TEST(tls__names_its_address),
        TLS_TEST(tls__is_told_apart_from_plain_http),
        TLS_TEST(tls__tells_a_program_who_the_client_is),
        TLS_TEST(tls__refuses_who_has_no_certificate_when_one_is_required),
        TLS_TEST(tls__answers_plain_http_on_its_port),
        TLS_TEST(plain__answers_tls_on_its_port),
        TLS_TEST(tls__half_a_handshake_has_as_long_as_a_head),
        TLS_TEST(tls__handshakes_leave_time_for_others),
        TLS_TEST(tls__serves_fresh_certificates_while_connections_go_on),
        TLS_TEST(tls__keeps_the_old_certificate_when_the_new_one_is_wrong),
        TLS_TEST(tls__is_reloaded_from_any_thread),
        TLS_TEST(tls__is_reloaded_by_sighup),
    };
    return cmocka_run_group_tests(tests, start_all, stop_all);
}
