/* What clients and callbacks see of an application with several loops. */
#include "app/loops.h"
#include <sys/resource.h>

/* ------------------------------------------------------------------------------------------------------------ spreading */

static void loops__share_the_connections(void **state)
{
    (void)state;
    enum { N = 8 };
    guest guests[N];
    int n_of[256] = {0}, n_used = 0;
    loops_serve((weft_websocket_options){0});
    guests_come(guests, N);
    for (int i = 0; i < N; i++)
        n_used += n_of[loop_of(guests[i].peer)]++ == 0;
    assert_int_equal(n_used, n_loops);
    for (int i = 0; i < 256; i++)
        assert_true(n_of[i] <= (int)(N / n_loops + 1));
    guests_leave(guests, N);
}

/* The kernel queues them all before one is accepted: what is on its way to a loop counts there. */
static void loops__share_connections_that_come_at_once(void **state)
{
    (void)state;
    enum { N = 8 };
    guest guests[N];
    int n_of[256] = {0};
    assert_int_equal(weft_websocket(app, "/", &(weft_websocket_options){.open = tell_handle}), 0);
    assert_int_equal(weft_listen(app, "http://127.0.0.1:0", NULL), 0);
    for (int i = 0; i < N; i++) {
        guests[i].fd = client_connect(weft_listening(app, 0));
        client_ask(guests[i].fd, "/", "");
    }
    pthread_create(&runner, NULL, loops_run, app);
    is_begun = true;
    for (int i = 0; i < N; i++) {
        client_expect_accepted(guests[i].fd);
        n_of[strtoull(client_receive(guests[i].fd).at, NULL, 16) >> 56]++;
    }
    for (int i = 0; i < 256; i++)
        assert_true(n_of[i] <= (int)(N / n_loops + 1));
    guests_leave(guests, N);
}

/* Whoever comes then goes where others have left. */
static void loops__fill_up_the_one_that_was_left(void **state)
{
    (void)state;
    enum { N = 8 };
    guest guests[N];
    have_admin();
    loops_serve((weft_websocket_options){0});
    guests_come(guests, N);
    unsigned left = loop_of(guests[N - 1].peer);
    int n_left = 0;
    for (int i = 0; i < N; i++)
        if (loop_of(guests[i].peer) == left) {
            client_leave(guests[i].fd);
            guests[i].fd = -1;
            n_left++;
        }
    METRIC_BECOMES("weft_open_sockets", N - n_left);
    scrape(); /* the turn in which that was counted is over */
    for (int i = 0; i < N; i++)
        if (guests[i].fd < 0) {
            guests[i] = guest_comes();
            n_left -= loop_of(guests[i].peer) == left;
        }
    assert_true(n_left <= 1);
    guests_leave(guests, N);
}

/* Clients that come one after the other do not all go to the same. */
static void loops__take_turns_when_they_have_as_many(void **state)
{
    (void)state;
    bool used[256] = {false};
    have_admin();
    loops_serve((weft_websocket_options){0});
    for (unsigned i = 0; i < n_loops; i++) {
        guest g = guest_comes();
        assert_false(used[loop_of(g.peer)]);
        used[loop_of(g.peer)] = true;
        client_leave(g.fd);
        METRIC_BECOMES("weft_open_sockets", 0);
        scrape(); /* the turn in which that was counted is over */
    }
}

static void loops__echo(void **state)
{
    (void)state;
    enum { N = 8, ROUNDS = 50 };
    guest guests[N];
    char text[32];
    loops_serve((weft_websocket_options){.message = on_echo});
    guests_come(guests, N);
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < N; i++) {
            snprintf(text, sizeof text, "%d:%d", i, round);
            client_send_text(guests[i].fd, text);
        }
        for (int i = 0; i < N; i++) {
            snprintf(text, sizeof text, "%d:%d", i, round);
            client_expect_text(guests[i].fd, text);
        }
    }
    guests_leave(guests, N);
}

/* ----------------------------------------------------------------------------------------------- calls from elsewhere */

static void *send_to_all(void *user)
{
    const guest *guests = user;
    intptr_t n_failed = 0;
    for (int i = 0; i < 400; i++)
        n_failed += weft_send_text(guests[i % 4].peer, "from outside") != 0;
    return (void *)n_failed;
}

