#include "transport/sessions.h"

#include "base/base64.h"
#include <errno.h>
#include <sys/random.h>

enum { ID_RANDOM_BYTES = SESSION_ID_BYTES / 4 * 3 };

int session_make_id(char ret_id[SESSION_ID_BYTES])
{
    uint8_t random[ID_RANDOM_BYTES];
    ssize_t got = getrandom(random, sizeof random, 0);
    if (got != (ssize_t)sizeof random)
        return got < 0 ? -errno : -EIO;
    base64_encode(random, sizeof random, ret_id);
    for (size_t i = 0; i < SESSION_ID_BYTES; i++)
        ret_id[i] = ret_id[i] == '+' ? '-' : ret_id[i] == '/' ? '_' : ret_id[i];
    return 0;
}

int session_add(hub *h, session *s, peer *p, const void *route)
{
    int error = session_make_id(s->id);
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
