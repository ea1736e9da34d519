/**
 * How servers end while clients are connected: everybody is told 1001 behind what is queued for them and what their topics keep for them, many
 * one after the other; nobody can come any more, the slow get until the deadline and no longer. And how a server goes on when its clients end without a word.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import {
    BINARY, CLOSE, RawConnection, RawWebSocket, TEXT, closeFrame, closePayload, frame, frameHeader, handshake, told,
} from './support/raw-websocket.mjs';
import { binaryOf, memory, openDescriptors, sanitizerSlack, start } from './support/program.mjs';
import { request } from './support/raw-http.mjs';
import { serve } from './support/served.mjs';
import { connect, connectMany } from './support/ws-client.mjs';

const MIB = 1 << 20;
const REASON = 'the server is going away';
const GOING_AWAY = `close 1001 ${REASON}`;
const DRAIN_MS = 5_000;
const EARLY_MS = DRAIN_MS - 500; /* who ends before it has not waited for the deadline */
const AT_ONCE_MS = DRAIN_MS / 2;
const LATE_MS = DRAIN_MS + 3_000; /* on a busy machine */
const CROWD = fileURLToPath(new URL('./support/crowd.mjs', import.meta.url));

/* -------------------------------------------------------------------------------------------------------------- the servers */

async function startConformance(t, name) {
    const server = start(t, binaryOf('WEFT_CONFORMANCE'), [name, '--port', '0']);
    const [, url] = await server.printed(/^ready (\S+)\n/);
    return Object.assign(server, { url, port: Number(new URL(url).port) });
}

async function startDemo(t, which) {
    const server = start(t, binaryOf('WEFT'), ['demo', '--port', '0', '--ws-port', '0']);
    const [, broadcast, channel] = await server.printed(/(ws:\S+) [^]*(ws:\S+) .*\n/);
    const url = which === 'channel' ? channel : broadcast;
    return Object.assign(server, { url, port: Number(new URL(url).port) });
}

const SERVERS = {
    'weft-conformance ws': (t) => startConformance(t, 'ws'),
    'weft-conformance broadcast': (t) => startConformance(t, 'broadcast'),
    'weft demo, broadcast': (t) => startDemo(t, 'broadcast'),
    'weft demo, announcements': (t) => startDemo(t, 'channel'),
};

/** SIGTERM. The server must end with status 0; resolves to the milliseconds that it took. */
async function terminate(server) {
    const since = Date.now();
    server.child.kill('SIGTERM');
    assert.equal(await server.end(LATE_MS + DRAIN_MS), 'status 0');
    return Date.now() - since;
}

function assertEarly(ms) {
    assert.ok(ms < EARLY_MS, `it took ${ms} ms though nobody held it up`);
}

function assertAtDeadline(ms) {
    assert.ok(ms >= EARLY_MS && ms < LATE_MS, `it took ${ms} ms, not the ${DRAIN_MS} of the deadline`);
}

/* -------------------------------------------------------------------------------------------------------------- the clients */

async function connectRaw(t, server) {
    const client = await RawWebSocket.connect(server);
    t.after(() => client.destroy());
    return client;
}

async function openRaw(t, server) {
    const client = await RawConnection.open(server.port);
    t.after(() => client.destroy());
    return client;
}

/** The server's close frame must be next, with its reason; it is not answered. */
async function hearsClose(client) {
    const { opcode, payload } = await client.until(() => client.takeFrame(), 'the close');
    assert.deepEqual([opcode, payload], [CLOSE, closePayload(1001, REASON)]);
}

/** Answers the close, and sees the connection end. */
async function answersClose(client) {
    await client.write(closeFrame(1001));
    assert.equal(await client.next(), 'fin');
    client.leave();
}

function knock({ port }) {
    return new Promise((resolve) => {
        const socket = net.connect(port, '127.0.0.1');
        socket.on('error', ({ code }) => resolve(code)).on('connect', () => resolve('open'));
        socket.on('connect', () => socket.destroy());
    });
}

