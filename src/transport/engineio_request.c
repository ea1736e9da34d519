#include "base/mem.h"
#include "base/utf8.h"
#include "proto/engineio.h"
#include "proto/form.h"
#include "proto/json_text.h"
#include "proto/ws_handshake.h"
#include "transport/engineio_private.h"
#include "transport/undecided.h"
#include <errno.h>
#include <stdio.h>

enum { MAX_MESSAGE_BYTES = 512 }; /* of the text that a program refuses with */

/* ------------------------------------------------------------------------------------------------------------ answers */

static const char *const *origins_of(const exchange *e)
{
    const engineio_route *route = e->route->spec.user;
    return route->settings.origins;
}

/* Where any origin may read, the field is there even when none asks: caches need not tell answers apart. */
static int allow_any_origin(exchange *e)
{
    static const str field = {"Access-Control-Allow-Origin", 27};
    const char *const *origins = origins_of(e);
    if (!origins || !ws_origin_allowed(STR("*"), (str){NULL, 0}, origins))
        return 0;
    if (e->fields.len && memmem(e->fields.at, e->fields.len, field.at, field.len))
        return 0;
    return exchange_add_field(e, field, STR("*"));
}

/* What was to be said has not been said, even where the refusal has. */
static int fail_memory(exchange *e)
{
    exchange_refuse(e, 503, STR("out of memory\n"));
    return -ENOMEM;
}

static int answer(exchange *e, http_answer *what)
{
    return allow_any_origin(e) ? fail_memory(e) : exchange_answer(e, what);
}

int engineio_answer(exchange *e, str type, str body, chunk *owner)
{
    if (buf_put_str(&e->fields, STR("Cache-Control: no-store\r\n")))
        return fail_memory(e);
    return answer(e, &(http_answer){.status = 200, .type = type, .body = body, .owner = owner});
}

int engineio_answer_empty(exchange *e, int status)
{
    return answer(e, &(http_answer){.status = status});
}

static str message_of(engineio_error code)
{
    static const char *const messages[] = {
        "Transport unknown", "Session ID unknown", "Bad handshake method",
        "Bad request",       "Forbidden",          "Unsupported protocol version",
    };
    return str_from(messages[code]);
}

static int refuse_with(exchange *e, int status, engineio_error code, str text)
{
    char body[MAX_MESSAGE_BYTES * 6 + 64];
    bool usable = text.len && text.len <= MAX_MESSAGE_BYTES && utf8_valid(text.at, text.len);
    str message = usable ? text : message_of(code);
    size_t len = (size_t)snprintf(body, sizeof body, "{\"code\":%d,\"message\":", (int)code);
    len += json_text_put(body + len, message);
    body[len++] = '}';
    return answer(e, &(http_answer){.status = status, .type = STR("application/json"), .body = {body, len}});
}

int engineio_refuse(exchange *e, engineio_error code, str text)
{
    return refuse_with(e, code == ENGINEIO_FORBIDDEN ? 403 : 400, code, text);
}

/* The reference says 400 to whatever WebSocket it does not want. */
static int refuse_upgrade(exchange *e, engineio_error code, str text)
{
    return refuse_with(e, 400, code, text);
}

/* ----------------------------------------------------------------------------------------------------- what is asked */

str engineio_asked(const weft_request *request, const char *name)
{
    str rest = weft_request_query(request), one, value, found = {NULL, 0};
    while (form_next(&rest, &one, &value))
        if (form_equal(one, str_from(name)))
            found = value;
    return found;
}

static bool asks_for(const weft_request *request, const char *name, const char *value)
{
    str found = engineio_asked(request, name);
    return found.at && form_equal(found, str_from(value));
}

/* What a request is, as far as its head tells. */
typedef struct {
    engineio_route *route;
    hub *hub;
    bool upgrade;
    bool has_sid;
    str sid;                   /* decoded; {NULL, 0}: none that could exist */
    engineio_session *session; /* NULL: none, or one that has ended */
    char room[SESSION_ID_BYTES * 3];
} inquiry;

static void read_sid(inquiry *q, const weft_request *request)
{
    str raw = engineio_asked(request, "sid");
    q->has_sid = raw.len > 0;
    if (!raw.len || raw.len > sizeof q->room)
        return;
    q->sid = (str){q->room, form_decode(raw, q->room)};
    session *found = session_find(q->hub, q->sid, q->route);
    q->session = found ? CONTAINER(found, engineio_session, registered) : NULL;
}

/* One that waits for its last poll is known too, as far as GETs go. */
static bool sid_is_known(const inquiry *q)
{
    return q->session || (q->sid.at && engineio_goodbye_waits(q->hub, q->route, q->sid));
}

