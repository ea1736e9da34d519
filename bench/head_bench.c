/*
 * How long a browser's request head takes to parse: prints nanoseconds a head, of which there is one for every request
 * and handshake. The target is under a microsecond at -O2.
 */
#include <stdio.h>
#include <time.h>

#include "proto/http1.h"

static const char text[] = "GET /chat/rooms/42?transport=websocket&since=8f3a-1207 HTTP/1.1\r\n"
                           "Host: chat.example.org:3000\r\n"
                           "Connection: keep-alive\r\n"
                           "sec-ch-ua-platform: \"Linux\"\r\n"
                           "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
                           "Chrome/140.0.0.0 Safari/537.36\r\n"
                           "sec-ch-ua: \"Chromium\";v=\"140\", \"Not=A?Brand\";v=\"24\"\r\n"
                           "sec-ch-ua-mobile: ?0\r\n"
                           "Accept: text/event-stream\r\n"
                           "Sec-Fetch-Site: same-origin\r\n"
                           "Sec-Fetch-Mode: cors\r\n"
                           "Sec-Fetch-Dest: empty\r\n"
                           "Referer: https://chat.example.org:3000/chat/rooms/42\r\n"
                           "Accept-Encoding: gzip, deflate, br, zstd\r\n"
                           "Accept-Language: en-GB,en;q=0.9,de;q=0.8\r\n"
                           "Cookie: session=kZ3vT0s9QmWc8b1YxR7uJw; theme=dark\r\n"
                           "\r\n";

static double now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

/* The time a head in ns, or negative when one is not read whole. */
static double measure(int n_heads)
{
    double began = now_ns();
    for (int i = 0; i < n_heads; i++) {
        http1_head head = {0};
        size_t len = 0;
        if (http1_head_feed(&head, text, sizeof text - 1, &len) != HTTP1_DONE || len != sizeof text - 1)
            return -1;
    }
    return (now_ns() - began) / n_heads;
}

int main(void)
{
    enum { ROUNDS = 7, HEADS = 100000 };
    double best = measure(HEADS); /* of several rounds, as others use the machine too */
    for (int i = 1; i < ROUNDS; i++) {
        double ns = measure(HEADS);
        best = ns < best ? ns : best;
    }
    if (best < 0) {
        fprintf(stderr, "head_bench: the head was not read whole\n");
        return 1;
    }
    printf("%.0f ns a head of %zu bytes (%.2f GB/s)\n", best, sizeof text - 1, (double)(sizeof text - 1) / best);
    return 0;
}
