#include "hub/scripted.h"

#include "hub/message.h"
#include "hub/presence.h"
#include "transport/socketio_loops.h"

static socketio_route the_route;
static socketio_namespace the_namespace;
static socketio_socket members[2]; /* of every room */
static bool somebody_is_there;
static char heard[8192]; /* what was broadcast, once each: "room-sender!except name args attachment…; " */
static int fail_with;
static void (*during)(void);
static size_t n_closed, n_forgotten;
static const peer *socket_peer; /* of a socket in the room */
static socketio_socket sender;

/* ---- neighbours ---- */

socketio_namespace *socketio_namespace_find(const socketio_route *route, const hub *h, str name)
{
    assert_ptr_equal(h, &stage.hub);
    assert_ptr_equal(route, &the_route);
    return somebody_is_there && str_equal(name, STR("/chat")) ? &the_namespace : NULL;
}

socketio_socket *socketio_socket_of(peer *p)
{
    return p == socket_peer ? &sender : NULL;
}

bool socketio_name_valid(str name)
{
    return name.len <= 255 && !str_equal(name, STR("disconnect"));
}

static void hear(const char *before, str text, const char *after)
{
    size_t len = strlen(heard);
    int n = snprintf(heard + len, sizeof heard - len, "%s%.*s%s", before, (int)text.len, text.at, after);
    assert_true(n >= 0 && len + (size_t)n < sizeof heard);
}

int socketio_broadcast(socketio_namespace *n, const socketio_audience *to, const socketio_emission *what)
{
    assert_ptr_equal(n, &the_namespace);
    assert_null(socketio_bridge_find(&the_route, STR("/chat"), to)); /* or it would go round for ever */
    if (during)
        during();
    if (fail_with)
        return fail_with;
    for (uint32_t i = 0; i < to->n_rooms; i++)
        hear("", to->rooms[i], "");
    if (to->sender)
        hear("-", STR("sender"), "");
    for (uint32_t i = 0; i < to->n_except; i++)
        hear("!", to->except[i], "");
    hear(what->is_volatile ? "~" : " ", what->name, " ");
    hear("", what->args, "");
    for (uint32_t i = 0; i < what->n_attachments; i++)
        hear(" <", what->attachments[i], ">");
    hear("", STR("; "), "");
    return 0;
}

/* There is one loop. */
unsigned socketio_home(const socketio_route *route, const hub_links *all, str nsp)
{
    (void)route;
    (void)all;
    (void)nsp;
    fail();
    return 0;
}

int socketio_loops_give(socketio_route *route, hub *h, const socketio_order *order)
{
    (void)route;
    (void)h;
    (void)order;
    fail();
    return 0;
}

void socketio_loops_lose(socketio_route *route, hub *h)
{
    (void)route;
    (void)h;
    fail();
}

void socketio_each(socketio_namespace *n, const socketio_audience *to, void (*fn)(socketio_socket *s, void *user),
                   void *user)
{
    (void)to;
    assert_ptr_equal(n, &the_namespace);
    for (size_t i = 0; i < N_OF(members); i++)
        fn(&members[i], user);
}

void socketio_client_close(socketio_client *c, engineio_end why)
{
    (void)c;
    assert_int_equal(why, ENGINEIO_FORCED_CLOSE);
    n_closed++;
}

void socketio_log_forget(socketio_log *l)
{
    (void)l;
    n_forgotten++;
}

/* ---- a bridge between the room "lobby" of "/chat" and the topic "hall" ---- */

static socketio_client connections[2];

static int start_with(const char *room)
{
    assert_int_equal(stage_init(), 0);
    the_route = (socketio_route){0};
    the_namespace = (socketio_namespace){.route = &the_route, .hub = &stage.hub};
    somebody_is_there = true;
    heard[0] = '\0';
    fail_with = 0;
    during = NULL;
    socket_peer = NULL;
    n_closed = n_forgotten = 0;
    for (size_t i = 0; i < N_OF(members); i++)
        members[i] = (socketio_socket){.client = &connections[i]};
    assert_int_equal(socketio_bridge_add(&the_route, STR("/chat"), str_from(room), STR("hall")), 0);
    return 0;
}

static int start(void **state)
{
    (void)state;
    start_with("lobby");
    return socketio_bridges_start(&the_route, &stage.hub);
}

