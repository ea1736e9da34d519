/*
 * raw-echo - the floor that a server is measured against: plain TCP echo, epoll, level-triggered, one thread.
 *
 * Build: gcc -O2 -Wall -o raw-echo raw-echo.c        Run: taskset -c 0 ./raw-echo PORT
 * Load:  wsload echo --raw -p PORT --pid PID -c CONNS -s BYTES -d DEPTH
 */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
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
    char *rest; /* what the socket did not take yet; NULL when nothing waits */
    size_t sent, n_rest;
};

static char received[RECV_BYTES];
static int epoll_fd;

static void watch(struct conn *conn, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = conn};
    epoll_ctl(epoll_fd, EPOLL_CTL_MOD, conn->fd, &event);
}

static void drop(struct conn *conn)
{
    close(conn->fd);
    free(conn->rest);
    free(conn);
}

static void echo(struct conn *conn)
{
    ssize_t n = recv(conn->fd, received, RECV_BYTES, 0);
    if (n <= 0) {
        if (n == 0 || errno != EAGAIN)
            drop(conn);
        return;
    }
    ssize_t sent = send(conn->fd, received, (size_t)n, MSG_NOSIGNAL);
    if (sent < 0) {
        if (errno != EAGAIN) {
            drop(conn);
            return;
        }
        sent = 0;
    }
    if (sent < n) {
        conn->n_rest = (size_t)(n - sent);
        conn->rest = malloc(conn->n_rest);
        memcpy(conn->rest, received + sent, conn->n_rest);
        conn->sent = 0;
        watch(conn, EPOLLOUT);
    }
}

static void send_rest(struct conn *conn)
{
    ssize_t sent = send(conn->fd, conn->rest + conn->sent, conn->n_rest - conn->sent, MSG_NOSIGNAL);
    if (sent < 0) {
        if (errno != EAGAIN)
            drop(conn);
        return;
    }
    conn->sent += (size_t)sent;
    if (conn->sent == conn->n_rest) {
        free(conn->rest);
        conn->rest = NULL;
        watch(conn, EPOLLIN);
    }
}

static void accept_all(int listener)
{
    int fd, one = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        struct conn *conn = calloc(1, sizeof *conn);
        conn->fd = fd;
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = conn};
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
    }
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: raw-echo PORT\n");
        return 2;
    }
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);

    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[1])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 4096)) {
        perror("raw-echo");
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
