#include "proto/ws_deflate.h"

#include "proto/http1_grammar.h"

#define EXTENSION "permessage-deflate"

static const str server_no_context = {"server_no_context_takeover", 26};
static const str client_no_context = {"client_no_context_takeover", 26};
static const str server_max_bits = {"server_max_window_bits", 22};
static const str client_max_bits = {"client_max_window_bits", 22};

/* ----------------------------------------------------------------------------------------------------------- the grammar
 * extension-list = 1#extension · extension = token *( ";" param ) · param = token [ "=" ( token | quoted token ) ] */

enum { VALUE_BYTES = 3 }; /* no number that means something is longer than two */

typedef struct {
    str name;
    bool has_value;
    uint8_t value_len; /* of longer ones VALUE_BYTES */
    char value[VALUE_BYTES];
} parameter;

static void skip(str *rest, size_t n)
{
    rest->at += n;
    rest->len -= n;
}

static void skip_space(str *rest)
{
    while (rest->len && (*rest->at == ' ' || *rest->at == '\t'))
        skip(rest, 1);
}

/* Takes the byte when it comes next, with the space around it. */
static bool take(str *rest, char byte)
{
    skip_space(rest);
    if (!rest->len || *rest->at != byte)
        return false;
    skip(rest, 1);
    skip_space(rest);
    return true;
}

/* Empty when there is none. */
static str take_token(str *rest)
{
    str token = {rest->at, http1_span(*rest, HTTP1_TCHAR)};
    skip(rest, token.len);
    return token;
}

static void add_to_value(parameter *p, char byte)
{
    if (p->value_len < VALUE_BYTES)
        p->value[p->value_len++] = byte;
}

/* From the opening quote on. A backslash quotes what follows it; without quotes it must be a token. */
static bool take_quoted(str *rest, parameter *p)
{
    skip(rest, 1);
    while (rest->len && *rest->at != '"') {
        skip(rest, *rest->at == '\\');
        if (!rest->len || !http1_is(*rest->at, HTTP1_TCHAR))
            return false;
        add_to_value(p, *rest->at);
        skip(rest, 1);
    }
    if (!rest->len)
        return false;
    skip(rest, 1);
    return p->value_len > 0;
}

/* Behind the semicolon. */
static bool take_parameter(str *rest, parameter *p)
{
    *p = (parameter){.name = take_token(rest)};
    if (!p->name.len)
        return false;
    p->has_value = take(rest, '=');
    if (!p->has_value)
        return true;
    if (rest->len && *rest->at == '"')
        return take_quoted(rest, p);
    str value = take_token(rest);
    for (size_t i = 0; i < value.len && i < VALUE_BYTES; i++)
        add_to_value(p, value.at[i]);
    return value.len > 0;
}

/* ------------------------------------------------------------------------------------------------------- the parameters */

/* 8 to 15 without a leading zero; 0 for anything else. */
static uint8_t read_bits(const parameter *p)
{
    if (p->value_len == 1 && (p->value[0] == '8' || p->value[0] == '9'))
        return (uint8_t)(p->value[0] - '0');
    if (p->value_len == 2 && p->value[0] == '1' && p->value[1] >= '0' && p->value[1] <= '5')
        return (uint8_t)(10 + p->value[1] - '0');
    return 0;
}

static bool set_flag(const parameter *p, bool *flag)
{
    bool good = !p->has_value && !*flag;
    *flag = true;
    return good;
}

static bool set_bits(const parameter *p, uint8_t *bits)
{
    bool repeated = *bits;
    *bits = read_bits(p);
    return *bits && !repeated;
}

/* Only an offer may name it without a value. */
static bool set_client_bits(const parameter *p, bool in_answer, ws_deflate_offer *offer)
{
    bool repeated = offer->client_bits_taken;
    offer->client_bits_taken = true;
    if (!p->has_value)
        return !in_answer && !repeated;
    return set_bits(p, &offer->client_bits) && !repeated;
}

/* False for a parameter that may not stand there. */
static bool set_parameter(const parameter *p, bool in_answer, ws_deflate_offer *offer)
{
    if (str_equal(p->name, server_no_context))
        return set_flag(p, &offer->server_no_context);
    if (str_equal(p->name, client_no_context))
        return set_flag(p, &offer->client_no_context);
    if (str_equal(p->name, server_max_bits))
        return set_bits(p, &offer->server_bits);
    if (str_equal(p->name, client_max_bits))
        return set_client_bits(p, in_answer, offer);
    return false;
}

typedef enum {
    NOTHING_MORE, /* or nothing that can be read */
    OTHER,        /* another extension, or this one as it may not be */
    GOOD,
} element;

