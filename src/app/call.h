/**
 * Calls that may come from any thread: on the loop they are made at once, elsewhere they travel through its inbox.
 */
#ifndef WEFT_APP_CALL_H
#define WEFT_APP_CALL_H

#include "app/app.h"

typedef struct call call;

/** A call on its way: a handle, a number and two texts. `run` is on the loop of a worker and returns the call's result. */
struct call {
    note base;
    int (*run)(worker *w, const call *c);
    uint64_t id;
    int number;
    blob *body; /* a message; the call holds a reference until it is run or dropped */
    void *user;
    void (*fn)(weft *app, void *user);
    str a, b;       /* copied behind the call; NUL-terminated */
    bool travelled; /* through an inbox: its caller was told 0 */
    bool b_given;   /* b was not NULL */
};

/** What a call consists of; the texts are copied. Takes the blob, on failure too. */
typedef struct {
    int (*run)(worker *w, const call *c);
    uint64_t id;
    int number;
    blob *body;
    void *user;
    void (*fn)(weft *app, void *user);
    str a, b;
} call_spec;

/** False for a length without bytes. */
static inline bool call_str_valid(str s)
{
    return s.at || !s.len;
}

/** Hands it to a loop: 0, WEFT_E_FULL, WEFT_E_CLOSED or -ENOMEM. */
int call_push(inbox *box, const call_spec *spec);

typedef enum {
    CALL_HERE,      /* *ret_value is what the handle stands for, on this thread's loop */
    CALL_ELSEWHERE, /* through call_to_handle() */
    CALL_GONE,
} call_place;

static inline call_place call_locate(uint64_t id, slot_kind kind, void **ret_value)
{
    loop *l = loop_here();
    if (id == 0)
        return CALL_GONE;
    if (!l || l->index != handle_loop(id))
        return CALL_ELSEWHERE;
    *ret_value = slots_get(&((worker *)l->owner)->table, id, kind);
    return *ret_value ? CALL_HERE : CALL_GONE;
}

/** Makes a call for a handle: at once on its loop, with the texts as they are; elsewhere it is handed over. The call's result, or as call_push(). Without a
 * message: weft_send() spares itself a blob. */
int call_make(const call_spec *spec);

/** To the loop of spec->id. */
int call_to_handle(const call_spec *spec);

/** What a handle stands for, on its own loop; with another thread or a stale handle NULL and *ret_error. ret_error may be NULL. */
void *call_here(uint64_t id, slot_kind kind, int *ret_error);

/** The worker of a handle when this thread drives its loop; NULL else. */
worker *call_worker(uint64_t id);

/** The worker of a handle that was made while nothing runs yet; NULL else. */
worker *call_worker_unstarted(uint64_t id);

#endif