/* ----------------------------------------------------------------------------------------------------------- all are told */

function toldAll() {
    for (const [name, startServer] of Object.entries(SERVERS)) {
        it(`${name}: 100 clients are told, and it ends at once`, async (t) => {
            const server = await startServer(t);
            const clients = await connectMany(t, 100, server.url);
            assertEarly(await terminate(server));
            for (const client of clients) assert.equal((await client.rest()).at(-1), GOING_AWAY);
            server.checkLog();
        });
    }
    it('without clients it ends at once', async (t) => {
        const server = await startConformance(t, 'ws');
        await visit(t, server);
        assertEarly(await terminate(server));
    });
    it('clients that come and go meanwhile are told too, or refused', async (t) => {
        const server = await startConformance(t, 'ws');
        await connectMany(t, 20, server.url);
        const coming = Array.from({ length: 50 }, () => connect(t, server.url).then((client) => client.rest(), String));
        assertEarly(await terminate(server));
        for (const how of await Promise.all(coming)) assert.match(String(how), /^close 1001|ECONNREFUSED|ECONNRESET|hang up|closed before/);
    });
}

/* ------------------------------------------------------------------------------------------------------ what is queued first */

const NOTES = Array.from({ length: 300 }, (_, i) => `${i}:${'é'.repeat(i)}`);

function queuedFirst() {
    it('echoes come before the close', async (t) => {
        const server = await startConformance(t, 'ws');
        const clients = await connectMany(t, 100, server.url);
        for (const client of clients) client.send(...NOTES.slice(0, 50));
        await Promise.all(clients.map((client) => client.settle()));
        assertEarly(await terminate(server));
        const all = [...NOTES.slice(0, 50).map((note) => told(TEXT, note)), GOING_AWAY];
        for (const client of clients) assert.deepEqual(await client.next(all.length), all);
    });
    it('what was published comes before the close, to each of 100', async (t) => {
        const server = await startConformance(t, 'broadcast');
        const [speaker, ...clients] = await connectMany(t, 101, server.url);
        speaker.send(...NOTES);
        await speaker.settle();
        assertEarly(await terminate(server));
        const all = [...NOTES.map((note) => told(TEXT, note)), GOING_AWAY];
        for (const client of clients) assert.deepEqual(await client.next(all.length), all);
        assert.deepEqual(await speaker.next(), [GOING_AWAY]);
    });
    it('those who did not read for a while get all that was published, then the close', async (t) => {
        const server = await startConformance(t, 'broadcast');
        const [speaker, witness] = await connectMany(t, 2, server.url);
        const readers = await Promise.all(Array.from({ length: 5 }, () => connectRaw(t, server)));
        for (const reader of readers) reader.socket.pause();
        const publish = async (load) => {
            speaker.send(load);
            await witness.next();
        };
        const count = await fillKernel(server, publish);
        for (let n = count; n < count + BEYOND_KERNEL; n++) await publish(loadOf(n));
        server.child.kill('SIGTERM');
        assert.deepEqual(await witness.next(), [GOING_AWAY]);
        for (const reader of readers) reader.socket.resume();
        await Promise.all(readers.map((reader) => readsAll(reader, count + BEYOND_KERNEL)));
        assert.equal(await server.end(LATE_MS), 'status 0');
    });
}

const LOAD_BYTES = 100_000;
const BEYOND_KERNEL = 30; /* loads: fills the queue of a mebibyte, and then subscriptions lag */

function loadOf(n) {
    return Buffer.alloc(LOAD_BYTES, `load ${n};`);
}

