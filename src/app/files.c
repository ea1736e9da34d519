#include "http/files.h"

#include "app/routes.h"
#include <errno.h>

/* The files belong to the other route. */
static void keep_files(void *user)
{
    (void)user;
}

/* `prefix` ends in a slash: everything below it, and the path without the slash, which only leads there. Takes the files, on failure too. */
static int add_routes(weft *app, buf *prefix, files *f)
{
    size_t len = prefix->len - 1;
    if (buf_put(prefix, "*", 2)) {
        files_close(f);
        return app_fail(app, -ENOMEM, "cannot serve files: out of memory");
    }
    int error = app_add_route(app, prefix->at,
                              (route_spec){.method = "GET", .serve = files_serve, .user = f, .free_user = files_close});
    if (error || !memchr(prefix->at, '/', len)) /* "/", maybe with a port: nothing stands before the slash */
        return error;
    prefix->at[len] = '\0';
    return app_add_route(app, prefix->at,
                         (route_spec){.method = "GET", .serve = files_add_slash, .user = f, .free_user = keep_files});
}

/* The path ends in a slash now. 0 or -ENOMEM. */
static int make_prefix(buf *prefix, const char *path)
{
    int error = buf_put_text(prefix, path);
    bool slash = prefix->len && prefix->at[prefix->len - 1] == '/';
    return error || slash ? error : buf_put(prefix, "/", 1);
}

static int serve_directory(weft *app, const char *path, const char *directory, const weft_files_options *options)
{
    files *f;
    buf prefix = {0};
    int error = files_open(directory, options, &f);
    if (error)
        return app_fail(app, error, "cannot serve the directory \"%s\": %s", directory, weft_strerror(error));
    if (make_prefix(&prefix, path)) {
        files_close(f);
        error = app_fail(app, -ENOMEM, "cannot serve the directory \"%s\": out of memory", directory);
    } else {
        error = add_routes(app, &prefix, f);
    }
    buf_done(&prefix);
    return error;
}

int weft_files_sized(weft *app, const char *path, const char *directory, const weft_files_options *options, size_t size)
{
    weft_files_options known = {0};
    int error = app_check_configuring(app, "weft_files");
    if (error)
        return error;
    if (options)
        memcpy(&known, options, size < sizeof known ? size : sizeof known);
    const char *problem = !path || !*path ? "is missing"
                          : !directory    ? "has no directory"
                                          : files_options_problem(&known);
    if (problem)
        return app_fail(app, WEFT_E_INVALID, "the path \"%s\" of weft_files %s", path ? path : "", problem);
    return serve_directory(app, path, directory, &known);
}
