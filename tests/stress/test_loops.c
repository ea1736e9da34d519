/* Several loops keep every promise: a whole application on 1, 2 or 4 of them, with real sockets, against a sequential model (orders.h). Clients of every
 * transport come, are cut at any byte, fall silent, come back on whatever loop; publishers are threads, callbacks and requests; every second or so the
 * application is stopped, in the middle of it or when all is quiet, and another one begins, to which clients come with cursors of the last.
 *
 * WEFT_STRESS_SEED makes it another one, WEFT_STRESS_SECONDS a long one (./dev fuzz loops), WEFT_STRESS_LOOPS has always as many loops. What clients choose follows from the seed; how threads interleave
 * does not. */
#include "stress/speaker.h"
#include "stress/visitor.h"
#include <signal.h>

enum {
    N_READERS = 18,
    N_SPEAKERS = 4,
    N_CALLERS = 4,
    N_VISITORS = 6,
    N_PUBLISHERS = 2,
    ERA_MS = 1000, /* on average, until it ends */
    DRAIN_MS = 600,
    PATIENCE_MS = 60000, /* a crowded machine, and sanitizers */
    SECONDS = 5,
    FIRST_SEED = 1,
    MOST_LOOPS = 4,
};

static reader readers[N_READERS], auditors[N_ALL_KEPT];
static speaker speakers[N_SPEAKERS];
static caller callers[N_CALLERS];
static visitor visitors[N_VISITORS], anchor;
static publisher publishers[N_PUBLISHERS];
static unsigned n_eras[MOST_LOOPS], n_quiet;
static pthread_t runner;
static int run_result;
static char where[64]; /* it listens */

/* --------------------------------------------------------------------------------------------------------------- an era */

static void *run(void *user)
{
    run_result = weft_run(user);
    return NULL;
}

static void serve_all(void)
{
    static const char *const everything_there_is[] = {"*", NULL};
    const weft_topics_options options = {.publish = everything_there_is};
    const weft_socketio_options sockets = {
        .event = on_event,
        .recovery_ms = 60000,
        .recovery_messages = 1000000,
        .recovery_bytes = 256 << 20,
    };
    weft_topic_configure(app, "all*", &(weft_topic_options){.history_messages = 1000000, .history_bytes = 256 << 20});
    weft_topic_configure(app, "some*", &(weft_topic_options){.history_messages = 20, .ring_messages = 20});
    assert_int_equal(weft_topics(app, "/topics/*", &options), 0);
    assert_int_equal(weft_protocol(app, "/weft", &options), 0);
    assert_int_equal(weft_websocket(app, "/call", &(weft_websocket_options){.message = on_call}), 0);
    assert_int_equal(weft_socketio(app, "/socket.io/", &sockets), 0);
    if (weft_listen(app, "http://127.0.0.1:0", NULL))
        WRONG("%s", weft_error(app));
    snprintf(where, sizeof where, "%s", weft_listening(app, 0));
    assert_int_equal(pthread_create(&runner, NULL, run, app), 0);
}

/* Each of them, those that are never cut as well. */
static void each_reads(void)
{
    for (unsigned i = 0; i < N_READERS; i++)
        reader_reads(&readers[i]);
    for (unsigned i = 0; i < N_ALL_KEPT; i++)
        reader_reads(&auditors[i]);
    for (unsigned i = 0; i < N_SPEAKERS; i++)
        speaker_reads(&speakers[i]);
    for (unsigned i = 0; i < N_CALLERS; i++)
        caller_reads(&callers[i]);
    for (unsigned i = 0; i < N_VISITORS; i++)
        visitor_reads(&visitors[i]);
    visitor_reads(&anchor);
}

static void each_asks(void)
{
    for (unsigned i = 0; i < N_READERS; i++)
        reader_asks(&readers[i], where);
    for (unsigned i = 0; i < N_ALL_KEPT; i++)
        reader_asks(&auditors[i], where);
    for (unsigned i = 0; i < N_SPEAKERS; i++)
        speaker_asks(&speakers[i], where);
    for (unsigned i = 0; i < N_VISITORS; i++) {
        visitor_asks(&visitors[i], where);
        visitor_posts(&visitors[i], where);
    }
    visitor_asks(&anchor, where);
}

