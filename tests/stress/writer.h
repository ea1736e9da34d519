/**
 * Those that publish: threads of the program's own, callbacks on whatever loop a client came to, and HTTP requests.
 */
#ifndef WEFT_TESTS_STRESS_WRITER_H
#define WEFT_TESTS_STRESS_WRITER_H

#include "stress/reader.h"
#include <pthread.h>

enum { MOST_CALLS = 64, N_ROOMS = 3, LARGE_BYTES = 9000 };

/* Some messages are large: their text has dashes behind it. */
static inline weft_str dashed(char *text, size_t room, bool large)
{
    size_t len = strlen(text);
    if (large) {
        memset(text + len, '-', room - len);
        len = room;
    }
    return (weft_str){text, len};
}

/* ------------------------------------------------------------------------------------------------------------ threads */

typedef struct {
    pthread_t thread;
    uint64_t chance;
    unsigned says[N_SEQUENCES];
} publisher;

static atomic_bool publishers_end;

static inline int thread_publishes(publisher *p, unsigned topic)
{
    char text[LARGE_BYTES];
    uint32_t k = stream_say(p->says[topic], text);
    weft_message message = {.kind = WEFT_TEXT, .data = dashed(text, sizeof text, draw_from(&p->chance, 400) == 0)};
    int error = weft_publish(app, sequences[topic].name, &message, NULL);
    stream_fate(p->says[topic], k, error ? FATE_REFUSED : FATE_SURE);
    return error;
}

/* A message for a room, or all of the namespace, says so: STREAM.K.ROOM. */
static inline int broadcast(weft *to, const char *text, unsigned room)
{
    char args[64], name[4];
    const char *rooms[] = {name, NULL};
    snprintf(args, sizeof args, "[\"%s.%u\"]", text, room);
    snprintf(name, sizeof name, "r%u", room);
    const weft_socketio_event event = {.name = weft_str_of("n"), .args = weft_str_of(args)};
    return weft_socketio_broadcast(to, room ? &(weft_socketio_target){.rooms = rooms} : NULL, &event);
}

static inline int thread_broadcasts(publisher *p)
{
    char text[TEXT_BYTES];
    uint32_t k = stream_say(p->says[NAMESPACE], text);
    int error = broadcast(app, text, draw_from(&p->chance, N_ROOMS + 1));
    stream_fate(p->says[NAMESPACE], k, error ? FATE_REFUSED : FATE_SURE);
    return error;
}

/* Now and then as fast as it can. */
static inline void *publish_on(void *user)
{
    publisher *p = user;
    int error = 0;
    while (!atomic_load(&publishers_end) && error != WEFT_E_CLOSED) {
        bool burst = draw_from(&p->chance, 40) == 0;
        for (uint32_t n = burst ? 200 : 1 + draw_from(&p->chance, 4); n && error != WEFT_E_CLOSED; n--)
            error =
                draw_from(&p->chance, 4) ? thread_publishes(p, draw_from(&p->chance, N_TOPICS)) : thread_broadcasts(p);
        poll(NULL, 0, (int)(1 + draw_from(&p->chance, 12)));
    }
    return NULL;
}

static inline void publisher_starts(publisher *p)
{
    p->chance = ((uint64_t)draw(UINT32_MAX) << 32) | 1;
    for (unsigned i = 0; i < N_SEQUENCES; i++)
        p->says[i] = stream_new(i);
    assert_int_equal(pthread_create(&p->thread, NULL, publish_on, p), 0);
}

/* ---------------------------------------------------------------------------------------------------------- callbacks */

/* "TOPIC TEXT", or "TEXT" with the room's number behind it for the namespace: answered with what became of it. */
static inline void on_call(weft_peer who, const weft_message *message)
{
    char text[TEXT_BYTES], answer[16];
    unsigned topic, room;
    snprintf(text, sizeof text, "%.*s", (int)message->data.len, message->data.at);
    assert_int_equal(sscanf(text, "%u %u", &topic, &room), 2);
    char *rest = strrchr(text, ' ') + 1;
    int error = topic == NAMESPACE ? broadcast(weft_of(who), rest, room)
                                   : weft_publish_text(weft_of(who), sequences[topic].name, rest);
    snprintf(answer, sizeof answer, "%d", error);
    weft_send_text(who, answer);
}

