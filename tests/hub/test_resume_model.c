/**
 * Random programs of clients that come, lag, leave and come back with the last cursor they had, and of polls, held
 * against a simple account: each sees every number once and in order, or is told of the gap. And of topics: what they
 * keep at least, and how long they are there.
 */
#include "hub/scripted.h"

enum {
    N_TOPICS = 10,
    N_MEMBERS = 6,
    N_POLLS = 4,
    N_CROWD = 600, /* other subscribers of one topic, so that its fan-out has slices */
    N_IDS = 2048,  /* messages of a topic in a program */
    NOBODY = -1,
};

typedef struct {
    uint64_t except, at_ms;
    size_t bytes;
} published;

typedef struct {
    const char *name;
    weft_topic_options options;
} setting;

static const setting settings[N_TOPICS] = {
    {"close", {.ring_messages = 5}},
    {"close, kept", {.ring_messages = 6, .history_messages = 4, .slow = WEFT_SLOW_CLOSE}},
    {"close, roomy", {.history_messages = 8, .slow = WEFT_SLOW_CLOSE}},
    {"old", {.ring_messages = 6, .history_messages = 4}},
    {"old, bytes", {.ring_messages = 20, .ring_bytes = 1500, .history_messages = 20, .history_bytes = 900}},
    {"old, aged", {.history_messages = 10, .history_age_ms = 1000}},
    {"new", {.ring_messages = 8, .history_messages = 8, .slow = WEFT_SLOW_DROP_NEW}},
    {"new, ever", {.history_messages = 3, .history_age_ms = WEFT_NEVER, .slow = WEFT_SLOW_DROP_NEW}},
    {"latest", {.ring_messages = 6, .history_messages = 3, .slow = WEFT_SLOW_LATEST}},
    {"latest, none", {.ring_messages = 6, .slow = WEFT_SLOW_LATEST}},
};

/* A topic as it should be. */
typedef struct {
    uint64_t epoch; /* 0: not there */
    uint64_t head;
    uint64_t wanted_ms; /* when somebody wanted it last */
    published ids[N_IDS];
} account;

/* Where a client is in a topic: it has all before `next`. */
typedef struct {
    bool on;
    bool owed_gap; /* it is to be told of one before the next message */
    uint64_t epoch, next;
    uint64_t resumes_to; /* what came before is not skipped because it is slow, but for what the ring lets go of */
} place;

typedef struct {
    client *client;
    place places[N_TOPICS];
} member;

typedef struct {
    waiter waiter;
    int topic;
    cursor at;
} poll;

static struct {
    uint64_t seed, random;
    bool running, sliced, excepts, leaves;
    account accounts[N_TOPICS];
    member members[N_MEMBERS];
    poll polls[N_POLLS];
    uint64_t n_heard, n_gaps, n_resumed, n_polled, n_closed, n_steps;
    uint64_t missed[WEFT_SLOW_LATEST + 1];
} model;

/* What a message says of itself. */
typedef struct {
    uint64_t epoch;
    uint32_t topic, number;
} mark;

/* xorshift64*: the same programs every time. */
static uint32_t draw(uint32_t below)
{
    model.random ^= model.random >> 12;
    model.random ^= model.random << 25;
    model.random ^= model.random >> 27;
    return (uint32_t)(model.random * 0x2545F4914F6CDD1D >> 33) % below;
}

static topic *real(int t)
{
    return topic_named(settings[t].name);
}

static weft_slow_policy policy_of(int t)
{
    const weft_topic_options *o = &settings[t].options;
    return o->slow ? o->slow : o->history_messages ? WEFT_SLOW_DROP_OLD : WEFT_SLOW_CLOSE;
}

static bool alive(const member *m)
{
    return m->client->line && !m->client->line->peer.leaving;
}

/* ---- topics ---- */

/* The oldest message that the options promise to keep. */
static uint64_t kept_from(int t)
{
    const account *a = &model.accounts[t];
    const weft_topic_options *o = &settings[t].options;
    size_t limit = o->history_bytes ? o->history_bytes : TOPIC_HISTORY_BYTES, bytes = 0;
    uint64_t age_ms = o->history_age_ms == WEFT_NEVER ? UINT64_MAX
                      : o->history_age_ms             ? o->history_age_ms
                                                      : TOPIC_HISTORY_AGE_MS;
    uint64_t n = a->head;
    while (n > 0 && a->head - n < o->history_messages) {
        const published *p = &a->ids[n - 1];
        bytes += p->bytes;
        if (bytes > limit || stage.loop.now_ms - p->at_ms >= age_ms)
            break;
        n--;
    }
    return n;
}