/** Bytes that the kernel holds on the way over the connections that a port of this machine has. */
function bytesOnTheWay(port) {
    const ours = new RegExp(`:${port.toString(16).toUpperCase().padStart(4, '0')} .*?\\w\\w (\\w+):(\\w+) `);
    const queues = readFileSync('/proc/net/tcp', 'utf8').split('\n').map((line) => ours.exec(line)).filter(Boolean);
    return queues.reduce((sum, [, unsent, unread]) => sum + parseInt(unsent, 16) + parseInt(unread, 16), 0);
}

/** Publishes to clients that do not read until the kernel takes no more for them; resolves to how many loads. */
async function fillKernel(server, publish) {
    let most = 0;
    for (let n = 0, full = 0; n < 400; n++) {
        const held = bytesOnTheWay(server.port);
        full = held > most ? 0 : full + 1;
        most = Math.max(held, most);
        if (full === 5) return n;
        await publish(loadOf(n));
    }
    return assert.fail(`the kernel takes ${most} bytes and more`);
}

/** Every load, those that its subscription lagged behind too, and then the close. */
async function readsAll(reader, count) {
    for (let n = 0; n < count; n++) assert.equal(await reader.next(), told(BINARY, loadOf(n)));
    assert.equal(await reader.next(), 'close 1001');
    await answersClose(reader);
}

/* -------------------------------------------------------------------------------------------------------------- the stubborn */

function stubborn() {
    it('one who never answers the close is waited for until the deadline', async (t) => {
        const server = await startConformance(t, 'ws');
        const client = await connectRaw(t, server);
        const ending = terminate(server);
        await hearsClose(client);
        assertAtDeadline(await ending);
        assert.equal(client.incoming.length, 0);
        assert.match(await client.next(), /^(fin|reset)$/);
    });
    it('nor do a hundred, who go on talking', async (t) => {
        const server = await startConformance(t, 'ws');
        const clients = await Promise.all(Array.from({ length: 100 }, () => connectRaw(t, server)));
        const polite = await connect(t, server.url);
        const ending = terminate(server);
        for (const client of clients) {
            await hearsClose(client);
            await client.write(frame(TEXT, 'I am not done'));
        }
        assert.deepEqual(await polite.next(), [GOING_AWAY]);
        assertAtDeadline(await ending);
        for (const client of clients) assert.match(await client.next(), /^(fin|reset)$/, 'nothing is echoed behind the close');
    });
    it('one who reads nothing of what is queued is cut at the deadline', async (t) => {
        const server = await startConformance(t, 'ws');
        const client = await connectRaw(t, server);
        await asksForEcho(client, Buffer.alloc(16 * MIB, 'unread'));
        client.socket.pause();
        assertAtDeadline(await terminate(server));
    });
    it('a second SIGTERM ends it at once, whoever is left', async (t) => {
        const server = await startConformance(t, 'ws');
        const [stubborn, slow] = [await connectRaw(t, server), await connectRaw(t, server)];
        await asksForEcho(slow, Buffer.alloc(16 * MIB, 'unread'));
        slow.socket.pause();
        const ending = terminate(server);
        await hearsClose(stubborn);
        server.child.kill('SIGTERM');
        assert.ok((await ending) < AT_ONCE_MS);
        assert.match(await stubborn.next(), /^(fin|reset)$/);
    });
    it('one who answers late ends it then', async (t) => {
        const server = await startConformance(t, 'ws');
        const [first, second] = [await connectRaw(t, server), await connectRaw(t, server)];
        const ending = terminate(server);
        await hearsClose(first);
        await hearsClose(second);
        await answersClose(first);
        assert.equal(server.how, undefined, 'it waits for the second');
        await answersClose(second);
        assertEarly(await ending);
    });
}

/* -------------------------------------------------------------------------------------------------------------------- many */

const SPREAD_MS = 1_500; /* the first half of the drain's time */

/** When, after SIGTERM, each client's promise came true. */
async function tellsAll(server, clients, hear) {
    const since = Date.now();
    const times = Promise.all(clients.map(async (client) => (await hear(client), Date.now() - since)));
    server.child.kill('SIGTERM');
    return (await times).sort((a, b) => a - b);
}

