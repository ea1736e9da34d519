#include "net/stream_private.h"
#include "support/check.h"
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    PATIENCE_MS = 20000,
    BACKLOG_BYTES = 5 << 20,
    N_SCRATCH = 1 << 20,
};

static loop the_loop;
static net the_net;
static char scratch[N_SCRATCH];

/* An owner with a script. It notes a letter for each event: data, room, eof, sent, gone. */
typedef struct owner owner;
struct owner {
    sink *sink;                                     /* NULL once it is given up */
    int peer;                                       /* the other end of the connection */
    size_t (*data)(owner *o, char *at, size_t len); /* NULL: all is consumed */
    void (*event)(owner *o);                        /* eof, sent, gone; NULL: nothing */
    char *room;                                     /* where to receive; NULL: anywhere */
    size_t room_len;
    char got[256]; /* consumed bytes, the first of them */
    size_t n_got;
    char events[64];
    size_t n_events;
    size_t out, in; /* bytes of the pattern that were written, and that the peer got */
    bool failed;
    int error; /* of gone */
};

static owner owners[2];

static void happened(owner *o, char letter)
{
    if (o->n_events + 1 < sizeof o->events)
        o->events[o->n_events++] = letter;
}

static size_t consume(owner *o, const char *at, size_t len)
{
    size_t room = sizeof o->got - 1 - o->n_got;
    memcpy(o->got + o->n_got, at, len < room ? len : room);
    o->n_got += len < room ? len : room;
    return len;
}

static size_t owner_data(void *p, char *at, size_t len)
{
    owner *o = p;
    happened(o, 'd');
    assert_non_null(o->sink);
    return o->data ? o->data(o, at, len) : consume(o, at, len);
}

static char *owner_room(void *p, size_t *ret_len)
{
    owner *o = p;
    if (!o->room)
        return NULL;
    assert_non_null(o->sink);
    *ret_len = o->room_len;
    return o->room;
}

static void owner_event(owner *o, char letter)
{
    happened(o, letter);
    assert_non_null(o->sink);
    if (o->event)
        o->event(o);
}

static void owner_eof(void *p)
{
    owner_event(p, 'e');
}

static void owner_sent(void *p)
{
    owner_event(p, 's');
}

static void owner_gone(void *p, int error)
{
    owner *o = p;
    o->error = error;
    owner_event(o, 'g');
    o->sink = NULL;
}

static const sink_events scripted = {owner_data, owner_room, owner_eof, owner_sent, owner_gone};

/* ---- the connection under test ---- */

static stream *stream_under(const owner *o)
{
    return CONTAINER(o->sink, stream, base);
}

static int open_stream(owner *o, int fd, int peer, bool is_unix)
{
    o->peer = peer;
    stream *s = stream_new(&the_net, fd, is_unix);
    if (!s)
        return -ENOMEM;
    o->sink = &s->base;
    sink_bind(&s->base, &scripted, o);
    int error = stream_start(s);
    if (error)
        o->sink = NULL;
    return error;
}

static int open_unix(owner *o)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    return open_stream(o, fds[0], fds[1], true);
}

static void tcp_pair(int family, int fds[2])
{
    struct sockaddr_storage where = {.ss_family = (sa_family_t)family};
    socklen_t len = family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
    if (family == AF_INET)
        ((struct sockaddr_in *)&where)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    else
        ((struct sockaddr_in6 *)&where)->sin6_addr = in6addr_loopback;
    int listening = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listening, (struct sockaddr *)&where, len), 0);
    assert_int_equal(listen(listening, 1), 0);
    assert_int_equal(getsockname(listening, (struct sockaddr *)&where, &len), 0);
    fds[1] = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fds[1], (struct sockaddr *)&where, len), 0);
    fds[0] = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    assert_true(fds[0] >= 0);
    close(listening);
}

static void open_tcp(owner *o)
{
    int fds[2];
    tcp_pair(AF_INET, fds);
    assert_int_equal(open_stream(o, fds[0], fds[1], false), 0);
}

/* So that it is soon full. */
static void shrink(const owner *o)
{
    int bytes = 4096;
    setsockopt(stream_under(o)->source.fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
}

static void reset_owners(void)
{
    memset(owners, 0, sizeof owners);
    owners[0].peer = owners[1].peer = -1;
}

static int start(void **state)
{
    (void)state;
    reset_owners();
    if (loop_init(&the_loop, &the_loop))
        return -1;
    return net_init(&the_net, &the_loop, NULL);
}

static int stop(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_OF(owners); i++) {
        if (owners[i].sink)
            owners[i].sink->ops->abort(owners[i].sink);
        if (owners[i].peer >= 0)
            close(owners[i].peer);
    }
    net_done(&the_net);
    assert_int_equal(the_net.n_streams, 0);
    assert_int_equal(the_net.queued_bytes, 0);
    loop_done(&the_loop);
    return 0;
}

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void turn(void)
{
    assert_int_equal(loop_step(&the_loop, 0), 0);
}

/* Turns until the owner has noted so many events. */
static void turn_until(const owner *o, size_t n_events)
{
    uint64_t until = now_ms() + PATIENCE_MS;
    while (o->n_events < n_events) {
        assert_true(now_ms() < until);
        assert_int_equal(loop_step(&the_loop, 10), 0);
    }
}

static void turn_until_closed(void)
{
    uint64_t until = now_ms() + PATIENCE_MS;
    while (the_net.n_streams) {
        assert_true(now_ms() < until);
        assert_int_equal(loop_step(&the_loop, 10), 0);
    }
}

static void closes_before_it_is_cut(void)
{
    uint64_t until = now_ms() + NET_LINGER_MS - 500;
    turn_until_closed();
    assert_true(now_ms() < until);
}

static size_t count_descriptors(void)
{
    size_t n = 0;
    DIR *dir = opendir("/proc/self/fd");
    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
}

/* ---- the peer ---- */

