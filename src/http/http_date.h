/**
 * Dates as HTTP writes them (RFC 9110 §5.6.7), whatever locale the program has set.
 */
#ifndef WEFT_HTTP_HTTP_DATE_H
#define WEFT_HTTP_HTTP_DATE_H

#include "base/str.h"

enum { HTTP_DATE_BYTES = 48 };

/** Seconds since 1970 as `Sun, 06 Nov 1994 08:49:37 GMT`. False for a time whose year has not four digits, which cannot be written. */
bool http_date_put(int64_t seconds, char ret_text[HTTP_DATE_BYTES]);

/** Reads that format and the two obsolete ones; a year of two digits is at most 50 years after `now`. False for anything else. */
bool http_date_parse(str text, int64_t now, int64_t *ret_seconds);

#endif
