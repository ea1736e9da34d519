#include "settings.h"

#include "config_file.h"
#include "values.h"
#include <ctype.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    MAX_VARIABLE = 64, /* bytes of a variable's name that can be one of ours */
    MAX_KEY_FILE = 4096,
};

static const char prefix[] = "WEFT_";

/* What other commands read: known, and nothing to the server. */
static const char *const others[] = {"WEFT_SERVER"};

enum { N_OTHERS = sizeof others / sizeof *others };

/* -------------------------------------------------------------------------------------------------------------- memory */

void *grow(void *memory, size_t bytes)
{
    void *grown = realloc(memory, bytes ? bytes : 1);
    if (grown)
        return grown;
    fputs("weft: out of memory\n", stderr);
    exit(EXIT_FAILED);
}

char *copy_text(const char *text, size_t len)
{
    char *copy = grow(NULL, len + 1);
    memcpy(copy, text, len);
    copy[len] = '\0';
    return copy;
}

static void state_clear(setting_state *state)
{
    for (size_t i = 0; i < state->n_values; i++)
        free(state->values[i]);
    free(state->values);
    free(state->place);
    *state = (setting_state){0};
}

void settings_done(settings *s)
{
    for (size_t i = 0; i < N_SETTINGS; i++)
        state_clear(&s->states[i]);
    free(s->publish_key);
    s->publish_key = NULL;
}

/* -------------------------------------------------------------------------------------------------------- one setting */

int settings_find(const char *name)
{
    for (int i = 0; i < N_SETTINGS; i++)
        if (strcmp(settings_table[i].name, name) == 0)
            return i;
    return -1;
}

/* One sentence about a setting at its place. A file's place does not name the setting yet, flags and variables do. */
static int complain(const settings *s, setting_id id, const setting_source *source, const char *text, const char *wrong)
{
    const setting *row = &settings_table[id];
    bool in_file = source->layer == FROM_FILE;
    fprintf(stderr, "%s: %s%s%s", s->command, source->place, in_file ? ": " : "", in_file ? row->name : "");
    if (text && !row->secret)
        fprintf(stderr, " \"%s\"", text);
    fprintf(stderr, " %s\n", wrong);
    return EXIT_USAGE;
}

static void append(setting_state *state, const char *text)
{
    state->values = grow(state->values, (state->n_values + 2) * sizeof *state->values);
    if (text)
        state->values[state->n_values++] = copy_text(text, strlen(text));
    state->values[state->n_values] = NULL;
}

int settings_put(settings *s, setting_id id, const setting_source *source, const char *text)
{
    const setting *row = &settings_table[id];
    setting_state *state = &s->states[id];
    uint64_t number;
    if (row->not_in_file && source->layer == FROM_FILE)
        return complain(s, id, source, NULL, "cannot stand in a file itself");
    if (!text && (row->needed || !row->repeatable))
        return complain(s, id, source, NULL, "needs a value");
    if (text && !row->read(row, text, &number))
        return complain(s, id, source, text, row->wrong);
    if (source->layer < state->layer)
        return 0;
    if (source->layer > state->layer || !row->repeatable || !text) {
        state_clear(state);
        state->layer = source->layer;
        state->place = copy_text(source->place, strlen(source->place));
    }
    append(state, text);
    return 0;
}

/* Text from where a list's empty text means that it is empty. */
static int put_text(settings *s, setting_id id, const setting_source *source, const char *text)
{
    return settings_put(s, id, source, settings_table[id].repeatable && !*text ? NULL : text);
}

static void say_unknown_at(const settings *s, const char *place, const char *what, const char *name,
                           const char *nearest)
{
    fprintf(stderr, "%s: %s%sunknown %s \"%s\"; ", s->command, place, *place ? ": " : "", what, name);
    if (nearest)
        fprintf(stderr, "did you mean \"%s\"?\n", nearest);
    else
        fprintf(stderr, "see %s --help\n", s->command);
}

int settings_unknown(const settings *s, const char *place, const char *name)
{
    const char *names[N_SETTINGS];
    for (size_t i = 0; i < N_SETTINGS; i++)
        names[i] = settings_table[i].name;
    say_unknown_at(s, place, "setting", name, nearest_name(name, names, N_SETTINGS));
    return EXIT_USAGE;
}

/* --------------------------------------------------------------------------------------------------------------- flags */

static void make_options(option ret_options[N_SETTINGS])
{
    for (size_t i = 0; i < N_SETTINGS; i++) {
        const setting *row = &settings_table[i];
        ret_options[i] = (option){.name = row->name,
                                  .value = row->value,
                                  .help = row->help,
                                  .otherwise = row->otherwise,
                                  .repeatable = row->repeatable,
                                  .alone = row->alone};
    }
}

