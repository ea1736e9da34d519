#include "transport/socketio_files.h"

#include "app/routes.h"
#include "base/buf.h"
#include <errno.h>

/* What is served belongs to nobody: a route has to have something that it frees. */
static char nobody;

static void free_nothing(void *user)
{
    (void)user;
}

/* Pages of other origins may load it as a module. */
static const char *const anybody[] = {"*", NULL};

static int add_file(weft *app, const char *path)
{
    return app_add_route(app, path,
                         (route_spec){
                             .method = "GET",
                             .serve = socketio_files_serve,
                             .origins = anybody,
                             .user = &nobody,
                             .free_user = free_nothing,
                         });
}

static int add_folder(weft *app, const char *path)
{
    int error = 0;
    for (const char *const *name = socketio_file_names; *name && !error; name++) {
        buf whole = {0};
        error = buf_put_text(&whole, path) || buf_put(&whole, *name, strlen(*name) + 1)
                    ? app_fail(app, -ENOMEM, "cannot add the path \"%s\": out of memory", path)
                    : add_file(app, whole.at);
        buf_done(&whole);
    }
    return error;
}

int weft_socketio_files(weft *app, const char *path)
{
    int error = app_check_configuring(app, "weft_socketio_files");
    if (error)
        return error;
    const char *slash = path ? strrchr(path, '/') : NULL;
    if (slash && !slash[1])
        return add_folder(app, path);
    if (slash && socketio_files_has(str_from(slash + 1)))
        return add_file(app, path);
    return app_fail(app, WEFT_E_INVALID,
                    "the path \"%s\" of weft_socketio_files ends neither in a slash nor in the name of a client file",
                    path ? path : "");
}
