#include "http/media_type.h"
#include "support/check.h"

static void media_type__goes_by_the_name(void **state)
{
    static const char *const types[][2] = {
        {"a.html", "text/html; charset=utf-8"},
        {"a.css", "text/css; charset=utf-8"},
        {"a.js", "text/javascript; charset=utf-8"},
        {"a.mjs", "text/javascript; charset=utf-8"},
        {"a.json", "application/json"},
        {"a.map", "application/json"},
        {"a.js.map", "application/json"},
        {"a.wasm", "application/wasm"},
        {"a.svg", "image/svg+xml"},
        {"a.png", "image/png"},
        {"a.jpg", "image/jpeg"},
        {"a.JPEG", "image/jpeg"},
        {"a.gif", "image/gif"},
        {"a.webp", "image/webp"},
        {"a.avif", "image/avif"},
        {"a.ico", "image/vnd.microsoft.icon"},
        {"a.woff2", "font/woff2"},
        {"a.ttf", "font/ttf"},
        {"a.mp4", "video/mp4"},
        {"a.webm", "video/webm"},
        {"a.mp3", "audio/mpeg"},
        {"a.ogg", "audio/ogg"},
        {"a.pdf", "application/pdf"},
        {"a.txt", "text/plain; charset=utf-8"},
        {"a.md", "text/markdown; charset=utf-8"},
        {"a.xml", "application/xml"},
        {"a.csv", "text/csv; charset=utf-8"},
        {"a.webmanifest", "application/manifest+json"},
        {"dir.d/a.HTML", "text/html; charset=utf-8"},
        {"dir.html/a", "application/octet-stream"},
        {"a", "application/octet-stream"},
        {"a.", "application/octet-stream"},
        {"html", "application/octet-stream"},
        {"a.unheard-of", "application/octet-stream"},
        {"a.htm l", "application/octet-stream"},
        {"", "application/octet-stream"},
    };
    (void)state;
    for (size_t i = 0; i < N_OF(types); i++) {
        str type = media_type_of(str_from(types[i][0]));
        assert_string_equal(type.at, types[i][1]);
        assert_int_equal(type.len, strlen(types[i][1]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(media_type__goes_by_the_name)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
