#include "config_commands.h"

#include "settings.h"
#include <stdio.h>
#include <string.h>
#include <weft.h>

static const char about_check[] = "usage: weft check-config [DIR] [OPTIONS]\n\n"
                                  "Looks at the settings that weft serve would have with the same options, and says\n"
                                  "\"ok\" or what is wrong.\n\n";

static const char about_print[] = "usage: weft print-config [DIR] [OPTIONS]\n\n"
                                  "Prints the settings that weft serve would have with the same options, as a file\n"
                                  "for --config, with the place where each was said.\n\n";

int run_check_config(char **argv)
{
    settings s;
    if (options_ask_help(argv))
        return settings_help(about_check);
    int error = settings_read(&s, "weft check-config", argv);
    settings_done(&s);
    if (error)
        return error;
    puts("ok");
    return output_end();
}

/* As a scalar of YAML between double quotes; what was read is UTF-8 without control characters. */
static void print_quoted(const char *text)
{
    putchar('"');
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            putchar('\\');
        putchar(*text);
    }
    putchar('"');
}

static void print_list(const char *const *values)
{
    putchar('[');
    for (size_t i = 0; values[i]; i++) {
        fputs(i ? ", " : "", stdout);
        print_quoted(values[i]);
    }
    putchar(']');
}

/* Where a setting was said, behind its value. A file's name may hold anything. */
static void print_source(const setting_state *state)
{
    fputs("  # ", stdout);
    for (const char *at = state->layer ? state->place : "default"; *at; at++)
        putchar((unsigned char)*at < 0x20 || *at == 0x7F ? '?' : *at);
    putchar('\n');
}

static void print_value(const settings *s, setting_id id)
{
    const setting *row = &settings_table[id];
    const char *text = settings_text(s, id);
    if (text || *settings_list(s, id) || s->states[id].layer)
        putchar(' ');
    if (row->secret && text)
        fputs("(set, and not shown)", stdout);
    else if (row->repeatable && *settings_list(s, id))
        print_list(settings_list(s, id));
    else if (row->repeatable && s->states[id].layer)
        fputs("[]", stdout);
    else if (text && row->quoted)
        print_quoted(text);
    else if (text)
        fputs(text, stdout);
}

/* What is nothing, or worked out from other settings, is a comment: in a file it would stay when they change. */
static void print_setting(const settings *s, setting_id id)
{
    const setting *row = &settings_table[id];
    const setting_state *state = &s->states[id];
    bool said = state->layer || row->fallback;
    printf("%s%s:", !said || row->secret || row->not_in_file ? "# " : "", row->name);
    print_value(s, id);
    if (said)
        print_source(state);
    else
        printf("  # default: %s\n", row->otherwise);
}

static int print_settings(const settings *s)
{
    puts("# The settings of weft serve " WEFT_VERSION ", and where each was said.");
    for (int id = 0; id < N_SETTINGS; id++)
        print_setting(s, (setting_id)id);
    return output_end();
}

int run_print_config(char **argv)
{
    settings s;
    if (options_ask_help(argv))
        return settings_help(about_print);
    int error = settings_read(&s, "weft print-config", argv);
    int status = error ? error : print_settings(&s);
    settings_done(&s);
    return status;
}
