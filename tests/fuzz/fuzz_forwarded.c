/*
 * Any text as a Forwarded field: elements lie in it in order, what is read moves forward, and what was refused stays
 * refused whatever a proxy puts behind it: no client can make its proxy's element say something else.
 */
#include <stdlib.h>

#include "proto/forwarded.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition)
        abort();
}

static bool lies_in(str part, str whole)
{
    return !part.at || (part.at >= whole.at && part.at + part.len <= whole.at + whole.len);
}

/* The last element; false when the field is not to be believed. */
static bool read_all(str field, forwarded_element *ret_last)
{
    str rest = field;
    int more;
    do {
        size_t before = rest.len;
        more = forwarded_next(&rest, ret_last);
        require(rest.len <= before && rest.at + rest.len == field.at + field.len);
        require(more <= 0 || rest.len < before);
        require(more <= 0 || (lies_in(ret_last->client, field) && lies_in(ret_last->proto, field)));
    } while (more > 0);
    require(more == 0 || more == WEFT_E_INVALID);
    return more == 0;
}

/* The client's part, and behind it what an honest proxy says. */
static void check_behind(str field, str proxy, str client)
{
    char *at = malloc(field.len + proxy.len + 1);
    forwarded_element last = {{NULL, 0}, {NULL, 0}};
    require(at != NULL);
    if (field.len)
        memcpy(at, field.at, field.len);
    memcpy(at + field.len, proxy.at, proxy.len);
    if (read_all((str){at, field.len + proxy.len}, &last))
        require(str_equal(last.client, client));
    free(at);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    str field = {(const char *)data, size};
    forwarded_element last = {{NULL, 0}, {NULL, 0}};
    read_all(field, &last);
    check_behind(field, STR(", for=192.0.2.1"), STR("192.0.2.1"));
    check_behind(field, STR(", for=\"[2001:db8::1]:80\";proto=https"), STR("[2001:db8::1]:80"));
    return 0;
}
