#include "loop/inbox.h"
#include "support/check.h"
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <weft.h>

enum {
    N_PRODUCERS = 4,
    N_NOTES = 100000, /* of each producer */
    PATIENCE_MS = 20000,
};

typedef struct {
    note base;
    unsigned producer;
    uint64_t number;
} parcel;

static parcel *parcel_new(unsigned producer, uint64_t number)
{
    parcel *p = mem_new(sizeof *p);
    assert_non_null(p);
    *p = (parcel){.base.bytes = sizeof *p, .producer = producer, .number = number};
    return p;
}

static uint64_t free_all(note *n)
{
    uint64_t count = 0;
    for (note *next; n; n = next, count++) {
        next = n->next;
        mem_free(n);
    }
    return count;
}

static bool readable(const inbox *box, int patience_ms)
{
    struct pollfd ready = {.fd = inbox_fd(box), .events = POLLIN};
    int n;
    do
        n = poll(&ready, 1, patience_ms);
    while (n < 0 && errno == EINTR);
    return n == 1;
}

/* How often the eventfd was written since it was last read. */
static uint64_t n_writes(const inbox *box)
{
    uint64_t count = 0;
    if (read(inbox_fd(box), &count, sizeof count) < 0)
        assert_int_equal(errno, EAGAIN);
    return count;
}

static void close_descriptor(inbox *box)
{
    close(inbox_fd(box));
}

/* ---- one thread ---- */

static void inbox__zeroed_is_closed(void **state)
{
    (void)state;
    static inbox box;
    parcel *p = parcel_new(0, 0);
    assert_int_equal(inbox_push(&box, &p->base), WEFT_E_CLOSED);
    p->base.bytes = (size_t)INBOX_MAX_BYTES + 1;
    assert_int_equal(inbox_push(&box, &p->base), WEFT_E_CLOSED);
    inbox_signal(&box, 1);
    assert_int_equal(inbox_open(&box), 0);
    unsigned flags = 77;
    assert_null(inbox_take(&box, &flags));
    assert_int_equal(flags, 0);
    assert_null(inbox_close(&box));
    close_descriptor(&box);
    mem_free(p);
}

static void inbox__gives_the_oldest_first(void **state)
{
    (void)state;
    static inbox box;
    unsigned flags;
    assert_int_equal(inbox_open(&box), 0);
    for (uint64_t i = 0; i < 3; i++)
        assert_int_equal(inbox_push(&box, &parcel_new(0, i)->base), 0);
    note *taken = inbox_take(&box, &flags);
    uint64_t i = 0;
    for (note *n = taken; n; n = n->next)
        assert_int_equal(((parcel *)n)->number, i++);
    assert_int_equal(i, 3);
    assert_int_equal(free_all(taken), 3);
    assert_null(inbox_take(&box, &flags));
    inbox_close(&box);
    close_descriptor(&box);
}

static void inbox__writes_the_eventfd_only_when_it_was_empty(void **state)
{
    (void)state;
    static inbox box;
    unsigned flags;
    assert_int_equal(inbox_open(&box), 0);
    assert_false(readable(&box, 0));
    for (uint64_t i = 0; i < 5; i++)
        assert_int_equal(inbox_push(&box, &parcel_new(0, i)->base), 0);
    assert_true(readable(&box, 0));
    assert_int_equal(n_writes(&box), 1);
    assert_int_equal(inbox_push(&box, &parcel_new(0, 5)->base), 0);
    assert_int_equal(n_writes(&box), 0);
    assert_int_equal(free_all(inbox_take(&box, &flags)), 6);
    assert_int_equal(inbox_push(&box, &parcel_new(0, 6)->base), 0);
    assert_int_equal(n_writes(&box), 1);
    assert_int_equal(free_all(inbox_close(&box)), 1);
    close_descriptor(&box);
}

static void inbox__take_resets_the_descriptor(void **state)
{
    (void)state;
    static inbox box;
    unsigned flags;
    assert_int_equal(inbox_open(&box), 0);
    assert_int_equal(inbox_push(&box, &parcel_new(0, 0)->base), 0);
    inbox_signal(&box, 1);
    assert_true(readable(&box, 0));
    assert_int_equal(free_all(inbox_take(&box, &flags)), 1);
    assert_false(readable(&box, 0));
    inbox_close(&box);
    close_descriptor(&box);
}

