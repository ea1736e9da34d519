/**
 * What the client of a topic's WebSocket sends is published to the topic.
 *
 * A topic that is at home on another loop may have no room there for more. Then what was received is kept, and the
 * client is not read from until it was published: it is slowed down, as it would be by a topic that is at home here.
 */
#ifndef WEFT_TRANSPORT_TOPIC_WRITER_H
#define WEFT_TRANSPORT_TOPIC_WRITER_H

#include "transport/topics_route.h"

enum { WRITER_RETRY_MS = 5 };

/** Becomes the handler of a new peer. 0 or -ENOMEM. */
int topic_writer_attach(peer *p, const topics_route *route, str name, bool has_key);

#endif
