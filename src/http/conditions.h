/**
 * What a GET or HEAD asks of a representation besides its path: a content coding, preconditions, a range (RFC 9110 §12.5.3, §13, §14).
 */
#ifndef WEFT_HTTP_CONDITIONS_H
#define WEFT_HTTP_CONDITIONS_H

#include "http/exchange.h"

/** The representation that would be sent. */
typedef struct {
    str etag; /* strong, with its quotes */
    int64_t modified_s;
    uint64_t size;
} representation;

typedef struct {
    uint64_t first, length;
} byte_range;

/** How much the client wants this coding: 0 (not at all) to 1000. A request without Accept-Encoding wants none. */
unsigned conditions_weight(const weft_request *request, str coding);

/** The preconditions in the order of RFC 9110 §13.2.2: 200 to go on, or 304, or 412. */
int conditions_check(const weft_request *request, const representation *what);

/**
 * What of it is asked for: 200, all of it; 206, *ret_range, which is not empty; 416, nothing that it has. Several ranges at once, a unit that
 * is not bytes and text that is no range are answered with all of it, as §14.2 allows.
 */
int conditions_range(const weft_request *request, const representation *what, byte_range *ret_range);

#endif
