/**
 * Presence: the names under which a topic's subscribers are known, counted once each however many peers share one. A
 * name whose last peer has left is told as gone PRESENCE_LEAVE_MS later, so that a client that comes back soon was
 * never away.
 *
 * Whoever watches is told first all names and then what has changed, through the peer's handler. Changes are gathered:
 * there are at least PRESENCE_TELL_MS between two notifications (PRESENCE_COUNT_MS with more names than are listed), and
 * a large round of them runs in slices as a fan-out does. A watcher without room in its queue is passed over, and told
 * all names when there is room.
 */
#ifndef WEFT_HUB_PRESENCE_H
#define WEFT_HUB_PRESENCE_H

#include "hub/topic.h"

enum {
    PRESENCE_LEAVE_MS = 5000,
    PRESENCE_TELL_MS = 100,
    PRESENCE_COUNT_MS = 1000,
    PRESENCE_MAX_LISTED = 1000, /* names told; above it only how many there are */
    PRESENCE_NAME_BYTES = 255,
    PRESENCE_SLICE_US = 2000,
};

/** What is told to whoever watches. Borrowed. No names when count is above PRESENCE_MAX_LISTED; else never nothing. */
struct presence_change {
    size_t count;             /* present now */
    const str *joined, *left; /* since the last time */
    size_t n_joined, n_left;
    bool whole; /* joined is all that are present, in place of what was told before */
};

/** A peer subscribes, or has left. Nothing happens on a topic whose options do not ask for presence. 0, -ENOMEM or
 * another -errno (no randomness). From the first join on the peer keeps its name. */
int presence_join(topic *t, peer *p);
void presence_leave(topic *t, peer *p);

/** The peer, which is subscribed, is told who is there and then of changes, until it unsubscribes. Nothing is queued
 * by this call: all names (or the count) come when the timers run next, or PRESENCE_TELL_MS or PRESENCE_COUNT_MS after
 * the topic's last notification; so what the caller queues in the same go stands before them. Once more is fine, and
 * gets all names again. Nothing happens on a topic without presence, and for a peer whose handler cannot tell it. 0, or -ENOMEM, for which the caller closes the peer; without memory later on the peer is aborted. */
int presence_watch(topic *t, peer *p);

/** How many names are present, which may be ahead of what watchers were told; fn, unless NULL, is called for at most
 * PRESENCE_MAX_LISTED of them, in no order. It may subscribe and unsubscribe peers: names that come and go meanwhile
 * may be left out or come twice. */
size_t presence_list(const topic *t, void (*fn)(str name, void *user), void *user);

/** Somebody's leave is still to be told. */
bool presence_lingers(const topic *t);

void presence_free(topic *t);

/** Gives the peer its name; WEFT_E_INVALID (not 1-255 bytes of UTF-8, without control characters; it is subscribed, or
 * was listed), -ENOMEM. */
int peer_identify(peer *p, str name);

/** Its name; one is made for a peer without. {NULL, 0}: no memory. */
str peer_identity(peer *p);

#endif