int settings_help(const char *about)
{
    option options[N_SETTINGS];
    make_options(options);
    return options_help(about, options, N_SETTINGS);
}

static int read_flags(settings *s, char **argv)
{
    option options[N_SETTINGS];
    options_reader reader = {s->command, options, N_SETTINGS, argv, true, false};
    const option *o;
    const char *value;
    bool had_folder = false;
    int more, error = 0;
    make_options(options);
    while (!error && (more = options_next(&reader, &o, &value)) > 0) {
        char place[MAX_VARIABLE] = "DIR";
        if (o)
            snprintf(place, sizeof place, "--%s", o->name);
        setting_source source = {FROM_FLAG, place};
        if (!o && had_folder) {
            say_unknown_at(s, "", "argument", value, NULL);
            return EXIT_USAGE;
        }
        had_folder |= !o;
        error = put_text(s, o ? (setting_id)(o - options) : SET_FILES, &source, value);
    }
    return error ? error : more ? EXIT_USAGE : 0;
}

/* --------------------------------------------------------------------------------------------------------- environment */

/* "history-age" is WEFT_HISTORY_AGE. */
static void variable_name(const char *name, char ret_variable[MAX_VARIABLE])
{
    size_t n = strlen(prefix);
    memcpy(ret_variable, prefix, n);
    for (; *name && n < MAX_VARIABLE - 1; name++)
        ret_variable[n++] = *name == '-' ? '_' : (char)toupper((unsigned char)*name);
    ret_variable[n] = '\0';
}

/* Kubernetes tells each container of a service "weft" by WEFT_SERVICE_HOST, WEFT_PORT=tcp://... and
 * WEFT_PORT_3000_TCP_ADDR, and so does Docker for links: nobody's settings. */
static bool is_service_link(const char *name, const char *value)
{
    const char *port = strstr(name, "_PORT");
    if (strstr(name, "_SERVICE_HOST") || strstr(name, "_SERVICE_PORT"))
        return true;
    if (!port)
        return false;
    return port[strlen("_PORT")] ? strstr(port, "_TCP") || strstr(port, "_UDP") || strstr(port, "_SCTP")
                                 : strstr(value, "://") != NULL;
}

static int unknown_variable(const settings *s, const char *given)
{
    char variables[N_SETTINGS][MAX_VARIABLE];
    const char *names[N_SETTINGS + N_OTHERS];
    for (size_t i = 0; i < N_SETTINGS; i++) {
        variable_name(settings_table[i].name, variables[i]);
        names[i] = variables[i];
    }
    memcpy(names + N_SETTINGS, others, sizeof others);
    say_unknown_at(s, "", "variable", given, nearest_name(given, names, N_SETTINGS + N_OTHERS));
    return EXIT_USAGE;
}

/* Values between white space or commas. */
static int put_list(settings *s, setting_id id, const setting_source *source, const char *text)
{
    static const char between[] = " \t\r\n,";
    int error = 0, n = 0;
    for (text += strspn(text, between); *text && !error; n++) {
        size_t len = strcspn(text, between);
        char *one = copy_text(text, len);
        error = settings_put(s, id, source, one);
        free(one);
        text += len + strspn(text + len, between);
    }
    return n ? error : settings_put(s, id, source, NULL);
}

static int read_variable(settings *s, const char *name, const char *value)
{
    char variable[MAX_VARIABLE];
    setting_source source = {FROM_ENVIRONMENT, name};
    for (int i = 0; i < N_SETTINGS; i++) {
        variable_name(settings_table[i].name, variable);
        if (strcmp(name, variable) == 0)
            return settings_table[i].repeatable ? put_list(s, (setting_id)i, &source, value)
                                                : settings_put(s, (setting_id)i, &source, value);
    }
    for (size_t i = 0; i < N_OTHERS; i++)
        if (strcmp(name, others[i]) == 0)
            return 0;
    return is_service_link(name, value) ? 0 : unknown_variable(s, name);
}

static int read_environment(settings *s)
{
    int error = 0;
    for (char **one = environ; *one && !error; one++) {
        const char *equals = strchr(*one, '=');
        if (!equals || strncmp(*one, prefix, strlen(prefix)) != 0)
            continue;
        char *name = copy_text(*one, (size_t)(equals - *one));
        error = read_variable(s, name, equals + 1);
        free(name);
    }
    return error;
}

/* ------------------------------------------------------------------------------------------------------- publish key */

static int key_file_problem(const settings *s, const char *what, const char *why)
{
    const setting_state *state = &s->states[SET_PUBLISH_KEY_FILE];
    setting_source source = {state->layer, state->place};
    char wrong[256];
    snprintf(wrong, sizeof wrong, "%s: %s", what, why);
    return complain(s, SET_PUBLISH_KEY_FILE, &source, state->values[0], wrong);
}

