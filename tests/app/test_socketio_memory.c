/* Each allocation of the loop fails in turn, and all after it, while a Socket.IO client goes through everything: that client may be lost, nobody else. And what
 * traffic and silence cost. */
#include "app/app.h"
#include "app/socketio_client.h"
#include "support/heap.h"
#include <sys/resource.h>

static int n_opened, n_closed, n_acked, n_calls;

static void acked(weft_peer who, int result, const weft_socketio_event *answer, void *user)
{
    (void)who;
    (void)result;
    (void)answer;
    (void)user;
    n_acked++;
}

static void admit(weft_peer who)
{
    weft_socketio_admit(who);
}

static void join(weft_peer who)
{
    n_opened++;
    if (weft_socketio_join(who, "room") || weft_subscribe(who, "topic", NULL))
        weft_close(who, 0, NULL);
}

static void count_close(weft_peer who, int code, weft_str reason)
{
    (void)who;
    (void)code;
    (void)reason;
    n_closed++;
}

/* Its client waits for what was not sent. */
static void need(weft_peer who, int result)
{
    if (result < 0)
        weft_abort(who);
}

/* All that a program can do with an event. */
static void answer(weft_peer who, const weft_socketio_event *event)
{
    static const char *const rooms[] = {"room", NULL};
    need(who, weft_socketio_emit_event(who, event));
    need(who, weft_socketio_broadcast(weft_of(who), &(weft_socketio_target){.rooms = rooms}, event));
    if (event->ack.id)
        need(who, weft_socketio_acknowledge_event(event->ack, event));
    if (weft_socketio_event_is(event, "publish"))
        need(who, weft_publish(weft_of(who), "topic", &(weft_message){.kind = WEFT_JSON, .data = event->args}, NULL));
    if (!weft_socketio_event_is(event, "call"))
        return;
    int result = weft_socketio_call(who, &(weft_socketio_event){.name = {"asked", 5}}, 0, acked, NULL);
    n_calls += result >= 0;
    need(who, result);
}

/* ---------------------------------------------------------------------------------------- a client that may be lost */

static bool got(int fd, int opcode, const char *begins)
{
    client_frame frame = client_receive(fd);
    return frame.opcode == opcode && frame.len && strncmp(client_bytes, begins, strlen(begins)) == 0;
}

static bool tells(int fd, const char *text)
{
    return client_try_send(fd, CLIENT_FIN | CLIENT_TEXT, text, strlen(text));
}

/* A question of the server's: 420["asked"]. */
static bool answered(int fd)
{
    char text[64];
    if (!got(fd, CLIENT_TEXT, "42"))
        return false;
    snprintf(text, sizeof text, "43%d[]", atoi(client_bytes + 2));
    return tells(fd, text);
}

static bool went_through(int fd)
{
    static const char *const pic = "51-5[\"pic\",{\"_placeholder\":true,\"num\":0}]";
    bool good = tells(fd, "40{\"token\":1}") && got(fd, CLIENT_TEXT, "40{\"sid\"") && tells(fd, "40/other,") &&
                got(fd, CLIENT_TEXT, "40/other,{") && tells(fd, "42[\"publish\",1]") &&
                got(fd, CLIENT_TEXT, "42[\"publish\",1") && got(fd, CLIENT_TEXT, "42[\"publish\",1") &&
                got(fd, CLIENT_TEXT, "42[\"message\",[1]]") && got(fd, CLIENT_TEXT, "42/other,[\"message\",[1]]");
    char text[64];
    snprintf(text, sizeof text, "4%s", pic);
    good = good && tells(fd, text) && client_try_send(fd, CLIENT_FIN | CLIENT_BINARY, "bytes", 5);
    for (int i = 0; good && i < 3; i++)
        good = got(fd, CLIENT_TEXT, i < 2 ? "451-" : "461-5") && got(fd, CLIENT_BINARY, "bytes");
    good = good && tells(fd, "42[\"call\"]") && got(fd, CLIENT_TEXT, "42[\"call\"") &&
           got(fd, CLIENT_TEXT, "42[\"call\"") && answered(fd) && tells(fd, "41/other,") && tells(fd, "41") &&
           tells(fd, "40/nowhere,") && got(fd, CLIENT_TEXT, "44/nowhere,");
    return good;
}

static bool go_through_frames(void)
{
    int fd = client_connect(url);
    client_ask(fd, SOCKETIO_PATH, "");
    bool good = client_read_head(fd) == 101 && got(fd, CLIENT_TEXT, "0{\"sid\"") && went_through(fd);
    client_reset(fd);
    return good;
}

