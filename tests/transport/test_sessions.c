#include "support/check.h"
#include "transport/sessions.h"
#include <errno.h>
#include <sys/random.h>

/* What the kernel gives, in place of the system's: ids are made of nothing else. */
static uint8_t given;
static size_t n_asked;
static int failing; /* errno; 0: it does not */

ssize_t getrandom(void *bytes, size_t len, unsigned flags)
{
    assert_int_equal(flags, 0); /* never from a pool that is not filled yet */
    n_asked += len;
    if (failing) {
        errno = failing;
        return -1;
    }
    memset(bytes, given, len);
    return (ssize_t)len;
}

static loop the_loop; /* of which only its place is used */
static hub the_hub;   /* of which only the table of sessions is used */
static peer the_peer;

static int start(void **state)
{
    (void)state;
    failing = 0;
    given = 0;
    the_loop.index = 0;
    the_hub.loop = &the_loop;
    int error = map_init(&the_hub.sessions);
    n_asked = 0;
    return error;
}

static int stop(void **state)
{
    (void)state;
    map_done(&the_hub.sessions);
    return 0;
}

/* CVE-2017-16031: ids that can be guessed. */
static void guessable_ids__are_120_bits_of_the_kernels_and_no_others(void **state)
{
    (void)state;
    session zeros = {0}, ones = {0};
    assert_int_equal(session_add(&the_hub, &zeros, &the_peer, NULL), 0);
    assert_int_equal(n_asked * 8, 120);
    assert_memory_equal(zeros.id, "AAAAAAAAAAAAAAAAAAAAAA", SESSION_ID_BYTES);
    given = 0xFF;
    assert_int_equal(session_add(&the_hub, &ones, &the_peer, NULL), 0);
    assert_memory_equal(ones.id, "____________________AA", SESSION_ID_BYTES);
    assert_ptr_equal(session_find(&the_hub, (str){ones.id, SESSION_ID_BYTES}, NULL), &ones);
    session_remove(&the_hub, &zeros);
    session_remove(&the_hub, &ones);
}

/* Better no session than one whose id is known. */
static void guessable_ids__are_not_made_without_the_kernel(void **state)
{
    (void)state;
    session s = {0};
    failing = ENOSYS;
    assert_int_equal(session_add(&the_hub, &s, &the_peer, NULL), -ENOSYS);
    assert_int_equal(the_hub.sessions.n_entries, 0);
    assert_null(s.peer);
}

/* Known on the route that it was opened on, whole, and until it ends. */
static void session__is_found_by_its_whole_id_alone(void **state)
{
    (void)state;
    session s = {0};
    int route = 0, other = 0;
    given = 'x';
    assert_int_equal(session_add(&the_hub, &s, &the_peer, &route), 0);
    assert_ptr_equal(session_find(&the_hub, (str){s.id, SESSION_ID_BYTES}, &route), &s);
    assert_null(session_find(&the_hub, (str){s.id, SESSION_ID_BYTES}, &other));
    assert_null(session_find(&the_hub, (str){s.id, SESSION_ID_BYTES - 1}, &route));
    assert_null(session_find(&the_hub, (str){NULL, 0}, &route));
    session_remove(&the_hub, &s);
    assert_null(session_find(&the_hub, (str){s.id, SESSION_ID_BYTES}, &route));
    session_remove(&the_hub, &s);
}

/* ---- on other loops ---- */

static unsigned went_to;
static int move_error, status;

static int move(exchange *e, const weft_request *request, unsigned place)
{
    (void)e, (void)request;
    went_to = place;
    return move_error;
}

static int answer(exchange *e, const http_answer *what)
{
    (void)e;
    status = what->status;
    return 0;
}

static const exchange_ops carrying = {.answer = answer, .move = move};

enum { NOWHERE = LOOP_MAX + 1 };

/* True when the request is gone. */
static bool follow(str id, int error)
{
    static const weft_request request;
    exchange e = {.ops = &carrying, .context = &the_hub};
    went_to = NOWHERE;
    move_error = error;
    status = 0;
    return session_follow(&e, &request, id);
}

static void session__is_followed_to_the_loop_that_it_lives_on(void **state)
{
    (void)state;
    char id[SESSION_ID_BYTES];
    for (unsigned i = 0; i < LOOP_MAX; i++) {
        the_loop.index = (uint8_t)i;
        assert_int_equal(session_make_id(&the_hub, id), 0);
        assert_false(follow((str){id, sizeof id}, 0)); /* it is here */
        assert_int_equal(went_to, NOWHERE);
        the_loop.index = (uint8_t)(i + 1);
        assert_true(follow((str){id, sizeof id}, 0));
        assert_int_equal(went_to, i);
        assert_int_equal(status, 0);
    }
}

/* It is looked for here then, and not found. */
static void guessable_ids__with_a_made_up_loop_go_nowhere(void **state)
{
    (void)state;
    static const char *const made_up[] = {
        "",
        "-",
        "AAAAAAAAAAAAAAAAAAAAB",
        "AAAAAAAAAAAAAAAAAAAAABC",
        "AAAAAAAAAAAAAAAAAAAA+B",
        "AAAAAAAAAAAAAAAAAAAAA/",
        "AAAAAAAAAAAAAAAAAAAAA=",
        "AAAAAAAAAAAAAAAAAAAA  ",
    };
    for (size_t i = 0; i < sizeof made_up / sizeof *made_up; i++) {
        assert_false(follow(str_from(made_up[i]), WEFT_E_INVALID));
        assert_true(went_to >= LOOP_MAX); /* which exchange_move() refuses */
    }
    assert_false(follow((str){NULL, 0}, WEFT_E_INVALID));
    assert_false(follow(STR("AAAAAAAAAAAAAAAAAAAADG"), WEFT_E_INVALID));
    assert_int_equal(went_to, 198); /* no loop of the application */
    assert_false(follow(STR("AAAAAAAAAAAAAAAAAAAA__"), WEFT_E_INVALID));
    assert_true(went_to >= LOOP_MAX);
    assert_int_equal(status, 0);
}

static void session__that_cannot_be_followed_for_want_of_memory_is_not_said_to_be_gone(void **state)
{
    (void)state;
    assert_true(follow(STR("AAAAAAAAAAAAAAAAAAAAAB"), -ENOMEM));
    assert_int_equal(went_to, 1);
    assert_int_equal(status, 503);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(guessable_ids__are_120_bits_of_the_kernels_and_no_others),
        TEST(guessable_ids__are_not_made_without_the_kernel),
        TEST(session__is_found_by_its_whole_id_alone),
        TEST(session__is_followed_to_the_loop_that_it_lives_on),
        TEST(guessable_ids__with_a_made_up_loop_go_nowhere),
        TEST(session__that_cannot_be_followed_for_want_of_memory_is_not_said_to_be_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
