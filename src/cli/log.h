/**
 * The command's log: logfmt lines on standard error.
 */
#ifndef WEFT_CLI_LOG_H
#define WEFT_CLI_LOG_H

#include <weft.h>

/** A weft_log_fn: `time=2026-01-31T12:00:00.000Z level=info event=…`. `user` is a weft_log_level, or NULL for info: what is less urgent is left
 * out. */
void write_log(weft_log_level level, const char *line, void *user);

#endif
