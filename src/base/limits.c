#include "base/limits.h"

const char *limit_name(limit_id id)
{
    static const char *const names[N_LIMITS] = {
        [LIMIT_ADDRESS_CONNECTIONS] = "max_address_connections",
        [LIMIT_ADDRESS_CONNECTS] = "max_address_connects_per_s",
        [LIMIT_DESCRIPTORS] = "ulimit -n",
        [LIMIT_WRITE_TIMEOUT] = "write_timeout_ms",
        [LIMIT_PROXIES] = "trusted_proxies",
        [LIMIT_HEAD_TIMEOUT] = "head_timeout_ms",
        [LIMIT_IDLE_TIMEOUT] = "idle_timeout_ms",
        [LIMIT_LINE_BYTES] = "request line",
        [LIMIT_HEAD_BYTES] = "request head",
        [LIMIT_BODY_BYTES] = "max_body_bytes",
        [LIMIT_BODY_RATE] = "min_body_bytes_per_s",
        [LIMIT_UNSENT_BYTES] = "unsent answers",
        [LIMIT_ACCEPT_TIMEOUT] = "accept_timeout_ms",
        [LIMIT_HOSTS] = "hosts",
        [LIMIT_ORIGINS] = "origins",
        [LIMIT_KEY] = "publish_key",
        [LIMIT_ACCESS] = "subscribe, publish",
        [LIMIT_MESSAGE_BYTES] = "max_message_bytes",
        [LIMIT_FRAGMENTS] = "fragments",
        [LIMIT_REPLY_BYTES] = "unsent pongs",
        [LIMIT_QUEUED_BYTES] = "max_queued_bytes",
        [LIMIT_MESSAGE_RATE] = "max_messages_per_s",
        [LIMIT_BYTE_RATE] = "max_bytes_per_s",
        [LIMIT_PING_TIMEOUT] = "ping_timeout_ms",
        [LIMIT_CLOSE_TIMEOUT] = "close_timeout_ms",
        [LIMIT_DEFLATE_BUDGET] = "deflate_budget_bytes",
        [LIMIT_TOPICS] = "max_topics",
        [LIMIT_SUBSCRIPTIONS] = "max_subscriptions",
        [LIMIT_RING] = "ring_messages, ring_bytes",
        [LIMIT_SESSIONS] = "max_sessions",
    };
    return names[id];
}

const char *limit_count(limits *l, limit_id id)
{
    l->n[id]++;
    return limit_name(id);
}

bool limit_tell(limits *l, limit_id id, uint64_t now_ms)
{
    if (l->told_ms[id] && now_ms - l->told_ms[id] < LIMIT_TELL_MS)
        return false;
    l->told_ms[id] = now_ms;
    return true;
}
