#include "base/mem.h"
#include "net/addresses.h"
#include "support/check.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

static uint64_t now_ms;
static addresses the_addresses;
static addresses *const a = &the_addresses;

static int start(void **state)
{
    (void)state;
    now_ms = 1000000;
    return addresses_init(a);
}

static int stop(void **state)
{
    (void)state;
    addresses_done(a);
    return 0;
}

static struct sockaddr_storage from(const char *text)
{
    struct sockaddr_storage at = {.ss_family = AF_UNIX};
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    if (inet_pton(AF_INET, text, &v4.sin_addr) == 1)
        memcpy(&at, &v4, sizeof v4);
    else if (inet_pton(AF_INET6, text, &v6.sin6_addr) == 1)
        memcpy(&at, &v6, sizeof v6);
    return at;
}

static admission admit(const char *text, address_use **ret_use)
{
    struct sockaddr_storage at = from(text);
    return addresses_admit(a, now_ms, &at, ret_use);
}

static void expect_taken(const char *text, address_use **ret_use)
{
    assert_int_equal(admit(text, ret_use).error, 0);
}

static void expect_refused(const char *text, limit_id limit)
{
    address_use *use;
    admission result = admit(text, &use);
    assert_int_equal(result.error, WEFT_E_FULL);
    assert_int_equal(result.limit, limit);
    assert_null(use);
}

static void trust(const char *text)
{
    const char *wrong;
    assert_int_equal(networks_read(&a->proxies, (const char *const[]){text, NULL}, &wrong), 0);
}

static named_client client(const char *text)
{
    named_client who = {.port = -1};
    assert_true(ip_read(str_from(text), &who.ip));
    return who;
}

/* ---- how many ---- */

static void addresses__hold_so_many_connections_each(void **state)
{
    (void)state;
    address_use *uses[3], *other;
    a->max_connections = 3;
    for (size_t i = 0; i < 3; i++)
        expect_taken("192.0.2.1", &uses[i]);
    expect_refused("192.0.2.1", LIMIT_ADDRESS_CONNECTIONS);
    expect_refused("::ffff:192.0.2.1", LIMIT_ADDRESS_CONNECTIONS);
    expect_taken("192.0.2.2", &other);
    addresses_leave(a, now_ms, uses[1]);
    expect_taken("192.0.2.1", &uses[1]);
    expect_refused("192.0.2.1", LIMIT_ADDRESS_CONNECTIONS);
    for (size_t i = 0; i < 3; i++)
        addresses_leave(a, now_ms, uses[i]);
    addresses_leave(a, now_ms, other);
}

static void addresses__of_ipv6_are_networks_of_64_bits(void **state)
{
    (void)state;
    address_use *one, *other;
    a->max_connections = 1;
    expect_taken("2001:db8:1:2::1", &one);
    expect_refused("2001:db8:1:2:ffff:ffff:ffff:ffff", LIMIT_ADDRESS_CONNECTIONS);
    expect_taken("2001:db8:1:3::1", &other);
    addresses_leave(a, now_ms, one);
    addresses_leave(a, now_ms, other);
}

