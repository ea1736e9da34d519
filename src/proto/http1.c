#include "proto/http1.h"

#include <assert.h>

#include "proto/http1_grammar.h"

/* What the fields have said so far, in head->seen. */
enum {
    SEEN_HOST = 1,
    SEEN_CLOSE = 2,
    SEEN_KEEP_ALIVE = 4,
    SEEN_UPGRADE = 8,
};

static bool refuse(http1_head *head, uint16_t status, const char *reason)
{
    head->status = status;
    head->reason = reason;
    return false;
}

static uint16_t offset(const char *at, const char *inside)
{
    return (uint16_t)(inside - at);
}

/* ---------------------------------------------------------------------------------------------------- request line */

/* HTTP-name "/" DIGIT "." DIGIT, case-sensitive (RFC 9112 §2.3). A higher minor version is served as the highest we
 * know (RFC 9110 §2.5): it may not change how a message is framed. */
static bool read_version(http1_head *head, str version)
{
    if (version.len != 8 || memcmp(version.at, "HTTP/", 5) != 0 || !http1_is(version.at[5], HTTP1_DIGIT) ||
        version.at[6] != '.' || !http1_is(version.at[7], HTTP1_DIGIT))
        return refuse(head, 400, "request line does not end in an HTTP version");
    if (version.at[5] != '1')
        return refuse(head, 505, "HTTP version is not 1.x");
    head->minor = version.at[7] != '0';
    return true;
}

/* path-abempty [ "?" query ] up to the end of the target. Escapes in the query are its reader's business. */
static bool read_path(http1_head *head, const char *at, str rest)
{
    size_t n = http1_span_escaped(rest, HTTP1_PATH);
    head->path_at = offset(at, rest.at);
    head->path_len = (uint16_t)n;
    if (n < rest.len && rest.at[n] == '?') {
        str query = {rest.at + n + 1, rest.len - n - 1};
        head->query_at = offset(at, query.at);
        head->query_len = (uint16_t)query.len;
        n += 1 + http1_span(query, HTTP1_QUERY);
    }
    return n == rest.len || refuse(head, 400, "target has a byte or an escape that a URI cannot have");
}

/* scheme "://" authority path-abempty [ "?" query ] (RFC 9112 §3.2.2). User information, which RFC 9110 §4.2.4 calls
 * an error, fails as an authority. */
static bool read_absolute(http1_head *head, const char *at, str target)
{
    static const str schemes[] = {{"http", 4}, {"https", 5}, {"ws", 2}, {"wss", 3}};
    const char *colon = memchr(target.at, ':', target.len);
    str scheme = {target.at, colon ? (size_t)(colon - target.at) : 0};
    bool known = false;
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++)
        known |= str_equal_nocase(scheme, schemes[i]);
    str rest = {target.at + scheme.len, target.len - scheme.len};
    if (!known || rest.len < 3 || memcmp(rest.at, "://", 3) != 0)
        return refuse(head, 400, "target has none of the forms that HTTP knows");

    rest = (str){rest.at + 3, rest.len - 3};
    size_t n = 0;
    while (n < rest.len && rest.at[n] != '/' && rest.at[n] != '?')
        n++;
    if (!http1_is_authority((str){rest.at, n}, false))
        return refuse(head, 400, "target has no valid host");
    head->authority_at = offset(at, rest.at);
    head->authority_len = (uint16_t)n;
    return read_path(head, at, (str){rest.at + n, rest.len - n});
}

/* The four forms of RFC 9112 §3.2. */
static bool read_target(http1_head *head, const char *at, str target)
{
    str method = http1_method(head, at);
    if (str_equal(method, STR("CONNECT"))) {
        /* An empty port must be refused (RFC 9110 §9.3.6). */
        if (!http1_is_authority(target, true))
            return refuse(head, 400, "target of CONNECT is not host:port");
        head->authority_at = head->target_at;
        head->authority_len = head->target_len;
        return true;
    }
    if (target.len && target.at[0] == '/')
        return read_path(head, at, target);
    if (str_equal(target, STR("*"))) {
        head->path_at = head->target_at;
        head->path_len = head->target_len;
        return str_equal(method, STR("OPTIONS")) || refuse(head, 400, "target * is for OPTIONS only");
    }
    return read_absolute(head, at, target);
}

/* method SP request-target SP HTTP-version (RFC 9112 §3), with exactly these spaces. The version is looked at before
 * the target, so that HTTP/2's preface ("PRI * HTTP/2.0") gets the 505 that tells what is wrong. */
