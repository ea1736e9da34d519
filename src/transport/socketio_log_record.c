#include "base/mem.h"
#include "transport/socketio_log_private.h"
#include <errno.h>

/*
 * A record: the id, the rooms (each behind a byte that is its length) behind their number, and the packets, each its parts behind their number, a part behind its
 * length. A packet's text ends where its offset began, as it gets another.
 */

static int put_number(buf *to, size_t n)
{
    uint32_t number = (uint32_t)n;
    return buf_put(to, &number, sizeof number);
}

static str image_data(chunk *image)
{
    return (str){engineio_image_data(image), image->len - ENGINEIO_ROOM};
}

static int put_packet(const log_entry *e, uint64_t number, socketio_socket *s, void *user)
{
    enum { QUOTES_AND_BRACKET = 3 };
    char offset[SOCKETIO_OFFSET_BYTES];
    buf *to = user;
    size_t tail = cursor_put((cursor){s->nsp->log->epoch, number}, offset) + QUOTES_AND_BRACKET;
    int error = put_number(to, e->n_images);
    for (uint32_t i = 0; i < e->n_images && !error; i++) {
        str data = image_data(e->images[i]);
        data.len -= i ? 0 : tail;
        error = put_number(to, data.len);
        if (!error)
            error = buf_put_str(to, data);
    }
    return error;
}

static int put_rooms(buf *to, const log_kept *k)
{
    const char *end = k->names;
    for (uint32_t i = 0; i < k->n_rooms; i++)
        end += 1 + (unsigned char)*end;
    int error = buf_put(to, k->id, sizeof k->id);
    if (!error)
        error = put_number(to, k->n_rooms);
    return error ? error : buf_put(to, k->names, (size_t)(end - k->names));
}

/* Somebody stands in for the socket, as its rooms are needed and it is gone. 0 or -ENOMEM. */
static int put_missed(socketio_log *l, const log_kept *k, uint64_t from, buf *to)
{
    socketio_socket *s = mem_zero(sizeof *s);
    if (!s)
        return -ENOMEM;
    s->nsp = l->nsp;
    memcpy(s->id, k->id, sizeof k->id);
    int error = socketio_log_join_rooms(k, k->n_rooms, s, true);
    if (!error)
        error = socketio_log_walk(l, s, from, put_packet, to);
    socketio_leave_all(s);
    mem_free(s);
    return error;
}

bool socketio_log_give_up(socketio_log *l, str pid, str offset, buf *ret)
{
    uint64_t from;
    socketio_log_take_over(l, NULL, pid);
    log_kept *k = socketio_log_find_kept(l, pid);
    if (!k)
        return false;
    bool given = socketio_log_can_send(l, k, offset, &from) && !put_rooms(ret, k) && !put_missed(l, k, from, ret);
    socketio_log_free_kept(l, k);
    return given;
}

static uint32_t take_number(str *from)
{
    uint32_t number;
    memcpy(&number, from->at, sizeof number);
    *from = (str){from->at + sizeof number, from->len - sizeof number};
    return number;
}

static str take_bytes(str *from, size_t len)
{
    str taken = {from->at, len};
    *from = (str){from->at + len, from->len - len};
    return taken;
}

static chunk *image_of(const socketio_log *l, bool binary, str data, str offset)
{
    size_t len = data.len + (offset.len ? offset.len + 3 : 0);
    chunk *image = engineio_image_new(&loop_of(l)->blocks, binary, len);
    char *at = image ? engineio_image_data(image) : NULL;
    if (!image)
        return NULL;
    if (data.len)
        memcpy(at, data.at, data.len);
    if (offset.len) {
        at += data.len;
        *at++ = '"';
        memcpy(at, offset.at, offset.len);
        memcpy(at + offset.len, "\"]", 2);
    }
    return image;
}

