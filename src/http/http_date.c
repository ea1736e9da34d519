#include "http/http_date.h"

#include <stdio.h>
#include <time.h>

/* Not strftime() and strptime(): these speak the language of the locale. */
static const char *const days[] = {"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"};
static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

bool http_date_put(int64_t seconds, char ret_text[HTTP_DATE_BYTES])
{
    time_t when = (time_t)seconds;
    struct tm t;
    if (!gmtime_r(&when, &t) || t.tm_year < -1900 || t.tm_year > 9999 - 1900)
        return false;
    int n = snprintf(ret_text, HTTP_DATE_BYTES, "%.3s, %02d %s %04d %02d:%02d:%02d GMT", days[t.tm_wday], t.tm_mday,
                     months[t.tm_mon], t.tm_year + 1900, t.tm_hour, t.tm_min, t.tm_sec);
    return n > 0 && n < HTTP_DATE_BYTES;
}

/* ------------------------------------------------------------------------------------------------------------- reading */

/* Takes the text off the front of *rest. Dates are case-sensitive. */
static bool take_text(str *rest, str text)
{
    if (rest->len < text.len || memcmp(rest->at, text.at, text.len) != 0)
        return false;
    *rest = (str){rest->at + text.len, rest->len - text.len};
    return true;
}

static bool take_number(str *rest, size_t n_digits, int *ret_number)
{
    int number = 0;
    if (rest->len < n_digits)
        return false;
    for (size_t i = 0; i < n_digits; i++) {
        if (rest->at[i] < '0' || rest->at[i] > '9')
            return false;
        number = number * 10 + rest->at[i] - '0';
    }
    *rest = (str){rest->at + n_digits, rest->len - n_digits};
    *ret_number = number;
    return true;
}

/* Two digits, of which the first may be a space. */
static bool take_padded(str *rest, int *ret_number)
{
    return take_text(rest, STR(" ")) ? take_number(rest, 1, ret_number) : take_number(rest, 2, ret_number);
}

static bool take_month(str *rest, int *ret_month)
{
    for (int i = 0; i < 12; i++) {
        if (take_text(rest, str_from(months[i]))) {
            *ret_month = i;
            return true;
        }
    }
    return false;
}

/* The day of the week says nothing new: it must be one, and need not be right. */
static bool take_day(str *rest, bool whole)
{
    for (size_t i = 0; i < sizeof days / sizeof *days; i++)
        if (take_text(rest, (str){days[i], whole ? strlen(days[i]) : 3}))
            return true;
    return false;
}

static bool take_part(char what, str *rest, struct tm *t)
{
    switch (what) {
    case 'a':
    case 'A':
        return take_day(rest, what == 'A');
    case 'd':
        return take_number(rest, 2, &t->tm_mday);
    case 'e':
        return take_padded(rest, &t->tm_mday);
    case 'b':
        return take_month(rest, &t->tm_mon);
    case 'y':
    case 'Y':
        return take_number(rest, what == 'Y' ? 4 : 2, &t->tm_year);
    case 'H':
        return take_number(rest, 2, &t->tm_hour);
    case 'M':
        return take_number(rest, 2, &t->tm_min);
    default:
        return take_number(rest, 2, &t->tm_sec);
    }
}

/* A format has the letters of strptime(); tm_year is the year as it stands there. */
static bool parse(str rest, const char *format, struct tm *ret_parts)
{
    *ret_parts = (struct tm){0};
    for (const char *f = format; *f; f++)
        if (*f == '%' ? !take_part(*++f, &rest, ret_parts) : !take_text(&rest, (str){f, 1}))
            return false;
    return rest.len == 0;
}

/* 60 is a leap second. */
static bool in_range(const struct tm *t)
{
    return t->tm_mday >= 1 && t->tm_mday <= 31 && t->tm_hour <= 23 && t->tm_min <= 59 && t->tm_sec <= 60;
}

static int year_of(int64_t seconds)
{
    time_t when = (time_t)seconds;
    struct tm t;
    return gmtime_r(&when, &t) ? t.tm_year + 1900 : 1970;
}

bool http_date_parse(str text, int64_t now, int64_t *ret_seconds)
{
    struct tm t;
    if (parse(text, "%A, %d-%b-%y %H:%M:%S GMT", &t)) {
        int this_year = year_of(now);
        t.tm_year += this_year - this_year % 100;
        if (t.tm_year > this_year + 50)
            t.tm_year -= 100;
    } else if (!parse(text, "%a, %d %b %Y %H:%M:%S GMT", &t) && !parse(text, "%a %b %e %H:%M:%S %Y", &t)) {
        return false;
    }
    if (!in_range(&t))
        return false;
    t.tm_year -= 1900;
    *ret_seconds = timegm(&t);
    return true;
}
