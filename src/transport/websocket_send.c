#include "transport/websocket_private.h"

#include "base/rare.h"
#include <errno.h>

enum {
    IMAGE_WHOLE_BYTES = 4096, /* a message up to this size is copied behind its header, so that it is one span */
};

/* A frame of a few bytes. 0 or -ENOMEM. */
static inline int put_short_frame(websocket *ws, ws_opcode opcode, str payload)
{
    char *at = ws->sink->ops->append(ws->sink, WS_SHORT_HEADER_BYTES + payload.len);
    if (!at)
        return -ENOMEM;
    str_put(ws_short_header_put(at, opcode, payload.len), payload);
    return 0;
}

static __attribute__((noinline)) int put_long_frame(websocket *ws, ws_opcode opcode, str payload)
{
    char head[WS_MAX_HEADER_BYTES];
    hub *h = ws->peer.hub;
    ws_header header = {.opcode = opcode, .fin = true, .len = payload.len};
    sink_piece piece = {.head = {head, ws_header_put(&header, head)}, .body = payload};
    if (h->view_has_room && str_same(payload, h->view)) {
        piece.room_in_front = true;
        h->view_has_room = false; /* the next one might be of another opcode */
    }
    return ws->sink->ops->write(ws->sink, &piece);
}

int websocket_put_frame(websocket *ws, ws_opcode opcode, str payload)
{
    return payload.len <= WS_SHORT_BYTES ? put_short_frame(ws, opcode, payload) : put_long_frame(ws, opcode, payload);
}

/* A frame may lie in a chunk that is far larger than it: one that waits in a queue must not hold that. */
static bool fills(const websocket_frame *frame)
{
    return frame->bytes.len >= NET_COPY_BELOW_BYTES && frame->bytes.len >= frame->owner->cap / 2;
}

static int write_compressed(websocket *ws, const websocket_frame *frame)
{
    sink_piece piece = {.body = frame->bytes, .owner = fills(frame) ? frame->owner : NULL};
    int error = ws->sink->ops->write(ws->sink, &piece);
    chunk_unref(websocket_blocks(ws), frame->owner);
    return error;
}

static bool worth_compressing(const websocket *ws, size_t len)
{
    return websocket_deflate_of(ws) && len >= websocket_route_of(ws)->options.deflate_min_bytes;
}

static __attribute__((noinline)) int put_compressed(websocket *ws, ws_opcode opcode, str payload)
{
    websocket_frame frame;
    if (websocket_deflate_frame(ws->peer.hub, ws->more->deflate, opcode, payload, &frame))
        return write_compressed(ws, &frame);
    return websocket_put_frame(ws, opcode, payload);
}

/* A whole message. */
static inline int put_message(websocket *ws, ws_opcode opcode, str payload)
{
    if (worth_compressing(ws, payload.len))
        return put_compressed(ws, opcode, payload);
    if (payload.len <= WS_SHORT_BYTES)
        return put_short_frame(ws, opcode, payload);
    return put_long_frame(ws, opcode, payload);
}

int websocket_say(peer *p, str text)
{
    return put_message(websocket_of(p), WS_TEXT, text);
}

/* A message outside any topic, where messages have an encoding. */
static RARE int send_encoded(websocket *ws, const weft_message *message)
{
    const encoding *as = websocket_route_of(ws)->encoding;
    message_text text = {.event = message->event, .data = message->data, .kind = message->kind};
    chunk *payload = chunk_new(websocket_blocks(ws), as->len(&text));
    if (!payload)
        return -ENOMEM;
    payload->len = as->put(payload->bytes, &text);
    int error = put_message(ws, WS_TEXT, (str){payload->bytes, payload->len});
    chunk_unref(websocket_blocks(ws), payload);
    return error;
}

static ws_opcode opcode_of(weft_kind kind)
{
    return kind == WEFT_BINARY ? WS_BINARY : WS_TEXT;
}

int websocket_send(peer *p, const weft_message *message)
{
    if (websocket_route_of(websocket_of(p))->encoding)
        return send_encoded(websocket_of(p), message);
    return put_message(websocket_of(p), opcode_of(message->kind), message->data);
}

