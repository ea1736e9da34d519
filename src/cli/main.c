/*
 * weft: the command.
 */
#include "demo.h"
#include "options.h"

#include <stdio.h>
#include <string.h>
#include <weft.h>

typedef struct {
    const char *name;
    int (*run)(char **argv); /* argv behind the subcommand's name; the exit status */
    const char *help;
} subcommand;

static const subcommand subcommands[] = {
    {"demo", run_demo, "serve the example programs and their page on this machine"},
};

enum { N_SUBCOMMANDS = sizeof subcommands / sizeof *subcommands };

static int help(FILE *out)
{
    fprintf(out, "Weft: realtime for the web.\n\nusage: weft COMMAND [OPTIONS]\n\n");
    for (size_t i = 0; i < N_SUBCOMMANDS; i++)
        fprintf(out, "  %-10s %s\n", subcommands[i].name, subcommands[i].help);
    fprintf(out, "\nweft COMMAND --help lists a command's options; weft --version tells the version.\n");
    return out == stdout ? 0 : EXIT_USAGE;
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return help(stderr);
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0)
        return help(stdout);
    if (strcmp(argv[1], "--version") == 0) {
        puts("weft " WEFT_VERSION);
        return 0;
    }
    const char *names[N_SUBCOMMANDS];
    for (size_t i = 0; i < N_SUBCOMMANDS; i++) {
        names[i] = subcommands[i].name;
        if (strcmp(argv[1], names[i]) == 0)
            return subcommands[i].run(argv + 2);
    }
    say_unknown("weft", "command", argv[1], names, N_SUBCOMMANDS);
    return EXIT_USAGE;
}
