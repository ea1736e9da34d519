#include "bench.h"

#include "bench/bench.h"
#include "bench/client.h"
#include "options.h"
#include "values.h"
#include <arpa/inet.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    MOST_CONNECTIONS = 10000000,
    MOST_MESSAGE = 64 << 20,
    MOST_DEPTH = 4096,
    MOST_SECONDS = 86400,
    CONNECT_AT_ONCE = 64, /* handshakes under way, of a process */
    PATIENCE_MS = 5000,
};

/* What the command line says. */
typedef struct {
    bench_plan plan;
    const char *mode;
    const char *urls[BENCH_MAX_SERVERS], *publish[BENCH_MAX_SERVERS];
    uint32_t n_urls, n_publish;
    int cpus[CPU_SETSIZE];
    bool quiet, progress, has_via, has_depth;
} settings;

/* ------------------------------------------------------------------------------------------------------------- options */

static const char *take_number(const char *value, uint64_t most, uint64_t *ret_number)
{
    uint64_t number;
    if (!read_count(value, &number) || !number || number > most)
        return "";
    *ret_number = number;
    return NULL;
}

static const char *take_connections(const char *value, void *at)
{
    uint64_t n;
    if (take_number(value, MOST_CONNECTIONS, &n))
        return "is not a number from 1 to 10000000";
    ((settings *)at)->plan.n_connections = (uint32_t)n;
    return NULL;
}

static const char *take_bytes(const char *value, void *at)
{
    uint64_t n;
    if (!read_bytes(value, &n) || n < BENCH_MIN_BYTES || n > MOST_MESSAGE)
        return "is not a size from 16 bytes to 64M";
    ((settings *)at)->plan.message_bytes = n;
    return NULL;
}

static const char *take_depth(const char *value, void *at)
{
    uint64_t n;
    if (take_number(value, MOST_DEPTH, &n))
        return "is not a number from 1 to 4096";
    ((settings *)at)->plan.depth = (uint32_t)n;
    ((settings *)at)->has_depth = true;
    return NULL;
}

static const char *take_seconds(const char *value, void *at)
{
    uint64_t ms;
    if (!read_duration_ms(value, &ms) || !ms || ms > UINT64_C(1000) * MOST_SECONDS)
        return "is not a time up to 1d: 10, 500ms, 2m";
    ((settings *)at)->plan.measure_ms = ms;
    return NULL;
}

static const char *take_warm_up(const char *value, void *at)
{
    uint64_t ms;
    if (!read_duration_ms(value, &ms) || ms > UINT64_C(1000) * MOST_SECONDS)
        return "is not a time up to 1d: 0, 500ms, 5s";
    ((settings *)at)->plan.warm_up_ms = ms;
    return NULL;
}

static const char *take_timeout(const char *value, void *at)
{
    uint64_t ms;
    if (!read_duration_ms(value, &ms) || !ms || ms > UINT64_C(1000) * MOST_SECONDS)
        return "is not a time up to 1d: 5s, 500ms";
    ((settings *)at)->plan.patience_ms = ms;
    return NULL;
}

static const char *take_rate(const char *value, void *at)
{
    char *end;
    double rate = strtod(value, &end);
    if (end == value || *end || !(rate > 0 && rate <= 1e9))
        return "is not a number above 0";
    ((settings *)at)->plan.rate = rate;
    return NULL;
}

static const char *take_via(const char *value, void *at)
{
    static const char *const names[] = {[BENCH_VIA_WEBSOCKET] = "ws",
                                        [BENCH_VIA_SSE] = "sse",
                                        [BENCH_VIA_STREAM] = "stream",
                                        [BENCH_VIA_POLL] = "poll"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(value, names[i]) == 0) {
            ((settings *)at)->plan.via = (bench_via)i;
            ((settings *)at)->has_via = true;
            return NULL;
        }
    return "is not ws, sse, stream or poll";
}

static const char *take_publish(const char *value, void *at)
{
    settings *s = at;
    if (s->n_publish == BENCH_MAX_SERVERS)
        return "is one too many: there are 64 at most";
    s->publish[s->n_publish++] = value;
    return NULL;
}

static const char *take_key(const char *value, void *at)
{
    ((settings *)at)->plan.key = value;
    return is_key(value) ? NULL : "is not 1 to 1024 characters of ASCII without spaces";
}