static int judge_session(const inquiry *q, const weft_request *request, bool polling)
{
    if (!sid_is_known(q))
        return ENGINEIO_UNKNOWN_SID;
    bool polls = !q->session || engineio_polls_carry(q->session);
    if ((!q->upgrade && polling != polls) || !asks_for(request, "EIO", "4"))
        return ENGINEIO_BAD_REQUEST;
    return -1;
}

/* The order is the reference's. -1: nothing is wrong. */
static int judge(const inquiry *q, const weft_request *request)
{
    const engineio_route *route = q->route;
    bool polling = route->polling && asks_for(request, "transport", "polling");
    bool frames = route->websocket && asks_for(request, "transport", "websocket");
    if (!polling && !frames)
        return ENGINEIO_UNKNOWN_TRANSPORT;
    if (q->has_sid)
        return judge_session(q, request, polling);
    if (!str_equal(weft_request_method(request), STR("GET")))
        return ENGINEIO_BAD_METHOD;
    return frames != q->upgrade ? ENGINEIO_BAD_REQUEST : -1;
}

static void refuse(exchange *e, int code, bool upgrade)
{
    if (upgrade)
        refuse_upgrade(e, (engineio_error)code, (str){NULL, 0});
    else
        engineio_refuse(e, (engineio_error)code, (str){NULL, 0});
}

/* Reads a request and judges it. False: it was refused, or went to the loop of its session, where it is judged. */
static bool inquire(inquiry *q, exchange *e, const weft_request *request, void *route, bool upgrade)
{
    *q = (inquiry){.route = route, .hub = e->context, .upgrade = upgrade};
    read_sid(q, request);
    if (session_follow(e, request, q->sid))
        return false;
    int code = judge(q, request);
    if (code >= 0)
        refuse(e, code, upgrade);
    return code < 0;
}

/* --------------------------------------------------------------------------------------------- a head that is kept */

size_t engineio_head_room(const weft_request *request)
{
    return sizeof(engineio_head) + engineio_head_len(request) + weft_request_address(request).len;
}

void engineio_head_put(engineio_head *head, const weft_request *request)
{
    str address = weft_request_address(request);
    *head = (engineio_head){
        .route = request->route,
        .len = (uint32_t)engineio_head_len(request),
        .address_len = (uint8_t)address.len,
        .secure = weft_request_secure(request),
    };
    memcpy(head->bytes, request->bytes, head->len);
    memcpy(head->bytes + head->len, address.at, address.len);
}

struct engineio_request {
    loop_task task;                  /* of what the program asked for: frees it at the end of the turn */
    const engineio_session *session; /* NULL: it is no longer what that is here by */
    engineio_request *next;
    weft_request request;
    sink nobody; /* in place of the connection, which may be gone */
    http1_head head;
    char bytes[]; /* of the head, and behind it the path */
};

static size_t no_text(sink *s, char *ret_text, size_t room)
{
    (void)s;
    (void)ret_text;
    (void)room;
    return 0;
}

static bool not_secure(const sink *s)
{
    (void)s;
    return false;
}

static size_t no_subject(const sink *s, char *ret_text, size_t room)
{
    (void)s;
    (void)ret_text;
    (void)room;
    return 0;
}

static const sink_ops nobody_ops = {.address = no_text, .secure = not_secure, .client_subject = no_subject};

engineio_request *engineio_request_new(const engineio_head *head)
{
    engineio_request *r = mem_zero(sizeof *r + head->len * 2 + 1);
    char *path = r ? r->bytes + head->len : NULL;
    size_t ignored;
    if (!r)
        return NULL;
    memcpy(r->bytes, head->bytes, head->len);
    http1_head_feed(&r->head, r->bytes, head->len, &ignored); /* it was read before */
    int64_t len = http1_decode_path((str){r->bytes + r->head.path_at, r->head.path_len}, path);
    r->nobody.ops = &nobody_ops;
    r->request = (weft_request){
        .head = &r->head,
        .bytes = r->bytes,
        .path = {path, len > 0 ? (size_t)len : 0},
        .route = head->route,
        .sink = &r->nobody,
        .address_len = head->address_len,
        .secure_at_proxy = head->secure,
    };
    memcpy(r->request.address, head->bytes + head->len, head->address_len);
    return r;
}

const weft_request *engineio_request_read(const engineio_request *r)
{
    return &r->request;
}

void engineio_request_free(engineio_request *r)
{
    if (r)
        request_done(&r->request);
    mem_free(r);
}

/* -------------------------------------------------------------------------------------------------------- handshakes */

static void refuse_memory(exchange *e)
{
    exchange_refuse(e, 503, STR("out of memory\n"));
}

