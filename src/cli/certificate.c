#include "certificate.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    MAX_NAME = 253,
    SERIAL_BITS = 127,
    AN_HOUR = 3600, /* its clients' clocks may be late */
};

static bool is_ip(const char *name)
{
    unsigned char bytes[16];
    return inet_pton(AF_INET, name, bytes) == 1 || inet_pton(AF_INET6, name, bytes) == 1;
}

bool certificate_name_is_good(const char *name)
{
    if (is_ip(name))
        return true;
    const char *at = strncmp(name, "*.", 2) == 0 ? name + 2 : name;
    for (const char *c = at; *c; c++)
        if (!isalnum((unsigned char)*c) && !((*c == '-' || *c == '.' || *c == '_') && c > at && c[-1] != '.'))
            return false;
    return *at && strlen(name) <= MAX_NAME;
}

/* ------------------------------------------------------------------------------------------------------------- making */

static bool extend(X509 *x, int kind, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx(&context, x, x, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, kind, value);
    bool good = extension && X509_add_ext(x, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return good;
}

static bool add_name(GENERAL_NAMES *names, const char *name)
{
    GENERAL_NAME *one = a2i_GENERAL_NAME(NULL, NULL, NULL, is_ip(name) ? GEN_IPADD : GEN_DNS, name, 0);
    if (one && sk_GENERAL_NAME_push(names, one))
        return true;
    GENERAL_NAME_free(one);
    return false;
}

static bool add_names(X509 *x, const char *const *names)
{
    GENERAL_NAMES *all = sk_GENERAL_NAME_new_null();
    bool good = all;
    for (; good && *names; names++)
        good = add_name(all, *names);
    good = good && X509_add1_ext_i2d(x, NID_subject_alt_name, all, 0, 0) == 1;
    GENERAL_NAMES_free(all);
    return good;
}

static bool set_serial(X509 *x)
{
    BIGNUM *number = BN_new();
    bool good = number && BN_rand(number, SERIAL_BITS, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY) &&
                BN_to_ASN1_INTEGER(number, X509_get_serialNumber(x));
    BN_free(number);
    return good;
}

/* Browsers take a self-signed one for a server's when it says that it is no authority. By its key's identifier it is told apart from others that
 * somebody trusts, which have the same subject. */
static bool fill(X509 *x, EVP_PKEY *key, const char *const *names)
{
    X509_NAME *subject = X509_get_subject_name(x);
    return X509_set_version(x, X509_VERSION_3) && set_serial(x) && X509_gmtime_adj(X509_getm_notBefore(x), -AN_HOUR) &&
           X509_gmtime_adj(X509_getm_notAfter(x), CERTIFICATE_DAYS * 86400L) && X509_set_pubkey(x, key) &&
           X509_NAME_add_entry_by_txt(subject, "O", MBSTRING_ASC, (const unsigned char *)"weft cert", -1, -1, 0) &&
           X509_set_issuer_name(x, subject) && extend(x, NID_basic_constraints, "critical,CA:FALSE") &&
           extend(x, NID_key_usage, "critical,digitalSignature") && extend(x, NID_ext_key_usage, "serverAuth") &&
           extend(x, NID_subject_key_identifier, "hash") && extend(x, NID_authority_key_identifier, "keyid:always") &&
           add_names(x, names) && X509_sign(x, key, EVP_sha256()) > 0;
}

bool certificate_write(const char *const *names, FILE *certificate, FILE *key_file, const char **ret_problem)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    bool made = key && x && fill(x, key, names);
    *ret_problem = made ? "the files cannot be written" : "OpenSSL cannot make the certificate";
    bool good = made && PEM_write_X509(certificate, x) &&
                PEM_write_PrivateKey(key_file, key, NULL, NULL, 0, NULL, NULL) && fflush(certificate) == 0 &&
                fflush(key_file) == 0;
    X509_free(x);
    EVP_PKEY_free(key);
    return good;
}

/* ---------------------------------------------------------------------------------------------------------- in memory */

static const char *const local_names[] = {"localhost", "127.0.0.1", "::1"};

enum { N_LOCAL = sizeof local_names / sizeof *local_names };

static bool is_among(const char *const *names, const char *name)
{
    while (*names && strcasecmp(*names, name) != 0)
        names++;
    return *names;
}

const char **certificate_names(const char *const *further)
{
    size_t n = 0, n_all = N_LOCAL;
    while (further && further[n])
        n++;
    const char **all = calloc(N_LOCAL + n + 1, sizeof *all);
    if (!all)
        return NULL;
    memcpy(all, local_names, sizeof local_names);
    for (size_t i = 0; i < n; i++)
        if (!is_among(all, further[i]))
            all[n_all++] = further[i];
    return all;
}

/* A file without a name, that others cannot open, and that goes with the process. */
static FILE *memory_file(char ret_path[32])
{
    int fd = memfd_create("weft-certificate", MFD_CLOEXEC);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "w");
    if (!file && fd >= 0)
        close(fd);
    snprintf(ret_path, 32, "/proc/self/fd/%d", fd);
    return file;
}

bool certificate_in_memory(const char *const *further, memory_certificate *ret_made, const char **ret_problem)
{
    const char **names = certificate_names(further);
    FILE *certificate = memory_file(ret_made->certificate), *key = memory_file(ret_made->key);
    *ret_problem = "no memory for a certificate";
    bool good = names && certificate && key && certificate_write(names, certificate, key, ret_problem);
    free(names); /* the files stay open: the paths are theirs */
    return good;
}
