/*
 * weft-conformance socketio-client: the server that the tests of npm's socket.io-client talk to. Each new connection waits for 10 ms, and a connection
 * that was lost is recovered.
 */
#include "suites.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BYTES                                                                                                          \
    (weft_str)                                                                                                         \
    {                                                                                                                  \
        "asdfasdf", 8                                                                                                  \
    }

/** What a client has sent of a series, and how it came. */
typedef struct {
    char *handshake; /* as JSON */
    int had_abuff1, had_blob1, had_blob2;
} visitor;

/* ------------------------------------------------------------------------------------------------------- a growing text */

typedef struct {
    char *at;
    size_t len, room;
} text;

static void put(text *t, weft_str bytes)
{
    if (t->len + bytes.len + 1 > t->room) {
        size_t room = 2 * (t->len + bytes.len) + 256;
        char *larger = realloc(t->at, room);
        if (!larger)
            exit(1);
        t->at = larger;
        t->room = room;
    }
    if (bytes.len)
        memcpy(t->at + t->len, bytes.at, bytes.len);
    t->len += bytes.len;
    t->at[t->len] = '\0';
}

static void put_plain(text *t, const char *plain)
{
    put(t, (weft_str){plain, strlen(plain)});
}

static void put_string(text *t, weft_str value)
{
    char *quoted = malloc(6 * value.len + 3);
    if (quoted && weft_json_quote(value, quoted, 6 * value.len + 3) >= 0)
        put_plain(t, quoted);
    else
        put_plain(t, "null");
    free(quoted);
}

/* ------------------------------------------------------------------------------------------------------------ handshake */

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

static void put_headers(text *t, const weft_request *request)
{
    weft_str name, value;
    put_plain(t, "{");
    for (size_t n = 0; weft_request_header_at(request, n, &name, &value); n++) {
        char copy[128];
        size_t len = name.len < sizeof copy ? name.len : sizeof copy;
        for (size_t i = 0; i < len; i++)
            copy[i] = lower(name.at[i]);
        put_plain(t, n ? "," : "");
        put_string(t, (weft_str){copy, len});
        put_plain(t, ":");
        put_string(t, value);
    }
    put_plain(t, "}");
}

static int hex(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : lower(c) - 'a' + 10;
}

static void put_decoded(text *t, const char *at, size_t len)
{
    char *decoded = malloc(len + 1);
    size_t n = 0;
    for (size_t i = 0; decoded && i < len; i++) {
        int escape = at[i] == '%' && i + 2 < len;
        decoded[n++] = escape ? (char)(hex(at[i + 1]) * 16 + hex(at[i + 2])) : at[i] == '+' ? ' ' : at[i];
        i += escape ? 2 : 0;
    }
    put_string(t, (weft_str){decoded, n});
    free(decoded);
}

static void put_query(text *t, weft_str query)
{
    const char *at = query.at, *end = query.at + query.len;
    put_plain(t, "{");
    while (at < end) {
        const char *next = memchr(at, '&', (size_t)(end - at)), *stop = next ? next : end;
        const char *equals = memchr(at, '=', (size_t)(stop - at)), *name_end = equals ? equals : stop;
        put_plain(t, at > query.at ? "," : "");
        put_decoded(t, at, (size_t)(name_end - at));
        put_plain(t, ":");
        put_decoded(t, equals ? equals + 1 : stop, equals ? (size_t)(stop - equals - 1) : 0);
        at = next ? next + 1 : end;
    }
    put_plain(t, "}");
}

static void put_url(text *t, const weft_request *request)
{
    text url = {0};
    put(&url, weft_request_path(request));
    put_plain(&url, "?");
    put(&url, weft_request_query(request));
    put_string(t, (weft_str){url.at, url.len});
    free(url.at);
}

/* Without the port. */
static weft_str host_of(weft_str address)
{
    while (address.len && address.at[address.len - 1] != ':')
        address.len--;
    address.len -= address.len > 0;
    return address;
}

