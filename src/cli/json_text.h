/**
 * One text out of a JSON object, as the server's answers are.
 */
#ifndef WEFT_CLI_JSON_TEXT_H
#define WEFT_CLI_JSON_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/** Finds the member of that name in the object `json` (NUL-terminated) when it is a string, and decodes it into `ret_text`, cut where there is
 * no more room. What a terminal would obey arrives as a dot. False when there is none. */
bool json_text(const char *json, const char *name, char *ret_text, size_t room);

/** The first line of any text, likewise. */
void plain_text(const char *text, char *ret_text, size_t room);

#endif
