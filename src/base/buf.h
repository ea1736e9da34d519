/**
 * Owned bytes that grow: used while something is built or collected.
 *
 * A zeroed buf is empty and valid. Growth at least doubles. An append that cannot allocate changes nothing and returns
 * -ENOMEM.
 */
#ifndef WEFT_BASE_BUF_H
#define WEFT_BASE_BUF_H

#include "base/str.h"

typedef struct {
    char *at;
    size_t len, cap;
} buf;

/** Frees the bytes; the buf is empty and usable again. */
void buf_done(buf *b);

/** Room for `more` bytes behind the end. 0 or -ENOMEM. */
int buf_reserve(buf *b, size_t more);

int buf_put(buf *b, const void *bytes, size_t len);
int buf_put_str(buf *b, str s);
int buf_put_text(buf *b, const char *text);

/** printf into the buffer; the formatted text is at most 1023 bytes (longer: WEFT_E_TOO_LARGE, nothing added). */
int buf_printf(buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));

static inline str buf_str(const buf *b)
{
    return (str){b->at, b->len};
}

#endif
