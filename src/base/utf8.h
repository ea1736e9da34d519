/**
 * UTF-8 validation (RFC 3629), as a stream: each piece is checked as it comes and the first wrong byte is seen at once.
 */
#ifndef WEFT_BASE_UTF8_H
#define WEFT_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Zero is the state between two characters. */
typedef struct {
    uint8_t missing;   /* continuation bytes still to come */
    uint8_t low, high; /* bounds of the next one */
} utf8_state;

/** Bytes of `at` that are valid in this state: `len` when all are, else the offset of the first wrong one (the state is
 * then spent). */
size_t utf8_feed(utf8_state *state, const char *at, size_t len);

/** True when no character is left unfinished. */
static inline bool utf8_complete(const utf8_state *state)
{
    return state->missing == 0;
}

/** Whole strings. */
bool utf8_valid(const char *at, size_t len);

/** Length of the ASCII run that `at` begins with. */
size_t ascii_run(const char *at, size_t len);

#endif
