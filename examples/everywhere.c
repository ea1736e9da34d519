/* everywhere: one topic on every transport. Listen in as many ways as you like, and publish:
 *   curl -N -H 'Accept: text/event-stream' http://127.0.0.1:3000/topics/news
 *   curl -N -H 'Accept: application/x-ndjson' http://127.0.0.1:3000/topics/news
 *   curl 'http://127.0.0.1:3000/topics/news?since=start&wait=25'
 *   new WebSocket("ws://127.0.0.1:3000/topics/news").onmessage = e => console.log(e.data)
 *   import("/weft.js").then(m => m.connect("/weft").subscribe("news", text => console.log(text)))
 *   curl -d hello http://127.0.0.1:3000/topics/news */
#include <stdio.h>
#include <weft.h>

static const char *const everything[] = {"*", NULL};
static const weft_topics_options open_to_all = {.publish = everything, .origins = everything};
static const weft_topic_options five_minutes = {.history_messages = 100};

int main(int argc, char **argv)
{
    weft *app = weft_new(NULL);
    weft_topic_configure(app, "*", &five_minutes);
    weft_topics(app, "/topics/*", &open_to_all);
    weft_protocol(app, "/weft", &open_to_all);
    weft_listen(app, argc > 1 ? argv[1] : "http://127.0.0.1:3000", NULL);
    if (!weft_error(app))
        printf("listening on %s\n", weft_listening(app, 0));
    fflush(stdout);

    int error = weft_run_until_signal(app);
    if (error)
        fprintf(stderr, "everywhere: %s\n", weft_error(app));
    weft_free(app);
    return error ? 1 : 0;
}
