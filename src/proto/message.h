/**
 * A message as JSON text: the object of a topic over HTTP (docs/topics.md) and the envelope of weft.v1
 * (docs/weft.v1.md).
 *
 *     object:   {"id":"…","event":"…","type":"text","data":…}
 *     envelope: {"type":"message","topic":"…","id":"…","event":"…","kind":"text","data":…}
 *
 * Room is the caller's: ask for the length, then put, which gives the number of bytes again. What is put is compact.
 */
#ifndef WEFT_PROTO_MESSAGE_H
#define WEFT_PROTO_MESSAGE_H

#include "base/str.h"

/** UTF-8; what is empty of the first three is left out. Data is UTF-8 (TEXT), one compact value, which goes in as it is
 * (JSON), or any bytes, which go in as base64 (BINARY). */
typedef struct {
    str topic; /* in the envelope only */
    str id;
    str event;
    str data;
    weft_kind kind;
} message_text;

size_t message_object_len(const message_text *message);
size_t message_object_put(char *at, const message_text *message);

size_t message_envelope_len(const message_text *message);
size_t message_envelope_put(char *at, const message_text *message);

#endif
