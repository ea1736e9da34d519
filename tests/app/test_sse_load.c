/* SSE and streams under load: slow readers, clients that are cut at every stage, no memory, large messages, thousands
 * of clients. */
#include "app/app.h"
#include "app/spare_memory.h"
#include "app/stream_client.h"
#include "support/heap.h"
#include <sys/resource.h>

static int results[40];
static int n_opened, n_closed;

static void join(weft_peer who)
{
    on_open(who);
    weft_subscribe(who, "t", NULL);
}

/* Once nobody is left each has been told of exactly one opening and one end. */
static void expect_nobody_left(void)
{
    CLIENT_UNTIL(app->workers->net.n_streams == 0 && app->workers->hub.n_peers == 0);
    assert_int_equal(n_opened, n_closed);
}

static void count_open(weft_peer who)
{
    latest = who;
    n_opened++;
    weft_subscribe(who, "t", weft_since(who));
}

static void count_close(weft_peer who, int code, weft_str reason)
{
    (void)who;
    (void)code;
    (void)reason;
    n_closed++;
}

#define COUNTED .open = count_open, .close = count_close

/* ----------------------------------------------------------------------------------------------------- slow readers */

static void fill_queue(void)
{
    static char bytes[1000];
    memset(bytes, 'x', sizeof bytes);
    results[0] = weft_send_data(latest, WEFT_TEXT, bytes, 900);
    results[1] = weft_send_data(latest, WEFT_TEXT, bytes, 1000);
    results[2] = weft_send_data(latest, WEFT_TEXT, bytes, 1);
    results[3] = (int)weft_queued(latest);
}

static void sse__takes_whole_what_crosses_the_limit_and_then_no_more(void **state)
{
    (void)state;
    serve_sse(&(weft_sse_options){RECORDED_STREAM, .max_queued_bytes = 1000});
    int fd = sse_open("/", "");
    look();
    on_loop(fill_queue);
    assert_int_equal(results[0], 0);
    assert_int_equal(results[1], WEFT_QUEUED);
    assert_int_equal(results[2], WEFT_E_FULL);
    assert_int_equal(results[3], 900 + 1000 + 2 * (int)strlen("38c\r\ndata: \n\n\r\n"));
    assert_int_equal(stream_read(fd, client_bytes, sizeof client_bytes), 908);
    assert_int_equal(stream_read(fd, client_bytes, sizeof client_bytes), 1008);
    CLIENT_UNTIL(strstr(events, "drain "));
    stream_leave(fd);
    assert_string_equal(look(), "drain close:1006: ");
}

enum { SLOW_BYTES = 32 * 1024, SLOW_MESSAGES = 8 };

static unsigned n_published;

static void publish_one(void)
{
    static char text[SLOW_BYTES];
    memset(text, '.', sizeof text);
    int len = snprintf(text, sizeof text, "%u", n_published++);
    text[len] = ' ';
    weft_publish(app, "t", &(weft_message){.kind = WEFT_TEXT, .data = {text, sizeof text}}, NULL);
}

/* More than the sockets, the queue and the ring hold. */
static void publish_many(void)
{
    for (int i = 0; i < 10; i++)
        publish_one();
}

/* A subscriber that reads nothing while much is published. */
static int fall_behind(const weft_topic_options *options)
{
    n_published = 0;
    assert_int_equal(weft_topic_configure(app, "t", options), 0);
    serve_sse(&(weft_sse_options){.open = join, .close = on_close, .max_queued_bytes = SLOW_BYTES});
    int fd = client_connect_small(url, 4096);
    client_get(fd, "/");
    sse_expect_begin(fd);
    look();
    for (int i = 0; i < 100; i++) {
        on_loop(publish_many);
        client_wait(fd, 0, 1);
    }
    return fd;
}

/* What a client made of what it read. */
typedef struct {
    unsigned n, last, n_gaps, missed;
} harvest;

