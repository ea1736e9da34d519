/*
 * Any text as an envelope and as a message of a batch: what is refused has a problem; what is read lies within the text
 * and is what its contract says it is: strings UTF-8, data of its kind, an id that can be repeated.
 */
#include <stdlib.h>

#include "base/utf8.h"
#include "proto/envelope.h"
#include "proto/json.h"
#include "proto/json_read.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition)
        abort();
}

static void check_inside(str slice, str text)
{
    require(!slice.at || (slice.at > text.at && slice.at + slice.len < text.at + text.len));
}

static void check_string(str string, str text)
{
    check_inside(string, text);
    require(!string.at || utf8_valid(string.at, string.len));
}

static void check_id(str id, str text)
{
    check_inside(id, text);
    if (!id.at)
        return;
    require(id.len <= ENVELOPE_MAX_ID_BYTES && json_check(id) == (int64_t)id.len);
    require(json_type(id) == JSON_NUMBER || json_type(id) == JSON_STRING);
}

static void check_data(const envelope *e, str text)
{
    check_inside(e->data, text);
    require(e->data.at && e->topic.at);
    require(e->kind == WEFT_TEXT || e->kind == WEFT_JSON || e->kind == WEFT_BINARY);
    require(e->kind != WEFT_TEXT || utf8_valid(e->data.at, e->data.len));
    require(e->kind != WEFT_JSON || json_check(e->data) == (int64_t)e->data.len);
}

static void check_read(const envelope *e, str text)
{
    bool subscribe = e->type == ENVELOPE_SUBSCRIBE;
    require(!e->problem && e->type >= ENVELOPE_UNKNOWN && e->type <= ENVELOPE_PONG);
    check_string(e->topic, text);
    check_string(e->since, text);
    check_string(e->name, text);
    check_string(e->event, text);
    require(subscribe || (!e->since.at && !e->presence));
    require(e->type == ENVELOPE_HELLO || !e->name.at);
    if (subscribe || e->type == ENVELOPE_UNSUBSCRIBE || e->type == ENVELOPE_PRESENCE)
        require(e->topic.at);
    if (e->type == ENVELOPE_PUBLISH)
        check_data(e, text);
    else
        require(!e->data.at && !e->event.at && !e->kind);
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

static void check_result(int error, const envelope *e, str text)
{
    check_id(e->id, text);
    if (error == 0)
        check_read(e, text);
    else
        require((error == WEFT_E_JSON || error == WEFT_E_INVALID) && e->problem && *e->problem);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = exact_copy(data, size);
    str text = {copy, size};
    envelope e;
    bool is_json = json_check(text) > 0;
    bool is_object = is_json && json_type(text) == JSON_OBJECT;
    int error = envelope_read(copy, size, &e);
    require((error == WEFT_E_JSON) == !is_object);
    check_result(error, &e, text);
    if (is_json && size) {
        memcpy(copy, data, size);
        error = envelope_read_item(copy, size, &e);
        require((error == WEFT_E_JSON) == !is_object && !e.id.at);
        require(!is_object || e.type == ENVELOPE_PUBLISH);
        check_result(error, &e, text);
    }
    free(copy);
    return 0;
}
