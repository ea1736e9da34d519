/* Several loops, stepped by hand on one thread: who gets what, in which order. */
#include "transport/socketio_several.h"

enum { ROOMS = 4, STEPS = 4000 };

static const weft_socketio_options plain = {TELLS};

static const char *const spaces[] = {"/", "/a"};

/* ---- orders from anywhere ---- */

/** What a test asks the home for, as a program's call would. */
typedef struct {
    hub_note base;
    socketio_action action;
    char nsp[4], rooms[ROOMS + 1], except[ROOMS + 1], room[2];
    uint64_t sender;
    char sender_id[SOCKETIO_ID_BYTES];
    bool has_sender_id;
    int number;
} request;

static void give(hub *h, const request *r)
{
    char args[16];
    str rooms[ROOMS], except[ROOMS];
    socketio_order order = {.action = r->action, .nsp = str_from(r->nsp), .room = str_from(r->room)};
    for (uint32_t i = 0; i < strlen(r->rooms); i++)
        rooms[order.to.n_rooms++] = (str){&r->rooms[i], 1};
    for (uint32_t i = 0; i < strlen(r->except); i++)
        except[order.to.n_except++] = (str){&r->except[i], 1};
    order.to.rooms = rooms;
    order.to.except = except;
    order.to.away = r->sender;
    order.to.sender_id = r->has_sender_id ? r->sender_id : NULL;
    snprintf(args, sizeof args, "[%d]", r->number);
    order.what = (socketio_emission){.name = STR("n"), .args = str_from(args)};
    assert_int_equal(socketio_loops_give(shared, h, &order), 0);
}

static void take_request(hub *h, hub_note *base)
{
    give(h, (const request *)base);
}

/* At home at once, elsewhere by a note. */
static void ask(unsigned from, const request *what)
{
    unsigned home = home_of(what->nsp);
    if (from == home) {
        give(&stages[home].hub, what);
        return;
    }
    request *r = (request *)hub_note_new(&links, sizeof *r, take_request, NULL);
    assert_non_null(r);
    hub_note base = r->base;
    *r = *what;
    r->base = base;
    assert_int_equal(reach_push(stages[from].hub.reach, home, &r->base), 0);
}

static request emit_to(const char *nsp, const char *rooms, int number)
{
    request r = {.action = SOCKETIO_EMIT, .number = number};
    snprintf(r.nsp, sizeof r.nsp, "%s", nsp);
    snprintf(r.rooms, sizeof r.rooms, "%s", rooms);
    return r;
}

static line *come(unsigned i, const char *nsp)
{
    char packet[16];
    socketio_stage *before = current;
    on(i);
    line *l = line_new();
    snprintf(packet, sizeof packet, "0%s%s", nsp[1] ? nsp : "", nsp[1] ? "," : "");
    say(l, packet);
    turn();
    assert_non_null(socket_in(l, nsp));
    l->wire[0] = '\0';
    stage.told[0] = '\0';
    current = before;
    return l;
}

/* ---- cases ---- */

static void order__reaches_every_loop(void **state)
{
    line *all[4];
    (void)state;
    begin(4, &plain);
    for (unsigned i = 0; i < 4; i++)
        all[i] = come(i, "/");
    for (unsigned from = 0; from < 4; from++) {
        request r = emit_to("/", "", (int)from);
        ask(from, &r);
        settle();
    }
    for (unsigned i = 0; i < 4; i++)
        assert_log(all[i]->wire, "42[\"n\",0] 42[\"n\",1] 42[\"n\",2] 42[\"n\",3] ");
    end();
}

static void order__goes_at_once_at_home(void **state)
{
    (void)state;
    begin(2, &plain);
    unsigned home = home_of("/");
    line *near = come(home, "/"), *far = come(!home, "/");
    request r = emit_to("/", "", 1);
    ask(home, &r);
    assert_log(near->wire, "42[\"n\",1] ");
    assert_log(far->wire, "");
    settle();
    assert_log(far->wire, "42[\"n\",1] ");
    end();
}

