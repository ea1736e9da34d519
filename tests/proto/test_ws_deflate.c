#include "proto/ws_deflate.h"
#include "support/check.h"
#include "support/guard.h"
#include <stdio.h>
#include <time.h>

/* An offer as text: "s", "c" for the two flags, "S=12", "C=12", "C" for the two windows; "none". */
static const char *told(str field)
{
    static char text[64];
    ws_deflate_offer o;
    guard copy = guard_copy(field.at, field.len);
    bool found = ws_deflate_read_offer((str){copy.at, field.len}, &o);
    guard_free(copy);
    if (!found)
        return "none";
    int n = snprintf(text, sizeof text, "%s%s", o.server_no_context ? "s" : "", o.client_no_context ? "c" : "");
    if (o.server_bits)
        n += snprintf(text + n, sizeof text - (size_t)n, "S=%d", o.server_bits);
    if (o.client_bits)
        snprintf(text + n, sizeof text - (size_t)n, "C=%d", o.client_bits);
    else if (o.client_bits_taken)
        snprintf(text + n, sizeof text - (size_t)n, "C");
    return text;
}

typedef struct {
    const char *field, *told;
} offer_case;

static void check_offers(const offer_case *cases, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const char *got = told(str_from(cases[i].field));
        if (strcmp(got, cases[i].told) != 0)
            fail_msg("\"%s\" reads as %s, not %s", cases[i].field, got, cases[i].told);
    }
}

#define PMD "permessage-deflate"

static void ws_deflate__reads_each_parameter(void **state)
{
    (void)state;
    static const offer_case cases[] = {
        {PMD, ""},
        {PMD ";server_no_context_takeover", "s"},
        {PMD "; client_no_context_takeover", "c"},
        {PMD "; client_no_context_takeover; server_no_context_takeover", "sc"},
        {PMD "; server_max_window_bits=9", "S=9"},
        {PMD "; server_max_window_bits=10", "S=10"},
        {PMD "; server_max_window_bits=15", "S=15"},
        {PMD "; client_max_window_bits", "C"},
        {PMD "; client_max_window_bits=8", "C=8"},
        {PMD "; client_max_window_bits=15; server_no_context_takeover", "sC=15"},
        {PMD " ; \t client_max_window_bits = \"12\" ", "C=12"},
        {PMD "; server_max_window_bits=\"\\1\\1\"", "S=11"},
    };
    check_offers(cases, N_OF(cases));
}

static void ws_deflate__declines_and_tries_the_next(void **state)
{
    (void)state;
    static const char *const declined[] = {
        PMD "; server_max_window_bits=8", /* zlib cannot */
        PMD "; server_max_window_bits",
        PMD "; server_max_window_bits=7",
        PMD "; server_max_window_bits=16",
        PMD "; server_max_window_bits=08",
        PMD "; server_max_window_bits=010",
        PMD "; server_max_window_bits=100",
        PMD "; server_max_window_bits=10x",
        PMD "; server_max_window_bits=-9",
        PMD "; server_max_window_bits=9; server_max_window_bits=9",
        PMD "; client_max_window_bits=7",
        PMD "; client_max_window_bits=16",
        PMD "; client_max_window_bits=1",
        PMD "; client_max_window_bits; client_max_window_bits",
        PMD "; client_max_window_bits; client_max_window_bits=9",
        PMD "; client_max_window_bits=9; client_max_window_bits",
        PMD "; server_no_context_takeover=1",
        PMD "; server_no_context_takeover; server_no_context_takeover",
        PMD "; client_no_context_takeover=\"true\"",
        PMD "; client_no_context_takeover; client_no_context_takeover",
        PMD "; unknown",
        PMD "; unknown=9",
        PMD "; Server_no_context_takeover",
        "Permessage-Deflate",
        "permessage-deflate2",
        "x-webkit-deflate-frame",
        "permessage-bzip2; server_no_context_takeover",
    };
    for (size_t i = 0; i < N_OF(declined); i++) {
        char field[256];
        assert_string_equal(told(str_from(declined[i])), "none");
        snprintf(field, sizeof field, "%s, " PMD "; client_max_window_bits=10", declined[i]);
        assert_string_equal(told(str_from(field)), "C=10");
        snprintf(field, sizeof field, ", ,%s ,," PMD ",", declined[i]);
        assert_string_equal(told(str_from(field)), "");
    }
}

