/**
 * Who may read and write which topic: patterns for everybody, a key for those who have it, and the program's own word.
 */
#ifndef WEFT_TRANSPORT_ACCESS_H
#define WEFT_TRANSPORT_ACCESS_H

#include "hub/peer.h"

/** What the options say. */
typedef struct {
    const char *const *subscribe; /* NULL: all */
    const char *const *publish;   /* NULL: none */
    const char *key;              /* NULL: nobody has it */
    int (*allow)(const weft_access *access, void *user);
    void *user;
} access_rules;

typedef enum {
    ACCESS_NO_KEY,    /* no Authorization field was sent */
    ACCESS_KEY,       /* the right one */
    ACCESS_WRONG_KEY, /* another one, or another scheme: 401 */
} access_key;

/** Looks at `Authorization: Bearer KEY`, in time that does not depend on where keys differ. */
access_key access_look(const access_rules *rules, const weft_request *request);

/** Who asks for a topic: exactly one of peer and request is set. */
typedef struct {
    const weft_request *request;
    peer *peer;
    bool has_key;
} access_asker;

bool access_allowed(const access_rules *rules, const access_asker *asker, str name, bool publish);

#endif
