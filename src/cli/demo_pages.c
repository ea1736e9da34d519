#include "demo_pages.h"

#include "demo_chatroom.h"
#include "demo_progress.h"
#include "demo_script.h"
#include "demo_sendmsg.h"
#include "demo_style.h"
#include <stdio.h>
#include <string.h>

typedef struct {
    const char *path, *type;
    const char *page, *etag;
    const size_t *len;
} demo_file;

#define HTML "text/html; charset=utf-8"

static const demo_file files[] = {
    {"chatroom", HTML, demo_chatroom, demo_chatroom_etag, &demo_chatroom_len},
    {"progress", HTML, demo_progress, demo_progress_etag, &demo_progress_len},
    {"sendmsg", HTML, demo_sendmsg, demo_sendmsg_etag, &demo_sendmsg_len},
    {"demo.css", "text/css; charset=utf-8", demo_style, demo_style_etag, &demo_style_len},
    {"demo.js", "text/javascript; charset=utf-8", demo_script, demo_script_etag, &demo_script_len},
};

void demo_page_answer(weft_exchange exchange, const weft_request *request, const char *etag, const char *type,
                      weft_str page)
{
    weft_str known = weft_request_header(request, "If-None-Match");
    weft_header(exchange, "ETag", etag);
    if (known.len && memmem(known.at, known.len, etag, strlen(etag)))
        weft_answer(exchange, 304, NULL, NULL, 0);
    else
        weft_answer(exchange, 200, type, page.at, page.len);
}

static void serve_file(weft_exchange exchange, const weft_request *request, void *user)
{
    const demo_file *file = user;
    weft_header(exchange, "Cache-Control", "no-cache");
    demo_page_answer(exchange, request, file->etag, file->type, (weft_str){file->page, *file->len});
}

void demo_pages_add(weft *app, const char *port)
{
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char path[32];
        snprintf(path, sizeof path, ":%s/%s", port, files[i].path);
        weft_get(app, path, serve_file, (void *)&files[i]);
    }
}
