/**
 * Base64 with the standard alphabet and padding (RFC 4648 §4).
 */
#ifndef WEFT_BASE_BASE64_H
#define WEFT_BASE_BASE64_H

#include "base/str.h"

/** Characters that `len` bytes encode to. */
static inline size_t base64_encoded_len(size_t len)
{
    return (len + 2) / 3 * 4;
}

/** Writes base64_encoded_len(len) characters, no NUL. */
void base64_encode(const void *bytes, size_t len, char *ret_text);

/** Strict: length a multiple of 4, padding where due, unused bits zero, no other characters. Needs text.len / 4 * 3
 * bytes of room, which may be text.at. The number of bytes, or WEFT_E_INVALID (ret_bytes may then be written in part). */
int64_t base64_decode(str text, void *ret_bytes);

#endif
