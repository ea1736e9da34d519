/* Clients that do whatever comes to a seeded mind, whole, mutated, split and cut anywhere, against a program that does the same in every callback. Nothing breaks, nothing is
 * told twice or never, and who behaves is served all the time. WEFT_STORM_SEED, WEFT_STORM_SEEDS (how many) and WEFT_STORM_ROUNDS make it
 * another one, or a long one. */
#include "app/app.h"
#include "app/socketio_client.h"

enum {
    N_SEEDS = 12,
    N_ROUNDS = 8000, /* things that one storm does */
    N_ATTACKERS = 16,
    N_KNOWN = 8,            /* sids, peers, questions and exchanges that are remembered */
    ROOM_BYTES = 48 * 1024, /* of what an attacker has yet to send */
    LOOK_EACH = 100,        /* rounds, at whoever behaves */
};

/* ------------------------------------------------------------------------------------------------------------ chances */

static uint64_t random_state;

static uint32_t draw(uint32_t below)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)(random_state >> 32) % below;
}

static bool one_in(uint32_t n)
{
    return draw(n) == 0;
}

#define ANY_OF(list) (list)[draw(sizeof(list) / sizeof *(list))]

/* ------------------------------------------------------------------------------------------------------- the program */

static bool wild; /* its callbacks do whatever comes */
static unsigned n_opened, n_probes, n_events, n_recovered;
static int n_open, depth; /* peers that were told `open` and not yet `close`; calls that are under way */
static int n_calls, n_answers;
static weft_peer peers[N_KNOWN];
static weft_socketio_ack asked[N_KNOWN];
static weft_exchange undecided_ones[N_KNOWN];

static void do_something(weft_peer peer);

static void answered(weft_peer who, int result, const weft_socketio_event *answer, void *user)
{
    assert_true(result == 0 || result == -ETIMEDOUT || result == WEFT_E_CLOSED);
    assert_int_equal(result == 0, answer != NULL);
    (void)user;
    n_answers++;
    do_something(who);
}

static void each_socket(weft_peer who, void *user)
{
    (void)user;
    if (one_in(2))
        do_something(who);
}

static void later(weft *which, void *user)
{
    (void)which;
    (void)user;
    do_something(ANY_OF(peers));
}

static const char *const rooms[] = {"a", "b", "c", "a room whose name is somewhat longer"};
static const char *const listed[][3] = {{"a", NULL}, {"b", "c", NULL}, {NULL}};

static weft_socketio_target any_target(weft_peer who)
{
    static const char *const namespaces[] = {NULL, "/late", "/x-1", "/x-2", "/none"};
    return (weft_socketio_target){
        .path = "/socket.io/",
        .nsp = ANY_OF(namespaces),
        .rooms = one_in(2) ? ANY_OF(listed) : NULL,
        .except = one_in(4) ? ANY_OF(listed) : NULL,
        .sender = one_in(3) ? who : (weft_peer){0},
    };
}

/* Of any size up to more than a queue may hold, with attachments or without. */
static weft_socketio_event any_event(void)
{
    static char large[12000], args[12100];
    static weft_str attachments[3];
    static const char *const plain[] = {NULL, "[]", "[1]", "[\"text\",{\"a\":[1,2]}]"};
    weft_socketio_event event = {.name = weft_str_of("event"), .is_volatile = one_in(6)};
    memset(large, 'x', sizeof large);
    event.args = weft_str_of(ANY_OF(plain));
    if (one_in(8)) {
        snprintf(args, sizeof args, "[\"%.*s\"]", (int)draw(sizeof large), large);
        event.args = weft_str_of(args);
    }
    if (!one_in(4))
        return event;
    event.n_attachments = 1 + draw(2);
    for (size_t i = 0; i < event.n_attachments; i++)
        attachments[i] = (weft_str){large, draw(one_in(4) ? sizeof large : 64)};
    event.attachments = attachments;
    event.args =
        weft_str_of(event.n_attachments == 1 ? "[{\"_placeholder\":true,\"num\":0}]"
                                             : "[{\"_placeholder\":true,\"num\":0},{\"_placeholder\":true,\"num\":1}]");
    return event;
}