static const char *take_socketio(const char *value, void *at)
{
    (void)value;
    ((settings *)at)->plan.socketio = true;
    return NULL;
}

static const char *take_event(const char *value, void *at)
{
    ((settings *)at)->plan.event = value;
    return is_plain_text(value, 255) && !strpbrk(value, "\"\\") ? NULL : "is not 1 to 255 bytes of text without quotes";
}

static const char *take_deflate(const char *value, void *at)
{
    (void)value;
    ((settings *)at)->plan.deflate = true;
    return bench_can_deflate() ? NULL : "is not in this build";
}

static const char *take_processes(const char *value, void *at)
{
    uint64_t n;
    if (take_number(value, BENCH_MAX_PROCESSES, &n))
        return "is not a number from 1 to 256";
    ((settings *)at)->plan.n_processes = (uint32_t)n;
    return NULL;
}

static const char *take_pid(const char *value, void *at)
{
    bench_plan *plan = &((settings *)at)->plan;
    uint64_t pid;
    if (take_number(value, INT32_MAX, &pid))
        return "is not the id of a process";
    if (plan->n_pids == BENCH_MAX_PIDS)
        return "is one process too many";
    plan->pids[plan->n_pids++] = (pid_t)pid;
    return NULL;
}

/* `0,2-3`: calls take(first, last) for each part. */
static bool take_cpus(settings *s, const char *text)
{
    while (*text) {
        char *end;
        unsigned long first = strtoul(text, &end, 10), last = first;
        bool is_range = end != text && *end == '-';
        if (is_range) {
            text = end + 1;
            last = strtoul(text, &end, 10);
        }
        if (end == text || first > last || last >= CPU_SETSIZE || (*end && *end != ','))
            return false;
        for (; first <= last && s->plan.n_cpus < CPU_SETSIZE; first++)
            s->cpus[s->plan.n_cpus++] = (int)first;
        text = *end ? end + 1 : end;
    }
    return s->plan.n_cpus;
}

static const char *take_cpu(const char *value, void *at)
{
    return take_cpus(at, value) ? NULL : "is not a list of CPUs: 1, 0-3, 0,2";
}

/* One address of IPv4 or IPv6. */
static bool add_source(bench_plan *plan, const char *text)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    bool is_v4 = inet_pton(AF_INET, text, &v4.sin_addr) == 1;
    if (!is_v4 && inet_pton(AF_INET6, text, &v6.sin6_addr) != 1)
        return false;
    socklen_t len = is_v4 ? sizeof v4 : sizeof v6;
    if (plan->n_sources == sizeof plan->sources / sizeof *plan->sources || (plan->n_sources && len != plan->source_len))
        return false;
    memcpy(&plan->sources[plan->n_sources++], is_v4 ? (const void *)&v4 : (const void *)&v6, len);
    plan->source_len = len;
    return true;
}

/* `127.0.0.2-127.0.0.9` */
static bool add_sources(bench_plan *plan, const char *first, const char *last)
{
    struct in_addr from, to;
    char text[INET_ADDRSTRLEN];
    if (inet_pton(AF_INET, first, &from) != 1 || inet_pton(AF_INET, last, &to) != 1)
        return false;
    for (uint32_t at = ntohl(from.s_addr); at <= ntohl(to.s_addr); at++) {
        struct in_addr one = {htonl(at)};
        if (!add_source(plan, inet_ntop(AF_INET, &one, text, sizeof text)))
            return false;
    }
    return true;
}

static const char *take_source(const char *value, void *at)
{
    bench_plan *plan = &((settings *)at)->plan;
    char text[64 * INET6_ADDRSTRLEN], *rest = text, *part;
    bool good = strlen(value) < sizeof text;
    snprintf(text, sizeof text, "%s", value);
    while (good && (part = strsep(&rest, ","))) {
        char *dash = strchr(part, '-');
        if (dash)
            *dash++ = '\0';
        good = dash ? add_sources(plan, part, dash) : add_source(plan, part);
    }
    return good && plan->n_sources ? NULL
                                   : "is not 1 to 64 addresses of one kind: 127.0.0.2,127.0.0.3 or 127.0.0.2-127.0.0.9";
}

static const char *take_json(const char *value, void *at)
{
    (void)value;
    ((settings *)at)->plan.json = true;
    return NULL;
}

static const char *take_quiet(const char *value, void *at)
{
    (void)value;
    ((settings *)at)->quiet = true;
    return NULL;
}