static bool read_request_line(http1_head *head, const char *at, str line)
{
    size_t n = http1_span(line, HTTP1_TCHAR);
    if (n == line.len || line.at[n] != ' ')
        return refuse(head, 400, "request line does not begin with a method and a space");
    str rest = {line.at + n + 1, line.len - n - 1};
    head->method_at = offset(at, line.at);
    head->method_len = (uint16_t)n;

    str target;
    str_split(&rest, ' ', &target);
    head->target_at = offset(at, target.at);
    head->target_len = (uint16_t)target.len;
    head->has_line = true;
    return read_version(head, rest) && read_target(head, at, target);
}

/* ---------------------------------------------------------------------------------------------------------- fields */

static bool read_host(http1_head *head, str value)
{
    if (head->seen & SEEN_HOST)
        return refuse(head, 400, "Host is repeated"); /* RFC 9112 §3.2 */
    head->seen |= SEEN_HOST;
    return http1_is_authority(value, false) || refuse(head, 400, "Host is not a valid host[:port]");
}

/* A repeated length is refused even when both say the same: RFC 9112 §6.3 allows that, and nobody honest sends it. */
static bool read_content_length(http1_head *head, str value)
{
    if (head->body == HTTP1_CHUNKED)
        return refuse(head, 400, "Content-Length with Transfer-Encoding");
    if (head->body == HTTP1_LENGTH)
        return refuse(head, 400, "Content-Length is repeated");
    if (value.len == 0 || http1_span(value, HTTP1_DIGIT) != value.len)
        return refuse(head, 400, "Content-Length is not one decimal number");
    uint64_t length = 0;
    for (size_t i = 0; i < value.len; i++) {
        uint64_t digit = (uint64_t)(value.at[i] - '0');
        if (length > (INT64_MAX - digit) / 10)
            return refuse(head, 400, "Content-Length is beyond 63 bits");
        length = length * 10 + digit;
    }
    head->body = HTTP1_LENGTH;
    head->content_length = length;
    return true;
}

/* `chunked` alone and once (RFC 9112 §6.1, §7.1): we know no other coding, so anything in front of it is 501 and
 * anything behind it, parameters and empty elements too, is a message whose end two readers may see in two places. */
static bool read_transfer_encoding(http1_head *head, str value)
{
    if (head->minor == 0)
        return refuse(head, 400, "Transfer-Encoding in HTTP/1.0");
    if (head->body == HTTP1_LENGTH)
        return refuse(head, 400, "Content-Length with Transfer-Encoding");
    if (head->body == HTTP1_CHUNKED)
        return refuse(head, 400, "Transfer-Encoding goes on after chunked");
    if (str_equal_nocase(value, STR("chunked"))) {
        head->body = HTTP1_CHUNKED;
        return true;
    }
    size_t n = http1_span(value, HTTP1_TCHAR);
    str rest = str_trim((str){value.at + n, value.len - n});
    if (n == 0 || (rest.len && rest.at[0] != ',' && rest.at[0] != ';') ||
        str_equal_nocase((str){value.at, n}, STR("chunked")))
        return refuse(head, 400, "Transfer-Encoding is malformed or goes on after chunked");
    return refuse(head, 501, "Transfer-Encoding names a coding that is not known");
}

static bool read_connection(http1_head *head, str value)
{
    str option;
    while (http1_list_next(&value, &option)) {
        if (str_equal_nocase(option, STR("close")))
            head->seen |= SEEN_CLOSE;
        else if (str_equal_nocase(option, STR("keep-alive")))
            head->seen |= SEEN_KEEP_ALIVE;
        else if (str_equal_nocase(option, STR("upgrade")))
            head->seen |= SEEN_UPGRADE;
    }
    return true;
}

static bool read_expect(http1_head *head, str value)
{
    str expectation;
    while (http1_list_next(&value, &expectation)) {
        if (!str_equal_nocase(expectation, STR("100-continue")))
            return refuse(head, 417, "Expect is not 100-continue");
        head->expect_continue = head->minor > 0; /* ignored in 1.0, RFC 9110 §10.1.1 */
    }
    return true;
}

/* The fields that decide where the message ends and what becomes of the connection. The length tells most others
 * apart. */
static bool read_known_field(http1_head *head, str name, str value)
{
    switch (name.len) {
    case 4:
        return !str_equal_nocase(name, STR("host")) || read_host(head, value);
    case 6:
        return !str_equal_nocase(name, STR("expect")) || read_expect(head, value);
    case 10:
        return !str_equal_nocase(name, STR("connection")) || read_connection(head, value);
    case 14:
        return !str_equal_nocase(name, STR("content-length")) || read_content_length(head, value);
    case 17:
        return !str_equal_nocase(name, STR("transfer-encoding")) || read_transfer_encoding(head, value);
    default:
        return true;
    }
}

