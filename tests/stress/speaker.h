/**
 * Clients of weft.v1: several topics on one connection, which they join, leave and publish to, by WebSocket or by polls and posts.
 */
#ifndef WEFT_TESTS_STRESS_SPEAKER_H
#define WEFT_TESTS_STRESS_SPEAKER_H

#include "stress/reader.h"

enum { MOST_SAID = 64 }; /* publications of one connection that wait for their places */

typedef enum {
    AWAY,
    JOINING,
    JOINED,
    LEAVING,
} standing;

typedef struct {
    unsigned number;
    bool polls;
    wire wire; /* a WebSocket, or the connection of the polls */
    wire post;
    bool asked, posting, met; /* a poll, a post, `hello` */
    char session[32];
    unsigned long seq;
    standing standing[N_TOPICS];
    place places[N_TOPICS];
    bool jumps[N_TOPICS], fenced[N_TOPICS];
    unsigned says[N_TOPICS]; /* streams of this connection */
    struct {
        unsigned topic;
        uint32_t k;
    } said[MOST_SAID];         /* by the id of the envelope */
    unsigned n_said, n_placed; /* in the order in which they were asked, for each topic */
    buf envelopes;             /* polls: to be posted */
    uint64_t asks_at_ms;
    char who[64];
} speaker;

static inline void speaker_loses(speaker *s)
{
    wire_done(&s->wire);
    wire_done(&s->post);
    s->envelopes.len = 0;
    s->asked = s->posting = s->met = false;
    *s->session = '\0';
    s->n_said = s->n_placed = 0;
    for (unsigned i = 0; i < N_TOPICS; i++) {
        s->standing[i] = AWAY;
        s->jumps[i] = false;
        s->says[i] = 0;
    }
    s->asks_at_ms = client_now_ms() + (is_calm ? 0 : draw(60));
}

static inline void speaker_done(speaker *s)
{
    speaker_loses(s);
    buf_done(&s->envelopes);
}

/* ------------------------------------------------------------------------------------------------------------- saying */

/* By polls what is said is gathered for the next post. */
__attribute__((format(printf, 2, 3))) static inline void speaker_says(speaker *s, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (!s->polls) {
        wire_send_text(&s->wire, text);
        return;
    }
    assert_int_equal(buf_put_text(&s->envelopes, s->envelopes.len ? "," : "["), 0);
    assert_int_equal(buf_put_text(&s->envelopes, text), 0);
}

static inline void speaker_joins(speaker *s, unsigned topic)
{
    char since[CURSOR_BYTES + 16] = "", cursor[CURSOR_BYTES];
    place *p = &s->places[topic];
    if (!is_calm && one_in(10))
        *p = (place){0};
    if (p->known) {
        place_write(p, cursor);
        snprintf(since, sizeof since, ",\"since\":\"%s\"", cursor);
    } else if (has_history(topic) && (is_calm || one_in(2))) {
        snprintf(since, sizeof since, ",\"since\":\"start\"");
    }
    s->standing[topic] = JOINING;
    speaker_says(s, "{\"type\":\"subscribe\",\"topic\":\"%s\",\"id\":%u%s}", sequences[topic].name, topic, since);
}

static inline void speaker_leaves(speaker *s, unsigned topic)
{
    s->standing[topic] = LEAVING;
    speaker_says(s, "{\"type\":\"unsubscribe\",\"topic\":\"%s\",\"id\":%u}", sequences[topic].name, topic);
}

static inline void speaker_publishes(speaker *s, unsigned topic)
{
    char text[TEXT_BYTES];
    if (s->n_said == MOST_SAID && s->n_placed < MOST_SAID)
        return;
    if (s->n_said == MOST_SAID)
        s->n_said = s->n_placed = 0;
    if (!s->says[topic])
        s->says[topic] = stream_new(topic);
    s->said[s->n_said].topic = topic;
    s->said[s->n_said].k = stream_say(s->says[topic], text);
    speaker_says(s, "{\"type\":\"publish\",\"topic\":\"%s\",\"id\":\"p%u\",\"data\":\"%s\"}", sequences[topic].name,
                 s->n_said, text);
    s->n_said++;
}

