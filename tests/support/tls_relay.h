/**
 * TLS for clients that speak plain: a thread stands between the descriptor that the test has and the server, so that every test of support/client.h
 * can run over https:// as it is.
 */
#ifndef WEFT_TESTS_TLS_RELAY_H
#define WEFT_TESTS_TLS_RELAY_H

#include "support/certificates.h"
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <weft.h>

enum { RELAY_BYTES = 16 * 1024 };

static test_certificate relay_certificate;
static SSL_CTX *relay_ctx;
static pthread_once_t relay_once = PTHREAD_ONCE_INIT;

static inline void relay_make(void)
{
    certificate_make(&relay_certificate, &(certificate_wish){.name = "relay", .names = "DNS:localhost,IP:127.0.0.1"});
    relay_ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_verify(relay_ctx, SSL_VERIFY_PEER, NULL);
    assert_int_equal(SSL_CTX_load_verify_file(relay_ctx, relay_certificate.certificate_file), 1);
    atexit(certificates_forget);
}

/** Listens on a port of the kernel's, over TLS. */
static inline int relay_listen(weft *server)
{
    pthread_once(&relay_once, relay_make);
    weft_certificate pair = {relay_certificate.certificate_file, relay_certificate.key_file};
    return weft_listen(server, "https://127.0.0.1:0",
                       &(weft_listen_options){.certificates = &pair, .n_certificates = 1});
}

typedef struct {
    int plain, wire;
    SSL *ssl;
    char up[RELAY_BYTES], down[RELAY_BYTES];
    size_t n_up, up_at, n_down, down_at; /* what waits in them, and from where */
    bool up_ended;
    atomic_int refs;    /* the thread, and its place in relays[] */
    atomic_bool resets; /* the test's end is a reset, not an end */
} relay;

static relay *relays[1024]; /* by the test's descriptor */

static inline void relay_unref(relay *r)
{
    if (r && atomic_fetch_sub(&r->refs, 1) == 1)
        free(r);
}

static inline void relay_wait(const relay *r, short wire_events)
{
    struct pollfd both[2] = {{.fd = r->plain}, {.fd = r->wire, .events = wire_events}};
    if (!r->n_up && !r->up_ended)
        both[0].events |= POLLIN;
    if (r->n_down)
        both[0].events |= POLLOUT;
    if (!both[0].events)
        both[0].fd = -1; /* its hang-up is known */
    poll(both, 2, -1);
}

/* From the test to the server. False when the connection is over. */
static inline bool relay_up(relay *r, short *wire_events)
{
    if (!r->n_up && !r->up_ended) {
        ssize_t len = recv(r->plain, r->up, sizeof r->up, MSG_DONTWAIT);
        if (len > 0) {
            r->n_up = (size_t)len;
            r->up_at = 0;
        } else if (len == 0 || errno != EAGAIN) {
            if (atomic_load(&r->resets))
                return false;
            r->up_ended = true;
            SSL_shutdown(r->ssl);
            shutdown(r->wire, SHUT_WR);
        }
    }
    while (r->n_up) {
        size_t sent = 0;
        ERR_clear_error();
        if (SSL_write_ex(r->ssl, r->up + r->up_at, r->n_up, &sent) != 1) {
            *wire_events |= POLLOUT;
            return SSL_get_error(r->ssl, 0) == SSL_ERROR_WANT_WRITE;
        }
        r->up_at += sent;
        r->n_up -= sent;
    }
    return true;
}

/* What is left of it to the test. False when nobody reads it any more. */
static inline bool relay_flush_down(relay *r)
{
    while (r->n_down) {
        ssize_t sent = send(r->plain, r->down + r->down_at, r->n_down, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0)
            return errno == EAGAIN;
        r->down_at += (size_t)sent;
        r->n_down -= (size_t)sent;
    }
    return true;
}

/* From the server to the test. False when the connection is over. */
static inline bool relay_down(relay *r, short *wire_events)
{
    if (!relay_flush_down(r))
        return false;
    while (!r->n_down) {
        size_t len = 0;
        ERR_clear_error();
        if (SSL_read_ex(r->ssl, r->down, sizeof r->down, &len) != 1) {
            *wire_events |= POLLIN;
            return SSL_get_error(r->ssl, 0) == SSL_ERROR_WANT_READ;
        }
        r->n_down = len;
        r->down_at = 0;
        if (!relay_flush_down(r))
            return false;
    }
    return true;
}

static inline void *relay_run(void *argument)
{
    relay *r = argument;
    SSL_set_connect_state(r->ssl);
    if (SSL_do_handshake(r->ssl) == 1) {
        fcntl(r->wire, F_SETFL, fcntl(r->wire, F_GETFL) | O_NONBLOCK);
        for (;;) {
            short wire_events = 0;
            if (!relay_up(r, &wire_events) || !relay_down(r, &wire_events))
                break;
            relay_wait(r, wire_events);
        }
    }
    if (atomic_load(&r->resets))
        setsockopt(r->wire, SOL_SOCKET, SO_LINGER, &(struct linger){.l_onoff = 1}, sizeof(struct linger));
    SSL_free(r->ssl);
    close(r->wire);
    close(r->plain);
    ERR_clear_error();
    relay_unref(r);
    return NULL;
}

/** Takes a connection to the server; the descriptor to speak plain to. */
static inline int relay_secure(int socket_fd)
{
    int pair[2], bytes = RELAY_BYTES;
    pthread_t thread;
    relay *r = calloc(1, sizeof *r);
    assert_non_null(r);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes); /* it hides little of a slow reader */
    r->plain = pair[0];
    r->wire = socket_fd;
    r->ssl = SSL_new(relay_ctx);
    SSL_set_mode(r->ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_set_fd(r->ssl, socket_fd);
    signal(SIGPIPE, SIG_IGN); /* OpenSSL writes without MSG_NOSIGNAL */
    assert_true(pair[1] < (int)N_OF(relays));
    relay_unref(relays[pair[1]]);
    relays[pair[1]] = r;
    atomic_store(&r->refs, 2);
    assert_int_equal(pthread_create(&thread, NULL, relay_run, r), 0);
    pthread_detach(thread);
    return pair[1];
}

/** Call before the test closes its end. */
static inline void relay_reset(int plain)
{
    atomic_store(&relays[plain]->resets, true);
}

#endif
