/**
 * The log hook of one application: the library never prints by itself.
 */
#ifndef WEFT_BASE_LOG_H
#define WEFT_BASE_LOG_H

#include <weft.h>

/** Zeroed says nothing. */
typedef struct {
    weft_log_fn fn;
    void *user;
} logger;

/** One line of at most 511 bytes, without a newline. A NULL logger is fine. */
void log_line(const logger *l, weft_log_level level, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