static void request(int fd, const char *method, const char *sid, const char *body)
{
    char head[512];
    snprintf(head, sizeof head,
             "%s /socket.io/?EIO=4&transport=polling%s%s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %zu\r\n\r\n%s",
             method, *sid ? "&sid=" : "", sid, strlen(body), body);
    client_write_text(fd, head);
}

static char sid[32], pid[32]; /* of the client by polls */

/* On a connection of its own; the answer stands in client_bytes. */
static bool answers(const char *method, const char *known, const char *body, const char *begins)
{
    int fd = client_connect(url);
    request(fd, method, known, body);
    bool good = client_read_answer(fd, NULL) == 200 && strncmp(client_bytes, begins, strlen(begins)) == 0;
    close(fd);
    return good;
}

static bool opens_polls(void)
{
    *sid = '\0';
    if (!answers("GET", "", "", "0{\"sid\""))
        return false;
    snprintf(sid, sizeof sid, "%.22s", strstr(client_bytes, "\"sid\":\"") + 7);
    return true;
}

static bool keeps_pid(void)
{
    const char *at = strstr(client_bytes, "\"pid\":\"");
    snprintf(pid, sizeof pid, "%.20s", at ? at + 7 : "");
    return true;
}

/* An event with an attachment comes back three times, over polls and then over the WebSocket that took their place. */
static bool upgraded(void)
{
    char path[128];
    int fd = client_connect(url);
    snprintf(path, sizeof path, "%s&sid=%s", SOCKETIO_PATH, sid);
    client_ask(fd, path, "");
    bool good = client_read_head(fd) == 101 && tells(fd, "2probe") && got(fd, CLIENT_TEXT, "3probe") &&
                tells(fd, "5") && tells(fd, "42[\"after\"]");
    for (int i = 0; good && i < 3; i++)
        good = got(fd, CLIENT_TEXT, i < 2 ? "451-" : "461-5") && got(fd, CLIENT_BINARY, "bytes");
    good = good && got(fd, CLIENT_TEXT, "42[\"after\"") && got(fd, CLIENT_TEXT, "42[\"after\"");
    client_reset(fd);
    return good;
}

/* Back as who it was, where there is recovery, and out again. */
static bool came_back(void)
{
    char body[64];
    if (*pid)
        snprintf(body, sizeof body, "40{\"pid\":\"%s\"}", pid);
    else
        snprintf(body, sizeof body, "40");
    return opens_polls() && answers("POST", sid, body, "ok") && answers("GET", sid, "", "40{\"sid\"") &&
           answers("POST", sid,
                   "41\x1e"
                   "1",
                   "ok");
}

static bool go_through_polls(void)
{
    static const char *const pic = "451-5[\"pic\",{\"_placeholder\":true,\"num\":0}]\x1e"
                                   "bYnl0ZXM=";
    return opens_polls() && answers("POST", sid, "40{\"token\":1}", "ok") && answers("GET", sid, "", "40{\"sid\"") &&
           keeps_pid() && answers("POST", sid, "42[\"event\",\"text\"]", "ok") &&
           answers("GET", sid, "", "42[\"event\",\"text\"") && answers("POST", sid, pic, "ok") && upgraded() &&
           came_back();
}

/* True when the n-th allocation was more than all of it needs. */
static bool fail_from(uint64_t n, uint32_t recovery_ms, bool (*go_through_everything)(void), void **state)
{
    const weft_socketio_options options = {
        .gate = admit,
        .open = join,
        .event = answer,
        .close = count_close,
        .recovery_ms = recovery_ms,
        .engine = {.ping_interval_ms = 500, .ping_timeout_ms = 300},
    };
    assert_int_equal(setup_app(state), 0);
    n_opened = n_closed = n_calls = n_acked = 0;
    *sid = '\0';
    weft_websocket(app, "/other", &(weft_websocket_options){.message = on_echo, .ping_interval_ms = WEFT_NEVER});
    weft_socketio(app, "/socket.io/", &options);
    weft_socketio_namespace(app, "/socket.io/", "/o*", &options);
    begin();
    int other = client_open(url, "/other");
    pool_done(&app->workers->loop.blocks); /* what the other has warmed */
    uint64_t before = mem_count();
    mem_fail_from(n);
    bool good = go_through_everything();
    bool enough = mem_count() - before < n;
    mem_fail_from(0);
    if (!good && *sid)
        answers("POST", sid, "1", "ok"); /* a session that it could go on with */
    CLIENT_UNTIL(app->workers->net.n_streams == 1 && app->workers->hub.n_peers == 1);
    assert_true(good || !enough);
    assert_int_equal(n_opened, n_closed);
    assert_int_equal(n_calls, n_acked);
    client_send_text(other, "are you there?");
    client_expect_text(other, "are you there?");
    assert_true(go_through_everything());
    client_leave(other);
    assert_int_equal(teardown_app(state), 0);
    return enough;
}

