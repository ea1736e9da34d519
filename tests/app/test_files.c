#include "app/fixture.h"
#include <sys/stat.h>

static char folder[] = "/tmp/weft-app-files-XXXXXX";

static void put_file(const char *name, const char *text)
{
    char path[64];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static int make_folder(void **state)
{
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    put_file("index.html", "home");
    put_file("other.html", "other");
    put_file("a.txt", "a file");
    return 0;
}

static int drop_folder(void **state)
{
    char command[64];
    (void)state;
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

static void answer_program(weft_exchange exchange, const weft_request *request, void *user)
{
    (void)request;
    (void)user;
    weft_answer(exchange, 200, "text/plain", "the program", 11);
}

/* The status, on a connection of its own; the body stands in client_bytes. */
static int get(const char *path, const char *line)
{
    int fd = client_connect(url);
    client_get(fd, path);
    int status = client_read_answer(fd, line);
    close(fd);
    return status;
}

static void expect(const char *path, const char *body)
{
    assert_int_equal(get(path, NULL), 200);
    assert_string_equal(client_bytes, body);
}

/* ---------------------------------------------------------------------------------------------------------------- paths */

static void files__are_served_below_the_root(void **state)
{
    (void)state;
    assert_int_equal(weft_files(app, "/", folder, NULL), 0);
    begin();
    expect("/", "home");
    expect("/a.txt", "a file");
    assert_int_equal(get("/missing", NULL), 404);
}

static void files__are_served_below_a_path(void **state)
{
    static const char *const paths[] = {"/assets", "/assets/"};
    for (size_t i = 0; i < N_OF(paths); i++) {
        assert_int_equal(weft_files(app, paths[i], folder, NULL), 0);
        begin();
        expect("/assets/", "home");
        expect("/assets/a.txt", "a file");
        assert_int_equal(get("/assets", "Location: assets/"), 308);
        assert_int_equal(get("/a.txt", NULL), 404);
        assert_int_equal(get("/assetsa.txt", NULL), 404);
        assert_int_equal(get("/", NULL), 404);
        assert_int_equal(teardown_app(state), 0);
        assert_int_equal(setup_app(state), 0);
    }
}

static void files__leave_more_specific_paths_to_the_program(void **state)
{
    (void)state;
    assert_int_equal(weft_files(app, "/", folder, NULL), 0);
    assert_int_equal(weft_files(app, "/more", folder, NULL), 0);
    assert_int_equal(weft_get(app, "/a.txt", answer_program, NULL), 0);
    assert_int_equal(weft_get(app, "/more/:name", answer_program, NULL), 0);
    begin();
    expect("/a.txt", "the program");
    expect("/other.html", "other");
    expect("/more/a.txt", "the program");
    expect("/more/", "home");
}

static void files__may_be_limited_to_a_port(void **state)
{
    static const char *const paths[] = {"", "/", "/assets"};
    char path[32], target[32];
    for (size_t i = 0; i < N_OF(paths); i++) {
        assert_int_equal(weft_listen(app, "http://127.0.0.1:0", NULL), 0);
        unsigned port = (unsigned)strtoul(strrchr(weft_listening(app, 0), ':') + 1, NULL, 10);
        snprintf(path, sizeof path, ":%u%s", port, paths[i]);
        snprintf(target, sizeof target, "%s/a.txt", strlen(paths[i]) > 1 ? paths[i] : "");
        assert_int_equal(weft_files(app, path, folder, NULL), 0);
        assert_int_equal(weft_files(app, ":1/other", folder, NULL), 0);
        url = weft_listening(app, 0);
        client_steps = app;
        expect(target, "a file");
        assert_int_equal(get("/other/a.txt", NULL), 404);
        assert_int_equal(teardown_app(state), 0);
        assert_int_equal(setup_app(state), 0);
    }
}

/* The options' texts, and the directory's name, are the program's again. */
static void files__copy_their_options(void **state)
{
    (void)state;
    char index[] = "other.html", cache_control[] = "max-age=5", where[64];
    snprintf(where, sizeof where, "%s", folder);
    assert_int_equal(weft_files(app, "/", where, &(weft_files_options){.index = index, .cache_control = cache_control}),
                     0);
    memset(index, 'x', sizeof index - 1);
    memset(cache_control, 'x', sizeof cache_control - 1);
    memset(where, 'x', sizeof where - 1);
    begin();
    assert_int_equal(get("/", "Cache-Control: max-age=5"), 200);
    assert_string_equal(client_bytes, "other");
}

/* As from a program that knows only the first option. */
static void files__take_options_of_an_older_header(void **state)
{
    (void)state;
    weft_files_options options = {.index = "other.html", .cache_control = "max-age=5"};
    assert_int_equal(weft_files_sized(app, "/", folder, &options, offsetof(weft_files_options, cache_control)), 0);
    begin();
    assert_int_equal(get("/", "Cache-Control: no-cache"), 200);
    assert_string_equal(client_bytes, "other");
}

/* ------------------------------------------------------------------------------------------------------------- mistakes */

static void files__say_what_is_wrong(void **state)
{
    static const struct {
        const char *path, *directory;
        weft_files_options options;
        int error;
        const char *words;
    } mistakes[] = {
        {"/",
         "/nowhere/at/all",
         {0},
         -ENOENT,
         "cannot serve the directory \"/nowhere/at/all\": No such file or directory"},
        {"/", "/dev/null", {0}, -ENOTDIR, "cannot serve the directory \"/dev/null\": Not a directory"},
        {"/", "", {0}, -ENOENT, "cannot serve the directory \"\": No such file or directory"},
        {"/", NULL, {0}, WEFT_E_INVALID, "the path \"/\" of weft_files has no directory"},
        {NULL, "/", {0}, WEFT_E_INVALID, "the path \"\" of weft_files is missing"},
        {"", "/", {0}, WEFT_E_INVALID, "the path \"\" of weft_files is missing"},
        {"assets", "/", {0}, WEFT_E_INVALID, "does not begin with a slash"},
        {"/*", "/", {0}, WEFT_E_INVALID, "has a * before its end"},
        {":0/", "/", {0}, WEFT_E_INVALID, "has a port"},
        {"/", "/", {.index = "a/b"}, WEFT_E_INVALID, "has an index that is not the name of a visible file"},
        {"/", "/", {.cache_control = "a\nb"}, WEFT_E_INVALID, "has a cache_control with bytes that HTTP forbids"},
    };
    for (size_t i = 0; i < N_OF(mistakes); i++) {
        assert_int_equal(weft_files(app, mistakes[i].path, mistakes[i].directory, &mistakes[i].options),
                         mistakes[i].error);
        assert_non_null(strstr(weft_error(app), mistakes[i].words));
        assert_int_equal(weft_run(app), mistakes[i].error);
        assert_int_equal(teardown_app(state), 0);
        assert_int_equal(setup_app(state), 0);
    }
    assert_int_equal(weft_files(NULL, "/", folder, NULL), -ENOMEM);
}

static void files__are_configured_before_the_application_runs(void **state)
{
    (void)state;
    begin();
    assert_int_equal(weft_files(app, "/", folder, NULL), WEFT_E_INVALID);
}

/* With a path that takes more room when something is added to it. */
static int configure(void)
{
    char path[64] = "/";
    weft *one = weft_new(NULL);
    if (!one)
        return -ENOMEM;
    memset(path + 1, 'p', sizeof path - 2);
    int error = weft_files(one, path, folder, NULL);
    assert_true(!error || error == -ENOMEM);
    weft_free(one);
    return error;
}

static void files__fail_without_memory(void **state)
{
    (void)state;
    check_failing_allocations(configure);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        APP_TEST(files__are_served_below_the_root),
        APP_TEST(files__are_served_below_a_path),
        APP_TEST(files__leave_more_specific_paths_to_the_program),
        APP_TEST(files__may_be_limited_to_a_port),
        APP_TEST(files__copy_their_options),
        APP_TEST(files__take_options_of_an_older_header),
        APP_TEST(files__say_what_is_wrong),
        APP_TEST(files__are_configured_before_the_application_runs),
        cmocka_unit_test(files__fail_without_memory),
    };
    return cmocka_run_group_tests(tests, make_folder, drop_folder);
}
