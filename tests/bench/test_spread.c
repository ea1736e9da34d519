#include "bench/payload.h"
#include "bench/spread.h"
#include "support/check.h"

#include <stdlib.h>

enum { N_CLIENTS = 3, BYTES = 50, SOURCE = 0xabcdef };

/* A second process: it publishes nothing, and its connections are made up. */
static bench_plan plan;
static bench_board *board;
static bench_worker worker;
static const bench_protocol protocol = {.name = "none"};

static int start(void **state)
{
    (void)state;
    plan = (bench_plan){.n_connections = 2 * N_CLIENTS, .n_processes = 2, .message_bytes = BYTES, .depth = 1};
    board = calloc(1, sizeof *board + 2 * sizeof *board->tallies);
    board->n_workers = 2;
    board->spread.wake_fd = -1;
    board->spread.source = SOURCE;
    board->measured_from_ns = 0;
    board->measured_to_ns = UINT64_MAX;
    worker =
        (bench_worker){.plan = &plan, .board = board, .tally = &board->tallies[1], .number = 1, .n_clients = N_CLIENTS};
    worker.clients = calloc(N_CLIENTS, sizeof *worker.clients);
    worker.state = calloc(1, sizeof(bench_spread));
    for (uint32_t i = 0; i < N_CLIENTS; i++) {
        worker.clients[i] = bench_client_new(&worker, &protocol, &bench_subscribers, 2 * i + 1);
        worker.clients[i]->is_ready = true;
    }
    worker.n_made = N_CLIENTS;
    worker.now_ns = 1000000;
    return bench_spread_init(&worker, &protocol, &plan.target, 0);
}

/* bench_spread_done() has been called. */
static int finish(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < N_CLIENTS; i++)
        bench_client_free(worker.clients[i]);
    free(worker.clients);
    free(worker.state);
    free(board);
    return 0;
}

static void publish(uint64_t n)
{
    board->spread.n_published += n;
}

static void take(uint32_t client, uint64_t number)
{
    char payload[BYTES];
    bench_payload_put(payload, BYTES, SOURCE, number);
    bench_subscribers.message(worker.clients[client], (str){payload, BYTES});
}

static void lose(uint32_t client)
{
    worker.clients[client]->is_ready = false;
    bench_subscribers.lost(worker.clients[client], "gone");
}

static uint64_t n_complete(void)
{
    bench_spread_turn(&worker);
    return worker.tally->n_complete;
}

static void spread__is_complete_when_all_have_it(void **state)
{
    (void)state;
    publish(2);
    take(0, 0);
    take(1, 0);
    take(0, 1);
    assert_int_equal(n_complete(), 0);
    assert_false(bench_spread_drained(&worker));
    take(2, 0);
    assert_int_equal(n_complete(), 1);
    take(2, 1);
    take(1, 1);
    assert_int_equal(n_complete(), 2);
    assert_true(bench_spread_drained(&worker));
    bench_spread_done(&worker);
    assert_int_equal(worker.tally->n_messages, 6);
    assert_int_equal(worker.tally->latency.n, 6);
    assert_int_equal(worker.tally->n_missing, 0);
}

static void spread__one_that_is_skipped_holds_nobody_back(void **state)
{
    (void)state;
    publish(3);
    for (uint64_t n = 0; n < 3; n++) {
        take(0, n);
        take(1, n);
    }
    take(2, 2);
    assert_int_equal(n_complete(), 3);
    bench_spread_done(&worker);
    assert_int_equal(worker.tally->n_missing, 2);
    assert_int_equal(worker.tally->n_messages, 7);
}

static void spread__late_is_out_of_order_and_not_missing(void **state)
{
    (void)state;
    publish(2);
    for (uint32_t i = 0; i < N_CLIENTS; i++) {
        take(i, 1);
        take(i, 0);
    }
    assert_int_equal(n_complete(), 2);
    bench_spread_done(&worker);
    assert_int_equal(worker.tally->n_missing, 0);
    assert_int_equal(worker.tally->n_misordered, 3);
    assert_int_equal(worker.tally->n_messages, 6);
}

static void spread__doubled_counts_once(void **state)
{
    (void)state;
    publish(1);
    take(0, 0);
    take(0, 0);
    take(0, 0);
    assert_int_equal(n_complete(), 0);
    take(1, 0);
    take(2, 0);
    assert_int_equal(n_complete(), 1);
    bench_spread_done(&worker);
    assert_int_equal(worker.tally->n_doubled, 2);
    assert_int_equal(worker.tally->n_messages, 3);
}