static void peer_puts(const owner *o, const char *text)
{
    assert_int_equal(send(o->peer, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Reads until `want` bytes are there or the stream ends, while the loop turns. The number of bytes. */
static size_t peer_reads(const owner *o, char *into, size_t want)
{
    uint64_t until = now_ms() + PATIENCE_MS;
    size_t n = 0;
    while (n < want) {
        ssize_t got = recv(o->peer, into + n, want - n, MSG_DONTWAIT);
        if (got == 0 || (got < 0 && errno != EAGAIN))
            break;
        n += got > 0 ? (size_t)got : 0;
        assert_true(now_ms() < until);
        assert_int_equal(loop_step(&the_loop, got > 0 ? 0 : 10), 0);
    }
    return n;
}

static void peer_gets(const owner *o, const char *text)
{
    char got[512];
    assert_true(strlen(text) < sizeof got);
    assert_int_equal(peer_reads(o, got, strlen(text)), strlen(text));
    assert_memory_equal(got, text, strlen(text));
}

static void peer_gets_nothing(const owner *o)
{
    char byte;
    assert_int_equal(recv(o->peer, &byte, 1, MSG_DONTWAIT), -1);
    assert_int_equal(errno, EAGAIN);
}

static void peer_gets_end(const owner *o)
{
    char byte;
    assert_int_equal(peer_reads(o, &byte, 1), 0);
    assert_int_equal(recv(o->peer, &byte, 1, MSG_DONTWAIT), 0);
}

/* ---- what owners write ---- */

/* Bytes without a period, so that nothing lost, doubled or swapped goes unseen. */
static char pattern(size_t at)
{
    uint32_t x = (uint32_t)at * 2654435761u;
    return (char)(x >> 24 ^ x >> 13);
}

static str fill(owner *o, char *at, size_t len)
{
    for (size_t i = 0; i < len; i++)
        at[i] = pattern(o->out + i);
    o->out += len;
    return (str){at, len};
}

static void put(owner *o, const sink_piece *piece)
{
    if (o->sink && o->sink->ops->write(o->sink, piece)) {
        o->sink->ops->abort(o->sink);
        o->sink = NULL;
        o->failed = true;
    }
}

static void put_text(owner *o, const char *text)
{
    put(o, &(sink_piece){.head = str_from(text)});
}

static void put_pattern(owner *o, size_t len)
{
    static char bytes[256 * 1024];
    assert_true(len <= sizeof bytes);
    put(o, &(sink_piece){.body = fill(o, bytes, len)});
}

static void put_owned(owner *o, size_t len)
{
    chunk *c = chunk_new(&the_loop.blocks, len);
    if (!c) {
        if (o->sink)
            o->sink->ops->abort(o->sink);
        o->sink = NULL;
        o->failed = true;
        return;
    }
    c->len = len;
    put(o, &(sink_piece){.body = fill(o, c->bytes, len), .owner = c});
    chunk_unref(&the_loop.blocks, c);
}

/* Whatever of it the peer has not yet got. */
static void peer_gets_pattern(owner *o)
{
    while (o->in < o->out) {
        size_t want = o->out - o->in < N_SCRATCH ? o->out - o->in : N_SCRATCH;
        assert_int_equal(peer_reads(o, scratch, want), want);
        for (size_t i = 0; i < want; i++, o->in++)
            if (scratch[i] != pattern(o->in))
                fail_msg("byte %zu of %zu is wrong", o->in, o->out);
    }
}

static void end(owner *o)
{
    o->sink->ops->end(o->sink);
    o->sink = NULL;
}

static void cut(owner *o)
{
    o->sink->ops->abort(o->sink);
    o->sink = NULL;
}

static void pause_reading(owner *o, bool paused)
{
    o->sink->ops->pause(o->sink, paused);
}

/* ---- reading ---- */

static size_t take_line(owner *o, char *at, size_t len)
{
    const char *end_of_line = memchr(at, '\n', len);
    return end_of_line ? consume(o, at, (size_t)(end_of_line - at) + 1) : 0;
}

static void stream__keeps_what_the_owner_does_not_consume(void **state)
{
    (void)state;
    owner *o = &owners[0];
    o->data = take_line;
    assert_int_equal(open_unix(o), 0);
    peer_puts(o, "one\ntw");
    turn();
    assert_string_equal(o->got, "one\n");
    assert_non_null(stream_under(o)->more->unread);
    peer_puts(o, "o");
    turn();
    assert_string_equal(o->got, "one\n");
    peer_puts(o, "\nthree\nfour");
    turn();
    assert_string_equal(o->got, "one\ntwo\nthree\n");
    peer_puts(o, "\n");
    turn();
    assert_string_equal(o->got, "one\ntwo\nthree\nfour\n");
    assert_null(stream_under(o)->more); /* an idle connection owns no buffer */
}

static void stream__feeds_again_at_once_after_progress(void **state)
{
    (void)state;
    owner *o = &owners[0];
    o->data = take_line;
    assert_int_equal(open_unix(o), 0);
    peer_puts(o, "a\nb\nc");
    turn();
    assert_string_equal(o->got, "a\nb\n");
    assert_string_equal(o->events, "ddd");
    assert_int_equal(the_net.n_receives, 1);
    turn();
    assert_string_equal(o->events, "ddd"); /* nothing came: not asked again */
}

static void stream__takes_input_byte_by_byte(void **state)
{
    (void)state;
    owner *o = &owners[0];
    const char *text = "some\nlines\n\nof text\n";
    o->data = take_line;
    assert_int_equal(open_unix(o), 0);
    for (const char *at = text; *at; at++) {
        peer_puts(o, (char[]){*at, '\0'});
        turn();
    }
    assert_string_equal(o->got, text);
}

static size_t refuse_all(owner *o, char *at, size_t len)
{
    (void)o, (void)at, (void)len;
    return 0;
}

/* More than any chunk had room for, again and again: the rest is kept, whole. */
static size_t take_all_but_half(owner *o, char *at, size_t len)
{
    for (size_t i = 0; i < len; i++)
        assert_int_equal(at[i], pattern(o->out + i));
    if (len < 2)
        return 0;
    o->out += len / 2;
    o->data = refuse_all; /* once a turn */
    return len / 2;
}

static void stream__keeps_a_rest_of_any_size(void **state)
{
    (void)state;
    owner *o = &owners[0];
    size_t sent = 0;
    assert_int_equal(open_unix(o), 0);
    for (size_t len = 1; len < 100000; len = len * 3 + 1) {
        for (size_t i = 0; i < len; i++)
            scratch[i] = pattern(sent++);
        assert_int_equal(send(o->peer, scratch, len, 0), len);
        o->data = refuse_all;
        turn();
        assert_int_equal(stream_under(o)->more->unread->len, sent - o->out);
        o->data = take_all_but_half;
        stream_under(o)->base.ops->rebind(o->sink);
        o->n_events = 0;
        turn();
        o->data = refuse_all;
    }
    assert_true(o->out > 40000);
}

/* ---- pausing ---- */

static void stream__gives_nothing_while_paused_and_all_afterwards(void **state)
{
    (void)state;
    owner *o = &owners[0];
    assert_int_equal(open_unix(o), 0);
    pause_reading(o, true);
    peer_puts(o, "one ");
    turn();
    peer_puts(o, "two");
    turn();
    assert_string_equal(o->events, "");
    assert_int_equal(the_net.n_receives, 0);
    pause_reading(o, false);
    turn();
    assert_string_equal(o->got, "one two");
    turn();
    assert_string_equal(o->events, "d");
}

static size_t take_line_and_pause(owner *o, char *at, size_t len)
{
    size_t taken = take_line(o, at, len);
    if (taken)
        pause_reading(o, true);
    return taken;
}

static void stream__paused_inside_data_keeps_the_rest(void **state)
{
    (void)state;
    owner *o = &owners[0];
    o->data = take_line_and_pause;
    assert_int_equal(open_unix(o), 0);
    peer_puts(o, "a\nb\nc");
    turn();
    assert_string_equal(o->got, "a\n");
    peer_puts(o, "c\nd\n");
    turn();
    assert_string_equal(o->events, "d");
    const char *expected[] = {"a\nb\n", "a\nb\ncc\n", "a\nb\ncc\nd\n"};
    for (size_t i = 0; i < N_OF(expected); i++) {
        pause_reading(o, false);
        turn();
        turn();
        assert_string_equal(o->got, expected[i]);
    }
    pause_reading(o, false);
    turn();
    assert_string_equal(o->got, expected[2]);
}

static size_t pause_and_resume(owner *o, char *at, size_t len)
{
    pause_reading(o, true);
    pause_reading(o, false);
    return take_line(o, at, len);
}

static void stream__pause_and_resume_inside_data_change_nothing(void **state)
{
    (void)state;
    owner *o = &owners[0];
    o->data = pause_and_resume;
    assert_int_equal(open_unix(o), 0);
    peer_puts(o, "a\nb\nc");
    turn();
    assert_string_equal(o->got, "a\nb\n");
    assert_string_equal(o->events, "ddd");
    peer_puts(o, "\nd");
    turn();
    peer_puts(o, "\n");
    turn();
    assert_string_equal(o->got, "a\nb\nc\nd\n");
}

static void stream__resumed_twice_or_paused_again_doubles_nothing(void **state)
{
    (void)state;
    owner *o = &owners[0];
    o->data = take_line_and_pause;
    assert_int_equal(open_unix(o), 0);
    peer_puts(o, "a\nb\nc\n");
    turn();
    pause_reading(o, false);
    pause_reading(o, true);
    turn();
    assert_string_equal(o->got, "a\n");
    pause_reading(o, false);
    pause_reading(o, false);
    turn();
    assert_string_equal(o->got, "a\nb\n");
    o->data = NULL;
    pause_reading(o, false);
    turn();
    assert_string_equal(o->got, "a\nb\nc\n");
}

/* A program may resume between two turns (weft_step); the end of the stream is then seen before the task that hands over the bytes. */
static void stream__resumed_gives_bytes_before_the_end_of_the_stream(void **state)
{
    (void)state;
    owner *o = &owners[0];
    o->data = take_line_and_pause;
    assert_int_equal(open_unix(o), 0);
    peer_puts(o, "a\nb\n");
    turn();
    shutdown(o->peer, SHUT_WR);
    o->data = NULL;
    pause_reading(o, false);
    turn();
    turn();
    assert_string_equal(o->got, "a\nb\n");
    assert_string_equal(o->events, "dde");
}

/* The other end of a Unix socket closes: the hang-up is told at once, while its last bytes are still to be read. */
static void stream__paused_loses_no_byte_of_a_peer_that_closes(void **state)
{
    (void)state;
    owner *o = &owners[0];
    assert_int_equal(open_unix(o), 0);
    pause_reading(o, true);
    peer_puts(o, "last words");
    close(o->peer);
    o->peer = -1;
    uint64_t n_wakes = the_loop.n_wakes;
    for (int i = 0; i < 5; i++)
        assert_int_equal(loop_step(&the_loop, 1), 0);
    assert_string_equal(o->events, "");
    assert_int_equal(the_loop.n_wakes - n_wakes, 5);
    pause_reading(o, false);
    turn();
    turn();
    assert_string_equal(o->got, "last words");
    assert_string_equal(o->events, "de");
}

/* ---- changing hands ---- */

static void hand_over(owner *from, owner *to)
{
    to->sink = from->sink;
    from->sink = NULL;
    sink_bind(to->sink, &scripted, to);
    to->sink->ops->rebind(to->sink);
}

static size_t take_line_and_hand_over(owner *o, char *at, size_t len)
{
    size_t taken = take_line(o, at, len);
    hand_over(o, &owners[1]);
    return taken;
}

static void stream__rebound_inside_data_feeds_the_new_owner_at_once(void **state)
{
    (void)state;
    owners[0].data = take_line_and_hand_over;
    assert_int_equal(open_unix(&owners[0]), 0);
    peer_puts(&owners[0], "head\nrest");
    turn();
    assert_string_equal(owners[0].got, "head\n");
    assert_string_equal(owners[0].events, "d");
    assert_string_equal(owners[1].got, "rest");
    assert_string_equal(owners[1].events, "d");
}

static void stream__rebound_inside_data_without_progress_feeds_the_new_owner(void **state)
{
    (void)state;
    owners[0].data = take_line_and_hand_over;
    assert_int_equal(open_unix(&owners[0]), 0);
    peer_puts(&owners[0], "rest");
    turn();
    assert_string_equal(owners[0].got, "");
    assert_string_equal(owners[1].got, "rest");
}

static void stream__rebound_later_feeds_what_is_unread(void **state)
{
    (void)state;
    owners[0].data = take_line;
    assert_int_equal(open_unix(&owners[0]), 0);
    peer_puts(&owners[0], "head\nrest");
    turn();
    turn();
    assert_string_equal(owners[0].got, "head\n");
    hand_over(&owners[0], &owners[1]);
    assert_string_equal(owners[1].events, ""); /* not on the caller's stack */
    turn();
    assert_string_equal(owners[1].got, "rest");
    assert_string_equal(owners[0].events, "dd");
}

static void stream__rebound_after_the_end_tells_the_new_owner_of_it(void **state)
{
    (void)state;
    owners[0].data = take_line;
    assert_int_equal(open_unix(&owners[0]), 0);
    peer_puts(&owners[0], "rest");
    shutdown(owners[0].peer, SHUT_WR);
    turn();
    turn();
    assert_string_equal(owners[0].events, "de");
    hand_over(&owners[0], &owners[1]);
    turn();
    turn();
    assert_string_equal(owners[1].events, "de");
    assert_string_equal(owners[1].got, "rest");
}

static void stream__rebound_while_paused_gives_bytes_before_the_end(void **state)
{
    (void)state;
    owners[0].data = take_line;
    assert_int_equal(open_unix(&owners[0]), 0);
    peer_puts(&owners[0], "rest");
    shutdown(owners[0].peer, SHUT_WR);
    turn();
    turn();
    pause_reading(&owners[0], true);
    hand_over(&owners[0], &owners[1]);
    turn();
    assert_string_equal(owners[1].events, "");
    pause_reading(&owners[1], false);
    turn();
    assert_string_equal(owners[1].events, "de");
}

/* ---- receiving where the owner wants it ---- */

static size_t take_in_place(owner *o, char *at, size_t len)
{
    assert_ptr_equal(at, o->room);
    assert_true(len <= o->room_len);
    return consume(o, at, len);
}

static void stream__receives_straight_into_room(void **state)
{
    (void)state;
    owner *o = &owners[0];
    char room[4];
    o->data = take_in_place;
    o->room = room;
    o->room_len = sizeof room;
    assert_int_equal(open_unix(o), 0);
    peer_puts(o, "abcdefghij");
    turn(); /* room that was filled is filled again in the same turn */
    assert_string_equal(o->got, "abcdefghij");
    assert_string_equal(o->events, "ddd");
}

static void stream__fills_room_a_bounded_number_of_times_a_turn(void **state)
{
    (void)state;
    owner *o = &owners[0];
    char room[1];
    o->data = take_in_place;
    o->room = room;
    o->room_len = sizeof room;
    assert_int_equal(open_unix(o), 0);
    peer_puts(o, "0123456789012345678901234567890123456789");
    turn();
    assert_true(the_net.n_receives < 20);
    for (int i = 0; i < 20; i++)
        turn();
    assert_string_equal(o->got, "0123456789012345678901234567890123456789");
}

static size_t take_in_place_and_pause(owner *o, char *at, size_t len)
{
    pause_reading(o, true);
    return take_in_place(o, at, len);
}

static size_t take_in_place_and_cut(owner *o, char *at, size_t len)
{
    cut(o);
    return take_in_place(o, at, len);
}

static void stream__fills_room_no_more_once_paused_or_gone(void **state)
{
    (void)state;
    char rooms[2][4];
    owners[0].data = take_in_place_and_pause;
    owners[1].data = take_in_place_and_cut;
    for (size_t i = 0; i < 2; i++) {
        owners[i].room = rooms[i];
        owners[i].room_len = sizeof rooms[i];
        assert_int_equal(open_unix(&owners[i]), 0);
        peer_puts(&owners[i], "abcdefghij");
    }
    turn();
    turn();
    assert_string_equal(owners[0].got, "abcd");
    assert_string_equal(owners[1].got, "abcd");
    pause_reading(&owners[0], false);
    turn();
    assert_string_equal(owners[0].got, "abcdefgh");
}

static void stream__puts_unread_bytes_in_front_rather_than_into_room(void **state)
{
    (void)state;
    owner *o = &owners[0];
    char room[4] = "";
    o->data = take_line;
    assert_int_equal(open_unix(o), 0);
    peer_puts(o, "ab");
    turn();
    o->room = room;
    o->room_len = sizeof room;
    peer_puts(o, "cd\n");
    turn();
    assert_string_equal(o->got, "abcd\n");
    assert_string_equal(o->events, "dd");
    peer_puts(o, "e\n");
    turn();
    assert_memory_equal(room, "e\n", 2);
    assert_string_equal(o->events, "ddd");
}

/* The descriptor can no longer be watched: out of memory in real life, here it is a file. */
static void stream__that_cannot_be_resumed_is_gone(void **state)
{
    (void)state;
    owner *o = &owners[0];
    assert_int_equal(open_unix(o), 0);
    pause_reading(o, true);
    peer_puts(o, "x");
    turn(); /* no longer watched for input */
    int fd = stream_under(o)->source.fd, file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    dup2(file, fd);
    close(file);
    pause_reading(o, false);
    assert_string_equal(o->events, "");
    turn();
    assert_string_equal(o->events, "g");
    assert_int_equal(the_net.n_streams, 0);
}

/* ---- writing ---- */

static void stream__sends_the_small_writes_of_a_turn_at_once(void **state)
{
    (void)state;
    owner *o = &owners[0];
    assert_int_equal(open_unix(o), 0);
    for (int i = 0; i < 50; i++)
        put(o, &(sink_piece){.head = STR("head "), .body = STR("body ")});
    assert_int_equal(o->sink->queued, 500);
    assert_int_equal(stream_under(o)->queue->n, 1); /* one span */
    peer_gets_nothing(o);
    turn();
    assert_int_equal(the_net.n_sends, 1);
    assert_int_equal(o->sink->queued, 0);
    assert_null(stream_under(o)->queue);
    peer_gets(o, "head body head body ");
    turn();
    assert_int_equal(the_net.n_sends, 1);
}

/* They lie in one buffer, one behind the other. */
static void stream__small_writes_of_two_streams_stay_apart(void **state)
{
    (void)state;
    assert_int_equal(open_unix(&owners[0]), 0);
    assert_int_equal(open_unix(&owners[1]), 0);
    for (int i = 0; i < 3; i++) {
        put_text(&owners[0], "first ");
        put_text(&owners[1], "second ");
    }
    peer_gets(&owners[0], "first first first ");
    peer_gets(&owners[1], "second second second ");
    peer_gets_nothing(&owners[0]);
    peer_gets_nothing(&owners[1]);
}

static void stream__sends_from_where_an_owned_body_lies(void **state)
{
    (void)state;
    owner *o = &owners[0];
    assert_int_equal(open_unix(o), 0);
    chunk *c = chunk_new(&the_loop.blocks, 100);
    memcpy(c->bytes, "0123456789", 10);
    c->len = 10;
    put(o, &(sink_piece){.head = STR("<"), .body = {c->bytes, 10}, .owner = c});
    put(o, &(sink_piece){.head = STR(">")});
    assert_int_equal(c->refs, 2);
    assert_int_equal(stream_under(o)->queue->n, 3);
    assert_ptr_equal(stream_under(o)->queue->spans[1].at, c->bytes);
    turn();
    assert_int_equal(c->refs, 1);
    assert_int_equal(the_net.n_sends, 1);
    peer_gets(o, "<0123456789>");
    chunk_unref(&the_loop.blocks, c);
}

static void stream__copies_a_large_body_that_nobody_keeps(void **state)
{
    (void)state;
    owner *o = &owners[0];
    char body[NET_COPY_BELOW_BYTES + 1];
    assert_int_equal(open_unix(o), 0);
    put(o, &(sink_piece){.body = fill(o, body, sizeof body)});
    memset(body, 'x', sizeof body);
    turn();
    peer_gets_pattern(o);
}

/* The head of an HTTP answer may be of any size: programs add fields to it. */
static void stream__copies_a_head_larger_than_the_cork(void **state)
{
    (void)state;
    owner *o = &owners[0];
    static char head[NET_CORK_BYTES * 3];
    assert_int_equal(open_unix(o), 0);
    put_pattern(o, 10);
    put(o, &(sink_piece){.head = fill(o, head, sizeof head), .body = STR("")});
    memset(head, 'x', sizeof head);
    put_pattern(o, 10);
    turn();
    peer_gets_pattern(o);
}

static size_t echo(owner *o, char *at, size_t len)
{
    put(o, &(sink_piece){.head = STR("<"), .body = {at, len}});
    put(o, &(sink_piece){.head = STR(">")});
    if (o->sink && len >= NET_COPY_BELOW_BYTES) {
        assert_null(stream_under(o)->queue->spans[1].owner); /* borrowed from the receive buffer */
        assert_ptr_equal(stream_under(o)->queue->spans[1].at, at);
    }
    return len;
}

static void stream__borrows_from_the_receive_buffer(void **state)
{
    (void)state;
    owner *o = &owners[0];
    char body[5000];
    o->data = echo;
    assert_int_equal(open_unix(o), 0);
    fill(o, body, sizeof body);
    assert_int_equal(send(o->peer, body, sizeof body, 0), sizeof body);
    turn();
    assert_int_equal(the_net.n_sends, 1);
    assert_int_equal(peer_reads(o, scratch, sizeof body + 2), sizeof body + 2);
    assert_int_equal(scratch[0], '<');
    assert_memory_equal(scratch + 1, body, sizeof body);
    assert_int_equal(scratch[sizeof body + 1], '>');
}

static size_t echo_behind_a_head(owner *o, char *at, size_t len)
{
    put(o, &(sink_piece){.head = STR("head"), .body = {at + 10, len - 10}, .room_in_front = true});
    return len;
}

/* The bytes in front are the caller's to give: a large body gets its head there, a small one is copied behind it. */
static void stream__puts_the_head_into_room_in_front(void **state)
{
    (void)state;
    static const size_t lengths[] = {5000, 30};
    owner *o = &owners[0];
    char body[5000];
    o->data = echo_behind_a_head;
    assert_int_equal(open_unix(o), 0);
    for (size_t i = 0; i < N_OF(lengths); i++) {
        size_t len = lengths[i];
        fill(o, body, len);
        assert_int_equal(send(o->peer, body, len, 0), len);
        assert_int_equal(peer_reads(o, scratch, len - 6), len - 6);
        assert_memory_equal(scratch, "head", 4);
        assert_memory_equal(scratch + 4, body + 10, len - 10);
        peer_gets_nothing(o);
    }
}

static size_t tell_another(owner *o, char *at, size_t len)
{
    put(&owners[1], &(sink_piece){.body = {at, len}});
    assert_non_null(stream_under(&owners[1])->queue->spans[0].owner);
    return consume(o, at, len);
}

/* Only the stream that is being read is flushed before the buffer is used again. */
static void stream__copies_what_was_received_for_another_stream(void **state)
{
    (void)state;
    char body[5000];
    owners[0].data = tell_another;
    assert_int_equal(open_unix(&owners[0]), 0);
    assert_int_equal(open_unix(&owners[1]), 0);
    fill(&owners[1], body, sizeof body);
    assert_int_equal(send(owners[0].peer, body, sizeof body, 0), sizeof body);
    turn();
    peer_gets_pattern(&owners[1]);
}

static size_t answer_with_the_message(owner *o, char *at, size_t len)
{
    chunk *c = chunk_new(&the_loop.blocks, 3000);
    c->len = 3000;
    fill(o, c->bytes, c->len);
    the_net.message = c;
    put(o, &(sink_piece){.body = {c->bytes + 500, 2500}});
    put(o, &(sink_piece){.body = {c->bytes + 100, 20}});
    the_net.message = NULL;
    assert_int_equal(c->refs, 2); /* the large part by reference, the small one copied */
    chunk_unref(&the_loop.blocks, c);
    return consume(o, at, len);
}

static void stream__refers_to_the_message_being_delivered(void **state)
{
    (void)state;
    owner *o = &owners[0];
    o->data = answer_with_the_message;
    assert_int_equal(open_unix(o), 0);
    peer_puts(o, "x");
    turn();
    assert_int_equal(peer_reads(o, scratch, 2520), 2520);
    for (size_t i = 0; i < 2500; i++)
        assert_int_equal(scratch[i], pattern(500 + i));
    for (size_t i = 0; i < 20; i++)
        assert_int_equal(scratch[2500 + i], pattern(100 + i));
}

/* Small, large, owned, and (with a place to put it) borrowed ones. */
static void put_mixed(owner *o, unsigned round, char *borrowed, size_t borrowed_len)
{
    put_pattern(o, round % 7 + 1);
    put_owned(o, 3000 + round % 5 * 7000);
    put_pattern(o, 1500);
    put_pattern(o, round % 3 ? NET_COPY_BELOW_BYTES : 9000);
    if (borrowed_len && o->sink)
        put(o, &(sink_piece){.head = fill(o, (char[3]){0}, 3), .body = fill(o, borrowed, borrowed_len)});
    put_owned(o, 10);
    put_pattern(o, 100);
}

static void stream__keeps_the_order_of_mixed_writes(void **state)
{
    (void)state;
    owner *o = &owners[0];
    assert_int_equal(open_unix(o), 0);
    for (unsigned i = 0; i < 30; i++) { /* more spans than one system call takes */
        put_pattern(o, 3);
        put_owned(o, 20);
        put_pattern(o, NET_COPY_BELOW_BYTES);
        put_pattern(o, 700);
    }
    peer_gets_pattern(o);
    put_mixed(o, 1, NULL, 0);
    peer_gets_pattern(o);
}

static void stream__sends_once_a_turn_when_it_is_not_being_read(void **state)
{
    (void)state;
    owner *o = &owners[0];
    assert_int_equal(open_unix(o), 0);
    put_mixed(o, 0, NULL, 0);
    turn();
    assert_int_equal(the_net.n_sends, 1);
    peer_gets_pattern(o);
}

/* ---- a socket that is full ---- */

/* Answers each piece that comes with all kinds of writes, one of them the piece itself, changed in place. */
static size_t answer_with_a_mixture(owner *o, char *at, size_t len)
{
    put_mixed(o, (unsigned)o->n_got++, at, len);
    return len;
}

/* Nothing that is queued may lie in memory that is used again: looked at between two turns. */
static void check_settled(const owner *o)
{
    const write_queue *q = stream_under(o)->queue;
    size_t queued = 0;
    for (uint32_t i = q->first; i < q->n; i++) {
        assert_non_null(q->spans[i].owner);
        assert_ptr_not_equal(q->spans[i].owner, the_net.cork);
        queued += q->spans[i].len;
    }
    assert_int_equal(queued, o->sink->queued);
    assert_int_equal(q->settled, q->n); /* and is not looked at again */
}

static void stream__brings_a_long_backlog_over_byte_for_byte(void **state)
{
    (void)state;
    owner *o = &owners[0];
    open_tcp(o);
    shrink(o);
    o->data = answer_with_a_mixture;
    while (o->sink->queued < BACKLOG_BYTES) {
        assert_true(send(o->peer, scratch, 60000 + o->n_got % 1000, MSG_DONTWAIT) > 0);
        o->n_events = 0;
        turn_until(o, 1);
        if (stream_under(o)->queue)
            check_settled(o);
    }
    peer_gets_pattern(o);
    assert_int_equal(o->sink->queued, 0);
    assert_null(stream_under(o)->queue);
    peer_gets_nothing(o);
    uint64_t n_wakes = the_loop.n_wakes;
    assert_int_equal(loop_step(&the_loop, 20), 0); /* EPOLLOUT is no longer watched */
    assert_int_equal(stream_under(o)->source.watched, EPOLLIN | EPOLLERR);
    assert_int_equal(the_loop.n_wakes - n_wakes, 1);
}

/* Fills the socket: nothing more goes out before the peer reads. */
static void stall(owner *o)
{
    shrink(o);
    put_pattern(o, 200 * 1000);
    for (uint64_t before = UINT64_MAX; before != the_net.n_sends || !stream_under(o)->queue;) {
        before = the_net.n_sends;
        if (!stream_under(o)->queue)
            put_pattern(o, 200 * 1000);
        assert_int_equal(loop_step(&the_loop, 5), 0);
    }
    assert_true(list_linked(&stream_under(o)->more->waiting));
}

static void stream__writes_of_a_full_socket_wait_without_a_system_call(void **state)
{
    (void)state;
    owner *o = &owners[0];
    assert_int_equal(open_unix(o), 0);
    stall(o);
    uint64_t n_sends = the_net.n_sends;
    for (int i = 0; i < 100; i++) {
        put_mixed(o, (unsigned)i, NULL, 0);
        turn();
        check_settled(o);
    }
    assert_int_equal(the_net.n_sends, n_sends);
    peer_gets_pattern(o);
}

/* What the chunks of a queue take together. */
static size_t queue_memory(const owner *o)
{
    const write_queue *q = stream_under(o)->queue;
    size_t bytes = q->block_bytes;
    for (uint32_t i = q->first; i < q->n; i++)
        if (i == q->first || q->spans[i].owner != q->spans[i - 1].owner)
            bytes += q->spans[i].owner->block_bytes;
    return bytes;
}

static void stream__small_writes_that_wait_pin_no_cork(void **state)
{
    (void)state;
    owner *o = &owners[0];
    assert_int_equal(open_unix(o), 0);
    stall(o);
    size_t before = queue_memory(o), queued = o->sink->queued;
    for (int i = 0; i < 1000; i++) {
        put_pattern(o, 100);
        turn();
    }
    queued = o->sink->queued - queued;
    assert_true(queued >= 100 * 1000);
    assert_true(queue_memory(o) - before < queued + queued / 2);
    peer_gets_pattern(o);
}

/* The others of the turn may have filled the cork, so that there is a new one by the time the queue is settled. */
static void stream__small_writes_that_wait_pin_no_earlier_cork(void **state)
{
    (void)state;
    owner *waits = &owners[0], *busy = &owners[1];
    assert_int_equal(open_unix(waits), 0);
    assert_int_equal(open_unix(busy), 0);
    stall(waits);
    size_t before = queue_memory(waits);
    for (int i = 0; i < 50; i++) {
        put_pattern(waits, 100);
        for (size_t n = 0; n < NET_CORK_BYTES; n += 1000)
            put_pattern(busy, 1000);
        turn();
        peer_gets_pattern(busy);
    }
    assert_true(queue_memory(waits) - before < 16 * 1024);
    peer_gets_pattern(waits);
}

static void stream__what_waits_is_put_into_no_chunk_that_others_hold(void **state)
{
    (void)state;
    owner *o = &owners[0];
    assert_int_equal(open_unix(o), 0);
    stall(o);
    chunk *c = chunk_new(&the_loop.blocks, 1000); /* has room behind its end */
    c->len = 600;
    put(o, &(sink_piece){.body = fill(o, c->bytes, c->len), .owner = c});
    put_pattern(o, 50);
    turn();
    assert_int_equal(c->refs, 2);
    assert_int_equal(c->len, 600);
    memset(c->bytes + c->len, 'x', 400);
    peer_gets_pattern(o);
    chunk_unref(&the_loop.blocks, c);
}

static void stream__eof_leaves_what_is_queued_to_be_sent(void **state)
{
    (void)state;
    owner *o = &owners[0];
    assert_int_equal(open_unix(o), 0);
    stall(o);
    shutdown(o->peer, SHUT_WR);
    turn_until(o, 1);
    assert_string_equal(o->events, "e");
    put_pattern(o, 5000);
    peer_gets_pattern(o);
    uint64_t n_wakes = the_loop.n_wakes;
    assert_int_equal(loop_step(&the_loop, 20), 0);
    assert_int_equal(the_loop.n_wakes - n_wakes, 1);
    assert_string_equal(o->events, "e");
    cut(o);
}

static void stream__eof_is_told_once_and_writing_goes_on(void **state)
{
    (void)state;
    owner *o = &owners[0];
    assert_int_equal(open_unix(o), 0);
    peer_puts(o, "bye");
    shutdown(o->peer, SHUT_WR);
    turn();
    turn();
    assert_string_equal(o->events, "de");
    put_text(o, "answer");
    peer_gets(o, "answer");
    turn();
    assert_string_equal(o->events, "de");
}

static void stream__a_peer_that_takes_nothing_is_given_up(void **state)
{
    (void)state;
    owner *o = &owners[0];
    assert_int_equal(open_unix(o), 0);
    stall(o);
    stream_under(o)->more->since_ms -= NET_WRITE_TIMEOUT_MS - 100;
    loop_arm(&the_loop, &the_net.tick, 0, the_net.tick.fire);
    turn();
    assert_string_equal(o->events, "");
    assert_true(timer_armed(&the_net.tick));
    stream_under(o)->more->since_ms -= 101;
    loop_arm(&the_loop, &the_net.tick, 0, the_net.tick.fire);
    turn();
    assert_string_equal(o->events, "g");
    assert_int_equal(o->error, -ETIMEDOUT);
    assert_int_equal(the_net.n_streams, 0);
}

static void stream__progress_puts_the_write_timeout_off(void **state)
{
    (void)state;
    owner *o = &owners[0];
    assert_int_equal(open_unix(o), 0);
    stall(o);
    put_pattern(o, 200 * 1000);
    stream_under(o)->more->since_ms -= NET_WRITE_TIMEOUT_MS;
    size_t queued = o->sink->queued;
    while (o->sink->queued == queued) {
        o->in += peer_reads(o, scratch, 1000);
        turn();
    }
    loop_arm(&the_loop, &the_net.tick, 0, the_net.tick.fire);
    turn();
    assert_string_equal(o->events, "");
    cut(o);
}

static void stream__the_longest_stalled_is_given_up_first(void **state)
{
    (void)state;
    assert_int_equal(open_unix(&owners[0]), 0);
    assert_int_equal(open_unix(&owners[1]), 0);
    stall(&owners[0]);
    stall(&owners[1]);
    stream_under(&owners[0])->more->since_ms -= NET_WRITE_TIMEOUT_MS;
    loop_arm(&the_loop, &the_net.tick, 0, the_net.tick.fire);
    turn();
    assert_string_equal(owners[0].events, "g");
    assert_string_equal(owners[1].events, "");
}

/* ---- files ---- */

enum { FILE_BYTES = 3 << 20 };

/* A file of the pattern, as if the owner had written it. */
static int pattern_file(owner *o, size_t offset, size_t len)
{
    int fd = memfd_create("stream", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)offset), 0);
    assert_int_equal(lseek(fd, 0, SEEK_END), offset);
    for (size_t at = 0; at < len; at += N_SCRATCH) {
        size_t n = len - at < N_SCRATCH ? len - at : N_SCRATCH;
        fill(o, scratch, n);
        assert_int_equal(write(fd, scratch, n), n);
    }
    return fd;
}

static void put_file(owner *o, size_t offset, size_t len)
{
    int fd = pattern_file(o, offset, len);
    assert_int_equal(o->sink->ops->write_file(o->sink, fd, offset, len), 0);
}

static void stream__sends_a_file(void **state)
{
    (void)state;
    owner *o = &owners[0];
    assert_int_equal(open_unix(o), 0);
    size_t n_descriptors = count_descriptors();
    for (size_t offset = 0; offset < 20000; offset += 5000) {
        put_file(o, offset, 10000);
        assert_int_equal(o->sink->queued, 10000);
        turn();
        assert_int_equal(o->sink->queued, 0);
        assert_int_equal(count_descriptors(), n_descriptors);
        peer_gets_pattern(o);
        peer_gets_nothing(o);
    }
}

static void stream__sends_a_file_behind_what_is_queued(void **state)
{
    (void)state;
    owner *o = &owners[0];
    assert_int_equal(open_unix(o), 0);
    put_pattern(o, 100);
    put_owned(o, 5000);
    put_file(o, 0, 70000);
    turn();
    assert_null(stream_under(o)->queue);
    peer_gets_pattern(o);
    put_pattern(o, 100); /* and then one may write again */
    peer_gets_pattern(o);
}

static void stream__sends_a_file_behind_a_full_socket(void **state)
{
    (void)state;
    owner *o = &owners[0];
    assert_int_equal(open_unix(o), 0);
    stall(o);
    put_file(o, 7, FILE_BYTES);
    uint64_t n_sends = the_net.n_sends;
    turn();
    assert_int_equal(the_net.n_sends, n_sends);
    peer_gets_pattern(o);
    assert_int_equal(o->sink->queued, 0);
    put_pattern(o, 100);
    peer_gets_pattern(o);
    uint64_t n_wakes = the_loop.n_wakes;
    assert_int_equal(loop_step(&the_loop, 20), 0); /* EPOLLOUT is no longer watched */
    assert_int_equal(the_loop.n_wakes - n_wakes, 1);
}

static void stream__sends_a_file_over_tcp(void **state)
{
    (void)state;
    owner *o = &owners[0];
    open_tcp(o);
    shrink(o);
    put_text(o, "head");
    put_file(o, 0, FILE_BYTES);
    peer_gets(o, "head");
    peer_gets_pattern(o);
    peer_gets_nothing(o);
}

/* Others get their turn, though the peer would take it all. */
static void stream__sends_a_bounded_part_of_a_file_in_a_turn(void **state)
{
    (void)state;
    owner *o = &owners[0];
    int room = 8 << 20;
    open_tcp(o);
    setsockopt(stream_under(o)->source.fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room);
    setsockopt(o->peer, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
    put_file(o, 0, FILE_BYTES);
    size_t left = FILE_BYTES;
    for (int i = 0; i < 3 && o->sink->queued; i++) {
        turn();
        assert_true(left - o->sink->queued <= 1 << 20);
        left = o->sink->queued;
    }
    peer_gets_pattern(o);
}

static void stream__tells_sent_of_a_file(void **state)
{
    (void)state;
    owner *o = &owners[0];
    assert_int_equal(open_unix(o), 0);
    o->sink->ops->notify(o->sink);
    put_file(o, 0, 1000);
    assert_string_equal(o->events, "");
    turn();
    assert_string_equal(o->events, "s");
    shrink(o);
    put_file(o, 0, FILE_BYTES);
    o->sink->ops->notify(o->sink);
    turn();
    assert_string_equal(o->events, "ss"); /* the first part of it */
    peer_gets_pattern(o);
    assert_string_equal(o->events, "ss");
}

static void stream__end_sends_a_file_to_its_end(void **state)
{
    (void)state;
    owner *o = &owners[0];
    assert_int_equal(open_unix(o), 0);
    size_t n_descriptors = count_descriptors();
    shrink(o);
    put_pattern(o, 5000);
    put_file(o, 0, FILE_BYTES);
    turn();
    end(o);
    peer_gets_pattern(o);
    peer_gets_end(o);
    close(o->peer);
    o->peer = -1;
    closes_before_it_is_cut();
    turn();
    assert_int_equal(count_descriptors(), n_descriptors - 2);
    assert_string_equal(o->events, "");
}

static void stream__abort_closes_a_file(void **state)
{
    (void)state;
    owner *o = &owners[0];
    for (int under_way = 0; under_way < 2; under_way++) {
        reset_owners();
        assert_int_equal(open_unix(o), 0);
        size_t n_descriptors = count_descriptors();
        put_file(o, 0, FILE_BYTES);
        if (under_way)
            turn();
        cut(o);
        turn();
        assert_int_equal(count_descriptors(), n_descriptors - 1);
        close(o->peer);
        o->peer = -1;
    }
}

static void stream__a_file_that_is_too_short_cuts_the_connection(void **state)
{
    (void)state;
    for (int ending = 0; ending < 2; ending++) {
        owner *o = &owners[ending];
        assert_int_equal(open_unix(o), 0);
        size_t n_descriptors = count_descriptors();
        int fd = pattern_file(o, 0, 1000);
        assert_int_equal(o->sink->ops->write_file(o->sink, fd, 10, 1000), 0);
        o->in = 10;
        if (ending)
            end(o);
        turn();
        turn();
        assert_string_equal(o->events, ending ? "" : "g");
        assert_int_equal(o->error, ending ? 0 : -EIO);
        peer_gets_pattern(o);
        peer_gets_end(o);
        assert_int_equal(count_descriptors(), n_descriptors - 1);
    }
}

static int n_pipe_signals;

static void count_pipe_signal(int number)
{
    (void)number;
    n_pipe_signals++;
}

/* sendfile() would raise SIGPIPE, which ends a program that does not expect it. */
static void stream__a_file_to_a_closed_peer_is_told_as_gone(void **state)
{
    (void)state;
    struct sigaction before, counts = {.sa_handler = count_pipe_signal};
    n_pipe_signals = 0;
    assert_int_equal(sigaction(SIGPIPE, &counts, &before), 0);
    owner *o = &owners[0];
    assert_int_equal(open_unix(o), 0);
    size_t n_descriptors = count_descriptors();
    put_file(o, 0, FILE_BYTES);
    close(o->peer);
    o->peer = -1;
    turn();
    turn();
    assert_string_equal(o->events, "eg");
    assert_int_equal(o->error, -EPIPE);
    assert_int_equal(count_descriptors(), n_descriptors - 2);
    assert_int_equal(n_pipe_signals, 0);
    raise(SIGPIPE); /* those of others arrive */
    assert_int_equal(n_pipe_signals, 1);
    sigaction(SIGPIPE, &before, NULL);
}

static void stream__a_peer_that_takes_nothing_of_a_file_is_given_up(void **state)
{
    (void)state;
    owner *o = &owners[0];
    assert_int_equal(open_unix(o), 0);
    shrink(o);
    put_file(o, 0, FILE_BYTES);
    turn();
    turn();
    size_t n_descriptors = count_descriptors();
    stream_under(o)->more->since_ms -= NET_WRITE_TIMEOUT_MS;
    loop_arm(&the_loop, &the_net.tick, 0, the_net.tick.fire);
    turn();
    assert_string_equal(o->events, "g");
    assert_int_equal(o->error, -ETIMEDOUT);
    turn();
    assert_int_equal(count_descriptors(), n_descriptors - 2);
}

static void stream__a_file_without_memory_is_closed(void **state)
{
    (void)state;
    owner *o = &owners[0];
    assert_int_equal(open_unix(o), 0);
    size_t n_descriptors = count_descriptors();
    int fd = pattern_file(o, 0, 100);
    mem_fail_from(1);
    assert_int_equal(o->sink->ops->write_file(o->sink, fd, 0, 100), -ENOMEM);
    mem_fail_from(0);
    assert_int_equal(count_descriptors(), n_descriptors);
    assert_int_equal(o->sink->queued, 0);
    cut(o);
}

/* ---- slow readers ---- */

static void look_at_the_stalled(const owner *o)
{
    stream_under(o)->more->since_ms -= NET_WRITE_TIMEOUT_MS;
    loop_arm(&the_loop, &the_net.tick, 0, the_net.tick.fire);
    turn();
}

/* The socket is not writable again before much of it is free; the peer that reads a little of it is there nevertheless. */
static void stream__a_slow_reader_is_known_by_what_it_takes(void **state)
{
    (void)state;
    owner *o = &owners[0];
    assert_int_equal(open_unix(o), 0);
    for (int i = 0; !stream_under(o)->stalled; i++) {
        put_pattern(o, 4000);
        turn();
    }
    size_t queued = o->sink->queued;
    for (int i = 0; i < 3; i++) {
        int held = stream_under(o)->more->unacknowledged;
        assert_int_equal(recv(o->peer, scratch, 8000, MSG_DONTWAIT), 8000);
        look_at_the_stalled(o);
        assert_string_equal(o->events, "");
        assert_int_equal(o->sink->queued, queued); /* nothing could be written */
        assert_in_range(stream_under(o)->more->unacknowledged, 1, held - 8000);
        assert_true((uint32_t)the_loop.now_ms - stream_under(o)->more->since_ms < NET_WRITE_TIMEOUT_MS);
    }
    look_at_the_stalled(o);
    assert_string_equal(o->events, "g");
    assert_int_equal(o->error, -ETIMEDOUT);
}

/* Small bodies of many messages that wait: their images are let go, their bytes kept. */
static void stream__small_owned_bodies_that_wait_are_copied(void **state)
{
    (void)state;
    owner *o = &owners[0];
    assert_int_equal(open_unix(o), 0);
    stall(o);
    chunk *image = chunk_new(&the_loop.blocks, 511);
    image->len = 511;
    for (int i = 0; i < 1000; i++) {
        char bytes[511];
        fill(o, bytes, sizeof bytes);
        memcpy(image->bytes, bytes, sizeof bytes);
        put(o, &(sink_piece){.body = {image->bytes, image->len}, .owner = image});
        assert_int_equal(image->refs, 1);
        if (i % 100 == 0)
            turn();
    }
    turn();
    peer_gets_pattern(o);
    chunk_unref(&the_loop.blocks, image);
}

static void stream__large_owned_bodies_that_wait_are_kept(void **state)
{
    (void)state;
    owner *o = &owners[0];
    assert_int_equal(open_unix(o), 0);
    stall(o);
    chunk *image = chunk_new(&the_loop.blocks, 512);
    image->len = 512;
    put(o, &(sink_piece){.body = fill(o, image->bytes, image->len), .owner = image});
    assert_int_equal(image->refs, 2);
    peer_gets_pattern(o);
    assert_int_equal(image->refs, 1);
    chunk_unref(&the_loop.blocks, image);
}

/* Not stalled yet, but as many in one turn as one system call takes. */
static void stream__small_owned_bodies_are_copied_once_they_are_many(void **state)
{
    (void)state;
    owner *o = &owners[0];
    assert_int_equal(open_unix(o), 0);
    chunk *image = chunk_new(&the_loop.blocks, 100);
    image->len = 100;
    fill(o, image->bytes, image->len);
    for (uint32_t i = 1; i <= 100; i++) {
        put(o, &(sink_piece){.body = {image->bytes, image->len}, .owner = image});
        assert_int_equal(image->refs, i < 64 ? i + 1 : 65);
    }
    turn();
    assert_int_equal(image->refs, 1);
    assert_int_equal(peer_reads(o, scratch, 10000), 10000);
    for (size_t i = 0; i < 100; i++)
        assert_memory_equal(scratch + i * 100, image->bytes, 100);
    chunk_unref(&the_loop.blocks, image);
}

/* ---- notify ---- */

static void stream__tells_sent_once_for_each_notify(void **state)
{
    (void)state;
    owner *o = &owners[0];
    assert_int_equal(open_unix(o), 0);
    put_text(o, "a");
    turn();
    assert_string_equal(o->events, "");
    o->sink->ops->notify(o->sink);
    o->sink->ops->notify(o->sink);
    turn();
    assert_string_equal(o->events, ""); /* nothing was queued */
    put_text(o, "b");
    assert_string_equal(o->events, "");
    turn();
    assert_string_equal(o->events, "s");
    put_text(o, "c");
    turn();
    assert_string_equal(o->events, "s");
}

static void stream__tells_sent_when_a_full_socket_takes_more(void **state)
{
    (void)state;
    owner *o = &owners[0];
    assert_int_equal(open_unix(o), 0);
    stall(o);
    o->sink->ops->notify(o->sink);
    turn();
    assert_string_equal(o->events, "");
    peer_gets_pattern(o);
    assert_string_equal(o->events, "s");
}

static size_t answer_a_line(owner *o, char *at, size_t len)
{
    size_t taken = take_line(o, at, len);
    put_text(o, "x");
    o->sink->ops->notify(o->sink);
    pause_reading(o, true);
    return taken;
}

static void resume(owner *o)
{
    pause_reading(o, false);
}

/* As a transport does that stops reading while its own queue is full. */
static void stream__resumed_inside_sent_loses_no_byte(void **state)
{
    (void)state;
    owner *o = &owners[0];
    o->data = answer_a_line;
    o->event = resume;
    assert_int_equal(open_unix(o), 0);
    peer_puts(o, "a\nb\nc\n");
    turn();
    turn();
    assert_string_equal(o->got, "a\nb\nc\n");
    assert_string_equal(o->events, "dsdsds");
}

static void stream__tells_nothing_of_what_is_sent_after_end(void **state)
{
    (void)state;
    owner *o = &owners[0];
    assert_int_equal(open_unix(o), 0);
    o->sink->ops->notify(o->sink);
    put_text(o, "bye");
    end(o);
    turn();
    assert_string_equal(o->events, "");
    peer_gets(o, "bye");
}

/* ---- ends ---- */

static void stream__end_sends_everything_and_awaits_the_peers_end(void **state)
{
    (void)state;
    owner *o = &owners[0];
    open_tcp(o);
    stall(o);
    put_mixed(o, 3, NULL, 0);
    end(o);
    o->room = scratch; /* nobody may be asked for it any more */
    o->room_len = N_SCRATCH;
    turn();
    peer_gets_pattern(o);
    peer_gets_end(o);
    turn();
    assert_int_equal(the_net.n_streams, 1); /* lingers */
    peer_puts(o, "what the other end had still to say is read and dropped");
    turn();
    turn();
    assert_int_equal(the_net.n_streams, 1);
    shutdown(o->peer, SHUT_WR);
    closes_before_it_is_cut();
    assert_string_equal(o->events, "");
    assert_true(list_empty(&the_net.lingering) && !the_net.n_dirty);
}

static void stream__end_drops_what_is_unread_and_yet_to_come(void **state)
{
    (void)state;
    owner *o = &owners[0];
    o->data = take_line;
    open_tcp(o);
    peer_puts(o, "one\nhalf a li");
    turn_until(o, 2);
    put_text(o, "answer");
    peer_puts(o, "ne\n");
    const stream *s = stream_under(o);
    end(o);
    assert_null(stream_unread(s));
    peer_gets(o, "answer");
    peer_gets_end(o);
    assert_string_equal(o->got, "one\n");
    assert_string_equal(o->events, "dd");
}

/* A reset would take from the client what it has not yet read: so all that it sends is read until its own end. */
static void stream__end_with_input_left_resets_nothing(void **state)
{
    (void)state;
    owner *o = &owners[0];
    open_tcp(o);
    pause_reading(o, true);
    for (int i = 0; i < 20; i++)
        peer_puts(o, "a request that nobody reads");
    turn();
    put_pattern(o, 30000);
    int left = 1, fd = stream_under(o)->source.fd;
    end(o);
    turn();
    turn();
    assert_int_equal(ioctl(fd, FIONREAD, &left), 0);
    assert_int_equal(left, 0);
    shutdown(o->peer, SHUT_WR);
    closes_before_it_is_cut();
    peer_gets_pattern(o);
    peer_gets_end(o);
}

static void stream__end_before_eof_is_told_nothing_of_it(void **state)
{
    (void)state;
    owner *o = &owners[0];
    assert_int_equal(open_unix(o), 0);
    stall(o);
    end(o);
    shutdown(o->peer, SHUT_WR);
    turn();
    turn();
    assert_int_equal(the_net.n_streams, 1); /* there is still something to send */
    peer_gets_pattern(o);
    peer_gets_end(o);
    assert_int_equal(the_net.n_streams, 0);
    assert_string_equal(o->events, "");
}

static void stream__end_after_eof_closes_at_once(void **state)
{
    (void)state;
    owner *o = &owners[0];
    open_tcp(o);
    shutdown(o->peer, SHUT_WR);
    turn_until(o, 1);
    put_text(o, "answer");
    end(o);
    turn();
    assert_int_equal(the_net.n_streams, 0);
    peer_gets(o, "answer");
    peer_gets_end(o);
}

static void stream__a_lingering_end_is_cut_in_time(void **state)
{
    (void)state;
    owner *o = &owners[0];
    open_tcp(o);
    stream *s = stream_under(o);
    end(o);
    turn();
    peer_gets_end(o);
    assert_true(timer_armed(&the_net.tick));
    s->more->since_ms -= NET_LINGER_MS - 500;
    loop_arm(&the_loop, &the_net.tick, 0, the_net.tick.fire);
    turn();
    assert_int_equal(the_net.n_streams, 1);
    assert_true(timer_armed(&the_net.tick));
    s->more->since_ms -= 500;
    loop_arm(&the_loop, &the_net.tick, 0, the_net.tick.fire);
    turn();
    assert_int_equal(the_net.n_streams, 0);
    assert_false(timer_armed(&the_net.tick));
    assert_string_equal(o->events, "");
}

static void stream__end_while_stalled_keeps_the_write_timeout(void **state)
{
    (void)state;
    owner *o = &owners[0];
    assert_int_equal(open_unix(o), 0);
    stall(o);
    stream *s = stream_under(o);
    end(o);
    turn();
    s->more->since_ms -= NET_WRITE_TIMEOUT_MS;
    loop_arm(&the_loop, &the_net.tick, 0, the_net.tick.fire);
    turn();
    assert_int_equal(the_net.n_streams, 0);
    assert_string_equal(o->events, "");
}

static void stream__abort_drops_what_is_queued(void **state)
{
    (void)state;
    owner *o = &owners[0];
    assert_int_equal(open_unix(o), 0);
    size_t n = count_descriptors();
    put_mixed(o, 0, NULL, 0);
    cut(o);
    assert_int_equal(count_descriptors(), n - 1);
    assert_int_equal(the_net.n_streams, 0);
    turn();
    peer_gets_end(o);
    assert_int_equal(the_net.n_sends, 0);
    assert_string_equal(o->events, "");
}

static void reset(owner *o)
{
    setsockopt(o->peer, SOL_SOCKET, SO_LINGER, &(struct linger){.l_onoff = 1}, sizeof(struct linger));
    close(o->peer);
    o->peer = -1;
}

static void stream__a_reset_is_told_once(void **state)
{
    (void)state;
    owner *o = &owners[0];
    open_tcp(o);
    reset(o);
    turn_until(o, 1);
    turn();
    assert_string_equal(o->events, "g");
    assert_int_equal(o->error, -ECONNRESET);
    assert_int_equal(the_net.n_streams, 0);
}

static void stream__a_reset_is_seen_while_paused_or_after_eof(void **state)
{
    (void)state;
    open_tcp(&owners[0]);
    pause_reading(&owners[0], true);
    reset(&owners[0]);
    turn_until(&owners[0], 1);
    assert_string_equal(owners[0].events, "g");
    assert_int_equal(owners[0].error, -ECONNRESET);

    open_tcp(&owners[1]);
    shutdown(owners[1].peer, SHUT_WR);
    turn_until(&owners[1], 1);
    reset(&owners[1]);
    turn_until(&owners[1], 2);
    assert_string_equal(owners[1].events, "eg");
}

static void stream__a_reset_after_end_is_not_told(void **state)
{
    (void)state;
    owner *o = &owners[0];
    open_tcp(o);
    stall(o);
    end(o);
    turn();
    reset(o);
    turn_until_closed();
    assert_string_equal(o->events, "");
}

static void stream__a_write_to_a_closed_peer_is_told_as_gone(void **state)
{
    (void)state;
    owner *o = &owners[0];
    assert_int_equal(open_unix(o), 0);
    close(o->peer);
    o->peer = -1;
    put_text(o, "x"); /* sent before the loop has looked for the hang-up */
    the_net.flush.run(&the_net.flush);
    loop_undefer(&the_loop, &the_net.flush);
    assert_string_equal(o->events, "g");
    assert_int_equal(o->error, -EPIPE);
    turn();
    assert_string_equal(o->events, "g");
}

/* ---- letting go inside events ---- */

static size_t end_inside_data(owner *o, char *at, size_t len)
{
    put_text(o, "bye");
    end(o);
    return consume(o, at, len) / 2;
}

static size_t cut_inside_data(owner *o, char *at, size_t len)
{
    put_text(o, "bye");
    put(o, &(sink_piece){.body = {at, len}});
    cut(o);
    return consume(o, at, len) / 2;
}

static void stream__ended_or_aborted_inside_data_is_told_nothing_more(void **state)
{
    (void)state;
    owners[0].data = end_inside_data;
    owners[1].data = cut_inside_data;
    open_tcp(&owners[0]);
    open_tcp(&owners[1]);
    for (size_t i = 0; i < 2; i++)
        peer_puts(&owners[i], "one\ntwo\n");
    turn_until(&owners[0], 1);
    turn_until(&owners[1], 1);
    peer_gets(&owners[0], "bye");
    peer_gets_end(&owners[0]);
    assert_int_equal(peer_reads(&owners[1], scratch, 1), 0);
    assert_int_equal(the_net.n_streams, 1); /* the ended one lingers */
    for (size_t i = 0; i < 2; i++)
        assert_string_equal(owners[i].events, "d");
}

/* The same with bytes that were unread, which then lie in a chunk. */
static void stream__ended_or_aborted_over_unread_bytes_is_told_nothing_more(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        owners[i].data = take_line_and_pause;
        assert_int_equal(open_unix(&owners[i]), 0);
        peer_puts(&owners[i], "a\nb\nc\n");
    }
    turn();
    owners[0].data = end_inside_data;
    owners[1].data = cut_inside_data;
    const stream *ended = stream_under(&owners[0]);
    for (size_t i = 0; i < 2; i++)
        pause_reading(&owners[i], false);
    turn();
    assert_null(stream_unread(ended)); /* lingers without it */
    turn();
    for (size_t i = 0; i < 2; i++)
        assert_string_equal(owners[i].events, "dd");
    peer_gets(&owners[0], "bye");
    peer_gets_end(&owners[0]);
    peer_gets_end(&owners[1]);
}

static void put_and_end(owner *o)
{
    put_text(o, "bye");
    end(o);
}

static void put_and_cut(owner *o)
{
    put_text(o, "bye");
    cut(o);
}

static void stream__ended_or_aborted_inside_eof(void **state)
{
    (void)state;
    owners[0].event = put_and_end;
    owners[1].event = put_and_cut;
    for (size_t i = 0; i < 2; i++) {
        open_tcp(&owners[i]);
        shutdown(owners[i].peer, SHUT_WR);
    }
    turn_until_closed();
    peer_gets(&owners[0], "bye");
    peer_gets_end(&owners[0]);
    peer_gets_end(&owners[1]);
    for (size_t i = 0; i < 2; i++)
        assert_string_equal(owners[i].events, "e");
}

static void stream__ended_or_aborted_inside_sent(void **state)
{
    (void)state;
    owners[0].event = put_and_end;
    owners[1].event = put_and_cut;
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(open_unix(&owners[i]), 0);
        put_text(&owners[i], "a");
        owners[i].sink->ops->notify(owners[i].sink);
    }
    turn();
    peer_gets(&owners[0], "abye");
    peer_gets_end(&owners[0]);
    peer_gets(&owners[1], "a");
    peer_gets_end(&owners[1]);
    for (size_t i = 0; i < 2; i++)
        assert_string_equal(owners[i].events, "s");
}

