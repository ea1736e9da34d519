/**
 * SHA-1 (RFC 3174), which RFC 6455 wants for the answer to a WebSocket handshake, and which is no secret's guard there. It is ours because
 * OpenSSL's takes 2 MB of memory for it, and as long as the digest to set itself up.
 */
#ifndef WEFT_BASE_SHA1_H
#define WEFT_BASE_SHA1_H

#include <stddef.h>
#include <stdint.h>

enum { SHA1_BYTES = 20 };

void sha1(const char *at, size_t len, uint8_t ret_digest[SHA1_BYTES]);

#endif
