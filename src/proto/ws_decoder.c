#include "proto/ws_decoder.h"

#include <string.h>

/* What is wrong; no reason when nothing is. */
typedef struct {
    int code;
    const char *reason;
} fault;

static const fault no_fault = {0, NULL};

static fault protocol_fault(const char *reason)
{
    return (fault){WS_CODE_PROTOCOL_ERROR, reason};
}

/* A frame's header as far as it has come. */
typedef struct {
    uint8_t opcode;
    bool fin, masked, compressed;
    size_t size;  /* of the whole header; until its second byte is there, more than there is */
    uint64_t len; /* with length bytes missing: the least that it can be */
} frame;

void ws_decoder_init(ws_decoder *decoder, ws_role role, uint64_t max_message_bytes)
{
    *decoder = (ws_decoder){.role = (uint8_t)role, .max_message_bytes = max_message_bytes};
}

static bool is_control(uint8_t opcode)
{
    return opcode & 0x8;
}

/* RFC 7692 §6: the first frame of a message says that it is compressed, and says it for all of them. */
static bool may_be_compressed(const ws_decoder *decoder, uint8_t byte)
{
    uint8_t opcode = byte & 0x0f;

    return decoder->deflate && !(byte & 0x30) && (opcode == WS_TEXT || opcode == WS_BINARY);
}

/* Reserved bits, opcode and order of frames (RFC 6455 §5.2, §5.4). */
static inline fault first_byte_fault(const ws_decoder *decoder, uint8_t byte)
{
    uint8_t opcode = byte & 0x0f;

    if (byte & 0x70 && !may_be_compressed(decoder, byte))
        return protocol_fault("a reserved bit is set");
    if (is_control(opcode)) {
        if (opcode > WS_PONG)
            return protocol_fault("reserved opcode");
        return byte & 0x80 ? no_fault : protocol_fault("fragmented control frame");
    }
    if (opcode > WS_BINARY)
        return protocol_fault("reserved opcode");
    if (opcode == WS_CONTINUATION && decoder->opcode == WS_CONTINUATION)
        return protocol_fault("continuation without a message");
    if (opcode != WS_CONTINUATION && decoder->opcode != WS_CONTINUATION)
        return protocol_fault("new message inside a fragmented one");
    return no_fault;
}

/* Mask bit (RFC 6455 §5.1) and what a control frame's length may be (§5.5). */
static inline fault second_byte_fault(const ws_decoder *decoder, uint8_t opcode, uint8_t byte)
{
    bool masked = byte & 0x80;

    if (masked != (decoder->role == WS_SERVER))
        return protocol_fault(masked ? "masked frame from a server" : "unmasked frame from a client");
    if (is_control(opcode) && (byte & 0x7f) > WS_MAX_CONTROL_BYTES)
        return protocol_fault("control frame longer than 125 bytes");
    if (opcode == WS_CLOSE && (byte & 0x7f) == 1)
        return protocol_fault("close frame of one byte");
    return no_fault;
}

/* The length of 2 or 8 bytes (RFC 6455 §5.2). Missing bytes may become anything: the bounds that they leave say what is already
 * certain. */
static fault read_long_length(const uint8_t *at, size_t n_known, size_t n_bytes, uint64_t *ret_least)
{
    uint64_t least = 0, most = 0;

    for (size_t i = 0; i < n_bytes; i++) {
        least = least << 8 | (i < n_known ? at[i] : 0);
        most = most << 8 | (i < n_known ? at[i] : 0xff);
    }
    if (least >> 63)
        return protocol_fault("length with its top bit set");
    if (most < (n_bytes == 2 ? 126 : 65536))
        return protocol_fault("length not in its shortest form");
    *ret_least = least;
    return no_fault;
}

/* What a message may take in frames. */
static inline uint64_t most_bytes(const ws_decoder *decoder, const frame *f)
{
    uint64_t most = decoder->max_message_bytes;

    if (!f->compressed && !decoder->compressed)
        return most;
    return most < UINT64_MAX / 2 ? most + most / 8 + 64 : most;
}

/* Each fragment costs a call, however small it is: of messages that are not large so many are taken. */
static inline bool is_splintered(const ws_decoder *decoder, const frame *f)
{
    enum { FREE_FRAGMENTS = 1024, FRAGMENT_BYTES = 16 };
    return decoder->n_fragments >= FREE_FRAGMENTS &&
           decoder->n_fragments - FREE_FRAGMENTS >= (decoder->message_bytes + f->len) / FRAGMENT_BYTES;
}

static inline fault limit_fault(const ws_decoder *decoder, const frame *f, bool length_known)
{
    if (f->len > most_bytes(decoder, f) - decoder->message_bytes)
        return (fault){WS_CODE_TOO_LARGE, "message too large"};
    if (length_known && is_splintered(decoder, f))
        return (fault){WS_CODE_POLICY, "too many small fragments"};
    return no_fault;
}

/* At least one byte. The header is whole when f->size is not more than len. */
static inline fault read_header(const ws_decoder *decoder, const uint8_t *at, size_t len, frame *f)
{
    fault found = first_byte_fault(decoder, at[0]);

    *f = (frame){.opcode = at[0] & 0x0f, .fin = at[0] & 0x80, .compressed = at[0] & 0x40, .size = 2};
    if (found.reason || len < 2)
        return found;
    found = second_byte_fault(decoder, f->opcode, at[1]);
    if (found.reason)
        return found;
    f->masked = at[1] & 0x80;
    f->len = at[1] & 0x7f;
    if (f->len >= 126) {
        size_t n_bytes = f->len == 126 ? 2 : 8;
        f->size += n_bytes;
        found = read_long_length(at + 2, len < f->size ? len - 2 : n_bytes, n_bytes, &f->len);
        if (found.reason)
            return found;
    }
    if (!is_control(f->opcode))
        found = limit_fault(decoder, f, len >= f->size);
    f->size += f->masked ? 4 : 0;
    return found;
}

