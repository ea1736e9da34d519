#include "loop/loop.h"
#include "support/check.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
#include <weft.h>

enum { PATIENCE_MS = 20000, NS_PER_MS = 1000000 };

static loop the_loop;

/* What happened, a letter each. */
static char events[256];

static void happened(char letter)
{
    size_t len = strlen(events);
    assert_true(len + 1 < sizeof events);
    events[len] = letter;
}

static int start(void **state)
{
    (void)state;
    memset(events, 0, sizeof events);
    return loop_init(&the_loop, &the_loop);
}

static int stop(void **state)
{
    (void)state;
    loop_done(&the_loop);
    return 0;
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 * NS_PER_MS + (uint64_t)now.tv_nsec;
}

static uint64_t ms(uint64_t n)
{
    return n * NS_PER_MS;
}

/* ---- sources ---- */

/* One end of a pair of sockets that the loop looks at, and the other, which the test holds. */
typedef struct end end;
struct end {
    loop_source source;
    int fd;
    end *other; /* another source of the test */
    int n_calls;
    uint32_t told; /* by the last call */
};

static void count_call(loop_source *source, uint32_t told)
{
    end *e = CONTAINER(source, end, source);
    char byte;
    e->n_calls++;
    e->told = told;
    if (told & EPOLLIN && read(source->fd, &byte, 1) < 0)
        assert_int_equal(errno, EAGAIN);
}

static void end_init(end *e, void (*ready)(loop_source *, uint32_t))
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    *e = (end){.source = {.ready = ready, .fd = fds[0]}, .fd = fds[1]};
}

static void end_done(end *e)
{
    loop_unwatch(&the_loop, &e->source);
    close(e->source.fd);
    close(e->fd);
}

static void end_write(const end *e)
{
    assert_int_equal(write(e->fd, "x", 1), 1);
}

static void loop__tells_a_source_what_it_watches(void **state)
{
    (void)state;
    end e;
    end_init(&e, count_call);
    assert_int_equal(loop_watch(&the_loop, &e.source, EPOLLIN), 0);
    assert_int_equal(e.source.watched, EPOLLIN);
    assert_int_equal(loop_step(&the_loop, 0), 0);
    assert_int_equal(e.n_calls, 0);
    end_write(&e);
    assert_int_equal(loop_step(&the_loop, -1), 0);
    assert_int_equal(e.n_calls, 1);
    assert_int_equal(e.told, EPOLLIN);
    assert_int_equal(loop_watch(&the_loop, &e.source, EPOLLIN | EPOLLOUT), 0);
    assert_int_equal(loop_step(&the_loop, -1), 0);
    assert_int_equal(e.told, EPOLLOUT);
    assert_int_equal(loop_watch(&the_loop, &e.source, 0), 0);
    assert_int_equal(e.source.watched, 0);
    end_write(&e);
    assert_int_equal(loop_step(&the_loop, 0), 0);
    assert_int_equal(e.n_calls, 2);
    end_done(&e);
}

static void loop__tells_of_a_hangup_unasked(void **state)
{
    (void)state;
    end e;
    end_init(&e, count_call);
    assert_int_equal(loop_watch(&the_loop, &e.source, EPOLLPRI), 0);
    assert_int_equal(shutdown(e.fd, SHUT_RDWR), 0);
    assert_int_equal(loop_step(&the_loop, -1), 0);
    assert_int_equal(e.told, EPOLLHUP);
    end_done(&e);
}

static void loop__watch_that_fails_changes_nothing(void **state)
{
    (void)state;
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC); /* a file is always ready: epoll does not take it */
    loop_source file = {.ready = count_call, .fd = fd};
    assert_int_equal(loop_watch(&the_loop, &file, EPOLLIN), -EPERM);
    assert_int_equal(file.watched, 0);
    close(fd);
    assert_int_equal(loop_watch(&the_loop, &file, EPOLLIN), -EBADF);
    loop_unwatch(&the_loop, &file);
    assert_int_equal(loop_watch(&the_loop, &file, 0), 0);
}

static int n_freed;

/* Whichever of two is called first ends the other. */
static void free_the_other(loop_source *source, uint32_t told)
{
    end *e = CONTAINER(source, end, source);
    count_call(source, told);
    if (!e->other)
        return;
    end_done(e->other);
    mem_free(e->other);
    e->other = NULL;
    n_freed++;
}