static int start_whole(void **state)
{
    (void)state;
    start_with("");
    return socketio_bridges_start(&the_route, &stage.hub);
}

static int stop(void **state)
{
    (void)state;
    socketio_bridges_stop(&the_route, &stage.hub);
    socketio_bridges_free(&the_route);
    stage_done();
    return 0;
}

static void assert_heard(const char *expected)
{
    assert_string_equal(heard, expected);
    heard[0] = '\0';
}

static void publish_to_hall(weft_kind kind, const char *event, str data, uint64_t except)
{
    blob *body;
    weft_message message = {.kind = kind, .data = data, .event = str_from(event)};
    assert_int_equal(message_blob(&stage.loop.blocks, &message, false, &body), 0);
    stage.calls++;
    assert_int_equal(hub_publish(&stage.hub, STR("hall"), body, except, NULL), 0);
    reach_subscribers();
    stage.calls--;
}

static client *listener(void)
{
    client *c = guest();
    stage.hub.marked_task.run(&stage.hub.marked_task);
    assert_int_equal(hub_subscribe(&stage.hub, &c->line->peer, STR("hall"), (since){.from = SINCE_NOW}, NULL), 0);
    return c;
}

typedef struct {
    const char *room, *except, *name, *args;
    const socketio_socket *sender;
    const weft_str *attachments;
    uint32_t n_attachments;
    bool is_volatile;
} emission;

/** As weft_socketio_broadcast() does it. */
static int emit(emission e)
{
    str room = str_from(e.room), except = str_from(e.except);
    socketio_audience to = {.rooms = &room, .except = &except, .sender = e.sender};
    to.n_rooms = room.len > 0;
    to.n_except = except.len > 0;
    socketio_emission what = {.name = str_from(e.name),
                              .args = str_from(e.args),
                              .attachments = e.attachments,
                              .n_attachments = e.n_attachments,
                              .is_volatile = e.is_volatile};
    socketio_bridge *bridge = socketio_bridge_find(&the_route, STR("/chat"), &to);
    stage.calls++;
    int result = bridge ? socketio_bridge_publish(bridge, &to, &what) : socketio_broadcast(&the_namespace, &to, &what);
    reach_subscribers();
    stage.calls--;
    return result;
}

/* ---------------------------------------------------------------------------------------------------- from the topic */

static void publish__is_emitted_in_the_room(void **state)
{
    (void)state;
    publish_to_hall(WEFT_TEXT, NULL, STR("say \"hi\"\n"), 0);
    assert_heard("lobby message [\"say \\\"hi\\\"\\n\"]; ");
    publish_to_hall(WEFT_TEXT, "note", STR("caf\xc3\xa9"), 0);
    assert_heard("lobby note [\"caf\xc3\xa9\"]; ");
    publish_to_hall(WEFT_JSON, NULL, STR("{\"a\": 1}"), 0);
    assert_heard("lobby message [{\"a\":1}]; ");
    publish_to_hall(WEFT_JSON, NULL, STR("[1, 2]"), 0); /* has no event's name: one argument */
    assert_heard("lobby message [[1,2]]; ");
    publish_to_hall(WEFT_JSON, "sum", STR("[1,2]"), 0);
    assert_heard("lobby sum [1,2]; ");
    publish_to_hall(WEFT_JSON, "sum", STR("7"), 0);
    assert_heard("lobby sum [7]; ");
    publish_to_hall(WEFT_BINARY, "pic", STR("\x89PNG"), 0);
    assert_heard("lobby pic [{\"_placeholder\":true,\"num\":0}] <\x89PNG>; ");
    publish_to_hall(WEFT_BINARY, NULL, STR(""), 0);
    assert_heard("lobby message [{\"_placeholder\":true,\"num\":0}] <>; ");
    publish_to_hall(WEFT_TEXT, "disconnect", STR("x"), 0); /* no client takes such an event */
    assert_heard("lobby message [\"x\"]; ");
}

static void publish__without_anybody_in_the_namespace_is_fine(void **state)
{
    (void)state;
    client *c = listener();
    somebody_is_there = false;
    publish_to_hall(WEFT_TEXT, NULL, STR("one"), 0);
    assert_int_equal(emit((emission){.room = "lobby", .name = "two", .args = "[2]"}), 0);
    assert_heard("");
    assert_log(c->wire, "one [2] ");
}

