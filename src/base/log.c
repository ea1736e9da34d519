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

void log_quote(str words, char ret_text[LOG_QUOTED_BYTES])
{
    size_t n = words.len < LOG_QUOTED_BYTES - 1 ? words.len : LOG_QUOTED_BYTES - 1;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)words.at[i];
        ret_text[i] = c < 0x20 || c == 0x7F || c == '"' || c == '\\' ? '.' : (char)c;
    }
    ret_text[n] = '\0';
}
