#include "bench/answers.h"

#include <errno.h>

static const char *tell(const bench_answers *answers, bench_client *client, bench_response *response,
                        bench_response_event event, str piece)
{
    switch (event) {
    case BENCH_RESPONSE_HEAD:
        return answers->head(client, piece);
    case BENCH_RESPONSE_DATA:
        return answers->piece(client, piece);
    case BENCH_RESPONSE_DONE:
        return answers->end(client);
    default:
        return response->reason;
    }
}

size_t bench_answers_feed(const bench_answers *answers, bench_client *client, bench_response *response, str input)
{
    size_t done = 0;
    while (client->link.is_up) { /* else it was closed by what it was told, and its state is gone */
        size_t consumed;
        str piece = {NULL, 0};
        bench_response_event event =
            bench_response_next(response, input.at + done, input.len - done, &consumed, &piece);
        done += consumed;
        if (event == BENCH_RESPONSE_MORE)
            break;
        const char *problem = tell(answers, client, response, event, piece);
        if (problem) {
            bench_client_fail(client, problem);
            break;
        }
    }
    return done;
}

size_t bench_answers_feed_body(const bench_answers *answers, bench_client *client, bench_response *response,
                               bench_body *body, str input)
{
    size_t done = bench_answers_feed(answers, client, response, input);
    int error = client->link.is_up ? bench_body_keep(body) : 0;
    if (error)
        bench_client_fail(client, bench_answers_problem(error));
    return done;
}

const char *bench_answers_problem(int error)
{
    if (error >= 0)
        return NULL;
    return error == -ENOMEM     ? "out of memory"
           : error == -EMSGSIZE ? "sent a message that is too long"
                                : "sent text that is not UTF-8";
}
