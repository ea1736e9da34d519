/**
 * Values as people write them in settings: numbers, sizes, durations, addresses, names. Each function says whether the text is such a
 * value; outputs are untouched when it is not.
 */
#ifndef WEFT_CLI_VALUES_H
#define WEFT_CLI_VALUES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** `12` */
bool read_count(const char *text, uint64_t *ret_count);

/** `65536`, `64k`, `1M`, `2G`: powers of 1024, in either case. */
bool read_bytes(const char *text, uint64_t *ret_bytes);

/** `300`, `300s`, `500ms`, `5m`, `2h`, `1d`; a number alone is seconds. */
bool read_duration_ms(const char *text, uint64_t *ret_ms);

/** UTF-8 without control characters, of 1 to `most` bytes. */
bool is_plain_text(const char *text, size_t most);

/** A topic's name, or a pattern of names. */
bool is_topic(const char *text);

/** `on`, `off`, or a path that begins and ends in a slash, without what routes give a meaning to. */
bool is_socketio_path(const char *text);

/** A namespace of Socket.IO, or a pattern of them: begins with a slash. */
bool is_namespace(const char *text);

/** `/news=news`, `/game-*=game-*`: a namespace and a topic, with at most one `*` in each, and as many in both. */
bool is_bridge(const char *text);

/** `*`, or `https://example.com:8443`, whose host may begin with `*.` */
bool is_origin(const char *text);

/** `*`, or a host's name without a port. */
bool is_host(const char *text);

/** `10.0.0.1`, `10.0.0.0/8`, `2001:db8::/32` (no bits behind the prefix), or `unix`. */
bool is_network(const char *text);

/** What may stand behind `Authorization: Bearer`: ASCII that can be seen. */
bool is_key(const char *text);

enum { ADDRESS_BYTES = 300 };

/** An address with everything that was left out: `http://HOST:PORT` from that, HOST:PORT, :PORT or PORT (on 127.0.0.1);
 * `https://HOST:PORT`; or `unix:PATH`. */
bool complete_address(const char *text, char ret_url[ADDRESS_BYTES]);

/** Host (without brackets) and port of a complete http or https address. */
void split_address(const char *url, char ret_host[ADDRESS_BYTES], char ret_port[8]);

/** True for a complete address that only this machine reaches: 127.0.0.0/8, [::1], localhost, a Unix socket. */
bool is_local_address(const char *url);

#endif
