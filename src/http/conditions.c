#include "http/conditions.h"

#include "http/http_date.h"
#include <time.h>

/* -------------------------------------------------------------------------------------------------------------- fields */

static bool has_field(const weft_request *request, const char *name)
{
    return http1_find(request->head, request->bytes, name).at;
}

/* The value of a field that is no list: none when it comes twice. */
static str only_value(const weft_request *request, const char *name)
{
    bool once = http1_count(request->head, request->bytes, name) == 1;
    return once ? http1_find(request->head, request->bytes, name) : (str){NULL, 0};
}

/* Walks the elements of a list, which several fields may hold together (RFC 9110 §5.3). */
typedef struct {
    const weft_request *request;
    str name;
    str rest;    /* of the field being read */
    size_t next; /* the field behind it */
} field_list;

static bool list_next(field_list *list, str *ret_element)
{
    const weft_request *request = list->request;
    while (!http1_list_next(&list->rest, ret_element)) {
        while (list->next < request->head->n_fields &&
               !str_equal_nocase(http1_name(request->head, request->bytes, list->next), list->name))
            list->next++;
        if (list->next == request->head->n_fields)
            return false;
        list->rest = http1_value(request->head, request->bytes, list->next++);
    }
    return true;
}

/* ------------------------------------------------------------------------------------------------------------- codings */

/* A qvalue in thousandths (RFC 9110 §12.4.2). What is none counts as 0: what was not asked for clearly is not sent. */
static unsigned parse_weight(str text)
{
    unsigned weight = 0, unit = 1000;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.at[i];
        if (i == 1 ? c != '.' : c < '0' || c > '9' || i > 4)
            return 0;
        if (i != 1) {
            weight += (unsigned)(c - '0') * unit;
            unit /= 10;
        }
    }
    return weight <= 1000 ? weight : 0;
}

/* Takes `coding;q=0.5` apart. */
static unsigned weight_of(str element, str *ret_coding)
{
    unsigned weight = 1000;
    str rest = element, parameter;
    str_split(&rest, ';', ret_coding);
    *ret_coding = str_trim(*ret_coding);
    while (str_split(&rest, ';', &parameter)) {
        parameter = str_trim(parameter);
        if (parameter.len >= 2 && char_lower((unsigned char)parameter.at[0]) == 'q' && parameter.at[1] == '=')
            weight = parse_weight((str){parameter.at + 2, parameter.len - 2});
    }
    return weight;
}

/* Some still call gzip x-gzip (RFC 9110 §8.4.1.3). */
static bool names_coding(str name, str coding)
{
    bool old = name.len > 2 && str_equal_nocase((str){name.at, 2}, STR("x-"));
    return str_equal_nocase(old ? (str){name.at + 2, name.len - 2} : name, coding);
}

unsigned conditions_weight(const weft_request *request, str coding)
{
    field_list list = {.request = request, .name = STR("Accept-Encoding")};
    str element, name = {NULL, 0};
    unsigned others = 0;
    while (list_next(&list, &element)) {
        unsigned weight = weight_of(element, &name);
        if (names_coding(name, coding))
            return weight;
        if (str_equal(name, STR("*")))
            others = weight;
    }
    return others;
}

/* ------------------------------------------------------------------------------------------------------- preconditions */

static bool is_weak(str tag)
{
    return tag.len > 2 && tag.at[0] == 'W' && tag.at[1] == '/';
}

/* Weak comparison takes W/"a" and "a" for the same, strong comparison no weak tag at all (RFC 9110 §8.8.3.2). */
static bool tag_matches(str tag, str etag, bool strong)
{
    if (!is_weak(tag))
        return str_equal(tag, etag);
    return !strong && str_equal((str){tag.at + 2, tag.len - 2}, etag);
}