static void loops__take_sends_of_other_threads(void **state)
{
    (void)state;
    enum { N = 4, THREADS = 3 };
    guest guests[N];
    pthread_t threads[THREADS];
    loops_serve((weft_websocket_options){0});
    guests_come(guests, N);
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, send_to_all, guests);
    for (int k = 0; k < 100 * THREADS; k++)
        for (int i = 0; i < N; i++)
            client_expect_text(guests[i].fd, "from outside");
    for (int i = 0; i < THREADS; i++) {
        void *n_failed;
        pthread_join(threads[i], &n_failed);
        assert_null(n_failed);
    }
    for (int i = 0; i < N; i++)
        assert_int_equal(weft_close(guests[i].peer, 4000 + i, "go"), 0);
    for (int i = 0; i < N; i++) {
        client_expect_close(guests[i].fd, 4000 + i);
        assert_string_equal(client_bytes + 2, "go");
        client_reset(guests[i].fd);
    }
    CLIENT_UNTIL(atomic_load(&n_closed) == N);
    assert_int_equal(weft_send_text(guests[0].peer, "too late"), 0); /* handed over */
}

/* "send HANDLE", "close HANDLE", "abort HANDLE", "ping HANDLE": to that peer, wherever it is. */
static void obey(weft_peer who, const weft_message *message)
{
    char verb[16], answer[32];
    unsigned long long id;
    int result = -1;
    if (sscanf(message->data.at, "%15s %llx", verb, &id) != 2)
        return;
    weft_peer to = {id};
    if (strcmp(verb, "send") == 0)
        result = weft_send_text(to, "from a neighbour");
    else if (strcmp(verb, "close") == 0)
        result = weft_close(to, 4001, "by a neighbour");
    else if (strcmp(verb, "abort") == 0)
        result = weft_abort(to);
    else if (strcmp(verb, "ping") == 0)
        result = weft_ping(to, (weft_str){"?", 1});
    else if (strcmp(verb, "pause") == 0)
        result = weft_pause(to);
    snprintf(answer, sizeof answer, "%d", result);
    weft_send_text(who, answer);
}

static void say_to(const guest *from, const char *verb, const guest *to, const char *answer)
{
    char text[64];
    snprintf(text, sizeof text, "%s %llx ", verb, (unsigned long long)to->peer.id);
    client_send_text(from->fd, text);
    client_expect_text(from->fd, answer);
}

static void loops__take_calls_of_each_other(void **state)
{
    (void)state;
    enum { N = 4 };
    guest guests[N];
    loops_serve((weft_websocket_options){.message = obey});
    guests_come(guests, N); /* one on each, or two */
    assert_int_not_equal(loop_of(guests[0].peer), loop_of(guests[1].peer));
    for (int i = 0; i < N; i++)
        for (int k = 0; k < N; k++) {
            if (i == k)
                continue;
            say_to(&guests[i], "send", &guests[k], "0");
            client_expect_text(guests[k].fd, "from a neighbour");
            say_to(&guests[i], "ping", &guests[k], "0");
            client_expect(guests[k].fd, CLIENT_PING, "?");
        }
    char thread[8];
    snprintf(thread, sizeof thread, "%d", WEFT_E_THREAD);
    say_to(&guests[0], "pause", &guests[1], thread);
    say_to(&guests[0], "close", &guests[1], "0");
    client_expect_close(guests[1].fd, 4001);
    client_reset(guests[1].fd);
    say_to(&guests[3], "abort", &guests[2], "0");
    client_expect_end(guests[2].fd);
    client_leave(guests[0].fd);
    client_leave(guests[3].fd);
}

static _Atomic uint64_t asked;

static void remember_exchange(weft_exchange which, const weft_request *request, void *user)
{
    (void)request, (void)user;
    atomic_store(&asked, which.id);
}

static void answer_it(weft_peer who, const weft_message *message)
{
    (void)who;
    weft_exchange which = {atomic_exchange(&asked, 0)};
    weft_header(which, "X-From", "a neighbour");
    weft_answer(which, 200, "text/plain", message->data.at, message->data.len);
}

static void loops__answer_requests_of_each_other(void **state)
{
    (void)state;
    enum { N = 4 };
    guest guests[N];
    assert_int_equal(weft_get(app, "/ask", remember_exchange, NULL), 0);
    loops_serve((weft_websocket_options){.message = answer_it});
    guests_come(guests, N);
    for (int i = 0; i < 2 * N; i++) {
        int fd = client_connect(where);
        client_get(fd, "/ask");
        CLIENT_UNTIL(atomic_load(&asked));
        client_send_text(guests[i % N].fd, "hi");
        assert_int_equal(client_read_answer(fd, "X-From: a neighbour"), 200);
        assert_string_equal(client_bytes, "hi");
        close(fd);
    }
    guests_leave(guests, N);
}

