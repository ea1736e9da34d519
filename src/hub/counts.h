/**
 * What a hub has counted for metrics, since it began unless said otherwise. Plain integers of its loop: nothing is added up when somebody asks, however
 * many peers there are.
 */
#ifndef WEFT_HUB_COUNTS_H
#define WEFT_HUB_COUNTS_H

#include "base/histogram.h"
#include <weft.h>

enum {
    HUB_HTTP = 0, /* in place of a transport: what comes by POST, and what polls get that are no peers */
    HUB_TRANSPORTS = WEFT_TRANSPORT_SOCKETIO + 1,
    HUB_CARRIER = HUB_TRANSPORTS, /* in place of a transport: peer_rules.carrier, which nobody is shown */
    HUB_FIRST_CODE = 1000,
    HUB_CODES = 16, /* 1000 to 1014; the last is every other one, so that no peer can make new ones */
};

/** What a subscription began with. */
typedef enum {
    RESUME_NEW,  /* nothing was asked for from before */
    RESUME_FULL, /* all that was asked for */
    RESUME_GAP,  /* what of it is still kept */
    N_RESUMES,
} resume_result;

/** What one transport carries. */
typedef struct {
    uint64_t n_peers; /* that are there now */
    uint64_t messages_in, messages_out;
    uint64_t bytes_in, bytes_out; /* of messages, without framing */
} hub_traffic;

typedef struct {
    hub_traffic traffic[HUB_TRANSPORTS + 1];
    uint64_t n_subscriptions, n_waiters; /* now */
    uint64_t session_bytes;              /* that wait for polls of sessions now */
    uint64_t n_published;
    uint64_t n_refused;     /* publications of other loops that could not be made */
    uint64_t n_mirror_gaps; /* messages that mirrors here have lost */
    uint64_t
        n_missed_cuts; /* sockets here that lost their connection because what was meant for many did not reach them */
    uint64_t closes[HUB_CODES];
    uint64_t resumes[N_RESUMES];
    histogram round_trips; /* from a keep-alive ping to its pong */
} hub_counts;

static inline void hub_count_in(hub_counts *c, unsigned transport, size_t bytes)
{
    c->traffic[transport].messages_in++;
    c->traffic[transport].bytes_in += bytes;
}

static inline void hub_count_out(hub_counts *c, unsigned transport, uint64_t n, size_t bytes)
{
    c->traffic[transport].messages_out += n;
    c->traffic[transport].bytes_out += bytes;
}

static inline void hub_count_close(hub_counts *c, int code)
{
    unsigned place = (unsigned)(code - HUB_FIRST_CODE);
    c->closes[place < HUB_CODES - 1 ? place : HUB_CODES - 1]++;
}

#endif