/* Reads whole messages until none came for a while. Numbers only grow, and each jump was told. */
static harvest read_on(int fd, unsigned next)
{
    harvest h = {0};
    bool gap = false;
    while (client_wait(fd, POLLIN, 100) && stream_read(fd, client_bytes, sizeof client_bytes) > 0) {
        if (strstr(client_bytes, "event: weft-gap")) {
            h.n_gaps++;
            gap = true;
            continue;
        }
        const char *data = strstr(client_bytes, "data: ");
        assert_non_null(data);
        unsigned number = (unsigned)strtoul(data + 6, NULL, 10);
        assert_true(number == next || (gap && number > next));
        h.missed += number - next;
        next = number + 1;
        gap = false;
        h.last = number;
        h.n++;
    }
    return h;
}

static void sse__closes_who_is_too_slow(void **state)
{
    (void)state;
    int fd = fall_behind(&(weft_topic_options){.ring_messages = SLOW_MESSAGES});
    assert_string_equal(look(), "close:1013:too slow for a topic ");
    harvest h = read_on(fd, 0);
    assert_true(h.n > 0 && h.n < n_published);
    assert_int_equal(h.n_gaps, 0);
    assert_string_equal(client_bytes, ""); /* the last chunk */
    client_expect_end(fd);
}

/* These stay, are told of what they miss, and hear everything again afterwards. */
static void check_gap(const weft_topic_options *options)
{
    int fd = fall_behind(options);
    harvest h = read_on(fd, 0);
    assert_int_equal(h.n + h.missed, h.last + 1);
    if (options->slow == WEFT_SLOW_DROP_NEW) {
        assert_true(h.last < n_published - 1); /* what was queued first, and not the newest */
    } else {
        assert_int_equal(h.last, n_published - 1);
        assert_true(h.missed > 0);
    }
    assert_true(h.n_gaps > 0);
    on_loop(publish_one);
    h = read_on(fd, n_published - 1);
    assert_int_equal(h.n, 1);
    stream_leave(fd);
    assert_string_equal(look(), "close:1006: ");
}

static void sse__tells_a_gap_when_old_messages_are_dropped(void **state)
{
    (void)state;
    check_gap(&(weft_topic_options){.ring_messages = SLOW_MESSAGES, .slow = WEFT_SLOW_DROP_OLD});
}

static void sse__tells_a_gap_when_new_messages_are_dropped(void **state)
{
    (void)state;
    check_gap(&(weft_topic_options){.ring_messages = SLOW_MESSAGES, .slow = WEFT_SLOW_DROP_NEW});
}

static void sse__tells_a_gap_when_it_jumps_to_the_latest(void **state)
{
    (void)state;
    check_gap(&(weft_topic_options){.ring_messages = SLOW_MESSAGES, .slow = WEFT_SLOW_LATEST});
}

static void sse__loses_nothing_that_is_still_in_the_ring(void **state)
{
    (void)state;
    n_published = 0;
    serve_sse(&(weft_sse_options){.open = join, .close = on_close, .max_queued_bytes = SLOW_BYTES});
    int fd = client_connect_small(url, 4096);
    client_get(fd, "/");
    sse_expect_begin(fd);
    for (int i = 0; i < 10; i++)
        on_loop(publish_many); /* 3.2 MB; the ring keeps 4 */
    harvest h = read_on(fd, 0);
    assert_int_equal(h.n, 100);
    assert_int_equal(h.n_gaps, 0);
    close(fd);
}

/* Its deadline is put forward rather than waited for. */
static void sse__gives_up_who_takes_nothing(void **state)
{
    (void)state;
    int fd = fall_behind(&(weft_topic_options){.ring_messages = SLOW_MESSAGES, .slow = WEFT_SLOW_LATEST});
    list_node *node = list_first(&app->workers->net.stalled);
    assert_non_null(node);
    CONTAINER(node, stream_more, waiting)->since_ms -= NET_WRITE_TIMEOUT_MS;
    CLIENT_UNTIL(strstr(events, "close:"));
    assert_string_equal(look(), "close:1006:write timeout ");
    close(fd);
}

static void come_back(weft_peer who)
{
    on_open(who);
    weft_subscribe(who, "t", weft_since(who));
}

