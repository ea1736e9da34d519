#include "demo_push.h"

#include <stdio.h>
#include <string.h>

enum {
    LONG_POLL_MS = 2000,
    EVENT_MS = 1000,
};

const char demo_answer[] = "{\"code\":200,\"data\":\"hello world\",\"msg\":\"success\"}";

static const char *const any_origin[] = {"*", NULL};

/* Program 7, polling: a JSON answer at once, or when there is one. */

static void answer(weft_exchange exchange)
{
    weft_answer(exchange, 200, "application/json", demo_answer, strlen(demo_answer));
}

static void serve_poll(weft_exchange exchange, const weft_request *request, void *user)
{
    (void)request;
    (void)user;
    answer(exchange);
}

static void serve_long_poll(weft_exchange exchange, const weft_request *request, void *user)
{
    demo_waiting *waiting = user;
    (void)request;
    if (waiting->n < DEMO_MAX_WAITING)
        waiting->at[waiting->n++] = exchange;
    else
        answer(exchange);
}

/* Those whose clients went meanwhile answer nobody. */
static void answer_all(weft *app, void *user)
{
    demo_waiting *waiting = user;
    (void)app;
    while (waiting->n)
        answer(waiting->at[--waiting->n]);
}

/* Program 8, Server-Sent Events: one a second. */

static void join_events(weft_peer peer)
{
    weft_subscribe(peer, "events", NULL);
}

static void send_event(weft *app, void *user)
{
    (void)user;
    weft_publish_text(app, "events", "hello world");
}

void demo_push_add(weft *app, const char *port, demo_waiting *waiting)
{
    const weft_route_options poll = {.request = serve_poll, .origins = any_origin};
    const weft_route_options long_poll = {.request = serve_long_poll, .user = waiting, .origins = any_origin};
    const weft_sse_options events = {.open = join_events, .origins = any_origin};
    char path[32];
    snprintf(path, sizeof path, ":%s/poll", port);
    weft_route(app, "GET", path, &poll);
    snprintf(path, sizeof path, ":%s/longpoll", port);
    weft_route(app, "GET", path, &long_poll);
    snprintf(path, sizeof path, ":%s/events", port);
    weft_sse(app, path, &events);
    weft_every(app, LONG_POLL_MS, answer_all, waiting);
    weft_every(app, EVENT_MS, send_event, NULL);
}
