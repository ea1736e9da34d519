#include "config_file.h"

#include <stdio.h>

int config_file_read(settings *s, const char *path)
{
    fprintf(stderr, "%s: cannot read %s: this build has no YAML (it was made without libyaml)\n", s->command, path);
    return EXIT_USAGE;
}
