#include "proto/ws_handshake.h"

#include "base/base64.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdatomic.h>

#define GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

enum {
    GUID_LEN = sizeof GUID - 1,
    SHA1_BYTES = 20,
};

/* ------------------------------------------------------------------------------------------------- the client's request */

bool ws_handshake_wanted(const http1_head *head, const char *at)
{
    return head->upgrade && http1_has_token(head, at, "Upgrade", "websocket");
}

/* RFC 6455 §4.3: a number up to 255 without leading zeros. */
static bool is_version(str text)
{
    int value = 0;

    if (text.len < 1 || text.len > 3 || (text.len > 1 && text.at[0] == '0'))
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.at[i] < '0' || text.at[i] > '9')
            return false;
        value = value * 10 + (text.at[i] - '0');
    }
    return value <= 255;
}

/* 16 bytes in base64. Clients that draw 22 letters instead of encoding 16 bytes leave unused bits set, which every other server
 * takes, so the padding is replaced by letters before the strict decoder looks. */
static bool is_key(str text)
{
    char letters[WS_KEY_LEN], bytes[WS_KEY_LEN / 4 * 3];

    if (text.len != WS_KEY_LEN || memcmp(text.at + WS_KEY_LEN - 2, "==", 2) != 0)
        return false;
    memcpy(letters, text.at, WS_KEY_LEN - 2);
    memcpy(letters + WS_KEY_LEN - 2, "AA", 2);
    return base64_decode((str){letters, WS_KEY_LEN}, bytes) == sizeof bytes;
}

/* The subprotocols offered so far, for the comparison of each with those before. */
typedef struct {
    size_t n;
    str names[WS_MAX_SUBPROTOCOLS];
} offers;

static const char *add_offer(offers *seen, str name)
{
    if (!http1_is_token(name))
        return "Sec-WebSocket-Protocol is not a list of tokens";
    if (seen->n == WS_MAX_SUBPROTOCOLS)
        return "too many subprotocols";
    for (size_t i = 0; i < seen->n; i++)
        if (str_equal(seen->names[i], name))
            return "a subprotocol is offered twice";
    seen->names[seen->n++] = name;
    return NULL;
}

static bool is_subprotocol_field(const http1_head *head, const char *at, size_t i)
{
    return str_equal_nocase(http1_name(head, at, i), STR("Sec-WebSocket-Protocol"));
}

/* What is wrong with the offered subprotocols (RFC 6455 §4.1, 10.), or NULL. */
static const char *subprotocols_fault(const http1_head *head, const char *at)
{
    offers seen;
    seen.n = 0;

    for (size_t i = 0; i < head->n_fields; i++) {
        if (!is_subprotocol_field(head, at, i))
            continue;
        str rest = http1_value(head, at, i), name;
        size_t n_before = seen.n;
        while (http1_list_next(&rest, &name)) {
            const char *fault = add_offer(&seen, name);
            if (fault)
                return fault;
        }
        if (seen.n == n_before)
            return "Sec-WebSocket-Protocol is empty";
    }
    return NULL;
}

static void refuse(ws_handshake *handshake, int status, const char *reason)
{
    *handshake = (ws_handshake){.status = status, .reason = reason};
}

/* What every handshake must have (RFC 6455 §4.2.1). False when refused. The version comes before the key, since another
 * version need not have one. */
static bool read_required(const http1_head *head, const char *at, ws_handshake *handshake)
{
    str version = http1_find(head, at, "Sec-WebSocket-Version");
    str key = http1_find(head, at, "Sec-WebSocket-Key");

    if (!str_equal(http1_method(head, at), STR("GET")))
        refuse(handshake, 405, "a WebSocket handshake must be a GET");
    else if (head->body == HTTP1_CHUNKED || (head->body == HTTP1_LENGTH && head->content_length))
        refuse(handshake, 400, "a WebSocket handshake has no body");
    else if (!is_version(version) || http1_count(head, at, "Sec-WebSocket-Version") != 1)
        refuse(handshake, 400, "Sec-WebSocket-Version is missing or malformed");
    else if (!str_equal(version, STR("13")))
        refuse(handshake, 426, "only version 13 of WebSocket is spoken here");
    else if (!is_key(key) || http1_count(head, at, "Sec-WebSocket-Key") != 1)
        refuse(handshake, 400, "Sec-WebSocket-Key is missing or malformed");
    else
        *handshake = (ws_handshake){.key = key};
    return handshake->status == 0;
}

