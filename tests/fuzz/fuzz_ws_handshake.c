/*
 * The WebSocket handshake: a request head as it comes from the network, read, judged and answered.
 */
#include "proto/ws_handshake.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
    if (!holds)
        abort();
}

static bool inside(str view, const char *at, size_t len)
{
    return !view.at || (view.at >= at && view.at + view.len <= at + len);
}

static void check_refused(const ws_handshake *handshake)
{
    check(handshake->status == 400 || handshake->status == 405 || handshake->status == 426);
    check(handshake->reason && !handshake->key.at && !handshake->subprotocols.at);
}

static void check_accepted(const http1_head *head, const char *at, const ws_handshake *handshake)
{
    str offered = handshake->subprotocols, name = {NULL, 0};
    buf out = {0};
    if (offered.at) {
        check(http1_list_next(&offered, &name));
        check(ws_subprotocol_offered(head, at, name));
    }
    check(ws_put_accepted(&out, handshake->key, name) == 0);
    check(out.len > 2 && memcmp(out.at + out.len - 2, "\r\n", 2) == 0);
    buf_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const allowed[] = {"https://*.a.example", "http://[::1]:8080", "null", NULL};
    const char *at = (const char *)data;
    static http1_head head;
    size_t len = 0;
    head = (http1_head){0};
    if (http1_head_feed(&head, at, size, &len) != HTTP1_DONE)
        return 0;
    ws_handshake handshake;
    ws_handshake_wanted(&head, at);
    ws_handshake_read(&head, at, &handshake);
    if (handshake.status) {
        check_refused(&handshake);
        return 0;
    }
    check(handshake.key.len == WS_KEY_LEN);
    check(inside(handshake.key, at, len) && inside(handshake.subprotocols, at, len));
    check(inside(handshake.origin, at, len) && inside(handshake.host, at, len));
    check_accepted(&head, at, &handshake);
    ws_origin_allowed(handshake.origin, handshake.host, NULL);
    ws_origin_allowed(handshake.origin, handshake.host, allowed);
    return 0;
}
