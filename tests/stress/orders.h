/**
 * What should be: a sequential model of topics, and of a Socket.IO namespace, against which everything is held that clients see.
 *
 * A message's text is STREAM.K, maybe with dashes behind it: the K-th that a publisher says on one topic, a stream. Each topic is one sequence. Nobody knows it
 * beforehand: the first client that sees a number says what stands there, and all others have to agree. So
 *  - a number is the same message for everybody;
 *  - each stream's messages stand in its order, none of them twice;
 *  - whoever reads gets the numbers one after the other, unless it is told of a gap;
 *  - where everything is kept nobody is told of one, and in the end every message that was surely published has its place.
 */
#ifndef WEFT_TESTS_STRESS_ORDERS_H
#define WEFT_TESTS_STRESS_ORDERS_H

#include "stress/wire.h"
#include <stdatomic.h>

enum { MOST_STREAMS = 20000, N_TOPICS = 7, N_ALL_KEPT = 3, CURSOR_BYTES = 64, TEXT_BYTES = 32 };

typedef enum {
    FATE_NONE = 0, /* not said */
    FATE_UNKNOWN,  /* said, and no answer */
    FATE_SURE,
    FATE_REFUSED,
} fate;

/** What one publisher says on one topic, by one connection or thread. Its own thread writes the fates. */
typedef struct {
    unsigned topic;
    unsigned char *fates;
    uint32_t *numbers; /* in the topic, from 1 on; 0: not seen */
    size_t n, room, n_numbers;
    uint32_t latest; /* K + 1 of the one that was seen last in the order */
} stream_said;

typedef struct {
    uint32_t stream, k; /* stream + 1; 0: not seen */
} said;

/** One sequence. The last one is the namespace. */
typedef struct {
    char name[24];
    char epoch[24]; /* "" until it is known */
    said *order;    /* by number */
    size_t room;
    uint64_t head; /* the highest number that was seen */
} sequence;

enum { NAMESPACE = N_TOPICS, N_SEQUENCES };

static weft *app;
static unsigned n_loops;
static sequence sequences[N_SEQUENCES];
static stream_said streams[MOST_STREAMS];
static atomic_uint n_streams;
static uint64_t stress_seed;
static unsigned stress_era;
static uint64_t n_seen, n_gaps_told;

/** Ends the test at once, as threads run, and says how to have it again. */
#define WRONG(format, ...)                                                                                             \
    do {                                                                                                               \
        fprintf(stderr, "not ok - WEFT_STRESS_SEED=%llu (era %u, %u loops): " format "\n",                             \
                (unsigned long long)stress_seed, stress_era, n_loops, __VA_ARGS__);                                    \
        _Exit(1);                                                                                                      \
    } while (0)

static inline bool is_all_kept(unsigned topic)
{
    return topic < N_ALL_KEPT;
}

static inline bool has_history(unsigned topic)
{
    return topic < N_ALL_KEPT + 2;
}

static inline void orders_forget(void)
{
    for (unsigned i = 0; i < atomic_load(&n_streams); i++) {
        free(streams[i].fates);
        free(streams[i].numbers);
    }
    memset(streams, 0, sizeof *streams * atomic_load(&n_streams));
    atomic_store(&n_streams, 0);
    for (unsigned i = 0; i < N_SEQUENCES; i++) {
        free(sequences[i].order);
        sequences[i] = (sequence){0};
    }
}

static inline void orders_begin(void)
{
    static const char *const kinds[] = {"all", "some", "live"};
    orders_forget();
    for (unsigned i = 0; i < N_TOPICS; i++)
        snprintf(sequences[i].name, sizeof sequences[i].name, "%s%u",
                 kinds[is_all_kept(i)   ? 0
                       : has_history(i) ? 1
                                        : 2],
                 i);
    snprintf(sequences[NAMESPACE].name, sizeof sequences[NAMESPACE].name, "the namespace");
}

static inline unsigned stream_new(unsigned topic)
{
    unsigned id = atomic_fetch_add(&n_streams, 1);
    assert_true(id < MOST_STREAMS);
    streams[id].topic = topic;
    return id;
}

/** The next message of a stream is about to be said; its text. What becomes of it is told by stream_fate(). */
static inline uint32_t stream_say(unsigned id, char *text)
{
    stream_said *s = &streams[id];
    if (s->n == s->room) {
        s->room = s->room ? 2 * s->room : 64;
        s->fates = realloc(s->fates, s->room);
        assert_non_null(s->fates);
    }
    s->fates[s->n] = FATE_UNKNOWN;
    snprintf(text, TEXT_BYTES, "%u.%zu", id, s->n);
    return (uint32_t)s->n++;
}

