/**
 * Random programs over several loops that a test turns by hand, held against a sequential account: an observer at the
 * home of each topic, which is never slow, writes down what got which number. Every publication that was taken is
 * there, once and in the order of its loop; and whoever subscribes, on whatever loop, sees these numbers one after the
 * other, or is told of the gap.
 */
#include "hub/several.h"

enum {
    N_TOPICS = 6,
    N_MEMBERS = 8,
    N_POLLS = 4,
    N_IDS = 2048,
    NOBODY = -1,
    MOST_MS = 50000, /* so that no topic goes */
};

typedef struct {
    const char *prefix;
    weft_topic_options options;
} setting;

static const setting settings[N_TOPICS] = {
    {"close", {.ring_messages = 200}},
    {"tight", {.ring_messages = 5}},
    {"kept", {.ring_messages = 12, .history_messages = 8}},
    {"old", {.ring_messages = 6, .history_messages = 4, .slow = WEFT_SLOW_DROP_OLD}},
    {"new", {.ring_messages = 8, .history_messages = 8, .slow = WEFT_SLOW_DROP_NEW}},
    {"latest", {.ring_messages = 6, .slow = WEFT_SLOW_LATEST}},
};

typedef struct {
    uint64_t except;
    uint32_t index; /* among those of its loop and topic */
    uint8_t loop, topic;
} published;

typedef struct {
    bool on;      /* subscribed, or pending */
    bool begun;   /* it has heard something */
    bool resumes; /* it asked for what came after `next` */
    since from;
    uint32_t n_before; /* publications of its loop when it asked */
    uint64_t next;     /* it has all before */
    uint64_t epoch;    /* of `next`; 0: it was never there */
} place;

typedef struct {
    client *client;
    unsigned loop;
    place places[N_TOPICS];
} member;

typedef struct {
    awaiter awaiter;
    waiter waiter;
    unsigned loop;
    int topic;
    cursor at;
} poll;

static struct {
    uint64_t seed, random, passed_ms;
    bool running, faults, excepts;
    char names[N_TOPICS][32];
    published ids[N_IDS];
    uint32_t n_ids;
    uint32_t accepted[N_TOPICS][N_STAGES]; /* taken from a loop */
    uint32_t seen[N_TOPICS][N_STAGES];     /* of these, numbered by the home */
    uint32_t truth[N_TOPICS][N_IDS], n_truth[N_TOPICS];
    member members[N_MEMBERS];
    poll polls[N_POLLS];
    uint64_t n_heard, n_gaps, n_resumed, n_polled, n_steps, n_full, n_closed, n_pending, n_ahead, n_lost;
} model;

/* xorshift64*: the same programs every time. */
static uint32_t draw(uint32_t below)
{
    model.random ^= model.random >> 12;
    model.random ^= model.random << 25;
    model.random ^= model.random >> 27;
    return (uint32_t)(model.random * 0x2545F4914F6CDD1D >> 33) % below;
}

static unsigned home(int t)
{
    return hub_links_home(&links, str_from(model.names[t]));
}

