#include "http/forwarded.h"

#include "proto/forwarded.h"

/* What one of the fields has told so far, from its front to where it is read. */
typedef struct {
    const networks *proxies;
    bool present, known, secure, told_secure;
    named_client client;
} story;

/* 0 to 65535. */
static bool read_port(str text, int *ret_port)
{
    int port = 0;
    if (!text.len || text.len > 5)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.at[i] < '0' || text.at[i] > '9')
            return false;
        port = port * 10 + (text.at[i] - '0');
    }
    *ret_port = port;
    return port <= 65535;
}

/* "[::1]" or "[::1]:80" */
static bool read_bracketed(str text, named_client *ret)
{
    const char *end = memchr(text.at, ']', text.len);
    if (!end || !ip_read((str){text.at + 1, (size_t)(end - text.at) - 1}, &ret->ip))
        return false;
    str after = {end + 1, text.len - (size_t)(end - text.at) - 1};
    return !after.len || (*after.at == ':' && read_port((str){after.at + 1, after.len - 1}, &ret->port));
}

/* An address, with a port or without: 192.0.2.1:80, and IPv6 in brackets or bare. */
static bool read_client(str text, named_client *ret)
{
    *ret = (named_client){.port = -1};
    if (text.len && *text.at == '[')
        return read_bracketed(text, ret);
    const char *colon = text.len ? memchr(text.at, ':', text.len) : NULL;
    bool is_bare = !colon || memchr(colon + 1, ':', text.len - (size_t)(colon - text.at) - 1);
    if (is_bare)
        return ip_read(text, &ret->ip);
    size_t host_len = (size_t)(colon - text.at);
    return ip_read((str){text.at, host_len}, &ret->ip) &&
           read_port((str){colon + 1, text.len - host_len - 1}, &ret->port);
}

/* The next proxy's word. A trusted address behind a client's changes nothing: it is a proxy on that client's way. */
static void hear(story *s, str client, str proto)
{
    named_client heard;
    bool readable = read_client(client, &heard);
    if (readable && s->known && networks_have(s->proxies, &heard.ip))
        return;
    s->known = readable;
    s->client = heard;
    s->told_secure = proto.at;
    s->secure = str_equal_nocase(proto, STR("https"));
}

static bool is_named(const http1_head *head, const char *at, size_t i, str name)
{
    return str_equal_nocase(http1_name(head, at, i), name);
}

/* Fields of one name are one list (RFC 9110 §5.3). */
static story read_standard(const http1_head *head, const char *at, const networks *proxies)
{
    story s = {.proxies = proxies};
    forwarded_element element;
    for (size_t i = 0; i < head->n_fields; i++) {
        if (!is_named(head, at, i, STR("Forwarded")))
            continue;
        s.present = true;
        str rest = http1_value(head, at, i);
        int more;
        while ((more = forwarded_next(&rest, &element)) > 0)
            hear(&s, element.client, element.proto);
        if (more < 0)
            return (story){.present = true};
    }
    return s;
}

/* Up to the next comma. Quotes mean nothing here: a client that opens one would hide what its proxy says behind it. */
static bool next_plain(str *rest, str *ret_element)
{
    if (!rest->at)
        return false;
    const char *comma = rest->len ? memchr(rest->at, ',', rest->len) : NULL;
    size_t len = comma ? (size_t)(comma - rest->at) : rest->len;
    *ret_element = str_trim((str){rest->at, len});
    *rest = comma ? (str){comma + 1, rest->len - len - 1} : (str){NULL, 0};
    return true;
}

/* The last element of all fields of that name. */
static str last_of(const http1_head *head, const char *at, str name)
{
    str last = {NULL, 0}, element;
    for (size_t i = 0; i < head->n_fields; i++) {
        if (!is_named(head, at, i, name))
            continue;
        str rest = http1_value(head, at, i);
        while (next_plain(&rest, &element))
            last = element;
    }
    return last;
}

static story read_customary(const http1_head *head, const char *at, const networks *proxies)
{
    story s = {.proxies = proxies};
    str element, proto = last_of(head, at, STR("X-Forwarded-Proto"));
    for (size_t i = 0; i < head->n_fields; i++) {
        if (!is_named(head, at, i, STR("X-Forwarded-For")))
            continue;
        s.present = true;
        str rest = http1_value(head, at, i);
        while (next_plain(&rest, &element))
            hear(&s, element, (str){NULL, 0});
    }
    s.told_secure = proto.at;
    s.secure = str_equal_nocase(proto, STR("https"));
    return s;
}

static bool same_client(const story *a, const story *b)
{
    return a->known == b->known && (!a->known || ip_equal(&a->client.ip, &b->client.ip));
}

forwarded forwarded_read(const http1_head *head, const char *at, const networks *proxies)
{
    story standard = read_standard(head, at, proxies), customary = read_customary(head, at, proxies);
    const story *told = standard.present ? &standard : &customary;
    forwarded result = {.known = told->known, .client = told->client};
    if (standard.present && customary.present && !same_client(&standard, &customary))
        result = (forwarded){.contradicts = true};
    result.secure = (standard.secure || !standard.told_secure) && (customary.secure || !customary.told_secure) &&
                    (standard.secure || customary.secure);
    return result;
}
