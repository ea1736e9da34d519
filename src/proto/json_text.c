#include "proto/json_text.h"

#include <endian.h>

/* A letter for each character that has a short escape. */
static const char short_escapes[128] = {
    ['"'] = '"', ['\\'] = '\\', ['\b'] = 'b', ['\f'] = 'f', ['\n'] = 'n', ['\r'] = 'r', ['\t'] = 't',
};

static const uint64_t ones = 0x0101010101010101, highs = 0x8080808080808080;

/** The high bit of each byte that is a quote, a backslash or a control character. A subtraction borrows from the bytes
 * above one that matches, so of these bits only the lowest is certain. */
static inline uint64_t special_bits(uint64_t word)
{
    uint64_t quote = word ^ ones * '"', backslash = word ^ ones * '\\';
    return (((word - ones * 0x20) & ~word) | ((quote - ones) & ~quote) | ((backslash - ones) & ~backslash)) & highs;
}

static inline uint64_t whole_word(const char *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof word);
    return le64toh(word);
}

/** Fewer bytes than a word has, with zeros behind them: control characters, at which a run ends. */
static inline uint64_t part_of_word(const char *at, size_t len)
{
    uint64_t word = 0;
    if (len >= sizeof(uint32_t)) { /* two halves, which may overlap */
        uint32_t low, high;
        memcpy(&low, at, sizeof low);
        memcpy(&high, at + len - sizeof high, sizeof high);
        return le32toh(low) | (uint64_t)le32toh(high) << 8 * (len - sizeof high);
    }
    while (len--)
        word = word << 8 | (unsigned char)at[len];
    return word;
}

/** `too`: bits at which a run ends besides. */
static inline size_t run(const char *at, size_t len, uint64_t too)
{
    size_t i = 0;
    for (; len - i >= sizeof(uint64_t); i += sizeof(uint64_t)) {
        uint64_t word = whole_word(at + i), end = special_bits(word) | (word & too);
        if (end)
            return i + (size_t)__builtin_ctzll(end) / 8;
    }
    if (i == len)
        return i;
    uint64_t word = part_of_word(at + i, len - i);
    return i + (size_t)__builtin_ctzll(special_bits(word) | (word & too)) / 8;
}

size_t json_plain_run(const char *at, size_t len)
{
    return run(at, len, 0);
}

size_t json_ascii_run(const char *at, size_t len)
{
    return run(at, len, highs);
}

size_t json_string_end(str text, size_t i)
{
    for (i++;; i += 2) { /* a backslash and what it escapes; the digits of \uXXXX are plain */
        i += json_plain_run(text.at + i, text.len - i);
        if (text.at[i] == '"')
            return i + 1;
    }
}

static size_t escape_len(char c)
{
    return short_escapes[(unsigned char)c] ? 2 : 6;
}

static char *put_escape(char *at, char c)
{
    char letter = short_escapes[(unsigned char)c];
    *at++ = '\\';
    if (letter) {
        *at = letter;
        return at + 1;
    }
    memcpy(at, "u00", 3);
    at[3] = (char)('0' + (c >> 4)); /* a control character: 0 or 1 */
    at[4] = "0123456789abcdef"[c & 15];
    return at + 5;
}

size_t json_text_len(str text)
{
    size_t n = 2;
    for (size_t i = 0; i < text.len; i++) {
        size_t plain = json_plain_run(text.at + i, text.len - i);
        n += plain;
        i += plain;
        if (i < text.len)
            n += escape_len(text.at[i]);
    }
    return n;
}

size_t json_text_put(char *at, str text)
{
    char *start = at;
    *at++ = '"';
    for (size_t i = 0; i < text.len; i++) {
        size_t plain = json_plain_run(text.at + i, text.len - i);
        memcpy(at, text.at + i, plain);
        at += plain;
        i += plain;
        if (i < text.len)
            at = put_escape(at, text.at[i]);
    }
    *at++ = '"';
    return (size_t)(at - start);
}
