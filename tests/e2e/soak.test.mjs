/**
 * Everything at once for a while, over TLS: certificates renewed each second, clients that come and go all the time, and numbered messages to
 * every kind of subscriber, some of whom are cut off again and again. Every number arrives once and in order, a renewal counts for new
 * connections and leaves the others alone, and the server grows no larger. WEFT_SOAK_SECONDS says for how long; 60 is the real thing.
 */
import assert from 'node:assert/strict';
import https from 'node:https';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { EventSource } from 'eventsource';
import { Agent, fetch as undiciFetch } from 'undici';
import WebSocket from 'ws';
import { connect } from '../../js/weft.js';
import { Numbers, eventSource, lines, numbered, polls, sessionPolls, weft } from './pages/listeners.js';
import { below, startCutter } from './support/cutter.mjs';
import { becomesTrue, memory, openDescriptors } from './support/program.mjs';
import { startRenewals } from './support/renewals.mjs';
import { Samples, noiseOf } from './support/samples.mjs';
import { serve } from './support/served.mjs';
import { LOBBY, ask, openSocket, startVisitors, textOf } from './support/visitors.mjs';

const SECONDS = Number(process.env.WEFT_SOAK_SECONDS ?? 8);
const KIB = 1 << 10;

const POSTED = 'posted'; /* what a program publishes in batches */
const SPOKEN = 'spoken'; /* what a WebSocket publishes */
const TOPICS = [POSTED, SPOKEN];
const HISTORY = 8_000; /* which all topics have from the beginning, so that they do not grow */
const AHEAD = 4_000; /* that are published before the last subscriber has them */
const LAST = 2_000; /* that are published just before SIGTERM */
const BATCHES = { [POSTED]: 100, [SPOKEN]: 25 };
const EVERY_MS = 50;
const AT_A_TIME = 6;
const RENEWAL_MS = 1_000;
const SPOILT = 3; /* each third renewal goes wrong */

const SAMPLE_MS = 50;

/* -------------------------------------------------------------------------------------------------------- subscribers */

/** fetch() over a connection of its own; EventSources are told to come back in 20 ms instead of 2 to 4 s. Counts the requests. */
function fetchOf() {
    const dispatcher = new Agent({ connect: { rejectUnauthorized: false } });
    const fetch = async (url, options) => {
        fetch.requests++;
        const response = await undiciFetch(url, { ...options, dispatcher });
        if (!response.headers.get('content-type')?.startsWith('text/event-stream')) return response;
        const { status, headers } = response;
        return { status, headers, redirected: false, body: response.body.pipeThrough(hurrying()) };
    };
    return Object.assign(fetch, { requests: 0, end: () => dispatcher.destroy() });
}

const hurrying = () =>
    new TransformStream({
        transform(bytes, controller) {
            const text = Buffer.from(bytes).toString('latin1').replace(/^retry: \d+\n/m, 'retry: 20\n');
            controller.enqueue(Buffer.from(text, 'latin1'));
        },
    });

class Wss extends WebSocket {
    constructor(url, protocols) {
        super(url, protocols, { rejectUnauthorized: false });
    }
}

const WAYS = {
    eventSource: [eventSource, (fetch) => ({ EventSource: class extends EventSource {
        constructor(url) {
            super(url, { fetch });
        }
    } })],
    lines: [lines, (fetch) => ({ fetch })],
    polls: [polls, (fetch) => ({ fetch, wait: 25 })],
    sessionPolls: [sessionPolls, (fetch) => ({ fetch, wait: 25 })],
    weft: [weft, () => ({ connect, WebSocket: Wss, carriers: ['websocket'] })],
};

const FEW = below(100 * KIB);
/* The server remembers what a session has yet to get, up to 1 MiB: so much may be in an answer, which must pass sometime. */
const MANY = () => below(Math.random() < 0.7 ? 300 * KIB : 4_096 * KIB)();
const CUT = { eventSource: FEW, lines: FEW, polls: FEW, sessionPolls: MANY, weft: FEW };

