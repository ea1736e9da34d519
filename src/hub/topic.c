#include "base/mem.h"
#include "base/utf8.h"
#include "hub/mirror_private.h"
#include "hub/presence.h"
#include "loop/deadlines.h"
#include <errno.h>
#include <sys/random.h>

enum { EPOCH_BITS = 48 };

/* --------------------------------------------------------------------------------------------------------------- names */

/* U+0000 to U+001F, U+007F, U+0080 to U+009F. */
static bool is_control(const char *at)
{
    unsigned char c = (unsigned char)*at;
    return c < 0x20 || c == 0x7F || (c == 0xC2 && (unsigned char)at[1] < 0xA0);
}

bool topic_name_valid(str name)
{
    if (name.len == 0 || name.len > TOPIC_MAX_NAME_BYTES || !utf8_valid(name.at, name.len))
        return false;
    for (size_t i = 0; i < name.len; i++)
        if (is_control(name.at + i))
            return false;
    return true;
}

bool topic_event_valid(str event)
{
    if (event.len > TOPIC_MAX_NAME_BYTES || !utf8_valid(event.at, event.len))
        return false;
    for (size_t i = 0; i < event.len; i++)
        if (event.at[i] == '\r' || event.at[i] == '\n' || event.at[i] == '\0')
            return false;
    return true;
}

bool topic_pattern_matches(str pattern, str name)
{
    size_t p = 0, n = 0, star = SIZE_MAX, resume = 0;
    while (n < name.len) {
        if (p < pattern.len && pattern.at[p] == '*') {
            star = p++;
            resume = n;
        } else if (p < pattern.len && pattern.at[p] == name.at[n]) {
            p++;
            n++;
        } else if (star != SIZE_MAX) {
            p = star + 1;
            n = ++resume;
        } else {
            return false;
        }
    }
    while (p < pattern.len && pattern.at[p] == '*')
        p++;
    return p == pattern.len;
}

/* ------------------------------------------------------------------------------------------------------- life and death */

static void default_size(size_t *value, size_t fallback)
{
    if (!*value)
        *value = fallback;
}

static weft_topic_options options_for(const hub *h, str name)
{
    weft_topic_options o = {0};
    for (const topic_rule *rule = *h->rules; rule; rule = rule->next) {
        if (topic_pattern_matches(str_from(rule->pattern), name)) {
            o = rule->options;
            break;
        }
    }
    default_size(&o.ring_messages, TOPIC_RING_MESSAGES);
    default_size(&o.ring_bytes, TOPIC_RING_BYTES);
    default_size(&o.history_bytes, TOPIC_HISTORY_BYTES);
    if (!o.history_age_ms)
        o.history_age_ms = TOPIC_HISTORY_AGE_MS;
    if (o.slow == WEFT_SLOW_DEFAULT)
        o.slow = o.history_messages ? WEFT_SLOW_DROP_OLD : WEFT_SLOW_CLOSE;
    if (o.history_messages && o.ring_messages < o.history_messages)
        o.ring_messages = o.history_messages;
    if (o.history_messages && o.ring_bytes < o.history_bytes)
        o.ring_bytes = o.history_bytes;
    return o;
}

/* Not to be guessed, and never the same twice, so that no cursor is taken for one of another topic. */
static uint64_t new_epoch(hub *h)
{
    uint64_t epoch;
    do
        epoch = siphash(h->secret, &h->n_epochs, sizeof h->n_epochs) & ((UINT64_C(1) << EPOCH_BITS) - 1);
    while (h->n_epochs++, !epoch);
    return epoch;
}

void topic_free(topic *t)
{
    hub *h = t->hub;
    if (t->mirror)
        mirror_free(t);
    else if (h->reach)
        atomic_fetch_sub_explicit(&h->reach->links->n_topics, 1, memory_order_relaxed); /* see may_be_more() */
    loop_cancel(h->loop, &t->clock);
    topic_set_finished(t);
    list_remove(&t->waking);
    list_remove(&t->idle);
    map_remove(&h->topics, &t->entry);
    presence_free(t);
    ring_free(t);
    mem_free(t->subscribers);
    mem_free(t);
}

static bool is_awaited(const topic *t)
{
    return t->mirror && !list_empty(&t->mirror->awaiters);
}

