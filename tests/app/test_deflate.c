/* permessage-deflate on connections: what is agreed, what comes back, what is refused, what it costs. The client is zlib itself. */
#include "app/app.h"
#include "app/fixture.h"
#include "transport/websocket_deflate.h"
#include <zlib.h>

#define EXTENSION   "Sec-WebSocket-Extensions: permessage-deflate"
#define NO_CONTEXTS "; server_no_context_takeover; client_no_context_takeover"

enum {
    RSV1 = 0x40,
    LARGE_BYTES = 1 << 20,
};

static char large[LARGE_BYTES];

/* ------------------------------------------------------------------------------------------------------------ a client */

typedef struct {
    int fd;
    bool keeps_out, keeps_in; /* contexts */
    z_stream *out, *in;       /* zlib's may not be moved */
} client;

static char deflated[LARGE_BYTES + 4096], inflated[LARGE_BYTES + 4096];

static client client_with(int fd, int server_bits)
{
    client c = {.fd = fd, .out = calloc(1, sizeof *c.out), .in = calloc(1, sizeof *c.in)};
    assert_int_equal(deflateInit2(c.out, 6, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY), Z_OK);
    assert_int_equal(inflateInit2(c.in, -server_bits), Z_OK);
    return c;
}

/* Asks with an offer (NULL: none) and tells whether the answer's field is `answer` (NULL: there is none). */
static client join_as(const char *path, const char *offer, const char *answer)
{
    const char *bits = answer ? strstr(answer, "server_max_window_bits=") : NULL;
    client c = client_with(client_connect(url), bits ? atoi(strchr(bits, '=') + 1) : 15);
    char fields[512];
    snprintf(fields, sizeof fields, "Sec-WebSocket-Extensions: %s\r\n", offer ? offer : "");
    client_ask(c.fd, path, offer ? fields : "");
    client_expect_accepted(c.fd);
    if (answer) {
        snprintf(fields, sizeof fields, EXTENSION "%s", answer);
        assert_true(client_head_has(fields));
        c.keeps_out = !strstr(answer, "client_no_context");
        c.keeps_in = !strstr(answer, "server_no_context");
    } else {
        assert_null(strstr(client_bytes, "Extensions"));
    }
    return c;
}

static void forget(client *c)
{
    deflateEnd(c->out);
    inflateEnd(c->in);
    free(c->out);
    free(c->in);
}

static void leave(client *c)
{
    client_leave(c->fd);
    forget(c);
}

/* Compresses into `deflated` without the tail; the length. */
static size_t deflate_message(client *c, const void *bytes, size_t len)
{
    if (!c->keeps_out)
        deflateReset(c->out);
    c->out->next_in = (Bytef *)(uintptr_t)bytes;
    c->out->avail_in = (uInt)len;
    c->out->next_out = (Bytef *)deflated;
    c->out->avail_out = sizeof deflated;
    assert_int_equal(deflate(c->out, Z_SYNC_FLUSH), Z_OK);
    return (size_t)((char *)c->out->next_out - deflated) - 4;
}

static void send_deflated(client *c, int opcode, const void *bytes, size_t len)
{
    client_send(c->fd, CLIENT_FIN | RSV1 | opcode, deflated, deflate_message(c, bytes, len));
}

/* The next frame is this message, compressed or as it is; the bytes that it took. */
static size_t expect_message(client *c, int opcode, bool is_deflated, const void *bytes, size_t len)
{
    client_frame frame = client_receive(c->fd);
    assert_int_equal(frame.opcode, opcode);
    assert_true(frame.fin);
    assert_int_equal(frame.rsv1, is_deflated);
    if (!is_deflated) {
        assert_int_equal(frame.len, len);
        assert_memory_equal(frame.at, bytes, len);
        return frame.len;
    }
    memcpy(frame.at + frame.len, "\0\0\xff\xff", 4); /* client_bytes has room: what comes is smaller than it */
    if (!c->keeps_in)
        inflateReset(c->in);
    c->in->next_in = (Bytef *)frame.at;
    c->in->avail_in = (uInt)frame.len + 4;
    c->in->next_out = (Bytef *)inflated;
    c->in->avail_out = sizeof inflated;
    int result = inflate(c->in, Z_SYNC_FLUSH);
    assert_true(result == Z_OK || (result == Z_STREAM_END && !c->keeps_in));
    assert_int_equal((char *)c->in->next_out - inflated, len);
    assert_memory_equal(inflated, bytes, len);
    return frame.len;
}

static void expect_failure(client *c, int code)
{
    client_expect_close(c->fd, code);
    client_expect_end(c->fd);
    forget(c);
}

/* Words, so that it shrinks; or noise. */
static void fill(bool noise)
{
    uint32_t seed = 1;
    for (size_t i = 0; i < sizeof large; i++) {
        seed = seed * 1664525 + 1013904223;
        large[i] = (char)(noise ? seed >> 24 : 'a' + (seed >> 24) % 4);
    }
}