static void publish__to_all_but_a_socket_passes_it_by(void **state)
{
    (void)state;
    client *c = guest();
    publish_to_hall(WEFT_TEXT, NULL, STR("one"), c->handle.id);
    assert_heard("lobby message [\"one\"]; "); /* a peer of another transport */
    socket_peer = &c->line->peer;
    publish_to_hall(WEFT_TEXT, NULL, STR("two"), c->handle.id);
    assert_heard("lobby-sender message [\"two\"]; ");
}

/* ------------------------------------------------------------------------------------------------------- to the topic */

static void broadcast__reaches_room_and_topic_once(void **state)
{
    (void)state;
    client *c = listener();
    assert_int_equal(emit((emission){.room = "lobby", .name = "chat", .args = "[\"hi\",1]"}), 0);
    assert_heard("lobby chat [\"hi\",1]; ");
    assert_log(c->wire, "[\"hi\",1] ");
    assert_int_equal(emit((emission){.room = "lobby", .name = "nothing"}), 0);
    assert_heard("lobby nothing []; ");
    assert_log(c->wire, "[] ");
}

static weft_kind last_kind;
static char last_event[64], last_data[256];

static int note_deliver(peer *p, topic *t, uint64_t offset)
{
    const blob *body = topic_message_at(t, offset)->body;
    (void)p;
    last_kind = body->kind;
    snprintf(last_event, sizeof last_event, "%.*s", (int)body->event_len, blob_event(body).at);
    snprintf(last_data, sizeof last_data, "%.*s", (int)body->data_len, blob_data(body).at);
    return 0;
}

static void assert_published(weft_kind kind, const char *event, const char *data)
{
    assert_int_equal(last_kind, kind);
    assert_string_equal(last_event, event);
    assert_string_equal(last_data, data);
}

static void broadcast__is_a_message_with_its_events_name(void **state)
{
    (void)state;
    static peer_ops noting;
    client *c = listener();
    noting = scripted_ops;
    noting.deliver = note_deliver;
    c->line->peer.ops = &noting;
    emit((emission){.room = "lobby", .name = "chat", .args = "[1]"});
    assert_published(WEFT_JSON, "chat", "[1]");
    weft_str bytes[] = {STR("abc"), STR("d")};
    emit((emission){.room = "lobby",
                    .name = "pic",
                    .args = "[{\"_placeholder\":true,\"num\":0}]",
                    .attachments = bytes,
                    .n_attachments = 1});
    assert_published(WEFT_BINARY, "pic", "abc");
    assert_heard("lobby chat [1]; lobby pic [{\"_placeholder\":true,\"num\":0}] <abc>; ");
}

/** The room gets them as they are; a topic's message has one body, so there they stand in the JSON, as base64. */
static void broadcast__of_several_attachments_is_base64_in_the_topic(void **state)
{
    (void)state;
    client *c = listener();
    weft_str bytes[] = {STR("abc"), STR("d")};
    static const char args[] = "[{\"_placeholder\":true,\"num\":1},{\"x\":[{\"num\":0,\"_placeholder\":true}],\"s\":\"{"
                               "\\\"_placeholder\\\":true}\"},{\"_placeholder\":false,\"num\":0},7]";
    emit((emission){.room = "lobby", .name = "two", .args = args, .attachments = bytes, .n_attachments = 2});
    assert_heard(
        "lobby two [{\"_placeholder\":true,\"num\":1},{\"x\":[{\"num\":0,\"_placeholder\":true}],\"s\":\"{\\\"_"
        "placeholder\\\":true}\"},{\"_placeholder\":false,\"num\":0},7] <abc> <d>; ");
    assert_log(c->wire, "[\"ZA==\",{\"x\":[\"YWJj\"],\"s\":\"{\\\"_placeholder\\\":true}\"},{\"_placeholder\":false,"
                        "\"num\":0},7] ");
    emit((emission){.room = "lobby",
                    .name = "one",
                    .args = "[{\"_placeholder\":true,\"num\":0},2]",
                    .attachments = bytes,
                    .n_attachments = 1});
    assert_heard("lobby one [{\"_placeholder\":true,\"num\":0},2] <abc>; ");
    assert_log(c->wire, "[\"YWJj\",2] ");
}