/** {name, topic, numbers, stop()} */
function listen(t, way, topic, port) {
    const fetch = fetchOf();
    const numbers = new Numbers();
    const [hear, optionsOf] = WAYS[way];
    const url = `https://127.0.0.1:${port}${way === 'weft' ? '/weft' : `/topics/${topic}`}`;
    const leave = hear(url, { since: 'start', topic, ...numbers, ...optionsOf(fetch) });
    const stop = () => {
        leave();
        fetch.end();
    };
    t.after(stop);
    return { name: `${way} on ${topic}`, topic, numbers, stop, fetch };
}

/** The topic's WebSocket, which has no ids and is not resumed. */
async function live(to, topic) {
    const numbers = new Numbers();
    const hear = (data) => numbers.take({ id: `-${JSON.parse(data).n + 1}`, data: String(data) });
    const socket = await openSocket(to, `/topics/${topic}?since=start`, { hear });
    const subscriber = { name: `wss on ${topic}`, topic, numbers, socket, left: undefined };
    socket.on('close', (code) => (subscriber.left = code));
    return subscriber;
}

/* --------------------------------------------------------------------------------------------------------- publishers */

async function post(to, topic, from, count, agent = false) {
    const all = Array.from({ length: count }, (_, i) => `${JSON.stringify({ topic, data: numbered(from + i) })}\n`);
    const headers = { 'content-type': 'application/x-ndjson' };
    const [, response] = await ask(to, '/topics', { method: 'POST', headers, body: all.join(''), agent });
    const answer = await textOf(response);
    assert.equal(response.statusCode, 201, answer);
}

class Traffic {
    published = { [POSTED]: 0, [SPOKEN]: 0 };
    subscribers = [];
    isOver = false;

    constructor(to) {
        this.to = to;
    }

    async fill() {
        await post(this.to, LOBBY, 0, HISTORY);
        for (const topic of TOPICS) await this.post(topic, HISTORY);
    }

    async post(topic, count, agent) {
        await post(this.to, topic, this.published[topic], count, agent);
        this.published[topic] += count;
    }

    /** In turn on a connection that stays and on a new one. */
    startPosts(t) {
        const agent = new https.Agent({ keepAlive: true, maxSockets: 1, rejectUnauthorized: false });
        t.after(() => agent.destroy());
        let turn = 0;
        return this.publish(POSTED, () => this.post(POSTED, BATCHES[POSTED], turn++ % 2 ? agent : false));
    }

    /** The one that speaks is a live subscriber, too. */
    startSpeech({ socket }) {
        return this.publish(SPOKEN, () => {
            for (let i = 0; i < BATCHES[SPOKEN]; i++) socket.send(JSON.stringify(numbered(this.published[SPOKEN]++)));
        });
    }

    async publish(topic, act) {
        while (!this.isOver) {
            if (this.behind(topic) < AHEAD) await act();
            await sleep(EVERY_MS);
        }
    }

    behind(topic) {
        return this.published[topic] - Math.min(...this.on(topic).map(({ numbers }) => numbers.next));
    }

    on(topic) {
        return this.subscribers.filter((subscriber) => subscriber.topic === topic);
    }

    /** Whatever a subscriber has seen go wrong. */
    check() {
        for (const { name, numbers, left } of this.subscribers) {
            assert.equal(numbers.problem, undefined, name);
            assert.equal(numbers.gaps, 0, `${name} was told of a gap, at ${numbers.next}`);
            assert.equal(left, undefined, `${name} was closed`);
        }
    }

    /** All have everything. */
    async settle() {
        const done = () => TOPICS.every((topic) => this.behind(topic) === 0);
        await becomesTrue(done);
        for (const { name, topic, numbers } of this.subscribers)
            assert.deepEqual([numbers.problem, numbers.next], [undefined, this.published[topic]], name);
    }
}

/* --------------------------------------------------------------------------------------------------------------- soak */

async function renewAll(renewals, server, isOver) {
    for (let turn = 1; !isOver(); turn++) {
        await sleep(RENEWAL_MS);
        await (turn % SPOILT ? renewals.renew(server) : renewals.spoil(server));
    }
    await renewals.renew(server);
}

/** Log lines are of the ordinary, but one for each renewal that was refused. */
function checkLog(server, refused) {
    const all = server.stderr.split('\n').slice(0, -1);
    const strange = all.filter((line) => !/^time=\S+ level=info event=[^\x00-\x1f\x7f]+$/.test(line));
    for (const line of strange) assert.match(line, /^time=\S+ level=error event=reload reason="[^\x00-\x1f\x7f]+"$/);
    assert.equal(strange.length, refused);
}

