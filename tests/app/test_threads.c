#include "support/client.h"
#include <pthread.h>
#include <stdatomic.h>

enum { N_THREADS = 4, N_ROUNDS = 1500, N_GUESTS = 40 };

static weft *app;
static char url[128];
static pthread_t runner;

static _Atomic uint64_t host;  /* the peer on "/host", which stays */
static _Atomic uint64_t guest; /* the latest on "/guest"; they come and go */
static _Atomic uint64_t asked; /* an exchange on "/ask" that nobody has answered yet; 0: none */
static atomic_int n_opened, n_closed, n_posted, n_pongs;

/* ------------------------------------------------------------------------------------------------------- the application */

static void host_open(weft_peer peer)
{
    weft_subscribe(peer, "news", NULL);
    atomic_store(&host, peer.id);
}

static void guest_open(weft_peer peer)
{
    atomic_fetch_add(&n_opened, 1);
    weft_subscribe(peer, "news", NULL);
    atomic_store(&guest, peer.id);
}

static void guest_close(weft_peer peer, int code, weft_str reason)
{
    (void)peer;
    (void)code;
    (void)reason;
    atomic_fetch_add(&n_closed, 1);
}

static void on_pong(weft_peer peer, weft_str payload, uint32_t round_trip_us)
{
    (void)peer;
    (void)payload;
    (void)round_trip_us;
    atomic_fetch_add(&n_pongs, 1);
}

static void on_ask(weft_exchange exchange, const weft_request *request, void *user)
{
    (void)request;
    (void)user;
    atomic_store(&asked, exchange.id);
}

static void on_request(weft_exchange exchange, const weft_request *request, void *user)
{
    on_ask(exchange, request, user);
}

static void count_post(weft *self, void *user)
{
    (void)self;
    (void)user;
    atomic_fetch_add(&n_posted, 1);
}

static void *run(void *result)
{
    *(int *)result = weft_run(app);
    return NULL;
}

static int run_result;

/* As many loops as WEFT_LOOPS says, or one for a case with an initial state. */
static int start(void **state)
{
    const char *n_loops = *state ? NULL : getenv("WEFT_LOOPS");
    host = guest = asked = 0;
    n_opened = n_closed = n_posted = n_pongs = 0;
    app = weft_new(&(weft_options){
        .drain_timeout_ms = 500,
        .loops = n_loops ? (unsigned)strtoul(n_loops, NULL, 10) : 1,
    });
    weft_websocket(app, "/host", &(weft_websocket_options){.open = host_open, .pong = on_pong});
    weft_websocket(app, "/guest", &(weft_websocket_options){.open = guest_open, .close = guest_close});
    weft_websocket(app, "/asked", &(weft_websocket_options){.request = on_request});
    weft_get(app, "/ask", on_ask, NULL);
    weft_listen(app, "http://127.0.0.1:0", NULL);
    snprintf(url, sizeof url, "%s", weft_listening(app, 0));
    return pthread_create(&runner, NULL, run, &run_result);
}

static int stop(void **state)
{
    (void)state;
    weft_stop(app);
    pthread_join(runner, NULL);
    int error = run_result ? run_result : weft_free(app);
    return error;
}

/* --------------------------------------------------------------------------------------------------------------- threads */

/* What one thread did; read after it was joined. */
typedef struct {
    pthread_t thread;
    int index;
    int n_failed; /* calls that had to succeed */
    int n_answered;
} worker;

static void answer_whoever_asks(worker *w)
{
    uint64_t id = atomic_exchange(&asked, 0);
    if (id)
        w->n_answered += weft_answer((weft_exchange){id}, 200, "text/plain", "yes", 3) == 0;
}