static const weft_websocket_options echo_options = {.message = on_echo, .close = on_close, .deflate = 1};

/* ---------------------------------------------------------------------------------------------------------- agreement */

static void deflate__is_off_unless_the_route_wants_it(void **state)
{
    (void)state;
    serve(&(weft_websocket_options){.message = on_echo, .close = on_close});
    client c = join_as("/", "permessage-deflate", NULL);
    send_deflated(&c, CLIENT_TEXT, "hello", 5);
    expect_failure(&c, 1002);
}

static void deflate__is_answered_as_it_was_offered(void **state)
{
    (void)state;
    static const struct {
        const char *offer, *answer;
    } cases[] = {
        {NULL, NULL},
        {"permessage-deflate", NO_CONTEXTS},
        {"permessage-deflate; client_max_window_bits", NO_CONTEXTS},
        {"permessage-deflate; server_max_window_bits=10", NO_CONTEXTS "; server_max_window_bits=10"},
        {"permessage-deflate; server_max_window_bits=8", NULL},
        {"permessage-deflate; server_max_window_bits=8, permessage-deflate; client_max_window_bits=8",
         NO_CONTEXTS "; client_max_window_bits=8"},
        {"permessage-deflate; what, foo", NULL},
        {"foo\r\nSec-WebSocket-Extensions: bar, permessage-deflate", NO_CONTEXTS},
        {"\"\r\nSec-WebSocket-Extensions: permessage-deflate", NO_CONTEXTS},
    };
    serve(&echo_options);
    for (size_t i = 0; i < N_OF(cases); i++) {
        client c = join_as("/", cases[i].offer, cases[i].answer);
        leave(&c);
    }
}

static void accept_plain(weft_exchange which, const weft_request *request, void *user)
{
    (void)user;
    weft_str query = weft_request_query(request);
    assert_int_equal(query.len ? weft_accept_plain(which, NULL) : weft_accept(which, NULL), 0);
}

static void deflate__is_declined_for_one_request(void **state)
{
    (void)state;
    serve(&(weft_websocket_options){.request = accept_plain, .message = on_echo, .deflate = 1});
    client plain = join_as("/?plain", "permessage-deflate", NULL), c = join_as("/", "permessage-deflate", NO_CONTEXTS);
    fill(false);
    client_send(plain.fd, CLIENT_FIN | CLIENT_TEXT, large, 1000);
    expect_message(&plain, CLIENT_TEXT, false, large, 1000);
    send_deflated(&c, CLIENT_TEXT, large, 1000);
    expect_message(&c, CLIENT_TEXT, true, large, 1000);
    leave(&plain);
    leave(&c);
}

/* ----------------------------------------------------------------------------------------------------------- messages */

static void deflate__echoes_messages_of_every_size(void **state)
{
    (void)state;
    static const char *const answers[] = {NO_CONTEXTS, NO_CONTEXTS "; server_max_window_bits=9",
                                          NO_CONTEXTS "; server_max_window_bits=15"};
    static const char *const offers[] = {"permessage-deflate", "permessage-deflate; server_max_window_bits=9",
                                         "permessage-deflate; server_max_window_bits=15"};
    static const size_t sizes[] = {0,   1,    63,   64,   65,    125,   126,    127,        512,
                                   513, 1000, 4096, 4097, 65535, 65536, 300000, LARGE_BYTES};
    serve(&echo_options);
    fill(false);
    for (size_t k = 0; k < N_OF(offers); k++) {
        client c = join_as("/", offers[k], answers[k]);
        for (size_t i = 0; i < N_OF(sizes); i++)
            for (int opcode = CLIENT_TEXT; opcode <= CLIENT_BINARY; opcode++) {
                send_deflated(&c, opcode, large, sizes[i]);
                expect_message(&c, opcode, sizes[i] >= 64, large, sizes[i]);
                client_send(c.fd, CLIENT_FIN | opcode, large, sizes[i]); /* an uncompressed one stays legal */
                expect_message(&c, opcode, sizes[i] >= 64, large, sizes[i]);
            }
        leave(&c);
    }
}

/* What does not shrink goes as it is; and what comes in may have grown past the limit, which is that of the message. */
static void deflate__leaves_noise_alone(void **state)
{
    (void)state;
    static const size_t sizes[] = {64, 100, 1000, 5000, 100000, LARGE_BYTES};
    serve(&echo_options);
    fill(true);
    client c = join_as("/", "permessage-deflate", NO_CONTEXTS);
    for (size_t i = 0; i < N_OF(sizes); i++) {
        size_t n = deflate_message(&c, large, sizes[i]);
        assert_true(n > sizes[i]);
        client_send(c.fd, CLIENT_FIN | RSV1 | CLIENT_BINARY, deflated, n);
        expect_message(&c, CLIENT_BINARY, false, large, sizes[i]);
    }
    leave(&c);
}

