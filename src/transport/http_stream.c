#include "transport/http_stream.h"

#include "base/mem.h"
#include "loop/deadlines.h"
#include "net/kept_address.h"
#include "net/net.h"
#include "proto/form.h"
#include "proto/http1_chunk.h"
#include "proto/ws_frame.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

enum { MAX_SINCE_BYTES = 255 };

/* It lets its connection go when the peer leaves, so it never outlives the peer. Its deadline is that of keep-alive. */
typedef struct {
    peer peer;
    sink *sink;           /* NULL once it is given up */
    kept_address address; /* for `close` and the log, when the connection may be gone; none when nobody asks */
    uint32_t wrote_ms;    /* low bits of the time of the last write */
} http_stream;

static http_stream *http_stream_of(const peer *p)
{
    return CONTAINER((uintptr_t)p, http_stream, peer);
}

/* The peer's rules are its kind's: idle clients come by the thousand, and a pointer less counts. */
static const http_stream_kind *kind_of(const http_stream *s)
{
    return CONTAINER((uintptr_t)s->peer.rules, http_stream_kind, rules);
}

static loop *loop_of(const http_stream *s)
{
    return s->peer.hub->loop;
}

/* ---------------------------------------------------------------------------------------------------------- writing */

static int put(http_stream *s, const sink_piece *piece)
{
    s->wrote_ms = (uint32_t)loop_of(s)->now_ms;
    return s->sink->ops->write(s->sink, piece);
}

static int put_text(http_stream *s, str text)
{
    return put(s, &(sink_piece){.head = text});
}

static void wrap_chunk(char *payload, size_t len)
{
    http1_chunk_wrap(payload, len);
}

/* In the room that was asked for around it. */
static str payload_in(const chunk *image)
{
    return (str){image->bytes + HTTP1_CHUNK_BEFORE, image->len - HTTP1_CHUNK_BEFORE - HTTP1_CHUNK_BEHIND};
}

/* A chunk of the body. Where the body goes without chunks the sink takes the payload alone. */
static int put_image(http_stream *s, chunk *image)
{
    return put(s, &(sink_piece){.body = payload_in(image), .owner = image, .in_chunk = true});
}

static chunk *image_of(http_stream *s, topic *t, uint64_t offset)
{
    const encoding_frame frame = {
        .encoding = kind_of(s)->encoding,
        .format = kind_of(s)->format,
        .before = HTTP1_CHUNK_BEFORE,
        .behind = HTTP1_CHUNK_BEHIND,
        .finish = wrap_chunk,
    };
    return encoding_image(t, offset, &frame);
}

static int http_stream_deliver(peer *p, topic *t, uint64_t offset)
{
    http_stream *s = http_stream_of(p);
    chunk *image = image_of(s, t, offset);
    return image ? put_image(s, image) : -ENOMEM;
}

static str payload_of(peer *p, topic *t, uint64_t offset)
{
    chunk *image = image_of(http_stream_of(p), t, offset);
    return image ? payload_in(image) : STR("");
}

static const topic_run *http_stream_run(peer *p, topic *t, uint64_t first, uint64_t end)
{
    const topic_joint how = {
        .format = kind_of(http_stream_of(p))->format,
        .before = HTTP1_CHUNK_BEFORE,
        .behind = HTTP1_CHUNK_BEHIND,
        .bytes = payload_of,
        .finish = wrap_chunk,
    };
    return topic_join(t, first, end, &how, p);
}

static int http_stream_deliver_run(peer *p, const topic_run *run)
{
    return put_image(http_stream_of(p), run->image);
}

/* Encoded where it is sent from, so that a large message is not copied once more. */
static int put_message(http_stream *s, const encoding *how, const message_text *m)
{
    pool *blocks = &loop_of(s)->blocks;
    size_t len = how->len(m);
    chunk *image = len <= UINT32_MAX ? chunk_new(blocks, HTTP1_CHUNK_BEFORE + len + HTTP1_CHUNK_BEHIND) : NULL;
    if (!image)
        return -ENOMEM;
    how->put(image->bytes + HTTP1_CHUNK_BEFORE, m);
    wrap_chunk(image->bytes + HTTP1_CHUNK_BEFORE, len);
    image->len = HTTP1_CHUNK_BEFORE + len + HTTP1_CHUNK_BEHIND;
    int error = put_image(s, image);
    chunk_unref(blocks, image);
    return error;
}

