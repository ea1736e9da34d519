#include "bench/bench.h"

#include "bench/crew.h"
#include "bench/report.h"
#include "bench/scenario.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum {
    NS_PER_MS = 1000000,
    TICK_MS = 2,          /* between two looks at the processes */
    REDRAW_MS = 100,      /* of the progress line */
    SPARE_FILES = 32,     /* that a process has open beside its connections */
    FREE_PORTS_PART = 10, /* one in so many ports may be somebody else's */
    FAST_PORTS_PART = 2,  /* from here on the kernel takes long to find a free one */
};

/* One run under way. */
typedef struct {
    const bench_plan *plan;
    bench_crew crew;
    bench_result *result;
    bench_phase phase;
    uint64_t phase_from_ns;
    uint64_t drawn_ns, drawn_messages; /* the last progress line */
    uint64_t sign, sign_ns;            /* of life: bytes and connections, and when they last grew */
} run;

const bench_regime *bench_regime_of(const bench_plan *plan)
{
    static const bench_regime *const regimes[] = {
        [BENCH_ECHO] = &bench_echo, [BENCH_BROADCAST] = &bench_broadcast, [BENCH_FANOUT] = &bench_fanout,
        [BENCH_IDLE] = &bench_idle, [BENCH_CONNECT] = &bench_connect,     [BENCH_REQUEST] = &bench_echo,
    };
    return regimes[plan->mode];
}

/* ---- before it begins ---- */

static bool complain(const char *problem)
{
    fprintf(stderr, "weft bench: %s\n", problem);
    return false;
}

static bool enough_files(const bench_plan *plan)
{
    struct rlimit limit;
    char text[256];
    uint64_t wanted = (plan->n_connections + plan->n_processes - 1) / plan->n_processes + SPARE_FILES;
    if (getrlimit(RLIMIT_NOFILE, &limit))
        return true;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (wanted <= limit.rlim_max)
        return true;
    uint64_t each = limit.rlim_max > SPARE_FILES ? limit.rlim_max - SPARE_FILES : 1;
    snprintf(
        text, sizeof text,
        "%u connections need %llu descriptors a process, and the limit (ulimit -Hn) is %llu; --processes %llu would do",
        plan->n_connections, (unsigned long long)wanted, (unsigned long long)limit.rlim_max,
        (unsigned long long)((plan->n_connections + each - 1) / each));
    return complain(text);
}

static bool enough_ports(const bench_plan *plan)
{
    char text[256];
    uint32_t ports = bench_local_ports(), sources = plan->n_sources ? plan->n_sources : 1;
    uint32_t usable = ports - ports / FREE_PORTS_PART, n_servers = bench_plan_servers(plan);
    if (plan->n_connections <= (uint64_t)usable * sources * n_servers)
        return true;
    snprintf(text, sizeof text,
             "%u connections need more ports than the %u of %s (net.ipv4.ip_local_port_range); --source with %u "
             "addresses would do",
             plan->n_connections, ports, plan->n_sources > 1 ? "each source address" : "one source address",
             plan->n_connections / n_servers / (ports / FAST_PORTS_PART) + 1);
    return complain(text);
}

/* What is in flight lies in our buffers, in the kernel's and in the server's; half of the memory for ours alone is plenty. */
static bool enough_memory(const bench_plan *plan)
{
    char text[256];
    bool each = plan->mode == BENCH_ECHO;
    double bytes = (double)plan->message_bytes * plan->depth * (each ? plan->n_connections : 1);
    double has = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE);
    if (bytes <= has / 2)
        return true;
    snprintf(text, sizeof text,
             "%.1f GB in flight (--size, --depth, --connections) are too much for the %.1f GB of this machine",
             bytes / 1e9, has / 1e9);
    return complain(text);
}

static bool may_begin(const bench_plan *plan, bench_usage *before)
{
    if (!enough_files(plan) || !enough_ports(plan) || !enough_memory(plan))
        return false;
    for (uint32_t i = 0; i < plan->n_pids; i++) {
        char text[64];
        snprintf(text, sizeof text, "--pid %d: there is no such process", (int)plan->pids[i]);
        if (!bench_usage_read_cpu(&plan->pids[i], 1, before))
            return complain(text);
    }
    return bench_usage_read_memory(plan->pids, plan->n_pids, before) &&
           bench_usage_read_cpu(plan->pids, plan->n_pids, before);
}

/* ---- progress ---- */

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
    (void)number;
    interrupted = 1;
}

static uint64_t count_of(const run *r, size_t offset)
{
    return bench_crew_count(&r->crew, offset);
}

