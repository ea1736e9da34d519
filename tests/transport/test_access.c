#include "transport/access.h"

#include "http/exchange.h"
#include "support/check.h"
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

/* ---- requests ---- */

static http1_head head;
static char bytes[1024];
static weft_request request;

/** A request with these lines of fields. */
static const weft_request *asked(const char *fields)
{
    size_t len;
    head = (http1_head){0};
    snprintf(bytes, sizeof bytes, "GET / HTTP/1.1\r\nHost: localhost\r\n%s\r\n", fields);
    assert_int_equal(http1_head_feed(&head, bytes, strlen(bytes), &len), HTTP1_DONE);
    request = (weft_request){.head = &head, .bytes = bytes};
    return &request;
}

static access_key look_at(const char *key, const char *fields)
{
    return access_look(&(access_rules){.key = key}, asked(fields));
}

/* ---- keys ---- */

static void access__knows_the_key(void **state)
{
    (void)state;
    assert_int_equal(look_at("sesame", "Authorization: Bearer sesame\r\n"), ACCESS_KEY);
    assert_int_equal(look_at("sesame", "authorization: bearer sesame\r\n"), ACCESS_KEY);
    assert_int_equal(look_at("sesame", "Authorization: Bearer   sesame  \r\n"), ACCESS_KEY);
    assert_int_equal(look_at("open sesame", "Authorization: Bearer open sesame\r\n"), ACCESS_KEY);
}

static void access__tells_other_keys(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "Bearer Sesame", "Bearer sesam", "Bearer sesame1",   "Bearer ses\tme", "Bearersesame",   "Bearer",
        "sesame",        "Bearer ",      "Basic c2VzYW1lOg", "Bear sesame",    "BearerX sesame", "Bearer:sesame",
    };
    for (size_t i = 0; i < N_OF(wrong); i++) {
        char field[128];
        snprintf(field, sizeof field, "Authorization: %s\r\n", wrong[i]);
        assert_int_equal(look_at("sesame", field), ACCESS_WRONG_KEY);
    }
    assert_int_equal(look_at("sesame", "Authorization:\r\n"), ACCESS_WRONG_KEY);
}

/* In place of the library's, which takes the same time wherever bytes differ: what is given to it, and how much. */
static size_t n_compared;

int CRYPTO_memcmp(const void *a, const void *b, size_t len)
{
    n_compared += len;
    return memcmp(a, b, len);
}

/* CVE-2018-1000518: how long it takes tells how much of a key was right. Whatever is sent, 32 bytes of digests are compared, in constant time. */
static void secret_comparison__does_not_depend_on_what_is_sent(void **state)
{
    (void)state;
    static const char *const sent[] = {"sesame", "Xesame", "sesamX", "s", "sesame sesame sesame sesame sesame sesame"};
    for (size_t i = 0; i < N_OF(sent); i++) {
        char field[128];
        snprintf(field, sizeof field, "Authorization: Bearer %s\r\n", sent[i]);
        n_compared = 0;
        assert_int_equal(look_at("sesame", field), i == 0 ? ACCESS_KEY : ACCESS_WRONG_KEY);
        assert_int_equal(n_compared, 32);
    }
}

static void access__needs_no_key(void **state)
{
    (void)state;
    assert_int_equal(look_at("sesame", ""), ACCESS_NO_KEY);
    assert_int_equal(look_at(NULL, ""), ACCESS_NO_KEY);
}

/* Where nobody has a key the field is not ours to judge: the program's `allow` may read it. */
static void access__leaves_the_field_alone_without_a_key(void **state)
{
    (void)state;
    assert_int_equal(look_at(NULL, "Authorization: Bearer sesame\r\n"), ACCESS_NO_KEY);
    assert_int_equal(look_at(NULL, "Authorization: Bearer \r\n"), ACCESS_NO_KEY);
    assert_int_equal(look_at(NULL, "Authorization: Basic x\r\n"), ACCESS_NO_KEY);
}

/* ---- patterns ---- */

static const char *const news[] = {"news", "news/*", NULL};
static const char *const nothing[] = {NULL};

static bool may(const access_rules *rules, const char *name, bool publish)
{
    return access_allowed(rules, &(access_asker){.request = &request}, str_from(name), publish);
}