/** Evenly: nobody comes before its turn, and the last is not late. A busy machine only makes it later. */
function assertSpread(times) {
    times.forEach((ms, i) => {
        const due = (SPREAD_MS * i) / times.length;
        assert.ok(ms >= due - 60, `client ${i} of ${times.length} was told after ${ms} ms, not ${due}`);
    });
    assert.ok(times.at(-1) < 2 * SPREAD_MS, `the last was told after ${times.at(-1)} ms`);
}

function many() {
    it('400 clients are told one after the other over half the time', async (t) => {
        const server = await serve(t, ['--drain', `${2 * SPREAD_MS}ms`]);
        const clients = await connectMany(t, 400, `ws://127.0.0.1:${server.port}/topics/t`);
        assertSpread(await tellsAll(server, clients, async (client) => assert.deepEqual(await client.rest(), [GOING_AWAY])));
        assert.equal(await server.end(), 'status 0');
    });
    it('400 polls are answered one after the other', async (t) => {
        const server = await serve(t, ['--drain', `${2 * SPREAD_MS}ms`]);
        const polls = await Promise.all(Array.from({ length: 400 }, () => openRaw(t, server)));
        for (const poll of polls) await poll.write(request('GET', '/topics/t?since=start&wait=60'));
        const [status] = await fetchText(server, 'x?since=start'); /* all of them wait by now */
        assert.equal(status, 200);
        assertSpread(await tellsAll(server, polls, (poll) => poll.readRest()));
        assert.equal(await server.end(), 'status 0');
    });
}

async function fetchText(server, path, options) {
    const answer = await fetch(`http://127.0.0.1:${server.port}/topics/${path}`, options);
    return [answer.status, await answer.text(), answer.headers];
}

/** The rest of an endless answer, once its beginning is here. */
async function streams(server, type) {
    const answer = await fetch(`http://127.0.0.1:${server.port}/topics/t`, { headers: { accept: type } });
    return answer.text();
}

function kinds() {
    it('every kind of client at once, each in its way', async (t) => {
        const server = await serve(t);
        const socket = await connect(t, `ws://127.0.0.1:${server.port}/topics/t`);
        const endless = ['text/event-stream', 'application/x-ndjson'].map((type) => streams(server, type));
        const poll = fetchText(server, 't?since=start&wait=60');
        const [, opened] = await fetchText(server, 't?session=new');
        const session = fetchText(server, `t?session=${JSON.parse(opened).session}&ack=1&wait=60`);
        const upload = await openRaw(t, server);
        const whole = request('POST', '/topics/other', { fields: ['Expect: 100-continue'], body: 'helloworld' });
        await upload.write(whole.subarray(0, whole.length - 10));
        assert.match((await upload.until(() => upload.incoming.take(upload.incoming.length).toString() || undefined, '100')), / 100 /);
        await fetchText(server, 'x?since=start'); /* all of them are there by now */
        const ending = terminate(server);
        assert.deepEqual(await socket.next(), [GOING_AWAY]);
        const [events, lines] = await Promise.all(endless);
        assert.match(events, /\nretry: \d+\n\n$/);
        assert.equal(lines, '\n');
        assert.deepEqual([(await poll)[0], JSON.parse((await poll)[1]).messages], [200, []]);
        assert.deepEqual([(await session)[0], JSON.parse((await session)[1]).messages], [200, []]);
        assert.equal(server.how, undefined, 'the upload goes on');
        await upload.write(whole.subarray(whole.length - 10));
        assert.match((await upload.readRest()).toString(), /^HTTP\/1\.1 201 [^]*\r\nConnection: close\r\n/);
        upload.leave();
        assertEarly(await ending);
    });
}

