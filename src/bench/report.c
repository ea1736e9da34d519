#include "bench/report.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { LABEL = 14, ROWS = 10, BAR = 40 };

static const double percents[] = {50, 90, 99, 99.9, 99.99};
static const char *const percent_names[] = {"50", "90", "99", "99.9", "99.99"};

enum { N_PERCENTS = sizeof percents / sizeof *percents };

static const char *const mode_names[] = {
    [BENCH_ECHO] = "echo", [BENCH_BROADCAST] = "broadcast", [BENCH_FANOUT] = "fanout",
    [BENCH_IDLE] = "idle", [BENCH_CONNECT] = "connect",     [BENCH_REQUEST] = "request",
};

/* What is counted, in the plural. */
static const char *const unit_names[] = {
    [BENCH_ECHO] = "messages",   [BENCH_BROADCAST] = "deliveries", [BENCH_FANOUT] = "deliveries",
    [BENCH_IDLE] = "deliveries", [BENCH_CONNECT] = "handshakes",   [BENCH_REQUEST] = "requests",
};

/* ---- figures ---- */

static double seconds(const bench_result *r)
{
    return (double)r->measured_ns / 1e9;
}

static double per_second(const bench_result *r, double n)
{
    return r->measured_ns ? n / seconds(r) : 0;
}

static double server_cpu_s(const bench_result *r)
{
    return r->measured_ns ? (double)(r->to.cpu_ns - r->from.cpu_ns) / 1e9 : 0;
}

/* Of idle, whose warm-up is quiet: with nothing but heartbeats. */
static double warm_up_cpu_s(const bench_result *r)
{
    return r->warm_up_ns && r->measured_ns ? (double)(r->from.cpu_ns - r->connected.cpu_ns) / 1e9 : 0;
}

static double own_cpu_s(const bench_result *r)
{
    return r->measured_ns ? (double)(r->own_to.cpu_ns - r->own_from.cpu_ns) / 1e9 : 0;
}

/* Above what there was before the first connection. */
static double bytes_each(const bench_result *r, uint64_t before, uint64_t after)
{
    return r->n_connected && after > before ? (double)(after - before) / (double)r->n_connected : 0;
}

static double handshake_cpu_us(const bench_result *r)
{
    return r->n_connected ? (double)(r->connected.cpu_ns - r->before.cpu_ns) / 1e3 / (double)r->n_connected : 0;
}

static double connects_per_second(const bench_result *r)
{
    return r->connect_ns ? (double)r->n_connected * 1e9 / (double)r->connect_ns : 0;
}

static bool counts_messages(const bench_result *r)
{
    return r->plan->mode != BENCH_IDLE || r->plan->publishes;
}

static bool carries_payload(const bench_result *r)
{
    return r->plan->mode != BENCH_CONNECT && (r->plan->mode != BENCH_IDLE || r->plan->publishes);
}

static bool to_all(const bench_result *r)
{
    return r->plan->mode == BENCH_BROADCAST || r->plan->mode == BENCH_FANOUT ||
           (r->plan->mode == BENCH_IDLE && r->plan->publishes);
}

/* ---- text ---- */

const char *bench_text_of(uint64_t number, char ret_text[32])
{
    char digits[24];
    int n = snprintf(digits, sizeof digits, "%llu", (unsigned long long)number), at = 0;
    for (int i = 0; i < n; i++) {
        if (i && (n - i) % 3 == 0)
            ret_text[at++] = ',';
        ret_text[at++] = digits[i];
    }
    ret_text[at] = '\0';
    return ret_text;
}

static const char *time_text(uint64_t ns, char ret_text[32])
{
    double us = (double)ns / 1e3;
    if (us < 1000)
        snprintf(ret_text, 32, "%.0f us", us);
    else if (us < 1e6)
        snprintf(ret_text, 32, "%.*f ms", us < 1e4 ? 2 : us < 1e5 ? 1 : 0, us / 1e3);
    else
        snprintf(ret_text, 32, "%.2f s", us / 1e6);
    return ret_text;
}

static const char *bytes_text(double bytes, char ret_text[32])
{
    if (bytes < 10e3)
        snprintf(ret_text, 32, "%.0f B", bytes);
    else if (bytes < 10e6)
        snprintf(ret_text, 32, "%.1f KB", bytes / 1e3);
    else
        snprintf(ret_text, 32, "%.1f MB", bytes / 1e6);
    return ret_text;
}