/** It waits to be told that it is subscribed, or no longer. */
static inline bool speaker_wavers(const speaker *s)
{
    for (unsigned i = 0; i < N_TOPICS; i++)
        if (s->standing[i] == JOINING || s->standing[i] == LEAVING)
            return true;
    return false;
}

/** Whatever comes to its mind. */
static inline void speaker_acts(speaker *s)
{
    unsigned topic = draw(N_TOPICS);
    if (!s->met)
        return;
    if (s->standing[topic] == AWAY && one_in(2))
        speaker_joins(s, topic);
    else if (s->standing[topic] == JOINED && one_in(30))
        speaker_leaves(s, topic);
    else
        speaker_publishes(s, topic);
}

/* ------------------------------------------------------------------------------------------------------------ hearing */

static inline unsigned topic_named(const char *envelope, const char *end)
{
    const char *name = member_at(envelope, "topic", end);
    for (unsigned i = 0; name && i < N_TOPICS; i++)
        if (strncmp(name, sequences[i].name, strcspn(name, "\"")) == 0)
            return i;
    WRONG("no topic in %.200s", envelope);
}

static inline void take_published(speaker *s, const char *envelope, const char *end)
{
    const char *id = member_at(envelope, "id", end), *cursor = member_at(envelope, "cursor", end);
    char text[TEXT_BYTES];
    if (!id || *id != 'p' || !cursor)
        WRONG("%s was told %.200s", s->who, envelope);
    unsigned i = (unsigned)strtoul(id + 1, NULL, 10), topic = s->said[i].topic;
    place p = place_read(cursor);
    stream_fate(s->says[topic], s->said[i].k, FATE_SURE);
    check_epoch(topic, &p, s->who);
    snprintf(text, sizeof text, "%u.%u", s->says[topic], s->said[i].k);
    orders_see(topic, p.number, text, s->who);
    s->n_placed++;
}

static inline void take_subscribed(speaker *s, const char *envelope, const char *end)
{
    unsigned topic = topic_named(envelope, end);
    const char *gap = strstr(envelope, "\"gap\":true");
    s->standing[topic] = JOINED;
    place_moves(&s->places[topic], topic, member_at(envelope, "cursor", end), gap && gap < end, s->who);
}

static inline void take_heard(speaker *s, const char *envelope, const char *end)
{
    unsigned topic = topic_named(envelope, end);
    const char *text = member_at(envelope, "data", end);
    if (s->standing[topic] == AWAY || s->standing[topic] == JOINING)
        WRONG("%s was told %.200s of a topic it is not subscribed to", s->who, envelope);
    place_takes(&s->places[topic], topic, member_at(envelope, "id", end), text, false, s->who);
    s->fenced[topic] |= is_fence(topic, text);
}

static inline bool is_type(const char *envelope, const char *type)
{
    return strncmp(envelope + strlen("{\"type\":\""), type, strlen(type)) == 0;
}

static inline void speaker_hears(speaker *s, const char *envelope, const char *end)
{
    if (is_type(envelope, "hello"))
        s->met = true;
    else if (is_type(envelope, "message\""))
        take_heard(s, envelope, end);
    else if (is_type(envelope, "subscribed"))
        take_subscribed(s, envelope, end);
    else if (is_type(envelope, "unsubscribed"))
        s->standing[topic_named(envelope, end)] = AWAY;
    else if (is_type(envelope, "published"))
        take_published(s, envelope, end);
    else if (is_type(envelope, "gap"))
        place_moves(&s->places[topic_named(envelope, end)], topic_named(envelope, end),
                    member_at(envelope, "cursor", end), true, s->who);
    else if (!is_stopping)
        WRONG("%s was told %.200s", s->who, envelope);
}

/* ----------------------------------------------------------------------------------------------------------- carriers */

static inline void speaker_connects(speaker *s, const char *to)
{
    if (wire_is_open(&s->wire) || client_now_ms() < s->asks_at_ms)
        return;
    if (!wire_open(&s->wire, to))
        speaker_loses(s);
    else if (!s->polls)
        wire_ask_socket(&s->wire, "/weft", "Sec-WebSocket-Protocol: weft.v1\r\n");
}

