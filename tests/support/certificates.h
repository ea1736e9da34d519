/**
 * Certificates for tests, made where they are needed: authorities and what they sign, in files of a scratch folder.
 */
#ifndef WEFT_TESTS_CERTIFICATES_H
#define WEFT_TESTS_CERTIFICATES_H

#include "support/check.h"
#include <limits.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CERTIFICATE_PATH_BYTES = 300 };

typedef struct {
    X509 *certificate;
    EVP_PKEY *key;
    char certificate_file[CERTIFICATE_PATH_BYTES], key_file[CERTIFICATE_PATH_BYTES];
} test_certificate;

typedef struct {
    const char *name;               /* of the files, and CN */
    const char *names;              /* "DNS:a.test,IP:127.0.0.1"; NULL: an authority */
    const test_certificate *issuer; /* NULL: itself */
    long from_s, until_s;           /* from now; both 0: from an hour ago for a day */
    bool rsa;
} certificate_wish;

/** A folder of its own; certificates_forget() removes it. */
static char certificates_folder[64];

static inline const char *certificates_path(const char *name, const char *suffix)
{
    static char paths[4][CERTIFICATE_PATH_BYTES];
    static unsigned next;
    char *path = paths[next++ % 4];
    if (!*certificates_folder) {
        strcpy(certificates_folder, "/tmp/weft-certificates-XXXXXX");
        assert_non_null(mkdtemp(certificates_folder));
    }
    snprintf(path, CERTIFICATE_PATH_BYTES, "%s/%s%s", certificates_folder, name, suffix);
    return path;
}

static inline void certificates_forget(void)
{
    char command[128];
    if (!*certificates_folder)
        return;
    snprintf(command, sizeof command, "rm -rf %s", certificates_folder);
    assert_int_equal(system(command), 0);
    *certificates_folder = '\0';
}

static inline void certificate_extend(X509 *certificate, X509 *issuer, int kind, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, kind, value);
    assert_non_null(extension);
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
}

static inline void certificate_write(const test_certificate *c)
{
    FILE *file = fopen(c->certificate_file, "w");
    assert_non_null(file);
    PEM_write_X509(file, c->certificate);
    fclose(file);
    file = fopen(c->key_file, "w");
    assert_non_null(file);
    PEM_write_PrivateKey(file, c->key, NULL, NULL, 0, NULL, NULL);
    fclose(file);
}

static inline void certificate_make(test_certificate *c, const certificate_wish *wish)
{
    static long serial = 1;
    bool forever = !wish->from_s && !wish->until_s;
    X509 *x = c->certificate = X509_new();
    c->key = wish->rsa ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256");
    assert_non_null(c->key);
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), serial++);
    X509_gmtime_adj(X509_getm_notBefore(x), forever ? -3600 : wish->from_s);
    X509_gmtime_adj(X509_getm_notAfter(x), forever ? 86400 : wish->until_s);
    X509_set_pubkey(x, c->key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_UTF8, (const unsigned char *)wish->name, -1, -1,
                               0);
    X509 *issuer = wish->issuer ? wish->issuer->certificate : x;
    X509_set_issuer_name(x, X509_get_subject_name(issuer));
    if (!wish->names || !wish->issuer)
        certificate_extend(x, issuer, NID_basic_constraints, "critical,CA:TRUE");
    if (wish->names)
        certificate_extend(x, issuer, NID_subject_alt_name, wish->names);
    assert_true(X509_sign(x, wish->issuer ? wish->issuer->key : c->key, EVP_sha256()) > 0);
    snprintf(c->certificate_file, sizeof c->certificate_file, "%s", certificates_path(wish->name, ".pem"));
    snprintf(c->key_file, sizeof c->key_file, "%s", certificates_path(wish->name, ".key"));
    certificate_write(c);
}

static inline void certificate_done(test_certificate *c)
{
    X509_free(c->certificate);
    EVP_PKEY_free(c->key);
    *c = (test_certificate){0};
}

#endif