static void inbox__gathers_flags_and_hands_them_over_once(void **state)
{
    (void)state;
    static inbox box;
    unsigned flags;
    assert_int_equal(inbox_open(&box), 0);
    inbox_signal(&box, 1);
    inbox_signal(&box, 4);
    inbox_signal(&box, 4);
    assert_int_equal(n_writes(&box), 1);
    assert_null(inbox_take(&box, &flags));
    assert_int_equal(flags, 5);
    assert_null(inbox_take(&box, &flags));
    assert_int_equal(flags, 0);
    inbox_signal(&box, ~0U);
    assert_int_equal(n_writes(&box), 1);
    inbox_take(&box, &flags);
    assert_int_equal(flags, INBOX_FLAGS);
    inbox_close(&box);
    close_descriptor(&box);
}

static void inbox__refuses_what_passes_the_limit(void **state)
{
    (void)state;
    static inbox box;
    unsigned flags;
    parcel *large = parcel_new(0, 0), *small = parcel_new(0, 1);
    assert_int_equal(inbox_open(&box), 0);
    large->base.bytes = (size_t)INBOX_MAX_BYTES + 1;
    assert_int_equal(inbox_push(&box, &large->base), WEFT_E_FULL);
    large->base.bytes = SIZE_MAX;
    assert_int_equal(inbox_push(&box, &large->base), WEFT_E_FULL);
    assert_null(inbox_take(&box, &flags));
    large->base.bytes = INBOX_MAX_BYTES - sizeof *small;
    assert_int_equal(inbox_push(&box, &large->base), 0);
    small->base.bytes++;
    assert_int_equal(inbox_push(&box, &small->base), WEFT_E_FULL);
    small->base.bytes--;
    assert_int_equal(inbox_push(&box, &small->base), 0);
    assert_int_equal(free_all(inbox_take(&box, &flags)), 2);
    large = parcel_new(0, 2);
    large->base.bytes = INBOX_MAX_BYTES;
    assert_int_equal(inbox_push(&box, &large->base), 0);
    assert_int_equal(free_all(inbox_close(&box)), 1);
    close_descriptor(&box);
}

static void inbox__close_gives_what_waits_and_refuses_the_rest(void **state)
{
    (void)state;
    static inbox box;
    assert_int_equal(inbox_open(&box), 0);
    assert_int_equal(inbox_push(&box, &parcel_new(0, 0)->base), 0);
    assert_int_equal(inbox_push(&box, &parcel_new(0, 1)->base), 0);
    note *left = inbox_close(&box);
    assert_int_equal(((parcel *)left)->number, 0);
    assert_int_equal(free_all(left), 2);
    n_writes(&box);
    parcel *late = parcel_new(0, 2);
    assert_int_equal(inbox_push(&box, &late->base), WEFT_E_CLOSED);
    inbox_signal(&box, 4);
    assert_int_equal(n_writes(&box), 0);
    mem_free(late);
    close_descriptor(&box);
}

static void inbox__opened_again_is_empty_and_keeps_its_descriptor(void **state)
{
    (void)state;
    static inbox box;
    unsigned flags;
    assert_int_equal(inbox_open(&box), 0);
    int fd = inbox_fd(&box);
    parcel *p = parcel_new(0, 0);
    p->base.bytes = INBOX_MAX_BYTES;
    assert_int_equal(inbox_push(&box, &p->base), 0);
    inbox_signal(&box, 1);
    assert_int_equal(free_all(inbox_close(&box)), 1);
    inbox_signal(&box, 2);
    assert_int_equal(inbox_open(&box), 0);
    assert_int_equal(inbox_fd(&box), fd);
    assert_null(inbox_take(&box, &flags));
    assert_int_equal(flags, 0);
    p = parcel_new(0, 1);
    p->base.bytes = INBOX_MAX_BYTES;
    assert_int_equal(inbox_push(&box, &p->base), 0);
    assert_true(readable(&box, 0));
    assert_int_equal(free_all(inbox_close(&box)), 1);
    close_descriptor(&box);
}

