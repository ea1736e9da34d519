#include "transport/engineio_private.h"

#include "base/utf8.h"
#include "proto/engineio.h"
#include <errno.h>

enum { FIRST_BYTES = 1024 }; /* of a body that comes in pieces */

/** A POST from its head to its answer; its request's head is behind it, for weft_peer_request(). */
struct engineio_posting {
    engineio_session *session; /* NULL: it has ended, or has let go */
    exchange *exchange;
    pool *blocks;
    size_t block_bytes;
    chunk *body;     /* what has come in pieces; NULL for none */
    uint64_t length; /* that was announced; 0: nobody knows */
    bool telling;    /* its packets are being told */
    bool told;
    bool ended; /* its body, too: only the answer is owed */
    bool bad;
    engineio_head head;
};

const engineio_head *engineio_post_head(const engineio_posting *post)
{
    return post && post->telling ? &post->head : NULL;
}

bool engineio_post_is_coming(const engineio_posting *post)
{
    return post && !post->told;
}

/* The session hears nothing more of it. */
static void let_go(engineio_posting *post)
{
    engineio_session *s = post->session;
    post->session = NULL;
    if (s && s->polls && s->polls->post == post)
        s->polls->post = NULL;
}

static void post_forget(exchange *e)
{
    engineio_posting *post = e->held_state;
    let_go(post);
    chunk_unref(post->blocks, post->body);
    pool_put(post->blocks, post, post->block_bytes);
}

static const held_ops post_ops = {.forget = post_forget};

/* It ends the connection too, whose body is still coming. */
static void answer_bare(engineio_posting *post, int status)
{
    let_go(post);
    engineio_answer_empty(post->exchange, status);
}

void engineio_post_drop(engineio_posting *post)
{
    post->session = NULL;
    if (!post->telling && post->told)
        engineio_answer(post->exchange, STR("text/html"), STR("ok"), NULL);
    else if (!post->telling)
        answer_bare(post, 400);
}

void engineio_post_gone(exchange *e, void *user)
{
    engineio_posting *post = e->held == &post_ops ? e->held_state : NULL;
    engineio_session *s = post ? post->session : NULL;
    (void)user;
    if (!s)
        return;
    let_go(post);
    engineio_end_session(s, ENGINEIO_TRANSPORT_ERROR, ENGINEIO_SAY_CLOSE);
}

/* ----------------------------------------------------------------------------------------------------------- reading */

/* Any of them may end the session, and that lets go of the POST. */
static void tell(engineio_posting *post, str body)
{
    engineio_session *s = post->session;
    engineio_payload payload = {.at = (char *)(uintptr_t)body.at, .len = body.len};
    /* What is no text is refused whole: to read it as something else, as the reference does, would be to change it. */
    engineio_status status = utf8_valid(body.at, body.len) ? ENGINEIO_PACKET : ENGINEIO_BAD;
    post->telling = true;
    while (post->session && status == ENGINEIO_PACKET) {
        engineio_packet packet;
        status = engineio_next(&payload, &packet);
        if (status == ENGINEIO_PACKET)
            engineio_take(s, &packet);
    }
    if (post->session && status == ENGINEIO_BAD) {
        post->bad = true;
        engineio_end_session(s, ENGINEIO_PARSE_ERROR, ENGINEIO_SAY_CLOSE);
    }
    post->telling = false;
    post->told = true;
    if (post->session)
        engineio_drop_asked(s); /* it was this request */
}

/* All was told and has come: answered, unless nobody wants to hear more for now. */
static void finish(engineio_posting *post)
{
    engineio_session *s = post->session;
    if (s && s->paused)
        return;
    let_go(post);
    if (post->bad)
        engineio_answer_empty(post->exchange, 400);
    else
        engineio_answer(post->exchange, STR("text/html"), STR("ok"), NULL);
}

void engineio_post_resume(engineio_posting *post)
{
    if (post->told && post->ended)
        finish(post);
}

/* 0 or -ENOMEM. */
static int collect(engineio_posting *post, str piece)
{
    chunk *old = post->body;
    size_t have = old ? old->len : 0, wanted = have + piece.len;
    if (!old || chunk_room(old) < piece.len) {
        chunk *larger = chunk_new(post->blocks, wanted < FIRST_BYTES ? FIRST_BYTES : wanted * 2);
        if (!larger)
            return -ENOMEM;
        if (have)
            memcpy(larger->bytes, old->bytes, have);
        larger->len = have;
        chunk_unref(post->blocks, old);
        post->body = larger;
    }
    memcpy(post->body->bytes + have, piece.at, piece.len);
    post->body->len = wanted;
    return 0;
}

static void take_piece(engineio_posting *post, str piece)
{
    engineio_session *s = post->session;
    size_t have = post->body ? post->body->len : 0;
    if (piece.len > s->route->settings.max_http_buffer_size - have) {
        exchange_blame(post->exchange, LIMIT_MESSAGE_BYTES);
        answer_bare(post, 413);
    } else if (!have && piece.len == post->length) {
        tell(post, piece);
    } else if (collect(post, piece)) {
        engineio_end_session(s, ENGINEIO_FORCED_CLOSE, ENGINEIO_CUT);
    }
}

static void take_end(engineio_posting *post)
{
    engineio_session *s = post->session;
    chunk *body = post->body;
    if (!post->told)
        tell(post, body ? (str){body->bytes, body->len} : STR(""));
    post->ended = true;
    bool commits = post->session && s->polls->probe && s->polls->probe->committing;
    finish(post);
    if (commits)
        engineio_commit(s);
}

void engineio_post_body(exchange *e, str piece, void *user)
{
    engineio_posting *post = e->held == &post_ops ? e->held_state : NULL;
    (void)user;
    if (!post)
        return;
    if (!piece.at)
        take_end(post);
    else if (post->session && piece.len)
        take_piece(post, piece);
}

/* ---------------------------------------------------------------------------------------------------------- beginning */

/* What the reference takes for the client's error, and ends the session for. */
static bool is_wrong(const engineio_session *s, const weft_request *request)
{
    return s->polls->post ||
           str_equal_nocase(weft_request_header(request, "Content-Type"), STR("application/octet-stream"));
}

static engineio_posting *post_new(engineio_session *s, exchange *e, const weft_request *request)
{
    size_t block_bytes;
    engineio_posting *post =
        pool_get(engineio_blocks(s), offsetof(engineio_posting, head) + engineio_head_room(request), &block_bytes);
    if (!post)
        return NULL;
    *post = (engineio_posting){
        .session = s,
        .exchange = e,
        .blocks = engineio_blocks(s),
        .block_bytes = block_bytes,
        .length = request->head->content_length,
    };
    engineio_head_put(&post->head, request);
    return post;
}

void engineio_post_begin(engineio_session *s, exchange *e, const weft_request *request)
{
    if (is_wrong(s, request)) {
        engineio_end_session(s, ENGINEIO_TRANSPORT_ERROR, ENGINEIO_SAY_CLOSE);
        engineio_answer_empty(e, 400);
        return;
    }
    if (request->head->content_length > s->route->settings.max_http_buffer_size) {
        exchange_blame(e, LIMIT_MESSAGE_BYTES);
        engineio_answer_empty(e, 413);
        return;
    }
    engineio_posting *post = post_new(s, e, request);
    if (!post) {
        exchange_refuse(e, 503, STR("out of memory\n"));
        engineio_end_session(s, ENGINEIO_FORCED_CLOSE, ENGINEIO_CUT);
        return;
    }
    s->polls->post = post;
    e->held = &post_ops;
    e->held_state = post;
}