/* A long history goes out as the client reads it, and what is published meanwhile comes behind it. */
static void sse__goes_from_history_to_live_without_a_seam(void **state)
{
    (void)state;
    enum { N_KEPT = 60, N_LIVE = 40 };
    weft_topic_options options = {.history_messages = 200, .history_bytes = 8 << 20};
    n_published = 0;
    assert_int_equal(weft_topic_configure(app, "t", &options), 0);
    serve_sse(&(weft_sse_options){.open = come_back, .max_queued_bytes = 2 * SLOW_BYTES});
    for (int i = 0; i < N_KEPT; i++)
        on_loop(publish_one);
    int fd = client_connect_small(url, 4096);
    client_get(fd, "/?since=start");
    sse_expect_begin(fd);
    for (int i = 0; i < N_LIVE; i++) {
        on_loop(publish_one);
        client_wait(fd, 0, 1);
    }
    harvest h = read_on(fd, 0);
    assert_int_equal(h.n, N_KEPT + N_LIVE);
    assert_int_equal(h.n_gaps, 0);
    close(fd);
}

/* --------------------------------------------------------------------------------------------------- large messages */

static char *large_text;
static size_t large_bytes;

static void send_large(void)
{
    results[0] = weft_send_data(latest, WEFT_TEXT, large_text, large_bytes);
}

static void publish_large(void)
{
    weft_message message = {.kind = WEFT_TEXT, .data = {large_text, large_bytes}};
    results[0] = weft_publish(app, "t", &message, NULL);
}

/* The next chunk is an event with the large text as its one line. */
static void expect_large(int fd, char *room, size_t room_bytes)
{
    ssize_t len = stream_read(fd, room, room_bytes);
    assert_true(len > (ssize_t)large_bytes);
    const char *data = room + len - 2 - large_bytes;
    assert_memory_equal(data - 6, "data: ", 6);
    assert_true(memcmp(data, large_text, large_bytes) == 0);
    assert_string_equal(data + large_bytes, "\n\n");
}

static void sse__carries_large_messages(void **state)
{
    (void)state;
    static const size_t sizes[] = {2000, 100 << 10, 20 << 20};
    size_t room_bytes = (20 << 20) + 200;
    char *room = malloc(room_bytes);
    large_text = malloc(20 << 20);
    for (size_t i = 0; i < 20 << 20; i++)
        large_text[i] = (char)('a' + (i * 7 + i / 251) % 26);
    serve_sse(&(weft_sse_options){.open = join});
    int fd = sse_open("/", ""), other = sse_open("/", "");
    for (size_t i = 0; i < N_OF(sizes); i++) {
        large_bytes = sizes[i];
        on_loop(publish_large);
        assert_int_equal(results[0], 0);
        expect_large(fd, room, room_bytes);
        expect_large(other, room, room_bytes);
        CLIENT_UNTIL(app->workers->net.stalled.next == &app->workers->net.stalled);
        on_loop(send_large);
        assert_int_equal(results[0], sizes[i] < 1 << 20 ? 0 : WEFT_QUEUED);
        expect_large(other, room, room_bytes);
    }
    close(fd);
    close(other);
    free(large_text);
    free(room);
}

/* ----------------------------------------------------------------------------------------------------- cut anywhere */

static weft_exchange asked;

static void leave_undecided(weft_exchange which, const weft_request *request, void *user)
{
    (void)request;
    (void)user;
    asked = which;
}

static void accept_asked(void)
{
    weft_accept(asked, NULL);
}

static void send_and_close(void)
{
    char text[1000];
    memset(text, 'x', sizeof text);
    for (int i = 0; i < 2000; i++)
        weft_send_data(latest, WEFT_TEXT, text, sizeof text);
    weft_close(latest, 1000, NULL);
}

static const char *const stages[] = {"/", "/gate", "/?since=start", "/gate?since=start", "/lines?since=start"};

