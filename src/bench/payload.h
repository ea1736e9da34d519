/**
 * What messages are made of, so that each one that comes back can be held against what was sent: who sent it, its number, and words that follow from both.
 *
 *     000a1f00000017f.words and numbers that compress as text does ...
 *     6 digits of the source, 9 of the number, all hexadecimal, and a full stop
 *
 * ASCII without quotes, backslashes and control characters, so that it stands in JSON as it is.
 */
#ifndef WEFT_BENCH_PAYLOAD_H
#define WEFT_BENCH_PAYLOAD_H

#include "base/str.h"
#include <stdint.h>

/** Writes the message `number` of `source`, `len` bytes (at least BENCH_MIN_BYTES, see plan.h). */
void bench_payload_put(char *at, size_t len, uint32_t source, uint64_t number);

/** The source that the head of a message says; UINT32_MAX when it has no such head. */
uint32_t bench_payload_source(str payload);

/** The number that a message of this source and length says; UINT64_MAX when any byte is not what was sent. */
uint64_t bench_payload_check(str payload, size_t len, uint32_t source);

#endif
