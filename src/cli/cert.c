#include "cert.h"

#include "certificate.h"
#include "options.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct {
    const char *folder;
    const char **names; /* NULL-terminated */
    size_t n_names;
    char certificate[PATH_MAX], key[PATH_MAX];
} wish;

static const option options[] = {
    {.name = "out", .value = "DIR", .help = "where cert.pem and key.pem go", .otherwise = "the current folder"},
};

enum { N_OPTIONS = sizeof options / sizeof *options };

static const char about[] = "usage: weft cert [NAME ...] [--out DIR]\n\n"
                            "Makes a certificate for development, self-signed, for localhost, 127.0.0.1, ::1\n"
                            "and each NAME (a host's name, *.NAME or an address), and says how to trust it.\n\n";

static int complain(const char *what, const char *problem)
{
    fprintf(stderr, "weft cert: %s%s%s\n", what, *what ? " " : "", problem);
    return EXIT_FAILED;
}

/* ----------------------------------------------------------------------------------------------------------- arguments */

static int read_arguments(wish *w, char **argv)
{
    options_reader reader = {"weft cert", options, N_OPTIONS, argv, true, false};
    const option *o;
    const char *value;
    int more;
    while ((more = options_next(&reader, &o, &value)) > 0) {
        if (o) {
            w->folder = value;
        } else if (!certificate_name_is_good(value)) {
            fprintf(stderr, "weft cert: \"%s\" is neither a host's name, *.NAME nor an address\n", value);
            return EXIT_USAGE;
        } else {
            w->names[w->n_names++] = value;
        }
    }
    return more ? EXIT_USAGE : 0;
}

/* --------------------------------------------------------------------------------------------------------------- files */

/* The words for errno behind a path. */
static const char *cannot_be_written(char *room, size_t bytes)
{
    snprintf(room, bytes, "cannot be written: %s", strerror(errno));
    return room;
}

/* A new file: the key of a real certificate is not to be lost by this. */
static FILE *make_file(const char *path, mode_t mode)
{
    char words[128];
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "w");
    if (!file)
        complain(path, errno == EEXIST ? "is there already; --out DIR takes another place"
                                       : cannot_be_written(words, sizeof words));
    if (!file && fd >= 0)
        close(fd);
    return file;
}

static int write_files(const wish *w, const char *const *names)
{
    const char *problem = NULL;
    mkdir(w->folder, 0755); /* if it is not there; what else is wrong with it the first file tells */
    FILE *certificate = make_file(w->certificate, 0644), *key = certificate ? make_file(w->key, 0600) : NULL;
    bool good = key && certificate_write(names, certificate, key, &problem);
    if (certificate)
        good &= fclose(certificate) == 0;
    if (key)
        good &= fclose(key) == 0;
    if (!good && certificate)
        unlink(w->certificate);
    if (!good && key) {
        unlink(w->key);
        complain("", problem);
    }
    return good ? 0 : EXIT_FAILED;
}

static void print_names(const char *const *names)
{
    for (size_t i = 0; names[i]; i++)
        printf("%s%s", i ? ", " : "", names[i]);
}

static int tell(const wish *w, const char *const *names)
{
    printf("%s and %s: good for %d days for ", w->certificate, w->key, CERTIFICATE_DAYS);
    print_names(names);
    printf("\n\n"
           "serve with it:    weft serve --cert %s --key %s\n"
           "trust it\n"
           "  in curl:        curl --cacert %s https://localhost:3000/\n"
           "  in Node:        NODE_EXTRA_CA_CERTS=%s node PROGRAM\n"
           "  in Chromium:    certutil -d sql:$HOME/.pki/nssdb -A -t P,, -n weft -i %s\n"
           "  in Firefox:     open the page and accept the risk, or import it under Certificates, Servers\n"
           "  on macOS:       security add-trusted-cert -k ~/Library/Keychains/login.keychain-db %s\n"
           "Whoever has the key can be any of these names to whoever trusts the certificate.\n",
           w->certificate, w->key, w->certificate, w->certificate, w->certificate, w->certificate);
    return output_end();
}

static int make(wish *w)
{
    const char **names = certificate_names(w->names);
    if (!names)
        return complain("", "out of memory");
    bool fits =
        snprintf(w->certificate, sizeof w->certificate, "%s/cert.pem", w->folder) < (int)sizeof w->certificate &&
        snprintf(w->key, sizeof w->key, "%s/key.pem", w->folder) < (int)sizeof w->key;
    int error = fits ? write_files(w, names) : complain(w->folder, "is too long");
    if (!error)
        error = tell(w, names);
    free(names);
    return error;
}

int run_cert(char **argv)
{
    wish w = {.folder = "."};
    size_t n = 0;
    if (options_ask_help(argv))
        return options_help(about, options, N_OPTIONS);
    while (argv[n])
        n++;
    w.names = calloc(n + 1, sizeof *w.names);
    if (!w.names)
        return complain("", "out of memory");
    int error = read_arguments(&w, argv);
    if (!error)
        error = make(&w);
    free(w.names);
    return error;
}