/* ---------------------------------------------------------------------------------------------------------- publishing */

static void join_news(weft_peer who)
{
    weft_subscribe(who, "news", NULL);
    tell_handle(who);
}

static void publish_it(weft_peer who, const weft_message *message)
{
    if (weft_publish(weft_of(who), "news", message, NULL))
        weft_abort(who);
}

static void read_until(int fd, const char *text)
{
    client_frame frame;
    do {
        frame = client_receive(fd);
        assert_int_equal(frame.opcode, CLIENT_TEXT);
    } while (strcmp(frame.at, text) != 0);
}

/* From the loops of all clients and from this thread: everybody gets all of it in one order, and that of each who publishes. */
static void loops__have_topics_in_common(void **state)
{
    (void)state;
    enum { N = 8, ROUNDS = 30, ALL = (N + 1) * ROUNDS };
    guest guests[N];
    char text[32], first[ALL][16];
    loops_serve((weft_websocket_options){.open = join_news, .message = publish_it});
    for (int i = 0; i < N; i++) {
        guests[i] = guest_comes();
        snprintf(text, sizeof text, "ready %d", i);
        client_send_text(guests[i].fd, text);
        read_until(guests[i].fd, text);
    }
    assert_int_equal(weft_publish_text(app, "news", "go"), 0);
    for (int i = 0; i < N; i++)
        read_until(guests[i].fd, "go");
    for (int round = 0; round < ROUNDS; round++)
        for (int i = 0; i <= N; i++) {
            snprintf(text, sizeof text, "%d:%d", i, round);
            if (i < N)
                client_send_text(guests[i].fd, text);
            else
                assert_int_equal(weft_publish_text(app, "news", text), 0);
        }
    for (int i = 0; i < N; i++) {
        int next[N + 1] = {0}, who, round;
        for (int k = 0; k < ALL; k++) {
            client_frame frame = client_receive(guests[i].fd);
            if (i == 0)
                snprintf(first[k], sizeof first[k], "%s", frame.at);
            assert_string_equal(frame.at, first[k]);
            assert_int_equal(sscanf(frame.at, "%d:%d", &who, &round), 2);
            assert_int_equal(round, next[who]++);
        }
    }
    guests_leave(guests, N);
}

/* ------------------------------------------------------------------------------------------------------ posts and time */

static atomic_int n_done, n_astray;

static void note_posted(weft *self, void *user)
{
    (void)user;
    atomic_fetch_add(&n_astray, self != app || !pthread_equal(pthread_self(), runner));
    atomic_fetch_add(&n_done, 1);
}

static void post_once(weft_peer who, const weft_message *message)
{
    (void)message;
    if (weft_post(weft_of(who), note_posted, NULL))
        atomic_fetch_add(&n_astray, 1);
}

static void loops__run_posts_on_the_first(void **state)
{
    (void)state;
    enum { N = 8 };
    guest guests[N];
    n_done = n_astray = 0;
    loops_serve((weft_websocket_options){.message = post_once});
    guests_come(guests, N);
    for (int i = 0; i < N; i++) {
        client_send_text(guests[i].fd, "post");
        assert_int_equal(weft_post(app, note_posted, NULL), 0);
    }
    CLIENT_UNTIL(atomic_load(&n_done) == 2 * N);
    assert_int_equal(n_astray, 0);
    guests_leave(guests, N);
}

/* What a peer's callback has started. */
typedef struct {
    pthread_t thread;
    weft_timer every;
} started_timer;

static started_timer started[LOOPS_MOST_CLIENTS];
static atomic_int n_started, n_ticks;
static _Atomic uint64_t a_timer;

static void timer_went_off(weft *self, void *user)
{
    const started_timer *t = user;
    atomic_fetch_add(&n_astray, self != app || !pthread_equal(pthread_self(), t->thread));
    atomic_fetch_add(&n_done, 1);
}

static void timer_ticks(weft *self, void *user)
{
    started_timer *t = user;
    (void)self;
    atomic_fetch_add(&n_ticks, 1);
    atomic_fetch_add(&n_astray, weft_cancel(t->every) != 0 || !pthread_equal(pthread_self(), t->thread));
}

