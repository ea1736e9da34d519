/*
 * wsload - load generator for WebSocket, HTTP push (SSE, streaming, long
 * poll), raw TCP and Socket.IO servers.
 *
 * Single-threaded, epoll, pre-masked frames.  The headline figure is
 * MESSAGES PER SERVER-CPU-SECOND: the CPU time the server process (all its
 * threads) spent during the measured window is read from its CPU clock, so
 * the figure stays meaningful when the generator itself is the bottleneck.
 *
 * Build: gcc -O2 -Wall -Wextra -Wshadow -o wsload wsload.c -lssl -lcrypto -lz
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

static const char USAGE[] =
    "usage: wsload echo|broadcast|fanout|idle [options]\n"
    "\n"
    "  echo        every connection keeps DEPTH messages in flight; the server\n"
    "              must send each message back unchanged\n"
    "  broadcast   CONNS subscribers + 1 publisher; the server must send whatever\n"
    "              the publisher sends to every (other) connection\n"
    "  fanout      CONNS subscribers over one transport (--via) and one publisher\n"
    "              that POSTs; every subscriber must get every message once and in\n"
    "              order, else the exit status is 1\n"
    "  idle        open CONNS connections, report handshake rate, server CPU per\n"
    "              handshake and server memory per connection\n"
    "\n"
    "  -h ADDR     server address (127.0.0.1)      -p PORT   port (9001)\n"
    "  -u PATH     request path (/)                -c CONNS  connections (100)\n"
    "  -s BYTES    payload size (20; fanout: at least 40)\n"
    "  -d DEPTH    in flight per connection (1)\n"
    "  -t SECS     measured window (5)             -w SECS   warm-up before it (1)\n"
    "  -b          binary frames instead of text   --raw     plain TCP, no WebSocket\n"
    "  --tls       TLS (certificate not checked)   --sio     Socket.IO 4 over WebSocket\n"
    "  --deflate   offer permessage-deflate, send compressed JSON text, each message unlike the ones before\n"
    "  --context   with --deflate: the server may keep a context (what comes back is not inflated)\n"
    "  --pid PID   server process to charge (repeatable)\n"
    "  --core N    also report busy time of core N (includes interrupts)\n"
    "  --cpu N     pin the generator to core N (1; -1 = do not pin)\n"
    "  --rate R    broadcast, fanout: R messages/s instead of closed loop\n"
    "  --window W  broadcast, fanout: messages not yet delivered to all in closed\n"
    "              loop (1); idle: concurrent handshakes (64)\n"
    "  --via V     fanout, idle: sse, stream (a message a line), poll (long poll)\n"
    "              or ws (a message a WebSocket message; the default)\n"
    "  --sub PATH  subscribers' path with its query (as -u)\n"
    "  --pub PATH  fanout: publisher's path (the subscribers')\n"
    "  --pipeline P  fanout: POSTs sent ahead of their answers (1)\n"
    "  --accept T  stream: Accept header (application/x-ndjson)\n"
    "  --poll-style weft|nchan  what a poll passes back: \"cursor\" of the JSON body\n"
    "              as ?since=CURSOR&wait=25 (weft, the default), or Last-Modified\n"
    "              and Etag as If-Modified-Since and If-None-Match (nchan)\n"
    "  --src K     use K source addresses 127.0.1.1..K; --dst K spreads over K\n"
    "              destinations ADDR..ADDR+K-1 (for > 28k connections)\n"
    "  --procs K   idle: K generator processes (to exceed the open-file limit)\n"
    "  --hold S    idle: keep the connections S seconds before measuring memory (1)\n"
    "  --tag TEXT  label printed in the result line\n";

/* ------------------------------------------------------------------ options */
enum mode { ECHO, BROADCAST, FANOUT, IDLE };
enum via { WS, SSE, STREAM, POLL };
static const char *const VIA[] = {"ws", "sse", "stream", "poll"};
static struct {
    enum mode mode;
    enum via via;
    const char *host, *path, *pub, *accept, *tag;
    int port, conns, depth, cpu, core, src, dst, procs, window, pipeline;
    size_t size;
    double secs, warm, rate, hold;
    bool binary, raw, tls, sio, deflate, context, nchan;
    int pids[16], npids;
} o = {.host = "127.0.0.1",
       .path = NULL,
       .tag = "-",
       .port = 9001,
       .conns = 100,
       .depth = 1,
       .cpu = 1,
       .core = -1,
       .src = 1,
       .dst = 1,
       .procs = 1,
       .window = 0,
       .accept = "application/x-ndjson",
       .pipeline = 1,
       .size = 20,
       .secs = 5,
       .warm = 1,
       .hold = 1};

static void die(const char *what)
{
    fprintf(stderr, "wsload: %s%s%s\n", what, errno ? ": " : "", errno ? strerror(errno) : "");
    exit(1);
}

static inline uint64_t now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* ---------------------------------------------- histogram (log2 x 64 linear) */
#define SUB 64
static uint64_t hist[64 * SUB], hist_n;

static inline void hist_add(uint64_t v)
{
    unsigned e = v < SUB ? 0 : (unsigned)(63 - __builtin_clzll(v)) - 5;
    hist[e * SUB + (e ? (v >> e) : v)]++; /* v>>e is in [32,64) for e>0 */
    hist_n++;
}

static double hist_pct(double p) /* microseconds */
{
    uint64_t want = (uint64_t)((double)hist_n * p), seen = 0;
    for (unsigned i = 0; i < 64 * SUB; i++) {
        seen += hist[i];
        if (hist[i] && seen > want) {
            unsigned e = i / SUB;
            return (double)((uint64_t)(i % SUB) << e) / 1000.0;
        }
    }
    return 0;
}

/* ------------------------------------------------- what the server has used */
struct usage {
    uint64_t cpu_ns, user_ticks, sys_ticks, self_ns, core_busy, core_total, at;
};

/* CPU time of one process, on the clock that has ns resolution if we may read it. */
static uint64_t cpu_ns(int pid, unsigned long ticks)
{
    clockid_t id;
    struct timespec ts;
    if (clock_getcpuclockid(pid, &id) == 0 && clock_gettime(id, &ts) == 0)
        return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
    return ticks * (1000000000u / (uint64_t)sysconf(_SC_CLK_TCK));
}

static void read_usage(struct usage *u)
{
    memset(u, 0, sizeof *u);
    for (int i = 0; i < o.npids; i++) {
        char path[64], buf[1024];
        snprintf(path, sizeof path, "/proc/%d/stat", o.pids[i]);
        FILE *f = fopen(path, "r");
        if (!f)
            die("server process is gone");
        size_t n = fread(buf, 1, sizeof buf - 1, f);
        fclose(f);
        buf[n] = 0;
        unsigned long ut = 0, st = 0;
        char *p = strrchr(buf, ')');
        if (p)
            sscanf(p + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &ut, &st);
        u->user_ticks += ut;
        u->sys_ticks += st;
        u->cpu_ns += cpu_ns(o.pids[i], ut + st);
    }
    if (o.core >= 0) {
        FILE *f = fopen("/proc/stat", "r");
        char line[512], name[16];
        snprintf(name, sizeof name, "cpu%d ", o.core);
        while (f && fgets(line, sizeof line, f))
            if (!strncmp(line, name, strlen(name))) {
                unsigned long v[8] = {0};
                sscanf(line + strlen(name), "%lu %lu %lu %lu %lu %lu %lu %lu", v, v + 1, v + 2, v + 3, v + 4, v + 5,
                       v + 6, v + 7);
                for (int i = 0; i < 8; i++)
                    u->core_total += v[i];
                u->core_busy = u->core_total - v[3] - v[4];
            }
        if (f)
            fclose(f);
    }
    struct timespec ts;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    u->self_ns = (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
    u->at = now_ns();
}

static void read_memory(long *rss_kb, long *pss_kb)
{
    *rss_kb = *pss_kb = 0;
    for (int i = 0; i < o.npids; i++) {
        char path[64], line[256];
        long v;
        snprintf(path, sizeof path, "/proc/%d/smaps_rollup", o.pids[i]);
        FILE *f = fopen(path, "r");
        while (f && fgets(line, sizeof line, f)) {
            if (sscanf(line, "Rss: %ld", &v) == 1)
                *rss_kb += v;
            if (sscanf(line, "Pss: %ld", &v) == 1)
                *pss_kb += v;
        }
        if (f)
            fclose(f);
    }
}

/* sockstat "TCP mem" pages and slab bytes: memory the kernel spends, both ends */
static void read_kernel(long *tcp_kb, long *slab_kb)
{
    char line[256];
    long v;
    *tcp_kb = *slab_kb = 0;
    FILE *f = fopen("/proc/net/sockstat", "r");
    while (f && fgets(line, sizeof line, f)) {
        char *m = strstr(line, " mem ");
        if (!strncmp(line, "TCP:", 4) && m)
            *tcp_kb = atol(m + 5) * 4;
    }
    if (f)
        fclose(f);
    f = fopen("/proc/meminfo", "r");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "Slab: %ld", &v) == 1)
            *slab_kb = v;
    if (f)
        fclose(f);
}

