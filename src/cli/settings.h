/**
 * The settings of `weft serve`: one table that flags, WEFT_* variables and the configuration file are read by, and what they came to.
 *
 * The table is settings_table.c. A value of a higher place (file < environment < flag) replaces what lower ones said, for lists as a
 * whole. Every value is looked at where it is read, so that a wrong one is told with its place even when it would not count.
 */
#ifndef WEFT_CLI_SETTINGS_H
#define WEFT_CLI_SETTINGS_H

#include "options.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* In the order of the table. */
typedef enum {
    SET_FILES,
    SET_LISTEN,
    SET_HOST,
    SET_CERT,
    SET_KEY,
    SET_CLIENT_CA,
    SET_TLS_DEV,
    SET_TRUSTED_PROXY,
    SET_ADMIN,
    SET_ORIGIN,
    SET_PUBLISH_KEY,
    SET_PUBLISH_KEY_FILE,
    SET_SUBSCRIBE,
    SET_CLIENT_PUBLISH,
    SET_PRESENCE,
    SET_SOCKETIO,
    SET_SOCKETIO_NAMESPACE,
    SET_SOCKETIO_RELAY,
    SET_SOCKETIO_BRIDGE,
    SET_SOCKETIO_RECOVERY,
    SET_HISTORY,
    SET_HISTORY_BYTES,
    SET_HISTORY_AGE,
    SET_SLOW,
    SET_MAX_MESSAGE,
    SET_MAX_TOPICS,
    SET_MAX_MESSAGES_PER_S,
    SET_MAX_BYTES_PER_S,
    SET_MAX_ADDRESS_CONNECTIONS,
    SET_MAX_ADDRESS_CONNECTS_PER_S,
    SET_HEAD_TIMEOUT,
    SET_IDLE_TIMEOUT,
    SET_MIN_BODY_BYTES_PER_S,
    SET_WRITE_TIMEOUT,
    SET_DEFLATE,
    SET_DRAIN,
    SET_LOOPS,
    SET_LOG,
    SET_CONFIG,
    N_SETTINGS
} setting_id;

typedef struct setting setting;

struct setting {
    const char *name;  /* "history-age": --history-age AGE, WEFT_HISTORY_AGE, history-age: AGE */
    const char *value; /* what the help calls its value: "AGE" */
    const char *help;
    const char *fallback;  /* its value when nobody says one, as text; NULL: none */
    const char *otherwise; /* what then holds, in words */
    /* Whether the text is such a value; a number's goes to *ret_number. */
    bool (*read)(const setting *row, const char *text, uint64_t *ret_number);
    uint64_t least, most; /* of a number */
    const char *wrong;    /* what is to be said when it is not: "is not a number from 1 to 9" */
    bool repeatable;      /* a list; empty text stands for an empty one */
    bool needed;          /* the list may not be empty */
    bool secret;          /* its value is never printed */
    bool quoted;          /* in YAML */
    const char *alone;    /* the value of its option when none stands behind "="; NULL: one has to follow */
    bool not_in_file;
};

extern const setting settings_table[N_SETTINGS];

typedef enum { FROM_DEFAULT, FROM_FILE, FROM_ENVIRONMENT, FROM_FLAG } setting_layer;

/* What was said of one setting. */
typedef struct {
    char **values; /* NULL-terminated, once there was one */
    size_t n_values;
    setting_layer layer;
    char *place; /* "--listen", "WEFT_LISTEN", "weft.yaml:3"; NULL for the default */
} setting_state;

typedef struct {
    const char *command; /* "weft serve", in front of what is said */
    setting_state states[N_SETTINGS];
    char *publish_key; /* from the setting or the file it names; NULL: none */
} settings;

/** Reads flags (and DIR, the one plain argument), environment and the file that they name. 0, or the exit status after one sentence on standard
 * error; settings_done() in any case. */
int settings_read(settings *s, const char *command, char **argv);
void settings_done(settings *s);

/** The effective value; NULL when there is none. */
const char *settings_text(const settings *s, setting_id id);
uint64_t settings_number(const settings *s, setting_id id);

/** The effective list, NULL-terminated; never NULL. Borrowed from the settings. */
const char *const *settings_list(const settings *s, setting_id id);

/** Whether clients may publish everything when nobody says what: every listener is for this machine alone, under its own names, and no
 * proxy brings others. */
bool settings_are_local(const settings *s);

/** The whole options of the table: what the command is about, then the options. The exit status. */
int settings_help(const char *about);

/* For those who read a place. */

typedef struct {
    setting_layer layer;
    const char *place; /* as in setting_state; copied */
} setting_source;

/** The row of that name, or -1. */
int settings_find(const char *name);

/** Takes one value; NULL: an empty list. 0, or EXIT_USAGE after a sentence. */
int settings_put(settings *s, setting_id id, const setting_source *source, const char *text);

/** Says that a place knows no such setting, and which may have been meant. EXIT_USAGE. */
int settings_unknown(const settings *s, const char *place, const char *name);

/** A copy of at most len bytes; ends the process when there is no memory. */
char *copy_text(const char *text, size_t len);

/** realloc() that ends the process when there is no memory. */
void *grow(void *memory, size_t bytes);

#endif
