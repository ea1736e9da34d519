/*
 * One trick stands behind every size: the last block is loaded before anything is stored and may overlap its neighbour, so
 * no length needs a tail loop, in place or not. Where two blocks overlap both write the same bytes.
 */
#include "proto/ws_frame.h"

#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { BLOCK = 32 };

static inline uint64_t load64(const char *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

static inline uint32_t load32(const char *at)
{
    uint32_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

/* The mask, twice, as a word in memory order that begins `offset` bytes into the cycle. */
static inline uint64_t mask_word(const uint8_t mask[4], size_t offset)
{
    uint32_t once;
    memcpy(&once, mask, sizeof once);
    uint64_t twice = once | (uint64_t)once << 32;
    unsigned bits = 8 * (offset & 3);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return twice >> bits | twice << (-bits & 63);
#else
    return twice << bits | twice >> (-bits & 63);
#endif
}

static inline bool is_ascii(uint64_t word)
{
    return !(word & 0x8080808080808080);
}

static inline bool mask_under_4(char *dst, const char *src, size_t len, const uint8_t mask[4], size_t offset)
{
    uint8_t seen = 0;

    for (size_t i = 0; i < len; i++) {
        uint8_t byte = (uint8_t)((uint8_t)src[i] ^ mask[(offset + i) & 3]);
        dst[i] = (char)byte;
        seen |= byte;
    }
    return is_ascii(seen);
}

static inline bool mask_4_to_7(char *dst, const char *src, size_t len, const uint8_t mask[4], size_t offset)
{
    size_t last = len - 4;
    uint64_t end_mask = mask_word(mask, offset + last);
    uint64_t begin_mask = mask_word(mask, offset);
    uint32_t a = load32(src), b = load32(src + last);

    /* A mask word has the same four bytes in both halves, so that either half will do in either byte order. */
    a ^= (uint32_t)begin_mask;
    b ^= (uint32_t)end_mask;
    memcpy(dst, &a, sizeof a);
    memcpy(dst + last, &b, sizeof b);
    return is_ascii(a | b);
}

static inline bool mask_8_to_15(char *dst, const char *src, size_t len, const uint8_t mask[4], size_t offset)
{
    size_t last = len - 8;
    uint64_t a = load64(src), b = load64(src + last);

    a ^= mask_word(mask, offset);
    b ^= mask_word(mask, offset + last);
    memcpy(dst, &a, sizeof a);
    memcpy(dst + last, &b, sizeof b);
    return is_ascii(a | b);
}

#if defined(__x86_64__)

/* Every x86-64 has SSE2. What compilers make of four words takes twice as long. */
static inline bool mask_16_to_31(char *dst, const char *src, size_t len, const uint8_t mask[4], size_t offset)
{
    size_t last = len - 16;
    __m128i begin = _mm_set1_epi32((int)mask_word(mask, offset)),
            end = _mm_set1_epi32((int)mask_word(mask, offset + last));
    __m128i a = _mm_xor_si128(_mm_loadu_si128((const void *)src), begin);
    __m128i b = _mm_xor_si128(_mm_loadu_si128((const void *)(src + last)), end);

    _mm_storeu_si128((void *)dst, a);
    _mm_storeu_si128((void *)(dst + last), b);
    return !_mm_movemask_epi8(_mm_or_si128(a, b));
}

#else

static inline bool mask_16_to_31(char *dst, const char *src, size_t len, const uint8_t mask[4], size_t offset)
{
    size_t last = len - 16;
    uint64_t a = load64(src), b = load64(src + 8), c = load64(src + last), d = load64(src + last + 8);
    uint64_t begin_mask = mask_word(mask, offset), end_mask = mask_word(mask, offset + last);

    a ^= begin_mask;
    b ^= begin_mask;
    c ^= end_mask;
    d ^= end_mask;
    memcpy(dst, &a, sizeof a);
    memcpy(dst + 8, &b, sizeof b);
    memcpy(dst + last, &c, sizeof c);
    memcpy(dst + last + 8, &d, sizeof d);
    return is_ascii(a | b | c | d);
}

#endif

static inline bool mask_small(char *dst, const char *src, size_t len, const uint8_t mask[4], size_t offset)
{
    if (len >= 16)
        return mask_16_to_31(dst, src, len, mask, offset);
    if (len >= 8)
        return mask_8_to_15(dst, src, len, mask, offset);
    if (len >= 4)
        return mask_4_to_7(dst, src, len, mask, offset);
    return mask_under_4(dst, src, len, mask, offset);
}

/* Four words, all loaded before one is stored: compilers make vector instructions of it without having to know whether dst
 * and src overlap, SSE2 on x86-64 and NEON on arm64, which is why there is no NEON version beside the AVX2 one. */
static inline uint64_t mask_block(char *dst, const uint64_t block[4], uint64_t mask)
{
    uint64_t out[4] = {block[0] ^ mask, block[1] ^ mask, block[2] ^ mask, block[3] ^ mask};

    memcpy(dst, out, sizeof out);
    return (out[0] | out[1]) | (out[2] | out[3]);
}

bool ws_mask_portable(char *dst, const char *src, size_t len, const uint8_t mask[4], size_t offset)
{
    if (len < BLOCK)
        return mask_small(dst, src, len, mask, offset);

    uint64_t begin_mask = mask_word(mask, offset), seen = 0;
    uint64_t block[4], end[4];
    size_t last = len - BLOCK;

    memcpy(end, src + last, sizeof end);
    for (size_t i = 0; i < last; i += BLOCK) {
        memcpy(block, src + i, sizeof block);
        seen |= mask_block(dst + i, block, begin_mask);
    }
    return is_ascii(seen | mask_block(dst + last, end, mask_word(mask, offset + last)));
}

#if defined(__x86_64__)

#define AVX2 __attribute__((target("avx2")))

AVX2 static inline __m256i load_256(const char *at)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)at);
}

