#include "support/check.h"

#include "hub/cursor.h"
#include "transport/socketio.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { ROOMS = 6, CLIENTS = 8, STEPS = 20000, RECOVERY_MS = 1000, MOST_HEARD = 256 };

static loop the_loop;
static hub the_hub;
static socketio_route the_route;
static socketio_namespace the_namespace;
static socketio_log *the_log;

/* ---- a clock that stands still until a test puts it forward ---- */

static uint64_t clock_ms = 1000000;

int clock_gettime(clockid_t id, struct timespec *ret_now)
{
    (void)id;
    *ret_now = (struct timespec){(time_t)(clock_ms / 1000), (long)(clock_ms % 1000 * 1000000)};
    return 0;
}

static void pass_ms(uint64_t ms)
{
    clock_ms += ms;
    assert_int_equal(loop_step(&the_loop, 0), 0);
}

/* ---- a socket whose rooms are letters, and which writes down what it is sent ---- */

typedef struct {
    socketio_socket socket; /* first */
    socketio_client client;
    char rooms[ROOMS + 1]; /* but its own */
    uint64_t heard[MOST_HEARD];
    size_t n_heard;
    int n_images;
    bool lost;
} line;

static size_t joins_left = SIZE_MAX; /* before there is no memory */
static size_t sends_left = SIZE_MAX;
static engineio_end closed_for;
static const socketio_client *closed;

static line *line_of(const socketio_socket *s)
{
    return (line *)(uintptr_t)s;
}

static bool is_in(const socketio_socket *s, str room)
{
    if (str_equal(room, (str){s->id, SOCKETIO_ID_BYTES}))
        return true;
    return room.len == 1 && strchr(line_of(s)->rooms, *room.at);
}

int socketio_join(socketio_socket *s, str room)
{
    line *l = line_of(s);
    size_t n = strlen(l->rooms);
    if (joins_left == 0)
        return -ENOMEM;
    joins_left--;
    if (is_in(s, room))
        return 0;
    assert_true(n < ROOMS && room.len == 1);
    l->rooms[n] = *room.at;
    l->rooms[n + 1] = '\0';
    s->n_rooms++;
    socketio_log_moved(the_log, s, room, true);
    return 0;
}

void socketio_leave(socketio_socket *s, str room)
{
    char *at = strchr(line_of(s)->rooms, *room.at);
    if (!at)
        return;
    socketio_log_moved(the_log, s, room, false);
    memmove(at, at + 1, strlen(at));
    s->n_rooms--;
}

void socketio_leave_all(socketio_socket *s)
{
    line_of(s)->rooms[0] = '\0';
    s->n_rooms = 0;
}

chunk *engineio_image_new(pool *blocks, bool binary, size_t len)
{
    (void)binary;
    chunk *image = chunk_new(blocks, ENGINEIO_ROOM + len);
    if (image)
        image->len = ENGINEIO_ROOM + len;
    return image;
}

str socketio_room_name(const socketio_socket *s, uint32_t place)
{
    assert_true(place < s->n_rooms);
    return (str){&line_of(s)->rooms[place], 1};
}

bool socketio_meant(const socketio_audience *to, socketio_socket *s)
{
    bool in = to->n_rooms == 0;
    for (uint32_t i = 0; i < to->n_rooms; i++)
        in |= is_in(s, to->rooms[i]);
    for (uint32_t i = 0; i < to->n_except; i++)
        in &= !is_in(s, to->except[i]);
    return in && s != to->sender;
}

void socketio_images_drop(pool *blocks, socketio_packet_images *images)
{
    while (images->n)
        chunk_unref(blocks, images->images[--images->n]);
}

int socketio_images_send(socketio_client *c, const socketio_packet_images *images)
{
    line *l = CONTAINER(c, line, client);
    uint64_t number;
    if (sends_left == 0)
        return -ENOMEM;
    sends_left--;
    assert_true(images->n > 0 && l->n_heard < MOST_HEARD);
    memcpy(&number, engineio_image_data(images->images[0]), sizeof number);
    l->heard[l->n_heard++] = number;
    l->n_images += (int)images->n;
    return 0;
}

void socketio_client_close(socketio_client *c, engineio_end why)
{
    closed = c;
    closed_for = why;
}

static void cut(line *l)
{
    l->lost = true;
    socketio_log_exit(the_log, &l->socket);
    socketio_log_keep(the_log, &l->socket);
}

void socketio_socket_lose(socketio_socket *s, engineio_end why)
{
    assert_int_equal(why, ENGINEIO_TRANSPORT_CLOSE);
    cut(line_of(s));
}

static uint64_t n_ids;

static void put_id(char id[SOCKETIO_ID_BYTES], const char *kind)
{
    char text[SOCKETIO_ID_BYTES + 1];
    snprintf(text, sizeof text, "%s%016llu", kind, (unsigned long long)n_ids++);
    memcpy(id, text, SOCKETIO_ID_BYTES);
}