static void loop__unwatched_in_the_same_batch_is_not_called(void **state)
{
    (void)state;
    end *a = mem_new(sizeof *a), *b = mem_new(sizeof *b);
    assert_true(a && b);
    end_init(a, free_the_other);
    end_init(b, free_the_other);
    a->other = b;
    b->other = a;
    assert_int_equal(loop_watch(&the_loop, &a->source, EPOLLIN), 0);
    assert_int_equal(loop_watch(&the_loop, &b->source, EPOLLIN), 0);
    end_write(a); /* so that a comes first */
    end_write(b);
    n_freed = 0;
    assert_int_equal(loop_step(&the_loop, -1), 0);
    assert_int_equal(n_freed, 1);
    assert_int_equal(a->n_calls, 1);
    end_done(a);
    mem_free(a);
}

/* The other's place goes to a new connection at once, on which nothing has happened yet. */
static void replace_the_other(loop_source *source, uint32_t told)
{
    end *e = CONTAINER(source, end, source);
    count_call(source, told);
    end_done(e->other);
    end_init(e->other, count_call);
    assert_int_equal(loop_watch(&the_loop, &e->other->source, EPOLLIN), 0);
}

static void loop__watched_anew_in_the_same_batch_hears_nothing_old(void **state)
{
    (void)state;
    end a, b;
    end_init(&a, replace_the_other);
    end_init(&b, count_call);
    a.other = &b;
    assert_int_equal(loop_watch(&the_loop, &a.source, EPOLLIN), 0);
    assert_int_equal(loop_watch(&the_loop, &b.source, EPOLLIN), 0);
    end_write(&a);
    end_write(&b);
    assert_int_equal(loop_step(&the_loop, -1), 0);
    assert_int_equal(a.n_calls, 1);
    assert_int_equal(b.n_calls, 0);
    end_write(&b);
    assert_int_equal(loop_step(&the_loop, -1), 0);
    assert_int_equal(b.n_calls, 1);
    end_done(&a);
    end_done(&b);
}

static uint32_t change_to;

static void change_the_other(loop_source *source, uint32_t told)
{
    count_call(source, told);
    assert_int_equal(loop_watch(&the_loop, &CONTAINER(source, end, source)->other->source, change_to), 0);
}

static void loop__paused_in_the_same_batch_is_told_the_rest_only(void **state)
{
    (void)state;
    const uint32_t to[] = {EPOLLPRI, EPOLLOUT};
    for (size_t i = 0; i < N_OF(to); i++) {
        end a, b;
        end_init(&a, change_the_other);
        end_init(&b, count_call);
        a.other = &b;
        change_to = to[i];
        assert_int_equal(loop_watch(&the_loop, &a.source, EPOLLIN), 0);
        end_write(&a);
        end_write(&b);
        assert_int_equal(loop_watch(&the_loop, &b.source, EPOLLIN | EPOLLOUT), 0);
        assert_int_equal(loop_step(&the_loop, -1), 0);
        assert_int_equal(a.n_calls, 1);
        assert_int_equal(b.n_calls, to[i] == EPOLLOUT);
        assert_int_equal(b.told, to[i] == EPOLLOUT ? EPOLLOUT : 0);
        end_done(&a);
        end_done(&b);
    }
}

/* ---- the turn ---- */

typedef struct {
    note base;
    char letter;
} letter_note;

static void note_happened(note *n, void *owner)
{
    assert_ptr_equal(owner, &the_loop);
    assert_ptr_equal(loop_here(), &the_loop);
    happened(((letter_note *)n)->letter);
}

static void drop_silently(note *n, void *owner)
{
    (void)n;
    (void)owner;
}

static note *letter_note_new(char letter)
{
    letter_note *n = mem_new(sizeof *n);
    assert_non_null(n);
    *n = (letter_note){.base = {.bytes = sizeof *n, .run = note_happened}, .letter = letter};
    return &n->base;
}

static void source_happened(loop_source *source, uint32_t told)
{
    assert_ptr_equal(loop_here(), &the_loop);
    count_call(source, told);
    happened('s');
}

static void timer_happened(timer *t)
{
    (void)t;
    assert_ptr_equal(loop_here(), &the_loop);
    happened('t');
}

static void task_happened(loop_task *task)
{
    (void)task;
    assert_ptr_equal(loop_here(), &the_loop);
    happened('d');
}

static void loop__turn_is_sources_inbox_timers_tasks(void **state)
{
    (void)state;
    end e;
    timer t = {0};
    loop_task task = {.run = task_happened};
    end_init(&e, source_happened);
    assert_null(loop_here());
    loop_defer(&the_loop, &task);
    loop_arm(&the_loop, &t, 0, timer_happened);
    assert_int_equal(inbox_push(the_loop.box, letter_note_new('n')), 0);
    assert_int_equal(loop_watch(&the_loop, &e.source, EPOLLIN), 0);
    end_write(&e);
    assert_int_equal(loop_step(&the_loop, -1), 0);
    assert_string_equal(events, "sntd");
    assert_null(loop_here());
    end_done(&e);
}

