/**
 * weft publish: sends messages to a topic of a running server.
 */
#ifndef WEFT_CLI_PUBLISH_H
#define WEFT_CLI_PUBLISH_H

/** The arguments behind `publish`; the exit status. */
int run_publish(char **argv);

#endif
