#include "bench/client.h"
#include "bench/worker.h"

static void start(bench_client *client)
{
    bench_client_ready(client);
}

static size_t feed(bench_client *client, char *at, size_t len)
{
    size_t message_bytes = client->worker->plan->message_bytes, done = 0;
    for (; len - done >= message_bytes; done += message_bytes)
        if (!bench_client_message(client, (str){at + done, message_bytes}))
            return len;
    if (len > done)
        client->link.wanted = message_bytes;
    return done;
}

static void send_message(bench_client *client, str payload)
{
    if (buf_put_str(bench_link_out(&client->link), payload))
        bench_client_fail(client, "out of memory");
    else
        bench_link_flush(&client->link);
}

const bench_protocol bench_plain = {.name = "TCP", .start = start, .feed = feed, .send = send_message};
