/**
 * IP addresses as numbers, and lists of networks that they may lie in. IPv4 is kept as IPv6 has it (::ffff:10.0.0.1), so that both forms of one
 * address are the same.
 */
#ifndef WEFT_NET_NETWORKS_H
#define WEFT_NET_NETWORKS_H

#include "base/str.h"
#include <sys/socket.h>

typedef struct {
    uint8_t bytes[16];
} ip_address;

enum { IP_TEXT_BYTES = 48 };

/** Reads `10.0.0.1` or `2001:db8::1`, without a port, a zone or brackets. */
bool ip_read(str text, ip_address *ret_address);

/** As text, IPv6 without brackets, NUL-terminated; the length. */
size_t ip_put(const ip_address *a, char ret_text[IP_TEXT_BYTES]);

/** That of a socket; false for a Unix socket. */
bool ip_of_socket(const struct sockaddr_storage *from, ip_address *ret_address);

bool ip_is_v4(const ip_address *a);

/** True for 127.0.0.0/8 and ::1. */
bool ip_is_loopback(const ip_address *a);

bool ip_equal(const ip_address *a, const ip_address *b);

typedef struct {
    ip_address base;
    uint8_t n_bits; /* of 128 */
} network;

/** Zeroed is empty. */
typedef struct {
    network *at;
    size_t n;
    bool has_unix; /* Unix sockets are meant too */
} networks;

/** Reads a NULL-terminated list (NULL: empty) of `10.0.0.1`, `10.0.0.0/8`, `2001:db8::/32` and `unix`. 0; WEFT_E_INVALID with *ret_wrong, the text that is
 * none of them (also one with bits behind its prefix); or -ENOMEM. */
int networks_read(networks *list, const char *const *texts, const char **ret_wrong);
void networks_done(networks *list);

bool networks_have(const networks *list, const ip_address *a);

#endif