static void deflate__obeys_the_threshold(void **state)
{
    (void)state;
    serve(&(weft_websocket_options){.message = on_echo, .deflate = 1, .deflate_min_bytes = 500});
    fill(false);
    client c = join_as("/", "permessage-deflate", NO_CONTEXTS);
    send_deflated(&c, CLIENT_TEXT, large, 499);
    expect_message(&c, CLIENT_TEXT, false, large, 499);
    send_deflated(&c, CLIENT_TEXT, large, 500);
    expect_message(&c, CLIENT_TEXT, true, large, 500);
    leave(&c);
}

/* In frames that end at every byte, with a ping between them, and in a stream that is cut at every byte. */
static void deflate__takes_fragments(void **state)
{
    (void)state;
    serve(&echo_options);
    fill(false);
    client c = join_as("/", "permessage-deflate", NO_CONTEXTS);
    size_t n = deflate_message(&c, large, 200);
    for (size_t split = 0; split <= n; split++) {
        client_send(c.fd, RSV1 | CLIENT_TEXT, deflated, split);
        client_send(c.fd, CLIENT_FIN | CLIENT_PING, "?", 1);
        client_expect(c.fd, CLIENT_PONG, "?"); /* the server has seen the first half in a turn of its own */
        client_send(c.fd, CLIENT_FIN | CLIENT_CONTINUATION, deflated + split, n - split);
        expect_message(&c, CLIENT_TEXT, true, large, 200);
    }
    for (size_t i = 0; i < n; i++)
        client_send(c.fd, i ? CLIENT_CONTINUATION : RSV1 | CLIENT_TEXT, deflated + i, 1);
    client_send(c.fd, CLIENT_FIN | CLIENT_CONTINUATION, "", 0);
    expect_message(&c, CLIENT_TEXT, true, large, 200);
    char frame[1024];
    size_t len = client_put(frame, CLIENT_FIN | RSV1 | CLIENT_TEXT, deflated, n);
    for (size_t i = 0; i < len; i++) {
        client_write(c.fd, frame + i, 1);
        weft_step(app, 0);
    }
    expect_message(&c, CLIENT_TEXT, true, large, 200);
    leave(&c);
}

/* More of a frame is to come than what is received straight into a message's place: this is not one. */
static void deflate__takes_large_frames_in_pieces(void **state)
{
    (void)state;
    static char frame[LARGE_BYTES];
    serve(&echo_options);
    fill(false);
    client c = join_as("/", "permessage-deflate", NO_CONTEXTS);
    size_t n = deflate_message(&c, large, sizeof large),
           len = client_put(frame, CLIENT_FIN | RSV1 | CLIENT_TEXT, deflated, n);
    assert_true(n > 250000);
    for (size_t at = 0; at < len; at += 50000) {
        uint64_t before = app->workers->net.n_receives;
        client_write(c.fd, frame + at, len - at < 50000 ? len - at : 50000);
        CLIENT_UNTIL(app->workers->net.n_receives > before);
    }
    expect_message(&c, CLIENT_TEXT, true, large, sizeof large);
    leave(&c);
}

/* Two clients in the middle of messages have a state each. */
static void deflate__keeps_interleaved_messages_apart(void **state)
{
    (void)state;
    enum { N = 5 };
    client clients[N];
    static char halves[N][2000];
    size_t lens[N];
    serve(&echo_options);
    fill(false);
    for (int i = 0; i < N; i++) {
        clients[i] = join_as("/", "permessage-deflate", NO_CONTEXTS);
        lens[i] = deflate_message(&clients[i], large + i * 1000, 1000);
        memcpy(halves[i], deflated, lens[i]);
        client_send(clients[i].fd, RSV1 | CLIENT_TEXT, halves[i], lens[i] / 2);
        client_send(clients[i].fd, CLIENT_FIN | CLIENT_PING, "?", 1);
        client_expect(clients[i].fd, CLIENT_PONG, "?");
    }
    for (int i = N - 1; i >= 0; i--) {
        client_send(clients[i].fd, CLIENT_FIN | CLIENT_CONTINUATION, halves[i] + lens[i] / 2, lens[i] - lens[i] / 2);
        expect_message(&clients[i], CLIENT_TEXT, true, large + i * 1000, 1000);
    }
    client_send(clients[0].fd, RSV1 | CLIENT_TEXT, halves[0], lens[0] / 2); /* lost in the middle */
    client_reset(clients[0].fd);
    forget(&clients[0]);
    for (int i = 1; i < N; i++)
        leave(&clients[i]);
}

