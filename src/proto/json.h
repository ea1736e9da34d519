/**
 * JSON text (RFC 8259) checked and compacted in one linear pass, so that a value can be put inside another without
 * being looked at again. No tree is built.
 */
#ifndef WEFT_PROTO_JSON_H
#define WEFT_PROTO_JSON_H

#include "base/buf.h"

enum { JSON_MAX_DEPTH = 64 };

/**
 * The length of `text` without its insignificant white space when it is exactly one JSON value in UTF-8 nested no
 * deeper than JSON_MAX_DEPTH; WEFT_E_JSON else. Accepts what JavaScript's JSON.parse accepts (numbers of any size, lone
 * surrogates in escapes), but no byte order mark; refuses raw control characters in strings, and invalid UTF-8.
 */
int64_t json_check(str text);

/** Copies a value that json_check() has accepted, without its insignificant white space; the number of bytes. dst ==
 * text.at is fine. */
size_t json_compact(str text, char *dst);

#endif
