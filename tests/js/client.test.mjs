/** weft.js on each carrier, against the reference server. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { connect } from '../../js/weft.js';
import { startCutter } from './support/cutter.mjs';
import { WebSocket } from './support/npm.mjs';
import { startReference } from './support/reference.mjs';
import { next, until, within } from './support/wait.mjs';

const CARRIERS = ['websocket', 'sse', 'poll'];
const QUICK = { backoff: 5, backoffMax: 20 };

async function serve(t, knobs) {
    const server = await startReference(knobs);
    t.after(() => server.stop());
    return server;
}

function join(t, { url }, options) {
    const weft = connect(url, { WebSocket, timeouts: QUICK, ...options });
    t.after(() => weft.close());
    return weft;
}

/** A relay to `server` whose connections can be cut. */
async function relay(t, server, options) {
    const cutter = await startCutter(server.url, options);
    t.after(() => cutter.stop());
    return cutter;
}

/** Subscribes, and keeps what comes. */
function listen(weft, topic, options = {}) {
    const heard = [];
    const gaps = [];
    const presence = [];
    const subscription = weft.subscribe(topic, (data, message) => heard.push({ data, message }), {
        ...options,
        gap: (gap) => gaps.push(gap),
        presence: options.presence && ((change) => presence.push(change)),
    });
    return {
        heard, gaps, presence, subscription,
        data: () => heard.map(({ data }) => data),
        ready: () => within(subscription.ready, `subscribed to ${topic}`),
        until: (count) => until(() => heard.length >= count, () => `${count} messages of ${topic}, not ${heard.length}`),
    };
}

const rejects = (promise, code) => assert.rejects(within(promise, `rejected with ${code}`), { code });

/** Resolves when the server has handled what `weft` sent, and `weft` has what it was sent. */
const settle = (weft) => within(weft.presence('settle'), 'settled');

/* ---------------------------------------------------------------------------------------------------------- each carrier */

