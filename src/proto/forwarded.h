/**
 * The `Forwarded` field (RFC 7239 §4): one element for each proxy on the way, the nearest one's last. Strict: what is malformed anywhere is not to be
 * believed anywhere, as a client could open a quoted string that swallows what its proxy puts behind it.
 */
#ifndef WEFT_PROTO_FORWARDED_H
#define WEFT_PROTO_FORWARDED_H

#include "base/str.h"

/** What one proxy says; {NULL, 0} for what it does not. Quoted strings stand without their quotes, escapes in them as they are. */
typedef struct {
    str client; /* for= */
    str proto;
} forwarded_element;

/** Takes the next element off the front. 1; 0 at the end; WEFT_E_INVALID for what breaks the grammar or says one parameter twice. */
int forwarded_next(str *rest, forwarded_element *ret_element);

#endif
