/**
 * Bytes that end exactly at an unreadable page, so that reading one too many crashes the test.
 */
#ifndef WEFT_TESTS_GUARD_H
#define WEFT_TESTS_GUARD_H

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

typedef struct {
    char *map;
    size_t map_bytes;
    char *at; /* the copy; at + len is unreadable */
} guard;

static inline guard guard_copy(const void *bytes, size_t len)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t readable = (len / page + 1) * page;
    guard g = {.map_bytes = readable + page};
    g.map = mmap(NULL, g.map_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (g.map == MAP_FAILED || mprotect(g.map + readable, page, PROT_NONE))
        abort();
    g.at = g.map + readable - len;
    if (len)
        memcpy(g.at, bytes, len);
    return g;
}

static inline void guard_free(guard g)
{
    munmap(g.map, g.map_bytes);
}

#endif