static void draw_connecting(const run *r, char *text, size_t room)
{
    char ready[32], all[32], lost[32];
    uint64_t n_lost = count_of(r, offsetof(bench_tally, n_lost_connections));
    snprintf(text, room, "connecting  %s of %s%s%s%s",
             bench_text_of(count_of(r, offsetof(bench_tally, n_ready)), ready),
             bench_text_of(r->plan->n_connections, all), n_lost ? "  " : "", n_lost ? bench_text_of(n_lost, lost) : "",
             n_lost ? " lost" : "");
}

static void draw_running(run *r, uint64_t now_ns, char *text, size_t room)
{
    static const char *const doing[] = {"connecting", "warming up", "measuring", "ending", "ending"};
    char rate[32];
    uint64_t n = count_of(r, offsetof(bench_tally, n_messages));
    uint64_t all_ms = r->phase == BENCH_PHASE_WARM_UP ? r->plan->warm_up_ms : r->plan->measure_ms;
    int len = snprintf(text, room, "%-10s  %.1f", doing[r->phase], (double)(now_ns - r->phase_from_ns) / 1e9);
    if (r->phase < BENCH_PHASE_DRAIN)
        len += snprintf(text + len, room - (size_t)len, " of %.1f s", (double)all_ms / 1e3);
    if (r->phase == BENCH_PHASE_MEASURE && r->plan->mode != BENCH_IDLE)
        snprintf(
            text + len, room - (size_t)len, "   %s a second",
            bench_text_of((uint64_t)((double)(n - r->drawn_messages) * 1e9 / (double)(now_ns - r->drawn_ns)), rate));
    r->drawn_messages = n;
}

static void draw(run *r, uint64_t now_ns)
{
    char text[128];
    if (!r->plan->progress || now_ns < r->drawn_ns + (uint64_t)REDRAW_MS * NS_PER_MS)
        return;
    if (r->phase == BENCH_PHASE_CONNECT)
        draw_connecting(r, text, sizeof text);
    else
        draw_running(r, now_ns, text, sizeof text);
    r->drawn_ns = now_ns;
    fprintf(stderr, "\r%-*s", 70, text); /* over what stood there */
}

static void clear_progress(const run *r)
{
    if (r->plan->progress)
        fprintf(stderr, "\r%-*s\r", 70, "");
}

/* ---- phases ---- */

static void begin(run *r, bench_phase phase)
{
    r->phase = phase;
    r->phase_from_ns = r->sign_ns = bench_now_ns();
    bench_crew_begin(&r->crew, phase);
}

static bool end_as(run *r, bench_ending ending)
{
    r->result->ending = ending;
    r->result->phase = r->phase;
    return false;
}

/* By the clock, and while nothing need come, silence is no sign of anything. */
static bool awaits_something(const run *r)
{
    bool works = r->phase == BENCH_PHASE_WARM_UP || r->phase == BENCH_PHASE_MEASURE;
    return !works || (r->plan->rate <= 0 && r->plan->mode != BENCH_IDLE);
}

static bool is_stalled(run *r, uint64_t now_ns)
{
    uint64_t sign = count_of(r, offsetof(bench_tally, n_seen_bytes)) + count_of(r, offsetof(bench_tally, n_ready)) +
                    count_of(r, offsetof(bench_tally, n_lost_connections));
    if (sign != r->sign || !awaits_something(r)) {
        r->sign = sign;
        r->sign_ns = now_ns;
    }
    return now_ns > r->sign_ns + r->plan->patience_ms * NS_PER_MS;
}

/* Connections that come and go are lost for good only before they have begun to. */
static bool everybody_is_lost(const run *r)
{
    return (r->plan->mode != BENCH_CONNECT || r->phase == BENCH_PHASE_CONNECT) &&
           count_of(r, offsetof(bench_tally, n_lost_connections)) >= r->plan->n_connections;
}

/* One look; false when the run ends here, as the result says. */
static bool goes_on(run *r)
{
    static const struct timespec tick = {.tv_nsec = TICK_MS * NS_PER_MS};
    nanosleep(&tick, NULL);
    uint64_t now_ns = bench_now_ns();
    if (interrupted)
        return end_as(r, BENCH_ENDED_INTERRUPTED);
    if (!bench_crew_is_well(&r->crew))
        return end_as(r, BENCH_ENDED_BROKEN);
    if (atomic_load_explicit(&r->crew.board->is_over, memory_order_relaxed) || everybody_is_lost(r))
        return end_as(r, BENCH_ENDED_OVER);
    if (is_stalled(r, now_ns))
        return end_as(r, BENCH_ENDED_STALLED);
    draw(r, now_ns);
    return true;
}