/** A client of "/call", or one that posts: one publication after the other, or several at once by callbacks. */
typedef struct {
    bool posts;
    bool headed;
    wire wire;
    unsigned says[N_SEQUENCES];
    struct {
        unsigned topic;
        uint32_t k;
    } said[MOST_CALLS];
    unsigned n_said, n_told;
    uint64_t asks_at_ms;
} caller;

static inline void caller_loses(caller *c)
{
    wire_done(&c->wire);
    c->headed = false;
    c->n_said = c->n_told = 0;
    if (!c->posts) /* the next connection may be another loop's */
        memset(c->says, 0, sizeof c->says);
    c->asks_at_ms = client_now_ms() + (is_calm ? 0 : draw(60));
}

static inline bool caller_waits(const caller *c)
{
    return c->n_told < c->n_said;
}

static inline void call(caller *c, const char *text, unsigned topic)
{
    char all[64];
    snprintf(all, sizeof all, "%u %u %s", topic, draw(N_ROOMS + 1), text);
    wire_send_text(&c->wire, all);
}

static inline void post(caller *c, const char *text, unsigned topic)
{
    char line[64], body[256];
    const char *name = sequences[topic].name;
    if (one_in(4)) {
        snprintf(body, sizeof body, "[{\"topic\":\"%s\",\"data\":\"%s\"}]", name, text);
        wire_ask(&c->wire, "POST /topics", "Content-Type: application/json\r\n", body);
    } else {
        snprintf(line, sizeof line, "POST /topics/%s", name);
        wire_ask(&c->wire, line, "", text);
    }
}

static inline void caller_says(caller *c, const char *to)
{
    char text[TEXT_BYTES];
    unsigned topic = draw(c->posts ? N_TOPICS : N_SEQUENCES);
    if (client_now_ms() < c->asks_at_ms || c->n_said == MOST_CALLS || (c->posts && caller_waits(c)))
        return;
    if (!wire_is_open(&c->wire)) {
        if (!wire_open(&c->wire, to))
            caller_loses(c);
        else if (!c->posts)
            wire_ask_socket(&c->wire, "/call", "");
        return;
    }
    if (!c->posts && !c->headed)
        return;
    if (!c->says[topic])
        c->says[topic] = stream_new(topic);
    c->said[c->n_said].topic = topic;
    c->said[c->n_said++].k = stream_say(c->says[topic], text);
    if (c->posts)
        post(c, text, topic);
    else
        call(c, text, topic);
}

static inline void caller_is_told(caller *c, bool done)
{
    stream_fate(c->says[c->said[c->n_told].topic], c->said[c->n_told].k, done ? FATE_SURE : FATE_REFUSED);
    if (++c->n_told == c->n_said)
        c->n_told = c->n_said = 0;
}

static inline void take_called(caller *c)
{
    size_t length;
    char *text;
    if (!c->headed)
        c->headed = wire_take_head(&c->wire, &length) == 101;
    while (c->headed && (text = wire_take_text(&c->wire))) {
        caller_is_told(c, strtol(text, NULL, 10) == 0);
        free(text);
    }
}

static inline void take_posted(caller *c)
{
    char *body;
    int status = caller_waits(c) ? wire_take_answer(&c->wire, &body) : 0;
    if (!status)
        return;
    if (status == 201) {
        unsigned topic = c->said[c->n_told].topic, id = c->says[topic];
        const char *cursor = member_at(body, "id", body + strlen(body));
        char text[TEXT_BYTES];
        place p = place_read(cursor ? cursor : body);
        check_epoch(topic, &p, "a post");
        snprintf(text, sizeof text, "%u.%u", id, c->said[c->n_told].k);
        orders_see(topic, p.number, text, "a post");
        caller_is_told(c, true);
    } else if (is_stopping) {
        caller_loses(c);
    } else {
        WRONG("a post to %s was answered %d %.200s", sequences[c->said[c->n_told].topic].name, status, body);
    }
    free(body);
    if (wire_is_open(&c->wire) && !is_calm && one_in(20))
        wire_cut(&c->wire);
}

static inline void caller_reads(caller *c)
{
    wire_read(&c->wire);
    if (c->posts)
        take_posted(c);
    else
        take_called(c);
    if (c->wire.ended)
        caller_loses(c);
}

#endif
