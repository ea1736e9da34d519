/* Clients that come back on another loop than before: nothing is missing, and nothing comes twice. */
#include "transport/socketio_several.h"

enum { ROOMS = 3, PEOPLE = 8, STEPS = 500, MOST_EVENTS = 4096 };

static const weft_socketio_options recovering = {TELLS, .gate = on_gate, .recovery_ms = 60000};

typedef struct {
    char id[SOCKETIO_ID_BYTES + 1], pid[SOCKETIO_ID_BYTES + 1];
    char offset[SOCKETIO_OFFSET_BYTES + 1]; /* of the last event that it has got; "": none */
} names;

static void admit(socketio_socket *s, const char *what)
{
    if (strcmp(what, "gate") == 0)
        assert_int_equal(socketio_socket_admit(s), 0);
}

static names names_of(const line *l)
{
    names n = {.offset = ""};
    const socketio_socket *s = socket_in(l, "/");
    memcpy(n.id, s->id, SOCKETIO_ID_BYTES);
    memcpy(n.pid, s->pid, SOCKETIO_ID_BYTES);
    return n;
}

static line *come(unsigned i)
{
    on(i);
    line *l = line_new();
    say(l, "0");
    turn();
    assert_true(socket_in(l, "/")->admitted);
    l->wire[0] = stage.told[0] = '\0';
    return l;
}

/* It asks to be who it was. */
static line *come_back(unsigned i, const names *who)
{
    char packet[256];
    on(i);
    line *l = line_new();
    if (*who->offset)
        snprintf(packet, sizeof packet, "0{\"pid\":\"%s\",\"offset\":\"%s\"}", who->pid, who->offset);
    else
        snprintf(packet, sizeof packet, "0{\"pid\":\"%s\"}", who->pid);
    say(l, packet);
    return l;
}

static void leave_us(unsigned i, line *l)
{
    on(i);
    lose(l, ENGINEIO_TRANSPORT_CLOSE);
    turn();
}

static bool is_same(const line *l, const names *who)
{
    const socketio_socket *s = socket_in(l, "/");
    return s && s->admitted && s->recovered && memcmp(s->id, who->id, SOCKETIO_ID_BYTES) == 0 &&
           memcmp(s->pid, who->pid, SOCKETIO_ID_BYTES) == 0;
}

static void give_number(int number, const char *room, const socketio_socket *sender)
{
    const str name = str_from(room);
    const weft_str parts[] = {{"x", 1}};
    socketio_order order = {.nsp = STR("/"), .to = {.rooms = &name, .n_rooms = *room != '\0'}};
    if (sender) {
        order.to.away = sender->peer.id;
        order.to.sender_id = sender->id;
    }
    char args[64];
    snprintf(args, sizeof args, number % 7 ? "[%d]" : "[%d,{\"_placeholder\":true,\"num\":0}]", number);
    order.what = (socketio_emission){
        .name = STR("n"), .args = str_from(args), .attachments = parts, .n_attachments = number % 7 == 0};
    assert_int_equal(socketio_loops_give(shared, &stages[home_of("/")].hub, &order), 0);
}

/** The numbers on its wire, and the offset of the last one that is kept (of at most `keep`). Forgets the rest. */
static size_t read_events(line *l, names *who, int *numbers, size_t keep)
{
    size_t n = 0;
    for (const char *at = l->wire; (at = strstr(at, "[\"n\",")) != NULL; at++) {
        if (n == keep)
            break;
        numbers[n++] = atoi(at + 5);
        const char *end = strchr(at, ']'), *quote = end;
        while (*--quote != '"' || quote == end - 1)
            ;
        snprintf(who->offset, sizeof who->offset, "%.*s", (int)(end - 1 - (quote + 1)), quote + 1);
    }
    l->wire[0] = '\0';
    return n;
}

/* ---- cases ---- */

static void return__finds_what_was_missed(void **state)
{
    int numbers[8];
    (void)state;
    begin(2, &recovering);
    for (unsigned i = 0; i < 2; i++)
        stages[i].act = admit;
    for (unsigned first = 0; first < 2; first++) {
        line *l = come(first);
        on(first);
        assert_int_equal(socketio_join(socket_in(l, "/"), STR("a")), 0);
        names who = names_of(l);
        give_number(1, "a", NULL);
        settle();
        assert_int_equal(read_events(l, &who, numbers, 8), 1);
        leave_us(first, l);
        give_number(2, "a", NULL);
        give_number(3, "b", NULL);
        line *again = come_back(!first, &who);
        give_number(4, "a", NULL);
        settle();
        assert_true(is_same(again, &who));
        assert_int_equal(socket_in(again, "/")->n_rooms, 1);
        give_number(5, "a", NULL);
        settle();
        assert_int_equal(read_events(again, &who, numbers, 8), 3);
        assert_true(numbers[0] == 2 && numbers[1] == 4 && numbers[2] == 5);
        leave_us(!first, again);
    }
    end();
}

