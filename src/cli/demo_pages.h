/* The demo's pages over Socket.IO, compiled in, and what they share. */
#ifndef WEFT_CLI_DEMO_PAGES_H
#define WEFT_CLI_DEMO_PAGES_H

#include <weft.h>

/* Adds /chatroom, /progress, /sendmsg, /demo.css and /demo.js on the listener of that port. */
void demo_pages_add(weft *app, const char *port);

/* Answers with a page, or with 304 when the client has it. */
void demo_page_answer(weft_exchange exchange, const weft_request *request, const char *etag, const char *type,
                      weft_str page);

#endif