/* An empty message has one byte (RFC 7692 §7.2.3.6); some clients send none. */
static void deflate__takes_empty_messages(void **state)
{
    (void)state;
    serve(&echo_options);
    client c = join_as("/", "permessage-deflate", NO_CONTEXTS);
    static const str empty[] = {{"\0", 1}, {"", 0}, {"\x02\0", 2}, {"\x03\0\0", 3}};
    for (size_t i = 0; i < N_OF(empty); i++) {
        client_send(c.fd, CLIENT_FIN | RSV1 | CLIENT_TEXT, empty[i].at, empty[i].len);
        expect_message(&c, CLIENT_TEXT, false, "", 0);
    }
    leave(&c);
}

/* ------------------------------------------------------------------------------------------------------------- refused */

static void deflate__takes_rsv1_on_the_first_frame_alone(void **state)
{
    (void)state;
    serve(&echo_options);
    static const int second[] = {CLIENT_FIN | RSV1 | CLIENT_CONTINUATION, CLIENT_FIN | RSV1 | CLIENT_PING,
                                 CLIENT_FIN | RSV1 | CLIENT_PONG,         CLIENT_FIN | RSV1 | CLIENT_CLOSE,
                                 CLIENT_FIN | RSV1 | CLIENT_TEXT,         CLIENT_FIN | 0x20 | CLIENT_CONTINUATION,
                                 CLIENT_FIN | 0x10 | CLIENT_CONTINUATION};
    static const int first[] = {CLIENT_FIN | RSV1 | 0x20 | CLIENT_TEXT, CLIENT_FIN | RSV1 | 0x10 | CLIENT_BINARY,
                                CLIENT_FIN | RSV1 | 3, CLIENT_FIN | RSV1 | CLIENT_CONTINUATION,
                                CLIENT_FIN | RSV1 | CLIENT_PING};
    for (int compressed = 0; compressed < 2; compressed++)
        for (size_t i = 0; i < N_OF(second); i++) {
            client c = join_as("/", "permessage-deflate", NO_CONTEXTS);
            client_send(c.fd, (compressed ? RSV1 : 0) | CLIENT_TEXT, "\xf2\x48", compressed ? 2 : 0);
            client_send(c.fd, second[i], "", 0);
            expect_failure(&c, 1002);
        }
    for (size_t i = 0; i < N_OF(first); i++) {
        client c = join_as("/", "permessage-deflate", NO_CONTEXTS);
        client_send(c.fd, first[i], "", 0);
        expect_failure(&c, 1002);
    }
}

static void deflate__fails_what_is_no_deflate(void **state)
{
    (void)state;
    static const str wrong[] = {{"\xff\xff", 2}, {"\xf2\x48\xcd", 3}, {"\x03\0", 2}, {"\xf2\0\x11\0\0", 5}};
    serve(&echo_options);
    for (size_t i = 0; i < N_OF(wrong); i++) {
        client c = join_as("/", "permessage-deflate", NO_CONTEXTS);
        client_send(c.fd, CLIENT_FIN | RSV1 | CLIENT_BINARY, "\xf2\x48\xcd\xc9\xc9\x07\0", 7);
        client_expect(c.fd, CLIENT_BINARY, "Hello"); /* nothing of it is left to refer to */
        client_send(c.fd, CLIENT_FIN | RSV1 | CLIENT_BINARY, wrong[i].at, wrong[i].len);
        expect_failure(&c, 1007);
    }
}

/* At the first wrong byte, before the message has ended; a character may be cut between two frames, but not by the end. */
static void deflate__checks_text_as_it_comes(void **state)
{
    (void)state;
    serve(&echo_options);
    client c = join_as("/", "permessage-deflate", NO_CONTEXTS);
    size_t n = deflate_message(&c, "gr\xc3\xbc\xc3\x9f", 6);
    for (size_t split = 0; split <= n; split++) {
        client_send(c.fd, RSV1 | CLIENT_TEXT, deflated, split);
        client_send(c.fd, CLIENT_FIN | CLIENT_CONTINUATION, deflated + split, n - split);
        client_expect_text(c.fd, "gr\xc3\xbc\xc3\x9f");
    }
    n = deflate_message(&c,
                        "a\xff"
                        "b",
                        3);
    client_send(c.fd, CLIENT_FIN | RSV1 | CLIENT_BINARY, deflated, n);
    client_expect(c.fd, CLIENT_BINARY,
                  "a\xff"
                  "b");
    client_send(c.fd, RSV1 | CLIENT_TEXT, deflated, n);
    expect_failure(&c, 1007);

    c = join_as("/", "permessage-deflate", NO_CONTEXTS);
    send_deflated(&c, CLIENT_TEXT, "gr\xc3", 3);
    expect_failure(&c, 1007);
}

