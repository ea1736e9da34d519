/*
 * A request head fed whole, in two pieces of which the first lay elsewhere, and byte by byte: the same verdict and the
 * same head, with every piece of it inside the bytes that were read. What follows from a good head is then tried on
 * it.
 */
#include <stdlib.h>

#include "proto/http1.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct {
    http1_head head;
    http1_result result;
    size_t len;
} verdict;

static void require(bool condition)
{
    if (!condition)
        abort();
}

static verdict whole(const char *at, size_t size)
{
    verdict v;
    memset(&v, 0, sizeof v); /* the padding too, as heads are compared bytewise */
    v.result = http1_head_feed(&v.head, at, size, &v.len);
    return v;
}

static verdict in_two_pieces(const char *at, size_t size, size_t cut)
{
    char *first = malloc(cut + 1);
    require(first != NULL);
    memcpy(first, at, cut);
    verdict v = whole(first, cut);
    memset(first, 0xff, cut);
    free(first);
    if (v.result == HTTP1_MORE)
        v.result = http1_head_feed(&v.head, at, size, &v.len);
    return v;
}

static verdict byte_by_byte(const char *at, size_t size)
{
    verdict v = whole(at, 0);
    for (size_t n = 1; n <= size && v.result == HTTP1_MORE; n++)
        v.result = http1_head_feed(&v.head, at, n, &v.len);
    return v;
}

static void require_same(const verdict *a, const verdict *b)
{
    require(a->result == b->result && a->len == b->len);
    require(a->head.status == b->head.status && a->head.reason == b->head.reason);
    if (a->result == HTTP1_DONE)
        require(memcmp(&a->head, &b->head, sizeof a->head) == 0);
}

static void require_inside(const verdict *v, size_t at, size_t len)
{
    require(at + len <= v->len);
}

static void check_lists(str value)
{
    str rest = value, element;
    while (http1_list_next(&rest, &element))
        require(element.len > 0 && element.at >= value.at && element.at + element.len <= value.at + value.len);
    str cookie = http1_cookie(value, STR("a"));
    require(cookie.at == NULL || (cookie.at >= value.at && cookie.at + cookie.len <= value.at + value.len));
}

static void check_path(str raw)
{
    char *path = malloc(raw.len + 1);
    require(path != NULL);
    int64_t len = http1_decode_path(raw, path);
    require(len == WEFT_E_INVALID || (len > 0 && (size_t)len <= raw.len + (raw.len == 0)));
    if (len > 0) {
        require(path[0] == '/' && memchr(path, '\0', (size_t)len) == NULL);
        str rest = {path + 1, (size_t)len - 1}, segment;
        while (str_split(&rest, '/', &segment))
            require(!str_equal(segment, STR(".")) && !str_equal(segment, STR("..")));
    }
    free(path);
}

static void check_good(const verdict *v, const char *at)
{
    const http1_head *head = &v->head;
    require(v->len <= HTTP1_MAX_HEAD_BYTES && v->len >= 4 && memcmp(at + v->len - 4, "\r\n\r\n", 4) == 0);
    require_inside(v, head->method_at, head->method_len);
    require_inside(v, head->target_at, head->target_len);
    require_inside(v, head->path_at, head->path_len);
    require_inside(v, head->query_at, head->query_len);
    require_inside(v, head->authority_at, head->authority_len);
    require(http1_is_token(http1_method(head, at)) && head->n_fields <= HTTP1_MAX_FIELDS);
    require(http1_count(head, at, "Host") == 1 || (head->minor == 0 && http1_count(head, at, "Host") == 0));
    require(head->content_length <= INT64_MAX && (head->body == HTTP1_LENGTH || head->content_length == 0));
    require(head->upgrade == (head->minor == 1 && http1_has_token(head, at, "Connection", "upgrade")));
    require(!head->keep_alive || !http1_has_token(head, at, "Connection", "close"));
    for (size_t i = 0; i < head->n_fields; i++) {
        require_inside(v, head->fields[i].name_at, head->fields[i].name_len);
        require_inside(v, head->fields[i].value_at, head->fields[i].value_len);
        require(http1_is_token(http1_name(head, at, i)) && http1_is_value(http1_value(head, at, i)));
        check_lists(http1_value(head, at, i));
    }
    check_path((str){at + head->path_at, head->path_len});
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *at = size ? (const char *)data : "";
    verdict once = whole(at, size);
    verdict pieces = in_two_pieces(at, size, size ? data[size / 2] % size : 0);
    verdict bytes = byte_by_byte(at, size);
    require_same(&once, &pieces);
    require_same(&once, &bytes);
    if (once.result == HTTP1_DONE)
        check_good(&once, at);
    check_lists((str){at, size});
    check_path((str){at, size});
    return 0;
}
