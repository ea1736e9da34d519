#include "bench/target.h"
#include "support/check.h"
#include <arpa/inet.h>
#include <stdio.h>
#include <unistd.h>

static bench_target target;

static const char *problem_of(const char *url)
{
    const char *problem = "";
    bench_target untouched;
    memset(&target, 7, sizeof target);
    untouched = target;
    int error = bench_target_read(url, &target, &problem);
    assert_int_equal(error != 0, *problem != '\0');
    if (error) {
        assert_int_equal(error, WEFT_E_INVALID);
        assert_memory_equal(&target, &untouched, sizeof target);
    }
    return problem;
}

/* "tcp|http [ws] [tls] HOST NAME PATH ADDRESS PORT" */
static const char *told(const char *url)
{
    static char text[2048];
    char address[INET6_ADDRSTRLEN];
    assert_string_equal(problem_of(url), "");
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)&target.address;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&target.address;
    bool is_v6 = target.address.ss_family == AF_INET6;
    assert_int_equal(target.address_len, is_v6 ? sizeof *v6 : sizeof *v4);
    inet_ntop(target.address.ss_family, is_v6 ? (const void *)&v6->sin6_addr : &v4->sin_addr, address, sizeof address);
    snprintf(text, sizeof text, "%s%s%s %s %s %s %s %d", target.wire == BENCH_TCP ? "tcp" : "http",
             target.websocket ? " ws" : "", target.tls ? " tls" : "", target.host, target.name, target.path, address,
             ntohs(is_v6 ? v6->sin6_port : v4->sin_port));
    return text;
}

static void target__reads_each_scheme(void **state)
{
    (void)state;
    assert_string_equal(told("ws://127.0.0.1:3000/a"), "http ws 127.0.0.1:3000 127.0.0.1 /a 127.0.0.1 3000");
    assert_string_equal(told("wss://127.0.0.1:3000/a"), "http ws tls 127.0.0.1:3000 127.0.0.1 /a 127.0.0.1 3000");
    assert_string_equal(told("http://127.0.0.1:3000/a"), "http 127.0.0.1:3000 127.0.0.1 /a 127.0.0.1 3000");
    assert_string_equal(told("https://127.0.0.1:3000/a"), "http tls 127.0.0.1:3000 127.0.0.1 /a 127.0.0.1 3000");
    assert_string_equal(told("tcp://127.0.0.1:7"), "tcp 127.0.0.1:7 127.0.0.1 / 127.0.0.1 7");
    assert_string_equal(told("tls://127.0.0.1:7/"), "tcp tls 127.0.0.1:7 127.0.0.1 / 127.0.0.1 7");
    assert_string_equal(told("WS://127.0.0.1:3000/a"), "http ws 127.0.0.1:3000 127.0.0.1 /a 127.0.0.1 3000");
}

static void target__fills_in_the_port_of_the_scheme(void **state)
{
    (void)state;
    assert_string_equal(told("ws://127.0.0.1"), "http ws 127.0.0.1 127.0.0.1 / 127.0.0.1 80");
    assert_string_equal(told("wss://127.0.0.1"), "http ws tls 127.0.0.1 127.0.0.1 / 127.0.0.1 443");
    assert_string_equal(told("http://127.0.0.1:80"), "http 127.0.0.1 127.0.0.1 / 127.0.0.1 80");
    assert_string_equal(told("https://127.0.0.1:80"), "http tls 127.0.0.1:80 127.0.0.1 / 127.0.0.1 80");
    assert_string_equal(told("http://127.0.0.1:/"), "http 127.0.0.1 127.0.0.1 / 127.0.0.1 80");
}

static void target__reads_addresses_of_version_6(void **state)
{
    (void)state;
    assert_string_equal(told("ws://[::1]:3000/"), "http ws [::1]:3000 ::1 / ::1 3000");
    assert_string_equal(told("ws://[::1]/"), "http ws [::1] ::1 / ::1 80");
}

