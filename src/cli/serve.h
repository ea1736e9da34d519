/**
 * weft serve: topics and files, ready to use.
 */
#ifndef WEFT_CLI_SERVE_H
#define WEFT_CLI_SERVE_H

/** The arguments behind `serve`; the exit status. */
int run_serve(char **argv);

#endif