function talking(carrier) {
    it('subscribes, publishes every kind, unsubscribes', async (t) => {
        const server = await serve(t);
        const weft = join(t, server, { carriers: [carrier] });
        assert.equal(weft.state, 'connecting');
        const listener = listen(weft, 'näws/1');
        assert.equal(await listener.ready(), listener.subscription);
        assert.deepEqual([weft.state, weft.carrier], ['open', carrier]);

        const published = await Promise.all([
            weft.publish('näws/1', 'tèxt 🧵'),
            weft.publish('näws/1', { deep: [1, null, 'é'] }, { event: 'ev' }),
            weft.publish('näws/1', new Uint8Array([0, 255, 10])),
            weft.publish('näws/1', new Uint8Array([9, 1, 2, 9]).subarray(1, 3)),
            weft.publish('näws/1', new Uint8Array([7]).buffer),
            weft.publish('näws/1', 'a JSON string', { kind: 'json' }),
            weft.publish('näws/1', 'AQI=', { kind: 'binary' }),
            weft.publish('näws/1', undefined),
            weft.publish('näws/1', ''),
        ]);
        await listener.until(9);
        assert.deepEqual(listener.heard.map(({ message: { kind, data } }) => [kind, data]), [
            ['text', 'tèxt 🧵'],
            ['json', { deep: [1, null, 'é'] }],
            ['binary', new Uint8Array([0, 255, 10])],
            ['binary', new Uint8Array([1, 2])],
            ['binary', new Uint8Array([7])],
            ['json', 'a JSON string'],
            ['binary', new Uint8Array([1, 2])],
            ['json', null],
            ['text', ''],
        ]);
        assert.deepEqual(listener.data(), listener.heard.map(({ message }) => message.data));
        assert.deepEqual(listener.heard.map(({ message }) => message.id), published.map(({ cursor }) => cursor));
        assert.deepEqual(listener.heard.map(({ message }) => message.event), [undefined, 'ev', ...Array(7)]);
        assert.equal(listener.heard[0].message.topic, 'näws/1');
        assert.equal(listener.subscription.cursor, published.at(-1).cursor);

        listener.subscription.unsubscribe();
        listener.subscription.unsubscribe();
        await weft.publish('näws/1', 'unheard');
        await settle(weft);
        assert.equal(listener.heard.length, 9);
        assert.equal(server.topic('näws/1').peers.size, 0);
    });

    it('begins now, at the start, or after a cursor', async (t) => {
        const server = await serve(t);
        const cursors = ['a', 'b', 'c'].map((data) => server.publish('t', data).id);
        const weft = () => join(t, server, { carriers: [carrier] });
        const fromNow = listen(weft(), 't');
        const fromStart = listen(weft(), 't', { since: 'start' });
        const afterA = listen(weft(), 't', { since: cursors[0] });
        await Promise.all([fromNow, fromStart, afterA].map(({ ready }) => ready()));
        server.publish('t', 'd');
        await Promise.all([fromNow.until(1), fromStart.until(4), afterA.until(3)]);
        assert.deepEqual([fromNow, fromStart, afterA].map(({ data }) => data().join('')), ['d', 'abcd', 'bcd']);
        assert.deepEqual([fromNow, fromStart, afterA].map(({ gaps }) => gaps.length), [0, 0, 0]);
    });

    it('tells who is there', async (t) => {
        const server = await serve(t);
        const ada = join(t, server, { carriers: [carrier], name: 'Ada' });
        const { presence, ready } = listen(ada, 'room', { presence: true });
        await ready();
        const bob = join(t, server, { carriers: [carrier], name: 'Bob' });
        const bobs = listen(bob, 'room');
        await bobs.ready();
        assert.deepEqual(await ada.presence('room'), { count: 2, members: ['Ada', 'Bob'] });
        bobs.subscription.unsubscribe();
        await until(() => presence.length === 3, () => JSON.stringify(presence));
        assert.deepEqual(presence, [
            { topic: 'room', count: 1, members: ['Ada'] },
            { topic: 'room', count: 2, joined: ['Bob'], left: [] },
            { topic: 'room', count: 1, joined: [], left: ['Bob'] },
        ]);
    });

    it('tells a gap: too slow, and a cursor that is gone', async (t) => {
        const server = await serve(t, { history: 2 });
        const weft = join(t, server, { carriers: [carrier] });
        const events = [];
        weft.on('gap', (gap) => events.push(gap));
        const old = server.publish('t', 'old').id;
        const slow = listen(weft, 't');
        await slow.ready();
        server.skip('t', 3);
        server.publish('t', 'new');
        await slow.until(1);
        assert.deepEqual([slow.data(), slow.gaps], [['new'], [{ topic: 't', cursor: server.topic('t').cursor(4) }]]);

        for (const since of [old, 'foreign-7', 'nonsense']) {
            const late = listen(join(t, server, { carriers: [carrier] }), 't', { since });
            await late.until(2);
            assert.deepEqual([late.data(), late.gaps], [['skipped', 'new'], [{ topic: 't', cursor: server.topic('t').cursor(3) }]]);
        }
        assert.deepEqual(events, slow.gaps);
    });

    it('tells what the server refuses', async (t) => {
        const server = await serve(t);
        const weft = join(t, server, { carriers: [carrier] });
        const errors = [];
        weft.on('error', (error) => errors.push(error));
        const refused = listen(weft, 'secret/1');
        await rejects(refused.subscription.ready, 'forbidden');
        await rejects(weft.publish('secret/1', 'x'), 'forbidden');
        await rejects(weft.presence('secret/1'), 'forbidden');
        await rejects(weft.publish(7, 'x'), 'invalid');
        await assert.rejects(weft.publish('t', 1n), TypeError);
        await rejects(weft.subscribe('secret/1', () => {}).ready, 'forbidden');
        assert.deepEqual(errors.map(({ code, topic }) => [code, topic]), Array(2).fill(['forbidden', 'secret/1']));
        assert.equal(weft.state, 'open');
        weft.on('close', () => errors.splice(0));
        server.drop();
        await next(weft, 'open');
        await settle(weft);
        assert.deepEqual(errors, [], 'and does not ask again');
    });

    it('resumes after a cut, also where no message came yet', async (t) => {
        const server = await serve(t);
        const cutter = await relay(t, server);
        const weft = join(t, cutter, { carriers: [carrier] });
        const events = [];
        for (const type of ['open', 'close', 'reconnecting', 'carrier']) weft.on(type, () => events.push(`${type} ${weft.state}`));
        const [busy, quiet] = [listen(weft, 'busy'), listen(weft, 'quiet')];
        await Promise.all([busy.ready(), quiet.ready()]);
        server.publish('busy', 0);
        await busy.until(1);

        const closed = next(weft, 'close');
        server.drop();
        server.publish('busy', 1);
        server.publish('quiet', 'first');
        await closed;
        await Promise.all([busy.until(2), quiet.until(1)]);
        server.publish('busy', 2);
        await busy.until(3);
        assert.deepEqual([busy.data(), quiet.data()], [[0, 1, 2], ['first']]);
        assert.deepEqual(events, ['open open', 'carrier open', 'close waiting', 'reconnecting waiting', 'open open']);
    });

    it('publishes what waited, and never again what may have happened', async (t) => {
        const server = await serve(t);
        const weft = join(t, server, { carriers: [carrier] });
        const early = weft.publish('t', 'early');
        const listener = listen(weft, 't', { since: 'start' });
        await within(early, 'published');
        await listener.until(1);

        server.silence();
        const lost = weft.publish('t', 'lost');
        const asked = weft.presence('t');
        const closed = next(weft, 'close');
        server.drop();
        await closed;
        const late = weft.publish('t', 'late');
        await rejects(lost, 'unknown');
        await within(late, 'published late');
        assert.equal((await within(asked, 'a question is asked again')).count, 1);
        await listener.until(2);
        assert.deepEqual(listener.data(), ['early', 'late']);
    });

    it('finds a silent server out, and lives with a quiet one', async (t) => {
        const server = await serve(t, { ping: 60 });
        const weft = join(t, server, { carriers: [carrier], timeouts: { ...QUICK, pong: 600 } });
        await next(weft, 'open');
        const pings = () => [...server.peers][0].heard.filter(({ type }) => type === 'ping').length;
        if (carrier === 'poll') await settle(weft);
        else await until(() => pings() >= 3, 'pings');
        assert.equal(server.peerCount, 1, 'the same connection');

        const [peer] = server.peers;
        peer.send({ type: 'ping' });
        await until(() => peer.heard.some(({ type }) => type === 'pong'), 'pong');
        const started = performance.now();
        server.silence();
        const { reason } = await next(weft, 'close');
        assert.match(reason, /silent/);
        assert.ok(performance.now() - started >= 590, 'not before its time');
        await next(weft, 'open');
    });

    it('does not take its own sleep for the death of the server', async (t) => {
        const server = await serve(t, { ping: 50 });
        const weft = join(t, server, { carriers: [carrier], timeouts: { ...QUICK, pong: 200 } });
        await next(weft, 'open');
        let closed = false;
        weft.on('close', () => (closed = true));
        for (let i = 0; i < 3; i++) {
            // In the middle of waiting for a pong, with the server in the same process asleep too.
            await until(() => [...server.peers][0].heard.length > i, 'a ping');
            const end = performance.now() + 450;
            while (performance.now() < end);
        }
        await settle(weft);
        assert.equal(closed, false);
    });
}

