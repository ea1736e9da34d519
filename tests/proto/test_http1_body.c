#include "proto/http1_body.h"

#include <stdio.h>

#include "support/check.h"
#include "support/guard.h"

enum {
    MAX_BYTES = 64,
    UNFINISHED = 1, /* a status that none has: more is wanted after the last byte */
};

typedef struct {
    http1_body body;
    uint64_t length, max_bytes;
    str bytes;
    size_t consumed;
    str content;
    int status;         /* 0: DONE */
    const char *reason; /* part of it */
} vector;

#define LIT(text)                                                                                                      \
    {                                                                                                                  \
        text, sizeof text - 1                                                                                          \
    }
/* A chunked body and its content; where it is not good, what stays unconsumed is set apart. */
#define GOOD(content, text)                                                                                            \
    {                                                                                                                  \
        HTTP1_CHUNKED, 0, MAX_BYTES, LIT(text), sizeof text - 1, LIT(content), 0, NULL                                 \
    }
#define BAD(status, reason, content, text, left)                                                                       \
    {                                                                                                                  \
        HTTP1_CHUNKED, 0, MAX_BYTES, LIT(text left), sizeof text - 1, LIT(content), status, reason                     \
    }
#define MORE(content, text, left) BAD(UNFINISHED, NULL, content, text, left)
/* Size lines and trailer sections, in a body that is good but for them. */
#define SIZE_OF_5(line)              GOOD("hello", line "hello\r\n0\r\n\r\n")
#define BAD_SIZE_OF_5(reason, line)  BAD(400, reason, "", "", line "hello\r\n0\r\n\r\n")
#define TRAILER(lines)               GOOD("a", "1\r\na\r\n0\r\n" lines "\r\n")
#define BAD_TRAILER(reason, lines)   BAD(400, reason, "a", "1\r\na\r\n0\r\n", lines "\r\n")
#define BAD_TRAILER_2(reason, lines) BAD(400, reason, "", "0\r\na: b\r\n", lines "\r\n")
/* A body of that length. */
#define OF(length, max, status, reason, content, text, left)                                                           \
    {                                                                                                                  \
        HTTP1_LENGTH, length, max, LIT(text left), sizeof text - 1, LIT(content), status, reason                       \
    }

static const vector lengths[] = {
    {HTTP1_NO_BODY, 0, 0, LIT(""), 0, LIT(""), 0, NULL},
    OF(0, 0, 0, NULL, "", "", ""),
    OF(0, 9, 0, NULL, "", "", ""),
    OF(1, 9, 0, NULL, "\n", "\n", ""),
    OF(5, 9, 0, NULL, "hello", "hello", ""),
    OF(5, 5, 0, NULL, "0\r\n\r\n", "0\r\n\r\n", ""),
    OF(5, 5, 0, NULL, "\0\xff\r\n\0", "\0\xff\r\n\0", ""),
    OF(5, 5, UNFINISHED, NULL, "", "", ""),
    OF(5, 5, UNFINISHED, NULL, "hell", "hell", ""),
    OF(6, 5, 413, "large", "", "", ""),
    OF(6, 5, 413, "large", "", "", "hello!"),
    OF(1, 0, 413, "large", "", "", "h"),
    OF(INT64_MAX, UINT32_MAX, 413, "large", "", "", "h"),
    OF(INT64_MAX, UINT64_MAX, UNFINISHED, NULL, "h", "h", ""),
};

static const vector chunks[] = {
    GOOD("", "0\r\n\r\n"),
    GOOD("", "00000\r\n\r\n"),
    GOOD("", "0000000000000000\r\n\r\n"),
    GOOD("hello", "5\r\nhello\r\n0\r\n\r\n"),
    GOOD("hello, world", "5\r\nhello\r\n7\r\n, world\r\n0\r\n\r\n"),
    GOOD("0123456789", "a\r\n0123456789\r\n0\r\n\r\n"),
    GOOD("0123456789", "A\r\n0123456789\r\n0\r\n\r\n"),
    GOOD("0123456789abcdef0123456789abcd", "1e\r\n0123456789abcdef0123456789abcd\r\n0\r\n\r\n"),
    GOOD("0123456789abcdef0123456789abcdef", "10\r\n0123456789abcdef\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n"),
    GOOD("\r\n0\r\n\r\n", "7\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n"),
    GOOD("\0\xff\r\n\n", "5\r\n\0\xff\r\n\n\r\n0\r\n\r\n"),
    GOOD("abc", "1\r\na\r\n1\r\nb\r\n1\r\nc\r\n000\r\n\r\n"),
    MORE("", "", ""),
    MORE("", "", "5"),
    MORE("", "", "5\r"),
    MORE("", "", "5;a=\"\r"),
    MORE("", "5\r\n", ""),
    MORE("hell", "5\r\nhell", ""),
    MORE("hello", "5\r\nhello", ""),
    MORE("hello", "5\r\nhello", "\r"),
    MORE("hello", "5\r\nhello\r\n", ""),
    MORE("", "0\r\n", ""),
    MORE("", "0\r\n", "\r"),
    MORE("", "0\r\n", "a: b\r"),
    MORE("", "0\r\na: b\r\n", "\r"),
};

