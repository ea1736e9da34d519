/** How weft.js finds a carrier that works, and its way back to a better one. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { connect } from '../../js/weft.js';
import { startCutter } from './support/cutter.mjs';
import { WebSocket } from './support/npm.mjs';
import { startReference } from './support/reference.mjs';
import { next, until, within } from './support/wait.mjs';

const QUICK = { backoff: 5, backoffMax: 20, hello: 5_000 };
const BLOCKED = { muteWebSockets: true, bufferStreams: true };

async function serve(t, knobs) {
    const server = await startReference(knobs);
    t.after(() => server.stop());
    return server;
}

/** `weft`, and the `events` it tells. */
function join(t, { url }, { timeouts, ...options } = {}) {
    const weft = connect(url, { WebSocket, timeouts: { ...QUICK, ...timeouts }, ...options });
    const events = [];
    weft.on('carrier', (carrier) => events.push(carrier));
    weft.on('error', ({ carrier, message }) => events.push(`${carrier} failed: ${message}`));
    for (const type of ['open', 'close', 'reconnecting']) weft.on(type, () => events.push(type));
    t.after(() => weft.close());
    return { weft, events };
}

const becomes = (weft, carrier) => until(() => weft.state === 'open' && weft.carrier === carrier, () => `${carrier}, not ${weft.carrier}`);

describe('falling', () => {
    it('a refused upgrade: SSE', async (t) => {
        const { weft, events } = join(t, await serve(t, { refuseUpgrades: true }));
        await becomes(weft, 'sse');
        assert.match(events.shift(), /^websocket failed: closed with 1006/);
        assert.deepEqual(events, ['open', 'sse']);
    });

    it('a proxy that swallows WebSockets and buffers SSE: polls', async (t) => {
        const { weft, events } = join(t, await serve(t, BLOCKED), { timeouts: { hello: 200 } });
        await becomes(weft, 'poll');
        assert.deepEqual(events, ['websocket failed: no hello', 'sse failed: no hello', 'open', 'poll']);
        await within(weft.publish('t', 1), 'published');
    });

    it('without a WebSocket: SSE', async (t) => {
        const server = await serve(t);
        const { WebSocket: own } = globalThis;
        delete globalThis.WebSocket;
        t.after(() => own && Object.assign(globalThis, { WebSocket: own }));
        const { weft, events } = join(t, server, { WebSocket: undefined });
        await becomes(weft, 'sse');
        assert.deepEqual(events, ['open', 'sse']);
    });

    it('a WebSocket that throws, a fetch that throws', async (t) => {
        const server = await serve(t);
        class Insecure {
            constructor() { throw new Error('mixed content'); }
        }
        const { events } = join(t, server, { WebSocket: Insecure, fetch: () => { throw new Error('blocked'); } });
        await until(() => events.includes('reconnecting'), 'reconnecting');
        assert.deepEqual(events.slice(0, 4), ['websocket failed: mixed content', 'sse failed: blocked', 'poll failed: blocked', 'reconnecting']);
    });

    it('nothing works, then all does', async (t) => {
        const server = await serve(t, { refuseUpgrades: true, refuseStreams: true, refusePolls: true });
        const { weft, events } = join(t, server);
        await until(() => events.filter((event) => event === 'reconnecting').length === 3, 'attempts');
        assert.equal(weft.carrier, undefined);
        assert.deepEqual(events.slice(1, 4), ['sse failed: HTTP 503', 'poll failed: HTTP 503', 'reconnecting']);
        Object.assign(server.knobs, { refuseUpgrades: false, refuseStreams: false, refusePolls: false });
        await next(weft, 'open');
    });

    it('only among the carriers that are wanted, in their order', async (t) => {
        const server = await serve(t, { refusePolls: true });
        const { weft } = join(t, server, { carriers: ['poll', 'sse'] });
        await becomes(weft, 'sse');
        assert.deepEqual(server.requests.map(({ what }) => what), ['GET poll', 'GET sse']);
    });

    it('not in an outage', async (t) => {
        const server = await serve(t);
        const cutter = await startCutter(server.url);
        t.after(() => cutter.stop());
        const { weft, events } = join(t, cutter);
        await next(weft, 'open');
        cutter.cutAfter = () => 0;
        cutter.cut();
        let attempts = 0;
        weft.on('reconnecting', () => ++attempts === 6 && (cutter.cutAfter = () => Infinity));
        await next(weft, 'open');
        assert.equal(weft.carrier, 'websocket');
        assert.deepEqual(server.requests.map(({ what }) => what), ['GET websocket', 'GET websocket']);
        assert.deepEqual(events.slice(0, 4), ['open', 'websocket', 'close', 'reconnecting']);
    });

    it('when what worked is blocked for good', async (t) => {
        const server = await serve(t);
        const { weft, events } = join(t, server);
        const heard = [];
        await within(weft.subscribe('t', (n) => heard.push(n)).ready, 'subscribed');
        server.knobs.refuseUpgrades = true;
        server.drop();
        server.publish('t', 1);
        await becomes(weft, 'sse');
        await until(() => heard.length, 'a message');
        assert.deepEqual(heard, [1]);
        assert.ok(events.filter((event) => event.startsWith('websocket failed')).length >= 2, 'after more than one attempt');
    });
});

