/**
 * WebSocket frames (RFC 6455 §5): names, header encoding, masking. The decoder is in ws_decoder.h.
 *
 *    0               1               2..                 ..
 *   +-+-+-+-+-------+-+-------------+-------------------+----------------+-----------+
 *   |F|R|R|R| opcode|M| length 7    | length 16 or 64   | mask 4, if M   | payload   |
 *   +-+-+-+-+-------+-+-------------+-------------------+----------------+-----------+
 */
#ifndef WEFT_PROTO_WS_FRAME_H
#define WEFT_PROTO_WS_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum {
    WS_CONTINUATION = 0x0,
    WS_TEXT = 0x1,
    WS_BINARY = 0x2,
    WS_CLOSE = 0x8,
    WS_PING = 0x9,
    WS_PONG = 0xA,
} ws_opcode;

typedef enum {
    WS_SERVER, /* decodes masked frames, sends unmasked ones */
    WS_CLIENT,
} ws_role;

/** Close codes (RFC 6455 §7.4.1 and the IANA registry). */
enum {
    WS_CODE_NORMAL = 1000,
    WS_CODE_GOING_AWAY = 1001,
    WS_CODE_PROTOCOL_ERROR = 1002,
    WS_CODE_UNSUPPORTED = 1003,
    WS_CODE_NONE = 1005,     /* never on the wire: a close frame without a code */
    WS_CODE_ABNORMAL = 1006, /* never on the wire: no close frame came */
    WS_CODE_INVALID_DATA = 1007,
    WS_CODE_POLICY = 1008,
    WS_CODE_TOO_LARGE = 1009,
    WS_CODE_INTERNAL = 1011,
    WS_CODE_TRY_LATER = 1013,
};

enum {
    WS_MAX_HEADER_BYTES = 14,
    WS_MAX_CONTROL_BYTES = 125,
    WS_MAX_REASON_BYTES = 123,
};

typedef struct {
    ws_opcode opcode;
    bool fin;
    bool rsv1;
    bool masked;
    uint8_t mask[4]; /* used when masked */
    uint64_t len;
} ws_header;

/** Writes a frame header in its shortest form; the number of bytes, at most WS_MAX_HEADER_BYTES. */
size_t ws_header_put(const ws_header *header, char *ret_bytes);

enum {
    WS_SHORT_BYTES = 125, /* a payload whose length stands in the header's second byte */
    WS_SHORT_HEADER_BYTES = 2,
};

/** The header of a whole, unmasked message of at most WS_SHORT_BYTES; where its payload goes. */
static inline char *ws_short_header_put(char *at, ws_opcode opcode, size_t payload_len)
{
    at[0] = (char)(0x80 | opcode);
    at[1] = (char)payload_len;
    return at + WS_SHORT_HEADER_BYTES;
}

/** What that will be for a frame that a server sends. */
static inline size_t ws_header_len(uint64_t payload_len)
{
    return payload_len < 126 ? 2 : payload_len <= UINT16_MAX ? 4 : 10;
}

/** True for a code that may stand in a close frame: 1000-1003, 1007-1014, 3000-4999. */
bool ws_code_valid(int code);

/** Writes a close frame's payload (2 + reason bytes; 0 bytes for code 0 or WS_CODE_NONE); the number of bytes. The reason is at
 * most WS_MAX_REASON_BYTES. */
size_t ws_close_put(int code, const char *reason, size_t reason_len, char *ret_payload);

/**
 * XORs `len` bytes of src with the mask, which begins `offset` bytes into its cycle, into dst (dst == src, or not overlapping).
 * True when the result is pure ASCII. One pass; SIMD where the machine has it.
 */
bool ws_mask(char *dst, const char *src, size_t len, const uint8_t mask[4], size_t offset);

/** The portable twin of ws_mask(), which tests hold equal. */
bool ws_mask_portable(char *dst, const char *src, size_t len, const uint8_t mask[4], size_t offset);

#endif
