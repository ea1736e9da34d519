/**
 * One connection of a load generator as its scenario sees it: it becomes ready, sends messages and gets messages, whatever it speaks.
 *
 *     scenario (echo, broadcast, ...)     ready()  message()  lost()
 *         │ bench_client_send()               ▲
 *         ▼                                   │
 *     protocol (WebSocket, SSE, ...)      start()  feed()
 *         │ bench_link_out()                  ▲
 *         ▼                                   │
 *     link (socket, TLS)
 */
#ifndef WEFT_BENCH_CLIENT_H
#define WEFT_BENCH_CLIENT_H

#include "bench/flight.h"
#include "bench/link.h"
#include "bench/plan.h"

typedef struct bench_client bench_client;
typedef struct bench_worker bench_worker;

/** What a connection speaks. Static tables: bench_websocket, bench_socketio, ... */
typedef struct {
    const char *name;
    size_t state_bytes; /* of bench_client_state(), zeroed for each connection */
    /* The link is up: asks for whatever makes the client ready. */
    void (*start)(bench_client *client);
    /* Bytes came: how many are behind us; the rest comes again with more. bench_client_fail() when they are wrong. */
    size_t (*feed)(bench_client *client, char *at, size_t len);
    /* Puts one message on the link. NULL: it only receives. */
    void (*send)(bench_client *client, str payload);
    /* The server ended the connection in order: true when that is fine. The client then opens it anew by itself: its state stays as it is, start() is called
     * again, and it is still ready if it was (sending goes on meanwhile: what a protocol cannot put on the link yet it keeps). NULL: it never is. */
    bool (*ended)(bench_client *client);
    /* Frees what the state holds. NULL: nothing. */
    void (*done)(bench_client *client);
} bench_protocol;

/** What is done with the connections. */
typedef struct {
    /* It may send, and gets messages from now on. Once for each bench_client_open(). */
    void (*ready)(bench_client *client);
    /* A whole message; borrowed until this returns. */
    void (*message)(bench_client *client, str payload);
    /* All messages of one read have been told. NULL: of no interest. */
    void (*read)(bench_client *client);
    /* It is gone, ready or not; counted already (see worker.h). `why` is a static half-sentence. NULL: of no interest. */
    void (*lost)(bench_client *client, const char *why);
} bench_scenario;

struct bench_client {
    bench_link link; /* first: a link is its client */
    bench_worker *worker;
    const bench_protocol *protocol;
    const bench_scenario *scenario;
    const bench_target *target; /* of the plan's, until it is set before bench_client_open(): a publisher has another */
    uint32_t number;            /* over all processes */
    bool is_open;               /* from bench_client_open() until it is lost or closed */
    bool is_ready;
    bool is_extra; /* a publisher: none of the plan's connections */
    /* for the scenario */
    bench_flight flight; /* given up by bench_client_free(); bench_client_open() leaves it alone */
    uint64_t opened_ns;  /* when bench_client_open() was called */
    max_align_t state[];
};

/** NULL when there is no memory. */
bench_client *bench_client_new(bench_worker *worker, const bench_protocol *protocol, const bench_scenario *scenario,
                               uint32_t number);

/** Closes without a word. NULL is fine. Not while the client is told something. */
void bench_client_free(bench_client *client);

/** Connects. 0 or -errno; ready() or lost() follows. A client that was lost or closed may be opened again: its state is zeroed. */
int bench_client_open(bench_client *client);

/** Closes the connection without a word: lost() is not called. */
void bench_client_close(bench_client *client);

/** Sends one message; it goes out at the end of the turn. Nothing is sent before it is ready, or once it is lost or closed. */
void bench_client_send(bench_client *client, str payload);

/* For protocols. */

/** Memory of the protocol's own. */
static inline void *bench_client_state(bench_client *client)
{
    return client->state;
}

/* The scenario may close the connection while it is told (it is closed when a send finds no memory): when these two return false it has, and start() or
 * feed() returns at once without a look at its state or its bytes. */

/** The handshake is behind it. A client that is ready already is not told again. */
bool bench_client_ready(bench_client *client);

/** A whole message came. */
bool bench_client_message(bench_client *client, str payload);

/** What came is wrong: the connection is closed and the client is lost. `why` is a static half-sentence: "answered 404 to the handshake". Nothing may be
 * done with the client until feed() or start() has returned; what feed() returns is of no interest then. */
void bench_client_fail(bench_client *client, const char *why);

/** Ends the connection and opens it anew, as when the server has ended it in order: the state stays, start() is called again. From the loop, not in start() or
 * feed(). */
void bench_client_reopen(bench_client *client);

/** False in a build without zlib: plan->deflate may not be set then. */
bool bench_can_deflate(void);

/** What this plan's connections speak; chosen once. */
const bench_protocol *bench_protocol_of(const bench_plan *plan);

extern const bench_protocol bench_plain;     /* TCP: messages of plan->message_bytes */
extern const bench_protocol bench_websocket; /* with permessage-deflate when the plan says so */
extern const bench_protocol bench_socketio;  /* over WebSocket, namespace "/" */
extern const bench_protocol bench_sse;
extern const bench_protocol bench_stream;
extern const bench_protocol bench_poll;
extern const bench_protocol
    bench_http_get; /* a message is a request, whatever its payload; each answer's body is one */
extern const bench_protocol bench_http_post; /* a message is POSTed; each answer's body is one */

#endif
