/* weft.v1 under load and attack: floods, slow clients, clients that vanish in the middle of anything, no memory. */
#include "app/protocol_client.h"
#include "support/heap.h"
#include <sys/syscall.h>

/* A clock that jumps whenever somebody looks, so that a fan-out has used up its slice as soon as it may. */
static bool clock_jumps;
static time_t jumped_s;

int clock_gettime(clockid_t id, struct timespec *ret_now)
{
    int result = (int)syscall(SYS_clock_gettime, id, ret_now);
    if (id == CLOCK_MONOTONIC)
        ret_now->tv_sec += clock_jumps ? ++jumped_s : jumped_s;
    return result;
}

static int n_opened, n_closed;

static void count_open(weft_peer who)
{
    latest = who;
    n_opened++;
}

static void count_close(weft_peer who, int code, weft_str reason)
{
    (void)who;
    (void)code;
    (void)reason;
    n_closed++;
}

#define COUNTED .open = count_open, .close = count_close

static const peer *only_peer(void)
{
    return slots_get(&app->workers->table, latest.id, SLOT_PEER);
}

static size_t queued_now(void)
{
    const peer *p = only_peer();
    return p ? p->ops->queued(p) : 0;
}

/* -------------------------------------------------------------------------------------------------------------- floods */

enum { FLOOD_FRAMES = 4096, FLOODS = 1000 }; /* more than any socket buffer takes: the kernel lets one grow to 32 MiB */

/* Writes as much as the server takes; the number of whole frames that have gone, and *ret_rest bytes of the next. */
static size_t flood(int fd, const char *frames, size_t frame_bytes, size_t *ret_rest)
{
    size_t sent = 0, all = frame_bytes * FLOOD_FRAMES;
    for (int silent = 0; silent < 20 && sent < FLOODS * all;) {
        size_t from = sent % all;
        ssize_t n = send(fd, frames + from, all - from, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n > 0) {
            sent += (size_t)n;
            silent = 0;
        } else {
            assert_int_equal(errno, EAGAIN);
            silent += !client_wait(fd, POLLOUT, 10);
        }
    }
    *ret_rest = sent % frame_bytes;
    return sent / frame_bytes;
}

/* Who asks and asks and reads nothing is not read from either; and when it reads, has every answer. */
static void load__pauses_who_floods_and_never_reads(void **state)
{
    (void)state;
    static char frames[FLOOD_FRAMES * 64];
    const char *ping = "{\"type\":\"ping\"}";
    enum { LIMIT = 64 << 10 };
    size_t frame_bytes = 0, rest;
    serve_protocol(&(weft_topics_options){COUNTED, .max_queued_bytes = LIMIT});
    speaker s = {.by = BY_WEBSOCKET, .fields = "", .fd = client_connect_small(url, 4096)};
    client_ask(s.fd, "/weft", OFFER);
    client_expect_accepted(s.fd);
    take_hello(&s);
    for (int i = 0; i < FLOOD_FRAMES; i++)
        frame_bytes += client_put(frames + frame_bytes, CLIENT_FIN | CLIENT_TEXT, ping, strlen(ping));
    frame_bytes /= FLOOD_FRAMES;
    size_t n = flood(s.fd, frames, frame_bytes, &rest);
    assert_in_range(n, 1000, (size_t)FLOODS * FLOOD_FRAMES - 1);
    assert_true(only_peer()->stop_reading & PAUSED_BY_QUEUE);
    assert_in_range(queued_now(), LIMIT / 2, LIMIT + 100);
    for (size_t i = 0; i < n; i++)
        expect(&s, "{\"type\":\"pong\"}");
    client_write(s.fd, frames + rest, frame_bytes - rest);
    expect(&s, "{\"type\":\"pong\"}");
    expect_no_more(&s);
    hang_up(&s);
}

/* ----------------------------------------------------------------------------------------------------------- slow ones */

enum { SLOW_BYTES = 32 * 1024, SLOW_MESSAGES = 8 };

static unsigned n_published;

static void publish_one(void)
{
    static char text[SLOW_BYTES];
    memset(text, '.', sizeof text);
    int len = snprintf(text, sizeof text, "%u", n_published++);
    text[len] = ' ';
    weft_publish(app, "slow", &(weft_message){.kind = WEFT_TEXT, .data = {text, sizeof text}}, NULL);
}