static void broadcast__without_its_sender_leaves_it_out_of_both(void **state)
{
    (void)state;
    client *c = listener(), *other = listener();
    socket_peer = &c->line->peer;
    sender = (socketio_socket){.peer = {.id = c->handle.id}};
    assert_int_equal(emit((emission){.room = "lobby", .name = "chat", .args = "[1]", .sender = &sender}), 0);
    assert_heard("lobby-sender chat [1]; ");
    assert_log(c->wire, "");
    assert_log(other->wire, "[1] ");
}

static void broadcast__with_exceptions_reaches_room_and_topic_once(void **state)
{
    (void)state;
    client *c = listener();
    assert_int_equal(emit((emission){.room = "lobby", .except = "muted", .name = "chat", .args = "[1]"}), 0);
    assert_heard("lobby!muted chat [1]; ");
    assert_log(c->wire, "[1] ");
}

static void broadcast__that_is_volatile_stays_so_in_the_room(void **state)
{
    (void)state;
    client *c = listener();
    assert_int_equal(emit((emission){.room = "lobby", .name = "tick", .args = "[1]", .is_volatile = true}), 0);
    assert_heard("lobby~tick [1]; ");
    assert_log(c->wire, "[1] ");
}

static void broadcast__of_a_name_that_no_topic_carries_is_refused_whole(void **state)
{
    (void)state;
    client *c = listener();
    char name[300] = "";
    assert_int_equal(emit((emission){.room = "lobby", .name = "a\nb", .args = "[1]"}), WEFT_E_INVALID);
    assert_int_equal(emit((emission){.room = "lobby", .name = "", .args = "[1]"}), WEFT_E_INVALID);
    memset(name, 'n', 256);
    assert_int_equal(emit((emission){.room = "lobby", .name = name, .args = "[1]"}), WEFT_E_INVALID);
    assert_heard("");
    assert_log(c->wire, "");
}

static bool finds(const char *nsp, const str *rooms, uint32_t n)
{
    return socketio_bridge_find(&the_route, str_from(nsp), &(socketio_audience){.rooms = rooms, .n_rooms = n});
}

static void find__wants_exactly_the_room(void **state)
{
    (void)state;
    const str rooms[] = {STR("lobby"), STR("lobby2")};
    assert_true(finds("/chat", rooms, 1));
    assert_false(finds("/chat", rooms, 2));
    assert_false(finds("/chat", &rooms[1], 1));
    assert_false(finds("/chat", NULL, 0));
    assert_false(finds("/", rooms, 1));
    socketio_bridges_stop(&the_route, &stage.hub);
    assert_false(finds("/chat", rooms, 1));
    uint32_t at = 0;
    assert_null(slots_next(&stage.table, SLOT_CLOSING, &at));
    publish_to_hall(WEFT_TEXT, NULL, STR("x"), 0);
    assert_heard("");
    socketio_bridges_stop(&the_route, &stage.hub);
}

static void find__of_a_whole_namespace_wants_no_room(void **state)
{
    (void)state;
    const str room = STR("lobby");
    client *c = listener();
    assert_true(finds("/chat", NULL, 0));
    assert_false(finds("/chat", &room, 1));
    emit((emission){.name = "all", .args = "[1]"});
    emit((emission){.room = "lobby", .name = "some", .args = "[2]"});
    assert_heard(" all [1]; lobby some [2]; ");
    assert_log(c->wire, "[1] ");
}

static void two_rooms_of_one_topic__hear_each_other(void **state)
{
    (void)state;
    start_with("lobby");
    assert_int_equal(socketio_bridge_add(&the_route, STR("/chat"), STR("attic"), STR("hall")), 0);
    assert_int_equal(socketio_bridges_start(&the_route, &stage.hub), 0);
    emit((emission){.room = "attic", .name = "chat", .args = "[1]"});
    assert_heard("attic chat [1]; lobby chat [1]; "); /* the room that it was emitted in first */
    stop(state);
}

/* --------------------------------------------------------------------------------------------------------------- order */

enum { CROWD = 600 };