static char *handshake_of(weft_peer peer)
{
    const weft_request *request = weft_peer_request(peer);
    text t = {0};
    char times[128], date[64];
    time_t now = time(NULL);
    strftime(date, sizeof date, "%a %b %d %Y %H:%M:%S GMT+0000", gmtime_r(&now, &(struct tm){0}));
    snprintf(times, sizeof times, ",\"time\":\"%s\",\"issued\":%lld,\"url\":", date, (long long)now * 1000);
    put_plain(&t, "{\"headers\":");
    put_headers(&t, request);
    put_plain(&t, ",\"query\":");
    put_query(&t, weft_request_query(request));
    put_plain(&t, ",\"auth\":");
    put(&t, weft_socketio_auth(peer));
    put_plain(&t, times);
    put_url(&t, request);
    put_plain(&t, ",\"address\":");
    put_string(&t, host_of(weft_request_address(request)));
    put_plain(&t, weft_request_header(request, "Origin").len ? ",\"xdomain\":true" : ",\"xdomain\":false");
    put_plain(&t, weft_request_secure(request) ? ",\"secure\":true}" : ",\"secure\":false}");
    return t.at;
}

/* --------------------------------------------------------------------------------------------------------------- answers */

static char *array_of(const char *argument)
{
    text t = {0};
    put_plain(&t, "[");
    put_plain(&t, argument);
    put_plain(&t, "]");
    return t.at;
}

static void emit_one(weft_peer peer, const char *name, const char *argument)
{
    char *args = array_of(argument);
    weft_socketio_emit(peer, name, args);
    free(args);
}

static void acknowledge_one(const weft_socketio_event *event, const char *argument)
{
    char *args = array_of(argument);
    weft_socketio_acknowledge_event(event->ack, &(weft_socketio_event){.args = {args, strlen(args)},
                                                                       .attachments = event->attachments,
                                                                       .n_attachments = event->n_attachments});
    free(args);
}

static const char *date_now(void)
{
    static char date[64];
    struct timespec now;
    char seconds[32];
    clock_gettime(CLOCK_REALTIME, &now);
    strftime(seconds, sizeof seconds, "%Y-%m-%dT%H:%M:%S", gmtime_r(&now.tv_sec, &(struct tm){0}));
    snprintf(date, sizeof date, "\"%s.%03dZ\"", seconds, (int)(now.tv_nsec / 1000000));
    return date;
}

static void hi(weft_peer peer, const weft_socketio_event *event)
{
    (void)event;
    weft_socketio_emit(peer, "hi", NULL);
}

static void echo(weft_peer peer, const weft_socketio_event *event)
{
    weft_str value = weft_socketio_argument(event, 0);
    text copy = {0};
    (void)peer;
    put(&copy, value);
    acknowledge_one(event, copy.at);
    free(copy.at);
}

static int is_json(weft_str value, const char *json)
{
    return value.len == strlen(json) && memcmp(value.at, json, value.len) == 0;
}

static void acknowledged(weft_peer peer, int result, const weft_socketio_event *answer, void *user)
{
    (void)user;
    if (result == 0 && is_json(weft_socketio_argument(answer, 0), "5") &&
        is_json(weft_json_member(weft_socketio_argument(answer, 1), "test"), "true"))
        weft_socketio_emit(peer, "got it", NULL);
}

static void ask(weft_peer peer, const weft_socketio_event *event)
{
    (void)event;
    weft_socketio_call(peer, &(weft_socketio_event){.name = {"ack", 3}}, 0, acknowledged, NULL);
}

static void get_ack_date(weft_peer peer, const weft_socketio_event *event)
{
    (void)peer;
    acknowledge_one(event, date_now());
}

static void get_date(weft_peer peer, const weft_socketio_event *event)
{
    (void)event;
    emit_one(peer, "takeDate", date_now());
}

