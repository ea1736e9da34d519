/**
 * The limits that clients can reach, by the names of their settings, and how often each was: for the log and for metrics.
 *
 * Each loop has its own counters (net->limits), which belong to its thread. A limit whose reaching ends a connection is told in that connection's last
 * line of log; the others are told by a line of their own, at most once in LIMIT_TELL_MS each, so that a flood of clients is not one of lines.
 */
#ifndef WEFT_BASE_LIMITS_H
#define WEFT_BASE_LIMITS_H

#include <stdbool.h>
#include <stdint.h>

typedef enum {
    /* of connections */
    LIMIT_ADDRESS_CONNECTIONS,
    LIMIT_ADDRESS_CONNECTS,
    LIMIT_DESCRIPTORS,
    LIMIT_WRITE_TIMEOUT,
    LIMIT_PROXIES, /* requests whose proxy contradicts itself */

    /* of requests */
    LIMIT_HEAD_TIMEOUT,
    LIMIT_IDLE_TIMEOUT,
    LIMIT_LINE_BYTES,
    LIMIT_HEAD_BYTES,
    LIMIT_BODY_BYTES,
    LIMIT_BODY_RATE,
    LIMIT_UNSENT_BYTES,
    LIMIT_ACCEPT_TIMEOUT,
    LIMIT_HOSTS,
    LIMIT_ORIGINS,
    LIMIT_KEY,
    LIMIT_ACCESS,

    /* of peers */
    LIMIT_MESSAGE_BYTES,
    LIMIT_FRAGMENTS,
    LIMIT_REPLY_BYTES,
    LIMIT_QUEUED_BYTES,
    LIMIT_MESSAGE_RATE,
    LIMIT_BYTE_RATE,
    LIMIT_PING_TIMEOUT,
    LIMIT_CLOSE_TIMEOUT,
    LIMIT_DEFLATE_BUDGET,

    /* of topics */
    LIMIT_TOPICS,
    LIMIT_SUBSCRIPTIONS,
    LIMIT_RING,
    LIMIT_SESSIONS,

    N_LIMITS,
} limit_id;

enum { LIMIT_TELL_MS = 60000 };

/** Zeroed is: none was reached. */
typedef struct {
    uint64_t n[N_LIMITS];
    uint64_t told_ms[N_LIMITS]; /* when a line of log was last due; 0: never */
} limits;

/** The setting's name (or, where there is no setting, that of what is limited): `max_body_bytes`. Static. */
const char *limit_name(limit_id id);

/** Counts one more, and returns the limit's name. */
const char *limit_count(limits *l, limit_id id);

/** True when a line about it is due: the first time, and once in LIMIT_TELL_MS after that. */
bool limit_tell(limits *l, limit_id id, uint64_t now_ms);

#endif
