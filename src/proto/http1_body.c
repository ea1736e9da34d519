#include "proto/http1_body.h"

#include <assert.h>

#include "proto/http1_grammar.h"

enum { MAX_SIZE_DIGITS = 16 }; /* what 64 bits hold; leading zeros count too */

/* What the next byte of input belongs to. */
enum {
    LENGTH,    /* content, the rest of the Content-Length */
    SIZE,      /* a chunk's size line */
    CHUNK,     /* content, the rest of a chunk */
    CHUNK_END, /* the CRLF behind it */
    TRAILER,   /* a line of the trailer section */
    END,       /* the next request */
    FAILED,    /* nobody knows */
};

static bool refuse(http1_body_decoder *decoder, uint16_t status, const char *reason)
{
    decoder->state = FAILED;
    decoder->status = status;
    decoder->reason = reason;
    return false;
}

static void drop(str *from, size_t n)
{
    *from = (str){from->at + n, from->len - n};
}

/* ----------------------------------------------------------------------------------------------------------- lines */

/* Takes the next line off the input, without its CRLF; false when it is not complete, or refused. It may be so many
 * bytes long, CRLF included. A line feed ends it whatever stands around it, as an obsolete reader would see it: within
 * a quoted string too. */
static bool take_line(http1_body_decoder *decoder, str *in, size_t max_bytes, str *ret_line)
{
    assert(in->len >= decoder->line_scanned);
    size_t end = in->len < max_bytes ? in->len : max_bytes;
    size_t n_new = end - decoder->line_scanned;
    const char *lf = n_new ? memchr(in->at + decoder->line_scanned, '\n', n_new) : NULL;
    decoder->line_scanned = (uint16_t)end;
    if (!lf && end == max_bytes)
        return decoder->state == TRAILER ? refuse(decoder, 431, "trailer section is too long")
                                         : refuse(decoder, 400, "chunk size and extensions are too long");
    if (!lf)
        return false;

    decoder->line_scanned = 0;
    size_t n = (size_t)(lf - in->at);
    if (n == 0 || in->at[n - 1] != '\r')
        return refuse(decoder, 400, "line ends in a bare LF");
    *ret_line = (str){in->at, n - 1};
    drop(in, n + 1);
    return true;
}

/* ---------------------------------------------------------------------------------------------------------- chunks */

/* The bytes of a quoted string at the front (RFC 9110 §5.6.4); 0 when there is none. Its characters have been checked,
 * so a backslash may take any along. */
static size_t quoted_len(str s)
{
    if (s.len == 0 || s.at[0] != '"')
        return 0;
    for (size_t i = 1; i < s.len; i++) {
        if (s.at[i] == '"')
            return i + 1;
        if (s.at[i] == '\\')
            i++;
    }
    return 0;
}

/* True for *( ";" token [ "=" ( token / quoted-string ) ] ) (RFC 9112 §7.1.1). */
static bool are_extensions(str s)
{
    while (s.len && s.at[0] == ';') {
        drop(&s, 1);
        size_t n = http1_span(s, HTTP1_TCHAR);
        if (n == 0)
            return false;
        drop(&s, n);
        if (s.len == 0 || s.at[0] != '=')
            continue;
        drop(&s, 1);
        n = http1_span(s, HTTP1_TCHAR);
        n = n ? n : quoted_len(s);
        if (n == 0)
            return false;
        drop(&s, n);
    }
    return s.len == 0;
}

static bool check_extensions(http1_body_decoder *decoder, str extensions)
{
    if (!http1_is_value(extensions))
        return refuse(decoder, 400, "control character behind a chunk size");
    if (!are_extensions(extensions))
        return refuse(decoder, 400, "what follows a chunk size is no extension");
    decoder->extension_bytes += extensions.len;
    return decoder->extension_bytes <= HTTP1_MAX_EXTENSION_BYTES + decoder->total_bytes / 16 ||
           refuse(decoder, 400, "chunk extensions are too many for so little content");
}

/* The digits at the front of a size line become *ret_size and go. */
static bool take_size(http1_body_decoder *decoder, str *line, uint64_t *ret_size)
{
    uint64_t size = 0;
    size_t n = 0;
    for (int digit; n < line->len && (digit = http1_hex(line->at[n])) >= 0; n++) {
        if (n == MAX_SIZE_DIGITS)
            return refuse(decoder, 400, "chunk size has too many digits");
        size = size << 4 | (uint64_t)digit;
    }
    if (n == 0)
        return refuse(decoder, 400, "chunk size does not begin with a hexadecimal digit");
    drop(line, n);
    *ret_size = size;
    return true;
}