for (const carrier of CARRIERS) describe(carrier, { concurrency: 1 }, () => talking(carrier));

/* ------------------------------------------------------------------------------------------------- several subscriptions */

describe('subscriptions of one topic', () => {
    it('share one at the server, until the last has gone', async (t) => {
        const server = await serve(t);
        const weft = join(t, server);
        const first = listen(weft, 't');
        const twin = listen(weft, 't');
        await Promise.all([first.ready(), twin.ready()]);
        server.publish('t', 1);
        await twin.until(1);
        const late = listen(weft, 't');
        await late.ready();
        assert.equal(late.subscription.cursor, first.subscription.cursor);
        server.publish('t', 2);
        await late.until(1);
        first.subscription.unsubscribe();
        twin.subscription.unsubscribe();
        server.publish('t', 3);
        await late.until(2);
        assert.deepEqual([first.data(), twin.data(), late.data()], [[1, 2], [1, 2], [2, 3]]);
        const [peer] = server.peers;
        const told = () => peer.heard.map(({ type }) => type);
        assert.deepEqual(told(), ['subscribe']);
        late.subscription.unsubscribe();
        await settle(weft);
        assert.deepEqual(told(), ['subscribe', 'unsubscribe', 'presence']);
    });

    it('a late one gets its own past, and the others nothing twice', async (t) => {
        const server = await serve(t);
        const cursors = [0, 1, 2, 3].map((n) => server.publish('t', n).id);
        const weft = join(t, server);
        const live = listen(weft, 't');
        await live.ready();
        server.publish('t', 4);
        await live.until(1);
        const all = listen(weft, 't', { since: 'start' });
        const some = listen(weft, 't', { since: cursors[1] });
        const few = listen(weft, 't', { since: cursors[3] });
        server.publish('t', 5);
        await Promise.all([live.until(2), all.until(6), some.until(4), few.until(2)]);
        server.publish('t', 6);
        await Promise.all([live.until(3), all.until(7), some.until(5), few.until(3)]);
        assert.deepEqual([live, all, some, few].map(({ data }) => data().join('')), ['456', '0123456', '23456', '456']);
        assert.deepEqual([live, all, some, few].flatMap(({ gaps }) => gaps), []);
    });

    it('in one breath, before and after the connection is there', async (t) => {
        const server = await serve(t);
        const cursors = [0, 1].map((n) => server.publish('t', n).id);
        const weft = join(t, server);
        const everyKind = () => [listen(weft, 't'), listen(weft, 't', { since: 'start' }), listen(weft, 't', { since: cursors[0] }), listen(weft, 't')];
        for (let round = 0; round < 2; round++) {
            const listeners = everyKind();
            await Promise.all(listeners.map(({ ready }) => ready()));
            await settle(weft);
            assert.deepEqual(listeners.map(({ data }) => data()), [[], [0, 1], [1], []]);
            listeners.forEach(({ subscription }) => subscription.unsubscribe());
        }
    });

    it('one with a cursor that is gone is told, the others are not', async (t) => {
        const server = await serve(t, { history: 2 });
        const weft = join(t, server);
        const live = listen(weft, 't');
        await live.ready();
        const gone = server.publish('t', 0).id;
        [1, 2, 3].forEach((n) => server.publish('t', n));
        await live.until(4);
        const late = listen(weft, 't', { since: gone });
        await late.until(2);
        assert.deepEqual([late.data(), late.gaps.length, live.data(), live.gaps.length], [[2, 3], 1, [0, 1, 2, 3], 0]);
    });

    it('a late one with presence is told the whole list', async (t) => {
        const server = await serve(t);
        const weft = join(t, server, { name: 'Ada' });
        const plain = listen(weft, 't');
        await plain.ready();
        server.publish('t', 1);
        const curious = listen(weft, 't', { presence: true });
        await until(() => curious.presence.length, 'presence');
        server.publish('t', 2);
        await Promise.all([plain.until(2), curious.until(1)]);
        assert.deepEqual(curious.presence, [{ topic: 't', count: 1, members: ['Ada'] }]);
        assert.deepEqual([plain.data(), plain.gaps], [[1, 2], []]);
    });

    it('resume together, also in the middle of the past of one', async (t) => {
        const server = await serve(t);
        for (let n = 0; n < 3_000; n++) server.publish('t', n);
        const cutter = await relay(t, server);
        const weft = join(t, cutter);
        const live = listen(weft, 't');
        await live.ready();
        const all = listen(weft, 't', { since: 'start' });
        while (all.heard.length < 3_000) {
            const count = all.heard.length;
            cutter.cutAfter = () => 40_000;
            cutter.cut();
            await until(() => all.heard.length > count, 'more');
        }
        cutter.cutAfter = () => Infinity;
        server.publish('t', 3_000);
        await Promise.all([live.until(1), all.until(3_001)]);
        assert.deepEqual([live.data(), all.data()], [[3_000], Array.from({ length: 3_001 }, (_, n) => n)]);
        assert.deepEqual([...live.gaps, ...all.gaps], []);
    });

    it('one begins now, while another has missed something', async (t) => {
        const server = await serve(t);
        const weft = join(t, server, { carriers: ['websocket'] });
        const old = listen(weft, 't');
        await old.ready();
        server.knobs.refuseUpgrades = true;
        server.drop();
        await next(weft, 'close');
        server.publish('t', 1);
        const fresh = listen(weft, 't');
        Object.assign(server.knobs, { refuseUpgrades: false, delayMs: 20 });
        await until(() => server.topic('t').peers.size === 1, 'subscribed');
        server.publish('t', 2);
        await Promise.all([old.until(2), fresh.until(1)]);
        await settle(weft);
        assert.deepEqual([old.data(), fresh.data(), old.gaps, fresh.gaps], [[1, 2], [2], [], []]);
    });

    it('come and go in their own callbacks', async (t) => {
        const server = await serve(t);
        const weft = join(t, server);
        const heard = [];
        const subscription = weft.subscribe('t', (data) => {
            heard.push(`first ${data}`);
            subscription.unsubscribe();
            weft.subscribe('t', (later) => heard.push(`second ${later}`));
        });
        await subscription.ready;
        server.publish('t', 1);
        await until(() => heard.length, 'a message');
        await settle(weft);
        server.publish('t', 2);
        await until(() => heard.length > 1, 'a second message');
        assert.deepEqual(heard, ['first 1', 'second 2']);
    });
});

