/* The demo's programs over Socket.IO, in the namespace "/" on both ports: broadcast, progress and chat room, with a page for each on the first. */
#ifndef WEFT_CLI_DEMO_SOCKETIO_H
#define WEFT_CLI_DEMO_SOCKETIO_H

#include <weft.h>

enum { DEMO_KEPT = 50 };

/* What was said in the chat room of late, the oldest first: objects of JSON. */
typedef struct {
    char *said[DEMO_KEPT];
    size_t n;
} demo_room;

/* Adds /socket.io/ and /socket.io.js, and on the listener of that port /chatroom, /progress and /sendmsg. The room outlives the application. */
void demo_socketio_add(weft *app, const char *port, demo_room *room);
void demo_room_done(demo_room *room);

#endif