/* One client that goes at this stage of its life, by FIN or by a reset. */
static void live_until(int stage, const char *path, bool reset)
{
    char request[128];
    int fd = client_connect_small(url, 4096), n_before = n_opened;
    int len = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path);
    client_write(fd, request, (size_t)(stage == 0 ? len / 2 : len));
    if (stage >= 2) {
        CLIENT_UNTIL(n_opened > n_before || asked.id);
        on_loop(accept_asked);
        CLIENT_UNTIL(n_opened > n_before);
    }
    if (stage == 3)
        assert_int_equal(client_read(fd, client_bytes, 20), 20); /* half a head */
    if (stage == 4)
        assert_int_equal(client_read(fd, client_bytes, 50000), 50000);
    if (stage == 5)
        on_loop(send_and_close);
    if (stage == 6)
        weft_abort(latest);
    if (reset)
        client_reset(fd);
    else
        close(fd);
    on_loop(publish_many);
    asked = (weft_exchange){0};
}

static void sse__may_be_cut_at_every_stage(void **state)
{
    (void)state;
    weft_topic_options options = {.history_messages = 20, .history_bytes = 1 << 20};
    n_opened = n_closed = 0;
    assert_int_equal(weft_topic_configure(app, "t", &options), 0);
    assert_int_equal(weft_sse(app, "/gate", &(weft_sse_options){COUNTED, .request = leave_undecided}), 0);
    assert_int_equal(weft_stream(app, "/lines", &(weft_stream_options){COUNTED}), 0);
    serve_sse(&(weft_sse_options){COUNTED});
    for (int i = 0; i < 3; i++)
        on_loop(publish_many);
    for (int stage = 0; stage <= 6; stage++) {
        for (size_t i = 0; i < N_OF(stages); i++) {
            if (stage == 4 && i < 2)
                continue; /* nothing comes that could be read */
            live_until(stage, stages[i], false);
            live_until(stage, stages[i], true);
        }
    }
    expect_nobody_left();
    assert_true(n_opened > 40);
}

/* -------------------------------------------------------------------------------------------------------- no memory */

static void decide(weft_exchange which, const weft_request *request, void *user)
{
    (void)request;
    (void)user;
    if (weft_header(which, "X-Room", "attic") || weft_accept(which, NULL))
        weft_reject(which, 500, "no memory");
}

/* What goes wrong here is answered as a program would. */
static void begin_to_serve(weft_peer who)
{
    static char data[3000];
    n_opened++;
    latest = who;
    memset(data, 'x', sizeof data);
    if (weft_subscribe(who, "t", weft_since(who)) || weft_send_data(who, WEFT_BINARY, data, sizeof data) < 0)
        weft_close(who, 1011, "no memory");
}

static void publish_and_close(void)
{
    if (weft_publish_text(app, "t", "published") || weft_close(latest, 1000, NULL))
        weft_abort(latest);
}

static void setup_routes(void)
{
    static const char *const origins[] = {"https://page.example", NULL};
    weft_sse_options options = {
        .request = decide, .open = begin_to_serve, .close = count_close, .origins = origins, .peer_bytes = 10};
    weft_sse(app, "/other", &(weft_sse_options){.open = on_open, .keep_alive_ms = WEFT_NEVER});
    weft_stream(app, "/lines", &options);
    options.request = NULL;
    serve_sse(&options);
}

static void publish_in_time(weft *which, void *user)
{
    (void)which;
    (void)user;
    if (n_opened > n_closed)
        publish_and_close();
}

/* True when everything was as it should be. */
static bool go_through_everything(const char *path)
{
    int fd = stream_ask("GET", path, "Origin: https://page.example\r\n");
    size_t len = 0;
    ssize_t got = 1;
    bool good = client_read_head(fd) == 200;
    while (good && got > 0) { /* up to the last chunk */
        got = stream_read(fd, client_bytes + len, 60000 - len);
        len += got > 0 ? (size_t)got : 0;
    }
    good = good && got == 0 && strstr(client_bytes, "gap") && strstr(client_bytes, "eHh4") &&
           strstr(client_bytes, "published");
    close(fd);
    return good;
}

static void check_other(int fd)
{
    weft_send_text(latest, "are you there?");
    stream_expect(fd, "data: are you there?\n\n");
}

