#include "base/mem.h"
#include "net/networks.h"
#include "support/check.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>

static ip_address ip(const char *text)
{
    ip_address a;
    assert_true(ip_read(str_from(text), &a));
    return a;
}

static void ip__reads_and_writes_addresses(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"10.0.0.1", "10.0.0.1"},
        {"::1", "::1"},
        {"2001:DB8::0:1", "2001:db8::1"},
        {"::ffff:10.0.0.1", "10.0.0.1"},
        {"0.0.0.0", "0.0.0.0"},
        {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
    };
    for (size_t i = 0; i < N_OF(pairs); i++) {
        char text[IP_TEXT_BYTES];
        ip_address a = ip(pairs[i][0]);
        assert_int_equal(ip_put(&a, text), strlen(pairs[i][1]));
        assert_string_equal(text, pairs[i][1]);
    }
}

static void ip__refuses_what_is_no_address(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "",
        "10.0.0",
        "10.0.0.256",
        "10.0.0.1:80",
        "[::1]",
        "010.0.0.1",
        "1.2.3.4 ",
        " 1.2.3.4",
        "localhost",
        "::1%lo",
        "1::2::3",
        "0x7f.1",
        "unix",
        "1.2.3.4.5",
        "11111111111111111111111111111111111111111111111111111111111111111",
    };
    for (size_t i = 0; i < N_OF(wrong); i++) {
        ip_address a;
        assert_false(ip_read(str_from(wrong[i]), &a));
    }
    ip_address a;
    assert_false(ip_read((str){"1.2.3.4\0", 8}, &a));
}

static void ip__knows_loopback_in_every_form(void **state)
{
    (void)state;
    static const char *const loopback[] = {"127.0.0.1", "127.255.255.255", "::1", "::ffff:127.0.0.1"};
    static const char *const others[] = {"128.0.0.1", "126.0.0.1", "::2", "::", "0.0.0.0", "::127.0.0.1"};
    for (size_t i = 0; i < N_OF(loopback); i++)
        assert_true(ip_is_loopback(&(ip_address[]){ip(loopback[i])}[0]));
    for (size_t i = 0; i < N_OF(others); i++)
        assert_false(ip_is_loopback(&(ip_address[]){ip(others[i])}[0]));
}

static void ip__is_taken_from_sockets(void **state)
{
    (void)state;
    struct sockaddr_storage from = {0};
    ip_address a, wanted;
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x0a010203)};
    memcpy(&from, &v4, sizeof v4);
    assert_true(ip_of_socket(&from, &a));
    wanted = ip("10.1.2.3");
    assert_true(ip_equal(&a, &wanted));
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
    memcpy(&from, &v6, sizeof v6);
    assert_true(ip_of_socket(&from, &a));
    wanted = ip("::1");
    assert_true(ip_equal(&a, &wanted));
    from.ss_family = AF_UNIX;
    assert_false(ip_of_socket(&from, &a));
}

static void networks__have_what_lies_in_them(void **state)
{
    (void)state;
    static const struct {
        const char *network, *inside[3], *outside[3];
    } cases[] = {
        {"10.0.0.0/8", {"10.0.0.0", "10.255.255.255", "::ffff:10.9.9.9"}, {"11.0.0.0", "9.255.255.255", "::a00:1"}},
        {"192.168.64.0/18", {"192.168.64.0", "192.168.127.255", NULL}, {"192.168.128.0", "192.168.63.255", NULL}},
        {"203.0.113.7", {"203.0.113.7", NULL, NULL}, {"203.0.113.6", "203.0.113.8", NULL}},
        {"203.0.113.7/32", {"203.0.113.7", NULL, NULL}, {"203.0.113.6", NULL, NULL}},
        {"0.0.0.0/0", {"1.2.3.4", "255.255.255.255", NULL}, {"::1", "2001:db8::1", NULL}},
        {"2001:db8::/33", {"2001:db8::1", "2001:db8:7fff::", NULL}, {"2001:db8:8000::", "2001:db9::", "10.0.0.1"}},
        {"::1", {"::1", NULL, NULL}, {"::2", "127.0.0.1", NULL}},
        {"::/0", {"::1", "10.0.0.1", "ffff::"}, {NULL, NULL, NULL}},
    };
    for (size_t i = 0; i < N_OF(cases); i++) {
        networks list;
        const char *wrong;
        assert_int_equal(networks_read(&list, (const char *const[]){cases[i].network, NULL}, &wrong), 0);
        for (size_t k = 0; k < 3 && cases[i].inside[k]; k++)
            assert_true(networks_have(&list, &(ip_address[]){ip(cases[i].inside[k])}[0]));
        for (size_t k = 0; k < 3 && cases[i].outside[k]; k++)
            assert_false(networks_have(&list, &(ip_address[]){ip(cases[i].outside[k])}[0]));
        assert_false(list.has_unix);
        networks_done(&list);
    }
}

static void networks__are_a_list(void **state)
{
    (void)state;
    networks list;
    const char *wrong;
    ip_address a = ip("10.1.1.1"), b = ip("::1"), c = ip("10.2.0.1");
    assert_int_equal(networks_read(&list, (const char *const[]){"10.1.0.0/16", "unix", "::1", NULL}, &wrong), 0);
    assert_true(networks_have(&list, &a) && networks_have(&list, &b) && list.has_unix);
    assert_false(networks_have(&list, &c));
    networks_done(&list);
    assert_int_equal(networks_read(&list, NULL, &wrong), 0);
    assert_false(networks_have(&list, &a) || list.has_unix);
    networks_done(&list);
}

static void networks__name_what_they_cannot_read(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "10.0.0.0/33",       "10.0.0.0/", "10.0.0.0/-1",  "10.0.0.0/08x", "10.0.0.1/8", "2001:db8::1/32", "::1/129",
        "example.com",       "",          "10.0.0.0/8/8", "Unix",         "[::1]",      "10.0.0.0 /8",    "*",
        "::ffff:10.0.0.0/8",
    };
    for (size_t i = 0; i < N_OF(texts); i++) {
        networks list = {.n = 77};
        const char *wrong = NULL;
        assert_int_equal(networks_read(&list, (const char *const[]){"127.0.0.1", texts[i], NULL}, &wrong),
                         WEFT_E_INVALID);
        assert_ptr_equal(wrong, texts[i]);
        assert_int_equal(list.n, 77);
    }
}

static void networks__without_memory_are_not_read(void **state)
{
    (void)state;
    networks list = {.n = 77};
    const char *wrong;
    mem_fail_from(1);
    assert_int_equal(networks_read(&list, (const char *const[]){"::1", NULL}, &wrong), -ENOMEM);
    mem_fail_from(0);
    assert_int_equal(list.n, 77);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ip__reads_and_writes_addresses),       cmocka_unit_test(ip__refuses_what_is_no_address),
        cmocka_unit_test(ip__knows_loopback_in_every_form),     cmocka_unit_test(ip__is_taken_from_sockets),
        cmocka_unit_test(networks__have_what_lies_in_them),     cmocka_unit_test(networks__are_a_list),
        cmocka_unit_test(networks__name_what_they_cannot_read), cmocka_unit_test(networks__without_memory_are_not_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
