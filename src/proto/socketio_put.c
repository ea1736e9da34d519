#include "proto/json_text.h"
#include "proto/socketio.h"

static bool is_event(socketio_type type)
{
    return type == SOCKETIO_EVENT || type == SOCKETIO_BINARY_EVENT;
}

static size_t number_len(uint64_t number)
{
    size_t n = 1;
    while (number /= 10)
        n++;
    return n;
}

static char *put_number(char *at, uint64_t number)
{
    char *end = at + number_len(number);
    for (at = end; number > 9; number /= 10)
        *--at = (char)('0' + number % 10);
    *--at = (char)('0' + number);
    return end;
}

static char *put_str(char *at, str text)
{
    if (text.len)
        memcpy(at, text.at, text.len);
    return at + text.len;
}

static bool names_namespace(str nsp)
{
    return nsp.len && !str_equal(nsp, STR("/"));
}

static size_t namespace_len(str nsp)
{
    return names_namespace(nsp) ? nsp.len + 1 : 0;
}

static char *put_namespace(char *at, str nsp)
{
    if (!names_namespace(nsp))
        return at;
    at = put_str(at, nsp);
    *at++ = ',';
    return at;
}

static socketio_type written_type(const socketio_head *head)
{
    if (is_event(head->type))
        return head->n_attachments ? SOCKETIO_BINARY_EVENT : SOCKETIO_EVENT;
    return head->n_attachments ? SOCKETIO_BINARY_ACK : SOCKETIO_ACK;
}

size_t socketio_head_len(const socketio_head *head)
{
    socketio_type type = written_type(head);
    size_t n = 1 + namespace_len(head->nsp) + 1; /* the type, and the bracket */
    if (head->n_attachments)
        n += number_len(head->n_attachments) + 1;
    if (head->has_id)
        n += number_len(head->id);
    if (is_event(type))
        return n + json_text_len(head->name) + 1;
    return n + !head->has_args;
}

size_t socketio_head_put(char *at, const socketio_head *head)
{
    const char *start = at;
    socketio_type type = written_type(head);
    *at++ = (char)('0' + type);
    if (head->n_attachments) {
        at = put_number(at, head->n_attachments);
        *at++ = '-';
    }
    at = put_namespace(at, head->nsp);
    if (head->has_id)
        at = put_number(at, head->id);
    *at++ = '[';
    if (is_event(type)) {
        at += json_text_put(at, head->name);
        *at++ = head->has_args ? ',' : ']';
    } else if (!head->has_args) {
        *at++ = ']';
    }
    return (size_t)(at - start);
}

size_t socketio_plain_put(char *at, socketio_type type, str nsp, str json)
{
    const char *start = at;
    *at++ = (char)('0' + type);
    at = put_namespace(at, nsp);
    at = put_str(at, json);
    return (size_t)(at - start);
}
