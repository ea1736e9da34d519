#include "base/map.h"
#include "base/mem.h"
#include <assert.h>
#include <errno.h>
#include <sys/random.h>

enum { FEWEST_BUCKETS = 8 };

typedef struct {
    uint64_t v0, v1, v2, v3;
} sip;

static inline uint64_t rotate_left(uint64_t x, unsigned by)
{
    return x << by | x >> (64 - by);
}

/** Little-endian; the missing high bytes of fewer than eight are zero. */
static inline uint64_t load(const uint8_t *at, size_t n)
{
    uint64_t word = 0;
    for (size_t i = 0; i < n; i++)
        word |= (uint64_t)at[i] << 8 * i;
    return word;
}

static inline void sip_round(sip *s)
{
    s->v0 += s->v1;
    s->v2 += s->v3;
    s->v1 = rotate_left(s->v1, 13) ^ s->v0;
    s->v3 = rotate_left(s->v3, 16) ^ s->v2;
    s->v0 = rotate_left(s->v0, 32);
    s->v2 += s->v1;
    s->v0 += s->v3;
    s->v1 = rotate_left(s->v1, 17) ^ s->v2;
    s->v3 = rotate_left(s->v3, 21) ^ s->v0;
    s->v2 = rotate_left(s->v2, 32);
}

static inline void sip_word(sip *s, uint64_t word)
{
    s->v3 ^= word;
    sip_round(s);
    sip_round(s);
    s->v0 ^= word;
}

uint64_t siphash(const uint8_t secret[16], const void *bytes, size_t len)
{
    uint64_t k0 = load(secret, 8), k1 = load(secret + 8, 8);
    /* "somepseudorandomlygeneratedbytes" */
    sip s = {k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d, k0 ^ 0x6c7967656e657261, k1 ^ 0x7465646279746573};
    const uint8_t *at = bytes;
    size_t left = len;
    for (; left >= 8; at += 8, left -= 8)
        sip_word(&s, load(at, 8));
    sip_word(&s, (uint64_t)len << 56 | load(at, left));
    s.v2 ^= 0xff;
    for (int i = 0; i < 4; i++)
        sip_round(&s);
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

int map_init(map *m)
{
    uint8_t secret[sizeof m->secret];
    ssize_t n;
    do
        n = getrandom(secret, sizeof secret, 0);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    if ((size_t)n != sizeof secret)
        return -EIO;
    *m = (map){0};
    memcpy(m->secret, secret, sizeof secret);
    return 0;
}

void map_done(map *m)
{
    mem_free(m->buckets);
    m->buckets = NULL;
    m->n_buckets = m->n_entries = 0;
}

static map_entry **bucket_of(const map *m, uint64_t hash)
{
    return &m->buckets[hash & (m->n_buckets - 1)];
}

map_entry *map_get(const map *m, str key)
{
    if (m->n_entries == 0)
        return NULL;
    uint64_t hash = siphash(m->secret, key.at, key.len);
    for (map_entry *e = *bucket_of(m, hash); e; e = e->next)
        if (e->hash == hash && str_equal(e->key, key))
            return e;
    return NULL;
}

static void link_entry(map *m, map_entry *entry)
{
    map_entry **bucket = bucket_of(m, entry->hash);
    entry->next = *bucket;
    *bucket = entry;
}

static int grow(map *m)
{
    map grown = *m;
    grown.n_buckets = m->n_buckets ? 2 * m->n_buckets : FEWEST_BUCKETS;
    if (grown.n_buckets > SIZE_MAX / sizeof *grown.buckets)
        return -ENOMEM;
    grown.buckets = mem_zero(grown.n_buckets * sizeof *grown.buckets);
    if (!grown.buckets)
        return -ENOMEM;
    for (size_t i = 0; i < m->n_buckets; i++) {
        for (map_entry *e = m->buckets[i], *next; e; e = next) {
            next = e->next;
            link_entry(&grown, e);
        }
    }
    mem_free(m->buckets);
    *m = grown;
    return 0;
}

int map_put(map *m, map_entry *entry)
{
    if (m->n_entries == m->n_buckets) {
        int error = grow(m);
        if (error)
            return error;
    }
    entry->hash = siphash(m->secret, entry->key.at, entry->key.len);
    link_entry(m, entry);
    m->n_entries++;
    return 0;
}

void map_remove(map *m, map_entry *entry)
{
    assert(m->n_entries > 0);
    map_entry **at = bucket_of(m, entry->hash);
    while (*at != entry) {
        assert(*at);
        at = &(*at)->next;
    }
    *at = entry->next;
    entry->next = NULL;
    m->n_entries--;
}

map_entry *map_next(const map *m, const map_entry *after)
{
    if (after && after->next)
        return after->next;
    size_t i = after ? (after->hash & (m->n_buckets - 1)) + 1 : 0;
    for (; i < m->n_buckets; i++)
        if (m->buckets[i])
            return m->buckets[i];
    return NULL;
}