static void access__lets_read_all_and_write_nothing(void **state)
{
    (void)state;
    const access_rules rules = {0};
    assert_true(may(&rules, "t", false));
    assert_false(may(&rules, "t", true));
}

static void access__goes_by_patterns(void **state)
{
    (void)state;
    const access_rules reading = {.subscribe = news}, writing = {.publish = news};
    assert_true(may(&reading, "news", false));
    assert_true(may(&reading, "news/today", false));
    assert_false(may(&reading, "newsroom", false));
    assert_false(may(&reading, "news", true));
    assert_true(may(&writing, "news", true));
    assert_true(may(&writing, "news/a/b", true));
    assert_false(may(&writing, "old/news", true));
    assert_true(may(&writing, "anything", false));
}

static void access__takes_an_empty_list_for_none(void **state)
{
    (void)state;
    const access_rules rules = {.subscribe = nothing, .publish = nothing};
    assert_false(may(&rules, "t", false));
    assert_false(may(&rules, "t", true));
}

static void access__stops_at_nothing_with_the_key(void **state)
{
    (void)state;
    const access_rules rules = {.subscribe = nothing, .key = "sesame"};
    const access_asker holder = {.request = &request, .has_key = true};
    assert_true(access_allowed(&rules, &holder, STR("t"), false));
    assert_true(access_allowed(&rules, &holder, STR("t"), true));
}

/* ---- the program's word ---- */

static struct {
    weft_access last;
    void *user;
    int n, answer;
} program;

static int allow(const weft_access *access, void *user)
{
    program.last = *access;
    program.user = user;
    program.n++;
    return program.answer;
}

static const char *const any[] = {"*", NULL};
static const access_rules asking = {.subscribe = news, .publish = any, .allow = allow, .user = &program};

static int reset(void **state)
{
    (void)state;
    memset(&program, 0, sizeof program);
    return 0;
}

static void access__asks_the_program_about_a_request(void **state)
{
    (void)state;
    assert_false(may(&asking, "news", false));
    program.answer = 2;
    assert_true(may(&asking, "paper", true));
    assert_int_equal(program.n, 2);
    assert_ptr_equal(program.user, &program);
    assert_ptr_equal(program.last.request, &request);
    assert_int_equal(program.last.peer.id, 0);
    assert_int_equal(program.last.publish, 1);
    assert_true(str_equal(program.last.topic, STR("paper")));
}

static void access__asks_the_program_about_a_peer(void **state)
{
    (void)state;
    peer p = {.id = 77};
    program.answer = 1;
    assert_true(access_allowed(&asking, &(access_asker){.peer = &p}, STR("news/x"), false));
    assert_int_equal(program.last.peer.id, 77);
    assert_null(program.last.request);
    assert_int_equal(program.last.publish, 0);
}

/* It can take away what the lists allow, and allow nothing that they do not. */
static void access__asks_only_about_what_is_listed(void **state)
{
    (void)state;
    program.answer = 1;
    assert_false(may(&asking, "paper", false));
    assert_int_equal(program.n, 0);
}

static void access__does_not_ask_about_the_key(void **state)
{
    (void)state;
    const access_asker holder = {.request = &request, .has_key = true};
    assert_true(access_allowed(&asking, &holder, STR("news"), false));
    assert_int_equal(program.n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(access__knows_the_key),
        cmocka_unit_test(access__tells_other_keys),
        cmocka_unit_test(secret_comparison__does_not_depend_on_what_is_sent),
        cmocka_unit_test(access__needs_no_key),
        cmocka_unit_test(access__leaves_the_field_alone_without_a_key),
        cmocka_unit_test(access__lets_read_all_and_write_nothing),
        cmocka_unit_test(access__goes_by_patterns),
        cmocka_unit_test(access__takes_an_empty_list_for_none),
        cmocka_unit_test(access__stops_at_nothing_with_the_key),
        cmocka_unit_test_setup(access__asks_the_program_about_a_request, reset),
        cmocka_unit_test_setup(access__asks_the_program_about_a_peer, reset),
        cmocka_unit_test_setup(access__asks_only_about_what_is_listed, reset),
        cmocka_unit_test_setup(access__does_not_ask_about_the_key, reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
