#include "net/address.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/un.h>

static int fail(const char **ret_problem, const char *problem)
{
    *ret_problem = problem;
    return WEFT_E_INVALID;
}

static int parse_unix(str path, address *ret_address, const char **ret_problem)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    if (path.len == 0)
        return fail(ret_problem, "has no path");
    if (path.len >= sizeof un.sun_path)
        return fail(ret_problem, "has a path of over 107 bytes");
    memcpy(un.sun_path, path.at, path.len);
    memcpy(&ret_address->at, &un, sizeof un);
    ret_address->len = sizeof un;
    ret_address->tls = false;
    return 1;
}

/* "[::1]:80", "host:80", "host" in two. */
static bool split_port(str authority, str otherwise, str *ret_host, str *ret_port)
{
    const char *bracket = authority.len && *authority.at == '[' ? memchr(authority.at, ']', authority.len) : NULL;
    str after = authority;
    if (authority.len && *authority.at == '[') {
        if (!bracket)
            return false;
        *ret_host = (str){authority.at + 1, (size_t)(bracket - authority.at) - 1};
        after = (str){bracket + 1, authority.len - ret_host->len - 2};
        *ret_port = after.len ? (str){after.at + 1, after.len - 1} : otherwise;
        return after.len == 0 || *after.at == ':';
    }
    const char *colon = authority.len ? memchr(authority.at, ':', authority.len) : NULL;
    *ret_host = (str){authority.at, colon ? (size_t)(colon - authority.at) : authority.len};
    *ret_port = colon ? (str){colon + 1, authority.len - ret_host->len - 1} : otherwise;
    return true;
}

static bool valid_port(str port)
{
    unsigned value = 0;
    for (size_t i = 0; i < port.len; i++) {
        if (port.at[i] < '0' || port.at[i] > '9' || i == 5)
            return false;
        value = value * 10 + (unsigned)(port.at[i] - '0');
    }
    return port.len && value <= 65535;
}

static int look_up(str host, str port, address ret_addresses[ADDRESS_MAX], const char **ret_problem)
{
    char host_text[256], port_text[8];
    if (host.len == 0 || host.len >= sizeof host_text)
        return fail(ret_problem, "has no host");
    snprintf(host_text, sizeof host_text, "%.*s", (int)host.len, host.at);
    snprintf(port_text, sizeof port_text, "%.*s", (int)port.len, port.at);

    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV}, *found;
    if (getaddrinfo(host_text, port_text, &hints, &found))
        return fail(ret_problem, "names a host that has no address");
    int n = 0;
    for (const struct addrinfo *one = found; one && n < ADDRESS_MAX; one = one->ai_next, n++) {
        memcpy(&ret_addresses[n].at, one->ai_addr, one->ai_addrlen);
        ret_addresses[n].len = one->ai_addrlen;
    }
    freeaddrinfo(found);
    return n;
}

static bool take_prefix(str *s, str prefix)
{
    if (!str_begins_nocase(*s, prefix))
        return false;
    *s = (str){s->at + prefix.len, s->len - prefix.len};
    return true;
}

int address_parse(const char *url, address ret_addresses[ADDRESS_MAX], const char **ret_problem)
{
    str rest = str_from(url), host, port;
    if (take_prefix(&rest, STR("unix:")))
        return parse_unix(rest, &ret_addresses[0], ret_problem);
    bool tls = take_prefix(&rest, STR("https://"));
    if (!tls && !take_prefix(&rest, STR("http://")))
        return fail(ret_problem, "does not begin with http://, https:// or unix:");
    if (rest.len && rest.at[rest.len - 1] == '/')
        rest.len--;
    if (rest.len && memchr(rest.at, '/', rest.len))
        return fail(ret_problem, "has a path; only a host and a port belong there");
    if (!split_port(rest, tls ? STR("443") : STR("80"), &host, &port))
        return fail(ret_problem, "has a malformed IPv6 address");
    if (!valid_port(port))
        return fail(ret_problem, "has a port that is not a number from 0 to 65535");
    int n = look_up(host, port, ret_addresses, ret_problem);
    for (int i = 0; i < n; i++)
        ret_addresses[i].tls = tls;
    return n;
}

uint16_t address_port(const address *a)
{
    if (a->at.ss_family == AF_INET)
        return ntohs(((const struct sockaddr_in *)&a->at)->sin_port);
    if (a->at.ss_family == AF_INET6)
        return ntohs(((const struct sockaddr_in6 *)&a->at)->sin6_port);
    return 0;
}

void address_set_port(address *a, uint16_t port)
{
    if (a->at.ss_family == AF_INET)
        ((struct sockaddr_in *)&a->at)->sin_port = htons(port);
    else if (a->at.ss_family == AF_INET6)
        ((struct sockaddr_in6 *)&a->at)->sin6_port = htons(port);
}

bool address_is_loopback(const address *a)
{
    if (a->at.ss_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)&a->at)->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
    return a->at.ss_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)&a->at)->sin6_addr);
}

void address_url(const address *a, char ret_url[ADDRESS_URL_BYTES])
{
    char host[INET6_ADDRSTRLEN] = "";
    unsigned port = address_port(a);
    const char *scheme = a->tls ? "https" : "http";
    if (a->at.ss_family == AF_INET) {
        inet_ntop(AF_INET, &((const struct sockaddr_in *)&a->at)->sin_addr, host, sizeof host);
        snprintf(ret_url, ADDRESS_URL_BYTES, "%s://%s:%u", scheme, host, port);
    } else if (a->at.ss_family == AF_INET6) {
        inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)&a->at)->sin6_addr, host, sizeof host);
        snprintf(ret_url, ADDRESS_URL_BYTES, "%s://[%s]:%u", scheme, host, port);
    } else {
        snprintf(ret_url, ADDRESS_URL_BYTES, "unix:%s", ((const struct sockaddr_un *)&a->at)->sun_path);
    }
}
