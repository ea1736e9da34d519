#include "transport/socketio_files.h"

#include "base/chunk.h"
#include "http/conditions.h"
#include <stdio.h>
#include <string.h>

const char *const socketio_file_names[] = {
    "socket.io.js",
    "socket.io.js.map",
    "socket.io.min.js",
    "socket.io.min.js.map",
    "socket.io.esm.min.js",
    "socket.io.esm.min.js.map",
    "socket.io.msgpack.min.js",
    "socket.io.msgpack.min.js.map",
    NULL,
};

static const char left_out[] = "This server was built without npm's socket.io-client, whose file this would be: build "
                               "it with `./dev build`, which fetches that, or with the meson option socketio_client "
                               "set to the folder of the package.\n";

bool socketio_files_has(str name)
{
    for (const char *const *known = socketio_file_names; *known; known++) {
        if (str_equal(name, str_from(*known)))
            return true;
    }
    return false;
}

static str last_segment(str path)
{
    const char *slash = memrchr(path.at, '/', path.len);
    const char *at = slash ? slash + 1 : path.at;
    return (str){at, (size_t)(path.at + path.len - at)};
}

/* The file of that name, or with ".gz" behind it; NULL when it was not compiled in. */
static const socketio_client_file *find_file(str name, const char *suffix)
{
    for (const socketio_client_file *f = socketio_client_files; f->name; f++) {
        str known = str_from(f->name);
        bool begins = known.len >= name.len && str_equal((str){known.at, name.len}, name);
        if (begins && strcmp(known.at + name.len, suffix) == 0)
            return f;
    }
    return NULL;
}

static bool is_map(str name)
{
    static const char suffix[] = ".map";
    size_t len = strlen(suffix);
    return name.len > len && memcmp(name.at + name.len - len, suffix, len) == 0;
}

static void put_fields(exchange *e, const char *etag, bool varies, bool in_gzip)
{
    exchange_add_field(e, STR("ETag"), str_from(etag));
    exchange_add_field(e, STR("Cache-Control"), STR("public, max-age=0"));
    if (varies)
        exchange_add_field(e, STR("Vary"), STR("Accept-Encoding"));
    if (in_gzip)
        exchange_add_field(e, STR("Content-Encoding"), STR("gzip"));
}

/* The version is the ETag, as the reference has it. Both codings share it: no ranges are served, so nobody can put pieces of both together. */
static void send_file(exchange *e, const weft_request *request, const socketio_client_file *plain,
                      const socketio_client_file *gzip)
{
    char etag[64];
    str name = str_from(plain->name);
    snprintf(etag, sizeof etag, "\"%s\"", socketio_client_version);
    const representation what = {.etag = str_from(etag), .modified_s = INT64_MAX};
    http_answer answer = {.status = conditions_check(request, &what)};
    bool in_gzip = gzip && conditions_weight(request, STR("gzip")) > 0;
    put_fields(e, etag, gzip, in_gzip && answer.status == 200);
    if (answer.status == 200) {
        const socketio_client_file *sent = in_gzip ? gzip : plain;
        answer.type =
            is_map(name) ? STR("application/json; charset=utf-8") : STR("application/javascript; charset=utf-8");
        answer.body = (str){sent->at, (size_t)(sent->end - sent->at)};
    }
    chunk *bytes_stay = chunk_new(e->home->blocks, 0); /* they are the program's own: a slow client costs no copy */
    answer.owner = bytes_stay;
    pool *blocks = e->home->blocks;
    exchange_answer(e, &answer);
    chunk_unref(blocks, bytes_stay);
}

void socketio_files_serve(exchange *e, const weft_request *request, void *user)
{
    (void)user;
    str name = last_segment(request->path);
    const socketio_client_file *plain = socketio_files_has(name) ? find_file(name, "") : NULL;
    if (plain) {
        send_file(e, request, plain, find_file(name, ".gz"));
        return;
    }
    bool missing = socketio_files_has(name);
    exchange_answer(e, &(http_answer){.status = 404,
                                      .type = STR("text/plain; charset=utf-8"),
                                      .body = missing ? str_from(left_out) : STR("not found\n")});
}
