/**
 * JSON string literals (RFC 8259 §7) made of text, and the scanning that all JSON files share.
 *
 * Room is the caller's: ask for the length, then put.
 *
 *     char *at = room for json_text_len(topic) bytes;
 *     at += json_text_put(at, topic);
 */
#ifndef WEFT_PROTO_JSON_TEXT_H
#define WEFT_PROTO_JSON_TEXT_H

#include "base/str.h"

/** Bytes of the literal for `text`, both quotes included: 2 to 6 * text.len + 2. */
size_t json_text_len(str text);

/**
 * Writes the literal; the number of bytes, which is json_text_len(). `text` is valid UTF-8. Escaped is what has to be:
 * quote, backslash and control characters, as \b \t \n \f \r where there is such a form and \u00XX else. The bytes of
 * `text` and of the literal may not overlap.
 */
size_t json_text_put(char *at, str text);

/** Bytes that stand for themselves in a literal: up to the first quote, backslash or control character. */
size_t json_plain_run(const char *at, size_t len);

/** The same, but it ends at the first byte beyond ASCII too. */
size_t json_ascii_run(const char *at, size_t len);

/** The offset behind the string literal whose opening quote stands at i. The text is one that json_check() accepted. */
size_t json_string_end(str text, size_t i);

static inline bool json_is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

#endif