static inline void stream_fate(unsigned id, uint32_t k, fate what)
{
    streams[id].fates[k] = (unsigned char)what;
}

static inline uint32_t *number_of(stream_said *s, uint32_t k)
{
    if (k >= s->n_numbers) {
        size_t n = k + 64;
        s->numbers = realloc(s->numbers, n * sizeof *s->numbers);
        assert_non_null(s->numbers);
        memset(s->numbers + s->n_numbers, 0, (n - s->n_numbers) * sizeof *s->numbers);
        s->n_numbers = n;
    }
    return &s->numbers[k];
}

static inline said said_in(const char *text, unsigned topic)
{
    char *end;
    said it = {(uint32_t)strtoul(text, &end, 10), 0};
    if (end == text || *end != '.')
        WRONG("%s: a message that nobody said: %.60s", sequences[topic].name, text);
    it.k = (uint32_t)strtoul(end + 1, &end, 10);
    end += strspn(end, "-");
    if (it.stream >= atomic_load(&n_streams) || streams[it.stream].topic != topic || (*end && !strchr("\"\n.", *end)))
        WRONG("%s: a message that nobody said there: %.60s", sequences[topic].name, text);
    it.stream++;
    return it;
}

/** That number is this message: agreed by all who see it. */
static inline void orders_see(unsigned topic, uint64_t number, const char *text, const char *who)
{
    sequence *q = &sequences[topic];
    said it = said_in(text, topic);
    stream_said *s = &streams[it.stream - 1];
    n_seen++;
    if (!number)
        WRONG("%s: %s was told of number 0", q->name, who);
    if (number >= q->room) {
        size_t room = 2 * number + 1024;
        q->order = realloc(q->order, room * sizeof *q->order);
        assert_non_null(q->order);
        memset(q->order + q->room, 0, (room - q->room) * sizeof *q->order);
        q->room = room;
    }
    said *place = &q->order[number];
    if (place->stream == it.stream && place->k == it.k)
        return;
    if (place->stream)
        WRONG("%s: number %llu is %u.%u for others, and %.40s for %s", q->name, (unsigned long long)number,
              place->stream - 1, place->k, text, who);
    uint32_t *known = number_of(s, it.k);
    if (*known)
        WRONG("%s: %.40s is number %u, and number %llu for %s", q->name, text, *known, (unsigned long long)number, who);
    *place = it;
    *known = (uint32_t)number;
    if (number > q->head)
        q->head = number;
}

/* ------------------------------------------------------------------------------------------------------------- places */

/** How far a reader is on a topic. */
typedef struct {
    bool known;
    char epoch[24];
    uint64_t number;
} place;

static inline place place_read(const char *cursor)
{
    place p = {.known = true};
    size_t len = strspn(cursor, "0123456789abcdef");
    if (!len || len >= sizeof p.epoch || cursor[len] != '-')
        WRONG("not a cursor: %.60s", cursor);
    memcpy(p.epoch, cursor, len);
    p.number = strtoull(cursor + len + 1, NULL, 10);
    return p;
}

static inline void place_write(const place *p, char *to)
{
    snprintf(to, CURSOR_BYTES, "%s-%llu", p->epoch, (unsigned long long)p->number);
}

/* All of an era's cursors of a topic have one epoch. */
static inline void check_epoch(unsigned topic, const place *p, const char *who)
{
    sequence *q = &sequences[topic];
    if (!*q->epoch)
        snprintf(q->epoch, sizeof q->epoch, "%s", p->epoch);
    else if (strcmp(q->epoch, p->epoch) != 0)
        WRONG("%s: %s was told epoch %s, others %s", q->name, who, p->epoch, q->epoch);
}

/** The reader goes on from that cursor; `gap` says whether it was told of one. */
static inline void place_moves(place *p, unsigned topic, const char *cursor, bool gap, const char *who)
{
    place next = place_read(cursor);
    check_epoch(topic, &next, who);
    bool same = p->known && strcmp(p->epoch, next.epoch) == 0;
    n_gaps_told += gap;
    if (gap && same && is_all_kept(topic))
        WRONG("%s: %s was told of a gap at %.40s, behind %llu", sequences[topic].name, who, cursor,
              (unsigned long long)p->number);
    if (p->known && !gap && !(same && next.number == p->number))
        WRONG("%s: %s goes on at %.40s, and was at %s-%llu", sequences[topic].name, who, cursor, p->epoch,
              (unsigned long long)p->number);
    if (gap && same && next.number < p->number)
        WRONG("%s: %s goes back to %.40s from %llu", sequences[topic].name, who, cursor, (unsigned long long)p->number);
    *p = next;
}