/* The event `sent` comes while the bytes that were not consumed are still to be kept. */
static void stream__ended_or_aborted_inside_sent_with_bytes_unread(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        owners[i].data = take_line_and_pause;
        assert_int_equal(open_unix(&owners[i]), 0);
        peer_puts(&owners[i], "a\nb\nc\n");
        turn();
        owners[i].data = answer_a_line;
        owners[i].event = i ? put_and_cut : put_and_end;
        pause_reading(&owners[i], false);
    }
    turn();
    turn();
    for (size_t i = 0; i < 2; i++)
        assert_string_equal(owners[i].events, "dds");
    peer_gets(&owners[0], "xbye");
    peer_gets_end(&owners[0]);
}

static void stream__ended_or_aborted_inside_gone_is_harmless(void **state)
{
    (void)state;
    owners[0].event = put_and_end;
    owners[1].event = put_and_cut;
    for (size_t i = 0; i < 2; i++) {
        open_tcp(&owners[i]);
        reset(&owners[i]);
    }
    turn_until(&owners[0], 1);
    turn_until(&owners[1], 1);
    turn();
    for (size_t i = 0; i < 2; i++)
        assert_string_equal(owners[i].events, "g");
}

static size_t cut_the_other(owner *o, char *at, size_t len)
{
    owner *other = o == &owners[0] ? &owners[1] : &owners[0];
    if (other->sink)
        cut(other);
    return consume(o, at, len);
}