AVX2 static inline __m256i mask_256(char *dst, __m256i bytes, __m256i mask)
{
    __m256i out = _mm256_xor_si256(bytes, mask);

    _mm256_storeu_si256((__m256i *)(void *)dst, out);
    return out;
}

/* At least BLOCK bytes. Four accumulators, so that one OR need not wait for the last. */
AVX2 static bool mask_avx2(char *dst, const char *src, size_t len, const uint8_t mask[4], size_t offset)
{
    size_t last = len - BLOCK, i = 0;
    __m256i end = load_256(src + last);
    __m256i end_mask = _mm256_set1_epi64x((long long)mask_word(mask, offset + last));
    __m256i m = _mm256_set1_epi64x((long long)mask_word(mask, offset));
    __m256i a = _mm256_setzero_si256(), b = a, c = a, d = a;

    for (; i + 4 * BLOCK <= last; i += 4 * BLOCK) {
        a = _mm256_or_si256(a, mask_256(dst + i, load_256(src + i), m));
        b = _mm256_or_si256(b, mask_256(dst + i + BLOCK, load_256(src + i + BLOCK), m));
        c = _mm256_or_si256(c, mask_256(dst + i + 2 * BLOCK, load_256(src + i + 2 * BLOCK), m));
        d = _mm256_or_si256(d, mask_256(dst + i + 3 * BLOCK, load_256(src + i + 3 * BLOCK), m));
    }
    for (; i < last; i += BLOCK)
        a = _mm256_or_si256(a, mask_256(dst + i, load_256(src + i), m));
    b = _mm256_or_si256(b, mask_256(dst + last, end, end_mask));
    return !_mm256_movemask_epi8(_mm256_or_si256(_mm256_or_si256(a, b), _mm256_or_si256(c, d)));
}

/* The compiler's run-time library asks the processor once, before main; this is one load and one bit. */
static inline bool has_avx2(void)
{
    return __builtin_cpu_supports("avx2");
}

bool ws_mask(char *dst, const char *src, size_t len, const uint8_t mask[4], size_t offset)
{
    if (len < BLOCK)
        return mask_small(dst, src, len, mask, offset);
    if (has_avx2())
        return mask_avx2(dst, src, len, mask, offset);
    return ws_mask_portable(dst, src, len, mask, offset);
}

#else

bool ws_mask(char *dst, const char *src, size_t len, const uint8_t mask[4], size_t offset)
{
    return ws_mask_portable(dst, src, len, mask, offset);
}

#endif
