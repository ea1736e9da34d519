/* How an application with several loops is made, reloaded, stopped and freed. */
#include "app/arrivals.h"
#include "app/loops.h"
#include "support/tls_relay.h"
#include <semaphore.h>

/* --------------------------------------------------------------------------------------------------------------- making */

static void loops__are_at_most_64(void **state)
{
    (void)state;
    weft *too_many = weft_new(&(weft_options){.loops = 65});
    assert_non_null(too_many);
    assert_int_equal(weft_listen(too_many, "http://127.0.0.1:0", NULL), 0);
    assert_int_equal(weft_run(too_many), WEFT_E_INVALID);
    assert_string_equal(weft_error(too_many), "loops: 65 are more than the 64 that there can be");
    assert_int_equal(weft_free(too_many), 0);
}

static void loops__share_the_places_of_a_process(void **state)
{
    (void)state;
    weft *most[4];
    for (unsigned i = 0; i < 4; i++) {
        most[i] = weft_new(&(weft_options){.loops = i < 3 ? 64 : 64 - n_loops - 6});
        assert_non_null(most[i]);
    }
    assert_null(weft_new(&(weft_options){.loops = 7})); /* there are six */
    weft *rest = weft_new(&(weft_options){.loops = 6});
    assert_non_null(rest);
    assert_int_equal(weft_free(rest), 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(weft_free(most[i]), 0);
}

static int make_with_loops(void)
{
    weft *made = weft_new(&(weft_options){.loops = n_loops});
    return weft_free(made) || !made ? -1 : 0;
}

static void loops__outlive_every_failing_allocation_of_their_making(void **state)
{
    (void)state;
    check_failing_allocations(make_with_loops);
}

static void loops__are_not_stepped(void **state)
{
    (void)state;
    char text[128];
    assert_int_equal(weft_step(app, 0), WEFT_E_INVALID);
    snprintf(text, sizeof text, "weft_step drives one loop, and the application has %u (option: loops)", n_loops);
    assert_string_equal(weft_error(app), text);
    assert_int_equal(weft_fd(app), WEFT_E_INVALID);
    assert_int_equal(weft_run(app), WEFT_E_INVALID);
}

/* -------------------------------------------------------------------------------------------------- what comes too late */

static atomic_int n_refused;

static void configure_late(weft_peer who, const weft_message *message)
{
    weft *self = weft_of(who);
    (void)message;
    atomic_fetch_add(&n_refused, weft_get(self, "/late", NULL, NULL) == WEFT_E_INVALID);
    atomic_fetch_add(&n_refused, weft_free(self) == WEFT_E_INVALID);
    atomic_fetch_add(&n_refused, weft_error(self) != NULL);
}

static void loops__refuse_configuration_while_they_run(void **state)
{
    (void)state;
    enum { N = 8 };
    guest guests[N];
    n_refused = 0;
    loops_serve((weft_websocket_options){.message = configure_late});
    guests_come(guests, N);
    for (int i = 0; i < N; i++)
        client_send_text(guests[i].fd, "late");
    CLIENT_UNTIL(atomic_load(&n_refused) == 3 * N);
    guests_leave(guests, N);
    weft_stop(app);
    assert_int_equal(loops_join(), WEFT_E_INVALID);
    assert_non_null(strstr(weft_error(app), "weft_route was called after"));
    run_result = 0; /* which was expected */
}

/* ------------------------------------------------------------------------------------------------------------- stopping */

static void loops__stop_when_nobody_is_there(void **state)
{
    (void)state;
    loops_serve((weft_websocket_options){0});
    weft_stop(app);
    assert_int_equal(loops_join(), 0);
    assert_int_equal(weft_run(app), 0);
    assert_int_equal(weft_post(app, NULL, NULL), WEFT_E_INVALID);
    assert_int_equal(weft_publish_text(app, "t", "x"), WEFT_E_CLOSED);
}

static void loops__tell_all_clients_that_they_stop(void **state)
{
    (void)state;
    enum { N = 8 };
    guest guests[N];
    loops_serve((weft_websocket_options){0});
    guests_come(guests, N);
    weft_stop(app);
    for (int i = 0; i < N; i++)
        client_expect_close(guests[i].fd, 1001);
    for (int i = 0; i < N; i++) { /* it waits for the last one */
        client_send_close(guests[i].fd, 1001, "");
        client_expect_end(guests[i].fd);
    }
    assert_int_equal(loops_join(), 0);
    assert_int_equal(n_closed, N);
    for (int i = 0; i < N; i++)
        assert_int_equal(weft_send_text(guests[i].peer, "x"), WEFT_E_CLOSED);
}

/* ---- what is on its way between loops ---- */

static char news[16]; /* a topic that is at home on the second loop */
static sem_t is_held, go_on;

static void choose_news(void)
{
    unsigned n = 0;
    do
        snprintf(news, sizeof news, "news %u", n++);
    while (hub_links_home(&app->links, str_from(news)) != 1);
}

static void follow_news(weft_peer who)
{
    tell_handle(who);
    weft_subscribe(who, news, NULL);
}

static void hold_loop(weft_peer who, const weft_message *message)
{
    (void)who, (void)message;
    sem_post(&is_held);
    sem_wait(&go_on);
}

/* The home of a topic has still to pass a message on when all are told to stop. */
static void loops__say_what_was_published_before_they_stop(void **state)
{
    (void)state;
    guest guests[4];
    sem_init(&is_held, 0, 0);
    sem_init(&go_on, 0, 0);
    choose_news();
    loops_serve((weft_websocket_options){.open = follow_news, .message = hold_loop});
    guests_come(guests, (int)n_loops);
    weft_publish_text(app, news, "first");
    for (unsigned i = 0; i < n_loops; i++)
        client_expect_text(guests[i].fd, "first");
    for (unsigned i = 0; i < n_loops; i++)
        if (loop_of(guests[i].peer) == app->workers[1].loop.index)
            client_send_text(guests[i].fd, "hold");
    sem_wait(&is_held);
    weft_publish_text(app, news, "last");
    weft_stop(app);
    bool told = false;
    for (unsigned i = 0; i < n_loops; i++)
        told |= client_wait(guests[i].fd, POLLIN, 50);
    sem_post(&go_on); /* whatever comes of it: the loop is to end */
    assert_false(told);
    for (unsigned i = 0; i < n_loops; i++) {
        client_expect_text(guests[i].fd, "last");
        client_expect_close(guests[i].fd, 1001);
        client_send_close(guests[i].fd, 1001, "");
        client_expect_end(guests[i].fd);
    }
    assert_int_equal(loops_join(), 0);
}

static void stop_it(weft_peer who, const weft_message *message)
{
    (void)message;
    weft_stop(weft_of(who));
}

static void loops__stop_from_any_of_them(void **state)
{
    (void)state;
    guest guests[4];
    loops_serve((weft_websocket_options){.message = stop_it});
    guests_come(guests, 4);
    client_send_text(guests[3].fd, "stop");
    for (int i = 0; i < 4; i++) {
        client_expect_close(guests[i].fd, 1001);
        client_send_close(guests[i].fd, 1001, "");
        client_expect_end(guests[i].fd);
    }
    assert_int_equal(loops_join(), 0);
}

static void loops__cut_whoever_is_left_at_the_deadline(void **state)
{
    (void)state;
    guest guests[4];
    loops_serve((weft_websocket_options){0});
    guests_come(guests, 4);
    uint64_t began_ms = client_now_ms();
    weft_stop(app);
    assert_int_equal(loops_join(), 0);
    assert_true(client_now_ms() - began_ms >= 300);
    assert_int_equal(n_closed, 4);
    for (int i = 0; i < 4; i++)
        client_reset(guests[i].fd);
}

static int setup_patient(void **state)
{
    loops_options.drain_timeout_ms = 3600000;
    return setup_loops(state);
}

#define PATIENT_TEST(f)                                                                                                \
    {#f " (two_loops)", f, setup_patient, teardown_loops, (void *)(uintptr_t)&two_loops},                              \
    {                                                                                                                  \
#f " (four_loops)", f, setup_patient, teardown_loops, (void *)(uintptr_t)&four_loops                           \
    }

static void loops__cut_everybody_at_the_second_stop(void **state)
{
    (void)state;
    guest guests[4];
    loops_serve((weft_websocket_options){.close_timeout_ms = 3600000});
    guests_come(guests, 4);
    weft_stop(app);
    for (int i = 0; i < 4; i++)
        client_expect_close(guests[i].fd, 1001);
    weft_stop(app);
    assert_int_equal(loops_join(), 0);
    assert_int_equal(n_closed, 4);
    for (int i = 0; i < 4; i++)
        client_expect_end(guests[i].fd);
}

/* Connections may be handed over until the very end. */
static void loops__cut_whoever_is_there_when_their_threads_end(void **state)
{
    (void)state;
    enum { N = 8 };
    guest guests[N];
    loops_serve((weft_websocket_options){.message = on_echo});
    guests_come(guests, N);
    workers_signal(app, SIGNAL_END);
    int n_others = 0;
    for (int i = 0; i < N; i++)
        if (loop_of(guests[i].peer) != app->workers->loop.index) {
            client_expect_end(guests[i].fd);
            guests[i].fd = -1;
            n_others++;
        }
    assert_int_equal(n_others, N - N / n_loops);
    CLIENT_UNTIL(atomic_load(&n_closed) == n_others);
    for (int i = 0; i < N; i++)
        if (guests[i].fd >= 0) {
            client_send_text(guests[i].fd, "still here");
            client_expect_text(guests[i].fd, "still here");
            client_leave(guests[i].fd);
        }
    guest last[2]; /* it serves whom it cannot hand over */
    guests_come(last, 2);
    guests_leave(last, 2);
    weft_stop(app);
    assert_int_equal(loops_join(), 0);
}

static void loops__close_what_was_handed_over_in_vain(void **state)
{
    (void)state;
    int fds[2];
    assert_int_equal(weft_listen(app, "http://127.0.0.1:0", NULL), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    app->listeners->base.owner = app;
    app->next_worker = 1;
    arrivals_accepted(&app->listeners->base, fds[0], NULL);
    assert_int_equal(app->workers[1].n_arriving, 1);
    assert_int_equal(weft_free(app), 0);
    client_expect_end(fds[1]);
    app = NULL;
}

static void loops__are_not_ready_while_they_drain(void **state)
{
    (void)state;
    guest guests[4];
    have_admin();
    loops_serve((weft_websocket_options){0});
    guests_come(guests, 4);
    scrape();
    assert_int_equal(ask_ready(operator_fd), 200);
    weft_stop(app);
    for (int i = 0; i < 4; i++)
        client_expect_close(guests[i].fd, 1001);
    assert_int_equal(ask_ready(operator_fd), 503);
    scrape();
    assert_int_equal(scraped_value("weft_loops"), n_loops);
    for (int i = 0; i < 3; i++) {
        client_send_close(guests[i].fd, 1001, "");
        client_expect_end(guests[i].fd);
    }
    METRIC_BECOMES("weft_open_sockets", 1); /* one loop, and not the first, has a client still: none has ended */
    assert_int_equal(scraped_value("weft_loops"), n_loops);
    client_send_close(guests[3].fd, 1001, "");
    client_expect_end(guests[3].fd);
    assert_int_equal(loops_join(), 0);
}

/* Connects until nobody listens any more, whatever becomes of it. */
static void *flood(void *user)
{
    static const char request[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    struct sockaddr_storage to;
    socklen_t len = client_address(user, &to);
    bool listens = true;
    while (listens) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        listens = connect(fd, (struct sockaddr *)&to, len) == 0;
        if (listens)
            client_try_write(fd, request, sizeof request - 1);
        close(fd);
    }
    return NULL;
}

static void loops__stop_while_clients_come(void **state)
{
    (void)state;
    enum { N = 3 };
    pthread_t threads[N];
    guest guests[4];
    loops_serve((weft_websocket_options){0});
    guests_come(guests, 4);
    for (int i = 0; i < N; i++)
        pthread_create(&threads[i], NULL, flood, where);
    guest last = guest_comes();
    weft_stop(app);
    for (int i = 0; i < N; i++)
        pthread_join(threads[i], NULL);
    weft_stop(app);
    assert_int_equal(loops_join(), 0);
    close(last.fd);
    for (int i = 0; i < 4; i++)
        close(guests[i].fd);
}

/* Sends until there is nobody to send to. */
static void *hammer(void *user)
{
    const weft_peer *peers = user;
    int n_gone = 0;
    while (n_gone < 4) {
        n_gone = 0;
        for (int i = 0; i < 4; i++)
            n_gone += weft_send_text(peers[i], "x") == WEFT_E_CLOSED;
    }
    return NULL;
}

static void loops__refuse_calls_when_they_have_ended(void **state)
{
    (void)state;
    guest guests[4];
    weft_peer peers[4];
    pthread_t threads[2];
    loops_serve((weft_websocket_options){0});
    guests_come(guests, 4);
    for (int i = 0; i < 4; i++)
        peers[i] = guests[i].peer;
    for (int i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, hammer, peers);
    weft_stop(app);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(loops_join(), 0);
    for (int i = 0; i < 4; i++)
        close(guests[i].fd);
}

/* weft_free() alone, with what was never run. */
static void loops__are_freed_without_having_run(void **state)
{
    (void)state;
    assert_int_equal(weft_websocket(app, "/", &(weft_websocket_options){.open = tell_handle}), 0);
    assert_int_equal(weft_listen(app, "http://127.0.0.1:0", NULL), 0);
    int fd = client_connect(weft_listening(app, 0));
    assert_int_equal(weft_free(app), 0);
    client_expect_end(fd);
    app = NULL;
}

static void loops__run_again_as_another_application(void **state)
{
    (void)state;
    guest guests[4];
    for (int round = 0; round < 3; round++) {
        loops_serve((weft_websocket_options){.message = on_echo});
        guests_come(guests, 4);
        guests_leave(guests, 4);
        weft_stop(app);
        assert_int_equal(loops_join(), 0);
        assert_int_equal(weft_free(app), 0);
        app = weft_new(&(weft_options){.loops = n_loops, .drain_timeout_ms = 300});
    }
}

/* ------------------------------------------------------------------------------------------------------------------ TLS */

enum { HANDSHAKES = 12 };

/* A client that does one handshake after the other, and asks something on each connection. */
static void *shake_hands(void *user)
{
    static const char request[] = "GET /tls HTTP/1.1\r\nHost: localhost\r\n\r\n";
    intptr_t n_failed = 0;
    for (int i = 0; i < HANDSHAKES; i++) {
        char answer[256] = {0};
        struct sockaddr_storage to;
        socklen_t len = client_address(user, &to);
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        SSL *ssl = SSL_new(relay_ctx);
        SSL_set_fd(ssl, fd);
        bool asked = connect(fd, (struct sockaddr *)&to, len) == 0 && SSL_connect(ssl) == 1 &&
                     SSL_write(ssl, request, sizeof request - 1) > 0;
        n_failed += !asked || SSL_read(ssl, answer, sizeof answer - 1) <= 0 || !strstr(answer, " 200 ");
        SSL_free(ssl);
        close(fd);
    }
    return (void *)n_failed;
}

static void say_yes(weft_exchange which, const weft_request *request, void *user)
{
    (void)request, (void)user;
    weft_answer(which, 200, "text/plain", "yes", 3);
}

static void loops__shake_hands_while_certificates_change(void **state)
{
    (void)state;
    enum { N = 3 };
    pthread_t threads[N];
    void *n_failed;
    assert_int_equal(weft_get(app, "/tls", say_yes, NULL), 0);
    assert_int_equal(relay_listen(app), 0);
    snprintf(where, sizeof where, "%s", weft_listening(app, 0));
    pthread_create(&runner, NULL, loops_run, app);
    is_begun = true;
    for (int i = 0; i < N; i++)
        pthread_create(&threads[i], NULL, shake_hands, where);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(weft_reload_tls(app), 0);
        tls_context_rotate(app->tls_contexts);
    }
    for (int i = 0; i < N; i++) {
        pthread_join(threads[i], &n_failed);
        assert_null(n_failed);
    }
    assert_int_equal(weft_reload_tls(app), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOOPS_TEST(loops__are_at_most_64),
        LOOPS_TEST(loops__share_the_places_of_a_process),
        LOOPS_TEST(loops__outlive_every_failing_allocation_of_their_making),
        LOOPS_TEST(loops__are_not_stepped),
        LOOPS_TEST(loops__refuse_configuration_while_they_run),
        LOOPS_TEST(loops__stop_when_nobody_is_there),
        LOOPS_TEST(loops__tell_all_clients_that_they_stop),
        PATIENT_TEST(loops__say_what_was_published_before_they_stop),
        LOOPS_TEST(loops__stop_from_any_of_them),
        LOOPS_TEST(loops__cut_whoever_is_left_at_the_deadline),
        PATIENT_TEST(loops__cut_everybody_at_the_second_stop),
        PATIENT_TEST(loops__are_not_ready_while_they_drain),
        PATIENT_TEST(loops__cut_whoever_is_there_when_their_threads_end),
        LOOPS_TEST(loops__close_what_was_handed_over_in_vain),
        LOOPS_TEST(loops__stop_while_clients_come),
        LOOPS_TEST(loops__refuse_calls_when_they_have_ended),
        LOOPS_TEST(loops__are_freed_without_having_run),
        LOOPS_TEST(loops__run_again_as_another_application),
        LOOPS_TEST(loops__shake_hands_while_certificates_change),
    };
    pthread_once(&relay_once, relay_make);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
