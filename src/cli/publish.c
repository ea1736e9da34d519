#include "publish.h"

#include "http_client.h"
#include "json_text.h"
#include "options.h"
#include "settings.h"
#include "values.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_INPUT = 1 << 30, /* no server takes more in one message */
    READ_BYTES = 64 << 10,
    MAX_EVENT = 255,
    MAX_SAID = 512, /* of what the server says */
};

typedef struct {
    const char *topic, *data; /* data NULL: from standard input */
    const char *server, *key, *event;
    const char *type; /* Content-Type */
    bool lines;
} publication;

static const option options[] = {
    {.name = "server",
     .value = "URL",
     .help = "where: http://HOST:PORT, HOST:PORT, PORT on this machine, or unix:PATH; also WEFT_SERVER",
     .otherwise = "http://127.0.0.1:3000"},
    {.name = "key",
     .value = "KEY",
     .help = "the server's publish key; WEFT_PUBLISH_KEY keeps it out of lists of processes",
     .otherwise = "none"},
    {.name = "event", .value = "NAME", .help = "the name of an event", .otherwise = "none"},
    {.name = "json", .help = "the data is JSON"},
    {.name = "binary", .help = "the data is any bytes; else it is text"},
    {.name = "lines", .help = "each line of standard input is a message"},
};

enum { N_OPTIONS = sizeof options / sizeof *options };

static const char about[] = "usage: weft publish TOPIC [DATA|-] [OPTIONS]\n\n"
                            "Publishes DATA, or what it reads from standard input, to a topic of weft serve,\n"
                            "and prints the id of the message. Behind -- nothing is an option.\n\n";

/* ----------------------------------------------------------------------------------------------------------- arguments */

static int complain(const char *what, const char *problem)
{
    fprintf(stderr, "weft publish: %s %s\n", what, problem);
    return EXIT_USAGE;
}

static const char text_type[] = "text/plain; charset=utf-8";

static void take_option(publication *p, const char *name, const char *value)
{
    if (strcmp(name, "server") == 0)
        p->server = value;
    else if (strcmp(name, "key") == 0)
        p->key = value;
    else if (strcmp(name, "event") == 0)
        p->event = value;
    else if (strcmp(name, "json") == 0)
        p->type = "application/json";
    else if (strcmp(name, "binary") == 0)
        p->type = "application/octet-stream";
    else
        p->lines = true;
}

static int read_arguments(publication *p, char **argv)
{
    options_reader reader = {"weft publish", options, N_OPTIONS, argv, true, false};
    const option *o;
    const char *value;
    int more, n = 0;
    while ((more = options_next(&reader, &o, &value)) > 0) {
        if (o)
            take_option(p, o->name, value);
        else if (n++ == 0)
            p->topic = value;
        else if (n == 2)
            p->data = value;
        else
            return complain("takes a topic and data, and nothing behind them;", "data with spaces stands in quotes");
    }
    /* "-" is standard input, unless "--" stands before it */
    if (p->data && strcmp(p->data, "-") == 0 && !reader.only_arguments)
        p->data = NULL;
    return more ? EXIT_USAGE : 0;
}

/* Dot segments go by the way in any URL, and the message with them to another topic. */
static bool has_dot_segment(const char *topic)
{
    for (const char *at = topic;; at++) {
        size_t len = strcspn(at, "/");
        if ((len == 1 || len == 2) && strspn(at, ".") >= len)
            return true;
        at += len;
        if (!*at)
            return false;
    }
}

static int check_arguments(const publication *p)
{
    if (!p->topic)
        return complain("needs a topic:", "weft publish TOPIC [DATA]");
    if (!is_topic(p->topic))
        return complain("TOPIC", "is not 1 to 255 bytes of UTF-8 without control characters");
    if (has_dot_segment(p->topic))
        return complain("TOPIC", "has a segment \".\" or \"..\", which no URL can say");
    if (p->event && !is_plain_text(p->event, MAX_EVENT))
        return complain("--event", "is not 1 to 255 bytes of UTF-8 without control characters");
    if (p->key && !is_key(p->key))
        return complain("the key", "is not 1 to 1024 characters of ASCII without spaces");
    if (p->lines && p->data)
        return complain("--lines", "reads standard input; it goes with no DATA");
    return 0;
}

static const char *variable(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

/* ------------------------------------------------------------------------------------------------------------- request */

/* "/topics/" and the topic, with an escape for every byte that a path may not have. Slashes stay. */
static char *path_of(const char *topic)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/",
                      base[] = "/topics/";
    char *path = grow(NULL, sizeof base + 3 * strlen(topic)), *at = path + strlen(base);
    memcpy(path, base, sizeof base);
    for (; *topic; topic++) {
        if (strchr(plain, *topic))
            *at++ = *topic;
        else
            at += snprintf(at, 4, "%%%02X", (unsigned char)*topic);
    }
    *at = '\0';
    return path;
}