static int http_stream_send(peer *p, const weft_message *message)
{
    http_stream *s = http_stream_of(p);
    message_text m = {.event = message->event, .data = message->data, .kind = message->kind};
    return put_message(s, kind_of(s)->encoding, &m);
}

/* As an event it is one without a name. */
static int http_stream_say(peer *p, str text)
{
    http_stream *s = http_stream_of(p);
    if (!kind_of(s)->encoding->events)
        return put(s, &(sink_piece){.head = text, .body = STR("\n")});
    return put_message(s, &encoding_sse, &(message_text){.data = text, .kind = WEFT_TEXT});
}

/* Puts a text that was built, unless it could not be. */
static int put_built(http_stream *s, int error, buf *text)
{
    if (!error)
        error = put_text(s, buf_str(text));
    buf_done(text);
    return error;
}

static int http_stream_begin(peer *p, topic *t, uint64_t next)
{
    const encoding *how = kind_of(http_stream_of(p))->encoding;
    char place[CURSOR_BYTES];
    buf text = {0};
    if (!how->begin)
        return 0;
    int error = how->begin(&text, (str){place, cursor_put(topic_cursor_before(t, next), place)});
    return put_built(http_stream_of(p), error, &text);
}

static int http_stream_gap(peer *p, topic *t, uint64_t next)
{
    const encoding *how = kind_of(http_stream_of(p))->encoding;
    char place[CURSOR_BYTES];
    buf text = {0};
    int error = how->gap(&text, topic_name(t), (str){place, cursor_put(topic_cursor_before(t, next), place)});
    return put_built(http_stream_of(p), error, &text);
}

/* --------------------------------------------------------------------------------------------------- when to return */

/* A time of the client's own, between once and twice the kind's, so that not all come back at once. `why` makes it
 * another one. Nobody can tell it from random, and it costs no call of the system. */
static uint64_t time_to_return_ms(const http_stream *s, uint64_t why)
{
    uint64_t what[] = {s->peer.id, why}, retry_ms = kind_of(s)->retry_ms;
    return retry_ms + siphash(s->peer.hub->secret, what, sizeof what) % retry_ms;
}

static bool tells_retry(const http_stream_kind *kind)
{
    return kind->encoding->events && kind->retry_ms != WEFT_NEVER;
}

static int put_retry(http_stream *s, uint64_t why)
{
    char text[64];
    int len = snprintf(text, sizeof text, "retry: %" PRIu64 "\n\n", time_to_return_ms(s, why));
    return put_text(s, (str){text, (size_t)len});
}

/* ------------------------------------------------------------------------------------------------------- keep-alive */

static void set_deadline(const http_stream *s, uint32_t after_ms)
{
    deadline_set(s->peer.hub->table, s->peer.id, after_ms);
}

static void keep_alive(peer *p)
{
    http_stream *s = http_stream_of(p);
    uint32_t silent_ms = (uint32_t)loop_of(s)->now_ms - s->wrote_ms, limit_ms = kind_of(s)->keep_alive_ms;
    if (silent_ms >= limit_ms && !s->sink->queued && put_text(s, kind_of(s)->encoding->keep_alive)) {
        peer_abort(&s->peer);
        return;
    }
    /* what waits to be taken is no silence: a comment behind it would tell nothing sooner */
    set_deadline(s, silent_ms < limit_ms ? limit_ms - silent_ms : limit_ms);
}

/* ----------------------------------------------------------------------------------------------------------- ending */

static void let_go(http_stream *s)
{
    deadline_clear(s->peer.hub->table, s->peer.id);
    s->sink = NULL;
}