static void addresses__of_this_machine_are_not_counted(void **state)
{
    (void)state;
    static const char *const exempt[] = {"127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "unix"};
    address_use *use;
    a->max_connections = 1;
    for (size_t i = 0; i < 3 * N_OF(exempt); i++) {
        expect_taken(exempt[i % N_OF(exempt)], &use);
        assert_null(use);
    }
    assert_int_equal(a->counted.n_entries, 0);
    addresses_leave(a, now_ms, NULL);
}

/* ---- how fast ---- */

static void addresses__may_connect_in_bursts_and_then_so_fast(void **state)
{
    (void)state;
    address_use *use, *other;
    a->max_connects_per_s = 2;
    for (int i = 0; i < 20; i++) {
        expect_taken("192.0.2.1", &use);
        addresses_leave(a, now_ms, use);
    }
    expect_refused("192.0.2.1", LIMIT_ADDRESS_CONNECTS);
    expect_taken("192.0.2.2", &other);
    addresses_leave(a, now_ms, other);
    now_ms += 499;
    expect_refused("192.0.2.1", LIMIT_ADDRESS_CONNECTS);
    now_ms += 1;
    expect_taken("192.0.2.1", &use);
    addresses_leave(a, now_ms, use);
    expect_refused("192.0.2.1", LIMIT_ADDRESS_CONNECTS);
}

/* ---- what is told ---- */

static void addresses__are_told_once_a_minute_each(void **state)
{
    (void)state;
    address_use *one, *other, *none;
    a->max_connections = 1;
    expect_taken("192.0.2.1", &one);
    expect_taken("192.0.2.2", &other);
    assert_true(admit("192.0.2.1", &none).tell);
    assert_false(admit("192.0.2.1", &none).tell);
    assert_true(admit("192.0.2.2", &none).tell);
    now_ms += LIMIT_TELL_MS;
    assert_true(admit("192.0.2.1", &none).tell);
    addresses_leave(a, now_ms, one);
    addresses_leave(a, now_ms, other);
}

/* ---- memory ---- */

/* Somebody comes and goes: only then is anybody forgotten. */
static void pass(uint64_t ms)
{
    address_use *use;
    now_ms += ms;
    expect_taken("203.0.113.1", &use);
    addresses_leave(a, now_ms, use);
}

static bool is_known(const char *text)
{
    struct in_addr v4;
    assert_int_equal(inet_pton(AF_INET, text, &v4), 1);
    return map_get(&a->counted, (str){(const char *)&v4, sizeof v4});
}

static void addresses__are_forgotten_after_their_last_connection(void **state)
{
    (void)state;
    address_use *one, *other;
    expect_taken("192.0.2.1", &one);
    expect_taken("192.0.2.2", &other);
    addresses_leave(a, now_ms, other);
    pass(ADDRESSES_KEPT_MS - 1);
    assert_true(is_known("192.0.2.2"));
    pass(1);
    assert_false(is_known("192.0.2.2"));
    pass(10 * ADDRESSES_KEPT_MS);
    assert_true(is_known("192.0.2.1")); /* it has a connection */
    addresses_leave(a, now_ms, one);
    pass(ADDRESSES_KEPT_MS - 1);
    assert_true(is_known("192.0.2.1"));
    pass(1);
    assert_false(is_known("192.0.2.1"));
}

/* Each of those that come forgets more than it adds. */
static void addresses__of_a_flood_are_forgotten_in_time(void **state)
{
    (void)state;
    address_use *use;
    char text[64];
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(text, sizeof text, "198.51.%u.%u", i >> 8, i & 0xff);
        expect_taken(text, &use);
        addresses_leave(a, now_ms, use);
    }
    now_ms += ADDRESSES_KEPT_MS;
    for (unsigned i = 0; i < 500; i++)
        pass(0);
    assert_int_equal(a->counted.n_entries, 1);
}

/* Loops look at the clock at different moments: one that is behind makes nobody older than he is. */
static void addresses__may_be_asked_by_clocks_that_differ(void **state)
{
    (void)state;
    address_use *one, *other;
    a->max_connects_per_s = 2;
    expect_taken("192.0.2.1", &one);
    now_ms -= 10;
    expect_taken("192.0.2.1", &other);
    addresses_leave(a, now_ms + 10, one);
    addresses_leave(a, now_ms, other);
    assert_true(is_known("192.0.2.1"));
    for (int i = 0; i < 18; i++) {
        expect_taken("192.0.2.1", &one);
        addresses_leave(a, now_ms, one);
    }
    expect_refused("192.0.2.1", LIMIT_ADDRESS_CONNECTS); /* the clock that went back has emptied no bucket */
}

/* Several loops count in one table. Under ThreadSanitizer it also says that nobody looks at it without the lock. */
enum { N_THREADS = 4, N_ROUNDS = 2000 };

static void *come_and_go(void *unused)
{
    (void)unused;
    struct sockaddr_storage at = from("192.0.2.1");
    named_client who = client("192.0.2.7");
    for (int i = 0; i < N_ROUNDS; i++) {
        address_use *use = NULL, *proxy = NULL;
        struct sockaddr_storage nobody = {.ss_family = AF_UNIX};
        admission mine = addresses_admit(a, now_ms + (uint64_t)i, &at, &use);
        admission its = addresses_admit(a, now_ms, &nobody, &proxy);
        admission spoken = addresses_speak_for(a, now_ms, proxy, &who);
        addresses_leave(a, now_ms, use);
        addresses_leave(a, now_ms + (uint64_t)i, proxy);
        if (mine.error || its.error || spoken.error)
            return &now_ms;
    }
    return NULL;
}

static void addresses__are_shared_by_threads(void **state)
{
    (void)state;
    pthread_t threads[N_THREADS];
    a->max_connects_per_s = 1000000;
    a->max_connections = 2 * N_THREADS;
    trust("unix");
    for (size_t i = 0; i < N_THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, NULL), 0);
    for (size_t i = 0; i < N_THREADS; i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    assert_int_equal(a->counted.n_entries, 2);
    assert_int_equal(a->n_unused, 2);
}

/* A hundred thousand addresses come and go at once. */
static void addresses__that_flood_are_forgotten_sooner(void **state)
{
    (void)state;
    address_use *use;
    for (unsigned i = 0; i < 100000; i++) {
        char text[64];
        snprintf(text, sizeof text, "2001:db8:%x:%x::1", i >> 16, i & 0xffff);
        expect_taken(text, &use);
        addresses_leave(a, now_ms, use);
    }
    assert_int_equal(a->counted.n_entries, ADDRESSES_MAX_KEPT);
}

