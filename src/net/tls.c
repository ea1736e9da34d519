#include "net/tls.h"

#include "base/mem.h"
#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

/* Forward secrecy and authenticated encryption only; the cheapest first, for machines with AES instructions. */
static const char tls_1_2_ciphers[] =
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
static const char tls_1_3_ciphers[] = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";

enum {
    KEY_NAME_BYTES = 16,
    N_TICKET_KEYS = 2, /* the one that makes tickets, and the one before it */
};

typedef struct {
    bool valid;
    unsigned char name[KEY_NAME_BYTES], cipher[32], mac[32];
} ticket_key;

struct tls_context {
    tls_context *next;
    const logger *log;
    weft_listen_options options; /* its texts are ours */
    pthread_mutex_t lock;        /* of all below: a reload, and tickets, may come from any thread */
    tls_certificates *current;
    ticket_key keys[N_TICKET_KEYS];
    uint64_t rotated_s;
};

/* The certificates of a listener behind the first one, which holds this. */
typedef struct {
    size_t n;
    SSL_CTX *others[];
} further_certificates;

/* While the files of a context are read. */
typedef struct {
    tls_context *context;
    char *ret_problem;
    unsigned char session_id[16]; /* tickets are good only where it is the same */
} reading;

/* -------------------------------------------------------------------------------------------------------------- errors */

const char *tls_error_words(void)
{
    unsigned long first = ERR_peek_error();
    const char *words =
        ERR_SYSTEM_ERROR(first) ? strerrordesc_np(ERR_GET_REASON(first)) : ERR_reason_error_string(first);
    ERR_clear_error();
    return words ? words : "OpenSSL gives no reason";
}

__attribute__((format(printf, 2, 3))) static int problem(const reading *r, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(r->ret_problem, TLS_PROBLEM_BYTES, format, arguments);
    va_end(arguments);
    ERR_clear_error();
    return WEFT_E_INVALID;
}

/* ------------------------------------------------------------------------------------------------------------- tickets */

static uint64_t now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec;
}

/* Without random bytes there is no key, and then there are no tickets. */
static void make_key(ticket_key *key)
{
    key->valid = RAND_bytes(key->name, sizeof key->name) == 1 &&
                 RAND_priv_bytes(key->cipher, sizeof key->cipher) == 1 &&
                 RAND_priv_bytes(key->mac, sizeof key->mac) == 1;
}

static void rotate(tls_context *c)
{
    c->keys[1] = c->keys[0];
    make_key(&c->keys[0]);
    c->rotated_s = now_s();
}

static void rotate_when_due(tls_context *c)
{
    uint64_t age_s = now_s() - c->rotated_s;
    if (age_s >= TLS_TICKET_KEY_S)
        rotate(c);
    if (age_s >= 2 * TLS_TICKET_KEY_S)
        c->keys[1].valid = false;
}

void tls_context_rotate(tls_context *c)
{
    pthread_mutex_lock(&c->lock);
    rotate(c);
    pthread_mutex_unlock(&c->lock);
}

static bool use_mac_key(EVP_MAC_CTX *mac, ticket_key *key)
{
    char digest[] = "SHA256";
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key->mac, sizeof key->mac),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };
    return EVP_MAC_CTX_set_params(mac, params) == 1;
}

static int seal_ticket(ticket_key *key, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                       EVP_MAC_CTX *mac)
{
    if (!key->valid || RAND_bytes(iv, EVP_MAX_IV_LENGTH) != 1)
        return 0;
    memcpy(name, key->name, KEY_NAME_BYTES);
    return EVP_EncryptInit_ex(cipher, EVP_aes_256_cbc(), NULL, key->cipher, iv) == 1 && use_mac_key(mac, key) ? 1 : -1;
}

/* OpenSSL's answers: 0 for a foreign ticket, 1 for a good one, 2 for one that is to be made anew, -1 for an error. A client of TLS 1.3 gets a new one each
 * time, as it uses each once (RFC 8446 §C.4). */
static int open_ticket(tls_context *c, bool used_once, const unsigned char *name, const unsigned char *iv,
                       EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac)
{
    for (int i = 0; i < N_TICKET_KEYS; i++) {
        ticket_key *key = &c->keys[i];
        if (!key->valid || memcmp(name, key->name, KEY_NAME_BYTES) != 0)
            continue;
        if (EVP_DecryptInit_ex(cipher, EVP_aes_256_cbc(), NULL, key->cipher, iv) != 1 || !use_mac_key(mac, key))
            return -1;
        return i || used_once ? 2 : 1;
    }
    return 0;
}