/* The one line of the file; a line's end behind it is none of the key. */
static int read_key_file(settings *s)
{
    char key[MAX_KEY_FILE];
    FILE *file = fopen(settings_text(s, SET_PUBLISH_KEY_FILE), "r");
    if (!file)
        return key_file_problem(s, "cannot be read", strerror(errno));
    size_t len = fread(key, 1, sizeof key - 1, file);
    int problem = ferror(file) ? errno : 0;
    fclose(file);
    if (problem)
        return key_file_problem(s, "cannot be read", strerror(problem));
    key[len] = '\0';
    while (len && (key[len - 1] == '\n' || key[len - 1] == '\r'))
        key[--len] = '\0';
    if (strlen(key) == len && is_key(key))
        s->publish_key = copy_text(key, len);
    return s->publish_key
               ? 0
               : key_file_problem(s, "holds no key", "one line of 1 to 1024 characters of ASCII without spaces");
}

static int find_key(settings *s)
{
    const setting_state *said = &s->states[SET_PUBLISH_KEY], *file = &s->states[SET_PUBLISH_KEY_FILE];
    if (said->layer && said->layer == file->layer) {
        fprintf(stderr, "%s: %s and %s both say the key; one of them is enough\n", s->command, said->place,
                file->place);
        return EXIT_USAGE;
    }
    if (file->layer > said->layer)
        return read_key_file(s);
    if (said->layer)
        s->publish_key = copy_text(said->values[0], strlen(said->values[0]));
    return 0;
}

/* --------------------------------------------------------------------------------------------------------- certificates */

static int check_certificates(const settings *s)
{
    size_t n_certificates = s->states[SET_CERT].n_values, n_keys = s->states[SET_KEY].n_values;
    if (n_certificates != n_keys)
        fprintf(stderr, "%s: each cert needs its key, and there are %zu of the one and %zu of the other\n", s->command,
                n_certificates, n_keys);
    else if (n_certificates && s->states[SET_TLS_DEV].n_values)
        fprintf(stderr, "%s: %s and %s both say which certificate is served; one of them is enough\n", s->command,
                s->states[SET_CERT].place, s->states[SET_TLS_DEV].place);
    else
        return 0;
    return EXIT_USAGE;
}

/* ------------------------------------------------------------------------------------------------------------ all of it */

int settings_read(settings *s, const char *command, char **argv)
{
    *s = (settings){.command = command};
    for (size_t i = 0; i < N_SETTINGS; i++)
        if (settings_table[i].fallback)
            append(&s->states[i], settings_table[i].fallback);
    int error = read_flags(s, argv);
    if (!error)
        error = read_environment(s);
    const char *file = settings_text(s, SET_CONFIG);
    if (!error && file)
        error = config_file_read(s, file);
    if (!error)
        error = check_certificates(s);
    return error ? error : find_key(s);
}

const char *settings_text(const settings *s, setting_id id)
{
    const setting_state *state = &s->states[id];
    if (id == SET_SLOW && !state->layer)
        return settings_number(s, SET_HISTORY) ? "drop-old" : "close";
    return state->n_values ? state->values[0] : NULL;
}

/* Those that this process may use, up to so many. */
static uint64_t n_processors(uint64_t most)
{
    static cpu_set_t sets[8]; /* what the largest kernels count, and they refuse anything smaller */
    if (sched_getaffinity(0, sizeof sets, sets))
        return 1;
    uint64_t n = (uint64_t)CPU_COUNT_S(sizeof sets, sets);
    return n < most ? n : most;
}

uint64_t settings_number(const settings *s, setting_id id)
{
    const setting *row = &settings_table[id];
    const char *text = settings_text(s, id);
    uint64_t number = 0;
    if (id == SET_LOOPS && !text)
        return n_processors(row->most);
    if (text)
        row->read(row, text, &number); /* it was looked at when it came */
    return number;
}

bool settings_are_local(const settings *s)
{
    char url[ADDRESS_BYTES];
    for (const char *const *one = settings_list(s, SET_LISTEN); *one; one++)
        if (!complete_address(*one, url) || !is_local_address(url))
            return false;
    return !*settings_list(s, SET_HOST) && !*settings_list(s, SET_TRUSTED_PROXY);
}

const char *const *settings_list(const settings *s, setting_id id)
{
    static const char *const everything[] = {"*", NULL}, *const nothing[] = {NULL};
    const setting_state *state = &s->states[id];
    if (id == SET_CLIENT_PUBLISH && !state->layer)
        return settings_are_local(s) ? everything : nothing;
    return state->values ? (const char *const *)state->values : nothing;
}