static void stream__may_be_aborted_by_another_of_the_same_turn(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        owners[i].data = cut_the_other;
        assert_int_equal(open_unix(&owners[i]), 0);
        peer_puts(&owners[i], "x");
    }
    turn();
    assert_int_equal(owners[0].n_events + owners[1].n_events, 1);
    assert_int_equal(the_net.n_streams, 1);
}

/* ---- what streams have in common ---- */

static void net__done_closes_what_lingers_stalls_or_was_just_ended(void **state)
{
    (void)state;
    loop own_loop;
    net own;
    assert_int_equal(loop_init(&own_loop, NULL), 0);
    assert_int_equal(net_init(&own, &own_loop, NULL), 0);
    int fds[2][2];
    size_t n = count_descriptors();
    for (size_t i = 0; i < 2; i++) {
        tcp_pair(AF_INET, fds[i]);
        stream *s = stream_new(&own, fds[i][0], false);
        sink_bind(&s->base, &scripted, &owners[i]);
        assert_int_equal(stream_start(s), 0);
        s->base.ops->write(&s->base, &(sink_piece){.head = STR("bye")});
        s->base.ops->end(&s->base);
        if (i == 0)
            loop_step(&own_loop, 0); /* this one lingers by now */
    }
    net_done(&own);
    assert_int_equal(own.n_streams, 0);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(recv(fds[i][1], scratch, 10, MSG_WAITALL), 3);
        close(fds[i][1]);
    }
    assert_int_equal(count_descriptors(), n);
    loop_done(&own_loop);
}

