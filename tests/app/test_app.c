#include "app/fixture.h"
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>

static int results[16];

/* ------------------------------------------------------------------------------------------------------- configuration */

static void answer_hello(weft_exchange exchange, const weft_request *request, void *user)
{
    (void)request;
    (void)user;
    weft_answer(exchange, 200, "text/plain", "hello", 5);
}

static int listen_on(const char *where)
{
    return weft_listen(app, where, NULL);
}

static int get_on(const char *path)
{
    return weft_get(app, path, answer_hello, NULL);
}

static int websocket_on(const char *path)
{
    return weft_websocket(app, path, NULL);
}

static int get_without_callback(const char *path)
{
    return weft_get(app, path, NULL, NULL);
}

static int configure_topic(const char *pattern)
{
    return weft_topic_configure(app, pattern, NULL);
}

typedef struct {
    int (*call)(const char *what);
    const char *what;
    int error;
    const char *words;
} mistake;

/* The call fails, and everything that would run says the same. */
static void check_mistake(const mistake *m)
{
    app = weft_new(NULL);
    assert_null(weft_error(app));
    assert_int_equal(m->call(m->what), m->error);
    assert_int_equal(listen_on("ftp://later"), WEFT_E_INVALID); /* only the first sticks */
    assert_int_equal(weft_run(app), m->error);
    assert_int_equal(weft_step(app, -1), m->error);
    assert_int_equal(weft_fd(app), m->error);
    assert_int_equal(weft_run_until_signal(app), m->error);
    assert_non_null(strstr(weft_error(app), m->words));
    assert_null(strstr(weft_error(app), "later"));
    assert_int_equal(weft_free(app), 0);
}

static void app__names_what_is_wrong_in_its_configuration(void **state)
{
    (void)state;
    static const mistake mistakes[] = {
        {listen_on, "ftp://a", WEFT_E_INVALID,
         "the address \"ftp://a\" does not begin with http://, https:// or unix:"},
        {listen_on, "http://127.0.0.1:65536", WEFT_E_INVALID, "\"http://127.0.0.1:65536\" has a port"},
        {listen_on, "http://127.0.0.1:1/path", WEFT_E_INVALID, "has a path"},
        {listen_on, "http://[::1", WEFT_E_INVALID, "\"http://[::1\" has a malformed IPv6 address"},
        {listen_on, "http://:80", WEFT_E_INVALID, "has no host"},
        {listen_on, "unix:", WEFT_E_INVALID, "has no path"},
        {listen_on, "unix:/no/such/folder/socket", -ENOENT, "cannot listen on unix:/no/such/folder/socket: No such"},
        {listen_on, NULL, WEFT_E_INVALID, "weft_listen needs an address"},
        {get_on, "chat", WEFT_E_INVALID, "the path \"chat\""},
        {get_on, NULL, WEFT_E_INVALID, "the path \"\""},
        {get_on, ":99999/a", WEFT_E_INVALID, "the path \":99999/a\""},
        {websocket_on, "/a/:", WEFT_E_INVALID, "the path \"/a/:\""},
        {websocket_on, "", WEFT_E_INVALID, "the path \"\""},
        {get_without_callback, "/a", WEFT_E_INVALID, "the route \"/a\" has no callback"},
        {configure_topic, "", WEFT_E_INVALID, "a topic pattern is 1 to 255 bytes"},
        {configure_topic, "a\nb", WEFT_E_INVALID, "a topic pattern is 1 to 255 bytes"},
        {configure_topic, NULL, WEFT_E_INVALID, "a topic pattern is 1 to 255 bytes"},
    };
    for (size_t i = 0; i < N_OF(mistakes); i++)
        check_mistake(&mistakes[i]);
    app = NULL;
}

static void app__says_which_port_is_in_use(void **state)
{
    (void)state;
    weft *other = weft_new(NULL);
    assert_int_equal(weft_listen(other, "http://127.0.0.1:0", NULL), 0);
    const char *where = weft_listening(other, 0);
    assert_int_equal(listen_on(where), -EADDRINUSE);
    assert_non_null(strstr(weft_error(app), where));
    assert_non_null(strstr(weft_error(app), "in use"));
    assert_int_equal(weft_run(app), -EADDRINUSE);
    assert_int_equal(weft_free(other), 0);
}

