/**
 * A directory whose files are served, and nothing else of the system: no file outside it, whatever links and dots a path holds, no name that
 * begins with a dot or lies below one, nothing but regular files.
 *
 * Each request opens the file anew and the system sends it from its cache: what is on disk is what is served. Beside NAME may lie NAME.br and
 * NAME.gz, which are sent instead to those who take them, unless they are older than NAME.
 */
#ifndef WEFT_HTTP_FILES_H
#define WEFT_HTTP_FILES_H

#include "http/exchange.h"

typedef struct {
    int root;    /* the directory */
    bool walk;   /* the system has no openat2(): paths are walked here, and symbolic links are not followed */
    char *index; /* owned, as is the next */
    char *cache_control;
} files;

/** What is wrong with the options, as a half-sentence; NULL: nothing. */
const char *files_options_problem(const weft_files_options *options);

/** Opens the directory; it is this one that is served, also when another takes its name later. 0 or -errno. */
int files_open(const char *directory, const weft_files_options *options, files **ret_files);

/** NULL is fine. Its type is that of route_spec.free_user, as those of the next two are that of route_spec.serve. */
void files_close(void *f);

/** Serves what the wildcard of the route's pattern stands for. */
void files_serve(exchange *e, const weft_request *request, void *f);

/** Sends the client to the same path with a slash behind it: below that is what a page in a directory names. */
void files_add_slash(exchange *e, const weft_request *request, void *f);

#endif
