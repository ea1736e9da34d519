#include "bench/pace.h"

#include "bench/worker.h"
#include <errno.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum { NS_PER_S = 1000000000, MOST_A_TURN = 1024, MOST_AT_END = 100000 };

static uint64_t due_ns(const bench_pace *pace, uint64_t n)
{
    return pace->from_ns + (uint64_t)((double)(n + 1) * pace->period_ns);
}

static void set_clock(bench_pace *pace)
{
    uint64_t at_ns = due_ns(pace, pace->n_done);
    struct itimerspec at = {.it_value = {(time_t)(at_ns / NS_PER_S), (long)(at_ns % NS_PER_S)}};
    timerfd_settime(pace->clock.fd, TFD_TIMER_ABSTIME, &at, NULL);
}

/* Beats that are due before `until_ns`, so many at most. */
static void catch_up(bench_pace *pace, uint64_t until_ns, uint64_t most)
{
    uint64_t at_ns;
    while (most-- && pace->clock.watched && (at_ns = due_ns(pace, pace->n_done)) <= until_ns) {
        pace->n_done++;
        pace->beat(pace, at_ns);
    }
}

/* Whoever is late catches up, but reads and writes in between: or ever more would be due at the end of each turn. */
static void clock_ready(loop_source *source, uint32_t events)
{
    (void)events;
    bench_pace *pace = CONTAINER(source, bench_pace, clock);
    uint64_t n_past;
    if (read(source->fd, &n_past, sizeof n_past) < 0)
        return;
    catch_up(pace, bench_now_ns(), MOST_A_TURN);
    if (pace->clock.watched)
        set_clock(pace);
}

uint64_t bench_pace_end(bench_pace *pace, uint64_t until_ns)
{
    if (!pace->clock.watched)
        return 0;
    catch_up(pace, until_ns, MOST_AT_END);
    double n_due = until_ns > pace->from_ns ? (double)(until_ns - pace->from_ns) / pace->period_ns : 0;
    bench_pace_stop(pace);
    return n_due >= (double)pace->n_done + 1 ? (uint64_t)n_due - pace->n_done : 0;
}

int bench_pace_start(bench_pace *pace, loop *l, double per_second, void (*beat)(bench_pace *pace, uint64_t due_ns))
{
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (fd < 0)
        return -errno;
    *pace = (bench_pace){
        .clock = {.ready = clock_ready, .fd = fd},
        .loop = l,
        .beat = beat,
        .from_ns = bench_now_ns(),
        .period_ns = NS_PER_S / per_second,
    };
    int error = loop_watch(l, &pace->clock, EPOLLIN);
    if (error)
        close(fd);
    else
        set_clock(pace);
    return error;
}

void bench_pace_stop(bench_pace *pace)
{
    if (!pace->clock.watched)
        return;
    loop_unwatch(pace->loop, &pace->clock);
    close(pace->clock.fd);
}