static loop inner_loop;
static loop *seen_here[2];

static void step_the_inner(loop_task *task)
{
    (void)task;
    assert_int_equal(loop_step(&inner_loop, 0), 0);
    seen_here[1] = loop_here();
}

static void see_here(loop_task *task)
{
    (void)task;
    seen_here[0] = loop_here();
}

static void loop__here_is_the_innermost(void **state)
{
    (void)state;
    loop_task outer = {.run = step_the_inner}, inner = {.run = see_here};
    assert_int_equal(loop_init(&inner_loop, NULL), 0);
    loop_defer(&the_loop, &outer);
    loop_defer(&inner_loop, &inner);
    assert_int_equal(loop_step(&the_loop, 0), 0);
    assert_ptr_equal(seen_here[0], &inner_loop);
    assert_ptr_equal(seen_here[1], &the_loop);
    assert_null(loop_here());
    loop_done(&inner_loop);
}

static void nothing(int number)
{
    (void)number;
}

static void loop__interrupted_is_a_turn_without_events(void **state)
{
    (void)state;
    struct sigaction action = {.sa_handler = nothing}, before;
    struct itimerval often = {{0, 10000}, {0, 10000}}, never = {{0, 0}, {0, 0}};
    end e;
    end_init(&e, count_call);
    assert_int_equal(loop_watch(&the_loop, &e.source, EPOLLIN), 0);
    assert_int_equal(sigaction(SIGALRM, &action, &before), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
    int result = loop_step(&the_loop, PATIENCE_MS);
    assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
    assert_int_equal(sigaction(SIGALRM, &before, NULL), 0);
    assert_int_equal(result, 0);
    assert_int_equal(e.n_calls, 0);
    assert_int_equal(the_loop.n_wakes, 1);
    end_done(&e);
}

static void loop__waits_as_long_as_it_was_told(void **state)
{
    (void)state;
    timer t = {0};
    loop_arm(&the_loop, &t, 3600000, timer_happened);
    uint64_t start_ns = now_ns();
    assert_int_equal(loop_step(&the_loop, 20), 0);
    assert_true(now_ns() - start_ns >= ms(20));
    assert_true(now_ns() - start_ns < ms(PATIENCE_MS));
    loop_cancel(&the_loop, &t);
}

/* ---- timers ---- */

typedef struct {
    timer t;
    uint64_t earliest_ns;
    uint64_t late_ns;
    bool fired;
} alarm_clock;

static void ring(timer *t)
{
    alarm_clock *a = (alarm_clock *)t;
    uint64_t at_ns = now_ns();
    assert_true(at_ns >= a->earliest_ns);
    a->late_ns = at_ns - a->earliest_ns;
    a->fired = true;
}

static void alarm_arm(alarm_clock *a, uint64_t after_ms)
{
    a->earliest_ns = now_ns() + ms(after_ms);
    loop_arm(&the_loop, &a->t, after_ms, ring);
}

static void loop__timers_are_never_early_and_hardly_late(void **state)
{
    (void)state;
    uint64_t least_late_ns = UINT64_MAX;
    for (uint64_t after_ms = 1; after_ms <= 40; after_ms++) {
        alarm_clock a = {0};
        alarm_arm(&a, after_ms);
        uint64_t wakes = the_loop.n_wakes;
        while (!a.fired)
            assert_int_equal(loop_step(&the_loop, PATIENCE_MS), 0);
        assert_true(the_loop.n_wakes - wakes <= WHEEL_LEVELS);
        if (a.late_ns < least_late_ns)
            least_late_ns = a.late_ns;
    }
    /* The best of many, because the machine may be busy. */
    assert_true(least_late_ns < ms(5));
}

static void spin_until(uint64_t at_ns)
{
    while (now_ns() < at_ns)
        ;
}

static alarm_clock late;

static void arm_late(loop_source *source, uint32_t told)
{
    count_call(source, told);
    spin_until(now_ns() + ms(20)); /* the turn's now_ms is old by then */
    late = (alarm_clock){0};
    alarm_arm(&late, 5);
}

static void loop__timer_counts_from_the_call(void **state)
{
    (void)state;
    end e;
    end_init(&e, arm_late);
    assert_int_equal(loop_watch(&the_loop, &e.source, EPOLLIN), 0);
    end_write(&e);
    do
        assert_int_equal(loop_step(&the_loop, PATIENCE_MS), 0);
    while (!late.fired);
    assert_int_equal(e.n_calls, 1);
    end_done(&e);
}

static void arm_again(timer *t)
{
    happened('t');
    loop_arm(&the_loop, t, 0, arm_again);
}

static void loop__timer_for_now_fires_once_a_turn(void **state)
{
    (void)state;
    timer t = {0};
    loop_arm(&the_loop, &t, 0, arm_again);
    for (int i = 0; i < 3; i++)
        assert_int_equal(loop_step(&the_loop, PATIENCE_MS), 0);
    assert_string_equal(events, "ttt");
    loop_cancel(&the_loop, &t);
}

static void loop__endless_timer_is_no_overflow(void **state)
{
    (void)state;
    timer t = {0};
    loop_arm(&the_loop, &t, UINT64_MAX, timer_happened);
    assert_int_equal(loop_step(&the_loop, 0), 0);
    assert_string_equal(events, "");
    assert_true(timer_armed(&t));
    loop_cancel(&the_loop, &t);
}

/* ---- notes to others ---- */

static bool is_awake(const loop *l)
{
    struct pollfd p = {.fd = inbox_fd(l->box), .events = POLLIN};
    return poll(&p, 1, 0) == 1;
}

static note *silent_note_new(void)
{
    note *n = letter_note_new(' ');
    n->run = drop_silently;
    return n;
}

static void push_two_to_the_inner(void)
{
    for (int i = 0; i < 2; i++) {
        assert_int_equal(loop_push(inner_loop.box, silent_note_new()), 0);
        assert_false(is_awake(&inner_loop));
    }
}

static void push_from_source(loop_source *source, uint32_t told)
{
    count_call(source, told);
    push_two_to_the_inner();
}

static void look_from_source(loop_source *source, uint32_t told)
{
    count_call(source, told);
    assert_true(is_awake(&inner_loop));
}

static void push_from_timer(timer *t)
{
    (void)t;
    push_two_to_the_inner();
}

static void push_from_task(loop_task *task)
{
    (void)task;
    push_two_to_the_inner();
}

static void push_from_note(note *n, void *owner)
{
    (void)n;
    (void)owner;
    push_two_to_the_inner();
}

/* A turn of the loop has left a wake-up, which is taken. */
static void assert_wakes_the_inner(void)
{
    assert_int_equal(loop_step(&the_loop, 0), 0);
    assert_true(is_awake(&inner_loop));
    assert_int_equal(loop_step(&inner_loop, 0), 0);
    assert_false(is_awake(&inner_loop));
}

static void push__wakes_when_what_pushes_is_done(void **state)
{
    (void)state;
    end pushes, looks;
    timer t = {0};
    loop_task task = {.run = push_from_task};
    note *n = silent_note_new();
    assert_int_equal(loop_init(&inner_loop, NULL), 0);
    end_init(&pushes, push_from_source);
    end_init(&looks, look_from_source);
    assert_int_equal(loop_watch(&the_loop, &pushes.source, EPOLLIN), 0);
    assert_int_equal(loop_watch(&the_loop, &looks.source, EPOLLIN), 0);
    end_write(&pushes);
    end_write(&looks);
    assert_wakes_the_inner();
    loop_unwatch(&the_loop, &pushes.source);
    loop_unwatch(&the_loop, &looks.source);
    loop_arm(&the_loop, &t, 0, push_from_timer);
    assert_wakes_the_inner();
    loop_defer(&the_loop, &task);
    assert_wakes_the_inner();
    n->run = push_from_note;
    assert_int_equal(inbox_push(the_loop.box, n), 0);
    assert_wakes_the_inner();
    loop_done(&inner_loop);
    end_done(&pushes);
    end_done(&looks);
}

static void push__outside_a_turn_wakes_at_once(void **state)
{
    (void)state;
    assert_int_equal(loop_push(the_loop.box, silent_note_new()), 0);
    assert_true(is_awake(&the_loop));
}

static void push_and_step_the_inner(loop_task *task)
{
    (void)task;
    push_two_to_the_inner();
    assert_int_equal(loop_step(&inner_loop, PATIENCE_MS), 0);
    assert_int_equal(inner_loop.n_events, 1);
}

/* It would wait for ever. */
static void push__wakes_before_another_loop_is_stepped(void **state)
{
    (void)state;
    loop_task task = {.run = push_and_step_the_inner};
    uint64_t before = now_ns();
    assert_int_equal(loop_init(&inner_loop, NULL), 0);
    loop_defer(&the_loop, &task);
    assert_int_equal(loop_step(&the_loop, 0), 0);
    assert_true(now_ns() - before < ms(PATIENCE_MS));
    loop_done(&inner_loop);
}

/* ---- tasks ---- */

typedef struct {
    loop_task task;
    char letter;
    loop_task *defers, *undefers;
} letter_task;

static void letter_task_run(loop_task *task)
{
    const letter_task *t = (const letter_task *)task;
    assert_false(loop_task_queued(task));
    happened(t->letter);
    if (t->defers)
        loop_defer(&the_loop, t->defers);
    if (t->undefers)
        loop_undefer(&the_loop, t->undefers);
}

static void loop__tasks_run_in_order_and_by_rounds(void **state)
{
    (void)state;
    letter_task a = {{.run = letter_task_run}, 'a', NULL, NULL}, b = {{.run = letter_task_run}, 'b', NULL, NULL};
    letter_task c = {{.run = letter_task_run}, 'c', NULL, NULL}, d = {{.run = letter_task_run}, 'd', NULL, NULL};
    a.defers = &d.task;
    b.defers = &d.task;
    d.defers = NULL;
    loop_defer(&the_loop, &a.task);
    loop_defer(&the_loop, &b.task);
    loop_defer(&the_loop, &c.task);
    loop_defer(&the_loop, &a.task);
    assert_int_equal(loop_step(&the_loop, -1), 0);
    assert_string_equal(events, "abcd");
}

static void loop__first_tasks_run_before_all_others(void **state)
{
    (void)state;
    letter_task a = {{.run = letter_task_run}, 'a', NULL, NULL}, b = {{.run = letter_task_run}, 'b', NULL, NULL};
    letter_task c = {{.run = letter_task_run}, 'c', NULL, NULL};
    loop_defer(&the_loop, &a.task);
    loop_defer_first(&the_loop, &b.task);
    loop_defer_first(&the_loop, &b.task);
    loop_defer_first(&the_loop, &c.task);
    assert_int_equal(loop_step(&the_loop, -1), 0);
    assert_string_equal(events, "cba");
}

static void loop__undeferred_does_not_run(void **state)
{
    (void)state;
    letter_task a = {{.run = letter_task_run}, 'a', NULL, NULL}, b = {{.run = letter_task_run}, 'b', NULL, NULL};
    letter_task c = {{.run = letter_task_run}, 'c', NULL, NULL};
    loop_undefer(&the_loop, &a.task);
    loop_defer(&the_loop, &a.task);
    loop_defer(&the_loop, &b.task);
    loop_defer(&the_loop, &c.task);
    loop_undefer(&the_loop, &c.task); /* the last */
    a.undefers = &b.task;             /* of the round under way */
    assert_int_equal(loop_step(&the_loop, -1), 0);
    assert_string_equal(events, "a");
    assert_false(loop_task_queued(&b.task) || loop_task_queued(&c.task));
    loop_defer(&the_loop, &c.task);
    assert_int_equal(loop_step(&the_loop, -1), 0);
    assert_string_equal(events, "ac");
}

static void loop__task_for_ever_starves_nobody(void **state)
{
    (void)state;
    letter_task ever = {{.run = letter_task_run}, 'e', NULL, NULL};
    end e;
    ever.defers = &ever.task;
    end_init(&e, source_happened);
    loop_defer(&the_loop, &ever.task);
    assert_int_equal(loop_step(&the_loop, -1), 0);
    assert_int_equal(strlen(events), LOOP_ROUNDS);
    assert_int_equal(loop_watch(&the_loop, &e.source, EPOLLIN), 0);
    end_write(&e);
    assert_int_equal(loop_step(&the_loop, -1), 0);
    assert_int_equal(strlen(events), 2 * LOOP_ROUNDS + 1);
    assert_int_equal(events[LOOP_ROUNDS], 's');
    assert_int_equal(loop_step(&the_loop, -1), 0); /* nothing is ready, and still it does not wait */
    assert_int_equal(strlen(events), 3 * LOOP_ROUNDS + 1);
    loop_undefer(&the_loop, &ever.task);
    end_done(&e);
}

static void free_itself(loop_task *task)
{
    happened('f');
    mem_free(task);
}

static void loop__task_may_free_itself(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        loop_task *task = mem_zero(sizeof *task);
        assert_non_null(task);
        task->run = free_itself;
        loop_defer(&the_loop, task);
    }
    assert_int_equal(loop_step(&the_loop, -1), 0);
    assert_string_equal(events, "ff");
}

