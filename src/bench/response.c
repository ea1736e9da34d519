#include "bench/response.h"

#include <assert.h>
#include <stdio.h>

#include "proto/http1_grammar.h"

/* What the next byte of input belongs to. */
enum {
    HEAD, /* of an answer, or what comes before its first byte */
    LENGTH,
    CHUNKED,
    UNTIL_END,
    NOTHING, /* the answer has no content, or no more of it */
    OVER,    /* nobody: the connection has had its last answer */
    FAILED,
};

/* What the fields have said so far. */
enum {
    SEEN_LENGTH = 1,
    SEEN_CHUNKED = 2,
    SEEN_CLOSE = 4,
    SEEN_KEEP_ALIVE = 8,
};

static bool refuse(bench_response *response, const char *reason)
{
    response->state = FAILED;
    response->reason = reason;
    return false;
}

void bench_response_init(bench_response *response)
{
    *response = (bench_response){0};
}

/* ------------------------------------------------------------------------------------------------------------- head */

/* HTTP-version SP 3DIGIT [ SP reason-phrase ] (RFC 9112 §4). The second space may be missing where no reason follows: that is not the grammar, and seen. */
static bool read_status_line(bench_response *response, str line)
{
    if (line.len < 12 || !http1_is(line.at[7], HTTP1_DIGIT) || line.at[8] != ' ' ||
        http1_span((str){line.at + 9, 3}, HTTP1_DIGIT) != 3 || line.at[9] < '1' || line.at[9] > '5' ||
        (line.len > 12 && line.at[12] != ' '))
        return refuse(response, "status line is none");
    if (!http1_is_value((str){line.at + 12, line.len - 12}))
        return refuse(response, "control character in the status line");
    response->minor = line.at[7] != '0';
    response->status = (uint16_t)((line.at[9] - '0') * 100 + (line.at[10] - '0') * 10 + (line.at[11] - '0'));
    response->seen = 0;
    response->left = 0;
    return true;
}

static bool read_content_length(bench_response *response, str value)
{
    uint64_t length = 0;
    if (response->seen & SEEN_LENGTH)
        return refuse(response, "Content-Length is repeated");
    if (value.len == 0 || value.len > 18 || http1_span(value, HTTP1_DIGIT) != value.len)
        return refuse(response, "Content-Length is no number");
    for (size_t i = 0; i < value.len; i++)
        length = 10 * length + (uint64_t)(value.at[i] - '0');
    response->left = length;
    response->seen |= SEEN_LENGTH;
    return true;
}

static bool read_transfer_encoding(bench_response *response, str value)
{
    if (response->seen & SEEN_CHUNKED)
        return refuse(response, "Transfer-Encoding is repeated");
    if (!str_equal_nocase(value, STR("chunked")))
        return refuse(response, "Transfer-Encoding is not chunked");
    response->seen |= SEEN_CHUNKED;
    return true;
}

static void read_connection(bench_response *response, str value)
{
    str element;
    while (http1_list_next(&value, &element)) {
        if (str_equal_nocase(element, STR("close")))
            response->seen |= SEEN_CLOSE;
        else if (str_equal_nocase(element, STR("keep-alive")))
            response->seen |= SEEN_KEEP_ALIVE;
    }
}

/* field-name ":" OWS field-value OWS (RFC 9112 §5). A folded line begins with white space, which is no name. */
static bool read_field(bench_response *response, str line)
{
    size_t n = http1_span(line, HTTP1_TCHAR);
    if (n == 0 || n == line.len || line.at[n] != ':')
        return refuse(response, "field line is none");
    str name = {line.at, n}, value = str_trim((str){line.at + n + 1, line.len - n - 1});
    if (!http1_is_value(value))
        return refuse(response, "control character in a field");
    if (str_equal_nocase(name, STR("content-length")))
        return read_content_length(response, value);
    if (str_equal_nocase(name, STR("transfer-encoding")))
        return read_transfer_encoding(response, value);
    if (str_equal_nocase(name, STR("connection")))
        read_connection(response, value);
    return true;
}

static bool has_no_content(unsigned status)
{
    return status < 200 || status == 204 || status == 304;
}

