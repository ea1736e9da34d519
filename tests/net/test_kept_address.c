#include "net/kept_address.h"
#include "support/check.h"
#include <string.h>

static bool is_packed(kept_address kept)
{
    return kept.bits & 1;
}

static void check(const char *text, bool packed)
{
    char again[KEPT_ADDRESS_BYTES];
    kept_address kept = kept_address_new(str_from(text));
    assert_int_equal(is_packed(kept), packed);
    assert_int_equal(kept_address_put(kept, again), strlen(text));
    assert_string_equal(again, text);
    kept_address_free(kept);
}

static void kept_address__of_ipv4_takes_no_memory(void **state)
{
    (void)state;
    mem_fail_from(1);
    check("127.0.0.1:80", true);
    check("255.255.255.255:65535", true);
    check("0.0.0.0:0", true);
    check("0.0.0.0", true);
    check("192.0.2.1", true);
    mem_fail_from(0);
}

static void kept_address__of_any_other_is_a_text(void **state)
{
    (void)state;
    check("unix", false);
    check("unknown", false);
    check("[2001:db8::1]:80", false);
    check("[2001:db8::1]", false);
    check("192.0.2.1:080", false);
    check("192.0.2.1:", false);
    check("192.0.2.1:65536", false);
    check("192.0.2.1:4294967376", false);
    check("192.0.2.1:x", false);
    check("192.0.2.001", false);
    check("192.0.2.1:80:", false);
    check("012345678901234567890123456789012345678901234567890123456789012", false);
}

static void kept_address__may_be_none(void **state)
{
    (void)state;
    char text[KEPT_ADDRESS_BYTES] = "as it was";
    mem_fail_from(1);
    assert_int_equal(kept_address_new(STR("unix")).bits, 0);
    mem_fail_from(0);
    assert_int_equal(kept_address_new((str){NULL, 0}).bits, 0);
    assert_int_equal(kept_address_put((kept_address){0}, text), 0);
    assert_string_equal(text, "as it was");
    kept_address_free((kept_address){0});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kept_address__of_ipv4_takes_no_memory),
        cmocka_unit_test(kept_address__of_any_other_is_a_text),
        cmocka_unit_test(kept_address__may_be_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
