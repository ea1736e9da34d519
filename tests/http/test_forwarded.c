#include "http/forwarded.h"
#include "support/check.h"
#include <stdio.h>
#include <string.h>

/* Who is believed to ask, when these fields come from a proxy and 10.0.0.0/8 and 2001:db8::/32 are proxies: "198.51.100.7:80 https", "- contradicts". */
static const char *read_fields(const char *fields)
{
    static char result[200];
    char text[8192], host[IP_TEXT_BYTES], port[16] = "";
    const char *wrong;
    networks proxies;
    http1_head head = {0};
    size_t head_len;
    int len = snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: a\r\n%s\r\n", fields);
    assert_true(len > 0 && (size_t)len < sizeof text);
    assert_int_equal(http1_head_feed(&head, text, (size_t)len, &head_len), HTTP1_DONE);
    assert_int_equal(networks_read(&proxies, (const char *const[]){"10.0.0.0/8", "2001:db8::/32", NULL}, &wrong), 0);
    forwarded f = forwarded_read(&head, text, &proxies);
    networks_done(&proxies);
    snprintf(host, sizeof host, "-");
    if (f.known)
        ip_put(&f.client.ip, host);
    if (f.known && f.client.port >= 0)
        snprintf(port, sizeof port, ":%d", f.client.port);
    snprintf(result, sizeof result, "%s%s%s%s", host, port, f.secure ? " https" : "",
             f.contradicts ? " contradicts" : "");
    return result;
}

typedef struct {
    const char *fields, *wanted;
} fields_case;

static void check(const fields_case *cases, size_t n)
{
    for (size_t i = 0; i < n; i++)
        assert_string_equal(read_fields(cases[i].fields), cases[i].wanted);
}

static void forwarded__names_the_client_behind_the_proxies(void **state)
{
    (void)state;
    static const fields_case cases[] = {
        {"", "-"},
        {"X-Forwarded-For: 198.51.100.7\r\n", "198.51.100.7"},
        {"x-forwarded-for:198.51.100.7 , 10.1.2.3\r\n", "198.51.100.7"},
        {"X-Forwarded-For: 198.51.100.7\r\nX-Forwarded-For: 10.1.2.3,2001:db8::5\r\n", "198.51.100.7"},
        {"X-Forwarded-For: 198.51.100.7:4711\r\n", "198.51.100.7:4711"},
        {"X-Forwarded-For: 2001:4860::1\r\n", "2001:4860::1"},
        {"X-Forwarded-For: [2001:4860::1]:80\r\n", "2001:4860::1:80"},
        {"X-Forwarded-For: ::ffff:198.51.100.7\r\n", "198.51.100.7"},
        {"X-Forwarded-For: 10.9.9.9, 10.1.2.3\r\n", "10.9.9.9"},
        {"Forwarded: for=198.51.100.7\r\n", "198.51.100.7"},
        {"Forwarded: for=198.51.100.7;proto=https, for=10.1.1.1;proto=http\r\n", "198.51.100.7 https"},
        {"Forwarded: for=\"[2001:4860::1]:80\"\r\nForwarded: for=\"[2001:db8::1]\"\r\n", "2001:4860::1:80"},
    };
    check(cases, N_OF(cases));
}

/* What stands in front of the first address that is no proxy's is its own invention. */
static void forwarded__is_not_spoofed_by_the_client(void **state)
{
    (void)state;
    static const fields_case cases[] = {
        {"X-Forwarded-For: 127.0.0.1, 198.51.100.7\r\n", "198.51.100.7"},
        {"X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-For: 198.51.100.7\r\n", "198.51.100.7"},
        {"X-Forwarded-For: 10.0.0.1, 198.51.100.7\r\n", "198.51.100.7"},
        {"X-Forwarded-For: 6.6.6.6, 198.51.100.7, 10.1.2.3\r\n", "198.51.100.7"},
        {"X-Forwarded-For: \"6.6.6.6, 198.51.100.7\r\n", "198.51.100.7"},
        {"X-Forwarded-For: \"\\, 198.51.100.7, 10.0.0.2\r\n", "198.51.100.7"},
        {"X-Forwarded-For: 6.6.6.6,,, ,198.51.100.7\r\n", "198.51.100.7"},
        {"Forwarded: for=127.0.0.1;proto=https, for=198.51.100.7\r\n", "198.51.100.7"},
        {"Forwarded: for=127.0.0.1;proto=https, for=198.51.100.7;proto=http\r\n", "198.51.100.7"},
        {"Forwarded: for=127.0.0.1;x=\", for=198.51.100.7\r\n", "-"},
        {"Forwarded: for=\"127.0.0.1\r\nForwarded: for=198.51.100.7\r\n", "-"},
        {"X-Forwarded-Proto: https, http\r\nX-Forwarded-For: 198.51.100.7\r\n", "198.51.100.7"},
        {"X-Forwarded-Proto: https\r\nX-Forwarded-Proto: http\r\n", "-"},
    };
    check(cases, N_OF(cases));
}