/* A loop gets nothing that is of no use to it. */
static void order__goes_only_where_the_namespace_is(void **state)
{
    (void)state;
    begin(2, &plain);
    unsigned home = home_of("/");
    come(home, "/");
    request r = emit_to("/", "", 1);
    ask(home, &r);
    assert_int_equal(atomic_load(&links.boxes[!home]->bytes), 0);
    line *l = come(!home, "/");
    ask(home, &r);
    assert_true(atomic_load(&links.boxes[!home]->bytes) > 0);
    settle();
    assert_log(l->wire, "42[\"n\",1] ");
    on(!home);
    lose(l, ENGINEIO_TRANSPORT_CLOSE);
    settle();
    ask(home, &r);
    assert_int_equal(atomic_load(&links.boxes[!home]->bytes), 0);
    end();
}

static void order__carries_all_of_an_event(void **state)
{
    static const weft_str parts[] = {{"one", 3}, {"", 0}};
    (void)state;
    begin(2, &plain);
    unsigned home = home_of("/a");
    line *near = come(home, "/a"), *far = come(!home, "/a");
    const socketio_order order = {
        .nsp = STR("/a"),
        .what = {.name = STR("pair"),
                 .args = STR("[{\"_placeholder\":true,\"num\":0},{\"_placeholder\":true,\"num\":1}]"),
                 .attachments = parts,
                 .n_attachments = 2},
    };
    assert_int_equal(socketio_loops_give(shared, &stages[home].hub, &order), 0);
    const socketio_order bare = {.nsp = STR("/a"), .what = {.name = STR("bare")}};
    assert_int_equal(socketio_loops_give(shared, &stages[home].hub, &bare), 0);
    settle();
    assert_string_equal(near->wire, far->wire);
    assert_log(far->wire,
               "452-/a,[\"pair\",{\"_placeholder\":true,\"num\":0},{\"_placeholder\":true,\"num\":1}] <one> <> "
               "42/a,[\"bare\"] ");
    end();
}

static void order__that_is_volatile_may_be_dropped(void **state)
{
    (void)state;
    begin(2, &plain);
    unsigned home = home_of("/");
    line *slow = come(!home, "/"), *fast = come(!home, "/");
    slow->unwritable = true;
    const socketio_order order = {.nsp = STR("/"), .what = {.name = STR("v"), .is_volatile = true}};
    assert_int_equal(socketio_loops_give(shared, &stages[home].hub, &order), 0);
    settle();
    assert_log(slow->wire, "");
    assert_log(fast->wire, "42[\"v\"] ");
    end();
}

static void fill_inbox(unsigned i)
{
    inbox *box = links.boxes[i];
    request *plug = (request *)hub_note_new(&links, sizeof *plug, take_request, NULL);
    assert_non_null(plug);
    plug->base.base.bytes = INBOX_MAX_BYTES - atomic_load(&box->bytes);
    *plug->nsp = '?';
    assert_int_equal(inbox_push(box, &plug->base.base), 0);
}

static void order__without_room_costs_the_connections(void **state)
{
    (void)state;
    begin(2, &plain);
    unsigned home = home_of("/");
    line *near = come(home, "/"), *far = come(!home, "/");
    fill_inbox(!home);
    request r = emit_to("/", "", 1);
    ask(home, &r);
    ask(home, &r);
    assert_log(near->wire, "42[\"n\",1] 42[\"n\",1] ");
    for (int i = 0; i < 200 && far->client; i++) {
        turn_on(home);
        turn_on(!home);
        usleep(1000);
    }
    assert_log(far->wire, "abort ");
    assert_log(stages[!home].told, "close:1000:forced close ");
    assert_int_equal(stages[!home].hub.counts.n_missed_cuts, 1);
    assert_int_equal(stages[home].hub.counts.n_missed_cuts, 0);
    line *new = come(!home, "/");
    ask(home, &r);
    settle();
    assert_log(new->wire, "42[\"n\",1] ");
    end();
}

/* ---- bridges ---- */

static void publish(unsigned from, const char *name, const char *text)
{
    hub *h = &stages[from].hub;
    blob *body = blob_new(&h->loop->blocks, WEFT_TEXT, (str){NULL, 0}, str_from(text));
    assert_non_null(body);
    assert_int_equal(hub_publish(h, str_from(name), body, 0, NULL), 0);
}

