/**
 * Slow HTTP clients against `weft-conformance http`: a head has 10 s, a body must come at 1 KiB/s, and whoever stays below is answered 408
 * and let go; meanwhile everybody else is served as fast as ever. The attacker is slowhttptest, and ourselves for what it does not do.
 * That an idle connection is closed after 60 s, silently, takes too long to be waited for here.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { installed } from './support/debian.mjs';
import { becomesTrue, openDescriptors, start } from './support/program.mjs';
import { RawHttp, chunked, message, only, request, saysClose } from './support/raw-http.mjs';
import { startServer } from './support/server.mjs';

const KIB = 1 << 10;
const HEAD_DEADLINE_MS = 10_000;
const HEAD_LATEST_MS = 16_000;
const BODY_GRACE_MS = 4_000; /* no server should count a pause of a user's network as an attack */
const BODY_LATEST_MS = 25_000;
const EARLY_MS = 1_500; /* timers may be coarse */
const MANY = 2_000; /* slow clients at once */

/* -------------------------------------------------------------------------------------------------------------- the players */

/** A case with a server of its own, which must be alive after it and end well; whoever it connects is gone then. */
function onItsOwn(name, talk) {
    it(name, async (t) => {
        const server = await startServer('http');
        t.after(() => server.stop().catch(() => {})); /* the first call, below, has thrown */
        const clients = [];
        const connect = async () => clients[clients.push(await RawHttp.open(server.port)) - 1];
        try {
            await talk({ t, server, connect });
            await served(server);
        } finally {
            for (const client of clients) client.destroy();
        }
        await server.stop();
    });
}

async function served(server) {
    server.check();
    const client = await RawHttp.open(server.port);
    await client.write(request('POST', '/', { body: 'served?', fields: ['Connection: close'] }));
    assert.equal((await client.readAnswer()).body.toString(), 'served?');
    await client.readEnd();
}

/** Sends the bytes one piece at a time, with a pause behind each, until they are all sent or the server has had enough. */
async function drip(client, bytes, size, everyMs) {
    for (let at = 0; at < bytes.length && client.ended === undefined; at += size) {
        await client.write(bytes.subarray(at, at + size));
        await sleep(everyMs);
    }
}

/** The client is answered 408, and the connection ends, neither much before nor much after its time. */
async function checkTimeout(client, since, earliest, latest) {
    const answer = await client.readAnswer('POST', latest);
    await checkEnd(client, since, earliest);
    assert.equal(answer.status, 408, answer.line);
    assert.ok(saysClose(answer), '408 without Connection: close');
}

async function checkEnd(client, since, earliest) {
    await client.readEnd({ deadline: 5_000 });
    const elapsed = Date.now() - since;
    assert.ok(elapsed >= earliest - EARLY_MS, `cut already after ${elapsed} ms`);
}

/* -------------------------------------------------------------------------------------------------------------------- heads */

const LONG_HEAD = request('GET', `/${'slow'.repeat(300)}`);

/** Sends something slowly; the head that it is part of has to be complete in time. */
function cutsHead(name, prepare, send) {
    onItsOwn(name, async ({ connect }) => {
        const client = await connect();
        await prepare(client);
        const since = Date.now();
        const sending = send(client);
        await checkTimeout(client, since, HEAD_DEADLINE_MS, HEAD_LATEST_MS);
        await sending;
    });
}

async function nothing() {}

async function oneRequest(client) {
    await client.write(request('POST', '/', { body: 'first' }));
    assert.equal((await client.readAnswer()).body.toString(), 'first');
}

function heads() {
    cutsHead('half a head, then silence', nothing, (client) => client.write(LONG_HEAD.subarray(0, 700)));
    cutsHead('a byte now and then does not move the deadline', nothing, (client) => drip(client, LONG_HEAD, 1, 300));
    cutsHead('a field now and then does not move the deadline', nothing,
        (client) => drip(client, message(['GET / HTTP/1.1', 'Host: localhost', ...Array(90).fill('X-Slow: x')]), 11, 500));
    cutsHead('half a head behind a request', oneRequest, (client) => client.write(LONG_HEAD.subarray(0, 700)));
    cutsHead('a byte now and then behind a request', oneRequest, (client) => drip(client, LONG_HEAD, 1, 300));
    onItsOwn('a connection that says nothing is closed', async ({ connect }) => {
        const since = Date.now();
        const client = await connect();
        assert.match((await client.readRest(HEAD_LATEST_MS)).toString(), /^(HTTP\/1\.1 408 |$)/);
        await checkEnd(client, since, HEAD_DEADLINE_MS);
    });
    onItsOwn('a head that is complete in time is served, and its connection may be silent for longer', async ({ connect }) => {
        const client = await connect();
        await client.write(LONG_HEAD.subarray(0, 700));
        await sleep(HEAD_DEADLINE_MS / 2);
        await client.write(LONG_HEAD.subarray(700));
        assert.equal((await client.readAnswer()).status, 200);
        await sleep(HEAD_DEADLINE_MS + EARLY_MS);
        await oneRequest(client);
    });
}

