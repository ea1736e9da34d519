/**
 * A walk through JSON text that json_check() has accepted: nothing can be malformed any more, no tree is built, nothing
 * is allocated and nothing recurses.
 *
 * A *value* is a slice of the text: the whole text, or what a walk gave. White space around it is fine and what walks
 * give has none. Strings stay as they were sent until somebody decodes them. Going through all of a value takes time
 * in proportion to its length, whatever lies in it.
 *
 *     str rest = json_begin(text), name, value;
 *     while (json_next_member(&rest, &name, &value))
 *         if (json_name_is(name, "topic") && json_type(value) == JSON_STRING)
 *             ...
 */
#ifndef WEFT_PROTO_JSON_READ_H
#define WEFT_PROTO_JSON_READ_H

#include "base/str.h"

typedef enum {
    JSON_OBJECT,
    JSON_ARRAY,
    JSON_STRING,
    JSON_NUMBER,
    JSON_TRUE,
    JSON_FALSE,
    JSON_NULL,
} json_value_type;

json_value_type json_type(str value);

/** What json_next_member() (of an object) or json_next_element() (of an array) is called on; {NULL, 0}, in which there
 * is nothing, when the value is neither. */
str json_begin(str value);

/** Takes the next member off the front of *rest; false at the end. The name is what stands between its quotes,
 * undecoded. Of a name that comes twice JSON.parse has the last value. What was taken may be written to at once. */
bool json_next_member(str *rest, str *ret_name, str *ret_value);

/** Takes the next element off the front of *rest; false at the end. What was taken may be written to at once. */
bool json_next_element(str *rest, str *ret_value);

/** What stands between the quotes of a string, undecoded: what json_name_is() and json_decode() take. */
str json_string_raw(str value);

/** True when what stands between two quotes (a name, or json_string_raw()) stands for `text`. */
bool json_name_is(str raw, const char *text);

/**
 * Writes what stands between two quotes (a name, or json_string_raw()) to `dst`, decoded to UTF-8; the number of bytes,
 * at most raw.len. dst == raw.at is fine. May hold NUL (\u0000). WEFT_E_UTF8 for an escape that is half of a surrogate
 * pair, which UTF-8 cannot have; `dst` is then written in part.
 */
int64_t json_decode(str raw, char *dst);

/** json_decode() of a string with its quotes. dst == value.at is fine. */
int64_t json_string_decode(str value, char *dst);

#endif
