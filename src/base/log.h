/**
 * The log hook of one application: the library never prints by itself.
 */
#ifndef WEFT_BASE_LOG_H
#define WEFT_BASE_LOG_H

#include "base/str.h"

/** Zeroed says nothing. */
typedef struct {
    weft_log_fn fn;
    void *user;
} logger;

/** True when somebody listens. */
static inline bool log_wanted(const logger *l)
{
    return l && l->fn;
}

/** One line of at most 511 bytes, without a newline. A NULL logger is fine. */
void log_line(const logger *l, weft_log_level level, const char *format, ...) __attribute__((format(printf, 3, 4)));

enum { LOG_QUOTED_BYTES = 160 };

/** A stranger's words made fit to stand between quotes in a line: cut to fit, and what would break the line or the quotes becomes a dot. */
void log_quote(str words, char ret_text[LOG_QUOTED_BYTES]);

#endif
