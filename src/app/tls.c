#include "app/tls.h"

#include "base/mem.h"
#include <errno.h>

int app_tls_add(weft *app, const weft_listen_options *options, tls_context **ret_context)
{
    char problem[TLS_PROBLEM_BYTES];
    tls_context *c;
    int error = tls_context_new(options, &app->log, &c, problem);
    if (error)
        return app_fail(app, error, "%s", problem);
    *tls_context_next(c) = app->tls_contexts;
    *ret_context = app->tls_contexts = c;
    return 0;
}

void app_tls_free(weft *app)
{
    for (tls_context *c = app->tls_contexts, *next; c; c = next) {
        next = *tls_context_next(c);
        tls_context_free(c);
    }
}

/* ------------------------------------------------------------------------------------------------------------- reload */

static size_t count(const weft *app)
{
    size_t n = 0;
    for (tls_context *c = app->tls_contexts; c; c = *tls_context_next(c))
        n++;
    return n;
}

/* All are read before one is swapped: all are served, or none. */
static int read_all(const weft *app, tls_certificates **fresh, char *ret_problem)
{
    int error = 0;
    for (tls_context *c = app->tls_contexts; c && !error; c = *tls_context_next(c), fresh++)
        error = tls_context_read(c, fresh, ret_problem);
    return error;
}

static void swap_all(const weft *app, tls_certificates **fresh)
{
    for (tls_context *c = app->tls_contexts; c; c = *tls_context_next(c), fresh++) {
        tls_context_swap(c, *fresh);
        *fresh = NULL;
    }
}

int weft_reload_tls(weft *app)
{
    char problem[TLS_PROBLEM_BYTES] = "out of memory";
    if (!app)
        return -ENOMEM;
    size_t n = count(app);
    tls_certificates **fresh = mem_zero(n * sizeof *fresh);
    int error = fresh ? read_all(app, fresh, problem) : -ENOMEM;
    if (!error)
        swap_all(app, fresh);
    for (size_t i = 0; fresh && i < n; i++)
        tls_certificates_free(fresh[i]);
    mem_free(fresh);
    if (error)
        log_line(&app->log, WEFT_LOG_ERROR, "event=reload reason=\"%s; the certificates stay as they were\"", problem);
    else
        log_line(&app->log, WEFT_LOG_INFO, "event=reload certificates=%zu", n);
    return error;
}
