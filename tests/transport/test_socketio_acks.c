#include "support/check.h"

#include "transport/socketio.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { MOST = 64, STEPS = 20000, MANY = 200000 };

static loop the_loop;
static hub the_hub;
static socketio_namespace the_namespace;
static socketio_socket the_socket, other;

/* ---- a clock that stands still until a test puts it forward ---- */

static uint64_t clock_ms = 1000000;

int clock_gettime(clockid_t id, struct timespec *ret_now)
{
    (void)id;
    *ret_now = (struct timespec){(time_t)(clock_ms / 1000), (long)(clock_ms % 1000 * 1000000)};
    return 0;
}

static void turn(void)
{
    assert_int_equal(loop_step(&the_loop, 0), 0);
}

static void pass_ms(uint64_t ms)
{
    clock_ms += ms;
    turn();
}

/* ---- what was heard ---- */

static char heard[4096];

/** "question:what " */
static void put_down(const char *who, const char *what)
{
    size_t len = strlen(heard);
    int n = snprintf(heard + len, sizeof heard - len, "%s:%s ", who, what);
    assert_true(n > 0 && len + (size_t)n < sizeof heard);
}

static void assert_heard(const char *expected)
{
    assert_string_equal(heard, expected);
    heard[0] = '\0';
}

static void hear(weft_peer asker, int result, const weft_socketio_event *answer, void *user)
{
    char text[64] = "closed";
    assert_int_equal(asker.id, the_socket.peer.id);
    assert_int_equal(answer != NULL, result == 0);
    if (answer)
        snprintf(text, sizeof text, "%.*s", (int)answer->args.len, answer->args.at);
    else if (result == -ETIMEDOUT)
        strcpy(text, "late");
    else
        assert_int_equal(result, WEFT_E_CLOSED);
    put_down(user, text);
}

static uint64_t ask(const char *question, uint32_t timeout_ms)
{
    uint64_t id;
    assert_int_equal(socketio_acks_add(&the_socket, timeout_ms, hear, (void *)(uintptr_t)question, &id), 0);
    return id;
}

static void answer(uint64_t id, const char *args)
{
    socketio_acks_take(&the_socket, id, &(weft_socketio_event){.args = str_from(args)});
}

/* ---- `close` is called for those that leave ---- */

/* As that of a real one. */
static void turn_of(peer *p)
{
    if (the_socket.owes_acks)
        peer_mark(p);
    else
        put_down("socket", "close");
}

static const peer_ops few_ops = {.turn = turn_of};

static void socket_init(socketio_socket *s, uint64_t id)
{
    *s = (socketio_socket){.nsp = &the_namespace, .peer = {.id = id, .hub = &the_hub, .ops = &few_ops}};
}

static int start(void **state)
{
    (void)state;
    assert_int_equal(loop_init(&the_loop, NULL), 0);
    the_hub = (hub){.loop = &the_loop, .marked_task.run = peers_task};
    the_namespace = (socketio_namespace){.hub = &the_hub};
    socket_init(&the_socket, 7);
    socket_init(&other, 8);
    heard[0] = '\0';
    return 0;
}

static int stop(void **state)
{
    (void)state;
    assert_null(the_socket.acks);
    assert_null(other.acks);
    assert_int_equal(the_loop.wheel.n_armed, 0);
    pool_done(&the_loop.blocks);
    loop_done(&the_loop);
    return 0;
}

/* ------------------------------------------------------------------------------------------------------------ answers */

static void add__numbers_questions_of_all_sockets_of_a_namespace_from_zero(void **state)
{
    (void)state;
    uint64_t id;
    assert_int_equal(ask("a", 0), 0);
    assert_int_equal(socketio_acks_add(&other, 0, hear, NULL, &id), 0);
    assert_int_equal(id, 1);
    assert_int_equal(ask("b", 0), 2);
    answer(1, "[]"); /* another's */
    assert_heard("");
    socketio_acks_forget(&other, 1);
    answer(2, "[2]");
    answer(0, "[0]");
    assert_heard("b:[2] a:[0] ");
}