/* ---- inbox ---- */

static void loop__notes_run_in_order_on_the_loop(void **state)
{
    (void)state;
    inbox *box = loop_inbox(the_loop.index);
    assert_ptr_equal(box, the_loop.box);
    for (char letter = 'a'; letter <= 'e'; letter++)
        assert_int_equal(inbox_push(box, letter_note_new(letter)), 0);
    assert_int_equal(loop_step(&the_loop, -1), 0);
    assert_string_equal(events, "abcde");
    inbox_signal(box, 2);
    inbox_signal(box, 1);
    assert_int_equal(loop_step(&the_loop, -1), 0);
    assert_int_equal(the_loop.signalled, 3);
    inbox_signal(box, 8);
    assert_int_equal(loop_step(&the_loop, -1), 0);
    assert_int_equal(the_loop.signalled, 11);
}

static void *push_one(void *letter)
{
    assert_null(loop_here());
    assert_int_equal(inbox_push(the_loop.box, letter_note_new(*(char *)letter)), 0);
    return NULL;
}

static void loop__note_of_another_thread_wakes_it(void **state)
{
    (void)state;
    pthread_t thread;
    char letter = 'x';
    assert_int_equal(pthread_create(&thread, NULL, push_one, &letter), 0);
    while (!*events)
        assert_int_equal(loop_step(&the_loop, -1), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_string_equal(events, "x");
}

/* ---- loop_fd ---- */

static bool fd_ready(int patience_ms)
{
    struct pollfd ready = {.fd = loop_fd(&the_loop), .events = POLLIN};
    int n = poll(&ready, 1, patience_ms);
    assert_true(n >= 0);
    return n == 1;
}

static void loop__fd_is_readable_for_timers(void **state)
{
    (void)state;
    assert_false(fd_ready(0));
    for (uint64_t after_ms = 0; after_ms <= 30; after_ms += 3) {
        alarm_clock a = {0}, far = {0};
        alarm_arm(&far, 3600000);
        alarm_arm(&a, after_ms); /* brings the next time forward, outside of a turn */
        while (!a.fired) {
            assert_true(fd_ready(PATIENCE_MS));
            assert_int_equal(loop_step(&the_loop, 0), 0);
        }
        assert_false(fd_ready(0));
        loop_cancel(&the_loop, &far.t);
    }
}

static void arm_soon(loop_task *task)
{
    (void)task;
    static timer t;
    loop_arm(&the_loop, &t, 3, timer_happened);
}

static void loop__fd_follows_a_timer_armed_in_a_turn(void **state)
{
    (void)state;
    loop_task task = {.run = arm_soon};
    assert_false(fd_ready(0));
    loop_defer(&the_loop, &task);
    for (int n = 0; !*events; n++) {
        assert_true(fd_ready(PATIENCE_MS));
        assert_int_equal(loop_step(&the_loop, 0), 0);
        assert_true(n < 100);
    }
    assert_string_equal(events, "t");
    assert_false(fd_ready(0));
}

static void loop__fd_follows_what_was_there_before_it(void **state)
{
    (void)state;
    alarm_clock a = {0};
    alarm_arm(&a, 2);
    while (!a.fired) {
        assert_true(fd_ready(PATIENCE_MS));
        assert_int_equal(loop_step(&the_loop, 0), 0);
    }
}

static void loop__fd_is_readable_for_tasks(void **state)
{
    (void)state;
    letter_task ever = {{.run = letter_task_run}, 'e', NULL, NULL};
    ever.defers = &ever.task;
    assert_false(fd_ready(0));
    loop_defer(&the_loop, &ever.task);
    assert_true(fd_ready(PATIENCE_MS));
    assert_int_equal(loop_step(&the_loop, 0), 0);
    assert_true(fd_ready(PATIENCE_MS)); /* rounds are left over */
    ever.defers = NULL;
    assert_int_equal(loop_step(&the_loop, 0), 0);
    assert_int_equal(strlen(events), LOOP_ROUNDS + 1);
    assert_false(fd_ready(0));
}

static void loop__fd_is_readable_for_notes(void **state)
{
    (void)state;
    pthread_t thread;
    char letter = 'y';
    assert_false(fd_ready(0));
    assert_int_equal(pthread_create(&thread, NULL, push_one, &letter), 0);
    assert_true(fd_ready(PATIENCE_MS));
    assert_int_equal(loop_step(&the_loop, 0), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_string_equal(events, "y");
    assert_false(fd_ready(0));
}

/* ---- descriptors ---- */

static struct rlimit limit_before;

/* From now on `n` descriptors can be opened. */
static void leave_descriptors(unsigned n)
{
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit_before), 0);
    int lowest = dup(0);
    assert_true(lowest >= 0);
    close(lowest);
    struct rlimit limit = {(rlim_t)lowest + n, limit_before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static void leave_all_descriptors(void)
{
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit_before), 0);
}