/* -------------------------------------------------------------- connections */
enum state { CONNECTING, TLS_HS, HTTP, SIO_OPEN, SIO_ACK, ASKED, READY };
enum body { B_HEAD, B_LENGTH, B_CLOSE, B_SIZE, B_EXT, B_CHUNK, B_CRLF, B_TRAILER };
#define HEAD 64 /* message bytes kept for inspection */

struct conn {
    int fd;
    uint8_t state, opcode, check, want_out, fin, rsv1, publisher;
    uint8_t hlen, hdr[14]; /* partial frame header */
    uint64_t frame_rem, msg_off;
    size_t soff, pend; /* ring offset / bytes still to send */
    uint32_t rvar;     /* variant expected next */
    uint32_t svar;     /* variant sent next */
    uint32_t ts_r, ts_w;
    uint64_t *ts; /* send times, DEPTH entries */
    SSL *ssl;
    char *http; /* response head while it arrives */
    int httplen;
    char head[HEAD];
    /* HTTP push: subscribers, and the publisher */
    uint8_t body, closing, altered; /* enum body; Connection: close; padding differs */
    uint64_t body_rem;              /* of the body, the chunk, or its size so far */
    uint8_t *part;                  /* unfinished line, or a poll's body */
    size_t partlen, partcap;
    char *cursor;               /* what the next poll passes back */
    uint64_t first, next, seen; /* sequence: first, due next, bits of the last 64 */
};

static struct conn *conns;
static int nconns, nready, conn_base, epfd;
static SSL_CTX *tls_ctx;
static uint8_t *rbuf; /* shared receive buffer */
#define RBUF   (1u << 20)
#define N_JSON 256      /* messages of --deflate: more than a window holds */
static uint8_t *ring;   /* a frame of each variant, twice */
static uint8_t **plain; /* their payloads */
static size_t *framelen, ringlen, paylen;
static uint32_t nvariants; /* DEPTH, or more */
static uint64_t messages, deliveries, checked, bad, errors, bytes_in, lost, doubled, misordered;
static bool measuring, loading;
static const char SIO_PRE[] = "42[\"echo\",\"";
#define SIO_PRELEN (sizeof SIO_PRE - 1)

static ssize_t io_read(struct conn *c, void *p, size_t n)
{
    if (!c->ssl)
        return recv(c->fd, p, n, 0);
    int r = SSL_read(c->ssl, p, (int)n);
    if (r > 0)
        return r;
    int e = SSL_get_error(c->ssl, r);
    if (e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE) {
        errno = EAGAIN;
        return -1;
    }
    return e == SSL_ERROR_ZERO_RETURN ? 0 : -1;
}

static ssize_t io_write(struct conn *c, const void *p, size_t n)
{
    if (!c->ssl)
        return send(c->fd, p, n, MSG_NOSIGNAL);
    int r = SSL_write(c->ssl, p, (int)(n > (1u << 30) ? (1u << 30) : n));
    if (r > 0)
        return r;
    int e = SSL_get_error(c->ssl, r);
    errno = (e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE) ? EAGAIN : EPIPE;
    return -1;
}

static void watch(struct conn *c, bool out)
{
    if (c->want_out == out)
        return;
    c->want_out = out;
    struct epoll_event ev = {.events = EPOLLIN | (out ? EPOLLOUT : 0), .data.ptr = c};
    epoll_ctl(epfd, EPOLL_CTL_MOD, c->fd, &ev);
}

static bool is_push(const struct conn *c) /* speaks HTTP, not WebSocket */
{
    return o.via != WS || (o.mode == FANOUT && c->publisher);
}

static void drop(struct conn *c)
{
    if (c->fd < 0)
        return;
    errors++;
    if (c->state == READY)
        nready--;
    close(c->fd);
    c->fd = -1;
}

static void flush_out(struct conn *c)
{
    while (c->pend) {
        ssize_t n = io_write(c, ring + c->soff, c->pend);
        if (n < 0) {
            if (errno == EAGAIN)
                break;
            drop(c);
            return;
        }
        c->soff += (size_t)n;
        if (c->soff >= ringlen)
            c->soff -= ringlen;
        c->pend -= (size_t)n;
    }
    watch(c, c->pend != 0);
}

static void send_more(struct conn *c, unsigned k, uint64_t t)
{
    for (unsigned i = 0; i < k; i++) {
        c->ts[c->ts_w] = t;
        if (++c->ts_w == (uint32_t)o.depth)
            c->ts_w = 0;
    }
    for (unsigned i = 0; i < k; i++) {
        c->pend += framelen[c->svar];
        if (++c->svar == nvariants)
            c->svar = 0;
    }
    flush_out(c);
}

/* Write one masked client frame into out; returns its length. */
static size_t make_frame(uint8_t *out, int opcode, bool rsv1, const uint8_t *p, size_t n)
{
    uint8_t key[4];
    size_t h = 2;
    for (int i = 0; i < 4; i++)
        key[i] = (uint8_t)rand();
    out[0] = (uint8_t)(0x80 | (rsv1 ? 0x40 : 0) | opcode);
    if (n < 126)
        out[1] = (uint8_t)(0x80 | n);
    else if (n < 65536) {
        out[1] = 0x80 | 126;
        out[2] = (uint8_t)(n >> 8);
        out[3] = (uint8_t)n;
        h = 4;
    } else {
        out[1] = 0x80 | 127;
        h = 10;
        for (int i = 0; i < 8; i++)
            out[2 + i] = (uint8_t)(n >> (56 - 8 * i));
    }
    memcpy(out + h, key, 4);
    h += 4;
    for (size_t i = 0; i < n; i++)
        out[h + i] = p[i] ^ key[i & 3];
    return h + n;
}

static void send_small(struct conn *c, int opcode, const char *s, size_t n)
{
    uint8_t b[256];
    if (n > 200)
        n = 200;
    size_t l = make_frame(b, opcode, false, (const uint8_t *)s, n);
    if (c->pend == 0 && io_write(c, b, l) != (ssize_t)l)
        drop(c);
}

/* Fill a payload: varied text, distinct per variant. */
static void fill(uint8_t *p, size_t n, int variant)
{
    static const char alpha[] = "abcdefghijklmnopqrstuvwxyz0123456789 .,ABCDEFGHIJKLMNOPQRSTUVWXY";
    uint32_t x = 2463534242u + (uint32_t)variant * 7919u;
    for (size_t i = 0; i < n; i++) {
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        p[i] = (uint8_t)alpha[x & 63];
    }
}

