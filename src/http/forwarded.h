/**
 * For whom a trusted proxy asks: `Forwarded` (RFC 7239), or `X-Forwarded-For` with `X-Forwarded-Proto`.
 *
 * Both lists are read from their end, where the nearest proxy has written: behind addresses of trusted proxies stands the client, and what stands in
 * front of that is the client's own word. The end of what can be read (`unknown`, a name) is the end of what is believed. A proxy
 * that sets one of the two fields may pass on the other as a client made it up, so that both are believed only when they agree. Whether the client came by
 * https is believed in the same way.
 */
#ifndef WEFT_HTTP_FORWARDED_H
#define WEFT_HTTP_FORWARDED_H

#include "net/addresses.h"
#include "proto/http1.h"

typedef struct {
    bool known;          /* there is a client */
    named_client client; /* when known */
    bool secure;         /* it came by https */
    bool contradicts;    /* the two fields name different clients: none is believed */
} forwarded;

/** What the head of a request says that came from a trusted proxy. */
forwarded forwarded_read(const http1_head *head, const char *at, const networks *proxies);

#endif