static int count_descriptors(void)
{
    int n = 0;
    DIR *dir = opendir("/proc/self/fd");
    assert_non_null(dir);
    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
}

static void loop__fd_without_a_descriptor_says_so(void **state)
{
    (void)state;
    leave_descriptors(0);
    int result = loop_fd(&the_loop);
    leave_all_descriptors();
    assert_int_equal(result, -EMFILE);
    assert_false(fd_ready(0));
}

static loop many[LOOP_MAX];

static void loop__init_without_descriptors_leaves_nothing_behind(void **state)
{
    (void)state;
    unsigned n = 0;
    for (; inbox_fd(loop_inbox(n)) >= 0; n++) /* all places that have their eventfd already */
        assert_int_equal(loop_init(&many[n], NULL), 0);
    int before = count_descriptors();
    for (unsigned round = 0; round < LOOP_MAX; round++) { /* a place that was kept would be missed */
        unsigned n_left = round % 2;                      /* neither epoll nor eventfd, or only epoll */
        leave_descriptors(n_left);
        int error = loop_init(&many[n], NULL);
        leave_all_descriptors();
        assert_int_equal(error, -EMFILE);
        assert_int_equal(count_descriptors(), before);
    }
    leave_descriptors(2);
    int error = loop_init(&many[n], NULL);
    leave_all_descriptors();
    assert_int_equal(error, 0);
    assert_int_equal(many[n].index, n);
    for (unsigned i = 0; i <= n; i++)
        loop_done(&many[i]);
}