/* The next extension of a list, with the comma behind it. */
static element read_extension(str *rest, bool in_answer, ws_deflate_offer *ret)
{
    ws_deflate_offer offer = {0};
    while (take(rest, ','))
        continue;
    str name = take_token(rest);
    bool good = str_equal(name, STR(EXTENSION));
    if (!name.len)
        return NOTHING_MORE;
    while (take(rest, ';')) {
        parameter p;
        if (!take_parameter(rest, &p))
            return NOTHING_MORE;
        good = good && set_parameter(&p, in_answer, &offer);
    }
    if (rest->len && !take(rest, ','))
        return NOTHING_MORE;
    *ret = offer;
    return good ? GOOD : OTHER;
}

/* ------------------------------------------------------------------------------------------------------------ the server */

bool ws_deflate_read_offer(str field, ws_deflate_offer *ret_offer)
{
    ws_deflate_offer offer;
    element found;
    while ((found = read_extension(&field, false, &offer)) != NOTHING_MORE) {
        if (found != GOOD || offer.server_bits == WS_DEFLATE_MIN_BITS - 1)
            continue;
        *ret_offer = offer;
        return true;
    }
    return false;
}

static uint8_t bits_or_all(uint8_t bits)
{
    return bits ? bits : WS_DEFLATE_MAX_BITS;
}

ws_deflate ws_deflate_agree(const ws_deflate_offer *offer, const ws_deflate_room *room)
{
    return (ws_deflate){
        .server_no_context = offer->server_no_context || !room->own_context,
        .client_no_context = offer->client_no_context || !room->peer_context,
        .server_bits = bits_or_all(offer->server_bits),
        .client_bits = bits_or_all(offer->client_bits),
    };
}

/* ------------------------------------------------------------------------------------------------------------- the text */

static char *put_parameter(char *at, str name)
{
    return str_put(str_put(at, STR("; ")), name);
}

static char *put_bits(char *at, str name, uint8_t bits)
{
    at = str_put(put_parameter(at, name), STR("="));
    if (bits >= 10)
        *at++ = '1';
    *at++ = (char)('0' + bits % 10);
    return at;
}

static char *put_flags(char *at, bool server, bool client)
{
    at = str_put(at, STR(EXTENSION));
    if (server)
        at = put_parameter(at, server_no_context);
    return client ? put_parameter(at, client_no_context) : at;
}

size_t ws_deflate_put_answer(const ws_deflate_offer *offer, const ws_deflate *agreed,
                             char ret_value[WS_DEFLATE_FIELD_BYTES])
{
    char *at = put_flags(ret_value, agreed->server_no_context, agreed->client_no_context);
    if (offer->server_bits)
        at = put_bits(at, server_max_bits, agreed->server_bits);
    if (offer->client_bits)
        at = put_bits(at, client_max_bits, agreed->client_bits);
    return (size_t)(at - ret_value);
}

size_t ws_deflate_put_offer(const ws_deflate_offer *offer, char ret_value[WS_DEFLATE_FIELD_BYTES])
{
    char *at = put_flags(ret_value, offer->server_no_context, offer->client_no_context);
    if (offer->server_bits)
        at = put_bits(at, server_max_bits, offer->server_bits);
    if (offer->client_bits)
        at = put_bits(at, client_max_bits, offer->client_bits);
    else if (offer->client_bits_taken)
        at = put_parameter(at, client_max_bits);
    return (size_t)(at - ret_value);
}

/* ------------------------------------------------------------------------------------------------------------ the client */

/* What was asked of the server must hold; what the server asks must have been offered (RFC 7692 §7.1). */
static bool stays_within(const ws_deflate_offer *answer, const ws_deflate_offer *offer)
{
    if (offer->server_no_context && !answer->server_no_context)
        return false;
    if (offer->server_bits && (!answer->server_bits || answer->server_bits > offer->server_bits))
        return false;
    return !answer->client_bits || (offer->client_bits_taken && answer->client_bits <= bits_or_all(offer->client_bits));
}

bool ws_deflate_read_answer(str field, const ws_deflate_offer *offer, ws_deflate *ret_agreed)
{
    ws_deflate_offer answer, none;
    if (read_extension(&field, true, &answer) != GOOD || read_extension(&field, true, &none) != NOTHING_MORE ||
        field.len)
        return false;
    if (!stays_within(&answer, offer))
        return false;
    *ret_agreed = (ws_deflate){
        .server_no_context = answer.server_no_context,
        .client_no_context = answer.client_no_context || offer->client_no_context,
        .server_bits = bits_or_all(answer.server_bits),
        .client_bits = bits_or_all(answer.client_bits ? answer.client_bits : offer->client_bits),
    };
    return true;
}
