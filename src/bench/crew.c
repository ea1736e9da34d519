#include "bench/crew.h"

#include "bench/scenario.h"
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    LOOK_MS = 2,         /* between two looks at processes that end */
    MOST_END_MS = 10000, /* for closing all connections */
    ENDS_A_MS = 20,      /* and for so many of them a millisecond more */
};

/* ---- a process ---- */

/* 0 or -errno: the machine may have no such CPU. */
static int tie_to_cpu(const bench_plan *plan, uint32_t number)
{
    cpu_set_t set;
    if (!plan->n_cpus)
        return 0;
    CPU_ZERO(&set);
    CPU_SET((size_t)plan->cpus[number % plan->n_cpus], &set);
    return sched_setaffinity(0, sizeof set, &set) ? -errno : 0;
}

/* Ctrl-C goes to the whole group: the parent alone ends the run. It ends with its parent, whatever becomes of that. */
static void live_with_parent(pid_t parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(EXIT_FAILURE);
    signal(SIGINT, SIG_IGN);
    signal(SIGTERM, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
}

static int work(bench_crew *crew, uint32_t number)
{
    const bench_plan *plan = crew->plan;
    static bench_worker worker; /* a loop is large */
    worker.plan = plan;
    worker.regime = bench_regime_of(plan);
    worker.board = crew->board;
    worker.tally = &crew->board->tallies[number];
    worker.number = number;
    worker.n_clients = plan->n_connections / crew->n + (number < plan->n_connections % crew->n);
    worker.tally->error = tie_to_cpu(plan, number);
    if (!worker.tally->error)
        worker.tally->error = bench_worker_run(&worker);
    return worker.tally->error ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* ---- the parent ---- */

/* Of 24 bits, as payload.h has it. */
static uint32_t fresh_source(void)
{
    uint32_t random;
    if (getrandom(&random, sizeof random, 0) != sizeof random)
        random = (uint32_t)bench_now_ns();
    return random & 0xffffff;
}

static int make_board(bench_crew *crew)
{
    crew->board_bytes = sizeof(bench_board) + crew->n * sizeof(bench_tally);
    void *memory = mmap(NULL, crew->board_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return -errno;
    crew->board = memory;
    crew->board->n_workers = crew->n;
    crew->board->measured_from_ns = crew->board->measured_to_ns = UINT64_MAX;
    crew->board->spread.source = fresh_source();
    crew->board->spread.wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return crew->board->spread.wake_fd < 0 ? -errno : 0;
}

int bench_crew_start(bench_crew *crew, const bench_plan *plan)
{
    *crew = (bench_crew){.plan = plan, .n = plan->n_processes};
    int error = make_board(crew);
    pid_t parent = getpid();
    for (uint32_t i = 0; i < crew->n; i++)
        crew->is_gone[i] = true;
    for (uint32_t i = 0; !error && i < crew->n; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            live_with_parent(parent);
            exit(work(crew, i)); /* not _exit(): a sanitizer looks for leaks */
        }
        if (pid < 0)
            error = -errno;
        crew->pids[i] = pid;
        crew->is_gone[i] = pid < 0;
    }
    return error;
}

void bench_crew_begin(bench_crew *crew, bench_phase phase)
{
    atomic_store_explicit(&crew->board->phase, (int)phase, memory_order_release); /* pairs with bench_worker_phase() */
}

bool bench_crew_settled(const bench_crew *crew, bench_phase phase)
{
    for (uint32_t i = 0; i < crew->n; i++) /* acquire: what the process wrote before it settled is seen */
        if (atomic_load_explicit(&crew->board->tallies[i].settled, memory_order_acquire) <= (int)phase)
            return false;
    return true;
}

/* Looks whether a process has ended; what it ended with is kept when nobody told it to. */
static void look_after(bench_crew *crew, uint32_t i)
{
    int status;
    if (crew->is_gone[i] || waitpid(crew->pids[i], &status, WNOHANG) <= 0)
        return;
    crew->is_gone[i] = true;
    bool failed = !WIFEXITED(status) || WEXITSTATUS(status);
    if (failed && !crew->failure && !crew->signal) {
        crew->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
        crew->failure = crew->board->tallies[i].error;
    }
}

bool bench_crew_is_well(bench_crew *crew)
{
    bool well = true;
    for (uint32_t i = 0; i < crew->n; i++) {
        look_after(crew, i);
        well &= !crew->is_gone[i];
    }
    return well;
}

uint64_t bench_crew_count(const bench_crew *crew, size_t offset)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < crew->n; i++) {
        const void *count = (const char *)&crew->board->tallies[i] + offset;
        sum += atomic_load_explicit((const _Atomic uint64_t *)count, memory_order_relaxed);
    }
    return sum;
}