/** A fan-out that takes longer than its slice goes on in the next turn; what is broadcast meanwhile does not overtake it. */
static void order__is_the_same_in_room_and_topic(void **state)
{
    (void)state;
    client *c = listener(), *crowd[CROWD];
    for (size_t i = 0; i < CROWD; i++) {
        crowd[i] = listener();
        crowd[i]->swallows = true;
    }
    client *last = listener();
    hang_up(c, 1000, ""); /* so that the bridge may stand anywhere */
    stage.burn_ns = 50000;
    publish_to_hall(WEFT_JSON, "n", STR("[1]"), 0);
    assert_false(list_empty(&stage.hub.unfinished));
    publish_to_hall(WEFT_JSON, "n", STR("[2]"), 0);
    emit((emission){.room = "lobby", .except = "x", .name = "n", .args = "[3]"});
    emit((emission){.room = "lobby", .name = "n", .args = "[4]"});
    assert_heard(
        "lobby n [1]; lobby n [2]; lobby!x n [3]; lobby n [4]; "); /* at once: what is emitted next comes behind */
    publish_to_hall(WEFT_JSON, "n", STR("[5]"), 0);
    emit((emission){.room = "lobby", .name = "n", .args = "[6]", .is_volatile = true});
    stage.burn_ns = 0;
    for (int i = 0; i < 100 && !list_empty(&stage.hub.unfinished); i++)
        later(1);
    assert_heard("lobby n [5]; lobby~n [6]; ");
    assert_log(last->wire, "[1] [2] [3] [4] [5] [6] ");
}

/** One that stands in front of the bridge loses its memory while the bridge delivers: the fan-out goes on where it was. */
static client *victim;

static void end_victim(void)
{
    if (victim)
        peer_abort(&victim->line->peer);
    victim = NULL;
}

static void deliver__may_end_others_of_the_topic(void **state)
{
    (void)state;
    client *all[6];
    for (size_t gone = 0; gone < N_OF(all); gone++) {
        for (size_t i = 0; i < N_OF(all); i++)
            all[i] = listener();
        during = end_victim;
        victim = all[gone];
        publish_to_hall(WEFT_JSON, "n", STR("[1]"), 0);
        publish_to_hall(WEFT_JSON, "n", STR("[2]"), 0);
        assert_heard("lobby n [1]; lobby n [2]; ");
        for (size_t i = 0; i < N_OF(all); i++)
            if (i != gone)
                assert_log(all[i]->wire, "[1] [2] ");
        for (size_t i = 0; i < N_OF(all); i++)
            if (i != gone)
                hang_up(all[i], 1000, "");
        turn();
    }
}

/** The same when the bridge is the last of all, and so the one that is moved. */
static void deliver__may_end_those_in_front_of_it(void **state)
{
    (void)state;
    client *before[4];
    socketio_bridges_stop(&the_route, &stage.hub);
    for (size_t i = 0; i < N_OF(before); i++)
        before[i] = listener();
    assert_int_equal(socketio_bridges_start(&the_route, &stage.hub), 0);
    during = end_victim;
    victim = before[1];
    publish_to_hall(WEFT_JSON, "n", STR("[1]"), 0);
    victim = before[3];
    publish_to_hall(WEFT_JSON, "n", STR("[2]"), 0);
    publish_to_hall(WEFT_JSON, "n", STR("[3]"), 0);
    assert_heard("lobby n [1]; lobby n [2]; lobby n [3]; ");
    assert_log(before[0]->wire, "[1] [2] [3] ");
    assert_log(before[2]->wire, "[1] [2] [3] ");
}

/** And when a fan-out has reached it, and stopped behind it. */
static void deliver__may_end_others_while_a_fan_out_is_unfinished(void **state)
{
    (void)state;
    enum { BEFORE = 511, BEHIND = 50 }; /* a fan-out looks at the clock every 256 */
    client *before[BEFORE], *last = NULL;
    socketio_bridges_stop(&the_route, &stage.hub);
    for (size_t i = 0; i < BEFORE; i++) {
        before[i] = listener();
        before[i]->swallows = true;
    }
    assert_int_equal(socketio_bridges_start(&the_route, &stage.hub), 0);
    for (size_t i = 0; i < BEHIND; i++)
        last = listener();
    stage.burn_ns = 50000;
    publish_to_hall(WEFT_JSON, "n", STR("[1]"), 0);
    assert_int_equal(topic_named("hall")->reached, BEFORE + 1);
    assert_heard("lobby n [1]; ");
    publish_to_hall(WEFT_JSON, "n", STR("[2]"), 0);
    assert_heard("");
    during = end_victim;
    victim = before[5];
    emit((emission){.room = "lobby", .name = "n", .args = "[3]"});
    assert_heard("lobby n [2]; lobby n [3]; ");
    stage.burn_ns = 0;
    for (int i = 0; i < 100 && !list_empty(&stage.hub.unfinished); i++)
        later(1);
    assert_heard("");
    assert_log(last->wire, "[1] [2] [3] ");
    assert_log(before[BEFORE - 1]->wire, "[1] [2] [3] ");
}