/* A MiB of zeros again and again, each a block that refers to nothing before it. */
static size_t make_bomb(size_t n_mib)
{
    client c = client_with(-1, 15);
    memset(large, 0, sizeof large);
    deflateParams(c.out, 9, Z_DEFAULT_STRATEGY);
    c.out->next_in = (Bytef *)large;
    c.out->avail_in = sizeof large;
    c.out->next_out = (Bytef *)deflated;
    c.out->avail_out = sizeof deflated;
    assert_int_equal(deflate(c.out, Z_FULL_FLUSH), Z_OK);
    size_t n = sizeof deflated - c.out->avail_out;
    forget(&c);
    assert_true(n * n_mib <= sizeof deflated);
    for (size_t i = 1; i < n_mib; i++)
        memcpy(deflated + i * n, deflated, n);
    return n * n_mib - 4;
}

/* What messages have taken since the pool was emptied, as it keeps what they give back. */
static size_t most_kept(void)
{
    return app->workers->loop.blocks.kept_bytes;
}

/* A GiB in a MiB: the peer goes when the first byte too many is seen, and no more than the limit was ever held. */
static void deflate__stops_a_bomb_at_the_limit(void **state)
{
    (void)state;
    static const size_t most[] = {0, 100, 70000, LARGE_BYTES};
    static const char *const paths[] = {"/0", "/1", "/2", "/3"};
    for (size_t i = 0; i < N_OF(most); i++)
        assert_int_equal(
            weft_websocket(app, paths[i],
                           &(weft_websocket_options){
                               .message = on_message, .close = on_close, .deflate = 1, .max_message_bytes = most[i]}),
            0);
    begin();
    for (size_t i = 0; i < N_OF(most); i++) {
        size_t n = make_bomb(most[i] && most[i] < 70000 ? 1 : 64), limit = most[i] ? most[i] : LARGE_BYTES;
        client c = join_as(paths[i], "permessage-deflate", NO_CONTEXTS);
        look();
        pool_done(&app->workers->loop.blocks);
        client_try_send(c.fd, CLIENT_FIN | RSV1 | CLIENT_BINARY, deflated, n < limit ? n : limit);
        client_expect_close(c.fd, 1009);
        assert_string_equal(look(), "close:1009:message too large ");
        client_expect_end(c.fd);
        forget(&c);
        assert_true(most_kept() <= 4 * limit + (512 << 10));
    }
    client c = join_as("/0", "permessage-deflate", NO_CONTEXTS);
    pool_done(&app->workers->loop.blocks);
    client_try_send(c.fd, CLIENT_FIN | RSV1 | CLIENT_BINARY, deflated, make_bomb(1000));
    client_expect_close(c.fd, 1009);
    assert_true(most_kept() <= 5 << 20);
    client_expect_end(c.fd);
    forget(&c);
}

/* One byte less than the limit, the limit, one more: whole, in two frames, and byte by byte. */
static void deflate__counts_what_a_message_grows_to(void **state)
{
    (void)state;
    enum { LIMIT = 1000 };
    serve(&(weft_websocket_options){.message = on_echo, .deflate = 1, .max_message_bytes = LIMIT});
    memset(large, 'x', sizeof large);
    for (size_t len = LIMIT - 1; len <= LIMIT + 1; len++)
        for (size_t piece = 1; piece <= 16; piece++) {
            client c = join_as("/", "permessage-deflate", NO_CONTEXTS);
            size_t n = deflate_message(&c, large, len);
            for (size_t at = 0; at < n; at += piece)
                client_send(c.fd, (at ? 0 : RSV1 | CLIENT_TEXT) | (at + piece >= n ? CLIENT_FIN : 0), deflated + at,
                            n - at < piece ? n - at : piece);
            if (len <= LIMIT) {
                expect_message(&c, CLIENT_TEXT, true, large, len);
                leave(&c);
            } else {
                expect_failure(&c, 1009);
            }
        }
}

/* ------------------------------------------------------------------------------------------------------------ contexts */

static const weft_websocket_options context_options = {.message = on_echo, .deflate = 1, .deflate_context = 1};

static void deflate__keeps_contexts_where_a_route_asks(void **state)
{
    (void)state;
    static const struct {
        const char *offer, *answer;
    } cases[] = {
        {"permessage-deflate", ""},
        {"permessage-deflate; server_max_window_bits=12; client_max_window_bits=15",
         "; server_max_window_bits=12; client_max_window_bits=15"},
        {"permessage-deflate; client_no_context_takeover", "; client_no_context_takeover"},
        {"permessage-deflate; server_no_context_takeover", "; server_no_context_takeover"},
    };
    serve(&context_options);
    for (size_t i = 0; i < N_OF(cases); i++) {
        client c = join_as("/", cases[i].offer, cases[i].answer);
        size_t first = 0;
        for (int round = 0; round < 20; round++) {
            fill(round % 5 == 4); /* what does not shrink is not seen by the client's inflater */
            send_deflated(&c, CLIENT_BINARY, large, 2000);
            size_t n = expect_message(&c, CLIENT_BINARY, round % 5 != 4, large, 2000);
            if (round == 0)
                first = n;
            else if (round % 5 != 0 && round % 5 != 4)
                assert_int_equal(n < first / 2, c.keeps_in);
        }
        leave(&c);
    }
}

