/**
 * The suites that have a file of their own: what each adds to the application.
 */
#ifndef WEFT_CONFORMANCE_SUITES_H
#define WEFT_CONFORMANCE_SUITES_H

#include <weft.h>

void add_engineio(weft *app);
void add_engineio_client(weft *app);
void add_socketio(weft *app);
void add_socketio_broadcast(weft *app);
void add_socketio_client(weft *app);
void add_socketio_echo(weft *app);
void add_socketio_others(weft *app);
void add_socketio_soak(weft *app);

#endif