static const peer_ops ops = {.transport = WEFT_TRANSPORT_SOCKETIO};

/** A connection with a socket that is on its way in. */
static void arrive(line *l)
{
    memset(l, 0, sizeof *l);
    l->socket.nsp = &the_namespace;
    l->socket.client = &l->client;
    l->socket.peer.hub = &the_hub;
    l->socket.peer.ops = &ops;
    put_id(l->socket.id, "sid-");
    put_id(l->socket.pid, "pid-");
}

static void enter(line *l)
{
    l->socket.admitted = true;
    if (!l->socket.recovered)
        l->socket.logged = socketio_log_head(the_log);
    socketio_log_enter(the_log, &l->socket);
}

static void come(line *l)
{
    arrive(l);
    enter(l);
}

static void join(line *l, const char *rooms)
{
    for (; *rooms; rooms++)
        assert_int_equal(socketio_join(&l->socket, (str){rooms, 1}), 0);
}

/** It was put into rooms before it was in. */
static void come_in(line *l, const char *rooms)
{
    arrive(l);
    join(l, rooms);
    enter(l);
}

static str pid_of(const line *l)
{
    return (str){l->socket.pid, SOCKETIO_ID_BYTES};
}

/** The client of `was` comes back, with the offset of a packet or without one. */
static bool back_with(line *l, const line *was, str offset)
{
    uint64_t from;
    arrive(l);
    if (!socketio_log_restore(the_log, &l->socket, pid_of(was), offset, &from)) {
        assert_false(l->socket.recovered);
        assert_int_equal(l->socket.n_rooms, 0);
        enter(l);
        return false;
    }
    assert_memory_equal(l->socket.id, was->socket.id, SOCKETIO_ID_BYTES);
    assert_memory_equal(l->socket.pid, was->socket.pid, SOCKETIO_ID_BYTES);
    assert_true(l->socket.recovered);
    assert_int_equal(l->socket.logged, from);
    enter(l);
    assert_int_equal(socketio_log_replay(the_log, &l->socket, from), 0);
    return true;
}

static str text_of(uint64_t number, char room[SOCKETIO_OFFSET_BYTES])
{
    char next[SOCKETIO_OFFSET_BYTES];
    size_t len = socketio_log_next(the_log, next);
    since now = since_read((str){next, len});
    return (str){room, cursor_put((cursor){now.at.epoch, number}, room)};
}

/** With the number of the last one that it has; 0: it has had none. */
static bool back(line *l, const line *was, uint64_t number)
{
    char room[SOCKETIO_OFFSET_BYTES];
    return back_with(l, was, number ? text_of(number, room) : (str){NULL, 0});
}

static void assert_heard(line *l, const char *expected)
{
    char text[MOST_HEARD * 8] = "";
    for (size_t i = 0; i < l->n_heard; i++)
        sprintf(text + strlen(text), "%llu ", (unsigned long long)l->heard[i]);
    assert_string_equal(text, expected);
    l->n_heard = 0;
}

/* ---- packets: each is its own number ---- */

static socketio_packet_images packet_of(uint64_t number, uint32_t n_images, size_t bytes)
{
    socketio_packet_images made = {.n = n_images};
    for (uint32_t i = 0; i < n_images; i++) {
        made.images[i] = chunk_new(&the_loop.blocks, ENGINEIO_ROOM + bytes);
        assert_non_null(made.images[i]);
        made.images[i]->len = ENGINEIO_ROOM + bytes;
        memcpy(engineio_image_data(made.images[i]), &number, sizeof number);
    }
    return made;
}

static void drop_packet(const socketio_packet_images *p)
{
    for (uint32_t i = 0; i < p->n; i++)
        chunk_unref(&the_loop.blocks, p->images[i]);
}

/** Letters of rooms, or "" for all. The packet's number. */
static uint64_t emit_sized(const char *rooms, const char *except, const line *sender, size_t bytes)
{
    uint64_t number = socketio_log_head(the_log) + 1;
    str in[ROOMS], out[ROOMS];
    socketio_audience to = {.rooms = in, .except = out, .sender = sender ? &sender->socket : NULL};
    for (; *rooms; rooms++)
        in[to.n_rooms++] = (str){rooms, 1};
    for (; *except; except++)
        out[to.n_except++] = (str){except, 1};
    socketio_packet_images packet = packet_of(number, 1, bytes);
    socketio_log_add(the_log, &packet, &to);
    drop_packet(&packet);
    assert_int_equal(socketio_log_head(the_log), number);
    return number;
}

static uint64_t emit(const char *rooms, const char *except, const line *sender)
{
    return emit_sized(rooms, except, sender, sizeof(uint64_t));
}

