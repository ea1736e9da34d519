/**
 * Query strings and `application/x-www-form-urlencoded` text, read as the WHATWG URL standard (§5.1) has it: no text is
 * malformed. Nothing is allocated; names and values stay as they were sent until somebody decodes them.
 *
 *     str rest = query, name, value;
 *     while (form_next(&rest, &name, &value))
 *         ...
 */
#ifndef WEFT_PROTO_FORM_H
#define WEFT_PROTO_FORM_H

#include "base/str.h"

/** Takes the next `name=value` off the front of *rest, undecoded; false at the end. Empty pieces between two `&` are
 * skipped, the first `=` counts, and without one the value is empty (but not NULL). */
bool form_next(str *rest, str *ret_name, str *ret_value);

/**
 * Writes what `raw` stands for to `dst`, which has room for raw.len bytes and may be raw.at; the number of bytes. `+`
 * is a space, `%` and two hexadecimal digits a byte, and any other `%` itself. The result may hold NUL and need not be
 * UTF-8.
 */
size_t form_decode(str raw, char *dst);

/** True when `raw` stands for `text`. */
bool form_equal(str raw, str text);

/** The first value, undecoded, whose name stands for `name`; {NULL, 0} when there is none. */
str form_find(str form, str name);

#endif