/* Records of the same shape, whose numbers differ from variant to variant. */
static void fill_json(uint8_t *p, size_t n, unsigned variant)
{
    size_t l = 0;
    for (unsigned i = variant * 131, first = i; l < n; i++) {
        char b[128];
        int k = snprintf(b, sizeof b, "%s{\"id\":%u,\"user\":\"user%u\",\"price\":%u.%02u,\"ok\":%s}",
                         i > first ? "," : "[", 1000 + i * 17, (i * 7919) % 997, (i * 31) % 1000, (i * 13) % 100,
                         i % 3 ? "true" : "false");
        for (int j = 0; j < k && l < n; j++)
            p[l++] = (uint8_t)b[j];
    }
}

static void build_ring(void)
{
    paylen = o.size + (o.sio ? SIO_PRELEN + 2 : 0);
    nvariants = (uint32_t)(o.deflate && o.depth < N_JSON ? N_JSON : o.depth);
    plain = calloc(nvariants, sizeof *plain);
    framelen = calloc(nvariants, sizeof *framelen);
    size_t cap = paylen + 64;
    ring = malloc(2 * cap * nvariants);
    uint8_t *comp = malloc(cap + 1024);
    size_t off = 0;
    for (int v = 0; v < (int)nvariants; v++) {
        plain[v] = malloc(paylen + 1);
        if (o.sio) {
            memcpy(plain[v], SIO_PRE, SIO_PRELEN);
            fill(plain[v] + SIO_PRELEN, o.size, v);
            memcpy(plain[v] + SIO_PRELEN + o.size, "\"]", 2);
        } else if (o.deflate)
            fill_json(plain[v], paylen, (unsigned)v);
        else
            fill(plain[v], paylen, v);
        if (o.raw) {
            memcpy(ring + off, plain[v], paylen);
            framelen[v] = paylen;
        } else if (o.deflate) {
            z_stream z = {0};
            deflateInit2(&z, 6, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY);
            z.next_in = plain[v];
            z.avail_in = (uInt)paylen;
            z.next_out = comp;
            z.avail_out = (uInt)(cap + 1024);
            deflate(&z, Z_SYNC_FLUSH);
            framelen[v] = make_frame(ring + off, o.binary ? 2 : 1, true, comp, z.total_out - 4);
            deflateEnd(&z);
        } else
            framelen[v] = make_frame(ring + off, o.binary ? 2 : 1, false, plain[v], paylen);
        off += framelen[v];
    }
    ringlen = off;
    memcpy(ring + ringlen, ring, ringlen);
    free(comp);
}

/* ------------------------------------------------------ broadcast publisher */
static struct conn *pub;
static uint64_t published, delivered_all; /* messages sent / deliveries seen */

static void publish(void)
{
    static uint8_t *msg, *frame;
    if (!msg) {
        msg = malloc(paylen + 1);
        frame = malloc(paylen + 64);
    }
    memcpy(msg, plain[0], paylen);
    char t[17];
    snprintf(t, sizeof t, "%016llx", (unsigned long long)now_ns());
    memcpy(msg + (o.sio ? SIO_PRELEN : 0), t, 16);
    size_t l = o.raw ? (memcpy(frame, msg, paylen), paylen) : make_frame(frame, o.binary ? 2 : 1, false, msg, paylen);
    size_t off = 0;
    while (off < l) { /* publisher may block: it is alone */
        ssize_t n = io_write(pub, frame + off, l - off);
        if (n > 0)
            off += (size_t)n;
        else if (errno != EAGAIN) {
            drop(pub);
            return;
        }
    }
    published++;
}

/* ---------------------------------------------- fan-out: publisher and order */
#define MARK     12 /* "wsl" RUN(8) "." SEQ(10) "." SENT(16) "." padding */
#define FAN_HEAD (MARK + 28)
static char mark[MARK + 1]; /* RUN keeps an earlier run's history apart */
static uint64_t complete;   /* 1..complete have reached every subscriber */
static int *passed, nfirst; /* ring: subscribers beyond a message; those that had one */
#define RING 65536u
static int unanswered; /* POSTs */

static void loop_once(int timeout_ms);

static void fan_init(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    snprintf(mark, sizeof mark, "wsl%08x.", (unsigned)ts.tv_nsec ^ (unsigned)ts.tv_sec << 16 ^ (unsigned)getpid());
    passed = calloc(RING, sizeof *passed);
}

static bool may_post(void)
{
    return pub->state == READY && unanswered < o.pipeline && published - complete < RING - 1;
}

/* Not from an event handler: it runs the loop while the server reads a long POST. */
static void post(void)
{
    static char *req;
    static size_t head;
    if (!req) {
        req = malloc(paylen + 4096);
        head = (size_t)snprintf(req, 4096,
                                "POST %s HTTP/1.1\r\nHost: %s:%d\r\nContent-Type: text/plain\r\n"
                                "Content-Length: %zu\r\n\r\n",
                                o.pub, o.host, o.port, paylen);
        if (head >= 4096)
            die("the path is too long");
        memcpy(req + head, plain[0], paylen);
    }
    char stamp[FAN_HEAD + 1];
    snprintf(stamp, sizeof stamp, "%s%010llu.%016llx.", mark, (unsigned long long)++published,
             (unsigned long long)now_ns());
    memcpy(req + head, stamp, FAN_HEAD);
    unanswered++;
    for (size_t off = 0; off < head + paylen && pub->fd >= 0;) {
        ssize_t n = io_write(pub, req + off, head + paylen - off);
        if (n > 0)
            off += (size_t)n;
        else if (errno == EAGAIN)
            loop_once(1);
        else
            drop(pub);
    }
}

/* The subscriber needs nothing more up to this message. */
static void pass(struct conn *c, uint64_t seq)
{
    for (uint64_t k = c->next; k <= seq; k++)
        passed[k % RING]++;
    uint64_t step = seq + 1 - c->next;
    c->seen = step < 64 ? c->seen << step : 0;
    c->next = seq + 1;
    while (complete < published && passed[(complete + 1) % RING] == o.conns)
        passed[++complete % RING] = 0;
}

/* Nothing has come for seconds: what is still due counts as lost. */
static void give_up(void)
{
    for (int i = 0; i < o.conns; i++)
        if (conns[i].next && conns[i].next <= published) {
            lost += published + 1 - conns[i].next;
            pass(&conns[i], published);
        }
}

static bool scan(const char *p, int digits, unsigned base, uint64_t *ret)
{
    uint64_t v = 0;
    for (int i = 0; i < digits; i++) {
        unsigned d = p[i] <= '9' ? (unsigned)(p[i] - '0') : (unsigned)(p[i] - 'a') + 10;
        if (d >= base)
            return false;
        v = v * base + d;
    }
    *ret = v;
    return p[digits] == '.';
}

static void fan_message(struct conn *c, uint64_t t)
{
    uint64_t seq, sent;
    if (c->msg_off < MARK || memcmp(c->head, mark, MARK))
        return; /* not ours */
    if (c->msg_off != paylen || c->altered || !scan(c->head + MARK, 10, 10, &seq) ||
        !scan(c->head + MARK + 11, 16, 16, &sent) || seq == 0 || seq > published) {
        bad++;
        return;
    }
    if (!c->next) {
        c->first = seq;
        c->next = complete + 1; /* not complete without us, so seq is not below */
        nfirst++;
    } else if (seq > c->next)
        lost += seq - c->next;
    if (seq >= c->next) {
        pass(c, seq);
        c->seen |= 1;
    } else {
        uint64_t age = c->next - 1 - seq, bit = age < 64 ? 1ull << age : 0;
        if (!bit || c->seen & bit) {
            doubled++;
            return;
        } /* or too old to tell */
        misordered++;
        if (seq > c->first)
            lost--; /* counted when a later one came */
        c->seen |= bit;
    }
    delivered_all++;
    if (measuring) {
        deliveries++;
        hist_add(t - sent);
    }
}

/* ---------------------------------------------------------- message arrival */
static unsigned batch; /* messages completed in this read */
static uint64_t batch_t;