static topic *there(int t)
{
    return hub_find_topic(&stage.hub, str_from(model.names[t]));
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

/* ---- what is heard ---- */

static uint32_t id_of(str data)
{
    uint32_t id;
    memcpy(&id, data.at, sizeof id);
    assert_true(id < model.n_ids);
    return id;
}

static void observe(client *c, str data)
{
    uint32_t id = id_of(data);
    const published *p = &model.ids[id];
    (void)c;
    assert_int_equal(p->index, model.seen[p->topic][p->loop]++);
    model.truth[p->topic][model.n_truth[p->topic]++] = id;
}

static subscriber *subscriber_of(const client *c, int t)
{
    const peer *p = &c->line->peer;
    for (uint32_t i = 0; i < p->n_subscriptions; i++)
        if (p->subscriptions[i].topic == there(t))
            return &there(t)->subscribers[p->subscriptions[i].place];
    return NULL;
}

/* Where a subscription that was pending, or not yet served, begins: nothing that its loop published since is before. */
static void begin_place(const member *m, int t, place *p, uint64_t next)
{
    uint64_t kept = settings[t].options.history_messages;
    p->begun = true;
    if (p->from.from == SINCE_START) {
        assert_true(next <= kept || next + kept <= model.n_truth[t] || model.faults || model.excepts);
        p->next = next;
        return;
    }
    if (p->from.from == SINCE_CURSOR) {
        if (p->epoch != there(t)->epoch)
            p->next = next;
        return;
    }
    for (uint64_t n = 0; n < next; n++) {
        const published *one = &model.ids[model.truth[t][n]];
        if (one->loop == m->loop && one->except != m->client->handle.id)
            assert_true(one->index < p->n_before);
    }
    p->next = next;
}

static void hear(client *c, str data)
{
    member *m = &model.members[c->index];
    uint32_t id = id_of(data);
    int t = model.ids[id].topic;
    place *p = &m->places[t];
    const subscriber *s = subscriber_of(c, t);
    assert_true(p->on);
    assert_non_null(s);
    uint64_t next = s->next;
    if (!p->begun)
        begin_place(m, t, p, next);
    assert_true(next < model.n_truth[t]);
    assert_int_equal(model.truth[t][next], id);
    assert_true(model.ids[id].except != c->handle.id);
    assert_true(next >= p->next);
    for (; p->next < next; p->next++)
        assert_true(model.ids[model.truth[t][p->next]].except == c->handle.id);
    p->next++;
    p->epoch = there(t)->epoch;
    model.n_heard++;
}

static void miss(client *c, topic *t, uint64_t next)
{
    member *m = &model.members[c->index];
    for (int i = 0; i < N_TOPICS; i++) {
        place *p = &m->places[i];
        if (there(i) != t)
            continue;
        assert_true(p->on);
        if (p->begun)
            assert_int_not_equal(policy_of(i), WEFT_SLOW_CLOSE);
        bool slow =
            policy_of(i) == WEFT_SLOW_DROP_NEW || policy_of(i) == WEFT_SLOW_LATEST; /* misses what is kept too */
        if (!p->begun && p->from.from == SINCE_CURSOR && p->epoch == t->epoch && !model.faults && !slow)
            assert_true(next > p->next && p->next + settings[i].options.history_messages < model.n_truth[i]);
        if (p->begun)
            assert_true(next >= p->next);
        p->begun = true;
        p->next = next;
        p->epoch = t->epoch;
    }
    model.n_gaps++;
}

/* ---- steps ---- */

static void enter(uint32_t i)
{
    member *m = &model.members[i];
    m->loop = draw(links.n);
    m->client = guest_on(m->loop);
    m->client->index = i;
    m->client->heard = hear;
    m->client->missed = miss;
    for (int t = 0; t < N_TOPICS; t++)
        m->places[t].on = false;
}

static since draw_since(const place *p)
{
    uint32_t what = draw(8);
    if (what < 3)
        return (since){.from = SINCE_NOW};
    if (what == 3)
        return (since){.from = SINCE_START};
    if (what == 4 || !p->epoch)
        return (since){SINCE_CURSOR, {draw(2) ? 7 : 0, draw(5)}};
    model.n_resumed++;
    return (since){SINCE_CURSOR, {p->epoch, p->next}};
}

static void subscribe_to(uint32_t i, int t, since from)
{
    member *m = &model.members[i];
    place *p = &m->places[t];
    on(m->loop);
    bool was_on = p->on;
    uint64_t next = p->next, epoch = p->epoch;
    p->on = true;
    if (!was_on) {
        p->begun = false;
        p->from = from;
        p->n_before = model.accepted[t][m->loop];
        if (from.from != SINCE_CURSOR || from.at.epoch != epoch || from.at.number != next)
            p->epoch = 0;
    }
    int error = subscribe_since(m->client, model.names[t], from, NULL);
    if (error == WEFT_E_FULL && !was_on) {
        p->on = false;
        p->next = next;
        p->epoch = epoch;
        model.n_full++;
        return;
    }
    assert_int_equal(error, 0);
    model.n_pending += !topic_is_ready(there(t), from);
    model.n_ahead += there(t)->mirror && mirror_is_ahead(there(t), from) && from.at.number == p->next;
}

static void step_subscribe(uint32_t i, int t)
{
    subscribe_to(i, t, draw_since(&model.members[i].places[t]));
}

/* With the cursors that it had, often. */
static void come_back(uint32_t i)
{
    member *m = &model.members[i];
    bool was_on[N_TOPICS];
    if (alive(m))
        return;
    if (m->client->line && m->client->line->peer.close_code == 1013)
        model.n_closed++;
    for (int t = 0; t < N_TOPICS; t++)
        was_on[t] = m->places[t].on && m->places[t].epoch;
    enter(i);
    for (int t = 0; t < N_TOPICS; t++)
        if (was_on[t] && draw(2))
            subscribe_to(i, t, (since){SINCE_CURSOR, {m->places[t].epoch, m->places[t].next}});
}

static void step_unsubscribe(uint32_t i, int t)
{
    member *m = &model.members[i];
    on(m->loop);
    unsubscribe(m->client, model.names[t]);
    m->places[t].on = false;
}

static void publish_from(unsigned from, int t, uint64_t except)
{
    static char bytes[512];
    uint32_t id = model.n_ids++;
    assert_true(model.n_ids < N_IDS);
    on(from);
    model.ids[id] = (published){except, model.accepted[t][from], (uint8_t)from, (uint8_t)t};
    memcpy(bytes, &id, sizeof id);
    blob *body =
        blob_new(&stage.loop.blocks, WEFT_BINARY, (str){NULL, 0}, (str){bytes, sizeof id + draw(draw(4) ? 40 : 400)});
    model.accepted[t][from]++;
    stage.calls++;
    int error = hub_publish(&stage.hub, str_from(model.names[t]), body, except, NULL);
    reach_subscribers();
    stage.calls--;
    if (!error)
        return;
    assert_int_equal(error, WEFT_E_FULL);
    model.accepted[t][from]--;
    model.n_full++;
}

static void step_publish(int t)
{
    int except = model.excepts && draw(3) == 0 ? (int)draw(N_MEMBERS) : NOBODY;
    publish_from(draw(links.n), t, except == NOBODY ? 0 : model.members[except].client->handle.id);
}

/* ---- polls ---- */

static void poll_read(poll *p, const topic *t, uint64_t next, bool gap)
{
    if (!gap && p->at.epoch == t->epoch)
        assert_int_equal(next, p->at.number);
    for (; next < t->head; next++)
        assert_int_equal(id_of(blob_data(topic_message_at(t, next)->body)), model.truth[p->topic][next]);
    p->at = topic_cursor_before(t, next);
    model.n_polled++;
}

static void poll_go_on(poll *p, topic *t);

static void poll_woken(waiter *w)
{
    poll *p = CONTAINER(w, poll, waiter);
    bool gap;
    topic *t = there(p->topic);
    uint64_t next = topic_resume(t, (since){SINCE_CURSOR, p->at}, &gap);
    assert_true(next < t->head || gap);
    poll_read(p, t, next, gap);
}

static void poll_ready(awaiter *a, topic *t, int error)
{
    poll *p = CONTAINER(a, poll, awaiter);
    assert_int_equal(error, 0);
    assert_true(t->mirror->ready);
    poll_go_on(p, t);
}

static void poll_go_on(poll *p, topic *t)
{
    bool gap;
    uint64_t next = topic_resume(t, (since){SINCE_CURSOR, p->at}, &gap);
    if (next < t->head || gap) {
        poll_read(p, t, next, gap);
        return;
    }
    p->waiter.next = next;
    p->waiter.wake = poll_woken;
    topic_wait(t, &p->waiter);
}

static void poll_stop(poll *p)
{
    on(p->loop);
    topic_stop_waiting(&p->waiter);
    topic_stop_awaiting(&p->awaiter);
}

static void step_poll(poll *p)
{
    topic *t;
    if (p->waiter.topic || p->awaiter.topic) {
        if (draw(3) == 0)
            poll_stop(p);
        return;
    }
    if (draw(4) == 0) {
        p->topic = (int)draw(N_TOPICS);
        p->at = (cursor){0};
    }
    p->loop = draw(links.n);
    on(p->loop);
    int error = hub_topic(&stage.hub, str_from(model.names[p->topic]), &t);
    if (error) {
        assert_int_equal(error, WEFT_E_FULL);
        return;
    }
    p->awaiter.ready = poll_ready;
    since from = {SINCE_CURSOR, p->at};
    if (topic_is_ready(t, from))
        poll_go_on(p, t);
    else
        topic_await(t, from, &p->awaiter);
}

/* ---- programs ---- */

static void pass_some_time(void)
{
    static const uint32_t times_ms[] = {1, 1, 2, 10, 300, 999, 1001, 2000};
    uint32_t ms = times_ms[draw(8)];
    if (model.passed_ms + ms > MOST_MS)
        return;
    model.passed_ms += ms;
    pass_ms(ms);
    turn_on(draw(links.n));
}

static void step(void)
{
    uint32_t i = draw(N_MEMBERS), what = draw(100);
    int t = (int)draw(N_TOPICS);
    member *m = &model.members[i];
    model.n_steps++;
    on(m->loop);
    if (what < 14)
        step_subscribe(i, t);
    else if (what < 18)
        step_unsubscribe(i, t);
    else if (what < 48)
        step_publish(t);
    else if (what < 49)
        for (int n = 0; n < 10; n++)
            step_publish(t);
    else if (what < 58)
        drain(m->client, draw(1200));
    else if (what < 61)
        cut(m->client);
    else if (what < 66)
        step_poll(&model.polls[draw(N_POLLS)]);
    else if (what < 92)
        turn_on(draw(links.n));
    else if (what < 96)
        pass_some_time();
    else if (what < 98 && model.faults)
        fill_inbox(draw(links.n));
    for (i = 0; i < N_MEMBERS; i++)
        come_back(i);
}

static bool is_owed(void)
{
    for (uint32_t i = 0; i < N_MEMBERS; i++) {
        const peer *p = &model.members[i].client->line->peer;
        if (model.members[i].client->line->queued || p->n_lagging || (p->extra && p->extra->pending))
            return true;
    }
    for (unsigned i = 0; i < links.n; i++)
        if (hub_owes(&stages[i].hub))
            return true;
    return false;
}

static void drain_all(void)
{
    for (int round = 0; round < 3 || is_owed(); round++) {
        assert_true(round < 10000);
        for (uint32_t i = 0; i < N_MEMBERS; i++) {
            on(model.members[i].loop);
            drain(model.members[i].client, SIZE_MAX);
        }
        pass_ms(1);
        settle();
        for (uint32_t i = 0; i < N_MEMBERS; i++)
            come_back(i);
    }
}

static void finish(void)
{
    for (unsigned i = 0; i < links.n; i++)
        model.n_lost += stages[i].hub.counts.n_mirror_gaps;
    drain_all();
    for (int t = 0; t < N_TOPICS; t++) {
        publish_from(draw(links.n), t, 0);
        drain_all();
    }
    for (int t = 0; t < N_TOPICS; t++) {
        for (unsigned l = 0; l < links.n; l++) {
            assert_int_equal(model.seen[t][l], model.accepted[t][l]); /* nothing is lost */
            on(l);
            if (there(t))
                assert_int_equal(there(t)->head, model.n_truth[t]);
        }
        for (uint32_t i = 0; i < N_MEMBERS; i++) {
            const place *p = &model.members[i].places[t];
            assert_true(!p->on || p->next == model.n_truth[t]);
        }
    }
    for (uint32_t i = 0; i < N_POLLS; i++)
        poll_stop(&model.polls[i]);
}

static void set_up(uint64_t seed)
{
    memset(&model, 0, sizeof model);
    model.running = true;
    model.seed = seed;
    model.random = seed * 0x9E3779B97F4A7C15 + 1;
    model.faults = seed % 3 == 0;
    model.excepts = seed % 2;
    assert_int_equal(several_init(2 + (unsigned)(seed % 3)), 0);
    links.secret[0] = (uint8_t)seed; /* homes are the same each time */
    memset(links.secret + 1, 1, sizeof links.secret - 1);
    for (int t = 0; t < N_TOPICS; t++) {
        strcpy(model.names[t], settings[t].prefix);
        configure_all(settings[t].prefix, settings[t].options);
        client *observer = guest_on(home(t));
        observer->heard = observe;
        observer->swallows = true;
        assert_int_equal(subscribe(observer, model.names[t]), 0);
    }
    for (uint32_t i = 0; i < N_MEMBERS; i++)
        enter(i);
}

static void loops__agree_with_the_model(void **state)
{
    enum { N = 1000, N_COUNTS = 9 };
    uint64_t sums[N_COUNTS] = {0};
    static const uint64_t least[N_COUNTS] = {N * 250, N * 5, N * 10, N * 5, N / 3, N / 3, N * 10, N / 10, N / 5};
    (void)state;
    for (uint64_t seed = 1; seed <= N; seed++) {
        set_up(seed);
        for (int i = 0; i < 800; i++)
            step();
        finish();
        several_done();
        const uint64_t counts[N_COUNTS] = {model.n_heard,   model.n_gaps,  model.n_resumed,
                                           model.n_polled,  model.n_full,  model.n_closed,
                                           model.n_pending, model.n_ahead, model.n_lost};
        for (int i = 0; i < N_COUNTS; i++)
            sums[i] += counts[i];
        model.running = false;
    }
    for (int i = 0; i < N_COUNTS; i++) /* the programs did all of it */
        assert_true(sums[i] >= least[i]);
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
        cmocka_unit_test_teardown(loops__agree_with_the_model, tell_program),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