/* What clients do of themselves. */
static void some_act(void)
{
    for (unsigned i = 0; i < N_READERS; i++) {
        reader *r = &readers[i];
        if (r->by == READ_SOCKET && r->headed && one_in(20))
            reader_says(r);
        if (wire_is_open(&r->wire) && one_in(400)) {
            wire_cut(&r->wire);
            reader_loses(r);
        }
    }
    for (unsigned i = 0; i < N_SPEAKERS; i++)
        if (one_in(3))
            speaker_acts(&speakers[i]);
    for (unsigned i = 0; i < N_CALLERS; i++)
        if (one_in(3))
            caller_says(&callers[i], where);
    for (unsigned i = 0; i < N_VISITORS; i++)
        if (one_in(4))
            visitor_acts(&visitors[i]);
}

static size_t add_wire(struct pollfd *all, size_t n, wire *w)
{
    wire_flush(w);
    all[n] = (struct pollfd){.fd = w->fd, .events = (short)(POLLIN | (w->out.len ? POLLOUT : 0))};
    return n + (w->fd >= 0);
}

static void await(int ms)
{
    struct pollfd all[N_READERS + N_ALL_KEPT + 2 * (N_SPEAKERS + N_VISITORS + 1) + N_CALLERS];
    size_t n = 0;
    for (unsigned i = 0; i < N_READERS; i++)
        n = add_wire(all, n, &readers[i].wire);
    for (unsigned i = 0; i < N_ALL_KEPT; i++)
        n = add_wire(all, n, &auditors[i].wire);
    for (unsigned i = 0; i < N_SPEAKERS; i++) {
        n = add_wire(all, n, &speakers[i].wire);
        n = add_wire(all, n, &speakers[i].post);
    }
    for (unsigned i = 0; i < N_CALLERS; i++)
        n = add_wire(all, n, &callers[i].wire);
    for (unsigned i = 0; i < N_VISITORS; i++) {
        n = add_wire(all, n, &visitors[i].wire);
        n = add_wire(all, n, &visitors[i].post);
    }
    n = add_wire(all, n, &anchor.wire);
    poll(all, n, ms);
}

static void turn(int ms)
{
    await(ms);
    each_reads();
    each_asks();
}

static void storm(uint64_t ms)
{
    uint64_t until_ms = client_now_ms() + ms;
    while (client_now_ms() < until_ms) {
        turn(1);
        some_act();
    }
}

/* ----------------------------------------------------------------------------------------------------------- a quiet end */

#define TURN_UNTIL(condition, what)                                                                                    \
    do {                                                                                                               \
        uint64_t until_ms_ = client_now_ms() + PATIENCE_MS;                                                            \
        while (!(condition)) {                                                                                         \
            if (client_now_ms() > until_ms_)                                                                           \
                (what)();                                                                                              \
            turn(5);                                                                                                   \
        }                                                                                                              \
    } while (0)

static bool is_anchored(void)
{
    return anchor.is_in == ALL_ROOMS;
}

static void not_anchored(void)
{
    WRONG("the first socket is not in its rooms (it is in %x)", anchor.is_in);
}

/* Nobody waits for an answer that says what became of a publication. */
static bool is_answered(void)
{
    for (unsigned i = 0; i < N_CALLERS; i++)
        if (caller_waits(&callers[i]))
            return false;
    for (unsigned i = 0; i < N_SPEAKERS; i++)
        if (speakers[i].n_placed < speakers[i].n_said)
            return false;
    for (unsigned i = 0; i < N_VISITORS; i++)
        if (visitors[i].n_pending)
            return false;
    return true;
}

static void not_answered(void)
{
    for (unsigned i = 0; i < N_CALLERS; i++)
        if (caller_waits(&callers[i]))
            WRONG("caller %u (posts: %d) waits for %u answers, fd %d", i, callers[i].posts,
                  callers[i].n_said - callers[i].n_told, callers[i].wire.fd);
    for (unsigned i = 0; i < N_SPEAKERS; i++)
        if (speakers[i].n_placed < speakers[i].n_said)
            WRONG("%s waits for %u of %u places", speakers[i].who, speakers[i].n_said - speakers[i].n_placed,
                  speakers[i].n_said);
    for (unsigned i = 0; i < N_VISITORS; i++)
        if (visitors[i].n_pending)
            WRONG("%s waits for %u acknowledgements", visitors[i].who, visitors[i].n_pending);
}