static void publish_ten(void)
{
    for (int i = 0; i < 10; i++)
        publish_one();
}

static void serve_slow(const weft_topic_options *options)
{
    n_published = 0;
    weft_topic_configure(app, "slow", options);
    serve_protocol(&(weft_topics_options){COUNTED, .max_queued_bytes = SLOW_BYTES});
}

/* Subscribed, with hardly any room in its socket. */
static speaker slow_one(void)
{
    speaker s = {.by = by, .fields = "", .fd = -1};
    if (by == BY_POLLS) {
        s = joined();
    } else {
        s.fd = client_connect_small(url, 4096);
        if (by == BY_WEBSOCKET) {
            client_ask(s.fd, "/weft", OFFER);
            client_expect_accepted(s.fd);
        } else {
            client_write_text(s.fd, "GET /weft HTTP/1.1\r\nHost: localhost\r\n" ACCEPT_EVENTS "\r\n");
            sse_expect_begin(s.fd);
        }
        take_hello(&s);
    }
    subscribe_to(&s, "slow");
    return s;
}

static unsigned long cursor_number(const char *name)
{
    return strtoul(strchr(member(name), '-') + 1, NULL, 10);
}

/* Hears until the last message that was published: numbers only grow, and each jump was told where it goes on. */
static unsigned hear_all(speaker *s, unsigned long next)
{
    unsigned n_gaps = 0;
    while (next <= n_published) {
        hear(s);
        if (strncmp(client_bytes, "{\"type\":\"gap\",\"topic\":\"slow\",\"cursor\":\"", 38) == 0) {
            assert_true(cursor_number("cursor") >= next);
            next = cursor_number("cursor") + 1;
            n_gaps++;
            continue;
        }
        assert_memory_equal(client_bytes, "{\"type\":\"message\",\"topic\":\"slow\",", 33);
        assert_int_equal(cursor_number("id"), next);
        assert_int_equal(strtoul(member("data"), NULL, 10), next - 1);
        next++;
    }
    return n_gaps;
}

static void load__tells_slow_clients_of_gaps_and_goes_on(void **state)
{
    (void)state;
    serve_slow(&(weft_topic_options){.ring_messages = SLOW_MESSAGES, .slow = WEFT_SLOW_DROP_OLD});
    speaker s = slow_one();
    for (int i = 0; i < 100; i++)
        on_loop(publish_ten);
    assert_true(hear_all(&s, 1) > 0);
    on_loop(publish_one);
    assert_int_equal(hear_all(&s, n_published), 0);
    expect_no_more(&s);
    hang_up(&s);
}

static void load__closes_slow_clients_where_nothing_may_be_lost(void **state)
{
    (void)state;
    n_closed = 0;
    serve_slow(&(weft_topic_options){.ring_messages = SLOW_MESSAGES, .slow = WEFT_SLOW_CLOSE});
    speaker s = slow_one();
    for (int i = 0; i < 100; i++)
        on_loop(publish_ten);
    assert_int_equal(n_closed, 1);
    if (by != BY_WEBSOCKET)
        assert_int_equal(post_status(&s, "[]", 2), 404);
    close(s.fd);
    free(s.answer);
}

/* What it says is heard, though it has never caught up with the topic: or it could not say that this is too much. */
static void load__listens_to_clients_that_lag_for_ever(void **state)
{
    (void)state;
    serve_slow(&(weft_topic_options){.ring_messages = SLOW_MESSAGES, .slow = WEFT_SLOW_DROP_OLD});
    speaker s = slow_one();
    const char *leave = "{\"type\":\"unsubscribe\",\"topic\":\"slow\"}";
    bool pong = false, asked = by == BY_WEBSOCKET, unsubscribed = false;
    for (int i = 0; i < 20; i++)
        on_loop(publish_ten);
    assert_int_equal(only_peer()->n_lagging, 1);
    if (by == BY_WEBSOCKET) {
        client_send_text(s.fd, "{\"type\":\"ping\"}");
        client_send_text(s.fd, leave);
    }
    for (int i = 0; i < 1000 && !unsubscribed; i++) {
        on_loop(publish_ten);
        if (!asked)
            asked = post_status(&s, leave, strlen(leave)) == 204;
        hear(&s);
        pong |= strcmp(client_bytes, "{\"type\":\"pong\"}") == 0;
        unsubscribed |= strstr(client_bytes, "unsubscribed") != NULL;
    }
    assert_true(unsubscribed);
    assert_true(pong || by != BY_WEBSOCKET);
    on_loop(publish_ten);
    expect_no_more(&s);
    hang_up(&s);
}

