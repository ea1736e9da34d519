/* Both halves of permessage-deflate, against each other, against zlib itself, and against the examples of RFC 7692. */
#include "base/buf.h"
#include "proto/ws_compress.h"
#include "proto/ws_inflate.h"
#include "proto/ws_quick.h"
#include "support/check.h"
#include "support/guard.h"
#include <zlib.h>

enum { MAX_BYTES = 128 * 1024 };

static char message[MAX_BYTES], compressed[MAX_BYTES + WS_COMPRESS_ROOM_BYTES], inflated[MAX_BYTES + 1];

/* ----------------------------------------------------------------------------------------------------------- inflating */

/* Inflates a message that comes in pieces into room of so many bytes at a time; the length, or -1. */
static ssize_t inflate_pieces(ws_inflater *z, str in, size_t piece, size_t room)
{
    size_t len = 0;
    for (size_t at = 0; at <= in.len; at += piece) {
        bool is_tail = at + piece > in.len || at == in.len;
        size_t n = in.len - at < piece ? in.len - at : piece;
        guard copy = guard_copy(in.at + at, n);
        str parts[2] = {{copy.at, n}, is_tail ? ws_inflate_tail() : STR("")};
        for (int i = 0; i < 2; i++) {
            ws_inflate_status status = WS_INFLATE_FULL;
            while (status == WS_INFLATE_FULL && (parts[i].len || i == 0)) {
                size_t more = sizeof inflated - len < room ? sizeof inflated - len : room, got;
                status = ws_inflate(z, &parts[i], inflated + len, more, &got);
                len += got;
            }
            if (status == WS_INFLATE_BAD || status == WS_INFLATE_NO_MEMORY) {
                guard_free(copy);
                return -1;
            }
        }
        guard_free(copy);
        if (is_tail)
            break;
    }
    return ws_inflater_is_whole(z) ? (ssize_t)len : -1;
}

static void expect_inflated(ws_inflater *z, str in, size_t piece, size_t room, str expected)
{
    assert_int_equal(inflate_pieces(z, in, piece, room), expected.len);
    assert_memory_equal(inflated, expected.at, expected.len);
}

#define BYTES(text)                                                                                                    \
    {                                                                                                                  \
        text, sizeof text - 1                                                                                          \
    }

/* RFC 7692 §7.2.3, but for the second message of 7.2.3.2. */
static const struct {
    str in, out;
} examples[] = {
    {BYTES("\xf2\x48\xcd\xc9\xc9\x07\x00"), BYTES("Hello")},                                      /* 7.2.3.1 */
    {BYTES("\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00"), BYTES("Hello")},                      /* 7.2.3.3 */
    {BYTES("\xf3\x48\xcd\xc9\xc9\x07\x00\x00"), BYTES("Hello")},                                  /* 7.2.3.4 */
    {BYTES("\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00"), BYTES("Hello")},              /* 7.2.3.5 */
    {BYTES("\x00"), BYTES("")},                                                                   /* 7.2.3.6 */
    {BYTES("\xf3\x48\xcd\xc9\xc9\x07\x00\xf3\x48\xcd\xc9\xc9\x07\x00\x00"), BYTES("HelloHello")}, /* two ends */
    {BYTES("\xf3\x48\xcd\xc9\xc9\x07\x00\xf2\x48\xcd\xc9\xc9\x07\x00"), BYTES("HelloHello")},     /* one */
};

static void ws_inflate__reads_the_examples_of_the_rfc(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_OF(examples); i++)
        for (size_t piece = 1; piece <= examples[i].in.len; piece++)
            for (size_t room = 1; room < 20; room++) {
                ws_inflater *z = ws_inflater_new(15);
                assert_non_null(z);
                expect_inflated(z, examples[i].in, piece, room, examples[i].out);
                expect_inflated(z, examples[i].in, piece, room, examples[i].out); /* with the context of the first */
                ws_inflater_free(z);
            }
}

/* 7.2.3.2: the second message refers to the first. After one that ends its stream too. */
static void ws_inflate__keeps_its_context_until_a_reset(void **state)
{
    (void)state;
    str first[] = {BYTES("\xf2\x48\xcd\xc9\xc9\x07\x00"), BYTES("\xf3\x48\xcd\xc9\xc9\x07\x00\x00")};
    str second = BYTES("\xf2\x00\x11\x00\x00");
    for (size_t i = 0; i < N_OF(first); i++) {
        ws_inflater *z = ws_inflater_new(8);
        expect_inflated(z, first[i], 100, 100, STR("Hello"));
        expect_inflated(z, second, 1, 1, STR("Hello"));
        ws_inflater_reset(z);
        assert_int_equal(inflate_pieces(z, second, 100, 100), -1);
        ws_inflater_reset(z);
        expect_inflated(z, first[i], 100, 100, STR("Hello"));
        ws_inflater_free(z);
    }
}

