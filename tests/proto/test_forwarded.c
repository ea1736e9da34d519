#include "proto/forwarded.h"
#include "support/check.h"
#include "support/guard.h"
#include <stdio.h>
#include <string.h>

/* "for|proto " for each element; "!" where it breaks. */
static const char *read_all(str field)
{
    static char text[4096];
    forwarded_element one = {{NULL, 0}, {NULL, 0}};
    size_t len = 0;
    int more;
    text[0] = '\0';
    while ((more = forwarded_next(&field, &one)) > 0)
        len += (size_t)snprintf(text + len, sizeof text - len, "%.*s|%.*s ", (int)one.client.len, one.client.at,
                                (int)one.proto.len, one.proto.at);
    assert_true(more == 0 || more == WEFT_E_INVALID);
    snprintf(text + len, sizeof text - len, "%s", more ? "!" : "");
    return text;
}

typedef struct {
    const char *field, *wanted;
} vector;

/* Read out of memory that ends where they do. */
static void check(const vector *vectors, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        size_t len = strlen(vectors[i].field);
        guard copy = guard_copy(vectors[i].field, len);
        assert_string_equal(read_all((str){copy.at, len}), vectors[i].wanted);
        guard_free(copy);
    }
}

static void forwarded__reads_elements(void **state)
{
    (void)state;
    static const vector vectors[] = {
        {"", ""},
        {"for=192.0.2.60", "192.0.2.60| "},
        {"for=192.0.2.60;proto=http;by=203.0.113.43", "192.0.2.60|http "},
        {"For=\"[2001:db8:cafe::17]:4711\"", "[2001:db8:cafe::17]:4711| "},
        {"for=192.0.2.43, for=198.51.100.17", "192.0.2.43| 198.51.100.17| "},
        {"for=192.0.2.43,for=\"[::1]\";Proto=HTTPS", "192.0.2.43| [::1]|HTTPS "},
        {"for=192.0.2.60; proto=http ;\tby=x", "192.0.2.60|http "},
        {"for=unknown", "unknown| "},
        {"for=_hidden, for=_SEVKISEK", "_hidden| _SEVKISEK| "},
        {"proto=https", "|https "},
        {" , ,for=a,, ,for=b , ", "a| b| "},
        {"for=\"a\\\"b\"", "a\\\"b| "},
        {"for=\"\"", "| "},
        {"host=\"a,b;c\";for=d", "d| "},
    };
    check(vectors, N_OF(vectors));
}

static void forwarded__refuses_what_breaks_the_grammar(void **state)
{
    (void)state;
    static const vector vectors[] = {
        {"for", "!"},
        {"for=", "!"},
        {"=a", "!"},
        {"for =a", "!"},
        {"for= a", "!"},
        {"for=[::1]", "!"},
        {"for=1.2.3.4:80", "!"},
        {"for=\"a", "!"},
        {"for=\"a\\", "!"},
        {"for=\"a\\\"", "!"},
        {"for=\"a\"b", "!"},
        {"for=a b", "!"},
        {"for=a;", "!"},
        {";for=a", "!"},
        {"for=a;;proto=b", "!"},
        {"for=a;for=b", "!"},
        {"proto=http;for=a;proto=https", "!"},
        {"for=a, for", "a| !"},
    };
    check(vectors, N_OF(vectors));
}

/* Where a client opens a string its proxy's element falls into it, and then nothing is believed. */
static void forwarded__breaks_when_a_string_swallows_the_next_element(void **state)
{
    (void)state;
    static const vector vectors[] = {
        {"for=6.6.6.6;x=\", for=192.0.2.1", "!"},
        {"for=6.6.6.6;x=\", for=\"[2001:db8::1]\"", "!"},
        {"for=\"6.6.6.6, for=\"[2001:db8::1]:80\";proto=https", "!"},
    };
    check(vectors, N_OF(vectors));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forwarded__reads_elements),
        cmocka_unit_test(forwarded__refuses_what_breaks_the_grammar),
        cmocka_unit_test(forwarded__breaks_when_a_string_swallows_the_next_element),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