/* Whether it will be given the last message of its topic for certain: it asks for what is kept. */
static bool is_owed(const reader *r)
{
    return has_history(r->topic) && (r->by == READ_SOCKET || r->place.known);
}

/* A stream of lines says nothing of where it begins. */
static bool has_begun(const reader *r)
{
    return r->by == READ_SOCKET || r->place.known || (r->by == READ_LINES && r->headed);
}

static bool is_listening(void)
{
    for (unsigned i = 0; i < N_READERS; i++)
        if (!has_begun(&readers[i]))
            return false;
    for (unsigned i = 0; i < N_SPEAKERS; i++)
        if (!speakers[i].met || speaker_wavers(&speakers[i]))
            return false;
    for (unsigned i = 0; i < N_VISITORS; i++)
        if (!visitors[i].in)
            return false;
    return true;
}

static void not_listening(void)
{
    for (unsigned i = 0; i < N_READERS; i++)
        if (!has_begun(&readers[i]))
            WRONG("%s has no place on %s (asked: %d, headed: %d, fd %d)", readers[i].who,
                  sequences[readers[i].topic].name, readers[i].asked, readers[i].headed, readers[i].wire.fd);
    for (unsigned i = 0; i < N_SPEAKERS; i++)
        if (!speakers[i].met || speaker_wavers(&speakers[i]))
            WRONG("%s was not answered (met: %d, fd %d)", speakers[i].who, speakers[i].met, speakers[i].wire.fd);
    for (unsigned i = 0; i < N_VISITORS; i++)
        if (!visitors[i].in)
            WRONG("%s was not let in (fd %d, opened: %d)", visitors[i].who, visitors[i].wire.fd, visitors[i].opened);
}

static void publish_fences(void)
{
    char text[TEXT_BYTES];
    is_fencing = true;
    for (unsigned i = 0; i < N_SEQUENCES; i++) {
        stream_say(fences[i], text);
        assert_int_equal(i == NAMESPACE ? broadcast(app, text, 0) : weft_publish_text(app, sequences[i].name, text), 0);
        stream_fate(fences[i], 0, FATE_SURE);
    }
}

/* Whoever is owed the last messages and has yet to get them; NULL: nobody. */
static const char *not_fenced(void)
{
    for (unsigned i = 0; i < N_READERS; i++)
        if (is_owed(&readers[i]) && !readers[i].fenced)
            return readers[i].who;
    for (unsigned i = 0; i < N_ALL_KEPT; i++)
        if (!auditors[i].fenced)
            return auditors[i].who;
    for (unsigned i = 0; i < N_SPEAKERS; i++)
        for (unsigned topic = 0; topic < N_TOPICS; topic++)
            if (speakers[i].standing[topic] != AWAY && !speakers[i].fenced[topic])
                return speakers[i].who;
    for (unsigned i = 0; i < N_VISITORS; i++)
        if (!visitors[i].fenced)
            return visitors[i].who;
    return anchor.fenced ? NULL : anchor.who;
}

static void are_not_fenced(void)
{
    for (unsigned i = 0; i < N_READERS; i++)
        if (is_owed(&readers[i]) && !readers[i].fenced)
            WRONG("%s was not given the last message of %s: it is at %llu of %llu (asked %d, headed %d, fd %d)",
                  readers[i].who, sequences[readers[i].topic].name, (unsigned long long)readers[i].place.number,
                  (unsigned long long)sequences[readers[i].topic].head, readers[i].asked, readers[i].headed,
                  readers[i].wire.fd);
    for (unsigned i = 0; i < N_VISITORS; i++)
        if (!visitors[i].fenced)
            WRONG("%s was not given the last message: it was told %zu and the first one %zu (asked %d, posting %d, "
                  "opened "
                  "%d, in %d, fd %d, sid %s, pid %s, offset %s)",
                  visitors[i].who, visitors[i].told.n, anchor.told.n, visitors[i].asked, visitors[i].posting,
                  visitors[i].opened, visitors[i].in, visitors[i].wire.fd, visitors[i].sid, visitors[i].pid,
                  visitors[i].offset);
    WRONG("%s was not given the last message", not_fenced());
}

