/*
 * Any text as a packet: what is refused has a problem; what is read lies within the text and is what its type may have; what
 * is written again reads as the same; and placeholders fit where a walk through the values, one inside the other, finds that
 * they do.
 */
#include <stdlib.h>

#include "base/utf8.h"
#include "proto/json.h"
#include "proto/json_read.h"
#include "proto/socketio.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition)
        abort();
}

/** Of exactly this size, so that the address sanitizer sees a byte too many. */
static char *exact_room(size_t len)
{
    char *at = malloc(len);
    require(at || len == 0);
    return at;
}

static bool is_event(const socketio_packet *p)
{
    return p->type == SOCKETIO_EVENT || p->type == SOCKETIO_BINARY_EVENT;
}

static bool is_binary(const socketio_packet *p)
{
    return p->type == SOCKETIO_BINARY_EVENT || p->type == SOCKETIO_BINARY_ACK;
}

static bool has_arguments(const socketio_packet *p)
{
    return is_event(p) || p->type == SOCKETIO_ACK || p->type == SOCKETIO_BINARY_ACK;
}

static void check_inside(str slice, str text)
{
    require(slice.at >= text.at && slice.at + slice.len <= text.at + text.len);
}

static bool is_flagged(str value)
{
    str rest, name, inner;
    bool flagged = false;
    if (json_type(value) == JSON_OBJECT)
        for (rest = json_begin(value); json_next_member(&rest, &name, &inner);)
            if (json_name_is(name, "_placeholder"))
                flagged = json_type(inner) == JSON_TRUE;
    return flagged;
}

/** As the reference goes about it: a placeholder is replaced, and anything else looked into. */
static bool fit(str value, uint32_t n_attachments)
{
    if (is_flagged(value)) {
        int number = socketio_placeholder(value);
        return number >= 0 && (uint32_t)number < n_attachments;
    }
    str rest = json_begin(value), name, inner;
    bool all = true;
    if (json_type(value) == JSON_OBJECT)
        while (json_next_member(&rest, &name, &inner))
            all &= fit(inner, n_attachments);
    else if (json_type(value) == JSON_ARRAY)
        while (json_next_element(&rest, &inner))
            all &= fit(inner, n_attachments);
    return all;
}

static void check_placeholders(str json)
{
    if (json_check(json) > 0)
        for (uint32_t n = 0; n < 4; n++)
            require(socketio_placeholders_fit(json, n) == fit(json, n));
}

static void check_arguments(const socketio_packet *p, str text)
{
    if (!p->args.at) {
        require(!has_arguments(p));
        return;
    }
    require(json_check(p->args) > 0);
    json_value_type type = json_type(p->args);
    if (!str_equal(p->args, STR("[]")))
        check_inside(p->args, text);
    require(p->type != SOCKETIO_DISCONNECT && (p->type != SOCKETIO_CONNECT || type == JSON_OBJECT));
    require(p->type != SOCKETIO_CONNECT_ERROR || type == JSON_OBJECT || type == JSON_STRING);
    require(!has_arguments(p) || type == JSON_ARRAY);
    require(!is_binary(p) || fit(p->args, p->n_attachments));
}

static void check_packet(const socketio_packet *p, str text)
{
    require(p->type <= SOCKETIO_BINARY_ACK && p->n_attachments <= SOCKETIO_MAX_ATTACHMENTS);
    require(is_binary(p) == (p->n_attachments > 0) && p->id <= INT64_MAX);
    require(p->nsp.len && *p->nsp.at == '/' && utf8_valid(p->nsp.at, p->nsp.len));
    if (!str_equal(p->nsp, STR("/")))
        check_inside(p->nsp, text);
    require(!p->name.at || is_event(p));
    if (p->name.at) {
        check_inside(p->name, text);
        require(utf8_valid(p->name.at, p->name.len));
    }
    check_arguments(p, text);
}

static void check_same(const socketio_packet *a, const socketio_packet *b)
{
    require(a->type == b->type && a->n_attachments == b->n_attachments);
    require(str_equal(a->nsp, b->nsp) && str_equal(a->name, b->name) && str_equal(a->args, b->args));
}

static void check_written_again(const socketio_packet *p)
{
    socketio_head head = {p->type, p->n_attachments, p->nsp, p->has_id, p->id, p->name, !socketio_no_args(p->args)};
    size_t head_len = socketio_head_len(&head), more = head.has_args ? p->args.len - 1 : 0;
    char *room = exact_room(head_len + more);
    require(socketio_head_put(room, &head) == head_len);
    if (more)
        memcpy(room + head_len, p->args.at + 1, more);
    socketio_packet again, expected = *p;
    if (!head.has_args)
        expected.args = STR("[]");
    require(!socketio_read(room, head_len + more, &again));
    check_same(&again, &expected);
    require(again.has_id == p->has_id && again.id == p->id);
    free(room);
}

static void check_plain_written_again(const socketio_packet *p)
{
    char *room = exact_room(p->nsp.len + p->args.len + SOCKETIO_SMALL_BYTES);
    size_t n = socketio_plain_put(room, p->type, p->nsp, p->args);
    socketio_packet again;
    require(n <= p->nsp.len + p->args.len + SOCKETIO_SMALL_BYTES && !socketio_read(room, n, &again));
    check_same(&again, p);
    free(room);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = exact_room(size);
    str text = {copy, size};
    if (size)
        memcpy(copy, data, size);
    check_placeholders(text);
    socketio_packet packet;
    const char *problem = socketio_read(copy, size, &packet);
    if (problem) {
        require(*problem);
    } else {
        check_packet(&packet, text);
        if (!has_arguments(&packet))
            check_plain_written_again(&packet);
        else if (!is_event(&packet) || packet.name.at)
            check_written_again(&packet);
    }
    free(copy);
    return 0;
}