/* ------------------------------------------------------------------------------------------------------------- topics */

static void join_room(weft_peer who)
{
    weft_subscribe(who, "room", NULL);
}

static size_t published_bytes;

static void publish_large(void)
{
    weft_publish(app, "room", &(weft_message){.kind = WEFT_BINARY, .data = {large, published_bytes}}, NULL);
}

static void echo_to_me(weft_peer who, const weft_message *message)
{
    weft_send(who, message);
}

/* Everybody gets it as they agreed, and it is compressed once for each way to agree. */
static void deflate__compresses_a_broadcast_once_for_each_way(void **state)
{
    (void)state;
    static const struct {
        const char *path, *offer, *answer;
    } cases[] = {
        {"/", NULL, NULL},
        {"/", "permessage-deflate", NO_CONTEXTS},
        {"/", "permessage-deflate; client_max_window_bits", NO_CONTEXTS},
        {"/", "permessage-deflate; server_max_window_bits=15", NO_CONTEXTS "; server_max_window_bits=15"},
        {"/", "permessage-deflate; server_max_window_bits=10", NO_CONTEXTS "; server_max_window_bits=10"},
        {"/", "permessage-deflate; server_max_window_bits=10", NO_CONTEXTS "; server_max_window_bits=10"},
        {"/context", "permessage-deflate", ""},
        {"/context", "permessage-deflate", ""},
        {"/high", "permessage-deflate", NO_CONTEXTS},
    };
    enum { N_WAYS = 3 }; /* 15 bits alone, 10 bits, 15 bits for those with a context */
    client clients[N_OF(cases)];
    const weft_websocket_options options = {.open = join_room, .message = echo_to_me, .deflate = 1};
    weft_websocket_options context = options, high = options;
    context.deflate_context = 1;
    high.deflate_min_bytes = 100000;
    weft_websocket(app, "/context", &context);
    weft_websocket(app, "/high", &high);
    serve(&options);
    for (size_t i = 0; i < N_OF(cases); i++)
        clients[i] = join_as(cases[i].path, cases[i].offer, cases[i].answer);
    static const size_t sizes[] = {63, 64, 500, 3000, 5000, 70000};
    for (int round = 0; round < 3; round++)
        for (size_t k = 0; k < N_OF(sizes); k++) {
            fill(round == 1);
            published_bytes = sizes[k];
            uint64_t before = websocket_deflate_count(&app->workers->hub);
            on_loop(publish_large);
            assert_int_equal(websocket_deflate_count(&app->workers->hub) - before, sizes[k] < 64 ? 0 : N_WAYS);
            for (size_t i = 0; i < N_OF(cases); i++) {
                bool is_deflated = cases[i].answer && sizes[k] >= 64 && round != 1;
                expect_message(&clients[i], CLIENT_BINARY, is_deflated && strcmp(cases[i].path, "/high") != 0, large,
                               sizes[k]);
            }
            for (size_t i = 0; i < N_OF(cases); i++) { /* and one of its own in between: contexts stay right */
                if (cases[i].answer)
                    send_deflated(&clients[i], CLIENT_BINARY, large, 1000);
                else
                    client_send(clients[i].fd, CLIENT_FIN | CLIENT_BINARY, large, 1000);
                expect_message(&clients[i], CLIENT_BINARY,
                               cases[i].answer && round != 1 && strcmp(cases[i].path, "/high") != 0, large, 1000);
            }
        }
    for (size_t i = 0; i < N_OF(cases); i++)
        leave(&clients[i]);
}

/* So many messages are sent back to these, one by one, with so many compressions. */
static void expect_compressions(client *clients, size_t n, uint64_t expected)
{
    uint64_t before = websocket_deflate_count(&app->workers->hub);
    for (size_t i = 0; i < n; i++) {
        send_deflated(&clients[i], CLIENT_BINARY, large, 1000);
        expect_message(&clients[i], CLIENT_BINARY, true, large, 1000);
    }
    assert_int_equal(websocket_deflate_count(&app->workers->hub) - before, expected);
}

/* Programs go through their clients and send each the same. */
static void deflate__compresses_the_same_message_once_in_a_row(void **state)
{
    (void)state;
    const char *ten_bits = "permessage-deflate; server_max_window_bits=10";
    serve(&echo_options);
    client clients[] = {
        join_as("/", "permessage-deflate", NO_CONTEXTS),
        join_as("/", "permessage-deflate", NO_CONTEXTS),
        join_as("/", ten_bits, NO_CONTEXTS "; server_max_window_bits=10"),
        join_as("/", ten_bits, NO_CONTEXTS "; server_max_window_bits=10"),
    };
    fill(false);
    expect_compressions(clients, N_OF(clients), 2);
    large[999] ^= 1;
    expect_compressions(clients, 2, 1); /* another one */
    expect_compressions(clients, 2, 0);
    send_deflated(&clients[0], CLIENT_TEXT, "0123456789012345678901234567890123456789012345678901234567890123456789",
                  70);
    expect_message(&clients[0], CLIENT_TEXT, true,
                   "0123456789012345678901234567890123456789012345678901234567890123456789", 70);
    expect_compressions(clients, 2, 1); /* it was forgotten meanwhile */
    for (size_t i = 0; i < N_OF(clients); i++)
        leave(&clients[i]);
}

