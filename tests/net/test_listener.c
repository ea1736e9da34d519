#include "net/listener.h"
#include "support/check.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { PATIENCE_MS = 20000, N_ACCEPTED = 128, N_CLIENTS = 32 };

static loop the_loop;
static net the_net;
static listener the_listener;
static int accepted[N_ACCEPTED];
static size_t n_accepted;
static char directory[64], path[100]; /* for Unix sockets */
static char log_text[1000];

static void keep_log(weft_log_level level, const char *line, void *user)
{
    (void)user;
    size_t len = strlen(log_text);
    snprintf(log_text + len, sizeof log_text - len, "%d %s\n", (int)level, line);
}

static const logger the_log = {.fn = keep_log};

static void keep(listener *l, int fd, address_use *use)
{
    assert_null(use); /* from loopback nobody is counted */
    assert_ptr_equal(l->owner, &the_net);
    assert_true(n_accepted < N_ACCEPTED);
    accepted[n_accepted++] = fd;
}

static void close_accepted(void)
{
    while (n_accepted)
        close(accepted[--n_accepted]);
}

static int start(void **state)
{
    (void)state;
    strcpy(directory, "/tmp/weft-listener-XXXXXX");
    if (!mkdtemp(directory))
        return -1;
    snprintf(path, sizeof path, "%s/socket", directory);
    n_accepted = 0;
    log_text[0] = '\0';
    the_listener = (listener){.source.fd = -1};
    if (loop_init(&the_loop, &the_loop))
        return -1;
    return net_init(&the_net, &the_loop, &the_log);
}

static int stop(void **state)
{
    (void)state;
    listener_close(&the_listener);
    close_accepted();
    net_done(&the_net);
    loop_done(&the_loop);
    unlink(path);
    rmdir(directory);
    return 0;
}

static address address_of(const char *url)
{
    address found[ADDRESS_MAX];
    const char *problem;
    assert_int_equal(address_parse(url, found, &problem), 1);
    return found[0];
}

static address unix_address(void)
{
    char url[120];
    snprintf(url, sizeof url, "unix:%s", path);
    return address_of(url);
}

static int open_listener(listener *l, address where, const weft_listen_options *options)
{
    int error = listener_open(l, &where, options);
    return error ? error : listener_start(l, &the_net, keep, &the_net);
}

static int connect_to(const address *where)
{
    int fd = socket(where->at.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&where->at, where->len), 0);
    return fd;
}

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void turn_until_accepted(size_t n)
{
    uint64_t until = now_ms() + PATIENCE_MS;
    while (n_accepted < n) {
        assert_true(now_ms() < until);
        assert_int_equal(loop_step(&the_loop, 10), 0);
    }
}

static size_t count_descriptors(void)
{
    size_t n = 0;
    DIR *dir = opendir("/proc/self/fd");
    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
}

/* ---- accepting ---- */

