#include "bench/process.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { NS_PER_S = 1000000000, KIB = 1024 };

/* The first line of a file in which a number follows `key`; 0 when there is none. */
static bool read_number_after(const char *path, const char *key, unsigned long long *ret_number)
{
    char line[512];
    bool found = false;
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    while (!found && fgets(line, sizeof line, file)) {
        const char *at = strstr(line, key);
        found = at && sscanf(at + strlen(key), "%llu", ret_number) == 1;
    }
    fclose(file);
    return found;
}

/* Of all threads, those that have ended too; nanoseconds, where the file has ticks. */
static bool read_cpu(pid_t pid, uint64_t *ret_ns)
{
    clockid_t clock;
    struct timespec time;
    if (clock_getcpuclockid(pid, &clock) || clock_gettime(clock, &time))
        return false;
    *ret_ns = (uint64_t)time.tv_sec * NS_PER_S + (uint64_t)time.tv_nsec;
    return true;
}

bool bench_usage_read_cpu(const pid_t *pids, uint32_t n_pids, bench_usage *ret_usage)
{
    uint64_t sum = 0, ns;
    for (uint32_t i = 0; i < n_pids; i++) {
        if (!read_cpu(pids[i], &ns))
            return false;
        sum += ns;
    }
    ret_usage->cpu_ns = sum;
    return true;
}

/* Of another user's process statm alone may be read. */
static bool read_memory(pid_t pid, uint64_t *rss_bytes, uint64_t *pss_bytes)
{
    char path[64];
    unsigned long long rss = 0, pss = 0;
    snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)pid);
    if (read_number_after(path, "Rss:", &rss) && read_number_after(path, "Pss:", &pss)) {
        *rss_bytes += rss * KIB;
        *pss_bytes += pss * KIB;
        return true;
    }
    snprintf(path, sizeof path, "/proc/%d/statm", (int)pid);
    if (!read_number_after(path, " ", &rss))
        return false;
    *rss_bytes += rss * (uint64_t)sysconf(_SC_PAGESIZE);
    return true;
}

static void read_kernel(bench_usage *usage)
{
    unsigned long long slab = 0, pages = 0;
    if (read_number_after("/proc/meminfo", "Slab:", &slab))
        usage->slab_bytes = slab * KIB;
    FILE *file = fopen("/proc/net/sockstat", "re");
    char line[256];
    while (file && fgets(line, sizeof line, file)) {
        const char *at = strncmp(line, "TCP:", 4) == 0 ? strstr(line, " mem ") : NULL;
        if (at && sscanf(at + 5, "%llu", &pages) == 1)
            usage->tcp_bytes = pages * (uint64_t)sysconf(_SC_PAGESIZE);
    }
    if (file)
        fclose(file);
}

bool bench_usage_read_memory(const pid_t *pids, uint32_t n_pids, bench_usage *ret_usage)
{
    bench_usage usage = *ret_usage;
    usage.rss_bytes = usage.pss_bytes = 0;
    for (uint32_t i = 0; i < n_pids; i++)
        if (!read_memory(pids[i], &usage.rss_bytes, &usage.pss_bytes))
            return false;
    read_kernel(&usage);
    *ret_usage = usage;
    return true;
}

uint32_t bench_local_ports(void)
{
    unsigned first = 32768, last = 60999; /* the kernel's own default */
    FILE *file = fopen("/proc/sys/net/ipv4/ip_local_port_range", "re");
    if (file) {
        if (fscanf(file, "%u %u", &first, &last) != 2 || last < first)
            first = 32768, last = 60999;
        fclose(file);
    }
    return last - first + 1;
}
