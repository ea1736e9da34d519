/**
 * A page of metrics as it comes about: the first worker asks the others by notes, adds up what comes back, and answers when all have, or with what there
 * is after a second. With one worker it answers at once.
 */
#ifndef WEFT_APP_GATHERING_H
#define WEFT_APP_GATHERING_H

#include "app/admin.h"

/** Answers an operator's exchange, now or later. On the first worker. */
void gathering_begin(weft *app, exchange *e);

/** Those under way are not answered any more. */
void gatherings_drop(admin *a);

#endif
