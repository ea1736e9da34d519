#include "base/base64.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* A character's six bits plus one, so that 0 is what every other character has. */
static const uint8_t bits_plus_one[256] = {
    ['A'] = 1, 2,  3,  4,  5,          6,  7,  8,  9,  10, 11,         12, 13, 14, 15,         16,
    17,        18, 19, 20, 21,         22, 23, 24, 25, 26, ['a'] = 27, 28, 29, 30, 31,         32,
    33,        34, 35, 36, 37,         38, 39, 40, 41, 42, 43,         44, 45, 46, 47,         48,
    49,        50, 51, 52, ['0'] = 53, 54, 55, 56, 57, 58, 59,         60, 61, 62, ['+'] = 63, ['/'] = 64,
};

static void encode_group(uint32_t bits, char *text)
{
    text[0] = alphabet[bits >> 18 & 63];
    text[1] = alphabet[bits >> 12 & 63];
    text[2] = alphabet[bits >> 6 & 63];
    text[3] = alphabet[bits & 63];
}

void base64_encode(const void *bytes, size_t len, char *ret_text)
{
    const uint8_t *in = bytes;
    for (; len >= 3; len -= 3, in += 3, ret_text += 4)
        encode_group((uint32_t)in[0] << 16 | (uint32_t)in[1] << 8 | in[2], ret_text);
    if (len == 0)
        return;
    encode_group((uint32_t)in[0] << 16 | (len == 2 ? (uint32_t)in[1] << 8 : 0), ret_text);
    ret_text[3] = '=';
    if (len == 1)
        ret_text[2] = '=';
}

/** The bits of a group whose characters from the n-th on count as zero; negative when one is not of the alphabet. */
static int32_t decode_group(const char *text, size_t n)
{
    uint32_t bits = 0;
    for (size_t i = 0; i < 4; i++) {
        uint32_t value = i < n ? bits_plus_one[(uint8_t)text[i]] : 1;
        if (value == 0)
            return -1;
        bits = bits << 6 | (value - 1);
    }
    return (int32_t)bits;
}

int64_t base64_decode(str text, void *ret_bytes)
{
    if (text.len % 4 != 0)
        return WEFT_E_INVALID;
    if (text.len == 0)
        return 0;
    size_t n_padding = text.at[text.len - 1] != '=' ? 0 : text.at[text.len - 2] != '=' ? 1 : 2;
    size_t n_whole = (text.len - (n_padding ? 4 : 0)) / 4;
    uint8_t *out = ret_bytes;
    for (size_t i = 0; i < n_whole; i++, out += 3) {
        int32_t bits = decode_group(text.at + 4 * i, 4);
        if (bits < 0)
            return WEFT_E_INVALID;
        out[0] = (uint8_t)(bits >> 16);
        out[1] = (uint8_t)(bits >> 8);
        out[2] = (uint8_t)bits;
    }
    if (n_padding) {
        int32_t bits = decode_group(text.at + 4 * n_whole, 4 - n_padding);
        /* Bits that no byte takes must be zero, so that every value has one text. */
        if (bits < 0 || bits & (n_padding == 1 ? 0xff : 0xffff))
            return WEFT_E_INVALID;
        *out++ = (uint8_t)(bits >> 16);
        if (n_padding == 1)
            *out++ = (uint8_t)(bits >> 8);
    }
    return out - (uint8_t *)ret_bytes;
}