/* The frame of a published message, shared by all its subscribers: whole when small; else the header, and the body where it lies in the blob. */
static chunk *make_image(pool *blocks, blob *body)
{
    str data = blob_data(body);
    bool whole = data.len <= IMAGE_WHOLE_BYTES;
    ws_header header = {.opcode = opcode_of(body->kind), .fin = true, .len = data.len};
    chunk *image = chunk_new(blocks, WS_MAX_HEADER_BYTES + (whole ? data.len : 0));
    if (!image)
        return NULL;
    image->len = ws_header_put(&header, image->bytes);
    if (!whole) {
        image->body = blob_ref(body);
    } else if (data.len) {
        memcpy(image->bytes + image->len, data.at, data.len);
        image->len += data.len;
    }
    return image;
}

/* The header of a whole message, in the room before its payload, or the beginning of that. Where it begins. */
static char *header_in_front(char *payload, ws_opcode opcode, size_t len)
{
    char *at = payload - ws_header_len(len);
    ws_header_put(&(ws_header){.opcode = opcode, .fin = true, .len = len}, at);
    return at;
}

static void put_header_in_front(char *payload, size_t len)
{
    header_in_front(payload, WS_TEXT, len);
}

/* In the topic's hands; its payload begins WS_MAX_HEADER_BYTES into it. NULL: no memory. */
static chunk *encoded_image(websocket *ws, topic *t, uint64_t offset)
{
    const encoding_frame frame = {websocket_route_of(ws)->encoding, websocket_route_of(ws)->format, WS_MAX_HEADER_BYTES,
                                  0, put_header_in_front};
    return encoding_image(t, offset, &frame);
}

static str encoded_bytes(chunk *image)
{
    size_t unused = WS_MAX_HEADER_BYTES - ws_header_len(image->len - WS_MAX_HEADER_BYTES);
    return (str){image->bytes + unused, image->len - unused};
}

static int write_encoded(websocket *ws, chunk *image)
{
    sink_piece piece = {.body = encoded_bytes(image), .owner = image};
    return ws->sink->ops->write(ws->sink, &piece);
}

static int write_image(websocket *ws, chunk *image)
{
    sink_piece piece = {.body = {image->bytes, image->len}, .owner = image};
    if (image->body)
        piece = (sink_piece){.head = piece.body, .body = blob_data(image->body), .owner = image};
    return ws->sink->ops->write(ws->sink, &piece);
}

static int deliver_encoded(websocket *ws, topic *t, uint64_t offset)
{
    chunk *plain = encoded_image(ws, t, offset), *image = NULL;
    if (!plain)
        return -ENOMEM;
    str payload = {plain->bytes + WS_MAX_HEADER_BYTES, plain->len - WS_MAX_HEADER_BYTES};
    if (worth_compressing(ws, payload.len))
        image = websocket_deflate_image(ws->more->deflate, t, offset, websocket_route_of(ws)->format, WS_TEXT, payload);
    return image ? write_image(ws, image) : write_encoded(ws, plain);
}

static chunk *deflated_image(websocket *ws, topic *t, uint64_t offset)
{
    const blob *body = topic_message_at(t, offset)->body;
    if (!worth_compressing(ws, body->data_len))
        return NULL;
    return websocket_deflate_image(ws->more->deflate, t, offset, WIRE_WEBSOCKET, opcode_of(body->kind),
                                   blob_data(body));
}

static RARE chunk *new_plain_image(websocket *ws, topic *t, uint64_t offset)
{
    chunk *image = make_image(websocket_blocks(ws), topic_message_at(t, offset)->body);
    if (image)
        topic_keep_image(t, offset, WIRE_WEBSOCKET, image);
    return image;
}

static inline chunk *plain_image(websocket *ws, topic *t, uint64_t offset)
{
    chunk *image = topic_image(t, offset, WIRE_WEBSOCKET);
    return image ? image : new_plain_image(ws, t, offset);
}

int websocket_deliver(peer *p, topic *t, uint64_t offset)
{
    websocket *ws = websocket_of(p);
    if (websocket_route_of(ws)->encoding)
        return deliver_encoded(ws, t, offset);
    chunk *image = ws->more ? deflated_image(ws, t, offset) : NULL;
    if (!image)
        image = plain_image(ws, t, offset);
    return image ? write_image(ws, image) : -ENOMEM;
}

