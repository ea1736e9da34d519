#include "app/fixture.h"

enum { NAME_BYTES = 255 };

static int results[16];
static int n_closed;

static const weft_topic_options with_presence = {.presence = 1};

/* Each client says its name, and is then subscribed to "t"; "" for whoever has none. */
static void join(weft_peer who, const weft_message *message)
{
    char name[NAME_BYTES + 1] = "";
    assert_true(message->data.len <= NAME_BYTES);
    memcpy(name, message->data.at, message->data.len);
    latest = who;
    results[0] = *name ? weft_identify(who, name) : 0;
    results[1] = weft_subscribe(who, "t", NULL);
    weft_send_text(who, "joined");
}

static void count_close(weft_peer who, int code, weft_str reason)
{
    (void)who;
    (void)code;
    (void)reason;
    n_closed++;
}

static void serve_presence(void)
{
    n_closed = 0;
    assert_int_equal(weft_topic_configure(app, "t", &with_presence), 0);
    serve(&(weft_websocket_options){.message = join, .close = count_close, .ping_interval_ms = WEFT_NEVER});
}

static int open_named(const char *name)
{
    int fd = client_open(url, "/");
    client_send_text(fd, name);
    client_expect_text(fd, "joined");
    assert_int_equal(results[0] | results[1], 0);
    return fd;
}

static void leave(int fd)
{
    int before = n_closed;
    client_leave(fd);
    CLIENT_UNTIL(n_closed > before);
}

/* ---- what is listed ---- */

static char names[8][NAME_BYTES + 1];
static size_t n_names, n_present;