static const char *topic_at(unsigned home)
{
    static char name[16];
    unsigned n = 0;
    do
        snprintf(name, sizeof name, "t%u", n++);
    while (hub_links_home(&links, str_from(name)) != home);
    return name;
}

static void end_bridges(void)
{
    for (unsigned i = 0; i < links.n; i++)
        socketio_bridges_stop(shared, &stages[i].hub);
    end();
}

/* Its topic is at home on another loop, and more was published than that keeps while there was no room here. */
static void bridge__begins_anew_when_it_has_missed_something(void **state)
{
    enum { MORE_THAN_KEPT = 1100 };
    (void)state;
    begin(2, &plain);
    unsigned home = home_of("/");
    const char *name = topic_at(!home);
    assert_int_equal(socketio_bridge_add(shared, STR("/"), (str){NULL, 0}, str_from(name)), 0);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(socketio_bridges_start(shared, &stages[i].hub), 0);
    settle();
    line *near = come(home, "/"), *far = come(!home, "/");
    publish(!home, name, "heard");
    settle();
    assert_log(near->wire, "42[\"message\",\"heard\"] ");
    assert_log(far->wire, "42[\"message\",\"heard\"] ");
    fill_inbox(home);
    for (int i = 0; i < MORE_THAN_KEPT; i++)
        publish(!home, name, "missed");
    for (int i = 0; i < 200 && (near->client || far->client); i++) {
        turn_on(!home);
        turn_on(home);
        usleep(1000);
    }
    assert_log(near->wire, "abort ");
    assert_log(far->wire, "abort ");
    settle();
    near = come(home, "/");
    far = come(!home, "/");
    publish(!home, name, "again");
    settle();
    assert_log(near->wire, "42[\"message\",\"again\"] ");
    assert_log(far->wire, "42[\"message\",\"again\"] ");
    end_bridges();
}

static void order__without_memory_is_not_given(void **state)
{
    (void)state;
    begin(2, &plain);
    unsigned home = home_of("/");
    line *near = come(home, "/"), *far = come(!home, "/");
    const socketio_order order = {.nsp = STR("/"), .what = {.name = STR("v")}};
    mem_fail_from(1);
    assert_int_equal(socketio_loops_give(shared, &stages[home].hub, &order), -ENOMEM);
    mem_fail_from(0);
    settle();
    assert_log(near->wire, "");
    assert_log(far->wire, "");
    end();
}

/* Whatever allocation fails: who does not get it loses the connection. */
static void order__is_never_lost_silently(void **state)
{
    static char large[20000]; /* no pool has a block for it */
    (void)state;
    memset(large, '7', sizeof large);
    large[0] = '[';
    large[sizeof large - 1] = ']';
    for (size_t n = 1; n < 16; n++) {
        begin(2, &plain);
        unsigned home = home_of("/");
        line *near = come(home, "/"), *far = come(!home, "/");
        const socketio_order order = {.nsp = STR("/"), .what = {.name = STR("v"), .args = {large, sizeof large}}};
        mem_fail_from(n);
        int error = socketio_loops_give(shared, &stages[home].hub, &order);
        turn_on(!home);
        mem_fail_from(0);
        for (int i = 0; i < 5; i++) {
            usleep(500);
            settle();
        }
        bool near_got = strstr(near->wire, "42[\"v\","), far_got = strstr(far->wire, "42[\"v\",");
        assert_true(error ? near->client && far->client && !near_got && !far_got
                          : near_got != !near->client && far_got != !far->client);
        end();
    }
}

static void sender__is_left_out_wherever_it_is(void **state)
{
    (void)state;
    begin(2, &plain);
    unsigned home = home_of("/");
    for (unsigned from = 0; from < 2; from++) {
        line *a = come(home, "/"), *b = come(!home, "/");
        on(!home);
        request r = emit_to("/", "", 1);
        r.sender = socket_in(b, "/")->peer.id;
        ask(from, &r);
        settle();
        assert_log(a->wire, "42[\"n\",1] ");
        assert_log(b->wire, "");
    }
    end();
}