/* Who sent it was here, and is not known any more: it could be the one that is back. */
static void return__of_one_that_may_have_sent_it_itself_is_new(void **state)
{
    (void)state;
    for (unsigned to = 0; to < 2; to++) {
        begin(2, &recovering);
        stages[0].act = stages[1].act = admit;
        come(1);
        line *l = come(0);
        names who = names_of(l);
        const socketio_order order = {.nsp = STR("/"),
                                      .to = {.away = socket_in(l, "/")->peer.id},
                                      .what = {.name = STR("n"), .args = STR("[1]")}};
        leave_us(0, l);
        assert_int_equal(socketio_loops_give(shared, &stages[home_of("/")].hub, &order), 0);
        settle();
        line *again = come_back(to, &who);
        settle();
        assert_true(socket_in(again, "/")->admitted);
        assert_false(socket_in(again, "/")->recovered);
        end();
    }
}

/* Its old connection is not known to be lost yet. */
static void return__takes_the_place_of_the_old_connection(void **state)
{
    (void)state;
    begin(2, &recovering);
    stages[0].act = stages[1].act = admit;
    line *old = come(0);
    names who = names_of(old);
    line *new = come_back(1, &who);
    settle();
    assert_true(is_same(new, &who));
    assert_null(old->client);
    end();
}

static void return__of_nobody_is_asked_of_the_gate(void **state)
{
    const names who = {.pid = "nobodynobodynobodyno"};
    (void)state;
    begin(4, &recovering);
    for (unsigned i = 0; i < 4; i++) {
        stages[i].act = admit;
        come(i);
    }
    for (unsigned i = 0; i < 4; i++) {
        line *l = come_back(i, &who);
        settle();
        assert_true(socket_in(l, "/")->admitted);
        assert_false(socket_in(l, "/")->recovered);
        assert_log(stages[i].told, "gate open ");
    }
    end();
}

static void return__with_an_offset_of_long_ago_is_new(void **state)
{
    int numbers[4];
    static weft_socketio_options few;
    (void)state;
    few = recovering;
    few.recovery_messages = 3;
    begin(2, &few);
    for (unsigned i = 0; i < 2; i++)
        stages[i].act = admit;
    line *l = come(0);
    names who = names_of(l);
    give_number(1, "", NULL);
    settle();
    assert_int_equal(read_events(l, &who, numbers, 4), 1);
    leave_us(0, l);
    for (int i = 0; i < 5; i++)
        give_number(10 + i, "", NULL);
    line *again = come_back(1, &who);
    settle();
    assert_true(socket_in(again, "/")->admitted);
    assert_false(socket_in(again, "/")->recovered);
    end();
}

/* The answer comes when this loop's own log has let go of some of what came after the question, or has no room for what was missed as well. */
static void return__to_a_log_that_is_too_small_is_new(void **state)
{
    static weft_socketio_options few;
    (void)state;
    few = recovering;
    few.recovery_messages = 3;
    for (int n_later = 1; n_later < 6; n_later++) {
        int n_missed = n_later < 4 ? 3 : 0;
        begin(4, &few);
        unsigned home = home_of("/"), keeper = (home + 1) % 4, asker = (home + 2) % 4;
        for (unsigned i = 0; i < 4; i++) {
            stages[i].act = admit;
            come(i);
        }
        line *l = come(keeper);
        names who = names_of(l);
        leave_us(keeper, l);
        for (int i = 0; i < n_missed; i++)
            give_number(i + 1, "", NULL);
        settle();
        line *again = come_back(asker, &who);
        turn_on(home);
        for (int i = 0; i < n_later; i++)
            give_number(i + 11, "", NULL);
        turn_on(asker);
        settle();
        assert_true(socket_in(again, "/")->admitted);
        assert_false(socket_in(again, "/")->recovered);
        end();
    }
}

/* The client goes away again before the answer is there. */
static void return__of_one_that_is_gone_again(void **state)
{
    (void)state;
    begin(2, &recovering);
    stages[0].act = stages[1].act = admit;
    line *l = come(0);
    names who = names_of(l);
    leave_us(0, l);
    line *again = come_back(1, &who);
    leave_us(1, again);
    settle();
    assert_null(again->client);
    end();
}

