/** Socket.IO clients to whom numbered messages are broadcast, by `weft-conformance socketio-broadcast`: stock ones, and lean ones by the thousand. */
import assert from 'node:assert/strict';
import http from 'node:http';
import { io } from 'socket.io-client';
import { below, startCutter } from './cutter.mjs';
import { next } from './events.mjs';
import { LeanClient } from './lean-socketio.mjs';
import { becomesTrue, within } from './program.mjs';

const AT_ONCE = 64; /* lean clients that connect */
const RUN_MS = 120_000;
const KIB = 1 << 10;
const CUT_NUMBERS = 2_000; /* or more, until there were so many cuts: */
const LEAST_CUTS = 10;
const AHEAD = 50; /* that are published before the slowest client has them: they fit into a poll that is not cut */

/* --------------------------------------------------------------------------------------------------- publishers and readers */

/**
 * Publishes the numbers from 0, each as soon as the server has taken the one before; some bring binary. With several `sockets`, which take turns and may be on several
 * loops, each waits until it hears what it said: then it has its place.
 */
export async function openPublisher(t, server, { binary = true, sockets: n = 1 } = {}) {
    const sockets = Array.from({ length: n }, () => io(server.url, { forceNew: true, transports: ['websocket'] }));
    t.after(() => sockets.forEach((socket) => socket.disconnect()));
    await Promise.all(sockets.map((socket) => next(socket, 'connect')));
    let count = 0;
    const message = (number) => (binary && number % 5 === 0 ? { number, bytes: Buffer.from(`number ${number}`) } : number);
    const heard = (socket, number) =>
        new Promise((resolve) => {
            const hear = (said) => {
                if (numberOf(said) !== number) return;
                socket.off('pushMsg', hear);
                resolve();
            };
            if (n > 1) socket.on('pushMsg', hear);
            else resolve();
        });
    return {
        async publish() {
            const socket = sockets[count % n];
            const back = heard(socket, count);
            await socket.timeout(20_000).emitWithAck('sendMsg', message(count++));
            await within(back, () => `number ${count - 1}`);
        },
        get count() {
            return count;
        },
        sockets,
    };
}

function numberOf(message) {
    if (typeof message === 'number') return message;
    assert.equal(message.bytes.toString(), `number ${message.number}`);
    return message.number;
}

/** A stock client that keeps the numbers that come to it. */
export function openReader(t, url, options) {
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
export function isWhole({ numbers, problem }, count, first = numbers[0]) {
    assert.equal(problem, undefined);
    const wrong = numbers.findIndex((number, i) => number !== first + i);
    const around = numbers.slice(Math.max(0, wrong - 3), wrong + 4);
    assert.equal(wrong, -1, `at ${wrong} of ${numbers.length}: ${around}`);
    assert.equal(numbers.at(-1), count - 1);
}

export async function haveAll(readers, count) {
    const slow = () => readers.filter(({ numbers, problem }) => !problem && !(numbers.at(-1) >= count - 1));
    await becomesTrue(() => slow().length === 0, RUN_MS);
    for (const reader of readers) isWhole(reader, count);
}

/* ------------------------------------------------------------------------------------------------------------------ upgrades */

/** All of them begin with polls and change, while numbers are published. `look` is called when all are there. */
export async function stockClientsUpgrade(t, server, count, { sockets = 1, look = () => {} } = {}) {
    const publisher = await openPublisher(t, server, { sockets });
    const readers = Array.from({ length: count }, () => openReader(t, server.url));
    let upgraded = 0;
    for (const { socket } of readers) socket.io.engine.once('upgrade', () => upgraded++);
    const limit = Date.now() + RUN_MS;
    while (upgraded < count && Date.now() < limit) await publisher.publish();
    assert.equal(upgraded, count);
    look();
    for (let i = 0; i < 20; i++) await publisher.publish();
    await haveAll(readers, publisher.count);
    const during = readers.filter(({ numbers }) => numbers[0] < publisher.count - 20).length;
    t.diagnostic(`${publisher.count} numbers; ${during} clients had some before the last 20`);
    assert.ok(during > count / 2);
}

/** As many as come in time, up to `most`; `look` likewise. */
export async function leanClientsUpgrade(t, server, most, { sockets = 1, look = () => {} } = {}) {
    const publisher = await openPublisher(t, server, { binary: false, sockets });
    const agent = new http.Agent({ keepAlive: true });
    t.after(() => agent.destroy());
    const clients = [];
    const limit = Date.now() + RUN_MS / 2;
    const open = async () => {
        while (clients.length < most && Date.now() < limit) {
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
    look();
    for (let i = 0; i < 3; i++) await publisher.publish();
    await Promise.all(clients.map((client) => client.reaches(publisher.count - 1)));
    for (const client of clients) isWhole(client, publisher.count);
    t.diagnostic(`${clients.length} clients, ${publisher.count} numbers`);
    assert.ok(clients.length >= AT_ONCE);
}

/* ---------------------------------------------------------------------------------------------------------------------- cuts */

/** What breaks how: a poll brings all there is, so that must pass sometime; a WebSocket gets further with each frame. */
export const CUTS = [
    ['polling', { transports: ['polling'] }, below(24 * KIB)],
    ['WebSocket', { transports: ['websocket'] }, below(8 * KIB)],
    ['polling, then WebSocket', {}, below(16 * KIB)],
];

/** `look` is called with all sockets when they are there. */
export async function survivesCuts(t, server, options, cutAfter, { sockets = 1, readers: count = 4, numbers: last = CUT_NUMBERS, look = () => {} } = {}) {
    const cutter = await startCutter(t, server);
    const publisher = await openPublisher(t, server, { sockets });
    const readers = Array.from({ length: count }, () => openReader(t, cutter.url, options));
    await Promise.all(readers.map(({ socket }) => next(socket, 'connect')));
    await publisher.publish();
    assert.ok(await becomesTrue(() => readers.every(({ numbers }) => numbers.length)));
    look({ publishers: publisher.sockets, readers: readers.map(({ socket }) => socket) });
    let lost = 0;
    for (const { socket } of readers) socket.on('connect', () => (lost += socket.recovered ? 0 : 1));
    cutter.cutEach(cutAfter);
    while (publisher.count < last || (cutter.cuts < LEAST_CUTS && publisher.count < 10 * last)) {
        const slowest = () => Math.min(...readers.map(({ numbers }) => numbers.at(-1)));
        assert.ok(await becomesTrue(() => slowest() >= publisher.count - AHEAD || lost, RUN_MS), `stuck at ${slowest()}`);
        assert.equal(lost, 0, 'a client came back and was not recovered');
        await publisher.publish();
    }
    cutter.cutEach(() => Infinity);
    await haveAll(readers, publisher.count);
    t.diagnostic(`${cutter.cuts} cuts`);
    assert.ok(cutter.cuts >= LEAST_CUTS, `${cutter.cuts} cuts`);
    for (const reader of readers) isWhole(reader, publisher.count, 0);
}
