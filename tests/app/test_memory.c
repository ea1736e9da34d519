/* Each allocation of the loop fails in turn, and all after it, while a client goes through everything: that client may be lost, nobody else. */
#include "app/app.h"
#include "app/fixture.h"
#include "app/spare_memory.h"

enum { LARGE_BYTES = 1 << 20, PIECE_BYTES = 30000 };

static int n_opened, n_closed;
static char large[LARGE_BYTES];

/* What goes wrong here is answered as a program would. */
static void decide(weft_exchange which, const weft_request *request, void *user)
{
    (void)request;
    (void)user;
    if (weft_header(which, "X-Room", "attic") || weft_accept(which, NULL))
        weft_reject(which, 500, "no memory");
}

static void join(weft_peer who)
{
    n_opened++;
    if (weft_subscribe(who, "room", NULL))
        weft_close(who, 1011, "no memory");
}

static void echo_or_publish(weft_peer who, const weft_message *message)
{
    if (message->kind == WEFT_BINARY)
        weft_send(who, message);
    else if (weft_publish(weft_of(who), "room", message, NULL))
        weft_close(who, 1011, "no memory");
}

static void count_close(weft_peer who, int code, weft_str reason)
{
    (void)who;
    (void)code;
    (void)reason;
    n_closed++;
}

static void setup_routes(void)
{
    static const char *const subprotocols[] = {"chat", NULL};
    weft_websocket(app, "/other", &(weft_websocket_options){.message = on_echo, .ping_interval_ms = WEFT_NEVER});
    serve(&(weft_websocket_options){.request = decide,
                                    .open = join,
                                    .message = echo_or_publish,
                                    .close = count_close,
                                    .subprotocols = subprotocols,
                                    .ping_interval_ms = WEFT_NEVER});
}

/* ----------------------------------------------------------------------------------------------- a client that may be lost */

/* Sends a message, whole or in pieces, and gets it back; false when the connection is lost or closed. */
static bool exchange_message(int fd, int opcode, size_t len, size_t piece)
{
    for (size_t at = 0; at < len; at += piece) {
        size_t n = len - at < piece ? len - at : piece;
        int first_byte = (at ? CLIENT_CONTINUATION : opcode) | (at + n == len ? CLIENT_FIN : 0);
        if (!client_try_send(fd, first_byte, large + at, n))
            return false;
    }
    client_frame frame = client_receive(fd);
    if (frame.opcode != opcode)
        return false;
    assert_int_equal(frame.len, len);
    assert_memory_equal(frame.at, large, len);
    return true;
}

static bool leave(int fd)
{
    return client_try_send(fd, CLIENT_FIN | CLIENT_CLOSE, "\x03\xe8", 2) && client_receive(fd).opcode == CLIENT_CLOSE;
}

/* True when everything was as it should be. */
static bool go_through_everything(void)
{
    int fd = client_connect(url);
    client_ask(fd, "/", "Sec-WebSocket-Protocol: other, chat\r\n");
    bool good = client_read_head(fd) == 101 && client_head_has("X-Room: attic") &&
                client_head_has("Sec-WebSocket-Protocol: chat") && exchange_message(fd, CLIENT_BINARY, 20, 20) &&
                exchange_message(fd, CLIENT_BINARY, LARGE_BYTES, LARGE_BYTES) &&
                exchange_message(fd, CLIENT_BINARY, 100000, PIECE_BYTES) && exchange_message(fd, CLIENT_TEXT, 20, 20) &&
                exchange_message(fd, CLIENT_TEXT, PIECE_BYTES, 10000) && leave(fd);
    close(fd);
    return good;
}

static void check_other(int fd)
{
    client_send_text(fd, "are you there?");
    client_expect_text(fd, "are you there?");
    client_send(fd, CLIENT_FIN | CLIENT_BINARY, large, LARGE_BYTES);
    assert_int_equal(client_receive(fd).len, LARGE_BYTES);
    assert_memory_equal(client_bytes, large, LARGE_BYTES);
}

/* With a fresh application, so that nothing is kept from the turns before; true when the n-th allocation was not needed. */
static bool fail_from(uint64_t n, void **state)
{
    assert_int_equal(setup_app(state), 0);
    setup_routes();
    n_opened = n_closed = 0;
    int other = client_open(url, "/other");
    pool_done(&app->workers->loop.blocks); /* what the other has warmed */
    uint64_t before = mem_count(), began_ms = client_now_ms();
    mem_fail_from(n);
    bool good = go_through_everything();
    bool enough = mem_count() - before < n;
    CLIENT_UNTIL(app->workers->net.n_streams == 1 && app->workers->hub.n_peers == 1);
    mem_fail_from(0);
    assert_true(client_now_ms() - began_ms < 4000); /* who cannot be served is not kept waiting */
    assert_true(good || !enough);
    assert_int_equal(n_opened, n_closed);
    check_other(other);
    assert_true(go_through_everything());
    client_leave(other);
    assert_int_equal(teardown_app(state), 0);
    return enough;
}

static void memory__fails_nobody_but_the_client_that_needs_it(void **state)
{
    uint64_t n = 1;
    for (size_t i = 0; i < sizeof large; i++)
        large[i] = (char)('a' + i * 7 % 23);
    while (!fail_from(n, state))
        n++;
    print_message("# %lu allocations failed in turn\n", n - 1);
    assert_in_range(n, 20, 1000);
}

static void close_without_memory(void)
{
    forget_spare_memory(app);
    mem_fail_from(1);
    weft_close(latest, 1000, "no memory for this");
    mem_fail_from(0);
}

static void memory__ends_a_connection_that_cannot_say_goodbye(void **state)
{
    (void)state;
    serve(&(weft_websocket_options){RECORDED});
    int fd = client_open(url, "/");
    uint64_t before_ms = client_now_ms();
    on_loop(close_without_memory);
    client_expect_end(fd);
    assert_true(client_now_ms() - before_ms < 4000); /* not when the peer's answer is overdue */
    assert_string_equal(look(), "open close:1000: ");
}

/* An application that cannot be made, or configured, says so and leaks nothing. */
static int configure(void)
{
    weft *one = weft_new(NULL);
    if (!one)
        return -ENOMEM;
    weft_listen(one, "http://127.0.0.1:0", NULL);
    weft_websocket(one, "/:room", &(weft_websocket_options){.subprotocols = (const char *const[]){"a", "b", NULL}});
    weft_get(one, "/a", NULL, NULL);
    int error = weft_topic_configure(one, "a*", NULL);
    const char *text = weft_error(one);
    if (error == -ENOMEM)
        assert_string_equal(text ? "some" : "none", "some");
    weft_free(one);
    return error == -ENOMEM ? error : 0;
}

static void memory__fails_an_application_in_words(void **state)
{
    (void)state;
    check_failing_allocations(configure);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory__fails_nobody_but_the_client_that_needs_it),
        APP_TEST(memory__ends_a_connection_that_cannot_say_goodbye),
        cmocka_unit_test(memory__fails_an_application_in_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