/* A connection for it is found, or made. */
static inline void speaker_polls(speaker *s)
{
    char line[128] = "GET /weft?session=new";
    if (s->asked || !wire_is_open(&s->wire))
        return;
    if (*s->session)
        snprintf(line, sizeof line, "GET /weft?session=%s&ack=%lu&wait=%u", s->session, s->seq,
                 is_stopping ? 0 : 1 + draw(3));
    wire_ask(&s->wire, line, "", NULL);
    s->asked = true;
}

static inline void speaker_posts(speaker *s, const char *to)
{
    char line[128];
    if (s->posting || !s->envelopes.len || (!wire_is_open(&s->post) && !wire_open(&s->post, to)))
        return;
    assert_int_equal(buf_put(&s->envelopes, "]", 2), 0);
    snprintf(line, sizeof line, "POST /weft?session=%s", s->session);
    wire_ask(&s->post, line, "", s->envelopes.at);
    s->envelopes.len = 0;
    s->posting = true;
}

/** Goes on, or comes. */
static inline void speaker_asks(speaker *s, const char *to)
{
    speaker_connects(s, to);
    if (s->polls)
        speaker_polls(s);
    if (s->polls && *s->session)
        speaker_posts(s, to);
}

static inline void take_envelopes(speaker *s, const char *body)
{
    const char *id = member_at(body, "session", body + strlen(body)), *seq = strstr(body, "\"seq\":");
    const char *at = strstr(body, "{\"type\":\"");
    if (!id || !seq)
        WRONG("%s was answered %.200s", s->who, body);
    unsigned long next = strtoul(seq + 6, NULL, 10);
    if (*s->session && next != s->seq + 1)
        WRONG("%s was answered seq %lu behind %lu", s->who, next, s->seq);
    snprintf(s->session, sizeof s->session, "%.*s", (int)strcspn(id, "\""), id);
    s->seq = next;
    while (at) {
        const char *end = strstr(at + 1, "{\"type\":\"");
        speaker_hears(s, at, end ? end : at + strlen(at));
        at = end;
    }
}

/* The session goes on on another connection, but for one that posts: what became of that is not known. */
static inline void speaker_took_answer(speaker *s)
{
    char *body;
    int status = s->asked ? wire_take_answer(&s->wire, &body) : 0;
    if (!status)
        return;
    s->asked = false;
    if (status == 200)
        take_envelopes(s, body);
    else if (status != 503 && status != 404 && !is_stopping)
        WRONG("%s was answered %d %.200s", s->who, status, body);
    else
        speaker_loses(s);
    free(body);
    if (wire_is_open(&s->wire) && !is_calm && one_in(10))
        wire_cut(&s->wire);
}

static inline void speaker_took_post(speaker *s)
{
    char *body;
    int status = s->posting ? wire_take_answer(&s->post, &body) : 0;
    if (!status)
        return;
    s->posting = false;
    if (status != 204 && status != 503 && status != 404 && !is_stopping)
        WRONG("%s posted and was answered %d %.200s", s->who, status, body);
    if (status != 204)
        speaker_loses(s);
    free(body);
}

static inline void speaker_reads_polls(speaker *s)
{
    wire_read(&s->wire);
    wire_read(&s->post);
    speaker_took_answer(s);
    speaker_took_post(s);
    if (s->wire.ended) {
        wire_done(&s->wire);
        s->asked = false;
    }
    if (s->post.ended && s->posting)
        speaker_loses(s);
    else if (s->post.ended)
        wire_done(&s->post);
}

static inline void speaker_reads_socket(speaker *s)
{
    size_t length;
    char *text;
    wire_read(&s->wire);
    if (!s->asked && wire_rest(&s->wire).len)
        s->asked = wire_take_head(&s->wire, &length) == 101;
    while (s->asked && (text = wire_take_text(&s->wire))) {
        speaker_hears(s, text, text + strlen(text));
        free(text);
    }
    if (s->wire.ended)
        speaker_loses(s);
}

static inline void speaker_reads(speaker *s)
{
    if (s->polls)
        speaker_reads_polls(s);
    else
        speaker_reads_socket(s);
}

#endif
