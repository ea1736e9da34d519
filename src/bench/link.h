/**
 * One connection's bytes: a non-blocking socket, plain or TLS, of a load generator.
 *
 * What is read lies in one buffer of the worker, from its front; what the reader leaves is kept with the link and comes again with more behind it. What
 * is written gathers in a buffer and goes out in one call at the end of the turn.
 */
#ifndef WEFT_BENCH_LINK_H
#define WEFT_BENCH_LINK_H

#include "base/buf.h"
#include "bench/target.h"
#include "loop/loop.h"
#include <openssl/ssl.h>

typedef struct bench_link bench_link;
typedef struct bench_lines bench_lines;

/** What the links of a worker share. */
struct bench_lines {
    loop *loop;
    SSL_CTX *tls; /* NULL: nobody asked for it */
    char *read_buffer;
    size_t read_buffer_bytes;
    uint64_t n_read_bytes, n_written_bytes;
};

/** 0 or -errno; WEFT_E_* when OpenSSL gives no context. Certificates are not checked: what is measured is often made for the occasion. With TLS the process
 * ignores SIGPIPE from now on. */
int bench_lines_init(bench_lines *lines, loop *l, bool tls);
void bench_lines_done(bench_lines *lines);

/** The `why` of a connection that the server ended in order. */
extern const char bench_link_ended[];

typedef struct {
    /* Connected, and past the TLS handshake. */
    void (*up)(bench_link *link);
    /* Bytes came: how many of them are behind us. Those that are not come again with more. */
    size_t (*bytes)(bench_link *link, char *at, size_t len);
    /* The link is down, once: the server ended it (bench_link_ended), or it failed. `why` is a static half-sentence: "refused". Not called for
     * bench_link_close(). Nothing but closing, and then opening anew, may be done with the link. */
    void (*down)(bench_link *link, const char *why);
} bench_link_handler;

struct bench_link {
    loop_source source;
    loop_task flush;    /* queued while there is something to write and the socket takes it */
    bench_lines *lines; /* NULL: not open */
    const bench_link_handler *handler;
    SSL *ssl;
    buf out; /* what has not gone out, from out_at */
    size_t out_at;
    buf rest; /* what the reader left */
    /* Set by the reader: so many bytes, with those that it leaves, must be there before it is called again. Room is made for them at once. */
    size_t wanted;
    uint32_t n_closed;   /* how often, so that a caller sees whether it is still the same connection */
    bool is_up, is_down; /* both were told */
    bool is_connected;   /* maybe not yet past the TLS handshake */
    bool is_full;        /* the socket takes no more for now */
};

/** Begins to connect, from `source` unless it is NULL. 0 or -errno, and then nothing has begun. up() or down() comes from the loop. */
int bench_link_open(bench_link *link, bench_lines *lines, const bench_target *target,
                    const struct sockaddr_storage *source, socklen_t source_len, const bench_link_handler *handler);

/** Closes at once, without a word; twice is fine, and so is a zeroed link. The link's memory must stay while one of its callbacks runs. */
void bench_link_close(bench_link *link);

/** Where bytes are to be put that go out at the end of this turn: bench_link_flush() must follow. */
static inline buf *bench_link_out(bench_link *link)
{
    return &link->out;
}

/** Sees to it that what was put goes out at the end of the turn. */
void bench_link_flush(bench_link *link);

/** Sends at once what the socket takes: for last words. The link may be down afterwards. */
void bench_link_send(bench_link *link);

/** Bytes not taken by the socket yet. */
static inline size_t bench_link_unsent(const bench_link *link)
{
    return link->out.len - link->out_at;
}

#endif