static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac,
                     int seal)
{
    tls_context *c = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    pthread_mutex_lock(&c->lock);
    rotate_when_due(c);
    int result = seal ? seal_ticket(&c->keys[0], name, iv, cipher, mac)
                      : open_ticket(c, SSL_version(ssl) == TLS1_3_VERSION, name, iv, cipher, mac);
    pthread_mutex_unlock(&c->lock);
    return result;
}

/* -------------------------------------------------------------------------------------------------- names and protocols */

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int further_index; /* where a SSL_CTX keeps its further_certificates */

static void free_further(void *parent, void *value, CRYPTO_EX_DATA *data, int index, long long_argument, void *argument)
{
    further_certificates *further = value;
    (void)parent, (void)data, (void)index, (void)long_argument, (void)argument;
    for (size_t i = 0; further && i < further->n; i++)
        SSL_CTX_free(further->others[i]);
    mem_free(further);
}

static void make_index(void)
{
    further_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, free_further);
}

static bool is_for(SSL_CTX *ctx, const char *name, unsigned flags)
{
    return X509_check_host(SSL_CTX_get0_certificate(ctx), name, 0, flags, NULL) == 1;
}

/* A certificate that says the very name goes before one with a wildcard for it; then the order of the options counts. */
static SSL_CTX *find_certificate(SSL_CTX *first, const char *name)
{
    const further_certificates *further = SSL_CTX_get_ex_data(first, further_index);
    static const unsigned rounds[] = {X509_CHECK_FLAG_NO_WILDCARDS, 0};
    for (size_t round = 0; round < 2; round++) {
        if (is_for(first, name, rounds[round]))
            return first;
        for (size_t i = 0; i < further->n; i++)
            if (is_for(further->others[i], name, rounds[round]))
                return further->others[i];
    }
    return first;
}

static int on_server_name(SSL *ssl, int *ret_alert, void *first)
{
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    (void)ret_alert;
    if (!name)
        return SSL_TLSEXT_ERR_NOACK;
    SSL_CTX *found = find_certificate(first, name);
    if (found != first)
        SSL_set_SSL_CTX(ssl, found);
    return SSL_TLSEXT_ERR_OK;
}

/* RFC 7301: a client that offers protocols, but none of ours, is refused, so that no other protocol's server can be made to answer it. */
static int on_protocols(SSL *ssl, const unsigned char **ret_protocol, unsigned char *ret_len,
                        const unsigned char *offered, unsigned offered_len, void *user)
{
    static const char ours[] = "http/1.1";
    (void)ssl, (void)user;
    for (unsigned i = 0; i < offered_len; i += 1u + offered[i]) {
        if (offered[i] != sizeof ours - 1 || memcmp(offered + i + 1, ours, sizeof ours - 1) != 0)
            continue;
        *ret_protocol = offered + i + 1;
        *ret_len = offered[i];
        return SSL_TLSEXT_ERR_OK;
    }
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* -------------------------------------------------------------------------------------------------------- certificates */

/* OpenSSL would ask on the terminal. */
static int no_passphrase(char *ret_phrase, int room, int writing, void *user)
{
    (void)ret_phrase, (void)room, (void)writing, (void)user;
    return -1;
}

static void warn_of_dates(const tls_context *c, const char *file, const X509 *certificate)
{
    const char *what = NULL;
    if (X509_cmp_current_time(X509_get0_notAfter(certificate)) < 0)
        what = "has expired";
    else if (X509_cmp_current_time(X509_get0_notBefore(certificate)) > 0)
        what = "is not valid yet";
    if (what)
        log_line(c->log, WEFT_LOG_WARNING, "event=tls reason=\"the certificate %s %s; it is served all the same\"",
                 file, what);
}

static bool is_mismatch(unsigned long error)
{
    return ERR_GET_LIB(error) == ERR_LIB_X509 &&
           (ERR_GET_REASON(error) == X509_R_KEY_VALUES_MISMATCH || ERR_GET_REASON(error) == X509_R_KEY_TYPE_MISMATCH);
}

static int load_pair(const reading *r, SSL_CTX *ctx, const weft_certificate *pair)
{
    if (!pair->certificate || !pair->key)
        return problem(r, "a certificate needs two files, its own and its key's (option: certificates)");
    SSL_CTX_set_default_passwd_cb(ctx, no_passphrase);
    if (SSL_CTX_use_certificate_chain_file(ctx, pair->certificate) != 1)
        return problem(r, "the certificate %s cannot be read: %s", pair->certificate, tls_error_words());
    bool taken = SSL_CTX_use_PrivateKey_file(ctx, pair->key, SSL_FILETYPE_PEM) == 1;
    if (!taken && !is_mismatch(ERR_peek_last_error()))
        return problem(r, "the key %s cannot be read: %s", pair->key, tls_error_words());
    if (!taken || SSL_CTX_check_private_key(ctx) != 1) /* a key of another kind is taken, but for another certificate */
        return problem(r, "the key %s does not belong to the certificate %s", pair->key, pair->certificate);
    warn_of_dates(r->context, pair->certificate, SSL_CTX_get0_certificate(ctx));
    return 0;
}

static int ask_clients(reading *r, SSL_CTX *ctx)
{
    const weft_listen_options *o = &r->context->options;
    if (SSL_CTX_set_session_id_context(ctx, r->session_id, sizeof r->session_id) != 1)
        return -ENOMEM;
    if (o->client_certificate == WEFT_CLIENT_CERTIFICATE_OFF)
        return 0;
    if (o->client_ca) {
        STACK_OF(X509_NAME) *authorities = SSL_load_client_CA_file(o->client_ca);
        SSL_CTX_set_client_CA_list(ctx, authorities);
        if (!authorities || SSL_CTX_load_verify_file(ctx, o->client_ca) != 1)
            return problem(r, "the clients' authorities %s cannot be read: %s", o->client_ca, tls_error_words());
    } else if (SSL_CTX_set_default_verify_paths(ctx) != 1) {
        return problem(r, "the system's authorities cannot be read: %s", tls_error_words());
    }
    int required = o->client_certificate == WEFT_CLIENT_CERTIFICATE_REQUIRED ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0;
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | required, NULL);
    return 0;
}