static void ws_deflate__stops_where_the_grammar_is_broken(void **state)
{
    (void)state;
    static const char *const broken[] = {
        "",
        ",",
        ";",
        "=",
        PMD ";",
        PMD " x",
        PMD "=",
        PMD ";=9",
        PMD "; a=",
        PMD "; a=\"",
        PMD "; a=\"9",
        PMD "; a=\"\"",
        PMD "; a=\" 9\"",
        PMD "; a=\"9 \"",
        PMD "; a=\"9\\",
        PMD "; a=\"9\"x",
        PMD "; a b",
        PMD "; a=9 9",
        PMD "; a;; b",
        "@",
        "\"" PMD "\"",
        "a/b",
        PMD "; a=(",
        "foo; \x80",
    };
    for (size_t i = 0; i < N_OF(broken); i++) {
        char field[256];
        assert_string_equal(told(str_from(broken[i])), "none");
        if (strspn(broken[i], ",") == strlen(broken[i]))
            continue; /* an empty list goes on */
        snprintf(field, sizeof field, "%s, " PMD, broken[i]);
        assert_string_equal(told(str_from(field)), "none");
        snprintf(field, sizeof field, PMD ", %s", broken[i]); /* what came before was an offer */
        assert_string_equal(told(str_from(field)), "");
    }
    assert_string_equal(told((str){PMD "\0", sizeof PMD}), "none");
}

/* Every cut of a good field is read or not, but never past its end. */
static void ws_deflate__reads_no_byte_too_many(void **state)
{
    (void)state;
    str field =
        STR(PMD "; server_no_context_takeover; client_max_window_bits=\"1\\2\", " PMD "; server_max_window_bits=10");
    for (size_t n = 0; n <= field.len; n++)
        told((str){field.at, n});
}

static double seconds_for(size_t n)
{
    static const char piece[] = PMD "; a=\"1\";b;c=9, ,";
    char *field = malloc(n * (sizeof piece - 1));
    assert_non_null(field);
    for (size_t i = 0; i < n; i++)
        memcpy(field + i * (sizeof piece - 1), piece, sizeof piece - 1);
    ws_deflate_offer offer;
    clock_t start = clock();
    for (int i = 0; i < 20; i++)
        assert_false(ws_deflate_read_offer((str){field, n * (sizeof piece - 1)}, &offer));
    free(field);
    return (double)(clock() - start) / CLOCKS_PER_SEC;
}

static void ws_deflate__takes_linear_time(void **state)
{
    (void)state;
    seconds_for(1000);
    double one = seconds_for(1000), hundred = seconds_for(100000);
    assert_true(hundred < one * 1000 + 0.05);
}

/* ------------------------------------------------------------------------------------------------------------- answers */

static const char *answered(const char *field, bool own, bool peers)
{
    static char text[WS_DEFLATE_FIELD_BYTES + 1];
    ws_deflate_offer offer;
    assert_true(ws_deflate_read_offer(str_from(field), &offer));
    ws_deflate agreed = ws_deflate_agree(&offer, &(ws_deflate_room){own, peers});
    text[ws_deflate_put_answer(&offer, &agreed, text)] = '\0';
    return text;
}

static void ws_deflate__answers_without_contexts_by_default(void **state)
{
    (void)state;
#define NEITHER PMD "; server_no_context_takeover; client_no_context_takeover"
    assert_string_equal(answered(PMD, false, false), NEITHER);
    assert_string_equal(answered(PMD "; client_max_window_bits", false, false), NEITHER);
    assert_string_equal(answered(PMD "; client_max_window_bits=8", false, false), NEITHER "; client_max_window_bits=8");
    assert_string_equal(answered(PMD "; server_max_window_bits=10; client_max_window_bits=12", false, false),
                        NEITHER "; server_max_window_bits=10; client_max_window_bits=12");
    assert_string_equal(answered(PMD "; server_max_window_bits=15", false, false),
                        NEITHER "; server_max_window_bits=15");
}

static void ws_deflate__keeps_contexts_only_where_both_want_them(void **state)
{
    (void)state;
    assert_string_equal(answered(PMD, true, true), PMD);
    assert_string_equal(answered(PMD, true, false), PMD "; client_no_context_takeover");
    assert_string_equal(answered(PMD, false, true), PMD "; server_no_context_takeover");
    assert_string_equal(answered(PMD "; server_no_context_takeover", true, true), PMD "; server_no_context_takeover");
    assert_string_equal(answered(PMD "; client_no_context_takeover", true, true), PMD "; client_no_context_takeover");
}

