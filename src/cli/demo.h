/**
 * weft demo: the programs that people write first, served together.
 */
#ifndef WEFT_CLI_DEMO_H
#define WEFT_CLI_DEMO_H

/** The arguments behind `demo`; the exit status. */
int run_demo(char **argv);

#endif
