/**
 * Certificates for development: self-signed, for whoever decides to trust them.
 */
#ifndef WEFT_CLI_CERTIFICATE_H
#define WEFT_CLI_CERTIFICATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum { CERTIFICATE_DAYS = 365 };

/** True for what a certificate can be for: a host's name, one whose first part is `*`, an IPv4 or IPv6 address. */
bool certificate_name_is_good(const char *name);

/** Writes a certificate (EC P-256) for the names (NULL-terminated), and its private key, both as PEM. False, with a sentence, when
 * that cannot be done. */
bool certificate_write(const char *const *names, FILE *certificate, FILE *key, const char **ret_problem);

/** localhost, 127.0.0.1, ::1, and further names behind them (NULL-terminated; may be NULL). To be freed; NULL when there is no memory. */
const char **certificate_names(const char *const *further);

/** For https:// without a file: a certificate and a key in memory that live as long as the process, by paths of this process's own. */
typedef struct {
    char certificate[32], key[32]; /* paths, for weft_certificate */
} memory_certificate;

/** One for certificate_names(). False with a sentence. */
bool certificate_in_memory(const char *const *further, memory_certificate *ret_made, const char **ret_problem);

#endif