/** A batch whose second message has not come yet: the server has the first, and waits. */
async function beginsBatch(t, server) {
    const client = await openRaw(t, server);
    const body = '[{"topic":"a","data":"one"},{"topic":"b","data":"two"}]';
    const whole = request('POST', '/topics', { fields: ['Expect: 100-continue', 'Content-Type: application/json'], body });
    await client.write(whole.subarray(0, whole.length - body.length));
    assert.match(await client.until(() => client.incoming.take(client.incoming.length).toString() || undefined, '100'), / 100 /);
    await client.write(whole.subarray(whole.length - body.length, whole.length - 20));
    return { client, rest: whole.subarray(whole.length - 20) };
}

function batches() {
    it('a batch that is on its way in is taken whole, and answered', async (t) => {
        const server = await serve(t);
        const socket = await connect(t, `ws://127.0.0.1:${server.port}/topics/t`);
        const { client, rest } = await beginsBatch(t, server);
        const ending = terminate(server);
        assert.deepEqual(await socket.next(), [GOING_AWAY]); /* so the drain has begun */
        assert.equal(server.how, undefined, 'the batch goes on');
        await client.write(rest);
        const answer = (await client.readRest()).toString();
        assert.match(answer, /^HTTP\/1\.1 201 [^]*\r\nConnection: close\r\n/);
        assert.equal(JSON.parse(answer.slice(answer.indexOf('\r\n\r\n'))).published.length, 2);
        client.leave();
        assertEarly(await ending);
    });
    it('a batch that never becomes whole is cut at the deadline', async (t) => {
        const server = await serve(t, ['--drain', '1s']);
        const { client } = await beginsBatch(t, server);
        server.child.kill('SIGTERM');
        assert.equal((await client.readRest()).toString(), '');
        assert.equal(await server.end(LATE_MS), 'status 0');
    });
}

/* --------------------------------------------------------------------------------------------------------------- newcomers */

/** A server in the middle of its drain, held there by a client who has not answered yet. */
async function draining(t, startServer, prepare = () => {}) {
    const server = await startServer(t);
    const holder = await connectRaw(t, server);
    await prepare(server);
    await visit(t, server);
    server.child.kill('SIGTERM');
    while (!/^close/.test(await holder.next())) continue;
    return { server, holder };
}

function newcomers() {
    const startServer = SERVERS['weft-conformance ws'];
    const WHOLE = handshake(1, 'AAAAAAAAAAAAAAAAAAAAAA==');
    const HALF = WHOLE.length >> 1;

    for (const [name, startAny] of Object.entries(SERVERS)) {
        it(`${name} takes no connection while it drains`, async (t) => {
            const { server, holder } = await draining(t, startAny);
            for (let i = 0; i < 5; i++) assert.equal(await knock(server), 'ECONNREFUSED');
            assert.equal(server.how, undefined, 'it still drains');
            await answersClose(holder);
            assert.equal(await server.end(EARLY_MS), 'status 0');
        });
    }
    it('a connection that has asked for nothing is ended', async (t) => {
        let idle;
        const { server, holder } = await draining(t, startServer, async (at) => (idle = await openRaw(t, at)));
        assert.equal((await idle.readRest(AT_ONCE_MS)).toString(), '');
        assert.equal(idle.ended, 'fin');
        idle.leave();
        await answersClose(holder);
        assert.equal(await server.end(EARLY_MS), 'status 0');
    });
    it('a handshake that had begun may end, and is told', async (t) => {
        let half;
        const { server, holder } = await draining(t, startServer, async (at) => {
            half = await connectHalf(t, at, WHOLE.subarray(0, HALF));
        });
        await half.write(WHOLE.subarray(HALF));
        await half.readUpgrade('AAAAAAAAAAAAAAAAAAAAAA==');
        await hearsClose(half);
        await answersClose(half);
        await answersClose(holder);
        assert.equal(await server.end(EARLY_MS), 'status 0');
    });
    it('a handshake that never ends is cut at the deadline', async (t) => {
        const server = await startServer(t);
        await connectHalf(t, server, WHOLE.subarray(0, HALF));
        await visit(t, server);
        assertAtDeadline(await terminate(server));
    });
}