static void on_message(struct conn *c)
{
    if (o.mode == FANOUT || o.via != WS) {
        fan_message(c, batch_t);
        c->altered = 0;
        return;
    }
    if (o.mode == BROADCAST) {
        if (c->publisher)
            return;
        char t[17];
        memcpy(t, c->head + (o.sio ? SIO_PRELEN : 0), 16);
        t[16] = 0;
        uint64_t sent = strtoull(t, NULL, 16);
        delivered_all++;
        if (c->msg_off != paylen)
            bad++;
        if (measuring) {
            deliveries++;
            hist_add(batch_t - sent);
        }
        return;
    }
    batch++;
    if (!o.deflate && c->msg_off != paylen)
        bad++;
    if (measuring) {
        messages++;
        hist_add(batch_t - c->ts[c->ts_r]);
        if (c->check)
            checked++;
    }
    if (++c->ts_r == (uint32_t)o.depth)
        c->ts_r = 0;
    if (++c->rvar == nvariants)
        c->rvar = 0;
}

static void ready(struct conn *c)
{
    c->state = READY;
    nready++;
}

static void payload(struct conn *c, const uint8_t *p, size_t n)
{
    if (c->msg_off < HEAD) {
        size_t k = HEAD - c->msg_off;
        memcpy(c->head + c->msg_off, p, n < k ? n : k);
    }
    if (o.mode == FANOUT && c->opcode < 8) { /* all but the stamp is known */
        size_t skip = c->msg_off >= FAN_HEAD ? 0 : n < FAN_HEAD - c->msg_off ? n : FAN_HEAD - c->msg_off;
        if (c->msg_off + n > paylen || memcmp(p + skip, plain[0] + c->msg_off + skip, n - skip))
            c->altered = 1;
    } else if (c->check && !o.deflate && o.mode == ECHO) {
        if (c->msg_off + n > paylen || memcmp(p, plain[c->rvar] + c->msg_off, n))
            bad++;
    } else if (c->check && o.deflate && !o.context && c->rsv1 && c->msg_off == 0 && n == c->frame_rem && c->fin) {
        static uint8_t *out, *in;
        if (!out) {
            out = malloc(paylen + 64);
            in = malloc(2 * paylen + 1024);
        }
        memcpy(in, p, n);
        memcpy(in + n, "\0\0\xff\xff", 4);
        z_stream z = {0};
        inflateInit2(&z, -15);
        z.next_in = in;
        z.avail_in = (uInt)(n + 4);
        z.next_out = out;
        z.avail_out = (uInt)paylen + 64;
        inflate(&z, Z_SYNC_FLUSH);
        if (z.total_out != paylen || memcmp(out, plain[c->rvar], paylen))
            bad++;
        inflateEnd(&z);
    }
    c->msg_off += n;
}

static void frame_done(struct conn *c)
{
    if (c->opcode >= 8) {
        if (c->opcode == 9)
            send_small(c, 10, c->head, c->msg_off);
        if (c->opcode == 8)
            drop(c);
        c->msg_off = 0;
        return;
    }
    if (!c->fin)
        return;
    if (o.sio && c->state != READY) {
        if (c->state == SIO_OPEN && c->head[0] == '0') {
            send_small(c, 1, "40", 2);
            c->state = SIO_ACK;
        } else if (c->state == SIO_ACK && c->head[0] == '4' && c->head[1] == '0')
            ready(c);
    } else if (o.sio && c->msg_off == 1 && c->head[0] == '2')
        send_small(c, 1, "3", 1);
    else
        on_message(c);
    c->msg_off = 0;
}

/* Parse server bytes (unmasked frames, or the raw stream). */
static void parse(struct conn *c, const uint8_t *p, size_t n)
{
    while (n && c->fd >= 0) {
        if (o.raw) {
            if (c->frame_rem == 0) {
                c->frame_rem = paylen;
                c->check = (messages & 63) == 0;
            }
        } else if (c->frame_rem == 0) {
            uint8_t need = 2;
            if (c->hlen >= 2) {
                uint8_t l = c->hdr[1] & 127;
                need = l == 127 ? 10 : l == 126 ? 4 : 2;
            }
            while (n && c->hlen < need) {
                c->hdr[c->hlen++] = *p++;
                n--;
                if (c->hlen == 2) {
                    uint8_t l = c->hdr[1] & 127;
                    need = l == 127 ? 10 : l == 126 ? 4 : 2;
                    if (c->hdr[1] & 128) {
                        bad++;
                        drop(c);
                        return;
                    } /* masked: protocol error */
                }
            }
            if (c->hlen < need)
                return;
            uint64_t l = c->hdr[1] & 127;
            if (l == 126)
                l = (uint64_t)c->hdr[2] << 8 | c->hdr[3];
            else if (l == 127) {
                l = 0;
                for (int i = 2; i < 10; i++)
                    l = l << 8 | c->hdr[i];
            }
            c->hlen = 0;
            c->fin = c->hdr[0] >> 7;
            c->rsv1 = (c->hdr[0] >> 6) & 1;
            if ((c->hdr[0] & 15) != 0) {
                c->opcode = c->hdr[0] & 15;
                c->check = c->state == READY && c->opcode < 8 && (messages & 63) == 0;
            }
            c->frame_rem = l;
            if (l == 0) {
                frame_done(c);
                continue;
            }
            if (n == 0)
                return;
        }
        size_t k = n < c->frame_rem ? n : (size_t)c->frame_rem;
        payload(c, p, k);
        c->frame_rem -= k;
        p += k;
        n -= k;
        if (c->frame_rem == 0) {
            if (o.raw) {
                on_message(c);
                c->msg_off = 0;
            } else
                frame_done(c);
        }
    }
}

/* --------------------------------------------------------------- handshakes */
static void start_conn(struct conn *c, int idx)
{
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (c->fd < 0)
        die("socket");
    int one = 1;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (o.src > 1) {
        setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
        struct sockaddr_in s = {.sin_family = AF_INET};
        s.sin_addr.s_addr = htonl(0x7f000100u + 1 + (uint32_t)(idx % o.src));
        if (bind(c->fd, (struct sockaddr *)&s, sizeof s))
            die("bind source");
    }
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)o.port)};
    inet_pton(AF_INET, o.host, &a.sin_addr);
    a.sin_addr.s_addr = htonl(ntohl(a.sin_addr.s_addr) + (uint32_t)((idx / o.src) % o.dst));
    if (connect(c->fd, (struct sockaddr *)&a, sizeof a) && errno != EINPROGRESS)
        die("connect");
    c->state = CONNECTING;
    c->want_out = 1;
    struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT, .data.ptr = c};
    epoll_ctl(epfd, EPOLL_CTL_ADD, c->fd, &ev);
}

static void reconnect(struct conn *c) /* the server ended a keep-alive connection in order */
{
    if (c->state == READY)
        nready--;
    SSL_free(c->ssl);
    c->ssl = NULL;
    close(c->fd);
    start_conn(c, conn_base + (int)(c - conns));
}

static void send_get(struct conn *c)
{
    char req[4096], since[1024] = "";
    const char *accept = o.via == SSE ? "text/event-stream" : o.via == STREAM ? o.accept : "*/*";
    if (o.via == POLL && !o.nchan)
        snprintf(since, sizeof since, "%c%s%swait=25", strchr(o.path, '?') ? '&' : '?', c->cursor ? c->cursor : "",
                 c->cursor ? "&" : "");
    int n = snprintf(req, sizeof req, "GET %s%s HTTP/1.1\r\nHost: %s:%d\r\nAccept: %s\r\n%s\r\n", o.path, since, o.host,
                     o.port, accept, o.nchan && c->cursor ? c->cursor : "");
    if (n >= (int)sizeof req)
        die("the path is too long");
    if (io_write(c, req, (size_t)n) != n)
        drop(c);
}

/* HTTP push: a stream is ready when its answer begins; a long poll has none before a message. */
static void send_first(struct conn *c)
{
    watch(c, false);
    if (c->publisher) {
        ready(c);
        return;
    }
    c->state = ASKED;
    send_get(c);
}

