#include "bench/payload.h"

#include <assert.h>

enum { HEAD_BYTES = 16, SOURCE_DIGITS = 6, NUMBER_DIGITS = 9, WORDS_BYTES = 64 * 1024 };

/* Words behind the head begin at a place that follows from it, so that two messages seldom have the same. */
static char words[2 * WORDS_BYTES];

static void words_fill(void)
{
    static const char *const vocabulary[] = {"price ", "room ",   "message ", "update ", "online ", "user ",
                                             "state ", "typing ", "left ",    "joined ", "score ",  "offer "};
    uint64_t random = 88172645463325252;
    size_t len = 0;
    while (len < WORDS_BYTES) {
        random ^= random << 13; /* xorshift64: the same words in every process */
        random ^= random >> 7;
        random ^= random << 17;
        const char *word = vocabulary[random % (sizeof vocabulary / sizeof *vocabulary)];
        for (; *word && len < WORDS_BYTES; word++)
            words[len++] = *word;
        for (uint64_t number = random >> 40; number && len < WORDS_BYTES; number /= 10)
            words[len++] = (char)('0' + number % 10);
        if (len < WORDS_BYTES)
            words[len++] = ' ';
    }
    memcpy(words + WORDS_BYTES, words, WORDS_BYTES);
}

static const char *words_of(uint32_t source, uint64_t number)
{
    if (!words[0])
        words_fill();
    return words + (source * UINT64_C(2654435761) + number * UINT64_C(40503)) % WORDS_BYTES;
}

static void put_digits(char *at, unsigned n, uint64_t value)
{
    while (n--) {
        at[n] = "0123456789abcdef"[value & 15];
        value >>= 4;
    }
}

static uint64_t read_digits(const char *at, unsigned n)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < n; i++) {
        char c = at[i];
        unsigned digit = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                         : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10
                                                : 16;
        if (digit == 16)
            return UINT64_MAX;
        value = value << 4 | digit;
    }
    return value;
}

void bench_payload_put(char *at, size_t len, uint32_t source, uint64_t number)
{
    assert(len >= HEAD_BYTES);
    put_digits(at, SOURCE_DIGITS, source);
    put_digits(at + SOURCE_DIGITS, NUMBER_DIGITS, number);
    at[HEAD_BYTES - 1] = '.';
    const char *from = words_of(source, number);
    for (size_t done = HEAD_BYTES; done < len; done += WORDS_BYTES) {
        size_t n = len - done;
        memcpy(at + done, from, n < WORDS_BYTES ? n : WORDS_BYTES);
    }
}

uint32_t bench_payload_source(str payload)
{
    if (payload.len < HEAD_BYTES || payload.at[HEAD_BYTES - 1] != '.' ||
        read_digits(payload.at + SOURCE_DIGITS, NUMBER_DIGITS) == UINT64_MAX)
        return UINT32_MAX;
    return (uint32_t)read_digits(payload.at, SOURCE_DIGITS); /* UINT64_MAX becomes UINT32_MAX */
}

uint64_t bench_payload_check(str payload, size_t len, uint32_t source)
{
    if (payload.len != len || len < HEAD_BYTES || payload.at[HEAD_BYTES - 1] != '.' ||
        read_digits(payload.at, SOURCE_DIGITS) != source)
        return UINT64_MAX;
    uint64_t number = read_digits(payload.at + SOURCE_DIGITS, NUMBER_DIGITS);
    if (number == UINT64_MAX)
        return UINT64_MAX;
    const char *from = words_of(source, number);
    for (size_t done = HEAD_BYTES; done < len; done += WORDS_BYTES) {
        size_t n = len - done;
        if (memcmp(payload.at + done, from, n < WORDS_BYTES ? n : WORDS_BYTES) != 0)
            return UINT64_MAX;
    }
    return number;
}
