/**
 * Socket.IO on several loops: what travels between them.
 *
 * A connection, and so all its sockets, lives on one loop. A namespace is there on each loop that has sockets in it, and has a home: what is meant for many of its
 * sockets (an *order*: an event, or that they join or leave a room, or have to go) is given there, gets a number, and is passed on to the loops that have the
 * namespace, at home at once. So all sockets get the broadcasts of a namespace in one order.
 *
 *     loop 2                              loop 0, the home of "/"              loop 1
 *     weft_socketio_broadcast()  ──────▶  number 7 ──────────────────────────▶ to its own sockets
 *     to its own sockets         ◀──────  to its own sockets
 *
 * Who is meant is said by names and handles, and looked up where the sockets are, when the order gets there.
 *
 * Which loops have a namespace is known without being told: each counts its own by a hash of their names, where the others look (one of the few things that threads
 * share). So an order that was caused by a client's being let in reaches that client: its count went up before it was told so. One that reaches a loop without
 * the namespace does nothing.
 *
 * A loop whose inbox has no room for an order has missed it. It is told so as soon as it can be; then those of its clients that are in namespaces with that home
 * lose their connections, and cannot be recovered from before. Never is one left out silently.
 */
#ifndef WEFT_TRANSPORT_SOCKETIO_LOOPS_H
#define WEFT_TRANSPORT_SOCKETIO_LOOPS_H

#include "transport/socketio.h"

typedef enum {
    SOCKETIO_EMIT,
    SOCKETIO_JOIN,
    SOCKETIO_LEAVE,
    SOCKETIO_DISMISS,
    SOCKETIO_DISMISS_CLIENT,
} socketio_action;

/** What is done to the sockets of a namespace that are meant, on whatever loops they are. Borrowed. */
typedef struct {
    socketio_action action;
    str nsp;
    socketio_audience to;
    socketio_emission what; /* SOCKETIO_EMIT */
    str room;               /* SOCKETIO_JOIN, SOCKETIO_LEAVE */
} socketio_order;

/** What one loop needs for this. NULL: no memory. */
socketio_loops *socketio_loops_new(socketio_route *route);
void socketio_loops_free(socketio_loops *l); /* NULL is fine */

/** Takes back its timer. */
void socketio_loops_stop(socketio_loops *l);

/** A namespace is there from now on, or no longer. */
void socketio_loops_present(socketio_loops *l, hub *h, str nsp);
void socketio_loops_absent(socketio_loops *l, str nsp);

/** The number of the hub on which a namespace is at home. Any thread. */
unsigned socketio_home(const socketio_route *route, const hub_links *links, str nsp);

/** On the home: gives an order. What it cannot do to a socket here for want of memory costs that socket its connection, as elsewhere. 0 or -ENOMEM: nothing was
 * done. */
int socketio_loops_give(socketio_route *route, hub *h, const socketio_order *order);

/** On the home: something for many was lost before it could be given. All loops, this one too, are told that they have missed an order. */
void socketio_loops_lose(socketio_route *route, hub *h);

/** On the home: the loops but this one that may have the namespace and have missed no order, a bit for each; and the number of the latest order. Who is sent a note
 * now has had all orders up to that one when it gets there, and none after it. */
uint64_t socketio_loops_with(const socketio_route *route, const hub *h, str nsp, uint32_t *ret_order);

/* socketio_return.c */

/** A client asks to be who it was, and this loop does not know it: asks the others by way of the namespace's home, and answers with socketio_socket_return(). False:
 * there are none, or they cannot be asked.
 *
 * The home stamps the question with the number of its latest order. The loop that has the socket gives it up with what it missed up to there; later orders are in this
 * loop's own log, as the home knew that the namespace is here. So there is no hole, and nothing comes twice. */
bool socketio_return_ask(socketio_socket *s, str pid, str offset);

/** Does it to the sockets of this loop. An error of socketio_broadcast() or socketio_join(). */
int socketio_order_run(const socketio_route *route, const hub *h, const socketio_order *order);

#endif