static const vector sizes[] = {
    SIZE_OF_5("5\r\n"),
    SIZE_OF_5("05\r\n"),
    SIZE_OF_5("0000000000000005\r\n"),
    BAD_SIZE_OF_5("digits", "00000000000000005\r\n"),
    BAD_SIZE_OF_5("digits", "10000000000000005\r\n"),
    BAD_SIZE_OF_5("digits", "ffffffffffffffffffffffffffffffff5\r\n"),
    BAD_SIZE_OF_5("begin", "\r\n"),
    BAD_SIZE_OF_5("begin", ";a\r\n"),
    BAD_SIZE_OF_5("begin", "+5\r\n"),
    BAD_SIZE_OF_5("begin", "-1\r\n"),
    BAD_SIZE_OF_5("begin", "-0\r\n"),
    BAD_SIZE_OF_5("begin", " 5\r\n"),
    BAD_SIZE_OF_5("begin", "\t5\r\n"),
    BAD_SIZE_OF_5("begin", "g\r\n"),
    BAD_SIZE_OF_5("begin", "\"5\"\r\n"),
    BAD_SIZE_OF_5("begin", "\xef\xbc\x95\r\n"), /* a full-width five */
    BAD_SIZE_OF_5("begin", "x5\r\n"),
    BAD_SIZE_OF_5("begin", "\r5\r\n"),
    BAD_SIZE_OF_5("begin", "\0"
                           "5\r\n"),
    BAD_SIZE_OF_5("extension", "0x5\r\n"),
    BAD_SIZE_OF_5("extension", "0x10\r\n"),
    BAD_SIZE_OF_5("extension", "0X5\r\n"),
    BAD_SIZE_OF_5("extension", "5 \r\n"),
    BAD_SIZE_OF_5("extension", "5\t\r\n"),
    BAD_SIZE_OF_5("extension", "5 ;x\r\n"),
    BAD_SIZE_OF_5("extension", "5\t;x\r\n"),
    BAD_SIZE_OF_5("extension", "5 0\r\n"),
    BAD_SIZE_OF_5("extension", "5_0\r\n"),
    BAD_SIZE_OF_5("extension", "5.0\r\n"),
    BAD_SIZE_OF_5("extension", "5,5\r\n"),
    BAD_SIZE_OF_5("extension", "5h\r\n"),
    BAD_SIZE_OF_5("extension", "5:\r\n"),
    BAD_SIZE_OF_5("control", "5\r\r\n"),
    BAD_SIZE_OF_5("control", "5\r;a\r\n"),
    BAD_SIZE_OF_5("control", "5\v\r\n"),
    BAD_SIZE_OF_5("control", "5\0\r\n"),
    BAD_SIZE_OF_5("bare LF", "\n"),
    BAD_SIZE_OF_5("bare LF", "5\n"),
    BAD_SIZE_OF_5("bare LF", "5\n\r\n"),
    BAD_SIZE_OF_5("bare LF", "5\r \n"),
    BAD(400, "control", "", "", "5\rhello\r\n0\r\n\r\n"),
    BAD(400, "bare LF", "hello", "5\r\nhello\r\n", "0\n\n"),
    BAD(400, "bare LF", "hello", "5\r\nhello\r\n", "0\n\r\n"),
    BAD(400, "bare LF", "hello", "5\r\nhello\r\n0\r\n", "\n"),
    BAD(400, "begin", "hello", "5\r\nhello\r\n", "\r\n0\r\n\r\n"),
    BAD(400, "begin", "hello", "5\r\nhello\r\n", "-5\r\nhello\r\n0\r\n\r\n"),
};

