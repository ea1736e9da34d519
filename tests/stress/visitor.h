/**
 * Socket.IO clients of a namespace with recovery, by WebSocket or by polls and posts: they join rooms and leave them, speak to all, are cut, and come back with what
 * they were. One never is: what it hears, as it is in all rooms, is the order that the others are held against.
 */
#ifndef WEFT_TESTS_STRESS_VISITOR_H
#define WEFT_TESTS_STRESS_VISITOR_H

#include "stress/writer.h"

enum { ALL_ROOMS = (1 << (N_ROOMS + 1)) - 1, MOST_PENDING = 32, RIVAL_MS = 10000 };

/** One thing heard. Rooms are bits; 1 is all of the namespace. */
typedef struct {
    said what;
    unsigned room;
    unsigned must,
        may; /* rooms in which it was without doubt since the one before, and those in which it may have been when this came */
} heard;

/** What came to one socket, through all its connections. */
typedef struct {
    heard *at;
    size_t n, room;
} told;

typedef enum {
    ASKS_TO_JOIN,
    ASKS_TO_LEAVE,
    ASKS_TO_SAY,
} question;

typedef struct {
    unsigned number;
    bool anchors, polls;
    wire wire; /* a WebSocket, or the connection of the polls */
    wire post;
    bool asked, posting, opened, in, headed, fenced;
    uint64_t
        rivalled_ms; /* until then an older wish to be who it was, which nobody waits for any more, may come first */
    char sid[32], pid[32], offset[64];
    unsigned is_in, may_be_in, must; /* rooms */
    told told;
    unsigned says;
    struct {
        question what;
        unsigned room;
        uint32_t k;
        bool done;
    } pending[MOST_PENDING]; /* by the id of the packet */
    unsigned n_pending;
    buf packets; /* polls: to be posted */
    uint64_t asks_at_ms;
    char who[64];
} visitor;

static told tolds[MOST_STREAMS]; /* of sockets that are gone */
static size_t n_tolds;
static unsigned n_recovered, n_strangers;

/* ------------------------------------------------------------------------------------------------------- the program */

static inline void on_event(weft_peer who, const weft_socketio_event *event)
{
    char text[TEXT_BYTES], room[4];
    weft_json_text(weft_socketio_argument(event, 0), text, sizeof text);
    unsigned number = (unsigned)strtoul(weft_socketio_argument(event, 1).at, NULL, 10);
    snprintf(room, sizeof room, "r%u", number);
    int error = weft_socketio_event_is(event, "say")    ? broadcast(weft_of(who), text, number)
                : weft_socketio_event_is(event, "join") ? weft_socketio_join(who, room)
                                                        : weft_socketio_leave(who, room);
    weft_socketio_acknowledge(event->ack, error ? "[false]" : "[true]");
}

/* ------------------------------------------------------------------------------------------------------------- losing */

static inline void told_takes(told *t, const heard *one)
{
    if (t->n == t->room) {
        t->room = t->room ? 2 * t->room : 256;
        t->at = realloc(t->at, t->room * sizeof *t->at);
        assert_non_null(t->at);
    }
    t->at[t->n++] = *one;
}

/** The socket is another from now on. */
static inline void visitor_forgets(visitor *v)
{
    if (v->told.n && n_tolds < MOST_STREAMS)
        tolds[n_tolds++] = v->told;
    else
        free(v->told.at);
    v->told = (told){0};
    *v->pid = *v->offset = '\0';
    v->is_in = v->may_be_in = v->must = 1;
}

/* An older wish of its own takes away what it is, or has it on the way to where it was made. */
static inline bool is_rivalled(const visitor *v)
{
    return client_now_ms() < v->rivalled_ms;
}

/* For that, or because its post was cut. */
static inline bool may_be_over(const visitor *v)
{
    return is_rivalled(v) || (v->posting && v->post.ended);
}

