#include "app/fixture.h"

static int results[16];

/* A subscriber of "t" on every connection; what it is told goes to `on_command`. */
static void join(weft_peer who)
{
    on_open(who);
    weft_subscribe(who, "t", NULL);
}

static weft_message text_of(const char *text)
{
    return (weft_message){.kind = WEFT_TEXT, .data = {text, strlen(text)}};
}

static void topics__bring_each_message_to_every_subscriber_once(void **state)
{
    (void)state;
    enum { N = 20 };
    int fds[N];
    serve(&(weft_websocket_options){.open = join});
    for (int i = 0; i < N; i++)
        fds[i] = client_open(url, "/");
    assert_int_equal(weft_publish_text(app, "t", "one"), 0);
    assert_int_equal(weft_publish_text(app, "other", "nobody hears this"), 0);
    assert_int_equal(weft_publish_text(app, "t", "two"), 0);
    for (int i = 0; i < N; i++) {
        client_expect_text(fds[i], "one");
        client_expect_text(fds[i], "two");
        client_leave(fds[i]);
    }
}

static char large[5000];

static void join_both(weft_peer who)
{
    join(who);
    weft_subscribe(who, "u", NULL);
}

/* All sizes of frames, in one turn; what goes to the other topic ends a piece. */
static void publish_several(weft_peer who, const weft_message *message)
{
    (void)who;
    (void)message;
    memset(large, 'x', sizeof large - 1);
    for (int round = 0; round < 2; round++) {
        weft_publish_text(app, "t", "");
        weft_publish_text(app, "t", "small");
        weft_publish(app, "t", &(weft_message){.kind = WEFT_BINARY, .data = {large, 4096 - (size_t)round * 4000}},
                     NULL);
        if (round == 0)
            weft_publish_text(app, "t", large);
        weft_publish_text(app, "u", "another topic");
    }
}

static void topics__keep_frames_apart_that_a_turn_brings(void **state)
{
    (void)state;
    serve(&(weft_websocket_options){.open = join_both, .message = publish_several});
    int fd = client_open(url, "/"), other = client_open(url, "/");
    client_send_text(fd, "go");
    for (int i = 0; i < 2; i++) {
        int who = i ? other : fd;
        for (int round = 0; round < 2; round++) {
            client_expect_text(who, "");
            client_expect_text(who, "small");
            assert_int_equal(client_receive(who).len, 4096 - round * 4000);
            if (round == 0)
                client_expect_text(who, large);
            client_expect_text(who, "another topic");
        }
        client_leave(who);
    }
}

static void publish_between_sends(weft_peer who, const weft_message *message)
{
    (void)message;
    results[0] = weft_send_text(who, "1");
    results[1] = weft_publish_text(app, "t", "2");
    results[2] = weft_send_text(who, "3");
    results[3] = weft_publish_text(app, "t", "4");
    results[4] = weft_close(who, 1000, NULL);
    results[5] = weft_publish_text(app, "t", "5");
}

static void topics__keep_program_order_with_sends(void **state)
{
    (void)state;
    serve(&(weft_websocket_options){.open = join, .message = publish_between_sends});
    int fd = client_open(url, "/"), other = client_open(url, "/");
    client_send_text(fd, "go");
    client_expect_text(fd, "1");
    client_expect_text(fd, "2");
    client_expect_text(fd, "3");
    client_expect_text(fd, "4");
    client_expect_close(fd, 1000);
    client_expect_text(other, "2");
    client_expect_text(other, "4");
    client_expect_text(other, "5");
    for (int i = 0; i < 6; i++)
        assert_int_equal(results[i], 0);
    client_send_close(fd, 1000, "");
    client_expect_end(fd);
    client_leave(other);
}

static void publish_except_self(weft_peer who, const weft_message *message)
{
    weft_publish(app, "t", message, &(weft_publish_options){.except = who});
    weft_send_text(who, "sent");
}

static void topics__leave_out_the_one_excepted(void **state)
{
    (void)state;
    serve(&(weft_websocket_options){.open = join, .message = publish_except_self});
    int fd = client_open(url, "/"), other = client_open(url, "/");
    client_send_text(fd, "hello");
    client_expect_text(fd, "sent");
    client_expect_text(other, "hello");
    weft_publish(app, "t", &(weft_message){.kind = WEFT_TEXT, .data = {"x", 1}},
                 &(weft_publish_options){.except = latest});
    client_expect_text(fd, "x");
    client_leave(fd);
    client_leave(other); /* nothing else came: the close answer is next */
}

