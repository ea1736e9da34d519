#include "transport/encoding.h"

#include "proto/http1_chunk.h"
#include "support/check.h"
#include "support/guard.h"
#include <stdlib.h>

static const encoding *const encodings[] = {&encoding_sse, &encoding_line, &encoding_object, &encoding_envelope,
                                            &encoding_envelope_sse};

typedef struct {
    message_text message;
    const char *expected[N_OF(encodings)];
} example;

#define ID "0123456789ab-7"

static const example examples[] = {
    {
        {.topic = {"t", 1}, .id = {ID, 14}, .data = {"one\r\n\"two\"", 10}, .kind = WEFT_TEXT},
        {
            "id: " ID "\ndata: one\ndata: \"two\"\n\n",
            "{\"id\":\"" ID "\",\"type\":\"text\",\"data\":\"one\\r\\n\\\"two\\\"\"}\n",
            "{\"id\":\"" ID "\",\"type\":\"text\",\"data\":\"one\\r\\n\\\"two\\\"\"}",
            "{\"type\":\"message\",\"topic\":\"t\",\"id\":\"" ID
            "\",\"kind\":\"text\",\"data\":\"one\\r\\n\\\"two\\\"\"}",
            "data: {\"type\":\"message\",\"topic\":\"t\",\"id\":\"" ID
            "\",\"kind\":\"text\",\"data\":\"one\\r\\n\\\"two\\\"\"}\n\n",
        },
    },
    {
        {.topic = {"t", 1}, .event = {"e", 1}, .data = {"{\"a\":[1]}", 9}, .kind = WEFT_JSON},
        {
            "event: e\ndata: {\"a\":[1]}\n\n",
            "{\"event\":\"e\",\"type\":\"json\",\"data\":{\"a\":[1]}}\n",
            "{\"event\":\"e\",\"type\":\"json\",\"data\":{\"a\":[1]}}",
            "{\"type\":\"message\",\"topic\":\"t\",\"event\":\"e\",\"kind\":\"json\",\"data\":{\"a\":[1]}}",
            "data: {\"type\":\"message\",\"topic\":\"t\",\"event\":\"e\",\"kind\":\"json\",\"data\":{\"a\":[1]}}\n\n",
        },
    },
    {
        {.id = {ID, 14}, .data = {"\n\xff", 2}, .kind = WEFT_BINARY},
        {
            "id: " ID "\nevent: binary\ndata: Cv8=\n\n",
            "{\"id\":\"" ID "\",\"type\":\"binary\",\"data\":\"Cv8=\"}\n",
            "{\"id\":\"" ID "\",\"type\":\"binary\",\"data\":\"Cv8=\"}",
            "{\"type\":\"message\",\"id\":\"" ID "\",\"kind\":\"binary\",\"data\":\"Cv8=\"}",
            "data: {\"type\":\"message\",\"id\":\"" ID "\",\"kind\":\"binary\",\"data\":\"Cv8=\"}\n\n",
        },
    },
    {
        {.event = {"named", 5}, .data = {NULL, 0}, .kind = WEFT_BINARY},
        {
            "event: named\ndata: \n\n",
            "{\"event\":\"named\",\"type\":\"binary\",\"data\":\"\"}\n",
            "{\"event\":\"named\",\"type\":\"binary\",\"data\":\"\"}",
            "{\"type\":\"message\",\"event\":\"named\",\"kind\":\"binary\",\"data\":\"\"}",
            "data: {\"type\":\"message\",\"event\":\"named\",\"kind\":\"binary\",\"data\":\"\"}\n\n",
        },
    },
};

/* Into room of exactly the length that was told: a byte more would crash. */
static void encoding__writes_as_much_as_it_says(void **state)
{
    (void)state;
    char room[512] = "";
    for (size_t i = 0; i < N_OF(examples); i++) {
        for (size_t k = 0; k < N_OF(encodings); k++) {
            const char *expected = examples[i].expected[k];
            size_t len = encodings[k]->len(&examples[i].message);
            assert_int_equal(len, strlen(expected));
            guard g = guard_copy(room, len);
            assert_int_equal(encodings[k]->put(g.at, &examples[i].message), len);
            assert_memory_equal(g.at, expected, len);
            guard_free(g);
        }
    }
}

static void encoding__tells_of_gaps(void **state)
{
    (void)state;
    static const char *const expected[] = {
        "id: " ID "\nevent: weft-gap\ndata: {\"topic\":\"a \\\"b\\\"\",\"cursor\":\"" ID "\"}\n\n",
        "{\"gap\":true,\"topic\":\"a \\\"b\\\"\",\"cursor\":\"" ID "\"}\n",
        NULL,
        "{\"type\":\"gap\",\"topic\":\"a \\\"b\\\"\",\"cursor\":\"" ID "\"}",
        "data: {\"type\":\"gap\",\"topic\":\"a \\\"b\\\"\",\"cursor\":\"" ID "\"}\n\n",
    };
    for (size_t k = 0; k < N_OF(encodings); k++) {
        buf to = {0};
        if (!expected[k]) {
            assert_null(encodings[k]->gap);
            continue;
        }
        assert_int_equal(encodings[k]->gap(&to, STR("a \"b\""), STR(ID)), 0);
        assert_int_equal(to.len, strlen(expected[k]));
        assert_memory_equal(to.at, expected[k], to.len);
        buf_done(&to);
    }
}

