#include "transport/access.h"

#include "hub/topic.h"
#include <openssl/crypto.h>
#include <openssl/sha.h>

static bool same_key(str sent, str known)
{
    unsigned char of_sent[SHA256_DIGEST_LENGTH], of_known[SHA256_DIGEST_LENGTH];
    /* Digests differ everywhere for keys that differ anywhere, in length too. Without memory for one nobody has the
     * key. */
    if (!SHA256((const unsigned char *)sent.at, sent.len, of_sent))
        return false;
    if (!SHA256((const unsigned char *)known.at, known.len, of_known))
        return false;
    return CRYPTO_memcmp(of_sent, of_known, sizeof of_known) == 0;
}

access_key access_look(const access_rules *rules, const weft_request *request)
{
    str scheme = STR("Bearer "), field = weft_request_header(request, "Authorization");
    if (!rules->key || !field.at) /* without a key of ours the field is somebody else's: the program's, a proxy's */
        return ACCESS_NO_KEY;
    if (!str_begins_nocase(field, scheme))
        return ACCESS_WRONG_KEY;
    str sent = str_trim((str){field.at + scheme.len, field.len - scheme.len});
    return same_key(sent, str_from(rules->key)) ? ACCESS_KEY : ACCESS_WRONG_KEY;
}

static bool any_matches(const char *const *patterns, str name)
{
    for (; *patterns; patterns++)
        if (topic_pattern_matches(str_from(*patterns), name))
            return true;
    return false;
}

static bool listed(const access_rules *rules, str name, bool publish)
{
    if (publish)
        return rules->publish && any_matches(rules->publish, name);
    return !rules->subscribe || any_matches(rules->subscribe, name);
}

bool access_allowed(const access_rules *rules, const access_asker *asker, str name, bool publish)
{
    if (asker->has_key)
        return true;
    if (!listed(rules, name, publish))
        return false;
    if (!rules->allow)
        return true;
    weft_access access = {.topic = name, .request = asker->request, .publish = publish};
    if (asker->peer)
        access.peer = peer_handle(asker->peer);
    return rules->allow(&access, rules->user);
}
