/**
 * Addresses to listen on, read from URLs: http://HOST:PORT, https://HOST:PORT and unix:PATH.
 */
#ifndef WEFT_NET_ADDRESS_H
#define WEFT_NET_ADDRESS_H

#include "base/str.h"
#include <sys/socket.h>

enum {
    ADDRESS_MAX = 8,         /* addresses that one name may have */
    ADDRESS_URL_BYTES = 192, /* room for address_url() */
};

typedef struct {
    struct sockaddr_storage at;
    socklen_t len;
    bool tls; /* https */
} address;

/**
 * Reads a URL into 1 to ADDRESS_MAX addresses (a name such as localhost may have several); the number of them. A port that is not given is
 * 80, or 443.
 * WEFT_E_INVALID with *ret_problem, a static half-sentence: "has no host".
 */
int address_parse(const char *url, address ret_addresses[ADDRESS_MAX], const char **ret_problem);

/** The port of an IPv4 or IPv6 address, 0 for others. */
uint16_t address_port(const address *a);
void address_set_port(address *a, uint16_t port);

/** True for 127.0.0.0/8 and ::1. */
bool address_is_loopback(const address *a);

/** As a URL, NUL-terminated: `http://127.0.0.1:3000`, `https://[::1]:3000`, `unix:/run/weft.sock`. */
void address_url(const address *a, char ret_url[ADDRESS_URL_BYTES]);

#endif
