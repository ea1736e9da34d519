/* sse: one event a second to every EventSource. In a browser's console:
 *   new EventSource("http://127.0.0.1:3000/events").onmessage = e => console.log(e.data) */
#include <stdio.h>
#include <weft.h>

/* Who comes back after a cut gets what was missed. */
static void join(weft_peer peer)
{
    weft_subscribe(peer, "ticker", weft_since(peer));
}

static void tick(weft *app, void *user)
{
    (void)user;
    weft_publish_text(app, "ticker", "hello world");
}

static const char *const any_origin[] = {"*", NULL};
static const weft_sse_options events = {.open = join, .origins = any_origin};
static const weft_topic_options minute = {.history_messages = 60};

int main(int argc, char **argv)
{
    weft *app = weft_new(NULL);
    weft_topic_configure(app, "ticker", &minute);
    weft_sse(app, "/events", &events);
    weft_every(app, 1000, tick, NULL);
    weft_listen(app, argc > 1 ? argv[1] : "http://127.0.0.1:3000", NULL);
    if (!weft_error(app))
        printf("listening on %s\n", weft_listening(app, 0));
    fflush(stdout);

    int error = weft_run_until_signal(app);
    if (error)
        fprintf(stderr, "sse: %s\n", weft_error(app));
    weft_free(app);
    return error ? 1 : 0;
}