/* Why a line is no field when its first n bytes are token characters and no colon follows. */
static const char *name_fault(str line, size_t n)
{
    if (n == line.len)
        return "field line without a colon";
    bool space = line.at[n] == ' ' || line.at[n] == '\t';
    if (n == 0 && space)
        return "field line begins with white space";
    if (space)
        return "white space in or after a field name";
    return n == 0 && line.at[n] == ':' ? "field name is empty" : "field name has a byte that no token has";
}

/* field-name ":" OWS field-value OWS (RFC 9112 §5). A folded line begins with white space, so it has no name and is
 * refused (§5.2), as is white space before the colon (§5.1). */
static bool read_field(http1_head *head, const char *at, str line)
{
    size_t n = http1_span(line, HTTP1_TCHAR);
    if (n == 0 || n == line.len || line.at[n] != ':')
        return refuse(head, 400, name_fault(line, n));
    str name = {line.at, n};
    str value = str_trim((str){line.at + n + 1, line.len - n - 1});
    if (!http1_is_value(value))
        return refuse(head, 400, "field value has a bare CR or another control character");
    if (head->n_fields == HTTP1_MAX_FIELDS)
        return refuse(head, 431, "too many fields");
    head->fields[head->n_fields++] = (http1_field){
        .name_at = offset(at, name.at),
        .name_len = (uint16_t)name.len,
        .value_at = offset(at, value.at),
        .value_len = (uint16_t)value.len,
    };
    return read_known_field(head, name, value);
}

/* ----------------------------------------------------------------------------------------------------------- lines */

/* Skips the one empty line that RFC 9112 §2.2 forgives and looks at the first byte behind it. True when that byte is
 * there and can begin a method: whoever speaks TLS or another protocol to us hears so without having to send a whole
 * line. */
static bool read_start(http1_head *head, const char *at, size_t len)
{
    if (head->line_at == 0 && len > 0 && at[0] == '\r') {
        if (len == 1)
            return false;
        if (at[1] != '\n')
            return refuse(head, 400, "line begins with a bare CR");
        head->scanned = head->line_at = 2;
    }
    if (len <= head->line_at)
        return false;
    return http1_is(at[head->line_at], HTTP1_TCHAR) || refuse(head, 400, "first byte cannot begin a method");
}

/* The n bytes of the request line that are known, with its CR if that is among them. */
static bool is_too_long(const char *line, size_t n)
{
    return n > HTTP1_MAX_LINE_BYTES && !(n == HTTP1_MAX_LINE_BYTES + 1 && line[HTTP1_MAX_LINE_BYTES] == '\r');
}

/* The next line without its CRLF; false when it is not complete, or refused. The limits are asked before anything else
 * and of lines that have not ended too, so that the verdict does not depend on the pieces. `end` is the length or the
 * limit. */
static bool next_line(http1_head *head, const char *at, size_t end, str *ret_line)
{
    const char *line = at + head->line_at;
    const char *lf = memchr(at + head->scanned, '\n', end - head->scanned);
    const char *known = lf ? lf : at + end;
    size_t n = (size_t)(known - line);

    if (!head->has_line && is_too_long(line, n))
        return refuse(head, 414, "request line is too long");
    if (!lf && end == HTTP1_MAX_HEAD_BYTES)
        return refuse(head, 431, "head is too long");
    head->scanned = (uint32_t)(known - at);
    if (!lf)
        return false;
    if (n == 0 || line[n - 1] != '\r')
        return refuse(head, 400, "line ends in a bare LF");
    head->line_at = ++head->scanned;
    *ret_line = (str){line, n - 1};
    return true;
}

/* Behind the empty line: what all fields together say. */
static bool conclude(http1_head *head)
{
    if (head->minor > 0 && !(head->seen & SEEN_HOST))
        return refuse(head, 400, "Host is missing"); /* RFC 9112 §3.2 */
    head->keep_alive = !(head->seen & SEEN_CLOSE) && (head->minor > 0 || head->seen & SEEN_KEEP_ALIVE);
    head->upgrade = head->minor > 0 && head->seen & SEEN_UPGRADE;
    return true;
}

http1_result http1_head_feed(http1_head *head, const char *at, size_t len, size_t *ret_len)
{
    assert(head->status == 0 && len >= head->scanned);
    size_t end = len < HTTP1_MAX_HEAD_BYTES ? len : HTTP1_MAX_HEAD_BYTES;
    if (!head->has_line && !read_start(head, at, len))
        return head->status ? HTTP1_BAD : HTTP1_MORE;

    str line;
    while (next_line(head, at, end, &line)) {
        if (line.len == 0) {
            if (!conclude(head))
                return HTTP1_BAD;
            *ret_len = head->line_at;
            return HTTP1_DONE;
        }
        if (!(head->has_line ? read_field(head, at, line) : read_request_line(head, at, line)))
            return HTTP1_BAD;
    }
    return head->status ? HTTP1_BAD : HTTP1_MORE;
}