static int start(void **state)
{
    (void)state;
    assert_int_equal(loop_init(&the_loop, NULL), 0);
    the_hub = (hub){.loop = &the_loop};
    the_route = (socketio_route){.recovery_ms = RECOVERY_MS, .recovery_messages = 100, .recovery_bytes = 1 << 20};
    the_namespace = (socketio_namespace){.hub = &the_hub, .route = &the_route};
    pass_ms(0);
    the_log = the_namespace.log = socketio_log_new(&the_namespace);
    joins_left = sends_left = SIZE_MAX;
    closed = NULL;
    return the_log ? 0 : -1;
}

static int stop(void **state)
{
    (void)state;
    socketio_log_free(the_log);
    assert_int_equal(the_loop.wheel.n_armed, 0);
    pool_done(&the_loop.blocks);
    loop_done(&the_loop);
    return 0;
}

/* ------------------------------------------------------------------------------------------------------------ offsets */

static void next__is_what_a_client_comes_back_with(void **state)
{
    (void)state;
    char text[SOCKETIO_OFFSET_BYTES], again[SOCKETIO_OFFSET_BYTES];
    line a, b;
    come(&a);
    size_t len = socketio_log_next(the_log, text);
    assert_true(len > 0 && len <= SOCKETIO_OFFSET_BYTES);
    for (size_t i = 0; i < len; i++)
        assert_non_null(strchr("0123456789abcdef-", text[i])); /* nothing that JSON would escape */
    emit("", "", NULL);
    assert_int_equal(socketio_log_next(the_log, again), len);
    assert_memory_not_equal(text, again, len);
    emit("", "", NULL);
    emit("", "", NULL);
    cut(&a);
    assert_true(back_with(&b, &a, (str){text, len}));
    assert_heard(&b, "2 3 ");
}

static void restore__of_another_logs_offset_is_refused(void **state)
{
    (void)state;
    line a, b;
    char text[SOCKETIO_OFFSET_BYTES];
    socketio_log *other = socketio_log_new(&the_namespace);
    size_t len = socketio_log_next(other, text);
    socketio_log_free(other);
    come(&a);
    emit("", "", NULL);
    cut(&a);
    assert_false(back_with(&b, &a, (str){text, len}));
}

static void restore__of_what_is_no_offset_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "start", "1", "x", "000000000000-1", "yeast", "-", "\\u0000"};
    char next[SOCKETIO_OFFSET_BYTES + 1];
    line a, b;
    emit("", "", NULL);
    for (size_t i = 0; i < N_OF(texts); i++) {
        come(&a);
        cut(&a);
        assert_false(back_with(&b, &a, str_from(texts[i])));
    }
    for (size_t len = socketio_log_next(the_log, next); len-- > 0;) {
        come(&a);
        cut(&a);
        assert_false(back_with(&b, &a, (str){next, len}));
    }
    come(&a);
    cut(&a);
    assert_false(back(&b, &a, 2)); /* not sent yet */
    come(&a);
    cut(&a);
    assert_true(back(&b, &a, 1));
}

static void restore__without_an_offset_begins_where_the_socket_joined(void **state)
{
    (void)state;
    line a, b;
    emit("", "", NULL);
    come(&a);
    emit("", "", NULL);
    emit("", "", NULL);
    cut(&a);
    assert_true(back(&b, &a, 0));
    assert_heard(&b, "2 3 ");
}

static void restore__never_begins_before_the_socket_joined(void **state)
{
    (void)state;
    line a, b;
    emit("", "", NULL);
    emit("", "", NULL);
    come(&a);
    emit("", "", NULL);
    cut(&a);
    assert_true(back(&b, &a, 1)); /* that a socket which the client was before had got */
    assert_heard(&b, "3 ");
}

static void restore__twice_in_a_row_goes_on_where_it_was(void **state)
{
    (void)state;
    line a, b, c;
    come(&a);
    emit("", "", NULL);
    cut(&a);
    assert_true(back(&b, &a, 0));
    assert_heard(&b, "1 ");
    cut(&b); /* and nothing of that has reached it */
    emit("", "", NULL);
    assert_true(back(&c, &b, 0));
    assert_heard(&c, "1 2 ");
}

/* ------------------------------------------------------------------------------------------------------------ sockets */

static void restore__gives_id_pid_and_rooms_back_once(void **state)
{
    (void)state;
    line a, b, c;
    come(&a);
    join(&a, "xyz");
    cut(&a);
    assert_true(back(&b, &a, 0));
    assert_string_equal(b.rooms, "xyz");
    assert_false(back_with(&c, &(line){.socket.pid = "nobody knows this"}, (str){NULL, 0}));
    socketio_log_exit(the_log, &b.socket); /* it goes for good */
    assert_false(back(&c, &a, 0));
    assert_string_equal(c.rooms, "");
}