static void send_upgrade(struct conn *c)
{
    if (is_push(c)) {
        send_first(c);
        return;
    }
    char req[1024];
    int n = snprintf(req, sizeof req,
                     "GET %s HTTP/1.1\r\nHost: %s:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n%s\r\n",
                     o.path, o.host, o.port,
                     !o.deflate  ? ""
                     : o.context ? "Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover\r\n"
                                 : "Sec-WebSocket-Extensions: permessage-deflate; "
                                   "client_no_context_takeover; server_no_context_takeover\r\n");
    if (io_write(c, req, (size_t)n) != n)
        drop(c);
    c->state = HTTP;
    watch(c, false);
}

static void tls_step(struct conn *c)
{
    int r = SSL_do_handshake(c->ssl);
    if (r == 1) {
        if (o.raw) {
            watch(c, false);
            ready(c);
        } else
            send_upgrade(c);
        return;
    }
    int e = SSL_get_error(c->ssl, r);
    if (e == SSL_ERROR_WANT_READ)
        watch(c, false);
    else if (e == SSL_ERROR_WANT_WRITE)
        watch(c, true);
    else
        drop(c);
}

static void on_connected(struct conn *c)
{
    int err = 0;
    socklen_t l = sizeof err;
    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &err, &l);
    if (err) {
        errno = err;
        die("connect");
    }
    if (o.tls) {
        c->ssl = SSL_new(tls_ctx);
        SSL_set_fd(c->ssl, c->fd);
        SSL_set_connect_state(c->ssl);
        c->state = TLS_HS;
        tls_step(c);
    } else if (o.raw) {
        watch(c, false);
        ready(c);
    } else
        send_upgrade(c);
}

