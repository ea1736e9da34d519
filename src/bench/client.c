#include "bench/client.h"
#include "base/mem.h"
#include "bench/worker.h"
#include <errno.h>

static bench_client *client_of(bench_link *link)
{
    return CONTAINER(link, bench_client, link);
}

bench_client *bench_client_new(bench_worker *worker, const bench_protocol *protocol, const bench_scenario *scenario,
                               uint32_t number)
{
    bench_client *client = mem_zero(sizeof *client + protocol->state_bytes);
    if (!client)
        return NULL;
    client->worker = worker;
    client->protocol = protocol;
    client->scenario = scenario;
    client->target = bench_plan_target(worker->plan, number % bench_plan_servers(worker->plan));
    client->number = number;
    return client;
}

void bench_client_free(bench_client *client)
{
    if (!client)
        return;
    bench_client_close(client);
    bench_flight_done(&client->flight);
    mem_free(client);
}

/* ------------------------------------------------------------------------------------------------------- what the link says */

static void link_up(bench_link *link)
{
    bench_client *client = client_of(link);
    client->protocol->start(client);
}

static size_t link_bytes(bench_link *link, char *at, size_t len)
{
    bench_client *client = client_of(link);
    client->worker->now_ns = bench_now_ns();
    size_t taken = client->protocol->feed(client, at, len);
    if (client->scenario->read && client->is_ready) /* and not closed meanwhile */
        client->scenario->read(client);
    return taken;
}

static void link_down(bench_link *link, const char *why)
{
    bench_client *client = client_of(link);
    const bench_protocol *protocol = client->protocol;
    if (why == bench_link_ended && protocol->ended && protocol->ended(client))
        bench_client_reopen(client);
    else
        bench_client_fail(client, why);
}

static const bench_link_handler handler = {.up = link_up, .bytes = link_bytes, .down = link_down};

/* ------------------------------------------------------------------------------------------------------------------- life */

static int open_link(bench_client *client)
{
    const bench_plan *plan = client->worker->plan;
    /* Those of one server in turn. */
    uint32_t turn = client->number / bench_plan_servers(plan);
    const struct sockaddr_storage *source = plan->n_sources ? &plan->sources[turn % plan->n_sources] : NULL;
    return bench_link_open(&client->link, &client->worker->lines, client->target, source, plan->source_len, &handler);
}

void bench_client_reopen(bench_client *client)
{
    bench_link_close(&client->link);
    if (open_link(client))
        bench_client_fail(client, "not to be connected anew");
}

int bench_client_open(bench_client *client)
{
    bench_client_close(client);
    memset(client->state, 0, client->protocol->state_bytes);
    client->opened_ns = bench_now_ns();
    int error = open_link(client);
    client->is_open = !error;
    return error;
}

void bench_client_close(bench_client *client)
{
    bench_link_close(&client->link);
    if (client->is_open && client->protocol->done)
        client->protocol->done(client);
    client->is_open = client->is_ready = false;
}

void bench_client_fail(bench_client *client, const char *why)
{
    bench_worker_count_lost(client, why); /* which looks at is_ready */
    bench_client_close(client);
    if (client->scenario->lost)
        client->scenario->lost(client, why);
}

/* --------------------------------------------------------------------------------------------------------------- messages */

void bench_client_send(bench_client *client, str payload)
{
    if (client->is_ready)
        client->protocol->send(client, payload);
}

bool bench_client_ready(bench_client *client)
{
    uint32_t n_closed = client->link.n_closed;
    if (client->is_ready)
        return true;
    client->is_ready = true;
    bench_worker_count_ready(client);
    client->scenario->ready(client);
    return client->link.n_closed == n_closed;
}

bool bench_client_message(bench_client *client, str payload)
{
    uint32_t n_closed = client->link.n_closed;
    client->scenario->message(client, payload);
    return client->link.n_closed == n_closed;
}
