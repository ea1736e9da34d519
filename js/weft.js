/**
 * weft.js: the topics of a Weft server, in web pages and in node. Speaks weft.v1 over WebSocket, else Server-Sent Events with
 * POST, else long polls with POST; reconnects, and resumes each topic where it was. weft.d.ts describes what connect() gives.
 */

const TIMEOUTS = {
    hello: 5_000, // for a carrier to open
    // ping: the silence after which to ask for life; the server tells
    pong: 10_000, // for the answer to that
    poll: 25_000, // how long a poll hangs
    backoff: 500,
    backoffMax: 30_000,
    stable: 5_000, // a connection that held so long begins the back-off anew
    upgrade: 60_000, // before a better carrier is tried again
    upgradeMax: 600_000,
};
const QUEUE_LIMIT = 1_000;
const POST_LIMIT = 65_536; // characters that one POST gathers

const CURSOR = /^(.*)-(\d+)$/;
const WAKERS = ['online', 'pageshow'];

const now = () => performance.now();
const failure = (message, code = 'connection', more = {}) => Object.assign(new Error(message), { code }, more);

/** Calls what the user gave: its mistakes are reported, and are none of ours. */
function call(fn, ...args) {
    try {
        fn?.(...args);
    } catch (error) {
        if (globalThis.reportError) reportError(error);
        else queueMicrotask(() => { throw error; });
    }
}

/** A timeout for judging the other side. One that fires much too late says more about us (a page that slept): it is given once more. */
function deadline(ms, fn) {
    const due = now() + ms;
    let timer = setTimeout(() => {
        if (now() - due > ms / 2) timer = setTimeout(fn, ms);
        else fn();
    }, ms);
    return () => clearTimeout(timer);
}

/* ---------------------------------------------------------------------------------------------------------------- encodings */

function toBase64(bytes) {
    let binary = '';
    for (const byte of bytes) binary += String.fromCharCode(byte);
    return btoa(binary);
}

const fromBase64 = (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));

/** What a user publishes as [kind, data] of an envelope. */
function encode(data, kind) {
    if (data instanceof ArrayBuffer) data = new Uint8Array(data);
    if (ArrayBuffer.isView(data)) return ['binary', toBase64(new Uint8Array(data.buffer, data.byteOffset, data.byteLength))];
    return [kind ?? (typeof data === 'string' ? 'text' : 'json'), data === undefined ? null : data];
}

/** Below, at or above 0 as cursor `a` is before, at or after `b`; NaN when that cannot be said: they do not count the same. */
function order(a, b) {
    if (a === b) return 0;
    const [, epochA, numberA] = CURSOR.exec(a) ?? [];
    const [, epochB, numberB] = CURSOR.exec(b) ?? [];
    return epochA === epochB ? numberA - numberB : NaN;
}

/** The cursor from which nothing is missed of what comes after each of these. */
function earliest(cursors) {
    return cursors.reduce((a, b) => {
        const difference = order(a, b);
        return difference <= 0 ? a : difference > 0 ? b : 'start';
    });
}

/** Takes the text of an event stream in any pieces; gives the data of each event. */
function eventParser(take) {
    let rest = '';
    let data = [];
    let afterCr = false;
    return (text) => {
        if (afterCr && text[0] === '\n') text = text.slice(1);
        else if (!text) return;
        afterCr = text.endsWith('\r');
        const lines = text.split(/\r\n|\r|\n/);
        lines[0] = rest + lines[0];
        rest = lines.pop();
        for (const line of lines) {
            const [, name, value] = /^([^:]*):? ?(.*)$/s.exec(line);
            if (name === 'data') data.push(value);
            if (line) continue;
            const whole = data.join('\n');
            data = [];
            if (whole) take(whole);
        }
    };
}

/* ----------------------------------------------------------------------------------------------------------------- carriers
 * Each opens in the background, tells `io` what it hears and at last its end, and returns send(text) and stop(isDead). */