static void set_modes(const weft_listen_options *o, SSL_CTX *ctx)
{
    SSL_CTX_set_min_proto_version(ctx, o->tls_1_3_only ? TLS1_3_VERSION : TLS1_2_VERSION);
    SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                                 SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_mode(ctx,
                     SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF); /* tickets only: clients keep what is to be kept */
    SSL_CTX_set_timeout(ctx, TLS_TICKET_KEY_S);
    SSL_CTX_set_alpn_select_cb(ctx, on_protocols, NULL);
    SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, on_ticket);
}

static int fill(reading *r, SSL_CTX *ctx, const weft_certificate *pair)
{
    const weft_listen_options *o = &r->context->options;
    const char *ciphers = o->ciphers ? o->ciphers : tls_1_2_ciphers;
    SSL_CTX_set_app_data(ctx, r->context);
    set_modes(o, ctx);
    if (SSL_CTX_set_cipher_list(ctx, ciphers) != 1)
        return problem(r, "OpenSSL knows none of the ciphers \"%s\" (option: ciphers)", ciphers);
    if (SSL_CTX_set_ciphersuites(ctx, tls_1_3_ciphers) != 1)
        return problem(r, "OpenSSL has no ciphers of TLS 1.3: %s", tls_error_words());
    int error = load_pair(r, ctx, pair);
    return error ? error : ask_clients(r, ctx);
}

static int read_pair(reading *r, const weft_certificate *pair, SSL_CTX **ret_ctx)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    if (!ctx)
        return -ENOMEM;
    int error = fill(r, ctx, pair);
    if (error)
        SSL_CTX_free(ctx);
    else
        *ret_ctx = ctx;
    return error;
}

static int read_further(reading *r, SSL_CTX *first)
{
    const weft_listen_options *o = &r->context->options;
    size_t n = o->n_certificates - 1;
    further_certificates *further = mem_zero(sizeof *further + n * sizeof *further->others);
    if (!further || SSL_CTX_set_ex_data(first, further_index, further) != 1) {
        mem_free(further);
        return -ENOMEM;
    }
    for (; further->n < n; further->n++) {
        int error = read_pair(r, &o->certificates[further->n + 1], &further->others[further->n]);
        if (error)
            return error;
    }
    SSL_CTX_set_tlsext_servername_callback(first, on_server_name);
    SSL_CTX_set_tlsext_servername_arg(first, first);
    return 0;
}