static bool refuse_session(exchange *e)
{
    if (!sessions_are_full(e->context))
        return false;
    exchange_blame(e, LIMIT_SESSIONS);
    exchange_refuse(e, 503, STR("too many sessions (option: max_sessions)\n"));
    return true;
}

static int put_cookie(exchange *e, const weft_engineio_cookie *cookie, str sid)
{
    if (!cookie->name)
        return 0;
    return buf_printf(&e->fields, "Set-Cookie: %s=%.*s%s%s\r\n", cookie->name, (int)sid.len, sid.at,
                      *cookie->attributes ? "; " : "", cookie->attributes);
}

/* NULL: no memory. */
static engineio_session *new_polling(exchange *e, const weft_request *request, engineio_route *route)
{
    engineio_session *s = engineio_session_new(e->context, route);
    if (!s)
        return NULL;
    if (!engineio_polls_new(s, request) && !put_cookie(e, &route->settings.cookie, engineio_sid(s)))
        return s;
    engineio_session_discard(s);
    return NULL;
}

/* The open packet stands alone in its answer, as clients know it from the reference; what the layer has sent meanwhile waits for the next poll. */
static void shake_hands(exchange *e, const weft_request *request, engineio_route *route)
{
    char text[ENGINEIO_HANDSHAKE_BYTES];
    engineio_session *s = new_polling(e, request, route);
    if (!s) {
        refuse_memory(e);
        return;
    }
    size_t len = engineio_session_open_packet(s, text);
    engineio_session_begin(s, request);
    if (engineio_answer(e, STR("text/plain; charset=UTF-8"), (str){text, len}, NULL))
        engineio_end_session(s, ENGINEIO_TRANSPORT_ERROR, ENGINEIO_CUT);
}

static void serve_handshake(exchange *e, const weft_request *request, engineio_route *route, bool upgrade)
{
    int code = asks_for(request, "EIO", "4") ? -1 : ENGINEIO_UNSUPPORTED_VERSION;
    if (code >= 0)
        refuse(e, code, upgrade);
    else if (upgrade)
        websocket_serve(e, request, route->carrier); /* engineio_attach() goes on */
    else if (!refuse_session(e))
        shake_hands(e, request, route);
}

/* A handshake that the program has not decided on yet. */
typedef struct {
    undecided base;
    loop_task task; /* accepted: what follows is told to the program, which is on the stack now */
    engineio_route *route;
    engineio_head *head;
    bool upgrade;
} undecided_handshake;

static void forget(exchange *e)
{
    undecided_handshake *u = e->held_state;
    loop_undefer(u->base.hub->loop, &u->task);
    mem_free(u->head);
    undecided_forget(e);
}

static void accepted(loop_task *task)
{
    undecided_handshake *u = CONTAINER(task, undecided_handshake, task);
    exchange *e = u->base.exchange;
    engineio_head *head = u->head;
    engineio_request *r = engineio_request_new(head);
    u->head = NULL; /* the exchange, and all of this, goes first */
    if (r)
        serve_handshake(e, engineio_request_read(r), u->route, u->upgrade);
    else
        refuse_memory(e);
    engineio_request_free(r);
    mem_free(head);
}

static int accept_later(exchange *e, const char *subprotocol, bool plain)
{
    undecided_handshake *u = e->held_state;
    (void)plain;
    if (subprotocol)
        return WEFT_E_INVALID;
    exchange_close(e); /* what the program says of it in `open` must not answer what is being answered */
    loop_cancel(u->base.hub->loop, &u->base.deadline);
    loop_defer(u->base.hub->loop, &u->task);
    return 0;
}

static int reject(exchange *e, int status, str text)
{
    const undecided_handshake *u = e->held_state;
    (void)status;
    return u->upgrade ? refuse_upgrade(e, ENGINEIO_FORBIDDEN, text) : engineio_refuse(e, ENGINEIO_FORBIDDEN, text);
}

static const held_ops undecided_ops = {.accept = accept_later, .reject = reject, .forget = forget};

/* False: no memory. */
static bool hold(exchange *e, const weft_request *request, engineio_route *route, bool upgrade)
{
    engineio_head *head = mem_new(engineio_head_room(request));
    undecided_handshake *u = NULL;
    if (head)
        u = undecided_new(e, sizeof *u, &undecided_ops, route->settings.accept_timeout_ms);
    if (!u) {
        mem_free(head);
        return false;
    }
    engineio_head_put(head, request);
    u->task.run = accepted;
    u->route = route;
    u->head = head;
    u->upgrade = upgrade;
    return true;
}

