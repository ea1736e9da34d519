/* The demo's programs that push over plain HTTP: polls and Server-Sent Events. */
#ifndef WEFT_CLI_DEMO_PUSH_H
#define WEFT_CLI_DEMO_PUSH_H

#include <weft.h>

enum { DEMO_MAX_WAITING = 1000 };

/* Polls that wait for the next answer. */
typedef struct {
    weft_exchange at[DEMO_MAX_WAITING];
    size_t n;
} demo_waiting;

/* What the polling programs answer. */
extern const char demo_answer[];

/* Adds /poll, /longpoll and /events on the listener of that port. The queue outlives the application. */
void demo_push_add(weft *app, const char *port, demo_waiting *waiting);

#endif