static void net__cut_lingering_tells_the_owners_of_stalled_streams(void **state)
{
    (void)state;
    open_tcp(&owners[0]);
    stall(&owners[0]);
    open_tcp(&owners[1]);
    end(&owners[1]);
    turn();
    assert_int_equal(the_net.n_streams, 2);
    net_cut_lingering(&the_net);
    assert_int_equal(the_net.n_streams, 0);
    assert_string_equal(owners[0].events, "g");
    assert_string_equal(owners[1].events, "");
}

static void stream__address_is_the_peers(void **state)
{
    (void)state;
    static const int families[] = {AF_INET, AF_INET6};
    static const char *const prefixes[] = {"127.0.0.1:", "[::1]:"};
    char text[64];
    for (size_t i = 0; i < N_OF(families); i++) {
        int fds[2];
        tcp_pair(families[i], fds);
        size_t len = stream_address(fds[0], text, sizeof text);
        assert_int_equal(len, strlen(text));
        assert_memory_equal(text, prefixes[i], strlen(prefixes[i]));
        assert_true(strtoul(text + strlen(prefixes[i]), NULL, 10) > 0);
        assert_int_equal(stream_address(fds[0], text, 5), 4);
        assert_int_equal(strlen(text), 4);
        close(fds[0]);
        close(fds[1]);
    }
    assert_int_equal(open_unix(&owners[0]), 0);
    assert_int_equal(owners[0].sink->ops->address(owners[0].sink, text, sizeof text), 4);
    assert_string_equal(text, "unix");
    assert_int_equal(stream_address(-1, text, sizeof text), 7);
    assert_string_equal(text, "unknown");
}

