/*
 * The settings of the server, one row each, in the order in which help, manual and docs/server.md list them (a test holds them equal).
 */
#include "settings.h"

#include "certificate.h"
#include "values.h"
#include <limits.h>
#include <string.h>
#include <weft.h>

/* ------------------------------------------------------------------------------------------------------ kinds of values */

static bool in_range(const setting *row, uint64_t number)
{
    return number >= row->least && number <= row->most;
}

static bool count(const setting *row, const char *text, uint64_t *ret_number)
{
    return read_count(text, ret_number) && in_range(row, *ret_number);
}

static bool size(const setting *row, const char *text, uint64_t *ret_number)
{
    return read_bytes(text, ret_number) && in_range(row, *ret_number);
}

static bool duration(const setting *row, const char *text, uint64_t *ret_number)
{
    return read_duration_ms(text, ret_number) && in_range(row, *ret_number);
}

static bool age(const setting *row, const char *text, uint64_t *ret_number)
{
    if (strcmp(text, "never") != 0)
        return duration(row, text, ret_number);
    *ret_number = WEFT_NEVER;
    return true;
}

/* One of the names, as its number: from `first` up. */
static bool choice(const char *const *names, uint64_t first, const char *text, uint64_t *ret_number)
{
    for (uint64_t i = 0; names[i]; i++) {
        if (strcmp(names[i], text) != 0)
            continue;
        *ret_number = first + i;
        return true;
    }
    return false;
}

static bool policy(const setting *row, const char *text, uint64_t *ret_number)
{
    static const char *const names[] = {"close", "drop-old", "drop-new", "latest", NULL};
    (void)row;
    return choice(names, WEFT_SLOW_CLOSE, text, ret_number);
}

static bool level(const setting *row, const char *text, uint64_t *ret_number)
{
    static const char *const names[] = {"off", "error", "warning", "info", "debug", NULL};
    (void)row;
    return choice(names, 0, text, ret_number);
}

static bool on_or_off(const setting *row, const char *text, uint64_t *ret_number)
{
    static const char *const names[] = {"off", "on", NULL};
    (void)row;
    return choice(names, 0, text, ret_number);
}

static bool file_name(const setting *row, const char *text, uint64_t *ret_number)
{
    (void)row, (void)ret_number;
    return is_plain_text(text, PATH_MAX - 1);
}

static bool address(const setting *row, const char *text, uint64_t *ret_number)
{
    char url[ADDRESS_BYTES];
    (void)row, (void)ret_number;
    return complete_address(text, url);
}

static bool host(const setting *row, const char *text, uint64_t *ret_number)
{
    (void)row, (void)ret_number;
    return is_host(text);
}

static bool certificate_name(const setting *row, const char *text, uint64_t *ret_number)
{
    (void)row, (void)ret_number;
    return certificate_name_is_good(text);
}

static bool origin(const setting *row, const char *text, uint64_t *ret_number)
{
    (void)row, (void)ret_number;
    return is_origin(text);
}

static bool proxy(const setting *row, const char *text, uint64_t *ret_number)
{
    (void)row, (void)ret_number;
    return is_network(text);
}

static bool key(const setting *row, const char *text, uint64_t *ret_number)
{
    (void)row, (void)ret_number;
    return is_key(text);
}

static bool pattern(const setting *row, const char *text, uint64_t *ret_number)
{
    (void)row, (void)ret_number;
    return is_topic(text);
}

static bool socketio_path(const setting *row, const char *text, uint64_t *ret_number)
{
    (void)row, (void)ret_number;
    return is_socketio_path(text);
}

static bool namespace_pattern(const setting *row, const char *text, uint64_t *ret_number)
{
    (void)row, (void)ret_number;
    return is_namespace(text);
}

static bool bridge(const setting *row, const char *text, uint64_t *ret_number)
{
    (void)row, (void)ret_number;
    return is_bridge(text);
}

static bool relay(const setting *row, const char *text, uint64_t *ret_number)
{
    static const char *const names[] = {"nothing", "namespace", "room", NULL};
    (void)row;
    return choice(names, 0, text, ret_number);
}

#define NO_FILE_NAME "is not a path in UTF-8 without control characters"
#define NO_DEADLINE  "is not a time from 1ms to 1d, as 5, 500ms, 30s or 2m"
#define NO_PATTERN                                                                                                     \
    "is not a pattern of topics: 1 to 255 bytes of UTF-8 without control characters, where * stands for any"

/* ----------------------------------------------------------------------------------------------------------- the table */

