/**
 * Socket.IO for a while with everything at once: clients of all kinds that stay, some of whom lose their connections again and again and are recovered, get every number
 * once and in order, while hundreds of others are gone at any byte of what clients say. The server grows no larger, ends well in the middle of it, and stock clients find the
 * next one. WEFT_SOAK_SECONDS says for how long; 60 is the real thing.
 */
import assert from 'node:assert/strict';
import http from 'node:http';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { io } from 'socket.io-client';
import { below, startCutter } from './support/cutter.mjs';
import { startConformance } from './support/engineio.mjs';
import { next } from './support/events.mjs';
import { LeanClient } from './support/lean-socketio.mjs';
import { becomesTrue, memory } from './support/program.mjs';
import { Samples, noiseOf } from './support/samples.mjs';
import { startSocketioVisitors } from './support/socketio-visitors.mjs';

process.env.ASAN_OPTIONS = `${process.env.ASAN_OPTIONS ?? ''}:quarantine_size_mb=8:thread_local_quarantine_size_kb=64`;

const SECONDS = Number(process.env.WEFT_SOAK_SECONDS ?? 8);
const AT_A_TIME = 200;
const STOCK = 30;
const LEAN = 30;
const AHEAD = 20; /* numbers that are published before the slowest has them */
const EVERY_MS = 20;
const SAMPLE_MS = 50;
const KIB = 1 << 10;
/* A client whose WebSocket ends between the handshake and the open packet waits for that for all of its timeout. */
const QUICK = { forceNew: true, reconnectionDelay: 20, reconnectionDelayMax: 100, timeout: 1000 };
const WAYS = [['polling'], ['websocket'], ['polling', 'websocket']];
const CUT = [below(24 * KIB), below(8 * KIB), below(12 * KIB)]; /* a poll brings all there is, so that must pass sometime */

/** A stock client that keeps the numbers that come to it, from the first on. */
function openStock(t, url, transports, name) {
    const socket = io(url, { ...QUICK, transports });
    t.after(() => socket.disconnect());
    const reader = { name: `${name} by ${transports}`, socket, next: undefined, problem: undefined };
    socket.on('pushMsg', ({ number, bytes }) => {
        reader.next ??= number;
        if (number !== reader.next || bytes.length !== number % 100) reader.problem ??= `${number} came for ${reader.next}`;
        reader.next = number + 1;
        reader.heard = Date.now();
    });
    socket.on('connect', () => {
        if (reader.next !== undefined && !socket.recovered) reader.problem ??= `not recovered ${Date.now() - reader.heard} ms after ${reader.next - 1}`;
    });
    return reader;
}

/** The lean ones see the events and not their attachments. */
class LeanReader extends LeanClient {
    take(packet) {
        const [, number] = /^451-\["pushMsg",\{.*"number":(\d+)/.exec(packet) ?? [];
        if (number === undefined) return super.take(packet);
        this.next ??= Number(number);
        if (Number(number) !== this.next) this.problem ??= `${number} came for ${this.next}`;
        this.next = Number(number) + 1;
    }
}

async function openLean(t, url) {
    const agent = new http.Agent({ keepAlive: true });
    t.after(() => agent.destroy());
    const clients = Array.from({ length: LEAN }, (_, i) => Object.assign(new LeanReader({ url, agent }), { name: `lean ${i}` }));
    for (const client of clients) t.after(() => client.close());
    await Promise.all(clients.map((client) => client.open()));
    return clients;
}

/** Publishes numbers as long as the slowest reader keeps up. */
function startNumbers(t, url, readers) {
    const socket = io(url, { ...QUICK, transports: ['websocket'] });
    t.after(() => socket.disconnect());
    const numbers = { count: 0, isOver: false };
    const behind = () => numbers.count - Math.min(...readers.map((reader) => reader.next ?? 0));
    const publish = async () => {
        while (!numbers.isOver) {
            const number = numbers.count;
            if (behind() < AHEAD || number < AHEAD) {
                await socket.timeout(20_000).emitWithAck('sendMsg', { number, bytes: Buffer.alloc(number % 100, 'x') });
                numbers.count++;
            }
            await sleep(EVERY_MS);
        }
    };
    const running = publish();
    numbers.stop = () => {
        numbers.isOver = true;
        return running;
    };
    return numbers;
}

function check(readers) {
    for (const { name, problem } of readers) assert.equal(problem, undefined, name);
}

async function settle(readers, count) {
    await becomesTrue(() => readers.every((reader) => reader.problem || reader.next >= count));
    check(readers);
    for (const { name, next: at } of readers) assert.equal(at, count, name);
}

describe('soak', () => {
    it(`${SECONDS} s of clients that stay and clients that vanish`, { timeout: (SECONDS + 120) * 1000 }, async (t) => {
        const server = await startConformance(t, 'socketio-soak');
        const noise = noiseOf(server, SECONDS);
        const cutters = await Promise.all(CUT.map(() => startCutter(t, server)));
        const stock = Array.from({ length: STOCK }, (_, i) => openStock(t, server.url, WAYS[i % 3], `stock ${i}`));
        const cut = cutters.map((cutter, i) => openStock(t, cutter.url, WAYS[i], 'one that is cut'));
        await Promise.all([...stock, ...cut].map(({ socket }) => next(socket, 'connect')));
        const readers = [...stock, ...cut, ...(await openLean(t, server.url))];
        const numbers = startNumbers(t, server.url, readers);
        assert.ok(await becomesTrue(() => readers.every((reader) => reader.next !== undefined)), 'all hear');
        cutters.forEach((cutter, i) => cutter.cutEach(CUT[i]));
        const visitors = startSocketioVisitors(server, AT_A_TIME);
        t.after(() => {
            numbers.stop();
            visitors.stop();
        });

        const cuts = () => cutters.reduce((sum, cutter) => sum + cutter.cuts, 0);
        const samples = new Samples();
        const began = Date.now();
        for (let part = 0; part < 1; part = (Date.now() - began) / (SECONDS * 1000)) {
            samples.add(part, memory(server), visitors.count + cuts());
            assert.equal(server.how, undefined, server.stderr);
            check(readers);
            await sleep(SAMPLE_MS);
        }

        await numbers.stop();
        for (const cutter of cutters) cutter.cutEach(() => Infinity);
        await settle(readers, numbers.count);
        t.diagnostic(`${numbers.count} numbers to ${readers.length} readers; ${cuts()} cuts; ${visitors.count} connections came and went`);
        assert.ok(cuts() > 0 && visitors.count > AT_A_TIME && numbers.count > AHEAD);
        t.diagnostic(samples.check(noise));

        await server.stop(); /* with all of them there */
        const second = await startConformance(t, 'socketio-soak', { port: server.port });
        const back = (reader) => becomesTrue(() => reader.socket.connected);
        assert.deepEqual((await Promise.all([...stock, ...cut].map(back))).filter((came) => !came), [], 'stock clients come back');
        for (const { socket } of stock) await socket.timeout(20_000).emitWithAck('join', 'room');
        await visitors.stop();
        for (const { socket } of [...stock, ...cut]) socket.disconnect();
        await second.stop();
    });
});