static bool any_tag_matches(const weft_request *request, const char *name, str etag, bool strong)
{
    field_list list = {.request = request, .name = str_from(name)};
    str tag;
    while (list_next(&list, &tag))
        if (str_equal(tag, STR("*")) || tag_matches(tag, etag, strong))
            return true;
    return false;
}

/* False for no date, which is as if the field was not there. */
static bool date_in(const weft_request *request, const char *name, int64_t *ret_seconds)
{
    str value = only_value(request, name);
    return value.at && http_date_parse(value, time(NULL), ret_seconds);
}

static bool precondition_fails(const weft_request *request, const representation *what)
{
    int64_t date;
    if (has_field(request, "If-Match"))
        return !any_tag_matches(request, "If-Match", what->etag, true);
    return date_in(request, "If-Unmodified-Since", &date) && what->modified_s > date;
}

static bool is_not_modified(const weft_request *request, const representation *what)
{
    int64_t date;
    if (has_field(request, "If-None-Match"))
        return any_tag_matches(request, "If-None-Match", what->etag, false);
    return date_in(request, "If-Modified-Since", &date) && what->modified_s <= date;
}

int conditions_check(const weft_request *request, const representation *what)
{
    if (precondition_fails(request, what))
        return 412;
    return is_not_modified(request, what) ? 304 : 200;
}

/* -------------------------------------------------------------------------------------------------------------- ranges */

/* Digits only, at least one; what no file is as long as counts as UINT64_MAX. */
static bool parse_position(str text, uint64_t *ret_position)
{
    uint64_t position = 0;
    for (size_t i = 0; i < text.len; i++) {
        uint64_t digit = (uint64_t)(text.at[i] - '0');
        if (text.at[i] < '0' || text.at[i] > '9')
            return false;
        position = position > (UINT64_MAX - digit) / 10 ? UINT64_MAX : position * 10 + digit;
    }
    *ret_position = position;
    return text.len > 0;
}

/* `-500`: the last 500 bytes, or all when there are fewer. */
static int last_bytes(str suffix, uint64_t size, byte_range *ret_range)
{
    uint64_t n;
    if (!parse_position(suffix, &n))
        return 200;
    if (n == 0)
        return 416;
    if (size == 0) /* all of nothing, which Content-Range cannot say */
        return 200;
    n = n < size ? n : size;
    *ret_range = (byte_range){size - n, n};
    return 206;
}

static int parse_range(str spec, uint64_t size, byte_range *ret_range)
{
    str from, until = spec;
    uint64_t first, last = UINT64_MAX;
    str_split(&until, '-', &from);
    if (!until.at)
        return 200;
    if (from.len == 0)
        return last_bytes(until, size, ret_range);
    if (!parse_position(from, &first) || (until.len && !parse_position(until, &last)) || last < first)
        return 200;
    if (first >= size)
        return 416;
    last = last < size ? last : size - 1;
    *ret_range = (byte_range){first, last - first + 1};
    return 206;
}

/* If-Range: the range only of what the client has the rest of, by a strong comparison (RFC 9110 §13.1.5). A date is as good as a tag
 * here, as none is told before its second is over. */
static bool range_is_of_this(const weft_request *request, const representation *what)
{
    int64_t date;
    str tag = only_value(request, "If-Range");
    if (!has_field(request, "If-Range") || (tag.at && tag_matches(tag, what->etag, true)))
        return true;
    return date_in(request, "If-Range", &date) && date == what->modified_s;
}

int conditions_range(const weft_request *request, const representation *what, byte_range *ret_range)
{
    str list = only_value(request, "Range"), unit, spec, another;
    if (!list.at || !str_equal(http1_method(request->head, request->bytes), STR("GET")))
        return 200; /* §14.2: for GET only */
    str_split(&list, '=', &unit);
    if (!str_equal_nocase(unit, STR("bytes")) || !http1_list_next(&list, &spec) || http1_list_next(&list, &another))
        return 200;
    return range_is_of_this(request, what) ? parse_range(spec, what->size, ret_range) : 200;
}
