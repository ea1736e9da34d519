/**
 * The command line of one subcommand: a table of options, and errors that name the nearest one.
 */
#ifndef WEFT_CLI_OPTIONS_H
#define WEFT_CLI_OPTIONS_H

#include <stddef.h>

enum {
    EXIT_FAILED = 1, /* it could not do its work: a port in use */
    EXIT_USAGE = 2,  /* it was not told right what to do */
};

typedef struct {
    const char *name;  /* "port", for --port VALUE and --port=VALUE */
    const char *value; /* what the help calls its value: "N" */
    const char *help;
    /* Takes the value; NULL when it is good, else what is wrong with it: "is not a port from 0 to 65535". */
    const char *(*take)(const char *value, void *settings);
} option;

/** Reads argv into settings. 0, or EXIT_USAGE after one sentence on standard error. */
int options_read(const char *command, const option *options, size_t n_options, char **argv, void *settings);

/** One line for each option, aligned, on standard output. */
void options_help(const option *options, size_t n_options);

/** Says that `given` is no `what` and, when one of the names is near, which was probably meant, on standard error. */
void say_unknown(const char *command, const char *what, const char *given, const char *const *names, size_t n_names);

/** A number from 0 to most; -1 when the text is none. */
long read_number(const char *text, long most);

#endif
