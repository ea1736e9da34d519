/* What json_check() accepts compacts to the length it told, to text that is accepted and does not get any shorter. */
#include "base/utf8.h"
#include "proto/json.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

/** Of exactly this size, so that the address sanitizer sees a byte too many. */
static char *exact_copy(const void *bytes, size_t len)
{
    char *copy = malloc(len);
    require(copy);
    memcpy(copy, bytes, len);
    return copy;
}

/** Outside strings there is no white space left, and nowhere a byte that could end a line. */
static void require_dense(str text)
{
    bool inside = false;
    for (size_t i = 0; i < text.len; i++) {
        require((unsigned char)text.at[i] >= 0x20);
        if (text.at[i] == '"')
            inside = !inside;
        else if (inside && text.at[i] == '\\')
            i++;
        else
            require(inside || text.at[i] != ' ');
    }
    require(!inside);
}

static void check_accepted(str text, size_t compact_len)
{
    require(compact_len > 0 && compact_len <= text.len);
    char *first = exact_copy(text.at, compact_len);
    require(json_compact(text, first) == compact_len);
    str compact = {first, compact_len};
    require_dense(compact);
    require(utf8_valid(compact.at, compact.len));
    require(json_check(compact) == (int64_t)compact_len);

    char *second = exact_copy(first, compact_len);
    require(json_compact(compact, second) == compact_len);
    require(memcmp(first, second, compact_len) == 0);

    char *in_place = exact_copy(text.at, text.len);
    require(json_compact((str){in_place, text.len}, in_place) == compact_len);
    require(memcmp(first, in_place, compact_len) == 0);

    free(first);
    free(second);
    free(in_place);
}

/** A value goes into an array unseen, and what is no value does not become one there, unless it brings a comma. */
static void check_inside_array(str text, int64_t alone)
{
    buf b = {0};
    require(buf_put_text(&b, "[") == 0 && buf_put_str(&b, text) == 0 && buf_put_text(&b, "]") == 0);
    int64_t inside = json_check(buf_str(&b));
    if (alone > 0 && !memchr(text.at, '[', text.len) && !memchr(text.at, '{', text.len))
        require(inside == alone + 2);
    if (alone < 0 && text.len && !memchr(text.at, ',', text.len) && !memchr(text.at, ']', text.len))
        require(inside < 0 || inside == 2);
    buf_done(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    str text = {(const char *)data, size};
    int64_t n = json_check(text);
    require(n > 0 || n == WEFT_E_JSON);
    if (n > 0)
        check_accepted(text, (size_t)n);
    check_inside_array(text, n);
    return 0;
}