static void accepts_on(address where, const char *url_prefix)
{
    assert_int_equal(open_listener(&the_listener, where, NULL), 0);
    assert_memory_equal(the_listener.url, url_prefix, strlen(url_prefix));
    int client = connect_to(&the_listener.where);
    turn_until_accepted(1);
    assert_true(fcntl(accepted[0], F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(accepted[0], F_GETFD) & FD_CLOEXEC);
    assert_int_equal(write(client, "x", 1), 1);
    close(client);
}

static void listener__accepts_on_a_port_that_the_kernel_picks(void **state)
{
    (void)state;
    int no_delay = 0;
    socklen_t len = sizeof no_delay;
    accepts_on(address_of("http://127.0.0.1:0"), "http://127.0.0.1:");
    assert_int_not_equal(address_port(&the_listener.where), 0);
    assert_int_equal(strtol(the_listener.url + strlen("http://127.0.0.1:"), NULL, 10),
                     address_port(&the_listener.where));
    assert_int_equal(getsockopt(accepted[0], IPPROTO_TCP, TCP_NODELAY, &no_delay, &len), 0);
    assert_int_not_equal(no_delay, 0);
}

static void listener__accepts_on_ipv6(void **state)
{
    (void)state;
    accepts_on(address_of("http://[::1]:0"), "http://[::1]:");
}

static void listener__accepts_on_a_unix_socket(void **state)
{
    (void)state;
    struct stat status;
    accepts_on(unix_address(), "unix:/tmp/weft-listener-");
    assert_int_equal(lstat(path, &status), 0);
    listener_close(&the_listener);
    assert_int_equal(lstat(path, &status), -1);
}

static void listener__ipv4_and_ipv6_share_a_port(void **state)
{
    (void)state;
    listener other;
    assert_int_equal(open_listener(&the_listener, address_of("http://[::]:0"), NULL), 0);
    address where = address_of("http://0.0.0.0:0");
    address_set_port(&where, address_port(&the_listener.where));
    assert_int_equal(open_listener(&other, where, NULL), 0);
    listener_close(&other);
}

static void listener__refuses_an_address_in_use(void **state)
{
    (void)state;
    listener other;
    assert_int_equal(open_listener(&the_listener, address_of("http://127.0.0.1:0"), NULL), 0);
    size_t n = count_descriptors();
    assert_int_equal(open_listener(&other, the_listener.where, NULL), -EADDRINUSE);
    assert_int_equal(count_descriptors(), n);
}

static void listener__shares_a_port_when_told_to(void **state)
{
    (void)state;
    listener other;
    weft_listen_options share = {.reuse_port = 1};
    assert_int_equal(open_listener(&the_listener, address_of("http://127.0.0.1:0"), &share), 0);
    assert_int_equal(open_listener(&other, the_listener.where, &share), 0);
    listener_close(&other);
}

static void listener__takes_a_flood_in_turns(void **state)
{
    (void)state;
    int clients[100];
    assert_int_equal(open_listener(&the_listener, address_of("http://127.0.0.1:0"), NULL), 0);
    for (size_t i = 0; i < N_OF(clients); i++)
        clients[i] = connect_to(&the_listener.where);
    assert_int_equal(loop_step(&the_loop, 100), 0);
    assert_in_range(n_accepted, 1, 64);
    turn_until_accepted(N_OF(clients));
    for (size_t i = 0; i < N_OF(clients); i++)
        close(clients[i]);
}

/* A client that resets before it is accepted is its own trouble. */
static void listener__survives_clients_that_are_gone_already(void **state)
{
    (void)state;
    assert_int_equal(open_listener(&the_listener, address_of("http://127.0.0.1:0"), NULL), 0);
    for (int i = 0; i < 10; i++) {
        int fd = connect_to(&the_listener.where);
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){.l_onoff = 1}, sizeof(struct linger));
        close(fd);
    }
    int client = connect_to(&the_listener.where);
    while (n_accepted == 0 || loop_step(&the_loop, 10) || recv(accepted[n_accepted - 1], path, 1, MSG_PEEK) >= 0)
        turn_until_accepted(n_accepted ? n_accepted : 1);
    assert_int_equal(errno, EAGAIN); /* the last one lives */
    close(client);
}

/* ---- Unix sockets ---- */

static void listener__replaces_a_stale_socket(void **state)
{
    (void)state;
    address where = unix_address();
    int dead = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(dead, (struct sockaddr *)&where.at, where.len), 0);
    close(dead);
    assert_int_equal(open_listener(&the_listener, where, NULL), 0);
    close(connect_to(&where));
    turn_until_accepted(1);
}

static void listener__leaves_a_live_socket_alone(void **state)
{
    (void)state;
    listener other;
    assert_int_equal(open_listener(&the_listener, unix_address(), NULL), 0);
    assert_int_equal(open_listener(&other, unix_address(), NULL), -EADDRINUSE);
    close(connect_to(&the_listener.where));
    turn_until_accepted(1);
}