static bool somebody_subscribes(int t)
{
    for (int i = 0; i < N_MEMBERS; i++)
        if (alive(&model.members[i]) && model.members[i].places[t].on)
            return true;
    return false;
}

static bool somebody_waits(int t)
{
    for (int i = 0; i < N_POLLS; i++)
        if (model.polls[i].waiter.topic && model.polls[i].topic == t)
            return true;
    return false;
}

static bool is_wanted(int t)
{
    return somebody_subscribes(t) || somebody_waits(t) || (model.sliced && t == 3);
}

static void forget_topic(int t)
{
    model.accounts[t].epoch = 0;
    model.accounts[t].head = 0;
}

/* Called whenever it is there for sure: its numbers go on, or it is a new one and they begin again. */
static void note_topic(int t)
{
    account *a = &model.accounts[t];
    topic *found = real(t);
    assert_non_null(found);
    if (!a->epoch)
        a->epoch = found->epoch;
    assert_true(a->epoch == found->epoch);
    assert_true(a->head == found->head);
}

static bool is_quiet(const topic *t)
{
    return !t->n_lagging && !list_linked(&t->unfinished) && !list_linked(&t->waking);
}

/* Behind a turn: the clock is what the loop took it for. */
static void check_topic(int t)
{
    account *a = &model.accounts[t];
    const topic *found = real(t);
    if (is_wanted(t))
        a->wanted_ms = stage.loop.now_ms;
    bool over = stage.loop.now_ms >= a->wanted_ms + TOPIC_LINGER_MS && kept_from(t) == a->head;
    if (over && found) /* what it kept for waiters went in this turn, behind the timers */
        over = found->clock.at_ms != stage.loop.now_ms + 1;
    assert_int_equal(found != NULL, a->epoch && !over);
    if (!found) {
        forget_topic(t);
        return;
    }
    note_topic(t);
    assert_true(found->first <= kept_from(t));
    if (!is_quiet(found))
        return;
    assert_int_equal(found->first, kept_from(t));
    assert_int_equal(found->n_images, 0);
}

static void check_topics(void)
{
    for (int t = 0; t < N_TOPICS; t++)
        check_topic(t);
}

/* ---- what peers hear ---- */

static bool was_for(int t, uint64_t number, uint64_t id)
{
    return model.accounts[t].ids[number].except != id;
}

static uint64_t count_for(int t, uint64_t from, uint64_t to, uint64_t id)
{
    uint64_t n = 0;
    for (; from < to; from++)
        n += was_for(t, from, id);
    return n;
}

static void hear(client *c, str data)
{
    mark m;
    memcpy(&m, data.at, sizeof m);
    place *p = &model.members[c->index].places[m.topic];
    assert_true(p->on && !p->owed_gap && p->epoch == m.epoch);
    assert_true(m.number >= p->next);
    assert_int_equal(count_for((int)m.topic, p->next, m.number, c->handle.id), 0); /* else skipped without a word */
    assert_true(was_for((int)m.topic, m.number, c->handle.id));
    p->next = m.number + 1;
    model.n_heard++;
}

static int index_of(const topic *t)
{
    for (int i = 0; i < N_TOPICS; i++)
        if (str_equal(topic_name(t), str_from(settings[i].name)))
            return i;
    return -1;
}

/* A gap is no larger than its policy allows: what is still there is not missed. */
static void check_gap(int t, const place *p, uint64_t next, uint64_t id)
{
    const topic *found = real(t);
    uint64_t kept = found->first > p->next ? found->first : p->next;
    if (policy_of(t) == WEFT_SLOW_CLOSE) /* only at the beginning */
        assert_int_equal(count_for(t, p->next, next, id), 0);
    bool resumes = p->owed_gap || count_for(t, p->next, p->resumes_to, id);
    if (policy_of(t) == WEFT_SLOW_DROP_OLD || (policy_of(t) == WEFT_SLOW_LATEST && resumes))
        assert_int_equal(count_for(t, kept, next, id), 0);
}

static void miss(client *c, topic *found, uint64_t next)
{
    int t = index_of(found);
    place *p = &model.members[c->index].places[t];
    assert_true(p->on && next >= p->next);
    check_gap(t, p, next, c->handle.id);
    uint64_t missed = count_for(t, p->next, next, c->handle.id);
    assert_true(missed || p->owed_gap || model.excepts);
    model.missed[policy_of(t)] += missed;
    p->next = next;
    p->owed_gap = false;
    model.n_gaps++;
}