/* ------------------------------------------------------------------------------------------------------ large rounds */

static void join_live(weft_peer who)
{
    weft_subscribe(who, "live", NULL);
}

static int publish_and_refuse(const weft_access *access, void *user)
{
    (void)user;
    if (access->topic.at[0] == 'l')
        return 1;
    weft_publish_text(app, "live", "from the program");
    return 0;
}

/* A client that the fan-out has not reached gets what was published before anything else that it is told from then on. */
static void load__keeps_the_order_for_who_is_reached_last(void **state)
{
    (void)state;
    enum { N = 600 };
    serve_protocol(&(weft_topics_options){.publish = everything, .open = join_live, .allow = publish_and_refuse});
    for (int i = 0; i < N; i++)
        assert_int_equal(status_of("GET /weft?session=new", "", NULL), 200);
    speaker s = joined();
    clock_jumps = true;
    say(&s, "{\"type\":\"publish\",\"topic\":\"live\",\"id\":1,\"data\":1}");
    say(&s, "{\"type\":\"publish\",\"topic\":\"other\",\"id\":2,\"data\":1}");
    clock_jumps = false;
    expect(&s, "{\"type\":\"message\",\"topic\":\"live\",\"id\":\"E-1\",\"kind\":\"json\",\"data\":1}");
    expect(&s, "{\"type\":\"published\",\"id\":1,\"cursor\":\"E-1\"}");
    expect(&s,
           "{\"type\":\"message\",\"topic\":\"live\",\"id\":\"E-2\",\"kind\":\"text\",\"data\":\"from the program\"}");
    expect_error(&s, "2", "forbidden");
    hang_up(&s);
}

/* ------------------------------------------------------------------------------------------------------------ nonsense */

static uint32_t chance = 1;

static uint32_t random_below(uint32_t n)
{
    chance = chance * 1664525 + 1013904223;
    return (chance >> 8) % n;
}

/* What might be said, with some bytes of it changed, gone or doubled. */
static size_t garble(char *text)
{
    static const char *const said[] = {
        "{\"type\":\"subscribe\",\"id\":\"a\\u00e9\",\"topic\":\"room\",\"since\":\"start\",\"presence\":true}",
        "{\"type\":\"publish\",\"id\":-1.5e3,\"topic\":\"\\u0074\",\"data\":\"\\ud83d\\ude00\\n\",\"event\":\"e\","
        "\"kind\":\"text\"}",
        "{\"type\":\"publish\",\"id\":3,\"topic\":\"t\",\"data\":[ 1, {\"a\" : null} ],\"kind\":\"json\"}",
        "{\"type\":\"publish\",\"id\":4,\"topic\":\"t\",\"data\":\"AAEC/w==\",\"kind\":\"binary\"}",
        "{\"type\":\"presence\",\"id\":5,\"topic\":\"room\"}",
        "{\"type\":\"unsubscribe\",\"topic\":\"room\",\"id\":\"\"}",
        "[{\"type\":\"hello\",\"name\":\"x\"},{\"type\":\"ping\"},[[]],{}]",
    };
    size_t len = strlen(strcpy(text, said[random_below(N_OF(said))]));
    for (uint32_t n = random_below(4); n > 0; n--) {
        size_t at = random_below((uint32_t)len), what = random_below(3);
        if (what == 0) {
            text[at] = "{}[]\":,\\u0\x80\xe9 \n"[random_below(15)];
        } else if (what == 1 && len > 1) {
            memmove(text + at, text + at + 1, len-- - at - 1);
        } else {
            memmove(text + at + 1, text + at, len++ - at);
        }
    }
    return len;
}