/* With a fresh application, so that nothing is kept from the turns before; true when the n-th allocation was not
 * needed. */
static bool fail_from(const char *path, uint64_t n, void **state)
{
    assert_int_equal(setup_app(state), 0);
    setup_routes();
    int other = sse_open("/other", "");
    weft_peer other_peer = latest;
    n_opened = n_closed = 0;
    weft_every(app, 5, publish_in_time, NULL);
    pool_done(&app->workers->loop.blocks); /* what the other has warmed */
    uint64_t before = mem_count(), began_ms = client_now_ms();
    mem_fail_from(n);
    bool good = go_through_everything(path);
    bool enough = mem_count() - before < n;
    CLIENT_UNTIL(app->workers->net.n_streams == 1 && app->workers->hub.n_peers == 1);
    mem_fail_from(0);
    assert_true(client_now_ms() - began_ms < 4000); /* who cannot be served is not kept waiting */
    assert_true(good || !enough);
    assert_int_equal(n_opened, n_closed);
    latest = other_peer;
    check_other(other);
    assert_true(go_through_everything(path));
    close(other);
    assert_int_equal(teardown_app(state), 0);
    return enough;
}

static void sse__fails_nobody_but_the_client_that_needs_memory(void **state)
{
    static const char *const paths[] = {"/?since=a+b", "/lines?since=a+b"};
    for (size_t i = 0; i < N_OF(paths); i++) {
        uint64_t n = 1;
        while (!fail_from(paths[i], n, state))
            n++;
        print_message("# %s: %lu allocations failed in turn\n", paths[i], n - 1);
        assert_in_range(n, 10, 1000);
    }
}

static void close_without_memory(void)
{
    forget_spare_memory(app);
    mem_fail_from(1);
    weft_close(latest, 1001, "no memory for this");
    mem_fail_from(0);
}

static void sse__ends_a_connection_that_cannot_say_goodbye(void **state)
{
    (void)state;
    serve_sse(&(weft_sse_options){RECORDED_STREAM});
    int fd = sse_open("/", "");
    on_loop(close_without_memory);
    client_expect_end(fd);
    assert_string_equal(look(), "open close:1001: ");
}

static int configure(void)
{
    static const char *const origins[] = {"https://page.example", "*", NULL};
    weft *one = weft_new(NULL);
    if (!one)
        return -ENOMEM;
    int error = weft_sse(one, "/sse", &(weft_sse_options){.origins = origins});
    if (!error)
        error = weft_stream(one, "/lines", NULL);
    assert_true(!error || weft_error(one));
    weft_free(one);
    return error;
}

static void sse__fails_an_application_in_words(void **state)
{
    (void)state;
    check_failing_allocations(configure);
}

/* ------------------------------------------------------------------------------------------------------------ costs */

enum { N_CLIENTS = 2000 };

static int fds[N_CLIENTS];

static void allow_many_files(void)
{
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
}

static void open_clients(const char *path, int n)
{
    for (int i = 0; i < n; i++)
        fds[i] = sse_open(path, "");
}

static void close_clients(int n)
{
    for (int i = 0; i < n; i++)
        client_reset(fds[i]);
}

static void publish_message(weft_peer who, const weft_message *message)
{
    (void)who;
    weft_publish(app, "t", message, NULL);
}

/* With a slice of the fan-out over it may take more turns than one, but never a second send. */
static void broadcast(int publisher)
{
    client_send_text(publisher, "a short message");
    for (int i = 0; i < N_CLIENTS; i++)
        sse_expect_message(fds[i], "data: a short message\n\n");
}