/* "+name" and "-name" subscribe and unsubscribe. */
static void obey(weft_peer who, const weft_message *message)
{
    char name[512] = "";
    size_t len = message->data.len < sizeof name ? message->data.len : sizeof name;
    memcpy(name, message->data.at, len);
    if (*name == '+')
        happened("%d ", weft_subscribe(who, name + 1, NULL));
    else
        happened("%d ", weft_unsubscribe(who, name + 1));
    weft_send_text(who, "done");
}

static void order(int fd, const char *command)
{
    client_send_text(fd, command);
    client_expect_text(fd, "done");
}

static void topics__are_left_and_joined_at_will(void **state)
{
    (void)state;
    serve(&(weft_websocket_options){.message = obey});
    int fd = client_open(url, "/");
    order(fd, "+a");
    order(fd, "+a");
    order(fd, "+b");
    weft_publish_text(app, "a", "a1");
    client_expect_text(fd, "a1"); /* once */
    order(fd, "-a");
    order(fd, "-a");
    order(fd, "-never");
    weft_publish_text(app, "a", "a2");
    weft_publish_text(app, "b", "b1");
    client_expect_text(fd, "b1");
    order(fd, "+a");
    weft_publish_text(app, "a", "a3");
    client_expect_text(fd, "a3");
    client_leave(fd);
    assert_string_equal(look(), "0 0 0 0 0 0 0 ");
}

static void subscribe_badly(weft_peer who)
{
    static char long_name[257];
    memset(long_name, 'x', 256);
    results[0] = weft_subscribe(who, "", NULL);
    results[1] = weft_subscribe(who, NULL, NULL);
    results[2] = weft_subscribe(who, "a\nb", NULL);
    results[3] = weft_subscribe(who, "\xff", NULL);
    results[4] = weft_subscribe(who, long_name, NULL);
    results[5] = weft_publish_text(app, "a\xc2\x85", "x"); /* a control character of two bytes */
    results[6] = weft_publish_text(app, long_name, "x");
    results[7] = weft_publish_text(app, "", "x");
    results[8] = weft_publish_text(app, "a\x7f", "x");
    results[9] = weft_unsubscribe(who, NULL);
    results[10] = weft_subscribe(who, long_name + 1, NULL);
}

static void topics__have_names_of_legal_text(void **state)
{
    (void)state;
    serve(&(weft_websocket_options){.open = subscribe_badly});
    int fd = client_open(url, "/");
    client_leave(fd);
    for (int i = 0; i < 10; i++)
        assert_int_equal(results[i], WEFT_E_INVALID);
    assert_int_equal(results[10], 0);
}

static void subscribe_to_many(weft_peer who)
{
    char name[16];
    results[0] = 0;
    for (int i = 0; i < 1000; i++) {
        snprintf(name, sizeof name, "%d", i);
        results[0] |= weft_subscribe(who, name, NULL);
    }
    results[1] = weft_subscribe(who, "one more", NULL);
    results[2] = weft_subscribe(who, "999", NULL); /* it has that one */
    results[3] = weft_unsubscribe(who, "500");
    results[4] = weft_subscribe(who, "one more", NULL);
}

static void topics__are_at_most_a_thousand_for_a_peer(void **state)
{
    (void)state;
    serve(&(weft_websocket_options){.open = subscribe_to_many});
    int fd = client_open(url, "/");
    weft_publish_text(app, "500", "left");
    weft_publish_text(app, "0", "first");
    weft_publish_text(app, "one more", "last");
    client_expect_text(fd, "first");
    client_expect_text(fd, "last");
    client_leave(fd);
    assert_int_equal(results[0], 0);
    assert_int_equal(results[1], WEFT_E_TOO_LARGE);
    assert_int_equal(results[2] | results[3] | results[4], 0);
}

static void publish_kinds(void)
{
    results[0] = weft_publish(app, "t", &(weft_message){.kind = WEFT_JSON, .data = {" { \"a\" : 1 } ", 13}}, NULL);
    results[1] = weft_publish(app, "t", &(weft_message){.kind = WEFT_BINARY, .data = {"\xff", 1}}, NULL);
    results[2] = weft_publish_text(app, "t", "");
    results[3] = weft_publish(app, "t", &(weft_message){.kind = WEFT_JSON, .data = {"{", 1}}, NULL);
    results[4] = weft_publish_text(app, "t", "\xff");
    results[5] = weft_publish(app, "t", &(weft_message){.kind = (weft_kind)0}, NULL);
    results[6] = weft_publish(app, "t", &(weft_message){.kind = WEFT_TEXT, .data = {NULL, 1}}, NULL);
    results[7] = weft_publish(app, "t", &(weft_message){.kind = WEFT_TEXT, .event = {NULL, 1}}, NULL);
}

