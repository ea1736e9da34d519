/**
 * Reads what a client sends: an envelope of weft.v1 (docs/weft.v1.md), or a message of a batch (docs/topics.md
 * "Publishing").
 *
 * Strings are decoded where they stand, so nothing is allocated: the text is written to, also when it is refused, and
 * what is read are slices of it. Members that the type does not have are ignored, whatever they are; of a member that
 * comes twice the last counts. Whether a name may be a topic's or an event's, and how long it is, is the caller's to
 * look at.
 */
#ifndef WEFT_PROTO_ENVELOPE_H
#define WEFT_PROTO_ENVELOPE_H

#include "base/str.h"

typedef enum {
    ENVELOPE_UNKNOWN, /* a type that there is not: only `id` is read */
    ENVELOPE_HELLO,
    ENVELOPE_SUBSCRIBE,
    ENVELOPE_UNSUBSCRIBE,
    ENVELOPE_PUBLISH,
    ENVELOPE_PRESENCE,
    ENVELOPE_PING,
    ENVELOPE_PONG,
} envelope_type;

enum { ENVELOPE_MAX_ID_BYTES = 64 };

/** Strings are valid UTF-8, and may hold NUL; one that was not sent has at == NULL. */
typedef struct {
    envelope_type type;
    str id; /* raw JSON to be repeated as it is: a number, or a string with its quotes; at most ENVELOPE_MAX_ID_BYTES */
    str topic;           /* subscribe, unsubscribe, publish, presence: there in any case */
    str since;           /* subscribe */
    bool presence;       /* subscribe */
    str name;            /* hello */
    str event;           /* publish */
    weft_kind kind;      /* publish: what the data is, said or not; 0 with other types */
    str data;            /* publish: of its kind for certain; TEXT and BINARY decoded, JSON compact */
    const char *problem; /* NULL, or what is wrong: static, half a sentence for people ("topic is missing") */
} envelope;

/**
 * Reads one envelope from text of which nothing is known. *ret is written in any case. 0, or with ret->problem:
 * WEFT_E_JSON when the text is not one JSON object; WEFT_E_INVALID when it has no type, or a member that is missing, of
 * the wrong kind, or cannot be decoded. Then ret->id is there all the same, for the answer, if it is right itself. An
 * unknown type is no problem here.
 */
int envelope_read(char *at, size_t len, envelope *ret);

/** envelope_read() of a value that json_check() has accepted, alone or in an array. */
int envelope_read_value(char *at, size_t len, envelope *ret);

/** Reads one message of a batch, a value that json_check() has accepted, alone or in an array: topic, kind, event and
 * data are those of ENVELOPE_PUBLISH, which ret->type becomes; there is no `type` and no `id`. Returns what
 * envelope_read() does; with WEFT_E_INVALID ret->topic is there, for the answer, if it is right itself. */
int envelope_read_item(char *at, size_t len, envelope *ret);

#endif
