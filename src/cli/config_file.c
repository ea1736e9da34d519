#include "config_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

enum { MAX_FILE = 1 << 20 };

typedef struct {
    settings *s;
    const char *path;
    yaml_parser_t parser;
    yaml_event_t event;
    bool has_event;
    bool seen[N_SETTINGS];
} reader;

/* "weft.yaml:3" for a line from 0. */
static char *place_of(const reader *r, size_t line)
{
    char number[24];
    int digits = snprintf(number, sizeof number, ":%zu", line + 1);
    size_t len = strlen(r->path);
    char *place = grow(NULL, len + (size_t)digits + 1);
    memcpy(place, r->path, len);
    memcpy(place + len, number, (size_t)digits + 1);
    return place;
}

static int fail_at(const reader *r, size_t line, const char *problem)
{
    fprintf(stderr, "%s: %s:%zu: %s\n", r->s->command, r->path, line + 1, problem);
    return EXIT_USAGE;
}

static int fail(const reader *r, const char *problem)
{
    return fail_at(r, r->event.start_mark.line, problem);
}

/* libyaml's own words, and what people most often mean when it speaks of an alias. */
static int fail_syntax(const reader *r)
{
    char problem[256];
    bool star = r->parser.context && strstr(r->parser.context, "alias");
    snprintf(problem, sizeof problem, "%s%s", r->parser.problem ? r->parser.problem : "not YAML",
             star ? "; a value that begins with * stands in quotes: \"*\"" : "");
    return fail_at(r, r->parser.problem_mark.line, problem);
}

/* The next event stands in r->event. */
static int next(reader *r)
{
    if (r->has_event)
        yaml_event_delete(&r->event);
    r->has_event = yaml_parser_parse(&r->parser, &r->event);
    return r->has_event ? 0 : fail_syntax(r);
}

/* The text of the event; NULL when it holds a NUL. Borrowed until the next event. */
static const char *scalar(const reader *r)
{
    const char *text = (const char *)r->event.data.scalar.value;
    return strlen(text) == r->event.data.scalar.length ? text : NULL;
}

/* `name:` with nothing behind it. */
static bool is_null(const reader *r)
{
    const char *text = (const char *)r->event.data.scalar.value;
    bool plain = r->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    return plain && (!*text || strcmp(text, "~") == 0 || strcmp(text, "null") == 0);
}

static int put(reader *r, setting_id id, const char *text, bool in_list)
{
    char *place = place_of(r, r->event.start_mark.line);
    setting_source source = {FROM_FILE, place};
    bool nothing = !in_list && settings_table[id].repeatable && !*text;
    int error = settings_put(r->s, id, &source, nothing ? NULL : text);
    free(place);
    return error;
}

static int take_scalar(reader *r, setting_id id, bool in_list)
{
    char problem[128];
    const char *text = scalar(r);
    if (text && !is_null(r))
        return put(r, id, text, in_list);
    snprintf(problem, sizeof problem, "%s %s", settings_table[id].name, text ? "has no value" : "holds a NUL");
    return fail(r, problem);
}

static int take_list(reader *r, setting_id id)
{
    char problem[128];
    bool needed = settings_table[id].needed;
    size_t n = 0;
    int error = needed ? 0 : put(r, id, "", false); /* an empty list, unless something follows */
    while (!error && !(error = next(r)) && r->event.type == YAML_SCALAR_EVENT) {
        error = take_scalar(r, id, true);
        n++;
    }
    if (error || (r->event.type == YAML_SEQUENCE_END_EVENT && (n || !needed)))
        return error;
    snprintf(problem, sizeof problem, "%s %s", settings_table[id].name,
             r->event.type == YAML_SEQUENCE_END_EVENT ? "needs a value" : "holds more than a list of values");
    return fail(r, problem);
}

static int take_value(reader *r, setting_id id)
{
    char problem[160];
    const setting *row = &settings_table[id];
    if (r->event.type == YAML_SCALAR_EVENT)
        return take_scalar(r, id, false);
    if (r->event.type == YAML_SEQUENCE_START_EVENT && row->repeatable)
        return take_list(r, id);
    bool alias = r->event.type == YAML_ALIAS_EVENT;
    snprintf(problem, sizeof problem, "%s is to be %s%s", row->name,
             row->repeatable ? "a value or a list" : "one value",
             alias ? "; a value that begins with * stands in quotes: \"*\"" : "");
    return fail(r, problem);
}

/* `name:`, and the value behind it. */
static int take_pair(reader *r)
{
    char problem[128];
    const char *name = r->event.type == YAML_SCALAR_EVENT ? scalar(r) : NULL;
    int id = name ? settings_find(name) : -1;
    if (!name)
        return fail(r, "here stands no name of a setting");
    if (id < 0) {
        char *place = place_of(r, r->event.start_mark.line);
        int error = settings_unknown(r->s, place, name);
        free(place);
        return error;
    }
    if (r->seen[id]) {
        snprintf(problem, sizeof problem, "%s stands here for the second time", settings_table[id].name);
        return fail(r, problem);
    }
    r->seen[id] = true;
    int error = next(r);
    return error ? error : take_value(r, (setting_id)id);
}

static int take_document(reader *r)
{
    int error = next(r);
    if (error || (r->event.type == YAML_SCALAR_EVENT && is_null(r)))
        return error;
    if (r->event.type != YAML_MAPPING_START_EVENT)
        return fail(r, "settings are written as \"name: value\"");
    while (!(error = next(r)) && r->event.type != YAML_MAPPING_END_EVENT)
        if ((error = take_pair(r)))
            return error;
    return error;
}

static int take_stream(reader *r)
{
    int error = next(r); /* the stream's start */
    if (!error)
        error = next(r);
    if (error || r->event.type == YAML_STREAM_END_EVENT)
        return error;
    error = take_document(r);
    if (!error)
        error = next(r); /* the document's end */
    if (!error)
        error = next(r);
    if (!error && r->event.type != YAML_STREAM_END_EVENT)
        return fail(r, "a second document; settings are one");
    return error;
}

static int read_text(settings *s, const char *path, const char *text, size_t len)
{
    reader r = {.s = s, .path = path};
    if (!yaml_parser_initialize(&r.parser)) {
        fprintf(stderr, "%s: out of memory\n", s->command);
        return EXIT_FAILED;
    }
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, len);
    int error = take_stream(&r);
    if (r.has_event)
        yaml_event_delete(&r.event);
    yaml_parser_delete(&r.parser);
    return error;
}

int config_file_read(settings *s, const char *path)
{
    const char *problem = NULL;
    FILE *file = fopen(path, "r");
    char *text = file ? grow(NULL, MAX_FILE + 1) : NULL;
    size_t len = file ? fread(text, 1, MAX_FILE + 1, file) : 0;
    if (!file || ferror(file))
        problem = strerror(errno);
    else if (len > MAX_FILE)
        problem = "is larger than 1 MiB";
    if (file)
        fclose(file);
    if (problem)
        fprintf(stderr, "%s: %s \"%s\": %s\n", s->command, s->states[SET_CONFIG].place, path, problem);
    int error = problem ? EXIT_USAGE : read_text(s, path, text, len);
    free(text);
    return error;
}