int tls_context_read(tls_context *c, tls_certificates **ret_fresh, char ret_problem[TLS_PROBLEM_BYTES])
{
    reading r = {.context = c, .ret_problem = ret_problem};
    SSL_CTX *first = NULL;
    snprintf(ret_problem, TLS_PROBLEM_BYTES, "out of memory");
    ERR_clear_error();
    pthread_once(&once, make_index);
    /* A ticket stands for the check of a client's certificate: it must not outlive the authorities that were trusted then. */
    if (c->options.client_certificate && RAND_bytes(r.session_id, sizeof r.session_id) != 1)
        return -ENOMEM;
    int error = read_pair(&r, &c->options.certificates[0], &first);
    if (!error && c->options.n_certificates > 1)
        error = read_further(&r, first);
    ERR_clear_error();
    if (error)
        SSL_CTX_free(first);
    else
        *ret_fresh = first;
    return error;
}

void tls_certificates_free(tls_certificates *fresh)
{
    SSL_CTX_free(fresh);
}

void tls_context_swap(tls_context *c, tls_certificates *fresh)
{
    pthread_mutex_lock(&c->lock);
    tls_certificates *old = c->current;
    c->current = fresh;
    pthread_mutex_unlock(&c->lock);
    SSL_CTX_free(old);
}

/* ------------------------------------------------------------------------------------------------------------- context */

static bool copy_text(const char **text)
{
    if (*text)
        *text = mem_copy_text(*text, strlen(*text));
    return *text;
}

static void free_text(const char *text)
{
    mem_free((char *)(uintptr_t)text);
}

static int copy_options(tls_context *c, const weft_listen_options *from)
{
    weft_certificate *pairs = mem_zero(from->n_certificates * sizeof *pairs);
    c->options = (weft_listen_options){.certificates = pairs,
                                       .client_certificate = from->client_certificate,
                                       .tls_1_3_only = from->tls_1_3_only,
                                       .client_ca = from->client_ca,
                                       .ciphers = from->ciphers};
    bool good = pairs;
    good &= copy_text(&c->options.client_ca) || !from->client_ca;
    good &= copy_text(&c->options.ciphers) || !from->ciphers;
    for (size_t i = 0; pairs && i < from->n_certificates; i++) {
        pairs[i] = from->certificates[i];
        good &= copy_text(&pairs[i].certificate) || !from->certificates[i].certificate;
        good &= copy_text(&pairs[i].key) || !from->certificates[i].key;
        c->options.n_certificates++;
    }
    return good ? 0 : -ENOMEM;
}

int tls_context_new(const weft_listen_options *options, const logger *log, tls_context **ret_context,
                    char ret_problem[TLS_PROBLEM_BYTES])
{
    reading r = {.ret_problem = ret_problem};
    if (!options->certificates || !options->n_certificates)
        return problem(&r, "https:// needs a certificate and its key (option: certificates)");
    if (options->client_certificate < WEFT_CLIENT_CERTIFICATE_OFF ||
        options->client_certificate > WEFT_CLIENT_CERTIFICATE_REQUIRED)
        return problem(&r, "client_certificate is none of off, optional and required");
    snprintf(ret_problem, TLS_PROBLEM_BYTES, "out of memory");
    tls_context *c = mem_zero(sizeof *c);
    if (!c)
        return -ENOMEM;
    c->log = log;
    pthread_mutex_init(&c->lock, NULL);
    rotate(c);
    int error = copy_options(c, options);
    if (!error)
        error = tls_context_read(c, &c->current, ret_problem);
    if (error)
        tls_context_free(c);
    else
        *ret_context = c;
    return error;
}

void tls_context_free(tls_context *c)
{
    if (!c)
        return;
    SSL_CTX_free(c->current);
    for (size_t i = 0; i < c->options.n_certificates; i++) {
        free_text(c->options.certificates[i].certificate);
        free_text(c->options.certificates[i].key);
    }
    mem_free((weft_certificate *)(uintptr_t)c->options.certificates);
    free_text(c->options.client_ca);
    free_text(c->options.ciphers);
    OPENSSL_cleanse(c->keys, sizeof c->keys);
    pthread_mutex_destroy(&c->lock);
    mem_free(c);
}

tls_ssl *tls_context_connect(tls_context *c)
{
    pthread_mutex_lock(&c->lock);
    SSL *ssl = SSL_new(c->current);
    pthread_mutex_unlock(&c->lock);
    if (ssl)
        SSL_set_accept_state(ssl);
    return ssl;
}

tls_context **tls_context_next(tls_context *c)
{
    return &c->next;
}