/* To a peer that may go any time: handed over, or told that it is gone. */
static void bother_guest(worker *w, int round)
{
    weft_peer peer = {atomic_load(&guest)};
    int result = 0;
    if (!peer.id)
        return;
    if (round % 5 == 0)
        result = weft_ping(peer, (weft_str){"?", 1});
    else if (round % 5 == 1)
        result = weft_send_text(peer, "for you");
    else if (round % 50 == 2)
        result = weft_close(peer, 4000, "go");
    else if (round % 50 == 3)
        result = weft_abort(peer);
    w->n_failed += result != 0;
}

/* Publishes and sends, in turn; both must arrive in this order. */
static void *work(void *user)
{
    worker *w = user;
    char text[32];
    for (int i = 0; i < N_ROUNDS; i++) {
        snprintf(text, sizeof text, "%d:%d", w->index, i);
        if (i % 2)
            w->n_failed += weft_publish_text(app, "news", text) != 0;
        else
            w->n_failed += weft_send_text((weft_peer){atomic_load(&host)}, text) != 0;
        w->n_failed += weft_post(app, count_post, NULL) != 0;
        bother_guest(w, i);
        answer_whoever_asks(w);
    }
    return NULL;
}

static void start_workers(worker workers[N_THREADS])
{
    for (int i = 0; i < N_THREADS; i++) {
        workers[i] = (worker){.index = i};
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
}

/* Guests that come, and leave in every way. */
static void *visit(void *user)
{
    (void)user;
    for (int i = 0; i < N_GUESTS; i++) {
        int fd = client_connect(url);
        client_ask(fd, "/guest", "");
        if (i % 3 == 0) {
            client_reset(fd);
            continue;
        }
        if (client_read_head(fd) == 101 && i % 3 == 1)
            client_send_close(fd, 1000, "");
        close(fd);
    }
    return NULL;
}

/* Reads what all workers said: each one's in order, nothing lost. */
static void read_news(int fd)
{
    int next[N_THREADS] = {0}, thread, round;
    for (int n = 0; n < N_THREADS * N_ROUNDS; n++) {
        client_frame frame = client_receive(fd);
        assert_int_equal(frame.opcode, CLIENT_TEXT);
        assert_int_equal(sscanf(frame.at, "%d:%d", &thread, &round), 2);
        assert_in_range(thread, 0, N_THREADS - 1);
        assert_int_equal(round, next[thread]++);
    }
}

static void threads__keep_their_order_while_clients_come_and_go(void **state)
{
    (void)state;
    worker workers[N_THREADS];
    pthread_t visitor;
    int fd = client_open(url, "/host");
    CLIENT_UNTIL(atomic_load(&host));
    pthread_create(&visitor, NULL, visit, NULL);
    start_workers(workers);
    read_news(fd);
    for (int i = 0; i < N_THREADS; i++) {
        pthread_join(workers[i].thread, NULL);
        assert_int_equal(workers[i].n_failed, 0);
    }
    pthread_join(visitor, NULL);
    CLIENT_UNTIL(atomic_load(&n_posted) == N_THREADS * N_ROUNDS);
    CLIENT_UNTIL(atomic_load(&n_opened) == atomic_load(&n_closed));
    client_leave(fd);
}

static void *answer_until_stopped(void *stop)
{
    worker w = {0};
    while (!atomic_load((atomic_bool *)stop))
        answer_whoever_asks(&w);
    return NULL;
}

static void threads__answer_requests(void **state)
{
    (void)state;
    pthread_t threads[2];
    atomic_bool done = false;
    for (int i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, answer_until_stopped, &done);
    int fd = client_connect(url);
    for (int i = 0; i < 200; i++) {
        client_get(fd, "/ask");
        assert_int_equal(client_read_answer(fd, "Content-Type: text/plain"), 200);
        assert_string_equal(client_bytes, "yes");
    }
    atomic_store(&done, true);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    close(fd);
}

static void threads__decide_on_requests(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        int fd = client_connect(url);
        client_ask(fd, "/asked", "");
        CLIENT_UNTIL(atomic_load(&asked));
        weft_exchange exchange = {atomic_exchange(&asked, 0)};
        assert_int_equal(weft_header(exchange, "X-Turn", "yours"), 0);
        assert_int_equal(i % 2 ? weft_accept(exchange, NULL) : weft_reject(exchange, 403, "no"), 0);
        assert_int_equal(weft_accept(exchange, NULL), 0); /* handed over, and then too late */
        assert_int_equal(client_read_head(fd), i % 2 ? 101 : 403);
        assert_true(client_head_has("X-Turn: yours"));
        client_reset(fd);
    }
}