static const vector extensions[] = {
    SIZE_OF_5("5;a\r\n"),
    SIZE_OF_5("5;a=b\r\n"),
    SIZE_OF_5("5;a=\"\"\r\n"),
    SIZE_OF_5("5;a=\"b c\t;,=\"\r\n"),
    SIZE_OF_5("5;a=\"\\\"\";b=\"\\\\\"\r\n"),
    SIZE_OF_5("5;a=\"\xc3\xa9\"\r\n"),
    SIZE_OF_5("5;a;a;a=0;b=\"c\";!#$%&'*+-.^_`|~=~\r\n"),
    SIZE_OF_5("5;chunk-signature=ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648\r\n"),
    GOOD("", "0;last\r\n\r\n"),
    BAD_SIZE_OF_5("extension", "5;\r\n"),
    BAD_SIZE_OF_5("extension", "5;;a\r\n"),
    BAD_SIZE_OF_5("extension", "5;a;\r\n"),
    BAD_SIZE_OF_5("extension", "5;a=\r\n"),
    BAD_SIZE_OF_5("extension", "5;=b\r\n"),
    BAD_SIZE_OF_5("extension", "5;a=b=c\r\n"),
    BAD_SIZE_OF_5("extension", "5;a b\r\n"),
    BAD_SIZE_OF_5("extension", "5; a\r\n"),
    BAD_SIZE_OF_5("extension", "5;a =b\r\n"),
    BAD_SIZE_OF_5("extension", "5;a= b\r\n"),
    BAD_SIZE_OF_5("extension", "5;a \r\n"),
    BAD_SIZE_OF_5("extension", "5;\"a\"\r\n"),
    BAD_SIZE_OF_5("extension", "5;a=\"\r\n"),
    BAD_SIZE_OF_5("extension", "5;a=\"b\r\n"),
    BAD_SIZE_OF_5("extension", "5;a=\"b\\\"\r\n"),
    BAD_SIZE_OF_5("extension", "5;a=\"b\"c\r\n"),
    BAD_SIZE_OF_5("extension", "5;a=b\"c\"\r\n"),
    BAD_SIZE_OF_5("extension", "5;\xc3\xa9\r\n"),
    BAD_SIZE_OF_5("extension", "5;a=\"\r\n\"\r\n"), /* the string does not reach over the line */
    BAD_SIZE_OF_5("control", "5;a\rb\r\n"),
    BAD_SIZE_OF_5("control", "5;a=\"\r\"\r\n"),
    BAD_SIZE_OF_5("control", "5;a=\"\\\r\"\r\n"),
    BAD_SIZE_OF_5("control", "5;a=\"\0\"\r\n"),
    BAD_SIZE_OF_5("control", "5;a=\"\x7f\"\r\n"),
    BAD_SIZE_OF_5("bare LF", "5;a\nb\r\n"),
    BAD_SIZE_OF_5("bare LF", "5;a=\"\n\"\r\n"),
    BAD_SIZE_OF_5("bare LF", "5;a=\"\\\n\"\r\n"),
    BAD_SIZE_OF_5("bare LF", "5;\n"),
};

static const vector chunk_ends[] = {
    BAD(400, "CRLF", "hello", "5\r\nhello", "!\r\n0\r\n\r\n"), /* longer than its size */
    BAD(400, "CRLF", "hell\r", "5\r\nhell\r", "\n0\r\n\r\n"),  /* shorter, by one */
    BAD(400, "CRLF", "hel\r\n", "5\r\nhel\r\n", "0\r\n\r\n"),  /* by two */
    BAD(400, "CRLF", "hello", "5\r\nhello", "0\r\n\r\n"),
    BAD(400, "CRLF", "hello", "5\r\nhello", "\n0\r\n\r\n"),
    BAD(400, "CRLF", "hello", "5\r\nhello", "\r0\r\n\r\n"),
    BAD(400, "CRLF", "hello", "5\r\nhello", "\r\r\n0\r\n\r\n"),
    BAD(400, "CRLF", "hello", "5\r\nhello", " \r\n0\r\n\r\n"),
    BAD(400, "CRLF", "hello", "5\r\nhello", "\n\r0\r\n\r\n"),
    BAD(400, "CRLF", "hellohello", "5\r\nhello\r\n5\r\nhello", "5\r\nhello\r\n"),
};

static const vector trailers[] = {
    TRAILER("a: b\r\n"),
    TRAILER("a:\r\n"),
    TRAILER("a:b\r\nc: d e\t\r\n"),
    TRAILER("Digest: \xc3\xa9\r\n"),
    TRAILER("a: b\r\na: b\r\n!#$%&'*+-.^_`|~09azAZ: x\r\n"),
    TRAILER("Content-Lengths: 5\r\nX-Host: a\r\nHos: t\r\nTransfer: Encoding\r\n"),
    BAD_TRAILER("routes", "Content-Length: 5\r\n"),
    BAD_TRAILER("routes", "content-LENGTH:5\r\n"),
    BAD_TRAILER("routes", "Transfer-Encoding: chunked\r\n"),
    BAD_TRAILER("routes", "Host: h\r\n"),
    BAD_TRAILER("routes", "hOST:\r\n"),
    BAD_TRAILER_2("routes", "Host: h\r\n"),
    BAD_TRAILER_2("routes", "Content-Length: 0\r\n"),
    BAD_TRAILER("no field", "a\r\n"),
    BAD_TRAILER("no field", ":\r\n"),
    BAD_TRAILER("no field", ": a\r\n"),
    BAD_TRAILER("no field", "a : b\r\n"),
    BAD_TRAILER("no field", "a b: c\r\n"),
    BAD_TRAILER("no field", "\xc3\xa9: c\r\n"),
    BAD_TRAILER("no field", " a: b\r\n"),
    BAD_TRAILER("no field", "\r: b\r\n"),
    BAD_TRAILER("no field", "\r\r\n"),
    BAD_TRAILER_2("no field", " c\r\n"), /* obs-fold */
    BAD_TRAILER_2("no field", "\tc: d\r\n"),
    BAD_TRAILER_2("no field", " \r\n"),
    BAD_TRAILER("no field", "GET / HTTP/1.1\r\nHost: h\r\n"),
    BAD_TRAILER("bare CR", "a: b\rc: d\r\n"),
    BAD_TRAILER("bare CR", "a: b\r\r\n"),
    BAD_TRAILER("bare CR", "a: \0\r\n"),
    BAD_TRAILER("bare CR", "a: \x7f\r\n"),
    BAD_TRAILER("bare LF", "\n"),
    BAD_TRAILER("bare LF", "a: b\n"),
    BAD_TRAILER("bare LF", "a: b\nc: d\r\n"),
    BAD_TRAILER_2("bare LF", "\nc: d\r\n"),
};