static void spread__what_is_not_published_is_wrong(void **state)
{
    (void)state;
    publish(1);
    take(0, 1);
    bench_subscribers.message(worker.clients[0], STR("hello"));
    assert_int_equal(worker.tally->n_wrong, 2);
    for (uint32_t i = 0; i < N_CLIENTS; i++)
        take(i, 0);
    assert_int_equal(n_complete(), 1);
    bench_spread_done(&worker);
}

static void spread__another_run_is_no_fault(void **state)
{
    (void)state;
    char payload[BYTES];
    bench_payload_put(payload, BYTES, SOURCE - 1, 0);
    publish(1);
    bench_subscribers.message(worker.clients[0], (str){payload, BYTES});
    assert_int_equal(worker.tally->n_foreign, 1);
    assert_int_equal(worker.tally->n_wrong, 0);
    bench_spread_done(&worker);
    assert_int_equal(worker.tally->n_missing, 3);
}

/* Wherever it stood: before, at or behind the others. */
static void spread__others_go_on_without_one_that_is_lost(void **state)
{
    (void)state;
    publish(10);
    for (uint64_t n = 0; n < 5; n++)
        take(0, n);
    for (uint64_t n = 0; n < 2; n++)
        take(1, n);
    for (uint64_t n = 0; n < 9; n++)
        take(2, n);
    assert_int_equal(n_complete(), 2);
    lose(1);
    assert_int_equal(n_complete(), 5);
    lose(2);
    assert_int_equal(n_complete(), 5);
    for (uint64_t n = 5; n < 10; n++) {
        take(0, n);
        assert_int_equal(n_complete(), n + 1);
    }
    bench_spread_done(&worker);
    assert_int_equal(worker.tally->n_missing, 0);
}

static void spread__without_anybody_all_is_complete(void **state)
{
    (void)state;
    publish(4);
    take(0, 0);
    for (uint32_t i = 0; i < N_CLIENTS; i++)
        lose(i);
    assert_int_equal(n_complete(), 4);
    publish(3);
    assert_int_equal(n_complete(), 7);
    assert_true(bench_spread_drained(&worker));
    bench_spread_done(&worker);
    assert_int_equal(worker.tally->n_missing, 0);
}

static void spread__what_never_came_is_missing(void **state)
{
    (void)state;
    publish(10);
    take(0, 0);
    take(1, 0);
    take(1, 1);
    bench_spread_done(&worker);
    assert_int_equal(worker.tally->n_missing, 9 + 8 + 10);
}

/* More of them than the ring has places. */
static void spread__goes_round_its_ring(void **state)
{
    (void)state;
    for (uint64_t n = 0; n < 3 * BENCH_SPREAD_RING; n++) {
        publish(1);
        for (uint32_t i = 0; i < N_CLIENTS; i++)
            take(i, n);
    }
    assert_int_equal(n_complete(), 3 * BENCH_SPREAD_RING);
    bench_spread_done(&worker);
    assert_int_equal(worker.tally->n_missing + worker.tally->n_wrong + worker.tally->n_doubled, 0);
}

static void spread__only_what_went_out_while_measuring_counts(void **state)
{
    (void)state;
    board->measured_from_ns = 100;
    board->measured_to_ns = 200;
    const uint64_t sent_ns[] = {99, 100, 199, 200};
    for (uint64_t n = 0; n < N_OF(sent_ns); n++) {
        board->spread.sent_ns[n] = sent_ns[n];
        publish(1);
        take(0, n);
    }
    assert_int_equal(worker.tally->n_messages, 2);
    assert_int_equal(worker.tally->latency.most_ns, worker.now_ns - 100);
    bench_spread_done(&worker);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, start, finish)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(spread__is_complete_when_all_have_it),
        CASE(spread__one_that_is_skipped_holds_nobody_back),
        CASE(spread__late_is_out_of_order_and_not_missing),
        CASE(spread__doubled_counts_once),
        CASE(spread__what_is_not_published_is_wrong),
        CASE(spread__another_run_is_no_fault),
        CASE(spread__others_go_on_without_one_that_is_lost),
        CASE(spread__without_anybody_all_is_complete),
        CASE(spread__what_never_came_is_missing),
        CASE(spread__goes_round_its_ring),
        CASE(spread__only_what_went_out_while_measuring_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