static void inbox__without_a_descriptor_stays_closed(void **state)
{
    (void)state;
    static inbox box;
    struct rlimit before, none;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = (struct rlimit){0, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    int error = inbox_open(&box);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(error, -EMFILE);
    parcel *p = parcel_new(0, 0);
    assert_int_equal(inbox_push(&box, &p->base), WEFT_E_CLOSED);
    inbox_signal(&box, 1);
    mem_free(p);
    assert_int_equal(inbox_open(&box), 0);
    assert_null(inbox_close(&box));
    close_descriptor(&box);
}

static void inbox__signal_preserves_errno(void **state)
{
    (void)state;
    static inbox box;
    unsigned flags;
    assert_int_equal(inbox_open(&box), 0);
    uint64_t all = UINT64_MAX - 1; /* the eventfd's most: the next write fails */
    assert_int_equal(write(inbox_fd(&box), &all, sizeof all), sizeof all);
    errno = 1234;
    inbox_signal(&box, 1);
    assert_int_equal(errno, 1234);
    assert_true(readable(&box, 0));
    inbox_take(&box, &flags);
    assert_int_equal(flags, 1);
    inbox_close(&box);
    close_descriptor(&box);
}

/* ---- threads ---- */

static inbox shared; /* closed between tests */

/* Tries again while the inbox is full, ends when it is closed. Returns how many notes it took. */
static void *produce(void *arg)
{
    unsigned producer = (unsigned)(uintptr_t)arg;
    uint64_t n = 0;
    while (n < N_NOTES) {
        parcel *p = parcel_new(producer, n);
        int result;
        while ((result = inbox_push(&shared, &p->base)) == WEFT_E_FULL)
            sched_yield();
        if (result) {
            assert_int_equal(result, WEFT_E_CLOSED);
            mem_free(p);
            break;
        }
        n++;
    }
    return (void *)(uintptr_t)n;
}

static void start(pthread_t threads[N_PRODUCERS], void *(*run)(void *))
{
    for (uintptr_t i = 0; i < N_PRODUCERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run, (void *)i), 0);
}

static uint64_t join(pthread_t threads[N_PRODUCERS])
{
    uint64_t sum = 0;
    for (int i = 0; i < N_PRODUCERS; i++) {
        void *result;
        assert_int_equal(pthread_join(threads[i], &result), 0);
        sum += (uintptr_t)result;
    }
    return sum;
}

/* Checks the order of each producer and frees. */
static uint64_t accept_all(note *taken, uint64_t next[N_PRODUCERS])
{
    for (note *n = taken; n; n = n->next) {
        const parcel *p = (const parcel *)n;
        assert_int_equal(p->number, next[p->producer]++);
    }
    return free_all(taken);
}

static void inbox__keeps_the_order_of_each_producer(void **state)
{
    (void)state;
    pthread_t threads[N_PRODUCERS];
    uint64_t next[N_PRODUCERS] = {0};
    uint64_t n_taken = 0, n_written = 0, n_turns = 0;
    unsigned flags;
    assert_int_equal(inbox_open(&shared), 0);
    start(threads, produce);
    while (n_taken < (uint64_t)N_PRODUCERS * N_NOTES) {
        assert_true(readable(&shared, PATIENCE_MS)); /* no wake-up is lost */
        n_written += n_writes(&shared);
        uint64_t n = accept_all(inbox_take(&shared, &flags), next);
        n_turns += n > 0;
        n_taken += n;
    }
    assert_int_equal(join(threads), n_taken);
    assert_true(n_written <= n_turns);
    assert_null(inbox_close(&shared));
    assert_int_equal(shared.bytes, 0);
}

static void inbox__closed_under_way_loses_and_doubles_nothing(void **state)
{
    (void)state;
    unsigned flags;
    for (uint64_t round = 0; round < 50; round++) {
        pthread_t threads[N_PRODUCERS];
        uint64_t next[N_PRODUCERS] = {0};
        uint64_t n_taken = 0;
        assert_int_equal(inbox_open(&shared), 0);
        start(threads, produce);
        while (n_taken < 200 * round) {
            assert_true(readable(&shared, PATIENCE_MS));
            n_taken += accept_all(inbox_take(&shared, &flags), next);
        }
        n_taken += accept_all(inbox_close(&shared), next);
        assert_int_equal(join(threads), n_taken);
        assert_int_equal(shared.bytes, 0);
    }
}

static void *fill(void *arg)
{
    (void)arg;
    uintptr_t n = 0;
    for (;; n++) {
        parcel *p = parcel_new(0, 0);
        p->base.bytes = INBOX_MAX_BYTES / 64;
        if (inbox_push(&shared, &p->base)) {
            mem_free(p);
            return (void *)n;
        }
    }
}

static void inbox__limit_is_exact_among_producers(void **state)
{
    (void)state;
    unsigned flags;
    assert_int_equal(inbox_open(&shared), 0);
    for (int round = 0; round < 50; round++) {
        pthread_t threads[N_PRODUCERS];
        start(threads, fill);
        assert_int_equal(join(threads), 64);
        assert_int_equal(free_all(inbox_take(&shared, &flags)), 64);
    }
    assert_null(inbox_close(&shared));
}