static const encoding *failing;

static int tell_gap(void)
{
    buf to = {0};
    int error = failing->gap(&to, STR("a topic with a name"), STR(ID));
    buf_done(&to);
    return error;
}

static void encoding__tells_of_no_gap_without_memory(void **state)
{
    (void)state;
    for (size_t k = 0; k < N_OF(encodings); k++) {
        failing = encodings[k];
        if (failing->gap)
            check_failing_allocations(tell_gap);
    }
}

/* ---- images ---- */

static loop the_loop;
static hub the_hub;
static topic_message ring[4];
static int n_finished;

static void finish(char *payload, size_t len)
{
    n_finished++;
    http1_chunk_wrap(payload, len);
}

/* A topic of one message, number 7. */
static topic *topic_with(weft_kind kind, str event, str data)
{
    topic *t = calloc(1, sizeof *t + 1);
    the_hub.loop = &the_loop;
    *t = (topic){.hub = &the_hub, .epoch = 0x0123456789ab, .ring = ring, .cap = 4, .first = 6, .head = 7};
    t->name[0] = 't';
    t->entry.key = (str){t->name, 1};
    ring[6 & 3] = (topic_message){.body = blob_new(NULL, kind, event, data)};
    return t;
}

static void topic_drop(topic *t)
{
    chunk_unref(&the_loop.blocks, topic_image(t, 6, WIRE_LINE));
    blob_unref(NULL, topic_message_at(t, 6)->body);
    pool_done(&the_loop.blocks);
    free(t);
}

static const encoding_frame framed = {.encoding = &encoding_line,
                                      .format = WIRE_LINE,
                                      .before = HTTP1_CHUNK_BEFORE,
                                      .behind = HTTP1_CHUNK_BEHIND,
                                      .finish = finish};

static void encoding__gives_messages_their_cursor(void **state)
{
    (void)state;
    char id[CURSOR_BYTES];
    topic *t = topic_with(WEFT_JSON, STR("e"), STR("{}"));
    message_text m = encoding_message(t, 6, id);
    assert_true(str_equal(m.topic, STR("t")));
    assert_true(str_equal(m.id, STR(ID)));
    assert_true(str_equal(m.event, STR("e")));
    assert_true(str_equal(m.data, STR("{}")));
    assert_int_equal(m.kind, WEFT_JSON);
    topic_drop(t);
}

static void encoding__makes_one_image_with_room_for_the_carrier(void **state)
{
    (void)state;
    static const char line[] = "{\"id\":\"" ID "\",\"type\":\"text\",\"data\":\"x\"}\n";
    topic *t = topic_with(WEFT_TEXT, (str){NULL, 0}, STR("x"));
    n_finished = 0;
    chunk *image = encoding_image(t, 6, &framed);
    assert_non_null(image);
    assert_ptr_equal(encoding_image(t, 6, &framed), image);
    assert_int_equal(n_finished, 1);
    assert_int_equal(image->refs, 1); /* the topic's */
    assert_int_equal(image->len, HTTP1_CHUNK_BEFORE + sizeof line - 1 + HTTP1_CHUNK_BEHIND);
    assert_memory_equal(image->bytes + HTTP1_CHUNK_BEFORE, line, sizeof line - 1);
    assert_memory_equal(image->bytes + HTTP1_CHUNK_BEFORE - 4, "31\r\n", 4);
    assert_memory_equal(image->bytes + image->len - 2, "\r\n", 2);
    assert_null(topic_image(t, 6, WIRE_SSE));
    topic_drop(t);
}

static void encoding__makes_no_image_without_memory(void **state)
{
    (void)state;
    topic *t = topic_with(WEFT_TEXT, (str){NULL, 0}, STR("x"));
    mem_fail_from(1);
    assert_null(encoding_image(t, 6, &framed));
    mem_fail_from(0);
    assert_null(topic_image(t, 6, WIRE_LINE));
    assert_non_null(encoding_image(t, 6, &framed));
    topic_drop(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(encoding__writes_as_much_as_it_says),
        cmocka_unit_test(encoding__tells_of_gaps),
        cmocka_unit_test(encoding__tells_of_no_gap_without_memory),
        cmocka_unit_test(encoding__gives_messages_their_cursor),
        cmocka_unit_test(encoding__makes_one_image_with_room_for_the_carrier),
        cmocka_unit_test(encoding__makes_no_image_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