static void restore__of_a_pid_that_is_none_is_refused(void **state)
{
    (void)state;
    line a, b;
    uint64_t from;
    come(&a);
    cut(&a);
    arrive(&b);
    assert_false(
        socketio_log_restore(the_log, &b.socket, (str){a.socket.pid, SOCKETIO_ID_BYTES - 1}, (str){NULL, 0}, &from));
    assert_false(
        socketio_log_restore(the_log, &b.socket, (str){a.socket.id, SOCKETIO_ID_BYTES}, (str){NULL, 0}, &from));
    assert_false(socketio_log_restore(the_log, &b.socket, (str){"", 0}, (str){NULL, 0}, &from));
    assert_true(socketio_log_restore(the_log, &b.socket, pid_of(&a), (str){NULL, 0}, &from));
}

static void restore__is_refused_when_too_long_has_passed(void **state)
{
    (void)state;
    line a, b;
    come(&a);
    cut(&a);
    pass_ms(RECOVERY_MS - 1);
    assert_true(back(&b, &a, 0));
    cut(&b);
    clock_ms += RECOVERY_MS;
    the_loop.now_ms += RECOVERY_MS; /* in the turn in which its time is over */
    assert_false(back(&a, &b, 0));
    cut(&a);
    pass_ms(RECOVERY_MS);
    assert_false(back(&b, &a, 0));
    pass_ms(RECOVERY_MS);
    assert_int_equal(the_loop.wheel.n_armed, 0); /* nothing is kept: nothing is waited for */
}

static void keep__is_bounded_and_the_oldest_goes(void **state)
{
    (void)state;
    line first, second, other, again;
    come(&first);
    cut(&first);
    come(&second);
    cut(&second);
    for (int i = 0; i < 9999; i++) {
        come(&other);
        cut(&other);
    }
    assert_false(back(&again, &first, 0));
    socketio_log_exit(the_log, &again.socket);
    assert_true(back(&again, &second, 0));
    socketio_log_exit(the_log, &again.socket);
    assert_true(back(&again, &other, 0));
    socketio_log_exit(the_log, &again.socket);
}

static void restore__takes_over_from_a_connection_that_is_still_there(void **state)
{
    (void)state;
    line a, b;
    come_in(&a, "x");
    emit("x", "", NULL);
    emit("x", "", NULL);
    assert_true(back(&b, &a, 1));
    assert_ptr_equal(closed, &a.client);
    assert_int_equal(closed_for, ENGINEIO_TRANSPORT_CLOSE);
    assert_true(a.lost);
    assert_heard(&b, "2 ");
    assert_string_equal(b.rooms, "x");
}

static void restore__takes_nothing_over_within_one_connection(void **state)
{
    (void)state;
    line a, b;
    uint64_t from;
    come(&a);
    arrive(&b);
    b.socket.client = &a.client;
    assert_false(socketio_log_restore(the_log, &b.socket, pid_of(&a), (str){NULL, 0}, &from));
    assert_null(closed);
    assert_false(a.lost);
}

static void exit__of_a_socket_that_is_not_there_is_fine(void **state)
{
    (void)state;
    line a, b;
    come(&a);
    arrive(&b);
    memcpy(b.socket.pid, a.socket.pid, SOCKETIO_ID_BYTES); /* on its way in: the other one stays */
    socketio_log_exit(the_log, &b.socket);
    assert_true(back(&b, &a, 0));
    assert_true(a.lost);
    socketio_log_exit(the_log, &a.socket);
}

/* ------------------------------------------------------------------------------------------------------------ packets */

static void replay__is_filtered_by_rooms_exceptions_and_sender(void **state)
{
    (void)state;
    line a, b, other;
    come_in(&a, "xy");
    come(&other);
    emit("", "", NULL);     /* 1 */
    emit("x", "", NULL);    /* 2 */
    emit("z", "", NULL);    /* 3: not for it */
    emit("zy", "", NULL);   /* 4 */
    emit("", "x", NULL);    /* 5: not for it */
    emit("x", "zy", NULL);  /* 6: not for it */
    emit("x", "z", NULL);   /* 7 */
    emit("", "", &a);       /* 8: not for it */
    emit("xy", "", &other); /* 9 */
    str own = {a.socket.id, SOCKETIO_ID_BYTES}, others = {other.socket.id, SOCKETIO_ID_BYTES};
    socketio_packet_images ten = packet_of(10, 1, 8), eleven = packet_of(11, 1, 8), twelve = packet_of(12, 1, 8);
    socketio_log_add(the_log, &ten, &(socketio_audience){.rooms = &own, .n_rooms = 1});
    socketio_log_add(the_log, &eleven, &(socketio_audience){.rooms = &others, .n_rooms = 1});
    socketio_log_add(the_log, &twelve, &(socketio_audience){.except = &own, .n_except = 1});
    drop_packet(&ten);
    drop_packet(&eleven);
    drop_packet(&twelve);
    cut(&a);
    assert_true(back(&b, &a, 0));
    assert_heard(&b, "1 2 4 7 9 10 ");
}