/* One that is too busy to accept is alive too, and must not be waited for. */
static void listener__leaves_a_busy_socket_alone(void **state)
{
    (void)state;
    address where = unix_address();
    listener other;
    int clients[8], busy = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(busy, (struct sockaddr *)&where.at, where.len), 0);
    assert_int_equal(listen(busy, 0), 0);
    for (size_t i = 0; i < N_OF(clients); i++) {
        clients[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        connect(clients[i], (struct sockaddr *)&where.at, where.len);
    }
    alarm(10); /* rather than hang */
    assert_int_equal(open_listener(&other, where, NULL), -EADDRINUSE);
    alarm(0);
    for (size_t i = 0; i < N_OF(clients); i++)
        close(clients[i]);
    close(busy);
}

static void listener__leaves_other_files_alone(void **state)
{
    (void)state;
    struct stat status;
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    close(fd);
    assert_int_equal(open_listener(&the_listener, unix_address(), NULL), -EADDRINUSE);
    assert_int_equal(lstat(path, &status), 0);
    assert_true(S_ISREG(status.st_mode));
}

static void listener__sets_the_mode_of_a_unix_socket(void **state)
{
    (void)state;
    static const int modes[] = {0600, 0666, 0660};
    for (size_t i = 0; i < N_OF(modes); i++) {
        struct stat status;
        weft_listen_options options = {.unix_mode = modes[i]};
        assert_int_equal(open_listener(&the_listener, unix_address(), &options), 0);
        assert_int_equal(lstat(path, &status), 0);
        assert_int_equal(status.st_mode & 0777, modes[i]);
        listener_close(&the_listener);
    }
}

static void listener__that_cannot_be_opened_leaves_nothing(void **state)
{
    (void)state;
    size_t n = count_descriptors();
    char url[200];
    snprintf(url, sizeof url, "unix:%s/none/socket", directory);
    assert_int_equal(open_listener(&the_listener, address_of(url), NULL), -ENOENT);
    assert_int_equal(open_listener(&the_listener, address_of("http://192.0.2.1:0"), NULL), -EADDRNOTAVAIL);
    assert_int_equal(count_descriptors(), n);
    listener_close(&the_listener); /* harmless */
}

/* ---- the end ---- */

static void listener__close_accepts_what_is_queued(void **state)
{
    (void)state;
    int clients[5];
    assert_int_equal(open_listener(&the_listener, address_of("http://127.0.0.1:0"), NULL), 0);
    for (size_t i = 0; i < N_OF(clients); i++)
        clients[i] = connect_to(&the_listener.where);
    size_t n = count_descriptors();
    listener_close(&the_listener);
    assert_int_equal(n_accepted, N_OF(clients));
    assert_int_equal(count_descriptors(), n + N_OF(clients) - 2); /* the listening one and the reserve are closed */
    listener_close(&the_listener);
    for (size_t i = 0; i < N_OF(clients); i++)
        close(clients[i]);
}

static void listener__closed_twice_closes_nothing_else(void **state)
{
    (void)state;
    assert_int_equal(open_listener(&the_listener, unix_address(), NULL), 0);
    listener_close(&the_listener);
    int others[4]; /* they get the numbers that were closed */
    for (size_t i = 0; i < N_OF(others); i++)
        others[i] = dup(0);
    listener_close(&the_listener);
    for (size_t i = 0; i < N_OF(others); i++)
        assert_int_equal(close(others[i]), 0);
}

/* Connections that we closed first stay in TIME_WAIT for a minute. */
static void listener__opens_again_at_once(void **state)
{
    (void)state;
    assert_int_equal(open_listener(&the_listener, address_of("http://127.0.0.1:0"), NULL), 0);
    address where = the_listener.where;
    int client = connect_to(&where);
    turn_until_accepted(1);
    close_accepted();
    close(client);
    listener_close(&the_listener);
    assert_int_equal(open_listener(&the_listener, where, NULL), 0);
}

