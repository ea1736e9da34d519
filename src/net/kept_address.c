#include "net/kept_address.h"

#include "base/mem.h"
#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>
#include <string.h>

static_assert(sizeof(uintptr_t) == 8, "an address of IPv4 and a port stand in a pointer's place");

enum { IS_PACKED = 1, HAS_PORT = 2, HOST_AT = 2, PORT_AT = 34 };

static size_t put_packed(uintptr_t bits, char ret_text[KEPT_ADDRESS_BYTES])
{
    char host[INET_ADDRSTRLEN];
    struct in_addr ip = {htonl((uint32_t)(bits >> HOST_AT))};
    inet_ntop(AF_INET, &ip, host, sizeof host);
    int len = bits & HAS_PORT ? snprintf(ret_text, KEPT_ADDRESS_BYTES, "%s:%u", host, (unsigned)(bits >> PORT_AT))
                              : snprintf(ret_text, KEPT_ADDRESS_BYTES, "%s", host);
    return (size_t)len;
}

/* 0 unless it comes out again as it was. */
static uintptr_t pack(str text)
{
    char host[KEPT_ADDRESS_BYTES], again[KEPT_ADDRESS_BYTES];
    unsigned port = 0;
    struct in_addr ip;
    str_put(host, text);
    host[text.len] = '\0';
    char *colon = strchr(host, ':');
    if (colon) {
        *colon = '\0';
        for (const char *digit = colon + 1; *digit && port <= UINT16_MAX; digit++)
            port = port * 10 + (unsigned)(*digit - '0');
    }
    if (port > UINT16_MAX || inet_pton(AF_INET, host, &ip) != 1)
        return 0;
    uintptr_t bits =
        IS_PACKED | (colon ? HAS_PORT : 0) | (uintptr_t)ntohl(ip.s_addr) << HOST_AT | (uintptr_t)port << PORT_AT;
    return str_equal((str){again, put_packed(bits, again)}, text) ? bits : 0;
}

kept_address kept_address_new(str text)
{
    uintptr_t bits = text.len < KEPT_ADDRESS_BYTES ? pack(text) : 0;
    if (!bits && text.len && text.len < KEPT_ADDRESS_BYTES)
        bits = (uintptr_t)mem_copy_text(text.at, text.len);
    return (kept_address){bits};
}

void kept_address_free(kept_address kept)
{
    if (!(kept.bits & IS_PACKED))
        mem_free((void *)kept.bits);
}

size_t kept_address_put(kept_address kept, char ret_text[KEPT_ADDRESS_BYTES])
{
    if (kept.bits & IS_PACKED)
        return put_packed(kept.bits, ret_text);
    if (!kept.bits)
        return 0;
    size_t len = strlen((const char *)kept.bits);
    memcpy(ret_text, (const char *)kept.bits, len + 1);
    return len;
}