/** As it was in this room or that at the time, and not as it is when it comes back. */
static void replay__follows_a_socket_through_its_rooms(void **state)
{
    (void)state;
    line a, b, c;
    come(&a);
    emit("x", "", NULL); /* 1: too early */
    join(&a, "x");       /* 2 */
    emit("x", "", NULL); /* 3 */
    emit("y", "", NULL); /* 4: too early */
    join(&a, "y");       /* 5 */
    emit("y", "", NULL); /* 6 */
    emit("", "x", NULL); /* 7: not for it */
    socketio_leave(&a.socket, STR("x"));
    emit("", "x", NULL); /* 9 */
    emit("x", "", NULL); /* 10: too late */
    cut(&a);
    emit("y", "", NULL); /* 11 */
    assert_true(back(&b, &a, 0));
    assert_heard(&b, "3 6 9 11 ");
    assert_string_equal(b.rooms, "y");
    join(&b, "x"); /* 12 */
    cut(&b);
    assert_true(back(&c, &b, 9));
    assert_heard(&c, "11 ");
    assert_int_equal(strlen(c.rooms), 2);
}

static void replay__sends_a_packet_with_all_its_attachments(void **state)
{
    (void)state;
    line a, b;
    come(&a);
    socketio_packet_images packet = packet_of(1, 1 + SOCKETIO_MAX_ATTACHMENTS, 20);
    socketio_log_add(the_log, &packet, &(socketio_audience){0});
    drop_packet(&packet);
    cut(&a);
    assert_true(back(&b, &a, 0));
    assert_heard(&b, "1 ");
    assert_int_equal(b.n_images, 11);
    assert_int_equal(b.socket.peer.messages_out, 1);
    assert_int_equal(the_hub.counts.traffic[WEFT_TRANSPORT_SOCKETIO].bytes_out, 20);
}

static void replay__ends_when_there_is_no_memory(void **state)
{
    (void)state;
    line a, b;
    uint64_t from;
    come(&a);
    for (int i = 0; i < 5; i++)
        emit("", "", NULL);
    cut(&a);
    arrive(&b);
    assert_true(socketio_log_restore(the_log, &b.socket, pid_of(&a), (str){NULL, 0}, &from));
    sends_left = 2;
    assert_int_equal(socketio_log_replay(the_log, &b.socket, from), -ENOMEM);
    assert_heard(&b, "1 2 ");
}

static void add__is_bounded_by_messages(void **state)
{
    (void)state;
    line a, b, c;
    the_route.recovery_messages = 3;
    come(&a);
    come(&c);
    for (int i = 0; i < 5; i++)
        emit("", "", NULL);
    cut(&a);
    cut(&c);
    assert_false(back(&b, &a, 1));
    assert_true(back(&b, &c, 2)); /* 3, 4 and 5 are there */
    assert_heard(&b, "3 4 5 ");
}

static void add__is_bounded_by_bytes(void **state)
{
    (void)state;
    line a, b, c;
    the_route.recovery_bytes = 6000;
    come(&a);
    come(&c);
    for (int i = 0; i < 4; i++)
        emit_sized("", "", NULL, 2000);
    cut(&a);
    cut(&c);
    assert_false(back(&b, &a, 1));
    assert_true(back(&b, &c, 2));
    assert_heard(&b, "3 4 ");
}

static void add__of_more_than_all_that_is_kept_keeps_nothing(void **state)
{
    (void)state;
    line a, b, c;
    the_route.recovery_bytes = 5000;
    come(&a);
    come(&c);
    emit_sized("", "", NULL, 9000);
    cut(&a);
    cut(&c);
    assert_false(back(&b, &a, 0));
    assert_true(back(&b, &c, 1)); /* it has had it */
    assert_heard(&b, "");
}

static void clock__drops_packets_that_are_too_old(void **state)
{
    (void)state;
    line a, b, c;
    come(&a);
    come(&c);
    emit("", "", NULL);
    pass_ms(RECOVERY_MS / 2);
    emit("", "", NULL);
    cut(&a);
    cut(&c);
    pass_ms(RECOVERY_MS / 2);
    assert_false(back(&b, &a, 0));
    assert_true(back(&b, &c, 1));
    assert_heard(&b, "2 ");
    cut(&b);
    pass_ms(RECOVERY_MS / 2);
    assert_true(back(&a, &b, 2)); /* quiet ever since: there is no hole */
    pass_ms(RECOVERY_MS);
    assert_int_equal(the_loop.wheel.n_armed, 0);
}