/* ------------------------------------------------------------------------------------------------------------------- bodies */

const BODY = Buffer.alloc(64 * KIB, 'slow body ');
const LENGTH = [`Content-Length: ${BODY.length}`];
const EXTENSIONS = Buffer.from(`1;${'e'.repeat(200)}\r\nx\r\n`.repeat(50));
const CHUNKED = ['Transfer-Encoding: chunked'];

function bodyHead(fields) {
    return message(['POST / HTTP/1.1', 'Host: localhost', ...fields]);
}

/** The head comes at once, its body slowly, and never whole. */
function cutsBody(name, fields, send) {
    onItsOwn(name, async ({ connect }) => {
        const client = await connect();
        const since = Date.now();
        await client.write(bodyHead(fields));
        const sending = send(client);
        await checkTimeout(client, since, BODY_GRACE_MS, BODY_LATEST_MS);
        await sending;
    });
}

/** The body comes by and by, but comes, and is answered. */
function takesBody(name, fields, send) {
    onItsOwn(name, async ({ connect }) => {
        const client = await connect();
        await client.write(bodyHead(fields));
        const sending = send(client);
        const answer = await client.readAnswer('POST', HEAD_LATEST_MS + BODY_LATEST_MS);
        assert.equal(answer.status, 200, answer.line);
        assert.ok(answer.body.equals(BODY.subarray(0, Number(only(answer, 'Content-Length')))));
        await sending;
    });
}

function bodies() {
    cutsBody('a body that never comes', LENGTH, nothing);
    cutsBody('a chunked body that never comes', CHUNKED, nothing);
    cutsBody('a body that is waited for with 100 Continue and never comes', ['Expect: 100-continue', ...LENGTH], nothing);
    cutsBody('a body that stops', LENGTH, (client) => client.write(BODY.subarray(0, 100)));
    cutsBody('a body of 4 bytes a second', LENGTH, (client) => drip(client, BODY, 1, 250));
    cutsBody('a body of 200 bytes a second', LENGTH, (client) => drip(client, BODY, 50, 250));
    cutsBody('a chunked body of 4 bytes a second', CHUNKED, (client) => drip(client, chunked(BODY, [1]), 6, 250));
    cutsBody('a chunked body that is mostly extensions', CHUNKED, (client) => drip(client, EXTENSIONS, 200, 500));
    cutsBody('a chunked body without its end', CHUNKED, (client) => client.write(Buffer.from('5\r\nhello\r\n')));
    cutsBody('a chunked body whose trailers drip', CHUNKED, (client) => drip(client, Buffer.from(`0\r\n${'X-T: v\r\n'.repeat(500)}`), 8, 250));
    takesBody('a body of 4 KiB a second, over longer than a head may take', LENGTH, (client) => drip(client, BODY, KIB, 230));
    takesBody('a body that comes after a pause', LENGTH, async (client) => {
        await sleep(BODY_GRACE_MS);
        await client.write(BODY);
    });
    takesBody('a chunked body with pauses', CHUNKED, async (client) => {
        await drip(client, chunked(BODY, [BODY.length / 4]), BODY.length / 2, BODY_GRACE_MS / 2);
    });
}

/* -------------------------------------------------------------------------------------------------------------------- crowds */

const SLOW_STARTS = [
    Buffer.from('G'),
    Buffer.from('GET / HTTP/1.1\r\nHost: loc'),
    Buffer.concat([request('POST', '/', { body: 'whole' }), Buffer.from('GET / HTTP/1.1\r\nX-A: ')]),
    Buffer.concat([bodyHead(LENGTH), Buffer.from('only so much')]),
    Buffer.concat([bodyHead(CHUNKED), Buffer.from('ff\r\nonly so much')]),
];

