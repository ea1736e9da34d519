#include "base/mem.h"
#include "net/addresses.h"
#include "support/check.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

static loop the_loop;
static addresses the_addresses;
static addresses *const a = &the_addresses;

static int start(void **state)
{
    (void)state;
    return loop_init(&the_loop, NULL) || addresses_init(a, &the_loop);
}

static int stop(void **state)
{
    (void)state;
    addresses_done(a);
    loop_done(&the_loop);
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
    return addresses_admit(a, &at, ret_use);
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
    addresses_leave(a, uses[1]);
    expect_taken("192.0.2.1", &uses[1]);
    expect_refused("192.0.2.1", LIMIT_ADDRESS_CONNECTIONS);
    for (size_t i = 0; i < 3; i++)
        addresses_leave(a, uses[i]);
    addresses_leave(a, other);
}

static void addresses__of_ipv6_are_networks_of_64_bits(void **state)
{
    (void)state;
    address_use *one, *other;
    a->max_connections = 1;
    expect_taken("2001:db8:1:2::1", &one);
    expect_refused("2001:db8:1:2:ffff:ffff:ffff:ffff", LIMIT_ADDRESS_CONNECTIONS);
    expect_taken("2001:db8:1:3::1", &other);
    addresses_leave(a, one);
    addresses_leave(a, other);
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
    addresses_leave(a, NULL);
}

/* ---- how fast ---- */

static void addresses__may_connect_in_bursts_and_then_so_fast(void **state)
{
    (void)state;
    address_use *use, *other;
    a->max_connects_per_s = 2;
    for (int i = 0; i < 20; i++) {
        expect_taken("192.0.2.1", &use);
        addresses_leave(a, use);
    }
    expect_refused("192.0.2.1", LIMIT_ADDRESS_CONNECTS);
    expect_taken("192.0.2.2", &other);
    addresses_leave(a, other);
    the_loop.now_ms += 499;
    expect_refused("192.0.2.1", LIMIT_ADDRESS_CONNECTS);
    the_loop.now_ms += 1;
    expect_taken("192.0.2.1", &use);
    addresses_leave(a, use);
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
    the_loop.now_ms += LIMIT_TELL_MS;
    assert_true(admit("192.0.2.1", &none).tell);
    addresses_leave(a, one);
    addresses_leave(a, other);
}

/* ---- memory ---- */

static void addresses__are_forgotten_after_their_last_connection(void **state)
{
    (void)state;
    address_use *one, *other;
    expect_taken("192.0.2.1", &one);
    expect_taken("192.0.2.2", &other);
    addresses_leave(a, other);
    assert_int_equal(a->counted.n_entries, 2);
    the_loop.now_ms += ADDRESSES_KEPT_MS / 2;
    addresses_leave(a, one);
    the_loop.now_ms += ADDRESSES_KEPT_MS / 2 + 1;
    wheel_advance(&the_loop.wheel, the_loop.now_ms);
    assert_int_equal(a->counted.n_entries, 1);
    expect_taken("192.0.2.1", &one);
    the_loop.now_ms += 10 * ADDRESSES_KEPT_MS;
    wheel_advance(&the_loop.wheel, the_loop.now_ms);
    assert_int_equal(a->counted.n_entries, 1); /* it has a connection */
    addresses_leave(a, one);
    the_loop.now_ms += ADDRESSES_KEPT_MS + 1;
    wheel_advance(&the_loop.wheel, the_loop.now_ms);
    assert_int_equal(a->counted.n_entries, 0);
    assert_false(timer_armed(&a->forget));
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
        addresses_leave(a, use);
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
        admission result = addresses_admit(a, &at, &use);
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
        addresses_leave(a, uses[i]);
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
    assert_int_equal(addresses_speak_for(a, first, &who).error, 0);
    admission refused = addresses_speak_for(a, second, &who);
    assert_int_equal(refused.error, WEFT_E_FULL);
    assert_int_equal(refused.limit, LIMIT_ADDRESS_CONNECTIONS);
    assert_int_equal(addresses_speak_for(a, second, &other).error, 0);
    assert_int_equal(addresses_speak_for(a, first, &who).error, 0); /* the next one of the same */
    addresses_speak_for_nobody(a, first);
    assert_string_equal(address_use_client(first), "");
    assert_int_equal(addresses_speak_for(a, second, &who).error, 0);
    addresses_leave(a, second); /* with whom it speaks for */
    assert_int_equal(addresses_speak_for(a, first, &who).error, 0);
    addresses_leave(a, first);
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
        assert_int_equal(addresses_speak_for(a, first, NULL).error, 0);
        assert_int_equal(addresses_speak_for(a, second, NULL).error, WEFT_E_FULL);
        assert_string_equal(address_use_client(first), "");
        addresses_leave(a, first);
        assert_int_equal(addresses_speak_for(a, second, NULL).error, 0);
        addresses_leave(a, second);
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
        assert_int_equal(addresses_speak_for(a, use, &who).error, 0);
        assert_string_equal(address_use_client(use), cases[i].text);
    }
    addresses_leave(a, use);
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
        TEST(addresses__that_flood_are_forgotten_sooner),
        TEST(addresses__without_memory_are_refused),
        TEST(proxies__have_connections_without_number),
        TEST(proxies__speak_for_clients_that_are_counted),
        TEST(proxies__that_say_nothing_are_counted_themselves),
        TEST(proxies__name_clients),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