static void loop__there_are_256_places(void **state)
{
    (void)state;
    static loop one_more;
    int n_open[2];
    for (int round = 0; round < 2; round++) {
        bool taken[LOOP_MAX] = {false};
        for (int i = 0; i < LOOP_MAX; i++) {
            assert_int_equal(loop_init(&many[i], NULL), 0);
            assert_false(taken[many[i].index]);
            taken[many[i].index] = true;
            assert_int_equal(loop_fd(&many[i]), many[i].epoll_fd);
        }
        assert_int_equal(loop_init(&one_more, NULL), -EMFILE);
        loop_done(&many[77]);
        assert_int_equal(loop_init(&one_more, NULL), 0);
        assert_int_equal(one_more.index, many[77].index);
        loop_done(&one_more);
        assert_int_equal(loop_init(&many[77], NULL), 0);
        for (int i = 0; i < LOOP_MAX; i++)
            loop_done(&many[i]);
        n_open[round] = count_descriptors();
    }
    assert_int_equal(n_open[0], n_open[1]);
}

/* ---- the end ---- */

static void drop_happened(note *n)
{
    happened(((letter_note *)n)->letter);
}

static void loop__done_drops_notes_and_runs_tasks(void **state)
{
    (void)state;
    letter_task a = {{.run = letter_task_run}, 'a', NULL, NULL}, b = {{.run = letter_task_run}, 'b', NULL, NULL};
    a.defers = &b.task;
    memset(events, 0, sizeof events);
    assert_int_equal(loop_init(&the_loop, NULL), 0);
    inbox *box = the_loop.box;
    note *dropped = letter_note_new('x');
    dropped->drop = drop_happened;
    assert_int_equal(inbox_push(box, dropped), 0);
    assert_int_equal(inbox_push(box, letter_note_new('y')), 0);
    loop_defer(&the_loop, &a.task);
    loop_done(&the_loop);
    assert_string_equal(events, "xab");
    note *too_late = letter_note_new('z');
    assert_int_equal(inbox_push(box, too_late), WEFT_E_CLOSED);
    mem_free(too_late);
}

