/**
 * What processes use, from /proc: CPU time and memory of the server's, and the memory of the kernel's sockets.
 */
#ifndef WEFT_BENCH_PROCESS_H
#define WEFT_BENCH_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/** Sums over processes. */
typedef struct {
    uint64_t cpu_ns;                /* of all their threads */
    uint64_t rss_bytes, pss_bytes;  /* pss: 0 where it may not be read */
    uint64_t slab_bytes, tcp_bytes; /* of the whole machine: kernel objects, and what sockets hold */
} bench_usage;

/** CPU time alone: cheap. False when one of them is gone. */
bool bench_usage_read_cpu(const pid_t *pids, uint32_t n_pids, bench_usage *ret_usage);

/** Memory alone: the kernel walks all pages for it. False when one of them is gone. */
bool bench_usage_read_memory(const pid_t *pids, uint32_t n_pids, bench_usage *ret_usage);

/** Ports that one address has for outgoing connections to one server. */
uint32_t bench_local_ports(void);

#endif