static void add__keeps_the_images_and_no_longer_than_needed(void **state)
{
    (void)state;
    socketio_packet_images packet = packet_of(1, 2, 100);
    socketio_log_add(the_log, &packet, &(socketio_audience){0});
    assert_int_equal(packet.images[0]->refs, 2);
    assert_int_equal(packet.images[1]->refs, 2);
    pass_ms(RECOVERY_MS);
    assert_int_equal(packet.images[0]->refs, 1);
    assert_int_equal(packet.images[1]->refs, 1);
    drop_packet(&packet);
}

/* -------------------------------------------------------------------------------------------------------------- memory */

static void forget__lets_nobody_be_recovered_with_a_hole(void **state)
{
    (void)state;
    line a, b, c, d;
    come(&a);
    come(&b);
    emit("", "", NULL);
    cut(&a); /* has all */
    socketio_log_forget(the_log);
    emit("", "", NULL); /* 3 */
    cut(&b);
    assert_false(back(&c, &a, 1));
    assert_false(back(&c, &b, 1));
    come(&d);
    emit("", "", NULL);
    cut(&d);
    assert_true(back(&c, &d, 3));
    assert_heard(&c, "4 ");
}

/** Everything that a log allocates, one failing after the other: each client is either recovered without a hole, or not at all. */
static void memory__that_fails_never_makes_a_hole(void **state)
{
    (void)state;
    int n_refused = 0, n_recovered = 0;
    for (uint64_t n = 1; n < 60; n++) {
        line a, b;
        come(&a);
        join(&a, "x");
        uint64_t seen = emit("x", "", NULL);
        pool_done(&the_loop.blocks); /* nothing is left over from before */
        socketio_packet_images packets[30];
        for (int i = 0; i < 30; i++)
            packets[i] = packet_of(seen + 1 + (uint64_t)i, 1, 8);
        mem_fail_from(n);
        for (int i = 0; i < 30; i++) {
            str room = STR("x");
            socketio_log_add(the_log, &packets[i], &(socketio_audience){.rooms = &room, .n_rooms = 1});
        }
        mem_fail_from(0);
        cut(&a);
        for (int i = 0; i < 30; i++)
            drop_packet(&packets[i]);
        if (!back(&b, &a, seen)) {
            n_refused++;
        } else {
            assert_int_equal(b.n_heard, 30);
            for (size_t i = 0; i < 30; i++)
                assert_int_equal(b.heard[i], seen + 1 + i);
            n_recovered++;
        }
        socketio_log_exit(the_log, &b.socket);
        pass_ms(RECOVERY_MS);
    }
    assert_true(n_refused > 20 && n_recovered > 20);
}

static void restore__without_memory_for_its_rooms_leaves_nothing_behind(void **state)
{
    (void)state;
    line a, b;
    uint64_t from;
    char id[SOCKETIO_ID_BYTES];
    come(&a);
    join(&a, "xyz");
    cut(&a);
    arrive(&b);
    memcpy(id, b.socket.id, sizeof id);
    joins_left = 2;
    assert_false(socketio_log_restore(the_log, &b.socket, pid_of(&a), (str){NULL, 0}, &from));
    assert_string_equal(b.rooms, "");
    assert_memory_equal(b.socket.id, id, sizeof id);
}

static void keep__without_memory_keeps_nothing(void **state)
{
    (void)state;
    line a, b;
    for (uint64_t n = 1; n <= 2; n++) {
        come(&a);
        mem_fail_from(n);
        cut(&a);
        mem_fail_from(0);
        assert_false(back(&b, &a, 0));
        socketio_log_exit(the_log, &b.socket);
    }
}

static void enter__without_memory_is_not_taken_over(void **state)
{
    (void)state;
    line a, b;
    for (uint64_t n = 2; n > 0; n--) { /* of the table first, which then is there */
        arrive(&a);
        mem_fail_from(n);
        enter(&a);
        mem_fail_from(0);
        assert_false(back(&b, &a, 0));
        assert_null(closed);
        socketio_log_exit(the_log, &b.socket);
        cut(&a);
        assert_true(back(&b, &a, 0));
        socketio_log_exit(the_log, &b.socket);
    }
}

static int make_log(void)
{
    socketio_log *l = socketio_log_new(&the_namespace);
    socketio_log_free(l);
    return l ? 0 : -1;
}

static void new__without_memory_is_null(void **state)
{
    (void)state;
    check_failing_allocations(make_log);
    socketio_log_free(NULL);
}

/* ---------------------------------------------------------------------------------------------------------- the model
 * Clients come, go, lose what was under way to them, and come back; whoever is recovered must have got, in order and once, all that was meant for it while it was there
 * or away, and whoever is not must have been away for too long, or want what is no longer kept. */