void ws_handshake_read(const http1_head *head, const char *at, ws_handshake *ret_handshake)
{
    if (!read_required(head, at, ret_handshake))
        return;
    const char *fault = subprotocols_fault(head, at);
    if (fault) {
        refuse(ret_handshake, 400, fault);
        return;
    }
    ret_handshake->subprotocols = http1_find(head, at, "Sec-WebSocket-Protocol");
    ret_handshake->origin = http1_find(head, at, "Origin");
    ret_handshake->host =
        head->authority_len ? (str){at + head->authority_at, head->authority_len} : http1_find(head, at, "Host");
}

bool ws_subprotocol_offered(const http1_head *head, const char *at, str name)
{
    for (size_t i = 0; i < head->n_fields; i++) {
        if (!is_subprotocol_field(head, at, i))
            continue;
        str rest = http1_value(head, at, i), offered;
        while (http1_list_next(&rest, &offered))
            if (str_equal(offered, name))
                return true;
    }
    return false;
}

/* ----------------------------------------------------------------------------------------------------------- the answer */

/* SHA-1 as OpenSSL's provider implements it, fetched once: a look-up by name for each handshake would cost more than the digest.
 * A failed fetch (no memory) is tried again by the next handshake. NULL when there is none. */
static const EVP_MD *sha1(void)
{
    static _Atomic(EVP_MD *) fetched;
    EVP_MD *known = atomic_load_explicit(&fetched, memory_order_acquire); /* partner: the exchange below */

    if (known)
        return known;
    EVP_MD *mine = EVP_MD_fetch(NULL, "SHA1", NULL);
    if (!mine || atomic_compare_exchange_strong_explicit(&fetched, &known, mine, memory_order_acq_rel,
                                                         memory_order_acquire)) /* partner: the load above */
        return mine;
    EVP_MD_free(mine);
    return known;
}

int ws_accept_value(str key, char ret_value[WS_ACCEPT_LEN])
{
    char text[WS_KEY_LEN + GUID_LEN];
    unsigned char digest[SHA1_BYTES];
    const EVP_MD *md = sha1();

    if (key.len != WS_KEY_LEN || !md)
        return WEFT_E_INVALID;
    memcpy(text, key.at, WS_KEY_LEN);
    memcpy(text + WS_KEY_LEN, GUID, GUID_LEN);
    if (EVP_Digest(text, sizeof text, digest, NULL, md, NULL) != 1)
        return WEFT_E_INVALID;
    base64_encode(digest, sizeof digest, ret_value);
    return 0;
}

void ws_handshake_prepare(void)
{
    char value[WS_ACCEPT_LEN];
    ws_accept_value(STR("dGhlIHNhbXBsZSBub25jZQ=="), value);
}