static void add_why(bench_tally *sum, const char *text, uint64_t n)
{
    unsigned i = 0;
    while (i < BENCH_WHYS - 1 && sum->whys[i].n && strcmp(sum->whys[i].text, text) != 0)
        i++;
    if (!sum->whys[i].n)
        memcpy(sum->whys[i].text, text, sizeof sum->whys[i].text);
    sum->whys[i].n += n;
}

static void add_tally(bench_tally *sum, const bench_tally *tally)
{
    sum->n_ready += tally->n_ready;
    sum->n_lost_connections += tally->n_lost_connections;
    sum->n_messages += tally->n_messages;
    sum->n_sent += tally->n_sent;
    if (tally->n_lost_publishers)
        memcpy(sum->publisher_why, tally->publisher_why, sizeof sum->publisher_why);
    sum->n_lost_publishers += tally->n_lost_publishers;
    sum->n_missing += tally->n_missing;
    sum->n_wrong += tally->n_wrong;
    sum->n_doubled += tally->n_doubled;
    sum->n_misordered += tally->n_misordered;
    sum->n_foreign += tally->n_foreign;
    sum->n_unsent += tally->n_unsent;
    sum->n_read_bytes += tally->n_read_bytes;
    sum->n_written_bytes += tally->n_written_bytes;
    if (tally->handshake_ns > sum->handshake_ns)
        sum->handshake_ns = tally->handshake_ns;
    for (unsigned i = 0; i < BENCH_WHYS; i++)
        if (tally->whys[i].n)
            add_why(sum, tally->whys[i].text, tally->whys[i].n);
    bench_latency_merge(&sum->latency, &tally->latency);
    bench_latency_merge(&sum->reach, &tally->reach);
}

void bench_crew_sum(const bench_crew *crew, bench_tally *ret_sum)
{
    memset(ret_sum, 0, sizeof *ret_sum);
    for (uint32_t i = 0; i < crew->n; i++)
        add_tally(ret_sum, &crew->board->tallies[i]);
}

static bool all_gone(bench_crew *crew)
{
    bool gone = true;
    for (uint32_t i = 0; i < crew->n; i++) {
        look_after(crew, i);
        gone &= crew->is_gone[i];
    }
    return gone;
}

void bench_crew_end(bench_crew *crew)
{
    const struct timespec look = {.tv_nsec = LOOK_MS * 1000000};
    if (!crew->board)
        return;
    bench_crew_begin(crew, BENCH_PHASE_END);
    uint32_t most_ms = MOST_END_MS + crew->plan->n_connections / ENDS_A_MS / LOOK_MS * LOOK_MS;
    for (uint32_t ms = 0; !all_gone(crew); ms += LOOK_MS) {
        for (uint32_t i = 0; ms == most_ms && i < crew->n; i++)
            if (!crew->is_gone[i])
                kill(crew->pids[i], SIGKILL);
        nanosleep(&look, NULL);
    }
}

void bench_crew_done(bench_crew *crew)
{
    if (!crew->board)
        return;
    if (crew->board->spread.wake_fd >= 0)
        close(crew->board->spread.wake_fd);
    munmap(crew->board, crew->board_bytes);
    crew->board = NULL;
}
