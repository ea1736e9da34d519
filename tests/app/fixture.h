/**
 * What the tests of the public API share: an application that the test's clients step, and a record of what its callbacks were told.
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

__attribute__((format(printf, 1, 2))) static inline void happened(const char *format, ...)
{
    size_t len = strlen(events);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(events + len, sizeof events - len, format, arguments);
    va_end(arguments);
}

/** What has happened since the last look. */
static inline const char *look(void)
{
    static char seen[sizeof events];
    memcpy(seen, events, sizeof events);
    events[0] = '\0';
    return seen;
}

/** Steps the application until a callback has told something: however long that takes, over TLS and on a machine that is busy. */
static inline void await_event(void)
{
    while (!*events)
        assert_int_equal(weft_step(app, 1000), 1);
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

static inline int setup_app(void **state)
{
    (void)state;
    events[0] = '\0';
    latest = (weft_peer){0};
    app = weft_new(NULL);
    return app ? 0 : -1;
}

static inline int teardown_app(void **state)
{
    (void)state;
    client_steps = NULL;
    int error = weft_free(app);
    app = NULL;
    return error;
}

/** Begins to listen on a port of the kernel's; from now on clients step the application. */
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

#define APP_TEST(f) cmocka_unit_test_setup_teardown(f, setup_app, teardown_app)

#endif
