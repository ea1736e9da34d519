#include "app/call.h"

#include "base/mem.h"
#include <errno.h>

static void call_run(note *n, void *loop_owner)
{
    call *c = CONTAINER(n, call, base);
    worker *w = loop_owner;
    if (c->run(w, c) < 0)
        w->n_undelivered++;
    blob_unref(&w->loop.blocks, c->body);
}

static void call_drop(note *n)
{
    blob_unref(NULL, CONTAINER(n, call, base)->body);
}

static str copy_behind(char **end, str text)
{
    str copy = {*end, text.len};
    if (text.len)
        memcpy(*end, text.at, text.len);
    (*end)[text.len] = '\0';
    *end += text.len + 1;
    return copy;
}

int call_push(inbox *box, const call_spec *spec)
{
    size_t bytes = sizeof(call) + spec->a.len + spec->b.len + 2;
    call *c = mem_new(bytes);
    if (!c) {
        blob_unref(NULL, spec->body);
        return -ENOMEM;
    }
    size_t body_bytes = spec->body ? spec->body->event_len + spec->body->data_len : 0;
    *c = (call){
        .base = {.bytes = bytes + body_bytes, .run = call_run, .drop = call_drop},
        .run = spec->run,
        .id = spec->id,
        .number = spec->number,
        .body = spec->body,
        .user = spec->user,
        .fn = spec->fn,
        .travelled = true,
        .b_given = spec->b.at,
    };
    char *end = (char *)(c + 1);
    c->a = copy_behind(&end, spec->a);
    c->b = copy_behind(&end, spec->b);
    int error = inbox_push(box, &c->base);
    if (error) {
        call_drop(&c->base);
        mem_free(c);
    }
    return error;
}

int call_make(const call_spec *spec)
{
    loop *l = loop_here();
    if (spec->id == 0)
        return WEFT_E_CLOSED;
    if (!l || l->index != handle_loop(spec->id))
        return call_to_handle(spec);
    call here = {.id = spec->id, .number = spec->number, .a = spec->a, .b = spec->b, .b_given = spec->b.at};
    return spec->run(l->owner, &here);
}

int call_to_handle(const call_spec *spec)
{
    return call_push(loop_inbox(handle_loop(spec->id)), spec);
}

void *call_here(uint64_t id, slot_kind kind, int *ret_error)
{
    const worker *w = id ? call_worker(id) : NULL;
    void *value = w ? slots_get(&w->table, id, kind) : NULL;
    if (ret_error)
        *ret_error = value ? 0 : w || !id ? WEFT_E_CLOSED : WEFT_E_THREAD;
    return value;
}

worker *call_worker(uint64_t id)
{
    loop *l = loop_driven(handle_loop(id));
    return l ? l->owner : NULL;
}

worker *call_worker_unstarted(uint64_t id)
{
    loop *l = id ? loop_unstarted(handle_loop(id)) : NULL;
    return l ? l->owner : NULL;
}