static bool nobody_wants(const topic *t)
{
    return !t->n_subscribers && !t->n_waiters && !t->holds && !t->links && !is_awaited(t) && !presence_lingers(t);
}

void topic_wanted(topic *t)
{
    list_remove(&t->idle);
    t->idling = false;
}

/* It may make room for another, unless it keeps messages: these were promised to somebody. In order of idle_at_ms, so
 * behind all others, but for one that lost its history while nobody wanted it. */
static void list_idle(topic *t)
{
    list_node *head = &t->hub->idle, *before = head->prev;
    if (t->mirror)
        return; /* it takes no other's place, and goes by itself */
    if (t->first < t->head)
        list_remove(&t->idle);
    if (t->first < t->head || list_linked(&t->idle))
        return;
    while (before != head && CONTAINER(before, topic, idle)->idle_at_ms > t->idle_at_ms)
        before = before->prev;
    list_append(before->next, &t->idle);
}

static void become_idle(topic *t)
{
    t->idling = true;
    t->idle_at_ms = t->hub->loop->now_ms;
    list_remove(&t->idle);
    list_idle(t);
}

/* Somebody up the stack may use it, or was given it in this turn. */
static bool may_go(const topic *t)
{
    return list_linked(&t->idle) && !t->holds && t->asked_turn != t->hub->loop->n_wakes;
}

static void look_at_clock(timer *clock)
{
    topic *t = CONTAINER(clock, topic, clock);
    ring_trim(t);
    if (t->mirror && !mirror_clock(t))
        return;
    if (t->idling)
        list_idle(t);
    if (may_go(t) && t->hub->loop->now_ms >= t->idle_at_ms + TOPIC_LINGER_MS)
        topic_free(t);
    else
        topic_set_clock(t);
}

/* UINT64_MAX: nothing is. */
static uint64_t due_ms(const topic *t)
{
    uint64_t expires_ms = ring_expires_ms(t);
    if (!t->mirror)
        return t->idling && t->first == t->head ? t->idle_at_ms + TOPIC_LINGER_MS : expires_ms;
    uint64_t mirror_ms = mirror_due_ms(t);
    return mirror_ms < expires_ms ? mirror_ms : expires_ms;
}

void topic_set_clock(topic *t)
{
    uint64_t now_ms = t->hub->loop->now_ms, at_ms = due_ms(t);
    if (at_ms == UINT64_MAX || (timer_armed(&t->clock) && t->clock.at_ms <= at_ms))
        return;
    loop_arm_roughly(t->hub->loop, &t->clock, at_ms > now_ms ? at_ms - now_ms : 1, look_at_clock);
}

void topic_release(topic *t)
{
    if (--t->holds)
        return;
    if (t->hub->joined == t)
        runs_drop(t->hub);
    if (!t->n_subscribers)
        topic_set_finished(t);
    ring_trim(t);
    if (t->idling)
        list_idle(t);
    else if (nobody_wants(t))
        become_idle(t);
    topic_set_clock(t);
}

void topic_count_changed(topic *t)
{
    if (t->mirror)
        mirror_changed(t);
}

/* Several loops count together. Relaxed: the counter limits, and publishes nothing; each takes its place and gives it back when there was none. */
static bool may_be_more(hub *h)
{
    if (!h->reach)
        return h->topics.n_entries < h->max_topics;
    _Atomic size_t *n_topics = &h->reach->links->n_topics;
    bool more = atomic_fetch_add_explicit(n_topics, 1, memory_order_relaxed) < h->max_topics;
    if (!more)
        atomic_fetch_sub_explicit(n_topics, 1, memory_order_relaxed);
    return more;
}

/* At the limit the topic that nobody has wanted for longest goes, of this loop's. */
static bool make_room(hub *h)
{
    if (may_be_more(h))
        return true;
    for (list_node *node = h->idle.next; node != &h->idle; node = node->next) {
        topic *t = CONTAINER(node, topic, idle);
        if (may_go(t)) {
            topic_free(t);
            return may_be_more(h);
        }
    }
    h->limit = limit_count(&h->net->limits, LIMIT_TOPICS);
    return false;
}

static int topic_put(hub *h, str name, topic **ret_topic)
{
    topic *t = mem_zero(sizeof *t + name.len);
    if (!t)
        return -ENOMEM;
    memcpy(t->name, name.at, name.len);
    t->hub = h;
    t->options = options_for(h, name);
    t->entry.key = (str){t->name, name.len};
    list_init(&t->waiters);
    if (map_put(&h->topics, &t->entry)) {
        mem_free(t);
        return -ENOMEM;
    }
    *ret_topic = t;
    return 0;
}

