/**
 * Clients of one topic: they read, are cut, and come back with the cursor that they have, or without one.
 */
#ifndef WEFT_TESTS_STRESS_READER_H
#define WEFT_TESTS_STRESS_READER_H

#include "stress/orders.h"

typedef enum {
    READ_SOCKET, /* a WebSocket on the topic: messages come without ids; it writes, too */
    READ_EVENTS,
    READ_LINES,
    READ_LONG_POLLS,
    READ_SHORT_POLLS,
    READ_SESSION,
    N_WAYS_TO_READ,
} way_to_read;

static const char *const ways_to_read[] = {"WebSocket",  "SSE",         "lines",
                                           "long polls", "short polls", "polls of a session"};

typedef struct {
    way_to_read by;
    unsigned topic, number;
    wire wire;
    bool audits; /* never cut, and reads from the start */
    bool asked;  /* something is under way */
    bool headed; /* a stream's head was read, or a WebSocket accepted */
    bool jumps;  /* it was told of a gap: the next number may be any */
    bool fenced; /* it has seen the last message */
    place place;
    chunks chunks;
    given given;      /* READ_SOCKET */
    unsigned says;    /* READ_SOCKET: its stream */
    char session[32]; /* READ_SESSION */
    unsigned long seq;
    uint64_t asks_at_ms;
    char who[64];
} reader;

static unsigned fences[N_SEQUENCES]; /* streams of one message, the last of each sequence */
static bool is_fencing, is_stopping, is_calm;
static given givens[MOST_STREAMS]; /* what WebSockets were given that are gone */
static size_t n_givens;

static inline bool is_fence(unsigned sequence_number, const char *text)
{
    return is_fencing && strtoul(text, NULL, 10) == fences[sequence_number];
}

static inline void reader_name(reader *r)
{
    snprintf(r->who, sizeof r->who, "client %u (%s%s)", r->number, ways_to_read[r->by], r->audits ? ", audits" : "");
}

/* What it was given stays to be checked. */
static inline void keep_given(reader *r)
{
    if (r->given.n && n_givens < MOST_STREAMS)
        givens[n_givens++] = r->given;
    else
        given_done(&r->given);
    r->given = (given){0};
}

static inline void reader_loses(reader *r)
{
    wire_done(&r->wire);
    chunks_done(&r->chunks);
    keep_given(r);
    r->asked = r->headed = r->jumps = false;
    r->asks_at_ms = client_now_ms() + (is_calm ? 0 : draw(60));
}

/* ------------------------------------------------------------------------------------------------------------ asking */

static inline const char *query_of(reader *r, char *to, size_t room)
{
    char cursor[CURSOR_BYTES];
    if (r->place.known && !r->audits && !is_calm && one_in(12))
        r->place = (place){0}; /* comes as a new one */
    if (r->by == READ_SOCKET)
        snprintf(to, room, has_history(r->topic) ? "?since=start" : "");
    else
        snprintf(to, room, "%s", has_history(r->topic) && (r->audits || one_in(2)) ? "?since=start" : "");
    if (r->by == READ_SOCKET || !r->place.known)
        return to;
    place_write(&r->place, cursor);
    snprintf(to, room, "?since=%s", cursor);
    return to;
}

static inline void ask_stream(reader *r)
{
    char line[256], query[128], fields[160] = "", cursor[CURSOR_BYTES];
    query_of(r, query, sizeof query);
    r->jumps = !r->place.known;
    if (r->by == READ_EVENTS && r->place.known && one_in(2)) {
        place_write(&r->place, cursor);
        snprintf(fields, sizeof fields, "Last-Event-ID: %s\r\n", cursor);
        *query = '\0';
    }
    size_t len = strlen(fields);
    snprintf(fields + len, sizeof fields - len, "Accept: %s\r\n",
             r->by == READ_EVENTS ? "text/event-stream" : "application/x-ndjson");
    snprintf(line, sizeof line, "GET /topics/%s%s", sequences[r->topic].name, query);
    wire_ask(&r->wire, line, fields, NULL);
}