typedef struct {
    line lines[2]; /* the connection it has, and the one that it had */
    int now;
    bool away;
    uint64_t cut_ms;
    uint64_t got[MOST_HEARD]; /* since it joined, or since the last that is sure */
    uint64_t should[MOST_HEARD];
    size_t n_got, n_should;
    size_t n_sure;       /* that it will not lose any more: it has said so itself */
    uint64_t had;        /* the number of the last one that it has got; 0: none */
    uint64_t had_before; /* those that are remembered */
    uint64_t joined_at;
} person;

static person people[CLIENTS];
static uint64_t happened_ms[STEPS + 1]; /* by number */
static uint64_t packet_at[STEPS];       /* the numbers of packets */
static size_t n_packets;
static uint64_t floor_number; /* no packet up to this one is kept */

static line *line_now(person *p)
{
    return &p->lines[p->now];
}

static void forget_past(person *p)
{
    p->n_got = p->n_should = p->n_sure = 0;
    p->had_before = p->had;
}

static void model_come(person *p)
{
    p->had = 0;
    forget_past(p);
    p->away = false;
    p->joined_at = socketio_log_head(the_log);
    come(line_now(p));
}

static void pick_rooms(unsigned *seed, char rooms[ROOMS + 1])
{
    size_t n = 0;
    for (int i = 0; i < ROOMS; i++)
        if (rand_r(seed) % 4 == 0)
            rooms[n++] = (char)('a' + i);
    rooms[n] = '\0';
}

static bool shares(const char *mine, const char *rooms)
{
    return strpbrk(mine, rooms) != NULL;
}

static void model_emit(unsigned *seed)
{
    char rooms[ROOMS + 1], except[ROOMS + 1];
    pick_rooms(seed, rooms);
    pick_rooms(seed, except);
    if (rand_r(seed) % 2)
        except[0] = '\0';
    person *sender = rand_r(seed) % 3 ? NULL : &people[rand_r(seed) % CLIENTS];
    if (sender && sender->away)
        sender = NULL;
    uint64_t number = emit(rooms, except, sender ? line_now(sender) : NULL);
    happened_ms[number] = clock_ms;
    packet_at[n_packets++] = number;
    for (person *p = people; p < people + CLIENTS; p++) {
        const char *mine = line_now(p)->rooms;
        if (p == sender || (*rooms && !shares(mine, rooms)) || shares(mine, except))
            continue;
        if (p->n_should >= MOST_HEARD / 2 && !p->away) { /* of no interest any more */
            assert_int_equal(p->n_got, p->n_should);
            forget_past(p);
        }
        if (p->n_should == MOST_HEARD) /* it is away, and has missed more than is kept */
            continue;
        p->should[p->n_should++] = number;
        if (!p->away) {
            p->got[p->n_got++] = number;
            p->had = number;
        }
    }
}

static void model_move(person *p, unsigned *seed)
{
    char room = (char)('a' + rand_r(seed) % ROOMS);
    line *l = line_now(p);
    if (l->lost)
        return;
    if (strchr(l->rooms, room))
        socketio_leave(&l->socket, (str){&room, 1});
    else
        assert_int_equal(socketio_join(&l->socket, (str){&room, 1}), 0);
    happened_ms[socketio_log_head(the_log)] = clock_ms;
}

/** Its connection is lost, and with it the last few that were on their way. */
static void model_cut(person *p, unsigned *seed)
{
    if (p->away)
        return;
    size_t most = p->n_got - p->n_sure, lost = most ? (size_t)rand_r(seed) % (most < 5 ? most + 1 : 5) : 0;
    p->n_got -= lost;
    if (lost)
        p->had = p->n_got ? p->got[p->n_got - 1] : p->had_before;
    p->away = true;
    p->cut_ms = clock_ms;
    if (rand_r(seed) % 4)
        cut(line_now(p)); /* else the server does not know */
}

/** Packets up to this number are gone. */
static uint64_t gone_before(void)
{
    uint64_t head = socketio_log_head(the_log), number = floor_number;
    size_t most = the_route.recovery_messages;
    if (n_packets > most && number < packet_at[n_packets - most - 1])
        number = packet_at[n_packets - most - 1];
    while (number < head && happened_ms[number + 1] + RECOVERY_MS <= clock_ms)
        number++;
    return number;
}

static void model_back(person *p)
{
    if (!p->away)
        return;
    const line *was = line_now(p);
    bool known = !was->lost || p->cut_ms + RECOVERY_MS > clock_ms;
    uint64_t has = p->had > p->joined_at ? p->had : p->joined_at;
    bool covered = has >= gone_before();
    p->now = !p->now;
    bool recovered = back(line_now(p), was, p->had);
    assert_int_equal(recovered, known && covered);
    p->away = false;
    if (!recovered) {
        socketio_log_exit(the_log, &was->socket);
        socketio_log_exit(the_log, &line_now(p)->socket);
        model_come(p);
        return;
    }
    line *l = line_now(p);
    assert_int_equal(p->n_got + l->n_heard, p->n_should);
    memcpy(&p->got[p->n_got], l->heard, l->n_heard * sizeof *l->heard);
    assert_memory_equal(p->got, p->should, p->n_should * sizeof *p->got);
    p->n_sure = p->n_got; /* it has said so itself */
    p->n_got = p->n_should;
    if (l->n_heard)
        p->had = l->heard[l->n_heard - 1];
    l->n_heard = 0;
}

