/*
 * What a WebSocket frame costs: nanoseconds to decode masked text frames, and how fast ws_mask() and its portable twin unmask.
 *
 * Each round decodes a batch of frames that lie one behind the other, as they would in the receive buffer. Unmasking in place
 * changes the input, so the batch is copied back from a pristine one before each round, outside of the clock.
 */
#include "proto/ws_decoder.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum {
    BATCH_BYTES = 128 * 1024,
    N_ROUNDS = 400,
    N_REPEATS = 5,
};

static const uint8_t mask[4] = {0x37, 0xfa, 0x21, 0x3d};

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void *allocate(size_t len)
{
    void *bytes = malloc(len);
    if (!bytes) {
        fputs("frame_bench: out of memory\n", stderr);
        exit(1);
    }
    return bytes;
}

/* Frames of `payload_len` letters in a batch; their number, and their bytes together in *ret_len. */
static size_t fill_batch(char *batch, size_t payload_len, size_t *ret_len)
{
    ws_header header = {.opcode = WS_TEXT, .fin = true, .masked = true, .len = payload_len};
    size_t n_frames = 0, len = 0;

    memcpy(header.mask, mask, sizeof mask);
    while (len + WS_MAX_HEADER_BYTES + payload_len <= BATCH_BYTES) {
        len += ws_header_put(&header, batch + len);
        memset(batch + len, 'w', payload_len);
        ws_mask(batch + len, batch + len, payload_len, mask, 0);
        len += payload_len;
        n_frames++;
    }
    *ret_len = len;
    return n_frames;
}

static size_t decode_batch(ws_decoder *decoder, char *at, size_t len)
{
    ws_event event;
    size_t n_messages = 0;

    while (ws_decoder_next(decoder, at, len, &event), event.type == WS_DATA) {
        n_messages += event.first && event.last;
        at += event.consumed;
        len -= event.consumed;
    }
    return n_messages;
}

static double decode_ns(size_t payload_len)
{
    char *pristine = allocate(BATCH_BYTES), *batch = allocate(BATCH_BYTES);
    size_t len, n_frames = fill_batch(pristine, payload_len, &len);
    double spent = 0;
    ws_decoder decoder;

    ws_decoder_init(&decoder, WS_SERVER, 1 << 20);
    for (int i = 0; i < N_ROUNDS; i++) {
        memcpy(batch, pristine, len);
        double start = now_ns();
        if (decode_batch(&decoder, batch, len) != n_frames)
            abort();
        spent += now_ns() - start;
    }
    free(pristine);
    free(batch);
    return spent / N_ROUNDS / (double)n_frames;
}

typedef bool mask_function(char *dst, const char *src, size_t len, const uint8_t key[4], size_t offset);

static double mask_gb_per_s(mask_function *function, size_t len)
{
    char *bytes = allocate(len);
    size_t n_calls = ((size_t)64 << 20) / len;
    size_t n_ascii = 0;

    memset(bytes, 'w', len);
    double start = now_ns();
    for (size_t i = 0; i < n_calls; i++)
        n_ascii += function(bytes, bytes, len, mask, i);
    double spent = now_ns() - start;
    if (n_ascii > n_calls)
        abort();
    free(bytes);
    return (double)(n_calls * len) / spent;
}

static double best_decode_ns(size_t payload_len)
{
    double best = decode_ns(payload_len);
    for (int i = 1; i < N_REPEATS; i++) {
        double ns = decode_ns(payload_len);
        best = ns < best ? ns : best;
    }
    return best;
}

static double best_mask_gb_per_s(mask_function *function, size_t len)
{
    double best = 0;
    for (int i = 0; i < N_REPEATS; i++) {
        double rate = mask_gb_per_s(function, len);
        best = rate > best ? rate : best;
    }
    return best;
}

int main(void)
{
    static const size_t frame_lens[] = {20, 1024, 16 * 1024};
    static const size_t mask_lens[] = {20, 64, 1024, 16 * 1024};

    for (size_t i = 0; i < sizeof frame_lens / sizeof *frame_lens; i++)
        printf("decode masked text %6zu B  %7.1f ns a frame\n", frame_lens[i], best_decode_ns(frame_lens[i]));
    for (size_t i = 0; i < sizeof mask_lens / sizeof *mask_lens; i++)
        printf("mask %6zu B  portable %6.1f GB/s  chosen %6.1f GB/s\n", mask_lens[i],
               best_mask_gb_per_s(ws_mask_portable, mask_lens[i]), best_mask_gb_per_s(ws_mask, mask_lens[i]));
    return 0;
}
