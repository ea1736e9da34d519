/* polling: short and long polls without topics. /poll answers at once, /longpoll when there is something, which is every two seconds:
 *   curl http://127.0.0.1:3000/longpoll */
#include <stdio.h>
#include <string.h>
#include <weft.h>

enum { MAX_WAITING = 1000 };

static const char news[] = "{\"code\":200,\"data\":\"hello world\",\"msg\":\"success\"}";
static weft_exchange waiting[MAX_WAITING];
static size_t n_waiting;

static void answer(weft_exchange exchange)
{
    weft_answer(exchange, 200, "application/json", news, strlen(news));
}

static void poll(weft_exchange exchange, const weft_request *request, void *user)
{
    (void)request;
    (void)user;
    answer(exchange);
}

static void long_poll(weft_exchange exchange, const weft_request *request, void *user)
{
    (void)request;
    (void)user;
    if (n_waiting < MAX_WAITING)
        waiting[n_waiting++] = exchange;
    else
        answer(exchange);
}

/* A client that has gone meanwhile is no harm: its handle says so. */
static void answer_all(weft *app, void *user)
{
    (void)app;
    (void)user;
    while (n_waiting)
        answer(waiting[--n_waiting]);
}

static const char *const any_origin[] = {"*", NULL};
static const weft_route_options short_poll = {.request = poll, .origins = any_origin};
static const weft_route_options hanging_poll = {.request = long_poll, .origins = any_origin};

int main(int argc, char **argv)
{
    weft *app = weft_new(NULL);
    weft_route(app, "GET", "/poll", &short_poll);
    weft_route(app, "GET", "/longpoll", &hanging_poll);
    weft_every(app, 2000, answer_all, NULL);
    weft_listen(app, argc > 1 ? argv[1] : "http://127.0.0.1:3000", NULL);
    if (!weft_error(app))
        printf("listening on %s\n", weft_listening(app, 0));
    fflush(stdout);

    int error = weft_run_until_signal(app);
    if (error)
        fprintf(stderr, "polling: %s\n", weft_error(app));
    weft_free(app);
    return error ? 1 : 0;
}