static str bytes_of(peer *p, topic *t, uint64_t offset)
{
    websocket *ws = websocket_of(p);
    bool encoded = websocket_route_of(ws)->encoding;
    chunk *image = encoded ? encoded_image(ws, t, offset) : plain_image(ws, t, offset);
    if (!image || image->body)
        return STR("");
    return encoded ? encoded_bytes(image) : (str){image->bytes, image->len};
}

const topic_run *websocket_run(peer *p, topic *t, uint64_t first, uint64_t end)
{
    websocket *ws = websocket_of(p);
    if (websocket_deflate_of(ws))
        return NULL;
    const websocket_route *route = websocket_route_of(ws);
    const topic_joint how = {.format = route->encoding ? route->format : WIRE_WEBSOCKET, .bytes = bytes_of};
    return topic_join(t, first, end, &how, p);
}

int websocket_deliver_run(peer *p, const topic_run *run)
{
    return write_image(websocket_of(p), run->image);
}

/* ------------------------------------------------------------------------------------- what is carried for others */

static int send_joined(websocket *ws, ws_opcode opcode, str front, str body)
{
    chunk *whole = chunk_new(websocket_blocks(ws), front.len + body.len);
    if (!whole)
        return -ENOMEM;
    str_put(str_put(whole->bytes, front), body);
    int error = put_message(ws, opcode, (str){whole->bytes, front.len + body.len});
    chunk_unref(websocket_blocks(ws), whole);
    return error;
}

int websocket_send_pieces(peer *p, bool binary, str front, str body)
{
    websocket *ws = websocket_of(p);
    hub *h = p->hub;
    char alone[WS_MAX_HEADER_BYTES], *behind = front.len ? (char *)(uintptr_t)front.at : alone + sizeof alone;
    ws_opcode opcode = binary ? WS_BINARY : WS_TEXT;
    size_t len = front.len + body.len;
    if (worth_compressing(ws, len))
        return send_joined(ws, opcode, front, body);
    char *head = header_in_front(behind, opcode, len);
    sink_piece piece = {.head = {head, (size_t)(behind - head) + front.len}, .body = body};
    if (h->view_has_room && front.len <= 1 && str_same(body, h->view)) {
        piece.room_in_front = true;
        h->view_has_room = false;
    }
    return ws->sink->ops->write(ws->sink, &piece);
}

int websocket_send_image(peer *p, bool binary, chunk *image, size_t at)
{
    websocket *ws = websocket_of(p);
    str payload = {image->bytes + at, image->len - at};
    ws_opcode opcode = binary ? WS_BINARY : WS_TEXT;
    websocket_frame frame;
    if (worth_compressing(ws, payload.len) &&
        websocket_deflate_frame(p->hub, ws->more->deflate, opcode, payload, &frame))
        return write_compressed(ws, &frame);
    const char *head = header_in_front(image->bytes + at, opcode, payload.len);
    sink_piece piece = {.body = {head, (size_t)(image->bytes + image->len - head)}, .owner = image};
    return ws->sink->ops->write(ws->sink, &piece);
}

/* ---------------------------------------------------------------------------------------------------------------------- */

int websocket_gap(peer *p, topic *t, uint64_t next)
{
    websocket *ws = websocket_of(p);
    char id[CURSOR_BYTES];
    buf text = {0};
    if (!websocket_route_of(ws)->encoding || !websocket_route_of(ws)->encoding->gap)
        return 0;
    int error = websocket_route_of(ws)->encoding->gap(&text, topic_name(t),
                                                      (str){id, cursor_put(topic_cursor_before(t, next), id)});
    if (!error)
        error = websocket_say(p, buf_str(&text));
    buf_done(&text);
    return error;
}

int websocket_ping(peer *p, str payload)
{
    websocket *ws = websocket_of(p);
    if (!websocket_more_of(ws))
        return -ENOMEM;
    ws->more->pinged_us = loop_clock_us();
    return websocket_put_frame(ws, WS_PING, payload);
}

int websocket_put_close(websocket *ws, int code, str reason)
{
    char payload[WS_MAX_CONTROL_BYTES];
    size_t len = ws_close_put(code == WS_CODE_NONE ? 0 : code, reason.at, reason.len, payload);
    return websocket_put_frame(ws, WS_CLOSE, (str){payload, len});
}