static void take__calls_once_and_then_nothing_is_owned(void **state)
{
    (void)state;
    uint64_t id = ask("a", 0);
    assert_non_null(the_socket.acks);
    answer(id, "[\"x\"]");
    assert_null(the_socket.acks);
    answer(id, "[\"y\"]");
    assert_heard("a:[\"x\"] ");
}

static void take__of_an_answer_to_nothing_is_ignored(void **state)
{
    (void)state;
    answer(0, "[]");
    uint64_t id = ask("a", 0);
    answer(id + 4, "[]"); /* the same bucket */
    answer(UINT64_MAX, "[]");
    assert_heard("");
    socketio_acks_forget(&the_socket, id);
}

static void take__in_time_ends_the_clock(void **state)
{
    (void)state;
    uint64_t id = ask("a", 50);
    pass_ms(49);
    answer(id, "[1]");
    assert_int_equal(the_loop.wheel.n_armed, 0);
    pass_ms(1000);
    assert_heard("a:[1] ");
}

static void clock__calls_with_etimedout_and_a_late_answer_is_ignored(void **state)
{
    (void)state;
    uint64_t a = ask("a", 50), b = ask("b", 20);
    uint64_t c = ask("c", 0);
    pass_ms(19);
    assert_heard("");
    pass_ms(2);
    assert_heard("b:late ");
    pass_ms(30);
    assert_heard("a:late ");
    answer(a, "[]");
    answer(b, "[]");
    assert_heard("");
    pass_ms(1000000);
    answer(c, "[3]");
    assert_heard("c:[3] ");
}

static void forget__calls_nobody(void **state)
{
    (void)state;
    uint64_t a = ask("a", 50), b = ask("b", 0);
    socketio_acks_forget(&the_socket, a);
    pass_ms(100);
    answer(a, "[]");
    socketio_acks_forget(&the_socket, a);
    answer(b, "[2]");
    assert_heard("b:[2] ");
}

static void ask_again(weft_peer asker, int result, const weft_socketio_event *what, void *user)
{
    hear(asker, result, what, user);
    ask("again", 10);
}

static void fn__may_ask_again(void **state)
{
    (void)state;
    uint64_t id;
    assert_int_equal(socketio_acks_add(&the_socket, 0, ask_again, (void *)(uintptr_t) "a", &id), 0);
    answer(id, "[1]");
    assert_heard("a:[1] ");
    assert_int_equal(socketio_acks_add(&the_socket, 5, ask_again, (void *)(uintptr_t) "b", &id), 0);
    pass_ms(6);
    assert_heard("b:late ");
    pass_ms(20);
    assert_heard("again:late again:late ");
}

static void leave(weft_peer asker, int result, const weft_socketio_event *what, void *user)
{
    hear(asker, result, what, user);
    socketio_acks_end(&the_socket);
}

static void fn__may_end_the_socket(void **state)
{
    (void)state;
    uint64_t id;
    ask("a", 20);
    assert_int_equal(socketio_acks_add(&the_socket, 0, leave, (void *)(uintptr_t) "b", &id), 0);
    ask("c", 0);
    answer(id, "[1]");
    assert_heard("b:[1] ");
    turn();
    assert_heard("a:closed c:closed ");
    pass_ms(100);
    assert_heard("");
}

static void fn__may_end_the_socket_when_the_time_is_over_for_many(void **state)
{
    (void)state;
    uint64_t id;
    assert_int_equal(socketio_acks_add(&the_socket, 10, leave, (void *)(uintptr_t) "a", &id), 0);
    for (int i = 0; i < 5; i++)
        ask("b", 11);
    pass_ms(20);
    assert_heard("a:late b:closed b:closed b:closed b:closed b:closed ");
}

