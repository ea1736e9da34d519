#include "net/networks.h"

#include "base/mem.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>

enum { V4_BITS = 96 }; /* what stands in front of an IPv4 address */

static const uint8_t v4_prefix[12] = {[10] = 0xFF, [11] = 0xFF};

static void set_v4(ip_address *a, const void *v4)
{
    memcpy(a->bytes, v4_prefix, sizeof v4_prefix);
    memcpy(a->bytes + sizeof v4_prefix, v4, 4);
}

bool ip_read(str text, ip_address *ret_address)
{
    char terminated[IP_TEXT_BYTES];
    struct in_addr v4;
    struct in6_addr v6;
    if (!text.len || text.len >= sizeof terminated || memchr(text.at, '\0', text.len))
        return false;
    memcpy(terminated, text.at, text.len);
    terminated[text.len] = '\0';
    if (inet_pton(AF_INET, terminated, &v4) == 1)
        set_v4(ret_address, &v4);
    else if (inet_pton(AF_INET6, terminated, &v6) == 1)
        memcpy(ret_address->bytes, &v6, sizeof v6);
    else
        return false;
    return true;
}

size_t ip_put(const ip_address *a, char ret_text[IP_TEXT_BYTES])
{
    if (ip_is_v4(a))
        inet_ntop(AF_INET, a->bytes + sizeof v4_prefix, ret_text, IP_TEXT_BYTES);
    else
        inet_ntop(AF_INET6, a->bytes, ret_text, IP_TEXT_BYTES);
    return strlen(ret_text);
}

bool ip_of_socket(const struct sockaddr_storage *from, ip_address *ret_address)
{
    if (from->ss_family == AF_INET)
        set_v4(ret_address, &((const struct sockaddr_in *)from)->sin_addr);
    else if (from->ss_family == AF_INET6)
        memcpy(ret_address->bytes, &((const struct sockaddr_in6 *)from)->sin6_addr, sizeof ret_address->bytes);
    else
        return false;
    return true;
}

bool ip_is_v4(const ip_address *a)
{
    return memcmp(a->bytes, v4_prefix, sizeof v4_prefix) == 0;
}

bool ip_is_loopback(const ip_address *a)
{
    static const uint8_t v6[16] = {[15] = 1};
    return (ip_is_v4(a) && a->bytes[12] == IN_LOOPBACKNET) || memcmp(a->bytes, v6, sizeof v6) == 0;
}

bool ip_equal(const ip_address *a, const ip_address *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

/* -------------------------------------------------------------------------------------------------------------- lists */

static bool matches(const network *n, const ip_address *a)
{
    unsigned whole = n->n_bits / 8, rest = n->n_bits % 8;
    if (memcmp(n->base.bytes, a->bytes, whole) != 0)
        return false;
    return !rest || ((n->base.bytes[whole] ^ a->bytes[whole]) >> (8 - rest)) == 0;
}

/* A base with bits that its prefix would ignore is likelier a slip than meant. */
static bool has_bits_behind(const network *n)
{
    for (unsigned bit = n->n_bits; bit < 128; bit++)
        if (n->base.bytes[bit / 8] & 0x80 >> bit % 8)
            return true;
    return false;
}

/* "8" of at most `most`; no sign, no spaces. */
static bool read_prefix(str digits, unsigned most, unsigned *ret_bits)
{
    unsigned bits = 0;
    if (!digits.len || digits.len > 3)
        return false;
    for (size_t i = 0; i < digits.len; i++) {
        if (digits.at[i] < '0' || digits.at[i] > '9')
            return false;
        bits = bits * 10 + (unsigned)(digits.at[i] - '0');
    }
    *ret_bits = bits;
    return bits <= most;
}

static bool read_network(str text, network *ret)
{
    const char *slash = text.len ? memchr(text.at, '/', text.len) : NULL;
    size_t len = slash ? (size_t)(slash - text.at) : text.len;
    unsigned bits;
    if (!ip_read((str){text.at, len}, &ret->base))
        return false;
    bool is_v4 = !memchr(text.at, ':', len);
    bits = is_v4 ? 32 : 128;
    if (slash && !read_prefix((str){slash + 1, text.len - len - 1}, bits, &bits))
        return false;
    ret->n_bits = (uint8_t)(bits + (is_v4 ? V4_BITS : 0));
    return !has_bits_behind(ret);
}

int networks_read(networks *list, const char *const *texts, const char **ret_wrong)
{
    networks read = {0};
    size_t n = 0;
    while (texts && texts[n])
        n++;
    read.at = mem_new(n * sizeof *read.at);
    if (!read.at)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        if (strcmp(texts[i], "unix") == 0) {
            read.has_unix = true;
        } else if (read_network(str_from(texts[i]), &read.at[read.n])) {
            read.n++;
        } else {
            *ret_wrong = texts[i];
            networks_done(&read);
            return WEFT_E_INVALID;
        }
    }
    *list = read;
    return 0;
}

void networks_done(networks *list)
{
    mem_free(list->at);
    *list = (networks){0};
}

bool networks_have(const networks *list, const ip_address *a)
{
    for (size_t i = 0; i < list->n; i++)
        if (matches(&list->at[i], a))
            return true;
    return false;
}
