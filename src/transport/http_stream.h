/**
 * An HTTP answer that does not end as a transport: Server-Sent Events, a JSON object a line, or weft.v1 envelopes as
 * events. The peer is only sent to; an idle one owns no buffer.
 */
#ifndef WEFT_TRANSPORT_HTTP_STREAM_H
#define WEFT_TRANSPORT_HTTP_STREAM_H

#include "http/exchange.h"
#include "transport/encoding.h"

/** What all streams of a route have in common. Outlives them. */
typedef struct {
    peer_rules rules;
    const encoding *encoding;
    wire format;
    weft_transport transport;
    uint32_t keep_alive_ms; /* of silence; WEFT_NEVER: none */
    uint32_t retry_ms;      /* of events: clients are told once to twice this; WEFT_NEVER: nothing */
} http_stream_kind;

/** Answers the exchange (which must not be HEAD's; see http_stream_head()) with the head of a stream and its first
 * bytes, which makes its client a peer; what else is queued to it before the turn's end goes out with that. `since`
 * is kept for `open`. The exchange is gone afterwards. NULL: no memory, and the client is gone too. */
peer *http_stream_open(exchange *e, const http_stream_kind *kind, str since);

/** Answers HEAD as GET would be, without a stream. 0, or -ENOMEM: the client is gone. */
int http_stream_head(exchange *e, const http_stream_kind *kind);

/** Where a client wants to begin: the header Last-Event-ID, else `since` in the query; {NULL, 0} for neither, or when
 * they are empty. What cannot be a cursor (NUL in it, over 255 bytes) is told as "?", which is foreign to every topic.
 * Borrowed from the request. */
str http_stream_since(const weft_request *request);

/** A route of weft_sse() or weft_stream(): a deep copy of the options, defaults filled in. NULL: no memory. */
typedef struct http_stream_route http_stream_route;
http_stream_route *http_stream_route_new(const weft_sse_options *options, weft_transport transport);
void http_stream_route_free(void *route);
const char *const *http_stream_route_origins(const http_stream_route *route);

/** Serves GET on such a route: a route_spec's `serve`. */
void http_stream_serve(exchange *e, const weft_request *request, void *route);

#endif