/* ---------------------------------------------------------------------------------------------------------------- end */

static void end__calls_all_from_the_loop_in_the_order_they_asked(void **state)
{
    (void)state;
    static const char *const names[] = {"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"};
    for (size_t i = 0; i < N_OF(names); i++)
        ask(names[i], i % 2 ? 10 : 0);
    answer(3, "[]");
    heard[0] = '\0';
    socketio_acks_end(&the_socket);
    assert_heard(""); /* never inside a call */
    assert_null(the_socket.acks);
    answer(4, "[]");
    pass_ms(100);
    assert_heard("a:closed b:closed c:closed e:closed f:closed g:closed h:closed i:closed j:closed k:closed l:closed ");
    socketio_acks_end(&the_socket);
    turn();
    assert_heard("");
}

static void end__comes_before_close(void **state)
{
    (void)state;
    ask("a", 0);
    socketio_acks_end(&the_socket);
    peer_mark(&the_socket.peer);
    turn();
    assert_heard("a:closed socket:close ");
    ask("b", 0);
    peer_mark(&the_socket.peer); /* it is marked for another reason, or peer_leave() came first */
    socketio_acks_end(&the_socket);
    turn();
    assert_heard("b:closed socket:close ");
}

/* -------------------------------------------------------------------------------------------------------------- memory */

static int ask_three(void)
{
    uint64_t ids[3];
    int result = 0;
    for (int i = 0; i < 3 && !result; i++) {
        result = socketio_acks_add(&the_socket, 5, hear, (void *)(uintptr_t) "m", &ids[i]);
        if (result)
            assert_int_equal(result, -ENOMEM);
    }
    pass_ms(10);
    assert_null(the_socket.acks);
    heard[0] = '\0';
    return result;
}

static void add__without_memory_changes_nothing(void **state)
{
    (void)state;
    check_failing_allocations(ask_three);
}

static size_t n_called;

static void count(weft_peer asker, int result, const weft_socketio_event *what, void *user)
{
    (void)asker;
    (void)what;
    (void)user;
    assert_int_equal(result, 0);
    n_called++;
}

static void add__goes_on_when_a_larger_table_finds_no_memory(void **state)
{
    (void)state;
    uint64_t id;
    assert_int_equal(socketio_acks_add(&other, 0, count, NULL, &id), 0);
    for (int i = 0; i < 8; i++)
        assert_int_equal(socketio_acks_add(&the_socket, 0, count, NULL, &id), 0);
    socketio_acks_forget(&other, 0); /* its block is the pool's now: the table alone has to be allocated */
    mem_fail_from(1);
    int result = socketio_acks_add(&the_socket, 0, count, NULL, &id);
    mem_fail_from(0);
    assert_int_equal(result, 0);
    n_called = 0;
    for (uint64_t i = 0; i <= id; i++)
        answer(i, "[]");
    assert_int_equal(n_called, 9);
}

/** Thousands that wait for an answer are found at once: with a few lists this is 200,000 times 25,000 steps. */
static void take__is_quick_with_very_many(void **state)
{
    (void)state;
    uint64_t id = 0;
    clock_t begun = clock();
    for (int i = 0; i < MANY; i++)
        assert_int_equal(socketio_acks_add(&the_socket, 0, count, NULL, &id), 0);
    n_called = 0;
    for (uint64_t i = 0; i < MANY; i++)
        answer(i * 7919 % MANY, "[]"); /* in another order */
    assert_int_equal(n_called, MANY);
    assert_true((clock() - begun) / CLOCKS_PER_SEC < 5);
}

/* --------------------------------------------------------------------------------------------------------- the model */

typedef struct {
    uint64_t id, due_ms; /* 0: never */
    bool waits;
} question;

static question asked[STEPS];
static size_t n_asked, n_left;
static int expected_result;

