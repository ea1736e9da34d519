/**
 * What the tests of the public API share: an application that the test's clients step, and a record of what its callbacks were told.
 *
 * An APP_TEST has one loop, on the thread of the test: it may step it, look inside, count allocations, and finds done what it has called for. A
 * LOOPS_APP_TEST sees the application as clients do; with WEFT_LOOPS above 1 it has so many loops, on threads of their own.
 */
#ifndef WEFT_TESTS_APP_FIXTURE_H
#define WEFT_TESTS_APP_FIXTURE_H

#include "support/client.h"
#include <pthread.h>

#ifdef WEFT_TEST_TLS /* the same tests over TLS */
#include "support/tls_relay.h"
#endif

static weft *app;
static const char *url;      /* where it listens */
static weft_peer latest;     /* the peer that opened last */
static char events[1 << 16]; /* what happened: "open ", "message:hi ", … */
static pthread_mutex_t events_lock = PTHREAD_MUTEX_INITIALIZER;

static bool has_threads; /* the application that begins next runs on them */
static bool is_running;
static pthread_t app_thread;

__attribute__((format(printf, 1, 2))) static inline void happened(const char *format, ...)
{
    pthread_mutex_lock(&events_lock);
    size_t len = strlen(events);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(events + len, sizeof events - len, format, arguments);
    va_end(arguments);
    pthread_mutex_unlock(&events_lock);
}

static inline size_t events_len(void)
{
    pthread_mutex_lock(&events_lock);
    size_t len = strlen(events);
    pthread_mutex_unlock(&events_lock);
    return len;
}

/** What has happened since the last look. */
static inline const char *look(void)
{
    static char seen[sizeof events];
    pthread_mutex_lock(&events_lock);
    memcpy(seen, events, sizeof events);
    events[0] = '\0';
    pthread_mutex_unlock(&events_lock);
    return seen;
}

/** Steps the application until a callback has told something: however long that takes, over TLS and on a machine that is busy. */
static inline void await_event(void)
{
    while (is_running && !events_len())
        poll(NULL, 0, 1);
    while (!*events)
        assert_int_equal(weft_step(app, 1000), 1);
}

/** What has happened since the last look, as soon as it has. */
static inline void expect_events(const char *all)
{
    CLIENT_UNTIL(events_len() >= strlen(all));
    assert_string_equal(look(), all);
}

static inline void on_open(weft_peer who)
{
    latest = who;
    happened("open ");
}

static inline void on_message(weft_peer who, const weft_message *message)
{
    (void)who;
    size_t len = message->data.len < 40 ? message->data.len : 40;
    happened("message:%.*s ", (int)len, message->data.at);
}

static inline void on_echo(weft_peer who, const weft_message *message)
{
    weft_send(who, message);
}

static inline void on_drain(weft_peer who)
{
    (void)who;
    happened("drain ");
}

static inline void on_pong(weft_peer who, weft_str payload, uint32_t round_trip_us)
{
    (void)who;
    happened("pong:%.*s:%s ", (int)payload.len, payload.at, round_trip_us ? "timed" : "0");
}

static inline void on_close(weft_peer who, int code, weft_str reason)
{
    (void)who;
    happened("close:%d:%.*s ", code, (int)reason.len, reason.at);
}

/** All of the above, the messages recorded. */
#define RECORDED .open = on_open, .message = on_message, .drain = on_drain, .pong = on_pong, .close = on_close

static inline int setup_app_of(unsigned n_loops)
{
    events[0] = '\0';
    latest = (weft_peer){0};
    has_threads = n_loops > 1;
    app = weft_new(&(weft_options){.loops = n_loops});
    return app ? 0 : -1;
}

static inline int setup_app(void **state)
{
    (void)state;
    return setup_app_of(1);
}

static inline int setup_loops_app(void **state)
{
    const char *wished = getenv("WEFT_LOOPS");
    (void)state;
    return setup_app_of(wished ? (unsigned)strtoul(wished, NULL, 10) : 1);
}

static inline void *run_app(void *user)
{
    return (void *)(intptr_t)weft_run(user);
}

/** Ends its threads, if it has any. */
static inline int stop_running(void)
{
    void *result = NULL;
    if (is_running) {
        weft_stop(app);
        weft_stop(app);
        pthread_join(app_thread, &result);
    }
    is_running = false;
    return (int)(intptr_t)result;
}

static inline int teardown_app(void **state)
{
    (void)state;
    client_steps = NULL;
    int error = stop_running(), freed = weft_free(app);
    app = NULL;
    return error ? error : freed;
}

/** Begins to listen on a port of the kernel's; from now on clients step the application, or it runs. */
static inline void begin(void)
{
#ifdef WEFT_TEST_TLS
    client_secures = relay_secure;
    client_resets = relay_reset;
    assert_int_equal(relay_listen(app), 0);
#else
    assert_int_equal(weft_listen(app, "http://127.0.0.1:0", NULL), 0);
#endif
    url = weft_listening(app, 0);
    if (has_threads) {
        is_running = true;
        assert_int_equal(pthread_create(&app_thread, NULL, run_app, app), 0);
        return;
    }
    assert_int_equal(weft_step(app, 0), 1);
    client_steps = app;
}

/** A route "/" with these options, and begins. */
static inline void serve(const weft_websocket_options *options)
{
    assert_int_equal(weft_websocket(app, "/", options), 0);
    begin();
}

/** Lets what a client has just done to its connection arrive: an end of stream or a reset wakes the loop. */
static inline void let_arrive(void)
{
#ifdef WEFT_TEST_TLS
    enum { STEPS = 15 }; /* the handshake too */
#else
    enum { STEPS = 3 };
#endif
    for (int i = 0; i < STEPS; i++)
        weft_step(app, 50);
}

static inline void posted(weft *ignored, void *user)
{
    (void)ignored;
    void (*run)(void);
    memcpy(&run, user, sizeof run);
    run();
}

static bool was_run;

/** Runs something on the loop and waits for it. */
static inline void mark_run(weft *ignored, void *user)
{
    (void)ignored;
    (void)user;
    was_run = true;
}

static inline void on_loop(void (*run)(void))
{
    assert_int_equal(weft_post(app, posted, &run), 0);
    was_run = false;
    assert_int_equal(weft_post(app, mark_run, NULL), 0);
    CLIENT_UNTIL(was_run);
}

static inline void *run_it(void *user)
{
    void (*run)(void);
    memcpy(&run, user, sizeof run);
    run();
    return NULL;
}

/** Runs something on another thread, while the loop rests. */
static inline void elsewhere(void (*run)(void))
{
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, run_it, &run), 0);
    pthread_join(thread, NULL);
}

#define APP_TEST(f)       cmocka_unit_test_setup_teardown(f, setup_app, teardown_app)
#define LOOPS_APP_TEST(f) cmocka_unit_test_setup_teardown(f, setup_loops_app, teardown_app)

#endif