static void model__everybody_gets_what_was_meant_for_them(void **state)
{
    (void)state;
    unsigned seed = 20261120;
    size_t n_back = 0, n_recovered = 0;
    the_route.recovery_messages = 60;
    floor_number = n_packets = 0;
    memset(people, 0, sizeof people);
    for (person *p = people; p < people + CLIENTS; p++)
        model_come(p);
    for (int step = 0; step < STEPS; step++) {
        person *p = &people[rand_r(&seed) % CLIENTS];
        unsigned what = (unsigned)rand_r(&seed) % 100;
        if (what < 50) {
            model_emit(&seed);
        } else if (what < 60) {
            model_move(p, &seed);
        } else if (what < 70) {
            model_cut(p, &seed);
        } else if (what < 90) {
            n_back += p->away;
            model_back(p);
            n_recovered += line_now(p)->socket.recovered;
        } else if (what < 99) {
            pass_ms((uint64_t)rand_r(&seed) % 60);
        } else if (step % 3 == 0) {
            socketio_log_forget(the_log);
            floor_number = socketio_log_head(the_log);
        }
    }
    assert_true(n_back > 500 && n_recovered > 300);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(next__is_what_a_client_comes_back_with, start, stop),
        cmocka_unit_test_setup_teardown(restore__of_another_logs_offset_is_refused, start, stop),
        cmocka_unit_test_setup_teardown(restore__of_what_is_no_offset_is_refused, start, stop),
        cmocka_unit_test_setup_teardown(restore__without_an_offset_begins_where_the_socket_joined, start, stop),
        cmocka_unit_test_setup_teardown(restore__never_begins_before_the_socket_joined, start, stop),
        cmocka_unit_test_setup_teardown(restore__twice_in_a_row_goes_on_where_it_was, start, stop),
        cmocka_unit_test_setup_teardown(restore__gives_id_pid_and_rooms_back_once, start, stop),
        cmocka_unit_test_setup_teardown(restore__of_a_pid_that_is_none_is_refused, start, stop),
        cmocka_unit_test_setup_teardown(restore__is_refused_when_too_long_has_passed, start, stop),
        cmocka_unit_test_setup_teardown(keep__is_bounded_and_the_oldest_goes, start, stop),
        cmocka_unit_test_setup_teardown(restore__takes_over_from_a_connection_that_is_still_there, start, stop),
        cmocka_unit_test_setup_teardown(restore__takes_nothing_over_within_one_connection, start, stop),
        cmocka_unit_test_setup_teardown(exit__of_a_socket_that_is_not_there_is_fine, start, stop),
        cmocka_unit_test_setup_teardown(replay__is_filtered_by_rooms_exceptions_and_sender, start, stop),
        cmocka_unit_test_setup_teardown(replay__follows_a_socket_through_its_rooms, start, stop),
        cmocka_unit_test_setup_teardown(replay__sends_a_packet_with_all_its_attachments, start, stop),
        cmocka_unit_test_setup_teardown(replay__ends_when_there_is_no_memory, start, stop),
        cmocka_unit_test_setup_teardown(add__is_bounded_by_messages, start, stop),
        cmocka_unit_test_setup_teardown(add__is_bounded_by_bytes, start, stop),
        cmocka_unit_test_setup_teardown(add__of_more_than_all_that_is_kept_keeps_nothing, start, stop),
        cmocka_unit_test_setup_teardown(clock__drops_packets_that_are_too_old, start, stop),
        cmocka_unit_test_setup_teardown(add__keeps_the_images_and_no_longer_than_needed, start, stop),
        cmocka_unit_test_setup_teardown(forget__lets_nobody_be_recovered_with_a_hole, start, stop),
        cmocka_unit_test_setup_teardown(memory__that_fails_never_makes_a_hole, start, stop),
        cmocka_unit_test_setup_teardown(restore__without_memory_for_its_rooms_leaves_nothing_behind, start, stop),
        cmocka_unit_test_setup_teardown(keep__without_memory_keeps_nothing, start, stop),
        cmocka_unit_test_setup_teardown(enter__without_memory_is_not_taken_over, start, stop),
        cmocka_unit_test_setup_teardown(new__without_memory_is_null, start, stop),
        cmocka_unit_test_setup_teardown(model__everybody_gets_what_was_meant_for_them, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
