#include "app/gathering.h"

#include "app/metrics.h"
#include "base/mem.h"
#include <errno.h>

enum { PATIENCE_MS = 1000 };

/** Found by its number, never by its address: an answer may come when it has long gone. */
typedef struct {
    list_node node; /* in admin.gatherings */
    uint64_t number;
    weft *app;
    uint64_t exchange;
    tally sum;
    timer patience;
} gathering;

/** What another worker has counted, on its way to the first. */
typedef struct {
    note base;
    uint64_t number;
    tally counted;
} report;

/** The question. */
typedef struct {
    note base;
    report *report; /* to be filled and sent */
} question;

/* ------------------------------------------------------------------------------------------------------------- answers */

static void put_page(const weft *app, const tally *sum, exchange *e)
{
    buf page = {0};
    if (metrics_put(app, sum, &page))
        exchange_refuse(e, 503, STR("the server is out of memory\n"));
    else
        admin_answer(e, 200, STR("text/plain; version=0.0.4; charset=utf-8"), buf_str(&page));
    buf_done(&page);
}

static void gathering_free(gathering *g)
{
    loop_cancel(&g->app->workers->loop, &g->patience);
    list_remove(&g->node);
    mem_free(g);
}

/* The operator may have gone meanwhile. */
static void gathering_end(gathering *g)
{
    exchange *e = slots_get(&g->app->workers->table, g->exchange, SLOT_EXCHANGE);
    if (e)
        put_page(g->app, &g->sum, e);
    gathering_free(g);
}

static void patience_ends(timer *t)
{
    gathering_end(CONTAINER(t, gathering, patience));
}

static gathering *find(const admin *a, uint64_t number)
{
    for (list_node *node = a->gatherings.next; node != &a->gatherings; node = node->next) {
        gathering *g = CONTAINER(node, gathering, node);
        if (g->number == number)
            return g;
    }
    return NULL;
}

static void report_run(note *n, void *loop_owner)
{
    const report *r = CONTAINER(n, report, base);
    const worker *first = loop_owner;
    gathering *g = find(first->app->admin, r->number);
    if (!g)
        return;
    tally_add(&g->sum, &r->counted);
    if (g->sum.n_loops == g->app->n_workers)
        gathering_end(g);
}

/* ----------------------------------------------------------------------------------------------------------- questions */

static void question_run(note *n, void *loop_owner)
{
    report *r = CONTAINER(n, question, base)->report;
    const worker *w = loop_owner;
    tally_count(&r->counted, w);
    if (inbox_push(w->app->workers->loop.box, &r->base))
        mem_free(r); /* the first one has too much to do, or has ended: it will do without */
}

static void question_drop(note *n)
{
    mem_free(CONTAINER(n, question, base)->report);
}

/* Whoever cannot be asked is missing in the answer. */
static void ask(worker *w, uint64_t number)
{
    question *q = mem_new(sizeof *q);
    report *r = mem_zero(sizeof *r);
    if (q && r) {
        *r = (report){.base = {.bytes = sizeof *r, .run = report_run}, .number = number};
        *q = (question){.base = {.bytes = sizeof *q, .run = question_run, .drop = question_drop}, .report = r};
        if (inbox_push(w->loop.box, &q->base) == 0)
            return;
    }
    mem_free(r);
    mem_free(q);
}

static int gather(weft *app, const tally *sum, exchange *e)
{
    admin *a = app->admin;
    gathering *g = mem_zero(sizeof *g);
    if (!g)
        return -ENOMEM;
    g->number = ++a->n_gatherings;
    g->app = app;
    g->exchange = e->id;
    g->sum = *sum;
    list_append(&a->gatherings, &g->node);
    loop_arm(&app->workers->loop, &g->patience, PATIENCE_MS, patience_ends);
    for (unsigned i = 1; i < app->n_workers; i++)
        ask(&app->workers[i], g->number);
    return 0;
}

void gathering_begin(weft *app, exchange *e)
{
    tally sum = {0};
    tally_count(&sum, app->workers);
    if (app->n_workers == 1 || gather(app, &sum, e))
        put_page(app, &sum, e);
}

void gatherings_drop(admin *a)
{
    for (list_node *node; (node = list_first(&a->gatherings));)
        gathering_free(CONTAINER(node, gathering, node));
}