/** A connection over which the first bytes of a handshake have been sent. */
async function connectHalf(t, server, bytes) {
    const client = await RawWebSocket.open(server.port);
    t.after(() => client.destroy());
    await client.write(bytes);
    return client;
}

/** Comes and goes: the server runs then, and knows all who came before. */
async function visit(t, server) {
    const client = await connect(t, server.url);
    client.socket.close(1000);
    assert.equal((await client.rest()).at(-1), 'close 1000');
}

/* ---------------------------------------------------------------------------------------------------------- large transfers */

/** Sends a message and waits until its echo begins to come, so that the server has it whole. */
async function asksForEcho(client, payload) {
    await client.write(frame(BINARY, payload));
    await client.until(() => client.incoming.length > 0 || undefined, 'the echo');
}

/** Takes `count` bytes a little at a time: pauses after each chunk until the event loop has been round. */
async function sips(client, count) {
    const hash = createHash('sha1');
    for (let left = count; left > 0;) {
        await client.until(() => client.incoming.length > 0 || undefined, 'more of the echo');
        client.socket.pause();
        const bytes = client.incoming.take(Math.min(left, client.incoming.length));
        hash.update(bytes);
        left -= bytes.length;
        await new Promise(setImmediate);
        client.socket.resume();
    }
    return hash.digest('hex');
}

function transfers() {
    const payload = Buffer.from(Uint32Array.from({ length: 4 * MIB }, (_, i) => Math.imul(i, 2654435761)).buffer);

    it('16 MiB on their way to a slow reader arrive whole, then the close', async (t) => {
        const server = await startConformance(t, 'ws');
        const [client, witness] = [await connectRaw(t, server), await connect(t, server.url)];
        await asksForEcho(client, payload);
        client.socket.pause();
        const ending = terminate(server);
        assert.deepEqual(await witness.next(), [GOING_AWAY]);
        client.socket.resume();
        const header = frameHeader(BINARY, payload.length, { mask: null });
        await client.until(() => client.incoming.length >= header.length || undefined, 'the header');
        assert.deepEqual(client.incoming.take(header.length), header);
        assert.equal(await sips(client, payload.length), createHash('sha1').update(payload).digest('hex'));
        await hearsClose(client);
        await answersClose(client);
        assert.ok((await ending) < LATE_MS);
    });
    it('16 MiB on their way in are let go: the sender hears the close', async (t) => {
        const server = await startConformance(t, 'ws');
        const client = await connectRaw(t, server);
        await client.write(Buffer.concat([frameHeader(BINARY, payload.length, { mask: Buffer.alloc(4) }), payload.subarray(0, 8 * MIB)]));
        const ending = terminate(server);
        await hearsClose(client);
        await client.write(payload.subarray(8 * MIB));
        await answersClose(client);
        assertEarly(await ending);
    });
}

/* ------------------------------------------------------------------------------------------------------- clients that are gone */

const CROWD_SIZE = 200;

/** A process with 200 clients, which is killed with the kernel's help alone. */
async function killsCrowd(t, server, open) {
    const crowd = start(t, process.execPath, [CROWD, server.url, `${CROWD_SIZE}`]);
    await crowd.printed(/^open\n/);
    assert.ok((await openDescriptors(server)) >= open + CROWD_SIZE);
    crowd.kill();
    assert.equal(await crowd.end(), 'SIGKILL');
    await openDescriptors(server, open);
}

