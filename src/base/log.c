#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

void log_line(const logger *l, weft_log_level level, const char *format, ...)
{
    if (!l || !l->fn)
        return;
    char line[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    l->fn(level, line, l->user);
}
