/*
 * raw-push - the floor of handshakes and of broadcasts: WebSocket as far as the generator needs it, and no further. The first bytes of a connection are
 * answered with an upgrade that is always the same; what comes later are whole masked frames, which every other connection is sent with one send().
 *
 * Build: gcc -O2 -Wall -o raw-push raw-push.c        Run: taskset -c 0 ./raw-push PORT
 * Load:  wsload idle -p PORT --pid PID -c CONNS, wsload broadcast -p PORT --pid PID -c CONNS -s BYTES --window WINDOW
 */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { RECV_BYTES = 1 << 19, N_EVENTS = 1024, MAX_FILES = 1 << 20 };

static const char upgrade[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                              "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
static unsigned char received[RECV_BYTES], frames[RECV_BYTES];
static bool upgraded[MAX_FILES];
static int epoll_fd, subscribers[MAX_FILES], place[MAX_FILES], n_subscribers;

static void join(int fd)
{
    send(fd, upgrade, sizeof upgrade - 1, MSG_NOSIGNAL);
    upgraded[fd] = true;
    place[fd] = n_subscribers;
    subscribers[n_subscribers++] = fd;
}

static void leave(int fd)
{
    if (upgraded[fd]) {
        int last = subscribers[--n_subscribers];
        subscribers[place[fd]] = last;
        place[last] = place[fd];
    }
    upgraded[fd] = false;
    close(fd);
}

/* The frames as a server sends them: without their masks. Text of less than 126 bytes. */
static size_t unmask(size_t n)
{
    size_t len = 0;
    for (size_t at = 0; at + 6 <= n;) {
        size_t payload = received[at + 1] & 0x7f;
        const unsigned char *mask = received + at + 2;
        if (payload > 125 || at + 6 + payload > n)
            exit(1);
        frames[len++] = received[at];
        frames[len++] = (unsigned char)payload;
        for (size_t i = 0; i < payload; i++)
            frames[len++] = received[at + 6 + i] ^ mask[i & 3];
        at += 6 + payload;
    }
    return len;
}

static void take(int fd)
{
    ssize_t n = recv(fd, received, RECV_BYTES, 0);
    if (n <= 0) {
        if (n == 0 || errno != EAGAIN)
            leave(fd);
    } else if (!upgraded[fd]) {
        join(fd);
    } else if ((received[0] & 0x0f) == 8) {
        leave(fd);
    } else {
        size_t len = unmask((size_t)n);
        for (int i = 0; i < n_subscribers; i++)
            if (subscribers[i] != fd)
                send(subscribers[i], frames, len, MSG_NOSIGNAL);
    }
}

static void accept_all(int listener)
{
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
    }
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: raw-push PORT\n");
        return 2;
    }
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);

    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[1])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 4096)) {
        perror("raw-push");
        return 1;
    }
    epoll_fd = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, events[N_EVENTS];
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int n = epoll_wait(epoll_fd, events, N_EVENTS, -1);
        for (int i = 0; i < n; i++) {
            if (events[i].data.fd == listener)
                accept_all(listener);
            else
                take(events[i].data.fd);
        }
    }
}