static inline void ask_socket(reader *r)
{
    char path[256], query[128];
    snprintf(path, sizeof path, "/topics/%s%s", sequences[r->topic].name, query_of(r, query, sizeof query));
    r->given = (given){.topic = r->topic, .from_start = has_history(r->topic)};
    r->says = stream_new(r->topic);
    wire_ask_socket(&r->wire, path, "");
}

static inline void ask_poll(reader *r)
{
    char line[256], query[128];
    const char *name = sequences[r->topic].name;
    if (r->by == READ_SESSION && *r->session) {
        snprintf(line, sizeof line, "GET /topics/%s?session=%s&ack=%lu&wait=%u", name, r->session, r->seq,
                 is_stopping ? 0 : 1 + draw(3));
    } else {
        query_of(r, query, sizeof query);
        snprintf(line, sizeof line, "GET /topics/%s%s", name, query);
        if (r->by == READ_SESSION)
            snprintf(line + strlen(line), 32, "%csession=new", *query ? '&' : '?');
        else if (r->by == READ_LONG_POLLS)
            snprintf(line + strlen(line), 32, "%cwait=%u", *query ? '&' : '?', 1 + draw(3));
    }
    wire_ask(&r->wire, line, "", NULL);
}

/** Asks for what is next, on a connection that it has or a new one. */
static inline void reader_asks(reader *r, const char *to)
{
    bool was_broken = wires_break;
    if (r->asked || client_now_ms() < r->asks_at_ms)
        return;
    if (r->audits)
        wires_break = false;
    bool open = wire_is_open(&r->wire) || wire_open(&r->wire, to);
    wires_break = was_broken;
    if (!open) {
        reader_loses(r);
        return;
    }
    r->asked = true;
    if (r->by == READ_SOCKET)
        ask_socket(r);
    else if (r->by <= READ_LINES)
        ask_stream(r);
    else
        ask_poll(r);
}

/* ----------------------------------------------------------------------------------------------------------- reading */

static inline void reader_takes(reader *r, const char *id, const char *text)
{
    place_takes(&r->place, r->topic, id, text, r->jumps, r->who);
    r->jumps = false;
    r->fenced |= is_fence(r->topic, text);
}

static inline void reader_moves(reader *r, const char *cursor, bool gap)
{
    place_moves(&r->place, r->topic, cursor, gap, r->who);
    r->jumps = false;
}

/* A string member of a JSON object, up to its end. NULL: there is none before `end`. */
static inline const char *member_at(const char *from, const char *name, const char *end)
{
    char start[32];
    snprintf(start, sizeof start, "\"%s\":\"", name);
    const char *at = strstr(from, start);
    return at && at < end ? at + strlen(start) : NULL;
}

/* An event, from `at` on up to its empty line. */
static inline void take_event(reader *r, const char *at, const char *end)
{
    const char *id = NULL, *data = NULL, *name = NULL;
    for (; at < end; at += strcspn(at, "\n") + 1) {
        id = strncmp(at, "id: ", 4) == 0 ? at + 4 : id;
        data = strncmp(at, "data: ", 6) == 0 ? at + 6 : data;
        name = strncmp(at, "event: ", 7) == 0 ? at + 7 : name;
    }
    bool is_gap = name && strncmp(name, "weft-gap\n", 9) == 0;
    if (data && !is_gap)
        reader_takes(r, id, data);
    else if (id)
        reader_moves(r, id, is_gap);
}

static inline void take_line(reader *r, const char *at, const char *end)
{
    const char *id = member_at(at, "id", end), *data = member_at(at, "data", end);
    const char *gap = member_at(at, "cursor", end);
    if (id && data)
        reader_takes(r, id, data);
    else if (gap)
        reader_moves(r, gap, true);
}

