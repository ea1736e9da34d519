/**
 * Several loops with clients of Socket.IO, that one thread steps by hand: what happens between two of them happens in the order in which the test turns them.
 */
#ifndef WEFT_TESTS_SOCKETIO_SEVERAL_H
#define WEFT_TESTS_SOCKETIO_SEVERAL_H

#define N_STAGES 4
#include "transport/socketio_fixture.h"
#include "transport/socketio_loops.h"

static hub_links links;
static socketio_route *shared;

static inline hub *hub_of_owner(void *owner)
{
    return owner ? &((socketio_stage *)owner)->hub : NULL;
}

static inline void on(unsigned i)
{
    current = &stages[i];
}

/* Homes and slots are the same in each run. */
static inline void begin(unsigned n, const weft_socketio_options *options)
{
    on(0);
    assert_int_equal(hub_links_init(&links, n, hub_of_owner), 0);
    memset(links.secret, 7, sizeof links.secret);
    for (unsigned i = 0; i < n; i++) {
        on(i);
        assert_int_equal(stage_begin(NULL), 0);
        assert_int_equal(hub_link(&stage.hub, &links, i), 0);
    }
    shared = socketio_route_new("/socket.io/", options);
    assert_non_null(shared);
    assert_int_equal(socketio_route_add(shared, "/a", options), 0);
    assert_int_equal(socketio_route_spread(shared, n), 0);
    for (unsigned i = 0; i < n; i++)
        stages[i].route = shared;
}

static inline void turn_on(unsigned i)
{
    socketio_stage *before = current;
    on(i);
    turn();
    current = before;
}

static inline void settle(void)
{
    for (int round = 0; round < 6; round++)
        for (unsigned i = 0; i < links.n; i++)
            turn_on(i);
}

static inline void end(void)
{
    mem_fail_from(0);
    for (unsigned i = 0; i < links.n; i++) {
        on(i);
        stage.act = NULL;
        socketio_route_cut(shared, &stage.hub);
    }
    settle();
    for (unsigned i = 0; i < links.n; i++) {
        on(i);
        socketio_route_cut(shared, &stage.hub);
        assert_false(socketio_route_busy(shared, &stage.hub));
        assert_int_equal(socketio_local_of(shared, &stage.hub)->namespaces.n_entries, 0);
        assert_int_equal(stage.hub.n_peers, 0);
    }
    socketio_route_free(shared);
    for (unsigned i = 0; i < links.n; i++) {
        on(i);
        for (uint32_t k = 0; k < stage.n_lines; k++)
            free(stage.lines[k]);
        hub_done(&stage.hub);
        slots_done(&stage.table);
        loop_done(&stage.loop);
    }
    on(0);
}

static inline unsigned home_of(const char *nsp)
{
    return socketio_home(shared, &links, str_from(nsp));
}

static uint32_t dice;

static inline uint32_t roll(uint32_t n)
{
    dice = dice * 1664525 + 1013904223;
    return (dice >> 8) % n;
}

#endif
