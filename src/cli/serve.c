#include "serve.h"

#include "certificate.h"
#include "log.h"
#include "serve_socketio.h"
#include "settings.h"
#include "values.h"
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <weft.h>

typedef struct {
    settings settings;
    weft_log_level log_level;
    weft_listen_options listen; /* of every listener */
    memory_certificate made;    /* for tls-dev */
} server;

static const char about[] = "usage: weft serve [DIR] [OPTIONS]\n\n"
                            "Serves topics to web pages and programs, and the files of DIR. Publish with\n"
                            "weft publish, or by POST to /topics/NAME.\n\n"
                            "Options with ... may be repeated. Each is also a variable (WEFT_HISTORY=10) and\n"
                            "a line of the file of --config (history: 10); options count before variables,\n"
                            "and variables before the file.\n\n";

/* ------------------------------------------------------------------------------------------------- what is open to whom */

static void print_list(const char *const *list)
{
    for (size_t i = 0; list[i]; i++)
        printf("%s%s", i ? ", " : "", list[i]);
}

static bool names_all(const char *const *list)
{
    for (; *list; list++)
        if (strcmp(*list, "*") == 0)
            return true;
    return false;
}

/* Who may do something with topics: those of the list everybody, all of them whoever has the key. */
static void print_access(const server *v, const char *what, setting_id list_id, const char *way_out)
{
    const char *const *list = settings_list(&v->settings, list_id);
    const char *key = v->settings.publish_key;
    printf("  %s: ", what);
    if (!*list && !key)
        printf("nobody; %s\n", way_out);
    else if (!*list)
        puts("whoever has the publish key");
    else {
        fputs("everybody (", stdout);
        print_list(list);
        puts(key && !names_all(list) ? "); all topics: whoever has the publish key" : ")");
    }
}

static void print_pages(const server *v)
{
    const char *const *origins = settings_list(&v->settings, SET_ORIGIN);
    fputs("  pages: ", stdout);
    if (names_all(origins))
        fputs("of any origin", stdout);
    else
        fputs(*origins ? "of this server and of " : "of this server", stdout);
    if (!names_all(origins))
        print_list(origins);
    putchar('\n');
}

/* Runs on the loop: who reads the addresses can connect, and SIGTERM already drains. */
static void print_start(weft *app, void *user)
{
    const server *v = user;
    const char *files = settings_text(&v->settings, SET_FILES), *url;
    unsigned n_loops = (unsigned)settings_number(&v->settings, SET_LOOPS);
    fputs("weft serve: ", stdout);
    if (n_loops > 1)
        printf("on %u threads; ", n_loops);
    puts("Ctrl-C ends it");
    for (size_t i = 0; (url = weft_listening(app, i)); i++)
        printf("  %s%s\n", url, strncmp(url, "http", 4) == 0 ? "/" : "");
    printf("  topics: /topics/NAME; for pages: /weft.js%s%s\n", files ? "; files: " : "", files ? files : "");
    print_access(v, "reading", SET_SUBSCRIBE, "--subscribe PATTERN changes that");
    print_access(v, "writing", SET_CLIENT_PUBLISH, "--publish-key KEY or --client-publish PATTERN changes that");
    print_pages(v);
    serve_socketio_print(&v->settings);
    for (size_t i = 0; (url = weft_admin_listening(app, i)); i++)
        printf("  operators: %s (/metrics, /health/live, /health/ready)\n", url);
    fflush(stdout);
}

/* ------------------------------------------------------------------------------------------------------- configuration */

/* What is to be served over https://. False after a sentence. */
static bool find_certificates(server *v)
{
    const char *const *files = settings_list(&v->settings, SET_CERT), *const *keys =
                                                                          settings_list(&v->settings, SET_KEY);
    const char *const *names = settings_list(&v->settings, SET_TLS_DEV), *problem;
    size_t n = *names ? 1 : v->settings.states[SET_CERT].n_values;
    weft_certificate *pairs = grow(NULL, (n + 1) * sizeof *pairs);
    for (size_t i = 0; i < n && !*names; i++)
        pairs[i] = (weft_certificate){files[i], keys[i]};
    v->listen.hosts = settings_list(&v->settings, SET_HOST);
    v->listen.certificates = pairs;
    v->listen.n_certificates = n;
    v->listen.client_ca = settings_text(&v->settings, SET_CLIENT_CA);
    v->listen.client_certificate = v->listen.client_ca ? WEFT_CLIENT_CERTIFICATE_REQUIRED : WEFT_CLIENT_CERTIFICATE_OFF;
    if (!*names)
        return true;
    pairs[0] = (weft_certificate){v->made.certificate, v->made.key};
    if (certificate_in_memory(names, &v->made, &problem))
        return true;
    fprintf(stderr, "weft serve: %s\n", problem);
    return false;
}

/* With a certificate an address without a scheme, and the one that nobody had to say, is https. */
static bool listen_url(const server *v, const char *text, char ret_url[ADDRESS_BYTES])
{
    char complete[ADDRESS_BYTES];
    bool said = v->settings.states[SET_LISTEN].layer && strstr(text, "://");
    if (!complete_address(text, complete))
        return false;
    const char *rest = complete + strlen("http");
    if (v->listen.n_certificates && !said && strncmp(complete, "http://", strlen("http://")) == 0)
        snprintf(ret_url, ADDRESS_BYTES, "https%.290s", rest);
    else
        memcpy(ret_url, complete, ADDRESS_BYTES);
    return true;
}