static inline void take_stream(reader *r)
{
    const char *separator = r->by == READ_EVENTS ? "\n\n" : "\n", *end;
    chunks_take(&r->chunks, &r->wire);
    char *at = r->chunks.text.at;
    while ((end = strstr(at, separator))) {
        if (r->by == READ_EVENTS)
            take_event(r, at, end + 1);
        else
            take_line(r, at, end);
        at = (char *)end + strlen(separator);
    }
    chunks_drop(&r->chunks, (size_t)(at - r->chunks.text.at));
    if (r->chunks.last)
        reader_loses(r);
}

/* {"messages":[…],"cursor":C,"gap":B} with more in front, or behind. */
static inline void take_polled(reader *r, const char *body)
{
    const char *end = strstr(body, "],\"cursor\":\""), *at = strstr(body, "\"messages\":[");
    if (!end || !at)
        WRONG("%s: %s was answered %.200s", sequences[r->topic].name, r->who, body);
    bool gap = strstr(end, "\"gap\":true"), asked_for_nothing = !r->place.known;
    bool same = r->place.known && strcmp(r->place.epoch, sequences[r->topic].epoch) == 0;
    if (gap && same && is_all_kept(r->topic))
        WRONG("%s: %s was told of a gap behind %llu", sequences[r->topic].name, r->who,
              (unsigned long long)r->place.number);
    r->jumps = gap || asked_for_nothing;
    while ((at = member_at(at, "id", end)))
        reader_takes(r, at, member_at(at, "data", end));
    reader_moves(r, end + 12, r->jumps);
}

static inline void take_session(reader *r, const char *body)
{
    const char *id = member_at(body, "session", body + strlen(body)), *seq = strstr(body, "\"seq\":");
    if (!id || !seq)
        WRONG("%s was answered %.200s", r->who, body);
    unsigned long next = strtoul(seq + 6, NULL, 10);
    if (*r->session && next != r->seq + 1)
        WRONG("%s was answered seq %lu behind %lu", r->who, next, r->seq);
    snprintf(r->session, sizeof r->session, "%.*s", (int)strcspn(id, "\""), id);
    r->seq = next;
}

static inline void take_answer(reader *r)
{
    char *body;
    int status = wire_take_answer(&r->wire, &body);
    if (!status)
        return;
    r->asked = false;
    if (status == 200) {
        if (r->by == READ_SESSION)
            take_session(r, body);
        take_polled(r, body);
    } else if (r->by == READ_SESSION && (status == 404 || status == 409)) {
        *r->session = '\0';
    } else if (status != 503 || !is_stopping) {
        WRONG("%s: %s was answered %d %.200s", sequences[r->topic].name, r->who, status, body);
    }
    free(body);
    r->asks_at_ms = client_now_ms() + (r->by == READ_SHORT_POLLS ? 5 + draw(20) : 0);
    if (wire_is_open(&r->wire) && !r->audits && !is_calm && one_in(10)) /* cut between two requests */
        wire_cut(&r->wire);
}

static inline void take_messages(reader *r)
{
    char *text;
    while ((text = wire_take_text(&r->wire))) {
        given_takes(&r->given, text);
        r->fenced |= is_fence(r->topic, text);
        free(text);
    }
}

static inline void reader_says(reader *r)
{
    char text[TEXT_BYTES];
    stream_say(r->says, text);
    wire_send_text(&r->wire, text);
}

static inline void take_streaming(reader *r)
{
    size_t length;
    if (!r->headed) {
        int status = wire_take_head(&r->wire, &length);
        if (status && status != 101 && status != 200 && !is_stopping)
            WRONG("%s: %s was answered %d", sequences[r->topic].name, r->who, status);
        r->headed = status == 101 || status == 200;
    }
    if (r->headed && r->by == READ_SOCKET)
        take_messages(r);
    else if (r->headed)
        take_stream(r);
}

/** Takes what has come. */
static inline void reader_reads(reader *r)
{
    wire_read(&r->wire);
    if (r->asked && r->by > READ_LINES)
        take_answer(r);
    else if (r->asked)
        take_streaming(r);
    if (r->wire.ended)
        reader_loses(r);
}

static inline void reader_done(reader *r)
{
    reader_loses(r);
    given_done(&r->given);
}

#endif
