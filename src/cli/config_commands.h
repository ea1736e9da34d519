/**
 * weft check-config and weft print-config: what `weft serve` would make of its settings.
 */
#ifndef WEFT_CLI_CONFIG_COMMANDS_H
#define WEFT_CLI_CONFIG_COMMANDS_H

/** The arguments behind the command's name; the exit status. */
int run_check_config(char **argv);
int run_print_config(char **argv);

#endif
