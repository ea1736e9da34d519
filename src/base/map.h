/**
 * A hash table from byte strings to pointers. The hash is SipHash-2-4 with a random key for each table, so that names
 * chosen by strangers cannot collide on purpose.
 *
 * The table does not copy keys: each value begins with a map_entry that holds its key (intrusive chaining). Grows at
 * load 1.
 */
#ifndef WEFT_BASE_MAP_H
#define WEFT_BASE_MAP_H

#include "base/str.h"

typedef struct map_entry {
    struct map_entry *next;
    uint64_t hash;
    str key; /* memory of the value's owner, unchanged while it is in the map */
} map_entry;

typedef struct {
    map_entry **buckets;
    size_t n_buckets; /* a power of two, or 0 */
    size_t n_entries;
    uint8_t secret[16];
} map;

/** Draws the key from the kernel. 0 or -errno. */
int map_init(map *m);

/** Frees the buckets, not the entries. */
void map_done(map *m);

map_entry *map_get(const map *m, str key);

/** Adds an entry whose key is set and not in the map. 0 or -ENOMEM. */
int map_put(map *m, map_entry *entry);

/** The entry must be in the map. */
void map_remove(map *m, map_entry *entry);

/** The first entry (after == NULL) or the next one, in no order; NULL at the end. The entry after which it goes on must
 * still be in. */
map_entry *map_next(const map *m, const map_entry *after);

/** SipHash-2-4 (Aumasson, Bernstein 2012). */
uint64_t siphash(const uint8_t secret[16], const void *bytes, size_t len);

#endif
