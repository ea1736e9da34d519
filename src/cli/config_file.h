/**
 * The settings that a file in YAML says: `name: value`, and `name: [value, ...]` for lists.
 *
 * config_file.c reads it with libyaml; a build without libyaml has config_file_none.c.
 */
#ifndef WEFT_CLI_CONFIG_FILE_H
#define WEFT_CLI_CONFIG_FILE_H

#include "settings.h"

/** Puts what the file says into the settings. 0, or EXIT_USAGE after one sentence that names the file and the line. */
int config_file_read(settings *s, const char *path);

#endif
