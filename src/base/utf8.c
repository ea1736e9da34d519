#include "base/utf8.h"
#include <string.h>

static const uint64_t high_bits = 0x8080808080808080;

static uint64_t word_at(const char *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

size_t ascii_run(const char *at, size_t len)
{
    size_t i = 0;
    for (; len - i >= 32; i += 32)
        if ((word_at(at + i) | word_at(at + i + 8) | word_at(at + i + 16) | word_at(at + i + 24)) & high_bits)
            break;
    for (; len - i >= 8; i += 8)
        if (word_at(at + i) & high_bits)
            break;
    while (i < len && !(at[i] & 0x80))
        i++;
    return i;
}

/** What a byte that begins a character of several asks for (RFC 3629 §4); nothing is missing after one that cannot.
 * Overlong forms, surrogates and what lies above U+10FFFF all show in the second byte: its bounds refuse them. */
static inline utf8_state lead(uint8_t byte)
{
    if (byte < 0xc2 || byte > 0xf4)
        return (utf8_state){0};
    if (byte < 0xe0)
        return (utf8_state){1, 0x80, 0xbf};
    if (byte < 0xf0)
        return (utf8_state){2, byte == 0xe0 ? 0xa0 : 0x80, byte == 0xed ? 0x9f : 0xbf};
    return (utf8_state){3, byte == 0xf0 ? 0x90 : 0x80, byte == 0xf4 ? 0x8f : 0xbf};
}

static inline bool continues(char byte)
{
    return (byte & 0xc0) == 0x80;
}

/** The length of the character beyond ASCII that `at` begins with; 0 when it is wrong or not whole. */
static inline size_t wide_character(const char *at, size_t len)
{
    utf8_state s = lead((uint8_t)at[0]);
    if (s.missing == 0 || s.missing >= len)
        return 0;
    uint8_t second = (uint8_t)at[1];
    if (second < s.low || second > s.high)
        return 0;
    for (size_t i = 2; i <= s.missing; i++)
        if (!continues(at[i]))
            return 0;
    return (size_t)s.missing + 1;
}

/** Bytes of the valid, whole characters that `at` begins with. */
static size_t whole_characters(const char *at, size_t len)
{
    size_t i = 0;
    while (i < len) {
        size_t n = at[i] & 0x80 ? wide_character(at + i, len - i) : ascii_run(at + i, len - i);
        if (n == 0)
            break;
        i += n;
    }
    return i;
}

static bool take_byte(utf8_state *state, uint8_t byte)
{
    if (state->missing == 0) {
        *state = lead(byte);
        return state->missing > 0 || byte < 0x80;
    }
    if (byte < state->low || byte > state->high)
        return false;
    *state = (utf8_state){(uint8_t)(state->missing - 1), 0x80, 0xbf};
    return true;
}

size_t utf8_feed(utf8_state *state, const char *at, size_t len)
{
    size_t i = 0;
    while (i < len) {
        if (state->missing == 0)
            i += whole_characters(at + i, len - i);
        /* What is left is wrong or cut off: byte by byte finds out where, or keeps the beginning for the next piece. */
        if (i < len && !take_byte(state, (uint8_t)at[i++]))
            return i - 1;
    }
    return len;
}

bool utf8_valid(const char *at, size_t len)
{
    utf8_state state = {0};
    return utf8_feed(&state, at, len) == len && utf8_complete(&state);
}
