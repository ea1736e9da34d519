#include "net/tls_session.h"

#include "base/mem.h"
#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>

/* ------------------------------------------------------------------------------------- how OpenSSL sees the connection */

static int give_input(BIO *bio, char *at, size_t len, size_t *ret_len)
{
    const tls_buffers *shared = BIO_get_data(bio);
    tls_session *t = shared->current;
    size_t n = t->input.len < len ? t->input.len : len;
    BIO_clear_retry_flags(bio);
    if (n == 0) {
        BIO_set_retry_read(bio);
        return 0;
    }
    memcpy(at, t->input.at, n);
    t->input = (str){t->input.at + n, t->input.len - n};
    *ret_len = n;
    return 1;
}

static int take_output(BIO *bio, const char *at, size_t len, size_t *ret_len)
{
    tls_buffers *shared = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (buf_put(&shared->out, at, len))
        return 0;
    *ret_len = len;
    return 1;
}

static long control(BIO *bio, int command, long number, void *pointer)
{
    (void)bio, (void)number, (void)pointer;
    return command == BIO_CTRL_FLUSH;
}

static pthread_once_t once = PTHREAD_ONCE_INIT;
static BIO_METHOD *method; /* NULL when there was no memory for it */

static void make_method(void)
{
    method = BIO_meth_new(BIO_TYPE_SOURCE_SINK | BIO_get_new_index(), "weft");
    if (!method)
        return;
    BIO_meth_set_read_ex(method, give_input);
    BIO_meth_set_write_ex(method, take_output);
    BIO_meth_set_ctrl(method, control);
}

/* OpenSSL refuses to renegotiate by an alert, and would go on refusing for as long as somebody asks. */
static void on_info(const SSL *ssl, int where, int alert)
{
    const tls_buffers *shared = BIO_get_data(SSL_get_rbio(ssl));
    if ((where & SSL_CB_WRITE_ALERT) == SSL_CB_WRITE_ALERT && (alert & 0xFF) == SSL_AD_NO_RENEGOTIATION)
        shared->current->renegotiates = true;
}

/* ---------------------------------------------------------------------------------------------------------------- life */

tls_buffers *tls_buffers_new(void)
{
    pthread_once(&once, make_method);
    tls_buffers *shared = mem_new(sizeof *shared);
    BIO *bio = shared && method ? BIO_new(method) : NULL;
    if (!bio) {
        mem_free(shared);
        return NULL;
    }
    shared->current = NULL;
    shared->out = (buf){0};
    shared->bio = bio;
    BIO_set_data(bio, shared);
    BIO_set_init(bio, 1);
    return shared;
}

void tls_buffers_free(tls_buffers *shared)
{
    if (!shared)
        return;
    BIO_free(shared->bio);
    buf_done(&shared->out);
    mem_free(shared);
}

tls_session *tls_session_new(tls_context *c, tls_buffers *shared)
{
    tls_session *t = mem_zero(sizeof *t);
    if (t)
        t->ssl = tls_context_connect(c);
    if (!t || !t->ssl) {
        mem_free(t);
        return NULL;
    }
    tls_session_arrive(t, shared);
    SSL_set_info_callback(t->ssl, on_info);
    return t;
}

void tls_session_free(tls_session *t)
{
    if (!t)
        return;
    SSL_free(t->ssl);
    mem_free(t);
}

/* OpenSSL keeps half a record in memory of its own, which goes along. */
void tls_session_leave(tls_session *t)
{
    assert(t->input.len == 0 && t->shared->out.len == 0);
    if (t->shared->current == t)
        t->shared->current = NULL;
    t->shared = NULL;
    SSL_set_bio(t->ssl, NULL, NULL);
}

void tls_session_arrive(tls_session *t, tls_buffers *shared)
{
    t->shared = shared;
    BIO_up_ref(shared->bio);
    SSL_set_bio(t->ssl, shared->bio, shared->bio);
}

/* --------------------------------------------------------------------------------------------------- reading and writing */

/* What a program left behind must not be taken for an error of ours. */
static void forget_errors(void)
{
    if (ERR_peek_error())
        ERR_clear_error();
}

static tls_status status_of(const tls_session *t, int result)
{
    switch (SSL_get_error(t->ssl, result)) {
    case SSL_ERROR_WANT_READ:
        return TLS_MORE;
    case SSL_ERROR_ZERO_RETURN:
        return TLS_END;
    default:
        return TLS_FAILED;
    }
}

/* Handshake messages after the handshake come whole, as a renegotiation does not come at all: nothing is ever held up by a half one. */
static tls_status look_at_state(tls_session *t, tls_status status)
{
    bool finished = SSL_is_init_finished(t->ssl);
    if (t->renegotiates || (t->established && !finished))
        return TLS_FAILED;
    t->established = finished;
    return status;
}

tls_status tls_session_read(tls_session *t, char *at, size_t room, size_t *ret_len)
{
    tls_status status = TLS_FULL;
    size_t done = 0;
    t->shared->current = t;
    forget_errors();
    while (status == TLS_FULL && done < room) {
        size_t got = 0;
        int result = SSL_read_ex(t->ssl, at + done, room - done, &got);
        done += got;
        if (result != 1)
            status = status_of(t, result);
        else if (t->input.len == 0 && SSL_pending(t->ssl) == 0) /* asking once more would cost OpenSSL a buffer */
            status = TLS_MORE;
    }
    *ret_len = done;
    return look_at_state(t, status);
}

int tls_session_write(tls_session *t, str plain)
{
    size_t written = 0;
    t->shared->current = t;
    return SSL_write_ex(t->ssl, plain.at, plain.len, &written) == 1 && written == plain.len ? 0 : -ENOMEM;
}

void tls_session_end(tls_session *t)
{
    t->ended = true;
    t->shared->current = t;
    forget_errors();
    SSL_shutdown(t->ssl);
    forget_errors();
}

const char *tls_session_words(const tls_session *t)
{
    if (t->renegotiates)
        return "the client wants to renegotiate";
    long verified = SSL_get_verify_result(t->ssl);
    if (ERR_GET_REASON(ERR_peek_error()) == SSL_R_CERTIFICATE_VERIFY_FAILED && verified != X509_V_OK) {
        ERR_clear_error();
        return X509_verify_cert_error_string(verified);
    }
    return ERR_peek_error() ? tls_error_words() : "a handshake message in pieces";
}

/* ------------------------------------------------------------------------------------------------------------ subject */

size_t tls_session_subject(const tls_session *t, char *ret_text, size_t room)
{
    X509 *certificate = SSL_get0_peer_certificate(t->ssl);
    BIO *text = certificate ? BIO_new(BIO_s_mem()) : NULL;
    const char *at = NULL;
    long len = 0;
    if (text && X509_NAME_print_ex(text, X509_get_subject_name(certificate), 0, XN_FLAG_RFC2253) >= 0)
        len = BIO_get_mem_data(text, &at);
    if (len > 0 && (size_t)len < room) {
        memcpy(ret_text, at, (size_t)len);
        ret_text[len] = '\0';
    }
    BIO_free(text);
    return len > 0 ? (size_t)len : 0;
}