/* Nobody may be recovered with a hole, nor may it be left waiting. */
static void return__without_memory_is_no_worse_than_new(void **state)
{
    int numbers[8];
    (void)state;
    for (size_t n = 1; n < 60; n++) {
        begin(2, &recovering);
        for (unsigned i = 0; i < 2; i++)
            stages[i].act = admit;
        come(1);
        line *l = come(0);
        names who = names_of(l);
        give_number(1, "", NULL);
        settle();
        read_events(l, &who, numbers, 8);
        leave_us(0, l);
        give_number(2, "", NULL);
        settle();
        on(1);
        line *again = come_back(1, &who);
        give_number(3, "", NULL);
        mem_fail_from(n);
        settle();
        mem_fail_from(0);
        settle();
        if (again->client && is_same(again, &who)) {
            assert_int_equal(read_events(again, &who, numbers, 8), 2);
            assert_true(numbers[0] == 2 && numbers[1] == 3);
        }
        end();
    }
}

/* ---- the model ---- */

typedef struct {
    line *line;
    unsigned loop;
    bool there, waiting; /* waiting: it has come back, and nobody has answered */
    bool rooms[ROOMS];
    size_t seen; /* orders that it was looked at for */
    names names;
    int must[MOST_EVENTS], got[MOST_EVENTS];
    size_t n_must, n_got;
} person;

typedef struct {
    int number;
    int room; /* -1: all */
    const person *sender;
} given;

static person people[PEOPLE];
static given orders[STEPS];
static size_t n_orders, applied[N_STAGES];
static size_t n_recovered, n_lost, n_elsewhere;

static void must_get(person *p, int number)
{
    p->must[p->n_must++] = number;
}

/* All orders up to that one, which it has been looked at for or is now. */
static void look(person *p, size_t until)
{
    for (; p->seen < until; p->seen++) {
        const given *g = &orders[p->seen];
        if (g->sender != p && (g->room < 0 || p->rooms[g->room]))
            must_get(p, g->number);
    }
}

static void read_some(person *p, size_t keep)
{
    p->n_got += read_events(p->line, &p->names, p->got + p->n_got, keep);
}

static void check(person *p)
{
    read_some(p, MOST_EVENTS);
    assert_int_equal(p->n_got, p->n_must);
    assert_memory_equal(p->got, p->must, p->n_got * sizeof *p->got);
}

static void start(person *p, unsigned i, line *l)
{
    *p = (person){.line = l, .loop = i, .there = true, .seen = applied[i], .names = names_of(l)};
}

/* Who waited may be in by now. */
static void look_who_is_back(bool must_be_recovered)
{
    for (person *p = people; p < people + PEOPLE; p++) {
        const socketio_socket *s = p->waiting ? socket_in(p->line, "/") : NULL;
        if (!s || !s->admitted)
            continue;
        if (s->recovered) {
            assert_true(is_same(p->line, &p->names));
            p->there = true;
            p->waiting = false;
            look(p, applied[p->loop]);
            n_recovered++;
        } else {
            assert_false(must_be_recovered);
            n_lost++;
            start(p, p->loop, p->line);
            read_some(p, MOST_EVENTS); /* what came in the same turn, behind its being let in */
            memcpy(p->must, p->got, sizeof p->got);
            p->n_must = p->n_got;
        }
    }
}

static void arrive(unsigned i, bool must_be_recovered)
{
    applied[i] = n_orders;
    for (person *p = people; p < people + PEOPLE; p++)
        if (p->there && p->loop == i)
            look(p, n_orders);
    turn_on(i);
    look_who_is_back(must_be_recovered);
}

static void some_order(int number)
{
    unsigned home = home_of("/");
    person *sender = roll(3) ? NULL : &people[roll(PEOPLE)];
    int room = (int)roll(ROOMS + 1) - 1;
    const char name[2] = {room < 0 ? '\0' : (char)('a' + room), '\0'};
    if (sender && !sender->there)
        sender = NULL;
    orders[n_orders++] = (given){number, room, sender};
    give_number(number, name, sender ? socket_in(sender->line, "/") : NULL);
    applied[home] = n_orders;
    for (person *p = people; p < people + PEOPLE; p++)
        if (p->there && p->loop == home)
            look(p, n_orders);
}

static void go_in_or_out(person *p)
{
    char room = (char)('a' + roll(ROOMS));
    bool *in = &p->rooms[room - 'a'];
    on(p->loop);
    *in = !*in;
    if (*in)
        assert_int_equal(socketio_join(socket_in(p->line, "/"), (str){&room, 1}), 0);
    else
        socketio_leave(socket_in(p->line, "/"), (str){&room, 1});
}