static void ws_inflate__refuses_what_is_wrong_or_unfinished(void **state)
{
    (void)state;
    static const str wrong[] = {
        BYTES("\x07"),                                         /* a block of a type that there is not */
        BYTES("\x00\x05\x00\x00\x00Hello\x00"),                /* a length without its complement */
        BYTES("\x00\x06\x00\xf9\xff\x48"),                     /* stored bytes are missing */
        BYTES("\xf3\x48\xcd\xc9\xc9\x07\x00"),                 /* ends its stream, and has no byte for the next block */
        BYTES("\xf2\x48\xcd\xc9\xc9"),                         /* cut off */
        BYTES("\xf2\x48\xcd\xc9\xc9\x07\x00\x00\x00\xff\xff"), /* its tail was not left out */
        BYTES("\x03\x00"),                                     /* likewise, ends */
        BYTES("\xff\xff\xff\xff"),
    };
    for (size_t i = 0; i < N_OF(wrong); i++)
        for (size_t piece = 1; piece <= wrong[i].len; piece++) {
            ws_inflater *z = ws_inflater_new(15);
            assert_int_equal(inflate_pieces(z, wrong[i], piece, 100), -1);
            ws_inflater_reset(z);
            expect_inflated(z, examples[0].in, 100, 100, STR("Hello"));
            ws_inflater_free(z);
        }
}

/* --------------------------------------------------------------------------------------------------------- compressing */

static uint32_t seed;

static uint32_t draw(uint32_t below)
{
    seed = seed * 1664525 + 1013904223;
    return (uint32_t)((uint64_t)seed * below >> 32);
}

/* Text in which words come again, near and far; every eighth message is noise. */
static str make_message(size_t len, uint32_t number)
{
    seed = number * 2654435761u + (uint32_t)len;
    bool noise = number % 8 == 7;
    for (size_t at = 0; at < len;) {
        size_t n = 1 + draw(24), back = 1 + draw(40000);
        for (size_t end = at + n < len ? at + n : len; at < end; at++)
            message[at] =
                !noise && at > back && n > 8 ? message[at - back] : (char)(noise ? draw(256) : 'a' + draw(20));
    }
    return (str){message, len};
}

/* A client of zlib's own: raw DEFLATE with exactly the window that was agreed. */
static void expect_zlib(z_stream *z, size_t len, str expected)
{
    memcpy(compressed + len, "\0\0\xff\xff", 4);
    z->next_in = (Bytef *)compressed;
    z->avail_in = (uInt)len + 4;
    z->next_out = (Bytef *)inflated;
    z->avail_out = sizeof inflated;
    int result = inflate(z, Z_SYNC_FLUSH);
    assert_true(result == Z_OK || result == Z_STREAM_END);
    assert_int_equal((char *)z->next_out - inflated, expected.len);
    if (expected.len)
        assert_memory_equal(inflated, expected.at, expected.len);
    if (result == Z_STREAM_END) {
        assert_int_equal(z->avail_in, 5); /* the byte behind the end, and the tail */
        assert_int_equal(*z->next_in, 0);
    }
}

typedef struct {
    uint64_t n_smaller, n_in, n_out;
} totals;

static totals check_compressor(ws_compressor_kind kind, size_t len, uint32_t n_messages)
{
    totals t = {0};
    ws_compressor *c = ws_compressor_new(kind);
    ws_inflater *ours = ws_inflater_new(kind.window_bits);
    z_stream theirs = {0};
    assert_int_equal(inflateInit2(&theirs, -kind.window_bits), Z_OK);
    assert_non_null(c);
    for (uint32_t i = 0; i < n_messages; i++) {
        str in = make_message(len, i);
        size_t n = ws_compress(c, in, compressed);
        assert_true(n < (in.len ? in.len : 1));
        if (!n)
            continue;
        t = (totals){t.n_smaller + 1, t.n_in + in.len, t.n_out + n};
        if (!kind.context) {
            inflateReset(&theirs);
            ws_inflater_reset(ours);
        }
        expect_inflated(ours, (str){compressed, n}, i % 3 ? n : 1 + n / 3, i % 2 ? sizeof inflated : 1 + len / 2, in);
        expect_zlib(&theirs, n, in);
    }
    inflateEnd(&theirs);
    ws_inflater_free(ours);
    ws_compressor_free(c);
    return t;
}

/* The shape of the well-known suite of 216: sizes to 128 KiB by windows by contexts; the small ones a thousand times. */
static void ws_compress__is_read_back_in_every_combination(void **state)
{
    (void)state;
    static const struct {
        size_t len;
        uint32_t n;
    } sizes[] = {{0, 3},      {1, 3},     {2, 20},    {16, 1000},  {64, 1000}, {256, 1000}, {513, 300},
                 {1024, 200}, {4096, 40}, {4097, 40}, {16384, 16}, {40000, 9}, {131072, 9}};
    for (uint8_t bits = 9; bits <= 15; bits++)
        for (int how = 0; how < 3; how++)
            for (size_t i = 0; i < N_OF(sizes); i++) {
                ws_compressor_kind kind = {bits, how == 1, how == 2};
                totals t = check_compressor(kind, sizes[i].len, sizes[i].n);
                if (sizes[i].len >= 64) {
                    assert_in_range(t.n_smaller, sizes[i].n * 3 / 4, sizes[i].n * 7 / 8 + 1);
                    assert_true(t.n_out < t.n_in * 9 / 10);
                }
            }
}

