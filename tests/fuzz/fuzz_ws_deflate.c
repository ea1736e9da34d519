/*
 * Sec-WebSocket-Extensions: an offer that is read can be answered, in every way, and its client takes the answer.
 */
#include "proto/ws_deflate.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
    if (!holds)
        abort();
}

static void answer(const ws_deflate_offer *offer, bool own, bool peers)
{
    char text[WS_DEFLATE_FIELD_BYTES];
    ws_deflate agreed = ws_deflate_agree(offer, &(ws_deflate_room){own, peers}), theirs;
    size_t len = ws_deflate_put_answer(offer, &agreed, text);
    check(len <= sizeof text);
    check(agreed.server_bits >= WS_DEFLATE_MIN_BITS && agreed.server_bits <= WS_DEFLATE_MAX_BITS);
    check(ws_deflate_read_answer((str){text, len}, offer, &theirs));
    check(memcmp(&agreed, &theirs, sizeof agreed) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ws_deflate_offer offer, again;
    ws_deflate agreed;
    char text[WS_DEFLATE_FIELD_BYTES], *copy = malloc(size ? size : 1);
    check(copy);
    if (size)
        memcpy(copy, data, size);
    if (ws_deflate_read_offer((str){copy, size}, &offer)) {
        for (int i = 0; i < 4; i++)
            answer(&offer, i & 1, i & 2);
        size_t len = ws_deflate_put_offer(&offer, text);
        check(len <= sizeof text && ws_deflate_read_offer((str){text, len}, &again));
        check(memcmp(&offer, &again, sizeof offer) == 0);
    }
    ws_deflate_read_answer((str){copy, size}, &(ws_deflate_offer){.client_bits_taken = true}, &agreed);
    free(copy);
    return 0;
}
