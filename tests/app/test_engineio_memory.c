/* Each allocation of the loop fails in turn, and all after it, while an Engine.IO client goes through everything: that client may be lost, nobody else. */
#include "app/app.h"
#include "app/engineio_client.h"

static int n_opened, n_closed;

static void decide(weft_exchange which, const weft_request *request, void *user)
{
    (void)request;
    (void)user;
    if (weft_header(which, "X-Room", "attic") || weft_accept(which, NULL))
        weft_reject(which, 403, "no memory");
}

static void join(weft_peer who)
{
    n_opened++;
    weft_peer_request(who);
    if (weft_subscribe(who, "room", NULL))
        weft_close(who, 1011, NULL);
}

static void echo_and_publish(weft_peer who, const weft_message *message)
{
    weft_peer_request(who);
    weft_send(who, message);
    weft_publish(weft_of(who), "room", message, NULL);
}

static void count_close(weft_peer who, int code, weft_str reason)
{
    (void)who;
    (void)code;
    (void)reason;
    n_closed++;
}

/* --------------------------------------------------------------------------------------- a client that may be lost */

static bool answered(int fd, int status, const char *begins)
{
    bool good = client_read_answer(fd, NULL) == status && strncmp(client_bytes, begins, strlen(begins)) == 0;
    close(fd);
    return good;
}

static bool posted_well(const char *body)
{
    char field[64];
    snprintf(field, sizeof field, "Content-Length: %zu\r\n", strlen(body));
    return answered(eio_request("POST", POLLING, true, field, body), 200, "ok");
}

static bool went_in_pieces(void)
{
    int fd = eio_request("POST", POLLING, true, "Content-Length: 9\r\n", "4in");
    for (int i = 0; i < 3; i++)
        weft_step(app, 1);
    return client_try_write(fd, " piece", 6) ? answered(fd, 200, "ok") : (close(fd), false);
}

static bool upgraded(void)
{
    char path[256];
    int fd = client_connect(url);
    snprintf(path, sizeof path, "%s&sid=%s", WEBSOCKET, sid);
    client_ask(fd, path, "");
    bool good = client_read_head(fd) == 101 && client_try_send(fd, CLIENT_FIN | CLIENT_TEXT, "2probe", 6) &&
                client_receive(fd).len == 6 && client_try_send(fd, CLIENT_FIN | CLIENT_TEXT, "5", 1) &&
                client_try_send(fd, CLIENT_FIN | CLIENT_TEXT, "4hi", 3);
    for (int i = 0; good && i < 4; i++) /* two that waited, two that are new */
        good = client_receive(fd).opcode == (i < 2 ? CLIENT_BINARY : CLIENT_TEXT);
    good = good && client_try_send(fd, CLIENT_FIN | CLIENT_CLOSE, "\x03\xe8", 2) &&
           client_receive(fd).opcode == CLIENT_CLOSE;
    close(fd);
    return good;
}

static bool go_through_everything(void)
{
    int fd = eio_request("GET", POLLING, false, "", "");
    if (client_read_answer(fd, NULL) != 200) {
        close(fd);
        return false;
    }
    keep_sid(client_bytes);
    close(fd);
    return posted_well("4a") &&
           answered(eio_request("GET", POLLING, true, "", ""), 200,
                    "4a\x1e"
                    "4a") &&
           went_in_pieces() && answered(eio_request("GET", POLLING, true, "", ""), 200, "4in piece") &&
           posted_well("bAQID") && upgraded();
}

static bool fail_from(uint64_t n, void **state)
{
    assert_int_equal(setup_app(state), 0);
    n_opened = n_closed = 0;
    weft_websocket(app, "/other", &(weft_websocket_options){.message = on_echo, .ping_interval_ms = WEFT_NEVER});
    serve_engineio(&(weft_engineio_options){
        .request = decide,
        .open = join,
        .message = echo_and_publish,
        .close = count_close,
        .engine = {.ping_interval_ms = 500, .ping_timeout_ms = 300, .cookie.name = "io"},
    });
    int other = client_open(url, "/other");
    pool_done(&app->workers->loop.blocks); /* what the other has warmed */
    uint64_t before = mem_count(), began_ms = client_now_ms();
    mem_fail_from(n);
    bool good = go_through_everything();
    bool enough = mem_count() - before < n;
    mem_fail_from(0);
    if (!good)
        posted_well("1"); /* a session that it could go on with */
    CLIENT_UNTIL(app->workers->net.n_streams == 1 && app->workers->hub.n_peers == 1);
    assert_true(client_now_ms() - began_ms < 4000); /* who cannot be served is not kept waiting */
    assert_true(good || !enough);
    assert_int_equal(n_opened, n_closed);
    client_send_text(other, "are you there?");
    client_expect_text(other, "are you there?");
    assert_true(go_through_everything());
    client_leave(other);
    assert_int_equal(teardown_app(state), 0);
    client_steps = NULL;
    return enough;
}

static void engineio__loses_at_most_the_client_for_whom_there_is_no_memory(void **state)
{
    uint64_t n = 1;
    while (!fail_from(n, state)) {
        assert_true(n < 400);
        n++;
    }
    assert_true(n > 20);
}

/* What waits for a poll that cannot be answered is not taken for sent. */
static void poll__without_memory_ends_a_session_that_has_packets(void **state)
{
    int n_failed = 0;
    for (uint64_t n = 1; n < 12; n++) {
        assert_int_equal(setup_app(state), 0);
        serve_engineio(&(weft_engineio_options){.message = on_echo});
        eio_open();
        eio_post("4a");
        pool_done(&app->workers->loop.blocks); /* what came before has warmed */
        int fd = eio_request("GET", POLLING, true, "", "");
        mem_fail_from(n);
        int status = client_read_answer(fd, NULL);
        mem_fail_from(0);
        close(fd);
        if (status != 200) {
            n_failed++;
            fd = eio_ask();
            status = client_read_answer(fd, NULL);
            assert_true(status == 400 || strcmp(client_bytes, "4a") == 0);
            close(fd);
        }
        assert_int_equal(teardown_app(state), 0);
    }
    assert_true(n_failed > 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(engineio__loses_at_most_the_client_for_whom_there_is_no_memory),
        cmocka_unit_test(poll__without_memory_ends_a_session_that_has_packets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
