#include "base/sha1.h"

#include <string.h>

enum { BLOCK_BYTES = 64, LENGTH_BYTES = 8, ROUNDS = 80 };

static uint32_t rotate(uint32_t word, int n)
{
    return word << n | word >> (32 - n);
}

static uint32_t read_word(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static void put_word(uint8_t *at, uint32_t word)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(word >> (24 - 8 * i));
}

/* The five words of a round move on by one. */
static inline void turn(uint32_t s[5], uint32_t mixed, uint32_t constant, uint32_t word)
{
    uint32_t first = rotate(s[0], 5) + mixed + s[4] + constant + word;
    s[4] = s[3];
    s[3] = s[2];
    s[2] = rotate(s[1], 30);
    s[1] = s[0];
    s[0] = first;
}

static void digest_block(uint32_t state[5], const uint8_t *at)
{
    uint32_t w[ROUNDS], s[5];
    for (int i = 0; i < 16; i++)
        w[i] = read_word(at + 4 * i);
    for (int i = 16; i < ROUNDS; i++)
        w[i] = rotate(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    memcpy(s, state, sizeof s);
    for (int i = 0; i < 20; i++)
        turn(s, (s[1] & s[2]) | (~s[1] & s[3]), 0x5a827999, w[i]);
    for (int i = 20; i < 40; i++)
        turn(s, s[1] ^ s[2] ^ s[3], 0x6ed9eba1, w[i]);
    for (int i = 40; i < 60; i++)
        turn(s, (s[1] & s[2]) | (s[1] & s[3]) | (s[2] & s[3]), 0x8f1bbcdc, w[i]);
    for (int i = 60; i < ROUNDS; i++)
        turn(s, s[1] ^ s[2] ^ s[3], 0xca62c1d6, w[i]);
    for (int i = 0; i < 5; i++)
        state[i] += s[i];
}

void sha1(const char *at, size_t len, uint8_t ret_digest[SHA1_BYTES])
{
    uint32_t state[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    uint8_t last[2 * BLOCK_BYTES] = {0};
    uint64_t n_bits = (uint64_t)len * 8;
    for (; len >= BLOCK_BYTES; at += BLOCK_BYTES, len -= BLOCK_BYTES)
        digest_block(state, (const uint8_t *)at);
    if (len)
        memcpy(last, at, len);
    last[len] = 0x80;
    size_t end = len + 1 + LENGTH_BYTES <= BLOCK_BYTES ? BLOCK_BYTES : sizeof last;
    put_word(last + end - 8, (uint32_t)(n_bits >> 32));
    put_word(last + end - 4, (uint32_t)n_bits);
    for (size_t i = 0; i < end; i += BLOCK_BYTES)
        digest_block(state, last + i);
    for (int i = 0; i < 5; i++)
        put_word(ret_digest + 4 * i, state[i]);
}
