/* From polls to a WebSocket: nothing is lost or turned round on the way, whenever either side stumbles. */
#include "app/app.h"
#include "app/engineio_client.h"

static const weft_engineio_options recorded = {.open = on_open, .message = on_message, .close = on_close};
static const weft_engineio_options echo = {.open = on_open, .message = on_echo, .close = on_close};

static void send_some(void)
{
    weft_send_text(latest, "one");
    weft_send_data(latest, WEFT_BINARY, "\1\2", 2);
    weft_send_text(latest, "three");
}

static void upgrade__moves_what_is_queued_to_the_websocket_first(void **state)
{
    (void)state;
    serve_engineio(&echo);
    eio_open();
    int fd = eio_probe();
    on_loop(send_some);
    client_send_text(fd, "5");
    client_send_text(fd, "4four");
    client_expect_text(fd, "4one");
    client_expect(fd, CLIENT_BINARY, "\1\2");
    client_expect_text(fd, "4three");
    client_expect_text(fd, "4four");
    eio_expect(eio_ask(), 400, "{\"code\":3,\"message\":\"Bad request\"}");
    close(fd);
}

static void upgrade__leaves_messages_on_polls_until_it_is_whole(void **state)
{
    (void)state;
    serve_engineio(&recorded);
    eio_open();
    int waits = eio_ask(), fd = eio_probe();
    eio_expect(waits, 200, "6"); /* at once */
    on_loop(send_some);
    eio_poll("4one\x1e"
             "bAQI=\x1e"
             "4three");
    eio_post("4posted");
    eio_poll("6"); /* and with nothing to be had */
    client_send_text(fd, "5");
    client_send_text(fd, "4framed");
    CLIENT_UNTIL(strstr(events, "framed"));
    assert_string_equal(look(), "open message:posted message:framed ");
    close(fd);
    CLIENT_UNTIL(*events);
    assert_string_equal(look(), "close:1006:transport close ");
}

static void upgrade__lets_the_poll_that_waits_go_with_the_last_packet(void **state)
{
    (void)state;
    serve_engineio(&echo);
    eio_open();
    int fd = eio_websocket(true), waits = eio_ask();
    client_send_text(fd, "5"); /* without a probe, as the reference allows */
    eio_expect(waits, 200, "6");
    client_send_text(fd, "4a");
    client_expect_text(fd, "4a");
    close(fd);
}

static void upgrade__delivers_a_post_under_way_first(void **state)
{
    (void)state;
    serve_engineio(&recorded);
    for (int pieces = 0; pieces < 2; pieces++) {
        eio_open();
        int posts = eio_post_part(10, pieces ? "4posted" : ""), fd = eio_probe();
        client_send_text(fd, "5");
        client_send_text(fd, "4framed");
        let_arrive();
        assert_string_equal(look(), "open ");
        client_write_text(posts, pieces ? "\x1e"
                                          "4b"
                                        : "4posted\x1e"
                                          "4b");
        eio_expect(posts, 200, "ok");
        CLIENT_UNTIL(strstr(events, "framed"));
        assert_string_equal(look(), "message:posted message:b message:framed ");
        close(fd);
        CLIENT_UNTIL(*events);
        look();
    }
}

static void upgrade__ends_when_the_older_post_is_lost(void **state)
{
    (void)state;
    serve_engineio(&recorded);
    eio_open();
    int posts = eio_post_part(10, "4po"), fd = eio_probe();
    client_send_text(fd, "5");
    client_send_text(fd, "4framed");
    let_arrive();
    close(posts);
    client_expect_close(fd, 0);
    close(fd);
    assert_string_equal(look(), "open close:1006:transport error ");
}

static void upgrade__ends_when_the_websocket_is_lost_behind_the_older_post(void **state)
{
    (void)state;
    serve_engineio(&recorded);
    eio_open();
    int posts = eio_post_part(10, "4po"), fd = eio_probe();
    client_send_text(fd, "5");
    let_arrive();
    client_reset(fd);
    eio_expect(posts, 400, "");
    assert_string_equal(look(), "open close:1006:transport error ");
}

static void upgrade__falls_back_to_polls(void **state)
{
    (void)state;
    static const char *const wrong[] = {"4early", "2", "2prob", "9", "", "1"};
    serve_engineio(&echo);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong + 2; i++) {
        eio_open();
        int fd = eio_probe();
        if (i < sizeof wrong / sizeof *wrong) {
            client_send_text(fd, wrong[i]);
            client_expect_close(fd, 0);
        } else if (i == sizeof wrong / sizeof *wrong) {
            client_send(fd, CLIENT_FIN | CLIENT_BINARY, "5", 1);
            client_expect_close(fd, 0);
        }
        close(fd);
        let_arrive();
        int waits = eio_ask();
        client_expect_silence(waits, 10);
        eio_post("4a");
        eio_expect(waits, 200, "4a");
        fd = eio_probe(); /* and may try again */
        client_send_text(fd, "5");
        client_send_text(fd, "4b");
        client_expect_text(fd, "4b");
        close(fd);
    }
}

