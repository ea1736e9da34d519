/*
 * lws-echo echo|broadcast: libwebsockets as its minimal examples use it, one thread. Every message comes back, or goes to
 * every other connection. It prints its address and serves until it is killed.
 *
 * Without extensions, on its own poll() loop, with a large read buffer (of whose size a piece of a message is as well), and
 * with more than one write in a turn as long as the socket takes them.
 */
#include <libwebsockets.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { READ_BYTES = 512 << 10, MAX_WAITING = 64 };

/* Bytes of a message, with the room in front of them that lws_write() asks for. */
struct piece {
    size_t len, n_users;
    enum lws_write_protocol how;
    unsigned char room[];
};

struct waiting {
    struct lws_dll2 at;
    struct piece *piece;
};

struct session {
    struct lws_dll2 at; /* of `sessions`, in a broadcast */
    struct lws *wsi;
    struct lws_dll2_owner queue;
};

static struct lws_dll2_owner sessions;
static int broadcasts;

static struct piece *piece_new(struct lws *wsi, const void *in, size_t len)
{
    struct piece *piece = malloc(sizeof *piece + LWS_PRE + len);
    if (!piece)
        return NULL;
    piece->len = len;
    piece->n_users = 0;
    piece->how =
        (enum lws_write_protocol)lws_write_ws_flags(lws_frame_is_binary(wsi) ? LWS_WRITE_BINARY : LWS_WRITE_TEXT,
                                                    lws_is_first_fragment(wsi), lws_is_final_fragment(wsi));
    memcpy(piece->room + LWS_PRE, in, len);
    return piece;
}

static void piece_unref(struct piece *piece)
{
    if (--piece->n_users == 0)
        free(piece);
}

static void queue(struct session *session, struct piece *piece)
{
    struct waiting *waiting = calloc(1, sizeof *waiting);
    if (!waiting)
        return;
    waiting->piece = piece;
    piece->n_users++;
    lws_dll2_add_tail(&waiting->at, &session->queue);
    lws_callback_on_writable(session->wsi);
}

static void unqueue(struct session *session)
{
    struct waiting *first = lws_container_of(lws_dll2_get_head(&session->queue), struct waiting, at);
    lws_dll2_remove(&first->at);
    piece_unref(first->piece);
    free(first);
}

static void relay(struct session *from, struct piece *piece)
{
    piece->n_users++;
    lws_start_foreach_dll(struct lws_dll2 *, at, lws_dll2_get_head(&sessions))
    {
        struct session *other = lws_container_of(at, struct session, at);
        if (other != from)
            queue(other, piece);
    }
    lws_end_foreach_dll(at);
    piece_unref(piece);
}

static int receive(struct session *session, const void *in, size_t len)
{
    struct piece *piece = piece_new(session->wsi, in, len);
    if (!piece)
        return -1;
    if (broadcasts)
        relay(session, piece);
    else
        queue(session, piece);
    if (session->queue.count > MAX_WAITING)
        lws_rx_flow_control(session->wsi, 0);
    return 0;
}

static int send_waiting(struct session *session)
{
    while (session->queue.count) {
        struct piece *piece = lws_container_of(lws_dll2_get_head(&session->queue), struct waiting, at)->piece;
        int n = lws_write(session->wsi, piece->room + LWS_PRE, piece->len, piece->how);
        if (n < (int)piece->len)
            return -1;
        unqueue(session);
        if (session->queue.count && lws_send_pipe_choked(session->wsi)) {
            lws_callback_on_writable(session->wsi);
            return 0;
        }
    }
    if (!broadcasts)
        lws_rx_flow_control(session->wsi, 1);
    return 0;
}

static int on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len)
{
    struct session *session = user;
    switch (reason) {
    case LWS_CALLBACK_ESTABLISHED:
        session->wsi = wsi;
        if (broadcasts)
            lws_dll2_add_tail(&session->at, &sessions);
        return 0;
    case LWS_CALLBACK_CLOSED:
        lws_dll2_remove(&session->at);
        while (session->queue.count)
            unqueue(session);
        return 0;
    case LWS_CALLBACK_RECEIVE:
        return receive(session, in, len);
    case LWS_CALLBACK_SERVER_WRITEABLE:
        return send_waiting(session);
    default:
        return 0;
    }
}

int main(int argc, char **argv)
{
    static const struct lws_protocols protocols[] = {
        {.name = "any", .callback = on_event, .per_session_data_size = sizeof(struct session)},
        {0},
    };
    struct lws_context_creation_info info = {
        .protocols = protocols,
        .iface = "127.0.0.1",
        .pt_serv_buf_size = READ_BYTES,
        .options = LWS_SERVER_OPTION_EXPLICIT_VHOSTS | LWS_SERVER_OPTION_DISABLE_IPV6,
        .gid = -1,
        .uid = -1,
    };
    broadcasts = argc > 1 && strcmp(argv[1], "broadcast") == 0;
    lws_set_log_level(LLL_ERR, NULL);
    struct lws_context *context = lws_create_context(&info);
    struct lws_vhost *vhost = context ? lws_create_vhost(context, &info) : NULL;
    if (!vhost)
        return 1;
    printf("ready ws://127.0.0.1:%d\n", lws_get_vhost_listen_port(vhost));
    fflush(stdout);
    while (lws_service(context, 0) >= 0)
        ;
    lws_context_destroy(context);
    return 1;
}
