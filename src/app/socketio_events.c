#include "app/socketio.h"
#include "base/utf8.h"
#include "proto/json.h"
#include <errno.h>

enum { VOLATILE = 0x100 }; /* in call.number, above the number of attachments */

/* ----------------------------------------------------------------------------------------------------------- checking */

static bool is_known_name(str name, const hub_event *known)
{
    return known && known->told && str_same(name, known->told->name);
}

static bool are_known_args(const weft_socketio_event *event, const hub_event *known)
{
    return known && known->told && str_same(event->args, known->told->args) &&
           event->n_attachments == known->told->n_attachments;
}

static checked_event as_it_is(const weft_socketio_event *event)
{
    return (checked_event){
        .what = {.args = event->args,
                 .attachments = event->attachments,
                 .n_attachments = (uint32_t)event->n_attachments,
                 .is_volatile = event->is_volatile},
    };
}

static int compact(const weft_socketio_event *event, size_t len, pool *blocks, checked_event *ret)
{
    size_t block_bytes;
    char *text = pool_get(blocks, len, &block_bytes);
    if (!text)
        return -ENOMEM;
    *ret = as_it_is(event);
    ret->what.args = (str){text, json_compact(event->args, text)};
    ret->compact = text;
    ret->block_bytes = block_bytes;
    return 0;
}

static bool is_array(str json)
{
    while (json.len && strchr(" \t\r\n", *json.at))
        json = (str){json.at + 1, json.len - 1};
    return json.len && *json.at == '[';
}

static int check_args(const weft_socketio_event *event, pool *blocks, checked_event *ret)
{
    str args = event->args;
    int64_t len = json_check(args);
    if (len < 0)
        return WEFT_E_JSON;
    if (!is_array(args) || !socketio_placeholders_fit(args, (uint32_t)event->n_attachments))
        return WEFT_E_INVALID;
    if ((size_t)len < args.len)
        return compact(event, (size_t)len, blocks, ret);
    *ret = as_it_is(event);
    return 0;
}

static int check_attachments(const weft_socketio_event *event)
{
    if (event->n_attachments > WEFT_SOCKETIO_MAX_ATTACHMENTS)
        return WEFT_E_TOO_LARGE;
    for (size_t i = 0; i < event->n_attachments; i++)
        if (!event->attachments || !call_str_valid(event->attachments[i]))
            return WEFT_E_INVALID;
    return event->n_attachments && !event->args.at ? WEFT_E_INVALID : 0; /* nobody would find them */
}

int answer_check(const weft_socketio_event *answer, pool *blocks, const hub_event *known, checked_event *ret)
{
    int error = call_str_valid(answer->args) ? check_attachments(answer) : WEFT_E_INVALID;
    if (error)
        return error;
    if (answer->args.at && !are_known_args(answer, known))
        return check_args(answer, blocks, ret);
    *ret = as_it_is(answer);
    return 0;
}

static int check_name(str name, const hub_event *known)
{
    if (!name.at)
        return WEFT_E_INVALID;
    if (is_known_name(name, known) && name.len <= SOCKETIO_MAX_EVENT_BYTES)
        return 0;
    return socketio_name_valid(name) ? 0 : utf8_valid(name.at, name.len) ? WEFT_E_INVALID : WEFT_E_UTF8;
}

int event_check(const weft_socketio_event *event, pool *blocks, const hub_event *known, checked_event *ret)
{
    int error = event ? check_name(event->name, known) : WEFT_E_INVALID;
    if (!error)
        error = answer_check(event, blocks, known, ret);
    if (!error)
        ret->what.name = event->name;
    return error;
}

void event_done(pool *blocks, checked_event *event)
{
    pool_put(blocks, event->compact, event->block_bytes);
}

/* ---------------------------------------------------------------------------------------------------------- travelling */

static int put_attachments(buf *to, const socketio_emission *what)
{
    int error = 0;
    for (uint32_t i = 0; i < what->n_attachments && !error; i++) {
        size_t len = what->attachments[i].len;
        error = buf_put(to, &len, sizeof len);
        if (!error)
            error = buf_put_str(to, what->attachments[i]);
    }
    return error;
}

int event_push(inbox *box, call_spec spec, const socketio_emission *what)
{
    buf attachments = {0};
    spec.body = blob_new(NULL, WEFT_JSON, what->name, what->args);
    if (!spec.body || put_attachments(&attachments, what)) {
        blob_unref(NULL, spec.body);
        buf_done(&attachments);
        return -ENOMEM;
    }
    spec.a = buf_str(&attachments);
    spec.number = (int)what->n_attachments | (what->is_volatile ? VOLATILE : 0);
    int error = call_push(box, &spec);
    buf_done(&attachments);
    return error;
}

socketio_emission event_of(const call *c, weft_str room[SOCKETIO_MAX_ATTACHMENTS])
{
    str args = blob_data(c->body);
    uint32_t n = (uint32_t)(c->number & ~VOLATILE);
    const char *at = c->a.at;
    for (uint32_t i = 0; i < n; i++) {
        memcpy(&room[i].len, at, sizeof room[i].len);
        room[i].at = at + sizeof room[i].len;
        at = room[i].at + room[i].len;
    }
    return (socketio_emission){
        .name = blob_event(c->body),
        .args = args.len ? args : (str){NULL, 0},
        .attachments = room,
        .n_attachments = n,
        .is_volatile = c->number & VOLATILE,
    };
}
