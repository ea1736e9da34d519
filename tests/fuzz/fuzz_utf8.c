/* Whatever the pieces, the validator finds the first wrong byte where a decoder of one character at a time does. */
#include "base/utf8.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct {
    size_t n_valid;
    bool complete;
} verdict;

static void require(bool holds)
{
    if (!holds)
        abort();
}

/** True when some scalar value's encoding begins with these bytes (1 to 4 of them): each value of the bits still to
 * come is between the two that come out with those bits all zero and all one. */
static bool begins_character(const uint8_t *at, size_t n)
{
    static const uint32_t first[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t whole = at[0] < 0x80 ? 1 : at[0] >> 5 == 6 ? 2 : at[0] >> 4 == 14 ? 3 : at[0] >> 3 == 30 ? 4 : 0;
    if (whole < n)
        return false;
    uint32_t code = whole == 1 ? at[0] : at[0] & (0x7fu >> whole);
    for (size_t i = 1; i < n; i++) {
        if (at[i] >> 6 != 2)
            return false;
        code = code << 6 | (at[i] & 0x3f);
    }
    size_t n_open = 6 * (whole - n);
    uint32_t lowest = code << n_open, highest = lowest | ((1u << n_open) - 1);
    bool all_surrogates = lowest >= 0xd800 && highest <= 0xdfff;
    return highest >= first[whole] && lowest <= 0x10ffff && !all_surrogates;
}

static size_t whole_length(uint8_t lead)
{
    return lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
}

static verdict decode_slowly(const uint8_t *data, size_t size)
{
    size_t start = 0, n = 0;
    while (start + n < size) {
        if (!begins_character(data + start, n + 1))
            return (verdict){start + n, false};
        n++;
        if (n == whole_length(data[start])) {
            start += n;
            n = 0;
        }
    }
    return (verdict){size, n == 0};
}

static verdict feed_in_pieces(const uint8_t *data, size_t size, size_t piece)
{
    utf8_state state = {0};
    for (size_t i = 0; i < size; i += piece) {
        size_t n = size - i < piece ? size - i : piece;
        size_t taken = utf8_feed(&state, (const char *)data + i, n);
        require(taken <= n);
        if (taken < n)
            return (verdict){i + taken, false};
    }
    return (verdict){size, utf8_complete(&state)};
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const size_t pieces[] = {1, 2, 3, 5, 7, 8, 9, 31, 64};
    verdict expected = decode_slowly(data, size);
    verdict whole = feed_in_pieces(data, size, size ? size : 1);
    require(whole.n_valid == expected.n_valid && whole.complete == expected.complete);
    require(utf8_valid((const char *)data, size) == expected.complete);
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        verdict split = feed_in_pieces(data, size, pieces[i]);
        require(split.n_valid == expected.n_valid && split.complete == expected.complete);
    }
    size_t run = ascii_run((const char *)data, size);
    require(run <= size && (run == size || data[run] >= 0x80));
    for (size_t i = 0; i < run; i++)
        require(data[i] < 0x80);
    return 0;
}
