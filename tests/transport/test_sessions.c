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

static hub the_hub; /* of which only the table of sessions is used */
static peer the_peer;

static int start(void **state)
{
    (void)state;
    failing = 0;
    given = 0;
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
    assert_memory_equal(zeros.id, "AAAAAAAAAAAAAAAAAAAA", SESSION_ID_BYTES);
    given = 0xFF;
    assert_int_equal(session_add(&the_hub, &ones, &the_peer, NULL), 0);
    assert_memory_equal(ones.id, "____________________", SESSION_ID_BYTES);
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

#define TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(guessable_ids__are_120_bits_of_the_kernels_and_no_others),
        TEST(guessable_ids__are_not_made_without_the_kernel),
        TEST(session__is_found_by_its_whole_id_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