static void get_date_object(weft_peer peer, const weft_socketio_event *event)
{
    char object[96];
    (void)event;
    snprintf(object, sizeof object, "{\"date\":%s}", date_now());
    emit_one(peer, "takeDateObj", object);
}

static void get_utf8(weft_peer peer, const weft_socketio_event *event)
{
    static const char *const texts[] = {"\"てすと\"", "\"Я Б Г Д Ж Й\"", "\"Ä ä Ü ü ß\"", "\"utf8 — string\"",
                                        "\"utf8 — string\""};
    (void)event;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        emit_one(peer, "takeUtf8", texts[i]);
}

static void say_false(weft_peer peer, const weft_socketio_event *event)
{
    (void)event;
    emit_one(peer, "false", "false");
}

static void get_handshake(weft_peer peer, const weft_socketio_event *event)
{
    const visitor *v = weft_data(peer);
    acknowledge_one(event, v->handshake);
}

static void get_id(weft_peer peer, const weft_socketio_event *event)
{
    char id[64];
    snprintf(id, sizeof id, "\"%s\"", weft_socketio_id(peer));
    acknowledge_one(event, id);
}

/* ---------------------------------------------------------------------------------------------------------------- binary */

static void emit_bytes(weft_peer peer, const char *name)
{
    static const char args[] = "[{\"_placeholder\":true,\"num\":0}]";
    weft_socketio_emit_event(peer, &(weft_socketio_event){.name = {name, strlen(name)},
                                                          .args = {args, sizeof args - 1},
                                                          .attachments = &BYTES,
                                                          .n_attachments = 1});
}

static void doge(weft_peer peer, const weft_socketio_event *event)
{
    (void)event;
    emit_bytes(peer, "doge");
}

static void get_bin(weft_peer peer, const weft_socketio_event *event)
{
    (void)event;
    emit_bytes(peer, "takebin");
}

static int has_binary(const weft_socketio_event *event)
{
    return weft_socketio_attachment(event, 0).at != NULL;
}

static void buffa(weft_peer peer, const weft_socketio_event *event)
{
    if (has_binary(event))
        weft_socketio_emit(peer, "buffack", NULL);
}

static void blob(weft_peer peer, const weft_socketio_event *event)
{
    if (has_binary(event))
        weft_socketio_emit(peer, "back", NULL);
}

static int is_mixed(const weft_socketio_event *event)
{
    weft_str object = weft_socketio_argument(event, 0);
    return event->n_attachments == 1 && is_json(weft_json_member(object, "hello"), "\"lol\"") &&
           weft_json_member(weft_json_member(object, "message"), "_placeholder").at &&
           is_json(weft_json_member(object, "goodbye"), "\"gotcha\"");
}

static void json_buff(weft_peer peer, const weft_socketio_event *event)
{
    if (is_mixed(event))
        weft_socketio_emit(peer, "jsonbuff-ack", NULL);
}

static void json_blob(weft_peer peer, const weft_socketio_event *event)
{
    if (is_mixed(event))
        weft_socketio_emit(peer, "jsonblob-ack", NULL);
}

static void abuff1(weft_peer peer, const weft_socketio_event *event)
{
    ((visitor *)weft_data(peer))->had_abuff1 = has_binary(event);
}

static void abuff2(weft_peer peer, const weft_socketio_event *event)
{
    (void)event;
    if (((visitor *)weft_data(peer))->had_abuff1)
        weft_socketio_emit(peer, "abuff2-ack", NULL);
}

static void blob1(weft_peer peer, const weft_socketio_event *event)
{
    ((visitor *)weft_data(peer))->had_blob1 = has_binary(event);
}

static void blob2(weft_peer peer, const weft_socketio_event *event)
{
    visitor *v = weft_data(peer);
    v->had_blob2 = v->had_blob1 && is_json(weft_socketio_argument(event, 0), "\"second\"");
}