static void send_something(weft_peer who)
{
    weft_socketio_event event = any_event();
    weft_socketio_target target = any_target(who);
    switch (draw(8)) {
    case 0:
        weft_send_text(who, "text");
        break;
    case 1:
        weft_send_data(who, WEFT_BINARY, "binary", 6);
        break;
    case 2:
        weft_publish_text(app, "topic", "published");
        break;
    case 3:
        weft_socketio_acknowledge_event(ANY_OF(asked), &event);
        break;
    case 4:
        n_calls += weft_socketio_call(who, &event, one_in(2) ? 1 + draw(20) : 0, answered, NULL) >= 0;
        break;
    case 5:
        weft_socketio_broadcast(app, &target, &event);
        break;
    default:
        weft_socketio_emit_event(who, &event);
    }
}

static void end_something(weft_peer who)
{
    weft_socketio_target target = any_target(who);
    switch (draw(9)) {
    case 0:
        weft_abort(who);
        break;
    case 1:
        weft_socketio_disconnect(who);
        break;
    case 2:
        weft_socketio_sockets_disconnect(app, &target, (int)draw(2));
        break;
    case 3:
        weft_socketio_refuse(who, "no", one_in(2) ? "{\"why\":1}" : NULL);
        break;
    case 4:
        weft_reject(ANY_OF(undecided_ones), 403, one_in(2) ? "no" : NULL);
        break;
    case 5:
        weft_close(who, 1001, NULL);
        break;
    default:
        weft_close(who, 0, "enough");
    }
}

static void change_something(weft_peer who)
{
    weft_socketio_target target = any_target(who);
    switch (draw(10)) {
    case 0:
        weft_socketio_leave(who, ANY_OF(rooms));
        break;
    case 1:
        weft_subscribe(who, "topic", one_in(2) ? "start" : NULL);
        break;
    case 2:
        weft_unsubscribe(who, "topic");
        break;
    case 3:
        weft_pause(who);
        break;
    case 4:
        weft_resume(who);
        break;
    case 5:
        weft_socketio_sockets_join(app, &target, ANY_OF(rooms));
        break;
    case 6:
        if (depth < 3)
            weft_socketio_sockets(app, &target, each_socket, NULL);
        break;
    case 7:
        weft_post(app, later, NULL);
        break;
    case 8:
        weft_after(app, draw(10), later, NULL);
        break;
    default:
        weft_socketio_join(who, ANY_OF(rooms));
    }
}

static void look_at_something(weft_peer who)
{
    weft_peer_info info;
    const weft_request *request = weft_peer_request(who);
    if (request)
        assert_true(weft_request_path(request).len > 0);
    weft_peer_about(who, &info);
    weft_queued(who);
    weft_socketio_auth(who);
    weft_socketio_id(who);
    weft_socketio_rooms(who, NULL, NULL);
}

static void do_something(weft_peer who)
{
    depth++;
    for (uint32_t n = wild && depth < 6 ? draw(4) : 0; n; n--) {
        weft_peer whom = one_in(3) ? ANY_OF(peers) : who;
        uint32_t what = draw(16);
        if (what < 6)
            send_something(whom);
        else if (what < 11)
            change_something(whom);
        else if (what < 13)
            look_at_something(whom);
        else if (what < 14)
            end_something(whom);
        else if (what < 15)
            weft_socketio_admit(whom);
        else
            weft_accept(ANY_OF(undecided_ones), NULL);
    }
    depth--;
}

static void on_request(weft_exchange which, const weft_request *request, void *user)
{
    (void)request;
    (void)user;
    undecided_ones[draw(N_KNOWN)] = which;
    if (!wild || !one_in(4))
        weft_accept(which, NULL);
    do_something(ANY_OF(peers));
}

static void on_gate(weft_peer who)
{
    peers[draw(N_KNOWN)] = who;
    do_something(who);
    if (!wild || one_in(2))
        weft_socketio_admit(who);
    do_something(who);
}

static void on_in(weft_peer who)
{
    bool *is_open = weft_data(who);
    assert_false(*is_open);
    *is_open = true;
    n_open++;
    n_opened++;
    n_recovered += weft_socketio_recovered(who) > 0;
    peers[draw(N_KNOWN)] = who;
    do_something(who);
}

static void on_text(weft_peer who, const weft_message *message)
{
    assert_true(*(bool *)weft_data(who));
    if (one_in(2))
        weft_send(who, message);
    do_something(who);
}

static void on_event(weft_peer who, const weft_socketio_event *event)
{
    assert_true(*(bool *)weft_data(who));
    n_events++;
    if (event->ack.id)
        asked[draw(N_KNOWN)] = event->ack;
    if (one_in(2))
        weft_socketio_emit_event(who, event);
    if (!wild && event->ack.id)
        assert_int_not_equal(weft_socketio_acknowledge_event(event->ack, event), WEFT_E_INVALID);
    do_something(who);
}