/* -------------------------------------------------------------------------------------------------------------- the rest */

describe('the client', () => {
    it('drops what the server repeats', async (t) => {
        const server = await serve(t);
        const weft = join(t, server);
        const listener = listen(weft, 't');
        await listener.ready();
        const [peer] = server.peers;
        const one = server.publish('t', 1);
        server.publish('t', 2);
        peer.deliver('t', one);
        peer.deliver('other', one);
        peer.send({ type: 'gap', topic: 't', cursor: one.id });
        server.publish('t', 3);
        await listener.until(3);
        assert.deepEqual([listener.data(), listener.gaps], [[1, 2, 3], []]);
    });

    it('ignores what it does not know', async (t) => {
        const server = await serve(t);
        const weft = join(t, server);
        const listener = listen(weft, 't');
        await listener.ready();
        const [peer] = server.peers;
        for (const envelope of [{ type: 'new' }, {}, { type: 'subscribed', id: 99 }, { type: 'published' }, { type: 'hello' }]) peer.send(envelope);
        server.publish('t', 1);
        await listener.until(1);
        assert.equal(weft.state, 'open');
    });

    it('begins anew when the server talks nonsense', async (t) => {
        const server = await serve(t);
        const weft = join(t, server);
        const listener = listen(weft, 't');
        await listener.ready();
        [...server.peers][0].send(null);
        await next(weft, 'close');
        server.publish('t', 1);
        await listener.until(1);
    });

    it('reports what callbacks throw, and goes on', async (t) => {
        const server = await serve(t);
        const weft = join(t, server);
        const reported = [];
        globalThis.reportError = ({ message }) => reported.push(message);
        t.after(() => delete globalThis.reportError);
        const remove = weft.on('open', () => { throw new Error('in open'); });
        const heard = [];
        weft.subscribe('t', (data) => {
            heard.push(data);
            throw new Error(`in message ${data}`);
        });
        await next(weft, 'open');
        remove();
        await settle(weft);
        server.publish('t', 1);
        server.publish('t', 2);
        await until(() => heard.length === 2, 'messages');
        assert.deepEqual(reported, ['in open', 'in message 1', 'in message 2']);
        assert.equal(weft.state, 'open');
    });

    it('keeps a thousand requests for later, and no more', async (t) => {
        const server = await serve(t, { muteWebSockets: true });
        const weft = join(t, server, { carriers: ['websocket'], timeouts: { ...QUICK, hello: 200 } });
        const waiting = Array.from({ length: 1_000 }, (_, n) => weft.publish('t', n));
        await rejects(weft.publish('t', 'too many'), 'queue-full');
        server.knobs.muteWebSockets = false;
        await within(Promise.all(waiting), 'published');
        assert.deepEqual(server.topic('t').kept.map(({ data }) => data), Array.from({ length: 1_000 }, (_, n) => n));
    });

    it('sends what was published as it was then', async (t) => {
        const server = await serve(t);
        const weft = join(t, server);
        const data = { n: 1 };
        const published = weft.publish('t', data);
        data.n = 2;
        await published;
        assert.deepEqual(server.topic('t').kept[0].data, { n: 1 });
    });

    it('close: all that waits is rejected, and nothing comes any more', async (t) => {
        const server = await serve(t, { muteWebSockets: true });
        const weft = join(t, server, { carriers: ['websocket'] });
        const events = [];
        for (const type of ['open', 'close', 'reconnecting', 'error']) weft.on(type, () => events.push(type));
        const { subscription } = listen(weft, 't');
        const waiting = weft.publish('t', 1);
        weft.publish('t', 'nobody looks at what becomes of this');
        weft.close();
        weft.close();
        await rejects(waiting, 'closed');
        await rejects(subscription.ready, 'closed');
        await rejects(weft.publish('t', 1), 'closed');
        await rejects(weft.presence('t'), 'closed');
        await rejects(weft.subscribe('t', () => {}).ready, 'closed');
        assert.equal(weft.state, 'closed');
        assert.deepEqual(events, []);

        server.knobs.muteWebSockets = false;
        const open = join(t, server);
        const listener = listen(open, 't');
        let closed = 0;
        open.on('close', () => closed++);
        await listener.ready();
        server.silence();
        const sent = open.publish('t', 1);
        open.close();
        await rejects(sent, 'unknown');
        assert.equal(closed, 1);
    });

    it('close in any callback', async (t) => {
        const server = await serve(t, { ping: 50 });
        for (const type of ['open', 'carrier', 'close', 'reconnecting', 'error', 'message', 'gap']) {
            server.knobs.refuseUpgrades = type === 'error';
            const weft = join(t, server, { timeouts: { ...QUICK, pong: 100 } });
            const events = [];
            for (const other of ['open', 'carrier', 'close', 'reconnecting', 'error']) weft.on(other, () => events.push(other));
            const done = new Promise((resolve) => {
                const close = () => {
                    weft.close();
                    resolve(events.length);
                };
                weft.on(type, close);
                weft.subscribe('t', () => type === 'message' && close(), { since: type === 'gap' ? 'foreign-1' : 'start' });
            });
            if (type === 'message') server.publish('t', 1);
            if (type === 'close' || type === 'reconnecting') {
                await next(weft, 'open');
                server.drop();
            }
            await within(done, `closed in ${type}`);
            await until(() => server.peers.size === 0, 'gone');
            assert.equal(weft.state, 'closed', type);
            if (type === 'error') assert.deepEqual(events, ['error']);
        }
    });

    it('sends the headers that it is given with every request, and keeps the query', async (t) => {
        const server = await serve(t);
        let asked = 0;
        const headers = async () => ({ Authorization: `Bearer ${++asked}` });
        const [, poll] = [
            join(t, { url: `${server.url}?key=a%20b#x` }, { carriers: ['sse'], headers: { Authorization: 'Bearer static' } }),
            join(t, { url: `${server.url.replace('http', 'ws')}?key=a%20b` }, { carriers: ['poll'], headers }),
        ];
        await settle(poll);
        await settle(join(t, { url: `${server.url}?key=a%20b` }));
        const authorized = server.requests.filter(({ what }) => what !== 'GET websocket');
        assert.ok(authorized.some(({ what }) => what === 'POST') && authorized.some(({ what }) => what === 'GET sse'));
        for (const { headers: sent } of authorized) assert.match(sent.authorization, /^Bearer (static|\d+)$/);
        for (const { url } of server.requests) assert.match(url, /^\/weft\?key=a%20b(&session=.*)?$/);
        assert.ok(asked > 2);
    });

    it('a POST that is too large fails alone', async (t) => {
        const server = await serve(t);
        const weft = join(t, server, { carriers: ['sse'] });
        await settle(weft);
        const [, large] = [weft.publish('t', 'a'), weft.publish('t', 'x'.repeat(300_000)), weft.publish('t', 'b')];
        await rejects(large, 'too-large');
        await settle(weft);
        assert.deepEqual(server.topic('t').kept.map(({ data }) => data), ['a', 'b']);
        assert.equal(server.peerCount, 1);
    });

    it('a POST that fails ends the session', async (t) => {
        const server = await serve(t);
        for (const carrier of ['sse', 'poll']) {
            const weft = join(t, server, { carriers: [carrier] });
            await next(weft, 'open');
            server.knobs.refusePosts = 404;
            const publish = weft.publish('t', 'x');
            await rejects(publish, 'unknown');
            server.knobs.refusePosts = 0;
            await within(weft.publish('t', carrier), 'published');
        }
        assert.deepEqual(server.topic('t').kept.map(({ data }) => data), ['sse', 'poll']);
    });

    it('asks again for a poll\'s answer that was lost', async (t) => {
        const server = await serve(t, { losePollAnswers: 0.5 });
        const weft = join(t, server, { carriers: ['poll'] });
        const listener = listen(weft, 't');
        await listener.ready();
        for (let n = 0; n < 50; n++) {
            server.publish('t', n);
            await listener.until(n + 1);
        }
        assert.deepEqual(listener.data(), Array.from({ length: 50 }, (_, n) => n));
        assert.ok(server.lost > 5, `${server.lost} answers lost`);
        assert.equal(server.peerCount, 1, 'in the same session');
    });

    it('POSTs many in few requests, in order', async (t) => {
        const server = await serve(t, { postJitterMs: 10 });
        const weft = join(t, server, { carriers: ['poll'] });
        await next(weft, 'open');
        const published = [];
        for (let n = 0; n < 5_000; n++) {
            published.push(weft.publish('t', n));
            if (n % 50 === 0) await new Promise((resolve) => setImmediate(resolve));
        }
        await within(Promise.all(published), 'published');
        assert.deepEqual(server.topic('t').kept.map(({ data }) => data), Array.from(published.keys()));
        const posts = server.requests.filter(({ what }) => what === 'POST').length;
        assert.ok(posts < 50, `${posts} POSTs`);
    });

    it('backs off at random, longer and longer, and anew after a connection that held', async (t) => {
        const server = await serve(t, { refuseUpgrades: true });
        const random = Math.random;
        t.after(() => (Math.random = random));
        Math.random = () => 0.5;
        const weft = join(t, server, { carriers: ['websocket'], timeouts: { backoff: 8, backoffMax: 50, stable: 1 } });
        const delays = [];
        weft.on('reconnecting', ({ attempt, delay }) => delays.push([attempt, delay]));
        await until(() => delays.length === 5, 'attempts');
        assert.deepEqual(delays, [[1, 4], [2, 8], [3, 16], [4, 25], [5, 25]]);
        server.knobs.refuseUpgrades = false;
        await next(weft, 'open');
        const opened = performance.now();
        await until(() => performance.now() - opened > 5, 'held');
        server.drop();
        await until(() => delays.length === 6, 'another attempt');
        assert.deepEqual(delays[5], [1, 4]);
    });

    it('is at once back when the network is', async (t) => {
        const server = await serve(t, { refuseUpgrades: true });
        const listeners = new Map();
        globalThis.addEventListener = (type, fn) => listeners.set(type, fn);
        globalThis.removeEventListener = (type, fn) => assert.equal(listeners.get(type), fn) ?? listeners.delete(type);
        t.after(() => {
            delete globalThis.addEventListener;
            delete globalThis.removeEventListener;
        });
        const weft = join(t, server, { carriers: ['websocket'], timeouts: { backoff: 1e8, backoffMax: 1e9, pong: 50 } });
        for (const type of ['online', 'pageshow']) {
            await until(() => weft.state === 'waiting', 'waiting');
            server.knobs.refuseUpgrades = false;
            listeners.get(type)({});
            await next(weft, 'open');
            // Here it is rather not believed that the connection still works.
            server.knobs.refuseUpgrades = true;
            server.silence();
            const closed = next(weft, 'close');
            listeners.get(type)({});
            assert.match((await closed).reason, /silent/);
        }
        weft.close();
        assert.equal(listeners.size, 0);
    });

    it('refuses a URL that is none', () => {
        assert.throws(() => connect('/weft'), TypeError);
    });
});