static void addresses__without_memory_are_refused(void **state)
{
    (void)state;
    address_use *use;
    struct sockaddr_storage at = from("192.0.2.1");
    for (uint64_t n = 1; n <= 2; n++) {
        mem_fail_from(n);
        admission result = addresses_admit(a, now_ms, &at, &use);
        mem_fail_from(0);
        assert_int_equal(result.error, -ENOMEM);
        assert_null(use);
        assert_int_equal(a->counted.n_entries, 0);
    }
}

/* ---- proxies ---- */

static void proxies__have_connections_without_number(void **state)
{
    (void)state;
    address_use *uses[5];
    a->max_connections = 1;
    trust("192.0.2.0/24");
    for (size_t i = 0; i < N_OF(uses); i++) {
        expect_taken("192.0.2.1", &uses[i]);
        assert_true(address_use_is_proxy(uses[i]));
        assert_string_equal(address_use_client(uses[i]), "");
    }
    for (size_t i = 0; i < N_OF(uses); i++)
        addresses_leave(a, now_ms, uses[i]);
    assert_int_equal(a->counted.n_entries, 0);
}

static void proxies__speak_for_clients_that_are_counted(void **state)
{
    (void)state;
    address_use *first, *second;
    named_client who = client("198.51.100.7"), other = client("198.51.100.8");
    a->max_connections = 1;
    trust("unix");
    expect_taken("unix", &first);
    expect_taken("unix", &second);
    assert_int_equal(addresses_speak_for(a, now_ms, first, &who).error, 0);
    admission refused = addresses_speak_for(a, now_ms, second, &who);
    assert_int_equal(refused.error, WEFT_E_FULL);
    assert_int_equal(refused.limit, LIMIT_ADDRESS_CONNECTIONS);
    assert_int_equal(addresses_speak_for(a, now_ms, second, &other).error, 0);
    assert_int_equal(addresses_speak_for(a, now_ms, first, &who).error, 0); /* the next one of the same */
    addresses_speak_for_nobody(a, now_ms, first);
    assert_string_equal(address_use_client(first), "");
    assert_int_equal(addresses_speak_for(a, now_ms, second, &who).error, 0);
    addresses_leave(a, now_ms, second); /* with whom it speaks for */
    assert_int_equal(addresses_speak_for(a, now_ms, first, &who).error, 0);
    addresses_leave(a, now_ms, first);
}

/* A client that its proxy's word cannot be read about shares a limit with all such. */
static void proxies__that_say_nothing_are_counted_themselves(void **state)
{
    (void)state;
    static const char *const of[] = {"127.0.0.1", "192.0.2.1", "unix"};
    a->max_connections = 1;
    for (size_t i = 0; i < N_OF(of); i++) {
        address_use *first, *second;
        trust(of[i]);
        expect_taken(of[i], &first);
        expect_taken(of[i], &second);
        assert_int_equal(addresses_speak_for(a, now_ms, first, NULL).error, 0);
        assert_int_equal(addresses_speak_for(a, now_ms, second, NULL).error, WEFT_E_FULL);
        assert_string_equal(address_use_client(first), "");
        addresses_leave(a, now_ms, first);
        assert_int_equal(addresses_speak_for(a, now_ms, second, NULL).error, 0);
        addresses_leave(a, now_ms, second);
        networks_done(&a->proxies);
    }
}

static void proxies__name_clients(void **state)
{
    (void)state;
    static const struct {
        const char *ip, *text;
        int port;
    } cases[] = {
        {"198.51.100.7", "198.51.100.7", -1},
        {"198.51.100.7", "198.51.100.7:0", 0},
        {"198.51.100.7", "198.51.100.7:65535", 65535},
        {"2001:db8::1", "[2001:db8::1]", -1},
        {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535", 65535},
    };
    address_use *use;
    trust("unix");
    expect_taken("unix", &use);
    for (size_t i = 0; i < N_OF(cases); i++) {
        named_client who = client(cases[i].ip);
        who.port = cases[i].port;
        assert_int_equal(addresses_speak_for(a, now_ms, use, &who).error, 0);
        assert_string_equal(address_use_client(use), cases[i].text);
    }
    addresses_leave(a, now_ms, use);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(addresses__hold_so_many_connections_each),
        TEST(addresses__of_ipv6_are_networks_of_64_bits),
        TEST(addresses__of_this_machine_are_not_counted),
        TEST(addresses__may_connect_in_bursts_and_then_so_fast),
        TEST(addresses__are_told_once_a_minute_each),
        TEST(addresses__are_forgotten_after_their_last_connection),
        TEST(addresses__of_a_flood_are_forgotten_in_time),
        TEST(addresses__may_be_asked_by_clocks_that_differ),
        TEST(addresses__are_shared_by_threads),
        TEST(addresses__that_flood_are_forgotten_sooner),
        TEST(addresses__without_memory_are_refused),
        TEST(proxies__have_connections_without_number),
        TEST(proxies__speak_for_clients_that_are_counted),
        TEST(proxies__that_say_nothing_are_counted_themselves),
        TEST(proxies__name_clients),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
