#include "bench/client.h"
#include "proto/ws_compress.h"

bool bench_can_deflate(void)
{
    return ws_compress_available();
}

static const bench_protocol *listener(bench_via via)
{
    static const bench_protocol *const protocols[] = {
        [BENCH_VIA_WEBSOCKET] = &bench_websocket,
        [BENCH_VIA_SSE] = &bench_sse,
        [BENCH_VIA_STREAM] = &bench_stream,
        [BENCH_VIA_POLL] = &bench_poll,
    };
    return protocols[via];
}

const bench_protocol *bench_protocol_of(const bench_plan *plan)
{
    if (plan->target.wire == BENCH_TCP)
        return &bench_plain;
    if (plan->socketio)
        return &bench_socketio;
    if (plan->target.websocket)
        return &bench_websocket;
    if (plan->mode == BENCH_REQUEST)
        return &bench_http_get;
    if (plan->mode == BENCH_ECHO)
        return &bench_http_post;
    return listener(plan->via);
}