static void peer_timer_went_off(weft_peer who, void *user)
{
    const started_timer *t = user;
    atomic_fetch_add(&n_astray, !weft_of(who) || !pthread_equal(pthread_self(), t->thread));
    atomic_fetch_add(&n_done, 1);
}

static void start_timers(weft_peer who)
{
    started_timer *t = &started[atomic_fetch_add(&n_started, 1)];
    uint64_t other = atomic_exchange(&a_timer, 0);
    t->thread = pthread_self();
    weft_after(weft_of(who), 1, timer_went_off, t);
    weft_peer_after(who, 1, peer_timer_went_off, t);
    t->every = weft_every(weft_of(who), 1, timer_ticks, t);
    atomic_fetch_add(&n_astray, weft_every(weft_of(who), 3600000, timer_ticks, t).id >> 56 != loop_of(who));
    if (other && (other >> 56) != loop_of(who))
        atomic_fetch_add(&n_astray, weft_cancel((weft_timer){other}) != WEFT_E_THREAD);
    atomic_store(&a_timer, t->every.id);
    tell_handle(who);
}

static void loops__have_timers_of_their_own(void **state)
{
    (void)state;
    enum { N = 8 };
    guest guests[N];
    n_done = n_astray = n_started = n_ticks = 0;
    a_timer = 0;
    loops_serve((weft_websocket_options){.open = start_timers});
    guests_come(guests, N);
    CLIENT_UNTIL(atomic_load(&n_done) == 2 * N && atomic_load(&n_ticks) == N);
    assert_int_equal(weft_after(app, 1, timer_went_off, NULL).id, 0); /* this thread drives none */
    guests_leave(guests, N);
    assert_int_equal(n_astray, 0);
}

/* What was started before weft_run() belongs to the first. */
static void loops__keep_timers_from_before(void **state)
{
    (void)state;
    n_done = n_astray = 0;
    assert_int_not_equal(weft_after(app, 1, note_posted, NULL).id, 0);
    assert_int_equal(weft_cancel(weft_after(app, 1, note_posted, NULL)), 0);
    loops_serve((weft_websocket_options){0});
    CLIENT_UNTIL(atomic_load(&n_done) == 1);
    assert_int_equal(n_astray, 0);
}

/* ------------------------------------------------------------------------------------------------------------- metrics */

static double sum_of(const char *name, const char *label, int from, int n)
{
    char series[128];
    double sum = 0;
    for (int i = from; i < from + n; i++) {
        snprintf(series, sizeof series, "%s{%s=\"%d\"}", name, label, i);
        sum += scraped_value(series);
    }
    return sum;
}

static void loops__are_counted_together(void **state)
{
    (void)state;
    enum { N = 8, ROUNDS = 5 };
    guest guests[N];
    have_admin();
    loops_serve((weft_websocket_options){.message = on_echo});
    guests_come(guests, N);
    for (int round = 0; round < ROUNDS; round++)
        for (int i = 0; i < N; i++) {
            client_send_text(guests[i].fd, "four");
            client_expect_text(guests[i].fd, "four");
        }
    scrape();
    assert_int_equal(scraped_value("weft_loops"), n_loops);
    assert_int_equal(scraped_value("weft_silent_loops"), 0);
    assert_int_equal(scraped_value("weft_connections{transport=\"websocket\"}"), N);
    assert_int_equal(scraped_value("weft_open_sockets"), N);
    assert_int_equal(scraped_value("weft_received_messages_total{transport=\"websocket\"}"), N * ROUNDS);
    assert_int_equal(scraped_value("weft_received_bytes_total{transport=\"websocket\"}"), 4 * N * ROUNDS);
    assert_int_equal(scraped_value("weft_accepted_connections_total"), N);
    guests_leave(guests, N);
    METRIC_BECOMES("weft_open_sockets", 0);
    assert_int_equal(sum_of("weft_disconnects_total", "code", 1000, 1), N);
    METRIC_BECOMES("weft_undelivered_calls_total", 0);
    for (int i = 0; i < N; i++)
        assert_int_equal(weft_send_text(guests[i].peer, "nobody"), 0);
    METRIC_BECOMES("weft_undelivered_calls_total", N);
    CLIENT_UNTIL(metric("weft_loop_lag_seconds_count") > 2 * n_loops);
}

static atomic_bool is_held;

static void hold_loop(weft_peer who, const weft_message *message)
{
    (void)who, (void)message;
    while (atomic_load(&is_held))
        poll(NULL, 0, 1);
}

