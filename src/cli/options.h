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
    const char *value; /* what the help calls its value: "N"; NULL: it takes none */
    const char *help;
    /* Takes the value; NULL when it is good, else what is wrong with it: "is not a port from 0 to 65535". */
    const char *(*take)(const char *value, void *settings);
    const char *otherwise; /* what holds without it, behind the help as "; default 300"; NULL: the help says it */
    bool repeatable;       /* the help writes "VALUE ..." */
    char letter;           /* 'c', for -c VALUE and -cVALUE too; 0: none */
    const char *alone; /* its value when none stands behind "="; then the next argument is none of its; NULL: it is */
} option;

/** Reads argv into settings. 0, or EXIT_USAGE after one sentence on standard error. */
int options_read(const char *command, const option *options, size_t n_options, char **argv, void *settings);

/** Goes through argv for commands that take plain arguments too, or have no `take`. */
typedef struct {
    const char *command;
    const option *options;
    size_t n_options;
    char **argv;          /* what is left */
    bool takes_arguments; /* words that are no option: "-", what does not begin with "-", and all behind "--" */
    bool only_arguments;  /* "--" has come */
} options_reader;

/** The next option with its value (NULL when it takes none), or NULL with a plain argument. 1; 0 at the end; -1 after one sentence on standard
 * error. */
int options_next(options_reader *reader, const option **ret_option, const char **ret_value);

/** True when --help or -h is among the arguments. */
bool options_ask_help(char **argv);

/** What the command is about, then each option with its help in a column beside, on standard output. The exit status. */
int options_help(const char *about, const option *options, size_t n_options);

/** Flushes standard output. The exit status: EXIT_FAILED after a sentence when it cannot be written. */
int output_end(void);

/** Says that `given` is no `what` and, when one of the names is near, which was probably meant, on standard error. */
void say_unknown(const char *command, const char *what, const char *given, const char *const *names, size_t n_names);

/** The name that was probably meant; NULL when none is near. */
const char *nearest_name(const char *given, const char *const *names, size_t n_names);

/** A number from 0 to most; -1 when the text is none. */
long read_number(const char *text, long most);

#endif