/* What was asked and not answered may have been done, or be done yet. */
static inline void visitor_loses(visitor *v)
{
    wire_done(&v->wire);
    wire_done(&v->post);
    if (v->opened && !v->in && *v->pid)
        v->rivalled_ms = client_now_ms() + RIVAL_MS;
    v->packets.len = 0;
    v->asked = v->posting = v->opened = v->in = v->headed = false;
    *v->sid = '\0';
    v->n_pending = 0;
    v->says = 0;
    if (!v->anchors && (!*v->pid || !*v->offset || (!is_calm && one_in(15))))
        visitor_forgets(v);
    v->asks_at_ms = client_now_ms() + (is_calm ? 0 : draw(60));
}

static inline void visitor_done(visitor *v)
{
    visitor_loses(v);
    visitor_forgets(v);
    buf_done(&v->packets);
}

/* ------------------------------------------------------------------------------------------------------------- saying */

__attribute__((format(printf, 2, 3))) static inline void visitor_sends(visitor *v, const char *format, ...)
{
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (!v->polls) {
        wire_send_text(&v->wire, text);
        return;
    }
    assert_int_equal(buf_put_text(&v->packets, v->packets.len ? "\x1e" : ""), 0);
    assert_int_equal(buf_put_text(&v->packets, text), 0);
}

static inline void visitor_asks_for(visitor *v, question what, unsigned room)
{
    static const char *const names[] = {"join", "leave", "say"};
    char text[TEXT_BYTES] = "";
    unsigned id = v->n_pending;
    if (id == MOST_PENDING)
        return;
    if (what == ASKS_TO_SAY && !v->says)
        v->says = stream_new(NAMESPACE);
    v->pending[id].what = what;
    v->pending[id].room = room;
    v->pending[id].done = false;
    v->n_pending++;
    if (what == ASKS_TO_SAY)
        v->pending[id].k = stream_say(v->says, text);
    else if (what == ASKS_TO_JOIN)
        v->may_be_in |= 1u << room;
    else
        v->is_in &= ~(1u << room);
    v->must &= v->is_in;
    visitor_sends(v, "42%u[\"%s\",\"%s\",%u]", id, names[what], text, room);
}

/* One question about rooms at a time: else what it may be in is not clear. */
static inline bool asks_about_rooms(const visitor *v)
{
    for (unsigned i = 0; i < v->n_pending; i++)
        if (!v->pending[i].done && v->pending[i].what != ASKS_TO_SAY)
            return true;
    return false;
}

static inline void visitor_acts(visitor *v)
{
    unsigned room = 1 + draw(N_ROOMS);
    if (!v->in || v->anchors)
        return;
    if (one_in(10) && !asks_about_rooms(v))
        visitor_asks_for(v, v->is_in & 1u << room ? ASKS_TO_LEAVE : ASKS_TO_JOIN, room);
    else
        visitor_asks_for(v, ASKS_TO_SAY, draw(N_ROOMS + 1));
}

/* ------------------------------------------------------------------------------------------------------------ hearing */

static inline void take_acknowledged(visitor *v, const char *packet)
{
    unsigned id = (unsigned)strtoul(packet + 2, NULL, 10);
    bool done = strstr(packet, "[true]");
    if (id >= v->n_pending || v->pending[id].done)
        WRONG("%s was told %.100s", v->who, packet);
    unsigned bit = 1u << v->pending[id].room;
    v->pending[id].done = true;
    if (v->pending[id].what == ASKS_TO_SAY)
        stream_fate(v->says, v->pending[id].k, done ? FATE_SURE : FATE_REFUSED);
    else if (!done)
        WRONG("%s was told %.100s", v->who, packet);
    else if (v->pending[id].what == ASKS_TO_JOIN)
        v->is_in |= bit;
    else
        v->may_be_in &= ~bit;
    while (v->n_pending && v->pending[v->n_pending - 1].done)
        v->n_pending--;
}