static void publishers_stop(void)
{
    atomic_store(&publishers_end, true);
    for (unsigned i = 0; i < N_PUBLISHERS; i++)
        pthread_join(publishers[i].thread, NULL);
    atomic_store(&publishers_end, false);
}

/* Everybody may finish: what is kept reaches all who want it. */
static void calm_down(void)
{
    is_calm = true;
    wires_break = false;
    publishers_stop();
    TURN_UNTIL(is_answered() && is_listening(), is_answered() ? not_listening : not_answered);
    publish_fences();
    TURN_UNTIL(!not_fenced(), are_not_fenced);
}

/* --------------------------------------------------------------------------------------------------------------- the end */

static void stop(void)
{
    uint64_t began_ms = client_now_ms(), second_ms = one_in(4) ? draw(100) : UINT64_MAX;
    is_stopping = true;
    weft_stop(app);
    while (pthread_tryjoin_np(runner, NULL)) {
        uint64_t passed_ms = client_now_ms() - began_ms;
        if (passed_ms > second_ms) {
            weft_stop(app);
            second_ms = UINT64_MAX;
        }
        if (passed_ms > PATIENCE_MS)
            WRONG("it has not stopped %llu ms after it should", (unsigned long long)passed_ms);
        turn(5);
        if (!is_calm)
            some_act();
    }
    assert_int_equal(run_result, 0);
}

static void check_all(bool complete)
{
    for (unsigned i = 0; i < N_READERS; i++)
        keep_given(&readers[i]);
    told order = anchor.told;
    visitor_forgets(&anchor);
    for (unsigned i = 0; i < N_VISITORS; i++)
        visitor_forgets(&visitors[i]);
    for (size_t i = 0; i < n_givens; i++) {
        given_check(&givens[i]);
        given_done(&givens[i]);
    }
    for (size_t i = 0; i < n_tolds; i++)
        told_check(&tolds[i], &order);
    for (size_t i = 0; i < n_tolds; i++)
        free(tolds[i].at);
    n_givens = n_tolds = 0;
    orders_check(complete);
}

/* ---------------------------------------------------------------------------------------------------------------- eras */

static void begin_clients(void)
{
    for (unsigned i = 0; i < N_READERS; i++)
        readers[i].fenced = false;
    for (unsigned i = 0; i < N_ALL_KEPT; i++) {
        auditors[i].place = (place){0};
        auditors[i].fenced = false;
    }
    for (unsigned i = 0; i < N_SPEAKERS; i++)
        memset(speakers[i].fenced, 0, sizeof speakers[i].fenced);
    for (unsigned i = 0; i < N_CALLERS; i++)
        memset(callers[i].says, 0, sizeof callers[i].says);
    for (unsigned i = 0; i < N_VISITORS; i++)
        visitors[i].fenced = false;
    anchor.fenced = false;
}

static void end_clients(void)
{
    for (unsigned i = 0; i < N_READERS; i++)
        reader_loses(&readers[i]);
    for (unsigned i = 0; i < N_ALL_KEPT; i++)
        reader_loses(&auditors[i]);
    for (unsigned i = 0; i < N_SPEAKERS; i++)
        speaker_loses(&speakers[i]);
    for (unsigned i = 0; i < N_CALLERS; i++)
        caller_loses(&callers[i]);
    for (unsigned i = 0; i < N_VISITORS; i++)
        visitor_loses(&visitors[i]);
    visitor_loses(&anchor);
    ghosts_leave();
}

static void begin_era(unsigned loops)
{
    n_loops = loops;
    app = weft_new(&(weft_options){.loops = loops, .drain_timeout_ms = DRAIN_MS});
    assert_non_null(app);
    orders_begin();
    for (unsigned i = 0; i < N_SEQUENCES; i++)
        fences[i] = stream_new(i);
    is_fencing = is_stopping = is_calm = false;
    begin_clients();
    serve_all();
}

