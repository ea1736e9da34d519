/**
 * The command line of one subcommand: a table of options, and errors that name the nearest one.
 */
#ifndef WEFT_CLI_OPTIONS_H
#define WEFT_CLI_OPTIONS_H

#include <stdbool.h>
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

/** True when --help or -h is among the arguments. */
bool options_ask_help(char **argv);

/** What the command is about, then one line for each option, aligned, on standard output. The exit status. */
int options_help(const char *about, const option *options, size_t n_options);

/** Flushes standard output. The exit status: EXIT_FAILED after a sentence when it cannot be written. */
int output_end(void);

/** Says that `given` is no `what` and, when one of the names is near, which was probably meant, on standard error. */
void say_unknown(const char *command, const char *what, const char *given, const char *const *names, size_t n_names);

/** A number from 0 to most; -1 when the text is none. */
long read_number(const char *text, long most);

#endif
