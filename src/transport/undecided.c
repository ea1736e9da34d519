#include "transport/undecided.h"

#include "base/mem.h"

static void too_long(timer *t)
{
    exchange *e = CONTAINER(t, undecided, deadline)->exchange;
    exchange_blame(e, LIMIT_ACCEPT_TIMEOUT);
    exchange_refuse(e, 503, STR("nobody decided on this request in time (option: accept_timeout_ms)\n"));
}

void *undecided_new(exchange *e, size_t bytes, const held_ops *ops, uint32_t timeout_ms)
{
    undecided *u = mem_zero(bytes);
    if (!u)
        return NULL;
    u->hub = e->context;
    u->exchange = e;
    loop_arm(u->hub->loop, &u->deadline, timeout_ms, too_long);
    e->held = ops;
    e->held_state = u;
    return u;
}

void undecided_forget(exchange *e)
{
    undecided *u = e->held_state;
    loop_cancel(u->hub->loop, &u->deadline);
    mem_free(u);
}
