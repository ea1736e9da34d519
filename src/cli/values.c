#include "values.h"

#include "options.h"
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
    MAX_TOPIC = 255,
    MAX_UNIX_PATH = 107, /* sun_path with its NUL */
};

/* ------------------------------------------------------------------------------------------------------------- numbers */

/* Digits, and what stands behind them. */
static bool read_digits(const char *text, uint64_t *ret_number, const char **ret_rest)
{
    char *end;
    if (!isdigit((unsigned char)*text))
        return false;
    errno = 0;
    *ret_number = strtoull(text, &end, 10);
    *ret_rest = end;
    return errno == 0;
}

typedef struct {
    const char *name;
    uint64_t factor;
} unit;

/* Digits and one of the units, of which the last one has no name. */
static bool read_with_unit(const char *text, const unit *units, uint64_t *ret_number)
{
    uint64_t number;
    const char *rest;
    if (!read_digits(text, &number, &rest))
        return false;
    while (*units->name && strcasecmp(units->name, rest) != 0)
        units++;
    if (strcasecmp(units->name, rest) != 0 || number > UINT64_MAX / units->factor)
        return false;
    *ret_number = number * units->factor;
    return true;
}

bool read_count(const char *text, uint64_t *ret_count)
{
    static const unit units[] = {{"", 1}};
    return read_with_unit(text, units, ret_count);
}

bool read_bytes(const char *text, uint64_t *ret_bytes)
{
    static const unit units[] = {{"k", 1 << 10}, {"M", 1 << 20}, {"G", 1 << 30}, {"", 1}};
    return read_with_unit(text, units, ret_bytes);
}

bool read_duration_ms(const char *text, uint64_t *ret_ms)
{
    static const unit units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}, {"", 1000}};
    return read_with_unit(text, units, ret_ms);
}

/* --------------------------------------------------------------------------------------------------------------- texts */

/* Bytes of the character of UTF-8 that the text begins with; 0 when it begins with none, or with a control character. */
static size_t character_bytes(const unsigned char *at)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    if (at[0] < 0x80)
        return at[0] >= 0x20 && at[0] != 0x7F;
    size_t n = at[0] < 0xC0 || at[0] > 0xF7 ? 0 : at[0] < 0xE0 ? 2 : at[0] < 0xF0 ? 3 : 4;
    uint32_t character = n ? at[0] & (0x7Fu >> n) : 0;
    for (size_t i = 1; i < n; i++) {
        if ((at[i] & 0xC0) != 0x80)
            return 0;
        character = character << 6 | (at[i] & 0x3F);
    }
    bool sound = character >= least[n] && character <= 0x10FFFF && (character < 0xD800 || character > 0xDFFF);
    return sound && character >= 0xA0 ? n : 0;
}

bool is_plain_text(const char *text, size_t most)
{
    const unsigned char *at = (const unsigned char *)text;
    size_t len = strlen(text), n = 1;
    while (*at && n) {
        n = character_bytes(at);
        at += n;
    }
    return n && len > 0 && len <= most;
}

bool is_topic(const char *text)
{
    return is_plain_text(text, MAX_TOPIC);
}

bool is_socketio_path(const char *text)
{
    size_t len = strlen(text);
    if (strcmp(text, "on") == 0 || strcmp(text, "off") == 0)
        return true;
    return is_plain_text(text, MAX_TOPIC) && text[0] == '/' && text[len - 1] == '/' && !strpbrk(text, ":*?#%") &&
           !strstr(text, "//");
}

bool is_namespace(const char *text)
{
    return text[0] == '/' && is_plain_text(text, MAX_TOPIC);
}

static size_t count_stars(const char *at, size_t len)
{
    size_t n = 0;
    for (size_t i = 0; i < len; i++)
        n += at[i] == '*';
    return n;
}

bool is_bridge(const char *text)
{
    char namespace[MAX_TOPIC + 1];
    const char *equals = strchr(text, '=');
    size_t len = equals ? (size_t)(equals - text) : 0;
    if (len == 0 || len >= sizeof namespace)
        return false;
    memcpy(namespace, text, len);
    namespace[len] = '\0';
    size_t n_stars = count_stars(text, len);
    return is_namespace(namespace) && is_topic(equals + 1) && n_stars <= 1 &&
           n_stars == count_stars(equals + 1, strlen(equals + 1));
}

/* A name or an address: what a URL has between "//" and a port. */
static bool is_host_name(const char *at, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (!isalnum((unsigned char)at[i]) && !strchr("-._", at[i]))
            return false;
    return len > 0 && len < 254;
}

static bool is_ipv6(const char *at, size_t len)
{
    char text[INET6_ADDRSTRLEN];
    struct in6_addr address;
    if (len >= sizeof text)
        return false;
    memcpy(text, at, len);
    text[len] = '\0';
    return inet_pton(AF_INET6, text, &address) == 1;
}

bool is_host(const char *text)
{
    size_t len = strlen(text);
    bool bracketed = len > 2 && text[0] == '[' && text[len - 1] == ']';
    return strcmp(text, "*") == 0 || (bracketed ? is_ipv6(text + 1, len - 2) : is_host_name(text, len));
}

