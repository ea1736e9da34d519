/* Certificates, names, tickets and clients' certificates: handshakes between OpenSSL's client and a session, without sockets. */
#include "base/mem.h"
#include "net/tls_session.h"
#include "support/certificates.h"
#include "support/check.h"
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/stat.h>

static tls_context *context;
static tls_buffers *shared;
static char log_text[4096];
static char problem[TLS_PROBLEM_BYTES];
static test_certificate first, second, wild, old, early, rsa, authority, stranger, client, foreign;
static SSL_SESSION *kept; /* the latest that the client was given */

static void keep_log(weft_log_level level, const char *line, void *user)
{
    size_t len = strlen(log_text);
    (void)user;
    snprintf(log_text + len, sizeof log_text - len, "%d %s\n", (int)level, line);
}

static const logger the_log = {.fn = keep_log};

/* --------------------------------------------------------------------------------------------------------- fixture */

static int keep_session(SSL *ssl, SSL_SESSION *session)
{
    (void)ssl;
    SSL_SESSION_free(kept);
    kept = session;
    return 1;
}

static int start(void **state)
{
    (void)state;
    *log_text = '\0';
    shared = tls_buffers_new();
    return shared ? 0 : -1;
}

static int stop(void **state)
{
    (void)state;
    SSL_SESSION_free(kept);
    kept = NULL;
    tls_context_free(context);
    context = NULL;
    tls_buffers_free(shared);
    return 0;
}

static int start_all(void **state)
{
    (void)state;
    certificate_make(&first, &(certificate_wish){.name = "first", .names = "DNS:first.test"});
    certificate_make(&second, &(certificate_wish){.name = "second", .names = "DNS:second.test,DNS:special.wild.test"});
    certificate_make(&wild, &(certificate_wish){.name = "wild", .names = "DNS:*.wild.test"});
    certificate_make(&old,
                     &(certificate_wish){.name = "old", .names = "DNS:old.test", .from_s = -200, .until_s = -100});
    certificate_make(&early,
                     &(certificate_wish){.name = "early", .names = "DNS:early.test", .from_s = 100, .until_s = 200});
    certificate_make(&rsa, &(certificate_wish){.name = "rsa", .names = "DNS:rsa.test", .rsa = true});
    certificate_make(&authority, &(certificate_wish){.name = "authority"});
    certificate_make(&stranger, &(certificate_wish){.name = "stranger"});
    certificate_make(&client,
                     &(certificate_wish){.name = "anna, \"the\" client", .names = "DNS:c", .issuer = &authority});
    certificate_make(&foreign, &(certificate_wish){.name = "foreign", .names = "DNS:f", .issuer = &stranger});
    return 0;
}

static int stop_all(void **state)
{
    (void)state;
    test_certificate *all[] = {&first, &second, &wild, &old, &early, &rsa, &authority, &stranger, &client, &foreign};
    for (size_t i = 0; i < N_OF(all); i++)
        certificate_done(all[i]);
    certificates_forget();
    return 0;
}

static weft_certificate pair_of(const test_certificate *c)
{
    return (weft_certificate){c->certificate_file, c->key_file};
}

static void make_context(weft_listen_options options, const test_certificate *only)
{
    weft_certificate pair = pair_of(only);
    options.certificates = &pair;
    options.n_certificates = 1;
    assert_int_equal(tls_context_new(&options, &the_log, &context, problem), 0);
}

/* --------------------------------------------------------------------------------------------------------- a client */

typedef struct {
    const char *name;              /* SNI; NULL for none */
    const test_certificate *shows; /* NULL: none */
    SSL_SESSION *resumes;          /* NULL: none */
    int version;                   /* 0: any */
} client_wish;

typedef struct {
    bool good; /* both sides are through, and bytes went both ways */
    bool resumed;
    char sees[128];    /* the name in the server's certificate */
    char subject[256]; /* what the server sees of the client's */
    char words[256];   /* why the server failed */
} meeting;

static int any_certificate(int preverified, X509_STORE_CTX *store)
{
    (void)preverified, (void)store;
    return 1;
}

static SSL_CTX *client_context(const client_wish *wish)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, any_certificate);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ctx, keep_session);
    if (wish->shows) {
        assert_int_equal(SSL_CTX_use_certificate(ctx, wish->shows->certificate), 1);
        assert_int_equal(SSL_CTX_use_PrivateKey(ctx, wish->shows->key), 1);
    }
    if (wish->version) {
        SSL_CTX_set_min_proto_version(ctx, wish->version);
        SSL_CTX_set_max_proto_version(ctx, wish->version);
    }
    return ctx;
}

