/**
 * From what somebody publishes to the blob that everybody gets.
 */
#ifndef WEFT_HUB_MESSAGE_H
#define WEFT_HUB_MESSAGE_H

#include "base/blob.h"

/** Looks at a message once for all who get it, and compacts JSON. `utf8`: TEXT is known to be valid. blocks may be
 * NULL (a thread without a loop).
 * 0, WEFT_E_INVALID (the kind, the event), WEFT_E_UTF8, WEFT_E_JSON or -ENOMEM. */
int message_blob(pool *blocks, const weft_message *message, bool utf8, blob **ret_body);

#endif