static void check_kinds(int fd)
{
    client_expect_text(fd, "{\"a\":1}");
    client_expect(fd, CLIENT_BINARY, "\xff");
    client_expect_text(fd, "");
    for (int i = 0; i < 3; i++)
        assert_int_equal(results[i], 0);
    assert_int_equal(results[3], WEFT_E_JSON);
    assert_int_equal(results[4], WEFT_E_UTF8);
    for (int i = 5; i < 8; i++)
        assert_int_equal(results[i], WEFT_E_INVALID);
}

static void topics__carry_every_kind(void **state)
{
    (void)state;
    serve(&(weft_websocket_options){.open = join});
    int fd = client_open(url, "/");
    on_loop(publish_kinds);
    check_kinds(fd);
    elsewhere(publish_kinds);
    check_kinds(fd);
    client_leave(fd);
}

static weft_peer peers[40];
static int n_peers;

static void join_and_remember(weft_peer who)
{
    peers[n_peers++] = who;
    weft_subscribe(who, "t", NULL);
}

/* Peers that go while their topic is in use, first and last among them. */
static void publish_while_they_leave(void)
{
    for (int i = 0; i < n_peers; i++) {
        char text[16];
        snprintf(text, sizeof text, "%d", i);
        weft_publish_text(app, "t", text);
        if (i % 3 == 0)
            weft_close(peers[i], 4000, NULL);
        else if (i % 3 == 1)
            weft_abort(peers[n_peers - i]);
    }
}

static void topics__lose_those_who_leave(void **state)
{
    (void)state;
    enum { N = 40 };
    int fds[N];
    n_peers = 0;
    serve(&(weft_websocket_options){.open = join_and_remember});
    for (int i = 0; i < N; i++)
        fds[i] = client_open(url, "/");
    on_loop(publish_while_they_leave);
    for (int i = 0; i < N; i++) {
        char text[16];
        client_frame frame = client_receive(fds[i]);
        int n = 0;
        for (; frame.opcode == CLIENT_TEXT; frame = client_receive(fds[i]), n++) {
            snprintf(text, sizeof text, "%d", n);
            assert_string_equal(frame.at, text);
            if (n == N - 1)
                break;
        }
        if (frame.opcode == CLIENT_CLOSE)
            assert_int_equal(n, i + 1); /* what was published before it was closed, and no more */
        close(fds[i]);
    }
    weft_publish_text(app, "t", "to those who are left");
    for (int i = 0; i < 10; i++)
        weft_step(app, 1);
}

/* ------------------------------------------------------------------------------------------------------- slow subscribers */

enum { SLOW_BYTES = 32 << 10, SLOW_MESSAGES = 8 };

static unsigned n_published;

static void publish_one(void)
{
    static char bytes[SLOW_BYTES];
    memcpy(bytes, &n_published, sizeof n_published);
    weft_publish(app, "t", &(weft_message){.kind = WEFT_BINARY, .data = {bytes, sizeof bytes}}, NULL);
    n_published++;
}

/* More than the sockets, the queue and the ring hold. */
static void publish_many(void)
{
    for (int i = 0; i < 10; i++)
        publish_one();
}

/* A subscriber that reads nothing while much is published. */
static int fall_behind(weft_slow_policy policy)
{
    weft_topic_options options = {.ring_messages = SLOW_MESSAGES, .slow = policy};
    n_published = 0;
    assert_int_equal(weft_topic_configure(app, "t*", &options), 0);
    assert_int_equal(weft_topic_configure(app, "*", &(weft_topic_options){.slow = WEFT_SLOW_CLOSE}), 0);
    serve(&(weft_websocket_options){
        .open = join, .close = on_close, .max_queued_bytes = SLOW_BYTES, .ping_interval_ms = WEFT_NEVER});
    int fd = client_connect_small(url, 4096);
    client_ask(fd, "/", "");
    client_expect_accepted(fd);
    look();
    for (int i = 0; i < 100; i++) {
        on_loop(publish_many);
        client_wait(fd, 0, 1);
    }
    return fd;
}