static void ask_program(exchange *e, const weft_request *request, engineio_route *route, bool upgrade)
{
    if (!route->request)
        serve_handshake(e, request, route, upgrade);
    else if (hold(e, request, route, upgrade))
        route->request((weft_exchange){e->id}, request, route->user);
    else
        refuse_memory(e);
}

/* ------------------------------------------------------------------------------------------------------------ serving */

/* Who may do what is told by the origin's own field, which is there already. */
static void answer_preflight(exchange *e, const weft_request *request)
{
    str fields = weft_request_header(request, "Access-Control-Request-Headers");
    exchange_add_field(e, STR("Access-Control-Allow-Methods"), STR("GET, POST, OPTIONS"));
    if (fields.len)
        exchange_add_field(e, STR("Access-Control-Allow-Headers"), fields);
    exchange_add_field(e, STR("Access-Control-Max-Age"), STR("600"));
    engineio_answer_empty(e, 204);
}

void engineio_other_method(exchange *e, const weft_request *request, void *route)
{
    inquiry q;
    if (str_equal(weft_request_method(request), STR("OPTIONS")) && origins_of(e))
        answer_preflight(e, request);
    else if (inquire(&q, e, request, route, false))
        refuse(e, ENGINEIO_BAD_METHOD, false);
}

/* It is answered already. */
void engineio_other_body(exchange *e, str piece, void *route)
{
    (void)e;
    (void)piece;
    (void)route;
}

void engineio_get(exchange *e, const weft_request *request, void *route)
{
    inquiry q;
    if (e->head_only) {
        engineio_other_method(e, request, route);
        return;
    }
    if (!inquire(&q, e, request, route, false))
        return;
    if (!q.has_sid)
        ask_program(e, request, q.route, false);
    else if (q.session)
        engineio_poll(q.session, e);
    else if (!engineio_goodbye_take(q.hub, q.route, q.sid, e))
        refuse(e, ENGINEIO_UNKNOWN_SID, false);
}

void engineio_post(exchange *e, const weft_request *request, void *route)
{
    inquiry q;
    if (!inquire(&q, e, request, route, false))
        return;
    if (q.session)
        engineio_post_begin(q.session, e, request);
    else
        refuse(e, ENGINEIO_UNKNOWN_SID, false);
}

void engineio_upgrade(exchange *e, const weft_request *request, void *route)
{
    inquiry q;
    if (!inquire(&q, e, request, route, true))
        return;
    if (!q.has_sid)
        ask_program(e, request, q.route, true);
    else if (!q.session || !asks_for(request, "transport", "websocket") || q.route->settings.no_upgrades)
        refuse(e, q.session ? ENGINEIO_BAD_REQUEST : ENGINEIO_UNKNOWN_SID, true);
    else
        websocket_serve(e, request, q.route->carrier);
}

/* ----------------------------------------------------------------------------------------- what the program asks for */

/* One for each session that was asked about in this turn, and has not been told something else since. */
static engineio_request **given_to(const engineio_session *s)
{
    engineio_request **at = &s->hub->asking.given;
    while (*at && (*at)->session != s)
        at = &(*at)->next;
    return at;
}

/* The program may still be looking at it. */
void engineio_drop_asked(engineio_session *s)
{
    engineio_request **at = given_to(s), *r = *at;
    if (!r)
        return;
    *at = r->next;
    r->session = NULL;
}

static void free_asked(loop_task *task)
{
    engineio_request *r = CONTAINER(task, engineio_request, task);
    if (r->session)
        *given_to(r->session) = r->next;
    engineio_request_free(r);
}

/* Until the end of the turn. NULL: no memory. */
static engineio_request *give(engineio_session *s, const engineio_head *head)
{
    engineio_request *r = engineio_request_new(head);
    if (!r)
        return NULL;
    r->session = s;
    r->next = s->hub->asking.given;
    s->hub->asking.given = r;
    r->task.run = free_asked;
    loop_defer(engineio_loop(s), &r->task);
    return r;
}

const weft_request *engineio_request_of(engineio_session *s)
{
    const hub_asking *asking = &s->hub->asking;
    const engineio_head *head = engineio_polls_carry(s) && s->polls ? engineio_post_head(s->polls->post) : NULL;
    if (asking->session == s)
        return asking->request;
    head = head ? head : s->head;
    if (!head)
        return NULL;
    engineio_request *r = *given_to(s);
    r = r ? r : give(s, head);
    return r ? &r->request : NULL;
}

void engineio_forget_request(engineio_session *s)
{
    s->forgotten = true;
    if (s->route->settings.keep_request)
        return;
    engineio_drop_asked(s);
    mem_free(s->head);
    s->head = NULL;
}
