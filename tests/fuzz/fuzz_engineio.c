/*
 * Any bytes as the text of a frame and as a payload: what is read lies within them, packets come in their order and each ends
 * at a separator; what is bad once stays bad; and messages that are written again are read as the same.
 */
#include <stdlib.h>

#include "proto/engineio.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition)
        abort();
}

/** Of exactly this size, so that the address sanitizer sees a byte too many, and written to. */
static char *exact_copy(const uint8_t *data, size_t size)
{
    char *copy = malloc(size);
    require(copy || size == 0);
    if (size)
        memcpy(copy, data, size);
    return copy;
}

static void check_written_again(const engineio_packet *packet)
{
    if (packet->type != ENGINEIO_MESSAGE)
        return;
    size_t len = engineio_payload_len(packet->binary, packet->data.len);
    char *text = malloc(len);
    require(text && engineio_payload_put(text, packet->binary, packet->data) == len);
    engineio_payload payload = {.at = text, .len = len};
    engineio_packet again;
    require(engineio_next(&payload, &again) == ENGINEIO_PACKET);
    require(again.type == packet->type && again.binary == packet->binary && str_equal(again.data, packet->data));
    require(engineio_next(&payload, &again) == ENGINEIO_END);
    free(text);
}

static void check_packet(const engineio_packet *packet, const char *from, const char *end)
{
    require(packet->type <= ENGINEIO_NOOP && (!packet->binary || packet->type == ENGINEIO_MESSAGE));
    require(packet->data.at > from && packet->data.at + packet->data.len <= end);
    require(packet->binary || !memchr(packet->data.at, ENGINEIO_SEPARATOR, packet->data.len));
    check_written_again(packet);
}

static void check_payload(char *at, size_t len)
{
    engineio_payload payload = {.at = at, .len = len};
    engineio_packet packet;
    engineio_status status;
    for (const char *from = at; (status = engineio_next(&payload, &packet)) == ENGINEIO_PACKET; from = payload.at) {
        require(payload.at + payload.len == at + len && payload.at > from);
        require(payload.len == 0 || *payload.at == ENGINEIO_SEPARATOR);
        check_packet(&packet, from - (from == at), payload.at);
    }
    require(status == ENGINEIO_BAD || (len && payload.len == 0));
    require(engineio_next(&payload, &packet) == status);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = exact_copy(data, size);
    engineio_packet packet;
    if (engineio_read((str){copy, size}, &packet)) {
        require(packet.data.at == copy + 1 && packet.data.len < size);
        require(packet.binary == (data[0] == 'b'));
    }
    if (size)
        memcpy(copy, data, size);
    check_payload(copy, size);
    free(copy);
    return 0;
}