static void listen_on(weft *app, const server *v)
{
    char url[ADDRESS_BYTES];
    for (const char *const *one = settings_list(&v->settings, SET_LISTEN); *one && !weft_error(app); one++)
        if (listen_url(v, *one, url))
            weft_listen(app, url, &v->listen);
}

/* An address that others reach was asked for as such; on this machine names count as they do for other listeners. */
static void listen_for_operators(weft *app, const server *v)
{
    static const char *const any[] = {"*", NULL};
    const char *text = settings_text(&v->settings, SET_ADMIN);
    char url[ADDRESS_BYTES];
    if (!text || weft_error(app) || !complete_address(text, url))
        return;
    weft_listen_options options = v->listen;
    if (!is_local_address(url))
        options.hosts = any;
    weft_admin(app, url, &options);
}

/* The first pattern that matches a topic counts: those with presence come first. */
static void configure_topics(weft *app, const settings *s)
{
    weft_topic_options options = {
        .slow = (weft_slow_policy)settings_number(s, SET_SLOW),
        .history_messages = settings_number(s, SET_HISTORY),
        .history_bytes = settings_number(s, SET_HISTORY_BYTES),
        .history_age_ms = (uint32_t)settings_number(s, SET_HISTORY_AGE),
        .presence = 1,
    };
    for (const char *const *one = settings_list(s, SET_PRESENCE); *one; one++)
        weft_topic_configure(app, *one, &options);
    options.presence = 0;
    weft_topic_configure(app, "*", &options);
}

static void add_routes(weft *app, const settings *s)
{
    weft_topics_options options = {
        .subscribe = settings_list(s, SET_SUBSCRIBE),
        .publish = settings_list(s, SET_CLIENT_PUBLISH),
        .publish_key = s->publish_key,
        .origins = settings_list(s, SET_ORIGIN),
        .max_message_bytes = settings_number(s, SET_MAX_MESSAGE),
        .deflate = settings_number(s, SET_DEFLATE) != 0,
        .max_messages_per_s = settings_number(s, SET_MAX_MESSAGES_PER_S),
        .max_bytes_per_s = settings_number(s, SET_MAX_BYTES_PER_S),
    };
    if (!*options.origins)
        options.origins = NULL; /* an empty list would refuse the server's own pages as well */
    weft_topics(app, "/topics/*", &options);
    weft_protocol(app, "/weft", &options);
    serve_socketio_add(app, s);
    if (settings_text(s, SET_FILES))
        weft_files(app, "/", settings_text(s, SET_FILES), NULL);
}

static weft *make_app(server *v)
{
    const settings *s = &v->settings;
    uint64_t drain_ms = settings_number(s, SET_DRAIN);
    weft_options options = {
        .log = v->log_level ? write_log : NULL,
        .log_user = &v->log_level,
        .loops = (unsigned)settings_number(s, SET_LOOPS),
        .drain_timeout_ms = drain_ms ? (uint32_t)drain_ms : 1, /* 0 is the library's default */
        .max_topics = settings_number(s, SET_MAX_TOPICS),
        .max_address_connections = settings_number(s, SET_MAX_ADDRESS_CONNECTIONS),
        .max_address_connects_per_s = settings_number(s, SET_MAX_ADDRESS_CONNECTS_PER_S),
        .head_timeout_ms = (uint32_t)settings_number(s, SET_HEAD_TIMEOUT),
        .idle_timeout_ms = (uint32_t)settings_number(s, SET_IDLE_TIMEOUT),
        .min_body_bytes_per_s = settings_number(s, SET_MIN_BODY_BYTES_PER_S),
        .write_timeout_ms = (uint32_t)settings_number(s, SET_WRITE_TIMEOUT),
        .trusted_proxies = settings_list(s, SET_TRUSTED_PROXY),
    };
    return weft_new(&options);
}

static int complain(const weft *app, int error)
{
    fprintf(stderr, "weft serve: %s", weft_error(app) ? weft_error(app) : weft_strerror(error));
    if (error == -EADDRINUSE)
        fputs("; --listen PORT takes another port, --listen 0 a free one", stderr);
    fputc('\n', stderr);
    return EXIT_FAILED;
}

static int serve(server *v)
{
    v->log_level = (weft_log_level)settings_number(&v->settings, SET_LOG);
    signal(SIGPIPE, SIG_IGN); /* it serves on when nobody reads what it prints */
    weft *app = make_app(v);
    listen_on(app, v);
    listen_for_operators(app, v);
    configure_topics(app, &v->settings);
    add_routes(app, &v->settings);
    int error = weft_post(app, print_start, v);
    if (!error || weft_error(app))
        error = weft_run_until_signal(app);
    int status = error ? complain(app, error) : 0;
    weft_free(app);
    free((weft_certificate *)(uintptr_t)v->listen.certificates);
    return status;
}

int run_serve(char **argv)
{
    server v = {0};
    if (options_ask_help(argv))
        return settings_help(about);
    int status = settings_read(&v.settings, "weft serve", argv);
    if (!status)
        status = find_certificates(&v) ? serve(&v) : EXIT_FAILED;
    settings_done(&v.settings);
    return status;
}