/* ---- the model ---- */

/** A client as the model has it, and what it must have been sent. */
typedef struct {
    line *line;
    unsigned loop;
    int space;
    bool rooms[ROOMS];
    char expected[LOG_BYTES];
    bool there;
} person;

/** What is on its way to a loop. */
typedef struct {
    bool given; /* an order; else a request to the home */
    request what;
} parcel;

static person people[64];
static size_t n_people;
static parcel boxes[N_STAGES][STEPS];
static size_t n_boxes[N_STAGES];

static bool is_in(const person *p, const char *letters)
{
    for (; *letters; letters++)
        if (p->rooms[*letters - 'a'])
            return true;
    return false;
}

static bool is_meant(const person *p, const request *r, unsigned number)
{
    return p->there && p->loop == number && strcmp(spaces[p->space], r->nsp) == 0 &&
           (!*r->rooms || is_in(p, r->rooms)) && !is_in(p, r->except) &&
           (!r->sender || p->line->client == NULL || socket_in(p->line, r->nsp)->peer.id != r->sender);
}

static void model_apply(const request *r, unsigned number)
{
    for (person *p = people; p < people + n_people; p++) {
        on(number);
        if (!is_meant(p, r, number))
            continue;
        switch (r->action) {
        case SOCKETIO_EMIT:
            put_down(p->expected, LOG_BYTES, "42%s%s[\"n\",%d] ", r->nsp[1] ? r->nsp : "", r->nsp[1] ? "," : "",
                     r->number);
            break;
        case SOCKETIO_JOIN:
            p->rooms[*r->room - 'a'] = true;
            break;
        case SOCKETIO_LEAVE:
            p->rooms[*r->room - 'a'] = false;
            break;
        default:
            put_down(p->expected, LOG_BYTES, "41%s%s ", r->nsp[1] ? r->nsp : "", r->nsp[1] ? "," : "");
            if (r->action == SOCKETIO_DISMISS_CLIENT)
                put_down(p->expected, LOG_BYTES, "close ");
            p->there = false;
        }
    }
}

static bool model_has(unsigned number, const char *nsp)
{
    for (const person *p = people; p < people + n_people; p++)
        if (p->there && p->loop == number && strcmp(spaces[p->space], nsp) == 0)
            return true;
    return false;
}

static void model_give(const request *r, unsigned home)
{
    for (unsigned i = 0; i < links.n; i++)
        if (i != home && model_has(i, r->nsp))
            boxes[i][n_boxes[i]++] = (parcel){true, *r};
    model_apply(r, home);
}

static void model_ask(unsigned from, const request *r)
{
    unsigned home = home_of(r->nsp);
    if (from == home)
        model_give(r, home);
    else
        boxes[home][n_boxes[home]++] = (parcel){false, *r};
}

/* What has come when its loop turns. */
static void model_turn(unsigned i)
{
    size_t n = n_boxes[i];
    static parcel now[STEPS];
    memcpy(now, boxes[i], n * sizeof *now);
    n_boxes[i] = 0;
    for (size_t k = 0; k < n; k++) {
        if (now[k].given)
            model_apply(&now[k].what, i);
        else
            model_give(&now[k].what, i);
    }
}

static void some_letters(char *to, uint32_t one_in)
{
    for (char c = 'a'; c < 'a' + ROOMS; c++)
        if (!roll(one_in))
            *to++ = c;
    *to = '\0';
}

static person *somebody(void)
{
    person *p = &people[roll(n_people ? (uint32_t)n_people : 1)];
    return n_people && p->there && p->line->client ? p : NULL;
}