static void use_the_pool(loop_task *task)
{
    size_t bytes;
    void *block = pool_get(&the_loop.blocks, 100, &bytes);
    assert_non_null(block);
    pool_put(&the_loop.blocks, block, bytes);
    (void)task;
}

static void loop__done_frees_the_pool(void **state)
{
    (void)state;
    loop_task task = {.run = use_the_pool};
    assert_int_equal(loop_init(&the_loop, NULL), 0);
    loop_defer(&the_loop, &task);
    loop_done(&the_loop);
    assert_int_equal(the_loop.blocks.kept_bytes, 0);
}

/* ---- loops on threads ---- */

enum { N_LOOPS = 3, N_HOPS = 20000 };

typedef struct {
    loop l;
    pthread_t thread;
    uint64_t n_hops;
    bool over;
} worker;

typedef struct {
    note base;
    unsigned hops_left;
} traveller;

static worker workers[N_LOOPS];

/* Goes on to the next loop; the last hop tells all of them to end. */
static void hop(note *n, void *owner)
{
    worker *w = owner;
    assert_ptr_equal(loop_here(), &w->l);
    w->n_hops++;
    unsigned left = ((traveller *)n)->hops_left;
    if (left == 0)
        for (int i = 0; i < N_LOOPS; i++)
            inbox_signal(workers[i].l.box, 1);
    else {
        traveller *next = mem_new(sizeof *next);
        assert_non_null(next);
        *next = (traveller){{.bytes = sizeof *next, .run = hop}, left - 1};
        assert_int_equal(inbox_push(workers[left % N_LOOPS].l.box, &next->base), 0);
    }
}