static void listener__close_before_start(void **state)
{
    (void)state;
    size_t n = count_descriptors();
    address where = unix_address();
    assert_int_equal(listener_open(&the_listener, &where, NULL), 0);
    listener_close(&the_listener);
    assert_int_equal(count_descriptors(), n);
    assert_int_equal(access(path, F_OK), -1);
}

/* ---- out of descriptors ---- */

static rlim_t full_limit;

/* No descriptor is left but what is open; clients are made beforehand. */
static void exhaust(void)
{
    struct rlimit limit;
    int next = dup(0);
    close(next); /* the lowest that is free: all below are taken */
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    full_limit = limit.rlim_cur;
    limit.rlim_cur = (rlim_t)next;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static void relieve(void)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = full_limit;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static int start_exhausted(void **state)
{
    int error = start(state);
    if (error == 0)
        error = open_listener(&the_listener, address_of("http://127.0.0.1:0"), NULL);
    return error;
}

static int stop_exhausted(void **state)
{
    relieve();
    return stop(state);
}

static int turned_away(int client)
{
    char answer[300];
    ssize_t n = recv(client, answer, sizeof answer - 1, MSG_WAITALL);
    if (n < 0)
        return errno == ECONNRESET;
    answer[n] = '\0';
    assert_int_equal(strncmp(answer, "HTTP/1.1 503 ", 13), 0);
    assert_non_null(strstr(answer, "\r\nRetry-After: 1\r\n"));
    return 1;
}

static void listener__turns_clients_away_without_descriptors(void **state)
{
    (void)state;
    int clients[N_CLIENTS];
    for (size_t i = 0; i < N_CLIENTS; i++)
        clients[i] = connect_to(&the_listener.where);
    exhaust();
    uint64_t n_wakes = the_loop.n_wakes, until = now_ms() + PATIENCE_MS;
    while (the_listener.n_shed < N_CLIENTS) {
        assert_true(now_ms() < until);
        assert_int_equal(loop_step(&the_loop, 100), 0);
    }
    assert_true(the_loop.n_wakes - n_wakes <= 2 * N_CLIENTS + 10);
    assert_int_equal(n_accepted, 0);
    for (size_t i = 0; i < N_CLIENTS; i++) {
        assert_true(turned_away(clients[i]));
        close(clients[i]);
    }
    assert_int_equal(the_net.limits.n[LIMIT_DESCRIPTORS], N_CLIENTS);
    assert_non_null(strstr(log_text, "out of file descriptors\" limit=\"ulimit -n\""));
    assert_null(strstr(strchr(log_text, '\n') + 1, "out of file descriptors")); /* said once */
}

/* Its request has come before it is turned away: the answer is not eaten by a reset. */
static void listener__turns_away_whoever_has_asked_already(void **state)
{
    (void)state;
    static const char request[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    int error = -1, client = connect_to(&the_listener.where);
    assert_int_equal(send(client, request, sizeof request - 1, 0), sizeof request - 1);
    exhaust();
    while (the_listener.n_shed < 1)
        assert_int_equal(loop_step(&the_loop, 100), 0);
    assert_true(turned_away(client));
    assert_int_equal(getsockopt(client, SOL_SOCKET, SO_ERROR, &error, &(socklen_t){sizeof error}), 0);
    assert_int_equal(error, 0); /* EPIPE after a reset */
    close(client);
}

static void listener__accepts_again_when_there_are_descriptors(void **state)
{
    (void)state;
    int turned = connect_to(&the_listener.where), client = connect_to(&the_listener.where);
    exhaust();
    while (the_listener.n_shed < 1)
        assert_int_equal(loop_step(&the_loop, 100), 0);
    relieve();
    turn_until_accepted(1);
    assert_true(turned_away(turned));
    assert_int_equal(send(accepted[0], "x", 1, 0), 1);
    assert_int_equal(recv(client, path, 1, 0), 1);
    close(turned);
    close(client);
}

/* Somebody else took the last descriptor: there is nothing to answer with. */
static void listener__waits_rather_than_spins_without_a_reserve(void **state)
{
    (void)state;
    int client = connect_to(&the_listener.where);
    close(the_listener.reserve_fd);
    the_listener.reserve_fd = -1;
    int taken = dup(0);
    exhaust();
    uint64_t n_wakes = the_loop.n_wakes, until = now_ms() + 300;
    while (now_ms() < until)
        assert_int_equal(loop_step(&the_loop, 100), 0);
    assert_in_range(the_loop.n_wakes - n_wakes, 4, 30);
    assert_int_equal(the_listener.n_shed, 0);
    relieve();
    close(taken);
    turn_until_accepted(1);
    close(client);
}

static void listener__may_be_closed_while_it_waits(void **state)
{
    (void)state;
    int client = connect_to(&the_listener.where);
    close(the_listener.reserve_fd);
    the_listener.reserve_fd = -1;
    int taken = dup(0);
    exhaust();
    while (!timer_armed(&the_listener.retry))
        assert_int_equal(loop_step(&the_loop, 100), 0);
    listener_close(&the_listener);
    assert_false(timer_armed(&the_listener.retry));
    relieve();
    close(taken);
    close(client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(listener__accepts_on_a_port_that_the_kernel_picks, start, stop),
        cmocka_unit_test_setup_teardown(listener__accepts_on_ipv6, start, stop),
        cmocka_unit_test_setup_teardown(listener__accepts_on_a_unix_socket, start, stop),
        cmocka_unit_test_setup_teardown(listener__ipv4_and_ipv6_share_a_port, start, stop),
        cmocka_unit_test_setup_teardown(listener__refuses_an_address_in_use, start, stop),
        cmocka_unit_test_setup_teardown(listener__shares_a_port_when_told_to, start, stop),
        cmocka_unit_test_setup_teardown(listener__takes_a_flood_in_turns, start, stop),
        cmocka_unit_test_setup_teardown(listener__survives_clients_that_are_gone_already, start, stop),
        cmocka_unit_test_setup_teardown(listener__replaces_a_stale_socket, start, stop),
        cmocka_unit_test_setup_teardown(listener__leaves_a_live_socket_alone, start, stop),
        cmocka_unit_test_setup_teardown(listener__leaves_a_busy_socket_alone, start, stop),
        cmocka_unit_test_setup_teardown(listener__leaves_other_files_alone, start, stop),
        cmocka_unit_test_setup_teardown(listener__sets_the_mode_of_a_unix_socket, start, stop),
        cmocka_unit_test_setup_teardown(listener__that_cannot_be_opened_leaves_nothing, start, stop),
        cmocka_unit_test_setup_teardown(listener__close_accepts_what_is_queued, start, stop),
        cmocka_unit_test_setup_teardown(listener__closed_twice_closes_nothing_else, start, stop),
        cmocka_unit_test_setup_teardown(listener__opens_again_at_once, start, stop),
        cmocka_unit_test_setup_teardown(listener__close_before_start, start, stop),
        cmocka_unit_test_setup_teardown(listener__turns_clients_away_without_descriptors, start_exhausted,
                                        stop_exhausted),
        cmocka_unit_test_setup_teardown(listener__turns_away_whoever_has_asked_already, start_exhausted,
                                        stop_exhausted),
        cmocka_unit_test_setup_teardown(listener__accepts_again_when_there_are_descriptors, start_exhausted,
                                        stop_exhausted),
        cmocka_unit_test_setup_teardown(listener__waits_rather_than_spins_without_a_reserve, start_exhausted,
                                        stop_exhausted),
        cmocka_unit_test_setup_teardown(listener__may_be_closed_while_it_waits, start_exhausted, stop_exhausted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