/* 16 bytes */
#define DATA "0123456789abcdef"

static const vector limits[] = {
    GOOD(DATA DATA DATA DATA, "40\r\n" DATA DATA DATA DATA "\r\n0\r\n\r\n"),
    GOOD(DATA DATA DATA DATA, "30\r\n" DATA DATA DATA "\r\n10\r\n" DATA "\r\n0\r\n\r\n"),
    BAD(413, "large", "", "", "41\r\n"),
    BAD(413, "large", "", "", "41;a=b\r\n" DATA DATA DATA DATA "!\r\n0\r\n\r\n"),
    BAD(413, "large", DATA DATA DATA DATA, "40\r\n" DATA DATA DATA DATA "\r\n", "1\r\n!\r\n0\r\n\r\n"),
    BAD(413, "large", DATA, "10\r\n" DATA "\r\n", "31\r\n"),
    BAD(413, "large", DATA, "10\r\n" DATA "\r\n", "fffffffffffffff0\r\n"), /* the sum is 2^64 */
    BAD(413, "large", DATA, "10\r\n" DATA "\r\n", "ffffffffffffffff\r\n"),
    BAD(413, "large", "", "", "ffffffffffffffff\r\n"),
    BAD(413, "large", "", "", "7fffffffffffffff\r\n"),
    BAD(413, "large", "", "", "100000000\r\n"),
    BAD(413, "large", "", "", "8000000000000000\r\n"),
    {HTTP1_CHUNKED, 0, 0, LIT("0\r\n\r\n"), 5, LIT(""), 0, NULL},
    {HTTP1_CHUNKED, 0, 0, LIT("1\r\n"), 0, LIT(""), 413, "large"},
    {HTTP1_CHUNKED, 0, UINT64_MAX, LIT("ffffffffffffffff\r\na"), 19, LIT("a"), UNFINISHED, NULL},
};

/* ------------------------------------------------------------------------------------------------------------- ways */

/* What came of handing in the bytes of a vector in some way. */
typedef struct {
    http1_body_decoder decoder;
    http1_body_result result;
    size_t consumed;
    size_t n_bytes; /* that had been handed in when the verdict fell */
    str content;    /* owned */
} outcome;

static outcome start(const vector *v)
{
    http1_head head = {.body = v->body, .content_length = v->length};
    outcome o = {.content = {malloc(v->bytes.len + 1), 0}};
    http1_body_init(&o.decoder, &head, v->max_bytes);
    return o;
}

static void finish(outcome *o)
{
    free((char *)o->content.at);
}

/* The piece is content that lies within the bytes that it was consumed with. */
static void add_piece(outcome *o, str piece, const char *at, size_t consumed)
{
    assert_true(piece.len > 0 && piece.at >= at && piece.at + piece.len <= at + consumed);
    memcpy((char *)o->content.at + o->content.len, piece.at, piece.len);
    o->content.len += piece.len;
}

/* Hands in `len` bytes and then what is not consumed of them, until there is nothing to be had. */
static void feed(outcome *o, const char *at, size_t len)
{
    static const char nowhere;
    const str untouched = {&nowhere, 77};
    o->n_bytes = o->consumed + len;
    do {
        str piece = untouched;
        size_t consumed = SIZE_MAX;
        o->result = http1_body_next(&o->decoder, at, len, &consumed, &piece);
        assert_true(consumed <= len);
        if (o->result == HTTP1_BODY_DATA)
            add_piece(o, piece, at, consumed);
        else
            assert_true(str_same(piece, untouched));
        assert_int_equal(o->decoder.status != 0, o->result == HTTP1_BODY_BAD);
        o->consumed += consumed;
        at = len ? at + consumed : at;
        len -= consumed;
    } while (o->result == HTTP1_BODY_DATA);
    if (o->result == HTTP1_BODY_MORE)
        assert_true(len < HTTP1_MAX_TRAILER_BYTES);
}

static outcome whole(const vector *v)
{
    outcome o = start(v);
    feed(&o, v->bytes.at, v->bytes.len);
    return o;
}