static void fail_each(uint32_t recovery_ms, bool (*go_through_everything)(void), void **state)
{
    uint64_t n = 1;
    while (!fail_from(n, recovery_ms, go_through_everything, state)) {
        assert_true(n < 500);
        n++;
    }
    assert_true(n > 20);
}

static void socketio__loses_at_most_the_client_for_whom_there_is_no_memory(void **state)
{
    fail_each(0, go_through_frames, state);
}

static void polls__lose_at_most_the_client_for_whom_there_is_no_memory(void **state)
{
    fail_each(0, go_through_polls, state);
    fail_each(1000, go_through_polls, state);
}

static void recovery__loses_at_most_the_client_for_whom_there_is_no_memory(void **state)
{
    fail_each(1000, go_through_frames, state);
}

/* ------------------------------------------------------------------------------------------------------------- costs */

static void echo(weft_peer who, const weft_socketio_event *event)
{
    if (event->ack.id)
        weft_socketio_acknowledge_event(event->ack, event);
    else
        weft_socketio_emit_event(who, event);
}

static void cost__of_an_echo_is_no_allocation(void **state)
{
    assert_int_equal(setup_app(state), 0);
    serve_socketio(&(weft_socketio_options){.event = echo});
    int fd = sio_open();
    uint64_t before = 0;
    for (int i = 0; i < 1000; i++) {
        if (i == 10)
            before = mem_count();
        client_send_text(fd, "42[\"message\",\"0123456789\"]");
        client_expect_text(fd, "42[\"message\",\"0123456789\"]");
        client_send_text(fd, "421[\"message\",\"0123456789\"]");
        client_expect_text(fd, "431[\"0123456789\"]");
    }
    assert_int_equal(mem_count(), before);
    client_leave(fd);
    assert_int_equal(teardown_app(state), 0);
}

#if !defined __SANITIZE_ADDRESS__ && !defined __SANITIZE_THREAD__ /* a sanitizer's malloc tells nothing of itself */
static size_t bytes_in_use(void)
{
    return heap_bytes(&app->workers->loop.places);
}

/* A client over a WebSocket. */
static int idle_websocket(void)
{
    return sio_open();
}

/* A client whose poll waits. */
static int idle_poll(void)
{
    int fd = client_connect(url);
    char own[32];
    request(fd, "GET", "", "");
    assert_int_equal(client_read_answer(fd, NULL), 200);
    snprintf(own, sizeof own, "%.22s", strstr(client_bytes, "\"sid\":\"") + 7);
    request(fd, "POST", own, "40");
    assert_int_equal(client_read_answer(fd, NULL), 200);
    request(fd, "GET", own, "");
    assert_int_equal(client_read_answer(fd, NULL), 200);
    assert_memory_equal(client_bytes, "40{", 3);
    request(fd, "GET", own, "");
    return fd;
}

static size_t idle_bytes(int (*open_one)(void), void **state)
{
    enum { N_IDLE = 1000 };
    static int fds[N_IDLE];
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    assert_int_equal(setup_app(state), 0);
    serve_socketio(&(weft_socketio_options){.event = echo});
    int first = open_one(); /* the loop's own buffers are there */
    let_arrive();
    pool_done(&app->workers->loop.blocks);
    size_t before = bytes_in_use();
    for (int i = 0; i < N_IDLE; i++)
        fds[i] = open_one();
    let_arrive();
    pool_done(&app->workers->loop.blocks);
    size_t each = (bytes_in_use() - before) / N_IDLE + HEAP_HANDLE_BYTES;
    for (int i = 0; i < N_IDLE; i++)
        client_reset(fds[i]);
    client_reset(first);
    assert_int_equal(teardown_app(state), 0);
    return each;
}

static void cost__of_an_idle_client(void **state)
{
    size_t websocket = idle_bytes(idle_websocket, state), poll = idle_bytes(idle_poll, state);
    print_message("# an idle client takes %zu bytes of heap over a WebSocket, %zu over a poll that waits\n", websocket,
                  poll);
    assert_in_range(websocket, 1, 1024);
    assert_in_range(poll, 1, 2048);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(socketio__loses_at_most_the_client_for_whom_there_is_no_memory),
        cmocka_unit_test(polls__lose_at_most_the_client_for_whom_there_is_no_memory),
        cmocka_unit_test(recovery__loses_at_most_the_client_for_whom_there_is_no_memory),
        cmocka_unit_test(cost__of_an_echo_is_no_allocation),
#if !defined __SANITIZE_ADDRESS__ && !defined __SANITIZE_THREAD__
        cmocka_unit_test(cost__of_an_idle_client),
#endif
    };
    heap_begin();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