static void on_out(weft_peer who, int code, weft_str reason)
{
    bool *is_open = weft_data(who);
    assert_true(code && reason.len && *is_open);
    *is_open = false;
    n_open--;
    do_something(who);
}

static void back(weft_peer who, const weft_socketio_event *event)
{
    weft_socketio_acknowledge_event(event->ack, event);
    (void)who;
}

static void serve_storm(bool with_request)
{
    const weft_engineio_settings engine = {
        .ping_interval_ms = wild ? 20 : 200,
        .ping_timeout_ms = wild ? 100 : 10000,
        .upgrade_timeout_ms = 20,
        .max_http_buffer_size = 16384,
        .max_queued_bytes = 16384,
        .accept_timeout_ms = 20,
        .keep_request = one_in(2),
        .deflate = one_in(2),
        .deflate_min_bytes = 64,
        .cookie = {.name = one_in(2) ? "io" : NULL},
    };
    weft_socketio_options sockets = {
        .peer_bytes = sizeof(bool),
        .request = with_request ? on_request : NULL,
        .gate = one_in(2) ? on_gate : NULL,
        .open = on_in,
        .event = on_event,
        .drain = do_something,
        .close = on_out,
        .connect_timeout_ms = 50,
        .recovery_ms = one_in(2) ? 200 : 0,
        .recovery_messages = 30,
        .recovery_bytes = 20000,
        .engine = engine,
    };
    const weft_engineio_options messages = {
        .peer_bytes = sizeof(bool),
        .request = with_request ? on_request : NULL,
        .open = on_in,
        .message = on_text,
        .drain = do_something,
        .close = on_out,
        .engine = engine,
    };
    assert_int_equal(weft_socketio(app, "/socket.io/", &sockets), 0);
    sockets.gate = on_gate;
    assert_int_equal(weft_socketio_namespace(app, "/socket.io/", "/late", &sockets), 0);
    assert_int_equal(weft_socketio_namespace(app, "/socket.io/", "/x-*", &sockets), 0);
    const weft_socketio_target room = {.path = "/socket.io/", .rooms = listed[0]};
    assert_int_equal(weft_socketio_bridge(app, &room, "topic"), 0);
    assert_int_equal(weft_engineio(app, "/engine.io/", &messages), 0);
    assert_int_equal(weft_socketio(app, "/quiet/", &(weft_socketio_options){.event = back}), 0);
    begin();
}

/* ------------------------------------------------------------------------------------------------- those who attack */

typedef struct {
    int fd; /* -1: none */
    bool is_frames;
    const char *const *usual; /* what one says next when all is well */
    size_t len;
    char out[ROOM_BYTES];
} attacker;

static attacker attackers[N_ATTACKERS];
static char sids[N_KNOWN][32], pids[N_KNOWN][32], offsets[N_KNOWN][32];

static void put(attacker *a, const void *bytes, size_t len)
{
    if (a->len + len > sizeof a->out)
        return;
    memcpy(a->out + a->len, bytes, len);
    a->len += len;
}

static const char *any_sid(void)
{
    static char spoilt[32];
    const char *known = ANY_OF(sids);
    if (!one_in(12))
        return known;
    snprintf(spoilt, sizeof spoilt, "%s", known);
    if (*spoilt)
        spoilt[draw((uint32_t)strlen(spoilt))] = (char)(' ' + draw(95));
    return spoilt;
}

static const char *const usual_texts[] = {
    "40", "40/late,", "42[\"event\",1]", "421[\"event\",{\"a\":\"b\"}]", "42/late,2[\"event\"]", "430[1]", "3",
};