static void loops__are_not_waited_for_longer_than_a_second(void **state)
{
    (void)state;
    guest guests[4];
    have_admin();
    loops_serve((weft_websocket_options){.message = hold_loop});
    guests_come(guests, 4);
    scrape();
    int held = loop_of(guests[0].peer) == 0 ? 1 : 0; /* never the first loop: another application may have it */
    for (int i = 0; i < 4; i++)
        if (loop_of(guests[i].peer) != loop_of(guests[held].peer) &&
            loop_of(guests[i].peer) > loop_of(guests[held].peer))
            held = i;
    atomic_store(&is_held, true);
    client_send_text(guests[held].fd, "wait");
    CLIENT_UNTIL(metric("weft_silent_loops") == 1);
    assert_int_equal(scraped_value("weft_loops"), n_loops - 1);
    client_get(operator_fd, "/metrics"); /* answered late, after the answer that was waited for has come */
    atomic_store(&is_held, false);
    assert_int_equal(client_read_answer(operator_fd, NULL), 200);
    CLIENT_UNTIL(metric("weft_silent_loops") == 0);
    guests_leave(guests, 4);
}

/* -------------------------------------------------------------------------------------------------------------- limits */

static void loops__turn_away_when_descriptors_run_out(void **state)
{
    (void)state;
    struct rlimit before, few;
    loops_serve((weft_websocket_options){0});
    guest first = guest_comes();
    int fds[3];
    for (int i = 0; i < 3; i++) /* for the clients' side */
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int lowest = dup(0);
    close(lowest);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    few = (struct rlimit){.rlim_cur = (rlim_t)lowest, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    struct sockaddr_storage to;
    socklen_t len = client_address(where, &to);
    int statuses[3];
    for (int i = 0; i < 3; i++)
        statuses[i] = connect(fds[i], (struct sockaddr *)&to, len) == 0 ? client_read_head(fds[i]) : -1;
    setrlimit(RLIMIT_NOFILE, &before); /* first: what fails here is not to fail all that follows */
    for (int i = 0; i < 3; i++) {
        assert_int_equal(statuses[i], 503);
        close(fds[i]);
    }
    guest guests[6];
    guests_come(guests, 6);
    guests_leave(guests, 6);
    client_leave(first.fd);
}

static void fail_allocations(weft *self, void *user)
{
    (void)self;
    mem_fail_from(*(const uint64_t *)user);
    atomic_fetch_add(&n_done, 1);
}

static void set_failing(uint64_t from)
{
    static uint64_t posted;
    posted = from;
    n_done = 0;
    assert_int_equal(weft_post(app, fail_allocations, &posted), 0);
    CLIENT_UNTIL(atomic_load(&n_done) == 1);
}

/* The first loop serves whom it cannot hand over, or closes if there is no memory for that either. */
static void loops__outlive_a_lack_of_memory(void **state)
{
    (void)state;
    loops_serve((weft_websocket_options){0});
    for (uint64_t n = 1; n < 8; n++)
        for (unsigned k = 0; k < n_loops; k++) {
            set_failing(n);
            int fd = client_connect(where);
            client_ask(fd, "/", "");
            int status = client_read_head(fd);
            assert_true(status == 0 || status == 101 || status == 503 || status == 500 || status == -1);
            close(fd);
            set_failing(0);
        }
    guest guests[4];
    guests_come(guests, 4);
    guests_leave(guests, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOOPS_TEST(loops__share_the_connections),
        LOOPS_TEST(loops__share_connections_that_come_at_once),
        LOOPS_TEST(loops__fill_up_the_one_that_was_left),
        LOOPS_TEST(loops__take_turns_when_they_have_as_many),
        LOOPS_TEST(loops__echo),
        LOOPS_TEST(loops__take_sends_of_other_threads),
        LOOPS_TEST(loops__take_calls_of_each_other),
        LOOPS_TEST(loops__answer_requests_of_each_other),
        LOOPS_TEST(loops__have_topics_in_common),
        LOOPS_TEST(loops__run_posts_on_the_first),
        LOOPS_TEST(loops__have_timers_of_their_own),
        LOOPS_TEST(loops__keep_timers_from_before),
        LOOPS_TEST(loops__are_counted_together),
        LOOPS_TEST(loops__are_not_waited_for_longer_than_a_second),
        LOOPS_TEST(loops__turn_away_when_descriptors_run_out),
        LOOPS_TEST(loops__outlive_a_lack_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