static outcome whole_at_guard_page(const vector *v)
{
    guard g = guard_copy(v->bytes.at, v->bytes.len);
    vector guarded = *v;
    guarded.bytes.at = g.at;
    outcome o = whole(&guarded);
    guard_free(g);
    return o;
}

static outcome byte_by_byte(const vector *v)
{
    outcome o = start(v);
    feed(&o, NULL, 0);
    for (size_t n = 1; n <= v->bytes.len && o.result == HTTP1_BODY_MORE; n++)
        feed(&o, v->bytes.at + o.consumed, n - o.consumed);
    return o;
}

/* What is handed in again lies elsewhere than before and ends at the unreadable page; what lay there is gone. */
static outcome byte_by_byte_moved(const vector *v)
{
    guard g = guard_copy(v->bytes.at, v->bytes.len);
    char *end = g.at + v->bytes.len;
    outcome o = start(v);
    for (size_t n = 0; n <= v->bytes.len && o.result == HTTP1_BODY_MORE; n++) {
        size_t len = n - o.consumed;
        memset(g.at, '#', v->bytes.len);
        memcpy(end - len, v->bytes.at + o.consumed, len);
        feed(&o, end - len, len);
    }
    guard_free(g);
    return o;
}

static outcome in_two_pieces(const vector *v, size_t cut)
{
    outcome o = start(v);
    feed(&o, v->bytes.at, cut);
    if (o.result == HTTP1_BODY_MORE)
        feed(&o, v->bytes.at + o.consumed, v->bytes.len - o.consumed);
    return o;
}

static outcome with_another_behind(const vector *v)
{
    static const char next[] = "GET /next HTTP/1.1\r\n\r\n";
    vector both = *v;
    char *at = malloc(v->bytes.len + sizeof next);
    memcpy(at, v->bytes.at, v->bytes.len);
    memcpy(at + v->bytes.len, next, sizeof next);
    both.bytes = (str){at, v->bytes.len + sizeof next - 1};
    outcome o = whole(&both);
    free(at);
    return o;
}

static void assert_same_and_finish(const outcome *expected, outcome o)
{
    assert_int_equal(o.result, expected->result);
    assert_int_equal(o.consumed, expected->consumed);
    assert_true(str_equal(o.content, expected->content));
    assert_int_equal(o.decoder.status, expected->decoder.status);
    assert_ptr_equal(o.decoder.reason, expected->decoder.reason);
    assert_int_equal(o.decoder.total_bytes, o.content.len);
    finish(&o);
}

static bool is_expected(const vector *v, const outcome *o)
{
    http1_body_result result = v->status == 0            ? HTTP1_BODY_DONE
                               : v->status == UNFINISHED ? HTTP1_BODY_MORE
                                                         : HTTP1_BODY_BAD;
    return o->result == result && o->consumed == v->consumed && str_equal(o->content, v->content) &&
           (result != HTTP1_BODY_BAD ||
            (o->decoder.status == v->status && o->decoder.reason && strstr(o->decoder.reason, v->reason)));
}

/* Whatever is handed in after the verdict, it stays and nothing of it is read. */
static void check_stays(outcome *o)
{
    http1_body_result result = o->result;
    size_t consumed = o->consumed;
    feed(o, "0\r\n\r\n", 5);
    assert_int_equal(o->result, result);
    assert_int_equal(o->consumed, consumed);
}

static void check_in_every_way(const vector *v)
{
    outcome once = whole(v);
    if (!is_expected(v, &once))
        print_error("%.*s\n%d: status %d (%s), %zu consumed, %zu of content\n", (int)v->bytes.len, v->bytes.at,
                    once.result, once.decoder.status, once.decoder.reason ? once.decoder.reason : "-", once.consumed,
                    once.content.len);
    assert_true(is_expected(v, &once));
    assert_same_and_finish(&once, whole_at_guard_page(v));
    assert_same_and_finish(&once, byte_by_byte(v));
    assert_same_and_finish(&once, byte_by_byte_moved(v));
    if (once.result != HTTP1_BODY_MORE) {
        assert_same_and_finish(&once, with_another_behind(v));
        check_stays(&once);
    }
    finish(&once);
}

static void check_vectors(const vector *vectors, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        check_in_every_way(&vectors[i]);
        outcome once = whole(&vectors[i]);
        for (size_t cut = 0; cut <= vectors[i].bytes.len; cut++)
            assert_same_and_finish(&once, in_two_pieces(&vectors[i], cut));
        finish(&once);
    }
}

static void http1_body__ends_after_its_length(void **state)
{
    (void)state;
    check_vectors(lengths, N_OF(lengths));
}

static void http1_body__puts_chunks_together(void **state)
{
    (void)state;
    check_vectors(chunks, N_OF(chunks));
}

static void http1_body__refuses_sizes_that_can_be_read_two_ways(void **state)
{
    (void)state;
    check_vectors(sizes, N_OF(sizes));
}