static void on_http(struct conn *c, const uint8_t *p, size_t n)
{
    if (!c->http) {
        c->http = malloc(4097);
        c->httplen = 0;
    }
    if (c->httplen + n > 4096) {
        drop(c);
        return;
    }
    memcpy(c->http + c->httplen, p, n);
    c->httplen += (int)n;
    c->http[c->httplen] = 0;
    char *end = strstr(c->http, "\r\n\r\n");
    if (!end)
        return;
    if (strncmp(c->http, "HTTP/1.1 101", 12) || !strstr(c->http, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")) {
        fprintf(stderr, "wsload: bad upgrade response:\n%.300s\n", c->http);
        exit(1);
    }
    if (o.deflate && !strcasestr(c->http, "permessage-deflate")) {
        fprintf(stderr, "wsload: server refused permessage-deflate\n");
        exit(1);
    }
    size_t used = (size_t)(end + 4 - c->http), left = (size_t)c->httplen - used;
    char *keep = c->http;
    c->http = NULL;
    if (o.sio)
        c->state = SIO_OPEN;
    else
        ready(c);
    if (left)
        parse(c, (uint8_t *)keep + used, left);
    free(keep);
}

/* -------------------------------------------------- HTTP push: what messages */
static void found(struct conn *c, const uint8_t *p, size_t left)
{
    size_t n = left < paylen ? left : paylen;
    if (left > paylen && p[paylen] != '"' && p[paylen] != '\r')
        c->altered = 1; /* a longer one */
    payload(c, p, n);
    on_message(c);
    c->msg_off = 0;
}

static void sse_line(struct conn *c, const uint8_t *p, size_t n)
{
    if (n && p[n - 1] == '\r')
        n--;
    if (n == 0) {
        if (c->msg_off)
            on_message(c);
        c->msg_off = 0;
    } else if (n >= 5 && !memcmp(p, "data:", 5)) {
        size_t skip = n > 5 && p[5] == ' ' ? 6 : 5;
        if (c->msg_off)
            payload(c, (const uint8_t *)"\n", 1);
        payload(c, p + skip, n - skip);
    }
}

static void stream_line(struct conn *c, const uint8_t *p, size_t n)
{
    const uint8_t *m = memmem(p, n, mark, MARK);
    if (m)
        found(c, m, n - (size_t)(m - p));
}

static void keep(struct conn *c, const uint8_t *p, size_t n)
{
    if (c->partlen + n > paylen + (16u << 20)) {
        bad++;
        drop(c);
        return;
    }
    if (c->partlen + n > c->partcap) {
        c->partcap = 2 * (c->partlen + n);
        c->part = realloc(c->part, c->partcap);
    }
    memcpy(c->part + c->partlen, p, n);
    c->partlen += n;
}

static void http_body(struct conn *c, const uint8_t *p, size_t n)
{
    if (c->publisher)
        return;
    if (o.via == POLL) {
        keep(c, p, n);
        return;
    }
    void (*line)(struct conn *, const uint8_t *, size_t) = o.via == SSE ? sse_line : stream_line;
    for (const uint8_t *nl; c->fd >= 0 && (nl = memchr(p, '\n', n)) != NULL;) {
        size_t k = (size_t)(nl - p);
        if (c->partlen) {
            keep(c, p, k);
            line(c, c->part, c->partlen);
            c->partlen = 0;
        } else
            line(c, p, k);
        p += k + 1;
        n -= k + 1;
    }
    if (n && c->fd >= 0)
        keep(c, p, n);
}

/* The value of a string member of the outermost object; NULL if there is none. */
static const char *json_member(const char *p, const char *end, const char *name, size_t *ret_len)
{
    int depth = 0;
    const char *key = NULL; /* last string at depth 1, and its length */
    size_t keylen = 0;
    for (bool value = false; p < end; p++) {
        if (*p == '{' || *p == '[') {
            depth++;
            value = false;
        } else if (*p == '}' || *p == ']')
            depth--;
        else if (depth == 1 && (*p == ':' || *p == ','))
            value = *p == ':';
        if (*p != '"')
            continue;
        const char *s = ++p;
        while (p < end && *p != '"')
            p += *p == '\\' ? 2 : 1;
        if (p >= end || depth != 1)
            continue;
        size_t n = (size_t)(p - s);
        if (!value) {
            key = s;
            keylen = n;
        } else if (key && keylen == strlen(name) && !memcmp(key, name, keylen)) {
            *ret_len = n;
            return s;
        }
    }
    return NULL;
}

static void set_cursor(struct conn *c)
{
    size_t n, l = 6;
    const char *v = json_member((char *)c->part, (char *)c->part + c->partlen, "cursor", &n);
    if (!v || n > 250) {
        fprintf(stderr, "wsload: no \"cursor\" in the answer to a long poll: %.*s\n",
                (int)(c->partlen < 200 ? c->partlen : 200), (char *)c->part);
        exit(1);
    }
    if (!c->cursor)
        c->cursor = malloc(800);
    memcpy(c->cursor, "since=", 6);
    for (size_t i = 0; i < n; i++) {
        uint8_t b = (uint8_t)v[i];
        l += (size_t)sprintf(c->cursor + l, isalnum(b) || (b && strchr("-._~", b)) ? "%c" : "%%%02X", b);
    }
}

static void poll_answer(struct conn *c)
{
    const uint8_t *p = c->part, *end = p + c->partlen;
    while (p && (p = memmem(p, (size_t)(end - p), mark, MARK)) != NULL) {
        found(c, p, (size_t)(end - p));
        p += MARK;
    }
    if (!o.nchan)
        set_cursor(c);
    c->partlen = 0;
    if (c->state == ASKED)
        ready(c);
}

/* ------------------------------------------------ HTTP push: reading answers */
static void http_end(struct conn *c)
{
    c->body = B_HEAD;
    if (c->publisher)
        unanswered--;
    else if (o.via == POLL)
        poll_answer(c);
    else {
        drop(c);
        return;
    } /* the stream has ended */
    if (c->closing) {
        if (c->publisher && unanswered)
            drop(c);
        else
            reconnect(c);
    } else if (!c->publisher)
        send_get(c);
}

/* A header field of the head (which ends in CRLF and NUL); "" if it is not there. */
static const char *field(const char *head, const char *name, size_t *ret_len)
{
    size_t l = strlen(name);
    for (const char *p = strstr(head, "\r\n"); p && p[2]; p = strstr(p + 2, "\r\n"))
        if (!strncasecmp(p + 2, name, l) && p[2 + l] == ':') {
            p += 3 + l;
            p += strspn(p, " \t");
            *ret_len = strcspn(p, "\r");
            return p;
        }
    *ret_len = 0;
    return "";
}

static bool has_token(const char *head, const char *name, const char *token)
{
    size_t n, l = strlen(token);
    for (const char *p = field(head, name, &n); n >= l; p++, n--)
        if (!strncasecmp(p, token, l))
            return true;
    return false;
}

static void refused(struct conn *c, const char *head, const uint8_t *p, size_t n)
{
    uint8_t more[300];
    struct pollfd wait_body = {.fd = c->fd, .events = POLLIN};
    if (!n && poll(&wait_body, 1, 300) == 1) {
        ssize_t r = io_read(c, more, sizeof more);
        p = more;
        n = r > 0 ? (size_t)r : 0;
    }
    fprintf(stderr, "wsload: %s %s got \"%.*s\", not %s: %.*s\n", c->publisher ? "POST" : "GET",
            c->publisher ? o.pub : o.path, (int)strcspn(head, "\r"), head, c->publisher ? "2xx" : "200",
            (int)(n < 300 ? n : 300), (const char *)p);
    exit(1);
}

static void nchan_cursor(struct conn *c, const char *head)
{
    size_t ml, el;
    const char *m = field(head, "Last-Modified", &ml), *e = field(head, "Etag", &el);
    if (!ml || !el || ml + el > 700) {
        fprintf(stderr, "wsload: no Last-Modified and Etag in the answer to a long poll:\n%s\n", head);
        exit(1);
    }
    if (!c->cursor)
        c->cursor = malloc(800);
    sprintf(c->cursor, "If-Modified-Since: %.*s\r\nIf-None-Match: %.*s\r\n", (int)ml, m, (int)el, e);
}

/* Returns how many bytes belong to the head. */
static size_t http_head(struct conn *c, const uint8_t *p, size_t n)
{
    enum { MAX = 8192 };
    if (!c->http) {
        c->http = malloc(MAX + 1);
        c->httplen = 0;
    }
    size_t had = (size_t)c->httplen, k = n < MAX - had ? n : MAX - had, len;
    memcpy(c->http + had, p, k);
    c->http[had + k] = 0;
    c->httplen = (int)(had + k);
    char *head = c->http, *end = strstr(head, "\r\n\r\n");
    if (!end) {
        if (had + k == MAX) {
            bad++;
            drop(c);
        }
        return k;
    }
    size_t used = (size_t)(end + 4 - head) - had;
    end[2] = 0;
    int status = !strncmp(head, "HTTP/1.", 7) && head[8] == ' ' ? atoi(head + 9) : 0;
    if (c->publisher ? status / 100 != 2 : status != 200)
        refused(c, head, p + used, n - used);
    c->closing = has_token(head, "Connection", "close") || head[7] == '0';
    if (o.nchan && o.via == POLL && !c->publisher)
        nchan_cursor(c, head);
    const char *v = field(head, "Content-Length", &len);
    c->body_rem = len ? strtoull(v, NULL, 10) : 0;
    c->body = has_token(head, "Transfer-Encoding", "chunked") ? B_SIZE : len || status == 204 ? B_LENGTH : B_CLOSE;
    if (c->body == B_SIZE)
        c->body_rem = 0;
    free(head);
    c->http = NULL;
    if (c->state == ASKED && o.via != POLL)
        ready(c);
    if (c->body == B_LENGTH && !c->body_rem)
        http_end(c);
    return used;
}

/* One byte of what surrounds chunks. */
static void http_chunk(struct conn *c, uint8_t b)
{
    switch (c->body) {
    case B_SIZE:
        if (isxdigit(b) && c->body_rem >> 56 == 0) {
            c->body_rem = c->body_rem << 4 | (unsigned)(isdigit(b) ? b - '0' : (b | 32) - 'a' + 10);
            return;
        }
        if (b != '\r' && b != '\n' && b != ';' && b != ' ' && b != '\t') {
            bad++;
            drop(c);
            return;
        }
        c->body = B_EXT;
        /* fall through */
    case B_EXT:
        if (b == '\n')
            c->body = c->body_rem ? B_CHUNK : B_TRAILER;
        return;
    case B_CRLF:
        if (b == '\n')
            c->body = B_SIZE;
        else if (b != '\r') {
            bad++;
            drop(c);
        }
        return;
    default: /* B_TRAILER: body_rem counts the line */
        if (b == '\n' && !c->body_rem)
            http_end(c);
        else
            c->body_rem = b == '\n' ? 0 : c->body_rem + (b != '\r');
    }
}

static void http_feed(struct conn *c, const uint8_t *p, size_t n)
{
    while (n && c->fd >= 0 && c->state >= ASKED) {
        size_t k = 1;
        if (c->body == B_HEAD)
            k = http_head(c, p, n);
        else if (c->body == B_CLOSE)
            http_body(c, p, k = n);
        else if (c->body == B_LENGTH || c->body == B_CHUNK) {
            k = n < c->body_rem ? n : (size_t)c->body_rem;
            c->body_rem -= k;
            http_body(c, p, k);
            if (!c->body_rem && c->body == B_CHUNK)
                c->body = B_CRLF;
            else if (!c->body_rem)
                http_end(c);
        } else
            http_chunk(c, *p);
        p += k;
        n -= k;
    }
}

/* --------------------------------------------------------------- event loop */
static void on_readable(struct conn *c)
{
    for (int turns = 0; c->fd >= 0 && turns < 4; turns++) {
        ssize_t n = io_read(c, rbuf, RBUF);
        if (n <= 0) {
            if (n == 0 && c->body == B_CLOSE && (c->publisher || o.via == POLL)) {
                c->closing = 1;
                http_end(c);
            } else if (n == 0 || errno != EAGAIN)
                drop(c);
            return;
        }
        if (measuring && !(o.mode == FANOUT && c->publisher))
            bytes_in += (uint64_t)n;
        if (c->state == HTTP)
            on_http(c, rbuf, (size_t)n);
        else if (is_push(c)) {
            batch_t = now_ns();
            http_feed(c, rbuf, (size_t)n);
        } else {
            batch = 0;
            batch_t = now_ns();
            parse(c, rbuf, (size_t)n);
            if (batch && loading && c->fd >= 0)
                send_more(c, batch, batch_t);
        }
        if (n < (ssize_t)RBUF && !c->ssl)
            return; /* drained */
        if (c->ssl && !SSL_pending(c->ssl))
            return;
    }
}

static void loop_once(int timeout_ms)
{
    struct epoll_event ev[512];
    int n = epoll_wait(epfd, ev, 512, timeout_ms);
    for (int i = 0; i < n; i++) {
        struct conn *c = ev[i].data.ptr;
        if (c->fd < 0)
            continue;
        if (c->state == CONNECTING) {
            on_connected(c);
            continue;
        }
        if (c->state == TLS_HS) {
            tls_step(c);
            continue;
        }
        if (ev[i].events & EPOLLOUT)
            flush_out(c);
        if (c->fd >= 0 && ev[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
            on_readable(c);
    }
}

/*
 * Until the server's CPU clock stands still: a waiting long poll is not
 * answered, so nothing else shows that the server has taken it in.  Longer
 * than a tick, as the clock of a running process may advance only then.
 */
static void await_quiet(void)
{
    uint64_t last = 0, since = now_ns(), limit = since + 500000000u;
    for (uint64_t t = since; t < since + 12000000u && t < limit; t = now_ns()) {
        uint64_t cpu = 0;
        for (int i = 0; i < o.npids; i++)
            cpu += cpu_ns(o.pids[i], 0);
        if (cpu != last)
            since = t;
        last = cpu;
        usleep(200);
    }
}

static bool all_asked(int from, int to)
{
    while (from < to && (conns[from].fd < 0 || conns[from].state >= ASKED))
        from++;
    return from == to;
}

static void open_all(int total, int base)
{
    int win = o.mode == IDLE && o.window ? o.window : 64;
    conns = calloc((size_t)total, sizeof *conns);
    nconns = total;
    conn_base = base;
    int started = 0, waiting = 0;
    uint64_t limit = now_ns() + 120000000000ull;
    while (nready + (int)errors < total) {
        while (started < total && started - nready - (int)errors < win) {
            struct conn *c = &conns[started];
            c->publisher = o.mode == FANOUT && started == o.conns;
            if (o.mode != IDLE)
                c->ts = calloc((size_t)o.depth, sizeof *c->ts);
            start_conn(c, base + started++);
        }
        loop_once(100);
        if (o.via == POLL && all_asked(waiting, started)) {
            await_quiet();
            for (; waiting < started; waiting++)
                if (conns[waiting].state == ASKED)
                    ready(&conns[waiting]);
        }
        if (now_ns() > limit) {
            fprintf(stderr, "wsload: only %d of %d connected\n", nready, total);
            break;
        }
    }
}

/* ------------------------------------------------------------------ reports */
static void report(const char *unit, uint64_t count, const struct usage *a, const struct usage *b)
{
    double wall = (double)(b->at - a->at) / 1e9, cpu = (double)(b->cpu_ns - a->cpu_ns) / 1e9;
    double tick = (double)sysconf(_SC_CLK_TCK);
    char load[32];
    if (o.mode != FANOUT)
        snprintf(load, sizeof load, "d=%d", o.depth);
    else if (o.rate > 0)
        snprintf(load, sizeof load, "r=%.0f p=%d", o.rate, o.pipeline);
    else
        snprintf(load, sizeof load, "w=%d p=%d", o.window ? o.window : 1, o.pipeline);
    printf("%-14s %*s%s%s c=%d s=%zu %s  %.0f %s/s  ", o.tag, o.mode == FANOUT ? 0 : -9,
           o.mode == ECHO     ? "echo"
           : o.mode == FANOUT ? "fanout+"
                              : "broadcast",
           o.mode == FANOUT ? VIA[o.via] : "",
           o.tls       ? "+tls"
           : o.raw     ? "+raw"
           : o.deflate ? "+deflate"
                       : "",
           o.conns, o.size, load, (double)count / wall, unit);
    if (o.npids)
        printf("| %.0f %s/cpu-s  %.3f us/%s  srv-cpu %.0f%% (u%.0f%% s%.0f%%) ", cpu > 0 ? (double)count / cpu : 0,
               unit, count ? cpu * 1e6 / (double)count : 0, unit, 100 * cpu / wall,
               100 * (double)(b->user_ticks - a->user_ticks) / tick / wall,
               100 * (double)(b->sys_ticks - a->sys_ticks) / tick / wall);
    if (o.core >= 0)
        printf("core%d %.0f%% ", o.core,
               100.0 * (double)(b->core_busy - a->core_busy) /
                   (double)(b->core_total - a->core_total ? b->core_total - a->core_total : 1));
    printf("gen-cpu %.0f%% | us p50 %.0f p99 %.0f p99.9 %.0f | %.0f MB/s in | ",
           100 * (double)(b->self_ns - a->self_ns) / 1e9 / wall, hist_pct(.5), hist_pct(.99), hist_pct(.999),
           (double)bytes_in / wall / 1e6);
    if (o.mode == FANOUT)
        printf("%.0f B/%s | lost %llu doubled %llu misordered %llu ", count ? (double)bytes_in / (double)count : 0,
               unit, (unsigned long long)lost, (unsigned long long)doubled, (unsigned long long)misordered);
    else
        printf("checked %llu ", (unsigned long long)checked);
    printf("bad %llu err %llu\n", (unsigned long long)bad, (unsigned long long)errors);
}

/* No two connections send the same message at the same time, as far as there are variants. */
static void begin_at(struct conn *c, uint32_t variant)
{
    c->svar = c->rvar = variant;
    c->soff = 0;
    for (uint32_t v = 0; v < variant; v++)
        c->soff += framelen[v];
}

static void run_echo(void)
{
    struct usage a, b;
    open_all(o.conns, 0);
    loading = true;
    uint64_t t0 = now_ns();
    for (int i = 0; i < nconns; i++)
        if (conns[i].fd >= 0) {
            begin_at(&conns[i], (uint32_t)i % nvariants);
            send_more(&conns[i], (unsigned)o.depth, t0);
        }
    while (now_ns() < t0 + (uint64_t)(o.warm * 1e9))
        loop_once(10);
    read_usage(&a);
    measuring = true;
    uint64_t end = a.at + (uint64_t)(o.secs * 1e9);
    while (now_ns() < end && nready)
        loop_once(10);
    read_usage(&b);
    report("msg", messages, &a, &b);
}

static void run_broadcast(void)
{
    struct usage a, b;
    if (o.size < 16)
        o.size = 16;
    open_all(o.conns + 1, 0);
    pub = &conns[o.conns];
    pub->publisher = 1;
    int win = o.window ? o.window : 1;
    uint64_t t0 = now_ns(), end = 0, next = t0;
    bool counting = false;
    memset(&a, 0, sizeof a);
    for (;;) {
        uint64_t t = now_ns();
        if (!counting && t >= t0 + (uint64_t)(o.warm * 1e9)) {
            read_usage(&a);
            measuring = counting = true;
            end = a.at + (uint64_t)(o.secs * 1e9);
        } else if (counting && t >= end)
            break;
        if (pub->fd < 0 || nready < 2)
            break;
        if (o.rate > 0) {
            while (next <= t) {
                publish();
                next += (uint64_t)(1e9 / o.rate);
            }
        } else
            while (published * (uint64_t)o.conns < delivered_all + (uint64_t)win * (uint64_t)o.conns)
                publish();
        loop_once(o.rate > 0 ? 0 : 10);
    }
    read_usage(&b);
    report("dlv", deliveries, &a, &b);
}

/* A long poll shows nothing before its first message: publish until everyone has had one. */
static void prime(void)
{
    uint64_t again = 0, limit = now_ns() + 15000000000ull;
    for (uint64_t t; nfirst < o.conns && !errors; loop_once(10)) {
        if ((t = now_ns()) > limit) {
            fprintf(stderr, "wsload: only %d of %d subscribers have had a message\n", nfirst, o.conns);
            exit(1);
        }
        if (t >= again && may_post()) {
            post();
            again = t + 1000000000u;
        }
    }
}

/* Gives up on what is due when nothing has come for two seconds. */
static void watch_progress(uint64_t t)
{
    static uint64_t seen, since;
    uint64_t sum = delivered_all + published - (uint64_t)unanswered;
    if (sum != seen || (complete == published && !unanswered)) {
        seen = sum;
        since = t;
    }
    if (t < since + 2000000000u)
        return;
    give_up();
    if (unanswered) {
        fprintf(stderr, "wsload: %d POSTs were not answered\n", unanswered);
        drop(pub);
    }
    since = t;
}

static void run_fanout(void)
{
    struct usage a, b;
    open_all(o.conns + 1, 0);
    pub = &conns[o.conns];
    if (nready <= o.conns)
        die("not everyone is connected");
    prime();
    uint64_t win = o.window ? (uint64_t)o.window : 1, t0 = now_ns(), end = 0, due = t0, t;
    memset(&a, 0, sizeof a);
    for (; (t = now_ns()) < end || !measuring; loop_once(o.rate > 0 ? 0 : 10)) {
        if (!measuring && t >= t0 + (uint64_t)(o.warm * 1e9)) {
            read_usage(&a);
            measuring = true;
            end = a.at + (uint64_t)(o.secs * 1e9);
        }
        if (errors)
            break;
        if (o.rate > 0)
            for (; due <= t && may_post(); due += (uint64_t)(1e9 / o.rate))
                post();
        else
            while (published - complete < win && may_post())
                post();
        watch_progress(t);
    }
    read_usage(&b);
    measuring = false;
    for (; (complete < published || unanswered) && !errors; loop_once(10))
        watch_progress(now_ns());
    if (errors)
        fprintf(stderr, "wsload: a connection was lost\n");
    if (!a.at)
        exit(1);
    report("dlv", deliveries, &a, &b);
}

static void run_idle(void)
{
    struct usage a, b;
    long rss0, pss0, rss1, pss1, tcp0, tcp1, slab0, slab1;
    await_quiet(); /* an earlier run's connections may still be closing */
    read_memory(&rss0, &pss0);
    read_kernel(&tcp0, &slab0);
    read_usage(&a);
    int per = o.conns / o.procs, got = 0, up[2], down[2];
    if (o.procs == 1) {
        open_all(o.conns, 0);
        got = nready;
    } else {
        if (pipe(up) || pipe(down))
            die("pipe");
        for (int i = 0; i < o.procs; i++)
            if (fork() == 0) {
                close(down[1]);
                epfd = epoll_create1(0);
                open_all(per, i * per);
                char x;
                if (write(up[1], &nready, sizeof nready) < 0 || read(down[0], &x, 1) < 0)
                    _exit(1);
                _exit(0);
            }
        for (int i = 0, n; i < o.procs; i++) {
            if (read(up[0], &n, sizeof n) == sizeof n)
                got += n;
        }
    }
    read_usage(&b);
    double wall = (double)(b.at - a.at) / 1e9, cpu = (double)(b.cpu_ns - a.cpu_ns) / 1e9;
    usleep((useconds_t)(o.hold * 1e6));
    read_memory(&rss1, &pss1);
    read_kernel(&tcp1, &slab1);
    double n = got ? got : 1;
    printf("%-14s idle%s%s%s c=%d ok=%d err=%llu  %.0f conn/s  %.2f us-cpu/handshake (%.0f handshakes/cpu-s) | "
           "server RSS %ld -> %ld KiB = %.0f B/conn, PSS %.0f B/conn | kernel both ends: slab %.0f B/pair, tcp mem "
           "%.0f B/pair\n",
           o.tag, o.via ? "+" : "", o.via ? VIA[o.via] : "",
           o.tls   ? "+tls"
           : o.raw ? "+raw"
                   : "",
           o.conns, got, (unsigned long long)errors, n / wall, cpu * 1e6 / n, cpu > 0 ? n / cpu : 0, rss0, rss1,
           (double)(rss1 - rss0) * 1024 / n, (double)(pss1 - pss0) * 1024 / n, (double)(slab1 - slab0) * 1024 / n,
           (double)(tcp1 - tcp0) * 1024 / n);
    fflush(stdout);
    if (o.procs > 1) {
        close(down[1]);
        while (wait(NULL) > 0)
            ;
    }
}

static bool parse_via(const char *v)
{
    for (int i = 0; i < 4; i++)
        if (!strcmp(v, VIA[i])) {
            o.via = (enum via)i;
            return true;
        }
    return false;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fputs(USAGE, stderr);
        return 2;
    }
    if (!strcmp(argv[1], "echo"))
        o.mode = ECHO;
    else if (!strcmp(argv[1], "broadcast"))
        o.mode = BROADCAST;
    else if (!strcmp(argv[1], "fanout"))
        o.mode = FANOUT;
    else if (!strcmp(argv[1], "idle"))
        o.mode = IDLE;
    else {
        fputs(USAGE, stderr);
        return 2;
    }
    for (int i = 2; i < argc; i++) {
        char *k = argv[i], *v = i + 1 < argc ? argv[i + 1] : NULL;
        if (!strcmp(k, "-b")) {
            o.binary = true;
            continue;
        }
        if (!strcmp(k, "--raw")) {
            o.raw = true;
            continue;
        }
        if (!strcmp(k, "--tls")) {
            o.tls = true;
            continue;
        }
        if (!strcmp(k, "--sio")) {
            o.sio = true;
            continue;
        }
        if (!strcmp(k, "--deflate")) {
            o.deflate = true;
            continue;
        }
        if (!strcmp(k, "--context")) {
            o.context = true;
            continue;
        }
        if (!v) {
            fputs(USAGE, stderr);
            return 2;
        }
        i++;
        if (!strcmp(k, "-h"))
            o.host = v;
        else if (!strcmp(k, "-p"))
            o.port = atoi(v);
        else if (!strcmp(k, "-u") || !strcmp(k, "--sub"))
            o.path = v;
        else if (!strcmp(k, "--pub"))
            o.pub = v;
        else if (!strcmp(k, "--via") && parse_via(v)) {
        } else if (!strcmp(k, "--poll-style") && (!strcmp(v, "weft") || !strcmp(v, "nchan")))
            o.nchan = *v == 'n';
        else if (!strcmp(k, "--accept"))
            o.accept = v;
        else if (!strcmp(k, "--pipeline"))
            o.pipeline = atoi(v);
        else if (!strcmp(k, "-c"))
            o.conns = atoi(v);
        else if (!strcmp(k, "-s"))
            o.size = strtoul(v, NULL, 10);
        else if (!strcmp(k, "-d"))
            o.depth = atoi(v);
        else if (!strcmp(k, "-t"))
            o.secs = atof(v);
        else if (!strcmp(k, "-w"))
            o.warm = atof(v);
        else if (!strcmp(k, "--pid")) {
            if (o.npids < 16)
                o.pids[o.npids++] = atoi(v);
        } else if (!strcmp(k, "--core"))
            o.core = atoi(v);
        else if (!strcmp(k, "--cpu"))
            o.cpu = atoi(v);
        else if (!strcmp(k, "--rate"))
            o.rate = atof(v);
        else if (!strcmp(k, "--window"))
            o.window = atoi(v);
        else if (!strcmp(k, "--src"))
            o.src = atoi(v);
        else if (!strcmp(k, "--dst"))
            o.dst = atoi(v);
        else if (!strcmp(k, "--procs"))
            o.procs = atoi(v);
        else if (!strcmp(k, "--hold"))
            o.hold = atof(v);
        else if (!strcmp(k, "--tag"))
            o.tag = v;
        else {
            fputs(USAGE, stderr);
            return 2;
        }
    }
    if (o.conns < 1 || o.depth < 1 || o.src < 1 || o.dst < 1 || o.procs < 1 || o.size < 1 || o.pipeline < 1 ||
        o.window < 0 || o.window >= (int)RING || (o.via && o.mode != FANOUT && o.mode != IDLE) ||
        ((o.raw || o.sio || o.deflate) && (o.via || o.mode == FANOUT))) {
        fputs(USAGE, stderr);
        return 2;
    }
    if (!o.path)
        o.path = o.sio ? "/socket.io/?EIO=4&transport=websocket" : "/";
    if (!o.pub)
        o.pub = o.path;
    signal(SIGPIPE, SIG_IGN);
    if (o.cpu >= 0) {
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET(o.cpu, &set);
        sched_setaffinity(0, sizeof set, &set);
    }
    struct rlimit rl;
    getrlimit(RLIMIT_NOFILE, &rl);
    rl.rlim_cur = rl.rlim_max;
    setrlimit(RLIMIT_NOFILE, &rl);
    if (o.tls) {
        tls_ctx = SSL_CTX_new(TLS_client_method());
        SSL_CTX_set_mode(tls_ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    }
    if (o.mode == BROADCAST && o.size < 16)
        o.size = 16;
    if (o.mode == FANOUT && o.size < FAN_HEAD)
        o.size = FAN_HEAD;
    rbuf = malloc(RBUF);
    epfd = epoll_create1(0);
    build_ring();
    fan_init();
    errno = 0;
    if (o.mode == ECHO)
        run_echo();
    else if (o.mode == BROADCAST)
        run_broadcast();
    else if (o.mode == FANOUT)
        run_fanout();
    else
        run_idle();
    return bad || errors || lost || doubled || misordered ? 1 : 0;
}
