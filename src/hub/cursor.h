/**
 * Cursors: a place in a topic, as clients pass it back: `<epoch>-<number>`, the epoch as 12 hexadecimal digits.
 */
#ifndef WEFT_HUB_CURSOR_H
#define WEFT_HUB_CURSOR_H

#include "base/str.h"

typedef struct {
    uint64_t epoch;  /* 48 bits, not 0; new whenever the numbers of a topic begin again */
    uint64_t number; /* of the last message before the place: the first message of an epoch is 1 */
} cursor;

enum { CURSOR_BYTES = 12 + 1 + 20 }; /* the longest text */

/** Writes the text, without a NUL; its length. */
size_t cursor_put(cursor c, char ret_text[CURSOR_BYTES]);

/** From where on a client wants to have a topic. */
typedef struct {
    enum {
        SINCE_NOW,
        SINCE_START, /* all that is kept */
        SINCE_CURSOR,
    } from;
    cursor at; /* epoch 0 for a text that is no cursor: foreign to every topic */
} since;

/** What `text` asks for; {NULL, 0} asks for SINCE_NOW. */
since since_read(str text);

#endif