/* -------------------------------------------------------------------------------------------------------------- hidden */

static void bridge__is_no_peer(void **state)
{
    (void)state;
    assert_int_equal(stage.hub.n_peers, 0);
    uint32_t at = 0;
    assert_null(slots_next(&stage.table, SLOT_PEER, &at));
    publish_to_hall(WEFT_TEXT, NULL, STR("hi"), 0);
    for (int i = 0; i < HUB_TRANSPORTS; i++)
        assert_int_equal(stage.hub.counts.traffic[i].messages_out, 0);
    at = 0;
    peer *p = slots_next(&stage.table, SLOT_CLOSING, &at);
    p->ops->abort(p); /* as a drain does */
    publish_to_hall(WEFT_TEXT, NULL, STR("there"), 0);
    assert_heard("lobby message [\"hi\"]; lobby message [\"there\"]; ");
}

static void bridge__is_not_present(void **state)
{
    (void)state;
    start_with("lobby");
    configure("*", (weft_topic_options){.presence = 1, .history_messages = 10});
    assert_int_equal(socketio_bridges_start(&the_route, &stage.hub), 0);
    client *c = listener();
    assert_int_equal(presence_list(topic_named("hall"), NULL, NULL), 1);
    hang_up(c, 1000, "");
    turn();
    publish_to_hall(WEFT_TEXT, NULL, STR("hi"), 0);
    assert_heard("lobby message [\"hi\"]; ");
    assert_int_equal(topic_named("hall")->head - topic_named("hall")->first, 1); /* its history is kept as ever */
    stop(state);
}

/* -------------------------------------------------------------------------------------------------------------- memory */

static void deliver__without_memory_ends_those_who_miss_it(void **state)
{
    (void)state;
    client *c = listener();
    the_namespace.log = (socketio_log *)&the_route; /* there is one */
    fail_with = -ENOMEM;
    publish_to_hall(WEFT_TEXT, NULL, STR("one"), 0);
    assert_int_equal(n_closed, 2);
    assert_int_equal(n_forgotten, 1);
    fail_with = 0;
    publish_to_hall(WEFT_TEXT, NULL, STR("two"), 0); /* the bridge stands */
    assert_heard("lobby message [\"two\"]; ");
    assert_log(c->wire, "one two ");
    assert_int_equal(n_closed, 2);
}

static void broadcast__without_memory_for_the_room_says_so(void **state)
{
    (void)state;
    client *c = listener();
    fail_with = -ENOMEM;
    assert_int_equal(emit((emission){.room = "lobby", .except = "x", .name = "n", .args = "[1]"}), -ENOMEM);
    assert_log(c->wire, "");
    assert_int_equal(n_closed, 0);
}

static weft_str two[] = {{"abc", 3}, {"d", 1}};
static const emission kinds[] = {
    {.room = "lobby", .name = "a", .args = "[1]"},
    {.room = "lobby", .except = "x", .name = "b", .args = "[2]"},
    {.room = "lobby",
     .name = "c",
     .args = "[{\"_placeholder\":true,\"num\":1},{\"_placeholder\":true,\"num\":0}]",
     .attachments = two,
     .n_attachments = 2},
};
static size_t kind_now;

static int emit_kind(void)
{
    pool_done(&stage.loop.blocks);
    int result = emit(kinds[kind_now]);
    if (result)
        assert_int_equal(result, -ENOMEM);
    if (result == 0)
        assert_int_equal(n_closed, 0);
    heard[0] = '\0';
    n_closed = 0;
    return result;
}

static void broadcast__without_memory_is_told_and_leaks_nothing(void **state)
{
    (void)state;
    for (kind_now = 0; kind_now < N_OF(kinds); kind_now++)
        check_failing_allocations(emit_kind);
}