/* A packet; binary ones are for frames. */
static size_t any_packet(char *at, size_t room)
{
    static const char *const texts[] = {
        "3",
        "3",
        "2",
        "1",
        "2probe",
        "5",
        "6",
        "0{}",
        "",
        "9",
        "40",
        "40{\"token\":1}",
        "40/late,",
        "40/x-1,",
        "40/x-2,{}",
        "40/none,",
        "40/\x01\x7f\xc3\xa9,",
        "41",
        "41/late,",
        "42[\"event\"]",
        "42[\"event\",1]",
        "421[\"event\",{\"a\":\"b\"}]",
        "42/x-1,5[\"event\",\"text\"]",
        "4218446744073709551615[\"event\"]",
        "429007199254740991[\"event\"]",
        "430[1]",
        "43999999999999[]",
        "451-[\"event\",{\"_placeholder\":true,\"num\":0}]",
        "452-7[\"event\",{\"_placeholder\":true,\"num\":1},{\"_placeholder\":true,\"num\":0}]",
        "4510-[\"event\"]",
        "4599999999-[\"event\"]",
        "450-[\"event\"]",
        "461-0[{\"_placeholder\":true,\"num\":0}]",
        "bAQIDBA==",
        "bAQID",
        "b!",
        "42[\"event\"",
        "44{}",
        "47",
    };
    const char *text = one_in(3) ? ANY_OF(usual_texts) : ANY_OF(texts);
    if (one_in(10)) {
        if (one_in(2))
            return (size_t)snprintf(at, room, "40{\"pid\":\"%s\"}", ANY_OF(pids));
        return (size_t)snprintf(at, room, "40{\"pid\":\"%s\",\"offset\":\"%s\"}", ANY_OF(pids), ANY_OF(offsets));
    }
    if (one_in(20))
        return (size_t)snprintf(at, room, "42[\"event\",\"%0*d\"]", (int)draw(6000), 1);
    snprintf(at, room, "%s", text);
    size_t len = strlen(at);
    if (len && one_in(15))
        at[draw((uint32_t)len)] ^= (char)(1u << draw(8));
    return len;
}

static size_t any_payload(char *at, size_t room)
{
    size_t len = any_packet(at, room);
    for (uint32_t more = one_in(3) ? draw(6) : 0; more && len + 7000 < room; more--) {
        at[len++] = '\x1e';
        len += any_packet(at + len, room - len);
    }
    return len;
}

static void ask_to_post(attacker *a, const char *path)
{
    char body[50000], head[512];
    size_t len = any_payload(body, sizeof body), said = len;
    if (one_in(12))
        said += draw(40);
    if (one_in(20))
        said = 20000;
    bool chunked = one_in(8);
    int n = snprintf(head, sizeof head, "POST %s&sid=%s HTTP/1.1\r\nHost: localhost\r\n", path, any_sid());
    put(a, head, (size_t)n);
    if (chunked)
        n = snprintf(head, sizeof head, "Transfer-Encoding: chunked\r\n\r\n%zx\r\n", len);
    else
        n = snprintf(head, sizeof head, "Content-Length: %zu\r\n\r\n", said);
    put(a, head, (size_t)n);
    put(a, body, len);
    if (chunked)
        put(a, "\r\n0\r\n\r\n", 7);
}

static void ask_to_upgrade(attacker *a, const char *path, bool known)
{
    static const char *const usual[] = {"2probe", "5", "40", "42[\"event\",1]", NULL};
    char head[512];
    int n = snprintf(head, sizeof head,
                     "GET %s%s%s HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                     "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s\r\n",
                     path, known ? "&sid=" : "", known ? any_sid() : "",
                     one_in(8) ? "Sec-WebSocket-Extensions: permessage-deflate\r\n" : "");
    put(a, head, (size_t)n);
    a->is_frames = true;
    a->usual = known ? usual : usual + 2;
}

static void ask_to_get(attacker *a, const char *path, bool known)
{
    static const char *const methods[] = {"GET", "GET", "GET", "GET", "GET", "GET", "HEAD", "PUT", "OPTIONS"};
    char head[512];
    int n = snprintf(head, sizeof head, "%s %s%s%s HTTP/1.1\r\nHost: localhost\r\n\r\n", ANY_OF(methods), path,
                     known ? "&sid=" : "", known ? any_sid() : "");
    put(a, head, (size_t)n);
}

static void ask_something(attacker *a)
{
    static const char *const polls[] = {"/socket.io/?EIO=4&transport=polling", "/engine.io/?EIO=4&transport=polling"};
    static const char *const frames[] = {"/socket.io/?EIO=4&transport=websocket",
                                         "/engine.io/?EIO=4&transport=websocket"};
    uint32_t where = one_in(4);
    switch (draw(10)) {
    case 0:
    case 1:
        ask_to_get(a, polls[where], false);
        break;
    case 2:
    case 3:
        ask_to_get(a, polls[where], true);
        break;
    case 4:
    case 5:
    case 6:
        ask_to_post(a, polls[where]);
        break;
    case 7:
        ask_to_upgrade(a, frames[where], false);
        break;
    default:
        ask_to_upgrade(a, frames[where], true);
    }
}

