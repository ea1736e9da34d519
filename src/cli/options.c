#include "options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_NAME = 32, /* names longer than this are never near */
    MAX_OPTIONS = 64,
    NEAR_ENOUGH = 3, /* edits between what was typed and what was meant, and at most half of that */
};

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Levenshtein's distance, row by row. */
static size_t distance(const char *a, const char *b)
{
    size_t row[MAX_NAME + 1], n = strlen(b);
    if (n > MAX_NAME || strlen(a) > MAX_NAME)
        return MAX_NAME;
    for (size_t j = 0; j <= n; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1]; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            size_t substituted = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            row[j] = least(substituted, least(row[j], row[j - 1]) + 1);
        }
    }
    return row[n];
}

void say_unknown(const char *command, const char *what, const char *given, const char *const *names, size_t n_names)
{
    const char *nearest = NULL;
    size_t best = NEAR_ENOUGH + 1;
    for (size_t i = 0; i < n_names; i++) {
        size_t d = distance(given, names[i]);
        if (d < best && 2 * d <= strlen(names[i])) {
            best = d;
            nearest = names[i];
        }
    }
    if (nearest)
        fprintf(stderr, "%s: unknown %s \"%s\"; did you mean \"%s\"?\n", command, what, given, nearest);
    else
        fprintf(stderr, "%s: unknown %s \"%s\"; see %s --help\n", command, what, given, command);
}

static const option *find(const option *options, size_t n_options, const char *name, size_t len)
{
    for (size_t i = 0; i < n_options; i++)
        if (strlen(options[i].name) == len && memcmp(options[i].name, name, len) == 0)
            return &options[i];
    return NULL;
}

static int unknown(const char *command, const option *options, size_t n_options, const char *given)
{
    char dashed[MAX_OPTIONS][MAX_NAME];
    const char *names[MAX_OPTIONS];
    for (size_t i = 0; i < n_options && i < MAX_OPTIONS; i++) {
        snprintf(dashed[i], MAX_NAME, "--%s", options[i].name);
        names[i] = dashed[i];
    }
    bool dash = given[0] == '-';
    char name[2 * MAX_NAME]; /* without =VALUE */
    snprintf(name, sizeof name, "%.*s", dash ? (int)strcspn(given, "=") : (int)strlen(given), given);
    say_unknown(command, dash ? "option" : "argument", name, names, least(n_options, MAX_OPTIONS));
    return EXIT_USAGE;
}

int options_read(const char *command, const option *options, size_t n_options, char **argv, void *settings)
{
    for (; *argv; argv++) {
        const char *given = *argv, *name = given + 2;
        if (strncmp(given, "--", 2) != 0)
            return unknown(command, options, n_options, given);
        const char *value = strchr(name, '=');
        const option *o = find(options, n_options, name, value ? (size_t)(value - name) : strlen(name));
        if (!o)
            return unknown(command, options, n_options, given);
        value = value ? value + 1 : *++argv;
        if (!value) {
            fprintf(stderr, "%s: --%s needs a value: --%s %s\n", command, o->name, o->name, o->value);
            return EXIT_USAGE;
        }
        const char *problem = o->take(value, settings);
        if (problem) {
            fprintf(stderr, "%s: --%s \"%s\" %s\n", command, o->name, value, problem);
            return EXIT_USAGE;
        }
    }
    return 0;
}

bool options_ask_help(char **argv)
{
    while (*argv && strcmp(*argv, "--help") != 0 && strcmp(*argv, "-h") != 0)
        argv++;
    return *argv;
}

int options_help(const char *about, const option *options, size_t n_options)
{
    fputs(about, stdout);
    for (size_t i = 0; i < n_options; i++) {
        char left[2 * MAX_NAME];
        snprintf(left, sizeof left, "--%s %s", options[i].name, options[i].value);
        printf("  %-14s %s\n", left, options[i].help);
    }
    printf("  %-14s %s\n", "--help", "this");
    return output_end();
}

int output_end(void)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return 0;
    fprintf(stderr, "weft: cannot write: %s\n", strerror(errno));
    return EXIT_FAILED;
}

long read_number(const char *text, long most)
{
    char *end;
    if (*text < '0' || *text > '9')
        return -1;
    long number = strtol(text, &end, 10);
    return *end || number > most ? -1 : number;
}
