/*
 * A walk through any JSON text comes by everything in it, within it; and each string decodes to UTF-8 that is no longer, in
 * place as elsewhere, or is refused; what was decoded and encoded again decodes to the same.
 */
#include <stdlib.h>

#include "base/buf.h"
#include "base/utf8.h"
#include "proto/json.h"
#include "proto/json_read.h"
#include "proto/json_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition)
        abort();
}

/** Of exactly this size, so that the address sanitizer sees a byte too many. */
static char *exact_room(size_t len)
{
    char *at = malloc(len);
    require(at || len == 0);
    return at;
}

static void check_encoded_again(str text, str raw)
{
    size_t len = json_text_len(text);
    char *literal = exact_room(len), *back = exact_room(text.len);
    require(json_text_put(literal, text) == len);
    require(json_check((str){literal, len}) == (int64_t)len);
    require(json_string_decode((str){literal, len}, back) == (int64_t)text.len);
    require(text.len == 0 || memcmp(back, text.at, text.len) == 0);
    if (!memchr(text.at, '\0', text.len)) {
        char *name = exact_room(text.len + 1);
        memcpy(name, text.at, text.len);
        name[text.len] = '\0';
        require(json_name_is(raw, name));
        name[0] ^= 1;
        require(text.len == 0 || name[0] == '\0' || !json_name_is(raw, name));
        free(name);
    }
    free(literal);
    free(back);
}

/** What stands between two quotes. */
static void check_raw(str raw)
{
    if (raw.len == 0) {
        require(json_name_is(raw, "") && !json_name_is(raw, "a"));
        return;
    }
    char *elsewhere = exact_room(raw.len), *in_place = exact_room(raw.len);
    memcpy(in_place, raw.at, raw.len);
    int64_t n = json_decode(raw, elsewhere);
    require(json_decode((str){in_place, raw.len}, in_place) == n);
    if (n < 0) {
        require(n == WEFT_E_UTF8 && memmem(raw.at, raw.len, "\\u", 2));
    } else {
        require((size_t)n <= raw.len && utf8_valid(elsewhere, (size_t)n) &&
                memcmp(elsewhere, in_place, (size_t)n) == 0);
        check_encoded_again((str){elsewhere, (size_t)n}, raw);
    }
    free(elsewhere);
    free(in_place);
}

/** Writes the value again, from what a walk gives: for a lone scalar that is itself. */
static void rewrite(str value, buf *out)
{
    json_value_type type = json_type(value);
    str rest = json_begin(value), name, inner;
    const char *separator = "";
    if (type == JSON_STRING)
        check_raw(json_string_raw(value));
    if (type != JSON_OBJECT && type != JSON_ARRAY) {
        require(buf_put_str(out, value) == 0);
        return;
    }
    require(buf_put_text(out, type == JSON_OBJECT ? "{" : "[") == 0);
    while (type == JSON_OBJECT ? json_next_member(&rest, &name, &inner) : json_next_element(&rest, &inner)) {
        require(inner.at >= value.at && inner.at + inner.len < value.at + value.len && inner.len > 0);
        require(json_check(inner) > 0 && !json_is_space(inner.at[0]) && !json_is_space(inner.at[inner.len - 1]));
        require(buf_put_text(out, separator) == 0);
        separator = ",";
        if (type == JSON_OBJECT) {
            check_raw(name);
            require(buf_put_text(out, "\"") == 0 && buf_put_str(out, name) == 0 && buf_put_text(out, "\":") == 0);
        }
        rewrite(inner, out);
    }
    require(buf_put_text(out, type == JSON_OBJECT ? "}" : "]") == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    str text = {(const char *)data, size};
    int64_t n = json_check(text);
    if (n < 0)
        return 0;
    char *compact = exact_room(text.len);
    buf again = {0};
    rewrite(text, &again);
    if (json_begin(text).at) {
        require(json_compact(text, compact) == (size_t)n);
        require(again.len == (size_t)n && memcmp(again.at, compact, again.len) == 0);
    }
    buf_done(&again);
    free(compact);
    return 0;
}
