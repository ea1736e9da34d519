#include "bench/events.h"

#include <errno.h>

void bench_events_done(bench_events *events)
{
    buf_done(&events->line);
    buf_done(&events->data);
    buf_done(&events->type);
    *events = (bench_events){0};
}

static void drop(str *from, size_t n)
{
    *from = (str){from->at + n, from->len - n};
}

static int keep(buf *to, str piece)
{
    return piece.len > BENCH_EVENT_MAX_BYTES - to->len ? -EMSGSIZE : buf_put_str(to, piece);
}

/* The line at the front without its end, and *in behind that; false when its end has not come. */
static bool take_line(bench_events *events, str *in, str *ret_line)
{
    const char *lf = memchr(in->at, '\n', in->len);
    const char *cr = memchr(in->at, '\r', lf ? (size_t)(lf - in->at) : in->len);
    const char *end = cr ? cr : lf;
    if (!end)
        return false;
    *ret_line = (str){in->at, (size_t)(end - in->at)};
    drop(in, ret_line->len + 1);
    if (cr && in->len && *in->at == '\n')
        drop(in, 1);
    else if (cr)
        events->skip_lf = in->len == 0;
    return true;
}

/* The next line, put together when it began in an earlier input. 1; 0 when all is taken in. */
static int next_line(bench_events *events, str *in, str *ret_line)
{
    if (events->skip_lf && in->len) {
        events->skip_lf = false;
        if (*in->at == '\n')
            drop(in, 1);
    }
    if (in->len == 0)
        return 0;
    str line;
    if (!take_line(events, in, &line)) {
        int error = keep(&events->line, *in);
        drop(in, in->len);
        return error;
    }
    if (events->line.len) {
        int error = keep(&events->line, line);
        if (error)
            return error;
        line = buf_str(&events->line);
        events->line.len = 0; /* the bytes stay until the next line is kept */
    }
    if (!events->has_begun && line.len >= 3 && memcmp(line.at, "\xEF\xBB\xBF", 3) == 0)
        drop(&line, 3);
    events->has_begun = true;
    *ret_line = line;
    return 1;
}

/* The first line of data stays where it lies, in *view; it moves when another joins it. */
static int add_data(bench_events *events, str value, bool lies_in_input, str *view)
{
    if (!events->has_data && lies_in_input) {
        events->has_data = true;
        *view = value;
        return 0;
    }
    int error = 0;
    if (view->at)
        error = keep(&events->data, *view);
    if (!error && events->has_data)
        error = keep(&events->data, STR("\n"));
    if (!error)
        error = keep(&events->data, value);
    *view = (str){NULL, 0};
    events->has_data = true;
    return error;
}

static int read_field(bench_events *events, str line, bool lies_in_input, str *view)
{
    const char *colon = memchr(line.at, ':', line.len);
    str name = {line.at, colon ? (size_t)(colon - line.at) : line.len};
    str value = {colon ? colon + 1 : line.at + line.len, colon ? line.len - name.len - 1 : 0};
    if (value.len && *value.at == ' ')
        drop(&value, 1);
    if (str_equal(name, STR("data")))
        return add_data(events, value, lies_in_input, view);
    if (!str_equal(name, STR("event")))
        return 0;
    events->type.len = 0;
    return keep(&events->type, value);
}

static void forget(bench_events *events)
{
    events->data.len = events->type.len = 0;
    events->has_data = events->told = false;
}

int bench_events_next(bench_events *events, str *in, bench_event *ret_event)
{
    str line = {NULL, 0}, view = {NULL, 0};
    int got;
    if (events->told)
        forget(events);
    for (;;) {
        bool is_whole = events->line.len == 0;
        got = next_line(events, in, &line);
        if (got != 1)
            break;
        if (line.len)
            got = read_field(events, line, is_whole, &view);
        else if (events->has_data)
            break;
        else
            forget(events);
        if (got < 0)
            return got;
    }
    if (got == 1) {
        *ret_event = (bench_event){buf_str(&events->type), view.at ? view : buf_str(&events->data)};
        events->told = true;
    } else if (got == 0 && view.at) {
        got = keep(&events->data, view);
    }
    return got;
}