static char *fields_of(const publication *p)
{
    char *fields;
    int len = asprintf(&fields, "Content-Type: %s\r\n%s%s%s%s%s%s", p->type, p->key ? "Authorization: Bearer " : "",
                       p->key ? p->key : "", p->key ? "\r\n" : "", p->event ? "Weft-Event: " : "",
                       p->event ? p->event : "", p->event ? "\r\n" : "");
    return len < 0 ? grow(NULL, SIZE_MAX) : fields; /* out of memory is said there */
}

/* What the server says about a refusal: {"error":"a sentence"}, or a line of text from something else on the way. */
static void print_refusal(const http_client *c, const http_answer *answer, size_t line)
{
    char said[MAX_SAID];
    if (!json_text(answer->body, "error", said, sizeof said))
        plain_text(*answer->body == '<' ? "" : answer->body, said, sizeof said);
    fprintf(stderr, "weft publish: ");
    if (line)
        fprintf(stderr, "line %zu: ", line);
    fprintf(stderr, "%s answered %d%s%s\n", http_client_url(c), answer->status, *said ? ": " : "", said);
}

typedef struct {
    http_client *client;
    http_post post;
    size_t line; /* of the input, from 1; 0: it is one message */
} sender;

/* Sends one message and prints its id. The exit status. */
static int send_message(sender *s, const char *data, size_t len)
{
    http_answer answer;
    char id[MAX_SAID];
    s->post.body = data;
    s->post.len = len;
    if (http_client_post(s->client, &s->post, &answer)) {
        fprintf(stderr, "weft publish: %s: %s\n", http_client_url(s->client), http_client_problem(s->client));
        return EXIT_FAILED;
    }
    if (answer.status / 100 != 2) {
        print_refusal(s->client, &answer, s->line);
        return EXIT_FAILED;
    }
    if (!json_text(answer.body, "id", id, sizeof id)) {
        fprintf(stderr, "weft publish: %s does not answer as weft serve does\n", http_client_url(s->client));
        return EXIT_FAILED;
    }
    puts(id);
    return output_end();
}

/* --------------------------------------------------------------------------------------------------------------- input */

static int input_failed(const char *problem)
{
    fprintf(stderr, "weft publish: cannot read standard input: %s\n", problem);
    return EXIT_FAILED;
}

/* Without the end of the (last) line. */
static size_t without_end(const char *data, size_t len)
{
    if (len && data[len - 1] == '\n')
        len--;
    return len && data[len - 1] == '\r' ? len - 1 : len;
}

/* Text from a pipe ends with a newline that nobody means. */
static int send_input(sender *s, bool is_text)
{
    char *data = NULL;
    size_t len = 0, n = 1;
    for (; n && len <= MAX_INPUT; len += n) {
        data = grow(data, len + READ_BYTES);
        n = fread(data + len, 1, READ_BYTES, stdin);
    }
    int status = ferror(stdin) ? input_failed(strerror(errno)) : len > MAX_INPUT ? input_failed("it is over 1 GiB") : 0;
    if (!status)
        status = send_message(s, data, is_text ? without_end(data, len) : len);
    free(data);
    return status;
}

/* A message for each line, as it comes; empty lines are no JSON. */
static int send_lines(sender *s, bool is_json)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t len;
    int status = 0;
    while (!status && (len = getline(&line, &room, stdin)) >= 0) {
        size_t n = without_end(line, (size_t)len);
        s->line++;
        if (n || !is_json)
            status = send_message(s, line, n);
    }
    if (!status && ferror(stdin))
        status = input_failed(strerror(errno));
    free(line);
    return status;
}

static int publish(const publication *p)
{
    http_client *client = http_client_new(p->server);
    if (!client)
        return complain(p->server, "is not http://HOST:PORT, HOST:PORT, PORT or unix:PATH");
    char *path = path_of(p->topic), *fields = fields_of(p);
    sender s = {.client = client, .post = {.path = path, .fields = fields}};
    int status = p->lines  ? send_lines(&s, strcmp(p->type, "application/json") == 0)
                 : p->data ? send_message(&s, p->data, strlen(p->data))
                           : send_input(&s, p->type == text_type);
    free(path);
    free(fields);
    http_client_free(client);
    return status;
}

int run_publish(char **argv)
{
    const char *server = variable("WEFT_SERVER");
    publication p = {
        .server = server ? server : "http://127.0.0.1:3000",
        .key = variable("WEFT_PUBLISH_KEY"),
        .type = text_type,
    };
    if (options_ask_help(argv))
        return options_help(about, options, N_OPTIONS);
    int error = read_arguments(&p, argv);
    if (!error)
        error = check_arguments(&p);
    return error ? error : publish(&p);
}
