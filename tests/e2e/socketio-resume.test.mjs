/**
 * Numbered messages to all, against `weft-conformance socketio-broadcast`, while clients change from polling to WebSocket and while
 * their connections break at random bytes: everybody gets every number once and in order.
 */
import assert from 'node:assert/strict';
import http from 'node:http';
import { after, before, describe, it } from 'node:test';
import { io } from 'socket.io-client';
import { below, startCutter } from './support/cutter.mjs';
import { isReference, startConformance } from './support/engineio.mjs';
import { next } from './support/events.mjs';
import { LeanClient } from './support/lean-socketio.mjs';
import { becomesTrue } from './support/program.mjs';

const STOCK_CLIENTS = 200;
const LEAN_CLIENTS = 5_000;
const AT_ONCE = 64; /* lean clients that connect */
const RUN_MS = 120_000;
const KIB = 1 << 10;
const CUT_NUMBERS = 2_000;
const AHEAD = 50; /* that are published before the slowest client has them: they fit into a poll that is not cut */

let server;

before(async () => (server = await startConformance(null, 'socketio-broadcast')));
after(() => server.stop());

/* --------------------------------------------------------------------------------------------------- publishers and readers */

/** Publishes the numbers from 0, each as soon as the server has taken the one before; some bring binary. */
async function openPublisher(t, { binary = true } = {}) {
    const socket = io(server.url, { forceNew: true, transports: ['websocket'] });
    t.after(() => socket.disconnect());
    await next(socket, 'connect');
    let count = 0;
    const message = (number) => (binary && number % 5 === 0 ? { number, bytes: Buffer.from(`number ${number}`) } : number);
    return {
        publish: () => socket.timeout(20_000).emitWithAck('sendMsg', message(count++)),
        get count() {
            return count;
        },
    };
}

function numberOf(message) {
    if (typeof message === 'number') return message;
    assert.equal(message.bytes.toString(), `number ${message.number}`);
    return message.number;
}

/** A stock client that keeps the numbers that come to it. */
function openReader(t, url, options) {
    const socket = io(url, { forceNew: true, reconnectionDelay: 50, reconnectionDelayMax: 200, ...options });
    t.after(() => socket.disconnect());
    const reader = { socket, numbers: [] };
    socket.on('pushMsg', (message) => {
        try {
            reader.numbers.push(numberOf(message));
        } catch (error) {
            reader.problem ??= error;
        }
    });
    return reader;
}

/** From the first that came on, all of them up to the last that was published, once and in order. */
function isWhole({ numbers, problem }, count, first = numbers[0]) {
    assert.equal(problem, undefined);
    const wrong = numbers.findIndex((number, i) => number !== first + i);
    const around = numbers.slice(Math.max(0, wrong - 3), wrong + 4);
    assert.equal(wrong, -1, `at ${wrong} of ${numbers.length}: ${around}`);
    assert.equal(numbers.at(-1), count - 1);
}

async function haveAll(readers, count) {
    const slow = () => readers.filter(({ numbers, problem }) => !problem && !(numbers.at(-1) >= count - 1));
    await becomesTrue(() => slow().length === 0, RUN_MS);
    for (const reader of readers) isWhole(reader, count);
}

/* ------------------------------------------------------------------------------------------------------------------ upgrades */

describe('while they change from polling to WebSocket', () => {
    it(`${STOCK_CLIENTS} stock clients miss nothing`, async (t) => {
        const publisher = await openPublisher(t);
        const readers = Array.from({ length: STOCK_CLIENTS }, () => openReader(t, server.url));
        let upgraded = 0;
        for (const { socket } of readers) socket.io.engine.once('upgrade', () => upgraded++);
        const limit = Date.now() + RUN_MS;
        while (upgraded < STOCK_CLIENTS && Date.now() < limit) await publisher.publish();
        assert.equal(upgraded, STOCK_CLIENTS);
        for (let i = 0; i < 20; i++) await publisher.publish();
        await haveAll(readers, publisher.count);
        const during = readers.filter(({ numbers }) => numbers[0] < publisher.count - 20).length;
        t.diagnostic(`${publisher.count} numbers; ${during} clients had some before the last 20`);
        assert.ok(during > STOCK_CLIENTS / 2);
    });

    it(`up to ${LEAN_CLIENTS} lean clients miss nothing`, async (t) => {
        const publisher = await openPublisher(t, { binary: false });
        const agent = new http.Agent({ keepAlive: true });
        t.after(() => agent.destroy());
        const clients = [];
        const limit = Date.now() + RUN_MS / 2;
        const open = async () => {
            while (clients.length < LEAN_CLIENTS && Date.now() < limit) {
                const client = new LeanClient({ url: server.url, agent });
                clients.push(client);
                t.after(() => client.close());
                await client.open();
            }
        };
        let opening = true;
        const opened = Promise.all(Array.from({ length: AT_ONCE }, open)).finally(() => (opening = false));
        for (let had = 0; opening; had = clients.length) {
            await publisher.publish();
            await Promise.race([opened, becomesTrue(() => clients.length >= had + AT_ONCE / 2)]);
        }
        await opened;
        for (let i = 0; i < 3; i++) await publisher.publish();
        await Promise.all(clients.map((client) => client.reaches(publisher.count - 1)));
        for (const client of clients) isWhole(client, publisher.count);
        t.diagnostic(`${clients.length} clients, ${publisher.count} numbers`);
        assert.ok(clients.length >= AT_ONCE);
    });
});

