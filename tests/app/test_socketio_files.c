#include "transport/socketio_files.h"

#include "app/fixture.h"

/* In place of what the build compiles in: not every file is there, and not every one in gzip. */

static const char script[] = "the script", script_gzip[] = "(gzip)", map[] = "{}", large[100 << 10];

#define BYTES(text) text, text + sizeof text - 1

const char socketio_client_version[] = "4.8.1";
const socketio_client_file socketio_client_files[] = {
    {"socket.io.js", BYTES(script)},
    {"socket.io.js.gz", BYTES(script_gzip)},
    {"socket.io.js.map", BYTES(map)},
    {"socket.io.min.js", BYTES(large)},
    {NULL, NULL, NULL},
};

/* The status of a request with these fields, on a connection of its own; the body stands in client_bytes. */
static int ask(const char *method, const char *path, const char *fields, const char *line)
{
    char request[512];
    int fd = client_connect(url);
    snprintf(request, sizeof request, "%s %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n", method, path, fields);
    client_write_text(fd, request);
    int status = strcmp(method, "HEAD") == 0 ? client_read_head(fd) : client_read_answer(fd, line);
    if (strcmp(method, "HEAD") == 0)
        assert_true(!line || client_head_has(line));
    close(fd);
    return status;
}

static int get(const char *path, const char *line)
{
    return ask("GET", path, "", line);
}

static void serve_folder(void)
{
    assert_int_equal(weft_socketio_files(app, "/assets/"), 0);
    begin();
}

static void client_files__say_what_they_are(void **state)
{
    (void)state;
    serve_folder();
    assert_int_equal(get("/assets/socket.io.js", "Content-Type: application/javascript; charset=utf-8"), 200);
    assert_string_equal(client_bytes, "the script");
    assert_int_equal(get("/assets/socket.io.js", "ETag: \"4.8.1\""), 200);
    assert_int_equal(get("/assets/socket.io.js", "Cache-Control: public, max-age=0"), 200);
    assert_int_equal(get("/assets/socket.io.js.map?x=1", "Content-Type: application/json; charset=utf-8"), 200);
    assert_string_equal(client_bytes, "{}");
}

static void client_files__answer_head_without_a_body(void **state)
{
    (void)state;
    serve_folder();
    assert_int_equal(ask("HEAD", "/assets/socket.io.js", "", "Content-Length: 10"), 200);
}

static void client_files__are_not_sent_to_who_has_them(void **state)
{
    static const char *const known[] = {"\"4.8.1\"", "W/\"4.8.1\"", "\"1\", \"4.8.1\"", "*"};
    char field[64];
    (void)state;
    serve_folder();
    for (size_t i = 0; i < N_OF(known); i++) {
        snprintf(field, sizeof field, "If-None-Match: %s\r\n", known[i]);
        assert_int_equal(ask("GET", "/assets/socket.io.js", field, "ETag: \"4.8.1\""), 304);
        assert_string_equal(client_bytes, "");
    }
    assert_int_equal(ask("GET", "/assets/socket.io.js", "If-None-Match: \"4.8.0\"\r\n", NULL), 200);
}

static void client_files__are_sent_in_gzip_to_who_takes_it(void **state)
{
    (void)state;
    serve_folder();
    assert_int_equal(ask("GET", "/assets/socket.io.js", "Accept-Encoding: gzip, br\r\n", "Content-Encoding: gzip"),
                     200);
    assert_string_equal(client_bytes, "(gzip)");
    assert_int_equal(ask("GET", "/assets/socket.io.js", "Accept-Encoding: gzip;q=0\r\n", "Vary: Accept-Encoding"), 200);
    assert_string_equal(client_bytes, "the script");
    assert_int_equal(ask("GET", "/assets/socket.io.js.map", "Accept-Encoding: gzip\r\n", NULL), 200);
    assert_string_equal(client_bytes, "{}");
}

/* More than a socket takes at once. */
static void client_files__arrive_whole_at_a_slow_client(void **state)
{
    char request[] = "GET /assets/socket.io.min.js HTTP/1.1\r\nHost: localhost\r\n\r\n";
    (void)state;
    serve_folder();
    int fd = client_connect_small(url, 4096);
    client_write_text(fd, request);
    assert_int_equal(client_read_answer(fd, "Content-Length: 102399"), 200);
    assert_memory_equal(client_bytes, large, sizeof large - 1);
    close(fd);
}

static void client_files__say_what_was_missing_when_weft_was_built(void **state)
{
    (void)state;
    serve_folder();
    assert_int_equal(get("/assets/socket.io.esm.min.js", "Content-Type: text/plain; charset=utf-8"), 404);
    assert_non_null(strstr(client_bytes, "built without npm's socket.io-client"));
    assert_non_null(strstr(client_bytes, "./dev build"));
}

static void client_files__are_those_names_and_no_others(void **state)
{
    (void)state;
    serve_folder();
    assert_int_equal(get("/assets/socket.io.js.gz", NULL), 404);
    assert_int_equal(get("/assets/socket.io", NULL), 404);
    assert_int_equal(get("/assets/", NULL), 404);
    assert_int_equal(get("/socket.io.js", NULL), 404);
    assert_int_equal(ask("POST", "/assets/socket.io.js", "Content-Length: 0\r\n", NULL), 405);
}

static void client_files__may_be_one_on_a_path(void **state)
{
    (void)state;
    assert_int_equal(weft_socketio_files(app, "/socket.io.js"), 0);
    begin();
    assert_int_equal(get("/socket.io.js", NULL), 200);
    assert_int_equal(get("/socket.io.js.map", NULL), 404);
}

static void client_files__may_be_loaded_by_pages_of_any_origin(void **state)
{
    (void)state;
    serve_folder();
    assert_int_equal(
        ask("GET", "/assets/socket.io.js", "Origin: http://elsewhere.example\r\n", "Access-Control-Allow-Origin: *"),
        200);
}

static void client_files__refuse_paths_that_name_none(void **state)
{
    static const char *const wrong[] = {"", "/app.js", "socket.io.js", "/socket.io.js.gz", NULL};
    for (size_t i = 0; i < N_OF(wrong); i++) {
        assert_int_equal(weft_socketio_files(app, wrong[i]), WEFT_E_INVALID);
        assert_non_null(strstr(weft_error(app), "weft_socketio_files"));
        assert_int_equal(teardown_app(state), 0);
        assert_int_equal(setup_app(state), 0);
    }
}

static int configure(void)
{
    weft *one = weft_new(NULL);
    if (!one)
        return -ENOMEM;
    int error = weft_socketio_files(one, "/assets/");
    assert_true(!error || error == -ENOMEM);
    weft_free(one);
    return error;
}

static void client_files__fail_without_memory(void **state)
{
    (void)state;
    check_failing_allocations(configure);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        APP_TEST(client_files__say_what_they_are),
        APP_TEST(client_files__answer_head_without_a_body),
        APP_TEST(client_files__are_not_sent_to_who_has_them),
        APP_TEST(client_files__are_sent_in_gzip_to_who_takes_it),
        APP_TEST(client_files__arrive_whole_at_a_slow_client),
        APP_TEST(client_files__say_what_was_missing_when_weft_was_built),
        APP_TEST(client_files__are_those_names_and_no_others),
        APP_TEST(client_files__may_be_one_on_a_path),
        APP_TEST(client_files__may_be_loaded_by_pages_of_any_origin),
        APP_TEST(client_files__refuse_paths_that_name_none),
        cmocka_unit_test(client_files__fail_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
