/**
 * Ways to hear a topic, as somebody writes them who has nothing but the platform; for pages and for node. Each goes on, whatever breaks, until the
 * function that it gives is called. It calls take({id, event, type, data}), as far as its transport says these, gap(cursor), as far
 * as that says where, and failed(why) when it never comes back.
 */
const AGAIN_MS = 5;

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

function address(url, query) {
    const result = new URL(url, globalThis.location?.href);
    for (const [name, value] of Object.entries(query)) if (value !== undefined) result.searchParams.set(name, value);
    return result.href;
}

/** Does act(signal) again and again. */
function repeat(act) {
    const aborter = new AbortController();
    (async () => {
        while (!aborter.signal.aborted) {
            await act(aborter.signal).catch(() => {});
            await pause(AGAIN_MS);
        }
    })();
    return () => aborter.abort();
}

export function eventSource(url, { since, take, gap, failed, events = [], EventSource = globalThis.EventSource }) {
    const source = new EventSource(address(url, { since }));
    const heard = ({ type, data, lastEventId }) => take({ id: lastEventId, event: type === 'message' ? undefined : type, data });
    for (const type of ['message', ...events]) source.addEventListener(type, heard);
    source.addEventListener('weft-gap', ({ data }) => gap(JSON.parse(data).cursor));
    source.addEventListener('error', () => source.readyState === 2 && failed('the EventSource is closed'));
    return () => source.close();
}

/** A stream of JSON lines. */
export function lines(url, { since, take, gap, fetch = globalThis.fetch }) {
    let cursor = since;

    function hear(line) {
        const message = JSON.parse(line);
        if (message.gap) gap(message.cursor);
        else take(message);
        cursor = message.cursor ?? message.id;
    }

    return repeat(async (signal) => {
        const response = await fetch(address(url, { since: cursor }), { headers: { accept: 'application/x-ndjson' }, signal });
        const reader = response.body.getReader();
        const decoder = new TextDecoder();
        let rest = '';
        for (;;) {
            const { done, value } = await reader.read();
            if (done) return;
            const whole = (rest + decoder.decode(value, { stream: true })).split('\n');
            rest = whole.pop();
            for (const line of whole) if (line) hear(line);
        }
    });
}

function hearAnswer({ messages, gap: missed }, { take, gap }) {
    if (missed) gap();
    for (const message of messages) take(message);
}

/** Short polls, or long ones with `wait`. */
export function polls(url, { since, wait, fetch = globalThis.fetch, ...hearer }) {
    let cursor = since;
    return repeat(async (signal) => {
        const response = await fetch(address(url, { since: cursor, wait }), { signal, cache: 'no-store' });
        const answer = await response.json();
        hearAnswer(answer, hearer);
        cursor = answer.cursor;
    });
}

/** Long polls in a session, in which the server remembers what the client has. */
export function sessionPolls(url, { since, wait = 25, fetch = globalThis.fetch, ...hearer }) {
    let cursor = since;
    let session;
    let ack;
    return repeat(async (signal) => {
        const query = session ? { session, ack, wait } : { session: 'new', since: cursor, wait };
        const response = await fetch(address(url, query), { signal, cache: 'no-store' });
        if (response.status === 404) session = undefined;
        if (!response.ok) return;
        const answer = await response.json();
        hearAnswer(answer, hearer);
        session ??= answer.session;
        ack = answer.seq;
        cursor = answer.cursor ?? cursor;
    });
}

/** The topic's own WebSocket, which has no ids and is not resumed. */
export function webSocket(url, { since, take, failed, WebSocket = globalThis.WebSocket }) {
    const socket = new WebSocket(address(url, { since }).replace('http', 'ws'));
    socket.binaryType = 'arraybuffer';
    socket.onmessage = ({ data }) => take(typeof data === 'string' ? { data } : { type: 'binary', data: new Uint8Array(data) });
    socket.onerror = () => {}; // a close follows
    socket.onclose = () => failed('the WebSocket is closed');
    return () => {
        socket.onclose = undefined;
        socket.close();
    };
}

/** weft.js, whose `connect` is given. */
export function weft(url, { since, take, gap, failed, topic, connect, ...options }) {
    const client = connect(url, { timeouts: { backoff: 2, backoffMax: 20 }, ...options });
    const subscription = client.subscribe(topic, (_, { id, event, kind: type, data }) => take({ id, event, type, data }), {
        since,
        gap: ({ cursor }) => gap(cursor),
    });
    subscription.ready.catch((error) => error.code === 'closed' || failed(error.message));
    return () => client.close();
}

/* --------------------------------------------------------------------------------------------------------------- numbers */

const TEXT = 'näçë 🧵';
const numberOf = (cursor) => Number(/-(\d+)$/.exec(cursor)?.[1]);

/** The n-th message, from 0, of a topic that nobody else publishes to. */
export const numbered = (n) => ({ n, text: TEXT });

/** Looks that numbered messages come once and in order, and that whatever does not come was told as a gap. */
export class Numbers {
    next = 0;
    gaps = 0;
    missed = 0;
    problem = undefined;
    #anyNext = false; /* there was a gap that did not say where it ends */

    take = ({ id, data }) => {
        const { n, text } = typeof data === 'string' ? JSON.parse(data) : data;
        if (this.#anyNext && n > this.next) this.skip(n);
        this.#anyNext = false;
        if (n !== this.next) this.failed(`${n} (${id}) came, not ${this.next}`);
        if (text !== TEXT) this.failed(`${n} came with ${text}`);
        if (numberOf(id) !== n + 1) this.failed(`${n} came as ${id}`);
        this.next = n + 1;
    };

    gap = (cursor) => {
        this.gaps++;
        if (cursor === undefined) this.#anyNext = true;
        else if (!(numberOf(cursor) >= this.next)) this.failed(`a gap goes back to ${cursor} from ${this.next}`);
        else this.skip(numberOf(cursor));
    };

    skip(n) {
        this.missed += n - this.next;
        this.next = n;
    }

    failed = (why) => {
        this.problem ??= why;
    };
}
