/**
 * A protocol of the load generator without a socket: a client that is fed what a script says, cut where the test wants it, and what became of it as text.
 */
#ifndef WEFT_TESTS_BENCH_SCRIPTED_H
#define WEFT_TESTS_BENCH_SCRIPTED_H

#include "bench/client.h"
#include "bench/worker.h"
#include "support/check.h"
#include "support/guard.h"

#include <stdio.h>

static buf scripted_log; /* "ready\n", "message: TEXT\n", "lost: WHY\n" */
static bench_plan scripted_plan;
static bench_tally scripted_tally;
static bench_worker scripted_worker;
static bool scripted_closes_at_message; /* the scenario closes the client when it has one */
static uint64_t scripted_fail_from;     /* that allocation of the protocol fails, and all after it; 0: none */

/* What bench/client.c and bench/link.c would be. */

static void scripted_close(bench_client *client)
{
    assert_true(client->link.is_up);
    client->link.is_up = false;
    if (client->protocol->done)
        client->protocol->done(client);
}

bool bench_client_ready(bench_client *client)
{
    if (!client->is_ready)
        buf_put_text(&scripted_log, "ready\n");
    client->is_ready = true;
    return true;
}

bool bench_client_message(bench_client *client, str payload)
{
    assert_true(client->is_ready);
    buf_put_text(&scripted_log, "message: ");
    buf_put_str(&scripted_log, payload);
    buf_put_text(&scripted_log, "\n");
    if (scripted_closes_at_message)
        scripted_close(client);
    return client->link.is_up;
}

void bench_client_fail(bench_client *client, const char *why)
{
    buf_put_text(&scripted_log, "lost: ");
    buf_put_text(&scripted_log, why);
    buf_put_text(&scripted_log, "\n");
    scripted_close(client);
}

void bench_client_reopen(bench_client *client)
{
    client->link.rest.len = client->link.out.len = 0;
    buf_put_text(&scripted_log, "opened anew\n");
    client->protocol->start(client);
}

void bench_link_flush(bench_link *link)
{
    assert_true(link->is_up);
}

static inline bench_client *scripted_open(const bench_protocol *protocol)
{
    bench_target *target = &scripted_plan.target;
    snprintf(target->host, sizeof target->host, "127.0.0.1:3000");
    if (!target->path[0])
        snprintf(target->path, sizeof target->path, "/topics/t");
    scripted_log.len = 0;
    scripted_closes_at_message = false;
    assert_int_equal(loop_init(&scripted_worker.loop, NULL), 0);
    scripted_worker.plan = &scripted_plan;
    scripted_worker.tally = &scripted_tally;
    bench_client *client = calloc(1, sizeof *client + protocol->state_bytes);
    assert_non_null(client);
    client->worker = &scripted_worker;
    client->protocol = protocol;
    client->target = target;
    client->link.is_up = true;
    assert_int_equal(buf_reserve(&scripted_log, 4096), 0); /* ours do not fail */
    assert_int_equal(buf_reserve(&client->link.rest, 4096), 0);
    mem_fail_from(scripted_fail_from);
    protocol->start(client);
    return client;
}

static inline void scripted_free(bench_client *client)
{
    mem_fail_from(0);
    if (client->link.is_up)
        scripted_close(client);
    buf_done(&client->link.out);
    buf_done(&client->link.rest);
    free(client);
    loop_done(&scripted_worker.loop);
    buf_done(&scripted_log);
}

/** Bytes come. What the reader leaves comes again in front of the next; each time at another place, with an unreadable page behind. */
static inline void scripted_feed(bench_client *client, const char *bytes, size_t len)
{
    buf *rest = &client->link.rest;
    if (!client->link.is_up)
        return;
    assert_int_equal(buf_put(rest, bytes, len), 0);
    guard input = guard_copy(rest->at, rest->len);
    size_t taken = client->protocol->feed(client, input.at, rest->len);
    if (client->link.is_up) {
        assert_true(taken <= rest->len);
        memmove(rest->at, rest->at + taken, rest->len - taken);
        rest->len -= taken;
    }
    guard_free(input);
}

/** All of a script in pieces of `piece` bytes, the first one of `first`. */
static inline void scripted_play(bench_client *client, const char *script, size_t first, size_t piece)
{
    size_t len = strlen(script), at = 0;
    for (size_t n = first; at < len; n = piece) {
        n = n < len - at ? n : len - at;
        scripted_feed(client, script + at, n);
        at += n;
    }
}

/** What became of it so far; forgotten with that. */
static inline const char *scripted_said(void)
{
    static char text[64 * 1024];
    assert_true(scripted_log.len < sizeof text);
    memcpy(text, scripted_log.len ? scripted_log.at : "", scripted_log.len);
    text[scripted_log.len] = '\0';
    scripted_log.len = 0;
    return text;
}

/** What it has put on the link so far; forgotten with that. */
static inline const char *scripted_sent(bench_client *client)
{
    static char text[64 * 1024];
    buf *out = &client->link.out;
    assert_true(out->len < sizeof text);
    memcpy(text, out->len ? out->at : "", out->len);
    text[out->len] = '\0';
    out->len = 0;
    return text;
}

/** The server ends the connection in order: true when the client has opened it anew. */
static inline bool scripted_end(bench_client *client)
{
    client->link.is_down = true;
    if (!client->protocol->ended || !client->protocol->ended(client))
        return false;
    client->link.is_down = client->link.is_up = false;
    client->link.rest.len = client->link.out.len = 0;
    client->link.is_up = true;
    client->protocol->start(client);
    return true;
}

/** A script says the same whole, cut once at each place, and byte by byte. */
static inline void scripted_check(const bench_protocol *protocol, const char *script, const char *expected)
{
    size_t len = strlen(script);
    for (size_t cut = 0; cut <= len; cut++) {
        bench_client *client = scripted_open(protocol);
        scripted_play(client, script, cut ? cut : 1, cut ? len : 1);
        assert_string_equal(scripted_said(), expected);
        scripted_free(client);
    }
}

/** With each allocation of a script failing in turn, behind so many messages sent: the client is lost because of that. */
static inline void scripted_check_memory(const bench_protocol *protocol, const char *script, int n_messages)
{
    bool lost = true;
    for (uint64_t n = 1; lost; n++) {
        scripted_fail_from = n;
        bench_client *client = scripted_open(protocol);
        for (int i = 0; i < n_messages && client->link.is_up; i++)
            protocol->send(client, STR("payload"));
        scripted_play(client, script, 1, 1);
        const char *why = strstr(scripted_said(), "lost: ");
        lost = why != NULL;
        assert_int_equal(lost, !client->link.is_up);
        assert_string_equal(lost ? why : "", lost ? "lost: out of memory\n" : "");
        assert_true(lost || n > 1);
        scripted_free(client);
    }
    scripted_fail_from = 0;
}

#endif