static const char *take_progress(const char *value, void *at)
{
    (void)value;
    ((settings *)at)->progress = true;
    return NULL;
}

static const option options[] = {
    {.name = "connections",
     .letter = 'c',
     .value = "N",
     .help = "connections",
     .take = take_connections,
     .otherwise = "100"},
    {.name = "size",
     .letter = 's',
     .value = "BYTES",
     .help = "of a message, 16 at least",
     .take = take_bytes,
     .otherwise = "100"},
    {.name = "depth",
     .letter = 'd',
     .value = "N",
     .help = "messages in flight: on each connection; of broadcast and fanout in all",
     .take = take_depth,
     .otherwise = "1"},
    {.name = "time",
     .letter = 't',
     .value = "TIME",
     .help = "how long to measure: 10, 500ms, 2m",
     .take = take_seconds,
     .otherwise = "10s"},
    {.name = "warm-up",
     .value = "TIME",
     .help = "load before that, which is not measured",
     .take = take_warm_up,
     .otherwise = "1s"},
    {.name = "rate",
     .letter = 'r',
     .value = "N",
     .help = "messages a second of all connections, by the clock: latency counts from when each was due",
     .take = take_rate,
     .otherwise = "the next one when one came back"},
    {.name = "via",
     .value = "HOW",
     .help = "how http:// is listened to: sse, stream (a JSON object a line), poll or ws",
     .take = take_via,
     .otherwise = "sse"},
    {.name = "publish",
     .value = "URL",
     .help = "where messages to all are POSTed, or said (ws://); idle: one a second, or --rate",
     .take = take_publish,
     .otherwise = "fanout: URL itself; idle: nothing is published",
     .repeatable = true},
    {.name = "key",
     .value = "KEY",
     .help = "sent with each POST as Authorization: Bearer",
     .take = take_key,
     .otherwise = "none"},
    {.name = "socketio", .help = "speak Socket.IO over the WebSocket", .take = take_socketio},
    {.name = "event",
     .value = "NAME",
     .help = "of Socket.IO: under which messages go out and come back",
     .take = take_event,
     .otherwise = "message"},
    {.name = "deflate", .help = "ask for permessage-deflate, and compress", .take = take_deflate},
    {.name = "pid",
     .value = "PID",
     .help = "a process of the server: its CPU time and memory are reported",
     .take = take_pid,
     .repeatable = true},
    {.name = "processes",
     .letter = 'p',
     .value = "N",
     .help = "processes of the generator, which share the connections",
     .take = take_processes,
     .otherwise = "1"},
    {.name = "cpu",
     .value = "LIST",
     .help = "CPUs that these are tied to in turn: 1, 0-3",
     .take = take_cpu,
     .otherwise = "any"},
    {.name = "source",
     .value = "ADDRESSES",
     .help = "local addresses that connections leave from in turn: 127.0.0.2-127.0.0.9",
     .take = take_source,
     .otherwise = "the kernel's choice"},
    {.name = "timeout",
     .value = "TIME",
     .help = "give up when nothing comes for so long",
     .take = take_timeout,
     .otherwise = "5s"},
    {.name = "json", .help = "report as one object of JSON", .take = take_json},
    {.name = "quiet", .letter = 'q', .help = "no progress on standard error", .take = take_quiet},
    {.name = "progress", .help = "progress on standard error though it is no terminal", .take = take_progress},
};

enum { N_OPTIONS = sizeof options / sizeof *options };

static const char about[] = "usage: weft bench MODE URL [OPTIONS]\n       weft bench idle URL ... [OPTIONS]\n\n"
                            "Puts load on a realtime server, checks everything that comes back, and reports\n"
                            "messages a second, latency, and the server's CPU time and memory (--pid).\n"
                            "It fails when a message is lost, altered, doubled or out of order.\n\n"
                            "  echo       every message comes back         ws:// tcp:// http:// (a POST each)\n"
                            "  broadcast  one connection sends to all      ws:// tcp://\n"
                            "  fanout     what is POSTed goes to all       http:// ws://\n"
                            "  idle       connections that only stay       any of them\n"
                            "  connect    handshakes a second, -c at once  any of them\n"
                            "  request    HTTP requests, each answered     http://\n\n"
                            "With TLS: wss://, tls:// and https://; certificates are not checked.\n\n"
                            "  weft bench echo ws://127.0.0.1:3000/ -c 100 -s 20 -d 16 -t 10\n"
                            "  weft bench echo ws://127.0.0.1:3000/socket.io/ --socketio --event message\n"
                            "  weft bench broadcast ws://127.0.0.1:3000/ -c 1000 -d 16 --pid 4711\n"
                            "  weft bench fanout http://127.0.0.1:3000/topics/t -c 1000 --via sse\n"
                            "  weft bench idle ws://127.0.0.1/ -c 100000 -p 8 --source 127.0.0.2-127.0.0.9\n"
                            "  weft bench request http://127.0.0.1:3000/ -c 50 --rate 1000\n\n";