static void line(const char *label, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void line(const char *label, const char *format, ...)
{
    va_list values;
    printf("  %-*s", LABEL, label);
    va_start(values, format);
    vprintf(format, values);
    va_end(values);
    putchar('\n');
}

static void print_title(const bench_result *r)
{
    const bench_plan *plan = r->plan;
    char n[32], size[32];
    printf("weft bench %s %s\n", mode_names[plan->mode], plan->url);
    printf("  %s connection%s", bench_text_of(plan->n_connections, n), plan->n_connections == 1 ? "" : "s");
    if (plan->n_processes > 1)
        printf(" of %u processes", plan->n_processes);
    if (plan->n_more)
        printf(" to %u servers", bench_plan_servers(plan));
    if (carries_payload(r) && plan->mode != BENCH_REQUEST)
        printf(", %s a message", bytes_text((double)plan->message_bytes, size));
    if (plan->rate > 0 && plan->mode != BENCH_CONNECT)
        printf(", %g %s a second", plan->rate, plan->mode == BENCH_REQUEST ? "requests" : "messages");
    else if (carries_payload(r) && plan->mode != BENCH_IDLE)
        printf(", %u in flight%s", plan->depth, to_all(r) ? "" : " on each");
    printf("\n  %.1f s", seconds(r));
    if (plan->warm_up_ms)
        printf(" after %.1f s of warm-up", (double)plan->warm_up_ms / 1e3);
    printf("\n\n");
}

static void print_connections(const bench_result *r)
{
    char n[32], each[32], time[32];
    line("connected", "%s in %s, %s a second", bench_text_of(r->n_connected, n), time_text(r->connect_ns, time),
         bench_text_of((uint64_t)connects_per_second(r), each));
    if (r->plan->n_pids)
        line("", "%.1f us of the server's CPU time each", handshake_cpu_us(r));
}

static void print_rate(const bench_result *r)
{
    char rate[32], size[32];
    const char *unit = unit_names[r->plan->mode];
    double n = (double)r->sum.n_messages;
    if (carries_payload(r) && r->plan->mode != BENCH_REQUEST)
        line(unit, "%s a second, %s of payload a second", bench_text_of((uint64_t)per_second(r, n), rate),
             bytes_text(per_second(r, n * (double)r->plan->message_bytes), size));
    else
        line(unit, "%s a second", bench_text_of((uint64_t)per_second(r, n), rate));
}

static void print_server(const bench_result *r)
{
    char each[32];
    double cpu_s = server_cpu_s(r), busy = per_second(r, cpu_s) * 100;
    if (!r->plan->n_pids)
        return;
    if (!counts_messages(r) || cpu_s <= 0)
        line("server", "%.2f %% of a CPU", busy);
    else
        line("server", "%s %s per CPU-second, %.3g us each, %.0f %% of a CPU",
             bench_text_of((uint64_t)((double)r->sum.n_messages / cpu_s), each), unit_names[r->plan->mode],
             r->sum.n_messages ? cpu_s * 1e6 / (double)r->sum.n_messages : 0, busy);
    if (r->plan->mode == BENCH_IDLE && r->plan->publishes && r->warm_up_ns)
        line("", "%.2f %% of a CPU in the warm-up, when nothing was published",
             warm_up_cpu_s(r) * 1e11 / (double)r->warm_up_ns);
}

static void print_memory(const bench_result *r)
{
    char rss[32], pss[32], slab[32], tcp[32];
    if (!r->plan->n_pids || r->plan->mode == BENCH_CONNECT)
        return;
    line("memory", "%s a connection (RSS), %s (PSS) of the server",
         bytes_text(bytes_each(r, r->before.rss_bytes, r->after.rss_bytes), rss),
         bytes_text(bytes_each(r, r->before.pss_bytes, r->after.pss_bytes), pss));
    if (r->plan->mode == BENCH_IDLE)
        line("", "%s a connection in slabs, %s in socket buffers of the kernel",
             bytes_text(bytes_each(r, r->before.slab_bytes, r->after.slab_bytes), slab),
             bytes_text(bytes_each(r, r->before.tcp_bytes, r->after.tcp_bytes), tcp));
}

static void print_percentiles(const char *label, const bench_latency *latency)
{
    char time[32];
    printf("  %-*s", LABEL, label);
    for (unsigned i = 0; i < N_PERCENTS; i++)
        printf("%9s%%", percent_names[i]);
    printf("%10s\n  %-*s", "max", LABEL, "");
    for (unsigned i = 0; i < N_PERCENTS; i++)
        printf("%10s", time_text(bench_latency_at(latency, percents[i]), time));
    printf("%10s\n", time_text(latency->most_ns, time));
}

/* The bucket that holds a time. */
static unsigned bucket_with(uint64_t ns)
{
    unsigned bucket = 0;
    while (bucket < BENCH_LATENCY_BUCKETS - 1 && bench_latency_bucket_ns(bucket) < ns)
        bucket++;
    return bucket;
}

/* Buckets grow as times do, so rows of as many buckets each are of equal ratio. The first and the last have also what is faster and slower than nearly
 * all. */
static void print_histogram(const bench_latency *latency)
{
    static const char bar[BAR + 1] = "########################################";
    unsigned first = bucket_with(bench_latency_at(latency, 0.1)), last = bucket_with(bench_latency_at(latency, 99.9));
    unsigned step = (last - first) / (ROWS - 1) + 1;
    uint64_t counts[ROWS] = {0}, most = 1;
    for (unsigned b = 0; b < BENCH_LATENCY_BUCKETS; b++) {
        unsigned row = b < first ? 0 : (b - first) / step;
        counts[row < ROWS ? row : ROWS - 1] += latency->counts[b];
    }
    for (unsigned i = 0; i < ROWS; i++)
        most = counts[i] > most ? counts[i] : most;
    for (unsigned i = 0; i < ROWS; i++) {
        char end[32];
        uint64_t end_ns = bench_latency_bucket_ns(first + (i + 1) * step - 1);
        int len = (int)((counts[i] * BAR + most / 2) / most);
        if (counts[i] || end_ns < latency->most_ns)
            printf("  %*s  %-*.*s%7.2f %%\n", LABEL - 4,
                   time_text(i < ROWS - 1 && end_ns < latency->most_ns ? end_ns : latency->most_ns, end), BAR, len, bar,
                   (double)counts[i] * 100 / (double)latency->n);
    }
}

static void print_text(const bench_result *r)
{
    print_title(r);
    if (r->plan->mode != BENCH_CONNECT)
        print_connections(r);
    if (counts_messages(r))
        print_rate(r);
    print_server(r);
    line("generator", "%.0f %% of a CPU", per_second(r, own_cpu_s(r)) * 100);
    print_memory(r);
    if (r->sum.reach.n) {
        putchar('\n');
        print_percentiles("to all", &r->sum.reach);
    }
    if (r->sum.latency.n) {
        putchar('\n');
        print_percentiles(r->plan->mode == BENCH_CONNECT ? "handshake" : "latency", &r->sum.latency);
        putchar('\n');
        print_histogram(&r->sum.latency);
    }
}

/* ---- JSON ---- */

static void json_string(const char *name, const char *text)
{
    printf("\"%s\":\"", name);
    for (; *text; text++)
        if (*text == '"' || *text == '\\')
            printf("\\%c", *text);
        else if ((unsigned char)*text < 0x20)
            printf("\\u%04x", (unsigned char)*text);
        else
            putchar(*text);
    printf("\",");
}

static void json_number(const char *name, double value)
{
    printf("\"%s\":%.15g,", name, value);
}

static void json_plan(const bench_result *r)
{
    const bench_plan *plan = r->plan;
    json_string("mode", mode_names[plan->mode]);
    json_string("url", plan->url);
    json_number("connections", plan->n_connections);
    json_number("processes", plan->n_processes);
    json_number("servers", bench_plan_servers(plan));
    json_number("message_bytes", (double)plan->message_bytes);
    json_number("depth", plan->depth);
    json_number("rate_per_second", plan->rate);
}

static void json_latency(const char *name, const bench_latency *latency)
{
    static const char *const names[] = {"p50", "p90", "p99", "p99_9", "p99_99"};
    printf("\"%s\":{", name);
    json_number("count", (double)latency->n);
    json_number("min", (double)latency->least_ns / 1e3);
    json_number("mean", latency->n ? (double)latency->sum_ns / 1e3 / (double)latency->n : 0);
    for (unsigned i = 0; i < N_PERCENTS; i++)
        json_number(names[i], (double)bench_latency_at(latency, percents[i]) / 1e3);
    printf("\"max\":%.15g},", (double)latency->most_ns / 1e3);
}

static void json_server(const bench_result *r)
{
    double cpu_s = server_cpu_s(r);
    if (!r->plan->n_pids)
        return;
    printf("\"server\":{");
    json_number("cpu_seconds", cpu_s);
    json_number("cpu_share", per_second(r, cpu_s));
    json_number("warm_up_cpu_seconds", warm_up_cpu_s(r));
    json_number("per_cpu_second", cpu_s > 0 ? (double)r->sum.n_messages / cpu_s : 0);
    json_number("connect_cpu_us", handshake_cpu_us(r));
    json_number("rss_bytes", (double)r->after.rss_bytes);
    json_number("pss_bytes", (double)r->after.pss_bytes);
    json_number("rss_bytes_per_connection", bytes_each(r, r->before.rss_bytes, r->after.rss_bytes));
    printf("\"pss_bytes_per_connection\":%.15g},", bytes_each(r, r->before.pss_bytes, r->after.pss_bytes));
}

static void json_errors(const bench_result *r)
{
    printf("\"errors\":{");
    json_number("lost_connections", (double)r->sum.n_lost_connections);
    json_number("lost_publishers", (double)r->sum.n_lost_publishers);
    json_number("missing", (double)r->sum.n_missing);
    json_number("wrong", (double)r->sum.n_wrong);
    json_number("doubled", (double)r->sum.n_doubled);
    json_number("misordered", (double)r->sum.n_misordered);
    json_number("foreign", (double)r->sum.n_foreign);
    printf("\"unsent\":%llu},", (unsigned long long)r->sum.n_unsent);
}

static const char *const ending_names[] = {
    [BENCH_ENDED_IN_TIME] = "in time", [BENCH_ENDED_INTERRUPTED] = "interrupted", [BENCH_ENDED_STALLED] = "stalled",
    [BENCH_ENDED_OVER] = "lost",       [BENCH_ENDED_BROKEN] = "broken",           [BENCH_ENDED_SERVER] = "server ended",
};

static bool is_well(const bench_result *r);

static void print_json(const bench_result *r)
{
    double n = (double)r->sum.n_messages;
    putchar('{');
    json_plan(r);
    json_number("connected", (double)r->n_connected);
    json_number("connect_seconds", (double)r->connect_ns / 1e9);
    json_number("connects_per_second", connects_per_second(r));
    json_number("warm_up_seconds", (double)r->warm_up_ns / 1e9);
    json_number("warm_up_heartbeats", (double)r->n_warm_up_heartbeats);
    json_number("seconds", seconds(r));
    json_number("messages", n);
    json_number("messages_per_second", per_second(r, n));
    json_number("payload_bytes_per_second", carries_payload(r) ? per_second(r, n * (double)r->plan->message_bytes) : 0);
    json_number("sent", (double)r->sum.n_sent);
    json_number("read_bytes_per_second", per_second(r, (double)r->sum.n_read_bytes));
    json_number("written_bytes_per_second", per_second(r, (double)r->sum.n_written_bytes));
    json_latency("latency_us", &r->sum.latency);
    json_latency("to_all_us", &r->sum.reach);
    json_server(r);
    json_number("kernel_slab_bytes_per_connection", bytes_each(r, r->before.slab_bytes, r->after.slab_bytes));
    json_number("kernel_socket_bytes_per_connection", bytes_each(r, r->before.tcp_bytes, r->after.tcp_bytes));
    json_number("generator_cpu_seconds", own_cpu_s(r));
    json_errors(r);
    json_string("ending", ending_names[r->ending]);
    printf("\"ok\":%s}\n", is_well(r) ? "true" : "false");
}

void bench_report_print(const bench_result *r)
{
    if (r->plan->json)
        print_json(r);
    else if (r->measured_ns)
        print_text(r);
}

/* ---- what went wrong ---- */

static bool has_errors(const bench_tally *sum)
{
    return sum->n_lost_connections || sum->n_lost_publishers || sum->n_missing || sum->n_wrong || sum->n_doubled ||
           sum->n_misordered || sum->n_unsent;
}

static bool is_well(const bench_result *r)
{
    const bench_tally *sum = &r->sum;
    return r->ending <= BENCH_ENDED_INTERRUPTED && r->measured_ns && !has_errors(sum) &&
           (sum->n_messages || !counts_messages(r));
}

static void complain_of(uint64_t n, const char *one, const char *many)
{
    char text[32];
    if (n)
        fprintf(stderr, "weft bench: %s %s\n", bench_text_of(n, text), n == 1 ? one : many);
}

/* The reasons, most of the space to the first. */
static void complain_of_lost(const bench_result *r)
{
    char n[32], all[32];
    if (!r->sum.n_lost_connections)
        return;
    if (r->plan->mode == BENCH_CONNECT)
        fprintf(stderr, "weft bench: %s connections failed:", bench_text_of(r->sum.n_lost_connections, n));
    else
        fprintf(stderr, "weft bench: %s of %s connections %s lost:", bench_text_of(r->sum.n_lost_connections, n),
                bench_text_of(r->plan->n_connections, all), r->sum.n_lost_connections == 1 ? "was" : "were");
    for (unsigned i = 0; i < BENCH_WHYS && r->sum.whys[i].n; i++)
        fprintf(stderr, "%s %s (%s)", i ? "," : "", r->sum.whys[i].text, bench_text_of(r->sum.whys[i].n, n));
    fputc('\n', stderr);
}

static void complain_of_ending(const bench_result *r)
{
    static const char *const doing[] = {"connecting", "the warm-up", "measuring", "the end", "the end"};
    switch (r->ending) {
    case BENCH_ENDED_INTERRUPTED:
        if (r->measured_ns)
            fprintf(stderr, "weft bench: interrupted after %.1f s\n", seconds(r));
        else
            fprintf(stderr, "weft bench: interrupted while %s\n", r->phase ? "warming up" : "connecting");
        return;
    case BENCH_ENDED_STALLED:
        fprintf(stderr, "weft bench: nothing came for %.1f s during %s\n", (double)r->plan->patience_ms / 1e3,
                doing[r->phase]);
        return;
    case BENCH_ENDED_BROKEN:
        if (r->signal)
            fprintf(stderr, "weft bench: a process of the generator was ended by signal %d\n", r->signal);
        else
            fprintf(stderr, "weft bench: a process of the generator could not go on: %s\n", weft_strerror(r->failure));
        return;
    case BENCH_ENDED_SERVER:
        fprintf(stderr, "weft bench: a process of --pid has ended\n");
        return;
    case BENCH_ENDED_IN_TIME:
    case BENCH_ENDED_OVER:
        return;
    }
}

bool bench_report_complain(const bench_result *r)
{
    const bench_tally *sum = &r->sum;
    if (!sum->n_ready && sum->n_lost_connections) {
        fprintf(stderr, "weft bench: cannot connect to %s: %s\n", r->plan->url, sum->whys[0].text);
        return false;
    }
    complain_of_ending(r);
    complain_of_lost(r);
    if (sum->n_lost_publishers)
        fprintf(stderr, "weft bench: the connection that publishes was lost: %s\n", sum->publisher_why);
    complain_of(sum->n_missing, "message never came", "messages never came");
    complain_of(sum->n_wrong, "message came that nobody had sent, or altered",
                "messages came that nobody had sent, or altered");
    complain_of(sum->n_doubled, "message came twice", "messages came twice");
    complain_of(sum->n_misordered, "message came in the wrong order", "messages came in the wrong order");
    complain_of(sum->n_foreign, "message of another run came too, and was passed over",
                "messages of another run came too, and were passed over");
    complain_of(sum->n_unsent, "message could not be sent: too many were under way",
                "messages could not be sent: too many were under way");
    if (counts_messages(r) && r->measured_ns && !sum->n_messages && !has_errors(sum) && !r->ending)
        fprintf(stderr, "weft bench: no %s in the time that was measured\n", unit_names[r->plan->mode]);
    return is_well(r);
}
