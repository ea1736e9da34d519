/* What traffic costs: allocations and system calls of the loop, and the memory of those who are silent. The clients are on the same thread and
 * allocate nothing through base/mem.h. */
#include "app/app.h"
#include "app/fixture.h"
#include "support/heap.h"
#include <sys/resource.h>

enum { N_CLIENTS = 100, MESSAGE_BYTES = 20, MAX_DEPTH = 16 };

static int fds[1000];

static void open_clients(const char *path, int n)
{
    for (int i = 0; i < n; i++)
        fds[i] = client_open(url, path);
}

static void close_clients(int n)
{
    for (int i = 0; i < n; i++)
        client_reset(fds[i]);
}

typedef struct {
    uint64_t allocations, receives, sends, wakes;
} cost;

static cost spent(void)
{
    return (cost){mem_count(), app->workers->net.n_receives, app->workers->net.n_sends, app->workers->loop.n_wakes};
}

static cost cost_since(cost before)
{
    cost now = spent();
    return (cost){now.allocations - before.allocations, now.receives - before.receives, now.sends - before.sends,
                  now.wakes - before.wakes};
}

/* Reads n frames of MESSAGE_BYTES that all hold `letter`. */
static void expect_frames(int fd, int n, char letter)
{
    char bytes[MAX_DEPTH * (MESSAGE_BYTES + 2)];
    size_t len = (size_t)n * (MESSAGE_BYTES + 2);
    assert_int_equal(client_read(fd, bytes, len), len);
    for (size_t i = 0; i < len; i++) {
        size_t at = i % (MESSAGE_BYTES + 2);
        assert_int_equal(bytes[i], at == 0 ? (char)(CLIENT_FIN | CLIENT_TEXT) : at == 1 ? MESSAGE_BYTES : letter);
    }
}

/* ----------------------------------------------------------------------------------------------------------------- echo */

/* Each client sends `depth` messages in one piece, and all come back. */
static void echo_round(int depth, char letter)
{
    char message[MESSAGE_BYTES], bytes[MAX_DEPTH * (MESSAGE_BYTES + 14)];
    size_t len = 0;
    memset(message, letter, sizeof message);
    for (int i = 0; i < depth; i++)
        len += client_put(bytes + len, CLIENT_FIN | CLIENT_TEXT, message, sizeof message);
    for (int i = 0; i < N_CLIENTS; i++)
        assert_int_equal(send(fds[i], bytes, len, MSG_NOSIGNAL), len);
    for (int i = 0; i < N_CLIENTS; i++)
        expect_frames(fds[i], depth, letter);
}

static void check_echo(int depth)
{
    uint64_t n_rounds = (uint64_t)(10000 + N_CLIENTS * depth - 1) / (uint64_t)(N_CLIENTS * depth);
    for (int i = 0; i < 3; i++)
        echo_round(depth, 'w');
    cost before = spent();
    for (uint64_t i = 0; i < n_rounds; i++)
        echo_round(depth, (char)('a' + i % 26));
    cost c = cost_since(before);
    print_message("# %d clients, depth %d, %lu messages: %lu allocations, %lu recv, %lu send, %lu epoll_wait\n",
                  N_CLIENTS, depth, n_rounds * N_CLIENTS * (uint64_t)depth, c.allocations, c.receives, c.sends,
                  c.wakes);
    assert_int_equal(c.allocations, 0);
    assert_int_equal(c.receives, n_rounds * N_CLIENTS);
    assert_int_equal(c.sends, n_rounds * N_CLIENTS);
}

static void cost__of_an_echo(void **state)
{
    (void)state;
    serve(&(weft_websocket_options){.message = on_echo, .ping_interval_ms = WEFT_NEVER});
    open_clients("/", N_CLIENTS);
    check_echo(1);
    check_echo(MAX_DEPTH);
    close_clients(N_CLIENTS);
}

/* ------------------------------------------------------------------------------------------------------------ broadcast */

enum { N_AT_ONCE = 10 };

static void join(weft_peer who)
{
    weft_subscribe(who, "t", NULL);
}