static inline void take_event_of(visitor *v, const char *packet)
{
    char *end;
    const char *at = packet + strlen("42[\"n\",\"");
    heard one = {.must = v->must, .may = v->may_be_in};
    one.what.stream = (uint32_t)strtoul(at, &end, 10) + 1;
    one.what.k = (uint32_t)strtoul(end + 1, &end, 10);
    one.room = (unsigned)strtoul(end + 1, &end, 10);
    const char *offset = strncmp(end, "\",\"", 3) == 0 ? end + 3 : NULL;
    if (!offset || one.room > N_ROOMS)
        WRONG("%s was told %.100s", v->who, packet);
    snprintf(v->offset, sizeof v->offset, "%.*s", (int)strcspn(offset, "\""), offset);
    told_takes(&v->told, &one);
    n_seen++;
    v->must = v->is_in;
    v->fenced |= is_fencing && one.what.stream - 1 == fences[NAMESPACE];
    if (v->anchors)
        orders_see(NAMESPACE, v->told.n, at, v->who);
}

static inline void take_welcome(visitor *v, const char *packet)
{
    char pid[32] = "";
    const char *end = packet + strlen(packet), *at = member_at(packet, "pid", end);
    if (!at)
        WRONG("%s was told %.100s", v->who, packet);
    snprintf(pid, sizeof pid, "%.*s", (int)strcspn(at, "\""), at);
    v->in = true;
    if (*v->pid && strcmp(pid, v->pid) == 0) {
        n_recovered++;
        return;
    }
    n_strangers += *v->pid != 0;
    if (*v->pid && !is_rivalled(v))
        WRONG("%s was not recovered from %s, at %s, with %zu heard", v->who, v->pid, v->offset, v->told.n);
    v->fenced |= is_fencing && *v->pid; /* it may be behind the last message */
    visitor_forgets(v);
    snprintf(v->pid, sizeof v->pid, "%s", pid);
    for (unsigned i = 1; v->anchors && i <= N_ROOMS; i++)
        visitor_asks_for(v, ASKS_TO_JOIN, i);
}

static inline void visitor_hears(visitor *v, const char *packet)
{
    if (*packet == '2') {
        visitor_sends(v, "3");
    } else if (*packet == '0') {
        const char *sid = member_at(packet, "sid", packet + strlen(packet));
        snprintf(v->sid, sizeof v->sid, "%.*s", (int)strcspn(sid, "\""), sid);
        v->opened = true;
        if (*v->pid)
            visitor_sends(v, "40{\"pid\":\"%s\",\"offset\":\"%s\"}", v->pid, v->offset);
        else
            visitor_sends(v, "40");
    } else if (strncmp(packet, "40", 2) == 0) {
        take_welcome(v, packet);
    } else if (strncmp(packet, "43", 2) == 0) {
        take_acknowledged(v, packet);
    } else if (strncmp(packet, "42[\"n\",", 7) == 0) {
        take_event_of(v, packet);
    } else if (*packet == '1' && may_be_over(v)) {
        v->wire.ended = true;
        v->asked = true;
    } else if (*packet != '6' && !is_stopping) {
        WRONG("%s was told %.100s", v->who, packet);
    }
}

/* ----------------------------------------------------------------------------------------------------------- carriers */

#define VISITOR_POLLS "/socket.io/?EIO=4&transport=polling"

static inline void visitor_asks(visitor *v, const char *to)
{
    char line[160] = "GET " VISITOR_POLLS;
    bool was_broken = wires_break;
    if (client_now_ms() < v->asks_at_ms)
        return;
    if (v->anchors)
        wires_break = false;
    if (!wire_is_open(&v->wire) && !wire_open(&v->wire, to))
        visitor_loses(v);
    wires_break = was_broken;
    if (v->asked || !wire_is_open(&v->wire))
        return;
    v->asked = true;
    if (!v->polls) {
        wire_ask_socket(&v->wire, "/socket.io/?EIO=4&transport=websocket", "");
        return;
    }
    if (*v->sid)
        snprintf(line, sizeof line, "GET " VISITOR_POLLS "&sid=%s", v->sid);
    wire_ask(&v->wire, line, "", NULL);
}