/* ---- cost ---- */

static void stream__steady_traffic_allocates_nothing(void **state)
{
    (void)state;
    owner *o = &owners[0];
    char got[8];
    o->data = echo;
    assert_int_equal(open_unix(o), 0);
    peer_puts(o, "hello");
    turn();
    assert_int_equal(recv(o->peer, got, sizeof got, 0), 7);
    uint64_t allocations = mem_count(), n_sends = the_net.n_sends, n_receives = the_net.n_receives;
    for (int i = 0; i < 10000; i++) {
        peer_puts(o, "hello");
        turn();
        assert_int_equal(recv(o->peer, got, sizeof got, MSG_DONTWAIT), 7);
    }
    assert_int_equal(mem_count(), allocations);
    assert_true(the_net.cork->len < 100); /* always the same bytes, so that they stay in the cache */
    assert_int_equal(the_net.n_sends - n_sends, 10000);
    assert_int_equal(the_net.n_receives - n_receives, 10000);
}

/* ---- out of memory ---- */

static size_t answer_a_line_with_a_byte(owner *o, char *at, size_t len)
{
    size_t taken = take_line(o, at, len);
    put_pattern(o, 1);
    if (o->sink)
        o->sink->ops->notify(o->sink);
    return taken;
}

static void play(owner *o)
{
    shrink(o);
    o->data = answer_a_line_with_a_byte;
    peer_puts(o, "one\ntw");
    turn();
    for (int i = 0; o->sink && i < 4; i++) {
        put_mixed(o, (unsigned)i, NULL, 0);
        turn();
    }
    o->data = answer_with_a_mixture;
    send(o->peer, scratch, 60000, MSG_DONTWAIT | MSG_NOSIGNAL);
    turn();
    while (o->sink && o->in < o->out) {
        size_t n = peer_reads(o, scratch, o->out - o->in < 10000 ? o->out - o->in : 10000);
        for (size_t i = 0; i < n; i++, o->in++)
            assert_int_equal(scratch[i], pattern(o->in));
    }
    if (o->sink)
        end(o);
    turn();
}