/** The reader was given that message. `jumps`: it was told of a gap just before. */
static inline void place_takes(place *p, unsigned topic, const char *id, const char *text, bool jumps, const char *who)
{
    place next = place_read(id);
    check_epoch(topic, &next, who);
    bool same = p->known && strcmp(p->epoch, next.epoch) == 0;
    if (p->known && !jumps && !(same && next.number == p->number + 1))
        WRONG("%s: %s was given %.40s (%.40s) behind %s-%llu", sequences[topic].name, who, id, text, p->epoch,
              (unsigned long long)p->number);
    if (same && next.number <= p->number)
        WRONG("%s: %s was given %.40s again", sequences[topic].name, who, id);
    orders_see(topic, next.number, text, who);
    *p = next;
}

/* --------------------------------------------------------------------------------------------- clients without cursors */

/** What one connection was given, of a topic whose messages come without ids. */
typedef struct {
    unsigned topic;
    bool from_start;
    said *at;
    size_t n, room;
} given;

static inline void given_takes(given *g, const char *text)
{
    if (g->n == g->room) {
        g->room = g->room ? 2 * g->room : 64;
        g->at = realloc(g->at, g->room * sizeof *g->at);
        assert_non_null(g->at);
    }
    g->at[g->n++] = said_in(text, g->topic);
    n_seen++;
}

static inline void given_done(given *g)
{
    free(g->at);
    *g = (given){0};
}

/** Numbers go up, by one where nothing may be skipped. Called when the others have seen the order. */
static inline void given_check(const given *g)
{
    uint64_t before = 0;
    for (size_t i = 0; i < g->n; i++) {
        uint64_t number = *number_of(&streams[g->at[i].stream - 1], g->at[i].k);
        bool skips = before || g->from_start ? number != before + 1 : false;
        if (number && (number <= before || (skips && is_all_kept(g->topic))))
            WRONG("%s: a WebSocket was given number %llu (%u.%u) behind %llu, %zu of %zu", sequences[g->topic].name,
                  (unsigned long long)number, g->at[i].stream - 1, g->at[i].k, (unsigned long long)before, i, g->n);
        if (!number && (before || is_all_kept(g->topic)))
            return; /* nobody with cursors has seen so far */
        before = number ? number : before;
    }
}

/* ------------------------------------------------------------------------------------------------------------ the end */

/* Each stream's messages stand in their order. */
static inline void check_streams(const sequence *q, bool complete)
{
    for (uint64_t number = 1; number <= q->head; number++) {
        said it = q->order[number];
        if (!it.stream && complete)
            WRONG("%s: nobody was given number %llu", q->name, (unsigned long long)number);
        if (!it.stream)
            continue;
        stream_said *s = &streams[it.stream - 1];
        if (it.k < s->latest)
            WRONG("%s: %u.%u stands behind %u.%u", q->name, it.stream - 1, it.k, it.stream - 1, s->latest - 1);
        for (uint32_t k = s->latest; complete && k < it.k; k++)
            if (s->fates[k] == FATE_SURE)
                WRONG("%s: %u.%u was published and has no place", q->name, it.stream - 1, k);
        if (it.k < s->n && s->fates[it.k] == FATE_REFUSED)
            WRONG("%s: %u.%u was refused and is number %llu", q->name, it.stream - 1, it.k, (unsigned long long)number);
        s->latest = it.k + 1;
    }
}

/** No publisher runs any more. `complete`: everything that is kept was read to the end. */
static inline void orders_check(bool complete)
{
    for (unsigned i = 0; i < N_SEQUENCES; i++)
        check_streams(&sequences[i], complete && (is_all_kept(i) || i == NAMESPACE));
    for (unsigned i = 0; complete && i < atomic_load(&n_streams); i++) {
        stream_said *s = &streams[i];
        for (size_t k = s->latest; k < s->n && (is_all_kept(s->topic) || s->topic == NAMESPACE); k++)
            if (s->fates[k] == FATE_SURE)
                WRONG("%s: %u.%zu was published and has no place", sequences[s->topic].name, i, k);
    }
}

#endif