function webSocket(io) {
    const socket = new io.WebSocket(io.url().replace(/^http/, 'ws'), 'weft.v1');
    socket.onmessage = ({ data }) => {
        io.heard();
        io.take(data);
    };
    socket.onerror = () => {}; // a close follows, which says more
    socket.onclose = ({ code, reason }) => io.end(failure(`closed with ${code} ${reason}`));
    return {
        send: (text) => socket.send(text),
        // npm's ws would wait for half a minute for a dead server's close.
        stop: (isDead) => (isDead && socket.terminate ? socket.terminate() : socket.close()),
    };
}

/** What the two carriers over HTTP share: requests that end with the carrier, and POSTs. */
function overHttp(io) {
    const { fetch } = io; // not io.fetch(): it must not be called as a method
    const aborter = new AbortController();
    const running = {}; // by method; a request of its own each, as each fetch() leaves a listener at its signal
    const queue = [];
    let posting = false;

    async function request(query, { headers, ...init } = {}) {
        const { signal } = (running[init.method] = new AbortController());
        const own = typeof io.headers === 'function' ? await io.headers() : io.headers;
        return fetch(io.url(query), {
            cache: 'no-store', credentials: io.credentials, signal, headers: { ...headers, ...own }, ...init,
        });
    }

    /** The text of an answer, piece by piece; each is a sign of life. */
    async function read(response, take) {
        const reader = response.body.getReader();
        const decoder = new TextDecoder();
        for (;;) {
            const { done, value } = await reader.read();
            if (done) return;
            io.heard();
            take(decoder.decode(value, { stream: true }));
        }
    }

    function refusal(response) {
        response.body?.cancel().catch(() => {});
        return failure(`HTTP ${response.status}`, undefined, { status: response.status });
    }

    async function post() {
        let count = 0;
        let size = 0;
        do size += queue[count++].length;
        while (count < queue.length && size + queue[count].length < POST_LIMIT);
        const batch = queue.splice(0, count);
        const body = `[${batch}]`;
        const response = await request(io.session(), { method: 'POST', body });
        if (response.ok) return;
        const error = refusal(response);
        const [{ id }] = JSON.parse(body);
        if (response.status !== 413 || count > 1 || !id) throw error;
        io.take({ type: 'error', id, code: 'too-large', message: error.message });
    }

    return {
        signal: aborter.signal,
        request,
        read,
        refusal,
        /** One POST at a time, so that order holds; what comes meanwhile goes with the next. */
        async send(text) {
            queue.push(text);
            if (posting) return;
            posting = true;
            try {
                await undefined; // what is sent in one breath goes together
                while (queue.length) await post();
                posting = false;
            } catch (error) {
                io.end(error);
            }
        },
        stop() {
            aborter.abort();
            for (const method in running) running[method].abort();
        },
    };
}

function eventStream(io) {
    const http = overHttp(io);
    (async () => {
        const response = await http.request('', { headers: { Accept: 'text/event-stream' } });
        if (!response.ok) throw http.refusal(response);
        await http.read(response, eventParser(io.take));
        throw failure('the stream ended');
    })().catch(io.end);
    return http;
}

function longPoll(io) {
    const http = overHttp(io);
    let query = 'session=new';
    let failures = 0;

    async function poll() {
        const response = await http.request(query);
        if (!response.ok) throw http.refusal(response);
        let text = '';
        await http.read(response, (piece) => (text += piece));
        const { seq, envelopes } = JSON.parse(text);
        envelopes.forEach(io.take);
        query = `${io.session()}&ack=${seq}&wait=${io.pollSeconds()}`;
        failures = 0;
    }

    function pause() {
        return new Promise((resolve) => {
            const timer = setTimeout(resolve, io.backoff(failures++));
            http.signal.addEventListener('abort', () => clearTimeout(timer));
        });
    }

    (async () => {
        while (!http.signal.aborted) {
            try {
                await poll();
            } catch (error) {
                // The server repeats an answer that was lost. What it refused, or never answers again, is the connection's end.
                if (!io.session() || (error.status < 500 && error.status !== 409) || http.signal.aborted) throw error;
                await pause();
            }
        }
    })().catch(io.end);
    return http;
}