/* With everything fresh, so that nothing comes out of a cache. True when all went well. */
static bool play_on_a_fresh_loop(void)
{
    owner *o = &owners[0];
    bool well = false;
    reset_owners();
    if (loop_init(&the_loop, NULL))
        return false;
    if (net_init(&the_net, &the_loop, NULL) == 0) {
        if (open_unix(o) == 0)
            play(o);
        assert_null(o->sink); /* ended, given up, or gone */
        if (o->peer >= 0) {
            net_cut_lingering(&the_net);
            assert_int_equal(the_net.n_streams, 0);
            while (recv(o->peer, scratch, N_SCRATCH, MSG_DONTWAIT) > 0)
                ;
            assert_true(recv(o->peer, scratch, 1, MSG_DONTWAIT) == 0 || errno == ECONNRESET);
            well = !o->failed && !o->error && o->in == o->out && o->out;
            close(o->peer);
        }
        net_done(&the_net);
    }
    loop_done(&the_loop);
    return well;
}

static void stream__each_allocation_that_fails_ends_the_connection(void **state)
{
    (void)state;
    size_t n_descriptors = count_descriptors();
    for (uint64_t n = 1;; n++) {
        uint64_t before = mem_count();
        mem_fail_from(n);
        bool well = play_on_a_fresh_loop();
        uint64_t used = mem_count() - before;
        mem_fail_from(0);
        assert_int_equal(count_descriptors(), n_descriptors);
        assert_int_equal(well, used < n);
        if (well)
            break;
    }
}