static void upgrade__may_not_take_too_long(void **state)
{
    (void)state;
    weft_engineio_options options = recorded;
    options.engine.upgrade_timeout_ms = 60;
    serve_engineio(&options);
    eio_open();
    int fd = eio_probe();
    client_expect_close(fd, 0);
    close(fd);
    eio_post("4a");
    assert_string_equal(look(), "open message:a ");
    int posts = eio_post_part(10, "4po"); /* nor may the older POST */
    fd = eio_probe();
    client_send_text(fd, "5");
    client_expect_close(fd, 0);
    close(fd);
    eio_expect(posts, 400, "");
    assert_string_equal(look(), "close:1006:transport error ");
}

static void upgrade__lets_polls_go_only_so_fast(void **state)
{
    (void)state;
    serve_engineio(&recorded);
    eio_open();
    int fd = eio_probe();
    for (int i = 0; i < 3; i++)
        eio_poll("6");
    uint64_t before_ms = client_now_ms();
    eio_poll("6");
    assert_true(client_now_ms() - before_ms >= 95);
    close(fd);
}

static void upgrade__is_refused_a_second_time(void **state)
{
    (void)state;
    serve_engineio(&echo);
    eio_open();
    int fd = eio_probe();
    for (int done = 0; done < 2; done++) {
        int second = eio_websocket(true);
        client_expect_close(second, 0);
        close(second);
        client_send_text(fd, done ? "4still" : "5");
    }
    client_expect_text(fd, "4still");
    close(fd);
    fd = eio_websocket(false);
    int second = eio_websocket(true);
    client_expect_close(second, 0);
    close(second);
    client_send_text(fd, "4too");
    client_expect_text(fd, "4too");
    close(fd);
}

static void upgrade__ends_with_its_session(void **state)
{
    (void)state;
    serve_engineio(&recorded);
    eio_open();
    int fd = eio_probe();
    eio_post("1");
    client_expect_close(fd, 0);
    close(fd);
    assert_string_equal(look(), "open close:1006:transport close ");
}

static void pause_latest(void)
{
    weft_pause(latest);
}

static void resume_latest(void)
{
    weft_resume(latest);
}

static void upgrade__stays_paused(void **state)
{
    (void)state;
    serve_engineio(&recorded);
    eio_open();
    on_loop(pause_latest);
    int posts = eio_post_part(2, "4a"), fd = eio_probe();
    client_expect_silence(posts, 10);
    client_send_text(fd, "5");
    client_send_text(fd, "4b");
    eio_expect(posts, 200, "ok"); /* there is nothing left to hold it back for */
    let_arrive();
    assert_string_equal(look(), "open message:a ");
    on_loop(resume_latest);
    CLIENT_UNTIL(*events);
    assert_string_equal(look(), "message:b ");
    close(fd);
}

static void upgrade__keeps_the_heartbeat(void **state)
{
    (void)state;
    weft_engineio_options options = recorded;
    options.engine.ping_interval_ms = 80;
    options.engine.ping_timeout_ms = 60;
    serve_engineio(&options);
    eio_open();
    int fd = eio_probe();
    client_send_text(fd, "5");
    client_expect_text(fd, "2");
    client_send_text(fd, "3");
    client_expect_text(fd, "2");
    client_expect_close(fd, 0);
    close(fd);
    assert_string_equal(look(), "open close:1006:ping timeout ");
}

static void upgrade__works_in_one_segment(void **state)
{
    (void)state;
    char bytes[1024];
    serve_engineio(&recorded);
    eio_open();
    int fd = client_connect(url);
    size_t len = (size_t)snprintf(bytes, sizeof bytes,
                                  "GET %s&sid=%s HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: "
                                  "websocket\r\nSec-WebSocket-Version: 13\r\n"
                                  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
                                  WEBSOCKET, sid);
    static const char *const frames[] = {"2probe", "5", "4a"};
    for (int i = 0; i < 3; i++)
        len += client_put(bytes + len, CLIENT_FIN | CLIENT_TEXT, frames[i], strlen(frames[i]));
    client_write(fd, bytes, len);
    client_expect_accepted(fd);
    client_expect_text(fd, "3probe");
    CLIENT_UNTIL(strstr(events, "message"));
    assert_string_equal(look(), "open message:a ");
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        APP_TEST(upgrade__moves_what_is_queued_to_the_websocket_first),
        APP_TEST(upgrade__leaves_messages_on_polls_until_it_is_whole),
        APP_TEST(upgrade__lets_the_poll_that_waits_go_with_the_last_packet),
        APP_TEST(upgrade__delivers_a_post_under_way_first),
        APP_TEST(upgrade__ends_when_the_older_post_is_lost),
        APP_TEST(upgrade__ends_when_the_websocket_is_lost_behind_the_older_post),
        APP_TEST(upgrade__falls_back_to_polls),
        APP_TEST(upgrade__may_not_take_too_long),
        APP_TEST(upgrade__lets_polls_go_only_so_fast),
        APP_TEST(upgrade__is_refused_a_second_time),
        APP_TEST(upgrade__ends_with_its_session),
        APP_TEST(upgrade__stays_paused),
        APP_TEST(upgrade__keeps_the_heartbeat),
        APP_TEST(upgrade__works_in_one_segment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
