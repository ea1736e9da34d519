#include "http/http_date.h"
#include "support/check.h"
#include <stdlib.h>

enum { NOW_S = 1795000000 }; /* in November 2026 */

static void http_date__is_written(void **state)
{
    static const struct {
        int64_t seconds;
        const char *text;
    } dates[] = {
        {784111777, "Sun, 06 Nov 1994 08:49:37 GMT"},    {0, "Thu, 01 Jan 1970 00:00:00 GMT"},
        {-1, "Wed, 31 Dec 1969 23:59:59 GMT"},           {951782399, "Mon, 28 Feb 2000 23:59:59 GMT"},
        {951782400, "Tue, 29 Feb 2000 00:00:00 GMT"},    {4107542400, "Mon, 01 Mar 2100 00:00:00 GMT"},
        {253402300799, "Fri, 31 Dec 9999 23:59:59 GMT"}, {-62167219200, "Sat, 01 Jan 0000 00:00:00 GMT"},
    };
    char text[HTTP_DATE_BYTES];
    (void)state;
    for (size_t i = 0; i < N_OF(dates); i++) {
        assert_true(http_date_put(dates[i].seconds, text));
        assert_string_equal(text, dates[i].text);
    }
    assert_false(http_date_put(253402300800, text));
    assert_false(http_date_put(-62167219201, text));
    assert_false(http_date_put(INT64_MAX, text));
    assert_false(http_date_put(INT64_MIN, text));
}

static void http_date__is_read_as_it_was_written(void **state)
{
    char text[HTTP_DATE_BYTES];
    (void)state;
    for (int64_t seconds = -2208988800; seconds < 7258118400; seconds += 86400 * 3 + 12345) {
        int64_t back = 0;
        assert_true(http_date_put(seconds, text));
        assert_true(http_date_parse(str_from(text), NOW_S, &back));
        assert_int_equal(back, seconds);
    }
}

static void http_date__is_read_in_three_formats(void **state)
{
    static const struct {
        const char *text;
        int64_t seconds;
    } dates[] = {
        {"Sun, 06 Nov 1994 08:49:37 GMT", 784111777},      {"Sunday, 06-Nov-94 08:49:37 GMT", 784111777},
        {"Sun Nov  6 08:49:37 1994", 784111777},           {"Wed Nov 16 08:49:37 1994", 784975777},
        {"Mon, 06 Nov 1994 08:49:37 GMT", 784111777},      {"Saturday, 31-Dec-16 23:59:60 GMT", 1483228800},
        {"Thursday, 01-Jan-70 00:00:00 GMT", 3155760000},  /* 2070: within 50 years */
        {"Friday, 01-Jan-77 00:00:00 GMT", 220924800},     /* 1977 */
        {"Wednesday, 01-Jan-76 00:00:00 GMT", 3345062400}, /* 2076 */
    };
    (void)state;
    for (size_t i = 0; i < N_OF(dates); i++) {
        int64_t seconds = 0;
        if (!http_date_parse(str_from(dates[i].text), NOW_S, &seconds) || seconds != dates[i].seconds)
            fail_msg("%s: %lld", dates[i].text, (long long)seconds);
    }
}

static void http_date__is_nothing_else(void **state)
{
    static const char *const texts[] = {
        "",
        "Sun",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 Nov 1994 08:49:37 GMT ",
        " Sun, 06 Nov 1994 08:49:37 GMT",
        "sun, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 nov 1994 08:49:37 GMT",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun,  6 Nov 1994 08:49:37 GMT",
        "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 32 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 94 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:49:37 GMT",
        "Sun, 06 Nov 1994 08:60:37 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, 06 Nov 1994 8:49:37 GMT",
        "Sun, +6 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov -994 08:49:37 GMT",
        "Sun, 06 Now 1994 08:49:37 GMT",
        "Sunday, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06-Nov-94 08:49:37 GMT",
        "Sunday, 06-Nov-1994 08:49:37 GMT",
        "Sun Nov 6 08:49:37 1994",
        "Sun Nov  6 08:49:37 94",
        "784111777",
        "Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT",
    };
    (void)state;
    for (size_t i = 0; i < N_OF(texts); i++) {
        int64_t seconds = 7;
        if (http_date_parse(str_from(texts[i]), NOW_S, &seconds) || seconds != 7)
            fail_msg("\"%s\" was taken for a date", texts[i]);
    }
}

/* Each beginning of a date, with nothing behind it that may be read. */
static void http_date__reads_no_byte_too_many(void **state)
{
    static const char *const whole[] = {"Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT",
                                        "Sun Nov  6 08:49:37 1994"};
    (void)state;
    for (size_t i = 0; i < N_OF(whole); i++) {
        for (size_t len = 0; len < strlen(whole[i]); len++) {
            int64_t seconds;
            char *copy = malloc(len ? len : 1);
            assert_non_null(copy);
            memcpy(copy, whole[i], len);
            assert_false(http_date_parse((str){copy, len}, NOW_S, &seconds));
            free(copy);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(http_date__is_written),
        cmocka_unit_test(http_date__is_read_as_it_was_written),
        cmocka_unit_test(http_date__is_read_in_three_formats),
        cmocka_unit_test(http_date__is_nothing_else),
        cmocka_unit_test(http_date__reads_no_byte_too_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