static void load__survives_nonsense(void **state)
{
    (void)state;
    char text[512];
    serve_open_protocol();
    speaker witness = connect_by(BY_WEBSOCKET);
    speaker s = joined();
    for (int i = 0; i < 2000; i++) {
        size_t len = garble(text);
        if (by == BY_WEBSOCKET) {
            if (!client_try_send(s.fd, CLIENT_FIN | CLIENT_TEXT, text, len))
                continue;
            client_send_text(s.fd, "{\"type\":\"ping\",\"id\":\"end\"}");
            client_frame frame = client_receive(s.fd);
            while (frame.opcode == CLIENT_TEXT && !strstr(client_bytes, "\"id\":\"end\""))
                frame = client_receive(s.fd);
            if (frame.opcode == CLIENT_TEXT)
                continue;
            assert_int_equal(frame.opcode, CLIENT_CLOSE); /* it was not UTF-8 */
            assert_int_equal((uint8_t)frame.at[0] << 8 | (uint8_t)frame.at[1], 1007);
            close(s.fd);
            s = joined();
            continue;
        }
        int status = post_status(&s, text, len);
        assert_true(status == 204 || status == 400);
        say(&s, "{\"type\":\"ping\",\"id\":\"end\"}");
        while (!strstr(hear(&s), "\"id\":\"end\""))
            ;
    }
    expect_no_more(&witness);
    hang_up(&s);
    hang_up(&witness);
}

/* ------------------------------------------------------------------------------------------------------ who vanishes */

static const char everything_said[] = "[{\"type\":\"hello\",\"name\":\"me\"},"
                                      "{\"type\":\"subscribe\",\"id\":1,\"topic\":\"t\",\"since\":\"start\"},"
                                      "{\"type\":\"subscribe\",\"id\":2,\"topic\":\"room\",\"presence\":true},"
                                      "{\"type\":\"publish\",\"id\":3,\"topic\":\"t\",\"data\":[ 1, 2 ]},"
                                      "{\"type\":\"presence\",\"id\":4,\"topic\":\"room\"},"
                                      "{\"type\":\"unsubscribe\",\"id\":5,\"topic\":\"room\"},"
                                      "{\"type\":\"x\"},"
                                      "{\"type\":\"ping\"}]";

/* Says all of it, cut off after some bytes: in frames of a WebSocket, or as a POST. */
static void say_some(const speaker *s, size_t part, size_t parts)
{
    char bytes[2048];
    size_t n = 0;
    int fd = s->fd;
    if (s->by == BY_WEBSOCKET) {
        str rest = json_begin(str_from(everything_said)), value;
        while (json_next_element(&rest, &value))
            n += client_put(bytes + n, CLIENT_FIN | CLIENT_TEXT, value.at, value.len);
    } else {
        n = (size_t)snprintf(bytes, sizeof bytes,
                             "POST /weft?session=%s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %zu\r\n\r\n%s",
                             s->session, strlen(everything_said), everything_said);
        fd = client_connect(url);
    }
    client_try_write(fd, bytes, n * part / parts);
    if (s->by == BY_WEBSOCKET)
        return;
    if (part % 2)
        client_reset(fd);
    else
        close(fd);
}

static void cut(int fd, bool reset)
{
    if (reset)
        client_reset(fd);
    else
        close(fd);
}

/* A client that goes at this stage of its life: while it asks, before it hears, after hello, in what it says, with answers unread, with a poll that
 * waits. */
static void vanish(carrier how, int stage, size_t part)
{
    bool reset = part % 3 == 0;
    if (stage == 0) {
        cut(ask_protocol(how, ""), reset);
        return;
    }
    speaker s = connect_by(how);
    if (stage > 1)
        say_some(&s, stage == 2 ? part % 97 : 1, stage == 2 ? 97 : 1);
    if (stage == 4 && how == BY_POLLS)
        s.fd = ask_poll(&s, "25");
    if (stage == 4)
        publish_to("t", "meanwhile");
    if (s.fd >= 0)
        cut(s.fd, reset);
    free(s.answer);
}

static bool nobody_left(void)
{
    return app->workers->net.n_streams == 1 && app->workers->hub.n_peers == 1 &&
           app->workers->hub.sessions.n_entries == 1;
}

static void vanish_all(int n)
{
    for (int i = 0; i < n; i++)
        vanish((carrier)(i % N_CARRIERS), i / N_CARRIERS % 5, (size_t)(i / N_CARRIERS / 5));
    CLIENT_UNTIL(nobody_left());
    const topic *room = hub_find_topic(&app->workers->hub, STR("room"));
    CLIENT_UNTIL(!room->n_subscribers && !room->presence); /* names leave after 5 s */
    assert_int_equal(n_opened, n_closed + 1);
}

static size_t bytes_in_use(void)
{
    pool_done(&app->workers->loop.blocks);
    return heap_bytes(&app->workers->loop.places); /* a sanitizer's malloc tells 0, and looks for leaks itself */
}

