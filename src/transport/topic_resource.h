/**
 * A topic as an HTTP resource (docs/topics.md): what a request asks for decides how it is served.
 */
#ifndef WEFT_TRANSPORT_TOPIC_RESOURCE_H
#define WEFT_TRANSPORT_TOPIC_RESOURCE_H

#include "transport/topics_route.h"

/** Sets up the carriers of a route that serves topics one by one. 0 or -ENOMEM. */
int topic_resource_init(topics_route *route);

/* Each is a route_spec's `serve`; `user` is a topics_route. */
void topic_resource_upgrade(exchange *e, const weft_request *request, void *user);
void topic_resource_get(exchange *e, const weft_request *request, void *user);
void topic_resource_post(exchange *e, const weft_request *request, void *user); /* topic_publish.c */

/* The path above: the list (topic_index.c), and batches (topic_batch.c). */
void topic_index_get(exchange *e, const weft_request *request, void *user);
void topic_index_post(exchange *e, const weft_request *request, void *user);

/** Who asks; false when a wrong key was sent, and then the request has been refused. */
bool topic_resource_asker(exchange *e, const weft_request *request, const topics_route *route, access_asker *ret_asker);

/** The topic that a request is for: a valid name that the client may read, or publish to. {NULL, 0} when the request has
 * been refused. */
str topic_resource_enter(exchange *e, const weft_request *request, const topics_route *route, bool publish);

enum { TOPIC_DENIAL_BYTES = 512 };

/** The sentence that says of a valid name that it may not be read, or published to. */
void topic_resource_denial(str name, bool publish, char ret_sentence[TOPIC_DENIAL_BYTES]);

/** The media type alone, without parameters, of a Content-Type or of an element of Accept. */
str topic_media_type(str field);

/** application/json, or a type that ends in +json. */
bool topic_media_is_json(str type);

/** A JSON object a line, under any of its names. */
bool topic_media_is_lines(str type);

#endif
