/**
 * HTTP/1 requests as a client writes them.
 */
#ifndef WEFT_BENCH_REQUEST_H
#define WEFT_BENCH_REQUEST_H

#include "base/buf.h"
#include "bench/target.h"

/** Puts a request line and Host; `query` goes behind the path, with what separates it, unless it is empty. More fields and the empty line are the
 * caller's to put. 0 or -ENOMEM. */
int bench_request_put(buf *out, const char *method, const bench_target *target, str query);

#endif
