/*
 * A program outside the tree, against the installed library: answers one request on a port that the kernel picks, and stops
 * itself. Some of its functions have names that the library uses inside; neither may meet the other's.
 */
#include <stdio.h>
#include <string.h>
#include <weft.h>

static int n_calls;

void buf_put(void)
{
    n_calls++;
}

void map_get(void)
{
    n_calls++;
}

void log_line(void)
{
    n_calls++;
}

static void stop(weft *app, void *user)
{
    (void)user;
    weft_stop(app);
}

static void answer(weft_exchange exchange, const weft_request *request, void *user)
{
    weft *app = user;
    (void)request;
    weft_answer(exchange, 200, "text/plain", "hello", strlen("hello"));
    weft_post(app, stop, NULL);
}

int main(void)
{
    weft *app = weft_new(NULL);
    weft_get(app, "/", answer, app);
    weft_listen(app, "http://127.0.0.1:0", NULL);
    weft_after(app, 10000, stop, NULL); /* nobody came */
    if (!weft_error(app))
        puts(weft_listening(app, 0));
    fflush(stdout);

    buf_put();
    map_get();
    log_line();
    int error = weft_run(app);
    if (error)
        fprintf(stderr, "%s\n", weft_strerror(error));
    weft_free(app);
    return error || n_calls != 3;
}
