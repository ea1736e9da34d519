/**
 * Peers that are slow, silent, half there or suddenly gone, against `weft-conformance ws`: the server must stop reading whoever
 * does not read, hold little for it, keep serving the others, and give everything back at the end. Each case has its own server,
 * as it looks at that process's memory and descriptors.
 */
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { BINARY, PING, PONG, RawConnection, RawWebSocket, TEXT, closeFrame, frame, frameHeader, handshake, told } from './support/raw-websocket.mjs';
import { startServer } from './support/server.mjs';

const MIB = 1 << 20;
const STALLED_MS = 1_500; /* a kernel that takes nothing for so long has a peer that does not read */
const HEAVY_MS = 60_000;
const HEAD_DEADLINE_MS = 10_000;
const HEAD_LATEST_MS = 16_000;
const CLOSE_LATEST_MS = 20_000;
const SERVED_MS = 3_000;

/* ------------------------------------------------------------------------------------------------------- the server's process */

function statusBytes({ pid }, field) {
    return Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]) * 1024;
}

function memory(server) {
    return statusBytes(server, 'VmRSS');
}

/** What a sanitizer may hold on to: AddressSanitizer keeps freed memory for a while; its shadow betrays it. */
function sanitizerSlack(server) {
    return statusBytes(server, 'VmSize') > 2 ** 40 ? 320 * MIB : 0;
}

function descriptors({ pid }) {
    return readdirSync(`/proc/${pid}/fd`).length;
}

function checkGrowth(server, before, allowed, what) {
    const growth = memory(server) - before;
    const most = allowed + sanitizerSlack(server);
    assert.ok(growth < most, `${what}: memory grew by ${(growth / MIB).toFixed(1)} MiB, allowed are ${most / MIB}`);
}

/** Polls, as the kernel tells nobody when another process closes a descriptor. */
async function descriptorsBack(server, count, ms = CLOSE_LATEST_MS) {
    const limit = Date.now() + ms;
    while (descriptors(server) > count) {
        assert.ok(Date.now() < limit, `${descriptors(server)} descriptors are open after ${ms} ms, not ${count}`);
        await sleep(20);
    }
}

/** A case with a server of its own, which must be alive after it and end well. */
function onItsOwn(name, talk) {
    it(name, async () => {
        const server = await startServer('ws');
        const clients = [];
        const connect = async () => clients[clients.push(await RawWebSocket.connect(server)) - 1];
        try {
            await talk(server, connect);
            for (const client of clients) client.destroy();
            await served(server);
            await server.stop();
        } finally {
            for (const client of clients) client.destroy();
            await server.stop().catch(() => {}); /* the first call has thrown */
        }
    });
}

async function served(server) {
    server.check();
    const client = await RawWebSocket.connect(server);
    await client.send(Buffer.concat([frame(TEXT, 'served?'), closeFrame(1000)]));
    assert.deepEqual(await client.events(SERVED_MS), ['text "served?"', 'close 1000', 'fin']);
}

/** Makes `count` of something, `width` at a time. */
async function several(count, width, make) {
    let made = 0;
    await Promise.all(Array.from({ length: width }, async () => {
        while (made++ < count) await make(made);
    }));
}

/* --------------------------------------------------------------------------------------------------- peers that do not read */

/** Writes `bytes` again and again until the peer stops reading; returns how often, the one that waits included. */
async function writeUntilStalled(client, bytes, most) {
    for (let count = 1; count <= most; count++) {
        const taken = await Promise.race([client.write(bytes).then(() => true), sleep(STALLED_MS, false)]);
        assert.equal(client.ended, undefined);
        if (!taken) return count;
    }
    assert.fail(`the server took ${most} times ${bytes.length} bytes from a client that reads nothing`);
}

async function roundTrips(client, count) {
    for (let i = 0; i < count; i++) {
        await client.write(frame(TEXT, `turn ${i}`));
        assert.equal(await client.next(SERVED_MS), told(TEXT, `turn ${i}`));
    }
}