/* What is queued, the last chunk, FIN. */
static void end_connection(http_stream *s)
{
    s->sink->ops->end(s->sink);
    let_go(s);
}

/* Without memory for the goodbye the client keeps the time that it was told first. */
static void http_stream_close(peer *p, int code, str reason)
{
    http_stream *s = http_stream_of(p);
    (void)reason;
    if (code == WS_CODE_GOING_AWAY && tells_retry(kind_of(s)))
        put_retry(s, WS_CODE_GOING_AWAY);
    end_connection(s);
}

static void http_stream_abort(peer *p)
{
    http_stream *s = http_stream_of(p);
    s->sink->ops->abort(s->sink);
    let_go(s);
}

static bool http_stream_free(peer *p)
{
    http_stream *s = http_stream_of(p);
    kept_address_free(s->address);
    slabs_put(&loop_of(s)->places, s, peer_bytes(p->ops, p->rules));
    return true;
}

/* ----------------------------------------------------------------------------------------------------------- events */

/* The client has nothing to say. */
static size_t http_stream_data(void *owner, char *at, size_t len)
{
    (void)owner;
    (void)at;
    return len;
}

static void http_stream_eof(void *owner)
{
    http_stream *s = owner;
    peer_leave(&s->peer, WS_CODE_ABNORMAL, (str){NULL, 0});
    end_connection(s);
}

static void http_stream_gone(void *owner, int error)
{
    http_stream *s = owner;
    if (error == -ETIMEDOUT)
        s->peer.hub->limit = limit_name(LIMIT_WRITE_TIMEOUT);
    peer_leave(&s->peer, WS_CODE_ABNORMAL, error == -ETIMEDOUT ? STR("write timeout") : (str){NULL, 0});
    let_go(s);
}

static void http_stream_sent(void *owner)
{
    peer_sent(&((http_stream *)owner)->peer);
}

static const sink_events http_stream_events = {
    .data = http_stream_data,
    .eof = http_stream_eof,
    .sent = http_stream_sent,
    .gone = http_stream_gone,
};

/* ------------------------------------------------------------------------------------------------- the peer's calls */

static int http_stream_ping(peer *p, str payload)
{
    (void)p;
    (void)payload;
    return WEFT_E_UNSUPPORTED;
}

/* What the client sends is dropped, so there is nothing to stop. */
static void http_stream_pause(peer *p)
{
    (void)p;
}

static size_t http_stream_queued(const peer *p)
{
    const http_stream *s = http_stream_of(p);
    return s->sink ? s->sink->queued : 0;
}

static void http_stream_notify(peer *p)
{
    const http_stream *s = http_stream_of(p);
    s->sink->ops->notify(s->sink);
}

static void http_stream_about(const peer *p, weft_peer_info *ret_info)
{
    const http_stream *s = http_stream_of(p);
    ret_info->transport = kind_of(s)->transport;
    if (!kept_address_put(s->address, ret_info->address) && s->sink)
        s->sink->ops->address(s->sink, ret_info->address, sizeof ret_info->address);
}

#define STREAM_OPS(name)                                                                                               \
    {                                                                                                                  \
        .transport = (name), .bytes = sizeof(http_stream), .send = http_stream_send, .deliver = http_stream_deliver,   \
        .run = http_stream_run, .deliver_run = http_stream_deliver_run, .begin = http_stream_begin,                    \
        .gap = http_stream_gap, .say = http_stream_say, .ping = http_stream_ping, .close = http_stream_close,          \
        .abort = http_stream_abort, .pause = http_stream_pause, .queued = http_stream_queued,                          \
        .notify = http_stream_notify, .due = keep_alive, .about = http_stream_about, .free = http_stream_free,         \
    }

static const peer_ops sse_ops = STREAM_OPS(WEFT_TRANSPORT_SSE), line_ops = STREAM_OPS(WEFT_TRANSPORT_STREAM);

/* -------------------------------------------------------------------------------------------------------- beginning */