/* ---- what programs do ---- */

static void enter(uint32_t i)
{
    member *m = &model.members[i];
    m->client = guest();
    m->client->heard = hear;
    m->client->missed = miss;
    m->client->index = i;
}

static void leave_topic(member *m, int t)
{
    if (m->places[t].on)
        model.accounts[t].wanted_ms = stage.loop.now_ms;
    m->places[t].on = false;
}

/* Whoever was cut comes back as another peer, with the cursors that it had. */
static void come_back(uint32_t i)
{
    member *m = &model.members[i];
    if (alive(m))
        return;
    for (int t = 0; t < N_TOPICS; t++)
        leave_topic(m, t);
    enter(i);
}

/* A place to begin at, and whether it is known to the topic. */
static since draw_since(int t, const place *had)
{
    const topic *found = real(t);
    uint64_t epoch = found ? found->epoch : 0, head = found ? found->head : 0;
    switch (draw(8)) {
    case 0:
        return (since){.from = SINCE_NOW};
    case 1:
        return (since){.from = SINCE_START};
    case 2:
        return (since){SINCE_CURSOR, {epoch ^ draw(2), draw((uint32_t)head + 3)}};
    }
    model.n_resumed++;
    return (since){SINCE_CURSOR, {had->epoch, had->next}};
}

/* What the sequential account says of `from`. */
static void place_begin(place *p, int t, since from, bool *ret_gap)
{
    const topic *found = real(t);
    bool known = from.at.epoch == found->epoch && from.at.number <= found->head;
    *ret_gap = from.from == SINCE_CURSOR && !(known && from.at.number >= found->first);
    p->on = true;
    p->epoch = found->epoch;
    p->next = from.from == SINCE_NOW                 ? found->head
              : *ret_gap || from.from == SINCE_START ? found->first
                                                     : from.at.number;
    p->resumes_to = found->head;
    if (known && from.from == SINCE_CURSOR && from.at.number >= kept_from(t))
        assert_false(*ret_gap);
}

static void step_subscribe(uint32_t i, int t)
{
    member *m = &model.members[i];
    place *p = &m->places[t];
    bool was_on = p->on, told = draw(2), gap;
    since from = draw_since(t, p);
    subscribed done = {0};
    uint64_t next = p->next;
    assert_int_equal(subscribe_since(m->client, settings[t].name, from, told ? &done : NULL), 0);
    note_topic(t);
    if (was_on) {
        if (told)
            assert_true(!done.gap && done.at.number >= next);
        return;
    }
    place_begin(p, t, from, &gap);
    p->owed_gap = gap && !told;
    if (told) {
        assert_int_equal(done.gap, gap);
        assert_true(done.topic == real(t) && done.at.epoch == p->epoch && done.at.number == p->next);
    }
    if (draw(2)) {
        stage.calls++;
        hub_serve(&stage.hub, &m->client->line->peer);
        stage.calls--;
    }
}

static void step_unsubscribe(uint32_t i, int t)
{
    member *m = &model.members[i];
    unsubscribe(m->client, settings[t].name);
    leave_topic(m, t);
}

static str message_of(int t, size_t *ret_bytes)
{
    static char bytes[512];
    const account *a = &model.accounts[t];
    mark m = {a->epoch, (uint32_t)t, (uint32_t)a->head};
    size_t len = sizeof m + draw(draw(4) ? 40 : 400);
    memcpy(bytes, &m, sizeof m);
    *ret_bytes = sizeof(blob) + len;
    return (str){bytes, len};
}

/* Whoever is closed needed a message that is gone. */
static void check_closed(int t)
{
    for (int i = 0; i < N_MEMBERS; i++) {
        member *m = &model.members[i];
        if (alive(m) || m->client->line->peer.close_code != 1013)
            continue;
        assert_int_equal(policy_of(t), WEFT_SLOW_CLOSE);
        assert_true(m->places[t].on && m->places[t].next < real(t)->first);
        model.n_closed++;
    }
}

