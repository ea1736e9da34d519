/*
 * A body handed in whole, in two pieces of which the first lay elsewhere, and byte by byte: the same verdict, content
 * and end. What is accepted as chunked must not be read otherwise by anybody: two careless readers, one that ends lines
 * at LF and one that looks for CRLF, agree with it.
 *
 * Input: 'c' for chunked or 'l' for a length (any odd or even byte), two bytes of max_bytes or of that length, then the
 * body.
 */
#include <stdlib.h>

#include "proto/http1_body.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_LENGTH = 0x4000 };

typedef struct {
    http1_body_decoder decoder;
    http1_body_result result;
    size_t consumed;
    size_t len;
    char *content; /* len bytes */
} outcome;

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

static outcome start(const uint8_t *setting, size_t size)
{
    uint64_t number = (uint64_t)setting[1] << 8 | setting[2];
    bool chunked = setting[0] & 1;
    http1_head head = {.body = chunked ? HTTP1_CHUNKED : HTTP1_LENGTH, .content_length = chunked ? 0 : number};
    outcome o = {.content = allocate(size)};
    http1_body_init(&o.decoder, &head, chunked ? number : MAX_LENGTH);
    return o;
}

static void feed(outcome *o, const char *at, size_t len)
{
    do {
        str piece;
        size_t consumed;
        o->result = http1_body_next(&o->decoder, at, len, &consumed, &piece);
        require(consumed <= len);
        if (o->result == HTTP1_BODY_DATA) {
            require(piece.len > 0 && piece.at >= at && piece.at + piece.len <= at + consumed);
            memcpy(o->content + o->len, piece.at, piece.len);
            o->len += piece.len;
        }
        o->consumed += consumed;
        at += consumed;
        len -= consumed;
    } while (o->result == HTTP1_BODY_DATA);
    require(o->result != HTTP1_BODY_MORE || len < HTTP1_MAX_TRAILER_BYTES);
}

static void feed_in_two_pieces(outcome *o, const char *at, size_t len, size_t cut)
{
    char *first = allocate(cut);
    memcpy(first, at, cut);
    feed(o, first, cut);
    memset(first, 0xff, cut);
    free(first);
    if (o->result == HTTP1_BODY_MORE)
        feed(o, at + o->consumed, len - o->consumed);
}

static void feed_byte_by_byte(outcome *o, const char *at, size_t len)
{
    for (size_t n = 0; n <= len && o->result == HTTP1_BODY_MORE; n++)
        feed(o, at + o->consumed, n - o->consumed);
}

static void require_same(const outcome *a, const outcome *b)
{
    require(a->result == b->result && a->consumed == b->consumed && a->len == b->len);
    require(memcmp(a->content, b->content, a->len) == 0);
    require(a->decoder.status == b->decoder.status && a->decoder.reason == b->decoder.reason);
}

static void require_sound(const outcome *o, const char *at)
{
    require(o->decoder.total_bytes == o->len && o->len <= o->decoder.max_bytes);
    require((o->result == HTTP1_BODY_BAD) == (o->decoder.status != 0) && (!o->decoder.status || o->decoder.reason));
    if (o->result == HTTP1_BODY_DONE && o->consumed > o->len)
        require(memcmp(at + o->consumed - 2, "\r\n", 2) == 0);
}

/* The length of a careless reader's next line, with its end. */
static size_t line_len(const char *at, size_t len, const char *line_end)
{
    const char *end = memmem(at, len, line_end, strlen(line_end));
    require(end != NULL);
    return (size_t)(end - at) + strlen(line_end);
}

static void require_read_likewise(const outcome *o, const char *at, const char *line_end)
{
    size_t read = 0, n = 0, size;
    do {
        size = strtoull(at + read, NULL, 16);
        read += line_len(at + read, o->consumed - read, line_end);
        require(size <= o->consumed - read && size <= o->len - n && memcmp(o->content + n, at + read, size) == 0);
        read += size;
        n += size;
        if (size)
            read += line_len(at + read, o->consumed - read, line_end);
    } while (size);
    for (size_t line = 3; line > 2; read += line)
        line = line_len(at + read, o->consumed - read, line_end);
    require(n == o->len && read == o->consumed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3)
        return 0;
    const char *at = (const char *)data + 3;
    size_t len = size - 3;
    outcome once = start(data, len), pieces = start(data, len), bytes = start(data, len);
    feed(&once, at, len);
    feed_in_two_pieces(&pieces, at, len, len ? data[size / 2] % len : 0);
    feed_byte_by_byte(&bytes, at, len);
    require_same(&once, &pieces);
    require_same(&once, &bytes);
    require_sound(&once, at);
    if (once.result == HTTP1_BODY_DONE && data[0] & 1) {
        require_read_likewise(&once, at, "\r\n");
        require_read_likewise(&once, at, "\n");
    }
    free(once.content);
    free(pieces.content);
    free(bytes.content);
    return 0;
}
