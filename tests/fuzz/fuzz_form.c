/*
 * Any text as a form: the pairs lie in it in order, with nothing but `&` between them; decoding gives what a slow decoder
 * gives, in place too; and the first value of each name is found by what the name stands for.
 */
#include <stdlib.h>

#include "proto/form.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition)
        abort();
}

static char *allocate(size_t size)
{
    char *at = malloc(size + 1);
    require(at != NULL);
    return at;
}

static bool is_hex(char c)
{
    return c != '\0' && strchr("0123456789abcdefABCDEF", c) != NULL;
}

static size_t decode_slowly(str raw, char *dst)
{
    size_t n = 0;
    for (size_t i = 0; i < raw.len; i++) {
        dst[n] = raw.at[i] == '+' ? ' ' : raw.at[i];
        if (raw.at[i] == '%' && i + 2 < raw.len && is_hex(raw.at[i + 1]) && is_hex(raw.at[i + 2])) {
            const char digits[] = {raw.at[i + 1], raw.at[i + 2], '\0'};
            dst[n] = (char)strtoul(digits, NULL, 16);
            i += 2;
        }
        n++;
    }
    return n;
}

static void check_decoding(str raw)
{
    char *expected = allocate(raw.len), *in_place = allocate(raw.len), *elsewhere = allocate(raw.len);
    str text = {expected, decode_slowly(raw, expected)};
    require(form_decode(raw, elsewhere) == text.len && memcmp(elsewhere, expected, text.len) == 0);
    if (raw.len)
        memcpy(in_place, raw.at, raw.len);
    require(form_decode((str){in_place, raw.len}, in_place) == text.len);
    require(memcmp(in_place, expected, text.len) == 0 && form_equal(raw, text));
    if (text.len) {
        require(!form_equal(raw, (str){text.at, text.len - 1}));
        expected[0] ^= 1;
        require(!form_equal(raw, text));
    }
    free(expected);
    free(in_place);
    free(elsewhere);
}

/* No pair before this one has its name, so its value is what is found; else an earlier one is. */
static void check_find(str form, str raw_name, str value)
{
    char *at = allocate(raw_name.len);
    str found = form_find(form, (str){at, form_decode(raw_name, at)});
    require(found.at != NULL && found.at <= value.at && (found.at < value.at || found.len == value.len));
    free(at);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    str form = {size ? (const char *)data : "", size}, rest = form, name, value;
    const char *at = form.at;
    check_decoding(form);
    for (int n = 0; form_next(&rest, &name, &value); n++) {
        for (; at < name.at; at++)
            require(*at == '&');
        require(name.len == 0 || !memchr(name.at, '=', name.len));
        require(value.at == name.at + name.len || value.at[-1] == '=');
        at = value.at + value.len;
        require((size_t)(at - form.at) <= size && !memchr(name.at, '&', (size_t)(at - name.at)));
        check_decoding(name);
        check_decoding(value);
        if (n < 64) /* quadratic */
            check_find(form, name, value);
    }
    for (; at < form.at + size; at++)
        require(*at == '&');
    return 0;
}