static http_stream *http_stream_new(hub *h, const http_stream_kind *kind, str from)
{
    const peer_ops *ops = kind->transport == WEFT_TRANSPORT_SSE ? &sse_ops : &line_ops;
    http_stream *s = slabs_get(&h->loop->places, peer_bytes(ops, &kind->rules));
    if (!s)
        return NULL;
    if (from.at && peer_keep_text(&s->peer, from))
        goto fail;
    if (peer_init(&s->peer, h, ops, &kind->rules))
        goto fail;
    return s;

fail:
    peer_extra_free(&s->peer);
    slabs_put(&h->loop->places, s, peer_bytes(ops, &kind->rules));
    return NULL;
}

/* It never got its connection. */
static void discard(http_stream *s)
{
    if (s)
        peer_leave(&s->peer, WS_CODE_ABNORMAL, (str){NULL, 0});
}

/* Nobody on the way may keep it, make it smaller (a compressor waits for more), or collect it. 0 or -ENOMEM. */
static int put_fields(exchange *e, const http_stream_kind *kind)
{
    str kept = kind->encoding->events ? STR("Cache-Control: no-store, no-transform\r\nX-Accel-Buffering: no\r\n")
                                      : STR("Cache-Control: no-store\r\nX-Accel-Buffering: no\r\n");
    return buf_put_str(&e->fields, kept);
}

static http_answer answer_of(const http_stream_kind *kind)
{
    return (http_answer){.status = 200, .type = str_from(kind->encoding->type)};
}

/* Without memory the address is left out. */
static void keep_address(http_stream *s)
{
    char text[KEPT_ADDRESS_BYTES];
    if (kind_of(s)->rules.close || log_wanted(s->peer.hub->net->log))
        s->address = kept_address_new((str){text, s->sink->ops->address(s->sink, text, sizeof text)});
}

/* The first bytes let a client see at once that the stream is there, whatever stands between. 0 or -ENOMEM. */
static int start(http_stream *s, sink *taken)
{
    s->sink = taken;
    keep_address(s);
    peer_keep_subject(&s->peer, taken);
    sink_bind(taken, &http_stream_events, s);
    int error = put_text(s, kind_of(s)->encoding->keep_alive);
    if (!error && tells_retry(kind_of(s)))
        error = put_retry(s, 0);
    if (error)
        return error;
    if (kind_of(s)->keep_alive_ms != WEFT_NEVER)
        set_deadline(s, kind_of(s)->keep_alive_ms);
    taken->ops->rebind(taken);
    return 0;
}

peer *http_stream_open(exchange *e, const http_stream_kind *kind, str from)
{
    sink *taken;
    http_answer answer = answer_of(kind);
    http_stream *s = http_stream_new(e->context, kind, from);
    if (!s || put_fields(e, kind)) {
        exchange_refuse(e, 500, STR("out of memory\n"));
        discard(s);
        return NULL;
    }
    if (e->ops->take_body(e, &answer, &taken)) {
        discard(s);
        return NULL;
    }
    if (start(s, taken)) {
        peer_abort(&s->peer);
        return NULL;
    }
    return &s->peer;
}

int http_stream_head(exchange *e, const http_stream_kind *kind)
{
    http_answer answer = answer_of(kind);
    if (put_fields(e, kind))
        return exchange_refuse(e, 500, STR("out of memory\n"));
    int error = e->ops->start(e, &answer, -1);
    return error ? error : e->ops->end(e);
}

/* -------------------------------------------------------------------------------------------------- where it begins */

/* What a program can be given as text, and may be a cursor. */
static str plausible(str given)
{
    bool is_text = given.at && given.len <= MAX_SINCE_BYTES && !memchr(given.at, '\0', given.len);
    return is_text ? given : STR("?");
}

str http_stream_since(const weft_request *request)
{
    str given = weft_request_header(request, "Last-Event-ID");
    if (given.len)
        return plausible(given);
    if (!form_find(weft_request_query(request), STR("since")).len)
        return (str){NULL, 0};
    return plausible(weft_request_query_value(request, "since")); /* no memory to decode it is told as a gap as well */
}
