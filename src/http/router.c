#include "http/router.h"

#include "base/mem.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* The order of specificity. */
typedef enum {
    SEGMENT_WILDCARD,
    SEGMENT_PARAM,
    SEGMENT_LITERAL,
} segment_kind;

/* Takes the next segment, which begins with a slash, off the front. False at the end. */
static bool next_segment(str *rest, str *ret_segment)
{
    if (rest->len == 0)
        return false;
    const char *slash = rest->len > 1 ? memchr(rest->at + 1, '/', rest->len - 1) : NULL;
    size_t n = slash ? (size_t)(slash - rest->at) : rest->len;
    *ret_segment = (str){rest->at + 1, n - 1};
    *rest = (str){rest->at + n, rest->len - n};
    return true;
}

static segment_kind kind_of(str segment)
{
    if (segment.len == 1 && *segment.at == '*')
        return SEGMENT_WILDCARD;
    return segment.len && *segment.at == ':' ? SEGMENT_PARAM : SEGMENT_LITERAL;
}

/* Walks pattern and path together; with a name, stops where that parameter stands. */
static bool match(str pattern, str path, str name, str *ret_value)
{
    str expected, segment;
    while (next_segment(&pattern, &expected)) {
        segment_kind kind = kind_of(expected);
        if (kind == SEGMENT_WILDCARD) {
            if (path.len && str_equal(name, STR("*")))
                *ret_value = (str){path.at + 1, path.len - 1};
            return path.len > 0;
        }
        if (!next_segment(&path, &segment))
            return false;
        if (kind == SEGMENT_PARAM ? segment.len == 0 : !str_equal(expected, segment))
            return false;
        if (kind == SEGMENT_PARAM && str_equal(name, (str){expected.at + 1, expected.len - 1}))
            *ret_value = segment;
    }
    return path.len == 0;
}

/* The order of routes that serve a method on equal patterns: by name, GET's for HEAD, "*". */
static int method_rank(const http_route *r, str method)
{
    str served = str_from(r->spec.method);
    if (str_equal(served, method))
        return 2;
    return str_equal(served, STR("*")) ? 0 : 1;
}

static bool more_specific(const http_route *a, const http_route *b, str method)
{
    str rest_a = str_from(a->spec.pattern), rest_b = str_from(b->spec.pattern), one, other;
    while (next_segment(&rest_a, &one) && next_segment(&rest_b, &other)) {
        if (kind_of(one) != kind_of(other))
            return kind_of(one) > kind_of(other);
    }
    if (!a->spec.port != !b->spec.port)
        return a->spec.port;
    return a->spec.method && method_rank(a, method) > method_rank(b, method);
}

static bool method_served(const http_route *r, str method)
{
    str served = str_from(r->spec.method);
    return str_equal(served, method) || str_equal(served, STR("*")) ||
           (str_equal(served, STR("GET")) && str_equal(method, STR("HEAD")));
}

void router_init(router *r)
{
    r->first = NULL;
    r->end = &r->first;
}

static void spec_free(const route_spec *spec)
{
    mem_free(spec->pattern);
    if (spec->free_user)
        spec->free_user(spec->user);
}

void router_done(router *r)
{
    for (http_route *one = r->first, *next; one; one = next) {
        next = one->next;
        spec_free(&one->spec);
        mem_free(one);
    }
    router_init(r);
}

static int fail(const char **ret_problem, const char *problem)
{
    *ret_problem = problem;
    return WEFT_E_INVALID;
}

int route_parse(const char *pattern, route_spec *ret_spec, const char **ret_problem)
{
    unsigned long port = 0;
    if (!pattern)
        return fail(ret_problem, "is missing");
    if (*pattern == ':') {
        char *end;
        bool digit = pattern[1] >= '0' && pattern[1] <= '9'; /* strtoul() takes spaces and signs too */
        port = strtoul(pattern + 1, &end, 10);
        if (!digit || port == 0 || port > 65535)
            return fail(ret_problem, "has a port that is not a number from 1 to 65535");
        pattern = end;
    }
    if (*pattern != '/')
        return fail(ret_problem, "does not begin with a slash");
    str rest = str_from(pattern), segment;
    while (next_segment(&rest, &segment)) {
        if (segment.len > 1 && memchr(segment.at, '*', segment.len))
            return fail(ret_problem, "has a * inside a segment; it stands for the whole rest of a path");
        if (kind_of(segment) == SEGMENT_WILDCARD && rest.len)
            return fail(ret_problem, "has a * before its end");
        if (kind_of(segment) == SEGMENT_PARAM && segment.len == 1)
            return fail(ret_problem, "has a parameter without a name");
    }
    char *copy = mem_copy_text(pattern, strlen(pattern));
    if (!copy)
        return -ENOMEM;
    ret_spec->pattern = copy;
    ret_spec->port = (uint16_t)port;
    return 0;
}

int router_add(router *r, const route_spec *spec)
{
    http_route *one = mem_new(sizeof *one);
    if (!one) {
        spec_free(spec);
        return -ENOMEM;
    }
    *one = (http_route){.spec = *spec};
    *r->end = one;
    r->end = &one->next;
    return 0;
}

route_match router_find(const router *r, uint16_t port, str method, bool upgrade, str path)
{
    route_match result = {0};
    str ignored;
    for (const http_route *one = r->first; one; one = one->next) {
        if (one->spec.port && one->spec.port != port)
            continue;
        if (!match(str_from(one->spec.pattern), path, (str){NULL, 0}, &ignored))
            continue;
        bool is_upgrade = !one->spec.method;
        if (is_upgrade && !upgrade) {
            result.needs_upgrade = true;
        } else if (!is_upgrade && !method_served(one, method)) {
            result.other_method = true;
        } else if (!result.found || (is_upgrade && result.found->spec.method) ||
                   (is_upgrade == !result.found->spec.method && more_specific(one, result.found, method))) {
            result.found = one;
        }
    }
    return result;
}

static void add_method(char *methods, const char *method)
{
    size_t len = strlen(methods);
    for (const char *at = methods; (at = strstr(at, method)); at++)
        if ((at == methods || at[-1] == ' ') && (at[strlen(method)] == ',' || !at[strlen(method)]))
            return;
    snprintf(methods + len, ROUTER_METHODS_BYTES - len, "%s%s", len ? ", " : "", method);
}

void router_methods(const router *r, uint16_t port, str path, char ret_methods[ROUTER_METHODS_BYTES])
{
    str ignored;
    ret_methods[0] = '\0';
    for (const http_route *one = r->first; one; one = one->next) {
        if (!one->spec.method || (one->spec.port && one->spec.port != port))
            continue;
        if (!match(str_from(one->spec.pattern), path, (str){NULL, 0}, &ignored))
            continue;
        add_method(ret_methods, one->spec.method);
        if (strcmp(one->spec.method, "GET") == 0)
            add_method(ret_methods, "HEAD");
    }
    add_method(ret_methods, "OPTIONS");
}

str route_param(const http_route *r, str path, const char *name)
{
    str value = {NULL, 0};
    match(str_from(r->spec.pattern), path, str_from(name), &value);
    return value;
}