static bool read_size(http1_body_decoder *decoder, str *in)
{
    str rest = *in, line;
    uint64_t size;
    if (!take_line(decoder, &rest, HTTP1_MAX_CHUNK_LINE_BYTES + 2, &line) || !take_size(decoder, &line, &size) ||
        !check_extensions(decoder, line))
        return false;
    if (size > decoder->max_bytes - decoder->total_bytes)
        return refuse(decoder, 413, "body is too large");
    decoder->left = size;
    decoder->state = size ? CHUNK : TRAILER;
    *in = rest;
    return true;
}

/* Looked at byte for byte, not as a line: whatever else stands here was meant as content by somebody. */
static bool read_chunk_end(http1_body_decoder *decoder, str *in)
{
    for (size_t i = 0; i < 2; i++) {
        if (i == in->len)
            return false;
        if (in->at[i] != "\r\n"[i])
            return refuse(decoder, 400, "chunk data is not followed by CRLF");
    }
    decoder->state = SIZE;
    drop(in, 2);
    return true;
}

/* -------------------------------------------------------------------------------------------------------- trailers */

static bool frames_or_routes(str name)
{
    static const str names[] = {{"content-length", 14}, {"transfer-encoding", 17}, {"host", 4}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (str_equal_nocase(name, names[i]))
            return true;
    return false;
}

/* field-name ":" OWS field-value OWS (RFC 9112 §5). White space before the name (obs-fold) or the colon is refused, as
 * in a head. */
static bool check_trailer(http1_body_decoder *decoder, str line)
{
    size_t n = http1_span(line, HTTP1_TCHAR);
    if (n == 0 || n == line.len || line.at[n] != ':')
        return refuse(decoder, 400, "trailer is no field");
    if (!http1_is_value((str){line.at + n + 1, line.len - n - 1}))
        return refuse(decoder, 400, "trailer has a bare CR or another control character");
    return !frames_or_routes((str){line.at, n}) || refuse(decoder, 400, "trailer frames or routes");
}

static bool read_trailer(http1_body_decoder *decoder, str *in)
{
    str rest = *in, line;
    if (!take_line(decoder, &rest, HTTP1_MAX_TRAILER_BYTES - (size_t)decoder->trailer_bytes, &line))
        return false;
    if (line.len == 0)
        decoder->state = END;
    else if (!check_trailer(decoder, line))
        return false;
    decoder->trailer_bytes += (uint16_t)(in->len - rest.len);
    *in = rest;
    return true;
}

/* ------------------------------------------------------------------------------------------------------------ body */

void http1_body_init(http1_body_decoder *decoder, const http1_head *head, uint64_t max_bytes)
{
    *decoder = (http1_body_decoder){.left = head->content_length, .max_bytes = max_bytes, .state = END};
    if (head->body == HTTP1_CHUNKED)
        decoder->state = SIZE;
    else if (head->content_length > max_bytes)
        refuse(decoder, 413, "body is too large");
    else if (head->content_length)
        decoder->state = LENGTH;
}

/* One step over bytes that are no content; false when what follows is content or the end, is not complete, or is
 * refused. */
static bool read_framing(http1_body_decoder *decoder, str *in)
{
    switch (decoder->state) {
    case SIZE:
        return read_size(decoder, in);
    case CHUNK_END:
        return read_chunk_end(decoder, in);
    case TRAILER:
        return read_trailer(decoder, in);
    default:
        return false;
    }
}

static str take_content(http1_body_decoder *decoder, str *in)
{
    str piece = {in->at, decoder->left < in->len ? (size_t)decoder->left : in->len};
    drop(in, piece.len);
    decoder->total_bytes += piece.len;
    decoder->left -= piece.len;
    if (decoder->left == 0)
        decoder->state = decoder->state == CHUNK ? CHUNK_END : END;
    return piece;
}

http1_body_result http1_body_next(http1_body_decoder *decoder, const char *at, size_t len, size_t *ret_consumed,
                                  str *ret_piece)
{
    str in = {at, len};
    while (read_framing(decoder, &in))
        ;
    bool content = decoder->left && in.len && decoder->state != FAILED;
    if (content)
        *ret_piece = take_content(decoder, &in);
    *ret_consumed = len - in.len;
    if (content)
        return HTTP1_BODY_DATA;
    if (decoder->state == FAILED)
        return HTTP1_BODY_BAD;
    return decoder->state == END ? HTTP1_BODY_DONE : HTTP1_BODY_MORE;
}