function unread() {
    const READERS = 8;
    const MOST = 64;
    const payload = Buffer.alloc(MIB, 'unread');
    const message = frame(BINARY, payload);

    onItsOwn(`${READERS} clients send 1 MiB messages and read no echo`, async (server, connect) => {
        const bystander = await connect();
        const clients = await Promise.all(Array.from({ length: READERS }, connect));
        await roundTrips(bystander, 10);
        const before = memory(server);
        for (const client of clients) client.socket.pause();
        const [counts] = await Promise.all([
            Promise.all(clients.map((client) => writeUntilStalled(client, message, MOST))),
            roundTrips(bystander, 200),
        ]);
        await roundTrips(bystander, 200);
        checkGrowth(server, before, READERS * 4 * MIB + 16 * MIB, 'unread echoes');
        await Promise.all(clients.map((client, i) => readAll(client, counts[i], told(BINARY, payload))));
    });

    onItsOwn('a client that sends a single 1 MiB message and reads late', async (server, connect) => {
        const client = await connect();
        client.socket.pause();
        await client.write(message);
        await served(server);
        await readAll(client, 1, told(BINARY, payload));
    });

    onItsOwn('clients that read nothing and then are gone', async (server, connect) => {
        const open = descriptors(server);
        const clients = await Promise.all(Array.from({ length: READERS }, connect));
        for (const client of clients) client.socket.pause();
        await Promise.all(clients.map((client) => writeUntilStalled(client, message, MOST)));
        for (const client of clients) client.reset();
        await descriptorsBack(server, open);
    });
}

/** Reads at last: every echo must come, none lost. */
async function readAll(client, count, echo) {
    client.socket.resume();
    for (let i = 0; i < count; i++) assert.equal(await client.next(HEAVY_MS), echo);
    await client.write(closeFrame(1000));
    assert.deepEqual(await client.events(), ['close 1000', 'fin']);
}

function pingFlood() {
    const PINGS = 500;
    const payloads = Array.from({ length: PINGS }, (_, i) => Buffer.alloc(125, `ping ${i};`));
    const pings = Buffer.concat(payloads.map((payload) => frame(PING, payload)));

    onItsOwn('a client floods with pings and reads no pong', async (server, connect) => {
        const bystander = await connect();
        const client = await connect();
        const before = memory(server);
        client.socket.pause();
        const count = await writeUntilStalled(client, pings, 1000);
        await roundTrips(bystander, 100);
        checkGrowth(server, before, 8 * MIB, 'unread pongs');
        client.socket.resume();
        for (let i = 0; i < count * PINGS; i++) await checkPong(client, payloads[i % PINGS]);
        await client.write(closeFrame(1000));
        assert.deepEqual(await client.events(), ['close 1000', 'fin']);
    });
}

async function checkPong(client, payload) {
    const { opcode, payload: got, violation } = await client.until(() => client.takeFrame(), 'a pong', HEAVY_MS);
    assert.equal(violation, undefined);
    assert.ok(opcode === PONG && got.equals(payload), `opcode ${opcode} with ${got}, not a pong with ${payload}`);
}

/* ------------------------------------------------------------------------------------------------ peers that go, or half stay */

const LOST_AT = [
    (client) => client.write(Buffer.concat([frameHeader(BINARY, MIB), Buffer.alloc(65536)])),
    (client) => client.write(Buffer.concat([frame(TEXT, 'a', { fin: false }), frameHeader(0, 5000)])),
    (client) => client.write(frame(TEXT, 'never read')),
    (client) => client.write(frameHeader(BINARY, 64 * MIB)),
];

async function lose(server, i) {
    const client = await RawWebSocket.connect(server);
    await LOST_AT[i % LOST_AT.length](client);
    client.reset();
}

async function loseInHead(server) {
    const client = await RawConnection.open(server.port);
    await client.write(handshake(server.port, 'AAAA').subarray(0, 50));
    client.reset();
}

