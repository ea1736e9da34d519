/**
 * Socket.IO of weft serve: which namespaces there are, who gets what their clients emit, and the topics that are bridged to them.
 */
#ifndef WEFT_CLI_SERVE_SOCKETIO_H
#define WEFT_CLI_SERVE_SOCKETIO_H

#include "settings.h"
#include <weft.h>

/** Adds what the settings say, if anything; a mistake sticks to the application. The settings outlive it. */
void serve_socketio_add(weft *app, const settings *s);

/** One line on standard output: where it is, and what is open to whom; none when it is off. */
void serve_socketio_print(const settings *s);

#endif