/* Reads whole messages until none came for a while; the number of the last one. Numbers only grow. */
static unsigned read_on(int fd, unsigned *ret_n)
{
    unsigned number, last = 0;
    *ret_n = 0;
    while (client_wait(fd, POLLIN, 100)) {
        client_frame frame = client_receive(fd);
        if (frame.opcode != CLIENT_BINARY)
            break;
        memcpy(&number, frame.at, sizeof number);
        assert_true(*ret_n == 0 || number > last);
        last = number;
        ++*ret_n;
    }
    return last;
}

static void topics__close_who_is_too_slow(void **state)
{
    (void)state;
    unsigned n;
    int fd = fall_behind(WEFT_SLOW_DEFAULT);
    assert_string_equal(look(), "close:1013:too slow for a topic ");
    unsigned last = read_on(fd, &n);
    assert_int_equal(last, n - 1); /* no gap before the end */
    assert_true(n > 0 && n < n_published);
    assert_int_equal(1013, (uint8_t)client_bytes[0] << 8 | (uint8_t)client_bytes[1]);
    client_send_close(fd, 1013, "");
    client_expect_end(fd);
}

/* These stay, with a gap; afterwards they hear everything again. */
static void check_gap(weft_slow_policy policy)
{
    unsigned n;
    int fd = fall_behind(policy);
    unsigned last = read_on(fd, &n);
    assert_true(n < n_published);
    if (policy == WEFT_SLOW_DROP_NEW)
        assert_true(last < n_published - 1); /* what was queued first, and not the newest */
    else
        assert_int_equal(last, n_published - 1);
    on_loop(publish_one);
    last = read_on(fd, &n);
    assert_int_equal(last, n_published - 1);
    assert_int_equal(n, 1);
    client_leave(fd);
    assert_string_equal(look(), "close:1000: ");
}

static void topics__drop_old_messages_when_told(void **state)
{
    (void)state;
    check_gap(WEFT_SLOW_DROP_OLD);
}

static void topics__drop_new_messages_when_told(void **state)
{
    (void)state;
    check_gap(WEFT_SLOW_DROP_NEW);
}

static void topics__jump_to_the_latest_when_told(void **state)
{
    (void)state;
    check_gap(WEFT_SLOW_LATEST);
}

/* A lagging subscription that is still in the ring loses nothing. */
static void topics__catch_up_from_the_ring(void **state)
{
    (void)state;
    unsigned n;
    n_published = 0;
    serve(&(weft_websocket_options){
        .open = join, .close = on_close, .max_queued_bytes = SLOW_BYTES, .ping_interval_ms = WEFT_NEVER});
    int fd = client_open(url, "/");
    for (int i = 0; i < 10; i++)
        on_loop(publish_many); /* 3.2 MB; the ring keeps 4 */
    unsigned last = read_on(fd, &n);
    assert_int_equal(last, 99);
    assert_int_equal(n, 100);
    client_leave(fd);
}

static void topics__are_published_to_while_nobody_listens(void **state)
{
    (void)state;
    weft_message message = text_of("x");
    serve(&(weft_websocket_options){.open = join});
    for (int i = 0; i < 3; i++) {
        assert_int_equal(weft_publish(app, "t", &message, NULL), 0);
        int fd = client_open(url, "/");
        weft_publish_text(app, "t", "heard");
        client_expect_text(fd, "heard");
        client_leave(fd);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        APP_TEST(topics__bring_each_message_to_every_subscriber_once),
        APP_TEST(topics__keep_program_order_with_sends),
        APP_TEST(topics__keep_frames_apart_that_a_turn_brings),
        APP_TEST(topics__leave_out_the_one_excepted),
        APP_TEST(topics__are_left_and_joined_at_will),
        APP_TEST(topics__have_names_of_legal_text),
        APP_TEST(topics__are_at_most_a_thousand_for_a_peer),
        APP_TEST(topics__carry_every_kind),
        APP_TEST(topics__lose_those_who_leave),
        APP_TEST(topics__close_who_is_too_slow),
        APP_TEST(topics__drop_old_messages_when_told),
        APP_TEST(topics__drop_new_messages_when_told),
        APP_TEST(topics__jump_to_the_latest_when_told),
        APP_TEST(topics__catch_up_from_the_ring),
        APP_TEST(topics__are_published_to_while_nobody_listens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