static bool go_for(run *r, uint64_t ms)
{
    while (bench_now_ns() < r->phase_from_ns + ms * NS_PER_MS)
        if (!goes_on(r))
            return false;
    return true;
}

static bool read_cpu(run *r, bench_usage *server)
{
    return bench_usage_read_cpu(r->plan->pids, r->plan->n_pids, server) || end_as(r, BENCH_ENDED_SERVER);
}

static bool get_connected(run *r)
{
    begin(r, BENCH_PHASE_CONNECT);
    while (!bench_crew_settled(&r->crew, BENCH_PHASE_CONNECT))
        if (!goes_on(r))
            return false;
    r->result->connect_ns = bench_now_ns() - r->phase_from_ns;
    r->result->n_connected = count_of(r, offsetof(bench_tally, n_ready));
    if (everybody_is_lost(r))
        return end_as(r, BENCH_ENDED_OVER);
    return read_cpu(r, &r->result->connected);
}

/* What went out meanwhile is measured, however the time ends. */
static bool measure(run *r)
{
    bench_result *result = r->result;
    if (!read_cpu(r, &result->from))
        return false;
    bench_usage_read_cpu(r->crew.pids, r->crew.n, &result->own_from);
    begin(r, BENCH_PHASE_MEASURE);
    atomic_store_explicit(&r->crew.board->measured_from_ns, r->phase_from_ns, memory_order_relaxed);
    bool whole = go_for(r, r->plan->measure_ms);
    uint64_t to_ns = bench_now_ns();
    atomic_store_explicit(&r->crew.board->measured_to_ns, to_ns, memory_order_relaxed);
    result->measured_ns = to_ns - r->phase_from_ns;
    bench_usage_read_cpu(r->crew.pids, r->crew.n, &result->own_to);
    return read_cpu(r, &result->to) && whole;
}

/* What is in flight may come back, also when the run was ended early. */
static void drain(run *r)
{
    bench_ending ending = r->result->ending;
    if (ending == BENCH_ENDED_BROKEN || ending == BENCH_ENDED_STALLED)
        return;
    interrupted = 0; /* a second Ctrl-C ends this too */
    atomic_store_explicit(&r->crew.board->is_over, false, memory_order_relaxed);
    begin(r, BENCH_PHASE_DRAIN);
    while (!bench_crew_settled(&r->crew, BENCH_PHASE_DRAIN) && goes_on(r))
        ;
    if (ending || r->result->ending == BENCH_ENDED_OVER || r->result->ending == BENCH_ENDED_STALLED)
        r->result->ending = ending; /* what never came is told as missing */
}

static void lead(run *r)
{
    if (!get_connected(r))
        return;
    begin(r, BENCH_PHASE_WARM_UP);
    uint64_t n_heartbeats = count_of(r, offsetof(bench_tally, n_heartbeats));
    if (go_for(r, r->plan->warm_up_ms)) {
        r->result->warm_up_ns = bench_now_ns() - r->phase_from_ns;
        r->result->n_warm_up_heartbeats = count_of(r, offsetof(bench_tally, n_heartbeats)) - n_heartbeats;
        measure(r);
    }
    drain(r);
    if (!bench_usage_read_memory(r->plan->pids, r->plan->n_pids, &r->result->after) && !r->result->ending)
        end_as(r, BENCH_ENDED_SERVER);
}

/* ---- the run ---- */

static void hear_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

static int run_crew(run *r)
{
    hear_signals();
    int error = bench_crew_start(&r->crew, r->plan);
    if (!error)
        lead(r);
    if (r->crew.board) {
        bench_crew_end(&r->crew);
        bench_crew_sum(&r->crew, &r->result->sum);
        r->result->failure = r->crew.failure;
        r->result->signal = r->crew.signal;
    }
    bench_crew_done(&r->crew);
    clear_progress(r);
    return error;
}

int bench_run(const bench_plan *plan)
{
    static bench_result result; /* histograms are large */
    static run r;
    result.plan = r.plan = plan;
    r.result = &result;
    if (!may_begin(plan, &result.before))
        return EXIT_FAILURE;
    int error = run_crew(&r);
    if (error) {
        complain(weft_strerror(error));
        return EXIT_FAILURE;
    }
    bench_report_print(&result);
    bool written = fflush(stdout) == 0 && !ferror(stdout);
    if (!written)
        fprintf(stderr, "weft bench: cannot write: %s\n", strerror(errno));
    return bench_report_complain(&result) && written ? EXIT_SUCCESS : EXIT_FAILURE;
}