/** Requests of a normal client, one after the other; each must come back soon. */
async function checkService(client, count, soonMs) {
    for (let i = 0; i < count; i++) {
        const body = `turn ${i}`;
        await client.write(request('POST', '/', { body }));
        assert.equal((await client.readAnswer('POST', soonMs)).body.toString(), body);
    }
}

function crowd() {
    onItsOwn(`${MANY} clients that have begun and go no further, and a normal one`, async ({ server, connect }) => {
        const open = await openDescriptors(server);
        const normal = await connect();
        await checkService(normal, 200, 2_000);
        const slow = await Promise.all(Array.from({ length: MANY }, connect));
        await Promise.all(slow.map((client, i) => client.write(SLOW_STARTS[i % SLOW_STARTS.length])));
        await checkService(normal, 500, 2_000);
        await Promise.all(slow.map((client) => client.readRest(BODY_LATEST_MS)));
        assert.deepEqual([...new Set(slow.map(({ ended }) => ended))], ['fin']);
        await checkService(normal, 200, 2_000);
        for (const client of slow) client.leave();
        await openDescriptors(server, open + 1);
    });
}

/* ------------------------------------------------------------------------------------------------------------- slowhttptest */

const QUIET_TURNS = 2_000;
const GRACE_MS = 5;

function p99(times) {
    return times.sort((a, b) => a - b)[Math.floor(times.length * 0.99)];
}

async function turn(client) {
    const since = performance.now();
    await client.write(request('POST', '/', { body: 'ping' }));
    assert.equal((await client.readAnswer('POST')).body.toString(), 'ping');
    return performance.now() - since;
}

/** The 99th percentile of each client's round trips. They take turns, so that what else this machine does counts for all alike. */
async function latencies(clients, goesOn) {
    const times = clients.map(() => []);
    for (let i = 0; goesOn(i); i++) for (const [j, client] of clients.entries()) times[j].push(await turn(client));
    return times.map(p99);
}

function slowHeaders(t, server) {
    const args = ['-H', '-c', MANY, '-r', MANY / 2, '-i', 2, '-p', 3, '-l', 30, '-u', `http://127.0.0.1:${server.port}/`];
    return start(t, installed('slowhttptest'), args.map(String));
}

function checkReport({ stdout }) {
    const report = stdout.replace(/\x1b\[[\d;]*[A-Za-z]/g, '');
    assert.match(report, new RegExp(`^connected: +${MANY}$`, 'm'), report);
    assert.match(report, /Exit status: No open connections left/, report);
    assert.doesNotMatch(report, /service available: +NO/, report);
    const seconds = Number(/Test ended on (\d+)/.exec(report)?.[1]);
    assert.ok(seconds * 1000 <= HEAD_LATEST_MS, `the last connection ended after ${seconds} s`);
}

function attack() {
    onItsOwn(`slowhttptest: ${MANY} slow heads leave a normal client as fast as it was`, async ({ t, server, connect }) => {
        const quiet = await startServer('http'); /* the same without the attack */
        t.after(() => quiet.stop());
        const open = await openDescriptors(server);
        const clients = [await connect(), await RawHttp.open(quiet.port)];
        const [before] = await latencies(clients, (i) => i < QUIET_TURNS);

        const attacker = slowHeaders(t, server);
        assert.ok(await becomesTrue(async () => (await openDescriptors(server)) >= open + MANY), 'slowhttptest did not connect');
        const [during, elsewhere] = await latencies(clients, () => attacker.how === undefined);
        const allowed = 2 * Math.max(before, elsewhere) + GRACE_MS;
        t.diagnostic(`p99 before ${before.toFixed(2)} ms, during ${during.toFixed(2)} ms, elsewhere ${elsewhere.toFixed(2)} ms`);
        assert.ok(during <= allowed, `p99 is ${during} ms under attack, was ${before} ms, and is ${elsewhere} ms without`);

        assert.equal(await attacker.end(), 'status 0');
        checkReport(attacker);
        await openDescriptors(server, open + 1);
        clients[1].destroy();
    });
}

/* ---------------------------------------------------------------------------------------------------------------- the suite */

describe('slow HTTP clients', { concurrency: 1 }, () => {
    describe('an attack', { concurrency: 1 }, attack);
    describe('deadlines', { concurrency: 30 }, () => {
        heads();
        bodies();
        crowd();
    });
});
