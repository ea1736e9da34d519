/**
 * Asks the listener for operators, for tests of the public API.
 */
#ifndef WEFT_TESTS_APP_ADMIN_CLIENT_H
#define WEFT_TESTS_APP_ADMIN_CLIENT_H

#include "app/fixture.h"

static int operator_fd = -1;               /* the connection that scrapes, kept alive */
static char scraped[CLIENT_MAX_BYTES + 1]; /* the last page of metrics */

/** A listener for operators on a port of the kernel's; before begin(). */
static inline void have_admin(void)
{
    assert_int_equal(weft_admin(app, "http://127.0.0.1:0", NULL), 0);
}

static inline int admin_connect(void)
{
    return client_connect(weft_admin_listening(app, 0));
}

static inline void operator_leaves(void)
{
    if (operator_fd >= 0)
        close(operator_fd);
    operator_fd = -1;
}

static inline void scrape(void)
{
    if (operator_fd < 0)
        operator_fd = admin_connect();
    client_get(operator_fd, "/metrics");
    assert_int_equal(client_read_answer(operator_fd, "Content-Type: text/plain; version=0.0.4; charset=utf-8"), 200);
    memcpy(scraped, client_bytes, sizeof scraped);
}

/** The value of a series in the page: `weft_connections{transport="sse"}`. */
static inline double scraped_value(const char *series)
{
    char start[256];
    snprintf(start, sizeof start, "\n%s ", series);
    const char *line = strstr(scraped, start);
    if (!line)
        fail_msg("%s is not in the page", series);
    return strtod(line + strlen(start), NULL);
}

/** The same of a fresh page. */
static inline double metric(const char *series)
{
    scrape();
    return scraped_value(series);
}

/** Scrapes until the series has the value: what another thread of the kernel has on its way may take a while. */
#define METRIC_BECOMES(series, number) CLIENT_UNTIL(metric(series) == (number))

/** What /health/ready says: its status, with the text in client_bytes. */
static inline int ask_ready(int fd)
{
    client_get(fd, "/health/ready");
    return client_read_answer(fd, "Cache-Control: no-store");
}

static inline int teardown_admin(void **state)
{
    operator_leaves();
    return teardown_app(state);
}

#define ADMIN_TEST(f) cmocka_unit_test_setup_teardown(f, setup_app, teardown_admin)

#endif
