#include "hub/message.h"

#include "base/utf8.h"
#include "hub/topic.h"
#include "proto/json.h"
#include <errno.h>

/* False for a length without bytes. */
static bool str_valid(str s)
{
    return s.at || !s.len;
}

/* The length that the data will have, or an error. */
static int64_t checked_len(const weft_message *message, bool utf8)
{
    str data = message->data;
    switch (message->kind) {
    case WEFT_TEXT:
        return utf8 || utf8_valid(data.at, data.len) ? (int64_t)data.len : WEFT_E_UTF8;
    case WEFT_JSON:
        return json_check(data);
    case WEFT_BINARY:
        return (int64_t)data.len;
    }
    return WEFT_E_INVALID;
}

int message_blob(pool *blocks, const weft_message *message, bool utf8, blob **ret_body)
{
    str data = message->data;
    if (!str_valid(data) || !str_valid(message->event) || !topic_event_valid(message->event))
        return WEFT_E_INVALID;
    int64_t len = checked_len(message, utf8);
    if (len < 0)
        return (int)len;
    blob *body = blob_new(blocks, message->kind, message->event, data);
    if (!body)
        return -ENOMEM;
    if ((size_t)len < data.len)
        body->data_len = json_compact(blob_data(body), body->bytes + body->event_len);
    *ret_body = body;
    return 0;
}