int ws_put_accepted(buf *out, str key, str subprotocol)
{
    static const char head[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                               "Sec-WebSocket-Accept: ";
    static const char protocol[] = "\r\nSec-WebSocket-Protocol: ";
    char value[WS_ACCEPT_LEN];

    if (subprotocol.len && !http1_is_token(subprotocol))
        return WEFT_E_INVALID;
    int error = ws_accept_value(key, value);
    if (error)
        return error;
    /* With room for all of it none of the appends can fail, so it is all or nothing. */
    error = buf_reserve(out, sizeof head + sizeof value + sizeof protocol + subprotocol.len + 2);
    if (error)
        return error;
    buf_put(out, head, sizeof head - 1);
    buf_put(out, value, sizeof value);
    if (subprotocol.len) {
        buf_put(out, protocol, sizeof protocol - 1);
        buf_put_str(out, subprotocol);
    }
    return buf_put(out, "\r\n", 2);
}

/* ----------------------------------------------------------------------------------------------------------- the origin */

/* Port 0 is none: a scheme without a default port that names none. */
typedef struct {
    str scheme, host;
    int port;
} origin_parts;

static int default_port(str scheme)
{
    if (str_equal_nocase(scheme, STR("http")) || str_equal_nocase(scheme, STR("ws")))
        return 80;
    if (str_equal_nocase(scheme, STR("https")) || str_equal_nocase(scheme, STR("wss")))
        return 443;
    return 0;
}

static bool is_alphanumeric(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Letters, digits and a few others. Nothing that could end the host for a browser (/ ? # \ @) may pass as part of it: the
 * wildcard would take "https://evil.example#.good.example" for a subdomain. */
static bool is_made_of(str text, const char *others)
{
    for (size_t i = 0; i < text.len; i++)
        if (!is_alphanumeric(text.at[i]) && (text.at[i] == '\0' || !strchr(others, text.at[i])))
            return false;
    return text.len > 0;
}

/* The host's length in `host[:port]`, or 0 when there is none. An IPv6 address keeps its brackets. */
static size_t host_length(str authority)
{
    if (authority.len && authority.at[0] == '[') {
        const char *end = memchr(authority.at, ']', authority.len);
        if (!end || !is_made_of((str){authority.at + 1, (size_t)(end - authority.at) - 1}, ":."))
            return 0;
        return (size_t)(end - authority.at) + 1;
    }
    const char *colon = authority.len ? memchr(authority.at, ':', authority.len) : NULL;
    size_t n = colon ? (size_t)(colon - authority.at) : authority.len;
    return is_made_of((str){authority.at, n}, "-._") ? n : 0;
}

/* A port, or the default one for an empty text; -1 when it is none. */
static int read_port(str text, int otherwise)
{
    int port = 0;

    if (text.len == 0)
        return otherwise;
    if (text.len > 5)
        return -1;
    for (size_t i = 0; i < text.len; i++) {
        if (text.at[i] < '0' || text.at[i] > '9')
            return -1;
        port = port * 10 + (text.at[i] - '0');
    }
    return port >= 1 && port <= 65535 ? port : -1;
}

static bool read_authority(str authority, int otherwise, origin_parts *parts)
{
    size_t n = host_length(authority);

    if (n == 0 || (n < authority.len && authority.at[n] != ':'))
        return false;
    size_t colon = n < authority.len;
    parts->host = (str){authority.at, n};
    parts->port = read_port((str){authority.at + n + colon, authority.len - n - colon}, otherwise);
    return parts->port >= 0;
}

/* Splits scheme://rest; false without a scheme. */
static bool split_scheme(str text, str *ret_scheme, str *ret_rest)
{
    const char *colon = text.len ? memchr(text.at, ':', text.len) : NULL;
    size_t n = colon ? (size_t)(colon - text.at) : 0;

    if (n == 0 || text.len - n < 3 || memcmp(colon, "://", 3) != 0)
        return false;
    *ret_scheme = (str){text.at, n};
    *ret_rest = (str){colon + 3, text.len - n - 3};
    return true;
}

/* scheme://host[:port] and nothing more (RFC 6454 §6.2). */
static bool read_origin(str text, origin_parts *parts)
{
    str rest;

    return split_scheme(text, &parts->scheme, &rest) && read_authority(rest, default_port(parts->scheme), parts);
}

static bool is_same_site(str origin, str host)
{
    origin_parts a, b;

    return read_origin(origin, &a) && default_port(a.scheme) && read_authority(host, default_port(a.scheme), &b) &&
           a.port == b.port && str_equal_nocase(a.host, b.host);
}

/* `wanted` stands for any host that ends in it, dot included, with something before. */
static bool is_subdomain(str host, str wanted)
{
    if (host.len <= wanted.len)
        return false;
    return str_equal_nocase((str){host.at + host.len - wanted.len, wanted.len}, wanted);
}

static bool matches(str origin, str entry)
{
    origin_parts page, wanted;
    str scheme, rest;

    if (str_equal(entry, STR("*")) || str_equal_nocase(origin, entry))
        return true;
    if (!read_origin(origin, &page) || !split_scheme(entry, &scheme, &rest))
        return false;
    bool any_subdomain = rest.len > 2 && memcmp(rest.at, "*.", 2) == 0;
    if (any_subdomain)
        rest = (str){rest.at + 1, rest.len - 1};
    if (!read_authority(rest, default_port(scheme), &wanted))
        return false;
    if (!str_equal_nocase(page.scheme, scheme) || page.port != wanted.port)
        return false;
    return any_subdomain ? is_subdomain(page.host, wanted.host) : str_equal_nocase(page.host, wanted.host);
}

bool ws_origin_allowed(str origin, str host, const char *const *allowed)
{
    if (!origin.at)
        return true;
    if (!allowed)
        return is_same_site(origin, host);
    for (; *allowed; allowed++)
        if (matches(origin, str_from(*allowed)))
            return true;
    return false;
}