static void put_frame(attacker *a, int first_byte, const char *payload, size_t len)
{
    char frame[16384 + 14];
    if (len <= 16384)
        put(a, frame, client_put(frame, first_byte, payload, len));
}

static void send_frame(attacker *a)
{
    char packet[50000];
    size_t len = any_packet(packet, sizeof packet), half = len ? draw((uint32_t)len) : 0;
    if (*a->usual && !one_in(4)) {
        put_frame(a, CLIENT_FIN | CLIENT_TEXT, *a->usual, strlen(*a->usual));
        a->usual++;
        return;
    }
    switch (draw(16)) {
    case 0:
        put_frame(a, CLIENT_FIN | CLIENT_BINARY, packet, len);
        break;
    case 1:
        put_frame(a, CLIENT_TEXT, packet, half);
        if (one_in(3))
            put_frame(a, CLIENT_FIN | CLIENT_PING, "ping", 4);
        put_frame(a, CLIENT_FIN | CLIENT_CONTINUATION, packet + half, len - half);
        break;
    case 2:
        if (one_in(4))
            put_frame(a, CLIENT_FIN | CLIENT_CLOSE, "\x03\xe8", one_in(2) ? 2 : 0);
        break;
    case 3:
        if (one_in(4))
            put_frame(a, (int)draw(256), packet, len);
        break;
    case 4:
        put_frame(a, CLIENT_FIN | CLIENT_TEXT, "2probe", 6);
        break;
    case 5:
        put_frame(a, CLIENT_FIN | CLIENT_TEXT, "5", 1);
        break;
    default:
        put_frame(a, CLIENT_FIN | CLIENT_TEXT, packet, len);
    }
}

static void forget_attacker(attacker *a)
{
    a->fd = -1;
    a->len = 0;
    a->is_frames = false;
}

static void keep_id(const char *at, size_t len, const char *name, char *to)
{
    const char *found = memmem(at, len, name, strlen(name)), *from = found ? found + strlen(name) : NULL;
    const char *end = from ? memchr(from, '"', (size_t)(at + len - from)) : NULL;
    if (end)
        snprintf(to, sizeof *sids, "%.*s", (int)(end - from), from);
}

/* An offset is the last argument of an event. */
static void keep_offset(const char *at, size_t len)
{
    const char *end = memmem(at, len, "\"]", 2), *from = end;
    while (from && from > at && from[-1] != '"')
        from--;
    if (end && end - from < (ptrdiff_t)sizeof *offsets)
        snprintf(ANY_OF(offsets), sizeof *offsets, "%.*s", (int)(end - from), from);
}

static void keep_ids(const char *at, size_t len)
{
    keep_id(at, len, "0{\"sid\":\"", ANY_OF(sids));
    keep_id(at, len, "\"pid\":\"", ANY_OF(pids));
    keep_offset(at, len);
    n_probes += memmem(at, len, "3probe", 6) != NULL;
}

static void read_something(attacker *a)
{
    static char bytes[65536];
    ssize_t got = recv(a->fd, bytes, sizeof bytes, MSG_DONTWAIT);
    if (got > 0)
        keep_ids(bytes, (size_t)got);
    if (got > 0 || (got < 0 && errno == EAGAIN))
        return;
    close(a->fd);
    forget_attacker(a);
}

static void write_something(attacker *a)
{
    size_t some = !one_in(4) ? a->len : draw(one_in(2) ? 8 : 200) + 1;
    if (some > a->len)
        some = a->len;
    ssize_t sent = send(a->fd, a->out, some, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN) {
        close(a->fd);
        forget_attacker(a);
    }
    if (sent <= 0)
        return;
    a->len -= (size_t)sent;
    memmove(a->out, a->out + sent, a->len);
}

static void vanish(attacker *a)
{
    if (one_in(3)) {
        shutdown(a->fd, SHUT_WR);
        return;
    }
    if (one_in(2))
        client_reset(a->fd);
    else
        close(a->fd);
    forget_attacker(a);
}

static void attack(attacker *a)
{
    uint32_t what = draw(40);
    if (a->fd < 0)
        a->fd = client_connect(url);
    else if (what < 1 && one_in(2))
        vanish(a);
    else if (what < 16)
        read_something(a);
    else if (what < 36 && a->len)
        write_something(a);
    else if (a->is_frames && !one_in(30))
        send_frame(a);
    else
        ask_something(a);
}