/* Every offer, answered in every way, is an answer that its client takes; and what both sides read from it is the same. */
static void check_agreement(const ws_deflate_offer *offer)
{
    char text[WS_DEFLATE_FIELD_BYTES], answer[WS_DEFLATE_FIELD_BYTES];
    ws_deflate_offer seen;
    ws_deflate theirs;
    size_t len = ws_deflate_put_offer(offer, text);
    assert_int_equal(ws_deflate_read_offer((str){text, len}, &seen), offer->server_bits != 8);
    if (offer->server_bits == 8)
        return;
    assert_memory_equal(&seen, offer, sizeof seen);
    for (int i = 0; i < 4; i++) {
        ws_deflate ours = ws_deflate_agree(&seen, &(ws_deflate_room){i & 1, i & 2});
        len = ws_deflate_put_answer(&seen, &ours, answer);
        assert_in_range(len, 1, WS_DEFLATE_FIELD_BYTES);
        assert_true(ws_deflate_read_answer((str){answer, len}, offer, &theirs));
        assert_memory_equal(&ours, &theirs, sizeof ours);
        assert_true(ours.server_bits >= 9 && (!offer->server_bits || ours.server_bits <= offer->server_bits));
    }
}

static void ws_deflate__never_answers_more_than_was_offered(void **state)
{
    (void)state;
    for (int flags = 0; flags < 4; flags++)
        for (int server = 7; server <= 15; server++)
            for (int client = 6; client <= 15; client++)
                check_agreement(&(ws_deflate_offer){
                    .server_no_context = flags & 1,
                    .client_no_context = flags & 2,
                    .server_bits = server == 7 ? 0 : (uint8_t)server,
                    .client_bits = client < 8 ? 0 : (uint8_t)client,
                    .client_bits_taken = client > 6,
                });
}

static void ws_deflate__fails_a_client_on_a_wrong_answer(void **state)
{
    (void)state;
    const ws_deflate_offer plain = {0};
    const ws_deflate_offer much = {
        .server_no_context = true, .server_bits = 10, .client_bits_taken = true, .client_bits = 11};
    static const char *const wrong[] = {
        "",
        "permessage-bzip2",
        PMD "; unknown",
        PMD "; client_max_window_bits",
        PMD "; client_max_window_bits=10",
        PMD ", " PMD,
        PMD ", other",
        "other, " PMD,
        PMD "; server_max_window_bits=16",
        PMD "; x=\"",
        PMD " x",
    };
    static const char *const not_enough[] = {
        PMD,
        PMD "; server_no_context_takeover",
        PMD "; server_max_window_bits=10",
        PMD "; server_no_context_takeover; server_max_window_bits=11",
        PMD "; server_no_context_takeover; server_max_window_bits=10; client_max_window_bits=12",
    };
    ws_deflate agreed;
    for (size_t i = 0; i < N_OF(wrong); i++)
        assert_false(ws_deflate_read_answer(str_from(wrong[i]), &plain, &agreed));
    for (size_t i = 0; i < N_OF(not_enough); i++)
        assert_false(ws_deflate_read_answer(str_from(not_enough[i]), &much, &agreed));
    assert_true(
        ws_deflate_read_answer(STR(PMD "; server_max_window_bits=8; server_no_context_takeover"), &plain, &agreed));
    assert_int_equal(agreed.server_bits, 8);
    assert_true(agreed.server_no_context && !agreed.client_no_context);
    assert_true(ws_deflate_read_answer(
        STR(PMD "; server_no_context_takeover; server_max_window_bits=9; client_max_window_bits=8"), &much, &agreed));
    assert_int_equal(agreed.client_bits, 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ws_deflate__reads_each_parameter),
        cmocka_unit_test(ws_deflate__declines_and_tries_the_next),
        cmocka_unit_test(ws_deflate__stops_where_the_grammar_is_broken),
        cmocka_unit_test(ws_deflate__reads_no_byte_too_many),
        cmocka_unit_test(ws_deflate__takes_linear_time),
        cmocka_unit_test(ws_deflate__answers_without_contexts_by_default),
        cmocka_unit_test(ws_deflate__keeps_contexts_only_where_both_want_them),
        cmocka_unit_test(ws_deflate__never_answers_more_than_was_offered),
        cmocka_unit_test(ws_deflate__fails_a_client_on_a_wrong_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