static void run_era(unsigned loops)
{
    begin_era(loops);
    wires_break = false;
    TURN_UNTIL(is_anchored(), not_anchored);
    wires_break = true;
    for (unsigned i = 0; i < N_PUBLISHERS; i++)
        publisher_starts(&publishers[i]);
    storm(ERA_MS / 2 + draw(ERA_MS));
    bool quiet = one_in(2);
    if (quiet)
        calm_down();
    stop();
    if (!quiet)
        publishers_stop();
    end_clients();
    check_all(quiet);
    assert_int_equal(weft_free(app), 0);
    app = NULL;
    n_eras[loops - 1]++;
    n_quiet += quiet;
    stress_era++;
}

static void make_clients(void)
{
    for (unsigned i = 0; i < N_READERS; i++) {
        readers[i] = (reader){.by = i % N_WAYS_TO_READ, .topic = draw(N_TOPICS), .number = i, .wire.fd = -1};
        reader_name(&readers[i]);
    }
    for (unsigned i = 0; i < N_ALL_KEPT; i++) {
        auditors[i] = (reader){
            .by = i % 2 ? READ_EVENTS : READ_LONG_POLLS, .topic = i, .audits = true, .number = i, .wire.fd = -1};
        reader_name(&auditors[i]);
    }
    for (unsigned i = 0; i < N_SPEAKERS; i++) {
        speakers[i] = (speaker){.number = i, .polls = i % 2, .wire.fd = -1, .post.fd = -1};
        snprintf(speakers[i].who, sizeof speakers[i].who, "speaker %u (%s)", i, i % 2 ? "polls" : "WebSocket");
    }
    for (unsigned i = 0; i < N_CALLERS; i++)
        callers[i] = (caller){.posts = i % 2, .wire.fd = -1};
    for (unsigned i = 0; i < N_VISITORS; i++) {
        visitors[i] = (visitor){.number = i, .polls = i % 3 == 2, .wire.fd = -1, .post.fd = -1};
        visitor_forgets(&visitors[i]);
        snprintf(visitors[i].who, sizeof visitors[i].who, "socket %u (%s)", i, i % 3 == 2 ? "polls" : "WebSocket");
    }
    anchor = (visitor){.anchors = true, .wire.fd = -1, .post.fd = -1};
    visitor_forgets(&anchor);
    snprintf(anchor.who, sizeof anchor.who, "the first socket");
}

static void free_clients(void)
{
    for (unsigned i = 0; i < N_READERS; i++)
        reader_done(&readers[i]);
    for (unsigned i = 0; i < N_ALL_KEPT; i++)
        reader_done(&auditors[i]);
    for (unsigned i = 0; i < N_SPEAKERS; i++)
        speaker_done(&speakers[i]);
    for (unsigned i = 0; i < N_VISITORS; i++)
        visitor_done(&visitors[i]);
    visitor_done(&anchor);
    orders_forget();
}

static uint64_t number_from(const char *name, uint64_t fallback)
{
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 10) : fallback;
}

static struct sigaction sanitizers_own;

static void loops__keep_every_promise(void **state)
{
    static const unsigned loops[] = {2, 4, 1};
    const uint64_t until_ms = client_now_ms() + 1000 * number_from("WEFT_STRESS_SECONDS", SECONDS);
    (void)state;
    sigaction(SIGSEGV, &sanitizers_own, NULL); /* not cmocka's, which says nothing of where */
    stress_seed = number_from("WEFT_STRESS_SEED", FIRST_SEED);
    chance_state = stress_seed * 0x9e3779b97f4a7c15 | 1;
    make_clients();
    while (stress_era < N_OF(loops) || client_now_ms() < until_ms)
        run_era((unsigned)number_from("WEFT_STRESS_LOOPS", loops[stress_era % N_OF(loops)]));
    free_clients();
    print_message("# seed %llu: %u eras (%u to a quiet end; %u, %u, %u on 1, 2, 4 loops), %u cuts, %llu messages seen, "
                  "%llu gaps told, %u sockets recovered and %u not\n",
                  (unsigned long long)stress_seed, stress_era, n_quiet, n_eras[0], n_eras[1], n_eras[3], n_cuts,
                  (unsigned long long)n_seen, (unsigned long long)n_gaps_told, n_recovered, n_strangers);
    assert_true(n_cuts && n_seen && n_recovered > 10 * n_strangers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loops__keep_every_promise),
    };
    sigaction(SIGSEGV, NULL, &sanitizers_own);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