function killed() {
    for (const [name, startServer] of Object.entries(SERVERS)) {
        it(`${name}: ${CROWD_SIZE} clients are killed at once, again and again`, async (t) => {
            const server = await startServer(t);
            const [speaker, listener] = await connectMany(t, 2, server.url);
            const open = await openDescriptors(server);
            await killsCrowd(t, server, open);
            const before = memory(server);
            for (let round = 0; round < 4; round++) {
                await killsCrowd(t, server, open);
                await Promise.all([speaker.settle(), listener.settle()]);
            }
            const growth = memory(server) - before;
            assert.ok(growth < MIB / 2 + sanitizerSlack(server), `memory grew by ${growth} bytes of ${before}`);
            speaker.send('who is left?');
            await speaker.settle();
            assertEarly(await terminate(server));
            for (const client of [speaker, listener]) assert.equal((await client.rest()).at(-1), GOING_AWAY);
        });
    }
}

/* -------------------------------------------------------------------------------------------------- HTTP in the middle of it */

/** Everything up to the end of the connection, which must be a clean one. */
async function readAll(socket) {
    const pieces = [];
    for await (const piece of socket) pieces.push(piece);
    return Buffer.concat(pieces);
}

async function connectTo(t, port) {
    const socket = net.connect({ port, host: '127.0.0.1' });
    t.after(() => socket.destroy());
    await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject));
    return socket;
}

function bodyOf(answer) {
    return answer.subarray(answer.indexOf('\r\n\r\n') + 4);
}

function http() {
    it('an upload that is under way is taken to its end, and answered', async (t) => {
        const server = await startConformance(t, 'http');
        const socket = await connectTo(t, server.port);
        const whole = request('POST', '/', { fields: ['Expect: 100-continue'], body: 'helloworld' });
        socket.write(whole.subarray(0, whole.length - 10));
        await new Promise((resolve) => socket.once('readable', resolve));
        assert.match(socket.read().toString(), /^HTTP\/1\.1 100 /); /* so the server is reading the body */
        const open = await openDescriptors(server);
        const witness = await connectTo(t, server.port); /* has no request: its end says that the drain has begun */
        await openDescriptors(server, open + 1);
        const ended = terminate(server);
        await readAll(witness);
        socket.write(whole.subarray(whole.length - 10));
        const answer = await readAll(socket);
        assert.match(answer.toString(), /^HTTP\/1\.1 200 [^]*\r\nConnection: close\r\n/);
        assert.equal(bodyOf(answer).toString(), 'helloworld');
        assertEarly(await ended);
    });

    it('a file that is going out goes out whole', async (t) => {
        const folder = mkdtempSync(join(tmpdir(), 'weft-drain-'));
        t.after(() => rmSync(folder, { recursive: true }));
        writeFileSync(join(folder, 'large'), '');
        truncateSync(join(folder, 'large'), 64 * MIB);
        const server = start(t, binaryOf('WEFT_EXAMPLES', 'example-files'), [folder, 'http://127.0.0.1:0']);
        const [, url] = await server.printed(/^listening on (\S+)\n/);
        const socket = await connectTo(t, Number(new URL(url).port));
        socket.write(request('GET', '/large'));
        await new Promise((resolve) => socket.once('readable', resolve)); /* the first bytes are here, most are not */
        const ended = terminate(server);
        assert.equal(bodyOf(await readAll(socket)).length, 64 * MIB);
        assertEarly(await ended);
    });
}

/* ---------------------------------------------------------------------------------------------------------------- the suite */

describe('drain', { concurrency: 1 }, () => {
    describe('told', { concurrency: 1 }, toldAll);
    describe('queued first', { concurrency: 1 }, queuedFirst);
    describe('stubborn', { concurrency: 4 }, stubborn);
    describe('many', { concurrency: 1 }, many);
    describe('kinds', { concurrency: 1 }, kinds);
    describe('batches', { concurrency: 2 }, batches);
    describe('newcomers', { concurrency: 2 }, newcomers);
    describe('transfers', { concurrency: 1 }, transfers);
    describe('http', { concurrency: 1 }, http);
    describe('killed', { concurrency: 1 }, killed);
});
