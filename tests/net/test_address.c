#include "net/address.h"
#include "support/check.h"
#include <string.h>
#include <sys/un.h>

#define FIFTY         "12345678901234567890123456789012345678901234567890"
#define TOO_LONG_HOST FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY

static void address__reads_good_urls(void **state)
{
    (void)state;
    static const struct {
        const char *url, *printed;
        uint16_t port;
        int family;
    } cases[] = {
        {"http://127.0.0.1:3000", "http://127.0.0.1:3000", 3000, AF_INET},
        {"http://127.0.0.1:3000/", "http://127.0.0.1:3000", 3000, AF_INET},
        {"HTTP://127.0.0.1", "http://127.0.0.1:80", 80, AF_INET},
        {"http://127.0.0.1:0", "http://127.0.0.1:0", 0, AF_INET},
        {"http://0.0.0.0:65535", "http://0.0.0.0:65535", 65535, AF_INET},
        {"http://127.0.0.1:00080", "http://127.0.0.1:80", 80, AF_INET},
        {"http://[::1]:8080", "http://[::1]:8080", 8080, AF_INET6},
        {"http://[::]", "http://[::]:80", 80, AF_INET6},
        {"http://[::1]/", "http://[::1]:80", 80, AF_INET6},
        {"https://127.0.0.1", "https://127.0.0.1:443", 443, AF_INET},
        {"HTTPS://[::1]:8443/", "https://[::1]:8443", 8443, AF_INET6},
        {"unix:/run/weft.sock", "unix:/run/weft.sock", 0, AF_UNIX},
        {"unix:relative", "unix:relative", 0, AF_UNIX},
    };
    for (size_t i = 0; i < N_OF(cases); i++) {
        address found[ADDRESS_MAX];
        const char *problem = NULL;
        char printed[ADDRESS_URL_BYTES];
        assert_int_equal(address_parse(cases[i].url, found, &problem), 1);
        assert_null(problem);
        assert_int_equal(found[0].at.ss_family, cases[i].family);
        assert_int_equal(address_port(&found[0]), cases[i].port);
        address_url(&found[0], printed);
        assert_string_equal(printed, cases[i].printed);
        assert_int_equal(found[0].tls, strncmp(printed, "https", 5) == 0);
    }
}

static void address__refuses_bad_urls(void **state)
{
    (void)state;
    static const struct {
        const char *url, *problem;
    } cases[] = {
        {NULL, "does not begin with http://, https:// or unix:"},
        {"", "does not begin with http://, https:// or unix:"},
        {"127.0.0.1:3000", "does not begin with http://, https:// or unix:"},
        {"http:/127.0.0.1", "does not begin with http://, https:// or unix:"},
        {"https:/127.0.0.1", "does not begin with http://, https:// or unix:"},
        {"https://", "has no host"},
        {"ftp://127.0.0.1", "does not begin with http://, https:// or unix:"},
        {"http://", "has no host"},
        {"http:///", "has no host"},
        {"http://:80", "has no host"},
        {"http://[]:80", "has no host"},
        {"http://" TOO_LONG_HOST, "has no host"},
        {"http://127.0.0.1/path", "has a path; only a host and a port belong there"},
        {"http://127.0.0.1//", "has a path; only a host and a port belong there"},
        {"http://[::1", "has a malformed IPv6 address"},
        {"http://[::1]80", "has a malformed IPv6 address"},
        {"http://127.0.0.1:", "has a port that is not a number from 0 to 65535"},
        {"http://127.0.0.1:65536", "has a port that is not a number from 0 to 65535"},
        {"http://127.0.0.1:99999999999999999999", "has a port that is not a number from 0 to 65535"},
        {"http://127.0.0.1:00000080", "has a port that is not a number from 0 to 65535"},
        {"http://127.0.0.1:-1", "has a port that is not a number from 0 to 65535"},
        {"http://127.0.0.1:+80", "has a port that is not a number from 0 to 65535"},
        {"http://127.0.0.1:8o", "has a port that is not a number from 0 to 65535"},
        {"http://127.0.0.1:80:80", "has a port that is not a number from 0 to 65535"},
        {"http://::1", "has a port that is not a number from 0 to 65535"},
        {"http://127.0.0.1?query", "names a host that has no address"},
        {"http://user@127.0.0.1", "names a host that has no address"},
        {"http://[:::]", "names a host that has no address"},
        {"http://256.0.0.1", "names a host that has no address"},
        {"unix:", "has no path"},
        {"unix:/" FIFTY FIFTY "1234567", "has a path of over 107 bytes"},
    };
    for (size_t i = 0; i < N_OF(cases); i++) {
        address found[ADDRESS_MAX];
        const char *problem = NULL;
        assert_int_equal(address_parse(cases[i].url, found, &problem), WEFT_E_INVALID);
        assert_non_null(problem);
        assert_string_equal(problem, cases[i].problem);
    }
}

static void address__takes_the_longest_unix_path(void **state)
{
    (void)state;
    static const char url[] = "unix:/" FIFTY FIFTY "123456";
    address found[ADDRESS_MAX];
    const char *problem;
    char printed[ADDRESS_URL_BYTES];
    assert_int_equal(strlen(url) - strlen("unix:"), 107);
    assert_int_equal(address_parse(url, found, &problem), 1);
    address_url(&found[0], printed);
    assert_string_equal(printed, url);
}

static void address__a_name_may_have_several(void **state)
{
    (void)state;
    address found[ADDRESS_MAX];
    const char *problem;
    int n = address_parse("http://localhost:81", found, &problem);
    assert_in_range(n, 1, ADDRESS_MAX);
    for (int i = 0; i < n; i++) {
        char printed[ADDRESS_URL_BYTES];
        address_url(&found[i], printed);
        assert_true(!strcmp(printed, "http://127.0.0.1:81") || !strcmp(printed, "http://[::1]:81"));
    }
}

static void address__sets_ports(void **state)
{
    (void)state;
    static const struct {
        const char *url;
        uint16_t port;
    } cases[] = {{"http://127.0.0.1", 4321}, {"http://[::1]", 4321}, {"unix:/x", 0}};
    for (size_t i = 0; i < N_OF(cases); i++) {
        address found[ADDRESS_MAX];
        const char *problem;
        assert_int_equal(address_parse(cases[i].url, found, &problem), 1);
        address_set_port(&found[0], 4321);
        assert_int_equal(address_port(&found[0]), cases[i].port);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(address__reads_good_urls),
        cmocka_unit_test(address__refuses_bad_urls),
        cmocka_unit_test(address__takes_the_longest_unix_path),
        cmocka_unit_test(address__a_name_may_have_several),
        cmocka_unit_test(address__sets_ports),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