static void some_order(int number)
{
    static const socketio_action actions[] = {SOCKETIO_EMIT, SOCKETIO_EMIT,  SOCKETIO_EMIT,
                                              SOCKETIO_EMIT, SOCKETIO_JOIN,  SOCKETIO_LEAVE,
                                              SOCKETIO_JOIN, SOCKETIO_LEAVE, SOCKETIO_DISMISS};
    const person *sender = roll(3) ? NULL : somebody();
    request r = {.action = actions[roll(N_OF(actions))], .number = number};
    if (r.action == SOCKETIO_DISMISS && roll(2))
        r.action = SOCKETIO_DISMISS_CLIENT;
    snprintf(r.nsp, sizeof r.nsp, "%s", spaces[roll(2)]);
    some_letters(r.rooms, r.action >= SOCKETIO_DISMISS ? 3 : 2);
    some_letters(r.except, 6);
    r.room[0] = (char)('a' + roll(ROOMS));
    if (r.action >= SOCKETIO_DISMISS && (!*r.rooms || roll(3)))
        return;
    if (sender) {
        on(sender->loop);
        r.sender = socket_in(sender->line, spaces[sender->space])->peer.id;
    }
    unsigned from = roll(links.n);
    model_ask(from, &r);
    on(from);
    ask(from, &r);
}

static void check(void)
{
    for (person *p = people; p < people + n_people; p++) {
        assert_string_equal(p->line->wire, p->expected);
        p->line->wire[0] = p->expected[0] = '\0';
    }
}

static void somebody_comes(void)
{
    unsigned i = roll(links.n);
    int space = (int)roll(2);
    if (n_people == N_OF(people) || stages[i].n_lines == 64)
        return;
    on(i);
    line *l = line_new();
    say(l, space ? "0/a," : "0");
    l->wire[0] = '\0';
    people[n_people++] = (person){.line = l, .loop = i, .space = space, .there = true};
}

static void step(int number)
{
    person *p = somebody();
    switch (roll(8)) {
    case 0:
        somebody_comes();
        break;
    case 1: /* goes into a room or out of it by itself */
        if (p) {
            char room = (char)('a' + roll(ROOMS));
            on(p->loop);
            p->rooms[room - 'a'] = !p->rooms[room - 'a'];
            socketio_socket *s = socket_in(p->line, spaces[p->space]);
            if (p->rooms[room - 'a'])
                assert_int_equal(socketio_join(s, (str){&room, 1}), 0);
            else
                socketio_leave(s, (str){&room, 1});
        }
        break;
    case 2: {
        unsigned i = roll(links.n);
        model_turn(i);
        turn_on(i);
        break;
    }
    case 3:
        if (p && !roll(4)) {
            on(p->loop);
            lose(p->line, ENGINEIO_TRANSPORT_CLOSE);
            p->there = false;
            model_turn(p->loop);
            turn(); /* its namespace goes when it is freed */
        }
        break;
    default:
        some_order(number);
    }
}

static void everything_arrives(void)
{
    for (int round = 0; round < 6; round++)
        for (unsigned i = 0; i < links.n; i++) {
            model_turn(i);
            turn_on(i);
        }
}

static void run_model(unsigned n, uint32_t seed)
{
    begin(n, &plain);
    dice = seed;
    n_people = 0;
    memset(n_boxes, 0, sizeof n_boxes);
    for (int i = 0; i < 600; i++) {
        step(i);
        for (unsigned k = 0; k < n; k++)
            stages[k].told[0] = '\0';
        if (i % 50 == 49) {
            everything_arrives();
            check();
        }
        for (person *p = people; p < people + n_people; p++)
            if (p->line->client)
                p->line->queued = 0;
    }
    everything_arrives();
    check();
    end();
}

static void model__everybody_gets_what_was_meant_for_them(void **state)
{
    (void)state;
    for (uint32_t seed = 1; seed <= 30; seed++) {
        run_model(2, seed);
        run_model(4, seed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(order__reaches_every_loop),
        cmocka_unit_test(order__goes_at_once_at_home),
        cmocka_unit_test(order__goes_only_where_the_namespace_is),
        cmocka_unit_test(order__carries_all_of_an_event),
        cmocka_unit_test(order__that_is_volatile_may_be_dropped),
        cmocka_unit_test(order__without_room_costs_the_connections),
        cmocka_unit_test(bridge__begins_anew_when_it_has_missed_something),
        cmocka_unit_test(order__without_memory_is_not_given),
        cmocka_unit_test(order__is_never_lost_silently),
        cmocka_unit_test(sender__is_left_out_wherever_it_is),
        cmocka_unit_test(model__everybody_gets_what_was_meant_for_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
