/**
 * What the TLS connections of one listener share: certificates (chosen by the name that a client asks for), ticket keys, and what is asked of
 * clients. OpenSSL does the cryptography; this says which of it.
 *
 * The files are read into a tls_certificates, whole, before anything is served with them, so that a reload that fails changes nothing.
 */
#ifndef WEFT_NET_TLS_H
#define WEFT_NET_TLS_H

#include "base/log.h"

typedef struct tls_context tls_context;
typedef struct ssl_ctx_st tls_certificates; /* counted by OpenSSL: connections keep theirs when a reload swaps them */
typedef struct ssl_st tls_ssl;
typedef struct bio_st tls_bio;

enum {
    TLS_PROBLEM_BYTES = 512,
    TLS_TICKET_KEY_S = 3600, /* a key makes tickets for so long, and is accepted for as long again */
};

/** Copies the TLS part of the options and reads its files. 0, WEFT_E_INVALID or -ENOMEM with a sentence in ret_problem. A certificate that has expired
 * is served, and logged as a warning. The logger is borrowed. */
int tls_context_new(const weft_listen_options *options, const logger *log, tls_context **ret_context,
                    char ret_problem[TLS_PROBLEM_BYTES]);

/** No connection may be left. NULL is fine. */
void tls_context_free(tls_context *c);

/** Reads the files again, for tls_context_swap(). Results as tls_context_new(). Any thread. */
int tls_context_read(tls_context *c, tls_certificates **ret_fresh, char ret_problem[TLS_PROBLEM_BYTES]);

/** From now on connections get these, which were read for this context. Any thread. */
void tls_context_swap(tls_context *c, tls_certificates *fresh);

/** Those that were not swapped in. NULL is fine. */
void tls_certificates_free(tls_certificates *fresh);

/** What one connection needs; NULL when there is no memory. */
tls_ssl *tls_context_connect(tls_context *c);

/** A new ticket key; the one before is still accepted, the one before that no more. Time does the same. Any thread. */
void tls_context_rotate(tls_context *c);

/** What OpenSSL's errors of this thread say first, in a few words; they are forgotten. Never NULL; static, or in OpenSSL's own memory. */
const char *tls_error_words(void);

/** The application's list of contexts. */
tls_context **tls_context_next(tls_context *c);

#endif
