/**
 * WebSocket frames from bytes (RFC 6455 §5, both roles): bytes in, events out; no descriptor, no allocation. Data frames come
 * in pieces as they arrive, unmasked in place; control frames come whole.
 *
 * The decoder asks for whole headers and whole control frames: with less it says WS_MORE and consumes nothing, and the caller
 * hands in the same bytes again with more behind them (at most 130 bytes are ever left over). What is consumed may have been
 * changed; what is not consumed has not been touched.
 *
 * With permessage-deflate agreed (RFC 7692) pieces of a compressed message come as they are: ws_inflate.h inflates them, and whoever does so bounds the
 * message and checks its UTF-8.
 */
#ifndef WEFT_PROTO_WS_DECODER_H
#define WEFT_PROTO_WS_DECODER_H

#include "base/str.h"
#include "base/utf8.h"
#include "proto/ws_frame.h"

typedef enum {
    WS_MORE,    /* nothing to say; hand in more */
    WS_DATA,    /* a piece of a message */
    WS_CONTROL, /* a whole ping, pong or close frame */
    WS_FAIL,    /* the connection must be failed with code and reason; nothing more may be fed */
} ws_event_type;

/** What is not named for a type is zero. */
typedef struct {
    ws_event_type type;
    size_t consumed;  /* input bytes behind us; the next call starts there. MORE: 0; FAIL: all; else at least 1 */
    ws_opcode opcode; /* DATA: WS_TEXT or WS_BINARY of the message; CONTROL: WS_PING, WS_PONG, WS_CLOSE */
    str bytes;        /* DATA: the unmasked piece (maybe empty); CONTROL: the payload, of a close without its code */
    bool first, last; /* DATA: begins, ends a message. Both: the message is this view */
    bool compressed;  /* DATA: the message is (RSV1) */
    int code;         /* CONTROL of WS_CLOSE: the code, WS_CODE_NONE for an empty frame; FAIL: the code to close with */
    const char *reason; /* FAIL: static, one sentence in lower case without a full stop, fit for a close frame */
} ws_event;

typedef struct {
    uint64_t frame_left;    /* payload bytes of the current data frame still to come */
    uint64_t message_bytes; /* of the current message, with all of the current frame */
    uint64_t max_message_bytes;
    uint32_t n_fragments; /* frames of the current message */
    uint8_t mask[4];      /* rotated so that it begins with the next payload byte */
    utf8_state utf8;
    uint8_t role;     /* ws_role */
    uint8_t opcode;   /* of the current message; WS_CONTINUATION between messages */
    bool fin, masked; /* of the current data frame */
    bool compressed;  /* of the current message */
    bool deflate;     /* agreed: messages may be compressed */
    bool closed;      /* a close frame was seen: data after it is still decoded, and ignored by the caller */
} ws_decoder;

/** True between two messages: the decoder might be made anew. */
static inline bool ws_decoder_is_idle(const ws_decoder *decoder)
{
    return decoder->opcode == WS_CONTINUATION && !decoder->frame_left;
}

void ws_decoder_init(ws_decoder *decoder, ws_role role, uint64_t max_message_bytes);

/** permessage-deflate was agreed on. Before the first frame. */
static inline void ws_decoder_allow_deflate(ws_decoder *decoder)
{
    decoder->deflate = true;
}

/**
 * The next event in `len` bytes at `at`. Call again from at + consumed until it says WS_MORE; a call with len 0 says WS_MORE.
 *
 * The header of a data frame is always an event of its frame, consumed with as much payload as is there: a WS_DATA with empty
 * bytes when there is none, be it because the frame is empty or because its payload has not come. So `first` stands on the
 * event of a message's first header even if it carries no bytes yet, and `last` on the event that brings the last frame's last
 * byte, or its header if it is empty. From then on ws_decoder_expects() says how much is to come.
 *
 * Fails as early as the bytes allow, even on an incomplete header: reserved bits (but RSV1 on the first frame of a message where
 * deflate is allowed), reserved opcodes, a fragmented or longer control frame, a continuation without a start, a new message inside one, a length not in its shortest
 * form or with its top bit set, a frame masked or unmasked against its role: 1002. A message over max_message_bytes, by its
 * header alone: 1009; a compressed one may take an eighth and 64 bytes more, as what does not shrink grows a little. More than 1024 + message bytes / 16 fragments (the message bytes so far, with this frame): 1008. Text,
 * not compressed, that is not UTF-8, at the first wrong byte of each piece (the piece is not delivered), and a message that ends inside a
 * character: 1007. A close frame of 1 byte or with a code that may not stand there: 1002, with a reason that is not UTF-8: 1007.
 */
void ws_decoder_next(ws_decoder *decoder, char *at, size_t len, ws_event *ret_event);

/** What most frames are: a whole message, not compressed, shorter than 64 KiB, all of it here, between messages. True: *ret_data is the message, of *ret_opcode,
 * unmasked in place; the next call goes on behind it. What ws_decoder_next() would have said, at a third of the instructions. False: nothing has changed, ask that. */
static inline bool ws_decoder_whole(const ws_decoder *decoder, char *at, size_t len, ws_opcode *ret_opcode,
                                    str *ret_data)
{
    enum { FIN = 0x80, MASKED = 0x80, HEADER = 6, LONGER_HEADER = 8 };
    const uint8_t *head = (const uint8_t *)at;
    if (len < HEADER || decoder->opcode != WS_CONTINUATION || decoder->role != WS_SERVER)
        return false;
    ws_opcode opcode = (ws_opcode)(head[0] ^ FIN);
    size_t n = head[1] ^ MASKED, header = HEADER;
    if (opcode != WS_TEXT && opcode != WS_BINARY)
        return false;
    if (n == 126) {
        n = (size_t)head[2] << 8 | head[3];
        header = LONGER_HEADER;
        if (n < 126)
            return false;
    } else if (n > 126) { /* also when it is not masked */
        return false;
    }
    if (len - HEADER < n + header - HEADER || n > decoder->max_message_bytes)
        return false;
    char *data = at + header;
    const uint8_t *mask = head + header - 4;
    bool ascii = ws_mask(data, data, n, mask, 0);
    if (!ascii && opcode == WS_TEXT && !utf8_valid(data, n)) {
        ws_mask(data, data, n, mask, 0);
        return false;
    }
    *ret_opcode = opcode;
    *ret_data = (str){data, n};
    return true;
}

/** Payload bytes of the data frame under way that are still to come: 0 between frames. The caller may read as many straight to
 * where they belong and feed them from there. */
static inline uint64_t ws_decoder_expects(const ws_decoder *decoder)
{
    return decoder->frame_left;
}

#endif
