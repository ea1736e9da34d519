/**
 * The certificates of an application's listeners: read when it listens, and again when it is told to.
 */
#ifndef WEFT_APP_TLS_H
#define WEFT_APP_TLS_H

#include "app/app.h"

/** What the listeners of one weft_listen() call share; the application's. 0, or an error, which sticks. */
int app_tls_add(weft *app, const weft_listen_options *options, tls_context **ret_context);

/** No stream may be left. */
void app_tls_free(weft *app);

#endif
