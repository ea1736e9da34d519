/**
 * Messages as servers wrap them in JSON: {"id":…,"type":…,"data":"…"}.
 */
#ifndef WEFT_BENCH_PUSHED_H
#define WEFT_BENCH_PUSHED_H

#include "base/buf.h"

/** What an object says, as it stands there; {NULL, 0} for a member that it has not. */
typedef struct {
    str data;             /* of a message */
    str messages, cursor; /* of the answer to a poll */
    bool is_gap;          /* Weft says, maybe in a message's place, that it had to leave some out */
} bench_pushed;

/** True when the text is one JSON object: then *ret_pushed is what it says. */
bool bench_pushed_read(str text, bench_pushed *ret_pushed);

/** The same of an object inside a text that was read. */
bench_pushed bench_pushed_inside(str object);

/** The text of a value, or the value as it stands when it is no string. It lies in the value unless it has escapes; then it is decoded into *room.
 * 0, -ENOMEM, or WEFT_E_UTF8 for half a surrogate pair. */
int bench_pushed_text(str value, buf *room, str *ret_text);

#endif
