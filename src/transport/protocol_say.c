#include "proto/json_text.h"
#include "transport/protocol_private.h"
#include <errno.h>
#include <stdio.h>

void saying_put(saying *s, str text)
{
    if (!s->error)
        s->error = buf_put_str(&s->text, text);
}

void saying_put_string(saying *s, str text)
{
    size_t len = json_text_len(text);
    if (!s->error)
        s->error = buf_reserve(&s->text, len);
    if (!s->error)
        s->text.len += json_text_put(s->text.at + s->text.len, text);
}

void saying_put_member(saying *s, str name, str text)
{
    saying_put(s, name);
    saying_put_string(s, text);
}

saying saying_begin(str type, str id)
{
    saying s = {0};
    saying_put(&s, STR("{\"type\":"));
    saying_put_string(&s, type);
    if (id.len) {
        saying_put(&s, STR(",\"id\":"));
        saying_put(&s, id);
    }
    return s;
}

void saying_put_cursor(saying *s, cursor at)
{
    char text[CURSOR_BYTES];
    saying_put_member(s, STR(",\"cursor\":"), (str){text, cursor_put(at, text)});
}

void saying_put_count(saying *s, size_t count)
{
    if (!s->error)
        s->error = buf_printf(&s->text, ",\"count\":%zu", count);
}

int talk_say(peer *p, saying *s)
{
    saying_put(s, STR("}"));
    int error = s->error;
    if (!error)
        hub_catch_up(p->hub, p);
    if (!error && !p->leaving) {
        error = p->ops->say(p, buf_str(&s->text));
        if (!error)
            peer_queued_result(p);
    }
    buf_done(&s->text);
    return error;
}

void talk_answer(peer *p, saying *s)
{
    if (talk_say(p, s))
        peer_abort(p);
}

void talk_refuse(peer *p, str id, str code, const char *message)
{
    saying s = saying_begin(STR("error"), id);
    saying_put_member(&s, STR(",\"code\":"), code);
    saying_put_member(&s, STR(",\"message\":"), str_from(message));
    talk_answer(p, &s);
}

static void refuse_limit(peer *p, str id)
{
    const hub *h = p->hub;
    char sentence[REFUSAL_BYTES];
    if (peer_refused(p) == LIMIT_TOPICS)
        snprintf(sentence, sizeof sentence, "there are %zu topics already, and may not be more (option: max_topics)",
                 h->max_topics);
    else
        snprintf(sentence, sizeof sentence, "a client may subscribe to at most %u topics (option: max_subscriptions)",
                 (unsigned)h->max_subscriptions);
    talk_refuse(p, id, STR("too-many"), sentence);
}

static const char *why_failed(int error)
{
    if (error == WEFT_E_FULL)
        return "the server has too much to do";
    if (error == WEFT_E_CLOSED)
        return "the server is stopping";
    return error == -ECANCELED ? "the server has unsubscribed the client" : "the server is out of memory";
}

void talk_refuse_error(peer *p, str id, int error)
{
    if (error == WEFT_E_TOO_LARGE)
        refuse_limit(p, id);
    else
        talk_refuse(p, id, STR("failed"), why_failed(error));
}
