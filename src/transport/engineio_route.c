#include "base/mem.h"
#include "base/texts.h"
#include "proto/http1.h"
#include "transport/engineio_private.h"
#include <errno.h>

static bool lists(const char *const *list, const char *name)
{
    for (const char *const *one = list; one && *one; one++)
        if (strcmp(*one, name) == 0)
            return true;
    return !list;
}

static bool lists_only_known(const char *const *list)
{
    for (const char *const *one = list; one && *one; one++)
        if (strcmp(*one, "polling") != 0 && strcmp(*one, "websocket") != 0)
            return false;
    return true;
}

const char *engineio_settings_problem(const weft_engineio_settings *settings)
{
    const weft_engineio_cookie *cookie = &settings->cookie;
    if (!lists_only_known(settings->transports))
        return "has a transport that is neither \"polling\" nor \"websocket\"";
    if (settings->transports && !*settings->transports)
        return "has no transport";
    if (cookie->name && !http1_is_token(str_from(cookie->name)))
        return "has a cookie whose name is not a token (RFC 6265 §4.1.1)";
    if (cookie->attributes && !http1_is_value(str_from(cookie->attributes)))
        return "has a cookie whose attributes hold control characters";
    return NULL;
}

static void default_size(size_t *value, size_t fallback)
{
    if (!*value)
        *value = fallback;
}

static void default_ms(uint32_t *value, uint32_t fallback)
{
    if (!*value)
        *value = fallback;
}

static void fill_defaults(weft_engineio_settings *o)
{
    default_ms(&o->ping_interval_ms, 25000);
    default_ms(&o->ping_timeout_ms, 20000);
    default_ms(&o->upgrade_timeout_ms, 10000);
    default_ms(&o->accept_timeout_ms, 10000);
    default_size(&o->max_http_buffer_size, 1000000);
    default_size(&o->max_queued_bytes, 1 << 20);
    default_size(&o->deflate_min_bytes, 1024);
}

/* 0 or -ENOMEM; what was copied is freed by engineio_route_done() in either case. */
static int copy_settings(weft_engineio_settings *o, const weft_engineio_settings *from)
{
    const char *attributes = from->cookie.attributes ? from->cookie.attributes : "Path=/; HttpOnly; SameSite=Lax";
    *o = *from;
    o->transports = o->origins = NULL;
    o->cookie = (weft_engineio_cookie){NULL, NULL};
    fill_defaults(o);
    if (texts_copy(from->transports, &o->transports) || texts_copy(from->origins, &o->origins))
        return -ENOMEM;
    if (!from->cookie.name)
        return 0;
    o->cookie.name = mem_copy_text(from->cookie.name, strlen(from->cookie.name));
    o->cookie.attributes = mem_copy_text(attributes, strlen(attributes));
    return o->cookie.name && o->cookie.attributes ? 0 : -ENOMEM;
}

/* Its own pings would only add to ours. */
static websocket_route *carrier_new(engineio_route *route)
{
    const weft_engineio_settings *o = &route->settings;
    websocket_route *carrier = websocket_route_new(&(weft_websocket_options){
        .origins = o->origins,
        .max_message_bytes = o->max_http_buffer_size,
        .max_queued_bytes = o->max_queued_bytes,
        .ping_interval_ms = WEFT_NEVER,
        .deflate = o->deflate,
        .deflate_min_bytes = o->deflate_min_bytes,
    });
    if (!carrier)
        return NULL;
    carrier->rules.carrier = true;
    carrier->bare_closes = true;
    carrier->attach = engineio_attach;
    carrier->owner = route;
    return carrier;
}

int engineio_route_init(engineio_route *route, const weft_engineio_settings *settings)
{
    if (copy_settings(&route->settings, settings) || !(route->carrier = carrier_new(route))) {
        engineio_route_done(route);
        return -ENOMEM;
    }
    route->polling = lists(route->settings.transports, "polling");
    route->websocket = lists(route->settings.transports, "websocket");
    return 0;
}

void engineio_route_done(engineio_route *route)
{
    weft_engineio_settings *o = &route->settings;
    if (route->carrier)
        websocket_route_free(route->carrier);
    texts_free(o->transports);
    texts_free(o->origins);
    mem_free((char *)(uintptr_t)o->cookie.name);
    mem_free((char *)(uintptr_t)o->cookie.attributes);
    *route = (engineio_route){0};
}
