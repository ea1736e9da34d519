/**
 * What the tests of several loops share: an application that runs on threads of its own, with as many loops as the case's initial state says.
 */
#ifndef WEFT_TESTS_APP_LOOPS_H
#define WEFT_TESTS_APP_LOOPS_H

#include "app/admin_client.h"
#include <stdatomic.h>

enum { LOOPS_MOST_CLIENTS = 16 };

static unsigned n_loops;
static weft_options loops_options; /* for the next start */
static pthread_t runner;
static int run_result;
static bool is_begun;
static char where[128]; /* it listens */

/** A client of "/": its first message is the handle of its peer. */
typedef struct {
    int fd;
    weft_peer peer;
} guest;

static atomic_int n_opened, n_closed;

static inline unsigned loop_of(weft_peer who)
{
    return (unsigned)(who.id >> 56);
}

static inline void tell_handle(weft_peer who)
{
    char text[32];
    snprintf(text, sizeof text, "%llx", (unsigned long long)who.id);
    weft_send_text(who, text);
    atomic_fetch_add(&n_opened, 1);
}

static inline void count_close(weft_peer who, int code, weft_str reason)
{
    (void)who, (void)code, (void)reason;
    atomic_fetch_add(&n_closed, 1);
}

static inline int setup_loops(void **state)
{
    n_loops = *(const unsigned *)*state;
    n_opened = n_closed = 0;
    is_begun = false;
    loops_options.loops = n_loops;
    if (!loops_options.drain_timeout_ms)
        loops_options.drain_timeout_ms = 300;
    app = weft_new(&loops_options);
    return app ? 0 : -1;
}

static inline void *loops_run(void *user)
{
    run_result = weft_run(user);
    return NULL;
}

/** Listens and runs. */
static inline void loops_begin(void)
{
    if (weft_listen(app, "http://127.0.0.1:0", NULL))
        fail_msg("%s", weft_error(app));
    snprintf(where, sizeof where, "%s", weft_listening(app, 0));
    assert_int_equal(pthread_create(&runner, NULL, loops_run, app), 0);
    is_begun = true;
}

/** A WebSocket route "/" with what `options` add to open and close, and begins. */
static inline void loops_serve(weft_websocket_options options)
{
    options.open = options.open ? options.open : tell_handle;
    options.close = count_close;
    assert_int_equal(weft_websocket(app, "/", &options), 0);
    loops_begin();
}

/** Waits for weft_run(). */
static inline int loops_join(void)
{
    if (is_begun)
        pthread_join(runner, NULL);
    is_begun = false;
    return run_result;
}

static inline int teardown_loops(void **state)
{
    (void)state;
    operator_leaves();
    if (is_begun) {
        weft_stop(app);
        weft_stop(app);
    }
    int error = loops_join();
    int freed = weft_free(app);
    app = NULL;
    loops_options = (weft_options){0};
    run_result = 0;
    return error ? error : freed;
}

static inline guest guest_comes(void)
{
    guest g = {.fd = client_open(where, "/")};
    client_frame first = client_receive(g.fd);
    assert_int_equal(first.opcode, CLIENT_TEXT);
    g.peer.id = strtoull(first.at, NULL, 16);
    return g;
}

static inline void guests_come(guest *guests, int n)
{
    for (int i = 0; i < n; i++)
        guests[i] = guest_comes();
}

static inline void guests_leave(const guest *guests, int n)
{
    for (int i = 0; i < n; i++)
        client_leave(guests[i].fd);
}

/** A case for two loops, and one for four. */
static const unsigned two_loops = 2, four_loops = 4;

#define LOOPS_TEST_OF(f, n)                                                                                            \
    {                                                                                                                  \
#f " (" #n ")", f, setup_loops, teardown_loops, (void *)(uintptr_t)&n                                          \
    }
#define LOOPS_TEST(f) LOOPS_TEST_OF(f, two_loops), LOOPS_TEST_OF(f, four_loops)

#endif
