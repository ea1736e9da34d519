/*
 * tls-echo - the floor that a server over TLS is measured against: OpenSSL and epoll, level-triggered, one thread, no framing. Its settings are those
 * that are fastest, with the ciphers that Weft serves too.
 *
 * Build: gcc -O2 -Wall -o tls-echo tls-echo.c -lssl -lcrypto        Run: taskset -c 0 ./tls-echo PORT
 * Load:  wsload echo --raw --tls -p PORT --pid PID -c CONNS -s BYTES -d DEPTH
 */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { RECV_BYTES = 1 << 19, N_EVENTS = 1024 };

struct conn {
    int fd;
    SSL *ssl;
    char *rest; /* what the socket did not take yet; NULL when nothing waits */
    size_t sent, n_rest;
};

static char received[RECV_BYTES];
static int epoll_fd;
static SSL_CTX *ctx;

static void watch(struct conn *conn, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = conn};
    epoll_ctl(epoll_fd, EPOLL_CTL_MOD, conn->fd, &event);
}

static void drop(struct conn *conn)
{
    SSL_free(conn->ssl);
    close(conn->fd);
    free(conn->rest);
    free(conn);
}

/* All that there is, so that what came together goes back in one record. */
static size_t receive(struct conn *conn)
{
    size_t n = 0, more;
    while (n < RECV_BYTES && SSL_read_ex(conn->ssl, received + n, RECV_BYTES - n, &more) == 1) {
        n += more;
        if (!SSL_has_pending(conn->ssl))
            break;
    }
    return n;
}

static void echo(struct conn *conn)
{
    size_t n = receive(conn), sent = 0, more;
    if (n == 0) {
        if (SSL_get_error(conn->ssl, 0) != SSL_ERROR_WANT_READ) {
            ERR_clear_error();
            drop(conn);
        }
        return;
    }
    while (sent < n && SSL_write_ex(conn->ssl, received + sent, n - sent, &more) == 1)
        sent += more;
    if (sent == n)
        return;
    conn->n_rest = n - sent;
    conn->rest = malloc(conn->n_rest);
    memcpy(conn->rest, received + sent, conn->n_rest);
    conn->sent = 0;
    watch(conn, EPOLLOUT);
}

static void send_rest(struct conn *conn)
{
    size_t more;
    while (conn->sent < conn->n_rest &&
           SSL_write_ex(conn->ssl, conn->rest + conn->sent, conn->n_rest - conn->sent, &more) == 1)
        conn->sent += more;
    if (conn->sent == conn->n_rest) {
        free(conn->rest);
        conn->rest = NULL;
        watch(conn, EPOLLIN);
    } else if (SSL_get_error(conn->ssl, 0) != SSL_ERROR_WANT_WRITE) {
        ERR_clear_error();
        drop(conn);
    }
}

static void accept_all(int listener)
{
    int fd, one = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        struct conn *conn = calloc(1, sizeof *conn);
        conn->fd = fd;
        conn->ssl = SSL_new(ctx);
        SSL_set_fd(conn->ssl, fd);
        SSL_set_accept_state(conn->ssl);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = conn};
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
    }
}

/* A certificate that nobody checks. */
static int make_ctx(void)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    X509_gmtime_adj(X509_getm_notBefore(x), 0);
    X509_gmtime_adj(X509_getm_notAfter(x), 86400);
    X509_set_pubkey(x, key);
    X509_sign(x, key, EVP_sha256());
    ctx = SSL_CTX_new(TLS_server_method());
    SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256");
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(ctx, 1); /* one system call for a record, not two */
    return SSL_CTX_use_certificate(ctx, x) == 1 && SSL_CTX_use_PrivateKey(ctx, key) == 1 ? 0 : -1;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: tls-echo PORT\n");
        return 2;
    }
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    signal(SIGPIPE, SIG_IGN);

    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[1])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (make_ctx() || bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 4096)) {
        perror("tls-echo");
        return 1;
    }
    epoll_fd = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL}, events[N_EVENTS];
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int n = epoll_wait(epoll_fd, events, N_EVENTS, -1);
        for (int i = 0; i < n; i++) {
            struct conn *conn = events[i].data.ptr;
            if (!conn)
                accept_all(listener);
            else if (conn->rest)
                send_rest(conn);
            else
                echo(conn);
        }
    }
}