/* What the head as a whole says about what follows (RFC 9112 §6.3). */
static bool end_head(bench_response *response)
{
    static const http1_head chunked = {.body = HTTP1_CHUNKED};
    bool has_chunks = response->seen & SEEN_CHUNKED, has_length = response->seen & SEEN_LENGTH;
    if (has_chunks && (has_length || response->minor == 0))
        return refuse(response, has_length ? "Content-Length with Transfer-Encoding" : "Transfer-Encoding in HTTP/1.0");
    response->closes = response->seen & SEEN_CLOSE || (response->minor == 0 && !(response->seen & SEEN_KEEP_ALIVE));
    response->has_length = has_length && !has_no_content(response->status);
    response->is_open = false;
    if (has_no_content(response->status)) {
        response->state = NOTHING;
    } else if (has_chunks) {
        http1_body_init(&response->chunks, &chunked, UINT64_MAX);
        response->state = CHUNKED;
    } else if (has_length) {
        response->state = response->left ? LENGTH : NOTHING;
    } else {
        response->state = UNTIL_END;
        response->is_open = response->closes = true;
    }
    return true;
}

/* What does not speak HTTP/1 is known by its first bytes: it may never send a line end. */
static bool begins_well(bench_response *response, str in)
{
    static const str begin = {"HTTP/1.", 7};
    return memcmp(in.at, begin.at, in.len < begin.len ? in.len : begin.len) == 0 ||
           refuse(response, "status line is not of HTTP/1");
}

/* Takes the lines that are complete; true with the length of the head when it is. */
static bool read_lines(bench_response *response, str in, size_t *ret_len)
{
    size_t end = in.len < BENCH_RESPONSE_MAX_HEAD_BYTES ? in.len : BENCH_RESPONSE_MAX_HEAD_BYTES;
    for (;;) {
        size_t n_new = end - response->scanned;
        const char *lf = n_new ? memchr(in.at + response->scanned, '\n', n_new) : NULL;
        if (!lf) {
            response->scanned = (uint32_t)end;
            return end == BENCH_RESPONSE_MAX_HEAD_BYTES && refuse(response, "head is too long");
        }
        size_t at = response->line_at, behind = (size_t)(lf - in.at) + 1;
        if (behind - at < 2 || lf[-1] != '\r')
            return refuse(response, "line ends in a bare LF");
        str line = {in.at + at, behind - at - 2};
        response->line_at = response->scanned = (uint32_t)behind;
        if (line.len == 0) {
            *ret_len = behind;
            return at ? end_head(response) : refuse(response, "status line is none");
        }
        if (!(at ? read_field(response, line) : read_status_line(response, line)))
            return false;
    }
}

/* True when a head is complete: an interim one too. */
static bool read_head(bench_response *response, str *in, str *ret_head)
{
    size_t n = 0;
    if (in->len == 0 || !begins_well(response, *in) || !read_lines(response, *in, &n))
        return false;
    response->scanned = response->line_at = 0;
    *ret_head = (str){in->at, n};
    *in = (str){in->at + n, in->len - n};
    return true;
}

/* Passes over interim heads. */
static bench_response_event next_head(bench_response *response, str *in, str *ret_head)
{
    while (read_head(response, in, ret_head)) {
        if (response->status >= 200 || response->status == 101)
            return BENCH_RESPONSE_HEAD;
        response->state = HEAD;
    }
    return response->state == FAILED ? BENCH_RESPONSE_BAD : BENCH_RESPONSE_MORE;
}

/* ---------------------------------------------------------------------------------------------------------- content */

static bench_response_event end_answer(bench_response *response)
{
    response->state = response->closes ? OVER : HEAD;
    return BENCH_RESPONSE_DONE;
}

static bench_response_event next_of_length(bench_response *response, str *in, str *ret_piece)
{
    if (in->len == 0)
        return BENCH_RESPONSE_MORE;
    *ret_piece = (str){in->at, response->left < in->len ? (size_t)response->left : in->len};
    *in = (str){in->at + ret_piece->len, in->len - ret_piece->len};
    response->left -= ret_piece->len;
    if (response->left == 0)
        response->state = NOTHING;
    return BENCH_RESPONSE_DATA;
}

