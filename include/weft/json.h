/**
 * Values in place of JSON text, for programs that want them: jansson's. The library itself does not need it: whoever includes this file links jansson
 * (`pkg-config --cflags --libs weft jansson`).
 *
 *     json_t *args = weft_json_arguments(event);
 *     const char *name;
 *     if (args && json_unpack(args, "[{s:s}]", "name", &name) == 0)
 *         …
 *     json_decref(args);
 *
 * jansson knows less than JSON does: no number beyond a double's range, no half of a surrogate pair. An integer of more than 64 bits makes all numbers of its event reals, as
 * they are in JavaScript. What it cannot hold has no value here, and can be read as text all the same.
 */
#ifndef WEFT_JSON_H
#define WEFT_JSON_H

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <weft.h>

#ifdef __cplusplus
extern "C" {
#endif

/** An event's arguments as an array, for json_decref(); NULL when there is no memory, or when they have something that jansson cannot hold. Attachments are the objects
 * that stand in their places. */
static inline json_t *weft_json_arguments(const weft_socketio_event *event)
{
    json_t *args;
    if (!event->args.at)
        return json_array();
    args = json_loadb(event->args.at, event->args.len, JSON_ALLOW_NUL, NULL);
    return args ? args : json_loadb(event->args.at, event->args.len, JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, NULL);
}

/** The text of an array, for free(); NULL when it is none, or there is no memory. */
static inline char *weft_json_dump(const json_t *args)
{
    return json_is_array(args) ? json_dumps(args, JSON_COMPACT) : NULL;
}

/** What to answer for arguments that gave no text. */
static inline int weft_json_problem(const json_t *args)
{
    return json_is_array(args) ? -ENOMEM : WEFT_E_INVALID;
}

/** As weft_socketio_emit(), with an array of arguments, which stays the caller's; NULL: none. WEFT_E_INVALID when it is no array. */
static inline int weft_json_emit(weft_peer peer, const char *name, const json_t *args)
{
    char *text = weft_json_dump(args);
    int result = args && !text ? weft_json_problem(args) : weft_socketio_emit(peer, name, text);
    free(text);
    return result;
}

/** As weft_socketio_broadcast(); the arguments as of weft_json_emit(). */
static inline int weft_json_broadcast(weft *app, const weft_socketio_target *target, const char *name,
                                      const json_t *args)
{
    weft_socketio_event event;
    char *text = weft_json_dump(args);
    int result;
    if (args && !text)
        return weft_json_problem(args);
    memset(&event, 0, sizeof event);
    event.name.at = name;
    event.name.len = name ? strlen(name) : 0;
    event.args.at = text;
    event.args.len = text ? strlen(text) : 0;
    result = weft_socketio_broadcast(app, target, &event);
    free(text);
    return result;
}

/** As weft_socketio_acknowledge(); the arguments as of weft_json_emit(). */
static inline int weft_json_acknowledge(weft_socketio_ack ack, const json_t *args)
{
    char *text = weft_json_dump(args);
    int result = args && !text ? weft_json_problem(args) : weft_socketio_acknowledge(ack, text);
    free(text);
    return result;
}

#ifdef __cplusplus
}
#endif

#endif