static void sse__costs_one_image_and_one_send_a_client(void **state)
{
    (void)state;
    allow_many_files();
    assert_int_equal(weft_websocket(app, "/publish", &(weft_websocket_options){.message = publish_message}), 0);
    serve_sse(&(weft_sse_options){.open = join});
    int publisher = client_open(url, "/publish");
    open_clients("/", N_CLIENTS);
    uint64_t allocations = 1;
    /* Queues are kept for as many clients as a slice has reached at once, which on a busy machine is more now and then. */
    for (int i = 0; i < 20 && allocations; i++) {
        uint64_t before = mem_count(), n_sends = app->workers->net.n_sends;
        broadcast(publisher);
        allocations = mem_count() - before;
        n_sends = app->workers->net.n_sends - n_sends;
        print_message("# a message to %d streams: %lu allocations, %lu sends\n", N_CLIENTS, allocations, n_sends);
        assert_int_equal(n_sends, N_CLIENTS);
    }
    assert_int_equal(allocations, 0);
    close_clients(N_CLIENTS);
    client_reset(publisher);
}

/* With nothing kept from before, each client may cost its queue, and the message its blob, its image and its place. */
static void sse__makes_one_image_for_all(void **state)
{
    (void)state;
    enum { N = 100 };
    static char text[64 << 10];
    static const size_t sizes[] = {100, 600, sizeof text};
    memset(text, 'x', sizeof text);
    large_text = text;
    serve_sse(&(weft_sse_options){.open = join});
    open_clients("/", N);
    for (size_t i = 0; i < N_OF(sizes); i++) {
        pool_done(&app->workers->loop.blocks);
        large_bytes = sizes[i];
        uint64_t before = mem_count();
        on_loop(publish_large);
        uint64_t n_allocations = mem_count() - before;
        for (int k = 0; k < N; k++)
            expect_large(fds[k], client_bytes, sizeof client_bytes);
        print_message("# %zu bytes to %d streams: %lu allocations\n", sizes[i], N, n_allocations);
        assert_in_range(n_allocations, N, N + 10);
    }
    close_clients(N);
}

#ifdef __has_feature
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define OWN_MALLOC
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define OWN_MALLOC
#endif

#ifndef OWN_MALLOC /* a sanitizer's malloc tells nothing of itself */
static size_t bytes_in_use(void)
{
    return heap_bytes(&app->workers->loop.places);
}

static void sse__keeps_an_idle_client_in_320_bytes(void **state)
{
    (void)state;
    enum { N_IDLE = 1000, MOST_BYTES = 320 };
    allow_many_files();
    serve_sse(&(weft_sse_options){.open = join, .close = count_close});
    int first = sse_open("/", ""); /* the loop's own buffers are there */
    pool_done(&app->workers->loop.blocks);
    size_t before = bytes_in_use();
    open_clients("/", N_IDLE);
    pool_done(&app->workers->loop.blocks);
    size_t each = (bytes_in_use() - before) / N_IDLE + HEAP_HANDLE_BYTES;
    print_message("# an idle stream takes %zu bytes of heap\n", each);
    assert_in_range(each, 1, MOST_BYTES);
    close_clients(N_IDLE);
    client_reset(first);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        APP_TEST(sse__takes_whole_what_crosses_the_limit_and_then_no_more),
        APP_TEST(sse__closes_who_is_too_slow),
        APP_TEST(sse__tells_a_gap_when_old_messages_are_dropped),
        APP_TEST(sse__tells_a_gap_when_new_messages_are_dropped),
        APP_TEST(sse__tells_a_gap_when_it_jumps_to_the_latest),
        APP_TEST(sse__loses_nothing_that_is_still_in_the_ring),
        APP_TEST(sse__gives_up_who_takes_nothing),
        APP_TEST(sse__goes_from_history_to_live_without_a_seam),
        APP_TEST(sse__carries_large_messages),
        APP_TEST(sse__may_be_cut_at_every_stage),
        cmocka_unit_test(sse__fails_nobody_but_the_client_that_needs_memory),
        APP_TEST(sse__ends_a_connection_that_cannot_say_goodbye),
        cmocka_unit_test(sse__fails_an_application_in_words),
        APP_TEST(sse__costs_one_image_and_one_send_a_client),
        APP_TEST(sse__makes_one_image_for_all),
#ifndef OWN_MALLOC
        APP_TEST(sse__keeps_an_idle_client_in_320_bytes),
#endif
    };
    heap_begin();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