/* Nothing is guessed behind what cannot be read. */
static void forwarded__ends_at_what_it_cannot_read(void **state)
{
    (void)state;
    static const fields_case cases[] = {
        {"X-Forwarded-For: unknown\r\n", "-"},
        {"X-Forwarded-For: 198.51.100.7, unknown\r\n", "-"},
        {"X-Forwarded-For: 198.51.100.7, unknown, 10.0.0.1\r\n", "10.0.0.1"},
        {"X-Forwarded-For: 198.51.100.7:99999\r\n", "-"},
        {"X-Forwarded-For: 198.51.100.7:\r\n", "-"},
        {"X-Forwarded-For: 198.51.100.7:8a\r\n", "-"},
        {"X-Forwarded-For: [::1\r\n", "-"},
        {"X-Forwarded-For: [::1]x\r\n", "-"},
        {"X-Forwarded-For: [198.51.100.7]:80:80\r\n", "-"},
        {"X-Forwarded-For: 198.51.100.7 x\r\n", "-"},
        {"X-Forwarded-For: ::1%eth0\r\n", "-"},
        {"X-Forwarded-For:\r\n", "-"},
        {"Forwarded: for=_hidden\r\n", "-"},
        {"Forwarded: for=198.51.100.7, proto=https\r\n", "- https"},
        {"Forwarded: for=198.51.100.7, for=\"_x\", for=10.0.0.1\r\n", "10.0.0.1"},
        {"Forwarded: 198.51.100.7\r\n", "-"},
    };
    check(cases, N_OF(cases));
}

static void forwarded__believes_two_fields_when_they_agree(void **state)
{
    (void)state;
    static const fields_case cases[] = {
        {"Forwarded: for=198.51.100.7\r\nX-Forwarded-For: 198.51.100.7:80\r\n", "198.51.100.7"},
        {"Forwarded: for=6.6.6.6\r\nX-Forwarded-For: 198.51.100.7\r\n", "- contradicts"},
        {"Forwarded: for=198.51.100.7\r\nX-Forwarded-For: 6.6.6.6\r\n", "- contradicts"},
        {"Forwarded: for=\"broken\r\nX-Forwarded-For: 198.51.100.7\r\n", "- contradicts"},
        {"Forwarded: for=unknown\r\nX-Forwarded-For: unknown\r\n", "-"},
        {"Forwarded: for=198.51.100.7;proto=https\r\nX-Forwarded-Proto: https\r\n", "198.51.100.7 https"},
        {"Forwarded: for=198.51.100.7;proto=https\r\nX-Forwarded-Proto: http\r\n", "198.51.100.7"},
        {"Forwarded: for=198.51.100.7;proto=http\r\nX-Forwarded-Proto: https\r\n", "198.51.100.7"},
        {"Forwarded: for=198.51.100.7\r\nX-Forwarded-Proto: HTTPS\r\n", "198.51.100.7 https"},
    };
    check(cases, N_OF(cases));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forwarded__names_the_client_behind_the_proxies),
        cmocka_unit_test(forwarded__is_not_spoofed_by_the_client),
        cmocka_unit_test(forwarded__ends_at_what_it_cannot_read),
        cmocka_unit_test(forwarded__believes_two_fields_when_they_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
