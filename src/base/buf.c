#include "base/buf.h"
#include "base/mem.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

enum {
    SMALLEST_CAP = 64,
    PRINTF_ROOM = 1024,
};

void buf_done(buf *b)
{
    mem_free(b->at);
    *b = (buf){0};
}

int buf_reserve(buf *b, size_t more)
{
    if (more <= b->cap - b->len)
        return 0;
    /* No object is larger than PTRDIFF_MAX: half of SIZE_MAX loses nothing and keeps the doubling from overflowing. */
    if (more > SIZE_MAX / 2 - b->len)
        return -ENOMEM;
    size_t cap = b->cap ? 2 * b->cap : SMALLEST_CAP;
    if (cap < b->len + more)
        cap = b->len + more;
    char *at = mem_resize(b->at, cap);
    if (!at)
        return -ENOMEM;
    b->at = at;
    b->cap = cap;
    return 0;
}

int buf_put(buf *b, const void *bytes, size_t len)
{
    if (len == 0)
        return 0;
    int error = buf_reserve(b, len);
    if (error)
        return error;
    memcpy(b->at + b->len, bytes, len);
    b->len += len;
    return 0;
}

int buf_put_str(buf *b, str s)
{
    return buf_put(b, s.at, s.len);
}

int buf_put_text(buf *b, const char *text)
{
    return buf_put_str(b, str_from(text));
}

int buf_printf(buf *b, const char *format, ...)
{
    char text[PRINTF_ROOM];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (len < 0)
        return WEFT_E_INVALID;
    if ((size_t)len >= sizeof text)
        return WEFT_E_TOO_LARGE;
    return buf_put(b, text, (size_t)len);
}