static void http1_body__drops_extensions_and_refuses_malformed_ones(void **state)
{
    (void)state;
    check_vectors(extensions, N_OF(extensions));
}

static void http1_body__refuses_chunks_of_another_length_than_their_size(void **state)
{
    (void)state;
    check_vectors(chunk_ends, N_OF(chunk_ends));
}

static void http1_body__drops_trailers_and_refuses_those_that_frame(void **state)
{
    (void)state;
    check_vectors(trailers, N_OF(trailers));
}

static void http1_body__refuses_content_over_the_limit_before_it_comes(void **state)
{
    (void)state;
    check_vectors(limits, N_OF(limits));
}

/* ----------------------------------------------------------------------------------------------------------- limits */

static void http1_body__refuses_at_the_first_byte_that_decides(void **state)
{
    static const struct {
        vector v;
        size_t n_bytes;
    } cases[] = {
        {OF(6, 5, 413, "large", "", "", "hello!"), 0},
        {BAD(413, "large", "", "", "41\r\nhello"), 4},
        {BAD(400, "bare LF", "", "", "5\nhello"), 2},
        {BAD(400, "CRLF", "hello", "5\r\nhello", "!\r\n"), 9},
        {BAD(400, "CRLF", "hello", "5\r\nhello", "\r!\n"), 10},
        {BAD(400, "routes", "", "0\r\n", "Host: h\r\n\r\n"), 12},
    };
    (void)state;
    for (size_t i = 0; i < N_OF(cases); i++) {
        check_in_every_way(&cases[i].v);
        outcome o = byte_by_byte(&cases[i].v);
        assert_int_equal(o.n_bytes, cases[i].n_bytes);
        finish(&o);
    }
}

/* n bytes: what begins them, as many fillers as it takes, and what ends them. */
static str filled(size_t n, const char *first, char filler, const char *last)
{
    char *at = malloc(n + 1);
    memset(at, filler, n);
    memcpy(at, first, strlen(first));
    memcpy(at + n - strlen(last), last, strlen(last) + 1);
    return (str){at, n};
}

static void http1_body__refuses_a_long_size_line_before_it_ends(void **state)
{
    enum { LIMIT = HTTP1_MAX_CHUNK_LINE_BYTES };
    static const struct {
        size_t len;
        const char *first, *last;
        int status;
        const char *reason;
        size_t n_bytes; /* after which the verdict falls; 0: all */
    } cases[] = {
        {LIMIT + 4, "0;", "\r\n\r\n", 0, NULL, 0},
        {LIMIT + 5, "0;", "\r\n\r\n", 400, "too long", LIMIT + 2},
        {LIMIT + 9000, "0;", "", 400, "too long", LIMIT + 2},
        {LIMIT + 2, "0;", "", 400, "too long", 0},
        {LIMIT + 1, "0;", "", UNFINISHED, NULL, 0},
        {LIMIT + 1, "0;", "\r", UNFINISHED, NULL, 0},
        {LIMIT + 2, "0;", "\n", 400, "bare LF", 0},
        {LIMIT + 3, "0;", "\n", 400, "too long", LIMIT + 2},
        {LIMIT + 4, "0;a=\"", "\"\r\n\r\n", 0, NULL, 0},
    };
    (void)state;
    for (size_t i = 0; i < N_OF(cases); i++) {
        str bytes = filled(cases[i].len, cases[i].first, 'x', cases[i].last);
        size_t consumed = cases[i].status ? 0 : bytes.len;
        const vector v = {HTTP1_CHUNKED, 0, 0, bytes, consumed, {"", 0}, cases[i].status, cases[i].reason};
        check_in_every_way(&v);
        outcome o = byte_by_byte(&v);
        assert_int_equal(o.n_bytes, cases[i].n_bytes ? cases[i].n_bytes : bytes.len);
        finish(&o);
        free((char *)bytes.at);
    }
}

static void http1_body__refuses_a_long_trailer_section_before_it_ends(void **state)
{
    enum { START = sizeof "0\r\n" - 1, LIMIT = START + HTTP1_MAX_TRAILER_BYTES };
    static const struct {
        size_t len;
        const char *first, *last;
        int status;
        const char *reason;
        size_t consumed;
        size_t n_bytes; /* after which the verdict falls; 0: all */
    } cases[] = {
        {LIMIT, "0\r\na:", "\r\n\r\n", 0, NULL, LIMIT, 0},
        {LIMIT, "0\r\na:b\r\nc:", "\r\nd:e\r\n\r\n", 0, NULL, LIMIT, 0},
        {LIMIT + 1, "0\r\na:", "\r\n\r\n", 431, "too long", LIMIT - 1, LIMIT},
        {LIMIT + 2, "0\r\na:", "\r\n\r\n", 431, "too long", LIMIT, LIMIT},
        {LIMIT + 3, "0\r\na:", "\r\n\r\n", 431, "too long", START, LIMIT},
        {LIMIT + 9000, "0\r\na:b\r\n", "", 431, "too long", START + 5, LIMIT},
        {LIMIT, "0\r\na:", "", 431, "too long", START, 0},
        {LIMIT, "0\r\na:", "\r\n", 431, "too long", LIMIT, 0},
        {LIMIT - 1, "0\r\na:", "", UNFINISHED, NULL, START, 0},
        {LIMIT, "0\r\na:", "\n", 400, "bare LF", START, 0},
        {LIMIT + 1, "0\r\na:", "\n", 431, "too long", START, LIMIT},
    };
    (void)state;
    for (size_t i = 0; i < N_OF(cases); i++) {
        str bytes = filled(cases[i].len, cases[i].first, 'v', cases[i].last);
        const vector v = {HTTP1_CHUNKED, 0, 0, bytes, cases[i].consumed, {"", 0}, cases[i].status, cases[i].reason};
        check_in_every_way(&v);
        outcome o = byte_by_byte(&v);
        assert_int_equal(o.n_bytes, cases[i].n_bytes ? cases[i].n_bytes : bytes.len);
        finish(&o);
        free((char *)bytes.at);
    }
}

