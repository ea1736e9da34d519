#include "proto/engineio.h"

#include "base/base64.h"

#include <stdio.h>

/* Of either alphabet of RFC 4648; -1 for what is of neither. */
static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' || c == '-' ? 62 : c == '/' || c == '_' ? 63 : -1;
}

/**
 * Decodes in place, as leniently as Node does, which clients rely on: the Java client wraps its lines, others leave the padding away. What is in neither alphabet is
 * passed over, the first `=` ends it, bits that are no whole byte are dropped.
 */
static str decode_base64(char *text, size_t len)
{
    uint32_t bits = 0;
    unsigned n_bits = 0;
    size_t n = 0;
    for (size_t i = 0; i < len && text[i] != '='; i++) {
        int value = base64_value(text[i]);
        if (value < 0)
            continue;
        bits = bits << 6 | (unsigned)value;
        n_bits += 6;
        if (n_bits < 8)
            continue;
        n_bits -= 8;
        text[n++] = (char)(bits >> n_bits);
    }
    return (str){text, n};
}

bool engineio_read(str text, engineio_packet *ret)
{
    if (text.len == 0)
        return false;
    str data = {text.at + 1, text.len - 1};
    if (text.at[0] == 'b') {
        str bytes = decode_base64((char *)(uintptr_t)data.at, data.len); /* which are the caller's */
        *ret = (engineio_packet){ENGINEIO_MESSAGE, .binary = true, .data = bytes};
        return true;
    }
    if (text.at[0] < '0' || text.at[0] > '6')
        return false;
    *ret = (engineio_packet){(engineio_type)(text.at[0] - '0'), .data = data};
    return true;
}

/** Takes all up to the next separator, which is left, or to the end. */
static str take_piece(engineio_payload *payload)
{
    const char *separator = payload->len ? memchr(payload->at, ENGINEIO_SEPARATOR, payload->len) : NULL;
    str piece = {payload->at, separator ? (size_t)(separator - payload->at) : payload->len};
    payload->at += piece.len;
    payload->len -= piece.len;
    return piece;
}

/** What is bad once stays so: begun anew with nothing, which is no payload. */
static engineio_status give_up(engineio_payload *payload)
{
    *payload = (engineio_payload){.at = payload->at};
    return ENGINEIO_BAD;
}

engineio_status engineio_next(engineio_payload *payload, engineio_packet *ret)
{
    if (payload->begun) {
        if (payload->len == 0)
            return ENGINEIO_END;
        payload->at++; /* the separator */
        payload->len--;
    }
    payload->begun = true;
    return engineio_read(take_piece(payload), ret) ? ENGINEIO_PACKET : give_up(payload);
}

size_t engineio_payload_len(bool binary, size_t data_len)
{
    return 1 + (binary ? base64_encoded_len(data_len) : data_len);
}

size_t engineio_payload_put(char *at, bool binary, str data)
{
    *at = binary ? 'b' : '0' + ENGINEIO_MESSAGE;
    if (binary)
        base64_encode(data.at, data.len, at + 1);
    else if (data.len)
        memcpy(at + 1, data.at, data.len);
    return engineio_payload_len(binary, data.len);
}

size_t engineio_handshake_put(const engineio_handshake *handshake, char ret_text[ENGINEIO_HANDSHAKE_BYTES])
{
    return (size_t)snprintf(
        ret_text, ENGINEIO_HANDSHAKE_BYTES,
        "0{\"sid\":\"%.*s\",\"upgrades\":[%s],\"pingInterval\":%u,\"pingTimeout\":%u,\"maxPayload\":%zu}",
        (int)handshake->sid.len, handshake->sid.at, handshake->may_upgrade ? "\"websocket\"" : "",
        handshake->ping_interval_ms, handshake->ping_timeout_ms, handshake->max_payload);
}