/* ---------------------------------------------------------------------------------------------------- those who behave */

static int quiet, well_behaved; /* on a route of its own; on the one that is stormed, while the program is calm */

/* The next that is no ping and none of what others are told. */
static void expect_answer(int fd, const char *text)
{
    do {
        assert_int_equal(client_receive(fd).opcode, CLIENT_TEXT);
        if (strcmp(client_bytes, "2") == 0)
            client_send_text(fd, "3");
    } while (strncmp(client_bytes, "43", 2) != 0);
    assert_string_equal(client_bytes, text);
}

static void look_after(int fd)
{
    static unsigned n;
    char question[64], answer[64];
    if (fd < 0)
        return;
    snprintf(question, sizeof question, "42%u[\"event\",%u]", n, n);
    snprintf(answer, sizeof answer, "43%u[%u]", n, n);
    n++;
    client_send_text(fd, question);
    expect_answer(fd, answer);
}

static int open_quiet(const char *path)
{
    int fd = client_open(url, path);
    assert_int_equal(client_receive(fd).opcode, CLIENT_TEXT);
    client_send_text(fd, "40");
    assert_int_equal(client_receive(fd).opcode, CLIENT_TEXT);
    assert_memory_equal(client_bytes, "40{", 3);
    return fd;
}

/* -------------------------------------------------------------------------------------------------------------- storms */

static uint64_t number_from(const char *name, uint64_t fallback)
{
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 10) : fallback;
}

static void leave_all(void)
{
    for (int i = 0; i < N_ATTACKERS; i++)
        if (attackers[i].fd >= 0)
            client_reset(attackers[i].fd);
    client_reset(quiet);
    if (well_behaved >= 0)
        client_reset(well_behaved);
}

/* With a farewell, or without a word. */
static void end_app(void)
{
    if (one_in(2)) {
        uint64_t began_ms = client_now_ms();
        weft_stop(app);
        while (weft_step(app, 10) > 0)
            assert_true(client_now_ms() - began_ms < 8000);
    }
    client_steps = NULL;
    assert_int_equal(weft_free(app), 0);
    app = NULL;
}

static void storm(uint64_t seed, uint64_t n_rounds)
{
    random_state = seed * 0x9e3779b97f4a7c15 | 1;
    wild = seed % 4 != 0;
    n_open = n_calls = n_answers = depth = 0;
    memset(peers, 0, sizeof peers);
    memset(asked, 0, sizeof asked);
    memset(undecided_ones, 0, sizeof undecided_ones);
    memset(sids, 0, sizeof sids);
    memset(pids, 0, sizeof pids);
    memset(offsets, 0, sizeof offsets);
    for (int i = 0; i < N_ATTACKERS; i++)
        forget_attacker(&attackers[i]);
    app = weft_new(&(weft_options){.drain_timeout_ms = 100});
    assert_non_null(app);
    serve_storm(one_in(2));
    quiet = open_quiet("/quiet/?EIO=4&transport=websocket");
    well_behaved = wild ? -1 : open_quiet(SOCKETIO_PATH);
    for (uint64_t round = 0; round < n_rounds; round++) {
        attack(&ANY_OF(attackers));
        if (one_in(2))
            assert_int_equal(weft_step(app, one_in(50) ? 5 : 0), 1);
        if (round % LOOK_EACH == 0) {
            look_after(quiet);
            look_after(well_behaved);
        }
    }
    if (one_in(2))
        leave_all();
    end_app();
    assert_int_equal(n_open, 0);
    assert_int_equal(n_calls, n_answers);
}

static void storm__breaks_nothing(void **state)
{
    (void)state;
    const uint64_t first = number_from("WEFT_STORM_SEED", 1), n_rounds = number_from("WEFT_STORM_ROUNDS", N_ROUNDS);
    const uint64_t n_seeds = number_from("WEFT_STORM_SEEDS", N_SEEDS);
    for (uint64_t seed = first; seed < first + n_seeds; seed++) {
        if (getenv("WEFT_STORM_SEED"))
            print_message("# seed %llu\n", (unsigned long long)seed);
        storm(seed, n_rounds);
    }
    print_message("# %u opened, %u events, %u recovered, %u probes\n", n_opened, n_events, n_recovered, n_probes);
    assert_true(n_opened && n_events && n_probes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(storm__breaks_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