static void publish_as(int t, uint64_t except, bool told)
{
    account *a = &model.accounts[t];
    if (told || (settings[t].options.history_messages && !real(t))) {
        topic *found;
        assert_int_equal(hub_topic(&stage.hub, str_from(settings[t].name), &found), 0);
        a->wanted_ms = stage.loop.now_ms;
        note_topic(t);
    }
    if (!real(t))
        return;
    publication done = {.at = {a->epoch, 0}};
    size_t bytes;
    assert_true(a->head < N_IDS);
    str data = message_of(t, &bytes);
    blob *body = blob_new(&stage.loop.blocks, WEFT_BINARY, (str){NULL, 0}, data);
    a->ids[a->head++] = (published){except, stage.loop.now_ms, bytes};
    stage.calls++;
    assert_int_equal(hub_publish(&stage.hub, str_from(settings[t].name), body, except, told ? &done : NULL), 0);
    reach_subscribers();
    stage.calls--;
    assert_int_equal(done.at.number, told ? a->head : 0);
    note_topic(t);
    check_closed(t);
}

static void step_publish(int t)
{
    int except = model.excepts && draw(2) ? (int)draw(N_MEMBERS) : NOBODY;
    publish_as(t, except == NOBODY ? 0 : model.members[except].client->handle.id, draw(2));
}

/* ---- polls ---- */

/* What is there from its cursor on; the ring may have moved past it. */
static void poll_read(poll *p, const topic *t, uint64_t next, bool gap)
{
    assert_true(next >= t->first && next <= t->head);
    if (!gap)
        assert_int_equal(next, p->at.number);
    for (; next < t->head; next++) {
        mark m;
        memcpy(&m, blob_data(topic_message_at(t, next)->body).at, sizeof m);
        assert_true(m.epoch == t->epoch && m.number == next && m.topic == (uint32_t)p->topic);
    }
    p->at = topic_cursor_before(t, next);
    model.n_polled++;
}

static void poll_woken(waiter *w)
{
    poll *p = CONTAINER(w, poll, waiter);
    const topic *t = real(p->topic);
    bool gap;
    model.accounts[p->topic].wanted_ms = stage.loop.now_ms;
    clock_ns += stage.burn_ns;
    assert_true(w->next == p->at.number && w->next < t->head);
    uint64_t next = topic_resume(t, (since){SINCE_CURSOR, p->at}, &gap);
    if (gap) /* it was published too much in one turn */
        assert_true(t->first > w->next && t->first <= kept_from(p->topic));
    poll_read(p, t, next, gap);
}

static void step_poll(uint32_t i)
{
    poll *p = &model.polls[i];
    topic *t;
    bool gap;
    if (p->waiter.topic) {
        if (draw(3) == 0) {
            topic_stop_waiting(&p->waiter);
            model.accounts[p->topic].wanted_ms = stage.loop.now_ms;
        }
        return;
    }
    if (draw(4) == 0) {
        p->topic = (int)draw(N_TOPICS);
        p->at = (cursor){0};
    }
    assert_int_equal(hub_topic(&stage.hub, str_from(settings[p->topic].name), &t), 0);
    model.accounts[p->topic].wanted_ms = stage.loop.now_ms;
    note_topic(p->topic);
    uint64_t next = topic_resume(t, (since){SINCE_CURSOR, p->at}, &gap);
    if (gap && p->at.epoch == t->epoch)
        assert_true(p->at.number < kept_from(p->topic));
    if (next < t->head || gap) {
        poll_read(p, t, next, gap);
        return;
    }
    p->waiter.next = next;
    p->waiter.wake = poll_woken;
    topic_wait(t, &p->waiter);
}

/* ---- programs ---- */

static void pass_some_time(void)
{
    static const uint32_t times_ms[] = {1, 10, 300, 999, 1000, 20000, 59999, 60000, 400000};
    uint32_t ms = times_ms[draw(draw(4) ? 4 : 9)];
    check_topics(); /* who is wanted until then */
    later(ms);
}

static void step(void)
{
    uint32_t i = draw(N_MEMBERS), what = draw(100);
    int t = (int)draw(N_TOPICS);
    member *m = &model.members[i];
    bool turned = false;
    model.n_steps++;
    if (what < 20)
        step_subscribe(i, t);
    else if (what < 25 && model.leaves)
        step_unsubscribe(i, t);
    else if (what < 60)
        step_publish(t);
    else if (what < 75)
        drain(m->client, draw(1200));
    else if (what < 78 && model.leaves)
        cut(m->client);
    else if (what < 79 && model.leaves)
        m->client->fail_in = 1 + draw(3);
    else if (what < 85)
        step_poll(draw(N_POLLS));
    else if (what < 93 && (turned = true))
        turn();
    else if (what < 95 && (turned = true))
        pass_some_time();
    for (i = 0; i < N_MEMBERS; i++)
        come_back(i);
    if (turned)
        check_topics();
}