/* Routes of topics: on the topic's own path, and in envelopes. */
static void deflate__serves_topics(void **state)
{
    (void)state;
    static const char *const all[] = {"*", NULL};
    const weft_topics_options options = {.publish = all, .deflate = 1};
    weft_topics(app, "/topics/:topic", &options);
    weft_protocol(app, "/weft", &options);
    begin();
    client c = join_as("/topics/room", "permessage-deflate", NO_CONTEXTS), other = join_as("/topics/room", NULL, NULL);
    fill(false);
    send_deflated(&c, CLIENT_TEXT, large, 3000);
    expect_message(&c, CLIENT_TEXT, true, large, 3000);
    expect_message(&other, CLIENT_TEXT, false, large, 3000);

    client v1 = client_with(client_connect(url), 15);
    client_ask(v1.fd, "/weft", "Sec-WebSocket-Protocol: weft.v1\r\nSec-WebSocket-Extensions: permessage-deflate\r\n");
    client_expect_accepted(v1.fd);
    assert_true(client_head_has(EXTENSION NO_CONTEXTS));
    assert_int_equal(client_receive(v1.fd).opcode, CLIENT_TEXT); /* hello */
    const char *subscribe = "{\"type\":\"subscribe\",\"topic\":\"room\",\"id\":1}";
    send_deflated(&v1, CLIENT_TEXT, subscribe, strlen(subscribe));
    assert_non_null(strstr(client_receive(v1.fd).at, ""));
    send_deflated(&c, CLIENT_TEXT, large, 2000);
    client_frame frame = client_receive(v1.fd);
    assert_true(frame.rsv1 && frame.len < 1000);
    memcpy(frame.at + frame.len, "\0\0\xff\xff", 4);
    v1.in->next_in = (Bytef *)frame.at;
    v1.in->avail_in = (uInt)frame.len + 4;
    v1.in->next_out = (Bytef *)inflated;
    v1.in->avail_out = sizeof inflated;
    inflate(v1.in, Z_SYNC_FLUSH);
    *v1.in->next_out = '\0';
    assert_non_null(strstr(inflated, "{\"type\":\"message\",\"topic\":\"room\",\"id\":\""));
    assert_int_equal(memcmp(strstr(inflated, "\"data\":\"") + 8, large, 2000), 0);
    expect_message(&c, CLIENT_TEXT, true, large, 2000);
    expect_message(&other, CLIENT_TEXT, false, large, 2000);
    leave(&c);
    leave(&other);
    client_reset(v1.fd);
    forget(&v1);
}

/* ----------------------------------------------------------------------------------------------------------- the cost */

static int setup_budget(void **state)
{
    (void)state;
    size_t one = ws_compressor_bytes(15) + ws_inflater_bytes(15);
    events[0] = '\0';
    app = weft_new(&(weft_options){.deflate_budget_bytes = one * 2 + ws_inflater_bytes(15)});
    return app ? 0 : -1;
}

static void deflate__keeps_contexts_within_the_budget(void **state)
{
    (void)state;
    serve(&context_options);
    client a = join_as("/", "permessage-deflate", ""), b = join_as("/", "permessage-deflate", "");
    client c = join_as("/", "permessage-deflate", "; server_no_context_takeover"); /* the smaller of the two has room */
    client d = join_as("/", "permessage-deflate", NO_CONTEXTS);
    fill(false);
    for (int i = 0; i < 3; i++) {
        client *all[] = {&a, &b, &c, &d};
        for (size_t k = 0; k < N_OF(all); k++) {
            send_deflated(all[k], CLIENT_TEXT, large, 1000);
            expect_message(all[k], CLIENT_TEXT, true, large, 1000);
        }
    }
    assert_int_equal(app->workers->net.limits.n[LIMIT_DEFLATE_BUDGET], 2); /* c and d */
    leave(&b);
    b = join_as("/", "permessage-deflate", "");
    client_reset(a.fd);
    forget(&a);
    CLIENT_UNTIL(app->workers->hub.n_peers == 3);
    a = join_as("/", "permessage-deflate", "");
    leave(&a);
    leave(&b);
    leave(&c);
    leave(&d);
}