static void *signal_often(void *arg)
{
    for (int i = 0; i < 20000; i++)
        inbox_signal(&shared, 1U << (uintptr_t)arg);
    inbox_signal(&shared, 16U << (uintptr_t)arg);
    return NULL;
}

static void inbox__no_signal_is_lost_among_threads(void **state)
{
    (void)state;
    pthread_t threads[N_PRODUCERS];
    unsigned seen = 0;
    assert_int_equal(inbox_open(&shared), 0);
    start(threads, signal_often);
    while (seen != 0xff) {
        unsigned flags;
        assert_true(readable(&shared, PATIENCE_MS));
        assert_null(inbox_take(&shared, &flags));
        seen |= flags;
    }
    join(threads);
    inbox_close(&shared);
}

static void on_usr1(int number)
{
    (void)number;
    inbox_signal(&shared, 8);
}

/* The handler interrupts the very thread that pushes, in the middle of whatever it does. */
static void inbox__may_be_signalled_from_a_handler(void **state)
{
    (void)state;
    struct sigaction action = {.sa_handler = on_usr1}, before;
    pthread_t threads[N_PRODUCERS];
    uint64_t next[N_PRODUCERS] = {0};
    uint64_t n_taken = 0;
    unsigned seen = 0;
    assert_int_equal(sigaction(SIGUSR1, &action, &before), 0);
    assert_int_equal(inbox_open(&shared), 0);
    start(threads, produce);
    while (n_taken < (uint64_t)N_PRODUCERS * N_NOTES || !seen) {
        unsigned flags;
        for (int i = 0; i < N_PRODUCERS; i++)
            pthread_kill(threads[i], SIGUSR1);
        assert_true(readable(&shared, PATIENCE_MS));
        n_taken += accept_all(inbox_take(&shared, &flags), next);
        seen |= flags;
    }
    assert_int_equal(join(threads), n_taken);
    assert_int_equal(seen, 8);
    assert_null(inbox_close(&shared));
    assert_int_equal(sigaction(SIGUSR1, &before, NULL), 0);
}

static atomic_bool over;

/* Does not stop when the inbox is closed: it may be open again. */
static void *push_and_signal(void *arg)
{
    uintptr_t n = 0;
    while (!over) {
        parcel *p = parcel_new((unsigned)(uintptr_t)arg, n);
        inbox_signal(&shared, 1);
        if (inbox_push(&shared, &p->base) == 0)
            n++;
        else
            mem_free(p);
        sched_yield();
    }
    return (void *)n;
}

static void inbox__opens_and_closes_under_stale_writers(void **state)
{
    (void)state;
    pthread_t threads[N_PRODUCERS];
    uint64_t next[N_PRODUCERS] = {0};
    uint64_t n_taken = 0;
    assert_int_equal(inbox_open(&shared), 0);
    start(threads, push_and_signal);
    for (int round = 0; round < 500; round++) {
        unsigned flags;
        assert_true(readable(&shared, PATIENCE_MS));
        n_taken += accept_all(inbox_take(&shared, &flags), next);
        n_taken += accept_all(inbox_close(&shared), next);
        assert_int_equal(inbox_open(&shared), 0);
    }
    over = true;
    uint64_t n_pushed = join(threads);
    n_taken += accept_all(inbox_close(&shared), next);
    assert_int_equal(n_pushed, n_taken);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(inbox__zeroed_is_closed),
        cmocka_unit_test(inbox__gives_the_oldest_first),
        cmocka_unit_test(inbox__writes_the_eventfd_only_when_it_was_empty),
        cmocka_unit_test(inbox__take_resets_the_descriptor),
        cmocka_unit_test(inbox__gathers_flags_and_hands_them_over_once),
        cmocka_unit_test(inbox__refuses_what_passes_the_limit),
        cmocka_unit_test(inbox__close_gives_what_waits_and_refuses_the_rest),
        cmocka_unit_test(inbox__opened_again_is_empty_and_keeps_its_descriptor),
        cmocka_unit_test(inbox__without_a_descriptor_stays_closed),
        cmocka_unit_test(inbox__signal_preserves_errno),
        cmocka_unit_test(inbox__keeps_the_order_of_each_producer),
        cmocka_unit_test(inbox__closed_under_way_loses_and_doubles_nothing),
        cmocka_unit_test(inbox__limit_is_exact_among_producers),
        cmocka_unit_test(inbox__no_signal_is_lost_among_threads),
        cmocka_unit_test(inbox__may_be_signalled_from_a_handler),
        cmocka_unit_test(inbox__opens_and_closes_under_stale_writers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