function lost() {
    onItsOwn('a thousand clients are reset in the middle of a message', async (server) => {
        const open = descriptors(server);
        await several(300, 20, (i) => lose(server, i));
        await descriptorsBack(server, open);
        const before = memory(server);
        await several(1000, 20, (i) => lose(server, i));
        await descriptorsBack(server, open);
        checkGrowth(server, before, 8 * MIB, 'lost clients');
    });
    onItsOwn('three hundred clients are reset in the middle of their head', async (server) => {
        const open = descriptors(server);
        await several(300, 20, () => loseInHead(server));
        await descriptorsBack(server, open);
    });
    for (const [name, bytes] of [['closed', closeFrame(1000)], ['failed', frame(3)]]) {
        onItsOwn(`a client that has ${name} and never ends TCP is let go`, async (server, connect) => {
            const open = descriptors(server);
            const clients = await Promise.all(Array.from({ length: 20 }, connect));
            await Promise.all(clients.map((client) => client.write(bytes)));
            for (const client of clients) while (!client.over) await client.next();
            await descriptorsBack(server, open);
        });
    }
    onItsOwn('a client that ends TCP without a close is let go', async (server, connect) => {
        const open = descriptors(server);
        const clients = await Promise.all(Array.from({ length: 20 }, connect));
        for (const client of clients) client.leave();
        await descriptorsBack(server, open);
    });
}

/* ---------------------------------------------------------------------------------------------------------------- slow heads */

/** Resolves to the time after which the server has cut the connection, silently or with 408. */
async function cutAfter(client, since = Date.now()) {
    const answer = await client.readRest(HEAD_LATEST_MS);
    const elapsed = Date.now() - since;
    assert.match(answer.toString(), /^(HTTP\/1\.1 408 |$)/);
    assert.equal(client.ended, 'fin');
    client.leave();
    return elapsed;
}

function checkCut(elapsed) {
    assert.ok(elapsed >= HEAD_DEADLINE_MS - 1500, `cut already after ${elapsed} ms`);
}

async function drip(client, bytes, everyMs) {
    for (let at = 0; at < bytes.length && client.ended === undefined; at++) {
        await client.write(bytes.subarray(at, at + 1));
        await sleep(everyMs);
    }
}

async function openMany(server, count) {
    return Promise.all(Array.from({ length: count }, () => RawConnection.open(server.port)));
}

const LONG_HEAD = handshake(1, 'AAAAAAAAAAAAAAAAAAAAAA==', `/${'slow'.repeat(300)}`);

function heads() {
    onItsOwn('200 connections that say nothing are cut at the deadline', async (server) => {
        const open = descriptors(server);
        const clients = await openMany(server, 200);
        await served(server);
        (await Promise.all(clients.map((client) => cutAfter(client)))).forEach(checkCut);
        await descriptorsBack(server, open);
    });
    onItsOwn('a byte now and then does not move the deadline', async (server) => {
        const client = await RawConnection.open(server.port);
        const dripping = drip(client, LONG_HEAD, 300);
        checkCut(await cutAfter(client));
        await dripping;
    });
    onItsOwn('half a head, then silence', async (server) => {
        const client = await RawConnection.open(server.port);
        await client.write(LONG_HEAD.subarray(0, 700));
        checkCut(await cutAfter(client));
    });
    onItsOwn('a head that is complete in time is served, and its connection may be silent for longer', async (server) => {
        const client = await RawWebSocket.open(server.port);
        await client.write(LONG_HEAD.subarray(0, 700));
        await sleep(HEAD_DEADLINE_MS / 2);
        await client.write(LONG_HEAD.subarray(700));
        await client.readUpgrade('AAAAAAAAAAAAAAAAAAAAAA==');
        await sleep(HEAD_DEADLINE_MS);
        await client.send(Buffer.concat([frame(TEXT, 'still here'), closeFrame(1000)]));
        assert.deepEqual(await client.events(), ['text "still here"', 'close 1000', 'fin']);
    });
}

/* ---------------------------------------------------------------------------------------------------------------- the suite */

describe('slow peers', { concurrency: 2 }, () => {
    describe('heads', { concurrency: 4 }, heads);
    describe('streams', { concurrency: 1 }, () => {
        unread();
        pingFlood();
        lost();
    });
});
