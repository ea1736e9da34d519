/**
 * The TLS side of one connection, without its socket: ciphertext in, plaintext out, and the other way round. Between two calls it holds no buffer
 * of its own: what comes and what goes stands in memory that all connections of a loop share.
 */
#ifndef WEFT_NET_TLS_SESSION_H
#define WEFT_NET_TLS_SESSION_H

#include "base/buf.h"
#include "base/chunk.h"
#include "net/tls.h"

enum {
    TLS_RECORD_BYTES = 16 * 1024,   /* of plaintext, at most */
    TLS_RECEIVE_BYTES = 128 * 1024, /* one recv at most */
};

typedef struct tls_session tls_session;

/** What the connections of one loop share. */
typedef struct {
    char received[TLS_RECEIVE_BYTES];
    char plain[TLS_RECORD_BYTES]; /* gathered for one record */
    tls_session *current;         /* the connection that is being worked on */
    buf out;                      /* its records for the socket; empty between two */
    tls_bio *bio;                 /* how OpenSSL reads and writes, whichever it is */
} tls_buffers;

struct tls_session {
    tls_ssl *ssl;
    tls_buffers *shared;
    str input;         /* ciphertext not yet looked at */
    chunk *unsent;     /* ciphertext that the socket did not take; NULL for none */
    size_t unsent_at;  /* where in it the rest begins */
    size_t n_plain;    /* how many bytes of the program are in the rest: they count as queued */
    bool began;        /* the first byte was TLS's */
    bool established;  /* the handshake is over */
    bool renegotiates; /* the client asks for what TLS 1.2 calls so */
    bool ended;        /* close_notify has been made */
    bool eof_waits;    /* the peer's came while the owner was paused */
};

typedef enum {
    TLS_MORE,   /* the input is used up */
    TLS_FULL,   /* there may be more where that came from */
    TLS_END,    /* close_notify: the peer sends nothing more */
    TLS_FAILED, /* broken; shared->out may hold an alert that says so. tls_session_words() tells why */
} tls_status;

/** NULL when there is no memory. */
tls_buffers *tls_buffers_new(void);
void tls_buffers_free(tls_buffers *shared);

/** The server's side of a connection. NULL when there is no memory. */
tls_session *tls_session_new(tls_context *c, tls_buffers *shared);

/** `unsent` must be gone. NULL is fine. */
void tls_session_free(tls_session *t);

/** It leaves its loop: nothing in it belongs to that any more. Between two calls, with no input left. */
void tls_session_leave(tls_session *t);

/** It goes on on another, with what the connections there share. */
void tls_session_arrive(tls_session *t, tls_buffers *shared);

/** Does the handshake, and puts what was decrypted to `at`, as long as there is input and room. What is to be sent for it is added to shared->out. */
tls_status tls_session_read(tls_session *t, char *at, size_t room, size_t *ret_len);

/** Adds one record of at most TLS_RECORD_BYTES to shared->out. Only when established. 0 or -ENOMEM: then the connection is lost. */
int tls_session_write(tls_session *t, str plain);

/** Adds close_notify. */
void tls_session_end(tls_session *t);

/** Why it failed: static. */
const char *tls_session_words(const tls_session *t);

/** The subject of the client's certificate as RFC 2253 has it. Its length without the NUL; when that is `room` or more, or without a certificate, nothing is
 * written. */
size_t tls_session_subject(const tls_session *t, char *ret_text, size_t room);

#endif
