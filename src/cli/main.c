/*
 * weft: the command.
 */
#include "bench.h"
#include "cert.h"
#include "config_commands.h"
#include "demo.h"
#include "options.h"
#include "publish.h"
#include "serve.h"

#include <stdio.h>
#include <string.h>
#include <weft.h>

typedef struct {
    const char *name;
    int (*run)(char **argv); /* argv behind the subcommand's name; the exit status */
    const char *help;
} subcommand;

static const subcommand subcommands[] = {
    {"serve", run_serve, "serve topics and files: a realtime server, ready to use"},
    {"check-config", run_check_config, "say whether the settings of weft serve are right"},
    {"print-config", run_print_config, "print the settings of weft serve, and where each was said"},
    {"publish", run_publish, "send messages to a topic of a running server"},
    {"bench", run_bench, "put load on a realtime server, and say what it can do"},
    {"cert", run_cert, "make a certificate for development"},
    {"demo", run_demo, "serve the example programs and their page on this machine"},
};

enum { N_SUBCOMMANDS = sizeof subcommands / sizeof *subcommands };

static int help(FILE *out)
{
    fprintf(out, "Weft: realtime for the web.\n\nusage: weft COMMAND [OPTIONS]\n\n");
    for (size_t i = 0; i < N_SUBCOMMANDS; i++)
        fprintf(out, "  %-13s %s\n", subcommands[i].name, subcommands[i].help);
    fprintf(out, "\nweft COMMAND --help lists a command's options; weft --version tells the version.\n");
    return out == stdout ? output_end() : EXIT_USAGE;
}

static int version(void)
{
    puts("weft " WEFT_VERSION);
    return output_end();
}

static int unknown(const char *given)
{
    static const char *const options[] = {"--help", "--version"};
    const char *names[N_SUBCOMMANDS];
    for (size_t i = 0; i < N_SUBCOMMANDS; i++)
        names[i] = subcommands[i].name;
    if (given[0] == '-')
        say_unknown("weft", "option", given, options, sizeof options / sizeof *options);
    else
        say_unknown("weft", "command", given, names, N_SUBCOMMANDS);
    return EXIT_USAGE;
}

static int run(const char *name, char **argv)
{
    for (size_t i = 0; i < N_SUBCOMMANDS; i++)
        if (strcmp(name, subcommands[i].name) == 0)
            return subcommands[i].run(argv);
    return unknown(name);
}

int main(int argc, char **argv)
{
    static char dash_help[] = "--help", *only_help[] = {dash_help, NULL};
    if (argc < 2)
        return help(stderr);
    if (strcmp(argv[1], "help") == 0 && argc > 2)
        return run(argv[2], only_help);
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0)
        return help(stdout);
    if (strcmp(argv[1], "--version") == 0)
        return version();
    return run(argv[1], argv + 2);
}
