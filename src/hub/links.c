#include "hub/links.h"

#include "base/mem.h"
#include "hub/mirror_private.h"
#include <errno.h>
#include <sys/random.h>

/* -------------------------------------------------------------------------------------------------------------
 * linking */

int hub_links_init(hub_links *links, unsigned n, hub *(*hub_of)(void *loop_owner))
{
    *links = (hub_links){.n = n, .hub_of = hub_of};
    if (getrandom(&links->id, sizeof links->id, 0) != sizeof links->id)
        return -errno;
    if (getrandom(links->secret, sizeof links->secret, 0) != sizeof links->secret)
        return -errno;
    links->id |= 1; /* never that of nobody */
    return 0;
}

unsigned hub_links_home(const hub_links *links, str name)
{
    return (unsigned)(siphash(links->secret, name.at, name.len) % links->n);
}

static void tell(loop_task *task)
{
    mirrors_tell(CONTAINER(task, reach, tell));
}

int hub_link(hub *h, hub_links *links, unsigned number)
{
    links->boxes[number] = h->loop->box;
    h->links_id = links->id;
    if (links->n < 2)
        return 0;
    reach *r = mem_zero(sizeof *r);
    if (!r)
        return -ENOMEM;
    r->hub = h;
    r->links = links;
    r->number = number;
    r->tell.run = tell;
    r->unsent_end = &r->unsent;
    list_init(&r->behind);
    list_init(&r->changed);
    list_init(&r->gatherings);
    h->reach = r;
    return 0;
}

bool hub_owes(const hub *h)
{
    const reach *r = h->reach;
    return r && (!list_empty(&r->behind) || !list_empty(&r->changed) || r->unsent);
}

/* ---------------------------------------------------------------------------------------------------------------
 * notes */

static void note_lost(note *base)
{
    hub_note *n = CONTAINER(base, hub_note, base);
    if (n->lost)
        n->lost(n);
}

/* The place may be another application's by now, or an ended hub's. */
static void note_run(note *base, void *loop_owner)
{
    hub_note *n = CONTAINER(base, hub_note, base);
    hub *h = n->hub_of(loop_owner);
    if (h && h->links_id == n->links_id)
        n->take(h, n);
    else
        note_lost(base);
}

hub_note *hub_note_new(const hub_links *links, size_t bytes, void (*take)(hub *, hub_note *), void (*lost)(hub_note *))
{
    hub_note *n = mem_zero(bytes);
    if (!n)
        return NULL;
    *n = (hub_note){
        .base = {.bytes = bytes, .run = note_run, .drop = note_lost},
        .links_id = links->id,
        .hub_of = links->hub_of,
        .take = take,
        .lost = lost,
    };
    return n;
}

void hub_note_free(hub_note *n)
{
    note_lost(&n->base);
    mem_free(n);
}

bool reach_has_room(const reach *r, unsigned number, size_t bytes)
{
    /* Relaxed: the push decides; this spares work that would be in vain. */
    return atomic_load_explicit(&r->links->boxes[number]->bytes, memory_order_relaxed) + bytes <= INBOX_MAX_BYTES;
}

int reach_push(const reach *r, unsigned number, hub_note *n)
{
    return loop_push(r->links->boxes[number], &n->base);
}

/* ------------------------------------------------------------------------------------------------------ trying
 * again */

/* An answer, and where it goes. Notes that wait are linked by their own `next`. */
static void keep_answer(reach *r, inbox *box, hub_note *n)
{
    n->box = box;
    n->base.next = NULL;
    *r->unsent_end = &n->base;
    r->unsent_end = &n->base.next;
    reach_retry(r);
}

/* False when it has to wait. */
static bool push_answer(inbox *box, hub_note *n)
{
    int error = inbox_push(box, &n->base);
    if (error == WEFT_E_FULL)
        return false;
    if (error)
        hub_note_free(n);
    return true;
}

void reach_answer(reach *r, inbox *box, hub_note *n)
{
    if (r->unsent || !push_answer(box, n)) /* parts of one answer stay in order */
        keep_answer(r, box, n);
}

static void retry_answers(reach *r)
{
    while (r->unsent) {
        hub_note *n = CONTAINER(r->unsent, hub_note, base);
        note *next = n->base.next; /* the inbox's, once it is taken */
        if (!push_answer(n->box, n)) {
            n->base.next = next;
            break;
        }
        r->unsent = next;
    }
    if (!r->unsent)
        r->unsent_end = &r->unsent;
}

static void retry(timer *clock)
{
    reach *r = CONTAINER(clock, reach, retry);
    retry_answers(r);
    home_retry(r);
    mirrors_tell(r);
    if (hub_owes(r->hub))
        reach_retry(r);
}

void reach_retry(reach *r)
{
    if (!timer_armed(&r->retry))
        loop_arm(r->hub->loop, &r->retry, REACH_RETRY_MS, retry);
}

void hub_unlink(hub *h)
{
    reach *r = h->reach;
    h->links_id = 0;
    if (!r)
        return;
    while (r->unsent) {
        hub_note *n = CONTAINER(r->unsent, hub_note, base);
        r->unsent = n->base.next;
        if (inbox_push(n->box, &n->base))
            hub_note_free(n);
    }
    for (list_node *node; (node = list_first(&r->gatherings)) != NULL;)
        gathering_free(node);
    loop_cancel(h->loop, &r->retry);
    loop_undefer(h->loop, &r->tell);
    mem_free(r);
    h->reach = NULL;
}