static void blob3(weft_peer peer, const weft_socketio_event *event)
{
    if (((visitor *)weft_data(peer))->had_blob2 && has_binary(event))
        weft_socketio_emit(peer, "blob3-ack", NULL);
}

/* ------------------------------------------------------------------------------------------------------------ the routes */

static void answer(weft_peer peer, const weft_socketio_event *event)
{
    static const struct {
        const char *name;
        void (*answer)(weft_peer peer, const weft_socketio_event *event);
    } words[] = {
        {"hi", hi},
        {"echo", echo},
        {"ack", ask},
        {"getAckDate", get_ack_date},
        {"getDate", get_date},
        {"getDateObj", get_date_object},
        {"getUtf8", get_utf8},
        {"false", say_false},
        {"getHandshake", get_handshake},
        {"getId", get_id},
        {"doge", doge},
        {"getbin", get_bin},
        {"buffa", buffa},
        {"blob", blob},
        {"jsonbuff", json_buff},
        {"jsonblob", json_blob},
        {"abuff1", abuff1},
        {"abuff2", abuff2},
        {"blob1", blob1},
        {"blob2", blob2},
        {"blob3", blob3},
    };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (weft_socketio_event_is(event, words[i].name))
            words[i].answer(peer, event);
}

static void answer_id(weft_peer peer, const weft_socketio_event *event)
{
    if (weft_socketio_event_is(event, "getId"))
        get_id(peer, event);
}

static void accept_now(weft *app, void *user)
{
    weft_exchange *waiting = user;
    (void)app;
    weft_accept(*waiting, NULL);
    free(waiting);
}

/* The application is not at hand in a request's callback: it is the route's `user`. */
static void accept_later(weft_exchange exchange, const weft_request *request, void *user)
{
    weft_exchange *waiting = malloc(sizeof *waiting);
    (void)request;
    if (!waiting)
        exit(1);
    *waiting = exchange;
    weft_after(user, 10, accept_now, waiting);
}

static void refuse_some(weft_peer peer)
{
    if (weft_request_query_value(weft_peer_request(peer), "fail").len)
        weft_socketio_refuse(peer, "Auth failed (main namespace)", NULL);
    else
        weft_socketio_admit(peer);
}

static void refuse_all(weft_peer peer)
{
    weft_socketio_refuse(peer, "Auth failed (custom namespace)", NULL);
}

static void welcome(weft_peer peer)
{
    visitor *v = weft_data(peer);
    v->handshake = handshake_of(peer);
}

static void forget(weft_peer peer, int code, weft_str reason)
{
    visitor *v = weft_data(peer);
    (void)code;
    (void)reason;
    free(v->handshake);
}

static void tell_handshake(weft_peer peer)
{
    char *handshake = handshake_of(peer);
    emit_one(peer, "handshake", handshake);
    free(handshake);
}

void add_socketio_client(weft *app)
{
    const weft_socketio_options options = {
        .user = app,
        .peer_bytes = sizeof(visitor),
        .request = accept_later,
        .gate = refuse_some,
        .open = welcome,
        .event = answer,
        .close = forget,
        .recovery_ms = 120000,
        .engine = {.ping_interval_ms = 2000, .keep_request = 1},
    };
    static const weft_socketio_options none = {0}, ids = {.event = answer_id}, abc = {.open = tell_handshake},
                                       no = {.gate = refuse_all};
    weft_socketio(app, "/socket.io/", &options);
    weft_socketio_namespace(app, "/socket.io/", "/foo", &ids);
    weft_socketio_namespace(app, "/socket.io/", "/timeout_socket", &none);
    weft_socketio_namespace(app, "/socket.io/", "/valid", &none);
    weft_socketio_namespace(app, "/socket.io/", "/asd", &none);
    weft_socketio_namespace(app, "/socket.io/", "/abc", &abc);
    weft_socketio_namespace(app, "/socket.io/", "/no", &no);
}