describe('the way back', () => {
    it('tries the better ones now and then, less and less', async (t) => {
        const server = await serve(t, { refuseUpgrades: true });
        const { weft } = join(t, server, { timeouts: { upgrade: 20, upgradeMax: 80 } });
        const tries = [];
        weft.on('error', ({ carrier }) => tries.push([carrier, performance.now()]));
        await until(() => tries.length === 6, 'tries');
        const gaps = tries.slice(1).map(([, at], i) => at - tries[i][1]);
        [20, 40, 80, 80].forEach((least, i) => assert.ok(gaps[i + 1] >= least - 2, `${gaps}`));
        assert.ok(tries.every(([carrier]) => carrier === 'websocket'));
        assert.equal(server.requests.filter(({ what }) => what === 'GET sse').length, 1, 'and stays where it is');
        server.knobs.refuseUpgrades = false;
        await becomes(weft, 'websocket');
        await within(weft.publish('t', 1), 'published');
        await until(() => server.peers.size === 1, 'only the new connection');
        const count = server.requests.length;
        await within(weft.presence('t'), 'presence');
        assert.equal(server.requests.length, count);
    });

    for (const [from, to, knobs] of [
        ['sse', 'websocket', { refuseUpgrades: true }],
        ['poll', 'websocket', { refuseUpgrades: true, refuseStreams: true }],
        ['poll', 'sse', { refuseStreams: true }],
    ]) {
        it(`${from} to ${to} in the middle of traffic: nothing is lost, nothing doubled`, async (t) => {
            const server = await serve(t, { ...knobs, delayMs: 3 });
            const carriers = from === 'poll' && to === 'sse' ? ['sse', 'poll'] : undefined;
            const { weft, events } = join(t, server, { carriers, timeouts: { upgrade: 10, upgradeMax: 10 } });
            const heard = [];
            let published = 0;
            let own = 0;
            let over = false;
            await within(weft.subscribe('t', (n) => heard.push(n)).ready, 'subscribed');
            async function publish() {
                while (!over) {
                    await weft.publish('own', 1);
                    own++;
                }
            }
            const publishing = [publish(), publish(), publish()];
            const ticking = setInterval(() => server.publish('t', published++), 1);
            t.after(() => clearInterval(ticking));
            await until(() => heard.length > 50, 'messages');
            assert.equal(weft.carrier, from);
            Object.assign(server.knobs, { refuseUpgrades: false, refuseStreams: false });
            await becomes(weft, to);
            const { length } = heard;
            await until(() => heard.length > length + 50, 'more messages');
            clearInterval(ticking);
            over = true;
            await within(Promise.all(publishing), 'published');
            await until(() => heard.length >= published, 'all messages');
            assert.deepEqual(heard, Array.from({ length: published }, (_, n) => n));
            assert.equal(server.topic('own').count, own);
            assert.ok(!events.includes('close') && events.filter((event) => event === 'open').length === 1, 'the connection never broke');
            assert.deepEqual(events.filter((event) => event === from || event === to), [from, to]);
        });
    }

    it('an attempt ends with the connection it was to replace', async (t) => {
        const server = await serve(t, { refuseUpgrades: true });
        const { weft } = join(t, server, { timeouts: { upgrade: 10 } });
        await next(weft, 'open');
        server.knobs.muteWebSockets = true;
        server.knobs.refuseUpgrades = false;
        await until(() => server.webSockets.clients.size, 'an attempt');
        const closed = next(weft, 'close');
        [...server.peers][0].end();
        await closed;
        await until(() => server.webSockets.clients.size === 0, 'its end', 2_000);
    });

    /** On SSE, with a publish that the server does not answer, and a WebSocket that waits for that. */
    async function waiting(t, timeouts) {
        const server = await serve(t, { refuseUpgrades: true });
        let greet;
        const greeted = new Promise((resolve) => (greet = resolve));
        class Greeted extends WebSocket {
            constructor(...args) {
                super(...args);
                this.once('message', () => setImmediate(greet));
            }
        }
        const { weft, events } = join(t, server, { WebSocket: Greeted, timeouts: { upgrade: 10, upgradeMax: 10, ...timeouts } });
        await next(weft, 'open');
        const [old] = server.peers;
        old.silent = true;
        const unanswered = weft.publish('t', 'unanswered');
        server.knobs.refuseUpgrades = false;
        await within(greeted, 'a better connection');
        const [, better] = server.peers;
        const held = weft.publish('t', 'held');
        assert.equal(weft.carrier, 'sse');
        return { server, weft, events, old, better, unanswered, held };
    }

    it('does not wait for ever for what is not answered', async (t) => {
        const { server, weft, events, unanswered, held } = await waiting(t, { hello: 1_000 });
        await assert.rejects(within(unanswered, 'unknown'), { code: 'unknown' });
        await within(held, 'published');
        assert.equal(weft.carrier, 'websocket');
        assert.deepEqual(server.topic('t').kept.map(({ data }) => data), ['held']);
        assert.ok(!events.includes('close'));
    });

    it('the old connection breaks while the new one waits', async (t) => {
        const { weft, events, old, unanswered, held } = await waiting(t);
        old.end();
        await assert.rejects(within(unanswered, 'unknown'), { code: 'unknown' });
        await within(held, 'published');
        assert.equal(weft.carrier, 'websocket');
        assert.deepEqual(events.slice(-3), ['close', 'open', 'websocket']);
    });

    it('the new connection breaks while it waits', async (t) => {
        const { server, weft, old, better, unanswered, held } = await waiting(t);
        server.knobs.refuseUpgrades = true;
        old.silent = false;
        better.end();
        await within(held, 'published');
        assert.equal(weft.carrier, 'sse');
        server.knobs.refuseUpgrades = false;
        old.end();
        await assert.rejects(within(unanswered, 'unknown'), { code: 'unknown' });
    });

    it('close() while it waits', async (t) => {
        const { server, weft, unanswered, held } = await waiting(t, { hello: 500 });
        weft.close();
        const closed = performance.now();
        await assert.rejects(unanswered, { code: 'unknown' });
        await assert.rejects(held, { code: 'closed' });
        await until(() => server.peers.size === 0, 'gone');
        await until(() => performance.now() - closed > 600, 'the time when it would have waited no more');
        assert.equal(weft.state, 'closed');
    });

    it('close() when the old connection breaks while the new one waits', async (t) => {
        const { server, weft, old, unanswered, held } = await waiting(t);
        weft.on('close', () => weft.close());
        old.end();
        await assert.rejects(within(unanswered, 'unknown'), { code: 'unknown' });
        await assert.rejects(within(held, 'closed'), { code: 'closed' });
        await until(() => server.peers.size === 0, 'gone');
    });
});