static int home_new(hub *h, str name, topic **ret_topic)
{
    if (!make_room(h))
        return WEFT_E_TOO_LARGE;
    int error = topic_put(h, name, ret_topic);
    if (!error)
        (*ret_topic)->epoch = new_epoch(h);
    else if (h->reach)
        atomic_fetch_sub_explicit(&h->reach->links->n_topics, 1, memory_order_relaxed); /* see may_be_more() */
    return error;
}

static int mirror_new(hub *h, str name, topic **ret_topic)
{
    mirror *m = mem_zero(sizeof *m);
    int error = m ? topic_put(h, name, ret_topic) : -ENOMEM;
    if (!error)
        return mirror_start(*ret_topic, m);
    mem_free(m);
    return error;
}

topic *hub_find_topic(const hub *h, str name)
{
    map_entry *entry = map_get(&h->topics, name);
    return entry ? CONTAINER(entry, topic, entry) : NULL;
}

int hub_topic(hub *h, str name, topic **ret_topic)
{
    if (!topic_name_valid(name))
        return WEFT_E_INVALID;
    topic *t = hub_find_topic(h, name);
    int error = t ? 0 : hub_is_away(h, name) ? mirror_new(h, name, &t) : home_new(h, name, &t);
    if (error)
        return error;
    t->asked_turn = h->loop->n_wakes;
    if (nobody_wants(t)) { /* asked for again, it stays for as long again */
        become_idle(t);
        topic_set_clock(t);
    }
    *ret_topic = t;
    return 0;
}

topic *hub_next_topic(const hub *h, const topic *after)
{
    map_entry *entry = map_next(&h->topics, after ? &after->entry : NULL);
    return entry ? CONTAINER(entry, topic, entry) : NULL;
}

bool hub_keeps_history(const hub *h, str name)
{
    return options_for(h, name).history_messages > 0;
}

uint64_t topic_resume(const topic *t, since from, bool *ret_gap)
{
    *ret_gap = false;
    if (from.from == SINCE_NOW)
        return t->head;
    if (from.from == SINCE_START)
        return t->first;
    bool known = from.at.epoch == t->epoch && from.at.number <= t->head;
    if (known && from.at.number >= t->first)
        return from.at.number;
    *ret_gap = true;
    return t->first;
}

/* ------------------------------------------------------------------------------------------------------------- the hub */

int hub_init(hub *h, net *n, slots *table, weft *app, const topic_rule *const *rules)
{
    *h = (hub){.loop = n->loop, .net = n, .table = table, .app = app, .rules = rules};
    for (slot_kind kind = SLOT_PEER; kind <= SLOT_CLOSING; kind++)
        deadlines_begin(table, n->loop, kind, peer_due);
    h->max_topics = HUB_MAX_TOPICS;
    h->deflate_budget = HUB_DEFLATE_BUDGET_BYTES;
    h->max_sessions = HUB_MAX_SESSIONS;
    h->max_subscriptions = PEER_MAX_SUBSCRIPTIONS;
    h->fan_out.run = fanout_begin;
    h->wake.run = waiters_wake;
    h->marked_task.run = peers_task;
    list_init(&h->unfinished);
    list_init(&h->waking);
    list_init(&h->idle);
    if (getrandom(h->secret, sizeof h->secret, 0) != sizeof h->secret)
        return -errno;
    int error = map_init(&h->topics);
    return error ? error : map_init(&h->sessions);
}

static void end_topic(topic *t)
{
    if (t->mirror)
        mirror_end(t);
    if (t->links)
        home_end(t);
    topic_free(t);
}

void hub_done(hub *h)
{
    for (topic *t; (t = hub_next_topic(h, NULL)) != NULL;)
        end_topic(t);
    hub_unlink(h);
    loop_cancel(h->loop, &h->slice);
    loop_cancel(h->loop, &h->wake_slice);
    loop_undefer(h->loop, &h->fan_out);
    loop_undefer(h->loop, &h->wake);
    loop_undefer(h->loop, &h->marked_task);
    map_done(&h->topics);
    map_done(&h->sessions);
}