static inline void visitor_posts(visitor *v, const char *to)
{
    char line[160];
    if (!v->polls || !*v->sid || v->posting || !v->packets.len || (!wire_is_open(&v->post) && !wire_open(&v->post, to)))
        return;
    assert_int_equal(buf_put(&v->packets, "", 1), 0);
    snprintf(line, sizeof line, "POST " VISITOR_POLLS "&sid=%s", v->sid);
    wire_ask(&v->post, line, "", v->packets.at);
    v->packets.len = 0;
    v->posting = true;
}

static inline void take_payload(visitor *v, char *body)
{
    char *rest = body;
    for (char *packet; (packet = strsep(&rest, "\x1e"));)
        if (*packet)
            visitor_hears(v, packet);
}

/* A session is over when one of its requests was cut: what was in the answer is lost with it. Idle connections may go. */
static inline void visitor_reads_polls(visitor *v)
{
    char *body;
    int status;
    wire_read(&v->wire);
    wire_read(&v->post);
    bool over = false;
    if (v->asked && (status = wire_take_answer(&v->wire, &body))) {
        v->asked = false;
        if (status == 200)
            take_payload(v, body);
        else if (!is_stopping && !may_be_over(v))
            WRONG("%s was answered %d %.100s", v->who, status, body);
        over |= status != 200;
        free(body);
        if (wire_is_open(&v->wire) && !v->anchors && !is_calm && one_in(6))
            wire_cut(&v->wire);
    }
    if (v->posting && (status = wire_take_answer(&v->post, &body))) {
        v->posting = false;
        if (status != 200 && !is_stopping && !may_be_over(v))
            WRONG("%s posted and was answered %d %.100s", v->who, status, body);
        over |= status != 200;
        free(body);
    }
    if (over || (v->wire.ended && v->asked) || (v->post.ended && v->posting)) {
        visitor_loses(v);
        return;
    }
    if (v->wire.ended)
        wire_done(&v->wire);
    if (v->post.ended)
        wire_done(&v->post);
}

static inline void visitor_reads_socket(visitor *v)
{
    size_t length;
    char *text;
    wire_read(&v->wire);
    if (v->asked && !v->headed)
        v->headed = wire_take_head(&v->wire, &length) == 101;
    while (v->headed && (text = wire_take_text(&v->wire))) {
        visitor_hears(v, text);
        free(text);
    }
    if (v->wire.ended && v->anchors && !is_stopping)
        WRONG("%s was cut", v->who);
    if (v->wire.ended)
        visitor_loses(v);
}

static inline void visitor_reads(visitor *v)
{
    if (v->polls)
        visitor_reads_polls(v);
    else
        visitor_reads_socket(v);
}

/* ----------------------------------------------------------------------------------------------------------- checking */

static inline bool are_meant(unsigned rooms, unsigned room)
{
    return rooms & 1u << room;
}

/* What the anchor heard between two things that a socket heard was for rooms in which that need not have been. */
static inline void check_between(const told *order, uint64_t from, uint64_t to, unsigned must, const heard *next)
{
    for (uint64_t i = from; i < to; i++)
        if (are_meant(must, order->at[i].room))
            WRONG("the namespace: a socket was not told %u.%u (room %u), but %u.%u behind it",
                  order->at[i].what.stream - 1, order->at[i].what.k, order->at[i].room, next->what.stream - 1,
                  next->what.k);
}

/** The order is what the anchor was told. */
static inline void told_check(const told *t, const told *order)
{
    uint64_t before = 0;
    for (size_t i = 0; i < t->n; i++) {
        const heard *one = &t->at[i];
        uint64_t number = *number_of(&streams[one->what.stream - 1], one->what.k);
        if (!number)
            return; /* the anchor was not told any more */
        if (before && number <= before)
            WRONG("the namespace: a socket was told %u.%u again, or too late", one->what.stream - 1, one->what.k);
        if (!are_meant(one->may, one->room))
            WRONG("the namespace: a socket was told %u.%u, of room %u", one->what.stream - 1, one->what.k, one->room);
        if (before)
            check_between(order, before, number - 1, one->must, one);
        before = number;
    }
}

#endif
