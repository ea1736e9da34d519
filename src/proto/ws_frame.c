#include "proto/ws_frame.h"

#include <assert.h>
#include <string.h>

/* The low n_bytes of an integer, in network order. */
static size_t put_big_endian(uint64_t value, size_t n_bytes, uint8_t *out)
{
    for (size_t i = 0; i < n_bytes; i++)
        out[i] = (uint8_t)(value >> 8 * (n_bytes - 1 - i));
    return n_bytes;
}

size_t ws_header_put(const ws_header *header, char *ret_bytes)
{
    uint8_t *out = (uint8_t *)ret_bytes;
    uint8_t mask_bit = header->masked ? 0x80 : 0;
    size_t n = 2;

    assert(header->len >> 63 == 0);
    out[0] = (uint8_t)((header->fin ? 0x80 : 0) | (header->rsv1 ? 0x40 : 0) | (header->opcode & 0x0f));
    if (header->len < 126) {
        out[1] = mask_bit | (uint8_t)header->len;
    } else if (header->len <= UINT16_MAX) {
        out[1] = mask_bit | 126;
        n += put_big_endian(header->len, 2, out + n);
    } else {
        out[1] = mask_bit | 127;
        n += put_big_endian(header->len, 8, out + n);
    }
    if (header->masked) {
        memcpy(out + n, header->mask, sizeof header->mask);
        n += sizeof header->mask;
    }
    return n;
}

bool ws_code_valid(int code)
{
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) || (code >= 3000 && code <= 4999);
}

size_t ws_close_put(int code, const char *reason, size_t reason_len, char *ret_payload)
{
    assert(reason_len <= WS_MAX_REASON_BYTES);
    if (code == 0 || code == WS_CODE_NONE)
        return 0;
    put_big_endian((uint64_t)code, 2, (uint8_t *)ret_payload);
    if (reason_len)
        memcpy(ret_payload + 2, reason, reason_len);
    return 2 + reason_len;
}