static SSL *client_new(SSL_CTX *ctx, const client_wish *wish)
{
    SSL *ssl = SSL_new(ctx);
    SSL_set_connect_state(ssl);
    SSL_set_bio(ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    if (wish->name)
        SSL_set_tlsext_host_name(ssl, wish->name);
    if (wish->resumes)
        SSL_set_session(ssl, wish->resumes);
    return ssl;
}

/* Bytes from the client to the session and back. What the session decrypted is appended to `got`. */
static tls_status pass_on(SSL *ssl, tls_session *t, buf *got)
{
    static char bytes[64 * 1024], plain[1024];
    size_t len = 0;
    int n = BIO_read(SSL_get_wbio(ssl), bytes, sizeof bytes);
    t->input = (str){bytes, n > 0 ? (size_t)n : 0};
    tls_status status = n > 0 ? tls_session_read(t, plain, sizeof plain, &len) : TLS_MORE;
    assert_int_equal(buf_put(got, plain, len), 0);
    if (shared->out.len)
        BIO_write(SSL_get_rbio(ssl), shared->out.at, (int)shared->out.len);
    shared->out.len = 0;
    return status;
}

static void talk(SSL *ssl, tls_session *t, meeting *m)
{
    buf got = {0};
    char back[8];
    tls_status status = TLS_MORE;
    for (int i = 0; i < 10 && status != TLS_FAILED; i++) {
        ERR_clear_error();
        if (SSL_do_handshake(ssl) == 1 && SSL_is_init_finished(ssl) && got.len == 0 && i < 5)
            SSL_write(ssl, "ping", 4);
        status = pass_on(ssl, t, &got);
        if (got.len == 4 && !m->good && tls_session_write(t, STR("pong")) == 0) {
            pass_on(ssl, t, &got);
            m->good = SSL_read(ssl, back, sizeof back) == 4;
        }
    }
    if (status == TLS_FAILED)
        snprintf(m->words, sizeof m->words, "%s", tls_session_words(t));
    buf_done(&got);
}

static meeting meet_over(tls_session *t, const client_wish *wish)
{
    meeting m = {0};
    SSL_CTX *ctx = client_context(wish);
    SSL *ssl = client_new(ctx, wish);
    talk(ssl, t, &m);
    X509 *server = SSL_get0_peer_certificate(ssl);
    if (server)
        X509_NAME_get_text_by_NID(X509_get_subject_name(server), NID_commonName, m.sees, sizeof m.sees);
    tls_session_subject(t, m.subject, sizeof m.subject);
    m.resumed = SSL_session_reused(ssl);
    if (SSL_version(ssl) == TLS1_2_VERSION) /* a renewed one is not told of */
        keep_session(ssl, SSL_get1_session(ssl));
    SSL_shutdown(ssl);
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    return m;
}

static meeting meet(const client_wish *wish)
{
    tls_session *t = tls_session_new(context, shared);
    assert_non_null(t);
    meeting m = meet_over(t, wish);
    tls_session_free(t);
    return m;
}

/* ----------------------------------------------------------------------------------------------------------- names */

static void make_three(void)
{
    weft_certificate pairs[] = {pair_of(&first), pair_of(&wild), pair_of(&second)};
    assert_int_equal(tls_context_new(&(weft_listen_options){.certificates = pairs, .n_certificates = 3}, &the_log,
                                     &context, problem),
                     0);
}

static void tls__shows_the_certificate_of_the_name_that_is_asked_for(void **state)
{
    (void)state;
    static const struct {
        const char *name, *sees;
    } cases[] = {
        {"first.test", "first"},         {"second.test", "second"},       {"SECOND.test", "second"},
        {"any.wild.test", "wild"},       {"special.wild.test", "second"}, {"wild.test", "first"},
        {"two.more.wild.test", "first"}, {"unknown.test", "first"},       {NULL, "first"},
    };
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    make_three();
    for (size_t i = 0; i < N_OF(cases); i++)
        for (size_t k = 0; k < N_OF(versions); k++) {
            meeting m = meet(&(client_wish){.name = cases[i].name, .version = versions[k]});
            assert_true(m.good);
            assert_string_equal(m.sees, cases[i].sees);
        }
}

static void tls__resumes_under_every_name(void **state)
{
    (void)state;
    static const char *const names[] = {"first.test", "second.test", "any.wild.test"};
    static const char *const sees[] = {"first", "second", "wild"};
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    make_three();
    for (size_t i = 0; i < N_OF(names); i++)
        for (size_t k = 0; k < N_OF(versions); k++) {
            client_wish wish = {.name = names[i], .version = versions[k]};
            assert_false(meet(&wish).resumed);
            wish.resumes = SSL_SESSION_dup(kept);
            meeting m = meet(&wish);
            SSL_SESSION_free(wish.resumes);
            assert_true(m.good);
            assert_true(m.resumed);
            assert_string_equal(m.sees, sees[i]);
        }
}

static void tls__serves_rsa_too(void **state)
{
    (void)state;
    make_context((weft_listen_options){0}, &rsa);
    assert_true(meet(&(client_wish){.version = TLS1_2_VERSION}).good);
    assert_true(meet(&(client_wish){.version = TLS1_3_VERSION}).good);
}

/* --------------------------------------------------------------------------------------------------------- options */

static void tls__1_3_only_refuses_1_2(void **state)
{
    (void)state;
    make_context((weft_listen_options){.tls_1_3_only = 1}, &first);
    assert_true(meet(&(client_wish){0}).good);
    meeting m = meet(&(client_wish){.version = TLS1_2_VERSION});
    assert_false(m.good);
    assert_string_equal(m.words, "unsupported protocol");
}

static void tls__takes_the_ciphers_that_it_is_told(void **state)
{
    (void)state;
    make_context((weft_listen_options){.ciphers = "ECDHE-RSA-AES256-GCM-SHA384"}, &first);
    assert_string_equal(meet(&(client_wish){.version = TLS1_2_VERSION}).words, "no shared cipher");
    assert_true(meet(&(client_wish){.version = TLS1_3_VERSION}).good);
}

/* --------------------------------------------------------------------------------------------------------- tickets */

static bool resumes(int version)
{
    client_wish wish = {.resumes = SSL_SESSION_dup(kept), .version = version};
    meeting m = meet(&wish);
    SSL_SESSION_free(wish.resumes);
    assert_true(m.good);
    return m.resumed;
}

static void tls__takes_tickets_of_this_key_and_the_one_before(void **state)
{
    (void)state;
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    make_context((weft_listen_options){0}, &first);
    for (size_t i = 0; i < N_OF(versions); i++) {
        meet(&(client_wish){.version = versions[i]});
        SSL_SESSION *ticket = SSL_SESSION_dup(kept);
        assert_true(resumes(versions[i]));
        tls_context_rotate(context);
        keep_session(NULL, SSL_SESSION_dup(ticket));
        assert_true(resumes(versions[i]));
        SSL_SESSION *renewed = SSL_SESSION_dup(kept); /* with the new key */
        tls_context_rotate(context);
        keep_session(NULL, ticket);
        assert_false(resumes(versions[i]));
        keep_session(NULL, renewed);
        assert_true(resumes(versions[i]));
    }
}

static void tls__takes_no_ticket_of_another_listener(void **state)
{
    (void)state;
    make_context((weft_listen_options){0}, &first);
    meet(&(client_wish){0});
    tls_context_free(context);
    make_context((weft_listen_options){0}, &first);
    assert_false(resumes(0));
}

/* ------------------------------------------------------------------------------------------------ clients' certificates */

static void tls__asks_nobody_for_a_certificate_by_default(void **state)
{
    (void)state;
    make_context((weft_listen_options){.client_ca = authority.certificate_file}, &first);
    meeting m = meet(&(client_wish){.shows = &client});
    assert_true(m.good);
    assert_string_equal(m.subject, "");
}

static void tls__knows_a_client_by_its_certificate(void **state)
{
    (void)state;
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    static const weft_client_certificate modes[] = {WEFT_CLIENT_CERTIFICATE_OPTIONAL, WEFT_CLIENT_CERTIFICATE_REQUIRED};
    for (size_t i = 0; i < N_OF(modes); i++) {
        make_context((weft_listen_options){.client_ca = authority.certificate_file, .client_certificate = modes[i]},
                     &first);
        for (size_t k = 0; k < N_OF(versions); k++) {
            meeting m = meet(&(client_wish){.shows = &client, .version = versions[k]});
            assert_true(m.good);
            assert_string_equal(m.subject, "CN=anna\\, \\\"the\\\" client");
            client_wish again = {.version = versions[k], .resumes = SSL_SESSION_dup(kept)};
            m = meet(&again);
            SSL_SESSION_free(again.resumes);
            assert_true(m.resumed);
            assert_string_equal(m.subject, "CN=anna\\, \\\"the\\\" client");
            m = meet(&(client_wish){.shows = &foreign, .version = versions[k]});
            assert_false(m.good);
            assert_string_equal(m.words, "unable to get local issuer certificate");
            m = meet(&(client_wish){.version = versions[k]});
            assert_int_equal(m.good, modes[i] == WEFT_CLIENT_CERTIFICATE_OPTIONAL);
            assert_string_equal(m.subject, "");
        }
        tls_context_free(context);
    }
    context = NULL;
}

static void tls__writes_no_part_of_a_subject(void **state)
{
    (void)state;
    char text[8] = "before";
    make_context((weft_listen_options){.client_ca = authority.certificate_file,
                                       .client_certificate = WEFT_CLIENT_CERTIFICATE_OPTIONAL},
                 &first);
    tls_session *t = tls_session_new(context, shared);
    assert_true(meet_over(t, &(client_wish){.shows = &client}).good);
    size_t len = tls_session_subject(t, text, sizeof text);
    assert_int_equal(len, strlen("CN=anna\\, \\\"the\\\" client"));
    assert_string_equal(text, "before");
    assert_int_equal(tls_session_subject(t, NULL, 0), len);
    tls_session_free(t);
}

/* A ticket stands for the check of a certificate, and that was made with the authorities of then. */
static void tls__resumes_nobody_across_a_change_of_authorities(void **state)
{
    (void)state;
    tls_certificates *fresh;
    make_context((weft_listen_options){.client_ca = authority.certificate_file,
                                       .client_certificate = WEFT_CLIENT_CERTIFICATE_OPTIONAL},
                 &first);
    meet(&(client_wish){.shows = &client});
    assert_true(resumes(0));
    assert_int_equal(tls_context_read(context, &fresh, problem), 0);
    tls_context_swap(context, fresh);
    assert_false(resumes(0));
}

/* ---------------------------------------------------------------------------------------------------------- reload */

static void copy_file(const char *from, const char *to)
{
    char bytes[8192];
    FILE *in = fopen(from, "r"), *out = fopen(to, "w");
    size_t len = fread(bytes, 1, sizeof bytes, in);
    assert_int_equal(fwrite(bytes, 1, len, out), len);
    fclose(in);
    fclose(out);
}

static void tls__serves_fresh_certificates_and_the_old_ones_go_on(void **state)
{
    (void)state;
    tls_certificates *fresh;
    test_certificate live = first;
    snprintf(live.certificate_file, sizeof live.certificate_file, "%s", certificates_path("live", ".pem"));
    snprintf(live.key_file, sizeof live.key_file, "%s", certificates_path("live", ".key"));
    certificate_write(&live);
    make_context((weft_listen_options){0}, &live);
    tls_session *begun = tls_session_new(context, shared);
    meet(&(client_wish){0});
    copy_file(second.certificate_file, live.certificate_file);
    assert_true(tls_context_read(context, &fresh, problem) < 0); /* the key is still the other's */
    assert_string_equal(meet(&(client_wish){0}).sees, "first");
    copy_file(second.key_file, live.key_file);
    assert_int_equal(tls_context_read(context, &fresh, problem), 0);
    assert_string_equal(meet(&(client_wish){0}).sees, "first");
    tls_context_swap(context, fresh);
    assert_string_equal(meet(&(client_wish){0}).sees, "second");
    assert_true(resumes(0)); /* the ticket keys have stayed */
    meeting m = meet_over(begun, &(client_wish){0});
    assert_true(m.good);
    assert_string_equal(m.sees, "first");
    tls_session_free(begun);
}

/* ------------------------------------------------------------------------------------------------------- bad files */

static void refuses(const weft_listen_options *options, const char *one, const char *two)
{
    assert_true(tls_context_new(options, &the_log, &context, problem) < 0);
    if (!strstr(problem, one) || !strstr(problem, two))
        fail_msg("\"%s\" lacks \"%s\" or \"%s\"", problem, one, two);
    assert_int_equal(ERR_peek_error(), 0);
    context = NULL;
}

static void refuses_pair(const char *certificate, const char *key, const char *what)
{
    weft_certificate pair = {certificate, key};
    refuses(&(weft_listen_options){.certificates = &pair, .n_certificates = 1}, what, "");
}

static void tls__says_what_is_wrong_with_a_file(void **state)
{
    (void)state;
    const char *garbage = certificates_path("garbage", ".pem"), *missing = certificates_path("missing", ".pem");
    FILE *file = fopen(garbage, "w");
    fputs("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", file);
    fclose(file);
    refuses_pair(missing, first.key_file, "No such file or directory");
    refuses_pair(first.certificate_file, missing, "No such file or directory");
    refuses_pair(garbage, first.key_file, "cannot be read");
    refuses_pair(first.certificate_file, garbage, "cannot be read");
    refuses_pair(first.certificate_file, NULL, "needs two files");
    refuses(&(weft_listen_options){0}, "needs a certificate", "certificates");
}

static void tls__names_both_files_of_a_pair_that_does_not_match(void **state)
{
    (void)state;
    const test_certificate *keys[] = {&second, &rsa}; /* of the same kind, and of another */
    for (size_t i = 0; i < N_OF(keys); i++) {
        weft_certificate pair = {first.certificate_file, keys[i]->key_file};
        weft_listen_options options = {.certificates = &pair, .n_certificates = 1};
        refuses(&options, first.certificate_file, keys[i]->key_file);
        refuses(&options, "does not belong to", "");
    }
}

static void tls__asks_no_terminal_for_a_passphrase(void **state)
{
    (void)state;
    const char *path = certificates_path("locked", ".key");
    FILE *file = fopen(path, "w");
    PEM_write_PrivateKey(file, first.key, EVP_aes_128_cbc(), (const unsigned char *)"secret", 6, NULL, NULL);
    fclose(file);
    refuses_pair(first.certificate_file, path, "cannot be read");
}

static void tls__says_what_is_wrong_with_other_options(void **state)
{
    (void)state;
    weft_certificate pairs[] = {pair_of(&first), {second.certificate_file, rsa.key_file}};
    weft_listen_options options = {.certificates = pairs, .n_certificates = 2};
    refuses(&options, rsa.key_file, second.certificate_file);
    options.n_certificates = 1;
    options.ciphers = "ROT13";
    refuses(&options, "ROT13", "ciphers");
    options.ciphers = NULL;
    options.client_certificate = WEFT_CLIENT_CERTIFICATE_REQUIRED;
    options.client_ca = first.key_file;
    refuses(&options, first.key_file, "authorities");
    options.client_certificate = (weft_client_certificate)7;
    refuses(&options, "client_certificate", "");
}

static void tls__serves_what_has_expired_and_warns(void **state)
{
    (void)state;
    make_context((weft_listen_options){0}, &old);
    assert_true(meet(&(client_wish){0}).good);
    assert_memory_equal(log_text, "2 event=tls", 11);
    assert_non_null(strstr(log_text, "has expired"));
    assert_non_null(strstr(log_text, old.certificate_file));
    *log_text = '\0';
    tls_context_free(context);
    make_context((weft_listen_options){0}, &early);
    assert_non_null(strstr(log_text, "is not valid yet"));
}

/* ----------------------------------------------------------------------------------------------------- allocations */

static int make_and_free(void)
{
    weft_certificate pairs[] = {pair_of(&first), pair_of(&second), pair_of(&wild)};
    weft_listen_options options = {
        .certificates = pairs, .n_certificates = 3, .ciphers = "ECDHE+AESGCM", .client_ca = authority.certificate_file};
    int error = tls_context_new(&options, &the_log, &context, problem);
    if (error)
        assert_string_equal(problem, "out of memory");
    else
        tls_context_free(context);
    context = NULL;
    return error;
}

static void tls__without_memory_there_is_no_context(void **state)
{
    (void)state;
    check_failing_allocations(make_and_free);
}

#define TLS_TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TLS_TEST(tls__shows_the_certificate_of_the_name_that_is_asked_for),
        TLS_TEST(tls__resumes_under_every_name),
        TLS_TEST(tls__serves_rsa_too),
        TLS_TEST(tls__1_3_only_refuses_1_2),
        TLS_TEST(tls__takes_the_ciphers_that_it_is_told),
        TLS_TEST(tls__takes_tickets_of_this_key_and_the_one_before),
        TLS_TEST(tls__takes_no_ticket_of_another_listener),
        TLS_TEST(tls__asks_nobody_for_a_certificate_by_default),
        TLS_TEST(tls__knows_a_client_by_its_certificate),
        TLS_TEST(tls__writes_no_part_of_a_subject),
        TLS_TEST(tls__resumes_nobody_across_a_change_of_authorities),
        TLS_TEST(tls__serves_fresh_certificates_and_the_old_ones_go_on),
        TLS_TEST(tls__says_what_is_wrong_with_a_file),
        TLS_TEST(tls__names_both_files_of_a_pair_that_does_not_match),
        TLS_TEST(tls__asks_no_terminal_for_a_passphrase),
        TLS_TEST(tls__says_what_is_wrong_with_other_options),
        TLS_TEST(tls__serves_what_has_expired_and_warns),
        TLS_TEST(tls__without_memory_there_is_no_context),
    };
    return cmocka_run_group_tests(tests, start_all, stop_all);
}
