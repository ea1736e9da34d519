#include "log.h"

#include <stdio.h>
#include <time.h>

void write_log(weft_log_level level, const char *line, void *user)
{
    static const char *const names[] = {"", "error", "warning", "info", "debug"};
    struct timespec now;
    struct tm parts;
    char second[32];
    const weft_log_level *least = user;
    if (level > (least ? *least : WEFT_LOG_INFO) || level > WEFT_LOG_DEBUG)
        return;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &parts);
    strftime(second, sizeof second, "%Y-%m-%dT%H:%M:%S", &parts);
    fprintf(stderr, "time=%s.%03ldZ level=%s %s\n", second, now.tv_nsec / 1000000, names[level], line);
}