/* ----------------------------------------------------------------------------------------------------------- arguments */

static int complain(const char *what, const char *problem)
{
    fprintf(stderr, "weft bench: %s %s\n", what, problem);
    return EXIT_USAGE;
}

static int take_option(settings *s, const option *o, const char *value)
{
    const char *problem = o->take(value, s);
    if (!problem)
        return 0;
    if (value)
        fprintf(stderr, "weft bench: --%s \"%s\" %s\n", o->name, value, problem);
    else
        fprintf(stderr, "weft bench: --%s %s\n", o->name, problem);
    return EXIT_USAGE;
}

static int read_arguments(settings *s, char **argv)
{
    options_reader reader = {"weft bench", options, N_OPTIONS, argv, true, false};
    const option *o;
    const char *value;
    int more, n = 0, error = 0;
    while (!error && (more = options_next(&reader, &o, &value)) > 0) {
        if (o)
            error = take_option(s, o, value);
        else if (n++ == 0)
            s->mode = value;
        else if (s->n_urls < BENCH_MAX_SERVERS)
            s->urls[s->n_urls++] = value;
        else
            error = complain("takes 64 URLs at most, and one too many is", value);
    }
    return error ? error : more ? EXIT_USAGE : 0;
}

static int read_mode(settings *s)
{
    static const char *const names[] = {
        [BENCH_ECHO] = "echo", [BENCH_BROADCAST] = "broadcast", [BENCH_FANOUT] = "fanout",
        [BENCH_IDLE] = "idle", [BENCH_CONNECT] = "connect",     [BENCH_REQUEST] = "request"};
    enum { N_MODES = sizeof names / sizeof *names };
    if (!s->mode)
        return complain("needs a mode and a URL:", "weft bench echo ws://127.0.0.1:3000/; see weft bench --help");
    for (size_t i = 0; i < N_MODES; i++)
        if (strcmp(s->mode, names[i]) == 0) {
            s->plan.mode = (bench_mode)i;
            return 0;
        }
    say_unknown("weft bench", "mode", s->mode, names, N_MODES);
    return EXIT_USAGE;
}

static int read_url(const char *url, bench_target *ret_target)
{
    const char *problem = NULL;
    return bench_target_read(url, ret_target, &problem) ? complain(url, problem) : 0;
}

static int read_publish(const char *url, bench_target *ret_target)
{
    const char *problem = NULL;
    if (!bench_target_read(url, ret_target, &problem))
        return 0;
    fprintf(stderr, "weft bench: --publish \"%s\" %s\n", url, problem);
    return EXIT_USAGE;
}

/* The first of each, and then the others. */
static int read_urls(settings *s)
{
    static bench_server more[BENCH_MAX_SERVERS - 1];
    if (!s->n_urls)
        return complain("needs a URL:", "ws://127.0.0.1:3000/");
    if (s->n_urls > 1 && s->plan.mode != BENCH_IDLE)
        return complain("takes a mode and a URL, and nothing behind them but options, not", s->urls[1]);
    s->plan.url = s->urls[0];
    s->plan.more = more;
    s->plan.n_more = s->n_urls - 1;
    int error = read_url(s->urls[0], &s->plan.target);
    for (uint32_t i = 1; !error && i < s->n_urls; i++)
        error = read_url(s->urls[i], &more[i - 1].target);
    if (!error && s->n_publish)
        error = read_publish(s->publish[0], &s->plan.publish);
    for (uint32_t i = 1; !error && i < s->n_publish; i++)
        error = read_publish(s->publish[i], &more[i - 1].publish);
    return error;
}

static bool are_alike(const bench_target *one, const bench_target *other)
{
    return one->wire == other->wire && one->websocket == other->websocket && one->tls == other->tls;
}