static void note_name(const char *name, void *user)
{
    assert_ptr_equal(user, names);
    assert_true(n_names < N_OF(names) && strlen(name) <= NAME_BYTES);
    strcpy(names[n_names++], name);
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void list_now(void)
{
    n_names = 0;
    n_present = weft_presence(app, "t", note_name, names);
}

/* "ann bob " */
static const char *listed(void)
{
    static char text[N_OF(names) * (NAME_BYTES + 1) + 1];
    on_loop(list_now);
    assert_int_equal(n_present, n_names);
    qsort(names, n_names, sizeof *names, by_bytes);
    text[0] = '\0';
    for (size_t i = 0; i < n_names; i++) {
        strcat(text, names[i]);
        strcat(text, " ");
    }
    return text;
}

/* ---- the cases ---- */

static void presence__lists_who_is_subscribed(void **state)
{
    (void)state;
    serve_presence();
    assert_string_equal(listed(), "");
    int bob = open_named("bob"), ann = open_named("ann"), other = open_named("ann");
    assert_string_equal(listed(), "ann bob ");
    leave(other);
    assert_string_equal(listed(), "ann bob ");
    leave(ann); /* and may come back within five seconds */
    assert_string_equal(listed(), "ann bob ");
    ann = open_named("ann");
    assert_string_equal(listed(), "ann bob ");
    leave(ann);
    leave(bob);
}

static void presence__lists_a_peer_without_a_name_under_a_random_one(void **state)
{
    (void)state;
    serve_presence();
    int one = open_named(""), other = open_named("");
    listed();
    assert_int_equal(n_names, 2);
    assert_int_equal(strlen(names[0]), 12);
    assert_int_equal(strlen(names[1]), 12);
    assert_string_not_equal(names[0], names[1]);
    leave(one);
    leave(other);
}

static void presence__lists_names_of_any_legal_length(void **state)
{
    (void)state;
    char longest[NAME_BYTES + 2];
    memset(longest, 'x', sizeof longest);
    longest[NAME_BYTES] = '\0';
    serve_presence();
    int fd = open_named(longest);
    listed();
    assert_int_equal(n_names, 1);
    assert_string_equal(names[0], longest);
    leave(fd);
}

static void identify_badly(weft_peer who)
{
    static char too_long[NAME_BYTES + 2];
    memset(too_long, 'x', NAME_BYTES + 1);
    results[0] = weft_identify(who, NULL);
    results[1] = weft_identify(who, "");
    results[2] = weft_identify(who, too_long);
    results[3] = weft_identify(who, "a\nb");
    results[4] = weft_identify(who, "\xff");
    results[5] = weft_identify(who, "bob");
    results[6] = weft_identify(who, "ann"); /* the latest counts */
    results[7] = weft_subscribe(who, "t", NULL);
    results[8] = weft_identify(who, "bob");
    results[9] = weft_unsubscribe(who, "t");
    results[10] = weft_identify(who, "bob");
    results[11] = weft_abort(who);
    results[12] = weft_identify(who, "bob");
    latest = who;
}

static void identify_elsewhere(void)
{
    results[13] = weft_identify(latest, "bob");
}

static void identify_gone(void)
{
    results[14] = weft_identify(latest, "bob");
}

static void presence__names_are_legal_text_and_given_before_subscribing(void **state)
{
    (void)state;
    n_closed = 0;
    assert_int_equal(weft_topic_configure(app, "t", &with_presence), 0);
    serve(&(weft_websocket_options){.open = identify_badly, .close = count_close});
    int fd = client_open(url, "/");
    CLIENT_UNTIL(n_closed == 1);
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(results[i], WEFT_E_INVALID);
    assert_int_equal(results[5] | results[6] | results[7] | results[9] | results[11], 0);
    assert_int_equal(results[8], WEFT_E_INVALID);
    assert_int_equal(results[10], WEFT_E_INVALID);
    assert_int_equal(results[12], WEFT_E_CLOSED);
    elsewhere(identify_elsewhere);
    on_loop(identify_gone);
    assert_int_equal(results[13], WEFT_E_THREAD);
    assert_int_equal(results[14], WEFT_E_CLOSED);
    assert_int_equal(weft_identify((weft_peer){0}, "bob"), WEFT_E_CLOSED);
    assert_string_equal(listed(), "ann ");
    close(fd);
}

static size_t counts[6];

static void count_elsewhere(void)
{
    counts[0] = weft_presence(app, "t", NULL, NULL);
}

static void count_all(void)
{
    counts[1] = weft_presence(app, "t", NULL, NULL);
    counts[2] = weft_presence(app, "quiet", NULL, NULL);
    counts[3] = weft_presence(app, "nobody was here", NULL, NULL);
    counts[4] = weft_presence(app, NULL, NULL, NULL);
    counts[5] = weft_presence(NULL, "t", NULL, NULL);
}

static void join_both(weft_peer who)
{
    on_open(who);
    weft_subscribe(who, "t", NULL);
    weft_subscribe(who, "quiet", NULL);
    weft_send_text(who, "joined");
}

static void presence__is_counted_on_the_loop_where_it_is_asked_for(void **state)
{
    (void)state;
    memset(counts, 0xff, sizeof counts);
    assert_int_equal(weft_topic_configure(app, "t", &with_presence), 0);
    assert_int_equal(weft_topic_configure(app, "*", &(weft_topic_options){.history_messages = 1}), 0);
    serve(&(weft_websocket_options){.open = join_both});
    int fd = client_open(url, "/");
    client_expect_text(fd, "joined");
    elsewhere(count_elsewhere);
    on_loop(count_all);
    for (size_t i = 0; i < N_OF(counts); i++)
        assert_int_equal(counts[i], i == 1);
    client_leave(fd);
}

static void abort_latest(const char *name, void *user)
{
    note_name(name, user);
    weft_abort(latest);
}

static void list_and_abort(void)
{
    n_names = 0;
    n_present = weft_presence(app, "t", abort_latest, names);
}

static void presence__may_lose_peers_while_it_is_listed(void **state)
{
    (void)state;
    serve_presence();
    int ann = open_named("ann"), bob = open_named("bob");
    on_loop(list_and_abort);
    assert_int_equal(n_names, 2);
    assert_int_equal(n_present, 2);
    CLIENT_UNTIL(n_closed == 1);
    assert_string_equal(listed(), "ann bob ");
    leave(ann);
    close(bob);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        APP_TEST(presence__lists_who_is_subscribed),
        APP_TEST(presence__lists_a_peer_without_a_name_under_a_random_one),
        APP_TEST(presence__lists_names_of_any_legal_length),
        APP_TEST(presence__names_are_legal_text_and_given_before_subscribing),
        APP_TEST(presence__is_counted_on_the_loop_where_it_is_asked_for),
        APP_TEST(presence__may_lose_peers_while_it_is_listed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