static bool is_owed(void)
{
    for (uint32_t i = 0; i < N_MEMBERS; i++)
        if (model.members[i].client->line->queued || model.members[i].client->line->peer.n_lagging)
            return true;
    return !list_empty(&stage.hub.unfinished) || !list_empty(&stage.hub.waking);
}

static void drain_all(void)
{
    for (int round = 0; round == 0 || is_owed(); round++) {
        assert_true(round < 10000);
        for (uint32_t i = 0; i < N_MEMBERS; i++)
            drain(model.members[i].client, SIZE_MAX);
        turn();
        for (uint32_t i = 0; i < N_MEMBERS; i++)
            come_back(i);
    }
    check_topics();
}

/* With room for everybody and a last message each has all, and knows of all that it has not. */
static void finish(void)
{
    drain_all();
    for (int t = 0; t < N_TOPICS; t++) {
        publish_as(t, 0, false);
        drain_all();
    }
    for (uint32_t i = 0; i < N_MEMBERS; i++) {
        for (int t = 0; t < N_TOPICS; t++) {
            const place *p = &model.members[i].places[t];
            assert_true(!p->on || (p->next == model.accounts[t].head && !p->owed_gap));
        }
    }
    for (uint32_t i = 0; i < N_POLLS; i++)
        topic_stop_waiting(&model.polls[i].waiter);
}

/* Whoever left may have missed some that it was not told of. */
static void check_counters(void)
{
    for (int policy = WEFT_SLOW_DROP_OLD; policy <= WEFT_SLOW_LATEST; policy++) {
        assert_true(stage.hub.dropped[policy] >= model.missed[policy]);
        if (!model.leaves && !model.excepts && !model.n_closed)
            assert_int_equal(stage.hub.dropped[policy], model.missed[policy]);
    }
    assert_true(stage.hub.dropped[WEFT_SLOW_CLOSE] >= model.n_closed);
    if (!model.leaves) /* nor had one that is closed no memory for that */
        assert_int_equal(stage.hub.dropped[WEFT_SLOW_CLOSE], model.n_closed);
}

static void ignore(client *c, str data)
{
    (void)c;
    (void)data;
}

static void seat_crowd(void)
{
    for (int i = 0; i < N_CROWD; i++) {
        client *c = guest();
        c->swallows = true;
        c->heard = ignore;
        subscribe(c, settings[3].name);
    }
    note_topic(3);
}

static void set_up(uint64_t seed, bool sliced)
{
    memset(&model, 0, sizeof model);
    model.running = true;
    model.seed = seed;
    model.random = seed * 0x9E3779B97F4A7C15 + 1;
    model.sliced = sliced;
    model.excepts = seed % 2;
    model.leaves = seed % 3;
    assert_int_equal(stage_init(), 0);
    for (int t = 0; t < N_TOPICS; t++)
        configure(settings[t].name, settings[t].options);
    for (uint32_t i = 0; i < N_MEMBERS; i++)
        enter(i);
    if (!sliced)
        return;
    seat_crowd();
    stage.burn_ns = 10 * 1000;
}

static void run_programs(uint64_t seed, uint64_t n, bool sliced, int n_steps)
{
    uint64_t heard = 0, gaps = 0, resumed = 0, polled = 0, closed = 0;
    for (uint64_t end = seed + n; seed < end; seed++) {
        set_up(seed, sliced);
        for (int i = 0; i < n_steps; i++)
            step();
        finish();
        check_counters();
        stage_done();
        heard += model.n_heard;
        gaps += model.n_gaps;
        resumed += model.n_resumed;
        polled += model.n_polled;
        closed += model.n_closed;
        model.running = false;
    }
    assert_true(heard > n * 300 && gaps > n * 5 && resumed > n * 20 && polled > n * 5 && closed > n / 2);
}

static void resume__agrees_with_the_model(void **state)
{
    (void)state;
    run_programs(1, 1500, false, 800);
}

static void resume__agrees_with_the_model_in_slices(void **state)
{
    (void)state;
    run_programs(1, 100, true, 500);
}

static int tell_program(void **state)
{
    (void)state;
    if (model.running)
        print_message("# program %u, step %u\n", (unsigned)model.seed, (unsigned)model.n_steps);
    model.running = false;
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(resume__agrees_with_the_model, tell_program),
        cmocka_unit_test_teardown(resume__agrees_with_the_model_in_slices, tell_program),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