static void http1_body__counts_all_trailers_together(void **state)
{
    static char text[3 + HTTP1_MAX_TRAILER_BYTES + 9] = "0\r\n";
    enum { N_LINES = HTTP1_MAX_TRAILER_BYTES / 5 }; /* of 5 bytes; 8192 is 2 more */
    (void)state;
    for (size_t i = 0; i <= N_LINES; i++)
        memcpy(text + 3 + 5 * i, "a:b\r\n", 5);
    memcpy(text + 3 + 5 * N_LINES, "\r\n", 2);
    check_in_every_way(&(const vector){HTTP1_CHUNKED, 0, 0, {text, 3 + 8192}, 3 + 8192, {"", 0}, 0, NULL});
    memcpy(text + 3 + 5 * N_LINES, "a:b\r\n\r\n", 7);
    check_in_every_way(
        &(const vector){HTTP1_CHUNKED, 0, 0, {text, 3 + 8197}, 3 + 5 * N_LINES, {"", 0}, 431, "too long"});
}

/* n chunks of so many bytes, each with an extension of 128 bytes, and the last chunk with one of so many. */
static str chunks_with_extensions(size_t n, int chunk_bytes, int last)
{
    char *at = malloc(n * (150 + (size_t)chunk_bytes) + 64), *end = at;
    for (size_t i = 0; i < n; i++)
        end += sprintf(end, "%x;%0127d\r\n%0*d\r\n", (unsigned)chunk_bytes, 0, chunk_bytes, 0);
    end += sprintf(end, "0;%0*d\r\n\r\n", last - 1, 0);
    return (str){at, (size_t)(end - at)};
}

static void http1_body__refuses_more_extensions_than_the_content_excuses(void **state)
{
    enum { N_FREE = HTTP1_MAX_EXTENSION_BYTES / 128 };
    static const struct {
        size_t n;
        int chunk_bytes, last;
        bool good;
    } cases[] = {
        {N_FREE, 1, N_FREE / 16, true}, {N_FREE, 1, N_FREE / 16 + 1, false}, {N_FREE + 1, 1, 2, false},
        {1000, 128 * 16, 2, true},      {1000, 128 * 8, 2, false},           {2000, 1, 2, false},
    };
    (void)state;
    for (size_t i = 0; i < N_OF(cases); i++) {
        str bytes = chunks_with_extensions(cases[i].n, cases[i].chunk_bytes, cases[i].last);
        outcome o = whole(&(const vector){HTTP1_CHUNKED, 0, SIZE_MAX, bytes, 0, {NULL, 0}, 0, NULL});
        assert_int_equal(o.result, cases[i].good ? HTTP1_BODY_DONE : HTTP1_BODY_BAD);
        if (cases[i].good) {
            assert_int_equal(o.content.len, cases[i].n * (size_t)cases[i].chunk_bytes);
        } else {
            assert_int_equal(o.decoder.status, 400);
            assert_non_null(strstr(o.decoder.reason, "too many"));
            assert_true(o.consumed < 2 * HTTP1_MAX_EXTENSION_BYTES + 2 * o.content.len);
        }
        finish(&o);
        free((char *)bytes.at);
    }
}

/* -------------------------------------------------------------------------------------------------------- behaviour */

/* Time would prove little. Instead no byte of a line is shown more than twice: those that have been searched are line
 * feeds until the line's own end comes, which would be refused if it looked. */
static void check_bytes_shown_twice(str bytes)
{
    const vector v = {HTTP1_CHUNKED, 0, SIZE_MAX, bytes, 0, {NULL, 0}, 0, NULL};
    char *shown = malloc(bytes.len);
    outcome o = start(&v);
    for (size_t n = 1; n <= bytes.len && o.result == HTTP1_BODY_MORE; n++) {
        memset(shown, '\n', n);
        shown[n - 1] = bytes.at[n - 1];
        if (bytes.at[n - 1] == '\n')
            memcpy(shown + o.consumed, bytes.at + o.consumed, n - o.consumed);
        feed(&o, shown + o.consumed, n - o.consumed);
    }
    assert_int_equal(o.result, HTTP1_BODY_DONE);
    assert_same_and_finish(&o, whole(&v));
    finish(&o);
    free(shown);
}