/* Once more, for one socket alone. 0 or -ENOMEM. */
static int log_again(socketio_log *l, const socketio_socket *s, const str *parts, uint32_t n)
{
    char text[SOCKETIO_OFFSET_BYTES];
    str offset = {text, socketio_log_next(l, text)}, own = {s->id, SOCKETIO_ID_BYTES};
    socketio_packet_images images = {.n = 0};
    for (uint32_t i = 0; i < n; i++) {
        chunk *image = image_of(l, i > 0, parts[i], i ? (str){NULL, 0} : offset);
        if (!image) {
            socketio_images_drop(&loop_of(l)->blocks, &images);
            return -ENOMEM;
        }
        images.images[images.n++] = image;
    }
    const log_entry *e = socketio_log_append(l, &images, &(socketio_audience){.rooms = &own, .n_rooms = 1});
    socketio_images_drop(&loop_of(l)->blocks, &images);
    return e ? 0 : -ENOMEM;
}

static int log_missed(socketio_log *l, const socketio_socket *s, str packets)
{
    int error = 0;
    while (packets.len && !error) {
        str parts[1 + SOCKETIO_MAX_ATTACHMENTS];
        uint32_t n = take_number(&packets);
        for (uint32_t i = 0; i < n; i++) {
            size_t len = take_number(&packets);
            parts[i] = take_bytes(&packets, len);
        }
        error = log_again(l, s, parts, n);
    }
    return error;
}

/* True for an order that came after that one; their numbers go round. */
static bool is_later(const log_entry *e, uint32_t order)
{
    return e->order && (int32_t)(e->order - order) > 0;
}

/* The offset ends differently in the copy. */
static int copy_entry(socketio_log *l, socketio_socket *s, uint64_t at)
{
    const log_entry *e = *entry_at(l, at);
    char offset[SOCKETIO_OFFSET_BYTES];
    str parts[1 + SOCKETIO_MAX_ATTACHMENTS];
    for (uint32_t i = 0; i < e->n_images; i++)
        parts[i] = image_data(e->images[i]);
    parts[0].len -= cursor_put((cursor){l->epoch, at + 1}, offset) + 3;
    return log_again(l, s, parts, e->n_images);
}

/* What came here by later orders than the loop had seen that gave it up. 0, -ENOMEM, or WEFT_E_INVALID: it may have sent one of them itself. */
static int log_later(socketio_log *l, socketio_socket *s, uint64_t from, uint64_t end, uint32_t order)
{
    int error = 0;
    for (; from < end && !error; from++) {
        const log_entry *e = *entry_at(l, from);
        if (!e->n_images || !is_later(e, order) || !socketio_log_was_for(e, s))
            continue;
        error = e->stranger ? WEFT_E_INVALID : copy_entry(l, s, from);
    }
    return error;
}

static int log_arrival(socketio_log *l, const socketio_socket *s, str offset)
{
    const socketio_packet_images none = {.n = 0};
    const str text = offset.at ? offset : STR("");
    log_entry *e =
        socketio_log_append(l, &none, &(socketio_audience){.rooms = &text, .n_rooms = 1, .sender_id = s->id});
    if (e)
        e->arrived = true;
    return e ? 0 : -ENOMEM;
}

static int take_rooms(socketio_socket *s, str *record)
{
    int error = 0;
    for (uint32_t n = take_number(record); n && !error; n--) {
        size_t len = (unsigned char)*take_bytes(record, 1).at;
        error = socketio_join(s, take_bytes(record, len));
    }
    return error;
}

bool socketio_log_take_in(socketio_log *l, socketio_socket *s, const socketio_arrival *arrival)
{
    char own[SOCKETIO_ID_BYTES];
    uint64_t asked_at = s->logged, from = l->head;
    str record = arrival->record;
    memcpy(own, s->id, sizeof own);
    memcpy(s->id, take_bytes(&record, SOCKETIO_ID_BYTES).at, SOCKETIO_ID_BYTES);
    bool taken = asked_at >= l->first && !take_rooms(s, &record) && !log_arrival(l, s, arrival->offset) &&
                 !log_missed(l, s, record) && !log_later(l, s, asked_at, from, arrival->order);
    if (taken)
        socketio_log_trim(l);
    if (!taken || from < l->first) {
        memcpy(s->id, own, sizeof own);
        socketio_leave_all(s);
        return false;
    }
    memcpy(s->pid, arrival->pid.at, SOCKETIO_ID_BYTES);
    s->recovered = true;
    s->logged = from;
    return true;
}
