#include "bench/pushed.h"

#include "proto/json.h"
#include "proto/json_read.h"

bench_pushed bench_pushed_inside(str object)
{
    bench_pushed pushed = {.is_gap = false};
    str rest = json_begin(object), name, value;
    while (json_next_member(&rest, &name, &value)) {
        if (json_name_is(name, "data"))
            pushed.data = value;
        else if (json_name_is(name, "messages"))
            pushed.messages = value;
        else if (json_name_is(name, "cursor"))
            pushed.cursor = value;
        else if (json_name_is(name, "gap"))
            pushed.is_gap = json_type(value) == JSON_TRUE;
    }
    return pushed;
}

bool bench_pushed_read(str text, bench_pushed *ret_pushed)
{
    str trimmed = str_trim(text);
    if (trimmed.len == 0 || *trimmed.at != '{' || json_check(trimmed) < 0)
        return false;
    *ret_pushed = bench_pushed_inside(trimmed);
    return true;
}

int bench_pushed_text(str value, buf *room, str *ret_text)
{
    str raw = json_type(value) == JSON_STRING ? json_string_raw(value) : value;
    if (str_same(raw, value) || raw.len == 0 || !memchr(raw.at, '\\', raw.len)) {
        *ret_text = raw;
        return 0;
    }
    room->len = 0;
    int error = buf_reserve(room, raw.len);
    if (error)
        return error;
    int64_t len = json_decode(raw, room->at);
    if (len < 0)
        return (int)len;
    *ret_text = (str){room->at, (size_t)len};
    return 0;
}