static void target__keeps_path_and_query(void **state)
{
    (void)state;
    assert_string_equal(told("http://127.0.0.1/a/b?c=d&e"), "http 127.0.0.1 127.0.0.1 /a/b?c=d&e 127.0.0.1 80");
    assert_string_equal(told("http://127.0.0.1?c=d"), "http 127.0.0.1 127.0.0.1 /?c=d 127.0.0.1 80");
}

static void target__says_what_is_wrong(void **state)
{
    static const struct {
        const char *url, *problem;
    } cases[] = {
        {"", "does not begin with ws://, wss://, http://, https://, tcp:// or tls://"},
        {"127.0.0.1:3000", "does not begin with ws://, wss://, http://, https://, tcp:// or tls://"},
        {"ftp://127.0.0.1/", "does not begin with ws://, wss://, http://, https://, tcp:// or tls://"},
        {"ws:/127.0.0.1/", "does not begin with ws://, wss://, http://, https://, tcp:// or tls://"},
        {"ws:///a", "has no host"},
        {"ws://:80/a", "has no host"},
        {"tcp://127.0.0.1", "has no port"},
        {"tcp://127.0.0.1:", "has no port"},
        {"tcp://127.0.0.1:7/a", "has a path, which TCP has no use for"},
        {"ws://me@127.0.0.1/", "has a user name, which is not sent"},
        {"ws://127.0.0.1:0/", "has a host or a port that is none"},
        {"ws://127.0.0.1:65536/", "has a host or a port that is none"},
        {"ws://127.0.0.1:x/", "has a host or a port that is none"},
        {"ws://::1/", "has a host or a port that is none"},
        {"ws://[::1/", "has a host or a port that is none"},
        {"ws://a b/", "has a host or a port that is none"},
        {"ws://127.0.0.1/a#b", "has a fragment, which is not sent"},
        {"ws://127.0.0.1/a b", "has characters that must be escaped"},
        {"ws://127.0.0.1/\xc3\xa9", "has characters that must be escaped"},
        {"ws://nobody.invalid/", "has a host that is not known here"},
    };
    (void)state;
    for (size_t i = 0; i < N_OF(cases); i++)
        assert_string_equal(problem_of(cases[i].url), cases[i].problem);
}

static void target__takes_as_much_as_it_has_room_for(void **state)
{
    char url[2048] = "http://127.0.0.1/";
    size_t begin = strlen(url);
    (void)state;
    memset(url + begin, 'p', sizeof target.path - 2);
    assert_string_equal(problem_of(url), "");
    assert_int_equal(strlen(target.path), sizeof target.path - 1);
    url[begin + sizeof target.path - 2] = 'p';
    assert_string_equal(problem_of(url), "has a path that is too long");
    memset(url + 7, 'a', 300);
    strcpy(url + 7 + sizeof target.host, "/");
    assert_string_equal(problem_of(url), "has a host that is too long");
}

/* "localhost" may be ::1 first: where somebody listens at 127.0.0.1 alone, that is taken. */
static void target__of_several_addresses_takes_one_that_answers(void **state)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    char url[64];
    (void)state;
    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(fd, 1), 0);
    getsockname(fd, (struct sockaddr *)&address, &size);
    snprintf(url, sizeof url, "http://localhost:%d/", ntohs(address.sin_port));
    assert_string_equal(problem_of(url), "");
    assert_int_equal(target.address.ss_family, AF_INET);
    assert_string_equal(target.name, "localhost");
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(target__reads_each_scheme),
        cmocka_unit_test(target__fills_in_the_port_of_the_scheme),
        cmocka_unit_test(target__reads_addresses_of_version_6),
        cmocka_unit_test(target__keeps_path_and_query),
        cmocka_unit_test(target__says_what_is_wrong),
        cmocka_unit_test(target__takes_as_much_as_it_has_room_for),
        cmocka_unit_test(target__of_several_addresses_takes_one_that_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