static void configure_late(void)
{
    results[0] = listen_on("http://127.0.0.1:0");
    results[1] = get_on("/late");
    results[2] = websocket_on("/late");
    results[3] = configure_topic("late");
}

/* A call that comes too late is a mistake of the program, but no reason to let its clients down. */
static void app__goes_on_after_a_call_that_is_too_late(void **state)
{
    (void)state;
    serve(&(weft_websocket_options){.open = on_open, .message = on_echo, .close = on_close});
    on_loop(configure_late);
    for (int i = 0; i < 4; i++)
        assert_int_equal(results[i], WEFT_E_INVALID);
    assert_string_equal(weft_error(app), "weft_listen was called after the application began to run");
    assert_int_equal(weft_step(app, 0), 1);
    int fd = client_open(url, "/");
    client_send_text(fd, "still here");
    client_expect_text(fd, "still here");
    client_leave(fd);
    weft_stop(app);
    assert_int_equal(weft_run(app), WEFT_E_INVALID);
    assert_int_equal(weft_step(app, 0), WEFT_E_INVALID);
}

static void noop(weft *ignored, void *user)
{
    (void)ignored;
    (void)user;
}

static void app__takes_null_everywhere(void **state)
{
    (void)state;
    assert_int_equal(weft_listen(NULL, "http://127.0.0.1:0", NULL), -ENOMEM);
    assert_int_equal(weft_get(NULL, "/", answer_hello, NULL), -ENOMEM);
    assert_int_equal(weft_websocket(NULL, "/", NULL), -ENOMEM);
    assert_int_equal(weft_topic_configure(NULL, "*", NULL), -ENOMEM);
    assert_int_equal(weft_run(NULL), -ENOMEM);
    assert_int_equal(weft_run_until_signal(NULL), -ENOMEM);
    assert_int_equal(weft_fd(NULL), -ENOMEM);
    assert_int_equal(weft_step(NULL, 0), -ENOMEM);
    assert_int_equal(weft_post(NULL, noop, NULL), -ENOMEM);
    assert_int_equal(weft_publish_text(NULL, "t", "x"), -ENOMEM);
    assert_string_equal(weft_error(NULL), "out of memory");
    assert_null(weft_listening(NULL, 0));
    assert_null(weft_app_user(NULL));
    assert_int_equal(weft_after(NULL, 1, noop, NULL).id, 0);
    assert_int_equal(weft_every(NULL, 1, noop, NULL).id, 0);
    assert_int_equal(weft_free(NULL), 0);
    weft_stop(NULL);
}

static void app__takes_null_for_everything_else(void **state)
{
    (void)state;
    assert_int_equal(weft_post(app, NULL, NULL), WEFT_E_INVALID);
    assert_int_equal(weft_after(app, 1, NULL, NULL).id, 0);
    assert_int_equal(weft_every(app, 1, NULL, NULL).id, 0);
    assert_int_equal(weft_publish(app, "t", NULL, NULL), WEFT_E_INVALID);
    assert_int_equal(weft_publish_text(app, NULL, "x"), WEFT_E_INVALID);
    assert_null(weft_error(app));
}

static void app__explains_every_result(void **state)
{
    (void)state;
    static const int codes[] = {0,           WEFT_QUEUED, WEFT_E_FULL,      WEFT_E_CLOSED,  WEFT_E_THREAD,
                                WEFT_E_UTF8, WEFT_E_JSON, WEFT_E_TOO_LARGE, WEFT_E_INVALID, WEFT_E_UNSUPPORTED,
                                -EADDRINUSE, -ENOMEM};
    for (size_t i = 0; i < N_OF(codes); i++)
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(weft_strerror(codes[i]), weft_strerror(codes[j]));
    assert_string_equal(weft_strerror(2), "unknown result");
    assert_string_equal(weft_strerror(-4000), "unknown result");
    assert_string_equal(weft_strerror(INT32_MIN), "unknown result");
}

static void app__keeps_its_user(void **state)
{
    (void)state;
    int mine;
    weft *other = weft_new(&(weft_options){.user = &mine});
    assert_ptr_equal(weft_app_user(other), &mine);
    assert_null(weft_app_user(app));
    weft_free(other);
}

/* ----------------------------------------------------------------------------------------------------------- listeners */