static void threads__hear_pongs(void **state)
{
    (void)state;
    int fd = client_open(url, "/host");
    CLIENT_UNTIL(atomic_load(&host));
    weft_peer peer = {host};
    assert_int_equal(weft_ping(peer, (weft_str){"hi", 2}), 0);
    client_expect(fd, CLIENT_PING, "hi");
    client_send(fd, CLIENT_FIN | CLIENT_PONG, "hi", 2);
    CLIENT_UNTIL(atomic_load(&n_pongs) == 1);
    client_leave(fd);
}

static void noop_timer(weft *self, void *user)
{
    (void)self;
    (void)user;
}

static void noop_peer_timer(weft_peer peer, void *user)
{
    (void)peer;
    (void)user;
}

static void threads__may_not_do_what_belongs_on_the_loop(void **state)
{
    (void)state;
    weft_peer_info info;
    int fd = client_open(url, "/host");
    CLIENT_UNTIL(atomic_load(&host));
    weft_peer peer = {host};
    assert_int_equal(weft_subscribe(peer, "t", NULL), WEFT_E_THREAD);
    assert_int_equal(weft_unsubscribe(peer, "t"), WEFT_E_THREAD);
    assert_int_equal(weft_pause(peer), WEFT_E_THREAD);
    assert_int_equal(weft_resume(peer), WEFT_E_THREAD);
    assert_int_equal(weft_peer_about(peer, &info), WEFT_E_THREAD);
    assert_int_equal(weft_cancel((weft_timer){peer.id}), WEFT_E_THREAD);
    assert_int_equal(weft_queued(peer), 0);
    assert_null(weft_of(peer));
    assert_null(weft_user(peer));
    assert_null(weft_data(peer));
    assert_int_equal(weft_after(app, 1, noop_timer, NULL).id, 0);
    assert_int_equal(weft_every(app, 1, noop_timer, NULL).id, 0);
    assert_int_equal(weft_peer_after(peer, 1, noop_peer_timer, NULL).id, 0);
    assert_int_equal(weft_free(app), WEFT_E_INVALID);
    client_leave(fd);
}

/* -------------------------------------------------------------------------------------------------------------- the end */

static atomic_int n_hammering;

/* Calls until the application has ended; the last result. */
static void *hammer(void *user)
{
    (void)user;
    intptr_t result = 0;
    atomic_fetch_add(&n_hammering, 1);
    while (result != WEFT_E_CLOSED) {
        weft_peer peer = {atomic_load(&host)};
        weft_send_text(peer, "x");
        weft_ping(peer, (weft_str){NULL, 0});
        weft_accept((weft_exchange){peer.id}, "x");
        weft_answer((weft_exchange){peer.id}, 200, NULL, "x", 1);
        weft_close((weft_peer){peer.id ^ 1}, 1000, "x");
        weft_post(app, count_post, NULL);
        result = weft_publish_text(app, "news", "x");
    }
    return (void *)result;
}

static void threads__are_told_when_the_application_has_ended(void **state)
{
    (void)state;
    pthread_t threads[N_THREADS];
    void *result;
    n_hammering = 0;
    int fd = client_open(url, "/host");
    CLIENT_UNTIL(atomic_load(&host));
    for (int i = 0; i < N_THREADS; i++)
        pthread_create(&threads[i], NULL, hammer, NULL);
    CLIENT_UNTIL(atomic_load(&n_hammering) == N_THREADS);
    weft_stop(app);
    for (int i = 0; i < N_THREADS; i++) {
        pthread_join(threads[i], &result);
        assert_int_equal((intptr_t)result, WEFT_E_CLOSED);
    }
    close(fd);
}