static bench_response_event next_of_chunks(bench_response *response, str *in, str *ret_piece)
{
    size_t consumed;
    http1_body_result result = http1_body_next(&response->chunks, in->at, in->len, &consumed, ret_piece);
    *in = (str){in->at + consumed, in->len - consumed};
    switch (result) {
    case HTTP1_BODY_BAD:
        refuse(response, response->chunks.reason);
        return BENCH_RESPONSE_BAD;
    case HTTP1_BODY_DATA:
        return BENCH_RESPONSE_DATA;
    case HTTP1_BODY_DONE:
        return end_answer(response);
    default:
        return BENCH_RESPONSE_MORE;
    }
}

static bench_response_event next_until_end(str *in, str *ret_piece)
{
    if (in->len == 0)
        return BENCH_RESPONSE_MORE;
    *ret_piece = *in;
    *in = (str){in->at + in->len, 0};
    return BENCH_RESPONSE_DATA;
}

static bench_response_event next(bench_response *response, str *in, str *ret_piece)
{
    switch (response->state) {
    case HEAD:
        return next_head(response, in, ret_piece);
    case LENGTH:
        return next_of_length(response, in, ret_piece);
    case CHUNKED:
        return next_of_chunks(response, in, ret_piece);
    case UNTIL_END:
        return next_until_end(in, ret_piece);
    case NOTHING:
        return end_answer(response);
    case OVER:
        *in = (str){in->at + in->len, 0};
        return BENCH_RESPONSE_MORE;
    default:
        return BENCH_RESPONSE_BAD;
    }
}

bench_response_event bench_response_next(bench_response *response, const char *at, size_t len, size_t *ret_consumed,
                                         str *ret_piece)
{
    str in = {at, len};
    bench_response_event event = next(response, &in, ret_piece);
    *ret_consumed = len - in.len;
    return event;
}

bool bench_response_may_end(const bench_response *response)
{
    return (response->state == HEAD && response->scanned == 0) || response->state == UNTIL_END ||
           response->state == OVER;
}

/* ----------------------------------------------------------------------------------------------------------- fields */

/* The next field line of a head that was found good; false at the end. */
static bool next_field(str *rest, str *ret_name, str *ret_value)
{
    const char *lf = memchr(rest->at, '\n', rest->len);
    str line = {rest->at, (size_t)(lf - rest->at) - 1};
    if (line.len == 0)
        return false;
    *rest = (str){lf + 1, rest->len - line.len - 2};
    const char *colon = memchr(line.at, ':', line.len);
    *ret_name = (str){line.at, (size_t)(colon - line.at)};
    *ret_value = str_trim((str){colon + 1, line.len - ret_name->len - 1});
    return true;
}

static str behind_status_line(str head)
{
    const char *lf = memchr(head.at, '\n', head.len);
    return (str){lf + 1, head.len - (size_t)(lf + 1 - head.at)};
}

str bench_response_field(str head, const char *name)
{
    str wanted = str_from(name), rest = behind_status_line(head), found, value;
    while (next_field(&rest, &found, &value))
        if (str_equal_nocase(found, wanted))
            return value;
    return (str){NULL, 0};
}

static bool list_has(str list, str token)
{
    str element;
    while (http1_list_next(&list, &element))
        if (str_equal_nocase(element, token))
            return true;
    return false;
}

bool bench_response_has_token(str head, const char *name, const char *token)
{
    str wanted = str_from(name), rest = behind_status_line(head), found, value;
    while (next_field(&rest, &found, &value))
        if (str_equal_nocase(found, wanted) && list_has(value, str_from(token)))
            return true;
    return false;
}

const char *bench_response_unwanted(unsigned status)
{
    enum { LEAST = 100, MOST = 599 };
    static char texts[MOST - LEAST + 1][48]; /* made when they are asked for */
    assert(status >= LEAST && status <= MOST);
    char *text = texts[status - LEAST];
    snprintf(text, sizeof texts[0], "answered %u %s", status, http1_phrase((int)status));
    return text;
}
