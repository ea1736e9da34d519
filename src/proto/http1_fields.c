#include "proto/http1.h"
#include "proto/http1_grammar.h"

str http1_find(const http1_head *head, const char *at, const char *name)
{
    str wanted = str_from(name);
    for (size_t i = 0; i < head->n_fields; i++)
        if (str_equal_nocase(http1_name(head, at, i), wanted))
            return http1_value(head, at, i);
    return (str){NULL, 0};
}

size_t http1_count(const http1_head *head, const char *at, const char *name)
{
    str wanted = str_from(name);
    size_t count = 0;
    for (size_t i = 0; i < head->n_fields; i++)
        count += str_equal_nocase(http1_name(head, at, i), wanted);
    return count;
}

static bool list_has(str list, str token)
{
    str element;
    while (http1_list_next(&list, &element))
        if (str_equal_nocase(element, token))
            return true;
    return false;
}

bool http1_has_token(const http1_head *head, const char *at, const char *name, const char *token)
{
    str wanted = str_from(name);
    for (size_t i = 0; i < head->n_fields; i++)
        if (str_equal_nocase(http1_name(head, at, i), wanted) && list_has(http1_value(head, at, i), str_from(token)))
            return true;
    return false;
}

/* Up to the next comma outside a quoted string, in which a backslash takes the byte behind it along (RFC 9110 §5.6.4).
 * A string that does not end reaches to the end of the list. */
static size_t element_len(str list)
{
    bool quoted = false;
    size_t i = 0;
    for (; i < list.len; i++) {
        char c = list.at[i];
        if (c == '"')
            quoted = !quoted;
        else if (c == '\\' && quoted && i + 1 < list.len)
            i++;
        else if (c == ',' && !quoted)
            break;
    }
    return i;
}

bool http1_list_next(str *rest, str *ret_element)
{
    while (rest->len) {
        size_t n = element_len(*rest);
        str element = str_trim((str){rest->at, n});
        size_t taken = n < rest->len ? n + 1 : n;
        *rest = (str){rest->at + taken, rest->len - taken};
        if (element.len) {
            *ret_element = element;
            return true;
        }
    }
    return false;
}

str http1_cookie(str value, str name)
{
    str pair;
    while (str_split(&value, ';', &pair)) {
        pair = str_trim(pair);
        const char *equals = pair.len ? memchr(pair.at, '=', pair.len) : NULL;
        if (!equals)
            continue;
        size_t n = (size_t)(equals - pair.at);
        if (str_equal((str){pair.at, n}, name))
            return (str){equals + 1, pair.len - n - 1};
    }
    return (str){NULL, 0};
}

static const struct {
    int status;
    const char *phrase;
} phrases[] = {
    {100, "Continue"},
    {101, "Switching Protocols"},
    {103, "Early Hints"}, /* RFC 8297 */
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {203, "Non-Authoritative Information"},
    {204, "No Content"},
    {205, "Reset Content"},
    {206, "Partial Content"},
    {300, "Multiple Choices"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {303, "See Other"},
    {304, "Not Modified"},
    {305, "Use Proxy"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {402, "Payment Required"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {407, "Proxy Authentication Required"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {416, "Range Not Satisfiable"},
    {417, "Expectation Failed"},
    {421, "Misdirected Request"},
    {422, "Unprocessable Content"},
    {425, "Too Early"}, /* RFC 8470 */
    {426, "Upgrade Required"},
    {428, "Precondition Required"}, /* RFC 6585, with the next two */
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
};

const char *http1_phrase(int status)
{
    for (size_t i = 0; i < sizeof phrases / sizeof *phrases; i++)
        if (phrases[i].status == status)
            return phrases[i].phrase;
    return "Unknown";
}
