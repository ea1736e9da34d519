#include "app/routes.h"
#include "transport/http_stream.h"

/* What weft_sse() and weft_stream() have in common. */
typedef struct {
    const char *call; /* for the error */
    const char *path;
    weft_transport transport;
} stream_spec;

static int add_stream(weft *app, const stream_spec *spec, const weft_sse_options *options, size_t size)
{
    weft_sse_options known = {0};
    int error = app_check_configuring(app, spec->call);
    if (error)
        return error;
    if (options)
        memcpy(&known, options, size < sizeof known ? size : sizeof known);
    http_stream_route *route = http_stream_route_new(&known, spec->transport);
    return app_add_route(app, spec->path,
                         (route_spec){
                             .method = "GET",
                             .serve = http_stream_serve,
                             .origins = route ? http_stream_route_origins(route) : NULL,
                             .guards_reads = true,
                             .user = route,
                             .free_user = http_stream_route_free,
                         });
}

int weft_sse_sized(weft *app, const char *path, const weft_sse_options *options, size_t size)
{
    return add_stream(app, &(stream_spec){"weft_sse", path, WEFT_TRANSPORT_SSE}, options, size);
}

int weft_stream_sized(weft *app, const char *path, const weft_stream_options *options, size_t size)
{
    return add_stream(app, &(stream_spec){"weft_stream", path, WEFT_TRANSPORT_STREAM}, options, size);
}