/* Once a loop has warmed up nobody's messages allocate anything, and a connection that rests holds nothing of zlib's. */
static void deflate__costs_no_allocations(void **state)
{
    (void)state;
    enum { N = 20 };
    client clients[N];
    serve(&echo_options);
    fill(false);
    for (int i = 0; i < N; i++)
        clients[i] = join_as("/", "permessage-deflate", NO_CONTEXTS);
    uint64_t before = 0;
    for (int i = 0; i < N; i++) {
        if (i == 1)
            before = mem_count();
        send_deflated(&clients[i], CLIENT_TEXT, large, 1000);
        expect_message(&clients[i], CLIENT_TEXT, true, large, 1000);
    }
    assert_int_equal(mem_count() - before, 0);
    for (int i = 0; i < N; i++)
        leave(&clients[i]);
}

/* -------------------------------------------------------------------------------------------------------------- memory */

static bool try_message(client *c, int opcode, size_t len, size_t piece)
{
    size_t n = deflate_message(c, large, len);
    for (size_t at = 0; at < n; at += piece)
        if (!client_try_send(c->fd, (at ? 0 : RSV1 | opcode) | (at + piece >= n ? CLIENT_FIN : 0), deflated + at,
                             n - at < piece ? n - at : piece))
            return false;
    client_frame frame = client_receive(c->fd);
    return frame.opcode == opcode;
}

/* With or without memory for compressing, whoever is not closed gets its answers. */
static bool go_through_everything(void)
{
    client c = client_with(client_connect(url), 15);
    c.keeps_out = true;
    client_ask(c.fd, "/", "Sec-WebSocket-Extensions: permessage-deflate\r\n");
    bool good = client_read_head(c.fd) == 101;
    good = good && strstr(client_bytes, "permessage-deflate") /* else there was no memory to agree */ &&
           try_message(&c, CLIENT_TEXT, 1000, 10000) && try_message(&c, CLIENT_TEXT, 100000, 7000) &&
           try_message(&c, CLIENT_BINARY, 300, 100);
    close(c.fd);
    forget(&c);
    return good;
}

static bool fail_from(uint64_t n, void **state)
{
    assert_int_equal(setup_app(state), 0);
    weft_websocket(app, "/other", &echo_options);
    serve(&(weft_websocket_options){
        .message = on_echo, .deflate = 1, .deflate_context = 1, .ping_interval_ms = WEFT_NEVER});
    client other = join_as("/other", "permessage-deflate", NO_CONTEXTS);
    pool_done(&app->workers->loop.blocks);
    uint64_t before = mem_count();
    mem_fail_from(n);
    bool good = go_through_everything();
    bool enough = mem_count() - before < n;
    CLIENT_UNTIL(app->workers->net.n_streams == 1 && app->workers->hub.n_peers == 1);
    mem_fail_from(0);
    assert_true(good || !enough);
    send_deflated(&other, CLIENT_TEXT, large, 1000);
    expect_message(&other, CLIENT_TEXT, true, large, 1000);
    assert_true(go_through_everything());
    leave(&other);
    assert_int_equal(teardown_app(state), 0);
    return enough;
}

static void deflate__fails_nobody_but_the_client_that_needs_memory(void **state)
{
    uint64_t n = 1;
    fill(false);
    while (!fail_from(n, state))
        n++;
    print_message("# %lu allocations failed in turn\n", n - 1);
    assert_in_range(n, 15, 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        APP_TEST(deflate__is_off_unless_the_route_wants_it),
        APP_TEST(deflate__is_answered_as_it_was_offered),
        APP_TEST(deflate__is_declined_for_one_request),
        APP_TEST(deflate__echoes_messages_of_every_size),
        APP_TEST(deflate__leaves_noise_alone),
        APP_TEST(deflate__obeys_the_threshold),
        APP_TEST(deflate__takes_fragments),
        APP_TEST(deflate__takes_large_frames_in_pieces),
        APP_TEST(deflate__keeps_interleaved_messages_apart),
        APP_TEST(deflate__takes_empty_messages),
        APP_TEST(deflate__takes_rsv1_on_the_first_frame_alone),
        APP_TEST(deflate__fails_what_is_no_deflate),
        APP_TEST(deflate__checks_text_as_it_comes),
        APP_TEST(deflate__stops_a_bomb_at_the_limit),
        APP_TEST(deflate__compresses_the_same_message_once_in_a_row),
        APP_TEST(deflate__counts_what_a_message_grows_to),
        APP_TEST(deflate__keeps_contexts_where_a_route_asks),
        APP_TEST(deflate__compresses_a_broadcast_once_for_each_way),
        APP_TEST(deflate__serves_topics),
        cmocka_unit_test_setup_teardown(deflate__keeps_contexts_within_the_budget, setup_budget, teardown_app),
        APP_TEST(deflate__costs_no_allocations),
        cmocka_unit_test(deflate__fails_nobody_but_the_client_that_needs_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