/* What thousands of lost clients leave behind is what a few left. */
static void load__forgets_clients_that_vanish_in_the_middle_of_anything(void **state)
{
    (void)state;
    n_opened = n_closed = 0;
    serve_protocol(&(weft_topics_options){COUNTED, .publish = everything});
    speaker witness = connect_by(BY_EVENTS);
    topics_route *route = (topics_route *)(uintptr_t)session_of(&witness)->route;
    route->polls.lease_ms = 50;
    subscribe_to(&witness, "live");
    vanish_all(500);
    size_t before = bytes_in_use();
    vanish_all(10000);
    size_t after = bytes_in_use();
    print_message("# %zu bytes in use before, %zu after\n", before, after);
    assert_true(after < before + 64 * 1024);
    expect_no_more(&witness);
    hang_up(&witness);
}

/* A connection, a peer, its name and a subscription; and for who polls the session besides the request that waits. */
static void load__keeps_idle_clients_small(void **state)
{
    (void)state;
    enum { N = 400 };
    static const size_t most_bytes[] = {768, 768, 1152};
    static speaker all[N];
    static int waiting[N];
    serve_protocol(&(weft_topics_options){COUNTED});
    speaker first = joined();
    size_t before = bytes_in_use();
    for (int i = 0; i < N; i++) {
        all[i] = joined();
        subscribe_to(&all[i], "live");
        expect_no_more(&all[i]);
        waiting[i] = by == BY_POLLS ? ask_poll(&all[i], "25") : -1;
        free(all[i].answer);
        all[i].answer = NULL;
    }
    CLIENT_UNTIL(by != BY_POLLS || app->workers->net.n_streams == N);
    let_arrive();
    size_t after = bytes_in_use();
    print_message("# an idle client takes %zu bytes of heap\n", (after - before) / N + HEAP_HANDLE_BYTES);
    assert_true(after - before <= N * most_bytes[by]); /* a sanitizer's malloc tells 0 of itself */
    for (int i = 0; i < N; i++)
        client_reset(by == BY_POLLS ? waiting[i] : all[i].fd);
    hang_up(&first);
}

/* --------------------------------------------------------------------------------------------------------- no memory */

/* The body of an answer, or false. */
static bool try_answer(int fd, int want)
{
    int status = client_read_head(fd);
    const char *length = status ? strstr(client_bytes, "\r\nContent-Length: ") : NULL;
    ssize_t len = length ? strtol(length + 18, NULL, 10) : 0;
    bool whole = client_read(fd, client_bytes, (size_t)len) == len;
    client_bytes[whole ? len : 0] = '\0';
    close(fd);
    return whole && status == want;
}

static bool find_session(speaker *s)
{
    const char *at = strstr(client_bytes, "\"session\":\"");
    if (at)
        snprintf(s->session, sizeof s->session, "%.*s", SESSION_ID_BYTES, at + 11);
    return at;
}

static bool try_connect(speaker *s)
{
    *s = (speaker){.by = by, .fields = "", .seq = "1", .fd = ask_protocol(by, "Origin: http://localhost\r\n")};
    if (by == BY_POLLS) {
        int fd = s->fd;
        s->fd = -1;
        return try_answer(fd, 200) && find_session(s);
    }
    if (client_read_head(s->fd) != (by == BY_WEBSOCKET ? 101 : 200))
        return false;
    if (by == BY_WEBSOCKET)
        return client_receive(s->fd).opcode == CLIENT_TEXT;
    while (stream_read(s->fd, client_bytes, sizeof client_bytes) > 0)
        if (find_session(s))
            return true;
    return false;
}

static bool try_say(speaker *s)
{
    str rest = json_begin(str_from(everything_said)), value;
    char line[128];
    if (by != BY_WEBSOCKET) {
        snprintf(line, sizeof line, "POST /weft?session=%s", s->session);
        return try_answer(ask(line, "", everything_said), 204);
    }
    while (json_next_element(&rest, &value))
        if (!client_try_send(s->fd, CLIENT_FIN | CLIENT_TEXT, value.at, value.len))
            return false;
    return true;
}