/* ---------------------------------------------------------------------------------------------------------------------- cuts */

/** What breaks how: a poll brings all there is, so that must pass sometime; a WebSocket gets further with each frame. */
const CUTS = [
    ['polling', { transports: ['polling'] }, below(24 * KIB)],
    ['WebSocket', { transports: ['websocket'] }, below(8 * KIB)],
    ['polling, then WebSocket', {}, below(16 * KIB)],
];

async function survivesCuts(t, options, cutAfter) {
    const cutter = await startCutter(t, server);
    const publisher = await openPublisher(t);
    const readers = Array.from({ length: 4 }, () => openReader(t, cutter.url, options));
    await Promise.all(readers.map(({ socket }) => next(socket, 'connect')));
    await publisher.publish();
    assert.ok(await becomesTrue(() => readers.every(({ numbers }) => numbers.length)));
    let lost = 0;
    for (const { socket } of readers) socket.on('connect', () => (lost += socket.recovered ? 0 : 1));
    cutter.cutEach(cutAfter);
    while (publisher.count < CUT_NUMBERS) {
        const slowest = () => Math.min(...readers.map(({ numbers }) => numbers.at(-1)));
        assert.ok(await becomesTrue(() => slowest() >= publisher.count - AHEAD || lost, RUN_MS), `stuck at ${slowest()}`);
        assert.equal(lost, 0, 'a client came back and was not recovered');
        await publisher.publish();
    }
    cutter.cutEach(() => Infinity);
    await haveAll(readers, publisher.count);
    t.diagnostic(`${cutter.cuts} cuts`);
    assert.ok(cutter.cuts >= 10, `${cutter.cuts} cuts`);
    for (const reader of readers) isWhole(reader, publisher.count, 0);
}

/* A client that is cut between the two keeps what it missed twice. */
const REFERENCE_REPEATS = 'the reference sends what a client missed ahead of CONNECT';

describe('while their connections break', { concurrency: 1 }, () => {
    for (const [way, options, cutAfter] of CUTS) {
        const skip = isReference() && way.endsWith('WebSocket') && REFERENCE_REPEATS;
        it(`by ${way}, stock clients miss nothing`, { skip }, (t) => survivesCuts(t, options, cutAfter));
    }

    it('for as long as they are away, stock clients miss nothing', async (t) => {
        const cutter = await startCutter(t, server);
        const publisher = await openPublisher(t);
        const readers = CUTS.map(([, options]) => openReader(t, cutter.url, options));
        await Promise.all(readers.map(({ socket }) => next(socket, 'connect')));
        await publisher.publish();
        assert.ok(await becomesTrue(() => readers.every(({ numbers }) => numbers.length)));
        for (let round = 0; round < 3; round++) {
            const gone = Promise.all(readers.map(({ socket }) => next(socket, 'disconnect')));
            cutter.down();
            await gone;
            for (let i = 0; i < 200; i++) await publisher.publish();
            const back = Promise.all(readers.map(({ socket }) => next(socket, 'connect')));
            cutter.up();
            await back;
            assert.deepEqual(readers.map(({ socket }) => socket.recovered), [true, true, true], `round ${round}`);
            await haveAll(readers, publisher.count);
        }
        for (const reader of readers) isWhole(reader, publisher.count, 0);
    });
});
