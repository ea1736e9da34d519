#include "transport/sessions.h"

#include "base/base64.h"
#include <errno.h>
#include <sys/random.h>

enum {
    ID_RANDOM_BYTES = SESSION_RANDOM_CHARS / 4 * 3,
    DIGIT_BITS = 6,
    N_DIGITS = 1 << DIGIT_BITS,
};

static const char digits[N_DIGITS + 1] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static_assert(LOOP_MAX <= 1 << DIGIT_BITS * SESSION_LOOP_CHARS, "a loop's number has room");

int session_make_id(const hub *h, char ret_id[SESSION_ID_BYTES])
{
    unsigned loop_index = h->loop->index;
    uint8_t random[ID_RANDOM_BYTES];
    ssize_t got = getrandom(random, sizeof random, 0);
    if (got != (ssize_t)sizeof random)
        return got < 0 ? -errno : -EIO;
    base64_encode(random, sizeof random, ret_id);
    for (size_t i = 0; i < SESSION_RANDOM_CHARS; i++)
        ret_id[i] = ret_id[i] == '+' ? '-' : ret_id[i] == '/' ? '_' : ret_id[i];
    ret_id[SESSION_RANDOM_CHARS] = digits[loop_index >> DIGIT_BITS];
    ret_id[SESSION_RANDOM_CHARS + 1] = digits[loop_index % N_DIGITS];
    return 0;
}

static unsigned digit_of(char c)
{
    const char *at = memchr(digits, c, N_DIGITS);
    return at ? (unsigned)(at - digits) : LOOP_MAX;
}

/* LOOP_MAX or more: none. */
static unsigned loop_of(str id)
{
    if (id.len != SESSION_ID_BYTES)
        return LOOP_MAX;
    return digit_of(id.at[SESSION_RANDOM_CHARS]) * N_DIGITS + digit_of(id.at[SESSION_RANDOM_CHARS + 1]);
}

bool session_follow(exchange *e, const weft_request *request, str id)
{
    const hub *h = e->context;
    unsigned where = loop_of(id);
    int error = where == h->loop->index ? WEFT_E_INVALID : exchange_move(e, request, where);
    if (error == -ENOMEM)
        exchange_refuse(e, 503, STR("out of memory\n"));
    return !error || error == -ENOMEM;
}

int session_add(hub *h, session *s, peer *p, const void *route)
{
    int error = session_make_id(h, s->id);
    return error ? error : session_put(h, s, p, route);
}

int session_put(hub *h, session *s, peer *p, const void *route)
{
    s->entry.key = (str){s->id, SESSION_ID_BYTES};
    int error = map_put(&h->sessions, &s->entry);
    if (error)
        return error;
    s->peer = p;
    s->route = route;
    return 0;
}

void session_remove(hub *h, session *s)
{
    if (!s->route)
        return;
    s->route = NULL;
    map_remove(&h->sessions, &s->entry);
}

session *session_find(const hub *h, str id, const void *route)
{
    map_entry *entry = map_get(&h->sessions, id);
    session *found = entry ? CONTAINER(entry, session, entry) : NULL;
    return found && found->route == route ? found : NULL;
}