static void check_all_closed(weft_peer peer)
{
    weft_exchange exchange = {peer.id};
    assert_int_equal(weft_send_text(peer, "x"), WEFT_E_CLOSED);
    assert_int_equal(weft_ping(peer, (weft_str){NULL, 0}), WEFT_E_CLOSED);
    assert_int_equal(weft_close(peer, 1000, NULL), WEFT_E_CLOSED);
    assert_int_equal(weft_abort(peer), WEFT_E_CLOSED);
    assert_int_equal(weft_accept(exchange, NULL), WEFT_E_CLOSED);
    assert_int_equal(weft_reject(exchange, 400, NULL), WEFT_E_CLOSED);
    assert_int_equal(weft_header(exchange, "X", "y"), WEFT_E_CLOSED);
    assert_int_equal(weft_answer(exchange, 200, NULL, NULL, 0), WEFT_E_CLOSED);
    assert_int_equal(weft_pause(peer), WEFT_E_THREAD);
}

/* The place of an ended application's loop is taken by the next: its handles stay strangers there. */
static void threads__keep_handles_that_outlive_their_application(void **state)
{
    (void)state;
    int fd = client_open(url, "/host");
    CLIENT_UNTIL(atomic_load(&host));
    weft_peer stale = {host};
    assert_int_equal(stop(state), 0);
    close(fd);
    check_all_closed(stale);
    assert_int_equal(start(state), 0);
    fd = client_open(url, "/host");
    CLIENT_UNTIL(atomic_load(&host));
    assert_int_equal(host >> 56, stale.id >> 56);
    assert_int_equal(weft_send_text(stale, "not for you"), 0);
    assert_int_equal(weft_close(stale, 1000, NULL), 0);
    assert_int_equal(weft_send_text((weft_peer){host}, "for you"), 0);
    client_expect_text(fd, "for you");
    client_leave(fd);
}

/* Nobody takes what is pushed until the application is stepped. */
static void threads__are_told_when_the_inbox_is_full(void **state)
{
    (void)state;
    enum { BYTES = 1 << 20 };
    char *bytes = calloc(1, BYTES);
    const weft_message message = {.kind = WEFT_BINARY, .data = {bytes, BYTES}};
    weft *idle = weft_new(NULL);
    for (int i = 0; i < 15; i++)
        assert_int_equal(weft_publish(idle, "t", &message, NULL), 0);
    assert_int_equal(weft_publish(idle, "t", &message, NULL), WEFT_E_FULL);
    assert_int_equal(weft_publish_text(idle, "t", "small"), 0);
    assert_int_equal(weft_step(idle, 0), 1);
    assert_int_equal(weft_publish(idle, "t", &message, NULL), 0);
    weft_stop(idle);
    assert_int_equal(weft_run(idle), 0);
    assert_int_equal(weft_publish(idle, "t", &message, NULL), WEFT_E_CLOSED);
    assert_int_equal(weft_free(idle), 0);
    free(bytes);
}

#define THREAD_TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)
#define ONE_LOOP_TEST(f)                                                                                               \
    {                                                                                                                  \
#f, f, start, stop, (void *)(uintptr_t)1                                                                       \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        ONE_LOOP_TEST(threads__keep_their_order_while_clients_come_and_go), /* publications have another way else */
        THREAD_TEST(threads__answer_requests),
        THREAD_TEST(threads__decide_on_requests),
        THREAD_TEST(threads__hear_pongs),
        THREAD_TEST(threads__may_not_do_what_belongs_on_the_loop),
        THREAD_TEST(threads__are_told_when_the_application_has_ended),
        THREAD_TEST(threads__keep_handles_that_outlive_their_application),
        cmocka_unit_test(threads__are_told_when_the_inbox_is_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
