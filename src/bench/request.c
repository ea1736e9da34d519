#include "bench/request.h"

#include <errno.h>

int bench_request_put(buf *out, const char *method, const bench_target *target, str query)
{
    const char *separator = query.len == 0 ? "" : strchr(target->path, '?') ? "&" : "?";
    if (buf_put_text(out, method) || buf_put_text(out, " ") || buf_put_text(out, target->path) ||
        buf_put_text(out, separator) || buf_put_str(out, query) || buf_put_text(out, " HTTP/1.1\r\nHost: ") ||
        buf_put_text(out, target->host) || buf_put_text(out, "\r\n"))
        return -ENOMEM;
    return 0;
}
