#include "options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_NAME = 32, /* names longer than this are never near */
    MAX_OPTIONS = 64,
    WIDTH = 80,      /* of a terminal */
    LEAST_LEFT = 14, /* columns that an option and its value have in the help */
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

const char *nearest_name(const char *given, const char *const *names, size_t n_names)
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
    return nearest;
}

void say_unknown(const char *command, const char *what, const char *given, const char *const *names, size_t n_names)
{
    const char *nearest = nearest_name(given, names, n_names);
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

static const option *find_letter(const option *options, size_t n_options, char letter)
{
    for (size_t i = 0; letter && i < n_options; i++)
        if (options[i].letter == letter)
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
    bool dash = given[0] == '-' && given[1];
    char name[2 * MAX_NAME]; /* without =VALUE */
    snprintf(name, sizeof name, "%.*s", dash ? (int)strcspn(given, "=") : (int)strlen(given), given);
    say_unknown(command, dash ? "option" : "argument", name, names, least(n_options, MAX_OPTIONS));
    return EXIT_USAGE;
}

/* The value of an option that stands at argv[0], behind "=" or in the next argument. */
static int take_value(options_reader *r, const option *o, const char *behind, const char **ret_value)
{
    if (!o->value && behind) {
        fprintf(stderr, "%s: --%s takes no value\n", r->command, o->name);
        return -1;
    }
    *ret_value = behind ? behind : o->alone;
    if (o->value && !*ret_value)
        *ret_value = *++r->argv;
    if (o->value && !*ret_value) {
        fprintf(stderr, "%s: --%s needs a value: --%s %s\n", r->command, o->name, o->name, o->value);
        return -1;
    }
    r->argv++;
    return 1;
}

static int take_argument(options_reader *r, const option **ret_option, const char **ret_value)
{
    *ret_option = NULL;
    *ret_value = *r->argv++;
    return 1;
}

/* What "--name", "--name=VALUE", "-n" or "-nVALUE" says; *ret_behind is the value in the same argument, NULL without one. */
static const option *find_given(const options_reader *r, const char *given, const char **ret_behind)
{
    if (given[1] != '-') {
        const option *o = find_letter(r->options, r->n_options, given[1]);
        *ret_behind = given[2] ? given + 2 : NULL;
        return o && (o->value || !given[2]) ? o : NULL;
    }
    const char *equals = strchr(given, '=');
    *ret_behind = equals ? equals + 1 : NULL;
    return find(r->options, r->n_options, given + 2, equals ? (size_t)(equals - given) - 2 : strlen(given + 2));
}

int options_next(options_reader *r, const option **ret_option, const char **ret_value)
{
    if (r->takes_arguments && !r->only_arguments && *r->argv && strcmp(*r->argv, "--") == 0) {
        r->only_arguments = true;
        r->argv++;
    }
    const char *given = *r->argv;
    if (!given)
        return 0;
    bool plain = given[0] != '-' || given[1] == '\0';
    if (r->only_arguments || (plain && r->takes_arguments))
        return take_argument(r, ret_option, ret_value);

    const char *behind = NULL;
    const option *o = plain ? NULL : find_given(r, given, &behind);
    if (!o) {
        unknown(r->command, r->options, r->n_options, given);
        return -1;
    }
    *ret_option = o;
    return take_value(r, o, behind, ret_value);
}

int options_read(const char *command, const option *options, size_t n_options, char **argv, void *settings)
{
    options_reader reader = {.command = command, .options = options, .n_options = n_options, .argv = argv};
    const option *o;
    const char *value;
    int more;
    while ((more = options_next(&reader, &o, &value)) > 0) {
        const char *problem = o->take(value, settings);
        if (problem) {
            fprintf(stderr, "%s: --%s \"%s\" %s\n", command, o->name, value, problem);
            return EXIT_USAGE;
        }
    }
    return more ? EXIT_USAGE : 0;
}

bool options_ask_help(char **argv)
{
    while (*argv && strcmp(*argv, "--") != 0 && strcmp(*argv, "--help") != 0 && strcmp(*argv, "-h") != 0)
        argv++;
    return *argv && strcmp(*argv, "--") != 0;
}

/* Words up to the width of a terminal, and on in the same column on the next line. */
static void print_column(const char *text, size_t column)
{
    size_t at = column;
    while (*text) {
        size_t len = strcspn(text, " ");
        if (at > column && at + 1 + len > WIDTH) {
            printf("\n%*s", (int)column, "");
            at = column;
        }
        at += (size_t)printf("%s%.*s", at > column ? " " : "", (int)len, text);
        text += len + strspn(text + len, " ");
    }
    putchar('\n');
}

/* `letters`: some option of the table has one, and names stand in a column of their own. */
static size_t left_side(const option *o, bool letters, char *ret_text, size_t room)
{
    const char *before = !o->value ? "" : o->alone ? "[=" : " ";
    char letter[] = {'-', o->letter, ',', ' ', '\0'};
    return (size_t)snprintf(ret_text, room, "%s--%s%s%s%s%s",
                            o->letter ? letter
                            : letters ? "    "
                                      : "",
                            o->name, before, o->value ? o->value : "", o->alone ? "]" : "",
                            o->repeatable ? " ..." : "");
}

int options_help(const char *about, const option *options, size_t n_options)
{
    static const option help = {.name = "help", .help = "this"};
    char left[2 * MAX_NAME], right[512];
    size_t widest = LEAST_LEFT;
    bool letters = false;
    for (size_t i = 0; i < n_options; i++)
        letters |= options[i].letter != '\0';
    for (size_t i = 0; i < n_options; i++) {
        size_t width = left_side(&options[i], letters, left, sizeof left);
        widest = width > widest ? width : widest;
    }
    fputs(about, stdout);
    for (size_t i = 0; i <= n_options; i++) {
        const option *o = i < n_options ? &options[i] : &help;
        left_side(o, letters, left, sizeof left);
        snprintf(right, sizeof right, "%s%s%s", o->help, o->otherwise ? "; default " : "",
                 o->otherwise ? o->otherwise : "");
        printf("  %-*s ", (int)widest, left);
        print_column(right, widest + 3);
    }
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
