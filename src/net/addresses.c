#include "net/addresses.h"

#include "base/bucket.h"
#include "base/mem.h"
#include <assert.h>
#include <errno.h>
#include <stdio.h>

enum {
    V4_KEY_BYTES = 4,
    V6_KEY_BYTES = 8, /* a /64 */
    CLIENT_BYTES = 64,
    FORGET_AT_ONCE = 4,
};

struct address_use {
    bool is_proxy;
};

/* One address, shared by its connections. */
typedef struct {
    address_use base;
    map_entry entry;
    list_node unused;
    uint8_t key[V6_KEY_BYTES];
    size_t n; /* connections */
    bucket connects;
    uint64_t unused_ms; /* since when n is 0 */
    uint64_t told_ms;   /* 0: the log was never told */
} counted;

/* One connection of a proxy. */
typedef struct {
    address_use base;
    ip_address own;  /* :: for a Unix socket */
    counted *client; /* NULL: nobody is counted */
    char text[CLIENT_BYTES];
} proxy;

static counted *counted_of(const address_use *use)
{
    return CONTAINER((uintptr_t)use, counted, base);
}

static proxy *proxy_of(const address_use *use)
{
    return CONTAINER((uintptr_t)use, proxy, base);
}

/* ------------------------------------------------------------------------------------------------------------ memory */

static void forget(addresses *a, counted *c)
{
    list_remove(&c->unused);
    a->n_unused--;
    map_remove(&a->counted, &c->entry);
    mem_free(c);
}

/* A few at a time, but more than can have been added since: so they do not pile up, and nobody waits for a thousand of them. */
static void forget_old(addresses *a)
{
    list_node *node;
    for (int i = 0; i < FORGET_AT_ONCE && (node = list_first(&a->unused)); i++) {
        counted *oldest = CONTAINER(node, counted, unused);
        if (a->now_ms - oldest->unused_ms < ADDRESSES_KEPT_MS)
            return;
        forget(a, oldest);
    }
}

static void begin(addresses *a, uint64_t now_ms)
{
    pthread_mutex_lock(&a->lock);
    if (now_ms > a->now_ms)
        a->now_ms = now_ms;
}

static void end(addresses *a)
{
    pthread_mutex_unlock(&a->lock);
}

/* It has no connection any more, or never had one. */
static void keep_unused(addresses *a, counted *c)
{
    c->unused_ms = a->now_ms;
    list_append(&a->unused, &c->unused);
    if (++a->n_unused > ADDRESSES_MAX_KEPT)
        forget(a, CONTAINER(list_first(&a->unused), counted, unused));
}

static void begin_use(addresses *a, counted *c)
{
    if (list_linked(&c->unused)) {
        list_remove(&c->unused);
        a->n_unused--;
    }
    c->n++;
}

static void end_use(addresses *a, counted *c)
{
    assert(c->n > 0);
    if (--c->n == 0)
        keep_unused(a, c);
    forget_old(a);
}

int addresses_init(addresses *a)
{
    *a = (addresses){
        .max_connections = ADDRESSES_CONNECTIONS,
        .max_connects_per_s = ADDRESSES_CONNECTS_PER_S,
    };
    list_init(&a->unused);
    int error = map_init(&a->counted);
    return error ? error : -pthread_mutex_init(&a->lock, NULL);
}

void addresses_done(addresses *a)
{
    while (!list_empty(&a->unused))
        forget(a, CONTAINER(list_first(&a->unused), counted, unused));
    assert(a->counted.n_entries == 0);
    map_done(&a->counted);
    networks_done(&a->proxies);
    pthread_mutex_destroy(&a->lock);
}

/* ---------------------------------------------------------------------------------------------------------- counting */

static str key_of(const ip_address *ip)
{
    bool v4 = ip_is_v4(ip);
    return (str){(const char *)ip->bytes + (v4 ? 12 : 0), v4 ? V4_KEY_BYTES : V6_KEY_BYTES};
}

/* The record of an address, made if it is not there; it is among the unused then. NULL: no memory. */
static counted *find(addresses *a, const ip_address *ip)
{
    str key = key_of(ip);
    map_entry *entry = map_get(&a->counted, key);
    if (entry)
        return CONTAINER(entry, counted, entry);
    forget_old(a);
    counted *c = mem_zero(sizeof *c);
    if (!c)
        return NULL;
    memcpy(c->key, key.at, key.len);
    c->entry.key = (str){(const char *)c->key, key.len};
    if (map_put(&a->counted, &c->entry)) {
        mem_free(c);
        return NULL;
    }
    keep_unused(a, c);
    return c;
}