static void emit_directly(person *p, int number)
{
    char args[16];
    snprintf(args, sizeof args, "[%d]", number);
    on(p->loop);
    const socketio_emission what = {.name = STR("n"), .args = str_from(args)};
    assert_true(socketio_emit(socket_in(p->line, "/"), &what, NULL) >= 0);
    must_get(p, number);
}

/* It has read some of what it was sent, and no more; sometimes the server does not know yet that it is gone. */
static void go_away(person *p, bool must_be_recovered)
{
    read_some(p, roll(6));
    p->there = false;
    on(p->loop);
    if (!roll(3))
        return;
    lose(p->line, ENGINEIO_TRANSPORT_CLOSE);
    arrive(p->loop, must_be_recovered);
}

static void return_somewhere(person *p)
{
    unsigned i = roll(links.n);
    if (stages[i].n_lines == 64)
        return;
    n_elsewhere += i != p->loop;
    p->loop = i;
    p->waiting = true;
    p->line = come_back(i, &p->names);
    on(i);
}

static void step(int number, bool must_be_recovered)
{
    person *p = &people[roll(PEOPLE)];
    switch (roll(10)) {
    case 0:
        if (p->there)
            go_in_or_out(p);
        break;
    case 1:
        if (p->there)
            emit_directly(p, number);
        break;
    case 2:
        if (p->there && !p->waiting)
            go_away(p, must_be_recovered);
        break;
    case 3:
        if (!p->there && !p->waiting)
            return_somewhere(p);
        look_who_is_back(must_be_recovered);
        break;
    case 4:
    case 5:
        arrive(roll(links.n), must_be_recovered);
        break;
    default:
        some_order(number);
    }
}

static void everything_arrives(bool must_be_recovered)
{
    for (int round = 0; round < 6; round++)
        for (unsigned i = 0; i < links.n; i++)
            arrive(i, must_be_recovered);
}

static void run_model(unsigned n, uint32_t seed, const weft_socketio_options *options, bool must_be_recovered)
{
    begin(n, options);
    for (socketio_rules *rules = shared->rules; rules; rules = rules->next)
        rules->peer.max_queued_bytes = 1 << 20; /* what is sent again is much at once */
    dice = seed;
    n_orders = 0;
    for (unsigned i = 0; i < n; i++) {
        stages[i].act = admit;
        applied[i] = 0;
        come(i); /* the namespace is there */
    }
    for (unsigned i = 0; i < PEOPLE; i++)
        start(&people[i], i % n, come(i % n));
    for (int i = 1; i <= STEPS; i++) {
        step(i, must_be_recovered);
        for (unsigned k = 0; k < n; k++) {
            stages[k].told[0] = '\0';
            for (uint32_t m = 0; m < stages[k].n_lines; m++) {
                stages[k].lines[m]->queued = 0;
                if (m == 0)
                    stages[k].lines[m]->wire[0] = '\0';
            }
        }
        if (i % 40)
            continue;
        everything_arrives(must_be_recovered);
        for (person *p = people; p < people + PEOPLE; p++)
            if (p->there)
                check(p);
    }
    end();
}

static void model__nobody_misses_anything(void **state)
{
    (void)state;
    n_recovered = n_elsewhere = 0;
    for (uint32_t seed = 1; seed <= 30; seed++) {
        run_model(2, seed, &recovering, true);
        run_model(4, seed, &recovering, true);
    }
    print_message("# %zu recovered, %zu came elsewhere\n", n_recovered, n_elsewhere);
    assert_true(n_recovered > 500 && n_elsewhere > 300);
}

/* What a log has forgotten by then costs the recovery, and never leaves a hole. */
static void model__nobody_is_recovered_with_a_hole(void **state)
{
    static weft_socketio_options few;
    (void)state;
    few = recovering;
    few.recovery_messages = 30;
    n_recovered = n_lost = 0;
    for (uint32_t seed = 1; seed <= 20; seed++)
        run_model(4, seed, &few, false);
    print_message("# %zu recovered, %zu not\n", n_recovered, n_lost);
    assert_true(n_recovered > 50 && n_lost > 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(return__finds_what_was_missed),
        cmocka_unit_test(return__of_one_that_may_have_sent_it_itself_is_new),
        cmocka_unit_test(return__takes_the_place_of_the_old_connection),
        cmocka_unit_test(return__of_nobody_is_asked_of_the_gate),
        cmocka_unit_test(return__with_an_offset_of_long_ago_is_new),
        cmocka_unit_test(return__to_a_log_that_is_too_small_is_new),
        cmocka_unit_test(return__of_one_that_is_gone_again),
        cmocka_unit_test(return__without_memory_is_no_worse_than_new),
        cmocka_unit_test(model__nobody_misses_anything),
        cmocka_unit_test(model__nobody_is_recovered_with_a_hole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