/* All of the input counts as consumed, so that a caller who overlooks a failure runs out of bytes, not in circles. */
static void fail(ws_event *event, size_t len, fault found)
{
    *event = (ws_event){.type = WS_FAIL, .consumed = len, .code = found.code, .reason = found.reason};
}

/* Code and reason of a close frame (RFC 6455 §5.5.1), whose payload is not one byte long. */
static fault read_close(ws_event *event)
{
    const uint8_t *payload = (const uint8_t *)event->bytes.at;

    event->code = WS_CODE_NONE;
    if (event->bytes.len == 0)
        return no_fault;
    event->code = payload[0] << 8 | payload[1];
    if (!ws_code_valid(event->code))
        return protocol_fault("close code that may not be sent");
    event->bytes.at += 2;
    event->bytes.len -= 2;
    if (!utf8_valid(event->bytes.at, event->bytes.len))
        return (fault){WS_CODE_INVALID_DATA, "close reason is not UTF-8"};
    return no_fault;
}

static void take_control(ws_decoder *decoder, const frame *f, char *at, size_t len, ws_event *event)
{
    char *payload = at + f->size;
    size_t n = (size_t)f->len;

    if (len - f->size < n) {
        *event = (ws_event){.type = WS_MORE};
        return;
    }
    if (f->masked)
        ws_mask(payload, payload, n, (const uint8_t *)payload - 4, 0);
    *event = (ws_event){.type = WS_CONTROL, .consumed = f->size + n, .opcode = f->opcode, .bytes = {payload, n}};
    if (f->opcode != WS_CLOSE)
        return;
    decoder->closed = true;
    fault found = read_close(event);
    if (found.reason)
        fail(event, len, found);
}

static inline void rotate_mask(uint8_t mask[4], size_t n)
{
    uint8_t old[4];

    memcpy(old, mask, sizeof old);
    for (size_t i = 0; i < 4; i++)
        mask[i] = old[(n + i) & 3];
}

/* Unmasks a piece in place; false when it is text that goes wrong in it. */
static inline bool open_piece(ws_decoder *decoder, char *at, size_t n)
{
    bool ascii = false; /* what is not unmasked has not been looked at: it may be anything */

    if (decoder->masked)
        ascii = ws_mask(at, at, n, decoder->mask, 0);
    if (decoder->opcode != WS_TEXT || decoder->compressed || (ascii && utf8_complete(&decoder->utf8)))
        return true;
    return utf8_feed(&decoder->utf8, at, n) == n;
}

/* The message is over: its state is that of no message. */
static inline void end_message(ws_decoder *decoder)
{
    decoder->opcode = WS_CONTINUATION;
    decoder->compressed = false;
    decoder->message_bytes = 0;
    decoder->n_fragments = 0;
}

/* A piece of the current data frame. `skip` bytes before it are the frame's header; 0 when that was consumed earlier. */
static inline void take_data(ws_decoder *decoder, char *at, size_t len, size_t skip, ws_event *event)
{
    size_t n = len - skip;
    char *bytes = at + skip;

    if (n > decoder->frame_left)
        n = (size_t)decoder->frame_left;
    if (!open_piece(decoder, bytes, n)) {
        fail(event, len, (fault){WS_CODE_INVALID_DATA, "text is not UTF-8"});
        return;
    }
    decoder->frame_left -= n;
    *event = (ws_event){
        .type = WS_DATA,
        .consumed = skip + n,
        .opcode = decoder->opcode,
        .compressed = decoder->compressed,
        .bytes = {bytes, n},
        .first = skip && decoder->n_fragments == 1,
        .last = decoder->fin && decoder->frame_left == 0,
    };
    if (event->last) {
        if (!utf8_complete(&decoder->utf8))
            fail(event, len, (fault){WS_CODE_INVALID_DATA, "text ends inside a character"});
        end_message(decoder);
    } else if (decoder->frame_left) {
        rotate_mask(decoder->mask, n);
    }
}

static inline void begin_data(ws_decoder *decoder, const frame *f, const char *at)
{
    /* The UTF-8 state needs no reset: a message that does not end between two characters is the last one. */
    if (f->opcode != WS_CONTINUATION) {
        decoder->opcode = f->opcode;
        decoder->compressed = f->compressed;
    }
    decoder->fin = f->fin;
    decoder->masked = f->masked;
    if (f->masked)
        memcpy(decoder->mask, at + f->size - 4, 4);
    decoder->frame_left = f->len;
    decoder->message_bytes += f->len;
    decoder->n_fragments++;
}

static inline void take_frame(ws_decoder *decoder, char *at, size_t len, ws_event *event)
{
    frame f;
    fault found = read_header(decoder, (const uint8_t *)at, len, &f);

    if (found.reason) {
        fail(event, len, found);
    } else if (len < f.size) {
        *event = (ws_event){.type = WS_MORE};
    } else if (is_control(f.opcode)) {
        take_control(decoder, &f, at, len, event);
    } else {
        begin_data(decoder, &f, at);
        take_data(decoder, at, len, f.size, event);
    }
}

void ws_decoder_next(ws_decoder *decoder, char *at, size_t len, ws_event *ret_event)
{
    if (len == 0)
        *ret_event = (ws_event){.type = WS_MORE};
    else if (decoder->frame_left)
        take_data(decoder, at, len, 0, ret_event);
    else
        take_frame(decoder, at, len, ret_event);
}