const setting settings_table[N_SETTINGS] = {
    [SET_FILES] = {.name = "files",
                   .value = "DIR",
                   .help = "serve the files of DIR on /; DIR as an argument is the same",
                   .otherwise = "none",
                   .read = file_name,
                   .wrong = NO_FILE_NAME,
                   .quoted = true},
    [SET_LISTEN] =
        {.name = "listen",
         .value = "URL",
         .help = "where: http://HOST:PORT, https://HOST:PORT, HOST:PORT, PORT on this machine (0: a free one), or "
                 "unix:PATH",
         .fallback = "http://127.0.0.1:3000",
         .otherwise = "http://127.0.0.1:3000",
         .read = address,
         .wrong = "is not http://HOST:PORT, https://HOST:PORT, HOST:PORT, PORT or unix:PATH",
         .repeatable = true,
         .needed = true,
         .quoted = true},
    [SET_HOST] = {.name = "host",
                  .value = "NAME",
                  .help = "names that listeners on this machine serve besides localhost and their address, as behind a "
                          "proxy; * is any",
                  .otherwise = "none",
                  .read = host,
                  .wrong = "is not a host's name without a port, or *",
                  .repeatable = true,
                  .quoted = true},
    [SET_CERT] = {.name = "cert",
                  .value = "FILE",
                  .help =
                      "certificates for https://, chains in PEM, the first for names that no other has; SIGHUP reads "
                      "them again",
                  .otherwise = "none",
                  .read = file_name,
                  .wrong = NO_FILE_NAME,
                  .repeatable = true,
                  .quoted = true},
    [SET_KEY] = {.name = "key",
                 .value = "FILE",
                 .help = "their private keys in PEM, in the same order",
                 .otherwise = "none",
                 .read = file_name,
                 .wrong = NO_FILE_NAME,
                 .repeatable = true,
                 .quoted = true},
    [SET_CLIENT_CA] =
        {.name = "client-ca",
         .value = "FILE",
         .help = "clients of https:// must show a certificate that one of these authorities, in PEM, has signed",
         .otherwise = "none",
         .read = file_name,
         .wrong = NO_FILE_NAME,
         .quoted = true},
    [SET_TLS_DEV] = {.name = "tls-dev",
                     .value = "NAME",
                     .help =
                         "https:// with a certificate that is made when it starts, for localhost and these names and "
                         "addresses, and that nobody trusts",
                     .otherwise = "none",
                     .read = certificate_name,
                     .wrong = "is neither a host's name, *.NAME nor an address",
                     .repeatable = true,
                     .quoted = true},
    [SET_TRUSTED_PROXY] = {.name = "trusted-proxy",
                           .value = "ADDRESS",
                           .help = "proxies whose Forwarded or X-Forwarded-For is believed: 127.0.0.1, 10.0.0.0/8, "
                                   "2001:db8::/32, unix",
                           .otherwise = "none",
                           .read = proxy,
                           .wrong = "is not an address, a network such as 10.0.0.0/8, or unix",
                           .repeatable = true,
                           .quoted = true},
    [SET_ADMIN] = {.name = "admin",
                   .value = "URL",
                   .help = "where operators ask: /health/live, /health/ready and /metrics; an address as of listen",
                   .otherwise = "none",
                   .read = address,
                   .wrong = "is not http://HOST:PORT, https://HOST:PORT, HOST:PORT, PORT or unix:PATH",
                   .quoted = true},
    [SET_ORIGIN] = {.name = "origin",
                    .value = "ORIGIN",
                    .help = "other origins whose pages may come: https://example.com, https://*.example.com, * for any",
                    .otherwise = "none",
                    .read = origin,
                    .wrong = "is not an origin: https://HOST, https://HOST:PORT, https://*.HOST or *",
                    .repeatable = true,
                    .quoted = true},
    [SET_PUBLISH_KEY] = {.name = "publish-key",
                         .value = "KEY",
                         .help = "whoever says this key may read and write all topics, and list them",
                         .otherwise = "none",
                         .read = key,
                         .wrong = "is not a key: 1 to 1024 characters of ASCII without spaces",
                         .secret = true},
    [SET_PUBLISH_KEY_FILE] = {.name = "publish-key-file",
                              .value = "FILE",
                              .help = "the key is in this file, so that no list of processes shows it",
                              .otherwise = "none",
                              .read = file_name,
                              .wrong = NO_FILE_NAME,
                              .quoted = true},
    [SET_SUBSCRIBE] = {.name = "subscribe",
                       .value = "PATTERN",
                       .help = "topics that clients without the key may read",
                       .fallback = "*",
                       .otherwise = "*",
                       .read = pattern,
                       .wrong = NO_PATTERN,
                       .repeatable = true,
                       .quoted = true},
    [SET_CLIENT_PUBLISH] = {.name = "client-publish",
                            .value = "PATTERN",
                            .help = "topics that clients without the key may write",
                            .otherwise = "* if all is on this machine, without host or trusted-proxy, else none",
                            .read = pattern,
                            .wrong = NO_PATTERN,
                            .repeatable = true,
                            .quoted = true},
    [SET_PRESENCE] = {.name = "presence",
                      .value = "PATTERN",
                      .help = "topics that tell their subscribers who is there",
                      .otherwise = "none",
                      .read = pattern,
                      .wrong = NO_PATTERN,
                      .repeatable = true,
                      .quoted = true},
    [SET_SOCKETIO] = {.name = "socketio",
                      .value = "PATH",
                      .help = "serve Socket.IO on PATH, which ends in a slash; on: on /socket.io/",
                      .fallback = "off",
                      .otherwise = "off",
                      .alone = "on",
                      .read = socketio_path,
                      .wrong = "is not on, off, or a path such as /socket.io/",
                      .quoted = true},
    [SET_SOCKETIO_NAMESPACE] =
        {.name = "socketio-namespace",
         .value = "NAME",
         .help = "namespaces that clients may join, besides those of socketio-bridge: /, /news, /game-*",
         .fallback = "/",
         .otherwise = "/",
         .read = namespace_pattern,
         .wrong = "is not a pattern of namespaces: / and up to 254 bytes of UTF-8, where * stands for any",
         .repeatable = true,
         .quoted = true},
    [SET_SOCKETIO_RELAY] =
        {.name = "socketio-relay",
         .value = "WHERE",
         .help = "who gets what a client emits: nothing, namespace (everybody in it, and its topic) or room (that the "
                 "client names as room in its auth)",
         .fallback = "nothing",
         .otherwise = "nothing",
         .read = relay,
         .wrong = "is not nothing, namespace or room"},
    [SET_SOCKETIO_BRIDGE] =
        {.name = "socketio-bridge",
         .value = "PAIR",
         .help = "NAMESPACE=TOPIC: its clients get what is published to the topic; * is the same text in both",
         .otherwise = "none",
         .read = bridge,
         .wrong = "is not NAMESPACE=TOPIC, as /news=news or /game-*=game-*",
         .repeatable = true,
         .quoted = true},
    [SET_SOCKETIO_RECOVERY] = {.name = "socketio-recovery",
                               .value = "TIME",
                               .help = "a client that is back within this time gets what it missed; 0 is never, and "
                                       "spares each event the argument that it takes",
                               .fallback = "0",
                               .otherwise = "0",
                               .read = duration,
                               .most = 86400000,
                               .wrong = "is not a time up to 1d, as 5, 500ms, 30s or 2m"},
    [SET_HISTORY] = {.name = "history",
                     .value = "N",
                     .help = "messages that each topic keeps for who comes back or late; 0 is none",
                     .fallback = "100",
                     .otherwise = "100",
                     .read = count,
                     .most = 1000000,
                     .wrong = "is not a number from 0 to 1000000"},
    [SET_HISTORY_BYTES] = {.name = "history-bytes",
                           .value = "SIZE",
                           .help = "at most this much of them, as 65536, 64k or 1M",
                           .fallback = "1M",
                           .otherwise = "1M",
                           .read = size,
                           .least = 1,
                           .most = (uint64_t)1 << 40,
                           .wrong = "is not a size from 1 to 1024G, as 65536, 64k or 1M"},
    [SET_HISTORY_AGE] = {.name = "history-age",
                         .value = "AGE",
                         .help = "at most this old, as 90s, 5m, 2h, 1d, or never too old",
                         .fallback = "5m",
                         .otherwise = "5m",
                         .read = age,
                         .least = 1,
                         .most = 40ull * 86400000,
                         .wrong = "is not an age up to 40d, as 300, 90s, 5m, 2h or 1d, or never"},
    [SET_SLOW] = {.name = "slow",
                  .value = "POLICY",
                  .help = "what a client that reads too slowly gets: close, drop-old, drop-new or latest",
                  .otherwise = "drop-old, without history close",
                  .read = policy,
                  .wrong = "is not close, drop-old, drop-new or latest"},
    [SET_MAX_MESSAGE] = {.name = "max-message",
                         .value = "SIZE",
                         .help = "the largest message that is taken",
                         .fallback = "1M",
                         .otherwise = "1M",
                         .read = size,
                         .least = 1,
                         .most = 1 << 30,
                         .wrong = "is not a size from 1 to 1G, as 65536, 64k or 1M"},
    [SET_MAX_TOPICS] = {.name = "max-topics",
                        .value = "N",
                        .help = "topics that exist at a time",
                        .fallback = "100000",
                        .otherwise = "100000",
                        .read = count,
                        .least = 1,
                        .most = 100000000,
                        .wrong = "is not a number from 1 to 100000000"},
    [SET_MAX_MESSAGES_PER_S] = {.name = "max-messages-per-s",
                                .value = "N",
                                .help =
                                    "messages a second that a client may send, ten times that at once; 0 is any number",
                                .fallback = "0",
                                .otherwise = "0",
                                .read = count,
                                .most = 1000000000,
                                .wrong = "is not a number from 0 to 1000000000"},
    [SET_MAX_BYTES_PER_S] = {.name = "max-bytes-per-s",
                             .value = "SIZE",
                             .help = "bytes of them a second, likewise",
                             .fallback = "0",
                             .otherwise = "0",
                             .read = size,
                             .most = (uint64_t)1 << 40,
                             .wrong = "is not a size from 0 to 1024G, as 65536, 64k or 1M"},
    [SET_MAX_ADDRESS_CONNECTIONS] = {.name = "max-address-connections",
                                     .value = "N",
                                     .help = "connections of one address at a time, of IPv6 a /64; more get 503",
                                     .fallback = "1024",
                                     .otherwise = "1024",
                                     .read = count,
                                     .least = 1,
                                     .most = 100000000,
                                     .wrong = "is not a number from 1 to 100000000"},
    [SET_MAX_ADDRESS_CONNECTS_PER_S] = {.name = "max-address-connects-per-s",
                                        .value = "N",
                                        .help =
                                            "connections a second that one address may make, ten times that at once",
                                        .fallback = "256",
                                        .otherwise = "256",
                                        .read = count,
                                        .least = 1,
                                        .most = 100000000,
                                        .wrong = "is not a number from 1 to 100000000"},
    [SET_HEAD_TIMEOUT] = {.name = "head-timeout",
                          .value = "TIME",
                          .help = "for a TLS handshake and a request's whole head, which is then answered with 408",
                          .fallback = "10s",
                          .otherwise = "10s",
                          .read = duration,
                          .least = 1,
                          .most = 86400000,
                          .wrong = NO_DEADLINE},
    [SET_IDLE_TIMEOUT] = {.name = "idle-timeout",
                          .value = "TIME",
                          .help = "how long a connection may wait between two requests",
                          .fallback = "60s",
                          .otherwise = "60s",
                          .read = duration,
                          .least = 1,
                          .most = 86400000,
                          .wrong = NO_DEADLINE},
    [SET_MIN_BODY_BYTES_PER_S] = {.name = "min-body-bytes-per-s",
                                  .value = "SIZE",
                                  .help =
                                      "bytes a second that a request's body must bring, over 10s; slower ones get 408",
                                  .fallback = "1k",
                                  .otherwise = "1k",
                                  .read = size,
                                  .least = 1,
                                  .most = (uint64_t)1 << 40,
                                  .wrong = "is not a size from 1 to 1024G, as 65536, 64k or 1M"},
    [SET_WRITE_TIMEOUT] = {.name = "write-timeout",
                           .value = "TIME",
                           .help = "a client that takes nothing of what waits for it is gone after this",
                           .fallback = "30s",
                           .otherwise = "30s",
                           .read = duration,
                           .least = 1,
                           .most = 86400000,
                           .wrong = NO_DEADLINE},
    [SET_DEFLATE] = {.name = "deflate",
                     .value = "WORD",
                     .help = "on: WebSockets are compressed for clients that offer it; off",
                     .fallback = "off",
                     .otherwise = "off",
                     .read = on_or_off,
                     .wrong = "is not on or off"},
    [SET_DRAIN] = {.name = "drain",
                   .value = "TIME",
                   .help = "how long SIGTERM waits for clients to leave",
                   .fallback = "5s",
                   .otherwise = "5s",
                   .read = duration,
                   .most = 86400000,
                   .wrong = "is not a time up to 1d, as 5, 500ms, 30s or 2m"},
    [SET_LOOPS] = {.name = "loops",
                   .value = "N",
                   .help = "threads that serve: more than one for each processor are of no use",
                   .otherwise = "one for each processor",
                   .read = count,
                   .least = 1,
                   .most = 64,
                   .wrong = "is not a number from 1 to 64"},
    [SET_LOG] = {.name = "log",
                 .value = "LEVEL",
                 .help = "what is logged on standard error: off, error, warning, info or debug",
                 .fallback = "info",
                 .otherwise = "info",
                 .read = level,
                 .wrong = "is not off, error, warning, info or debug"},
    [SET_CONFIG] = {.name = "config",
                    .value = "FILE",
                    .help = "a file of settings in YAML",
                    .otherwise = "none",
                    .read = file_name,
                    .wrong = NO_FILE_NAME,
                    .not_in_file = true},
};