static void app__tells_where_it_listens(void **state)
{
    (void)state;
    assert_null(weft_listening(app, 0));
    assert_int_equal(listen_on("http://127.0.0.1:0"), 0);
    assert_int_equal(listen_on("http://[::1]:0"), 0);
    assert_int_equal(strncmp(weft_listening(app, 0), "http://127.0.0.1:", 17), 0);
    assert_string_not_equal(weft_listening(app, 0), "http://127.0.0.1:0");
    assert_int_equal(strncmp(weft_listening(app, 1), "http://[::1]:", 13), 0);
    assert_string_not_equal(weft_listening(app, 1), "http://[::1]:0");
    assert_null(weft_listening(app, 2));
}

static weft_peer_info info;

static void about_in_message(weft_peer peer, const weft_message *message)
{
    weft_peer_about(peer, &info);
    weft_send(peer, message);
}

/* WebSocket over this listener; the client's address as the server saw it. */
static const char *serve_one(size_t listener)
{
    int fd = client_open(weft_listening(app, listener), "/");
    client_send_text(fd, "hi");
    client_expect_text(fd, "hi");
    client_leave(fd);
    return info.address;
}

static void app__serves_unix_sockets_and_both_internets(void **state)
{
    (void)state;
    char folder[] = "/tmp/weft-XXXXXX", where[64];
    struct stat status;
    assert_non_null(mkdtemp(folder));
    snprintf(where, sizeof where, "unix:%s/socket", folder);
    assert_int_equal(listen_on("http://127.0.0.1:0"), 0);
    assert_int_equal(listen_on("http://[::1]:0"), 0);
    assert_int_equal(weft_listen(app, where, &(weft_listen_options){.unix_mode = 0600}), 0);
    assert_string_equal(weft_listening(app, 2), where);
    assert_int_equal(stat(where + 5, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    serve(&(weft_websocket_options){.message = about_in_message});
    assert_int_equal(strncmp(serve_one(0), "127.0.0.1:", 10), 0);
    assert_int_equal(strncmp(serve_one(1), "[::1]:", 6), 0);
    assert_string_equal(serve_one(2), "unix");
    weft_stop(app);
    CLIENT_UNTIL(weft_step(app, 0) == 0);
    assert_int_equal(stat(where + 5, &status), -1); /* the file goes with the listener */
    rmdir(folder);
}

static weft *other_app;
static weft_peer other_peer;

static void on_other_open(weft_peer peer)
{
    other_peer = peer;
    results[0] = weft_send_text(latest, "from the other"); /* a peer of another loop that this thread drives */
    results[1] = weft_subscribe(latest, "t", NULL);
    results[2] = weft_of(peer) == other_app;
    results[3] = weft_of(latest) == app;
    results[4] = weft_free(other_app);
}

static void app__shares_a_process_with_others(void **state)
{
    (void)state;
    serve(&(weft_websocket_options){RECORDED});
    int fd = client_open(url, "/");
    other_app = weft_new(NULL);
    assert_int_equal(weft_websocket(other_app, "/", &(weft_websocket_options){.open = on_other_open}), 0);
    assert_int_equal(weft_listen(other_app, "http://127.0.0.1:0", NULL), 0);
    client_steps = other_app;
    int other_fd = client_open(weft_listening(other_app, 0), "/");
    client_steps = app;
    client_expect_text(fd, "from the other");
    assert_int_equal(results[0], 0);
    assert_int_equal(results[1], 0);
    assert_true(results[2] && results[3]);
    assert_int_equal(results[4], WEFT_E_INVALID);
    assert_int_equal(weft_free(other_app), 0);
    assert_int_equal(weft_send_text(other_peer, "late"), WEFT_E_CLOSED);
    assert_int_equal(weft_send_text(latest, "on time"), 0);
    client_expect_text(fd, "on time");
    close(other_fd);
    client_leave(fd);
}

static void free_other(weft_peer peer, const weft_message *message)
{
    results[0] = weft_free(other_app);
    weft_send(peer, message);
}

static void app__may_be_freed_inside_another(void **state)
{
    (void)state;
    serve(&(weft_websocket_options){.message = free_other});
    int fd = client_open(url, "/");
    other_app = weft_new(NULL);
    weft_websocket(other_app, "/", &(weft_websocket_options){RECORDED});
    weft_listen(other_app, "http://127.0.0.1:0", NULL);
    client_steps = other_app;
    int other_fd = client_open(weft_listening(other_app, 0), "/");
    client_steps = app;
    client_send_text(fd, "now");
    client_expect_text(fd, "now");
    assert_int_equal(results[0], 0);
    client_expect_end(other_fd);
    client_leave(fd);
    assert_string_equal(look(), "open close:1006: ");
}

/* --------------------------------------------------------------------------------------------- in somebody else's loop */

/* Waits as a foreign loop does, and steps when told; false when nothing came. */
static bool foreign_turn(int timeout_ms)
{
    struct pollfd one = {.fd = weft_fd(app), .events = POLLIN};
    assert_true(one.fd >= 0);
    if (poll(&one, 1, timeout_ms) == 0)
        return false;
    assert_int_equal(weft_step(app, 0), 1);
    return true;
}

/* Texts for note_timer() and its like. */
static char first[] = "first", second[] = "second", third[] = "third", never[] = "never", again[] = "again";

static void note_timer(weft *ignored, void *user)
{
    (void)ignored;
    happened("%s ", (const char *)user);
}

static void foreign_turns_until(const char *what)
{
    for (int i = 0; !strstr(events, what); i++)
        assert_true(i < 50 && foreign_turn(CLIENT_PATIENCE_MS)); /* few: it must not spin */
}

static void *post_from_thread(void *user)
{
    return (void *)(intptr_t)weft_post(app, note_timer, user);
}

static void app__runs_inside_a_foreign_loop(void **state)
{
    (void)state;
    pthread_t thread;
    void *result;
    assert_int_equal(weft_websocket(app, "/", &(weft_websocket_options){RECORDED, .ping_interval_ms = WEFT_NEVER}), 0);
    assert_int_equal(listen_on("http://127.0.0.1:0"), 0);
    weft_after(app, 30, note_timer, first);
    assert_true(weft_fd(app) >= 0);
    while (foreign_turn(0))
        continue;
    uint64_t before_ms = client_now_ms();
    foreign_turns_until(first);
    assert_true(client_now_ms() - before_ms < 5000);
    assert_false(foreign_turn(10));
    pthread_create(&thread, NULL, post_from_thread, second);
    foreign_turns_until(second);
    pthread_join(thread, &result);
    assert_null(result);
    int fd = client_connect(weft_listening(app, 0));
    client_ask(fd, "/", "");
    foreign_turns_until("open");
    client_send_text(fd, "hi");
    foreign_turns_until("message:hi");
    assert_int_equal(weft_close(latest, 1000, NULL), 0); /* between two turns */
    foreign_turns_until("close:1000");
    close(fd);
}

/* ------------------------------------------------------------------------------------------------------------- stopping */

static void app__may_be_stopped_before_it_runs(void **state)
{
    (void)state;
    assert_int_equal(listen_on("http://127.0.0.1:0"), 0);
    weft_stop(app);
    assert_int_equal(weft_run(app), 0);
    assert_int_equal(weft_run(app), 0); /* it has stopped, and stays so */
    assert_int_equal(weft_step(app, -1), 0);
    weft_stop(app);
    assert_int_equal(weft_post(app, noop, NULL), WEFT_E_CLOSED);
    assert_int_equal(weft_publish_text(app, "t", "x"), WEFT_E_CLOSED);
}

static void *stop_from_thread(void *user)
{
    (void)user;
    weft_stop(app);
    return NULL;
}

static void app__is_stopped_from_another_thread(void **state)
{
    (void)state;
    pthread_t thread;
    assert_int_equal(listen_on("http://127.0.0.1:0"), 0);
    pthread_create(&thread, NULL, stop_from_thread, NULL);
    assert_int_equal(weft_run(app), 0);
    pthread_join(thread, NULL);
}

static void stop_on_signal(int number)
{
    (void)number;
    weft_stop(app);
}

static void raise_number(weft *ignored, void *user)
{
    (void)ignored;
    raise((int)(intptr_t)user);
}

static void app__is_stopped_from_a_signal_handler(void **state)
{
    (void)state;
    struct sigaction stop = {.sa_handler = stop_on_signal}, before;
    sigaction(SIGUSR1, &stop, &before);
    weft_after(app, 5, raise_number, (void *)(intptr_t)SIGUSR1);
    assert_int_equal(weft_run(app), 0);
    sigaction(SIGUSR1, &before, NULL);
}

static int same_app_results[4];

static void call_from_inside(weft *self, void *user)
{
    (void)user;
    same_app_results[0] = weft_run(self);
    same_app_results[1] = weft_step(self, 0);
    same_app_results[2] = weft_free(self);
    same_app_results[3] = weft_fd(self) >= 0 ? 0 : -1;
    weft_stop(self);
}

static void app__refuses_to_run_inside_itself(void **state)
{
    (void)state;
    weft_after(app, 0, call_from_inside, NULL);
    assert_int_equal(weft_run(app), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(same_app_results[i], WEFT_E_INVALID);
    assert_int_equal(same_app_results[3], 0);
}

static void free_in_close(weft_peer peer, int code, weft_str reason)
{
    on_close(peer, code, reason);
    results[0] = weft_free(app);
    results[1] = weft_send_text(peer, "late");
}

static void app__closes_each_peer_once_when_freed(void **state)
{
    (void)state;
    serve(&(weft_websocket_options){.open = on_open, .close = free_in_close});
    int fds[3], silent = client_connect(url);
    for (int i = 0; i < 3; i++)
        fds[i] = client_open(url, "/");
    weft_close(latest, 1000, NULL);
    client_expect_close(fds[2], 1000); /* and says nothing: it is closing when the end comes */
    look();
    assert_int_equal(weft_free(app), 0);
    assert_string_equal(look(), "close:1006: close:1006: ");
    assert_int_equal(results[0], WEFT_E_INVALID);
    assert_int_equal(results[1], WEFT_E_CLOSED);
    assert_int_equal(weft_send_text(latest, "late"), WEFT_E_CLOSED);
    client_steps = NULL;
    app = NULL;
    for (int i = 0; i < 3; i++)
        client_expect_end(fds[i]);
    client_expect_end(silent);
}

/* ------------------------------------------------------------------------------------------------------------- draining */

static bool stopped(void)
{
    return weft_step(app, 0) == 0;
}

static void send_and_stop(weft_peer peer, const weft_message *message)
{
    weft_send(peer, message);
    weft_send(peer, message);
    weft_stop(app);
}

static void app__tells_its_peers_when_it_stops(void **state)
{
    (void)state;
    serve(&(weft_websocket_options){.open = on_open, .message = send_and_stop, .close = on_close});
    int fd = client_open(url, "/"), other = client_open(url, "/");
    client_send_text(fd, "last words");
    client_expect_text(fd, "last words");
    client_expect_text(fd, "last words");
    client_expect_close(fd, 1001);
    client_send_close(fd, 1001, "");
    client_expect_end(fd);
    client_expect_close(other, 1001);
    assert_false(stopped());
    assert_int_equal(weft_send_text(latest, "late"), 0);
    client_send_close(other, 1001, "");
    client_expect_end(other);
    CLIENT_UNTIL(stopped());
    assert_string_equal(look(), "open open close:1001:the server is going away close:1001:the server is going away ");
    assert_int_equal(weft_send_text(latest, "late"), WEFT_E_CLOSED);
}

/* A queue that the sockets do not hold goes out before the close frame. */
static void app__sends_what_is_queued_before_it_stops(void **state)
{
    (void)state;
    enum { N = 100, BYTES = 1 << 18 };
    char *bytes = calloc(1, BYTES);
    serve(&(weft_websocket_options){RECORDED, .max_queued_bytes = 64 << 20, .ping_interval_ms = WEFT_NEVER});
    int fd = client_connect_small(url, 4096);
    client_ask(fd, "/", "");
    client_expect_accepted(fd);
    for (int i = 0; i < N; i++) {
        memcpy(bytes, &i, sizeof i);
        int result = weft_send_data(latest, WEFT_BINARY, bytes, BYTES);
        assert_int_equal(result, 0);
        weft_step(app, 0);
    }
    weft_stop(app);
    for (int i = 0; i < N; i++) {
        assert_int_equal(client_receive(fd).len, BYTES);
        assert_memory_equal(client_bytes, &i, sizeof i);
    }
    client_expect_close(fd, 1001);
    client_send_close(fd, 1001, "");
    client_expect_end(fd);
    CLIENT_UNTIL(stopped());
    free(bytes);
}

static weft_exchange asked;

static void keep(weft_exchange exchange, const weft_request *request, void *user)
{
    (void)request;
    (void)user;
    asked = exchange;
    happened("asked ");
}

static void app__finishes_answers_before_it_stops(void **state)
{
    (void)state;
    assert_int_equal(weft_get(app, "/later", keep, NULL), 0);
    begin();
    int idle = client_connect(url), busy = client_connect(url);
    client_get(busy, "/later");
    CLIENT_UNTIL(events[0]);
    weft_stop(app);
    client_expect_end(idle);
    assert_false(stopped());
    assert_int_equal(weft_answer(asked, 200, "text/plain", "done", 4), 0);
    assert_int_equal(client_read_answer(busy, "Connection: close"), 200);
    assert_string_equal(client_bytes, "done");
    client_expect_end(busy);
    CLIENT_UNTIL(stopped());
}

static void app__listens_no_more_when_it_stops(void **state)
{
    (void)state;
    struct sockaddr_storage address;
    assert_int_equal(weft_get(app, "/later", keep, NULL), 0);
    begin();
    int busy = client_connect(url), late = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    client_get(busy, "/later");
    CLIENT_UNTIL(events[0]);
    weft_stop(app);
    weft_step(app, 0);
    socklen_t len = client_address(url, &address);
    assert_int_equal(connect(late, (const struct sockaddr *)&address, len), -1);
    close(late);
    close(busy);
}

/* An application with this deadline instead of the fixture's. */
static void restart_with(uint32_t drain_timeout_ms)
{
    weft_free(app);
    app = weft_new(&(weft_options){.drain_timeout_ms = drain_timeout_ms});
}

static void app__waits_for_nobody_past_the_deadline(void **state)
{
    (void)state;
    restart_with(80);
    assert_int_equal(weft_get(app, "/later", keep, NULL), 0);
    serve(&(weft_websocket_options){RECORDED});
    int fd = client_open(url, "/"), busy = client_connect(url);
    client_get(busy, "/later");
    CLIENT_UNTIL(strstr(events, "asked"));
    uint64_t before_ms = client_now_ms();
    weft_stop(app);
    client_expect_close(fd, 1001);
    CLIENT_UNTIL(stopped());
    uint64_t took_ms = client_now_ms() - before_ms;
    assert_true(took_ms >= 80 && took_ms < 3000);
    client_expect_end(fd);
    client_expect_end(busy);
    assert_int_equal(weft_answer(asked, 200, NULL, NULL, 0), WEFT_E_CLOSED);
}

static void close_in_open(weft_peer peer)
{
    weft_close(peer, 4000, NULL);
}

/* A peer that comes and is closed in the very turn of the deadline. */
static void app__cuts_who_comes_with_the_deadline(void **state)
{
    (void)state;
    static const char head[] = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                               "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    char bytes[32];
    restart_with(40);
    serve(&(weft_websocket_options){.open = close_in_open});
    int fd = client_connect(url);
    client_write(fd, head, 40);
    for (int i = 0; i < 5; i++)
        weft_step(app, 1);
    weft_stop(app);
    weft_step(app, 0);
    client_write(fd, head + 40, sizeof head - 1 - 40);
    client_write(fd, bytes, client_put(bytes, CLIENT_FIN | CLIENT_TEXT, "x", 1));
    for (uint64_t end_ms = client_now_ms() + 60; client_now_ms() < end_ms;)
        poll(NULL, 0, 10); /* the deadline passes between two turns */
    uint64_t before_ms = client_now_ms();
    CLIENT_UNTIL(stopped());
    assert_true(client_now_ms() - before_ms < 3000);
    close(fd);
}

static void app__ends_at_once_when_stopped_twice(void **state)
{
    (void)state;
    serve(&(weft_websocket_options){RECORDED});
    int fd = client_open(url, "/"), silent = client_open(url, "/");
    weft_stop(app);
    client_expect_close(fd, 1001);
    assert_false(stopped());
    uint64_t before_ms = client_now_ms();
    weft_stop(app);
    CLIENT_UNTIL(stopped());
    assert_true(client_now_ms() - before_ms < 3000);
    client_expect_end(fd);
    client_expect_close(silent, 1001);
    client_expect_end(silent);
}

/* -------------------------------------------------------------------------------------------------------- until a signal */

static void on_own_signal(int number)
{
    (void)number;
}

static void app__runs_until_a_signal_and_puts_the_handlers_back(void **state)
{
    (void)state;
    static const int numbers[] = {SIGTERM, SIGINT};
    struct sigaction own = {.sa_handler = on_own_signal}, now;
    for (size_t i = 0; i < N_OF(numbers); i++) {
        weft *one = weft_new(NULL);
        sigaction(numbers[i], &own, NULL);
        weft_after(one, 5, raise_number, (void *)(intptr_t)numbers[i]);
        assert_int_equal(weft_run_until_signal(one), 0);
        sigaction(numbers[i], NULL, &now);
        assert_ptr_equal(now.sa_handler, on_own_signal);
        assert_int_equal(weft_free(one), 0);
        signal(numbers[i], SIG_DFL);
    }
}

static void run_other_until_signal(weft *ignored, void *user)
{
    (void)ignored;
    (void)user;
    results[0] = weft_run_until_signal(other_app);
    raise(SIGTERM);
}

static void app__shares_signals_with_no_other(void **state)
{
    (void)state;
    other_app = weft_new(NULL);
    weft_after(app, 1, run_other_until_signal, NULL);
    assert_int_equal(weft_run_until_signal(app), 0);
    assert_int_equal(results[0], WEFT_E_INVALID);
    assert_non_null(strstr(weft_error(other_app), "another application"));
    weft_free(other_app);
}

static void *run_until_signal(void *result)
{
    *(int *)result = weft_run_until_signal(app);
    return NULL;
}

static void app__ends_at_once_after_two_signals(void **state)
{
    (void)state;
    pthread_t thread;
    int result = 1;
    assert_int_equal(weft_websocket(app, "/", NULL), 0);
    assert_int_equal(listen_on("http://127.0.0.1:0"), 0);
    const char *where = weft_listening(app, 0);
    pthread_create(&thread, NULL, run_until_signal, &result);
    int fd = client_open(where, "/");
    uint64_t before_ms = client_now_ms();
    kill(getpid(), SIGTERM);
    client_expect_close(fd, 1001);
    kill(getpid(), SIGINT);
    pthread_join(thread, NULL);
    assert_true(client_now_ms() - before_ms < 3000);
    assert_int_equal(result, 0);
    close(fd);
}

/* --------------------------------------------------------------------------------------------------------------- timers */

static weft_timer ticking;

static void tick(weft *self, void *user)
{
    (void)self;
    (void)user;
    happened("tick ");
    if (strcmp(events, "tick tick tick ") != 0)
        return;
    results[0] = weft_cancel(ticking);
    results[1] = weft_cancel(ticking);
}

static void start_timers(weft *self, void *user)
{
    (void)user;
    weft_after(self, 20, note_timer, third);
    weft_after(self, 0, note_timer, first);
    weft_after(self, 10, note_timer, second);
    results[2] = weft_cancel(weft_after(self, 15, note_timer, never));
}

static void start_a_timer(void)
{
    results[3] = weft_after(app, 1, note_timer, never).id != 0;
}

static void app__fires_each_timer_once_and_in_order(void **state)
{
    (void)state;
    uint64_t before_ms = client_now_ms();
    assert_true(weft_after(app, 0, start_timers, NULL).id != 0); /* before it runs */
    begin();
    CLIENT_UNTIL(strstr(events, "third"));
    assert_true(client_now_ms() - before_ms >= 20);
    assert_int_equal(results[2], 0);
    elsewhere(start_a_timer);
    assert_int_equal(results[3], 0);
    for (int i = 0; i < 10; i++)
        weft_step(app, 1);
    assert_string_equal(look(), "first second third ");
}

static void cancel_ticking(void)
{
    results[0] = weft_cancel(ticking);
}

static void app__repeats_timers_until_they_are_cancelled(void **state)
{
    (void)state;
    uint64_t before_ms = client_now_ms();
    ticking = weft_every(app, 10, tick, NULL);
    begin();
    CLIENT_UNTIL(strstr(events, "tick tick tick "));
    assert_true(client_now_ms() - before_ms >= 30);
    assert_int_equal(results[0], 0);
    assert_int_equal(results[1], WEFT_E_CLOSED);
    for (int i = 0; i < 20; i++)
        weft_step(app, 1);
    assert_string_equal(look(), "tick tick tick ");
    assert_int_equal(weft_cancel(ticking), WEFT_E_CLOSED);
    elsewhere(cancel_ticking);
    assert_int_equal(results[0], WEFT_E_THREAD);
    assert_int_equal(weft_cancel((weft_timer){0}), WEFT_E_CLOSED);
}

static void peer_timer(weft_peer peer, void *user)
{
    happened("%s ", (const char *)user);
    weft_close(peer, 1000, NULL);
}

static void start_peer_timers(weft_peer peer)
{
    on_open(peer);
    weft_peer_after(peer, 30, peer_timer, never);
    weft_peer_after(peer, 5, peer_timer, first);
    results[0] = weft_cancel(weft_peer_after(peer, 1, peer_timer, never));
}

static void abort_with_a_timer(weft_peer peer)
{
    weft_peer_after(peer, 10, peer_timer, never);
    weft_abort(peer);
}

static void app__drops_the_timers_of_a_peer_that_is_gone(void **state)
{
    (void)state;
    serve(&(weft_websocket_options){.open = abort_with_a_timer});
    client_expect_end(client_open(url, "/"));
    for (uint64_t end_ms = client_now_ms() + 20; client_now_ms() < end_ms;)
        weft_step(app, 5); /* the peer's memory is gone: a timer that fires would use it */
    assert_string_equal(look(), "");
}

static void app__ends_a_peers_timers_with_it(void **state)
{
    (void)state;
    serve(&(weft_websocket_options){.open = start_peer_timers, .close = on_close});
    int fd = client_open(url, "/");
    client_expect_close(fd, 1000);
    client_expect_silence(fd, 40); /* alive for its close timeout, but no peer any more */
    client_send_close(fd, 1000, "");
    client_expect_end(fd);
    assert_int_equal(results[0], 0);
    assert_string_equal(look(), "open first close:1000: ");
}

static void post_again(weft *self, void *user)
{
    happened("%s ", (const char *)user);
    weft_post(self, note_timer, again);
    happened("returned ");
}

static void app__cancels_timers_before_it_runs(void **state)
{
    (void)state;
    weft_timer timer = weft_after(app, 0, note_timer, never);
    assert_int_equal(weft_cancel(timer), 0);
    assert_int_equal(weft_cancel(timer), WEFT_E_CLOSED);
    weft_after(app, 1, note_timer, first);
    begin();
    CLIENT_UNTIL(strstr(events, "first"));
    assert_string_equal(look(), "first ");
}

static void app__runs_what_is_posted_in_order(void **state)
{
    (void)state;
    assert_int_equal(weft_post(app, post_again, first), 0); /* before it runs */
    assert_int_equal(weft_post(app, note_timer, second), 0);
    begin();
    CLIENT_UNTIL(strstr(events, "again"));
    assert_string_equal(look(), "first returned second again ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(app__names_what_is_wrong_in_its_configuration),
        APP_TEST(app__says_which_port_is_in_use),
        APP_TEST(app__goes_on_after_a_call_that_is_too_late),
        cmocka_unit_test(app__takes_null_everywhere),
        APP_TEST(app__takes_null_for_everything_else),
        cmocka_unit_test(app__explains_every_result),
        APP_TEST(app__keeps_its_user),
        APP_TEST(app__tells_where_it_listens),
        APP_TEST(app__serves_unix_sockets_and_both_internets),
        APP_TEST(app__shares_a_process_with_others),
        APP_TEST(app__may_be_freed_inside_another),
        APP_TEST(app__runs_inside_a_foreign_loop),
        APP_TEST(app__may_be_stopped_before_it_runs),
        APP_TEST(app__is_stopped_from_another_thread),
        APP_TEST(app__is_stopped_from_a_signal_handler),
        APP_TEST(app__refuses_to_run_inside_itself),
        APP_TEST(app__closes_each_peer_once_when_freed),
        APP_TEST(app__tells_its_peers_when_it_stops),
        APP_TEST(app__sends_what_is_queued_before_it_stops),
        APP_TEST(app__finishes_answers_before_it_stops),
        APP_TEST(app__listens_no_more_when_it_stops),
        APP_TEST(app__waits_for_nobody_past_the_deadline),
        APP_TEST(app__cuts_who_comes_with_the_deadline),
        APP_TEST(app__ends_at_once_when_stopped_twice),
        cmocka_unit_test(app__runs_until_a_signal_and_puts_the_handlers_back),
        APP_TEST(app__shares_signals_with_no_other),
        APP_TEST(app__ends_at_once_after_two_signals),
        APP_TEST(app__fires_each_timer_once_and_in_order),
        APP_TEST(app__repeats_timers_until_they_are_cancelled),
        APP_TEST(app__drops_the_timers_of_a_peer_that_is_gone),
        APP_TEST(app__ends_a_peers_timers_with_it),
        APP_TEST(app__cancels_timers_before_it_runs),
        APP_TEST(app__runs_what_is_posted_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