/* "/8" of so many bytes, or nothing for all of their bits. */
static bool read_prefix(const char *text, unsigned n_bytes, unsigned *ret_bits)
{
    uint64_t bits = 8 * n_bytes;
    if (*text && (*text != '/' || strlen(text) > 4 || !read_count(text + 1, &bits) || bits > 8 * n_bytes))
        return false;
    *ret_bits = (unsigned)bits;
    return true;
}

bool is_network(const char *text)
{
    char host[INET6_ADDRSTRLEN];
    unsigned char bytes[16];
    size_t len = strcspn(text, "/");
    bool is_v4 = !memchr(text, ':', len);
    unsigned n_bytes = is_v4 ? 4 : 16, bit;
    if (strcmp(text, "unix") == 0)
        return true;
    if (len >= sizeof host)
        return false;
    memcpy(host, text, len);
    host[len] = '\0';
    if (inet_pton(is_v4 ? AF_INET : AF_INET6, host, bytes) != 1 || !read_prefix(text + len, n_bytes, &bit))
        return false;
    while (bit < 8 * n_bytes && !(bytes[bit / 8] & 0x80 >> bit % 8))
        bit++;
    return bit == 8 * n_bytes;
}

bool is_key(const char *text)
{
    size_t len = 0;
    while (text[len] > 0x20 && text[len] < 0x7F)
        len++;
    return len > 0 && len <= 1024 && !text[len];
}

/* ----------------------------------------------------------------------------------------------------------- addresses */

/* Length of the host, with its brackets, that the text begins with; 0 when it does not. */
static size_t host_length(const char *text)
{
    if (*text != '[') {
        size_t len = strcspn(text, ":");
        return is_host_name(text, len) ? len : 0;
    }
    size_t inside = strcspn(text + 1, "]");
    return text[1 + inside] == ']' && is_ipv6(text + 1, inside) ? inside + 2 : 0;
}

static bool is_port(const char *text)
{
    return strlen(text) <= 5 && read_number(text, 65535) >= 0;
}

/* "host:port", or "host" alone when that may be. */
static bool is_authority(const char *text, bool port_needed)
{
    size_t host = host_length(text);
    if (host && text[host] == ':')
        return is_port(text + host + 1);
    return host && !text[host] && !port_needed;
}

bool is_origin(const char *text)
{
    const char *host = strstr(text, "://");
    if (strcmp(text, "*") == 0)
        return true;
    if (!host || host == text || !isalpha((unsigned char)*text))
        return false;
    for (const char *at = text; at < host; at++)
        if (!isalnum((unsigned char)*at) && !strchr("+-.", *at))
            return false;
    host += strlen("://");
    return is_authority(strncmp(host, "*.", 2) == 0 ? host + 2 : host, false);
}

static bool is_https(const char *url)
{
    return strncasecmp(url, "https://", strlen("https://")) == 0;
}

static bool complete_http(const char *text, bool port_needed, char ret_url[ADDRESS_BYTES])
{
    bool tls = is_https(text), plain = strncasecmp(text, "http://", strlen("http://")) == 0;
    text += tls ? strlen("https://") : plain ? strlen("http://") : 0;
    char authority[ADDRESS_BYTES];
    size_t len = strlen(text);
    if (len && !port_needed && text[len - 1] == '/')
        len--;
    if (len >= sizeof authority)
        return false;
    memcpy(authority, text, len);
    authority[len] = '\0';
    if (!is_authority(authority, port_needed))
        return false;
    bool has_port = authority[host_length(authority)] == ':';
    snprintf(ret_url, ADDRESS_BYTES, "%s://%.280s%s", tls ? "https" : "http", authority,
             has_port ? ""
             : tls    ? ":443"
                      : ":80");
    return true;
}

bool complete_address(const char *text, char ret_url[ADDRESS_BYTES])
{
    size_t path = strlen("unix:");
    if (strncasecmp(text, "unix:", path) == 0) {
        if (!is_plain_text(text + path, MAX_UNIX_PATH))
            return false;
        snprintf(ret_url, ADDRESS_BYTES, "unix:%s", text + path);
        return true;
    }
    if (is_https(text) || strncasecmp(text, "http://", strlen("http://")) == 0)
        return complete_http(text, false, ret_url);
    const char *port = *text == ':' ? text + 1 : text;
    if (!is_port(port))
        return complete_http(text, true, ret_url);
    snprintf(ret_url, ADDRESS_BYTES, "http://127.0.0.1:%s", port);
    return true;
}

void split_address(const char *url, char ret_host[ADDRESS_BYTES], char ret_port[8])
{
    const char *host = strstr(url, "://") + strlen("://"), *port = strrchr(host, ':');
    bool bracketed = *host == '[';
    int len = (int)(port - host) - (bracketed ? 2 : 0);
    snprintf(ret_host, ADDRESS_BYTES, "%.*s", len, bracketed ? host + 1 : host);
    snprintf(ret_port, 8, "%s", port + 1);
}

bool is_local_address(const char *url)
{
    char host[ADDRESS_BYTES], port[8];
    struct in_addr v4;
    struct in6_addr v6;
    if (strncmp(url, "unix:", strlen("unix:")) == 0)
        return true;
    split_address(url, host, port);
    if (inet_pton(AF_INET, host, &v4) == 1)
        return ntohl(v4.s_addr) >> 24 == IN_LOOPBACKNET;
    if (inet_pton(AF_INET6, host, &v6) == 1)
        return IN6_IS_ADDR_LOOPBACK(&v6);
    return strcasecmp(host, "localhost") == 0;
}