const CARRIERS = { websocket: webSocket, sse: eventStream, poll: longPoll };

/* ----------------------------------------------------------------------------------------------------------------- connect */

export function connect(url, options = {}) {
    const timeouts = { ...TIMEOUTS, ...options.timeouts };
    const base = new URL(url, globalThis.location?.href);
    const Socket = options.WebSocket ?? globalThis.WebSocket;
    const carriers = (options.carriers ?? Object.keys(CARRIERS)).filter((name) => name !== 'websocket' || Socket);
    const listeners = {}; // of each event
    const topics = new Map();
    const subscribing = new Map(); // by id: {topic, members, since, presence}, sent and not answered
    const queue = []; // requests that wait for a connection
    const sent = new Map(); // by id: requests without an answer
    let state = 'connecting';
    let ids = 0;
    let current; // the link in use
    let dialled; // one that has not said hello yet
    let successor; // a better one that waits until what was sent on the current one is answered
    let carrier; // the one in use, or that was
    let openedAt = 0;
    let failures = 0;
    let upgradeMs = timeouts.upgrade;
    let retryTimer;
    let upgradeTimer;
    let drainTimer;

    base.protocol = base.protocol.replace('ws', 'http');
    base.hash = '';

    function emit(type, detail) {
        for (const fn of [...(listeners[type] ?? [])]) call(fn, detail);
    }

    const backoff = (n) => Math.random() * Math.min(timeouts.backoffMax, timeouts.backoff * 2 ** n);

    /* ------------------------------------------------------------------------------------------------------------ links */

    /** One connection on one carrier: says hello, envelopes, end to `on`, never before this returns, and looks whether it lives. */
    function open(kind, on) {
        const link = { kind, send, check, close }; // and hello, once it has come
        let over = false;
        let asked = false; // for life, and no answer yet
        let heardAt = now();
        let interval;
        let transport;
        let cancel = deadline(timeouts.hello, () => end(failure('no hello')));

        const io = {
            fetch: globalThis.fetch,
            ...options,
            WebSocket: Socket,
            url: (query) => base.href + (query ? (base.search ? '&' : '?') + query : ''),
            backoff,
            session: () => link.hello && 'session=' + encodeURIComponent(link.hello.session),
            pollSeconds: () => Math.ceil(Math.min(timeouts.poll, interval * 0.8) / 1000), // ends before it counts as silence
            heard,
            take,
            end,
        };

        function close() {
            over = true;
            cancel();
            transport?.stop(asked);
        }

        function end(error) {
            if (over) return;
            close();
            on.end(error, link);
        }

        function send(envelope) {
            try {
                transport.send(typeof envelope === 'string' ? envelope : JSON.stringify(envelope));
            } catch (error) {
                queueMicrotask(() => end(error));
            }
        }

        function heard() {
            heardAt = now();
            asked = false;
        }

        function watch() {
            const silence = now() - heardAt;
            cancel();
            if (asked) return end(failure('the server is silent'));
            if (silence >= interval) return check();
            const timer = setTimeout(watch, interval - silence);
            cancel = () => clearTimeout(timer);
        }

        function check() {
            if (asked) return;
            cancel();
            asked = true;
            cancel = deadline(timeouts.pong, watch);
            send({ type: 'ping' });
        }

        function take(envelope) {
            if (over) return;
            try {
                if (typeof envelope === 'string') envelope = JSON.parse(envelope);
                if (envelope.type === 'ping') send({ type: 'pong' });
                else if (envelope.type !== 'hello') on.take(envelope, link);
                else if (!link.hello) {
                    link.hello = envelope;
                    interval = timeouts.ping ?? envelope.ping ?? 25_000;
                    watch();
                    on.hello(link);
                }
            } catch (error) {
                end(error);
            }
        }

        try {
            transport = CARRIERS[kind](io);
        } catch (error) {
            queueMicrotask(() => end(error));
        }
        return link;
    }

    /** Opens the first of these carriers that says hello, or else calls failed(). */
    function dial([kind, ...others], hello, failed) {
        if (state === 'closed') return;
        if (!kind) return failed();
        dialled = open(kind, {
            hello(link) {
                dialled = undefined;
                hello(link);
            },
            take(envelope, link) {
                if (link === current) receive(envelope);
            },
            end(error, link) {
                if (link === current) return lost(error);
                emit('error', Object.assign(error, { carrier: kind }));
                if (link === dialled) {
                    dialled = undefined;
                    dial(others, hello, failed);
                } else if (link === successor) {
                    forgetSuccessor();
                    upgradeLater();
                    flush();
                }
            },
        });
    }

    /** Whoever had a carrier keeps to it at first: it is rather the network that is away than the carrier that is blocked. */
    function connectNow() {
        const at = carriers.indexOf(carrier);
        clearTimeout(retryTimer);
        state = 'connecting';
        dial(at < 0 ? carriers : failures < 3 ? [carrier] : [...carriers.slice(at), ...carriers.slice(0, at)], adopt, retry);
    }

    function retry() {
        const delay = backoff(failures++);
        state = 'waiting';
        retryTimer = setTimeout(connectNow, delay);
        emit('reconnecting', { attempt: failures, delay });
    }

    function adopt(link) {
        const former = current;
        const changed = carrier !== link.kind;
        former?.close();
        if (former) letGo();
        forgetSuccessor();
        current = link;
        carrier = link.kind;
        openedAt = now();
        state = 'open';
        if (options.name !== undefined) link.send({ type: 'hello', name: options.name });
        topics.forEach(begin);
        flush();
        upgradeLater();
        if (!former) emit('open', { carrier, peer: link.hello.peer });
        if (changed) emit('carrier', carrier);
    }

    function lost({ message: reason }) {
        const heir = successor;
        if (now() - openedAt > timeouts.stable) failures = 0;
        clearTimeout(upgradeTimer);
        dialled?.close();
        forgetSuccessor();
        current = dialled = undefined;
        state = 'waiting';
        letGo();
        emit('close', { carrier, reason });
        if (state === 'closed') heir?.close();
        else if (heir) adopt(heir);
        else retry();
    }

    /** The current link is gone: what was sent on it and not answered may have happened, or not. */
    function letGo() {
        subscribing.clear();
        for (const topic of topics.values()) {
            topic.sent = topic.pending = undefined;
            for (const member of topic.members) member.live = false;
        }
        for (const request of sent.values()) {
            if (request.repeatable) queue.unshift(request);
            else request.reject(failure('the connection broke before the answer', 'unknown'));
        }
        sent.clear();
    }

    function upgradeLater() {
        const better = carriers.slice(0, carriers.indexOf(current.kind));
        clearTimeout(upgradeTimer);
        if (!better.length) {
            upgradeMs = timeouts.upgrade;
            return;
        }
        upgradeTimer = setTimeout(dial, upgradeMs, better, succeed, () => {
            upgradeMs = Math.min(timeouts.upgradeMax, upgradeMs * 2);
            upgradeLater();
        });
    }

    function succeed(link) {
        if (!sent.size) return adopt(link);
        successor = link;
        drainTimer = setTimeout(adopt, timeouts.hello, link);
    }

    function forgetSuccessor() {
        clearTimeout(drainTimer);
        successor = undefined;
    }

    /* ----------------------------------------------------------------------------------------------------- subscriptions
     * A topic is subscribed once at the server. Each member (a subscription of the user) has its own cursor, and drops what is not
     * after it: so for a member that comes late and wants the past, the topic is begun again from there. */

    function subscribe(name, fn, { since, presence, gap } = {}) {
        const member = { fn, presence, gap, cursor: since, live: false };
        const topic = topics.get(name) ?? { name, members: new Set() };
        const { pending } = topic;
        const subscription = {
            topic: name,
            get cursor() { return member.cursor; },
            unsubscribe: () => unsubscribe(topic, member),
            ready: new Promise((resolve, reject) => {
                member.ready = () => {
                    member.wasReady = true;
                    resolve(subscription);
                };
                member.reject = reject;
            }),
        };
        subscription.ready.catch(() => {});
        if (state === 'closed') {
            member.reject(closedError());
            return subscription;
        }
        topics.set(name, topic);
        topic.members.add(member);
        if (pending && pending.since === since && (pending.presence || !presence)) {
            pending.members.push(member);
            return subscription;
        }
        const joins = topic.sent && !pending && since === undefined;
        if (joins) {
            member.cursor = topic.cursor;
            member.live = true;
            member.ready();
        }
        if (current && (presence || !joins)) begin(topic);
        return subscription;
    }

    function unsubscribe(topic, member) {
        if (!topic.members.delete(member)) return;
        member.reject(failure('unsubscribed', 'unsubscribed'));
        if (topic.members.size) return;
        topics.delete(topic.name);
        if (topic.sent) current.send({ type: 'unsubscribe', topic: topic.name });
    }

    /** Subscribes the topic from where every member gets what it wants, anew if it was. */
    function begin(topic) {
        const members = [...topic.members];
        const fresh = members.filter(({ cursor }) => cursor === undefined);
        const known = members.map(({ cursor }) => cursor).filter((cursor) => cursor !== undefined);

        function ask(who, since, presence) {
            const id = ++ids;
            if (topic.sent) current.send({ type: 'unsubscribe', topic: topic.name });
            topic.sent = true;
            topic.pending = { topic, members: who, since, presence };
            subscribing.set(id, topic.pending);
            current.send({ type: 'subscribe', id, topic: topic.name, since, presence });
        }

        // "From now on" needs to know where now is before it is mixed with a past.
        const presence = members.some((member) => member.presence) || undefined;
        if (fresh.length) ask(fresh, undefined, known.length ? undefined : presence);
        if (known.length) ask(members, earliest(known), presence);
    }

    function subscribed({ id, cursor, gap }) {
        const asked = subscribing.get(id);
        if (!asked) return;
        const { topic, since } = asked;
        const members = asked.members.filter((member) => topic.members.has(member));
        const gapped = [];
        subscribing.delete(id);
        if (topic.pending === asked) topic.pending = undefined;
        topic.cursor = cursor;
        for (const member of members) {
            const exact = member.cursor === undefined || member.cursor === since;
            const misses = exact ? gap : !(order(member.cursor, cursor) >= 0);
            if (misses) gapped.push(member);
            if (exact || misses) member.cursor = cursor;
            member.live = true;
            member.ready();
        }
        tellGap(topic, gapped);
    }

    function tellGap({ name: topic, cursor }, members) {
        if (members.length) emit('gap', { topic, cursor });
        for (const member of members) call(member.gap, { topic, cursor });
    }

    function deliver(topic, { id, event, kind, data }) {
        topic.cursor = id;
        if (kind === 'binary') data = fromBase64(data);
        for (const member of topic.members) {
            if (!member.live || order(id, member.cursor) <= 0) continue;
            member.cursor = id;
            call(member.fn, data, { topic: topic.name, id, event, kind, data });
        }
    }

    function skip(topic, cursor) {
        const behind = [...topic.members].filter((member) => member.live && !(order(cursor, member.cursor) <= 0));
        topic.cursor = cursor;
        for (const member of behind) member.cursor = cursor;
        tellGap(topic, behind);
    }

    function present({ members }, { type, ...news }) {
        for (const member of members) if (member.live) call(member.presence, news);
    }

    /* ---------------------------------------------------------------------------------------------------------- requests */

    const closedError = () => failure('closed', 'closed');

    /** Sends it when there is a connection, and gives the answer. Whoever does not look at a failure does not hear of it. */
    function ask(make, repeatable) {
        const promise = new Promise((resolve, reject) => {
            const id = ++ids;
            const request = { id, text: JSON.stringify({ ...make(), id }), resolve, reject, repeatable };
            if (state === 'closed') reject(closedError());
            else if (queue.length >= QUEUE_LIMIT) reject(failure(`${QUEUE_LIMIT} wait already`, 'queue-full'));
            else queue.push(request);
        });
        promise.catch(() => {});
        flush();
        return promise;
    }

    function flush() {
        while (queue.length && current && !successor) {
            const request = queue.shift();
            sent.set(request.id, request);
            current.send(request.text);
        }
    }

    function answered(id) {
        const request = sent.get(id);
        sent.delete(id);
        if (successor && !sent.size) adopt(successor);
        return request;
    }

    function refused({ id, code, message = code }) {
        const request = answered(id);
        if (request) return request.reject(failure(message, code));
        const { topic, members } = subscribing.get(id) ?? {};
        subscribing.delete(id);
        const error = failure(message, code, { topic: topic?.name });
        if (topic?.pending?.members === members) topic.pending = topic.sent = undefined;
        for (const member of members ?? []) {
            member.reject(error);
            // One that was ready once is tried again with the next connection.
            if (!member.wasReady) unsubscribe(topic, member);
        }
        emit('error', error);
    }

    function receive(envelope) {
        const { type, id, cursor, count, members } = envelope;
        const topic = topics.get(envelope.topic);
        if (type === 'subscribed') subscribed(envelope);
        else if (type === 'published') answered(id)?.resolve({ cursor });
        else if (type === 'presence' && id !== undefined) answered(id)?.resolve({ count, members });
        else if (type === 'error') refused(envelope);
        else if (!topic) return; // left meanwhile
        else if (type === 'message') deliver(topic, envelope);
        else if (type === 'gap') skip(topic, cursor);
        else if (type === 'presence') present(topic, envelope);
    }

    /* --------------------------------------------------------------------------------------------------------- page life */

    /** The network, or a page out of the back/forward cache, is back: no time to wait, and no trust in what seems open. */
    function wake() {
        if (state === 'waiting') connectNow();
        else current?.check();
    }

    for (const type of WAKERS) globalThis.addEventListener?.(type, wake);

    function close() {
        if (state === 'closed') return;
        const wasOpen = current;
        state = 'closed';
        for (const timer of [retryTimer, upgradeTimer, drainTimer]) clearTimeout(timer);
        for (const type of WAKERS) globalThis.removeEventListener?.(type, wake);
        for (const link of [current, dialled, successor]) link?.close();
        current = dialled = successor = undefined;
        letGo();
        for (const request of queue.splice(0)) request.reject(closedError());
        for (const topic of topics.values()) for (const member of topic.members) member.reject(closedError());
        topics.clear();
        if (wasOpen) emit('close', { carrier, reason: 'closed' });
    }

    connectNow();
    return {
        get state() { return state; },
        get carrier() { return carrier; },
        subscribe,
        publish: (topic, data, { event, kind } = {}) => ask(() => {
            const [as, encoded] = encode(data, kind);
            return { type: 'publish', topic, kind: as, event, data: encoded };
        }),
        presence: (topic) => ask(() => ({ type: 'presence', topic }), true),
        on(type, fn) {
            (listeners[type] ??= new Set()).add(fn);
            return () => listeners[type].delete(fn);
        },
        close,
    };
}
