#include "app/metrics.h"

#include <inttypes.h>
#include <stdio.h>

/* The page as it grows. */
typedef struct {
    buf *out;
    int error;
    const char *name; /* of the metric whose values come */
} page;

/* ---------------------------------------------------------------------------------------------------------- the format */

static void begin(page *p, const char *name, const char *type, const char *help)
{
    p->name = name;
    if (!p->error)
        p->error = buf_printf(p->out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void value(page *p, uint64_t number)
{
    if (!p->error)
        p->error = buf_printf(p->out, "%s %" PRIu64 "\n", p->name, number);
}

static void labelled(page *p, const char *label, const char *text, uint64_t number)
{
    if (!p->error)
        p->error = buf_printf(p->out, "%s{%s=\"%s\"} %" PRIu64 "\n", p->name, label, text, number);
}

static void gauge(page *p, const char *name, const char *help, uint64_t number)
{
    begin(p, name, "gauge", help);
    value(p, number);
}

static void counter(page *p, const char *name, const char *help, uint64_t number)
{
    begin(p, name, "counter", help);
    value(p, number);
}

static void put_histogram(page *p, const char *name, const char *help, const histogram *h)
{
    uint64_t n = 0;
    begin(p, name, "histogram", help);
    for (int i = 0; i < HISTOGRAM_BOUNDS && !p->error; i++) {
        n += h->n[i];
        p->error = buf_printf(p->out, "%s_bucket{le=\"%g\"} %" PRIu64 "\n", name, histogram_bounds_ms[i] / 1000.0, n);
    }
    n += h->n[HISTOGRAM_BOUNDS];
    if (!p->error)
        p->error =
            buf_printf(p->out, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n%s_sum %" PRIu64 ".%06u\n%s_count %" PRIu64 "\n",
                       name, n, name, h->sum_us / 1000000, (unsigned)(h->sum_us % 1000000), name, n);
}

/* ---------------------------------------------------------------------------------------------------------- the numbers */

static uint64_t accepted(const weft *app, uint64_t *ret_refused)
{
    uint64_t n = 0;
    *ret_refused = 0;
    for (const app_listener *one = app->listeners; one; one = one->next) {
        if (one->server != &app->workers->http)
            continue;
        n += one->base.n_accepted;
        *ret_refused += one->base.n_refused + one->base.n_shed;
    }
    return n;
}

static const char *label_of(int transport)
{
    return transport == HUB_HTTP ? "http" : transport_name((weft_transport)transport);
}

static void put_connections(page *p, const weft *app, const tally *t)
{
    uint64_t refused, n = accepted(app, &refused);
    begin(p, "weft_connections", "gauge",
          "Clients that are connected, by transport; long-poll, engineio, socketio: sessions, http: connections that "
          "ask, "
          "or wait for an answer.");
    for (int i = 0; i < HUB_TRANSPORTS; i++)
        labelled(p, "transport", label_of(i), i == HUB_HTTP ? t->n_connections : t->counts.traffic[i].n_peers);
    gauge(p, "weft_waiting_polls", "Long polls without a session that wait for a message.", t->counts.n_waiters);
    gauge(p, "weft_open_sockets", "Sockets of clients, those that are closing too.", t->n_streams);
    gauge(p, "weft_queued_bytes", "Bytes that wait for clients to take them.",
          t->queued_bytes + t->counts.session_bytes);
    counter(p, "weft_accepted_connections_total", "Connections that were accepted.", n);
    counter(p, "weft_refused_connections_total", "Connections that were answered with 503 and closed at once.",
            refused);
}

static void put_traffic(page *p, const tally *t)
{
    static const struct {
        const char *name, *help;
        size_t at;
    } rows[] = {
        {"weft_received_messages_total", "Messages that clients sent, by transport.",
         offsetof(hub_traffic, messages_in)},
        {"weft_sent_messages_total", "Messages that were queued to clients, by transport.",
         offsetof(hub_traffic, messages_out)},
        {"weft_received_bytes_total", "Bytes of the messages that clients sent, without framing.",
         offsetof(hub_traffic, bytes_in)},
        {"weft_sent_bytes_total", "Bytes of the messages that were queued to clients, without framing.",
         offsetof(hub_traffic, bytes_out)},
    };
    for (size_t row = 0; row < sizeof rows / sizeof *rows; row++) {
        begin(p, rows[row].name, "counter", rows[row].help);
        for (int i = 0; i < HUB_TRANSPORTS; i++) {
            uint64_t number;
            memcpy(&number, (const char *)&t->counts.traffic[i] + rows[row].at, sizeof number);
            labelled(p, "transport", label_of(i), number);
        }
    }
}

static void put_topics(page *p, const tally *t)
{
    static const char *const results[N_RESUMES] = {"new", "full", "gap"};
    const uint64_t *dropped = t->dropped;
    gauge(p, "weft_topics", "Topics that exist.", t->n_topics);
    gauge(p, "weft_subscriptions", "Subscriptions of clients to topics.", t->counts.n_subscriptions);
    counter(p, "weft_published_messages_total", "Messages that were published.", t->counts.n_published);
    begin(p, "weft_resumes_total", "counter",
          "Subscriptions by what they began with: new (nothing from before), full (all that was asked for), gap (what "
          "is kept of it).");
    for (int i = 0; i < N_RESUMES; i++)
        labelled(p, "result", results[i], t->counts.resumes[i]);
    begin(p, "weft_dropped_messages_total", "counter",
          "Messages that slow clients did not get, by the policy of their topic.");
    labelled(p, "policy", "drop-old", dropped[WEFT_SLOW_DROP_OLD]);
    labelled(p, "policy", "drop-new", dropped[WEFT_SLOW_DROP_NEW]);
    labelled(p, "policy", "latest", dropped[WEFT_SLOW_LATEST]);
    counter(p, "weft_dropped_clients_total",
            "Clients that were closed because they were too slow for a topic (policy close).",
            dropped[WEFT_SLOW_CLOSE]);
}

static void put_ends(page *p, const tally *t)
{
    begin(p, "weft_disconnects_total", "counter", "Clients that have left, by close code.");
    for (int i = 0; i < HUB_CODES; i++) {
        char code[8] = "other";
        if (i < HUB_CODES - 1)
            snprintf(code, sizeof code, "%d", HUB_FIRST_CODE + i);
        labelled(p, "code", code, t->counts.closes[i]);
    }
    begin(p, "weft_limit_reached_total", "counter", "How often clients have reached a limit, by its setting.");
    for (int i = 0; i < N_LIMITS; i++)
        labelled(p, "limit", limit_name((limit_id)i), t->limits[i]);
    put_histogram(p, "weft_ping_round_trip_seconds", "From a keep-alive ping of the server to its pong.",
                  &t->counts.round_trips);
}

static void put_loops(page *p, const tally *t, uint64_t n_silent)
{
    gauge(p, "weft_loops", "Event loops whose numbers are on this page.", t->n_loops);
    gauge(p, "weft_silent_loops", "Event loops that did not answer in time: their numbers are missing.", n_silent);
    counter(p, "weft_loop_turns_total", "Turns of the event loops.", t->n_turns);
    put_histogram(p, "weft_loop_lag_seconds", "How late a timer of an event loop fired, ten times a second.", &t->lag);
    begin(p, "weft_system_calls_total", "counter", "System calls that carry bytes or wait for them.");
    labelled(p, "call", "send", t->n_sends);
    labelled(p, "call", "receive", t->n_receives);
    labelled(p, "call", "wait", t->n_turns);
    counter(p, "weft_undelivered_calls_total", "Calls from other threads whose client was gone, or its queue full.",
            t->n_undelivered);
    counter(p, "weft_missed_messages_total",
            "Messages of topics that did not reach an event loop in time; its clients were told of a gap.",
            t->counts.n_mirror_gaps);
    counter(p, "weft_missed_clients_total",
            "Socket.IO clients that were cut because a broadcast did not reach their event loop in time.",
            t->counts.n_missed_cuts);
}

static void put_process(page *p, const weft *app)
{
    gauge(p, "weft_start_time_seconds", "When the server was started, in seconds since 1970.", (uint64_t)app->started);
    begin(p, "weft_build_info", "gauge", "Which Weft this is.");
    labelled(p, "version", WEFT_VERSION, 1);
}

int metrics_put(const weft *app, const tally *t, buf *out)
{
    page p = {.out = out};
    put_connections(&p, app, t);
    put_traffic(&p, t);
    put_topics(&p, t);
    put_ends(&p, t);
    put_loops(&p, t, app->n_workers - t->n_loops);
    put_process(&p, app);
    return p.error;
}