static void publish_ten(weft_peer who, const weft_message *message)
{
    for (int i = 0; i < N_AT_ONCE; i++)
        weft_publish(weft_of(who), "t", message, NULL);
}

static void broadcast_round(int publisher, char letter)
{
    char message[MESSAGE_BYTES];
    memset(message, letter, sizeof message);
    client_send(publisher, CLIENT_FIN | CLIENT_TEXT, message, sizeof message);
    for (int i = 0; i < N_CLIENTS; i++)
        expect_frames(fds[i], N_AT_ONCE, letter);
}

static void cost__of_a_broadcast(void **state)
{
    (void)state;
    enum { N_ROUNDS = 1000 / N_AT_ONCE };
    assert_int_equal(weft_websocket(app, "/join", &(weft_websocket_options){.open = join}), 0);
    serve(&(weft_websocket_options){.message = publish_ten});
    int publisher = client_open(url, "/");
    open_clients("/join", N_CLIENTS);
    for (int i = 0; i < 3; i++)
        broadcast_round(publisher, 'w');
    cost before = spent();
    for (int i = 0; i < N_ROUNDS; i++)
        broadcast_round(publisher, (char)('a' + i % 26));
    cost c = cost_since(before);
    print_message("# %d messages to %d subscribers, %d a turn: %lu allocations, %lu recv, %lu send, %lu epoll_wait\n",
                  N_ROUNDS * N_AT_ONCE, N_CLIENTS, N_AT_ONCE, c.allocations, c.receives, c.sends, c.wakes);
    assert_int_equal(c.allocations, 0);
    assert_int_equal(c.receives, N_ROUNDS);
    assert_int_equal(c.sends, N_ROUNDS * N_CLIENTS);
    client_reset(publisher);
    close_clients(N_CLIENTS);
}

static char large[64 << 10];
static size_t large_bytes;
static uint64_t n_allocations;

static void publish_large(void)
{
    uint64_t before = mem_count();
    weft_publish(app, "t", &(weft_message){.kind = WEFT_BINARY, .data = {large, large_bytes}}, NULL);
    app->workers->hub.fan_out.run(&app->workers->hub.fan_out); /* and not at the end of the turn */
    n_allocations = mem_count() - before;
}

/* With nothing kept from before, each subscriber may cost its queue, and the message its blob, its frame and its place in the ring. */
static void cost__of_a_message_is_one_image_for_all(void **state)
{
    (void)state;
    static const size_t sizes[] = {100, 4096, 4097, sizeof large};
    serve(&(weft_websocket_options){.open = join});
    open_clients("/", N_CLIENTS);
    for (size_t i = 0; i < N_OF(sizes); i++) {
        pool_done(&app->workers->loop.blocks);
        large_bytes = sizes[i];
        on_loop(publish_large);
        assert_in_range(n_allocations, N_CLIENTS, N_CLIENTS + 4);
        for (int k = 0; k < N_CLIENTS; k++)
            assert_int_equal(client_receive(fds[k]).len, sizes[i]);
    }
    close_clients(N_CLIENTS);
}

/* --------------------------------------------------------------------------------------------------------------- memory */

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

static void cost__of_an_idle_connection(void **state)
{
    (void)state;
    enum { N_IDLE = 1000, MOST_BYTES = 256 };
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    serve(&(weft_websocket_options){.message = on_echo});
    int first = client_open(url, "/"); /* the loop's own buffers are there */
    size_t before = bytes_in_use();
    open_clients("/", N_IDLE);
    size_t each = (bytes_in_use() - before) / N_IDLE + HEAP_HANDLE_BYTES;
    print_message("# an idle WebSocket takes %zu bytes of heap\n", each);
    assert_in_range(each, 1, MOST_BYTES - 1);
    close_clients(N_IDLE);
    client_reset(first);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        APP_TEST(cost__of_an_echo),
        APP_TEST(cost__of_a_broadcast),
        APP_TEST(cost__of_a_message_is_one_image_for_all),
#ifndef OWN_MALLOC
        APP_TEST(cost__of_an_idle_connection),
#endif
    };
    heap_begin();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