static void http1_body__looks_at_each_byte_a_bounded_number_of_times(void **state)
{
    (void)state;
    check_bytes_shown_twice(STR("5;a=\"b\"\r\nhello\r\n000006\r\nhello\n\r\n0;last\r\na: b\r\nc: d\r\n\r\n"));
    str bytes = filled(HTTP1_MAX_TRAILER_BYTES, "0\r\na:", 'v', "\r\n\r\n");
    check_bytes_shown_twice(bytes);
    free((char *)bytes.at);
}

static void http1_body__gives_each_piece_of_content_once(void **state)
{
    http1_head head = {.body = HTTP1_CHUNKED};
    http1_body_decoder decoder;
    size_t consumed;
    str piece;
    (void)state;
    http1_body_init(&decoder, &head, MAX_BYTES);
    assert_int_equal(http1_body_next(&decoder, "5\r\nhe", 5, &consumed, &piece), HTTP1_BODY_DATA);
    assert_int_equal(consumed, 5);
    assert_true(str_equal(piece, STR("he")));
    assert_int_equal(http1_body_next(&decoder, "llo\r\n3\r\nyou\r\n", 13, &consumed, &piece), HTTP1_BODY_DATA);
    assert_int_equal(consumed, 3);
    assert_true(str_equal(piece, STR("llo")));
    assert_int_equal(http1_body_next(&decoder, "\r\n3\r\nyou\r\n", 10, &consumed, &piece), HTTP1_BODY_DATA);
    assert_int_equal(consumed, 8);
    assert_true(str_equal(piece, STR("you")));
    assert_int_equal(http1_body_next(&decoder, "\r\n", 2, &consumed, &piece), HTTP1_BODY_MORE);
    assert_int_equal(consumed, 2);
    assert_int_equal(decoder.total_bytes, 8);
}

static size_t expect_head(str rest, http1_head *ret_head)
{
    size_t len = 0;
    memset(ret_head, 0, sizeof *ret_head);
    assert_int_equal(http1_head_feed(ret_head, rest.at, rest.len, &len), HTTP1_DONE);
    return len;
}

static void http1_body__leaves_the_next_request_unread(void **state)
{
    static const char text[] = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
                               "5\r\nhello\r\n0\r\na: b\r\n\r\n"
                               "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello"
                               "GET / HTTP/1.1\r\nHost: h\r\n\r\n"
                               "GET /last HTTP/1.1\r\nHost: h\r\n\r\n";
    static const char *contents[] = {"hello", "hello", "", ""};
    str rest = {text, sizeof text - 1};
    (void)state;
    for (size_t i = 0; i < N_OF(contents); i++) {
        http1_head head;
        size_t n = expect_head(rest, &head);
        rest = (str){rest.at + n, rest.len - n};
        vector v = {head.body, head.content_length, MAX_BYTES, rest, 0, {NULL, 0}, 0, NULL};
        outcome o = whole(&v);
        assert_int_equal(o.result, HTTP1_BODY_DONE);
        assert_true(str_equal(o.content, str_from(contents[i])));
        rest = (str){rest.at + o.consumed, rest.len - o.consumed};
        finish(&o);
    }
    assert_int_equal(rest.len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(http1_body__ends_after_its_length),
        cmocka_unit_test(http1_body__puts_chunks_together),
        cmocka_unit_test(http1_body__refuses_sizes_that_can_be_read_two_ways),
        cmocka_unit_test(http1_body__drops_extensions_and_refuses_malformed_ones),
        cmocka_unit_test(http1_body__refuses_chunks_of_another_length_than_their_size),
        cmocka_unit_test(http1_body__drops_trailers_and_refuses_those_that_frame),
        cmocka_unit_test(http1_body__refuses_content_over_the_limit_before_it_comes),
        cmocka_unit_test(http1_body__refuses_at_the_first_byte_that_decides),
        cmocka_unit_test(http1_body__refuses_a_long_size_line_before_it_ends),
        cmocka_unit_test(http1_body__refuses_a_long_trailer_section_before_it_ends),
        cmocka_unit_test(http1_body__counts_all_trailers_together),
        cmocka_unit_test(http1_body__refuses_more_extensions_than_the_content_excuses),
        cmocka_unit_test(http1_body__looks_at_each_byte_a_bounded_number_of_times),
        cmocka_unit_test(http1_body__gives_each_piece_of_content_once),
        cmocka_unit_test(http1_body__leaves_the_next_request_unread),
    };
    return cmocka_run_group_tests_name("http1_body", tests, NULL, NULL);
}