static void *work(void *arg)
{
    worker *w = arg;
    while (!w->l.signalled)
        assert_int_equal(loop_step(&w->l, PATIENCE_MS), 0);
    return NULL;
}

static void loop__loops_of_several_threads_talk(void **state)
{
    (void)state;
    for (int i = 0; i < N_LOOPS; i++)
        assert_int_equal(loop_init(&workers[i].l, &workers[i]), 0);
    traveller *first = mem_new(sizeof *first);
    assert_non_null(first);
    *first = (traveller){{.bytes = sizeof *first, .run = hop}, N_HOPS};
    assert_int_equal(inbox_push(workers[0].l.box, &first->base), 0);
    for (int i = 0; i < N_LOOPS; i++)
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    uint64_t n_hops = 0;
    for (int i = 0; i < N_LOOPS; i++) {
        assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
        n_hops += workers[i].n_hops;
        loop_done(&workers[i].l);
    }
    assert_int_equal(n_hops, N_HOPS + 1);
}

static void *come_and_go(void *arg)
{
    loop *l = arg;
    for (int i = 0; i < 200; i++) {
        assert_int_equal(loop_init(l, NULL), 0);
        inbox_signal(loop_inbox(l->index), 1);
        assert_int_equal(loop_step(l, PATIENCE_MS), 0);
        loop_done(l);
    }
    return NULL;
}

static void loop__places_are_shared_by_threads(void **state)
{
    (void)state;
    pthread_t threads[4];
    for (size_t i = 0; i < N_OF(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, &many[i]), 0);
    for (size_t i = 0; i < N_OF(threads); i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
}

#define WITH_LOOP(test) cmocka_unit_test_setup_teardown(test, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_LOOP(loop__tells_a_source_what_it_watches),
        WITH_LOOP(loop__tells_of_a_hangup_unasked),
        WITH_LOOP(loop__watch_that_fails_changes_nothing),
        WITH_LOOP(loop__unwatched_in_the_same_batch_is_not_called),
        WITH_LOOP(loop__watched_anew_in_the_same_batch_hears_nothing_old),
        WITH_LOOP(loop__paused_in_the_same_batch_is_told_the_rest_only),
        WITH_LOOP(loop__turn_is_sources_inbox_timers_tasks),
        WITH_LOOP(loop__here_is_the_innermost),
        WITH_LOOP(loop__interrupted_is_a_turn_without_events),
        WITH_LOOP(loop__waits_as_long_as_it_was_told),
        WITH_LOOP(loop__timers_are_never_early_and_hardly_late),
        WITH_LOOP(loop__timer_counts_from_the_call),
        WITH_LOOP(loop__timer_for_now_fires_once_a_turn),
        WITH_LOOP(loop__endless_timer_is_no_overflow),
        WITH_LOOP(loop__tasks_run_in_order_and_by_rounds),
        WITH_LOOP(push__wakes_when_what_pushes_is_done),
        WITH_LOOP(push__outside_a_turn_wakes_at_once),
        WITH_LOOP(push__wakes_before_another_loop_is_stepped),
        WITH_LOOP(loop__first_tasks_run_before_all_others),
        WITH_LOOP(loop__undeferred_does_not_run),
        WITH_LOOP(loop__task_for_ever_starves_nobody),
        WITH_LOOP(loop__task_may_free_itself),
        WITH_LOOP(loop__notes_run_in_order_on_the_loop),
        WITH_LOOP(loop__note_of_another_thread_wakes_it),
        WITH_LOOP(loop__fd_is_readable_for_timers),
        WITH_LOOP(loop__fd_follows_a_timer_armed_in_a_turn),
        WITH_LOOP(loop__fd_follows_what_was_there_before_it),
        WITH_LOOP(loop__fd_is_readable_for_tasks),
        WITH_LOOP(loop__fd_is_readable_for_notes),
        WITH_LOOP(loop__fd_without_a_descriptor_says_so),
        cmocka_unit_test(loop__init_without_descriptors_leaves_nothing_behind),
        cmocka_unit_test(loop__there_are_256_places),
        cmocka_unit_test(loop__done_drops_notes_and_runs_tasks),
        cmocka_unit_test(loop__done_frees_the_pool),
        cmocka_unit_test(loop__loops_of_several_threads_talk),
        cmocka_unit_test(loop__places_are_shared_by_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