async function startSubscribers(t, server, to) {
    const own = TOPICS.map((topic) => listen(t, 'eventSource', topic, server.port));
    const alive = await Promise.all(TOPICS.map((topic) => live(to, topic)));
    const cut = [];
    const cutters = [];
    for (const way of Object.keys(WAYS)) {
        const cutter = await startCutter(t, server, { cutAfter: CUT[way] });
        cutters.push(cutter);
        cut.push(...TOPICS.map((topic) => listen(t, way, topic, cutter.port)));
    }
    return { own, alive, cut, cuts: () => cutters.reduce((sum, { cuts }) => sum + cuts, 0) };
}

/** Gives what goes wrong to whoever waits. */
function startWatch() {
    let failed;
    const failure = new Promise((_, reject) => (failed = reject));
    failure.catch(() => {});
    return { failed, during: (promise) => Promise.race([promise, failure]) };
}

describe('soak', () => {
    it(`${SECONDS} s of renewals, visitors and traffic`, { timeout: (SECONDS + 120) * 1000 }, async (t) => {
        const renewals = await startRenewals(t);
        const variables = { ASAN_OPTIONS: `${process.env.ASAN_OPTIONS ?? ''}:quarantine_size_mb=8:thread_local_quarantine_size_kb=64` };
        const args = ['--cert', renewals.cert, '--key', renewals.key, '--history', String(HISTORY), '--history-bytes', '64M'];
        const server = await serve(t, args, { variables });
        const to = { port: server.port, renewals };
        const noise = noiseOf(server, SECONDS);
        const descriptors = await openDescriptors(server);
        const traffic = new Traffic(to);
        await traffic.fill();

        const { own, alive, cut, cuts } = await startSubscribers(t, server, to);
        traffic.subscribers = [...own, ...alive, ...cut];
        const watch = startWatch();
        const visitors = startVisitors(to, AT_A_TIME, watch.failed);
        const running = [
            traffic.startPosts(t),
            traffic.startSpeech(alive[TOPICS.indexOf(SPOKEN)]),
            renewAll(renewals, server, () => traffic.isOver),
        ];
        for (const one of running) one.catch(watch.failed);
        t.after(() => {
            traffic.isOver = true;
            visitors.stop();
        });

        const samples = new Samples();
        const began = Date.now();
        for (let part = 0; part < 1; part = (Date.now() - began) / (SECONDS * 1000)) {
            samples.add(part, memory(server), visitors.count + cuts());
            traffic.check();
            await watch.during(sleep(SAMPLE_MS));
        }

        traffic.isOver = true;
        await watch.during(Promise.all([visitors.stop(), ...running]));
        traffic.check();
        await watch.during(traffic.settle());
        for (const { stop } of cut) stop();
        traffic.subscribers = [...own, ...alive];
        for (const { name, fetch } of own) assert.equal(fetch.requests, 1, `${name}: its connection lives through all renewals`);
        await openDescriptors(server, descriptors + own.length + alive.length + 1);

        await traffic.post(POSTED, LAST);
        traffic.check();
        await server.stop();
        for (const { stop } of own) stop();
        await traffic.settle();
        assert.ok(await becomesTrue(() => alive.every(({ left }) => left !== undefined)), 'wss is closed');
        assert.deepEqual(alive.map(({ left }) => left), TOPICS.map(() => 1001));

        checkLog(server, renewals.refused);
        const received = [...own, ...alive, ...cut].reduce((sum, { numbers }) => sum + numbers.next, 0);
        const published = traffic.published[POSTED] + traffic.published[SPOKEN];
        t.diagnostic(`${published} messages published, ${received} received; ${cuts()} cuts`);
        t.diagnostic(`${visitors.count} visitors, ${visitors.resumed} of them with a session of TLS`);
        t.diagnostic(`${renewals.written} reloads, ${renewals.refused} more refused`);
        assert.ok(renewals.written > 1 && renewals.refused > 0 && visitors.resumed > 0 && cuts() > 0);
        t.diagnostic(samples.check(noise));
    });
});