static int make_emission(void)
{
    static const weft_kind all[] = {WEFT_TEXT, WEFT_JSON, WEFT_BINARY};
    char digits[500];
    buf text = {0};
    int error = 0;
    memset(digits, '7', sizeof digits);
    for (size_t i = 0; i < N_OF(all) && !error; i++) {
        weft_str attachment;
        size_t before = text.len;
        socketio_emission what = {.name = STR("untouched")};
        blob *body = blob_new(NULL, all[i], (str){NULL, 0}, (str){digits, sizeof digits});
        error = body ? socketio_emission_of(body, &text, &attachment, &what) : -ENOMEM;
        if (error) {
            assert_int_equal(error, -ENOMEM);
            assert_true(str_equal(what.name, STR("untouched")));
            assert_int_equal(text.len, before);
        }
        blob_unref(NULL, body);
    }
    buf_done(&text);
    return error;
}

static void emission_of__without_memory_says_so(void **state)
{
    (void)state;
    check_failing_allocations(make_emission);
}

static void start__without_memory_can_be_stopped(void **state)
{
    (void)state;
    uint64_t n = 0;
    int error;
    do {
        start_with("lobby");
        assert_int_equal(socketio_bridge_add(&the_route, STR("/"), STR(""), STR("other")), 0);
        mem_fail_from(++n);
        error = socketio_bridges_start(&the_route, &stage.hub);
        mem_fail_from(0);
        stop(state);
    } while (error);
    assert_true(n > 3);
    the_route = (socketio_route){0};
    mem_fail_from(1);
    assert_int_equal(socketio_bridge_add(&the_route, STR("/"), STR(""), STR("x")), -ENOMEM);
    mem_fail_from(0);
    assert_null(the_route.bridges);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(publish__is_emitted_in_the_room, start, stop),
        cmocka_unit_test_setup_teardown(publish__without_anybody_in_the_namespace_is_fine, start, stop),
        cmocka_unit_test_setup_teardown(publish__to_all_but_a_socket_passes_it_by, start, stop),
        cmocka_unit_test_setup_teardown(broadcast__reaches_room_and_topic_once, start, stop),
        cmocka_unit_test_setup_teardown(broadcast__is_a_message_with_its_events_name, start, stop),
        cmocka_unit_test_setup_teardown(broadcast__of_several_attachments_is_base64_in_the_topic, start, stop),
        cmocka_unit_test_setup_teardown(broadcast__without_its_sender_leaves_it_out_of_both, start, stop),
        cmocka_unit_test_setup_teardown(broadcast__with_exceptions_reaches_room_and_topic_once, start, stop),
        cmocka_unit_test_setup_teardown(broadcast__that_is_volatile_stays_so_in_the_room, start, stop),
        cmocka_unit_test_setup_teardown(broadcast__of_a_name_that_no_topic_carries_is_refused_whole, start, stop),
        cmocka_unit_test_setup_teardown(find__wants_exactly_the_room, start, stop),
        cmocka_unit_test_setup_teardown(find__of_a_whole_namespace_wants_no_room, start_whole, stop),
        cmocka_unit_test(two_rooms_of_one_topic__hear_each_other),
        cmocka_unit_test_setup_teardown(order__is_the_same_in_room_and_topic, start, stop),
        cmocka_unit_test_setup_teardown(deliver__may_end_others_of_the_topic, start, stop),
        cmocka_unit_test_setup_teardown(deliver__may_end_those_in_front_of_it, start, stop),
        cmocka_unit_test_setup_teardown(deliver__may_end_others_while_a_fan_out_is_unfinished, start, stop),
        cmocka_unit_test_setup_teardown(bridge__is_no_peer, start, stop),
        cmocka_unit_test(bridge__is_not_present),
        cmocka_unit_test_setup_teardown(deliver__without_memory_ends_those_who_miss_it, start, stop),
        cmocka_unit_test_setup_teardown(broadcast__without_memory_for_the_room_says_so, start, stop),
        cmocka_unit_test_setup_teardown(broadcast__without_memory_is_told_and_leaks_nothing, start, stop),
        cmocka_unit_test(emission_of__without_memory_says_so),
        cmocka_unit_test(start__without_memory_can_be_stopped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
