#include "app/app.h"

#include <errno.h>

static void apply_size(size_t *limit, size_t option)
{
    if (option)
        *limit = option;
}

static void apply_ms(uint32_t *limit, uint32_t option)
{
    if (option)
        *limit = option;
}

static void read_proxies(weft *app)
{
    const char *wrong;
    int error = networks_read(&app->workers->net.addresses->proxies, app->options.trusted_proxies, &wrong);
    app->options.trusted_proxies = NULL; /* the program's memory */
    if (error == WEFT_E_INVALID)
        app_fail(app, error, "trusted_proxies: \"%s\" is not an address, a network such as 10.0.0.0/8, or unix", wrong);
    else if (error)
        app_fail(app, error, "trusted_proxies: out of memory");
}

static void apply(const weft_options *o, worker *w)
{
    apply_size(&w->net.addresses->max_connections, o->max_address_connections);
    apply_size(&w->net.addresses->max_connects_per_s, o->max_address_connects_per_s);
    apply_ms(&w->net.write_timeout_ms, o->write_timeout_ms);
    apply_ms(&w->http.head_timeout_ms, o->head_timeout_ms);
    apply_ms(&w->http.idle_timeout_ms, o->idle_timeout_ms);
    apply_size(&w->http.min_body_bytes_per_s, o->min_body_bytes_per_s);
    apply_size(&w->hub.max_topics, o->max_topics);
    apply_size(&w->hub.max_sessions, o->max_sessions);
    if (o->max_subscriptions)
        w->hub.max_subscriptions = o->max_subscriptions < UINT16_MAX ? (uint32_t)o->max_subscriptions : UINT16_MAX;
    apply_size(&w->hub.deflate_budget, o->deflate_budget_bytes);
}

void app_apply_limits(weft *app)
{
    for (unsigned i = 0; i < app->n_workers; i++)
        apply(&app->options, &app->workers[i]);
    read_proxies(app);
}