static admission refuse(const addresses *a, counted *c, limit_id limit)
{
    admission result = {WEFT_E_FULL, limit, !c->told_ms || a->now_ms - c->told_ms >= LIMIT_TELL_MS};
    if (result.tell)
        c->told_ms = a->now_ms;
    return result;
}

static bool too_fast(const addresses *a, counted *c)
{
    bucket one_more;
    bucket_leak(&c->connects, a->max_connects_per_s, a->now_ms);
    one_more = c->connects;
    bucket_fill(&one_more, 1);
    if (bucket_wait_ms(&one_more, a->max_connects_per_s))
        return true;
    c->connects = one_more;
    return false;
}

static bool is_exempt(const addresses *a, const ip_address *ip)
{
    return ip_is_loopback(ip) && !a->count_loopback;
}

static admission admit_proxy(const struct sockaddr_storage *from, address_use **ret_use)
{
    proxy *p = mem_zero(sizeof *p);
    if (!p)
        return (admission){.error = -ENOMEM};
    p->base.is_proxy = true;
    ip_of_socket(from, &p->own);
    *ret_use = &p->base;
    return (admission){0};
}

static admission admit_counted(addresses *a, const ip_address *ip, address_use **ret_use)
{
    counted *c = find(a, ip);
    if (!c)
        return (admission){.error = -ENOMEM};
    if (c->n >= a->max_connections)
        return refuse(a, c, LIMIT_ADDRESS_CONNECTIONS);
    if (too_fast(a, c))
        return refuse(a, c, LIMIT_ADDRESS_CONNECTS);
    begin_use(a, c);
    *ret_use = &c->base;
    return (admission){0};
}

admission addresses_admit(addresses *a, uint64_t now_ms, const struct sockaddr_storage *from, address_use **ret_use)
{
    ip_address ip;
    bool has_ip = ip_of_socket(from, &ip);
    *ret_use = NULL;
    if (has_ip ? networks_have(&a->proxies, &ip) : a->proxies.has_unix)
        return admit_proxy(from, ret_use);
    if (!has_ip || is_exempt(a, &ip))
        return (admission){0};
    begin(a, now_ms);
    admission result = admit_counted(a, &ip, ret_use);
    end(a);
    return result;
}

static void leave_counted(addresses *a, uint64_t now_ms, counted *c)
{
    begin(a, now_ms);
    end_use(a, c);
    end(a);
}

void addresses_leave(addresses *a, uint64_t now_ms, address_use *use)
{
    if (!use)
        return;
    if (!use->is_proxy) {
        leave_counted(a, now_ms, counted_of(use));
        return;
    }
    addresses_speak_for_nobody(a, now_ms, use);
    mem_free(proxy_of(use));
}

/* ----------------------------------------------------------------------------------------------------------- proxies */

bool address_use_is_proxy(const address_use *use)
{
    return use && use->is_proxy;
}

const char *address_use_client(const address_use *use)
{
    return address_use_is_proxy(use) ? proxy_of(use)->text : "";
}

static void put_client(const named_client *who, char ret_text[CLIENT_BYTES])
{
    char host[IP_TEXT_BYTES];
    ip_put(&who->ip, host);
    int len = snprintf(ret_text, CLIENT_BYTES, ip_is_v4(&who->ip) ? "%s" : "[%s]", host);
    if (who->port >= 0)
        snprintf(ret_text + len, CLIENT_BYTES - (size_t)len, ":%d", who->port);
}

void addresses_speak_for_nobody(addresses *a, uint64_t now_ms, address_use *use)
{
    proxy *p = proxy_of(use);
    if (p->client)
        leave_counted(a, now_ms, p->client);
    p->client = NULL;
    p->text[0] = '\0';
}

static admission speak_for_counted(addresses *a, const ip_address *ip, proxy *p)
{
    counted *c = find(a, ip);
    if (!c)
        return (admission){.error = -ENOMEM};
    if (c->n >= a->max_connections)
        return refuse(a, c, LIMIT_ADDRESS_CONNECTIONS);
    begin_use(a, c);
    p->client = c;
    return (admission){0};
}

admission addresses_speak_for(addresses *a, uint64_t now_ms, address_use *use, const named_client *who)
{
    proxy *p = proxy_of(use);
    addresses_speak_for_nobody(a, now_ms, use);
    if (who) {
        put_client(who, p->text);
        if (is_exempt(a, &who->ip))
            return (admission){0};
    }
    begin(a, now_ms);
    admission result = speak_for_counted(a, who ? &who->ip : &p->own, p);
    end(a);
    return result;
}