/* §7.2.3.4: only where it may. The bit of the last block is in the first byte, as these messages are one block each. */
static void ws_compress__ends_its_stream_only_where_it_may(void **state)
{
    (void)state;
    ws_quick *q = ws_quick_new();
    bool ends = q; /* else the build has no libdeflate */
    ws_quick_free(q);
    for (uint8_t bits = 9; bits <= 15; bits++)
        for (int how = 0; how < 3; how++) {
            ws_compressor *c = ws_compressor_new((ws_compressor_kind){bits, how == 1, how == 2});
            str in = make_message(2000, 1);
            size_t n = ws_compress(c, in, compressed);
            assert_true(n > 0);
            assert_int_equal(compressed[n - 1] == 0 && compressed[0] & 1, ends && how == 2 && bits == 15);
            ws_compressor_free(c);
        }
}

static void ws_compress__forgets_what_the_other_side_has_not_seen(void **state)
{
    (void)state;
    ws_compressor *own = ws_compressor_new((ws_compressor_kind){15, true, false});
    ws_compressor *shared = ws_compressor_new((ws_compressor_kind){15, false, false});
    ws_inflater *z = ws_inflater_new(15);
    str in = make_message(3000, 1);
    size_t first = ws_compress(own, in, compressed);
    expect_inflated(z, (str){compressed, first}, first, sizeof inflated, in);
    size_t again = ws_compress(own, in, compressed);
    assert_true(again < 60); /* it refers to the first */
    expect_inflated(z, (str){compressed, again}, again, sizeof inflated, in);

    /* one from elsewhere: the next may refer to nothing */
    size_t n = ws_compress(shared, make_message(3000, 2), compressed);
    expect_inflated(z, (str){compressed, n}, n, sizeof inflated, make_message(3000, 2));
    ws_compressor_forget(own);
    in = make_message(3000, 1);
    n = ws_compress(own, in, compressed);
    assert_true(n > first / 2);
    expect_inflated(z, (str){compressed, n}, n, sizeof inflated, in);

    /* one that did not shrink went out as it was */
    assert_int_equal(ws_compress(own, make_message(3000, 7), compressed), 0);
    in = make_message(3000, 1);
    n = ws_compress(own, in, compressed);
    assert_true(n > first / 2);
    expect_inflated(z, (str){compressed, n}, n, sizeof inflated, in);
    ws_inflater_free(z);
    ws_compressor_free(own);
    ws_compressor_free(shared);
}

/* Output as large as input plus what is promised, and not a byte more. */
static void ws_compress__stays_within_its_room(void **state)
{
    (void)state;
    for (int how = 0; how < 3; how++) {
        ws_compressor *c = ws_compressor_new((ws_compressor_kind){15, how == 1, how == 2});
        for (size_t len = 0; len < 1500; len += len < 100 ? 1 : 61) {
            guard out = guard_copy(message, len + WS_COMPRESS_ROOM_BYTES);
            ws_compress(c, make_message(len, 7), out.at);
            ws_compress(c, make_message(len, 1), out.at);
            guard_free(out);
        }
        ws_compressor_free(c);
    }
}

static void ws_compress__tells_what_a_context_takes(void **state)
{
    (void)state;
    for (uint8_t bits = 9; bits <= 15; bits++) {
        assert_true(ws_compressor_bytes(bits) >= ((size_t)1 << (bits + 2)) + (1 << 17));
        assert_true(ws_inflater_bytes(bits) >= ((size_t)1 << bits) + 7000);
    }
}

/* --------------------------------------------------------------------------------------------------------------- memory */

static int compress_and_inflate(void)
{
    int result = -1;
    ws_compressor *c = ws_compressor_new((ws_compressor_kind){15, true, false});
    ws_inflater *z = ws_inflater_new(15);
    str in = make_message(2000, 1);
    size_t n = c ? ws_compress(c, in, compressed) : 0;
    if (n && z && inflate_pieces(z, (str){compressed, n}, n / 2, 700) == 2000)
        result = 0;
    ws_compressor_free(c);
    ws_inflater_free(z);
    return result;
}

static void ws_compress__survives_failing_allocations(void **state)
{
    (void)state;
    uint64_t before = mem_count();
    check_failing_allocations(compress_and_inflate);
    assert_true(mem_count() - before > 20); /* zlib's are ours */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ws_inflate__reads_the_examples_of_the_rfc),
        cmocka_unit_test(ws_inflate__keeps_its_context_until_a_reset),
        cmocka_unit_test(ws_inflate__refuses_what_is_wrong_or_unfinished),
        cmocka_unit_test(ws_compress__is_read_back_in_every_combination),
        cmocka_unit_test(ws_compress__ends_its_stream_only_where_it_may),
        cmocka_unit_test(ws_compress__forgets_what_the_other_side_has_not_seen),
        cmocka_unit_test(ws_compress__stays_within_its_room),
        cmocka_unit_test(ws_compress__tells_what_a_context_takes),
        cmocka_unit_test(ws_compress__survives_failing_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