static void net__init_without_memory(void **state)
{
    (void)state;
    net own;
    mem_fail_from(1);
    assert_int_equal(net_init(&own, &the_loop, NULL), -ENOMEM);
    mem_fail_from(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(stream__keeps_what_the_owner_does_not_consume, start, stop),
        cmocka_unit_test_setup_teardown(stream__feeds_again_at_once_after_progress, start, stop),
        cmocka_unit_test_setup_teardown(stream__takes_input_byte_by_byte, start, stop),
        cmocka_unit_test_setup_teardown(stream__keeps_a_rest_of_any_size, start, stop),
        cmocka_unit_test_setup_teardown(stream__gives_nothing_while_paused_and_all_afterwards, start, stop),
        cmocka_unit_test_setup_teardown(stream__paused_inside_data_keeps_the_rest, start, stop),
        cmocka_unit_test_setup_teardown(stream__pause_and_resume_inside_data_change_nothing, start, stop),
        cmocka_unit_test_setup_teardown(stream__resumed_twice_or_paused_again_doubles_nothing, start, stop),
        cmocka_unit_test_setup_teardown(stream__resumed_gives_bytes_before_the_end_of_the_stream, start, stop),
        cmocka_unit_test_setup_teardown(stream__paused_loses_no_byte_of_a_peer_that_closes, start, stop),
        cmocka_unit_test_setup_teardown(stream__rebound_inside_data_feeds_the_new_owner_at_once, start, stop),
        cmocka_unit_test_setup_teardown(stream__rebound_inside_data_without_progress_feeds_the_new_owner, start, stop),
        cmocka_unit_test_setup_teardown(stream__rebound_later_feeds_what_is_unread, start, stop),
        cmocka_unit_test_setup_teardown(stream__rebound_after_the_end_tells_the_new_owner_of_it, start, stop),
        cmocka_unit_test_setup_teardown(stream__rebound_while_paused_gives_bytes_before_the_end, start, stop),
        cmocka_unit_test_setup_teardown(stream__receives_straight_into_room, start, stop),
        cmocka_unit_test_setup_teardown(stream__fills_room_a_bounded_number_of_times_a_turn, start, stop),
        cmocka_unit_test_setup_teardown(stream__fills_room_no_more_once_paused_or_gone, start, stop),
        cmocka_unit_test_setup_teardown(stream__puts_unread_bytes_in_front_rather_than_into_room, start, stop),
        cmocka_unit_test_setup_teardown(stream__that_cannot_be_resumed_is_gone, start, stop),
        cmocka_unit_test_setup_teardown(stream__sends_the_small_writes_of_a_turn_at_once, start, stop),
        cmocka_unit_test_setup_teardown(stream__small_writes_of_two_streams_stay_apart, start, stop),
        cmocka_unit_test_setup_teardown(stream__sends_from_where_an_owned_body_lies, start, stop),
        cmocka_unit_test_setup_teardown(stream__copies_a_large_body_that_nobody_keeps, start, stop),
        cmocka_unit_test_setup_teardown(stream__copies_a_head_larger_than_the_cork, start, stop),
        cmocka_unit_test_setup_teardown(stream__borrows_from_the_receive_buffer, start, stop),
        cmocka_unit_test_setup_teardown(stream__puts_the_head_into_room_in_front, start, stop),
        cmocka_unit_test_setup_teardown(stream__copies_what_was_received_for_another_stream, start, stop),
        cmocka_unit_test_setup_teardown(stream__refers_to_the_message_being_delivered, start, stop),
        cmocka_unit_test_setup_teardown(stream__keeps_the_order_of_mixed_writes, start, stop),
        cmocka_unit_test_setup_teardown(stream__sends_once_a_turn_when_it_is_not_being_read, start, stop),
        cmocka_unit_test_setup_teardown(stream__brings_a_long_backlog_over_byte_for_byte, start, stop),
        cmocka_unit_test_setup_teardown(stream__writes_of_a_full_socket_wait_without_a_system_call, start, stop),
        cmocka_unit_test_setup_teardown(stream__small_writes_that_wait_pin_no_cork, start, stop),
        cmocka_unit_test_setup_teardown(stream__small_writes_that_wait_pin_no_earlier_cork, start, stop),
        cmocka_unit_test_setup_teardown(stream__what_waits_is_put_into_no_chunk_that_others_hold, start, stop),
        cmocka_unit_test_setup_teardown(stream__eof_leaves_what_is_queued_to_be_sent, start, stop),
        cmocka_unit_test_setup_teardown(stream__eof_is_told_once_and_writing_goes_on, start, stop),
        cmocka_unit_test_setup_teardown(stream__a_peer_that_takes_nothing_is_given_up, start, stop),
        cmocka_unit_test_setup_teardown(stream__progress_puts_the_write_timeout_off, start, stop),
        cmocka_unit_test_setup_teardown(stream__the_longest_stalled_is_given_up_first, start, stop),
        cmocka_unit_test_setup_teardown(stream__sends_a_file, start, stop),
        cmocka_unit_test_setup_teardown(stream__sends_a_file_behind_what_is_queued, start, stop),
        cmocka_unit_test_setup_teardown(stream__sends_a_file_behind_a_full_socket, start, stop),
        cmocka_unit_test_setup_teardown(stream__sends_a_file_over_tcp, start, stop),
        cmocka_unit_test_setup_teardown(stream__sends_a_bounded_part_of_a_file_in_a_turn, start, stop),
        cmocka_unit_test_setup_teardown(stream__tells_sent_of_a_file, start, stop),
        cmocka_unit_test_setup_teardown(stream__end_sends_a_file_to_its_end, start, stop),
        cmocka_unit_test_setup_teardown(stream__abort_closes_a_file, start, stop),
        cmocka_unit_test_setup_teardown(stream__a_file_that_is_too_short_cuts_the_connection, start, stop),
        cmocka_unit_test_setup_teardown(stream__a_file_to_a_closed_peer_is_told_as_gone, start, stop),
        cmocka_unit_test_setup_teardown(stream__a_peer_that_takes_nothing_of_a_file_is_given_up, start, stop),
        cmocka_unit_test_setup_teardown(stream__a_file_without_memory_is_closed, start, stop),
        cmocka_unit_test_setup_teardown(stream__a_slow_reader_is_known_by_what_it_takes, start, stop),
        cmocka_unit_test_setup_teardown(stream__small_owned_bodies_that_wait_are_copied, start, stop),
        cmocka_unit_test_setup_teardown(stream__large_owned_bodies_that_wait_are_kept, start, stop),
        cmocka_unit_test_setup_teardown(stream__small_owned_bodies_are_copied_once_they_are_many, start, stop),
        cmocka_unit_test_setup_teardown(stream__tells_sent_once_for_each_notify, start, stop),
        cmocka_unit_test_setup_teardown(stream__tells_sent_when_a_full_socket_takes_more, start, stop),
        cmocka_unit_test_setup_teardown(stream__resumed_inside_sent_loses_no_byte, start, stop),
        cmocka_unit_test_setup_teardown(stream__tells_nothing_of_what_is_sent_after_end, start, stop),
        cmocka_unit_test_setup_teardown(stream__end_sends_everything_and_awaits_the_peers_end, start, stop),
        cmocka_unit_test_setup_teardown(stream__end_drops_what_is_unread_and_yet_to_come, start, stop),
        cmocka_unit_test_setup_teardown(stream__end_with_input_left_resets_nothing, start, stop),
        cmocka_unit_test_setup_teardown(stream__end_before_eof_is_told_nothing_of_it, start, stop),
        cmocka_unit_test_setup_teardown(stream__end_after_eof_closes_at_once, start, stop),
        cmocka_unit_test_setup_teardown(stream__a_lingering_end_is_cut_in_time, start, stop),
        cmocka_unit_test_setup_teardown(stream__end_while_stalled_keeps_the_write_timeout, start, stop),
        cmocka_unit_test_setup_teardown(stream__abort_drops_what_is_queued, start, stop),
        cmocka_unit_test_setup_teardown(stream__a_reset_is_told_once, start, stop),
        cmocka_unit_test_setup_teardown(stream__a_reset_is_seen_while_paused_or_after_eof, start, stop),
        cmocka_unit_test_setup_teardown(stream__a_reset_after_end_is_not_told, start, stop),
        cmocka_unit_test_setup_teardown(stream__a_write_to_a_closed_peer_is_told_as_gone, start, stop),
        cmocka_unit_test_setup_teardown(stream__ended_or_aborted_inside_data_is_told_nothing_more, start, stop),
        cmocka_unit_test_setup_teardown(stream__ended_or_aborted_over_unread_bytes_is_told_nothing_more, start, stop),
        cmocka_unit_test_setup_teardown(stream__ended_or_aborted_inside_eof, start, stop),
        cmocka_unit_test_setup_teardown(stream__ended_or_aborted_inside_sent, start, stop),
        cmocka_unit_test_setup_teardown(stream__ended_or_aborted_inside_sent_with_bytes_unread, start, stop),
        cmocka_unit_test_setup_teardown(stream__ended_or_aborted_inside_gone_is_harmless, start, stop),
        cmocka_unit_test_setup_teardown(stream__may_be_aborted_by_another_of_the_same_turn, start, stop),
        cmocka_unit_test_setup_teardown(net__done_closes_what_lingers_stalls_or_was_just_ended, start, stop),
        cmocka_unit_test_setup_teardown(net__cut_lingering_tells_the_owners_of_stalled_streams, start, stop),
        cmocka_unit_test_setup_teardown(stream__address_is_the_peers, start, stop),
        cmocka_unit_test_setup_teardown(stream__steady_traffic_allocates_nothing, start, stop),
        cmocka_unit_test(stream__each_allocation_that_fails_ends_the_connection),
        cmocka_unit_test_setup_teardown(net__init_without_memory, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
