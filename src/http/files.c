#include "http/files.h"

#include "base/mem.h"
#include "http/conditions.h"
#include "http/http_date.h"
#include "http/media_type.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
    ETAG_BYTES = 64,
    OPEN_ATTEMPTS = 8, /* while somebody moves directories under us */
    /* Not O_PATH first: one call a file. O_NONBLOCK: a FIFO without a writer must not hold up the loop. */
    OPEN_FLAGS = O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC | O_LARGEFILE,
};

/* A path below the root. Behind its end is room for the suffix of a coding, which comes and goes. */
typedef struct {
    char text[PATH_MAX + 8];
    size_t len;
} file_path;

static const struct coding {
    const char *suffix;
    str name;
} codings[] = {{".br", {"br", 2}}, {".gz", {"gzip", 4}}}; /* the better one first */

/* A file that is open, and how it goes out. */
typedef struct {
    int fd;
    int64_t modified_s;
    uint64_t size;
    const struct coding *coding; /* NULL: as it is */
    bool varies;                 /* there is another coding of it */
    char etag[ETAG_BYTES];
} open_file;

/* ------------------------------------------------------------------------------------------------------------- opening */

static int open_beneath(int root, const char *path, int flags)
{
    struct open_how how = {.flags = (uint64_t)flags, .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
    long fd = -1;
    /* EAGAIN: a directory was moved meanwhile, and the system cannot tell whether ".." led out. */
    errno = EAGAIN;
    for (int i = 0; i < OPEN_ATTEMPTS && fd < 0 && (errno == EAGAIN || errno == EINTR); i++)
        fd = syscall(SYS_openat2, root, path, &how, sizeof how);
    return fd < 0 ? -errno : (int)fd;
}

/* Segment by segment and through no link; the path has no "..". It is cut at each slash in turn, and whole again afterwards. */
static int open_walking(int root, char *path)
{
    int at = root, fd;
    for (char *slash; (slash = strchr(path, '/')); path = slash + 1) {
        *slash = '\0';
        fd = openat(at, path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        int error = errno;
        *slash = '/';
        if (at != root)
            close(at);
        if (fd < 0)
            return -error;
        at = fd;
    }
    fd = openat(at, path, OPEN_FLAGS | O_NOFOLLOW);
    int error = errno;
    if (at != root)
        close(at);
    return fd < 0 ? -error : fd;
}

static void set_etag(open_file *file, const struct stat *about)
{
    snprintf(file->etag, sizeof file->etag, "\"%" PRIx64 "-%" PRIx64 "-%" PRIx64 "%s\"", (uint64_t)about->st_ino,
             (uint64_t)about->st_size, (uint64_t)about->st_mtim.tv_sec * 1000000000 + (uint64_t)about->st_mtim.tv_nsec,
             file->coding ? file->coding->suffix : "");
}

/* -EISDIR for a directory, -ENOENT for what is neither that nor a regular file. */
static int open_regular(const files *f, file_path *path, open_file *ret_file)
{
    struct stat about;
    int fd = f->walk ? open_walking(f->root, path->text) : open_beneath(f->root, path->text, OPEN_FLAGS);
    if (fd < 0)
        return fd;
    int error = fstat(fd, &about) ? -errno : S_ISDIR(about.st_mode) ? -EISDIR : S_ISREG(about.st_mode) ? 0 : -ENOENT;
    if (error) {
        close(fd);
        return error;
    }
    ret_file->fd = fd;
    ret_file->modified_s = about.st_mtim.tv_sec;
    ret_file->size = (uint64_t)about.st_size;
    set_etag(ret_file, &about);
    return 0;
}

/* The file in another coding; one that is older was made of what the file used to be. */
static bool open_coded(const files *f, file_path *path, const open_file *plain, open_file *coded)
{
    memcpy(path->text + path->len, coded->coding->suffix, strlen(coded->coding->suffix) + 1);
    bool there = open_regular(f, path, coded) == 0;
    if (there && coded->modified_s < plain->modified_s) {
        close(coded->fd);
        return false;
    }
    return there;
}

/* Replaces the file by the coding of it that the client wants most; of two alike, the smaller one. */
static void choose_coding(const files *f, const weft_request *request, file_path *path, open_file *file)
{
    const open_file plain = *file;
    unsigned best = 0;
    for (size_t i = 0; i < sizeof codings / sizeof *codings; i++) {
        open_file coded = {.coding = &codings[i]};
        if (!open_coded(f, path, &plain, &coded))
            continue;
        unsigned weight = conditions_weight(request, codings[i].name);
        open_file dropped = weight > best ? *file : coded;
        if (weight > best) {
            best = weight;
            *file = coded;
        }
        close(dropped.fd);
        file->varies = true;
    }
}

/* --------------------------------------------------------------------------------------------------------------- paths */

/* An empty segment, which is no name, and one that begins with a dot hide what they lead to. */
static bool is_visible(str path)
{
    str segment;
    while (str_split(&path, '/', &segment)) {
        bool last = !path.at;
        if (segment.len == 0 ? !last : segment.at[0] == '.')
            return false;
    }
    return true;
}

/* False for a path that leads to nothing that is served. */
static bool make_path(const files *f, str rest, file_path *ret_path)
{
    bool directory = rest.len == 0 || rest.at[rest.len - 1] == '/';
    str index = directory ? str_from(f->index) : STR("");
    if (!is_visible(rest) || rest.len + index.len >= PATH_MAX)
        return false;
    memcpy(ret_path->text, rest.at, rest.len);
    memcpy(ret_path->text + rest.len, index.at, index.len);
    ret_path->len = rest.len + index.len;
    ret_path->text[ret_path->len] = '\0';
    return true;
}

/* ------------------------------------------------------------------------------------------------------------- answers */

static void answer_text(exchange *e, int status, str text)
{
    exchange_answer(e, &(http_answer){.status = status, .type = STR("text/plain; charset=utf-8"), .body = text});
}

static void answer_error(exchange *e, int error)
{
    switch (error) {
    case -EACCES:
    case -EPERM:
        answer_text(e, 403, STR("this file may not be read\n"));
        break;
    case -EMFILE:
    case -ENFILE:
    case -ENOMEM:
    case -EAGAIN:
        exchange_add_field(e, STR("Retry-After"), STR("1"));
        answer_text(e, 503, STR("too much is open right now\n"));
        break;
    case -EIO:
        answer_text(e, 500, STR("this file cannot be read\n"));
        break;
    default: /* not there, no name that can be, out of the directory, a socket */
        answer_text(e, 404, STR("not found\n"));
    }
}

/* The fields are not whole: none of them goes out, least of all a coding with a text of ours. */
static void answer_no_memory(exchange *e, size_t fields_before)
{
    e->fields.len = fields_before;
    answer_error(e, -ENOMEM);
}

/* None that the second under way could belie: with one that is over, what it names has not changed (RFC 9110 §8.8.2). */
static int add_last_modified(exchange *e, int64_t modified_s)
{
    char date[HTTP_DATE_BYTES];
    int64_t over = time(NULL) - 1;
    if (!http_date_put(modified_s < over ? modified_s : over, date))
        return 0;
    return exchange_add_field(e, STR("Last-Modified"), str_from(date));
}

/* What the answer has in common with that to a revalidation (RFC 9110 §15.4.5). */
static int add_validators(exchange *e, const files *f, const open_file *file)
{
    int error = exchange_add_field(e, STR("ETag"), str_from(file->etag));
    if (!error && *f->cache_control)
        error = exchange_add_field(e, STR("Cache-Control"), str_from(f->cache_control));
    if (!error && file->varies)
        error = exchange_add_field(e, STR("Vary"), STR("Accept-Encoding"));
    return error;
}

static int add_description(exchange *e, const open_file *file)
{
    int error = add_last_modified(e, file->modified_s);
    if (!error)
        error = exchange_add_field(e, STR("Accept-Ranges"), STR("bytes"));
    if (!error)
        error = exchange_add_field(e, STR("X-Content-Type-Options"), STR("nosniff"));
    if (!error && file->coding)
        error = exchange_add_field(e, STR("Content-Encoding"), file->coding->name);
    return error;
}

/* A length of 0 says that there is no such range. */
static int add_content_range(exchange *e, byte_range range, uint64_t size)
{
    char text[96];
    if (range.length)
        snprintf(text, sizeof text, "bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64, range.first,
                 range.first + range.length - 1, size);
    else
        snprintf(text, sizeof text, "bytes */%" PRIu64, size);
    return exchange_add_field(e, STR("Content-Range"), str_from(text));
}

/* How the answer looks. */
typedef struct {
    int status;
    str type;
    byte_range range;
} outcome;

static outcome decide(const weft_request *request, const open_file *file, str type)
{
    representation what = {str_from(file->etag), file->modified_s, file->size};
    outcome result = {.status = conditions_check(request, &what), .type = type, .range = {0, file->size}};
    if (result.status != 200)
        return result;
    result.status = conditions_range(request, &what, &result.range);
    if (result.status == 416)
        result.range = (byte_range){0, 0};
    return result;
}

static int add_fields(exchange *e, const files *f, const open_file *file, const outcome *o)
{
    int error = 0;
    if (o->status < 400)
        error = add_validators(e, f, file);
    if (!error && o->status < 300)
        error = add_description(e, file);
    if (!error && (o->status == 206 || o->status == 416))
        error = add_content_range(e, o->range, file->size);
    return error;
}

/* Takes the descriptor. */
static void send_file(exchange *e, int fd, const outcome *o)
{
    http_answer answer = {.status = o->status, .type = o->type};
    if (e->ops->start(e, &answer, (int64_t)o->range.length))
        close(fd);
    else
        e->ops->write_file(e, fd, o->range.first, o->range.length);
}

/* Takes the descriptor. */
static void answer_with(exchange *e, const files *f, const open_file *file, const outcome *o)
{
    size_t before = e->fields.len;
    int error = add_fields(e, f, file, o);
    if (!error && o->status < 300) {
        send_file(e, file->fd, o);
        return;
    }
    close(file->fd);
    if (error)
        answer_no_memory(e, before);
    else if (o->status == 304)
        exchange_answer(e, &(http_answer){.status = 304});
    else
        answer_text(e, o->status, o->status == 412 ? STR("this file has changed\n") : STR("no such range\n"));
}

void files_serve(exchange *e, const weft_request *request, void *user)
{
    const files *f = user;
    file_path path;
    open_file file = {0};
    str rest = weft_request_param(request, "*");
    int error = make_path(f, rest, &path) ? open_regular(f, &path, &file) : -ENOENT;
    if (error == -EISDIR && path.len == rest.len) { /* longer: it is the index that is a directory */
        files_add_slash(e, request, user);
    } else if (error) {
        answer_error(e, error);
    } else {
        choose_coding(f, request, &path, &file);
        outcome o = decide(request, &file, media_type_of((str){path.text, path.len}));
        answer_with(e, f, &file, &o);
    }
}

/* ----------------------------------------------------------------------------------------------------------- redirects */

static bool is_unreserved(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           strchr("-._~", c); /* RFC 3986 §2.3 */
}

static int put_escaped(buf *out, str segment)
{
    int error = buf_reserve(out, 3 * segment.len);
    for (size_t i = 0; i < segment.len && !error; i++)
        error = is_unreserved(segment.at[i]) ? buf_put(out, &segment.at[i], 1)
                                             : buf_printf(out, "%%%02X", (unsigned)(unsigned char)segment.at[i]);
    return error;
}

/* Relative to the path that was asked for: the last segment again, with a slash. So it can lead to no other host, and it is right behind a
 * proxy that knows this directory by another name. Escaped, no colon makes a scheme of it. */
static int put_location(buf *out, const weft_request *request)
{
    str rest = request->path, segment = rest, query = weft_request_query(request);
    while (str_split(&rest, '/', &segment))
        ;
    int error = put_escaped(out, segment);
    if (!error)
        error = buf_put_str(out, STR("/"));
    if (!error && query.at)
        error = buf_put_str(out, STR("?"));
    return error ? error : buf_put_str(out, query);
}

void files_add_slash(exchange *e, const weft_request *request, void *user)
{
    buf location = {0};
    size_t before = e->fields.len;
    int error = put_location(&location, request);
    (void)user;
    if (!error)
        error = exchange_add_field(e, STR("Location"), buf_str(&location));
    if (!error) /* caches keep a 308 for good otherwise, and the directory may go */
        error = exchange_add_field(e, STR("Cache-Control"), STR("no-cache"));
    buf_done(&location);
    if (error)
        answer_no_memory(e, before);
    else
        answer_text(e, 308, STR("this is a directory: its path ends in a slash\n"));
}

/* ---------------------------------------------------------------------------------------------------------------- life */

const char *files_options_problem(const weft_files_options *options)
{
    str index = str_from(options->index);
    if (index.at && (index.len == 0 || index.len > NAME_MAX || *index.at == '.' || strchr(index.at, '/')))
        return "has an index that is not the name of a visible file";
    if (options->cache_control && !http1_is_value(str_from(options->cache_control)))
        return "has a cache_control with bytes that HTTP forbids";
    return NULL;
}

/* An old kernel has no openat2(), and a container's filter may forbid what it does not know. */
static bool can_open_beneath(int root)
{
    int fd = open_beneath(root, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0)
        close(fd);
    return fd != -ENOSYS && fd != -EPERM;
}

static char *copy_or(const char *text, const char *fallback)
{
    return text ? mem_copy_text(text, strlen(text)) : mem_copy_text(fallback, strlen(fallback));
}

int files_open(const char *directory, const weft_files_options *options, files **ret_files)
{
    files *f = mem_zero(sizeof *f);
    if (!f)
        return -ENOMEM;
    f->root = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int error = f->root < 0 ? -errno : 0;
    f->index = copy_or(options->index, "index.html");
    f->cache_control = copy_or(options->cache_control, "no-cache");
    if (!error && (!f->index || !f->cache_control))
        error = -ENOMEM;
    if (error) {
        files_close(f);
        return error;
    }
    f->walk = !can_open_beneath(f->root);
    *ret_files = f;
    return 0;
}

void files_close(void *user)
{
    files *f = user;
    if (!f)
        return;
    if (f->root >= 0)
        close(f->root);
    mem_free(f->index);
    mem_free(f->cache_control);
    mem_free(f);
}