static void check(weft_peer asker, int result, const weft_socketio_event *what, void *user)
{
    question *q = user;
    (void)asker;
    assert_true(q->waits);
    if (result == -ETIMEDOUT)
        assert_true(q->due_ms && q->due_ms <= clock_ms);
    else
        assert_int_equal(result, expected_result);
    assert_int_equal(what != NULL, result == 0);
    q->waits = false;
    n_left--;
}

static question *any_question(unsigned *seed)
{
    return n_asked ? &asked[n_asked - 1 - (size_t)rand_r(seed) % (n_asked < MOST ? n_asked : MOST)] : NULL;
}

static void model_ask(unsigned *seed)
{
    question *q = &asked[n_asked++];
    uint32_t timeout_ms = rand_r(seed) % 2 ? (uint32_t)rand_r(seed) % 100 + 1 : 0;
    *q = (question){.due_ms = timeout_ms ? clock_ms + timeout_ms : 0, .waits = true};
    assert_int_equal(socketio_acks_add(&the_socket, timeout_ms, check, q, &q->id), 0);
    n_left++;
}

static void model_pass(uint64_t ms)
{
    pass_ms(ms);
    for (size_t i = 0; i < n_asked; i++)
        assert_true(!asked[i].waits || !asked[i].due_ms || asked[i].due_ms > clock_ms - 1);
}

static void model_end(void)
{
    expected_result = WEFT_E_CLOSED;
    socketio_acks_end(&the_socket);
    turn();
    assert_int_equal(n_left, 0);
    expected_result = 0;
}

static void model__every_question_is_answered_once(void **state)
{
    (void)state;
    unsigned seed = 4711;
    for (int step = 0; step < STEPS; step++) {
        question *q = any_question(&seed);
        unsigned what = (unsigned)rand_r(&seed) % 100;
        if (what < 45 || !q) {
            model_ask(&seed);
        } else if (what < 90) {
            answer(q->id, "[]");
            assert_false(q->waits);
        } else if (what < 95) {
            socketio_acks_forget(&the_socket, q->id);
            n_left -= q->waits;
            q->waits = false;
        } else if (what < 99 || step % 10) {
            if (step % 4 == 0)
                model_pass((uint64_t)rand_r(&seed) % 40);
        } else {
            model_end();
        }
        assert_int_equal(the_socket.acks != NULL, n_left > 0);
    }
    model_end();
    for (size_t i = 0; i < n_asked; i++)
        assert_false(asked[i].waits);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(add__numbers_questions_of_all_sockets_of_a_namespace_from_zero, start, stop),
        cmocka_unit_test_setup_teardown(take__calls_once_and_then_nothing_is_owned, start, stop),
        cmocka_unit_test_setup_teardown(take__of_an_answer_to_nothing_is_ignored, start, stop),
        cmocka_unit_test_setup_teardown(take__in_time_ends_the_clock, start, stop),
        cmocka_unit_test_setup_teardown(clock__calls_with_etimedout_and_a_late_answer_is_ignored, start, stop),
        cmocka_unit_test_setup_teardown(forget__calls_nobody, start, stop),
        cmocka_unit_test_setup_teardown(fn__may_ask_again, start, stop),
        cmocka_unit_test_setup_teardown(fn__may_end_the_socket, start, stop),
        cmocka_unit_test_setup_teardown(fn__may_end_the_socket_when_the_time_is_over_for_many, start, stop),
        cmocka_unit_test_setup_teardown(end__calls_all_from_the_loop_in_the_order_they_asked, start, stop),
        cmocka_unit_test_setup_teardown(end__comes_before_close, start, stop),
        cmocka_unit_test_setup_teardown(add__without_memory_changes_nothing, start, stop),
        cmocka_unit_test_setup_teardown(add__goes_on_when_a_larger_table_finds_no_memory, start, stop),
        cmocka_unit_test_setup_teardown(take__is_quick_with_very_many, start, stop),
        cmocka_unit_test_setup_teardown(model__every_question_is_answered_once, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
