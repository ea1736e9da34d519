#include "hub/cursor.h"

enum { EPOCH_DIGITS = 12, MAX_NUMBER_DIGITS = 19 };

size_t cursor_put(cursor c, char ret_text[CURSOR_BYTES])
{
    char digits[20];
    size_t n = 0, len = EPOCH_DIGITS;
    for (size_t i = 0; i < EPOCH_DIGITS; i++)
        ret_text[i] = "0123456789abcdef"[c.epoch >> (EPOCH_DIGITS - 1 - i) * 4 & 15];
    ret_text[len++] = '-';
    do
        digits[n++] = (char)('0' + c.number % 10);
    while (c.number /= 10);
    while (n)
        ret_text[len++] = digits[--n];
    return len;
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Only texts that cursor_put() writes are cursors: one place has one text, so that an ETag can be compared as it is. */
static cursor read_cursor(str text)
{
    cursor c = {0}, none = {0};
    if (text.len < EPOCH_DIGITS + 2 || text.len > EPOCH_DIGITS + 1 + MAX_NUMBER_DIGITS || text.at[EPOCH_DIGITS] != '-')
        return none;
    for (size_t i = 0; i < EPOCH_DIGITS; i++) {
        int digit = hex_digit(text.at[i]);
        if (digit < 0)
            return none;
        c.epoch = c.epoch << 4 | (unsigned)digit;
    }
    if (text.at[EPOCH_DIGITS + 1] == '0' && text.len > EPOCH_DIGITS + 2)
        return none;
    for (size_t i = EPOCH_DIGITS + 1; i < text.len; i++) {
        if (text.at[i] < '0' || text.at[i] > '9')
            return none;
        c.number = c.number * 10 + (unsigned)(text.at[i] - '0');
    }
    return c;
}

since since_read(str text)
{
    if (!text.at)
        return (since){.from = SINCE_NOW};
    if (str_equal(text, STR("start")))
        return (since){.from = SINCE_START};
    return (since){SINCE_CURSOR, read_cursor(text)};
}