/* One more piece of what is heard, behind what was. */
static bool try_hear(speaker *s)
{
    if (by == BY_WEBSOCKET)
        return client_receive(s->fd).opcode == CLIENT_TEXT;
    if (by == BY_EVENTS)
        return stream_read(s->fd, client_bytes, sizeof client_bytes) > 0;
    if (!try_answer(ask_poll(s, "25"), 200))
        return false;
    snprintf(s->seq, sizeof s->seq, "%ld", strtol(strstr(client_bytes, "\"seq\":") + 6, NULL, 10));
    return true;
}

/* Connects, says everything, and hears it answered. */
static bool go_through_everything(void)
{
    static const char *const marks[] = {
        "\"id\":1", "\"id\":2", "\"id\":3", "\"members\":", "\"id\":5", "error", "pong", "[1,2]"};
    unsigned heard = 0, all = (1u << N_OF(marks)) - 1;
    speaker s;
    bool good = try_connect(&s) && try_say(&s);
    while (good && heard != all) {
        good = try_hear(&s);
        for (size_t i = 0; good && i < N_OF(marks); i++)
            if (strstr(client_bytes, marks[i]))
                heard |= 1u << i;
    }
    if (s.fd >= 0)
        close(s.fd);
    return good;
}

static weft_peer other_peer;

/* Who polls is there until its lease is over, which is not waited for. */
static void abort_others(void *value, void *user)
{
    peer *p = value;
    (void)user;
    if (p->id != other_peer.id)
        peer_abort(p);
}

/* With a fresh application, so that nothing is kept from the turns before; true when the n-th allocation was not needed. */
static bool fail_from(uint64_t n, void **state)
{
    assert_int_equal(setup_app(state), 0);
    serve_protocol(&(weft_topics_options){COUNTED, .publish = everything, .peer_bytes = 10, .publish_key = "x"});
    speaker other = connect_by(BY_WEBSOCKET);
    expect_no_more(&other);
    other_peer = latest;
    n_opened = n_closed = 0;
    pool_done(&app->workers->loop.blocks);
    uint64_t before = mem_count(), began_ms = client_now_ms();
    mem_fail_from(n);
    bool good = go_through_everything();
    bool enough = mem_count() - before < n;
    assert_true(good || client_now_ms() - began_ms < 4000); /* who cannot be served is not kept waiting */
    mem_fail_from(0);
    slots_each(&app->workers->table, SLOT_PEER, abort_others, NULL);
    CLIENT_UNTIL(app->workers->net.n_streams == 1 && app->workers->hub.n_peers == 1 &&
                 !app->workers->hub.sessions.n_entries);
    assert_true(good || !enough);
    assert_int_equal(n_opened, n_closed);
    expect_no_more(&other);
    assert_true(go_through_everything());
    hang_up(&other);
    assert_int_equal(teardown_app(state), 0);
    return enough;
}

static void load__fails_nobody_but_the_client_that_needs_memory(void **state)
{
    for (by = 0; by < N_CARRIERS; by++) {
        uint64_t n = 1;
        while (!fail_from(n, state))
            n++;
        print_message("# carrier %d: %lu allocations failed in turn\n", (int)by, n - 1);
        assert_in_range(n, 20, 1000);
    }
}

static int configure(void)
{
    static const char *const list[] = {"a*", "b", NULL};
    weft *one = weft_new(NULL);
    if (!one)
        return -ENOMEM;
    int error = weft_protocol(
        one, "/weft", &(weft_topics_options){.subscribe = list, .publish = list, .origins = list, .publish_key = "k"});
    assert_true(!error || weft_error(one));
    weft_free(one);
    return error;
}

static void load__fails_an_application_in_words(void **state)
{
    (void)state;
    check_failing_allocations(configure);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        APP_TEST(load__pauses_who_floods_and_never_reads),
        ON_ALL_ONE(load__tells_slow_clients_of_gaps_and_goes_on),
        ON_ALL_ONE(load__closes_slow_clients_where_nothing_may_be_lost),
        ON_ALL_ONE(load__listens_to_clients_that_lag_for_ever),
        ON_ALL_ONE(load__keeps_the_order_for_who_is_reached_last),
        ON_ALL_ONE(load__survives_nonsense),
        APP_TEST(load__forgets_clients_that_vanish_in_the_middle_of_anything),
        ON_ALL_ONE(load__keeps_idle_clients_small),
        cmocka_unit_test(load__fails_nobody_but_the_client_that_needs_memory),
        cmocka_unit_test(load__fails_an_application_in_words),
    };
    heap_begin();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