/* Several servers are spoken to in one way. */
static bool speak_alike(const bench_plan *plan, bool publish)
{
    for (uint32_t i = 0; i < plan->n_more; i++)
        if (!are_alike(&plan->target, &plan->more[i].target) ||
            (publish && !are_alike(&plan->publish, &plan->more[i].publish)))
            return false;
    return true;
}

/* What does not go together, in half a sentence; NULL when it does. */
static const char *mismatch(const settings *s)
{
    const bench_plan *plan = &s->plan;
    bool http = plan->target.wire == BENCH_HTTP && !plan->target.websocket,
         listens = plan->mode == BENCH_FANOUT || plan->mode == BENCH_IDLE || plan->mode == BENCH_CONNECT;
    if (plan->mode == BENCH_REQUEST && !http)
        return "request needs an http:// or https:// URL";
    if (plan->mode == BENCH_BROADCAST && http)
        return "broadcast needs a ws:// or tcp:// URL; what is POSTed to all is measured by fanout";
    if (plan->mode == BENCH_FANOUT && plan->target.wire == BENCH_TCP)
        return "fanout needs an http:// or ws:// URL";
    if (plan->socketio && !plan->target.websocket)
        return "--socketio needs a ws:// or wss:// URL";
    if (plan->deflate && !plan->target.websocket)
        return "--deflate needs a ws:// or wss:// URL";
    if (s->has_via && (!http || !listens))
        return "--via goes with fanout, idle and connect and an http:// URL";
    if (s->n_publish && plan->mode != BENCH_FANOUT && plan->mode != BENCH_IDLE)
        return "--publish goes with fanout and idle";
    if (s->n_publish && s->n_publish != s->n_urls)
        return "--publish is given once for each URL";
    if (!speak_alike(plan, s->n_publish))
        return "several URLs begin alike, and so do those of --publish";
    if (s->n_publish && plan->mode == BENCH_FANOUT && (plan->publish.wire == BENCH_TCP || plan->publish.websocket))
        return "--publish of fanout needs an http:// or https:// URL";
    if (plan->rate > 0 && (plan->mode == BENCH_CONNECT || (plan->mode == BENCH_IDLE && !s->n_publish)))
        return "--rate needs messages: it goes with no connect, and with idle only when it has --publish";
    if (s->has_depth && (plan->mode == BENCH_CONNECT || plan->mode == BENCH_IDLE))
        return "--depth goes with no idle and no connect";
    if (s->has_depth && plan->rate > 0)
        return "--depth and --rate exclude each other: by the clock as many are in flight as it takes";
    return NULL;
}

static int check(const settings *s)
{
    const char *problem = mismatch(s);
    if (!problem)
        return 0;
    fprintf(stderr, "weft bench: %s\n", problem);
    return EXIT_USAGE;
}

/* What follows from the rest. */
static void complete(settings *s)
{
    bench_plan *plan = &s->plan;
    if (plan->target.wire == BENCH_HTTP && !plan->target.websocket && !s->has_via)
        plan->via = BENCH_VIA_SSE;
    if (plan->mode == BENCH_FANOUT && !s->n_publish)
        plan->publish = plan->target;
    plan->publishes = plan->mode == BENCH_IDLE && s->n_publish;
    if (plan->n_processes > plan->n_connections)
        plan->n_processes = plan->n_connections;
    if (plan->mode == BENCH_CONNECT)
        plan->connect_at_once = plan->n_connections;
    plan->cpus = s->cpus;
    plan->progress = s->progress || (!s->quiet && isatty(STDERR_FILENO));
}

int run_bench(char **argv)
{
    static settings s = {
        .plan =
            {
                .n_connections = 100,
                .n_processes = 1,
                .message_bytes = 100,
                .depth = 1,
                .event = "message",
                .connect_at_once = CONNECT_AT_ONCE,
                .warm_up_ms = 1000,
                .measure_ms = 10000,
                .patience_ms = PATIENCE_MS,
            },
    };
    if (options_ask_help(argv))
        return options_help(about, options, N_OPTIONS);
    int error = read_arguments(&s, argv);
    if (!error)
        error = read_mode(&s);
    if (!error)
        error = read_urls(&s);
    if (!error)
        error = check(&s);
    if (error)
        return error;
    complete(&s);
    return bench_run(&s.plan);
}
